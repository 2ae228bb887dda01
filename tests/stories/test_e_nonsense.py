"""Story E: nonsense, an unknown code, an error inside a 200, HTML: never approved; a person sees the raw answer."""

import pytest

from domain.facts import ActionBegun
from tests.builders import of_kind
from tests.house import Desk


@pytest.mark.parametrize(
    ("scenario", "what"),
    [
        ("600", "an unknown action code"),
        ("601", "an error inside a 200"),
        ("602", "a web page"),
        ("603", "a document that breaks off"),
        ("604", "an answer about somebody else"),
        ("901", "contact the payer"),
    ],
)
async def test_what_is_no_decision_is_read_by_a_person(desk: Desk, scenario: str, what: str) -> None:
    case = await desk.open(await desk.order(scenario))

    found = await case.case()
    assert not found.is_ready, what
    assert found.patient_notices == ()
    tasks = [task.opened for task in found.open_tasks if task.opened.turn == "staff"]
    assert tasks, what
    raw = [task.raw for task in tasks if task.raw is not None]
    assert raw, f"nobody can see the raw answer: {what}"
    content = await desk.house.parts.outside.documents.get(desk.practice.id, raw[0].id)
    assert content
    assert (await case.standing()).view.turn == "staff"


async def test_a_rejected_request_is_corrected_not_appealed(desk: Desk) -> None:
    case = await desk.open(await desk.order("500"))

    found = await case.case()
    assert {task.opened.task_kind for task in found.open_tasks} >= {"correct_request"}
    assert found.tracks["1-ordering"].attempt.rejected is not None
    assert not any(task.opened.task_kind == "choose_after_denial" for task in found.open_tasks)


async def test_a_lost_answer_is_searched_for_and_nothing_is_sent_twice(desk: Desk) -> None:
    case = await desk.open(await desk.order("700"))

    assert not (await case.case()).is_ready
    found = await case.until("patient_notified", minutes=5)
    assert found.is_ready
    submits = (await desk.effects())["submits"]
    assert [(submit["count"], submit["effects"]) for submit in submits] == [(1, {"created": 1})]


async def test_a_busy_payer_is_asked_again(desk: Desk) -> None:
    case = await desk.open(await desk.order("702"))

    found = await case.until("patient_notified", minutes=10)
    assert found.is_ready


async def test_an_error_that_may_hide_an_effect_is_searched_twice_and_then_a_person_calls(desk: Desk) -> None:
    case = await desk.open(await desk.order("703"))

    assert not (await case.case()).open_tasks
    found = await case.until("task_opened", minutes=10)
    assert [task.opened.task_kind for task in found.open_tasks] == ["find_request"]
    searches = [begun for begun in of_kind(found.facts, ActionBegun) if begun.action_kind == "inquire_status"]
    assert len(searches) == 2
    assert [submit["count"] for submit in (await desk.effects())["submits"]] == [1]
