"""Try again inside one activity, only where surely nothing happened."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from connectors.errors import Busy, Unreachable

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0

T = TypeVar("T")


async def patiently(call: Callable[[timedelta], Coroutine[Any, Any, T]], *, until: float) -> T:
    """Call, and call again after `Unreachable` or `Busy`, until a moment of the monotonic clock.

    `call` gets the time that is left. Every other error passes at once.

    Raises:
        Unreachable, Busy: the last one, when the next try would come too late.
    """
    pause = _FIRST_PAUSE
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise Unreachable("patience_over")
        try:
            return await call(timedelta(seconds=left))
        except Unreachable as error:
            asked = error.retry_after.total_seconds() if isinstance(error, Busy) and error.retry_after else 0.0
            wait = max(pause, asked)
            if time.monotonic() + wait >= until:
                raise
        await asyncio.sleep(wait)
        pause = min(2 * pause, _LONGEST_PAUSE)
