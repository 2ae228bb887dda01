"""What a PAS message asks for, as an `Asked`: a reading of the Bundle of its own, that knows nothing of how ours is made.

Source: Da Vinci PAS 2.2.1 and 2.0.1, by the element definitions; CDex 2.1.0 for `$submit-attachment`.
"""

import base64
import binascii
import hashlib
import json
from datetime import date

from sandbox.asked import SELF, Asked, AskedDocument, AskedLine, Kind, Person, Urgency
from sandbox.pas_check import is_cancel, member_id, requestor_npi
from sandbox.pas_words import NPI, X12, BundleIndex, codings, dicts, extension, extension_code, first_code, reference_of
from sandbox.records import Json

_SEXES = {"female": "F", "male": "M"}
_LEVELS: dict[str, Urgency] = {"U": "urgent", "03": "stat"}
_COUNTED = frozenset({"VS", "DY"})
_CRD = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
_ROLES = {"DK": "ordering", "SJ": "rendering", "FA": "facility"}
NUMBERS = ("authorizationNumber", "administrationReferenceNumber")


def read_bundle(bundle: Json, *, inquiry: bool = False) -> Asked:
    """Read a request, update, cancel or inquiry Bundle that has passed `check_bundle`."""
    index = BundleIndex(bundle)
    url = str(index.entries[0]["fullUrl"])
    claim: Json = index.entries[0]["resource"]
    reading = _Reading(index, url, claim)
    identifier = dicts(claim.get("identifier"))[0]
    subscriber, patient = reading.people()
    team = reading.team()
    name = reading.resource(claim.get("provider"))
    return Asked(
        kind=_kind(claim, inquiry=inquiry),
        trace=str(identifier.get("value", "")),
        originator=str(identifier.get("system", "")).removeprefix("urn:trnorg:"),
        payer=_identifier(reading.resource(claim.get("insurer"))),
        requester_npi=requestor_npi(index, claim, url),
        requester_name=str(name.get("name", "")) if isinstance(name.get("name"), str) else "",
        member_id=member_id(index, claim, url),
        subscriber=subscriber,
        patient=patient,
        ordering_npi=team.get("ordering", ""),
        rendering_npi=team.get("rendering", ""),
        facility_npi=team.get("facility", ""),
        diagnoses=tuple(
            first_code(entry.get("diagnosisCodeableConcept")).replace(".", "").upper()
            for entry in dicts(claim.get("diagnosis"))
        ),
        urgency=_LEVELS.get(extension_code(claim, "levelOfServiceCode"), "routine"),
        referral=any(extension_code(item, "serviceItemRequestType") == "SC" for item in dicts(claim.get("item"))),
        lines=tuple(_line(item) for item in dicts(claim.get("item")) if _is_asked(item, claim)),
        documents=reading.documents(),
        prior_numbers=tuple(dict.fromkeys(number for element in _elements(claim) for number in _numbers(element))),
        message=_message(claim),
        assertion=reading.assertion(),
    )


def read_attachment(parameters: Json) -> Asked:
    """Read the Parameters of `$submit-attachment` that have passed `check_attachment`."""
    given = {str(entry.get("name")): entry for entry in dicts(parameters.get("parameter"))}

    def value(name: str) -> str:
        identifier = given.get(name, {}).get("valueIdentifier")
        return str(identifier.get("value", "")) if isinstance(identifier, dict) else ""

    documents: list[AskedDocument] = []
    for entry in dicts(parameters.get("parameter")):
        if entry.get("name") == "Attachment":
            parts = {str(part.get("name")): part for part in dicts(entry.get("part"))}
            kind = first_code(parts.get("Code", {}).get("valueCodeableConcept"))
            documents.append(AskedDocument(value("TrackingId"), kind, _hash(parts.get("Content", {}).get("resource"))))
    return Asked(
        kind="attachment",
        trace=value("TrackingId"),
        payer=value("PayerId"),
        member_id=value("MemberId"),
        subscriber=Person(""),
        requester_npi=value("OrganizationId"),
        ordering_npi=value("ProviderId"),
        documents=tuple(documents),
        prior_numbers=tuple(number for number in (value("AdminRefNumber"),) if number),
    )


class _Reading:
    """One Bundle, with what its Claim refers to."""

    def __init__(self, index: BundleIndex, url: str, claim: Json) -> None:
        self.index = index
        self.url = url
        self.claim = claim

    def resource(self, reference: object, base: str | None = None) -> Json:
        return self.index.resource(reference_of(reference), base or self.url) or {}

    def people(self) -> tuple[Person, Person | None]:
        """The subscriber, and the patient where that is somebody else."""
        insurance = next((one for one in dicts(self.claim.get("insurance")) if one.get("focal") is True), {})
        coverage_url = reference_of(insurance.get("coverage"))
        entry = self.index.entry(coverage_url, self.url) or {}
        coverage: Json = entry.get("resource") or {}
        relation = next(
            (c.get("code") for c in codings(coverage.get("relationship")) if c.get("system") == f"{X12}1069"), ""
        )
        patient = _person(self.resource(self.claim.get("patient")), str(relation or SELF))
        subscriber = self.resource(coverage.get("subscriber"), str(entry.get("fullUrl", self.url)))
        if patient.relationship == SELF or not subscriber:
            return patient, None
        return _person(subscriber, SELF), patient

    def team(self) -> dict[str, str]:
        """The NPIs of the care team by role."""
        found: dict[str, str] = {}
        for one in dicts(self.claim.get("careTeam")):
            role = _ROLES.get(first_code(one.get("role")))
            if role is not None:
                found.setdefault(role, self._npi(reference_of(one.get("provider"))))
        return found

    def _npi(self, reference: str) -> str:
        entry = self.index.entry(reference, self.url) or {}
        provider: Json = entry.get("resource") or {}
        who = self.resource(provider.get("practitioner"), str(entry.get("fullUrl", self.url))) or provider
        return next((str(i.get("value", "")) for i in dicts(who.get("identifier")) if i.get("system") == NPI), "")

    def assertion(self) -> str:
        """The coverage-assertion-id of what the items ask for, where they have one."""
        for item in dicts(self.claim.get("item")):
            wanted = self.resource((extension(item, "requestedService") or {}).get("valueReference"))
            for told in dicts(wanted.get("extension")):
                parts = dicts(told.get("extension")) if told.get("url") == _CRD else []
                for part in parts:
                    if part.get("url") == "coverage-assertion-id":
                        return str(part.get("valueString", ""))
        return ""

    def documents(self) -> tuple[AskedDocument, ...]:
        """What supports the request, where it is a document."""
        found: list[AskedDocument] = []
        for info in dicts(self.claim.get("supportingInfo")):
            if first_code(info.get("category")) != "additionalInformation":
                continue
            told = {
                str(part.get("url")): part
                for part in dicts((extension(info, "documentInformation") or {}).get("extension"))
            }
            number = str(told.get("controlNumber", {}).get("valueString", ""))
            resource = self.resource(info.get("valueReference"))
            kind = first_code(told.get("reportTypeCode", {}).get("valueCodeableConcept"))
            found.append(AskedDocument(number, kind or first_code(resource.get("type")), _hash(resource)))
        return tuple(found)


def _kind(claim: Json, *, inquiry: bool) -> Kind:
    if inquiry:
        return "inquiry"
    if is_cancel(claim):
        return "cancel"
    return "update" if dicts(claim.get("related")) else "request"


def is_cancelled(item: Json) -> bool:
    """Whether an item (or a piece of information) was taken back."""
    return any(m.get("valueBoolean") is True for m in dicts(item.get("modifierExtension")))


def _is_asked(item: Json, claim: Json) -> bool:
    """Whether an item is asked for: not one that was taken back, unless the whole is."""
    return is_cancel(claim) or not is_cancelled(item)


def _message(claim: Json) -> str:
    """What is said in words, where it was not taken back."""
    said = [one for one in dicts(claim.get("supportingInfo")) if first_code(one.get("category")) == "freeFormMessage"]
    return " ".join(str(one.get("valueString", "")) for one in said if not is_cancelled(one))


def _line(item: Json) -> AskedLine:
    period = item.get("servicedPeriod")
    start = _day(item.get("servicedDate") or (period or {}).get("start"))
    quantity = item.get("quantity")
    return AskedLine(
        sequence=item["sequence"],
        code=first_code(item.get("productOrService")).upper(),
        modifiers=tuple(first_code(modifier) for modifier in dicts(item.get("modifier")))[:4],
        units=float(quantity.get("value", 1)) if isinstance(quantity, dict) else 1,
        place_of_service=first_code(item.get("locationCodeableConcept")),
        date_from=start,
        date_to=_day((period or {}).get("end")) or start,
        counted=kind if isinstance(quantity, dict) and (kind := quantity.get("code", "")) in _COUNTED else "",
        service_type=first_code(item.get("category")),
    )


def _person(patient: Json, relationship: str) -> Person:
    name = next(iter(dicts(patient.get("name"))), {})
    given = name.get("given")
    return Person(
        family=str(name.get("family", "")).strip(),
        given=" ".join(str(one).strip() for one in given) if isinstance(given, list) else "",
        birth_date=_day(patient.get("birthDate")),
        sex=_SEXES.get(str(patient.get("gender")), "U"),
        relationship=relationship,
    )


def _identifier(resource: Json) -> str:
    """How a payer is named: by its own id, else by its first identifier."""
    identifiers = dicts(resource.get("identifier"))
    own = [i for i in identifiers if first_code(i.get("type")) == "payerid"]
    return next((str(i.get("value", "")) for i in own + identifiers), "")


def _elements(claim: Json) -> list[Json]:
    return [claim, *dicts(claim.get("item"))]


def _numbers(element: Json) -> list[str]:
    found = [extension(element, name) for name in NUMBERS]
    return [str(one["valueString"]) for one in found if one is not None and isinstance(one.get("valueString"), str)]


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _hash(resource: object) -> str | None:
    """SHA-256 of a document's content; of a form, of its JSON with sorted keys."""
    if not isinstance(resource, dict):
        return None
    if resource.get("resourceType") == "DocumentReference":
        for content in dicts(resource.get("content")):
            data = (content.get("attachment") or {}).get("data")
            try:
                return (
                    hashlib.sha256(base64.b64decode(data, validate=True)).hexdigest() if isinstance(data, str) else None
                )
            except binascii.Error:
                return None
        return None
    return hashlib.sha256(json.dumps(resource, sort_keys=True).encode()).hexdigest()
