"""Signatures that wait for a second one: a fact is taken back only when two people say so."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from domain.base import Frozen, Instant
from store.database import Connection, Database
from store.errors import SignoffRefused
from store.sealing import Sealer, binding

_FIELDS = "id, case_id, n, sealed_reason, first_by, first_at, expires_at, second_by, second_at"


class Signoff(Frozen):
    """Somebody wants fact `n` of a case retracted, and why; `second_by` is who agreed."""

    id: UUID
    practice: str
    case_id: str
    n: int
    reason: str
    first_by: str
    first_at: Instant
    expires_at: Instant
    second_by: str | None = None
    second_at: Instant | None = None


class Signoffs:
    """Reasons are sealed: people write what they like."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    async def propose(
        self, practice: str, case_id: str, n: int, *, reason: str, by: str, at: datetime, expires_at: datetime
    ) -> Signoff:
        """Give the first signature, or return the one that waits for the same fact; an expired one is replaced.

        Raises `StoreAway`.
        """
        async with self._db.transaction() as connection:
            await connection.execute(
                """
                DELETE FROM signoffs
                WHERE practice = $1 AND case_id = $2 AND n = $3 AND second_by IS NULL AND expires_at <= $4
                """,
                practice,
                case_id,
                n,
                at,
            )
            new = uuid4()
            await connection.execute(
                """
                INSERT INTO signoffs (practice, id, case_id, n, sealed_reason, first_by, first_at, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
                """,
                practice,
                new,
                case_id,
                n,
                self._sealer.seal(reason.encode(), _aad(practice, case_id, n)),
                by,
                at,
                expires_at,
            )
            row = await connection.fetchrow(
                f"SELECT {_FIELDS} FROM signoffs"  # noqa: S608 - a constant
                " WHERE practice = $1 AND case_id = $2 AND n = $3 AND second_by IS NULL",
                practice,
                case_id,
                n,
            )
        assert row is not None  # noqa: S101 - it was just written, or kept from being written twice
        return self._opened(practice, dict(row))

    async def waiting(self, practice: str, *, now: datetime, case_id: str | None = None) -> tuple[Signoff, ...]:
        """A practice's first signatures that wait, of one case or of all, the oldest first. Raises `StoreAway`."""
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                f"SELECT {_FIELDS} FROM signoffs"  # noqa: S608 - a constant
                " WHERE practice = $1 AND second_by IS NULL AND expires_at > $2 AND ($3::text IS NULL OR case_id = $3)"
                " ORDER BY first_at, id",
                practice,
                now,
                case_id,
            )
        return tuple(self._opened(practice, dict(row)) for row in rows)

    async def sign(self, practice: str, signoff_id: UUID, *, by: str, at: datetime) -> Signoff:
        """Give the second signature. The same person may say it again, as after a crash, and gets the same answer.

        Raises:
            SignoffRefused: there is none, it expired, the same person signed first, or another one signed second.
            StoreAway: PostgreSQL is away.
        """
        async with self._db.transaction() as connection:
            row = await self._locked(connection, practice, signoff_id)
            if row["second_by"] == by:
                return self._opened(practice, row)
            if row["second_by"] is not None:
                raise SignoffRefused("Somebody else has given the second signature already.")
            if row["first_by"] == by:
                raise SignoffRefused("The second signature must be another person's than the first.")
            if row["expires_at"] <= at:
                raise SignoffRefused("The first signature has expired. Begin again with a new one.")
            await connection.execute(
                "UPDATE signoffs SET second_by = $3, second_at = $4 WHERE practice = $1 AND id = $2",
                practice,
                signoff_id,
                by,
                at,
            )
            row = await self._locked(connection, practice, signoff_id)
        return self._opened(practice, row)

    async def _locked(self, connection: Connection, practice: str, signoff_id: UUID) -> dict[str, Any]:
        row = await connection.fetchrow(
            f"SELECT {_FIELDS} FROM signoffs WHERE practice = $1 AND id = $2 FOR UPDATE",  # noqa: S608 - a constant
            practice,
            signoff_id,
        )
        if row is None:
            raise SignoffRefused("There is no first signature of that id. Begin with one.")
        return dict(row)

    def _opened(self, practice: str, row: dict[str, Any]) -> Signoff:
        reason = self._sealer.open(row.pop("sealed_reason"), _aad(practice, row["case_id"], row["n"])).decode()
        return Signoff.model_validate({**row, "practice": practice, "reason": reason})


def _aad(practice: str, case_id: str, n: int) -> bytes:
    return binding("signoff", practice, case_id, str(n))
