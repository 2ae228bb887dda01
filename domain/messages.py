"""What goes into a case and what comes back: the words between the doors and the workflow."""

from pydantic import Field

from domain.base import Frozen, Instant, Key, Sentence
from domain.facts import AnyFact
from domain.view import CaseView

WORKFLOW = "Authorization"
"""The workflow's type. Its id is the case's id."""
REPORT = "report"
"""Update: people report facts, all or none, and are answered with where the case stands then."""
NOTICE = "notice"
"""Signal: systems report facts."""
WAKE = "wake"
"""Signal: look again now."""


class Opening(Frozen):
    """What a case begins with: its facts so far, one or many, and how many the archive has confirmed."""

    case_id: Key
    facts: tuple[AnyFact, ...] = Field(min_length=1)
    confirmed: int = 0


class Report(Frozen):
    """Facts that belong together: recorded all or none."""

    facts: tuple[AnyFact, ...] = Field(min_length=1, max_length=20)


class Refusal(Frozen):
    """Why a report is not taken."""

    code: str = Field(
        description="closed, order_differs, task_unknown, task_done, task_held, not_holder, number_is_pending, …"
    )
    sentence: Sentence
    fields: tuple[str, ...] = Field(default=(), description="The fields that it is about.")


class Standing(Frozen):
    """Where the case stands after a report."""

    n: int = Field(description="The place of the last reported fact.")
    repeated: bool = Field(description="Whether it had been reported before.")
    view: CaseView


class TurnInput(Frozen):
    """What a turn is planned from."""

    case_id: Key
    facts: tuple[AnyFact, ...]
    now: Instant
