"""A case that lives long goes on in a new run, by size, with nothing in flight: it keeps its facts and what it has answered."""

from domain.facts import NoteAdded
from tests.builders import said
from tests.house import Desk


async def test_a_long_case_goes_on_in_a_new_run_and_answers_as_before(desk: Desk) -> None:
    case = await desk.open(await desk.order("202"))
    first = (await case.handle.describe()).run_id
    note = said(NoteAdded, "note-1", await case.now(), by="person:ada", text="Called, on hold.")
    answer = await case.report(note)
    before = await case.facts()

    for _ in range(40):
        await case.forward(days=1)
        if (await case.handle.describe()).run_id != first:
            break
    assert (await case.handle.describe()).run_id != first

    after = await case.facts()
    assert after[: len(before)] == before
    again = await case.report(note)
    assert (again.n, again.repeated) == (answer.n, True)
    assert len(await case.facts()) == len(after)
    assert [submit["count"] for submit in (await desk.effects())["submits"]] == [1]
