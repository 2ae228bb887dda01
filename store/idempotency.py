"""Answers to requests that carried an Idempotency-Key, to be given again when the request comes again."""

import hashlib
from datetime import datetime

from pydantic import Field

from domain.base import Frozen
from store.database import Database
from store.errors import KeyReused
from store.sealing import Sealer, binding


class Remembered(Frozen):
    """An answer that was given: its HTTP status and its body."""

    status: int = Field(ge=100, le=599)
    body: bytes


class Idempotency:
    """Keys belong to a practice and an operation (method and path). Bodies are sealed.

    While PostgreSQL is away nothing is remembered: the case itself then knows by the source id what was said twice.
    """

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    async def recall(
        self, practice: str, operation: str, key: str, request: bytes, *, now: datetime
    ) -> Remembered | None:
        """The answer given before, or None.

        Raises:
            KeyReused: the key came before with another request.
            StoreAway: PostgreSQL is away.
        """
        async with self._db.connection() as connection:
            row = await connection.fetchrow(
                """
                SELECT request_hash, status, sealed FROM idempotency
                WHERE practice = $1 AND operation = $2 AND key = $3 AND expires_at > $4
                """,
                practice,
                operation,
                key,
                now,
            )
        if row is None:
            return None
        if row["request_hash"] != _hash(request):
            raise KeyReused(
                "This Idempotency-Key came before with another request. Use a new key for a new request, "
                "and the same body for the same one."
            )
        body = self._sealer.open(row["sealed"], _aad(practice, operation, key))
        return Remembered(status=row["status"], body=body)

    async def remember(
        self,
        practice: str,
        operation: str,
        key: str,
        request: bytes,
        answer: Remembered,
        *,
        now: datetime,
        expires_at: datetime,
    ) -> Remembered:
        """Keep an answer and return the one that counts: of two at once the first.

        Raises `KeyReused`, `StoreAway`.
        """
        async with self._db.connection() as connection:
            await connection.execute(
                """
                INSERT INTO idempotency AS held
                    (practice, operation, key, request_hash, status, sealed, at, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                ON CONFLICT (practice, operation, key) DO UPDATE SET
                    request_hash = excluded.request_hash, status = excluded.status, sealed = excluded.sealed,
                    at = excluded.at, expires_at = excluded.expires_at
                WHERE held.expires_at <= excluded.at
                """,
                practice,
                operation,
                key,
                _hash(request),
                answer.status,
                self._sealer.seal(answer.body, _aad(practice, operation, key)),
                now,
                expires_at,
            )
        return await self.recall(practice, operation, key, request, now=now) or answer

    async def forget_expired(self, now: datetime) -> int:
        """Remove what has expired, of every practice, and return how many. Raises `StoreAway`."""
        async with self._db.connection() as connection:
            rows = await connection.fetch("DELETE FROM idempotency WHERE expires_at <= $1 RETURNING 1", now)
        return len(rows)


def _hash(request: bytes) -> bytes:
    return hashlib.sha256(request).digest()


def _aad(practice: str, operation: str, key: str) -> bytes:
    return binding("idempotency", practice, operation, key)
