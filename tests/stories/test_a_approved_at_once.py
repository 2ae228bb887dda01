"""Story A: approved at once by PAS; number, dates, units in the chart, patient told, responsibility posted, watched on."""

from domain.decision import NumberType
from tests.house import Desk


async def test_an_order_is_approved_told_filed_and_watched_until_the_visit(desk: Desk) -> None:
    case = await desk.open(await desk.order("100"))

    found = await case.case()
    assert found.is_ready
    (number,) = [n for n in found.numbers if n.type is NumberType.CERTIFICATION]
    assert number.value
    assert {fact.message for fact in found.patient_notices} == {"approved"}
    (filed,) = found.chart
    assert filed.receipt.kind == "read_back"
    assert found.responsibility is not None
    assert found.responsibility.total_cents == 40000 + 20 * (90000 - 40000) // 100
    assert not found.open_tasks
    standing = await case.standing()
    assert (standing.view.stage, standing.view.turn) == ("watching", "vigil")
    assert await case.history_length() <= 120

    effects = await desk.effects()
    assert [submit["count"] for submit in effects["submits"]] == [1]

    visit = found.appointment
    assert visit is not None
    before = await case.forward(to=visit.starts_at)
    assert before.closed is None
    await desk.keep(visit)
    after = await case.until("case_closed", hours=12)
    assert after.closed is not None
    assert after.closed.reason == "visit_over"
