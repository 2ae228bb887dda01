"""Payers that tell of their own accord: one subscription is kept, silence and gaps are noticed, and what was missed is asked."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from activities.subscriptions import SILENCE, Subscriptions
from connectors.errors import NotUnderstood, Refused
from connectors.pas.claim import Version
from connectors.pas.client import PasClient
from connectors.pas.read import read_notification
from connectors.pas.subscription import ensure_subscription, subscription
from runtime.processes import free_port
from store import alerts
from store.database import Database
from store.migrate import migrate
from store.subscriptions import LEASE, heard, keep, plain, recovered, take
from tests.api_doors import open_doors
from tests.house import Desk, House
from tests.test_sandbox_notifications import Receiver
from tests.test_sandbox_payers import PayerClient, request_bundle

Json = dict[str, Any]
NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[Database]:
    await migrate(postgres_url)
    database = Database(postgres_url)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM subscriptions")
    yield database
    await database.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


async def test_one_worker_at_a_time_looks_after_a_subscription(db: Database) -> None:
    held = await take(db, "lakeside", "meridian-ppo", NOW)
    assert held is not None
    assert (held.reference, held.missed_at) == (None, None)
    assert await take(db, "lakeside", "meridian-ppo", NOW + LEASE / 2) is None
    assert await take(db, "lakeside", "meridian-ppo", NOW + LEASE) is not None
    await keep(db, held, "https://payer.example/fhir/Subscription/7/_history/1", NOW, HOUR)
    assert await take(db, "lakeside", "meridian-ppo", NOW + HOUR / 2) is None
    again = await take(db, "lakeside", "meridian-ppo", NOW + HOUR)
    assert again is not None
    assert again.reference == plain("Subscription/7/") == "Subscription/7"


async def test_a_gap_is_noticed_once_in_whatever_order_events_come(db: Database) -> None:
    held = await take(db, "lakeside", "meridian-ppo", NOW)
    assert held is not None
    await keep(db, held, "Subscription/7", NOW, HOUR)

    async def event(number: int | None, **more: Any) -> bool:
        return await heard(db, "meridian-ppo", "Subscription/7", number, NOW, **{"beat": False, **more})

    assert [await event(1), await event(2), await event(2), await event(1)] == [False] * 4
    assert not await event(2, beat=True)
    assert await event(4)
    assert not await event(3)
    assert await event(6, beat=True)
    assert await event(None, unsaid=True)
    assert not await heard(db, "meridian-ppo", "Subscription/of-others", 9, NOW, beat=False)
    noted = await take(db, "lakeside", "meridian-ppo", NOW)
    assert noted is not None
    assert (noted.last_event, noted.missed_at, noted.beats) == (6, NOW, True)
    assert (await keep(db, noted, "Subscription/7", NOW, HOUR)).missed_at == NOW
    assert await take(db, "lakeside", "meridian-ppo", NOW + LEASE) is not None
    await recovered(db, noted, NOW, HOUR)
    assert await take(db, "lakeside", "meridian-ppo", NOW + LEASE) is None


async def test_a_new_subscription_counts_anew_and_what_the_old_one_missed_is_asked_for(db: Database) -> None:
    held = await take(db, "lakeside", "meridian-ppo", NOW)
    assert held is not None
    await keep(db, held, "Subscription/7", NOW, HOUR)
    await heard(db, "meridian-ppo", "Subscription/7", 0, NOW, beat=True)
    fresh = await keep(db, held, "Subscription/8", NOW + HOUR, HOUR)
    assert (fresh.last_event, fresh.beats, fresh.missed_at) == (0, False, NOW + HOUR)


def client_at(at: str, http: httpx.AsyncClient, practice: str, version: Version = "2.2.1") -> PasClient:
    return PasClient(http, f"{at}/fhir", f"{at}/oauth/token", practice, lambda: "y", version, timedelta(seconds=5))


async def test_a_subscription_is_made_once_found_again_and_made_anew_where_it_failed(
    sandbox_url: str, receiver: Receiver
) -> None:
    wanted = subscription(receiver.url, "1990000001", "org-identifier", "s3cret", HOUR)
    async with httpx.AsyncClient(trust_env=False) as http:
        client = client_at(f"{sandbox_url}/payers/meridian-ppo", http, f"t{free_port()}-subscriber")
        first = await ensure_subscription(client, wanted, None)
        assert await ensure_subscription(client, wanted, None) == first
        assert await ensure_subscription(client, wanted, first) == first
        assert await ensure_subscription(client, wanted, "Subscription/never-was") != first
        second = await ensure_subscription(client, wanted, None)
        third = await ensure_subscription(client, wanted, second, anew=True)
        assert third != second
        other = subscription(f"{receiver.url}/elsewhere", "1990000001", "org-identifier", "s3cret")
        moved = await ensure_subscription(client, other, third)
        assert moved != third
        assert (await client.read(third)).status == 404
        with pytest.raises(Refused, match="subscription:422"):
            await ensure_subscription(client, {**wanted, "criteria": "Claim"}, None)


async def test_a_payer_that_cannot_be_searched_or_gives_no_id(receiver: Receiver) -> None:
    made: list[str] = []

    def payer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "t"})
        made.append(request.method)
        if request.method == "GET":
            return httpx.Response(405)
        body = {"resourceType": "Subscription"} | ({"id": "9"} if made.count("POST") == 1 else {})
        return httpx.Response(201, json=body)

    wanted = subscription(receiver.url, "1990000001", "orgIdentifier", "s3cret")
    async with httpx.AsyncClient(transport=httpx.MockTransport(payer)) as http:
        client = client_at("http://payer.example", http, "lakeside")
        assert await ensure_subscription(client, wanted, None) == "Subscription/9"
        with pytest.raises(NotUnderstood):
            await ensure_subscription(client, wanted, "Subscription/9")


@pytest.mark.parametrize(("version", "wants"), [("2.0.1", ["full-resource", "id-only"]), ("2.2.1", ["full-resource"])])
async def test_a_payer_of_the_older_version_may_tell_ids_only(
    receiver: Receiver, version: Version, wants: list[str]
) -> None:
    asked: list[str] = []

    def payer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "t"})
        if request.method == "GET":
            return httpx.Response(405)
        (content,) = json.loads(request.content)["channel"]["_payload"]["extension"]
        asked.append(content["valueCode"])
        taken = content["valueCode"] == "id-only"
        return httpx.Response(201 if taken else 422, json={"resourceType": "Subscription", "id": "9"})

    wanted = subscription(receiver.url, "1990000001", "orgIdentifier", "s3cret")
    async with httpx.AsyncClient(transport=httpx.MockTransport(payer)) as http:
        client = client_at("http://payer.example", http, "lakeside", version)
        if version == "2.0.1":
            assert await ensure_subscription(client, wanted, None) == "Subscription/9"
        else:
            with pytest.raises(Refused, match="subscription:422"):
                await ensure_subscription(client, wanted, None)
    assert asked == wants


def callback(kind: str, reference: str, number: int) -> bytes:
    """A notification of the backport without the answer in it."""
    parameters: list[Json] = [
        {"name": "subscription", "valueReference": {"reference": reference}},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(number)},
    ]
    status = {"resourceType": "Parameters", "parameter": parameters}
    return json.dumps({"resourceType": "Bundle", "type": "history", "entry": [{"resource": status}]}).encode()


def test_a_heartbeat_says_how_many_events_there_were() -> None:
    said = read_notification(callback("heartbeat", "Subscription/7", 12))
    assert (said.type, said.event_number, said.subscription) == ("heartbeat", 12, "Subscription/7")


@asynccontextmanager
async def keeper(house: House, desk: Desk, url: str) -> AsyncIterator[Subscriptions]:
    settings = house.settings.model_copy(update={"public_url": url})
    outside = replace(house.parts.outside, settings=settings, practices={desk.practice.id: desk.practice}, _clients={})
    yield Subscriptions(outside, house.parts.database, house.env.client)
    await outside.aclose()


def test_a_payer_says_now_and_then_that_nothing_happened_and_counts_what_was_lost(
    sandbox_url: str, receiver: Receiver
) -> None:
    payer = PayerClient(sandbox_url, "meridian-ppo")
    wanted = subscription(receiver.url, "1990000001", "org-identifier", "a shared secret", HOUR)
    location = payer.post("Subscription", wanted).raise_for_status().headers["location"]
    while payer.http.get(location).json()["status"] != "active":
        time.sleep(0.02)
    payer.advance(payer.now + 2 * HOUR)
    beat = read_notification(receiver.got[-1][1])
    assert (beat.type, beat.event_number) == ("heartbeat", 0)
    payer.submit(request_bundle("200")).raise_for_status()
    payer.control("POST", "faults", {"system": "payers", "fault": "lost_callback"})
    payer.advance(payer.now + timedelta(days=7))
    assert read_notification(receiver.got[-1][1]).event_number == 0
    payer.advance(payer.now + 2 * HOUR)
    beat = read_notification(receiver.got[-1][1])
    assert (beat.type, beat.event_number) == ("heartbeat", 1)
    heard_so_far = len(receiver.got)
    payer.control("PATCH", "settings", {"heartbeats": False})
    payer.advance(payer.now + timedelta(days=1))
    assert len(receiver.got) == heard_so_far
    payer.http.close()


async def row(house: House, desk: Desk) -> Any:
    async with house.parts.database.connection() as connection:
        return await connection.fetchrow(
            "SELECT * FROM subscriptions WHERE practice = $1 AND payer = 'meridian-ppo'", desk.practice.id
        )


async def test_a_gap_makes_every_case_that_waits_for_the_payer_ask(house: House, receiver: Receiver) -> None:
    policies = tuple(p for p in house.parts.shelf.policies if p.payer == "meridian-ppo")
    async with open_doors(house) as doors, keeper(house, doors.desk, receiver.url) as keeping:
        now = datetime.now(UTC)
        assert await keeping.look(policies, now) == 1
        assert await keeping.look(policies, now) == 0
        held = await row(house, doors.desk)
        assert held["reference"].startswith("Subscription/")
        path, _ = await doors.opened("202")
        before = (await doors.kinds(path)).count("status_inquired")

        beat = await doors.notify("meridian-ppo", callback("heartbeat", held["reference"], 0))
        assert beat.json() == {"status": "heartbeat"}
        assert (await row(house, doors.desk))["missed_at"] is None
        event = await doors.notify("meridian-ppo", callback("event-notification", held["reference"], 3))
        assert event.json() == {"status": "no_case"}
        assert (await row(house, doors.desk))["missed_at"] is not None

        assert await keeping.look(policies, datetime.now(UTC)) == 1
        await doors.quiet(path)
        kinds = await doors.kinds(path)
        assert kinds.count("notification_claimed") == 1
        assert kinds.count("status_inquired") == before + 1
        assert (await row(house, doors.desk))["missed_at"] is None

        silent = await keeping.look(policies, datetime.now(UTC) + SILENCE + HOUR)
        assert silent == 1
        anew = await row(house, doors.desk)
        assert anew["reference"] != held["reference"]
        assert anew["beats"] is False


async def test_what_a_payer_does_not_take_is_told_and_what_is_away_is_put_off(house: House, receiver: Receiver) -> None:
    (policy,) = (p for p in house.parts.shelf.policies if p.payer == "meridian-ppo")
    now = datetime.now(UTC)
    async with (
        house.desk() as desk,
        keeper(house, desk, "ftp://nowhere.example") as lost,
        keeper(house, desk, receiver.url) as keeping,
    ):
        assert await lost.look((policy,), now) == 1
        told = [one.key for one in await alerts.open_alerts(house.parts.database, desk.practice.id) if one.practice]
        assert told == ["subscription_not_kept/meridian-ppo"]
        assert await lost.look((policy,), now) == 0
        await desk.fault("payers", r"POST .*Subscription", "500")
        assert await keeping.look((policy,), now + LEASE) == 1
        assert (await row(house, desk))["reference"] is None
        assert await keeping.look((policy,), now + 2 * LEASE) == 1
        assert (await row(house, desk))["reference"] is not None
        told = [one.key for one in await alerts.open_alerts(house.parts.database, desk.practice.id) if one.practice]
        assert told == []
