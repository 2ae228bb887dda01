"""Payers' notifications to the practice: rest-hook POSTs due on the practice's clock, tried three times.

Source: HL7 Subscriptions R5 Backport (R4), as Da Vinci PAS uses it. The signature is our agreement (`signing.py`), which
some payers do not have.
"""

import asyncio
import json
import time
from contextlib import suppress
from datetime import datetime, timedelta

import httpx

from sandbox import faults, fax, pas_response, signing
from sandbox.clock import format_instant, wall_now
from sandbox.pas_words import TOPIC, dicts
from sandbox.payer_table import PAYERS, PayerProfile
from sandbox.records import Json, Notification, NotificationContent, PayerSubscription, Practice, PriorRequest
from sandbox.world import World

ATTEMPTS = 3
BACKOFF_SECONDS = 0.2
TIMEOUT_SECONDS = 5.0
HEARTBEAT_SECONDS = 1.0
SECRET_HEADER = "x-webhook-secret"


class Notifier:
    """Delivers what is due, one round at a time for each practice."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False)
        self.rounds: dict[str, asyncio.Lock] = {}
        self.moved = asyncio.Event()
        self.handshakes: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """A clock moved: look at once instead of at the next heartbeat."""
        self.moved.set()

    async def run(self) -> None:
        """Until cancelled: deliver what is due whenever a clock moved, and every second of wall time."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.moved.wait(), HEARTBEAT_SECONDS)
            self.moved.clear()
            await asyncio.gather(*(self.deliver_due(practice) for practice in self.world.practices()))

    async def close(self) -> None:
        """Stop what is on its way."""
        for task in self.handshakes:
            task.cancel()
        await self.client.aclose()

    @staticmethod
    def secret_of(resource: Json) -> str:
        """The shared secret of a Subscription's channel header `X-Webhook-Secret: …`; empty when it has none."""
        channel = resource.get("channel")
        headers = channel.get("header", []) if isinstance(channel, dict) else []
        for header in headers if isinstance(headers, list) else []:
            name, _, value = str(header).partition(":")
            if name.strip().lower() == SECRET_HEADER:
                return value.strip()
        return ""

    def add(self, practice: Practice, payer_id: str, endpoint: str, secret: str, resource: Json) -> PayerSubscription:
        """Keep a subscription (one per practice, payer and endpoint) and begin its handshake."""
        number = str(self.world.next_number())
        period = heartbeat_of(resource)
        kept = {**resource, "id": number, "status": "requested"}
        subscription = PayerSubscription(
            id=number,
            payer=payer_id,
            endpoint=endpoint,
            secret=secret,
            status="requested",
            resource=kept,
            heartbeat_seconds=period,
            sent_at=self.world.now(practice),
        )
        practice.subscriptions = [
            entry for entry in practice.subscriptions if (entry.payer, entry.endpoint) != (payer_id, endpoint)
        ]
        practice.subscriptions.append(subscription)
        task = asyncio.create_task(self._shake_hands(subscription))
        self.handshakes.add(task)
        task.add_done_callback(self.handshakes.discard)
        return subscription

    async def _shake_hands(self, subscription: PayerSubscription) -> None:
        bundle = notification_bundle(subscription, "handshake", 0, format_instant(wall_now()))
        statuses = await self.post(subscription, bundle)
        subscription.status = "active" if statuses and httpx.codes.is_success(statuses[-1]) else "error"
        self.world.save()

    async def deliver_due(self, practice: Practice) -> None:
        """Deliver everything that has come due for a practice, in the order in which it is to arrive."""
        async with self.rounds.setdefault(practice.id, asyncio.Lock()):
            now = self.world.now(practice)
            due = sorted(
                (entry for entry in practice.notifications if entry.state == "due" and entry.due <= now),
                key=lambda entry: entry.due,
            )
            if len(due) > 1 and faults.take_callback(practice, due[0].payer, "reorder"):
                due.reverse()
            for entry in due:
                await self._deliver(practice, entry)
            beaten = [await self._beat(entry, now) for entry in practice.subscriptions if practice.settings.heartbeats]
            if await self._call_back(practice, now) or due or any(beaten):
                self.world.save()

    async def _call_back(self, practice: Practice, now: datetime) -> bool:
        """Tell what became of faxes, where their sender wants to hear it; unsigned, as some services do."""
        due = fax.due_callbacks(practice, now)
        if len(due) > 1 and faults.take_callback(practice, "", "reorder", "fax"):
            due.reverse()
        for url, body in due:
            if faults.take_callback(practice, "", "lost_callback", "fax"):
                continue
            for _ in range(2 if faults.take_callback(practice, "", "duplicate_callback", "fax") else 1):
                await self._post(url, json.dumps(body).encode(), {"content-type": "application/json"})
        return bool(due)

    async def _beat(self, subscription: PayerSubscription, now: datetime) -> bool:
        """Say that nothing happened, where the subscriber wants to hear it and nothing else was sent for so long."""
        period, last = subscription.heartbeat_seconds, subscription.sent_at
        if (
            period is None
            or subscription.status != "active"
            or (last is not None and now - last < timedelta(seconds=period))
        ):
            return False
        subscription.sent_at = now
        bundle = notification_bundle(subscription, "heartbeat", subscription.events, format_instant(now))
        await self.post(subscription, bundle)
        return True

    async def _deliver(self, practice: Practice, entry: Notification) -> None:
        subscription = subscription_of(practice, entry.payer)
        held = request_of(practice, entry.payer, entry.claim_identifier)
        if held is None:
            entry.state = "lost"
            return
        if subscription is None:
            entry.state = "failed"
            return
        subscription.events += 1
        subscription.sent_at = self.world.now(practice)
        entry.event_number = subscription.events
        if faults.take_callback(practice, entry.payer, "lost_callback"):
            # Lost on its way: the payer has counted it, and the next number shows the gap.
            entry.state = "lost"
            return
        payer = PAYERS[entry.payer]
        content = practice.settings.notification_content.get(payer.id, payer.notification_content)
        answer = pas_response.response_bundle(held, held.at(entry.as_of), payer)
        body = event_body(subscription, payer, content, answer, entry)
        copies = 2 if faults.take_callback(practice, entry.payer, "duplicate_callback") else 1
        for _ in range(copies):
            statuses = await self.post(subscription, body)
            entry.attempts += len(statuses)
            entry.statuses += statuses
        entry.state = "delivered" if httpx.codes.is_success(entry.statuses[-1]) else "failed"

    async def post(self, subscription: PayerSubscription, body: Json, *, secret: str | None = None) -> list[int]:
        """POST a notification, at most three times; the HTTP statuses, 0 where there was no answer.

        A payer that signs signs it; one that does not sends the header of the channel, as FHIR has it.
        """
        raw = json.dumps(body).encode()
        key = subscription.secret if secret is None else secret
        headers = {"content-type": "application/fhir+json"}
        if not PAYERS[subscription.payer].signs and key:
            return await self._post(subscription.endpoint, raw, {**headers, SECRET_HEADER: key})
        return await self._post(subscription.endpoint, raw, headers, key)

    async def _post(self, url: str, raw: bytes, headers: dict[str, str], key: str = "") -> list[int]:
        statuses: list[int] = []
        for attempt in range(ATTEMPTS):
            signed = signing.signed_headers(key, int(time.time()), raw) if key else {}
            try:
                answer = await self.client.post(url, content=raw, headers={**headers, **signed})
                statuses.append(answer.status_code)
            except httpx.HTTPError:
                statuses.append(0)
            if statuses[-1] and statuses[-1] < httpx.codes.INTERNAL_SERVER_ERROR:
                break
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(BACKOFF_SECONDS * (attempt + 1))
        return statuses


def heartbeat_of(resource: Json) -> int | None:
    """How often a Subscription wants a heartbeat, in seconds; None where it wants none."""
    channel = resource.get("channel")
    for entry in dicts(channel.get("extension")) if isinstance(channel, dict) else []:
        period = entry.get("valueUnsignedInt")
        if str(entry.get("url", "")).endswith("backport-heartbeat-period") and isinstance(period, int) and period > 0:
            return period
    return None


def subscription_of(practice: Practice, payer_id: str) -> PayerSubscription | None:
    """The practice's newest subscription at a payer that is not in error."""
    return next((e for e in reversed(practice.subscriptions) if e.payer == payer_id and e.status != "error"), None)


def request_of(practice: Practice, payer_id: str, claim_identifier: str) -> PriorRequest | None:
    """The request that a payer holds under a Claim.identifier."""
    for held in practice.requests:
        if (held.payer, held.claim_identifier) == (payer_id, claim_identifier):
            return held
    return None


def event_body(
    subscription: PayerSubscription,
    payer: PayerProfile,
    content: NotificationContent,
    answer: Json,
    entry: Notification,
) -> Json:
    """What is POSTed for one event: a notification Bundle, or in the 2.0.1 variant the bare ClaimResponse."""
    if content == "claim-response" and not payer.is_2_2:
        bare: Json = answer["entry"][0]["resource"]
        return bare
    number = entry.event_number or 0
    at = format_instant(entry.due)
    return notification_bundle(subscription, "event-notification", number, at, answer, full=content == "full-resource")


def notification_bundle(
    subscription: PayerSubscription, kind: str, number: int, at: str, answer: Json | None = None, *, full: bool = True
) -> Json:
    """A notification Bundle of type history: Parameters first, then with `full` the whole response Bundle."""
    parameters: list[Json] = [
        {"name": "subscription", "valueReference": {"reference": f"Subscription/{subscription.id}"}},
        {"name": "topic", "valueCanonical": TOPIC},
        {"name": "status", "valueCode": "requested" if kind == "handshake" else "active"},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(subscription.events)},
    ]
    entries: list[Json] = []
    if answer is not None:
        focus = f"urn:uuid:{answer['id']}"
        event: list[Json] = [
            {"name": "event-number", "valueString": str(number)},
            {"name": "timestamp", "valueInstant": at},
            {"name": "focus", "valueReference": {"reference": focus}},
        ]
        parameters.append({"name": "notification-event", "part": event})
        if full:
            entries.append({"fullUrl": focus, "resource": answer, "response": {"status": "200"}})
    status_id = pas_response.stable_id(subscription.id, kind, str(number), at)
    status: Json = {
        "fullUrl": f"urn:uuid:{status_id}",
        "resource": {"resourceType": "Parameters", "id": status_id, "parameter": parameters},
        "request": {"method": "GET", "url": f"Subscription/{subscription.id}/$status"},
        "response": {"status": "200"},
    }
    return {
        "resourceType": "Bundle",
        "id": pas_response.stable_id(status_id, "Bundle"),
        "type": "history",
        "timestamp": at,
        "entry": [status, *entries],
    }
