"""Telling and watching, by example: the patient, the chart, check-in, the visit, a cancelled order, what is strange."""

from datetime import timedelta

import pytest

from domain.base import Stage, Turn
from domain.case import Case
from domain.clocks import ClockKind
from domain.facts import (
    AppointmentChanged,
    Benefits,
    ChartDocumented,
    CoverageStatus,
    CoverageVerified,
    Fact,
    Failure,
    OptionChosen,
    OrderCancelled,
    OrderChanged,
    PatientNotified,
    ProviderNotified,
    Receipt,
    RequestWithdrawn,
    ResponsibilityPosted,
    StatusInquired,
    UnknownFact,
)
from domain.order import Appointment, AppointmentStatus, Order
from tests.builders import (
    MONDAY,
    VISIT,
    Hands,
    answered,
    at,
    case_of,
    covered,
    doing,
    done,
    house,
    housed,
    known,
    order,
    pinned,
    said,
    submitted,
    task,
    with_facts,
    work,
)

TRACK = "1-ordering"
RECEIPT = Receipt(kind="read_back", reference="R-1")


def approved() -> Case:
    return known(order(), submitted(), answered("approved"))


def all_told(case: Case) -> Case:
    """Everything that Vigil would tell and write is told and written."""
    hands = Hands(case)
    hands.turn()
    for action in hands.begun:
        cause = getattr(action, "cause", "")
        facts: dict[str, list[Fact]] = {
            "notify_patient": [
                said(PatientNotified, action.key, message="approved", cause=cause, channel="message", receipt=RECEIPT)
            ],
            "document_in_chart": [
                said(ChartDocumented, action.key, entry=getattr(action, "entry", "-"), cause=cause, receipt=RECEIPT)
            ],
            "post_responsibility": [
                said(ResponsibilityPosted, action.key, cause=cause, total_cents=4000, receipt=RECEIPT)
            ],
            "notify_provider": [said(ProviderNotified, action.key, message="denied", cause=cause, receipt=RECEIPT)],
        }
        hands.keeping.end(action, facts.get(action.kind, []), MONDAY)
    return at(hands.case, MONDAY)[0]


def visit_is(status: AppointmentStatus, *, days: float = 0, source: str = "visit") -> Fact:
    moved = Appointment(id="APT-ORD-1001", starts_at=VISIT + timedelta(days=days), status=status)
    return said(AppointmentChanged, source, appointment=moved)


# --- the patient ---------------------------------------------------------------------------------------------------


def test_the_patient_is_told_once() -> None:
    case, plan = at(approved(), MONDAY)
    assert "notify_patient" in doing(plan)
    case = all_told(case)
    later, plan = at(case, MONDAY + timedelta(days=1))
    assert "notify_patient" not in doing(plan)
    assert "tell_patient" not in work(later)


def test_good_news_waits_until_every_line_is_decided() -> None:
    ordered = order(lines=2)
    _, plan = at(known(ordered, submitted(), answered("approved")), MONDAY)
    assert "notify_patient" not in doing(plan)
    _, plan = at(known(ordered, submitted(), answered("approved", "approved")), MONDAY)
    assert "notify_patient" in doing(plan)


def test_without_consent_or_when_the_message_fails_a_person_calls() -> None:
    silent = order().patient.model_copy(update={"may_be_messaged": False})
    quiet = Order.model_validate({**order().model_dump(), "patient": silent.model_dump()})
    case, plan = at(known(quiet, submitted(), answered("approved")), MONDAY)
    assert "notify_patient" not in doing(plan)
    assert "tell_patient" in work(case)
    hands = Hands(approved())
    hands.turn()
    hands.fail("notify_patient", Failure.AMBIGUOUS)
    plan = hands.turn()
    assert "notify_patient" not in doing(plan)
    assert "tell_patient" in work(hands.case)


def test_a_visit_without_an_authorization_is_at_risk_at_its_cut_off_and_the_patient_hears() -> None:
    case, plan = at(known(order(), submitted(), answered("pended")), MONDAY)
    cut_off = next(c.due for c in plan.clocks if c.kind is ClockKind.VISIT_CUT_OFF)
    assert cut_off.date() == (VISIT - timedelta(days=3)).date().replace(day=18)
    assert "visit_at_risk" not in work(case)
    case, plan = at(case, cut_off)
    assert "visit_at_risk" in work(case)
    assert "notify_patient" not in doing(plan), "it is midnight"
    _, plan = at(case, cut_off + timedelta(hours=10))
    told = [action.key.split("/")[1] for action in plan.actions if action.kind == "notify_patient"]
    assert "not_obtained_before_visit" in told
    opened = task(case, "visit_at_risk")
    case, _ = at(with_facts(case, [done(opened, cut_off)], cut_off), cut_off)
    assert "visit_at_risk" not in work(case)


def test_a_visit_moved_earlier_plans_its_cut_off_anew_and_one_moved_later_takes_the_risk_away() -> None:
    case, _ = at(known(order(), submitted(), answered("pended")), MONDAY)
    soon = MONDAY + timedelta(hours=2)
    case, _ = at(with_facts(case, [visit_is(AppointmentStatus.BOOKED, days=-20)], soon), soon)
    assert "visit_at_risk" in work(case)
    later = visit_is(AppointmentStatus.BOOKED, days=30, source="later")
    case, plan = at(with_facts(case, [later], soon), soon)
    assert "visit_at_risk" not in work(case)
    assert next(c.due for c in plan.clocks if c.kind is ClockKind.VISIT) == VISIT + timedelta(days=30)


def test_an_order_for_tomorrow_gets_an_hour_before_anybody_is_alarmed() -> None:
    ordered = order(visit=MONDAY + timedelta(days=1), urgency="urgent")
    case, plan = at(case_of(ordered), MONDAY)
    assert "visit_at_risk" not in work(case)
    case, plan = at(known(ordered), MONDAY + timedelta(hours=1))
    assert "visit_at_risk" in work(case)
    assert "notify_patient" in doing(plan)


def test_a_patient_who_pays_himself_is_not_warned() -> None:
    case, _ = at(known(order(), submitted(), answered("denied")), MONDAY)
    chosen = said(OptionChosen, "self", by="person:ines", track=TRACK, attempt=1, option="self_pay")
    case, plan = at(with_facts(case, [chosen], MONDAY), VISIT - timedelta(hours=4))
    assert "visit_at_risk" not in work(case)
    assert "not_obtained_before_visit" not in " ".join(action.key for action in plan.actions)


# --- the chart -----------------------------------------------------------------------------------------------------


def test_every_answer_is_filed_once_and_what_vigil_may_not_write_a_person_files() -> None:
    hands = Hands(known(order(), submitted(), answered("pended")))
    hands.turn()
    filing = [action.key for action in hands.begun if action.kind == "document_in_chart"]
    assert [key.split("/")[1] for key in filing] == ["pended"]
    hands.fail("document_in_chart", Failure.REFUSED)
    hands.turn()
    assert work(hands.case).count("document_in_chart") == 1
    _, plan = at(all_told(approved()), MONDAY)
    assert "document_in_chart" not in doing(plan)


def test_a_filing_that_left_no_proof_is_a_persons() -> None:
    hands = Hands(approved())
    hands.turn()
    hands.end("document_in_chart")
    hands.turn()
    assert "document_in_chart" in work(hands.case)


# --- check-in ------------------------------------------------------------------------------------------------------


def test_what_the_payer_did_not_say_is_never_posted_as_nothing() -> None:
    ordered = order()
    silent = said(CoverageVerified, "silent", rank=1, status=CoverageStatus.ACTIVE, benefits=Benefits())
    case, plan = at(with_facts(case_of(ordered), [pinned(ordered), silent], MONDAY), MONDAY)
    assert "post_responsibility" not in doing(plan)
    assert "collect_responsibility" in work(case)
    free = said(CoverageVerified, "free", rank=1, status=CoverageStatus.ACTIVE, benefits=Benefits(copay_cents=0))
    case, plan = at(with_facts(case, [free], MONDAY), MONDAY)
    assert "post_responsibility" in doing(plan)
    assert "collect_responsibility" not in work(case)


# --- the visit -----------------------------------------------------------------------------------------------------


def test_vigil_watches_an_approved_case_until_the_visit_was_kept() -> None:
    case, plan = at(all_told(approved()), MONDAY)
    assert (plan.stage, plan.turn) == (Stage.WATCHING, Turn.VIGIL)
    assert "watches until the visit on December 21" in plan.why
    case, plan = at(with_facts(case, [visit_is(AppointmentStatus.KEPT)], VISIT), VISIT)
    assert plan.stage is Stage.CLOSED
    assert case.closed is not None
    assert case.closed.reason == "visit_over"


def test_a_case_does_not_close_over_news_that_nobody_has_told() -> None:
    case, plan = at(with_facts(approved(), [visit_is(AppointmentStatus.KEPT)], VISIT), VISIT)
    assert case.closed is None
    assert {"notify_patient", "document_in_chart"} <= set(doing(plan))
    hands = Hands(case, VISIT)
    hands.turn()
    hands.fail("notify_patient", Failure.EXHAUSTED)
    assert hands.turn().stage is not Stage.CLOSED
    assert hands.case.closed is None


def test_a_visit_kept_without_a_decision_is_still_followed_up() -> None:
    pending = all_told(known(order(), submitted(), answered("pended")))
    case, plan = at(with_facts(pending, [visit_is(AppointmentStatus.KEPT)], VISIT), VISIT)
    assert case.closed is None
    assert any(c.kind is ClockKind.FOLLOW_UP for c in plan.clocks)


def test_a_missed_or_cancelled_visit_is_booked_anew_by_a_person_who_is_reminded_after_a_week() -> None:
    for status in (AppointmentStatus.CANCELLED, AppointmentStatus.NO_SHOW):
        case, _ = at(with_facts(all_told(approved()), [visit_is(status)], MONDAY), MONDAY)
        opened = task(case, "review")
        assert "Book it anew" in opened.title
        case, plan = at(with_facts(case, [done(opened, MONDAY)], MONDAY), MONDAY)
        assert "review" not in work(case)
        assert plan.wake_at is not None
        case, _ = at(case, MONDAY + timedelta(days=7))
        assert "review" in work(case)
        moved = visit_is(AppointmentStatus.BOOKED, days=14, source="anew")
        assert "review" not in work(at(with_facts(case, [moved], MONDAY), MONDAY)[0])


def test_when_the_schedule_does_not_say_whether_the_visit_took_place_a_person_does() -> None:
    hands = Hands(all_told(approved()))
    plan = hands.turn()
    looks = 0
    while "review" not in work(hands.case):
        plan = hands.turn(plan.wake_at)
        looks += "read_appointment" in [action.kind for action in hands.begun]
        for action in hands.begun:
            hands.keeping.fail(action, Failure.REFUSED, "TEST", hands.now)
        assert hands.now < VISIT + timedelta(days=3)
        plan = hands.turn()
    assert looks == 5
    assert not any(c.kind is ClockKind.VISIT for c in plan.clocks)


def test_a_case_without_a_visit_watches_the_day_of_service() -> None:
    ordered = order(visit=None)
    _, plan = at(known(ordered, submitted(), answered("approved")), MONDAY)
    assert [c.label for c in plan.clocks if c.kind is ClockKind.VISIT] == ["The service is due."]


# --- cancellation --------------------------------------------------------------------------------------------------

OFF = said(OrderCancelled, "off", by="person:ines", reason="Not wanted.")


def test_a_cancelled_order_takes_its_request_back_and_closes() -> None:
    hands = Hands(with_facts(all_told(approved()), [OFF], MONDAY))
    assert doing(hands.turn()) == ["withdraw_request"]
    gone = said(RequestWithdrawn, "w", track=TRACK, attempt=1, rail="pas", receipt=RECEIPT)
    hands.end("withdraw_request", gone)
    assert hands.turn().stage is Stage.CLOSED


def test_an_order_cancelled_before_anything_was_asked_closes_at_once_with_its_tasks_withdrawn() -> None:
    case, _ = at(known(order(code="20610", category="other")), MONDAY)
    assert case.open_tasks
    case, plan = at(with_facts(case, [OFF], MONDAY), MONDAY)
    assert plan.stage is Stage.CLOSED
    assert not case.open_tasks


def test_a_cancelled_order_whose_request_may_have_arrived_is_searched_for_first() -> None:
    hands = Hands(known(order()))
    hands.turn()
    hands.fail("submit_request", Failure.AMBIGUOUS)
    hands.keeping.take([OFF], MONDAY)
    for action in [a for a in hands.begun if a.kind != "submit_request"]:
        hands.keeping.end(action, [], MONDAY)
    assert hands.turn().stage is not Stage.CLOSED
    hands.turn(MONDAY + timedelta(minutes=2))
    found = said(StatusInquired, "found", track=TRACK, attempt=1, rail="pas", found=True)
    hands.end("inquire_status", found)
    assert "withdraw_request" in doing(hands.turn())


def test_a_request_that_cannot_be_taken_back_by_vigil_is_a_persons() -> None:
    hands = Hands(with_facts(all_told(approved()), [OFF], MONDAY))
    hands.turn()
    for later in (timedelta(minutes=2), timedelta(minutes=62)):
        hands.fail("withdraw_request", Failure.AMBIGUOUS)
        assert hands.turn().turn is Turn.VIGIL, "whether it is still there is looked for first"
        assert "withdraw_request" in doing(hands.turn(MONDAY + later))
    hands.fail("withdraw_request", Failure.AMBIGUOUS)
    plan = hands.turn()
    assert plan.turn is Turn.STAFF
    assert task(hands.case, "review").task == f"withdraw/{TRACK}/1/pas"


# --- what is strange -----------------------------------------------------------------------------------------------


def test_a_fact_that_this_release_does_not_know_is_an_operators_once() -> None:
    strange = UnknownFact(kind="moon_phase", occurred_at=MONDAY, by="system:x", source_id="moon")
    case, _ = at(with_facts(approved(), [strange], MONDAY), MONDAY)
    opened = task(case, "review")
    assert (opened.turn, "moon_phase" in opened.title) == (Turn.OPERATOR, True)
    case, _ = at(with_facts(case, [done(opened, MONDAY)], MONDAY), MONDAY)
    assert "review" not in work(case)


def test_a_kind_that_is_no_word_is_not_repeated_where_many_read_it() -> None:
    strange = UnknownFact(kind="Quillfeather " * 300, occurred_at=MONDAY, by="system:x", source_id="moon")
    case, plan = at(with_facts(approved(), [strange], MONDAY), MONDAY)
    assert "Quillfeather" not in task(case, "review").title + plan.why


@pytest.mark.parametrize("answer", ["pended", "approved"])
def test_an_order_that_changed_under_its_request_is_compared_and_not_ready_until_then(answer: str) -> None:
    ordered = order()
    case, _ = at(known(ordered, submitted(), answered(answer)), MONDAY)
    other = ordered.model_copy(update={"diagnoses": ("M54.17",)})
    changed = said(OrderChanged, "changed", MONDAY, order=other)
    case = with_facts(case, [changed, pinned(other).model_copy(update={"source_id": "p2"})], MONDAY)
    case, _ = at(case, MONDAY)
    assert not case.is_ready
    opened = task(case, "review")
    case, _ = at(with_facts(case, [done(opened, MONDAY)], MONDAY), MONDAY)
    assert "review" not in work(case)
    assert case.is_ready == (answer == "approved")


def test_the_houses_cut_off_warns_also_where_nobody_has_written_down_rules() -> None:
    ordered = order(payer="plan-unknown")
    case = with_facts(case_of(ordered), [housed(), covered()], MONDAY)
    hands = Hands(case)
    hands.turn()
    hands.fail("pin_policy", Failure.REFUSED)
    plan = hands.turn()
    assert any(c.kind is ClockKind.VISIT_CUT_OFF and c.rule == house().visits.id for c in plan.clocks)
    hands.turn(VISIT - timedelta(days=1))
    assert "visit_at_risk" in work(hands.case)
