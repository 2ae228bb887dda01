"""The gateway rail: a request goes to a clearinghouse as JSON on the 278, and its answer becomes facts.

Search before create: the gateway knows no idempotency key. The id of the record that a creation names is told as the receipt,
whatever comes after it; the payer's answer is polled for a while, and later asked for by inquiries.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Literal

from activities.outside import Outside
from activities.pas import requester
from activities.patience import patiently
from activities.told import Told
from connectors.errors import ConnectorError, OutcomeUnknown, Refused, Unreachable
from connectors.gateway.client import GatewayAnswer, GatewayClient
from connectors.gateway.configurations import ConfigurationCache
from connectors.gateway.read import read_answers
from connectors.gateway.write import Json, ours, request_type, search_query, service_review
from connectors.raw import RawAnswer
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.decision import Decision, LineDecision, Number, NumberType, Outcome, Result
from domain.facts import AnyFact, Receipt, RequestRejected, RequestSubmitted
from domain.policy_rules import Channel, Rail
from domain.request import Request

_MARGIN = timedelta(seconds=5)
"""What is left of an action's patience for keeping the answer and reporting."""
_TO_CREATE = timedelta(seconds=30)
"""What the search and the field rules leave of it to the creation."""
_FIRST_POLL, _LONGEST_POLL = 0.25, 8.0

Ask = SubmitRequest | InquireStatus | WithdrawRequest
Numbers = tuple[Number, ...]


class GatewayRail:
    """Requests by a gateway's JSON."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._clients: dict[tuple[str, ...], GatewayClient] = {}
        self._configurations = ConfigurationCache()

    async def submit(self, action: SubmitRequest) -> list[AnyFact]:
        """Search for the request, check it against the payer's field rules, and create it once if it is not there.

        A request that takes the place of another is its update: the gateway's record, sent whole.

        Raises:
            Unreachable, Busy: it was surely not sent, for as long as the action's patience lasts.
            OutcomeUnknown: the answer was lost.
            Refused: the gateway does not let the practice in, or something is missing that the message needs.
        """
        work = self._work(action)
        if action.request.prior is not None:
            return await self._change(work, action.request.prior)
        found, answer = await work.search(action.request, (), work.to_create)
        for decision in found:
            if decision.trace == action.request.trace:
                return await work.follow(decision, answer)
        if any(work.may_be_ours(decision) for decision in found):
            why = "Whether the payer has the request already could not be told from its answer; nothing was sent."
            return await work.told.not_understood(why, answer)
        return await self._send(work, None)

    async def inquire(self, action: InquireStatus) -> list[AnyFact]:
        """Ask how the request stands: by the gateway's record while it keeps one, else by a search.

        Raises:
            Unreachable, Busy: the gateway could not be asked, or has no answer to the search yet.
            Refused: the gateway does not let the practice in.
        """
        work = self._work(action)
        held = _record(action.numbers)
        if held is not None and (facts := await work.stands(held)) is not None:
            return facts
        found, answer = await work.search(action.request, action.numbers, work.ends)
        for decision in found:
            if work.is_ours(decision, action.numbers):
                record = _record(decision.numbers)
                if record in (None, held):
                    return await work.told.inquired(answer, found=True, decision=decision)
                facts = await work.stands(record)
                if facts is None:
                    return await work.told.inquired(answer, found=True, decision=decision)
                # Where the record says nothing yet, the search is the proof that there is one.
                return facts if len(facts) > 1 else await work.told.inquired(answer, found=True, decision=None)
        unclear = [decision for decision in found if work.may_be_ours(decision)]
        return await work.told.inquired(answer, found=False, decision=unclear[0] if unclear else None)

    async def withdraw(self, action: WithdrawRequest) -> list[AnyFact]:
        """Void the gateway's record of the request where it is not void already, and see that it is.

        Raises:
            Unreachable, Busy: it was surely not sent, for as long as the action's patience lasts.
            OutcomeUnknown: the answer was lost.
            Refused: the gateway does not let the practice in.
        """
        work = self._work(action)
        record = _record(action.numbers)
        if record is not None:
            answer = await work.read(record, work.to_create)
            if (gone := work.cancelled(work.understood(answer, record))) is not None:
                return await work.told.withdrawn(gone, answer)
            record = record if answer.status != HTTPStatus.NOT_FOUND else None
        if record is None:
            found, answer = await work.search(action.request, action.numbers, work.to_create)
            about = tuple(decision for decision in found if work.is_ours(decision, action.numbers))
            if (gone := work.cancelled(about)) is not None:
                return await work.told.withdrawn(gone, answer)
            record = next((name for name in (_record(decision.numbers) for decision in about) if name), None)
            if record is None:
                why = "The gateway does not find the request, so it could not be taken back."
                return await work.told.not_understood(why, answer)
        return await self._void(work, record)

    async def send_information(self, action: SendInformation) -> list[AnyFact]:
        """Send nothing: the gateway's attachments are closed to new customers, so a person sends them another way.

        Raises:
            Refused: always.
        """
        raise Refused(f"{action.request.rail}:attachments_unavailable")

    async def _send(self, work: "_Work", record: str | None) -> list[AnyFact]:
        """Create the request, or update the gateway's record of what it takes the place of."""
        body = service_review(work.request, work.practice, work.payer_code, record)
        problems = await self._problems(work, body)
        if problems is not None:
            return await work.told.rejected(*problems)
        send = work.client.create if record is None else work.client.update
        sent = await patiently(lambda within: send(body, within), until=work.ends)
        if sent.status >= HTTPStatus.BAD_REQUEST:
            refusal = read_answers(sent.body, sent.media_type, sent.status)[0]
            return await work.told.answered(refusal, sent, "submit")
        named = sent.record or record
        if named is None:
            # Taken up, and nobody knows under which name: the search finds it by our trace.
            raise OutcomeUnknown("gateway:no_record")
        return await work.await_answer(named, sent, "submit")

    async def _change(self, work: "_Work", prior: Request) -> list[AnyFact]:
        """Update the record of the prior request, unless that has happened already."""
        record = _record(work.request.prior_numbers)
        if record is not None:
            answer = await work.read(record, work.to_create)
            if answer.status == HTTPStatus.ACCEPTED:
                raise Unreachable("gateway:under_way")
            found = work.understood(answer)
            record = record if answer.status != HTTPStatus.NOT_FOUND else None
        if record is None:
            found, answer = await work.search(prior, work.request.prior_numbers, work.to_create)
        for decision in found:
            if decision.trace == work.request.trace:
                return await work.follow(decision, answer)
            if decision.trace == prior.trace:
                record = _record(decision.numbers) or record
        if record is None:
            why = "The gateway does not find the request that is to be changed; nothing was sent."
            return await work.told.not_understood(why, answer)
        return await self._send(work, record)

    async def _void(self, work: "_Work", record: str) -> list[AnyFact]:
        voided = await patiently(lambda within: work.client.void(record, within), until=work.ends)
        if voided.status not in (HTTPStatus.ACCEPTED, HTTPStatus.NO_CONTENT):
            return await work.told.withdrawn(read_answers(voided.body, voided.media_type, voided.status)[0], voided)
        proof = RawAnswer(status=voided.status, body=voided.body, media_type=voided.media_type, http_id=record)
        if voided.status == HTTPStatus.NO_CONTENT:
            return await work.told.withdrawn(work.gone(), proof)
        try:
            answer = await work.poll(record, lambda seen: work.says_void(seen, record))
        except Unreachable as error:
            raise OutcomeUnknown(error.code) from None
        if answer is None:
            return await work.told.not_understood("The gateway has not confirmed that the request is void.", voided)
        if answer.status == HTTPStatus.NOT_FOUND:
            return await work.told.withdrawn(work.gone(), proof)
        return await work.told.withdrawn(work.understood(answer, record)[0], answer)

    async def _problems(self, work: "_Work", body: Json) -> tuple[Decision, GatewayAnswer] | None:
        """What does not fit the payer's field rules, and where they stand; None where all does, or there are none."""
        kind = request_type(work.request)
        rules = await self._configurations.get(
            (work.request.order.practice, work.via, work.payer_code, kind),
            lambda: patiently(
                lambda within: work.client.configuration(work.payer_code, kind, within), until=work.to_create
            ),
        )
        problems = rules.problems(body) if rules is not None else ()
        return (Decision(result=Result.REJECTED, errors=problems), rules.answer) if rules and problems else None

    def _work(self, action: Ask) -> "_Work":
        channel = next((one for one in action.policy.channels if one.rail is Rail.GATEWAY), None)
        if channel is None:
            raise Refused("policy:no_gateway_channel")
        return _Work(self._outside, self.client(action.practice, channel), action, channel)

    def client(self, practice_id: str, channel: Channel) -> GatewayClient:
        """Return the one client of a practice at a channel's gateway. Raises `Refused` where the practice is not served."""
        practice = self._outside.practice(practice_id)
        settings = self._outside.settings
        base_url = settings.resolve_url(channel.base_url or "")
        token_url = settings.resolve_url(channel.token_url or "")
        secret = f"{practice.id}.{channel.via}"
        key = (secret, base_url, token_url, str(channel.answer_timeout))
        if key not in self._clients:
            self._clients[key] = GatewayClient(
                self._outside.http(f"gateway {channel.via}"),
                base_url,
                token_url,
                practice.id,
                lambda: settings.secret(secret).get_secret_value(),
                timedelta(seconds=channel.answer_timeout),
                # The case's time is sent outside production only, and there nothing may be live.
                demo=settings.send_case_time,
            )
        return self._clients[key]


class _Work:
    """One action on one request: whom to ask, until when, and how what comes is read."""

    def __init__(self, outside: Outside, client: GatewayClient, action: Ask, channel: Channel) -> None:
        self.client = client
        self.request = action.request
        self.practice = requester(outside.practice(action.practice))
        self.payer_code, self.via = channel.payer_code or "", channel.via or ""
        self.mine = ours(action.request)
        self.told = Told(action, outside.documents, self.mine)
        self.ends = time.monotonic() + (action.patience - _MARGIN).total_seconds()
        self.to_create = self.ends - _TO_CREATE.total_seconds()
        self._answer_timeout = channel.answer_timeout
        self._statuses = channel.status_map

    def understood(self, answer: GatewayAnswer, record: str | None = None) -> tuple[Decision, ...]:
        """Read an answer by the channel's own codes. What bears the `record` id is about our request, unless it objects."""
        mine = ours(self.request, (record,)) if record is not None else self.mine
        return read_answers(answer.body, answer.media_type, answer.status, mine, inquiry=True, statuses=self._statuses)

    def is_ours(self, decision: Decision, numbers: Numbers) -> bool:
        """Whether a search has found our request: by our trace, or by a number of the payer's or gateway's that we hold."""
        held = {number.value for number in numbers if number.type is not NumberType.TRACE}
        named = decision.trace is None and bool(held & {number.value for number in decision.all_numbers})
        return self.mine.answered_by(decision) and (decision.trace == self.mine.trace or named)

    def may_be_ours(self, decision: Decision) -> bool:
        """Whether what a search found may hide our request: it names none, and speaks of our services or cannot be read."""
        if decision.trace is not None or decision.result is Result.NOT_FOUND:
            return False
        if decision.member_id not in (None, self.mine.member_id):
            return False
        ours_in_it = [line for line in decision.lines if line.line and line.code is not None]
        dead = bool(ours_in_it) and all(line.decision is Outcome.CANCELLED for line in ours_in_it)
        return decision.result is not Result.DECIDED or (bool(ours_in_it) and not dead)

    def cancelled(self, found: tuple[Decision, ...]) -> Decision | None:
        """The decision that says of our whole request that it is void."""
        return next((decision for decision in found if self.told.is_cancelled(decision)), None)

    def says_void(self, answer: GatewayAnswer, record: str) -> bool:
        """Whether a record that is being voided says so: it is gone, or a line of it is cancelled."""
        lines = [line for decision in self.understood(answer, record) for line in decision.lines]
        return answer.status == HTTPStatus.NOT_FOUND or any(line.decision is Outcome.CANCELLED for line in lines)

    def gone(self) -> Decision:
        """What the gateway says without words when it has voided a record."""
        lines = tuple(LineDecision(line=number, decision=Outcome.CANCELLED) for number in self.request.lines)
        return Decision(result=Result.DECIDED, lines=lines, member_id=self.mine.member_id)

    async def read(self, record: str, until: float) -> GatewayAnswer:
        """Read a record, patiently."""
        return await patiently(lambda within: self.client.read(record, within), until=until)

    async def search(
        self, request: Request, numbers: Numbers, until: float
    ) -> tuple[tuple[Decision, ...], GatewayAnswer]:
        """Search, and wait while the payer is being asked.

        Raises:
            Unreachable: it has no answer yet.
        """
        query = search_query(request, self.practice, self.payer_code, numbers)
        pause = _FIRST_POLL
        while True:
            answer = await patiently(lambda within: self.client.search(query, within), until=until)
            if answer.status != HTTPStatus.ACCEPTED:
                return self.understood(answer), answer
            if time.monotonic() + pause >= until:
                raise Unreachable("gateway:search_under_way")
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL)

    async def poll(self, record: str, done: Callable[[GatewayAnswer], bool]) -> GatewayAnswer | None:
        """Read a record until it says what is waited for, or for as long as the payer may take; None then."""
        until = min(self.ends, time.monotonic() + self._answer_timeout)
        pause = _FIRST_POLL
        while True:
            answer = await self.read(record, until)
            if answer.status != HTTPStatus.ACCEPTED and done(answer):
                return answer
            if time.monotonic() + pause >= until:
                return None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL)

    async def stands(self, record: str) -> list[AnyFact] | None:
        """The facts of an inquiry by the gateway's own record; None where it has none any more."""
        answer = await self.read(record, self.ends)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        found = self.understood(answer, record)
        return await self.told.inquired(answer, found=True, decision=found[0] if found else None)

    async def follow(self, decision: Decision, answer: GatewayAnswer) -> list[AnyFact]:
        """The facts of a request that a search has found: it is there, and what its record says."""
        record = _record(decision.numbers)
        if record is None:
            return await self.told.answered(decision, answer, "inquiry")
        return await self.await_answer(record, answer, "inquiry")

    async def await_answer(
        self, record: str, answer: GatewayAnswer, via: Literal["submit", "inquiry"]
    ) -> list[AnyFact]:
        """The receipt of a record, and what the payer has answered meanwhile. Nothing that goes wrong here hides the receipt."""
        number = Number(type=NumberType.TRANSACTION, value=record)
        taken_up = await self.told.taken_up(Receipt(kind="http_id", reference=record), (number,), answer)
        try:
            said = await self.poll(record, lambda seen: self._is_new(seen, record))
        except ConnectorError:
            # The inquiries that follow ask again.
            return [taken_up]
        if said is None:
            return [taken_up]
        facts = await self.told.answered(self.understood(said, record)[0], said, via)
        if any(isinstance(fact, RequestRejected) for fact in facts):
            return facts
        return [taken_up, *(fact for fact in facts if not isinstance(fact, RequestSubmitted))]

    def _is_new(self, answer: GatewayAnswer, record: str) -> bool:
        """Whether a record speaks of this request: not yet missing, and not still of the one that it takes the place of."""
        prior = self.request.prior
        found = self.understood(answer, record)
        stale = prior is not None and any(decision.trace == prior.trace for decision in found)
        return answer.status != HTTPStatus.NOT_FOUND and not stale


def _record(numbers: Numbers) -> str | None:
    """The gateway's latest id of a request."""
    return next((n.value for n in reversed(numbers) if n.type is NumberType.TRANSACTION), None)


__all__ = ["GatewayRail"]
