"""The recorded plan: one activity a turn, so that the history says what was decided, and rules may change."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.rules import pin
from domain.actions import PinPolicy
from domain.case import Case, record, replay
from domain.facts import Fact
from domain.messages import TurnInput
from domain.plan import PlanError, Settled, settle
from runtime.metrics import PLAN_FAILURES, PLAN_SECONDS
from store.shelf import Shelf


class Turns:
    """Plans cases. Needs nothing but the released rules, which are held in memory."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    @activity.defn(name="settle")
    async def settle(self, turn: TurnInput) -> Settled:
        """Fold the facts and plan at the case's time; rules that have to be pinned are pinned at once.

        Raises `ApplicationError` with the error's type, not to be tried again: the rules broke on this case, which an
        operator looks at.
        """
        with PLAN_SECONDS.time():
            try:
                return self._settled(replay(turn.case_id, turn.facts), turn)
            except Exception as error:  # noqa: BLE001 - the edge: a broken rule must not be retried for ever
                PLAN_FAILURES.inc()
                # The text of the error may quote the case: only its type leaves.
                raise ApplicationError("no plan could be made", type=type(error).__name__, non_retryable=True) from None

    def _settled(self, case: Case, turn: TurnInput) -> Settled:
        facts: list[Fact] = []
        for _ in range(len(case.order.coverages) + 1):
            case, settled = settle(case, turn.now)
            facts += settled.facts
            pins = [action for action in settled.plan.actions if isinstance(action, PinPolicy)]
            if not pins:
                return Settled(facts=tuple(facts), plan=settled.plan)
            for action in pins:
                for pinned in pin(self._shelf, action):
                    case, _ = record(case, pinned, turn.now)
                    facts.append(pinned)
        raise PlanError("the rules want to be pinned again and again")
