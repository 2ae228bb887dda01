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
from console.seed_day import Planned, the_day
from console.world import World
from domain.order import Order
from runtime.practices import Practice
from runtime.settings import write_private

_AT_A_TIME = 8
_SECONDS = 60.0
_MARKER = "seed.json"


class Seed:
    """How far this home is seeded. The moment is kept first: a seeding that was cut off goes on with the same day."""

    def __init__(self, home: Path) -> None:
        self._path = home / _MARKER

    @property
    def planted(self) -> bool:
        """Whether charts and visits are in the simulated EHR."""
        return bool(self._read().get("planted"))

    @property
    def done(self) -> bool:
        """Whether the whole day is there."""
        return bool(self._read().get("done"))

    def day(self, practice: Practice) -> tuple[Planned, ...]:
        """The day, counted from the moment of the first try."""
        return the_day(self._moment(), practice.time_zone)

    async def plant(self, world: World, practice: Practice) -> None:
        """Put the day's charts and visits into the simulated EHR, once. Raises `CommandFailed`."""
        if self.planted:
            return
        if "at" in self._read():
            await world.forget(practice.id)  # cut off on the way: what is there already would be refused
        day = self.day(practice)
        await world.plant(practice.id, planting(day, self._moment(), practice.time_zone))
        self._note(planted=True)

    def finish(self) -> None:
        """Note that everything is there."""
        self._note(done=True)

    def _moment(self) -> datetime:
        if "at" not in self._read():
            self._note(at=datetime.now(UTC).replace(microsecond=0).isoformat())
        return datetime.fromisoformat(self._read()["at"])

    def _note(self, **what: str | bool) -> None:
        write_private(self._path, json.dumps({**self._read(), **what}) + "\n")

    def _read(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        found: dict[str, Any] = json.loads(self._path.read_text())
        return found


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
