"""Try again inside one activity, only where surely nothing happened, and tell Temporal all the while that it is alive."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity

from connectors.errors import Busy, Unreachable

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_HEARTBEAT_SECONDS = 10.0

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
            return await _beating(call(timedelta(seconds=left)))
        except Unreachable as error:
            asked = error.retry_after.total_seconds() if isinstance(error, Busy) and error.retry_after else 0.0
            wait = max(pause, asked)
            if time.monotonic() + wait >= until:
                raise
        await _beating(asyncio.sleep(wait))
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _beating(work: Awaitable[T]) -> T:
    task = asyncio.ensure_future(work)
    try:
        while True:
            activity.heartbeat()
            done, _ = await asyncio.wait({task}, timeout=_HEARTBEAT_SECONDS)
            if done:
                return task.result()
    finally:
        task.cancel()
