"""Envelopes: interchange (ISA/IEA), group (GS/GE) and transaction (ST/SE), closed when written and checked when read.

Control numbers are the caller's: they are unique per sender and receiver, and stored. What is wrong with an envelope
that was read is listed in it, and raises nothing.
Source: X12.5 and X12.6 as far as public; code values as in the published 278, 270 and 275 examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from connectors.x12.segments import (
    MAX_BYTES,
    STANDARD,
    Delimiters,
    NotX12,
    Problem,
    Segment,
    encode,
    is_segment_id,
    parse,
    segment,
)
from domain.base import Frozen

FUNCTIONS = MappingProxyType({"278": "HI", "275": "PI", "270": "HS", "271": "HB", "999": "FA"})
"""X12 479 (GS01) by transaction set."""
_ISA_VERSIONS = MappingProxyType({"004010": "00401", "005010": "00501", "006020": "00602"})
"""ISA12 by the first six characters of a guide's identifier (00602: confirm with the clearinghouse)."""
_NO_REPETITION = "U"
_LONGEST_COUNT = 10
Party = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 .&/-]{1,15}$")]
"""Who sends or receives an interchange (ISA06, ISA08): at most 15 characters."""


Qualifier = Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{2}$")]


class Route(Frozen):
    """From whom to whom messages go, as the two have agreed. GS02 and GS03 are those of the ISA where not given."""

    sender: Party
    receiver: Party
    sender_qualifier: Qualifier = "ZZ"
    receiver_qualifier: Qualifier = "ZZ"
    group_sender: Party | None = None
    group_receiver: Party | None = None
    usage: Literal["T", "P"] = "T"
    """ISA15: test or production."""
    acknowledge: bool = False
    """ISA14: whether a TA1 is asked for."""


class Controls(Frozen):
    """Control numbers of one interchange: ISA13, GS06, and the first ST02, after which further ones are counted."""

    interchange: int = Field(ge=1, le=999_999_999)
    group: int = Field(ge=1, le=999_999_999)
    transaction: int = Field(default=1, ge=1, le=999_999_999)


def build(
    route: Route,
    controls: Controls,
    at: datetime,
    set_id: str,
    guide: str,
    transactions: Sequence[Sequence[Segment]],
    delimiters: Delimiters = STANDARD,
) -> bytes:
    """Return one interchange with one group of transactions, each given by what stands between ST and SE.

    Args:
        route: who sends and receives.
        controls: control numbers, unique by the caller.
        at: when it was made; written in UTC.
        set_id: transaction set, as `278`.
        guide: implementation convention (GS08, ST03), as `005010X217`.
        transactions: bodies, at least one.
        delimiters: those that the receiver expects.

    Raises:
        Unwritable: data holds a delimiter or a character that X12 does not have.
        KeyError: a transaction set or version that this does not know.
        ValueError: no transaction.
    """
    if not transactions:
        msg = "an interchange holds at least one transaction"
        raise ValueError(msg)
    made = at.astimezone(UTC)
    body: list[Segment] = []
    for place, inner in enumerate(transactions):
        number = f"{controls.transaction + place:04}"
        body += [segment("ST", set_id, number, guide), *inner, segment("SE", len(inner) + 2, number)]
    header = segment(
        "GS",
        FUNCTIONS[set_id],
        route.group_sender or route.sender,
        route.group_receiver or route.receiver,
        f"{made:%Y%m%d}",
        f"{made:%H%M}",
        controls.group,
        "X",
        guide,
    )
    return encode(
        [
            _isa(route, controls, made, _ISA_VERSIONS[guide[:6]], delimiters),
            header,
            *body,
            segment("GE", len(transactions), controls.group),
            segment("IEA", 1, f"{controls.interchange:09}"),
        ],
        delimiters,
    )


def _isa(route: Route, controls: Controls, at: datetime, version: str, delimiters: Delimiters) -> Segment:
    """The header at its fixed widths; ISA11 and ISA16 declare delimiters."""
    values = (
        "00",
        " " * 10,
        "00",
        " " * 10,
        route.sender_qualifier,
        f"{route.sender:<15}",
        route.receiver_qualifier,
        f"{route.receiver:<15}",
        f"{at:%y%m%d}",
        f"{at:%H%M}",
        delimiters.repetition or _NO_REPETITION,
        version,
        f"{controls.interchange:09}",
        "1" if route.acknowledge else "0",
        route.usage,
        delimiters.component,
    )
    return Segment("ISA", tuple(((value,),) for value in values), delimiters=delimiters)


@dataclass(frozen=True)
class Transaction:
    """One transaction: the segments between ST and SE, and what is wrong with how it is closed."""

    st: Segment
    segments: tuple[Segment, ...]
    problems: tuple[Problem, ...] = ()
    closed: bool = True

    @property
    def set_id(self) -> str:
        """ST01, as `278`."""
        return self.st.get(1)

    @property
    def control(self) -> str:
        """ST02."""
        return self.st.get(2)

    @property
    def guide(self) -> str:
        """ST03, as `005010X217`; empty where the writer leaves it to GS08."""
        return self.st.get(3)


@dataclass(frozen=True)
class Group:
    """One functional group."""

    gs: Segment
    transactions: tuple[Transaction, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def function(self) -> str:
        """GS01, as `HI`."""
        return self.gs.get(1)

    @property
    def control(self) -> str:
        """GS06."""
        return self.gs.get(6)

    @property
    def guide(self) -> str:
        """GS08."""
        return self.gs.get(8)


@dataclass(frozen=True)
class Interchange:
    """One interchange. `acknowledgments` are its TA1 segments; `strays` stand outside of every transaction."""

    isa: Segment
    groups: tuple[Group, ...]
    acknowledgments: tuple[Segment, ...] = ()
    strays: tuple[Segment, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def sender(self) -> str:
        """ISA06 without padding."""
        return self.isa.get(6)

    @property
    def receiver(self) -> str:
        """ISA08 without padding."""
        return self.isa.get(8)

    @property
    def control(self) -> str:
        """ISA13."""
        return self.isa.get(13)

    @property
    def usage(self) -> str:
        """ISA15: T or P."""
        return self.isa.get(15)

    @property
    def delimiters(self) -> Delimiters:
        """Those that it declares."""
        return self.isa.delimiters

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        """Those of all groups, in order."""
        return tuple(transaction for group in self.groups for transaction in group.transactions)

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Its own problems and those of everything in it."""
        inner = [p for group in self.groups for p in group.problems]
        return (*self.problems, *inner, *(p for transaction in self.transactions for p in transaction.problems))


def read(body: bytes, limit: int = MAX_BYTES) -> tuple[Interchange, ...]:
    """Read the interchanges of a message, at least one.

    Raises:
        NotX12: as `segments.parse`.
    """
    parsed = parse(body, limit)
    if not parsed.segments:
        raise NotX12("It is empty.")
    made: list[Interchange] = []
    starts = [place for place, one in enumerate(parsed.segments) if one.id == "ISA"]
    for start, end in zip(starts, [*starts[1:], len(parsed.segments)], strict=True):
        last = end == len(parsed.segments)
        found = [
            p for p in parsed.problems if p.segment is not None and start < p.segment and (last or p.segment <= end)
        ]
        made.append(_Opener(parsed.segments[start:end], start, found).interchange())
    return tuple(made)


class _Opener:
    """One interchange in the reading."""

    def __init__(self, segments: Sequence[Segment], offset: int, problems: list[Problem]) -> None:
        self.segments = segments
        self.offset = offset
        self.at = 1
        self.problems = problems

    def interchange(self) -> Interchange:
        isa = self.segments[0]
        groups: list[Group] = []
        acknowledgments: list[Segment] = []
        strays: list[Segment] = []
        trailer: Segment | None = None
        while (one := self._here()) is not None:
            if one.id == "GS":
                groups.append(self._group(one))
                continue
            if one.id == "ST":
                self._note("ST_WITHOUT_GS", "A transaction stands outside of a group.")
                groups.append(self._group(None))
                continue
            if one.id == "TA1":
                acknowledgments.append(one)
            elif one.id == "IEA" and trailer is None:
                trailer = one
            elif trailer is not None and not one.elements and not is_segment_id(one.id):
                self._skip_text()
                continue
            else:
                self._note("STRAY_SEGMENT", "A segment stands outside of every transaction.")
                strays.append(one)
            self.at += 1
        if trailer is None:
            self._note("IEA_MISSING", "The interchange is not closed (IEA): the message may be cut off.")
        else:
            self._match(trailer, 1, len(groups), "IEA_COUNT", "The interchange counts other groups than it holds.")
            self._same(trailer.get(2), isa.get(13), "IEA_CONTROL", "ISA and IEA have different control numbers.")
        return Interchange(isa, tuple(groups), tuple(acknowledgments), tuple(strays), tuple(self.problems))

    def _skip_text(self) -> None:
        """Plain text behind the end, as a mail or a mailbox leaves it, is nothing of a message."""
        here = self.offset + self.at + 1
        self.problems = [p for p in self.problems if p.segment != here or p.code not in {"CUT_OFF", "SEGMENT_ID"}]
        self._note("TEXT_BEHIND", "Text that is no X12 stands behind the message.")
        self.at += 1

    def _here(self) -> Segment | None:
        return self.segments[self.at] if self.at < len(self.segments) else None

    def _group(self, gs: Segment | None) -> Group:
        outer, self.problems = self.problems, []
        transactions: list[Transaction] = []
        trailer: Segment | None = None
        self.at += gs is not None
        while (one := self._here()) is not None and one.id not in {"GS", "IEA"}:
            if one.id == "ST":
                transactions.append(self._transaction(one))
                continue
            self.at += 1
            if one.id == "GE":
                trailer = one
                break
            self._note("STRAY_SEGMENT", "A segment stands outside of every transaction.")
        if gs is not None and trailer is None:
            self._note("GE_MISSING", "A group is not closed (GE).")
        elif gs is not None and trailer is not None:
            self._match(trailer, 1, len(transactions), "GE_COUNT", "A group counts other transactions than it holds.")
            self._same(trailer.get(2), gs.get(6), "GE_CONTROL", "GS and GE have different control numbers.")
        found, self.problems = self.problems, outer
        return Group(gs or Segment("GS"), tuple(transactions), tuple(found))

    def _transaction(self, st: Segment) -> Transaction:
        outer, self.problems = self.problems, []
        self.at += 1
        start = self.at
        while (one := self._here()) is not None and one.id not in {"SE", "ST", "GE", "GS", "IEA"}:
            self.at += 1
        inner = tuple(self.segments[start : self.at])
        closed = one is not None and one.id == "SE"
        if one is not None and closed:
            if _number(one.get(1)) > len(inner) + 2:
                self._note("SE_LOST", "A transaction counts more segments than it holds: some may be lost.")
            elif _number(one.get(1)) < len(inner) + 1:
                self._note("SE_WRONG", "A transaction counts far fewer segments than it holds, or counts none.")
            else:
                self._match(one, 1, len(inner) + 2, "SE_COUNT", "A transaction counts other segments than it holds.")
            self._same(one.get(2), st.get(2), "SE_CONTROL", "ST and SE have different control numbers.")
            self.at += 1
        else:
            self._note("SE_MISSING", "A transaction is not closed (SE): the message may be cut off.")
        found, self.problems = self.problems, outer
        return Transaction(st, inner, tuple(found), closed)

    def _match(self, trailer: Segment, position: int, count: int, code: str, sentence: str) -> None:
        if _number(trailer.get(position)) != count:
            self._note(code, sentence)

    def _same(self, one: str, other: str, code: str, sentence: str) -> None:
        if one != other:
            self._note(code, sentence)

    def _note(self, code: str, sentence: str) -> None:
        self.problems.append(Problem(code=code, sentence=sentence, segment=self.offset + self.at + 1))


def _number(said: str) -> int:
    """A count as it is written; -1 where it is none."""
    return int(said) if said.isascii() and said.isdigit() and len(said) <= _LONGEST_COUNT else -1
