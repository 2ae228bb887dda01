"""What every request passes: an id, bounds, headers that keep answers private, a metric and a line in the log."""

import re
import time
import uuid

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, answer, internal
from runtime.logs import bound, get_logger
from runtime.metrics import HTTP_REQUESTS, HTTP_SECONDS

MAX_BODY = 1024 * 1024
"""Bytes of an ordinary request."""
MAX_DOCUMENT = 25 * 1024 * 1024
"""Bytes of a document."""
MOST_REQUESTS = 500
"""How many requests may be under way at once; more are answered with 503 at once."""

_DOCUMENTS = re.compile(r"^/v1/cases/[^/]+/documents/?$")
_HEALTH = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked also when there is too much to do: who is busy is not dead."""
_REQUEST_ID = re.compile(r"^[A-Za-z0-9-]{8,64}$")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
log = get_logger(__name__)


def limit_of(path: str) -> int:
    """How large a body may be at a path, in bytes."""
    return MAX_DOCUMENT if _DOCUMENTS.match(path) else MAX_BODY


class Bounds:
    """Refuses too many requests at once, a body that is too large, and a NUL in an address, which PostgreSQL cannot keep.

    A body is judged by what it says of itself and by what it is; nothing past the limit is read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400, 413 or 503."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = limit_of(scope["path"])
        refused = self._refused(scope, limit)
        if refused is not None:
            await answer(Request(scope), refused)(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    raise _too_large(limit)
            return message

        self._under_way += 1
        try:
            await self._app(scope, counted, send)
        finally:
            self._under_way -= 1

    def _refused(self, scope: Scope, limit: int) -> Problem | None:
        if self._under_way >= MOST_REQUESTS and scope["path"] not in _HEALTH:
            return Problem(503, "busy", "There is too much to do at once. Try again in a few seconds.", retry_after=5)
        if "\0" in scope["path"] or b"%00" in scope["query_string"] or b"\0" in scope["query_string"]:
            return Problem(400, "address_invalid", "The address holds the character NUL. Leave it out.")
        said = dict(scope["headers"]).get(b"content-length", b"0")
        fits = said.isdigit() and len(said) <= len(str(MAX_DOCUMENT)) and int(said) <= limit
        return None if fits else _too_large(limit)


class Observed:
    """Gives each request an id, counts, times and logs it by its route, and answers where it failed unexpectedly.

    Its path is not logged: it holds ids and secrets.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("ascii", errors="replace")
        request_id = given if _REQUEST_ID.match(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status, began, begun = 500, time.perf_counter(), False

        async def headed(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                named = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in _HEADERS if name not in named]
                message["headers"] = [*message["headers"], *added, (b"x-request-id", request_id.encode())]
            await send(message)

        with bound(request_id=request_id):
            try:
                await self._app(scope, receive, headed)
            except Exception as error:
                log.exception("a request failed", error_type=type(error).__name__)
                if begun:
                    raise
                await answer(Request(scope), internal())(scope, receive, headed)
            finally:
                seconds = time.perf_counter() - began
                route = getattr(scope.get("route"), "path", "unknown")
                method = scope["method"] if scope["method"] in _METHODS else "OTHER"
                HTTP_REQUESTS.labels(method, route, str(status)).inc()
                HTTP_SECONDS.labels(method, route).observe(seconds)
                log.info(
                    "request answered",
                    method=method,
                    route=route,
                    http_status=status,
                    duration_ms=round(seconds * 1000, 1),
                )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _too_large(limit: int) -> Problem:
    megabytes = limit // 1024 // 1024
    return Problem(413, "request_entity_too_large", f"The body may have {megabytes} MB here; split what is larger.")
