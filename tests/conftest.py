"""Servers and keys that tests share: the real Temporal server (time skipped), a real PostgreSQL, the sandbox.

One of each a session, so each worker of pytest-xdist has its own. Tests that need the wall clock, a
killed server or a database of their own start one with `runtime.embedded` and `runtime.embedded_postgres`.

Properties are tried on the same examples in every run; `HYPOTHESIS_PROFILE=long` tries many more, other ones each time.
"""

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx
import hypothesis
import pytest
from temporalio.testing import WorkflowEnvironment

from runtime.codec import data_converter
from runtime.embedded import DYNAMIC_CONFIG, dynamic_config_arguments, temporal_program
from runtime.embedded_postgres import PostgresServer
from runtime.keys import KeyRing
from runtime.processes import free_port
from runtime.settings import Settings
from runtime.temporal import search_attribute_arguments
from tests.house import Desk, House, running_house

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
TIME_SKIPPING = (
    "frontend.WorkflowTimeSkippingEnabled=true",
    'history.timerProcessorMaxTimeShift="1ms"',
    # So soon that the stories go through continue-as-new; a server's default is about 4,000 events.
    "limit.historyCount.suggestContinueAsNew=200",
)

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
hypothesis.settings.register_profile(
    "vigil",
    deadline=None,
    derandomize=not LONG,
    max_examples=2000 if LONG else 100,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile("vigil")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-histories", action="store_true", help="record tests/replay/histories anew")


LONGEST = ("test_f_nothing_lost", "test_cli_up", "test_pas_profiles", "test_watchman")
"""Files that take long begin first, so that all workers end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def keyring() -> KeyRing:
    """A ring of the kind that production has, for tests only: committed histories are sealed with it."""
    return KeyRing.from_json((ROOT / "tests" / "replay" / "test-keys.json").read_text())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a fresh home, on free ports; copy with `settings.model_copy(update={…})`."""
    return Settings(
        home=tmp_path / "home",
        keys_file=tmp_path / "keys",
        policies_dir=ROOT / "policies",
        api_port=free_port(),
        ui_port=free_port(),
        temporal_port=free_port(),
        send_case_time=True,
    )


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of fixtures beside the project, where there is one."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared folder with fixtures beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
async def temporal_env(keyring: KeyRing) -> AsyncIterator[WorkflowEnvironment]:
    """The real server with time skipping, everything sealed by `keyring`.

    Workflows skip by themselves; drive one in steps by starting it under `env.with_time_skipping_disabled()` and
    calling `env.fast_forward(handle, …)`. Cases (`case-…`) need `runtime.codec.for_practice(env.client, practice)`.
    """
    env = await WorkflowEnvironment.start_time_skipping_v2(
        data_converter=data_converter(keyring),
        dev_server_existing_path=temporal_program(),
        dev_server_extra_args=[
            *dynamic_config_arguments((*DYNAMIC_CONFIG, *TIME_SKIPPING)),
            *search_attribute_arguments(),
        ],
        dev_server_log_level="error",
    )
    yield env
    await env.shutdown()
    # The SDK's threads may still be leaving; an interpreter that exits at once then crashes now and then.
    await asyncio.sleep(0.5)


@pytest.fixture(scope="session")
async def _postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    folder = tmp_path_factory.mktemp("postgres")
    settings = Settings(home=folder / "home", keys_file=folder / "keys")
    async with PostgresServer(settings, options={"fsync": "off", "synchronous_commit": "off"}) as server:
        yield server


@pytest.fixture(scope="module")
async def postgres_url(_postgres: PostgresServer, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """URL of an empty database of this test module's own."""
    name = "test_" + re.sub(r"\W", "_", request.module.__name__.rpartition(".")[2])
    url = urlsplit(_postgres.url)
    admin = await asyncpg.connect(url._replace(path="/postgres").geturl())
    try:
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield url._replace(path=f"/{name}").geturl()
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the simulated outside world, in a process of its own. Give each test its own practice."""
    if importlib.util.find_spec("sandbox.__main__") is None:
        pytest.fail("the sandbox cannot be started: there is no `python -m sandbox`")
    port = free_port()
    log = tmp_path_factory.mktemp("sandbox") / "sandbox.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "sandbox", "--port", str(port)],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(url, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the sandbox ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            if httpx.get(f"{url}/healthz", timeout=1).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail(f"the sandbox did not get healthy in 30 s:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
async def house(
    temporal_env: WorkflowEnvironment,
    _postgres: PostgresServer,
    sandbox_url: str,
    keyring: KeyRing,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[House]:
    admin = await asyncpg.connect(_postgres.url)
    await admin.execute("CREATE DATABASE stories")
    await admin.close()
    url = urlsplit(_postgres.url)._replace(path="/stories").geturl()
    async with running_house(temporal_env, url, sandbox_url, keyring, tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
async def desk(house: House) -> AsyncIterator[Desk]:
    async with house.desk() as found:
        yield found
