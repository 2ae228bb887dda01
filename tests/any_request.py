"""Any request that the domain can make, as a Hypothesis strategy, with the contents of its documents.

What varies is what travels: people, coverages, lines, providers, urgency, documents, an earlier request and the payer's
numbers. Everybody is invented; NPIs have a right check digit, telephone numbers are 555-01xx. Names are of letters that
have one Latin spelling (`FOLDED` says which), because a name in another script is a finding before it is sent on X12.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from domain.decision import Number, NumberType
from domain.order import (
    Address,
    Category,
    Coverage,
    DocumentRef,
    Facility,
    Order,
    Patient,
    Provider,
    Relationship,
    ServiceLine,
    Sex,
    Urgency,
    luhn_valid,
)
from domain.request import Request

FOLDED = MappingProxyType(
    {
        **dict(zip("éñÖöüçåőȘźễíóšáćŁłøØđĐðı", "enOoucaoSzeiosacLloOdDdi", strict=True)),
        **dict(zip("ßæÆœþÞ…", ("ss", "ae", "AE", "oe", "th", "Th", "..."), strict=True)),
        **dict(zip("’‘“”–—", "''\"\"--", strict=True)),  # noqa: RUF001 - the signs themselves
    }
)
"""How letters and signs that X12 does not have are written there."""
_LETTERS = "abcdefgijklmnorstuvwxyzABCDEGHKLMNOPRSTZ"
_NAMED = st.sampled_from(
    [
        *("O'Connor", "Smith-Jones", "García Márquez", "Nuñez", "Søndergård", "Łukasiewicz", "Müller-Weiß", "D’Angelo"),  # noqa: RUF001 - as people type it
        *("van der Berg", "Nguyễn", "Þórsdóttir", "Æbelø", "Li", "St. Clair", "de la Cruz Testperson-Höß", "Đorđević"),
    ]
)
_WORD = st.text(_LETTERS + "".join(sign for sign in FOLDED if sign.isalpha()), min_size=1, max_size=18)
_LONG = st.builds(lambda word, times: " ".join([word] * times), _WORD, st.integers(4, 12)).filter(
    lambda name: len(name) <= 200
)
NAMES = _NAMED | _WORD | _LONG | st.builds("{}-{}".format, _WORD, _WORD)
GIVEN = _NAMED | _WORD | st.builds("{} {}".format, _WORD, _WORD)


def _npi_of(nine: int) -> str:
    return next(npi for npi in (f"{nine}{check}" for check in range(10)) if luhn_valid(npi))


NPIS = st.integers(100_000_000, 299_999_999).map(_npi_of)
PHONES = st.none() | st.integers(5550100, 5550199).map(lambda number: f"+1217{number}")
DAYS = st.dates(date(2026, 1, 1), date(2027, 6, 30))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - zone follows
DIAGNOSES = st.sampled_from(
    [
        "M54.16",
        "G56.01",
        "I10",
        "E11.65",
        "S72.001A",
        "Z47.1",
        "M17.11",
        "C50.911",
        "T84.50XA",
        "R20.2",
        "F32.9",
        "M79.7",
    ]
)
CODES = st.sampled_from(
    [("95910", "cpt"), ("72131", "cpt"), ("0275T", "cpt"), ("G0283", "hcpcs"), ("J3301", "hcpcs"), ("99243", "cpt")]
)
MODIFIERS = st.lists(st.sampled_from(["RT", "LT", "59", "26", "TC", "XS", "50"]), max_size=4, unique=True).map(tuple)
WORDS = st.lists(_WORD | st.sampled_from(["weakness,", "can't wait;", "50%", "(right)", "—", "“now”"]), min_size=1)


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    return Address(
        line=f"{draw(st.integers(1, 9999))} {draw(NAMES)}"[:120].strip(),
        city=draw(st.sampled_from(["Springfield", "Coeur d'Alene", "Cañon City"])),
        state=draw(st.sampled_from(["IL", "ID", "CO"])),
        postal_code=draw(st.sampled_from(["62701", "83814-1234", "812121234"])),
    )


@st.composite
def providers(draw: st.DrawFn) -> Provider:
    return Provider(
        npi=draw(NPIS),
        family_name=draw(NAMES),
        given_name=draw(GIVEN),
        taxonomy=draw(st.sampled_from([None, "207X00000X", "2084N0400X"])),
        phone=draw(PHONES),
        fax=draw(PHONES),
    )


@st.composite
def coverages(draw: st.DrawFn) -> Coverage:
    relationship = draw(st.sampled_from([Relationship.SELF, *Relationship]))
    subscriber: dict[str, Any] = {}
    if relationship is not Relationship.SELF:
        subscriber = {
            "subscriber_family_name": draw(NAMES.filter(lambda name: len(name) <= 100)),
            "subscriber_given_name": draw(GIVEN),
            "subscriber_birth_date": draw(st.dates(date(1930, 1, 1), date(2004, 1, 1))),
        }
    return Coverage(
        rank=1,
        payer="harbor-hmo",
        member_id=draw(st.text("ABCdefXYZ0123456789-", min_size=2, max_size=draw(st.sampled_from([12, 12, 80])))),
        group_number=draw(st.sampled_from([None, "GRP-7", "0012-AB"])),
        plan_name=draw(st.sampled_from([None, "Choice Plus"])),
        relationship=relationship,
        **subscriber,
    )


@st.composite
def service_lines(draw: st.DrawFn, number: int) -> ServiceLine:
    code, system = draw(CODES)
    first, last = sorted((draw(DAYS), draw(DAYS)))
    return ServiceLine(
        number=number,
        code=code,
        code_system=system,
        category=draw(st.sampled_from(Category)),
        label=draw(st.sampled_from(["", "nerve test"])),
        modifiers=draw(MODIFIERS),
        units=draw(st.integers(1, 9999) | st.just(1)),
        unit_kind=draw(st.sampled_from(["unit", "visit", "study", "quarter_hour", "day"])),
        place_of_service=draw(st.sampled_from(["11", "22", "24", "02"])),
        service_from=first,
        service_to=draw(st.sampled_from([None, first, last])),
    )


_KINDS = ("order", "office_note", "imaging_report", "procedure_note", "conservative_therapy", "other_thing")
FORM = "questionnaire_response"


@st.composite
def documents(draw: st.DrawFn) -> tuple[DocumentRef, bytes]:
    """A document and its content; some are a payer's form, answered."""
    kind = draw(st.sampled_from([*_KINDS, FORM]))
    if kind == FORM:
        content = json.dumps(
            {
                "resourceType": "QuestionnaireResponse",
                "questionnaire": "http://payer.example/Questionnaire/emg",
                "status": "completed",
                "item": [{"linkId": "1", "answer": [{"valueString": draw(GIVEN)}]}],
            }
        ).encode()
        media_type = "application/fhir+json"
    else:
        content = draw(st.binary(min_size=1, max_size=60))
        media_type = draw(st.sampled_from(["application/pdf", "text/plain", "image/jpeg"]))
    ref = DocumentRef(
        id=hashlib.sha256(content).hexdigest(),
        kind=kind,
        media_type=media_type,
        size=len(content),
        dated=draw(st.sampled_from([None, date(2026, 2, 20)])),
    )
    return ref, content


@dataclass(frozen=True)
class Made:
    """A request with the contents of its documents, and of the earlier request's, by id."""

    request: Request
    contents: Mapping[str, bytes]


_TRACES = st.builds(
    "case-{}-{}-{}".format,
    st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26),
    st.sampled_from(["1-ordering", "1-facility", "2-rendering-at-the-facility-of-the-second-payer"]),
    st.integers(1, 30),
)
_VALUES = st.text("ABCDEFGH0123456789-", min_size=2, max_size=30)
NUMBERS = st.lists(st.builds(Number, type=st.sampled_from(NumberType), value=_VALUES), max_size=5).map(tuple)


@st.composite
def orders(draw: st.DrawFn, refs: tuple[DocumentRef, ...] = ()) -> Order:
    """Any order: one to 25 lines with gaps in their numbers, one to twelve diagnoses."""
    numbers = draw(st.lists(st.integers(1, 99), min_size=1, max_size=draw(st.sampled_from([3, 3, 8, 25])), unique=True))
    urgency = draw(st.sampled_from([Urgency.ROUTINE, *Urgency]))
    said = " ".join(draw(WORDS))[:500].strip()
    ordering = draw(providers())
    return Order(
        practice="lakeside",
        source="nextgen",
        number=f"ORD-{draw(st.integers(1, 99999))}",
        ordered_at=draw(MOMENTS),
        urgency=urgency,
        urgency_attestation=said if urgency is not Urgency.ROUTINE else draw(st.sampled_from([None, said])),
        patient=Patient(
            id="P-1",
            family_name=draw(NAMES),
            given_name=draw(GIVEN),
            birth_date=draw(st.dates(date(1920, 1, 1), date(2025, 12, 31))),
            sex=draw(st.sampled_from(Sex)),
            phone=draw(PHONES),
            address=draw(st.none() | addresses()),
        ),
        coverages=(draw(coverages()),),
        ordering=ordering,
        rendering=draw(st.none() | st.just(ordering) | providers()),
        facility=draw(
            st.none() | st.builds(Facility, npi=NPIS, name=NAMES, address=addresses(), phone=PHONES, fax=PHONES)
        ),
        diagnoses=tuple(draw(st.lists(DIAGNOSES, min_size=1, max_size=12, unique=True))),
        lines=tuple([draw(service_lines(number)) for number in numbers]),
        documents=refs,
    )


@st.composite
def requests(draw: st.DrawFn) -> Made:
    """Any first request."""
    held = draw(st.lists(documents(), max_size=4, unique_by=lambda one: one[0].id))
    order = draw(orders(tuple(ref for ref, _ in held)))
    numbers = [line.number for line in order.lines]
    wanted = draw(st.sets(st.sampled_from(numbers), min_size=1)) if draw(st.booleans()) else set(numbers)
    request = Request(
        payer="harbor-hmo",
        rail="any",
        track="1-ordering",
        attempt=1,
        trace=draw(_TRACES),
        made_at=draw(MOMENTS),
        order=order,
        rank=1,
        lines=tuple(number for number in numbers if number in wanted),
        referral=draw(st.booleans()),
        documents=order.documents,
        assertion=draw(st.sampled_from([None, "assert-1", "A-2026/7"])),
    )
    return Made(request, {ref.id: content for ref, content in held})


@st.composite
def changes(draw: st.DrawFn, first: Made) -> Made:
    """Any request that takes the place of `first`: lines kept, changed, gone and new; the rest as it was or not."""
    prior, order = first.request, first.request.order
    others: list[ServiceLine] = []
    for line in order.lines:
        changed = draw(st.sampled_from(["kept", "units", "dates", "anew", "kept"]))
        if changed == "units":
            line = line.model_copy(update={"units": line.units % 9999 + 1})  # noqa: PLW2901 - the line as it is now
        elif changed == "dates":
            line = line.model_copy(update={"service_from": draw(DAYS), "service_to": None})  # noqa: PLW2901 - as above
        elif changed == "anew":
            line = draw(service_lines(line.number))  # noqa: PLW2901 - as above
        others.append(line)
    free = [number for number in range(1, 100) if order.line(number) is None]
    fresh = draw(st.lists(st.sampled_from(free), max_size=min(3, 25 - len(others)), unique=True))
    lines = (*others, *[draw(service_lines(number)) for number in fresh])
    numbers = [line.number for line in lines]
    wanted = draw(st.sets(st.sampled_from(numbers), min_size=1))
    more = draw(st.lists(documents(), max_size=2, unique_by=lambda one: one[0].id))
    contents = {**first.contents, **{ref.id: content for ref, content in more}}
    refs = {ref.id: ref for ref in (*prior.documents, *(ref for ref, _ in more))}
    values: dict[str, Any] = {"lines": lines, "documents": tuple(refs.values())}
    if draw(st.booleans()):
        values["diagnoses"] = tuple(draw(st.lists(DIAGNOSES, min_size=1, max_size=12, unique=True)))
    if draw(st.booleans()):
        values["rendering"] = draw(st.none() | providers())
    request = Request(
        payer=prior.payer,
        rail=prior.rail,
        track=prior.track,
        attempt=prior.attempt + 1,
        trace=f"{prior.trace}2",
        made_at=draw(MOMENTS),
        order=Order.model_validate(order.model_dump() | values),
        rank=1,
        lines=tuple(number for number in numbers if number in wanted),
        referral=prior.referral,
        documents=tuple(refs.values()),
        assertion=prior.assertion,
        prior=prior,
        prior_numbers=draw(NUMBERS),
    )
    return Made(request, contents)


def updates() -> st.SearchStrategy[Made]:
    """Any request that takes the place of a first one."""
    return requests().flatmap(changes)
