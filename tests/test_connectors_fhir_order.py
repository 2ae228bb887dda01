"""An order out of FHIR: what is read, and what is said to be missing, to whom."""

import copy
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.fhir_order import OrderUnreadable, category_of, order_from_fhir
from domain.order import Category, Relationship, Sex, Urgency
from tests.vendor_world import NPI_SYSTEM, fhir_order, fhir_patient

PATIENT = "6f1c1f0e-0000-4000-8000-000000000001"


def resources(**request: object) -> list[dict[str, Any]]:
    return [*fhir_order(PATIENT, "ORD-7", **request), fhir_patient(PATIENT)]


def of_type(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(one for one in found if one["resourceType"] == kind)


def missing(found: list[dict[str, Any]]) -> dict[str, str]:
    with pytest.raises(OrderUnreadable) as unreadable:
        order_from_fhir(found, "lakeside", "nextgen")
    assert all(one.why for one in unreadable.value.missing)
    return {one.field: one.who for one in unreadable.value.missing}


def test_an_order_is_read_whole() -> None:
    order = order_from_fhir(resources(), "lakeside", "nextgen", payers={"merid": "meridian-ppo"})
    assert (order.practice, order.source, order.number) == ("lakeside", "nextgen", "ORD-7")
    assert order.ordered_at == datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
    assert (order.patient.id, order.patient.sex, order.patient.language) == (PATIENT, Sex.FEMALE, "es")
    assert order.patient.address is not None
    assert order.patient.address.postal_code == "62701-0001"
    assert (order.primary.payer, order.primary.member_id, order.primary.group_number) == (
        "meridian-ppo",
        "MBR0000100",
        "VGL-1000",
    )
    assert (order.ordering.npi, order.ordering.family_name) == ("1999999984", "Ordering")
    assert order.facility is not None
    assert order.facility.name == "Lakeside EMG Room"
    assert order.diagnoses == ("G56.01",)
    [line] = order.lines
    assert (line.code, line.category, line.units, line.service_from, line.label) == (
        "95886",
        Category.EMG,
        2,
        date(2026, 3, 16),
        "EMG, two limbs",
    )


def test_a_bundle_with_urns_is_read_as_well() -> None:
    found = resources(subject={"reference": "urn:uuid:1"}, requester={"reference": "urn:uuid:2"})
    urls = {"Patient": "urn:uuid:1", "Practitioner": "urn:uuid:2"}
    entries = [
        {
            "fullUrl": urls.get(one["resourceType"], f"https://ehr.example/{one['resourceType']}/{one['id']}"),
            "resource": one,
        }
        for one in found
    ]
    order = order_from_fhir({"resourceType": "Bundle", "type": "collection", "entry": entries}, "lakeside", "portal")
    assert order.patient.family_name == "Sample"
    assert order.diagnoses == ("G56.01",)


def test_a_contained_clinician_is_found() -> None:
    found = resources(requester={"reference": "#me"})
    practitioner = of_type(found, "Practitioner")
    found[0]["contained"] = [{**practitioner, "id": "me"}]
    found.remove(practitioner)
    assert order_from_fhir(found, "lakeside", "nextgen").ordering.npi == "1999999984"


def test_a_payer_that_nobody_mapped_gets_an_id_of_its_name() -> None:
    assert order_from_fhir(resources(), "lakeside", "nextgen").primary.payer == "meridian-ppo"


def test_requests_of_one_requisition_are_lines_of_one_order_and_keep_their_numbers() -> None:
    requisition = {"value": "REQ-1"}
    found = resources(requisition=requisition)
    codes = [("a", "93970", "revoked"), ("b", "93971", "active")]
    for name, code, status in codes:
        coding = [{"system": "http://www.ama-assn.org/go/cpt", "code": code}]
        found.append({**found[0], "id": f"sr-ORD-7{name}", "code": {"coding": coding}, "status": status})
    order = order_from_fhir(found, "lakeside", "nextgen")
    assert order.number == "REQ-1"
    assert [(line.number, line.code) for line in order.lines] == [(1, "95886"), (3, "93971")]


def test_everything_that_is_missing_is_said_at_once() -> None:
    found = resources(code={"text": "nerve test"}, reasonReference=[], occurrenceDateTime=None, authoredOn=None)
    patient, coverage = of_type(found, "Patient"), of_type(found, "Coverage")
    del patient["birthDate"], coverage["subscriberId"]
    of_type(found, "Practitioner")["identifier"] = [{"system": NPI_SYSTEM, "value": "1999999985"}]
    assert missing(found) == {
        "ServiceRequest.authoredOn": "ordering_provider",
        "Patient.birthDate": "front_desk",
        "Coverage[1].subscriberId": "front_desk",
        "Practitioner.identifier": "billing",
        "ServiceRequest.reasonCode": "ordering_provider",
        "ServiceRequest.code": "billing",
        "ServiceRequest.occurrence[x]": "front_desk",
    }


def test_an_order_without_its_resources_says_which() -> None:
    assert missing(fhir_order(PATIENT, "ORD-7")[:1]) == {
        "ServiceRequest.subject": "front_desk",
        "Coverage": "front_desk",
        "ServiceRequest.requester": "ordering_provider",
        "ServiceRequest.reasonCode": "ordering_provider",
    }
    assert missing([fhir_patient(PATIENT)]) == {"ServiceRequest": "ordering_provider"}


def test_two_orders_are_not_mixed() -> None:
    assert missing([*resources(), fhir_order(PATIENT, "ORD-8")[0]]) == {"ServiceRequest.requisition": "front_desk"}


def test_an_urgent_order_needs_the_clinicians_words() -> None:
    assert missing(resources(priority="asap")) == {"ServiceRequest.note": "ordering_provider"}
    order = order_from_fhir(resources(priority="stat", note=[{"text": "Foot drop since today"}]), "lakeside", "nextgen")
    assert (order.urgency, order.urgency_attestation) == (Urgency.STAT, "Foot drop since today")


def test_a_child_on_a_parents_plan_needs_the_parent() -> None:
    found = resources()
    coverage = of_type(found, "Coverage")
    coverage["relationship"] = {"coding": [{"code": "child"}]}
    assert missing(found) == {"Coverage[1].subscriber": "front_desk"}
    coverage["subscriber"] = {"reference": "RelatedPerson/parent"}
    name = [{"family": "Sample", "given": ["Robin"]}]
    found.append({"resourceType": "RelatedPerson", "id": "parent", "name": name, "birthDate": "1950-01-02"})
    primary = order_from_fhir(found, "lakeside", "nextgen").primary
    assert (primary.relationship, primary.subscriber_given_name) == (Relationship.CHILD, "Robin")


def test_coverages_are_ranked_by_their_order_and_ended_ones_left_out() -> None:
    found = resources()
    first = of_type(found, "Coverage")
    found.append({**first, "id": "c2", "order": 1, "subscriberId": "FIRST1"})
    found.append({**first, "id": "c3", "order": 1, "subscriberId": "GONE01", "status": "cancelled"})
    first["order"] = 2
    order = order_from_fhir(found, "lakeside", "nextgen")
    assert [(one.rank, one.member_id) for one in order.coverages] == [(1, "FIRST1"), (2, "MBR0000100")]


def test_what_the_domain_refuses_is_named_without_its_value() -> None:
    found = resources()
    of_type(found, "Coverage")["subscriberId"] = "??"
    with pytest.raises(OrderUnreadable) as unreadable:
        order_from_fhir(found, "lakeside", "nextgen")
    assert unreadable.value.missing[0].field == "coverages[0].member_id"
    assert "??" not in unreadable.value.missing[0].why


@pytest.mark.parametrize(
    "junk", [{}, [], {"resourceType": "Bundle", "entry": "no"}, [{"resourceType": "ServiceRequest"}]]
)
def test_junk_is_an_unreadable_order_not_a_crash(junk: Any) -> None:
    with pytest.raises(OrderUnreadable):
        order_from_fhir(junk, "lakeside", "nextgen")


def test_fields_of_the_wrong_shape_read_as_missing() -> None:
    found = resources(subject="nobody", code=7, requester=[1], reasonReference={"a": 1}, occurrenceDateTime={"x": 1})
    with pytest.raises(OrderUnreadable):
        order_from_fhir(found, "lakeside", "nextgen")


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, True, "", "junk", [], [1], [[]], {}, {"a": 1}, [{"coding": 1}], {"reference": 7}]
)


@given(st.data())
def test_no_answer_however_odd_does_more_than_lack_something(data: st.DataObject) -> None:
    found = copy.deepcopy(resources(note=[{"text": "x"}], performer=[{"reference": "Practitioner/prac-ORD-7"}]))
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = data.draw(st.sampled_from(found))
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
                place[key] = data.draw(JUNK)
                break
            place = inner
    # Anything but an order or this error is a failure of the test.
    with suppress(OrderUnreadable):
        assert order_from_fhir(found, "lakeside", "nextgen").lines


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("95886", Category.EMG),
        ("93971", Category.VENOUS_DOPPLER),
        ("73700", Category.CT),
        ("78306", Category.BONE_SCAN),
        ("99203", Category.CONSULT),
        ("29881", Category.OTHER),
        ("A4550", Category.OTHER),
    ],
)
def test_categories(code: str, category: Category) -> None:
    assert category_of(code) is category
