"""The order and its life."""

from typing import Annotated, Literal

from pydantic import Field

from domain.base import Key, Sentence, Turn
from domain.calendars import TimeZone
from domain.facts.envelope import Fact
from domain.order import Appointment, Order


class OrderReceived(Fact):
    """The practice ordered a service: the case begins."""

    kind: Literal["order_received"] = "order_received"
    order: Order
    time_zone: TimeZone = Field(
        default="America/New_York", description="The practice's, by which its days are counted."
    )


class OrderChanged(Fact):
    """The order reads differently from now on."""

    kind: Literal["order_changed"] = "order_changed"
    order: Order


class OrderCancelled(Fact):
    """The service is no longer wanted."""

    kind: Literal["order_cancelled"] = "order_cancelled"
    reason: Sentence


class AppointmentChanged(Fact):
    """The visit was booked, moved, cancelled, missed or kept."""

    kind: Literal["appointment_changed"] = "appointment_changed"
    appointment: Appointment


class NoteAdded(Fact):
    """Somebody wrote something down."""

    kind: Literal["note_added"] = "note_added"
    text: Annotated[str, Field(min_length=1, max_length=4000)]


class CallLogged(Fact):
    """Somebody spoke with somebody."""

    kind: Literal["call_logged"] = "call_logged"
    with_whom: Turn
    representative: str | None = Field(default=None, max_length=100)
    reference: str | None = Field(default=None, max_length=80)
    asked: Sentence
    answered: Annotated[str, Field(max_length=4000)]


class CaseClosed(Fact):
    """Nothing is left to watch."""

    kind: Literal["case_closed"] = "case_closed"
    reason: Literal["visit_over", "cancelled", "not_needed", "withdrawn"]


class FactRetracted(Fact):
    """A person took an earlier fact back; a second one signed it. The fold leaves the retracted fact out."""

    kind: Literal["fact_retracted"] = "fact_retracted"
    retracted: Key = Field(description="The source id of the fact that is taken back.")
    reason: Sentence
    signed_by: Key
