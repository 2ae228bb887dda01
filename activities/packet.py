"""Makes the packet that a person, a fax or a Direct message carries, and keeps it."""

import asyncio
from collections.abc import Sequence

from temporalio import activity

from activities.access import AccessActivities
from activities.outside import Outside, guarded
from activities.pas import requester
from connectors.packet import KIND, MEDIA_TYPE, Cover, Packet, Purpose, make_packet
from domain.actions import PreparePacket
from domain.facts import AnyFact, PacketPrepared
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import Channel, Rail
from domain.request import Request


class PacketActivities:
    """Activities on packets."""

    def __init__(self, outside: Outside, access: AccessActivities | None = None) -> None:
        self._outside = outside
        self._access = access

    @activity.defn(name="prepare_packet")
    @guarded
    async def prepare_packet(self, action: PreparePacket) -> list[AnyFact]:
        """Make the packet of a request and keep it; tell where the way that it should go lets nobody in."""
        made = await packet_of(self._outside, action.request, action.policy, way_to(action.policy, action.request.rail))
        kept = await self._outside.documents.put(action.practice, made.content, KIND, MEDIA_TYPE)
        prepared = PacketPrepared(
            occurred_at=action.now,
            by="system:packet",
            source_id=f"{action.key}:packet",
            track=action.track,
            attempt=action.request.attempt,
            packet=kept,
            pages=made.pages,
        )
        heard = await self._access.heard(action, action.policy.payer, action.request.rail) if self._access else None
        return [prepared] if heard is None or heard.state == "working" else [prepared, heard]


async def packet_of(
    outside: Outside,
    request: Request,
    policy: PolicySlice,
    way: str,
    *,
    purpose: Purpose = Purpose.REQUEST,
    notes: Sequence[str] = (),
    documents: Sequence[DocumentRef] | None = None,
) -> Packet:
    """The packet of a request, with its own documents unless others are named; in the order that the channel names.

    Raises:
        Refused: the practice is not served, a document is not in the store, or the packet is too large.
        Unreachable: the store did not give a document.
    """
    practice = outside.practice(request.order.practice)
    channel = channel_by(policy, request.rail)
    place = {kind: number for number, kind in enumerate(channel.packet if channel else ())}
    wanted = request.documents if documents is None else documents
    ordered = sorted(wanted, key=lambda ref: (place.get(ref.kind, len(place)), ref.kind, str(ref.dated), ref.id))
    cover = Cover(
        payer=policy.name,
        way=way,
        fax=practice.fax,
        time_zone=practice.time_zone,
        purpose=purpose,
        notes=tuple(notes),
    )
    contents = {ref.id: await outside.documents.get(practice.id, ref.id) for ref in ordered}
    return await asyncio.to_thread(make_packet, cover, requester(practice), request, contents, ordered)


def way_to(policy: PolicySlice, rail: str) -> str:
    """How a packet goes to the payer, in words for its cover."""
    contacts = policy.contacts
    match rail:
        case Rail.PORTAL:
            return f"portal {contacts.portal}" if contacts.portal else "portal"
        case Rail.FAX:
            return f"fax to {contacts.fax}" if contacts.fax else "fax"
        case Rail.PHONE:
            return f"telephone {contacts.provider_services}"
    return rail


def channel_by(policy: PolicySlice, rail: str) -> Channel | None:
    """The payer's channel on a rail."""
    return next((channel for channel in policy.channels if channel.rail == rail), None)
