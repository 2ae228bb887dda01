"""One request to a payer, the same for every rail."""

from pydantic import Field

from domain.base import Frozen, Instant, Key
from domain.order import Coverage, DocumentRef, Order, ServiceLine


class Request(Frozen):
    """What the practice asks of a payer. The same request has the same trace, however often it is sent."""

    payer: Key
    rail: Key
    track: Key
    attempt: int = Field(ge=1)
    trace: Key = Field(description="Our identifier (X12 TRN02), made from case, track and attempt.")
    made_at: Instant = Field(description="When the intent was first written; part of the message, kept over retries.")
    order: Order
    rank: int
    lines: tuple[int, ...] = Field(min_length=1, description="Numbers of the order's lines that are asked for.")
    referral: bool = Field(default=False, description="Asks for a referral (X12 UM01 SC) instead of a review (HS).")
    documents: tuple[DocumentRef, ...] = ()

    @property
    def coverage(self) -> Coverage:
        """The coverage that is asked to pay."""
        return self.order.coverage(self.rank)

    @property
    def service_lines(self) -> tuple[ServiceLine, ...]:
        """The lines of the order that are asked for."""
        return tuple(line for line in self.order.lines if line.number in self.lines)
