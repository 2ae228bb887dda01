"""Serves the doors over HTTP until SIGTERM or SIGINT, then lets requests end."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from api.app import create_app
from api.services import open_services
from runtime.logs import get_logger
from runtime.settings import Settings

_GRACE_SECONDS = 20

log = get_logger(__name__)


class _Server(uvicorn.Server):
    """Leaves the process's signals to `serve`: uvicorn's own way ends the process before the services are closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings) -> None:
    """Serve until the process is told to stop.

    Raises:
        VigilRuntimeError: keys, practices or settings cannot be used; the message says what to do.
    """
    async with open_services(settings) as services:
        config = uvicorn.Config(
            create_app(services),
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = _Server(config)

        def stop() -> None:
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        log.info("the doors open", host=settings.api_host, port=settings.api_port)
        await server.serve()
