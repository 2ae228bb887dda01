"""What a case knows of one track, its requests and its people's tasks: values of the fold, and how an answer changes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

from domain.decision import LineDecision, Number, Outcome, Result
from domain.facts import (
    ActionBegun,
    ActionEnded,
    AnswerNotUnderstood,
    DecisionReceived,
    Fact,
    InformationSent,
    OptionChosen,
    ReferralObtained,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    RequirementDetermined,
    StatusInquired,
    TaskClaimed,
    TaskCompleted,
    TaskOpened,
    TaskWithdrawn,
)

K = TypeVar("K")
V = TypeVar("V")

DIFFERING = frozenset({Outcome.PARTLY_APPROVED, Outcome.MODIFIED})
"""Approvals of something else than was asked: a person compares, and accepts or not."""


def with_key(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    return MappingProxyType({**mapping, key: value})


def empty() -> Mapping[K, V]:
    return MappingProxyType({})


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
class Attempt:
    """One request of a track to its payer, with all that came back. Attempts are numbered from 1."""

    number: int
    submitted: RequestSubmitted | None = None
    rejected: RequestRejected | None = None
    withdrawn: RequestWithdrawn | None = None
    not_understood: tuple[AnswerNotUnderstood, ...] = ()
    answers: tuple[DecisionReceived, ...] = ()
    inquiries: tuple[StatusInquired, ...] = ()
    sent: tuple[InformationSent, ...] = ()
    option: OptionChosen | None = None
    lines: Mapping[int, LineDecision] = field(default_factory=empty)
    """The decision in force for each line."""
    decided_by: Mapping[int, DecisionReceived] = field(default_factory=empty)
    """The answer that each line's decision in force came with."""

    @property
    def arrival(self) -> RequestSubmitted | DecisionReceived | StatusInquired | None:
        """The first proof that the payer has it."""
        found = next((asked for asked in self.inquiries if asked.found), None)
        return self.submitted or (self.answers[0] if self.answers else found)

    @property
    def reached_payer(self) -> bool:
        """Whether the payer is known to have it."""
        return self.arrival is not None

    @property
    def since(self) -> datetime | None:
        """When the payer got it: its clock starts here."""
        return self.arrival.occurred_at if self.arrival else None

    @property
    def rail(self) -> str | None:
        """How it went to the payer, once that is known."""
        return self.arrival.rail if self.arrival else None

    @property
    def is_at_payer(self) -> bool:
        """Whether the payer has it and has said no last word about any line."""
        undecided = not any(decided.decision.is_final for decided in self.lines.values())
        return self.reached_payer and self.withdrawn is None and undecided and not self.is_unfound

    @property
    def is_unfound(self) -> bool:
        """Whether the payer twice in a row did not find it: once may be its index that lags."""
        last = self.inquiries[-2:]
        return len(last) > 1 and not any(asked.found for asked in last)

    @property
    def contradicted(self) -> tuple[int, ...]:
        """Lines on which the payer said two different last words, with nobody having asked it to think again.

        A person's word ends the contradiction.
        """
        said: dict[int, Outcome] = {}
        torn: set[int] = set()
        asked = self.option.n if self.option else 0
        before = 0
        for answer in self.answers:
            if before < asked < answer.n:
                said.clear()
            before = answer.n
            for line in answer.decision.lines:
                if answer.via == "person":
                    torn.discard(line.line)
                elif line.decision.is_final and said.get(line.line, line.decision) is not line.decision:
                    torn.add(line.line)
                if line.decision.is_final:
                    said[line.line] = line.decision
        return tuple(sorted(torn))

    def chosen_since(self, line: int) -> OptionChosen | None:
        """What a person chose about a line's decision in force: a choice never speaks of what came after it."""
        answer = self.decided_by.get(line)
        return self.option if self.option and answer and self.option.n > answer.n else None

    @property
    def last_answer(self) -> DecisionReceived | None:
        """The latest decision, pended ones too."""
        return self.answers[-1] if self.answers else None

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Every number that the payer gave, without repeats, in order."""
        given = list(self.submitted.numbers) if self.submitted else []
        given += [n for answer in self.answers for n in answer.decision.all_numbers]
        return tuple(dict.fromkeys(given))


@dataclass(frozen=True)
class Track:
    """Payer x coverage rank x who must ask x lines: what has to be ready before the visit."""

    key: str
    requirement: RequirementDetermined
    attempts: Mapping[int, Attempt] = field(default_factory=empty)
    allowed: int = 1
    """The highest attempt that may be sent."""
    referral: ReferralObtained | None = None
    extended_until: datetime | None = None
    changed: str = ""
    """The `ref` of the order's change since the payer was asked, while nobody has compared it with the request."""

    @property
    def attempt(self) -> Attempt:
        """The attempt that counts now."""
        return self.attempts.get(self.allowed) or Attempt(self.allowed)

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
        if self.attempt.contradicted or self.attempt.withdrawn or (self.changed and self.attempt.reached_payer):
            return False
        return all(self._permits(line) for line in self.lines_required)

    def _permits(self, line: int) -> bool:
        decided = self.decision(line)
        if decided is None or decided.decision.permits:
            return decided is not None
        chosen = self.attempt.chosen_since(line)
        return decided.decision in DIFFERING and chosen is not None and chosen.option == "accept"


def changed_attempt(attempt: Attempt, fact: Fact) -> Attempt:
    match fact:
        case RequestSubmitted():
            return replace(attempt, submitted=attempt.submitted or fact)
        case RequestRejected():
            return replace(attempt, rejected=fact)
        case RequestWithdrawn():
            return replace(attempt, withdrawn=fact)
        case AnswerNotUnderstood():
            return replace(attempt, not_understood=(*attempt.not_understood, fact))
        case StatusInquired():
            return replace(attempt, inquiries=(*attempt.inquiries, fact))
        case InformationSent():
            return replace(attempt, sent=(*attempt.sent, fact))
        case OptionChosen():
            return replace(attempt, option=fact)
        case DecisionReceived() if fact.decision.result is Result.DECIDED:
            lines = _in_force(attempt.lines, fact)
            by = {
                line: fact if lines[line] is not attempt.lines.get(line) else attempt.decided_by[line] for line in lines
            }
            return replace(
                attempt,
                answers=(*attempt.answers, fact),
                lines=MappingProxyType(lines),
                decided_by=MappingProxyType(by),
            )
    return attempt


def _in_force(lines: Mapping[int, LineDecision], fact: DecisionReceived) -> dict[int, LineDecision]:
    """The decisions in force after an answer: a late `pended` never displaces a final word, nor does `unknown`."""
    merged = dict(lines)
    for said in fact.decision.lines:
        held = merged.get(said.line)
        if held is None or not held.decision.is_final or said.decision.is_final:
            merged[said.line] = said
    return merged
