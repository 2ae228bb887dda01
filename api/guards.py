"""What every request passes: an id, a limit on its size, headers that keep answers private, a metric and a line in the log."""

import re
import time
import uuid

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, answer
from runtime.logs import bound, get_logger
from runtime.metrics import HTTP_REQUESTS, HTTP_SECONDS

MAX_BODY = 1024 * 1024
"""Bytes of an ordinary request."""
MAX_DOCUMENT = 25 * 1024 * 1024
"""Bytes of a document."""

_DOCUMENTS = re.compile(r"^/v1/cases/[^/]+/documents/?$")
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


class BodyLimit:
    """Refuses a body that is too large, by what it says of itself and by what it is; nothing past the limit is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = limit_of(scope["path"])
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > limit:
            await answer(Request(scope), _too_large(limit))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    # FastAPI turns other exceptions of a body into 400.
                    raise HTTPException(413, _too_large(limit).detail)
            return message

        await self._app(scope, counted, send)


class Observed:
    """Gives each request an id, and counts, times and logs it by its route: paths hold ids and secrets."""

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
        status, began = 500, time.perf_counter()

        async def headed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in _HEADERS if name not in named]
                message["headers"] = [*message["headers"], *added, (b"x-request-id", request_id.encode())]
            await send(message)

        with bound(request_id=request_id):
            try:
                await self._app(scope, receive, headed)
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
