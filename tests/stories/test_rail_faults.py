"""What goes wrong on the way to payers: every request arrives once all the same, and nothing counts that nobody said."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import worker
from api.webhook_facts import claimed
from domain.actions import InquireStatus, SubmitRequest, WithdrawRequest
from domain.base import Turn
from domain.decision import Ending, Outcome
from domain.facts import (
    ActionEnded,
    AnswerNotUnderstood,
    DecisionReceived,
    RequestEnded,
    RequestSubmitted,
    RequestWithdrawn,
    StatusInquired,
    TaskKind,
    TaskOpened,
)
from domain.policy_rules import Rail
from domain.rules.channels import BREAKER_OPEN
from runtime.keys import KeyRing
from store import channels
from tests.builders import MONDAY, answered, of_kind, policy
from tests.driver import ORDERING, Block, Driver, block, together
from tests.house import Desk, House
from tests.rails import Book, Clerk, changed, only

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def shared(
    postgres_url: str, sandbox_url: str, keyring: KeyRing, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Block]:
    async with block(postgres_url, sandbox_url, keyring, tmp_path_factory.mktemp("faults")) as made:
        yield made


async def accepted(driver: Driver) -> list[dict[str, Any]]:
    """What the payer has of the case and has neither turned down nor taken back."""
    held = [one for one in await driver.office.requests() if driver.case.id in one["claim_identifier"]]
    return [one for one in held if not one["rejected"] and set(one["actions"].values()) != {"C"}]


async def sent(driver: Driver) -> dict[str, int]:
    """How often the payers got the request of each attempt, by our trace."""
    rows = (await driver.office.effects())["submits"]
    counts = {row["claim_identifier"].rpartition("|")[2]: row["count"] for row in rows}
    traces = [f"{driver.case.id}-{driver.track.key}-{number}" for number in range(1, driver.track.allowed + 1)]
    return {trace: counts[trace] for trace in traces if trace in counts}


def ends(driver: Driver, cause: str) -> list[str | None]:
    return [fact.error for fact in driver.told(ActionEnded) if fact.action.startswith(cause) and fact.failure]


# --- a way that is down -------------------------------------------------------------------------------------------------


async def test_a_clearinghouse_is_down_for_a_day(shared: Block) -> None:
    """Routine requests wait, the breaker spares it, STAT goes another way at once; afterwards each is sent once."""
    harbor = policy("harbor-hmo")
    patient = {"routine": ["1 hour", "4 hours", "8 hours", "12 hours", "12 hours"]}
    waiting = only(harbor, Rail.X12, rests=patient, breaker={"failures": 3, "open_for": "10 minutes"})
    office = shared.office()
    await office.fault("clearinghouses", "", "503", until=(MONDAY + DAY).isoformat())
    routine = [await shared.open(waiting, office=office) for _ in range(3)]
    for driver in routine:
        await driver.settle()
        assert driver.turn is Turn.VIGIL
        assert ends(driver, "submit/") == ["503"]
    (broken,) = await channels.out_of_order(shared.parts.database, office.practice.id)
    assert broken.error == "503"

    stat = await shared.open(only(harbor, Rail.X12, Rail.GATEWAY), office=office, urgency="stat")
    await stat.settle()
    assert stat.now == MONDAY
    assert stat.case.is_ready
    assert ends(stat, "submit/") == [BREAKER_OPEN]
    assert stat.track.attempt.rail == Rail.GATEWAY

    await together(routine, lambda: all(driver.case.is_ready for driver in routine), until=MONDAY + 3 * DAY)
    assert min(driver.now for driver in routine) >= MONDAY + DAY
    for driver in (*routine, stat):
        assert list((await sent(driver)).values()) == [1]
        assert len(await accepted(driver)) == 1
        assert driver.told(RequestSubmitted)[0].receipt.reference
        assert not any(task.opened.task_kind is TaskKind.SUBMIT_REQUEST for task in driver.case.tasks.values())
    assert await channels.out_of_order(shared.parts.database, office.practice.id) == []


async def test_a_fax_that_is_long_under_way_is_looked_for_at_its_carrier(shared: Block) -> None:
    driver = await shared.open(only(policy("bluestem-mco"), Rail.FAX))
    await driver.office.switch(fax_seconds=900)
    await driver.settle()
    assert (driver.told(RequestSubmitted), driver.turn) == ([], Turn.VIGIL)
    await driver.until(lambda: driver.track.attempt.reached_payer)
    (submitted,) = driver.told(RequestSubmitted)
    assert submitted.receipt.kind == "fax_report"
    assert [look.found for look in driver.told(StatusInquired)] == [False, True]
    assert driver.tasks() == []
    assert len((await driver.office.effects())["faxes"]) == 1
    await driver.until(lambda: driver.task(TaskKind.CHECK_STATUS) is not None)
    assert driver.turn is Turn.STAFF, "what a payer makes of a fax it tells people"


async def test_a_carriers_call_hastens_the_look_that_is_due_anyway(shared: Block) -> None:
    driver = await shared.open(only(policy("bluestem-mco"), Rail.FAX))
    await driver.office.switch(fax_seconds=90)
    await driver.settle()
    assert driver.told(RequestSubmitted) == []
    (first, *_) = next(one for one in driver.case.policies.values()).channels[0].search_after
    await driver.forward(timedelta(minutes=2))
    assert driver.told(StatusInquired) == [], f"the first look is due after {first}"

    await driver.report(claimed("bluestem-mco", driver.now))
    assert driver.track.attempt.reached_payer
    assert len((await driver.office.effects())["faxes"]) == 1


async def test_a_routine_request_goes_the_next_way_once_its_rests_are_over(shared: Block) -> None:
    driver = await shared.open(only(policy("harbor-hmo"), Rail.X12, Rail.GATEWAY))
    await driver.office.fault("clearinghouses", "", "503", until=(MONDAY + DAY).isoformat())
    await driver.until(lambda: driver.case.is_ready)
    assert MONDAY < driver.now < MONDAY + DAY
    assert driver.track.attempt.rail == Rail.GATEWAY
    await driver.forward(2 * DAY)
    assert list((await sent(driver)).values()) == [1]
    assert len(await accepted(driver)) == 1


async def test_a_wrong_address_is_an_operators_and_the_request_goes_another_way(shared: Block) -> None:
    released = only(policy("harbor-hmo"), Rail.X12, Rail.GATEWAY)
    x12, gateway = released.channels
    wrong = changed(x12, base_url="{sandbox}/clearinghouses/northbridge")
    driver = await shared.open(released.model_copy(update={"channels": (wrong, gateway)}))
    await driver.until(lambda: driver.case.is_ready)
    assert ends(driver, "submit/") == ["core:404"]
    assert driver.track.attempt.rail == Rail.GATEWAY
    assert driver.told(TaskOpened)[0].task_kind is TaskKind.OPERATOR
    assert TaskKind.CORRECT_REQUEST not in {task.task_kind for task in driver.told(TaskOpened)}
    assert list((await sent(driver)).values()) == [1]


# --- two copies ---------------------------------------------------------------------------------------------------------


async def _answers_late(shared: Block, scenario: str) -> tuple[Driver, Book]:
    """PAS is out of reach, a person asks by the portal, and then it turns out that PAS has had the request all along."""
    driver = await shared.open(only(policy("meridian-ppo"), Rail.PAS, Rail.PORTAL), scenario)
    await driver.office.fault("payers", "", "503", until=(MONDAY + 0.9 * DAY).isoformat())
    book = Book(driver)
    driver.clerk = Clerk(book)
    await driver.until(lambda: bool(book.requests) and driver.track.attempt.reached_payer)
    assert driver.track.attempt.rail == Rail.PORTAL
    driver.clerk = None
    await driver.forward(to=MONDAY + DAY)
    late = await driver.carry_out(driver.done(SubmitRequest)[0].model_copy(update={"now": driver.now}))
    assert isinstance(late, list)
    await driver.report(*late)
    driver.clerk = Clerk(book)
    return driver, book


async def test_a_way_that_was_given_up_answers_first_and_the_other_copy_is_taken_back(shared: Block) -> None:
    driver, book = await _answers_late(shared, "100")
    assert driver.track.attempt.rail == Rail.PAS
    await driver.until(lambda: driver.case.is_ready and not book.in_force)
    (withdrawn,) = driver.told(RequestWithdrawn)
    assert withdrawn.rail == Rail.PORTAL
    assert len(await accepted(driver)) + len(book.in_force) == 1


async def test_a_way_that_was_given_up_answers_later_and_its_copy_is_taken_back_there(shared: Block) -> None:
    driver, book = await _answers_late(shared, "202")
    assert driver.track.attempt.rail == Rail.PORTAL
    await driver.until(lambda: bool(driver.told(RequestWithdrawn)))
    (withdrawn,) = driver.told(RequestWithdrawn)
    assert withdrawn.rail == Rail.PAS
    assert not driver.case.is_ready
    assert len(await accepted(driver)) + len(book.in_force) == 1
    book.scenario = "100"
    await driver.until(lambda: driver.case.is_ready)
    assert len(await accepted(driver)) + len(book.in_force) == 1


async def test_a_refused_copy_denies_nothing_and_the_former_request_is_found(shared: Block) -> None:
    """A worker died after it sent, what it knew was lost, and the payer's index lags: the same is sent again (0Q)."""
    driver = await shared.open(only(policy("harbor-hmo"), Rail.X12))
    await driver.office.switch(index_lag_seconds=1800)
    driver.late.add("submit_request")
    await driver.settle()
    ((action, _lost),) = driver.flying.values()
    driver.flying[action.key] = action, await driver.carry_out(action)
    driver.land()
    await driver.settle()
    assert driver.track.outcomes == (None,)
    (refused,) = driver.told(AnswerNotUnderstood)
    assert refused.raw is not None
    assert "has this request already" in refused.why

    await driver.until(lambda: driver.case.is_ready)
    decided = [line for fact in driver.told(DecisionReceived) for line in fact.decision.lines]
    assert {line.decision for line in decided} == {Outcome.APPROVED}
    assert [notice.message for notice in driver.case.patient_notices] == ["approved"]
    assert list((await sent(driver)).values()) == [2]
    assert len(await accepted(driver)) == 1
    assert len(driver.done(SubmitRequest)) == 1


# --- what comes at the wrong moment -------------------------------------------------------------------------------------


TOKENS = {
    Rail.PAS: ("meridian-ppo", "payers", "/oauth/token"),
    Rail.GATEWAY: ("harbor-hmo", "gateways", "/v1/token"),
}
"""Whose tokens, at which system, from which address."""


async def _tokens(driver: Driver, system: str, path: str) -> tuple[int, int]:
    """How many tokens were fetched, and how many calls were refused for want of a valid one."""
    received = await driver.office.received(system)
    return sum(1 for one in received if one["path"].endswith(path)), sum(1 for one in received if one["status"] == 401)


@pytest.mark.parametrize("way", list(TOKENS))
@pytest.mark.parametrize("ends", ["the payer ends it", "its 300 seconds are over"])
async def test_a_token_ends_in_the_middle_and_one_new_one_goes_on(
    shared: Block, way: Rail, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer, system, path = TOKENS[way]
    driver = await shared.open(only(policy(payer), way), "200")
    await driver.until(lambda: driver.turn is Turn.PAYER)
    assert await _tokens(driver, system, path) == (1, 0)
    if ends == "the payer ends it":
        await driver.office.post("tokens/revoke", {})
    else:
        later = SimpleNamespace(monotonic=lambda: time.monotonic() + 300)
        monkeypatch.setattr("connectors.tokens.time", later)
    before = len(driver.done(InquireStatus))
    await driver.until(lambda: len(driver.done(InquireStatus)) > before)
    assert await _tokens(driver, system, path) == (2, 1 if ends == "the payer ends it" else 0)
    await driver.until(lambda: driver.case.is_ready)
    assert driver.failures() == []
    assert list((await sent(driver)).values()) == [1]


async def test_a_notification_comes_before_the_answer_to_the_submission(shared: Block) -> None:
    driver = await shared.open(only(policy("meridian-ppo"), Rail.PAS), "200")
    driver.late.add("submit_request")
    await driver.settle()
    approved = answered("approved", now=driver.now, via="notification", by="system:pas:meridian-ppo")
    await driver.report(approved)
    assert driver.track.outcomes == (Outcome.APPROVED,)
    assert len(driver.done(SubmitRequest)) == 1
    driver.land()
    await driver.settle()
    assert driver.track.outcomes == (Outcome.APPROVED,), "a pend that comes late takes nothing back"
    assert driver.case.is_ready
    assert driver.track.attempt.submitted is not None
    assert driver.track.attempt.submitted.receipt.kind == "trace_number"
    await driver.forward(DAY)
    assert list((await sent(driver)).values()) == [1]


async def test_what_a_notification_and_the_answer_both_say_happened_once(shared: Block) -> None:
    driver = await shared.open(only(policy("meridian-ppo"), Rail.PAS), "100")
    driver.late.add("submit_request")
    await driver.settle()
    ((_, facts),) = driver.flying.values()
    told = of_kind(facts, DecisionReceived)
    await driver.report(*(fact.model_copy(update={"via": "notification"}) for fact in told))
    assert driver.case.is_ready
    driver.land()
    await driver.settle()
    assert len(driver.told(DecisionReceived)) == 1
    assert [notice.message for notice in driver.case.patient_notices] == ["approved"]


# --- what the payer no longer has ---------------------------------------------------------------------------------------


async def test_what_the_payer_does_not_find_is_asked_for_by_a_call_and_sent_anew_only_at_its_word(
    shared: Block,
) -> None:
    driver = await shared.open(only(policy("meridian-ppo"), Rail.PAS), "202")
    await driver.until(lambda: driver.turn is Turn.PAYER)
    receipt = driver.track.attempt.submitted
    assert receipt is not None
    await driver.office.post("reset", {})  # the payer has lost it
    await driver.until(lambda: driver.task(TaskKind.FIND_REQUEST) is not None)
    looks = driver.told(StatusInquired)
    assert [look.found for look in looks[-2:]] == [False, False]
    assert looks[-1].occurred_at - looks[-2].occurred_at == timedelta(minutes=2)
    call = driver.task(TaskKind.FIND_REQUEST)
    assert call is not None
    steps = " ".join(call.checklist)
    assert receipt.receipt.reference in steps
    assert receipt.trace in steps
    assert driver.turn is Turn.STAFF
    await driver.forward(2 * DAY)
    assert len(driver.done(SubmitRequest)) == 1
    assert await sent(driver) == {}

    await driver.hand_in(call, result="not_there", representative="Dana")
    await driver.until(lambda: driver.track.attempt.reached_payer)
    assert driver.track.attempt.number == 2
    assert list((await sent(driver)).values()) == [1]
    assert len(await accepted(driver)) == 1


@pytest.mark.parametrize("ending", list(Ending))
async def test_a_request_that_the_payer_ended_is_a_persons_and_nothing_goes_out_by_itself(
    shared: Block, ending: Ending
) -> None:
    driver = await shared.open(only(policy("meridian-ppo"), Rail.PAS), "200")
    await driver.until(lambda: driver.turn is Turn.PAYER)
    (submit,) = driver.done(SubmitRequest)
    said = {name: getattr(submit, name) for name in ("practice", "case_id", "track", "request", "policy")}
    numbers = driver.track.attempt.numbers
    gone = await driver.carry_out(WithdrawRequest(**said, key="payer/1", now=driver.now, numbers=numbers))
    assert isinstance(gone, list)
    assert [fact.kind for fact in gone] == ["request_withdrawn"]
    await driver.report(
        RequestEnded(
            occurred_at=driver.now,
            by="system:pas:meridian-ppo",
            source_id="ended",
            track=driver.track.key,
            attempt=1,
            rail="pas",
            ending=ending,
        )
    )
    task = driver.task(TaskKind.CORRECT_REQUEST)
    assert task is not None
    assert task.task.endswith(f"/{ending}")
    assert driver.turn is Turn.STAFF
    await driver.forward(5 * DAY)
    assert not driver.case.is_ready
    assert len(driver.done(SubmitRequest)) == 1
    assert driver.done(WithdrawRequest) == []

    await driver.hand_in(task, result="resend", reason="The provider wants it all the same.")
    await driver.until(lambda: driver.case.is_ready)
    assert list((await sent(driver)).values()) == [1, 1]
    assert len(await accepted(driver)) == 1


# --- on Temporal itself -------------------------------------------------------------------------------------------------


async def test_on_temporal_a_stat_request_goes_round_a_channel_that_is_out_of_order(desk: Desk) -> None:
    order = await desk.order(payer="harbor-hmo", urgency="stat", ordering=ORDERING)
    await channels.failed(
        desk.house.parts.database,
        desk.practice.id,
        "harbor-hmo",
        "x12",
        error="503",
        now=order.ordered_at,
        after=1,
        open_for=timedelta(hours=1),
    )
    case = await desk.open(order)
    found = await case.case()
    assert found.is_ready
    (track,) = found.tracks.values()
    assert track.attempt.rail == Rail.GATEWAY
    ended = [fact for fact in of_kind(found.facts, ActionEnded) if fact.action.startswith("submit/")]
    assert [fact.error for fact in ended] == [BREAKER_OPEN, None]
    assert await desk.received("clearinghouses") == []
    assert [row["count"] for row in (await desk.effects())["submits"]] == [1]


async def test_on_temporal_an_answer_by_x12_is_lost_and_the_request_is_found(desk: Desk) -> None:
    case = await desk.open(await desk.order("700", payer="harbor-hmo", ordering=ORDERING))
    assert not (await case.case()).is_ready
    found = await case.until("patient_notified", minutes=10)
    assert found.is_ready
    (track,) = found.tracks.values()
    assert track.attempt.rail == Rail.X12
    assert [row["count"] for row in (await desk.effects())["submits"]] == [1]


RATE, CALLS = 10, 30


@workflow.defn
class ManyCalls:
    """Calls a payer as often as it is told, all at once."""

    @workflow.run
    async def run(self, queue: str) -> None:
        await asyncio.gather(
            *(
                workflow.execute_activity(
                    "submit_request", task_queue=queue, start_to_close_timeout=timedelta(seconds=9)
                )
                for _ in range(CALLS)
            )
        )


async def test_on_temporal_two_workers_keep_one_rate(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server keeps the rate of a payer's queue, however many workers serve it."""
    calls: list[tuple[float, int]] = []

    def counted(by: int) -> Any:
        @activity.defn(name="submit_request")
        async def submit() -> None:
            calls.append((time.monotonic(), by))

        return submit

    meridian = only(policy("meridian-ppo"), Rail.PAS, rate=RATE)
    payer = f"rated-{uuid.uuid4().hex[:8]}"
    first = house.env.client
    address = first.service_client.config.target_host
    second = await Client.connect(address, namespace=first.namespace, data_converter=first.data_converter)
    both = [worker.PayerQueues(client, house.settings, house.parts) for client in (first, second)]
    for number, queues in enumerate(both):
        monkeypatch.setattr(worker, "payer_activities", lambda _parts, by=number: [counted(by)])
        await queues.keep([meridian.model_copy(update={"payer": payer})])
    try:
        async with Worker(
            house.env.client,
            task_queue=f"calls-{payer}",
            workflows=[ManyCalls],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            await house.env.client.execute_workflow(
                ManyCalls.run, f"payer-{payer}", id=f"calls-{payer}", task_queue=f"calls-{payer}"
            )
    finally:
        for queues in both:
            await queues.close()
    moments = sorted(moment for moment, _ in calls)
    assert len(moments) == CALLS
    assert {by for _, by in calls} == {0, 1}
    # A bucket of a second's worth is full at first; from then on what comes in a second is at most the rate.
    assert moments[-1] - moments[0] >= 0.9 * (CALLS - RATE) / RATE
    later = moments[RATE:]
    most = max(sum(1 for moment in later if start <= moment < start + 1) for start in later)
    assert most <= RATE + 2, [round(b - a, 3) for a, b in pairwise(moments)]
