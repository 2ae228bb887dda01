"""Signatures of callbacks: HMAC-SHA256 over `<timestamp>.<body>` by the sender's secret, not older or newer than five minutes."""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Header

from api.services import Services

TOLERANCE = timedelta(minutes=5)
"""How far a callback's timestamp may be from our clock."""

Timestamp = Annotated[str | None, Header(alias="X-Vigil-Timestamp", description="Unix seconds at which it was signed.")]
Signature = Annotated[
    str | None,
    Header(alias="X-Vigil-Signature", description="`sha256=` and the hex HMAC-SHA256 of `<timestamp>.<body>`."),
]
_SECONDS = re.compile(r"[0-9]{1,12}")


def is_signed(services: Services, sender: str, timestamp: str | None, signature: str | None, body: bytes) -> bool:
    """Whether the sender signed this body just now, by the secret `<sender>.webhook`. Raises `MissingSecret`."""
    if timestamp is None or signature is None or not _SECONDS.fullmatch(timestamp):
        return False
    secret = services.settings.secret(f"{sender}.webhook").get_secret_value()
    expected = "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
        return False
    return abs(services.clock() - datetime.fromtimestamp(int(timestamp), UTC)) <= TOLERANCE
