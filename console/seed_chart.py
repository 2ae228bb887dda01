"""What the simulated EHR holds beside the seeded orders: patients, insurances, chart documents, visits, and some orders.

Planted by the sandbox's control API, as FHIR R4 resources and NextGen fields. Nothing of this exists in production.
"""

import base64
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from console.seed_day import IMAGING, ORDERING, Planned, stable_id
from domain.order import Order, Provider

Json = dict[str, Any]

_NPI = "http://hl7.org/fhir/sid/us-npi"
_ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
_CPT = "http://www.ama-assn.org/go/cpt"
_PLACE = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
_LOINC = "http://loinc.org"
_TYPES = {
    "office_note": "11506-3",
    "imaging_report": "18748-4",
    "conservative_therapy": "11508-9",
    "referral": "57133-1",
}
_NOTE_AGE = timedelta(days=9)
_VISIT_MINUTES = 30


def planting(day: Iterable[Planned], now: datetime, time_zone: str) -> Json:
    """The body of the sandbox's `POST /control/practices/{practice}/orders`."""
    resources: list[Json] = [_practitioner(ORDERING), _location()]
    appointments: list[Json] = []
    for planned in day:
        order = planned.order
        resources += [_patient(order), _payer(order), _coverage(order)]
        resources += [_document(order, kind, now) for kind in planned.chart]
        if order.appointment is not None:
            appointments.append(_appointment(order, order.appointment.starts_at, ZoneInfo(time_zone)))
        if planned.only_in_ehr:
            resources += _service_requests(order)
    return {"resources": resources, "appointments": appointments}


def _patient(order: Order) -> Json:
    patient = order.patient
    return {
        "resourceType": "Patient",
        "id": patient.id,
        "identifier": [{"system": "urn:example:mrn", "value": f"MRN-{order.number}"}],
        "name": [{"family": patient.family_name, "given": [patient.given_name]}],
        "birthDate": patient.birth_date.isoformat(),
        "gender": patient.sex.value,
        "telecom": [{"system": "phone", "value": patient.phone}],
        "address": [_address(order)],
    }


def _address(order: Order) -> Json:
    address = order.patient.address
    if address is None:
        return {}
    return {
        "line": [address.line],
        "city": address.city,
        "state": address.state,
        "postalCode": address.postal_code,
    }


def _payer(order: Order) -> Json:
    payer = order.primary.payer
    return {"resourceType": "Organization", "id": stable_id("payer", payer), "name": payer}


def _coverage(order: Order) -> Json:
    held = order.primary
    return {
        "resourceType": "Coverage",
        "id": stable_id("coverage", order.number),
        "status": "active",
        "order": held.rank,
        "subscriberId": held.member_id,
        "beneficiary": {"reference": f"Patient/{order.patient.id}"},
        "relationship": {"coding": [{"code": held.relationship.value}]},
        "payor": [{"reference": f"Organization/{stable_id('payer', held.payer)}"}],
        "class": [{"type": {"coding": [{"code": "group"}]}, "value": held.group_number}],
    }


def _document(order: Order, kind: str, now: datetime) -> Json:
    text = f"SYNTHETIC {kind.replace('_', ' ')} for order {order.number}. Not about a real person.\n"
    return {
        "resourceType": "DocumentReference",
        "id": stable_id("document", order.number, kind),
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": _LOINC, "code": _TYPES[kind]}]},
        "subject": {"reference": f"Patient/{order.patient.id}"},
        "date": (now - _NOTE_AGE).isoformat(),
        "content": [{"attachment": {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}}],
    }


def _appointment(order: Order, starts_at: datetime, zone: ZoneInfo) -> Json:
    local = starts_at.astimezone(zone)
    return {
        "id": order.appointment.id if order.appointment else stable_id("visit", order.number),
        "personId": order.patient.id,
        "appointmentDate": local.date().isoformat(),
        "beginTime": f"{local:%H%M}",
        "duration": _VISIT_MINUTES,
        "eventName": order.lines[0].label,
    }


def _practitioner(person: Provider) -> Json:
    return {
        "resourceType": "Practitioner",
        "id": stable_id("practitioner", person.npi),
        "identifier": [{"system": _NPI, "value": person.npi}],
        "name": [{"family": person.family_name, "given": [person.given_name]}],
        "telecom": [{"system": "phone", "value": person.phone}],
    }


def _location() -> Json:
    address = IMAGING.address
    return {
        "resourceType": "Location",
        "id": stable_id("location", IMAGING.npi),
        "identifier": [{"system": _NPI, "value": IMAGING.npi}],
        "name": IMAGING.name,
        "address": {
            "line": [address.line],
            "city": address.city,
            "state": address.state,
            "postalCode": address.postal_code,
        },
    }


def _service_requests(order: Order) -> list[Json]:
    return [
        {
            "resourceType": "ServiceRequest",
            "id": stable_id("order", order.number, str(line.number)),
            "status": "active",
            "intent": "order",
            "requisition": {"system": "urn:example:orders", "value": order.number},
            "priority": order.urgency.value,
            "code": {"coding": [{"system": _CPT, "code": line.code}], "text": line.label},
            "quantityQuantity": {"value": line.units},
            "subject": {"reference": f"Patient/{order.patient.id}"},
            "authoredOn": order.ordered_at.isoformat(),
            "occurrenceDateTime": line.service_from.isoformat(),
            "requester": {"reference": f"Practitioner/{stable_id('practitioner', ORDERING.npi)}"},
            "locationReference": [{"reference": f"Location/{stable_id('location', IMAGING.npi)}"}],
            "locationCode": [{"coding": [{"system": _PLACE, "code": line.place_of_service}]}],
            "insurance": [{"reference": f"Coverage/{stable_id('coverage', order.number)}"}],
            "reasonCode": [{"coding": [{"system": _ICD10, "code": code}]} for code in order.diagnoses],
        }
        for line in order.lines
    ]
