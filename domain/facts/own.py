"""What Vigil itself does and notices."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from domain.base import Instant, Key, Name
from domain.facts.envelope import Fact
from domain.order import DocumentRef


class ActionBegun(Fact):
    """Vigil set out to do something: the intent, written before it is tried."""

    kind: Literal["action_begun"] = "action_begun"
    action: Key
    action_kind: Key


class Failure(StrEnum):
    """Why an action did not succeed."""

    EXHAUSTED = "exhausted"
    """It could not be reached or was busy for as long as the activity tried: try again later."""
    REFUSED = "refused"
    """The other side said no and would again."""
    AMBIGUOUS = "ambiguous"
    """It may have happened: search before anything else."""


class ActionEnded(Fact):
    """The action is no longer in flight. What it established is in the facts that came with it."""

    kind: Literal["action_ended"] = "action_ended"
    action: Key
    failure: Failure | None = None
    error: str | None = Field(default=None, max_length=300, description="A code or type, without health information.")


class ClockBreached(Fact):
    """A deadline passed. Kept as evidence."""

    kind: Literal["clock_breached"] = "clock_breached"
    clock: Key
    clock_kind: Key
    due: Instant
    rule: str = Field(max_length=120)


class ClockExtended(Fact):
    """The payer gave itself more time, with notice."""

    kind: Literal["clock_extended"] = "clock_extended"
    until: Instant
    rule: str = Field(max_length=120)
    notice: DocumentRef | None = None


class PlanFailed(Fact):
    """The rules could not be applied to this case: an operator's task, until they can."""

    kind: Literal["plan_failed"] = "plan_failed"
    error: Name
