"""Control numbers: unique for a practice at a carrier, whoever asks at once, and also while PostgreSQL is away."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from store.control_numbers import LAST_IN_TURN, ControlNumbers, Use
from store.database import Database
from store.migrate import migrate

AT = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)


def use(**changes: Any) -> Use:
    values = {"practice": "lakeside", "carrier": "northbridge", "kind": "request", "trace": "case-1", "sent_at": AT}
    return Use(**(values | changes))


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Database]:
    await migrate(postgres_url)
    database = Database(postgres_url)
    async with database.connection() as connection:
        await connection.execute("TRUNCATE control_sequences, control_numbers")
    yield database
    await database.close()


def away() -> Database:
    return Database("postgresql://postgres@127.0.0.1:1/vigil")


async def test_numbers_are_given_in_turn_for_each_practice_and_carrier(db: Database) -> None:
    numbers = ControlNumbers(db)
    assert [await numbers.next(use()) for _ in range(3)] == [1, 2, 3]
    assert await numbers.next(use(carrier="southbridge")) == 1
    assert await numbers.next(use(practice="hillside")) == 1
    assert await numbers.next(use(trace="case-2")) == 4
    assert await numbers.of_trace("lakeside", "northbridge", "case-1") == frozenset({1, 2, 3})
    assert await numbers.of_trace("hillside", "northbridge", "case-1") == frozenset({1})
    assert await numbers.of_trace("lakeside", "northbridge", "nobody") == frozenset()


async def test_many_workers_at_once_get_different_ones_and_one_that_starts_anew_goes_on(db: Database) -> None:
    workers = [ControlNumbers(db) for _ in range(4)]
    given = await asyncio.gather(*(workers[n % 4].next(use(trace=f"case-{n}")) for n in range(200)))
    assert sorted(given) == list(range(1, 201))
    assert await ControlNumbers(db).next(use(trace="case-after")) == 201


async def test_after_the_last_one_they_begin_anew(db: Database) -> None:
    numbers = ControlNumbers(db)
    await numbers.next(use())
    async with db.connection() as connection:
        await connection.execute("UPDATE control_sequences SET last = $1", LAST_IN_TURN)
    assert await numbers.next(use(sent_at=datetime(2099, 1, 1, tzinfo=UTC))) == 1


async def test_without_postgresql_a_number_is_drawn_by_lot_and_noted_later(db: Database) -> None:
    numbers = ControlNumbers(away())
    first = await numbers.next(use())
    assert LAST_IN_TURN < first <= 999_999_999
    assert await numbers.of_trace("lakeside", "northbridge", "case-1") is None
    numbers._db = db  # PostgreSQL is back
    assert await numbers.of_trace("lakeside", "northbridge", "case-1") == frozenset({first})
    assert await numbers.next(use(kind="inquiry")) == 1
    assert await ControlNumbers(db).of_trace("lakeside", "northbridge", "case-1") == frozenset({1, first})


async def test_numbers_that_are_drawn_by_lot_differ_and_lie_above_those_in_turn() -> None:
    numbers = ControlNumbers(away())
    drawn = [await numbers.next(use()) for _ in range(50)]
    assert len(set(drawn)) == len(drawn)
    assert all(LAST_IN_TURN < number <= 999_999_999 for number in drawn)
