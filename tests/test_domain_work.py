"""Human work: every kind of task, done with every form that it takes, moves the case on; what does not is refused."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.case import Case
from domain.decision import NumberType, Outcome
from domain.facts import (
    AnswerNotUnderstood,
    AppointmentChanged,
    CoverageStatus,
    DecisionReceived,
    DocumentsGathered,
    Fact,
    Failure,
    OptionChosen,
    OrderCancelled,
    OrderChanged,
    PolicyMissing,
    RequestRejected,
    TaskCompleted,
    TaskKind,
    TaskReleased,
    UnknownFact,
)
from domain.keeping import Keeping
from domain.order import Order
from domain.plan import settle
from domain.refusal import refuse_all
from domain.results import Form, ResultName, read_result
from domain.track import Task
from domain.work import (
    FORMS,
    OUTCOMES,
    NoSuchTask,
    WrongResult,
    claim,
    complete,
    forms_of,
    outcome,
    release,
    schemas_of,
)
from tests.builders import (
    ALL_DOCUMENTS,
    MONDAY,
    VISIT,
    answered,
    at,
    case_of,
    covered,
    document,
    order,
    pinned,
    said,
    submitted,
    with_facts,
)

SOON = MONDAY + timedelta(minutes=10)
BY = "person:ines"


# --- situations: how a case comes to a task of each kind -----------------------------------------------------------


def known(ordered: Order, *more: Fact) -> Case:
    """A case whose coverage and rules are known, and what followed."""
    case, _ = settle(with_facts(case_of(ordered), [pinned(ordered), covered()], MONDAY), MONDAY)
    return with_facts(case, more, MONDAY)


def failing(case: Case, *kinds: str, failure: Failure = Failure.REFUSED) -> Case:
    """The case after its actions of these kinds failed."""
    keeping = Keeping(case)
    _, settled = settle(case, MONDAY)
    for action in keeping.take_turn(settled, MONDAY):
        if action.kind in kinds:
            keeping.fail(action, failure, "REFUSED", MONDAY)
    return keeping.case


def nothing_found() -> Fact:
    return said(DocumentsGathered, "searched", searched=ALL_DOCUMENTS)


def without_policy() -> Case:
    missing = said(PolicyMissing, "none", payer="meridian-ppo")
    return with_facts(case_of(order()), [missing, covered()], MONDAY)


def by_portal() -> Case:
    return known(order(payer="keystone-sf"))


def sent_by_portal() -> Case:
    case, task, at = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    form = read_result(EXAMPLES["submitted"])
    return with_facts(case, complete(case, task.opened.task, form, by=BY, now=at, source_id="sent"), at)


def denied() -> Case:
    return known(order(), submitted(), answered("denied"))


def pursued() -> Case:
    chosen = said(OptionChosen, "p2p", by=BY, track="1-ordering", attempt=1, option="peer_to_peer", reason="Notes.")
    return with_facts(settle(denied(), MONDAY)[0], [chosen], MONDAY)


def asked_for_more() -> Case:
    asks = ({"what": ({"text": "The operative note"},), "control_number": "CN-1"},)
    return known(order(), submitted(), answered("pended", asks=asks))


def rejected() -> Case:
    errors = ({"code": "42", "text": "Unable to respond"},)
    return known(order(), said(RequestRejected, "no", track="1-ordering", attempt=1, rail="pas", errors=errors))


def garbled(*more: Fact) -> Case:
    what = said(AnswerNotUnderstood, "html", track="1-ordering", attempt=1, rail="pas", why="A web page.")
    if more:
        return known(order(), *more, what)
    keeping = Keeping(known(order()))
    _, settled = settle(keeping.case, MONDAY)
    for action in keeping.take_turn(settled, MONDAY):
        keeping.end(action, [what] if action.kind == "submit_request" else [], MONDAY)
    return keeping.case


def changed() -> Case:
    ordered = order()
    other = ordered.model_copy(update={"diagnoses": ("M54.17",)})
    late = said(OrderChanged, "changed", MONDAY + timedelta(minutes=1), order=other)
    case = known(ordered, submitted(), answered("pended"))
    return with_facts(case, [late, pinned(other).model_copy(update={"source_id": "again"})], late.occurred_at)


def cancelled_at_portal() -> Case:
    return with_facts(sent_by_portal(), [said(OrderCancelled, "off", by=BY, reason="Not wanted.")], SOON)


def visit_moved(status: str) -> Case:
    moved = said(
        AppointmentChanged, f"visit-{status}", appointment={"id": "APT-9", "starts_at": VISIT, "status": status}
    )
    return known(order(), submitted(), answered("approved"), moved)


def lost() -> Case:
    keeping = Keeping(known(order()))
    now = MONDAY
    for _ in range(12):
        _, settled = settle(keeping.case, now)
        for action in keeping.take_turn(settled, now):
            failure = Failure.AMBIGUOUS if action.kind == "submit_request" else Failure.REFUSED
            keeping.fail(action, failure, "LOST", now)
        now += timedelta(minutes=40)
    return keeping.case


SITUATIONS: dict[str, tuple[TaskKind, Callable[[], Case], datetime]] = {
    "insurance unclear": (
        TaskKind.FIX_COVERAGE,
        lambda: with_facts(case_of(order()), [pinned(order()), covered(status=CoverageStatus.NOT_FOUND)], MONDAY),
        SOON,
    ),
    "no rules": (TaskKind.DETERMINE_REQUIREMENT, without_policy, SOON),
    "rules silent": (
        TaskKind.DETERMINE_REQUIREMENT,
        lambda: known(order(code="20610", category="other")),
        SOON,
    ),
    "referral": (
        TaskKind.OBTAIN_REFERRAL,
        lambda: known(order(payer="summit-ma", code="99203", category="consult")),
        SOON,
    ),
    "documents missing": (
        TaskKind.GATHER_DOCUMENTS,
        lambda: known(order(documents=()), nothing_found()),
        SOON,
    ),
    "portal": (TaskKind.SUBMIT_REQUEST, by_portal, SOON),
    "no rules, phone": (
        TaskKind.SUBMIT_REQUEST,
        lambda: with_facts(
            without_policy(),
            outcome(
                without_policy(), read_result(EXAMPLES["requirement_determined"]), by=BY, now=MONDAY, source_id="r"
            ),
            MONDAY,
        ),
        SOON,
    ),
    "rejected": (TaskKind.CORRECT_REQUEST, rejected, SOON),
    "refused": (TaskKind.CORRECT_REQUEST, lambda: failing(known(order()), "submit_request"), SOON),
    "answer lost": (TaskKind.FIND_REQUEST, lost, MONDAY + timedelta(hours=9)),
    "portal follow-up": (TaskKind.CHECK_STATUS, sent_by_portal, MONDAY + timedelta(days=5)),
    "unknown code": (
        TaskKind.READ_ANSWER,
        lambda: known(order(), submitted(), answered("unknown")),
        SOON,
    ),
    "contact the payer": (
        TaskKind.READ_ANSWER,
        lambda: known(order(), submitted(), answered("contact_payer")),
        SOON,
    ),
    "nonsense before receipt": (TaskKind.READ_ANSWER, garbled, SOON),
    "nonsense after receipt": (TaskKind.READ_ANSWER, lambda: garbled(submitted(), answered("pended")), SOON),
    "more information": (TaskKind.SEND_INFORMATION, asked_for_more, SOON),
    "denied": (TaskKind.CHOOSE_AFTER_DENIAL, denied, SOON),
    "denied, option chosen": (TaskKind.REVIEW, pursued, SOON),
    "partly": (
        TaskKind.COMPARE_APPROVAL,
        lambda: known(order(), submitted(), answered("partly_approved")),
        SOON,
    ),
    "patient not messaged": (
        TaskKind.TELL_PATIENT,
        lambda: failing(known(order(), submitted(), answered("approved")), "notify_patient"),
        SOON,
    ),
    "provider not told": (TaskKind.TELL_PROVIDER, lambda: failing(denied(), "notify_provider"), SOON),
    "chart refused": (
        TaskKind.DOCUMENT_IN_CHART,
        lambda: failing(known(order(), submitted(), answered("approved")), "document_in_chart"),
        SOON,
    ),
    "amount refused": (
        TaskKind.COLLECT_RESPONSIBILITY,
        lambda: failing(known(order(), submitted(), answered("approved")), "post_responsibility"),
        SOON,
    ),
    "visit at risk": (TaskKind.VISIT_AT_RISK, denied, SOON),
    "deadline passed": (
        TaskKind.ESCALATION,
        lambda: known(order(), submitted(), answered("pended")),
        MONDAY + timedelta(days=16),
    ),
    "strange fact": (
        TaskKind.REVIEW,
        lambda: known(order(), UnknownFact(kind="moon_phase", occurred_at=MONDAY, by="system:test", source_id="moon")),
        SOON,
    ),
    "order changed": (TaskKind.REVIEW, changed, SOON),
    "visit missed": (TaskKind.REVIEW, lambda: visit_moved("no_show"), SOON),
    "cancelled": (TaskKind.REVIEW, cancelled_at_portal, MONDAY + timedelta(minutes=20)),
}

EXAMPLES: dict[str, dict[str, Any]] = {
    "channel_trouble": {"state": "down", "rail": "portal"},
    "update": {"reason": "The diagnosis changed."},
    "coverage_confirmed": {"benefits": {"copay_cents": 2500}, "reference": "CALL-1"},
    "requirement_determined": {"lines": [{"line": 1, "authorization": "required"}], "representative": "Dana"},
    "referral_obtained": {"number": "RF-100", "valid_from": "2026-12-01", "valid_to": "2027-03-01"},
    "documents_attached": {
        "documents": [
            document(k).model_dump(mode="json") for k in ("office_note", "imaging_report", "conservative_therapy")
        ]
    },
    "send_without": {"reason": "The note is from another practice; the payer agreed."},
    "submitted": {"receipt": {"kind": "reference_number", "reference": "KREF208817"}, "representative": "Dana"},
    "decided": {
        "lines": [{"line": 1, "decision": "approved", "number": "A204418830", "valid_to": "2027-02-01", "units": 1}],
        "reference": "CALL-2",
    },
    "still_pending": {"reference": "CALL-3"},
    "information_asked": {"what": ["The operative note"], "reference": "CALL-4"},
    "not_there": {"representative": "Dana"},
    "resend": {"reason": "The member number is corrected."},
    "information_sent": {"receipt": {"kind": "fax_report", "reference": "FAX-1"}},
    "option_chosen": {"option": "accept", "reason": "The provider agrees."},
    "told": {"channel": "call", "reference": "Spoke with the patient at 10:05"},
    "filed": {"reference": "Chart note 17"},
    "responsibility_entered": {"total_cents": 4000, "reference": "Screen 3"},
    "visit": {"appointment": "APT-10", "starts_at": (VISIT + timedelta(days=30)).isoformat()},
    "withdrawn": {"reference": "CALL-5"},
    "time_extended": {"until": (MONDAY + timedelta(days=29)).isoformat(), "reference": "LETTER-1"},
    "acknowledged": {"note": "Seen, and the payer was called."},
}
for _name, _example in EXAMPLES.items():
    _example["result"] = _name


def desk(case: Case, kind: TaskKind, now: datetime = SOON) -> tuple[Case, Task, datetime]:
    """The settled case with an open task of a kind."""
    case, _ = at(case, now)
    found = [task for task in case.open_tasks if task.opened.task_kind is kind]
    assert found, f"no {kind}; open: {[task.opened.task for task in case.open_tasks]}"
    return case, found[0], now


def circles() -> list[Any]:
    return [
        pytest.param(name, form)
        for name, (kind, make, now) in SITUATIONS.items()
        for form in forms_of(desk(make(), kind, now)[1].opened)
    ]


# --- the law ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "result"), circles())
def test_done_work_is_not_wanted_again_at_once(name: str, result: ResultName) -> None:
    kind, make, now = SITUATIONS[name]
    case, task, _ = desk(make(), kind, now)
    form = read_result(EXAMPLES[result])
    leaves_it = {
        (case, form) for case in ("unknown code", "contact the payer") for form in ("submitted", "acknowledged")
    }
    if (name, result) in leaves_it:
        with pytest.raises(WrongResult, match="same work"):
            complete(case, task.opened.task, form, by=BY, now=now, source_id="done")
        return
    facts = complete(case, task.opened.task, form, by=BY, now=now, source_id="done")

    held, _ = settle(with_facts(case, [claim(case, task.opened.task, by=BY, now=now, source_id="c")], now), now)
    assert refuse_all(held, facts, now) is None
    if result == "channel_trouble":  # it finishes no work: the task is given back
        assert isinstance(facts[-1], TaskReleased)
        return
    after, settled = settle(with_facts(case, facts, now), now)
    assert isinstance(facts[-1], TaskCompleted)
    assert not after.tasks[task.opened.task].is_open
    again = [t.opened.task for t in after.open_tasks if t.opened.task.startswith(f"{task.opened.task}~")]
    assert again == []
    assert after.closed is not None or settled.plan.wake_at is not None


@pytest.mark.parametrize("kind", list(TaskKind))
def test_every_kind_of_task_takes_a_form(kind: TaskKind) -> None:
    assert FORMS[kind]


def test_every_kind_but_the_operators_is_shown_here() -> None:
    assert {kind for kind, _, _ in SITUATIONS.values()} == set(TaskKind) - {
        TaskKind.OPERATOR,
        TaskKind.FILL_QUESTIONNAIRE,  # shown with the payer's own rules
    }


def test_every_form_can_be_drawn_and_is_taken_somewhere() -> None:
    taken = {param.values[1] for param in circles()}
    assert taken == set(ResultName) - {ResultName.QUESTIONNAIRE_FILLED}
    _, task, _ = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    schemas = schemas_of(task.opened)
    assert [schema.name for schema in schemas] == ["submitted", "decided", "channel_trouble"]
    assert "receipt" in schemas[0].form["properties"]


# --- what is established -----------------------------------------------------------------------------------------------


def test_the_facts_of_one_form_are_numbered_with_the_completion_last() -> None:
    case, task, at = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    decided = read_result(
        {**EXAMPLES["decided"], "lines": [{"line": 1, "decision": "approved", "number": "K4418830-01"}]}
    )
    facts = complete(case, task.opened.task, decided, by=BY, now=at, source_id="done")
    assert [fact.kind for fact in facts] == ["request_submitted", "decision_received", "task_completed"]
    assert [fact.source_id for fact in facts] == ["done#0", "done#1", "done#2"]
    assert all(fact.by == BY for fact in facts)
    assert with_facts(case, facts, at).is_ready


def test_a_denial_upheld_after_a_peer_to_peer_asks_for_a_choice_anew() -> None:
    case, task, at = desk(pursued(), TaskKind.REVIEW)
    upheld = {"line": 1, "decision": "denied", "reasons": [{"text": "Upheld"}]}
    form = read_result({**EXAMPLES["decided"], "lines": [upheld]})
    facts = complete(case, task.opened.task, form, by=BY, now=at, source_id="upheld")
    after, _ = settle(with_facts(case, facts, at), at)
    assert TaskKind.CHOOSE_AFTER_DENIAL in {t.opened.task_kind for t in after.open_tasks}


def test_a_pending_reference_entered_as_an_approval_is_refused() -> None:
    case, task, at = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    case = with_facts(case, [claim(case, task.opened.task, by=BY, now=at, source_id="c")], at)
    form = read_result({**EXAMPLES["decided"], "lines": [{"line": 1, "decision": "approved", "number": "KREF208817"}]})
    refusal = refuse_all(case, complete(case, task.opened.task, form, by=BY, now=at, source_id="done"), at)
    assert refusal is not None
    assert refusal.code == "number_is_pending"


def test_a_letter_starts_its_clocks_when_it_was_written() -> None:
    case = known(order(), submitted(), answered("pended"))
    written = MONDAY - timedelta(days=2)
    form = read_result(
        {
            "result": "decided",
            "via": "letter",
            "reference": "L-1",
            "occurred_at": written.isoformat(),
            "lines": [{"line": 1, "decision": "denied", "reasons": [{"code": "0F", "text": "Not shown necessary"}]}],
        }
    )
    (fact,) = outcome(case, form, by=BY, now=MONDAY, source_id="letter")
    assert isinstance(fact, DecisionReceived)
    assert (fact.via, fact.occurred_at, fact.rail) == ("letter", written, "pas")
    assert fact.decision.lines[0].decision is Outcome.DENIED


def test_an_approval_by_voice_is_provisional() -> None:
    case = known(order(), submitted(), answered("pended"))
    line = {"line": 1, "decision": "approved", "number": "V-1", "number_type": "provisional"}
    (fact,) = outcome(
        case,
        read_result({"result": "decided", "representative": "Dana", "lines": [line]}),
        by=BY,
        now=MONDAY,
        source_id="v",
    )
    assert isinstance(fact, DecisionReceived)
    assert fact.decision.all_numbers[0].type is NumberType.PROVISIONAL


# --- what is not taken -------------------------------------------------------------------------------------------------


def refused(case: Case, task: str, form: Form, now: datetime = SOON) -> WrongResult:
    with pytest.raises(WrongResult) as raised:
        complete(case, task, form, by=BY, now=now, source_id="x")
    return raised.value


def test_a_form_of_another_task_is_not_taken() -> None:
    case, task, _ = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    wrong = refused(case, task.opened.task, read_result(EXAMPLES["told"]))
    assert wrong.fields == ("result",)
    assert "submitted" in wrong.sentence


def test_documents_that_do_not_serve_leave_the_task_open() -> None:
    case, task, _ = desk(known(order(documents=()), nothing_found()), TaskKind.GATHER_DOCUMENTS)
    form = read_result({"result": "documents_attached", "documents": [document("office_note").model_dump(mode="json")]})
    assert "imaging report" in refused(case, task.opened.task, form).sentence


def test_an_option_that_the_payer_does_not_offer_is_not_taken() -> None:
    case, task, _ = desk(known(order(payer="summit-ma"), submitted(), answered("denied")), TaskKind.CHOOSE_AFTER_DENIAL)
    form = read_result({"result": "option_chosen", "option": "peer_to_peer", "reason": "Let us talk."})
    assert refused(case, task.opened.task, form).fields == ("option",)


def test_a_line_that_was_not_asked_for_is_not_decided() -> None:
    case, task, _ = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    lines = [{"line": 7, "decision": "approved", "number": "K4418830-01"}]
    assert refused(case, task.opened.task, read_result({**EXAMPLES["decided"], "lines": lines})).fields == ("lines",)


def test_every_line_must_be_answered_for() -> None:
    case, task, _ = desk(known(order(code="20610", category="other", lines=2)), TaskKind.DETERMINE_REQUIREMENT)
    assert "line 2" in refused(case, task.opened.task, read_result(EXAMPLES["requirement_determined"])).sentence


def test_the_future_is_not_taken() -> None:
    case, task, at = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    form = read_result({**EXAMPLES["submitted"], "occurred_at": (at + timedelta(hours=1)).isoformat()})
    assert refused(case, task.opened.task, form).fields == ("occurred_at",)


def test_an_unknown_task_is_said_to_be_unknown() -> None:
    with pytest.raises(NoSuchTask):
        claim(by_portal(), "submit_request/none/1", by=BY, now=SOON, source_id="c")
    with pytest.raises(NoSuchTask):
        release(by_portal(), "submit_request/none/1", by=BY, now=SOON, source_id="c")


def test_an_outcome_needs_a_track_that_is_there() -> None:
    form = read_result(EXAMPLES["decided"])
    with pytest.raises(WrongResult, match="none yet"):
        outcome(case_of(order()), form, by=BY, now=SOON, source_id="x")
    with pytest.raises(WrongResult, match="1-ordering"):
        outcome(known(order()), form, by=BY, now=SOON, source_id="x", track="2-facility")
    assert ResultName.TOLD not in OUTCOMES
    with pytest.raises(WrongResult, match="belongs to a task"):
        outcome(known(order()), read_result(EXAMPLES["told"]), by=BY, now=SOON, source_id="x")


@pytest.mark.parametrize(
    "form",
    [
        {"result": "decided", "lines": [{"line": 1, "decision": "approved", "number": "A204418830"}]},
        {"result": "decided", "reference": "C", "lines": [{"line": 1, "decision": "approved"}]},
        {"result": "decided", "reference": "C", "lines": [{"line": 1, "decision": "denied"}]},
        {"result": "decided", "reference": "C", "lines": [{"line": 1, "decision": "unknown"}]},
        {"result": "coverage_confirmed", "reference": "C", "status": "inactive"},
        {"result": "responsibility_entered", "reference": "C"},
        {"result": "submitted"},
        {"result": "approved"},
    ],
)
def test_a_form_without_what_it_rests_on_is_no_form(form: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_result(form)


def test_a_claim_lasts_as_long_as_the_payers_rule_says() -> None:
    case, task, at = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    fact = claim(case, task.opened.task, by=BY, now=at, source_id="c")
    assert fact.until == at + timedelta(minutes=45)


def test_a_supervisor_takes_a_task_back_and_nobody_else_does() -> None:
    case, task, at = desk(by_portal(), TaskKind.SUBMIT_REQUEST)
    key = task.opened.task
    case = with_facts(case, [claim(case, key, by=BY, now=at, source_id="c")], at)
    others = release(case, key, by="person:otto", now=at, source_id="r1")
    refused_ = refuse_all(case, [others], at)
    assert refused_ is not None
    assert refused_.code == "not_holder"
    taken = release(case, key, by="person:maud", now=at, source_id="r2", supervisor=True)
    assert (taken.by, taken.taken_back) == ("person:maud", True)
    assert refuse_all(case, [taken], at) is None
    after = with_facts(case, [taken], at)
    assert after.tasks[key].holder(at) is None
    # What nobody holds, or the supervisor alone does, is not taken back from anybody.
    assert release(after, key, by="person:maud", now=at, source_id="r3", supervisor=True).taken_back is False
    late = refuse_all(after, [taken.model_copy(update={"source_id": "r4"})], at)
    assert late is not None
    assert late.code == "not_holder"
    assert release(case, key, by=BY, now=at, source_id="r5", supervisor=True).taken_back is False
