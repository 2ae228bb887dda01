"""Replay defence of payers' callbacks: each is taken once. Works on memory alone while PostgreSQL is away.

A callback's own timestamp must be checked against `window` by whoever verifies it; what is older need not be
remembered. That a callback slips through twice while PostgreSQL is away and two processes listen does no harm: it is a
fact with a source id, and happens once in its case.
"""

import hashlib
from collections import OrderedDict
from datetime import datetime, timedelta

from store.database import Database
from store.errors import StoreAway

_REMEMBERED = 50_000


class SeenCallbacks:
    """Which callbacks came within `window`, by payer and mark (a signature or a nonce; only its hash is kept)."""

    def __init__(self, db: Database, *, window: timedelta = timedelta(minutes=10)) -> None:
        self._db = db
        self._window = window
        self._seen: OrderedDict[tuple[str, bytes], datetime] = OrderedDict()
        self._unwritten: dict[tuple[str, bytes], datetime] = {}

    async def first_time(self, payer: str, mark: str, *, at: datetime) -> bool:
        """Whether a callback comes for the first time; from now on it has come. Raises `StoreFault`."""
        seen = (payer, hashlib.sha256(mark.encode("utf-8", "surrogatepass")).digest())
        self._forget(at - self._window)
        if seen in self._seen:
            return False
        self._seen[seen] = at
        try:
            return await self._write(seen, at)
        except StoreAway:
            self._unwritten[seen] = at
            return True
        except BaseException:
            del self._seen[seen]
            raise

    async def take_back(self, payer: str, mark: str) -> None:
        """Let a callback come again: it was seen, but could not be handled. Raises `StoreAway`."""
        seen = (payer, hashlib.sha256(mark.encode("utf-8", "surrogatepass")).digest())
        self._seen.pop(seen, None)
        self._unwritten.pop(seen, None)
        async with self._db.connection() as connection:
            await connection.execute("DELETE FROM webhook_seen WHERE payer = $1 AND mark = $2", *seen)

    async def forget_old(self, now: datetime) -> int:
        """Remove what is older than the window and return how many. Raises `StoreAway`."""
        async with self._db.connection() as connection:
            rows = await connection.fetch("DELETE FROM webhook_seen WHERE at < $1 RETURNING 1", now - self._window)
        return len(rows)

    async def _write(self, seen: tuple[str, bytes], at: datetime) -> bool:
        """Write a callback, with those that came while PostgreSQL was away, and say whether it was new there."""
        batch = {**self._unwritten, seen: at}
        async with self._db.connection() as connection:
            rows = await connection.fetch(
                """
                INSERT INTO webhook_seen (payer, mark, at) SELECT * FROM unnest($1::text[], $2::bytea[], $3::timestamptz[])
                ON CONFLICT DO NOTHING RETURNING payer, mark
                """,
                [payer for payer, _ in batch],
                [mark for _, mark in batch],
                list(batch.values()),
            )
        for written in batch:
            self._unwritten.pop(written, None)
        return seen in {(row["payer"], row["mark"]) for row in rows}

    def _forget(self, before: datetime) -> None:
        while self._seen and (next(iter(self._seen.values())) < before or len(self._seen) >= _REMEMBERED):
            seen, _ = self._seen.popitem(last=False)
            self._unwritten.pop(seen, None)
