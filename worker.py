"""Starts a worker: registers workflows and activities, serves, and drains on SIGTERM.

One process runs the cases' queue and a queue for each payer; a payer's queue has a rate that the server enforces over all
workers together. Released policies are read again every half minute: a new payer gets its queue without a restart.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker

from activities import Parts, case_activities, payer_activities
from activities.recall import Recall
from activities.subscriptions import Subscriptions
from domain.policy import Policy
from runtime.errors import VigilRuntimeError
from runtime.health import serve_health
from runtime.keys import load_keyring
from runtime.logs import configure, get_logger
from runtime.metrics import temporal_runtime
from runtime.practices import load_practices
from runtime.schedules import ensure_schedules
from runtime.settings import Settings, load_settings
from runtime.temporal import connect, ensure_search_attributes, worker_options
from store.errors import StoreFault
from store.shelf import Shelf, Source
from workflows import WORKFLOWS

REFRESH_SECONDS = 30
HEARTBEATS = timedelta(seconds=5)
"""How long the SDK may hold heartbeats back: well below the time after which the cases count an action as lost."""
log = get_logger(__name__)


def rates(policies: Iterable[Policy]) -> dict[str, float]:
    """The queues of what goes to payers, and the requests a second that all workers together may make on each.

    A payer has one, and a carrier has one for all payers behind it: the least rate of the channels that it carries.
    """
    found: dict[str, float] = {}
    for policy in policies:
        found.setdefault(f"payer-{policy.payer}", policy.channels[0].rate)
        for channel in policy.channels:
            queue = f"via-{channel.via}" if channel.via else f"payer-{policy.payer}"
            found[queue] = min(channel.rate, found.get(queue, channel.rate))
    return found


class PayerQueues:
    """A worker for each payer's and each carrier's queue, kept in step with the released policies."""

    def __init__(self, client: Client, settings: Settings, parts: Parts) -> None:
        self._client = client
        self._settings = settings
        self._parts = parts
        self._running: dict[str, tuple[float, Worker, asyncio.Task[None]]] = {}

    async def keep(self, policies: Iterable[Policy]) -> None:
        """Start what is missing, and start anew what has another rate."""
        for queue, rate in rates(policies).items():
            held = self._running.get(queue)
            if held and held[0] == rate and not held[2].done():
                continue
            if held:
                await self._stop(queue)
            worker = Worker(
                self._client,
                task_queue=queue,
                activities=payer_activities(self._parts),
                max_task_queue_activities_per_second=rate,
                max_heartbeat_throttle_interval=HEARTBEATS,
                interceptors=[Recall(self._parts.database, self._parts.keyring)],
                **worker_options(self._settings),
            )
            self._running[queue] = (rate, worker, asyncio.create_task(worker.run()))
            log.info("serving a queue to payers", task_queue=queue)

    async def close(self) -> None:
        """Drain all queues at once."""
        await asyncio.gather(*(self._stop(queue) for queue in list(self._running)))

    async def _stop(self, queue: str) -> None:
        _, worker, task = self._running.pop(queue)
        await worker.shutdown()
        await task


@asynccontextmanager
async def serving(client: Client, settings: Settings, parts: Parts) -> AsyncIterator[None]:
    """Serve the cases' queue and every payer's while in the block; drain when it ends."""
    queues = PayerQueues(client, settings, parts)
    await queues.keep(parts.shelf.policies)
    worker = Worker(
        client,
        task_queue=settings.task_queue,
        workflows=WORKFLOWS,
        activities=case_activities(parts),
        max_cached_workflows=1000,
        max_heartbeat_throttle_interval=HEARTBEATS,
        interceptors=[Recall(parts.database, parts.keyring)],
        **worker_options(settings),
    )
    refreshing = asyncio.create_task(_refresh(parts, queues))
    try:
        async with worker:
            yield
    finally:
        refreshing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await refreshing
        await queues.close()


async def _refresh(parts: Parts, queues: PayerQueues) -> None:
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        try:
            await load_shelf(parts)
        except StoreFault:  # at the start it ends the process; later what is held serves, and it is asked again
            log.exception("the policies in force cannot be read; those that are held stay")
        await queues.keep(parts.shelf.policies)


async def load_shelf(parts: Parts) -> None:
    """Take the policies in force from PostgreSQL; while it is away those that are held stay, or else the files serve."""
    found = await parts.shelf.refresh(parts.database)
    if found.source is not Source.RELEASED:
        log.warning("no policies came from PostgreSQL; others are in force", source=found.source.value)
    for payer in found.unreadable:
        log.error("a payer's policy cannot be read; what was held of it stays", payer=payer)


async def run(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    keyring = load_keyring(settings)
    practices = load_practices(settings.practices_path, settings.resolve_url)
    client = await connect(settings, keyring, runtime=temporal_runtime(settings))
    await ensure_search_attributes(client)
    async with AsyncExitStack() as stack:
        shelf = Shelf(folder=settings.policies_dir)
        parts = await stack.enter_async_context(Parts.open(settings, keyring, practices, client, shelf))
        await load_shelf(parts)
        await stack.enter_async_context(serving(client, settings, parts))
        await ensure_schedules(client, settings, practices)
        kept = Subscriptions(parts.outside, parts.database, client).kept(lambda: parts.shelf.policies)
        await stack.enter_async_context(kept)
        await stack.enter_async_context(serve_health(settings))
        log.info("worker is serving", task_queue=settings.task_queue, build_id=settings.build_id)
        await stop.wait()
        log.info("worker is draining")


def main() -> int:
    """Start a worker by the settings; the answer is the exit code."""
    try:
        settings = load_settings()
        configure(settings)
        asyncio.run(run(settings))
    except VigilRuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
