"""The check-in drop: what a patient will owe at the next visit, left where check-in finds it.

Clearwave publishes no API. This is Vigil's own format, to be agreed with the practice's check-in vendor; it is described
in `docs/connectors.md`. A drop is PUT under an id that is made of its content, so a repetition changes nothing, and is
read back. Both requests are signed: HMAC-SHA256 over the time and the body. Money is in cents; an amount that is not
known is left out, never sent as nothing.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Literal

import httpx
from pydantic import Field, ValidationError

from connectors.errors import OutcomeUnknown, Refused
from connectors.exchange import read_object, require_success, send
from domain.base import Frozen, Instant

FORMAT: Literal["vigil.checkin-estimate/1"] = "vigil.checkin-estimate/1"
AmountKind = Literal["copay", "deductible", "coinsurance", "balance"]


class Amount(Frozen):
    """One part of what is expected."""

    kind: AmountKind
    cents: int = Field(ge=0, le=100_000_000)


class Drop(Frozen):
    """What a patient will owe at a visit. References only: no name, no date of birth, no diagnosis."""

    patient_ref: str
    visit_ref: str
    visit_starts_at: Instant
    as_of: Instant
    amounts: tuple[Amount, ...] = Field(min_length=1, max_length=20)

    def content(self) -> bytes:
        """The JSON text that is sent and signed; the same drop is the same bytes."""
        return (
            _Wire(
                patient_ref=self.patient_ref,
                visit_ref=self.visit_ref,
                visit_starts_at=self.visit_starts_at,
                as_of=self.as_of,
                amounts=self.amounts,
                total_cents=sum(amount.cents for amount in self.amounts),
            )
            .model_dump_json()
            .encode()
        )


class _Wire(Frozen):
    format: Literal["vigil.checkin-estimate/1"] = FORMAT
    patient_ref: str
    visit_ref: str
    visit_starts_at: datetime
    as_of: datetime
    currency: Literal["USD"] = "USD"
    amounts: tuple[Amount, ...]
    total_cents: int


class Clearwave:
    """The check-in of one practice. `secret` signs; `clock` is the wall clock, in seconds since 1970."""

    def __init__(
        self, http: httpx.AsyncClient, url: str, key_id: str, secret: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._key_id = key_id
        self._secret = secret.encode()
        self._clock = clock

    async def leave(self, drop: Drop) -> str:
        """Leave a drop, read it back, and return its id.

        Raises:
            Unreachable, Busy: try again; a repetition changes nothing.
            Refused: the key or the drop is not accepted.
            OutcomeUnknown: what was read back is not what was left.
        """
        content = drop.content()
        drop_id = f"vigil-{hashlib.sha256(content).hexdigest()[:40]}"
        url = f"{self._url}/drops/{drop_id}"
        headers = {**self._signed(content), "Content-Type": "application/json"}
        require_success(await send(self._http, "PUT", url, content=content, headers=headers), "check_in.put")
        answer = await send(self._http, "GET", url, headers=self._signed(b""))
        if answer.status_code == HTTPStatus.NOT_FOUND:
            raise OutcomeUnknown("check_in.not_read_back")
        require_success(answer, "check_in.get")
        if not _same(content, read_object(answer, "check_in.get").get("content")):
            raise Refused("check_in.differs")
        return drop_id

    def _signed(self, body: bytes) -> dict[str, str]:
        """`X-Vigil-Signature` is over `<Unix seconds>.<body>`; whoever receives it takes five minutes' difference."""
        at = str(int(self._clock()))
        mac = hmac.new(self._secret, f"{at}.".encode() + body, hashlib.sha256)
        return {
            "X-Vigil-Key-Id": self._key_id,
            "X-Vigil-Timestamp": at,
            "X-Vigil-Signature": f"sha256={mac.hexdigest()}",
        }


def _same(content: bytes, read: object) -> bool:
    try:
        return _Wire.model_validate_json(content) == _Wire.model_validate(read)
    except ValidationError:
        return False
