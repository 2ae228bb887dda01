"""Bring a database to the schema of this release. Any number of processes may do so at once; one works, the rest wait."""

from functools import partial
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from store.errors import SchemaUnknown, StoreAway

_SCRIPTS = Path(__file__).parent / "migrations"
_LOCK = 0x56_49_47_49_4C
"""The advisory lock's number: "VIGIL" in ASCII."""
_CONNECT_SECONDS = 10


async def migrate(url: str) -> None:
    """Apply the migrations that the database at `url` lacks, all or none; none is fine.

    Raises:
        StoreAway: PostgreSQL cannot be reached.
        SchemaUnknown: the database is newer than this release.
    """
    # The driver connects by the URL itself, so that unix sockets work as everywhere else.
    connect = partial(
        asyncpg.connect, url, timeout=_CONNECT_SECONDS, server_settings={"application_name": "vigil-migrate"}
    )
    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade)
    except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError):
        raise StoreAway(
            "PostgreSQL cannot be reached, so its schema was not brought up to date. Start it first."
        ) from None
    except CommandError:
        raise SchemaUnknown(
            "The database was migrated by a newer release of Vigil. Start that release, or restore a backup."
        ) from None
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
