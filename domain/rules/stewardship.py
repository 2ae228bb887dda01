"""Duty: nothing is lost unseen: facts that this release does not know, a full case, a request that nobody waits for."""

import re
from datetime import datetime

from domain.attempt import DIFFERING, Attempt
from domain.base import Stage, Turn
from domain.case import Case
from domain.decision import Outcome
from domain.facts import DecisionReceived, NewAttemptOrdered, TaskKind
from domain.policy_rules import WorkKind
from domain.room import is_full
from domain.rules.asking import Asks, Person, allow
from domain.rules.submission import as_sent, lost_on, trace_of
from domain.track import Track


def stewardship(case: Case, now: datetime) -> Asks:
    """A person looks at what Vigil cannot place."""
    allowed = allow(case, now, case.policies.get(case.order.primary.payer), WorkKind.REVIEW)
    if is_full(case):
        yield Person(
            key="full",
            kind=TaskKind.OPERATOR,
            stage=Stage.REQUIREMENT,
            turn=Turn.OPERATOR,
            title="The case is full: what is reported from now on is not kept. See what fills it, and go on by hand.",
            checklist=(
                "Find out who reports so much, and stop it.",
                "Finish what is open at the payer by telephone, cancel the order, and order what is left anew.",
            ),
            time=allowed,
            again=None,
        )
    for fact in case.unknown:
        yield Person(
            key=f"review_unknown/{fact.ref}",
            kind=TaskKind.REVIEW,
            stage=Stage.REQUIREMENT,
            turn=Turn.OPERATOR,
            title=f"This release does not know facts of the kind {_named(fact.kind)}. See what it says and act on it.",
            time=allowed,
            cause=fact.ref,
            again=None,
        )
    for key in sorted(case.tracks):
        track = case.tracks[key]
        yield from _late_approvals(case, now, track)
        if track.changed and track.attempt.reached_payer and track.attempt.ended is None:
            yield Person(
                key=f"review_change/{key}/{track.changed}",
                kind=TaskKind.REVIEW,
                stage=Stage.DECISION,
                turn=Turn.STAFF,
                title="The order changed after the payer was asked. Compare, and have the request changed or sent anew.",
                time=allowed,
                track=key,
                cause=track.changed,
            )
        elif not track.lines_required and (track.attempt.is_at_payer or lost_on(case, track) is not None):
            yield _unneeded(case, now, track, track.attempt)
        elif unasked := _unasked(case, now, track):
            yield _ask_for(case, now, track, unasked)
        for number in sorted(track.attempts):
            if number > track.allowed and track.attempts[number].is_at_payer:
                yield _unneeded(case, now, track, track.attempts[number])


def _unasked(case: Case, now: datetime, track: Track) -> tuple[int, ...]:
    """The lines that the request at the payer does not hold, and of which it has said nothing: it will not decide them."""
    attempt = track.attempt
    if not attempt.reached_payer or attempt.ended is not None:
        return ()
    asked = {*as_sent(case, track, attempt, attempt.rail or "", now).lines, *attempt.lines}
    return tuple(number for number in track.lines_required if number not in asked)


def _ask_for(case: Case, now: datetime, track: Track, lines: tuple[int, ...]) -> Person:
    number = track.attempt.number
    named = ", ".join(map(str, lines))
    return Person(
        key=f"review_lines/{track.key}/{number}/{'-'.join(map(str, lines))}",
        kind=TaskKind.REVIEW,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"The payer was not asked for line {named}, which is required. Have the request changed or sent anew.",
        checklist=(f"Our trace number: {trace_of(case, track, number)}",),
        time=allow(case, now, case.policies.get(track.requirement.payer), WorkKind.REVIEW),
        track=track.key,
        attempt=number,
        rail=track.attempt.rail,
    )


def _unneeded(case: Case, now: datetime, track: Track, attempt: Attempt) -> Person:
    """The payer has, or may have, a request that nobody waits for: nothing requires it any more, or its order was taken back."""
    policy = case.policies.get(track.requirement.payer)
    number = attempt.number
    return Person(
        key=f"unneeded/{track.key}/{number}",
        kind=TaskKind.REVIEW,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title="The payer has, or may have, a request that nobody needs any more. Take it back, or let it stand.",
        checklist=(
            f"Our trace number: {trace_of(case, track, number)}",
            "Ask the ordering provider. Record the reference where the payer took it back.",
            "Where it is required after all: record what the payer requires.",
        ),
        time=allow(case, now, policy, WorkKind.REVIEW),
        track=track.key,
        attempt=number,
        rail=attempt.rail,
        again=None,
    )


def _late_approvals(case: Case, now: datetime, track: Track) -> Asks:
    """An attempt that was approved after it was given up for the next one: a person says which of them counts."""
    ordered = {f.attempt: f.n for f in case.facts if isinstance(f, NewAttemptOrdered) and f.track == track.key}
    for number, attempt in sorted(track.attempts.items()):
        if number >= track.allowed or track.is_replaced(number) or attempt.ended is not None:
            continue
        since = ordered.get(number + 1, case.n)
        good = [a for a in attempt.decided_by.values() if a.n > since and _approves(a)]
        if good:
            answer = max(good, key=lambda a: a.n)
            yield Person(
                key=f"late_approval/{track.key}/{answer.ref}",
                kind=TaskKind.REVIEW,
                stage=Stage.DECISION,
                turn=Turn.STAFF,
                title="An earlier request was approved after it had been given up. Say which one counts; take the other back.",
                checklist=(
                    f"Request {number} was approved late; request {track.allowed} is the one that counts now.",
                    "Ask the payer to keep one. Record its decision, and the reference of the one taken back.",
                ),
                time=allow(case, now, case.policies.get(track.requirement.payer), WorkKind.REVIEW),
                track=track.key,
                attempt=number,
                rail=answer.rail,
                cause=answer.ref,
                raw=answer.raw,
                again=None,
            )


def _approves(answer: DecisionReceived) -> bool:
    return any(line.decision is Outcome.APPROVED or line.decision in DIFFERING for line in answer.decision.lines)


def _named(kind: str) -> str:
    """A kind as far as it is a plain word: what comes from outside may say anything."""
    return kind if re.fullmatch(r"[a-z_]{1,60}", kind) else "(see the fact)"
