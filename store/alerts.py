"""Alerts: an operator's tasks outside of cases. Opened, kept and cleared by whoever looks; said twice, there is one.

An alert is open from when its cause was first seen until the cause is gone, or, where nothing can be seen to be gone
(`lasting`), until somebody acknowledges it. While PostgreSQL is away the watchman logs and counts what it finds.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import Field

from domain.base import Frozen, Instant, Key, Sentence
from store.database import Connection, Database

RUNBOOK = "docs/runbook.md"


class Alert(Frozen):
    """Something that an operator should look at."""

    key: Key = Field(description="Unique in its practice: its kind, and what it is about.")
    kind: Key
    practice: str | None = Field(default=None, description="None where it is about the installation as a whole.")
    subject: str | None = Field(default=None, description="The case, or the workflow, that it is about.")
    sentence: Sentence = Field(description="What is wrong. May name an order's number; is never logged.")
    remedy: Sentence = Field(description="What to do first.")
    patience: timedelta = Field(default=timedelta(), description="It is shown when it has lasted for this long.")
    lasting: bool = Field(default=False, description="Stays until it is acknowledged, though its cause is over.")

    @property
    def page(self) -> str:
        """Where the runbook tells more."""
        return f"{RUNBOOK}#{self.kind.replace('_', '-')}"


class OpenAlert(Alert):
    """An alert that is open, with what became of it so far."""

    opened_at: Instant
    last_seen_at: Instant
    acknowledged_by: str | None = None
    acknowledged_at: Instant | None = None


async def keep(db: Database, alerts: Iterable[Alert], at: datetime) -> None:
    """Open each alert, or keep it open where it is. Raises `StoreAway`."""
    async with db.transaction() as connection:
        await _keep(connection, alerts, at)


async def keep_only(
    db: Database, kind: str, alerts: Iterable[Alert], at: datetime, *, practice: str | None = None
) -> None:
    """Open or keep these, and clear all others of the kind whose cause can be seen: it is gone.

    `practice`: only that practice's; None is every practice's and the installation's. Raises `StoreAway`.
    """
    found = tuple(alerts)
    async with db.transaction() as connection:
        await _keep(connection, found, at)
        await connection.execute(
            """
            UPDATE alerts SET cleared_at = $2
            WHERE kind = $1 AND cleared_at IS NULL AND NOT lasting AND last_seen_at <= $2
                AND ($3::text IS NULL OR practice = $3)
                AND (practice, key) NOT IN (SELECT * FROM unnest($4::text[], $5::text[]))
            """,
            kind,
            at,
            practice,
            [alert.practice or "" for alert in found],
            [alert.key for alert in found],
        )


async def clear(db: Database, keys: Iterable[str], at: datetime, *, practice: str | None = None) -> None:
    """Clear the alerts of these keys, where they are open: their causes are gone. Raises `StoreAway`."""
    async with db.connection() as connection:
        await connection.execute(
            "UPDATE alerts SET cleared_at = $3 WHERE practice = $1 AND key = ANY($2::text[]) AND cleared_at IS NULL",
            practice or "",
            list(keys),
            at,
        )


async def open_alerts(db: Database, practice: str | None = None, *, limit: int = 1000) -> tuple[OpenAlert, ...]:
    """What an operator should look at, the oldest first; acknowledged ones too, until their causes are gone.

    With a practice: its own, and the installation's; without: all. At most `limit`. Raises `StoreAway`.
    """
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT key, kind, nullif(practice, '') AS practice, subject, sentence, remedy, patience, lasting, opened_at,
                last_seen_at, acknowledged_by, acknowledged_at
            FROM alerts
            WHERE cleared_at IS NULL AND last_seen_at - opened_at >= patience
                AND ($1::text IS NULL OR practice IN ($1, ''))
            ORDER BY opened_at, alerts.practice, key LIMIT $2
            """,
            practice,
            limit,
        )
    return tuple(OpenAlert.model_validate(dict(row)) for row in rows)


async def acknowledge(
    db: Database, key: str, by: str, at: datetime, *, practice: str | None = None
) -> OpenAlert | None:
    """Note that somebody takes care of an alert, and return it; a lasting one is over with that. The first to do so stands.

    `practice`: of its practice, or of the installation where it has none by that key; None is the installation's.
    None where there is no such open alert. Raises `StoreAway`.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(
            """
            UPDATE alerts SET acknowledged_by = coalesce(acknowledged_by, $2),
                acknowledged_at = coalesce(acknowledged_at, $3), cleared_at = CASE WHEN lasting THEN $3 END
            WHERE cleared_at IS NULL AND key = $1 AND practice = (
                SELECT practice FROM alerts WHERE cleared_at IS NULL AND key = $1 AND practice IN ($4, '')
                ORDER BY practice DESC LIMIT 1
            )
            RETURNING key, kind, nullif(practice, '') AS practice, subject, sentence, remedy, patience, lasting, opened_at,
                last_seen_at, acknowledged_by, acknowledged_at
            """,
            key,
            by,
            at,
            practice or "",
        )
    return OpenAlert.model_validate(dict(row)) if row is not None else None


async def _keep(connection: Connection, alerts: Iterable[Alert], at: datetime) -> None:
    await connection.executemany(
        # Cleared and found again, it is a new alert: nobody has acknowledged it.
        """
        INSERT INTO alerts AS held (
            practice, key, kind, subject, sentence, remedy, page, patience, lasting, opened_at, last_seen_at
        ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
        ON CONFLICT (practice, key) DO UPDATE SET
            kind = excluded.kind, subject = excluded.subject, sentence = excluded.sentence, remedy = excluded.remedy,
            page = excluded.page, patience = excluded.patience, lasting = excluded.lasting,
            opened_at = CASE WHEN held.cleared_at IS NULL THEN held.opened_at ELSE excluded.opened_at END,
            last_seen_at = greatest(held.last_seen_at, excluded.last_seen_at),
            acknowledged_by = CASE WHEN held.cleared_at IS NULL THEN held.acknowledged_by END,
            acknowledged_at = CASE WHEN held.cleared_at IS NULL THEN held.acknowledged_at END,
            cleared_at = NULL
        """,
        [
            (
                alert.practice or "",
                alert.key,
                alert.kind,
                alert.subject,
                alert.sentence,
                alert.remedy,
                alert.page,
                alert.patience,
                alert.lasting,
                at,
            )
            for alert in sorted(alerts, key=lambda alert: (alert.practice or "", alert.key))
        ],
    )
