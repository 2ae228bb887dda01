"""The intake of orders from a practice's record, by schedules: the sweep every two minutes, the comparison every night."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

AT_MOST = timedelta(minutes=10)
"""What is not done by then the next start of the schedule takes up where the cursor stands."""
HEARTBEAT = timedelta(seconds=30)


@workflow.defn(name="IntakeSweep")
class IntakeSweep:
    """Takes in what is new or changed."""

    @workflow.run
    async def run(self, practice: str) -> dict[str, int]:
        """Sweep once; the answer is what was counted."""
        return await _carry_out("sweep_orders", practice, f"Take in new and changed orders of {practice}")


@workflow.defn(name="Reconciliation")
class Reconciliation:
    """Compares open orders with cases, whatever the sweep did."""

    @workflow.run
    async def run(self, practice: str) -> dict[str, int]:
        """Compare once; the answer is what was counted."""
        return await _carry_out("reconcile_orders", practice, f"Find open orders of {practice} that have no case")


async def _carry_out(activity: str, practice: str, summary: str) -> dict[str, int]:
    counted: dict[str, int] = await workflow.execute_activity(
        activity,
        args=[practice, workflow.now()],
        result_type=dict[str, int],
        start_to_close_timeout=AT_MOST,
        schedule_to_close_timeout=AT_MOST,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(seconds=30)),
        summary=summary,
    )
    return counted
