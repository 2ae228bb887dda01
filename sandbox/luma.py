"""Luma Health messaging: token, patients, contact preferences, messages. Poll only: Luma publishes no webhooks.

Source: Luma's OpenAPI 2.0.0. Whether `externalId` can be searched for is not stated there: that it can is our
assumption. No idempotency key: a repeated POST makes a second message. Errors are `{message}`.
"""

import hashlib
import re
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox import tokens
from sandbox.answers import Refused, json_object, note, world_of
from sandbox.clock import format_millis, parse_instant
from sandbox.pas_words import dicts
from sandbox.records import Json, Practice

router = APIRouter(prefix="/luma/api/v2")
TOKEN_SECONDS = 3600
HEX_ID = re.compile(r"^[0-9a-f]{24}$")
REQUIRED = ("patient", "type", "ref", "channel", "text", "secure")
ENUMS = {
    "type": ("inbound", "outbound"),
    "ref": ("chat",),
    "channel": ("chat",),
    "visibility": ("public", "private", "internal"),
    "recipientType": ("doctor", "staff", "patient"),
}
LANGUAGES = (
    "ar bn cn de en es fa fl fr gr gu hi ht hy it ja km ko mr my pa pl pt ru so th ti ur vi zh-t zh".split()  # noqa: SIM905 - 31 codes as one line
)
FINAL = ("delivered", "undelivered", "opened", "skipped")
DEFAULT_LIMIT = 500
MAX_LIMIT = 1000
FILTERS = ("patient", "type", "status", "outboundMessage", "referral", "appointment")


def luma_id(*parts: str) -> str:
    """A 24-hex id that depends on the parts alone."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


@router.post("/auth/token")
async def token(request: Request) -> Response:
    """Client credentials as JSON."""
    body = await json_object(request, Refused(400, {"message": "The body must be JSON."}))
    wrong = [name for name in ("client_id", "client_secret", "grant_type") if not isinstance(body.get(name), str)]
    if wrong or set(body) - {"client_id", "client_secret", "grant_type"} or body["grant_type"] != "client_credentials":
        raise Refused(400, {"message": "client_id, client_secret and grant_type client_credentials are required."})
    if not body["client_id"] or not body["client_secret"]:
        raise Refused(401, {"message": "Wrong client id or client secret."})
    world = world_of(request)
    value = tokens.issue(world, world.practice(body["client_id"]), "luma", seconds=TOKEN_SECONDS)
    return JSONResponse({"access_token": value, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})


def _caller(request: Request) -> Practice:
    world = world_of(request)
    found = tokens.valid(world, request.headers.get("authorization", ""), "luma")
    if found is None:
        raise Refused(401, {"message": "Not authenticated."})
    return world.practice(found.practice)


def _patient(practice: Practice, patient_id: str) -> Json:
    if not HEX_ID.match(patient_id):
        raise Refused(400, {"message": "The id must be 24 hexadecimal characters."})
    if patient_id not in practice.messaging.patients:
        raise Refused(404, {"message": "Patient not found."})
    return practice.messaging.patients[patient_id]


def _page(request: Request, items: list[Json]) -> Response:
    """Luma's envelope; `size` is the number of records on this page."""
    query = request.query_params
    try:
        page, limit = int(query.get("page", "1")), int(query.get("limit", str(DEFAULT_LIMIT)))
    except ValueError:
        page, limit = 0, 0
    if page < 1 or not 1 <= limit <= MAX_LIMIT:
        raise Refused(400, {"message": "page begins at 1, limit is 1 to 1000."})
    shown = items[(page - 1) * limit : page * limit]
    return JSONResponse({"response": shown, "page": page, "size": len(shown)})


def _by_external_id(request: Request, item: Json) -> bool:
    external = item.get("externalId") or {}
    for name, key in (("externalId.value", "value"), ("externalId", "value"), ("externalId.source", "source")):
        wanted = request.query_params.get(name)
        if wanted is not None and external.get(key) != wanted:
            return False
    return True


@router.get("/patients")
async def patients(request: Request) -> Response:
    """Patients by `externalId.value`, `externalId.source`, `_id`, `firstname`, `lastname`."""
    practice = _caller(request)
    query = request.query_params
    names = [name for name in ("_id", "firstname", "lastname") if name in query]
    mine = [
        item
        for item in practice.messaging.patients.values()
        if _by_external_id(request, item) and all(item.get(name) == query[name] for name in names)
    ]
    return _page(request, mine)


@router.get("/patients/{patient_id}")
async def patient(patient_id: str, request: Request) -> Json:
    """One patient, without an envelope."""
    return _patient(_caller(request), patient_id)


@router.get("/patients/{patient_id}/contact-preferences")
async def contact_preferences(patient_id: str, request: Request) -> Json:
    """The contacts that may be used now; an empty list means: do not send."""
    return {"validContacts": valid_contacts(_patient(_caller(request), patient_id))}


def valid_contacts(item: Json) -> list[Json]:
    """Contacts that are active, not archived, of a patient who may be contacted."""
    if item.get("doNotContact"):
        return []
    names = ("type", "value", "active", "archived")
    return [
        {name: contact.get(name) for name in names}
        for contact in dicts(item.get("contact"))
        if contact.get("active") and not contact.get("archived")
    ]


def put_patient(practice: Practice, given: Json) -> Json:
    """Let Luma know a patient. `externalId.value` decides the id when none is given."""
    external = given.get("externalId") or {"source": "nextgen", "value": str(given.get("_id", ""))}
    item: Json = {
        "_id": luma_id(practice.id, "patient", str(external["value"])),
        "firstname": "",
        "lastname": "",
        "language": "en",
        "doNotContact": False,
        "contact": [
            {"type": "sms", "value": "+15555550100", "active": True, "archived": False, "archivedReason": "none"}
        ],
        **given,
        "externalId": external,
    }
    practice.messaging.patients[item["_id"]] = item
    return item


@router.post("/messages")
async def send(request: Request) -> Response:
    """Send a chat message. 201 with status `sent`; what becomes of it shows by polling."""
    practice = _caller(request)
    body = await json_object(request, Refused(400, {"message": "The body must be JSON."}))
    _check_message(body)
    item = _patient(practice, body["patient"])
    world = world_of(request)
    number = str(world.next_number())
    at = format_millis(world.now(practice))
    message: Json = {
        **body,
        "_id": luma_id(practice.id, "message", number),
        "key": "chatRequest" if body["secure"] else "chatRequestInsecure",
        "status": "sent",
        "refId": luma_id(practice.id, "activity", number),
        "createdAt": at,
        "updatedAt": at,
        "user": luma_id(practice.id, "user"),
    }
    contacts = valid_contacts(item)
    if contacts:
        message["channel"], message["to"] = contacts[0]["type"], contacts[0]["value"]
    practice.messaging.messages[message["_id"]] = message
    external = body.get("externalId") or {}
    note(request, message=message["_id"], external_id=str(external.get("value", "")))
    return JSONResponse(message, 201)


def _check_message(body: Json) -> None:
    missing = [name for name in REQUIRED if name not in body]
    if missing:
        raise Refused(400, {"message": f"{missing[0]} is required."})
    for name, allowed in ENUMS.items():
        if name in body and body[name] not in allowed:
            raise Refused(400, {"message": f"{name} must be one of {', '.join(allowed)}."})
    if not isinstance(body["patient"], str) or not HEX_ID.match(body["patient"]):
        raise Refused(400, {"message": "patient must be 24 hexadecimal characters."})
    if not isinstance(body["secure"], bool):
        raise Refused(400, {"message": "secure must be a boolean."})
    if not isinstance(body["text"], str) or not body["text"].strip():
        raise Refused(400, {"message": "text must not be empty."})
    if "language" in body and body["language"] not in LANGUAGES:
        raise Refused(400, {"message": "language is not supported."})
    external = body.get("externalId", {"source": "none", "value": "x"})
    if not isinstance(external, dict) or not external.get("source") or not external.get("value"):
        raise Refused(400, {"message": "externalId needs source and value."})


def _settle(request: Request, practice: Practice, message: Json) -> Json:
    """Move a message's status on with the practice's clock."""
    world = world_of(request)
    settles_at = parse_instant(message["createdAt"]) + timedelta(seconds=practice.settings.delivery_lag_seconds)
    if message["type"] == "inbound" or message["status"] in FINAL or world.now(practice) < settles_at:
        return message
    item = practice.messaging.patients.get(message["patient"], {})
    final: Json = {"status": "delivered", "externalStatus": {"code": "0", "reason": "delivered"}}
    if item.get("doNotContact"):
        final = {"status": "skipped", "skippedStatusReason": "do-not-contact"}
    elif not valid_contacts(item):
        final = {"status": "undelivered", "externalStatus": {"code": "30003", "reason": "unreachable"}}
    at = format_millis(settles_at)
    message.update(final, terminatingStateAt=at, updatedAt=at)
    return message


@router.get("/messages")
async def messages(request: Request) -> Response:
    """Messages by patient, type, status and `externalId.value`."""
    practice = _caller(request)
    query: Any = request.query_params
    wanted = [name for name in FILTERS if name in query]
    settled = [_settle(request, practice, item) for item in practice.messaging.messages.values()]
    mine = [
        item
        for item in settled
        if _by_external_id(request, item) and all(str(item.get(name)) == query[name] for name in wanted)
    ]
    return _page(request, mine)


@router.get("/messages/{message_id}")
async def message(message_id: str, request: Request) -> Json:
    """One message, without an envelope."""
    practice = _caller(request)
    if message_id not in practice.messaging.messages:
        raise Refused(404, {"message": "Message not found."})
    return _settle(request, practice, practice.messaging.messages[message_id])


def put_reply(practice: Practice, outbound: Json, said: tuple[str, str], number: str, at: str) -> Json:
    """An inbound reply (text and classification) of the patient to one of our messages."""
    text, classification = said
    reply: Json = {
        "_id": luma_id(practice.id, "reply", number),
        "type": "inbound",
        "outboundMessage": outbound["_id"],
        "patient": outbound["patient"],
        "channel": outbound["channel"],
        "text": text,
        "classification": classification,
        "ref": "chat",
        "status": "delivered",
        "secure": False,
        "createdAt": at,
        "updatedAt": at,
    }
    practice.messaging.messages[reply["_id"]] = reply
    return reply
