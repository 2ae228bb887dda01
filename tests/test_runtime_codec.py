"""Sealed payloads: nothing readable in the real server's file, and nothing that moves between practices or cases."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowHistory,
)
from temporalio.common import RetryPolicy, SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.converter import WorkflowSerializationContext
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from runtime.codec import CASE_PREFIX, VigilCodec, data_converter, for_practice, practice
from runtime.embedded import TemporalServer, temporal_server
from runtime.errors import PracticeMismatch, PracticeUnknown, SealBroken, UnknownKey
from runtime.keys import KeyRing
from runtime.processes import free_port
from runtime.settings import Settings
from runtime.temporal import SEARCH_ATTRIBUTES, connect, ensure_search_attributes, worker_options

MARKER = "Zebediah-Quillfeather"
"""A patient's name that is nowhere else, to look for in files."""

SHORT = timedelta(seconds=20)


class Order(BaseModel):
    patient: str
    rounds: int = 1


@activity.defn
async def look_up(order: Order) -> Order:
    activity.heartbeat(order.patient)
    return order


@activity.defn
async def fail_telling(order: Order) -> None:
    raise ApplicationError(f"no coverage for {order.patient}", order.patient, non_retryable=True)


@workflow.defn(sandboxed=False)
class ChildSample:
    @workflow.run
    async def run(self, order: Order) -> str:
        return f"child saw {order.patient}"


@workflow.defn(sandboxed=False)
class CaseSample:
    """Carries a name through everything that Temporal stores."""

    @workflow.init
    def __init__(self, order: Order) -> None:
        self.notes: list[str] = []

    @workflow.run
    async def run(self, order: Order) -> Order:
        workflow.set_current_details(f"waiting for {order.patient}")
        await workflow.sleep(0.01, summary=f"pause for {order.patient}")
        found = await workflow.execute_activity(
            look_up, order, start_to_close_timeout=SHORT, summary=f"look up {order.patient}"
        )
        await workflow.execute_local_activity(look_up, found, start_to_close_timeout=SHORT)
        if order.rounds:
            workflow.continue_as_new(Order(patient=found.patient, rounds=order.rounds - 1))
        await workflow.execute_child_workflow(ChildSample.run, found, id=f"{workflow.info().workflow_id}-child")
        await workflow.wait_condition(
            lambda: len(self.notes) == 2, timeout=SHORT, timeout_summary=f"for {order.patient}"
        )
        await workflow.execute_activity(
            fail_telling, found, start_to_close_timeout=SHORT, retry_policy=RetryPolicy(maximum_attempts=1)
        )
        return found

    @workflow.signal
    def note(self, text: str) -> None:
        self.notes.append(text)

    @workflow.update
    def add_note(self, text: str) -> str:
        self.notes.append(text)
        return f"noted {text}"

    @workflow.query
    def noted(self) -> list[str]:
        return self.notes


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[TemporalServer, Settings]]:
    folder = tmp_path_factory.mktemp("sealed")
    settings = Settings(
        home=folder / "home", keys_file=folder / "keys", temporal_port=free_port(), ui_port=free_port(), task_queue="t"
    )
    async with temporal_server(settings) as running:
        yield running, settings


async def carry_through(client: Client, case: str) -> WorkflowHandle[CaseSample, Order]:
    """Run a case to its end, with messages of every kind."""
    handle = await client.start_workflow(
        CaseSample.run,
        Order(patient=MARKER),
        id=case,
        task_queue="t",
        memo={"patient": MARKER},
        static_summary=f"order of {MARKER}",
        static_details=f"all of {MARKER}",
    )
    first = await handle.describe()
    await handle.signal(CaseSample.note, MARKER)
    assert await first.static_summary() == f"order of {MARKER}"  # the first run's: continue-as-new drops it
    # What is noted before continue-as-new is not carried over: speak to the second run.
    while (await handle.describe()).run_id == first.run_id:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)
    assert await handle.execute_update(CaseSample.add_note, MARKER) == f"noted {MARKER}"
    await handle.signal(CaseSample.note, MARKER)
    assert MARKER in await handle.query(CaseSample.noted)
    return handle


async def test_nothing_of_a_patient_is_readable_in_the_servers_files(
    server: tuple[TemporalServer, Settings], keyring: KeyRing
) -> None:
    _, settings = server
    client = for_practice(await connect(settings, keyring), "lakeside")
    case = keyring.case_id("lakeside", "nextgen", "A-1")
    async with Worker(
        await connect(settings, keyring),  # a worker is told nothing: it learns whose a case is from the case
        task_queue="t",
        workflows=[CaseSample, ChildSample],
        activities=[look_up, fail_telling],
        **worker_options(settings),
    ):
        handle = await carry_through(client, case)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()

    told = failed.value.cause.__cause__
    assert isinstance(told, ApplicationError)
    assert told.message == f"no coverage for {MARKER}"  # we can read it …
    assert told.details == (MARKER,)
    assert await (await handle.describe()).memo_value("patient") == MARKER

    files = [path for path in (settings.home_path / "temporal").iterdir() if path.is_file()]
    assert any(b"vigil-aes256gcm" in path.read_bytes() for path in files)  # we look where the payloads are
    assert [path.name for path in files if MARKER.encode() in path.read_bytes()] == []  # … the file does not show it

    payloads = [payload async for payload in payloads_of(handle)]
    assert len(payloads) > 8
    assert {payload.metadata["vigil-practice"] for payload in payloads} == {b"lakeside"}


async def payloads_of(handle: WorkflowHandle[CaseSample, Order]) -> AsyncIterator[Payload]:
    async for event in handle.fetch_history_events():
        for payload in payloads_in(event):
            yield payload


def payloads_in(message: object) -> list[Payload]:
    if isinstance(message, Payload):
        return [message] if message.metadata.get("encoding") == b"binary/vigil-aes256gcm" else []
    fields: Sequence[tuple[object, object]] = message.ListFields() if hasattr(message, "ListFields") else ()
    found: list[Payload] = []
    for _, value in fields:
        if hasattr(value, "values") and hasattr(value, "keys"):
            items: list[object] = list(value.values())
        elif hasattr(value, "ListFields"):
            items = [value]
        elif isinstance(value, str | bytes | int | float):
            items = []
        else:
            items = list(value)  # type: ignore[call-overload]
        for item in items:
            found += payloads_in(item)
    return found


async def test_a_schedule_starts_its_workflow_with_its_sealed_input_and_its_last_result(
    server: tuple[TemporalServer, Settings], keyring: KeyRing
) -> None:
    _, settings = server
    client = await connect(settings, keyring)
    async with Worker(client, task_queue="t", workflows=[ChildSample], **worker_options(settings)):
        schedule = await client.create_schedule(
            "watch",
            Schedule(
                action=ScheduleActionStartWorkflow(
                    ChildSample.run, Order(patient=MARKER), id="watchman", task_queue="t"
                ),
                spec=ScheduleSpec(),
            ),
            trigger_immediately=True,
        )
        started: list[str] = []
        for rounds in (1, 2):  # the second start is handed the result of the first one
            while len(started) < rounds:
                actions = [taken.action for taken in (await schedule.describe()).info.recent_actions]
                started = [a.workflow_id for a in actions if isinstance(a, ScheduleActionExecutionStartWorkflow)]
            assert started[-1].startswith("watchman-")
            assert await client.get_workflow_handle(started[-1]).result() == f"child saw {MARKER}"
            if rounds == 1:
                await asyncio.sleep(1)  # its id has seconds
                await schedule.trigger()
        await schedule.delete()


async def test_search_attributes_are_registered_once_and_typed(
    server: tuple[TemporalServer, Settings], keyring: KeyRing
) -> None:
    _, settings = server
    client = await connect(settings, keyring)
    assert await ensure_search_attributes(client) == []
    held = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
    assert {name: held.custom_attributes[name] for name in SEARCH_ATTRIBUTES} == SEARCH_ATTRIBUTES


async def test_time_skips_in_the_shared_environment_and_attributes_are_there(temporal_env: WorkflowEnvironment) -> None:
    client = temporal_env.client
    async with Worker(client, task_queue="skip", workflows=[LongWait]):
        with temporal_env.with_time_skipping_disabled():
            handle = await client.start_workflow(
                LongWait.run,
                id="long-wait",
                task_queue="skip",
                search_attributes=TypedSearchAttributes(
                    [SearchAttributePair(SearchAttributeKey.for_keyword("VigilPractice"), "lakeside")]
                ),
            )
        await temporal_env.fast_forward(handle, timedelta(days=31))
        assert await handle.result() >= timedelta(days=30).total_seconds()


@workflow.defn(sandboxed=False)
class LongWait:
    @workflow.run
    async def run(self) -> float:
        began = workflow.now()
        await workflow.sleep(timedelta(days=30), summary="a payer's month")
        return (workflow.now() - began).total_seconds()


async def test_a_worker_that_starts_anew_learns_whose_a_sleeping_case_is(
    temporal_env: WorkflowEnvironment, keyring: KeyRing
) -> None:
    case = keyring.case_id("lakeside", "nextgen", "A-2")
    client = for_practice(temporal_env.client, "lakeside")
    fresh = [knowing_nothing(client, keyring) for _ in range(2)]
    with temporal_env.with_time_skipping_disabled():
        handle = await client.start_workflow(Sleeper.run, Order(patient=MARKER), id=case, task_queue="anew")
    async with Worker(fresh[0], task_queue="anew", workflows=[Sleeper]):
        assert await handle.query(Sleeper.asleep)
    async with Worker(fresh[1], task_queue="anew", workflows=[Sleeper], max_cached_workflows=0):
        await temporal_env.fast_forward(handle, timedelta(days=1))
        assert await handle.result() == Order(patient=MARKER)

    history = WorkflowHistory.from_json(case, (await handle.fetch_history()).to_json())
    await Replayer(workflows=[Sleeper], data_converter=data_converter(keyring)).replay_workflow(history)


def knowing_nothing(client: Client, keyring: KeyRing) -> Client:
    config = client.config()
    config["data_converter"] = data_converter(keyring)
    return Client(**config)


@workflow.defn(sandboxed=False)
class Sleeper:
    @workflow.init
    def __init__(self, order: Order) -> None:
        self.slept = 0

    @workflow.run
    async def run(self, order: Order) -> Order:
        for _ in range(3):
            await workflow.sleep(timedelta(hours=1), summary=f"for {order.patient}")
            self.slept += 1
        return order

    @workflow.query
    def asleep(self) -> bool:
        return self.slept == 0


# What a codec refuses.


def in_case(codec: VigilCodec, workflow_id: str) -> VigilCodec:
    return codec.with_context(WorkflowSerializationContext(namespace="default", workflow_id=workflow_id))


CASE, OTHER_CASE = f"{CASE_PREFIX}{'a' * 26}", f"{CASE_PREFIX}{'b' * 26}"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"knee MRI"')


async def test_a_payload_of_another_practice_is_refused(keyring: KeyRing) -> None:
    codec = VigilCodec(keyring)
    [sealed] = await codec.for_practice("lakeside").encode([PLAIN])

    assert await codec.decode([sealed]) == [PLAIN]
    with pytest.raises(PracticeMismatch):
        await codec.for_practice("hillcrest").decode([sealed])
    with practice("hillcrest"), pytest.raises(PracticeMismatch):
        await codec.decode([sealed])
    with practice("lakeside"):
        assert await codec.decode([sealed]) == [PLAIN]


async def test_a_payload_put_into_another_practices_case_is_refused(keyring: KeyRing) -> None:
    worker = VigilCodec(keyring)
    [own] = await in_case(VigilCodec(keyring, practice_id="lakeside"), CASE).encode([PLAIN])
    [foreign] = await VigilCodec(keyring, practice_id="hillcrest").encode([PLAIN])

    await in_case(worker, CASE).decode([own])
    with pytest.raises(PracticeMismatch):
        await in_case(worker, CASE).decode([foreign])


async def test_a_payload_put_into_another_case_of_the_practice_is_refused(keyring: KeyRing) -> None:
    codec = VigilCodec(keyring, practice_id="lakeside")
    [sealed] = await in_case(codec, CASE).encode([PLAIN])
    with pytest.raises(PracticeMismatch):
        await in_case(codec, OTHER_CASE).decode([sealed])
    assert await codec.decode([sealed]) == [PLAIN]  # the codec server knows no case


@pytest.mark.parametrize("name", ["vigil-practice", "vigil-workflow", "vigil-key"])
async def test_metadata_cannot_be_rewritten(keyring: KeyRing, name: str) -> None:
    [sealed] = await in_case(VigilCodec(keyring, practice_id="lakeside"), CASE).encode([PLAIN])
    sealed.metadata[name] = b"hillcrest"
    with pytest.raises(SealBroken):
        await VigilCodec(keyring).decode([sealed])


async def test_a_case_is_not_sealed_for_nobody(keyring: KeyRing) -> None:
    codec = VigilCodec(keyring)
    with pytest.raises(PracticeUnknown, match="for_practice"):
        await in_case(codec, CASE).encode([PLAIN])
    [sealed] = await in_case(codec, "watchman").encode([PLAIN])
    assert await codec.decode([sealed]) == [PLAIN]


async def test_whose_a_case_is_cannot_be_overridden(keyring: KeyRing) -> None:
    codec = VigilCodec(keyring)
    [own] = await in_case(codec.for_practice("lakeside"), CASE).encode([PLAIN])
    await in_case(codec, CASE).decode([own])
    with practice("hillcrest"), pytest.raises(PracticeMismatch):
        await in_case(codec, CASE).encode([PLAIN])


async def test_keys_rotate_under_what_is_sealed_and_a_missing_one_is_named(keyring: KeyRing) -> None:
    rotated = keyring.rotated()
    [old] = await VigilCodec(keyring, practice_id="lakeside").encode([PLAIN])
    [new] = await VigilCodec(rotated, practice_id="lakeside").encode([PLAIN])

    assert await VigilCodec(rotated).decode([old, new]) == [PLAIN, PLAIN]
    with pytest.raises(UnknownKey, match=rotated.active):
        await VigilCodec(keyring).decode([new])


async def test_what_was_never_sealed_passes(keyring: KeyRing) -> None:
    assert await VigilCodec(keyring).decode([PLAIN]) == [PLAIN]


async def test_failures_leave_the_process_sealed(keyring: KeyRing) -> None:
    converter = data_converter(keyring, practice_id="lakeside")
    failure = Failure()
    await converter.encode_failure(ApplicationError(f"no coverage for {MARKER}"), failure)
    assert MARKER.encode() not in failure.SerializeToString()
    assert "no coverage" in str(await converter.decode_failure(failure))


def test_the_sealed_files_are_in_a_closed_folder(server: tuple[TemporalServer, Settings]) -> None:
    _, settings = server
    for folder in (settings.home_path, Path(settings.home_path / "temporal")):
        assert folder.stat().st_mode & 0o777 == 0o700
