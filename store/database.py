"""The way to PostgreSQL: a pool that opens when it is needed, fails fast and in one typed way, and recovers by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from store.errors import StoreAway, StoreError, StoreFault

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.pool.PoolConnectionProxy

_AWAY = "PostgreSQL cannot be reached. Work goes on and is caught up when it is back; see docs/store.md."
_SLOW = "PostgreSQL does not answer in time. Try again; if it stays so, see docs/store.md."
_QUIET_SECONDS = 0.5
_CLOSE_SECONDS = 3.0

_GONE: tuple[type[Exception], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    OSError,  # and with it TimeoutError
)
"""The server is away, starting, stopping, full or a stand-by: another time it will do."""


class Database:
    """PostgreSQL by its URL (`postgresql://…`, unix sockets by `?host=/folder`). Use it in one event loop.

    After a failed connection further calls fail at once for half a second, so that a server that does not even refuse
    holds nobody up for longer than the first caller.
    """

    def __init__(
        self,
        url: str,
        *,
        application_name: str = "vigil",
        max_connections: int = 10,
        connect_seconds: float = 3.0,
        statement_seconds: float = 15.0,
    ) -> None:
        self._url = url
        self._application_name = application_name
        self._max_connections = max_connections
        self._connect_seconds = connect_seconds
        self._statement_seconds = statement_seconds
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._away_until = 0.0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection, each statement a transaction of its own.

        Raises:
            StoreAway: PostgreSQL cannot be reached, went away meanwhile, or took too long.
            StoreFault: it refused a statement.
        """
        loop = asyncio.get_running_loop()
        if loop.time() < self._away_until:
            raise StoreAway(_AWAY)
        pool = await self._open_pool()
        try:
            held = await pool.acquire(timeout=self._connect_seconds)
        except _GONE:
            if pool.get_size() == self._max_connections:
                # Every connection stands and is in use: it is we who are slow.
                raise StoreAway(_SLOW) from None
            self._away_until = loop.time() + _QUIET_SECONDS
            raise StoreAway(_AWAY) from None
        except asyncpg.PostgresError as error:
            raise _typed(error) from None
        except asyncpg.InterfaceError as error:
            if _closed_under_us(error):
                raise StoreAway(_AWAY) from None
            raise  # a URL that cannot be used
        try:
            yield held
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            # `from None`: the driver's text quotes values of rows and arguments.
            raise _typed(error) from None
        finally:
            await _give_back(pool, held)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in one transaction: all or nothing. Raises as `connection` does."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def ping(self) -> None:
        """Ask for a sign of life. Raises `StoreAway`."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Close every connection; the next use opens the pool anew."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), _CLOSE_SECONDS)
        except _GONE:
            pool.terminate()

    async def _open_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._pool is None:
                # With min_size 0 nothing is connected yet, so this works while the server is away.
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=self._max_connections,
                    timeout=self._connect_seconds,
                    command_timeout=self._statement_seconds + 2,
                    server_settings={
                        "application_name": self._application_name,
                        "statement_timeout": f"{int(self._statement_seconds * 1000)}",
                        "timezone": "UTC",
                    },
                )
            return self._pool


async def _give_back(pool: "asyncpg.Pool[asyncpg.Record]", held: Connection) -> None:
    try:
        await pool.release(held, timeout=_CLOSE_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        # The connection broke: the pool has dropped it, and what went wrong was raised where it was used.
        return


def _typed(error: Exception) -> StoreError:
    if isinstance(error, (TimeoutError, asyncpg.QueryCanceledError)):
        return StoreAway(_SLOW)
    if isinstance(error, _GONE) or _closed_under_us(error):
        return StoreAway(_AWAY)
    if isinstance(error, asyncpg.PostgresError):
        return StoreFault(error.sqlstate or "unknown", getattr(error, "constraint_name", None))
    return StoreFault(type(error).__name__)


def _closed_under_us(error: Exception) -> bool:
    return isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)) and any(
        sign in str(error) for sign in ("closed", "closing", "terminated", "released back")
    )
