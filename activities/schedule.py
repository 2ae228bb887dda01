"""Looks in the practice's schedule whether a visit stands."""

import hashlib
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from temporalio import activity

from activities.counterparts import Counterparts
from activities.outside import Outside, guarded
from connectors.nextgen import NextGen, Visit
from domain.actions import ReadAppointment
from domain.facts import AnyFact, AppointmentChanged
from domain.order import Appointment, AppointmentStatus

_AHEAD = timedelta(days=90)
"""How long after the planned day a visit still counts as the one for this service, where it is the only one."""


class ScheduleActivities:
    """Activities that read the schedule."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._counterparts = Counterparts(outside)

    @activity.defn(name="read_appointment")
    @guarded
    async def read_appointment(self, action: ReadAppointment) -> list[AnyFact]:
        """Report the visit as the schedule has it now; the same state of the same visit is one fact. None: no fact."""
        practice = self._outside.practice(action.practice)
        zone = ZoneInfo(practice.time_zone)
        nextgen = self._counterparts.nextgen(practice)
        if action.appointment_id is None:
            visit = await _only_visit(nextgen, action, zone)
        else:
            visit = await nextgen.visit(action.appointment_id) or _deleted(action.appointment_id, action, zone)
        if visit is None:
            return []
        seen = f"{visit.appointment.model_dump_json()}\n{visit.modified}"
        return [
            AppointmentChanged(
                occurred_at=action.now,
                by="system:nextgen",
                source_id=f"appointment/{hashlib.sha256(seen.encode()).hexdigest()[:32]}",
                appointment=visit.appointment,
            )
        ]


async def _only_visit(nextgen: NextGen, action: ReadAppointment, zone: ZoneInfo) -> Visit | None:
    """The patient's visit on the planned day, or the only one soon after it; of several, none is the one."""
    visits = [
        visit
        for visit in await nextgen.visits(action.patient_id)
        if visit.appointment.status in {AppointmentStatus.BOOKED, AppointmentStatus.KEPT}
    ]
    days = [(visit.appointment.starts_at.astimezone(zone).date(), visit) for visit in visits]
    same_day = [visit for day, visit in days if day == action.service_from]
    soon = [visit for day, visit in days if action.service_from < day <= action.service_from + _AHEAD]
    candidates = same_day or soon
    return candidates[0] if len(candidates) == 1 else None


def _deleted(appointment_id: str, action: ReadAppointment, zone: ZoneInfo) -> Visit:
    """A visit that is no longer in the schedule was cancelled; when it was to be is no longer said there."""
    planned = datetime.combine(action.service_from, time(), zone).astimezone(UTC)
    gone = Appointment(id=appointment_id, starts_at=planned, status=AppointmentStatus.CANCELLED)
    return Visit(gone, "deleted")
