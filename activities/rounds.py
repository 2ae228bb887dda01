"""The edge of the schedules' activities: they tell Temporal that they are alive, and end with errors that say no names."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.outside import told
from connectors.errors import ConnectorError
from runtime.errors import VigilRuntimeError
from runtime.logs import get_logger
from store.errors import StoreAway, StoreError

_HEARTBEAT_SECONDS = 5.0

T = TypeVar("T")
log = get_logger(__name__)


async def carried_out(work: Coroutine[Any, Any, T]) -> T:
    """Wait for the work of a round, with heartbeats.

    Raises `ApplicationError` of the error's type, with a text of ours or none. What a setting or a grant has to mend
    first is not tried again in this round; the next one tries.
    """
    beating = asyncio.create_task(_beat())
    try:
        return await work
    except ApplicationError:
        raise
    except ConnectorError as error:
        raise told(error) from None
    except StoreAway as error:
        raise ApplicationError(str(error), type="StoreAway") from None
    except (StoreError, VigilRuntimeError) as error:
        kind = type(error).__name__
        log.exception("a round cannot go on", error_type=kind)
        raise ApplicationError(str(error), type=kind, non_retryable=True) from None
    except Exception as error:  # noqa: BLE001 - the edge: nothing unforeseen may pass with its text
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_name}:{place.tb_lineno}" if place is not None else "?"
        raise ApplicationError(f"unforeseen, at {where}", type=type(error).__name__) from None
    finally:
        beating.cancel()


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(_HEARTBEAT_SECONDS)
