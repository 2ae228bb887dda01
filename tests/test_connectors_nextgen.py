"""NextGen: sessions, paging and quirks, over real HTTP against the sandbox and against recorded shapes."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from activities.counterparts import Counterparts
from connectors.errors import NotUnderstood, OutcomeUnknown, Refused, Unreachable
from connectors.nextgen import NextGen, NextGenAccess, NextGenSession, next_page
from connectors.tokens import TokenCache
from domain.order import AppointmentStatus
from runtime.keys import KeyRing
from tests.vendor_world import World, fhir_document, fhir_order, fhir_patient, world

EVENT = "00000000-0000-4000-8000-0000000000e1"


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        await made.plant_patient()
        yield made


@pytest.fixture
def nextgen(here: World) -> NextGen:
    return Counterparts(here.outside).nextgen(here.practice)


async def plant_visit(here: World, day: str, begin: str = "0930", **more: object) -> str:
    given = {"personId": here.patient_id, "appointmentDate": day, "beginTime": begin, "eventId": EVENT, **more}
    planted = await here.post("orders", {"appointments": [given]})
    return str(planted["appointments"][0])


async def test_a_visit_is_read_in_the_practices_time(here: World, nextgen: NextGen) -> None:
    visit = await nextgen.visit(await plant_visit(here, "2026-03-16"))
    assert visit is not None
    # 9:30 in Chicago after the change to summer time.
    assert visit.appointment.starts_at == datetime(2026, 3, 16, 14, 30, tzinfo=UTC)
    assert visit.appointment.status is AppointmentStatus.BOOKED


async def test_a_visit_that_was_moved_leads_to_the_new_one(here: World, nextgen: NextGen) -> None:
    old = await plant_visit(here, "2026-03-16")
    session = Counterparts(here.outside)._session(here.practice)
    body = {"appointmentDate": "2026-03-20", "beginTime": "1000"}
    await session.call("POST", f"appointments/{old}/reschedule", "test", writes=True, body=body)
    moved = await nextgen.visit(old)
    assert moved is not None
    assert moved.appointment.id != old
    assert moved.appointment.starts_at == datetime(2026, 3, 20, 15, 0, tzinfo=UTC)
    assert [visit.appointment.id for visit in await nextgen.visits(here.patient_id)] == [moved.appointment.id]


async def test_a_visit_that_is_gone_is_none(nextgen: NextGen) -> None:
    assert await nextgen.visit("00000000-0000-4000-8000-00000000dead") is None


async def test_a_range_of_days_is_asked_for_over_all_pages(here: World, nextgen: NextGen) -> None:
    # 30 visits, 25 a page; two lie outside of the range.
    for number in range(30):
        await plant_visit(here, f"2026-05-{number + 1:02d}")
    found = await nextgen.appointments(date(2026, 5, 2), date(2026, 5, 29))
    assert len(found) == 28
    assert {item["appointmentDate"][:10] for item in found} == {f"2026-05-{day:02d}" for day in range(2, 30)}


async def test_tokens_and_sessions_are_fetched_once_and_again_when_they_are_refused(here: World) -> None:
    nextgen = Counterparts(here.outside).nextgen(here.practice)
    await nextgen.visits(here.patient_id)
    await nextgen.visits(here.patient_id)
    assert await here.count("nextgen", "POST", "/token") == 1
    assert await here.count("nextgen", "PUT", "/login-defaults") == 1
    await here.post("tokens/revoke", None)
    await nextgen.visits(here.patient_id)
    assert await here.count("nextgen", "POST", "/token") == 2
    assert await here.count("nextgen", "PUT", "/login-defaults") == 2


async def test_a_route_that_is_not_granted_is_refused_after_one_more_session(here: World, nextgen: NextGen) -> None:
    await here.put("nextgen/routes", {"denied": ["^POST /persons/.*/documents"]})
    with pytest.raises(Refused) as refused:
        await nextgen.file_document(here.patient_id, "vigil-1", "Title", b"%PDF-")
    assert refused.value.code == "documents.write:403"


async def test_what_configuration_does_not_grant_is_not_even_tried(here: World) -> None:
    here.with_capabilities(documents__read="granted")
    nextgen = Counterparts(here.outside).nextgen(here.practice)
    with pytest.raises(Refused) as refused:
        await nextgen.file_document(here.patient_id, "vigil-1", "Title", b"%PDF-")
    assert refused.value.code == "not_granted:documents.write"
    assert await here.received("nextgen") == []


async def test_a_document_is_filed_once_and_read_back(here: World, nextgen: NextGen) -> None:
    first = await nextgen.file_document(here.patient_id, "vigil-2", "Decision", b"%PDF-1.4 synthetic")
    second = await nextgen.file_document(here.patient_id, "vigil-2", "Decision", b"%PDF-1.4 synthetic")
    assert first == second
    assert first.description == "Decision [vigil-2]"
    assert await nextgen.document_content(here.patient_id, first.id) == b"%PDF-1.4 synthetic"
    assert await here.count("nextgen", "POST", "/documents") == 1


async def test_a_create_whose_answer_is_lost_is_found_by_its_marker(here: World, nextgen: NextGen) -> None:
    await here.fault("nextgen", "^POST .*/documents", "lost")
    filed = await nextgen.file_document(here.patient_id, "vigil-3", "Decision", b"%PDF-1.4 synthetic")
    assert filed.description.endswith("[vigil-3]")
    assert len(await nextgen.items(f"persons/{here.patient_id}/chart/documents", "test")) == 1


async def test_a_create_that_failed_there_is_unknown_until_it_is_searched_again(here: World, nextgen: NextGen) -> None:
    await here.fault("nextgen", "^POST .*/documents", "500")
    with pytest.raises(OutcomeUnknown):
        await nextgen.file_document(here.patient_id, "vigil-4", "Decision", b"%PDF-1.4 synthetic")


async def test_a_locked_encounter_is_a_rule_not_a_failure(here: World) -> None:
    encounter = "00000000-0000-4000-8000-0000000000aa"
    visit = await plant_visit(here, "2026-03-16", encounterId=encounter)
    await here.put("nextgen/locks", {"encounters": [encounter]})
    session = Counterparts(here.outside)._session(here.practice)
    with pytest.raises(Refused) as refused:
        await session.call("PATCH", f"appointments/{visit}", "visit", writes=True, body={"details": "x"})
    assert refused.value.code == "visit:locked"


async def test_tasks_are_given_once_and_completed(here: World, nextgen: NextGen) -> None:
    first = await nextgen.give_task("me", "vigil-5", "Denied", "Please call", here.patient_id)
    assert await nextgen.give_task("me", "vigil-5", "Denied", "Please call", here.patient_id) == first
    assert await here.count("nextgen", "POST", "/tasks") == 1
    await nextgen.complete_task("me", first)
    [task] = await nextgen.items("users/me/tasks", "test")
    assert task["isCompleted"] is True
    assert task["priorityId"] == 1


async def test_reads_that_fail_there_may_be_tried_again(here: World, nextgen: NextGen) -> None:
    await here.fault("nextgen", "/appointments", "500")
    with pytest.raises(Unreachable):
        await nextgen.visits(here.patient_id)
    await here.fault("nextgen", "/appointments", "html")
    with pytest.raises(NotUnderstood):
        await nextgen.visits(here.patient_id)


async def test_bare_arrays_are_collections_too(here: World, nextgen: NextGen) -> None:
    assert [item["name"] for item in await nextgen.items("master/tasks/priorities", "test")] == [
        "High",
        "Normal",
        "Low",
    ]


def test_the_internal_host_of_a_next_page_is_never_called(shared: Path) -> None:
    page = json.loads((shared / "fixtures/vendors/nextgen/examples/master-list-items-page.json").read_bytes())
    assert page["nextPageLink"].startswith("http://127.0.0.1:889/")
    assert next_page(page["nextPageLink"]) == ("master/list-items", {"$skip": "25"})


async def test_the_recorded_shapes_are_read(shared: Path) -> None:
    examples = shared / "fixtures/vendors/nextgen/examples"
    detail = json.loads((examples / "get-appointment.json").read_bytes())
    routes: dict[str, Any] = {
        "/api/persons/p/appointments": json.loads((examples / "list-person-appointments.json").read_bytes()),
        "/api/persons/p/chart/documents": json.loads((examples / "list-chart-documents.json").read_bytes()),
    }
    seen: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "token_type": "Bearer", "expires_in": 3600})
        if request.url.path.endswith("/login-defaults"):
            return httpx.Response(200, headers={"x-ng-sessionid": "s"})
        assert request.headers["x-ng-sessionid"] == "s"
        return httpx.Response(200, json=routes.get(request.url.path, detail))

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        nextgen = NextGen(NextGenSession(http, _access(), TokenCache()))
        [visit] = await nextgen.visits("p")
        # Both of the recorded list lead to the one recorded detail: 8:00 on 25 April 2023, kept.
        assert visit.appointment.starts_at == datetime(2023, 4, 25, 13, 0, tzinfo=UTC)
        assert visit.appointment.status is AppointmentStatus.KEPT
        assert await nextgen.document("p", "Consent Forms") is not None
        assert await nextgen.document("p", "vigil-0") is None
    assert seen.count("/token") == 1


async def test_a_page_that_never_ends_is_given_up() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3600})
        if request.url.path.endswith("/login-defaults"):
            return httpx.Response(200, headers={"X-NG-SessionId": "s"})
        assert request.url.host == "nextgen.example"
        return httpx.Response(200, json={"Items": [{}], "NextPageLink": "http://10.0.0.1/x/api/things?$skip=25"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        nextgen = NextGen(NextGenSession(http, _access(), TokenCache()))
        with pytest.raises(Refused) as refused:
            await nextgen.items("things", "things")
    assert refused.value.code == "things:too_many"


@pytest.mark.parametrize("person_id", ["../users/me", "a/b", "x?y=1"])
async def test_an_id_stays_one_part_of_the_path(person_id: str) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 3600})
        if request.url.path.endswith("/login-defaults"):
            return httpx.Response(200, headers={"X-NG-SessionId": "s"})
        path = request.url.raw_path.decode().partition("?")[0]
        assert path.startswith("/api/persons/")
        assert path.endswith("/appointments")
        assert path.count("/") == 4
        return httpx.Response(200, json=[])

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        assert await NextGen(NextGenSession(http, _access(), TokenCache())).visits(person_id) == []


def _access() -> NextGenAccess:
    return NextGenAccess(
        base_url="https://nextgen.example/api",
        token_url="https://nextgen.example/token",
        site_id="s",
        enterprise_id="00001",
        practice_id="0001",
        client_id="c",
        secret="x",
        time_zone="America/Chicago",
        capabilities={"appointments.read": "granted", "documents.read": "granted"},
    )


async def test_orders_are_found_by_when_they_changed(here: World) -> None:
    planted = [
        {**one, "meta": {"lastUpdated": f"2026-03-0{number}T10:00:00Z"}}
        for number in (1, 2, 3)
        for one in fhir_order(here.patient_id, f"ORD-{number}")
    ]
    await here.post("orders", {"resources": planted})
    fhir = Counterparts(here.outside).nextgen_fhir(here.practice)
    first = await fhir.orders_since(datetime(2026, 3, 2, tzinfo=UTC), limit=1)
    assert [one[0]["id"] for one in first.orders] == ["sr-ORD-2"]
    assert first.more
    assert {one["resourceType"] for one in first.orders[0]} == {
        "ServiceRequest",
        "Patient",
        "Practitioner",
        "Organization",
        "Coverage",
        "Location",
        "Condition",
    }
    second = await fhir.orders_since(first.cursor, limit=5)
    assert [one[0]["id"] for one in second.orders] == ["sr-ORD-2", "sr-ORD-3"]
    assert (second.more, second.cursor) == (False, datetime(2026, 3, 3, 10, tzinfo=UTC))
    nothing = await fhir.orders_since(datetime(2026, 4, 1, tzinfo=UTC))
    assert (nothing.orders, nothing.cursor) == ((), datetime(2026, 4, 1, tzinfo=UTC))


async def test_a_search_goes_over_all_pages(here: World) -> None:
    conditions = [{"resourceType": "Condition", "id": f"c{number:03d}"} for number in range(120)]
    await here.post("orders", {"resources": [fhir_patient(here.patient_id), *conditions]})
    fhir = Counterparts(here.outside).nextgen_fhir(here.practice)
    assert len(await fhir.search("Condition", {})) == 120
    assert await fhir.read("Condition", "none") is None


async def test_documents_of_the_chart_have_kinds_and_dates(here: World) -> None:
    planted = [
        fhir_document(here.patient_id, "old", "11506-3", "2025-01-02"),
        fhir_document(here.patient_id, "new", "11506-3", "2026-02-03", docStatus="preliminary"),
        fhir_document(here.patient_id, "scan", "18748-4", "2026-01-01"),
        fhir_document(here.patient_id, "wrong", "18748-4", "2026-01-05", status="entered-in-error"),
        fhir_document(here.patient_id, "other", "8716-3", "2026-01-06"),
    ]
    await here.post("orders", {"resources": planted})
    fhir = Counterparts(here.outside).nextgen_fhir(here.practice)
    files = await fhir.files(here.patient_id)
    assert [(file.kind, file.dated, file.signed) for file in files] == [
        ("office_note", date(2026, 2, 3), False),
        ("imaging_report", date(2026, 1, 1), True),
        ("office_note", date(2025, 1, 2), True),
    ]
    assert await fhir.content(files[2]) == b"Synthetic old of 2025-01-02"


async def test_content_elsewhere_is_not_fetched_with_our_token(here: World) -> None:
    elsewhere = [{"attachment": {"contentType": "text/plain", "url": "https://elsewhere.example/steal"}}]
    planted = fhir_document(here.patient_id, "far", "11506-3", "2026-01-02", content=elsewhere)
    await here.post("orders", {"resources": [planted]})
    fhir = Counterparts(here.outside).nextgen_fhir(here.practice)
    [file] = await fhir.files(here.patient_id)
    assert await fhir.content(file) is None


async def test_content_in_the_record_is_fetched(here: World, nextgen: NextGen) -> None:
    filed = await nextgen.file_document(here.patient_id, "vigil-9", "Note", b"%PDF-1.4 note")
    url = f"{here.practice.ehr.base_url}/persons/{here.patient_id}/chart/documents/{filed.id}/pdf"
    content = [{"attachment": {"contentType": "application/pdf", "url": url}}]
    await here.post(
        "orders", {"resources": [fhir_document(here.patient_id, "own", "11506-3", "2026-01-02", content=content)]}
    )
    fhir = Counterparts(here.outside).nextgen_fhir(here.practice)
    [file] = await fhir.files(here.patient_id)
    assert await fhir.content(file) == b"%PDF-1.4 note"
