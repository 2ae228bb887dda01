"""What the doors answer with: a case's row with links and slack, and what a report came to."""

from datetime import datetime
from typing import Any

from pydantic import Field

from api.auth import Caller
from api.problems import MEDIA_TYPE
from domain.base import Frozen, Instant, Key
from domain.facts import AnyFact
from domain.messages import Standing
from domain.plan import Plan
from domain.view import CaseView
from runtime.settings import Settings

Responses = dict[int | str, dict[str, Any]]
"""Answers by status, as FastAPI takes them for the OpenAPI document."""

_PROBLEMS = {
    400: "The address or the body cannot be read.",
    401: "No valid token, or no valid signature.",
    403: "The token's role may not do this.",
    404: "There is no such thing in this practice. A case of another practice is not told apart from none.",
    409: "It conflicts with where the case stands.",
    410: "It was kept, and cannot be read any more.",
    413: "The body is too large.",
    415: "The body's media type is not taken here.",
    422: "A field is missing or cannot be used; `errors` names each.",
    503: "Something that is needed is away; try again after `Retry-After` seconds.",
}


def problem_answers(*statuses: int) -> Responses:
    """The problems that a door may answer with."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": _PROBLEMS[status], "content": content} for status in statuses}


PROBLEMS = problem_answers(400, 401, 403, 404, 413, 422, 503)
"""Those of every door that wants a token."""
CHANGES = problem_answers(409, 415)
"""Those of every such door besides through which something comes in."""


class Links(Frozen):
    """Where a person goes on."""

    case: str = Field(examples=["http://127.0.0.1:8080/v1/cases/case-aaaaaaaaaaaaaaaaaaaaaaaaaa"])
    temporal: str = Field(description="The case's history in the Temporal Web UI.")


class CaseAnswer(CaseView):
    """Where a case stands."""

    workflow_id: Key
    slack_minutes: int | None = Field(
        default=None, description="Minutes until the binding clock runs out; negative when it has."
    )
    links: Links


class ReportAnswer(Frozen):
    """What became of a report."""

    n: int = Field(description="The place of the last fact that was reported.")
    repeated: bool = Field(description="Whether it had been reported before: then nothing changed.")
    case: CaseAnswer


class PageAnswer(Frozen):
    """Some cases in order."""

    items: tuple[CaseAnswer, ...]
    next: str | None = Field(default=None, description="The cursor of the cases that follow; none at the end.")


class FactsAnswer(Frozen):
    """Everything that is known of a case, in order."""

    case_id: Key
    items: tuple[AnyFact, ...]


class PlanAnswer(Frozen):
    """What was known and due at an instant."""

    case_id: Key
    at: Instant
    n: int = Field(description="How many facts were known then.")
    plan: Plan


def case_path(case_id: str) -> str:
    """The path of a case."""
    return f"/v1/cases/{case_id}"


def case_answer(settings: Settings, namespace: str, view: CaseView, now: datetime, base_url: str) -> CaseAnswer:
    """A case's row as the doors show it."""
    slack = int((view.binding.due - now).total_seconds() // 60) if view.binding else None
    ui = f"http://127.0.0.1:{settings.ui_port}/namespaces/{namespace}/workflows/{view.case_id}"
    return CaseAnswer(
        **{name: getattr(view, name) for name in CaseView.model_fields},
        workflow_id=view.case_id,
        slack_minutes=slack,
        links=Links(case=base_url + case_path(view.case_id), temporal=ui),
    )


def shown(caller: Caller, view: CaseView) -> CaseAnswer:
    """A case's row for a caller, at this moment."""
    services = caller.services
    return case_answer(services.settings, services.client.namespace, view, services.clock(), caller.base_url)


def reported(caller: Caller, standing: Standing) -> ReportAnswer:
    """What became of a report, for a caller."""
    return ReportAnswer(n=standing.n, repeated=standing.repeated, case=shown(caller, standing.view))
