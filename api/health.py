"""Whether the doors are open, and what they count."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api.auth import services_of
from domain.base import Frozen
from runtime.metrics import CONTENT_TYPE, DATABASE_UP, exposition
from store.errors import StoreError

router = APIRouter(tags=["health"])


class Health(Frozen):
    """The process lives."""

    status: Literal["ok"] = "ok"
    build: str


class Readiness(Frozen):
    """What the doors need, and whether it answers. Without PostgreSQL work is still taken, and reads are not."""

    status: Literal["ready", "degraded", "away"]
    temporal: bool
    postgresql: bool


@router.get("/healthz", summary="Does the process live")
async def healthz(request: Request) -> Health:
    """Answers as long as the process does."""
    return Health(build=services_of(request).settings.build_id)


@router.get(
    "/readyz",
    summary="May requests be sent here",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Temporal is away: nothing can be taken."}},
)
async def readyz(request: Request) -> Response:
    """503 while Temporal is away; `degraded` while PostgreSQL is."""
    services = services_of(request)

    async def has_database() -> bool:
        try:
            async with asyncio.timeout(4):
                await services.database.ping()
        except (StoreError, TimeoutError):
            return False
        return True

    temporal, postgresql = await asyncio.gather(services.cases.is_reachable(), has_database())
    DATABASE_UP.set(1 if postgresql else 0)
    state = Readiness(
        status="away" if not temporal else "ready" if postgresql else "degraded",
        temporal=temporal,
        postgresql=postgresql,
    )
    return JSONResponse(state.model_dump(), 200 if temporal else 503)


@router.get("/metrics", summary="Metrics in the Prometheus format", response_class=Response)
async def metrics() -> Response:
    """Counts and times, without anything about people."""
    return Response(exposition(), media_type=CONTENT_TYPE)
