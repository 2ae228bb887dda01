"""Duty: no deadline passes unseen. A breach is kept as evidence, and what is overdue goes one rung up, acknowledged."""

from collections.abc import Sequence
from datetime import datetime

from domain.base import Stage, Turn
from domain.case import Case
from domain.clocks import Clock, breached
from domain.facts import ClockBreached, TaskKind
from domain.policy import TaskKind as TaskRuleKind
from domain.rules.asking import Asks, Person, allow


def escalation(case: Case, now: datetime, clocks: Sequence[Clock]) -> Asks:
    """Evidence and a task for each broken obligation, overdue tasks of people included."""
    policy = case.policies.get(case.order.primary.payer)
    for clock in clocks:
        if breached(clock, now) and clock.key not in case.breached:
            yield ClockBreached(
                occurred_at=clock.due,
                by="vigil",
                source_id=f"breach/{clock.key}/{clock.due.isoformat()}",
                track=clock.track,
                clock=clock.key,
                clock_kind=clock.kind.value,
                due=clock.due,
                rule=clock.rule,
            )
    for key in sorted(case.breached):
        breach = case.breached[key]
        time = allow(case, now, policy, TaskRuleKind.REVIEW)
        yield Person(
            key=f"escalation/{breach.ref}",
            kind=TaskKind.ESCALATION,
            stage=Stage.DECISION,
            turn=Turn.STAFF,
            title=f"A deadline passed ({breach.clock_kind.replace('_', ' ')}, rule {breach.rule}). Act on it and say how.",
            due=time.due,
            rule=breach.rule,
            lease_minutes=time.lease_minutes,
            cause=breach.ref,
        )
