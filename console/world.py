"""The simulated outside world of one machine: told by its control API what a practice's systems hold, and whom to call.

Only `vigil up` uses it. In production there is no such API, and payers are subscribed to by an operator.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import httpx

from activities.pas import requester
from connectors.errors import ConnectorError
from connectors.pas.client import PasClient
from connectors.pas.subscription import subscription
from console.client import api_url
from console.errors import CommandFailed
from domain.policy import Policy
from domain.policy_rules import Channel, Rail
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

    async def subscribe(self, practices: Mapping[str, Practice], policies: Iterable[Policy]) -> int:
        """Subscribe every practice at every payer that notifies and does not know us yet; the answer is how many.

        Raises:
            CommandFailed: a payer does not take the subscription.
        """
        made = 0
        for practice in practices.values():
            held = {(one["payer"], one["endpoint"]) for one in await self._subscriptions(practice.id)}
            for policy in policies:
                channel = next((c for c in policy.channels if c.rail is Rail.PAS and c.notification), None)
                endpoint = f"{api_url(self._settings)}/v1/webhooks/payers/{policy.payer}"
                if channel is not None and (policy.payer, endpoint) not in held:
                    await self._subscribe(practice, policy, channel, endpoint)
                    made += 1
        return made

    async def _subscribe(self, practice: Practice, policy: Policy, channel: Channel, endpoint: str) -> None:
        settings = self._settings
        client = PasClient(
            self._http,
            settings.resolve_url(channel.base_url or ""),
            settings.resolve_url(channel.token_url or ""),
            practice.id,
            lambda: settings.secret(f"{practice.id}.{policy.payer}").get_secret_value(),
            "2.0.1" if channel.version == "2.0.1" else "2.2.1",
            timedelta(seconds=channel.answer_timeout),
        )
        secret = settings.secret(f"{policy.payer}.webhook").get_secret_value()
        wanted = subscription(
            endpoint, requester(practice).npi, channel.subscription_filter or "org-identifier", secret
        )
        try:
            await client.subscribe(wanted)
        except ConnectorError as error:
            raise CommandFailed(
                f"{policy.payer} does not take the subscription of {practice.id} ({error.code}). "
                f"See sandbox.log in {settings.home_path}."
            ) from None

    async def _subscriptions(self, practice: str) -> list[Json]:
        found: list[Json] = (await self._control("payers", "GET", f"{practice}/subscriptions"))["items"]
        # One whose handshake failed is made again.
        return [one for one in found if one["status"] in {"requested", "active"}]

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
