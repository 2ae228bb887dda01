"""A practice that sends packets by fax or by Direct in the sandbox, and the actions on one request."""

from datetime import timedelta
from typing import Any

from pydantic import SecretStr
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.direct import DirectRail
from activities.fax import FaxRail
from activities.payers import Payers
from domain.actions import InquireStatus, SendInformation, SubmitRequest, WithdrawRequest
from domain.decision import InformationAsk, Number, NumberType, Reason
from domain.facts import Fact, read_fact, write_fact
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import Rail
from domain.request import Request
from tests.builders import cut, order
from tests.vendor_world import NOW, World

POLL = timedelta(seconds=0.02)
INTAKE = "intake@direct.payer.example"
OURS = "office@direct.lakeside.example"


def slice_by(rail: Rail, to: str) -> PolicySlice:
    """Keystone's rules, with a channel that Vigil works by itself."""
    policy = cut(order(payer="keystone-sf"))
    held = next(channel for channel in policy.channels if channel.rail is Rail.FAX)
    base = f"{{sandbox}}/{rail.value}/v1"
    sender = OURS if rail is Rail.DIRECT else None
    changes = {"rail": rail, "base_url": base, "via": "neutral", "sender": sender, "receiver": to}
    return policy.model_copy(update={"channels": (held.model_copy(update=changes),)})


class PaperDesk:
    """One request of a practice, sent on paper."""

    def __init__(self, here: World, rail: Rail, to: str) -> None:
        self.here, self.rail = here, rail
        self.policy = slice_by(rail, to)
        here.outside.settings.secrets_by_name[f"{here.practice.id}.neutral"] = SecretStr("any")
        rails = {"fax": FaxRail(here.outside, POLL), "direct": DirectRail(here.outside, POLL)}
        self.payers = Payers(here.outside, rails)
        self.documents: tuple[DocumentRef, ...] = ()
        self.tries = 0

    async def at_once(self, seconds: int = 0) -> None:
        """Let what is sent be over after so many seconds."""
        path = f"/control/practices/{self.here.practice.id}/settings"
        body = {"fax_seconds": seconds, "direct_seconds": seconds}
        (await self.here.control.patch(path, json=body)).raise_for_status()

    async def keep(self, content: bytes, kind: str = "office_note", media_type: str = "text/plain") -> DocumentRef:
        return await self.here.outside.documents.put(self.here.practice.id, content, kind, media_type)

    def request(self) -> Request:
        ordered = order(payer="keystone-sf", practice=self.here.practice.id, documents=())
        return Request(
            payer="keystone-sf",
            rail=self.rail.value,
            track="1-ordering",
            attempt=1,
            trace=f"case-{'a' * 26}-1-ordering-1",
            made_at=NOW,
            order=ordered,
            rank=1,
            lines=(1,),
            documents=self.documents,
        )

    def _common(self) -> dict[str, Any]:
        self.tries += 1
        return {
            "key": f"cause/{self.tries}",
            "practice": self.here.practice.id,
            "case_id": "case-1",
            "now": NOW,
            "track": "1-ordering",
            "request": self.request(),
            "policy": self.policy,
        }

    async def submit(self) -> list[Any]:
        return self._told(await ActivityEnvironment().run(self.payers.submit_request, SubmitRequest(**self._common())))

    async def inquire(self) -> list[Any]:
        action = InquireStatus(**self._common(), why="a test")
        return self._told(await ActivityEnvironment().run(self.payers.inquire_status, action))

    async def withdraw(self) -> list[Any]:
        number = Number(type=NumberType.ADMINISTRATIVE, value="KREF208817")
        action = WithdrawRequest(**self._common(), numbers=(number,))
        return self._told(await ActivityEnvironment().run(self.payers.withdraw_request, action))

    async def send_information(self, *documents: DocumentRef) -> list[Any]:
        ask = InformationAsk(what=(Reason(text="The note"),), control_number="CN-77")
        action = SendInformation(**self._common(), asks=(ask,), documents=documents)
        return self._told(await ActivityEnvironment().run(self.payers.send_information, action))

    def _told(self, facts: list[Fact]) -> list[Fact]:
        assert all(read_fact(write_fact(fact)) == fact for fact in facts)
        return facts

    async def sent(self) -> list[str]:
        """The references of all that was taken, a row each."""
        answer = await self.here.control.get(f"/control/practices/{self.here.practice.id}/received")
        rows = answer.json()["effects"]["faxes" if self.rail is Rail.FAX else "direct"]
        return [row["reference"] for row in rows]


def ending(error: ApplicationError) -> tuple[str, str]:
    return str(error.type), error.message
