"""Tokens of the doors: who may come in, for which practice, in which role. Only a token's hash is kept.

A token that was looked up lately still works while PostgreSQL is away, so that people are not locked out of their
work; that it was revoked meanwhile is noticed when PostgreSQL is back.
"""

import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID, uuid4

from domain.base import Frozen, Instant
from store.database import Database
from store.errors import StoreAway

_CACHED = 10_000
_TOKEN = re.compile(r"vgl_[a-z]+_[A-Za-z0-9_-]{43}")


class Role(StrEnum):
    """What a token is good for. Each door says which roles it takes."""

    INTAKE = "intake"
    STAFF = "staff"
    SUPERVISOR = "supervisor"
    OPERATOR = "operator"
    CODEC = "codec"


@dataclass(frozen=True)
class Principal:
    """Who is calling."""

    practice: str
    role: Role
    person: str
    token_id: UUID


class Token(Frozen):
    """A token as it is listed: everything but the secret, which nobody has but its owner."""

    id: UUID
    practice: str
    role: Role
    person: str
    label: str
    issued_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None


@dataclass(frozen=True)
class Issued:
    """A new token and its text, which is shown this once."""

    token: Token
    secret: str = field(repr=False)


@dataclass(frozen=True)
class _Remembered:
    principal: Principal
    expires_at: datetime
    asked_at: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Tokens:
    """Issue, look up, revoke.

    `fresh_for` is how long a look-up is trusted without asking PostgreSQL again, and `away_for` how long while
    PostgreSQL is away.
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], datetime] = _utc_now,
        fresh_for: timedelta = timedelta(seconds=30),
        away_for: timedelta = timedelta(hours=12),
    ) -> None:
        self._db = db
        self._clock = clock
        self._fresh_for = fresh_for
        self._away_for = away_for
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    async def issue(self, practice: str, role: Role, person: str, *, expires_at: datetime, label: str = "") -> Issued:
        """Make a token, `vgl_<role>_<43 characters>`. `person` is who uses it. Raises `StoreAway`."""
        secret = f"vgl_{role}_{secrets.token_urlsafe(32)}"
        token = Token(
            id=uuid4(),
            practice=practice,
            role=role,
            person=person,
            label=label,
            issued_at=self._clock(),
            expires_at=expires_at,
        )
        async with self._db.connection() as connection:
            await connection.execute(
                """
                INSERT INTO tokens (practice, id, hash, role, person, label, issued_at, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                """,
                practice,
                token.id,
                _hash(secret),
                role.value,
                person,
                label,
                token.issued_at,
                token.expires_at,
            )
        return Issued(token, secret)

    async def look_up(self, secret: str) -> Principal | None:
        """Who a token speaks for, or None where it is unknown, expired or revoked.

        Raises `StoreAway` where PostgreSQL is away and the token was not looked up lately.
        """
        if not _TOKEN.fullmatch(secret):
            return None
        digest, now = _hash(secret), self._clock()
        known = self._remembered.get(digest)
        if known is not None and known.expires_at <= now:
            del self._remembered[digest]
            return None
        if known is not None and now - known.asked_at < self._fresh_for:
            return known.principal
        try:
            found = await self._ask(digest, now)
        except StoreAway:
            if known is not None and now - known.asked_at < self._away_for:
                return known.principal
            raise
        if found is None:
            self._remembered.pop(digest, None)
            return None
        self._remembered[digest] = found
        self._remembered.move_to_end(digest)
        while len(self._remembered) > _CACHED:
            self._remembered.popitem(last=False)
        return found.principal

    async def revoke(self, practice: str, token_id: UUID) -> bool:
        """End a token, here at once and elsewhere within `fresh_for`. False where the practice has none that holds.

        Raises `StoreAway`.
        """
        async with self._db.connection() as connection:
            digest = await connection.fetchval(
                """
                UPDATE tokens SET revoked_at = $3 WHERE practice = $1 AND id = $2 AND revoked_at IS NULL
                RETURNING hash
                """,
                practice,
                token_id,
                self._clock(),
            )
        self._remembered.pop(digest, None)
        return digest is not None

    async def list(self, practice: str) -> tuple[Token, ...]:
        """Every token of a practice, the latest first. Raises `StoreAway`."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT id, practice, role, person, label, issued_at, expires_at, revoked_at FROM tokens
                WHERE practice = $1 ORDER BY issued_at DESC, id
                """,
                practice,
            )
        return tuple(Token(**dict(row)) for row in rows)

    async def _ask(self, digest: bytes, now: datetime) -> _Remembered | None:
        async with self._db.connection() as connection:
            row = await connection.fetchrow(
                """
                SELECT practice, role, person, id, expires_at FROM tokens
                WHERE hash = $1 AND revoked_at IS NULL AND expires_at > $2
                """,
                digest,
                now,
            )
        if row is None:
            return None
        principal = Principal(row["practice"], Role(row["role"]), row["person"], row["id"])
        return _Remembered(principal, row["expires_at"], now)


def _hash(secret: str) -> bytes:
    # A secret of 256 random bits needs no slow hash.
    return hashlib.sha256(secret.encode()).digest()
