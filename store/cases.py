"""Cases in PostgreSQL: taking in what a case publishes, reading it back, and making the read model anew.

The rows are derived, never the truth: an open case's truth is its workflow, a closed one's is the archive of facts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.case import replay
from domain.facts import Fact
from domain.order import Order
from domain.view import CaseView, Publication, Published
from store.database import Database
from store.facts import all_of, take_in
from store.rows import lock_case, save
from store.sealing import Sealer

Fold = Callable[[str, Sequence[Fact]], CaseView]
"""From a case's id and its facts to its row; the caller makes it of the domain's replay, plan and view."""


@dataclass(frozen=True)
class Unfolded:
    """A case whose row could not be made from its facts, and the type of the error."""

    practice: str
    case_id: str
    error: str


@dataclass(frozen=True)
class Rebuilt:
    """What `rebuild` did: how many rows it made, and which it could not."""

    cases: int
    failed: tuple[Unfolded, ...]


async def publish(db: Database, sealer: Sealer, publication: Publication) -> Published:
    """Archive a case's facts and write its row, both or neither; said twice, it happened once.

    The row is written only where no later one is there. What the answer means is told by `store.facts.take_in`; the
    case takes `confirmed` as it is, also when it is less than before.

    Raises `StoreAway`, `StoreFault`, `PublicationBroken`.
    """
    view = publication.view
    async with db.transaction() as connection:
        await lock_case(connection, view.practice, view.case_id)
        published = await take_in(connection, sealer, view.practice, view.case_id, view.n, publication.facts)
        await save(connection, view)
    return published


async def case_row(db: Database, practice: str, case_id: str) -> CaseView | None:
    """A case's row, or None where this practice has none of that id. Raises `StoreAway`."""
    async with db.connection() as connection:
        row = await connection.fetchval(
            "SELECT view FROM cases WHERE practice = $1 AND case_id = $2", practice, case_id
        )
    return CaseView.model_validate_json(row) if row is not None else None


async def facts(db: Database, sealer: Sealer, practice: str, case_id: str) -> tuple[Fact, ...]:
    """Every archived fact of a case, opened, in the case's order; empty where there is none. Raises `StoreAway`."""
    async with db.connection() as connection:
        return await all_of(connection, sealer, practice, case_id)


async def order_of(db: Database, sealer: Sealer, practice: str, case_id: str) -> Order | None:
    """The order in force of an archived case, or None where there is no such case. Raises `StoreAway`."""
    known = await facts(db, sealer, practice, case_id)
    return replay(case_id, known).order if known else None


async def rebuild(db: Database, sealer: Sealer, fold: Fold, *, practice: str | None = None) -> Rebuilt:
    """Make every row anew from the archive, of one practice or of all; cases may go on publishing meanwhile.

    A case that cannot be folded keeps its old row and is named in the answer. Raises `StoreAway`.
    """
    async with db.connection() as connection:
        archived = await connection.fetch(
            "SELECT DISTINCT practice, case_id FROM facts WHERE $1::text IS NULL OR practice = $1 ORDER BY 1, 2",
            practice,
        )
    made, failed = 0, list[Unfolded]()
    for row in archived:
        async with db.transaction() as connection:
            await lock_case(connection, row["practice"], row["case_id"])
            known = await all_of(connection, sealer, row["practice"], row["case_id"])
            try:
                view = fold(row["case_id"], known)
            except Exception as error:  # noqa: BLE001 - an edge: one case must not keep all others from their rows
                failed.append(Unfolded(row["practice"], row["case_id"], type(error).__name__))
                continue
            await save(connection, view, replace=True)
            made += 1
    return Rebuilt(made, tuple(failed))
