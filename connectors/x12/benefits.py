"""Read a 271 (005010X279A1, and older ones as far as they say the same): whether an insurance holds and what it pays.

What benefits mean is `connectors.eligibility`'s to say, whichever way they come; this finds the patient whom we asked
about and hands over what is said of them. It never raises on content. Rejections (AAA) come before benefits; what is
cut off, counts other segments than it holds, or is about somebody else is unclear: never active.
Source: X12 271 as in public examples; levels HL03 20, 21, 22, 23; EB, AAA, DTP by element.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import takewhile
from types import MappingProxyType
from typing import Any

from connectors.eligibility import Eligibility, meaning, rejected
from connectors.rejections import rejection
from connectors.x12 import envelope
from connectors.x12.acknowledgment import read_acknowledgments
from connectors.x12.envelope import Transaction
from connectors.x12.segments import NotX12, Segment
from domain.base import Frozen, Key
from domain.decision import AnswerError
from domain.facts import CoverageStatus
from domain.order import Category

MAX_ERRORS = 10
_SOURCE, _RECEIVER, _SUBSCRIBER, _DEPENDENT = "20", "21", "22", "23"
_LETTERS = MappingProxyType({_SOURCE: "A", _RECEIVER: "B", _SUBSCRIBER: "C", _DEPENDENT: "D"})
_PEOPLE = frozenset({"IL", "03", "QC"})
_ECHO = "2"
"""TRN01: the number that the one who asked gave."""
_DATES = MappingProxyType(
    {
        "291": "plan",
        "307": "eligibility",
        "346": "planBegin",
        "347": "planEnd",
        "356": "eligibilityBegin",
        "357": "eligibilityEnd",
    }
)
"""X12 374 (DTP01) of the dates of a plan."""
_KNOWN = frozenset(
    "AAA BHT DMG DTP EB HI HL HSD III INS LE LS MPI MSG N3 N4 NM1 PER PRV REF TRN".split()  # noqa: SIM905 - read at a glance
)
"""The segments of a 271. With any other in it, it cannot be said what else was changed."""


class Asked(Frozen):
    """Whom we asked about, and by which trace number."""

    trace: Key | None = None
    member_id: Key
    family_name: Key
    given_name: Key
    birth_date: date
    is_subscriber: bool = True
    procedures: tuple[str, ...] = ()
    """Codes of what was ordered."""


@dataclass
class _Level:
    """One HL with what follows it up to the next. The level before the first is the header."""

    code: str = ""
    id: str = ""
    parent: str = ""
    segments: list[Segment] = field(default_factory=list)
    subscriber: "_Level | None" = None
    """Of a dependent: the subscriber that it stands under, where what it says of that fits."""

    @property
    def person(self) -> Segment | None:
        """Who it is about: the first name of a patient in it."""
        return next((s for s in self.segments if s.id == "NM1" and s.get(1) in _PEOPLE), None)

    @property
    def is_nobody(self) -> bool:
        """Whether it names no one at all."""
        name = self.person
        return name is None or not (name.get(3) or name.get(4) or name.get(9))

    def same_member(self, asked: Asked) -> bool | None:
        """Whether its member id is the one that was asked about; None where it has none."""
        name = self.person
        said = _bare(name.get(9)) if name is not None else ""
        return said == _bare(asked.member_id) if said else None

    def same_person(self, asked: Asked) -> bool | None:
        """Whether name and birth date are the patient's; None where too little is said."""
        name = self.person
        born = next((s.get(2) for s in self.segments if s.id == "DMG" and s.get(2)), "")
        if born and born != f"{asked.birth_date:%Y%m%d}":
            return False
        names = (name.get(3), name.get(4)) if name is not None else ("", "")
        pairs = [(said, ours) for said, ours in zip(names, (asked.family_name, asked.given_name), strict=True) if said]
        fits = [_bare(said).startswith(_bare(ours)[:10]) or _bare(ours).startswith(_bare(said)) for said, ours in pairs]
        if pairs and not any(fits):
            return False
        return True if born or (len(fits) > 1 and all(fits)) else None

    def echoes(self, asked: Asked) -> bool | None:
        """Whether it gives back our trace number; None where it gives back none."""
        given = [s.get(2).upper() for s in self.segments if s.is_("TRN", _ECHO)]
        return asked.trace.upper() in given if asked.trace and given else None


@dataclass
class _Found:
    """One 271, with the levels in it that are about our patient."""

    transaction: Transaction
    levels: list[_Level]
    patients: list[_Level]
    cut: bool


def read_benefits(body: bytes, category: Category, asked: Asked | None = None) -> Eligibility:
    """Read an answer to a 270 about `asked`; without it, about the only patient that the answer names."""
    try:
        interchanges = envelope.read(body)
    except NotX12:
        return _unclear("NOT_X12", "The answer is no X12 that can be read.")
    found = [
        _Found(transaction, levels, _patients(levels, asked), any(p.code == "CUT_OFF" for p in interchange.problems))
        for interchange in interchanges
        for transaction in interchange.transactions
        if transaction.set_id == "271"
        for levels in (_levels(transaction.segments),)
    ]
    if not found:
        return _no_271(body)
    about = [one for one in found if one.patients] if len(found) > 1 else found
    if len(about) != 1 or len(about[0].patients) > 1:
        return _unclear("NOT_ONE", "The answer is about other people too, and it cannot be told which part is ours.")
    (one,) = about
    errors = _errors(one.levels, one.patients)
    if errors:
        return rejected(errors)
    if not one.patients:
        return _unclear("NOT_OURS", "The answer is about somebody else, or does not say about whom.")
    if one.cut or one.transaction.problems or any(s.id not in _KNOWN for s in one.transaction.segments):
        return _unclear("BROKEN", "The answer is broken off, or holds other segments than it counts or may hold.")
    patient = one.patients[0]
    understood = meaning(_shape(patient, asked.procedures if asked else ()), category)
    if understood is None or not any(s.id == "EB" for s in patient.segments):
        return _unclear("NO_BENEFITS", "The answer names neither benefits nor a reason why not.")
    return understood


def _no_271(body: bytes) -> Eligibility:
    refusals = [one for one in read_acknowledgments(body) if not one.accepted]
    if not refusals:
        return _unclear("NO_271", "The answer holds no 271.")
    return Eligibility(status=CoverageStatus.UNCLEAR, errors=refusals[0].answer_errors)


def _unclear(code: str, sentence: str) -> Eligibility:
    return Eligibility(status=CoverageStatus.UNCLEAR, errors=(AnswerError(code=code, text=sentence),))


def _levels(segments: Sequence[Segment]) -> list[_Level]:
    """The levels in order, header first. A dependent stands under the subscriber before it, unless it says otherwise."""
    levels = [_Level()]
    subscriber: _Level | None = None
    for segment in segments:
        if segment.id != "HL":
            levels[-1].segments.append(segment)
            continue
        level = _Level(segment.get(3), segment.get(1), segment.get(2))
        if level.code == _SUBSCRIBER:
            subscriber = level
        elif level.code == _DEPENDENT:
            fits = subscriber is not None and (not level.parent or level.parent == subscriber.id)
            level.subscriber = subscriber if fits else None
        else:
            subscriber = None
        levels.append(level)
    return levels


def _patients(levels: list[_Level], asked: Asked | None) -> list[_Level]:
    """The levels that are about our patient: one, in an answer that is as it should be."""
    dependents = [level for level in levels if level.code == _DEPENDENT]
    subscribers = [level for level in levels if level.code == _SUBSCRIBER]
    if asked is None:
        above = [level.subscriber for level in dependents]
        return [*dependents, *(level for level in subscribers if not any(level is one for one in above))]
    if asked.is_subscriber:
        return [level for level in subscribers if _is_ours(level, level, asked)]
    # Some payers know a dependent by a number of their own, and answer as for a subscriber.
    return [
        level for level in dependents if level.subscriber is not None and _is_ours(level, level.subscriber, asked)
    ] or [level for level in subscribers if level.same_person(asked) and _is_ours(level, level, asked)]


def _is_ours(level: _Level, insured: _Level, asked: Asked) -> bool:
    """Whether a level is about our patient: nothing objects, and member id or trace number say so."""
    person, member, echo = level.same_person(asked), insured.same_member(asked), level.echoes(asked)
    if person is False or echo is False or (level is not insured and not person and not echo):
        return False
    if member is False:
        # A payer may correct a member id; then it takes the trace number and the person to be sure.
        return bool(echo and person)
    return bool(member or echo)


def _errors(levels: list[_Level], patients: list[_Level]) -> tuple[AnswerError, ...]:
    """The rejections that concern us: of the whole, of those who ask and answer, of our patient and of nobody named."""
    ours: list[_Level] = [*patients, *(p.subscriber for p in patients if p.subscriber is not None)]
    found: dict[tuple[str, str, str], AnswerError] = {}
    for level in levels:
        person = level.code in {_SUBSCRIBER, _DEPENDENT}
        if person and not level.is_nobody and not any(level is one for one in ours):
            continue
        letter = _LETTERS.get(level.code, "")
        place = f"2000{letter}" if letter else "header"
        for segment in level.segments:
            if segment.id == "NM1" and letter:
                place = f"2100{letter}"
            elif segment.id == "EB" and person:
                place = f"2110{letter}"
            elif segment.id == "AAA":
                code, follow = segment.get(3)[:30], segment.get(4)[:30]
                found.setdefault((place, code, follow), rejection(code or None, place, follow or None))
    return tuple(found.values())[:MAX_ERRORS]


def _shape(patient: _Level, procedures: Sequence[str]) -> dict[str, Any]:
    """What is said of a patient, in the shape that eligibility is read from: EB by EB, with the dates of the plan."""
    lines: list[dict[str, Any]] = []
    dates: dict[str, str] = {}
    for level in (patient.subscriber, patient):
        # What stands behind the first benefit is that benefit's.
        before = takewhile(lambda s: s.id != "EB", level.segments if level is not None else [])
        dates |= {_DATES[s.get(1)]: s.text(3) for s in before if s.id == "DTP" and s.get(1) in _DATES}
    line: dict[str, Any] | None = None
    for segment in patient.segments:
        if segment.id == "EB":
            line = _line(segment, procedures)
            lines += [line] if line is not None else []
        elif segment.id == "LS":
            line = None
        elif segment.id == "MSG" and line is not None:
            line["additionalInformation"].append({"description": segment.text(1)})
    return {"benefitsInformation": lines, "planDateInformation": dates}


def _line(eb: Segment, procedures: Sequence[str]) -> dict[str, Any] | None:
    """One benefit; None where it speaks of a procedure that was not ordered."""
    procedure = eb.get(13, 2)
    if procedure and procedure not in procedures:
        return None
    return {
        "code": eb.get(1),
        "coverageLevelCode": eb.get(2) or None,
        "serviceTypeCodes": [said for parts in eb.repetitions(3) if (said := parts[0].strip())],
        "planCoverage": eb.text(5),
        "timeQualifierCode": eb.get(6) or None,
        "benefitAmount": eb.get(7) or None,
        "benefitPercent": eb.get(8) or None,
        "authOrCertIndicator": eb.get(11) or None,
        "inPlanNetworkIndicatorCode": eb.get(12) or None,
        "additionalInformation": [],
    }


def _bare(name: str) -> str:
    """A name or number as it is compared: letters and digits only, capitals, without accents."""
    folded = unicodedata.normalize("NFKD", name)
    return "".join(sign for sign in folded if sign.isalnum() and sign.isascii()).upper()
