"""Payers tell practices of their own accord: the subscriptions for it are kept, and what was missed is asked for.

Not an activity of a case: every worker looks each minute, and of each practice and payer one of them takes care. A payer
that is away, a worker that dies and a database that is away only put it off: the cases' own follow-ups ask meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from activities.outside import Outside
from activities.pas import PasRail, requester
from connectors.errors import ConnectorError, NotUnderstood, Refused
from connectors.pas.subscription import ensure_subscription, subscription
from domain.base import Turn
from domain.facts import NotificationClaimed
from domain.policy import Policy
from domain.policy_rules import Channel, Rail
from runtime import httpclient
from runtime.cases import tell_case
from runtime.errors import VigilRuntimeError
from runtime.logs import get_logger
from runtime.practices import Practice
from store import alerts, subscriptions
from store.alerts import Alert
from store.database import Database
from store.errors import StoreAway
from store.subscriptions import Subscribed
from store.worklist import worklist

LOOK_SECONDS = 60.0
CHECK_EVERY = timedelta(hours=1)
"""How often the payer is asked whether a subscription stands."""
HEARTBEAT = timedelta(hours=1)
SILENCE = 3 * HEARTBEAT
"""A payer that sent heartbeats and has been silent for so long may have lost us: subscribe anew, and ask."""
MOST_CASES = 1000
NOT_KEPT = "subscription_not_kept"

log = get_logger(__name__)


class Subscriptions:
    """Keeps the subscriptions of all practices at all payers that notify."""

    def __init__(self, outside: Outside, db: Database, client: Client) -> None:
        self._outside = outside
        self._db = db
        self._client = client
        self._rail = PasRail(outside)

    async def look(self, policies: tuple[Policy, ...], now: datetime) -> int:
        """Look after every subscription whose time has come, and return how many that were. `now` is UTC.

        What goes wrong with one is logged and told to the operator, and holds no other up.
        """
        looked = 0
        for practice in self._outside.practices.values():
            for policy in policies:
                channel = _notifying(policy)
                if channel is not None:
                    looked += await self._one(practice, policy, channel, now)
        return looked

    async def _one(self, practice: Practice, policy: Policy, channel: Channel, now: datetime) -> bool:
        """Look after one. False where another worker does, or it is not time."""
        try:
            held = await subscriptions.take(self._db, practice.id, policy.payer, now)
            if held is None:
                return False
            with httpclient.case_now(now):
                await self._look_after(held, practice, policy, channel, now)
            await alerts.clear(self._db, [_key(policy.payer)], now, practice=practice.id)
        except StoreAway:
            log.warning("PostgreSQL is away; subscriptions are looked after later")
        except (Refused, NotUnderstood, VigilRuntimeError) as error:
            code = error.code if isinstance(error, ConnectorError) else type(error).__name__
            log.warning("a subscription cannot be kept", payer=policy.payer, practice=practice.id, code=code)
            await self._tell(practice, policy, code, now)
        except ConnectorError as error:
            log.info("a payer is away; its subscription is looked after later", payer=policy.payer, code=error.code)
        except RPCError:
            log.warning("Temporal is away; what was missed is asked for later", payer=policy.payer)
        return True

    async def _look_after(
        self, held: Subscribed, practice: Practice, policy: Policy, channel: Channel, now: datetime
    ) -> None:
        settings = self._outside.settings
        wanted = subscription(
            f"{(settings.public_url or '').rstrip('/')}/v1/webhooks/payers/{policy.payer}",
            channel.sender or requester(practice).npi,
            channel.subscription_filter or "org-identifier",
            settings.secret(f"{policy.payer}.webhook").get_secret_value(),
            HEARTBEAT,
        )
        silent = held.beats and held.heard_at is not None and now - held.heard_at > SILENCE
        if silent:
            log.warning("a payer has fallen silent; it is subscribed to anew", payer=policy.payer, practice=practice.id)
        client = self._rail.client(practice.id, policy.payer, channel)
        reference = await ensure_subscription(client, wanted, held.reference, anew=silent)
        held = await subscriptions.keep(self._db, held, reference, now, CHECK_EVERY)
        if held.missed_at is not None:
            await self._ask(held, held.missed_at)
            await subscriptions.recovered(self._db, held, now, CHECK_EVERY)

    async def _ask(self, held: Subscribed, since: datetime) -> None:
        """Let every case that waits for the payer ask how it stands."""
        told, cursor = 0, None
        fact = NotificationClaimed(
            occurred_at=since,
            by=f"system:pas:{held.payer}",
            source_id=f"missed:{held.payer}:{since.isoformat()}",
            payer=held.payer,
            why="A notification of the payer is missing.",
        )
        while told < MOST_CASES:
            page = await worklist(self._db, held.practice, turn=Turn.PAYER, payer=held.payer, limit=200, cursor=cursor)
            for view in page.items:
                told += await tell_case(self._client, held.practice, view.case_id, [fact])
            cursor = page.next
            if cursor is None:
                break
        log.info("cases ask for what was not notified", payer=held.payer, practice=held.practice, cases=told)

    async def _tell(self, practice: Practice, policy: Policy, code: str, now: datetime) -> None:
        alert = Alert(
            key=_key(policy.payer),
            kind=NOT_KEPT,
            practice=practice.id,
            subject=policy.payer,
            sentence=f"{policy.name} does not notify {practice.id}: its subscription cannot be kept ({code[:80]}).",
            remedy="Ask the payer which filter and endpoint it takes, and correct its policy or the credentials.",
        )
        with suppress(StoreAway):  # it is logged, and found again at the next look
            await alerts.keep(self._db, [alert], now)

    @asynccontextmanager
    async def kept(self, policies: Callable[[], tuple[Policy, ...]]) -> AsyncIterator[None]:
        """Look now and then while in the block, where payers can reach us (`public_url`)."""
        if self._outside.settings.public_url is None:
            log.info("no public URL is set: payers do not notify, and Vigil asks them")
            yield
            return
        keeping = asyncio.create_task(self._keep(policies))
        try:
            yield
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping

    async def _keep(self, policies: Callable[[], tuple[Policy, ...]]) -> None:
        while True:
            try:
                await self.look(policies(), datetime.now(UTC))
            except Exception:
                log.exception("looking after subscriptions failed")
            await asyncio.sleep(LOOK_SECONDS)


def _key(payer: str) -> str:
    return f"{NOT_KEPT}/{payer}"


def _notifying(policy: Policy) -> Channel | None:
    return next((channel for channel in policy.channels if channel.rail is Rail.PAS and channel.notification), None)
