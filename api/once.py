"""Idempotency: a POST with an Idempotency-Key happens once, and gets its first answer again.

What was answered is kept for a day in PostgreSQL, and of several at once the others wait for the first. While PostgreSQL
is away the case itself still knows what was said twice: the key and what came with it are part of what is reported
(`Caller.source_id`).
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.auth import Caller, authenticate
from api.bodies import StrictRequest
from api.problems import media_type_refused
from connectors.documents import plain_type
from runtime.logs import get_logger
from store.errors import KeyReused, StoreAway
from store.idempotency import Remembered

KEPT_FOR = timedelta(hours=24)
_JSON = "application/json"
log = get_logger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OnceRoute(APIRoute):
    """A route for whoever has a token: JSON is read strictly, and POSTs honour the Idempotency-Key."""

    def get_route_handler(self) -> Handler:
        """Wrap the route's own handler."""
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def once(given: Request) -> Response:
            request = StrictRequest(given.scope, given.receive)
            if takes_json:
                # FastAPI reads a body before it asks whose it is.
                await authenticate(request)
                if plain_type(request.headers.get("content-type", "")) != _JSON:
                    raise media_type_refused(_JSON)
            if request.method != "POST" or "idempotency-key" not in request.headers:
                return await handle(request)
            caller = await authenticate(request)
            kind, query = request.headers.get("content-type", ""), request.url.query
            said = b"\n".join((kind.encode(), query.encode(), await request.body()))
            caller = request.state.caller = replace(caller, said=hashlib.sha256(said).hexdigest())
            operation = f"{request.method} {request.url.path} {caller.principal.role} {caller.principal.person}"
            async with _turn((caller.practice, operation, caller.key or "")):
                return await _once(caller, operation, said, lambda: handle(request))

        return once


_turns: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()


def _turn(what: tuple[str, str, str]) -> asyncio.Lock:
    """Whose turn it is among requests of one key. Those that another process has meet in the store, and in the case."""
    return _turns.setdefault(what, asyncio.Lock())


async def _once(
    caller: Caller, operation: str, said: bytes, handle: Callable[[], Coroutine[Any, Any, Response]]
) -> Response:
    services, practice, key = caller.services, caller.practice, caller.key or ""
    try:
        known = await services.idempotency.recall(practice, operation, key, said, now=services.clock())
    except StoreAway:
        known = None
    if known is not None:
        return _again(known)
    response = await handle()
    if 200 <= response.status_code < 300:  # noqa: PLR2004 - what failed may be tried again
        now = services.clock()
        try:
            await services.idempotency.remember(
                practice, operation, key, said, _kept(response), now=now, expires_at=now + KEPT_FOR
            )
        except (StoreAway, KeyReused):
            # PostgreSQL is away, or another process answered another request of this key meanwhile: this one happened.
            log.warning("an answer could not be remembered")
    return response


def _kept(response: Response) -> Remembered:
    """The answer with its Location in the first line."""
    location = response.headers.get("location", "").encode()
    return Remembered(status=response.status_code, body=location + b"\n" + bytes(response.body))


def _again(known: Remembered) -> Response:
    location, _, body = known.body.partition(b"\n")
    headers = {"Idempotent-Replayed": "true"} | ({"Location": location.decode()} if location else {})
    return Response(body, known.status, headers, media_type=_JSON)
