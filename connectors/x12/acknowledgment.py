"""Read a 999 (005010X231A1), a 997 and a TA1: whether a message was taken in, and if not, where it is at fault.

An acknowledgment is of the envelope and the syntax only: it decides nothing about what was asked. One that is not
understood is neither accepted nor rejected. It never raises on content, and keeps no data that was complained about
(IK404 may quote a patient).
Source: X12 999 and TA1 as in public examples; codes of TA104, IK501, AK901 verbatim.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

from connectors.x12 import envelope
from connectors.x12.envelope import Transaction
from connectors.x12.faults import Fault, finest_first
from connectors.x12.segments import NotX12, Segment
from domain.base import Frozen
from domain.decision import AnswerError

MAX_ACKNOWLEDGMENTS = 100
MAX_FAULTS = 20
_SHORT = 20


class Acceptance(StrEnum):
    """What became of a message at the door."""

    ACCEPTED = "accepted"
    WITH_ERRORS = "accepted_with_errors"
    PARTLY = "partly_accepted"
    """Of a group: some of its transactions were rejected, and this one is not named."""
    REJECTED = "rejected"
    UNKNOWN = "unknown"


_CODES = MappingProxyType(
    {
        "A": Acceptance.ACCEPTED,
        "E": Acceptance.WITH_ERRORS,
        "P": Acceptance.PARTLY,
        "R": Acceptance.REJECTED,
        "M": Acceptance.REJECTED,
        "W": Acceptance.REJECTED,
        "X": Acceptance.REJECTED,
    }
)
"""TA104, X12 717 (IK501) and 715 (AK901): M, W and X are rejections of what could not be authenticated or decrypted."""
_TAKEN = frozenset({Acceptance.ACCEPTED, Acceptance.WITH_ERRORS})


class Acknowledgment(Frozen):
    """What was said of one interchange (TA1), one transaction (999, 997), or one group that names no transaction."""

    kind: Literal["TA1", "999", "997"]
    acceptance: Acceptance
    code: str
    """The code of the acceptance, verbatim."""
    interchange: str | None = None
    """ISA13 of what is acknowledged."""
    group: str | None = None
    """GS06 of what is acknowledged."""
    function: str | None = None
    """GS01 of what is acknowledged."""
    transaction: str | None = None
    """ST02 of what is acknowledged."""
    faults: tuple[Fault, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether it was taken in, with errors or without."""
        return self.acceptance in _TAKEN

    def is_of(self, number: int) -> bool:
        """Whether it acknowledges the message that has this number in ISA13, GS06 and ST02."""
        named = [said for said in (self.interchange, self.group, self.transaction) if said]
        return bool(named) and all(said.lstrip("0") == str(number) for said in named)

    @property
    def answer_errors(self) -> tuple[AnswerError, ...]:
        """Why the message was not taken in, as any rail says it: what is most exact first, the whole last."""
        text = "the message was not taken in at the door, and nothing is decided"
        whole = AnswerError(code=f"{self.kind} {self.code}"[:30], text=text, meaning=text)
        return (*(fault.answer_error for fault in finest_first(self.faults)[:9]), whole)


def read_acknowledgments(body: bytes) -> tuple[Acknowledgment, ...]:
    """Return every acknowledgment in a message, in order; none where it holds none or is no X12."""
    try:
        interchanges = envelope.read(body)
    except NotX12:
        return ()
    found: list[Acknowledgment] = []
    for interchange in interchanges:
        found += [_of_interchange(one) for one in interchange.acknowledgments]
        cut = any(problem.code == "CUT_OFF" for problem in interchange.problems)
        for transaction in interchange.transactions:
            if transaction.set_id in {"999", "997"}:
                found += _of_transactions(transaction, whole=transaction.closed and not cut)
    return tuple(found[:MAX_ACKNOWLEDGMENTS])


def _of_interchange(ta1: Segment) -> Acknowledgment:
    code, note = ta1.get(4)[:_SHORT], ta1.get(5)[:_SHORT]
    faults = (Fault(level="interchange", code=note),) if note.strip("0") else ()
    acceptance = _CODES.get(code, Acceptance.UNKNOWN)
    return Acknowledgment(
        kind="TA1",
        acceptance=Acceptance.UNKNOWN if acceptance is Acceptance.PARTLY else acceptance,
        code=code,
        interchange=ta1.get(1)[:_SHORT] or None,
        faults=faults,
    )


def _of_transactions(transaction: Transaction, *, whole: bool) -> Iterator[Acknowledgment]:
    segments = transaction.segments
    header = next((s for s in segments if s.id == "AK1"), Segment("AK1"))
    trailer = next((s for s in segments if s.id == "AK9"), Segment("AK9"))
    of_group = trailer.get(1)[:_SHORT]
    group_faults = [Fault(level="group", code=c[:_SHORT]) for place in range(5, 10) if (c := trailer.get(place))]
    starts = [place for place, s in enumerate(segments) if s.id == "AK2"]
    kind: Literal["999", "997"] = "999" if transaction.set_id == "999" else "997"
    for start, end in pairwise([*starts, len(segments)]):
        said = next((s for s in segments[start:end] if s.id in {"IK5", "AK5"}), Segment("IK5"))
        codes = [Fault(level="transaction", code=c[:_SHORT]) for place in range(2, 7) if (c := said.get(place))]
        faults = [*codes, *_faults(segments[start:end]), *group_faults]
        yield Acknowledgment(
            kind=kind,
            acceptance=_both(said.get(1), of_group, whole=whole),
            code=said.get(1)[:_SHORT] or of_group,
            group=header.get(2)[:_SHORT] or None,
            function=header.get(1)[:_SHORT] or None,
            transaction=segments[start].get(2)[:_SHORT] or None,
            faults=tuple(faults[:MAX_FAULTS]),
        )
    if not starts:
        acceptance = _CODES.get(of_group, Acceptance.UNKNOWN)
        yield Acknowledgment(
            kind=kind,
            acceptance=acceptance if whole or acceptance is Acceptance.REJECTED else Acceptance.UNKNOWN,
            code=of_group,
            group=header.get(2)[:_SHORT] or None,
            function=header.get(1)[:_SHORT] or None,
            faults=tuple(group_faults[:MAX_FAULTS]),
        )


def _both(of_transaction: str, of_group: str, *, whole: bool) -> Acceptance:
    """What a transaction's and its group's code say together: a rejection of either counts, taking in needs both."""
    one, group = (_CODES.get(code, Acceptance.UNKNOWN) for code in (of_transaction, of_group))
    if Acceptance.REJECTED in (one, group):
        return Acceptance.REJECTED
    taken = one in _TAKEN and (group in _TAKEN or group is Acceptance.PARTLY)
    return one if taken and whole else Acceptance.UNKNOWN


def _faults(segments: Sequence[Segment]) -> Iterator[Fault]:
    """The complaints about segments (IK3) and their elements (IK4), in order."""
    at = Fault(level="segment", code="")
    for segment in segments:
        if segment.id in {"IK3", "AK3"}:
            position = segment.get(2)
            at = Fault(
                level="segment",
                code=segment.get(4)[:_SHORT],
                segment=segment.get(1)[:_SHORT] or None,
                position=int(position) if position.isascii() and position.isdigit() and len(position) < 10 else None,  # noqa: PLR2004 - X12 719 has at most ten digits
                loop=segment.get(3)[:_SHORT] or None,
            )
            yield at
        elif segment.id in {"IK4", "AK4"}:
            place = "-".join(part.strip() for part in segment.components(1) if part.strip())
            yield at.model_copy(
                update={
                    "level": "element",
                    "code": segment.get(3)[:_SHORT],
                    "element": place[:_SHORT] or None,
                    "reference": segment.get(2)[:_SHORT] or None,
                }
            )
