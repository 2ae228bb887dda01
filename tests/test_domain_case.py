"""The fold and its keeping, by example: what is recorded, repeated, taken back, too large, and begun."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from domain.base import Turn
from domain.case import record, replay
from domain.decision import Reason
from domain.facts import (
    MAX_CASE_BYTES,
    MAX_FACT_BYTES,
    AnswerNotUnderstood,
    AppointmentChanged,
    CaseClosed,
    DecisionReceived,
    FactRetracted,
    NoteAdded,
    RequirementDetermined,
    TaskClaimed,
    UnknownFact,
    write_fact,
)
from domain.keeping import Keeping
from domain.order import Appointment, AppointmentStatus
from domain.plan import PlanError, plan, settle
from domain.refusal import refuse
from domain.room import too_large
from domain.rules.asking import Asks
from tests.builders import (
    CASE_ID,
    MONDAY,
    VISIT,
    answered,
    at,
    case_of,
    covered,
    known,
    order,
    said,
    submitted,
    task,
    with_facts,
)

TRACK = "1-ordering"


def test_a_fact_is_numbered_and_dated_when_it_is_recorded_and_never_before_another() -> None:
    case = case_of(order())
    case, first = record(case, said(NoteAdded, "a", text="One."), MONDAY + timedelta(hours=1))
    case, second = record(case, said(NoteAdded, "b", text="Two."), MONDAY)
    assert (first.n, second.n) == (2, 3)
    assert [fact.recorded_at for fact in case.facts[1:]] == [MONDAY + timedelta(hours=1)] * 2


@pytest.mark.parametrize("wrong", [datetime(2199, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)])
def test_a_wrong_clock_outside_starts_no_clock_in_the_future_and_breaks_none(wrong: datetime) -> None:
    late = submitted(wrong)
    case = known(order(), late, answered("pended"))
    _, found = at(case, MONDAY)
    since = case.tracks[TRACK].attempt.since
    assert since is not None
    assert since <= MONDAY
    assert found.turn is not Turn.NOBODY


def test_what_was_said_twice_happened_once_and_gets_the_first_answer() -> None:
    case = case_of(order())
    case, first = record(case, said(NoteAdded, "a", text="One."), MONDAY)
    again, answer = record(case, said(NoteAdded, "a", text="Something else."), MONDAY + timedelta(days=9))
    assert again is case
    assert (answer.n, answer.repeated) == (first.n, True)


def test_a_case_begins_with_its_order() -> None:
    with pytest.raises(ValueError, match="order_received"):
        replay(CASE_ID, [said(NoteAdded, "a", text="One.")])
    with pytest.raises(ValueError, match="order_received"):
        replay(CASE_ID, [])


def test_a_line_stands_in_one_track_and_moves_with_the_latest_word() -> None:
    case = known(order(lines=2))
    case, _ = at(case, MONDAY)
    assert list(case.tracks) == [TRACK]
    needs = ({"line": 2, "authorization": "required", "rule": "call"},)
    moved = said(RequirementDetermined, "f", rank=1, payer="meridian-ppo", lines=needs, who_asks="facility")
    case = with_facts(case, [moved], MONDAY)
    assert {key: track.lines_required for key, track in case.tracks.items()} == {TRACK: (1,), "1-facility": (2,)}


def test_another_insurances_track_keeps_its_lines() -> None:
    two = [
        {"rank": 1, "payer": "meridian-ppo", "member_id": "MBR000001100"},
        {"rank": 2, "payer": "summit-ma", "member_id": "MBR000002100"},
    ]
    case, _ = at(known(order(coverages=two)), MONDAY)
    needs = ({"line": 1, "authorization": "required", "rule": "call"},)
    second = said(RequirementDetermined, "s", rank=2, payer="summit-ma", lines=needs)
    case = with_facts(case, [second, submitted(), answered("approved")], MONDAY)
    assert {key: track.lines_required for key, track in case.tracks.items()} == {TRACK: (1,), "2-ordering": (1,)}
    assert not case.is_ready


def test_a_line_of_the_order_that_stands_in_no_track_is_not_ready() -> None:
    needs = ({"line": 1, "authorization": "not_required", "rule": "call"},)
    half = said(RequirementDetermined, "h", rank=1, payer="meridian-ppo", lines=needs)
    assert with_facts(case_of(order()), [covered(), half], MONDAY).is_ready
    assert not with_facts(case_of(order(lines=2)), [covered(), half], MONDAY).is_ready


# --- taking back ---------------------------------------------------------------------------------------------------


def taken_back(what: str, source: str = "r") -> FactRetracted:
    return FactRetracted(
        occurred_at=MONDAY, by="person:ines", source_id=source, retracted=what, reason="Wrong.", signed_by="person:jo"
    )


def test_what_was_taken_back_is_left_out_and_the_list_keeps_everything() -> None:
    kept = Appointment(id="APT-1", starts_at=VISIT + timedelta(days=9), status=AppointmentStatus.BOOKED)
    case = with_facts(case_of(order()), [said(AppointmentChanged, "moved", appointment=kept)], MONDAY)
    case = with_facts(case, [taken_back("moved")], MONDAY)
    assert case.appointment is not None
    assert case.appointment.starts_at == VISIT
    assert [fact.kind for fact in case.facts][-2:] == ["appointment_changed", "fact_retracted"]


def test_what_vigil_did_or_concluded_cannot_be_taken_back_and_asking_says_what_to_do() -> None:
    case, _ = at(known(order()), MONDAY)
    own = next(fact for fact in case.facts if isinstance(fact, RequirementDetermined))
    refusal = refuse(case, taken_back(own.source_id), MONDAY)
    assert refusal is not None
    assert refusal.code == "not_reported"
    assert with_facts(case, [taken_back(own.source_id)], MONDAY).tracks == case.tracks
    for source in ("nobody", case.facts[0].source_id):
        refusal = refuse(case, taken_back(source), MONDAY)
        assert refusal is not None
        assert refusal.code == "fact_unknown"


def test_a_second_person_signs() -> None:
    case = with_facts(case_of(order()), [said(NoteAdded, "a", text="One.")], MONDAY)
    alone = taken_back("a").model_copy(update={"signed_by": "person:ines"})
    refusal = refuse(case, alone, MONDAY)
    assert refusal is not None
    assert refusal.code == "second_signature"
    assert refuse(case, taken_back("a"), MONDAY) is None


def test_a_closed_case_keeps_what_comes_late_and_stays_closed() -> None:
    over = said(CaseClosed, "over", by="system:test", reason="visit_over")
    case = with_facts(known(order(), submitted()), [over], MONDAY)
    after = with_facts(case, [answered("approved"), taken_back("over")], MONDAY)
    unchanged = {field.name for field in fields(case)} - {"facts", "size", "sources"}
    assert all(getattr(after, name) == getattr(case, name) for name in unchanged)
    assert after.n == case.n + 2
    refusal = refuse(case, said(NoteAdded, "late", text="Late."), MONDAY)
    assert refusal is not None
    assert refusal.code == "closed"


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_of_two_claims_at_once_one_wins_and_a_lease_that_ran_out_is_free() -> None:
    case, _ = at(known(order(payer="keystone-sf")), MONDAY)
    key, until = task(case, "submit_request").task, MONDAY + timedelta(minutes=45)
    mine = said(TaskClaimed, "c1", by="person:ines", task=key, until=until)
    theirs = said(TaskClaimed, "c2", by="person:jo", task=key, until=until)
    case = with_facts(case, [mine], MONDAY)
    refusal = refuse(case, theirs, MONDAY)
    assert refusal is not None
    assert refusal.code == "task_held"
    assert refuse(case, theirs, until) is None
    assert at(case, MONDAY)[1].wake_at is not None
    assert (at(case, MONDAY)[1].wake_at or until) <= until


# --- keeping ---------------------------------------------------------------------------------------------------------


def test_an_answer_that_is_too_large_to_keep_becomes_one_that_a_person_reads() -> None:
    yes = answered("approved")
    assert isinstance(yes, DecisionReceived)
    reasons = tuple(Reason(text="x" * 1000) for _ in range(9))
    line = yes.decision.lines[0].model_copy(update={"reasons": reasons})
    huge = yes.model_copy(update={"decision": yes.decision.model_copy(update={"lines": (line,)})})
    assert too_large(case_of(order()), huge) is not None
    keeping = Keeping(known(order(), submitted()))
    keeping.take([huge], MONDAY)
    kept = keeping.case.facts[-1]
    assert isinstance(kept, AnswerNotUnderstood)
    assert kept.source_id == huge.source_id
    assert keeping.take([huge], MONDAY).repeated
    case, _ = at(keeping.case, MONDAY)
    assert task(case, "read_answer")
    assert not case.is_ready


def test_a_strange_fact_that_is_too_large_is_still_an_operators() -> None:
    keeping = Keeping(case_of(order()))
    huge = UnknownFact.model_validate(
        {"kind": "moon_phase", "occurred_at": MONDAY, "by": "system:x", "source_id": "m", "body": "x" * MAX_FACT_BYTES}
    )
    keeping.take([huge], MONDAY)
    assert len(write_fact(keeping.case.facts[-1])) < MAX_FACT_BYTES
    case, _ = at(keeping.case, MONDAY)
    assert task(case, "review").turn is Turn.OPERATOR


def test_a_full_case_refuses_people_and_leaves_room_for_its_own_end() -> None:
    case = case_of(order())
    number = 0
    while refuse(case, (note := said(NoteAdded, f"n{number}", text="x" * 4000)), MONDAY) is None:
        case = with_facts(case, [note], MONDAY)
        number += 1
    refusal = refuse(case, note, MONDAY)
    assert refusal is not None
    assert refusal.code == "too_large"
    assert MAX_CASE_BYTES - 80 * 1024 < case.size < MAX_CASE_BYTES - 60 * 1024


def test_an_action_is_begun_once_whatever_the_plan_asks_for() -> None:
    keeping = Keeping(known(order()))
    _, settled = settle(keeping.case, MONDAY)
    begun = keeping.take_turn(settled, MONDAY)
    assert begun
    assert keeping.take_turn(settled, MONDAY) == ()
    keeping.end(begun[0], [], MONDAY)
    assert begun[0].key not in [action.key for action in keeping.take_turn(settled, MONDAY)]


def test_rules_that_never_come_to_an_end_are_an_operators_and_no_loop() -> None:
    def restless(case: object, now: datetime) -> Asks:
        n = getattr(case, "n", 0)
        yield NoteAdded(occurred_at=now, by="vigil", source_id=f"restless/{n}", text="Again.")

    keeping = Keeping(case_of(order()))
    with pytest.raises(PlanError, match="30 rounds"):
        settle(keeping.case, MONDAY, (restless,))
    keeping.plan_failed("PlanError", MONDAY)
    assert task(keeping.case, "operator").turn is Turn.OPERATOR
    assert keeping.plan is not None
    assert keeping.plan.wake_at == MONDAY + timedelta(hours=1)
    keeping.plan_failed("PlanError", MONDAY + timedelta(hours=1))
    assert [t.opened.task_kind.value for t in keeping.case.open_tasks] == ["operator"]
    case, _ = at(keeping.case, MONDAY + timedelta(hours=2))
    assert "operator" not in [t.opened.task_kind.value for t in case.open_tasks]


def test_a_deadline_is_looked_at_just_after_it_passed() -> None:
    """A timer that fires on the second must not see the deadline as kept and sleep on."""
    case, found = at(known(order(payer="keystone-sf")), MONDAY)
    due = task(case, "submit_request").due
    moment = MONDAY
    while moment <= due:
        assert found.wake_at is not None
        moment = found.wake_at
        case, found = at(case, moment)
    assert moment == due + timedelta(seconds=1)
    assert any(clock.startswith("task_due/submit_request") for clock in case.breached)
    assert plan(case, moment).model_dump_json() == found.model_dump_json()
