"""The simulated outside world of one machine: told by its control API what a practice's systems hold.

Only `vigil up` uses it. In production there is no such API.
"""

from collections.abc import Iterable
from typing import Any

import httpx

from console.errors import CommandFailed
from runtime.practices import Practice
from runtime.settings import Settings

Json = dict[str, Any]


class World:
    """The sandbox, as `vigil up` prepares it."""

    def __init__(self, settings: Settings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http

    async def prepare(self, practices: Iterable[Practice]) -> None:
        """Let the check-in drop know each practice's signing secret. Raises `CommandFailed`."""
        for practice in practices:
            secret = self._settings.secret(f"{practice.id}.check_in").get_secret_value()
            await self._control("clearwave", "PATCH", f"{practice.id}/settings", {"clearwave_secret": secret})

    async def forget(self, practice: str) -> None:
        """Let the sandbox forget all that it knows of a practice. Raises `CommandFailed`."""
        for system in self._chart_holders():
            await self._control(system, "POST", f"{practice}/reset")

    async def plant(self, practice: str, planting: Json) -> None:
        """Put resources, visits and documents into the practice's EHR. Raises `CommandFailed`."""
        for system in self._chart_holders():
            await self._control(system, "POST", f"{practice}/orders", planting)

    def _chart_holders(self) -> tuple[str, ...]:
        """The simulated systems that know a practice's patients: two, unless all are one process."""
        return ("nextgen", "luma") if self._settings.sandbox_apart else ("nextgen",)

    async def _control(self, system: str, method: str, path: str, body: Json | None = None) -> Any:
        url = f"{self._settings.sandbox_at(system)}/control/practices/{path}"
        answer = await self._http.request(method, url, json=body)
        if not answer.is_success:
            raise CommandFailed(
                f"The sandbox refused {method} /control/practices/{path} ({answer.status_code}). "
                f"Its log: {self._settings.home_path / 'sandbox.log'}"
            )
        return answer.json() if answer.content else None
