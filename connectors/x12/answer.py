"""Read a payer's 278 answer, to a request or to an inquiry: lenient about its shape, strict about what it may approve.

Every transaction is read by itself, and every patient event in it is a decision of its own. HTTP status and envelopes
never decide; they can only make an answer unreadable. AAA means that nothing was decided; beside a decision about the
same whole it is a contradiction, for a person. Acknowledgments (999, TA1) are no answers.
"""

import re
from http import HTTPStatus
from typing import TypedDict

from connectors.codes import AUTHORIZES, NOT_FOUND
from connectors.ours import Ours
from connectors.x12.envelope import Group, Interchange, Transaction, read
from connectors.x12.hl import Level, Levels, read_levels
from connectors.x12.identity import inquiry_trace
from connectors.x12.lines import Lines, distinct, read_lines, typed
from connectors.x12.segments import NotX12
from connectors.x12.statement import contacts, rejected, rejections
from connectors.x12.values import day, text, token
from connectors.x12.words import (
    DEPENDENT,
    ENDINGS,
    EVENT,
    INQUIRY_GUIDE,
    MORE_TO_FOLLOW,
    NOTIFICATION_GUIDE,
    OLDER_GUIDES,
    PARENTS,
    PURPOSES_OF_REQUESTS,
    REQUEST_GUIDE,
    SEGMENTS,
    SERVICE,
    SETS,
    SUBSCRIBER,
)
from domain.decision import AnswerError, Decision, Ending, LineDecision, Number, NumberType, Outcome, Result, unreadable

MAX_ANSWERS = 50
MAX_LINES = 99
MAX_ERRORS = 10
MAX_NOTES = 10
_TRACE = 120
_SET = re.compile(r"[0-9]{3}")
_MISCOUNTED = frozenset({"SE_LOST", "SE_WRONG"})
"""One segment more than were counted is met in published answers, and taken."""
_PATIENTS = frozenset({SUBSCRIBER, DEPENDENT})
_TO_CALL_FOR = frozenset({Outcome.CONTACT_PAYER, Outcome.PENDED, Outcome.DENIED, Outcome.UNKNOWN})
_UNDECIDED = frozenset({Outcome.PENDED, Outcome.CONTACT_PAYER, Outcome.UNKNOWN})


def read_answers(
    body: bytes, media_type: str | None, status: int, mine: Ours | None = None, *, inquiry: bool = False
) -> tuple[Decision, ...]:
    """Read every answer in a body, at least one. Never raises on content.

    Args:
        body: the X12 payload, taken out of whatever carried it.
        media_type: only a hint for the note of what cannot be read.
        status: of HTTP; an error that decides is not relied on.
        mine: the request that was asked about: its lines are matched, its echo is recognized.
        inquiry: it answers an inquiry, which repeats no information requests, and whose own echo names no request. A
            request is then known by the payer's numbers among `mine.names` as well (`identity.ours`).
    """
    try:
        interchanges = read(body)
    except NotX12 as error:
        kind = text(media_type or "", 60)
        return (unreadable(str(error) if kind is None else f"{error} (sent as {kind})"),)
    answers = [
        (interchange, group, transaction)
        for interchange in interchanges
        for group in interchange.groups
        for transaction in group.transactions
        if transaction.set_id == "278"
    ]
    if not answers:
        others = {
            f"{t.set_id} ({SETS[t.set_id]})" if t.set_id in SETS else t.set_id
            for i in interchanges
            for t in i.transactions
            if _SET.fullmatch(t.set_id)
        }
        others |= {"TA1"} if any(i.acknowledgments for i in interchanges) else set()
        return (
            unreadable(f"It is not an answer to a request but {', '.join(sorted(others)[:5]) or 'an empty envelope'}."),
        )
    if len(answers) > MAX_ANSWERS:
        return (unreadable(f"It holds {len(answers)} answers."),)
    found = [
        decision
        for interchange, group, transaction in answers
        for decision in _Answer(interchange, group, transaction, mine, inquiry=inquiry).decisions(status)
    ]
    if len(found) > MAX_ANSWERS:
        return (unreadable(f"It holds {len(found)} answers."),)
    return tuple(found)


class _Common(TypedDict):
    """What every decision says, whatever it is."""

    errors: tuple[AnswerError, ...]
    trace: str | None
    member_id: str | None
    notes: tuple[str, ...]


class _Answer:
    """One transaction in the reading."""

    def __init__(
        self, interchange: Interchange, group: Group, transaction: Transaction, mine: Ours | None, *, inquiry: bool
    ) -> None:
        self._transaction = transaction
        self._guide = transaction.guide or group.guide
        self._mine = mine
        self._inquiry = inquiry
        self._levels: Levels = read_levels(transaction.segments, PARENTS)
        self._bht = next((one for one in self._levels.head if one.id == "BHT"), None)
        self._strays = any(p.code == "STRAY_SEGMENT" for p in (*group.problems, *interchange.problems))
        self._notes = [
            problem.sentence
            for problem in (*transaction.problems, *self._levels.problems, *group.problems, *interchange.problems)
        ]

    def decisions(self, status: int) -> list[Decision]:
        """One for each patient event; one for all where there is no event."""
        wrong = self._unusable()
        events = [level for level in self._levels.all if level.code == EVENT]
        if wrong is not None or not events:
            return [self._without_event(wrong)]
        if len(events) > MAX_ANSWERS:
            return [unreadable(f"It holds {len(events)} answers.")]
        decided = [self._decision(event, status, alone=len(events) == 1) for event in events]
        return [*decided, *self._refused_beside(events)]

    def _refused_beside(self, events: list[Level]) -> list[Decision]:
        """The rejections of other patients, for whom there is no event: each an answer of its own."""
        known = {level.place for event in events for level in self._levels.above(event)}
        found: list[Decision] = []
        for level in self._levels.all:
            errors = list(rejections(level)) if level.code in _PATIENTS and level.place not in known else []
            if errors:
                people = [one for one in (level, *self._levels.above(level)) if one.code == SUBSCRIBER]
                found.append(Decision(result=_rejected(errors), **self._common(errors, None, self._member(people), [])))
        return found

    def _unusable(self) -> str | None:
        """Why a transaction must not be relied on, whatever it decides; None where it may be."""
        if not self._transaction.closed:
            return "It is cut off: the transaction is not closed."
        if any(problem.code in _MISCOUNTED for problem in self._transaction.problems):
            return "It counts other segments than it holds: some may be lost."
        if self._strays:
            return "Segments stand outside of every transaction: some may have been torn off from this one."
        if not self._levels.is_sound and self._guide.startswith(OLDER_GUIDES):
            return "It follows an older edition (004010), whose levels are others: Vigil does not read it."
        if not self._levels.is_sound:
            return "Its levels do not hang together: it cannot be told whom it speaks of."
        if self._bht is not None and self._bht.get(2) in PURPOSES_OF_REQUESTS:
            return "It is a request or an inquiry, and no answer to one."
        elsewhere = [one for level in self._levels.all if level.code not in {EVENT, SERVICE} for one in level.segments]
        if any(one.id == "HCR" for one in (*self._levels.head, *elsewhere)):
            return "A decision stands where it is about no event and no line."
        outside = [one for level in self._levels.all if level.code != SERVICE for one in level.segments]
        if any(one.id not in SEGMENTS and one is not self._bht for one in (*self._levels.head, *outside)):
            return "It holds a segment that Vigil does not know, where a rejection may stand."
        if NOTIFICATION_GUIDE in self._guide:
            return "It answers a notification, and no request: nothing is decided by it."
        return None

    def _without_event(self, wrong: str | None) -> Decision:
        errors = [rejected(one, "transaction") for one in self._levels.head if one.id == "AAA"]
        errors += [error for level in self._levels.all for error in rejections(level)]
        trace, member = (
            self._named([], [], []),
            self._member([one for one in self._levels.all if one.code == SUBSCRIBER]),
        )
        common = self._common(errors, trace, member, [])
        if wrong is None and not errors:
            wrong = "It says nothing about any request."
        if wrong is not None:
            return Decision(result=Result.UNREADABLE, **_because(common, wrong))
        return Decision(result=_rejected(errors), **common)

    def _decision(self, event: Level, status: int, *, alone: bool) -> Decision:
        above = self._levels.above(event)
        lines = read_lines(event, self._levels, self._mine, inquiry=self._inquiry)
        outer = [rejected(one, "transaction") for one in self._levels.head if one.id == "AAA"]
        outer += [error for level in reversed(above) for error in rejections(level)] + list(lines.event.rejections)
        errors = [*outer, *lines.errors]
        trace = self._trace(lines, alone=alone)
        member = self._member([level for level in above if level.code == SUBSCRIBER])
        if self._mine is not None and trace == self._mine.trace:
            # Answers by different channels say more or less of the patient; about one request they shall read the same.
            member = member or self._mine.member_id
        notes = list(lines.notes)
        if any(line.decision in _TO_CALL_FOR for line in lines.all):
            notes = [*contacts((event, *above, *self._levels.under(event))), *notes]
        common = self._common(errors, trace, member, notes)
        wrong = None
        if outer and lines.decides:
            wrong = "It rejects the request and decides it at once."
        elif len(lines.all) > MAX_LINES:
            wrong = f"It decides {len(lines.all)} lines."
        elif lines.all and status >= HTTPStatus.BAD_REQUEST:
            wrong = f"It decides, and yet it was sent as an error (HTTP {status})."
        elif not lines.all and not errors:
            wrong = "It says nothing about any line."
        if wrong is not None:
            # Whatever it says of the lines that it names, nothing of it is to be relied on.
            named = [
                LineDecision(line=one.line, decision=Outcome.UNKNOWN, reasons=one.reasons)
                for one in (lines.all or lines.silent)[:MAX_LINES]
            ]
            return Decision(result=Result.UNREADABLE, lines=tuple(named), **_because(common, wrong))
        if not lines.all:
            return Decision(result=_rejected(errors), **common)
        return Decision(
            result=Result.DECIDED,
            lines=lines.all,
            numbers=_numbers(lines),
            asks=tuple(lines.asks),
            ending=_ending(lines),
            received=day(self._bht.get(4)) if self._bht is not None else None,
            **common,
        )

    def _common(self, errors: list[AnswerError], trace: str | None, member: str | None, notes: list[str]) -> _Common:
        extra = []
        if self._bht is not None and self._bht.get(6) == MORE_TO_FOLLOW:
            extra.append("The payer says that more is to follow.")
        if REQUEST_GUIDE not in self._guide and INQUIRY_GUIDE not in self._guide:
            extra.append("It follows another guide than those that Vigil knows.")
        return {
            "errors": tuple(dict.fromkeys(errors))[:MAX_ERRORS],
            "trace": trace,
            "member_id": member,
            "notes": _brief([*extra, *notes, *self._notes]),
        }

    def _trace(self, lines: Lines, *, alone: bool) -> str | None:
        event = lines.event
        numbers = [*event.administrative, *event.previous, *(event.action.numbers if event.action else ())]
        numbers += [number.value for line in lines.all for number in line.numbers] if self._inquiry else []
        echoes = list(event.echoes)
        if self._inquiry and self._mine is not None:
            # The echo of the inquiry itself names no request: what was found is then named by its lines.
            own = inquiry_trace(self._mine.trace).upper()
            echoes = [name for name in echoes if name.upper() != own] or lines.traces
        return self._named(echoes, [*event.references, *(numbers if self._inquiry else [])], lines.traces, alone=alone)

    def _named(self, echoes: list[str], others: list[str], of_lines: list[str], *, alone: bool = True) -> str | None:
        """Our identifier of the request where the answer is named after it; else the first echo that it gives.

        The reference of the whole (BHT03) and the traces of lines only count where the event echoes none.
        """
        reference = token(self._bht.get(3), _TRACE) if self._bht is not None and alone else None
        weak = [] if echoes else [*([reference] if reference else []), *of_lines]
        if self._mine is None:
            return next(iter([*echoes, *weak]), None)
        if any(name in self._mine.names for name in (*echoes, *others, *weak)):
            return self._mine.trace
        # Another reference in BHT03 is the payer's own, and says nothing about whose answer it is.
        return next(iter(echoes), None)

    def _member(self, subscribers: list[Level]) -> str | None:
        found = {
            member
            for level in subscribers
            for one in level.segments
            if one.is_("NM1", "IL") and (member := token(one.text(9))) is not None
        }
        member = found.pop() if len(found) == 1 else None
        if self._mine is not None and member is not None and member.upper() == self._mine.member_id.upper():
            return self._mine.member_id
        return member


def _rejected(errors: list[AnswerError]) -> Result:
    missing = all(error.code in NOT_FOUND for error in errors)
    return Result.NOT_FOUND if missing else Result.REJECTED


def _numbers(lines: Lines) -> tuple[Number, ...]:
    """The numbers of the whole. Certification only where something is authorized and nothing is still open."""
    event, outcomes = lines.event, [line.decision for line in lines.all]
    settled = any(o in AUTHORIZES for o in outcomes) and not any(o in _UNDECIDED for o in outcomes)
    given = typed(event.action) if event.action is not None else []
    if not settled:
        given = [Number(type=NumberType.ADMINISTRATIVE, value=number.value) for number in given]
    return distinct([*given, *event.references_as_numbers(number.value for number in given)])


def _ending(lines: Lines) -> Ending | None:
    """How a payer that cancels everything ended it, where it says why."""
    if not all(line.decision is Outcome.CANCELLED for line in lines.all):
        return None
    codes = [reason.code for line in lines.all for reason in line.reasons if reason.code]
    return next((ENDINGS[code] for code in codes if code in ENDINGS), None)


def _because(common: _Common, why: str) -> _Common:
    return {**common, "notes": _brief([why, *common["notes"]])}


def _brief(notes: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))[:MAX_NOTES]
