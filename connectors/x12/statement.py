"""What one level of an answer states: the action, numbers, dates, units, remarks, rejections, and what it asks for.

Source: 005010X217 and X215 as published examples show them; X12 306, 886, 901. Only an action code that stands alone and
is known can approve anything; two that differ, or one that is not known, are `unknown`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from connectors.codes import OUTCOMES, QUESTIONNAIRE, REASONS
from connectors.rejections import rejection
from connectors.review import Action
from connectors.x12.hl import Level
from connectors.x12.segments import Segment
from connectors.x12.values import Span, span, text, token, whole
from connectors.x12.words import (
    COUNTED,
    EFFECTIVE,
    EXPIRES,
    LOINC_ASKED,
    LOINC_SYSTEM,
    LOOPS,
    PAYERS,
    PLACES,
    PREVIOUS,
    REASON_SYSTEM,
    REFERRAL_NUMBER,
    REPORT_SYSTEM,
    REPORTS,
    SEGMENTS,
    WHO,
)
from domain.decision import AnswerError, Number, NumberType, Outcome, Reason

MAX_REASONS = 8
MAX_ASKED = 10
_TEXT = 500
_PWK_NUMBER = "AC"


@dataclass(frozen=True)
class Asked:
    """One thing that a payer wants to see, and the number to send it under where it gives one."""

    what: Reason
    control_number: str | None = None


@dataclass(frozen=True)
class Statement:
    """What a level states about itself; `notes` are for a person."""

    action: Action | None
    echoes: tuple[str, ...]
    """TRN02 where TRN01 is 2: a trace number of ours."""
    references: tuple[str, ...]
    """TRN02 otherwise: a number of the payer's own."""
    administrative: tuple[str, ...]
    """REF*NT: never billable."""
    previous: tuple[str, ...]
    """REF*BB: an earlier authorization. REF*G1 is taken for one too: no 278 of the guide has it."""
    referrals: tuple[str, ...]
    """REF*9F: a referral number, which the guide's 278 does not have either."""
    dates: Mapping[str, Span]
    """By X12 374; without days where they cannot be read."""
    units: int | None
    procedure: str | None
    remarks: tuple[str, ...]
    rejections: tuple[AnswerError, ...]
    asked: tuple[Asked, ...]
    is_strange: bool
    """Whether it holds a segment that no 278 has: perhaps a decision that nobody can read."""
    notes: tuple[str, ...]

    def period(self) -> Span:
        """When a certification begins and ends (007, 036); nothing where that contradicts itself."""
        begin, end = self.dates.get(EFFECTIVE), self.dates.get(EXPIRES)
        first = begin[0] if begin else None
        last = end[1] if end else (begin[1] if begin and begin[1] != begin[0] else None)
        return (None, None) if first and last and last < first else (first, last)

    def references_as_numbers(self, certified: Iterable[str]) -> list[Number]:
        """The payer's numbers beside the action's own: none of them is billable."""
        known = set(certified)
        given = [(NumberType.ADMINISTRATIVE, value) for value in (*self.previous, *self.administrative)]
        given += [(NumberType.REFERRAL, value) for value in self.referrals]
        given += [(NumberType.TRANSACTION, value) for value in self.references]
        return [Number(type=kind, value=value) for kind, value in given if value not in known]

    def context(self) -> str | None:
        """The trace number by which a questionnaire is asked for: the payer's own before our echo."""
        return next(iter((*self.references, *self.echoes)), None)


def read_statement(level: Level) -> Statement:
    """Read a level of an answer. Segments of its parties, which begin with the first NM1, are not taken for its own."""
    notes: list[str] = []
    own, _ = divide(level.segments)
    everywhere = level.segments
    units, procedure = _service(everywhere, notes)
    return Statement(
        action=_action([one for one in everywhere if one.id == "HCR"], notes),
        echoes=_tokens(everywhere, "TRN", 2, lambda one: one.get(1) == "2"),
        references=_tokens(everywhere, "TRN", 2, lambda one: one.get(1) != "2"),
        administrative=_tokens(own, "REF", 2, lambda one: one.get(1) == "NT"),
        previous=_tokens(own, "REF", 2, lambda one: one.get(1) in PREVIOUS),
        referrals=_tokens(own, "REF", 2, lambda one: one.get(1) == REFERRAL_NUMBER),
        dates=_dates(everywhere, notes),
        units=units,
        procedure=procedure,
        remarks=tuple(said for one in everywhere if one.id == "MSG" and (said := text(one.text(1), _TEXT))),
        rejections=rejections(level),
        asked=_asked(everywhere),
        is_strange=any(one.id not in SEGMENTS for one in everywhere),
        notes=tuple(notes),
    )


def divide(segments: tuple[Segment, ...]) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Return a level's own segments, and those of the parties that it names."""
    first = next((place for place, one in enumerate(segments) if one.id == "NM1"), len(segments))
    return segments[:first], segments[first:]


def rejections(level: Level) -> tuple[AnswerError, ...]:
    """Return why a level was not taken up (AAA), each with the loop where it stands: nothing was decided by it."""
    letter, place = LOOPS.get(level.code, "?"), PLACES.get(level.code, "level")
    loop, who, found = "2000", place, []
    for one in level.segments:
        if one.id == "NM1":
            loop, who = "2010", WHO.get(one.get(1), place)
        elif one.id == "AAA":
            found.append(rejected(one, f"{loop}{letter}, {who}"))
    return tuple(found)


def rejected(aaa: Segment, where: str) -> AnswerError:
    """Return an AAA as an error: reason and follow-up verbatim, beside their meaning."""
    return rejection(token(aaa.get(3), 30), where, token(aaa.get(4), 30))


def contacts(levels: Iterable[Level]) -> list[str]:
    """Return whom to call at the payer's (PER), as sentences: who, and each way with its kind as X12 365 codes it."""
    found: list[str] = []
    for level in levels:
        who = ""
        for one in level.segments:
            who = one.get(1) if one.id == "NM1" else who
            if one.id == "PER" and who in PAYERS:
                ways = [(one.get(place), one.text(place + 1)) for place in (3, 5, 7)]
                said = [one.text(2), *(f"{kind} {number}" for kind, number in ways if number.strip())]
                if words := text(", ".join(part for part in said if part.strip()), _TEXT):
                    found.append(f"Whom to call at the payer's: {words}.")
    return found


def _tokens(segments: Iterable[Segment], id_: str, position: int, fits: Callable[[Segment], bool]) -> tuple[str, ...]:
    found = [token(one.text(position)) for one in segments if one.id == id_ and fits(one)]
    return tuple(dict.fromkeys(value for value in found if value is not None))


def _action(found: list[Segment], notes: list[str]) -> Action | None:
    actions = [_one_action(one, notes) for one in found]
    if not actions:
        return None
    first = actions[0]
    reasons = tuple(dict.fromkeys(reason for action in actions for reason in action.reasons))[:MAX_REASONS]
    numbers = tuple(dict.fromkeys(number for action in actions for number in action.numbers))
    if any(action.code != first.code for action in actions):
        notes.append("The answer gives one line several decisions that differ.")
        codes = "/".join(dict.fromkeys(action.code for action in actions if action.code))
        return Action(Outcome.UNKNOWN, text(codes, 30), numbers, reasons)
    return Action(first.outcome, first.code, numbers, reasons)


def _one_action(hcr: Segment, notes: list[str]) -> Action:
    said = hcr.text(1).strip()
    outcome = OUTCOMES.get(said, Outcome.UNKNOWN)
    if outcome is Outcome.UNKNOWN:
        notes.append("A decision is not given by a code of X12's own list that Vigil knows.")
    number = token(hcr.text(2))
    if number is None and hcr.text(2).strip():
        notes.append("A number of the payer's is too long to be one, and was left out.")
    codes = [token(parts[0], 30) for parts in hcr.repetitions(3)]
    reasons = tuple(Reason(code=code, system=REASON_SYSTEM, text=REASONS.get(code)) for code in codes if code)
    return Action(outcome, text(said, 30), (number,) if number else (), reasons[:MAX_REASONS])


def _dates(segments: tuple[Segment, ...], notes: list[str]) -> dict[str, Span]:
    found: dict[str, Span] = {}
    for one in segments:
        if one.id != "DTP":
            continue
        read = span(one)
        if read is None:
            notes.append("A date of the answer cannot be read.")
            found.setdefault(one.get(1), (None, None))
        elif found.setdefault(one.get(1), read) != read:
            notes.append("The answer gives a date twice, and differently; the first counts.")
    return found


def _service(segments: tuple[Segment, ...], notes: list[str]) -> tuple[int | None, str | None]:
    """Units and procedure of a service line. Of two quantities that differ, the smaller one is sure."""
    counts: list[int] = []
    procedure: str | None = None
    for one in segments:
        match one.id:
            case "SV1":
                code, basis, count = 1, one.get(3), one.get(4)
            case "SV2":
                code, basis, count = 2, one.get(4), one.get(5)
            case "SV3":
                code, basis, count = 1, "", one.get(6)
            case "HSD":
                # With a pattern (HSD03 on) it is so many a week or a month, and no total.
                code, basis, count = 0, "a pattern" if one.get(3) else one.get(1), one.get(2)
            case _:
                continue
        procedure = procedure or (token(one.get(code, 2), 20) if code else None)
        units = whole(count) if basis in COUNTED else None
        if units is not None:
            counts.append(units)
        elif count:
            notes.append("A quantity of the answer is no plain number of units; read it as it came.")
    if len(set(counts)) > 1:
        notes.append("The answer gives two quantities; the smaller one counts.")
    return min(counts, default=None), procedure


def _asked(segments: tuple[Segment, ...]) -> tuple[Asked, ...]:
    found: list[Asked] = []
    for one in segments:
        if one.id == "PWK" and (code := token(one.get(1), 30)) is not None:
            control = token(one.get(6)) if one.get(5) in {_PWK_NUMBER, ""} else None
            said = text(one.text(7), _TEXT) or REPORTS.get(code)
            found.append(Asked(Reason(code=code, system=REPORT_SYSTEM, text=said), control))
        if one.id == "HI":
            codes = [
                token(one.get(position, 2), 30)
                for position in range(1, len(one.elements) + 1)
                if one.get(position) == LOINC_ASKED
            ]
            for loinc in codes:
                label = "A questionnaire (DTR) is to be filled in." if loinc == QUESTIONNAIRE else None
                found += [Asked(Reason(code=loinc, system=LOINC_SYSTEM, text=label))] if loinc else []
    return tuple(found[:MAX_ASKED])
