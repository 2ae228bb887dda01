"""Duty: take back what is at the payer when the order is cancelled, or when the request is to be sent anew."""

from datetime import datetime

from domain.actions import WithdrawRequest
from domain.attempt import Attempt
from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import TaskKind
from domain.policy_rules import Ability, Channel, WorkKind
from domain.rules.asking import (
    Asks,
    Close,
    EffortState,
    Look,
    Person,
    Waiting,
    allow,
    common,
    effort,
    later,
    pursue,
    short,
)
from domain.rules.channels import automatic, down_until, rests_of, shown_rail, updates
from domain.rules.submission import as_sent, lost_on, search
from domain.track import Track


def cancellation(case: Case, now: datetime) -> Asks:
    """Withdraw every request that the payer has, or may have, and has not denied; then nothing is left to watch."""
    left = False
    for key in sorted(case.tracks):
        track = case.tracks[key]
        for number in sorted(track.attempts):
            if track.is_replaced(number):
                continue
            for rail in track.attempts[number].copies:
                left = True
                yield from _withdraw(case, now, track, track.attempts[number], rail, "The order is cancelled.")
        lost = lost_on(case, track)
        if lost is not None:
            yield from search(case, now, track, case.policies.get(track.requirement.payer), lost, once=True)
    if left or case.in_flight:
        yield Waiting(Stage.SUBMISSION, Turn.VIGIL, "The order is cancelled; what is at the payer is being taken back.")
    yield Close("cancelled", "The order is cancelled; what is still open is being finished.")


def superseded(case: Case, now: datetime) -> Asks:
    """Take back what the payer should not have: a request that is to be sent anew, and what it has twice."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        policy = case.policies.get(track.requirement.payer)
        for number in sorted(track.attempts):
            attempt = track.attempts[number]
            changing = number == track.allowed - 1 and updates(track, track.allowed, policy)
            if number < track.allowed and attempt.is_at_payer and not track.is_replaced(number) and not changing:
                for rail in attempt.copies:
                    yield from _withdraw(case, now, track, attempt, rail, "The request is to be sent anew.")
                yield Waiting(Stage.SUBMISSION, Turn.VIGIL, "The request is sent anew once the former is taken back.")
        for rail in track.attempt.spare:
            yield from _withdraw(case, now, track, track.attempt, rail, "The payer has the request twice.")
            yield Waiting(Stage.SUBMISSION, Turn.VIGIL, "The payer has the request twice; one of them is taken back.")


def _withdraw(case: Case, now: datetime, track: Track, attempt: Attempt, rail: str, why: str) -> Asks:
    policy = case.policies.get(track.requirement.payer)
    cause = f"withdraw/{track.key}/{attempt.number}/{short(rail)}"
    channel = automatic(policy, rail, Ability.CANCEL)
    due = _next_try(case, now, cause, channel) if channel else None
    if policy and channel and due is not None:
        again, at = due
        at = down_until(max(at, now), channel, policy) or at
        if now < at:
            yield Look(at)
            return
        yield from pursue(
            case,
            now,
            again,
            lambda key: WithdrawRequest(
                **common(case, now, key),
                track=track.key,
                request=as_sent(case, track, attempt, rail, now),
                policy=policy,
                numbers=attempt.numbers_by(rail),
            ),
            rests_of(case, channel),
        )
        return
    time = allow(case, now, policy, WorkKind.CALL)
    yield Person(
        key=f"withdraw/{track.key}/{attempt.number}/{short(rail)}",
        kind=TaskKind.REVIEW,
        stage=Stage.SUBMISSION,
        turn=Turn.STAFF,
        title=f"{why} Take the request back at the payer ({shown_rail(rail)}) and record the reference.",
        time=time,
        track=track.key,
        attempt=attempt.number,
        rail=rail,
    )


def _next_try(case: Case, now: datetime, cause: str, channel: Channel) -> tuple[str, datetime] | None:
    """The cause of the try that is under way or comes next, and from when on; None where a person has to.

    What was not confirmed is looked for later, and taken back again only where it is still there.
    """
    ended_at = now
    for turn, after in enumerate((None, *channel.search_after)):
        step = f"{cause}/again-{turn}" if turn else cause
        standing = effort(case, now, step, rests_of(case, channel))
        if not standing.failed:
            return step, later(case, ended_at, after) if after else now
        if standing.state is not EffortState.AMBIGUOUS or standing.ended is None:
            return None
        ended_at = standing.ended.recorded_at or standing.ended.occurred_at
    return None
