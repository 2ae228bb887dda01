"""Asking the payer, by example: rules, insurance, documents, and the request that is sent once."""

from datetime import timedelta

import pytest

from domain.actions import SubmitRequest
from domain.base import Stage, Turn
from domain.calendars import add
from domain.decision import AnswerError
from domain.facts import (
    AnswerNotUnderstood,
    CoverageStatus,
    CoverageVerified,
    DocumentAdded,
    DocumentsGathered,
    Failure,
    NewAttemptOrdered,
    OrderChanged,
    PolicyMissing,
    ReferralObtained,
    RequestRejected,
    RequestWithdrawn,
    RequirementDetermined,
    StatusInquired,
)
from domain.order import Order
from domain.refusal import refuse
from tests.builders import (
    MONDAY,
    VISIT,
    Hands,
    answered,
    at,
    case_of,
    covered,
    cut,
    document,
    doing,
    done,
    house,
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


# --- requirement: what does the payer want? ----------------------------------------------------------------------------


def test_the_payers_released_rules_are_taken_first() -> None:
    _, plan = at(case_of(order()), MONDAY)
    assert doing(plan) == ["pin_policy"]
    assert (plan.stage, plan.turn) == (Stage.REQUIREMENT, Turn.VIGIL)


def test_the_rules_open_a_track_for_each_who_must_ask() -> None:
    ordered = order(payer="keystone-sf")
    case, _ = at(known(ordered), MONDAY)
    (track,) = case.tracks.values()
    assert track.key == "1-rendering"
    assert track.lines_required == (1,)
    assert track.requirement.lines[0].rule == "keystone-ct"


def test_a_code_that_no_rule_names_is_a_persons_question() -> None:
    case, plan = at(known(order(code="20610", category="other")), MONDAY)
    assert "determine_requirement" in work(case)
    assert (plan.stage, plan.turn) == (Stage.REQUIREMENT, Turn.STAFF)
    assert not case.is_ready


def test_a_payer_without_rules_is_asked_by_phone_and_followed_up_by_the_houses_rhythm() -> None:
    ordered = order(payer="plan-unknown")
    case = with_facts(
        case_of(ordered), [housed(), said(PolicyMissing, "none", payer="plan-unknown"), covered()], MONDAY
    )
    case, _ = at(case, MONDAY)
    assert "determine_requirement" in work(case)
    needs = ({"line": 1, "authorization": "required", "rule": "payer: Dana"},)
    found = said(RequirementDetermined, "call", track=TRACK, rank=1, payer="plan-unknown", lines=needs)
    case, _ = at(with_facts(case, [found], MONDAY), MONDAY)
    assert task(case, "submit_request").rail == "phone"
    case, plan = at(with_facts(case, [submitted().model_copy(update={"rail": "phone"})], MONDAY), MONDAY)
    assert plan.turn is Turn.PAYER
    assert any(clock.rule == house().follow_up.id for clock in plan.clocks)
    wednesday = MONDAY + timedelta(days=3)
    case, _ = at(case, wednesday)
    assert "check_status" in work(case)


def test_a_referral_gate_holds_the_request_until_the_referral_is_there() -> None:
    case, plan = at(known(order(payer="summit-ma", code="99203", category="consult")), MONDAY)
    assert "obtain_referral" in work(case)
    assert "submit_request" not in doing(plan)
    referral = said(
        ReferralObtained, "referral", track=next(iter(case.tracks)), number={"type": "referral", "value": "RF-1"}
    )
    case, _ = at(with_facts(case, [referral], MONDAY), MONDAY)
    assert "obtain_referral" not in work(case)


def test_a_line_without_any_rule_is_unknown_and_never_forgotten() -> None:
    """The rules were cut for one line; the order now has two."""
    ordered, longer = order(), order(lines=2)
    pin = said(OrderChanged, "longer", order=longer)
    case, _ = at(
        with_facts(known(ordered), [pin, pinned(ordered).model_copy(update={"source_id": "p2"})], MONDAY), MONDAY
    )
    needs = {line.line: line.authorization for track in case.tracks.values() for line in track.requirement.lines}
    assert needs == {1: "required", 2: "unknown"}
    assert "determine_requirement" in work(case)


def test_a_small_change_of_the_order_asks_nothing_anew_and_a_changed_code_everything() -> None:
    ordered = order()
    case, _ = at(known(ordered, submitted(), answered("approved")), MONDAY)
    phone = ordered.patient.model_copy(update={"phone": "+12175550148"})
    small = said(OrderChanged, "small", order=ordered.model_copy(update={"patient": phone}))
    after, plan = at(with_facts(case, [small], MONDAY), MONDAY)
    assert after.is_ready
    assert "pin_policy" not in doing(plan)
    recoded = Order.model_validate(
        {**ordered.model_dump(), "lines": [{**ordered.lines[0].model_dump(), "code": "72132"}]}
    )
    after, plan = at(with_facts(case, [said(OrderChanged, "big", order=recoded)], MONDAY), MONDAY)
    assert not after.is_ready
    assert "pin_policy" in doing(plan)
    assert "review" in work(after)


# --- coverage: does the insurance hold? --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [CoverageStatus.INACTIVE, CoverageStatus.NOT_FOUND, CoverageStatus.UNCLEAR])
def test_insurance_that_does_not_hold_is_a_persons_and_nothing_is_sent(status: CoverageStatus) -> None:
    case = with_facts(case_of(order()), [pinned(order()), covered(status=status)], MONDAY)
    case, plan = at(case, MONDAY)
    assert "fix_coverage" in work(case)
    assert plan.stage is Stage.COVERAGE
    assert "submit_request" not in doing(plan)


def test_an_approval_is_not_ready_when_the_insurance_ended_since() -> None:
    case = known(order(), submitted(), answered("approved"))
    assert case.is_ready
    ended = said(CoverageVerified, "ended", rank=1, status=CoverageStatus.INACTIVE)
    assert not with_facts(case, [ended], MONDAY).is_ready


def test_the_insurance_is_asked_about_again_before_the_visit() -> None:
    case, _ = at(known(order(), submitted(), answered("approved")), MONDAY)
    _, plan = at(case, VISIT - timedelta(days=3))
    assert "verify_coverage" in doing(plan)


def test_a_second_insurance_is_asked_about_and_holds_nothing_up() -> None:
    two = [
        {"rank": 1, "payer": "meridian-ppo", "member_id": "MBR000001100"},
        {"rank": 2, "payer": "summit-ma", "member_id": "MBR000002100"},
    ]
    case = known(order(coverages=two))
    hands = Hands(case)
    plan = hands.turn()
    assert "submit_request" in doing(plan)
    assert [a.kind for a in hands.begun if a.kind == "pin_policy"] == ["pin_policy"]
    hands.end("pin_policy", said(PolicyMissing, "second", payer="summit-ma"))
    assert "verify_coverage" in doing(hands.turn())
    hands.fail("verify_coverage", Failure.REFUSED)
    hands.turn()
    assert "fix_coverage" not in work(hands.case)


# --- documents: does the payer see what it wants? ------------------------------------------------------------------------


def test_what_the_chart_does_not_have_is_asked_of_the_providers_team() -> None:
    hands = Hands(known(order(documents=())))
    assert "gather_documents" in doing(hands.turn())
    hands.end("gather_documents", said(DocumentsGathered, "none", searched=("office_note",)))
    case, plan = hands.case, hands.turn()
    opened = task(hands.case, "gather_documents")
    assert "conservative therapy" in opened.title
    assert (plan.stage, plan.turn) == (Stage.DOCUMENTS, Turn.PROVIDER)
    for kind in ("office_note", "imaging_report", "conservative_therapy"):
        case = with_facts(case, [said(DocumentAdded, kind, document=document(kind))], MONDAY)
    _, plan = at(case, MONDAY)
    assert "submit_request" in doing(plan)


def test_a_note_that_is_too_old_or_not_signed_does_not_count() -> None:
    old = document("office_note", (MONDAY - timedelta(days=31)).date())
    unsigned = document("office_note", content="draft").model_copy(update={"signed": False})
    rest = tuple(document(kind) for kind in ("imaging_report", "conservative_therapy"))
    case, plan = at(known(order(documents=())), MONDAY)
    case = with_facts(case, [said(DocumentsGathered, "g", searched=(), documents=(old, unsigned, *rest))], MONDAY)
    _, plan = at(case, MONDAY)
    assert "submit_request" not in doing(plan)


def test_a_person_may_decide_to_send_without() -> None:
    hands = Hands(known(order(documents=())))
    hands.turn()
    hands.fail("gather_documents", Failure.REFUSED)
    hands.turn()
    opened = task(hands.case, "gather_documents")
    _, plan = at(with_facts(hands.case, [done(opened, MONDAY, "send_without")], MONDAY), MONDAY)
    assert "submit_request" in doing(plan)


def test_the_documents_of_a_changed_order_count() -> None:
    ordered = order(documents=())
    case, _ = at(known(ordered), MONDAY)
    better = said(OrderChanged, "with notes", order=order())
    case = with_facts(case, [better], MONDAY)
    assert {ref.kind for ref in case.documents.values()} >= {"office_note", "imaging_report"}


# --- submission: once ----------------------------------------------------------------------------------------------------


def test_a_lost_answer_is_searched_for_after_two_minutes_and_an_hour_then_a_person_calls() -> None:
    hands = Hands(known(order()))
    assert "submit_request" in doing(hands.turn())
    hands.fail("submit_request", Failure.AMBIGUOUS)
    plan = hands.turn()
    assert doing(plan) == []
    assert "looks there for the request" in plan.why
    assert plan.wake_at == MONDAY + timedelta(minutes=2)
    for moment in (MONDAY + timedelta(minutes=2), MONDAY + timedelta(hours=1)):
        assert "inquire_status" in doing(hands.turn(moment))
        hands.end(
            "inquire_status",
            said(StatusInquired, f"asked {moment}", track=TRACK, attempt=1, rail="pas", found=False),
        )
        plan = hands.turn()
    assert "find_request" in work(hands.case)
    assert f"{hands.case.id}-{TRACK}-1" in task(hands.case, "find_request").checklist[0]
    assert "submit_request" not in doing(plan)


def test_a_success_that_says_nothing_is_as_doubtful_as_a_lost_answer() -> None:
    hands = Hands(known(order()))
    hands.turn()
    hands.end("submit_request")
    assert "looks there for the request" in hands.turn().why
    assert "inquire_status" in doing(hands.turn(MONDAY + timedelta(minutes=2)))


def test_a_payer_out_of_reach_is_tried_five_times_more_then_people_take_the_next_channel() -> None:
    hands, now = Hands(known(order(payer="summit-ma"))), MONDAY
    for rest in (*house().rests.routine, None):
        assert "submit_request" in doing(hands.turn(now))
        hands.fail("submit_request", Failure.EXHAUSTED)
        plan = hands.turn()
        if rest is not None:
            assert "cannot be reached" in plan.why
            assert plan.wake_at == (now := add(now, rest, cut(order()).calendar("around_the_clock")))
    assert task(hands.case, "submit_request").rail == "portal"
    assert plan.turn is Turn.STAFF


def test_a_stat_order_does_not_wait_long_for_a_payer_out_of_reach() -> None:
    hands, now = Hands(known(order(payer="summit-ma", urgency="stat"))), MONDAY
    while "submit_request" not in work(hands.case):
        hands.turn(now)
        if "submit_request" in [action.kind for action in hands.begun]:
            hands.fail("submit_request", Failure.EXHAUSTED)
        now = hands.turn().wake_at or now
    assert hands.now <= MONDAY + timedelta(minutes=30)


def test_a_rejected_request_is_corrected_not_appealed_and_sent_anew_at_a_persons_word() -> None:
    no = said(
        RequestRejected,
        "no",
        track=TRACK,
        attempt=1,
        rail="pas",
        errors=(
            AnswerError(
                code="75",
                text="Not known: Quillfeather",
                where="2010C, subscriber",
                meaning="the payer does not find the subscriber",
                remedy="Compare.",
            ),
            AnswerError(code="Q7"),
        ),
    )
    case, plan = at(known(order(), no), MONDAY)
    assert work(case)[-1] == "correct_request"
    assert plan.why == (
        "Meridian PPO did not take the request up, and nothing is decided: "
        "the payer does not find the subscriber (75), and 1 more. Compare."
    )
    assert task(case, "correct_request").checklist[:2] == (
        "Not known: Quillfeather (75), at 2010C, subscriber. Compare.",
        "Code Q7, which Vigil does not know.",
    )
    again = said(NewAttemptOrdered, "again", by="person:ines", track=TRACK, attempt=2, reason="Corrected.")
    assert refuse(case, again, MONDAY) is None
    case, plan = at(with_facts(case, [again], MONDAY), MONDAY)
    assert "correct_request" not in work(case)
    (sent,) = of_kind(plan.actions, SubmitRequest)
    assert sent.key == f"submit/{TRACK}/2/pas/1"


def test_a_refused_sending_is_a_persons_to_correct() -> None:
    hands = Hands(known(order()))
    hands.turn()
    hands.fail("submit_request", Failure.REFUSED)
    hands.turn()
    assert "correct_request" in work(hands.case)


def test_nobody_orders_a_new_attempt_while_the_request_is_being_sent() -> None:
    hands = Hands(known(order()))
    hands.turn()
    again = said(NewAttemptOrdered, "again", by="person:ines", track=TRACK, attempt=2, reason="Impatient.")
    refusal = refuse(hands.case, again, MONDAY)
    assert refusal is not None
    assert refusal.code == "attempt_open"
    far = again.model_copy(update={"attempt": 7})
    refusal = refuse(hands.case, far, MONDAY)
    assert refusal is not None
    assert refusal.code == "attempt_unknown"


def test_a_new_attempt_waits_until_the_pending_one_is_taken_back() -> None:
    again = said(NewAttemptOrdered, "again", by="person:ines", track=TRACK, attempt=2, reason="Wrong code.")
    hands = Hands(known(order(), submitted(), answered("pended"), again))
    plan = hands.turn()
    assert "withdraw_request" in doing(plan)
    assert "submit_request" not in doing(plan)
    receipt = {"kind": "reference_number", "reference": "W-1"}
    hands.end("withdraw_request", said(RequestWithdrawn, "w", track=TRACK, attempt=1, rail="pas", receipt=receipt))
    assert "submit_request" in doing(hands.turn())


def test_a_denied_request_is_not_taken_back_for_a_new_attempt() -> None:
    again = said(NewAttemptOrdered, "again", by="person:ines", track=TRACK, attempt=2, reason="New findings.")
    _, plan = at(known(order(), submitted(), answered("denied"), again), MONDAY)
    assert "withdraw_request" not in doing(plan)
    assert "submit_request" in doing(plan)


def test_nonsense_in_place_of_an_answer_is_read_by_a_person_and_looked_up_by_vigil() -> None:
    hands = Hands(known(order()))
    hands.turn()
    why = "A web page in place of a decision."
    hands.end("submit_request", said(AnswerNotUnderstood, "html", track=TRACK, attempt=1, rail="pas", why=why))
    hands.turn()
    opened = task(hands.case, "read_answer")
    assert why in opened.checklist
    assert why not in opened.title
    assert not hands.case.is_ready
    case = with_facts(hands.case, [done(opened, MONDAY)], MONDAY)
    case, plan = at(case, MONDAY)
    assert "read_answer" not in work(case)
    assert plan.wake_at == MONDAY + timedelta(minutes=2)


def test_people_work_the_portal_and_a_stat_order_goes_by_phone() -> None:
    case, _ = at(known(order(payer="keystone-sf")), MONDAY)
    assert task(case, "submit_request").rail == "portal"
    case, _ = at(known(order(payer="keystone-sf", urgency="stat")), MONDAY)
    opened = task(case, "submit_request")
    assert opened.rail == "phone"
    assert opened.due == MONDAY + timedelta(minutes=30)


def test_every_copy_of_a_request_is_the_same() -> None:
    hands = Hands(known(order()))
    hands.turn()
    first = of_kind(hands.begun, SubmitRequest)[0]
    hands.fail("submit_request", Failure.EXHAUSTED)
    hands.turn(MONDAY + timedelta(minutes=5))
    second = of_kind(hands.begun, SubmitRequest)[0]
    assert first.key != second.key
    assert first.model_dump(exclude={"key", "now"}) == second.model_dump(exclude={"key", "now"})
