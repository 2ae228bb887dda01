"""The plan: what follows from the facts at an instant. Same facts, same instant, same plan."""

from datetime import datetime

from pydantic import Field

from domain.actions import AnyAction
from domain.base import Frozen, Instant, Sentence, Stage, Turn
from domain.clocks import Clock
from domain.facts import AnyFact


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

    def due_before(self, now: datetime) -> bool:
        """Whether it is time to look again."""
        return self.wake_at is not None and self.wake_at <= now
