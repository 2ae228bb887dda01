"""Whatever goes wrong at whichever exchange of an action, on every rail: at most one request is taken, and none is lost unseen.

An action is run once whole, to see how many exchanges it has. Then, in a practice of its own each time, the worker is killed
at each exchange before the other side has it and after, or the network plays another trick. Another worker, which knows nothing
of the first one, then does the action anew.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError

from activities import gateway as gateway_activities
from activities import patience
from activities.direct import DirectRail
from activities.fax import FaxRail
from activities.gateway import GatewayRail
from activities.pas import PasRail
from activities.payers import Payers
from activities.x12 import X12Rail
from domain.actions import SubmitRequest, WithdrawRequest
from domain.decision import Number
from domain.facts import DecisionReceived, Fact, RequestSubmitted, RequestWithdrawn
from domain.policy_rules import Ability, Rail
from runtime import httpclient
from runtime.keys import KeyRing
from store.control_numbers import ControlNumbers
from store.database import Database
from store.migrate import migrate
from tests.paper_desk import INTAKE, PaperDesk
from tests.rail_desk import RailDesk
from tests.test_gateway_rail import slice_of
from tests.test_pas_payers import SLICES
from tests.test_x12_rail import policy as x12_policy
from tests.vendor_world import World, world

MOST_TRIES, AT_ONCE = 4, 6
POLL = timedelta(seconds=0.02)


class Killed(BaseException):
    """The worker is gone: nothing in it runs any more that could tell."""


def _answers(status: int, body: bytes, media_type: str) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(status, content=body, headers={"content-type": media_type})


@dataclass(frozen=True)
class Fault:
    """What happens to one exchange: an error or another answer, before the other side has the request or after."""

    name: str
    after: bool
    error: type[BaseException] | None = None
    answer: Callable[[], httpx.Response] | None = None


PAGE = _answers(200, b"<html><body>Soon back.</body></html>", "text/html")
NOTHING = _answers(200, b"", "application/json")
KILLED = (Fault("killed before", after=False, error=Killed), Fault("killed after", after=True, error=Killed))
TRICKS = (
    Fault("no connection", after=False, error=httpx.ConnectError),
    Fault("answer lost", after=True, error=httpx.ReadError),
    Fault("too slow", after=True, error=httpx.ReadTimeout),
    Fault("503 of a gateway between", after=True, answer=_answers(503, b"", "text/plain")),
    Fault("a page in its place", after=False, answer=PAGE),
    Fault("a page over it", after=True, answer=PAGE),
    Fault("nothing in its place", after=False, answer=NOTHING),
    Fault("nothing over it", after=True, answer=NOTHING),
)


@dataclass
class Tap:
    """Stands where the exchanges of one run leave the process; `fault` befalls the one at `at`, counted from 1."""

    at: int = 0
    fault: Fault | None = None
    seen: list[str] = field(default_factory=list)


TAP: ContextVar[Tap] = ContextVar("tap")


@pytest.fixture(autouse=True)
def tapped(monkeypatch: pytest.MonkeyPatch) -> None:
    through = httpclient._LimitedTransport.handle_async_request

    async def handle(self: Any, request: httpx.Request) -> httpx.Response:
        tap = TAP.get()
        tap.seen.append(f"{request.method} {request.url.path}")
        fault = tap.fault if len(tap.seen) == tap.at else None
        if fault is None:
            return await through(self, request)
        if fault.after:
            await (await through(self, request)).aread()
        if fault.answer is not None:
            return fault.answer()
        assert fault.error is not None
        raise fault.error("planted")

    monkeypatch.setattr(httpclient._LimitedTransport, "handle_async_request", handle)
    monkeypatch.setattr(patience, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(gateway_activities, "_FIRST_POLL", 0.01)
    # CORE: what was not answered is asked again after 90 seconds. That is more than these actions have.
    for action in (SubmitRequest, WithdrawRequest):
        monkeypatch.setattr(action, "patience", timedelta(seconds=40))


@pytest.fixture(scope="module")
async def numbers(postgres_url: str) -> AsyncIterator[ControlNumbers]:
    await migrate(postgres_url)
    db = Database(postgres_url)
    yield ControlNumbers(db)
    await db.close()


@dataclass(frozen=True)
class Kind:
    """One rail, as it is set up: its desk, made anew for each worker."""

    name: str
    desk: Callable[[World, ControlNumbers], Any]
    secret: str


def _pas(here: World, _: ControlNumbers) -> RailDesk:
    return RailDesk(here, "202", SLICES["meridian-ppo"], "pas", Payers(here.outside, {"pas": PasRail(here.outside)}))


def _x12(payer: str, **channel: Any) -> Callable[[World, ControlNumbers], RailDesk]:
    def desk(here: World, numbers: ControlNumbers) -> RailDesk:
        rails = {"x12": X12Rail(here.outside, numbers, looks=(0.0,))}
        return RailDesk(here, "202", x12_policy(payer, **channel), "x12", Payers(here.outside, rails))

    return desk


def _gateway(here: World, _: ControlNumbers) -> RailDesk:
    rails = {"gateway": GatewayRail(here.outside)}
    return RailDesk(here, "202", slice_of("harbor-hmo"), "gateway", Payers(here.outside, rails))


def _paper(rail: Rail, to: str) -> Callable[[World, ControlNumbers], PaperDesk]:
    def desk(here: World, _: ControlNumbers) -> PaperDesk:
        made = PaperDesk(here, rail, to)
        made.payers = Payers(
            here.outside, {"fax": FaxRail(here.outside, POLL), "direct": DirectRail(here.outside, POLL)}
        )
        return made

    return desk


KINDS = (
    Kind("pas", _pas, "meridian-ppo"),
    Kind("x12", _x12("harbor-hmo"), "northbridge"),
    Kind("x12 batch", _x12("bluestem-mco"), "northbridge"),
    Kind("x12 batch, mailbox only", _x12("bluestem-mco", can=(Ability.SUBMIT, Ability.CANCEL)), "northbridge"),
    Kind("gateway", _gateway, "relay"),
    Kind("fax", _paper(Rail.FAX, "800-555-0109"), "neutral"),
    Kind("direct", _paper(Rail.DIRECT, INTAKE), "neutral"),
)


async def taken(here: World) -> int:
    """How many requests and cancels the outside has taken from the practice, by its own count."""
    received = await here.control.get(f"/control/practices/{here.practice.id}/received")
    effects: dict[str, Any] = received.json()["effects"]
    counts = [item for row in effects["submits"] for item in row["effects"].items()]
    voids: int = sum(one["ids"].get("operation") == "cancel" for one in await here.received("gateways"))
    at_payers: int = sum(
        count for effect, count in counts if effect in {"created", "updated", "cancelled", "duplicate", "refused"}
    )
    on_paper: int = len(effects["faxes"]) + len(effects["direct"])
    return at_payers + voids + on_paper


class Run:
    """One action in a practice of its own, with what befalls its first worker."""

    def __init__(self, kind: Kind, here: World, numbers: ControlNumbers) -> None:
        self.kind, self.here, self.numbers = kind, here, numbers
        here.outside.settings.secrets_by_name[f"{here.practice.id}.{kind.secret}"] = SecretStr("any")

    async def worker(self) -> Any:
        desk = self.kind.desk(self.here, self.numbers)
        if isinstance(desk, PaperDesk):
            await desk.at_once()
        return desk

    async def submitted(self) -> list[Fact]:
        return cast("list[Fact]", await (await self.worker()).submit())

    async def withdrawn(self, numbers: tuple[Number, ...]) -> list[Fact]:
        desk = await self.worker()
        return cast("list[Fact]", await (desk.withdraw() if isinstance(desk, PaperDesk) else desk.withdraw(*numbers)))

    async def befallen(self, tap: Tap, act: Callable[[], Awaitable[list[Fact]]]) -> list[Fact]:
        """What the first worker can still tell."""
        TAP.set(tap)
        try:
            return await act()
        except (Killed, ApplicationError):
            return []
        finally:
            TAP.set(Tap())

    async def anew(self, act: Callable[[], Awaitable[list[Fact]]]) -> list[Fact]:
        """What other workers tell, who do it again as long as it fails."""
        for _ in range(MOST_TRIES):
            with suppress(ApplicationError):
                return await act()
        return []


@pytest.fixture
async def every(
    sandbox_url: str, keyring: KeyRing, tmp_path: Path, numbers: ControlNumbers
) -> Callable[[Kind, Callable[[Run, Tap], Awaitable[None]]], Awaitable[None]]:
    """Do something whole, and then with each fault at each of its exchanges: killed at all, the tricks in turn."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(kind: Kind, do: Callable[[Run, Tap], Awaitable[None]], tap: Tap) -> int:
        TAP.set(Tap())
        async with places, world(sandbox_url, keyring, tmp_path) as here:
            await do(Run(kind, here, numbers), tap)
        return len(tap.seen)

    async def all_of_them(kind: Kind, do: Callable[[Run, Tap], Awaitable[None]]) -> None:
        whole = range(1, 1 + await one(kind, do, Tap()))
        taps = [Tap(at, fault) for at, fault in itertools.product(whole, KILLED)]
        taps += [Tap(at, TRICKS[at % len(TRICKS)]) for at in whole]
        await asyncio.gather(*(asyncio.create_task(one(kind, do, tap)) for tap in taps))

    return all_of_them


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_request_is_taken_once_and_what_is_said_to_be_there_is_there(kind: Kind, every: Any) -> None:
    async def submission(run: Run, tap: Tap) -> None:
        first = await run.befallen(tap, run.submitted)
        assert await taken(run.here) == 1 or not any(isinstance(fact, RequestSubmitted) for fact in first), tap
        facts = [*first, *await run.anew(run.submitted)]
        assert await taken(run.here) == 1, tap
        assert any(isinstance(fact, RequestSubmitted | DecisionReceived) for fact in facts), tap

    await every(kind, submission)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_cancel_is_taken_once(kind: Kind, every: Any) -> None:
    async def cancel(run: Run, tap: Tap) -> None:
        held = tuple(number for fact in await run.submitted() for number in numbers_of(fact))
        first = await run.befallen(tap, lambda: run.withdrawn(held))
        assert await taken(run.here) == 2 or not any(isinstance(fact, RequestWithdrawn) for fact in first), tap
        await run.anew(lambda: run.withdrawn(held))
        assert await taken(run.here) == 2, tap

    await every(kind, cancel)


def numbers_of(fact: Fact) -> tuple[Number, ...]:
    """The payer's numbers that a fact gives."""
    return fact.decision.all_numbers if isinstance(fact, DecisionReceived) else getattr(fact, "numbers", ())
