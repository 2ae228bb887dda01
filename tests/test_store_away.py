"""PostgreSQL stopped and started again: what fails, how fast, what goes on, and what is caught up."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.archive import Archive
from runtime.embedded_postgres import PostgresServer
from runtime.keys import KeyRing
from runtime.settings import Settings
from store import audit, cases
from store.audit import AuditEntry, AuditTrail
from store.database import Database
from store.errors import SpoolFull, StoreAway
from store.migrate import migrate
from store.spool import Drained, Spool
from store.tokens import Role, Tokens
from store.webhooks import SeenCallbacks
from tests.test_store_cases import a_case, a_note, publication

NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """A server of this module's own, because it is stopped; with fsync, because it must come back."""
    folder = tmp_path_factory.mktemp("away")
    server = PostgresServer(Settings(home=folder / "home", keys_file=folder / "keys"))
    await server.start()
    await migrate(server.url)
    yield server
    await server.stop()


@pytest.fixture
async def db(server: PostgresServer) -> AsyncIterator[Database]:
    if server.pid is None:
        await server.start()
    database = Database(server.url, application_name="vigil-test")
    yield database
    await database.close()


@pytest.fixture
def spool(tmp_path: Path, keyring: KeyRing) -> Spool:
    return Spool(tmp_path / "spool", keyring, name="audit")


def an_entry(case_id: str = "case-Zzyzxwell") -> AuditEntry:
    return AuditEntry(
        at=NOW, practice="lakeside", who="mia-quillfeather", role="staff", what="case.read", case_id=case_id
    )


async def back(db: Database) -> None:
    """Wait out the moment in which calls fail at once."""
    deadline = time.monotonic() + 5
    while True:
        try:
            return await db.ping()
        except StoreAway:
            assert time.monotonic() < deadline, "it did not recover by itself"
            await asyncio.sleep(0.05)


async def test_publishing_fails_while_it_is_away_and_goes_on_by_itself(
    server: PostgresServer, db: Database, keyring: KeyRing
) -> None:
    archive, case = Archive(db, keyring), a_case("case-away", a_note("a"))
    first = publication(case)
    assert (await ActivityEnvironment().run(archive.publish, first)).confirmed == 2

    await server.stop()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(ApplicationError) as failed:
            await ActivityEnvironment().run(archive.publish, first)
        assert (failed.value.type, failed.value.non_retryable) == ("StoreAway", False)
        assert time.monotonic() - began < 1
    with pytest.raises(StoreAway):
        await cases.case_row(db, "lakeside", "case-away")

    await server.start()
    await back(db)
    assert (await ActivityEnvironment().run(archive.publish, first)).confirmed == 2
    assert await cases.facts(db, keyring, "lakeside", "case-away") == case.facts


async def test_a_statement_under_way_when_it_stops_is_away_too(server: PostgresServer, db: Database) -> None:
    async def wait() -> None:
        async with db.connection() as connection:
            await connection.execute("SELECT pg_sleep(10)")

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.3)
    await server.stop()
    with pytest.raises(StoreAway):
        await waiting
    await server.start()
    await back(db)


async def test_a_statement_that_takes_too_long_is_given_up(server: PostgresServer, db: Database) -> None:
    hasty = Database(server.url, statement_seconds=0.2)
    with pytest.raises(StoreAway, match="in time"):
        async with hasty.connection() as connection:
            await connection.execute("SELECT pg_sleep(10)")
    await hasty.ping()
    await hasty.close()


async def test_a_busy_pool_is_not_waited_for_without_end(server: PostgresServer, db: Database) -> None:
    small = Database(server.url, max_connections=1, connect_seconds=0.2)
    async with small.connection():
        with pytest.raises(StoreAway, match="in time"):
            await small.ping()
    await small.ping()
    await small.close()


async def test_a_server_that_says_nothing_is_given_up_within_the_limit() -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    mute = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    db = Database(f"postgresql://postgres@127.0.0.1:{port}/vigil", connect_seconds=0.3)
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(StoreAway):
            await db.ping()
    assert 0.3 <= time.monotonic() - began < 1, "only the first caller waits"
    await db.close()
    for writer in writers:
        writer.close()
    mute.close()
    await mute.wait_closed()


async def test_known_tokens_work_while_it_is_away_and_revoked_ones_are_noticed_after(
    server: PostgresServer, db: Database
) -> None:
    clock = [NOW]
    tokens = Tokens(db, clock=lambda: clock[0], away_for=timedelta(hours=2))
    known = await tokens.issue("lakeside", Role.STAFF, "mia", expires_at=NOW + timedelta(hours=1))
    other = await tokens.issue("lakeside", Role.STAFF, "sam", expires_at=NOW + timedelta(days=9))
    revoked = await tokens.issue("lakeside", Role.STAFF, "kim", expires_at=NOW + timedelta(days=9))
    unseen = await tokens.issue("lakeside", Role.STAFF, "lee", expires_at=NOW + timedelta(days=9))
    for issued in (known, other, revoked):
        assert await tokens.look_up(issued.secret) is not None
    await Tokens(db, clock=lambda: NOW).revoke("lakeside", revoked.token.id)

    await server.stop()
    clock[0] = NOW + timedelta(minutes=59)
    for issued in (known, other, revoked):
        assert await tokens.look_up(issued.secret) is not None
    with pytest.raises(StoreAway):
        await tokens.look_up(unseen.secret)
    clock[0] = NOW + timedelta(minutes=61)
    assert await tokens.look_up(known.secret) is None, "it has expired"
    clock[0] = NOW + timedelta(minutes=121)
    with pytest.raises(StoreAway):
        await tokens.look_up(other.secret)

    await server.start()
    await back(db)
    assert await tokens.look_up(other.secret) is not None
    assert await tokens.look_up(unseen.secret) is not None
    assert await tokens.look_up(revoked.secret) is None


async def test_the_audit_is_spooled_sealed_and_stored_once_after(
    server: PostgresServer, db: Database, spool: Spool, tmp_path: Path, keyring: KeyRing
) -> None:
    trail = AuditTrail(db, spool)
    spooled = [an_entry(f"case-{n}-Zzyzxwell") for n in range(5)]
    await server.stop()
    for entry in spooled:
        await trail.record(entry)
    with pytest.raises(StoreAway):
        await trail.drain()
    assert spool.waiting() > 0
    for path in (tmp_path / "spool").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"Zzyzxwell" not in path.read_bytes()
        assert b"mia-quillfeather" not in path.read_bytes()
    # The process dies after PostgreSQL took an entry and before the spool forgot it: the next one drains it again.
    await server.start()
    await back(db)
    await audit.append(db, spooled[:2])

    assert await AuditTrail(db, Spool(tmp_path / "spool", keyring, name="audit")).drain() == Drained(5, 0)
    assert await trail.drain() == Drained(0, 0)
    assert spool.waiting() == 0
    assert list((tmp_path / "spool").iterdir()) == []
    kept = [entry for entry in await audit.entries(db, "lakeside") if entry in spooled]
    assert sorted(kept, key=lambda entry: str(entry.case_id)) == spooled


async def test_callbacks_are_remembered_while_it_is_away_and_written_after(
    server: PostgresServer, db: Database
) -> None:
    seen = SeenCallbacks(db)
    await server.stop()
    assert await seen.first_time("meridian-ppo", "one", at=NOW)
    assert not await seen.first_time("meridian-ppo", "one", at=NOW)
    await server.start()
    await back(db)
    assert await seen.first_time("meridian-ppo", "two", at=NOW)
    assert not await SeenCallbacks(db).first_time("meridian-ppo", "one", at=NOW)


class Kept:
    def __init__(self) -> None:
        self.entries: list[bytes] = []

    async def __call__(self, entries: object) -> None:
        assert isinstance(entries, list)
        self.entries += entries


async def test_half_a_line_of_a_process_that_died_was_never_promised(
    spool: Spool, tmp_path: Path, keyring: KeyRing
) -> None:
    await spool.put(b"whole")
    spool.close()
    [segment] = (tmp_path / "spool").iterdir()
    with segment.open("ab") as file:
        file.write(b"VlMxCGs")
    kept = Kept()
    assert await spool.drain(kept) == Drained(1, 0)
    assert kept.entries == [b"whole"]


async def test_a_broken_line_is_set_aside_and_the_others_are_stored(spool: Spool, tmp_path: Path) -> None:
    await spool.put(b"one")
    spool.close()
    [segment] = (tmp_path / "spool").iterdir()
    segment.write_bytes(b"?!?\n" + segment.read_bytes())
    await spool.put(b"two")
    kept = Kept()
    assert await spool.drain(kept) == Drained(2, 1)
    assert sorted(kept.entries) == [b"one", b"two"]
    assert [path.suffix for path in (tmp_path / "spool").iterdir()] == [".broken"]
    assert await spool.drain(kept) == Drained(0, 0)


_WRITER = """
import asyncio, pathlib, sys
from runtime.keys import KeyRing
from store.spool import Spool
async def write():
    spool = Spool(pathlib.Path(sys.argv[1]), KeyRing.from_json(sys.stdin.readline()), name="audit")
    await spool.put(b"theirs")
    await spool.put(b"theirs too")
    print("written", flush=True)
    await asyncio.sleep(60)
asyncio.run(write())
"""


async def test_what_another_process_wrote_is_drained_when_it_is_gone(
    spool: Spool, tmp_path: Path, keyring: KeyRing
) -> None:
    pipe = asyncio.subprocess.PIPE
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(tmp_path / "spool"), stdin=pipe, stdout=pipe
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(keyring.to_json().replace("\n", "").encode() + b"\n")
    assert await writer.stdout.readline() == b"written\n"
    kept = Kept()
    assert await spool.drain(kept) == Drained(0, 0), "it lives, and may write more"
    writer.kill()
    await writer.wait()
    assert await spool.drain(kept) == Drained(2, 0)
    assert kept.entries == [b"theirs", b"theirs too"]


async def test_the_spool_is_bounded(tmp_path: Path, keyring: KeyRing) -> None:
    small = Spool(tmp_path / "small", keyring, name="audit", max_bytes=1000)
    kept, stored = Kept(), 0
    for _ in range(5):
        await small.put(b"x" * 50)
        stored += 1
    with pytest.raises(SpoolFull):
        await small.put(b"x" * 600)
    assert await small.drain(kept) == Drained(stored, 0)
    await small.put(b"room again")
    small.close()


async def test_an_entry_that_comes_while_it_is_drained_waits_for_the_next_time(spool: Spool) -> None:
    await spool.put(b"first")

    async def sink(entries: object) -> None:
        assert entries == [b"first"]
        await spool.put(b"second")

    assert await spool.drain(sink) == Drained(1, 0)
    kept = Kept()
    assert await spool.drain(kept) == Drained(1, 0)
    assert kept.entries == [b"second"]


async def test_what_waits_is_counted_whoever_wrote_it(spool: Spool, tmp_path: Path, keyring: KeyRing) -> None:
    other = Spool(tmp_path / "spool", keyring, name="audit")
    assert await spool.entries() == 0
    for number in range(3):
        await spool.put(b"mine")
        await other.put(b"theirs")
        assert await spool.entries() == 2 * (number + 1)
    other.close()
    [segment] = (tmp_path / "spool").glob("*.ready")
    with segment.open("ab") as file:
        file.write(b"half a line")
    assert await spool.entries() == 6
    assert await spool.drain(Kept()) == Drained(6, 0)
    assert await spool.entries() == 0
    await spool.put(b"again")
    assert await spool.entries() == 1
    spool.close()
