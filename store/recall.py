"""What the archive knows better than a case: one that Temporal restored from an older copy sets out on what it did."""

from domain.facts import Fact
from store.database import Database
from store.facts import all_of, digest_of
from store.sealing import Sealer


async def recall(db: Database, sealer: Sealer, practice: str, case_id: str, source_id: str) -> tuple[Fact, ...]:
    """Every archived fact of the case where the one of that source id is among them; empty where it is not.

    Raises `StoreAway`, `StoreFault`.
    """
    async with db.connection() as connection:
        known = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM facts WHERE practice = $1 AND case_id = $2 AND source = $3)",
            practice,
            case_id,
            digest_of(source_id),
        )
        return await all_of(connection, sealer, practice, case_id) if known else ()
