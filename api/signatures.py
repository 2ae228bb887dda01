"""Who a callback is from: HMAC-SHA256 over `<timestamp>.<body>` by the sender's secret, not older or newer than five minutes.

A payer that only does what FHIR says sends the channel's header back with every notification, and the secret in it.
"""

import hashlib
import hmac
import re
from datetime import timedelta
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
Secret = Annotated[
    str | None,
    Header(
        alias="X-Webhook-Secret", description="The header of the subscription's channel, as the payer was given it."
    ),
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
    return abs(services.clock().timestamp() - int(timestamp)) <= TOLERANCE.total_seconds()


def knows_secret(services: Services, sender: str, secret: str | None) -> bool:
    """Whether the sender sent the secret `<sender>.webhook` itself, as FHIR's rest-hooks do. Raises `MissingSecret`."""
    if secret is None:
        return False
    known = services.settings.secret(f"{sender}.webhook").get_secret_value()
    return hmac.compare_digest(known.encode(), secret.encode(errors="replace"))
