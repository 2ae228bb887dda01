"""Questions that people and the watchman ask of the read model: what is next, where is it, what stands still."""

import base64
import json
import re
from datetime import date, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.base import Frozen, Instant, Turn
from domain.order import Urgency
from domain.view import CaseView
from store.database import Database
from store.errors import CursorInvalid
from store.rows import RANK, folded, plain

MAX_PAGE = 200
_MAX_WORDS = 8


class Page(Frozen):
    """Some cases in order, and the cursor of those that follow; None at the end."""

    items: tuple[CaseView, ...]
    next: str | None = None


class Sleeper(Frozen):
    """An open case that should have looked again by `wake_at`."""

    case_id: str
    wake_at: Instant


class ArchiveLag(Frozen):
    """How far PostgreSQL is behind a practice's cases, as far as PostgreSQL itself can tell."""

    open_cases: int
    overdue: int
    """Open cases whose row says that they should have looked again by now."""
    longest: timedelta
    """How long the most overdue of them is."""
    out_of_step: int
    """Cases that have yet to take back facts after a restore from an older copy."""


class _Cursor(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    due: Instant | None
    rank: int = Field(ge=0, le=max(RANK.values()))
    case: str = Field(max_length=200, pattern=r"^[^\x00]*$")


async def worklist(
    db: Database,
    practice: str,
    *,
    turn: Turn | None = None,
    payer: str | None = None,
    owner: str | None = None,
    urgency: Urgency | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page:
    """A practice's open cases by slack: what is due first comes first, STAT before others that are due with it.

    `limit` is at most 200. Raises `StoreAway`, `CursorInvalid`.
    """
    limit = max(1, min(limit, MAX_PAGE))
    after = _read_cursor(cursor) if cursor else None
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT view, nullif(due, 'infinity') AS due, urgency_rank, case_id FROM cases
            WHERE practice = $1 AND closed_at IS NULL
                AND ($2::text IS NULL OR turn = $2) AND ($3::text IS NULL OR payer = $3)
                AND ($4::text IS NULL OR owner = $4) AND ($5::text IS NULL OR urgency = $5)
                AND ($6::text IS NULL
                    OR (due, urgency_rank, case_id) > (coalesce($7::timestamptz, 'infinity'), $8::smallint, $6))
            ORDER BY due, urgency_rank, case_id LIMIT $9
            """,
            practice,
            turn.value if turn else None,
            payer,
            owner,
            urgency.value if urgency else None,
            after.case if after else None,
            after.due if after else None,
            after.rank if after else None,
            limit + 1,
        )
    page = rows[:limit]
    last = page[-1] if len(rows) > limit else None
    return Page(
        items=tuple(CaseView.model_validate_json(row["view"]) for row in page),
        next=_write_cursor(_Cursor(due=last["due"], rank=last["urgency_rank"], case=last["case_id"])) if last else None,
    )


async def find(db: Database, practice: str, q: str, *, limit: int = 50) -> tuple[CaseView, ...]:
    """A practice's cases, open and closed, in which every word of `q` is found; open ones first, then the latest.

    A word is part of the patient's name, or is the birth date (1980-02-29 or 2/29/1980), the member id, the patient's
    id, the order number, a payer's number or the case id. Case and accents do not matter. Raises `StoreAway`.
    """
    words = [word for word in re.split(r"[\s,;]+", plain(q)) if folded(word)][:_MAX_WORDS]
    if not words:
        return ()
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT view FROM cases c WHERE practice = $1 AND ($6 IN (lower(order_number), lower(patient_id)) OR NOT EXISTS (
                SELECT FROM unnest($2::text[], $3::text[], $4::date[]) AS asked (name, exact, born)
                WHERE NOT (
                    strpos(c.folded_name, asked.name) > 0
                    OR asked.exact IN (lower(c.member_id), lower(c.patient_id), lower(c.order_number), c.case_id)
                    OR (c.birth_date = asked.born) IS TRUE
                    OR EXISTS (
                        SELECT FROM numbers n
                        WHERE n.practice = c.practice AND n.case_id = c.case_id AND lower(n.value) = asked.exact
                    )
                )
            ))
            ORDER BY closed_at IS NOT NULL, opened_at DESC, case_id LIMIT $5
            """,
            practice,
            [folded(word) for word in words],
            [word.lower() for word in words],
            [_birth_date(word) for word in words],
            max(1, min(limit, MAX_PAGE)),
            plain(q).strip().lower(),
        )
    return tuple(CaseView.model_validate_json(row["view"]) for row in rows)


async def sleepers(db: Database, practice: str, now: datetime, *, grace: timedelta, limit: int = 500) -> list[Sleeper]:
    """Open cases whose `wake_at` passed more than `grace` ago, the longest first. Raises `StoreAway`."""
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT case_id, wake_at FROM cases
            WHERE practice = $1 AND closed_at IS NULL AND wake_at < $2 ORDER BY wake_at, case_id LIMIT $3
            """,
            practice,
            now - grace,
            limit,
        )
    return [Sleeper(case_id=row["case_id"], wake_at=row["wake_at"]) for row in rows]


async def open_case_ids(db: Database, practice: str) -> list[str]:
    """The ids of a practice's open cases, sorted. Raises `StoreAway`."""
    async with db.connection() as connection:
        rows = await connection.fetch(
            "SELECT case_id FROM cases WHERE practice = $1 AND closed_at IS NULL ORDER BY case_id", practice
        )
    return [row["case_id"] for row in rows]


async def archive_lag(db: Database, practice: str, now: datetime) -> ArchiveLag:
    """How far PostgreSQL is behind the practice's cases. Raises `StoreAway`."""
    async with db.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT count(*) AS open_cases,
                count(*) FILTER (WHERE wake_at < $2) AS overdue,
                coalesce($2 - min(wake_at) FILTER (WHERE wake_at < $2), interval '0') AS longest,
                (
                    SELECT count(DISTINCT case_id) FROM facts f
                    WHERE practice = $1 AND NOT EXISTS (
                        SELECT FROM fact_places p
                        WHERE p.practice = $1 AND p.case_id = f.case_id AND p.source = f.source
                    )
                ) AS out_of_step
            FROM cases WHERE practice = $1 AND closed_at IS NULL
            """,
            practice,
            now,
        )
    assert row is not None  # noqa: S101 - an aggregate without groups always gives one row
    return ArchiveLag(**dict(row))


def _birth_date(word: str) -> date | None:
    try:
        if american := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", word, re.ASCII):
            return date(int(american[3]), int(american[1]), int(american[2]))
        return date.fromisoformat(word) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", word, re.ASCII) else None
    except ValueError:  # looks like a date and is none, as 2/30/1980: then it is a word like any other
        return None


def _write_cursor(cursor: _Cursor) -> str:
    return base64.urlsafe_b64encode(cursor.model_dump_json().encode()).decode().rstrip("=")


def _read_cursor(text: str) -> _Cursor:
    try:
        padded = text + "=" * (-len(text) % 4)
        return _Cursor.model_validate(json.loads(base64.urlsafe_b64decode(padded)))
    except (ValueError, ValidationError):
        raise CursorInvalid(
            "This cursor is not one that a page gave. Ask for the first page, without a cursor."
        ) from None
