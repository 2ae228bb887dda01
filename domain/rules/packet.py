"""Duty: when a person asks the payer (portal, phone, fax by hand), the packet is there with the task, and what to type where.

The packet is made for the request as it reads: a changed order makes another one, and another task. A packet that cannot be
made delays nobody: the task then says so.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from domain.actions import PreparePacket
from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import PacketPrepared, TaskKind
from domain.policy import PolicySlice
from domain.policy_rules import Channel, Rail, WorkKind
from domain.portal import what_to_type
from domain.request import Request
from domain.rules.asking import Asks, Person, Waiting, allow, common, effort, pursue

_PROOF: dict[str, str] = {
    Rail.PORTAL: "Record the portal's reference number, or a screenshot of its confirmation.",
    Rail.FAX: "Record the fax machine's report: when, to which number, how many pages.",
    Rail.PHONE: "Record the call's reference number and who said it.",
}
_RECORD = "Record the reference number or a screenshot."


def by_hand(
    case: Case,
    now: datetime,
    request: Request,
    policy: PolicySlice | None,
    *,
    first: Sequence[str] = (),
) -> Asks:
    """The packet, and the task in which a person sends it by the request's rail. `first` are steps before all others.

    Without a payer's rules there is only the task.
    """
    rail = request.rail
    cause = packet_cause(request)
    packet = packet_of(case, request)
    tried = case.actions.get(cause, ())
    if policy is not None and packet is None:
        yield from pursue(
            case,
            now,
            cause,
            lambda key: PreparePacket(**common(case, now, key), track=request.track, request=request, policy=policy),
        )
        if not any(each.ended for each in tried):
            yield Waiting(Stage.SUBMISSION, Turn.VIGIL, f"Vigil is preparing the packet for {policy.name}.")
            return
    failed = policy is not None and packet is None and effort(case, now, cause).failed
    yield Person(
        key=f"submit_request/{request.track}/{request.attempt}/{rail}/{_digest(request)}",
        kind=TaskKind.SUBMIT_REQUEST,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title=f"Ask {policy.name if policy else 'the payer'} for the authorization {_where(policy, rail)}, "
        "and record the receipt.",
        checklist=(*first, *_steps(request, policy, packet, failed=failed)),
        time=allow(case, now, policy, WorkKind.SUBMISSION),
        track=request.track,
        attempt=request.attempt,
        rail=rail,
        cause=case.tracks[request.track].requirement.ref,
        raw=packet.packet if packet else None,
    )


def packet_of(case: Case, request: Request) -> PacketPrepared | None:
    """The packet that was made for a request as it reads now, or None."""
    mine = f"{packet_cause(request)}/"
    return next((packet for packet in reversed(case.packets) if packet.source_id.startswith(mine)), None)


def packet_cause(request: Request) -> str:
    """The cause under which the packet of a request is made: another one where the request reads differently."""
    return f"packet/{request.track}/{request.attempt}/{request.rail}/{_digest(request)}"


def _digest(request: Request) -> str:
    """What a request says, short; when it, or one that it takes the place of, was first meant to be sent does not matter."""
    whatever: dict[str, Any] = {"made_at": True}
    for _ in request.versions[1:]:
        whatever = {"made_at": True, "prior": whatever}
    said = request.model_dump_json(exclude=whatever)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _where(policy: PolicySlice | None, rail: str) -> str:
    contacts = policy.contacts if policy else None
    match rail:
        case Rail.PORTAL:
            return f"in the portal {contacts.portal}" if contacts and contacts.portal else "in the portal"
        case Rail.FAX:
            return f"by fax to {contacts.fax}" if contacts and contacts.fax else "by fax"
    return f"by phone at {contacts.provider_services}" if contacts else "by phone"


def _steps(
    request: Request, policy: PolicySlice | None, packet: PacketPrepared | None, *, failed: bool
) -> Iterator[str]:
    if packet is not None:
        yield f"Open the packet ({packet.pages} pages): cover sheet, form and documents."
    elif failed:
        yield "The packet could not be prepared: put it together from the order, the diagnoses and the notes."
    else:
        yield "Open the order, the diagnoses and the notes."
    yield f"Put our trace number on it: {request.trace}"
    yield f"{_PROOF.get(request.rail, _RECORD)} A pending reference is not an approval."
    yield "Where it does not let you in, report that instead: user name, second factor, or the system is down."
    channel = _channel(policy, request.rail)
    if channel is not None:
        yield from what_to_type(channel.portal_fields, request)


def _channel(policy: PolicySlice | None, rail: str) -> Channel | None:
    return next((channel for channel in policy.channels if channel.rail == rail), None) if policy else None
