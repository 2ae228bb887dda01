"""Write what goes to the gateway: a service review, and the query by which one is found again.

Source: Availity Service Reviews 2.0.0, definitions ServiceReview and the query names of `GET /service-reviews`. The model
has one place of service, one service type and no line numbers: the first line's stand for all, and lines go by position.

Our trace travels in a provider note: `controlNumber` and `traceNumbers` are the gateway's and the payer's, `submitterId` is
the payer's name for the provider, and `sessionId` is a word of the query only. A note is kept and shown with the record,
but cannot be searched by: a search goes by patient, requester and dates, and what it finds is told apart by the note.
"""

import textwrap
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from connectors.codes import ROLE_FACILITY, ROLE_ORDERING, ROLE_RENDERING, SERVICE_TYPES
from connectors.gateway.words import (
    ASSERTION_NOTE,
    FURTHER,
    GENDERS,
    LEVELS,
    MAX_NOTE,
    PRINCIPAL,
    PROCEDURE,
    QUANTITY_TYPES,
    REFERRAL,
    RELATIONSHIPS,
    REVIEW,
    TRACE_NOTE,
    UNITS,
)
from connectors.ours import Ours
from connectors.phones import ten_digits
from connectors.requester import Requester
from domain.decision import Number, NumberType
from domain.order import Address, Coverage, Facility, Patient, Provider, Relationship, ServiceLine
from domain.request import Request

Json = dict[str, Any]

_LONGEST = MappingProxyType({"lastName": 60, "firstName": 35, "contactName": 60, "addressLine1": 55, "city": 30})
"""Characters that the 278 behind the gateway has room for (NM103, NM104, PER02, N301, N401)."""


def service_review(request: Request, practice: Requester, payer_code: str, record: str | None = None) -> Json:
    """Return the ServiceReview that asks for a request's lines; with the `record` that the gateway holds, its update."""
    order = request.order
    lines = request.service_lines
    first = lines[0]
    return _known(
        id=record,
        payer={"id": payer_code},
        requestingProvider=_requester(practice),
        subscriber=_subscriber(order.patient, request.coverage),
        patient=_patient(order.patient, request.coverage),
        diagnoses=[
            {"qualifierCode": FURTHER if place else PRINCIPAL, "code": code}
            for place, code in enumerate(order.diagnoses)
        ],
        requestTypeCode=request_type(request),
        serviceTypeCode=SERVICE_TYPES[first.category],
        placeOfServiceCode=first.place_of_service,
        serviceLevelCode=LEVELS.get(order.urgency),
        **_dates(lines),
        **(_quantity(first) if len(lines) == 1 else {}),
        procedures=[_procedure(line) for line in lines],
        renderingProviders=_providers(request),
        providerNotes=[{"message": said} for said in _notes(request)],
    )


def request_type(request: Request) -> str:
    """Return what kind of review is asked for (`requestTypeCode`, and `subtypeId` of the payer's field rules)."""
    return REFERRAL if request.referral else REVIEW


def search_query(
    request: Request, practice: Requester, payer_code: str, numbers: tuple[Number, ...] = ()
) -> dict[str, str]:
    """Return the query that finds a request: by patient and requester, and the payer's latest number, else the dates."""
    patient, coverage = request.order.patient, request.coverage
    query = {
        "payer.id": payer_code,
        "requestingProvider.npi": practice.npi,
        "subscriber.memberId": coverage.member_id,
        "patient.lastName": _fitting("lastName", patient.family_name),
        "patient.firstName": _fitting("firstName", patient.given_name),
        "patient.birthDate": patient.birth_date.isoformat(),
        "patient.subscriberRelationshipCode": RELATIONSHIPS[coverage.relationship],
        "requestTypeCode": request_type(request),
    }
    held = {number.type: number.value for number in numbers}
    if NumberType.CERTIFICATION in held:
        return {**query, "certificationNumber": held[NumberType.CERTIFICATION]}
    if NumberType.ADMINISTRATIVE in held:
        return {**query, "referenceNumber": held[NumberType.ADMINISTRATIVE]}
    return {**query, **_dates(request.service_lines)}


def ours(request: Request, records: Iterable[str] = ()) -> Ours:
    """Return what an answer to a request may be matched by; `records` are the gateway's ids of it."""
    return Ours(
        trace=request.trace,
        names=frozenset({request.trace, *records}),
        member_id=request.coverage.member_id,
        lines=MappingProxyType({line.number: line.code for line in request.service_lines}),
    )


def _known(**fields: Any) -> Json:
    """The fields that something is known of, texts as long as the 278 can carry them."""
    return {name: _fitting(name, value) for name, value in fields.items() if value not in (None, "", [], {})}


def _fitting(name: str, value: Any) -> Any:
    return value[: _LONGEST[name]].rstrip() if name in _LONGEST else value


def _place(address: Address | None) -> Json:
    if address is None:
        return {}
    return {
        "addressLine1": address.line,
        "city": address.city,
        "stateCode": address.state,
        "zipCode": address.postal_code.replace("-", ""),
    }


def _requester(practice: Requester) -> Json:
    return _known(
        lastName=practice.name,
        npi=practice.npi,
        taxId=practice.tax_id.replace("-", ""),
        **_place(practice.address),
        contactName=practice.contact,
        phone=ten_digits(practice.contact_phone or practice.phone),
    )


def _subscriber(patient: Patient, coverage: Coverage) -> Json:
    itself = coverage.relationship is Relationship.SELF
    return _known(
        memberId=coverage.member_id,
        lastName=patient.family_name if itself else coverage.subscriber_family_name,
        firstName=patient.given_name if itself else coverage.subscriber_given_name,
    )


def _patient(patient: Patient, coverage: Coverage) -> Json:
    return _known(
        lastName=patient.family_name,
        firstName=patient.given_name,
        birthDate=patient.birth_date.isoformat(),
        genderCode=GENDERS[patient.sex],
        subscriberRelationshipCode=RELATIONSHIPS[coverage.relationship],
        **_place(patient.address),
    )


def _dates(lines: tuple[ServiceLine, ...]) -> dict[str, str]:
    return {
        "fromDate": min(line.service_from for line in lines).isoformat(),
        "toDate": max(line.service_to or line.service_from for line in lines).isoformat(),
    }


def _quantity(line: ServiceLine) -> dict[str, str]:
    return {"quantity": str(line.units), "quantityTypeCode": QUANTITY_TYPES.get(line.unit_kind, UNITS)}


def _procedure(line: ServiceLine) -> Json:
    return {
        "qualifierCode": PROCEDURE,
        "code": line.code,
        **{f"modifierCode{place}": modifier for place, modifier in enumerate(line.modifiers, start=1)},
        **_quantity(line),
        **_dates((line,)),
    }


def _providers(request: Request) -> list[Json]:
    order = request.order
    found = [_clinician(ROLE_ORDERING, order.ordering)]
    if order.rendering is not None and order.rendering.npi != order.ordering.npi:
        found.append(_clinician(ROLE_RENDERING, order.rendering))
    if order.facility is not None:
        found.append(_facility(order.facility))
    return found


def _clinician(role: str, person: Provider) -> Json:
    return _known(
        roleCode=role,
        lastName=person.family_name,
        firstName=person.given_name,
        npi=person.npi,
        specialtyCode=person.taxonomy,
        phone=ten_digits(person.phone),
        fax=ten_digits(person.fax),
    )


def _facility(place: Facility) -> Json:
    return _known(
        roleCode=ROLE_FACILITY,
        lastName=place.name,
        npi=place.npi,
        **_place(place.address),
        phone=ten_digits(place.phone),
        fax=ten_digits(place.fax),
    )


def _notes(request: Request) -> list[str]:
    said = [TRACE_NOTE + request.trace]
    if request.assertion:
        said.append(ASSERTION_NOTE + request.assertion)
    return [*said, *textwrap.wrap(request.order.urgency_attestation or "", MAX_NOTE)]
