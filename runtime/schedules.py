"""The schedules of an installation: the watchman, and for each practice its intake sweep and nightly comparison.

Every worker calls `ensure_schedules` at its start; what is as it should be stays untouched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import Priority
from temporalio.service import RPCError, RPCStatusCode

from runtime.logs import get_logger
from runtime.practices import Capability, Practice
from runtime.settings import Settings

WATCHMAN, SWEEP, RECONCILIATION = "vigil-watchman", "vigil-sweep", "vigil-reconcile"
"""Ids of schedules and of the workflows that they start; those of a practice have `-<practice>` after them."""

WATCH_EVERY: Final = timedelta(minutes=5)
SWEEP_EVERY: Final = timedelta(minutes=2)
NIGHTLY_HOUR, NIGHTLY_MINUTE = 2, 30
"""When the comparison runs, local to the practice."""
_MISSED_BY_DAY: Final = timedelta(minutes=1)
_MISSED_BY_NIGHT: Final = timedelta(hours=10)
"""A machine that was off at night compares when it is on again."""

log = get_logger(__name__)


@dataclass(frozen=True)
class _Wanted:
    """A schedule as it should be."""

    id: str
    workflow: str
    summary: str
    spec: ScheduleSpec
    practice: str | None = None
    catch_up: timedelta = _MISSED_BY_DAY
    priority: int = 1

    def schedule(self, task_queue: str) -> Schedule:
        action = ScheduleActionStartWorkflow(
            self.workflow,
            args=[] if self.practice is None else [self.practice],
            id=self.id,
            task_queue=task_queue,
            static_summary=self.summary,
            priority=Priority(priority_key=self.priority),
        )
        return Schedule(
            action=action,
            spec=self.spec,
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=self.catch_up),
        )


async def ensure_schedules(client: Client, settings: Settings, practices: Mapping[str, Practice]) -> list[str]:
    """Make the schedules that are missing, change those that differ, and remove those of practices that are gone.

    A schedule that an operator paused stays paused. Returns the ids of what was made, changed or removed.

    Raises:
        RPCError: Temporal cannot be reached, or refused.
    """
    wanted = {one.id: one for one in _wanted(practices)}
    touched = [one.id for one in wanted.values() if await _ensure(client, one, settings.task_queue)]
    listed = [entry.id async for entry in await client.list_schedules()]
    gone = [one for one in set(listed) - set(wanted) if one.startswith((f"{SWEEP}-", f"{RECONCILIATION}-"))]
    touched += [one for one in sorted(gone) if await _remove(client, one)]
    for schedule_id in touched:
        log.info("schedule brought up to date", schedule_id=schedule_id)
    return touched


def _wanted(practices: Mapping[str, Practice]) -> list[_Wanted]:
    found = [
        _Wanted(
            WATCHMAN,
            "Watchman",
            "Look for cases that stand still",
            ScheduleSpec(intervals=[ScheduleIntervalSpec(every=WATCH_EVERY)]),
        )
    ]
    for practice in practices.values():
        if practice.ehr.capability("orders.read") is Capability.OFF:
            continue
        nightly = ScheduleCalendarSpec(hour=[ScheduleRange(NIGHTLY_HOUR)], minute=[ScheduleRange(NIGHTLY_MINUTE)])
        found += [
            _Wanted(
                f"{SWEEP}-{practice.id}",
                "IntakeSweep",
                f"Take in new and changed orders of {practice.id}",
                ScheduleSpec(intervals=[ScheduleIntervalSpec(every=SWEEP_EVERY)]),
                practice.id,
                priority=2,
            ),
            _Wanted(
                f"{RECONCILIATION}-{practice.id}",
                "Reconciliation",
                f"Compare the open orders of {practice.id} with the cases",
                ScheduleSpec(calendars=[nightly], time_zone_name=practice.time_zone),
                practice.id,
                _MISSED_BY_NIGHT,
                priority=3,
            ),
        ]
    return found


async def _ensure(client: Client, wanted: _Wanted, task_queue: str) -> bool:
    schedule = wanted.schedule(task_queue)
    handle = client.get_schedule_handle(wanted.id)
    described = await _describe(handle)
    if described is None:
        try:
            await client.create_schedule(wanted.id, schedule)
        except ScheduleAlreadyRunningError:  # another worker was faster
            return False
        return True
    if _same(described.schedule, schedule):
        return False
    await handle.update(lambda held: _changed(held, schedule))
    return True


async def _describe(handle: ScheduleHandle) -> ScheduleDescription | None:
    try:
        return await handle.describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


def _changed(held: ScheduleUpdateInput, schedule: Schedule) -> ScheduleUpdate:
    return ScheduleUpdate(replace(schedule, state=held.description.schedule.state))


def _same(held: Schedule, wanted: Schedule) -> bool:
    """Whether a schedule is as it should be. Its sealed input is not compared: the id says which practice it is."""
    ours, theirs = wanted.action, held.action
    return (
        isinstance(ours, ScheduleActionStartWorkflow)
        and isinstance(theirs, ScheduleActionStartWorkflow)
        and (ours.workflow, ours.id, ours.task_queue, ours.priority)
        == (theirs.workflow, theirs.id, theirs.task_queue, theirs.priority)
        and _times(held.spec) == _times(wanted.spec)
        and (held.policy.overlap, held.policy.catchup_window) == (wanted.policy.overlap, wanted.policy.catchup_window)
    )


def _times(spec: ScheduleSpec) -> tuple[object, ...]:
    return (
        [(one.every, one.offset or timedelta()) for one in spec.intervals],
        [(list(one.hour), list(one.minute), list(one.second), list(one.day_of_week)) for one in spec.calendars],
        spec.time_zone_name or None,
    )


async def _remove(client: Client, schedule_id: str) -> bool:
    try:
        await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # another worker was faster
            raise
        return False
    return True
