"""What a rule can ask for, and how often Vigil tries before it asks a person.

A rule is a generator: from a case and an instant it yields actions to begin, facts that follow, clocks that run, work for
people, whom the case waits for, and moments to look again. It yields them as long as they are wanted: `domain.plan` works
out what is new.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, TypedDict

from domain.actions import Action
from domain.base import Stage, Turn
from domain.calendars import Calendar, Ends, Kind, Span, add, shift
from domain.case import Case
from domain.clocks import Clock
from domain.decision import AnswerError
from domain.facts import ActionEnded, Fact, Failure, TaskKind
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import WorkKind
from domain.rules.hooks import question


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
class Close:
    """Nothing is left as far as the rule goes: the case closes once no other rule asks for anything."""

    reason: Literal["visit_over", "cancelled"]
    why: str
    """Why it is not closed yet, where something else is still open."""


@dataclass(frozen=True)
class Allowance:
    """How much time people have for a task, by which rule, and how long a claim of it holds without a result."""

    due: datetime
    rule: str
    lease_minutes: int


@dataclass(frozen=True)
class Person:
    """Work for a person, wanted as long as the rule yields it."""

    key: str
    kind: TaskKind
    stage: Stage
    turn: Turn
    title: str
    time: Allowance
    checklist: tuple[str, ...] = ()
    track: str | None = None
    attempt: int | None = None
    rail: str | None = None
    cause: str = ""
    raw: DocumentRef | None = None
    again: Span | Literal["at_once"] | None = "at_once"
    """How long after it was done it is asked for anew, if the rule still yields it. None: done once, done for good."""


Ask = Action | Fact | Clock | Person | Waiting | Look | Close
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
        """Whether Vigil cannot do it by itself. Ask while the need is there: a success that did not meet it is one too."""
        return self.state not in {EffortState.DUE, EffortState.IN_FLIGHT, EffortState.RESTING}


def effort(case: Case, now: datetime, cause: str, rests: Sequence[Span] | None = None) -> Effort:
    """Where the tries at a cause stand, with these rests between tries that reach nobody; the house's unless given."""
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
            rests = case.house.rests.of(case.order.urgency) if rests is None else rests
            if len(tries) > len(rests):
                return Effort(EffortState.GAVE_UP, key, ended=ended)
            again = later(case, ended.recorded_at or ended.occurred_at, rests[len(tries) - 1])
            state = EffortState.DUE if again <= now else EffortState.RESTING
            return Effort(state, key, again_at=again, ended=ended)


def pursue(
    case: Case, now: datetime, cause: str, make: Callable[[str], Action], rests: Sequence[Span] | None = None
) -> Asks:
    """Begin the action when it is due, or look again when the rest is over."""
    standing = effort(case, now, cause, rests)
    if standing.state is EffortState.DUE:
        yield make(standing.key)
    elif standing.state is EffortState.RESTING and standing.again_at:
        yield Look(standing.again_at)


def pin_cause(case: Case, payer: str) -> str:
    """The cause under which a payer's rules are pinned for the order as it reads now."""
    return f"pin_policy/{payer}/{case.order_fact.ref}"


def awaits_rules(case: Case, now: datetime, payer: str) -> bool:
    """Whether a payer's rules are still being looked up, so that nothing should be decided without them."""
    known = payer in case.policies or payer in case.without_policy
    is_asked = payer == case.order.primary.payer and question(case) is not None
    return is_asked or (not known and not effort(case, now, pin_cause(case, payer)).failed)


def finished(case: Case, key: str) -> datetime | None:
    """When the work of that key, or of its repetition, was last done; None where it never was."""
    done = [
        task.completed.recorded_at
        for name, task in case.tasks.items()
        if task.completed and task.completed.recorded_at and name.partition("~")[0] == key
    ]
    return max(done, default=None)


def short(name: str) -> str:
    """A name from outside, short enough to stand in a key."""
    return name if len(name) <= _SHORT else hashlib.sha256(name.encode()).hexdigest()[:_SHORT]


_SHORT = 32


def later(case: Case, moment: datetime, span: Span) -> datetime:
    """A moment later by a rest of the house: every day counts, and ends at the same time of day."""
    return shift(moment, span, Calendar(time_zone=case.time_zone, ends=Ends.SAME_TIME))


def thinned(case: Case, due: datetime, last: datetime, since: datetime) -> datetime:
    """When to look again at what has been waited for since then, last looked at and due: the longer, the seldomer."""
    waited = timedelta(seconds=(last - since).total_seconds() // case.house.follow_up.thins)
    return max(due, last + waited)


def steps_of(errors: Sequence[AnswerError]) -> tuple[str, ...]:
    """What a payer complains of as steps of a checklist, each with what to do about it where that is known.

    They may hold what the payer wrote: for a checklist, never for a title. Of very many the first ones are shown.
    """
    said = ((error.sentence, error.remedy) for error in errors[:_MOST_STEPS])
    steps = (" ".join(filter(None, (f"{what[:1].upper()}{what[1:]}.", remedy))) for what, remedy in said)
    left = len(errors) - _MOST_STEPS
    return (*steps, *((f"And {left} more: see the raw answer.",) if left > 0 else ()))


_MOST_STEPS = 5


def practice_calendar(case: Case) -> Calendar:
    """The practice's own working days."""
    return Calendar(kind=Kind.BUSINESS_DAYS, time_zone=case.time_zone)


def allow(case: Case, now: datetime, policy: PolicySlice | None, kind: WorkKind) -> Allowance:
    """The time that people have from now: by the payer's rule where there is one, else by the house's."""
    rule = policy.task(kind) if policy else None
    urgency = case.order.urgency
    if policy and rule:
        span: Span = getattr(rule.due, urgency.value)
        return Allowance(add(now, span, policy.calendar(rule.calendar)), rule.id, rule.lease_minutes)
    house = case.house.tasks
    return Allowance(
        add(now, getattr(house.due, urgency.value), practice_calendar(case)), house.id, house.lease_minutes
    )
