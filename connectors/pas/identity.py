"""By what our messages are known: every id is made from the request's trace, so the same request is the same bytes."""

import uuid
from types import MappingProxyType

from connectors.ours import Ours
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


def line_trace(request: Request, line: int) -> str:
    """Return our number of one line of a request: over updates a line keeps the number that it was first sent with."""
    asked = [one for one in request.versions if line in one.lines]
    return item_trace((asked or [request])[-1].trace, line)


def cancel_trace(trace: str) -> str:
    """Return the identifier of the message that cancels a request: an update has one of its own."""
    return f"{trace}.cancel"


def ours(request: Request) -> Ours:
    """Return what an answer to a request, or to its cancel, may be matched by."""
    trace = request.trace
    # A line's own number does not name the request: an update keeps the numbers of the lines before it.
    names = {trace, cancel_trace(trace), *(item_trace(trace, line) for line in request.lines)}
    names |= {full_url(trace, what) for what in ("claim", "cancel")}
    return Ours(
        trace=trace,
        names=frozenset(names),
        member_id=request.coverage.member_id,
        lines=MappingProxyType({line.number: line.code for line in request.service_lines}),
        taken_back=frozenset(line for one in request.versions for line in one.lines) - frozenset(request.lines),
    )
