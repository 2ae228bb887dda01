"""The seeded day shows every rail: its orders are driven through the real activities, each to what the day wants it for."""

import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from console.case_view import case_view
from console.seed_day import DAY, Planned, the_day
from domain.decision import Outcome
from domain.facts import DecisionReceived, RequestSubmitted, RequirementDetermined, TaskKind
from domain.order import Order, Urgency
from domain.policy_rules import Rail
from domain.view import view
from runtime.keys import KeyRing
from tests.builders import MONDAY, policy
from tests.driver import Block, Driver, block
from tests.house import CHART, ROOT

Done = Callable[[Driver], bool]


@pytest.fixture
async def shared(postgres_url: str, sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[Block]:
    async with block(postgres_url, sandbox_url, keyring, tmp_path) as made:
        yield made


def row(payer: str, scenario: str, urgency: Urgency = Urgency.ROUTINE) -> Planned:
    """The first order of the day for a payer that comes to this scenario."""
    day = zip(DAY, the_day(MONDAY, "America/Chicago"), strict=True)
    return next(p for r, p in day if (r.payer, r.scenario, r.urgency) == (payer, scenario, urgency) and r.chart)


async def opened(shared: Block, planned: Planned) -> Driver:
    office = shared.office()
    await office.switch(delivery_lag_seconds=0, fax_seconds=0)
    order = planned.order.model_copy(update={"practice": office.practice.id})
    return Driver(shared, office, policy(order.primary.payer), await office.plant(order, planned.chart))


def approved(rail: Rail) -> Done:
    return lambda driver: driver.case.is_ready and driver.told(DecisionReceived)[-1].rail == rail


def pended(rail: Rail) -> Done:
    return lambda driver: any(
        fact.rail == rail and {line.decision for line in fact.decision.lines} == {Outcome.PENDED}
        for fact in driver.told(DecisionReceived)
    )


def submitted(rail: Rail) -> Done:
    return lambda driver: any(fact.rail == rail and fact.receipt.reference for fact in driver.told(RequestSubmitted))


def task(kind: TaskKind, rail: Rail | None = None) -> Done:
    return lambda driver: (found := driver.task(kind)) is not None and rail in {None, found.rail}


def not_required(driver: Driver) -> bool:
    return bool(driver.told(RequirementDetermined)) and driver.case.is_ready and not driver.told(RequestSubmitted)


STAT = Urgency.STAT
SHOWN: list[tuple[str, str, Urgency, Done, timedelta]] = [
    ("meridian-ppo", "100", Urgency.ROUTINE, approved(Rail.PAS), timedelta()),
    ("harbor-hmo", "100", Urgency.ROUTINE, approved(Rail.X12), timedelta()),
    ("harbor-hmo", "200", Urgency.ROUTINE, pended(Rail.X12), timedelta()),
    ("harbor-hmo", "820", Urgency.ROUTINE, task(TaskKind.CORRECT_REQUEST, Rail.X12), timedelta()),
    ("harbor-hmo", "823", STAT, approved(Rail.GATEWAY), timedelta()),
    ("bluestem-mco", "100", Urgency.ROUTINE, submitted(Rail.X12), timedelta()),
    ("bluestem-mco", "100", Urgency.ROUTINE, approved(Rail.X12), timedelta(hours=6)),
    ("bluestem-mco", "200", Urgency.ROUTINE, pended(Rail.X12), timedelta(hours=6)),
    ("bluestem-mco", "204", Urgency.ROUTINE, task(TaskKind.SEND_INFORMATION, Rail.X12), timedelta(hours=6)),
    ("bluestem-mco", "823", STAT, submitted(Rail.FAX), timedelta()),
    ("cedar-ppo", "910", Urgency.ROUTINE, not_required, timedelta()),
    ("cedar-ppo", "911", Urgency.ROUTINE, task(TaskKind.FILL_QUESTIONNAIRE), timedelta()),
    ("keystone-sf", "100", Urgency.ROUTINE, task(TaskKind.SUBMIT_REQUEST, Rail.PORTAL), timedelta()),
]
"""What each of these orders comes to, and how long after it came."""


@pytest.mark.parametrize(
    ("payer", "scenario", "urgency", "done", "within"),
    [pytest.param(*shown, id=f"{shown[0]}-{shown[1]}-{shown[4]}") for shown in SHOWN],
)
async def test_an_order_of_the_day_shows_its_rail(
    shared: Block, payer: str, scenario: str, urgency: Urgency, done: Done, within: timedelta
) -> None:
    driver = await opened(shared, row(payer, scenario, urgency))
    await driver.settle()
    if within:
        assert not done(driver), "it shows something else first"
        await driver.forward(within)
    assert done(driver), (driver.plan.why, driver.tasks(), driver.failures())
    # Whoever opens the case on the command line sees it, whatever came back.
    shown = Console(file=StringIO(), width=120)
    shown.print(case_view(driver.case, view(driver.case, driver.plan, driver.now), driver.now, 120, every_fact=True))


def test_every_example_is_an_order_that_its_page_tells_of() -> None:
    folder = ROOT / "examples" / "orders"
    told = set(re.findall(r"`(story-[a-z0-9.-]+\.json)`", (folder / "README.md").read_text()))
    files = {path.name for path in folder.glob("*.json")}
    assert told == files
    orders = {
        name: Order.model_validate_json((folder / name).read_text())
        for name in files
        if not name.endswith(".fhir.json")
    }
    assert len({order.number for order in orders.values()}) == len(orders)
    assert {order.primary.payer for order in orders.values()} == {row.payer for row in DAY}
    assert all(name.startswith(f"story-{order.number[8].lower()}-") for name, order in orders.items())


@pytest.mark.parametrize(
    ("name", "done", "within"),
    [
        ("h-x12-approved", approved(Rail.X12), timedelta()),
        ("i-x12-rejected-by-999", task(TaskKind.CORRECT_REQUEST, Rail.X12), timedelta()),
        ("j-x12-not-let-in-gateway", approved(Rail.GATEWAY), timedelta()),
        ("k-x12-batch-pended", pended(Rail.X12), timedelta(hours=6)),
        ("l-x12-batch-information-asked", task(TaskKind.SEND_INFORMATION, Rail.X12), timedelta(hours=6)),
        ("m-x12-not-let-in-fax", submitted(Rail.FAX), timedelta()),
        ("n-payer-needs-nothing", not_required, timedelta()),
        ("o-payers-form", task(TaskKind.FILL_QUESTIONNAIRE), timedelta()),
    ],
)
async def test_an_example_comes_to_what_its_page_tells(shared: Block, name: str, done: Done, within: timedelta) -> None:
    order = Order.model_validate_json((ROOT / "examples" / "orders" / f"story-{name}.json").read_text())
    driver = await opened(shared, Planned(order, tuple(CHART), only_in_ehr=False))
    await driver.settle()
    if within:
        await driver.forward(within)
    assert done(driver), (driver.plan.why, driver.tasks(), driver.failures())
