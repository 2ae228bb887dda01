"""The payer's answers, by example: following up what is pending, reading what came, acting on what was decided."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.base import Stage, Turn
from domain.case import Case
from domain.clocks import ClockKind
from domain.decision import InformationAsk, Outcome, Reason
from domain.facts import (
    AnswerNotUnderstood,
    AppointmentChanged,
    ClockExtended,
    DecisionReceived,
    FactRetracted,
    Failure,
    InformationSent,
    NotificationClaimed,
    OptionChosen,
    Receipt,
    RequestWithdrawn,
    StatusInquired,
)
from domain.order import Appointment
from domain.plan import Plan
from tests.builders import (
    MONDAY,
    VISIT,
    Hands,
    answered,
    at,
    doing,
    done,
    known,
    order,
    said,
    submitted,
    task,
    with_facts,
    work,
)

TRACK = "1-ordering"
RECEIPT = Receipt(kind="fax_report", reference="FAX-1")


def pended(now: datetime = MONDAY, **about: object) -> Case:
    """A request that the payer has and is thinking about."""
    return known(order(now=now, **about), submitted(now), answered("pended", now=now), now=now)  # type: ignore[arg-type]


def clock(plan: Plan, kind: ClockKind) -> datetime:
    return next(c.due for c in plan.clocks if c.kind is kind)


def nothing_new(hands: Hands, found: bool = True) -> None:
    source = f"asked {hands.now}"
    hands.end(
        "inquire_status", said(StatusInquired, source, hands.now, track=TRACK, attempt=1, rail="pas", found=found)
    )


# --- follow-up -----------------------------------------------------------------------------------------------------------


def test_three_follow_ups_on_the_payers_calendar_over_a_holiday_and_a_weekend() -> None:
    """Submitted on the Wednesday before Thanksgiving; the payer is closed on Friday too."""
    wednesday = datetime(2026, 11, 25, 15, 0, tzinfo=UTC)
    hands = Hands(pended(wednesday), wednesday)
    asked: list[datetime] = []
    plan = hands.turn()
    while len(asked) < 3:
        due = clock(plan, ClockKind.FOLLOW_UP)
        while hands.now < due:
            plan = hands.turn(min(due, plan.wake_at or due))
            for kind in {action.kind for action in hands.begun} - {"inquire_status"}:
                hands.fail(kind, Failure.REFUSED)
        assert "inquire_status" in [action.kind for action in hands.begun]
        asked.append(hands.now)
        nothing_new(hands)
        plan = hands.turn()
    assert asked == [datetime(2026, 11, 30, 15, tzinfo=UTC) + timedelta(days=day) for day in range(3)]


def test_an_outage_is_not_made_good_by_a_storm_of_questions() -> None:
    hands = Hands(pended())
    hands.turn(MONDAY + timedelta(days=9))
    assert [action.kind for action in hands.begun].count("inquire_status") == 1
    nothing_new(hands)
    plan = hands.turn()
    assert "inquire_status" not in doing(plan)
    assert clock(plan, ClockKind.FOLLOW_UP) > hands.now


def test_a_portal_is_looked_into_by_a_person_again_and_again() -> None:
    case = known(order(payer="keystone-sf"), submitted(track="1-rendering").model_copy(update={"rail": "portal"}))
    now = MONDAY
    for turn in (1, 2):
        _, plan = at(case, now)
        now = clock(plan, ClockKind.FOLLOW_UP)
        case, _ = at(case, now)
        opened = task(case, "check_status")
        assert opened.task == f"check_status/1-rendering/1/{turn}"
        assert opened.due > now
        case = with_facts(case, [done(opened, now)], now)


@pytest.mark.parametrize(("payer", "stands_still"), [("meridian-ppo", True), ("summit-ma", False)])
def test_what_a_question_of_the_payer_does_to_its_clock_is_its_rule(payer: str, stands_still: bool) -> None:
    asks = (InformationAsk(what=(Reason(text="The operative note"),), control_number="CN-1"),)
    case = known(order(payer=payer), submitted(), answered("pended"))
    _, before = at(case, MONDAY)
    day = MONDAY + timedelta(days=1)
    question = answered("pended", now=day, asks=asks)
    case, plan = at(with_facts(case, [question], day), day)
    running = next(c for c in plan.clocks if c.kind is ClockKind.PAYER_DECISION)
    assert (running.paused_since is not None) == stands_still
    opened = task(case, "send_information")
    assert opened.checklist[1:] == ("It asks for: The operative note", "Put on it: CN-1")
    assert plan.turn is Turn.STAFF
    later = day + timedelta(days=5)
    sent = said(InformationSent, "sent", later, track=TRACK, attempt=1, receipt=RECEIPT)
    case, plan = at(with_facts(case, [sent], later), later)
    moved = clock(plan, ClockKind.PAYER_DECISION) - clock(before, ClockKind.PAYER_DECISION)
    assert moved == (timedelta(days=5) if stands_still else timedelta())
    assert "send_information" not in work(case)
    assert plan.turn is Turn.PAYER


def test_a_payer_is_not_silent_while_it_waits_for_us() -> None:
    asks = (InformationAsk(what=(Reason(text="The operative note"),)),)
    case = known(order(), submitted(), answered("pended", asks=asks))
    _, plan = at(case, MONDAY)
    assert not any(c.kind is ClockKind.SILENCE for c in plan.clocks)


def test_silence_is_escalated_and_kept_as_evidence() -> None:
    case, plan = at(pended(), MONDAY)
    silent = clock(plan, ClockKind.SILENCE)
    case, _ = at(case, silent + timedelta(seconds=1))
    assert any("silence" in t.opened.title for t in case.open_tasks if t.opened.task_kind == "escalation")
    assert case.breached[f"silence/{TRACK}/1/1"].occurred_at == silent


def test_callbacks_that_nobody_can_verify_cause_one_question_and_a_flood_of_them_one_in_ten_minutes() -> None:
    hands = Hands(pended())
    hands.turn()
    asked = 0
    for minute in range(30):
        now = MONDAY + timedelta(minutes=minute)
        claim = said(NotificationClaimed, f"claim {minute}", now, payer="meridian-ppo", why="No signature.")
        hands.keeping.take([claim], now)
        hands.turn(now)
        if "inquire_status" in [action.kind for action in hands.begun]:
            asked += 1
            nothing_new(hands)
    assert asked == 3
    assert not hands.case.is_ready


def test_what_the_payer_twice_does_not_find_is_not_pending() -> None:
    lost = [
        said(StatusInquired, f"lost {n}", MONDAY, track=TRACK, attempt=1, rail="pas", found=False) for n in range(2)
    ]
    case, _ = at(with_facts(pended(), lost[:1], MONDAY), MONDAY)
    assert "find_request" not in work(case)
    case, _ = at(with_facts(case, lost[1:], MONDAY), MONDAY)
    assert "find_request" in work(case)


def test_a_breached_decision_clock_is_evidence_and_is_armed_anew_when_it_is_extended() -> None:
    case, plan = at(pended(), MONDAY)
    due = clock(plan, ClockKind.PAYER_DECISION)
    late = due + timedelta(hours=1)
    case, _ = at(case, late)
    key = f"decision/{TRACK}/1"
    assert case.breached[key].due == due
    until = late + timedelta(days=10)
    extended = said(ClockExtended, "more time", late, track=TRACK, until=until, rule="payer/notice")
    case, _ = at(with_facts(case, [extended], late), late)
    assert not [t for t in case.open_tasks if "payer decision" in t.opened.title]
    case, _ = at(case, until + timedelta(hours=1))
    assert case.breached[key].due == until
    assert [t for t in case.open_tasks if "payer decision" in t.opened.title]


def test_an_escalation_goes_up_three_rungs_and_no_further() -> None:
    case, _ = at(known(order(payer="keystone-sf")), MONDAY)
    now, seen = MONDAY, set()
    for _ in range(60):
        case, plan = at(case, now)
        mine = [t for t in case.open_tasks if t.opened.task_kind == "escalation" and "task due" in t.opened.title]
        seen |= {t.opened.title.partition(":")[0] for t in mine if t.opened.track}
        assert len(mine) <= 2
        now = plan.wake_at or now
        if now > MONDAY + timedelta(days=20):
            break
    assert seen == {"For the lead", "For the manager", "For the practice's management"}


def test_an_escalation_that_was_acted_on_comes_back_after_a_week_if_nothing_changed() -> None:
    case, _ = at(known(order(payer="keystone-sf")), MONDAY)
    overdue = task(case, "submit_request").due + timedelta(minutes=1)
    case, _ = at(case, overdue)
    first = task(case, "escalation")
    case, _ = at(with_facts(case, [done(first, overdue)], overdue), overdue)
    assert first.task not in {t.opened.task for t in case.open_tasks}
    assert "escalation" not in work(at(case, overdue + timedelta(days=6))[0])
    assert task(at(case, overdue + timedelta(days=7))[0], "escalation").task == f"{first.task}~2"


# --- decision ------------------------------------------------------------------------------------------------------------


def test_a_denial_shows_its_options_with_their_deadlines_and_its_reasons() -> None:
    ordered = order()
    no = answered("denied", now=MONDAY)
    assert isinstance(no, DecisionReceived)
    reasons = (Reason(code="0F", text="Not shown to be necessary"),)
    lines = tuple(line.model_copy(update={"reasons": reasons, "numbers": ()}) for line in no.decision.lines)
    no = no.model_copy(update={"decision": no.decision.model_copy(update={"lines": lines})})
    case, plan = at(known(ordered, submitted(), no), MONDAY)
    opened = task(case, "choose_after_denial")
    assert opened.checklist[0] == "Peer to peer: until December 14, 2026, phone 800-555-0112."
    assert "Line 1: 0F Not shown to be necessary" in opened.checklist
    assert {c.kind for c in plan.clocks} >= {ClockKind.P2P_WINDOW, ClockKind.APPEAL_WINDOW}
    assert {"notify_provider", "notify_patient"} <= set(doing(plan))
    assert "visit_at_risk" in work(case)
    assert plan.stage is Stage.DENIED


def test_a_denial_that_comes_late_offers_only_what_is_still_open() -> None:
    late = MONDAY + timedelta(days=20)
    no = answered("denied", now=MONDAY)
    case, plan = at(with_facts(known(order(), submitted()), [no], late), late)
    opened = task(case, "choose_after_denial")
    assert not any("Peer to peer" in step for step in opened.checklist)
    assert opened.due > late
    assert not any(c.kind is ClockKind.P2P_WINDOW for c in plan.clocks)


def test_a_chosen_peer_to_peer_is_carried_out_and_a_second_denial_is_a_new_choice() -> None:
    case, _ = at(known(order(), submitted(), answered("denied")), MONDAY)
    chosen = said(OptionChosen, "p2p", by="person:ines", track=TRACK, attempt=1, option="peer_to_peer")
    case, plan = at(with_facts(case, [chosen], MONDAY), MONDAY)
    assert "choose_after_denial" not in work(case)
    assert "Carry out the peer to peer" in plan.why
    upheld = answered("denied", now=MONDAY + timedelta(days=1), number="A204418831", via="person")
    case, _ = at(with_facts(case, [upheld], MONDAY + timedelta(days=1)), MONDAY + timedelta(days=1))
    assert "choose_after_denial" in work(case)


def test_an_overturned_denial_is_no_contradiction() -> None:
    chosen = said(OptionChosen, "p2p", by="person:ines", track=TRACK, attempt=1, option="peer_to_peer")
    assert known(order(), submitted(), answered("denied"), chosen, answered("approved", number="A204418831")).is_ready


def test_two_last_words_of_the_payer_are_a_persons_to_untangle() -> None:
    case = known(order(), submitted(), answered("approved"), answered("denied", number="A204418831"))
    for order_of_arrival in (case, known(order(), submitted(), answered("denied"), answered("approved"))):
        assert not order_of_arrival.is_ready
        found, _ = at(order_of_arrival, MONDAY)
        assert "two different things" in task(found, "read_answer").title
    word = answered("approved", number="A204418832", via="person", by="person:ines")
    assert with_facts(case, [word], MONDAY).is_ready


def test_an_approval_of_less_is_compared_and_accepting_it_never_covers_what_comes_after() -> None:
    case, plan = at(known(order(), submitted(), answered("modified")), MONDAY)
    assert "compare_approval" in work(case)
    assert not case.is_ready
    assert "notify_patient" not in doing(plan)
    accepted = said(OptionChosen, "ok", by="person:ines", track=TRACK, attempt=1, option="accept")
    case = with_facts(case, [accepted], MONDAY)
    assert case.is_ready
    case, _ = at(with_facts(case, [answered("modified", number="A204418831")], MONDAY), MONDAY)
    assert not case.is_ready
    assert "compare_approval" in work(case)


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.CONTACT_PAYER])
def test_what_vigil_cannot_place_is_read_by_a_person_and_never_approved(outcome: Outcome) -> None:
    case, plan = at(known(order(), submitted(), answered(outcome)), MONDAY)
    assert not case.is_ready
    assert "read_answer" in work(case)
    assert plan.turn is Turn.STAFF


def test_an_answer_that_came_after_the_nonsense_makes_it_moot() -> None:
    nonsense = said(AnswerNotUnderstood, "html", track=TRACK, attempt=1, rail="pas", why="A web page.")
    case, _ = at(with_facts(pended(), [nonsense], MONDAY), MONDAY)
    assert "read_answer" in work(case)
    case, _ = at(with_facts(case, [answered("approved")], MONDAY), MONDAY)
    assert "read_answer" not in work(case)


@pytest.mark.parametrize("how", ["withdrawn", "cancelled"])
def test_a_request_that_the_payer_closed_is_over_and_somebody_decides_how_to_go_on(how: str) -> None:
    gone = said(RequestWithdrawn, "gone", track=TRACK, attempt=1, rail="pas", receipt=RECEIPT)
    case, plan = at(with_facts(pended(), [gone if how == "withdrawn" else answered("cancelled")], MONDAY), MONDAY)
    assert "without a decision" in task(case, "correct_request").title
    assert not case.is_ready
    assert plan.turn is Turn.STAFF


def test_an_approval_that_was_withdrawn_is_none() -> None:
    gone = said(RequestWithdrawn, "gone", track=TRACK, attempt=1, rail="pas", receipt=RECEIPT)
    assert not known(order(), submitted(), answered("approved"), gone).is_ready


def test_a_visit_moved_past_what_was_approved_is_not_ready_and_has_to_be_settled() -> None:
    case, _ = at(known(order(), submitted(), answered("approved", valid_days=30)), MONDAY)
    assert case.is_ready
    moved = Appointment(id="APT-9", starts_at=MONDAY + timedelta(days=45))
    case, _ = at(with_facts(case, [said(AppointmentChanged, "moved", appointment=moved)], MONDAY), MONDAY)
    assert not case.is_ready
    assert "outside of the dates" in task(case, "compare_approval").title
    back = Appointment(id="APT-9", starts_at=VISIT)
    case, _ = at(with_facts(case, [said(AppointmentChanged, "back", appointment=back)], MONDAY), MONDAY)
    assert case.is_ready
    assert "compare_approval" not in work(case)


def test_an_approval_without_end_runs_no_clock() -> None:
    forever = answered("approved", valid_days=(datetime(9999, 12, 31, tzinfo=UTC) - MONDAY).days)
    _, plan = at(known(order(), submitted(), forever), MONDAY)
    assert not any(c.kind is ClockKind.VALIDITY for c in plan.clocks)


def test_a_retracted_decision_is_out_also_when_it_is_delivered_again() -> None:
    yes = answered("approved")
    taken_back = said(
        FactRetracted, "r", by="person:ines", retracted=yes.source_id, reason="Another patient.", signed_by="person:jo"
    )
    case = known(order(), submitted(), yes, taken_back)
    assert not case.is_ready
    _, plan = at(case, MONDAY)
    assert plan.turn is Turn.PAYER
    assert not with_facts(case, [yes], MONDAY).is_ready
    assert with_facts(case, [answered("approved", via="person", number="A204418839", by="person:jo")], MONDAY).is_ready
    sorry = said(
        FactRetracted, "rr", by="person:jo", retracted="r", reason="It was this patient.", signed_by="person:ines"
    )
    assert with_facts(case, [sorry], MONDAY).is_ready
