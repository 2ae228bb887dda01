"""The parties of a 278 as segments: payer, practice, subscriber, patient, clinicians and facility."""

from datetime import date
from typing import Annotated, Literal

from pydantic import StringConstraints

from connectors.codes import ROLE_FACILITY, ROLE_PROVIDER
from connectors.phones import ten_digits
from connectors.requester import Requester
from connectors.x12.envelope import Party, Qualifier, Route
from connectors.x12.segments import Charset, Segment, plain, segment
from connectors.x12.words import PROVIDER_CODES, RELATIONS, SEXES
from domain.base import Frozen, Key, Name
from domain.order import Address, Coverage, Facility, Patient, Provider

_LINE, _CITY, _FAMILY, _GIVEN, _CONTACT = 55, 30, 60, 35, 60


class X12Payer(Frozen):
    """A payer as the clearinghouse knows it, and how messages reach it."""

    name: Name
    payer_code: Key
    """NM109 of the payer."""
    code_qualifier: Qualifier = "PI"
    """NM108: PI payer identification, XV national plan id, 46 electronic transmitter id."""
    sender: Party
    receiver: Party
    sender_qualifier: Qualifier = "ZZ"
    receiver_qualifier: Qualifier = "ZZ"
    group_sender: Party | None = None
    group_receiver: Party | None = None
    usage: Literal["T", "P"] = "T"
    acknowledge: bool = False
    charset: Charset = "extended"
    """Basic: everything in capitals."""
    transmission: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] = "EL"
    """PWK02 of documents that go along: EL electronically (275), AA available on request."""

    @property
    def route(self) -> Route:
        """From whom to whom its messages go."""
        return Route.model_validate(self.model_dump(include=set(Route.model_fields)))


class Pen:
    """Writes what people wrote in the character set of one payer."""

    def __init__(self, charset: Charset) -> None:
        self._charset = charset

    def words(self, said: str | None, limit: int) -> str:
        """Return a name or free text, fit to be written and cut to the length that X12 allows."""
        return plain(said or "", self._charset, limit)

    def message(self, said: str, limit: int) -> str:
        """Return free text that says so, by three dots at its end, where X12 has no room for all of it."""
        whole = plain(said, self._charset)
        return whole if len(whole) <= limit else f"{whole[: limit - 4].rstrip()} ..."

    def key(self, value: str) -> str:
        """Return an identifier as it is; in capitals where the payer takes only those."""
        return value.upper() if self._charset == "basic" else value


def payer(of: X12Payer, pen: Pen) -> list[Segment]:
    """The payer: loop 2010A."""
    name = pen.words(of.name, _FAMILY)
    return [segment("NM1", "X3", "2", name, None, None, None, None, of.code_qualifier, pen.key(of.payer_code))]


def requester(practice: Requester, pen: Pen) -> list[Segment]:
    """The practice: loop 2010B."""
    name = pen.words(practice.name, _FAMILY)
    told = _contact(practice.contact, practice.contact_phone or practice.phone, None, pen)
    return [
        segment("NM1", ROLE_PROVIDER, "2", name, None, None, None, None, "XX", practice.npi),
        segment("REF", "EI", practice.tax_id.replace("-", "")),
        *_address(practice.address, pen),
        *told,
    ]


def subscriber(coverage: Coverage, patient: Patient | None, pen: Pen) -> list[Segment]:
    """The subscriber: loop 2010C. `patient` is given where the subscriber is the patient."""
    family = patient.family_name if patient else coverage.subscriber_family_name
    given = patient.given_name if patient else coverage.subscriber_given_name
    born = patient.birth_date if patient else coverage.subscriber_birth_date
    member = pen.key(coverage.member_id)
    made = [
        segment("NM1", "IL", "1", pen.words(family, _FAMILY), pen.words(given, _GIVEN), None, None, None, "MI", member)
    ]
    if coverage.group_number:
        made.append(segment("REF", "6P", pen.words(coverage.group_number, 50)))
    if patient is not None:
        made += _address(patient.address, pen)
    sex = SEXES[patient.sex] if patient else None
    return [*made, segment("DMG", "D8", day(born), sex)] if born else made


def dependent(coverage: Coverage, patient: Patient, pen: Pen) -> list[Segment]:
    """The patient where another person is the subscriber: loop 2010D."""
    return [
        segment("NM1", "QC", "1", pen.words(patient.family_name, _FAMILY), pen.words(patient.given_name, _GIVEN)),
        *_address(patient.address, pen),
        segment("DMG", "D8", day(patient.birth_date), SEXES[patient.sex]),
        segment("INS", "N", RELATIONS[coverage.relationship]),
    ]


def clinician(person: Provider, role: str, pen: Pen) -> list[Segment]:
    """A clinician of the event: loop 2010E."""
    family, given = pen.words(person.family_name, _FAMILY), pen.words(person.given_name, _GIVEN)
    made = [segment("NM1", role, "1", family, given, None, None, None, "XX", person.npi)]
    made += _contact(None, person.phone, person.fax, pen)
    return [*made, segment("PRV", PROVIDER_CODES[role], "PXC", person.taxonomy)] if person.taxonomy else made


def facility(place: Facility, pen: Pen) -> list[Segment]:
    """Where the service is given: loop 2010E."""
    name = pen.words(place.name, _FAMILY)
    return [
        segment("NM1", ROLE_FACILITY, "2", name, None, None, None, None, "XX", place.npi),
        *_address(place.address, pen),
        *_contact(None, place.phone, place.fax, pen),
    ]


def day(on: date | None) -> str | None:
    """Return a date as D8 has it: CCYYMMDD."""
    return f"{on:%Y%m%d}" if on else None


def _address(address: Address | None, pen: Pen) -> list[Segment]:
    if address is None:
        return []
    line = pen.words(address.line, 2 * _LINE)
    first = line if len(line) <= _LINE else line[: line.rfind(" ", 0, _LINE + 1) if " " in line[: _LINE + 1] else _LINE]
    rest = line[len(first) :].strip()[:_LINE].rstrip()
    postal = address.postal_code.replace("-", "")
    return [
        segment("N3", first.strip(), rest),
        segment("N4", pen.words(address.city, _CITY), address.state, postal),
    ]


def _contact(name: str | None, phone: str | None, fax: str | None, pen: Pen) -> list[Segment]:
    numbers = [part for kind, said in (("TE", phone), ("FX", fax)) if (n := ten_digits(said)) for part in (kind, n)]
    return [segment("PER", "IC", pen.words(name, _CONTACT), *numbers)] if numbers else []
