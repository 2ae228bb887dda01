"""Duty: act on what the payer decided: a denial's options, an approval that differs, what only a person can read."""

from dataclasses import replace
from datetime import datetime

from domain.actions import NotifyProvider
from domain.attempt import DIFFERING, End
from domain.base import Stage, Turn
from domain.calendars import Calendar
from domain.case import Case
from domain.clocks import ClockKind, start
from domain.decision import Ending, LineDecision, Outcome
from domain.facts import DecisionReceived, RequestEnded, RequestWithdrawn, TaskKind
from domain.policy import PolicySlice
from domain.policy_answers import AppealOption
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, allow, common, effort, pursue, steps_of
from domain.rules.submission import read_answer, shown_code
from domain.track import Track

_FOR_A_PERSON = {Outcome.UNKNOWN, Outcome.CONTACT_PAYER}
_OPEN_END = 9000
"""From this year on an end of validity means that there is none (payers write 9999-12-31)."""


def decision(case: Case, now: datetime) -> Asks:
    """For every track with an answer: what a person must read, choose or compare, and how long an approval holds."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        attempt = track.attempt
        policy = case.policies.get(track.requirement.payer)
        answer = attempt.last_answer
        unread = attempt.not_understood[-1] if attempt.not_understood else None
        if unread is not None and attempt.reached_payer and (answer is None or unread.n > answer.n):
            yield read_answer(case, now, track, policy)
        outcomes = set(track.outcomes)
        if attempt.ended is not None or Outcome.CANCELLED in outcomes:
            if track.lines_required:
                yield _ended(case, now, track, policy)
            continue
        if answer is None:
            continue
        if outcomes & _FOR_A_PERSON or attempt.contradicted:
            yield _read(case, now, track, policy, answer)
        if Outcome.DENIED in outcomes:
            yield from _denied(case, now, track, policy, answer_with(track, Outcome.DENIED))
        elif differing := _not_accepted(track):
            yield _compare(case, now, track, policy, answer_with(track, *DIFFERING), differing)
        elif track.is_ready and case.out_of_dates(track):
            yield _out_of_dates(case, now, track, policy, answer)
        yield from _validity(case, now, track)


def _not_accepted(track: Track) -> tuple[int, ...]:
    """Lines on which something else was approved than asked, and which nobody has accepted since."""
    return tuple(
        number
        for number in track.lines_required
        if (d := track.decision(number)) and d.decision in DIFFERING and track.attempt.chosen_since(number) is None
    )


def answer_with(track: Track, *outcomes: Outcome) -> DecisionReceived:
    """The answer that an outcome in force came with; the latest one for several. Raises `ValueError` for none."""
    answers = track.attempt.decided_by
    with_it = [answers[n] for n in track.lines_required if (d := track.decision(n)) and d.decision in outcomes]
    return max(with_it, key=lambda answer: answer.n)


def _read(case: Case, now: datetime, track: Track, policy: PolicySlice | None, answer: DecisionReceived) -> Person:
    puzzling = [d for n in track.lines_required if (d := track.decision(n)) and d.decision in _FOR_A_PERSON]
    codes = sorted({shown_code(d.code, d.decision.value.replace("_", " ")) for d in puzzling})
    why = (
        "The payer said two different things about the same line"
        if track.attempt.contradicted
        else f"The payer's answer ({', '.join(codes)}) needs a person"
    )
    time = allow(case, now, policy, WorkKind.REVIEW)
    return Person(
        key=f"read_answer/{track.key}/{answer.ref}",
        kind=TaskKind.READ_ANSWER,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"{why}. Read it, call if need be, and record what was decided.",
        checklist=(
            "Open the raw answer.",
            f"Provider services: {policy.contacts.provider_services}" if policy else "Call the payer.",
            *_reasons(track),
            *steps_of(answer.decision.errors),
            "Nothing counts as approved until a person has recorded a decision.",
        )[:20],
        time=time,
        track=track.key,
        attempt=answer.attempt,
        rail=answer.rail,
        cause=answer.ref,
        raw=answer.raw,
    )


def _denied(case: Case, now: datetime, track: Track, policy: PolicySlice | None, answer: DecisionReceived) -> Asks:
    yield from _tell_provider(case, now, policy, answer)
    chosen = track.attempt.option if track.attempt.option and track.attempt.option.n > answer.n else None
    options = tuple(option for option in _options(policy, answer) if option[1] > now)
    if chosen is not None and chosen.option in {"accept", "self_pay"}:
        return
    for option, due in options:
        yield start(
            key=f"{option.kind.value}/{track.key}/{answer.ref}",
            kind=ClockKind.P2P_WINDOW if option.kind == "peer_to_peer" else ClockKind.APPEAL_WINDOW,
            label=f"The time for this ends: {option.kind.value.replace('_', ' ')}.",
            at=answer.occurred_at,
            due=due,
            rule=option.id,
            waiting_for=Turn.PROVIDER,
            track=track.key,
        )
    time = allow(case, now, policy, WorkKind.REVIEW)
    windows = tuple(_sentence(option, due, _calendar(policy, option)) for option, due in options)
    if chosen is None:
        yield Person(
            key=f"choose_after_denial/{track.key}/{answer.ref}",
            kind=TaskKind.CHOOSE_AFTER_DENIAL,
            stage=Stage.DENIED,
            turn=Turn.PROVIDER,
            title="The request was denied. Choose how to go on, with the ordering provider.",
            checklist=(*windows, *_reasons(track))[:20],
            time=replace(time, due=min([time.due, *(due for _, due in options)])),
            track=track.key,
            attempt=answer.attempt,
            rail=answer.rail,
            cause=answer.ref,
            raw=answer.raw,
        )
    else:
        window = next(
            ((option.id, due) for option, due in options if option.kind == chosen.option), (time.rule, time.due)
        )
        yield Person(
            key=f"pursue/{track.key}/{chosen.ref}",
            kind=TaskKind.REVIEW,
            stage=Stage.DENIED,
            turn=Turn.PROVIDER,
            title=f"Carry out the {chosen.option.replace('_', ' ')} and record what the payer decides.",
            checklist=(*windows, *_reasons(track))[:20],
            time=replace(time, rule=window[0], due=window[1]),
            track=track.key,
            attempt=answer.attempt,
            rail=answer.rail,
            cause=chosen.ref,
        )


def _options(policy: PolicySlice | None, answer: DecisionReceived) -> tuple[tuple[AppealOption, datetime], ...]:
    """What may be done about a denial and until when, the shortest window first."""
    if policy is None:
        return ()
    windows = [
        (
            option,
            start(
                key="window",
                kind=ClockKind.APPEAL_WINDOW,
                label="window",
                at=answer.occurred_at,
                due=option.window,
                rule=option.id,
                waiting_for=Turn.PROVIDER,
                calendar=policy.calendar(option.calendar),
            ).due,
        )
        for option in policy.appeals
    ]
    return tuple(sorted(windows, key=lambda window: (window[1], window[0].id)))


def _calendar(policy: PolicySlice | None, option: AppealOption) -> Calendar | None:
    return policy.calendar(option.calendar) if policy else None


def _sentence(option: AppealOption, due: datetime, calendar: Calendar | None) -> str:
    day = calendar.local_date(due) if calendar else due.date()
    phone = f", phone {option.phone}" if option.phone else ""
    return f"{option.kind.value.replace('_', ' ').capitalize()}: until {day:%B} {day.day}, {day.year}{phone}."


def _reasons(track: Track) -> tuple[str, ...]:
    return tuple(
        f"Line {number}: {' '.join(filter(None, (reason.code, reason.text)))}"[:500]
        for number in track.lines_required
        if (decided := track.decision(number)) is not None
        for reason in decided.reasons
    )


def _ended(case: Case, now: datetime, track: Track, policy: PolicySlice | None) -> Person:
    """The request is over without a decision: nobody withdraws or sends anew but at a person's word."""
    last = track.attempt.ended or answer_with(track, Outcome.CANCELLED)
    how = _ending(last)
    name, (title, *steps) = policy.name if policy else "The payer", _ENDINGS[how]
    return Person(
        key=f"request_ended/{track.key}/{track.attempt.number}/{how or 'taken_back'}",
        kind=TaskKind.CORRECT_REQUEST,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=title.format(name),
        checklist=(*steps, *_said(last))[:20],
        time=allow(case, now, policy, WorkKind.REVIEW),
        track=track.key,
        attempt=track.attempt.number,
        rail=last.rail,
        cause=last.ref,
        raw=last.receipt.evidence if isinstance(last, RequestWithdrawn) else last.raw,
    )


_ENDINGS: dict[Ending | None, tuple[str, ...]] = {
    Ending.CLOSED: (
        "{} closed the request without a decision, for want of information or of an answer.",
        "See what it asked for. Send that and record the receipt, if it still takes it; else order the request sent anew.",
    ),
    Ending.VOIDED: (
        "{} voided the request: it is as if it had never been.",
        "Ask why. Correct what was wrong, and order the request sent anew, or cancel the order.",
    ),
    Ending.WITHDRAWN: (
        "By the word of {} somebody withdrew the request.",
        "Ask the ordering provider whether that was meant. Order the request sent anew, or cancel the order.",
    ),
    None: (
        "The request ended at the payer without a decision. Order it sent anew, or cancel the order.",
        "Find out why it was closed, and whether the provider agreed to that.",
    ),
}


def _ending(last: End) -> Ending | None:
    """How the payer ended it; None where it was taken back or cancelled."""
    match last:
        case RequestEnded():
            return last.ending
        case DecisionReceived():
            return last.decision.ending
    return None


def _said(last: End) -> tuple[str, ...]:
    reasons = last.reasons if isinstance(last, RequestEnded) else ()
    return tuple(" ".join(filter(None, ("It says:", reason.code, reason.text)))[:500] for reason in reasons)


def _out_of_dates(
    case: Case, now: datetime, track: Track, policy: PolicySlice | None, answer: DecisionReceived
) -> Person:
    """The visit lies outside of what was approved: the commonest way to lose an approval is to move the visit."""
    time = allow(case, now, policy, WorkKind.REVIEW)
    visit = case.appointment
    moment = f"{visit.starts_at:%Y%m%d%H%M}" if visit else "none"
    lines = ", ".join(map(str, case.out_of_dates(track)))
    return Person(
        key=f"out_of_dates/{track.key}/{answer.ref}/{moment}",
        kind=TaskKind.COMPARE_APPROVAL,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"The visit is outside of the dates that the payer approved (line {lines}). Have them extended, or move it.",
        checklist=("Ask the payer to extend the dates, or order the request sent anew, or move the visit.",),
        time=time,
        track=track.key,
        attempt=answer.attempt,
        rail=answer.rail,
        cause=answer.ref,
        raw=answer.raw,
    )


def _compare(
    case: Case,
    now: datetime,
    track: Track,
    policy: PolicySlice | None,
    answer: DecisionReceived,
    lines: tuple[int, ...],
) -> Person:
    time = allow(case, now, policy, WorkKind.REVIEW)
    return Person(
        key=f"compare_approval/{track.key}/{answer.ref}",
        kind=TaskKind.COMPARE_APPROVAL,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title="The payer approved something else than was asked. Compare, and accept it or ask for the rest.",
        checklist=tuple(_difference(case, number, d) for number in lines if (d := track.decision(number))),
        time=time,
        track=track.key,
        attempt=answer.attempt,
        rail=answer.rail,
        cause=answer.ref,
        raw=answer.raw,
    )


def _difference(case: Case, number: int, decided: LineDecision) -> str:
    asked = case.order.line(number)
    units = f", {decided.units} units" if decided.units is not None else ""
    wanted = f"{asked.units} of {asked.code} asked" if asked else "asked"
    return f"Line {number}: {wanted}, {decided.decision.value.replace('_', ' ')}{units}."


def _validity(case: Case, now: datetime, track: Track) -> Asks:
    """How long the approvals in force hold, to the end of their last local day."""
    zone = Calendar(time_zone=case.time_zone).zone
    for number in track.lines_required:
        decided = track.decision(number)
        if decided is None or decided.decision not in {Outcome.APPROVED, *DIFFERING}:
            continue
        last = decided.valid_to
        if last is None or last.year >= _OPEN_END:
            continue
        due = datetime(last.year, last.month, last.day, 23, 59, 59, tzinfo=zone)
        if due > now:
            yield start(
                key=f"validity/{track.key}/{number}",
                kind=ClockKind.VALIDITY,
                label=f"The authorization of line {number} ends.",
                at=track.attempt.decided_by[number].occurred_at,
                due=due,
                rule="payer/answer",
                waiting_for=Turn.STAFF,
                track=track.key,
            )


def _tell_provider(case: Case, now: datetime, policy: PolicySlice | None, answer: DecisionReceived) -> Asks:
    if any(notice.cause == answer.ref for notice in case.provider_notices):
        return
    cause = f"notify_provider/denied/{answer.ref}"
    if effort(case, now, cause).failed:
        time = allow(case, now, policy, WorkKind.CALL)
        yield Person(
            key=f"tell_provider/{answer.ref}",
            kind=TaskKind.TELL_PROVIDER,
            stage=Stage.DENIED,
            turn=Turn.STAFF,
            title="Tell the ordering provider that the request was denied, with the reasons and the options.",
            time=time,
            track=answer.track,
            cause=answer.ref,
        )
        return
    track = case.tracks[answer.track or ""]
    yield from pursue(
        case,
        now,
        cause,
        lambda key: NotifyProvider(
            **common(case, now, key),
            message="denied",
            cause=answer.ref,
            order=case.order,
            title="A request for authorization was denied",
            lines=(f"Order {case.order.number}.", *_reasons(track)),
        ),
    )
