"""Alerts: what an operator should look at outside of cases, of the practice and of the installation."""

from fastapi import APIRouter
from pydantic import Field

from api.answers import PROBLEMS
from api.auth import Operator
from api.once import OnceRoute
from api.problems import Problem
from domain.base import Frozen, Instant, Key, Sentence
from store.alerts import OpenAlert, acknowledge, open_alerts

router = APIRouter(prefix="/v1/alerts", tags=["alerts"], route_class=OnceRoute, responses=PROBLEMS)

MOST = 500
"""How many alerts one answer shows: the oldest."""


class AlertAnswer(Frozen):
    """Something that an operator should look at."""

    key: Key = Field(examples=["round_missing/sweep"])
    kind: Key = Field(examples=["round_missing"])
    practice: str | None = Field(description="None where it is about the installation as a whole.")
    subject: str | None = Field(description="The case, or the workflow, that it is about.")
    sentence: Sentence = Field(description="What is wrong.")
    remedy: Sentence = Field(description="What to do first.")
    runbook: str = Field(
        description="The page of the runbook, in the project's folder.", examples=["docs/runbook.md#round-missing"]
    )
    lasting: bool = Field(description="Whether it stays until it is acknowledged, though its cause is over.")
    opened_at: Instant
    last_seen_at: Instant
    acknowledged_by: str | None
    acknowledged_at: Instant | None


class AlertsAnswer(Frozen):
    """The alerts that are open, the oldest first."""

    items: tuple[AlertAnswer, ...]
    more: bool = Field(description=f"Whether there are others: at most {MOST} are shown.")


@router.get("", summary="What operators should look at")
async def get_alerts(caller: Operator) -> AlertsAnswer:
    """The practice's open alerts and the installation's; acknowledged ones too, until their causes are gone."""
    await caller.audit("alerts.read")
    found = await open_alerts(caller.services.database, caller.practice, limit=MOST + 1)
    return AlertsAnswer(items=tuple(map(_shown, found[:MOST])), more=len(found) > MOST)


@router.post("/{key:path}/acknowledge", summary="Acknowledge an alert")
async def post_acknowledge(key: str, caller: Operator) -> AlertAnswer:
    """Say that you take care of it. The first to say so stands; a lasting alert is over with that."""
    await caller.audit("alert.acknowledge")
    services = caller.services
    found = await acknowledge(services.database, key, caller.by, services.clock(), practice=caller.practice)
    if found is None:
        raise Problem(404, "alert_unknown", "There is no such open alert of this practice or the installation.")
    return _shown(found)


def _shown(alert: OpenAlert) -> AlertAnswer:
    given = {name: getattr(alert, name) for name in AlertAnswer.model_fields if name != "runbook"}
    return AlertAnswer(**given, runbook=alert.page)
