"""Duty: follow up what is pending, on the payer's calendar, and send what the payer asks for."""

from datetime import datetime, timedelta

from domain.actions import InquireStatus
from domain.base import Stage, Turn
from domain.calendars import add
from domain.case import Attempt, Case, Track
from domain.clocks import Clock, ClockKind, extend, pause, restart, resume, start
from domain.facts import DecisionReceived, TaskKind
from domain.policy import InformationEffect, PolicySlice
from domain.policy import TaskKind as TaskRuleKind
from domain.rules.asking import (
    Asks,
    EffortState,
    Look,
    Person,
    Waiting,
    allow,
    common,
    effort,
    pursue,
)
from domain.rules.submission import AUTOMATIC, request_of

CLAIM_REST = timedelta(minutes=10)
"""At most one inquiry in this time because of callbacks that could not be verified."""


def follow_up(case: Case, now: datetime) -> Asks:
    """While the payer has a request and has not said its last word: its clock, our cadence, its questions."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        policy = case.policies.get(track.requirement.payer)
        attempt = track.attempt
        if policy is None or attempt.since is None or not is_pending(track):
            continue
        clock = decision_clock(track, attempt, policy)
        yield clock
        asked = open_ask(attempt)
        if asked is not None:
            yield _send_information(case, now, track, policy, asked)
        else:
            by = policy.calendar(policy.decision_clock.calendar).local_date(clock.due)
            why = f"{policy.name} has the request and must decide by {by:%B} {by.day}."
            yield Waiting(Stage.DECISION, Turn.PAYER, why)
        yield from _ask_again(case, now, track, attempt, policy)
        yield from _check_claims(case, now, track, attempt, policy)


def is_pending(track: Track) -> bool:
    """Whether the payer still owes its last word on a line that needs one."""
    return track.attempt.withdrawn is None and any(o is None or o == "pended" for o in track.outcomes)


def open_ask(attempt: Attempt) -> DecisionReceived | None:
    """The latest answer that asks for information, unless it was sent since."""
    asking = next((a for a in reversed(attempt.answers) if a.decision.asks), None)
    if asking is None or any(sent.n > asking.n for sent in attempt.sent):
        return None
    return asking


def decision_clock(track: Track, attempt: Attempt, policy: PolicySlice) -> Clock:
    """By when the payer must decide: from receipt, with what an information request does to it by the payer's rule."""
    rule = policy.decision_clock
    calendar = policy.calendar(rule.calendar)
    assert attempt.since is not None  # noqa: S101 - the caller looked
    clock = start(
        key=f"decision/{track.key}/{attempt.number}",
        kind=ClockKind.PAYER_DECISION,
        label=f"{policy.name} must decide.",
        at=attempt.since,
        due=rule.span,
        rule=rule.id,
        waiting_for=Turn.PAYER,
        calendar=calendar,
        calendar_name=rule.calendar,
        track=track.key,
        breach=True,
    )
    for answer in attempt.answers:
        if not answer.decision.asks:
            continue
        sent = next((s for s in attempt.sent if s.n > answer.n), None)
        match rule.information_request:
            case InformationEffect.TOLL:
                clock = pause(clock, answer.occurred_at, rule=rule.id)
                clock = resume(clock, sent.occurred_at, calendar, rule=rule.id) if sent else clock
            case InformationEffect.EXTEND if rule.extension:
                clock = extend(clock, rule.extension, calendar, at=answer.occurred_at, rule=rule.id)
            case InformationEffect.RESTART if sent:
                clock = restart(clock, sent.occurred_at, calendar, rule=rule.id)
            case _:
                pass
    if track.extended_until is not None and track.extended_until > clock.due:
        clock = extend(clock, track.extended_until, calendar, at=clock.due, rule=rule.id)
    return clock


def _ask_again(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice) -> Asks:
    rail = attempt.submitted.rail if attempt.submitted else attempt.answers[0].rail
    cadence = policy.follow_up
    calendar = policy.calendar(cadence.calendar)
    assert attempt.since is not None  # noqa: S101 - the caller looked
    due, turn = add(attempt.since, cadence.first, calendar), 1
    while (done := _done(case, now, track, attempt, rail, turn)) is not None:
        due, turn = add(done, cadence.every, calendar), turn + 1
    yield start(
        key=f"follow_up/{track.key}/{attempt.number}/{turn}",
        kind=ClockKind.FOLLOW_UP,
        label=f"Ask {policy.name} how the request stands.",
        at=attempt.since,
        due=due,
        rule=cadence.id,
        waiting_for=Turn.VIGIL if rail in AUTOMATIC else Turn.STAFF,
        track=track.key,
    )
    yield start(
        key=f"silence/{track.key}/{attempt.number}/{len(attempt.answers)}",
        kind=ClockKind.SILENCE,
        label=f"{policy.name} has been silent for too long.",
        at=attempt.answers[-1].occurred_at if attempt.answers else attempt.since,
        due=cadence.max_silence,
        rule=cadence.id,
        waiting_for=Turn.PAYER,
        calendar=calendar,
        calendar_name=cadence.calendar,
        track=track.key,
        breach=True,
    )
    if now < due:
        return
    if rail in AUTOMATIC:
        yield from _inquire(case, now, track, attempt, policy, str(turn), "a follow-up is due")
    else:
        yield _check_by_person(case, now, track, policy, rail, turn)


def _done(case: Case, now: datetime, track: Track, attempt: Attempt, rail: str, turn: int) -> datetime | None:
    """When the follow-up of that number was over, or None."""
    if rail in AUTOMATIC:
        standing = effort(case, now, _cause(track, attempt, str(turn)))
        over = standing.state in {EffortState.SUCCEEDED, EffortState.AMBIGUOUS} or standing.failed
        return standing.ended.recorded_at if over and standing.ended else None
    task = case.tasks.get(_check_key(track, attempt.number, turn))
    return task.completed.recorded_at if task and task.completed else None


def _check_key(track: Track, attempt: int, turn: int) -> str:
    return f"check_status/{track.key}/{attempt}/{turn}"


def _cause(track: Track, attempt: Attempt, turn: str) -> str:
    return f"inquire/{track.key}/{attempt.number}/{turn}"


def _inquire(
    case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice, turn: str, why: str
) -> Asks:
    rail = attempt.submitted.rail if attempt.submitted else attempt.answers[0].rail
    yield from pursue(
        case,
        now,
        _cause(track, attempt, turn),
        lambda key: InquireStatus(
            **common(case, now, key),
            track=track.key,
            request=request_of(case, track, attempt.number, rail, now),
            policy=policy,
            numbers=attempt.numbers,
            why=why,
        ),
    )


def _check_claims(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice) -> Asks:
    """A callback that nobody could verify is worth one question, not more."""
    claims = [claim for claim in case.claims if claim.payer == policy.payer]
    rail = attempt.submitted.rail if attempt.submitted else attempt.answers[0].rail
    if not claims or rail not in AUTOMATIC:
        return
    prefix = _cause(track, attempt, "")
    begun = [t.begun for cause, tries in case.actions.items() if cause.startswith(prefix) for t in tries]
    latest = claims[-1]
    if any(b.n > latest.n and b.action.startswith(_cause(track, attempt, "claim-")) for b in begun):
        standing = effort(case, now, _cause(track, attempt, f"claim-{latest.ref}"))
        if standing.state not in {EffortState.RESTING, EffortState.DUE}:
            return
    last = max((b.occurred_at for b in begun), default=None)
    if last is not None and now < last + CLAIM_REST:
        yield Look(last + CLAIM_REST)
        return
    why = "a callback could not be verified"
    yield from _inquire(case, now, track, attempt, policy, f"claim-{latest.ref}", why)


def _check_by_person(case: Case, now: datetime, track: Track, policy: PolicySlice, rail: str, turn: int) -> Person:
    time = allow(case, now, policy, TaskRuleKind.CALL)
    return Person(
        key=_check_key(track, track.attempt.number, turn),
        kind=TaskKind.CHECK_STATUS,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"Look in the {rail} of {policy.name}, or call, how the request stands, and record what it says.",
        checklist=(f"Provider services: {policy.contacts.provider_services}, {policy.contacts.hours}",),
        due=time.due,
        rule=policy.follow_up.id,
        lease_minutes=time.lease_minutes,
        track=track.key,
        attempt=track.attempt.number,
        rail=rail,
    )


def _send_information(case: Case, now: datetime, track: Track, policy: PolicySlice, asking: DecisionReceived) -> Person:
    time = allow(case, now, policy, TaskRuleKind.DOCUMENTS)
    what = [reason.text or reason.code or "?" for ask in asking.decision.asks for reason in ask.what]
    numbers = [ask.control_number for ask in asking.decision.asks if ask.control_number]
    return Person(
        key=f"send_information/{track.key}/{asking.ref}",
        kind=TaskKind.SEND_INFORMATION,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"{policy.name} wants to see more before it decides. Send it and record the receipt.",
        checklist=(*(f"It asks for: {w}" for w in what), *(f"Put on it: {number}" for number in numbers))[:20],
        due=time.due,
        rule=time.rule,
        lease_minutes=time.lease_minutes,
        track=track.key,
        attempt=track.attempt.number,
        rail=asking.rail,
        cause=asking.ref,
        raw=asking.raw,
    )
