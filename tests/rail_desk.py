"""One request of a practice at a payer on a rail, and the payer activities on it, for the tests of each rail."""

from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.payers import Payers
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.decision import InformationAsk, Number
from domain.facts import DecisionReceived, Fact, read_fact, write_fact
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.request import Request
from tests.pas_requests import ORDERING, order, request
from tests.vendor_world import NOW, World


class RailDesk:
    """The actions on one request: each returns its facts, which are written, read back and well told."""

    def __init__(
        self, here: World, scenario: str, policy: PolicySlice, rail: str, payers: Payers | None = None
    ) -> None:
        self.here, self.scenario, self.policy, self.rail = here, scenario, policy, rail
        self.payers = payers or Payers(here.outside)
        self.tries = 0
        self.now = NOW

    def request(self, **changes: Any) -> Request:
        coverage = {"payer": self.policy.payer, "member_id": f"MEM000{self.scenario}"}
        asked = order(practice=self.here.practice.id, coverage=coverage, ordering=ORDERING, documents=())
        values = {"rail": self.rail, "trace": f"case-{self.here.practice.id}-1", "documents": ()}
        return request(asked, **(values | changes))

    async def submit(self, **changes: Any) -> list[Fact]:
        action = SubmitRequest(**self._common(), request=self.request(**changes))
        return self._told(await ActivityEnvironment().run(self.payers.submit_request, action))

    async def inquire(self, *numbers: Number, **changes: Any) -> list[Fact]:
        action = InquireStatus(**self._common(), request=self.request(**changes), numbers=numbers, why="a test")
        return self._told(await ActivityEnvironment().run(self.payers.inquire_status, action))

    async def withdraw(self, *numbers: Number, **changes: Any) -> list[Fact]:
        action = WithdrawRequest(**self._common(), request=self.request(**changes), numbers=numbers)
        return self._told(await ActivityEnvironment().run(self.payers.withdraw_request, action))

    async def send(
        self, asks: tuple[InformationAsk, ...], documents: tuple[DocumentRef, ...], numbers: tuple[Number, ...] = ()
    ) -> list[Fact]:
        action = SendInformation(
            **self._common(), request=self.request(), asks=asks, documents=documents, numbers=numbers
        )
        return self._told(await ActivityEnvironment().run(self.payers.send_information, action))

    async def effects(self) -> Any:
        """What the payers did to this practice's requests, by the sandbox's own count."""
        answer = await self.here.control.get(f"/control/practices/{self.here.practice.id}/received")
        return answer.json()["effects"]

    async def submits(self) -> list[int]:
        """How often each request was accepted."""
        return [row["count"] for row in (await self.effects())["submits"]]

    async def raw(self, fact: Any) -> bytes:
        return await self.here.outside.documents.get(self.here.practice.id, fact.raw.id)

    def _common(self) -> dict[str, Any]:
        self.tries += 1
        return {
            "key": f"cause/{self.tries}",
            "practice": self.here.practice.id,
            "case_id": "case-1",
            "now": self.now,
            "track": "1-ordering",
            "policy": self.policy,
        }

    def _told(self, facts: list[Fact]) -> list[Fact]:
        assert all(read_fact(write_fact(fact)) == fact for fact in facts)
        assert all(
            fact.occurred_at == self.now and fact.by == f"system:{self.rail}:{self.policy.payer}" for fact in facts
        )
        assert len({fact.source_id for fact in facts}) == len(facts)
        return facts


def kinds(facts: list[Fact]) -> list[str]:
    return [fact.kind for fact in facts]


def outcomes(fact: Fact) -> list[str]:
    """The decision of each line: `1:approved`."""
    assert isinstance(fact, DecisionReceived)
    return [f"{line.line}:{line.decision.value}" for line in fact.decision.lines]
