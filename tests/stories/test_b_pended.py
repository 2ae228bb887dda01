"""Story B: pended, followed up on the payer's calendar, approved; found by inquiry when the notification is lost."""

from datetime import timedelta
from itertools import pairwise

from domain.calendars import Calendar
from domain.facts import ActionBegun
from tests.builders import of_kind, policy
from tests.house import Desk


def _payer_calendar() -> Calendar:
    meridian = policy("meridian-ppo")
    return meridian.calendar(next(c.calendar for c in meridian.follow_up if c.urgency == "routine"))


async def test_a_lost_notification_is_found_by_the_follow_ups(desk: Desk) -> None:
    case = await desk.open(await desk.order("201"))

    pended = await case.case()
    assert not pended.is_ready
    standing = (await case.standing()).view
    assert (standing.stage, standing.turn) == ("decision", "payer")
    assert {fact.entry for fact in pended.chart} == {"pended"}
    assert pended.patient_notices == ()

    approved = await case.until("patient_notified", hours=6)
    inquiries = [begun for begun in of_kind(approved.facts, ActionBegun) if begun.action_kind == "inquire_status"]
    assert 3 <= len(inquiries) <= 5
    calendar = _payer_calendar()
    assert all(calendar.is_open(calendar.local_date(inquiry.occurred_at)) for inquiry in inquiries)
    gaps = [b.occurred_at - a.occurred_at for a, b in pairwise(inquiries)]
    assert all(gap >= timedelta(hours=23) for gap in gaps)
    assert approved.is_ready
    (final,) = [a for a in approved.tracks["1-ordering"].attempt.answers if a.via == "inquiry"]
    assert final.decision.lines[0].decision == "approved"
    assert [submit["count"] for submit in (await desk.effects())["submits"]] == [1]


async def test_a_pend_that_stays_silent_is_escalated_and_the_patient_hears_of_the_delay(desk: Desk) -> None:
    case = await desk.open(await desk.order("202"))

    late = await case.until("clock_breached", days=1)
    assert any(task.opened.task_kind == "escalation" for task in late.open_tasks)
    told = await case.until("patient_notified", days=1)
    assert {notice.message for notice in told.patient_notices} <= {"delayed", "not_obtained_before_visit"}
    assert not told.is_ready


async def test_what_the_payer_asks_for_is_a_task_that_pauses_its_clock(desk: Desk) -> None:
    case = await desk.open(await desk.order("204"))

    asked = await case.case()
    (task,) = [t for t in asked.open_tasks if t.opened.task_kind == "send_information"]
    assert task.opened.turn == "staff"
    standing = (await case.standing()).view
    decision = next(clock for clock in standing.clocks if clock.kind == "payer_decision")
    assert decision.paused_since is not None  # ERISA tolls
