"""Finds new and changed orders in the practices' records. A schedule's workflow calls it; it keeps no state of its own."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime

from activities.counterparts import Counterparts
from activities.outside import Outside
from connectors.fhir_order import OrderUnreadable, is_open, order_from_fhir, order_number
from domain.base import Frozen, Instant
from domain.intake import Missing
from domain.order import Order
from runtime import httpclient

SOURCE = "nextgen"
_TAKEN_BACK = frozenset({"revoked", "entered-in-error"})


class Unreadable(Frozen):
    """An order that is there, and of which no case can be made yet."""

    number: str
    missing: tuple[Missing, ...]


class Sweep(Frozen):
    """What changed since a cursor. Orders may come again: a case knows its order by practice, source and number."""

    orders: tuple[Order, ...] = ()
    cancelled: tuple[str, ...] = ()
    """Numbers of orders that were taken back."""
    unreadable: tuple[Unreadable, ...] = ()
    cursor: Instant
    more: bool = False
    """Whether another sweep with the new cursor brings more at once."""


class Intake:
    """Sweeps practices. `payers` says what coverages call each payer, in lower case, and the payer's id here."""

    def __init__(self, outside: Outside, payers: Callable[[], Mapping[str, str]] = dict) -> None:
        self._outside = outside
        self._counterparts = Counterparts(outside)
        self._payers = payers

    async def sweep_orders(self, practice_id: str, cursor: datetime, *, now: datetime | None = None) -> Sweep:
        """Return what changed at or after `cursor`, at most about a hundred orders, oldest change first.

        `now` is the practice's time where it is not the wall clock's. Raises the connectors' errors.
        """
        practice = self._outside.practice(practice_id)
        fhir = self._counterparts.nextgen_fhir(practice)
        with httpclient.case_now(now) if now else nullcontext():
            changes = await fhir.orders_since(cursor)
        orders: list[Order] = []
        cancelled: list[str] = []
        unreadable: list[Unreadable] = []
        for resources in changes.orders:
            requests = [one for one in resources if one.get("resourceType") == "ServiceRequest"]
            number = order_number(requests[0])
            if not any(map(is_open, requests)):
                if any(one.get("status") in _TAKEN_BACK for one in requests):
                    cancelled.append(number)
                continue
            try:
                orders.append(order_from_fhir(resources, practice.id, SOURCE, payers=self._payers()))
            except OrderUnreadable as error:
                unreadable.append(Unreadable(number=number, missing=error.missing))
        return Sweep(
            orders=tuple(orders),
            cancelled=tuple(cancelled),
            unreadable=tuple(unreadable),
            cursor=changes.cursor,
            more=changes.more,
        )
