"""How far a sweep of an outside system has come, so that an outage or a restart makes it skip nothing."""

from datetime import datetime

from store.database import Database


async def cursor_of(db: Database, practice: str, sweep: str) -> str | None:
    """Where a practice's sweep goes on, or None before the first. Raises `StoreAway`."""
    async with db.connection() as connection:
        value: str | None = await connection.fetchval(
            "SELECT value FROM cursors WHERE practice = $1 AND sweep = $2", practice, sweep
        )
    return value


async def move(db: Database, practice: str, sweep: str, *, since: str | None, to: str, at: datetime) -> bool:
    """Move a cursor from where it was read (`since`) to where the sweep has come.

    False where another sweep has moved it meanwhile: then nothing changes. Raises `StoreAway`.
    """
    async with db.connection() as connection:
        moved = await connection.fetchval(
            """
            INSERT INTO cursors (practice, sweep, value, moved_at) VALUES ($1, $2, coalesce($3, $4), $5)
            ON CONFLICT (practice, sweep) DO NOTHING RETURNING true
            """
            if since is None
            else """
            UPDATE cursors SET value = $4, moved_at = $5
            WHERE practice = $1 AND sweep = $2 AND value = $3 RETURNING true
            """,
            practice,
            sweep,
            since,
            to,
            at,
        )
    return bool(moved)
