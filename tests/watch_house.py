"""A house with a watchman: real Temporal on the world's clock, real PostgreSQL, the sandbox, and the worker's own code."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.worker import Worker

from activities import Parts
from activities.intake import Intake
from activities.sweep import Sweeps
from activities.watch import Watch
from domain.facts import AnyFact, Fact
from domain.intake import order_received
from domain.messages import Standing
from domain.order import Order
from runtime.cases import open_case
from runtime.codec import for_practice
from runtime.keys import KeyRing
from runtime.practices import Practice, load_practices
from runtime.settings import Settings
from store.database import Database
from store.migrate import migrate
from store.shelf import Shelf
from tests.builders import ALL_DOCUMENTS, order, policies
from tests.vendor_world import fhir_order, fhir_patient
from worker import serving
from workflows.sweep import IntakeSweep, Reconciliation
from workflows.watchman import Watchman

Found = TypeVar("Found")
ROOT = Path(__file__).resolve().parent.parent
WATCH_QUEUE = "watch"


@dataclass
class WatchHouse:
    """What a test sees of it."""

    client: Client
    settings: Settings
    keyring: KeyRing
    parts: Parts
    control: httpx.AsyncClient

    @property
    def db(self) -> Database:
        return self.parts.database

    @property
    def practices(self) -> dict[str, Practice]:
        return self.parts.outside.practices  # type: ignore[return-value]

    def practice(self) -> Practice:
        """A practice of the test's own, with its systems in the sandbox."""
        name = f"t{uuid.uuid4().hex[:10]}"
        example = load_practices(ROOT / "examples" / "practices.yaml", self.settings.resolve_url)["lakeside"]
        made = example.model_copy(
            update={
                "id": name,
                "ehr": example.ehr.model_copy(update={"client_id": name}),
                "messaging": example.messaging.model_copy(update={"client_id": name}),
                "check_in": example.check_in.model_copy(update={"key_id": name}),
                "eligibility": example.eligibility.model_copy(update={"key": f"{name}.eligibility"}),
            }
        )
        self.practices[name] = made
        systems = ("ehr", "messaging", "eligibility", *(one.payer for one in self.parts.shelf.policies))
        self.settings.secrets_by_name.update({f"{name}.{system}": SecretStr(name) for system in systems})
        self.settings.secrets_by_name[f"{name}.check_in"] = SecretStr("sandbox-secret")
        return made

    def case_id(self, practice: str, number: str) -> str:
        return self.keyring.case_id(practice, "nextgen", number)

    async def open(self, practice: Practice, **what: Any) -> Standing:
        """Open the case of an order for a portal payer: it soon waits for a person, and stays as it is."""
        now = datetime.now(UTC).replace(microsecond=0)
        given: dict[str, Any] = {"payer": "keystone-sf", "number": f"ORD-{uuid.uuid4().hex[:8]}", "now": now}
        visit = (now + timedelta(days=40)).replace(hour=16, minute=0, second=0)
        made = order(**{**given, "practice": practice.id, "visit": visit, "documents": ALL_DOCUMENTS, **what})
        return await self.take(practice, made)

    async def take(self, practice: Practice, made: Order) -> Standing:
        now = datetime.now(UTC)
        fact = order_received(made, time_zone=practice.time_zone, by="system:test", now=now)
        return await open_case(self.client, self.settings, self.keyring, fact)

    async def facts(self, practice: str, case_id: str) -> list[Fact]:
        """What the case itself knows."""
        handle = for_practice(self.client, practice).get_workflow_handle(case_id)
        known: list[Fact] = await handle.query("facts", result_type=list[AnyFact])
        return known

    async def sql(self, statement: str, *values: object) -> list[asyncpg.Record]:
        async with self.db.connection() as connection:
            return await connection.fetch(statement, *values)

    async def run(self, workflow: str, *args: object) -> dict[str, int]:
        """Run a schedule's workflow now."""
        name = f"{workflow.lower()}-{uuid.uuid4().hex[:8]}"
        counted: dict[str, int] = await self.client.execute_workflow(
            workflow, args=list(args), id=name, task_queue=WATCH_QUEUE, result_type=dict[str, int]
        )
        return counted

    # --- the record in the sandbox --------------------------------------------------------------------------------

    async def plant(self, practice: Practice, number: str, person: str | None = None, **changes: object) -> str:
        """An order in the practice's record; answers with the person's id."""
        patient = person or str(uuid.uuid4())
        resources = fhir_order(patient, number, **changes)
        resources += [] if person else [fhir_patient(patient)]
        answer = await self.control.post(f"/control/practices/{practice.id}/orders", json={"resources": resources})
        assert answer.is_success, answer.text
        return patient


async def until(check: Callable[[], Awaitable[Found | None]], seconds: float = 20) -> Found:
    """Ask again and again until the answer is true, and return it."""
    for _ in range(int(seconds / 0.05)):
        answer = await check()
        if answer:
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {check}")


@asynccontextmanager
async def watch_house(
    client: Client, database_url: str, sandbox_url: str, keyring: KeyRing, folder: Path
) -> AsyncIterator[WatchHouse]:
    """Serve cases, the watchman and the sweeps while in the block."""
    settings = Settings(
        home=folder / "home",
        keys_file=folder / "keys",
        database_url=SecretStr(database_url),
        sandbox_url=sandbox_url,
        sandbox_apart=False,
        drain_seconds=1,
        secrets_by_name={},
    )
    await migrate(database_url)
    async with Parts.open(settings, keyring, {}, client, Shelf(policies())) as parts:
        watch = Watch(client, settings, parts.database, keyring, parts.outside.practices)
        sweeps = Sweeps(client, settings, keyring, parts.database, parts.outside, Intake(parts.outside))
        watching = Worker(
            client,
            task_queue=WATCH_QUEUE,
            workflows=[Watchman, IntakeSweep, Reconciliation],
            activities=[watch.watch, sweeps.sweep_orders, sweeps.reconcile_orders],
            graceful_shutdown_timeout=timedelta(seconds=1),
        )
        async with (
            serving(client, settings, parts),
            watching,
            httpx.AsyncClient(base_url=sandbox_url, timeout=10) as control,
        ):
            yield WatchHouse(client, settings, keyring, parts, control)
