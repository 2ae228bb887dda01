"""Idempotency: a POST with an Idempotency-Key happens once, and gets its first answer again.

What was answered is kept for a day in PostgreSQL. While that is away the case itself still knows what was said twice, for
the key is part of what is reported (`Caller.source_id`).
"""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from api.auth import authenticate
from runtime.logs import get_logger
from store.errors import StoreAway
from store.idempotency import Remembered

KEPT_FOR = timedelta(hours=24)
_JSON = "application/json"
log = get_logger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OnceRoute(APIRoute):
    """A route whose POSTs honour the Idempotency-Key."""

    def get_route_handler(self) -> Handler:
        """Wrap the route's own handler."""
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            if request.method != "POST" or "idempotency-key" not in request.headers:
                return await handle(request)
            caller = await authenticate(request)
            principal, services = caller.principal, caller.services
            operation = f"{request.method} {request.url.path} {principal.role} {principal.person}"
            fingerprint = b"\n".join(
                (request.headers.get("content-type", "").encode(), request.url.query.encode(), await request.body())
            )
            key = caller.key or ""
            try:
                known = await services.idempotency.recall(
                    caller.practice, operation, key, fingerprint, now=services.clock()
                )
            except StoreAway:
                known = None
            if known is not None:
                return _again(known)
            response = await handle(request)
            if 200 <= response.status_code < 300:  # noqa: PLR2004 - what failed may be tried again
                now = services.clock()
                try:
                    await services.idempotency.remember(
                        caller.practice,
                        operation,
                        key,
                        fingerprint,
                        _kept(response),
                        now=now,
                        expires_at=now + KEPT_FOR,
                    )
                except StoreAway:
                    log.warning("an answer could not be remembered: PostgreSQL is away")
            return response

        return once


def _kept(response: Response) -> Remembered:
    """The answer with its Location in the first line."""
    location = response.headers.get("location", "").encode()
    return Remembered(status=response.status_code, body=location + b"\n" + bytes(response.body))


def _again(known: Remembered) -> Response:
    location, _, body = known.body.partition(b"\n")
    headers = {"Idempotent-Replayed": "true"} | ({"Location": location.decode()} if location else {})
    return Response(body, known.status, headers, media_type=_JSON)
