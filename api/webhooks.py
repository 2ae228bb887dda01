"""Payers' callbacks: a claim until verified. A verified one is a fact; any other one may cause an inquiry and nothing more.

Verified means: signed by the payer's secret just now, or with that secret in the header that its subscription has it send
(`api.signatures`), and not seen before. Whoever is not verified is told nothing but that.
"""

import hashlib
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from api.answers import problem_answers
from api.auth import services_of
from api.problems import Problem
from api.services import Services
from api.signatures import Secret, Signature, Timestamp, is_signed, knows_secret
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

_MAX_EVENTS = 20


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
    responses=problem_answers(400, 401, 404, 413, 422, 503),
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
    timestamp: Timestamp = None,
    signature: Signature = None,
    secret: Secret = None,
) -> JSONResponse:
    """Take a payer's notification of a decision, signed or with the channel's secret. Safe to send again.

    What cannot be verified is answered with 401 and changes nothing; where it names a case, Vigil may ask the payer.
    """
    services = services_of(request)
    if (await services.rules()).get(payer) is None:
        raise Problem(404, "payer_unknown", "There is no such payer here.")
    body = await request.body()
    try:
        if signature is not None:
            verified = is_signed(services, payer, timestamp, signature, body)
            mark = f"{timestamp}.{signature}"
        else:
            verified = knows_secret(services, payer, secret)
            mark = hashlib.sha256(body).hexdigest()
    except MissingSecret:
        log.exception("callbacks of a payer cannot be verified: its secret is not set", payer=payer)
        verified, mark = False, ""
    if not verified:
        await _claim(services, payer, body)
        WEBHOOKS.labels(payer, "unverified").inc()
        raise Problem(401, "unverified", "The callback's signature or timestamp cannot be verified.")
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
    if not services.claims.allow(now):
        return
    events = _events(read_notification(body))
    try:
        case = await _case(services, payer, events[0]) if events else None
        if case is not None:
            await services.cases.notice(case.practice, case.id, [claimed(payer, now)])
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
