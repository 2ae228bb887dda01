"""Correcting the record: a fact is taken back by a following one, and only when two operators say so."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from api.answers import PROBLEMS, ReportAnswer
from api.auth import Operator
from api.cases import report
from api.finding import live
from api.once import OnceRoute
from api.problems import Problem, refused
from domain.base import Frozen, Instant
from domain.facts import FactRetracted
from domain.refusal import refuse_retracting

router = APIRouter(prefix="/v1/cases/{case_id}", tags=["corrections"], route_class=OnceRoute, responses=PROBLEMS)

SIGN_WITHIN = timedelta(days=3)
"""How long a first signature waits for the second."""


class Retraction(Frozen):
    """Which fact is to be taken back, and why."""

    n: int = Field(ge=2, description="The place of the fact in the case.")
    reason: Annotated[str, Field(min_length=1, max_length=900)]


class RetractionAnswer(Frozen):
    """How the retraction stands."""

    status: Literal["waiting", "retracted"]
    n: int
    kind: str = Field(description="The kind of the fact.")
    reason: str = Field(description="The reason of whoever signed first.")
    first_by: str
    second_by: str | None = None
    expires_at: Instant = Field(description="Until when the first signature waits for the second.")
    report: ReportAnswer | None = None


@router.post(
    "/retract",
    summary="Take a fact back (two operators)",
    responses={202: {"model": RetractionAnswer, "description": "Signed once; another operator must sign too."}},
)
async def post_retract(case_id: str, body: Retraction, caller: Operator, response: Response) -> RetractionAnswer:
    """Sign that a fact is to be taken back. It is, once another operator has signed the same within three days.

    The fact stays in the list, and the case is folded without it from then on.
    """
    found = await live(caller, case_id, "fact.retract")
    signoffs = caller.services.signoffs
    target = next((fact for fact in found.case.facts if fact.n == body.n), None)
    if target is None:
        raise Problem(404, "fact_unknown", "The case has no fact at this place.")
    # The first to sign hears it, so that nobody looks for a second for nothing.
    refusal = refuse_retracting(found.case, target.source_id)
    if refusal is not None:
        raise refused(refusal)
    now = caller.services.clock()
    # What is signed is the fact, not its place: its name goes with the reason.
    signed = await signoffs.propose(
        caller.practice,
        case_id,
        body.n,
        reason=f"{target.ref} {body.reason}",
        by=caller.by,
        at=now,
        expires_at=now + SIGN_WITHIN,
    )
    ref, _, reason = signed.reason.partition(" ")
    if ref != target.ref:
        detail = "A first signature waits for another fact that stood at this place. It expires within three days."
        raise Problem(409, "signoff_refused", detail)
    answer = RetractionAnswer(
        status="waiting",
        n=body.n,
        kind=target.kind,
        reason=reason,
        first_by=signed.first_by,
        expires_at=signed.expires_at,
    )
    if signed.first_by == caller.by:
        response.status_code = 202
        return answer
    signed = await signoffs.sign(caller.practice, signed.id, by=caller.by, at=now)
    fact = FactRetracted(
        occurred_at=found.now,
        by=signed.first_by,
        source_id=f"retract:{signed.id}",
        retracted=target.source_id,
        reason=reason,
        signed_by=caller.by,
    )
    done = await report(caller, case_id, [fact])
    return answer.model_copy(update={"status": "retracted", "second_by": caller.by, "report": done})
