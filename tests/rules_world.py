"""Questions to a payer's own rules (CRD) and for its forms (DTR), for tests of both."""

from datetime import UTC, datetime
from typing import Any

from connectors.pas.parties import PasPayer
from connectors.requester import Requester
from domain.actions import AskRequirement, FetchQuestionnaire
from domain.order import Address, Appointment, Facility, Order, Provider
from domain.policy import PolicySlice
from tests.builders import cut, order
from tests.vendor_world import CASE, NOW, World

PRACTICE = Requester(
    name="Lakeside Orthopedics",
    npi="1234567893",
    tax_id="12-3456789",
    address=Address(line="100 Example Shore Drive", city="Springfield", state="IL", postal_code="62701"),
    phone="+12175550100",
)
PAYER = PasPayer(id="meridian-ppo", name="Meridian PPO", identifier="1345678902")


def ordered(scenario: str = "900", *, payer: str = "meridian-ppo", lines: int = 1, **changes: Any) -> Order:
    made = order(scenario, payer=payer, lines=lines, now=NOW, visit=datetime(2026, 3, 16, 16, 0, tzinfo=UTC))
    return made.model_copy(update=changes)


def rendering() -> Provider:
    return Provider(npi="1999000031", family_name="Ellery", given_name="Noor", taxonomy="207X00000X")


def facility() -> Facility:
    address = Address(line="9 Meridian Way", city="Springfield", state="IL", postal_code="62701")
    return Facility(npi="1999000049", name="Prairie Imaging Center", address=address)


def visit() -> Appointment:
    return Appointment(id="APT-1", starts_at=datetime(2026, 3, 16, 16, 0, tzinfo=UTC))


def rules(made: Order, base: str = "{sandbox}") -> PolicySlice:
    """The rules of a payer of the sandbox, with its services."""
    policy = cut(made)
    payer = made.primary.payer
    urls = {"crd_url": f"{base}/payers/{payer}", "dtr_url": f"{base}/payers/{payer}/fhir"}
    first = policy.channels[0].model_copy(update=urls)
    return policy.model_copy(update={"channels": (first, *policy.channels[1:])})


def ask(made: Order, hook: str = "order-sign", practice: str = "lakeside", **more: Any) -> AskRequirement:
    made = made.model_copy(update={"practice": practice})
    head: dict[str, Any] = {"key": f"ask_requirement/1/{hook}/abc/1", "practice": practice, "case_id": CASE, "now": NOW}
    return AskRequirement(**head, hook=hook, order=made, rank=1, policy=rules(made), **more)


def fetch(made: Order, practice: str = "lakeside", **more: Any) -> FetchQuestionnaire:
    made = made.model_copy(update={"practice": practice})
    key = "fetch_questionnaire/1-ordering/abc/0/1"
    head: dict[str, Any] = {"key": key, "practice": practice, "case_id": CASE, "now": NOW, "track": "1-ordering"}
    return FetchQuestionnaire(**head, order=made, rank=1, policy=rules(made), **more)


__all__ = ["PAYER", "PRACTICE", "World", "ask", "facility", "fetch", "ordered", "rendering", "rules", "visit"]
