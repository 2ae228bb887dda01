"""The intake: an order of the record becomes one case, whatever fails on the way, and none stays without one."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.intake import Intake, Sweep
from activities.sweep import Sweeps
from activities.watch import Watch
from domain.case import Case, replay
from domain.intake import order_received
from runtime.cases import CaseOver, CaseRefused, CaseUnanswered, open_case, status_of
from runtime.codec import data_converter, for_practice
from runtime.embedded import DYNAMIC_CONFIG, dynamic_config_arguments, temporal_program
from runtime.keys import KeyRing
from runtime.metrics import REGISTRY
from runtime.practices import Practice
from runtime.temporal import search_attribute_arguments
from store import alerts, cases, cursors, rounds
from store.database import Database
from tests.builders import order
from tests.watch_house import WatchHouse, until, watch_house


@pytest.fixture(scope="module")
async def env(keyring: KeyRing) -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal of this module's own, on the world's clock."""
    started = await WorkflowEnvironment.start_local(
        data_converter=data_converter(keyring),
        dev_server_existing_path=temporal_program(),
        dev_server_extra_args=[*dynamic_config_arguments(DYNAMIC_CONFIG), *search_attribute_arguments()],
        dev_server_log_level="error",
    )
    yield started
    await started.shutdown()
    await asyncio.sleep(0.5)


@pytest.fixture(scope="module")
async def house(
    env: WorkflowEnvironment,
    postgres_url: str,
    sandbox_url: str,
    keyring: KeyRing,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[WatchHouse]:
    async with watch_house(env.client, postgres_url, sandbox_url, keyring, tmp_path_factory.mktemp("sweep")) as made:
        yield made


async def known(house: WatchHouse, practice: Practice, number: str) -> Case:
    """The case of an order, when all that it knows is in the archive."""
    case_id = house.case_id(practice.id, number)

    async def in_step() -> Case | None:
        facts = tuple(await house.facts(practice.id, case_id))
        archived = await cases.facts(house.db, house.keyring, practice.id, case_id)
        return replay(case_id, facts) if facts == archived else None

    return await until(in_step)


async def told(house: WatchHouse, practice: Practice, kind: str) -> list[alerts.OpenAlert]:
    return [one for one in await alerts.open_alerts(house.db, practice.id) if one.kind == kind]


async def cursor(house: WatchHouse, practice: Practice) -> str | None:
    return await cursors.cursor_of(house.db, practice.id, "orders")


def sweeps(house: WatchHouse, *, db: Database | None = None, intake: Intake | None = None) -> Sweeps:
    outside = house.parts.outside
    return Sweeps(house.client, house.settings, house.keyring, db or house.db, outside, intake or Intake(outside))


async def sweep(made: Sweeps, practice: Practice, at: datetime | None = None) -> dict[str, int]:
    """One sweep as the worker makes it, without Temporal's retries around it."""
    return await ActivityEnvironment().run(made.sweep_orders, practice.id, at or datetime.now(UTC))


async def test_an_order_that_comes_twice_is_one_case(house: WatchHouse) -> None:
    practice = house.practice()
    await house.plant(practice, "ORD-1")

    first = await house.run("IntakeSweep", practice.id)
    again = await house.run("IntakeSweep", practice.id)

    assert (first["opened"], again["opened"], again["known"]) == (1, 0, 1)
    case = await known(house, practice, "ORD-1")
    assert [fact.kind for fact in case.facts].count("order_received") == 1
    assert case.facts[0].by == "system:nextgen"
    assert case.time_zone == practice.time_zone
    assert case.order.primary.payer == "meridian-ppo"
    described = await for_practice(house.client, practice.id).get_workflow_handle(case.id).describe()
    assert await described.static_summary() == f"Routine order of {practice.id}, payer meridian-ppo"
    assert described.raw_description.workflow_execution_info.priority.fairness_key == practice.id
    assert described.raw_description.workflow_execution_info.priority.priority_key == 3
    last = await rounds.last(house.db, rounds.SWEEP, practice.id)
    assert last is not None
    assert (last.looked_at, last.found) == (1, 0)


async def test_the_same_order_by_the_door_and_by_the_sweep_is_one_case(house: WatchHouse) -> None:
    practice = house.practice()
    await house.plant(practice, "ORD-1")
    read = await Intake(house.parts.outside).sweep_orders(practice.id, datetime(2026, 1, 1, tzinfo=UTC))
    opened = await house.take(practice, read.orders[0])
    assert not opened.repeated
    assert (await sweep(sweeps(house), practice))["known"] == 1
    assert (await house.take(practice, read.orders[0])).repeated


async def test_what_changed_in_the_record_reaches_its_case_once(house: WatchHouse) -> None:
    practice = house.practice()
    person = await house.plant(practice, "ORD-1")
    await sweep(sweeps(house), practice)
    before = await known(house, practice, "ORD-1")

    await house.plant(practice, "ORD-1", person, quantityQuantity={"value": 4})
    assert (await sweep(sweeps(house), practice))["changed"] == 1
    changed = await known(house, practice, "ORD-1")
    assert (before.order.lines[0].units, changed.order.lines[0].units) == (2, 4)
    assert (await sweep(sweeps(house), practice)) | {"known": 1} == await sweep(sweeps(house), practice)

    # And back: the order reads as at first, and that is news again.
    await house.plant(practice, "ORD-1", person)
    assert (await sweep(sweeps(house), practice))["changed"] == 1
    back = await known(house, practice, "ORD-1")
    assert back.order.lines[0].units == 2
    assert [fact.kind for fact in back.facts].count("order_changed") == 2


async def test_what_a_fhir_order_does_not_say_is_not_taken_away_by_it(house: WatchHouse) -> None:
    practice = house.practice()
    await house.plant(practice, "ORD-1")
    read = (await Intake(house.parts.outside).sweep_orders(practice.id, datetime(2026, 1, 1, tzinfo=UTC))).orders[0]
    visit = order(visit=datetime.now(UTC) + timedelta(days=30)).appointment
    silent = read.patient.model_copy(update={"may_be_messaged": False})
    await house.take(practice, read.model_copy(update={"appointment": visit, "patient": silent}))
    await known(house, practice, "ORD-1")
    counted = await sweep(sweeps(house), practice)
    assert (counted["changed"], counted["known"]) == (0, 1)


async def test_an_order_that_is_taken_back_cancels_its_case(house: WatchHouse) -> None:
    practice = house.practice()
    person = await house.plant(practice, "ORD-1")
    await house.plant(practice, "ORD-NEVER", person, status="revoked")
    await sweep(sweeps(house), practice)
    await known(house, practice, "ORD-1")
    await house.plant(practice, "ORD-1", person, status="revoked")

    assert (await sweep(sweeps(house), practice))["cancelled"] == 1

    async def cancelled() -> bool:
        archived = await cases.facts(house.db, house.keyring, practice.id, house.case_id(practice.id, "ORD-1"))
        return [fact.kind for fact in archived].count("order_cancelled") == 1

    assert await until(cancelled)
    assert (await sweep(sweeps(house), practice))["cancelled"] == 0
    assert await status_of(house.client, practice.id, house.case_id(practice.id, "ORD-NEVER")) is None


async def test_a_closed_case_is_not_opened_again(house: WatchHouse) -> None:
    practice = house.practice()
    person = await house.plant(practice, "ORD-1")
    await sweep(sweeps(house), practice)
    await house.plant(practice, "ORD-1", person, status="revoked")
    await sweep(sweeps(house), practice)
    case_id = house.case_id(practice.id, "ORD-1")

    async def closed() -> bool:
        row = await cases.case_row(house.db, practice.id, case_id)
        return row is not None and row.closed_at is not None

    await until(closed)
    # Temporal forgets it, as it does after its retention; the archive does not.
    run = (await for_practice(house.client, practice.id).get_workflow_handle(case_id).describe()).run_id
    await house.plant(practice, "ORD-1", person)
    assert (await sweep(sweeps(house), practice))["over"] == 1
    assert (await for_practice(house.client, practice.id).get_workflow_handle(case_id).describe()).run_id == run
    # Nor by who does not look in the archive first.
    read = await Intake(house.parts.outside).sweep_orders(practice.id, datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(CaseOver):
        await house.take(practice, read.orders[0])


async def test_news_of_a_case_that_temporal_lost_waits_until_the_watchman_brought_it_back(house: WatchHouse) -> None:
    practice = house.practice()
    person = await house.plant(practice, "ORD-1")
    await sweep(sweeps(house), practice)
    case = await known(house, practice, "ORD-1")
    held = await cursor(house, practice)
    await for_practice(house.client, practice.id).get_workflow_handle(case.id).terminate()
    await house.plant(practice, "ORD-1", person, quantityQuantity={"value": 4})
    await house.plant(practice, "ORD-2", person)

    with pytest.raises(ApplicationError) as error:
        await sweep(sweeps(house), practice)
    assert (error.value.type, error.value.non_retryable) == ("CaseLost", False)
    assert await cursor(house, practice) == held
    # It held nobody up.
    assert await known(house, practice, "ORD-2")

    async def brought_back() -> int:
        return (await house.run("Watchman"))["restored"]

    assert await until(brought_back) == 1
    assert (await sweep(sweeps(house), practice))["changed"] == 1
    assert (await known(house, practice, "ORD-1")).order.lines[0].units == 4


async def test_an_unreadable_order_is_told_with_what_it_lacks_until_it_is_complete(house: WatchHouse) -> None:
    practice = house.practice()
    person = await house.plant(practice, "ORD-1", reasonReference=[])
    counted = await sweep(sweeps(house), practice)
    assert (counted["opened"], counted["unreadable"]) == (0, 1)
    [alert] = await told(house, practice, "order_unreadable")
    assert "ORD-1" in alert.sentence
    assert "ServiceRequest.reasonCode" in alert.sentence
    assert "ordering provider" in alert.sentence
    assert alert.subject == house.case_id(practice.id, "ORD-1")
    await sweep(sweeps(house), practice)
    assert len(await told(house, practice, "order_unreadable")) == 1

    await house.plant(practice, "ORD-1", person)
    assert (await sweep(sweeps(house), practice))["opened"] == 1
    assert not await told(house, practice, "order_unreadable")


async def test_with_postgresql_away_the_sweep_waits_and_loses_nothing(house: WatchHouse) -> None:
    practice = house.practice()
    person = await house.plant(practice, "ORD-1")
    await sweep(sweeps(house), practice)
    held = await cursor(house, practice)
    await house.plant(practice, "ORD-2", person)

    away = Database("postgresql://postgres@127.0.0.1:1/vigil")
    with pytest.raises(ApplicationError) as error:
        await sweep(sweeps(house, db=away), practice)
    assert (error.value.type, error.value.non_retryable) == ("StoreAway", False)
    assert await cursor(house, practice) == held

    assert (await sweep(sweeps(house), practice))["opened"] == 1
    assert await known(house, practice, "ORD-2")


class Dying(Intake):
    """Brings one order a page, and dies before the second."""

    pages = 0

    async def sweep_orders(self, practice_id: str, cursor: datetime, *, now: datetime | None = None) -> Sweep:
        self.pages += 1
        if self.pages == 2:
            raise ZeroDivisionError("Quillfeather")
        found = await super().sweep_orders(practice_id, cursor, now=now)
        first = found.orders[:1]
        stamp = datetime.fromisoformat("2026-03-03T10:00:00+00:00")
        return found.model_copy(update={"orders": first, "cursor": stamp, "more": True})


async def test_a_crash_between_two_pages_goes_on_after_the_first(house: WatchHouse) -> None:
    practice = house.practice()
    stamps = {"ORD-1": "2026-03-03T10:00:00Z", "ORD-2": "2026-03-03T11:00:00Z"}
    person = None
    for number, stamp in stamps.items():
        person = await house.plant(practice, number, person, meta={"lastUpdated": stamp})
    at = datetime(2026, 3, 3, 12, tzinfo=UTC)

    with pytest.raises(ApplicationError) as error:
        await sweep(sweeps(house, intake=Dying(house.parts.outside)), practice, at)
    assert "Quillfeather" not in str(error.value)
    assert error.value.type == "ZeroDivisionError"
    assert await cursor(house, practice) == "2026-03-03T10:00:00+00:00"
    assert await rounds.last(house.db, rounds.SWEEP, practice.id) is None

    assert (await sweep(sweeps(house), practice, at)) | {"opened": 1, "known": 1} == {
        "opened": 1, "known": 1, "changed": 0, "cancelled": 0, "over": 0, "unreadable": 0,
    }  # fmt: skip
    assert await cursor(house, practice) == "2026-03-03T11:00:00+00:00"


async def test_the_cursor_never_moves_back_and_reads_the_last_minutes_again(house: WatchHouse) -> None:
    practice = house.practice()
    at = datetime(2026, 3, 3, 12, tzinfo=UTC)
    person = await house.plant(practice, "ORD-1", meta={"lastUpdated": "2026-03-03T11:00:00Z"})
    await sweep(sweeps(house), practice, at)
    # The record shows a change late, with a time before the cursor.
    await house.plant(practice, "ORD-2", person, meta={"lastUpdated": "2026-03-03T10:57:00Z"})
    assert (await sweep(sweeps(house), practice, at))["opened"] == 1
    assert await cursor(house, practice) == "2026-03-03T11:00:00+00:00"


async def test_a_record_that_brings_the_same_page_for_ever_is_an_error(house: WatchHouse) -> None:
    practice = house.practice()

    class Circling(Intake):
        async def sweep_orders(self, practice_id: str, cursor: datetime, *, now: datetime | None = None) -> Sweep:
            return Sweep(cursor=cursor, more=True)

    with pytest.raises(ApplicationError) as error:
        await sweep(sweeps(house, intake=Circling(house.parts.outside)), practice)
    assert error.value.type == "NoProgress"


async def test_a_record_that_is_away_is_tried_again_and_one_that_refuses_is_not(house: WatchHouse) -> None:
    practice = house.practice()
    fault = {"system": "nextgen", "route": "ServiceRequest", "fault": "500", "times": 1}
    answer = await house.control.post(f"/control/practices/{practice.id}/faults", json=fault)
    assert answer.is_success
    with pytest.raises(ApplicationError) as error:
        await sweep(sweeps(house), practice)
    assert (error.value.type, error.value.non_retryable) == ("Exhausted", False)

    del house.practices[practice.id]
    with pytest.raises(ApplicationError) as error:
        await sweep(sweeps(house), practice)
    assert (error.value.type, error.value.non_retryable) == ("Refused", True)


async def test_the_comparison_finds_an_order_that_the_sweep_had_missed(house: WatchHouse) -> None:
    practice = house.practice()
    old = (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    person = await house.plant(practice, "ORD-SEEN", meta={"lastUpdated": old})
    await sweep(sweeps(house), practice)
    await known(house, practice, "ORD-SEEN")
    await house.plant(practice, "ORD-MISSED", person, meta={"lastUpdated": old})
    await house.plant(practice, "ORD-BROKEN", person, meta={"lastUpdated": old}, reasonReference=[])
    await house.plant(practice, "ORD-DONE", person, meta={"lastUpdated": old}, status="completed")
    await house.plant(practice, "ORD-YOUNG", person)

    counted = await house.run("Reconciliation", practice.id)

    assert (counted["without_case"], counted["opened"], counted["unreadable"]) == (2, 1, 1)
    assert (await known(house, practice, "ORD-MISSED")).order.number == "ORD-MISSED"
    said = {alert.subject: alert.sentence for alert in await told(house, practice, "order_without_case")}
    assert said == {
        house.case_id(practice.id, "ORD-MISSED"): "Order ORD-MISSED had no case when orders and cases were compared. "
        "A case was opened then.",
        house.case_id(practice.id, "ORD-BROKEN"): "Order ORD-BROKEN had no case when orders and cases were compared. "
        "None could be opened.",
    }
    assert len(await told(house, practice, "order_unreadable")) == 1
    last = await rounds.last(house.db, rounds.RECONCILIATION, practice.id)
    assert last is not None
    assert (last.looked_at, last.found) == (3, 2)

    watch = Watch(house.client, house.settings, house.db, house.keyring, {practice.id: practice})
    await ActivityEnvironment().run(watch.watch, datetime.now(UTC))
    assert REGISTRY.get_sample_value("vigil_orders_without_case", {"practice": practice.id}) == 2
    # The next night all is well, but for what still cannot be read.
    assert (await house.run("Reconciliation", practice.id))["without_case"] == 1


async def test_opening_a_case_says_why_it_is_not_opened(house: WatchHouse) -> None:
    practice = house.practice()
    now = datetime.now(UTC)
    ordered = order(practice=practice.id, number="ORD-1", now=now, visit=now + timedelta(days=30), urgency="stat")
    standing = await house.take(practice, ordered)
    assert (standing.repeated, standing.view.case_id) == (False, house.case_id(practice.id, "ORD-1"))
    with pytest.raises(CaseRefused) as refused:
        await house.take(practice, ordered.model_copy(update={"diagnoses": ("M54.50",)}))
    assert refused.value.refusal.code == "order_differs"
    assert refused.value.refusal.fields == ("diagnoses",)

    # Nobody works: the case is kept, and saying it again joins it.
    idle = house.settings.model_copy(update={"task_queue": "nobody"})
    received = order_received(
        ordered.model_copy(update={"number": "ORD-2"}), time_zone=practice.time_zone, by="system:test", now=now
    )
    with pytest.raises(CaseUnanswered):
        await open_case(house.client, idle, house.keyring, received, patience=timedelta(seconds=0.5))
    assert await status_of(house.client, practice.id, house.case_id(practice.id, "ORD-2")) is not None
    waiting = asyncio.create_task(open_case(house.client, idle, house.keyring, received))
    await asyncio.sleep(0.2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
