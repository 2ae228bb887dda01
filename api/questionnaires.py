"""Payers' forms (DTR): read one, as JSON or as a page; save its answers; submit them.

A browser may send the token as the password of HTTP Basic, here only, since a page cannot send a header. What it posts must
then come from this page's own address: the browser says so.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import Field, ValidationError

from api.answers import PROBLEMS, ReportAnswer, case_path, problem_answers
from api.auth import Caller, authenticate, bearer
from api.bodies import read_json
from api.cases import already, report, wrong_result
from api.documents import content_of
from api.finding import live, read_case
from api.once import OnceRoute
from api.problems import FieldProblem, Problem, away, media_type_refused, wrong_fields
from api.questionnaire_page import page, posted
from connectors.documents import plain_type
from connectors.dtr.package import Package, read_kept
from connectors.errors import ConnectorError
from domain.base import Frozen, Instant, Key
from domain.case import Case
from domain.facts import Fact, QuestionnaireAnswered, QuestionnaireReceived, TaskKind
from domain.order import DocumentRef
from domain.questionnaire import Form, ItemType, Json, NotAForm
from domain.questionnaire_check import AnswerProblem, Place, in_play, places, validate
from domain.questionnaire_response import answers_of, build_response, prefill
from domain.results import QuestionnaireFilled
from domain.rules.questionnaire import RESPONSE, answer_in_force
from domain.track import Task
from domain.work import WrongResult, claim, complete
from runtime.logs import get_logger
from store.documents import note
from store.errors import StoreAway
from store.tokens import Role

router = APIRouter(
    prefix="/v1/cases/{case_id}/questionnaires",
    tags=["questionnaires"],
    route_class=OnceRoute,
    responses={**PROBLEMS, **problem_answers(409, 410)},
)
log = get_logger(__name__)

JSON, FHIR_JSON = "application/json", "application/fhir+json"
HTML, FORM_POST = "text/html", "application/x-www-form-urlencoded"
_AS_PAGE = {HTML: {"schema": {"type": "string"}}}
MAX_ATTACHED = 10 * 1024 * 1024
"""Bytes of all documents in one response."""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


class AnswersGiven(Frozen):
    """Answers by linkId: a list for each; of a group that repeats, a list of such objects. A choice by its option's key."""

    answers: dict[str, Any] = Field(examples=[{"2.1": [8], "2.3": ["https://payer.example/side|left"]}])
    complete: bool = Field(default=False, description="Submit it; else it is saved for later.")


class QuestionnaireAnswer(Frozen):
    """A payer's form, and how far it is filled in."""

    ref: Key
    case_id: Key
    task: Key | None = Field(description="The open task of it; none where it is done or no longer needed.")
    due: Instant | None
    status: str = Field(description="new, saved or complete.")
    form: Form
    answers: dict[str, Any] = Field(description="What is answered, or filled in beforehand.")
    counts: tuple[str, ...] = Field(description="The items that count with these answers.")
    lacking: tuple[FieldProblem, ...] = Field(description="What keeps it from being submitted.")


class AnswersTaken(Frozen):
    """The response that is kept, and where the case stands now."""

    response: DocumentRef | None
    report: ReportAnswer


@dataclass(frozen=True)
class _Desk:
    """A form on somebody's desk."""

    case: Case
    received: QuestionnaireReceived
    package: Package
    form: Form
    saved: QuestionnaireAnswered | None
    prefilled: dict[str, Any]
    answers: dict[str, Any]
    task: Task | None

    @property
    def status(self) -> str:
        return "new" if self.saved is None else "complete" if self.saved.complete else "saved"


async def _person(
    request: Request, _declared: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None
) -> Caller:
    """Staff by a bearer token, or in a browser by the token as a password. Raises `Problem`."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        _from_this_page(request)
        request = _with_bearer(request, value)
    try:
        caller = await authenticate(request)
    except Problem as problem:
        if problem.status_code == 401 and _wants_page(request):  # noqa: PLR2004 - so that the browser asks for it
            problem.headers = {"WWW-Authenticate": 'Basic realm="vigil", charset="UTF-8"'}
        raise
    if not caller.may(Role.STAFF):
        await caller.audit("staff refused")
        raise Problem(403, "forbidden", "This needs a token with the role staff.")
    return caller


Person = Annotated[Caller, Depends(_person)]


@router.get(
    "/{ref}",
    summary="Read a payer's form, as JSON or as a page",
    response_model=QuestionnaireAnswer,
    responses={200: {"content": _AS_PAGE}},
)
async def get_questionnaire(case_id: str, ref: str, request: Request, caller: Person, saved: bool = False) -> Response:
    """The form with its items, options and what is answered; a page to fill in where `text/html` is accepted."""
    case = await read_case(caller, case_id, "questionnaire.read")
    desk = await _open(caller, case, ref)
    if _wants_page(request):
        return _page(desk, case_id, desk.answers, (), saved=saved)
    lacking = tuple(map(_field, validate(desk.form, desk.answers)))
    answer = QuestionnaireAnswer(
        ref=ref,
        case_id=case_id,
        task=desk.task.opened.task if desk.task else None,
        due=desk.task.opened.due if desk.task else None,
        status=desk.status,
        form=desk.form,
        answers=desk.answers,
        counts=tuple(place.path for place in places(desk.form, desk.answers)),
        lacking=lacking,
    )
    return Response(answer.model_dump_json(), media_type="application/json")


@router.post(
    "/{ref}/answers",
    summary="Save or submit the answers to a payer's form",
    response_model=AnswersTaken,
    responses={
        303: {"description": "The page was saved; `Location` shows it again."},
        422: {**PROBLEMS[422], "content": {**PROBLEMS[422]["content"], **_AS_PAGE}},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": AnswersGiven.model_json_schema()}, FORM_POST: {}},
        }
    },
)
async def post_answers(case_id: str, ref: str, request: Request, caller: Person) -> Response:
    """Saved, they are kept for later; submitted, they are checked, become the response, and finish the task.

    Whoever submits holds the task from then on; of somebody else's it is refused (409).
    """
    found = await live(caller, case_id, "questionnaire.answer")
    desk = await _open(caller, found.case, ref)
    kind = plain_type(request.headers.get("content-type", ""))
    if kind not in (JSON, FORM_POST):
        raise media_type_refused(JSON, FORM_POST)
    is_page = kind == FORM_POST
    source = caller.source_id("form")
    if f"{source}#0" in found.case.sources:
        taken = AnswersTaken(response=None, report=await already(caller, case_id))
        return Response(taken.model_dump_json(), media_type="application/json")
    if desk.task is None:
        raise Problem(409, "form_done", "This form is filled in, or no longer needed. Look at the case again.")
    given = await _given(request, desk.form, is_page=is_page)
    answers = _with_fixed(desk, given.answers)
    problems = list(validate(desk.form, answers, complete=given.complete))
    attachments: dict[str, Json] = {}
    if not problems:
        attachments, problems = await _attachments(caller, desk, answers)
    if problems:
        if is_page:
            return _page(desk, case_id, answers, problems, status=422)
        raise Problem(
            422,
            "answers_invalid",
            "Some answers are missing or cannot be used; `errors` names each item.",
            title="The form is not complete" if given.complete else "The answers cannot be saved",
            errors=[_field(problem) for problem in problems[:100]],
        )
    response = build_response(
        desk.form,
        answers,
        status="completed" if given.complete else "in-progress",
        authored=found.now,
        prefilled=desk.prefilled,
        attachments=attachments,
        identifier=ref,
    )
    kept = await _keep(caller, case_id, response)
    facts = _facts(caller, desk, kept, found.now, source, complete_now=given.complete)
    told = await report(caller, case_id, facts)
    if is_page:
        return RedirectResponse(f"{_path(case_id, ref)}?saved=true", status_code=303)
    return Response(AnswersTaken(response=kept, report=told).model_dump_json(), media_type="application/json")


async def _open(caller: Caller, case: Case, ref: str) -> _Desk:
    """The form that a case has under a name, with what is answered. Raises `Problem`."""
    received = next((form for form in case.forms if form.ref == ref), None)
    if received is None:
        raise Problem(404, "form_unknown", "The case has no such form.")
    if received.adaptive:
        detail = (
            "The payer asks one question after another: answer at the payer's, and attach the response to the case."
        )
        raise Problem(409, "form_adaptive", detail)
    saved = answer_in_force(case, received)
    try:
        package = read_kept(await content_of(caller, received.form))
        form = package.form()
    except NotAForm as error:
        log.error("a payer's form that was kept cannot be read", case_id=case.id)  # noqa: TRY400 - it may quote the form
        raise Problem(410, "form_damaged", str(error)) from None
    track = case.tracks.get(received.track or "")
    rank = track.requirement.rank if track else case.order.primary.rank
    begun = prefill(form, case.order, rank, package.draft)
    answers = answers_of(form, json.loads(await content_of(caller, saved.response))) if saved else begun
    task = next(
        (
            task
            for task in case.open_tasks
            if task.opened.task_kind is TaskKind.FILL_QUESTIONNAIRE and task.opened.cause == ref
        ),
        None,
    )
    return _Desk(case, received, package, form, saved, begun, answers, task)


async def _given(request: Request, form: Form, *, is_page: bool) -> AnswersGiven:
    body = await request.body()
    try:
        if is_page:
            answers, submit = posted(form, body)
            return AnswersGiven(answers=answers, complete=submit)
        return AnswersGiven.model_validate(read_json(body))
    except ValidationError as error:
        raise wrong_fields(error) from None
    except ValueError:
        raise Problem(422, "fields_invalid", "The form that was posted cannot be read.") from None


def _with_fixed(desk: _Desk, given: dict[str, Any]) -> dict[str, Any]:
    """The answers, with those that nobody may change as they were filled in beforehand."""
    fixed = {item.link_id for item in desk.form.walk() if item.read_only or item.hidden}
    own = {link: value for link, value in given.items() if link not in fixed}
    return own | {link: value for link, value in desk.prefilled.items() if link in fixed}


async def _attachments(
    caller: Caller, desk: _Desk, answers: dict[str, Any]
) -> tuple[dict[str, Json], list[AnswerProblem]]:
    """The case's documents that answers name, as FHIR Attachments; what cannot go along is a problem."""
    found: dict[str, Json] = {}
    problems: list[AnswerProblem] = []
    room = MAX_ATTACHED
    for place in places(desk.form, in_play(desk.form, answers)):
        if place.item.type is not ItemType.ATTACHMENT:
            continue
        for name in dict.fromkeys(place.values):
            ref = desk.case.documents.get(name)
            room -= ref.size if ref is not None and name not in found else 0
            wrong = _unfit(place, ref, room)
            if wrong is not None or ref is None:
                problems.append(AnswerProblem(link_id=place.item.link_id, path=place.path, text=wrong or ""))
                continue
            content = await content_of(caller, ref)
            found[name] = {"contentType": ref.media_type, "size": ref.size, "data": base64.b64encode(content).decode()}
    return found, problems


def _unfit(place: Place, ref: DocumentRef | None, room: int) -> str | None:
    item = place.item
    if ref is None:
        return "The case has no such document; bring it first."
    if item.media_types and ref.media_type not in item.media_types:
        return f"The payer takes {', '.join(item.media_types)} only."
    if item.max_bytes is not None and ref.size > item.max_bytes:
        return f"The payer takes at most {item.max_bytes // 1024} KB."
    return "All documents together may have 10 MB." if room < 0 else None


async def _keep(caller: Caller, case_id: str, response: Json) -> DocumentRef:
    content = json.dumps(response, separators=(",", ":"), ensure_ascii=False).encode()
    try:
        kept = await caller.services.documents.put(caller.practice, content, RESPONSE, FHIR_JSON)
    except ConnectorError:
        raise away("The store of documents") from None
    try:
        await note(caller.services.database, caller.practice, case_id, kept)
    except StoreAway:
        log.warning("PostgreSQL is away; that a document was kept is noted by the case alone", case_id=case_id)
    return kept


def _facts(
    caller: Caller, desk: _Desk, kept: DocumentRef, now: Instant, source: str, *, complete_now: bool
) -> list[Fact]:
    """What is reported: the saved answers; or the response and the end of its task, claimed where nobody holds it."""
    assert desk.task is not None  # noqa: S101 - the door looked
    opened = desk.task.opened
    if not complete_now:
        answered = QuestionnaireAnswered(
            occurred_at=now,
            by=caller.by,
            source_id=f"{source}#0",
            track=desk.received.track,
            form=desk.received.ref,
            questionnaire=desk.received.questionnaire,
            response=kept,
            context=desk.received.context,
            complete=False,
        )
        return [answered]
    try:
        facts = complete(
            desk.case, opened.task, QuestionnaireFilled(documents=(kept,)), by=caller.by, now=now, source_id=source
        )
    except WrongResult as wrong:
        raise wrong_result(wrong) from None
    mine = desk.task.holder(now) == caller.by
    held = claim(desk.case, opened.task, by=caller.by, now=now, source_id=caller.source_id("claim"))
    return [*facts] if mine else [held, *facts]


def _field(problem: AnswerProblem) -> FieldProblem:
    return FieldProblem(pointer=f"/answers/{problem.path}", field=problem.path, detail=problem.text)


def _page(
    desk: _Desk,
    case_id: str,
    answers: dict[str, Any],
    problems: Sequence[AnswerProblem],
    *,
    status: int = 200,
    saved: bool = False,
) -> Response:
    says = {
        "new": "Nobody has filled it in yet; what was known is filled in already.",
        "saved": "It is saved and not submitted yet.",
        "complete": "It is submitted.",
    }[desk.status]
    documents = [desk.case.documents[key] for key in sorted(desk.case.documents)]
    text = page(
        desk.form,
        answers,
        action=f"{_path(case_id, desk.received.ref)}/answers",
        status=says,
        is_open=desk.task is not None,
        documents=documents,
        problems=problems,
        saved=saved,
    )
    return HTMLResponse(text, status, headers={"Content-Security-Policy": _POLICY})


def _path(case_id: str, ref: str) -> str:
    return f"{case_path(case_id)}/questionnaires/{ref}"


def _wants_page(request: Request) -> bool:
    return HTML in request.headers.get("accept", "")


def _from_this_page(request: Request) -> None:
    """Refuse what a browser posts for another site: it sends the password along by itself."""
    if request.method in ("GET", "HEAD"):
        return
    fetched, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    same = fetched == "same-origin" if fetched else bool(origin) and urlsplit(origin or "").netloc == request.url.netloc
    if not same:
        raise Problem(403, "other_site", "Post the form from its own page.")


def _with_bearer(request: Request, credentials: str) -> Request:
    """The same request with the password of HTTP Basic as a bearer token."""
    try:
        token = base64.b64decode(credentials, validate=True).decode("ascii").partition(":")[2]
    except ValueError:
        token = ""
    others = [(name, value) for name, value in request.scope["headers"] if name != b"authorization"]
    scope = {**request.scope, "headers": [*others, (b"authorization", f"Bearer {token}".encode())]}
    return Request(scope, request.receive)
