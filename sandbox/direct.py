"""A HISP's API: Direct messages are taken, and what the other side's notifications (MDN) say is shown over time.

After 30 seconds on the practice's clock a message is *processed*, after `direct_seconds` *dispatched*. Recipients fail by the
local part of their address: `nocert` (5.7.31) and `untrusted` (5.7.11) at once, `undelivered` (5.5.0) after it was processed,
`silent` (5.4.71, never processed) and `undispatched` (5.4.72) an hour later; `undelivered-once` only the first time. Not
idempotent. Codes: the Direct reference implementation's.
"""

import base64
import binascii
import re
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox.answers import Refused, json_object, note, world_of
from sandbox.clock import format_instant, parse_instant
from sandbox.fax import caller
from sandbox.records import Json, Practice

router = APIRouter(prefix="/direct/v1")
ADDRESS = re.compile(r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
PROCESSED_AFTER = timedelta(seconds=30)
WINDOW = timedelta(hours=1)
AT_ONCE = {"nocert": "5.7.31", "untrusted": "5.7.11"}
IN_SILENCE = {"silent": "5.4.71", "undispatched": "5.4.72"}
MOST_BYTES = 20 * 1024 * 1024
FIELDS = {"to", "from", "subject", "text", "clientReference", "deliveryNotification", "attachments"}
ATTACHMENT_FIELDS = {"name", "contentType", "bytesBase64"}
TYPES = {"application/pdf": b"%PDF", "application/zip": b"PK"}


@router.post("/messages")
async def send(request: Request) -> Response:
    """Take a message; 202 with what `GET` shows. Every field is checked; over 20 MB it is 413."""
    practice = caller(request)
    body = await json_object(request, _refusal("The body must be a JSON object."))
    if unknown := sorted(set(body) - FIELDS):
        raise _refusal(f"{unknown[0]} is no field of a message.")
    for name in ("to", "from"):
        if not ADDRESS.match(str(body.get(name, ""))):
            raise _refusal(f"{name} must be a Direct address.")
    for name in ("subject", "text", "clientReference"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise _refusal(f"{name} is missing.")
    if not isinstance(body.get("deliveryNotification", False), bool):
        raise _refusal("deliveryNotification must be true or false.")
    if len(await request.body()) > MOST_BYTES:
        raise Refused(413, {"message": "A message may have 20 MB."})
    attachments = body.get("attachments")
    if not isinstance(attachments, list) or not attachments or not all(map(_is_whole, attachments)):
        raise _refusal("attachments must be PDF or XDM (zip) files in base64.")
    world = world_of(request)
    message_id = f"dm{world.next_number()}"
    practice.direct[message_id] = {
        "id": message_id,
        "clientReference": body["clientReference"],
        "to": body["to"],
        "notifies": body.get("deliveryNotification", False),
        "earlier": sum(1 for item in practice.direct.values() if item["to"] == body["to"]),
        "createdAt": format_instant(world.now(practice)),
    }
    note(request, message=message_id, reference=body["clientReference"])
    return JSONResponse(_shown(practice, practice.direct[message_id], world.now(practice)), 202)


@router.get("/messages")
async def messages(request: Request) -> Json:
    """All messages, or those of one `clientReference`."""
    practice = caller(request)
    reference = request.query_params.get("clientReference")
    now = world_of(request).now(practice)
    mine = [item for item in practice.direct.values() if reference in (None, item["clientReference"])]
    return {"items": [_shown(practice, item, now) for item in mine]}


@router.get("/messages/{message_id}")
async def message(message_id: str, request: Request) -> Json:
    """One message as it stands."""
    practice = caller(request)
    if message_id not in practice.direct:
        raise Refused(404, {"message": "No such message."})
    return _shown(practice, practice.direct[message_id], world_of(request).now(practice))


def _shown(practice: Practice, item: Json, now: datetime) -> Json:
    status, dsn, at = _state(practice, item, now)
    return {
        "messageId": item["id"],
        "clientReference": item["clientReference"],
        "status": status,
        "dsn": dsn,
        "recipient": item["to"],
        "createdAt": item["createdAt"],
        "completedAt": format_instant(at) if at else None,
    }


def _state(practice: Practice, item: Json, now: datetime) -> tuple[str, str | None, datetime | None]:
    """The status, the code of a failure, and when it was over."""
    kind = item["to"].partition("@")[0]
    created = parse_instant(item["createdAt"])
    processed, window = created + PROCESSED_AFTER, created + WINDOW
    over = created + timedelta(seconds=practice.settings.direct_seconds)
    processed = min(processed, over)
    if kind in AT_ONCE:
        return "failed", AT_ONCE[kind], created
    if kind in IN_SILENCE and now >= window:
        return "failed", IN_SILENCE[kind], window
    if kind == "silent" or now < processed:
        return "accepted", None, None
    if now >= over and (kind == "undelivered" or (kind == "undelivered-once" and item["earlier"] == 0)):
        return "failed", "5.5.0", over
    if now < over or kind == "undispatched" or not item["notifies"]:
        return "processed", None, None
    return "dispatched", None, over


def _is_whole(attachment: Any) -> bool:
    if not isinstance(attachment, dict) or set(attachment) != ATTACHMENT_FIELDS:
        return False
    try:
        content = base64.b64decode(str(attachment["bytesBase64"]), validate=True)
    except binascii.Error:
        return False
    begins = TYPES.get(str(attachment["contentType"]))
    return begins is not None and content.startswith(begins)


def _refusal(text: str) -> Refused:
    return Refused(400, {"message": text})
