"""Duty: no deadline passes unseen. A breach is kept as evidence, and what is overdue goes one rung up, acknowledged."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from domain.base import Stage, Turn
from domain.case import Case
from domain.clocks import Clock, breached
from domain.facts import ClockBreached, TaskKind
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, allow, short


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
    rule = case.house.escalation
    rung = sum(
        any(key.startswith(f"{_OF_A_RUNG}{breach.ref}/{number}") for key in case.breached)
        for number in range(1, len(rule.rungs))
    )
    policy = case.policies.get(case.order.primary.payer)
    time = allow(case, now, policy, WorkKind.REVIEW)
    what = clock.kind.value.replace("_", " ")
    return Person(
        key=f"escalation/{breach.ref}/{rung + 1}",
        kind=TaskKind.ESCALATION,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"For {rule.rungs[rung]}: a deadline passed ({what}, rule {clock.rule}). Act on it and say how.",
        time=replace(time, rule=clock.rule),
        track=clock.track,
        cause=breach.ref,
        again=rule.remind,
    )
