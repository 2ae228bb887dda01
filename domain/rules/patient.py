"""Duty: tell the patient, once, of each change that matters: approval, delay, denial, nothing obtained before the visit."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal
from zoneinfo import ZoneInfo

from domain.actions import NotifyPatient
from domain.base import Stage, Turn
from domain.calendars import quiet_until, subtract
from domain.case import Case
from domain.clocks import ClockKind, start
from domain.decision import Outcome
from domain.facts import TaskKind
from domain.order import Appointment, AppointmentStatus
from domain.policy import PolicySlice
from domain.policy_rules import WorkKind
from domain.rules.asking import (
    Asks,
    Look,
    Person,
    Waiting,
    allow,
    awaits_rules,
    common,
    effort,
    later,
    practice_calendar,
    pursue,
    short,
)
from domain.rules.decision import answer_with
from domain.track import Track

Message = Literal[
    "approved", "not_required", "delayed", "denied", "partly_approved", "not_obtained_before_visit", "cancelled"
]
_CALLED: Mapping[Message, str] = MappingProxyType(
    {
        "approved": "the authorization is there",
        "not_required": "no authorization is needed",
        "delayed": "the payer takes longer than it should",
        "denied": "the payer said no, and what can be done",
        "partly_approved": "the payer approved a part",
        "not_obtained_before_visit": "the authorization is not there before the visit",
        "cancelled": "the request was cancelled",
    }
)
"""What a person who calls in place of a message says."""


def patient(case: Case, now: datetime) -> Asks:
    """Every message that is due and that the patient has not had yet; a person calls where a message cannot go."""
    policy = case.policies.get(case.order.primary.payer)
    for message, cause in _news(case):
        yield from _tell(case, now, policy, message, cause)
    yield from _before_visit(case, now, policy)


def _news(case: Case) -> Iterator[tuple[Message, str]]:
    """What there is to tell, each with the fact that it is about. Good news only when all is in place."""
    if case.is_ready:
        tracks = [case.tracks[key] for key in sorted(case.tracks)]
        answers = [answer_with(track, *(o for o in track.outcomes if o)) for track in tracks if track.lines_required]
        if answers:
            yield "approved", max(answers, key=lambda answer: answer.n).ref
        else:
            yield "not_required", max((track.requirement for track in tracks), key=lambda found: found.n).ref
        return
    for key in sorted(case.tracks):
        track = case.tracks[key]
        if Outcome.DENIED in track.outcomes:
            some = any(outcome is not None and outcome.permits for outcome in track.outcomes)
            yield "partly_approved" if some else "denied", answer_with(track, Outcome.DENIED).ref
        elif not track.is_ready:
            yield from _delay(case, track)


def _delay(case: Case, track: Track) -> Iterator[tuple[Message, str]]:
    breach = case.breached.get(f"decision/{track.key}/{track.attempt.number}")
    if breach is not None:
        yield "delayed", breach.ref


def _tell(case: Case, now: datetime, policy: PolicySlice | None, message: Message, about: str) -> Asks:
    if any(notice.cause == about and notice.message == message for notice in case.patient_notices):
        return
    cause = f"notify_patient/{message}/{about}"
    if case.order.patient.may_be_messaged and not effort(case, now, cause).failed:
        quiet = policy.patient_messages if policy else None
        ends = quiet_until(now, quiet.quiet_from, quiet.quiet_until, ZoneInfo(case.time_zone)) if quiet else None
        if ends is not None:
            yield Look(ends)
            yield Waiting(Stage.INFORMING, Turn.VIGIL, "Vigil tells the patient when the quiet hours are over.")
            return
        yield from pursue(
            case,
            now,
            cause,
            lambda key: NotifyPatient(**common(case, now, key), message=message, cause=about, order=case.order),
        )
        yield Waiting(Stage.INFORMING, Turn.VIGIL, "Vigil is telling the patient.")
        return
    time = allow(case, now, policy, WorkKind.CALL)
    yield Person(
        key=f"tell_patient/{message}/{about}",
        kind=TaskKind.TELL_PATIENT,
        stage=Stage.INFORMING,
        turn=Turn.STAFF,
        title=f"Call the patient: {_CALLED[message]}. A message could not be sent.",
        checklist=("Verify whom you speak with before you say anything about care.",),
        time=time,
        cause=about,
    )


def _before_visit(case: Case, now: datetime, policy: PolicySlice | None) -> Asks:
    """A visit that comes closer without a valid authorization is at risk: somebody decides, and the patient hears."""
    visit = case.appointment
    if visit is None or visit.status is not AppointmentStatus.BOOKED or now >= visit.starts_at or case.is_ready:
        return
    if awaits_rules(case, now, case.order.primary.payer) or _settled_otherwise(case):
        return
    span = policy.visit.notify_patient if policy else case.house.visits.notify_patient
    calendar = policy.calendar(policy.visit.calendar) if policy else practice_calendar(case)
    rule = policy.visit.id if policy else case.house.visits.id
    cut_off = _cut_off(case, visit, subtract(visit.starts_at, span, calendar))
    stamp = f"{short(visit.id)}/{visit.starts_at:%Y%m%d%H%M}"
    if now < cut_off:
        yield start(
            key=f"visit_cut_off/{stamp}",
            kind=ClockKind.VISIT_CUT_OFF,
            label="The patient must be told if the authorization is still missing.",
            at=case.opened_at,
            due=cut_off,
            rule=rule,
            waiting_for=Turn.VIGIL,
        )
    denied = any(Outcome.DENIED in track.outcomes for track in case.tracks.values())
    if now < cut_off and (not denied or _was_dealt_with(case)):
        return
    time = allow(case, now, policy, WorkKind.CALL)
    yield Person(
        key=f"visit_at_risk/{stamp}",
        kind=TaskKind.VISIT_AT_RISK,
        stage=Stage.DENIED if denied else Stage.DECISION,
        turn=Turn.STAFF,
        title="The visit is at risk: there is no authorization for it. Decide with the patient: keep, move or cancel it.",
        time=replace(time, due=min(time.due, visit.starts_at), rule=rule),
        again=None,
    )
    if now >= cut_off and not denied:
        about = next((f.ref for f in reversed(case.facts) if f.kind == "appointment_changed"), case.facts[0].ref)
        yield from _tell(case, now, policy, "not_obtained_before_visit", about)


def _cut_off(case: Case, visit: Appointment, by_rule: datetime) -> datetime:
    """An order that comes after its cut-off gets a first chance: nobody is alarmed while Vigil is just asking."""
    first = case.house.visits.first_chance
    chance = later(case, case.opened_at, first)
    return max(by_rule, chance) if later(case, chance, first) < visit.starts_at else by_rule


def _was_dealt_with(case: Case) -> bool:
    """Whether somebody has dealt with a visit at risk already: after that only its next cut-off raises it anew."""
    return any(task.opened.task_kind is TaskKind.VISIT_AT_RISK and task.completed for task in case.tasks.values())


def _settled_otherwise(case: Case) -> bool:
    """Whether a person has settled with the patient how the visit goes on without an authorization."""
    missing = [track for track in case.tracks.values() if not track.is_ready]
    options = [track.attempt.option for track in missing if set(track.outcomes) & {Outcome.DENIED}]
    settled = [o for o in options if o is not None and o.option in {"accept", "self_pay"}]
    return bool(missing) and len(settled) == len(missing)
