"""What Vigil does at payers by itself: submit, inquire, withdraw, send what is asked for; on whichever rail the request travels.

A rail is one entry in `Payers.rails`. Rails that people work (portal, fax, phone) never come here.
"""

from collections.abc import Mapping
from typing import Protocol

from temporalio import activity

from activities.outside import Outside, guarded
from activities.pas import PasRail
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

    def __init__(self, outside: Outside, rails: Mapping[str, PayerRail] | None = None) -> None:
        self.rails: Mapping[str, PayerRail] = rails if rails is not None else {Rail.PAS.value: PasRail(outside)}

    @activity.defn(name="submit_request")
    @guarded
    async def submit_request(self, action: SubmitRequest) -> list[AnyFact]:
        """Make sure that the payer has the request, once, and say what it answered."""
        return await self._rail(action.request.rail).submit(action)

    @activity.defn(name="inquire_status")
    @guarded
    async def inquire_status(self, action: InquireStatus) -> list[AnyFact]:
        """Ask the payer how the request stands."""
        return await self._rail(action.request.rail).inquire(action)

    @activity.defn(name="withdraw_request")
    @guarded
    async def withdraw_request(self, action: WithdrawRequest) -> list[AnyFact]:
        """Cancel the request at the payer."""
        return await self._rail(action.request.rail).withdraw(action)

    @activity.defn(name="send_information")
    @guarded
    async def send_information(self, action: SendInformation) -> list[AnyFact]:
        """Send the payer what it asked to see."""
        return await self._rail(action.request.rail).send_information(action)

    def _rail(self, name: str) -> PayerRail:
        rail = self.rails.get(name)
        if rail is None:
            raise Refused(f"rail_unknown:{name}")
        return rail
