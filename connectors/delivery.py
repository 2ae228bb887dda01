"""What a fax and a Direct message have in common: a parcel is handed to a carrier, and later it was delivered or not.

A carrier is found again by our own reference. *Delivered* means that a machine or a mailbox took it, never that somebody read
it. What a carrier says in words that are not listed is unknown: never delivered, never surely failed.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Protocol

from pydantic import Field, StringConstraints

from connectors.errors import NotUnderstood
from connectors.offer import Offer
from domain.base import Frozen, Instant, Key

MOST_LISTED = 100
"""How many parcels of one reference are looked at."""

Word = Annotated[str, StringConstraints(max_length=120)]


class DeliveryState(StrEnum):
    """How far a parcel has come."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Surely not delivered: it may be sent again."""
    UNKNOWN = "unknown"
    """It may or may not have been delivered: never sent again without a person's word."""


class Failing(StrEnum):
    """Why a parcel failed, as far as it matters for what follows."""

    PASSING = "passing"
    """Busy, no answer, interrupted: it is worth another try."""
    LASTING = "lasting"
    """A wrong number or address, no trust: somebody has to correct it."""


class Parcel(Frozen):
    """One PDF on its way to one place."""

    to: Key
    sender: Key
    reference: Annotated[str, StringConstraints(min_length=1, max_length=150)] = Field(
        description="Ours; the same on every try. It names no patient."
    )
    subject: Annotated[str, StringConstraints(max_length=100)]
    pdf: bytes
    pages: int = Field(ge=1)


class Delivery(Frozen):
    """What a carrier says of one parcel that it took."""

    id: Key
    reference: str = Field(max_length=200)
    state: DeliveryState
    said: Word = Field(description="The carrier's own word for the state.")
    failing: Failing | None = None
    error: Word | None = Field(default=None, description="The carrier's code of what went wrong, verbatim.")
    pages: int | None = None
    remote: Word | None = Field(default=None, description="Who answered there: a fax machine's id, a mailbox.")
    at: Instant | None = Field(default=None, description="When it was over, by the carrier's clock.")
    raw: bytes = b""


class Carrier(Protocol):
    """A service that carries parcels. Everything raises `connectors.errors`."""

    async def send(self, parcel: Parcel) -> Delivery:
        """Hand a parcel over. Not idempotent: search first. `OutcomeUnknown` where it may have been taken."""
        ...

    async def get(self, delivery_id: str) -> Delivery:
        """What became of a parcel."""
        ...

    async def find(self, reference: str) -> tuple[Delivery, ...]:
        """Every parcel of a reference, the oldest first."""
        ...


async def check(carrier: Carrier, reference: str) -> Offer:
    """Look whether a carrier lets us in and lists what was sent, by a `reference` that nothing has.

    Raises:
        Unreachable, Busy: it cannot be looked at now.
        Refused: it does not let this practice in.
        NotUnderstood: what came is no list.
    """
    await carrier.find(reference)
    return Offer(says=("lists what was sent, by our reference",))


def instant(value: Any, what: str, raw: bytes) -> datetime | None:
    """An ISO 8601 instant with its zone, or None where nothing is said. Raises `NotUnderstood`."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        raise NotUnderstood(f"{what}:time", raw, "application/json") from None
    if found.tzinfo is None:
        raise NotUnderstood(f"{what}:time", raw, "application/json")
    return found
