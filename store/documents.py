"""What is known of documents: which case has which, of what kind and size. Their content lies elsewhere, sealed."""

from domain.order import DocumentRef
from store.database import Connection, Database

_FIELDS = "id, kind, media_type, size, dated, signed"


async def note(db: Database, practice: str, case_id: str, document: DocumentRef) -> None:
    """Say that a case has a document; said twice, it is said once. Raises `StoreAway`."""
    async with db.connection() as connection:
        await connection.execute(
            """
            INSERT INTO documents (practice, case_id, id, kind, media_type, size, dated, signed)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
            """,
            practice,
            case_id,
            document.id,
            document.kind,
            document.media_type,
            document.size,
            document.dated,
            document.signed,
        )


async def of_case(db: Database, practice: str, case_id: str) -> tuple[DocumentRef, ...]:
    """A case's documents, in the order in which they were noted. Raises `StoreAway`."""
    async with db.connection() as connection:
        return await _fetch(connection, "practice = $1 AND case_id = $2", practice, case_id)


async def find_document(db: Database, practice: str, document_id: str) -> DocumentRef | None:
    """A practice's document by its id, whichever case has it; None where the practice has none. Raises `StoreAway`."""
    async with db.connection() as connection:
        found = await _fetch(connection, "practice = $1 AND id = $2", practice, document_id)
    return found[0] if found else None


async def _fetch(connection: Connection, where: str, *arguments: str) -> tuple[DocumentRef, ...]:
    rows = await connection.fetch(
        f"SELECT {_FIELDS} FROM documents WHERE {where} ORDER BY added_at, id",  # noqa: S608 - constants
        *arguments,
    )
    return tuple(DocumentRef(**dict(row)) for row in rows)
