"""The CAQH CORE client of one practice at one clearinghouse: real time and batch, by REST (vC4.0.0) or MIME (vC2.2.0).

It says what may have happened, and leaves what a payload means to its readers. HTTP 200 and `Success` are transport.
Sources: CAQH CORE Connectivity Rule vC4.0.0 (REST) and vC2.2.0 (MIME, envelope metadata), as clients and services of others
use them; CORE response times: an answer within 60 seconds, and no second try before 90.
"""

import asyncio
import base64
import binascii
import hashlib
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any

import httpx

from connectors.errors import Busy, NotUnderstood, OutcomeUnknown, Refused, Unreachable
from connectors.exchange import read_object, send
from connectors.raw import RawAnswer
from domain.base import Frozen, Instant

EDI = "application/edi-x12"
LONGEST_ANSWER = timedelta(seconds=60)
RESEND_AFTER = timedelta(seconds=90)
_CONNECT_SECONDS = 5.0
_RETURNED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NOT_PROCESSED = frozenset({"receiver", "checksummismatched"})
"""ErrorCode, in lower case, by which a message was not processed for no fault of its own: theirs, or the way's."""
_FIELD = re.compile(rb'(?i)^content-disposition:[^\r\n]*\bname="?([A-Za-z]{1,40})"?', re.MULTILINE)
_BOUNDARY = re.compile(r'(?i)\bboundary="?([^";,\s]{1,70})"?')
_MOST_PARTS = 30


class Connectivity(StrEnum):
    """The version of the connectivity rule, which chooses the shape of the envelope."""

    REST = "4.0.0"
    MIME = "2.2.0"


class PayloadType(StrEnum):
    """What a payload is (CORE PayloadType). The 278 inquiry, the 275 of 5010 and the pickup: confirm."""

    REQUEST = "X12_278_Request_005010X217E1_2"
    INQUIRY = "X12_278_Request_005010X215"
    ELIGIBILITY = "X12_270_Request_005010X279A1"
    ATTACHMENT_6020 = "X12_275_Request_006020X316"
    ATTACHMENT_5010 = "X12_275_Request_005010X211"
    PICKUP = "X12_005010_Request_Batch_Results_278"


class Message(Frozen):
    """One interchange to be carried. `payload_id` is a UUID: the same for the same message on every try."""

    payload_type: PayloadType
    payload_id: str
    payload: bytes
    at: Instant


class CoreClient:
    """One practice at one clearinghouse. `http` may be shared.

    `user` and `secret` go as HTTP Basic by REST, and in the envelope (UserName, Password) by MIME. `answer_timeout` is how
    long an answer may take, in all; never longer than CORE's 60 seconds.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        connectivity: Connectivity,
        user: str,
        secret: Callable[[], str],
        sender: str,
        receiver: str,
        answer_timeout: timedelta = LONGEST_ANSWER,
    ) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._connectivity = connectivity
        self._user = user
        self._secret = secret
        self._parties = {"SenderID": sender, "ReceiverID": receiver}
        self._answer_timeout = min(answer_timeout, LONGEST_ANSWER)

    async def real_time(self, message: Message, within: timedelta | None = None, *, writes: bool) -> RawAnswer:
        """Send a message and return the X12 that came for it.

        `writes` says that a repetition would not be harmless; `within` shortens the time for the answer.

        Raises:
            Busy, Unreachable: it surely was not taken up; or it only reads, and may be repeated after the time given.
            OutcomeUnknown: it writes, and may have been taken up.
            Refused: the clearinghouse does not let this practice in, or does not take the message.
        """
        return await self._exchange("realtime", "RealTime", message, within, writes=writes)

    async def submit_batch(self, message: Message, within: timedelta | None = None) -> RawAnswer:
        """Hand a message over with its length and checksum, to be answered later.

        The answer's body is empty, or what is already there of it. Raises as `real_time` does of what writes.
        """
        return await self._exchange("batch/submit", "Batch", message, within, writes=True)

    async def pick_up(self, payload_id: str, at: datetime, within: timedelta | None = None) -> RawAnswer:
        """Return what has come for the batch that was submitted by that id; an empty body while there is nothing.

        Raises as `real_time` does of what only reads. What is no envelope says nothing of a mailbox: `Unreachable`.
        """
        asked = Message(payload_type=PayloadType.PICKUP, payload_id=payload_id, payload=b"", at=at)
        return await self._exchange("batch/pickup", "Batch", asked, within, writes=False)

    async def _exchange(
        self, path: str, mode: str, message: Message, within: timedelta | None, *, writes: bool
    ) -> RawAnswer:
        limit = min(self._answer_timeout, within or self._answer_timeout).total_seconds()
        fields = {
            "PayloadType": message.payload_type.value,
            "ProcessingMode": mode,
            "PayloadID": message.payload_id,
            "TimeStamp": f"{message.at:%Y-%m-%dT%H:%M:%SZ}",
            **self._parties,
            "CORERuleVersion": self._connectivity.value,
        }
        if mode == "Batch" and message.payload:
            fields |= {"PayloadLength": str(len(message.payload)), "CheckSum": _checksum(message.payload)}
        request: dict[str, Any]
        if self._connectivity is Connectivity.REST:
            url = f"{self._base_url}/{path}"
            payload = base64.b64encode(message.payload).decode()
            request = {"json": {**fields, "Payload": payload}, "auth": httpx.BasicAuth(self._user, self._secret())}
        else:
            url = self._base_url
            fields |= {"UserName": self._user, "Password": self._secret()}
            parts: list[tuple[str, tuple[None, str | bytes] | tuple[None, bytes, str]]] = [
                (name, (None, value)) for name, value in fields.items()
            ]
            request = {"files": [*parts, ("Payload", (None, message.payload, "application/octet-stream"))]}
        answer = await self._send(url, limit, request, writes=writes)
        return _opened(answer, writes=writes, mailbox=message.payload_type is PayloadType.PICKUP)

    async def _send(self, url: str, limit: float, request: dict[str, Any], *, writes: bool) -> httpx.Response:
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit):
                answer = await send(
                    self._http,
                    "POST",
                    url,
                    writes=writes,
                    timeout=httpx.Timeout(limit, connect=min(limit, _CONNECT_SECONDS)),
                    **request,
                )
        except TimeoutError:
            if writes:
                raise OutcomeUnknown("timeout") from None
            raise _too_soon("timeout", began) from None
        except Busy as busy:
            if writes and busy.code != str(HTTPStatus.TOO_MANY_REQUESTS.value):
                # Some gateways say 503 of a request that they have passed on.
                raise OutcomeUnknown(busy.code) from None
            raise
        except Unreachable as error:
            if error.code == "ReadTimeout":
                raise _too_soon(error.code, began) from None
            raise
        if answer.status_code in _RETURNED or answer.is_redirect:
            raise Refused(f"core:{answer.status_code}")
        return answer


def _too_soon(code: str, began: float) -> Busy:
    """A question that was not answered in time, and how long to wait before it is asked again."""
    left = RESEND_AFTER.total_seconds() - (time.monotonic() - began)
    return Busy(code, timedelta(seconds=max(left, 0.0)))


def _opened(answer: httpx.Response, *, writes: bool, mailbox: bool = False) -> RawAnswer:
    """Take the payload out of an answer's envelope; what is no envelope is returned as it came, to be read by a person.

    Without an envelope an empty answer is no word of the clearinghouse's, and nothing says what is in a `mailbox`.
    """
    media_type = answer.headers.get("content-type", "application/octet-stream")
    raw = RawAnswer(status=answer.status_code, body=answer.content, media_type=media_type[:100])
    fields = _parts(answer.content, media_type) if "multipart" in media_type.lower() else _json(answer)
    lost = OutcomeUnknown if writes else Unreachable
    if fields is None:
        if not answer.is_success:
            raise Refused(f"core:{answer.status_code}")
        if mailbox or not answer.content.strip():
            raise lost("core:no_envelope")
        return raw
    said = str(fields.get("ErrorCode") or "Success").strip()
    if said.lower() in _NOT_PROCESSED:
        raise Unreachable(f"core:{said}")
    if said.lower() != "success":
        raise Refused(f"core:{said}" if re.fullmatch(r"[A-Za-z]{1,40}", said) else "core:unknown_code")
    if not answer.is_success:
        raise Refused(f"core:{answer.status_code}")
    payload = _payload(fields.get("Payload"))
    if payload is None:
        return raw
    declared = str(fields.get("CheckSum") or "").strip().lower()
    if payload and declared and declared != _checksum(payload):
        raise lost("core:checksum")
    named = str(fields.get("PayloadID") or "")
    return RawAnswer(
        status=answer.status_code,
        body=payload,
        media_type=EDI if payload else None,
        http_id=named if re.fullmatch(r"[0-9A-Za-z-]{8,64}", named) else None,
    )


def _checksum(payload: bytes) -> str:
    """The payload's SHA-1 in hexadecimal, as the rule has it: against damage, not against anybody."""
    return hashlib.sha1(payload, usedforsecurity=False).hexdigest()


def _json(answer: httpx.Response) -> dict[str, Any] | None:
    try:
        return read_object(answer, "core")
    except NotUnderstood:
        return None


def _parts(body: bytes, media_type: str) -> dict[str, Any] | None:
    """The fields of a multipart answer by name, or None where it is none. Nothing in a payload is changed."""
    found = _BOUNDARY.search(media_type)
    if found is None:
        return None
    fields: dict[str, Any] = {}
    mark = b"--" + found[1].encode("ascii", "replace")
    for part in (b"\r\n" + body).split(b"\r\n" + mark, _MOST_PARTS)[1:]:
        head, _, content = part.partition(b"\r\n\r\n")
        named = _FIELD.search(head)
        if named is not None:
            name = named[1].decode()
            fields.setdefault(name, content if name == "Payload" else content.decode("utf-8", "replace"))
    return fields or None


def _payload(value: object) -> bytes | None:
    """The X12 in an envelope, empty where there is none; None where it cannot be read."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode("".join(str(value).split()), validate=True)
    except (binascii.Error, ValueError):
        return None
