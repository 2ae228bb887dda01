"""What a counterpart says of itself when it is looked at: whether it answers, lets us in, and what it offers.

A look sends no health information and makes nothing there. Each rail has its own `check`; this says what they have in
common, and turns what goes wrong into words for an operator.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum

from connectors.errors import ConnectorError, Unreachable
from domain.base import Frozen
from domain.policy_rules import Ability

_NOT_LET_IN = re.compile(r"token:4[0-9]{2}|[a-z_.]+:40[13]")
_SAID_SOMETHING = re.compile(r"[45][0-9]{2}|[a-z]+:.*")
"""Codes of what cannot be used now, and yet came from the other side."""


class Offer(Frozen):
    """What the other side says that it is and can."""

    says: tuple[str, ...] = ()
    """In sentences for a person."""
    version: str | None = None
    """Of the specification that it speaks."""
    offers: frozenset[Ability] = frozenset()
    lacks: frozenset[Ability] = frozenset()
    """What it says, or is known, not to take. Of anything else nothing is known."""


class LetIn(StrEnum):
    """Whether our credentials are taken."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Checked(Frozen):
    """How a look ended. It is all right where there is an offer."""

    reachable: bool
    milliseconds: int
    """Of the whole look: token, and what was read."""
    credentials: LetIn
    offer: Offer | None = None
    error: str | None = None
    """The code of what went wrong."""


async def checked(check: Callable[[], Awaitable[Offer]], within: timedelta) -> Checked:
    """Look, for so long at most, and say how it ended. Raises only what is no `ConnectorError`."""
    began = time.monotonic()
    offer: Offer | None = None
    reachable, credentials, error = True, LetIn.ACCEPTED, None
    try:
        async with asyncio.timeout(within.total_seconds()):
            offer = await check()
    except TimeoutError:
        reachable, credentials, error = False, LetIn.UNKNOWN, "timeout"
    except ConnectorError as failed:
        error = failed.code
        reachable = not isinstance(failed, Unreachable) or _SAID_SOMETHING.fullmatch(error) is not None
        credentials = LetIn.REFUSED if _NOT_LET_IN.fullmatch(error) else LetIn.UNKNOWN
    took = round((time.monotonic() - began) * 1000)
    return Checked(reachable=reachable, milliseconds=took, credentials=credentials, offer=offer, error=error)
