"""The application: simulated systems behind one gate, and a heartbeat that fires what has come due."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from sandbox import (
    clearinghouse,
    clearwave,
    control,
    crd,
    direct,
    dtr,
    eligibility,
    fax,
    gateway,
    luma,
    nextgen,
    nextgen_chart,
    nextgen_fhir,
    nextgen_schedule,
    nextgen_tasks,
    payers,
)
from sandbox.answers import Refused, refused_answer
from sandbox.gate import Gate
from sandbox.notifications import Notifier
from sandbox.world import World

SYSTEMS: dict[str, tuple[APIRouter, ...]] = {
    "payers": (payers.router, crd.router, dtr.router),
    "clearinghouses": (clearinghouse.router,),
    "gateways": (gateway.router,),
    "stedi": (eligibility.router,),
    "nextgen": (
        nextgen.router,
        nextgen_schedule.router,
        nextgen_tasks.router,
        nextgen_chart.router,
        nextgen_fhir.router,
    ),
    "luma": (luma.router,),
    "clearwave": (clearwave.router,),
    "fax": (fax.router,),
    "direct": (direct.router,),
}
"""Each system by the first word of its paths. It can be a process of its own; the control API is in every one."""


def create_app(state_file: Path | None = None, systems: Sequence[str] = tuple(SYSTEMS)) -> FastAPI:
    """Some systems, or all, as an ASGI application; `state_file` lets it remember across restarts."""
    world = World(state_file)
    notifier = Notifier(world)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        heartbeat = asyncio.create_task(notifier.run())
        try:
            yield
        finally:
            heartbeat.cancel()
            with suppress(asyncio.CancelledError):
                await heartbeat
            await notifier.close()
            world.save()

    app = FastAPI(title="Vigil sandbox", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.world = world
    app.state.notifier = notifier
    app.add_exception_handler(Refused, _refuse)
    for router in (*(router for system in systems for router in SYSTEMS[system]), control.router):
        app.include_router(router)
    app.add_middleware(Gate, world=world, clock_moved=notifier.wake)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


async def _refuse(_: Request, refused: Exception) -> Response:
    if isinstance(refused, Refused):
        return refused_answer(refused)
    return JSONResponse({"message": "An error has occurred."}, 500)
