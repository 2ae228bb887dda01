"""Reading cases, and reporting to them what people learned without a task."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic import AwareDatetime, Field, ValidationError

from api.answers import PROBLEMS, CaseAnswer, FactsAnswer, PageAnswer, PlanAnswer, ReportAnswer, reported, shown
from api.auth import Caller, Staff
from api.finding import Live, live, read_case, read_row
from api.once import OnceRoute
from api.problems import FieldProblem, Problem, incomplete
from domain.base import Frozen, Sentence, Turn
from domain.case import replay
from domain.facts import CallLogged, Fact, NoteAdded, OrderCancelled, OrderChanged
from domain.intake import order_source, problems
from domain.messages import Standing
from domain.order import Order, Urgency, differences
from domain.plan import plan
from domain.results import TaskResult
from domain.work import WrongResult, outcome
from store.worklist import MAX_PAGE, find, worklist

router = APIRouter(prefix="/v1", tags=["cases"], route_class=OnceRoute, responses=PROBLEMS)

_AHEAD = timedelta(days=400)


class Note(Frozen):
    """Something worth writing down."""

    text: Annotated[str, Field(min_length=1, max_length=4000)]


class Call(Frozen):
    """A conversation: with whom, what was asked, what was answered."""

    with_whom: Turn = Field(examples=["payer"])
    representative: str | None = Field(default=None, max_length=100)
    reference: str | None = Field(default=None, max_length=80)
    asked: Sentence
    answered: Annotated[str, Field(min_length=1, max_length=4000)]


class Cancel(Frozen):
    """Why the service is no longer wanted."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Outcome(Frozen):
    """What somebody learned, about which track."""

    track: str | None = Field(default=None, max_length=80, description="Needed where the case has more than one.")
    result: TaskResult


@router.get("/worklist", summary="What is next")
async def get_worklist(
    caller: Staff,
    turn: Annotated[Turn | None, Query(description="Whose turn it is.")] = None,
    payer: Annotated[str | None, Query(max_length=60)] = None,
    owner: Annotated[str | None, Query(max_length=200, description="Who holds the task, as `person:<id>`.")] = None,
    urgency: Urgency | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> PageAnswer:
    """The practice's open cases by slack: what is due first comes first, STAT before others that are due with it."""
    await caller.audit("worklist.read")
    page = await worklist(
        caller.services.database,
        caller.practice,
        turn=turn,
        payer=payer,
        owner=owner,
        urgency=urgency,
        limit=limit,
        cursor=cursor,
    )
    return PageAnswer(items=tuple(shown(caller, item) for item in page.items), next=page.next)


@router.get("/cases", summary="Find cases")
async def get_cases(
    caller: Staff,
    q: Annotated[
        str,
        Query(min_length=1, max_length=200, description="Words of a name, a birth date, a member id or any number."),
    ],
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> PageAnswer:
    """The practice's cases, open and closed, in which every word is found."""
    await caller.audit("cases.find")
    found = await find(caller.services.database, caller.practice, q, limit=limit)
    return PageAnswer(items=tuple(shown(caller, item) for item in found))


@router.get("/cases/{case_id}", summary="Read a case")
async def get_case(case_id: str, caller: Staff) -> CaseAnswer:
    """Where a case stands: stage, turn, why, what is next, clocks, tasks, decisions and numbers."""
    return shown(caller, await read_row(caller, case_id, "case.read"))


@router.get("/cases/{case_id}/facts", summary="Read the facts of a case")
async def get_facts(case_id: str, caller: Staff) -> FactsAnswer:
    """Everything that happened, in order, retracted facts included."""
    case = await read_case(caller, case_id, "facts.read")
    return FactsAnswer(case_id=case_id, items=case.facts)


@router.get("/cases/{case_id}/plan", summary="Read the plan of a case, now or at an instant")
async def get_plan(
    case_id: str,
    caller: Staff,
    at: Annotated[AwareDatetime | None, Query(description="An instant with its offset; now, unless given.")] = None,
) -> PlanAnswer:
    """What was known at an instant, and what was due then by today's rules."""
    case = await read_case(caller, case_id, "plan.read")
    moment = at or caller.services.clock()
    if moment > caller.services.clock() + _AHEAD:
        raise Problem(422, "at_too_late", "`at` may lie at most 400 days ahead.")
    known = [fact for fact in case.facts if at is None or (fact.recorded_at or fact.occurred_at) <= at]
    if not known:
        raise Problem(404, "not_yet", f"Nothing was known of the case at that moment; it began at {case.opened_at}.")
    return PlanAnswer(case_id=case_id, at=moment, n=len(known), plan=plan(replay(case_id, known), moment))


@router.post("/cases/{case_id}/outcome", summary="Record what was learned without a task")
async def post_outcome(case_id: str, body: Outcome, caller: Staff) -> ReportAnswer:
    """A payer called back, a letter came, a referral was found: the same forms as a task's result."""
    found = await live(caller, case_id, "outcome.report")
    source = caller.source_id("outcome")
    if f"{source}#0" in found.case.sources:
        return await already(caller, case_id)
    try:
        facts = outcome(found.case, body.result, by=caller.by, now=found.now, source_id=source, track=body.track)
    except WrongResult as wrong:
        raise wrong_result(wrong) from None
    return await report(caller, case_id, facts)


@router.post("/cases/{case_id}/notes", summary="Write a note")
async def post_note(case_id: str, body: Note, caller: Staff) -> ReportAnswer:
    """Keep a note in the case."""
    found = await live(caller, case_id, "note.add")
    return await report(caller, case_id, [NoteAdded(**_head(caller, found, "note"), text=body.text)])


@router.post("/cases/{case_id}/calls", summary="Log a call")
async def post_call(case_id: str, body: Call, caller: Staff) -> ReportAnswer:
    """Keep what was asked and answered, by whom, with the call's reference."""
    found = await live(caller, case_id, "call.log")
    return await report(caller, case_id, [CallLogged(**_head(caller, found, "call"), **body.model_dump())])


@router.post("/cases/{case_id}/cancel", summary="Cancel the order")
async def post_cancel(case_id: str, body: Cancel, caller: Staff) -> ReportAnswer:
    """The service is no longer wanted: what is at the payer is taken back, then the case closes."""
    found = await live(caller, case_id, "case.cancel")
    return await report(caller, case_id, [OrderCancelled(**_head(caller, found, "cancel"), reason=body.reason)])


@router.post(
    "/cases/{case_id}/order",
    summary="Change the order",
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}}
    },
)
async def post_order_change(case_id: str, body: Annotated[dict[str, Any], Body()], caller: Staff) -> ReportAnswer:
    """The whole order as it reads from now on; number, source and practice stay. What depends on it is asked for anew."""
    found = await live(caller, case_id, "order.change")
    known = found.case.order
    identity = {"practice": known.practice, "source": known.source, "number": known.number}
    try:
        order = Order.model_validate({**identity, **body})
    except ValidationError as error:
        raise incomplete(problems(error)) from None
    if {name: getattr(order, name) for name in identity} != identity:
        detail = "practice, source and number name the order and cannot change; send a new order."
        raise Problem(409, "other_order", detail)
    if not differences(known, order):
        return await already(caller, case_id)
    # The order in force is part of the id: changed back and forth, each change is a fact; sent twice, it is one.
    source = f"change:{found.case.order_fact.ref}:{order_source(order).removeprefix('order:')}"
    fact = OrderChanged(occurred_at=found.now, by=caller.by, source_id=source, order=order)
    return await report(caller, case_id, [fact])


async def report(caller: Caller, case_id: str, facts: Sequence[Fact]) -> ReportAnswer:
    """Report facts to a case of the caller's, and answer where it stands."""
    return reported(caller, await caller.services.cases.report(caller.practice, case_id, facts))


async def already(caller: Caller, case_id: str) -> ReportAnswer:
    """The answer to what had been reported before."""
    standing = await caller.services.cases.standing(caller.practice, case_id)
    return reported(caller, Standing(n=standing.n, repeated=True, view=standing.view))


def wrong_result(wrong: WrongResult) -> Problem:
    """A form that is not taken, as a problem."""
    fields = [FieldProblem(pointer=f"/{field}", field=field, detail=wrong.sentence) for field in wrong.fields]
    return Problem(422, "wrong_result", wrong.sentence, title="The result is not taken", errors=fields)


def _head(caller: Caller, found: Live, what: str) -> dict[str, Any]:
    return {"occurred_at": found.now, "by": caller.by, "source_id": caller.source_id(what)}
