"""The sandbox's gateway by its own door: as strict as a 278 needs, with the quirks that the real one has."""

import copy
import json
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.gateway.words import DEMO_SCOPE, SCOPE
from connectors.gateway.write import service_review
from sandbox import gateway_read
from tests.pas_requests import PRACTICE, full_order, order, request

Json = dict[str, Any]
REVIEWS = "/gateways/relay/v2/service-reviews"


class Gateway:
    """A practice of its own at the gateway."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self.practice = http, f"gw-{uuid.uuid4().hex[:10]}"

    async def login(self, scope: str = DEMO_SCOPE) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_id": self.practice, "client_secret": "x", "scope": scope}
        answer = await self.http.post("/gateways/relay/v1/token", data=form)
        if answer.is_success:
            self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer

    async def post(self, body: Any) -> httpx.Response:
        return await self.http.post(REVIEWS, json=body)

    async def created(self, scenario: str, **changes: Any) -> str:
        answer = await self.post(body_of(scenario, **changes))
        assert answer.status_code == 202, answer.text
        return answer.headers["location"].rpartition("/")[2]

    async def answered(self, record: str) -> Json:
        """The review once the payer has answered."""
        first = await self.http.get(f"{REVIEWS}/{record}")
        assert (first.status_code, first.content) == (202, b"")
        answer = await self.http.get(f"{REVIEWS}/{record}")
        assert answer.status_code == 200
        found: Json = answer.json()
        return found


@pytest.fixture
async def gateway(sandbox_url: str) -> AsyncIterator[Gateway]:
    async with httpx.AsyncClient(base_url=sandbox_url, timeout=10) as http:
        made = Gateway(http)
        await made.login()
        yield made


def body_of(scenario: str, payer: str = "HARBR", **changes: Any) -> Json:
    asked = request(order(coverage={"member_id": f"MEM000{scenario}"}), rail="gateway")
    return {**copy.deepcopy(service_review(asked, PRACTICE, payer)), **changes}


async def test_a_token_needs_product_and_one_plan_and_lasts_five_minutes(gateway: Gateway) -> None:
    granted = (await gateway.login()).json()
    assert (granted["expires_in"], granted["token_type"]) == (300, "Bearer")
    for scope in ("", "hipaa", "healthcare-hipaa-transactions", f"{SCOPE} {DEMO_SCOPE}", SCOPE.upper()):
        assert (await gateway.login(scope)).json() == {"error": "invalid_scope"}
    answer = await gateway.http.post("/gateways/relay/v1/token", json={"grant_type": "client_credentials"})
    assert answer.status_code == 400
    gateway.http.headers["Authorization"] = "Bearer none"
    assert (await gateway.http.get(REVIEWS)).status_code == 401


async def test_canned_and_live_answers_are_told_apart_by_the_scope(gateway: Gateway) -> None:
    path = "/gateways/relay/v1/configurations?type=service-reviews"
    assert (await gateway.http.get(path)).headers["x-api-mock-response"] == "true"
    await gateway.login(SCOPE)
    live = await gateway.http.get(path)
    assert "x-api-mock-response" not in live.headers
    assert live.headers["x-availity-transaction-id"]


async def test_the_answer_comes_on_a_later_poll_with_all_that_was_sent(gateway: Gateway) -> None:
    record = await gateway.created("100")
    found = await gateway.answered(record)
    assert found["id"] == record
    assert found["statusCode"] == "A1"
    assert found["certificationNumber"].startswith("HHA")
    assert found["providerNotes"] == body_of("100")["providerNotes"]
    for procedure, start in zip(found["procedures"], ("2026-03-20", "2026-03-20"), strict=True):
        assert (procedure["statusCode"], procedure["certificationEffectiveDate"]) == ("A1", start)
        assert procedure["certificationExpirationDate"] > start


async def test_every_field_of_an_answer_is_one_of_the_swagger(gateway: Gateway, shared: Path) -> None:
    swagger = json.loads((shared / "fixtures/vendors/availity/availity-service-reviews-swagger.json").read_text())
    known = swagger["definitions"]["ServiceReview"]["properties"]
    for scenario in ("100", "204", "300", "400", "500", "401"):
        found = await gateway.answered(await gateway.created(scenario))
        assert found.keys() <= known.keys(), scenario
        for procedure in found["procedures"]:
            assert procedure.keys() <= swagger["definitions"]["Procedures"]["properties"].keys()


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("200", ("A4", ["A4", "A4"])),
        ("300", ("A3", ["A3", "A3"])),
        ("400", ("A2", ["A1", "A3"])),
        ("402", ("A2", ["A2", "A2"])),
        ("600", ("ZZ", ["ZZ", "ZZ"])),
        ("900", ("NA", ["NA", "NA"])),
    ],
)
async def test_the_table_of_scenarios(gateway: Gateway, scenario: str, expected: tuple[str, list[str]]) -> None:
    found = await gateway.answered(await gateway.created(scenario))
    assert (found["statusCode"], [p["statusCode"] for p in found["procedures"]]) == expected


async def test_what_the_payer_does_not_take_is_in_a_200(gateway: Gateway) -> None:
    refused = await gateway.answered(await gateway.created("500"))
    assert refused["validationMessages"][0]["code"] == "15"
    assert "statusCode" not in refused
    many = [{"qualifierCode": "ABK" if n == 0 else "ABF", "code": "M54.16"} for n in range(7)]
    by_rule = await gateway.answered(await gateway.created("100", diagnoses=many))
    assert by_rule["validationMessages"][0]["field"] == "diagnoses"


async def test_the_same_again_is_another_record_and_the_payers_duplicate(gateway: Gateway) -> None:
    first, second = await gateway.created("200"), await gateway.created("200")
    assert first != second
    found = await gateway.answered(second)
    assert (found["statusCode"], found["statusReasons"][0]["code"]) == ("A3", "0Q")


async def test_too_many_requests_name_no_time(gateway: Gateway) -> None:
    for _ in range(2):
        answer = await gateway.post(body_of("702"))
        assert (answer.status_code, "retry-after" in answer.headers) == (429, False)
    assert (await gateway.post(body_of("702"))).status_code == 202


@pytest.mark.parametrize("scenario", ["100", "200"])
async def test_a_void_is_done_at_once_or_on_its_way(gateway: Gateway, scenario: str) -> None:
    record = await gateway.created(scenario)
    await gateway.answered(record)
    voided = await gateway.http.delete(f"{REVIEWS}/{record}")
    assert voided.status_code == (202 if scenario == "100" else 204)
    if scenario == "100":
        assert (await gateway.answered(record))["statusCode"] == "C"
    else:
        assert (await gateway.http.get(f"{REVIEWS}/{record}")).status_code == 404
    assert (await gateway.http.delete(f"{REVIEWS}/nobody")).status_code == 404


async def test_an_update_is_the_whole_in_place_of_what_was(gateway: Gateway) -> None:
    record = await gateway.created("200")
    changed = {**body_of("200"), "id": record, "fromDate": "2026-03-19"}
    assert (await gateway.http.put(REVIEWS, json=changed)).status_code == 202
    assert (await gateway.answered(record))["fromDate"] == "2026-03-19"
    assert (await gateway.http.put(REVIEWS, json={**changed, "id": "SR0"})).status_code == 404
    denied = await gateway.created("300")
    refused = await gateway.http.put(REVIEWS, json={**body_of("300"), "id": denied})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "id")


def query(scenario: str, **changes: str) -> dict[str, str]:
    asked = {
        "payer.id": "HARBR",
        "requestingProvider.npi": PRACTICE.npi,
        "subscriber.memberId": f"MEM000{scenario}",
        "patient.lastName": "Testperson",
        "patient.birthDate": "1970-05-17",
        "fromDate": "2026-03-20",
    }
    return {**asked, **changes}


async def test_a_search_takes_a_second_look_and_has_pages(gateway: Gateway) -> None:
    records = [await gateway.created("200") for _ in range(3)]
    assert (await gateway.http.get(REVIEWS, params=query("200"))).status_code == 202
    found = (await gateway.http.get(REVIEWS, params=query("200"))).json()
    assert {review["id"] for review in found["serviceReviews"]} == set(records)
    assert (found["count"], found["totalCount"], found["offset"], found["limit"]) == (3, 3, 0, 50)
    narrow = query("200", limit="2", offset="2")
    await gateway.http.get(REVIEWS, params=narrow)
    page = (await gateway.http.get(REVIEWS, params=narrow)).json()
    assert (page["count"], page["totalCount"], page["offset"]) == (1, 3, 2)
    for changes in ({"fromDate": "2026-03-21"}, {"patient.lastName": "Other"}, {"subscriber.memberId": "X1"}):
        await gateway.http.get(REVIEWS, params=query("200", **changes))
        assert (await gateway.http.get(REVIEWS, params=query("200", **changes))).json()["totalCount"] == 0


@pytest.mark.parametrize(
    "changes", [{"patient.birthDate": ""}, {"memberId": "1"}, {"patient.birthDate": "soon"}, {"payer.id": "NOBODY"}]
)
async def test_a_query_is_checked(gateway: Gateway, changes: dict[str, str]) -> None:
    answer = await gateway.http.get(REVIEWS, params=query("100", **changes))
    assert answer.status_code == 400
    assert answer.json()["errors"]


async def test_configurations_differ_by_payer_and_are_abbreviated_without_one(gateway: Gateway) -> None:
    path = "/gateways/relay/v1/configurations"

    async def elements(payer: str) -> Json:
        asked = {"type": "service-reviews", "subtypeId": "HS", "payerId": payer}
        (found,) = (await gateway.http.get(path, params=asked)).json()["configurations"]
        made: Json = found["elements"]
        return made

    assert (await elements("HARBR")).keys() != (await elements("MERID")).keys()
    some = (await gateway.http.get(path, params={"type": "service-reviews"})).json()
    assert {entry["payerId"] for entry in some["configurations"]} == {"HARBR", "MERID"}
    assert all("elements" not in entry for entry in some["configurations"])
    assert (await gateway.http.get(path)).status_code == 400


def put(*path: Any) -> Callable[[Json], None]:
    """Set the last but one step of a path to the last."""
    *steps, name, value = path

    def change(body: Json) -> None:
        holder: Any = body
        for step in steps:
            holder = holder[step]
        holder[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (put("subscriber", "memberId", ""), "subscriber.memberId"),
        (put("patient", "birthDate", "1970-02-30"), "patient.birthDate"),
        (put("patient", "firstName", "R" * 36), "patient.firstName"),
        (put("patient", "genderCode", "female"), "patient.genderCode"),
        (put("renderingProviders", 0, "specialtyCode", "ORTHO"), "renderingProviders.specialtyCode"),
        (put("patient", "subscriberRelationshipCode", "self"), "patient.subscriberRelationshipCode"),
        (put("requestingProvider", "npi", "1234567890"), "requestingProvider.npi"),
        (put("requestingProvider", "phone", "+12175550100"), "requestingProvider.phone"),
        (put("requestTypeCode", "XX"), "requestTypeCode"),
        (put("placeOfServiceCode", "office"), "placeOfServiceCode"),
        (put("serviceLevelCode", "fast"), "serviceLevelCode"),
        (put("diagnoses", []), "diagnoses"),
        (put("diagnoses", 0, "code", "M5416"), "diagnoses.code"),
        (put("diagnoses", 0, "qualifierCode", "ABF"), "diagnoses.qualifierCode"),
        (put("procedures", 0, "code", "9591"), "procedures.code"),
        (put("procedures", 0, "quantity", "0"), "procedures.quantity"),
        (put("procedures", 0, "quantity", 2), "procedures.quantity"),
        (put("procedures", 0, "modifierCode1", "R"), "procedures.modifierCode1"),
        (put("procedures", 0, "toDate", "2026-03-01"), "procedures.toDate"),
        (put("toDate", "2026-03-01"), "toDate"),
        (put("renderingProviders", 0, "roleCode", "XX"), "renderingProviders.roleCode"),
        (put("providerNotes", 0, "message", "n" * 265), "providerNotes.message"),
        (put("certificationNumber", "MINE"), "certificationNumber"),
        (put("surprise", "x"), "surprise"),
        (put("patient", "Surprise", "x"), "patient.Surprise"),
        (put("payer", "HARBR"), "payer"),
        (put("payer", "id", "NOBODY"), "payer.id"),
        (put("id", "SR1"), "id"),
    ],
)
async def test_what_is_wrong_is_refused_with_its_field(
    gateway: Gateway, change: Callable[[Json], None], field: str
) -> None:
    body = body_of("100")
    change(body)
    answer = await gateway.post(body)
    assert answer.status_code == 400
    assert field in {error["field"] for error in answer.json()["errors"]}


async def test_what_is_no_json_object_is_refused(gateway: Gateway) -> None:
    assert (await gateway.post([])).status_code == 400
    for kind in ("application/json", "text/plain"):
        answer = await gateway.http.post(REVIEWS, content=b"{", headers={"content-type": kind})
        assert answer.status_code == 400


def test_everything_that_the_practice_knows_is_read() -> None:
    body = service_review(request(full_order(), rail="gateway"), PRACTICE, "HARBR")
    assert gateway_read.check(body) == []
    read = gateway_read.read(body, "update", ("PEND-1",))
    assert (read.kind, read.prior_numbers, read.urgency) == ("update", ("PEND-1",), "urgent")
    assert read.facility_npi
    assert read.rendering_npi
    assert read.patient is not None
    assert read.patient.relationship == "19"
