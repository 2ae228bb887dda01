"""What a payer's answer becomes, on every rail: facts with their evidence. What is not about our request decides nothing."""

import hashlib
from typing import Any, Literal

from temporalio import activity

from activities.outside import DocumentStore
from connectors.codes import DUPLICATE
from connectors.errors import ConnectorError
from connectors.ours import Ours
from connectors.raw import RawAnswer
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.decision import (
    AnswerError,
    Decision,
    Ending,
    LineDecision,
    Number,
    NumberType,
    Outcome,
    Result,
    decision_source,
)
from domain.facts import (
    MAX_FACT_BYTES,
    AnswerNotUnderstood,
    AnyFact,
    DecisionReceived,
    InformationSent,
    Receipt,
    RequestEnded,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    StatusInquired,
    write_fact,
)
from domain.order import DocumentRef

RAW_ANSWER = "payer_answer"
"""The kind of document that a raw answer is kept as."""
_MAX_KEY = 200
_SHORT = 120
_WHY = 900
_FEW = 5
"""So many errors fit a fact, cut short; the raw answer has them whole."""


class Told:
    """Makes the facts of one action about `mine`. The raw answer is kept once, as evidence."""

    def __init__(
        self,
        action: SubmitRequest | InquireStatus | WithdrawRequest | SendInformation,
        documents: DocumentStore,
        mine: Ours,
    ) -> None:
        self._action = action
        self._request = action.request
        self._ours = mine
        self._documents = documents

    async def answered(self, decision: Decision, answer: RawAnswer, via: Literal["submit", "inquiry"]) -> list[AnyFact]:
        """The facts of an answer that should be about our request: taken up and decided, rejected, or a person's."""
        anonymous = decision.trace is None and decision.member_id is None
        # A refusal that names nobody is about what was just sent; nothing else is taken on trust.
        about = self._ours.answered_by(decision) or (anonymous and decision.result is Result.REJECTED)
        if decision.result is Result.UNREADABLE or (decision.result is Result.NOT_FOUND and about):
            return await self.not_understood(_why(decision), answer)
        if not about:
            return await self.not_understood("The answer is about another request or another patient.", answer)
        if decision.result is Result.REJECTED:
            return await self.rejected(decision, answer)
        if decision.ending is not None:
            return await self.ended(decision.ending, decision, answer)
        if any(_is_refused_copy(line) for line in decision.lines):
            why = "The payer says that it has this request already: it refused a copy, and decided nothing by that."
            return await self.not_understood(why, answer)
        raw = await self._keep(answer)
        received = DecisionReceived(
            **self._common("decision"),
            attempt=self._request.attempt,
            rail=self._request.rail,
            via=via,
            decision=_fitting(decision),
            raw=raw,
        ).model_copy(update={"source_id": decision_source(self._request.track, self._request.attempt, decision)})
        facts: list[AnyFact] = []
        if isinstance(self._action, SubmitRequest):
            facts.append(
                RequestSubmitted(
                    **self._common("submitted"),
                    attempt=self._request.attempt,
                    rail=self._request.rail,
                    trace=self._request.trace,
                    receipt=self._receipt(decision, answer, raw),
                    numbers=tuple(n for n in decision.all_numbers if n.type is NumberType.ADMINISTRATIVE)[:10],
                )
            )
        if len(write_fact(received)) > MAX_FACT_BYTES:
            return [*facts, self._unread("The answer is too long to be taken in; read it as it came.", raw)]
        return [*facts, received]

    async def inquired(self, answer: RawAnswer, *, found: bool, decision: Decision | None) -> list[AnyFact]:
        """The facts of an inquiry: that we asked, and what there is to say; without a decision there was nothing."""
        raw = await self._keep(answer)
        asked = StatusInquired(
            **self._common("inquired"), attempt=self._request.attempt, rail=self._request.rail, found=found, raw=raw
        )
        if decision is None:
            return [asked]
        if not found:
            return [asked, self._unread(_why(decision), raw)]
        return [asked, *await self.answered(decision, answer, "inquiry")]

    async def taken_up(self, receipt: Receipt, numbers: tuple[Number, ...], answer: RawAnswer) -> RequestSubmitted:
        """Somebody on the way to the payer has the request, with a receipt; nothing is decided yet."""
        return RequestSubmitted(
            **self._common("submitted"),
            attempt=self._request.attempt,
            rail=self._request.rail,
            trace=self._request.trace,
            receipt=receipt.model_copy(update={"evidence": await self._keep(answer)}),
            numbers=numbers[:10],
        )

    async def ended(self, ending: Ending, decision: Decision, answer: RawAnswer) -> list[AnyFact]:
        """The payer ended the request without deciding it."""
        reasons = tuple(dict.fromkeys(reason for line in map(_short, decision.lines) for reason in line.reasons))[:10]
        return [
            RequestEnded(
                **self._common("ended"),
                attempt=self._request.attempt,
                rail=self._request.rail,
                ending=ending,
                reasons=reasons,
                raw=await self._keep(answer),
            )
        ]

    async def rejected(self, decision: Decision, answer: RawAnswer) -> list[AnyFact]:
        """The payer did not take the request up."""
        fact = RequestRejected(
            **self._common("rejected"),
            attempt=self._request.attempt,
            rail=self._request.rail,
            errors=decision.errors,
            raw=await self._keep(answer),
        )
        if len(write_fact(fact)) > MAX_FACT_BYTES:
            fact = fact.model_copy(update={"errors": tuple(map(_brief, decision.errors[:_FEW]))})
        return [fact]

    async def withdrawn(self, decision: Decision, answer: RawAnswer) -> list[AnyFact]:
        """The payer confirmed that the whole request is cancelled, or a person has to find out."""
        if not self.is_cancelled(decision):
            about = decision.result is Result.DECIDED and self._ours.answered_by(decision)
            why = "The payer did not confirm that the request is cancelled." if about else _why(decision)
            return await self.not_understood(why, answer)
        raw = await self._keep(answer)
        return [
            RequestWithdrawn(
                **self._common("withdrawn"),
                attempt=self._request.attempt,
                rail=self._request.rail,
                receipt=self._receipt(decision, answer, raw),
            )
        ]

    def is_cancelled(self, decision: Decision) -> bool:
        """Whether an answer says of every line of our request that it is cancelled."""
        said = {line.line: line.decision for line in decision.lines}
        all_gone = all(said.get(number) is Outcome.CANCELLED for number in self._request.lines)
        return decision.result is Result.DECIDED and self._ours.answered_by(decision) and all_gone

    async def informed(
        self, receipt: Receipt, documents: tuple[DocumentRef, ...], answer: RawAnswer
    ) -> InformationSent:
        """The payer has documents: the receipt with what it answered as evidence. Each receipt is a fact of its own."""
        about = self._common(f"sent:{hashlib.sha256(receipt.reference.encode()).hexdigest()[:16]}")
        kept = receipt.model_copy(update={"evidence": await self._keep(answer)})
        return InformationSent(**about, attempt=self._request.attempt, receipt=kept, documents=documents)

    async def not_understood(self, why: str, answer: RawAnswer) -> list[AnyFact]:
        """A person reads the answer."""
        return [self._unread(why, await self._keep(answer))]

    def _unread(self, why: str, raw: DocumentRef | None) -> AnswerNotUnderstood:
        return AnswerNotUnderstood(
            **self._common("not_understood"),
            attempt=self._request.attempt,
            rail=self._request.rail,
            why=why if raw is not None else f"{why} The answer itself was empty or could not be kept.",
            raw=raw,
        )

    def _receipt(self, decision: Decision, answer: RawAnswer, raw: DocumentRef | None) -> Receipt:
        if decision.trace == self._ours.trace:
            return Receipt(kind="trace_number", reference=self._ours.trace, evidence=raw)
        return Receipt(kind="http_id", reference=answer.http_id or f"HTTP {answer.status}", evidence=raw)

    async def _keep(self, answer: RawAnswer) -> DocumentRef | None:
        """Keep the answer as it came. A store that fails costs the evidence, never what the payer said."""
        if not answer.body:
            return None
        media_type = answer.media_type or "application/octet-stream"
        try:
            return await self._documents.put(self._request.order.practice, answer.body, RAW_ANSWER, media_type)
        except ConnectorError as error:
            activity.logger.error("a payer's answer could not be kept as evidence: %s", error.code)
            return None

    def _common(self, what: str) -> dict[str, Any]:
        source = f"{self._action.key}:{what}"
        if len(source) > _MAX_KEY:
            source = f"{hashlib.sha256(self._action.key.encode()).hexdigest()}:{what}"
        return {
            "occurred_at": self._action.now,
            "by": f"system:{self._request.rail}:{self._request.payer}"[:_MAX_KEY],
            "source_id": source,
            "track": self._action.track,
        }


def _is_refused_copy(line: LineDecision) -> bool:
    """Whether a line was refused because the payer has it already, which is no denial of the service."""
    return line.decision is Outcome.DENIED and any(reason.code == DUPLICATE for reason in line.reasons)


def _why(decision: Decision) -> str:
    """Why an answer is a person's, as a sentence."""
    said = [*decision.notes, *(f"{error.sentence}." for error in decision.errors)]
    sentence = " ".join(part for part in said if part) or "The answer decides nothing."
    return sentence[:_WHY]


def _fitting(decision: Decision) -> Decision:
    """The decision with the payer's prose cut short where it would not fit a fact; the raw answer has it whole."""
    if len(decision.model_dump_json(exclude_none=True)) < MAX_FACT_BYTES - 1024:
        return decision
    return decision.model_copy(update={"lines": tuple(map(_short, decision.lines))})


def _brief(error: AnswerError) -> AnswerError:
    cut = {"text": (error.text or "")[:_SHORT] or None, "where": (error.where or "")[:_SHORT] or None}
    return error.model_copy(update=cut)


def _short(line: LineDecision) -> LineDecision:
    cut = (reason.model_copy(update={"text": (reason.text or "")[:_SHORT] or None}) for reason in line.reasons)
    return line.model_copy(update={"reasons": tuple(cut)})
