"""What Vigil does at payers by itself: submit, inquire, withdraw, send what is asked for; on whichever rail the request travels.

A rail is one entry in `Payers.rails`. What people work (portal, phone, fax by hand) never comes here.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Protocol

from temporalio import activity

from activities.direct import DirectRail
from activities.fax import FaxRail
from activities.gate import Asked, Gate
from activities.gateway import GatewayRail
from activities.outside import Outside, guarded
from activities.pas import PasRail
from activities.x12 import X12Rail
from activities.x12_exchange import Numbers
from connectors.errors import Refused
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.facts import AnyFact
from domain.policy_rules import Rail


class PayerRail(Protocol):
    """How requests travel to payers and answers come back. Raises `connectors.errors`; facts say what happened."""

    async def submit(self, action: SubmitRequest) -> list[AnyFact]:
        """Search for the request, and create it once if it is not there."""
        ...

    async def inquire(self, action: InquireStatus) -> list[AnyFact]:
        """Ask how the request stands."""
        ...

    async def withdraw(self, action: WithdrawRequest) -> list[AnyFact]:
        """Cancel the request."""
        ...

    async def send_information(self, action: SendInformation) -> list[AnyFact]:
        """Send documents: what the payer asked to see, or what goes unasked."""
        ...


class Payers:
    """The activities that go to payers."""

    def __init__(
        self,
        outside: Outside,
        rails: Mapping[str, PayerRail] | None = None,
        gate: Gate | None = None,
        numbers: Numbers | None = None,
    ) -> None:
        self._gate = gate
        self.rails: Mapping[str, PayerRail] = (
            rails
            if rails is not None
            else {
                Rail.PAS.value: PasRail(outside),
                Rail.GATEWAY.value: GatewayRail(outside),
                Rail.FAX.value: FaxRail(outside),
                Rail.DIRECT.value: DirectRail(outside),
                # X12 goes only with control numbers that no other message has.
                **({Rail.X12.value: X12Rail(outside, numbers)} if numbers is not None else {}),
            }
        )

    @activity.defn(name="submit_request")
    @guarded
    async def submit_request(self, action: SubmitRequest) -> list[AnyFact]:
        """Make sure that the payer has the request, once, and say what it answered."""
        async with self._way(action) as rail:
            return await rail.submit(action)

    @activity.defn(name="inquire_status")
    @guarded
    async def inquire_status(self, action: InquireStatus) -> list[AnyFact]:
        """Ask the payer how the request stands."""
        async with self._way(action) as rail:
            return await rail.inquire(action)

    @activity.defn(name="withdraw_request")
    @guarded
    async def withdraw_request(self, action: WithdrawRequest) -> list[AnyFact]:
        """Cancel the request at the payer."""
        async with self._way(action) as rail:
            return await rail.withdraw(action)

    @activity.defn(name="send_information")
    @guarded
    async def send_information(self, action: SendInformation) -> list[AnyFact]:
        """Send the payer what it asked to see."""
        async with self._way(action) as rail:
            return await rail.send_information(action)

    @asynccontextmanager
    async def _way(self, action: Asked) -> AsyncIterator[PayerRail]:
        """The rail of a request, once its channel's breaker and its carrier let it pass."""
        rail = self.rails.get(action.request.rail)
        if rail is None:
            raise Refused(f"rail_unknown:{action.request.rail}")
        async with self._gate.passage(action) if self._gate else nullcontext():
            yield rail
