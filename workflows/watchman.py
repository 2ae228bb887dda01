"""The watchman, outside of all cases: a schedule starts it every five minutes. What it looks for is `activities.watch`."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

ROUND = timedelta(minutes=4)
"""A round ends before the next one begins."""
HEARTBEAT = timedelta(seconds=30)


@workflow.defn(name="Watchman")
class Watchman:
    """One round."""

    @workflow.run
    async def run(self) -> dict[str, int]:
        """Look at everything once; the answer is what was counted."""
        counted: dict[str, int] = await workflow.execute_activity(
            "watch",
            workflow.now(),
            result_type=dict[str, int],
            start_to_close_timeout=ROUND,
            schedule_to_close_timeout=ROUND,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=5), maximum_attempts=3),
            summary="Look for cases that stand still, and for what is lost",
        )
        return counted
