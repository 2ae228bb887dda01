"""The HTTP client of one practice at one payer's PAS endpoint: token, submit, inquire, attach, subscribe.

It says what may have happened, and leaves what an answer means to the reader. A submission may be repeated only when it
surely was not taken up: PAS knows no idempotency key, so after a lost answer comes a search.
Sources: PAS 2.2.1 "HTTP Responses" (4xx: resending does not help; 5xx: no OperationOutcome); RFC 6749, section 4.4.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

import httpx

from connectors.errors import Busy, OutcomeUnknown, Refused, Unreachable
from connectors.exchange import send
from connectors.pas.fhir import Json, NotFhir, parse, raw, token, whole
from connectors.pas.write import Version, encode
from connectors.raw import RawAnswer
from connectors.tokens import Token, TokenCache

FHIR_JSON = "application/fhir+json"
_TOKEN_LIFE = 300
"""Seconds that a token lasts where the server does not say (RFC 6749 only recommends that it does)."""
_LONGEST_LIFE = 86400
_CONNECT_SECONDS = 5.0
_RETURNED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class PasClient:
    """One practice at one payer. Keeps its token until shortly before it expires; make one and keep it.

    `http` may be shared; `answer_timeout` is how long the payer may take, in all, and no call waits longer.
    `client_secret` is asked for each time that a token is fetched, so that a changed one is taken up.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        token_url: str,
        client_id: str,
        client_secret: Callable[[], str],
        version: Version,
        answer_timeout: timedelta,
    ) -> None:
        self.version = version
        self.answer_timeout = answer_timeout
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._tokens = TokenCache()

    async def submit(self, bundle: Json, within: timedelta | None = None) -> RawAnswer:
        """Send a request, an update or a cancel. `within` shortens the time that the payer may take.

        Raises:
            Busy, Unreachable: it surely was not taken up: no connection, no token, or 429.
            OutcomeUnknown: it may have been: a lost answer, or any 5xx.
            Refused: the payer does not let this practice in.
        """
        return await self._post("Claim/$submit", bundle, within, writes=True)

    async def inquire(self, bundle: Json, within: timedelta | None = None) -> RawAnswer:
        """Ask how a request stands.

        Raises:
            Busy, Unreachable: ask again later.
            Refused: the payer does not let this practice in.
        """
        return await self._post("Claim/$inquire", bundle, within, writes=False)

    async def attach(self, parameters: Json, base_url: str | None = None, within: timedelta | None = None) -> RawAnswer:
        """Send documents (`$submit-attachment`), to `base_url` where the payer takes them elsewhere than requests.

        Raises:
            Busy, Unreachable: they surely were not taken: no connection, no token, or 429.
            OutcomeUnknown: they may have been: a lost answer, or any 5xx.
            Refused: the payer does not let this practice in.
        """
        return await self._post("$submit-attachment", parameters, within, writes=True, base_url=base_url)

    async def subscribe(self, subscription: Json) -> RawAnswer:
        """Create the practice's subscription. Repeating it at worst makes a second one, and answers come twice.

        Raises:
            Busy, Unreachable: try again later.
            Refused: the payer does not let this practice in, or does not take the subscription.
        """
        answer = await self._post("Subscription", subscription, None, writes=False)
        if not httpx.codes.is_success(answer.status):
            raise Refused(f"subscription:{answer.status}")
        return answer

    async def read(self, path: str) -> RawAnswer:
        """Read a resource, or search for it: `Subscription/7`, `Subscription?url=…`. Any status below 500 is an answer.

        Raises:
            Busy, Unreachable: ask again later.
            Refused: the payer does not let this practice in.
        """
        return await self._call("GET", f"{self._base_url}/{path}", None, self.answer_timeout.total_seconds())

    async def delete(self, path: str) -> RawAnswer:
        """Delete a resource. Any status below 500 is an answer. Raises as `read`."""
        return await self._call("DELETE", f"{self._base_url}/{path}", None, self.answer_timeout.total_seconds())

    async def _post(
        self, path: str, body: Json, within: timedelta | None, *, writes: bool, base_url: str | None = None
    ) -> RawAnswer:
        url = f"{(base_url or self._base_url).rstrip('/')}/{path}"
        limit = min(self.answer_timeout, within or self.answer_timeout).total_seconds()
        return await self._call("POST", url, encode(body), limit, writes=writes)

    async def _call(
        self, method: str, url: str, content: bytes | None, limit: float, *, writes: bool = False
    ) -> RawAnswer:
        bearer = await self._tokens.get(self._token_url, self._fetch)
        answer = await self._send(method, url, content, bearer, limit, writes=writes)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            # Not taken up: a token can be withdrawn before it expires.
            self._tokens.drop(self._token_url, bearer)
            bearer = await self._tokens.get(self._token_url, self._fetch)
            answer = await self._send(method, url, content, bearer, limit, writes=writes)
        if answer.status_code in _RETURNED or answer.is_redirect:
            raise Refused(f"pas:{answer.status_code}")
        return RawAnswer(
            status=answer.status_code,
            body=answer.content,
            media_type=token(answer.headers.get("content-type"), 100),
            http_id=token(answer.headers.get("x-request-id"), 200),
        )

    async def _send(
        self, method: str, url: str, content: bytes | None, bearer: str, limit: float, *, writes: bool
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {bearer}", "Accept": FHIR_JSON}
        headers |= {"Content-Type": FHIR_JSON} if content is not None else {}
        patience = httpx.Timeout(limit, connect=min(limit, _CONNECT_SECONDS))
        try:
            async with asyncio.timeout(limit):
                return await send(
                    self._http, method, url, writes=writes, content=content, headers=headers, timeout=patience
                )
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
            "scope": "system/*.*",
        }
        answer = await send(self._http, "POST", self._token_url, data=form, headers={"Accept": "application/json"})
        if not answer.is_success:
            raise Refused(f"token:{answer.status_code}")
        try:
            given = parse(answer.content)
        except NotFhir:
            raise Unreachable("token:not_json") from None
        bearer = raw(given.get("access_token"))
        if not bearer or not bearer.isascii() or not bearer.isprintable():
            raise Unreachable("token:missing")
        life = whole(given.get("expires_in"), 1, _LONGEST_LIFE) or _TOKEN_LIFE
        return Token(bearer, float(life))
