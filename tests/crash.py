"""A machine of Vigil's own on real processes and the wall clock, which a test may kill, stop, copy and start again.

`python -m tests.crash` starts its worker: the product's own, with the domain's waiting times shortened to seconds.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import yaml
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

import worker
from domain.case import Case, replay
from domain.facts import Fact, NoteAdded
from domain.house import HOUSE
from domain.messages import REPORT, Report, Standing
from domain.order import Order, Urgency
from domain.results import read_result
from domain.view import CaseView
from domain.work import claim, complete
from runtime.cases import facts_of, open_case, status_of
from runtime.codec import for_practice
from runtime.embedded import TemporalServer, temporal_server
from runtime.embedded_postgres import PostgresServer
from runtime.keys import KeyRing
from runtime.practices import Practice, load_practices
from runtime.processes import clean_environment, free_port
from runtime.schedules import WATCHMAN
from runtime.settings import Settings
from runtime.temporal import connect
from store import cases
from store.database import Database
from store.migrate import migrate
from store.policies import release
from store.tokens import Role, Tokens
from tests.builders import received
from tests.house import Desk, House, daytime_zone

ROOT = Path(__file__).resolve().parent.parent
SEARCH_AFTER = ("3 seconds", "6 seconds")
"""After how long the worker of these tests looks for a request whose answer was lost."""
REST = "2 seconds"
"""How long it rests between tries."""

T = TypeVar("T")


async def eventually(
    what: str, look: Callable[[], Awaitable[T | None]], seconds: float = 60, *, every: float = 0.1
) -> T:
    """What `look` finds, once it finds something. Servers that are away meanwhile are part of the story."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RPCError, httpx.TransportError):
            found = await look()
            if found:
                return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds:.0f} s: {what}")
        await asyncio.sleep(every)


@dataclass
class Program:
    """A process of ours, with its output in a file."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    health: str
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603 - a program of ours
                self.command,
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def healthy(self) -> None:
        async def look() -> bool | None:
            assert self.process is not None
            assert self.process.poll() is None, f"{self.name} ended:\n{self.log.read_text()[-2000:]}"
            async with httpx.AsyncClient(timeout=1) as http:
                return (await http.get(self.health)).is_success or None

        await eventually(f"{self.name} is healthy", look)

    def end(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Stop it, by default as a power cut would, and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


@dataclass
class Machine:
    """Temporal, PostgreSQL, sandbox and workers of one home."""

    folder: Path
    practices: tuple[str, ...]
    settings: Settings = field(init=False)
    keyring: KeyRing = field(init=False)
    client: Client = field(init=False)
    database: Database = field(init=False)
    workers: list[Program] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keyring = KeyRing.create()
        self.settings = Settings(
            home=self.folder / "home",
            keys_file=self.folder / "keys",
            practices_file=self.folder / "practices.yaml",
            temporal_port=free_port(),
            ui_port=free_port(),
            api_port=free_port(),
            worker_port=None,
            sandbox_url=f"http://127.0.0.1:{free_port()}",
            sandbox_apart=False,
        )
        (self.folder / "practices.yaml").write_text(yaml.safe_dump({"practices": self._practices()}))
        self.postgres = PostgresServer(self.settings, options={"fsync": "off"})
        self.sandbox = self._program(
            "sandbox",
            ["sandbox", "--port", str(httpx.URL(self.settings.sandbox_url).port), "--state", f"{self.folder}/world"],
            f"{self.settings.sandbox_url}/healthz",
        )
        self.api = self._program("api", ["api"], f"http://127.0.0.1:{self.settings.api_port}/healthz")
        self._temporal = AsyncExitStack()
        self._stopping = AsyncExitStack()
        self._server: TemporalServer | None = None

    async def start(self) -> None:
        self._stopping.callback(self.sandbox.end)
        self._stopping.push_async_callback(self.postgres.stop)
        self._stopping.push_async_callback(self.stop_temporal)
        self.sandbox.start()
        await asyncio.gather(self.postgres.start(), self.start_temporal(), self.sandbox.healthy())
        await migrate(self.postgres.url)
        self.database = Database(self.postgres.url, application_name="vigil-test")
        self._stopping.push_async_callback(self.database.close)
        for path in sorted((ROOT / "policies").glob("*.yaml")):
            await release(self.database, _hasty(path.read_text()), by="test", at=datetime.now(UTC))
        self.client = await connect(self.settings, self.keyring)
        self._stopping.callback(self.kill_workers)
        self._stopping.callback(self.api.end)
        await self.start_workers(2)

    async def stop(self) -> None:
        await self._stopping.aclose()

    # --- workers --------------------------------------------------------------------------------------------------

    async def start_workers(self, number: int) -> None:
        fresh = [self._worker() for _ in range(number)]
        for program in fresh:
            program.start()
        self.workers += fresh
        await asyncio.gather(*(program.healthy() for program in fresh))

    def kill_workers(self) -> None:
        for program in self.workers:
            program.end()
        self.workers.clear()

    def _worker(self) -> Program:
        port = free_port()
        return self._program(
            f"worker-{port}", ["tests.crash"], f"http://127.0.0.1:{port}/healthz", VIGIL_WORKER_PORT=str(port)
        )

    # --- the doors ------------------------------------------------------------------------------------------------

    async def start_api(self) -> None:
        self.api.start()
        await self.api.healthy()

    async def token(self, practice: str, role: Role) -> str:
        """A token of a person of the practice."""
        until = datetime.now(UTC) + timedelta(hours=1)
        return (await Tokens(self.database).issue(practice, role, "ada", expires_at=until)).secret

    # --- Temporal -------------------------------------------------------------------------------------------------

    @property
    def history(self) -> Path:
        """Where Temporal keeps everything."""
        return self.settings.home_path / "temporal" / "temporal.db"

    async def start_temporal(self) -> None:
        self._server = await self._temporal.enter_async_context(temporal_server(self.settings))

    async def stop_temporal(self, *, kill: bool = False) -> None:
        if kill and self._server is not None:
            os.kill(self._server.pid, signal.SIGKILL)
        await self._temporal.aclose()
        self._server = None

    async def copy_temporal(self) -> Path:
        """A copy of the server's file as it is now; the server goes on."""
        copy = self.folder / f"copy-{time.monotonic_ns()}.db"

        def back_up() -> None:
            with closing(sqlite3.connect(self.history)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)

        await asyncio.to_thread(back_up)
        return copy

    async def restore_temporal(self, copy: Path) -> None:
        """Put an older copy in the place of Temporal's file, as whoever restores it does: with all of Vigil stopped.

        A worker that ran on would go on from what it holds in memory, which the server no longer knows.
        """
        self.kill_workers()
        await self.stop_temporal(kill=True)
        for path in self.history.parent.glob("temporal.db*"):
            path.unlink()
        shutil.copy(copy, self.history)
        await self.start_temporal()
        await self.start_workers(2)

    async def power_cut(self) -> None:
        """Kill all of Vigil at once, as a power cut would. The outside world goes on."""
        assert self._server is not None
        assert self.postgres.pid is not None
        for pid in (self._server.pid, self.postgres.pid):
            os.kill(pid, signal.SIGKILL)
        self.kill_workers()
        await self.stop_temporal()
        await self.postgres.stop()

    async def power_on(self) -> None:
        """Start all of it again."""
        await asyncio.gather(self.postgres.start(), self.start_temporal())
        await self.start_workers(2)

    async def watch(self) -> None:
        """Let the watchman make a round now instead of within five minutes."""
        handle = self.client.get_schedule_handle(WATCHMAN)
        before = (await handle.describe()).info.num_actions

        async def done() -> bool | None:
            info = (await handle.describe()).info
            if info.running_actions:
                return None
            if info.num_actions > before:
                return True
            # Skipped where the five minutes' own round was under way just then.
            await handle.trigger()
            await asyncio.sleep(2)
            return None

        # A round asks restored cases, which answer only when the tasks of workers that are gone have timed out.
        await eventually("the watchman made his round", done, 150)

    # --- practices and cases --------------------------------------------------------------------------------------

    def office(self, name: str) -> "Office":
        practice = load_practices(self.settings.practices_path, self.settings.resolve_url)[name]
        return Office(self, practice)

    def _practices(self) -> list[dict[str, Any]]:
        example = yaml.safe_load((ROOT / "examples" / "practices.yaml").read_text())["practices"][0]
        zone = daytime_zone(datetime.now(UTC))
        return [
            {
                **example,
                "id": name,
                "time_zone": zone,
                "ehr": {
                    **example["ehr"],
                    "client_id": name,
                    # The order comes by the door here; a sweep would be another story.
                    "capabilities": {**example["ehr"]["capabilities"], "orders.read": "off"},
                },
                "messaging": {**example["messaging"], "client_id": name},
                "check_in": {**example["check_in"], "key_id": name},
                "eligibility": {**example["eligibility"], "key": f"{name}.eligibility"},
            }
            for name in self.practices
        ]

    def _program(self, name: str, arguments: list[str], health: str, **more: str) -> Program:
        systems = ("ehr", "messaging", "eligibility", "meridian-ppo", "summit-ma")
        secrets = {f"{practice}.{system}": practice for practice in self.practices for system in systems}
        secrets |= {f"{practice}.check_in": "sandbox-secret" for practice in self.practices}
        environment = {
            **clean_environment(self.folder),
            "VIGIL_HOME": str(self.settings.home),
            "VIGIL_KEYS": self.keyring.to_json(),
            "VIGIL_PRACTICES_FILE": str(self.settings.practices_path),
            "VIGIL_TEMPORAL_PORT": str(self.settings.temporal_port),
            "VIGIL_API_PORT": str(self.settings.api_port),
            "VIGIL_SANDBOX_URL": self.settings.sandbox_url,
            "VIGIL_SANDBOX_APART": "false",
            "VIGIL_SEND_CASE_TIME": "true",
            "VIGIL_LOG_LEVEL": "WARNING",
            **{f"VIGIL_SECRET__{key.replace('.', '_').replace('-', '_').upper()}": s for key, s in secrets.items()},
            **more,
        }
        return Program(name, [sys.executable, "-m", *arguments], environment, self.folder / f"{name}.log", health)


@dataclass
class Office:
    """One practice of the machine, as a test sees it."""

    machine: Machine
    practice: Practice

    async def open(self, scenario: str = "100", **what: Any) -> "Watched":
        """Plant an order in the practice's record and open its case, as the door does; again until it is taken."""
        case = await self.plant(scenario, **what)
        await case.ordered()
        return case

    async def plant(self, scenario: str = "100", **what: Any) -> "Watched":
        """Plant an order in the practice's record; its case is to be opened."""
        async with httpx.AsyncClient(base_url=self.machine.settings.sandbox_url, timeout=10) as control:
            # Of the house a desk needs nothing to plant an order.
            desk = Desk(cast("House", self.machine), self.practice, self.machine.client, control)
            order = await desk.order(scenario, **what)
        return Watched(self, order)

    async def fault(self, system: str, route: str, fault: str, times: int = 1, **more: object) -> None:
        """Switch a fault of the outside world on."""
        await self._post("faults", {"system": system, "route": route, "fault": fault, "times": times, **more})

    async def set(self, **settings: object) -> None:
        """Set how the outside world treats this practice."""
        async with httpx.AsyncClient(base_url=self.machine.settings.sandbox_url, timeout=10) as control:
            answer = await control.patch(f"/control/practices/{self.practice.id}/settings", json=settings)
            assert answer.is_success, answer.text

    async def received(self) -> Any:
        """Every request that reached the outside, and the effects."""
        async with httpx.AsyncClient(base_url=self.machine.settings.sandbox_url, timeout=10) as control:
            return (await control.get(f"/control/practices/{self.practice.id}/received")).json()

    async def held(self) -> int:
        """How many requests the payers hold."""
        async with httpx.AsyncClient(base_url=self.machine.settings.sandbox_url, timeout=10) as control:
            return len((await control.get(f"/control/practices/{self.practice.id}/requests")).json()["items"])

    async def submits(self) -> Counter[str]:
        """How often each request was submitted, by its identifier."""
        effects = (await self.received())["effects"]
        return Counter({one["claim_identifier"]: one["count"] for one in effects["submits"]})

    async def require_everything_once(self, *opened: "Watched", withdrawn: int = 0) -> None:
        """Fail unless each case's request, message, chart entries and drop are outside, and each of them once."""
        effects = (await self.received())["effects"]
        requests = sum(one.order.primary.payer == "meridian-ppo" for one in opened)
        assert [one["count"] for one in effects["submits"]] == [1] * (requests + withdrawn), effects["submits"]
        assert effects["duplicate_submits"] == 0
        messages = Counter(one["external_id"] for one in effects["messages"])
        assert [*messages.values()] == [1] * len(opened), messages
        documents = Counter(one["description"] for one in effects["documents"] if "[vigil-" in one["description"])
        filed = sum([len((await one.case()).chart) for one in opened])
        assert [*documents.values()] == [1] * filed, documents
        assert len(effects["drops"]) == len(opened), effects["drops"]
        assert not effects["tasks"], effects["tasks"]

    async def _post(self, path: str, body: object) -> None:
        async with httpx.AsyncClient(base_url=self.machine.settings.sandbox_url, timeout=10) as control:
            answer = await control.post(f"/control/practices/{self.practice.id}/{path}", json=body)
            assert answer.is_success, answer.text


@dataclass
class Watched:
    """A case of the machine, reached anew with every call: servers come and go."""

    office: Office
    order: Order

    @property
    def machine(self) -> Machine:
        return self.office.machine

    @property
    def id(self) -> str:
        return self.machine.keyring.case_id(self.order.practice, self.order.source, self.order.number)

    async def ordered(self) -> Standing:
        """Say the order, again until it is taken, as the door's client does."""
        fact = received(self.order, self.order.ordered_at).model_copy(
            update={"time_zone": self.office.practice.time_zone}
        )

        async def open_() -> Standing:
            return await open_case(self.machine.client, self.machine.settings, self.machine.keyring, fact)

        return await eventually("the order is taken", open_)

    async def facts(self) -> tuple[Fact, ...]:
        """What the archive has of it, or the case itself while PostgreSQL is away."""
        return await (self.archived() if self.machine.postgres.pid else self.known())

    async def known(self) -> tuple[Fact, ...]:
        """What the case itself knows."""
        return await facts_of(self.machine.client, self.order.practice, self.id) or ()

    async def case(self) -> Case:
        return await eventually("the case answers", self._case)

    async def _case(self) -> Case | None:
        facts = await self.facts()
        return replay(self.id, facts) if facts else None

    async def until(self, what: str, holds: Callable[[Case], bool], seconds: float = 60) -> Case:
        """The case, once something holds of it."""

        async def look() -> Case | None:
            case = await self._case()
            return case if case is not None and holds(case) else None

        try:
            return await eventually(what, look, seconds)
        except AssertionError:
            case = await self.case()
            raise AssertionError(f"not in {seconds:.0f} s: {what}; {[f.kind for f in case.facts[-12:]]}") from None

    async def informed(self, seconds: float = 60) -> Case:
        """The case, once it is approved and everybody is told."""
        return await self.until("approved and everybody told", _is_finished, seconds)

    async def report(self, *facts: Fact) -> Standing:
        handle = for_practice(self.machine.client, self.order.practice).get_workflow_handle(self.id)
        standing: Standing = await handle.execute_update(REPORT, Report(facts=facts), result_type=Standing)
        return standing

    async def hand_in(self, kind: str, by: str, **form: Any) -> None:
        """Claim the open task of a kind and hand its result in."""
        case, now = await self.case(), datetime.now(UTC)
        (task,) = [t.opened.task for t in case.open_tasks if t.opened.task_kind == kind]
        await self.report(claim(case, task, by=f"person:{by}", now=now, source_id=f"claim-{now.timestamp()}"))
        case, now = await self.case(), datetime.now(UTC)
        done = complete(case, task, read_result(form), by=f"person:{by}", now=now, source_id=f"done-{now.timestamp()}")
        await self.report(*done)

    async def note(self, text: str) -> None:
        """Let a person write something down."""
        now = datetime.now(UTC)
        await self.report(NoteAdded(occurred_at=now, by="person:ada", source_id=f"note-{text}", text=text))

    async def archived(self) -> tuple[Fact, ...]:
        return await cases.facts(self.machine.database, self.machine.keyring, self.order.practice, self.id)

    async def row(self) -> CaseView | None:
        return await cases.case_row(self.machine.database, self.order.practice, self.id)

    async def in_step(self, seconds: float = 30) -> None:
        """Wait until archive and row know all that the case knows, in its order."""

        found: list[object] = []

        async def look() -> bool | None:
            known, archived, row = await self.known(), await self.archived(), await self.row()
            standing = await self._standing()
            found[:] = [[fact.source_id for fact in known], [fact.source_id for fact in archived]]
            found[2:] = [_seen(standing.view), row and _seen(row)]
            same = [fact.source_id for fact in known] == [fact.source_id for fact in archived]
            return (same and row is not None and _seen(row) == _seen(standing.view)) or None

        try:
            await eventually("archive and row have what the case has", look, seconds, every=0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n" + "\n".join(map(str, found))) from None

    async def is_closed(self) -> bool:
        """Whether the archive and the worklist have it as closed."""
        row = await self.row()
        return row is not None and row.closed_at is not None

    async def has_ended(self) -> bool:
        """Whether Temporal has run it to its end."""
        status = await status_of(self.machine.client, self.order.practice, self.id)
        return status is WorkflowExecutionStatus.COMPLETED

    async def history(self) -> tuple[str, int]:
        """The run that is the case now, and how many events it has."""
        described = await for_practice(self.machine.client, self.order.practice).get_workflow_handle(self.id).describe()
        return described.run_id or "", described.history_length

    async def _standing(self) -> Standing:
        handle = for_practice(self.machine.client, self.order.practice).get_workflow_handle(self.id)
        standing: Standing = await handle.query("standing", result_type=Standing)
        return standing


def _seen(view: CaseView) -> tuple[object, ...]:
    """What the worklist shows of a case."""
    return (view.n, view.stage, view.turn, view.why, view.next, view.clocks, view.tasks)


def _is_finished(case: Case) -> bool:
    answered = [answer for track in case.tracks.values() for answer in track.attempt.answers]
    told = {notice.message for notice in case.patient_notices} == {"approved"}
    filed = len(case.chart) >= len(answered) > 0
    return case.is_ready and told and filed and case.responsibility is not None and not case.in_flight


def _hasty(text: str) -> str:
    """Rules as they are released, with the waiting times that these tests would have to sit through in seconds."""
    rules = yaml.safe_load(text)
    if rules["payer"] == HOUSE:
        rules["rests"] |= {urgency: [REST] * len(rules["rests"][urgency]) for urgency in Urgency}
    for channel in rules.get("channels", ()):
        if "search_after" in channel:
            channel["search_after"] = list(SEARCH_AFTER)
        if "rests" in channel:
            channel["rests"] = {urgency: [REST] * len(rests) for urgency, rests in channel["rests"].items()}
    return yaml.safe_dump(rules)


def main() -> int:
    """The worker of these tests."""
    return worker.main()


if __name__ == "__main__":
    sys.exit(main())
