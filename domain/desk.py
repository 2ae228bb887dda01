"""Where a form is filled in: for which case, task, track and attempt, by whom, about which moment."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from domain.attempt import Attempt
from domain.case import Case
from domain.facts import TaskOpened
from domain.track import Track


class WrongResult(ValueError):
    """A form that a task or a case does not take. The sentence says what to do; `fields` names what it is about."""

    def __init__(self, sentence: str, fields: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.fields = fields


class Head(TypedDict):
    """What every fact of one form says of itself."""

    occurred_at: datetime
    by: str
    source_id: str


@dataclass(frozen=True)
class Desk:
    """Where a form is filled in: for which case, for which task if any, by whom, about which moment."""

    case: Case
    opened: TaskOpened | None
    track_named: str | None
    by: str
    filled_at: datetime
    source_id: str

    @property
    def head(self) -> Head:
        """The head of each fact; its source id is numbered later."""
        return Head(occurred_at=self.filled_at, by=self.by, source_id=self.source_id)

    @property
    def track(self) -> Track:
        """The track that the form is about. Raises `WrongResult` where it is not plain which."""
        key = self.track_named or (self.opened.track if self.opened else None)
        if key is None and len(self.case.tracks) == 1:
            key = next(iter(self.case.tracks))
        track = self.case.tracks.get(key or "")
        if track is None:
            known = ", ".join(sorted(self.case.tracks)) or "none yet"
            msg = f"Name the track that this is about; the case has: {known}."
            raise WrongResult(msg, ("track",))
        return track

    @property
    def attempt(self) -> Attempt:
        """The attempt that the form is about: the task's, or the one that counts now."""
        number = self.opened.attempt if self.opened and self.opened.attempt else self.track.attempt.number
        return self.track.attempts.get(number) or Attempt(number)

    @property
    def rail(self) -> str:
        """How the payer was spoken to."""
        submitted = self.attempt.submitted
        return (self.opened.rail if self.opened else None) or (submitted.rail if submitted else None) or "phone"

    def subject(self) -> str:
        """The middle of the task's key, as in `tell_patient/<subject>/<cause>`."""
        return self.opened.task.split("/")[1] if self.opened else ""
