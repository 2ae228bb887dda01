"""The control API: what a test or a demo turns, plants and looks at. Only from loopback; nothing of a real system.

`/control/practices/{practice}/…`: clock, faults, settings, received, orders, documents, replies, notifications,
subscriptions, tokens, reset.
"""

import uuid
from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from sandbox import luma, nextgen, nextgen_chart, pas_response, received, seeding
from sandbox.answers import Refused, world_of
from sandbox.clock import format_instant, format_millis
from sandbox.notifications import Notifier, event_body, request_of, subscription_of
from sandbox.payer_table import PAYERS
from sandbox.records import FaultRule, Json, Notification, Practice, PracticeSettings

LOOPBACK = ("127.0.0.1", "::1")


def _loopback(request: Request) -> None:
    if request.client is None or request.client.host not in LOOPBACK:
        raise Refused(404, None)


def _practice(practice_id: str, request: Request) -> Practice:
    try:
        return world_of(request).practice(practice_id)
    except ValueError as wrong:
        raise Refused(404, {"message": str(wrong)}) from None


router = APIRouter(prefix="/control", dependencies=[Depends(_loopback)])
ThePractice = Annotated[Practice, Depends(_practice)]
PREFIX = "/practices/{practice_id}"


class Wish(BaseModel):
    """Base of control requests: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClockWish(Wish):
    """Advance to an instant, or by days and hours of plain time."""

    to: AwareDatetime | None = None
    days: float = Field(default=0, ge=0)
    hours: float = Field(default=0, ge=0)


class ReplyWish(Wish):
    """A patient's reply to the message of that `externalId.value` or `_id`."""

    message: str
    text: str = "yes"
    classification: Literal["positive", "negative", "irregular", "recognized-keywords", "unclassified"] = "positive"


class SubscriptionWish(Wish):
    """A subscription without the FHIR call."""

    payer: str
    endpoint: str
    secret: str = ""


class NotifyWish(Wish):
    """Send the current answer of a request now, as often as `copies`; `forged` signs with a wrong secret."""

    payer: str
    claim_identifier: str
    copies: int = Field(default=1, ge=1, le=10)
    forged: bool = False


class RouteWish(Wish):
    """NextGen routes ("METHOD /path", regular expressions) that this practice's app has not been granted."""

    denied: list[str]


class LockWish(Wish):
    """Encounters that are locked."""

    encounters: list[str]


def _notifier(request: Request) -> Notifier:
    notifier = request.app.state.notifier
    if not isinstance(notifier, Notifier):
        raise TypeError("the application has no notifier: make it with sandbox.app.create_app()")
    return notifier


@router.get("/payers")
async def payers() -> Json:
    """The payer table."""
    return {"items": [{"id": row.id, "name": row.name, "pas_version": row.pas_version} for row in PAYERS.values()]}


@router.get(f"{PREFIX}/clock")
async def clock(practice: ThePractice, request: Request) -> Json:
    """The practice's time."""
    return {"now": world_of(request).now(practice).isoformat()}


@router.post(f"{PREFIX}/clock")
async def advance(practice: ThePractice, wish: ClockWish, request: Request) -> Json:
    """Advance; what comes due is delivered before this answers. The clock does not go back."""
    world = world_of(request)
    target = wish.to or world.now(practice) + timedelta(days=wish.days, hours=wish.hours)
    if practice.clock_offset is not None and target < world.now(practice):
        raise Refused(409, {"message": "The clock does not go back: reset the practice instead."})
    world.see(practice, target)
    await _notifier(request).deliver_due(practice)
    return {"now": world.now(practice).isoformat()}


@router.get(f"{PREFIX}/faults")
async def faults(practice: ThePractice) -> Json:
    """The switched faults that are not used up."""
    return {"items": [rule.model_dump() for rule in practice.faults]}


@router.post(f"{PREFIX}/faults", status_code=201)
async def switch(practice: ThePractice, rule: FaultRule) -> Json:
    """Switch a fault on."""
    practice.faults.append(rule)
    return rule.model_dump()


@router.delete(f"{PREFIX}/faults", status_code=204)
async def switch_off(practice: ThePractice) -> Response:
    """Switch all faults off."""
    practice.faults = []
    return Response(status_code=204)


@router.get(f"{PREFIX}/settings")
async def settings(practice: ThePractice) -> PracticeSettings:
    """The lasting switches."""
    return practice.settings


@router.patch(f"{PREFIX}/settings")
async def set_settings(practice: ThePractice, change: Json) -> PracticeSettings:
    """Change lasting switches; the others stay."""
    unknown = sorted(set(change) - set(PracticeSettings.model_fields))
    if unknown:
        raise Refused(422, {"message": f"There is no setting {unknown[0]}."})
    practice.settings = PracticeSettings.model_validate({**practice.settings.model_dump(), **change})
    return practice.settings


@router.get(f"{PREFIX}/received")
async def received_by_systems(practice: ThePractice, system: str | None = None) -> Json:
    """Every request that reached a system, and what came of them, counted."""
    items = [entry.model_dump(mode="json") for entry in practice.received if system in (None, entry.system)]
    return {"items": items, "effects": received.effects(practice)}


@router.get(f"{PREFIX}/requests")
async def requests(practice: ThePractice, request: Request) -> Json:
    """The prior-authorization requests that payers hold, with their present state."""
    now = world_of(request).now(practice)
    return {
        "items": [received.request_state(held, now) for held in practice.requests]
        + [received.review_state(held, now) for held in practice.reviews]
    }


@router.post(f"{PREFIX}/orders", status_code=201)
async def plant(practice: ThePractice, wish: seeding.Planting, request: Request) -> Json:
    """Plant EHR resources, appointments, insurances, tasks, documents and Luma patients."""
    at = nextgen.stamp(request, practice)
    return seeding.plant(practice, wish, at, format_instant(world_of(request).now(practice)))


@router.put(f"{PREFIX}/nextgen/routes", status_code=204)
async def deny_routes(practice: ThePractice, wish: RouteWish) -> Response:
    """Say which NextGen routes answer 403."""
    practice.ehr.denied_routes = wish.denied
    return Response(status_code=204)


@router.put(f"{PREFIX}/nextgen/locks", status_code=204)
async def lock(practice: ThePractice, wish: LockWish) -> Response:
    """Say which encounters are locked."""
    practice.ehr.locked_encounters = wish.encounters
    return Response(status_code=204)


@router.get(f"{PREFIX}/documents")
async def documents(practice: ThePractice) -> Json:
    """Every chart document with its content in base64."""
    return {"items": list(practice.ehr.documents.values())}


@router.post(f"{PREFIX}/documents", status_code=201)
async def plant_document(practice: ThePractice, document: Json, request: Request) -> Json:
    """Plant a chart document: personId, description, contentType, content."""
    missing = sorted({"personId", "description", "contentType", "content"} - set(document))
    if missing:
        raise Refused(422, {"message": f"{missing[0]} is missing."})
    made = nextgen_chart.put_document(practice, str(document["personId"]), document, nextgen.stamp(request, practice))
    return {"id": made["id"]}


@router.post(f"{PREFIX}/replies", status_code=201)
async def reply(practice: ThePractice, wish: ReplyWish, request: Request) -> Json:
    """Plant a patient's reply."""
    world = world_of(request)
    for message in practice.messaging.messages.values():
        external: Any = message.get("externalId") or {}
        if wish.message in (message["_id"], external.get("value")):
            number, at = str(world.next_number()), format_millis(world.now(practice))
            return luma.put_reply(practice, message, (wish.text, wish.classification), number, at)
    raise Refused(404, {"message": "No such message was sent."})


@router.get(f"{PREFIX}/notifications")
async def notifications(practice: ThePractice) -> Json:
    """Planned, delivered, lost and failed notifications."""
    return {"items": [entry.model_dump(mode="json") for entry in practice.notifications]}


@router.post(f"{PREFIX}/notifications")
async def notify(practice: ThePractice, wish: NotifyWish, request: Request) -> Json:
    """Send a notification now, whatever the clock says; answers with the HTTP statuses that came back."""
    held = request_of(practice, wish.payer, wish.claim_identifier)
    subscription = subscription_of(practice, wish.payer)
    if held is None or subscription is None:
        raise Refused(404, {"message": "There is no such request, or no subscription at this payer."})
    now = world_of(request).now(practice)
    payer = PAYERS[wish.payer]
    subscription.events += 1
    entry = Notification(
        id=str(uuid.uuid4()),
        payer=payer.id,
        claim_identifier=wish.claim_identifier,
        due=now,
        as_of=now,
        event_number=subscription.events,
    )
    answer = pas_response.response_bundle(held, held.at(now), payer)
    content = practice.settings.notification_content.get(payer.id, payer.notification_content)
    body = event_body(subscription, payer, content, answer, entry)
    secret = f"not-{subscription.secret}" if wish.forged else None
    statuses: list[int] = []
    for _ in range(wish.copies):
        statuses += await _notifier(request).post(subscription, body, secret=secret)
    return {"statuses": statuses, "event_number": entry.event_number}


@router.get(f"{PREFIX}/subscriptions")
async def subscriptions(practice: ThePractice) -> Json:
    """The practice's subscriptions, without their secrets."""
    return {"items": [entry.model_dump(exclude={"secret", "resource"}) for entry in practice.subscriptions]}


@router.post(f"{PREFIX}/subscriptions", status_code=201)
async def subscribe(practice: ThePractice, wish: SubscriptionWish, request: Request) -> Json:
    """Subscribe an endpoint without the FHIR call; the handshake goes out as usual."""
    if wish.payer not in PAYERS:
        raise Refused(404, {"message": "No such payer."})
    resource: Json = {"resourceType": "Subscription", "channel": {"type": "rest-hook", "endpoint": wish.endpoint}}
    made = _notifier(request).add(practice, wish.payer, wish.endpoint, wish.secret, resource)
    return {"id": made.id, "status": made.status}


@router.post(f"{PREFIX}/tokens/revoke", status_code=204)
async def revoke(practice: ThePractice) -> Response:
    """Make every token of the practice invalid at once."""
    practice.token_generation += 1
    return Response(status_code=204)


@router.post(f"{PREFIX}/reset", status_code=204)
async def reset(practice: ThePractice, request: Request) -> Response:
    """Forget the practice: clock, requests, charts, faults, tokens."""
    world_of(request).forget(practice.id)
    return Response(status_code=204)
