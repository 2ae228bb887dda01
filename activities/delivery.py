"""Requests on paper by a carrier: one rail for faxes and Direct messages, over the port that both have.

A parcel is looked for by our reference before it is sent, and sent again only where the former has surely failed. That the
carrier delivered it is the receipt; while it is on its way nothing is claimed, and the plan looks for it later. Delivery says
nothing of what the payer decides: that comes by letter, call or portal.
"""

import asyncio
import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar, Literal, NamedTuple

from activities.outside import Outside
from activities.packet import channel_by, packet_of
from activities.patience import patiently
from connectors.delivery import Carrier, Delivery, DeliveryState, Failing, Parcel
from connectors.documents import ANSWER_KIND
from connectors.errors import ConnectorError, NotUnderstood, OutcomeUnknown, Refused, Unreachable
from connectors.packet import KIND, MEDIA_TYPE, Packet, Purpose
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.decision import AnswerError, Number, NumberType
from domain.facts import (
    AnyFact,
    InformationSent,
    NoteAdded,
    PacketPrepared,
    Receipt,
    RequestRejected,
    RequestSubmitted,
    StatusInquired,
)
from domain.order import DocumentRef
from domain.policy_rules import Channel, Rail
from runtime.practices import Practice

Ask = SubmitRequest | InquireStatus | WithdrawRequest | SendInformation

_MARGIN = timedelta(seconds=5)
"""What is left of an action's patience for keeping the report."""
MOST_SENT = 3
"""How often one action hands the same parcel over, each time because the one before has surely failed."""
_SUBJECT = {
    Purpose.REQUEST: "Request for prior authorization",
    Purpose.INFORMATION: "Additional information for a request",
    Purpose.CANCELLATION: "Cancellation of a request",
}


class Addressed(NamedTuple):
    """A carrier, and from where to where it carries."""

    carrier: Carrier
    sender: str
    to: str
    way: str
    """How it goes, in words for the cover."""


class DeliveryRail(ABC):
    """What a fax and a Direct message do alike. `poll` is how often a parcel under way is looked at."""

    rail: ClassVar[Rail]
    receipt: ClassVar[Literal["fax_report", "acknowledgment"]]

    def __init__(self, outside: Outside, poll: timedelta = timedelta(seconds=5)) -> None:
        self._outside = outside
        self._poll = poll.total_seconds()

    @abstractmethod
    def _addressed(self, action: Ask, practice: Practice, channel: Channel) -> Addressed:
        """The carrier of a channel, and from where to where. Raises `Refused` where the policy does not say."""

    async def submit(self, action: SubmitRequest) -> list[AnyFact]:
        """Search for the request by its trace, and send its packet where it is not there or has surely failed.

        While it is under way at the end of the patience, only the packet is told: whether the payer has it is not known.

        Raises:
            Unreachable, Busy: it surely was not delivered, and is worth another try.
            OutcomeUnknown: nobody knows whether it was taken up or delivered.
            Refused: the carrier does not let the practice in, or the number or address is wrong.
        """
        ends = _end(action)
        packet = await self._packet(action, Purpose.REQUEST)
        prepared = await self._prepared(action, packet)
        delivery = await self._carried(action, action.request.trace, packet, Purpose.REQUEST, ends)
        return [prepared, await self._submitted(action, delivery)] if delivery else [prepared]

    async def inquire(self, action: InquireStatus) -> list[AnyFact]:
        """Whether the request was delivered. One that surely was not is told as not taken up, with the carrier's code.

        Raises:
            Unreachable, Busy: the carrier could not be asked.
            Refused: the carrier does not let the practice in.
        """
        there = self._way(action)
        found = await _look(there.carrier, action.request.trace, _end(action))
        delivered = _first(found, DeliveryState.DELIVERED)
        shown = delivered or (found[-1] if found else None)
        asked = StatusInquired(
            **self._head(action, "inquired"),
            attempt=action.request.attempt,
            rail=action.request.rail,
            found=delivered is not None,
            raw=await self._kept(action, shown) if shown else None,
        )
        if delivered is not None:
            return [asked, await self._submitted(action, delivered)]
        if found and all(each.state is DeliveryState.FAILED for each in found):
            return [asked, self._failed(action, found[-1], asked.raw)]
        return [asked]

    async def withdraw(self, action: WithdrawRequest) -> list[AnyFact]:
        """Send a cancellation, once. It was delivered; that the payer cancelled is for it to say, and for a person to ask.

        Raises what `submit` raises.
        """
        ends = _end(action)
        numbers = tuple(f"Your number: {number.value}" for number in action.numbers)
        notes = ("Please cancel this request and confirm it to us.", *numbers)
        packet = await self._packet(action, Purpose.CANCELLATION, notes, documents=())
        delivery = await self._carried(action, f"{action.request.trace}.cancel", packet, Purpose.CANCELLATION, ends)
        if delivery is None:
            raise OutcomeUnknown(f"{self.rail}:under_way")
        said = f"A cancellation was delivered ({self._report(delivery)}). The payer has not confirmed it yet."
        return [NoteAdded(**self._head(action, "cancellation"), text=said)]

    async def send_information(self, action: SendInformation) -> list[AnyFact]:
        """Send documents with a cover that names the payer's control number, once. Raises what `submit` raises."""
        ends = _end(action)
        asked = dict.fromkeys(ask.control_number for ask in action.asks if ask.control_number)
        notes = (
            *(f"Your control number: {number}" for number in asked),
            *(f"Your number: {number.value}" for number in action.numbers if number.type is not NumberType.TRANSACTION),
        )
        packet = await self._packet(action, Purpose.INFORMATION, notes, documents=action.documents)
        said = "\n".join([*(ask.model_dump_json() for ask in action.asks), *(ref.id for ref in action.documents)])
        reference = f"{action.request.trace}.info.{hashlib.sha256(said.encode()).hexdigest()[:12]}"
        delivery = await self._carried(action, reference, packet, Purpose.INFORMATION, ends)
        if delivery is None:
            raise OutcomeUnknown(f"{self.rail}:under_way")
        missing = {left.document.id for left in packet.left_out}
        return [
            InformationSent(
                **self._head(action, "information"),
                attempt=action.request.attempt,
                receipt=await self._receipt(action, delivery),
                documents=tuple(ref for ref in action.documents if ref.id not in missing),
            )
        ]

    async def _carried(
        self, action: Ask, reference: str, packet: Packet, purpose: Purpose, ends: float
    ) -> Delivery | None:
        """The delivered parcel; None while it is still under way when patience ends. Sent again only after a sure failure."""
        there = self._way(action)
        parcel = Parcel(
            to=there.to,
            sender=there.sender,
            reference=reference,
            subject=_SUBJECT[purpose],
            pdf=packet.content,
            pages=packet.pages,
        )
        found = await _look(there.carrier, reference, ends)
        last = _first(found, DeliveryState.DELIVERED) or _first(found, DeliveryState.UNKNOWN)
        last = last or _first(found, DeliveryState.WAITING)
        sent = 0
        while True:
            if last is None:
                last = await self._handed_over(there.carrier, parcel)
                sent += 1
            last = await self._settled(there.carrier, last, ends)
            match last.state:
                case DeliveryState.DELIVERED:
                    return last
                case DeliveryState.WAITING:
                    return None
                case DeliveryState.UNKNOWN:
                    raise OutcomeUnknown(f"{self.rail}:{_code(last)}")
            if last.failing is Failing.LASTING:
                raise Refused(f"{self.rail}:{_code(last)}")
            if sent >= MOST_SENT or time.monotonic() + self._poll >= ends:
                raise Unreachable(f"{self.rail}:{_code(last)}")
            await asyncio.sleep(self._poll)
            last = None

    async def _handed_over(self, carrier: Carrier, parcel: Parcel) -> Delivery:
        """Hand a parcel over; where the answer is lost, look whether it was taken. Raises `OutcomeUnknown` if that is unclear."""
        try:
            return await carrier.send(parcel)
        except (OutcomeUnknown, NotUnderstood) as unsure:
            found: tuple[Delivery, ...] = ()
            with suppress(ConnectorError):  # what is not found now is looked for later, by the plan
                found = await carrier.find(parcel.reference)
            fresh = next((each for each in reversed(found) if each.state is not DeliveryState.FAILED), None)
            if fresh is None:
                raise OutcomeUnknown(unsure.code) from None
            return fresh

    async def _settled(self, carrier: Carrier, delivery: Delivery, ends: float) -> Delivery:
        """A parcel when it is over, or as it is when patience ends."""
        while delivery.state is DeliveryState.WAITING and time.monotonic() + self._poll < ends:
            await asyncio.sleep(self._poll)
            with suppress(ConnectorError):  # it is on its way whether or not the carrier answers just now
                delivery = await carrier.get(delivery.id)
        return delivery

    async def _packet(
        self,
        action: Ask,
        purpose: Purpose,
        notes: Sequence[str] = (),
        documents: Sequence[DocumentRef] | None = None,
    ) -> Packet:
        way = self._way(action).way
        return await packet_of(
            self._outside, action.request, action.policy, way, purpose=purpose, notes=notes, documents=documents
        )

    async def _prepared(self, action: SubmitRequest, packet: Packet) -> PacketPrepared:
        kept = await self._outside.documents.put(action.practice, packet.content, KIND, MEDIA_TYPE)
        return PacketPrepared(
            **self._head(action, "packet"), attempt=action.request.attempt, packet=kept, pages=packet.pages
        )

    async def _submitted(self, action: SubmitRequest | InquireStatus, delivery: Delivery) -> RequestSubmitted:
        request = action.request
        head = self._head(action, "submitted")
        # Found by two looks it was delivered once.
        head["source_id"] = _short(f"delivered:{request.trace}:{request.rail}:{delivery.id}")
        return RequestSubmitted(
            **head,
            attempt=request.attempt,
            rail=request.rail,
            trace=request.trace,
            receipt=await self._receipt(action, delivery),
            numbers=(Number(type=NumberType.TRANSACTION, value=delivery.id[:80]),),
        )

    def _failed(self, action: InquireStatus, delivery: Delivery, raw: DocumentRef | None) -> RequestRejected:
        error = AnswerError(code=_code(delivery)[:30], text="It was not delivered: the payer does not have it.")
        return RequestRejected(
            **self._head(action, "failed"),
            attempt=action.request.attempt,
            rail=action.request.rail,
            errors=(error,),
            raw=raw,
        )

    async def _receipt(self, action: Ask, delivery: Delivery) -> Receipt:
        return Receipt(
            kind=self.receipt, reference=self._report(delivery)[:200], evidence=await self._kept(action, delivery)
        )

    def _report(self, delivery: Delivery) -> str:
        pages = f"{delivery.pages} pages" if delivery.pages is not None else None
        at = f"{delivery.at:%Y-%m-%dT%H:%M:%SZ}" if delivery.at else None
        parts = (f"{self.rail} {delivery.id} {delivery.said}", pages, delivery.remote, at)
        return ", ".join(part for part in parts if part)

    async def _kept(self, action: Ask, delivery: Delivery) -> DocumentRef | None:
        """Keep the carrier's report. A store that fails costs the evidence, never what became of the parcel."""
        try:
            return await self._outside.documents.put(action.practice, delivery.raw, ANSWER_KIND, "application/json")
        except (Refused, Unreachable):
            return None

    def _way(self, action: Ask) -> Addressed:
        channel = channel_by(action.policy, action.request.rail)
        if channel is None or channel.base_url is None:
            raise Refused(f"policy:no_{self.rail}_channel")
        return self._addressed(action, self._outside.practice(action.practice), channel)

    def _head(self, action: Ask, what: str) -> dict[str, Any]:
        return {
            "occurred_at": action.now,
            "by": f"system:{action.request.rail}:{action.request.payer}"[:200],
            "source_id": _short(f"{action.key}:{what}"),
            "track": action.track,
        }


async def _look(carrier: Carrier, reference: str, ends: float) -> tuple[Delivery, ...]:
    """Every parcel of a reference. Raises `Unreachable` where the list cannot be read, too: nothing was sent."""
    try:
        return await patiently(lambda _: carrier.find(reference), until=ends)
    except NotUnderstood as error:
        raise Unreachable(error.code) from None


def _first(found: Sequence[Delivery], state: DeliveryState) -> Delivery | None:
    return next((each for each in found if each.state is state), None)


def _code(delivery: Delivery) -> str:
    return delivery.error or "failed"


def _short(key: str) -> str:
    return key if len(key) <= 200 else hashlib.sha256(key.encode()).hexdigest()  # noqa: PLR2004 - the length of a key


def _end(action: Ask) -> float:
    """When an action's patience is over, on the monotonic clock."""
    return time.monotonic() + (action.patience - _MARGIN).total_seconds()
