"""Fax in a neutral shape: send, then poll or be called back. Success means that a machine took the pages, no more.

A fax is queued, sent from ten seconds on, and over after `fax_seconds` on the practice's clock. Numbers that end so fail:
0001 busy, 0002 no answer, 0003 no fax machine, 0004 no such number, 0005 busy the first time, 0006 is never over, 0007
loses its last page. Not idempotent: a repeat sends again; a list by `clientReference` finds what was sent.

Callbacks go to the `callbackUrl` of a fax: one when it is being sent, one when it is over; each is a POST of the fax as
`GET` shows it, unsigned, tried three times. The faults `duplicate_callback`, `lost_callback` and `reorder` of the system
`fax` apply to them.
"""

import base64
import binascii
import re
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

from fastapi import APIRouter, Request
from pypdf import PdfReader
from pypdf.errors import PyPdfError
from starlette.responses import JSONResponse, Response

from sandbox.answers import Refused, json_object, note, practice_of, world_of
from sandbox.clock import format_instant, parse_instant
from sandbox.gate import basic_credentials
from sandbox.records import Json, Practice

router = APIRouter(prefix="/fax/v1")
NUMBER = re.compile(r"^\+1\d{10}$")
SENDING_AFTER = timedelta(seconds=10)
ERRORS = {"0001": "busy", "0002": "no_answer", "0003": "no_remote_fax", "0004": "bad_number"}
BUSY_ONCE, NEVER_OVER, LOSES_A_PAGE = "0005", "0006", "0007"
FIELDS = {"to", "from", "documents", "coverPage", "clientReference", "callbackUrl"}
COVER_FIELDS = {"toName", "fromName", "subject", "notes"}
MOST_PAGES = 300


@router.post("/faxes")
async def send(request: Request) -> Response:
    """Queue a fax; 202 with what `GET` shows. Every field is checked, and a field that is not known is refused."""
    practice = caller(request)
    body = await json_object(request, _refusal("The body must be a JSON object."))
    if unknown := sorted(set(body) - FIELDS):
        raise _refusal(f"{unknown[0]} is no field of a fax.")
    for name in ("to", "from"):
        if not NUMBER.match(str(body.get(name, ""))):
            raise _refusal(f"{name} must be a US number in E.164.")
    reference = body.get("clientReference", "")
    if not isinstance(reference, str) or len(reference) > 150:  # noqa: PLR2004 - the service's own limit
        raise _refusal("clientReference must be a text of at most 150 signs.")
    cover = body.get("coverPage", {})
    if not isinstance(cover, dict) or set(cover) - COVER_FIELDS:
        raise _refusal(f"coverPage may have {', '.join(sorted(COVER_FIELDS))}.")
    callback = body.get("callbackUrl")
    if callback is not None and not re.match(r"^https?://", str(callback)):
        raise _refusal("callbackUrl must be an http or https URL.")
    pages = sum(_pages(document) for document in _documents(body))
    if pages > MOST_PAGES:
        raise _refusal(f"A fax may have {MOST_PAGES} pages.")
    world = world_of(request)
    fax_id = f"fx{world.next_number()}"
    practice.faxes[fax_id] = {
        "id": fax_id,
        "clientReference": reference,
        "to": body["to"],
        "from": body["from"],
        "pages": pages,
        "earlier": sum(1 for item in practice.faxes.values() if item["to"] == body["to"]),
        "createdAt": format_instant(world.now(practice)),
        "callbackUrl": callback,
        "told": [],
    }
    note(request, fax=fax_id, reference=reference)
    return JSONResponse(shown(practice, practice.faxes[fax_id], world.now(practice)), 202)


@router.get("/faxes")
async def faxes(request: Request) -> Json:
    """All faxes, or those of one `clientReference`; `index_lag_seconds` hides the youngest from the list."""
    practice = caller(request)
    if unknown := sorted(set(request.query_params) - {"clientReference"}):
        raise _refusal(f"{unknown[0]} is no search parameter.")
    reference = request.query_params.get("clientReference")
    now = world_of(request).now(practice)
    indexed = now - timedelta(seconds=practice.settings.index_lag_seconds)
    mine = [
        item
        for item in practice.faxes.values()
        if reference in (None, item["clientReference"]) and parse_instant(item["createdAt"]) <= indexed
    ]
    return {"items": [shown(practice, item, now) for item in mine]}


@router.get("/faxes/{fax_id}")
async def fax(fax_id: str, request: Request) -> Json:
    """One fax as it stands."""
    practice = caller(request)
    if fax_id not in practice.faxes:
        raise Refused(404, {"message": "No such fax."})
    return shown(practice, practice.faxes[fax_id], world_of(request).now(practice))


def caller(request: Request) -> Practice:
    """The practice, by HTTP Basic with any secret that is not empty. Refuses with 401."""
    practice = practice_of(request)
    _, secret = basic_credentials(request.headers.get("authorization", "").partition(" ")[2])
    if practice is None or not secret:
        raise Refused(401, {"message": "HTTP Basic with the practice as the user is needed."})
    return practice


def shown(practice: Practice, item: Json, now: datetime) -> Json:
    """A fax as the service shows it at a moment."""
    return _as(practice, item, _status(practice, item, now))


def due_callbacks(practice: Practice, now: datetime) -> list[tuple[str, Json]]:
    """The callbacks that have come due since they were last asked for, in order: where to, and the fax as it then was."""
    due: list[tuple[datetime, str, Json]] = []
    for item in practice.faxes.values():
        for status in ("sending", "delivered", "failed"):
            at = _since(practice, item, status)
            if item.get("callbackUrl") and at is not None and at <= now and status not in item["told"]:
                item["told"].append(status)
                due.append((at, item["callbackUrl"], _as(practice, item, status)))
    return [(url, body) for _, url, body in sorted(due, key=lambda each: each[0])]


def _status(practice: Practice, item: Json, now: datetime) -> str:
    reached = [
        status
        for status in ("sending", "delivered", "failed")
        if (at := _since(practice, item, status)) is not None and at <= now
    ]
    return reached[-1] if reached else "queued"


def _since(practice: Practice, item: Json, status: str) -> datetime | None:
    """From when on a fax has a status; None where it never has."""
    created = parse_instant(item["createdAt"])
    over = created + timedelta(seconds=practice.settings.fax_seconds)
    if status == "sending":
        return min(created + SENDING_AFTER, over)
    if item["to"].endswith(NEVER_OVER):
        return None
    return over if (status == "failed") == (_error(item) is not None) else None


def _error(item: Json) -> str | None:
    if item["to"].endswith(BUSY_ONCE) and item["earlier"] == 0:
        return "busy"
    return ERRORS.get(item["to"][-4:])


def _as(practice: Practice, item: Json, status: str) -> Json:
    over = status in {"delivered", "failed"}
    at = _since(practice, item, status) if over else None
    sent = item["pages"] - item["to"].endswith(LOSES_A_PAGE) if status == "delivered" else 0
    return {
        "vendorId": item["id"],
        "clientReference": item["clientReference"],
        "direction": "outbound",
        "to": item["to"],
        "status": status,
        "pagesTotal": item["pages"],
        "pagesSent": sent,
        "remoteId": f"FAX {item['to'][-4:]}" if status == "delivered" else None,
        "errorCode": _error(item) if status == "failed" else None,
        "createdAt": item["createdAt"],
        "completedAt": format_instant(at) if at else None,
    }


def _documents(body: Json) -> list[Any]:
    documents = body.get("documents")
    if not isinstance(documents, list) or not documents:
        raise _refusal("documents must be a list of PDFs.")
    return documents


def _pages(document: Any) -> int:
    if not isinstance(document, dict) or set(document) != {"name", "contentType", "bytesBase64"}:
        raise _refusal("A document has name, contentType and bytesBase64.")
    try:
        content = base64.b64decode(str(document["bytesBase64"]), validate=True)
        pages = len(PdfReader(BytesIO(content)).pages)
    except (binascii.Error, PyPdfError, ValueError, KeyError):
        pages = 0
    if document["contentType"] != "application/pdf" or pages == 0:
        raise _refusal("documents must be PDFs in base64, with at least one page.")
    return pages


def _refusal(message: str) -> Refused:
    return Refused(400, {"message": message})
