"""The X12 rail: a request goes to a clearinghouse as a 278, and what comes back becomes facts.

Search before create where the payer answers inquiries (X215); where it does not, the mailbox of what was sent under the
same PayloadID is the search. An envelope that is not taken in (TA1, 999) decided nothing; one that is, is a receipt.
"""

from activities.outside import Outside
from activities.x12_exchange import Ask, Carriers, Exchange, Numbers, Said
from connectors.codes import NOT_IDENTIFIED
from connectors.errors import OutcomeUnknown, Refused, Unreachable
from connectors.raw import RawAnswer
from connectors.x12.attachment import attachments_275
from connectors.x12.checks import Finding, check
from connectors.x12.identity import inquiry_trace
from connectors.x12.request import request_278
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.decision import AnswerError, Decision, Number, Result
from domain.facts import AnyFact, Receipt
from domain.policy_rules import Ability

_LOOKS = (0.0, 1.0, 2.0, 4.0)
"""Seconds before each look into the mailbox after a batch was handed over: its acknowledgment may come soon."""
_NOT_SENT = RawAnswer(status=0, body=b"")


class X12Rail:
    """Requests by X12 and CAQH CORE."""

    def __init__(self, outside: Outside, numbers: Numbers, looks: tuple[float, ...] = _LOOKS) -> None:
        self._outside = outside
        self._numbers = numbers
        self._looks = looks
        self._carriers = Carriers(outside)

    async def submit(self, action: SubmitRequest) -> list[AnyFact]:
        """Search for the request, and send it once if it is not there.

        Raises:
            Unreachable, Busy: it was surely not sent, for as long as the action's patience lasts.
            OutcomeUnknown: the answer was lost.
            Refused: the clearinghouse does not let the practice in, or something is missing that the message needs.
        """
        work = self._work(action)
        body = request_278(action.request, work.practice, work.payer)
        findings = check(body, action.now.date())
        if findings:
            return await work.told.rejected(_refusal(findings), _NOT_SENT)
        found = await self._found(work)
        if found is not None:
            return found
        said, at_once = await work.send(body, "request", self._looks)
        if work.is_batch and not said.answer.body:
            return [await work.told.taken_up(_carried(work, at_once), (), at_once)]
        return await self._told(work, said)

    async def inquire(self, action: InquireStatus) -> list[AnyFact]:
        """Ask how the request stands: the mailbox first, where it went in a batch, then the payer.

        Raises:
            Unreachable, Busy: nobody could be asked, for as long as the action's patience lasts.
            Refused: the clearinghouse does not let the practice in, or there is nothing to ask by.
        """
        work = self._work(action)
        if not work.is_batch:
            if not work.may_search:
                raise Refused("x12:inquiry_not_offered")
            return await self._asked(work, action.numbers)
        said = await work.pick_up("request", work.to_create)
        if said.refusal is not None:
            return await work.told.inquired(said.answer, found=True, decision=said.refusal)
        about = [one for one in said.about(work.mine) if one.result is not Result.UNREADABLE]
        facts: list[AnyFact] = []
        for decision in about:
            facts += await work.told.inquired(said.answer, found=True, decision=decision)
        if work.may_search and not (about and _is_final(about[-1])):
            found = await self._asked(work, action.numbers)
            news = any(fact.kind == "decision_received" for fact in found)
            return _once([*facts, *found] if news or not facts else facts)
        if facts:
            return _once(facts)
        if said.is_undivided:
            raise Unreachable("x12:control_numbers_away")
        unread = next(iter(said.about(work.mine)), said.nameless(work.mine))
        return await work.told.inquired(said.answer, found=said.taken is not None, decision=unread)

    async def withdraw(self, action: WithdrawRequest) -> list[AnyFact]:
        """Cancel the whole request, where the payer does not say that it is cancelled already.

        Raises:
            Unreachable, Busy: it was surely not sent, for as long as the action's patience lasts.
            OutcomeUnknown: the answer was lost, or has not come yet.
            Refused: the clearinghouse does not let the practice in.
        """
        work = self._work(action)
        numbers = action.numbers
        if work.may_search:
            said = await work.search(action.numbers, work.to_create)
            for decision in said.about(work.mine):
                if work.told.is_cancelled(decision):
                    return await work.told.withdrawn(decision, said.answer)
                # A cancel names the request by the payer's numbers, which the case may not have heard of yet.
                numbers = (*numbers, *decision.all_numbers)
        body = request_278(action.request, work.practice, work.payer, "cancel", numbers)
        if work.is_batch:
            said = await work.pick_up("cancel", work.to_create)
            if not (said.acknowledgments or said.about(work.mine)):
                said, _ = await work.send(body, "cancel", self._looks)
            if not said.answer.body or (said.taken is not None and not said.about(work.mine)):
                raise OutcomeUnknown("x12:cancel_not_confirmed")
        else:
            said, _ = await work.send(body, "cancel", self._looks)
        return await self._cancelled(work, said)

    async def send_information(self, action: SendInformation) -> list[AnyFact]:
        """Send documents by a 275: what the payer asked for by its numbers, what goes unasked by ours.

        Raises:
            Unreachable, Busy: they were surely not sent, for as long as the action's patience lasts.
            OutcomeUnknown: the answer was lost.
            Refused: the payer does not take them on this channel (`attachment_too_large`: another way has to be found).
        """
        work = self._work(action)
        if Ability.ATTACH not in work.channel.can:
            raise Refused("x12:attachments_unavailable")
        documents = self._outside.documents
        contents = {ref.id: await documents.get(action.practice, ref.id) for ref in action.documents}
        what = [*(ref.id for ref in action.documents), *(ask.control_number or "" for ask in action.asks)]
        said, carried = await work.attach(
            lambda controls, at: attachments_275(
                action.request,
                work.practice,
                work.payer,
                action.asks,
                action.documents,
                contents,
                guide=work.guide,
                at=at,
                controls=controls,
                numbers=action.numbers,
            ),
            what,
            self._looks,
        )
        if said.refused is not None:
            raise Refused(f"attachment:{said.refused.kind}:{said.refused.code}")
        if said.taken is None and said.answer.body:
            return await work.told.not_understood(
                "What came for the documents is no acknowledgment of them.", said.answer
            )
        receipt = _acknowledged(said) if said.taken is not None else _carried(work, carried)
        return [await work.told.informed(receipt, action.documents, said.answer if said.answer.body else carried)]

    def _work(self, action: Ask) -> Exchange:
        return Exchange(self._outside, self._carriers, self._numbers, action)

    async def _found(self, work: Exchange) -> list[AnyFact] | None:
        """What is told of a request that is there already, or that may be; None where it may be sent."""
        if work.is_batch:
            said = await work.pick_up("request", work.to_create)
            if said.refusal is not None or said.taken is not None or said.about(work.mine):
                return await self._told(work, said)
        if not work.may_search:
            return None
        said = await work.search((), work.to_create)
        for decision in said.about(work.mine):
            return await work.told.answered(decision, said.answer, "inquiry")
        open_questions = [decision for decision in said.decisions if not _is_about_others(decision, work)]
        if not open_questions:
            return None
        errors = [error for decision in open_questions for error in decision.errors]
        if errors and all(error.code in NOT_IDENTIFIED for error in errors):
            return await work.told.rejected(open_questions[0], said.answer)
        why = "Whether the payer has the request already could not be told from its answer; nothing was sent."
        return await work.told.not_understood(why, said.answer)

    async def _asked(self, work: Exchange, numbers: tuple[Number, ...]) -> list[AnyFact]:
        """What an inquiry tells."""
        said = await work.search(numbers, work.ends)
        for decision in said.about(work.mine):
            return await work.told.inquired(said.answer, found=True, decision=decision)
        unclear = [decision for decision in said.decisions if not _is_about_others(decision, work)]
        return await work.told.inquired(said.answer, found=False, decision=unclear[0] if unclear else None)

    async def _told(self, work: Exchange, said: Said) -> list[AnyFact]:
        """The facts of what came for a request that was sent: refused, decided, or taken in and nothing else yet."""
        if said.refusal is not None:
            return await work.told.rejected(said.refusal, said.answer)
        about = said.about(work.mine)
        facts: list[AnyFact] = []
        for decision in about or said.decisions[:1]:
            facts += await work.told.answered(decision, said.answer, "submit")
        if said.taken is not None and not any(fact.kind == "request_submitted" for fact in facts):
            facts = [await work.told.taken_up(_acknowledged(said), (), said.answer), *facts]
        if not facts:
            return await work.told.not_understood("What came for the request says nothing about it.", said.answer)
        return _once(facts)

    async def _cancelled(self, work: Exchange, said: Said) -> list[AnyFact]:
        if said.refusal is not None:
            why = "The clearinghouse did not take the cancel in; the request stands."
            return await work.told.not_understood(why, said.answer)
        decisions = said.about(work.mine) or said.decisions
        decision = next((one for one in decisions if work.told.is_cancelled(one)), next(iter(decisions), None))
        if decision is None:
            return await work.told.not_understood("The payer did not say what became of the cancel.", said.answer)
        return await work.told.withdrawn(decision, said.answer)


def _refusal(findings: tuple[Finding, ...]) -> Decision:
    """What our own check found before anything was sent: correct and send again."""
    errors = (
        AnswerError(
            code="not_sent",
            text=finding.problem,
            where=f"{finding.where}, {finding.field}",
            meaning=f"{finding.field}: {finding.problem}"[:200],
            remedy=finding.remedy,
        )
        for finding in findings[:10]
    )
    return Decision(result=Result.REJECTED, errors=tuple(errors))


def _acknowledged(said: Said) -> Receipt:
    one = said.taken
    number = next((n for n in (one.transaction, one.group, one.interchange) if n), "") if one is not None else ""
    return Receipt(kind="acknowledgment", reference=f"{one.kind if one else ''} {number}".strip())


def _carried(work: Exchange, answer: RawAnswer) -> Receipt:
    """That the clearinghouse has it, by its own id of the exchange."""
    return Receipt(kind="http_id", reference=answer.http_id or f"HTTP {answer.status} {work.channel.via}")


def _is_about_others(decision: Decision, work: Exchange) -> bool:
    """Whether an inquiry's answer is about another request, or says that there is none.

    What names nothing, or only the inquiry itself, may hide our request: a decision then, or an error.
    """
    own = inquiry_trace(work.request.trace).upper()
    named = decision.trace is not None and decision.trace.upper() != own
    return decision.result is Result.NOT_FOUND or named


def _is_final(decision: Decision) -> bool:
    return bool(decision.lines) and all(line.decision.is_final for line in decision.lines)


def _once(facts: list[AnyFact]) -> list[AnyFact]:
    """The facts without those that were told twice."""
    kept: dict[str, AnyFact] = {}
    for fact in facts:
        kept.setdefault(fact.source_id, fact)
    return list(kept.values())
