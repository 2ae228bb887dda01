"""Which payers there are, and by which names senders call them: from the released policies, else from the policy files."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from domain.policy import Policy, PolicyError
from runtime.logs import get_logger
from store.database import Database
from store.errors import StoreAway
from store.policies import read_policy, released

_FRESH_SECONDS = 60.0
log = get_logger(__name__)


class Payers:
    """The payers' ids and names. While PostgreSQL is away those that are held count."""

    def __init__(self, database: Database, policies_dir: Path) -> None:
        self._database = database
        self._folder = policies_dir
        self._names: Mapping[str, str] = {}
        self._ids: frozenset[str] = frozenset()
        self._asked = -_FRESH_SECONDS
        self._asking = asyncio.Lock()

    async def names(self) -> Mapping[str, str]:
        """From what others call a payer (name or identifier, in lower case) to its id."""
        await self._refresh()
        return self._names

    async def known(self, payer: str) -> bool:
        """Whether there are rules of such a payer."""
        await self._refresh()
        return payer in self._ids

    async def _refresh(self) -> None:
        async with self._asking:
            if time.monotonic() - self._asked < _FRESH_SECONDS:
                return
            try:
                policies = [release.policy for release in await released(self._database)]
            except StoreAway:
                policies = []
            if policies or not self._ids:
                self._take(policies or self._files())
            self._asked = time.monotonic()

    def _files(self) -> list[Policy]:
        found = []
        for path in sorted(self._folder.glob("*.yaml")):
            try:
                found.append(read_policy(path.read_text(), name=path.name))
            except (PolicyError, OSError):
                log.exception("a policy file cannot be read", policy=path.stem)
        return found

    def _take(self, policies: Iterable[Policy]) -> None:
        names: dict[str, str] = {}
        for policy in policies:
            said = (
                policy.payer,
                policy.name,
                policy.identifiers.eligibility_payer_id,
                policy.identifiers.pas_organization,
            )
            names |= {name.lower(): policy.payer for name in said if name}
        self._names, self._ids = names, frozenset(names.values())
