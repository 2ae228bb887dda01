"""`vigil up`: everything on one machine, from keys to a seeded day. Steps that do not need one another run side by side."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from rich.console import Console

from console.client import api_url
from console.home import TOKEN_FILE, prepare_home, prepare_secrets, saved_token
from console.machine import Machine
from console.policies import policies_in, read_rules_file
from console.seed import Seed, post_orders
from console.seed_day import EXAMPLE, PRACTICE
from console.steps import Steps
from console.welcome import welcome
from console.world import World
from domain.policy import Policy
from runtime.embedded_postgres import database_url
from runtime.practices import Practice
from runtime.processes import HomeLock
from runtime.settings import Settings, write_private
from store.database import Database
from store.migrate import migrate
from store.policies import by_digest, release, released
from store.tokens import Role, Tokens

_TOKEN_LIFE = timedelta(days=90)
_SEED_TOKEN_LIFE = timedelta(hours=1)
_PERSON = "demo"
Work = Coroutine[Any, Any, None]


async def run(settings: Settings, console: Console) -> None:
    """Start everything, stay until SIGINT or SIGTERM, and stop everything that was started.

    Raises:
        CommandFailed, VigilRuntimeError, StoreError: something did not start, or is gone; the sentence says what to do.
    """
    steps, leave = Steps(console), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, leave.set)
    settings.ensure_home()
    lock = HomeLock(settings.home_path / "up.lock", "Vigil")
    lock.acquire()
    machine = Machine.of(settings, steps)
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            await _unless(leave, _Start(settings, steps, machine, http, console).and_stay())
    finally:
        steps.say(f"Stopping: what was begun may take up to {settings.drain_seconds:.0f} s to finish.", "dim")
        await machine.stop()
        lock.release()


async def _unless(leave: asyncio.Event, work: Work) -> None:
    """Work until somebody wants to leave."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(leave.wait())
    await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()
    if working.done():
        working.result()
        return
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _side_by_side(*work: Work) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


class _Start:
    """One start, step by step."""

    def __init__(
        self, settings: Settings, steps: Steps, machine: Machine, http: httpx.AsyncClient, console: Console
    ) -> None:
        self._settings, self._steps, self._machine, self._http, self._console = settings, steps, machine, http, console
        self._world = World(settings, http)
        self._seed = Seed(settings.home_path)
        self._practices: Mapping[str, Practice] = {}
        self._policies: tuple[Policy, ...] = ()

    async def and_stay(self) -> None:
        """Start everything, say where it is, and watch over it."""
        self._prepare()
        await self._machine.clear_the_way()
        await _side_by_side(self._start_postgres(), self._start_temporal(), self._start_sandbox())
        database = Database(database_url(self._settings), application_name="vigil-up", max_connections=2)
        try:
            await self._bring_up_to_date(database)
            await _side_by_side(self._start_worker(), self._start_api())
            await self._seed_once(database)
            await self._leave_token(database)
            self._welcome()
            await self._machine.watch(self._http, database)
        finally:
            await database.close()

    def _prepare(self) -> None:
        with self._steps.step(f"Keys, practices and secrets in {self._settings.home_path}"):
            _, self._practices = prepare_home(self._settings)
            self._policies = tuple(policies_in(self._settings.policies_dir).values())
            prepare_secrets(self._settings, self._practices.values(), self._policies)

    async def _start_postgres(self) -> None:
        with self._steps.step("PostgreSQL"):
            await self._machine.start_postgres()
        with self._steps.step("Database schema"):
            await migrate(database_url(self._settings))

    async def _start_temporal(self) -> None:
        with self._steps.step("Temporal with its Web UI"):
            await self._machine.start_temporal()

    async def _start_sandbox(self) -> None:
        if self._machine.sandbox is None:
            self._steps.say(f"The outside world is at {self._settings.sandbox_url}; no sandbox is started.")
            return
        with self._steps.step("Sandbox: simulated payers, EHR with charts, messaging"):
            await self._machine.start(self._machine.sandbox, self._http)
            practice = self._practices.get(PRACTICE)
            if practice is not None:
                await self._seed.plant(self._world, practice)
            await self._world.prepare(self._practices.values())

    async def _bring_up_to_date(self, database: Database) -> None:
        """Put in force what was never released. What somebody released since by hand stays in force."""
        with self._steps.step(f"Rules of {len(self._policies)} payers released"):
            now, held = datetime.now(UTC), {one.payer for one in await released(database)}
            for path in sorted(self._settings.policies_dir.glob("*.yaml")):
                policy = read_rules_file(path)
                if policy.payer not in held or await by_digest(database, policy.digest) is None:
                    await release(database, path.read_text(), by="vigil up", at=now)

    async def _start_worker(self) -> None:
        with self._steps.step("Worker"):
            await self._machine.start(self._machine.worker, self._http)

    async def _start_api(self) -> None:
        with self._steps.step("API"):
            await self._machine.start(self._machine.api, self._http)

    async def _seed_once(self, database: Database) -> None:
        practice = self._practices.get(PRACTICE)
        if self._seed.done or self._machine.sandbox is None or practice is None:
            return
        with self._steps.step(f"A day of {practice.name}, by the API"):
            until = datetime.now(UTC) + _SEED_TOKEN_LIFE
            intake = await Tokens(database).issue(PRACTICE, Role.INTAKE, "seed", expires_at=until, label="vigil up")
            await post_orders(api_url(self._settings), intake.secret, self._seed.day(practice))
            await Tokens(database).revoke(PRACTICE, intake.token.id)
            self._seed.finish()

    async def _leave_token(self, database: Database) -> None:
        """Leave a token for this machine's terminal, and keep the one that is there while it holds."""
        held, tokens = saved_token(self._settings), Tokens(database)
        if held is not None and await tokens.look_up(held.get_secret_value()) is not None:
            return
        practice = PRACTICE if PRACTICE in self._practices else next(iter(self._practices))
        until = datetime.now(UTC) + _TOKEN_LIFE
        issued = await tokens.issue(
            practice, Role.SUPERVISOR, _PERSON, expires_at=until, label="this machine's terminal"
        )
        write_private(self._settings.home_path / TOKEN_FILE, issued.secret + "\n")

    def _welcome(self) -> None:
        token = saved_token(self._settings)
        said = token.get_secret_value() if token else ""
        example = EXAMPLE if self._seed.done else None
        welcome(self._console, self._settings, said, example, self._steps.elapsed)
