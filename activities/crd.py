"""Asks a payer's own rules about an order (CRD). Whatever goes wrong is told at once: the first word is not waited for long."""

import time
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.outside import EXHAUSTED, Outside, guarded
from activities.pas import requester
from activities.patience import patiently
from connectors.crd.client import CrdClient
from connectors.crd.read import read_hook
from connectors.crd.write import hook_request
from connectors.documents import ANSWER_KIND
from connectors.errors import ConnectorError, Refused, Unreachable
from connectors.oauth import Access
from connectors.pas.parties import PasPayer
from connectors.raw import RawAnswer
from domain.actions import AskRequirement
from domain.decision import Reason
from domain.facts import MAX_FACT_BYTES, AnyFact, CoverageInformationReceived, LineInformation, NoteAdded, write_fact
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import Channel

PATIENCE = timedelta(seconds=25)
"""How long all tries at one question may take: two answers' time. Then our own rules decide."""
_NOTE = 3500


class CrdActivities:
    """Activities that ask a payer's CDS Hooks services."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._clients: dict[tuple[str, ...], CrdClient] = {}

    @activity.defn(name="ask_requirement")
    @guarded
    async def ask_requirement(self, action: AskRequirement) -> list[AnyFact]:
        """Ask the payer what it covers and needs; the answer is kept, whatever it says."""
        ends = time.monotonic() + PATIENCE.total_seconds()
        practice = self._outside.practice(action.practice)
        client = self._client(action)
        try:
            offered = await patiently(lambda within: client.service(action.hook, within), until=ends)
            question = hook_request(action, requester(practice), payer_of(action.policy), offered)
            answer = await patiently(lambda within: client.ask(offered, question.body, within), until=ends)
        except Unreachable as error:
            # Not tried again by Temporal: the case goes on without the payer's word.
            raise ApplicationError(error.code, type=EXHAUSTED, non_retryable=True) from None
        found = read_hook(answer.body, question.asked)
        raw = await self._keep(action, answer)
        if found is None:
            raise Refused("hook:not_understood")
        facts: list[AnyFact] = []
        if found.lines:
            received = CoverageInformationReceived(
                occurred_at=action.now,
                by=_by(action),
                source_id=f"{action.key}/said",
                rank=action.rank,
                hook=action.hook,
                lines=found.lines,
                raw=raw,
            )
            facts.append(_fitting(received))
        if found.notes:
            words = "\n".join(found.notes)[:_NOTE]
            facts.append(
                NoteAdded(
                    occurred_at=action.now,
                    by=_by(action),
                    source_id=f"{action.key}/notes",
                    text=f"The payer's own rules ({action.hook}) also say:\n{words}",
                )
            )
        return facts

    def _client(self, action: AskRequirement) -> CrdClient:
        channel = next((one for one in action.policy.channels if one.crd_url), None)
        if channel is None or channel.crd_url is None:
            raise Refused("policy:no_crd_url")
        url = self._outside.settings.resolve_url(channel.crd_url)
        key = (action.practice, url, channel.token_url or "")
        if key not in self._clients:
            self._clients[key] = CrdClient(access_of(self._outside, action.practice, action.policy.payer, channel), url)
        return self._clients[key]

    async def _keep(self, action: AskRequirement, answer: RawAnswer) -> DocumentRef | None:
        """Keep the answer as it came. A store that fails costs the evidence, never what the payer said."""
        if not answer.body:
            return None
        media_type = answer.media_type or "application/octet-stream"
        try:
            return await self._outside.documents.put(action.practice, answer.body, ANSWER_KIND, media_type)
        except ConnectorError as error:
            activity.logger.error("a payer's answer could not be kept as evidence: %s", error.code)
            return None


def payer_of(policy: PolicySlice) -> PasPayer:
    """Return a payer as its own services know it: by its organization in PAS, else as eligibility knows it."""
    known = policy.identifiers
    named = known.pas_organization or known.eligibility_payer_id or policy.payer
    return PasPayer(id=policy.payer, name=policy.name, identifier=named)


def access_of(outside: Outside, practice_id: str, payer: str, channel: Channel) -> Access:
    """Return the way to a payer's services: the practice's credentials at the payer, as on the channel itself."""
    settings = outside.settings
    token_url = settings.resolve_url(channel.token_url) if channel.token_url else None
    name = f"{practice_id}.{payer}"
    return Access(
        outside.http(f"rules {payer}"),
        token_url,
        outside.practice(practice_id).id,
        lambda: settings.secret(name).get_secret_value(),
    )


def _by(action: AskRequirement) -> str:
    return f"system:crd:{action.policy.payer}"


def _fitting(fact: CoverageInformationReceived) -> CoverageInformationReceived:
    """The fact with the payer's prose left out where it would not fit; the answer that is kept has it whole."""
    if len(write_fact(fact)) <= MAX_FACT_BYTES:
        return fact
    return fact.model_copy(update={"lines": tuple(map(_short, fact.lines))})


def _short(line: LineInformation) -> LineInformation:
    coded = (Reason(code=reason.code) for reason in line.reasons if reason.code)
    return line.model_copy(update={"details": (), "contacts": (), "reasons": tuple(coded)})
