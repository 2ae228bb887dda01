"""A case without Temporal: the interpreter's pure half and the real activities, against the sandbox over HTTP.

The case has a clock of its own, which jumps to the plan's `wake_at` when nothing is in flight; requests carry it to the
sandbox. What an activity waits for inside (a poll, a pause between tries) passes at once. Loops are bounded.
"""

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import ActivityEnvironment

import activities.delivery
import activities.gateway
import activities.pas
import activities.patience
import activities.x12_exchange
from activities import Parts, case_activities, payer_activities
from activities.turns import Turns
from domain.actions import Action
from domain.base import Turn
from domain.case import Case, begin
from domain.facts import ActionEnded, Fact, Failure, TaskKind, TaskOpened
from domain.keeping import Keeping
from domain.messages import TurnInput
from domain.order import Order
from domain.plan import Plan, Settled
from domain.policy import Policy
from domain.refusal import refuse_all
from domain.results import read_result
from domain.track import Track
from domain.work import claim, complete, outcome
from runtime.keys import KeyRing
from runtime.settings import Settings
from store.migrate import migrate
from store.shelf import Shelf
from tests.builders import CASE_ID, MONDAY, Kind, house, of_kind, order, received
from tests.house import CHART, Office, example_practice
from workflows.authorization import _failure

MOST_TURNS = 60
"""How often a case may take a turn without that time goes by; more is a mistake in the rules."""
MOST_STEPS = 400
TRIES = 2
"""How often an action that may be repeated is tried at one moment."""
ORDERING = {"npi": "1999000023", "family_name": "Hartwell", "given_name": "Imogen", "taxonomy": "207X00000X"}
_WAITING = (activities.delivery, activities.gateway, activities.pas, activities.patience, activities.x12_exchange)
_practices, _hands = itertools.count(1), itertools.count(1)

Work = Callable[[Any], Awaitable[Any]]
Clerk = Callable[["Driver", TaskOpened], Awaitable[dict[str, Any] | None]]
"""What a person hands in for a task; None: they leave it."""


@contextmanager
def hasty() -> Iterator[None]:
    """While in the block, what activities wait for inside takes no time: their own clock goes on by as much."""
    skipped = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal skipped
        skipped += seconds
        await asyncio.sleep(0)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + skipped)
    loop = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    with pytest.MonkeyPatch.context() as patch:
        for module in _WAITING:
            patch.setattr(module, "time", clock, raising=False)
            patch.setattr(module, "asyncio", loop, raising=False)
        yield


class Block:
    """What the drivers of a test module share: the worker's own parts and activities, on a real database."""

    def __init__(self, parts: Parts, control: httpx.AsyncClient) -> None:
        self.parts, self.control = parts, control
        works = [*case_activities(parts), *payer_activities(parts)]
        self.works: Mapping[str, Work] = {str(activity._Definition.must_from_callable(w).name): w for w in works}

    def office(self) -> Office:
        """A new practice."""
        name = f"t{next(_practices)}-{uuid.uuid4().hex[:8]}"
        practice = example_practice(self.parts.settings, name)
        self.parts.outside.practices[name] = practice  # type: ignore[index]
        return Office(practice, self.control)

    async def open(
        self, policy: Policy, scenario: str = "100", *, office: Office | None = None, **what: Any
    ) -> "Driver":
        """A case at that payer, before its first turn; of a new practice, unless one is given."""
        office = office or self.office()
        await office.switch(delivery_lag_seconds=0, fax_seconds=0)
        number = f"ORD-{uuid.uuid4().hex[:8]}"
        head = {"practice": office.practice.id, "number": number, "payer": policy.payer, "ordering": ORDERING}
        wanted: dict[str, Any] = {**head, "documents": (), **what}
        return Driver(self, office, policy, await office.plant(order(scenario, **wanted), tuple(CHART)))


@asynccontextmanager
async def block(database_url: str, sandbox_url: str, keyring: KeyRing, folder: Path) -> AsyncIterator[Block]:
    """Parts as a worker opens them, while in the block."""
    settings = Settings(
        home=folder / "home",
        keys_file=folder / "keys",
        database_url=SecretStr(database_url),
        sandbox_url=sandbox_url,
        sandbox_apart=False,
        send_case_time=True,
        secrets_by_name={},
    )
    await migrate(database_url)
    nobody = cast("Client", None)  # no action of a case needs Temporal
    async with (
        Parts.open(settings, keyring, {}, nobody, Shelf()) as parts,
        httpx.AsyncClient(base_url=sandbox_url, timeout=10) as control,
    ):
        with hasty():
            yield Block(parts, control)
    await asyncio.sleep(0)


class Driver:
    """One case that is alive, and its clock."""

    def __init__(self, shared: Block, office: Office, policy: Policy, ordered: Order, now: datetime = MONDAY) -> None:
        self.block, self.office, self.policy, self.now = shared, office, policy, now
        fact = received(ordered, now)
        case_id = f"case-{uuid.uuid4().hex[: len(CASE_ID) - 5]}"
        self.keeping = Keeping(begin(case_id, fact, now))
        self.shelf = Shelf((policy, house()))
        self.begun: list[Action] = []
        self.late: set[str] = set()
        """Kinds of actions whose answers are under way until `land`."""
        self.flying: dict[str, tuple[Action, list[Fact] | tuple[Failure, str]]] = {}
        self.clerk: Clerk | None = None

    @property
    def case(self) -> Case:
        return self.keeping.case

    @property
    def track(self) -> Track:
        (track,) = self.case.tracks.values()
        return track

    @property
    def plan(self) -> Plan:
        assert self.keeping.plan is not None
        return self.keeping.plan

    @property
    def turn(self) -> Turn:
        """Whose turn it is."""
        return self.plan.turn

    # --- the interpreter's loop -----------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Take turns until nothing more follows at this moment."""
        for _ in range(MOST_TURNS):
            self.keeping.news = False
            # The very activity that the workflow records its plans by, on the rules of this case's payer.
            told = TurnInput(case_id=self.case.id, facts=self.case.facts, now=self.now)
            settled: Settled = await ActivityEnvironment().run(self._turns, told)
            for action in self.keeping.take_turn(settled, self.now):
                self.begun.append(action)
                self.flying[action.key] = action, await self.carry_out(action)
                if action.kind not in self.late:
                    self.land(action)
            if not self.keeping.news:
                return
        msg = f"the case does not come to rest: {self.plan.why} {self.tasks()} {self.failures()}"
        raise AssertionError(msg)

    @property
    def _turns(self) -> Work:
        return Turns(self.shelf).settle

    async def carry_out(self, action: Action) -> list[Fact] | tuple[Failure, str]:
        """Do it in the world, as a worker would: what it established, or why it failed."""
        for left in reversed(range(1 if action.single_shot else TRIES)):
            try:
                return list(await ActivityEnvironment().run(self.block.works[action.kind], action))
            except ApplicationError as error:
                if left and not error.non_retryable:
                    continue
                ended = ActivityError(
                    "failed", scheduled_event_id=1, started_event_id=1, identity="", activity_type=action.kind,
                    activity_id=action.key, retry_state=None,
                )  # fmt: skip
                ended.__cause__ = error
                return _failure(action, ended)
        raise AssertionError

    def land(self, action: Action | None = None) -> None:
        """What was done becomes known: of one action, or of all that are under way."""
        for key in [action.key] if action else list(self.flying):
            done, result = self.flying.pop(key)
            if isinstance(result, tuple):
                self.keeping.fail(done, *result, self.now)
            else:
                self.keeping.end(done, result, self.now)

    async def report(self, *facts: Fact) -> None:
        """A system reports; then whatever follows at this moment."""
        self.keeping.take(facts, self.now)
        await self.settle()

    async def until(self, done: Callable[[], bool], *, within: timedelta = timedelta(days=45)) -> None:
        """Let time pass, people work and Vigil act, until it is so."""
        end = self.now + within
        await self.settle()
        for _ in range(MOST_STEPS):
            if done():
                return
            if await self._people_work():
                continue
            assert self.case.closed is None, f"closed before it was so: {self.kinds()}"
            assert self.plan.wake_at is not None
            if self.plan.wake_at > end:
                break
            await self.forward(to=self.plan.wake_at)
        msg = f"it never came to that: {self.plan.why} {self.tasks()} {self.failures()}"
        raise AssertionError(msg)

    async def forward(self, span: timedelta = timedelta(), *, to: datetime | None = None) -> None:
        """Let time pass, waking whenever the plan says; people do nothing meanwhile."""
        end = to or self.now + span
        if self.keeping.plan is None:
            await self.settle()
        for _ in range(MOST_STEPS):
            wake = self.plan.wake_at
            self.now = max(self.now, min(wake, end)) if wake else end
            await self.settle()
            if self.now >= end:
                return
        msg = f"too many steps until {end}"
        raise AssertionError(msg)

    # --- people ---------------------------------------------------------------------------------------------------

    async def _people_work(self) -> bool:
        """One open task is done, if the clerk does any."""
        for task in self.case.open_tasks if self.clerk else ():
            form = await self.clerk(self, task.opened) if self.clerk else None
            if form is not None:
                await self.hand_in(task.opened, **form)
                return True
        return False

    async def hand_in(self, task: TaskOpened, **form: Any) -> None:
        """Claim a task and hand in its result, as the door does."""
        source = f"hand-{next(_hands)}"
        self.ask([claim(self.case, task.task, by="person:ines", now=self.now, source_id=f"{source}-claim")])
        done = complete(
            self.case, task.task, read_result(form), by="person:ines", now=self.now, source_id=f"{source}-done"
        )
        self.ask(done)
        await self.settle()

    async def hears(self, **form: Any) -> None:
        """Somebody learned something without a task."""
        self.ask(
            outcome(self.case, read_result(form), by="person:ines", now=self.now, source_id=f"hand-{next(_hands)}")
        )
        await self.settle()

    def ask(self, facts: Iterable[Fact]) -> None:
        """A person reports; nothing of it may be refused."""
        told = tuple(facts)
        refusal = refuse_all(self.case, told, self.now)
        assert refusal is None, refusal
        self.keeping.take(told, self.now)

    # --- what a test looks at --------------------------------------------------------------------------------------

    def kinds(self) -> list[str]:
        return [fact.kind for fact in self.case.facts]

    def failures(self) -> list[str]:
        """What did not succeed, and why."""
        return [f"{fact.action}: {fact.failure} {fact.error}" for fact in self.told(ActionEnded) if fact.failure]

    def tasks(self) -> list[str]:
        return [task.opened.task_kind.value for task in self.case.open_tasks]

    def task(self, kind: TaskKind) -> TaskOpened | None:
        """The first open task of a kind."""
        return next((task.opened for task in self.case.open_tasks if task.opened.task_kind is kind), None)

    def done(self, kind: type[Kind]) -> list[Kind]:
        """The actions of a kind that were begun."""
        return of_kind(self.begun, kind)

    def told(self, kind: type[Kind]) -> list[Kind]:
        """The facts of a kind."""
        return of_kind(self.case.facts, kind)


async def together(drivers: Sequence[Driver], done: Callable[[], bool], *, until: datetime) -> None:
    """Let time pass for cases of one practice alike, so that none sees the outside of another's tomorrow."""
    for driver in drivers:
        await driver.settle()
    for _ in range(MOST_STEPS):
        if done():
            return
        wakes = [wake for driver in drivers if (wake := driver.plan.wake_at) is not None and wake <= until]
        assert wakes, [driver.plan.why for driver in drivers]
        moment = min(wakes)
        for driver in drivers:
            await driver.forward(to=moment)
    msg = f"it never came to that: {[driver.plan.why for driver in drivers]}"
    raise AssertionError(msg)
