"""Nothing is lost unseen, by example: requests that nobody waits for, and what a full case does with more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.actions import GatherDocuments, InquireStatus
from domain.base import Stage, Turn
from domain.case import Case
from domain.clocks import ClockKind
from domain.decision import Decision, LineDecision, Outcome, Result
from domain.facts import (
    MAX_CASE_BYTES,
    ChannelReported,
    ClockExtended,
    DecisionReceived,
    DocumentAdded,
    Fact,
    FactRetracted,
    Failure,
    NewAttemptOrdered,
    NoteAdded,
    NotificationClaimed,
    OrderCancelled,
    OrderChanged,
    RequirementDetermined,
    TaskOpened,
)
from domain.keeping import Keeping
from domain.refusal import refuse
from domain.results import read_result
from domain.work import claim, complete, forms_of
from tests.builders import (
    MONDAY,
    Hands,
    at,
    case_of,
    document,
    done,
    known,
    of_kind,
    order,
    said,
    submitted,
    with_facts,
    work,
)

TRACK = "1-ordering"
INES, JO = "person:ines", "person:jo"


def unneeded(case: Case) -> list[TaskOpened]:
    opened = (task.opened for task in case.open_tasks)
    return [task for task in opened if task.task.startswith("unneeded/")]


def not_required() -> Fact:
    lines = ({"line": 1, "authorization": "not_required", "rule": "payer: Dana"},)
    return said(RequirementDetermined, "called", by=INES, track=TRACK, rank=1, payer="meridian-ppo", lines=lines)


def test_a_request_that_nothing_requires_any_more_is_a_persons_to_take_back_or_leave() -> None:
    case, plan = at(known(order(), submitted(), not_required()), MONDAY)
    (opened,) = unneeded(case)
    assert plan.turn is Turn.STAFF
    assert set(forms_of(opened)) == {"withdrawn", "acknowledged"}
    case, _ = at(with_facts(case, [done(opened, MONDAY, "acknowledged")], MONDAY), MONDAY)
    assert not unneeded(case)


def test_so_is_one_that_may_have_arrived() -> None:
    hands = Hands(known(order()))
    hands.turn()
    hands.fail("submit_request", Failure.AMBIGUOUS)
    hands.keeping.take([not_required()], MONDAY)
    hands.turn()
    assert unneeded(hands.case)


def test_a_request_whose_order_to_send_it_anew_was_taken_back_is_not_forgotten_at_the_payer() -> None:
    anew = said(NewAttemptOrdered, "anew", by=INES, track=TRACK, attempt=2, reason="Sent anew.")
    back = said(FactRetracted, "back", by=INES, retracted="anew", reason="Wrong case.", signed_by=JO)
    case = known(order(), submitted(), anew, submitted(attempt=2))
    assert not unneeded(at(case, MONDAY)[0])
    case, _ = at(with_facts(case, [back], MONDAY), MONDAY)
    assert [task.attempt for task in unneeded(case)] == [2]


def test_what_may_be_at_the_payer_is_settled_before_an_order_closes_that_was_changed_and_cancelled() -> None:
    hands = Hands(known(order()))
    hands.turn()
    hands.fail("submit_request", Failure.AMBIGUOUS)
    changed = order(code="93970", category="venous_doppler")
    off = said(OrderCancelled, "off", by=INES, reason="No longer wanted.")
    hands.keeping.take([said(OrderChanged, "other", by=INES, order=changed), off], MONDAY)
    for action in [a for a in hands.begun if a.kind != "submit_request"]:
        hands.keeping.end(action, [], MONDAY)
    assert hands.turn().stage is not Stage.CLOSED
    assert work(hands.case) == ["find_request"]


def test_a_flood_of_reports_fills_no_case_over_its_limit_and_an_operator_knows() -> None:
    keeping, now = Keeping(known(order())), MONDAY
    for place in range(4000):
        now += timedelta(minutes=1)
        claim = said(NotificationClaimed, f"call-{place}", now, payer="meridian-ppo", why="No signature.")
        keeping.take([claim], now)
        assert keeping.case.size < MAX_CASE_BYTES - 16 * 1024
    assert "operator" in work(at(keeping.case, now)[0])
    kept = keeping.case.n
    answer = keeping.take([said(NotificationClaimed, "one more", now, payer="meridian-ppo", why="No signature.")], now)
    assert (answer.n, keeping.case.n) == (kept, kept)
    note = said(NoteAdded, "note", now, by=INES, text="The payer called.")
    refusal = refuse(keeping.case, note, now)
    assert refusal is not None
    assert (refusal.code, "full" in refusal.sentence) == ("too_large", True)
    assert len(of_kind(keeping.case.facts, NotificationClaimed)) > 1000


def test_a_line_that_came_to_be_required_after_the_payer_was_asked_is_not_waited_for_but_asked_for() -> None:
    one = {"line": 1, "authorization": "required", "rule": "call"}
    both = said(
        RequirementDetermined,
        "called",
        by=INES,
        track=TRACK,
        rank=1,
        payer="meridian-ppo",
        lines=(one, {**one, "line": 2}),
    )
    only = said(
        RequirementDetermined,
        "first",
        by=INES,
        track=TRACK,
        rank=1,
        payer="meridian-ppo",
        lines=(one, {**one, "line": 2, "authorization": "not_required"}),
    )
    hands = Hands(with_facts(known(order(lines=2)), [only], MONDAY))
    hands.turn()
    hands.end("submit_request", submitted())
    hands.keeping.take([both], MONDAY + timedelta(hours=1))
    hands.turn(MONDAY + timedelta(hours=1))
    (opened,) = [t.opened for t in hands.case.open_tasks if t.opened.task.startswith("review_lines/")]
    assert "line 2" in opened.title
    assert "resend" in forms_of(opened)
    hands.turn(MONDAY + timedelta(days=7))
    asked = of_kind(hands.begun, InquireStatus)
    assert [action.request.lines for action in asked] == [(1,)], "what the payer has is looked for, as it was sent"


def test_a_request_that_was_taken_back_because_nothing_requires_it_is_not_sent_anew() -> None:
    case, _ = at(known(order(), submitted(), not_required()), MONDAY)
    (opened,) = unneeded(case)
    form = read_result({"result": "withdrawn", "reference": "CALL-5"})
    held = claim(case, opened.task, by=INES, now=MONDAY, source_id="claim")
    case = with_facts(case, [held], MONDAY)
    case = with_facts(case, complete(case, opened.task, form, by=INES, now=MONDAY, source_id="done"), MONDAY)
    case, _ = at(case, MONDAY)
    assert not case.open_tasks


def test_who_waits_long_looks_the_seldomer_so_that_a_silent_payer_fills_no_case() -> None:
    pended = said(
        DecisionReceived,
        "pended",
        track=TRACK,
        attempt=1,
        rail="pas",
        via="submit",
        decision=Decision(result=Result.DECIDED, lines=(LineDecision(line=1, decision=Outcome.PENDED),)),
    )
    hands, asked = Hands(known(order(urgency="stat"), submitted(), pended)), []
    now, end = MONDAY, MONDAY + timedelta(days=90)
    while now < end:
        plan = hands.turn(now)
        asked += [now for action in hands.begun if action.kind == "inquire_status"]
        for action in hands.begun:
            hands.keeping.end(action, [], now)
        if not hands.begun:
            assert plan.wake_at is not None
            now = plan.wake_at
    first_day, last_day = asked[0] + timedelta(days=1), end - timedelta(days=1)
    assert len([at for at in asked if at < first_day]) >= 6
    assert len([at for at in asked if at > last_day]) <= 1
    assert hands.case.size < 250 * 1024


FAR = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""How payers and records write that there is no end."""


def test_a_date_at_the_end_of_time_stops_no_plan() -> None:
    endless = said(ClockExtended, "endless", track=TRACK, until=FAR, rule="payer/notice")
    strange = said(DocumentAdded, "strange", document=document("office_note", FAR.date(), "strange"))
    _, plan = at(known(order(), submitted(), endless, strange), MONDAY)
    assert any(clock.kind is ClockKind.PAYER_DECISION and clock.due.year == 9000 for clock in plan.clocks)
    _, plan = at(known(order(documents=("imaging_report", "conservative_therapy")), strange), MONDAY)
    (looked,) = of_kind(plan.actions, GatherDocuments)
    assert looked.wanted == ("office_note",), "a date that is none makes no document fresh"


@pytest.mark.parametrize(
    "form",
    [
        {"result": "visit", "appointment": "APT-1", "starts_at": FAR},
        {"result": "time_extended", "until": FAR, "reference": "LETTER-1"},
    ],
)
def test_a_form_takes_no_moment_that_no_clock_can_run_to(form: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="the year lies between"):
        read_result(form)


def test_trouble_with_a_channel_that_is_reported_before_any_rules_are_known_stops_no_plan() -> None:
    needs = ({"line": 1, "authorization": "required", "rule": "call"},)
    heard = said(RequirementDetermined, "call", track=TRACK, rank=1, payer="meridian-ppo", lines=needs)
    down = said(ChannelReported, "down", by=INES, track=TRACK, payer="meridian-ppo", rail="portal", state="down")
    _, plan = at(with_facts(case_of(order(urgency="stat")), [heard, down], MONDAY), MONDAY)
    assert plan.wake_at is not None
