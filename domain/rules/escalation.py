"""Duty: no deadline passes unseen. A breach is kept as evidence, and what is overdue goes one rung up, acknowledged."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.base import Stage, Turn
from domain.case import Case
from domain.clocks import Clock, breached
from domain.facts import ClockBreached, TaskKind
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, allow, short

RUNGS = ("the lead", "the manager", "the practice's management")
"""Whom an unmet obligation goes to, one after the other, when the one before did not act in time."""
REMIND = timedelta(days=7)
"""When somebody who acted on a broken obligation is asked again, if it is still broken."""


def escalation(case: Case, now: datetime, clocks: Sequence[Clock]) -> Asks:
    """Evidence of each broken obligation, overdue tasks included, and a task for as long as it stays broken."""
    for clock in clocks:
        if not breached(clock, now):
            continue
        breach = case.breached.get(clock.key)
        if breach is None or breach.due != clock.due:
            yield ClockBreached(
                occurred_at=clock.due,
                by="vigil",
                source_id=f"breach/{short(clock.key)}/{clock.due:%Y%m%dT%H%M%S}",
                track=clock.track,
                clock=clock.key,
                clock_kind=clock.kind.value,
                due=clock.due,
                rule=clock.rule,
            )
        elif not clock.key.startswith(_OF_A_RUNG):
            yield _task(case, now, clock, breach)


_OF_A_RUNG = "task_due/escalation/"


def _task(case: Case, now: datetime, clock: Clock, breach: ClockBreached) -> Person:
    """The task of the rung that is reached: the next one where the one before let its own time pass."""
    rung = sum(
        any(key.startswith(f"{_OF_A_RUNG}{breach.ref}/{number}") for key in case.breached)
        for number in range(1, len(RUNGS))
    )
    policy = case.policies.get(case.order.primary.payer)
    time = allow(case, now, policy, WorkKind.REVIEW)
    what = clock.kind.value.replace("_", " ")
    return Person(
        key=f"escalation/{breach.ref}/{rung + 1}",
        kind=TaskKind.ESCALATION,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"For {RUNGS[rung]}: a deadline passed ({what}, rule {clock.rule}). Act on it and say how.",
        due=time.due,
        rule=clock.rule,
        lease_minutes=time.lease_minutes,
        track=clock.track,
        cause=breach.ref,
        again=REMIND,
    )
