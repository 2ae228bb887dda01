"""What all workers share about the ways to payers: the breaker of a channel and the places at a carrier, on PostgreSQL."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from activities.gate import BREAKER_OPEN, Gate
from connectors.errors import Busy, OutcomeUnknown, Refused, Unreachable
from domain.actions import InquireStatus
from domain.calendars import Span
from domain.channel_health import BreakerRule
from domain.order import Urgency
from runtime.errors import MissingSecret
from store import alerts, channels
from store.database import Database
from store.migrate import migrate
from tests import builders, pas_requests

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
RULE = BreakerRule(failures=3, open_for=Span.parse("10 minutes"))


@pytest.fixture
async def gate(postgres_url: str) -> AsyncIterator[Gate]:
    await migrate(postgres_url)
    database = Database(postgres_url)
    yield Gate(database)
    await database.close()


def inquiry(practice: str, now: datetime = NOW, **changes: object) -> InquireStatus:
    asked = pas_requests.request()
    policy = builders.cut(asked.order)
    wanted = {"breaker": RULE, "concurrency": None, "via": None} | changes
    urgency = wanted.pop("urgency", Urgency.ROUTINE)
    ways = tuple(one.model_copy(update=wanted) if one.rail.value == asked.rail else one for one in policy.channels)
    order = asked.order.model_copy(update={"practice": practice, "urgency": urgency})
    return InquireStatus(
        key="cause/1",
        practice=practice,
        case_id="case-1",
        now=now,
        request=asked.model_copy(update={"order": order}),
        policy=policy.model_copy(update={"channels": ways}),
        why="a test",
    )


async def fail(gate: Gate, action: InquireStatus, error: Exception) -> None:
    with pytest.raises(type(error)):
        async with gate.passage(action):
            raise error


async def passes(gate: Gate, action: InquireStatus) -> bool:
    try:
        async with gate.passage(action):
            return True
    except Unreachable as error:
        assert error.code == BREAKER_OPEN  # noqa: PT017 - the other way out is the answer too
        return False


async def test_failures_in_a_row_open_a_channel_and_one_probe_closes_it(gate: Gate) -> None:
    practice = f"p-{uuid.uuid4().hex[:8]}"
    for _ in range(RULE.failures):
        assert await passes(gate, inquiry(f"{practice}-other"))
        await fail(gate, inquiry(practice), Unreachable("ConnectError"))
    assert not await passes(gate, inquiry(practice))
    assert await passes(gate, inquiry(f"{practice}-other"))

    later = NOW + timedelta(minutes=11)
    async with gate.passage(inquiry(practice, later)):
        assert not await passes(gate, inquiry(practice, later)), "one probe at a time"
    assert await passes(gate, inquiry(practice, later))
    assert await channels.out_of_order(gate._database, practice) == []


async def test_a_probe_that_fails_opens_the_channel_again(gate: Gate) -> None:
    practice = f"p-{uuid.uuid4().hex[:8]}"
    for _ in range(RULE.failures):
        await fail(gate, inquiry(practice), OutcomeUnknown("500"))
    later = NOW + timedelta(minutes=11)
    await fail(gate, inquiry(practice, later), Unreachable("ReadTimeout"))
    assert not await passes(gate, inquiry(practice, later + timedelta(minutes=9)))
    [state] = await channels.out_of_order(gate._database, practice)
    assert (state.failures, state.error, state.open_until) == (4, "ReadTimeout", later + timedelta(minutes=10))


@pytest.mark.parametrize("answered", [Busy("429"), Refused("403")])
async def test_a_payer_that_answers_is_not_out_of_order(gate: Gate, answered: Exception) -> None:
    practice = f"p-{uuid.uuid4().hex[:8]}"
    for _ in range(5):
        await fail(gate, inquiry(practice), answered)
    assert await passes(gate, inquiry(practice))


async def test_two_workers_share_the_places_of_a_carrier_and_stat_has_one_of_its_own(postgres_url: str) -> None:
    await migrate(postgres_url)
    carrier, under_way, most = uuid.uuid4().hex, 0, 0
    databases = [Database(postgres_url), Database(postgres_url)]

    async def ask(gate: Gate) -> None:
        nonlocal under_way, most
        async with gate.passage(inquiry("p", via=carrier, concurrency=2)):
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.05)
            under_way -= 1

    await asyncio.gather(*(ask(Gate(databases[number % 2])) for number in range(8)))
    assert most == 2

    async with (
        Gate(databases[0]).passage(inquiry("p", via=carrier, concurrency=1)),
        Gate(databases[1]).passage(inquiry("p", via=carrier, concurrency=1, urgency=Urgency.STAT)),
    ):
        pass
    for database in databases:
        await database.close()


async def test_without_a_database_nothing_is_held_back() -> None:
    gone = Gate(Database("postgresql://127.0.0.1:1/none", connect_seconds=0.2))
    for _ in range(2 * RULE.failures):
        await fail(gone, inquiry("p", concurrency=1), Unreachable("ConnectError"))
    assert await passes(gone, inquiry("p", concurrency=1))


async def test_an_operator_hears_of_a_channel_once_and_until_it_works_again(gate: Gate) -> None:
    practice = f"p-{uuid.uuid4().hex[:8]}"

    async def told() -> list[str]:
        return [one.key for one in await alerts.open_alerts(gate._database, practice) if one.practice == practice]

    await fail(gate, inquiry(practice), Refused("content:422"))
    assert await told() == []
    for _ in range(2):
        await fail(gate, inquiry(practice), Refused("token:401"))
    assert await told() == ["channel_down/meridian-ppo/pas"]
    assert await passes(gate, inquiry(practice)), "a refusal opens no breaker"
    assert await told() == []

    for _ in range(RULE.failures):
        await fail(gate, inquiry(practice), Unreachable("ConnectError"))
    assert await told() == ["channel_down/meridian-ppo/pas"]
    assert await passes(gate, inquiry(practice, NOW + timedelta(minutes=11)))
    assert await told() == []


@pytest.mark.parametrize("error", [Refused("policy:x12_version_unknown"), MissingSecret("a.b", "A_B", "secrets")])
async def test_what_only_an_operator_can_mend_is_an_alert_with_or_without_a_breaker(
    gate: Gate, error: Exception
) -> None:
    practice = f"p-{uuid.uuid4().hex[:8]}"
    for breaker in (RULE, None):
        await fail(gate, inquiry(practice, breaker=breaker), error)
        (alert,) = [one for one in await alerts.open_alerts(gate._database, practice) if one.practice == practice]
        assert (alert.kind, alert.subject) == ("channel_down", "meridian-ppo")
        assert await passes(gate, inquiry(practice, breaker=breaker)), "a refusal opens no breaker"
        assert await alerts.open_alerts(gate._database, practice) == ()
