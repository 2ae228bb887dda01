"""The sandbox's fax service and HISP: strict, over time, with failures by number and address, and callbacks that misbehave."""

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from connectors.paper import text_pdf

Json = dict[str, Any]
START = "2026-03-03T15:00:00Z"
PDF = base64.b64encode(text_pdf("Synthetic", ["x"] * 60)).decode()
PAGES = 3


@pytest.fixture
def web(sandbox_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox_url, trust_env=False, timeout=10) as client:
        yield client


class Service:
    """A practice at the fax service, or at the HISP, at a time of its own."""

    def __init__(self, web: httpx.Client, base: str) -> None:
        self.web, self.base, self.practice = web, base, f"t{uuid.uuid4().hex[:12]}"

    def call(self, method: str, path: str = "", at: str = START, **what: Any) -> httpx.Response:
        what.setdefault("auth", (self.practice, "any"))
        return self.web.request(method, f"{self.base}{path}", headers={"x-vigil-now": at}, **what)

    def sent(self, body: Json, at: str = START) -> str:
        answer = self.call("POST", at=at, json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json().get("vendorId") or answer.json().get("messageId"))

    def shown(self, key: str, at: str) -> Json:
        shown: Json = self.call("GET", f"/{key}", at).json()
        return shown

    def control(self, method: str, path: str, body: Json) -> None:
        self.web.request(method, f"/control/practices/{self.practice}/{path}", json=body).raise_for_status()


def fax(to: str = "+15555550109", **changes: Any) -> Json:
    document = {"name": "packet.pdf", "contentType": "application/pdf", "bytesBase64": PDF}
    return {"to": to, "from": "+15555550100", "documents": [document], "clientReference": "case-1-1", **changes}


def direct(kind: str = "intake", **changes: Any) -> Json:
    attachment = {"name": "packet.pdf", "contentType": "application/pdf", "bytesBase64": PDF}
    return {
        "to": f"{kind}@direct.payer.example",
        "from": "office@direct.lakeside.example",
        "subject": "Request",
        "text": "3 pages.",
        "clientReference": "case-1-1",
        "deliveryNotification": True,
        "attachments": [attachment],
        **changes,
    }


@pytest.fixture
def faxes(web: httpx.Client) -> Service:
    return Service(web, "/fax/v1/faxes")


@pytest.fixture
def hisp(web: httpx.Client) -> Service:
    return Service(web, "/direct/v1/messages")


# --- fax ---------------------------------------------------------------------------------------------------------------


def test_a_fax_is_queued_sent_and_delivered_by_the_practices_clock(faxes: Service) -> None:
    key = faxes.sent(fax())
    assert faxes.shown(key, START)["status"] == "queued"
    assert faxes.shown(key, "2026-03-03T15:00:15Z")["status"] == "sending"
    done = faxes.shown(key, "2026-03-03T15:03:00Z")
    assert (done["status"], done["pagesTotal"], done["pagesSent"], done["remoteId"]) == (
        "delivered", PAGES, PAGES, "FAX 0109",
    )  # fmt: skip
    assert done["completedAt"].startswith("2026-03-03T15:02:00")
    listed = faxes.call("GET", params={"clientReference": "case-1-1"}).json()["items"]
    assert [item["vendorId"] for item in listed] == [key]
    assert faxes.call("GET", params={"clientReference": "other"}).json()["items"] == []


@pytest.mark.parametrize(
    ("number", "status", "error"),
    [
        ("+15555550001", "failed", "busy"),
        ("+15555550002", "failed", "no_answer"),
        ("+15555550003", "failed", "no_remote_fax"),
        ("+15555550004", "failed", "bad_number"),
        ("+15555550006", "sending", None),
        ("+15555550007", "delivered", None),
    ],
)
def test_numbers_fail_as_they_are_said_to(faxes: Service, number: str, status: str, error: str | None) -> None:
    done = faxes.shown(faxes.sent(fax(number)), "2026-03-03T18:00:00Z")
    assert (done["status"], done["errorCode"]) == (status, error)
    if number.endswith("0007"):
        assert done["pagesSent"] == done["pagesTotal"] - 1


def test_a_number_that_is_busy_once_takes_the_second_fax_and_a_repeat_is_another_fax(faxes: Service) -> None:
    first, second = faxes.sent(fax("+15555550005")), faxes.sent(fax("+15555550005"))
    assert first != second
    late = "2026-03-03T15:05:00Z"
    assert [faxes.shown(key, late)["status"] for key in (first, second)] == ["failed", "delivered"]


def test_a_young_fax_is_not_in_the_list_yet_where_the_index_lags(faxes: Service) -> None:
    faxes.control("PATCH", "settings", {"index_lag_seconds": 60})
    key = faxes.sent(fax())
    assert faxes.call("GET").json()["items"] == []
    assert faxes.shown(key, START)["vendorId"] == key
    assert len(faxes.call("GET", at="2026-03-03T15:02:00Z").json()["items"]) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "555"},
        {"from": "5555550100"},
        {"documents": []},
        {"documents": [{"name": "x", "contentType": "application/pdf", "bytesBase64": "!!"}]},
        {
            "documents": [
                {"name": "x", "contentType": "application/pdf", "bytesBase64": base64.b64encode(b"x").decode()}
            ]
        },
        {"documents": [{"name": "x", "contentType": "text/plain", "bytesBase64": PDF}]},
        {"clientReference": "x" * 151},
        {"coverPage": {"colour": "red"}},
        {"callbackUrl": "ftp://x"},
        {"priority": 1},
    ],
)
def test_a_fax_that_is_not_right_is_refused(faxes: Service, changes: Json) -> None:
    assert faxes.call("POST", json=fax(**changes)).status_code == 400
    assert faxes.call("GET").json()["items"] == []


def test_who_is_not_known_gets_nothing(faxes: Service) -> None:
    assert faxes.call("POST", json=fax(), auth=(faxes.practice, "")).status_code == 401
    key = faxes.sent(fax())
    assert faxes.call("GET", f"/{key}", auth=("somebody-else", "x")).status_code == 404


# --- callbacks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Json]]]:
    got: list[Json] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hook", got
    server.shutdown()
    server.server_close()


def told(faxes: Service, hook: tuple[str, list[Json]], expected: int, *faults: str) -> list[str]:
    url, got = hook
    for fault in faults:
        faxes.control("POST", "faults", {"system": "fax", "fault": fault, "times": 9})
    faxes.sent(fax(callbackUrl=url))
    faxes.control("POST", "clock", {"to": "2026-03-03T15:10:00Z"})
    ends = time.monotonic() + 5
    while len(got) < expected and time.monotonic() < ends:
        time.sleep(0.02)
    assert len({body["vendorId"] for body in got}) <= 1
    return [body["status"] for body in got]


def test_a_sender_is_called_back_when_it_is_sent_and_when_it_is_over(
    faxes: Service, hook: tuple[str, list[Json]]
) -> None:
    assert told(faxes, hook, 2) == ["sending", "delivered"]
    faxes.control("POST", "clock", {"days": 1})
    assert len(hook[1]) == 2


def test_callbacks_come_twice_and_out_of_order(faxes: Service, hook: tuple[str, list[Json]]) -> None:
    statuses = told(faxes, hook, 4, "duplicate_callback", "reorder")
    assert statuses == ["delivered", "delivered", "sending", "sending"]


def test_callbacks_get_lost(faxes: Service, hook: tuple[str, list[Json]]) -> None:
    assert told(faxes, hook, 0, "lost_callback") == []


# --- Direct ------------------------------------------------------------------------------------------------------------


def test_a_message_is_processed_and_dispatched(hisp: Service) -> None:
    key = hisp.sent(direct())
    states = [hisp.shown(key, f"2026-03-03T15:{at}Z")["status"] for at in ("00:10", "00:40", "02:00")]
    assert states == ["accepted", "processed", "dispatched"]
    found = hisp.call("GET", params={"clientReference": "case-1-1"}).json()["items"]
    assert [item["messageId"] for item in found] == [key]


def test_who_asks_for_no_notification_gets_none(hisp: Service) -> None:
    key = hisp.sent(direct(deliveryNotification=False))
    assert hisp.shown(key, "2026-03-04T15:00:00Z")["status"] == "processed"


@pytest.mark.parametrize(
    ("kind", "code"),
    [("nocert", "5.7.31"), ("untrusted", "5.7.11"), ("undelivered", "5.5.0"), ("silent", "5.4.71"),
     ("undispatched", "5.4.72")],
)  # fmt: skip
def test_addresses_fail_as_they_are_said_to(hisp: Service, kind: str, code: str) -> None:
    shown = hisp.shown(hisp.sent(direct(kind)), "2026-03-03T17:00:00Z")
    assert (shown["status"], shown["dsn"]) == ("failed", code)


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "nobody"},
        {"from": ""},
        {"subject": ""},
        {"clientReference": 7},
        {"deliveryNotification": "yes"},
        {"attachments": []},
        {"attachments": [{"name": "x", "contentType": "application/pdf", "bytesBase64": "AAAA"}]},
        {"bcc": "x@y.example"},
    ],
)
def test_a_message_that_is_not_right_is_refused(hisp: Service, changes: Json) -> None:
    assert hisp.call("POST", json=direct(**changes)).status_code == 400
    assert hisp.call("GET").json()["items"] == []


def test_a_message_of_more_than_20_mb_is_refused(hisp: Service) -> None:
    large = base64.b64encode(b"%PDF" + b"x" * 16 * 1024 * 1024).decode()
    body = direct(attachments=[{"name": "x", "contentType": "application/pdf", "bytesBase64": large}])
    assert hisp.call("POST", json=body).status_code == 413
