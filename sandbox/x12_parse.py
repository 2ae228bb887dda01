"""X12 from bytes to one transaction set, as strict as an acknowledging system: what cannot be opened is a TA1 or a 999.

The sandbox takes one functional group with one transaction set in an interchange. Binary data (BIN, BDS) is framed by
its declared length. TA1 codes are TA105, set and group codes are IK502 and AK905 of the 999 (005010X231A1).
"""

import re
from dataclasses import dataclass, field

ISA_LENGTH = 106
ISA_WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
BINARY = {"BIN": (1, 2), "BDS": (2, 3)}
VERSIONS = ("00501", "00602")
QUALIFIERS = frozenset({"01", "14", "20", "27", "28", "29", "30", "33", "ZZ"})
SEGMENT_LIMIT = 5000


class TA1Rejected(Exception):
    """The interchange cannot be opened; `code` is TA105, `isa` what could be read of its header."""

    def __init__(self, code: str, isa: "Segment | None") -> None:
        super().__init__(f"TA1 {code}")
        self.code = code
        self.isa = isa


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a transaction set, at its place.

    `position`: of the segment, ST is 1. `code`: IK304. `element`, `component`: counted from 1, 0 where the
    whole segment is meant. `element_code`: IK403.
    """

    segment: str
    position: int
    loop: str
    code: str
    element: int = 0
    component: int = 0
    element_code: str = ""


@dataclass
class Rejected(Exception):
    """The transaction set, or its group, is not accepted: faults by segment, IK502 and AK905 codes."""

    faults: list[Fault] = field(default_factory=list)
    set_codes: list[str] = field(default_factory=list)
    group_codes: list[str] = field(default_factory=list)
    opened: "Opened | None" = None


@dataclass(frozen=True)
class Delimiters:
    """What separates; segments end with `terminator`, which may be followed by line breaks."""

    element: str
    repetition: str
    component: str
    terminator: str


@dataclass(frozen=True)
class Segment:
    """A segment: `elements[0]` is element 1. `data` is the content of BIN02 or BDS03."""

    id: str
    elements: tuple[str, ...]
    component: str = ":"
    repetition: str = "^"
    data: bytes | None = None

    def get(self, position: int) -> str:
        """The element as it was sent; empty where there is none."""
        return self.elements[position - 1] if position <= len(self.elements) else ""

    def part(self, position: int, component: int) -> str:
        """A component of an element; empty where there is none."""
        parts = self.get(position).split(self.component)
        return parts[component - 1] if component <= len(parts) else ""

    def repeats(self, position: int) -> list[str]:
        """The repetitions of an element."""
        return self.get(position).split(self.repetition)


@dataclass(frozen=True)
class Opened:
    """An interchange whose envelope can be answered: its header, its group's header, and the transaction set from ST to SE."""

    delimiters: Delimiters
    isa: Segment
    gs: Segment
    segments: tuple[Segment, ...]

    @property
    def st(self) -> Segment:
        """The header of the transaction set."""
        return self.segments[0]

    @property
    def guide(self) -> str:
        """The implementation guide, by GS08."""
        return self.gs.get(8)


def open_interchange(body: bytes) -> Opened:
    """Open the envelope. Raises TA1Rejected, or Rejected where the group or the set does not hold together."""
    text = body.decode("latin-1")
    isa, marks = _header(text)
    segments = _split(text, marks, isa)
    if [segment.id for segment in segments].count("ISA") or not segments or segments[-1].id != "IEA":
        raise TA1Rejected("023", isa)
    iea = segments.pop()
    if iea.get(2) != isa.get(13):
        raise TA1Rejected("001", isa)
    kinds = [segment.id for segment in segments]
    if not kinds:
        raise TA1Rejected("024", isa)
    if iea.get(1) != str(kinds.count("GS")) or kinds.count("GS") != 1:
        raise TA1Rejected("021", isa)
    if kinds[0] != "GS" or kinds.count("ST") > 1:
        raise TA1Rejected("024", isa)
    return _group(Opened(marks, isa, segments[0], tuple(segments[1:])))


def _header(text: str) -> tuple[Segment, Delimiters]:
    if not text.startswith("ISA") or len(text) < ISA_LENGTH:
        raise TA1Rejected("022", None)
    separator = text[3]
    elements = text[4:105].split(separator)
    isa = Segment("ISA", tuple(elements))
    if tuple(len(element) for element in elements) != ISA_WIDTHS:
        raise TA1Rejected("022", isa)
    marks = Delimiters(separator, isa.get(11), isa.get(16), text[105])
    checks = (
        ("026", not separator.isalnum() and separator != " "),
        ("027", not marks.component.isalnum() and marks.component != " "),
        ("004", not marks.terminator.isalnum() and marks.terminator != " "),
        ("016", not marks.repetition.isalnum() and marks.repetition != " "),
        ("027", len({marks.element, marks.repetition, marks.component, marks.terminator}) == len(ISA_WIDTHS) // 4),
        ("010", isa.get(1) in ("00", "03")),
        ("012", isa.get(3) in ("00", "01")),
        ("005", isa.get(5) in QUALIFIERS),
        ("006", isa.get(6).strip() != ""),
        ("007", isa.get(7) in QUALIFIERS),
        ("008", isa.get(8).strip() != ""),
        ("014", re.fullmatch(r"\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", isa.get(9)) is not None),
        ("015", re.fullmatch(r"([01]\d|2[0-3])[0-5]\d", isa.get(10)) is not None),
        ("017", isa.get(12) in VERSIONS),
        ("018", isa.get(13).isdigit() and int(isa.get(13)) > 0),
        ("019", isa.get(14) in ("0", "1")),
        ("020", isa.get(15) in ("T", "P")),
    )
    for code, holds in checks:
        if not holds:
            raise TA1Rejected(code, isa)
    return isa, marks


def _split(text: str, marks: Delimiters, isa: Segment) -> list[Segment]:
    """Everything behind the ISA, segment by segment."""
    found: list[Segment] = []
    at = ISA_LENGTH
    while True:
        while at < len(text) and text[at] in "\r\n":
            at += 1
        if at >= len(text):
            return found
        binary = text[at : at + 3]
        data: bytes | None = None
        if binary in BINARY:
            place = BINARY[binary][1]
            head = text[at:].split(marks.element, place)
            length = head[place - 1] if len(head) > place else ""
            if not re.fullmatch(r"\d{1,9}", length):
                raise TA1Rejected("024", isa)
            start = at + sum(len(part) + 1 for part in head[:place])
            end = start + int(length)
            if text[end : end + 1] != marks.terminator:
                raise TA1Rejected("024", isa)
            data = text[start:end].encode("latin-1")
            elements, name, at = head[1:place], head[0], end + 1
        else:
            end = text.find(marks.terminator, at)
            if end < 0 or len(found) > SEGMENT_LIMIT:
                raise TA1Rejected("023", isa)
            name, *elements = text[at:end].split(marks.element)
            at = end + 1
        found.append(Segment(name, tuple(elements), marks.component, marks.repetition, data))


def _group(opened: Opened) -> Opened:
    """Check the trailers against the headers and cut them off, but for the SE."""
    *inner, ge = opened.segments
    cut = Opened(opened.delimiters, opened.isa, opened.gs, tuple(inner))
    gs = opened.gs
    if ge.id != "GE":
        raise Rejected(group_codes=["3"], opened=opened)
    wrong = Rejected(opened=cut)
    if ge.get(2) != gs.get(6):
        wrong.group_codes.append("4")
    if not re.fullmatch(r"[1-9]\d{0,8}", gs.get(6)):
        wrong.group_codes.append("6")
    if not inner or inner[0].id != "ST":
        raise TA1Rejected("024", opened.isa)
    if ge.get(1) != "1":
        wrong.group_codes.append("5")
    st, se = inner[0], inner[-1]
    if se.id != "SE":
        wrong.set_codes.append("2")
    else:
        if se.get(2) != st.get(2):
            wrong.set_codes.append("3")
        if se.get(1) != str(len(inner)):
            wrong.set_codes.append("4")
    if not re.fullmatch(r"[0-9A-Za-z]{4,9}", st.get(2)):
        wrong.set_codes.append("7")
    if wrong.group_codes or wrong.set_codes:
        raise wrong
    return cut
