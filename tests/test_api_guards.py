"""Story G and what guards the doors: forged and replayed callbacks, other practices' tokens, bodies too large, the codec."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from temporalio.api.common.v1 import Payload

from api.app import create_app
from api.guards import MAX_BODY
from api.services import Services
from runtime.codec import VigilCodec, codec_path
from runtime.processes import free_port
from runtime.temporal import connect
from store.audit import entries
from store.tokens import Role
from tests.api_doors import SECRET, Doors, as_json, client_of, decision_of, open_doors
from tests.house import House, Live


@pytest.fixture
async def doors(house: House) -> AsyncIterator[Doors]:
    async with open_doors(house) as found:
        yield found


async def pended(doors: Doors) -> tuple[str, bytes]:
    """A case that waits for its payer, and the payer's notification that would approve it."""
    path, ordered = await doors.opened("202")
    trace = f"{path.rpartition('/')[2]}-1-ordering-1"
    return path, decision_of(trace, ordered.primary.member_id)


# --- callbacks ---------------------------------------------------------------------------------------------------------


async def test_a_verified_callback_is_a_decision_with_its_evidence_once(doors: Doors) -> None:
    path, body = await pended(doors)
    now = time.time()
    first = await doors.notify("meridian-ppo", body, at=now)
    assert (first.status_code, first.json()["status"]) == (200, "taken")
    replayed = await doors.notify("meridian-ppo", body, at=now)
    assert (replayed.status_code, replayed.json()["status"]) == (200, "seen")
    again = await doors.notify("meridian-ppo", body, at=now + 1)
    assert again.status_code == 200
    row = await doors.quiet(path)
    assert row["ready"] is True
    facts = (await doors.get(f"{path}/facts")).json()["items"]
    decided = [f for f in facts if f["kind"] == "decision_received" and f["via"] == "notification"]
    assert len(decided) == 1
    assert (await doors.get(f"{path}/documents/{decided[0]['raw']['id']}")).content == body


async def test_a_payer_that_only_sends_the_channels_header_is_believed_too(doors: Doors) -> None:
    path, body = await pended(doors)

    async def hook(**headers: str) -> httpx.Response:
        return await doors.http.post("/v1/webhooks/payers/meridian-ppo", content=body, headers=headers)

    assert (await hook(**{"X-Webhook-Secret": "guessed"})).status_code == 401
    assert (await hook(**{"X-Webhook-Secret": SECRET, "X-Vigil-Signature": "sha256=" + "0" * 64})).status_code == 401
    taken, again = [await hook(**{"X-Webhook-Secret": SECRET}) for _ in range(2)]
    assert (taken.status_code, taken.json()["status"]) == (200, "taken")
    assert again.json()["status"] == "seen"
    assert (await doors.quiet(path))["ready"] is True


FORGERIES: tuple[dict[str, Any], ...] = (
    {"secret": "guessed"},
    {"at": time.time() - 3600},
    {"at": time.time() + 3600},
    {"X-Vigil-Signature": "sha256=" + "0" * 64},
    {"X-Vigil-Signature": "none"},
    {"X-Vigil-Timestamp": "soon"},
    {"X-Vigil-Timestamp": "9" * 30},
)


async def test_forged_callbacks_change_nothing_and_may_cause_one_inquiry(doors: Doors) -> None:
    path, body = await pended(doors)
    answers = [await doors.notify("meridian-ppo", body, **forgery) for forgery in FORGERIES]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    row = await doors.quiet(path)
    assert row["ready"] is False
    kinds = await doors.kinds(path)
    assert kinds.count("notification_claimed") == 1
    assert kinds.count("decision_received") == 1  # the pend itself


async def test_a_callback_of_one_payer_says_nothing_of_anothers_request(doors: Doors) -> None:
    path, body = await pended(doors)
    before = await doors.kinds(path)
    answer = await doors.notify("summit-ma", body)
    assert (answer.status_code, answer.json()["status"]) == (200, "no_case")
    assert await doors.kinds(path) == before


async def test_a_verified_callback_about_another_patient_is_only_a_claim(doors: Doors) -> None:
    path, body = await pended(doors)
    trace = f"{path.rpartition('/')[2]}-1-ordering-1"
    await doors.notify("meridian-ppo", decision_of(trace, "SOMEBODY-ELSE"))
    assert (await doors.quiet(path))["ready"] is False
    assert "notification_claimed" in await doors.kinds(path)
    assert body


@pytest.mark.parametrize(
    "body", [b"", b"{", b"<html></html>", b'{"resourceType":"Bundle"}', decision_of("nothing-of-ours", "M1")]
)
async def test_a_verified_callback_without_a_case_is_taken_and_changes_nothing(doors: Doors, body: bytes) -> None:
    answer = await doors.notify("meridian-ppo", body)
    assert answer.status_code == 200
    assert answer.json()["status"] in {"unreadable", "no_case"}


async def test_an_unknown_payer_is_unknown(doors: Doors) -> None:
    assert (await doors.notify("no-such-payer", b"{}")).status_code == 404


async def test_unverified_callbacks_are_looked_into_within_bounds(doors: Doors) -> None:
    path, body = await pended(doors)
    for _ in range(30):
        assert (await doors.notify("meridian-ppo", b"{}", secret="guessed")).status_code == 401
    await doors.notify("meridian-ppo", body, secret="guessed")
    assert "notification_claimed" not in await doors.kinds(path)


# --- tokens ------------------------------------------------------------------------------------------------------------


async def test_a_token_of_another_practice_finds_nothing_and_that_is_audited(doors: Doors, house: House) -> None:
    path, _ = await doors.opened("202")
    case_id = path.rpartition("/")[2]
    before = await doors.kinds(path)
    async with open_doors(house) as others:
        stranger = await others.token(Role.OPERATOR, "eve")
        attempts: list[tuple[str, str, Any]] = [
            ("GET", path, None),
            ("GET", f"{path}/facts", None),
            ("GET", f"{path}/plan", None),
            ("POST", f"{path}/notes", {"text": "I was here."}),
            ("POST", f"{path}/cancel", {"reason": "No."}),
            ("POST", f"{path}/tasks/x/claim", None),
            ("POST", f"{path}/retract", {"n": 2, "reason": "No."}),
        ]
        for method, where, body in attempts:
            answer = await others.call(method, where, json=body, token=stranger)
            assert answer.status_code == 404, where
            assert answer.json()["code"] == "not_found"
        absent = await others.get(f"/v1/cases/case-{'a' * 26}", token=stranger)
        assert absent.json()["detail"] == answer.json()["detail"]
        kept = await entries(others.services.database, others.desk.practice.id, case_id=case_id)
    assert len(kept) == len(attempts)
    assert {entry.who for entry in kept} == {"eve"}
    assert all(entry.what.endswith(" refused") for entry in kept)
    assert await doors.kinds(path) == before
    live = Live(doors.desk, doors.desk.client.get_workflow_handle(case_id))
    assert (await live.standing()).view.practice == doors.desk.practice.id


async def test_without_a_valid_token_no_door_opens(doors: Doors) -> None:
    for headers in ({}, {"Authorization": "Bearer vgl_staff_" + "x" * 43}, {"Authorization": "Basic abc"}):
        for method, path in (("GET", "/v1/worklist"), ("POST", "/v1/orders"), ("GET", "/v1/cases/x")):
            answer = await doors.http.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_role_may_do_what_it_may_and_no_more(doors: Doors) -> None:
    intake, codec = await doors.token(Role.INTAKE), await doors.token(Role.CODEC)
    assert (await doors.get("/v1/worklist", token=intake)).status_code == 403
    assert (await doors.get("/v1/worklist", token=codec)).status_code == 403
    assert (await doors.post("/codec/decode", {"payloads": []}, token=intake)).status_code == 403
    kept = await entries(doors.services.database, doors.desk.practice.id)
    assert any(entry.what == "staff refused" for entry in kept)


# --- bodies and answers ------------------------------------------------------------------------------------------------


async def test_a_body_that_is_too_large_is_refused_by_what_it_is_and_by_what_it_says(doors: Doors) -> None:
    path, body = await pended(doors)
    before = await doors.kinds(path)

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 65536 + 2):
            yield b" " * 65536

    token = {"Authorization": f"Bearer {await doors.token()}", "Content-Type": "application/json"}
    for answer in (
        await doors.notify("meridian-ppo", body + b" " * MAX_BODY),
        await doors.http.post("/v1/orders", content=b" " * (MAX_BODY + 1), headers=token),
        await doors.http.post("/v1/orders", content=drip(), headers=token),
        await doors.http.post("/v1/webhooks/payers/meridian-ppo", content=drip()),
        await doors.http.post(f"{path}/notes", content=drip(), headers=token),
    ):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
    assert await doors.kinds(path) == before


async def test_problems_carry_the_requests_id_and_no_value_of_the_request(doors: Doors) -> None:
    answer = await doors.post("/v1/cases/case-x/notes", {"text": {"name": "Quillfeather"}})
    assert answer.status_code == 422
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert "Quillfeather" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    unknown = await doors.http.get("/v1/nothing", headers={"X-Request-Id": "abcdef-123"})
    assert unknown.status_code == 404
    assert unknown.json()["request_id"] == "abcdef-123"


# --- the codec ---------------------------------------------------------------------------------------------------------


async def sealed(doors: Doors) -> dict[str, Any]:
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b'"Quillfeather"')
    codec = VigilCodec(doors.services.keyring, practice_id=doors.desk.practice.id)
    (payload,) = await codec.encode([plain])
    metadata = {name: base64.b64encode(value).decode() for name, value in payload.metadata.items()}
    return {"payloads": [{"metadata": metadata, "data": base64.b64encode(payload.data).decode()}]}


def opened(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    return base64.b64decode(answer.json()["payloads"][0]["data"])


async def test_the_codec_opens_for_its_role_and_practice_and_is_audited(doors: Doors, house: House) -> None:
    body = await sealed(doors)
    token = await doors.token(Role.CODEC)
    assert opened(await doors.post("/codec/decode", body, token=token)) == b'"Quillfeather"'
    plain = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "e30="}]}
    encoded = await doors.post("/codec/encode", plain, token=token)
    assert opened(await doors.post("/codec/decode", encoded.json(), token=token)) == b"{}"
    async with open_doors(house) as others:
        stranger = await others.post("/codec/decode", body, token=await others.token(Role.CODEC, "eve"))
        assert stranger.status_code == 404
        kept = await entries(others.services.database, others.desk.practice.id)
        assert "codec.decode refused" in {entry.what for entry in kept}
    kept = await entries(doors.services.database, doors.desk.practice.id)
    assert {"codec.decode", "codec.encode"} <= {entry.what for entry in kept}


async def test_this_machines_web_ui_opens_by_the_secret_in_its_address(doors: Doors) -> None:
    body, path = await sealed(doors), codec_path(doors.services.keyring)
    ui = f"http://localhost:{doors.services.settings.ui_port}"
    answer = await doors.http.post(f"{path}/decode", json=body, headers={"Origin": ui})
    assert opened(answer) == b'"Quillfeather"'
    assert answer.headers["access-control-allow-origin"] == ui
    preflight = await doors.http.options(f"{path}/decode", headers={"Origin": ui})
    assert preflight.headers["access-control-allow-headers"] == "content-type, x-namespace, authorization"
    foreign = await doors.http.post(f"{path}/decode", json=body, headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
    assert (await doors.http.post("/codec/guessed/decode", json=body)).status_code == 404
    assert (await doors.http.post("/codec/decode", json=body)).status_code == 401
    assert (await doors.http.post(f"{path}/encode", json=body)).status_code == 405
    kept = await entries(doors.services.database, doors.desk.practice.id)
    assert ("local-web-ui", "codec.decode") in {(entry.who, entry.what) for entry in kept}


async def test_beyond_loopback_there_is_no_codec_unless_switched_on(doors: Doors) -> None:
    body, path, token = await sealed(doors), codec_path(doors.services.keyring), await doors.token(Role.CODEC)
    bearer = {"Authorization": f"Bearer {token}"}
    app = create_app(doors.services)
    remote = httpx.ASGITransport(app, client=("203.0.113.7", 4711))
    rebound = httpx.ASGITransport(app)
    for transport, base in ((remote, "http://vigil.example"), (rebound, "http://evil.example:8080")):
        async with httpx.AsyncClient(transport=transport, base_url=base) as http:
            assert (await http.post("/codec/decode", json=body, headers=bearer)).status_code == 404
            assert (await http.post(f"{path}/decode", json=body)).status_code == 404
    public = doors.services.settings.model_copy(update={"codec_endpoint_public": True})
    transport = httpx.ASGITransport(create_app(replace(doors.services, settings=public)), client=("203.0.113.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://vigil.example") as http:
        assert (await http.post("/codec/decode", json=body, headers=bearer)).status_code == 200
        assert (await http.post(f"{path}/decode", json=body)).status_code == 404


# --- health and the description ----------------------------------------------------------------------------------------


async def test_health_readiness_and_metrics(doors: Doors) -> None:
    await doors.opened("202")
    assert (await doors.http.get("/healthz")).json()["status"] == "ok"
    ready = await doors.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    metrics = (await doors.http.get("/metrics")).text
    assert 'vigil_http_requests_total{method="POST",route="/v1/orders",status="202"}' in metrics
    assert "case-" not in metrics


async def test_the_description_names_every_door_with_words_and_examples(doors: Doors) -> None:
    document = (await doors.http.get("/v1/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            if method == "post" and path.startswith("/v1/") and "webhooks" not in path:
                assert "Idempotency-Key" in {p["name"] for p in operation["parameters"]}, path
    wanted = {
        "/v1/orders", "/v1/cases/{case_id}", "/v1/cases/{case_id}/facts", "/v1/cases/{case_id}/plan", "/v1/cases",
        "/v1/alerts", "/v1/alerts/{key}/acknowledge",
        "/v1/worklist", "/v1/webhooks/payers/{payer}", "/healthz", "/readyz", "/metrics", "/codec/decode",
        *(f"/v1/cases/{{case_id}}/{what}" for what in ("outcome", "notes", "calls", "documents", "cancel", "order")),
        *(f"/v1/cases/{{case_id}}/tasks/{{task}}/{what}" for what in ("claim", "complete", "release")),
    }  # fmt: skip
    assert wanted <= set(document["paths"])
    assert document["components"]["schemas"]["Order"]["properties"]["patient"]
    order_body = document["paths"]["/v1/orders"]["post"]["requestBody"]["content"]
    assert set(order_body) == {"application/json", "application/fhir+json"}
    references = {part.split('"')[0] for part in str(document).replace("'", '"').split("#/components/schemas/")[1:]}
    assert references <= set(document["components"]["schemas"])


async def test_many_at_once_are_each_answered_for_themselves(doors: Doors) -> None:
    ordered = await doors.desk.order("202")
    token = await doors.token()
    answers = await asyncio.gather(*(doors.post("/v1/orders", as_json(ordered), token=token) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers)[:1] == [200]
    assert [answer.status_code for answer in answers].count(202) == 1
    assert len({answer.json()["case_id"] for answer in answers}) == 1


async def test_while_temporal_is_away_nothing_is_taken_and_the_doors_say_so(doors: Doors) -> None:
    held = doors.services
    nowhere = held.settings.model_copy(update={"temporal_port": free_port()})
    client = await connect(nowhere, held.keyring, lazy=True)
    services = Services.of(nowhere, held.keyring, held.practices, client, held.database)
    away = replace(doors, services=services, http=client_of(services))
    ordered = as_json(await doors.desk.order())
    for answer in (
        await away.post("/v1/orders", ordered),
        await away.post(f"/v1/cases/case-{'a' * 26}/notes", {"text": "Is anybody there?"}),
        await away.http.get("/readyz"),
    ):
        assert answer.status_code == 503
    assert (await away.http.get("/healthz")).status_code == 200
