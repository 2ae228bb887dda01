"""One request of a track to its payer, with all that came back: a value of the fold, and how a fact changes it.

An attempt has one trace on every rail. Where it reached the payer by two of them, after one was given up and answered late,
the payer has it twice: one copy is kept, the other taken back, and only what is said of the kept one is in force.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

from domain.decision import LineDecision, Number, NumberType, Outcome, Result
from domain.facts import (
    AnswerNotUnderstood,
    DecisionReceived,
    Fact,
    InformationSent,
    OptionChosen,
    RequestEnded,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    StatusInquired,
)

K = TypeVar("K")
V = TypeVar("V")

DIFFERING = frozenset({Outcome.PARTLY_APPROVED, Outcome.MODIFIED})
"""Approvals of something else than was asked: a person compares, and accepts or not."""
NOTHING_LEFT = frozenset({Outcome.DENIED, Outcome.CANCELLED, Outcome.NOT_REQUIRED})
"""After these nothing is at the payer that could be taken back."""
_HEARD = frozenset({"person", "letter"})
"""How an answer came that speaks of the request, by whichever rail it went."""
_NEVER = 10**9

Arrival = RequestSubmitted | DecisionReceived | StatusInquired | RequestEnded
"""Proof that the payer has a request."""
End = RequestWithdrawn | RequestEnded | DecisionReceived
"""What ended a request without deciding it: taken back, or ended by the payer."""


def with_key(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    """The mapping with one entry more, or another."""
    return MappingProxyType({**mapping, key: value})


def empty() -> Mapping[K, V]:
    """Nothing, not to be changed."""
    return MappingProxyType({})


@dataclass(frozen=True)
class Attempt:
    """Attempts are numbered from 1."""

    number: int
    tried: frozenset[str] = frozenset()
    """The rails on which Vigil set out to send it."""
    arrivals: Mapping[str, Arrival] = field(default_factory=empty)
    """The first proof that the payer has it, by the rail that it went by."""
    ends: Mapping[str, End] = field(default_factory=empty)
    """What ended the copy of a rail without a decision."""
    rejected: RequestRejected | None = None
    not_understood: tuple[AnswerNotUnderstood, ...] = ()
    answers: tuple[DecisionReceived, ...] = ()
    inquiries: tuple[StatusInquired, ...] = ()
    sent: tuple[InformationSent, ...] = ()
    option: OptionChosen | None = None

    # --- where it is ----------------------------------------------------------------------------------------------

    @cached_property
    def rail(self) -> str | None:
        """The rail of the copy that counts, once one has arrived.

        Of several: the one that a person's word agrees with, else the one that was decided first, else that came first.
        """
        left = [rail for rail in self.arrivals if rail not in self.ends] or list(self.arrivals)
        return min(left, key=lambda r: (self._differs(r), self._decided_at(r), self.arrivals[r].n, r), default=None)

    @property
    def arrival(self) -> Arrival | None:
        """The first proof that the payer has the copy that counts."""
        return self.arrivals[self.rail] if self.rail is not None else None

    @property
    def submitted(self) -> RequestSubmitted | None:
        """The proof with its receipt, where there is one."""
        return self.arrival if isinstance(self.arrival, RequestSubmitted) else None

    @property
    def reached_payer(self) -> bool:
        """Whether the payer is known to have it, or to have had it."""
        return bool(self.arrivals)

    @property
    def since(self) -> datetime | None:
        """When the payer got it: its clock starts here."""
        return self.arrival.occurred_at if self.arrival else None

    @property
    def ended(self) -> End | None:
        """What ended it without a decision, where no copy of it is left."""
        if any(rail not in self.ends for rail in self.arrivals):
            return None
        return max(self.ends.values(), key=lambda end: end.n, default=None)

    @property
    def is_at_payer(self) -> bool:
        """Whether the payer has it and has said no last word about any line."""
        undecided = not any(decided.decision.is_final for decided in self.lines.values())
        return self.reached_payer and self.ended is None and undecided and not self.is_unfound

    @property
    def is_unfound(self) -> bool:
        """Whether the payer twice in a row did not find it: once may be its index that lags."""
        last = self._looks[-2:]
        return len(last) > 1 and not any(asked.found for asked in last)

    @property
    def last_look(self) -> StatusInquired | None:
        """The latest inquiry about the copy that counts."""
        return self._looks[-1] if self._looks else None

    @property
    def _looks(self) -> tuple[StatusInquired, ...]:
        return tuple(asked for asked in self.inquiries if not self._is_of_another_copy(asked.rail))

    @property
    def copies(self) -> tuple[str, ...]:
        """The rails of all copies that could be taken back, the one that counts first."""
        left = [rail for rail in self.arrivals if rail not in self.ends and not self.is_over(rail)]
        return tuple(sorted(left, key=lambda rail: (rail != self.rail, self.arrivals[rail].n, rail)))

    @property
    def spare(self) -> tuple[str, ...]:
        """The rails of other copies, to be taken back there; none while a person has to read what differs."""
        if self.contradicted:
            return ()
        return tuple(rail for rail in self.copies if rail != self.rail and not self.are_one(rail, self.rail or ""))

    def are_one(self, rail: str, other: str) -> bool:
        """Whether the payer knows the copies of two rails by one number: then they are the same request."""
        return rail == other or bool(self._payers_numbers(rail) & self._payers_numbers(other))

    def is_over(self, rail: str) -> bool:
        """Whether nothing is left of the copy of a rail that could be taken back."""
        lines = self.lines if rail == self.rail else _merged(self._answers_by(rail))
        said = {line.decision for line in lines.values()}
        return bool(said) and said <= NOTHING_LEFT

    # --- what was said of it ---------------------------------------------------------------------------------------

    @cached_property
    def lines(self) -> Mapping[int, LineDecision]:
        """The decision in force for each line."""
        return MappingProxyType(_merged(self._in_force))

    @cached_property
    def decided_by(self) -> Mapping[int, DecisionReceived]:
        """The answer that each line's decision in force came with."""
        held = self.lines
        by = {n: a for a in self._in_force for n in held if any(line is held[n] for line in a.decision.lines)}
        return MappingProxyType({n: by[n] for n in held})

    @property
    def contradicted(self) -> tuple[int, ...]:
        """Lines on which the payer said two different last words, with nobody having asked it to think again.

        Two copies that are decided alike do not contradict one another. A person's word ends the contradiction.
        """
        said: dict[int, Outcome] = {}
        torn: set[int] = set()
        asked = self.option.n if self.option else 0
        before = 0
        for answer in self.answers:
            if before < asked < answer.n:
                said.clear()
            before = answer.n
            other = self._is_of_another_copy(answer.rail) and answer.via not in _HEARD
            if other and answer.rail in self.ends:
                continue
            for line in answer.decision.lines:
                if other and line.decision is Outcome.CANCELLED:
                    continue
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
        """The latest decision about the copy that counts, pended ones too."""
        return self._in_force[-1] if self._in_force else None

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Every number that the payer gave, without repeats, in order."""
        given = [n for proof in self.arrivals.values() if isinstance(proof, RequestSubmitted) for n in proof.numbers]
        given += [n for answer in self.answers for n in answer.decision.all_numbers]
        return tuple(dict.fromkeys(given))

    def numbers_by(self, rail: str) -> tuple[Number, ...]:
        """The numbers of the copy of a rail, and those that came by no rail of their own."""
        if len(self.arrivals) <= 1:
            return self.numbers
        others = {n for other in self.arrivals if other != rail for n in self._given(other)}
        return tuple(n for n in self.numbers if n not in others or n in self._given(rail))

    def _given(self, rail: str) -> frozenset[Number]:
        proof = self.arrivals.get(rail)
        submitted = proof.numbers if isinstance(proof, RequestSubmitted) else ()
        return frozenset((*submitted, *(n for answer in self._answers_by(rail) for n in answer.decision.all_numbers)))

    def _payers_numbers(self, rail: str) -> frozenset[str]:
        """By which the payer itself knows the copy: a number of two copies says that they are one."""
        return frozenset(n.value for n in self._given(rail) if n.type not in {NumberType.TRACE, NumberType.TRANSACTION})

    def _answers_by(self, rail: str) -> tuple[DecisionReceived, ...]:
        return tuple(answer for answer in self.answers if answer.rail == rail and answer.via not in _HEARD)

    def _is_of_another_copy(self, rail: str) -> bool:
        return rail != self.rail and rail in self.arrivals

    @cached_property
    def _in_force(self) -> tuple[DecisionReceived, ...]:
        return tuple(a for a in self.answers if a.via in _HEARD or not self._is_of_another_copy(a.rail))

    def _decided_at(self, rail: str) -> int:
        """The place of the first last word about the copy of a rail."""
        finals = (
            answer.n
            for answer in self._answers_by(rail)
            if any(line.decision.is_final and line.decision is not Outcome.CANCELLED for line in answer.decision.lines)
        )
        return min(finals, default=_NEVER)

    def _differs(self, rail: str) -> bool:
        """Whether a person has said of the request what the copy of a rail was not decided to be."""
        heard = _merged(tuple(answer for answer in self.answers if answer.via in _HEARD))
        said = _merged(self._answers_by(rail))
        return any(decided.decision.is_final and not _alike(decided, said.get(n)) for n, decided in heard.items())


def _alike(one: LineDecision, other: LineDecision | None) -> bool:
    return other is not None and one.decision is other.decision


def _merged(answers: tuple[DecisionReceived, ...]) -> dict[int, LineDecision]:
    """What is in force after answers: a late `pended` never displaces a final word, nor does `unknown`."""
    merged: dict[int, LineDecision] = {}
    for answer in answers:
        for said in answer.decision.lines:
            held = merged.get(said.line)
            if held is None or not held.decision.is_final or said.decision.is_final:
                merged[said.line] = said
    return merged


def changed_attempt(attempt: Attempt, fact: Fact) -> Attempt:
    """The attempt after a fact about it."""
    match fact:
        case RequestSubmitted():
            return _arrived(attempt, fact)
        case RequestRejected():
            return _turned_down(attempt, fact)
        case RequestEnded():
            return _ended(_arrived(attempt, fact), fact)
        case RequestWithdrawn():
            return _ended(attempt, fact)
        case AnswerNotUnderstood():
            return replace(attempt, not_understood=(*attempt.not_understood, fact))
        case StatusInquired():
            asked = replace(attempt, inquiries=(*attempt.inquiries, fact))
            return _arrived(asked, fact) if fact.found else asked
        case InformationSent():
            return replace(_reopened(attempt), sent=(*attempt.sent, fact))
        case OptionChosen():
            return replace(attempt, option=fact)
        case DecisionReceived() if fact.decision.result is Result.DECIDED or fact.decision.ending is not None:
            return _answered(attempt, fact)
    return attempt


def _arrived(attempt: Attempt, fact: Arrival) -> Attempt:
    """The attempt with a proof of arrival. What is only seen by another window, or told by people, is no copy of its own."""
    heard = isinstance(fact, DecisionReceived) and fact.via in _HEARD
    own = isinstance(fact, RequestSubmitted) or (fact.rail in attempt.tried and not heard)
    held = attempt.arrivals.get(fact.rail)
    better = isinstance(fact, RequestSubmitted) and not isinstance(held, RequestSubmitted)
    if (held is None and (own or not attempt.arrivals)) or (held is not None and better):
        return replace(attempt, arrivals=with_key(attempt.arrivals, fact.rail, fact))
    return attempt


def _turned_down(attempt: Attempt, fact: RequestRejected) -> Attempt:
    """The attempt that was not taken up: what a carrier acknowledged on the way no longer counts, unless there is an answer."""
    answered = any(answer.rail == fact.rail for answer in attempt.answers)
    gone = set() if answered else {fact.rail}
    left = {rail: proof for rail, proof in attempt.arrivals.items() if rail not in gone}
    return replace(attempt, rejected=fact, arrivals=MappingProxyType(left))


def _ended(attempt: Attempt, fact: End) -> Attempt:
    """The attempt with a copy that is over; what came by a rail of its own to none speaks of the one that counts."""
    rail = fact.rail if fact.rail in attempt.arrivals else attempt.rail or fact.rail
    same = {rail, *(other for other in attempt.arrivals if attempt.are_one(rail, other))}
    return replace(attempt, ends=MappingProxyType({**attempt.ends, **dict.fromkeys(sorted(same), fact)}))


def _answered(attempt: Attempt, fact: DecisionReceived) -> Attempt:
    arrived = _arrived(attempt, fact)
    answered = replace(arrived, answers=(*attempt.answers, fact))
    if fact.decision.ending is not None:
        return _ended(answered, fact)
    speaks = fact.via in _HEARD or any(
        line.decision.is_final and line.decision is not Outcome.CANCELLED for line in fact.decision.lines
    )
    return _reopened(answered, None if fact.via in _HEARD else fact.rail) if speaks else answered


def _reopened(attempt: Attempt, rail: str | None = None) -> Attempt:
    """The attempt without what the payer itself ended (by a rail): it decided after all, or has what it wanted.

    What was taken back stays so.
    """
    left = {
        by: end
        for by, end in attempt.ends.items()
        if isinstance(end, RequestWithdrawn) or (rail is not None and by != rail)
    }
    return replace(attempt, ends=MappingProxyType(left)) if len(left) < len(attempt.ends) else attempt
