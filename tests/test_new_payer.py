"""A payer that no code has heard of needs one file: from an order to its decision over the rails that are there.

The channels are the ones that `docs/rails.md` shows; behind the clearinghouse and the gateway an existing payer answers.
"""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from domain.decision import NumberType
from domain.policy import Policy, parse_policy
from domain.policy_check import check_policy
from domain.policy_rules import Rail
from runtime.keys import KeyRing
from tests.builders import MONDAY
from tests.driver import Block, Driver, block

ROOT = Path(__file__).resolve().parent.parent
PAYER = "juniper-health"
RULES = """
schema_version: 1
payer: juniper-health
name: Juniper Health
line_of_business: commercial
time_zone: America/Chicago
verify_every: 180 days
sources:
  manual: &manual
    source: "Juniper provider manual (synthetic), chapter 1"
    verified_on: 2026-10-01
    effective: {from: 2026-01-01}
identifiers: {eligibility_payer_id: "JUNIP"}
contacts: {<<: *manual, id: juniper-contacts, provider_services: "800-555-0190", hours: "Weekdays, 8 to 17 Central"}
calendars:
  office: {kind: business_days}
  decisions: {kind: calendar_days}
categories:
  ct: {label: CT, codes: ["72125-72133"]}
requirements:
  - {<<: *manual, id: juniper-ct, match: {categories: [ct]}, authorization: required, documents: [{kind: office_note}]}
decision_clocks:
  - {<<: *manual, id: juniper-routine, urgency: routine, span: 15 days, calendar: decisions}
  - {<<: *manual, id: juniper-urgent, urgency: urgent, span: 72 hours, calendar: decisions}
  - {<<: *manual, id: juniper-stat, urgency: stat, span: 24 hours, calendar: decisions}
follow_up:
  - {<<: *manual, id: juniper-ask-routine, urgency: routine, first: 2 business days, every: 2 business days,
     max_silence: 8 business days, calendar: office}
  - {<<: *manual, id: juniper-ask-urgent, urgency: urgent, first: 8 hours, every: 8 hours, max_silence: 2 days, calendar: office}
  - {<<: *manual, id: juniper-ask-stat, urgency: stat, first: 2 hours, every: 2 hours, max_silence: 8 hours, calendar: office}
receipts:
  - {<<: *manual, id: juniper-receipt, rail: x12, within: 15 minutes, calendar: office, proof: acknowledgment}
  - {<<: *manual, id: juniper-receipt-gateway, rail: gateway, within: 15 minutes, calendar: office, proof: http_id}
tasks:
  - {<<: *manual, id: juniper-submission, task: submission, calendar: office, lease_minutes: 30,
     due: &due {routine: 1 business day, urgent: 2 hours, stat: 30 minutes}}
  - {<<: *manual, id: juniper-call, task: call, calendar: office, lease_minutes: 45, due: *due}
  - {<<: *manual, id: juniper-review, task: review, calendar: office, lease_minutes: 30, due: *due}
  - {<<: *manual, id: juniper-documents, task: documents, calendar: office, lease_minutes: 60, due: *due}
  - {<<: *manual, id: juniper-letter, task: letter, calendar: office, lease_minutes: 30, due: *due}
visits: [{<<: *manual, id: juniper-visit, watch_from: 14 days, notify_patient: 2 business days, calendar: office}]
patient_messages:
  - {<<: *manual, id: juniper-messages, events: [approved, denied], quiet_from: "20:00", quiet_until: "08:00"}
appeals:
  - {<<: *manual, id: juniper-appeal, kind: appeal, window: 180 days, anchor: notice, calendar: decisions,
     decided_within: 30 days, channel: phone}
provisional: [{<<: *manual, id: juniper-provisional, confirm_within: 2 business days, calendar: office}]
eligibility: [{<<: *manual, id: juniper-eligibility, before_visit: 3 business days, calendar: office}]
numbers:
  - {<<: *manual, id: juniper-numbers, certification: "[A-Z]{3}[0-9]{6,12}", pend_reference: "PND-?[0-9A-Z-]{4,20}",
     certification_examples: ["MPA204418830"], pend_reference_examples: ["PND-204418"]}
"""


def the_file() -> str:
    """The payer's file, with the channels of the page."""
    page = (ROOT / "docs" / "rails.md").read_text()
    (channels,) = re.findall(r"```yaml\n(channels:\n.*?)```", page, re.DOTALL)
    return f"{RULES}{channels}"


def the_policy(*rails: Rail) -> Policy:
    found = parse_policy(yaml.safe_load(the_file()), name=PAYER)
    return found.model_copy(update={"channels": tuple(one for one in found.channels if not rails or one.rail in rails)})


@pytest.fixture(scope="module")
async def shared(
    postgres_url: str, sandbox_url: str, keyring: KeyRing, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Block]:
    async with block(postgres_url, sandbox_url, keyring, tmp_path_factory.mktemp("payer")) as made:
        yield made


def approved_by(driver: Driver, rail: Rail) -> None:
    """Approved with a number for the claim, by one request that went this way with a receipt."""
    assert driver.case.is_ready
    (submitted,) = driver.told("request_submitted")
    assert submitted.rail == rail
    assert submitted.receipt.reference
    decided = driver.told("decision_received")[-1]
    assert decided.rail == rail
    numbers = {number.type for line in decided.decision.lines for number in line.numbers}
    assert NumberType.CERTIFICATION in numbers


def test_no_code_knows_the_payer_and_its_file_has_no_fault() -> None:
    folders = ("activities", "api", "connectors", "console", "domain", "runtime", "sandbox", "store", "workflows")
    sources = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(sources) > 100
    assert not any("juniper" in source.lower() for source in sources)
    assert check_policy(yaml.safe_load(the_file()), MONDAY.date(), name=PAYER) == []


@pytest.mark.parametrize("rail", [Rail.X12, Rail.GATEWAY])
async def test_an_order_comes_to_its_decision_over_a_rail_that_was_there(shared: Block, rail: Rail) -> None:
    driver = await shared.open(the_policy(rail, Rail.PHONE))
    await driver.until(lambda: driver.case.is_ready)
    approved_by(driver, rail)


async def test_a_pend_is_followed_up_by_its_own_cadence(shared: Block) -> None:
    driver = await shared.open(the_policy(), "200")
    await driver.until(lambda: driver.case.is_ready)
    first, *_ = driver.told("status_inquired")
    asked = driver.told("request_submitted")[0].occurred_at
    assert first.occurred_at - asked >= timedelta(days=2), "its file says two business days"
    approved_by(driver, Rail.X12)


@pytest.mark.parametrize("scenario", ["100", "823"])
async def test_out_of_reach_on_its_first_rail_it_is_asked_on_its_second(shared: Block, scenario: str) -> None:
    driver = await shared.open(the_policy(), scenario)
    if scenario == "100":  # the clearinghouse is down for everybody; else only for this request
        await driver.office.fault("clearinghouses", ".*", "503", times=500)
    await driver.until(lambda: driver.case.is_ready)
    approved_by(driver, Rail.GATEWAY)
