"""The audit trail: who read or wrote what, of whom, when. Append-only, and kept also while PostgreSQL is away."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from pydantic import Field

from domain.base import Frozen, Instant, Key
from store.database import Database
from store.errors import StoreAway
from store.rows import plain
from store.spool import Drained, Spool


class AuditEntry(Frozen):
    """One thing that somebody did or was refused. `what` is a verb and an object in fixed words, never data."""

    id: UUID = Field(default_factory=uuid4)
    at: Instant
    practice: Key = Field(description="The practice of whoever acted, also where the case is not theirs.")
    who: Key
    role: Key
    what: Key = Field(description="As in `case.read`, `task.complete`, `case.read refused`.")
    case_id: str | None = Field(default=None, max_length=200)
    request_id: str | None = Field(default=None, max_length=200)


async def append(db: Database, entries: Sequence[AuditEntry]) -> None:
    """Keep entries; one whose id is there already is there. Raises `StoreAway`, `StoreFault`."""
    async with db.transaction() as connection:
        await connection.executemany(
            """
            INSERT INTO audit (practice, id, at, who, role, what, case_id, request_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (practice, id) DO NOTHING
            """,
            [
                (
                    plain(entry.practice),
                    entry.id,
                    entry.at,
                    plain(entry.who),
                    plain(entry.role),
                    plain(entry.what),
                    plain(entry.case_id) if entry.case_id is not None else None,
                    plain(entry.request_id) if entry.request_id is not None else None,
                )
                for entry in entries
            ],
        )


async def entries(
    db: Database, practice: str, *, case_id: str | None = None, limit: int = 200
) -> tuple[AuditEntry, ...]:
    """A practice's entries, of one case or of all, the latest first. Raises `StoreAway`."""
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT id, at, practice, who, role, what, case_id, request_id FROM audit
            WHERE practice = $1 AND ($2::text IS NULL OR case_id = $2) ORDER BY at DESC, position DESC LIMIT $3
            """,
            practice,
            case_id,
            limit,
        )
    return tuple(AuditEntry(**dict(row)) for row in rows)


class AuditTrail:
    """Where entries go: to PostgreSQL, and to the spool while it is away."""

    def __init__(self, db: Database, spool: Spool) -> None:
        self._db = db
        self._spool = spool

    async def record(self, entry: AuditEntry) -> None:
        """Keep an entry; it is kept when this returns.

        Raises:
            SpoolFull: PostgreSQL is away and the spool holds no more.
        """
        try:
            await append(self._db, [entry])
        except StoreAway:
            await self._spool.put(entry.model_dump_json().encode())

    async def drain(self) -> Drained:
        """Bring what was spooled to PostgreSQL, each entry once. Call it now and then; it costs little when empty.

        Raises `StoreAway`; what is left waits for the next time.
        """
        return await self._spool.drain(self._store)

    async def _store(self, spooled: Sequence[bytes]) -> None:
        await append(self._db, [AuditEntry.model_validate_json(entry) for entry in spooled])
