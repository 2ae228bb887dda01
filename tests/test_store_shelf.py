"""The policies in force as a process holds them: from PostgreSQL, kept while it is away, from the files where none are held."""

import json
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.policy import Policy, policy_digest
from store.database import Database
from store.migrate import migrate
from store.policies import read_policy, release
from store.shelf import Refreshed, Shelf, Source

NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)
POLICIES = Path(__file__).resolve().parent.parent / "policies"
NOWHERE = Database("postgresql://127.0.0.1:1/none", connect_seconds=0.2)


@pytest.fixture(scope="module")
async def db(postgres_url: str) -> AsyncIterator[Database]:
    await migrate(postgres_url)
    database = Database(postgres_url, application_name="vigil-test")
    yield database
    await database.close()


@pytest.fixture
async def empty(db: Database) -> Database:
    async with db.connection() as connection:
        # Both refuse this by trigger, as they should.
        for statement in ("DISABLE TRIGGER USER", "ENABLE TRIGGER USER"):
            for table in ("policy_releases", "policies"):
                await connection.execute(f"ALTER TABLE {table} {statement}")
            if statement.startswith("DISABLE"):
                await connection.execute("TRUNCATE policy_releases, policies")
    return db


def text_of(payer: str) -> str:
    return (POLICIES / f"{payer}.yaml").read_text()


def renamed(payer: str, name: str) -> str:
    """The same policy under another name."""
    policy = read_policy(text_of(payer), name=payer)
    changed = Policy.model_validate({**policy.model_dump(mode="json"), "name": name})
    return json.dumps(changed.model_dump(mode="json"))


async def test_what_is_released_is_held_and_replaced_by_what_is_released_next(empty: Database) -> None:
    shelf = Shelf()
    assert await shelf.refresh(empty) == Refreshed(source=Source.HELD)
    for payer in ("summit-ma", "meridian-ppo"):
        await release(empty, text_of(payer), by="person:maud", at=NOW)
    assert await shelf.refresh(empty) == Refreshed(source=Source.RELEASED)
    assert [policy.payer for policy in shelf.policies] == ["meridian-ppo", "summit-ma"]
    assert shelf.names()["meridian ppo"] == "meridian-ppo"
    assert shelf.get("keystone-sf") is None

    kept, replaced = shelf.get("summit-ma"), shelf.get("meridian-ppo")
    digest = await release(empty, renamed("meridian-ppo", "Meridian Choice"), by="person:maud", at=NOW)
    await shelf.refresh(empty)
    assert shelf.get("summit-ma") is kept, "what did not change is not read again"
    now = shelf.get("meridian-ppo")
    assert now is not None
    assert now is not replaced
    assert policy_digest(now) == digest
    assert shelf.names()["meridian choice"] == "meridian-ppo"
    assert "meridian ppo" not in shelf.names()


async def test_it_asks_no_oftener_than_it_is_told_to(empty: Database) -> None:
    await release(empty, text_of("summit-ma"), by="person:maud", at=NOW)
    shelf = Shelf()
    assert (await shelf.refresh(empty, every=60)).source is Source.RELEASED
    await release(empty, text_of("meridian-ppo"), by="person:maud", at=NOW)
    assert (await shelf.refresh(empty, every=60)).source is Source.HELD
    assert shelf.get("meridian-ppo") is None
    assert (await shelf.refresh(empty)).source is Source.RELEASED
    assert shelf.get("meridian-ppo") is not None


async def test_a_policy_of_another_release_costs_no_other_payer_its_rules(empty: Database) -> None:
    for payer in ("summit-ma", "meridian-ppo"):
        await release(empty, text_of(payer), by="person:maud", at=NOW)
    shelf = Shelf()
    await shelf.refresh(empty)
    held = shelf.get("meridian-ppo")
    async with empty.connection() as connection:
        await connection.execute("INSERT INTO policies VALUES ('f00', 'meridian-ppo', 'payer: meridian-ppo')")
        await connection.execute(
            "INSERT INTO policy_releases (payer, digest, released_at, released_by) VALUES ($1, 'f00', $2, 'x')",
            "meridian-ppo",
            NOW,
        )
    assert await shelf.refresh(empty) == Refreshed(source=Source.RELEASED, unreadable=("meridian-ppo",))
    assert shelf.get("meridian-ppo") is held
    assert shelf.get("summit-ma") is not None
    fresh = Shelf()
    assert (await fresh.refresh(empty)).unreadable == ("meridian-ppo",)
    assert [policy.payer for policy in fresh.policies] == ["summit-ma"]


async def test_while_postgresql_is_away_what_is_held_stays_and_else_the_files_serve(
    empty: Database, tmp_path: Path
) -> None:
    for payer in ("summit-ma", "meridian-ppo"):
        shutil.copy(POLICIES / f"{payer}.yaml", tmp_path)
    (tmp_path / "broken.yaml").write_text("payer: [")
    shelf = Shelf(folder=tmp_path)
    assert await shelf.refresh(NOWHERE) == Refreshed(source=Source.FILES, unreadable=("broken.yaml",))
    assert [policy.payer for policy in shelf.policies] == ["meridian-ppo", "summit-ma"]

    await release(empty, renamed("keystone-sf", "Keystone Fund"), by="person:maud", at=NOW)
    assert (await shelf.refresh(empty)).source is Source.RELEASED
    assert await shelf.refresh(NOWHERE) == Refreshed(source=Source.HELD)
    assert [policy.name for policy in shelf.policies] == ["Keystone Fund"]

    nothing = Shelf()
    assert await nothing.refresh(NOWHERE) == Refreshed(source=Source.FILES)
    assert nothing.policies == ()
