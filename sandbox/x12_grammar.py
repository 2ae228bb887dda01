"""Whether a transaction set has the loops and segments of its guide, in their order, and a right HL tree.

The first segment that does not belong where it stands ends the walk: what follows it could not be placed.
Codes are IK304 of the 999.
"""

from dataclasses import dataclass, field

from sandbox.x12_guides import Guide, Loop, Rule
from sandbox.x12_parse import Fault, Segment

UNRECOGNIZED, UNEXPECTED, MISSING, LOOP_TOO_OFTEN, TOO_OFTEN, OUT_OF_ORDER, ELEMENTS = "1", "2", "3", "4", "5", "7", "8"
PARENTS = {"20": ("",), "21": ("20",), "22": ("21",), "23": ("22",), "EV": ("22", "23"), "SS": ("EV",)}


@dataclass(frozen=True)
class Placed:
    """A segment in its loop. `position` counts from ST, which is 1; `path` is the loops around it, each with its turn."""

    segment: Segment
    position: int
    path: tuple[tuple[str, int], ...]

    @property
    def loop(self) -> str:
        """The innermost loop; empty in the header."""
        return self.path[-1][0] if self.path else ""

    def inside(self, loop: str) -> int:
        """Which turn of that loop the segment stands in, from 1; 0 when it is outside."""
        return next((turn for name, turn in self.path if name == loop), 0)


@dataclass
class Walk:
    """The segments between ST and SE, matched against a guide."""

    segments: tuple[Segment, ...]
    at: int = 0
    placed: list[Placed] = field(default_factory=list)
    expected: list[tuple[Rule, bool]] = field(default_factory=list)
    turns: dict[str, int] = field(default_factory=dict)

    def body(self, rules: tuple[Rule | Loop, ...], path: tuple[tuple[str, int], ...]) -> None:
        """Match what may follow, in order. Raises `_Wrong` at the first segment that is missing."""
        self.expected = []
        for entry in rules:
            rule = entry.head if isinstance(entry, Loop) else entry
            count = 0
            while count < rule.most and self._fits(rule):
                count += 1
                if isinstance(entry, Loop):
                    self.turns[entry.name] = self.turns.get(entry.name, 0) + 1
                    inner = (*path, (entry.name, self.turns[entry.name]))
                    self._take(inner)
                    self.body(entry.body, inner)
                else:
                    self._take(path)
            if rule.required and count == 0:
                raise _Wrong(self._missing(entry, path))
            self.expected.append((rule, count >= rule.most))

    def _here(self) -> Segment | None:
        return self.segments[self.at] if self.at < len(self.segments) else None

    def _fits(self, rule: Rule) -> bool:
        here = self._here()
        return here is not None and rule.fits(here.id, here.get(rule.at))

    def _take(self, path: tuple[tuple[str, int], ...]) -> None:
        self.placed.append(Placed(self.segments[self.at], self.at + 2, path))
        self.at += 1

    def _missing(self, entry: Rule | Loop, path: tuple[tuple[str, int], ...]) -> Fault:
        """The fault of a required segment that is not there, or that is there with a wrong qualifier."""
        rule, loop = (entry.head, entry.name) if isinstance(entry, Loop) else (entry, path[-1][0] if path else "")
        here = self._here()
        if here is not None and here.id == rule.id and rule.id != "HL":
            return Fault(rule.id, self.at + 2, loop, ELEMENTS, rule.at, 0, "7" if here.get(rule.at) else "1")
        return Fault(rule.id, self.at + 2, loop, MISSING)

    def leftover(self, guide: Guide) -> Fault | None:
        """The fault of the segment at which the walk stopped; None when all were placed."""
        here = self._here()
        if here is None:
            return None
        position = self.at + 2
        loop = self.placed[-1].loop if self.placed else ""
        rules = [(rule, full) for rule, full in self.expected if rule.id == here.id]
        if here.id not in _known(guide.body):
            return Fault(here.id, position, loop, UNRECOGNIZED)
        if here.id == "HL":
            return Fault("HL", position, loop, LOOP_TOO_OFTEN if self.turns else UNEXPECTED)
        matching = [full for rule, full in rules if rule.fits(here.id, here.get(rule.at))]
        if matching:
            return Fault(here.id, position, loop, TOO_OFTEN if any(matching) else OUT_OF_ORDER)
        if rules:
            rule = rules[0][0]
            return Fault(here.id, position, loop, ELEMENTS, rule.at, 0, "7" if here.get(rule.at) else "1")
        return Fault(here.id, position, loop, UNEXPECTED)


class _Wrong(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


def place(segments: tuple[Segment, ...], guide: Guide) -> tuple[list[Placed], list[Fault]]:
    """Every segment between ST and SE with its loop, and what is wrong with order, presence and the HL tree."""
    walk = Walk(segments)
    faults: list[Fault] = []
    try:
        walk.body(guide.body, ())
        stopped = walk.leftover(guide)
    except _Wrong as wrong:
        stopped = wrong.fault
    if stopped is not None:
        faults.append(stopped)
    return walk.placed, faults + _tree(walk.placed, complete=stopped is None)


def _tree(placed: list[Placed], *, complete: bool) -> list[Fault]:
    """HL01 counts from 1, HL02 names a level that may be the parent, HL04 says whether a child follows."""
    levels = [entry for entry in placed if entry.segment.id == "HL"]
    kinds: dict[str, str] = {"": ""}
    parents = {entry.segment.get(2) for entry in levels}
    faults: list[Fault] = []

    def wrong(entry: Placed, element: int, code: str = "7") -> None:
        faults.append(Fault("HL", entry.position, entry.loop, ELEMENTS, element, 0, code))

    for number, entry in enumerate(levels, 1):
        segment, kind = entry.segment, entry.segment.get(3)
        if segment.get(1) != str(number):
            wrong(entry, 1)
        if kinds.get(segment.get(2)) not in PARENTS.get(kind, ()) or _stale(levels[: number - 1], segment):
            wrong(entry, 2)
        if complete and segment.get(4) != ("1" if segment.get(1) in parents else "0"):
            wrong(entry, 4)
        kinds[segment.get(1)] = kind
    return faults


def _stale(before: list[Placed], segment: Segment) -> bool:
    """Whether the parent that is named is not the nearest level above."""
    above = PARENTS.get(segment.get(3), ())
    nearest = next((entry.segment.get(1) for entry in reversed(before) if entry.segment.get(3) in above), "")
    return segment.get(2) != nearest


def _known(rules: tuple[Rule | Loop, ...]) -> set[str]:
    known: set[str] = set()
    for entry in rules:
        known |= {entry.head.id} | _known(entry.body) if isinstance(entry, Loop) else {entry.id}
    return known
