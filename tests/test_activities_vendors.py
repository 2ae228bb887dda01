"""The activities on NextGen, Luma, check-in and eligibility, run as Temporal runs them, against the sandbox."""

import base64
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.chart import ChartActivities
from activities.check_in import CheckInActivities
from activities.counterparts import Counterparts, marker
from activities.coverage import CoverageActivities
from activities.intake import Intake
from activities.patient import PatientActivities
from activities.provider import ProviderActivities
from activities.schedule import ScheduleActivities
from domain.actions import (
    Action,
    DocumentInChart,
    GatherDocuments,
    NotifyPatient,
    NotifyProvider,
    PostResponsibility,
    ReadAppointment,
    VerifyCoverage,
)
from domain.calendars import quiet_until
from domain.facts import CoverageStatus, read_fact, write_fact
from domain.order import AppointmentStatus
from runtime.keys import KeyRing
from tests.vendor_world import CASE, NOW, World, fhir_document, fhir_order, fhir_patient, order, world

RTF = {"contentType": "text/rtf", "data": "e30="}


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        yield made


async def run(work: Callable[..., Any], action: Action) -> Any:
    """The only fact that came of it, after a trip through its own JSON; None where none came."""
    facts = await ActivityEnvironment().run(work, action)
    assert all(read_fact(write_fact(fact)) == fact for fact in facts)
    assert all(fact.occurred_at == NOW and fact.by.startswith("system:") for fact in facts)
    assert len(facts) <= 1
    return facts[0] if facts else None


async def fails(work: Callable[..., Any], action: Action) -> tuple[str | None, str]:
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(work, action)
    return failed.value.type, failed.value.message


def common(here: World, key: str = "cause/1/1") -> dict[str, Any]:
    return {"key": key, "practice": here.practice.id, "case_id": CASE, "now": NOW}


# --- coverage ------------------------------------------------------------------------------------------------------


def verify(here: World, member_id: str) -> VerifyCoverage:
    return VerifyCoverage(
        **common(here), order=order(here.practice.id, here.patient_id, member_id), rank=1, eligibility_payer="60054"
    )


async def test_coverage_is_verified_and_the_raw_answer_kept(here: World) -> None:
    fact = await run(CoverageActivities(here.outside).verify_coverage, verify(here, "MBR0000100"))
    assert fact.kind == "coverage_verified"
    assert (fact.rank, fact.status, fact.plan_name) == (1, CoverageStatus.ACTIVE, "Synthetic Plan")
    assert fact.benefits.copay_cents == 40_00
    assert fact.benefits.deductible_left_cents == 400_00
    assert fact.benefits.out_of_pocket_left_cents == 4100_00
    assert fact.benefits.coinsurance_basis_points == 2000
    assert fact.authorization_indicator == "Y"
    assert b'"benefitsInformation"' in await here.outside.documents.get(here.practice.id, fact.raw.id)


@pytest.mark.parametrize(
    ("member_id", "status"),
    [("MBR0000000", CoverageStatus.INACTIVE), ("MBR0000001", CoverageStatus.NOT_FOUND)],
)
async def test_coverage_that_does_not_hold(here: World, member_id: str, status: CoverageStatus) -> None:
    fact = await run(CoverageActivities(here.outside).verify_coverage, verify(here, member_id))
    assert fact.status is status


async def test_a_payer_that_cannot_answer_now_is_asked_again(here: World) -> None:
    failed = await fails(CoverageActivities(here.outside).verify_coverage, verify(here, "MBR0000002"))
    assert failed == ("Exhausted", "eligibility:aaa_42")


@pytest.mark.parametrize("fault", ["html", "truncated"])
async def test_an_answer_that_cannot_be_read_is_unclear_and_kept(here: World, fault: str) -> None:
    await here.fault("stedi", "", fault)
    fact = await run(CoverageActivities(here.outside).verify_coverage, verify(here, "MBR0000100"))
    assert fact.status is CoverageStatus.UNCLEAR
    assert fact.errors
    assert await here.outside.documents.get(here.practice.id, fact.raw.id)


async def test_a_missing_secret_is_refused(here: World) -> None:
    here.replace(eligibility=here.practice.eligibility.model_copy(update={"key": "not-there"}))
    failed = await fails(CoverageActivities(here.outside).verify_coverage, verify(here, "MBR0000100"))
    assert failed == ("Refused", "MissingSecret")


# --- chart ---------------------------------------------------------------------------------------------------------


async def test_documents_are_gathered_newest_and_signed_first(here: World) -> None:
    await here.plant_patient()
    planted = [
        fhir_document(here.patient_id, "a", "11506-3", "2025-01-02"),
        fhir_document(here.patient_id, "b", "11506-3", "2026-01-02"),
        fhir_document(here.patient_id, "c", "34117-2", "2026-02-02"),
        fhir_document(here.patient_id, "d", "11506-3", "2026-02-20", docStatus="preliminary"),
        fhir_document(here.patient_id, "e", "18748-4", "2026-02-21"),
        fhir_document(here.patient_id, "f", "57133-1", "2026-02-22", content=[{"attachment": RTF}]),
    ]
    await here.post("orders", {"resources": planted})
    action = GatherDocuments(
        **common(here), patient_id=here.patient_id, wanted=("office_note", "referral", "conservative_therapy")
    )
    fact = await run(ChartActivities(here.outside).gather_documents, action)
    assert fact.searched == action.wanted
    assert [(one.kind, one.dated, one.signed) for one in fact.documents] == [
        ("office_note", date(2026, 2, 2), True),
        ("office_note", date(2026, 1, 2), True),
    ]
    assert await here.outside.documents.get(here.practice.id, fact.documents[0].id) == b"Synthetic c of 2026-02-02"


async def test_an_unsigned_note_is_said_to_be_unsigned(here: World) -> None:
    await here.plant_patient()
    planted = [fhir_document(here.patient_id, "d", "11506-3", "2026-02-20", docStatus="preliminary")]
    await here.post("orders", {"resources": planted})
    action = GatherDocuments(**common(here), patient_id=here.patient_id, wanted=("office_note",))
    fact = await run(ChartActivities(here.outside).gather_documents, action)
    assert [one.signed for one in fact.documents] == [False]


def file_entry(here: World, key: str = "document_in_chart/decision/7/1", cause: str = "f7") -> DocumentInChart:
    return DocumentInChart(
        **common(here, key),
        entry="decision",
        cause=cause,
        patient_id=here.patient_id,
        title="The payer decided on the request",
        lines=("Order ORD-1.", "Numbers: A123 (certification)."),
    )


async def test_an_event_is_filed_once_and_read_back(here: World) -> None:
    await here.plant_patient()
    chart = ChartActivities(here.outside)
    first = await run(chart.document_in_chart, file_entry(here))
    again = await run(chart.document_in_chart, file_entry(here, "document_in_chart/decision/7/2"))
    other = await run(chart.document_in_chart, file_entry(here, "document_in_chart/decision/9/1", cause="f9"))
    assert first.receipt.kind == "read_back"
    assert first.receipt == again.receipt
    assert first.source_id != again.source_id
    assert other.receipt != first.receipt
    answer = await here.control.get(f"/control/practices/{here.practice.id}/documents")
    filed = {one["id"]: one for one in answer.json()["items"]}
    assert set(filed) == {first.receipt.reference, other.receipt.reference}
    content = base64.b64decode(filed[first.receipt.reference]["content"])
    assert content.startswith(b"%PDF-")
    assert b"Numbers: A123 \\(certification\\)." in content
    assert CASE.encode() in content


async def test_filing_that_was_cut_off_is_not_repeated(here: World) -> None:
    await here.plant_patient()
    await here.fault("nextgen", "^POST .*/documents", "lost")
    await run(ChartActivities(here.outside).document_in_chart, file_entry(here))
    answer = await here.control.get(f"/control/practices/{here.practice.id}/documents")
    assert len(answer.json()["items"]) == 1


async def test_filing_that_may_have_failed_is_ambiguous(here: World) -> None:
    await here.plant_patient()
    await here.fault("nextgen", "^POST .*/documents", "500")
    assert await fails(ChartActivities(here.outside).document_in_chart, file_entry(here)) == ("Ambiguous", "500")


async def test_filing_that_is_not_granted_is_a_persons(here: World) -> None:
    await here.plant_patient()
    here.with_capabilities(documents__read="granted", documents__write="off")
    failed = await fails(ChartActivities(here.outside).document_in_chart, file_entry(here))
    assert failed == ("Refused", "not_granted:documents.write")


# --- people --------------------------------------------------------------------------------------------------------


def tell_provider(here: World) -> NotifyProvider:
    return NotifyProvider(
        **common(here), message="denied", cause="f5", order=here.order(), title="Denied", lines=("Line 1: denied.",)
    )


async def test_the_provider_is_told_once(here: World) -> None:
    await here.plant_patient()
    provider = ProviderActivities(here.outside)
    first = await run(provider.notify_provider, tell_provider(here))
    assert first.receipt == (await run(provider.notify_provider, tell_provider(here))).receipt
    assert (first.message, first.cause, first.receipt.kind) == ("denied", "f5", "read_back")
    assert await here.count("nextgen", "POST", "/tasks") == 1


async def test_where_tasks_are_off_a_person_tells_the_provider(here: World) -> None:
    here.with_capabilities(tasks__write="off")
    failed = await fails(ProviderActivities(here.outside).notify_provider, tell_provider(here))
    assert failed == ("Refused", "not_granted:tasks.write")


def tell_patient(here: World, **changes: Any) -> NotifyPatient:
    given = {**common(here), "message": "approved", "cause": "f6", "order": here.order(), **changes}
    return NotifyPatient(**given)


async def test_the_patient_is_told_once_with_proof(here: World) -> None:
    await here.plant_patient()
    patient = PatientActivities(here.outside)
    first = await run(patient.notify_patient, tell_patient(here))
    second = await run(patient.notify_patient, tell_patient(here, key="cause/1/2"))
    assert (first.message, first.cause, first.channel) == ("approved", "f6", "message")
    assert first.receipt.kind == "http_id"
    assert first.receipt.reference.split() == [second.receipt.reference.split()[0], "sent"]
    assert await here.count("luma", "POST", "/messages") == 1
    [sent] = [one for one in await here.received("luma") if one["method"] == "POST" and "message" in one["ids"]]
    assert sent["ids"]["external_id"] == marker(CASE, "patient", "approved", "f6")


async def test_a_patient_who_did_not_consent_is_not_even_looked_up(here: World) -> None:
    silent = here.order().patient.model_copy(update={"may_be_messaged": False})
    action = tell_patient(here, order=here.order(patient=silent))
    assert await fails(PatientActivities(here.outside).notify_patient, action) == ("Refused", "no_consent")
    assert await here.received("luma") == []


async def test_a_patient_who_opted_out_at_luma_is_called(here: World) -> None:
    await here.plant_patient(doNotContact=True)
    failed = await fails(PatientActivities(here.outside).notify_patient, tell_patient(here))
    assert failed == ("Refused", "do_not_contact")
    assert await here.count("luma", "POST", "/messages") == 0


async def test_a_message_that_was_skipped_is_no_proof(here: World) -> None:
    await here.plant_patient()
    patient = PatientActivities(here.outside)
    await run(patient.notify_patient, tell_patient(here))
    await here.plant_patient(doNotContact=True)
    await here.post("clock", {"days": 1, "to": None})
    failed = await fails(patient.notify_patient, tell_patient(here, key="cause/1/2"))
    assert failed == ("Refused", "skipped:do-not-contact")


async def test_nobody_is_woken(here: World) -> None:
    action = tell_patient(here, now=NOW.replace(hour=4))
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(PatientActivities(here.outside).notify_patient, action)
    assert (failed.value.type, failed.value.message) == ("Exhausted", "quiet_hours")
    assert failed.value.next_retry_delay == timedelta(hours=10)
    assert await here.received("luma") == []


def test_quiet_hours_may_span_midnight_and_follow_the_local_clock() -> None:
    # At the change to summer time the night is an hour shorter.
    chicago, night = ZoneInfo("America/Chicago"), (time(20), time(8))
    assert quiet_until(datetime(2026, 3, 2, 14, 0, tzinfo=UTC), *night, chicago) is None
    assert quiet_until(datetime(2026, 3, 2, 13, 59, tzinfo=UTC), *night, chicago) == datetime(
        2026, 3, 2, 14, 0, tzinfo=UTC
    )
    assert quiet_until(datetime(2026, 3, 8, 2, 0, tzinfo=UTC), *night, chicago) == datetime(
        2026, 3, 8, 13, 0, tzinfo=UTC
    )
    noon = (time(12), time(13))
    assert quiet_until(datetime(2026, 3, 2, 18, 15, tzinfo=UTC), *noon, chicago) == datetime(
        2026, 3, 2, 19, 0, tzinfo=UTC
    )
    assert quiet_until(datetime(2026, 3, 2, 19, 0, tzinfo=UTC), *noon, chicago) is None


# --- schedule and check-in -----------------------------------------------------------------------------------------


async def plant_visit(here: World, day: str, **more: object) -> str:
    given = {"personId": here.patient_id, "appointmentDate": day, "beginTime": "0930", **more}
    planted = await here.post("orders", {"appointments": [given]})
    return str(planted["appointments"][0])


def look(here: World, appointment_id: str | None) -> ReadAppointment:
    return ReadAppointment(
        **common(here), appointment_id=appointment_id, patient_id=here.patient_id, service_from=date(2026, 3, 16)
    )


async def test_a_visit_is_reported_as_it_stands_and_once_for_each_state(here: World) -> None:
    await here.plant_patient()
    visit = await plant_visit(here, "2026-03-16")
    schedule = ScheduleActivities(here.outside)
    first = await run(schedule.read_appointment, look(here, visit))
    assert first.appointment.id == visit
    assert first.appointment.starts_at == datetime(2026, 3, 16, 14, 30, tzinfo=UTC)
    same = await run(schedule.read_appointment, look(here, visit))
    assert same.source_id == first.source_id
    base = f"{here.url}/nextgen/nge-api/api/appointments/{visit}"
    await _rest(here, "PUT", f"{base}/kept")
    kept = await run(schedule.read_appointment, look(here, visit))
    assert kept.appointment.status is AppointmentStatus.KEPT
    assert kept.source_id != first.source_id


async def _rest(here: World, method: str, url: str) -> None:
    await Counterparts(here.outside)._session(here.practice).call(method, url, "test", writes=True)


async def test_a_visit_that_vanished_was_cancelled(here: World) -> None:
    await here.plant_patient()
    fact = await run(
        ScheduleActivities(here.outside).read_appointment, look(here, "00000000-0000-4000-8000-00000000dead")
    )
    assert fact.appointment.status is AppointmentStatus.CANCELLED


async def test_an_unknown_visit_is_found_on_its_day_or_as_the_only_one(here: World) -> None:
    await here.plant_patient()
    schedule = ScheduleActivities(here.outside)
    assert await run(schedule.read_appointment, look(here, None)) is None
    later = await plant_visit(here, "2026-04-01")
    found = await run(schedule.read_appointment, look(here, None))
    assert found.appointment.id == later
    await plant_visit(here, "2026-04-02")
    assert await run(schedule.read_appointment, look(here, None)) is None
    on_the_day = await plant_visit(here, "2026-03-16")
    found = await run(schedule.read_appointment, look(here, None))
    assert found.appointment.id == on_the_day


def post(here: World, copay: int | None, estimate: int | None = None) -> PostResponsibility:
    return PostResponsibility(
        **common(here),
        cause="f3",
        patient_id=here.patient_id,
        visit_id=None,
        visit_on=date(2026, 3, 16),
        copay_cents=copay,
        deductible_cents=None,
        coinsurance_cents=estimate,
        as_of=NOW,
    )


async def test_what_the_patient_owes_is_posted_and_read_back(here: World) -> None:
    check_in = CheckInActivities(here.outside)
    fact = await run(check_in.post_responsibility, post(here, 4000, 1500))
    assert (fact.total_cents, fact.receipt.kind) == (5500, "read_back")
    again = await run(check_in.post_responsibility, post(here, 4000, 1500))
    assert again.receipt == fact.receipt
    puts = [one["status"] for one in await here.received("clearwave") if one["method"] == "PUT"]
    assert puts == [201, 200]


async def test_an_unknown_amount_is_never_posted_as_nothing(here: World) -> None:
    failed = await fails(CheckInActivities(here.outside).post_responsibility, post(here, None))
    assert failed == ("Refused", "no_amount_known")
    assert await here.received("clearwave") == []


# --- intake --------------------------------------------------------------------------------------------------------


async def test_a_sweep_brings_orders_cancellations_and_what_is_missing(here: World) -> None:
    planted = [
        *fhir_order(here.patient_id, "ORD-1"),
        *fhir_order(here.patient_id, "ORD-2", status="revoked"),
        *fhir_order(here.patient_id, "ORD-3", occurrenceDateTime=None),
        *fhir_order(here.patient_id, "ORD-4", status="completed"),
        fhir_patient(here.patient_id),
    ]
    await here.post("orders", {"resources": planted})
    intake = Intake(here.outside, lambda: {"merid": "meridian-ppo"})
    sweep = await intake.sweep_orders(here.practice.id, NOW - timedelta(days=1), now=NOW)
    assert [(one.number, one.source, one.patient.id) for one in sweep.orders] == [("ORD-1", "nextgen", here.patient_id)]
    assert sweep.cancelled == ("ORD-2",)
    [unreadable] = sweep.unreadable
    assert (unreadable.number, [one.field for one in unreadable.missing]) == (
        "ORD-3",
        ["ServiceRequest.occurrence[x]"],
    )
    assert (sweep.more, sweep.cursor > NOW - timedelta(days=1)) == (False, True)


async def test_two_practices_do_not_see_each_other(
    here: World, sandbox_url: str, keyring: KeyRing, tmp_path: Path
) -> None:
    await here.post("orders", {"resources": [*fhir_order(here.patient_id, "ORD-1"), fhir_patient(here.patient_id)]})
    async with world(sandbox_url, keyring, tmp_path) as other:
        sweep = await Intake(other.outside).sweep_orders(other.practice.id, NOW - timedelta(days=1))
    assert sweep.orders == ()
    assert sweep.cursor == NOW - timedelta(days=1)
