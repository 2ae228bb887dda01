"""NextGen appointments: lists with the seven-day default, create, change, reschedule, cancel, kept."""

import uuid
from datetime import date, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sandbox import odata
from sandbox.answers import Refused, note, world_of
from sandbox.nextgen import API, bad, body_of, caller, found, guid, links, paged, refuse_locked, stamp
from sandbox.records import Json, Practice

router = APIRouter(prefix=f"/nextgen{API}")
DEFAULT_WINDOW_DAYS = 7
APPOINTMENT_FIELDS = (
    "appointmentDate",
    "beginTime",
    "endTime",
    "duration",
    "locationId",
    "renderingProviderId",
    "details",
)


@router.get("/appointments")
async def appointments(request: Request) -> Response:
    """All appointments; without a filter on `appointmentDate` only those of the next seven days."""
    practice = caller(request)
    items = [summary(item) for item in practice.ehr.appointments.values()]
    try:
        named = odata.fields(request.query_params.get("$filter", ""))
    except ValueError:
        raise bad("The query specified in the URI is not valid.") from None
    if "appointmentDate" not in named:
        today = world_of(request).now(practice).date()
        last = today + timedelta(days=DEFAULT_WINDOW_DAYS)
        items = [item for item in items if today <= date.fromisoformat(item["appointmentDate"][:10]) <= last]
    return paged(request, items)


@router.get("/persons/{person_id}/appointments")
async def person_appointments(person_id: str, request: Request) -> Response:
    """One person's appointments, paged, without a default window."""
    practice = caller(request)
    found(practice.ehr.persons, guid(person_id))
    mine = [item for item in practice.ehr.appointments.values() if item["personId"] == guid(person_id)]
    return paged(request, [summary(item) for item in mine])


def summary(item: Json) -> Json:
    """An appointment as lists show it: fewer fields, and the id under another name."""
    names = (
        "practiceId",
        "eventId",
        "appointmentDate",
        "personId",
        "isCancelled",
        "isRescheduled",
        "isDeleted",
        "isKept",
    )
    shown = {name: item.get(name) for name in (*names, "createTimestamp", "modifyTimestamp")}
    relation = links(self=f"persons/{item['personId']}/appointments", appointment=f"appointments/{item['id']}")
    return {**shown, "categoryIds": [], "appointmentId": item["id"], "_links": relation}


@router.get("/appointments/{appointment_id}")
async def appointment(appointment_id: str, request: Request) -> Json:
    """One appointment in full."""
    practice = caller(request)
    item = found(practice.ehr.appointments, guid(appointment_id))
    return {**item, "_links": links(self=f"appointments/{item['id']}", person=f"/persons/{item['personId']}")}


@router.post("/appointments")
async def create_appointment(request: Request) -> Response:
    """Create; 201 with an empty body, so a caller reads back; 409 when the person is booked then already."""
    practice = caller(request)
    body = await body_of(request)
    person = found(practice.ehr.persons, guid(body.get("personId")))
    day = _day(body.get("appointmentDate"))
    made = book(
        practice,
        person,
        {**body, "appointmentDate": day, "eventId": guid(body.get("eventId"))},
        stamp(request, practice),
    )
    if made is None:
        raise Refused(409, None)
    note(request, appointment=made["id"])
    return Response(status_code=201)


def _day(value: Any) -> str:
    try:
        return date.fromisoformat(str(value)[:10]).isoformat() + "T00:00:00"
    except ValueError:
        raise bad("appointmentDate is not valid.") from None


def book(practice: Practice, person: Json, given: Json, at: str) -> Json | None:
    """Put an appointment into the schedule; None when the person has one at that time."""
    begin = str(given.get("beginTime", "0800"))
    for other in practice.ehr.appointments.values():
        same = (other["personId"], other["appointmentDate"], other["beginTime"])
        if same == (person["id"], given["appointmentDate"], begin) and not other["isCancelled"]:
            return None
    minutes = int(given.get("duration", 15))
    end = int(begin[:2]) * 60 + int(begin[2:]) + minutes
    item: Json = {
        "id": guid(given.get("id", uuid.uuid4())),
        "practiceId": "0001",
        "personId": person["id"],
        "firstName": person["firstName"],
        "lastName": person["lastName"],
        "dateOfBirth": person["dateOfBirth"],
        "eventId": given.get("eventId"),
        "eventName": given.get("eventName", "Office Visit"),
        "appointmentDate": given["appointmentDate"],
        "beginTime": begin,
        "endTime": f"{end // 60:02d}{end % 60:02d}",
        "duration": minutes,
        "locationId": given.get("locationId"),
        "locationName": given.get("locationName"),
        "renderingProviderId": given.get("renderingProviderId"),
        "encounterId": given.get("encounterId"),
        "isCancelled": False,
        "cancelReasonId": None,
        "isKept": False,
        "isDeleted": False,
        "isRescheduled": False,
        "rescheduledAppointmentId": None,
        "appointmentConfirmed": False,
        "workflowStatus": "",
        "details": given.get("details", ""),
        "createTimestamp": at,
        "modifyTimestamp": at,
    }
    practice.ehr.appointments[item["id"]] = item
    return item


@router.patch("/appointments/{appointment_id}")
@router.put("/appointments/{appointment_id}")
async def change_appointment(appointment_id: str, request: Request) -> Response:
    """Change date, time, place or details; 204."""
    practice = caller(request)
    item = found(practice.ehr.appointments, guid(appointment_id))
    body = await body_of(request)
    unknown = sorted(set(body) - set(APPOINTMENT_FIELDS))
    if unknown:
        raise bad(f"The property '{unknown[0]}' cannot be changed.")
    refuse_locked(practice, item.get("encounterId"))
    if "appointmentDate" in body:
        body["appointmentDate"] = _day(body["appointmentDate"])
    item.update(body, modifyTimestamp=stamp(request, practice))
    note(request, appointment=item["id"])
    return Response(status_code=204)


@router.post("/appointments/{appointment_id}/reschedule")
async def reschedule(appointment_id: str, request: Request) -> Response:
    """Move: the old one stays, marked, and names the new one; the body of the answer is empty."""
    practice = caller(request)
    item = found(practice.ehr.appointments, guid(appointment_id))
    body = await body_of(request)
    refuse_locked(practice, item.get("encounterId"))
    if item["isCancelled"] or item["isRescheduled"]:
        raise bad("The appointment is not active.")
    person = found(practice.ehr.persons, item["personId"])
    fresh = {
        name: item[name] for name in ("eventId", "eventName", "beginTime", "duration", "locationId", "locationName")
    }
    fresh |= {name: body[name] for name in APPOINTMENT_FIELDS if name in body}
    at = stamp(request, practice)
    made = book(practice, person, {**fresh, "appointmentDate": _day(body.get("appointmentDate"))}, at)
    if made is None:
        raise Refused(409, None)
    item.update(isRescheduled=True, rescheduledAppointmentId=made["id"], modifyTimestamp=at)
    note(request, appointment=item["id"], rescheduled_to=made["id"])
    return Response(status_code=200)


@router.post("/appointments/{appointment_id}/cancel")
async def cancel(appointment_id: str, request: Request) -> Response:
    """Cancel with a reason from the master list; 204."""
    practice = caller(request)
    item = found(practice.ehr.appointments, guid(appointment_id))
    body = await body_of(request)
    reason = guid(body.get("cancelReasonId"))
    if item["isCancelled"]:
        raise bad("The appointment is already cancelled.")
    item.update(isCancelled=True, cancelReasonId=reason, modifyTimestamp=stamp(request, practice))
    note(request, appointment=item["id"])
    return Response(status_code=204)


@router.put("/appointments/{appointment_id}/kept")
async def kept(appointment_id: str, request: Request) -> Response:
    """Mark kept; 204."""
    practice = caller(request)
    item = found(practice.ehr.appointments, guid(appointment_id))
    item.update(isKept=True, workflowStatus="KEPT", modifyTimestamp=stamp(request, practice))
    return Response(status_code=204)
