"""The client of one practice at one payer's CDS Hooks services: find the service of a hook, and ask it.

A question changes nothing at the payer; it may be asked again. CRD wants answers within 5 seconds (10 for the first ones and
for `appointment-book`), nine times out of ten; who waits longer holds up the order for an answer that is only the first word.
"""

import time
from datetime import timedelta

from connectors.crd.service import Service, services
from connectors.errors import Refused, Unreachable
from connectors.lenient import Json, NotJson, encode, parse
from connectors.oauth import Access
from connectors.raw import RawAnswer

JSON = "application/json"
PATH = "cds-services"
ANSWER_WITHIN = timedelta(seconds=12)
"""How long a payer may take in all: the ten seconds of CRD, and two for the way."""
_KNOWN_FOR = 3600.0


class CrdClient:
    """One payer's services. `base_url` is the CDS Hooks base, with or without `/cds-services`; make one and keep it."""

    def __init__(self, access: Access, base_url: str, answer_within: timedelta = ANSWER_WITHIN) -> None:
        self._access = access
        self._url = f"{base_url.rstrip('/').removesuffix('/' + PATH)}/{PATH}"
        self._answer_within = answer_within
        self._offered: tuple[Service, ...] = ()
        self._until = 0.0

    async def service(self, hook: str, within: timedelta = ANSWER_WITHIN) -> Service:
        """Return the payer's service for a hook. What it offers is looked up once an hour.

        Raises:
            Busy, Unreachable: it cannot be told now.
            Refused: the payer has no service for the hook, or does not let the practice in.
        """
        for offered in await self.services(within):
            if offered.hook == hook:
                return offered
        raise Refused("hook_not_offered")

    async def services(self, within: timedelta = ANSWER_WITHIN) -> tuple[Service, ...]:
        """Return what the payer offers, as it was looked up within the last hour. Raises as `service`."""
        if time.monotonic() >= self._until:
            answer = await self._access.ask("GET", self._url, JSON, None, min(within, self._answer_within))
            if not 200 <= answer.status < 300:  # noqa: PLR2004 - success
                raise Refused(f"discovery:{answer.status}")
            try:
                self._offered = services(parse(answer.body))
            except NotJson:
                raise Unreachable("discovery:not_json") from None
            self._until = time.monotonic() + _KNOWN_FOR
        return self._offered

    async def ask(self, offered: Service, question: Json, within: timedelta = ANSWER_WITHIN) -> RawAnswer:
        """Ask a service.

        Raises:
            Busy, Unreachable: no answer in time.
            Refused: the payer does not let the practice in, or cannot use the question (any 4xx).
        """
        limit = min(within, self._answer_within)
        answer = await self._access.ask("POST", f"{self._url}/{offered.id}", JSON, encode(question), limit)
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - success
            raise Refused(f"hook:{answer.status}")
        return answer
