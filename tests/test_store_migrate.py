"""Migrations: once, twice, and by several processes at the same time."""

import asyncio
import sys

import asyncpg
import pytest

from store.database import Database
from store.errors import SchemaUnknown, StoreAway
from store.migrate import migrate

_PROGRAM = "import asyncio, sys; from store.migrate import migrate; asyncio.run(migrate(sys.argv[1]))"


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row["tablename"] for row in rows}
    finally:
        await connection.close()


async def test_processes_that_migrate_at_once_wait_for_one_another(postgres_url: str) -> None:
    migrating = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, postgres_url, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    await asyncio.gather(*(migrate(postgres_url) for _ in range(3)))
    for process in migrating:
        _, complaint = await process.communicate()
        assert process.returncode == 0, complaint.decode()
    made = await tables(postgres_url)
    assert {
        "audit", "cases", "clocks", "cursors", "documents", "fact_places", "facts", "idempotency", "numbers",
        "policies", "policy_releases", "signoffs", "tasks", "tokens", "webhook_seen",
    } <= made  # fmt: skip

    await migrate(postgres_url)
    assert await tables(postgres_url) == made


async def test_a_database_of_a_newer_release_is_left_alone(postgres_url: str) -> None:
    await migrate(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    try:
        held = await connection.fetchval("SELECT version_num FROM alembic_version")
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(SchemaUnknown, match="newer release"):
            await migrate(postgres_url)
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "9999"
        await connection.execute("UPDATE alembic_version SET version_num = $1", held)
    finally:
        await connection.close()


async def test_every_table_of_a_practice_has_it_first_in_its_key(postgres_url: str) -> None:
    await migrate(postgres_url)
    db = Database(postgres_url)
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT t.relname AS table, a.attname AS first FROM pg_index i
            JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace s ON s.oid = t.relnamespace
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
            WHERE i.indisprimary AND s.nspname = 'public'
            """
        )
    await db.close()
    first = {row["table"]: row["first"] for row in rows}
    of_nobody = {"alembic_version", "carrier_slots", "policies", "policy_releases", "webhook_seen"}
    assert {table for table, column in first.items() if column != "practice"} == of_nobody


async def test_a_server_that_is_not_there_is_said_to_be_away() -> None:
    with pytest.raises(StoreAway, match="Start it first"):
        await migrate("postgresql://postgres@127.0.0.1:1/vigil")
