"""Write what a practice asks of a payer: request, inquiry and cancel Bundles.

Deterministic: ids are made from the request's trace and times are the request's, so the same request is the same bytes
however often it is sent. Everything that the practice knows of the must-support elements goes along.
Source: PAS 2.2.1 and 2.0.1, `profile-pas-request-bundle`, `-inquiry-request-bundle`, `profile-claim`, `-claim-update`,
`-claim-inquiry`, `-documentreference`.
"""

import base64
import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from connectors.codes import (
    DOCUMENT_TYPE,
    DOCUMENT_TYPES,
    REPORT_TYPE,
    REPORT_TYPES,
    ROLE_FACILITY,
    ROLE_ORDERING,
    ROLE_RENDERING,
    SERVICE_TYPES,
    UNIT_KINDS,
    UNITS,
)
from connectors.pas import parties
from connectors.pas.fhir import Json
from connectors.pas.identity import cancel_trace, entry_id, full_url, item_trace
from connectors.pas.parties import PasPayer, concept, resource
from connectors.pas.words import (
    CPT,
    HCPCS,
    HL7,
    ICD10,
    LOINC,
    NOTE_CATEGORY,
    PAS,
    PAS_CODES,
    PLACE,
    X12_CERTIFICATION,
    X12_ENTITY,
    X12_LEVEL,
    X12_QUANTITY,
    X12_REPORT,
    X12_REQUEST,
    X12_SERVICE_TYPE,
    X12_TRANSMISSION,
)
from connectors.requester import Requester
from domain.decision import Number, NumberType
from domain.order import DocumentRef, Provider, Relationship, ServiceLine, Urgency
from domain.request import Request

Version = Literal["2.2.1", "2.0.1"]
Message = Literal["submit", "inquiry", "cancel"]
INITIAL, CANCEL = "I", "3"
"""X12 1322 (UM02)."""

_NUMBERS = {
    NumberType.CERTIFICATION: "authorizationNumber",
    NumberType.ADMINISTRATIVE: "administrationReferenceNumber",
}


def submit_bundle(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    version: Version,
    contents: Mapping[str, bytes] | None = None,
) -> Json:
    """Return the Bundle that asks for a request's lines. `contents` are its documents by id; one without is left out."""
    return _Writer(request, practice, payer, version, contents or {}).submit()


def inquiry_bundle(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    version: Version,
    numbers: tuple[Number, ...] = (),
) -> Json:
    """Return the Bundle that asks how a request stands: by the payer's numbers where there are any, else by services.

    PAS has no query by our trace: what comes back is matched to it afterwards.
    """
    return _Writer(request, practice, payer, version, {}).inquiry(numbers)


def cancel_bundle(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    version: Version,
    numbers: tuple[Number, ...] = (),
    contents: Mapping[str, bytes] | None = None,
) -> Json:
    """Return the Bundle that cancels a whole request: an update of it, with the prior Claim, every item cancelled.

    With the `contents` that the request was sent with, the prior Claim is what was sent.
    """
    return _Writer(request, practice, payer, version, contents or {}).cancel(numbers)


def preview(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    version: Version,
    message: Message,
    contents: Mapping[str, bytes] | None = None,
) -> Json:
    """Return what would be sent, for a person to look at; nothing is sent."""
    match message:
        case "submit":
            return submit_bundle(request, practice, payer, version, contents)
        case "inquiry":
            return inquiry_bundle(request, practice, payer, version)
        case "cancel":
            return cancel_bundle(request, practice, payer, version, contents=contents)


def encode(message: Json) -> bytes:
    """Return the JSON text that is sent, always the same for the same message."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


class _Writer:
    """One message in the making: entries are added in the order in which they are first needed."""

    def __init__(
        self, request: Request, practice: Requester, payer: PasPayer, version: Version, contents: Mapping[str, bytes]
    ) -> None:
        self.request = request
        self.practice = practice
        self.payer = payer
        self.is_2_2 = version == "2.2.1"
        self.contents = contents
        self.entries: dict[str, Json] = {}

    def submit(self) -> Json:
        self._reserve("claim")
        self.entries["claim"] = self._claim(self._documents())
        return self._bundle("profile-pas-request-bundle", self.request.trace)

    def cancel(self, numbers: tuple[Number, ...]) -> Json:
        self._reserve("cancel")
        prior = self._claim(self._documents())
        claim = copy.deepcopy(prior)
        claim["meta"] = {"profile": [f"{PAS}profile-claim-update"]}
        claim["identifier"] = [self._identifier(cancel_trace(self.request.trace))]
        claim["related"] = [
            {
                "claim": {"reference": self._url("claim")},
                "relationship": concept(f"{HL7}ex-relatedclaimrelationship", "prior"),
            }
        ]
        extensions = [_coded("certificationType", X12_CERTIFICATION, CANCEL)]
        extensions += self._named(numbers) if self.is_2_2 else []
        claim["extension"] = [*claim.get("extension", []), *extensions]
        for item in claim["item"]:
            kept = [e for e in item["extension"] if not e["url"].endswith("extension-certificationType")]
            kept.append(_coded("certificationType", X12_CERTIFICATION, CANCEL))
            kept += [] if self.is_2_2 else self._named(numbers)
            item["extension"] = [*kept, _extension("infoChanged", valueCode="changed")]
            cancelled = {"url": f"{PAS}modifierextension-infoCancelled", "valueBoolean": True}
            item["modifierExtension"] = [cancelled]
        self.entries["cancel"] = claim
        self.entries["claim"] = prior
        return self._bundle("profile-pas-request-bundle", cancel_trace(self.request.trace))

    def inquiry(self, numbers: tuple[Number, ...]) -> Json:
        self._reserve("inquiry")
        named = self._named(numbers)
        # The identifier is the inquiry's own; made from what it asks, so that asking the same again is the same message.
        asked = entry_id(self.request.trace, "inquiry " + " ".join(e["valueString"] for e in named))
        items: list[Json] = []
        if named and not self.is_2_2:
            nothing = concept(f"{HL7}data-absent-reason", "not-applicable")
            items = [self._inquired(1, nothing, named)]
        elif not named:
            items = [self._inquired(line.number, _service(line), []) for line in self.request.service_lines]
        self.entries["inquiry"] = resource(
            "Claim",
            "profile-claim-inquiry",
            extension=named if self.is_2_2 else None,
            identifier=[self._identifier(asked)],
            **self._head(),
            insurance=self._insurance(),
            item=items,
        )
        return self._bundle("profile-pas-inquiry-request-bundle", asked)

    def _bundle(self, profile: str, identifier: str) -> Json:
        trace = self.request.trace
        return {
            "resourceType": "Bundle",
            "id": entry_id(trace, f"bundle {identifier}"),
            "meta": {"profile": [f"{PAS}{profile}"]},
            "identifier": self._identifier(identifier),
            "type": "collection",
            "timestamp": self._made_at(),
            "entry": [
                {"fullUrl": self._url(what), "resource": _with_id(made, entry_id(trace, what))}
                for what, made in self.entries.items()
            ],
        }

    def _reserve(self, what: str) -> None:
        """Keep a place: the Claim stands first, and is made last."""
        self.entries[what] = {}

    def _url(self, what: str) -> str:
        return full_url(self.request.trace, what)

    def _refer(self, what: str, made: Json) -> Json:
        self.entries.setdefault(what, made)
        return {"reference": self._url(what)}

    def _identifier(self, value: str) -> Json:
        return {"system": self.practice.trace_system, "value": value}

    def _made_at(self) -> str:
        return instant(self.request.made_at)

    def _head(self) -> Json:
        """What every Claim says first."""
        order, coverage = self.request.order, self.request.coverage
        hurry = order.urgency is not Urgency.ROUTINE
        return {
            "status": "active",
            "type": concept(f"{HL7}claim-type", "professional"),
            "use": "preauthorization",
            "patient": self._refer("patient", parties.patient(order.patient, coverage, self.payer)),
            "created": self._made_at(),
            "insurer": self._refer("payer", parties.insurer(self.payer)),
            "provider": self._refer("practice", parties.requestor(self.practice)),
            "priority": concept(f"{HL7}processpriority", "stat" if hurry else "normal"),
        }

    def _insurance(self) -> list[Json]:
        coverage = self.request.coverage
        urls = {"patient": self._url("patient"), "payer": self._url("payer")}
        if coverage.relationship is not Relationship.SELF:
            urls["subscriber"] = self._refer("subscriber", parties.subscriber(coverage, self.payer))["reference"]
        made = parties.coverage_of(coverage, self.payer, urls)
        return [{"sequence": 1, "focal": True, "coverage": self._refer("coverage", made)}]

    def _claim(self, documents: list[Json]) -> Json:
        order = self.request.order
        head = self._head()
        insurance = self._insurance()
        team = self._care_team()
        information = [*documents]
        if order.urgency_attestation:
            information.append(_message(len(information) + 1, order.urgency_attestation))
        diagnoses = [
            {
                "sequence": place,
                "diagnosisCodeableConcept": concept(ICD10, code),
                **({"type": [concept(PAS_CODES, "principal")]} if place == 1 else {}),
            }
            for place, code in enumerate(order.diagnoses, start=1)
        ]
        hurry = order.urgency is not Urgency.ROUTINE
        return resource(
            "Claim",
            "profile-claim",
            extension=[_coded("levelOfServiceCode", X12_LEVEL, "U")] if hurry else None,
            identifier=[self._identifier(self.request.trace)],
            **head,
            careTeam=team,
            supportingInfo=information,
            diagnosis=diagnoses,
            insurance=insurance,
            item=[self._item(line, team, diagnoses, documents) for line in self.request.service_lines],
        )

    def _care_team(self) -> list[Json]:
        order = self.request.order
        members: list[Json] = [self._clinician("ordering", order.ordering, ROLE_ORDERING)]
        if order.rendering is not None and order.rendering.npi != order.ordering.npi:
            members.append(self._clinician("rendering", order.rendering, ROLE_RENDERING))
        if order.facility is not None:
            members.append(_member(self._refer("facility", parties.facility(order.facility)), ROLE_FACILITY))
        return [{**member, "sequence": place} for place, member in enumerate(members, start=1)]

    def _clinician(self, what: str, person: Provider, role: str) -> Json:
        urls = {"practitioner": self._refer(f"{what} clinician", parties.practitioner(person))["reference"]}
        if what == "ordering":
            urls["organization"] = self._url("practice")
        return _member(self._refer(what, parties.role(person, self.practice, urls)), role)

    def _item(self, line: ServiceLine, team: list[Json], diagnoses: list[Json], documents: list[Json]) -> Json:
        trace = self._identifier(item_trace(self.request.trace, line.number))
        wanted = self._refer(f"service {line.number}", self._service_request(line))
        item: Json = {
            "extension": [
                *self._kind(),
                _extension("itemTraceNumber", valueIdentifier=trace),
                _extension("requestedService", valueReference=wanted),
            ],
            "sequence": line.number,
            "careTeamSequence": [member["sequence"] for member in team],
            "diagnosisSequence": [diagnosis["sequence"] for diagnosis in diagnoses],
            "informationSequence": [document["sequence"] for document in documents],
            "category": concept(X12_SERVICE_TYPE, SERVICE_TYPES[line.category]),
            "productOrService": _service(line),
            "modifier": [concept(CPT if modifier.isdigit() else HCPCS, modifier) for modifier in line.modifiers],
            **_served(line),
            "locationCodeableConcept": concept(PLACE, line.place_of_service),
            "quantity": _quantity(line),
        }
        return {name: value for name, value in item.items() if value != []}

    def _kind(self) -> list[Json]:
        return [
            _coded("serviceItemRequestType", X12_REQUEST, "SC" if self.request.referral else "HS"),
            _coded("certificationType", X12_CERTIFICATION, INITIAL),
        ]

    def _inquired(self, sequence: int, service: Json, numbers: list[Json]) -> Json:
        return {"extension": [*self._kind(), *numbers], "sequence": sequence, "productOrService": service}

    def _named(self, numbers: tuple[Number, ...]) -> list[Json]:
        """The payer's numbers by their extensions, the latest of each kind: each may stand once."""
        latest = {_NUMBERS[number.type]: number.value for number in numbers if number.type in _NUMBERS}
        return [_extension(name, valueString=latest[name]) for name in _NUMBERS.values() if name in latest]

    def _service_request(self, line: ServiceLine) -> Json:
        order = self.request.order
        return resource(
            "ServiceRequest",
            "profile-servicerequest",
            status="active",
            intent="order",
            priority={"routine": "routine", "urgent": "urgent", "stat": "stat"}[order.urgency.value],
            code=_service(line),
            quantityQuantity=_quantity(line),
            subject={"reference": self._url("patient")},
            authoredOn=instant(order.ordered_at),
            requester={"reference": self._url("ordering")},
            reasonCode=[concept(ICD10, code) for code in order.diagnoses],
        )

    def _documents(self) -> list[Json]:
        known = [ref for ref in self.request.documents if ref.id in self.contents]
        return [self._document(place, ref) for place, ref in enumerate(known, start=1)]

    def _document(self, sequence: int, ref: DocumentRef) -> Json:
        told: dict[str, Json] = {
            "reportTypeCode": {"valueCodeableConcept": concept(X12_REPORT, REPORT_TYPES.get(ref.kind, REPORT_TYPE))},
            "transmissionMethod": {"valueCodeableConcept": concept(X12_TRANSMISSION, "EL")},
            "controlNumber": {"valueString": f"{self.request.attempt}-{ref.id[:16]}"},
            "description": {"valueString": ref.kind.replace("_", " ")},
        }
        information = _extension("documentInformation", extension=[{"url": k, **v} for k, v in told.items()])
        content = base64.b64encode(self.contents[ref.id]).decode()
        dated = {"period": {"start": ref.dated.isoformat(), "end": ref.dated.isoformat()}} if ref.dated else None
        made = resource(
            "DocumentReference",
            "profile-documentreference" if self.is_2_2 else None,
            status="current",
            type=concept(LOINC, DOCUMENT_TYPES.get(ref.kind, DOCUMENT_TYPE)),
            category=[concept(NOTE_CATEGORY, "clinical-note")],
            subject={"reference": self._url("patient")},
            content=[{"attachment": {"contentType": ref.media_type, "data": content}}],
            context=dated,
        )
        entry: Json = {
            "sequence": sequence,
            "category": concept(PAS_CODES, "additionalInformation"),
            "valueReference": self._refer(f"document {ref.id}", made),
        }
        return {"extension": [information], **entry} if self.is_2_2 else entry


def instant(moment: datetime) -> str:
    """Return a FHIR instant in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_id(made: Json, identity: str) -> Json:
    return {"resourceType": made["resourceType"], "id": identity, **made}


def _extension(name: str, **value: Any) -> Json:
    return {"url": f"{PAS}extension-{name}", **value}


def _coded(name: str, system: str, code: str) -> Json:
    return _extension(name, valueCodeableConcept=concept(system, code))


def _member(provider: Json, role: str) -> Json:
    return {
        "extension": [_extension("careTeamClaimScope", valueBoolean=True)],
        "sequence": 0,
        "provider": provider,
        "role": concept(X12_ENTITY, role),
    }


def _message(sequence: int, said: str) -> Json:
    return {"sequence": sequence, "category": concept(PAS_CODES, "freeFormMessage"), "valueString": said}


def _service(line: ServiceLine) -> Json:
    return concept(CPT if line.code_system == "cpt" else HCPCS, line.code)


def _served(line: ServiceLine) -> Json:
    start = line.service_from.isoformat()
    if line.service_to is None or line.service_to == line.service_from:
        return {"servicedDate": start}
    return {"servicedPeriod": {"start": start, "end": line.service_to.isoformat()}}


def _quantity(line: ServiceLine) -> Json:
    return {
        "value": line.units,
        "unit": line.unit_kind.replace("_", " "),
        "system": X12_QUANTITY,
        "code": UNIT_KINDS.get(line.unit_kind, UNITS),
    }
