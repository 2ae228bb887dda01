"""What `vigil up` runs on one machine: the two servers and three processes, each made by the settings, and their stop."""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from console.children import Managed, product_environment, sandbox_environment
from console.client import api_url
from console.errors import CommandFailed
from console.steps import Steps
from runtime.codec import codec_path
from runtime.embedded import temporal_server
from runtime.embedded_postgres import PostgresServer
from runtime.keys import load_keyring
from runtime.processes import require_free
from runtime.settings import SIMULATED, Settings
from store.database import Database
from store.errors import StoreAway

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_DRAIN_MARGIN = 5.0
_PROBE_SECONDS = 2.0
_PROBES_LOST = 5


@dataclass
class Machine:
    """Everything by the settings; what is started is stopped again by `stop`."""

    settings: Settings
    steps: Steps
    worker: Managed
    api: Managed
    sandbox: Managed | None
    """None where `sandbox_url` names another machine."""
    _temporal: AsyncExitStack = field(default_factory=AsyncExitStack)
    _postgres: PostgresServer | None = None
    _servers: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, settings: Settings, steps: Steps) -> "Machine":
        """A machine with nothing started."""
        product, home, python = product_environment(settings), settings.home_path, sys.executable
        worker_health = f"http://{settings.worker_host}:{settings.worker_port}/healthz"
        worker = Managed(
            name="worker",
            command=(python, "-m", "worker"),
            home=home,
            health=(worker_health,) if settings.worker_port else (),
            environment=product,
            patience=settings.drain_seconds + _DRAIN_MARGIN,
        )
        api = Managed(
            name="api",
            command=(python, "-m", "api"),
            home=home,
            health=(f"{api_url(settings)}/healthz",),
            environment=product,
        )
        return cls(settings=settings, steps=steps, worker=worker, api=api, sandbox=sandbox_of(settings))

    @property
    def children(self) -> tuple[Managed, ...]:
        """The processes that are watched and started again, in the order in which they are stopped."""
        return tuple(one for one in (self.api, self.worker, self.sandbox) if one is not None)

    async def clear_the_way(self) -> None:
        """Stop processes that an earlier `vigil up` left behind, and see that the ports are free.

        Raises:
            ServerNotStarted: a port is taken; names it and its setting.
        """
        await asyncio.gather(*(child.stop_leftover() for child in self.children))
        settings = self.settings
        require_free(settings.api_port, "VIGIL_API_PORT", "The API")
        if settings.worker_port is not None:
            require_free(settings.worker_port, "VIGIL_WORKER_PORT", "The worker's health page")
        if self.sandbox is not None:
            for port in {urlsplit(settings.sandbox_at(system)).port or 80 for system in SIMULATED}:
                require_free(port, "VIGIL_SANDBOX_URL", "The simulated outside world")

    async def start_postgres(self) -> None:
        """Start the embedded PostgreSQL, unless the settings name another one. Raises `ServerNotStarted`."""
        if self.settings.database_url is None:
            server = PostgresServer(self.settings)
            starting = asyncio.create_task(server.start())
            try:
                await asyncio.shield(starting)
            except asyncio.CancelledError:
                # Part of the start runs in a thread, which nothing cancels: let it end, and stop what it started.
                await starting
                self._postgres = server
                raise
            self._postgres = server

    async def start_temporal(self) -> None:
        """Start the embedded Temporal server with its Web UI. Raises `ServerNotStarted`."""
        path = codec_path(load_keyring(self.settings))
        await self._temporal.enter_async_context(temporal_server(self.settings, path))
        self._servers.append("Temporal")

    async def start(self, child: Managed, http: httpx.AsyncClient) -> None:
        """Start one process and wait until it answers. Raises `CommandFailed`."""
        child.start()
        await child.ready(http)

    async def watch(self, http: httpx.AsyncClient, database: Database) -> None:
        """Keep the processes running for as long as the servers answer.

        Raises:
            CommandFailed: a server is gone, or a process keeps ending.
        """
        try:
            async with asyncio.TaskGroup() as watching:
                for child in self.children:
                    watching.create_task(child.watch(http, self.steps.say))
                watching.create_task(self._watch_servers(database))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def stop(self) -> None:
        """Stop what was started, in order: API, worker (it drains), sandbox, Temporal, PostgreSQL."""
        for child in self.children:
            if child.started:
                with self.steps.step(f"{child.title} stopped"):
                    await child.stop()
        if self._servers:
            with self.steps.step("Temporal stopped"):
                await self._temporal.aclose()
        if self._postgres is not None:
            with self.steps.step("PostgreSQL stopped"):
                await self._postgres.stop()

    async def _watch_servers(self, database: Database) -> None:
        lost = dict.fromkeys(("Temporal", "PostgreSQL"), 0)
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            lost["Temporal"] = 0 if await self._temporal_answers() else lost["Temporal"] + 1
            lost["PostgreSQL"] = 0 if await _answers(database) else lost["PostgreSQL"] + 1
            if lost["Temporal"] >= _PROBES_LOST:
                log = self.settings.home_path / "temporal" / "temporal.log"
                raise CommandFailed(f"Temporal is gone. Its log: {log}. Start again with `vigil up`; nothing is lost.")
            if lost["PostgreSQL"] >= _PROBES_LOST and self._postgres is not None:
                log = self.settings.home_path / "postgres.log"
                raise CommandFailed(
                    f"PostgreSQL is gone. Its log: {log}. Start again with `vigil up`; nothing is lost."
                )

    async def _temporal_answers(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                _, writer = await asyncio.open_connection("127.0.0.1", self.settings.temporal_port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True


async def _answers(database: Database) -> bool:
    try:
        await database.ping()
    except StoreAway:
        return False
    return True


def sandbox_of(settings: Settings) -> Managed | None:
    """Return the simulated outside world as a process; None where the settings name another machine."""
    at, home = urlsplit(settings.sandbox_url), settings.home_path
    if at.hostname not in _LOOPBACK:
        return None
    ports = ",".join(f"{system}={urlsplit(settings.sandbox_at(system)).port}" for system in SIMULATED)
    systems = ("--apart", ports) if settings.sandbox_apart else ("--port", str(at.port or 80))
    where = ("--host", "127.0.0.1", *systems, "--state", str(home / "sandbox.json"))
    return Managed(
        name="sandbox",
        command=(sys.executable, "-m", "sandbox", *where),
        home=home,
        health=tuple(sorted({f"{settings.sandbox_at(system)}/healthz" for system in SIMULATED})),
        environment=sandbox_environment(settings),
    )
