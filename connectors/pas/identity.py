"""By what our messages are known: every id is made from the request's trace, so the same request is the same bytes."""

import uuid
from collections.abc import Mapping
from types import MappingProxyType

from domain.base import Frozen, Key
from domain.decision import Decision
from domain.request import Request

NAMESPACE = uuid.UUID("6f1d3c1e-3b0a-5d4e-9a52-7b6f2f1c0a11")
"""Of every UUID that is made here (RFC 9562, version 5)."""


def entry_id(trace: str, what: str) -> str:
    """Return the UUID of a resource in a request's messages."""
    return str(uuid.uuid5(NAMESPACE, f"{trace}\n{what}"))


def full_url(trace: str, what: str) -> str:
    """Return the fullUrl of that resource."""
    return f"urn:uuid:{entry_id(trace, what)}"


def item_trace(trace: str, line: int) -> str:
    """Return our number of one line (X12 2000F TRN), the context of a questionnaire about it."""
    return f"{trace}.{line}"


def cancel_trace(trace: str) -> str:
    """Return the identifier of the message that cancels a request: an update has one of its own."""
    return f"{trace}.cancel"


class Ours(Frozen):
    """The request that an answer should be about, as far as one can tell from an answer."""

    trace: Key
    names: frozenset[str]
    """Identifiers and references by which an answer may name the request."""
    member_id: Key
    lines: Mapping[int, str]
    """The procedure code of each line, by line number (the sequence of the item)."""

    def answered_by(self, decision: Decision) -> bool:
        """Whether an answer is about this request: one of trace and member id says so, and the other does not object."""
        says = [decision.trace == self.trace] if decision.trace is not None else []
        says += [decision.member_id == self.member_id] if decision.member_id is not None else []
        return bool(says) and all(says)


def ours(request: Request) -> Ours:
    """Return what an answer to a request, or to its cancel, may be matched by."""
    trace = request.trace
    names = {trace, cancel_trace(trace), *(item_trace(trace, line) for line in request.lines)}
    names |= {full_url(trace, what) for what in ("claim", "cancel")}
    return Ours(
        trace=trace,
        names=frozenset(names),
        member_id=request.coverage.member_id,
        lines=MappingProxyType({line.number: line.code for line in request.service_lines}),
    )
