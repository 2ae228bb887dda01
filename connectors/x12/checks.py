"""What is looked at before a transaction of ours is sent: whatever would come back as rejected.

Each finding names the field in the practice's words, what is wrong, and what to do. No finding holds the value itself.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from connectors.x12.hl import read_levels
from connectors.x12.segments import Segment, written
from connectors.x12.values import day
from connectors.x12.words import ELEMENTS, EVENT, LENGTHS, PARENTS, SERVICE, WHO
from domain.base import Frozen, Sentence
from domain.order import luhn_valid

_NPI = re.compile(r"[0-9]{10}")
_ICD10 = re.compile(r"[A-Z][0-9][0-9A-Z]{1,5}")
_DAY = re.compile(r"[0-9]{8}")
_TAXONOMY = re.compile(r"[0-9]{2}[0-9A-Z]{7}X")
_POSTAL = re.compile(r"[0-9]{5}([0-9]{4})?")
_DOCUMENTS = 10
"""PWK segments at one level."""
_OLDEST = 130
"""Years: nobody is older."""
_AHEAD = timedelta(days=3 * 366)
"""No service is asked for that far in the future."""
_BEHIND = timedelta(days=3 * 366)


class Finding(Frozen):
    """One thing that would keep a message from being taken up."""

    field: str
    where: str
    """Segment and element, as `NM109 of loop 2010B`."""
    problem: Sentence
    remedy: Sentence


def check(body: Sequence[Segment], today: date) -> tuple[Finding, ...]:
    """Look at the body of a 278 of ours, a request or an inquiry. `today` is the day by which dates are sensible."""
    return tuple(_Inspection(body, today).findings())


class _Inspection:
    """One pass over a body, which knows whom a segment speaks of."""

    def __init__(self, body: Sequence[Segment], today: date) -> None:
        self._body = body
        self._today = today
        self._levels = read_levels(body, PARENTS)
        self._born: date | None = None

    def findings(self) -> Iterator[Finding]:
        for problem in self._levels.problems:
            yield Finding(
                field="levels", where=f"segment {problem.segment}", problem=problem.sentence, remedy="Build it anew."
            )
        yield from self._elements("transaction", self._levels.head)
        for level in self._levels.all:
            who = {EVENT: "request", SERVICE: "service line"}.get(level.code, "party")
            for one in level.segments:
                who = WHO.get(one.get(1), "provider") if one.id == "NM1" else who
                yield from self._elements(who, [one])
                yield from self._segment(who, one)
            documents = sum(one.id == "PWK" for one in level.segments)
            if documents > _DOCUMENTS:
                yield Finding(
                    field="documents",
                    where="PWK",
                    problem=f"{documents} documents go along, and a 278 names ten.",
                    remedy="Put several documents into one.",
                )

    def _elements(self, who: str, segments: Sequence[Segment]) -> Iterator[Finding]:
        for one in segments:
            for position, element in enumerate(one.elements, start=1):
                name = ELEMENTS.get((one.id, position), f"{one.id}{position:02}")
                where = f"{one.id}{position:02}"
                if not all(written(part) for parts in element for part in parts):
                    yield Finding(
                        field=f"{who}: {name}",
                        where=where,
                        problem="It holds a character that X12 does not have, or a delimiter.",
                        remedy="Write it with letters, digits and the usual signs, without * : ^ ~.",
                    )
                longest = LENGTHS.get((one.id, position))
                if longest is not None and len(one.text(position)) > longest:
                    yield Finding(
                        field=f"{who}: {name}",
                        where=where,
                        problem=f"It is longer than {longest} characters.",
                        remedy="Shorten it, or use another channel.",
                    )

    def _segment(self, who: str, one: Segment) -> Iterator[Finding]:
        match one.id:
            case "NM1":
                yield from self._name(who, one)
            case "N4":
                if not _POSTAL.fullmatch(one.get(3)):
                    yield _wrong(f"{who}: postal code", "N403", "It has neither five nor nine digits.", "Correct it.")
            case "PRV":
                if not _TAXONOMY.fullmatch(one.get(3)):
                    yield _wrong(
                        f"{who}: taxonomy",
                        "PRV03",
                        "It is no provider taxonomy code: ten characters with X at the end.",
                        "Look it up in the NPI registry.",
                    )
            case "DMG":
                yield from self._birth(who, one)
            case "HI":
                yield from self._diagnoses(one)
            case "DTP":
                yield from self._dates(who, one)
            case "SV1":
                units = one.get(4)
                if units and not (units.isascii() and units.isdigit() and int(units) > 0):
                    yield _wrong("service line: units", "SV104", "It is no number of units.", "Give a whole number.")

    def _name(self, who: str, one: Segment) -> Iterator[Finding]:
        if not one.get(3):
            yield _wrong(
                f"{who}: name",
                "NM103",
                "Nothing is left of it in the character set of X12.",
                "Write it in Latin letters.",
            )
        npi = one.get(8) == "XX"
        if npi and not (_NPI.fullmatch(one.get(9)) and luhn_valid(one.get(9))):
            yield _wrong(
                f"{who}: NPI",
                "NM109",
                "It is no NPI: ten digits with a check digit.",
                "Look it up in the NPI registry.",
            )
        if one.get(8) and not one.get(9):
            yield _wrong(f"{who}: id", "NM109", "It is missing.", "Fill it in.")

    def _birth(self, who: str, one: Segment) -> Iterator[Finding]:
        born = day(one.get(2))
        if born is None or not self._today.year - _OLDEST <= born.year or born > self._today:
            yield _wrong(
                f"{who}: date of birth",
                "DMG02",
                "It is no day on which somebody alive was born.",
                "Correct it in the chart.",
            )
        # The patient comes last: theirs is the date that services are compared with.
        self._born = born

    def _diagnoses(self, one: Segment) -> Iterator[Finding]:
        for position in range(1, len(one.elements) + 1):
            if one.get(position).startswith("AB") and not _ICD10.fullmatch(one.get(position, 2)):
                yield _wrong(
                    "diagnosis",
                    f"HI{position:02}",
                    "It is no ICD-10-CM code without its dot.",
                    "Choose the code anew.",
                )

    def _dates(self, who: str, one: Segment) -> Iterator[Finding]:
        said = one.get(3).split("-") if one.get(2) == "RD8" else [one.get(3)]
        days = [day(part) for part in said]
        known = [day for day in days if day is not None]
        field = f"{who}: date {one.get(1)}"
        if len(known) != len(days) or len(days) != (2 if one.get(2) == "RD8" else 1):
            yield _wrong(field, "DTP03", "It is no date, or no span of dates.", "Correct it.")
            return
        if known != sorted(known):
            yield _wrong(field, "DTP03", "It ends before it begins.", "Correct it.")
        if self._born is not None and known[0] < self._born:
            yield _wrong(field, "DTP03", "It is before the patient was born.", "Correct it.")
        if not self._today - _BEHIND <= known[0] or known[-1] > self._today + _AHEAD:
            yield _wrong(field, "DTP03", "It is years away.", "Correct it.")


def _wrong(field: str, where: str, problem: str, remedy: str) -> Finding:
    return Finding(field=field, where=where, problem=problem, remedy=remedy)
