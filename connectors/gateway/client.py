"""The HTTP client of one practice at one gateway: token, create, read, search, update, void, field rules.

It says what may have happened, and leaves what an answer means to the reader. The gateway knows no idempotency key: after a
lost answer comes a search, never the same request again. A record is named by the last word of its `Location`; the rest
of that URL is not followed. Sources: Availity Service Reviews 2.0.0 and Configurations 1.0.0; RFC 6749, section 4.4.
"""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import httpx

from connectors.errors import Busy, OutcomeUnknown, Refused
from connectors.gateway.words import DEMO_SCOPE, MOCK_HEADER, SCOPE, TRANSACTION_HEADER
from connectors.gateway.write import Json
from connectors.lenient import NotJson, encode, parse, raw, token
from connectors.oauth import Access
from connectors.raw import RawAnswer

_BUSY_PAUSE = timedelta(seconds=2)
"""How long to leave the gateway alone after a 429, which names no time."""
_RECORD = re.compile(r"[A-Za-z0-9._-]{1,80}")


class GatewayAnswer(RawAnswer):
    """An answer with what its headers say. `http_id` is the gateway's transaction."""

    record: str | None = None
    """The gateway's id of the record that the answer points at."""


class GatewayClient:
    """One practice at one gateway, for all payers behind it. Keeps its token until shortly before it expires.

    `demo` asks for canned answers and takes no others: live and canned share the host. `answer_timeout` is how long one
    exchange may take. `client_secret` is asked for each time that a token is fetched, so that a changed one is taken up.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        token_url: str,
        client_id: str,
        client_secret: Callable[[], str],
        answer_timeout: timedelta,
        *,
        demo: bool,
    ) -> None:
        self._access = Access(
            http, token_url, client_id, client_secret, scope=DEMO_SCOPE if demo else SCOPE, name="gateway"
        )
        self._reviews = f"{base_url.rstrip('/')}/v2/service-reviews"
        self._configurations = f"{base_url.rstrip('/')}/v1/configurations"
        self._answer_timeout = answer_timeout
        self._demo = demo

    async def create(self, body: Json, within: timedelta | None = None) -> GatewayAnswer:
        """Send a new service review, once. `within` shortens the time that the gateway may take.

        Raises:
            Busy, Unreachable: it surely was not taken up: no connection, no token, or 429.
            OutcomeUnknown: it may have been: a lost answer, or any 5xx.
            Refused: the gateway does not let this practice in.
        """
        return await self._ask("POST", self._reviews, within, writes=True, content=encode(body))

    async def update(self, body: Json, within: timedelta | None = None) -> GatewayAnswer:
        """Send a service review whole, with its `id`, in place of what the gateway holds. Raises as `create`."""
        return await self._ask("PUT", self._reviews, within, writes=True, content=encode(body))

    async def void(self, record: str, within: timedelta | None = None) -> GatewayAnswer:
        """Void a service review: 204 is done, 202 is under way. Raises as `create`."""
        return await self._ask("DELETE", self._at(record), within, writes=True)

    async def read(self, record: str, within: timedelta | None = None) -> GatewayAnswer:
        """Read a service review: 200 the payer has answered, 202 not yet, 404 the gateway has no such record (any more).

        Raises:
            Busy, Unreachable: ask again later.
            Refused: any other answer: nothing is known by it.
        """
        answer = await self._ask("GET", self._at(record), within)
        if answer.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND):
            raise Refused(f"gateway:{answer.status}")
        return answer

    async def search(self, query: Mapping[str, str], within: timedelta | None = None) -> GatewayAnswer:
        """Look for service reviews: the gateway's records, or a new inquiry at the payer (202 while that is under way).

        Raises:
            Busy, Unreachable: ask again later.
            Refused: the gateway does not let this practice in.
        """
        return await self._ask("GET", self._reviews, within, params=dict(query))

    async def configuration(self, payer_code: str, subtype: str, within: timedelta | None = None) -> GatewayAnswer:
        """Fetch the field rules of a payer for one type of request. Raises as `search`."""
        query = {"type": "service-reviews", "subtypeId": subtype, "payerId": payer_code}
        return await self._ask("GET", self._configurations, within, params=query)

    def _at(self, record: str) -> str:
        if not _RECORD.fullmatch(record):
            raise Refused("gateway:record_id")
        return f"{self._reviews}/{record}"

    async def _ask(
        self, method: str, url: str, within: timedelta | None, *, writes: bool = False, **request: Any
    ) -> GatewayAnswer:
        limit = min(self._answer_timeout, within or self._answer_timeout).total_seconds()
        headers = {"Accept": "application/json"} | (
            {"Content-Type": "application/json"} if "content" in request else {}
        )
        try:
            answer = await self._access.call(method, url, limit, headers, writes=writes, **request)
        except Busy as busy:
            raise Busy(busy.code, busy.retry_after or _BUSY_PAUSE) from None
        self._require_mock(answer, writes=writes)
        return GatewayAnswer(
            status=answer.status_code,
            body=answer.content,
            media_type=token(answer.headers.get("content-type"), 100),
            http_id=token(answer.headers.get(TRANSACTION_HEADER), 200),
            record=_record(answer),
        )

    def _require_mock(self, answer: httpx.Response, *, writes: bool) -> None:
        """Outside production nothing may be live. What is an error or a web page is left to the reader."""
        page = "html" in answer.headers.get("content-type", "").lower()
        if self._demo and answer.is_success and not page and answer.headers.get(MOCK_HEADER, "").lower() != "true":
            raise (OutcomeUnknown if writes else Refused)("gateway:not_a_mock_answer")


def _record(answer: httpx.Response) -> str | None:
    """The record that an answer points at: by its `Location`, else by the `id` in its body."""
    named = answer.headers.get("location", "").partition("?")[0].rstrip("/").rpartition("/")[2]
    if not named and answer.is_success:
        try:
            named = raw(parse(answer.content).get("id"))
        except NotJson:
            return None
    return named if _RECORD.fullmatch(named) else None
