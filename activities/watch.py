"""The watchman's round: finds cases that stand still or are lost, and brings them back; tells operators of the rest.

It trusts nothing that cases say of themselves: it compares what Temporal runs with what the archive has. While
PostgreSQL is away it looks at Temporal alone; what it finds is then logged and counted, and written in a later round.
"""

import asyncio
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TypeVar

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowQueryFailedError
from temporalio.service import RPCError

from activities import watch_alerts as told
from activities.rounds import carried_out
from domain.facts import Fact
from domain.messages import Opening
from runtime.cases import (
    RunningCase,
    facts_of,
    restore_case,
    running_cases,
    status_of,
    status_of_run,
    stuck_workflows,
    wake_case,
)
from runtime.errors import VigilRuntimeError
from runtime.logs import get_logger
from runtime.metrics import (
    ALERTS,
    ARCHIVE_LAG_SECONDS,
    CASES_OPEN,
    CASES_OVERDUE,
    CASES_RESTORED,
    CASES_STUCK,
    DATABASE_UP,
    ORDERS_WITHOUT_CASE,
    WATCHMAN_LAST_RUN,
)
from runtime.practices import Capability, Practice
from runtime.settings import Settings
from store import alerts, cases, rounds
from store.alerts import Alert
from store.database import Database
from store.errors import StoreAway
from store.rounds import OpenRow, Round
from store.sealing import Sealer

EVERY = timedelta(minutes=5)
GRACE = timedelta(minutes=5)
"""So much later than it said a case may look again: time to publish that it did."""
LAG_ALERT = timedelta(minutes=15)
ROUNDS_DUE: Mapping[str, timedelta] = {rounds.SWEEP: timedelta(minutes=15), rounds.RECONCILIATION: timedelta(hours=36)}
"""After how long without an end of a practice's rounds an operator is told."""
REMEMBERED = timedelta(hours=20)
"""Temporal surely remembers a run for so long: the shortest retention is a day."""
MOST_WOKEN, MOST_RESTORED, MOST_COMPARED = 200, 500, 200
AT_ONCE = 20

T = TypeVar("T")
R = TypeVar("R")
log = get_logger(__name__)


class Watch:
    """The watchman's activity. One object a worker; it remembers since when PostgreSQL is away."""

    def __init__(
        self, client: Client, settings: Settings, db: Database, sealer: Sealer, practices: Mapping[str, Practice]
    ) -> None:
        self._client = client
        self._settings = settings
        self._db = db
        self._sealer = sealer
        self._practices = practices
        self._away_since: datetime | None = None

    @activity.defn(name="watch")
    async def watch(self, at: datetime) -> dict[str, int]:
        """Make one round at `at` (UTC) and return what was counted.

        Raises `ApplicationError` where Temporal does not answer: then nothing can be said, and the round is tried again.
        """
        return await carried_out(self._watch(at))

    async def _watch(self, at: datetime) -> dict[str, int]:
        running = {case.case_id: case async for case in running_cases(self._client)}
        _count_open(running.values())
        found = _Found()
        await self._look_for_stuck(found)
        try:
            await self._compare(at, running, found)
            await self._write(at, found, len(running))
            self._away_since = None
        except StoreAway:
            self._away_since = self._away_since or at
            found.say(told.database_away())
            found.lag = max(found.lag, at - self._away_since)
        DATABASE_UP.set(0 if self._away_since else 1)
        ARCHIVE_LAG_SECONDS.set(found.lag.total_seconds())
        for kind, number in found.by_kind().items():
            ALERTS.labels(kind).set(number)
        if self._away_since:
            for alert in found.alerts:
                log.warning("alert while PostgreSQL is away", kind=alert.kind, workflow_id=alert.subject or "none")
        WATCHMAN_LAST_RUN.set(at.timestamp())
        return {
            "running": len(running),
            "database_up": int(self._away_since is None),
            "alerts": len(found.alerts),
            **found.counted,
        }

    async def _look_for_stuck(self, found: "_Found") -> None:
        stuck = await stuck_workflows(self._client)
        for one in stuck:
            found.say(told.stuck(one.practice, one.workflow_id, one.workflow_type))
        # Only cases have a practice of their own.
        found.count("stuck", number := sum(one.practice is not None for one in stuck))
        CASES_STUCK.set(number)

    # --- what PostgreSQL is needed for ----------------------------------------------------------------------------

    async def _compare(self, at: datetime, running: Mapping[str, RunningCase], found: "_Found") -> None:
        rows = await rounds.open_rows(self._db)
        gone_back = await self._went_back(at)
        lost = [row for row in rows if row.case_id not in running][:MOST_RESTORED]
        restored = sum(await _side_by_side(lost, lambda row: self._bring_back(at, row, found)))
        found.count("restored", restored)
        await self._wake(at, rows, running, found, everybody=restored > 0 or gone_back)
        await self._measure_lag(at, rows, running, found)
        await self._look_at_rounds(at, found)

    async def _went_back(self, at: datetime) -> bool:
        """Whether Temporal has forgotten the last round: then it was restored from a copy that is older than that."""
        last = await rounds.last(self._db, rounds.WATCHMAN)
        if last is None or last.workflow_id is None or at - last.ended_at > REMEMBERED:
            return False
        return await status_of_run(self._client, None, last.workflow_id, last.run_id) is None

    async def _bring_back(self, at: datetime, row: OpenRow, found: "_Found") -> bool:
        """Start a case anew where Temporal does not run it. The list of what runs lags: this asks exactly."""
        status = await status_of(self._client, row.practice, row.case_id)
        if status is WorkflowExecutionStatus.RUNNING:
            return False
        try:
            facts, confirmed = await self._all_that_is_known(row, ended=status is not None)
            opening = Opening(case_id=row.case_id, facts=facts, confirmed=confirmed)
            alert = told.restored(row.practice, row.case_id, len(facts))
            # Told first: once it runs again, a round that is tried again does not see that it was lost.
            await alerts.keep(self._db, [alert], at)
            await restore_case(self._client, self._settings, opening)
        except (VigilRuntimeError, ValueError) as error:  # a missing key, or facts that cannot be read
            log.exception("a lost case cannot be restored", case_id=row.case_id, error_type=type(error).__name__)
            found.say(told.unrestorable(row.practice, row.case_id, type(error).__name__))
            return False
        log.warning("a lost case was restored", case_id=row.case_id, facts=len(facts))
        CASES_RESTORED.inc()
        found.say(alert)
        return True

    async def _all_that_is_known(self, row: OpenRow, *, ended: bool) -> tuple[Sequence[Fact], int]:
        """The facts to start from, and how many of them the archive has.

        A case that has ended in Temporal knows more than an archive in which it is open: PostgreSQL was restored.
        """
        if ended:
            try:
                known = await facts_of(self._client, row.practice, row.case_id)
            except (RPCError, WorkflowQueryFailedError):
                known = None  # it cannot say any more; the archive can
            if known and len(known) >= row.n:
                return known, 0
        archived = await cases.facts(self._db, self._sealer, row.practice, row.case_id)
        return archived, len(archived)

    async def _wake(
        self,
        at: datetime,
        rows: Sequence[OpenRow],
        running: Mapping[str, RunningCase],
        found: "_Found",
        *,
        everybody: bool,
    ) -> None:
        """Wake who overslept; after a restore all, since each hands over, and takes back, when it looks again."""
        late = [row for row in rows if row.case_id in running and row.wake_at and row.wake_at < at - GRACE]
        CASES_OVERDUE.set(len(late))
        found.count("overdue", len(late))
        for row in late:
            found.say(told.overdue(row.practice, row.case_id, EVERY))
        late.sort(key=lambda row: (row.wake_at, row.case_id))
        waking = {row.case_id: row.practice for row in late[:MOST_WOKEN]}
        if everybody:
            log.warning("Temporal was restored from an older copy; waking all cases", cases=len(running))
            waking |= {case.case_id: case.practice for case in running.values()}
        woken = await _side_by_side(waking.items(), lambda one: wake_case(self._client, one[1], one[0]))
        found.count("woken", sum(woken))

    async def _measure_lag(
        self, at: datetime, rows: Sequence[OpenRow], running: Mapping[str, RunningCase], found: "_Found"
    ) -> None:
        """The age of the oldest fact that the archive lacks, among cases whose row differs from what Temporal shows."""
        by_id = {row.case_id: row for row in rows}
        differing = [case for case in running.values() if _differs(case, by_id.get(case.case_id))][:MOST_COMPARED]
        ages = await _side_by_side(differing, lambda case: self._age(at, case, by_id.get(case.case_id)))
        found.lag = max([found.lag, *ages])
        # Restored from an older copy, PostgreSQL has lost what these cases believe to be there.
        behind = [case for case, age in zip(differing, ages, strict=True) if age > GRACE]
        await _side_by_side(behind, lambda case: wake_case(self._client, case.practice, case.case_id))
        if found.lag > LAG_ALERT:
            found.say(told.archive_lag())

    async def _age(self, at: datetime, case: RunningCase, row: OpenRow | None) -> timedelta:
        try:
            known = await facts_of(self._client, case.practice, case.case_id, patience=timedelta(seconds=5))
        except (RPCError, WorkflowQueryFailedError):
            return timedelta()  # it cannot answer: that is told as stuck or overdue, not as a lag
        if row is not None and known is not None and len(known) < row.n:
            # Restored from a copy so young that it has the last round: it takes back what it lost when it looks again.
            await wake_case(self._client, case.practice, case.case_id)
        unpublished = [fact.recorded_at for fact in (known or ())[row.n if row else 0 :] if fact.recorded_at]
        return max(at - min(unpublished), timedelta()) if unpublished else timedelta()

    async def _look_at_rounds(self, at: datetime, found: "_Found") -> None:
        for practice in self._practices.values():
            if practice.ehr.capability("orders.read") is Capability.OFF:
                continue
            for name, limit in ROUNDS_DUE.items():
                last = await rounds.last(self._db, name, practice.id)
                if last is None or at - last.ended_at > limit:
                    found.say(told.round_missing(practice.id, name, limit, seen=last is not None))
                if last is not None and name == rounds.RECONCILIATION:
                    ORDERS_WITHOUT_CASE.labels(practice.id).set(last.found)

    async def _write(self, at: datetime, found: "_Found", looked_at: int) -> None:
        by_kind = groupby(sorted(found.alerts, key=lambda alert: alert.kind), key=lambda alert: alert.kind)
        said = {kind: list(group) for kind, group in by_kind}
        for kind in KINDS:
            await alerts.keep_only(self._db, kind, said.get(kind, ()), at)
        info = activity.info()
        this = Round(
            name=rounds.WATCHMAN,
            ended_at=at,
            looked_at=looked_at,
            found=len(found.alerts),
            workflow_id=info.workflow_id,
            run_id=info.workflow_run_id,
        )
        await rounds.note(self._db, this)


KINDS = (
    told.OVERDUE,
    told.STUCK,
    told.RESTORED,
    told.UNRESTORABLE,
    told.DATABASE_AWAY,
    told.ARCHIVE_LAG,
    told.ROUND_MISSING,
)
"""The kinds of alert that the watchman opens and clears."""


class _Found:
    """What a round finds."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.counted: dict[str, int] = {}
        self.lag = timedelta()

    def say(self, alert: Alert) -> None:
        self.alerts.append(alert)

    def count(self, what: str, number: int) -> None:
        self.counted[what] = number

    def by_kind(self) -> dict[str, int]:
        tally = Tally(alert.kind for alert in self.alerts)
        return {kind: tally[kind] for kind in KINDS}


def _count_open(running: Iterable[RunningCase]) -> None:
    CASES_OPEN.clear()
    tally = Tally((case.practice, case.turn or "vigil") for case in running)
    for (practice, turn), number in tally.items():
        CASES_OPEN.labels(practice, turn).set(number)


def _differs(case: RunningCase, row: OpenRow | None) -> bool:
    if row is None or (case.stage, case.turn) != (row.stage, row.turn):
        return True
    if case.next_deadline is None or row.due is None:
        return case.next_deadline is not row.due
    # Visibility may keep instants less exactly than PostgreSQL does.
    return abs(case.next_deadline - row.due) > timedelta(seconds=1)


async def _side_by_side(items: Iterable[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """Do the same for each, a few at once."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with free:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items))
