"""NextGen Enterprise FHIR R4: read and search only, as its CapabilityStatement says; there is no Subscription.

What changed is found by `_lastUpdated`, from a cursor. Results are not ordered by time, so a cursor moves only over what
was read to its end. Links and references lead nowhere but to this server.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from connectors import fhir_resources as fhir
from connectors.errors import NotUnderstood, Refused
from connectors.exchange import read_object
from connectors.fhir_order import order_number
from connectors.fhir_resources import Resource
from connectors.nextgen import NextGenSession

_COUNT = 50
_MAX_PAGES = 100
_MAX_REFERENCES = 40

KINDS: Final[Mapping[str, str]] = {
    # LOINC code of a document's type to the kind that policies ask for, in own words. Source: LOINC document ontology.
    "11506-3": "office_note",  # progress note
    "34109-9": "office_note",  # evaluation and management
    "34117-2": "office_note",  # history and physical
    "11488-4": "office_note",  # consultation
    "18748-4": "imaging_report",
    "18726-0": "imaging_report",
    "68604-8": "imaging_report",
    "18735-1": "conservative_therapy",  # physical therapy, first visit
    "11508-9": "conservative_therapy",  # physical therapy, later visit
    "28579-1": "conservative_therapy",  # physical therapy, any visit
    "57133-1": "referral",
}


@dataclass(frozen=True)
class Changes:
    """Orders that changed, each with the resources that it needs, and the cursor to ask from next time."""

    orders: tuple[tuple[Resource, ...], ...]
    cursor: datetime
    more: bool


@dataclass(frozen=True)
class ChartFile:
    """A document of the chart that could serve, with how to get its content."""

    kind: str
    media_type: str
    dated: date | None
    signed: bool
    data: str | None
    url: str | None


class NextGenFhir:
    """The FHIR side of one practice's NextGen."""

    def __init__(self, session: NextGenSession, fhir_url: str) -> None:
        self._session = session
        self._base = fhir_url.rstrip("/")

    async def read(self, kind: str, identifier: str) -> Resource | None:
        """Return a resource, or None where there is none."""
        url = f"{self._base}/{quote(kind, safe='')}/{quote(identifier, safe='')}"
        try:
            answer = await self._session.call("GET", url, "fhir.read", session=False)
        except Refused as refused:
            if refused.code in {"fhir.read:404", "fhir.read:410"}:
                return None
            raise
        return read_object(answer, "fhir.read")

    async def search(self, kind: str, params: Mapping[str, str]) -> list[Resource]:
        """Return everything that a search finds, over at most a hundred pages.

        Raises:
            NotUnderstood: it is not a searchset.
            Refused: there is more than that (`fhir.search:too_many`), or the server refuses the search.
        """
        found: list[Resource] = []
        query = {**params, "_count": str(_COUNT)}
        for _ in range(_MAX_PAGES):
            answer = await self._session.call("GET", f"{self._base}/{kind}", "fhir.search", params=query, session=False)
            bundle = read_object(answer, "fhir.search")
            if bundle.get("resourceType") != "Bundle":
                raise NotUnderstood("fhir.search:not_a_bundle", answer.content, "application/fhir+json")
            resources = [entry.get("resource") for entry in fhir.dicts(bundle.get("entry"))]
            found += [one for one in resources if isinstance(one, dict) and one.get("resourceType") == kind]
            following = next((one for one in fhir.dicts(bundle.get("link")) if one.get("relation") == "next"), None)
            if following is None:
                return found
            # Only the query of the link counts: its host may be an internal one.
            query = dict(parse_qsl(urlsplit(str(following.get("url"))).query))
        raise Refused("fhir.search:too_many")

    async def orders_since(self, cursor: datetime, limit: int = 100) -> Changes:
        """Return the orders that changed at or after `cursor` (an instant), oldest change first, about `limit` of them.

        An order may come again: who takes it knows it by its number. `more` says that a call with the new cursor will
        bring more at once.
        """
        self._session.access.require("orders.read")
        since = cursor.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        changed = await self.search("ServiceRequest", {"_lastUpdated": f"ge{since}"})
        timed = sorted(((_updated(one), one) for one in changed), key=lambda pair: pair[0])
        more = len(timed) > limit
        if more:
            # All that changed in the same moment stay together, or the cursor could not pass them.
            last = timed[limit - 1][0]
            timed = [pair for pair in timed if pair[0] <= last]
            more = len(timed) < len(changed)
        orders: dict[tuple[str, str], tuple[Resource, ...]] = {}
        for _, request in timed:
            key = (fhir.text(fhir.at(request, "subject", "reference")) or "", order_number(request))
            if key not in orders:
                orders[key] = await self._with_references(request)
        return Changes(tuple(orders.values()), max([cursor, *(at for at, _ in timed)]), more)

    async def files(self, patient_id: str) -> list[ChartFile]:
        """Return the current documents of a patient that are of a kind that policies ask for, newest first."""
        self._session.access.require("documents.read")
        found = await self.search("DocumentReference", {"patient": patient_id})
        files = [file for one in found if one.get("status") == "current" for file in _files(one)]
        return sorted(files, key=lambda file: file.dated or date.min, reverse=True)

    async def content(self, file: ChartFile) -> bytes | None:
        """Return a document's content: its own data, or what lies at its URL on this server; None where neither is."""
        if file.data:
            try:
                return base64.b64decode(file.data, validate=True)
            except binascii.Error:
                raise NotUnderstood("fhir.document:not_base64", b"", file.media_type) from None
        url = file.url or ""
        if "://" not in url and url:
            url = f"{self._base}/{url.lstrip('/')}"
        # The token goes to the practice's own servers only.
        homes = (f"{self._base}/", f"{self._session.access.base_url}/")
        if not url.startswith(homes) or ".." in url:
            return None
        rest = not url.startswith(homes[0])
        return (await self._session.call("GET", url, "fhir.document", session=rest)).content

    async def _with_references(self, request: Resource) -> tuple[Resource, ...]:
        """A request, the others of its order, and what they refer to, two steps far."""
        patient = fhir.text(fhir.at(request, "subject", "reference")) or ""
        found: dict[str, Resource] = {}
        patient_id = (fhir.local_reference(patient) or patient).rpartition("/")[2]
        siblings: Sequence[Resource] = [request]
        if patient_id and fhir.at(request, "requisition", "value"):
            mine = await self.search("ServiceRequest", {"patient": patient_id})
            siblings = [one for one in mine if order_number(one) == order_number(request)] or siblings
        coverages = await self.search("Coverage", {"patient": patient_id}) if patient_id else []
        waiting: list[Resource] = [*siblings, *coverages]
        for one in waiting:
            found[f"{one.get('resourceType')}/{one.get('id')}"] = one
        for _ in range(2):
            waiting = [fetched for one in waiting for fetched in await self._referred(one, found)]
        return tuple(found.values())

    async def _referred(self, resource: Resource, found: dict[str, Resource]) -> list[Resource]:
        fetched: list[Resource] = []
        for reference in _references(resource):
            kind, _, identifier = reference.partition("/")
            if reference in found or kind not in _NEEDED or len(found) >= _MAX_REFERENCES:
                continue
            one = await self.read(kind, identifier)
            if one is not None:
                found[reference] = one
                fetched.append(one)
        return fetched


_NEEDED = frozenset(
    {
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Location",
        "Condition",
        "RelatedPerson",
        "Coverage",
    }
)
_LEADING = (
    "subject", "requester", "performer", "locationReference", "reasonReference", "insurance", "payor", "subscriber",
    "beneficiary", "practitioner", "managingOrganization",
)  # fmt: skip


def _references(resource: Resource) -> list[str]:
    """The references that an order is read by."""
    found: list[str] = []
    for field in _LEADING:
        value: Any = resource.get(field)
        for one in value if isinstance(value, list) else [value]:
            local = fhir.local_reference(fhir.text(fhir.at(one, "reference")) or "")
            if local:
                found.append(local)
    return found


def _updated(resource: Resource) -> datetime:
    found = fhir.moment(fhir.at(resource, "meta", "lastUpdated"))
    if found is None:
        raise NotUnderstood("fhir.search:no_last_updated", b"", "application/fhir+json")
    return found


def _files(reference: Resource) -> list[ChartFile]:
    listed = [KINDS[code] for code in fhir.codes(reference.get("type")) if code in KINDS]
    named = (fhir.text(fhir.at(reference, "type", "text")) or "").lower().replace(" ", "_").replace("-", "_")
    kind = next(iter(listed), named if named in set(KINDS.values()) else None)
    if kind is None:
        return []
    signed = fhir.text(reference.get("docStatus")) in {None, "final", "amended"}
    period = fhir.at(reference, "context", "period", "start")
    return [
        ChartFile(
            kind=kind,
            media_type=fhir.text(fhir.at(attachment, "contentType")) or "",
            dated=fhir.day(period) or fhir.day(reference.get("date")) or fhir.day(fhir.at(attachment, "creation")),
            signed=signed,
            data=fhir.text(fhir.at(attachment, "data")),
            url=fhir.text(fhir.at(attachment, "url")),
        )
        for content in fhir.dicts(reference.get("content"))
        if (attachment := content.get("attachment"))
    ]
