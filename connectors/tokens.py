"""Access tokens and sessions that are shared by all callers of one system, each fetched once and kept until it ends."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_MARGIN_SECONDS = 60.0


@dataclass(frozen=True)
class Token:
    """A token or session id, and how many seconds it is good for from now."""

    value: str
    seconds: float


class TokenCache:
    """Keeps tokens by name until a minute before their end. Callers that come together wait for one fetch.

    One for a process: make it beside the activities, not for each request.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, float]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, name: str, fetch: Callable[[], Awaitable[Token]]) -> str:
        """Return the kept token of that name, or fetch it. `fetch` raises its own errors."""
        async with self._locks[name]:
            value, ends = self._kept.get(name, ("", 0.0))
            if not value or ends <= time.monotonic():
                token = await fetch()
                value, ends = token.value, time.monotonic() + max(token.seconds - _MARGIN_SECONDS, 0.0)
                self._kept[name] = (value, ends)
            return value

    def drop(self, name: str, value: str) -> None:
        """Forget a token that was refused, unless another caller has already replaced it."""
        if self._kept.get(name, ("", 0.0))[0] == value:
            del self._kept[name]
