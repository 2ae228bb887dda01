"""Duty: tell the patient, once, of each change that matters: approval, delay, denial, nothing obtained before the visit."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from domain.actions import NotifyPatient
from domain.base import Stage, Turn
from domain.calendars import subtract
from domain.case import Case, Track
from domain.clocks import ClockKind, start
from domain.decision import Outcome
from domain.facts import TaskKind
from domain.order import AppointmentStatus
from domain.policy import PolicySlice
from domain.policy import TaskKind as TaskRuleKind
from domain.rules.asking import Asks, Person, Waiting, allow, common, effort, pursue
from domain.rules.decision import answer_with

Message = Literal[
    "approved", "not_required", "delayed", "denied", "partly_approved", "not_obtained_before_visit", "cancelled"
]


def patient(case: Case, now: datetime) -> Asks:
    """Every message that is due and that the patient has not had yet; a person calls where a message cannot go."""
    policy = case.policies.get(case.order.primary.payer)
    for message, cause in _news(case):
        yield from _tell(case, now, policy, message, cause)
    yield from _before_visit(case, now, policy)


def _news(case: Case) -> Iterator[tuple[Message, str]]:
    """What there is to tell, each with the fact that it is about."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        if track.is_ready:
            answer = track.attempt.last_answer
            if track.lines_required and answer is not None:
                yield "approved", answer_with(track, *(o for o in track.outcomes if o)).ref
            elif not track.lines_required:
                yield "not_required", track.requirement.ref
        elif Outcome.DENIED in track.outcomes:
            yield "denied", answer_with(track, Outcome.DENIED).ref
        else:
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
        yield from pursue(
            case,
            now,
            cause,
            lambda key: NotifyPatient(**common(case, now, key), message=message, cause=about, order=case.order),
        )
        yield Waiting(Stage.INFORMING, Turn.VIGIL, "Vigil is telling the patient.")
        return
    time = allow(case, now, policy, TaskRuleKind.CALL)
    yield Person(
        key=f"tell_patient/{message}/{about}",
        kind=TaskKind.TELL_PATIENT,
        stage=Stage.INFORMING,
        turn=Turn.STAFF,
        title=f"Call the patient: {message.replace('_', ' ')}. A message could not be sent.",
        checklist=("Verify whom you speak with before you say anything about care.",),
        due=time.due,
        rule=time.rule,
        lease_minutes=time.lease_minutes,
        cause=about,
    )


def _before_visit(case: Case, now: datetime, policy: PolicySlice | None) -> Asks:
    """A visit that comes closer without a valid authorization is at risk: somebody decides, and the patient hears."""
    visit = case.appointment
    if visit is None or visit.status is not AppointmentStatus.BOOKED or now >= visit.starts_at or case.is_ready:
        return
    if policy is None or not case.tracks:
        return
    cut_off = subtract(visit.starts_at, policy.visit.notify_patient, policy.calendar(policy.visit.calendar))
    yield start(
        key=f"visit_cut_off/{visit.id}/{visit.starts_at:%Y%m%d%H%M}",
        kind=ClockKind.VISIT_CUT_OFF,
        label="The patient must be told that the authorization is missing.",
        at=case.opened_at,
        due=cut_off,
        rule=policy.visit.id,
        waiting_for=Turn.VIGIL,
    )
    denied = any(Outcome.DENIED in track.outcomes for track in case.tracks.values())
    if now < cut_off and not denied:
        return
    time = allow(case, now, policy, TaskRuleKind.CALL)
    yield Person(
        key=f"visit_at_risk/{visit.id}/{visit.starts_at:%Y%m%d%H%M}",
        kind=TaskKind.VISIT_AT_RISK,
        stage=Stage.DENIED if denied else Stage.DECISION,
        turn=Turn.STAFF,
        title="The visit is at risk: there is no authorization for it. Decide with the patient: keep, move or cancel it.",
        due=min(time.due, visit.starts_at),
        rule=policy.visit.id,
        lease_minutes=time.lease_minutes,
    )
    if now >= cut_off and not denied:
        about = next((f.ref for f in reversed(case.facts) if f.kind == "appointment_changed"), case.order_fact.ref)
        yield from _tell(case, now, policy, "not_obtained_before_visit", about)
