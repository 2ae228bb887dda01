"""How a request reads on each rail: the message that would go out, made by what sends it, and shown instead of sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Literal

from pypdf import PdfReader

from activities.packet import way_to
from activities.pas import pas_payer, requester
from activities.x12_exchange import payer_of, speaks
from connectors.errors import Refused
from connectors.gateway.write import search_query, service_review
from connectors.packet import Cover, Packet, Purpose, make_packet
from connectors.pas.attachment import attachment_parameters, attachments
from connectors.pas.claim import Version
from connectors.pas.write import cancel_bundle, inquiry_bundle, submit_bundle, update_bundle
from connectors.x12.attachment import attachments_275
from connectors.x12.checks import check
from connectors.x12.envelope import Controls
from connectors.x12.inquiry import inquiry_278
from connectors.x12.request import interchange, request_278
from connectors.x12.segments import NotX12, Segment, Unwritable, encode, parse, segment
from console.errors import CommandFailed
from domain.decision import Number, NumberType
from domain.policy import PolicySlice
from domain.policy_rules import Ability, Channel, Rail
from domain.portal import what_to_type
from domain.request import Request
from runtime.practices import Practice

Json = dict[str, Any]
Message = Literal["request", "update", "cancel", "inquiry", "attachment"]

_PLACEHOLDERS = Controls(interchange=1, group=1, transaction=1)
_NUMBERED = "Control numbers (ISA13, GS06, ST02) are placeholders: a message gets its own when it is sent."
_ABILITIES: Mapping[str, Ability] = {
    "request": Ability.SUBMIT,
    "update": Ability.UPDATE,
    "cancel": Ability.CANCEL,
    "inquiry": Ability.INQUIRE,
    "attachment": Ability.ATTACH,
}
_PURPOSES: Mapping[str, Purpose] = {
    "request": Purpose.REQUEST,
    "update": Purpose.REQUEST,
    "cancel": Purpose.CANCELLATION,
    "attachment": Purpose.INFORMATION,
}


@dataclass(frozen=True)
class Around:
    """What a message needs beside its request. `contents` are documents by id, as far as they are at hand."""

    practice: Practice
    policy: PolicySlice
    numbers: tuple[Number, ...]
    contents: Mapping[str, bytes]
    now: datetime


@dataclass(frozen=True)
class Shown:
    """One message. `content` is JSON, an X12 interchange, or a packet (PDF) with its words before it."""

    content: Json | bytes | Packet
    words: tuple[str, ...] = ()
    """Of a packet: how it goes, from where to where, and what is typed."""
    notes: tuple[str, ...] = ()
    """What a person should know about how it is shown."""


def show(request: Request, message: Message, around: Around) -> Shown:
    """Make the message of a request by its rail.

    Raises:
        CommandFailed: nothing would be sent, with the reason.
    """
    channel = next(one for one in around.policy.channels if one.rail == request.rail)
    makers = {Rail.PAS: _pas, Rail.X12: _x12, Rail.GATEWAY: _gateway}
    try:
        made = makers.get(channel.rail, _packet)(request, message, around, channel)
    except Refused as refused:
        raise CommandFailed(f"Nothing would be sent ({refused.code}).{_remedy(refused)}") from None
    except Unwritable as error:
        raise CommandFailed(f"Nothing would be sent: {error}.") from None
    ability = _ABILITIES[message]
    if channel.is_automatic and ability not in channel.can:
        note = f"The payer's rules do not list {ability} on this channel: Vigil does not send this by itself."
        return Shown(made.content, made.words, (*made.notes, note))
    return made


def on_lines(x12: bytes) -> str:
    """An interchange for a person: one segment a line, and in place of what is binary how much there is of it.

    Raises:
        CommandFailed: it is no X12.
    """
    try:
        parsed = parse(x12)
    except NotX12 as error:
        raise CommandFailed(str(error)) from None
    return encode([_readable(one) for one in parsed.segments], newlines=True).decode()


def packet_text(packet: Packet) -> str:
    """What can be read on the pages of a packet."""
    return "\n\n".join(page.extract_text().strip() for page in PdfReader(BytesIO(packet.content)).pages)


def _readable(one: Segment) -> Segment:
    if one.binary is None:
        return one
    length = next((value for value in (one.get(1), one.get(2)) if value.isdigit()), "")
    return segment(one.id, f"({length} bytes)")


def _remedy(refused: Refused) -> str:
    if refused.code == "document_missing":
        return " The documents' contents are not at hand here: name files with --document."
    return ""


def _pas(request: Request, message: Message, around: Around, channel: Channel) -> Shown:
    practice, payer = requester(around.practice), pas_payer(around.policy)
    version: Version = "2.0.1" if channel.version == "2.0.1" else "2.2.1"
    wanted = [ref for one in request.versions for ref in one.documents]
    contents = around.contents if all(ref.id in around.contents for ref in wanted) else None
    match message:
        case "request":
            return Shown(submit_bundle(request, practice, payer, version, contents))
        case "update":
            return Shown(update_bundle(request, practice, payer, version, contents))
        case "cancel":
            return Shown(cancel_bundle(request, practice, payer, version, around.numbers, contents))
        case "inquiry":
            return Shown(inquiry_bundle(request, practice, payer, version, around.numbers))
    documents = _documents(request)
    (one,) = attachments(request, (), documents)
    return Shown(attachment_parameters(request, practice, payer, one, around.contents, around.numbers))


def _x12(request: Request, message: Message, around: Around, channel: Channel) -> Shown:
    practice, payer = requester(around.practice), payer_of(around.policy.name, channel)
    if message == "attachment":
        content = attachments_275(
            request,
            practice,
            payer,
            (),
            _documents(request),
            around.contents,
            guide=speaks(channel)[1],
            at=around.now,
            controls=_PLACEHOLDERS,
            numbers=around.numbers,
        )
        return Shown(content, notes=(_NUMBERED,))
    if message == "inquiry":
        asked = inquiry_278(request, practice, payer, around.numbers)
        return Shown(interchange([asked], payer, _PLACEHOLDERS, around.now, "005010X215"), notes=(_NUMBERED,))
    body = request_278(request, practice, payer, "cancel" if message == "cancel" else "request", around.numbers)
    findings = check(body, around.now.date())
    if findings:
        listed = "\n".join(f"  {one.field} ({one.where}): {one.problem} {one.remedy}" for one in findings)
        raise CommandFailed(f"Nothing would be sent before this is corrected:\n{listed}")
    return Shown(interchange([body], payer, _PLACEHOLDERS, request.made_at), notes=(_NUMBERED,))


def _gateway(request: Request, message: Message, around: Around, channel: Channel) -> Shown:
    practice, code = requester(around.practice), channel.payer_code or ""
    record = next((n.value for n in reversed(around.numbers) if n.type is NumberType.TRANSACTION), None)
    unnamed = () if record else ("The gateway's id of the record is not known here: --number transaction=ID names it.",)
    match message:
        case "request":
            return Shown(service_review(request, practice, code))
        case "update":
            return Shown(service_review(request, practice, code, record), notes=unnamed)
        case "cancel":
            return Shown({"method": "DELETE", "record": record}, notes=unnamed)
        case "inquiry" if record is not None:
            return Shown({"method": "GET", "record": record})
        case "inquiry":
            return Shown(dict(search_query(request, practice, code, around.numbers)))
    raise CommandFailed("Nothing would be sent: the gateway takes no documents, so a person sends them another way.")


def _packet(request: Request, message: Message, around: Around, channel: Channel) -> Shown:
    contacts = around.policy.contacts
    if message == "inquiry":
        asked = f"by telephone at {contacts.provider_services}"
        raise CommandFailed(f"Nothing would be sent: how a request stands is asked {asked}, by a person.")
    documents = () if message == "cancel" else _documents(request) if message == "attachment" else request.documents
    to = channel.receiver or contacts.fax
    way = (
        f"{channel.rail} to {to}"
        if channel.rail in (Rail.FAX, Rail.DIRECT) and to
        else way_to(around.policy, channel.rail)
    )
    cover = Cover(
        payer=around.policy.name,
        way=way,
        fax=around.practice.fax,
        time_zone=around.practice.time_zone,
        purpose=_PURPOSES[message],
        notes=tuple(f"Your number: {number.value}" for number in around.numbers),
    )
    place = {kind: number for number, kind in enumerate(channel.packet)}
    ordered = sorted(documents, key=lambda ref: (place.get(ref.kind, len(place)), ref.kind, str(ref.dated), ref.id))
    packet = make_packet(cover, requester(around.practice), request, around.contents, ordered)
    by = f"Vigil sends it by {channel.via or channel.rail}" if channel.is_automatic else "A person does it"
    typed = what_to_type(channel.portal_fields, request) if message in ("request", "update") else ()
    words = (f"{cover.title}, {packet.pages} pages, {way}. {by}.", *typed)
    left_out = tuple(
        f"Not in the packet: {one.document.kind.replace('_', ' ')} ({one.why})." for one in packet.left_out
    )
    return Shown(packet, words, left_out)


def _documents(request: Request) -> tuple[Any, ...]:
    """The documents that are to be sent afterwards. Raises `CommandFailed` where there are none."""
    if not request.documents:
        raise CommandFailed("Nothing would be sent: the order has no documents for it. Name files with --document.")
    return request.documents
