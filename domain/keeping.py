"""How a case is kept: facts come in, a turn settles, actions begin and end. The pure half of the workflow.

The workflow and the simulated world of the tests run this very code; what is left to the workflow is to schedule and sleep.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from domain.actions import KNOWN, Action
from domain.base import Stage, Turn
from domain.case import Answer, Case, record, too_large
from domain.facts import ActionBegun, ActionEnded, Fact, Failure, NoteAdded, PlanFailed, TaskKind, TaskOpened
from domain.plan import Plan, Settled

PLAN_AGAIN = timedelta(hours=1)
_REPEATABLE = frozenset(str(kind.model_fields["kind"].default) for kind in KNOWN if not kind.single_shot)


class Keeping:
    """A case that is alive."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.plan: Plan | None = None
        self.news = True
        """Whether something came since the facts were last planned from."""
        self._flying: set[str] = set()

    def take(self, facts: Sequence[Fact], now: datetime) -> Answer:
        """Record what was reported. The answer is the last fact's; a repeated one changes nothing."""
        answer = Answer(n=self.case.n, repeated=True)
        for fact in facts:
            answer = self._record(fact, now)
        return answer

    def take_turn(self, settled: Settled, now: datetime) -> tuple[Action, ...]:
        """Record what followed and the intent of what is due; the answer is what to begin now."""
        for concluded in settled.facts:
            self.case, _ = record(self.case, concluded, now)
        begun = tuple(action for action in settled.plan.actions if action.key not in self._flying)
        for action in begun:
            fact = ActionBegun(
                occurred_at=action.now,
                by="vigil",
                source_id=f"begun/{action.key}",
                track=action.track,
                action=action.key,
                action_kind=action.kind,
            )
            self.case, _ = record(self.case, fact, now)
            self._flying.add(action.key)
        self.plan = settled.plan
        return begun

    def end(self, action: Action, facts: Sequence[Fact], now: datetime) -> None:
        """Record what an action established. A fact that is too large is replaced by a note that says so."""
        for number, fact in enumerate(facts):
            large = too_large(self.case, fact)
            self._record(fact if large is None else _in_place_of(fact, number, action, large), now)
        self._ended(action.key, action.track, None, None, now)

    def fail(self, action: Action, failure: Failure, error: str, now: datetime) -> None:
        """Record that an action did not succeed: a fact like any other."""
        self._ended(action.key, action.track, failure, error, now)

    def end_orphans(self, now: datetime) -> None:
        """End what the facts say is in flight and is not: begun before a restore from a copy. What it did is unknown."""
        for begun in self.case.in_flight:
            if begun.action not in self._flying:
                once = begun.action_kind not in _REPEATABLE
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

    def _record(self, fact: Fact, now: datetime) -> Answer:
        self.case, answer = record(self.case, fact, now)
        self.news = self.news or not answer.repeated
        return answer

    def _ended(self, key: str, track: str | None, failure: Failure | None, error: str | None, now: datetime) -> None:
        self._flying.discard(key)
        fact = ActionEnded(
            occurred_at=now,
            by="vigil",
            source_id=f"ended/{key}",
            track=track,
            action=key,
            failure=failure,
            error=error,
        )
        self._record(fact, now)


def _in_place_of(fact: Fact, number: int, action: Action, why: str) -> NoteAdded:
    return NoteAdded(
        occurred_at=fact.occurred_at,
        by=fact.by,
        source_id=f"too_large/{action.key}/{number}",
        track=fact.track,
        text=f"{action.kind} reported {fact.kind}, which could not be kept: {why}",
    )
