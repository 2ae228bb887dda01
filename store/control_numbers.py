"""Control numbers of X12 interchanges, and what each was used for: how an acknowledgment is tied to what was sent.

One number of nine digits serves an interchange, its only group and its only transaction (ISA13, GS06, ST02). It is
unique for a practice at a carrier: 1 to 899,999,999 in turn, from PostgreSQL.

While PostgreSQL is away a request is still sent. Its number is then drawn by lot from the range above, which needs no
word between workers: of a hundred messages in one outage two share one with a chance of one in twenty thousand. The
carrier refuses the second as a duplicate (TA1 025), by which nothing is decided. What such a number was used for is
written down with the next one that PostgreSQL gives; a worker that ends before loses only the note.
"""

import secrets
from collections import deque
from collections.abc import Iterable

from domain.base import Frozen, Instant, Key
from store.database import Connection, Database
from store.errors import StoreAway

LAST_IN_TURN = 899_999_999
_RESERVED_FROM = 900_000_000
_RESERVED = 100_000_000
_MOST_NOTES = 10_000
"""What is kept of an outage; older ones are forgotten first."""


class Use(Frozen):
    """What a control number is used for. `trace` names the request, and says nothing of a patient."""

    practice: Key
    carrier: Key
    kind: Key
    """The message: request, cancel, inquiry, attachment, eligibility."""
    trace: Key
    sent_at: Instant


class ControlNumbers:
    """Gives numbers and remembers their use. One for a process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._to_note: deque[tuple[int, Use]] = deque(maxlen=_MOST_NOTES)

    async def next(self, use: Use) -> int:
        """Return a number that no other message of the practice has at that carrier, noted with its use."""
        try:
            async with self._db.transaction() as connection:
                number: int = await connection.fetchval(
                    """
                    INSERT INTO control_sequences AS held (practice, carrier, last) VALUES ($1, $2, 1)
                    ON CONFLICT (practice, carrier) DO UPDATE SET last = held.last % $3 + 1 RETURNING last
                    """,
                    use.practice,
                    use.carrier,
                    LAST_IN_TURN,
                )
                waiting = tuple(self._to_note)
                await _note(connection, [(number, use), *waiting])
        except StoreAway:
            number = _RESERVED_FROM + secrets.randbelow(_RESERVED)
            self._to_note.append((number, use))
            return number
        for noted in waiting:
            if noted in self._to_note:
                self._to_note.remove(noted)
        return number

    async def of_trace(self, practice: str, carrier: str, trace: str) -> frozenset[int] | None:
        """Return the numbers that the messages about a request have had; None while PostgreSQL is away."""
        try:
            async with self._db.connection() as connection:
                rows = await connection.fetch(
                    "SELECT number FROM control_numbers WHERE practice = $1 AND carrier = $2 AND trace = $3",
                    practice,
                    carrier,
                    trace,
                )
        except StoreAway:
            return None
        waiting = (
            n for n, use in self._to_note if (use.practice, use.carrier, use.trace) == (practice, carrier, trace)
        )
        return frozenset([*(row["number"] for row in rows), *waiting])


async def _note(connection: Connection, uses: Iterable[tuple[int, Use]]) -> None:
    await connection.executemany(
        """
        INSERT INTO control_numbers (practice, carrier, number, kind, trace, sent_at) VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT DO NOTHING
        """,
        [(use.practice, use.carrier, number, use.kind, use.trace, use.sent_at) for number, use in uses],
    )
