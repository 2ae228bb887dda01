"""Eligibility answers read: what is said, what is unclear, and what must be asked again."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import eligibility
from connectors.eligibility import EligibilityClient, Identity
from connectors.errors import Busy, NotUnderstood, Refused, Unreachable
from domain.facts import CoverageStatus
from domain.order import Category, Coverage, Relationship
from tests.vendor_world import order


def answer(*benefits: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"benefitsInformation": list(benefits), "errors": [], **more}).encode()


def benefit(code: str, *types: str, **more: Any) -> dict[str, Any]:
    return {"code": code, "serviceTypeCodes": list(types), **more}


def in_network(code: str, *types: str, **more: Any) -> dict[str, Any]:
    return benefit(code, *types, inPlanNetworkIndicatorCode="Y", coverageLevelCode="IND", **more)


ACTIVE = benefit("1", "30", planCoverage="Synthetic Plan")


def read(*benefits: dict[str, Any], category: Category = Category.CONSULT, **more: Any) -> eligibility.Eligibility:
    return eligibility.read(answer(*benefits, **more), category)


def test_the_vendors_example_is_read_right(shared: Path) -> None:
    raw = (shared / "fixtures/vendors/stedi/examples/EligibilityCheck_response_200.json").read_bytes()
    found = eligibility.read(raw, Category.CONSULT)
    assert found.status is CoverageStatus.ACTIVE
    assert found.plan_name == "Open Access Plus"
    assert (found.active_from, found.active_to) == (date(2024, 1, 1), date(2024, 12, 31))
    assert found.benefits.deductible_left_cents == 250_00
    assert found.benefits.out_of_pocket_left_cents == 2760_00
    assert found.benefits.coinsurance_basis_points == 1000
    # The only copays in it are for mental health: not this order's.
    assert found.benefits.copay_cents is None


def test_the_vendors_rejection_is_read_right(shared: Path) -> None:
    raw = (shared / "fixtures/vendors/stedi/examples/EligibilityCheck_response_400.json").read_bytes()
    found = eligibility.read(raw, Category.CONSULT)
    assert found.status is CoverageStatus.UNCLEAR
    assert [error.code for error in found.errors] == ["44"]


@pytest.mark.parametrize("code", ["1", "2", "3", "4", "5"])
def test_active(code: str) -> None:
    assert read(benefit(code, "30")).status is CoverageStatus.ACTIVE


@pytest.mark.parametrize("code", ["6", "7", "8"])
def test_inactive(code: str) -> None:
    assert read(benefit(code, "30")).status is CoverageStatus.INACTIVE


@pytest.mark.parametrize(
    "benefits",
    [
        (),
        (benefit("1", "MH"),),
        (benefit("1", "30"), benefit("6", "98")),
        (in_network("B", "98", benefitAmount="40"),),
        (benefit("V", "30"),),
    ],
    ids=["nothing", "another service", "both", "amounts only", "cannot process"],
)
def test_what_is_not_said_plainly_is_unclear(benefits: tuple[dict[str, Any], ...]) -> None:
    assert read(*benefits).status is CoverageStatus.UNCLEAR


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("72", CoverageStatus.NOT_FOUND),
        ("73", CoverageStatus.NOT_FOUND),
        ("75", CoverageStatus.NOT_FOUND),
        ("79", CoverageStatus.UNCLEAR),
        ("T4", CoverageStatus.UNCLEAR),
    ],
)
def test_an_aaa_inside_a_200_is_no_coverage_even_beside_benefits(code: str, status: CoverageStatus) -> None:
    found = read(ACTIVE, errors=[{"code": code, "description": "No", "location": "Loop 2100C"}])
    assert found.status is status
    assert [(error.code, error.where) for error in found.errors] == [(code, "Loop 2100C")]


def test_an_aaa_that_stands_only_at_the_party_counts() -> None:
    assert read(ACTIVE, subscriber={"aaaErrors": [{"code": "75"}]}).status is CoverageStatus.NOT_FOUND


@pytest.mark.parametrize("code", ["42", "80"])
def test_a_payer_that_cannot_answer_now_is_asked_again(code: str) -> None:
    with pytest.raises(Unreachable):
        read(errors=[{"code": code}])


def test_money_is_exact_and_in_the_network() -> None:
    found = read(
        ACTIVE,
        in_network("B", "98", benefitAmount="40.10"),
        benefit("B", "98", inPlanNetworkIndicatorCode="N", coverageLevelCode="IND", benefitAmount="90"),
        in_network("C", "30", benefitAmount="1500", timeQualifierCode="23"),
        in_network("C", "30", benefitAmount="0", timeQualifierCode="29"),
        in_network("A", "30", benefitPercent="0.175"),
        benefit("G", "30", coverageLevelCode="FAM", benefitAmount="9000", timeQualifierCode="29"),
    )
    assert found.benefits.copay_cents == 4010
    assert found.benefits.deductible_left_cents == 0
    assert found.benefits.coinsurance_basis_points == 1750
    # Only the family's is said: the individual's is not known.
    assert found.benefits.out_of_pocket_left_cents is None


def test_the_specialists_copay_is_taken_where_a_payer_gives_several() -> None:
    general = in_network("B", "98", benefitAmount="20")
    special = in_network("B", "98", benefitAmount="45", additionalInformation=[{"description": "Specialist visit"}])
    assert read(ACTIVE, general, special).benefits.copay_cents == 4500
    assert read(ACTIVE, general, in_network("B", "98", benefitAmount="45")).benefits.copay_cents is None


def test_the_service_ordered_comes_before_the_plan() -> None:
    benefits = (ACTIVE, in_network("A", "30", benefitPercent="0.2"), in_network("A", "62", benefitPercent="0.1"))
    assert read(*benefits, category=Category.CT).benefits.coinsurance_basis_points == 1000
    assert read(*benefits, category=Category.CONSULT).benefits.coinsurance_basis_points == 2000


@pytest.mark.parametrize("amount", ["", "many", None, "-5", "NaN"])
def test_an_amount_that_is_none_is_unknown_not_zero(amount: object) -> None:
    assert read(ACTIVE, in_network("B", "98", benefitAmount=amount)).benefits.copay_cents is None


def test_a_percentage_above_one_has_no_known_unit() -> None:
    assert read(ACTIVE, in_network("A", "30", benefitPercent="20")).benefits.coinsurance_basis_points is None


def test_the_authorization_indicator_is_kept_as_the_payer_said_it() -> None:
    yes, no = in_network("A", "98", authOrCertIndicator="Y"), in_network("A", "98", authOrCertIndicator="N")
    assert read(ACTIVE, no).authorization_indicator == "N"
    assert read(ACTIVE, no, yes).authorization_indicator == "Y"
    assert read(ACTIVE).authorization_indicator is None


def test_a_plan_given_as_one_range_has_two_dates() -> None:
    found = read(ACTIVE, planDateInformation={"plan": "20260101-20261231"})
    assert (found.active_from, found.active_to) == (date(2026, 1, 1), date(2026, 12, 31))


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, -1, True, "", "junk", [], [1], [[]], {}, {"a": 1}, [{"code": []}], "1e400", "0.2"]
)
FIELDS = (
    "code", "serviceTypeCodes", "benefitAmount", "benefitPercent", "inPlanNetworkIndicatorCode", "coverageLevelCode",
    "timeQualifierCode", "authOrCertIndicator", "additionalInformation", "planCoverage",
)  # fmt: skip
TOP = ("errors", "payer", "subscriber", "planDateInformation", "planStatus", "dependents", "benefitsInformation")


@given(st.dictionaries(st.sampled_from(FIELDS), JUNK), st.dictionaries(st.sampled_from(TOP), JUNK))
def test_an_answer_however_odd_is_read_or_said_not_to_be_understood(line: dict[str, Any], top: dict[str, Any]) -> None:
    odd = {**in_network("B", "98", benefitAmount="40"), **line}
    try:
        found = eligibility.read(json.dumps({"benefitsInformation": [odd], **top}).encode(), Category.CONSULT)
    except (NotUnderstood, Unreachable):
        return
    assert found.status in set(CoverageStatus)


def ask(coverage: Coverage, service_on: date, today: date) -> dict[str, Any]:
    return eligibility.ask(
        "60054",
        Identity(npi="1999999984", name="Lakeside Orthopedics"),
        patient=order("lakeside", "p-1").patient,
        coverage=coverage,
        category=Category.CT,
        service_on=service_on,
        today=today,
    )


def test_the_question_names_the_patient_as_subscriber() -> None:
    question = ask(Coverage(rank=1, payer="x1", member_id="M100"), date(2026, 3, 16), date(2026, 3, 2))
    assert question["subscriber"] == {
        "memberId": "M100",
        "firstName": "Alex",
        "lastName": "Sample",
        "dateOfBirth": "19800517",
    }
    assert "dependents" not in question
    assert question["encounter"] == {"serviceTypeCodes": ["62"], "dateOfService": "20260316"}


def test_the_question_names_a_dependent_beside_the_subscriber() -> None:
    coverage = Coverage(
        rank=1,
        payer="x1",
        member_id="M100",
        relationship=Relationship.CHILD,
        subscriber_family_name="Sample",
        subscriber_given_name="Robin",
        subscriber_birth_date=date(1950, 1, 2),
    )
    question = ask(coverage, date(2026, 3, 16), date(2026, 3, 2))
    assert question["subscriber"]["firstName"] == "Robin"
    assert [one["dateOfBirth"] for one in question["dependents"]] == ["19800517"]


def test_a_later_month_is_asked_as_of_today() -> None:
    # Payers answer for days until the end of the current month.
    question = ask(Coverage(rank=1, payer="x1", member_id="M100"), date(2026, 4, 16), date(2026, 3, 2))
    assert question["encounter"]["dateOfService"] == "20260302"


async def _check(status: int, text: str, media_type: str = "application/json", **headers: str) -> bytes:
    def reply(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "key"
        assert request.url.path == "/2024-04-01/change/medicalnetwork/eligibility/v3"
        return httpx.Response(status, content=text.encode(), headers={"content-type": media_type, **headers})

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        return await EligibilityClient(http, "https://stedi.example/", "key").check({})


async def test_answers_that_are_none_are_told_apart() -> None:
    with pytest.raises(NotUnderstood) as page:
        await _check(200, "<html>Maintenance</html>", "text/html")
    assert page.value.raw == b"<html>Maintenance</html>"
    with pytest.raises(NotUnderstood):
        await _check(200, '{"benefitsInformation": [')
    with pytest.raises(NotUnderstood):
        await _check(200, "[]")
    with pytest.raises(Unreachable):
        await _check(502, "")
    with pytest.raises(Busy) as busy:
        await _check(429, "{}", **{"retry-after": "7"})
    assert busy.value.retry_after is not None
    assert busy.value.retry_after.total_seconds() == 7
    with pytest.raises(Refused) as refused:
        await _check(403, "{}")
    assert refused.value.code == "eligibility:403"


def test_an_answer_without_benefits_is_not_understood() -> None:
    with pytest.raises(NotUnderstood):
        eligibility.read(b'{"errors": []}', Category.CONSULT)
