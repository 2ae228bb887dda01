"""Duty: when the order is cancelled, take back what is at the payer, and close."""

from datetime import datetime

from domain.actions import WithdrawRequest
from domain.base import Stage, Turn
from domain.case import Attempt, Case, Track
from domain.decision import Outcome
from domain.facts import CaseClosed, TaskKind
from domain.policy import TaskKind as TaskRuleKind
from domain.rules.asking import Asks, EffortState, Person, Waiting, allow, common, effort, pursue
from domain.rules.submission import AUTOMATIC, request_of


def cancellation(case: Case, now: datetime) -> Asks:
    """Withdraw every request that the payer has and has not denied; then nothing is left to watch."""
    left = False
    for key in sorted(case.tracks):
        track = case.tracks[key]
        for number in sorted(track.attempts):
            attempt = track.attempts[number]
            if attempt.reached_payer and attempt.withdrawn is None and not _over(attempt):
                left = True
                yield from _withdraw(case, now, track, attempt)
    if left or case.in_flight:
        yield Waiting(Stage.SUBMISSION, Turn.VIGIL, "The order is cancelled; what is at the payer is being taken back.")
    else:
        yield CaseClosed(occurred_at=now, by="vigil", source_id="closed/cancelled", reason="cancelled")


def _over(attempt: Attempt) -> bool:
    said = {line.decision for line in attempt.lines.values()}
    return bool(said) and said <= {Outcome.DENIED, Outcome.CANCELLED, Outcome.NOT_REQUIRED}


def _withdraw(case: Case, now: datetime, track: Track, attempt: Attempt) -> Asks:
    policy = case.policies.get(track.requirement.payer)
    rail = attempt.submitted.rail if attempt.submitted else attempt.answers[0].rail
    cause = f"withdraw/{track.key}/{attempt.number}"
    standing = effort(case, now, cause)
    if policy and rail in AUTOMATIC and not standing.failed and standing.state is not EffortState.AMBIGUOUS:
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
    time = allow(case, now, policy, TaskRuleKind.CALL)
    yield Person(
        key=f"withdraw/{track.key}/{attempt.number}",
        kind=TaskKind.REVIEW,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title="The order is cancelled. Take the request back at the payer and record the reference.",
        due=time.due,
        rule=time.rule,
        lease_minutes=time.lease_minutes,
        track=track.key,
        attempt=attempt.number,
        rail=rail,
    )
