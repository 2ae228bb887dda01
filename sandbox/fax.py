"""Fax in a neutral shape: send, then poll. Fax vendors differ; success means that a machine took the pages, no more.

A number that ends in 0001 is busy, one that ends in 0002 does not answer. Not idempotent: a repeat sends again.
"""

import base64
import binascii
import re
from datetime import timedelta

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox.answers import Refused, json_object, note, practice_of, world_of
from sandbox.clock import format_instant, parse_instant
from sandbox.pas_words import dicts
from sandbox.records import Json, Practice

router = APIRouter(prefix="/fax/v1")
NUMBER = re.compile(r"^\+1\d{10}$")
SECONDS_TO_SEND = 120
FAILURES = {"0001": "busy", "0002": "no answer"}


def _caller(request: Request) -> Practice:
    practice = practice_of(request)
    if practice is None:
        raise Refused(401, {"message": "HTTP Basic with the practice as the user is needed."})
    return practice


@router.post("/faxes")
async def send(request: Request) -> Response:
    """Queue a fax: `{to, from, documents: [{name, contentType, bytesBase64}], clientReference}`; 202 with an id."""
    practice = _caller(request)
    body = await json_object(request, Refused(400, {"message": "The body must be a JSON object."}))
    for name in ("to", "from"):
        if not NUMBER.match(str(body.get(name, ""))):
            raise Refused(400, {"message": f"{name} must be a US number in E.164."})
    documents = dicts(body.get("documents"))
    if not documents or not all(_is_pdf(document) for document in documents):
        raise Refused(400, {"message": "documents must be PDFs in base64."})
    world = world_of(request)
    fax_id = f"fx{world.next_number()}"
    reference = str(body.get("clientReference", ""))
    practice.faxes[fax_id] = {
        "id": fax_id,
        "to": body["to"],
        "clientReference": reference,
        "pages": len(documents),
        "status": "queued",
        "createdAt": format_instant(world.now(practice)),
    }
    note(request, fax=fax_id, reference=reference)
    return JSONResponse(practice.faxes[fax_id], 202)


def _is_pdf(document: Json) -> bool:
    try:
        content = base64.b64decode(str(document.get("bytesBase64", "")), validate=True)
    except binascii.Error:
        return False
    return document.get("contentType") == "application/pdf" and content.startswith(b"%PDF")


@router.get("/faxes")
async def faxes(request: Request) -> Json:
    """All faxes, or those of one `clientReference`."""
    practice = _caller(request)
    reference = request.query_params.get("clientReference")
    mine = [item for item in practice.faxes.values() if reference in (None, item["clientReference"])]
    return {"items": [_settled(request, practice, item) for item in mine]}


@router.get("/faxes/{fax_id}")
async def fax(fax_id: str, request: Request) -> Json:
    """One fax: queued, then success or failed two minutes later on the practice's clock."""
    practice = _caller(request)
    if fax_id not in practice.faxes:
        raise Refused(404, {"message": "No such fax."})
    return _settled(request, practice, practice.faxes[fax_id])


def _settled(request: Request, practice: Practice, item: Json) -> Json:
    done_at = parse_instant(item["createdAt"]) + timedelta(seconds=SECONDS_TO_SEND)
    if item["status"] == "queued" and world_of(request).now(practice) >= done_at:
        error = FAILURES.get(item["to"][-4:])
        item.update(status="failed" if error else "success", error=error, completedAt=format_instant(done_at))
    return item
