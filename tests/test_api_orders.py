"""Intake: an order becomes a watched case once; what differs and what is missing is named."""

import json
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from activities.rules import line_keys
from connectors.fhir_order import order_from_fhir
from domain.order import Order
from domain.policy import slice_policy
from store.tokens import Role
from tests.api_doors import Doors, as_json, open_doors
from tests.builders import policy
from tests.house import House

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "orders"


@pytest.fixture
async def doors(house: House) -> AsyncIterator[Doors]:
    async with open_doors(house) as found:
        yield found


async def test_an_order_becomes_a_case_that_says_where_it_stands(doors: Doors) -> None:
    ordered = await doors.desk.order("100")
    answer = await doors.post("/v1/orders", as_json(ordered), token=await doors.token(Role.INTAKE))
    assert answer.status_code == 202
    case = answer.json()
    assert answer.headers["location"] == f"/v1/cases/{case['case_id']}"
    assert case["workflow_id"] == case["case_id"]
    assert case["turn"] == "vigil"
    assert case["why"]
    assert case["links"]["case"].endswith(answer.headers["location"])
    assert case["links"]["temporal"].endswith(f"/namespaces/default/workflows/{case['case_id']}")
    row = await doors.quiet(answer.headers["location"])
    assert row["ready"] is True
    assert row["binding"]["rule"]
    assert isinstance(row["slack_minutes"], int)


async def test_the_same_order_again_is_the_same_case(doors: Doors) -> None:
    path, ordered = await doors.opened()
    again = await doors.post("/v1/orders", as_json(ordered))
    assert again.status_code == 200
    assert again.headers["location"] == path
    assert (await doors.kinds(path)).count("order_received") == 1


async def test_the_same_number_with_other_content_is_refused_naming_the_fields(doors: Doors) -> None:
    path, ordered = await doors.opened()
    other = as_json(ordered)
    other["diagnoses"] = ["M54.17"]
    other["coverages"][0]["group_number"] = "G-7"
    answer = await doors.post("/v1/orders", other)
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "order_differs"
    assert {"coverages[0].group_number", "diagnoses"} <= {error["field"] for error in problem["errors"]}
    assert "order_changed" not in await doors.kinds(path)


async def test_an_order_whose_case_is_over_is_answered_from_the_archive(doors: Doors) -> None:
    path, ordered = await doors.opened("202")
    assert (await doors.post(f"{path}/cancel", {"reason": "Not wanted."})).status_code == 200
    for _ in range(100):
        if (await doors.quiet(path))["stage"] == "closed":
            break
    again = await doors.post("/v1/orders", as_json(ordered))
    assert again.status_code == 200
    assert again.json()["stage"] == "closed"
    differs = await doors.post("/v1/orders", {**as_json(ordered), "diagnoses": ["M54.17"]})
    assert differs.status_code == 409
    note = await doors.post(f"{path}/notes", {"text": "Too late."})
    assert (note.status_code, note.json()["code"]) == (409, "closed")


async def test_missing_fields_are_named_with_who_can_fill_them(doors: Doors) -> None:
    answer = await doors.post("/v1/orders", {"source": "nextgen", "number": "ORD-9", "diagnoses": []})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    errors = {error["field"]: error for error in answer.json()["errors"]}
    assert errors["patient"]["who"] == "front_desk"
    assert errors["diagnoses"]["who"] == "ordering_provider"
    assert errors["coverages"]["pointer"] == "/coverages"
    assert "practice" not in errors


async def test_a_fhir_bundle_is_an_order(doors: Doors) -> None:
    bundle = json.loads((EXAMPLES / "story-a-approved.fhir.json").read_text())
    answer = await doors.post("/v1/orders", bundle, headers={"Content-Type": "application/fhir+json"})
    assert answer.status_code == 202
    assert answer.json()["payer"] == "meridian-ppo"
    assert answer.json()["source"] == "fhir"
    del bundle["entry"][2]
    lacking = await doors.post("/v1/orders", bundle, headers={"Content-Type": "application/fhir+json"})
    assert lacking.status_code == 422
    assert all(error["who"] for error in lacking.json()["errors"])


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"{", "application/json", 400), (b"[]", "application/json", 400), (b"a=1", "text/plain", 415)],
)
async def test_what_is_no_order_at_all_is_said_to_be_none(doors: Doors, content: bytes, kind: str, status: int) -> None:
    answer = await doors.call("POST", "/v1/orders", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status


async def test_an_order_of_another_practice_is_refused(doors: Doors) -> None:
    ordered = (await doors.desk.order()).model_copy(update={"practice": "elsewhere"})
    answer = await doors.post("/v1/orders", as_json(ordered))
    assert (answer.status_code, answer.json()["code"]) == (403, "other_practice")


async def test_a_changed_order_is_one_fact_however_often_it_is_sent(doors: Doors) -> None:
    path, ordered = await doors.opened("202")
    changed = {**as_json(ordered), "diagnoses": ["M54.17"]}
    for repeated in (False, True):
        answer = await doors.post(f"{path}/order", changed)
        assert (answer.status_code, answer.json()["repeated"]) == (200, repeated)
    assert (await doors.kinds(path)).count("order_changed") == 1
    other = await doors.post(f"{path}/order", {**changed, "number": "ORD-other"})
    assert (other.status_code, other.json()["code"]) == (409, "other_order")


async def test_an_answer_is_given_again_to_the_same_idempotency_key(doors: Doors) -> None:
    body, token = as_json(await doors.desk.order("202")), await doors.token()
    headers = {"Idempotency-Key": "seed-1"}
    first = await doors.post("/v1/orders", body, headers=headers, token=token)
    again = await doors.post("/v1/orders", body, headers=headers, token=token)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    other = await doors.post("/v1/orders", {**body, "number": "X"}, headers=headers, token=token)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_example_is_an_order_that_its_payers_rules_speak_of(path: Path) -> None:
    data = json.loads(path.read_text())
    fhir = data.get("resourceType") == "Bundle"
    found = (
        order_from_fhir(data, "lakeside", "fhir", payers={"meridian ppo": "meridian-ppo"})
        if fhir
        else Order.model_validate(data)
    )
    first = min(line.service_from for line in found.lines)
    assert first > date(2026, 12, 31)
    cut = slice_policy(policy(found.primary.payer), on=first, urgency=found.urgency, lines=line_keys(found))
    assert {cut.requirement(line.number).authorization for line in found.lines} == {"required"}  # type: ignore[union-attr]
