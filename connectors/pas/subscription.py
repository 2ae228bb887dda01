"""The Subscription by which a payer tells a practice its answers: one for each organization, not for each request.

Source: PAS 2.2.1 `profile-subscription`; HL7 Subscriptions R5 Backport for R4 1.1.0.
"""

from datetime import timedelta
from http import HTTPStatus
from urllib.parse import quote

from connectors.errors import NotUnderstood, Refused
from connectors.lenient import Json, NotJson, objects, parse, raw, token
from connectors.pas.client import PasClient
from connectors.pas.parties import resource
from connectors.pas.words import BACKPORT, TOPIC
from connectors.raw import RawAnswer

_STANDS = frozenset({"requested", "active"})


def subscription(
    endpoint: str, organization: str, filter_name: str, secret: str, heartbeat: timedelta | None = None
) -> Json:
    """Return the Subscription for a practice's answers: rest-hook, with the whole answer in each notification.

    `filter_name` is `org-identifier` or `orgIdentifier`, as the payer has it: the specification's text and its topic
    disagree. `secret` is what the payer sends back in `X-Webhook-Secret`, or signs with. With `heartbeat` the payer is
    asked to say now and then that nothing has happened; it need not.
    """
    criteria = {"url": f"{BACKPORT}backport-filter-criteria", "valueString": f"{filter_name}={organization}"}
    content = {"url": f"{BACKPORT}backport-payload-content", "valueCode": "full-resource"}
    beats = int(heartbeat.total_seconds()) if heartbeat is not None else None
    channel: Json = {
        "type": "rest-hook",
        "endpoint": endpoint,
        "payload": "application/fhir+json",
        "_payload": {"extension": [content]},
        "header": [f"X-Webhook-Secret: {secret}"],
    }
    if beats is not None:
        channel["extension"] = [{"url": f"{BACKPORT}backport-heartbeat-period", "valueUnsignedInt": beats}]
    return resource(
        "Subscription",
        "profile-subscription",
        status="requested",
        reason="Answers to prior authorization requests of this organization.",
        criteria=TOPIC,
        _criteria={"extension": [criteria]},
        channel=channel,
    )


async def ensure_subscription(client: PasClient, wanted: Json, reference: str | None, *, anew: bool = False) -> str:
    """Make sure that the payer has the subscription, and return its reference. Safe to repeat.

    The one that is known by `reference` stands where the payer says so and it is as wanted; without a reference one to
    the same endpoint is looked for. Otherwise it is made, and the old one ended. With `anew` none that stands will do.

    Raises:
        Busy, Unreachable: try again later.
        Refused: the payer does not let this practice in, or does not take the subscription.
        NotUnderstood: the payer took it and does not say under which id.
    """
    held = await _held(client, wanted, reference)
    if held is not None and not anew and held.get("status") in _STANDS and _says(held) == _says(wanted):
        return f"Subscription/{held['id']}"
    answer = await _subscribed(client, wanted)
    made = _subscription(answer.body)
    if made is None:
        raise NotUnderstood("subscription:no_id", answer.body, answer.media_type or "application/octet-stream")
    if held is not None and held["id"] != made["id"]:
        await client.delete(f"Subscription/{held['id']}")
    return f"Subscription/{made['id']}"


async def status_of(client: PasClient, reference: str) -> str | None:
    """Return the payer's word for how a subscription stands; None where it has none by that reference.

    Raises:
        Busy, Unreachable: it cannot be looked at now.
        Refused: the payer does not let this practice in.
    """
    answer = await client.read(reference)
    found = _subscription(answer.body) if answer.status == HTTPStatus.OK else None
    return token(found.get("status"), 20) if found is not None else None


async def _subscribed(client: PasClient, wanted: Json) -> RawAnswer:
    """Subscribe. A payer of PAS 2.0.1 must serve ids, and whole answers by agreement only: what they tell is then asked for."""
    try:
        return await client.subscribe(wanted)
    except Refused as refused:
        if client.version != "2.0.1" or not refused.code.startswith("subscription:"):
            raise
    content = {"url": f"{BACKPORT}backport-payload-content", "valueCode": "id-only"}
    return await client.subscribe({**wanted, "channel": {**wanted["channel"], "_payload": {"extension": [content]}}})


async def _held(client: PasClient, wanted: Json, reference: str | None) -> Json | None:
    if reference is not None:
        answer = await client.read(reference)
        return _subscription(answer.body) if answer.status == HTTPStatus.OK else None
    answer = await client.read(f"Subscription?url={quote(wanted['channel']['endpoint'], safe='')}")
    if answer.status != HTTPStatus.OK:
        return None  # a payer need not let itself be searched
    try:
        entries = objects(parse(answer.body).get("entry"))
    except NotJson:
        return None
    mine = [entry["resource"] for entry in entries if _usable(entry.get("resource"))]
    same = [one for one in mine if _says(one)[0] == _says(wanted)[0]]
    return next((one for one in same if one.get("status") in _STANDS), None)


def _subscription(body: bytes) -> Json | None:
    try:
        found = parse(body)
    except NotJson:
        return None
    return found if _usable(found) else None


def _usable(found: object) -> bool:
    if not isinstance(found, dict) or found.get("resourceType") != "Subscription":
        return False
    return token(found.get("id"), 64) is not None


def _says(one: Json) -> tuple[str, tuple[str, ...]]:
    """Where a subscription sends to, and what it filters by."""
    channel, criteria = one.get("channel"), one.get("_criteria")
    filters = objects(criteria.get("extension")) if isinstance(criteria, dict) else []
    endpoint = raw(channel.get("endpoint")) if isinstance(channel, dict) else ""
    return endpoint, tuple(sorted(raw(one.get("valueString")) for one in filters))
