"""A fax service, in one neutral shape; how vendors' own words map to it is data.

    POST {base}/faxes            {to, from, documents: [{name, contentType, bytesBase64}], clientReference,
                                  coverPage: {subject}, callbackUrl?} -> 202 {vendorId, status, …}
    GET  {base}/faxes/{id}       {vendorId, clientReference, direction, status, pagesTotal, pagesSent, remoteId, errorCode,
                                  createdAt, completedAt}
    GET  {base}/faxes?clientReference=…   {items: […]}

A vendor is put behind this shape by a small adapter of its own (none is part of this module); its words stay as they are, and
`STATES` and `ERRORS` read them. Read from vendors' public documentation, second hand, and tried against our sandbox only.
"""

import base64
import json
import re
from typing import Any

import httpx
from pydantic import SecretStr, ValidationError

from connectors.delivery import MOST_LISTED, Delivery, DeliveryState, Failing, Parcel, instant
from connectors.errors import NotUnderstood, Refused
from connectors.exchange import read_object, require_success, send

_W, _D, _F = DeliveryState.WAITING, DeliveryState.DELIVERED, DeliveryState.FAILED

STATES: dict[str, dict[str, DeliveryState]] = {
    "neutral": {"queued": _W, "sending": _W, "delivered": _D, "failed": _F},
    "documo": {"fax.v1.outbound.succeed": _D, "fax.v1.outbound.failed": _F},
    "phaxio": {"true": _D, "false": _F},
    "srfax": {"in progress": _W, "sending email": _W, "sent": _D, "failed": _F},
    "efax": {
        "new": _W, "in progress": _W, "pending retry": _W, "completed": _D, "error": _F, "canceled": _F,
    },
}  # fmt: skip
"""Vendors' words for a fax's state, in lower case. Phaxio's is its `success`; Documo's is the event's name."""

ERRORS: dict[str, Failing] = {
    "busy": Failing.PASSING,
    "no_answer": Failing.PASSING,
    "no_remote_fax": Failing.PASSING,
    "incomplete": Failing.PASSING,
    "bad_number": Failing.LASTING,
    "other": Failing.PASSING,
}
"""What went wrong, with blanks as `_`, in lower case. One that is not listed is worth another try."""

NUMBER_LENGTH = 10


class FaxClient:
    """One practice's account at a fax service."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        user: str,
        secret: SecretStr,
        vendor: str = "neutral",
        callback_url: str | None = None,
    ) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}/faxes"
        self._user, self._secret = user, secret
        self._callback = {"callbackUrl": callback_url} if callback_url else {}
        self._states = STATES.get(vendor, STATES["neutral"])

    async def send(self, parcel: Parcel) -> Delivery:
        """Hand a fax over, once.

        Raises:
            Refused: it was not taken; the code is `fax.send:<status>`.
            Unreachable, Busy: it surely was not taken.
            OutcomeUnknown: it may have been taken.
        """
        document = {
            "name": "packet.pdf",
            "contentType": "application/pdf",
            "bytesBase64": base64.b64encode(parcel.pdf).decode("ascii"),
        }
        body = {
            "to": parcel.to,
            "from": parcel.sender,
            "documents": [document],
            "coverPage": {"subject": parcel.subject},
            "clientReference": parcel.reference,
            **self._callback,
        }
        answer = await send(self._http, "POST", self._url, writes=True, json=body, auth=self._auth)
        require_success(answer, "fax.send")
        return self._read(read_object(answer, "fax.send"), answer.content)

    async def get(self, delivery_id: str) -> Delivery:
        """What became of a fax. Raises `Refused` where there is none, `Unreachable`, `NotUnderstood`."""
        answer = await send(self._http, "GET", f"{self._url}/{_segment(delivery_id)}", auth=self._auth)
        require_success(answer, "fax.get")
        return self._read(read_object(answer, "fax.get"), answer.content)

    async def find(self, reference: str) -> tuple[Delivery, ...]:
        """Every fax of a reference, the oldest first. Raises `Unreachable`, `Refused`, `NotUnderstood`."""
        answer = await send(self._http, "GET", self._url, params={"clientReference": reference}, auth=self._auth)
        require_success(answer, "fax.find")
        items = read_object(answer, "fax.find").get("items")
        if not isinstance(items, list) or len(items) > MOST_LISTED:
            raise NotUnderstood("fax.find:items", answer.content, "application/json")
        found = [self._read(item, json.dumps(item).encode()) for item in items]
        # A list that ignores what it was asked for must not pass another request's fax off as ours.
        return tuple(fax for fax in found if fax.reference == reference)

    @property
    def _auth(self) -> httpx.BasicAuth:
        return httpx.BasicAuth(self._user, self._secret.get_secret_value())

    def _read(self, item: Any, raw: bytes) -> Delivery:
        if not isinstance(item, dict):
            raise NotUnderstood("fax:not_an_object", raw, "application/json")
        said = str(item.get("status", ""))
        state = self._states.get(said.lower(), DeliveryState.UNKNOWN)
        error = _word(item.get("errorCode"))
        total, sent = _count(item.get("pagesTotal")), _count(item.get("pagesSent"))
        if state is DeliveryState.DELIVERED and total is not None and sent is not None and sent < total:
            state, error = DeliveryState.FAILED, "incomplete"
        try:
            return Delivery(
                id=str(item.get("vendorId", "")),
                reference=str(item.get("clientReference", "")),
                state=state,
                said=said,
                failing=ERRORS.get(error or "other", Failing.PASSING) if state is DeliveryState.FAILED else None,
                error=error,
                pages=sent,
                remote=item.get("remoteId"),
                at=instant(item.get("completedAt"), "fax", raw),
                raw=raw,
            )
        except ValidationError:
            raise NotUnderstood("fax:fields", raw, "application/json") from None


def e164(number: str) -> str:
    """A telephone number of the United States as fax services want it. Raises `Refused` where it is none."""
    digits = re.sub(r"\D", "", number)
    if len(digits) == NUMBER_LENGTH + 1 and digits.startswith("1"):
        digits = digits[1:]
    if len(digits) != NUMBER_LENGTH:
        raise Refused("fax:number")
    return f"+1{digits}"


def _word(value: Any) -> str | None:
    return str(value).strip().lower().replace(" ", "_") if value else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _segment(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", value):
        raise Refused("fax:id")
    return value
