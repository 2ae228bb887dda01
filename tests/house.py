"""A house that runs: the worker's own code on the real Temporal server with time skipped, real PostgreSQL, the sandbox.

Each test takes a practice of its own and drives its cases in steps: nothing sleeps, and no test sees another's clock.
"""

import asyncio
import base64
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from pydantic import SecretStr
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.testing import WorkflowEnvironment

from activities import Parts
from activities.counterparts import Counterparts
from domain.case import Case, replay
from domain.facts import Fact
from domain.messages import NOTICE, REPORT, WORKFLOW, Opening, Report, Standing
from domain.order import Appointment, Order
from domain.policy import Policy
from runtime.cases import facts_of
from runtime.codec import for_practice
from runtime.keys import KeyRing
from runtime.practices import Practice, load_practices
from runtime.settings import Settings
from store.migrate import migrate
from store.policies import release
from store.shelf import Shelf
from tests.builders import MONDAY, of_kind, order, policies, received
from worker import serving

ROOT = Path(__file__).resolve().parent.parent
_numbers = itertools.count(1)
CHART = {"office_note": "11506-3", "imaging_report": "18748-4", "conservative_therapy": "11508-9"}
"""LOINC codes under which the chart has what payers want to see."""
CARRIERS = {"northbridge", "relay", "neutral"}
"""Who carries to payers in the sandbox, also where no released policy says so."""


def daytime_zone(now: datetime) -> str:
    """A time zone in which it is about ten in the morning, so that no test depends on when it runs."""
    offset = 10 - now.astimezone(UTC).hour
    return f"Etc/GMT{-offset:+d}" if offset else "Etc/GMT"


def example_practice(settings: Settings, name: str) -> Practice:
    """A practice of that id, whose systems are the sandbox's; the settings get its secrets."""
    example = load_practices(ROOT / "examples" / "practices.yaml", settings.resolve_url)["lakeside"]
    systems = ("ehr", "messaging", "eligibility", *carriers())
    settings.secrets_by_name.update({f"{name}.{system}": SecretStr(name) for system in systems})
    settings.secrets_by_name[f"{name}.check_in"] = SecretStr("sandbox-secret")
    return example.model_copy(
        update={
            "id": name,
            "ehr": example.ehr.model_copy(update={"client_id": name}),
            "messaging": example.messaging.model_copy(update={"client_id": name}),
            "check_in": example.check_in.model_copy(update={"key_id": name}),
            "eligibility": example.eligibility.model_copy(update={"key": f"{name}.eligibility"}),
        }
    )


def carriers() -> set[str]:
    """By what names the secrets of the ways to payers are kept: the payers' own, and of those who carry for them."""
    held = of_kind(policies(), Policy)
    vias = {channel.via for policy in held for channel in policy.channels if channel.via}
    return {policy.payer for policy in held} | vias | CARRIERS


@dataclass
class Office:
    """One practice in the simulated world."""

    practice: Practice
    control: httpx.AsyncClient

    async def plant(self, ordered: Order, documents: tuple[str, ...] = tuple(CHART)) -> Order:
        """Put the order's patient, visit and chart into the practice's record; the order comes back with their ids."""
        person = str(uuid.uuid4())
        visit = ordered.appointment
        zone = self.practice.time_zone
        planting: dict[str, Any] = {"resources": [_patient(person, ordered)]}
        planting["resources"] += [_file(person, kind, ordered.ordered_at) for kind in documents]
        appointment_id = None
        if visit:
            local = visit.starts_at.astimezone(ZoneInfo(zone))
            planting["appointments"] = [
                {"personId": person, "appointmentDate": local.date().isoformat(), "beginTime": f"{local:%H%M}"}
            ]
        planted = await self.post("orders", planting)
        if visit:
            appointment_id = planted["appointments"][0]
        return ordered.model_copy(
            update={
                "patient": ordered.patient.model_copy(update={"id": person}),
                "appointment": visit.model_copy(update={"id": appointment_id}) if visit else None,
            }
        )

    async def order(self, scenario: str = "100", *, documents: tuple[str, ...] = tuple(CHART), **what: Any) -> Order:
        """A planted order of this practice, for a visit in four weeks."""
        now = datetime.now(UTC).replace(microsecond=0)
        number = f"ORD-{uuid.uuid4().hex[:8]}"
        visit = (now + timedelta(days=28)).replace(minute=0, second=0)
        made = order(
            scenario,
            **{"practice": self.practice.id, "number": number, "visit": visit, "documents": (), "now": now, **what},
        )
        return await self.plant(made, documents)

    async def post(self, path: str, body: object) -> Any:
        answer = await self.control.post(f"/control/practices/{self.practice.id}/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def fault(self, system: str, route: str, fault: str, times: int = 1, **more: object) -> None:
        await self.post("faults", {"system": system, "route": route, "fault": fault, "times": times, **more})

    async def effects(self) -> Any:
        """What reached the outside, by effect."""
        answer = await self.control.get(f"/control/practices/{self.practice.id}/received")
        return answer.json()["effects"]

    async def received(self, system: str) -> list[dict[str, Any]]:
        """Every request that reached a system, in order."""
        answer = await self.control.get(f"/control/practices/{self.practice.id}/received", params={"system": system})
        return list(answer.json()["items"])

    async def requests(self) -> list[dict[str, Any]]:
        """What the payers hold, with what they say of it now."""
        answer = await self.control.get(f"/control/practices/{self.practice.id}/requests")
        return list(answer.json()["items"])

    async def switch(self, **switches: object) -> None:
        """Turn the sandbox's lasting switches."""
        path = f"/control/practices/{self.practice.id}/settings"
        (await self.control.patch(path, json=switches)).raise_for_status()


class Desk(Office):
    """One practice of the house, as a test sees it."""

    def __init__(self, house: "House", practice: Practice, client: Client, control: httpx.AsyncClient) -> None:
        super().__init__(practice, control)
        self.house, self.client = house, client

    async def open(self, ordered: Order, *, wait: bool = True) -> "Live":
        """Open the order's case, as the door does, without skipping time by itself; wait until nothing is in flight."""
        fact = received(ordered, ordered.ordered_at).model_copy(update={"time_zone": self.practice.time_zone})
        case_id = self.house.keyring.case_id(ordered.practice, ordered.source, ordered.number)
        with self.house.env.with_time_skipping_disabled():
            start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
                WORKFLOW,
                Opening(case_id=case_id, facts=(fact,)),
                id=case_id,
                task_queue=self.house.settings.task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
            await self.client.execute_update_with_start_workflow(
                REPORT, Report(facts=(fact,)), start_workflow_operation=start, result_type=Standing
            )
            handle = await start.workflow_handle()
        live = Live(self, handle)
        if wait:
            await live.quiet()
        return live

    async def keep(self, visit: Appointment) -> None:
        """The patient came: the schedule says so."""
        nextgen = Counterparts(self.house.parts.outside).nextgen(self.practice)
        path = f"appointments/{visit.id}/kept"
        answer = await nextgen._session.call("PUT", path, "appointments.kept", body={})
        assert answer.is_success


@dataclass
class Live:
    """A case that runs."""

    desk: Desk
    handle: WorkflowHandle[Any, Any]

    @property
    def id(self) -> str:
        return self.handle.id

    async def facts(self) -> list[Fact]:
        return list(await facts_of(self.desk.client, self.desk.practice.id, self.id) or ())

    async def case(self) -> Case:
        return replay(self.id, await self.facts())

    async def kinds(self) -> list[str]:
        return [fact.kind for fact in await self.facts()]

    async def standing(self) -> Standing:
        standing: Standing = await self.handle.query("standing", result_type=Standing)
        return standing

    async def report(self, *facts: Fact) -> Standing:
        standing: Standing = await self.handle.execute_update(REPORT, Report(facts=facts), result_type=Standing)
        return standing

    async def notice(self, *facts: Fact) -> None:
        await self.handle.signal(NOTICE, Report(facts=facts))
        await self.quiet()

    async def now(self) -> datetime:
        return await self.desk.house.env.get_current_time(self.handle)

    async def forward(self, *, to: datetime | None = None, **span: float) -> Case:
        """Let time pass for the case, and for the outside as far as it is asked; then wait until nothing is in flight."""
        return await self._pass(to - await self.now() if to else timedelta(**span))

    async def until(self, what: str, *, limit: int = 60, **step: float) -> Case:
        """Step through time until a fact of a kind is there."""
        for _ in range(limit):
            if what in await self.kinds():
                return await self.case()
            await self._pass(timedelta(**(step or {"hours": 6})))
        raise AssertionError(f"no {what} in {limit} steps: {await self.kinds()}")

    async def _pass(self, span: timedelta) -> Case:
        await self.desk.house.env.fast_forward(self.handle, span)
        return await self.quiet()

    async def quiet(self, seconds: float = 60) -> Case:
        """Wait, in the world's time, until the case has nothing in flight and all is published."""
        async with asyncio.timeout(seconds):
            while True:
                described = await self.handle.describe()
                pending = described.raw_description.pending_activities
                task = described.raw_description.HasField("pending_workflow_task")
                if not pending and not task:
                    return await self.case()
                await asyncio.sleep(0.03)

    async def history_length(self) -> int:
        return (await self.handle.describe()).history_length


class House:
    """What all tests of a session share."""

    def __init__(self, env: WorkflowEnvironment, settings: Settings, keyring: KeyRing, parts: Parts) -> None:
        self.env, self.settings, self.keyring, self.parts = env, settings, keyring, parts

    @asynccontextmanager
    async def desk(self, **changes: Any) -> AsyncIterator[Desk]:
        """A new practice, in whose place it is morning."""
        name = f"t{next(_numbers)}-{uuid.uuid4().hex[:8]}"
        example = example_practice(self.settings, name)
        practice = example.model_copy(update={"time_zone": daytime_zone(datetime.now(UTC)), **changes})
        self.parts.outside.practices[name] = practice  # type: ignore[index]
        async with httpx.AsyncClient(base_url=self.settings.sandbox_url, timeout=10) as control:
            yield Desk(self, practice, for_practice(self.env.client, name), control)
        await asyncio.sleep(0)


@asynccontextmanager
async def running_house(
    env: WorkflowEnvironment, database_url: str, sandbox_url: str, keyring: KeyRing, folder: Path
) -> AsyncIterator[House]:
    """Serve cases with the worker's own code while in the block."""
    settings = Settings(
        home=folder / "home",
        keys_file=folder / "keys",
        database_url=SecretStr(database_url),
        sandbox_url=sandbox_url,
        sandbox_apart=False,
        send_case_time=True,
        drain_seconds=2,
        secrets_by_name={},
    )
    await migrate(database_url)
    async with (
        Parts.open(settings, keyring, {}, env.client, Shelf(policies())) as parts,
        serving(env.client, settings, parts),
    ):
        for path in sorted(settings.policies_dir.glob("*.yaml")):
            await release(parts.database, path.read_text(), by="person:maud", at=datetime.now(UTC))
        yield House(env, settings, keyring, parts)


def _patient(person: str, ordered: Order) -> dict[str, Any]:
    patient = ordered.patient
    return {
        "resourceType": "Patient",
        "id": person,
        "name": [{"use": "official", "family": patient.family_name, "given": [patient.given_name]}],
        "birthDate": patient.birth_date.isoformat(),
        "gender": patient.sex.value,
        "telecom": [{"system": "phone", "value": patient.phone, "use": "mobile"}],
    }


def _file(person: str, kind: str, now: datetime) -> dict[str, Any]:
    dated = (now - timedelta(days=7)).date().isoformat()
    content = base64.b64encode(f"Synthetic {kind} of {person}".encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": f"doc-{kind}-{person[:8]}",
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": CHART[kind]}]},
        "subject": {"reference": f"Patient/{person}"},
        "date": f"{dated}T12:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": content}}],
    }


__all__ = ["MONDAY", "Desk", "House", "Live", "running_house"]
