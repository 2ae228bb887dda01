"""The HTTP client of one practice at one payer's PAS endpoint: token, submit, inquire, attach, subscribe.

It says what may have happened, and leaves what an answer means to the reader. A submission may be repeated only when it
surely was not taken up: PAS knows no idempotency key, so after a lost answer comes a search.
Sources: PAS 2.2.1 "HTTP Responses" (4xx: resending does not help; 5xx: no OperationOutcome); RFC 6749, section 4.4.
"""

from collections.abc import Callable
from datetime import timedelta

import httpx

from connectors.errors import Refused
from connectors.lenient import Json, encode
from connectors.oauth import Access
from connectors.pas.claim import Version
from connectors.raw import RawAnswer

FHIR_JSON = "application/fhir+json"


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
        self._access = Access(http, token_url, client_id, client_secret, name="pas")
        self._base_url = base_url.rstrip("/")

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
        return await self._access.ask("GET", f"{self._base_url}/{path}", FHIR_JSON, None, self.answer_timeout)

    async def delete(self, path: str) -> RawAnswer:
        """Delete a resource. Any status below 500 is an answer. Raises as `read`."""
        return await self._access.ask("DELETE", f"{self._base_url}/{path}", FHIR_JSON, None, self.answer_timeout)

    async def _post(
        self, path: str, body: Json, within: timedelta | None, *, writes: bool, base_url: str | None = None
    ) -> RawAnswer:
        url = f"{(base_url or self._base_url).rstrip('/')}/{path}"
        limit = min(self.answer_timeout, within or self.answer_timeout)
        return await self._access.ask("POST", url, FHIR_JSON, encode(body), limit, writes=writes)
