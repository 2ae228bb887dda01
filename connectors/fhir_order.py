"""An order out of FHIR R4: a ServiceRequest with patient, insurance, clinicians, place and diagnoses, from any source.

Tolerant in the form, strict in what an order needs: whatever is missing is said all at once, each with its FHIR path, why
it is needed, and who in the practice can fill it in. Requests that share a requisition are lines of one order.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

from pydantic import ValidationError

from connectors import fhir_resources as fhir
from connectors.errors import Refused
from connectors.fhir_resources import Resource, Resources
from domain.intake import Filler, Missing, problems
from domain.order import Category, Order, Relationship, Sex, Urgency, luhn_valid

CPT: Final = ("http://www.ama-assn.org/go/cpt", "urn:oid:2.16.840.1.113883.6.12")
HCPCS: Final = (
    "http://terminology.hl7.org/CodeSystem/HCPCS",
    "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "https://bluebutton.cms.gov/resources/codesystem/hcpcs",
    "urn:oid:2.16.840.1.113883.6.285",
)
ICD10: Final = ("http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10", "urn:oid:2.16.840.1.113883.6.90")
PLACE_OF_SERVICE: Final = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"

CATEGORIES: Final[tuple[tuple[str, str, Category], ...]] = (
    # First and last code of a range. Source: the ranges that the policies in `policies/` give to these categories; a
    # payer's own policy decides what is required, this only names the order for people.
    ("95860", "95870", Category.EMG),
    ("95885", "95887", Category.EMG),
    ("95905", "95913", Category.EMG),
    ("93970", "93971", Category.VENOUS_DOPPLER),
    ("70450", "70498", Category.CT),
    ("71250", "71275", Category.CT),
    ("72125", "72133", Category.CT),
    ("73200", "73206", Category.CT),
    ("73700", "73706", Category.CT),
    ("74150", "74178", Category.CT),
    ("78300", "78315", Category.BONE_SCAN),
    ("99202", "99205", Category.CONSULT),
    ("99242", "99245", Category.CONSULT),
)

_URGENCIES = {"routine": Urgency.ROUTINE, "urgent": Urgency.URGENT, "asap": Urgency.URGENT, "stat": Urgency.STAT}
_OPEN = frozenset({"active", "on-hold", "draft"})
_MAX_DIAGNOSES = 12
_MAX_LINES = 25
_MAX_UNITS = 9999


class OrderUnreadable(Refused):
    """No order can be made of these resources yet; `missing` says all that is lacking, each by its FHIR path.

    What only the order's own rules refuse is named by the order's field.
    """

    def __init__(self, missing: Sequence[Missing]) -> None:
        super().__init__("order_unreadable")
        self.missing = tuple(missing)

    def __str__(self) -> str:
        return f"{self.code}: {', '.join(one.field for one in self.missing)}"


def category_of(code: str) -> Category:
    """The category of a CPT code by `CATEGORIES`."""
    return next((category for first, last, category in CATEGORIES if first <= code <= last), Category.OTHER)


def order_from_fhir(
    given: Resource | Sequence[Resource],
    practice: str,
    source: str,
    *,
    payers: Mapping[str, str] | None = None,
    categorize: Callable[[str], Category] = category_of,
) -> Order:
    """Read one order.

    `given` is a Bundle, or resources; `payers` maps what a Coverage calls its payer (identifier or name, in lower case)
    to the payer's id here. A payer that it does not know gets an id made of its name: its case opens, and asks for rules.

    Raises:
        OrderUnreadable: with everything that is missing.
    """
    return _Reader(Resources(given), practice, source, payers or {}, categorize).order()


class _Reader:
    """Reads one order and gathers what is missing."""

    def __init__(
        self,
        resources: Resources,
        practice: str,
        source: str,
        payers: Mapping[str, str],
        categorize: Callable[[str], Category],
    ) -> None:
        self._resources = resources
        self._practice, self._source, self._payers, self._categorize = practice, source, payers, categorize
        self._missing: list[Missing] = []

    def order(self) -> Order:
        """The order. Raises `OrderUnreadable`."""
        requests = self._requests()
        first = requests[0]
        patient = self._resources.find(first.get("subject"), first)
        urgency = max((self._urgency(one) for one in requests), key=list(Urgency).index)
        fields: dict[str, Any] = {
            "practice": self._practice,
            "source": self._source,
            "number": order_number(first),
            "ordered_at": self._ordered_at(first),
            "urgency": urgency,
            "urgency_attestation": self._attestation(requests, urgency),
            "patient": self._patient(patient),
            "coverages": self._coverages(first, patient),
            "ordering": self._ordering(first),
            "rendering": self._rendering(first),
            "facility": self._facility(first),
            "diagnoses": self._diagnoses(requests),
            "lines": [self._line(number, one) for number, one in self._numbered(requests)],
        }
        if self._missing:
            raise OrderUnreadable(list(dict.fromkeys(self._missing)))
        try:
            return Order.model_validate(fields)
        except ValidationError as error:
            raise OrderUnreadable(problems(error)) from None

    def _lacks(self, field: str, why: str, who: Filler) -> None:
        self._missing.append(Missing(field=field, why=why, who=who))

    def _requests(self) -> list[Resource]:
        """The open requests of the order, as they were written."""
        found = [one for one in self._written() if is_open(one)]
        if not found:
            self._refuse("ServiceRequest", "there is no active service request", Filler.ORDERING_PROVIDER)
        if len({order_number(one) for one in found}) > 1:
            self._refuse("ServiceRequest.requisition", "one order at a time: these are several", Filler.FRONT_DESK)
        return found

    def _written(self) -> list[Resource]:
        requests = self._resources.of_type("ServiceRequest")
        return sorted(requests, key=lambda one: (str(one.get("authoredOn")), str(one.get("id"))))

    def _numbered(self, requests: Sequence[Resource]) -> list[tuple[int, Resource]]:
        """The lines' numbers. A request that was taken back keeps its number, so that those after it keep theirs."""
        return [pair for pair in enumerate(self._written(), start=1) if pair[1] in requests][:_MAX_LINES]

    def _ordered_at(self, request: Resource) -> datetime | None:
        found = fhir.moment(request.get("authoredOn"))
        if found is None:
            self._lacks("ServiceRequest.authoredOn", "when it was ordered", Filler.ORDERING_PROVIDER)
        return found

    def _refuse(self, field: str, why: str, who: Filler) -> NoReturn:
        raise OrderUnreadable([Missing(field=field, why=why, who=who)])

    def _urgency(self, request: Resource) -> Urgency:
        priority = fhir.text(request.get("priority")) or "routine"
        if priority not in _URGENCIES:
            self._lacks("ServiceRequest.priority", "routine, urgent, asap or stat", Filler.ORDERING_PROVIDER)
        return _URGENCIES.get(priority, Urgency.ROUTINE)

    def _attestation(self, requests: Sequence[Resource], urgency: Urgency) -> str | None:
        notes = [fhir.text(note.get("text")) for one in requests for note in fhir.dicts(one.get("note"))]
        said = " ".join(dict.fromkeys(filter(None, notes)))[:500]
        if urgency is Urgency.ROUTINE:
            return None
        if not said:
            self._lacks("ServiceRequest.note", "why it cannot wait, in the clinician's words", Filler.ORDERING_PROVIDER)
        return said

    def _patient(self, patient: Resource | None) -> dict[str, Any] | None:
        if patient is None:
            self._lacks("ServiceRequest.subject", "the Patient whose care it is", Filler.FRONT_DESK)
            return None
        family, given = fhir.family_and_given(patient)
        born = fhir.day(patient.get("birthDate"))
        if not patient.get("id"):
            self._lacks("Patient.id", "the patient's id in the ordering system", Filler.FRONT_DESK)
        if not family or not given:
            self._lacks("Patient.name", "family and given name", Filler.FRONT_DESK)
        if born is None:
            self._lacks("Patient.birthDate", "payers match the patient by it", Filler.FRONT_DESK)
        gender = fhir.text(patient.get("gender"))
        return {
            "id": str(patient.get("id")),
            "family_name": family,
            "given_name": given,
            "birth_date": born,
            "sex": Sex(gender) if gender in set(Sex) else Sex.UNKNOWN,
            "language": self._language(patient),
            "phone": fhir.telecom(patient, "phone"),
            "address": fhir.postal_address(patient.get("address")),
        }

    @staticmethod
    def _language(patient: Resource) -> str:
        spoken = sorted(fhir.dicts(patient.get("communication")), key=lambda one: one.get("preferred") is not True)
        tags = [code[:2].lower() for one in spoken for code in fhir.codes(one.get("language"))]
        return next((tag for tag in tags if tag.isalpha() and tag.isascii()), "en")

    def _coverages(self, request: Resource, patient: Resource | None) -> list[dict[str, Any]]:
        named = [self._resources.find(one, request) for one in fhir.items(request.get("insurance"))]
        listed = [one for one in named if one] or [
            one
            for one in self._resources.of_type("Coverage")
            if patient is None or self._resources.find(one.get("beneficiary"), one) in (None, patient)
        ]
        held = [one for one in listed if (fhir.text(one.get("status")) or "active") == "active"]
        if not held:
            self._lacks("Coverage", "an active insurance of the patient, or that there is none", Filler.FRONT_DESK)
        ranked = sorted(enumerate(held), key=lambda pair: (_positive(pair[1].get("order")) or 99, pair[0]))
        return [self._coverage(rank, one) for rank, (_, one) in enumerate(ranked[:5], start=1)]

    def _coverage(self, rank: int, coverage: Resource) -> dict[str, Any]:
        where = f"Coverage[{rank}]"
        member = fhir.text(coverage.get("subscriberId")) or fhir.identifier(coverage, type_code="MB")
        if not member:
            self._lacks(f"{where}.subscriberId", "the member id on the card", Filler.FRONT_DESK)
        payer = self._payer(coverage)
        if not payer:
            self._lacks(f"{where}.payor", "who pays", Filler.FRONT_DESK)
        relation = next(iter(fhir.codes(coverage.get("relationship"))), "self")
        known = relation if relation in set(Relationship) else Relationship.OTHER
        subscriber = self._resources.find(coverage.get("subscriber"), coverage)
        family, given = fhir.family_and_given(subscriber)
        born = fhir.day(fhir.at(subscriber, "birthDate"))
        if known != Relationship.SELF and not (family and given and born):
            why = "name and date of birth of the subscriber, since the patient is not the subscriber"
            self._lacks(f"{where}.subscriber", why, Filler.FRONT_DESK)
        classes = {next(iter(fhir.codes(one.get("type"))), ""): one for one in fhir.dicts(coverage.get("class"))}
        plan = classes.get("plan", {})
        return {
            "rank": rank,
            "payer": payer,
            "member_id": member,
            "group_number": fhir.text(fhir.at(classes.get("group"), "value")),
            "plan_name": fhir.text(plan.get("name")) or fhir.text(plan.get("value")),
            "relationship": known,
            "subscriber_family_name": None if known == Relationship.SELF else family,
            "subscriber_given_name": None if known == Relationship.SELF else given,
            "subscriber_birth_date": None if known == Relationship.SELF else born,
        }

    def _payer(self, coverage: Resource) -> str | None:
        reference = fhir.at(coverage, "payor", 0)
        organization = self._resources.find(reference, coverage)
        ids = [fhir.text(one.get("value")) for one in fhir.dicts(fhir.at(organization, "identifier"))]
        said = [
            *ids,
            fhir.text(fhir.at(reference, "identifier", "value")),
            fhir.text(fhir.at(organization, "name")),
            fhir.text(fhir.at(reference, "display")),
        ]
        names = [name.lower() for name in said if name]
        known = next((self._payers[name] for name in names if name in self._payers), None)
        # The last one said is the most readable: a name before an identifier.
        return known or next((slug for name in reversed(names) if (slug := _slug(name))), None)

    def _practitioner(self, reference: object, within: Resource) -> Resource | None:
        found = self._resources.find(reference, within)
        if found is not None and found.get("resourceType") == "PractitionerRole":
            return self._resources.find(found.get("practitioner"), found)
        return found if found is not None and found.get("resourceType") == "Practitioner" else None

    def _provider(self, practitioner: Resource | None) -> dict[str, Any] | None:
        """A clinician who can be named to a payer, or None."""
        family, given = fhir.family_and_given(practitioner)
        npi = fhir.identifier(practitioner, system=fhir.NPI)
        if not (family and given and npi and _npi_valid(npi)):
            return None
        return {
            "npi": npi,
            "family_name": family,
            "given_name": given,
            "phone": fhir.telecom(practitioner, "phone"),
            "fax": fhir.telecom(practitioner, "fax"),
        }

    def _ordering(self, request: Resource) -> dict[str, Any] | None:
        practitioner = self._practitioner(request.get("requester"), request)
        if practitioner is None:
            self._lacks("ServiceRequest.requester", "the clinician who ordered it", Filler.ORDERING_PROVIDER)
            return None
        npi = fhir.identifier(practitioner, system=fhir.NPI)
        if not npi or not _npi_valid(npi):
            self._lacks(
                "Practitioner.identifier", "the ordering clinician's NPI, with a valid check digit", Filler.BILLING
            )
        if not all(fhir.family_and_given(practitioner)):
            self._lacks("Practitioner.name", "the ordering clinician's family and given name", Filler.BILLING)
        return self._provider(practitioner)

    def _rendering(self, request: Resource) -> dict[str, Any] | None:
        """Who performs it, where that can be named; else the payer is told the ordering clinician only."""
        found = [self._provider(self._practitioner(one, request)) for one in fhir.items(request.get("performer"))]
        return next(filter(None, found), None)

    def _facility(self, request: Resource) -> dict[str, Any] | None:
        """Where it is done, where that has a name, an NPI and an address."""
        for reference in [*fhir.items(request.get("locationReference")), *fhir.items(request.get("performer"))]:
            place = self._resources.find(reference, request)
            if place is None or place.get("resourceType") not in {"Location", "Organization"}:
                continue
            manager = self._resources.find(place.get("managingOrganization"), place)
            npi = fhir.identifier(place, system=fhir.NPI) or fhir.identifier(manager, system=fhir.NPI)
            name = fhir.text(place.get("name")) or fhir.text(fhir.at(manager, "name"))
            address = fhir.postal_address(place.get("address")) or fhir.postal_address(fhir.at(manager, "address"))
            if npi and _npi_valid(npi) and name and address:
                phone, fax = fhir.telecom(place, "phone"), fhir.telecom(place, "fax")
                return {"npi": npi, "name": name, "address": address, "phone": phone, "fax": fax}
        return None

    def _diagnoses(self, requests: Sequence[Resource]) -> list[str]:
        found: list[str] = []
        for request in requests:
            found += fhir.codes(request.get("reasonCode"), *ICD10)
            for reference in fhir.items(request.get("reasonReference")):
                condition = self._resources.find(reference, request)
                found += fhir.codes(fhir.at(condition, "code"), *ICD10)
        if not found:
            self._lacks("ServiceRequest.reasonCode", "a diagnosis as an ICD-10-CM code", Filler.ORDERING_PROVIDER)
        return list(dict.fromkeys(found))[:_MAX_DIAGNOSES]

    def _line(self, number: int, request: Resource) -> dict[str, Any]:
        cpt, hcpcs = fhir.codes(request.get("code"), *CPT), fhir.codes(request.get("code"), *HCPCS)
        code = next(iter([*cpt, *hcpcs]), None)
        if code is None:
            self._lacks("ServiceRequest.code", "the service as a CPT or HCPCS code", Filler.BILLING)
        period = request.get("occurrencePeriod") or fhir.at(request, "occurrenceTiming", "repeat", "boundsPeriod")
        begin = fhir.day(request.get("occurrenceDateTime")) or fhir.day(fhir.at(period, "start"))
        if begin is None:
            self._lacks(
                "ServiceRequest.occurrence[x]", "the day of the service, at least as planned", Filler.FRONT_DESK
            )
        quantity = fhir.at(request, "quantityQuantity", "value")
        units = 1 if quantity is None else _positive(quantity)
        if units is None:
            why = f"how many units: a number above zero, at most {_MAX_UNITS}"
            self._lacks("ServiceRequest.quantityQuantity", why, Filler.ORDERING_PROVIDER)
        modifiers = [one for one in fhir.codes(request.get("orderDetail")) if len(one) == 2 and one.isalnum()]  # noqa: PLR2004
        line: dict[str, Any] = {
            "number": number,
            "code": (code or "").upper(),
            "code_system": "cpt" if cpt else "hcpcs",
            "category": self._categorize((code or "").upper()),
            "label": (fhir.text(fhir.at(request, "code", "text")) or "")[:100],
            "modifiers": modifiers[:4],
            "units": units,
            "service_from": begin,
            "service_to": fhir.day(fhir.at(period, "end")),
        }
        places = fhir.codes(request.get("locationCode"), PLACE_OF_SERVICE)
        return line | ({"place_of_service": places[0]} if places else {})


def is_open(request: Resource) -> bool:
    """Whether the service is still wanted."""
    return (fhir.text(request.get("status")) or "active") in _OPEN


def order_number(request: Resource) -> str:
    """The number of the order: the requisition that it shares with others, the placer's number, or the request's id."""
    requisition = fhir.text(fhir.at(request, "requisition", "value"))
    placer = fhir.identifier(request, type_code="PLAC")
    return requisition or placer or fhir.identifier(request) or str(request.get("id") or "")


def _npi_valid(value: str) -> bool:
    return len(value) == 10 and value.isascii() and value.isdigit() and luhn_valid(value)  # noqa: PLR2004


def _positive(value: object) -> int | None:
    """A whole number above zero, where it is one that can be asked for.

    A fraction is rounded up, since a part of a unit is asked for as one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value <= _MAX_UNITS):
        return None
    return -int(-value // 1)


def _slug(name: str) -> str | None:
    """A payer's name as an id."""
    parts = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in name.lower()).split()
    slug = "-".join(parts)[:60].strip("-")
    return slug if len(slug) > 1 else None
