"""What a request to a payer passes: the channel's breaker, and a place among those that its carrier bears at once.

Both are shared by all workers through PostgreSQL. While that is away neither holds anything back: a case never stops
for want of a database. The rate is the task queue's (`worker.py`); a STAT request has a place of its own.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from connectors.errors import Busy, OutcomeUnknown, Refused, Unreachable
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.calendars import Calendar, add
from domain.order import Urgency
from domain.policy_rules import Channel
from domain.rules.channels import is_channels_fault
from runtime.errors import VigilRuntimeError
from runtime.logs import get_logger
from store import alerts, channels
from store.alerts import Alert
from store.database import Database
from store.errors import StoreAway

BREAKER_OPEN = "breaker_open"
"""The code of a request that was not sent because its channel is out of order: the plan may take another at once."""
CHANNEL_DOWN = "channel_down"
"""The kind of alert about a channel that is out of order, or that lets a practice not in."""
_POLL_SECONDS = 0.5
_NEVER = 1_000_000
"""A refusal opens no breaker: the channel answers, and the plan takes another by itself."""
_SHARE_TO_WAIT = 0.25
"""How much of an action's patience may go by while all places are taken."""

Asked = SubmitRequest | InquireStatus | WithdrawRequest | SendInformation
log = get_logger(__name__)


class Gate:
    """The way to all payers of a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def passage(self, action: Asked) -> AsyncIterator[None]:
        """Send in the block. What goes wrong there tells how the channel is.

        Raises:
            Unreachable: `breaker_open`: nothing was sent.
            Busy: every place at the carrier was taken for too long: nothing was sent.
        """
        channel = next((one for one in action.policy.channels if one.rail.value == action.request.rail), None)
        if channel is None:
            yield
            return
        if not await self._may_go(action, channel):
            raise Unreachable(BREAKER_OPEN)
        async with self._place(action, channel):
            try:
                yield
            except Busy:
                raise
            except (Unreachable, OutcomeUnknown) as error:
                await self._failed(action, channel, error.code)
                raise
            except Refused as error:
                if is_channels_fault(error.code):
                    await self._failed(action, channel, error.code, opens=False)
                raise
            except VigilRuntimeError as error:  # a setting or a secret of ours: nobody is let in by that either
                await self._failed(action, channel, type(error).__name__, opens=False)
                raise
        await self._worked(action)

    async def _may_go(self, action: Asked, channel: Channel) -> bool:
        if channel.breaker is None:
            return True
        try:
            return await channels.admit(self._database, *_key(action), action.now)
        except StoreAway:
            return True

    async def _failed(self, action: Asked, channel: Channel, error: str, *, opens: bool = True) -> None:
        rule = channel.breaker
        if rule is None and opens:
            return
        open_for = add(action.now, rule.open_for, Calendar(time_zone="UTC")) - action.now if rule else timedelta()
        try:
            opened = await channels.failed(
                self._database,
                *_key(action),
                error=error,
                now=action.now,
                after=rule.failures if rule and opens else _NEVER,
                open_for=open_for,
            )
        except StoreAway:
            return
        if opened or not opens:
            await self._tell(action, error)

    async def _tell(self, action: Asked, code: str) -> None:
        """Let an operator know, once for all cases: a case goes another way, and its own task is gone with that."""
        log.warning("a channel is out of order", payer=action.payer, rail=action.request.rail, code=code)
        name, rail = action.policy.name, action.request.rail
        alert = Alert(
            key=_alert(action),
            kind=CHANNEL_DOWN,
            practice=action.practice,
            subject=action.payer,
            sentence=f"{name} cannot be asked by {rail} for {action.practice} ({code[:80]}). Requests wait or go another way.",
            remedy="Run `vigil rail check` for the payer; mend the credentials or the address, or ask the payer when it is back.",
        )
        with suppress(StoreAway):  # it is logged, and told again when the next request fails
            await alerts.keep(self._database, [alert], action.now)

    async def _worked(self, action: Asked) -> None:
        with suppress(StoreAway):  # the next request that gets through says it again
            if await channels.worked(self._database, *_key(action)):
                await alerts.clear(self._database, [_alert(action)], action.now, practice=action.practice)

    @asynccontextmanager
    async def _place(self, action: Asked, channel: Channel) -> AsyncIterator[None]:
        if channel.concurrency is None:
            yield
            return
        carrier, holder = f"{channel.via or action.payer}", uuid.uuid4().hex
        stat = action.request.order.urgency is Urgency.STAT
        places, ends = channel.concurrency + stat, time.monotonic() + _SHARE_TO_WAIT * action.patience.total_seconds()
        keep = action.patience + timedelta(minutes=1)
        try:
            while not await channels.take_slot(self._database, carrier, places, holder, keep):
                if time.monotonic() > ends:
                    raise Busy("every_place_taken")
                await asyncio.sleep(_POLL_SECONDS)
        except StoreAway:
            yield
            return
        try:
            yield
        finally:
            try:
                await channels.give_slot_back(self._database, carrier, holder)
            except StoreAway:
                log.warning("a place at a carrier falls free only by time", carrier=carrier)


def _alert(action: Asked) -> str:
    return f"{CHANNEL_DOWN}/{action.payer}/{action.request.rail}"


def _key(action: Asked) -> tuple[str, str, str]:
    return action.practice, action.payer, action.request.rail
