"""What the watchman and the reconciliation ask of PostgreSQL, and when each last came to its end."""

from collections.abc import Collection

from domain.base import Frozen, Instant
from store.database import Database

WATCHMAN, SWEEP, RECONCILIATION = "watchman", "sweep", "reconciliation"


class Round(Frozen):
    """One round of somebody who looks, the last one that came to its end."""

    name: str
    practice: str | None = None
    ended_at: Instant
    looked_at: int = 0
    """How many cases or orders it saw."""
    found: int = 0
    """How many of them were not as they should be."""
    workflow_id: str | None = None
    run_id: str | None = None


class OpenRow(Frozen):
    """The row of an open case, as far as the watchman compares it with Temporal."""

    practice: str
    case_id: str
    n: int
    stage: str
    turn: str
    due: Instant | None
    wake_at: Instant | None


async def note(db: Database, round_: Round) -> None:
    """Remember that a round ended. Raises `StoreAway`."""
    async with db.connection() as connection:
        await connection.execute(
            """
            INSERT INTO rounds AS held (practice, name, ended_at, looked_at, found, workflow_id, run_id)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (practice, name) DO UPDATE SET
                ended_at = excluded.ended_at, looked_at = excluded.looked_at, found = excluded.found,
                workflow_id = excluded.workflow_id, run_id = excluded.run_id
            WHERE held.ended_at <= excluded.ended_at
            """,
            round_.practice or "",
            round_.name,
            round_.ended_at,
            round_.looked_at,
            round_.found,
            round_.workflow_id,
            round_.run_id,
        )


async def last(db: Database, name: str, practice: str | None = None) -> Round | None:
    """The last round of that name, or None before the first. Raises `StoreAway`."""
    async with db.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT name, nullif(practice, '') AS practice, ended_at, looked_at, found, workflow_id, run_id
            FROM rounds WHERE practice = $1 AND name = $2
            """,
            practice or "",
            name,
        )
    return Round.model_validate(dict(row)) if row is not None else None


async def open_rows(db: Database) -> tuple[OpenRow, ...]:
    """The row of every open case of every practice. Raises `StoreAway`."""
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT practice, case_id, n, stage, turn, nullif(due, 'infinity') AS due, wake_at
            FROM cases WHERE closed_at IS NULL ORDER BY practice, case_id
            """
        )
    return tuple(OpenRow.model_validate(dict(row)) for row in rows)


async def without_facts(db: Database, practice: str, case_ids: Collection[str]) -> frozenset[str]:
    """Those of these cases of which the archive holds nothing. Raises `StoreAway`."""
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT case_id FROM unnest($2::text[]) AS asked (case_id)
            WHERE NOT EXISTS (SELECT FROM facts f WHERE f.practice = $1 AND f.case_id = asked.case_id)
            """,
            practice,
            list(case_ids),
        )
    return frozenset(row["case_id"] for row in rows)
