"""The 278s that we send: the same bytes for the same request, syntactically right, and everything that was asked for.

The golden files are our own messages, a line for each segment; `python -m tests.test_x12_request` writes them anew.
What they mean is read back by pyx12, which shares nothing with our writer.
"""

import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyx12.x12file import X12Reader

from connectors.codes import SERVICE_TYPES
from connectors.x12.checks import check
from connectors.x12.envelope import Controls
from connectors.x12.envelope import read as read_envelope
from connectors.x12.hl import read_levels
from connectors.x12.identity import cancel_trace, inquiry_trace, line_trace, ours, trace_number
from connectors.x12.inquiry import inquiry_278
from connectors.x12.parties import X12Payer
from connectors.x12.request import Guide, interchange, request_278
from connectors.x12.segments import Segment, Unwritable, plain, segment
from connectors.x12.words import PARENTS
from domain.decision import Number, NumberType
from domain.order import Coverage, Order, Patient, Provider, Relationship, ServiceLine, Sex, Urgency, luhn_valid
from domain.request import Request
from tests.pas_requests import NOTE_REF, PRACTICE, changed_request, full_order, order, request

GOLDEN = Path(__file__).resolve().parent / "golden" / "x12"
PAYER = X12Payer(name="Harbor HMO", payer_code="HARBOR1", sender="LAKESIDE", receiver="NORTHBRIDGE")
CONTROLS = Controls(interchange=41, group=41)
NUMBERS = (
    Number(type=NumberType.ADMINISTRATIVE, value="PEND-1"),
    Number(type=NumberType.ADMINISTRATIVE, value="PEND-2"),
    Number(type=NumberType.CERTIFICATION, value="AUTH-1"),
    Number(type=NumberType.TRACE, value="OURS"),
    Number(type=NumberType.TRANSACTION, value="EXCHANGE"),
)
TODAY = date(2026, 3, 2)


def closed(body: list[Segment], guide: Guide = "005010X217", at: datetime | None = None) -> bytes:
    return interchange([body], PAYER, CONTROLS, at or request().made_at, guide)


def messages() -> dict[str, bytes]:
    """One message of every kind."""
    full = request(full_order())
    changed = changed_request()
    basic = PAYER.model_copy(update={"charset": "basic"})
    return {
        "request": closed(request_278(request(), PRACTICE, PAYER)),
        "request-dependent": closed(request_278(full, PRACTICE, PAYER)),
        "request-basic": closed(request_278(full, PRACTICE, basic)),
        "referral": closed(request_278(request(referral=True), PRACTICE, PAYER)),
        "update": closed(request_278(changed, PRACTICE, PAYER), at=changed.made_at),
        "cancel": closed(request_278(full, PRACTICE, PAYER, "cancel", NUMBERS)),
        "inquiry": closed(inquiry_278(full, PRACTICE, PAYER), "005010X215"),
        "inquiry-by-number": closed(inquiry_278(full, PRACTICE, PAYER, NUMBERS), "005010X215"),
    }


def lined(raw: bytes) -> str:
    return raw.decode().replace("~", "~\n")


def independently(raw: bytes) -> list[list[str]]:
    """Read with pyx12 alone: every segment by its elements; fails on every fault that it finds."""
    with X12Reader(io.StringIO(raw.decode())) as reader:
        found = [str(one.format("~", "*", ":")).rstrip("~").split("*") for one in reader]
        reader.cleanup()
        assert reader.pop_errors() == []
    return found


def said(raw: bytes, *start: str) -> list[list[str]]:
    return [one[len(start) :] for one in independently(raw) if one[: len(start)] == list(start)]


@pytest.mark.parametrize("name", messages())
def test_our_messages_are_the_golden_ones(name: str) -> None:
    assert lined(messages()[name]) == (GOLDEN / f"278-{name}.edi").read_text()


@pytest.mark.parametrize("name", messages())
def test_an_independent_reader_finds_no_fault(name: str) -> None:
    assert independently(messages()[name])[-1] == ["IEA", "1", "000000041"]


def test_the_independent_reader_would_find_a_fault() -> None:
    with pytest.raises(AssertionError):
        independently(messages()["request"].replace(b"SE*", b"SE*9"))


@pytest.mark.parametrize("name", messages())
def test_our_levels_hang_together(name: str) -> None:
    (transaction,) = read_envelope(messages()[name])[0].transactions
    assert read_levels(transaction.segments, PARENTS).problems == ()


def test_only_control_numbers_differ_between_two_sendings() -> None:
    body = request_278(request(), PRACTICE, PAYER)
    first, second = (interchange([body], PAYER, Controls(interchange=n, group=n), request().made_at) for n in (1, 2))
    differing = [a for a, b in zip(first.split(b"~"), second.split(b"~"), strict=True) if a != b]
    assert [one[:3] for one in differing] == [b"ISA", b"GS*", b"GE*", b"IEA"]


def test_a_request_asks_for_each_line_with_its_own_trace() -> None:
    raw = messages()["request"]
    trace = request().trace
    assert said(raw, "BHT") == [["0007", "13", trace, "20260302", "1500"]]
    assert said(raw, "TRN", "1") == [[t, "1990000001"] for t in (trace, f"{trace}.1", f"{trace}.3")]
    assert said(raw, "UM") == [
        ["HS", "I", "73", "11:B", "", "", "", "", "Y"],
        ["HS", "I", "73", "11:B"],
        ["HS", "I", "1", "11:B"],
    ]
    assert said(raw, "HI") == [["ABK:M5416", "ABF:G5601"]]
    assert said(raw, "SV1") == [["HC:95910:RT:59", "", "UN", "2"], ["HC:G0283", "", "UN", "6"]]
    assert said(raw, "HSD") == [["VS", "6"]]
    assert said(raw, "DTP", "472") == [["D8", "20260320"], ["RD8", "20260320-20260420"]]
    assert said(raw, "PWK") == [["09", "EL", "", "", "AC", request().control_number(NOTE_REF), "office note"]]
    assert said(raw, "MSG") == []


def test_a_dependent_stands_under_the_subscriber_and_urgency_has_its_reason() -> None:
    raw = messages()["request-dependent"]
    assert [(one[2], one[0], one[1]) for one in said(raw, "HL")] == [
        ("20", "1", ""),
        ("21", "2", "1"),
        ("22", "3", "2"),
        ("23", "4", "3"),
        ("EV", "5", "4"),
        ("SS", "6", "5"),
        ("SS", "7", "5"),
    ]
    assert said(raw, "NM1", "IL") == [["1", "Testperson", "Alex", "", "", "", "MI", "MER000100"]]
    assert said(raw, "NM1", "QC") == [["1", "Testperson", "Robin"]]
    assert said(raw, "INS") == [["N", "19"]]
    assert said(raw, "UM")[0][5] == "U"
    assert said(raw, "MSG") == [["Progressive weakness of the right hand."]]
    assert [(one[0], one[-1]) for role in ("DK", "SJ", "FA") for one in said(raw, "NM1", role)] == [
        ("1", "1999000007"),
        ("1", "1999000015"),
        ("2", "1999000023"),
    ]


def test_basic_is_all_capitals() -> None:
    text = messages()["request-basic"].decode()
    assert text == text.upper()
    assert "TESTPERSON" in text


def test_a_referral_is_specialty_care() -> None:
    assert {one[0] for one in said(messages()["referral"], "UM")} == {"SC"}


def test_a_revision_names_the_prior_numbers_and_what_becomes_of_each_line() -> None:
    raw = messages()["update"]
    assert [one[:2] for one in said(raw, "UM")] == [["HS", "S"], ["HS", "S"], ["HS", "I"], ["HS", "3"]]
    assert [one[0] for one in said(raw, "SV1")] == ["HC:95910:RT:59", "HC:95886", "HC:G0283"]
    assert said(raw, "REF", "NT") == [["PEND-1"]]
    assert said(raw, "REF", "BB") == []
    assert said(raw, "BHT")[0][2] == "case-4f1b-1-ordering-2"


def test_a_cancel_takes_back_every_line_by_the_payers_latest_numbers() -> None:
    raw = messages()["cancel"]
    assert {one[1] for one in said(raw, "UM")} == {"3"}
    assert said(raw, "REF", "BB") == [["AUTH-1"]]
    assert said(raw, "REF", "NT") == [["PEND-2"]]
    assert said(raw, "BHT")[0][2] == cancel_trace(request().trace)
    assert said(raw, "PWK") == []


def test_a_referrals_number_names_it_until_a_certification_does() -> None:
    referral = Number(type=NumberType.REFERRAL, value="REFERRAL-1")
    raw = closed(request_278(request(), PRACTICE, PAYER, "cancel", (referral,)))
    assert said(raw, "REF", "BB") == [["REFERRAL-1"]]
    raw = closed(request_278(request(), PRACTICE, PAYER, "cancel", (*NUMBERS, referral)))
    assert said(raw, "REF", "BB") == [["AUTH-1"]]


def test_an_inquiry_has_one_diagnosis_and_its_own_trace() -> None:
    raw = messages()["inquiry"]
    assert said(raw, "BHT")[0][:3] == ["0007", "28", inquiry_trace(request().trace)]
    assert said(raw, "HI") == [["ABK:M5416"]]
    assert said(raw, "DTP", "AAH") == [["RD8", "20260320-20260420"]]
    assert [one[0] for one in said(raw, "SV1")] == ["HC:95910:RT:59", "HC:G0283"]
    assert inquiry_trace(request().trace) not in ours(request()).names
    by_number = messages()["inquiry-by-number"]
    assert said(by_number, "REF", "BB") == [["AUTH-1"]]
    assert said(by_number, "REF", "NT") == [["PEND-2"]]
    assert said(by_number, "SV1") == []


def test_a_batch_is_one_group_of_transactions_with_numbers_of_their_own() -> None:
    bodies = [request_278(request(trace=f"case-{n}"), PRACTICE, PAYER) for n in (1, 2)]
    raw = interchange(bodies, PAYER, Controls(interchange=1, group=1, transaction=12), request().made_at)
    assert [one[1] for one in said(raw, "ST")] == ["0012", "0013"]
    assert said(raw, "GE") == [["2", "1"]]
    (one,) = read_envelope(raw)
    assert one.all_problems == ()


def test_long_traces_are_shortened_and_stay_apart() -> None:
    long = "case-" + "a" * 60
    names = {trace_number(long), cancel_trace(long), inquiry_trace(long), *(line_trace(long, n) for n in range(1, 26))}
    assert len(names) == 28
    assert all(len(name) == 50 for name in names)
    assert line_trace("case-1", 3) == "case-1.3"


def test_what_is_sent_is_clean() -> None:
    for body in (
        request_278(request(), PRACTICE, PAYER),
        request_278(request(full_order()), PRACTICE, PAYER, "cancel", NUMBERS),
        request_278(changed_request(), PRACTICE, PAYER),
        inquiry_278(request(full_order()), PRACTICE, PAYER),
    ):
        assert check(body, TODAY) == ()


def replaced(*change: Segment) -> list[Segment]:
    """Our body with segments of the same id and first element put in the place of ours."""
    body = request_278(request(full_order()), PRACTICE, PAYER)
    for new in change:
        (place, *_) = [i for i, one in enumerate(body) if one.id == new.id and one.get(1) == new.get(1)]
        body[place] = new
    return body


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (segment("NM1", "SJ", "1", "LINDQVIST", "BO", "", "", "", "XX", "1999000016"), "rendering provider: NPI"),
        (segment("NM1", "IL", "1", "TESTPERSON", "ALEX", "", "", "", "MI", ""), "subscriber: id"),
        (segment("NM1", "QC", "1", "", "ROBIN"), "patient: name"),
        (segment("NM1", "QC", "1", "T" * 61, "ROBIN"), "patient: name"),
        (segment("NM1", "QC", "1", "TEST~PERSON", "ROBIN"), "patient: name"),
        (segment("NM1", "QC", "1", "TESTPERSØN", "ROBIN"), "patient: name"),
        (segment("DMG", "D8", "20260303", "F"), "subscriber: date of birth"),
        (segment("DMG", "D8", "18450517", "F"), "subscriber: date of birth"),
        (segment("DMG", "D8", "19700231", "F"), "subscriber: date of birth"),
        (segment("DTP", "472", "D8", "20261320"), "service line: date 472"),
        (segment("DTP", "472", "D8", "19600320"), "service line: date 472"),
        (segment("DTP", "472", "D8", "20360320"), "service line: date 472"),
        (segment("DTP", "472", "RD8", "20260420-20260320"), "service line: date 472"),
        (segment("DTP", "472", "RD8", "20260420"), "service line: date 472"),
        (segment("HI", ("ABK", "M54.16")), "diagnosis"),
        (segment("HI", ("ABK", "XYZ")), "diagnosis"),
        (segment("N4", "SPRINGFIELD", "IL", "6270"), "practice: postal code"),
        (segment("SV1", ("HC", "95910", "RT", "59"), "", "UN", "0"), "service line: units"),
        (segment("MSG", "A" * 265), "request: message to the payer"),
        (segment("TRN", "1", "A" * 51, "1990000001"), "request: trace number"),
        (segment("HL", "5", "9", "EV", "1"), "levels"),
    ],
)
def test_what_would_be_rejected_is_found_before_it_is_sent(change: Segment, field: str) -> None:
    body = request_278(request(full_order()), PRACTICE, PAYER)
    places = [i for i, one in enumerate(body) if one.id == change.id and one.get(1) == change.get(1)]
    if change.id in {"HI", "SV1", "N4", "MSG"}:
        places = [i for i, one in enumerate(body) if one.id == change.id]
    body[places[0]] = change
    found = check(body, TODAY)
    assert field in {finding.field for finding in found}
    for finding in found:
        assert finding.remedy
        assert finding.problem.endswith(".")
        assert all(value not in finding.problem for value in (change.get(3), change.get(9)) if len(value) > 2)


def test_more_documents_than_a_278_names_are_found() -> None:
    many = tuple(NOTE_REF.model_copy(update={"id": f"{n:064x}"}) for n in range(11))
    (found,) = check(request_278(request(documents=many), PRACTICE, PAYER), TODAY)
    assert (found.field, "11 documents" in found.problem) == ("documents", True)


def test_names_in_other_scripts_are_a_finding_and_accents_are_not() -> None:
    patient = order().patient
    for name, fields in (("Núñez", set()), ("李", {"subscriber: name"})):
        asked = order(patient=patient.model_copy(update={"family_name": name}))
        found = check(request_278(request(asked), PRACTICE, PAYER), TODAY)
        assert {finding.field for finding in found} == fields


def test_a_member_id_can_always_be_written_and_a_bad_number_never_is() -> None:
    bad = (Number(type=NumberType.CERTIFICATION, value="A~B"),)
    body = request_278(request(), PRACTICE, PAYER, "cancel", bad)
    assert "request: reference number" in {finding.field for finding in check(body, TODAY)}
    with pytest.raises(Unwritable):
        closed(body)


def test_an_attestation_that_is_too_long_says_that_it_goes_on() -> None:
    whole = " ".join(f"word{n}" for n in range(60))
    asked = request(order(urgency=Urgency.STAT, urgency_attestation=whole))
    (written,) = [one.get(1) for one in request_278(asked, PRACTICE, PAYER) if one.id == "MSG"]
    assert len(written) <= 264
    assert written.endswith(" ...")
    assert whole.startswith(written.removesuffix(" ..."))


def npi(nine: int) -> str:
    start = f"1{nine:08}"
    return next(f"{start}{digit}" for digit in range(10) if luhn_valid(f"{start}{digit}"))


words = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=["Cc"]), min_size=1, max_size=80
).filter(lambda said: bool(plain(said, limit=35)))
providers = st.builds(
    Provider, npi=st.integers(0, 10**8 - 1).map(npi), family_name=words, given_name=words, phone=st.just("217-555-0110")
)
days = st.dates(date(2026, 1, 1), date(2027, 12, 31))


@st.composite
def lines(draw: st.DrawFn, number: int) -> ServiceLine:
    start = draw(days)
    return ServiceLine(
        number=number,
        code=draw(st.from_regex(r"[0-9A-Z]{5}", fullmatch=True)),
        category=draw(st.sampled_from(sorted(SERVICE_TYPES))),
        modifiers=tuple(draw(st.lists(st.from_regex(r"[0-9A-Z]{2}", fullmatch=True), max_size=4))),
        units=draw(st.integers(1, 9999)),
        unit_kind=draw(st.sampled_from(["unit", "visit", "study", "quarter_hour", "day"])),
        place_of_service=draw(st.from_regex(r"[0-9]{2}", fullmatch=True)),
        service_from=start,
        service_to=draw(st.one_of(st.none(), st.integers(0, 300).map(lambda n: start + timedelta(days=n)))),
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request that the domain can make of the fields that a 278 carries."""
    numbers = draw(st.lists(st.integers(1, 99), min_size=1, max_size=5, unique=True))
    urgency = draw(st.sampled_from(Urgency))
    coverage: dict[str, Any] = {
        "rank": 1,
        "payer": "harbor-hmo",
        "member_id": draw(st.from_regex(r"[A-Za-z0-9-]{2,30}", fullmatch=True)),
        "group_number": draw(st.one_of(st.none(), words.map(lambda said: said[:50]))),
        "relationship": draw(st.sampled_from(Relationship)),
    }
    if coverage["relationship"] is not Relationship.SELF:
        coverage |= {"subscriber_family_name": draw(words), "subscriber_given_name": draw(words)}
        coverage["subscriber_birth_date"] = draw(st.dates(date(1920, 1, 1), date(2008, 1, 1)))
    asked = Order(
        practice="lakeside",
        source="nextgen",
        number="ORD-1",
        ordered_at=datetime(2026, 1, 1, tzinfo=UTC),
        urgency=urgency,
        urgency_attestation=None if urgency is Urgency.ROUTINE else draw(words),
        patient=Patient(
            id="P-1",
            family_name=draw(words),
            given_name=draw(words),
            birth_date=draw(st.dates(date(1920, 1, 1), date(2025, 12, 31))),
            sex=draw(st.sampled_from(Sex)),
            address=draw(st.one_of(st.none(), st.just(PRACTICE.address))),
        ),
        coverages=(Coverage.model_validate(coverage),),
        ordering=draw(providers),
        rendering=draw(st.one_of(st.none(), providers)),
        diagnoses=tuple(
            draw(st.lists(st.from_regex(r"[A-Z][0-9][0-9A-Z]{1,5}", fullmatch=True), min_size=1, max_size=12))
        ),
        lines=tuple(draw(lines(number)) for number in numbers),
    )
    chosen = draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True))
    return request(asked, lines=tuple(chosen), referral=draw(st.booleans()), documents=())


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(requests())
def test_any_request_is_read_back_by_another_reader(asked: Request) -> None:
    raw = closed(request_278(asked, PRACTICE, PAYER))
    patient, coverage = asked.order.patient, asked.coverage
    own = coverage.relationship is Relationship.SELF
    family, given_name = plain(patient.family_name, limit=60), plain(patient.given_name, limit=35)
    if own:
        named = [["1", family, given_name, "", "", "", "MI", coverage.member_id]]
        assert said(raw, "NM1", "IL") == named
    else:
        assert said(raw, "NM1", "IL")[0][-1] == coverage.member_id
        assert said(raw, "NM1", "QC") == [["1", family, given_name]]
    assert said(raw, "DMG", "D8")[-1][0] == f"{patient.birth_date:%Y%m%d}"
    assert said(raw, "NM1", "DK")[0][-1] == asked.order.ordering.npi
    rendering = asked.order.rendering
    assert [one[-1] for one in said(raw, "NM1", "SJ")] == ([rendering.npi] if rendering else [])
    codes = [part.split(":")[1] for one in said(raw, "HI") for part in one]
    assert codes == [code.replace(".", "") for code in asked.order.diagnoses]
    wanted = asked.service_lines
    procedures = [one[0].split(":")[1:] for one in said(raw, "SV1")]
    assert procedures == [[line.code, *line.modifiers] for line in wanted]
    assert [int(one[3]) for one in said(raw, "SV1")] == [line.units for line in wanted]
    spans = [one[-1].split("-") for one in said(raw, "DTP", "472")]
    assert [(s[0], s[-1]) for s in spans] == [
        (f"{line.service_from:%Y%m%d}", f"{line.service_to or line.service_from:%Y%m%d}") for line in wanted
    ]
    assert [one[0] for one in said(raw, "TRN", "1")[1:]] == [line_trace(asked.trace, line.number) for line in wanted]
    event, *per_line = said(raw, "UM")
    assert event[0] == ("SC" if asked.referral else "HS")
    assert event[5] == {Urgency.URGENT: "U", Urgency.STAT: "03"}.get(asked.order.urgency, "")
    assert [one[2:4] for one in per_line] == [[SERVICE_TYPES[n.category], f"{n.place_of_service}:B"] for n in wanted]
    assert bool(said(raw, "MSG")) is (asked.order.urgency is not Urgency.ROUTINE)


def test_a_specialty_that_is_no_taxonomy_code_is_found_before_it_is_sent() -> None:
    asked = request(
        order(ordering=Provider(npi="1999000007", family_name="Okafor", given_name="Ada", taxonomy="ORTHOPEDIC"))
    )
    (finding,) = check(request_278(asked, PRACTICE, PAYER), TODAY)
    assert (finding.field, finding.where) == ("ordering provider: taxonomy", "PRV03")


def test_an_address_is_broken_at_blanks_and_neither_part_keeps_one() -> None:
    place = PRACTICE.address.model_copy(update={"line": "12 " + "Southtower " * 10})
    (written,) = [
        one
        for one in request_278(request(), PRACTICE.model_copy(update={"address": place}), PAYER)[:9]
        if one.id == "N3"
    ]
    assert [written.text(1), written.text(2)] == ["12" + " Southtower" * 4, " ".join(["Southtower"] * 5)]


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, raw in messages().items():
        (GOLDEN / f"278-{name}.edi").write_text(lined(raw))
