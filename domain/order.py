"""The order: who needs what, by whom, where, when, and who should pay. All that the practice knows when it asks."""

import re
import unicodedata
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from domain.base import Day, Frozen, Instant, Key, Name


class Urgency(StrEnum):
    """How fast the decision is needed. Urgent is what payers call expedited; STAT goes before everything."""

    ROUTINE = "routine"
    URGENT = "urgent"
    STAT = "stat"


class Relationship(StrEnum):
    """The patient's relation to the subscriber of a coverage."""

    SELF = "self"
    SPOUSE = "spouse"
    CHILD = "child"
    OTHER = "other"


class Sex(StrEnum):
    """Administrative sex, as payers ask for it."""

    FEMALE = "female"
    MALE = "male"
    OTHER = "other"
    UNKNOWN = "unknown"


def luhn_valid(npi: str) -> bool:
    """Whether the check digit of a ten-digit NPI is right (ISO 7812 Luhn over the prefix 80840, as CMS defines it)."""
    digits = [int(digit) for digit in reversed("80840" + npi)]
    return sum(digits[0::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def _npi(value: str) -> str:
    if not re.fullmatch(r"[0-9]{10}", value) or not luhn_valid(value):
        msg = "an NPI has ten digits with a valid check digit"
        raise ValueError(msg)
    return value


def _icd10(value: str) -> str:
    bare = value.upper().replace(".", "")
    if not re.fullmatch(r"[A-Z][0-9][0-9A-Z][0-9A-Z]{0,4}", bare):
        msg = "an ICD-10-CM code looks like M54.16"
        raise ValueError(msg)
    return bare if len(bare) == 3 else f"{bare[:3]}.{bare[3:]}"  # noqa: PLR2004


_Time = TypeVar("_Time", date, datetime)


def _typed(value: str) -> str:
    if any(unicodedata.category(sign) in {"Cc", "Cs"} or sign in _TURNS for sign in value):
        msg = "this holds control characters; type it anew"
        raise ValueError(msg)
    return value


def _of_our_time(value: _Time) -> _Time:
    if not _YEARS[0] <= value.year <= _YEARS[1]:
        msg = f"the year lies between {_YEARS[0]} and {_YEARS[1]}"
        raise ValueError(msg)
    return value


_TURNS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Signs that turn the direction of writing: what is shown is then not what is sent."""
_YEARS = (1850, 2200)
"""Further away no date of an order is meant, and calendars end."""

_Typed = Annotated[Name, AfterValidator(_typed)]
_Id = Annotated[Key, AfterValidator(_typed)]
_Day = Annotated[Day, AfterValidator(_of_our_time)]
Moment = Annotated[Instant, AfterValidator(_of_our_time)]
"""An instant of our time: what is meant by one further away nobody can say, and no clock can run to it."""
Npi = Annotated[str, AfterValidator(_npi)]
Icd10 = Annotated[str, AfterValidator(_icd10)]
ProcedureCode = Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{5}$")]
Modifier = Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{2}$")]
State = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class Address(Frozen):
    """A postal address in the United States."""

    line: _Typed
    city: _Typed
    state: State
    postal_code: Annotated[str, StringConstraints(pattern=r"^[0-9]{5}(-?[0-9]{4})?$")]


class Patient(Frozen):
    """The person whose care it is, as the practice's record has them."""

    id: _Id = Field(description="The patient's id in the ordering system.")
    family_name: _Typed
    given_name: _Typed
    birth_date: _Day
    sex: Sex = Sex.UNKNOWN
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")] = "en"
    phone: str | None = Field(default=None, max_length=30)
    address: Address | None = None
    may_be_messaged: bool = Field(default=True, description="Consent to be told by message; otherwise a person calls.")


class Coverage(Frozen):
    """One insurance of the patient. Rank 1 pays first."""

    rank: int = Field(ge=1, le=5)
    payer: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,60}$")] = Field(
        description="The payer's id, which is also the name of its policy file."
    )
    member_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{2,80}$")]
    group_number: str | None = Field(default=None, max_length=50)
    plan_name: str | None = Field(default=None, max_length=100)
    relationship: Relationship = Relationship.SELF
    subscriber_family_name: str | None = Field(default=None, max_length=100)
    subscriber_given_name: str | None = Field(default=None, max_length=100)
    subscriber_birth_date: _Day | None = None

    @model_validator(mode="after")
    def _names_the_subscriber(self) -> Self:
        if self.relationship is not Relationship.SELF and not (
            self.subscriber_family_name and self.subscriber_given_name and self.subscriber_birth_date
        ):
            msg = (
                "a patient who is not the subscriber needs subscriber_family_name, subscriber_given_name and "
                "subscriber_birth_date"
            )
            raise ValueError(msg)
        return self


class Provider(Frozen):
    """A clinician: ordering, rendering or primary care."""

    npi: Npi
    family_name: _Typed
    given_name: _Typed
    taxonomy: Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{10}$")] | None = None
    phone: str | None = Field(default=None, max_length=30)
    fax: str | None = Field(default=None, max_length=30)


class Facility(Frozen):
    """Where the service is given."""

    npi: Npi
    name: _Typed
    address: Address
    phone: str | None = Field(default=None, max_length=30)
    fax: str | None = Field(default=None, max_length=30)


class Category(StrEnum):
    """The kinds of order that the job names, by which payers' rules are written."""

    EMG = "emg"
    VENOUS_DOPPLER = "venous_doppler"
    CT = "ct"
    BONE_SCAN = "bone_scan"
    CONSULT = "consult"
    OTHER = "other"


class ServiceLine(Frozen):
    """One service of the order. Line numbers are kept through every request, answer and update."""

    number: int = Field(ge=1, le=99)
    code: ProcedureCode
    code_system: Annotated[str, StringConstraints(pattern=r"^(cpt|hcpcs)$")] = "cpt"
    category: Category = Category.OTHER
    label: str = Field(default="", max_length=100, description="The practice's own short words for it.")
    modifiers: tuple[Modifier, ...] = Field(default=(), max_length=4)
    units: int = Field(default=1, ge=1, le=9999)
    unit_kind: Annotated[str, StringConstraints(pattern=r"^(unit|visit|study|quarter_hour|day)$")] = "unit"
    place_of_service: Annotated[str, StringConstraints(pattern=r"^[0-9]{2}$")] = "11"
    service_from: _Day
    service_to: _Day | None = None
    allowed_cents: int | None = Field(
        default=None, ge=0, description="What the practice's contract allows for the line, in cents; for the estimate."
    )

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.service_to and self.service_to < self.service_from:
            msg = "service_to is before service_from"
            raise ValueError(msg)
        return self


class AppointmentStatus(StrEnum):
    """What the schedule says of a visit."""

    BOOKED = "booked"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"
    KEPT = "kept"


class Appointment(Frozen):
    """A visit for the service."""

    id: Key
    starts_at: Moment
    status: AppointmentStatus = AppointmentStatus.BOOKED


class DocumentRef(Frozen):
    """A document by reference: its content is elsewhere, encrypted, under its content address."""

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(description="SHA-256 of the content.")
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,40}$")] = Field(
        description="order, office_note, imaging_report, conservative_therapy, payer_answer, evidence, …"
    )
    media_type: str = Field(max_length=100)
    size: int = Field(ge=0, description="Bytes.")
    dated: Day | None = Field(default=None, description="The date that the document speaks of.")
    signed: bool = True


class Order(Frozen):
    """One order of the practice; identity is practice, source and number."""

    practice: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$")]
    source: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$")] = Field(
        description="The system that the order comes from, such as nextgen."
    )
    number: _Id
    ordered_at: Moment
    urgency: Urgency = Urgency.ROUTINE
    urgency_attestation: str | None = Field(
        default=None, max_length=500, description="Why it cannot wait, in the clinician's words; payers ask for it."
    )
    patient: Patient
    coverages: tuple[Coverage, ...] = Field(min_length=1, max_length=5)
    ordering: Provider
    rendering: Provider | None = None
    facility: Facility | None = None
    diagnoses: tuple[Icd10, ...] = Field(min_length=1, max_length=12, description="The principal one first.")
    lines: tuple[ServiceLine, ...] = Field(min_length=1, max_length=25)
    appointment: Appointment | None = None
    documents: tuple[DocumentRef, ...] = Field(default=(), max_length=20)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len({line.number for line in self.lines}) != len(self.lines):
            msg = "two lines have the same number"
            raise ValueError(msg)
        if len({coverage.rank for coverage in self.coverages}) != len(self.coverages):
            msg = "two coverages have the same rank"
            raise ValueError(msg)
        if self.urgency is not Urgency.ROUTINE and not self.urgency_attestation:
            msg = "an urgent or STAT order needs urgency_attestation: why it cannot wait"
            raise ValueError(msg)
        return self

    @property
    def primary(self) -> Coverage:
        """The coverage that pays first."""
        return min(self.coverages, key=lambda coverage: coverage.rank)

    def coverage(self, rank: int) -> Coverage:
        """The coverage of a rank. Raises `KeyError` where there is none."""
        for coverage in self.coverages:
            if coverage.rank == rank:
                return coverage
        raise KeyError(rank)

    def line(self, number: int) -> ServiceLine | None:
        """The line of a number, or None."""
        return next((line for line in self.lines if line.number == number), None)


def differences(first: Order, second: Order) -> tuple[str, ...]:
    """The names of the fields in which two orders differ, sorted, never their values."""
    a, b = first.model_dump(mode="json"), second.model_dump(mode="json")
    return tuple(sorted(_paths(a, b, "")))


def _paths(a: object, b: object, at: str) -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        return [p for key in {*a, *b} for p in _paths(a.get(key), b.get(key), f"{at}.{key}" if at else key)]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [p for i, (x, y) in enumerate(zip(a, b, strict=True)) for p in _paths(x, y, f"{at}[{i}]")]
    return [] if a == b else [at]
