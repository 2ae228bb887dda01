"""Whatever is sent to a door gets an answer that the OpenAPI document describes: no 500, and a refusal that says what to do."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from api import guards
from api.app import create_app
from api.bodies import read_json
from api.problems import Problem
from api.questionnaire_page import posted
from connectors.fhir_order import OrderUnreadable, order_from_fhir
from domain.questionnaire import Form, Item, ItemType
from store.errors import SpoolFull
from store.tokens import Role
from tests.api_doors import Doors, as_json, client_of, decision_of, open_doors
from tests.house import ROOT, House

POSTS = (
    "/v1/orders", "{case}/outcome", "{case}/notes", "{case}/calls", "{case}/order", "{case}/retract",
    "{case}/documents?kind=evidence", "{case}/documents", "{case}/tasks/x/claim", "{case}/tasks/x/complete",
    "{case}/tasks/x/release", "{case}/questionnaires/x/answers", "/v1/alerts/x/acknowledge",
    "/v1/webhooks/payers/meridian-ppo", "/v1/webhooks/payers/X!", "/v1/webhooks/fax/neutral", "/v1/webhooks/fax/N!",
    "/codec/decode", "/codec/encode",
)  # fmt: skip
GETS = (
    "/v1/worklist?turn={}", "/v1/worklist?payer={}", "/v1/worklist?cursor={}", "/v1/worklist?limit={}", "/v1/cases?q={}",
    "/v1/cases/{}", "/v1/cases/{}/facts", "/v1/cases/{}/plan", "{case}/plan?at={}", "{case}/documents/{}",
    "{case}/questionnaires/{}", "{case}/tasks/{}/form", "/v1/alerts?x={}",
)  # fmt: skip
NOT_JSON = (
    b"", b"NaN", b'{"n": Infinity}', b'{"n": 1e999}', b'{"n": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"text": "\xff"}',
    '{"text": "x"}'.encode("utf-16"), b'{"text": "\\ud800"}', b'{"text": "x"', b'{"text": "x", "text": "y"}', b"<html>",
)  # fmt: skip
JSON = (
    b"null", b"[]", b'"x"', b"1", b"{}", b'{"\\u0000": 1}', b'{"text": {"a": 1}, "reason": [1], "n": "x", "answers": []}',
    b'{"text": ' + b"[" * 500 + b"]" * 500 + b"}", json.dumps({f"k{n}": n for n in range(500)}).encode(),
    b'{"payloads": [{"metadata": {"vigil-practice": "/w=="}, "data": "!"}]}',
)  # fmt: skip
KINDS = ("application/json", "text/plain", "application/fhir+json", "multipart/form-data; boundary=x", "")
ODD = ("%00", "case-%00", f"case-{'a' * 26}%0a", "%ff", "a" * 5000, "..%2f..%2fx", "0001-01-01T00:00:00%2B14:00")


@pytest.fixture
async def doors(house: House) -> AsyncIterator[Doors]:
    async with open_doors(house) as found:
        yield found


class Described:
    """The OpenAPI document, as what every answer is held against."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.components = document["components"]
        self.paths = [(_pattern(path), operations) for path, operations in document["paths"].items()]

    def check(self, answer: httpx.Response) -> None:
        """An answer is a described one; a refusal is a problem with a remedy."""
        request, status = answer.request, answer.status_code
        said = f"{request.method} {request.url.path[:80]!r}: {status} {answer.text[:200]}"
        assert status < 500 or status == 503, said
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if status >= 400:
            assert kind == "application/problem+json", said
            assert answer.json()["detail"], said
        method = request.method.lower()
        known = [found[method] for path, found in self.paths if path.fullmatch(request.url.path) and method in found]
        for operation in known[:1]:
            described = operation["responses"].get(str(status))
            assert described is not None, f"not described: {said}"
            if answer.content:
                assert kind in described["content"], f"{kind} is not described: {said}"
                schema = described["content"][kind].get("schema", {})
                if kind.endswith("json"):
                    Draft202012Validator({**schema, "components": self.components}).validate(answer.json())


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", lambda m: ".+" if m[1] in {"key", "task"} else "[^/]+", path), re.DOTALL)


@pytest.fixture
async def described(doors: Doors) -> Described:
    return Described((await doors.http.get("/v1/openapi.json")).json())


async def test_whatever_is_posted_gets_a_described_answer(doors: Doors, described: Described) -> None:
    case, _ = await doors.opened("202")
    tokens = {door: await doors.token(role) for door, role in (("codec", Role.CODEC), ("v1", Role.OPERATOR))}
    for path in POSTS:
        bearer = {"Authorization": f"Bearer {tokens[path.split('/')[1] if path.startswith('/codec') else 'v1']}"}
        sent = [(body, KINDS[0]) for body in (*NOT_JSON, *JSON)] + [(b'{"text": "x"}', kind) for kind in KINDS]
        for body, kind in sent:
            headers = {**bearer, "Content-Type": kind}
            described.check(await doors.http.post(path.format(case=case), content=body, headers=headers))
        for key in ("", "x" * 201, "caf\xe9".encode("latin-1"), "a b"):
            headers = {**bearer, "Content-Type": KINDS[0], "Idempotency-Key": key}  # type: ignore[dict-item]
            described.check(await doors.http.post(path.format(case=case), content=b"{}", headers=headers))


async def test_whatever_an_address_says_gets_a_described_answer(doors: Doors, described: Described) -> None:
    case, _ = await doors.opened("202")
    token = await doors.token(Role.OPERATOR)
    for path in GETS:
        for odd in (*ODD, *cursors()):
            described.check(await doors.get(path.replace("{case}", case).format(odd), token=token))
    for path in ("/v1/cases/{}/notes", "/v1/alerts/{}/acknowledge", "/v1/orders?source={}", "/v1/webhooks/fax/{}"):
        for odd in ODD:
            headers = {"Idempotency-Key": "k"}
            described.check(await doors.post(path.format(odd), {"text": "x"}, token=token, headers=headers))


def cursors() -> Iterator[str]:
    for cursor in (
        {"due": None, "rank": 99_999_999, "case": "x"},
        {"due": None, "rank": 1, "case": "a\0"},
        {"due": "0001-01-01T00:00:00+14:00", "rank": 1, "case": "x"},
        {"due": 1e300, "rank": 1, "case": "x"},
    ):
        yield base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")


async def test_what_a_case_answers_is_described(doors: Doors, described: Described) -> None:
    path, ordered = await doors.opened("202")
    token = await doors.token(Role.OPERATOR)
    task = await doors.post(f"{path}/notes", {"text": "Called."}, token=token)
    described.check(task)
    later = {"params": {"at": "2027-11-23T00:00:00Z"}}
    for where, more in ((path, {}), (f"{path}/facts", {}), (f"{path}/plan", {}), (f"{path}/plan", later)):
        answer = await doors.get(where, token=token, **more)
        assert answer.status_code == 200
        described.check(answer)
    for answer in (
        await doors.get("/v1/worklist", token=token),
        await doors.get("/v1/cases", token=token, params={"q": ordered.number}),
        await doors.get("/v1/alerts", token=token),
        await doors.post("/v1/orders", as_json(ordered), token=token),
        await doors.post(f"{path}/retract", {"n": 2, "reason": "Synthetic."}, token=token),
        *[await doors.http.get(where) for where in ("/healthz", "/readyz", "/metrics")],
    ):
        assert answer.is_success
        described.check(answer)


async def test_every_door_answers_a_described_refusal_to_the_wrong_role_and_to_none(
    doors: Doors, described: Described
) -> None:
    document = (await doors.http.get("/v1/openapi.json")).json()
    roles = {role: await doors.token(role) for role in Role}
    for path, operations in document["paths"].items():
        where = path.format(
            case_id=f"case-{'a' * 26}", task="t", document_id="d", ref="r", key="k", payer="p", vendor="v1"
        )
        for method in operations:
            open_to_all = {"/healthz", "/readyz", "/metrics"}
            nobody = await doors.http.request(method, where, content=b"{}", headers={"Content-Type": KINDS[0]})
            described.check(nobody)
            if path not in open_to_all and "webhooks" not in path:
                assert nobody.status_code == 401, where
            wrong = roles[Role.STAFF if path.startswith("/codec") else Role.CODEC]
            refused = await doors.call(method, where, token=wrong, json={})
            described.check(refused)
            assert refused.status_code != 200 or path in open_to_all or "webhooks" in path


@pytest.mark.parametrize("body", NOT_JSON)
def test_json_has_one_meaning_or_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read_json(body)
    assert (refused.value.status_code, refused.value.code) == (400, "not_json")
    assert read_json(b'\xef\xbb\xbf{"a": [1, 2.5, "\\u00e9", null]}') == {"a": [1, 2.5, "\u00e9", None]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ordered_at": "0001-01-01T00:00:00+14:00"}, "ordered_at"),
        ({"ordered_at": "9999-12-31T23:59:59Z"}, "ordered_at"),
        ({"ordered_at": -1}, "ordered_at"),
        ({"patient": {"birth_date": 0}}, "patient.birth_date"),
        ({"patient": {"birth_date": "0"}}, "patient.birth_date"),
        ({"patient": {"family_name": "Quill\u202efeather"}}, "patient.family_name"),
        ({"patient": {"given_name": "\0"}}, "patient.given_name"),
        ({"number": "ORD\n1"}, "number"),
        ({"appointment": {"id": "1", "starts_at": "9999-12-31T23:59:59Z"}}, "appointment.starts_at"),
        ({"ordering": {"npi": "1999000024"}}, "ordering.npi"),
        ({"urgency": "soon"}, "urgency"),
    ],
)
async def test_an_orders_field_that_cannot_be_meant_is_named_alone(doors: Doors, change: Any, field: str) -> None:
    draft = as_json(await doors.desk.order())
    for name, value in change.items():
        draft[name] = {**draft.get(name, {}), **value} if isinstance(value, dict) else value
    answer = await doors.post("/v1/orders", draft)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_list_with_a_wrong_entry_is_not_called_empty(doors: Doors) -> None:
    draft = as_json(await doors.desk.order())
    draft["lines"][0]["units"] = 0
    (error,) = (await doors.post("/v1/orders", draft)).json()["errors"]
    assert (error["pointer"], error["detail"]) == ("/lines/0/units", "This number is too small.")


@pytest.mark.parametrize("typed", ["nan", "inf", "1e999", "9" * 21])
def test_what_is_no_number_in_a_posted_form_stays_what_was_typed(typed: str) -> None:
    items = tuple(Item(link_id=kind.value, type=kind) for kind in (ItemType.INTEGER, ItemType.DECIMAL))
    answers, submitted = posted(
        Form(url="http://payer.example/q", title="t", items=items), f"0={typed}&1={typed}".encode()
    )
    assert (answers, submitted) == ({"integer": [typed], "decimal": [typed]}, False)


async def test_a_signature_of_a_far_year_is_no_signature(doors: Doors) -> None:
    assert (await doors.notify("meridian-ppo", b"{}", at=999_999_999_999)).status_code == 401


def bundle() -> dict[str, Any]:
    return json.loads((ROOT / "examples" / "orders" / "story-a-approved.fhir.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("units", [0, -3, 10_000, 1e308, "2", True])
def test_a_quantity_that_cannot_be_asked_for_is_not_read_as_one(units: Any) -> None:
    given = bundle()
    for entry in given["entry"]:
        if entry["resource"]["resourceType"] == "ServiceRequest":
            entry["resource"]["quantityQuantity"] = {"value": units}
    with pytest.raises(OrderUnreadable, match="quantityQuantity"):
        order_from_fhir(given, "lakeside", "fhir")


def test_a_resource_that_a_bundle_holds_twice_is_one_line() -> None:
    given = bundle()
    once = order_from_fhir(given, "lakeside", "fhir")
    assert order_from_fhir({**given, "entry": given["entry"] * 2}, "lakeside", "fhir") == once


async def test_one_key_at_once_is_one_report_and_another_request_is_refused(doors: Doors) -> None:
    path, _ = await doors.opened("202")
    token = await doors.token()

    async def note(text: str, key: str, at: Doors = doors) -> httpx.Response:
        return await at.post(f"{path}/notes", {"text": text}, token=token, headers={"Idempotency-Key": key})

    same = await asyncio.gather(*(note("same", "a") for _ in range(4)))
    assert [answer.headers.get("idempotent-replayed") for answer in same].count(None) == 1
    other = await asyncio.gather(*(note(f"other {n}", "b") for n in range(4)))
    assert sorted(answer.status_code for answer in other) == [200, 422, 422, 422]
    with doors.without_postgresql() as away:
        said = [await note(text, "c", away) for text in ("first", "first", "second")]
    assert [answer.json()["repeated"] for answer in said] == [False, True, False]
    facts = (await doors.get(f"{path}/facts")).json()["items"]
    notes = [fact["text"] for fact in facts if fact["kind"] == "note_added"]
    assert len(notes) == 4
    assert {"same", "first", "second"} < set(notes)


async def test_a_verified_callback_about_a_request_never_sent_decides_nothing(doors: Doors) -> None:
    path, ordered = await doors.opened("202")
    for attempt in (2, 9999):
        trace = f"{path.rpartition('/')[2]}-1-ordering-{attempt}"
        assert (await doors.notify("meridian-ppo", decision_of(trace, ordered.primary.member_id))).status_code == 200
    await doors.quiet(path)
    decided = [f for f in (await doors.get(f"{path}/facts")).json()["items"] if f["kind"] == "decision_received"]
    assert {fact["attempt"] for fact in decided} == {1}


async def test_too_many_requests_at_once_are_told_to_wait_and_health_is_not(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "MOST_REQUESTS", 0)
    refused = await doors.http.get("/v1/worklist")
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "busy", "5")
    assert (await doors.http.get("/healthz")).status_code == 200


async def test_what_nobody_expected_is_answered_and_logged_under_the_requests_id(
    doors: Doors, capsys: pytest.CaptureFixture[str]
) -> None:
    async def breaks() -> None:
        raise RuntimeError("Quillfeather")

    app = create_app(doors.services)
    app.add_api_route("/breaks", breaks)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        answer = await http.get("/breaks", headers={"X-Request-Id": "abcdef-500"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "abcdef-500"
    assert answer.headers["cache-control"] == "no-store"
    assert "Quillfeather" not in answer.text


async def test_a_disk_that_takes_no_audit_refuses_the_work(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = await doors.opened("202")
    token = await doors.token()
    await doors.get(path, token=token)
    with doors.without_postgresql() as away:

        def full(_line: bytes) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(away.services.spool, "_append", full)
        with pytest.raises(SpoolFull, match="No space left"):
            await away.services.spool.put(b"x")
        assert (await away.post(f"{path}/notes", {"text": "x"}, token=token)).status_code == 503


async def test_a_document_that_was_altered_is_gone_and_one_out_of_reach_is_waited_for(doors: Doors) -> None:
    path, _ = await doors.opened("202")
    headers = {"Content-Type": "text/plain"}
    kept = await doors.call("POST", f"{path}/documents?kind=evidence", content=b"synthetic", headers=headers)
    document = kept.json()["document"]["id"]
    file = doors.services.settings.home_path / "documents" / doors.desk.practice.id / document[:2] / document
    sealed = file.read_bytes()
    file.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert (await doors.get(f"{path}/documents/{document}")).status_code == 410

    services = replace(doors.services, documents=Unreachable())  # type: ignore[arg-type]
    away = replace(doors, services=services, http=client_of(services))
    assert (await away.get(f"{path}/documents/{document}")).status_code == 503


class Unreachable:
    """A store of documents that is away."""

    async def get(self, _practice: str, _document: str) -> bytes:
        from connectors.documents import StoreUnreachable

        raise StoreUnreachable("document_store_unreachable")
