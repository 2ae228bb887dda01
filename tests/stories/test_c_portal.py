"""Story C: a portal payer; two people claim at once, a lease runs out, another takes over and hands in a result."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.facts import Fact
from domain.results import read_result
from domain.work import claim, complete
from tests.house import Desk, Live


async def _claim(case: Live, task: str, by: str) -> bool:
    now = await case.now()
    fact = claim(await case.case(), task, by=f"person:{by}", now=now, source_id=f"claim-{by}-{now.timestamp()}")
    try:
        await case.report(fact)
    except WorkflowUpdateFailedError as refused:
        cause = refused.cause
    else:
        return True
    assert isinstance(cause, ApplicationError)
    assert cause.type == "task_held"
    return False


async def _hand_in(case: Live, task: str, by: str, **form: Any) -> tuple[Fact, ...]:
    now: datetime = await case.now()
    facts = complete(
        await case.case(),
        task,
        read_result(form),
        by=f"person:{by}",
        now=now,
        source_id=f"done-{task}-{by}-{now.timestamp()}",
    )
    await case.report(*facts)
    await case.quiet()
    return facts


async def test_a_portal_request_is_claimed_taken_over_and_decided_with_evidence(desk: Desk) -> None:
    case = await desk.open(await desk.order(payer="keystone-sf"))
    (task,) = [t.opened for t in (await case.case()).open_tasks if t.opened.task_kind == "submit_request"]
    assert task.rail == "portal"
    assert "case-" in " ".join(task.checklist)  # our trace number

    won = await asyncio.gather(_claim(case, task.task, "ada"), _claim(case, task.task, "bo"))
    assert sorted(won) == [False, True]
    loser = "bo" if won[0] else "ada"

    await case.forward(minutes=task.lease_minutes + 1)
    assert await _claim(case, task.task, loser)
    await _hand_in(
        case,
        task.task,
        loser,
        result="submitted",
        receipt={"kind": "reference_number", "reference": "KREF208817"},
        numbers=[{"type": "administrative", "value": "KREF208817"}],
    )
    pending = await case.case()
    assert not pending.is_ready
    assert (await case.standing()).view.turn == "payer"
    assert [n.type for n in pending.numbers] == ["administrative"]

    found = await _until_task(case, "check_status")
    assert await _claim(case, found, "ada")
    decided = {"line": 1, "decision": "approved", "valid_from": "2026-12-01", "valid_to": "2027-03-01"}
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await _hand_in(
            case, found, "ada", result="decided", reference="CALL-1", lines=[{**decided, "number": "KREF208817"}]
        )
    assert isinstance(refused.value.cause, ApplicationError)
    assert refused.value.cause.type == "number_is_pending"
    assert not (await case.case()).is_ready

    await _hand_in(
        case, found, "ada", result="decided", reference="CALL-1", lines=[{**decided, "number": "K4418830-01"}]
    )
    approved = await case.case()
    assert approved.is_ready
    assert {notice.message for notice in approved.patient_notices} == {"approved"}
    assert approved.chart


async def _until_task(case: Live, kind: str) -> str:
    for _ in range(30):
        for task in (await case.case()).open_tasks:
            if task.opened.task_kind == kind:
                return task.opened.task
        await case.forward(hours=12)
    raise AssertionError(f"no task {kind}")
