"""The sandbox's NextGen, REST and FHIR, with its quirks, over real HTTP."""

import base64
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

Json = dict[str, Any]
NOW = "2026-03-03T15:00:00Z"
API = "/nextgen/nge-api/api"
FHIR = "/nextgen/fhir/R4"
EVENT = "00000000-0000-4000-8000-00000000e001"


class Ehr:
    """A practice at NextGen with one person."""

    def __init__(self, url: str) -> None:
        self.practice = f"t{uuid.uuid4().hex[:12]}"
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=10, headers={"x-vigil-now": NOW})
        form = {
            "grant_type": "client_credentials",
            "client_id": self.practice,
            "client_secret": "any",
            "site_id": "test-1",
        }
        token = self.http.post("/nextgen/nge-oauth/token", data=form).raise_for_status().json()
        self.http.headers["authorization"] = f"Bearer {token['access_token']}"
        chosen = {"enterpriseId": "00001", "practiceId": "0001"}
        session = self.http.put(f"{API}/users/me/login-defaults", json=chosen).raise_for_status()
        self.http.headers["x-ng-sessionid"] = session.headers["x-ng-sessionid"]
        self.person = str(uuid.uuid4())
        patient = {
            "resourceType": "Patient",
            "id": self.person,
            "name": [{"family": "Testperson", "given": ["Robin"]}],
            "birthDate": "1970-02-03",
        }
        self.plant(resources=[patient])

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, f"/control/practices/{self.practice}/{path}", json=body).raise_for_status()
        return answer.json() if answer.content else None

    def plant(self, **what: list[Json]) -> Any:
        return self.control("POST", "orders", what)

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.http.get(f"{API}{path}", params=query)

    def send(self, method: str, path: str, body: Json) -> httpx.Response:
        return self.http.request(method, f"{API}{path}", json=body)


@pytest.fixture
def ehr(sandbox_url: str) -> Iterator[Ehr]:
    made = Ehr(sandbox_url)
    yield made
    made.http.close()


def test_every_call_needs_token_and_session(ehr: Ehr) -> None:
    no_session = ehr.http.get(f"{API}/appointments", headers={"x-ng-sessionid": "stale"})
    assert (no_session.status_code, no_session.content) == (403, b"")
    no_token = ehr.http.get(f"{API}/appointments", headers={"authorization": "Bearer stale"})
    assert (no_token.status_code, no_token.content) == (401, b"")
    form = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "any"}
    assert ehr.http.post("/nextgen/nge-oauth/token", data=form).status_code == 400


def test_pages_link_to_a_host_that_nobody_can_reach(ehr: Ehr) -> None:
    ehr.plant(tasks=[{"userId": "14", "subject": f"order {number:02d}"} for number in range(30)])
    first = ehr.get("/users/14/tasks", **{"$orderby": "subject desc"}).json()
    assert len(first["items"]) == 25
    link = urlsplit(first["nextPageLink"])
    assert (link.hostname, link.port) == ("127.0.0.1", 889)
    assert "/NextGen.Api.Edge/" in link.path
    second = ehr.get(link.path.partition("/api")[2], **dict(parse_qsl(link.query))).json()
    assert [item["subject"] for item in second["items"]] == [f"order {number:02d}" for number in (4, 3, 2, 1, 0)]
    assert second["nextPageLink"] is None


def test_some_collections_are_bare_arrays(ehr: Ehr) -> None:
    ehr.plant(insurances=[{"personId": ehr.person, "payerName": "Meridian PPO"}])
    assert ehr.get(f"/persons/{ehr.person}/chart").json()[0]["personId"] == ehr.person
    assert ehr.get(f"/persons/{ehr.person}/insurances").json()[0]["payerName"] == "Meridian PPO"
    assert [entry["name"] for entry in ehr.get("/master/tasks/priorities").json()] == ["High", "Normal", "Low"]
    assert ehr.get("/master/tasks/categories").json()["count"] is None


def test_errors_have_nextgens_shapes(ehr: Ehr) -> None:
    wrong = ehr.get("/persons/id-4")
    assert (wrong.status_code, wrong.json()) == (400, {"message": "The value 'id-4' is not valid for Guid."})
    missing = ehr.get(f"/persons/{uuid.uuid4()}")
    assert (missing.status_code, missing.content) == (404, b"")
    assert ehr.get("/appointments", **{"$filter": "whatever"}).status_code == 400
    assert ehr.get("/persons/lookup").json()["message"].startswith("Argument criteria cannot be null.")
    found = ehr.get("/persons/lookup", lastName="testperson", dateOfBirth="1970-02-03").json()
    assert [item["id"] for item in found["items"]] == [ehr.person]


def test_appointments_are_those_of_the_next_week_unless_filtered(ehr: Ehr) -> None:
    days = ("2026-03-02", "2026-03-05", "2026-03-20")
    ehr.plant(appointments=[{"personId": ehr.person, "appointmentDate": day, "eventId": EVENT} for day in days])
    near = ehr.get("/appointments").json()["items"]
    assert [item["appointmentDate"] for item in near] == ["2026-03-05T00:00:00"]
    wanted = "appointmentDate ge datetime'2026-03-05T00:00:00' and isCancelled eq false"
    far = ehr.get("/appointments", **{"$filter": wanted, "$orderby": "appointmentDate"}).json()["items"]
    assert [item["appointmentDate"][:10] for item in far] == ["2026-03-05", "2026-03-20"]
    assert len(ehr.get(f"/persons/{ehr.person}/appointments").json()["items"]) == 3


def test_an_appointment_is_created_moved_and_cancelled(ehr: Ehr) -> None:
    body = {"personId": ehr.person, "eventId": EVENT, "appointmentDate": "2026-03-05", "beginTime": "0900"}
    made = ehr.send("POST", "/appointments", body)
    assert (made.status_code, made.content) == (201, b"")
    assert ehr.send("POST", "/appointments", body).status_code == 409
    (item,) = ehr.get("/appointments").json()["items"]
    path = f"/appointments/{item['appointmentId']}"
    assert ehr.send("POST", f"{path}/reschedule", {"appointmentDate": "2026-03-20"}).status_code == 200
    old = ehr.get(path).json()
    assert old["isRescheduled"] is True
    fresh = f"/appointments/{old['rescheduledAppointmentId']}"
    assert ehr.get(fresh).json()["appointmentDate"] == "2026-03-20T00:00:00"
    assert ehr.send("PATCH", fresh, {"beginTime": "1030"}).status_code == 204
    assert ehr.send("PATCH", fresh, {"isKept": True}).status_code == 400
    reason = ehr.get("/master/list-items", **{"$filter": "type eq 'as_cancel_reason'"}).json()["items"][0]["id"]
    assert ehr.send("POST", f"{fresh}/cancel", {"cancelReasonId": reason}).status_code == 204
    end = ehr.get(fresh).json()
    assert (end["isCancelled"], end["beginTime"]) == (True, "1030")


def test_a_document_is_added_and_read_back(ehr: Ehr) -> None:
    path = f"/persons/{ehr.person}/chart/documents"
    content = base64.b64encode(b"%PDF-1.4 synthetic").decode()
    body = {"description": "Authorization case-1", "contentType": "application/pdf", "content": content}
    made = ehr.send("POST", path, body)
    assert (made.status_code, made.content) == (201, b"")
    (item,) = ehr.get(path, **{"$filter": "substringof('case-1', description)"}).json()["items"]
    assert "content" not in item
    assert ehr.get(f"{path}/{item['id']}").json()["description"] == "Authorization case-1"
    assert ehr.get(f"{path}/{item['id']}/pdf").content == b"%PDF-1.4 synthetic"
    effects = ehr.control("GET", "received")["effects"]
    assert [entry["description"] for entry in effects["documents"]] == ["Authorization case-1"]


def test_locked_encounters_and_missing_grants(ehr: Ehr) -> None:
    path = f"/persons/{ehr.person}/chart/documents"
    encounter = str(uuid.uuid4())
    ehr.control("PUT", "nextgen/locks", {"encounters": [encounter]})
    body = {"description": "x", "contentType": "application/pdf", "content": "JVBERg==", "encounterId": encounter}
    locked = ehr.send("POST", path, body)
    assert (locked.status_code, locked.json()["message"]) == (400, f"The encounter '{encounter}' is locked.")
    ehr.control("PUT", "nextgen/routes", {"denied": ["POST /persons/.*/documents"]})
    denied = ehr.send("POST", path, {**body, "encounterId": None})
    assert (denied.status_code, denied.content) == (403, b"")
    assert ehr.get(path).json()["items"] == []


def test_a_task_is_created_and_completed(ehr: Ehr) -> None:
    assert ehr.send("POST", "/users/14/tasks", {"subject": "Call the plan", "priorityId": 1}).status_code == 201
    (item,) = ehr.get("/users/14/tasks", **{"$filter": "isCompleted eq false"}).json()["items"]
    assert ehr.send("PUT", f"/users/14/tasks/{item['id']}", {"isCompleted": True}).status_code == 204
    assert ehr.get(f"/users/14/tasks/{item['id']}").json()["isCompleted"] is True
    assert ehr.get(f"/users/15/tasks/{item['id']}").status_code == 404
    assert ehr.send("POST", "/users/14/tasks", {"subject": "x", "priorityId": 9}).status_code == 400


def order(number: int, updated: str, patient: str) -> Json:
    return {
        "resourceType": "ServiceRequest",
        "id": f"order-{number:03d}",
        "meta": {"lastUpdated": updated},
        "status": "active",
        "intent": "order",
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "95886"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "authoredOn": updated[:10],
    }


def test_a_sweep_finds_orders_page_by_page(ehr: Ehr) -> None:
    ehr.plant(resources=[order(n, f"2026-03-{1 + n // 10:02d}T10:{n:02d}:00Z", ehr.person) for n in range(25)])
    query = {"_lastUpdated": "ge2026-03-01T10:05:00Z", "patient": f"Patient/{ehr.person}", "_count": "12"}
    page = ehr.http.get(f"{FHIR}/ServiceRequest", params=query).raise_for_status().json()
    found = [entry["resource"]["id"] for entry in page["entry"]]
    following = {link["relation"]: link["url"] for link in page["link"]}
    assert (page["total"], len(found)) == (20, 12)
    rest = ehr.http.get(following["next"]).raise_for_status().json()
    found += [entry["resource"]["id"] for entry in rest["entry"]]
    assert sorted(found) == [f"order-{n:03d}" for n in range(5, 25)]
    assert "next" not in {link["relation"] for link in rest["link"]}
    between: list[tuple[str, str | int | float | bool | None]] = [
        ("_lastUpdated", "gt2026-03-01T10:05:00Z"),
        ("_lastUpdated", "lt2026-03-02T00:00:00Z"),
    ]
    assert ehr.http.get(f"{FHIR}/ServiceRequest", params=between).json()["total"] == 4


def test_fhir_is_read_only_and_strict(ehr: Ehr) -> None:
    assert ehr.http.get(f"{FHIR}/Patient/{ehr.person}").json()["birthDate"] == "1970-02-03"
    missing = ehr.http.get(f"{FHIR}/Patient/none")
    assert (missing.status_code, missing.json()["resourceType"]) == (404, "OperationOutcome")
    assert ehr.http.get(f"{FHIR}/Task").status_code == 404
    assert ehr.http.get(f"{FHIR}/ServiceRequest", params={"_sort": "authored"}).status_code == 400
    assert ehr.http.post(f"{FHIR}/ServiceRequest", json={}).status_code == 405
    assert ehr.http.get(f"{FHIR}/Patient", params={"family": "Test", "birthdate": "1970-02-03"}).json()["total"] == 1
    statement = ehr.http.get(f"{FHIR}/metadata").json()
    interactions = {code["code"] for entry in statement["rest"][0]["resource"] for code in entry["interaction"]}
    assert interactions == {"read", "search-type"}


def test_a_planted_patient_is_known_to_messaging_too(ehr: Ehr) -> None:
    body = {"client_id": ehr.practice, "client_secret": "any", "grant_type": "client_credentials"}
    token = ehr.http.post("/luma/api/v2/auth/token", json=body).json()["access_token"]
    found = ehr.http.get(
        "/luma/api/v2/patients",
        params={"externalId.source": "nextgen", "externalId.value": ehr.person},
        headers={"authorization": f"Bearer {token}"},
    )
    assert found.json()["size"] == 1
