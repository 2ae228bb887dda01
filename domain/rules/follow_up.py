"""Duty: follow up what is pending, on the payer's calendar, and send what the payer asks for."""

from dataclasses import dataclass, replace
from datetime import datetime

from domain.actions import InquireStatus
from domain.attempt import Attempt
from domain.base import Stage, Turn
from domain.calendars import Calendar, Span, add
from domain.case import Case
from domain.clocks import Clock, ClockKind, extend, pause, restart, resume, start
from domain.facts import TaskKind
from domain.policy import PolicySlice
from domain.policy_rules import Ability, Channel, InformationEffect, Rail, WorkKind
from domain.rules.asking import (
    Asks,
    Look,
    Person,
    Waiting,
    allow,
    awaits_rules,
    common,
    effort,
    finished,
    later,
    practice_calendar,
    pursue,
    thinned,
)
from domain.rules.channels import automatic, channel_of, down_until, rests_of
from domain.rules.information import open_ask, send_along, send_information
from domain.rules.submission import as_sent, find_request
from domain.track import Track


@dataclass(frozen=True)
class _Rhythm:
    """When to ask, how often, and when silence is too long: by the payer's rule, else by the house's."""

    first: Span
    every: Span
    silence: Span
    calendar: Calendar
    rule: str
    name: str


def follow_up(case: Case, now: datetime) -> Asks:
    """While the payer has a request and has not said its last word: its clock, our cadence, its questions."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        policy = case.policies.get(track.requirement.payer)
        attempt = track.attempt
        if attempt.since is None or not is_pending(track) or awaits_rules(case, now, track.requirement.payer):
            continue
        asked = open_ask(attempt)
        if policy is not None:
            clock = decision_clock(track, attempt, policy)
            yield clock
            by = policy.calendar(policy.decision_clock.calendar).local_date(clock.due)
            why = f"{policy.name} has the request and must decide by {by:%B} {by.day}."
            if clock.paused_since is not None:
                why = f"{policy.name} has the request; its time to decide stands still until it has what it asked for."
        else:
            why = f"{track.requirement.payer} has the request; no rules say by when it must decide."
        if asked is not None:
            yield from send_information(case, now, track, policy, asked)
        else:
            yield Waiting(Stage.DECISION, Turn.PAYER, why)
            yield from send_along(case, now, track, policy) if policy is not None else ()
        yield from _ask_again(case, now, track, attempt, policy)
        if policy is not None:
            yield from _look_soon(case, now, track, attempt, policy)
            yield from _not_found(case, now, track, attempt, policy)
            yield from _check_claims(case, now, track, attempt, policy)


def _rhythm(case: Case, policy: PolicySlice | None, payer: str) -> _Rhythm:
    if policy is None:
        house, haste = case.house.follow_up, case.order.urgency.value
        every, silence = getattr(house.every, haste), getattr(house.max_silence, haste)
        return _Rhythm(every, every, silence, practice_calendar(case), house.id, payer)
    rule = policy.follow_up
    return _Rhythm(rule.first, rule.every, rule.max_silence, policy.calendar(rule.calendar), rule.id, policy.name)


def is_pending(track: Track) -> bool:
    """Whether the payer still owes its last word on a line that needs one."""
    return track.attempt.ended is None and any(o is None or o == "pended" for o in track.outcomes)


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


def _ask_again(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice | None) -> Asks:
    rail = attempt.rail or Rail.PHONE
    rhythm = _rhythm(case, policy, track.requirement.payer)
    channel = automatic(policy, rail, Ability.INQUIRE)
    assert attempt.since is not None  # noqa: S101 - the caller looked
    due, turn = add(attempt.since, rhythm.first, rhythm.calendar), 1
    while (done := _done(case, now, track, attempt, turn)) is not None:
        due, turn = thinned(case, add(done, rhythm.every, rhythm.calendar), done, attempt.since), turn + 1
    yield start(
        key=f"follow_up/{track.key}/{attempt.number}/{turn}",
        kind=ClockKind.FOLLOW_UP,
        label=f"Ask {rhythm.name} how the request stands.",
        at=attempt.since,
        due=due,
        rule=rhythm.rule,
        waiting_for=Turn.VIGIL if channel else Turn.STAFF,
        track=track.key,
    )
    if open_ask(attempt) is None:
        yield start(
            key=f"silence/{track.key}/{attempt.number}/{len(attempt.answers)}",
            kind=ClockKind.SILENCE,
            label=f"{rhythm.name} has been silent for too long.",
            at=_last_word(attempt),
            due=rhythm.silence,
            rule=rhythm.rule,
            waiting_for=Turn.PAYER,
            calendar=rhythm.calendar,
            calendar_name=policy.follow_up.calendar if policy else None,
            track=track.key,
            breach=True,
        )
    if now < due:
        return
    if policy is not None and channel is not None:
        yield from _inquire(case, now, track, attempt, policy, channel, str(turn), "a follow-up is due")
    else:
        yield _check_by_person(case, now, track, policy, rhythm, turn)


def _last_word(attempt: Attempt) -> datetime:
    """Since when the payer is silent: since its last answer, or since it has what it asked for."""
    told = [answer.occurred_at for answer in attempt.answers] + [sent.occurred_at for sent in attempt.sent]
    assert attempt.since is not None  # noqa: S101 - the callers looked
    return max(told, default=attempt.since)


def _done(case: Case, now: datetime, track: Track, attempt: Attempt, turn: int) -> datetime | None:
    """When the follow-up of that number was over, or None: by Vigil, or by a person."""
    channel = channel_of(case.policies.get(track.requirement.payer), attempt.rail)
    standing = effort(case, now, _cause(track, attempt, str(turn)), rests_of(case, channel) if channel else None)
    if standing.failed and standing.ended:
        return standing.ended.recorded_at
    return finished(case, _check_key(track, attempt.number, turn))


def _check_key(track: Track, attempt: int, turn: int) -> str:
    return f"check_status/{track.key}/{attempt}/{turn}"


def _cause(track: Track, attempt: Attempt, turn: str) -> str:
    return f"inquire/{track.key}/{attempt.number}/{turn}"


def _inquire(
    case: Case,
    now: datetime,
    track: Track,
    attempt: Attempt,
    policy: PolicySlice,
    channel: Channel,
    turn: str,
    why: str,
) -> Asks:
    until = down_until(now, channel, policy)
    if until is not None:
        yield Look(until)
        return
    yield from pursue(
        case,
        now,
        _cause(track, attempt, turn),
        lambda key: InquireStatus(
            **common(case, now, key),
            track=track.key,
            request=as_sent(case, track, attempt, channel.rail, now),
            policy=policy,
            numbers=attempt.numbers_by(channel.rail),
            why=why,
        ),
        rests_of(case, channel),
    )


def _look_soon(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice) -> Asks:
    """Before the cadence: quick looks after a submission without an answer, and a second look at what was not found."""
    channel = automatic(policy, attempt.rail, Ability.INQUIRE)
    if channel is None or attempt.since is None:
        return
    looks = [(f"poll-{n}", attempt.since, span) for n, span in enumerate(channel.answer_polls, start=1)]
    why = "is there an answer by now?"
    if attempt.last_answer is not None:
        looks = []
    last = attempt.last_look
    if last is not None and not last.found and not attempt.is_unfound:
        why, looks = "it was not found; payers index with a lag", []
        looks = [(f"again-{last.ref}-{n}", last.occurred_at, span) for n, span in enumerate(channel.search_after[:1])]
    due = [(turn, later(case, since, span)) for turn, since, span in looks]
    for place, (turn, at) in enumerate(due):
        if effort(case, now, _cause(track, attempt, turn), rests_of(case, channel)).failed:
            continue
        if now < at:
            yield Look(at)
            return
        if place + 1 < len(due) and due[place + 1][1] <= now:
            continue  # the next one is due as well
        yield from _inquire(case, now, track, attempt, policy, channel, turn, why)
        return


def _not_found(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice) -> Asks:
    """A payer that twice in a row does not find what it has received: "not found" is not "pending"."""
    if attempt.is_unfound:
        yield find_request(case, now, track, policy, attempt.rail or Rail.PHONE, once=True)


def _check_claims(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice) -> Asks:
    """A callback that nobody could verify is worth one question, not more, and many of them one in a while."""
    claims = [claim for claim in case.claims if claim.payer == policy.payer]
    channel = automatic(policy, attempt.rail, Ability.INQUIRE)
    if not claims or channel is None:
        return
    prefix = _cause(track, attempt, "")
    begun = [t.begun for cause, tries in case.actions.items() if cause.startswith(prefix) for t in tries]
    latest, turn = claims[-1], f"claim-{claims[-1].ref}"
    mine = case.actions.get(_cause(track, attempt, turn), ())
    if not mine and any(b.n > latest.n for b in begun):
        return  # asked since, for another reason
    last = max((b.occurred_at for b in begun), default=None)
    rested = later(case, last, case.house.claims.rest) if last else now
    if not mine and now < rested:
        yield Look(rested)
        return
    yield from _inquire(case, now, track, attempt, policy, channel, turn, "a callback could not be verified")


def _check_by_person(
    case: Case, now: datetime, track: Track, policy: PolicySlice | None, rhythm: _Rhythm, turn: int
) -> Person:
    rail = track.attempt.rail or Rail.PHONE
    time = allow(case, now, policy, WorkKind.CALL)
    return Person(
        key=_check_key(track, track.attempt.number, turn),
        kind=TaskKind.CHECK_STATUS,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"Ask {rhythm.name} ({_RAILS.get(rail, 'phone')}) how the request stands, and record what it says.",
        checklist=(f"Provider services: {policy.contacts.provider_services}, {policy.contacts.hours}",)
        if policy
        else (),
        time=replace(time, rule=rhythm.rule),
        track=track.key,
        attempt=track.attempt.number,
        rail=rail,
    )


_RAILS = {Rail.PORTAL.value: "portal", Rail.FAX.value: "fax, by phone"}
