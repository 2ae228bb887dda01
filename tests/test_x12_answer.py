"""Answers by 278: each with the right meaning, also those that others published."""

import json
from datetime import date
from pathlib import Path

import pytest

from connectors.x12.identity import inquiry_trace, line_trace, ours
from connectors.x12.segments import segment
from domain.decision import Decision, Ending, LineDecision, Number, NumberType, Outcome, Reason, Result
from tests.pas_requests import full_order, request
from tests.x12_answers import (
    A1,
    ALL,
    CERTIFIED,
    LINES,
    MINE,
    QUESTIONNAIRE,
    REQUEST,
    TRACE,
    Line,
    answer,
    body,
    closed,
    event_of,
    golden,
    line,
    line_of,
    outcomes,
    read,
    read_all,
)


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
        ("aaa-requester", "51", "C", "2010B, practice"),
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
    assert (decision.result, set(outcomes(decision).values())) == (Result.UNREADABLE, {Outcome.UNKNOWN})
    assert decision.all_numbers == ()
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


def test_the_day_of_the_service_is_the_validity_only_where_no_other_date_is_given() -> None:
    service, whole = ("DTP", "472", "D8", "20260320"), ("DTP", "AAH", "RD8", "20260303-20260601")
    until, backwards = ("DTP", "036", "D8", "20260531"), ("DTP", "036", "D8", "20260101")
    for at_event, at_line, valid in (
        ([whole], [service], (date(2026, 3, 3), date(2026, 6, 1))),
        ([whole], [service, until], (None, date(2026, 5, 31))),
        ([until], [service], (None, date(2026, 5, 31))),
        ([whole, until], [service], (None, date(2026, 5, 31))),
        ([], [service, ("DTP", "007", "D8", "20260303"), backwards], (None, None)),
        ([("DTP", "AAH", "D8", "20261399")], [service], (None, None)),
        ([], [service], (date(2026, 3, 20), date(2026, 3, 20))),
        ([service], [], (date(2026, 3, 20), date(2026, 3, 20))),
    ):
        one = line(read_all(answer((event_of(*at_event), [line_of(A1, *at_line, number=1)])))[0], 1)
        assert (one.valid_from, one.valid_to) == valid


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
