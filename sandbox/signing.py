"""HMAC signatures on what crosses between Vigil and a counterpart: payer notifications and check-in drops.

Headers: `X-Vigil-Timestamp` (Unix seconds, wall time) and `X-Vigil-Signature: sha256=<hex HMAC-SHA256 of
"<timestamp>." followed by the body>`. This is our own agreement: neither Da Vinci PAS nor Clearwave publishes one.
"""

import hashlib
import hmac

TIMESTAMP_HEADER = "X-Vigil-Timestamp"
SIGNATURE_HEADER = "X-Vigil-Signature"
TOLERANCE_SECONDS = 300


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The value of the signature header."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def signed_headers(secret: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Both headers for one body."""
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: signature(secret, timestamp, body)}


def is_genuine(secret: str, timestamp: str, given: str, body: bytes, now: int) -> bool:
    """Whether the signature is right and at most five minutes old or ahead."""
    if not timestamp.isdigit() or abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    return hmac.compare_digest(signature(secret, int(timestamp), body), given)
