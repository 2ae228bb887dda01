"""The payer's own rules speak first, as far as they settle what is needed; ours decide the rest, and people what is left."""

from datetime import date, timedelta
from typing import Any

import pytest

from domain.actions import AskRequirement, FetchQuestionnaire, SubmitRequest
from domain.case import Case
from domain.decision import InformationAsk, Reason
from domain.facts import (
    AppointmentChanged,
    CoverageInformationReceived,
    FactRetracted,
    Failure,
    LineInformation,
    LineRequirement,
    OrderChanged,
    PolicyPinned,
    QuestionnaireAnswered,
    QuestionnaireReceived,
    RequirementDetermined,
)
from domain.order import Appointment, DocumentRef, Order
from domain.policy import PolicySlice
from domain.rules.payer_says import assertion_of
from domain.rules.questionnaire import RESPONSE, responses, responses_to
from domain.rules.submission import request_of
from tests.builders import (
    MONDAY,
    VISIT,
    Hands,
    answered,
    case_of,
    covered,
    cut,
    document,
    done,
    gathered,
    of_kind,
    order,
    said,
    submitted,
    task,
    with_facts,
    work,
)

CRD, DTR = "https://payer.example", "https://payer.example/fhir"
SOON = MONDAY + timedelta(minutes=5)


def asking(ordered: Order, *, dtr: bool = True) -> PolicySlice:
    """The rules of a payer that takes questions."""
    policy = cut(ordered)
    first = policy.channels[0].model_copy(update={"crd_url": CRD, "dtr_url": DTR if dtr else None})
    return policy.model_copy(update={"channels": (first, *policy.channels[1:])})


def opened(ordered: Order | None = None, *, dtr: bool = True) -> Hands:
    """A case in which the payer is just being asked."""
    ordered = ordered or order()
    pinned = said_pinned(ordered, dtr=dtr)
    hands = Hands(with_facts(case_of(ordered), [pinned, covered(), gathered()], MONDAY))
    hands.turn()
    return hands


def said_pinned(ordered: Order, *, dtr: bool = True) -> Any:
    return said(PolicyPinned, "pinned", MONDAY, payer=ordered.primary.payer, policy=asking(ordered, dtr=dtr))


def information(hands: Hands, *lines: LineInformation) -> CoverageInformationReceived:
    action = of_kind(hands.begun, AskRequirement)[0]
    return CoverageInformationReceived(
        occurred_at=hands.now,
        by="system:crd:meridian-ppo",
        source_id=f"{action.key}/said",
        rank=1,
        hook=action.hook,
        lines=lines,
        raw=document("payer_answer", None, f"answer {action.key}"),
    )


def line(number: int = 1, covered: str | None = "covered", authorization: str | None = None, **more: Any) -> Any:
    more = {"assertion": "ASSERT-1", "asserted_on": MONDAY.date(), **more}
    return LineInformation(line=number, covered=covered, authorization=authorization, **more)


def heard(*lines: LineInformation, ordered: Order | None = None, dtr: bool = True) -> Hands:
    """A case in which the payer has answered at order-sign."""
    hands = opened(ordered, dtr=dtr)
    hands.end("ask_requirement", information(hands, *lines))
    hands.turn(SOON)
    return hands


def begun(hands: Hands) -> list[str]:
    """What was just begun, beside what check-in is told."""
    return [action.kind for action in hands.begun if action.kind != "post_responsibility"]


def needs(case: Case) -> dict[int, str]:
    return {found.line: found.authorization for track in case.tracks.values() for found in track.requirement.lines}


def rule(case: Case) -> str:
    return case.tracks["1-ordering"].requirement.lines[0].rule


# --- the payer is asked first -------------------------------------------------------------------------------------------


def test_the_payer_is_asked_before_anything_is_decided() -> None:
    hands = opened()
    assert begun(hands) == ["ask_requirement"]
    assert not hands.case.tracks
    plan = hands.turn(MONDAY + timedelta(minutes=1))
    assert begun(hands) == []
    assert plan.why == "Vigil is asking Meridian PPO what it covers and needs."


@pytest.mark.parametrize("failure", list(Failure))
def test_a_payer_that_does_not_answer_leaves_our_rules_to_decide(failure: Failure) -> None:
    hands = opened()
    hands.fail("ask_requirement", failure)
    hands.turn(SOON)
    assert rule(hands.case) == "meridian-ct"
    assert begun(hands) == ["submit_request"]
    # It is not asked again when the rest is over: what is decided stays decided.
    hands.turn(MONDAY + timedelta(hours=3))
    assert "ask_requirement" not in begun(hands)


def test_an_answer_without_coverage_information_leaves_our_rules_to_decide() -> None:
    hands = opened()
    hands.end("ask_requirement")
    hands.turn(SOON)
    assert needs(hands.case) == {1: "required"}


def test_a_payer_that_takes_no_questions_is_not_asked() -> None:
    ordered = order()
    silent = tuple(channel.model_copy(update={"crd_url": None}) for channel in cut(ordered).channels)
    policy = cut(ordered).model_copy(update={"channels": silent})
    pinned = said(PolicyPinned, "pinned", MONDAY, payer=policy.payer, policy=policy)
    hands = Hands(with_facts(case_of(ordered), [pinned, covered(), gathered()], MONDAY))
    hands.turn()
    assert begun(hands) == ["submit_request"]


# --- what its word settles ----------------------------------------------------------------------------------------------


def test_a_gold_card_needs_no_authorization_and_the_reason_is_kept() -> None:
    hands = heard(line(authorization="no-auth", reasons=(Reason(code="gold-card"),)))
    assert needs(hands.case) == {1: "not_required"}
    assert rule(hands.case) == "payer/no-auth, gold-card (ASSERT-1)"
    held = hands.case.tracks["1-ordering"]
    assert held.requirement.evidence is not None
    assert hands.case.is_ready
    assert assertion_of(hands.case, held) is None


def test_what_our_rules_leave_out_the_payer_may_require() -> None:
    doppler = order(code="93970", category="venous_doppler", documents=())
    ours = Hands(with_facts(case_of(doppler), [said_pinned(doppler), covered()], MONDAY))
    ours.turn()
    ours.end("ask_requirement")
    ours.turn(SOON)
    assert needs(ours.case) == {1: "not_required"}
    hands = heard(line(authorization="auth-needed"), ordered=doppler)
    assert needs(hands.case) == {1: "required"}
    assert assertion_of(hands.case, hands.case.tracks["1-ordering"]) == "ASSERT-1"


@pytest.mark.parametrize(
    ("word", "ours", "found"),
    [
        (line(authorization="conditional", information=("detail-code",)), "ct", "required"),
        (line(authorization="indeterminate"), "ct", "required"),
        (line(authorization=None), "ct", "required"),
        (line(covered="conditional", authorization="no-auth"), "ct", "required"),
        (line(authorization="zz-new"), "ct", "required"),
        (line(authorization="zz-new"), "venous_doppler", "unknown"),
        (line(authorization=None, covered="zz-new"), "venous_doppler", "not_required"),
        (line(covered="zz-new", authorization="no-auth"), "ct", "required"),
        (line(covered="zz-new", authorization="no-auth"), "venous_doppler", "unknown"),
        (line(covered="not-covered"), "ct", "unknown"),
        (line(covered="not-covered", authorization="no-auth"), "ct", "unknown"),
        (line(authorization="performpa"), "ct", "unknown"),
        (line(authorization="satisfied"), "ct", "unknown"),
        (line(authorization="satisfied", satisfied_by="Q8U119"), "ct", "unknown"),
        (line(authorization="satisfied", satisfied_by="REF-20881734"), "ct", "unknown"),
        (line(authorization="no-auth/auth-needed"), "venous_doppler", "unknown"),
        (line(authorization="no-auth", expires_on=date(2026, 12, 20)), "ct", "required"),
        (line(authorization="no-auth", expires_on=date(2026, 12, 21)), "ct", "not_required"),
    ],
)
def test_what_the_payer_leaves_open_is_for_our_rules_or_a_person(word: LineInformation, ours: str, found: str) -> None:
    ordered = order() if ours == "ct" else order(code="93970", category=ours)
    hands = opened(ordered)
    hands.end("ask_requirement", information(hands, word))
    hands.turn(SOON)
    if of_kind(hands.begun, AskRequirement):
        hands.fail("ask_requirement", Failure.EXHAUSTED)
        hands.turn(SOON)
    assert needs(hands.case) == {1: found}
    assert ("determine_requirement" in work(hands.case)) == (found == "unknown")


def test_whoever_performs_may_have_to_ask() -> None:
    ordered = order().model_copy(update={"facility": None, "rendering": None})
    assert needs(heard(line(authorization="performpa"), ordered=ordered).case) == {1: "required"}
    hands = heard(line(authorization="performpa"))
    opened_task = task(hands.case, "determine_requirement")
    assert any("performpa" in step for step in opened_task.checklist)
    assert opened_task.raw is not None


def test_an_authorization_that_is_there_already_is_confirmed_by_a_person() -> None:
    hands = heard(line(authorization="satisfied", satisfied_by="A204418830"))
    assert needs(hands.case) == {1: "not_required"}
    review = task(hands.case, "review")
    assert "A204418830" in review.title
    assert rule(hands.case) == "payer/satisfied A204418830 (ASSERT-1)"


def test_what_the_payer_says_in_words_never_becomes_a_key_or_a_rule() -> None:
    hands = heard(line(authorization="auth-needed", reasons=(Reason(code="<b>Ann Example</b>"),), assertion="a b"))
    assert rule(hands.case) == "payer/auth-needed, (see its answer) ((see its answer))"


def test_lines_are_judged_one_by_one() -> None:
    ordered = order(lines=2)
    hands = heard(line(1, authorization="auth-needed"), line(2, authorization="no-auth"), ordered=ordered)
    assert needs(hands.case) == {1: "required", 2: "not_required"}
    assert hands.case.tracks["1-ordering"].lines_required == (1,)


# --- again --------------------------------------------------------------------------------------------------------------


def moved(hands: Hands, days: int) -> None:
    visit = Appointment(id="APT-2", starts_at=VISIT + timedelta(days=days))
    fact = said(AppointmentChanged, f"moved-{days}", SOON, appointment=visit)
    hands.keeping.take([fact], SOON)


def test_a_visit_that_outlives_the_word_is_asked_about_again() -> None:
    hands = heard(line(authorization="no-auth", expires_on=date(2026, 12, 31)))
    moved(hands, 5)
    hands.turn(SOON)
    assert "ask_requirement" not in begun(hands)
    moved(hands, 20)
    hands.turn(SOON)
    (asked,) = of_kind(hands.begun, AskRequirement)
    assert asked.hook == "appointment-book"
    assert asked.order.appointment is not None
    assert asked.order.appointment.id == "APT-2"
    assert needs(hands.case) == {1: "not_required"}, "nothing changes while the payer is asked"
    hands.end("ask_requirement", information(hands, line(authorization="no-auth", expires_on=date(2027, 1, 31))))
    hands.turn(SOON)
    assert needs(hands.case) == {1: "not_required"}


def test_a_word_that_has_expired_and_is_not_renewed_leaves_our_rules_to_decide_and_comes_back() -> None:
    hands = heard(line(authorization="no-auth", expires_on=date(2026, 12, 31)))
    moved(hands, 20)
    hands.turn(SOON)
    hands.fail("ask_requirement", Failure.EXHAUSTED)
    hands.turn(SOON)
    assert needs(hands.case) == {1: "required"}
    moved(hands, 1)
    hands.turn(SOON)
    assert needs(hands.case) == {1: "not_required"}
    moved(hands, 21)
    hands.turn(SOON)
    hands.fail("ask_requirement", Failure.REFUSED)
    hands.turn(SOON)
    assert needs(hands.case) == {1: "required"}


def test_a_changed_order_is_asked_about_anew_and_the_old_word_is_forgotten() -> None:
    hands = heard(line(authorization="no-auth"))
    changed = order(code="70450")
    hands.keeping.take([said(OrderChanged, "changed", SOON, order=changed)], SOON)
    hands.turn(SOON)
    hands.keeping.take([said_pinned(changed).model_copy(update={"source_id": "pinned-2"})], SOON)
    hands.turn(SOON)
    assert "ask_requirement" in begun(hands)
    hands.end("ask_requirement")
    hands.turn(SOON)
    assert rule(hands.case) == "meridian-ct-head"


def test_who_performs_is_told_when_the_payer_makes_it_depend_on_that() -> None:
    hands = heard(line(covered="conditional", information=("performer",)))
    (asked,) = of_kind(hands.begun, AskRequirement)
    assert asked.hook == "order-dispatch"
    hands.end("ask_requirement", information(hands, line(authorization="auth-needed")))
    hands.turn(SOON)
    assert rule(hands.case) == "payer/auth-needed (ASSERT-1)"


def test_what_a_person_found_out_stands_until_the_payer_settles_it() -> None:
    hands = heard(line(authorization="performpa", expires_on=date(2026, 12, 31)))
    by_phone = LineRequirement(line=1, authorization="required", rule="payer: Kim CALL-1")
    found = said(RequirementDetermined, "phone", SOON, by="person:ines", track="1-ordering", rank=1,
                 payer="meridian-ppo", lines=(by_phone,))  # fmt: skip
    hands.keeping.take([found], SOON)
    hands.turn(SOON)
    assert rule(hands.case) == "payer: Kim CALL-1"
    moved(hands, 20)
    hands.turn(SOON)
    hands.end("ask_requirement", information(hands, line(authorization="performpa")))
    hands.turn(SOON)
    assert rule(hands.case) == "payer: Kim CALL-1"
    moved(hands, 40)
    hands.turn(SOON)
    assert rule(hands.case) == "payer: Kim CALL-1"


def test_a_word_that_is_taken_back_leaves_our_rules_to_decide() -> None:
    hands = heard(line(authorization="no-auth"))
    word = hands.case.payer_said[0]
    back = said(
        FactRetracted, "back", SOON, by="person:ada", retracted=word.source_id, reason="wrong", signed_by="person:bo"
    )
    hands.keeping.take([back], SOON)
    hands.turn(SOON)
    assert rule(hands.case) == "meridian-ct"


# --- forms --------------------------------------------------------------------------------------------------------------

FORM = "https://payer.example/Questionnaire/ct"


def form_received(hands: Hands, **more: Any) -> QuestionnaireReceived:
    action = of_kind(hands.begun, FetchQuestionnaire)[0]
    return QuestionnaireReceived(
        occurred_at=hands.now,
        by="system:dtr:meridian-ppo",
        source_id=f"{action.key}/form/0",
        track=action.track,
        questionnaire=FORM,
        form=document("questionnaire_package", None, "package"),
        **{"context": "ASSERT-1", "lines": (1,), **more},
    )


def answer_to(form: QuestionnaireReceived, *, complete: bool, name: str = "answer") -> QuestionnaireAnswered:
    return QuestionnaireAnswered(
        occurred_at=SOON,
        by="person:ines",
        source_id=name,
        track=form.track,
        form=form.ref,
        questionnaire=FORM,
        response=response(name),
        context=form.context,
        complete=complete,
    )


def response(name: str) -> DocumentRef:
    return document(RESPONSE, None, f"response {name}")


def wanting() -> Hands:
    return heard(
        line(authorization="auth-needed", documents=("clinical",), questionnaires=(FORM,), purposes=("withpa",))
    )


def test_a_form_is_fetched_filled_in_and_goes_along_with_the_request() -> None:
    hands = wanting()
    assert begun(hands) == ["fetch_questionnaire"]
    fetch = of_kind(hands.begun, FetchQuestionnaire)[0]
    assert (fetch.questionnaire, fetch.context) == (FORM, "ASSERT-1")
    form = form_received(hands)
    hands.end("fetch_questionnaire", form)
    hands.turn(SOON)
    assert begun(hands) == []
    assert work(hands.case) == ["fill_questionnaire"]
    assert form.ref in task(hands.case, "fill_questionnaire").cause
    hands.keeping.take([answer_to(form, complete=False, name="saved")], SOON)
    hands.turn(SOON)
    assert work(hands.case) == ["fill_questionnaire"]
    assert not any(kept.kind == RESPONSE for kept in hands.case.documents.values())
    hands.keeping.take([answer_to(form, complete=True)], SOON)
    hands.turn(SOON)
    assert begun(hands) == ["submit_request"]
    sent = of_kind(hands.begun, SubmitRequest)[0].request.documents
    assert response("answer") in sent
    assert response("saved") not in sent


def test_the_response_stays_with_the_request_that_it_was_sent_with() -> None:
    hands = wanting()
    form = form_received(hands)
    hands.end("fetch_questionnaire", form)
    hands.keeping.take([answer_to(form, complete=True), submitted(SOON)], SOON)
    hands.turn(SOON)
    request = request_of(hands.case, hands.case.tracks["1-ordering"], 1, "pas", SOON)
    assert response("answer") in request.documents


@pytest.mark.parametrize("purposes", [("withclaim",), ("withclaim", "retain-doc")])
def test_what_is_wanted_with_the_claim_only_holds_nothing_up(purposes: tuple[str, ...]) -> None:
    hands = heard(line(authorization="auth-needed", documents=("clinical",), questionnaires=(FORM,), purposes=purposes))
    assert begun(hands) == ["submit_request"]


def test_documentation_without_a_form_at_the_payer_holds_nothing_up() -> None:
    hands = heard(line(authorization="auth-needed", documents=("clinical",)))
    assert begun(hands) == ["fetch_questionnaire"]
    hands.end("fetch_questionnaire")
    hands.turn(SOON)
    assert begun(hands) == ["submit_request"]


@pytest.mark.parametrize("dtr", [True, False])
def test_a_form_that_cannot_be_fetched_is_filled_in_at_the_payers(dtr: bool) -> None:
    hands = heard(
        line(authorization="auth-needed", documents=("clinical",), questionnaires=(FORM,)), dtr=dtr, ordered=order()
    )
    if dtr:
        hands.fail("fetch_questionnaire", Failure.REFUSED)
        hands.turn(SOON)
    wanted = task(hands.case, "fill_questionnaire")
    assert any(FORM in step for step in wanted.checklist)
    hands.keeping.take([done(wanted, SOON, "send_without")], SOON)
    hands.turn(SOON)
    assert begun(hands) == ["submit_request"]


def test_an_adaptive_form_is_answered_at_the_payers() -> None:
    hands = wanting()
    hands.end("fetch_questionnaire", form_received(hands, adaptive=True))
    hands.turn(SOON)
    assert "one question after another" in task(hands.case, "fill_questionnaire").title


def test_an_answer_that_asks_for_a_form_is_answered_with_it() -> None:
    hands = heard(line(authorization="auth-needed"))
    ask = InformationAsk(what=(Reason(code="102089-0"),), line=1, control_number="CTX-1")
    answer = answered("pended", now=SOON, asks=(ask,))
    hands.keeping.take([submitted(SOON), answer], SOON)
    hands.turn(SOON)
    (fetch,) = of_kind(hands.begun, FetchQuestionnaire)
    assert (fetch.context, fetch.questionnaire) == ("CTX-1", None)
    form = form_received(hands, context="CTX-1")
    hands.end("fetch_questionnaire", form)
    hands.turn(SOON)
    assert "fill_questionnaire" in work(hands.case)
    track = hands.case.tracks["1-ordering"]
    asked = track.attempt.answers[-1]
    assert responses_to(hands.case, track, asked) == ()
    hands.keeping.take([answer_to(form, complete=True)], SOON)
    hands.turn(SOON)
    track = hands.case.tracks["1-ordering"]
    assert responses_to(hands.case, track, asked) == (response("answer"),)
    assert responses(hands.case, track) == ()
