"""What people reported last of a payer's ways for people (portal, fax, phone), for all cases of a practice.

Taken from what cases publish, so nothing that a person said is lost while PostgreSQL is away. One alert stands as long as a
way does not let the practice in.
"""

from typing import Literal

from domain.base import Frozen, Instant
from domain.facts import ChannelReported
from store import alerts
from store.alerts import Alert
from store.database import Database

ACCESS_LOST = "access_lost"
"""The kind of alert about a way that does not let a practice in."""


class Reported(Frozen):
    """The last word on a way."""

    state: Literal["working", "credentials", "second_factor", "down"]
    reported_at: Instant


async def report(db: Database, practice: str, case_id: str, fact: ChannelReported) -> None:
    """Take in what a person reported, and open or clear the alert; what is older than what is known changes nothing.

    Raises `StoreAway`.
    """
    async with db.connection() as connection:
        news = await connection.fetchval(
            """
            INSERT INTO channel_reports AS held (practice, payer, rail, state, reported_at)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (practice, payer, rail) DO UPDATE SET state = excluded.state, reported_at = excluded.reported_at
            WHERE held.reported_at <= excluded.reported_at
            RETURNING true
            """,
            *(practice, fact.payer, fact.rail, fact.state, fact.occurred_at),
        )
    if not news:
        return
    key = f"{ACCESS_LOST}/{fact.payer}/{fact.rail}"
    if fact.state == "working":
        await alerts.clear(db, [key], fact.occurred_at, practice=practice)
        return
    lost = Alert(
        key=key,
        kind=ACCESS_LOST,
        practice=practice,
        subject=case_id,
        sentence=f"The {fact.rail} of {fact.payer} does not let {practice} in ({fact.state.replace('_', ' ')}). "
        "Routine requests wait for it, urgent ones go another way.",
        remedy="A supervisor restores it; the case has the task. Report there that it works: that ends it for all cases.",
    )
    await alerts.keep(db, [lost], fact.occurred_at)


async def last_report(db: Database, practice: str, payer: str, rail: str) -> Reported | None:
    """What was reported last of a way; None where nobody ever said anything. Raises `StoreAway`."""
    async with db.connection() as connection:
        row = await connection.fetchrow(
            "SELECT state, reported_at FROM channel_reports WHERE practice = $1 AND payer = $2 AND rail = $3",
            *(practice, payer, rail),
        )
    return Reported.model_validate(dict(row)) if row is not None else None
