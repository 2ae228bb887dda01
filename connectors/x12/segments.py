"""The segment layer of X12: bytes to segments and back. It knows delimiters and binary lengths, and no guide.

Reading is lenient: delimiters are those that each ISA declares; a byte order mark, line breaks and blanks between
segments are skipped; every segment keeps its bytes, also one that nobody knows. Binary data (BIN02, BDS03) is taken by
its declared length, never by looking for a delimiter. Writing is strict: data that holds a delimiter is refused;
`plain` is the one way in which names and free text are made fit before.

Source: X12.5 (interchange control) and X12.6 (application control), as far as their rules are public.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from domain.base import Frozen, Sentence

MAX_BYTES = 10_000_000
MAX_SEGMENTS = 50_000
MAX_PARTS = 1_000
"""Of one segment: elements, repetitions and components together."""
MAX_ALL_PARTS = 500_000
"""Of a whole message: what bounds the memory that reading takes."""
MAX_PROBLEMS = 50

Charset = Literal["basic", "extended"]
"""Basic: capitals, digits and some signs. Extended: lower case and more signs as well."""
Element = tuple[tuple[str, ...], ...]
"""Repetitions of components."""
Value = str | int | tuple[str, ...] | list[tuple[str, ...]] | None
"""What an element is made from: a simple value, its components, or its repetitions."""

_BASIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !\"&'()*+,-./:;?=")
_CHARSETS: dict[Charset, frozenset[str]] = {
    "basic": _BASIC,
    "extended": _BASIC | frozenset("abcdefghijklmnopqrstuvwxyz%@[]_{}\\|<>~#$^`"),
}
_SPELLED = MappingProxyType(
    str.maketrans(
        {
            **dict(zip("øØłŁđĐðÐħĦıŋŊ", "oOlLdDdDhHinN", strict=True)),
            **dict(zip("ßẞæÆœŒþÞ", ("ss", "SS", "ae", "AE", "oe", "OE", "th", "Th"), strict=True)),
            **dict.fromkeys("‘’‚‛′ʻʼ´`", "'"),  # noqa: RUF001 - the signs themselves
            **dict.fromkeys("“”„‟″«»", '"'),
            **dict.fromkeys("‐‑‒–—―−", "-"),  # noqa: RUF001 - the signs themselves
            # What stands beside a number and, left out, would make it another: 50 µg is not 50 g, ≥ 9 is not 9.
            **dict.fromkeys("µμ", "mc"),
            **dict(zip("≤≥≠±×⁄°", (" at most ", " at least ", " not ", "+/-", "x", "/", " deg "), strict=True)),  # noqa: RUF001 - as above
        }
    )
)
"""Letters and signs that have no accent to take off, as they are spelled without them."""
_BEYOND_BASIC = MappingProxyType(str.maketrans({"<": " under ", ">": " over ", "%": " percent "}))
"""Signs of the extended set whose loss would turn what was said around, in words of the basic one."""
_SMALL_NUMBER = re.compile("(?<=[0-9])(?=[¼-¾⅐-⅞⁰⁴-⁹₀-₉²³¹])")
"""Between a digit and a fraction or a raised digit: 2½ is 2 1/2, and 10⁵ is not 105."""
_BINARY = {"BIN": (1, 2), "BDS": (2, 3)}
"""By segment: which element declares the length in bytes, and which holds the data."""
_ISA_ELEMENTS = 16
_ID = re.compile(r"[A-Z][A-Z0-9]{1,2}")
_BLANK = b" \t\r\n\x00\x1a"
_LENGTH = re.compile(rb"[0-9]{1,15}")


class NotX12(Exception):
    """The bytes are no X12 that can be read, or more of it than is read. The message is a sentence without content."""


class Unwritable(Exception):
    """A segment's data cannot be written as it is. The message names the segment and the element, never the data."""


class Problem(Frozen):
    """Something wrong with what was read, that does not keep it from being read."""

    code: str
    sentence: Sentence
    segment: int | None = None
    """The place of the segment in the whole, from 1."""


@dataclass(frozen=True)
class Delimiters:
    """The four delimiters of an interchange; `repetition` is None where it declares none (before 00402)."""

    element: str = "*"
    component: str = ":"
    repetition: str | None = "^"
    segment: str = "~"

    def __post_init__(self) -> None:
        """Raise `ValueError` where they cannot delimit: not one byte each, alphanumeric, a blank, or not distinct."""
        used = [d for d in (self.element, self.component, self.repetition, self.segment) if d is not None]
        if any(len(d) != 1 or not d.isascii() or d.isalnum() or d == " " for d in used) or len(set(used)) != len(used):
            msg = "delimiters are four distinct single ASCII characters, no letter, digit or blank"
            raise ValueError(msg)

    @property
    def all(self) -> frozenset[str]:
        """Every delimiter."""
        return frozenset(d for d in (self.element, self.component, self.repetition, self.segment) if d is not None)


STANDARD = Delimiters()


@dataclass(frozen=True)
class Segment:
    """One segment: its id and its elements, which are addressed from 1 as the standard numbers them."""

    id: str
    elements: tuple[Element, ...] = ()
    binary: bytes | None = None
    """The data of a binary segment; the element that holds it is empty."""
    raw: bytes = field(default=b"", compare=False)
    """The bytes as they came, without the terminator; empty for one of ours."""
    delimiters: Delimiters = field(default=STANDARD, compare=False)
    """Those by which it was read."""

    def text(self, position: int) -> str:
        """Return a whole element as it was written, empty where there is none. Free text may hold stray delimiters."""
        if not 1 <= position <= len(self.elements):
            return ""
        components = [self.delimiters.component.join(parts) for parts in self.elements[position - 1]]
        return (self.delimiters.repetition or "").join(components)

    def get(self, position: int, component: int = 1, repetition: int = 1) -> str:
        """Return one component without blanks around it, empty where there is none. All are counted from 1."""
        parts = self.components(position, repetition)
        return parts[component - 1].strip() if 1 <= component <= len(parts) else ""

    def components(self, position: int, repetition: int = 1) -> tuple[str, ...]:
        """Return the components of one repetition of an element."""
        repetitions = self.repetitions(position)
        return repetitions[repetition - 1] if 1 <= repetition <= len(repetitions) else ()

    def repetitions(self, position: int) -> Element:
        """Return the repetitions of an element, each by its components."""
        return self.elements[position - 1] if 1 <= position <= len(self.elements) else ()

    def is_(self, *start: str) -> bool:
        """Whether id and first elements are these: `segment.is_("REF", "BB")`."""
        return self.id == start[0] and all(self.get(place) == said for place, said in enumerate(start[1:], start=1))


def is_segment_id(said: str) -> bool:
    """Whether a segment can have this id."""
    return bool(_ID.fullmatch(said))


def segment(id_: str, *values: Value, binary: bytes | None = None) -> Segment:
    """Return a segment of ours. Empty elements and components at the end are left away, as the standard wants it."""
    elements = [_element(value) for value in values]
    if binary is None:
        while elements and elements[-1] == (("",),):
            elements.pop()
    return Segment(id_, tuple(elements), binary)


def _element(value: Value) -> Element:
    if isinstance(value, list):
        return tuple(_trimmed(parts) for parts in value) or (("",),)
    if isinstance(value, tuple):
        return (_trimmed(value),)
    return (("" if value is None else str(value),),)


def _trimmed(parts: tuple[str, ...]) -> tuple[str, ...]:
    end = len(parts)
    while end > 1 and parts[end - 1] == "":
        end -= 1
    return parts[:end] or ("",)


def plain(value: str, charset: Charset = "extended", limit: int | None = None) -> str:
    """Make a name or free text fit to be written: the one defined way.

    Accents are taken off letters; letters and signs that are no accented ones are spelled as is usual (ø as o, ß as ss,
    a curly apostrophe as a straight one, ½ as 1/2, µ as mc); whatever the character set does not have then, and every
    standard delimiter, becomes a blank; blanks are joined; `basic` has capitals only; what is longer than `limit` is cut.
    """
    # Spelled before it is taken apart, which would make a blank of an acute accent that stands alone, and after.
    apart = unicodedata.normalize("NFKD", _SMALL_NUMBER.sub(" ", value).translate(_SPELLED))
    folded = "".join(sign for sign in apart.translate(_SPELLED) if not unicodedata.combining(sign))
    folded = folded.translate(_BEYOND_BASIC).upper() if charset == "basic" else folded
    allowed = _CHARSETS[charset] - STANDARD.all
    words = "".join(sign if sign in allowed else " " for sign in folded).split()
    return " ".join(words)[:limit].rstrip()


def written(value: str, charset: Charset = "extended") -> bool:
    """Whether data can be written as it is with the standard delimiters."""
    return all(sign in _CHARSETS[charset] - STANDARD.all for sign in value)


def encode(segments: Iterable[Segment], delimiters: Delimiters = STANDARD, *, newlines: bool = False) -> bytes:
    """Return the bytes of segments, every one closed; `newlines` breaks lines after each, for people.

    Raises:
        Unwritable: data holds a delimiter or a character that no character set has, or an id is none.
    """
    end = delimiters.segment + ("\n" if newlines else "")
    return b"".join(_encode(one, delimiters) + end.encode() for one in segments)


def _encode(one: Segment, delimiters: Delimiters) -> bytes:
    if not is_segment_id(one.id):
        raise Unwritable("a segment's id has two or three capitals and digits")
    isa = one.id == "ISA"
    for place, element in enumerate(one.elements, start=1):
        if len(element) > 1 and delimiters.repetition is None:
            raise Unwritable(f"{one.id}{place:02} repeats, and no repetition separator is declared")
        declares = isa and place in {11, _ISA_ELEMENTS}
        for value in (value for parts in element for value in parts):
            if not declares and not all(sign in _CHARSETS["extended"] - delimiters.all for sign in value):
                raise Unwritable(f"{one.id}{place:02} holds a delimiter or a character that X12 does not have")
    repeat = delimiters.repetition or ""
    elements = [repeat.join(delimiters.component.join(parts) for parts in e).encode() for e in one.elements]
    if one.binary is not None:
        length, data = _BINARY.get(one.id, (0, 0))
        if data != len(elements) or one.get(length) != str(len(one.binary)) or elements[data - 1]:
            raise Unwritable(f"{one.id} does not declare the length of its data, or has no place for it")
        elements[data - 1] = one.binary
    return delimiters.element.encode().join([one.id.encode(), *elements])


@dataclass(frozen=True)
class Parsed:
    """What bytes hold: segments in order, and what was wrong with them."""

    segments: tuple[Segment, ...]
    problems: tuple[Problem, ...] = ()


def parse(body: bytes, limit: int = MAX_BYTES) -> Parsed:
    """Read the segments of one or several interchanges.

    Raises:
        NotX12: it does not begin with an ISA that declares delimiters, or is larger than `limit` bytes, 50,000
            segments, 500,000 parts or 1,000 parts in a segment.
    """
    if len(body) > limit:
        raise NotX12(f"It is larger than {limit:,} bytes.")
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    reader = _Reader(body, start)
    segments = tuple(reader.read())
    return Parsed(segments, tuple(reader.problems[:MAX_PROBLEMS]))


class _Reader:
    """One pass over the bytes."""

    def __init__(self, body: bytes, at: int) -> None:
        self.body = body
        self.at = at
        self.delimiters = STANDARD
        self.problems: list[Problem] = []
        self.count = 0
        self.parts = 0
        self.blanks = _blanks("")

    def read(self) -> Iterator[Segment]:
        while self._skip_blanks():
            if self.count >= MAX_SEGMENTS:
                raise NotX12(f"It has more than {MAX_SEGMENTS:,} segments.")
            if self._at_isa():
                self.count += 1
                yield self._isa()
            elif self.count == 0:
                raise NotX12("It does not begin with an interchange header (ISA).")
            else:
                found = self._next()
                self.count += 1
                yield found

    def _skip_blanks(self) -> bool:
        """Go on to the next segment; False at the end. Segments without anything are skipped like blanks."""
        found = self.blanks.match(self.body, self.at)
        self.at = found.end() if found is not None else self.at
        return self.at < len(self.body)

    def _at_isa(self) -> bool:
        sign = self.body[self.at + 3 : self.at + 4]
        return self.body.startswith(b"ISA", self.at) and bool(sign) and not sign.isalnum()

    def _isa(self) -> Segment:
        """The header, by its separators and not by its width: some writers do not pad."""
        separator = self.body[self.at + 3 : self.at + 4]
        places = [self.at + 3]
        while len(places) < _ISA_ELEMENTS:
            found = self.body.find(separator, places[-1] + 1, self.at + 400)
            if found < 0:
                raise NotX12("Its interchange header (ISA) is not complete.")
            places.append(found)
        end = places[-1] + 2
        if end >= len(self.body):
            raise NotX12("Its interchange header (ISA) is not complete.")
        raw = self.body[self.at : end]
        elements = [_decode(e) for e in raw.split(separator, _ISA_ELEMENTS)][1:]
        repetition = elements[10] if len(elements[10]) == 1 and not elements[10].isalnum() else None
        terminator = self.body[end : end + 1]
        try:
            signs = (separator.decode("ascii"), elements[15], terminator.decode("ascii"))
            unusable = repetition is not None and (repetition in signs or not repetition.isascii() or repetition == " ")
            self.delimiters = Delimiters(signs[0], signs[1], None if unusable else repetition, signs[2])
        except (ValueError, UnicodeDecodeError):
            raise NotX12("Its interchange header (ISA) declares delimiters that cannot delimit.") from None
        self.blanks = _blanks(self.delimiters.segment)
        self.at = end + 1
        return Segment("ISA", tuple(((e,),) for e in elements), raw=raw, delimiters=self.delimiters)

    def _next(self) -> Segment:
        binary = _BINARY.get(self.body[self.at : self.at + 3].decode("latin-1"))
        separator = self.delimiters.element.encode()
        if binary is not None and self.body[self.at + 3 : self.at + 4] == separator:
            return self._binary(*binary, separator)
        return self._segment(self._up_to_terminator(self.at).strip(_BLANK), None)

    def _up_to_terminator(self, start: int) -> bytes:
        """The bytes from where we are to the first terminator from `start` on; goes on behind it."""
        end = self.body.find(self.delimiters.segment.encode(), start)
        if end < 0:
            end = len(self.body)
            if self.body[start:end].strip(_BLANK):
                self._note("CUT_OFF", "The last segment is not closed: the message may be cut off.")
        raw = self.body[self.at : end]
        self.at = end + 1
        return raw

    def _binary(self, length_at: int, data_at: int, separator: bytes) -> Segment:
        """A binary segment, by the length that it declares; where that cannot be, without its data."""
        place = self.at
        for _ in range(data_at):
            place = self.body.find(separator, place + 1, self.at + 200)
            if place < 0:
                break
        head = self.body[self.at : place] if place >= 0 else b""
        header = head.split(separator) if self.delimiters.segment.encode() not in head else []
        declared = header[length_at].strip() if len(header) > length_at else b""
        if not _LENGTH.fullmatch(declared):
            self._note("BINARY_LENGTH", "A binary segment does not say how long it is.")
            raw = self._up_to_terminator(self.at)
            return self._segment(raw.strip(_BLANK), None)
        begin, start = self.at, place + 1
        end = start + int(declared)
        if end > len(self.body):
            self._note("BINARY_LENGTH", "A binary segment is shorter than it says: the message is cut off.")
            end = len(self.body)
        self.at = end
        if self._up_to_terminator(end).strip(_BLANK):
            self._note("BINARY_LENGTH", "A binary segment is longer than it says: what is over was left out.")
        return self._segment(separator.join([*header, b""]), self.body[start:end], self.body[begin:end])

    def _segment(self, text: bytes, data: bytes | None, raw: bytes | None = None) -> Segment:
        d = self.delimiters
        decoded = _decode(text)
        parts = sum(decoded.count(sign) for sign in d.all)
        self.parts += parts
        if parts > MAX_PARTS or self.parts > MAX_ALL_PARTS:
            raise NotX12(f"It has more than {MAX_ALL_PARTS:,} parts, or a segment of it more than {MAX_PARTS:,}.")
        name, *elements = decoded.split(d.element)
        if not is_segment_id(name):
            self._note("SEGMENT_ID", "A segment has an id that no segment can have.")
        return Segment(
            name[:20],
            tuple(_split(element, d) for element in elements),
            data,
            raw if raw is not None else text,
            d,
        )

    def _note(self, code: str, sentence: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(code=code, sentence=sentence, segment=self.count + 1))


def _blanks(terminator: str) -> re.Pattern[bytes]:
    return re.compile(b"[" + re.escape(_BLANK + terminator.encode()) + b"]*")


def _split(element: str, d: Delimiters) -> Element:
    repeated = element.split(d.repetition) if d.repetition is not None else [element]
    return tuple(tuple(one.split(d.component)) for one in repeated)


def _decode(raw: bytes) -> str:
    """UTF-8 where it is that, else one character a byte."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
