"""What all workers share about the ways to payers: which channels are out of order, and how many requests are under way.

A breaker stands for one channel of one practice at a payer: enough failures in a row open it, then one request after a
while tries whether the channel works again. Times are those of the cases, in UTC. Slots count what is under way at a
carrier; one whose holder died falls free by itself.
"""

from datetime import datetime, timedelta

from domain.base import Frozen, Instant
from store.database import Database

_PROBE = timedelta(minutes=10)
"""How long one request may try whether a channel works again; an activity never takes longer."""


class ChannelState(Frozen):
    """How a channel stands."""

    practice: str
    payer: str
    rail: str
    failures: int
    open_until: Instant | None
    error: str


async def admit(db: Database, practice: str, payer: str, rail: str, now: datetime) -> bool:
    """Whether a request may go: the channel is closed, or this one is the probe of an open one. Raises `StoreAway`."""
    async with db.connection() as connection:
        row = await connection.fetchrow(
            "SELECT open_until FROM channel_health WHERE practice = $1 AND payer = $2 AND rail = $3",
            *(practice, payer, rail),
        )
        if row is None or row["open_until"] is None:
            return True
        if now < row["open_until"]:
            return False
        mine = await connection.fetchval(
            """
            UPDATE channel_health SET probed_until = $4
            WHERE practice = $1 AND payer = $2 AND rail = $3 AND (probed_until IS NULL OR probed_until <= $5)
            RETURNING true
            """,
            *(practice, payer, rail, now + _PROBE, now),
        )
        return bool(mine)


async def worked(db: Database, practice: str, payer: str, rail: str) -> bool:
    """Note that the channel answered. True where it had failed before. Raises `StoreAway`."""
    async with db.connection() as connection:
        mended = await connection.fetchval(
            "DELETE FROM channel_health WHERE practice = $1 AND payer = $2 AND rail = $3 RETURNING true",
            *(practice, payer, rail),
        )
    return bool(mended)


async def failed(
    db: Database,
    practice: str,
    payer: str,
    rail: str,
    *,
    error: str,
    now: datetime,
    after: int,
    open_for: timedelta,
) -> bool:
    """Note that the channel did not answer, or lets nobody in; after so many times in a row it is open. True where it is.

    Raises `StoreAway`.
    """
    async with db.connection() as connection:
        opened = await connection.fetchval(
            """
            INSERT INTO channel_health AS held (practice, payer, rail, failures, open_until, error)
            VALUES ($1, $2, $3, 1, CASE WHEN $5 <= 1 THEN $6::timestamptz END, $4)
            ON CONFLICT (practice, payer, rail) DO UPDATE SET
                failures = held.failures + 1,
                open_until = CASE WHEN held.failures + 1 >= $5 THEN $6::timestamptz END,
                probed_until = NULL,
                error = excluded.error
            RETURNING open_until IS NOT NULL
            """,
            *(practice, payer, rail, error, after, now + open_for),
        )
        return bool(opened)


async def out_of_order(db: Database, practice: str | None = None) -> list[ChannelState]:
    """The channels that failed last, of one practice or of all. Raises `StoreAway`."""
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT practice, payer, rail, failures, open_until, error FROM channel_health
            WHERE $1::text IS NULL OR practice = $1 ORDER BY practice, payer, rail
            """,
            practice,
        )
    return [ChannelState(**row) for row in rows]


async def take_slot(db: Database, carrier: str, slots: int, holder: str, keep: timedelta) -> bool:
    """Take one of so many slots of a carrier, for at most `keep`. False where all are taken. Raises `StoreAway`."""
    async with db.transaction() as connection:
        # Two that count at the same moment would both find the last one.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"carrier:{carrier}")
        taken = await connection.fetchval(
            """
            INSERT INTO carrier_slots (carrier, holder, taken_until)
            SELECT $1, $2, now() + $4::interval
            WHERE (SELECT count(*) FROM carrier_slots WHERE carrier = $1 AND taken_until > now()) < $3
            RETURNING true
            """,
            *(carrier, holder, slots, keep),
        )
        return bool(taken)


async def give_slot_back(db: Database, carrier: str, holder: str) -> None:
    """Give a slot back, and clear those whose holders died. Raises `StoreAway`."""
    async with db.connection() as connection:
        await connection.execute(
            "DELETE FROM carrier_slots WHERE carrier = $1 AND (holder = $2 OR taken_until <= now())", carrier, holder
        )
