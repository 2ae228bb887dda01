"""Duty: ask the payer, once. Search before create; after an ambiguous failure search again, later, then ask a person."""

import re
from datetime import datetime, timedelta

from domain.actions import InquireStatus, SubmitRequest
from domain.base import Stage, Turn
from domain.case import Case
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
    pursue,
)
from domain.rules.documents import missing_documents
from domain.rules.questionnaire import responses
from domain.track import Attempt, Track

AUTOMATIC = frozenset({Rail.PAS})
"""Rails on which Vigil asks by itself; on the others people do, with the same contract."""

SEARCH_AFTER = (timedelta(minutes=2), timedelta(hours=1))
"""When to search for a request whose answer was lost: payers index with a lag, so not finding it once says little."""


def submission(case: Case, now: datetime) -> Asks:
    """For every track that needs an authorization: see that its current attempt reaches the payer."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        policy = case.policies.get(track.requirement.payer)
        attempt = track.attempt
        if not track.lines_required or attempt.reached_payer or attempt.withdrawn is not None:
            continue
        if attempt.not_understood:
            yield read_answer(case, now, track, policy)
        if (lost := lost_on(case, now, track)) is not None:
            yield from search(case, now, track, *lost)
        elif awaits_rules(case, now, track.requirement.payer) or not may_be_asked(case, track) or _held(track):
            continue
        elif attempt.rejected is not None:
            yield _correct(case, now, track, policy)
        elif policy is None:
            yield _by_person(case, now, track, None, Rail.PHONE)
        else:
            yield from _send(case, now, track, attempt, policy)


def _held(track: Track) -> bool:
    """Whether an earlier request of the track still has to be taken back: the payer should not have two."""
    return any(attempt.is_at_payer for attempt in track.attempts.values() if attempt.number < track.allowed)


def lost_on(case: Case, now: datetime, track: Track) -> tuple[PolicySlice, Channel, datetime] | None:
    """On which channel, and since when, nobody knows whether the payer has the current attempt; None if that is known."""
    policy, attempt = case.policies.get(track.requirement.payer), track.attempt
    if policy is None or attempt.reached_payer or attempt.rejected is not None:
        return None
    for channel in policy.channels:
        standing = effort(case, now, submit_cause(track, attempt.number, channel.rail))
        if standing.ended and standing.state in {EffortState.AMBIGUOUS, EffortState.SUCCEEDED}:
            return policy, channel, standing.ended.recorded_at or standing.ended.occurred_at
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
    return Request(
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
    )


def submit_cause(track: Track, attempt: int, rail: str) -> str:
    """The cause under which an attempt is sent on a rail."""
    return f"submit/{track.key}/{attempt}/{rail}"


def _is_consult(case: Case, number: int) -> bool:
    line = case.order.line(number)
    return line is not None and line.category == "consult"


def _goes_along(case: Case, track: Track, document: str) -> bool:
    wanted = {kind for line in track.requirement.lines for kind in line.documents}
    return case.documents[document].kind in wanted or case.documents[document] in responses(case, track)


def _send(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice) -> Asks:
    for channel in policy.channels:
        if channel.rail not in AUTOMATIC:
            yield _by_person(case, now, track, policy, channel.rail)
            return
        cause = submit_cause(track, attempt.number, channel.rail)
        standing = effort(case, now, cause)
        if standing.state is EffortState.GAVE_UP:
            continue
        if standing.state is EffortState.REFUSED:
            yield _correct(case, now, track, policy)
            return
        yield from pursue(
            case,
            now,
            cause,
            lambda key, channel=channel: SubmitRequest(  # type: ignore[misc]
                **common(case, now, key),
                track=track.key,
                request=request_of(case, track, attempt.number, channel.rail, now),
                policy=policy,
            ),
        )
        resting = standing.state is EffortState.RESTING
        why = (
            f"{policy.name} cannot be reached; Vigil tries again by itself."
            if resting
            else f"Vigil is sending the request to {policy.name}."
        )
        yield Waiting(Stage.SUBMISSION, Turn.VIGIL, why)
        return
    yield _by_person(case, now, track, policy, Rail.PHONE)


def search(
    case: Case,
    now: datetime,
    track: Track,
    policy: PolicySlice,
    channel: Channel,
    since: datetime,
    *,
    once: bool = False,
) -> Asks:
    """The request may have arrived. Look for it; what two searches do not find, a person finds out by its trace.

    With `once` the person's word ends it: nothing is sent anew.
    """
    attempt = track.attempt
    for turn, after in enumerate(SEARCH_AFTER, start=1):
        cause = f"search/{track.key}/{attempt.number}/{turn}"
        if effort(case, now, cause).failed:  # this look has been taken
            continue
        yield Waiting(
            Stage.SUBMISSION,
            Turn.VIGIL,
            f"The answer of {policy.name} was lost or could not be read; Vigil looks there for the request "
            "before anything is sent again.",
        )
        if now < since + after:
            yield Look(since + after)
            return
        yield from pursue(
            case,
            now,
            cause,
            lambda key: InquireStatus(
                **common(case, now, key),
                track=track.key,
                request=request_of(case, track, attempt.number, channel.rail, now),
                policy=policy,
                why="did it arrive?",
            ),
        )
        return
    yield find_request(case, now, track, policy, channel.rail, once=once)


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
    case: Case, now: datetime, track: Track, policy: PolicySlice, rail: str, *, once: bool = False
) -> Person:
    """A person asks the payer by our trace number whether it has the request."""
    time = allow(case, now, policy, WorkKind.CALL)
    trace = trace_of(case, track, track.attempt.number)
    return Person(
        key=f"find_request/{track.key}/{track.attempt.number}",
        kind=TaskKind.FIND_REQUEST,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title=f"Nobody knows whether {policy.name} has the request. Call with our trace number and record the answer.",
        checklist=(
            f"Our trace number: {trace}",
            f"Provider services: {policy.contacts.provider_services}",
            "If they have it: record their reference. If they say that they do not: order it sent anew.",
        ),
        time=time,
        track=track.key,
        attempt=track.attempt.number,
        rail=rail,
        again=None if once else "at_once",
    )


def _correct(case: Case, now: datetime, track: Track, policy: PolicySlice | None) -> Person:
    rejected = track.attempt.rejected
    time = allow(case, now, policy, WorkKind.REVIEW)
    codes = ", ".join(shown_code(e.code) for e in rejected.errors[:5]) if rejected else _last_error(case, track)
    return Person(
        key=f"correct_request/{track.key}/{track.attempt.number}",
        kind=TaskKind.CORRECT_REQUEST,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title=f"The payer did not take the request up ({codes}): nothing is decided. Correct the order and send it anew.",
        checklist=(
            "Compare member number, names, birth date, NPI, codes and dates with the payer's words.",
            "Correct the order, then order the request sent anew.",
        ),
        time=time,
        track=track.key,
        attempt=track.attempt.number,
        rail=rejected.rail if rejected else None,
        cause=rejected.ref if rejected else "",
        raw=rejected.raw if rejected else None,
    )


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


def _by_person(case: Case, now: datetime, track: Track, policy: PolicySlice | None, rail: Rail) -> Person:
    time = allow(case, now, policy, WorkKind.SUBMISSION)
    where = {
        Rail.PORTAL: f"in the portal {policy.contacts.portal}"
        if policy and policy.contacts.portal
        else "in the portal",
        Rail.FAX: f"by fax to {policy.contacts.fax}" if policy and policy.contacts.fax else "by fax",
    }.get(rail, f"by phone at {policy.contacts.provider_services}" if policy else "by phone")
    return Person(
        key=f"submit_request/{track.key}/{track.attempt.number}",
        kind=TaskKind.SUBMIT_REQUEST,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title=f"Ask {policy.name if policy else 'the payer'} for the authorization {where}, and record the receipt.",
        checklist=(
            "Open the packet: order, diagnoses, notes.",
            f"Put our trace number on it: {trace_of(case, track, track.attempt.number)}",
            "Record the reference number or a screenshot. A pending reference is not an approval.",
        ),
        time=time,
        track=track.key,
        attempt=track.attempt.number,
        rail=rail,
        cause=track.requirement.ref,
    )
