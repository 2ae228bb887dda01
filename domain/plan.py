"""The plan: what follows from the facts at an instant. Same facts, same instant, same plan. It only gathers the rules."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.actions import Action, AnyAction
from domain.base import Frozen, Instant, Sentence, Stage, Turn
from domain.calendars import Span
from domain.case import Case, record
from domain.clocks import Clock, ClockKind, start
from domain.clocks import binding as least_slack
from domain.facts import AnyFact, CaseClosed, Fact, TaskClaimed, TaskOpened, TaskWithdrawn
from domain.rules import RULES, WHEN_CANCELLED
from domain.rules.asking import Ask, Close, Look, Person, Rule, Waiting, later
from domain.rules.escalation import escalation
from domain.rules.submission import CHANNEL_REFUSED
from domain.track import Task

REVIEW_AFTER = timedelta(days=30)
"""An open case is looked at again at the latest after this time, whatever the rules say."""
_TICK = timedelta(seconds=1)
_NEEDLESS = "What made it necessary no longer holds."
_ELSEWHERE = (
    "The request went another way, or needs none. The channel itself stays an operator's alert (channel_down) until a "
    "request gets through."
)
_TITLE, _RAIL = 600, 40
_STEPS, _STEP, _CHECKLIST_BYTES = 20, 500, 4096
MOST_ROUNDS = 30
"""How often facts may follow from facts in one turn; more is a mistake in the rules."""


class PlanError(Exception):
    """The rules do not come to an end on this case. An operator looks at it."""


class Plan(Frozen):
    """What is due, whose turn it is, which clocks run and which binds, why, and when to look again."""

    stage: Stage
    turn: Turn
    why: Sentence = Field(description="For a person to read, without health information.")
    next: Sentence = Field(description="What happens next, and when.")
    actions: tuple[AnyAction, ...] = Field(default=(), description="To be begun now.")
    conclusions: tuple[AnyFact, ...] = Field(default=(), description="Facts that follow by rule, to be recorded.")
    clocks: tuple[Clock, ...] = ()
    binding: str | None = Field(default=None, description="The key of the clock with the least slack.")
    wake_at: Instant | None = Field(default=None, description="When to look again; None only of a closed case.")

    @property
    def binding_clock(self) -> Clock | None:
        """The clock with the least slack."""
        return next((clock for clock in self.clocks if clock.key == self.binding), None)


class Settled(Frozen):
    """A turn: the facts that followed, and the plan when no more do."""

    facts: tuple[AnyFact, ...]
    plan: Plan


def plan(case: Case, now: datetime, rules: Sequence[Rule] | None = None) -> Plan:
    """What to do about a case at an instant. Total over every case that facts can come to."""
    if case.closed is not None:
        why = f"The case is closed: {case.closed.reason.replace('_', ' ')}."
        return Plan(stage=Stage.CLOSED, turn=Turn.NOBODY, why=why, next="Nothing is left to watch.")
    if rules is None:
        rules = WHEN_CANCELLED if case.cancelled else RULES
    asked = [ask for rule in rules for ask in rule(case, now)]
    clocks = [ask for ask in asked if isinstance(ask, Clock)]
    clocks += [_task_clock(task.opened) for task in case.open_tasks]
    asked += list(escalation(case, now, clocks))
    work = _Work.of(case, now, asked)
    asked += _closing(case, now, asked, work)
    if not any(clock.due > now for clock in clocks) and not case.open_tasks:
        clocks.append(_review(case, now))
    facts = (ask for ask in asked if isinstance(ask, Fact))
    conclusions = (*facts, *work.opened(case, now), *work.withdrawn(case, now), *work.kept(case, now))
    standing = _standing(asked, work)
    actions = tuple(ask for ask in asked if isinstance(ask, Action))
    wake_at = _wake_at(case, now, asked, clocks)
    bound = least_slack(clocks, now)
    return Plan(
        stage=standing.stage,
        turn=standing.turn,
        why=standing.why,
        next=_next(case, actions, bound, wake_at),
        actions=actions,
        conclusions=conclusions,
        clocks=tuple(sorted(clocks, key=lambda clock: (clock.due, clock.key))),
        binding=bound.key if bound else None,
        wake_at=wake_at,
    )


def settle(case: Case, now: datetime, rules: Sequence[Rule] | None = None) -> tuple[Case, Settled]:
    """Record what follows, until nothing more does. Raises `PlanError` where that does not end."""
    facts: list[Fact] = []
    for _ in range(MOST_ROUNDS):
        found = plan(case, now, rules)
        fresh = [fact for fact in found.conclusions if fact.source_id not in case.sources]
        if not fresh:
            return case, Settled(facts=tuple(facts), plan=found)
        for fact in fresh:
            case, _answer = record(case, fact, now)
        facts += fresh
    msg = f"the rules still conclude something new after {MOST_ROUNDS} rounds"
    raise PlanError(msg)


@dataclass(frozen=True)
class _Work:
    """The work for people that the rules want now, each under the key that its task has or will have."""

    tasks: dict[str, Person]

    @classmethod
    def of(cls, case: Case, now: datetime, asked: list[Ask]) -> "_Work":
        """What is wanted now. For what is asked again later, a moment to look is added to what is asked."""
        tasks: dict[str, Person] = {}
        for person in [ask for ask in asked if isinstance(ask, Person)]:
            key, done = _task_key(case, person.key)
            again = _again(case, person, done) if done else now
            if again is not None and again <= now:
                tasks.setdefault(key, person)
            elif again is not None:
                asked.append(Look(again))
        return cls(tasks)

    def opened(self, case: Case, now: datetime) -> tuple[TaskOpened, ...]:
        return tuple(_opening(key, person, now) for key, person in self.tasks.items() if key not in case.tasks)

    def kept(self, case: Case, now: datetime) -> tuple[TaskClaimed, ...]:
        """Claims that go on: whoever had work that is withdrawn has the task that takes its place."""
        last = ((opened, _last_like(case, opened)) for opened in self.opened(case, now))
        return tuple(
            TaskClaimed(
                occurred_at=now,
                by=task.claim.by,
                source_id=f"kept/{opened.task}",
                track=opened.track,
                task=opened.task,
                until=task.claim.until,
            )
            for opened, task in last
            if task is not None and task.claim is not None and now < task.claim.until and self._is_gone(task)
        )

    def _is_gone(self, task: Task) -> bool:
        """Whether a task was withdrawn, or is by this plan; what was done is not."""
        return task.completed is None and task.opened.task not in self.tasks

    def withdrawn(self, case: Case, now: datetime) -> tuple[TaskWithdrawn, ...]:
        return tuple(
            TaskWithdrawn(
                occurred_at=now,
                by="vigil",
                source_id=f"withdrawn/{task.opened.task}",
                track=task.opened.track,
                task=task.opened.task,
                why=_ELSEWHERE if task.opened.task.startswith(f"{CHANNEL_REFUSED}/") else _NEEDLESS,
            )
            for task in case.open_tasks
            if task.opened.task not in self.tasks
        )


def _again(case: Case, person: Person, done: datetime) -> datetime | None:
    """When work that was done is asked for anew; None where it is done for good."""
    if isinstance(person.again, Span):
        return later(case, done, person.again)
    return done if person.again == "at_once" else None


def _last_like(case: Case, opened: TaskOpened) -> Task | None:
    """The last task of the same work as one that is opened."""
    alike = (task for task in case.tasks.values() if _likeness(task.opened) == _likeness(opened))
    return max(alike, key=lambda task: task.opened.n, default=None)


def _likeness(opened: TaskOpened) -> tuple[object, ...]:
    """What is the same of a task and of the one that takes its place: the work, not what it is about in detail."""
    return opened.task.partition("/")[0], opened.task_kind, opened.track, opened.attempt, opened.rail


def _opening(key: str, person: Person, now: datetime) -> TaskOpened:
    return TaskOpened(
        occurred_at=now,
        by="vigil",
        source_id=f"task/{key}",
        track=person.track,
        task=key,
        task_kind=person.kind,
        turn=person.turn,
        title=person.title[:_TITLE],
        checklist=tuple(_fitting(person.checklist)),
        due=max(person.time.due, now),
        rule=person.time.rule,
        lease_minutes=person.time.lease_minutes,
        attempt=person.attempt,
        rail=person.rail[:_RAIL] if person.rail else None,
        cause=person.cause,
        raw=person.raw,
    )


def _fitting(checklist: Iterable[str]) -> Iterator[str]:
    """As many steps as a fact has room for; what a payer writes can be long, and is whole in its raw answer."""
    room = _CHECKLIST_BYTES
    for step in islice(checklist, _STEPS):
        cut = step[:_STEP]
        room -= len(cut.encode())
        if room < 0:
            return
        yield cut


def _task_key(case: Case, key: str) -> tuple[str, datetime | None]:
    """The key of the task for a piece of work, and when it was last done, where that is over and no task is open."""
    number, done = 1, None
    while True:
        found = key if number == 1 else f"{key}~{number}"
        task = case.tasks.get(found)
        if task is None:
            return found, done
        if task.is_open:
            return found, None
        done = task.completed.recorded_at if task.completed else done
        number += 1


def _closing(case: Case, now: datetime, asked: Sequence[Ask], work: _Work) -> tuple[Ask, ...]:
    """The end of the case, where a rule sees it and nothing else is open; else why it has to wait."""
    close = next((ask for ask in asked if isinstance(ask, Close)), None)
    if close is None:
        return ()
    others = any(isinstance(ask, Action | Fact | Waiting | Look) for ask in asked)
    if others or work.tasks or case.open_tasks or case.in_flight:
        return (Waiting(Stage.WATCHING, Turn.VIGIL, close.why),)
    source = f"closed/{close.reason}"
    return (CaseClosed(occurred_at=now, by="vigil", source_id=source, reason=close.reason),)


def _standing(asked: Iterable[Ask], work: _Work) -> Waiting:
    """The earliest stage that anything waits at; there, people before payers before Vigil itself."""
    order = {turn: place for place, turn in enumerate((Turn.PROVIDER, Turn.STAFF, Turn.OPERATOR, Turn.PATIENT))}
    waits = [ask for ask in asked if isinstance(ask, Waiting)]
    waits += [Waiting(person.stage, person.turn, person.title) for person in work.tasks.values()]
    if not waits:
        return Waiting(Stage.WATCHING, Turn.VIGIL, "Vigil watches; nothing has to be done now.")
    last = len(order)
    return min(waits, key=lambda w: (w.stage.position, order.get(w.turn, last + (w.turn is Turn.VIGIL)), w.why))


def _task_clock(opened: TaskOpened) -> Clock:
    return start(
        key=f"task_due/{opened.task}",
        kind=ClockKind.TASK_DUE,
        label=f"Task: {opened.task_kind.value.replace('_', ' ')}.",
        at=opened.occurred_at,
        due=max(opened.due, opened.occurred_at),
        rule=opened.rule,
        waiting_for=opened.turn,
        track=opened.track,
        breach=True,
    )


def _review(case: Case, now: datetime) -> Clock:
    return start(
        key=f"review/{case.n}",
        kind=ClockKind.HOLD,
        label="Look at the case again.",
        at=now,
        due=now + REVIEW_AFTER,
        rule="vigil/review",
        waiting_for=Turn.VIGIL,
    )


def _wake_at(case: Case, now: datetime, asked: Iterable[Ask], clocks: Iterable[Clock]) -> datetime:
    """The first moment at which time alone changes the plan."""
    moments = [ask.at for ask in asked if isinstance(ask, Look)]
    # A deadline is broken only after its last moment.
    moments += [clock.due + (_TICK if clock.breach else timedelta()) for clock in clocks if clock.paused_since is None]
    moments += [t.claim.until for t in case.open_tasks if t.claim]
    return min((moment for moment in moments if moment > now), default=now + REVIEW_AFTER)


def _next(case: Case, actions: Sequence[Action], bound: Clock | None, wake_at: datetime) -> str:
    """What happens next, in the practice's local time."""
    if actions:
        return f"Now: {'; '.join(action.summary for action in actions)}."[:1000]
    at = (bound.due if bound else wake_at).astimezone(ZoneInfo(case.time_zone))
    when = f"{at:%A}, {at:%B} {at.day}, {at:%H:%M} {at:%Z}"
    return f"{bound.label} Due {when} ({bound.rule})." if bound else f"Vigil looks again on {when}."
