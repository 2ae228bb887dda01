"""One saga over all rails, by example: which way a request takes, what came late, how it ends, what changes it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.actions import SendInformation, SubmitRequest, WithdrawRequest
from domain.base import Turn
from domain.calendars import Span
from domain.case import Case
from domain.clocks import ClockKind
from domain.decision import AnswerError, Ending, InformationAsk, Reason
from domain.desk import WrongResult
from domain.facts import (
    DocumentAdded,
    Fact,
    Failure,
    InformationSent,
    NewAttemptOrdered,
    OrderChanged,
    Receipt,
    RequestEnded,
    RequestRejected,
    RequestWithdrawn,
    StatusInquired,
    TaskOpened,
    TaskWithdrawn,
)
from domain.order import Order
from domain.plan import settle
from domain.policy_rules import Rail
from domain.results import read_result
from domain.work import claim, complete, forms_of, release
from tests.builders import (
    CASE_ID,
    MONDAY,
    Hands,
    answered,
    at,
    case_of,
    covered,
    cut,
    document,
    doing,
    housed,
    known,
    of_kind,
    order,
    pinned,
    said,
    submitted,
    task,
    with_facts,
    work,
)

TRACK = "1-ordering"
BY = "person:ines"
SUNDAY_NIGHT = datetime(2026, 11, 29, 7, 30, tzinfo=UTC)
"""Half past two in New York: the clearinghouse of Harbor is being maintained."""


def sent_by(rail: str, now: datetime = MONDAY, **more: Any) -> Fact:
    return submitted(now).model_copy(update={"rail": rail, "source_id": f"submitted-{rail}", **more})


def said_by(rail: str, outcome: str, number: str, now: datetime = MONDAY, **more: Any) -> Fact:
    fact = answered(outcome, now=now, number=number, **more)
    return fact.model_copy(update={"rail": rail, "source_id": f"{rail}-{outcome}-{number}"})


def gone_by(rail: str, now: datetime = MONDAY) -> Fact:
    receipt = Receipt(kind="trace_number", reference="W-1")
    return said(RequestWithdrawn, f"gone-{rail}", now, track=TRACK, attempt=1, rail=rail, receipt=receipt)


def rails_of(hands: Hands) -> list[str]:
    return [action.request.rail for action in of_kind(hands.begun, SubmitRequest)]


def give_up(hands: Hands, rail: str) -> None:
    """The channel stays out of reach until Vigil takes the next one."""
    while rails_of(hands) == [rail]:
        hands.fail("submit_request", Failure.EXHAUSTED)
        plan = hands.turn()
        if not rails_of(hands) and plan.wake_at and "submit_request" not in work(hands.case):
            hands.turn(plan.wake_at)


# --- which way it takes ----------------------------------------------------------------------------------------------


def test_a_request_goes_on_from_channel_to_channel_and_at_last_to_people() -> None:
    hands = Hands(known(order()))
    hands.turn()
    for rail in ("pas", "x12", "gateway"):
        assert rails_of(hands) == [rail]
        give_up(hands, rail)
    assert task(hands.case, "submit_request").rail == "portal"


@pytest.mark.parametrize(("urgency", "next_rails"), [("routine", []), ("urgent", ["x12"]), ("stat", ["x12"])])
def test_a_channel_out_of_order_for_everybody_is_left_at_once_where_it_is_urgent(
    urgency: str, next_rails: list[str]
) -> None:
    hands = Hands(known(order(urgency=urgency)))
    hands.turn()
    hands.fail("submit_request", Failure.EXHAUSTED, "breaker_open")
    hands.turn()
    assert rails_of(hands) == next_rails
    hands.turn(MONDAY + timedelta(hours=1))
    assert rails_of(hands) == ([] if next_rails else ["pas"]), "what was left is not gone back to"


@pytest.mark.parametrize("code", ["policy:no_pas_channel", "pas:401", "token:403", "rail_unknown:pas", "MissingSecret"])
def test_a_channel_that_lets_nobody_in_is_an_operators_and_the_request_goes_on(code: str) -> None:
    hands = Hands(known(order()))
    hands.turn()
    hands.fail("submit_request", Failure.REFUSED, code)
    hands.turn()
    assert rails_of(hands) == ["x12"]
    opened = task(hands.case, "operator")
    assert (opened.turn, opened.rail) == (Turn.OPERATOR, "pas")
    assert code in opened.title
    arrived, _ = at(with_facts(hands.case, [submitted().model_copy(update={"rail": "x12"})], MONDAY), MONDAY)
    assert "operator" not in work(arrived)
    gone = [fact for fact in arrived.facts if isinstance(fact, TaskWithdrawn)]
    assert [fact.task for fact in gone] == [opened.task]
    assert "alert (channel_down)" in gone[0].why


@pytest.mark.parametrize("code", ["document_missing", "pas:422", "x12:npi"])
def test_a_refusal_for_what_the_request_says_is_a_correction(code: str) -> None:
    hands = Hands(known(order()))
    hands.turn()
    hands.fail("submit_request", Failure.REFUSED, code)
    hands.turn()
    assert rails_of(hands) == []
    assert "correct_request" in work(hands.case)


def test_maintenance_is_waited_for_or_passed_over_where_it_is_urgent() -> None:
    assert cut(order(payer="harbor-hmo")).channels[0].maintenance
    hands = Hands(known(order(payer="harbor-hmo"), now=SUNDAY_NIGHT), SUNDAY_NIGHT)
    plan = hands.turn()
    assert rails_of(hands) == []
    assert "being maintained" in plan.why
    assert plan.wake_at == datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
    hands.turn(plan.wake_at)
    assert rails_of(hands) == ["x12"]
    hasty = Hands(known(order(payer="harbor-hmo", urgency="stat"), now=SUNDAY_NIGHT), SUNDAY_NIGHT)
    hasty.turn()
    assert rails_of(hasty) == ["gateway"]


def test_nothing_is_sent_elsewhere_while_nobody_knows_what_became_of_it() -> None:
    hands = Hands(known(order(urgency="stat")))
    hands.turn()
    hands.fail("submit_request", Failure.AMBIGUOUS, "timeout")
    plan = hands.turn()
    assert rails_of(hands) == []
    receipt = next(clock for clock in plan.clocks if clock.kind is ClockKind.RECEIPT)
    assert (receipt.rule, receipt.due) == ("meridian-receipt-pas", MONDAY + timedelta(hours=2))
    for later in (timedelta(hours=2), timedelta(days=2)):
        hands.turn(MONDAY + later)
        assert rails_of(hands) == []


def test_a_carriers_limits_are_the_carriers() -> None:
    hands = Hands(known(order(payer="harbor-hmo")))
    hands.turn()
    (action,) = of_kind(hands.begun, SubmitRequest)
    assert (action.request.rail, action.counterpart, action.payer) == ("x12", "via-northbridge", "harbor-hmo")
    direct = action.model_copy(update={"request": action.request.model_copy(update={"rail": "portal"})})
    assert direct.counterpart == "payer-harbor-hmo"


# --- what came late --------------------------------------------------------------------------------------------------


def abandoned() -> Case:
    """PAS was given up, and the clearinghouse has the request."""
    hands = Hands(known(order(urgency="urgent")))
    hands.turn()
    hands.fail("submit_request", Failure.EXHAUSTED, "breaker_open")
    hands.turn()
    assert rails_of(hands) == ["x12"]
    hands.end("submit_request", sent_by("x12"))
    hands.turn()
    return hands.case


def taken_back(case: Case) -> list[str]:
    _, plan = at(case, MONDAY)
    return [action.request.rail for action in of_kind(plan.actions, WithdrawRequest)]


def test_the_one_that_was_decided_is_kept_and_the_other_taken_back_on_its_own_rail() -> None:
    case = with_facts(abandoned(), [said_by("pas", "approved", "A204418830", via="notification")], MONDAY)
    attempt = case.tracks[TRACK].attempt
    assert (attempt.rail, attempt.spare) == ("pas", ("x12",))
    assert taken_back(case) == ["x12"]
    case, _ = at(with_facts(case, [gone_by("x12")], MONDAY), MONDAY)
    assert case.tracks[TRACK].attempt.ended is None
    assert case.is_ready
    assert taken_back(case) == []


def test_where_neither_is_decided_the_first_is_kept() -> None:
    case = with_facts(abandoned(), [said_by("pas", "pended", "P", via="inquiry")], MONDAY)
    assert taken_back(case) == ["pas"]
    case = with_facts(case, [gone_by("pas")], MONDAY)
    assert case.tracks[TRACK].attempt.rail == "x12"
    assert case.tracks[TRACK].attempt.ended is None


def test_one_that_is_seen_through_another_window_is_no_second_one() -> None:
    """The same number of the payer on both rails, or a rail on which nothing was ever sent."""
    same = said_by("pas", "pended", "P", via="notification")
    also = said_by("x12", "pended", "P", via="inquiry")
    assert taken_back(with_facts(abandoned(), [also, same], MONDAY)) == []
    elsewhere = said_by("gateway", "approved", "A204418830", via="notification")
    case = with_facts(abandoned(), [elsewhere], MONDAY)
    assert taken_back(case) == []
    assert case.is_ready


def test_copies_that_are_decided_alike_contradict_nothing_and_otherwise_a_person_reads_first() -> None:
    pas = said_by("pas", "approved", "A204418830", via="notification")
    alike, other = said_by("x12", "approved", "A204418831"), said_by("x12", "denied", "A0")
    case, _ = at(with_facts(abandoned(), [pas, alike], MONDAY), MONDAY)
    assert "read_answer" not in work(case)
    assert taken_back(case) == ["x12"]
    case, _ = at(with_facts(abandoned(), [other, pas], MONDAY), MONDAY)
    assert "read_answer" in work(case)
    assert not case.is_ready
    assert taken_back(case) == []
    word = said_by("phone", "approved", "A204418830", via="person", by=BY)
    case = with_facts(case, [word], MONDAY)
    assert case.tracks[TRACK].attempt.rail == "pas"
    assert taken_back(case) == [], "of what was denied nothing is left to take back"
    assert at(case, MONDAY)[0].is_ready


def test_what_was_taken_back_no_longer_speaks() -> None:
    first = said_by("pas", "approved", "A204418830", via="notification")
    late = said_by("x12", "denied", "A0", via="notification")
    case, _ = at(with_facts(abandoned(), [first, gone_by("x12"), late], MONDAY), MONDAY)
    assert case.is_ready
    assert "choose_after_denial" not in work(case)


def test_an_attempt_that_is_approved_after_the_next_was_ordered_is_a_persons() -> None:
    again = said(NewAttemptOrdered, "again", by=BY, track=TRACK, attempt=2, reason="The payer says that it has none.")
    case, _ = at(known(order(), submitted(), again, answered("approved", via="notification")), MONDAY)
    assert "given up" in task(case, "review").title
    before = known(order(), submitted(), answered("partly_approved"), again)
    assert "review" not in work(at(before, MONDAY)[0])


# --- not found -------------------------------------------------------------------------------------------------------


def test_not_found_is_looked_for_again_soon_then_a_person_calls_with_our_receipt() -> None:
    hands = Hands(known(order(), submitted()))
    due = hands.turn().wake_at
    while "inquire_status" not in doing(hands.turn(due)):
        due = hands.turn().wake_at
    hands.end("inquire_status", said(StatusInquired, "one", hands.now, track=TRACK, attempt=1, rail="pas", found=False))
    plan = hands.turn()
    assert "find_request" not in work(hands.case)
    assert plan.wake_at == hands.now + timedelta(minutes=2)
    assert "inquire_status" in doing(hands.turn(plan.wake_at))
    hands.end("inquire_status", said(StatusInquired, "two", hands.now, track=TRACK, attempt=1, rail="pas", found=False))
    hands.turn()
    opened = task(hands.case, "find_request")
    steps = "\n".join(opened.checklist)
    assert f"Our trace number: {CASE_ID}-{TRACK}-1" in steps
    assert f"Our receipt (trace number): {CASE_ID}-{TRACK}-1" in steps
    assert "resend" not in forms_of(opened)


def test_a_submission_with_only_a_receipt_is_looked_at_soon() -> None:
    ordered = order()
    hands = Hands(known(ordered, sent_by("gateway", receipt=Receipt(kind="http_id", reference="202"))))
    polls = next(c.answer_polls for c in cut(ordered).channels if c.rail is Rail.GATEWAY)
    for n, span in enumerate(polls):
        plan = hands.turn(hands.now)
        assert plan.wake_at == MONDAY + timedelta(minutes=span.amount)
        assert "inquire_status" in doing(hands.turn(plan.wake_at)), span
        found = said(StatusInquired, f"poll-{n}", hands.now, track=TRACK, attempt=1, rail="gateway", found=True)
        hands.end("inquire_status", found)
    assert "inquire_status" not in doing(hands.turn(MONDAY + timedelta(hours=2)))


# --- how it ends -----------------------------------------------------------------------------------------------------


def ended(ending: Ending) -> Case:
    reasons = (Reason(code="0U", text="No notes came."),)
    end = said(RequestEnded, "ended", track=TRACK, attempt=1, rail="pas", ending=ending, reasons=reasons)
    return at(known(order(), submitted(), answered("pended"), end), MONDAY)[0]


@pytest.mark.parametrize(
    ("ending", "words"),
    [(Ending.CLOSED, "for want of information"), (Ending.VOIDED, "voided"), (Ending.WITHDRAWN, "withdrew")],
)
def test_each_ending_of_the_payer_is_a_task_of_its_own(ending: Ending, words: str) -> None:
    case = ended(ending)
    opened = task(case, "correct_request")
    assert words in opened.title
    assert "It says: 0U No notes came." in opened.checklist
    assert {name.value for name in forms_of(opened)} == {"resend", "information_sent", "decided"}
    _, plan = at(case, MONDAY + timedelta(days=30))
    assert not {"submit_request", "withdraw_request", "inquire_status"} & set(doing(plan))


def test_what_was_closed_is_open_again_once_the_payer_has_what_it_wanted_or_decides_after_all() -> None:
    case = ended(Ending.CLOSED)
    receipt = Receipt(kind="fax_report", reference="FAX-1")
    given = with_facts(case, [said(InformationSent, "sent", track=TRACK, attempt=1, receipt=receipt)], MONDAY)
    assert "correct_request" not in work(at(given, MONDAY)[0])
    decided = with_facts(case, [answered("approved", via="notification")], MONDAY)
    assert at(decided, MONDAY)[0].is_ready
    late = with_facts(case, [answered("pended", via="notification", number="X")], MONDAY)
    assert "correct_request" in work(at(late, MONDAY)[0])


def test_a_decision_that_says_it_ended_counts_the_same() -> None:
    case, _ = at(known(order(), submitted(), answered("pended", ending=Ending.VOIDED)), MONDAY)
    assert "voided" in task(case, "correct_request").title


# --- what the payer asks to see --------------------------------------------------------------------------------------


def asked(code: str = "11506-3") -> Case:
    asks = (InformationAsk(what=(Reason(code=code, text="The note"),), control_number="CN-1"),)
    return known(order(documents=()), submitted(), answered("pended", asks=asks))


def brought(kind: str = "office_note") -> Fact:
    return said(DocumentAdded, f"brought-{kind}", by=BY, document=document(kind))


def test_documents_that_fit_are_sent_once() -> None:
    hands = Hands(with_facts(asked(), [brought()], MONDAY))
    hands.turn()
    (action,) = of_kind(hands.begun, SendInformation)
    assert [ref.kind for ref in action.documents] == ["office_note"]
    hands.fail("send_information", Failure.AMBIGUOUS)
    hands.turn()
    assert "send_information" not in [a.kind for a in hands.begun]
    assert "send_information" in work(hands.case)


@pytest.mark.parametrize("code", ["ZZ", "18748-4"])
def test_what_nobody_can_place_or_the_case_does_not_have_is_a_persons(code: str) -> None:
    case, plan = at(with_facts(asked(code), [brought()], MONDAY), MONDAY)
    assert "send_information" in work(case)
    assert "send_information" not in doing(plan)


def test_what_a_278_only_names_follows_once_while_the_payer_decides() -> None:
    ordered = order(payer="harbor-hmo", documents=())
    case = known(ordered, brought(), sent_by("x12"))
    hands = Hands(case)
    hands.turn()
    (action,) = of_kind(hands.begun, SendInformation)
    assert (action.asks, [ref.kind for ref in action.documents]) == ((), ["office_note"])
    hands.fail("send_information", Failure.AMBIGUOUS)
    hands.turn()
    assert "send_information" not in [a.kind for a in hands.begun]
    assert "send_information" in work(hands.case)

    approved = Hands(with_facts(case, [said_by("x12", "approved", "HHA2044188")], MONDAY))
    approved.turn()
    assert "send_information" not in [a.kind for a in approved.begun]
    by_pas = Hands(known(order(documents=()), brought(), submitted()))
    by_pas.turn()
    assert "send_information" not in [a.kind for a in by_pas.begun]


def test_a_person_hands_in_what_is_missing_and_vigil_sends_it() -> None:
    case, _ = at(asked("ZZ"), MONDAY)
    opened = task(case, "send_information")
    form = read_result(
        {"result": "documents_attached", "documents": [document("operative_note").model_dump(mode="json")]}
    )
    facts = complete(case, opened.task, form, by=BY, now=MONDAY, source_id="h")
    case, plan = at(with_facts(case, facts, MONDAY), MONDAY)
    (action,) = of_kind(plan.actions, SendInformation)
    assert [ref.kind for ref in action.documents] == ["operative_note"]
    assert "send_information" not in work(case)


# --- what changes it -------------------------------------------------------------------------------------------------


def changed(*more: Fact, rail: str = "pas") -> tuple[Case, TaskOpened, Order]:
    ordered = order()
    hands = Hands(known(ordered))
    hands.turn()
    hands.end("submit_request", sent_by(rail), said_by(rail, "pended", "P"), *more)
    hands.turn()
    other = ordered.model_copy(update={"diagnoses": ("M54.17",)})
    late = said(OrderChanged, "changed", MONDAY, order=other)
    again = pinned(other).model_copy(update={"source_id": "again"})
    case, _ = at(
        with_facts(hands.case, [late, again, covered().model_copy(update={"source_id": "c2"})], MONDAY), MONDAY
    )
    return case, task(case, "review"), ordered


def choose(case: Case, opened: TaskOpened, result: str) -> Case:
    form = read_result({"result": result, "reason": "The diagnosis changed."})
    return with_facts(case, complete(case, opened.task, form, by=BY, now=MONDAY, source_id=f"by-{result}"), MONDAY)


def test_a_changed_order_is_an_update_of_what_the_payer_has() -> None:
    case, opened, before = changed()
    hands = Hands(choose(case, opened, "update"))
    plan = hands.turn()
    assert "withdraw_request" not in doing(plan)
    (action,) = of_kind(hands.begun, SubmitRequest)
    request = action.request
    assert (request.attempt, request.rail, request.order.diagnoses) == (2, "pas", ("M54.17",))
    assert request.prior is not None
    assert request.prior.order.diagnoses == before.diagnoses
    assert (request.prior.attempt, request.prior.trace) == (1, f"{CASE_ID}-{TRACK}-1")
    assert [number.value for number in request.prior_numbers] == ["REF-20881734"]
    proof = sent_by("pas", attempt=2, source_id="two", trace=request.trace)
    hands.end("submit_request", proof, answered("approved", attempt=2))
    plan = hands.turn(MONDAY + timedelta(minutes=1))
    assert "withdraw_request" not in doing(plan)
    assert hands.case.is_ready


def test_where_it_cannot_be_changed_it_is_taken_back_and_sent_anew() -> None:
    case, opened, _ = changed(said_by("pas", "denied", "A0"))
    with pytest.raises(WrongResult, match="sent anew"):
        choose(case, opened, "update")
    case, opened, _ = changed(rail="x12")
    with pytest.raises(WrongResult, match="sent anew"):
        choose(case, opened, "update")
    case, opened, _ = changed()
    _, plan = at(choose(case, opened, "resend"), MONDAY)
    assert "withdraw_request" in doing(plan)
    assert "submit_request" not in doing(plan)


# --- rules of the house ----------------------------------------------------------------------------------------------


def test_a_case_of_before_the_houses_rules_is_planned_all_the_same() -> None:
    case = with_facts(case_of(order()), [pinned(order()), covered()], MONDAY)
    case, plan = at(case, MONDAY)
    assert "submit_request" in doing(plan)
    with_house, _ = at(with_facts(case, [housed()], MONDAY), MONDAY)
    assert with_house.house.rests.routine[0] == Span.parse("5 minutes")


# --- whoever had the work has what takes its place ---------------------------------------------------------------------------


@pytest.mark.parametrize(("released", "minutes", "holder"), [(False, 5, BY), (True, 5, None), (False, 90, None)])
def test_a_corrected_order_leaves_the_correction_with_whoever_has_it(
    released: bool, minutes: int, holder: str | None
) -> None:
    no = said(RequestRejected, "no", track=TRACK, attempt=1, rail="pas", errors=(AnswerError(code="75"),))
    case, _ = at(known(order(), no), MONDAY)
    first = task(case, "correct_request").task
    case = with_facts(case, [claim(case, first, by=BY, now=MONDAY, source_id="c")], MONDAY)
    if released:
        case = with_facts(case, [release(case, first, by=BY, now=MONDAY, source_id="r")], MONDAY)
    other = case.order.model_copy(update={"diagnoses": ("M54.50",)})
    case, _ = at(with_facts(case, [said(OrderChanged, "changed", order=other)], MONDAY), MONDAY)
    assert "correct_request" not in work(case), "its rules are looked up anew"
    later = MONDAY + timedelta(minutes=minutes)
    case, _ = at(with_facts(case, [pinned(other).model_copy(update={"source_id": "p2"})], later), later)
    case, _ = at(with_facts(case, [covered(now=later).model_copy(update={"source_id": "c2"})], later), later)
    again = task(case, "correct_request").task
    assert again != first
    assert case.tasks[again].holder(later) == holder
    assert settle(case, later)[1].facts == ()
