"""Whether the doors are open, and what they count."""

import asyncio
from datetime import timedelta
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from api.auth import services_of
from domain.base import Frozen, Instant
from runtime.metrics import CONTENT_TYPE, DATABASE_UP, SPOOL_ENTRIES, exposition
from store import rounds
from store.errors import StoreError
from store.rounds import Round

router = APIRouter(tags=["health"])

WATCHMAN_SILENT = timedelta(minutes=15)
"""Three of the watchman's rounds."""


class Health(Frozen):
    """The process lives."""

    status: Literal["ok"] = "ok"
    build: str


class Readiness(Frozen):
    """What the doors need, and whether it answers. Without PostgreSQL work is still taken, and reads are not."""

    status: Literal["ready", "degraded", "unwatched", "away"]
    temporal: bool
    postgresql: bool
    watchman_ended_at: Instant | None = Field(
        default=None, description="When the watchman's last round ended; none before the first, or without PostgreSQL."
    )
    reason: str | None = Field(
        default=None, description="What is missing, and the page of the runbook that says what to do."
    )


@router.get("/healthz", summary="Does the process live")
async def healthz(request: Request) -> Health:
    """Answers as long as the process does."""
    return Health(build=services_of(request).settings.build_id)


@router.get(
    "/readyz",
    summary="May requests be sent here",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Temporal is away, or nobody watches over the cases."}},
)
async def readyz(request: Request) -> Response:
    """503 while Temporal is away, and while the watchman is silent though it once ran; `degraded` while PostgreSQL is away."""
    services = services_of(request)

    async def has_database() -> tuple[bool, Round | None]:
        try:
            async with asyncio.timeout(4):
                return True, await rounds.last(services.database, rounds.WATCHMAN)
        except (StoreError, TimeoutError):
            return False, None

    temporal, (postgresql, watched) = await asyncio.gather(services.cases.is_reachable(), has_database())
    DATABASE_UP.set(1 if postgresql else 0)
    ended = watched.ended_at if watched else None
    state = Readiness(temporal=temporal, postgresql=postgresql, watchman_ended_at=ended, status="ready")
    if not temporal:
        changes = {"status": "away", "reason": "Temporal cannot be reached. See docs/runbook.md#process-down."}
    elif not postgresql:
        changes = {
            "status": "degraded",
            "reason": "PostgreSQL cannot be reached, or refuses. See docs/runbook.md#database-away.",
        }
    elif ended is not None and services.clock() - ended > WATCHMAN_SILENT:
        changes = {
            "status": "unwatched",
            "reason": "The watchman has been silent for more than 15 minutes. See docs/runbook.md#watchman-silent.",
        }
    else:
        changes = {}
    state = state.model_copy(update=changes)
    return JSONResponse(state.model_dump(mode="json"), 200 if state.status in ("ready", "degraded") else 503)


@router.get(
    "/metrics",
    summary="Metrics in the Prometheus format",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Counts and times, without anything about people."""
    SPOOL_ENTRIES.set(await services_of(request).spool.entries())
    return Response(exposition(), media_type=CONTENT_TYPE)
