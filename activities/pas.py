"""The PAS rail: a request goes to the payer's FHIR endpoint, and its answer becomes facts.

Search before create: PAS knows no idempotency key, so a request is created only where the payer does not have it. What
cannot be read, or speaks of another request, is a person's, with the answer as it came.
"""

import time
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import cast

from activities.outside import Outside
from activities.patience import patiently
from activities.told import Told
from connectors.codes import NOT_IDENTIFIED
from connectors.errors import OutcomeUnknown, Refused, Unreachable
from connectors.lenient import Json, NotJson
from connectors.pas.attachment import attachment_parameters, attachments, is_held
from connectors.pas.claim import Version
from connectors.pas.client import PasClient
from connectors.pas.identity import ours
from connectors.pas.parties import PasPayer
from connectors.pas.read import read_answer, read_answers
from connectors.pas.write import cancel_bundle, inquiry_bundle, submit_bundle, update_bundle
from connectors.requester import Requester
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.decision import Decision, Number, NumberType, Result
from domain.facts import AnyFact, Receipt
from domain.order import Address, DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import Channel, Rail
from runtime.httpclient import tls
from runtime.practices import Practice

_MARGIN = timedelta(seconds=5)
"""What is left of an action's patience for keeping the answer and reporting."""
_TO_CREATE = timedelta(seconds=30)
"""What the search leaves of it to the creation."""

Ask = SubmitRequest | InquireStatus | WithdrawRequest | SendInformation


class PasRail:
    """Requests by Da Vinci PAS."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._clients: dict[tuple[str, ...], PasClient] = {}

    async def submit(self, action: SubmitRequest) -> list[AnyFact]:
        """Search for the request, and create it once if it is not there.

        Raises:
            Unreachable, Busy: it was surely not sent, for as long as the action's patience lasts.
            OutcomeUnknown: the answer was lost.
            Refused: the payer does not let the practice in, or something is missing that the message needs.
        """
        ends = _end(action)
        client, told = self._client(action), Told(action, self._outside.documents, ours(action.request))
        practice, payer = self._parties(action)
        contents = await self._sent_along(action)
        inquiry = inquiry_bundle(action.request, practice, payer, client.version)
        answer = await patiently(
            lambda within: client.inquire(inquiry, within), until=ends - _TO_CREATE.total_seconds()
        )
        mine = ours(action.request)
        found = read_answers(answer.body, answer.media_type, answer.status, mine, inquiry=True)
        for decision in found:
            if decision.trace == mine.trace:
                return await told.answered(decision, answer, "inquiry")
        open_questions = [decision for decision in found if not _is_about_others(decision, inquiry)]
        if open_questions:
            errors = [error for decision in open_questions for error in decision.errors]
            if errors and all(error.code in NOT_IDENTIFIED for error in errors):
                return await told.rejected(open_questions[0], answer)
            why = "Whether the payer has the request already could not be told from its answer; nothing was sent."
            return await told.not_understood(why, answer)
        write = submit_bundle if action.request.prior is None else update_bundle
        bundle = write(action.request, practice, payer, client.version, contents)
        answer = await patiently(lambda within: client.submit(bundle, within), until=ends)
        decision = read_answer(answer.body, answer.media_type, answer.status, mine)
        return await told.answered(decision, answer, "submit")

    async def inquire(self, action: InquireStatus) -> list[AnyFact]:
        """Ask how the request stands.

        Raises:
            Unreachable, Busy: the payer could not be asked, for as long as the action's patience lasts.
            Refused: the payer does not let the practice in.
        """
        client, told = self._client(action), Told(action, self._outside.documents, ours(action.request))
        inquiry = inquiry_bundle(action.request, *self._parties(action), client.version, action.numbers)
        answer = await patiently(lambda within: client.inquire(inquiry, within), until=_end(action))
        mine = ours(action.request)
        found = read_answers(answer.body, answer.media_type, answer.status, mine, inquiry=True)
        for decision in found:
            if mine.answered_by(decision) and (decision.trace == mine.trace or _names(decision, action.numbers)):
                return await told.inquired(answer, found=True, decision=decision)
        unclear = [decision for decision in found if not _is_about_others(decision, inquiry)]
        return await told.inquired(answer, found=False, decision=unclear[0] if unclear else None)

    async def withdraw(self, action: WithdrawRequest) -> list[AnyFact]:
        """Cancel the whole request, where the payer does not say that it is cancelled already.

        Raises:
            Unreachable, Busy: it was surely not sent, for as long as the action's patience lasts.
            OutcomeUnknown: the answer was lost.
            Refused: the payer does not let the practice in, or something is missing that the message needs.
        """
        ends = _end(action)
        client, told = self._client(action), Told(action, self._outside.documents, ours(action.request))
        practice, payer = self._parties(action)
        contents = await self._sent_along(action)
        inquiry = inquiry_bundle(action.request, practice, payer, client.version, action.numbers)
        answer = await patiently(
            lambda within: client.inquire(inquiry, within), until=ends - _TO_CREATE.total_seconds()
        )
        mine = ours(action.request)
        for decision in read_answers(answer.body, answer.media_type, answer.status, mine, inquiry=True):
            if decision.trace == mine.trace and told.is_cancelled(decision):
                return await told.withdrawn(decision, answer)
        bundle = cancel_bundle(action.request, practice, payer, client.version, action.numbers, contents)
        answer = await patiently(lambda within: client.submit(bundle, within), until=ends)
        return await told.withdrawn(read_answer(answer.body, answer.media_type, answer.status, mine), answer)

    async def send_information(self, action: SendInformation) -> list[AnyFact]:
        """Send documents by `$submit-attachment`: one message for each thing that the payer tracks.

        Raises:
            Unreachable, Busy: they were surely not sent, for as long as the action's patience lasts.
            OutcomeUnknown: an answer was lost.
            Refused: the payer does not take them (`attachment_too_large`: another way has to be found).
        """
        ends = _end(action)
        client, told = self._client(action), Told(action, self._outside.documents, ours(action.request))
        contents = await self._contents(action.documents, action.practice)
        practice, payer = self._parties(action)
        elsewhere = _channel(action.policy).attachments_url
        url = self._outside.settings.resolve_url(elsewhere) if elsewhere else None
        facts: list[AnyFact] = []
        for one in attachments(action.request, action.asks, action.documents):
            sent = attachment_parameters(action.request, practice, payer, one, contents, action.numbers)
            try:
                answer = await patiently(partial(client.attach, sent, url), until=ends)
            except Unreachable as error:
                if facts:  # Some are there already: all together are not surely unsent.
                    raise OutcomeUnknown(error.code) from None
                raise
            try:
                held = is_held(answer)
            except NotJson as error:
                return [*facts, *await told.not_understood(str(error), answer)]
            reference = f"held: {one.tracking}" if held else one.tracking
            facts.append(await told.informed(Receipt(kind="trace_number", reference=reference), one.documents, answer))
        return facts

    def _client(self, action: Ask) -> PasClient:
        return self.client(action.practice, action.request.payer, _channel(action.policy))

    def client(self, practice_id: str, payer: str, channel: Channel) -> PasClient:
        """Return the one client of a practice at a payer's channel. Raises `Refused` where it cannot be made."""
        practice = self._outside.practice(practice_id)
        settings = self._outside.settings
        base_url = settings.resolve_url(channel.base_url or "")
        token_url = settings.resolve_url(channel.token_url or "")
        version = _version(channel)
        key = (practice.id, payer, base_url, token_url, version, str(channel.answer_timeout))
        if key not in self._clients:
            secret = f"{practice.id}.{payer}"
            self._clients[key] = PasClient(
                self._outside.http(f"pas {payer}", verify=tls(settings, payer)),
                base_url,
                token_url,
                practice.id,
                lambda: settings.secret(secret).get_secret_value(),
                version,
                timedelta(seconds=channel.answer_timeout),
            )
        return self._clients[key]

    def _parties(self, action: Ask) -> tuple[Requester, PasPayer]:
        return requester(self._outside.practice(action.practice)), pas_payer(action.policy)

    async def _sent_along(self, action: SubmitRequest | WithdrawRequest) -> dict[str, bytes]:
        """The documents of a request and of those that it took the place of."""
        return await self._contents((ref for one in action.request.versions for ref in one.documents), action.practice)

    async def _contents(self, documents: Iterable[DocumentRef], practice: str) -> dict[str, bytes]:
        return {ref.id: await self._outside.documents.get(practice, ref.id) for ref in documents}


def requester(practice: Practice) -> Requester:
    """Return a practice as a payer must know it."""
    address = practice.address
    return Requester(
        name=practice.name,
        npi=practice.npi,
        tax_id=practice.tax_id,
        address=Address(
            line=", ".join(line for line in (address.line1, address.line2) if line),
            city=address.city,
            state=address.state,
            postal_code=address.postal_code,
        ),
        phone=practice.phone,
        contact=practice.contact.name,
        contact_phone=practice.contact.phone,
    )


def pas_payer(policy: PolicySlice) -> PasPayer:
    """Return a payer as it calls itself in PAS. Raises `Refused` where its policy does not say."""
    if policy.identifiers.pas_organization is None:
        raise Refused("policy:identifiers.pas_organization_missing")
    channel = next((channel for channel in policy.channels if channel.rail is Rail.PAS), None)
    return PasPayer(
        id=policy.payer,
        name=policy.name,
        identifier=policy.identifiers.pas_organization,
        sender=channel.sender if channel is not None else None,
        receiver=channel.receiver if channel is not None else None,
    )


def _channel(policy: PolicySlice) -> Channel:
    channel = next((channel for channel in policy.channels if channel.rail is Rail.PAS), None)
    if channel is None:
        raise Refused("policy:no_pas_channel")
    return channel


def _version(channel: Channel) -> Version:
    if channel.version not in ("2.2.1", "2.0.1"):
        raise Refused("policy:pas_version_unknown")
    return cast("Version", channel.version)


def _end(action: Ask) -> float:
    """When an action's patience is over, on the monotonic clock."""
    return time.monotonic() + (action.patience - _MARGIN).total_seconds()


def _is_about_others(decision: Decision, inquiry: Json) -> bool:
    """Whether an inquiry's answer is about another request, or says that there is none.

    What names nothing, or only the inquiry itself, may hide our request: a decision then, or an error.
    """
    named = decision.trace not in (None, inquiry["identifier"]["value"])
    return decision.result is Result.NOT_FOUND or named


def _names(decision: Decision, numbers: tuple[Number, ...]) -> bool:
    """Whether an answer names one of the payer's numbers that we hold."""
    held = {number.value for number in numbers if number.type is not NumberType.TRACE}
    return bool(held & {number.value for number in decision.all_numbers})
