"""People's work: claim a task, hand in its result, give it back."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import Field

from api.answers import PROBLEMS, ReportAnswer
from api.auth import Staff
from api.cases import already, report, wrong_result
from api.documents import content_of
from api.finding import live, read_case
from api.once import OnceRoute
from api.problems import Problem
from domain.base import Frozen, Key
from domain.facts import TaskKind
from domain.order import DocumentRef
from domain.results import Form, TaskResult
from domain.work import NoSuchTask, TaskForm, WrongResult, claim, complete, release, schemas_of, task_of
from store.tokens import Role

router = APIRouter(prefix="/v1/cases/{case_id}/tasks", tags=["tasks"], route_class=OnceRoute, responses=PROBLEMS)

_EXAMPLES = {
    "sent by portal": {
        "value": {"result": "submitted", "receipt": {"kind": "reference_number", "reference": "KREF208817"}}
    },
    "approved": {
        "value": {
            "result": "decided",
            "reference": "CALL-77120",
            "lines": [
                {"line": 1, "decision": "approved", "number": "K4418830-01", "valid_to": "2027-03-15", "units": 1}
            ],
        }
    },
    "seen": {"value": {"result": "acknowledged", "note": "Called the plan; they decide by tomorrow."}},
}


class TaskDetails(Frozen):
    """A task with the forms that it takes."""

    task: Key
    kind: TaskKind
    title: str
    checklist: tuple[str, ...]
    due: datetime
    open: bool
    held_by: str | None
    forms: tuple[TaskForm, ...] = Field(description="Each form that the task takes, as a JSON schema.")


@router.get("/{task:path}/form", summary="Read a task and the forms that it takes")
async def get_form(case_id: str, task: str, caller: Staff) -> TaskDetails:
    """What the task asks for, and a JSON schema of each result that it takes."""
    case = await read_case(caller, case_id, "task.read")
    try:
        found = task_of(case, task)
    except NoSuchTask:
        raise _no_task() from None
    opened = found.opened
    return TaskDetails(
        task=task,
        kind=opened.task_kind,
        title=opened.title,
        checklist=opened.checklist,
        due=opened.due,
        open=found.is_open,
        held_by=found.holder(caller.services.clock()),
        forms=schemas_of(opened),
    )


@router.post("/{task:path}/claim", summary="Claim a task")
async def post_claim(case_id: str, task: str, caller: Staff) -> ReportAnswer:
    """Take the task for as long as its lease; of two at once one wins (409 for the other). Claimed again, it is extended."""
    found = await live(caller, case_id, "task.claim")
    try:
        fact = claim(found.case, task, by=caller.by, now=found.now, source_id=caller.source_id("claim"))
    except NoSuchTask:
        raise _no_task() from None
    return await report(caller, case_id, [fact])


@router.post("/{task:path}/complete", summary="Hand in a task's result")
async def post_complete(
    case_id: str, task: str, caller: Staff, body: Annotated[TaskResult, Body(openapi_examples=_EXAMPLES)]
) -> ReportAnswer:
    """The structured result, with evidence. What it establishes and the completion are recorded together, or not at all."""
    form: Form = body
    found = await live(caller, case_id, "task.complete")
    source = caller.source_id("done")
    if f"{source}#0" in found.case.sources:
        return await already(caller, case_id)
    await _have(caller, form)
    try:
        facts = complete(found.case, task, form, by=caller.by, now=found.now, source_id=source)
    except NoSuchTask:
        raise _no_task() from None
    except WrongResult as wrong:
        raise wrong_result(wrong) from None
    return await report(caller, case_id, facts)


@router.post("/{task:path}/release", summary="Give a task back")
async def post_release(case_id: str, task: str, caller: Staff) -> ReportAnswer:
    """Give the task back before the lease ends. A supervisor may take back what somebody else holds."""
    found = await live(caller, case_id, "task.release")
    try:
        fact = release(
            found.case,
            task,
            by=caller.by,
            now=found.now,
            source_id=caller.source_id("release"),
            supervisor=caller.may(Role.SUPERVISOR),
        )
    except NoSuchTask:
        raise _no_task() from None
    return await report(caller, case_id, [fact])


async def _have(caller: Staff, form: Form) -> None:
    """Make sure that every document of a form is kept. Raises `Problem`."""
    named: list[DocumentRef] = [*form.evidence, *getattr(form, "documents", ())]
    receipt = getattr(form, "receipt", None)
    if receipt is not None and receipt.evidence is not None:
        named.append(receipt.evidence)
    for document in named:
        try:
            content = await content_of(caller, document)
        except Problem as problem:
            if problem.code != "document_missing":
                raise
            detail = "A document that the result names is not kept here. Send it to /documents first."
            raise Problem(422, "document_unknown", detail) from None
        if len(content) != document.size:
            raise Problem(422, "document_differs", "A document that the result names has another size.")


def _no_task() -> Problem:
    return Problem(404, "task_unknown", "The case has no such task.")
