"""The policies in force as a process holds them in memory: one holder, for workers and doors.

PostgreSQL distributes them. While it is away those that are held stay in force; a process that holds none yet takes the
folder's files, so that PostgreSQL being away stops no case.
"""

import asyncio
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from domain.base import Frozen
from domain.house import HOUSE, HouseRules
from domain.policy import Policy, PolicyError
from store.database import Database
from store.errors import StoreAway
from store.policies import Released, read_policy, released

Rules = Policy | HouseRules
"""What a file of `policies/` says."""


class Source(StrEnum):
    """Where the policies that are held come from, after a refresh."""

    RELEASED = "released"
    """PostgreSQL: these are the ones in force."""
    HELD = "held"
    """Held before. PostgreSQL is away, has none, or was asked just before."""
    FILES = "files"
    """The folder: PostgreSQL is away, and nothing was held."""


class Refreshed(Frozen):
    """What a refresh found."""

    source: Source
    unreadable: tuple[str, ...] = ()
    """Payers (or names of files) whose policy this release of Vigil cannot read: what was held of them stays."""


class Shelf:
    """The policies that are released, by payer. Replaced whole when others are released.

    `folder` holds the files (`*.yaml`) that serve where PostgreSQL is away and nothing is held.
    """

    def __init__(self, policies: Iterable[Rules] = (), *, folder: Path | None = None) -> None:
        self._folder = folder
        self._digests: Mapping[str, str] = {}
        self._asked: float | None = None
        self._asking = asyncio.Lock()
        self._rules: Mapping[str, Rules] = MappingProxyType({})
        self.replace(policies)

    def replace(self, policies: Iterable[Rules]) -> None:
        """Put these policies in the place of those that were held."""
        self._rules = MappingProxyType({policy.payer: policy for policy in policies})
        self._digests = {}

    def get(self, payer: str) -> Policy | None:
        """The payer's policy, if one is held."""
        held = self._rules.get(payer)
        return held if isinstance(held, Policy) else None

    @property
    def house(self) -> HouseRules | None:
        """The house's rules, if they are held."""
        held = self._rules.get(HOUSE)
        return held if isinstance(held, HouseRules) else None

    def names(self) -> Mapping[str, str]:
        """What others call each payer (its name, its identifiers), in lower case, and the payer's id."""
        found: dict[str, str] = {}
        for policy in self.policies:
            given = policy.identifiers
            for name in (policy.payer, policy.name, given.eligibility_payer_id, given.pas_organization):
                if name:
                    found[name.lower()] = policy.payer
        return found

    @property
    def policies(self) -> tuple[Policy, ...]:
        """All payers' that are held, by their ids."""
        return tuple(policy for payer in sorted(self._rules) if (policy := self.get(payer)) is not None)

    async def refresh(self, db: Database, *, every: float = 0.0) -> Refreshed:
        """Take the policies in force; `every`: ask PostgreSQL only where that was not done for so many seconds.

        One that cannot be read leaves that payer's as it was, and is named in the answer. Raises `StoreFault`.
        """
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if self._asked is not None and now - self._asked < every:
                return Refreshed(source=Source.HELD)
            try:
                found = await released(db)
            except StoreAway:
                refreshed = Refreshed(source=Source.HELD) if self._rules else await asyncio.to_thread(self._from_files)
            else:
                refreshed = await asyncio.to_thread(self._take, found) if found else Refreshed(source=Source.HELD)
            self._asked = now
            return refreshed

    def _take(self, found: Iterable[Released]) -> Refreshed:
        policies: dict[str, Rules] = {}
        digests: dict[str, str] = {}
        unreadable: list[str] = []
        for one in found:
            held = self._rules.get(one.payer)
            if held is not None and self._digests.get(one.payer) == one.digest:
                policies[one.payer], digests[one.payer] = held, one.digest
                continue
            try:
                policies[one.payer], digests[one.payer] = one.policy, one.digest
            except PolicyError:
                unreadable.append(one.payer)
                if held is not None:
                    policies[one.payer] = held
        self._rules, self._digests = MappingProxyType(policies), digests
        return Refreshed(source=Source.RELEASED, unreadable=tuple(unreadable))

    def _from_files(self) -> Refreshed:
        policies: list[Rules] = []
        unreadable: list[str] = []
        for path in sorted(self._folder.glob("*.yaml")) if self._folder else ():
            try:
                policies.append(read_policy(path.read_text(), name=path.name))
            except (PolicyError, OSError, UnicodeDecodeError):
                unreadable.append(path.name)
        self.replace(policies)
        return Refreshed(source=Source.FILES, unreadable=tuple(unreadable))
