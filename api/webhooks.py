"""Payers' callbacks: a claim until verified. A verified one is a fact; any other one may cause an inquiry and nothing more.

Verified means: signed by the payer's secret (HMAC-SHA256 over `<timestamp>.<body>`), not older or newer than five
minutes, and not seen before. Whoever is not verified is told nothing but that.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Header, Path, Request
from fastapi.responses import JSONResponse

from api.answers import PROBLEMS
from api.auth import services_of
from api.problems import Problem
from api.services import Services
from api.webhook_facts import Event, claimed, event_of, facts_of, moment
from connectors.documents import ANSWER_KIND
from connectors.errors import ConnectorError
from connectors.pas.read import Notification, read_notification
from domain.base import Frozen
from domain.case import Case
from domain.order import DocumentRef
from runtime.errors import MissingSecret
from runtime.logs import get_logger
from runtime.metrics import WEBHOOKS
from store import subscriptions
from store.errors import StoreAway

router = APIRouter(prefix="/v1/webhooks/payers", tags=["webhooks"])
log = get_logger(__name__)

TOLERANCE = timedelta(minutes=5)
"""How far a callback's timestamp may be from our clock."""
CLAIM_EVERY = timedelta(minutes=10)
"""At most one claim in this time reaches a case, whoever makes it: it is part of the claim's source id."""
_CLAIMS_AT_ONCE = 20
"""At most so many unverified callbacks are looked into in `_CLAIMS_WITHIN`; the rest is only refused."""
_CLAIMS_WITHIN = timedelta(seconds=10)
_MAX_EVENTS = 20
_SIGNATURE = re.compile(r"^sha256=[0-9a-f]{64}$")


class Taken(StrEnum):
    """What became of a callback."""

    HANDSHAKE = "handshake"
    HEARTBEAT = "heartbeat"
    TAKEN = "taken"
    SEEN = "seen"
    NO_CASE = "no_case"
    UNREADABLE = "unreadable"


class WebhookAnswer(Frozen):
    """What became of a verified callback."""

    status: Taken


@router.post(
    "/{payer}",
    summary="A payer's notification",
    response_model=WebhookAnswer,
    responses={status: PROBLEMS[status] for status in (401, 404, 413, 503)},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/fhir+json": {
                    "schema": {
                        "type": "object",
                        "description": "A notification Bundle of the Subscriptions R5 Backport for R4.",
                    }
                }
            },
        }
    },
)
async def post_webhook(
    request: Request,
    payer: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{1,60}$")],
    x_vigil_timestamp: Annotated[str | None, Header(description="Unix seconds at which it was signed.")] = None,
    x_vigil_signature: Annotated[
        str | None, Header(description="`sha256=` and the hex HMAC-SHA256 of `<timestamp>.<body>`.")
    ] = None,
) -> JSONResponse:
    """Take a payer's notification of a decision. Safe to send again.

    What cannot be verified is answered with 401 and changes nothing; where it names a case, Vigil may ask the payer.
    """
    services = services_of(request)
    if (await services.rules()).get(payer) is None:
        raise Problem(404, "payer_unknown", "There is no such payer here.")
    body = await request.body()
    at = _verified(services, payer, x_vigil_timestamp, x_vigil_signature, body)
    if at is None:
        await _claim(services, payer, body)
        WEBHOOKS.labels(payer, "unverified").inc()
        raise Problem(401, "unverified", "The callback's signature or timestamp cannot be verified.")
    mark = f"{x_vigil_timestamp}.{x_vigil_signature}"
    if not await services.seen.first_time(payer, mark, at=services.clock()):
        return _answer(payer, Taken.SEEN)
    try:
        taken = await _take(services, payer, body, request.headers.get("content-type", ""))
    except Problem:
        # It was not taken in after all: the payer may send the very same again.
        try:
            await services.seen.take_back(payer, mark)
        except StoreAway:
            log.warning("PostgreSQL is away; a callback that was not taken will be refused when it comes again")
        raise
    return _answer(payer, taken)


def _verified(
    services: Services, payer: str, timestamp: str | None, signature: str | None, body: bytes
) -> datetime | None:
    """When the payer signed it, or None where that is not proven."""
    try:
        secret = services.settings.secret(f"{payer}.webhook").get_secret_value()
    except MissingSecret:
        log.exception("callbacks of a payer cannot be verified: its secret is not set", payer=payer)
        return None
    if timestamp is None or signature is None or not timestamp.isascii() or not timestamp.isdigit():
        return None
    if len(timestamp) > 12 or not _SIGNATURE.match(signature):  # noqa: PLR2004 - seconds until the year 33658
        return None
    expected = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(f"sha256={expected}", signature):
        return None
    at = datetime.fromtimestamp(int(timestamp), UTC)
    return at if abs(services.clock() - at) <= TOLERANCE else None


async def _take(services: Services, payer: str, body: bytes, media_type: str) -> Taken:
    notification = read_notification(body)
    await _count(services, payer, notification)
    if notification.type in {"handshake", "heartbeat"}:
        return Taken(notification.type)
    if notification.type == "unreadable":
        log.warning("a verified callback could not be read", payer=payer)
        return Taken.UNREADABLE
    told = False
    for event in _events(notification):
        case = await _case(services, payer, event)
        if case is None:
            continue
        raw = await _keep(services, case.practice, body, media_type)
        facts = facts_of(case, event, body, raw=raw, now=moment(case, services.clock()))
        told = await services.cases.notice(case.practice, case.id, facts) or told
    return Taken.TAKEN if told else Taken.NO_CASE


async def _count(services: Services, payer: str, notification: Notification) -> None:
    """Note how far the payer's subscription was heard. What was missed, or only named by an id, is asked for soon."""
    if notification.subscription is None or notification.type in {"handshake", "unreadable"}:
        return
    try:
        missed = await subscriptions.heard(
            services.database,
            payer,
            notification.subscription,
            notification.event_number,
            services.clock(),
            beat=notification.type == "heartbeat",
            unsaid=notification.type == "event-notification" and not notification.decisions,
        )
    except StoreAway:
        log.warning("PostgreSQL is away; an event is not counted, and the next one will show it", payer=payer)
        return
    if missed:
        log.info("a payer's notification is missing or says no more than an id", payer=payer)


async def _claim(services: Services, payer: str, body: bytes) -> None:
    """An unverified callback that names a case of the payer: worth one question, of all such callbacks together."""
    now = services.clock()
    if not services.claims.allow(now, most=_CLAIMS_AT_ONCE, within=_CLAIMS_WITHIN):
        return
    events = _events(read_notification(body))
    try:
        case = await _case(services, payer, events[0]) if events else None
        if case is not None:
            await services.cases.notice(case.practice, case.id, [claimed(payer, now, CLAIM_EVERY)])
    except Problem:
        return  # Temporal is away: the follow-ups ask anyway


def _events(notification: Notification) -> list[Event]:
    found = [event_of(decision.trace) for decision in notification.decisions[:_MAX_EVENTS]]
    return list(dict.fromkeys(event for event in found if event is not None))


async def _case(services: Services, payer: str, event: Event) -> Case | None:
    """The case that an event is about, where its track is at that payer."""
    practice = await services.cases.owner(event.case_id)
    if practice is None:
        return None
    try:
        case = await services.cases.case(practice, event.case_id)
    except Problem as problem:
        if problem.code == "not_found":
            return None
        raise
    track = case.tracks.get(event.track)
    return case if track is not None and track.requirement.payer == payer else None


async def _keep(services: Services, practice: str, body: bytes, media_type: str) -> DocumentRef | None:
    """Keep the callback as it came. A store that fails costs the evidence, never what the payer said."""
    try:
        return await services.documents.put(practice, body, ANSWER_KIND, media_type)
    except ConnectorError as error:
        log.exception("a callback could not be kept as evidence", code=error.code)
        return None


def _answer(payer: str, taken: Taken) -> JSONResponse:
    WEBHOOKS.labels(payer, taken.value).inc()
    return JSONResponse(WebhookAnswer(status=taken).model_dump(mode="json"))
