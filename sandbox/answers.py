"""What handlers share: the world behind a request, typed refusals, and bodies read strictly."""

import json
from typing import NoReturn
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.responses import JSONResponse, Response

from sandbox.records import Json, Practice
from sandbox.world import World

IDS = "sandbox.ids"
OUTCOME = "sandbox.outcome"
LOST = "lost"
TRUNCATED = "truncated"


class Refused(Exception):
    """Ends a request with the system's own refusal; `body` None answers with an empty body."""

    def __init__(self, status: int, body: Json | None, *, media_type: str = "application/json") -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.body = body
        self.media_type = media_type
        self.headers: dict[str, str] = {}


def refused_answer(refused: Refused) -> Response:
    """The response that a refusal becomes."""
    if refused.body is None:
        return Response(status_code=refused.status, headers=refused.headers)
    return JSONResponse(refused.body, refused.status, headers=refused.headers, media_type=refused.media_type)


def world_of(request: Request) -> World:
    """The world that the application was made with."""
    world = request.app.state.world
    if not isinstance(world, World):
        raise TypeError("the application has no world: make it with sandbox.app.create_app()")
    return world


def practice_of(request: Request) -> Practice | None:
    """The practice that the gate recognized by the credentials; whether they are valid is the handler's to say."""
    practice_id = request.scope.get("sandbox.practice")
    return world_of(request).practice(practice_id) if isinstance(practice_id, str) else None


def note(request: Request, **ids: str) -> None:
    """Say in the log of received requests what this one was about."""
    request.scope.setdefault(IDS, {}).update(ids)


def spoil(request: Request, outcome: str) -> None:
    """Let the gate lose (`LOST`) or cut (`TRUNCATED`) the answer after the effect."""
    request.scope[OUTCOME] = outcome


async def read_form(request: Request) -> dict[str, str]:
    """An `application/x-www-form-urlencoded` body; empty when the content type is another."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


async def read_json(request: Request) -> object:
    """The body as JSON. Raises ValueError when it is none."""
    return json.loads(await request.body())


async def json_object(request: Request, refusal: Refused) -> Json:
    """The body as a JSON object, or the given refusal."""
    try:
        body = await read_json(request)
    except ValueError:
        raise refusal from None
    if not isinstance(body, dict):
        raise refusal
    return body


def not_found(body: Json | None = None) -> NoReturn:
    """Refuse with 404."""
    raise Refused(404, body)
