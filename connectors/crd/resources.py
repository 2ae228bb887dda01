"""An order as FHIR resources of CRD and DTR: Patient, Coverage, ServiceRequests, and who orders and performs where.

Ids are made from the case, so that the same order has the same resources in every question. Elements that the practice does
not know are left out, never made up.
Sources: Da Vinci CRD 2.2.1 and 2.0.1, `profile-servicerequest`, `profile-coverage`, `profile-appointment`.
"""

import uuid
from datetime import datetime

from connectors.lenient import Json
from connectors.pas import parties
from connectors.pas.elements import instant, modifiers, quantity, service
from connectors.pas.identity import NAMESPACE
from connectors.pas.parties import PasPayer, concept
from connectors.pas.words import ICD10, NPI, PLACE, TAXONOMY
from connectors.requester import Requester
from domain.base import Key
from domain.order import Facility, Order, Provider, Relationship, ServiceLine, Urgency

ROLE = "PractitionerRole"
_PRIORITY = {Urgency.ROUTINE: "routine", Urgency.URGENT: "urgent", Urgency.STAT: "stat"}


class OrderResources:
    """The resources of one order under one coverage; `case` names it among all."""

    def __init__(self, order: Order, rank: int, practice: Requester, payer: PasPayer, case: Key) -> None:
        self._order, self._case = order, case
        held = order.coverage(rank)
        self.patient = self._plain(parties.patient(order.patient, held, payer), "patient")
        self.payer = self._plain(parties.insurer(payer), "payer")
        self.practice = self._plain(parties.requestor(practice), "practice")
        urls = {"patient": self._ref("Patient", "patient"), "payer": self._ref("Organization", "payer")}
        if held.relationship is Relationship.SELF:
            self.coverage = self._plain(parties.coverage_of(held, payer, urls), "coverage")
        else:
            urls["subscriber"] = f"#{self._id('subscriber')}"
            contained = [self._plain(parties.subscriber(held, payer), "subscriber")]
            self.coverage = self._plain(parties.coverage_of(held, payer, urls), "coverage") | {"contained": contained}
        people = {"ordering": order.ordering} | ({"rendering": order.rendering} if order.rendering else {})
        self.practitioners = [self._person(name, person) for name, person in people.items()]
        self.roles = [self._role(name, person) for name, person in people.items()]
        self.locations = [self._place(order.facility)] if order.facility else []
        self.requests = [self._request(line) for line in order.lines]

    @property
    def requester(self) -> str:
        """The reference of who orders."""
        return self._ref(ROLE, "ordering role")

    @property
    def performer(self) -> str:
        """The reference of who is to perform it: a clinician, else a place, else who orders."""
        if self._order.rendering is not None:
            return self._ref(ROLE, "rendering role")
        return self._ref("Location", "facility") if self.locations else self.requester

    def appointment(self, starts_at: datetime | None) -> Json:
        """The visit that is being booked for the order."""
        who = [self._ref("Patient", "patient"), self.performer]
        made: Json = {
            "resourceType": "Appointment",
            "id": self._id("appointment"),
            "status": "proposed",
            "basedOn": [{"reference": f"ServiceRequest/{one['id']}"} for one in self.requests],
            "participant": [{"actor": {"reference": one}, "status": "needs-action"} for one in who],
        }
        return made | ({"start": instant(starts_at)} if starts_at is not None else {})

    def of_kind(self, kind: str) -> list[Json]:
        """The resources of a type, for whoever asks for them by a query."""
        return {
            "Patient": [self.patient],
            "Coverage": [self.coverage],
            "ServiceRequest": self.requests,
            "Practitioner": self.practitioners,
            ROLE: self.roles,
            "Organization": [self.practice, self.payer],
            "Location": self.locations,
        }.get(kind, [])

    def _id(self, what: str) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{self._case}\ncrd\n{what}"))

    def _ref(self, kind: str, what: str) -> str:
        return f"{kind}/{self._id(what)}"

    def _plain(self, resource: Json, what: str) -> Json:
        """A resource of PAS without the profile that it claims there."""
        return {**{name: value for name, value in resource.items() if name != "meta"}, "id": self._id(what)}

    def _person(self, name: str, person: Provider) -> Json:
        return {
            "resourceType": "Practitioner",
            "id": self._id(name),
            "identifier": [{"system": NPI, "value": person.npi}],
            "name": [{"family": person.family_name, "given": [person.given_name]}],
        }

    def _role(self, name: str, person: Provider) -> Json:
        made: Json = {
            "resourceType": ROLE,
            "id": self._id(f"{name} role"),
            "practitioner": {"reference": self._ref("Practitioner", name)},
        }
        if name == "ordering":
            made["organization"] = {"reference": self._ref("Organization", "practice")}
        if person.taxonomy:
            made["specialty"] = [concept(TAXONOMY, person.taxonomy)]
        return made

    def _place(self, place: Facility) -> Json:
        address = place.address
        return {
            "resourceType": "Location",
            "id": self._id("facility"),
            "identifier": [{"system": NPI, "value": place.npi}],
            "status": "active",
            "name": place.name,
            "address": {
                "line": [address.line],
                "city": address.city,
                "state": address.state,
                "postalCode": address.postal_code,
                "country": "US",
            },
        }

    def _request(self, line: ServiceLine) -> Json:
        order = self._order
        coded = service(line)
        end = line.service_to or line.service_from
        when: Json = (
            {"occurrenceDateTime": line.service_from.isoformat()}
            if end == line.service_from
            else {"occurrencePeriod": {"start": line.service_from.isoformat(), "end": end.isoformat()}}
        )
        made: Json = {
            "resourceType": "ServiceRequest",
            "id": self._id(f"line {line.number}"),
            "status": "draft",
            "intent": "original-order",
            "priority": _PRIORITY[order.urgency],
            "code": coded,
            "quantityQuantity": quantity(line),
            "subject": {"reference": self._ref("Patient", "patient")},
            "authoredOn": instant(order.ordered_at),
            "requester": {"reference": self.requester},
            "reasonCode": [concept(ICD10, code) for code in order.diagnoses],
            "insurance": [{"reference": self._ref("Coverage", "coverage")}],
            "locationCode": [concept(PLACE, line.place_of_service)],
            **when,
        }
        if details := modifiers(line):
            made["orderDetail"] = details
        if order.rendering is not None:
            made["performer"] = [{"reference": self._ref(ROLE, "rendering role")}]
        if self.locations:
            made["locationReference"] = [{"reference": self._ref("Location", "facility")}]
        return made
