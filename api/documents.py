"""Documents of a case: bring one, read one. Content is sealed in the store; a case knows it by reference."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from api.answers import PROBLEMS, ReportAnswer, problem_answers, reported
from api.auth import Caller, Staff
from api.cases import report
from api.finding import live, read_case
from api.once import OnceRoute
from api.problems import Problem, away
from connectors.documents import (
    ANSWER_TYPES,
    DOCUMENT_TYPES,
    DocumentDamaged,
    DocumentEmpty,
    DocumentMissing,
    DocumentTooLarge,
    DocumentTypeRefused,
    plain_type,
)
from connectors.errors import ConnectorError
from domain.base import Frozen
from domain.facts import DocumentAdded, Fact
from domain.messages import Standing
from domain.order import DocumentRef
from runtime.errors import KeyRingError
from runtime.logs import get_logger
from store.documents import note
from store.errors import StoreAway

router = APIRouter(
    prefix="/v1/cases/{case_id}/documents", tags=["documents"], route_class=OnceRoute, responses=PROBLEMS
)
log = get_logger(__name__)

_ANY = {"schema": {"type": "string", "format": "binary"}}


class DocumentAnswer(Frozen):
    """A document that is kept, and where the case stands now."""

    document: DocumentRef
    report: ReportAnswer


@router.post(
    "",
    status_code=201,
    summary="Bring a document",
    openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(sorted(DOCUMENT_TYPES), _ANY)}},
)
async def post_document(
    case_id: str,
    request: Request,
    caller: Staff,
    kind: Annotated[
        str, Query(pattern=r"^[a-z][a-z0-9_]{1,40}$", description="order, office_note, imaging_report, evidence, …")
    ],
    dated: Annotated[date | None, Query(description="The day that the document speaks of.")] = None,
    signed: Annotated[bool, Query(description="Whether a clinician signed it.")] = True,
    attach: Annotated[
        bool, Query(description="Whether the case takes it up now; false for what a task's result will name.")
    ] = True,
) -> DocumentAnswer:
    """Keep a document: the body is its content, of at most 25 MB, with its media type.

    Its reference is in the answer: a task's result names it as evidence or as one of its documents.
    """
    found = await live(caller, case_id, "document.add")
    media_type = plain_type(request.headers.get("content-type", ""))
    try:
        document = await caller.services.documents.put(
            caller.practice, await request.body(), kind, media_type, dated, signed=signed
        )
    except DocumentTooLarge as error:
        raise Problem(413, error.code, str(error)) from None
    except DocumentTypeRefused as error:
        raise Problem(415, error.code, str(error)) from None
    except DocumentEmpty as error:
        raise Problem(422, error.code, str(error)) from None
    except ConnectorError:
        raise away("The store of documents") from None
    try:
        await note(caller.services.database, caller.practice, case_id, document)
    except StoreAway:
        log.warning("PostgreSQL is away; that a document was kept is noted by the case alone", case_id=case_id)
    if not attach or found.case.documents.get(document.id) == document:
        standing = await caller.services.cases.standing(caller.practice, case_id)
        answer = reported(caller, Standing(n=standing.n, repeated=attach, view=standing.view))
    else:
        fact = DocumentAdded(
            occurred_at=found.now, by=caller.by, source_id=caller.source_id("document"), document=document
        )
        answer = await report(caller, case_id, [fact])
    return DocumentAnswer(document=document, report=answer)


@router.get(
    "/{document_id}",
    summary="Read a document",
    response_class=Response,
    responses={
        200: {
            "content": dict.fromkeys(sorted(ANSWER_TYPES), _ANY),
            "description": "The content, as an attachment.",
        },
        **problem_answers(410),
    },
)
async def get_document(case_id: str, document_id: str, caller: Staff) -> Response:
    """The content of a document that the case names, raw answers of payers included. It is never shown as a page."""
    case = await read_case(caller, case_id, "document.read")
    document = _named(case.facts, document_id)
    if document is None:
        raise Problem(404, "document_unknown", "The case names no such document.")
    content = await content_of(caller, document)
    return Response(
        content,
        media_type=document.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{document.kind}-{document.id[:8]}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


async def content_of(caller: Caller, document: DocumentRef) -> bytes:
    """The content of a document of the caller's practice.

    Raises `Problem`: it is not there any more, or is not what was kept (410), or the store is away (503).
    """
    try:
        return await caller.services.documents.get(caller.practice, document.id)
    except (DocumentMissing, DocumentDamaged, KeyRingError) as error:
        code = error.code if isinstance(error, ConnectorError) else "document_damaged"
        log.warning("a document that is named cannot be read", code=code)
        raise Problem(410, code, str(error)) from None
    except ConnectorError:
        raise away("The store of documents") from None


def _named(facts: tuple[Fact, ...], document_id: str) -> DocumentRef | None:
    return next((ref for fact in facts for ref in _references(fact) if ref.id == document_id), None)


def _references(value: Any) -> Iterator[DocumentRef]:
    """Every document that a fact names, wherever in it."""
    if isinstance(value, DocumentRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _references(part)
