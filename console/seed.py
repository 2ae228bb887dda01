"""Seeds a practice's day once: charts and visits into the simulated EHR, orders through the API, as an EHR would post them."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from console.client import problem_text
from console.errors import CommandFailed
from console.seed_chart import planting
from console.seed_day import PRACTICE, Planned, the_day
from console.world import World
from domain.order import Order
from runtime.practices import Practice
from runtime.settings import write_private

_AT_A_TIME = 8
_SECONDS = 60.0
_MARKER = "seed.json"


class Seed:
    """What was seeded into this home, and when. The moment is kept first: a seeding that was cut off goes on the same."""

    def __init__(self, home: Path) -> None:
        self._path = home / _MARKER

    @property
    def done(self) -> bool:
        """Whether the day is there."""
        return bool(self._read().get("done"))

    def moment(self) -> datetime:
        """The moment that the day's dates are counted from: of the first try."""
        held = self._read().get("at")
        if held is not None:
            return datetime.fromisoformat(held)
        now = datetime.now(UTC).replace(microsecond=0)
        write_private(self._path, json.dumps({"at": now.isoformat(), "done": False}))
        return now

    def finish(self) -> None:
        """Note that everything is there."""
        write_private(self._path, json.dumps({"at": self.moment().isoformat(), "done": True}))

    def _read(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        found: dict[str, Any] = json.loads(self._path.read_text())
        return found


async def plant_charts(world: World, practice: Practice, seed: Seed) -> tuple[Planned, ...]:
    """Put the day's charts and visits into the simulated EHR; the answer is the day. Raises `CommandFailed`."""
    now = seed.moment()
    day = the_day(now, practice.time_zone)
    await world.plant(PRACTICE, planting(day, now, practice.time_zone))
    return day


async def post_orders(url: str, token: str, day: tuple[Planned, ...]) -> list[str]:
    """Post the day's orders, eight at a time, and return the cases' ids; posting again brings the same cases.

    Raises:
        CommandFailed: the API refuses an order, or cannot be reached.
    """
    room = asyncio.Semaphore(_AT_A_TIME)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=_SECONDS, trust_env=False) as http:

        async def post(order: Order) -> str:
            async with room:
                return await _post(http, order)

        return list(await asyncio.gather(*(post(one.order) for one in day if not one.only_in_ehr)))


async def _post(http: httpx.AsyncClient, order: Order) -> str:
    body = order.model_dump(mode="json", exclude_none=True)
    headers = {"Idempotency-Key": f"seed-{order.number}"}
    try:
        answer = await http.post("/v1/orders", json=body, headers=headers)
    except httpx.TransportError as error:
        raise CommandFailed(
            f"Order {order.number} could not be posted ({type(error).__name__}). Start again."
        ) from None
    if not answer.is_success:
        raise CommandFailed(f"Order {order.number} was not taken. {problem_text(answer)}")
    return str(answer.json()["case_id"])
