"""Story F: whatever is killed, stopped or restored: nothing lost, nothing sent twice, the worklist right by itself."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest
from temporalio.client import ScheduleHandle

from domain.facts import OrderCancelled
from runtime.schedules import WATCHMAN
from store.tokens import Role
from tests.crash import Machine, Office, Watched, eventually

PRACTICES = ("taken", "unsent", "late", "dark", "again", "older", "fresh", "young", "doors", "all")
DECIDED: dict[str, Any] = {
    "result": "decided",
    "reference": "CALL-1",
    "lines": [
        {
            "line": 1,
            "decision": "approved",
            "number": "K4418830-01",
            "valid_from": "2026-01-01",
            "valid_to": "2099-12-31",
        }
    ],
}


@pytest.fixture(scope="module")
async def machine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("machine"), PRACTICES)
    try:
        await machine.start()
        yield machine
    finally:
        await machine.stop()


async def test_a_submission_whose_worker_is_killed_is_found_or_made_once(machine: Machine) -> None:
    taken, unsent, late = (machine.office(name) for name in ("taken", "unsent", "late"))
    await taken.set(slow_wall_seconds=5)
    await late.fault("payers", r"Claim/\$submit", "slow", seconds=5)
    await unsent.fault("payers", r"Claim/\$inquire", "slow", seconds=5)
    answering = await taken.open("701")
    arriving = await late.open("100")
    searching = await unsent.open("100")

    async def under_way() -> bool | None:
        begun = [
            any(b.action.startswith("submit/") for b in (await one.case()).in_flight) for one in (arriving, searching)
        ]
        return (await taken.held() == 1 and all(begun)) or None

    await eventually("one request is taken, one on its way, one being searched for", under_way)
    await asyncio.sleep(0.5)
    assert (await late.held(), await unsent.held()) == (0, 0)
    machine.kill_workers()
    await machine.start_workers(1)

    await asyncio.gather(answering.informed(), arriving.informed())
    await searching.until(
        "a person has to find out",
        lambda case: any(task.opened.task_kind == "find_request" for task in case.open_tasks),
    )
    assert await unsent.held() == 0
    await searching.hand_in("find_request", "ada", result="not_there", reference="CALL-7")
    await searching.informed()
    await asyncio.gather(
        taken.require_everything_once(answering),
        late.require_everything_once(arriving),
        unsent.require_everything_once(searching),
    )


async def test_without_postgresql_cases_go_on_and_the_archive_catches_up(machine: Machine) -> None:
    office = machine.office("dark")
    waiting = await office.open(payer="keystone-sf")
    await waiting.until("a person has to ask", lambda case: bool(case.open_tasks))
    await waiting.in_step()

    await machine.postgres.stop()
    opened = await office.open("100")
    await opened.informed()
    await waiting.hand_in("submit_request", "ada", **DECIDED)
    await waiting.informed()
    await waiting.note("said in the dark")
    _, before = await waiting.history()
    await asyncio.sleep(2)
    _, after = await waiting.history()
    assert after == before  # waiting for PostgreSQL costs nothing

    await machine.postgres.start()
    await asyncio.gather(opened.in_step(), waiting.in_step())
    row = await waiting.row()
    assert row is not None
    assert (row.ready, row.tasks) == (True, ())
    await office.require_everything_once(opened, waiting)


async def test_temporal_killed_and_started_on_its_file_goes_on(machine: Machine) -> None:
    office = machine.office("again")
    lost = await office.open("700")  # its answer is lost: a timer runs until the search
    done = await office.open("100")
    await done.informed()
    await lost.until(
        "a search is to come", lambda case: any(t.ended and t.ended.failure for ts in case.actions.values() for t in ts)
    )
    runs = [(await one.history())[0] for one in (lost, done)]

    await machine.stop_temporal(kill=True)
    await asyncio.sleep(3)
    await machine.start_temporal()

    await lost.informed()
    await done.note("after the restart")
    assert [(await one.history())[0] for one in (lost, done)] == runs
    await asyncio.gather(lost.in_step(), done.in_step())
    await office.require_everything_once(lost, done)


@pytest.fixture
async def only_asked(machine: Machine) -> AsyncIterator[None]:
    """The watchman makes its rounds when a test asks for one, and not whenever five minutes are over."""

    def handle() -> ScheduleHandle:
        return machine.client.get_schedule_handle(WATCHMAN)

    async def paused() -> bool | None:
        return (await handle().describe()).schedule.state.paused or None

    await handle().pause()
    await eventually("the watchman is paused", paused)
    yield
    await handle().unpause()


@pytest.mark.usefixtures("only_asked")
async def test_temporal_from_an_older_copy_learns_what_it_lost_and_sends_nothing_twice(machine: Machine) -> None:
    older, fresh = machine.office("older"), machine.office("fresh")
    await older.set(slow_wall_seconds=4)
    await older.fault("stedi", "POST", "slow", seconds=2)
    cancelled = await older.open("100")
    portal, quiet, midway = await older.open(payer="keystone-sf"), await older.open("100"), await older.open("701")
    await quiet.informed()
    await portal.until("a person has to ask", lambda case: bool(case.open_tasks))

    async def held(office: Office, number: int) -> None:
        async def look() -> bool | None:
            return await office.held() == number or None

        await eventually(f"the payer has {number} requests", look)

    await machine.watch()
    await held(older, 3)
    copy = await machine.copy_temporal()

    # The hour that Temporal is going to lose.
    await asyncio.gather(midway.informed(), cancelled.informed())
    await portal.hand_in("submit_request", "ada", **DECIDED)
    await portal.informed()
    await quiet.note("said in the lost hour")
    gone = OrderCancelled(occurred_at=datetime.now(UTC), by="person:ada", source_id="cancel", reason="It got better.")
    await cancelled.report(gone)
    opened = await fresh.open("100")
    await opened.informed()
    await fresh.set(slow_wall_seconds=4)
    flying = await fresh.open("701")
    await held(fresh, 2)
    await eventually("the cancelled case is closed", cancelled.is_closed)
    everything = (quiet, portal, midway, opened, flying, cancelled)
    await asyncio.gather(*(one.in_step() for one in (quiet, portal, midway, opened)))
    said = {one.id: {fact.source_id for fact in await one.archived()} for one in everything}
    await machine.watch()

    await machine.restore_temporal(copy)
    assert not await opened.known()
    await machine.watch()
    await asyncio.gather(*(one.informed() for one in everything if one is not cancelled))
    await asyncio.gather(*(one.in_step() for one in everything if one is not cancelled))
    await eventually("the cancelled case is closed again", cancelled.has_ended)
    for one in everything:
        assert said[one.id] <= {fact.source_id for fact in await one.known()}
        row = await one.row()
        assert row is not None
        assert (row.ready, row.tasks) == (one is not cancelled, ())
    await older.require_everything_once(quiet, midway, portal, cancelled, withdrawn=1)
    await fresh.require_everything_once(opened, flying)


@pytest.mark.usefixtures("only_asked")
async def test_a_copy_that_remembers_the_last_round_is_noticed_by_what_it_lacks(machine: Machine) -> None:
    portal = await machine.office("young").open(payer="keystone-sf")
    await portal.until("a person has to ask", lambda case: bool(case.open_tasks))
    await machine.watch()
    copy = await machine.copy_temporal()
    await portal.hand_in("submit_request", "ada", **DECIDED)
    await portal.informed()
    await portal.in_step()

    await machine.restore_temporal(copy)
    assert not any(fact.kind == "task_completed" for fact in await portal.known())
    await machine.watch()
    await portal.in_step()
    assert any(fact.kind == "patient_notified" for fact in await portal.known())
    await machine.office("young").require_everything_once(portal)


async def test_the_doors_killed_while_orders_come_in_open_each_case_once(machine: Machine) -> None:
    office = machine.office("doors")
    await machine.start_api()
    headers = {"Authorization": f"Bearer {await machine.token('doors', Role.INTAKE)}"}
    planted = [await office.plant() for _ in range(4)]

    async def send(case: Watched) -> httpx.Response | None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{machine.settings.api_port}", timeout=30) as http:
            key = {"Idempotency-Key": case.order.number}
            answer = await http.post("/v1/orders", json=case.order.model_dump(mode="json"), headers=headers | key)
            return answer if answer.is_success else None

    first = asyncio.gather(*(send(case) for case in planted), return_exceptions=True)
    await asyncio.sleep(0.1)
    machine.api.end()
    assert any(isinstance(answer, httpx.TransportError) for answer in await first)
    await machine.start_api()

    for case in planted:
        answer = await eventually("the order is taken", partial(send, case))
        assert answer.status_code in {200, 202}
        assert answer.json()["case_id"] == case.id
    await asyncio.gather(*(case.informed() for case in planted))
    await office.require_everything_once(*planted)


async def test_everything_killed_at_once_starts_again_and_goes_on(machine: Machine) -> None:
    office = machine.office("all")
    await office.set(slow_wall_seconds=3)
    opened = [await office.open(scenario) for scenario in ("100", "701", "700", "110", "100")]

    async def held() -> bool | None:
        return await office.held() == len(opened) or None

    await eventually("the payer has every request", held)
    await machine.power_cut()
    await machine.power_on()
    await asyncio.gather(*(one.informed() for one in opened))
    await asyncio.gather(*(one.in_step() for one in opened))
    await office.require_everything_once(*opened)
