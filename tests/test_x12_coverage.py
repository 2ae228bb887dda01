"""Coverage verified by a 270 at the sandbox's clearinghouse, where the payer's rules say so, and by the gateway elsewhere."""

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.coverage import CoverageActivities
from activities.x12_eligibility import X12Eligibility
from domain.actions import VerifyCoverage
from domain.facts import CoverageStatus, CoverageVerified, read_fact, write_fact
from domain.policy import Policy, parse_policy
from runtime.keys import KeyRing
from store.control_numbers import ControlNumbers
from store.database import Database
from tests.pas_requests import full_order
from tests.pas_requests import order as order_of
from tests.test_x12_rail import BLUESTEM, HARBOR, channel
from tests.vendor_world import CASE, NOW, World, world

POLICIES = Path(__file__).resolve().parent.parent / "policies"


def policy(payer: str, rail: str = "x12", **changes: Any) -> Policy:
    parsed = parse_policy(yaml.safe_load((POLICIES / "meridian-ppo.yaml").read_text()), name="meridian-ppo")
    rules = tuple(rule.model_copy(update={"rail": rail}) for rule in parsed.eligibility)
    name = payer.replace("-", " ").title()
    values = {"payer": payer, "name": name, "eligibility": rules, "channels": (channel(payer),)}
    return parsed.model_copy(update=values | changes)


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        made.outside.settings.secrets_by_name[f"{made.practice.id}.northbridge"] = SecretStr("any")
        yield made


def asking(here: World, rules: Policy) -> CoverageActivities:
    # PostgreSQL is away: a question is sent all the same.
    numbers = ControlNumbers(Database("postgresql://postgres@127.0.0.1:1/vigil"))
    return CoverageActivities(here.outside, X12Eligibility(here.outside, numbers, {rules.payer: rules}.get))


async def verified(here: World, rules: Policy, member_id: str, **changes: Any) -> CoverageVerified:
    coverage = {"payer": rules.payer, "member_id": member_id}
    ordered = order_of(practice=here.practice.id, coverage=coverage, documents=(), **changes)
    action = VerifyCoverage(
        key="cause/1",
        practice=here.practice.id,
        case_id=CASE,
        now=NOW,
        order=ordered,
        rank=1,
        eligibility_payer="MERID",
    )
    (fact,) = await ActivityEnvironment().run(asking(here, rules).verify_coverage, action)
    assert read_fact(write_fact(fact)) == fact
    assert isinstance(fact, CoverageVerified)
    return fact


@pytest.mark.parametrize("payer", [HARBOR, BLUESTEM])
@pytest.mark.parametrize(
    ("member_id", "status"),
    [
        ("MEM000100", CoverageStatus.ACTIVE),
        ("MEM000000", CoverageStatus.INACTIVE),
        ("MEM000001", CoverageStatus.NOT_FOUND),
    ],
)
async def test_coverage_is_verified_by_a_270(here: World, payer: str, member_id: str, status: CoverageStatus) -> None:
    fact = await verified(here, policy(payer), member_id)
    assert fact.status is status
    assert fact.raw is not None
    raw = await here.outside.documents.get(here.practice.id, fact.raw.id)
    assert raw.startswith(b"ISA")
    assert (await here.received("stedi")) == []
    if status is CoverageStatus.ACTIVE:
        assert fact.benefits.deductible_left_cents == 400_00
        assert fact.benefits.out_of_pocket_left_cents == 4100_00
    if status is CoverageStatus.NOT_FOUND:
        assert (fact.errors[0].code, fact.errors[0].follow_up) == ("75", "C")


async def test_of_a_dependent_what_is_said_of_the_patient_counts(here: World) -> None:
    coverage = full_order().coverages[0].model_copy(update={"payer": HARBOR, "member_id": "MEM000100"})
    rules = policy(HARBOR)
    ordered = full_order(practice=here.practice.id, documents=()).model_copy(update={"coverages": (coverage,)})
    action = VerifyCoverage(key="cause/1", practice=here.practice.id, case_id=CASE, now=NOW, order=ordered, rank=1)
    (fact,) = await ActivityEnvironment().run(asking(here, rules).verify_coverage, action)
    assert isinstance(fact, CoverageVerified)
    assert fact.status is CoverageStatus.ACTIVE


async def test_a_payer_that_cannot_answer_now_is_asked_again(here: World) -> None:
    with pytest.raises(ApplicationError) as later:
        await verified(here, policy(HARBOR), "MEM000002")
    assert (later.value.type, later.value.message) == ("Exhausted", "eligibility:aaa_42")


async def test_a_payer_whose_rules_do_not_say_so_is_asked_by_the_gateway(here: World) -> None:
    fact = await verified(here, policy(HARBOR, "gateway_json"), "MEM000100")
    assert fact.status is CoverageStatus.ACTIVE
    assert len(await here.received("stedi")) == 1


async def test_a_web_page_in_place_of_an_answer_is_unclear_and_kept(here: World) -> None:
    await here.fault("clearinghouses", "", "html")
    fact = await verified(here, policy(HARBOR), "MEM000100")
    assert (fact.status, fact.errors[0].code) == (CoverageStatus.UNCLEAR, "NOT_X12")
    assert fact.raw is not None


async def test_rules_that_name_no_channel_are_refused(here: World) -> None:
    portal = policy(HARBOR).channels[0].model_copy(update={"rail": "portal"})
    with pytest.raises(ApplicationError) as refused:
        await verified(here, policy(HARBOR, channels=(portal,)), "MEM000100")
    assert (refused.value.type, refused.value.message) == ("Refused", "policy:no_x12_channel")


def test_a_rule_asks_the_gateway_unless_it_says_x12() -> None:
    parsed = parse_policy(yaml.safe_load((POLICIES / "meridian-ppo.yaml").read_text()), name="meridian-ppo")
    assert {rule.rail for rule in parsed.eligibility} == {"gateway_json"}
    assert all(rule.effective.covers(date(2026, 3, 2)) for rule in parsed.eligibility)
