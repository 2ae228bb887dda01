"""The archive of facts: append-only, sealed, every fact once by its source id. What a closed case was is read here.

A fact's content is kept as it first came and never changes. Where it stands in its case (`n`, `recorded_at`) is kept
beside it, because a case that Temporal restored from an older copy records again, at other places, what it had lost.
docs/store.md tells the whole protocol.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.facts import Fact, read_fact, write_fact
from domain.view import Published
from store.database import Connection
from store.errors import PublicationBroken
from store.sealing import Sealer, binding


@dataclass(frozen=True)
class _Known:
    """What the archive has of a case, in the case's order, what has no place last."""

    places: Mapping[bytes, int | None]

    @property
    def sources(self) -> Mapping[int, bytes]:
        return {n: source for source, n in self.places.items() if n is not None}


async def take_in(
    connection: Connection, sealer: Sealer, practice: str, case_id: str, n: int, facts: Sequence[Fact]
) -> Published:
    """Archive the last facts of a case that has `n`, and say what it may forget about and what it has lost.

    In step (the archive holds exactly the case's facts, each at its place), `confirmed` is `n`. Otherwise one of the
    two was restored from an older copy: `missing` is what the case seems to lack, and unless it sent all its facts,
    `confirmed` is 0, so that it sends all of them and nothing is left to seeming.

    Needs a transaction and the case's lock. Raises `PublicationBroken`.
    """
    confirmed = n - len(facts)
    ours = {source_of(fact): fact for fact in facts}
    if [fact.n for fact in facts] != list(range(confirmed + 1, n + 1)) or len(ours) != len(facts):
        raise PublicationBroken("A case must hand over its last facts, without gaps and each once, with its own n.")
    known = await _known(connection, practice, case_id)
    await _append(connection, sealer, practice, case_id, {s: f for s, f in ours.items() if s not in known.places})

    sources = known.sources
    agree = all(
        sources.get(fact.n, source) == source and known.places.get(source) in {None, fact.n}
        for source, fact in ours.items()
    )
    prefix_known = all(place in sources for place in range(1, confirmed + 1))
    in_step = agree and prefix_known and len({*known.places, *ours}) == n
    complete = confirmed == 0
    if complete and not agree:
        await connection.execute("DELETE FROM fact_places WHERE practice = $1 AND case_id = $2", practice, case_id)
        await _place(connection, practice, case_id, ours)
    elif complete or in_step:
        await _place(connection, practice, case_id, ours)
    if in_step:
        return Published(confirmed=n)
    lacking = [
        source
        for source, place in known.places.items()
        if source not in ours and not (place is not None and place <= confirmed)
    ]
    kept = {source_of(fact): fact for fact in await all_of(connection, sealer, practice, case_id)} if lacking else {}
    return Published(confirmed=n if complete else 0, missing=tuple(kept[source] for source in lacking))


async def all_of(connection: Connection, sealer: Sealer, practice: str, case_id: str) -> tuple[Fact, ...]:
    """Every archived fact of a case, in the case's order, with the places that it has there.

    Facts that the case has yet to take back after a restore stand at the end.
    """
    rows = await connection.fetch(
        """
        SELECT f.source, f.sealed, p.n, p.recorded_at
        FROM facts f LEFT JOIN fact_places p USING (practice, case_id, source)
        WHERE practice = $1 AND case_id = $2 ORDER BY p.n NULLS LAST, f.position
        """,
        practice,
        case_id,
    )
    return tuple(
        _placed(read_fact(sealer.open(row["sealed"], _aad(practice, case_id, row["source"]))), n, row["recorded_at"])
        for n, row in enumerate(rows, start=1)
    )


def source_of(fact: Fact) -> bytes:
    """What a fact is found by."""
    return digest_of(fact.source_id)


def digest_of(source_id: str) -> bytes:
    """The SHA-256 of a source id, which may be any text."""
    return hashlib.sha256(source_id.encode("utf-8", "surrogatepass")).digest()


def _placed(fact: Fact, n: int, recorded_at: datetime | None) -> Fact:
    return fact.model_copy(update={"n": n, "recorded_at": recorded_at or fact.recorded_at})


async def _known(connection: Connection, practice: str, case_id: str) -> _Known:
    rows = await connection.fetch(
        """
        SELECT f.source, p.n FROM facts f LEFT JOIN fact_places p USING (practice, case_id, source)
        WHERE practice = $1 AND case_id = $2 ORDER BY p.n NULLS LAST, f.position
        """,
        practice,
        case_id,
    )
    return _Known({row["source"]: row["n"] for row in rows})


async def _append(
    connection: Connection, sealer: Sealer, practice: str, case_id: str, facts: Mapping[bytes, Fact]
) -> None:
    await connection.executemany(
        "INSERT INTO facts (practice, case_id, source, sealed) VALUES ($1, $2, $3, $4)",
        [
            (practice, case_id, source, sealer.seal(write_fact(fact), _aad(practice, case_id, source)))
            for source, fact in facts.items()
        ],
    )


async def _place(connection: Connection, practice: str, case_id: str, facts: Mapping[bytes, Fact]) -> None:
    await connection.executemany(
        # Taken back after a restore a fact may stand where it stood and yet have been recorded later. A publication
        # that comes late must not turn that back.
        """
        INSERT INTO fact_places AS held (practice, case_id, n, source, recorded_at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (practice, case_id, n) DO UPDATE SET recorded_at = excluded.recorded_at
        WHERE held.recorded_at < excluded.recorded_at
        """,
        [(practice, case_id, fact.n, source, fact.recorded_at) for source, fact in facts.items()],
    )


def _aad(practice: str, case_id: str, source: bytes) -> bytes:
    return binding("fact", practice, case_id, source.hex())
