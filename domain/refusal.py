"""What Vigil does not take from people, and why. Systems' facts are never refused: they are claims, and the plan weighs them."""

from collections.abc import Sequence
from datetime import datetime

from domain.case import Case, may_be_retracted, record
from domain.decision import NumberType, Outcome
from domain.facts import (
    DecisionReceived,
    Fact,
    FactRetracted,
    NewAttemptOrdered,
    OrderCancelled,
    OrderReceived,
    TaskClaimed,
    TaskCompleted,
    TaskReleased,
)
from domain.messages import Refusal
from domain.order import differences
from domain.room import too_large

_GOOD = {Outcome.APPROVED, Outcome.PARTLY_APPROVED, Outcome.MODIFIED}


def refuse_all(case: Case, facts: Sequence[Fact], now: datetime) -> Refusal | None:
    """Why facts that belong together are not taken, or None. Each is judged as if those before it were recorded."""
    for fact in facts:
        refusal = refuse(case, fact, now)
        if refusal is not None:
            return refusal
        case, _ = record(case, fact, now)
    return None


def refuse(case: Case, fact: Fact, now: datetime) -> Refusal | None:
    """Why a fact that a person reports is not taken, or None. What was reported before is never refused."""
    if fact.source_id in case.sources:
        return None
    if isinstance(fact, OrderReceived):
        return _other_order(case, fact)
    if case.closed is not None:
        return Refusal(code="closed", sentence="The case is closed; it takes nothing any more.")
    large = too_large(case, fact)
    if large is not None:
        return Refusal(code="too_large", sentence=large)
    match fact:
        case TaskClaimed() | TaskReleased() | TaskCompleted():
            return _task(case, fact, now)
        case DecisionReceived():
            return _decision(case, fact)
        case OrderCancelled() if case.cancelled is not None:
            return Refusal(code="cancelled", sentence="The order is cancelled already.")
        case FactRetracted():
            return _retraction(case, fact)
        case NewAttemptOrdered():
            return _new_attempt(case, fact)
    if fact.track is not None and fact.track not in case.tracks and case.tracks:
        return Refusal(code="track_unknown", sentence="The case has no such track.", fields=("track",))
    return None


def _other_order(case: Case, fact: OrderReceived) -> Refusal | None:
    fields = differences(case.order, fact.order)
    if not fields:
        return None
    return Refusal(
        code="order_differs",
        sentence="An order of this number is known with other content. Send a change to the case instead.",
        fields=fields,
    )


def _task(case: Case, fact: TaskClaimed | TaskReleased | TaskCompleted, now: datetime) -> Refusal | None:
    task = case.tasks.get(fact.task)
    if task is None:
        return Refusal(code="task_unknown", sentence="The case has no such task.", fields=("task",))
    if not task.is_open:
        return Refusal(code="task_done", sentence="The task is finished or no longer needed.", fields=("task",))
    holder = task.holder(now)
    if isinstance(fact, TaskClaimed):
        if holder is not None and holder != fact.by:
            return Refusal(code="task_held", sentence="Somebody else holds the task.", fields=("task",))
        return None
    if isinstance(fact, TaskReleased) and fact.taken_back and holder is not None:
        return None
    if holder != fact.by:
        return Refusal(
            code="not_holder",
            sentence="You do not hold the task, or your lease is over: claim it first.",
            fields=("task",),
        )
    return None


def _decision(case: Case, fact: DecisionReceived) -> Refusal | None:
    track = case.tracks.get(fact.track or "")
    if track is None:
        return Refusal(code="track_unknown", sentence="The case has no such track.", fields=("track",))
    policy = case.policies.get(track.requirement.payer)
    administrative = {n.value for n in case.numbers if n.type is NumberType.ADMINISTRATIVE}
    for line in fact.decision.lines:
        if line.line not in track.lines_required:
            return Refusal(code="line_unknown", sentence=f"Line {line.line} was not asked for.", fields=("lines",))
        if line.decision not in _GOOD:
            continue
        certifying = [n for n in line.numbers if n.type is NumberType.CERTIFICATION]
        provisional = [n for n in line.numbers if n.type is NumberType.PROVISIONAL]
        if not certifying and not provisional:
            return Refusal(
                code="number_missing",
                sentence=f"Line {line.line}: an approval needs the payer's authorization number.",
                fields=("number",),
            )
        for number in (*certifying, *provisional):
            reads_as = policy.numbers.read(number.value) if policy else None
            if number.value in administrative or reads_as is NumberType.ADMINISTRATIVE:
                return Refusal(
                    code="number_is_pending",
                    sentence=f"Line {line.line}: this number is the reference of a pending request, not an authorization.",
                    fields=("number",),
                )
    return None


def _new_attempt(case: Case, fact: NewAttemptOrdered) -> Refusal | None:
    track = case.tracks.get(fact.track or "")
    if track is None:
        return Refusal(code="track_unknown", sentence="The case has no such track.", fields=("track",))
    if fact.attempt != track.allowed + 1:
        sentence = f"The next attempt is {track.allowed + 1}; look at the case again."
        return Refusal(code="attempt_unknown", sentence=sentence, fields=("attempt",))
    sending = f"submit/{track.key}/{track.allowed}/"
    if any(begun.action.startswith(sending) for begun in case.in_flight):
        return Refusal(
            code="attempt_open", sentence="Vigil is sending the request just now; wait for what comes of it."
        )
    return None


def refuse_retracting(case: Case, source_id: str) -> Refusal | None:
    """Why a fact is not taken back whoever signs it, or None."""
    if source_id not in case.sources or case.sources[source_id] == 1:
        return Refusal(code="fact_unknown", sentence="There is no such fact, or it is the order itself.", fields=("n",))
    if not may_be_retracted(case.facts[case.sources[source_id] - 1]):
        return Refusal(
            code="not_reported",
            sentence="Nobody reported this; Vigil did or concluded it. Retract the fact that it followed from.",
            fields=("n",),
        )
    return None


def _retraction(case: Case, fact: FactRetracted) -> Refusal | None:
    refusal = refuse_retracting(case, fact.retracted)
    if refusal is None and fact.signed_by == fact.by:
        return Refusal(code="second_signature", sentence="A second person must sign it.", fields=("signed_by",))
    return refusal
