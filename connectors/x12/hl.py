"""The levels of a transaction (HL): who stands under whom, and whether that holds together.

A level stands under one that came before it. What does not is found and listed, and stands under none: whoever reads on
decides what that is worth. Source: X12.6; which level may stand under which is the guide's, and is given.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.x12.segments import Problem, Segment

BROKEN = frozenset({"HL_DANGLING", "HL_CYCLE", "HL_AMBIGUOUS", "HL_WRONG_PARENT", "HL_UNKNOWN_LEVEL"})
"""Problems by which it cannot be told whom a level speaks of; the others are formal."""

_MOST_OF_A_KIND = 10
"""Problems of one kind that are listed."""


@dataclass(frozen=True)
class Level:
    """One level with its segments, from after its HL to before the next."""

    place: int
    """Among the levels of the transaction, from 0."""
    id: str
    """HL01."""
    code: str
    """HL03."""
    parent: int | None
    """The place of the level that it stands under; None for the first, and where that cannot be told."""
    hl: Segment
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Levels:
    """The levels of a transaction in order; `head` is what stands before the first."""

    head: tuple[Segment, ...]
    all: tuple[Level, ...]
    problems: tuple[Problem, ...]

    @property
    def is_sound(self) -> bool:
        """Whether it can be told of every level whom it speaks of."""
        return not any(problem.code in BROKEN for problem in self.problems)

    def above(self, level: Level) -> tuple[Level, ...]:
        """Return the levels that one stands under, the nearest first."""
        found: list[Level] = []
        at = level.parent
        while at is not None:
            found.append(self.all[at])
            at = self.all[at].parent
        return tuple(found)

    def under(self, level: Level) -> tuple[Level, ...]:
        """Return the levels that stand directly under one, in order."""
        return tuple(one for one in self.all if one.parent == level.place)


def read_levels(segments: Sequence[Segment], parents: Mapping[str, frozenset[str]]) -> Levels:
    """Read and check the levels. `parents` says under which level codes each may stand; "" stands for none."""
    starts = [place for place, one in enumerate(segments) if one.id == "HL"]
    ends = [*starts[1:], len(segments)] if starts else []
    ids = [segments[start].get(1) for start in starts]
    wanted = [segments[start].get(2) for start in starts]
    problems: list[Problem] = []
    levels: list[Level] = []

    counts: Counter[str] = Counter()

    def note(code: str, sentence: str, start: int) -> None:
        counts[code] += 1
        if counts[code] <= _MOST_OF_A_KIND:
            problems.append(Problem(code=code, sentence=sentence, segment=start + 1))

    last: dict[str, int] = {}
    seen: dict[str, int] = {}
    targets = set(wanted) - {""}
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        hl = segments[start]
        code = hl.get(3)
        parent = last.get(wanted[place]) if wanted[place] else None
        if wanted[place] and parent is None:
            few = counts["HL_CYCLE"] + counts["HL_DANGLING"] < _MOST_OF_A_KIND
            if few and _goes_round(place, ids, wanted):
                note("HL_CYCLE", "Levels stand under one another in a circle.", start)
            else:
                note("HL_DANGLING", "A level stands under one that does not come before it.", start)
        elif parent is not None and seen[wanted[place]] > 1:
            note("HL_AMBIGUOUS", "A level stands under a number that several levels have.", start)
        if not ids[place]:
            note("HL_NO_ID", "A level has no number.", start)
        elif ids[place] in last:
            note("HL_DUPLICATE", "Two levels have the same number.", start)
        if code not in parents:
            note("HL_UNKNOWN_LEVEL", "A level is of a kind that does not belong here.", start)
        elif (levels[parent].code if parent is not None else "") not in parents[code] and not (
            wanted[place] and parent is None
        ):
            note("HL_WRONG_PARENT", "A level stands under one of the wrong kind.", start)
        if hl.get(4) in {"0", "1"} and (hl.get(4) == "1") != (ids[place] in targets):
            note("HL_CHILDREN", "A level says wrongly whether others stand under it.", start)
        if ids[place]:
            last[ids[place]] = place
            seen[ids[place]] = seen.get(ids[place], 0) + 1
        levels.append(Level(place, ids[place], code, parent, hl, tuple(segments[start + 1 : end])))
    head = tuple(segments[: starts[0]]) if starts else tuple(segments)
    return Levels(head, tuple(levels), tuple(problems))


def _goes_round(place: int, ids: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether going up from a level comes back to it."""
    by_id = dict(zip(ids, wanted, strict=True))
    at, seen = ids[place], set[str]()
    while at and at not in seen:
        seen.add(at)
        at = by_id.get(at, "")
    return bool(at) and at == ids[place]
