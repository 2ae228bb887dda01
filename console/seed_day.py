"""A practice's day, invented: the orders that `vigil up` seeds. All people are synthetic, and named so that nobody doubts it.

The last three digits of a member id choose what the simulated payer does (docs/sandbox.md).
"""

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from domain.order import (
    Address,
    Appointment,
    Category,
    Coverage,
    Facility,
    Order,
    Patient,
    Provider,
    ServiceLine,
    Sex,
    Urgency,
)

PRACTICE = "lakeside"
SOURCE = "nextgen"
EXAMPLE = "LKS-1005"
"""An order to look at: pended, with clocks that run."""
_NAMESPACE = uuid.UUID("2d5b1f0e-8a35-5c0b-9d7e-3f0a6c41b7d2")
_SATURDAY = 5

ORDERING = Provider(
    npi="1999000023", family_name="Fictitious", given_name="Imogen", taxonomy="207X00000X", phone="+12175550108"
)
RENDERING = Provider(
    npi="1999000031", family_name="Imaginary", given_name="Ansel", taxonomy="2084N0400X", phone="+12175550107"
)
IMAGING = Facility(
    npi="1999000049",
    name="Prairie Example Imaging",
    address=Address(line="9 Sample Way", city="Springfield", state="IL", postal_code="62701"),
    phone="+12175550106",
)

_FAMILY = (
    "Testcase", "Sampleton", "Mockingham", "Placeholder", "Fabricant", "Madeup", "Pretendley", "Syntheticsson",
    "Notreal", "Exemplar", "Dummyfield", "Inventory", "Quillfeather", "Brambleshire", "Candlewick", "Thistledown",
)  # fmt: skip
_GIVEN = (
    "Ottoline", "Barnaby", "Clementine", "Dashiell", "Euphemia", "Fitzgerald", "Guinevere", "Horatio", "Isolde",
    "Jasper", "Kerensa", "Lysander", "Marigold", "Nicodemus", "Ophelia", "Percival",
)  # fmt: skip
_FULL_CHART = ("office_note", "imaging_report", "conservative_therapy")


@dataclass(frozen=True)
class Service:
    """What can be ordered: `categories` of the job, by CPT code, with our own short words."""

    code: str
    category: Category
    label: str
    diagnoses: tuple[str, ...]
    place: str = "22"
    units: int = 1
    allowed_cents: int | None = None
    """What the practice's contract allows, invented."""


EMG = Service("95886", Category.EMG, "EMG, arm", ("G56.01", "M54.12"), place="11", allowed_cents=21500)
NERVES = Service("95910", Category.EMG, "Nerve conduction", ("G56.01",), place="11", allowed_cents=24000)
DOPPLER = Service("93970", Category.VENOUS_DOPPLER, "Venous Doppler, legs", ("M79.661",), allowed_cents=19800)
DOPPLER_INPATIENT = replace(DOPPLER, place="21")
CT_LUMBAR = Service("72131", Category.CT, "CT lumbar spine", ("M54.16", "M51.26"), allowed_cents=61000)
CT_HEAD = Service("70450", Category.CT, "CT head", ("R51.9",), allowed_cents=48000)
CT_KNEE = Service("73700", Category.CT, "CT knee", ("M25.561",), allowed_cents=52500)
BONE_SCAN = Service("78306", Category.BONE_SCAN, "Bone scan", ("M89.8X5",), allowed_cents=57000)
CONSULT = Service("99243", Category.CONSULT, "Neurology consult", ("G56.01",), place="11", allowed_cents=14500)


@dataclass(frozen=True)
class Row:
    """One order of the day. `chart` are the documents that the EHR has; `in_days` is until the visit."""

    scenario: str
    payer: str
    services: tuple[Service, ...]
    in_days: int
    urgency: Urgency = Urgency.ROUTINE
    chart: tuple[str, ...] = _FULL_CHART
    only_in_ehr: bool = False
    """Not posted: the intake sweep has to find it."""


_MERIDIAN, _SUMMIT, _KEYSTONE = "meridian-ppo", "summit-ma", "keystone-sf"
_HARBOR, _BLUESTEM, _CEDAR = "harbor-hmo", "bluestem-mco", "cedar-ppo"

DAY: tuple[Row, ...] = (
    # Story A: approved at once.
    Row("100", _MERIDIAN, (CT_LUMBAR,), 12),
    Row("110", _MERIDIAN, (EMG, NERVES), 15),
    Row("100", _SUMMIT, (BONE_SCAN,), 18),
    Row("100", _SUMMIT, (CT_HEAD,), 2, Urgency.STAT),
    # Story B: pended; notified, or found by asking; or silent.
    Row("200", _MERIDIAN, (CT_LUMBAR,), 14),
    Row("201", _SUMMIT, (CT_KNEE,), 13),
    Row("202", _MERIDIAN, (BONE_SCAN,), 16),
    Row("203", _MERIDIAN, (CT_KNEE,), 20),
    Row("204", _SUMMIT, (CT_LUMBAR,), 17),
    Row("800", _MERIDIAN, (EMG,), 19),
    # Story C: people's work by portal, fax and phone.
    Row("100", _KEYSTONE, (CT_LUMBAR,), 15),
    Row("100", _KEYSTONE, (EMG,), 21),
    Row("100", _KEYSTONE, (DOPPLER,), 6, Urgency.URGENT),
    Row("100", _KEYSTONE, (CT_HEAD,), 1, Urgency.STAT),
    # Story D: denied; approved in part, or something else.
    Row("300", _MERIDIAN, (CT_LUMBAR,), 11),
    Row("301", _SUMMIT, (BONE_SCAN,), 16),
    Row("400", _MERIDIAN, (EMG, NERVES), 14),
    Row("401", _SUMMIT, (CT_LUMBAR,), 18),
    Row("402", _MERIDIAN, (BONE_SCAN,), 22),
    # Story E: rejected, unknown, nonsense: never approved.
    Row("500", _MERIDIAN, (CT_KNEE,), 17),
    Row("600", _SUMMIT, (CT_HEAD,), 15),
    Row("601", _MERIDIAN, (EMG,), 18),
    Row("602", _MERIDIAN, (CT_HEAD,), 12),
    Row("604", _SUMMIT, (EMG,), 19),
    # Faults on the way.
    Row("700", _MERIDIAN, (CT_LUMBAR,), 16, Urgency.URGENT),
    Row("702", _SUMMIT, (CT_LUMBAR,), 20),
    # Nothing to ask, insurance that does not hold, a referral, a chart with nothing in it.
    Row("100", _MERIDIAN, (DOPPLER,), 5, Urgency.URGENT),
    Row("100", _MERIDIAN, (DOPPLER_INPATIENT,), 4, Urgency.URGENT),
    Row("000", _SUMMIT, (CT_LUMBAR,), 13),
    Row("100", _SUMMIT, (CONSULT,), 24),
    Row("100", _MERIDIAN, (CT_LUMBAR,), 15, chart=()),
    # Found only by the intake sweep.
    Row("100", _MERIDIAN, (CT_HEAD,), 14, only_in_ehr=True),
    Row("200", _MERIDIAN, (EMG,), 17, only_in_ehr=True),
    Row("100", _SUMMIT, (CT_KNEE,), 21, only_in_ehr=True),
    # X12 in real time: approved, pended, rejected by a 999; the plan's referral before a consult.
    Row("100", _HARBOR, (CT_LUMBAR,), 13),
    Row("200", _HARBOR, (EMG, NERVES), 16),
    Row("820", _HARBOR, (CT_KNEE,), 18),
    Row("100", _HARBOR, (CONSULT,), 20),
    # The clearinghouse does not let the practice send it: by the gateway at once, and an operator has a task.
    Row("823", _HARBOR, (CT_HEAD,), 2, Urgency.STAT),
    # X12 in batches: a receipt now, the answer in the afternoon: approved, pended, asked for more.
    Row("100", _BLUESTEM, (EMG,), 15),
    Row("200", _BLUESTEM, (CT_LUMBAR,), 17),
    Row("204", _BLUESTEM, (BONE_SCAN,), 19),
    # Nor this one: faxed by Vigil, which takes two minutes.
    Row("823", _BLUESTEM, (CT_HEAD,), 2, Urgency.STAT),
    # The payer speaks first: needs nothing, wants its form filled in, says that a number covers it already.
    Row("910", _CEDAR, (CT_LUMBAR,), 12),
    Row("911", _CEDAR, (CT_KNEE,), 14),
    Row("912", _CEDAR, (BONE_SCAN,), 17),
)


@dataclass(frozen=True)
class Planned:
    """An order with what the EHR has beside it."""

    order: Order
    chart: tuple[str, ...]
    only_in_ehr: bool


def the_day(now: datetime, time_zone: str) -> tuple[Planned, ...]:
    """The day's orders, for visits in the weeks after `now`. The same instant gives the same orders."""
    return tuple(
        Planned(_order(place, row, now, ZoneInfo(time_zone)), row.chart, row.only_in_ehr)
        for place, row in enumerate(DAY, start=1)
    )


def stable_id(*what: str) -> str:
    """A GUID made from words: EHR ids of what is seeded."""
    return str(uuid.uuid5(_NAMESPACE, " ".join(what)))


def _order(place: int, row: Row, now: datetime, zone: ZoneInfo) -> Order:
    number = f"LKS-{1000 + place}"
    visit = _visit(place, row, now, zone)
    service_day = visit.astimezone(zone).date()
    hurry = row.urgency is not Urgency.ROUTINE
    return Order(
        practice=PRACTICE,
        source=SOURCE,
        number=number,
        ordered_at=now,
        urgency=row.urgency,
        urgency_attestation="Synthetic: progressive symptoms since yesterday." if hurry else None,
        patient=_patient(place, number),
        coverages=(
            Coverage(rank=1, payer=row.payer, member_id=f"DEMO{place:05d}{row.scenario}", group_number="SYN-001"),
        ),
        ordering=ORDERING,
        rendering=RENDERING,
        facility=IMAGING,
        diagnoses=row.services[0].diagnoses,
        lines=tuple(
            ServiceLine(
                number=line,
                code=service.code,
                category=service.category,
                label=service.label,
                units=service.units if row.scenario != "110" else 6,
                place_of_service=service.place,
                service_from=service_day,
                allowed_cents=service.allowed_cents,
            )
            for line, service in enumerate(row.services, start=1)
        ),
        appointment=None if row.only_in_ehr else Appointment(id=stable_id("visit", number), starts_at=visit),
    )


def _patient(place: int, number: str) -> Patient:
    return Patient(
        id=stable_id("patient", number),
        family_name=_FAMILY[(place + place // len(_GIVEN)) % len(_FAMILY)],
        given_name=_GIVEN[place % len(_GIVEN)],
        birth_date=date(1941, 2, 3) + timedelta(days=487 * place),
        sex=Sex.MALE if place % 2 else Sex.FEMALE,
        phone=f"+1217555{100 + place:04d}",
        address=Address(line=f"{place} Example Lane", city="Springfield", state="IL", postal_code="62701"),
    )


def _visit(place: int, row: Row, now: datetime, zone: ZoneInfo) -> datetime:
    day = (now.astimezone(zone) + timedelta(days=row.in_days)).date()
    while day.weekday() >= _SATURDAY:
        day += timedelta(days=1)
    return datetime.combine(day, time(8 + place % 8, 30 * (place % 2)), zone).astimezone(UTC)
