"""Write and read back a 275: documents for a request, asked for or unasked; 005010X211 (BIN) or 006020X316 (BDS).

What the payer asked for goes back under its own control number (TRN01 2); what goes unasked carries the number that
the 278 named it by (PWK06, TRN01 1). Documents are framed by their declared length and may hold any byte.
Sources: the 275 of claims in public examples (005010X210, 006020X314), whose segments these guides share. To be compared
with X211 and X316 before production: NM101 of the payer, REF and DTP of a document, CAT02, OOI, EFI (confirm).
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from connectors.codes import DOCUMENT_TYPE, DOCUMENT_TYPES, REPORT_TYPE, REPORT_TYPES
from connectors.errors import Refused
from connectors.requester import Requester
from connectors.x12 import envelope
from connectors.x12.envelope import Controls, build
from connectors.x12.identity import trace_number
from connectors.x12.parties import Pen, X12Payer, day
from connectors.x12.segments import MAX_BYTES, Segment, segment
from domain.base import Frozen, Key
from domain.decision import InformationAsk, Number, NumberType
from domain.order import DocumentRef
from domain.request import Request

Guide = Literal["005010X211", "006020X316"]
_UNSOLICITED, _RESPONSE = "02", "11"
"""BGN01."""
_OURS, _THEIRS = "1", "2"
"""TRN01: a number that we gave, or one that the payer gave."""
_FORMATS = MappingProxyType({"text/plain": "TX", "application/xml": "HL", "text/xml": "HL"})
"""CAT02 by media type: text, an HL7 document; everything else is an image (IA)."""
_IMAGE = "IA"
_FAMILY, _GIVEN = 60, 35
_ENVELOPE = 10_000
"""Bytes that are left for everything but the documents."""


class Attached(Frozen):
    """A document as it was read back."""

    control_number: str
    solicited: bool
    """Whether the number is the payer's."""
    report_type: str
    member_id: str
    content: bytes


def attachments_275(
    request: Request,
    practice: Requester,
    payer: X12Payer,
    asks: Iterable[InformationAsk],
    documents: tuple[DocumentRef, ...],
    contents: Mapping[str, bytes],
    *,
    guide: Guide,
    at: datetime,
    controls: Controls,
    numbers: tuple[Number, ...] = (),
) -> bytes:
    """Return the interchange with one transaction that holds all documents. `contents` are the documents by id.

    Raises:
        Refused: the content of a document is missing, or all together are too large (`attachment_too_large`).
        Unwritable: a name or number cannot be written.
    """
    if any(ref.id not in contents for ref in documents):
        raise Refused("document_missing")
    pen, moment = Pen(payer.charset), at.astimezone(UTC)
    known, patient = tuple(asks), request.order.patient
    named = [n.value for n in numbers if n.type is NumberType.ADMINISTRATIVE]
    first = min(line.service_from for line in request.service_lines)
    body = [
        segment(
            "BGN",
            _RESPONSE if known else _UNSOLICITED,
            pen.key(trace_number(request.trace)),
            f"{moment:%Y%m%d}",
            f"{moment:%H%M}",
        ),
        _organization("PR", payer.name, payer.code_qualifier, pen.key(payer.payer_code), pen),
        _organization("41", practice.name, "46", payer.sender, pen),
        _organization("1P", practice.name, "XX", practice.npi, pen),
        segment(
            "NM1",
            "QC",
            1,
            pen.words(patient.family_name, _FAMILY),
            pen.words(patient.given_name, _GIVEN),
            None,
            None,
            None,
            "MI",
            pen.key(request.coverage.member_id),
        ),
        segment("DTP", "472", "D8", day(first)),
    ]
    for place, ref in enumerate(documents, start=1):
        ask = _answered(ref, known)
        body += [
            segment("LX", place),
            _trace(request, ref, ask, pen),
            *([segment("REF", "NT", pen.key(named[-1]))] if named else []),
            segment("DTP", "368", "D8", f"{moment:%Y%m%d}"),
            segment("CAT", report_type(ref), _FORMATS.get(ref.media_type.partition(";")[0].strip(), _IMAGE)),
            *_content(contents[ref.id], guide),
        ]
    if sum(len(one.binary or b"") for one in body) > MAX_BYTES - _ENVELOPE:
        raise Refused("attachment_too_large")
    return build(payer.route, controls, at, "275", guide, [body])


def report_type(ref: DocumentRef) -> str:
    """Return the X12 report type (PWK01) of a document, as the 278 names it."""
    return REPORT_TYPES.get(ref.kind, REPORT_TYPE)


def read_attachments(body: bytes) -> tuple[Attached, ...]:
    """Return the documents in a 275 of either guide, in order.

    Raises:
        NotX12: it is no X12.
        Refused: a document is cut off or is no Base64.
    """
    found: list[Attached] = []
    for interchange in envelope.read(body):
        if any(problem.code in {"BINARY_LENGTH", "CUT_OFF"} for problem in interchange.all_problems):
            raise Refused("attachment:cut_off")
        for transaction in interchange.transactions:
            if transaction.set_id == "275":
                found += _documents(transaction.segments)
    return tuple(found)


def _documents(segments: tuple[Segment, ...]) -> list[Attached]:
    found: list[Attached] = []
    member, number, solicited, report = "", "", False, ""
    for one in segments:
        if one.is_("NM1", "QC"):
            member = one.get(9)
        elif one.id == "TRN":
            number, solicited = one.get(2), one.get(1) == _THEIRS
        elif one.id == "CAT":
            report = one.get(1)
        elif one.binary is not None:
            content = one.binary if one.id == "BIN" else _decoded(one)
            found.append(
                Attached(
                    control_number=number, solicited=solicited, report_type=report, member_id=member, content=content
                )
            )
    return found


def _decoded(bds: Segment) -> bytes:
    if bds.get(1) != "B64":
        return bds.binary or b""
    try:
        return base64.b64decode(bds.binary or b"", validate=True)
    except binascii.Error:
        raise Refused("attachment:not_base64") from None


def _answered(ref: DocumentRef, asks: tuple[InformationAsk, ...]) -> InformationAsk | None:
    """What a document answers: the ask that names its type, else the first; None where it goes unasked."""
    codes = {report_type(ref), DOCUMENT_TYPES.get(ref.kind, DOCUMENT_TYPE)}
    naming = (ask for ask in asks if codes & {reason.code for reason in ask.what})
    return next(naming, asks[0] if asks else None)


def _trace(request: Request, ref: DocumentRef, ask: InformationAsk | None, pen: Pen) -> Segment:
    """What ties a document to the request: the payer's number where it asked by one, else ours."""
    if ask is None:
        return segment("TRN", _OURS, request.control_number(ref))
    theirs = ask.control_number or ask.context
    return segment("TRN", _THEIRS if theirs else _OURS, pen.key(theirs or trace_number(request.trace)))


def _content(content: bytes, guide: Guide) -> list[Segment]:
    if guide == "005010X211":
        return [segment("EFI", "05"), segment("BIN", len(content), "", binary=content)]
    coded = base64.b64encode(content)
    return [segment("OOI", 1, "47", "ATTACHMENT"), segment("BDS", "B64", len(coded), "", binary=coded)]


def _organization(role: str, name: str, qualifier: str, value: Key, pen: Pen) -> Segment:
    return segment("NM1", role, 2, pen.words(name, _FAMILY), None, None, None, None, qualifier, value)
