"""Takes orders in from a practice's record: the sweep follows what changes, the nightly comparison trusts no sweep.

An order becomes a case once, whoever brings it and how often. The cursor moves only when all of a page are in, so a
crash, an outage of PostgreSQL, of Temporal or of the record makes orders come again, never get lost.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError

from activities import watch_alerts as told
from activities.counterparts import Counterparts
from activities.intake import SOURCE, Intake, Sweep, Unreadable
from activities.outside import Outside
from activities.rounds import carried_out
from connectors import fhir_resources as fhir
from connectors.fhir_order import is_open, order_number
from domain.case import Case, replay
from domain.facts import Fact, OrderCancelled, OrderChanged
from domain.intake import order_received, order_source
from domain.order import Order
from runtime.cases import CaseOver, CaseRefused, CaseUnanswered, facts_of, open_case, status_of, tell_case
from runtime.keys import KeyRing
from runtime.settings import Settings
from store import alerts, cases, cursors, rounds
from store.alerts import Alert
from store.database import Database
from store.rounds import Round

CURSOR = "orders"
BY = f"system:{SOURCE}"
OVERLAP = timedelta(minutes=5)
"""So much of what was read is read again: the record's clocks are not ours, and it may show changes late."""
FIRST_LOOK = timedelta(days=30)
"""How far back the very first sweep looks, and every nightly comparison."""
YOUNG = timedelta(minutes=10)
"""The comparison leaves younger changes to the sweep."""
MOST_PAGES = 20
UNREADABLE = "order_unreadable"


@dataclass
class _Taken:
    """What became of a page of orders."""

    opened: list[str] = field(default_factory=list)
    known: int = 0
    changed: int = 0
    cancelled: int = 0
    over: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    lost: int = 0
    """Open cases that Temporal does not run: the watchman brings them back, then these orders come again."""


class Sweeps:
    """The activities of the intake."""

    def __init__(
        self, client: Client, settings: Settings, keyring: KeyRing, db: Database, outside: Outside, intake: Intake
    ) -> None:
        self._client = client
        self._settings = settings
        self._keyring = keyring
        self._db = db
        self._outside = outside
        self._intake = intake
        self._counterparts = Counterparts(outside)

    @activity.defn(name="sweep_orders")
    async def sweep_orders(self, practice: str, at: datetime) -> dict[str, int]:
        """Take in what changed since the cursor, and move it. `at` is now (UTC). Returns what was counted.

        Raises `ApplicationError`: of type `StoreAway`, `Exhausted`, `CaseLost` it is tried again; others need somebody.
        """
        return await carried_out(self._sweep(practice, at))

    @activity.defn(name="reconcile_orders")
    async def reconcile_orders(self, practice: str, at: datetime) -> dict[str, int]:
        """Compare the record's open orders of the last weeks with the cases; open what is missing, and tell.

        Raises as `sweep_orders`.
        """
        return await carried_out(self._reconcile(practice, at))

    async def _sweep(self, practice: str, at: datetime) -> dict[str, int]:
        held = await cursors.cursor_of(self._db, practice, CURSOR)
        since = datetime.fromisoformat(held) - OVERLAP if held else at - FIRST_LOOK
        total = _Taken()
        for _ in range(MOST_PAGES):
            page = await self._intake.sweep_orders(practice, since, now=at)
            await self._take_in(practice, page, at, total)
            await self._tell_unreadable(practice, page, at)
            if total.lost:
                raise ApplicationError("a case is to be brought back first", type="CaseLost")
            if page.more and page.cursor <= since:
                raise ApplicationError(
                    "the record's orders do not fit on a page", type="NoProgress", non_retryable=True
                )
            since = page.cursor
            if held is None or since > datetime.fromisoformat(held):
                to = since.astimezone(UTC).isoformat()
                if not await cursors.move(self._db, practice, CURSOR, since=held, to=to, at=at):
                    break  # another sweep went on meanwhile
                held = to
            if not page.more:
                break
        looked_at = len(total.opened) + total.known + total.changed + total.cancelled + total.over
        await rounds.note(
            self._db,
            Round(
                name=rounds.SWEEP,
                practice=practice,
                ended_at=at,
                looked_at=looked_at + len(total.unreadable),
                found=len(total.unreadable),
            ),
        )
        return _counted(total)

    async def _reconcile(self, practice: str, at: datetime) -> dict[str, int]:
        changed = await self._open_orders(practice, at)
        missing = await self._without_case(practice, changed)
        total = _Taken()
        if missing:
            # Told before they are opened: whoever tries again after a crash does not find them any more.
            await self._tell_missing(practice, missing, at, total)
            await self._open_missing(practice, at, missing, total)
            await self._tell_missing(practice, missing, at, total)
        await rounds.note(
            self._db,
            Round(
                name=rounds.RECONCILIATION,
                practice=practice,
                ended_at=at,
                looked_at=len(changed),
                found=len(missing),
            ),
        )
        return {"without_case": len(missing), **_counted(total)}

    async def _tell_missing(self, practice: str, missing: Iterable[str], at: datetime, total: _Taken) -> None:
        ids = {number: self._case_id(practice, number) for number in missing}
        await alerts.keep(
            self._db,
            [
                told.order_without_case(practice, case_id, number, opened=case_id in total.opened)
                for number, case_id in ids.items()
            ],
            at,
        )

    async def _open_orders(self, practice: str, at: datetime) -> dict[str, datetime]:
        """The numbers of the record's open orders, with when they last changed; the youngest are left to the sweep."""
        record = self._counterparts.nextgen_fhir(self._outside.practice(practice))
        since = (at - FIRST_LOOK).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        requests = await record.search("ServiceRequest", {"_lastUpdated": f"ge{since}"})
        changed: dict[str, datetime] = {}
        for request in requests:
            when = fhir.moment(fhir.at(request, "meta", "lastUpdated")) or at - FIRST_LOOK
            if is_open(request) and when <= at - YOUNG:
                number = order_number(request)
                changed[number] = min(changed.get(number, when), when)
        return changed

    async def _without_case(self, practice: str, changed: Mapping[str, datetime]) -> dict[str, datetime]:
        """Those of the orders that neither the archive nor Temporal knows."""
        numbers = {self._case_id(practice, number): number for number in changed}
        unknown = await rounds.without_facts(self._db, practice, list(numbers))
        return {
            numbers[case_id]: changed[numbers[case_id]]
            for case_id in sorted(unknown)
            if await status_of(self._client, practice, case_id) is None
        }

    async def _open_missing(self, practice: str, at: datetime, missing: Mapping[str, datetime], total: _Taken) -> None:
        """Read the missing orders whole, from the earliest on, and open their cases."""
        since = min(missing.values())
        for _ in range(MOST_PAGES):
            page = await self._intake.sweep_orders(practice, since, now=at)
            wanted = page.model_copy(
                update={
                    "orders": tuple(order for order in page.orders if order.number in missing),
                    "cancelled": (),
                    "unreadable": tuple(one for one in page.unreadable if one.number in missing),
                }
            )
            await self._take_in(practice, wanted, at, total)
            await self._tell_unreadable(practice, wanted, at)
            since = page.cursor
            if not page.more or since > max(missing.values()):
                return

    # --- one page -------------------------------------------------------------------------------------------------

    async def _take_in(self, practice: str, page: Sweep, at: datetime, total: _Taken) -> None:
        for order in page.orders:
            await self._take(order, at, total)
        for number in page.cancelled:
            await self._take_back(practice, number, at, total)
        total.unreadable += page.unreadable

    async def _take(self, order: Order, at: datetime, total: _Taken) -> None:
        """Open a case of the order; or let the one that knows it take what changed."""
        case = await self._archived(order.practice, order.number)
        if case is None:
            zone = self._outside.practice(order.practice).time_zone
            received = order_received(order, time_zone=zone, by=BY, now=at)
            try:
                standing = await open_case(self._client, self._settings, self._keyring, received)
            except CaseOver:
                total.over += 1
                return
            except CaseUnanswered as error:
                # It was started, or will come again. One case that does not answer must not hold up all orders.
                status = await status_of(self._client, order.practice, error.case_id)
                total.known += status is WorkflowExecutionStatus.RUNNING
                total.lost += status is not WorkflowExecutionStatus.RUNNING
                return
            except CaseRefused as error:
                if error.refusal.code != "order_differs":
                    raise
                case = await self._running(order.practice, order.number)
            else:
                if standing.repeated:
                    total.known += 1
                else:
                    total.opened.append(standing.view.case_id)
                return
        if case is None or case.closed is not None:
            total.over += 1
            return
        changed = _as_the_record_has_it(order, case.order)
        if changed == case.order:
            total.known += 1
            return
        mark = hashlib.sha256(f"{order_source(changed)}\n{case.order_fact.source_id}".encode()).hexdigest()
        fact = OrderChanged(occurred_at=at, by=BY, source_id=f"order_changed:{mark}", order=changed)
        if await tell_case(self._client, case.practice, case.id, [fact]):
            total.changed += 1
        else:
            total.lost += 1

    async def _take_back(self, practice: str, number: str, at: datetime, total: _Taken) -> None:
        """The order is no longer wanted: its case, where it has one, is told once."""
        case = await self._archived(practice, number) or await self._running(practice, number)
        if case is None or case.closed is not None or case.cancelled is not None:
            total.over += 1
            return
        fact = OrderCancelled(
            occurred_at=at,
            by=BY,
            source_id=f"order_cancelled:{SOURCE}",
            reason="The order was taken back in the practice's record.",
        )
        if await tell_case(self._client, practice, case.id, [fact]):
            total.cancelled += 1
        else:
            total.lost += 1

    async def _tell_unreadable(self, practice: str, page: Sweep, at: datetime) -> None:
        """An order of which no case can be made is an operator's task until it is complete or taken back."""
        readable = [*(order.number for order in page.orders), *page.cancelled]
        keys = [f"{UNREADABLE}/{self._case_id(practice, number)}" for number in readable]
        await alerts.clear(self._db, keys, at, practice=practice)
        await alerts.keep(self._db, [self._unreadable(practice, one) for one in page.unreadable], at)

    def _unreadable(self, practice: str, order: Unreadable) -> Alert:
        case_id = self._case_id(practice, order.number)
        lacking = "; ".join(f"{one.field} ({one.why}; {one.who.replace('_', ' ')})" for one in order.missing)
        return Alert(
            key=f"{UNREADABLE}/{case_id}",
            kind=UNREADABLE,
            practice=practice,
            subject=case_id,
            sentence=f"No case can be made of order {order.number[:80]}: {lacking}"[:1000],
            remedy="Let those who are named complete the order in the record; the sweep then takes it in by itself.",
        )

    async def _archived(self, practice: str, number: str) -> Case | None:
        case_id = self._case_id(practice, number)
        return _case(case_id, await cases.facts(self._db, self._keyring, practice, case_id))

    async def _running(self, practice: str, number: str) -> Case | None:
        case_id = self._case_id(practice, number)
        return _case(case_id, await facts_of(self._client, practice, case_id) or ())

    def _case_id(self, practice: str, number: str) -> str:
        return self._keyring.case_id(practice, SOURCE, number)


def _case(case_id: str, facts: Sequence[Fact]) -> Case | None:
    return replay(case_id, facts) if facts else None


def _as_the_record_has_it(order: Order, known: Order) -> Order:
    """The order as it reads now, with what is known of it and a FHIR order does not say."""
    return order.model_copy(
        update={
            "appointment": order.appointment or known.appointment,
            "documents": order.documents or known.documents,
            "facility": order.facility or known.facility,
            "rendering": order.rendering or known.rendering,
            "patient": order.patient.model_copy(update={"may_be_messaged": known.patient.may_be_messaged}),
        }
    )


def _counted(total: _Taken) -> dict[str, int]:
    return {
        "opened": len(total.opened),
        "known": total.known,
        "changed": total.changed,
        "cancelled": total.cancelled,
        "over": total.over,
        "unreadable": len(total.unreadable),
    }
