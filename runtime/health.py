"""A worker's `/healthz` and `/metrics`, on a port of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.metrics import CONTENT_TYPE, exposition
from runtime.settings import Settings


class _Server(uvicorn.Server):
    """Leaves the process's signals to the worker, which drains first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_health(settings: Settings) -> AsyncIterator[None]:
    """Serve both while in the block; nothing where no port is set."""
    if settings.worker_port is None:
        yield
        return

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "build": settings.build_id})

    async def metrics(_request: Request) -> Response:
        return Response(exposition(), media_type=CONTENT_TYPE)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/metrics", metrics)])
    config = uvicorn.Config(app, host=settings.worker_host, port=settings.worker_port, log_config=None, lifespan="off")
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.should_exit = True
        await serving
