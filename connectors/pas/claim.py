"""A Claim and all that it refers to, in the making: entries are added in the order in which they are first needed.

Source: PAS 2.2.1 and 2.0.1, `profile-pas-request-bundle`, `profile-claim`. What is sent and what is not: `docs/pas.md`.
"""

from collections.abc import Mapping
from typing import Literal

from connectors.codes import ROLE_FACILITY, ROLE_ORDERING, ROLE_RENDERING, SERVICE_TYPES
from connectors.errors import Refused
from connectors.lenient import Json
from connectors.pas import parties
from connectors.pas.documents import document_reference, form, is_form, report_type
from connectors.pas.elements import (
    coded,
    extension,
    information,
    instant,
    member,
    modifiers,
    quantity,
    service,
    timed,
)
from connectors.pas.identity import entry_id, full_url, line_trace
from connectors.pas.parties import PasPayer, concept, resource
from connectors.pas.words import (
    ABSENT,
    COVERAGE_INFORMATION,
    HL7,
    ICD10,
    PAS,
    PAS_CODES,
    PLACE,
    X12_CERTIFICATION,
    X12_LEVEL,
    X12_REQUEST,
    X12_SERVICE_TYPE,
    X12_TRANSMISSION,
)
from connectors.requester import Requester
from domain.order import DocumentRef, Provider, Relationship, ServiceLine, Urgency
from domain.request import Request

Version = Literal["2.2.1", "2.0.1"]
INITIAL, REVISED, CANCEL = "I", "S", "3"
"""X12 1322 (UM02)."""
_LEVELS = {Urgency.URGENT: "U", Urgency.STAT: "03"}
"""X12 1338 (UM06): urgent, emergency."""


class Writer:
    """One message about a request. With `earlier`, resources that are unchanged since it are the same as there.

    `contents` are the request's documents by id; without them (None) documents are left out.

    Raises:
        Refused: (when it writes) the content of a document is not there, or a form is none.
    """

    def __init__(
        self,
        request: Request,
        practice: Requester,
        payer: PasPayer,
        version: Version,
        contents: Mapping[str, bytes] | None,
        earlier: "Writer | None" = None,
    ) -> None:
        self.request = request
        self.practice = practice
        self.payer = payer
        self.is_2_2 = version == "2.2.1"
        self.entries: dict[str, Json] = {}
        """The resources by their fullUrl."""
        self._contents = contents
        self._earlier = earlier
        self._urls: dict[str, str] = {}

    def bundle(self, profile: str, identifier: str) -> Json:
        """Return the Bundle of all entries."""
        return {
            "resourceType": "Bundle",
            "id": entry_id(self.request.trace, f"bundle {identifier}"),
            "meta": {"profile": [f"{PAS}{profile}"]},
            "identifier": self.identifier(identifier),
            "type": "collection",
            "timestamp": instant(self.request.made_at),
            "entry": [
                {
                    "fullUrl": url,
                    "resource": {"resourceType": made["resourceType"], "id": url.rpartition(":")[2], **made},
                }
                for url, made in self.entries.items()
            ],
        }

    def url(self, what: str) -> str:
        """Return the fullUrl of a resource in this message."""
        return self._urls.get(what) or full_url(self.request.trace, what)

    def refer(self, what: str, made: Json) -> Json:
        """Return a reference to a resource, which is added where it is not there."""
        url = full_url(self.request.trace, what)
        if self._earlier is not None:
            before = self._earlier.url(what)
            url = before if self._earlier.entries.get(before) == made else url
        self._urls[what] = url
        self.entries.setdefault(url, made)
        return {"reference": url}

    def identifier(self, value: str) -> Json:
        """Return an identifier that the practice gives."""
        return {"system": self.practice.trace_system, "value": value}

    def head(self) -> Json:
        """Return what every Claim says first."""
        order, coverage = self.request.order, self.request.coverage
        return {
            "status": "active",
            "type": concept(f"{HL7}claim-type", "professional"),
            "use": "preauthorization",
            "patient": self.refer("patient", parties.patient(order.patient, coverage, self.payer)),
            "created": instant(self.request.made_at),
            "insurer": self.refer("payer", parties.insurer(self.payer)),
            "provider": self.refer("practice", parties.requestor(self.practice)),
            "priority": concept(f"{HL7}processpriority", "normal" if order.urgency is Urgency.ROUTINE else "stat"),
        }

    def insurance(self) -> list[Json]:
        """Return the one coverage that is asked to pay."""
        coverage = self.request.coverage
        urls = {"patient": self.url("patient"), "payer": self.url("payer")}
        if coverage.relationship is not Relationship.SELF:
            urls["subscriber"] = self.refer("subscriber", parties.subscriber(coverage, self.payer))["reference"]
        made = parties.coverage_of(coverage, self.payer, urls)
        return [{"sequence": 1, "focal": True, "coverage": self.refer("coverage", made)}]

    def claim(self) -> Json:
        """Return the Claim that asks for every line of the request."""
        order = self.request.order
        head, insurance, team = self.head(), self.insurance(), self._care_team()
        documents = [(ref, self._document(ref)) for ref in self._documents()]
        said = [made for _, made in documents] + self._remarks()
        said = [{**made, "sequence": place} for place, made in enumerate(said, start=1)]
        diagnoses = [
            {
                "sequence": place,
                "diagnosisCodeableConcept": concept(ICD10, code),
                **({"type": [concept(PAS_CODES, "principal")]} if place == 1 else {}),
            }
            for place, code in enumerate(order.diagnoses, start=1)
        ]
        pointers = {
            "careTeamSequence": [one["sequence"] for one in team],
            "diagnosisSequence": [one["sequence"] for one in diagnoses],
            "informationSequence": list(range(1, len(documents) + 1)),
        }
        return resource(
            "Claim",
            "profile-claim",
            extension=self._extensions(),
            identifier=[self.identifier(self.request.trace)],
            **head,
            careTeam=team,
            supportingInfo=said,
            diagnosis=diagnoses,
            insurance=insurance,
            item=[self._item(line, pointers) for line in self.request.service_lines],
        )

    def _extensions(self) -> list[Json]:
        level = _LEVELS.get(self.request.order.urgency)
        made = [coded("levelOfServiceCode", X12_LEVEL, level)] if level else []
        if self.is_2_2 and self.payer.sender and self.payer.receiver:
            codes = {
                "applicationSenderCode": self.payer.sender,
                "applicationReceiverCode": self.payer.receiver,
                "interchangeSenderID": self.payer.sender,
                "interchangeReceiverID": self.payer.receiver,
            }
            parts = [{"url": url, "valueString": code} for url, code in codes.items()]
            made.append(extension("TransmissionIdentifiers", extension=parts))
        return made

    def kind(self, certification: str) -> list[Json]:
        """Return what is asked for: a review or a referral, and as what (X12 1525, 1322)."""
        return [
            coded("serviceItemRequestType", X12_REQUEST, "SC" if self.request.referral else "HS"),
            coded("certificationType", X12_CERTIFICATION, certification),
        ]

    def _care_team(self) -> list[Json]:
        order = self.request.order
        members: list[Json] = [self._clinician("ordering", order.ordering, ROLE_ORDERING)]
        if order.rendering is not None and order.rendering.npi != order.ordering.npi:
            members.append(self._clinician("rendering", order.rendering, ROLE_RENDERING))
        if order.facility is not None:
            members.append(member(self.refer("facility", parties.facility(order.facility)), ROLE_FACILITY))
        return [{**one, "sequence": place} for place, one in enumerate(members, start=1)]

    def _clinician(self, what: str, person: Provider, role: str) -> Json:
        ours = self.practice if what == "ordering" else None
        urls = {"practitioner": self.refer(f"{what} clinician", parties.practitioner(person, ours))["reference"]}
        if ours is not None:
            urls["organization"] = self.url("practice")
        return member(self.refer(what, parties.role(person, self.practice, urls)), role)

    def _item(self, line: ServiceLine, pointers: dict[str, list[int]]) -> Json:
        trace = self.identifier(line_trace(self.request, line.number))
        wanted = self.refer(f"service {line.number}", self._service_request(line))
        item: Json = {
            "extension": [
                *self.kind(INITIAL),
                extension("itemTraceNumber", valueIdentifier=trace),
                extension("requestedService", valueReference=wanted),
            ],
            "sequence": line.number,
            **pointers,
            "category": concept(X12_SERVICE_TYPE, SERVICE_TYPES[line.category]),
            "productOrService": service(line),
            "modifier": modifiers(line),
            **timed("serviced", line.service_from, line.service_to),
            "locationCodeableConcept": concept(PLACE, line.place_of_service),
            "quantity": quantity(line),
        }
        return {name: value for name, value in item.items() if value != []}

    def _service_request(self, line: ServiceLine) -> Json:
        order = self.request.order
        return resource(
            "ServiceRequest",
            "profile-servicerequest",
            extension=[self._coverage_information()] if self.request.assertion else None,
            status="active",
            intent="order",
            priority={"routine": "routine", "urgent": "urgent", "stat": "stat"}[order.urgency.value],
            code=service(line),
            quantityQuantity=quantity(line),
            subject={"reference": self.url("patient")},
            authoredOn=instant(order.ordered_at),
            requester={"reference": self.url("ordering")},
            reasonCode=[concept(ICD10, code) for code in order.diagnoses],
        )

    def _coverage_information(self) -> Json:
        """The payer's own word (CRD) by its assertion id. The rest of what it said then is the payer's to look up."""
        unknown = {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}
        parts: list[Json] = [
            {"url": "coverage", "valueReference": {"reference": self.url("coverage")}},
            {"url": "covered", "_valueCode": unknown},
            {"url": "pa-needed", "valueCode": "auth-needed"},
            {"url": "date", "_valueDate": unknown},
            {"url": "coverage-assertion-id", "valueString": self.request.assertion},
        ]
        return {"url": COVERAGE_INFORMATION, "extension": parts}

    def _remarks(self) -> list[Json]:
        """What goes along beside documents: when the services are, and why it cannot wait."""
        lines = self.request.service_lines
        last = max(line.service_to or line.service_from for line in lines)
        made = [information("patientEvent", **timed("timing", min(line.service_from for line in lines), last))]
        if self.request.order.urgency_attestation:
            made.append(information("freeFormMessage", valueString=self.request.order.urgency_attestation))
        return made

    def _documents(self) -> tuple[DocumentRef, ...]:
        return self.request.documents if self._contents is not None else ()

    def _document(self, ref: DocumentRef) -> Json:
        content = (self._contents or {}).get(ref.id)
        if content is None:
            raise Refused("document_missing")
        made = self._form(content) if is_form(ref) else self._reference(ref, content)
        entry = information("additionalInformation", valueReference=self.refer(f"document {ref.id}", made))
        if not self.is_2_2:
            return entry
        told: dict[str, Json] = {
            "reportTypeCode": {"valueCodeableConcept": report_type(ref)},
            "transmissionMethod": {"valueCodeableConcept": concept(X12_TRANSMISSION, "EL")},
            "controlNumber": {"valueString": self.request.control_number(ref)},
            "description": {"valueString": ref.kind.replace("_", " ")},
        }
        return {
            "extension": [extension("documentInformation", extension=[{"url": k, **v} for k, v in told.items()])],
            **entry,
        }

    def _reference(self, ref: DocumentRef, content: bytes) -> Json:
        profile = "profile-documentreference" if self.is_2_2 else None
        return document_reference(ref, content, {"reference": self.url("patient")}, profile)

    def _form(self, content: bytes) -> Json:
        ordering = {"reference": self.url("ordering")}
        known = {
            "Patient": {"reference": self.url("patient")},
            "Coverage": {"reference": self.url("coverage")},
            "Practitioner": ordering,
            "PractitionerRole": ordering,
            "Organization": {"reference": self.url("practice")},
        }
        return form(content, known.get)
