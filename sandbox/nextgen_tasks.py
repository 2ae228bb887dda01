"""NextGen EHR tasks. The routes are recorded; the fields of a task and the bodies of writes are our assumption."""

import uuid
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sandbox.answers import Refused, note
from sandbox.nextgen import API, bad, body_of, caller, found, guid, paged, stamp
from sandbox.records import Json, Practice

router = APIRouter(prefix=f"/nextgen{API}")

TASK_FIELDS: dict[str, Callable[[Any], bool]] = {
    "subject": lambda value: isinstance(value, str) and bool(value),
    "details": lambda value: isinstance(value, str),
    "personId": lambda value: isinstance(value, str),
    "priorityId": lambda value: value in (1, 2, 3),
    "categoryId": lambda value: isinstance(value, str),
    "dueDate": lambda value: isinstance(value, str),
    "isCompleted": lambda value: isinstance(value, bool),
}


@router.get("/users/{user_id}/tasks")
async def tasks(user_id: str, request: Request) -> Response:
    """A user's tasks, paged (item fields are our assumption)."""
    practice = caller(request)
    return paged(request, [item for item in practice.ehr.tasks.values() if item["userId"] == user_id])


@router.get("/users/{user_id}/tasks/{task_id}")
async def task(user_id: str, task_id: str, request: Request) -> Json:
    """One task."""
    practice = caller(request)
    item = found(practice.ehr.tasks, guid(task_id))
    return item if item["userId"] == user_id else found({}, task_id)


@router.post("/users/{user_id}/tasks")
async def create_task(user_id: str, request: Request) -> Response:
    """Create a task; 201 with an empty body."""
    practice = caller(request)
    body = await body_of(request)
    if "subject" not in body:
        raise bad("subject is required.")
    item = put_task(practice, user_id, _task_fields(body), stamp(request, practice))
    note(request, task=item["id"])
    return Response(status_code=201)


def _task_fields(body: Json) -> Json:
    for name, value in body.items():
        if name not in TASK_FIELDS or not TASK_FIELDS[name](value):
            raise bad(f"The property '{name}' is not valid.")
    return body


def put_task(practice: Practice, user_id: str, given: Json, at: str) -> Json:
    """Put a task into a user's inbox."""
    item: Json = {
        "id": guid(given.get("id", uuid.uuid4())),
        "userId": user_id,
        "subject": "",
        "details": "",
        "priorityId": 2,
        "isCompleted": False,
        "createTimestamp": at,
        **{name: value for name, value in given.items() if name != "id"},
        "modifyTimestamp": at,
    }
    practice.ehr.tasks[item["id"]] = item
    return item


@router.patch("/users/{user_id}/tasks/{task_id}")
@router.put("/users/{user_id}/tasks/{task_id}")
async def change_task(user_id: str, task_id: str, request: Request) -> Response:
    """Change or complete a task (`isCompleted`); 204."""
    practice = caller(request)
    item = found(practice.ehr.tasks, guid(task_id))
    if item["userId"] != user_id:
        raise Refused(404, None)
    body = await body_of(request)
    item.update(_task_fields(body), modifyTimestamp=stamp(request, practice))
    note(request, task=item["id"])
    return Response(status_code=204)
