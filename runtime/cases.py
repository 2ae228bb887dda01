"""Cases in Temporal, as doors, sweeps and the watchman reach them: open one, restore one, tell it something, list them.

There is one way to open a case, here, so that an order is the same case whoever brings it. Whoever opens one looks in
the archive first (`store.cases.facts`): Temporal forgets a closed case after its retention. Any client will do, also
one that has never connected (`lazy`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict
from weakref import WeakSet

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode, ServiceClient

from domain.facts import AnyFact, Fact, OrderReceived
from domain.messages import NOTICE, REPORT, WAKE, WORKFLOW, Opening, Refusal, Report, Standing
from domain.order import Order, Urgency
from runtime.codec import for_practice
from runtime.errors import VigilRuntimeError
from runtime.keys import KeyRing
from runtime.settings import Settings

PRACTICE: Final = SearchAttributeKey.for_keyword("VigilPractice")
PAYER: Final = SearchAttributeKey.for_keyword("VigilPayer")
STAGE: Final = SearchAttributeKey.for_keyword("VigilStage")
TURN: Final = SearchAttributeKey.for_keyword("VigilTurn")
URGENCY: Final = SearchAttributeKey.for_keyword("VigilUrgency")
NEXT_DEADLINE: Final = SearchAttributeKey.for_datetime("VigilNextDeadline")

PATIENCE: Final = timedelta(seconds=15)
"""How long a call waits for an answer: a door's client does not wait much longer."""
_YOUNG_RUN_TRIES: Final = 10
_YOUNG_RUN_SECONDS: Final = 0.1

_HEALTH = timedelta(seconds=3)
_PRIORITY = {Urgency.STAT: 1, Urgency.URGENT: 2, Urgency.ROUTINE: 3}
_RUNNING = f'WorkflowType = "{WORKFLOW}" AND ExecutionStatus = "Running"'
_STUCK = (
    'ExecutionStatus = "Running" AND TemporalReportedProblems IN '
    '("category=WorkflowTaskFailed", "category=WorkflowTaskTimedOut")'
)


class CaseRefused(VigilRuntimeError):
    """A case does not take what was reported; `refusal` says why, without values."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal


class CaseOver(VigilRuntimeError):
    """The case is closed in Temporal; its truth is the archive."""

    def __init__(self, case_id: str) -> None:
        super().__init__("The case is closed. Read it from the archive.")
        self.case_id = case_id


class CaseUnanswered(VigilRuntimeError):
    """No worker answered in time. The case may have been opened; saying it again changes nothing more."""

    def __init__(self, case_id: str) -> None:
        super().__init__("No worker answered in time. Say it again; see that a worker runs.")
        self.case_id = case_id


_reached: Final = WeakSet[ServiceClient]()


async def reach(client: Client) -> None:
    """Connect a client that was made while Temporal was away (`lazy`). Later failures are the calls' own.

    Every function here does so. Whoever makes calls of their own with a lazy client calls it first: the SDK says that it
    cannot connect by another error than that it cannot be reached.

    Raises:
        RPCError: UNAVAILABLE; Temporal cannot be reached.
    """
    service = client.service_client
    if service in _reached:
        return
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            await service.check_health(timeout=_HEALTH)
    except (RPCError, RuntimeError, TimeoutError):  # RuntimeError: the SDK's word for "it cannot connect"
        raise RPCError("Temporal cannot be reached.", RPCStatusCode.UNAVAILABLE, b"") from None
    _reached.add(service)


@dataclass(frozen=True)
class RunningCase:
    """A case that runs in Temporal, as its search attributes show it. They lag by moments."""

    case_id: str
    practice: str
    stage: str | None
    turn: str | None
    next_deadline: datetime | None


@dataclass(frozen=True)
class Stuck:
    """A workflow whose tasks keep failing: its code cannot go on."""

    workflow_id: str
    workflow_type: str
    practice: str | None


async def open_case(
    client: Client, settings: Settings, keyring: KeyRing, received: OrderReceived, *, patience: timedelta = PATIENCE
) -> Standing:
    """Open the order's case, or join the one that runs, and answer where it stands.

    The same order again is answered with `repeated`. Needs no PostgreSQL. Look in the archive first: a case that closed
    is refused with `CaseOver` only while Temporal still remembers it.

    Raises:
        CaseRefused: an order of this number is known with other content (`order_differs`, with the fields).
        CaseOver: the case has run to its end.
        CaseUnanswered: no worker answered in time: say it again, nothing is doubled.
        RPCError: Temporal cannot be reached, or refused: say it again, nothing is doubled.
    """
    order = received.order
    case_id = keyring.case_id(order.practice, order.source, order.number)
    start: WithStartWorkflowOperation[Any, int] = WithStartWorkflowOperation(
        WORKFLOW,
        Opening(case_id=case_id, facts=(received,)),
        task_queue=settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        # A closed case never starts again from its order alone: that would forget all that it knew.
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        **_dress(case_id, order),
    )
    await reach(client)
    limit = asyncio.timeout(patience.total_seconds())
    try:
        async with limit:
            standing: Standing = await for_practice(client, order.practice).execute_update_with_start_workflow(
                REPORT, Report(facts=(received,)), start_workflow_operation=start, result_type=Standing
            )
    except WorkflowUpdateFailedError as error:
        raise _refused(error, case_id) from None
    except TimeoutError:
        raise CaseUnanswered(case_id) from None
    except (WorkflowAlreadyStartedError, WorkflowUpdateRPCTimeoutOrCancelledError, RPCError) as error:
        # The SDK has put the cause into the operation's future too, which complains where nobody takes it out. The
        # future is done, so this waits for nothing and swallows nobody's cancellation.
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await start.workflow_handle()
        raise _failed(error, case_id, timed_out=limit.expired()) from None
    return standing


async def restore_case(client: Client, settings: Settings, opening: Opening) -> None:
    """Start a case anew from all its facts, where Temporal does not run it; one that runs is left as it is.

    Raises `ValueError` where the facts do not begin with an order, and `RPCError`.
    """
    order = opening.facts[0]
    if not isinstance(order, OrderReceived):
        raise ValueError("a case begins with order_received")  # noqa: TRY004 - it is the list that is wrong
    await reach(client)
    await for_practice(client, order.order.practice).start_workflow(
        WORKFLOW,
        opening,
        task_queue=settings.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        **_dress(opening.case_id, order.order),
    )


async def tell_case(client: Client, practice: str, case_id: str, facts: Sequence[Fact]) -> bool:
    """Let a case take facts that a system reports. False where it does not run. Raises `RPCError`."""
    return await _signal(client, practice, case_id, NOTICE, Report(facts=tuple(facts)))


async def wake_case(client: Client, practice: str, case_id: str) -> bool:
    """Let a case look again now. False where it does not run. Raises `RPCError`."""
    return await _signal(client, practice, case_id, WAKE)


async def facts_of(
    client: Client, practice: str, case_id: str, *, patience: timedelta = PATIENCE
) -> tuple[Fact, ...] | None:
    """All that a case knows, also one that has ended; None where Temporal knows no such case.

    Raises:
        RPCError: it could not be asked, or no worker answered in time.
        WorkflowQueryFailedError: the case is broken.
    """
    handle = await _handle(client, practice, case_id)
    for last in (False,) * _YOUNG_RUN_TRIES + (True,):
        try:
            found: list[Fact] = await handle.query("facts", result_type=list[AnyFact], rpc_timeout=patience)
        except WorkflowQueryRejectedError:
            return None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            if error.status is not RPCStatusCode.FAILED_PRECONDITION or last:
                raise
            # A run that has just begun, after continue-as-new, has nothing yet that could answer.
            await asyncio.sleep(_YOUNG_RUN_SECONDS)
        else:
            return tuple(found)
    raise AssertionError("the last try answers or raises")


async def status_of(client: Client, practice: str, case_id: str) -> WorkflowExecutionStatus | None:
    """Whether a case runs or how it ended; None where Temporal knows no such case. Exact, unlike a list."""
    return await status_of_run(client, practice, case_id, None)


async def status_of_run(
    client: Client, practice: str | None, workflow_id: str, run_id: str | None
) -> WorkflowExecutionStatus | None:
    """The same of a workflow's one run, or of its latest. `practice` is None for a workflow that is no case."""
    await reach(client)
    owner = client if practice is None else for_practice(client, practice)
    try:
        described = await owner.get_workflow_handle(workflow_id, run_id=run_id).describe(rpc_timeout=PATIENCE)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return described.status


async def running_cases(client: Client) -> AsyncIterator[RunningCase]:
    """Every case that runs, by the list, which lags by moments. One that is too young to show its practice is left out."""
    await reach(client)
    async for execution in client.list_workflows(_RUNNING, page_size=1000):
        found = execution.typed_search_attributes
        practice = found.get(PRACTICE)
        if practice is not None:
            yield RunningCase(execution.id, practice, found.get(STAGE), found.get(TURN), found.get(NEXT_DEADLINE))


async def stuck_workflows(client: Client, limit: int = 200) -> tuple[Stuck, ...]:
    """Workflows whose tasks keep failing, by Temporal's own report, at most `limit`."""
    await reach(client)
    found = client.list_workflows(_STUCK, limit=limit)
    return tuple([_stuck(execution) async for execution in found])


class _Dress(TypedDict):
    id: str
    priority: Priority
    static_summary: str
    search_attributes: TypedSearchAttributes


def _dress(case_id: str, order: Order) -> _Dress:
    """How a case looks from outside: nothing of it is health information."""
    payer, urgency = order.primary.payer, order.urgency
    return _Dress(
        id=case_id,
        priority=Priority(priority_key=_PRIORITY[urgency], fairness_key=order.practice),
        static_summary=f"{urgency.value.capitalize()} order of {order.practice}, payer {payer}",
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(PRACTICE, order.practice),
                SearchAttributePair(PAYER, payer),
                SearchAttributePair(URGENCY, urgency.value),
            ]
        ),
    )


async def _handle(client: Client, practice: str, case_id: str) -> WorkflowHandle[Any, Any]:
    await reach(client)
    return for_practice(client, practice).get_workflow_handle(case_id)


async def _signal(client: Client, practice: str, case_id: str, signal: str, *said: Report) -> bool:
    try:
        handle = await _handle(client, practice, case_id)
        await handle.signal(signal, args=said, rpc_timeout=PATIENCE)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:  # also of one that has ended
            return False
        raise
    return True


def _refused(error: WorkflowUpdateFailedError, case_id: str) -> Exception:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow":
        return CaseOver(case_id)  # it ended while it was asked
    if isinstance(cause, ApplicationError) and cause.details:
        return CaseRefused(Refusal.model_validate(cause.details[0]))
    return error


def _failed(error: Exception, case_id: str, *, timed_out: bool) -> BaseException:
    if isinstance(error, WorkflowAlreadyStartedError):
        return CaseOver(case_id)
    if isinstance(error, RPCError):
        ended = error.status is RPCStatusCode.ALREADY_EXISTS or "already completed" in error.message
        return CaseOver(case_id) if ended else error
    # The SDK turns the cancellation of its caller into an error of its own.
    cancelled = isinstance(error.__cause__, asyncio.CancelledError) and not timed_out
    return asyncio.CancelledError() if cancelled else CaseUnanswered(case_id)


def _stuck(execution: WorkflowExecution) -> Stuck:
    practice = execution.typed_search_attributes.get(PRACTICE)
    return Stuck(execution.id, execution.workflow_type, practice)
