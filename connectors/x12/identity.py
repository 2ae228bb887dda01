"""By what our X12 messages are known: trace numbers made from the request's trace, the same on every retry."""

import hashlib
from types import MappingProxyType

from connectors.ours import Ours
from domain.decision import Number, NumberType
from domain.request import Request

_LONGEST = 50
"""TRN02, BHT03 and REF02 (005010)."""
_NAMING = frozenset({NumberType.CERTIFICATION, NumberType.ADMINISTRATIVE, NumberType.PROVISIONAL, NumberType.REFERRAL})


def trace_number(trace: str) -> str:
    """Return the trace as TRN02 carries it: itself, or its beginning and its digest where it is too long."""
    if len(trace) <= _LONGEST:
        return trace
    return f"{trace[:29]}-{hashlib.sha256(trace.encode()).hexdigest()[:20]}"


def line_trace(trace: str, line: int) -> str:
    """Return our number of one service line (2000F TRN)."""
    return trace_number(f"{trace}.{line}")


def cancel_trace(trace: str) -> str:
    """Return the number of the message that cancels a request."""
    return trace_number(f"{trace}.cancel")


def inquiry_trace(trace: str) -> str:
    """Return the number of an inquiry about a request. Its echo names the inquiry and not what was found."""
    return trace_number(f"{trace}.inquiry")


def ours(request: Request, numbers: tuple[Number, ...] = ()) -> Ours:
    """Return what an answer to a request, or to its cancel, may be matched by.

    `numbers` are the payer's numbers that we hold: an inquiry's answer names the request by them.
    """
    trace = request.trace
    names = {trace, trace_number(trace), cancel_trace(trace), *(line_trace(trace, line) for line in request.lines)}
    names |= {name.upper() for name in names}
    names |= {number.value for number in numbers if number.type in _NAMING}
    return Ours(
        trace=trace,
        names=frozenset(names),
        member_id=request.coverage.member_id,
        lines=MappingProxyType({line.number: line.code for line in request.service_lines}),
    )
