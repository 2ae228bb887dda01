"""One action's exchanges with a clearinghouse: a message gets its control number, is carried, and what comes back is sorted.

What comes back may be several things at once: acknowledgments of the envelope, decisions about our request, and, in a
mailbox, what is about others.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol, cast, get_args

from temporalio import activity

from activities.outside import Outside
from activities.pas import requester
from activities.patience import patiently
from activities.told import Told
from connectors.errors import ConnectorError, OutcomeUnknown, Refused, Unreachable
from connectors.ours import Ours
from connectors.raw import RawAnswer
from connectors.requester import Requester
from connectors.x12 import envelope
from connectors.x12.acknowledgment import Acceptance, Acknowledgment, read_acknowledgments
from connectors.x12.answer import read_answers
from connectors.x12.attachment import Guide
from connectors.x12.core import Connectivity, CoreClient, Message, PayloadType
from connectors.x12.envelope import Controls
from connectors.x12.identity import ours
from connectors.x12.inquiry import inquiry_278
from connectors.x12.parties import X12Payer
from connectors.x12.request import interchange
from connectors.x12.segments import NotX12, Segment
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.decision import Decision, Number, Result, unreadable
from domain.policy_rules import Ability, Channel, Rail
from runtime.httpclient import tls
from runtime.practices import Practice
from store.control_numbers import Use
from store.errors import StoreFault

Ask = SubmitRequest | InquireStatus | WithdrawRequest | SendInformation
Sent = Literal["request", "cancel"]
"""What is sent once, and by the same PayloadID on every try."""
_MARGIN = timedelta(seconds=5)
"""What is left of an action's patience for keeping the answer and reporting."""
_TO_CREATE = timedelta(seconds=30)
"""What the search leaves of it to the creation."""
_KNOWN = "core:PayloadIDIllegal"
"""A batch by that id is there already, with another envelope around it."""
_NAMESPACE = uuid.UUID("b2a7f7c0-6f0e-5a7e-8f6d-3f0d6f5a1c22")
"""Of every PayloadID that is made here (RFC 9562, version 5)."""


class Numbers(Protocol):
    """Where control numbers come from; see `store.control_numbers`."""

    async def next(self, use: Use) -> int:
        """Return a number for one use."""
        ...

    async def of_trace(self, practice: str, carrier: str, trace: str) -> frozenset[int] | None:
        """Return the numbers that the messages about a request have had, or None where that cannot be told now."""
        ...


@dataclass(frozen=True)
class Said:
    """What an answer says, sorted."""

    answer: RawAnswer
    acknowledgments: tuple[Acknowledgment, ...]
    """Of our own messages only."""
    decisions: tuple[Decision, ...]

    is_undivided: bool = False
    """It holds acknowledgments, and it cannot be told now whose they are."""

    @property
    def refused(self) -> Acknowledgment | None:
        """That a message of ours was not taken in."""
        return next((one for one in self.acknowledgments if one.acceptance is Acceptance.REJECTED), None)

    @property
    def refusal(self) -> Decision | None:
        """The same as an answer: nothing was decided."""
        one = self.refused
        return Decision(result=Result.REJECTED, errors=one.answer_errors) if one is not None else None

    @property
    def taken(self) -> Acknowledgment | None:
        """That a message of ours was taken in: the last word on it."""
        return next((one for one in reversed(self.acknowledgments) if one.accepted), None)

    def about(self, mine: Ours) -> tuple[Decision, ...]:
        """The decisions that are about our request."""
        return tuple(one for one in self.decisions if one.trace == mine.trace and mine.answered_by(one))

    def nameless(self, mine: Ours) -> Decision | None:
        """An answer that names no request, and may be about ours."""
        return next(
            (one for one in self.decisions if one.trace is None and one.member_id in (None, mine.member_id)), None
        )


def understood(answer: RawAnswer, numbers: frozenset[int], mine: Ours, *, inquiry: bool = False) -> Said:
    """Sort an answer to our messages, which had these control numbers. Of an empty one nothing is said."""
    if not answer.body:
        return Said(answer, (), ())
    acknowledgments = read_acknowledgments(answer.body)
    of_ours = tuple(one for one in acknowledgments if any(one.is_of(number) for number in numbers))
    decisions: tuple[Decision, ...] = ()
    if _holds_answers(answer.body) or not of_ours:
        decisions = read_answers(answer.body, answer.media_type, answer.status, mine, inquiry=inquiry)
    return Said(answer, of_ours, decisions)


def _holds_answers(body: bytes) -> bool:
    try:
        return any(t.set_id == "278" for found in envelope.read(body) for t in found.transactions)
    except NotX12:
        return True


class Carriers:
    """The clients of every practice at every clearinghouse, made once."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._clients: dict[tuple[str, ...], CoreClient] = {}

    def client(self, practice: Practice, channel: Channel, url: str) -> CoreClient:
        """Return the client. Its secret is supplied by name: `<practice>.<clearinghouse>`."""
        settings, connectivity = self._outside.settings, speaks(channel)[0]
        base_url = settings.resolve_url(url)
        secret = f"{practice.id}.{channel.via}"
        parties = (channel.sender or "", channel.receiver or "")
        key = (secret, base_url, connectivity, *parties, str(channel.answer_timeout))
        if key not in self._clients:
            self._clients[key] = CoreClient(
                self._outside.http(f"core {channel.via}", verify=tls(settings, channel.via or "")),
                base_url,
                connectivity,
                practice.id,
                lambda: settings.secret(secret).get_secret_value(),
                *parties,
                timedelta(seconds=channel.answer_timeout),
            )
        return self._clients[key]


def speaks(channel: Channel) -> tuple[Connectivity, Guide]:
    """Return the connectivity version and the 275's guide of a channel: `4.0.0`, `2.2.0`, or with a guide behind it.

    Raises:
        Refused: its version names something else.
    """
    first, *rest = (channel.version or Connectivity.REST.value).split()
    guide = rest[0] if rest else "006020X316"
    if first not in set(Connectivity) or len(rest) > 1 or guide not in get_args(Guide):
        raise Refused("policy:x12_version_unknown")
    return Connectivity(first), cast("Guide", guide)


def payer_of(name: str, channel: Channel) -> X12Payer:
    """Return a payer as its clearinghouse knows it."""
    return X12Payer(
        name=name,
        payer_code=channel.payer_code or "",
        sender=channel.sender or "",
        receiver=channel.receiver or "",
        transmission="EL" if Ability.ATTACH in channel.can else "AA",
        **channel.x12.model_dump(),
    )


async def numbered(numbers: Numbers, use: Use) -> tuple[int, Controls]:
    """Return a control number for one use. Raises `Unreachable` where the database refuses: nothing was sent."""
    try:
        number = await numbers.next(use)
    except StoreFault:
        raise Unreachable("control_number") from None
    return number, Controls(interchange=number, group=number, transaction=number)


class Exchange:
    """What one action needs to talk about its request. `ends` and `to_create` are moments of the monotonic clock."""

    def __init__(self, outside: Outside, carriers: Carriers, numbers: Numbers, action: Ask) -> None:
        practice = outside.practice(action.practice)
        channel = next((channel for channel in action.policy.channels if channel.rail is Rail.X12), None)
        if channel is None or channel.base_url is None or channel.via is None:
            raise Refused("policy:no_x12_channel")
        self.action = action
        self.request = action.request
        self.channel = channel
        self.practice: Requester = requester(practice)
        self.payer = payer_of(action.policy.name, channel)
        self.guide = speaks(channel)[1]
        self.client = carriers.client(practice, channel, channel.base_url)
        self.attachments = carriers.client(practice, channel, channel.attachments_url or channel.base_url)
        self.mine = ours(action.request)
        self.told = Told(action, outside.documents, self.mine)
        self.ends = time.monotonic() + (action.patience - _MARGIN).total_seconds()
        self.to_create = self.ends - _TO_CREATE.total_seconds()
        self._numbers = numbers

    @property
    def is_batch(self) -> bool:
        """Whether what is asked is answered later, and picked up."""
        return self.channel.mode == "batch"

    @property
    def may_search(self) -> bool:
        """Whether the payer answers inquiries."""
        return Ability.INQUIRE in self.channel.can

    def names(self, numbers: tuple[Number, ...]) -> Ours:
        """Return what an answer may be matched by that names the request by the payer's numbers."""
        return ours(self.request, numbers)

    def payload_id(self, *what: str) -> str:
        """Return the PayloadID of a message about the request: the same on every try."""
        return str(uuid.uuid5(_NAMESPACE, "\n".join([self.request.trace, *what])))

    async def search(self, numbers: tuple[Number, ...], until: float) -> Said:
        """Ask how the request stands (X215), in real time.

        Raises:
            Unreachable, Busy: the payer could not be asked until then.
            Refused: the clearinghouse does not let the practice in.
        """
        body = inquiry_278(self.request, self.practice, self.payer, numbers)
        number, controls = await self._number("inquiry")
        raw = interchange([body], self.payer, controls, self.action.now, "005010X215")
        message = Message(
            payload_type=PayloadType.INQUIRY, payload_id=str(uuid.uuid4()), payload=raw, at=self.action.now
        )
        answer = await patiently(lambda within: self.client.real_time(message, within, writes=False), until=until)
        said = understood(answer, frozenset({number}), self.names(numbers), inquiry=True)
        if said.refusal is not None:
            # It is the inquiry that was not taken in, and not the request.
            why = unreadable("The clearinghouse did not take the inquiry in.")
            return Said(answer, (), (why.model_copy(update={"errors": said.refusal.errors}),))
        return said

    async def send(self, body: list[Segment], kind: Sent, pauses: Iterable[float]) -> tuple[Said, RawAnswer]:
        """Send a request or its cancel, once; return what comes of it within a few looks, and what came at once.

        Raises:
            Unreachable, Busy: it was surely not taken up.
            OutcomeUnknown: it may have been; also where a batch by its PayloadID is there already.
            Refused: the clearinghouse does not let the practice in, or does not take the message.
        """
        number, controls = await self._number(kind)
        raw = interchange([body], self.payer, controls, self.request.made_at)
        message = Message(
            payload_type=PayloadType.REQUEST, payload_id=self.payload_id(kind), payload=raw, at=self.action.now
        )
        try:
            answer = await self._carry(self.client, message)
        except Refused as refused:
            if self.is_batch and refused.code == _KNOWN:
                raise OutcomeUnknown(refused.code) from None
            raise
        if self.is_batch and not answer.body:
            return await self.look(self.client, message.payload_id, number, pauses), answer
        return understood(answer, frozenset({number}), self.mine), answer

    async def attach(
        self, make: Callable[[Controls, datetime], bytes], what: Iterable[str], pauses: Iterable[float]
    ) -> tuple[Said, RawAnswer]:
        """Send a 275; return what comes of it, and what came at once. Raises as `send` does.

        Where a batch by its PayloadID is there already, these documents are: what came for them is in the mailbox.
        """
        number, controls = await self._number("attachment")
        kinds: dict[str, PayloadType] = {
            "005010X211": PayloadType.ATTACHMENT_5010,
            "006020X316": PayloadType.ATTACHMENT_6020,
        }
        message = Message(
            payload_type=kinds[self.guide],
            payload_id=self.payload_id("attachment", *what),
            payload=make(controls, self.action.now),
            at=self.action.now,
        )
        try:
            answer = await self._carry(self.attachments, message)
        except Refused as refused:
            if not self.is_batch or refused.code != _KNOWN:
                raise
            said = await self._opened(self.attachments, message.payload_id, self.ends)
            if not said.acknowledgments:
                raise OutcomeUnknown(refused.code) from None
            return said, said.answer
        if self.is_batch and not answer.body:
            return await self.look(self.attachments, message.payload_id, number, pauses), answer
        return understood(answer, frozenset({number}), self.mine), answer

    async def pick_up(self, kind: Sent, until: float) -> Said:
        """Return what has come for a batch that may have been handed over before.

        Raises:
            Unreachable, Busy: the mailbox cannot be opened.
            Refused: the clearinghouse does not let the practice in.
        """
        return await self._opened(self.client, self.payload_id(kind), until)

    async def _opened(self, client: CoreClient, payload_id: str, until: float) -> Said:
        """What is in the mailbox of a PayloadID. Raises as `pick_up` does."""
        held = await self._held()
        answer = await patiently(lambda within: client.pick_up(payload_id, self.action.now, within), until=until)
        said = understood(answer, held or frozenset(), self.mine)
        return replace(said, is_undivided=held is None and bool(read_acknowledgments(answer.body)))

    async def look(self, client: CoreClient, payload_id: str, number: int, pauses: Iterable[float]) -> Said:
        """Look a few times for what comes of a batch that was just handed over. What cannot be opened is empty.

        The batch is there, whatever the mailbox does: no error may say that nothing was sent.
        """
        said = Said(RawAnswer(status=0, body=b""), (), ())
        for pause in pauses:
            left = self.ends - time.monotonic() - pause
            if left <= 0:
                break
            await asyncio.sleep(pause)
            try:
                answer = await client.pick_up(payload_id, self.action.now, timedelta(seconds=left))
            except ConnectorError as error:
                activity.logger.warning("the mailbox of a batch that was handed over stays shut: %s", error.code)
                break
            said = understood(answer, frozenset({number}), self.mine)
            if said.acknowledgments or said.decisions:
                break
        return said

    async def _held(self) -> frozenset[int] | None:
        try:
            return await self._numbers.of_trace(self.action.practice, self._carrier, self.request.trace)
        except StoreFault:
            return None

    async def _carry(self, client: CoreClient, message: Message) -> RawAnswer:
        if self.is_batch:
            return await patiently(lambda within: client.submit_batch(message, within), until=self.ends)
        return await patiently(lambda within: client.real_time(message, within, writes=True), until=self.ends)

    async def _number(self, kind: str) -> tuple[int, Controls]:
        use = Use(
            practice=self.action.practice,
            carrier=self._carrier,
            kind=kind,
            trace=self.request.trace,
            sent_at=self.action.now,
        )
        return await numbered(self._numbers, use)

    @property
    def _carrier(self) -> str:
        return self.channel.via or ""
