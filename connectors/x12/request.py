"""Write the 278 request (005010X217): initial, revised, cancelled, review or referral.

Deterministic: the same request is the same segments, and with the same control numbers the same bytes. One transaction
asks for one patient event, with one service level for each line of the order.
Order of segments: base standard; content: published examples. To be compared with the guide before production (confirm).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from connectors.codes import (
    REPORT_TYPE,
    REPORT_TYPES,
    ROLE_ORDERING,
    ROLE_RENDERING,
    SERVICE_TYPES,
    UNIT_KINDS,
)
from connectors.requester import Requester
from connectors.x12 import parties, words
from connectors.x12.envelope import Controls, build
from connectors.x12.identity import cancel_trace, line_trace, trace_number
from connectors.x12.parties import Pen, X12Payer, day
from connectors.x12.segments import Segment, Value, segment
from domain.decision import Number, NumberType
from domain.order import Relationship, ServiceLine
from domain.request import Request

Kind = Literal["request", "cancel"]
Guide = Literal["005010X217", "005010X215"]
_MESSAGE = 264
"""MSG01."""
_QUALIFIERS = MappingProxyType(
    {NumberType.REFERRAL: "BB", NumberType.CERTIFICATION: "BB", NumberType.ADMINISTRATIVE: "NT"}
)
"""X12 128 (REF01); where a payer gave a referral's and a certification's number, the latter names the request."""


def request_278(
    request: Request,
    requester: Requester,
    payer: X12Payer,
    kind: Kind = "request",
    numbers: tuple[Number, ...] = (),
) -> list[Segment]:
    """Return the body of a transaction that asks for a request's lines, or cancels all of it.

    A request with a `prior` is a revision: lines that are new are initial, those that are no longer asked for are
    cancelled. `numbers` are the payer's for what is cancelled; a revision has its own in `prior_numbers`.
    """
    return _Writer(request, requester, payer, kind, numbers).body()


def interchange(
    bodies: Sequence[Sequence[Segment]],
    payer: X12Payer,
    controls: Controls,
    at: datetime,
    guide: Guide = "005010X217",
) -> bytes:
    """Close the envelope around the bodies of requests or of inquiries; `at` is a request's `made_at`.

    Raises:
        Unwritable: data holds a delimiter or a character that X12 does not have; `checks.check` says it by field.
    """
    return build(payer.route, controls, at, "278", guide, bodies)


def head(purpose: str, reference: str, made_at: datetime) -> Segment:
    """The beginning of a transaction (BHT), dated in UTC."""
    at = made_at.astimezone(UTC)
    return segment("BHT", words.STRUCTURE, purpose, reference, f"{at:%Y%m%d}", f"{at:%H%M}")


def patient_levels(request: Request, requester: Requester, payer: X12Payer, pen: Pen) -> list[Segment]:
    """Payer, requester, subscriber and, where they are not the same, patient: loops 2000A to 2000D."""
    coverage, patient = request.coverage, request.order.patient
    itself = coverage.relationship is Relationship.SELF
    made = [
        segment("HL", 1, None, words.PAYER, 1),
        *parties.payer(payer, pen),
        segment("HL", 2, 1, words.REQUESTER, 1),
        *parties.requester(requester, pen),
        segment("HL", 3, 2, words.SUBSCRIBER, 1),
        *parties.subscriber(coverage, patient if itself else None, pen),
    ]
    if not itself:
        made += [segment("HL", 4, 3, words.DEPENDENT, 1), *parties.dependent(coverage, patient, pen)]
    return made


def last_level(segments: Sequence[Segment]) -> int:
    """The number of the last level that was written."""
    return max(int(one.get(1)) for one in segments if one.id == "HL")


def references(numbers: tuple[Number, ...], pen: Pen) -> list[Segment]:
    """The payer's numbers by what they are: BB certification, NT administrative; the latest of each kind."""
    latest: dict[str, str] = {}
    for kind, qualifier in _QUALIFIERS.items():
        for number in numbers:
            if number.type is kind:
                latest[qualifier] = number.value
    return [segment("REF", qualifier, pen.key(latest[qualifier])) for qualifier in ("BB", "NT") if qualifier in latest]


def providers(request: Request, pen: Pen) -> list[Segment]:
    """The event's providers: who orders, who renders, and where."""
    order = request.order
    made = parties.clinician(order.ordering, ROLE_ORDERING, pen)
    if order.rendering is not None:
        made += parties.clinician(order.rendering, ROLE_RENDERING, pen)
    return [*made, *parties.facility(order.facility, pen)] if order.facility is not None else made


def served(line: ServiceLine) -> Segment:
    """When a line is to be given: one day, or a span of days."""
    if line.service_to is None or line.service_to == line.service_from:
        return segment("DTP", words.SERVICE_DATE, "D8", day(line.service_from))
    return segment("DTP", words.SERVICE_DATE, "RD8", f"{day(line.service_from)}-{day(line.service_to)}")


def category(request: Request) -> str:
    """What is asked for: a referral or a review."""
    return words.REFERRAL if request.referral else words.REVIEW


def place(line: ServiceLine) -> tuple[str, str]:
    """A line's place of service (UM04)."""
    return line.place_of_service, words.PLACE_OF_SERVICE


class _Writer:
    """One transaction in the making."""

    def __init__(
        self, request: Request, requester: Requester, payer: X12Payer, kind: Kind, numbers: tuple[Number, ...]
    ) -> None:
        self._request = request
        self._requester = requester
        self._payer = payer
        self._cancels = kind == "cancel"
        self._pen = Pen(payer.charset)
        self._numbers = (*request.prior_numbers, *numbers)
        trace = request.trace
        self._trace = self._pen.key(cancel_trace(trace) if self._cancels else trace_number(trace))

    def body(self) -> list[Segment]:
        """What stands between ST and SE."""
        made = [head(words.PURPOSE_REQUEST, self._trace, self._request.made_at)]
        made += patient_levels(self._request, self._requester, self._payer, self._pen)
        above = last_level(made)
        made += [segment("HL", above + 1, above, words.EVENT, 1), *self._event()]
        lines = [(line, self._certification(line)) for line in self._request.service_lines]
        lines += [(line, words.CANCEL) for line in self._withdrawn()]
        for count, (line, certification) in enumerate(lines, start=above + 2):
            made += [segment("HL", count, above + 1, words.SERVICE, 0), *self._line(line, certification)]
        return made

    def _event(self) -> list[Segment]:
        order = self._request.order
        certification = words.REVISED if self._request.prior is not None else words.INITIAL
        made = [
            segment("TRN", 1, self._trace, self._requester.originator),
            self._review(self._request.service_lines[0], words.CANCEL if self._cancels else certification, event=True),
            *references(self._numbers, self._pen),
            segment("HI", *self._diagnoses()),
        ]
        if not self._cancels:
            made += [self._document(number, kind) for number, kind in self._documents()]
            if order.urgency_attestation:
                made.append(segment("MSG", self._pen.message(order.urgency_attestation, _MESSAGE)))
        return [*made, *providers(self._request, self._pen)]

    def _review(self, line: ServiceLine, certification: str, *, event: bool) -> Segment:
        """The UM of the event, or of a line."""
        start: list[Value] = [category(self._request), certification, SERVICE_TYPES[line.category], place(line)]
        if not event:
            return segment("UM", *start)
        return segment("UM", *start, None, words.LEVELS.get(self._request.order.urgency), None, None, words.RELEASED)

    def _line(self, line: ServiceLine, certification: str) -> list[Segment]:
        trace = self._pen.key(line_trace(self._request.trace, line.number))
        made = [
            segment("TRN", 1, trace, self._requester.originator),
            self._review(line, certification, event=False),
            served(line),
            segment("SV1", ("HC", line.code, *line.modifiers), None, "UN", line.units),
        ]
        counted = UNIT_KINDS.get(line.unit_kind)
        return [*made, segment("HSD", counted, line.units)] if counted else made

    def _certification(self, line: ServiceLine) -> str:
        if self._cancels:
            return words.CANCEL
        prior = self._request.prior
        return words.INITIAL if prior is None or line.number not in prior.lines else words.REVISED

    def _withdrawn(self) -> tuple[ServiceLine, ...]:
        """Lines of the prior request that are no longer asked for."""
        prior = self._request.prior
        if prior is None or self._cancels:
            return ()
        return tuple(line for line in prior.service_lines if line.number not in self._request.lines)

    def _diagnoses(self) -> list[tuple[str, str]]:
        codes = [code.replace(".", "") for code in self._request.order.diagnoses]
        return [("ABF" if number else "ABK", code) for number, code in enumerate(codes)]

    def _documents(self) -> list[tuple[str, str]]:
        return [(self._request.control_number(ref), ref.kind) for ref in self._request.documents]

    def _document(self, control_number: str, kind: str) -> Segment:
        report = REPORT_TYPES.get(kind, REPORT_TYPE)
        described = self._pen.words(kind.replace("_", " "), 80)
        return segment("PWK", report, self._payer.transmission, None, None, "AC", control_number, described)
