"""A payer that no code has heard of needs one file: from an order to its decision over the rails that are there.

The file is the one that `docs/policies.md` shows, its channels those of `docs/rails.md`; behind the clearinghouse and the
gateway an existing payer answers.
"""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from domain.decision import NumberType
from domain.facts import DecisionReceived, RequestSubmitted, StatusInquired
from domain.policy import Policy, parse_policy
from domain.policy_check import check_policy
from domain.policy_rules import Rail
from runtime.keys import KeyRing
from tests.builders import MONDAY
from tests.driver import Block, Driver, block

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAYER = "juniper-health"


def the_file() -> str:
    """The payer's file: the example of one page with the channels of the other."""
    (channels,) = re.findall(r"```yaml\n(channels:\n.*?)```", (DOCS / "rails.md").read_text(), re.DOTALL)
    (whole,) = re.findall(r"```yaml\n(schema_version.*?)```", (DOCS / "policies.md").read_text(), re.DOTALL)
    before, _, others = whole.partition("channels:\n")
    return f"{before}{channels}\nrequirements:{others.partition('requirements:')[2]}"


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
    (submitted,) = driver.told(RequestSubmitted)
    assert submitted.rail == rail
    assert submitted.receipt.reference
    decided = driver.told(DecisionReceived)[-1]
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
    first, *_ = driver.told(StatusInquired)
    asked = driver.told(RequestSubmitted)[0].occurred_at
    assert first.occurred_at - asked >= timedelta(days=2), "its file says two business days"
    approved_by(driver, Rail.X12)


@pytest.mark.parametrize("scenario", ["100", "823"])
async def test_what_its_first_rail_does_not_take_goes_by_its_second(shared: Block, scenario: str) -> None:
    driver = await shared.open(the_policy(), scenario)
    if scenario == "100":  # the clearinghouse is down; else it does not let the practice send this
        await driver.office.fault("clearinghouses", ".*", "503", times=500)
    await driver.until(lambda: driver.case.is_ready)
    approved_by(driver, Rail.GATEWAY)
