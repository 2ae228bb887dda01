"""The terminal views, on cases folded from facts by the domain itself."""

import ast
import re
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console, RenderableType

from console import sentences
from console.case_view import case_view
from console.five_keys import five_keys
from console.sentences import sentence
from console.welcome import elsewhere
from console.words import bar, slack_text, span_text
from console.worklist_view import by_slack, worklist_view
from domain.case import Case
from domain.decision import NumberType
from domain.facts import (
    KNOWN,
    ActionBegun,
    AppointmentChanged,
    FactRetracted,
    NoteAdded,
    OrderChanged,
    TaskReleased,
    UnknownFact,
)
from domain.order import Appointment
from domain.plan import plan, settle
from domain.view import CaseView, view
from runtime.settings import load_settings
from tests.builders import (
    MONDAY,
    VISIT,
    answered,
    case_of,
    covered,
    gathered,
    order,
    pinned,
    said,
    submitted,
    with_facts,
)

CHICAGO = ZoneInfo("America/Chicago")


def shown(what: RenderableType, width: int) -> str:
    out = StringIO()
    Console(file=out, width=width, highlight=False, color_system=None).print(what)
    return out.getvalue()


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def decided(*outcomes: str, now: datetime = MONDAY, **changes: object) -> Case:
    ordered = order(lines=len(outcomes), **changes)  # type: ignore[arg-type]
    case, _ = settle(with_facts(case_of(ordered), [pinned(ordered), covered(), gathered()], MONDAY), MONDAY)
    return settle(with_facts(case, [submitted(), answered(*outcomes, now=now)], now), now)[0]


def row(case: Case, now: datetime = MONDAY) -> CaseView:
    return view(case, plan(case, now), now)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(days=2, hours=4, minutes=59), "2 d 4 h"),
        (timedelta(hours=3), "3 h"),
        (timedelta(minutes=35), "35 min"),
        (timedelta(seconds=59), "0 min"),
        (timedelta(days=1, minutes=5), "1 d"),
    ],
)
def test_a_span_is_told_in_its_two_largest_parts(span: timedelta, text: str) -> None:
    assert span_text(span) == text
    assert slack_text(-span) == f"-{text}"


def test_a_bar_is_full_when_the_clock_has_run_out() -> None:
    hour = timedelta(hours=1)
    assert bar(MONDAY, MONDAY + 4 * hour, MONDAY, 4) == "░░░░"
    assert bar(MONDAY, MONDAY + 4 * hour, MONDAY + hour, 4) == "█░░░"
    assert bar(MONDAY, MONDAY + 4 * hour, MONDAY + 9 * hour, 4) == "████"
    assert bar(MONDAY, MONDAY, MONDAY + hour, 4) == "████"


def test_the_worklist_shows_the_least_slack_first_and_counts_what_is_late() -> None:
    denied = row(decided("denied", number="ORD-1", family_name="Urgentwell"))
    approved = row(decided("approved", number="ORD-2", family_name="Calmly"))
    assert denied.binding is not None
    late = denied.binding.due + timedelta(hours=3)
    text = shown(worklist_view([approved, denied], late, CHICAGO, 180), 180)
    assert text.index("Urgentwell") < text.index("Calmly")
    assert re.search(r"^\s*-3 h\s+routine\s+provider\s+Urgentwell, Ottoline", text, re.MULTILINE)
    assert "2 cases" in text
    assert "1 overdue" in text
    assert by_slack([approved, denied], late)[0] is denied


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_worklist_fits_the_terminal_and_leaves_out_no_case(width: int) -> None:
    views = [row(decided("pended", number=f"ORD-{n}", family_name=f"Person{n}")) for n in range(5)]
    text = shown(worklist_view(views, MONDAY, CHICAGO, width), width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    for number in range(5):
        assert f"Person{number}" in text
    assert shown(worklist_view([], MONDAY, CHICAGO, width), width).strip() == "No open case fits."


def test_a_case_shows_whose_turn_why_clocks_tasks_and_numbers_by_type() -> None:
    case = decided("denied")
    text = one_line(shown(case_view(case, row(case), MONDAY, 120), 120))
    assert "Turn: provider" in text
    assert "The request was denied. Choose how to go on" in text
    assert "A204418830 (authorization number)" in text
    assert "held by nobody" in text
    assert "☐ Peer to peer: until December 14, 2026, phone 800-555-0112." in text
    assert "The time for this ends: peer to peer. (meridian-peer-to-peer, waits for provider)" in text
    assert "not ready" in text


def test_a_pend_number_is_marked_as_not_billable() -> None:
    case = decided("pended")
    assert {n.type for n in case.numbers} == {NumberType.ADMINISTRATIVE}
    text = one_line(shown(case_view(case, row(case), MONDAY, 120), 120))
    assert "REF-20881734 (pending reference, not billable)" in text
    assert "Turn: payer" in text


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_a_case_fits_the_terminal(width: int) -> None:
    case = decided("approved", "denied")
    text = shown(case_view(case, row(case), MONDAY, width, every_fact=True), width)
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    for said_there in ("A204418830", "routine", "procedure x units"):
        assert said_there in one_line(text)


def test_steps_of_vigils_own_are_left_out_unless_asked_for() -> None:
    begun = said(ActionBegun, "begun/x", by="vigil", action="x/1", action_kind="verify_coverage")
    case = with_facts(case_of(order()), [begun], MONDAY)
    short = one_line(shown(case_view(case, row(case), MONDAY, 120), 120))
    assert "Began: verify coverage." not in short
    assert "1 steps of Vigil's own are left out" in short
    full = one_line(shown(case_view(case, row(case), MONDAY, 120, every_fact=True), 120))
    assert "Began: verify coverage." in full


def test_the_five_keys_agree_on_a_plain_approval() -> None:
    case = decided("approved")
    rows = five_keys(case, case.tracks["1-ordering"])
    assert [one.key for one in rows] == ["1. procedure x units", "site", "rendering", "dates", "plan"]
    assert all(one.mismatch is None for one in rows), rows
    assert rows[0].approved == "72131 approved"
    assert rows[3].booked == f"{VISIT.astimezone(CHICAGO):%Y-%m-%d %H:%M}"


def test_a_visit_outside_the_approved_dates_is_marked() -> None:
    case = decided("approved")
    later = Appointment(id="APT-9", starts_at=VISIT + timedelta(days=90))
    case = with_facts(case, [said(AppointmentChanged, "moved", appointment=later)], MONDAY)
    dates = five_keys(case, case.tracks["1-ordering"])[3]
    assert dates.mismatch == "the visit lies outside the approved dates"
    text = one_line(shown(case_view(case, row(case), MONDAY, 120), 120))
    assert "✗ the visit lies outside the approved dates" in text


def test_an_order_that_changed_after_it_was_asked_is_marked() -> None:
    case = decided("approved")
    line = case.order.lines[0].model_copy(update={"code": "72132"})
    changed = case.order.model_copy(update={"lines": (line,)})
    case = with_facts(case, [said(OrderChanged, "changed", order=changed)], MONDAY)
    first = five_keys(case, case.tracks["1-ordering"])[0]
    assert (first.ordered, first.asked) == ("72132 x 1", "72131 x 1")
    assert first.mismatch == "the order changed after it was asked"


def test_fewer_units_than_ordered_are_marked() -> None:
    case = decided("approved", "approved")
    answer = case.tracks["1-ordering"].attempt.answers[0]
    lines = tuple(line.model_copy(update={"units": 1}) for line in answer.decision.lines)
    fewer = answer.decision.model_copy(update={"lines": lines})
    again = answer.model_copy(update={"decision": fewer, "source_id": "again", "n": 0, "recorded_at": None})
    case = with_facts(case, [again], MONDAY)
    rows = five_keys(case, case.tracks["1-ordering"])
    assert [one.mismatch for one in rows[:2]] == [None, "fewer units were approved"]


def test_every_kind_of_fact_has_a_sentence() -> None:
    # Whoever adds a kind of fact adds its sentence; the fall-back is for facts of a later release only.
    patterns = [
        node for node in ast.walk(ast.parse(Path(sentences.__file__).read_text())) if isinstance(node, ast.MatchClass)
    ]
    named = {node.cls.id for node in patterns if isinstance(node.cls, ast.Name)}
    assert {kind.__name__ for kind in KNOWN} <= named


def test_a_kind_of_a_later_release_is_named() -> None:
    fact = UnknownFact(kind="telepathy_received", occurred_at=MONDAY, by="system:x", source_id="later")
    assert sentence(fact) == "Telepathy received (not known to this release)."


def test_a_sentence_says_which_fact_was_taken_back_and_from_whom_a_task() -> None:
    gone = said(FactRetracted, "r", retracted="note", reason="Wrong case.", signed_by="person:otto")
    assert sentence(gone, {"note": 7}).startswith("Fact 7 taken back: Wrong case.")
    assert sentence(gone).startswith("An earlier fact taken back")
    assert sentence(said(TaskReleased, "t", task="x", taken_back=True)) == "Task x taken back from its holder."
    assert sentence(said(TaskReleased, "t", task="x")) == "Task x given back."


def test_a_fact_that_was_taken_back_is_marked() -> None:
    note = said(NoteAdded, "note", by="person:ada", text="Wrong case.")
    back = said(
        FactRetracted, "back", by="person:ada", retracted="note", reason="Other patient.", signed_by="person:bob"
    )
    case = with_facts(case_of(order()), [note, back], MONDAY)
    text = one_line(shown(case_view(case, row(case), MONDAY, 120), 120))
    assert "Note: Wrong case. [person:ada] (taken back by 3)" in text
    assert "Fact 2 taken back: Other patient. Signed by person:bob." in text


def test_a_note_is_shown_as_written() -> None:
    case = with_facts(case_of(order()), [said(NoteAdded, "note", by="person:ada", text="Called [twice].")], MONDAY)
    text = one_line(shown(case_view(case, row(case), MONDAY, 100), 100))
    assert "Note: Called [twice]. [person:ada]" in text


def test_a_command_to_try_finds_a_vigil_that_is_not_where_all_is_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VIGIL_HOME", "VIGIL_API_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert elsewhere(load_settings()) == ""
    monkeypatch.setenv("VIGIL_HOME", str(tmp_path))
    monkeypatch.setenv("VIGIL_API_PORT", "8181")
    assert elsewhere(load_settings()) == f"VIGIL_HOME={tmp_path} VIGIL_API_PORT=8181 "
