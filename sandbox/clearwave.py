"""The check-in drop: our own signed format. Clearwave publishes no API, so none of its paths are pretended here.

`PUT /clearwave/drops/{drop_id}` leaves what the patient is expected to pay for a visit, idempotent by drop id; headers
`X-Vigil-Key-Id`, `X-Vigil-Timestamp`, `X-Vigil-Signature` (see `signing.py`). Amounts are in cents.
"""

import hashlib
import json
import re
import time
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from sandbox import signing
from sandbox.answers import Refused, note, practice_of, world_of
from sandbox.clock import format_instant
from sandbox.records import Json, Practice

router = APIRouter(prefix="/clearwave")
DROP_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")
SIZE_LIMIT = 64 * 1024


class Amount(BaseModel):
    """One part of what is expected, in cents of US dollars."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["copay", "deductible", "coinsurance", "balance"]
    cents: int = Field(ge=0, le=100_000_000)


class Drop(BaseModel):
    """An estimate for the next check-in. References only: no name, no date of birth, no diagnosis."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["vigil.checkin-estimate/1"]
    patient_ref: str = Field(min_length=1, max_length=128)
    visit_ref: str = Field(min_length=1, max_length=128)
    visit_starts_at: AwareDatetime
    as_of: AwareDatetime
    currency: Literal["USD"] = "USD"
    amounts: list[Amount] = Field(max_length=20)
    total_cents: int = Field(ge=0, le=100_000_000)
    note: str = Field(default="", max_length=500)


def _caller(request: Request, body: bytes) -> Practice:
    practice = practice_of(request)
    if practice is None:
        raise Refused(401, {"message": "X-Vigil-Key-Id is missing."})
    timestamp = request.headers.get(signing.TIMESTAMP_HEADER, "")
    given = request.headers.get(signing.SIGNATURE_HEADER, "")
    if not signing.is_genuine(practice.settings.clearwave_secret, timestamp, given, body, int(time.time())):
        raise Refused(401, {"message": "The signature is missing, wrong or older than five minutes."})
    return practice


@router.put("/drops/{drop_id}")
async def put(drop_id: str, request: Request) -> Response:
    """Leave a drop: 201 the first time, 200 for the same content again, 409 for other content under the same id."""
    raw = await request.body()
    practice = _caller(request, raw)
    if len(raw) > SIZE_LIMIT:
        raise Refused(413, {"message": "A drop is at most 64 KB."})
    if not DROP_ID.match(drop_id):
        raise Refused(400, {"message": "The drop id has characters that are not allowed."})
    try:
        drop = Drop.model_validate_json(raw)
    except ValidationError as wrong:
        places = sorted({".".join(str(part) for part in error["loc"]) or "body" for error in wrong.errors()})
        raise Refused(422, {"message": "The drop is not valid.", "fields": places}) from None
    if drop.total_cents != sum(amount.cents for amount in drop.amounts):
        raise Refused(422, {"message": "The total is not the sum of the amounts.", "fields": ["total_cents"]})
    content: Json = json.loads(raw)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    known = practice.drops.get(drop_id)
    note(request, drop=drop_id, visit=drop.visit_ref)
    if known is not None and known["digest"] != digest:
        raise Refused(409, {"message": "Another drop was left under this id."})
    if known is not None:
        return JSONResponse(_receipt(drop_id, known), 200)
    at: datetime = world_of(request).now(practice)
    kept: Json = {"digest": digest, "received_at": format_instant(at), "content": content}
    practice.drops[drop_id] = kept
    return JSONResponse(_receipt(drop_id, kept), 201)


def _receipt(drop_id: str, kept: Json) -> Json:
    return {"drop_id": drop_id, "received_at": kept["received_at"], "sha256": kept["digest"]}


@router.get("/drops/{drop_id}")
async def read_back(drop_id: str, request: Request) -> Json:
    """A drop as it was left, with its receipt; signed like the PUT, over an empty body."""
    practice = _caller(request, b"")
    if drop_id not in practice.drops:
        raise Refused(404, {"message": "No such drop."})
    kept = practice.drops[drop_id]
    return {**_receipt(drop_id, kept), "content": kept["content"]}
