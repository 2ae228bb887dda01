"""What the doors stand on: opened once a process, closed when it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.client import Client

from api.reach import Cases
from api.webhook_facts import Claims
from connectors.documents import Documents
from runtime.embedded_postgres import database_url
from runtime.keys import KeyRing, load_keyring
from runtime.logs import get_logger
from runtime.metrics import DATABASE_UP, temporal_runtime
from runtime.practices import Practice, load_practices
from runtime.settings import Settings
from runtime.temporal import connect
from store.audit import AuditTrail
from store.database import Database
from store.errors import StoreAway
from store.idempotency import Idempotency
from store.shelf import Shelf
from store.signoffs import Signoffs
from store.spool import Spool
from store.tokens import Tokens
from store.webhooks import SeenCallbacks

KEEPING_SECONDS = 10.0
"""How often what waits for PostgreSQL is tried again."""
_FORGET_EVERY = timedelta(hours=1)
_FRESH_SECONDS = 60.0

log = get_logger(__name__)


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """Everything that a door may use."""

    settings: Settings
    keyring: KeyRing
    practices: Mapping[str, Practice]
    client: Client
    database: Database
    documents: Documents
    tokens: Tokens
    spool: Spool
    audit: AuditTrail
    idempotency: Idempotency
    signoffs: Signoffs
    seen: SeenCallbacks
    shelf: Shelf
    cases: Cases
    claims: Claims
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def of(
        cls,
        settings: Settings,
        keyring: KeyRing,
        practices: Mapping[str, Practice],
        client: Client,
        database: Database,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> "Services":
        """The services upon a client and a database that somebody else opens and closes."""
        spool = Spool(settings.ensure_home() / "spool" / "audit", keyring, name="audit")
        return cls(
            settings=settings,
            keyring=keyring,
            practices=practices,
            client=client,
            database=database,
            documents=Documents.at(settings.documents_url, settings.home_path / "documents", keyring),
            tokens=Tokens(database),
            spool=spool,
            audit=AuditTrail(database, spool),
            idempotency=Idempotency(database, keyring),
            signoffs=Signoffs(database, keyring),
            seen=SeenCallbacks(database),
            shelf=Shelf(folder=settings.policies_dir),
            cases=Cases(client, settings, keyring, database),
            claims=Claims(),
            clock=clock,
        )

    async def rules(self) -> Shelf:
        """The payers' rules in force, of a minute ago at most; while PostgreSQL is away those that are held, or the files'."""
        found = await self.shelf.refresh(self.database, every=_FRESH_SECONDS)
        for payer in found.unreadable:
            log.error("a payer's policy cannot be read; what was held of it stays", payer=payer)
        return self.shelf

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Bring to PostgreSQL what waits for it, now and then, while in the block."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping

    async def _keep(self) -> None:
        forgotten = self.clock()
        while True:
            try:
                await self.database.ping()
                DATABASE_UP.set(1)
                await self.audit.drain()
                now = self.clock()
                if now - forgotten > _FORGET_EVERY:
                    await self.idempotency.forget_expired(now)
                    await self.seen.forget_old(now)
                    forgotten = now
            except StoreAway:
                DATABASE_UP.set(0)
            except Exception:  # the edge: the doors stay open, and it is tried again
                log.exception("what waits for PostgreSQL could not be brought there")
            await asyncio.sleep(KEEPING_SECONDS)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything by the settings. Temporal and PostgreSQL may be away: they are found when they are needed.

    Raises:
        VigilRuntimeError: keys, practices or settings cannot be used; the message says what to do.
    """
    keyring = load_keyring(settings)
    practices = load_practices(settings.practices_path, settings.resolve_url)
    client = await connect(settings, keyring, lazy=True, runtime=temporal_runtime(settings))
    database = Database(database_url(settings), application_name="vigil-api")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        services = Services.of(settings, keyring, practices, client, database)
        stack.callback(services.spool.close)
        await stack.enter_async_context(services.kept())
        yield services
