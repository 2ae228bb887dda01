"""Tells the patient, once, where and how the patient wants to be told; no health information leaves the login."""

import re
from zoneinfo import ZoneInfo

from temporalio import activity

from activities.counterparts import Counterparts, marker
from activities.outside import Outside, guarded
from connectors.errors import Busy, Refused
from connectors.luma_texts import text_for
from domain.actions import NotifyPatient
from domain.calendars import quiet_until
from domain.facts import AnyFact, PatientNotified, Receipt


class PatientActivities:
    """Activities that tell patients."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._counterparts = Counterparts(outside)

    @activity.defn(name="notify_patient")
    @guarded
    async def notify_patient(self, action: NotifyPatient) -> list[AnyFact]:
        """Send one message. Refused where the patient must not or cannot get it: then a person calls."""
        practice = self._outside.practice(action.practice)
        patient = action.order.patient
        if not patient.may_be_messaged:
            raise Refused("no_consent")
        quiet = practice.messaging
        ends = quiet_until(action.now, quiet.quiet_from, quiet.quiet_until, ZoneInfo(practice.time_zone))
        if ends is not None:
            raise Busy("quiet_hours", ends - action.now)
        luma = self._counterparts.luma(practice)
        text, language = text_for(action.message, patient.language, practice=practice.name, phone=practice.phone)
        key = marker(action.case_id, "patient", action.message, action.cause)
        message = await luma.tell(await luma.patient_id(patient.id), key, text, language)
        if message.failed:
            raise Refused(f"{message.status}:{_word(message.reason)}")
        return [
            PatientNotified(
                occurred_at=action.now,
                by="system:luma",
                source_id=f"{action.key}/notified",
                message=action.message,
                cause=action.cause,
                channel="message",
                receipt=Receipt(kind="http_id", reference=f"{message.id} {message.status}"),
            )
        ]


def _word(reason: str | None) -> str:
    """A reason as a code: what is not a plain word stays out."""
    return re.sub(r"[^a-z0-9]+", "-", (reason or "unknown").lower()).strip("-")[:40] or "unknown"
