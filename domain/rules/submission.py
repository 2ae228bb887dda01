"""Duty: ask the payer, once. Search before create; after an ambiguous failure search again, later, then ask a person."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from domain.actions import InquireStatus, SubmitRequest
from domain.attempt import Attempt
from domain.base import Stage, Turn
from domain.case import Case, replay
from domain.clocks import ClockKind, start
from domain.decision import AnswerError
from domain.facts import Failure, TaskKind
from domain.policy import PolicySlice
from domain.policy_rules import Channel, Rail, WorkKind
from domain.request import Request
from domain.rules.asking import (
    Asks,
    EffortState,
    Look,
    Person,
    Waiting,
    allow,
    awaits_rules,
    common,
    effort,
    later,
    pursue,
    short,
    steps_of,
)
from domain.rules.channels import (
    CARRIED,
    down_until,
    looked_for_by,
    refusals,
    rests_of,
    sending,
    submit_cause,
    updates,
    way,
)
from domain.rules.documents import missing_documents
from domain.rules.packet import by_hand
from domain.rules.payer_says import assertion_of
from domain.rules.questionnaire import responses
from domain.track import Track

CHANNEL_REFUSED = "channel_refused"
"""The first word of the key of an operator's task about a channel that lets nobody in."""


@dataclass(frozen=True)
class Lost:
    """A try of which nobody knows whether the payer has the request: on which rail, since when it began and ended."""

    rail: str
    begun_at: datetime
    ended_at: datetime


def submission(case: Case, now: datetime) -> Asks:
    """For every track that needs an authorization: see that its current attempt reaches the payer."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        policy = case.policies.get(track.requirement.payer)
        attempt = track.attempt
        if not track.lines_required or attempt.reached_payer or attempt.ended is not None:
            continue
        if attempt.not_understood:
            yield read_answer(case, now, track, policy)
        if (lost := lost_on(case, track)) is not None:
            yield from search(case, now, track, policy, lost)
        elif awaits_rules(case, now, track.requirement.payer) or not may_be_asked(case, track) or _held(track, policy):
            continue
        elif attempt.rejected is not None:
            yield _correct(case, now, track, policy)
        elif policy is None:
            request = request_of(case, track, attempt.number, Rail.PHONE, now)
            yield from by_hand(case, now, request, None)
        else:
            yield from _send(case, now, track, attempt, policy)


def _held(track: Track, policy: PolicySlice | None) -> bool:
    """Whether an earlier request of the track still has to be taken back: the payer should not have two."""
    return any(
        attempt.is_at_payer and not track.is_replaced(attempt.number)
        for attempt in track.attempts.values()
        if attempt.number < track.allowed
        and not (attempt.number == track.allowed - 1 and updates(track, track.allowed, policy))
    )


def lost_on(case: Case, track: Track) -> Lost | None:
    """The try of the current attempt of which nobody knows whether the payer has it; None where that is known."""
    attempt = track.attempt
    if attempt.reached_payer or attempt.rejected is not None:
        return None
    sent = submit_cause(track, attempt.number, "")
    for cause in sorted(cause for cause in case.actions if cause.startswith(sent)):
        last = case.actions[cause][-1]
        if last.ended is not None and last.ended.failure in {None, Failure.AMBIGUOUS}:
            ended_at = last.ended.recorded_at or last.ended.occurred_at
            return Lost(cause.removeprefix(sent), last.begun.occurred_at, ended_at)
    return None


def may_be_asked(case: Case, track: Track) -> bool:
    """Whether everything is there that the request needs: coverage, requirement, referral and documents."""
    verified = case.coverages.get(track.requirement.rank)
    lines = track.requirement.lines
    return (
        verified is not None
        and verified.status == "active"
        and not any("unknown" in (line.authorization, line.referral) for line in lines)
        and not (any(line.referral == "required" for line in lines) and track.referral is None)
        and not missing_documents(case, track)
    )


def trace_of(case: Case, track: Track, attempt: int) -> str:
    """Our identifier of a request: the same however often it is sent."""
    return f"{case.id}-{track.key}-{attempt}"


def request_of(case: Case, track: Track, attempt: int, rail: str, now: datetime) -> Request:
    """The request of an attempt. It is dated by the first intent to send it, so that every copy is the same."""
    tries = case.actions.get(submit_cause(track, attempt, rail), ())
    request = Request(
        payer=track.requirement.payer,
        rail=rail,
        track=track.key,
        attempt=attempt,
        trace=trace_of(case, track, attempt),
        made_at=tries[0].begun.occurred_at if tries else now,
        order=case.order,
        rank=track.requirement.rank,
        # Where nothing is required any more it is only taken back, and all of it.
        lines=track.lines_required or tuple(line.number for line in case.order.lines),
        referral=all(case.order.line(n) is not None and _is_consult(case, n) for n in track.lines_required),
        documents=tuple(case.documents[key] for key in sorted(case.documents) if _goes_along(case, track, key)),
        assertion=assertion_of(case, track),
    )
    if not updates(track, attempt, case.policies.get(track.requirement.payer)):
        return request
    former = track.attempts[attempt - 1]
    prior = as_sent(case, track, former, former.rail or rail, now)
    return request.model_copy(update={"prior": prior, "prior_numbers": former.numbers_by(rail)})


def as_sent(case: Case, track: Track, attempt: Attempt, rail: str, now: datetime) -> Request:
    """The request of an attempt as it went to the payer, whatever has changed since in the order or in what is required."""
    tries = case.actions.get(submit_cause(track, attempt.number, rail), ())
    proof = attempt.arrivals.get(rail)
    place = tries[-1].begun.n if tries else proof.n if proof else case.n
    if max(case.order_fact.n, track.requirement.n) < place:
        return request_of(case, track, attempt.number, rail, now)
    then = replay(case.id, case.facts[:place])
    return request_of(then, then.tracks.get(track.key, track), attempt.number, rail, now)


def _is_consult(case: Case, number: int) -> bool:
    line = case.order.line(number)
    return line is not None and line.category == "consult"


def _goes_along(case: Case, track: Track, document: str) -> bool:
    wanted = {kind for line in track.requirement.lines for kind in line.documents}
    return case.documents[document].kind in wanted or case.documents[document] in responses(case, track)


def _send(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice) -> Asks:
    for shut, code in refusals(case, now, track, attempt, policy):
        yield _let_in(case, now, track, policy, shut, code)
    taken = way(case, now, track, attempt, policy)
    channel = taken.channel
    if taken.is_held:  # the access is being restored
        return
    if channel is None or not channel.is_automatic:
        request = request_of(case, track, attempt.number, channel.rail if channel else Rail.PHONE, now)
        yield from by_hand(case, now, request, policy, first=tuple(_instead_of(track, policy)))
        return
    standing = sending(case, now, track, attempt, channel)
    if standing.state is EffortState.REFUSED:
        yield _correct(case, now, track, policy)
        return
    if taken.down_until is not None and standing.state is not EffortState.IN_FLIGHT:
        yield Look(taken.down_until)
        why = f"{policy.name} is being maintained; Vigil sends the request afterwards."
        yield Waiting(Stage.SUBMISSION, Turn.VIGIL, why)
        return
    yield from pursue(
        case,
        now,
        submit_cause(track, attempt.number, channel.rail),
        lambda key: SubmitRequest(
            **common(case, now, key),
            track=track.key,
            request=request_of(case, track, attempt.number, channel.rail, now),
            policy=policy,
        ),
        rests_of(case, channel),
    )
    resting = standing.state is EffortState.RESTING
    why = (
        f"{policy.name} cannot be reached; Vigil tries again by itself."
        if resting
        else f"Vigil is sending the request to {policy.name}."
    )
    yield Waiting(Stage.SUBMISSION, Turn.VIGIL, why)


def _let_in(case: Case, now: datetime, track: Track, policy: PolicySlice, channel: Channel, code: str) -> Person:
    """A channel lets nobody in, whatever the request says: an operator mends that, while the request goes another way."""
    return Person(
        key=f"{CHANNEL_REFUSED}/{policy.payer}/{channel.rail}/{track.attempt.number}",
        kind=TaskKind.OPERATOR,
        stage=Stage.SUBMISSION,
        turn=Turn.OPERATOR,
        title=f"{policy.name} does not let Vigil in by {channel.rail} ({code}). Mend the credentials or the settings.",
        checklist=("The request itself goes another way meanwhile.", "Say how it was mended."),
        time=allow(case, now, policy, WorkKind.REVIEW),
        track=track.key,
        rail=channel.rail,
        again=None,
    )


def search(
    case: Case, now: datetime, track: Track, policy: PolicySlice | None, lost: Lost, *, once: bool = False
) -> Asks:
    """The request may have arrived. Look for it; what the channel's searches do not find, a person finds out by its trace.

    With `once` the person's word ends it: nothing is sent anew, so no rules are waited for.
    """
    attempt = track.attempt
    if policy is None and not once and awaits_rules(case, now, track.requirement.payer):
        return
    yield from _proof_due(track, policy, lost)
    channel = looked_for_by(policy, lost.rail)
    looked = lost.ended_at
    for turn, after in enumerate(channel.search_after if channel else (), start=1):
        cause = f"search/{track.key}/{attempt.number}/{turn}"
        if policy is None or channel is None:
            continue
        standing = effort(case, now, cause, rests_of(case, channel))
        if standing.failed and standing.ended:
            looked = standing.ended.recorded_at or looked
            continue  # this look has been taken
        yield Waiting(
            Stage.SUBMISSION,
            Turn.VIGIL,
            f"The answer of {policy.name} was lost or could not be read; Vigil looks there for the request "
            "before anything is sent again.",
        )
        due = now if _carrier_called(case, channel, policy.payer, looked) else later(case, lost.ended_at, after)
        due = down_until(max(due, now), channel, policy) or due
        if now < due:
            yield Look(due)
            return
        yield from pursue(
            case,
            now,
            cause,
            lambda key: InquireStatus(
                **common(case, now, key),
                track=track.key,
                request=as_sent(case, track, attempt, lost.rail, now),
                policy=policy,
                why="did it arrive?",
            ),
            rests_of(case, channel),
        )
        return
    yield find_request(case, now, track, policy, lost.rail, once=once)


def _carrier_called(case: Case, channel: Channel, payer: str, since: datetime) -> bool:
    """Whether who carries paper has called since: it may be over, which only the carrier itself can say."""
    calls = (claim.recorded_at for claim in case.claims if claim.payer == payer)
    return channel.rail in CARRIED and any(call is not None and call > since for call in calls)


def _proof_due(track: Track, policy: PolicySlice | None, lost: Lost) -> Asks:
    """By when the rail must have proved that the request arrived, by the payer's rule."""
    rule = next((rule for rule in policy.receipts if rule.rail == lost.rail), None) if policy else None
    if policy is None or rule is None:
        return
    yield start(
        key=f"receipt/{track.key}/{track.attempt.number}/{short(lost.rail)}",
        kind=ClockKind.RECEIPT,
        label=f"{policy.name} must have proved that it has the request.",
        at=lost.begun_at,
        due=rule.within,
        rule=rule.id,
        waiting_for=Turn.PAYER,
        calendar=policy.calendar(rule.calendar),
        calendar_name=rule.calendar,
        track=track.key,
        breach=True,
    )


def read_answer(case: Case, now: datetime, track: Track, policy: PolicySlice | None) -> Person:
    """A person reads what Vigil could not."""
    answer = track.attempt.not_understood[-1]
    time = allow(case, now, policy, WorkKind.REVIEW)
    return Person(
        key=f"read_answer/{track.key}/{answer.ref}",
        kind=TaskKind.READ_ANSWER,
        stage=Stage.SUBMISSION if not track.attempt.reached_payer else Stage.DECISION,
        turn=Turn.STAFF,
        title="An answer of the payer could not be read. Read it, or call, and record what it says.",
        checklist=(
            answer.why,
            "Open the raw answer.",
            "Nothing counts as approved until a person has recorded a decision.",
        ),
        time=time,
        track=track.key,
        attempt=answer.attempt,
        rail=answer.rail,
        cause=answer.ref,
        raw=answer.raw,
        again=None,
    )


def find_request(
    case: Case, now: datetime, track: Track, policy: PolicySlice | None, rail: str, *, once: bool = False
) -> Person:
    """A person asks the payer by our trace number, and by what proof we have, whether it has the request."""
    name = policy.name if policy else track.requirement.payer
    steps = (
        f"Our trace number: {trace_of(case, track, track.attempt.number)}",
        *_proof(track.attempt, rail),
        f"Provider services: {policy.contacts.provider_services}" if policy else "Call the payer.",
        "If they have it: record their reference. If they say that they do not: order it sent anew.",
    )
    return Person(
        key=f"find_request/{track.key}/{track.attempt.number}",
        kind=TaskKind.FIND_REQUEST,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title=f"Nobody knows whether {name} has the request. Call with our trace number and record the answer.",
        checklist=steps,
        time=allow(case, now, policy, WorkKind.CALL),
        track=track.key,
        attempt=track.attempt.number,
        rail=rail,
        again=None if once else "at_once",
    )


def _proof(attempt: Attempt, rail: str) -> Iterator[str]:
    """What shows that the payer had it: when it arrived how, its receipt, and the payer's numbers."""
    yield (
        f"It was sent by {rail}."
        if attempt.since is None
        else f"It arrived by {rail} on {attempt.since:%Y-%m-%d %H:%M} UTC."
    )
    if attempt.submitted is not None:
        receipt = attempt.submitted.receipt
        yield f"Our receipt ({receipt.kind.replace('_', ' ')}): {receipt.reference}"
    numbers = [number.value for number in attempt.numbers_by(rail)]
    if numbers:
        yield f"Their numbers: {', '.join(numbers)}"


def _correct(case: Case, now: datetime, track: Track, policy: PolicySlice | None) -> Person:
    rejected = track.attempt.rejected
    errors = rejected.errors if rejected else ()
    name = policy.name if policy else "The payer"
    why = [_named(error) for error in errors] or ["no reason given" if rejected else _last_error(case, track)]
    more = f", and {len(why) - 1} more" if len(why) > 1 else ""
    remedy = errors[0].remedy if errors and errors[0].remedy else "Correct the order and send it anew."
    return Person(
        key=f"correct_request/{track.key}/{track.attempt.number}",
        kind=TaskKind.CORRECT_REQUEST,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title=f"{name} did not take the request up, and nothing is decided: {why[0]}{more}. {remedy}",
        checklist=(
            *steps_of(errors),
            "Compare member number, names, birth date, NPI, codes and dates with the payer's words.",
            "Correct the order, then order the request sent anew.",
        ),
        time=allow(case, now, policy, WorkKind.REVIEW),
        track=track.key,
        attempt=track.attempt.number,
        rail=rejected.rail if rejected else None,
        cause=rejected.ref if rejected else "",
        raw=rejected.raw if rejected else None,
    )


def _named(error: AnswerError) -> str:
    """What is wrong without a word of the payer's own: those are for whoever opens the task."""
    code = shown_code(error.code)
    if error.meaning:
        return f"{error.meaning.rstrip('.')} ({code})"
    return f"in its own words, which the task holds ({code})" if error.text else f"{code}, which Vigil does not know"


def shown_code(said: str | None, otherwise: str = "no code") -> str:
    """A payer's code as far as it looks like one: what comes from outside may say anything."""
    return said if said and re.fullmatch(r"[A-Z0-9-]{1,10}", said) else otherwise


def _last_error(case: Case, track: Track) -> str:
    prefix = f"submit/{track.key}/{track.attempt.number}/"
    errors = [
        tries[-1].ended.error or "refused"
        for cause, tries in case.actions.items()
        if cause.startswith(prefix) and tries[-1].ended and tries[-1].ended.failure is Failure.REFUSED
    ]
    return ", ".join(errors)[:200] or "refused"


def _instead_of(track: Track, policy: PolicySlice | None) -> Iterator[str]:
    if updates(track, track.attempt.number, policy):
        former = track.attempts[track.attempt.number - 1]
        numbers = ", ".join(number.value for number in former.numbers) or former.rail
        yield f"The payer has this request already ({numbers}): have it changed, not taken up a second time."
