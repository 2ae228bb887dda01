"""People's ways to a payer: the packet and what to type come with the task, proof by the way it went, and trouble as a state."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.actions import AskAccess, PreparePacket
from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import (
    HEARD,
    ActionBegun,
    ActionEnded,
    ChannelReported,
    Failure,
    PacketPrepared,
    RequestSubmitted,
    TaskCompleted,
    TaskKind,
    TaskOpened,
    TaskReleased,
)
from domain.plan import Plan, plan
from domain.policy import PolicySlice
from domain.policy_rules import Channel, Rail
from domain.portal import PATHS, PortalField, what_to_type
from domain.refusal import refuse_all
from domain.request import Request
from domain.results import read_result
from domain.rules.access import RESTORE, access, no_way_in, troubled
from domain.rules.asking import Person
from domain.rules.packet import by_hand, packet_cause, packet_of
from domain.work import WrongResult, claim, complete, forms_of, outcome
from tests.builders import CASE_ID, MONDAY, Hands, at, document, known, of_kind, order, said, submitted, with_facts
from tests.paper_desk import slice_by

BY = "person:ines"
TRACK = "1-ordering"
FIELDS = tuple(
    PortalField.model_validate({"screen": screen, "field": field, "from": source})
    for screen, field, source in (
        ("Member", "Member ID", "member_id"),
        ("Member", "Date of birth", "patient.birth_date"),
        ("Member", "Group", "group_number"),
        ("Services", "CPT", "lines.code"),
        ("Services", "Units", "lines.units"),
        ("Services", "Diagnosis", "diagnoses.principal"),
    )
)


def keystone(urgency: str = "routine", **what: Any) -> Case:
    return known(order(payer="keystone-sf", code="95910", category="emg", urgency=urgency, **what))


def policy_of(case: Case) -> PolicySlice:
    return case.policies["keystone-sf"]


def with_fields(case: Case) -> PolicySlice:
    portal, *rest = policy_of(case).channels
    changed = portal.model_copy(update={"portal_fields": FIELDS})
    return policy_of(case).model_copy(update={"channels": (changed, *rest)})


def request(case: Case, rail: str = "portal", **changes: Any) -> Request:
    values = {
        "payer": "keystone-sf",
        "rail": rail,
        "track": TRACK,
        "attempt": 1,
        "trace": f"{CASE_ID}-{TRACK}-1",
        "made_at": MONDAY,
        "order": case.order,
        "rank": 1,
        "lines": tuple(line.number for line in case.order.lines),
    }
    return Request(**{**values, **changes})


def hand(case: Case, policy: PolicySlice | None, asked: Request, **more: Any) -> Plan:
    """The plan where a person has to ask, and nothing else is wanted."""
    return plan(case, MONDAY, [lambda c, now: by_hand(c, now, asked, policy, **more)])


def opened(found: Plan) -> TaskOpened:
    (task,) = of_kind(found.conclusions, TaskOpened)
    return task


def reported(
    state: str, rail: str = "portal", n: int = 1, track: str | None = TRACK, payer: str = "keystone-sf"
) -> ChannelReported:
    fact = said(ChannelReported, f"report-{rail}-{state}-{n}", by=BY, payer=payer, rail=rail, state=state, track=track)
    assert isinstance(fact, ChannelReported)
    return fact


def prepared(case: Case, asked: Request, trial: int = 1) -> Case:
    """The case whose packet of a request is made."""
    fact = said(
        PacketPrepared,
        f"{packet_cause(asked)}/{trial}:packet",
        track=TRACK,
        attempt=1,
        packet=document("packet").model_copy(update={"media_type": "application/pdf"}),
        pages=4,
    )
    return with_facts(case, [fact], MONDAY)


def lone_tasks(case: Case, rule: Any) -> list[Person]:
    return [ask for ask in rule(case, MONDAY) if isinstance(ask, Person)]


# --- the packet ----------------------------------------------------------------------------------------------------------


def test_the_packet_is_prepared_before_the_task_and_the_task_shows_it() -> None:
    case = keystone()
    asked = request(case)
    first = hand(case, policy_of(case), asked)
    assert [action.kind for action in first.actions] == ["prepare_packet"]
    assert (first.turn, first.stage) == (Turn.VIGIL, Stage.SUBMISSION)
    assert not of_kind(first.conclusions, TaskOpened)
    done = prepared(case, asked)
    second = hand(done, policy_of(case), asked)
    task = opened(second)
    assert second.actions == ()
    assert (task.task_kind, task.rail, task.raw) == (TaskKind.SUBMIT_REQUEST, "portal", packet_of(done, asked).packet)  # type: ignore[union-attr]
    assert "Open the packet (4 pages)" in task.checklist[0]
    assert asked.trace in " ".join(task.checklist)
    assert "in the portal Keystone Benefits Portal" in task.title


def test_a_changed_request_gets_another_packet_and_another_task() -> None:
    case = keystone()
    asked = request(case)
    done = prepared(case, asked)
    other = request(case, documents=(document("office_note"),))
    found = hand(done, policy_of(case), other)
    assert [action.key for action in found.actions] == [f"{packet_cause(other)}/1"]
    assert packet_of(done, other) is None
    both = prepared(done, other)
    keys = {opened(hand(both, policy_of(case), each)).task for each in (asked, other)}
    assert len(keys) == 2
    assert packet_cause(asked) == packet_cause(request(case, made_at=MONDAY + timedelta(days=1)))


@pytest.mark.parametrize("failure", [Failure.REFUSED, Failure.EXHAUSTED])
def test_a_packet_that_cannot_be_made_delays_nobody(failure: Failure) -> None:
    asked = request(keystone())
    case = begun_and_failed(keystone(), asked, failure)
    task = opened(hand(case, policy_of(case), asked))
    assert task.raw is None
    assert "Open the packet" not in " ".join(task.checklist)
    if failure is Failure.REFUSED:
        assert "could not be prepared" in task.checklist[0]


def begun_and_failed(case: Case, asked: Request, failure: Failure) -> Case:
    key = f"{packet_cause(asked)}/1"
    begun = said(ActionBegun, f"begun/{key}", by="vigil", action=key, action_kind="prepare_packet")
    ended = said(ActionEnded, f"ended/{key}", by="vigil", action=key, failure=failure, error="TEST")
    return with_facts(case, [begun, ended], MONDAY)


def test_without_rules_there_is_only_the_task_and_steps_of_others_come_first() -> None:
    case = keystone()
    found = hand(case, None, request(case, "phone"), first=("The payer has it already.",))
    assert found.actions == ()
    task = opened(found)
    assert "by phone" in task.title
    assert task.checklist[0] == "The payer has it already."
    assert any("who said it" in step for step in task.checklist)


def test_what_to_type_where_stands_in_the_checklist() -> None:
    case = keystone(lines=2)
    asked = request(case)
    task = opened(hand(prepared(case, asked), with_fields(case), asked))
    member = case.order.primary.member_id
    assert f"Member: Member ID = {member}; Date of birth = 1961-04-17" in task.checklist
    assert (
        "Services: Diagnosis = M54.16; line 1: CPT = 95910, Units = 1; line 2: CPT = 95910, Units = 2" in task.checklist
    )
    assert not any("Group" in step for step in task.checklist)  # the order does not know it


def test_a_long_screen_becomes_several_steps_and_loses_nothing() -> None:
    case = keystone(lines=25)
    steps = list(what_to_type(FIELDS[3:5], request(case)))
    assert len(steps) > 1
    assert all(len(step) <= 500 for step in steps)
    assert all(f"line {n}: CPT" in " ".join(steps) for n in range(1, 26))


def test_every_word_can_be_typed_and_a_wrong_one_is_refused_with_the_list() -> None:
    fields = [PortalField.model_validate({"screen": "S", "field": word, "from": word}) for word in sorted(PATHS)]
    (*steps,) = what_to_type(fields, request(keystone()))
    assert "member_id = " in " ".join(steps)
    with pytest.raises(ValidationError, match="none of our words"):
        PortalField.model_validate({"screen": "S", "field": "F", "from": "patient.secret"})


def test_a_channels_carrier_must_be_named_where_vigil_sends() -> None:
    fax = next(channel for channel in policy_of(keystone()).channels if channel.rail is Rail.FAX)
    by_hand_ = fax.model_dump(by_alias=True)
    assert not Channel.model_validate(by_hand_).is_automatic
    with pytest.raises(ValidationError, match="needs via"):
        Channel.model_validate({**by_hand_, "base_url": "https://fax.example"})
    assert slice_by(Rail.DIRECT, "intake@direct.payer.example").channels[0].is_automatic
    with pytest.raises(ValidationError, match="needs via, base_url, sender, receiver"):
        Channel.model_validate({**by_hand_, "rail": "direct"})


# --- proof ---------------------------------------------------------------------------------------------------------------


def at_task(case: Case, rail: str) -> tuple[Case, str]:
    """A case with the open task of asking by a rail."""
    task = said(
        TaskOpened,
        "task-opened",
        by="vigil",
        track=TRACK,
        task=f"submit_request/{TRACK}/1/{rail}",
        task_kind=TaskKind.SUBMIT_REQUEST,
        turn=Turn.STAFF,
        title="Ask.",
        due=MONDAY + timedelta(days=1),
        rule="test",
        attempt=1,
        rail=rail,
    )
    return with_facts(case, [task], MONDAY), f"submit_request/{TRACK}/1/{rail}"


SHOT = document("screenshot", content="picture").model_dump(mode="json")


@pytest.mark.parametrize(
    ("rail", "form", "lacks"),
    [
        ("portal", {"receipt": {"kind": "reference_number", "reference": "K-1"}}, None),
        ("portal", {"receipt": {"kind": "screenshot", "reference": "shot"}, "evidence": [SHOT]}, None),
        ("portal", {"receipt": {"kind": "screenshot", "reference": "shot", "evidence": SHOT}}, None),
        ("portal", {"receipt": {"kind": "screenshot", "reference": "shot"}}, "Attach the screenshot"),
        ("portal", {"receipt": {"kind": "fax_report", "reference": "F-1"}}, "reference number or a screenshot"),
        ("fax", {"receipt": {"kind": "fax_report", "reference": "4 pages, 10:02"}}, None),
        ("fax", {"receipt": {"kind": "reference_number", "reference": "K-1"}}, "by its report"),
        ("phone", {"receipt": {"kind": "reference_number", "reference": "C-1"}, "representative": "Dana"}, None),
        ("phone", {"receipt": {"kind": "reference_number", "reference": "C-1"}}, "representative's name"),
        ("phone", {"receipt": {"kind": "screenshot", "reference": "C-1"}, "representative": "Dana"}, "reference"),
        ("phone", {"rail": "fax", "receipt": {"kind": "fax_report", "reference": "F-1"}}, None),
        ("portal", {"rail": "phone", "receipt": {"kind": "reference_number", "reference": "C-1"}}, "representative"),
    ],
)
def test_a_submission_is_proven_by_the_way_it_went(rail: str, form: dict[str, Any], lacks: str | None) -> None:
    case, task = at_task(keystone(), rail)
    read = read_result({"result": "submitted", **form})
    if lacks is not None:
        with pytest.raises(WrongResult, match=lacks) as wrong:
            complete(case, task, read, by=BY, now=MONDAY, source_id="done")
        assert wrong.value.fields == ("receipt",)
        return
    sent, done = complete(case, task, read, by=BY, now=MONDAY, source_id="done")
    assert isinstance(sent, RequestSubmitted)
    assert isinstance(done, TaskCompleted)
    assert (sent.by, sent.occurred_at) == (BY, MONDAY)
    if "representative" in form:
        assert sent.receipt.reference == "C-1; said by Dana"
    if form.get("evidence"):
        assert sent.receipt.evidence is not None


def test_what_was_only_heard_without_a_task_needs_the_way_to_be_proven_so() -> None:
    case = keystone()
    form = {"result": "submitted", "receipt": {"kind": "reference_number", "reference": "K-1"}}
    with pytest.raises(WrongResult, match="by its report"):
        outcome(case, read_result({**form, "rail": "fax"}), by=BY, now=MONDAY, source_id="o")
    (heard,) = outcome(case, read_result(form), by=BY, now=MONDAY, source_id="o")
    assert isinstance(heard, RequestSubmitted)


# --- trouble -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("credentials", "does not take our user name and password"),
        ("second_factor", "second factor"),
        ("down", "it is down"),
    ],
)
def test_the_case_says_that_it_is_not_let_in_and_a_supervisor_restores_it(state: str, why: str) -> None:
    case = with_facts(keystone(), [reported(state)], MONDAY)
    (task,) = lone_tasks(case, access)
    assert "the portal of Keystone Employee Health Plan does not let us in" in task.title
    assert why in task.title
    assert task.title.startswith("For the supervisor")
    found = plan(case, MONDAY, [access])
    assert (found.why, found.turn) == (task.title, Turn.STAFF)
    assert forms_of(opened(found)) == ("channel_trouble",)


def asked_by(case: Case) -> list[str | None]:
    """By which ways people are asked to submit, once the packets are there."""
    hands = Hands(case)
    for _ in range(2):
        hands.turn()
        for action in hands.begun:
            facts = [packet_for(action)] if isinstance(action, PreparePacket) else []
            hands.keeping.end(action, facts, MONDAY)
    hands.turn()
    return [t.opened.rail for t in hands.case.open_tasks if t.opened.task_kind is TaskKind.SUBMIT_REQUEST]


def packet_for(action: PreparePacket) -> PacketPrepared:
    return PacketPrepared(
        occurred_at=MONDAY,
        by="system:packet",
        source_id=f"{action.key}:packet",
        track=action.track,
        attempt=action.request.attempt,
        packet=document("packet"),
        pages=4,
    )


def test_a_routine_case_waits_for_the_access_and_an_urgent_one_goes_the_next_way() -> None:
    assert asked_by(keystone()) == ["portal"]
    assert asked_by(with_facts(keystone(), [reported("credentials")], MONDAY)) == []
    assert asked_by(with_facts(keystone("urgent"), [reported("credentials")], MONDAY)) == ["fax"]
    assert asked_by(with_facts(keystone(), [reported("down", "fax")], MONDAY)) == ["portal"]
    assert asked_by(with_facts(keystone(), [reported("down"), reported("working")], MONDAY)) == ["portal"]


def test_what_was_reported_last_holds_and_working_ends_it() -> None:
    case = with_facts(keystone(), [reported("credentials")], MONDAY)
    first = troubled(case, "keystone-sf", "portal")
    assert first is not None
    again = with_facts(case, [reported("credentials", n=2)], MONDAY)
    assert troubled(again, "keystone-sf", "portal") == first  # the same trouble: the same task goes on
    other = with_facts(again, [reported("second_factor")], MONDAY)
    assert "second factor" in no_way_in(policy_of(other), troubled(other, "keystone-sf", "portal"))  # type: ignore[arg-type]
    assert troubled(other, "keystone-sf", "fax") is None
    works = with_facts(other, [reported("working")], MONDAY)
    assert troubled(works, "keystone-sf", "portal") is None
    assert lone_tasks(works, access) == []


def test_trouble_with_a_payer_that_is_not_asked_is_nobodys_work() -> None:
    case = with_facts(keystone(), [reported("down", payer="another-payer", track=None)], MONDAY)
    assert lone_tasks(case, access) == []


def test_trouble_handed_in_gives_the_task_back_and_is_the_cases_state() -> None:
    case, task = at_task(keystone(), "portal")
    held = with_facts(case, [claim(case, task, by=BY, now=MONDAY, source_id="c")], MONDAY)
    form = read_result({"result": "channel_trouble", "state": "second_factor"})
    facts = complete(held, task, form, by=BY, now=MONDAY, source_id="t")
    report, back = facts
    assert isinstance(report, ChannelReported)
    assert isinstance(back, TaskReleased)
    assert (report.payer, report.rail, report.state, report.by) == ("keystone-sf", "portal", "second_factor", BY)
    assert refuse_all(held, facts, MONDAY) is None
    after = with_facts(held, facts, MONDAY)
    assert after.tasks[task].is_open
    assert after.tasks[task].holder(MONDAY) is None
    assert troubled(after, "keystone-sf", "portal") is not None
    with pytest.raises(WrongResult, match="known to be already"):
        complete(after, task, form, by=BY, now=MONDAY, source_id="t2")


def test_the_supervisors_word_that_it_works_ends_the_task() -> None:
    case, _ = at(with_facts(keystone(), [reported("credentials")], MONDAY), MONDAY)
    task = next(t.opened.task for t in case.open_tasks if t.opened.task.startswith(f"{RESTORE}/"))
    held = with_facts(case, [claim(case, task, by=BY, now=MONDAY, source_id="c")], MONDAY)
    still = read_result({"result": "channel_trouble", "state": "credentials"})
    with pytest.raises(WrongResult, match="known to be already"):
        complete(held, task, still, by=BY, now=MONDAY, source_id="s")
    works = read_result({"result": "channel_trouble", "state": "working"})
    facts = complete(held, task, works, by=BY, now=MONDAY, source_id="w")
    assert isinstance(facts[-1], TaskCompleted)
    after, _ = at(with_facts(held, facts, MONDAY), MONDAY)
    assert not [t for t in after.open_tasks if t.opened.task.startswith(RESTORE)]


def test_trouble_may_be_said_without_a_task_and_never_of_what_works() -> None:
    case = keystone()
    down = read_result({"result": "channel_trouble", "state": "down", "rail": "portal"})
    (report,) = outcome(case, down, by=BY, now=MONDAY, source_id="o")
    assert isinstance(report, ChannelReported)
    works = read_result({"result": "channel_trouble", "state": "working", "rail": "portal"})
    with pytest.raises(WrongResult, match="known to be already"):
        outcome(case, works, by=BY, now=MONDAY, source_id="o")


# --- heard of from another case --------------------------------------------------------------------------------------------


def heard(state: str, source: str, at_: datetime = MONDAY) -> ChannelReported:
    fact = said(
        ChannelReported, source, now=at_, by=HEARD, payer="keystone-sf", rail="portal", state=state, track=TRACK
    )
    assert isinstance(fact, ChannelReported)
    return fact


def test_a_case_that_heard_of_it_waits_without_a_task_and_asks_until_it_is_mended() -> None:
    hands = Hands(with_facts(keystone(), [heard("credentials", "h")], MONDAY))
    planned = hands.turn()
    assert not hands.case.open_tasks
    assert "A supervisor restores it" in planned.why
    assert any(clock.key.startswith("access/portal/") for clock in planned.clocks)
    assert planned.wake_at is not None
    assert MONDAY < planned.wake_at <= MONDAY + timedelta(minutes=5)
    asked = of_kind(hands.turn(planned.wake_at).actions, AskAccess)
    assert [(a.payer_id, a.rail, a.known, a.since) for a in asked] == [("keystone-sf", "portal", "credentials", MONDAY)]
    now = hands.now
    for _ in range(3):  # nothing has changed
        for action in hands.begun:
            hands.keeping.end(action, [], now)
        now = hands.turn(now).wake_at or now
        hands.turn(now)
    assert len([cause for cause in hands.case.actions if cause.startswith("ask_access/")]) >= 3
    (asking,) = of_kind(hands.begun, AskAccess)
    hands.keeping.end(asking, [heard("working", "mended", now)], now)
    hands.turn(now)
    assert asked_by(hands.case) == ["portal"]


def test_what_nobody_mends_in_time_becomes_the_cases_own_task() -> None:
    case = with_facts(keystone(), [heard("credentials", "h")], MONDAY)
    due = next(clock.due for clock in plan(case, MONDAY, [access]).clocks if clock.key.startswith("access/"))
    assert lone_tasks(case, access) == []
    (late,) = [ask for ask in access(case, due) if isinstance(ask, Person)]
    assert late.title.startswith("For the supervisor")


def test_what_is_heard_late_does_not_outdo_what_was_said_here_since() -> None:
    works = with_facts(keystone(), [reported("down"), reported("working")], MONDAY)
    stale = with_facts(works, [heard("down", "h", MONDAY - timedelta(hours=1))], MONDAY)
    assert troubled(stale, "keystone-sf", "portal") is None


def test_an_urgent_case_that_hears_of_it_goes_the_next_way_and_asks_no_more_once_the_payer_has_it() -> None:
    case = with_facts(keystone("urgent"), [heard("down", "h")], MONDAY)
    assert asked_by(case) == ["fax"]
    later_ = MONDAY + timedelta(hours=2)
    assert of_kind(list(access(case, later_)), AskAccess)
    sent = submitted().model_copy(update={"rail": "fax"})
    assert not of_kind(list(access(with_facts(case, [sent], MONDAY), later_)), AskAccess)
