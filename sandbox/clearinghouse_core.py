"""The CAQH CORE envelope, both shapes: REST with JSON (vC4.0.0) and HTTP MIME multipart (vC2.2.0).

A file in a batch comes with its length and its checksum, both ways. By MIME the envelope names user and password, by REST the
header does. Sources: what is public of the CORE connectivity rules. The error codes are those of vC2.2.0; that REST has the
same, and length and checksum too, is to be confirmed.
"""

import base64
import binascii
import hashlib
import json
import re
import uuid
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response

from sandbox.clock import format_instant, parse_instant, wall_now
from sandbox.x12_payers import CLEARINGHOUSE

SUCCESS = "Success"
FIELDS = ("PayloadType", "ProcessingMode", "PayloadID", "TimeStamp", "SenderID", "ReceiverID", "CORERuleVersion")
OF_A_FILE = ("PayloadLength", "CheckSum")
LOGIN = ("UserName", "Password")
REST, MIME = "4.0.0", "2.2.0"
BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,70})"?')
NAME = re.compile(rb'(?i)content-disposition:\s*form-data;[^\r\n]*name="([A-Za-z]{1,40})"')
MESSAGES = {
    "VersionMismatch": "The version of the connectivity rule is not the one of this address.",
    "Sender": "The envelope or its payload cannot be read.",
    "UnAuthorized": "The user or the password is not right.",
    "ChecksumMismatched": "What arrived is not what the checksum is of.",
    "Receiver": "The message could not be processed for reasons of the receiver.",
    "ProcessingModeIllegal": "This processing mode is not offered for this payload and payer.",
}


class CoreError(Exception):
    """The envelope is refused with an ErrorCode of the rule; `status` is the HTTP status that goes with it."""

    def __init__(self, code: str, envelope: "CoreEnvelope | None" = None, status: int = 400) -> None:
        super().__init__(code)
        self.code = code
        self.envelope = envelope
        self.status = status


@dataclass(frozen=True)
class CoreEnvelope:
    """What was sent: the metadata and the payload. `length` and `checksum` are empty where nothing is said."""

    payload_type: str
    mode: str
    payload_id: str
    sender: str
    version: str
    payload: bytes
    length: str
    checksum: str


def read_rest(body: bytes) -> CoreEnvelope:
    """Read a JSON envelope with its payload in Base64. Raises CoreError."""
    try:
        document = json.loads(body)
    except ValueError:
        raise CoreError("Sender") from None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise CoreError("Sender")
    try:
        payload = base64.b64decode(document.get("Payload", ""), validate=True)
    except (binascii.Error, ValueError):
        raise CoreError("Sender") from None
    return _checked({name: str(document.get(name, "")) for name in (*FIELDS, *OF_A_FILE)}, payload, REST)


def read_mime(body: bytes, content_type: str) -> CoreEnvelope:
    """Read a multipart/form-data envelope with its payload as it is. Raises CoreError."""
    parts = _parts(content_type, body)
    fields = {name: parts.get(name, b"").decode("utf-8", "replace").strip() for name in (*FIELDS, *OF_A_FILE, *LOGIN)}
    return _checked(fields, parts.get("Payload", b""), MIME)


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a multipart body by name. Raises CoreError where it is none, or is cut off."""
    found = BOUNDARY.search(content_type)
    if found is None or not content_type.startswith("multipart/form-data"):
        raise CoreError("Sender")
    mark = b"--" + found[1].encode()
    if not body.rstrip().endswith(mark + b"--"):
        raise CoreError("Sender")
    parts: dict[str, bytes] = {}
    for part in (b"\r\n" + body).split(b"\r\n" + mark)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = NAME.search(head)
        if name is not None:
            parts[name[1].decode()] = content
    return parts


def user_of(content_type: str, body: bytes) -> str:
    """The UserName of a multipart envelope; empty where there is none."""
    try:
        return _parts(content_type, body).get("UserName", b"").decode("utf-8", "replace").strip()
    except CoreError:
        return ""


def _checked(fields: dict[str, str], payload: bytes, version: str) -> CoreEnvelope:
    for name in (*FIELDS, *(LOGIN if version == MIME else ())):
        if not fields[name]:
            raise CoreError("VersionMismatch" if name == "CORERuleVersion" else f"{name}Required")
    try:
        uuid.UUID(fields["PayloadID"])
    except ValueError:
        raise CoreError("PayloadIDIllegal") from None
    try:
        parse_instant(fields["TimeStamp"])
    except ValueError:
        raise CoreError("TimeStampIllegal") from None
    envelope = CoreEnvelope(
        payload_type=fields["PayloadType"],
        mode=fields["ProcessingMode"],
        payload_id=fields["PayloadID"],
        sender=fields["SenderID"],
        version=fields["CORERuleVersion"],
        payload=payload,
        length=fields["PayloadLength"],
        checksum=fields["CheckSum"],
    )
    if envelope.version != version:
        raise CoreError("VersionMismatch", envelope)
    if envelope.mode not in ("RealTime", "Batch"):
        raise CoreError("ProcessingModeIllegal", envelope)
    return envelope


def require_whole(envelope: CoreEnvelope) -> None:
    """Raise CoreError where a file has no length or checksum, or others than it declares."""
    if not envelope.length or not envelope.checksum:
        raise CoreError("CheckSumRequired" if envelope.length else "PayloadLengthRequired", envelope)
    if envelope.length != str(len(envelope.payload)):
        raise CoreError("PayloadLengthIllegal", envelope)
    if envelope.checksum.lower() != _checksum(envelope.payload):
        raise CoreError("ChecksumMismatched", envelope)


def _checksum(payload: bytes) -> str:
    return hashlib.sha1(payload, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class CoreAnswer:
    """What is answered: an envelope of the same shape."""

    payload_type: str
    payload: bytes = b""
    code: str = SUCCESS
    status: int = 200


def written(answer: CoreAnswer, asked: CoreEnvelope | None, version: str) -> Response:
    """The answer in the shape of the version. A batch's PayloadID is repeated, a real-time answer has one of its own."""
    repeated = asked is not None and asked.mode == "Batch"
    fields = {
        "PayloadType": answer.payload_type,
        "ProcessingMode": asked.mode if asked is not None else "RealTime",
        "PayloadID": asked.payload_id if asked is not None and repeated else str(uuid.uuid4()),
        "TimeStamp": format_instant(wall_now()),
        "SenderID": CLEARINGHOUSE,
        "ReceiverID": asked.sender if asked is not None else "",
        "CORERuleVersion": version,
        "ErrorCode": answer.code,
        "ErrorMessage": "" if answer.code == SUCCESS else MESSAGES.get(answer.code, "The envelope is not right."),
    }
    if repeated and answer.payload:
        fields |= {"PayloadLength": str(len(answer.payload)), "CheckSum": _checksum(answer.payload)}
    if version == REST:
        return JSONResponse({**fields, "Payload": base64.b64encode(answer.payload).decode()}, answer.status)
    mark = uuid.uuid4().hex
    body = b""
    for name, value in fields.items():
        body += f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    body += f'--{mark}\r\nContent-Disposition: form-data; name="Payload"\r\n'.encode()
    body += b"Content-Type: application/octet-stream\r\n\r\n" + answer.payload + f"\r\n--{mark}--\r\n".encode()
    return Response(body, answer.status, media_type=f"multipart/form-data; boundary={mark}")
