"""Duty: watch until the visit is over: look in the schedule before it and after it, and close the case then."""

from collections.abc import Iterator
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from domain.actions import ReadAppointment
from domain.base import Stage, Turn
from domain.calendars import subtract
from domain.case import Case
from domain.clocks import ClockKind, start
from domain.facts import TaskKind
from domain.order import AppointmentStatus
from domain.policy_rules import WorkKind
from domain.rules.asking import (
    Asks,
    Close,
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

_WORDS = {AppointmentStatus.CANCELLED: "cancelled", AppointmentStatus.NO_SHOW: "missed"}


def visit(case: Case, now: datetime) -> Asks:
    """Look in the schedule at the moments that matter, and close the case when the visit was kept."""
    booked = case.appointment
    at, reference = (booked.starts_at, short(booked.id)) if booked else (_service_day(case), "none")
    stamp = f"{reference}/{at:%Y%m%d%H%M}"
    if booked is not None and booked.status is AppointmentStatus.KEPT:
        yield Close("visit_over", "The visit is over; what is still open is being finished.")
        return
    if booked is not None and booked.status in {AppointmentStatus.CANCELLED, AppointmentStatus.NO_SHOW}:
        yield _ask(
            case,
            now,
            f"The visit was {_WORDS[booked.status]}. Book it anew or cancel the order.",
            stamp,
        )
        return
    if now < at:
        yield start(
            key=f"visit/{stamp}",
            kind=ClockKind.VISIT,
            label="The visit takes place." if booked else "The service is due.",
            at=case.opened_at,
            due=at,
            rule="order/appointment" if booked else "order/service-date",
            waiting_for=Turn.PATIENT,
        )
    for number, moment in enumerate(_moments(case, at)):
        if moment <= case.opened_at:
            continue
        cause = f"read_appointment/{stamp}/{number}"
        if effort(case, now, cause).failed:  # this look has been taken
            continue
        if now < moment:
            yield Look(moment)
            break
        yield from pursue(
            case,
            now,
            cause,
            lambda key: ReadAppointment(
                **common(case, now, key),
                appointment_id=booked.id if booked else None,
                patient_id=case.order.patient.id,
                service_from=min(line.service_from for line in case.order.lines),
            ),
        )
        break
    else:
        yield _ask(
            case, now, "The day of the visit has passed and the schedule does not say whether it took place.", stamp
        )
    if case.is_ready and now < at:
        day = at.astimezone(ZoneInfo(case.time_zone))
        yield Waiting(
            Stage.WATCHING, Turn.VIGIL, f"All is in place; Vigil watches until the visit on {day:%B} {day.day}."
        )


def _moments(case: Case, at: datetime) -> tuple[datetime, ...]:
    policy = case.policies.get(case.order.primary.payer)
    before: tuple[datetime, ...] = ()
    if policy:
        calendar = policy.calendar(policy.visit.calendar)
        before = tuple(
            sorted(subtract(at, span, calendar) for span in (policy.visit.watch_from, policy.visit.notify_patient))
        )
    return (*before, *_moments_after(case, at))


def _moments_after(case: Case, at: datetime) -> Iterator[datetime]:
    """When to look whether the visit took place; then a person says."""
    rule = case.house.visits
    for _ in range(rule.looks):
        at = later(case, at, rule.look_again)
        yield at


def _service_day(case: Case) -> datetime:
    """The last day of service, at noon in the practice's time, where no visit is known."""
    day = max(line.service_to or line.service_from for line in case.order.lines)
    return datetime.combine(day, time(12), ZoneInfo(case.time_zone)).astimezone(UTC)


def _ask(case: Case, now: datetime, title: str, stamp: str) -> Person:
    allowed = allow(case, now, case.policies.get(case.order.primary.payer), WorkKind.REVIEW)
    return Person(
        key=f"review_visit/{stamp}",
        kind=TaskKind.REVIEW,
        stage=Stage.WATCHING,
        turn=Turn.STAFF,
        title=title,
        time=allowed,
        again=case.house.visits.ask_again,
    )
