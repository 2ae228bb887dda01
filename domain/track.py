"""What a case knows of one track and of its people's tasks: values of the fold."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

from domain.attempt import DIFFERING, Attempt, changed_attempt, empty, with_key
from domain.decision import LineDecision, Outcome
from domain.facts import (
    ActionBegun,
    ActionEnded,
    AnswerNotUnderstood,
    ClockExtended,
    DecisionReceived,
    Fact,
    InformationSent,
    NewAttemptOrdered,
    OptionChosen,
    ReferralObtained,
    RequestEnded,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    RequirementDetermined,
    StatusInquired,
    TaskClaimed,
    TaskCompleted,
    TaskOpened,
    TaskReleased,
    TaskWithdrawn,
)

_END_OF_TIME = datetime(9000, 1, 1, tzinfo=UTC)
"""What lies later has no end: calendars reach a little further, so that a clock can still run to it."""


@dataclass(frozen=True)
class Task:
    """A person's work, as it stands."""

    opened: TaskOpened
    claim: TaskClaimed | None = None
    completed: TaskCompleted | None = None
    withdrawn: TaskWithdrawn | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to do it."""
        return self.completed is None and self.withdrawn is None

    def holder(self, now: datetime) -> str | None:
        """Who holds the task at that moment, or None: never claimed, released, or the lease is over."""
        return self.claim.by if self.is_open and self.claim and now < self.claim.until else None


@dataclass(frozen=True)
class Try:
    """One go at an action."""

    begun: ActionBegun
    ended: ActionEnded | None = None


@dataclass(frozen=True)
class Track:
    """Payer x coverage rank x who must ask x lines: what has to be ready before the visit."""

    key: str
    requirement: RequirementDetermined
    attempts: Mapping[int, Attempt] = field(default_factory=empty)
    allowed: int = 1
    """The highest attempt that may be sent."""
    updates: frozenset[int] = frozenset()
    """The attempts that a person ordered as an update of the one before."""
    referral: ReferralObtained | None = None
    extended_until: datetime | None = None
    changed: str = ""
    """The `ref` of the order's change since the payer was asked, while nobody has compared it with the request."""

    @property
    def attempt(self) -> Attempt:
        """The attempt that counts now."""
        return self.attempts.get(self.allowed) or Attempt(self.allowed)

    def is_replaced(self, number: int) -> bool:
        """Whether the payer has an update in the place of an attempt: there is nothing to take back of it."""
        update = self.attempts.get(number + 1)
        return number + 1 in self.updates and update is not None and update.reached_payer

    @property
    def lines_required(self) -> tuple[int, ...]:
        """The numbers of the lines that need an authorization."""
        return tuple(line.line for line in self.requirement.lines if line.authorization == "required")

    def decision(self, line: int) -> LineDecision | None:
        """The decision in force for a line, if there is one."""
        return self.attempt.lines.get(line)

    @property
    def outcomes(self) -> tuple[Outcome | None, ...]:
        """The outcome of each line that needs one, in order; None where nothing was said."""
        return tuple(d.decision if (d := self.decision(line)) else None for line in self.lines_required)

    @property
    def is_ready(self) -> bool:
        """Whether the visit may go ahead as far as this track goes. Unknown is never ready."""
        if any("unknown" in (line.authorization, line.referral) for line in self.requirement.lines):
            return False
        if any(line.referral == "required" for line in self.requirement.lines) and self.referral is None:
            return False
        if self.attempt.contradicted or self.attempt.ended or (self.changed and self.attempt.reached_payer):
            return False
        return all(self._permits(line) for line in self.lines_required)

    def _permits(self, line: int) -> bool:
        decided = self.decision(line)
        if decided is None or decided.decision.permits:
            return decided is not None
        chosen = self.attempt.chosen_since(line)
        return decided.decision in DIFFERING and chosen is not None and chosen.option == "accept"


def with_requirement(
    tracks: Mapping[str, Track], fact: RequirementDetermined, insured: frozenset[int]
) -> Mapping[str, Track]:
    """The tracks after a requirement, which opens or changes its own; `insured` are the ranks of the order's coverages.

    A line stands in one track of a coverage: the latest word has it.
    """
    key = fact.track or f"{fact.rank}-{fact.who_asks}"
    moved = {line.line for line in fact.lines}
    found: dict[str, Track] = {}
    for other, track in tracks.items():
        held = track.requirement
        left = tuple(line for line in held.lines if line.line not in moved)
        if other == key or (held.rank != fact.rank and held.rank in insured) or left == held.lines:
            found[other] = track
        elif left or track.attempts:
            found[other] = replace(track, requirement=held.model_copy(update={"lines": left}))
    old = tracks.get(key)
    found[key] = replace(old, requirement=fact) if old else Track(key, fact)
    return MappingProxyType(found)


def changed_track(track: Track, fact: Fact) -> Track:
    """The track after a fact about it, or about one of its attempts."""
    match fact:
        case NewAttemptOrdered() if fact.attempt > track.allowed:
            updates = track.updates | {fact.attempt} if fact.update else track.updates
            return replace(track, allowed=fact.attempt, updates=updates, changed="")
        case ReferralObtained():
            return replace(track, referral=fact)
        case ClockExtended():
            return replace(track, extended_until=min(fact.until, _END_OF_TIME))
        case (
            RequestSubmitted()
            | RequestRejected()
            | RequestWithdrawn()
            | RequestEnded()
            | AnswerNotUnderstood()
            | DecisionReceived()
            | StatusInquired()
            | InformationSent()
            | OptionChosen()
        ):
            attempt = track.attempts.get(fact.attempt) or Attempt(fact.attempt)
            return replace(track, attempts=with_key(track.attempts, fact.attempt, changed_attempt(attempt, fact)))
    return track


def changed_task(task: Task, fact: TaskClaimed | TaskReleased | TaskCompleted | TaskWithdrawn) -> Task:
    """The task after somebody took it, gave it back, did it, or it was no longer needed."""
    match fact:
        case TaskClaimed():
            return replace(task, claim=fact)
        case TaskReleased():
            return replace(task, claim=None)
        case TaskCompleted():
            return replace(task, completed=fact)
    return replace(task, withdrawn=fact)
