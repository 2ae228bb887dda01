"""The recorded plan: one local activity a turn, so that the history says what was decided, and rules may change."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain.case import replay
from domain.messages import TurnInput
from domain.plan import Settled, settle
from runtime.metrics import PLAN_FAILURES, PLAN_SECONDS


@activity.defn(name="settle")
async def settle_turn(turn: TurnInput) -> Settled:
    """Fold the facts and plan at the case's time.

    Raises `ApplicationError` of type `PlanFailed.<error>`: the rules broke on this case, which an operator looks at.
    """
    with PLAN_SECONDS.time():
        try:
            _, settled = settle(replay(turn.case_id, turn.facts), turn.now)
        except Exception as error:  # noqa: BLE001 - the edge: a broken rule must not be retried for ever
            PLAN_FAILURES.inc()
            # The text of the error may quote the case: only its type leaves.
            raise ApplicationError("no plan could be made", type=type(error).__name__, non_retryable=True) from None
    return settled
