"""What payers tell practices of their own accord: by which subscription, how far it was heard, and what was missed.

One row for each practice and payer. A row is looked after by one worker at a time: whoever takes it has it for a while.
"""

from datetime import datetime, timedelta

from domain.base import Frozen, Instant, Key
from store.database import Database

LEASE = timedelta(minutes=2)
"""How long who takes a row has it; after a failure it is taken again when this is over."""


class Subscribed(Frozen):
    """A practice's subscription at a payer, as far as it is known here."""

    practice: Key
    payer: Key
    reference: str | None = None
    """The payer's id of it, `Subscription/…`; None before the first."""
    last_event: int = 0
    heard_at: Instant | None = None
    beats: bool = False
    """Whether heartbeats came: only then silence says something."""
    missed_at: Instant | None = None
    """When it was noticed that something was missed; None where nothing is."""


def plain(reference: str) -> str:
    """Return a reference to a Subscription without the server before it and the version after it."""
    return "/".join(reference.partition("/_history/")[0].rstrip("/").split("/")[-2:])


async def take(db: Database, practice: str, payer: str, now: datetime) -> Subscribed | None:
    """Take a row to look after it, where its time has come and nobody else has it. Raises `StoreAway`."""
    async with db.connection() as connection:
        row = await connection.fetchrow(
            """
            INSERT INTO subscriptions (practice, payer, next_look) VALUES ($1, $2, $4::timestamptz)
            ON CONFLICT (practice, payer) DO UPDATE SET next_look = $4 WHERE subscriptions.next_look <= $3::timestamptz
            RETURNING practice, payer, reference, last_event, heard_at, beats, missed_at
            """,
            practice,
            payer,
            now,
            now + LEASE,
        )
    return Subscribed(**dict(row)) if row is not None else None


async def known(db: Database, practice: str, payer: str) -> Subscribed | None:
    """What is known of a practice's subscription at a payer, without taking it. Raises `StoreAway`."""
    async with db.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT practice, payer, reference, last_event, heard_at, beats, missed_at FROM subscriptions
            WHERE practice = $1 AND payer = $2
            """,
            practice,
            payer,
        )
    return Subscribed(**dict(row)) if row is not None else None


async def keep(db: Database, held: Subscribed, reference: str, now: datetime, every: timedelta) -> Subscribed:
    """The subscription stands, under this reference: look again after `every`, or soon where something was missed.

    A new one begins to count anew, and what came while the old one failed was missed. Returns the row as it is now.
    Raises `StoreAway`.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(
            """
            UPDATE subscriptions SET
                reference = $3::text,
                last_event = CASE WHEN reference = $3 THEN last_event ELSE 0 END,
                beats = coalesce(reference = $3, false) AND beats,
                heard_at = CASE WHEN reference = $3 THEN heard_at ELSE $4::timestamptz END,
                missed_at = CASE WHEN reference <> $3 THEN coalesce(missed_at, $4) ELSE missed_at END,
                next_look = CASE
                    WHEN missed_at IS NULL AND coalesce(reference = $3, true) THEN $5::timestamptz ELSE next_look
                END
            WHERE practice = $1 AND payer = $2
            RETURNING practice, payer, reference, last_event, heard_at, beats, missed_at
            """,
            held.practice,
            held.payer,
            plain(reference),
            now,
            now + every,
        )
    return Subscribed(**dict(row)) if row is not None else held


async def heard(
    db: Database, payer: str, reference: str, number: int | None, at: datetime, *, beat: bool, unsaid: bool = False
) -> bool:
    """A callback came. True where it shows that something was missed, or does not say what there is (`unsaid`).

    `number` is of its event, or with a heartbeat (`beat`) of the last event there was. Raises `StoreAway`.
    """
    async with db.connection() as connection:
        missed: bool | None = await connection.fetchval(
            """
            WITH before AS (
                SELECT practice, $6::boolean
                    OR coalesce($3::bigint, 0) > last_event + CASE WHEN $5::boolean THEN 0 ELSE 1 END AS gap
                FROM subscriptions WHERE payer = $1 AND reference = $2 FOR UPDATE
            )
            UPDATE subscriptions AS s SET
                last_event = greatest(last_event, coalesce($3, 0)),
                heard_at = greatest(heard_at, $4::timestamptz), beats = beats OR $5,
                missed_at = CASE WHEN gap THEN coalesce(missed_at, $4) ELSE missed_at END,
                next_look = CASE WHEN gap THEN least(next_look, $4) ELSE next_look END
            FROM before WHERE s.payer = $1 AND s.reference = $2 AND s.practice = before.practice RETURNING gap
            """,
            payer,
            plain(reference),
            number,
            at,
            beat,
            unsaid,
        )
    return bool(missed)


async def recovered(db: Database, held: Subscribed, now: datetime, every: timedelta) -> None:
    """What was missed was asked for: look again after `every`. What was missed since is another time. Raises `StoreAway`."""
    async with db.connection() as connection:
        await connection.execute(
            """
            UPDATE subscriptions SET missed_at = NULL, next_look = $4
            WHERE practice = $1 AND payer = $2 AND missed_at = $3
            """,
            held.practice,
            held.payer,
            held.missed_at,
            now + every,
        )
