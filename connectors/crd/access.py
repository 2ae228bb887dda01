"""How a payer's services that only answer questions (CRD, DTR) are reached: a token by client credentials, one bounded call.

Nothing that is sent here changes anything at the payer, so every failure of the network may be tried again.
Sources: HRex 1.1.0 "Security" (server to server by OAuth); RFC 6749, section 4.4.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

import httpx

from connectors.errors import Refused, Unreachable
from connectors.exchange import send
from connectors.pas.fhir import Json, NotFhir, parse, raw, token, whole
from connectors.raw import RawAnswer
from connectors.tokens import Token, TokenCache

_TOKEN_LIFE = 300
"""Seconds that a token lasts where the server does not say (RFC 6749 only recommends that it does)."""
_LONGEST_LIFE = 86400
_CONNECT_SECONDS = 5.0
_RETURNED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Access:
    """One practice at one payer. Keeps its token until shortly before it ends; make one and keep it.

    `http` may be shared. Without a `token_url` the payer is asked without a token. `client_secret` is asked for each
    time that a token is fetched, so that a changed one is taken up.
    """

    def __init__(
        self, http: httpx.AsyncClient, token_url: str | None, client_id: str, client_secret: Callable[[], str]
    ) -> None:
        self._http = http
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._tokens = TokenCache()

    async def call(self, method: str, url: str, media_type: str, body: Json | None, within: timedelta) -> RawAnswer:
        """Ask once, and once more where the token was not taken any more. The answer is any below 500.

        Raises:
            Busy, Unreachable: no answer in the time given; asking again is harmless.
            Refused: the payer does not let this practice in.
        """
        limit = within.total_seconds()
        try:
            async with asyncio.timeout(limit):
                answer, bearer = await self._send(method, url, media_type, body, limit)
                if answer.status_code == HTTPStatus.UNAUTHORIZED and self._token_url is not None:
                    self._tokens.drop(self._token_url, bearer)
                    answer, _ = await self._send(method, url, media_type, body, limit)
        except TimeoutError:
            raise Unreachable("timeout") from None
        if answer.status_code in _RETURNED or answer.is_redirect:
            raise Refused(f"payer:{answer.status_code}")
        return RawAnswer(
            status=answer.status_code,
            body=answer.content,
            media_type=token(answer.headers.get("content-type"), 100),
            http_id=token(answer.headers.get("x-request-id"), 200),
        )

    async def _send(
        self, method: str, url: str, media_type: str, body: Json | None, limit: float
    ) -> tuple[httpx.Response, str]:
        headers = {"Accept": media_type}
        bearer = ""
        if self._token_url is not None:
            bearer = await self._tokens.get(self._token_url, self._fetch)
            headers["Authorization"] = f"Bearer {bearer}"
        content = None
        if body is not None:
            headers["Content-Type"] = media_type
            content = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        patience = httpx.Timeout(limit, connect=min(limit, _CONNECT_SECONDS))
        answer = await send(self._http, method, url, content=content, headers=headers, timeout=patience)
        return answer, bearer

    async def _fetch(self) -> Token:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret(),
            "scope": "system/*.*",
        }
        url = self._token_url or ""
        answer = await send(self._http, "POST", url, data=form, headers={"Accept": "application/json"})
        if not answer.is_success:
            raise Refused(f"token:{answer.status_code}")
        try:
            given = parse(answer.content)
        except NotFhir:
            raise Unreachable("token:not_json") from None
        bearer = raw(given.get("access_token"))
        if not bearer or not bearer.isascii() or not bearer.isprintable():
            raise Unreachable("token:missing")
        return Token(bearer, float(whole(given.get("expires_in"), 1, _LONGEST_LIFE) or _TOKEN_LIFE))
