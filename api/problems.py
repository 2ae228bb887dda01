"""Problems as RFC 9457 has them (`application/problem+json`): what went wrong, in which field, and what to do about it."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from domain.intake import Filler, Missing, pointer_of, wrong
from domain.messages import Refusal
from runtime.logs import get_logger
from store.errors import CursorInvalid, KeyReused, SignoffRefused, SpoolFull, StoreAway

MEDIA_TYPE = "application/problem+json"
_ABOUT = "https://vigil.example/problems/"
log = get_logger(__name__)


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    model_config = ConfigDict(frozen=True)

    pointer: str = Field(description="The field as a JSON pointer.", examples=["/coverages/0/member_id"])
    field: str = Field(examples=["coverages[0].member_id"])
    detail: str = Field(examples=["This is missing."])
    who: Filler | None = Field(default=None, description="Who can fill it in, where it is about an order.")


class ProblemDetails(BaseModel):
    """A problem (RFC 9457). `code` is what a program may go by; `detail` is for a person."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(examples=[f"{_ABOUT}order_incomplete"])
    title: str = Field(examples=["The order is not complete"])
    status: int = Field(examples=[422])
    detail: str
    code: str = Field(examples=["order_incomplete"])
    instance: str | None = None
    request_id: str | None = None
    errors: tuple[FieldProblem, ...] = ()


class Problem(HTTPException):
    """Ends a request with a problem. Being Starlette's own, it passes also where a body is read by FastAPI."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        errors: Sequence[FieldProblem] = (),
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        waits = {"Retry-After": str(retry_after)} if retry_after else {}
        super().__init__(status, detail, {**(headers or {}), **waits})
        self.code = code
        self.title = title or HTTPStatus(status).phrase
        self.errors = tuple(errors)


def not_found() -> Problem:
    """What whoever may not know of something is told, too."""
    return Problem(404, "not_found", "There is no such case in this practice.")


def media_type_refused(*taken: str) -> Problem:
    """The body is of another media type than those that the door takes."""
    return Problem(415, "media_type", f"Send the body as {' or '.join(taken)}, and say so in `Content-Type`.")


def closed_problem() -> Problem:
    """The case takes nothing any more."""
    return Problem(409, "closed", "The case is closed; it takes nothing any more.")


def away(what: str) -> Problem:
    """Something that is needed cannot be reached now."""
    return Problem(503, "away", f"{what} cannot be reached now. Try again in a few seconds.", retry_after=5)


_REFUSALS = {
    "fact_unknown": 404,
    "track_unknown": 422,
    "line_unknown": 422,
    "number_missing": 422,
    "number_is_pending": 422,
    "second_signature": 422,
    "too_large": 413,
}
"""The status of a case's refusal; every other one is a conflict with where the case stands."""


def refused(refusal: Refusal) -> Problem:
    """A case's refusal as a problem."""
    fields = [FieldProblem(pointer=pointer_of(f), field=f, detail=refusal.sentence) for f in refusal.fields]
    status = _REFUSALS.get(refusal.code, 409)
    return Problem(status, refusal.code, refusal.sentence, title="The case does not take this", errors=fields)


def incomplete(missing: Sequence[Missing]) -> Problem:
    """What an order lacks, each with who can fill it in."""
    errors = [FieldProblem(pointer=one.pointer, field=one.field, detail=one.why, who=one.who) for one in missing]
    named = ", ".join(one.field or "the whole" for one in missing[:10])
    return Problem(
        422,
        "order_incomplete",
        f"The order cannot be taken yet: {named}. Each entry of `errors` says why and who can fill it in.",
        title="The order is not complete",
        errors=errors,
    )


def wrong_fields(error: ValidationError | RequestValidationError) -> Problem:
    """What is wrong with a body or a query, without any of its values."""
    errors = []
    for said, why in wrong(error.errors()):
        field = re.sub(r"^(body|query|path|header)(\.|$)", "", said)
        errors.append(FieldProblem(pointer=pointer_of(field), field=field, detail=why))
    return Problem(
        422,
        "fields_invalid",
        "The request has fields that are missing or cannot be used; `errors` names each.",
        errors=errors[:50],
    )


def answer(request: Request, problem: Problem) -> JSONResponse:
    """A problem as a response."""
    details = ProblemDetails(
        type=f"{_ABOUT}{problem.code}",
        title=problem.title,
        status=problem.status_code,
        detail=problem.detail,
        code=problem.code,
        instance=request.url.path if not request.url.path.startswith("/codec/") else "/codec",
        request_id=getattr(request.state, "request_id", None),
        errors=problem.errors,
    )
    return JSONResponse(
        details.model_dump(mode="json", exclude_none=True),
        status_code=problem.status_code,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


_FRAMEWORK = {
    404: "There is nothing at this address. `/v1/openapi.json` names every address.",
    405: "This address does not take this method; the header `Allow` names those that it takes.",
}
"""What to do where the framework itself refuses."""


def internal() -> Problem:
    """What nobody expected. The log has it."""
    return Problem(500, "internal", "Something went wrong here. It is in the log under this request's id.")


def install(app: FastAPI) -> None:
    """Answer every error that was thought of with a problem; `guards.Observed` answers the rest."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)  # noqa: S101 - registered for it
        return answer(request, error)

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return answer(request, wrong_fields(error))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        detail = _FRAMEWORK.get(error.status_code, str(error.detail))
        code = HTTPStatus(error.status_code).name.lower()
        return answer(request, Problem(error.status_code, code, detail, headers=error.headers))

    async def on_hung_up(request: Request, _error: Exception) -> JSONResponse:
        log.info("a request broke off before it was whole")
        return answer(request, Problem(400, "broken_off", "The request broke off. Send it again."))

    async def on_store_away(request: Request, _error: Exception) -> JSONResponse:
        return answer(request, away("The read model"))

    async def on_spool_full(request: Request, _error: Exception) -> JSONResponse:
        log.error("the audit spool is full; nothing is done without a trace")
        return answer(request, away("The audit trail"))

    async def on_key_reused(request: Request, error: Exception) -> JSONResponse:
        return answer(request, Problem(422, "idempotency_key_reused", str(error)))

    async def on_signoff(request: Request, error: Exception) -> JSONResponse:
        return answer(request, Problem(409, "signoff_refused", str(error)))

    async def on_cursor(request: Request, error: Exception) -> JSONResponse:
        return answer(request, Problem(422, "cursor_invalid", str(error)))

    handlers: dict[type[Exception], Any] = {
        Problem: on_problem,
        RequestValidationError: on_validation,
        HTTPException: on_http,
        StoreAway: on_store_away,
        SpoolFull: on_spool_full,
        KeyReused: on_key_reused,
        SignoffRefused: on_signoff,
        CursorInvalid: on_cursor,
        ClientDisconnect: on_hung_up,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
