"""Intake: an order becomes a watched case, once, however often and by whomever it is sent."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from api.answers import PROBLEMS, CaseAnswer, case_path, shown
from api.auth import Caller, Intake
from api.once import OnceRoute
from api.problems import Problem, incomplete, media_type_refused, refused
from api.reach import CaseIsClosed, Unplanned
from connectors.documents import plain_type
from connectors.fhir_order import OrderUnreadable, order_from_fhir
from domain.base import Stage, Turn
from domain.case import Case, replay
from domain.facts import OrderReceived
from domain.intake import order_received, order_source, problems
from domain.messages import Refusal
from domain.order import Order, differences
from domain.plan import Plan, plan
from domain.view import CaseView, view
from runtime.logs import get_logger
from store import cases as archive
from store.errors import StoreAway

router = APIRouter(prefix="/v1", tags=["orders"], route_class=OnceRoute)
log = get_logger(__name__)

FHIR = "application/fhir+json"
JSON = "application/json"

EXAMPLE: dict[str, Any] = {
    "practice": "lakeside",
    "source": "nextgen",
    "number": "ORD-24117",
    "ordered_at": "2027-01-04T15:05:00Z",
    "patient": {
        "id": "P-4471",
        "family_name": "Quillfeather",
        "given_name": "Ottoline",
        "birth_date": "1961-04-17",
    },
    "coverages": [{"rank": 1, "payer": "meridian-ppo", "member_id": "MBR204100"}],
    "ordering": {"npi": "1999000023", "family_name": "Hartwell", "given_name": "Imogen"},
    "diagnoses": ["M54.16"],
    "lines": [{"number": 1, "code": "72131", "category": "ct", "service_from": "2027-01-25", "place_of_service": "22"}],
}
"""A synthetic order."""

_BODY = {
    "required": True,
    "content": {
        JSON: {"schema": {"$ref": "#/components/schemas/Order"}, "example": EXAMPLE},
        FHIR: {
            "schema": {
                "type": "object",
                "description": "An R4 Bundle with ServiceRequest, Patient, Coverage, Practitioner and what they refer to.",
            }
        },
    },
}


@router.post(
    "/orders",
    status_code=202,
    response_model=CaseAnswer,
    summary="Send an order",
    responses={
        **PROBLEMS,
        200: {
            "model": CaseAnswer,
            "description": "This very order is known; its case is the same, also when it is over.",
        },
        202: {"description": "A case watches over the order from now on; `Location` says where."},
    },
    openapi_extra={"requestBody": _BODY},
)
async def post_order(
    request: Request,
    caller: Intake,
    source: Annotated[
        str,
        Query(pattern=r"^[a-z0-9][a-z0-9-]{1,40}$", description="Of a FHIR Bundle: the system that it comes from."),
    ] = "fhir",
) -> JSONResponse:
    """Open the case of an order, or find the one that there is.

    The order's identity is practice, source and number. The same order again is answered with 200 and its case; the same
    number with other content with 409, which names the fields that differ: send a change to `/v1/cases/{id}/order`.
    What is missing is answered with 422: each field, why, and who can fill it in.
    """
    order = await _read(request, caller, source)
    services = caller.services
    practice = services.practices.get(caller.practice)
    if order.practice != caller.practice or practice is None:
        await caller.audit("order.create refused")
        raise Problem(403, "other_practice", "The token belongs to another practice than the order.")
    case_id = services.keyring.case_id(order.practice, order.source, order.number)
    await caller.audit("order.create", case_id)
    fact = order_received(order, time_zone=practice.time_zone, by=caller.by, now=services.clock())
    over = await _archived(caller, case_id)
    if over is not None:
        return _over(caller, over, order)
    try:
        standing = await services.cases.open(case_id, fact)
    except CaseIsClosed:
        # PostgreSQL is away, or its row came late: what Temporal still holds of the case says the same.
        return _over(caller, await services.cases.case(caller.practice, case_id), order)
    except Unplanned:
        log.warning("an order was taken, and no worker has planned it yet", case_id=case_id)
        return _answer(caller, _kept(case_id, fact), 202)
    return _answer(caller, standing.view, 200 if standing.repeated else 202)


async def _read(request: Request, caller: Caller, source: str) -> Order:
    kind = plain_type(request.headers.get("content-type", ""))
    if kind not in (JSON, FHIR):
        raise media_type_refused(JSON, FHIR)
    draft = await request.json()
    if not isinstance(draft, dict):
        raise Problem(400, "not_an_object", "The body must be one JSON object.")
    if kind == FHIR:
        return await _from_fhir(caller, draft, source)
    draft.setdefault("practice", caller.practice)
    try:
        return Order.model_validate(draft)
    except ValidationError as error:
        raise incomplete(problems(error)) from None


async def _from_fhir(caller: Caller, bundle: dict[str, Any], source: str) -> Order:
    names = (await caller.services.rules()).names()
    try:
        return order_from_fhir(bundle, caller.practice, source, payers=names)
    except OrderUnreadable as error:
        raise incomplete(error.missing) from None


async def _archived(caller: Caller, case_id: str) -> Case | None:
    """The order's case where the archive knows that it is over."""
    services = caller.services
    try:
        row = await archive.case_row(services.database, caller.practice, case_id)
        if row is None or row.closed_at is None:
            return None
        return replay(case_id, await services.cases.archived(caller.practice, case_id))
    except StoreAway:
        return None


def _over(caller: Caller, case: Case, order: Order) -> JSONResponse:
    """The answer about an order whose case is over: the same case, or the differences."""
    fields = () if order_source(order) in case.sources else differences(case.order, order)
    if fields:
        sentence = "An order of this number is known with other content, and its case is closed. Use a new number."
        raise refused(Refusal(code="order_differs", sentence=sentence, fields=fields))
    now = caller.services.clock()
    return _answer(caller, view(case, plan(case, now), now), 200)


def _kept(case_id: str, fact: OrderReceived) -> CaseView:
    """What can be said of a case that no worker has looked at."""
    waiting = Plan(
        stage=Stage.COVERAGE,
        turn=Turn.VIGIL,
        why="The order is kept. Vigil looks at it as soon as a worker is free.",
        next="Vigil takes the payer's rules that decide this order.",
    )
    case = replay(case_id, [fact.model_copy(update={"n": 1, "recorded_at": fact.occurred_at})])
    return view(case, waiting, fact.occurred_at)


def _answer(caller: Caller, found: CaseView, status: int) -> JSONResponse:
    body = shown(caller, found).model_dump(mode="json")
    return JSONResponse(body, status, {"Location": case_path(found.case_id)})
