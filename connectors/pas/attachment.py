"""What a practice sends after the request: `$submit-attachment` of CDex, asked for or unasked.

One message for each thing that the payer tracks: PAS wants PWK01, LOINC and questionnaire requests answered apart.
Source: HL7 Da Vinci CDex 2.1.0, OperationDefinition `submit-attachment`; PAS 2.2.1 "Request for Additional Information".
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from connectors.codes import QUESTIONNAIRE
from connectors.errors import Refused
from connectors.lenient import Json, NotJson, objects, parse, raw
from connectors.pas import parties
from connectors.pas.documents import document_reference, document_type, form, is_form, report_type
from connectors.pas.fhir import codings
from connectors.pas.parties import PasPayer
from connectors.pas.words import NPI
from connectors.raw import RawAnswer
from connectors.requester import Requester
from domain.base import Frozen, Key
from domain.decision import InformationAsk, Number, NumberType
from domain.order import DocumentRef
from domain.request import Request

_CDEX = "http://hl7.org/fhir/us/davinci-cdex/StructureDefinition/cdex-parameters-submit-attachment"
_ISSUES = frozenset(
    {
        "invalid", "structure", "required", "value", "invariant", "security", "login", "unknown", "expired",
        "forbidden", "processing", "not-supported", "duplicate", "multiple-matches", "not-found", "too-long",
        "code-invalid", "extension", "business-rule", "conflict",
    }
)  # fmt: skip
"""FHIR issue types: only these go on from an answer into an error's code."""


class Attachment(Frozen):
    """Documents for one thing that the payer tracks."""

    tracking: Key
    """The payer's control number of what it asked for; unasked, our own trace of the request."""
    asked: InformationAsk | None
    documents: tuple[DocumentRef, ...]
    final: bool


def attachments(
    request: Request, asks: Iterable[InformationAsk], documents: tuple[DocumentRef, ...]
) -> list[Attachment]:
    """Return what to send: each document with the ask that names its type, else with the first that fits its kind.

    A form answers a questionnaire, other documents answer the rest; what answers no ask goes with the first.
    An ask for which there is no document is left out.
    """
    known = list(asks)
    if not known:
        return [Attachment(tracking=request.trace, asked=None, documents=documents, final=True)]
    chosen: dict[int, list[DocumentRef]] = {}
    for ref in documents:
        chosen.setdefault(_answers(ref, known), []).append(ref)
    last = max(chosen)
    return [
        Attachment(
            tracking=known[place].control_number or known[place].context or request.trace,
            asked=known[place],
            documents=tuple(chosen[place]),
            final=place == last,
        )
        for place in sorted(chosen)
    ]


def _answers(ref: DocumentRef, asks: list[InformationAsk]) -> int:
    """The place of the ask that a document answers."""
    codes = {code["code"] for made in (document_type(ref), report_type(ref)) for code in codings(made)}
    wanted = [{reason.code for reason in ask.what} for ask in asks]
    by_type = (place for place, named in enumerate(wanted) if named & (codes if not is_form(ref) else {QUESTIONNAIRE}))
    by_kind = (place for place, named in enumerate(wanted) if (QUESTIONNAIRE in named) == is_form(ref))
    return next(by_type, next(by_kind, 0))


def attachment_parameters(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    attachment: Attachment,
    contents: Mapping[str, bytes],
    numbers: tuple[Number, ...] = (),
) -> Json:
    """Return the Parameters of `$submit-attachment`. `contents` are the documents by id.

    Raises:
        Refused: the content of a document is not there, or a form is none.
    """
    order, coverage = request.order, request.coverage
    member = {"system": payer.member_system, "value": coverage.member_id}
    asked, line = attachment.asked, attachment.asked.line if attachment.asked is not None else None
    unasked = {"system": practice.trace_system, "value": attachment.tracking}
    administrative = [n.value for n in numbers if n.type is NumberType.ADMINISTRATIVE]
    given: list[Json] = [
        {"name": "TrackingId", "valueIdentifier": unasked if asked is None else _of_payer(payer, attachment.tracking)},
        *({"name": "AdminRefNumber", "valueIdentifier": _of_payer(payer, number)} for number in administrative[-1:]),
        {"name": "AttachTo", "valueCode": "preauthorization"},
        {"name": "PayerId", "valueIdentifier": parties.payer_identifier(payer)},
        {"name": "OrganizationId", "valueIdentifier": {"system": NPI, "value": practice.npi}},
        {"name": "ProviderId", "valueIdentifier": {"system": NPI, "value": order.ordering.npi}},
        {"name": "MemberId", "valueIdentifier": member},
        {"name": "ServiceDate", "valueDate": min(one.service_from for one in request.service_lines).isoformat()},
    ]
    subject = {"identifier": parties.member(payer, coverage)}
    for ref in attachment.documents:
        if ref.id not in contents:
            raise Refused("document_missing")
        parts: list[Json] = [{"name": "LineItem", "valueString": str(line)}] if line is not None else []
        parts.append({"name": "Code", "valueCodeableConcept": document_type(ref)})
        parts.append({"name": "Content", "resource": _content(request, ref, contents[ref.id], subject)})
        given.append({"name": "Attachment", "part": parts})
    given.append({"name": "Final", "valueBoolean": attachment.final})
    return {"resourceType": "Parameters", "meta": {"profile": [_CDEX]}, "parameter": given}


def _of_payer(payer: PasPayer, value: str) -> Json:
    return {"system": payer.number_system, "value": value}


def _content(request: Request, ref: DocumentRef, content: bytes, subject: Json) -> Json:
    if not is_form(ref):
        return document_reference(ref, content, subject, None)
    clinician = {"identifier": {"system": NPI, "value": request.order.ordering.npi}}
    by_type = {"Patient": subject, "Practitioner": clinician, "PractitionerRole": clinician}
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": form(content, by_type.get)}]}


def is_held(answer: RawAnswer) -> bool:
    """Whether the payer took the documents, and keeps them for a request that it does not know yet.

    Raises:
        Refused: it did not take them; `attachment_too_large` where they are too large.
        NotJson: a success that says something else than that it took them.
    """
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise Refused("attachment_too_large")
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise Refused(":".join(["attachment", str(answer.status), *_issue_codes(answer.body)]))
    if not answer.body.strip():
        return False
    found = parse(answer.body)
    severities = {raw(issue.get("severity")) for issue in objects(found.get("issue"))}
    if found.get("resourceType") != "OperationOutcome" or not severities <= {"information", "success"}:
        raise NotJson("The answer to the documents is neither empty nor a remark.")
    return "information" in severities


def _issue_codes(body: bytes) -> list[str]:
    try:
        found = parse(body)
    except NotJson:
        return []
    codes = (raw(issue.get("code")) for issue in objects(found.get("issue")))
    return sorted({code for code in codes if code in _ISSUES})[:3]
