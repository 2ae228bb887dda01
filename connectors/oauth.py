"""How a payer or a gateway lets a practice in: a token by client credentials, and one bounded exchange with it.

Sources: RFC 6749, section 4.4; HRex 1.1.0 "Security" (server to server by OAuth).
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import httpx

from connectors.errors import Busy, OutcomeUnknown, Refused, Unreachable
from connectors.exchange import send
from connectors.lenient import NotJson, parse, raw, token, whole
from connectors.raw import RawAnswer
from connectors.tokens import Token, TokenCache

_TOKEN_LIFE = 300
"""Seconds that a token lasts where the server does not say (RFC 6749 only recommends that it does)."""
_LONGEST_LIFE = 86400
_CONNECT_SECONDS = 5.0
_RETURNED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Access:
    """One practice at one counterpart. Keeps its token until shortly before it ends; make one and keep it.

    `http` may be shared. Without a `token_url` no token is sent. `client_secret` is asked for each time that a token is
    fetched, so that a changed one is taken up. `name` is how refusals are called.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        token_url: str | None,
        client_id: str,
        client_secret: Callable[[], str],
        *,
        scope: str = "system/*.*",
        name: str = "payer",
    ) -> None:
        self._http = http
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._name = name
        self._tokens = TokenCache()

    async def ask(
        self,
        method: str,
        url: str,
        media_type: str,
        content: bytes | None,
        within: timedelta,
        *,
        writes: bool = False,
    ) -> RawAnswer:
        """Send and accept a media type; the answer is kept as it came. Raises as `call`."""
        headers = {"Accept": media_type} | ({"Content-Type": media_type} if content is not None else {})
        answer = await self.call(method, url, within.total_seconds(), headers, writes=writes, content=content)
        return RawAnswer(
            status=answer.status_code,
            body=answer.content,
            media_type=token(answer.headers.get("content-type"), 100),
            http_id=token(answer.headers.get("x-request-id"), 200),
        )

    async def call(
        self, method: str, url: str, limit: float, headers: dict[str, str], *, writes: bool = False, **request: Any
    ) -> httpx.Response:
        """Ask within `limit` seconds, and once more where the token is not taken any more. Below 500 all is an answer.

        Raises:
            Busy, Unreachable: it surely was not taken up, or it only reads: no connection, no token, or 429.
            OutcomeUnknown: of a request that writes: it may have been: a lost answer, or any 5xx.
            Refused: the other side does not let this practice in, or sends it elsewhere.
        """
        bearer = await self._bearer()
        answer = await self._send(method, url, limit, headers, bearer, writes=writes, **request)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and bearer is not None:
            # Not taken up: a token can end, or be withdrawn, while we hold it.
            self._tokens.drop(self._token_url or "", bearer)
            answer = await self._send(method, url, limit, headers, await self._bearer(), writes=writes, **request)
        if answer.status_code in _RETURNED or answer.is_redirect:
            raise Refused(f"{self._name}:{answer.status_code}")
        return answer

    async def _bearer(self) -> str | None:
        return await self._tokens.get(self._token_url, self._fetch) if self._token_url else None

    async def _send(
        self,
        method: str,
        url: str,
        limit: float,
        headers: dict[str, str],
        bearer: str | None,
        *,
        writes: bool,
        **request: Any,
    ) -> httpx.Response:
        sent = headers | ({"Authorization": f"Bearer {bearer}"} if bearer is not None else {})
        patience = httpx.Timeout(limit, connect=min(limit, _CONNECT_SECONDS))
        try:
            async with asyncio.timeout(limit):
                return await send(self._http, method, url, writes=writes, headers=sent, timeout=patience, **request)
        except TimeoutError:
            raise (OutcomeUnknown if writes else Unreachable)("timeout") from None
        except Busy as busy:
            if writes and busy.code != str(HTTPStatus.TOO_MANY_REQUESTS.value):
                # Some gateways say 503 of a request that they have passed on.
                raise OutcomeUnknown(busy.code) from None
            raise

    async def _fetch(self) -> Token:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret(),
            "scope": self._scope,
        }
        url = self._token_url or ""
        answer = await send(self._http, "POST", url, data=form, headers={"Accept": "application/json"})
        if not answer.is_success:
            raise Refused(f"token:{answer.status_code}")
        try:
            given = parse(answer.content)
        except NotJson:
            raise Unreachable("token:not_json") from None
        bearer = raw(given.get("access_token"))
        if not bearer or not bearer.isascii() or not bearer.isprintable():
            raise Unreachable("token:missing")
        return Token(bearer, float(whole(given.get("expires_in"), 1, _LONGEST_LIFE) or _TOKEN_LIFE))
