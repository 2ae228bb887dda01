"""Finding the case that a caller speaks of. A case of another practice is not told apart from none, and is audited."""

import re
from dataclasses import dataclass
from datetime import datetime

from api.auth import Caller
from api.problems import Problem, closed_problem, not_found
from domain.case import Case, replay
from domain.view import CaseView
from store import cases as archive

_CASE_ID = re.compile(r"case-[a-z2-7]{26}")


@dataclass(frozen=True)
class Live:
    """An open case, as it says itself, and the moment to speak of it."""

    case: Case
    now: datetime
    """Never before the case's own time: the clocks of two machines differ."""


async def read_row(caller: Caller, case_id: str, what: str) -> CaseView:
    """The row of a case, fresh where it is open.

    Raises:
        Problem: the practice has no such case (404, audited).
        StoreAway: PostgreSQL is away.
    """
    row = await _row(caller, case_id)
    if row is not None:
        await caller.audit(what, case_id)
        if row.closed_at is not None:
            return row
    else:
        await _own(caller, case_id, what)
    try:
        standing = await caller.services.cases.standing(caller.practice, case_id)
    except Problem:
        if row is None:
            raise
        return row
    return standing.view


async def read_case(caller: Caller, case_id: str, what: str) -> Case:
    """A case folded from all of its facts: its own where it is open, the archive's where it is over.

    Raises:
        Problem: the practice has no such case (404, audited).
        StoreAway: PostgreSQL is away.
    """
    row = await _row(caller, case_id)
    cases = caller.services.cases
    if row is None:
        await _own(caller, case_id, what)
        return await cases.case(caller.practice, case_id)
    await caller.audit(what, case_id)
    if row.closed_at is None:
        try:
            return await cases.case(caller.practice, case_id)
        except Problem:
            pass  # the archive knows it as far as it was published
    return replay(case_id, await cases.archived(caller.practice, case_id))


async def live(caller: Caller, case_id: str, what: str) -> Live:
    """An open case that the caller is about to report to. Works while PostgreSQL is away.

    Raises `Problem`: the practice has no such case (404, audited), it is over (409), or Temporal is away (503).
    """
    await _own(caller, case_id, what)
    case = await caller.services.cases.case(caller.practice, case_id)
    if case.closed is not None:
        raise closed_problem()
    last = case.facts[-1].recorded_at
    now = caller.services.clock()
    return Live(case, max(now, last) if last else now)


async def _row(caller: Caller, case_id: str) -> CaseView | None:
    return await archive.case_row(caller.services.database, caller.practice, case_id)


async def _own(caller: Caller, case_id: str, what: str) -> None:
    """Make sure that a case is the caller's practice's; audit that it is spoken of, or that this was refused."""
    named = case_id if _CASE_ID.fullmatch(case_id) else None
    owner = await caller.services.cases.owner(named) if named else None
    if owner == caller.practice:
        await caller.audit(what, case_id)
        return
    if owner is None and named is not None and await _row(caller, case_id) is not None:
        await caller.audit(what, case_id)
        raise closed_problem()
    await caller.audit(f"{what} refused", named)
    raise not_found()
