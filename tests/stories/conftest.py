"""The house of the stories: one a session."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.house import Desk, House, running_house
from temporalio.testing import WorkflowEnvironment

from runtime.embedded_postgres import PostgresServer
from runtime.keys import KeyRing


@pytest.fixture(scope="session")
async def house(
    temporal_env: WorkflowEnvironment,
    _postgres: PostgresServer,
    sandbox_url: str,
    keyring: KeyRing,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[House]:
    admin = await asyncpg.connect(_postgres.url)
    await admin.execute("CREATE DATABASE stories")
    await admin.close()
    url = urlsplit(_postgres.url)._replace(path="/stories").geturl()
    async with running_house(temporal_env, url, sandbox_url, keyring, tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture
async def desk(house: House) -> AsyncIterator[Desk]:
    async with house.desk() as found:
        yield found
