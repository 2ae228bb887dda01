"""One request to an outside system, with what went wrong said as a typed error.

What decides is whether something may have happened there. A request that only reads may always be repeated. One that
writes may be repeated only when it surely was not taken up: after that comes a search, never the same request again.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from connectors.errors import Busy, ConnectorError, NotUnderstood, OutcomeUnknown, Refused, Unreachable

_LONGEST_PAUSE = timedelta(minutes=10)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

Found = TypeVar("Found")


async def send(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    writes: bool = False,
    **request: Any,
) -> httpx.Response:
    """Send one request and return its answer, read to its end, when the other side took it up (any status below 500).

    `writes` says that a repetition would not be harmless.

    Raises:
        Busy: 429, or 503 with a Retry-After: it was not taken up.
        Unreachable: no connection; or, of a request that only reads, any failure of the network or the other side.
        OutcomeUnknown: of a request that writes: it may have been taken up.
    """
    lost = OutcomeUnknown if writes else Unreachable
    try:
        answer = await http.request(method, url, **request)
    except _NOT_SENT as error:
        raise Unreachable(type(error).__name__) from None
    except httpx.HTTPError as error:
        raise lost(type(error).__name__) from None
    if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        raise Busy("429", _pause(answer))
    if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE and "retry-after" in answer.headers:
        raise Busy("503", _pause(answer))
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code == HTTPStatus.REQUEST_TIMEOUT:
        raise lost(str(answer.status_code))
    return answer


def require_success(answer: httpx.Response, what: str) -> None:
    """Pass a 2xx on.

    Raises:
        Refused: any other status; the code is `what` and the status, such as `documents.write:403`.
    """
    if not answer.is_success:
        raise Refused(f"{what}:{answer.status_code}")


def read_json(answer: httpx.Response, what: str) -> Any:
    """Return the JSON of an answer.

    Raises:
        NotUnderstood: it is a web page, broken off, or no JSON; `raw` holds it.
    """
    media_type = answer.headers.get("content-type", "application/octet-stream")
    if "html" in media_type.lower():
        raise NotUnderstood(f"{what}:html", answer.content, media_type)
    try:
        return json.loads(answer.content)
    except ValueError:
        raise NotUnderstood(f"{what}:not_json", answer.content, media_type) from None


def read_object(answer: httpx.Response, what: str) -> dict[str, Any]:
    """Return the JSON object of an answer. Raises `NotUnderstood` when it is anything else."""
    body = read_json(answer, what)
    if not isinstance(body, dict):
        media_type = answer.headers.get("content-type", "application/json")
        raise NotUnderstood(f"{what}:not_an_object", answer.content, media_type)
    return body


async def create_once(search: Callable[[], Awaitable[Found | None]], create: Callable[[], Awaitable[None]]) -> Found:
    """Make sure that something is there: search, create where it is missing, and read it back by the same search.

    Raises:
        OutcomeUnknown: the creation may have happened, and the search does not find it (yet).
        ConnectorError: of the search, or of a creation that surely did not happen.
    """
    found = await search()
    if found is not None:
        return found
    unsure: ConnectorError | None = None
    try:
        await create()
    except OutcomeUnknown as error:
        unsure = error
    except NotUnderstood as error:
        # The other side took it up and answered with something unreadable: only the search can tell.
        unsure = error
    try:
        found = await search()
    except ConnectorError as error:
        raise OutcomeUnknown(error.code) from None
    if found is None:
        raise OutcomeUnknown(unsure.code if unsure else "not_read_back")
    return found


def _pause(answer: httpx.Response) -> timedelta | None:
    seconds = answer.headers.get("retry-after", "")
    return min(timedelta(seconds=int(seconds[:6])), _LONGEST_PAUSE) if seconds.isdigit() else None
