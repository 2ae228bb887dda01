"""Bearer tokens: signed by this process, short-lived in wall time, each for one practice at one system.

A restart of the sandbox, or `/control/practices/{practice}/tokens/revoke`, makes all of them invalid, so that a
client's handling of a 401 is used in earnest.
"""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass

from sandbox.records import Practice
from sandbox.world import World


@dataclass(frozen=True)
class Token:
    """What a token says; `site` is NextGen's `site_id` and empty elsewhere."""

    practice: str
    system: str
    site: str
    expires: int
    generation: int


def issue(world: World, practice: Practice, system: str, *, seconds: int, site: str = "") -> str:
    """A new token of `practice` at `system`, good for `seconds`."""
    claims = [practice.id, system, site, int(time.time()) + seconds, practice.token_generation]
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{payload}.{_mac(world, payload)}"


def read(world: World, token: str) -> Token | None:
    """What an authentic token says, expired or not; None when it is not ours."""
    payload, _, mac = token.partition(".")
    if not hmac.compare_digest(_mac(world, payload), mac):
        return None
    practice, system, site, expires, generation = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return Token(practice, system, site, expires, generation)


def valid(world: World, authorization: str, system: str) -> Token | None:
    """The token of an `Authorization: Bearer` header when it is good now, at this system."""
    scheme, _, value = authorization.partition(" ")
    token = read(world, value) if scheme.lower() == "bearer" else None
    if token is None or token.system != system or token.expires < time.time():
        return None
    return token if token.generation == world.practice(token.practice).token_generation else None


def _mac(world: World, payload: str) -> str:
    return hmac.new(world.token_key, payload.encode(), hashlib.sha256).hexdigest()
