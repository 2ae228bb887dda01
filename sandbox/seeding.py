"""Planting: putting into NextGen and Luma what a practice would have there, so that an intake sweep finds it.

FHIR resources are given whole. A planted Patient becomes a NextGen person (its id must be a GUID) and a Luma patient
with the same id as `externalId {source: nextgen}`, unless Luma is told otherwise in the same planting.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox import luma, nextgen_chart, nextgen_schedule, nextgen_tasks
from sandbox.answers import Refused
from sandbox.nextgen import guid
from sandbox.nextgen_fhir import TYPES
from sandbox.pas_words import dicts
from sandbox.records import Json, Practice


class Planting(BaseModel):
    """All that can be planted at once; each list may be empty.

    `resources`: FHIR R4, each with `resourceType` and `id`; `meta.lastUpdated` is the practice's now unless given.
    `appointments`: NextGen fields with `personId` and `appointmentDate`; `insurances`: with `personId`; `tasks`: with
    `userId` and `subject`; `documents`: with `personId`, `description`, `contentType`, `content` (base64);
    `luma_patients`: Luma fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    resources: list[Json] = Field(default_factory=list)
    appointments: list[Json] = Field(default_factory=list)
    insurances: list[Json] = Field(default_factory=list)
    tasks: list[Json] = Field(default_factory=list)
    documents: list[Json] = Field(default_factory=list)
    luma_patients: list[Json] = Field(default_factory=list)


def plant(practice: Practice, wish: Planting, local: str, now: str) -> Json:
    """Plant everything; answers with the ids. Raises Refused(422) at the first thing that has not its fields."""
    planted: dict[str, list[str]] = {
        "resources": [],
        "appointments": [],
        "tasks": [],
        "documents": [],
        "luma_patients": [],
    }
    for resource in wish.resources:
        planted["resources"].append(_resource(practice, resource, local, now))
    for given in wish.luma_patients:
        planted["luma_patients"].append(luma.put_patient(practice, given)["_id"])
    for given in wish.appointments:
        _need(given, "personId", "appointmentDate")
        person = practice.ehr.persons.get(guid(given["personId"]))
        if person is None:
            raise Refused(422, {"message": "The appointment's person is not known: plant the Patient first."})
        day = str(given["appointmentDate"])[:10] + "T00:00:00"
        made = nextgen_schedule.book(practice, person, {**given, "appointmentDate": day}, local)
        if made is None:
            raise Refused(422, {"message": "The person has an appointment at that time."})
        planted["appointments"].append(made["id"])
    for given in wish.insurances:
        _need(given, "personId")
        practice.ehr.insurances.setdefault(guid(given["personId"]), []).append(given)
    for given in wish.tasks:
        _need(given, "userId", "subject")
        planted["tasks"].append(nextgen_tasks.put_task(practice, str(given["userId"]), given, local)["id"])
    for given in wish.documents:
        _need(given, "personId", "description", "contentType", "content")
        made = nextgen_chart.put_document(practice, guid(given["personId"]), given, local)
        planted["documents"].append(made["id"])
    return planted


def _need(given: Json, *names: str) -> None:
    missing = [name for name in names if name not in given]
    if missing:
        raise Refused(422, {"message": f"{missing[0]} is missing."})


def _resource(practice: Practice, resource: Json, local: str, now: str) -> str:
    _need(resource, "resourceType", "id")
    kind, identifier = str(resource["resourceType"]), str(resource["id"])
    if kind not in TYPES:
        raise Refused(422, {"message": "NextGen's FHIR server does not serve this resource type."})
    meta: Any = resource.get("meta") or {}
    stored = {**resource, "meta": {**meta, "lastUpdated": meta.get("lastUpdated", now)}}
    practice.ehr.fhir.setdefault(kind, {})[identifier] = stored
    if kind == "Patient":
        _person(practice, stored, local)
    return f"{kind}/{identifier}"


def _person(practice: Practice, patient: Json, local: str) -> None:
    person_id = guid(patient["id"])
    name: Json = next(iter(dicts(patient.get("name"))), {})
    first, last = " ".join(name.get("given", [])), str(name.get("family", ""))
    number = next((str(entry.get("value")) for entry in dicts(patient.get("identifier"))), None)
    practice.ehr.persons[person_id] = {
        "id": person_id,
        "firstName": first,
        "lastName": last,
        "dateOfBirth": f"{patient.get('birthDate', '1900-01-01')}T00:00:00",
        "sex": str(patient.get("gender", "U"))[:1].upper(),
        "medicalRecordNumber": number,
        "createTimestamp": local,
        "modifyTimestamp": local,
    }
    if not any(
        (item.get("externalId") or {}).get("value") == person_id for item in practice.messaging.patients.values()
    ):
        luma.put_patient(
            practice, {"firstname": first, "lastname": last, "externalId": {"source": "nextgen", "value": person_id}}
        )
