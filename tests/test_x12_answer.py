"""Answers by 278: each with the right meaning, and none approved that the payer did not approve.

The answers are golden files of ours, a line for each segment; `python -m tests.test_x12_answer` writes them anew.
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.codes import OUTCOMES
from connectors.ours import Ours
from connectors.x12.answer import read_answers
from connectors.x12.envelope import Controls, Route, build
from connectors.x12.identity import cancel_trace, inquiry_trace, line_trace, ours
from connectors.x12.segments import Segment, segment
from domain.decision import Decision, Ending, LineDecision, Number, NumberType, Outcome, Reason, Result
from tests.pas_requests import full_order, request

GOLDEN = Path(__file__).resolve().parent / "golden" / "x12"
REQUEST = request()
MINE = ours(REQUEST)
TRACE = REQUEST.trace
BACK = Route(sender="NORTHBRIDGE", receiver="LAKESIDE")
A1 = ("HCR", "A1", "AUTH-1")
CERTIFIED = Number(type=NumberType.CERTIFICATION, value="AUTH-1")
QUESTIONNAIRE = "102089-0"
ORDER = ("TRN", "AAA", "UM", "HCR", "REF", "DTP", "HI", "SV1", "HSD", "PWK", "MSG")
"""Of the segments of a level in the base standard."""

Line = list[tuple[Any, ...]]


def event_of(*own: tuple[Any, ...], trace: str | None = TRACE) -> Line:
    echoed = [("TRN", "2", trace, "1990000001")] if trace else []
    return sorted([*echoed, ("UM", "HS", "I", "73", ("11", "B")), *own], key=lambda one: ORDER.index(one[0]))


def line_of(
    *own: tuple[Any, ...], number: int | None = None, code: str | None = None, units: int | None = None
) -> Line:
    echoed = [("TRN", "2", line_trace(TRACE, number), "1990000001")] if number else []
    service = [("SV1", ("HC", code), None, "UN" if units else None, units)] if code else []
    return sorted([*echoed, *service, *own], key=lambda one: ORDER.index(one[0]))


def body(
    *events: tuple[Line, list[Line]],
    above: dict[str, list[tuple[Any, ...]]] | None = None,
    reference: str = TRACE,
    member: str = "MER000100",
    purpose: str = "11",
) -> list[Segment]:
    """The body of an answer: what each level says, and the events with their lines."""
    said = above or {}
    levels: list[tuple[Any, ...]] = [
        ("BHT", "0007", purpose, reference, "20260303", "0910", "18"),
        ("HL", 1, None, "20", 1),
        ("NM1", "X3", "2", "Harbor HMO", None, None, None, None, "PI", "HARBOR1"),
        *said.get("20", []),
        ("HL", 2, 1, "21", 1),
        ("NM1", "1P", "2", "Lakeside Orthopedics", None, None, None, None, "XX", "1234567893"),
        *said.get("21", []),
        ("HL", 3, 2, "22", 1 if events else 0),
        ("NM1", "IL", "1", "Testperson", "Robin", None, None, None, "MI", member),
        *said.get("22", []),
    ]
    count = 3
    for own, lines in events:
        count += 1
        place = count
        levels += [("HL", place, 3, "EV", 1 if lines else 0), *own]
        for one in lines:
            count += 1
            levels += [("HL", count, place, "SS", 0), *one]
    return [segment(*one) for one in levels]


def closed(*bodies: list[Segment], guide: str = "005010X217") -> bytes:
    at = datetime(2026, 3, 3, 9, 10, tzinfo=UTC)
    return build(BACK, Controls(interchange=61, group=61), at, "278", guide, bodies)


def answer(*events: tuple[Line, list[Line]], **changes: Any) -> bytes:
    return closed(body(*events, **changes))


EFFECTIVE = (("DTP", "007", "D8", "20260303"), ("DTP", "036", "D8", "20260531"), ("DTP", "102", "D8", "20260303"))
LINES = [line_of(number=1, code="95910", units=2), line_of(number=3, code="G0283", units=6)]


def answers() -> dict[str, bytes]:
    """The answers that we wrote, by what they are about."""
    return {
        "a1": answer((event_of(A1, *EFFECTIVE), LINES)),
        "a1-without-lines": answer((event_of(A1, ("DTP", "AAH", "RD8", "20260303-20260503"), ("HSD", "VS", 6)), [])),
        "a2-lines": answer(
            (
                event_of(("HCR", "A2")),
                [
                    line_of(A1, ("DTP", "472", "RD8", "20260320-20260401"), number=1, code="95910", units=2),
                    line_of(("HCR", "A3", None, "0F"), ("MSG", "Ask for a peer-to-peer."), number=3, code="G0283"),
                ],
            )
        ),
        "a3": answer((event_of(("HCR", "A3", "REF-9", [("0F",), ("14",)])), LINES)),
        "a4-pwk": answer(
            (
                event_of(
                    ("HCR", "A4", None, "0U"),
                    ("REF", "NT", "PEND-7"),
                    ("PWK", "09", "EL", None, None, "AC", "ACN-7"),
                    ("PWK", "DG", "EL"),
                ),
                [line_of(("PWK", "B3", "EL", None, None, "AC", "ACN-8"), number=3, code="G0283")],
            )
        ),
        "a4-questionnaire": answer(
            (
                event_of(("HCR", "A4", None, "0U")),
                [
                    line_of(
                        ("TRN", "1", "CONTEXT-5", "9123456789"),
                        ("HCR", "A4", None, "0U"),
                        ("HI", ("LOI", QUESTIONNAIRE)),
                        number=1,
                        code="95910",
                    )
                ],
            )
        ),
        "a4-loinc": answer(
            (
                event_of(
                    ("TRN", "1", "THEIRS-1", "9123456789"),
                    ("HCR", "A4"),
                    ("HI", ("LOI", "11506-3"), ("LOI", "18748-4")),
                ),
                [],
            )
        ),
        "a6": answer(
            (
                event_of(("HCR", "A6", "AUTH-1")),
                [
                    line_of(("HCR", "A6", "AUTH-1"), *EFFECTIVE, number=1, code="95910", units=1),
                    line_of(("HCR", "A6", "AUTH-2"), ("HSD", "VS", 4), number=3, code="97014"),
                ],
            )
        ),
        "ct": answer((event_of(("HCR", "CT"), ("MSG", "Call 555-0123 with the plan of care.")), [])),
        "msg-only": answer((event_of(("MSG", "See the portal.")), LINES)),
        "na": answer((event_of(("HCR", "NA", None, "0H")), LINES)),
        "c": answer((event_of(("HCR", "C", "REF-9"), trace=cancel_trace(TRACE)), [])),
        "c-closed": answer((event_of(("HCR", "C", None, "0P")), LINES)),
        "duplicate": answer((event_of(("HCR", "A3", None, "0Q"), ("REF", "BB", "AUTH-0")), [])),
        "unknown": answer((event_of(("HCR", "A9", "AUTH-1")), LINES)),
        "aaa-payer": answer(above={"20": [("AAA", "Y", None, "42", "P")]}),
        "aaa-requester": answer(above={"21": [("AAA", "N", None, "51", "C")]}),
        "aaa-subscriber": answer(above={"22": [("AAA", "N", None, "75", "C")]}),
        "aaa-event": answer((event_of(("AAA", "N", None, "57", "C")), [])),
        "aaa-line": answer(
            (event_of(), [line_of(("AAA", "N", None, "15", "R"), number=1, code="95910"), line_of(A1, number=3)])
        ),
        "aaa-not-found": answer((event_of(("AAA", "N", None, "AA", "N"), trace=inquiry_trace(TRACE)), [])),
        "aaa-and-a1": answer((event_of(A1), LINES), above={"22": [("AAA", "N", None, "72", "C")]}),
        "inquiry": closed(
            body(
                (
                    event_of(A1, ("REF", "BB", "AUTH-1"), ("REF", "NT", "PEND-7"), *EFFECTIVE, trace=None),
                    [line_of(code="95910", units=2), line_of(code="G0283", units=6)],
                ),
                (event_of(("HCR", "A4"), ("REF", "NT", "PEND-8"), trace=None), []),
                reference=inquiry_trace(TRACE),
            ),
            guide="005010X215",
        ),
    }


ALL = answers()


def golden(name: str) -> bytes:
    return (GOLDEN / f"278-answer-{name}.edi").read_bytes()


def read_all(raw: bytes, mine: Ours | None = MINE, *, status: int = 200, inquiry: bool = False) -> tuple[Decision, ...]:
    return read_answers(raw, "application/edi-x12", status, mine, inquiry=inquiry)


def read(name: str, mine: Ours | None = MINE) -> Decision:
    (decision,) = read_all(golden(name), mine)
    return decision


def line(decision: Decision, number: int) -> LineDecision:
    (found,) = (one for one in decision.lines if one.line == number)
    return found


def outcomes(decision: Decision) -> dict[int, Outcome]:
    return {one.line: one.decision for one in decision.lines}


@pytest.mark.parametrize("name", ALL)
def test_the_answers_are_the_golden_ones(name: str) -> None:
    assert ALL[name].replace(b"~", b"~\n") == golden(name)


def test_approved_is_approved_for_every_line_with_number_dates_and_units() -> None:
    decision = read("a1")
    assert decision == Decision(
        result=Result.DECIDED,
        lines=tuple(
            LineDecision(
                line=number,
                decision=Outcome.APPROVED,
                code="A1",
                numbers=(CERTIFIED,),
                valid_from=date(2026, 3, 3),
                valid_to=date(2026, 5, 31),
                units=units,
            )
            for number, units in ((1, 2), (3, 6))
        ),
        numbers=(CERTIFIED,),
        trace=TRACE,
        member_id="MER000100",
        received=date(2026, 3, 3),
    )
    assert MINE.answered_by(decision)


def test_the_event_decides_for_lines_that_are_not_named() -> None:
    decision = read("a1-without-lines")
    assert outcomes(decision) == {1: Outcome.APPROVED, 3: Outcome.APPROVED}
    assert {(one.valid_from, one.valid_to) for one in decision.lines} == {(date(2026, 3, 3), date(2026, 5, 3))}
    assert {one.units for one in decision.lines} == {None}
    alone = ours(request(lines=(3,)))
    assert line(read("a1-without-lines", alone), 3).units == 6
    assert outcomes(read("a1-without-lines", None)) == {0: Outcome.APPROVED}


def test_the_line_wins_over_the_event() -> None:
    decision = read("a2-lines")
    assert outcomes(decision) == {1: Outcome.APPROVED, 3: Outcome.DENIED}
    assert line(decision, 1).valid_to == date(2026, 4, 1)
    denied = line(decision, 3)
    assert [reason.code for reason in denied.reasons] == ["0F", None]
    assert denied.reasons[1].text == "Ask for a peer-to-peer."
    assert (denied.numbers, denied.valid_from, denied.units) == ((), None, None)
    assert any("lines otherwise" in note for note in decision.notes)


def test_denied_has_its_reasons_and_no_billable_number() -> None:
    decision = read("a3")
    assert outcomes(decision) == {1: Outcome.DENIED, 3: Outcome.DENIED}
    assert [reason.code for reason in line(decision, 1).reasons] == ["0F", "14"]
    assert {number.type for number in decision.all_numbers} == {NumberType.ADMINISTRATIVE}


def test_pended_with_documents_asks_for_them_by_control_number() -> None:
    decision = read("a4-pwk")
    assert set(outcomes(decision).values()) == {Outcome.PENDED}
    asked = {(ask.line, ask.control_number): [reason.code for reason in ask.what] for ask in decision.asks}
    assert asked == {(3, "ACN-8"): ["B3"], (None, "ACN-7"): ["09"], (None, "PEND-7"): ["DG"]}
    assert decision.numbers == (Number(type=NumberType.ADMINISTRATIVE, value="PEND-7"),)


def test_pended_with_a_questionnaire_gives_its_context() -> None:
    decision = read("a4-questionnaire")
    form, rest = decision.asks
    assert (form.line, form.context, form.control_number) == (1, "CONTEXT-5", "CONTEXT-5")
    assert [(reason.code, reason.system) for reason in form.what] == [(QUESTIONNAIRE, "http://loinc.org")]
    assert (rest.line, [reason.code for reason in rest.what]) == (3, ["0U"])
    echoed = golden("a4-questionnaire").replace(b"TRN*1*CONTEXT-5*9123456789~\n", b"").replace(b"SE*19", b"SE*18")
    (decision,) = read_all(echoed)
    assert decision.asks[0].context == line_trace(TRACE, 1)


def test_pended_with_loinc_codes_asks_under_the_payers_trace() -> None:
    decision = read("a4-loinc")
    (ask,) = decision.asks
    assert ([reason.code for reason in ask.what], ask.control_number) == (["11506-3", "18748-4"], "THEIRS-1")
    assert ask.context is None
    assert Number(type=NumberType.TRANSACTION, value="THEIRS-1") in decision.numbers


def test_modified_says_what_was_authorized_instead() -> None:
    decision = read("a6")
    assert set(outcomes(decision).values()) == {Outcome.MODIFIED}
    assert (line(decision, 1).units, line(decision, 1).procedure) == (1, None)
    assert (line(decision, 3).units, line(decision, 3).procedure) == (4, "97014")
    assert line(decision, 3).numbers == (Number(type=NumberType.CERTIFICATION, value="AUTH-2"),)


def test_contact_and_remarks_go_to_a_person() -> None:
    decision = read("ct")
    assert set(outcomes(decision).values()) == {Outcome.CONTACT_PAYER}
    assert "Call 555-0123" in (line(decision, 1).reasons[0].text or "")
    decision = read("msg-only")
    assert set(outcomes(decision).values()) == {Outcome.UNKNOWN}
    assert line(decision, 3).reasons == (Reason(text="See the portal."),)


def test_not_required_cancelled_closed_and_unknown() -> None:
    assert set(outcomes(read("na")).values()) == {Outcome.NOT_REQUIRED}
    cancelled = read("c")
    assert set(outcomes(cancelled).values()) == {Outcome.CANCELLED}
    assert (cancelled.trace, cancelled.ending) == (TRACE, None)
    assert read("c-closed").ending is Ending.CLOSED
    unknown = read("unknown")
    assert set(outcomes(unknown).values()) == {Outcome.UNKNOWN}
    assert line(unknown, 1).code == "A9"
    assert {number.type for number in unknown.all_numbers} == {NumberType.ADMINISTRATIVE}


def test_a_duplicate_says_so_and_names_the_earlier_authorization_as_a_reference() -> None:
    decision = read("duplicate")
    assert line(decision, 1).reasons[0].code == "0Q"
    assert decision.numbers == (Number(type=NumberType.ADMINISTRATIVE, value="AUTH-0"),)


@pytest.mark.parametrize(
    ("name", "code", "follow_up", "where"),
    [
        ("aaa-payer", "42", "P", "2010A, payer"),
        ("aaa-requester", "51", "C", "2010B, requester"),
        ("aaa-subscriber", "75", "C", "2010C, subscriber"),
        ("aaa-event", "57", "C", "2000E, event"),
    ],
)
def test_aaa_decides_nothing_and_is_never_a_denial(name: str, code: str, follow_up: str, where: str) -> None:
    decision = read(name)
    assert (decision.result, decision.lines, decision.trace) == (Result.REJECTED, (), TRACE)
    (error,) = decision.errors
    assert (error.code, error.follow_up, error.where) == (code, follow_up, where)
    assert error.text


def test_a_line_that_was_rejected_is_undecided_beside_one_that_was_approved() -> None:
    decision = read("aaa-line")
    assert outcomes(decision) == {1: Outcome.UNKNOWN, 3: Outcome.APPROVED}
    assert line(decision, 1).reasons[0].code == "15"
    assert [(error.code, error.where, error.follow_up) for error in decision.errors] == [
        ("15", "2000F, service line", "R")
    ]


def test_a_rejection_and_a_decision_at_once_are_a_persons() -> None:
    decision = read("aaa-and-a1")
    assert (decision.result, decision.lines) == (Result.UNREADABLE, ())
    assert decision.errors[0].code == "72"


def test_nothing_found_is_not_found_and_does_not_name_our_request() -> None:
    decision = read("aaa-not-found")
    assert (decision.result, decision.trace) == (Result.NOT_FOUND, inquiry_trace(TRACE))


def test_an_inquirys_answer_is_ours_by_a_number_of_the_payers() -> None:
    first, second = read_all(golden("inquiry"), inquiry=True)
    assert (first.trace, second.trace) == (None, None)
    mine = ours(REQUEST, (Number(type=NumberType.ADMINISTRATIVE, value="PEND-7"),))
    first, second = read_all(golden("inquiry"), mine, inquiry=True)
    assert (first.trace, second.trace) == (TRACE, None)
    assert first.numbers == (CERTIFIED, Number(type=NumberType.ADMINISTRATIVE, value="PEND-7"))
    assert set(outcomes(second).values()) == {Outcome.PENDED}
    first, _ = read_all(golden("inquiry"), mine)
    assert first.trace is None, "a number names our request only where we asked by it"


def test_a_pended_line_of_an_inquiry_asks_for_nothing_anew() -> None:
    raw = answer((event_of(("HCR", "A4", None, "0U")), LINES))
    assert len(read_all(raw)[0].asks) == 2
    assert read_all(raw, inquiry=True)[0].asks == ()


def test_several_transactions_are_several_decisions() -> None:
    raw = closed(
        body((event_of(A1), LINES)),
        body((event_of(("HCR", "A3"), trace="case-other-1"), []), reference="case-other-1", member="OTHER"),
    )
    first, second = read_all(raw)
    assert (first.trace, second.trace) == (TRACE, "case-other-1")
    assert MINE.answered_by(first)
    assert not MINE.answered_by(second)
    twice = read_all(raw + closed(body((event_of(A1), LINES))))
    assert len(twice) == 3


def test_the_trace_is_echoed_in_more_ways_than_one() -> None:
    by_reference = answer((event_of(A1, trace=None), []))
    by_line = answer((event_of(A1, trace=None), [LINES[0]]), reference="PAYERS-OWN")
    capitals = answer((event_of(A1, trace=TRACE.upper()), []), reference="PAYERS-OWN", member="mer000100")
    as_theirs = answer((event_of(A1, ("TRN", "1", TRACE, "1990000001"), trace=None), []), reference="PAYERS-OWN")
    for raw in (by_reference, by_line, capitals, as_theirs):
        (decision,) = read_all(raw)
        assert (decision.trace, decision.member_id) == (TRACE, "MER000100")
    (nameless,) = read_all(answer((event_of(A1, trace=None), []), reference="PAYERS-OWN"))
    assert nameless.trace is None
    (other,) = read_all(answer((event_of(A1, trace="case-other-1"), [LINES[0]])))
    assert other.trace == "case-other-1"


def test_lines_are_matched_by_trace_then_code_then_order() -> None:
    a3 = ("HCR", "A3")
    by_code = answer((event_of(), [line_of(a3, code="G0283"), line_of(A1, code="95910")]))
    assert outcomes(read_all(by_code)[0]) == {1: Outcome.APPROVED, 3: Outcome.DENIED}
    by_trace = answer((event_of(), [line_of(a3, number=3, code="95910"), line_of(A1, number=1, code="G0283")]))
    assert outcomes(read_all(by_trace)[0]) == {1: Outcome.APPROVED, 3: Outcome.DENIED}
    assert line(read_all(by_trace)[0], 1).procedure == "G0283"
    by_order = answer((event_of(), [line_of(a3), line_of(A1)]))
    assert outcomes(read_all(by_order)[0]) == {1: Outcome.DENIED, 3: Outcome.APPROVED}
    too_few = answer((event_of(), [line_of(A1)]))
    assert outcomes(read_all(too_few)[0]) == {0: Outcome.APPROVED}
    foreign = answer((event_of(), [line_of(A1, code="99999"), line_of(A1, code="95910")]))
    assert outcomes(read_all(foreign)[0]) == {1: Outcome.APPROVED, 0: Outcome.APPROVED}
    assert outcomes(read_all(by_code, None)[0]) == {1: Outcome.DENIED, 2: Outcome.APPROVED}


@pytest.mark.parametrize(
    "own",
    [
        [A1, ("HCR", "A3")],
        [("HCR", ("A1", "X"))],
        [("HCR", [("A1",), ("A3",)])],
        [("HCR", "a1")],
        [("HCR", None, "AUTH-1")],
    ],
)
def test_a_decision_that_is_not_plain_is_unknown(own: Line) -> None:
    (decision,) = read_all(answer((event_of(*own), LINES)))
    assert set(outcomes(decision).values()) == {Outcome.UNKNOWN}


def test_a_line_decided_twice_and_differently_is_unknown() -> None:
    twice = [line_of(A1, number=1), line_of(("HCR", "A3"), number=1), line_of(A1, number=3)]
    (decision,) = read_all(answer((event_of(), twice)))
    assert outcomes(decision) == {1: Outcome.UNKNOWN, 3: Outcome.APPROVED}
    assert line(decision, 1).code == "A1/A3"


def test_a_line_with_something_unknown_in_place_of_its_decision_does_not_get_the_events() -> None:
    raw = answer((event_of(A1), [line_of(("HCR", "A3"), number=1), LINES[1]])).replace(b"HCR*A3", b"HXR*A3")
    (decision,) = read_all(raw)
    assert outcomes(decision) == {1: Outcome.UNKNOWN, 3: Outcome.APPROVED}


def test_a_line_that_the_answer_may_mean_by_another_name_does_not_get_the_events() -> None:
    a3 = ("HCR", "A3")
    for named in (line_of(a3, code="99999"), line_of(a3, number=1)):
        (decision,) = read_all(answer((event_of(A1), [line_of(A1, number=1), named])))
        assert outcomes(decision)[3] is Outcome.UNKNOWN
    (decision,) = read_all(answer((event_of(A1), [line_of(A1, number=1), line_of(A1, code="99999")])))
    assert outcomes(decision)[3] is Outcome.APPROVED


def test_dates_and_quantities_that_contradict_themselves_are_not_taken() -> None:
    wrong = (("DTP", "007", "D8", "20260531"), ("DTP", "036", "D8", "20260303"), ("DTP", "472", "D8", "20261399"))
    raw = answer((event_of(), [line_of(A1, *wrong, ("HSD", "VS", 1), number=1, code="95910", units=2)]))
    (decision,) = read_all(raw)
    one = line(decision, 1)
    assert (one.valid_from, one.valid_to, one.units) == (None, None, 1)
    assert any("cannot be read" in note for note in decision.notes)
    assert any("smaller one" in note for note in decision.notes)
    pattern = [line_of(A1, ("HSD", "VS", 2, "WK", None, 7, 12), number=1, code="95910")]
    assert line(read_all(answer((event_of(), pattern)))[0], 1).units is None


BROKEN: dict[str, tuple[bytes, bytes]] = {
    "cut off": (b"SE*", b"XE*"),
    "counts more": (b"SE*", b"SE*9"),
    "hang together": (b"HL*4*3*EV", b"HL*4*7*EV"),
    "request or an inquiry": (b"BHT*0007*11", b"BHT*0007*13"),
    "notification": (b"005010X217", b"005010X216"),
    "no event": (b"HL*2*1*21*1~", b"HCR*A3~HL*2*1*21*1~"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_what_cannot_be_relied_on_decides_nothing(why: str) -> None:
    raw = ALL["a1"]
    assert BROKEN[why][0] in raw
    (decision,) = read_all(raw.replace(*BROKEN[why]))
    assert (decision.result, decision.lines) == (Result.UNREADABLE, ())
    assert why in decision.notes[0]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "It is empty."),
        (b"<html><body>Down for maintenance</body></html>", "ISA"),
        (b'{"resourceType": "ClaimResponse"}', "ISA"),
        (b"\xff\xfe\x00", "ISA"),
        (b"ISA*00*cut", "not complete"),
        (closed(body()).replace(b"ST*278*", b"ST*999*"), "999"),
        (answer(), "says nothing about any request"),
        (answer((event_of(), LINES)), "says nothing about any line"),
    ],
)
def test_what_is_no_answer_is_unreadable(raw: bytes, said: str) -> None:
    (decision,) = read_all(raw)
    assert decision.result is Result.UNREADABLE
    assert said in decision.notes[0]


def test_an_error_of_http_makes_a_decision_unreadable_and_leaves_a_rejection() -> None:
    assert read_all(ALL["a1"], status=500)[0].result is Result.UNREADABLE
    assert read_all(ALL["aaa-event"], status=400)[0].result is Result.REJECTED


def test_too_much_is_unreadable() -> None:
    many = [body((event_of(A1), [])) for _ in range(51)]
    assert read_all(closed(*many))[0].result is Result.UNREADABLE
    events = [(event_of(A1), list[Line]())] * 51
    assert read_all(answer(*events))[0].result is Result.UNREADABLE
    lines = [line_of(A1, code="99999")] * 100
    assert read_all(answer((event_of(), lines)))[0].result is Result.UNREADABLE


def test_notes_and_errors_say_nothing_of_the_patient() -> None:
    for raw in ALL.values():
        for decision in read_all(raw):
            said = " ".join([*decision.notes, *(e.model_dump_json() for e in decision.errors)])
            assert "Testperson" not in said
            assert "MER000100" not in said


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_damaged_answers_never_raise(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(list(ALL.values()))))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                raw[at] = data.draw(st.integers(0, 255))
            case 1:
                del raw[at : at + data.draw(st.integers(1, 40))]
            case _:
                raw[at:at] = data.draw(st.binary(max_size=20))
        if not raw:
            break
    found = read_all(bytes(raw), data.draw(st.sampled_from([MINE, None])), inquiry=data.draw(st.booleans()))
    assert found


unknown_codes = st.one_of(
    st.from_regex(r"[A-Z0-9]{0,3}", fullmatch=True), st.from_regex(r"[ -)+-9;-\]_-}]{1,6}", fullmatch=True)
).filter(lambda code: code.strip() not in OUTCOMES)


@given(unknown_codes, st.sampled_from(sorted(ALL)))
def test_nothing_is_approved_once_its_code_is_unknown(code: str, name: str) -> None:
    raw = ALL[name]
    for known in OUTCOMES:
        raw = raw.replace(f"HCR*{known}*".encode(), f"HCR*{code}*".encode())
        raw = raw.replace(f"HCR*{known}~".encode(), f"HCR*{code}~".encode())
    for decision in read_all(raw):
        assert not any(one.decision.permits for one in decision.lines)
        assert all(number.type is not NumberType.CERTIFICATION for number in decision.all_numbers)


@given(st.data())
def test_no_damaged_byte_approves_what_was_not_approved(data: st.DataObject) -> None:
    """One byte that is another: no answer that approved nothing comes to approve, but by a code that says so."""
    name = data.draw(st.sampled_from(["a3", "a4-pwk", "ct", "msg-only", "unknown", "aaa-event", "aaa-subscriber"]))
    raw = bytearray(ALL[name])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if any(f"HCR*{code}".encode() in bytes(raw) for code in ("A1", "NA")):
        return
    for decision in read_all(bytes(raw)):
        assert not any(one.decision.permits for one in decision.lines)


def published(shared: Path, name: str) -> Decision:
    (decision,) = read_all((shared / "fixtures" / "x12" / "tr3" / f"278-x217-{name}.edi").read_bytes(), None)
    return decision


def test_the_published_answers_have_their_meaning(shared: Path) -> None:
    referral = published(shared, "referral-response-to-request-for-review")
    auth = Number(type=NumberType.CERTIFICATION, value="AUTH0001")
    assert (referral.trace, referral.member_id, referral.received) == ("111099", "12345678901", date(2005, 5, 2))
    assert referral.lines == (
        LineDecision(
            line=0,
            decision=Outcome.APPROVED,
            code="A1",
            numbers=(auth,),
            valid_from=date(2005, 5, 2),
            valid_to=date(2005, 6, 2),
            units=1,
        ),
    )
    admission = published(shared, "admission-response-to-request-for-review")
    assert outcomes(admission) == {1: Outcome.APPROVED}, "the event is modified, the line is certified: the line wins"
    assert line(admission, 1).numbers == (Number(type=NumberType.CERTIFICATION, value="AUTH0002"),)
    assert any("A6" in note for note in admission.notes)
    for name in ("admission-request-for-review", "referral-request-for-review"):
        asked = published(shared, name)
        assert (asked.result, "no answer" in asked.notes[0]) == (Result.UNREADABLE, True)


def vendor(shared: Path, name: str, inside: str | None) -> tuple[Decision, ...]:
    example = json.loads((shared / "fixtures" / "vendors" / "optum" / "examples" / f"{name}.json").read_text())
    x12 = example[inside]["x12"] if inside else example["x12"]
    return read_all(x12.encode(), None, inquiry=inside == "inquiry")


def test_a_vendors_examples_have_their_meaning(shared: Path) -> None:
    for name in ("UserInquiryResponseDependent", "UserInquiryResponseSubscriber"):
        (found,) = vendor(shared, name, "inquiry")
        assert outcomes(found) == {1: Outcome.APPROVED}
        one = line(found, 1)
        assert (one.valid_from, one.valid_to, one.units) == (date(2024, 2, 20), date(2024, 8, 18), 1)
        assert (found.member_id, one.procedure) == ("U1234567890", "78452")
        assert found.numbers == (
            Number(type=NumberType.CERTIFICATION, value="A12345678"),
            Number(type=NumberType.ADMINISTRATIVE, value="52598960"),
        )
    for name in ("UserSubmissionResponseDependent", "UserSubmissionResponseSubscriber"):
        (sent,) = vendor(shared, name, "submission")
        assert [(one.decision, one.units) for one in sent.lines] == [(Outcome.APPROVED, n) for n in (5, 8, 14)]
    (told,) = vendor(shared, "UserNoaResponse", "noa")
    assert (told.result, told.lines) == (Result.UNREADABLE, ())
    for name in ("NoProcedureCodes", "TwoCodesOneRequired", "TwoRequiredCodesWithSplit"):
        (asked,) = vendor(shared, f"X12OrchRequest{name}", None)
        assert asked.result is Result.UNREADABLE


def test_a_dependents_answer_is_about_the_subscribers_member_id() -> None:
    made = body((event_of(A1), []))
    place = next(i for i, one in enumerate(made) if one.is_("HL", "4"))
    made[place] = segment("HL", 5, 4, "EV", 0)
    made[place:place] = [segment("HL", 4, 3, "23", 1), segment("NM1", "QC", "1", "Testperson", "Kim")]
    (decision,) = read_all(closed(made), ours(request(full_order())))
    assert (decision.member_id, set(outcomes(decision).values())) == ("MER000100", {Outcome.APPROVED})


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, raw in ALL.items():
        (GOLDEN / f"278-answer-{name}.edi").write_bytes(raw.replace(b"~", b"~\n"))
