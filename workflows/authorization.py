"""One authorization: takes what came, gets the plan, begins what is due, sleeps until something happens.

All that is particular to the job is in `domain`; this file changes rarely, and by `workflow.patched`.
"""

import asyncio
import builtins
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType
from temporalio.exceptions import TimeoutError as TimedOut

with workflow.unsafe.imports_passed_through():
    from domain.actions import Action
    from domain.case import Case, begin, replay
    from domain.facts import AnyFact, Fact, Failure, OrderReceived
    from domain.keeping import Keeping, is_single_shot
    from domain.messages import NOTICE, REPORT, WAKE, WORKFLOW, Opening, Refusal, Report, Standing, TurnInput
    from domain.order import Urgency
    from domain.plan import Plan, Settled, plan
    from domain.refusal import refuse_all
    from domain.view import CaseView, Publication, Published, details, view

PRACTICE = SearchAttributeKey.for_keyword("VigilPractice")
PAYER = SearchAttributeKey.for_keyword("VigilPayer")
STAGE = SearchAttributeKey.for_keyword("VigilStage")
TURN = SearchAttributeKey.for_keyword("VigilTurn")
URGENCY = SearchAttributeKey.for_keyword("VigilUrgency")
NEXT_DEADLINE = SearchAttributeKey.for_datetime("VigilNextDeadline")

ONE_TRY = timedelta(seconds=60)
QUEUED_AT_MOST = timedelta(hours=1)
HEARTBEAT = timedelta(seconds=15)
"""An action of which nothing is heard for so long was lost with its worker. Activities tell of themselves more often."""
PLANNING = timedelta(seconds=10)
"""A plan takes milliseconds; one that takes longer was in the hands of a worker that died."""
SOON = timedelta(minutes=10)
"""No action is in flight for longer than this, so what is due later needs no timer while one is."""
REPLANS = 5
"""How often a plan is made anew because something came in while it was made."""

_PRIORITY = {Urgency.STAT: 1, Urgency.URGENT: 2, Urgency.ROUTINE: 3}


@workflow.defn(name=WORKFLOW)
class AuthorizationWorkflow:
    """Keeps one case alive, from the order until nothing is left to watch."""

    @workflow.init
    def __init__(self, opening: Opening) -> None:
        now = workflow.now()
        first = opening.facts[0]
        known = first.n > 0
        case = replay(opening.case_id, opening.facts) if known else begin(opening.case_id, _order(first), now)
        self._keeping = Keeping(case)
        self._greeted = known
        self._confirmed = opening.confirmed
        self._flying: set[asyncio.Task[None]] = set()
        self._publishing: asyncio.Task[None] | None = None
        self._planned = 0
        self._turning = True
        self._published: CaseView | None = None
        self._woken = False
        self._shown: tuple[object, ...] = ()

    @workflow.run
    async def run(self, opening: Opening) -> int:
        """Interpret the case; the answer is how many facts it came to."""
        del opening
        while True:
            await self._take_turn()
            if self._is_over and not self._keeping.news:
                break
            await self._sleep()
            if self._may_go_on_anew:
                workflow.continue_as_new(
                    Opening(case_id=self._case.id, facts=self._case.facts, confirmed=self._confirmed)
                )
        await self._publish_everything()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._case.n

    # --- what comes in --------------------------------------------------------------------------------------------

    @workflow.update(name=REPORT)
    async def report(self, report: Report) -> Standing:
        """Take what people report, and answer where the case stands then."""
        answer = self._keeping.take(report.facts, workflow.now())
        fresh = not answer.repeated or self._is_greeting(report)
        await workflow.wait_condition(lambda: self._planned >= answer.n)
        return self._standing(answer.n, repeated=not fresh)

    @report.validator
    def _refuse(self, report: Report) -> None:
        refusal = refuse_all(self._case, report.facts, workflow.now())
        if refusal is not None:
            raise _refused(refusal)

    @workflow.signal(name=NOTICE)
    def notice(self, report: Report) -> None:
        """Take what systems report."""
        self._keeping.take(report.facts, workflow.now())

    @workflow.signal(name=WAKE)
    def wake(self) -> None:
        """Look again now, and show again where the case stands: whoever wakes it may have lost that."""
        self._woken = True
        self._published = None

    @workflow.query(name="standing")
    def standing(self) -> Standing:
        """Where the case stands."""
        return self._standing(self._case.n, repeated=True)

    @workflow.query(name="facts")
    def facts(self) -> list[AnyFact]:
        """Everything that is known."""
        return list(self._case.facts)

    @workflow.query(name="plan")
    def plan_at(self, at: str | None = None) -> Plan:
        """What was planned, or would be with today's facts at an instant (ISO 8601)."""
        return plan(self._case, datetime.fromisoformat(at)) if at else self._plan

    @workflow.query(name="timeline")
    def timeline(self) -> list[str]:
        """What happened, a line a fact: when, what, by whom."""
        return [f"{f.n:>3}  {f.occurred_at:%Y-%m-%d %H:%M}  {f.kind}  ({f.by})" for f in self._case.facts]

    # --- a turn ---------------------------------------------------------------------------------------------------

    async def _take_turn(self) -> None:
        self._turning = True
        settled = await self._settle()
        if settled is not None:
            for action in self._keeping.take_turn(settled, workflow.now()):
                self._begin(action)
        self._show()
        self._turning = False
        self._publish_if_worth()

    async def _settle(self) -> Settled | None:
        """Get the plan, recorded in the history; anew where something came in meanwhile. None when it failed."""
        for _ in range(REPLANS):
            self._keeping.end_orphans(workflow.now())
            self._keeping.news = self._woken = False
            known = self._case.n
            try:
                # Not a local activity: a query that comes while one runs can put its result behind what came meanwhile,
                # and the history then no longer replays (see docs/operations.md).
                settled: Settled = await workflow.execute_activity(
                    "settle",
                    TurnInput(case_id=self._case.id, facts=self._case.facts, now=workflow.now()),
                    result_type=Settled,
                    start_to_close_timeout=PLANNING,
                    retry_policy=RetryPolicy(maximum_interval=PLANNING),
                    summary=f"Plan after fact {self._case.n}",
                    priority=self._priority,
                )
            except ActivityError as error:
                self._keeping.plan_failed(_type_of(error), workflow.now())
                self._planned = known
                return None
            if not self._keeping.news:
                break
        self._planned = known
        return settled

    def _begin(self, action: Action) -> None:
        task = asyncio.create_task(self._carry_out(action))
        self._flying.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._publish_if_worth()

    async def _carry_out(self, action: Action) -> None:
        once = action.single_shot
        try:
            facts: list[Fact] = await workflow.execute_activity(
                action.kind,
                action,
                result_type=list[AnyFact],
                task_queue=action.counterpart,
                schedule_to_start_timeout=QUEUED_AT_MOST,
                start_to_close_timeout=action.patience if once else ONE_TRY,
                schedule_to_close_timeout=None if once else QUEUED_AT_MOST + action.patience,
                heartbeat_timeout=HEARTBEAT,
                retry_policy=RetryPolicy(maximum_attempts=1)
                if once
                else RetryPolicy(maximum_attempts=_tries(action.patience), maximum_interval=timedelta(seconds=30)),
                summary=action.summary,
                priority=self._priority,
            )
        except ActivityError as error:
            failure, code = _failure(action, error)
            self._keeping.fail(action, failure, code, workflow.now())
        else:
            self._keeping.end(action, facts, workflow.now())

    async def _sleep(self) -> None:
        """Until a fact comes, or time alone changes the plan."""
        wake_at = self._plan.wake_at or workflow.now() + SOON
        pause = wake_at - workflow.now()
        timer = None if self._flying and pause > SOON else max(pause, timedelta())
        try:
            await workflow.wait_condition(
                lambda: self._keeping.news or self._woken or self._is_over or self._may_go_on_anew,
                timeout=timer,
                timeout_summary=self._plan.next,
            )
        except builtins.TimeoutError:
            return

    # --- what others see ------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Search attributes, only when they changed, and the details that the Web UI shows."""
        found = self._plan
        deadline = found.binding_clock.due if found.binding_clock else None
        shown = (found.stage, found.turn, deadline, self._case.order.primary.payer, self._case.order.urgency)
        if shown != self._shown:
            self._shown = shown
            workflow.upsert_search_attributes(
                [
                    PRACTICE.value_set(self._case.practice),
                    PAYER.value_set(self._case.order.primary.payer),
                    STAGE.value_set(found.stage.value),
                    TURN.value_set(found.turn.value),
                    URGENCY.value_set(self._case.order.urgency.value),
                    NEXT_DEADLINE.value_set(deadline) if deadline else NEXT_DEADLINE.value_unset(),
                ]
            )
        workflow.set_current_details(details(self._case, found))

    def _publish_if_worth(self) -> None:
        if self._publishing is None and self._is_worth_publishing:
            self._publishing = asyncio.create_task(self._publish())

    async def _publish(self) -> None:
        """Hand over to the archive and the read model: one in flight, the latest wins."""
        try:
            while self._is_worth_publishing:
                facts = self._case.facts[self._confirmed :]
                self._published = self._view
                published: Published = await workflow.execute_activity(
                    "publish",
                    Publication(view=self._published, facts=facts),
                    result_type=Published,
                    start_to_close_timeout=HEARTBEAT,
                    retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=1)),
                    summary=f"Hand facts {facts[0].n} to {facts[-1].n} to the archive"
                    if facts
                    else "Show where it stands",
                )
                self._confirmed = published.confirmed
                self._keeping.take(published.missing, workflow.now())
        finally:
            self._publishing = None

    async def _publish_everything(self) -> None:
        while self._unpublished or self._publishing:
            self._keeping.news = False  # what comes now is kept, and plans nothing any more
            await (self._publishing or self._publish())

    @property
    def _unpublished(self) -> bool:
        return self._confirmed < self._case.n or self._published != self._view

    @property
    def _is_worth_publishing(self) -> bool:
        """At once what people have to do and what is tried only once; the rest when nothing is in flight."""
        last, now = self._published, self._view
        told = last is not None and (last.turn, last.tasks) == (now.turn, now.tasks)
        intent = any(begun.n > self._confirmed and is_single_shot(begun.action_kind) for begun in self._case.in_flight)
        about_to_change = self._turning or self._keeping.news
        return not about_to_change and self._unpublished and (not told or intent or not self._flying)

    # --- what it knows --------------------------------------------------------------------------------------------

    @property
    def _case(self) -> Case:
        return self._keeping.case

    @property
    def _priority(self) -> Priority:
        return Priority(priority_key=_PRIORITY[self._case.order.urgency], fairness_key=self._case.practice)

    @property
    def _is_over(self) -> bool:
        return self._case.closed is not None and not self._flying

    @property
    def _plan(self) -> Plan:
        found = self._keeping.plan
        if found is None:
            raise ApplicationError("The case has not been planned yet.", type="not_planned")
        return found

    @property
    def _view(self) -> CaseView:
        return view(self._case, self._plan, workflow.now())

    def _standing(self, n: int, *, repeated: bool) -> Standing:
        return Standing(n=n, repeated=repeated, view=self._view)

    def _is_greeting(self, report: Report) -> bool:
        """Whether this is the report that came with the start: the case has its order from the start itself."""
        greeting = not self._greeted and report.facts[0].source_id == self._case.facts[0].source_id
        self._greeted = self._greeted or greeting
        return greeting

    @property
    def _may_go_on_anew(self) -> bool:
        """Whether the history is long, and nothing is in flight that a new run would not know of."""
        return (
            workflow.info().is_continue_as_new_suggested()
            and not self._flying
            and self._publishing is None
            and not self._unpublished
            and not self._keeping.news
            and not self._is_over
            and workflow.all_handlers_finished()
        )


def _order(fact: Fact) -> OrderReceived:
    if not isinstance(fact, OrderReceived):
        raise ApplicationError("A case begins with order_received.", type="not_an_order", non_retryable=True)
    return fact


def _refused(refusal: Refusal) -> ApplicationError:
    return ApplicationError(refusal.sentence, refusal.model_dump(mode="json"), type=refusal.code, non_retryable=True)


def _tries(patience: timedelta) -> int:
    """How many tries, doubling from a second to half a minute, fit into the patience beside their own time."""
    return max(2, int(patience / timedelta(seconds=45)))


def _type_of(error: ActivityError) -> str:
    cause = error.cause
    return (cause.type or "ApplicationError") if isinstance(cause, ApplicationError) else type(cause).__name__


def _failure(action: Action, error: ActivityError) -> tuple[Failure, str]:
    """What a failed activity means: refused, ambiguous, or out of reach for as long as it tried."""
    cause = error.cause
    if isinstance(cause, TimedOut):
        started = cause.type is not TimeoutType.SCHEDULE_TO_START
        ambiguous = action.single_shot and started
        return (Failure.AMBIGUOUS if ambiguous else Failure.EXHAUSTED), "timeout" if started else "not_started"
    if isinstance(cause, ApplicationError):
        known = {"Refused": Failure.REFUSED, "Ambiguous": Failure.AMBIGUOUS, "Exhausted": Failure.EXHAUSTED}
        if cause.type in known:
            return known[cause.type], cause.message[:300]
    return (Failure.AMBIGUOUS if action.single_shot else Failure.EXHAUSTED), _type_of(error)
