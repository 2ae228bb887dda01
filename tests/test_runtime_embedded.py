"""The embedded servers: they keep their data, stop what they started and nothing else, and say which port is taken."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus

from runtime import embedded_postgres
from runtime.embedded import temporal_server
from runtime.embedded_postgres import PostgresServer, database_url
from runtime.errors import AlreadyRunning, ServerNotStarted
from runtime.keys import KeyRing
from runtime.settings import Settings
from runtime.temporal import SEARCH_ATTRIBUTES, connect

QUICK = {"fsync": "off"}


@workflow.defn(sandboxed=False)
class Waiting:
    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_temporal_goes_on_where_it_was_after_a_restart(settings: Settings, keyring: KeyRing) -> None:
    async with temporal_server(settings) as first:
        client = await connect(settings, keyring)
        await client.start_workflow(Waiting.run, id="waiting", task_queue="nobody")
    assert gone(first.pid)

    async with temporal_server(settings) as second:
        client = await connect(settings, keyring)
        description = await client.get_workflow_handle("waiting").describe()
    assert second.pid != first.pid
    assert description.status is WorkflowExecutionStatus.RUNNING


async def test_temporal_listens_on_loopback_only_and_knows_the_attributes(settings: Settings, keyring: KeyRing) -> None:
    async with temporal_server(settings):
        client = await connect(settings, keyring)
        for name in SEARCH_ATTRIBUTES:
            assert (await client.count_workflows(f"{name} IS NULL")).count == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((_own_address(), settings.temporal_port), timeout=1)


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: asks the system which address it would send from
        address: str = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    return address


@pytest.mark.parametrize(("port", "setting"), [("temporal_port", "VIGIL_TEMPORAL_PORT"), ("ui_port", "VIGIL_UI_PORT")])
async def test_a_taken_port_is_named_with_its_setting(settings: Settings, port: str, setting: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", getattr(settings, port)))
        other.listen()
        with pytest.raises(ServerNotStarted, match=rf"{getattr(settings, port)}.*{setting}"):
            async with temporal_server(settings):
                pass


async def test_a_second_keeper_of_the_same_home_is_refused_and_harms_nothing(settings: Settings) -> None:
    async with temporal_server(settings) as running:
        with pytest.raises(AlreadyRunning, match="VIGIL_HOME"):
            async with temporal_server(settings):
                pass
        assert not gone(running.pid)


async def test_servers_do_not_inherit_our_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_KEYS", "the keys themselves")
    async with PostgresServer(settings, options=QUICK) as postgres:
        environment = _environment_of(postgres.pid)
    assert b"PATH=" in environment
    assert b"the keys themselves" not in environment


def _environment_of(pid: int | None) -> bytes:
    shown = Path(f"/proc/{pid}/environ")
    if not shown.exists():
        pytest.skip("this system does not show the environment of a process")
    return shown.read_bytes()


async def test_a_server_left_behind_is_taken_over_and_stopped(settings: Settings) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEAVE_BEHIND, str(settings.home), str(settings.keys_file),
        str(settings.temporal_port), str(settings.ui_port),
        cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    temporal_pid, postgres_pid = (int(pid) for pid in (await child.stdout.readline()).split())
    child.kill()
    await child.wait()
    assert not gone(temporal_pid)
    assert not gone(postgres_pid)

    async with temporal_server(settings) as running, PostgresServer(settings, options=QUICK) as postgres:
        assert (running.pid, postgres.pid) == (temporal_pid, postgres_pid)
    assert _ended(temporal_pid)
    assert _ended(postgres_pid)


def _ended(pid: int) -> bool:
    # A process whose parent was killed may stay as an entry without life where nobody collects it.
    state = Path(f"/proc/{pid}/stat")
    return gone(pid) or (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


LEAVE_BEHIND = """
import asyncio, sys
from runtime.embedded import temporal_server
from runtime.embedded_postgres import PostgresServer
from runtime.settings import Settings
home, keys, port, ui = sys.argv[1:]
async def main():
    settings = Settings(home=home, keys_file=keys, temporal_port=int(port), ui_port=int(ui))
    async with temporal_server(settings) as server, PostgresServer(settings) as postgres:
        print(server.pid, postgres.pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
async def postgres(settings: Settings) -> AsyncIterator[PostgresServer]:
    async with PostgresServer(settings, options=QUICK) as server:
        yield server


async def test_postgres_stops_and_starts_on_its_own_and_keeps_its_rows(
    postgres: PostgresServer, settings: Settings
) -> None:
    url, first = postgres.url, postgres.pid
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
    await connection.close()

    await postgres.stop()
    assert first is not None
    assert gone(first)
    assert postgres.pid is None
    with pytest.raises(FileNotFoundError):
        await asyncpg.connect(url)

    assert await postgres.start() == url == database_url(settings)
    connection = await asyncpg.connect(url)
    assert await connection.fetchval("SELECT count(*) FROM kept") == 1
    await connection.close()


async def test_postgres_recovers_after_it_was_killed(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    connection.terminate()
    await postgres.stop()

    connection = await asyncpg.connect(await postgres.start())
    assert await connection.fetchval("SELECT count(*) FROM kept") == 1
    await connection.close()


async def test_postgres_is_reached_by_the_owner_of_the_home_only(postgres: PostgresServer, settings: Settings) -> None:
    connection = await asyncpg.connect(postgres.url)
    assert await connection.fetchval("SHOW listen_addresses") == ""
    await connection.close()
    assert settings.home_path.stat().st_mode & 0o777 == 0o700


async def test_what_is_stored_does_not_reach_the_log_of_postgres(postgres: PostgresServer, settings: Settings) -> None:
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(
        "CREATE TABLE patient (name text PRIMARY KEY); INSERT INTO patient VALUES ('Quillfeather')"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO patient VALUES ('Quillfeather')")
    await connection.close()
    log = (settings.home_path / "postgres.log").read_text()
    assert "duplicate key" in log
    assert "Quillfeather" not in log


async def test_a_home_with_a_long_path_keeps_one_address_over_restarts(settings: Settings, tmp_path: Path) -> None:
    long = settings.model_copy(update={"home": tmp_path / ("x" * 90) / "home"})
    long = Settings(home=long.home, keys_file=settings.keys_file)
    server = PostgresServer(long, options=QUICK)
    first = await server.start()
    await server.stop()
    second = await server.start()
    connection = await asyncpg.connect(second)
    await connection.close()
    await server.stop()
    assert first == second


async def test_the_shared_database_is_empty_and_of_this_module(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT current_database()") == "test_test_runtime_embedded"
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.close()


def test_without_a_database_the_remedy_is_told(settings: Settings) -> None:
    with pytest.raises(ServerNotStarted, match="VIGIL_DATABASE_URL"):
        database_url(settings)


def test_programs_in_a_closed_folder_are_copied_out_of_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "bin").mkdir(parents=True, mode=0o700)
    program = closed / "bin" / "postgres"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)

    public = embedded_postgres._public_copy(closed, tmp_path / "public" / "postgres-18")
    assert (public / "bin" / "postgres").stat().st_mode & 0o777 == 0o755
    assert (public / "bin").stat().st_mode & 0o777 == 0o755
    assert program.stat().st_mode & 0o777 == 0o700
    assert embedded_postgres._public_copy(closed, public) == public
