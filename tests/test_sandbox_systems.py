"""The sandbox's eligibility, messaging, check-in, control and memory, over real HTTP."""

import hashlib
import hmac
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

Json = dict[str, Any]
NOW = "2026-03-03T15:00:00Z"
LATER = "2026-03-03T15:05:00Z"


@pytest.fixture
def web(sandbox_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox_url, trust_env=False, timeout=10, headers={"x-vigil-now": NOW}) as client:
        yield client


@pytest.fixture
def practice() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def eligibility(member: str) -> Json:
    return {
        "tradingPartnerServiceId": "meridian-ppo",
        "provider": {"npi": "1234567893", "organizationName": "Lakeside Orthopedics"},
        "subscriber": {"memberId": member, "firstName": "Robin", "lastName": "Testperson", "dateOfBirth": "19700203"},
        "encounter": {"serviceTypeCodes": ["62"], "dateOfService": "20260320"},
    }


CHECK = "/stedi/2024-04-01/change/medicalnetwork/eligibility/v3"


def test_active_coverage_has_benefits(web: httpx.Client, practice: str) -> None:
    answer = web.post(CHECK, json=eligibility("MBR1100"), headers={"authorization": practice}).raise_for_status().json()
    assert answer["errors"] == []
    benefits = answer["benefitsInformation"]
    assert (benefits[0]["code"], benefits[0]["name"]) == ("1", "Active Coverage")
    copay = next(entry for entry in benefits if entry["code"] == "B")
    assert (copay["benefitAmount"], copay["serviceTypeCodes"]) == ("40.00", ["98"])
    remaining = [e["benefitAmount"] for e in benefits if e["code"] == "C" and e["timeQualifierCode"] == "29"]
    assert remaining == ["400", "1900"]
    assert answer["planDateInformation"]["planBegin"] == "20260101"


def test_inactive_and_rejected_come_inside_a_200(web: httpx.Client, practice: str) -> None:
    key = {"authorization": f"{practice}:test-key"}
    inactive = web.post(CHECK, json=eligibility("MBR1000"), headers=key)
    assert [entry["code"] for entry in inactive.json()["benefitsInformation"]] == ["6"]
    for member, code in (("MBR1001", "75"), ("MBR1002", "42")):
        rejected = web.post(CHECK, json=eligibility(member), headers=key)
        assert rejected.status_code == 200
        assert [error["code"] for error in rejected.json()["errors"]] == [code]
        assert "benefitsInformation" not in rejected.json()


@pytest.mark.parametrize(
    ("where", "name", "value", "code"),
    [
        ("provider", "npi", "1234567890", "43"),
        ("provider", "organizationName", "", "44"),
        ("subscriber", "memberId", "", "72"),
        ("subscriber", "lastName", "", "73"),
        ("subscriber", "dateOfBirth", "1970-02-03", "58"),
        ("encounter", "dateOfService", "2026-03-20", "57"),
    ],
)
def test_a_wrong_check_is_refused(
    web: httpx.Client, practice: str, where: str, name: str, value: str, code: str
) -> None:
    body = eligibility("MBR1100")
    body[where][name] = value
    answer = web.post(CHECK, json=body, headers={"authorization": practice})
    assert answer.status_code == 400
    assert [error["code"] for error in answer.json()["errors"]] == [code]


def test_eligibility_needs_a_key(web: httpx.Client) -> None:
    assert web.post(CHECK, json=eligibility("MBR1100")).status_code == 403


class Luma:
    """A practice at Luma, with one patient."""

    def __init__(self, web: httpx.Client, practice: str, **patient: Any) -> None:
        self.web, self.practice = web, practice
        body = {"client_id": practice, "client_secret": "any", "grant_type": "client_credentials"}
        token = web.post("/luma/api/v2/auth/token", json=body).raise_for_status().json()["access_token"]
        self.headers = {"authorization": f"Bearer {token}"}
        self.external = str(uuid.uuid4())
        planted = {"externalId": {"source": "nextgen", "value": self.external}, **patient}
        answer = web.post(f"/control/practices/{practice}/orders", json={"luma_patients": [planted]})
        (self.patient,) = answer.raise_for_status().json()["luma_patients"]

    def get(self, path: str, at: str = NOW, **query: str) -> httpx.Response:
        headers = {**self.headers, "x-vigil-now": at}
        return self.web.get(f"/luma/api/v2{path}", params=query, headers=headers)

    def message(self, **change: Any) -> Json:
        fixed = {"type": "outbound", "ref": "chat", "channel": "chat", "text": "Please open the link.", "secure": True}
        return {"patient": self.patient, **fixed, "externalId": {"source": "none", "value": "case-1:told-1"}, **change}

    def send(self, body: Json) -> httpx.Response:
        return self.web.post("/luma/api/v2/messages", json=body, headers=self.headers)


def test_a_message_is_delivered_with_the_clock(web: httpx.Client, practice: str) -> None:
    luma = Luma(web, practice)
    found = luma.get("/patients", **{"externalId.value": luma.external}).json()
    assert (found["page"], found["size"], found["response"][0]["_id"]) == (1, 1, luma.patient)
    assert luma.get(f"/patients/{luma.patient}/contact-preferences").json()["validContacts"][0]["type"] == "sms"
    sent = luma.send(luma.message())
    assert (sent.status_code, sent.json()["status"]) == (201, "sent")
    again = luma.get(f"/messages/{sent.json()['_id']}").json()
    assert again["status"] == "sent"
    later = luma.get(f"/messages/{sent.json()['_id']}", LATER).json()
    assert later["status"] == "delivered"
    assert later["terminatingStateAt"].startswith("2026-03-03T15:01:00")
    search = luma.get("/messages", **{"externalId.value": "case-1:told-1"}).json()
    assert [entry["_id"] for entry in search["response"]] == [sent.json()["_id"]]
    effects = web.get(f"/control/practices/{practice}/received").json()["effects"]
    assert [entry["external_id"] for entry in effects["messages"]] == ["case-1:told-1"]


def test_who_must_not_be_contacted_is_skipped(web: httpx.Client, practice: str) -> None:
    luma = Luma(web, practice, doNotContact=True)
    assert luma.get(f"/patients/{luma.patient}/contact-preferences").json() == {"validContacts": []}
    sent = luma.send(luma.message()).json()
    later = luma.get(f"/messages/{sent['_id']}", LATER).json()
    assert (later["status"], later["skippedStatusReason"]) == ("skipped", "do-not-contact")


def test_who_cannot_be_reached_is_undelivered(web: httpx.Client, practice: str) -> None:
    gone = [{"type": "sms", "value": "+15555550100", "active": True, "archived": True, "archivedReason": "unreachable"}]
    luma = Luma(web, practice, contact=gone)
    sent = luma.send(luma.message()).json()
    assert luma.get(f"/messages/{sent['_id']}", LATER).json()["status"] == "undelivered"


@pytest.mark.parametrize(
    "change",
    [{"channel": "sms"}, {"ref": "reminder"}, {"secure": "yes"}, {"text": " "}, {"patient": "7"}, {"language": "xx"}],
)
def test_a_wrong_message_is_refused(web: httpx.Client, practice: str, change: Json) -> None:
    luma = Luma(web, practice)
    answer = luma.send(luma.message(**change))
    assert (answer.status_code, list(answer.json())) == (400, ["message"])


def test_a_reply_is_found_by_polling(web: httpx.Client, practice: str) -> None:
    luma = Luma(web, practice)
    sent = luma.send(luma.message()).json()
    web.post(f"/control/practices/{practice}/replies", json={"message": "case-1:told-1"}).raise_for_status()
    (reply,) = luma.get("/messages", patient=luma.patient, type="inbound").json()["response"]
    assert (reply["outboundMessage"], reply["classification"]) == (sent["_id"], "positive")


def signed(practice: str, body: bytes, *, shared: str = "sandbox-secret", age: int = 0) -> dict[str, str]:
    at = int(time.time()) - age
    mac = hmac.new(shared.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    key = f"{practice}:drop"
    return {"x-vigil-key-id": key, "x-vigil-timestamp": str(at), "x-vigil-signature": f"sha256={mac}"}


def drop(cents: int = 4000) -> bytes:
    body = {
        "format": "vigil.checkin-estimate/1",
        "patient_ref": "person-1",
        "visit_ref": "visit-1",
        "visit_starts_at": "2026-03-20T14:00:00Z",
        "as_of": NOW,
        "amounts": [{"kind": "copay", "cents": cents}],
        "total_cents": cents,
    }
    return json.dumps(body).encode()


def test_a_drop_is_idempotent_by_its_id(web: httpx.Client, practice: str) -> None:
    body = drop()
    first = web.put("/clearwave/drops/case-1:est-1", content=body, headers=signed(practice, body))
    again = web.put("/clearwave/drops/case-1:est-1", content=body, headers=signed(practice, body))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = drop(5000)
    assert web.put("/clearwave/drops/case-1:est-1", content=other, headers=signed(practice, other)).status_code == 409
    back = web.get("/clearwave/drops/case-1:est-1", headers=signed(practice, b"")).json()
    assert back["content"]["total_cents"] == 4000


def test_a_drop_is_verified(web: httpx.Client, practice: str) -> None:
    body = drop()
    for headers in (
        signed(practice, body, shared="other"),
        signed(practice, body, age=900),
        signed(practice, b"x"),
        {},
    ):
        assert web.put("/clearwave/drops/d1", content=body, headers=headers).status_code == 401
    wrong = body.replace(b'"total_cents": 4000', b'"total_cents": 1')
    answer = web.put("/clearwave/drops/d1", content=wrong, headers=signed(practice, wrong))
    assert (answer.status_code, answer.json()["fields"]) == (422, ["total_cents"])


@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("500", 500), ("html", 200), ("truncated", 201)])
def test_faults_work_at_every_system(web: httpx.Client, practice: str, fault: str, status: int) -> None:
    luma = Luma(web, practice)
    wish = {"system": "luma", "route": "POST .*/messages", "fault": fault}
    web.post(f"/control/practices/{practice}/faults", json=wish).raise_for_status()
    answer = luma.send(luma.message())
    assert answer.status_code == status
    effects = web.get(f"/control/practices/{practice}/received").json()["effects"]
    assert len(effects["messages"]) == (1 if fault == "truncated" else 0)
    if fault == "truncated":
        with pytest.raises(json.JSONDecodeError):
            answer.json()
    assert luma.send(luma.message()).status_code == 201


def test_the_clock_is_the_practices_own_and_goes_forward_only(web: httpx.Client, practice: str) -> None:
    Luma(web, practice).get("/patients", "2026-03-05T00:00:00Z")
    assert web.get(f"/control/practices/{practice}/clock").json()["now"].startswith("2026-03-05T00:00:0")
    back = web.post(f"/control/practices/{practice}/clock", json={"to": NOW})
    assert back.status_code == 409
    other = web.get(f"/control/practices/{practice}x/clock").json()["now"]
    assert not other.startswith("2026-03-05")
    assert web.get("/luma/api/v2/patients", headers={"x-vigil-now": "yesterday"}).status_code == 400


def test_an_unknown_wish_is_refused(web: httpx.Client, practice: str) -> None:
    assert web.post(f"/control/practices/{practice}/faults", json={"fault": "meteor"}).status_code == 422
    assert web.patch(f"/control/practices/{practice}/settings", json={"colour": 1}).status_code == 422
    assert web.get("/control/practices/not%20one/clock").status_code == 404


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(state: Path) -> tuple["subprocess.Popen[bytes]", str]:
    port = _free_port()
    command = [sys.executable, "-m", "sandbox", "--port", str(port), "--state", str(state)]
    process = subprocess.Popen(command, cwd=Path(__file__).parent.parent)  # noqa: S603 - our own command
    url = f"http://127.0.0.1:{port}"
    for _ in range(200):
        try:
            httpx.get(f"{url}/healthz", trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return process, url
    process.kill()
    pytest.fail("the sandbox did not start")


def test_a_killed_sandbox_remembers_what_it_was_sent(tmp_path: Path, practice: str) -> None:
    state = tmp_path / "sandbox.json"
    process, url = _start(state)
    try:
        with httpx.Client(base_url=url, trust_env=False, headers={"x-vigil-now": NOW}) as web:
            luma = Luma(web, practice)
            luma.send(luma.message()).raise_for_status()
    finally:
        process.kill()
        process.wait(10)
    process, url = _start(state)
    try:
        with httpx.Client(base_url=url, trust_env=False) as web:
            assert luma.web.is_closed
            effects = web.get(f"/control/practices/{practice}/received").json()["effects"]
            assert [entry["external_id"] for entry in effects["messages"]] == ["case-1:told-1"]
            assert web.get(f"/control/practices/{practice}/clock").json()["now"].startswith("2026-03-03T15:00")
            stale = web.get("/luma/api/v2/patients", headers=luma.headers)
            assert stale.status_code == 401
            web.post(f"/control/practices/{practice}/reset").raise_for_status()
            assert web.get(f"/control/practices/{practice}/received").json()["items"] == []
    finally:
        process.terminate()
        process.wait(10)
    assert state.stat().st_mode & 0o777 == 0o600
