"""What a rule can ask for, and how often Vigil tries before it asks a person.

A rule is a generator: from a case and an instant it yields actions to begin, facts that follow, clocks that run, work for
people, whom the case waits for, and moments to look again. It yields them as long as they are wanted: `domain.plan` works
out what is new.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypedDict

from domain.actions import Action
from domain.base import Stage, Turn
from domain.calendars import Calendar, Kind, Span, Unit, add
from domain.case import Case
from domain.clocks import Clock
from domain.facts import ActionEnded, Fact, Failure, TaskKind
from domain.order import DocumentRef, Urgency
from domain.policy import PolicySlice
from domain.policy import TaskKind as TaskRuleKind


@dataclass(frozen=True)
class Waiting:
    """Whom the case waits for at a stage, and why, in a sentence without health information."""

    stage: Stage
    turn: Turn
    why: str


@dataclass(frozen=True)
class Look:
    """A moment to plan again."""

    at: datetime


@dataclass(frozen=True)
class Person:
    """Work for a person, wanted as long as the rule yields it. `within` counts from when the task opens."""

    key: str
    kind: TaskKind
    stage: Stage
    turn: Turn
    title: str
    due: datetime
    rule: str
    checklist: tuple[str, ...] = ()
    lease_minutes: int = 60
    track: str | None = None
    attempt: int | None = None
    rail: str | None = None
    cause: str = ""
    raw: DocumentRef | None = None


Ask = Action | Fact | Clock | Person | Waiting | Look
Asks = Iterator[Ask]
Rule = Callable[[Case, datetime], Asks]


class _Common(TypedDict):
    key: str
    practice: str
    case_id: str
    now: datetime


def common(case: Case, now: datetime, key: str) -> _Common:
    """What every action says of its case."""
    return {"key": key, "practice": case.practice, "case_id": case.id, "now": now}


class EffortState(StrEnum):
    """How far Vigil's tries at something have come."""

    DUE = "due"
    IN_FLIGHT = "in_flight"
    RESTING = "resting"
    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"
    GAVE_UP = "gave_up"


REST = (timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=8))
"""How long Vigil rests between its own tries at something out of reach; then a person is asked."""


@dataclass(frozen=True)
class Effort:
    """All tries at one cause."""

    state: EffortState
    key: str
    """The key that the next try has."""
    again_at: datetime | None = None
    ended: ActionEnded | None = None

    @property
    def failed(self) -> bool:
        """Whether Vigil cannot do it by itself."""
        return self.state in {EffortState.REFUSED, EffortState.GAVE_UP}


def effort(case: Case, now: datetime, cause: str) -> Effort:
    """Where the tries at a cause stand."""
    tries = case.actions.get(cause, ())
    key = f"{cause}/{len(tries) + 1}"
    if not tries:
        return Effort(EffortState.DUE, key)
    ended = tries[-1].ended
    if ended is None:
        return Effort(EffortState.IN_FLIGHT, key)
    match ended.failure:
        case None:
            return Effort(EffortState.SUCCEEDED, key, ended=ended)
        case Failure.REFUSED:
            return Effort(EffortState.REFUSED, key, ended=ended)
        case Failure.AMBIGUOUS:
            return Effort(EffortState.AMBIGUOUS, key, ended=ended)
        case Failure.EXHAUSTED:
            if len(tries) > len(REST):
                return Effort(EffortState.GAVE_UP, key, ended=ended)
            again = (ended.recorded_at or ended.occurred_at) + REST[len(tries) - 1]
            state = EffortState.DUE if again <= now else EffortState.RESTING
            return Effort(state, key, again_at=again, ended=ended)


def pursue(case: Case, now: datetime, cause: str, make: Callable[[str], Action]) -> Asks:
    """Begin the action when it is due, or look again when the rest is over."""
    standing = effort(case, now, cause)
    if standing.state is EffortState.DUE:
        yield make(standing.key)
    elif standing.state is EffortState.RESTING and standing.again_at:
        yield Look(standing.again_at)


_HOUSE_SPANS = {
    Urgency.ROUTINE: Span(amount=1, unit=Unit.BUSINESS_DAYS),
    Urgency.URGENT: Span(amount=4, unit=Unit.HOURS),
    Urgency.STAT: Span(amount=1, unit=Unit.HOURS),
}


def practice_calendar(case: Case) -> Calendar:
    """The practice's own working days."""
    return Calendar(kind=Kind.BUSINESS_DAYS, time_zone=case.time_zone)


@dataclass(frozen=True)
class Allowance:
    """How much time people have for a task, and by which rule."""

    due: datetime
    rule: str
    lease_minutes: int = 60


def allow(case: Case, now: datetime, policy: PolicySlice | None, kind: TaskRuleKind) -> Allowance:
    """The time that people have from now: by the payer's rule where there is one, else by the house's."""
    rule = policy.task(kind) if policy else None
    urgency = case.order.urgency
    if policy and rule:
        span: Span = getattr(rule.due, urgency.value)
        return Allowance(add(now, span, policy.calendar(rule.calendar)), rule.id, rule.lease_minutes)
    return Allowance(add(now, _HOUSE_SPANS[urgency], practice_calendar(case)), "vigil/task-due")
