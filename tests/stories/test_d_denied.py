"""Story D: denied; reasons kept, patient and provider told, a task with the options and their deadlines, the visit at risk."""

from domain.facts import TaskKind
from tests.house import Desk


async def test_a_denial_is_told_and_its_options_stand_with_their_deadlines(desk: Desk) -> None:
    case = await desk.open(await desk.order("300"))

    denied = await case.case()
    assert not denied.is_ready
    (line,) = denied.tracks["1-ordering"].attempt.lines.values()
    assert line.decision == "denied"
    assert "0F" in {reason.code for reason in line.reasons}
    assert {notice.message for notice in denied.patient_notices} == {"denied"}
    assert [notice.message for notice in denied.provider_notices] == ["denied"]
    tasks = {task.opened.task_kind: task.opened for task in denied.open_tasks}
    assert {TaskKind.CHOOSE_AFTER_DENIAL, TaskKind.VISIT_AT_RISK} <= set(tasks)
    options = " ".join(tasks[TaskKind.CHOOSE_AFTER_DENIAL].checklist)
    for option in ("Peer to peer: until", "Reconsideration: until", "Appeal: until"):
        assert option in options
    standing = (await case.standing()).view
    assert (standing.stage, standing.turn) == ("denied", "provider")
    assert {"p2p_window", "appeal_window"} <= {clock.kind for clock in standing.clocks}


async def test_a_pend_that_is_denied_later_is_a_denial(desk: Desk) -> None:
    case = await desk.open(await desk.order("203"))

    denied = await case.until("provider_notified", hours=12)
    assert {notice.message for notice in denied.patient_notices} == {"denied"}
    assert {fact.entry for fact in denied.chart} == {"pended", "decision"}
