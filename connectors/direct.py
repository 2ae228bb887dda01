"""Direct messages through a HISP's API: secure mail between clinicians, payers and practices (SMTP and S/MIME behind it).

    POST {base}/messages         {to, from, subject, text, clientReference, deliveryNotification,
                                  attachments: [{name, contentType, bytesBase64}]} -> 202 {messageId, status, …}
    GET  {base}/messages/{id}    {messageId, clientReference, status, dsn, recipient, createdAt, completedAt}
    GET  {base}/messages?clientReference=…   {items: […]}

HISPs' APIs differ (confirm with the practice's own); this shape is ours, tried against our sandbox only. What proves delivery is
the standard's: the message disposition notifications *processed* (the other HISP trusts and took it) and *dispatched* (it is in
the mailbox; only where that notification was asked for), and the codes of the Direct reference implementation for failures.
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

MOST_BYTES = 20 * 1024 * 1024
"""The largest message, encoded (360X)."""

STATES: dict[str, DeliveryState] = {
    "accepted": DeliveryState.WAITING,
    "sent": DeliveryState.WAITING,
    "processed": DeliveryState.WAITING,
    "dispatched": DeliveryState.DELIVERED,
    "failed": DeliveryState.FAILED,
}
CODES: dict[str, tuple[DeliveryState, Failing | None]] = {
    "5.7.31": (DeliveryState.FAILED, Failing.LASTING),  # no certificate
    "5.7.11": (DeliveryState.FAILED, Failing.LASTING),  # not trusted
    "5.5.0": (DeliveryState.FAILED, Failing.PASSING),  # received there, not delivered
    "5.4.71": (DeliveryState.UNKNOWN, None),  # no word that it was processed, in time
    "5.4.72": (DeliveryState.UNKNOWN, None),  # processed, and no word that it was dispatched, in time
}
"""What a failure's code says: silence is no proof that nothing arrived. Another code is a failure worth another try."""

_ADDRESS = re.compile(r"^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
_ID = re.compile(r"^[A-Za-z0-9._-]{1,200}$")
_ENVELOPE = 64 * 1024


class DirectClient:
    """One practice's account at a HISP."""

    def __init__(self, http: httpx.AsyncClient, base_url: str, user: str, secret: SecretStr) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}/messages"
        self._user, self._secret = user, secret

    async def send(self, parcel: Parcel) -> Delivery:
        """Hand a message over, once, and ask for the notification of its delivery.

        Raises:
            Refused: it was not taken (`direct.send:<status>`), is too large, or names no Direct address.
            Unreachable, Busy: it surely was not taken.
            OutcomeUnknown: it may have been taken.
        """
        if not _ADDRESS.match(parcel.to) or not _ADDRESS.match(parcel.sender):
            raise Refused("direct:address")
        content = base64.b64encode(parcel.pdf).decode("ascii")
        if len(content) + _ENVELOPE > MOST_BYTES:
            raise Refused("direct:too_large")
        body = {
            "to": parcel.to,
            "from": parcel.sender,
            "subject": parcel.subject,
            "text": f"{parcel.subject}, {parcel.pages} pages. Our reference: {parcel.reference}",
            "clientReference": parcel.reference,
            "deliveryNotification": True,
            "attachments": [{"name": "packet.pdf", "contentType": "application/pdf", "bytesBase64": content}],
        }
        answer = await send(self._http, "POST", self._url, writes=True, json=body, auth=self._auth)
        require_success(answer, "direct.send")
        return _read(read_object(answer, "direct.send"), answer.content)

    async def get(self, delivery_id: str) -> Delivery:
        """What became of a message. Raises `Refused` where there is none, `Unreachable`, `NotUnderstood`."""
        if not _ID.match(delivery_id):
            raise Refused("direct:id")
        answer = await send(self._http, "GET", f"{self._url}/{delivery_id}", auth=self._auth)
        require_success(answer, "direct.get")
        return _read(read_object(answer, "direct.get"), answer.content)

    async def find(self, reference: str) -> tuple[Delivery, ...]:
        """Every message of a reference, the oldest first. Raises `Unreachable`, `Refused`, `NotUnderstood`."""
        answer = await send(self._http, "GET", self._url, params={"clientReference": reference}, auth=self._auth)
        require_success(answer, "direct.find")
        items = read_object(answer, "direct.find").get("items")
        if not isinstance(items, list) or len(items) > MOST_LISTED:
            raise NotUnderstood("direct.find:items", answer.content, "application/json")
        found = [_read(item, json.dumps(item).encode()) for item in items]
        return tuple(message for message in found if message.reference == reference)

    @property
    def _auth(self) -> httpx.BasicAuth:
        return httpx.BasicAuth(self._user, self._secret.get_secret_value())


def _read(item: Any, raw: bytes) -> Delivery:
    if not isinstance(item, dict):
        raise NotUnderstood("direct:not_an_object", raw, "application/json")
    said, code = str(item.get("status", "")), item.get("dsn")
    state = STATES.get(said.lower(), DeliveryState.UNKNOWN)
    failing: Failing | None = None
    if state is DeliveryState.FAILED:
        state, failing = CODES.get(str(code), (DeliveryState.FAILED, Failing.PASSING))
    try:
        return Delivery(
            id=str(item.get("messageId", "")),
            reference=str(item.get("clientReference", "")),
            state=state,
            said=said,
            failing=failing,
            error=str(code) if code else None,
            remote=item.get("recipient"),
            at=instant(item.get("completedAt"), "direct", raw),
            raw=raw,
        )
    except ValidationError:
        raise NotUnderstood("direct:fields", raw, "application/json") from None
