"""Writing the read model: a case's row, with its tasks, clocks and numbers. Everything here can be made anew."""

import unicodedata

from domain.order import Urgency
from domain.view import CaseView
from store.database import Connection

RANK = {Urgency.STAT: 0, Urgency.URGENT: 1, Urgency.ROUTINE: 2}
"""What comes first of two that are due together."""


async def lock_case(connection: Connection, practice: str, case_id: str) -> None:
    """Let nobody else write this case until the transaction ends."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{len(practice)}:{practice}{case_id}"
    )


async def save(connection: Connection, view: CaseView, *, replace: bool = False) -> bool:
    """Write a case's row unless a later one is there (a larger `n`); with `replace`, in any case.

    Returns whether it was written.
    """
    written = await connection.fetchval(
        """
        INSERT INTO cases AS held (
            practice, case_id, n, source, order_number, urgency, urgency_rank, stage, turn, owner, payer, member_id,
            patient_id, family_name, given_name, folded_name, birth_date, due, wake_at, visit_at, opened_at,
            closed_at, view, published_at
        ) VALUES (
            $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
            coalesce($18::timestamptz, 'infinity'), $19, $20, $21, $22, $23, now()
        )
        ON CONFLICT (practice, case_id) DO UPDATE SET
            n = excluded.n, source = excluded.source, order_number = excluded.order_number,
            urgency = excluded.urgency, urgency_rank = excluded.urgency_rank, stage = excluded.stage,
            turn = excluded.turn, owner = excluded.owner, payer = excluded.payer, member_id = excluded.member_id,
            patient_id = excluded.patient_id, family_name = excluded.family_name, given_name = excluded.given_name,
            folded_name = excluded.folded_name, birth_date = excluded.birth_date, due = excluded.due,
            wake_at = excluded.wake_at, visit_at = excluded.visit_at, opened_at = excluded.opened_at,
            closed_at = excluded.closed_at, view = excluded.view, published_at = excluded.published_at
        WHERE held.n <= excluded.n OR $24
        RETURNING true
        """,
        view.practice,
        view.case_id,
        view.n,
        plain(view.source),
        plain(view.order_number),
        view.urgency.value,
        RANK[view.urgency],
        view.stage.value,
        view.turn.value,
        plain(view.owner) if view.owner else None,
        view.payer,
        view.member_id,
        plain(view.patient_id),
        plain(view.patient_family_name),
        plain(view.patient_given_name),
        folded(f"{view.patient_given_name} {view.patient_family_name}"),
        view.patient_birth_date,
        view.binding.due if view.binding else None,
        view.wake_at,
        view.visit_at,
        view.opened_at,
        view.closed_at,
        view.model_dump_json(),
        replace,
    )
    if not written:
        return False
    await _write_tasks(connection, view)
    await _write_clocks(connection, view)
    await _write_numbers(connection, view)
    return True


def plain(text: str) -> str:
    """Text as PostgreSQL can keep it: without the character NUL."""
    return text.replace("\x00", "")


def folded(text: str) -> str:
    """Text as it is searched by: without accents and case, whatever the database's locale is."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", plain(text)) if not unicodedata.combining(sign))
    return bare.casefold()


async def _write_tasks(connection: Connection, view: CaseView) -> None:
    await connection.execute("DELETE FROM tasks WHERE practice = $1 AND case_id = $2", view.practice, view.case_id)
    await connection.executemany(
        """
        INSERT INTO tasks (practice, case_id, task, kind, turn, due, opened_at, held_by, held_until)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
        """,
        [
            (
                view.practice,
                view.case_id,
                plain(task.task),
                task.kind.value,
                task.turn.value,
                task.due,
                task.opened_at,
                plain(task.held_by) if task.held_by else None,
                task.held_until,
            )
            for task in view.tasks
        ],
    )


async def _write_clocks(connection: Connection, view: CaseView) -> None:
    await connection.execute("DELETE FROM clocks WHERE practice = $1 AND case_id = $2", view.practice, view.case_id)
    await connection.executemany(
        """
        INSERT INTO clocks (practice, case_id, clock, kind, due, rule, waiting_for, breach, paused_since)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
        """,
        [
            (
                view.practice,
                view.case_id,
                plain(clock.key),
                clock.kind.value,
                clock.due,
                plain(clock.rule),
                clock.waiting_for.value,
                clock.breach,
                clock.paused_since,
            )
            for clock in view.clocks
        ],
    )


async def _write_numbers(connection: Connection, view: CaseView) -> None:
    await connection.execute("DELETE FROM numbers WHERE practice = $1 AND case_id = $2", view.practice, view.case_id)
    await connection.executemany(
        "INSERT INTO numbers (practice, case_id, type, value) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        [(view.practice, view.case_id, number.type.value, plain(number.value)) for number in view.numbers],
    )
