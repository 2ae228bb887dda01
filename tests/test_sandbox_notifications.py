"""The sandbox's payer notifications, received by a real HTTP server: handshake, signature, due times, and what goes wrong."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.test_sandbox_payers import PayerClient, actions, claim_response, request_bundle

Json = dict[str, Any]
SECRET = "a shared secret"
DUE = datetime(2026, 3, 6, 15, 1, tzinfo=UTC)


class Receiver:
    """An endpoint that keeps what it is sent and answers with the statuses it was given, 200 afterwards."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def events(self) -> list[Json]:
        """The bodies that are not handshakes."""
        bodies = [json.loads(body) for _, body in self.got]
        return [body for body in bodies if body["resourceType"] != "Bundle" or kind(body) != "handshake"]


def kind(body: Json) -> str:
    parameters = body["entry"][0]["resource"]["parameter"]
    return str(next(entry["valueCode"] for entry in parameters if entry["name"] == "type"))


def event(body: Json) -> Json:
    parameters = body["entry"][0]["resource"]["parameter"]
    parts = next(entry["part"] for entry in parameters if entry["name"] == "notification-event")
    return {part["name"]: part for part in parts}


BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"


def genuine(headers: dict[str, str], body: bytes) -> bool:
    mac = hmac.new(SECRET.encode(), f"{headers['x-vigil-timestamp']}.".encode() + body, hashlib.sha256).hexdigest()
    return headers["x-vigil-signature"] == f"sha256={mac}" and abs(time.time() - int(headers["x-vigil-timestamp"])) < 60


def subscription(endpoint: str, named: str = "org-identifier") -> Json:
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Decisions of our organization.",
        "criteria": "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic",
        "_criteria": {
            "extension": [{"url": f"{BACKPORT}backport-filter-criteria", "valueString": f"{named}=1234567893"}]
        },
        "channel": {
            "type": "rest-hook",
            "endpoint": endpoint,
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": f"{BACKPORT}backport-payload-content", "valueCode": "full-resource"}]},
            "header": [f"X-Webhook-Secret: {SECRET}"],
        },
    }


def subscribe(client: PayerClient, receiver: Receiver) -> None:
    named = "orgIdentifier" if client.payer == "summit-ma" else "org-identifier"
    location = client.post("Subscription", subscription(receiver.url, named)).raise_for_status().headers["location"]
    for _ in range(100):
        if client.http.get(location).raise_for_status().json()["status"] == "active":
            return
        time.sleep(0.02)
    pytest.fail("the subscription did not get active")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def meridian(sandbox_url: str, receiver: Receiver) -> Iterator[PayerClient]:
    client = PayerClient(sandbox_url, "meridian-ppo")
    subscribe(client, receiver)
    yield client
    client.http.close()


@pytest.fixture
def summit(sandbox_url: str, receiver: Receiver) -> Iterator[PayerClient]:
    client = PayerClient(sandbox_url, "summit-ma")
    subscribe(client, receiver)
    yield client
    client.http.close()


def test_a_subscription_begins_with_a_signed_handshake(meridian: PayerClient, receiver: Receiver) -> None:
    ((headers, body),) = receiver.got
    assert genuine(headers, body)
    assert kind(json.loads(body)) == "handshake"
    found = meridian.http.get("/payers/meridian-ppo/fhir/Subscription").json()
    assert found["total"] == 1


def test_a_subscription_that_nobody_answers_is_in_error(sandbox_url: str, receiver: Receiver) -> None:
    receiver.statuses = [404]
    client = PayerClient(sandbox_url, "meridian-ppo")
    location = client.post("Subscription", subscription(receiver.url)).raise_for_status().headers["location"]
    deadline = time.monotonic() + 3
    while client.http.get(location).json()["status"] == "requested" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert client.http.get(location).json()["status"] == "error"
    client.http.close()


def test_a_bad_subscription_is_refused(sandbox_url: str) -> None:
    client = PayerClient(sandbox_url, "meridian-ppo")
    wrong = subscription("ftp://example.org") | {"criteria": "Claim?status=active"}
    answer = client.post("Subscription", wrong)
    assert answer.status_code == 422
    assert len(answer.json()["issue"]) == 2
    silent = subscription("https://practice.example/hook")
    del silent["_criteria"], silent["channel"]["_payload"]
    assert len(client.post("Subscription", silent).json()["issue"]) == 2
    named = client.post("Subscription", subscription("https://practice.example/hook", "organization"))
    assert named.status_code == 422
    client.http.close()


def test_a_decision_is_notified_with_the_whole_answer_when_it_is_due(meridian: PayerClient, receiver: Receiver) -> None:
    sent = request_bundle("200")
    meridian.submit(sent).raise_for_status()
    meridian.advance(datetime(2026, 3, 6, 14, 59, tzinfo=UTC))
    assert receiver.events() == []
    meridian.advance(DUE)
    (body,) = receiver.events()
    assert genuine(*receiver.got[-1])
    assert body["type"] == "history"
    assert event(body)["event-number"]["valueString"] == "1"
    answer = body["entry"][1]["resource"]
    assert answer["identifier"] == sent["identifier"]
    assert actions(answer) == ["A1"]


def test_any_request_that_moves_the_clock_fires_what_is_due(meridian: PayerClient, receiver: Receiver) -> None:
    sent = request_bundle("203")
    meridian.submit(sent).raise_for_status()
    meridian.now = DUE
    meridian.inquire(sent)
    for _ in range(100):
        if receiver.events():
            break
        time.sleep(0.02)
    assert actions(receiver.events()[0]["entry"][1]["resource"]) == ["A3"]


@pytest.mark.parametrize("suffix", ["201", "202"])
def test_some_notifications_never_come(meridian: PayerClient, receiver: Receiver, suffix: str) -> None:
    sent = request_bundle(suffix)
    meridian.submit(sent).raise_for_status()
    meridian.advance(DUE)
    assert receiver.events() == []
    expected = "A1" if suffix == "201" else "A4"
    assert actions(meridian.inquire(sent)["parameter"][0]["resource"]) == [expected]


def test_duplicated_and_reordered_notifications(meridian: PayerClient, receiver: Receiver) -> None:
    meridian.submit(request_bundle("800")).raise_for_status()
    meridian.advance(DUE)
    assert [actions(body["entry"][1]["resource"]) for body in receiver.events()] == [["A1"], ["A4"], ["A1"]]


def test_the_older_payer_sends_the_id_or_the_bare_answer(summit: PayerClient, receiver: Receiver) -> None:
    summit.submit(request_bundle("200")).raise_for_status()
    summit.advance(DUE)
    (only_id,) = receiver.events()
    assert len(only_id["entry"]) == 1
    summit.control("PATCH", "settings", {"notification_content": {"summit-ma": "claim-response"}})
    summit.submit(request_bundle("200")).raise_for_status()
    summit.advance(datetime(2026, 3, 11, 15, 5, tzinfo=UTC))
    bare = receiver.events()[-1]
    assert bare["resourceType"] == "ClaimResponse"
    assert claim_response({"entry": [{"resource": bare}]})["outcome"] == "complete"


def test_delivery_is_tried_three_times(meridian: PayerClient, receiver: Receiver) -> None:
    receiver.statuses = [503, 503, 503]
    meridian.submit(request_bundle("200")).raise_for_status()
    meridian.advance(DUE)
    (entry,) = meridian.control("GET", "notifications")["items"]
    assert (entry["state"], entry["statuses"]) == ("failed", [503, 503, 503])


@pytest.mark.parametrize(("fault", "count"), [("lost_callback", 0), ("duplicate_callback", 2)])
def test_callback_faults_by_switch(meridian: PayerClient, receiver: Receiver, fault: str, count: int) -> None:
    meridian.control("POST", "faults", {"system": "payers", "fault": fault})
    meridian.submit(request_bundle("200")).raise_for_status()
    meridian.advance(DUE)
    assert len(receiver.events()) == count


def test_reordering_by_switch(meridian: PayerClient, receiver: Receiver) -> None:
    first, second = request_bundle("200"), request_bundle("200")
    meridian.submit(first).raise_for_status()
    meridian.now = datetime(2026, 3, 3, 15, 1, tzinfo=UTC)
    meridian.submit(second).raise_for_status()
    meridian.control("POST", "faults", {"system": "payers", "fault": "reorder"})
    meridian.advance(datetime(2026, 3, 6, 16, 0, tzinfo=UTC))
    order = [body["entry"][1]["resource"]["identifier"]["value"] for body in receiver.events()]
    assert order == [second["identifier"]["value"], first["identifier"]["value"]]


def test_a_forged_notification_has_a_wrong_signature(meridian: PayerClient, receiver: Receiver) -> None:
    sent = request_bundle("202")
    meridian.submit(sent).raise_for_status()
    identifier = sent["entry"][0]["resource"]["identifier"][0]
    wish = {"payer": "meridian-ppo", "claim_identifier": f"{identifier['system']}|{identifier['value']}"}
    meridian.control("POST", "notifications", {**wish, "copies": 2})
    assert genuine(*receiver.got[-1])
    meridian.control("POST", "notifications", {**wish, "forged": True})
    assert not genuine(*receiver.got[-1])
    assert len(receiver.events()) == 3
