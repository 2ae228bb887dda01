"""Duty: take back what is at the payer when the order is cancelled, or when the request is to be sent anew."""

from datetime import datetime

from domain.actions import WithdrawRequest
from domain.base import Stage, Turn
from domain.case import Case
from domain.decision import Outcome
from domain.facts import TaskKind
from domain.policy_rules import Rail, WorkKind
from domain.rules.asking import Asks, Close, Person, Waiting, allow, common, effort, pursue
from domain.rules.submission import AUTOMATIC, lost_on, request_of, search
from domain.track import Attempt, Track


def cancellation(case: Case, now: datetime) -> Asks:
    """Withdraw every request that the payer has, or may have, and has not denied; then nothing is left to watch."""
    left = False
    for key in sorted(case.tracks):
        track = case.tracks[key]
        for number in sorted(track.attempts):
            attempt = track.attempts[number]
            if attempt.reached_payer and attempt.withdrawn is None and not _over(attempt):
                left = True
                yield from _withdraw(case, now, track, attempt, "The order is cancelled.")
        lost = lost_on(case, now, track)
        if lost is not None:
            yield from search(case, now, track, *lost, once=True)
    if left or case.in_flight:
        yield Waiting(Stage.SUBMISSION, Turn.VIGIL, "The order is cancelled; what is at the payer is being taken back.")
    yield Close("cancelled", "The order is cancelled; what is still open is being finished.")


def superseded(case: Case, now: datetime) -> Asks:
    """Where a request is to be sent anew, take back what the payer still has of it: it should not have two."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        for number in sorted(track.attempts):
            attempt = track.attempts[number]
            if number < track.allowed and attempt.is_at_payer:
                yield from _withdraw(case, now, track, attempt, "The request is to be sent anew.")
                yield Waiting(Stage.SUBMISSION, Turn.VIGIL, "The request is sent anew once the former is taken back.")


def _over(attempt: Attempt) -> bool:
    said = {line.decision for line in attempt.lines.values()}
    return bool(said) and said <= {Outcome.DENIED, Outcome.CANCELLED, Outcome.NOT_REQUIRED}


def _withdraw(case: Case, now: datetime, track: Track, attempt: Attempt, why: str) -> Asks:
    policy = case.policies.get(track.requirement.payer)
    rail = attempt.rail or Rail.PHONE
    cause = f"withdraw/{track.key}/{attempt.number}"
    if policy and rail in AUTOMATIC and not effort(case, now, cause).failed:
        yield from pursue(
            case,
            now,
            cause,
            lambda key: WithdrawRequest(
                **common(case, now, key),
                track=track.key,
                request=request_of(case, track, attempt.number, rail, now),
                policy=policy,
                numbers=attempt.numbers,
            ),
        )
        return
    time = allow(case, now, policy, WorkKind.CALL)
    yield Person(
        key=f"withdraw/{track.key}/{attempt.number}",
        kind=TaskKind.REVIEW,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title=f"{why} Take the request back at the payer and record the reference.",
        time=time,
        track=track.key,
        attempt=attempt.number,
        rail=rail,
    )
