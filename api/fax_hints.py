"""Callbacks of fax services and HISPs: each is only a hint that a parcel of ours has news, and causes a look at the carrier.

Services sign differently or not at all, send the same thing twice and in any order, and their bodies differ. So nothing in a
callback is believed: the first of our references in it names the case, and the case asks the carrier itself. Whoever knocks is
told nothing but that it was heard.
"""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from api.answers import problem_answers
from api.auth import services_of
from api.problems import Problem
from api.services import Services
from api.signatures import Signature, Timestamp, is_signed
from api.webhook_facts import Event, claimed, event_of
from domain.case import Case
from domain.policy_rules import Rail
from runtime.errors import MissingSecret
from runtime.metrics import WEBHOOKS

router = APIRouter(prefix="/v1/webhooks/fax", tags=["webhooks"])

_REFERENCE = re.compile(rb"case-[a-z2-7]{26}-[a-z0-9-]{1,60}-[1-9][0-9]{0,3}(?![0-9a-z-])")
_RAILS = (Rail.FAX, Rail.DIRECT)


@router.post(
    "/{vendor}",
    summary="A fax service's callback",
    status_code=202,
    responses=problem_answers(400, 413, 422, 503),
)
async def post_hint(
    request: Request,
    vendor: Annotated[
        str, Path(pattern=r"^[a-z0-9][a-z0-9-]{1,60}$", description="Its name in payers' policies (`via`).")
    ],
    timestamp: Timestamp = None,
    signature: Signature = None,
) -> Response:
    """Take a callback in any shape. Safe to send again, and in any order: it causes at most one look in ten minutes."""
    services = services_of(request)
    body = await request.body()
    try:
        signed = is_signed(services, vendor, timestamp, signature, body)
    except MissingSecret:
        signed = False
    WEBHOOKS.labels("fax", "signed" if signed else "unsigned").inc()
    event = _event(body)
    # What the service signed does not count against the bound of what nobody signed.
    if event is not None and (signed or services.claims.allow(services.clock())):
        await _hint(services, vendor, event)
    return Response(status_code=202)


def _event(body: bytes) -> Event | None:
    """The first request of ours that a callback names, whatever its shape."""
    found = _REFERENCE.search(body)
    return event_of(found[0].decode("ascii")) if found else None


async def _hint(services: Services, vendor: str, event: Event) -> None:
    """Let the case look, where it has a request by that service."""
    try:
        practice = await services.cases.owner(event.case_id)
        case = await services.cases.case(practice, event.case_id) if practice else None
        payer = _payer_by(case, event, vendor) if case else None
        if practice and payer:
            await services.cases.notice(practice, event.case_id, [claimed(payer, services.clock())])
    except Problem:
        return  # no such case, or Temporal is away: the plan looks anyway


def _payer_by(case: Case, event: Event, vendor: str) -> str | None:
    """The payer of the request that a hint names, where that service carries to it."""
    track = case.tracks.get(event.track)
    policy = case.policies.get(track.requirement.payer) if track else None
    carried = policy and any(channel.rail in _RAILS and channel.via == vendor for channel in policy.channels)
    return policy.payer if policy and carried else None
