"""How a case is kept: facts come in, a turn settles, actions begin and end. The pure half of the workflow.

The workflow and the simulated world of the tests run this very code; what is left to the workflow is to schedule and sleep.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.actions import KNOWN, Action
from domain.base import Stage, Turn
from domain.case import Answer, Case, record
from domain.facts import (
    ActionBegun,
    ActionEnded,
    AnswerNotUnderstood,
    DecisionReceived,
    Fact,
    Failure,
    NoteAdded,
    PlanFailed,
    RequestRejected,
    TaskKind,
    TaskOpened,
    UnknownFact,
)
from domain.plan import Plan, Settled
from domain.room import has_room_for_notice, too_large

PLAN_AGAIN = timedelta(hours=1)
_REPEATABLE = frozenset(str(kind.model_fields["kind"].default) for kind in KNOWN if not kind.single_shot)


def is_single_shot(action_kind: str) -> bool:
    """Whether actions of a kind are tried once only. Of a kind that this release does not know: yes."""
    return action_kind not in _REPEATABLE


class Keeping:
    """A case that is alive."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.plan: Plan | None = None
        self.news = True
        """Whether something came since the facts were last planned from."""
        self._flying: set[str] = set()

    def take(self, facts: Sequence[Fact], now: datetime) -> Answer:
        """Record what was reported. The answer is the last fact's; a repeated one changes nothing.

        A fact that is too large to be kept is replaced by one that says so, under the same source id; where a case is so
        full that this would not end either, it is not kept: an operator has known for long that the case is full.
        """
        answer = Answer(n=self.case.n, repeated=True)
        for fact in facts:
            kept = self._kept(fact)
            if kept is fact or has_room_for_notice(self.case):
                answer = self._record(kept, now)
        return answer

    def take_turn(self, settled: Settled, now: datetime) -> tuple[Action, ...]:
        """Record what followed and the intent of what is due; the answer is what to begin now."""
        for concluded in settled.facts:
            self.case, _ = record(self.case, concluded, now)
        begun: list[Action] = []
        for action in settled.plan.actions:
            fact = ActionBegun(
                occurred_at=action.now,
                by="vigil",
                source_id=f"begun/{action.key}",
                track=action.track,
                action=action.key,
                action_kind=action.kind,
            )
            self.case, answer = record(self.case, fact, now)
            if not answer.repeated:  # a key is begun once, whatever a plan asks for
                self._flying.add(action.key)
                begun.append(action)
        self.plan = settled.plan
        return tuple(begun)

    def end(self, action: Action, facts: Sequence[Fact], now: datetime) -> None:
        """Record what an action established. A fact that is too large is replaced by one that says so."""
        for fact in facts:
            self._record(self._kept(fact), now)
        self._ended(action.key, action.track, None, None, now)

    def fail(self, action: Action, failure: Failure, error: str, now: datetime) -> None:
        """Record that an action did not succeed: a fact like any other."""
        self._ended(action.key, action.track, failure, error, now)

    def end_orphans(self, now: datetime) -> None:
        """End what the facts say is in flight and is not: begun before a restore from a copy. What it did is unknown."""
        for begun in self.case.in_flight:
            if begun.action not in self._flying:
                once = is_single_shot(begun.action_kind)
                failure = Failure.AMBIGUOUS if once else Failure.EXHAUSTED
                self._ended(begun.action, begun.track, failure, "lost", now)

    def plan_failed(self, error: str, now: datetime) -> None:
        """Record that no plan could be made, as an operator's task; Vigil tries again in an hour, or when something comes.

        `error` is a type's name, without health information. The first plan that succeeds withdraws the task.
        """
        failed = PlanFailed(occurred_at=now, by="vigil", source_id=f"plan_failed/{self.case.n}", error=error)
        self.case, _ = record(self.case, failed, now)
        due = now + PLAN_AGAIN
        if not any(task.opened.task_kind is TaskKind.OPERATOR for task in self.case.open_tasks):
            opened = TaskOpened(
                occurred_at=now,
                by="vigil",
                source_id=f"task/operator/{failed.source_id}",
                task=f"operator/{failed.source_id}",
                task_kind=TaskKind.OPERATOR,
                turn=Turn.OPERATOR,
                title=f"The rules could not be applied to this case ({error}). Mend them, or decide by hand.",
                due=due,
                rule="vigil/plan-failed",
                cause=failed.ref,
            )
            self.case, _ = record(self.case, opened, now)
        self.plan = Plan(
            stage=self.plan.stage if self.plan else Stage.REQUIREMENT,
            turn=Turn.OPERATOR,
            why=f"The rules could not be applied to this case ({error}); an operator has to look.",
            next="Vigil tries again in an hour, or when something comes in.",
            clocks=self.plan.clocks if self.plan else (),
            binding=self.plan.binding if self.plan else None,
            wake_at=due,
        )

    def _kept(self, fact: Fact) -> Fact:
        large = too_large(self.case, fact)
        return fact if large is None or fact.source_id in self.case.sources else _in_place_of(fact, large)

    def _record(self, fact: Fact, now: datetime) -> Answer:
        self.case, answer = record(self.case, fact, now)
        self.news = self.news or not answer.repeated
        return answer

    def _ended(self, key: str, track: str | None, failure: Failure | None, error: str | None, now: datetime) -> None:
        self._flying.discard(key)
        fact = ActionEnded(
            occurred_at=now,
            by="vigil",
            source_id=end_of(key),
            track=track,
            action=key,
            failure=failure,
            error=error,
        )
        self._record(fact, now)


def end_of(action_key: str) -> str:
    """The source id under which an action's end is recorded, and found in the archive."""
    return f"ended/{action_key}"


def _in_place_of(fact: Fact, why: str) -> Fact:
    """What is kept of a fact that is too large: of a payer's answer, that a person has to read it."""
    when, by, source = fact.occurred_at, fact.by, fact.source_id
    match fact:
        case DecisionReceived() | RequestRejected():
            return AnswerNotUnderstood(
                occurred_at=when,
                by=by,
                source_id=source,
                track=fact.track,
                attempt=fact.attempt,
                rail=fact.rail,
                why=f"The payer's answer could not be kept: {why}",
                raw=fact.raw,
            )
        case UnknownFact():
            return UnknownFact(occurred_at=when, by=by, source_id=source, kind=fact.kind[:200], v=fact.v)
        case _:
            text = f"{fact.kind} was reported and could not be kept: {why}"
            return NoteAdded(occurred_at=when, by=by, source_id=source, track=fact.track, text=text)
