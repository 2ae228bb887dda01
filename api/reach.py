"""Speaking with cases as the doors need it: what goes wrong becomes a problem, and whose a case is comes first.

Nothing is ever sent to a case before it is known whose it is: what is sealed for one practice would only harm another's.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.problems import Problem, away, closed_problem, not_found, refused
from domain.case import Case, replay
from domain.facts import AnyFact, Fact, OrderReceived
from domain.messages import REPORT, Refusal, Report, Standing
from runtime.cases import PRACTICE, CaseOver, CaseRefused, CaseUnanswered, open_case, reach, tell_case
from runtime.codec import for_practice
from runtime.keys import KeyRing
from runtime.settings import Settings
from store import cases as archive
from store.database import Database

_REPORT_SECONDS = 20.0
_ASK = timedelta(seconds=8)
_REMEMBERED = 100_000
_MISSING = {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}
_ENGINE = "The case engine"


class CaseIsClosed(Exception):
    """The case has ended: its truth is the archive."""


class Unplanned(Exception):
    """The case is kept, but no worker has looked at it in time: it will be planned as soon as one is free."""


class Cases:
    """Every case that runs, by its id."""

    def __init__(self, client: Client, settings: Settings, keyring: KeyRing, database: Database) -> None:
        self._client = client
        self._settings = settings
        self._keyring = keyring
        self._database = database
        self._clients: dict[str, Client] = {}
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def open(self, case_id: str, fact: OrderReceived) -> Standing:
        """Open the case of an order, or join the one that runs; the answer is where it stands.

        Raises:
            CaseIsClosed: there was a case of this order, and it is over.
            Unplanned: it is open, and no worker has planned it in time.
            Problem: the case is of an order with other content, or Temporal is away.
        """
        try:
            standing = await open_case(self._client, self._settings, self._keyring, fact)
        except CaseOver:
            raise CaseIsClosed from None
        except CaseRefused as error:
            raise refused(error.refusal) from None
        except CaseUnanswered:
            if await self.owner(case_id) is None:
                raise away(_ENGINE) from None
            raise Unplanned from None
        except RPCError as error:
            raise _rpc(error) from None
        self._learn(case_id, fact.order.practice)
        return standing

    async def report(self, practice: str, case_id: str, facts: Sequence[Fact]) -> Standing:
        """Report what people say, all or none. The caller knows that the case is the practice's.

        Raises `Problem`: the case refuses it, is closed, or cannot be reached.
        """
        await self._connect()
        handle = self._handle(practice, case_id)
        try:
            async with asyncio.timeout(_REPORT_SECONDS):
                standing: Standing = await handle.execute_update(
                    REPORT, Report(facts=tuple(facts)), result_type=Standing
                )
        except WorkflowUpdateFailedError as error:
            raise _refused(error) from None
        except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError):
            raise away(_ENGINE) from None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:  # also of one that has ended
                raise closed_problem() from None
            raise _rpc(error) from None
        return standing

    async def notice(self, practice: str, case_id: str, facts: Sequence[Fact]) -> bool:
        """Tell a case what a system reported; False where the case is over. Raises `Problem` where Temporal is away."""
        try:
            return await tell_case(self._client, practice, case_id, facts)
        except RPCError as error:
            raise _rpc(error) from None

    async def standing(self, practice: str, case_id: str) -> Standing:
        """Where a case stands, as it says itself. Raises `Problem`."""
        found: Standing = await self._ask(practice, case_id, "standing", Standing)
        return found

    async def case(self, practice: str, case_id: str) -> Case:
        """A case as it is now, from its own facts. Raises `Problem`."""
        facts = await self._ask(practice, case_id, "facts", list[AnyFact])
        return replay(case_id, facts)

    async def archived(self, practice: str, case_id: str) -> tuple[Fact, ...]:
        """Every fact in the archive. Raises `StoreAway`."""
        return await archive.facts(self._database, self._keyring, practice, case_id)

    async def owner(self, case_id: str) -> str | None:
        """Whose case it is, or None where Temporal knows none. Raises `Problem` where Temporal is away."""
        known = self._owners.get(case_id)
        if known is not None:
            return known
        await self._connect()
        try:
            found = await self._client.get_workflow_handle(case_id).describe(rpc_timeout=_ASK)
        except RPCError as error:
            if error.status in _MISSING:
                return None
            raise _rpc(error) from None
        practice = found.typed_search_attributes.get(PRACTICE)
        if practice is not None:
            self._learn(case_id, practice)
        return practice

    async def is_reachable(self) -> bool:
        """Whether Temporal answers."""
        try:
            return await self._client.service_client.check_health(timeout=timedelta(seconds=3))
        except (RPCError, RuntimeError):
            return False

    async def _connect(self) -> None:
        try:
            await reach(self._client)
        except RPCError as error:
            raise _rpc(error) from None

    async def _ask(self, practice: str, case_id: str, query: str, kind: Any) -> Any:
        await self._connect()
        try:
            return await self._handle(practice, case_id).query(query, result_type=kind, rpc_timeout=_ASK)
        except RPCError as error:
            if error.status in _MISSING:
                raise not_found() from None
            raise _rpc(error) from None
        except WorkflowQueryFailedError:
            # Before its first turn a case has no plan to tell.
            raise away("The case") from None

    def _handle(self, practice: str, case_id: str) -> WorkflowHandle[Any, Any]:
        if practice not in self._clients:
            self._clients[practice] = for_practice(self._client, practice)
        return self._clients[practice].get_workflow_handle(case_id)

    def _learn(self, case_id: str, practice: str) -> None:
        self._owners[case_id] = practice
        self._owners.move_to_end(case_id)
        while len(self._owners) > _REMEMBERED:
            self._owners.popitem(last=False)


def _refused(error: WorkflowUpdateFailedError) -> Problem:
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.details:
        return refused(Refusal.model_validate(cause.details[0]))
    if isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow":
        return closed_problem()
    return away("The case")


def _rpc(error: RPCError) -> Problem:
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
        return Problem(503, "busy", "There is too much to do at once. Try again in a few seconds.", retry_after=5)
    return away(_ENGINE)
