"""What we send to the gateway: the same bytes for the same request, in the swagger's own words.

The golden files are our own bodies, to be read by people; `python -m tests.test_gateway_write` writes them anew.
"""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.gateway.client import GatewayAnswer
from connectors.gateway.configurations import Configuration, ConfigurationCache, read_configuration
from connectors.gateway.write import ours, search_query, service_review
from connectors.lenient import encode
from domain.decision import Number, NumberType
from domain.order import Category, Coverage, Order, Relationship, ServiceLine, Sex, Urgency
from domain.request import Request
from sandbox import gateway_read, gateway_rules
from tests.pas_requests import PRACTICE, full_order, order, request

Json = dict[str, Any]
GOLDEN = Path(__file__).resolve().parent / "golden" / "gateway"
RECORD = "SR1001"
CERTIFIED = Number(type=NumberType.CERTIFICATION, value="HHA1001")
PENDED = Number(type=NumberType.ADMINISTRATIVE, value="PEND-HHA1001")


def bodies() -> dict[str, Json]:
    """One of everything that we send, of the order in which everything is known."""
    asked = request(full_order(), rail="gateway")
    return {
        "submit": service_review(asked, PRACTICE, "HARBR"),
        "plain": service_review(request(order(), rail="gateway", assertion="CRD-77"), PRACTICE, "MERID"),
        "referral": service_review(request(rail="gateway", referral=True, lines=(1,)), PRACTICE, "HARBR"),
        "update": service_review(asked, PRACTICE, "HARBR", RECORD),
        "inquiry": dict(search_query(asked, PRACTICE, "HARBR")),
        "inquiry-by-number": dict(search_query(asked, PRACTICE, "HARBR", (PENDED, CERTIFIED))),
    }


@pytest.mark.parametrize("name", sorted(bodies()))
def test_what_is_sent_is_the_golden_one(name: str) -> None:
    assert bodies()[name] == json.loads((GOLDEN / f"{name}.json").read_text())


def test_the_same_request_is_the_same_bytes() -> None:
    first, second = (encode(service_review(request(full_order()), PRACTICE, "HARBR")) for _ in range(2))
    assert first == second


def test_an_answer_is_matched_by_trace_record_member_and_lines() -> None:
    mine = ours(request(order()), ("SR1",))
    assert mine.names == {mine.trace, "SR1"}
    assert (mine.member_id, dict(mine.lines)) == ("MER000100", {1: "95910", 3: "G0283"})


@pytest.mark.parametrize("name", ["submit", "plain", "referral", "update"])
def test_every_field_is_one_of_the_swagger_and_of_its_type(shared: Path, name: str) -> None:
    swagger = json.loads((shared / "fixtures/vendors/availity/availity-service-reviews-swagger.json").read_text())
    assert disagreements(swagger, swagger["definitions"]["ServiceReview"], bodies()[name], "") == []
    wrong = {**bodies()[name], "surprise": "x", "quantity": 3, "fromDate": "20260320", "patient": []}
    assert len(disagreements(swagger, swagger["definitions"]["ServiceReview"], wrong, "")) == 4


@pytest.mark.parametrize("name", ["inquiry", "inquiry-by-number"])
def test_every_name_of_a_query_is_one_of_the_swagger(shared: Path, name: str) -> None:
    swagger = json.loads((shared / "fixtures/vendors/availity/availity-service-reviews-swagger.json").read_text())
    known = {parameter["name"] for parameter in swagger["paths"]["/service-reviews"]["get"]["parameters"]}
    assert bodies()[name].keys() <= known


def test_the_domains_own_example_has_no_field_that_we_leave_out_for_want_of_knowing(shared: Path) -> None:
    example = json.loads((shared / "fixtures/vendors/availity/examples/service-review.create.request.json").read_text())
    ours_ = {**bodies()["submit"], **bodies()["referral"]}
    assert example.keys() <= ours_.keys()
    unknown_to_us = {"submitterId", "fax"}
    assert example["requestingProvider"].keys() - unknown_to_us <= ours_["requestingProvider"].keys()
    for name in ("subscriber", "patient"):
        assert example[name].keys() <= ours_[name].keys()
    for name in ("diagnoses", "procedures", "providerNotes"):
        assert example[name][0].keys() <= ours_[name][0].keys()


def disagreements(swagger: Json, schema: Json, value: Any, at: str) -> list[str]:
    """Where a value does not fit a definition: unknown names, other types, dates that are none."""
    if "$ref" in schema:
        schema = swagger["definitions"][schema["$ref"].rpartition("/")[2]]
    kinds: dict[str, type] = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
    if not isinstance(value, kinds[schema["type"]]):
        return [f"{at}: not {schema['type']}"]
    found: list[str] = []
    if isinstance(value, dict):
        for name, inner in value.items():
            known = schema["properties"].get(name)
            found += (
                [f"{at}.{name}: unknown"] if known is None else disagreements(swagger, known, inner, f"{at}.{name}")
            )
    if isinstance(value, list):
        for place, inner in enumerate(value):
            found += disagreements(swagger, schema["items"], inner, f"{at}[{place}]")
    if schema.get("format") == "date":
        try:
            found += [] if date.fromisoformat(str(value)).isoformat() == value else [f"{at}: no date"]
        except ValueError:
            found.append(f"{at}: no date")
    return found


WORDS = st.text("abcdefghijklmnopqrstuvwxyzÄé'-", min_size=1, max_size=30).filter(lambda word: word == word.strip())
DAYS = st.dates(date(2026, 1, 1), date(2027, 12, 31))


@st.composite
def service_lines(draw: st.DrawFn, number: int) -> ServiceLine:
    start, end = sorted((draw(DAYS), draw(DAYS)))
    return ServiceLine(
        number=number,
        code=draw(st.sampled_from(["95910", "72131", "G0283", "93970"])),
        category=draw(st.sampled_from(list(Category))),
        modifiers=tuple(draw(st.lists(st.sampled_from(["RT", "LT", "59", "26"]), max_size=4))),
        units=draw(st.integers(1, 9999)),
        unit_kind=draw(st.sampled_from(["unit", "visit", "study", "quarter_hour", "day"])),
        place_of_service=draw(st.sampled_from(["11", "22", "24"])),
        service_from=start,
        service_to=draw(st.sampled_from([None, end])),
    )


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Any request that the domain can make for the gateway."""
    numbers = draw(st.lists(st.integers(1, 99), min_size=1, max_size=6, unique=True))
    base = full_order() if draw(st.booleans()) else order()
    coverage = base.coverages[0].model_dump() | {
        "member_id": draw(st.text("ABC019-", min_size=2, max_size=40)),
        "relationship": draw(st.sampled_from(list(Relationship))),
        "subscriber_family_name": draw(WORDS),
        "subscriber_given_name": draw(WORDS),
        "subscriber_birth_date": date(1950, 2, 3),
    }
    urgency = draw(st.sampled_from(list(Urgency)))
    person = {"family_name": draw(WORDS), "given_name": draw(WORDS), "sex": draw(st.sampled_from(list(Sex)))}
    changed = base.model_dump() | {
        "patient": base.patient.model_dump() | person,
        "coverages": (Coverage.model_validate(coverage),),
        "urgency": urgency,
        "urgency_attestation": draw(st.text("abc def.", min_size=5, max_size=500).filter(str.strip)),
        "diagnoses": tuple(draw(st.lists(st.sampled_from(["M54.16", "G5601", "I10"]), min_size=1, max_size=12))),
        "lines": tuple(draw(service_lines(number)) for number in numbers),
    }
    asked = Order.model_validate(changed)
    wanted = draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True))
    return request(asked, rail="gateway", lines=tuple(wanted), referral=draw(st.booleans()))


@settings(max_examples=60, deadline=None)
@given(requests())
def test_whatever_is_asked_an_independent_reading_finds_the_same_request(asked: Request) -> None:
    body = json.loads(encode(service_review(asked, PRACTICE, "HARBR")))
    assert gateway_read.check(body) == []
    read = gateway_read.read(body)
    order_, coverage = asked.order, asked.coverage
    assert (read.trace, read.payer, read.member_id) == (asked.trace, "HARBR", coverage.member_id)
    assert (read.requester_npi, read.requester_name) == (PRACTICE.npi, PRACTICE.name)
    assert read.person.family == order_.patient.family_name
    assert (read.person.given, read.person.birth_date) == (order_.patient.given_name, order_.patient.birth_date)
    assert read.person.sex == {"female": "F", "male": "M"}.get(order_.patient.sex.value, "U")
    assert (read.patient is None) == (coverage.relationship is Relationship.SELF)
    if read.patient is not None:
        assert (read.subscriber.family, read.subscriber.given) == (
            coverage.subscriber_family_name,
            coverage.subscriber_given_name,
        )
    assert read.ordering_npi == order_.ordering.npi
    assert read.rendering_npi == (order_.rendering.npi if order_.rendering else "")
    assert read.facility_npi == (order_.facility.npi if order_.facility else "")
    assert read.diagnoses == tuple(code.replace(".", "") for code in order_.diagnoses)
    assert (read.urgency, read.referral) == (order_.urgency.value, asked.referral)
    assert [(line.code, line.modifiers, line.units, line.date_from, line.date_to) for line in read.lines] == [
        (line.code, line.modifiers, line.units, line.service_from, line.service_to or line.service_from)
        for line in asked.service_lines
    ]
    assert {line.place_of_service for line in read.lines} == {asked.service_lines[0].place_of_service}


def rules(elements: Json, combined: Json | None = None) -> Configuration:
    """A payer's field rules as the gateway answers them."""
    fields = {"elements": elements, "requiredFieldCombinations": combined or {}}
    body = {"configurations": [{"type": "service-reviews"}, fields]}
    read = read_configuration(GatewayAnswer(status=200, body=json.dumps(body).encode()))
    assert read is not None
    return read


BODY: Json = {
    "requestTypeCode": "HS",
    "patient": {"lastName": "Testperson", "birthDate": "1970-05-17"},
    "procedures": [{"code": "95910", "quantity": "2"}, {"code": "G0283"}],
    "providerNotes": [{"message": "n" * 300}],
}


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"patient": {"elements": {"lastName": {"required": True}, "firstName": {}}}}, []),
        ({"patient": {"elements": {"firstName": {"required": True}}}}, [("REQUIRED", "patient.firstName")]),
        ({"patient.firstName": {"required": True}}, [("REQUIRED", "patient.firstName")]),
        ({"group": {"type": "Section", "elements": {"levelX": {"required": True}}}}, [("REQUIRED", "levelX")]),
        ({"hint": {"type": "Information", "required": True}, "x": {"type": "Unsupported", "required": True}}, []),
        (
            {"procedures": {"elements": {"quantity": {"requiredWhen": {"code": {"equalTo": "G0283"}}}}}},
            [("REQUIRED", "procedures[1].quantity")],
        ),
        (
            {"procedures": {"elements": {"quantity": {"requiredWhen": {"requestTypeCode": {"containedIn": ["SC"]}}}}}},
            [],
        ),
        (
            {"x": {"required": True, "notRequiredWhen": {"patient.lastName": {"pattern": "^Test"}}}},
            [],
        ),
        ({"x": {"required": True, "allowedWhen": {"requestTypeCode": {"equalTo": "AR"}}}}, []),
        ({"requestTypeCode": {"allowed": False}}, [("NOTALLOWED", "requestTypeCode")]),
        (
            {"providerNotes": {"notAllowedWhen": {"patient.birthDate": {"lessThan": "1980-01-01"}}}},
            [("NOTALLOWED", "providerNotes")],
        ),
        ({"providerNotes": {"elements": {"message": {"maxLength": 264}}}}, [("LENGTH", "providerNotes[0].message")]),
        ({"requestTypeCode": {"minLength": 3}}, [("LENGTH", "requestTypeCode")]),
        ({"patient": {"elements": {"lastName": {"pattern": "^[0-9]+$"}}}}, [("PATTERN", "patient.lastName")]),
        ({"requestTypeCode": {"values": [{"id": "AR"}, "SC"]}}, [("VALUE", "requestTypeCode")]),
        ({"requestTypeCode": {"values": "/v1/values"}}, []),
        (
            {
                "patient": {
                    "elements": {
                        "lastName": {"maxLengthWhen": {"requestTypeCode": [{"equalTo": "HS", "maxLength": 5}]}}
                    }
                }
            },
            [("LENGTH", "patient.lastName")],
        ),
        ({"requestTypeCode": {"maxLengthWhen": {"requestTypeCode": [{"equalTo": "AR", "maxLength": 1}]}}}, []),
        (
            {"procedures": {"elements": {"code": {"patternWhen": {"quantity": [{"lessThan": "5", "pattern": "^G"}]}}}}},
            [("PATTERN", "procedures[0].code")],
        ),
        (
            {"requestTypeCode": {"valuesWhen": {"patient.lastName": [{"equalTo": "Testperson", "values": ["SC"]}]}}},
            [("VALUE", "requestTypeCode")],
        ),
        ({"requestTypeCode": {"valuesWhen": {"patient.lastName": [{"equalTo": "Other", "values": ["SC"]}]}}}, []),
        ({"procedures": {"maxRepeats": 1}}, [("REPEATS", "procedures")]),
        ({"procedures": {"minRepeats": 3}}, [("REPEATS", "procedures")]),
        (
            {"patient": {"elements": {"birthDate": {"type": "Date", "min": "1980-01-01T00:00:00Z"}}}},
            [("DATE", "patient.birthDate")],
        ),
    ],
)
def test_a_problem_names_the_field_and_what_to_do_and_no_value(elements: Json, expected: list[tuple[str, str]]) -> None:
    problems = rules(elements).problems(BODY)
    assert [(problem.code, problem.where) for problem in problems] == expected
    assert all((problem.text or "").endswith(".") for problem in problems)
    assert "Testperson" not in str(problems)
    assert "nnn" not in str(problems)


def test_of_combined_fields_one_list_must_be_whole() -> None:
    whole = {"patient": [["patient.firstName"], ["patient.lastName", "patient.birthDate"]]}
    assert rules({"a": {}}, whole).problems(BODY) == ()
    (problem,) = rules({"a": {}}, {"patient": [["subscriber.memberId", "patient.lastName"]]}).problems(BODY)
    assert (problem.code, problem.where) == ("COMBINED", "subscriber.memberId and patient.lastName")


@pytest.mark.parametrize(
    "pattern", [r"^(a+)+$", r"^(\w+\s?)*$", r"^(n|nn)*$", ".*.*.*.*.*.*.*x", "(", "n{1,99999999999}", "a" * 500]
)
def test_a_pattern_that_cannot_be_judged_stops_nothing(pattern: str) -> None:
    assert rules({"providerNotes": {"elements": {"message": {"pattern": pattern}}}}).problems(BODY) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["elements", "required", "requiredWhen", "values", "type", "pattern"]), inner)
    ),
    max_leaves=30,
)


@settings(max_examples=200, deadline=None)
@given(JSON, JSON)
def test_no_rules_can_make_the_check_fail(elements: Any, combined: Any) -> None:
    body = {"configurations": [{"elements": elements, "requiredFieldCombinations": combined}]}
    read = read_configuration(GatewayAnswer(status=200, body=json.dumps(body).encode()))
    if read is not None:
        assert isinstance(read.problems(BODY), tuple)


def test_what_we_send_fits_the_rules_of_both_payers() -> None:
    for payer, name in (("HARBR", "submit"), ("HARBR", "referral"), ("MERID", "plain")):
        (configuration,) = gateway_rules.configurations(payer, bodies()[name]["requestTypeCode"])
        found = rules(configuration["elements"], configuration["requiredFieldCombinations"]).problems(bodies()[name])
        assert found == (), name


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"{}"), (200, b'{"configurations":[]}'), (200, b"<html>"), (500, b""), (200, b"[]")]
)
def test_a_payer_without_rules_has_none(status: int, body: bytes) -> None:
    assert read_configuration(GatewayAnswer(status=status, body=body)) is None


async def test_rules_are_kept_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, fetched = [1000.0], []
    monkeypatch.setattr("connectors.gateway.configurations.time.monotonic", lambda: clock[0])

    async def fetch() -> GatewayAnswer:
        fetched.append(clock[0])
        return GatewayAnswer(status=200, body=b'{"configurations":[{"elements":{"a":{}}}]}')

    cache = ConfigurationCache()
    for moment in (1000.0, 87399.0, 87401.0):
        clock[0] = moment
        assert await cache.get(("relay", "HARBR"), fetch) is not None
    assert fetched == [1000.0, 87401.0]


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, body in bodies().items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n")
