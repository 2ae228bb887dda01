"""The watchman: what stands still is woken, what is lost is brought back, and operators are told once."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleDescription,
    ScheduleOverlapPolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.watch import Watch
from domain.facts import ActionBegun, ActionEnded, Fact, NoteAdded
from domain.messages import WORKFLOW, Opening, Standing
from runtime.cases import status_of, tell_case
from runtime.codec import data_converter, for_practice
from runtime.embedded import DYNAMIC_CONFIG, dynamic_config_arguments, temporal_program, temporal_server
from runtime.embedded_postgres import PostgresServer
from runtime.keys import KeyRing
from runtime.metrics import REGISTRY
from runtime.processes import free_port
from runtime.schedules import RECONCILIATION, SWEEP, WATCHMAN, ensure_schedules
from runtime.settings import Settings
from runtime.temporal import connect, search_attribute_arguments
from store import alerts, cases
from store.alerts import Alert
from store.database import Database
from tests.watch_house import WATCH_QUEUE, WatchHouse, until, watch_house

REPORTED_AT_ONCE = "system.numConsecutiveWorkflowTaskProblemsToTriggerSearchAttribute=1"
"""The server reports a failing workflow task after several, each with a longer pause; the test does not wait for them."""
NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)


@pytest.fixture(scope="module")
async def env(keyring: KeyRing) -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal of this module's own, on the world's clock: a watchman looks at all that a server runs."""
    started = await WorkflowEnvironment.start_local(
        data_converter=data_converter(keyring),
        dev_server_existing_path=temporal_program(),
        dev_server_extra_args=[
            *dynamic_config_arguments((*DYNAMIC_CONFIG, REPORTED_AT_ONCE)),
            *search_attribute_arguments(),
        ],
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
    async with watch_house(env.client, postgres_url, sandbox_url, keyring, tmp_path_factory.mktemp("watch")) as made:
        yield made


async def at_rest(house: WatchHouse, standing: Standing) -> list[Fact]:
    """Wait until a portal case waits for a person and all that it knows is in the archive; what it knows."""
    practice, case_id = standing.view.practice, standing.view.case_id

    async def resting() -> list[Fact]:
        facts = await house.facts(practice, case_id)
        archived = await cases.facts(house.db, house.keyring, practice, case_id)
        begun, ended = (
            {fact.action for fact in facts if isinstance(fact, kind)} for kind in (ActionBegun, ActionEnded)
        )
        described = (await house.client.get_workflow_handle(case_id).describe()).raw_description
        busy = described.pending_activities or described.HasField("pending_workflow_task")
        return facts if begun == ended and tuple(facts) == archived and _waits(facts) and not busy else []

    return await until(resting)


def _waits(facts: list[Fact]) -> bool:
    return "task_opened" in {fact.kind for fact in facts}


async def lose(client: Client, case_id: str) -> None:
    """Let Temporal forget a case, as a restore from an older copy does."""
    request = DeleteWorkflowExecutionRequest(
        namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=case_id)
    )
    await client.workflow_service.delete_workflow_execution(request)


async def until_unlisted(client: Client, case_id: str) -> None:
    async def unlisted() -> bool:
        return not [one.id async for one in client.list_workflows(f'WorkflowId = "{case_id}"')]

    await until(unlisted)


async def until_listed(client: Client, query: str) -> None:
    async def listed() -> list[str]:
        return [one.id async for one in client.list_workflows(query)]

    await until(listed)


async def until_awake(house: WatchHouse, ids: list[str]) -> None:
    async def awake() -> bool:
        return not await house.sql("SELECT FROM cases WHERE case_id = ANY($1::text[]) AND wake_at < now()", ids)

    await until(awake)


async def told(house: WatchHouse, kind: str) -> dict[str | None, alerts.OpenAlert]:
    return {one.subject: one for one in await alerts.open_alerts(house.db) if one.kind == kind}


def metric(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_a_case_that_temporal_lost_goes_on_from_the_archives_facts(house: WatchHouse) -> None:
    practice = house.practice()
    opened = await house.open(practice)
    known = await at_rest(house, opened)
    case_id = opened.view.case_id
    await lose(house.client, case_id)
    await until_unlisted(house.client, case_id)
    assert await status_of(house.client, practice.id, case_id) is None

    counted = await house.run("Watchman")

    assert counted["restored"] == 1
    again = await at_rest(house, opened)
    assert again[: len(known)] == known
    # Nothing is begun a second time: the case knows what it had done.
    begun = [fact.source_id for fact in again if fact.kind == "action_begun"]
    assert len(begun) == len(set(begun)) == len([fact for fact in known if fact.kind == "action_begun"])
    alert = (await told(house, "restored"))[case_id]
    assert alert.practice == practice.id
    assert alert.page == "docs/runbook.md#restored"

    # It is told once, and stays told until somebody has seen it.
    assert (await house.run("Watchman"))["restored"] == 0
    assert case_id in await told(house, "restored")
    assert await alerts.acknowledge(house.db, alert.key, "person:op", datetime.now(UTC), practice=practice.id)
    assert case_id not in await told(house, "restored")


async def test_a_case_that_somebody_ended_knows_more_than_the_archive(house: WatchHouse) -> None:
    practice = house.practice()
    opened = await house.open(practice)
    known = await at_rest(house, opened)
    case_id = opened.view.case_id
    # As if PostgreSQL had been restored from a copy: the row is older, the last facts are gone.
    await house.sql("ALTER TABLE facts DISABLE TRIGGER facts_append_only")
    await house.sql("DELETE FROM fact_places WHERE case_id = $1 AND n > 2", case_id)
    await house.sql(
        "DELETE FROM facts f WHERE case_id = $1 AND NOT EXISTS "
        "(SELECT FROM fact_places p WHERE p.case_id = f.case_id AND p.source = f.source)",
        case_id,
    )
    await house.sql("ALTER TABLE facts ENABLE TRIGGER facts_append_only")
    await house.sql("UPDATE cases SET n = 2 WHERE case_id = $1", case_id)
    await for_practice(house.client, practice.id).get_workflow_handle(case_id).terminate("by mistake")
    await until_listed(house.client, f'WorkflowId = "{case_id}" AND ExecutionStatus = "Terminated"')

    assert (await house.run("Watchman"))["restored"] == 1

    again = await at_rest(house, opened)
    assert again[: len(known)] == known
    archived = await cases.facts(house.db, house.keyring, practice.id, case_id)
    assert archived == tuple(again)


async def test_a_lost_case_that_cannot_be_read_is_told_and_stops_nobody(house: WatchHouse) -> None:
    practice = house.practice()
    broken, whole = await house.open(practice), await house.open(practice)
    for standing in (broken, whole):
        await at_rest(house, standing)
        await lose(house.client, standing.view.case_id)
        await until_unlisted(house.client, standing.view.case_id)
    await house.sql("ALTER TABLE facts DISABLE TRIGGER facts_append_only")
    await house.sql("UPDATE facts SET sealed = 'VS1' WHERE case_id = $1", broken.view.case_id)
    await house.sql("ALTER TABLE facts ENABLE TRIGGER facts_append_only")

    assert (await house.run("Watchman"))["restored"] == 1

    assert await status_of(house.client, practice.id, whole.view.case_id) is not None
    assert "SealBroken" in (await told(house, "unrestorable"))[broken.view.case_id].sentence
    await house.sql("UPDATE cases SET closed_at = now() WHERE case_id = $1", broken.view.case_id)
    await house.run("Watchman")
    assert broken.view.case_id not in await told(house, "unrestorable")


async def test_a_case_that_overslept_is_woken_and_told_only_when_that_does_not_help(house: WatchHouse) -> None:
    practice = house.practice()
    sleeping, dead = await house.open(practice), await house.open(practice)
    for standing in (sleeping, dead):
        await at_rest(house, standing)
    ids = [standing.view.case_id for standing in (sleeping, dead)]
    await house.sql("UPDATE cases SET wake_at = now() - interval '7 minutes' WHERE case_id = ANY($1::text[])", ids)

    counted = await house.run("Watchman")

    assert counted["overdue"] == counted["woken"] == 2
    assert metric("vigil_cases_overdue") == 2
    assert not await told(house, "overdue")
    await until_awake(house, ids)
    # One of them sleeps on, as far as its row says, and five minutes go by.
    await house.sql("UPDATE cases SET wake_at = now() - interval '12 minutes' WHERE case_id = $1", ids[1])
    await house.sql("UPDATE alerts SET opened_at = opened_at - interval '5 minutes' WHERE kind = 'overdue'")
    await house.run("Watchman")
    assert set(await told(house, "overdue")) == {ids[1]}
    await until_awake(house, ids)
    await house.run("Watchman")
    assert not await told(house, "overdue")
    assert metric("vigil_cases_overdue") == 0


@workflow.defn(name=WORKFLOW, sandboxed=False)
class Broken:
    """An interpreter with a mistake in it."""

    @workflow.run
    async def run(self, opening: Opening) -> int:
        raise ZeroDivisionError(opening.case_id)


async def test_a_workflow_whose_tasks_fail_is_told_until_it_goes_on(house: WatchHouse) -> None:
    practice = house.practice()
    case_id = house.case_id(practice.id, "ORD-BROKEN")
    fact = (await at_rest(house, await house.open(practice)))[0]
    client = for_practice(house.client, practice.id)
    async with Worker(client, task_queue="broken", workflows=[Broken]):
        handle = await client.start_workflow(
            WORKFLOW, Opening(case_id=case_id, facts=(fact,)), id=case_id, task_queue="broken"
        )
        await until_listed(
            client, f'WorkflowId = "{case_id}" AND TemporalReportedProblems IN ("category=WorkflowTaskFailed")'
        )
    counted = await house.run("Watchman")
    assert counted["alerts"] >= 1
    assert WORKFLOW in (await told(house, "stuck"))[case_id].sentence
    assert metric("vigil_alerts", kind="stuck") == 1

    await handle.terminate()
    await until_listed(client, f'WorkflowId = "{case_id}" AND ExecutionStatus = "Terminated"')
    await house.run("Watchman")
    assert not await told(house, "stuck")
    assert metric("vigil_cases_stuck") == 0


async def test_open_cases_are_counted_by_practice_and_turn(house: WatchHouse) -> None:
    practice = house.practice()
    opened = await house.open(practice)
    await at_rest(house, opened)
    await until_listed(house.client, f'VigilPractice = "{practice.id}" AND VigilTurn = "staff"')
    counted = await house.run("Watchman")
    assert counted["database_up"] == 1
    assert metric("vigil_cases_open", practice=practice.id, turn="staff") == 1
    assert metric("vigil_database_up") == 1
    seen = metric("vigil_watchman_last_run_timestamp_seconds")
    assert seen == pytest.approx(datetime.now(UTC).timestamp(), abs=60)


async def test_facts_that_do_not_reach_the_archive_are_a_lag(house: WatchHouse) -> None:
    practice = house.practice()
    opened = await house.open(practice)
    await at_rest(house, opened)
    # The row of a case of which PostgreSQL lost everything but the first fact, 20 minutes ago.
    await house.sql("UPDATE cases SET n = 1, stage = 'coverage' WHERE case_id = $1", opened.view.case_id)
    watch = Watch(house.client, house.settings, house.db, house.keyring, {})
    found = await _round_of(house, watch, datetime.now(UTC) + timedelta(minutes=20))
    assert found["database_up"] == 1
    assert metric("vigil_archive_lag_seconds") == pytest.approx(1200, abs=60)
    assert list(await told(house, "archive_lag")) == [None]
    # It was woken, handed over, and the row is right again.
    await until(lambda: house.sql("SELECT 1 FROM cases WHERE case_id = $1 AND n > 1", opened.view.case_id))
    await house.run("Watchman")


async def test_with_postgresql_away_the_round_still_looks_at_temporal(
    house: WatchHouse, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Database("postgresql://postgres@127.0.0.1:1/vigil")
    watch = Watch(house.client, house.settings, away, house.keyring, house.practices)
    now = datetime.now(UTC)
    counted = await _round_of(house, watch, now)
    assert counted["database_up"] == 0
    assert counted["running"] >= 1
    assert metric("vigil_database_up") == 0
    assert metric("vigil_alerts", kind="database_away") == 1
    assert "database_away" in capsys.readouterr().out
    await _round_of(house, watch, now + timedelta(minutes=20))
    assert metric("vigil_archive_lag_seconds") == pytest.approx(1200)
    await house.run("Watchman")
    assert metric("vigil_database_up") == 1


async def test_a_sweep_that_never_ends_is_told(house: WatchHouse) -> None:
    practice = house.practice()
    await house.run("Watchman")
    assert not [one for one in await alerts.open_alerts(house.db, practice.id) if one.practice == practice.id]
    await house.sql("UPDATE alerts SET opened_at = opened_at - interval '15 minutes' WHERE practice = $1", practice.id)
    await house.run("Watchman")
    mine = [one for one in await alerts.open_alerts(house.db, practice.id) if one.practice == practice.id]
    assert [(one.kind, one.subject) for one in mine] == [("round_missing", "sweep")]


async def _round_of(house: WatchHouse, watch: Watch, at: datetime) -> dict[str, int]:
    """A round by a watchman of the test's own, at a moment of the test's choice."""
    queue = f"watch-{at.timestamp()}"
    async with Worker(house.client, task_queue=queue, workflows=[Choosing], activities=[watch.watch]):
        return await house.client.execute_workflow(Choosing.run, at, id=queue, task_queue=queue)


@workflow.defn(sandboxed=False)
class Choosing:
    """The watchman at a given moment."""

    @workflow.run
    async def run(self, at: datetime) -> dict[str, int]:
        counted: dict[str, int] = await workflow.execute_activity(
            "watch", at, result_type=dict[str, int], start_to_close_timeout=timedelta(seconds=30)
        )
        return counted


# --- alerts -----------------------------------------------------------------------------------------------------------


def an_alert(key: str = "overdue/1", **changes: object) -> Alert:
    given = {"kind": "test", "practice": "lakeside", "sentence": "It stands still.", "remedy": "Look at it."}
    return Alert.model_validate({"key": key, **given, **changes})


async def test_an_alert_said_twice_is_one_and_goes_when_its_cause_is_gone(house: WatchHouse) -> None:
    kind = "idempotent"
    first, second = an_alert("a", kind=kind), an_alert("b", kind=kind, practice=None)
    await alerts.keep_only(house.db, kind, [first, second], NOW)
    await alerts.keep_only(house.db, kind, [first, second], NOW + timedelta(minutes=5))
    found = [one for one in await alerts.open_alerts(house.db) if one.kind == kind]
    assert [(one.key, one.practice, one.opened_at) for one in found] == [("b", None, NOW), ("a", "lakeside", NOW)]
    assert found[0].last_seen_at == NOW + timedelta(minutes=5)

    assert await alerts.acknowledge(house.db, "a", "person:op", NOW, practice="lakeside")
    assert await alerts.acknowledge(house.db, "a", "person:late", NOW, practice="lakeside")
    assert not await alerts.acknowledge(house.db, "a", "person:op", NOW, practice="elsewhere")
    assert await alerts.acknowledge(house.db, "b", "person:op", NOW, practice="elsewhere")
    [mine] = [one for one in await alerts.open_alerts(house.db, "lakeside") if one.key == "a"]
    assert mine.acknowledged_by == "person:op"

    await alerts.keep_only(house.db, kind, [second], NOW + timedelta(minutes=10))
    assert [one.key for one in await alerts.open_alerts(house.db) if one.kind == kind] == ["b"]
    # Found again, it is new.
    await alerts.keep(house.db, [first], NOW + timedelta(minutes=15))
    [again] = [one for one in await alerts.open_alerts(house.db, "lakeside") if one.key == "a"]
    assert (again.opened_at, again.acknowledged_by) == (NOW + timedelta(minutes=15), None)
    await alerts.clear(house.db, ["a"], NOW, practice="lakeside")
    await alerts.clear(house.db, ["b"], NOW)
    assert not [one for one in await alerts.open_alerts(house.db) if one.kind == kind]


async def test_an_operator_of_a_practice_sees_its_own_and_the_installations(house: WatchHouse) -> None:
    kind = "whose"
    given = [
        an_alert("mine", kind=kind),
        an_alert("ours", kind=kind, practice=None),
        an_alert("x", kind=kind, practice="x"),
    ]
    await alerts.keep(house.db, given, NOW)
    assert {one.key for one in await alerts.open_alerts(house.db, "lakeside") if one.kind == kind} == {"mine", "ours"}
    await alerts.keep_only(house.db, kind, [], NOW, practice="x")
    assert {one.key for one in await alerts.open_alerts(house.db) if one.kind == kind} == {"mine", "ours"}


async def test_what_cannot_be_seen_to_be_gone_stays_until_it_is_acknowledged(house: WatchHouse) -> None:
    kind = "lasting"
    await alerts.keep(house.db, [an_alert("once", kind=kind, lasting=True)], NOW)
    await alerts.keep_only(house.db, kind, [], NOW + timedelta(minutes=5))
    assert [one.key for one in await alerts.open_alerts(house.db) if one.kind == kind] == ["once"]
    assert await alerts.acknowledge(house.db, "once", "person:op", NOW, practice="lakeside")
    assert not [one for one in await alerts.open_alerts(house.db) if one.kind == kind]
    assert not await alerts.acknowledge(house.db, "once", "person:op", NOW, practice="lakeside")


# --- schedules --------------------------------------------------------------------------------------------------------


async def test_schedules_are_made_once_changed_when_they_differ_and_removed_with_their_practice(
    house: WatchHouse,
) -> None:
    practice = house.practice()
    settings = house.settings.model_copy(update={"task_queue": "schedules"})
    ids = [WATCHMAN, f"{SWEEP}-{practice.id}", f"{RECONCILIATION}-{practice.id}"]
    try:
        assert await ensure_schedules(house.client, settings, {practice.id: practice}) == ids
        assert await ensure_schedules(house.client, settings, {practice.id: practice}) == []

        # Somebody changed one and paused it: it is put right, and stays paused.
        handle = house.client.get_schedule_handle(WATCHMAN)

        def slower(held: ScheduleUpdateInput) -> ScheduleUpdate:
            schedule = held.description.schedule
            schedule.spec = ScheduleSpec(cron_expressions=["0 0 * * *"])
            schedule.policy.overlap = ScheduleOverlapPolicy.ALLOW_ALL
            return ScheduleUpdate(schedule)

        async def changed() -> bool:
            return not (await handle.describe()).schedule.spec.intervals

        async def paused() -> bool:
            return (await handle.describe()).schedule.state.paused

        # One after the other: of two that come at once, Temporal may take in the pause first, and the update undoes it.
        await handle.update(slower)
        await until(changed)
        await handle.pause(note="maintenance")
        await until(paused)
        assert await ensure_schedules(house.client, settings, {practice.id: practice}) == [WATCHMAN]

        async def put_right() -> ScheduleDescription | None:
            described = await handle.describe()
            return described if described.schedule.spec.intervals else None

        described = await until(put_right)
        assert described.schedule.spec.intervals[0].every == timedelta(minutes=5)
        assert described.schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
        assert described.schedule.state.paused
        assert described.schedule.state.note == "maintenance"

        nightly = await house.client.get_schedule_handle(ids[2]).describe()
        assert nightly.schedule.spec.time_zone_name == practice.time_zone
        assert nightly.info.next_action_times[0].astimezone(UTC).minute == 30

        async def all_listed() -> bool:
            return len([one async for one in await house.client.list_schedules()]) == len(ids)

        await until(all_listed)
        assert sorted(await ensure_schedules(house.client, settings, {})) == sorted(ids[1:])
    finally:
        await house.client.get_schedule_handle(WATCHMAN).delete()


async def test_a_schedule_starts_the_watchman(house: WatchHouse) -> None:
    settings = house.settings.model_copy(update={"task_queue": WATCH_QUEUE})
    await ensure_schedules(house.client, settings, {})
    handle = house.client.get_schedule_handle(WATCHMAN)
    try:
        await handle.trigger()

        async def started() -> str:
            ran = (await handle.describe()).info.recent_actions
            if not ran:
                return ""
            action = ran[0].action
            assert isinstance(action, ScheduleActionExecutionStartWorkflow)
            return action.workflow_id

        counted = await house.client.get_workflow_handle(await until(started), result_type=dict[str, int]).result()
        assert counted["database_up"] == 1
    finally:
        await handle.delete()


# --- story F ----------------------------------------------------------------------------------------------------------


async def test_temporal_restored_from_an_older_copy_is_right_again_by_itself(
    sandbox_url: str, keyring: KeyRing, tmp_path: Path
) -> None:
    home = Settings(
        home=tmp_path / "home",
        keys_file=tmp_path / "keys",
        temporal_port=free_port(),
        ui_port=free_port(),
        api_port=free_port(),
    )
    file, copy = home.home_path / "temporal" / "temporal.db", tmp_path / "copy"
    folder = home.model_copy(update={"home": tmp_path / "pg"})
    async with PostgresServer(folder, options={"fsync": "off"}) as postgres:
        async with (
            temporal_server(home),
            watch_house(await connect(home, keyring), postgres.url, sandbox_url, keyring, tmp_path) as house,
        ):
            practice = house.practice()
            old = await house.open(practice, number="ORD-OLD")
            before = await at_rest(house, old)
        _copy(file, copy)

        async with (
            temporal_server(home),
            watch_house(await connect(home, keyring), postgres.url, sandbox_url, keyring, tmp_path) as house,
        ):
            house.practices[practice.id] = practice
            newer = await house.open(practice, number="ORD-NEW")
            await at_rest(house, newer)
            await house.run("Watchman")
            changed = await house.open(practice, number="ORD-OLD-2")
            await at_rest(house, changed)
            await _note(house, old)
            after = await at_rest(house, old)
            assert len(after) > len(before)
        _copy(copy, file)

        async with (
            temporal_server(home),
            watch_house(await connect(home, keyring), postgres.url, sandbox_url, keyring, tmp_path) as house,
        ):
            house.practices[practice.id] = practice
            # The copy is from before the last round and from before two of the cases.
            counted = await house.run("Watchman")
            assert counted["restored"] == 2
            assert counted["woken"] == 1
            await _until_noted(house, old)
            for standing in (old, newer, changed):
                known = await at_rest(house, standing)
                assert len({fact.source_id for fact in known}) == len(known)
            assert set(await told(house, "restored")) == {newer.view.case_id, changed.view.case_id}
            again = await house.run("Watchman")
            assert (again["restored"], again["woken"]) == (0, 0)


def _copy(source: Path, target: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        beside, onto = Path(f"{source}{ending}"), Path(f"{target}{ending}")
        onto.unlink(missing_ok=True)
        if beside.exists():
            shutil.copyfile(beside, onto)


async def _note(house: WatchHouse, standing: Standing) -> None:
    note = NoteAdded(occurred_at=datetime.now(UTC), by="person:mia", source_id="note/1", text="They called back.")
    assert await tell_case(house.client, standing.view.practice, standing.view.case_id, [note])
    await _until_noted(house, standing)


async def _until_noted(house: WatchHouse, standing: Standing) -> None:
    async def noted() -> bool:
        return "note/1" in {fact.source_id for fact in await house.facts(standing.view.practice, standing.view.case_id)}

    await until(noted)
