"""A case that Temporal restored from an older copy learns what it lost before it does anything a second time.

Such a case does not know that it was restored, and sets out again on what it has long done. The archive knows: an
action that has ended there is not carried out; the case gets everything that the archive has in its place. What was
done is found by its key besides, wherever an effect leaves one; but the world has moved on meanwhile, and an answer
that is asked for anew may read differently. While PostgreSQL is away the action is carried out: cases never wait for it.
"""

from collections.abc import Sequence
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from typing_extensions import override

from domain.actions import Action
from domain.facts import Fact
from domain.keeping import end_of
from runtime.logs import get_logger
from store.database import Database
from store.errors import StoreError
from store.recall import recall
from store.sealing import Sealer

log = get_logger(__name__)


class Recall(Interceptor):
    """Stands before every activity that carries out an action."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    @override
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Recalling(next, self._db, self._sealer)


class _Recalling(ActivityInboundInterceptor):
    def __init__(self, next_: ActivityInboundInterceptor, db: Database, sealer: Sealer) -> None:
        super().__init__(next_)
        self._db = db
        self._sealer = sealer

    @override
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        action = input.args[0] if input.args else None
        if isinstance(action, Action):
            known = await self._known_of(action)
            if known:
                log.warning("a restored case takes back what it lost", case_id=action.case_id, facts=len(known))
                return list(known)
        return await super().execute_activity(input)

    async def _known_of(self, action: Action) -> Sequence[Fact]:
        try:
            return await recall(self._db, self._sealer, action.practice, action.case_id, end_of(action.key))
        except StoreError as error:
            log.warning("the archive cannot be asked whether this was done", error_type=type(error).__name__)
            return ()
