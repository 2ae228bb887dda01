"""A random, adversarial world around one case, run by the very code that the workflow runs: `Keeping` and `settle`.

What happens is chosen by a list of steps, so that Hypothesis can shorten a story that breaks a law. `live` plays
them; `calm` then lets everybody do their job, which must bring every case to its end.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.actions import Action
from domain.base import Turn
from domain.case import Case, replay
from domain.decision import Decision, Ending, InformationAsk, LineDecision, Outcome, Reason, Result
from domain.facts import (
    AnswerNotUnderstood,
    AppointmentChanged,
    CallLogged,
    ChannelReported,
    ClockExtended,
    CoverageStatus,
    CoverageVerified,
    DecisionReceived,
    DocumentAdded,
    Fact,
    FactRetracted,
    Failure,
    InformationSent,
    NewAttemptOrdered,
    NoteAdded,
    NotificationClaimed,
    OptionChosen,
    OrderCancelled,
    OrderChanged,
    QuestionnaireAnswered,
    Receipt,
    RequestEnded,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    RequirementDetermined,
    StatusInquired,
    TaskKind,
    TaskOpened,
    UnknownFact,
    read_fact,
    write_fact,
)
from domain.keeping import Keeping
from domain.order import Appointment, AppointmentStatus, Order
from domain.plan import Plan, settle
from domain.refusal import refuse_all
from domain.results import read_result
from domain.rules.questionnaire import RESPONSE
from domain.work import OUTCOMES, WrongResult, claim, complete, outcome, release
from tests.builders import CASE_ID, MONDAY, case_of, document, order
from tests.world_answers import SECRET, alike, answer_about, good_forms, right_facts

PAYERS = ("meridian-ppo", "summit-ma", "keystone-sf", "harbor-hmo", "bluestem-mco", "cedar-ppo", "plan-without-rules")
SERVICES = (
    ("72131", "ct"),
    ("93970", "venous_doppler"),
    ("78306", "bone_scan"),
    ("99203", "consult"),
    ("20610", "other"),
)
STAFF = ("person:ines", "person:jo")
BEGINNINGS = (
    MONDAY,
    MONDAY,
    datetime(2026, 10, 31, 20, tzinfo=UTC),  # the night before an hour comes twice
    datetime(2026, 12, 24, 22, tzinfo=UTC),  # holidays, and a new year of the plan
    datetime(2027, 3, 13, 9, tzinfo=UTC),  # the night before an hour is left out; channels are maintained
    datetime(2028, 2, 28, 15, tzinfo=UTC),  # before a leap day
)

LIKELY = (
    Outcome.APPROVED, Outcome.PENDED, Outcome.PENDED, Outcome.PENDED, Outcome.DENIED, Outcome.MODIFIED,
    Outcome.CONTACT_PAYER, Outcome.CANCELLED,
)  # fmt: skip

TROUBLE: tuple[tuple[str, Failure | None, str], ...] = (
    ("submit_request", Failure.AMBIGUOUS, "answer_lost"),
    ("submit_request", Failure.AMBIGUOUS, "answer_lost"),
    ("submit_request", Failure.REFUSED, "token:401"),
    ("submit_request", Failure.REFUSED, "http:422"),
    ("submit_request", Failure.EXHAUSTED, "breaker_open"),
    ("submit_request", None, ""),
    ("inquire_status", Failure.REFUSED, "http:404"),
    ("inquire_status", None, ""),
    ("send_information", Failure.AMBIGUOUS, "answer_lost"),
    ("withdraw_request", Failure.AMBIGUOUS, "answer_lost"),
    ("gather_documents", None, ""),
    ("fetch_questionnaire", Failure.EXHAUSTED, "http:503"),
    ("notify_provider", Failure.REFUSED, "not_granted:notify"),
)
"""What goes wrong in a world from its beginning, each time that it is tried, and how; without a failure it brings nothing."""

Step = tuple[str, int]


@dataclass
class World:
    """One case, its clock, and everybody outside."""

    keeping: Keeping
    now: datetime
    flying: dict[str, Action] = field(default_factory=dict)
    told: list[Fact] = field(default_factory=list)
    """Everything that was ever reported from outside, to be reported again."""
    begun: list[Action] = field(default_factory=list)
    turns: list[datetime] = field(default_factory=list)
    check: Callable[["World"], None] = lambda world: None
    count: int = 0

    @property
    def case(self) -> Case:
        return self.keeping.case

    @property
    def plan(self) -> Plan:
        assert self.keeping.plan is not None
        return self.keeping.plan

    # --- the interpreter's loop ------------------------------------------------------------------------------------

    def turn(self) -> None:
        """What the workflow does when something came in or its time has come."""
        _, settled = settle(self.case, self.now)
        self.keeping.news = False
        for action in self.keeping.take_turn(settled, self.now):
            self.begun.append(action)
            self.flying[action.key] = action
        self.turns.append(self.now)
        self.check(self)

    def pass_time(self, until: datetime) -> None:
        """Sleep, and wake whenever the plan says."""
        while self.case.closed is None and self.plan.wake_at is not None and self.plan.wake_at <= until:
            self.now = self.plan.wake_at
            self.turn()
        self.now = max(self.now, until)

    def report(self, *facts: Fact) -> None:
        """A system reports: taken as it is."""
        self.told.extend(facts)
        self.keeping.take(facts, self.now)

    def ask(self, *facts: Fact) -> bool:
        """A person reports: refused where the case refuses."""
        if refuse_all(self.case, facts, self.now) is not None:
            return False
        self.report(*facts)
        return True

    def source(self, what: str) -> str:
        """A source id that was never used."""
        self.count += 1
        return f"{what}:{self.count}"

    def head(self, by: str = "system:world", what: str = "world", **more: Any) -> dict[str, Any]:
        return {"occurred_at": self.now, "by": by, "source_id": self.source(what), **more}

    def end(self, action: Action, facts: Sequence[Fact]) -> None:
        del self.flying[action.key]
        self.told.extend(facts)
        self.keeping.end(action, facts, self.now)

    def fail(self, action: Action, failure: Failure, error: str = "TEST") -> None:
        del self.flying[action.key]
        self.keeping.fail(action, failure, error, self.now)

    def restart(self) -> None:
        """The worker is gone, and another goes on from the facts alone; what was in flight is not known any more."""
        facts = [read_fact(write_fact(fact)) for fact in self.case.facts]
        self.flying.clear()
        self.keeping = Keeping(replay(CASE_ID, facts))
        self.keeping.end_orphans(self.now)


def begin_world(rng: random.Random, check: Callable[[World], None] = lambda world: None) -> World:
    """A world with a random order, before its first turn is over."""
    start = rng.choice(BEGINNINGS)
    code, category = rng.choice((SERVICES[0], *SERVICES))
    visit = rng.choice((None, start + timedelta(days=rng.choice((0, 1, 3, 21, 60)), hours=rng.randrange(1, 9))))
    ordered = order(
        payer=rng.choice(("cedar-ppo", *PAYERS)),
        code=code,
        category=category,
        lines=rng.choice((1, 1, 2)),
        urgency=rng.choice(("routine", "routine", "urgent", "stat")),
        visit=visit,
        documents=rng.choice(((), ("office_note", "imaging_report", "conservative_therapy"))),
        now=start,
    )
    world = World(Keeping(case_of(ordered, start)), start, check=check)
    world.told.append(world.case.facts[0])
    world.turn()
    trouble = rng.choice((*TROUBLE, *[None] * len(TROUBLE)))
    for _ in range(rng.choice((0, 0, 4, 8, 8, 16))):
        _go_well(world, rng.choice(LIKELY), trouble)
    return world


# --- people --------------------------------------------------------------------------------------------------------------


def hand_in(world: World, task: Any, form: dict[str, Any], by: str) -> bool:
    """Claim a task and finish it with a form. False where the form is not taken."""
    opened = task.opened
    held = claim(world.case, opened.task, by=by, now=world.now, source_id=world.source("claim"))
    if not world.ask(held):
        return False
    try:
        facts = complete(
            world.case, opened.task, read_result(form), by=by, now=world.now, source_id=world.source("done")
        )
    except WrongResult:
        return False
    return world.ask(*facts)


def calm(world: World, most: int = 400) -> None:
    """From here on everybody does their job. The case must come to its end."""
    for _ in range(most):
        if world.case.closed is not None:
            return
        if not world.flying and not world.case.open_tasks:
            assert world.plan.wake_at is not None
            world.now = max(world.now, world.plan.wake_at)
        _go_well(world, Outcome.APPROVED)
    msg = f"not over after {most} turns: {world.plan.stage}, {world.plan.why}"
    raise AssertionError(msg)


def _go_well(world: World, outcome: Outcome, but: tuple[str, Failure | None, str] | None = None) -> None:
    """What is in flight ends as it should (but one kind), or else somebody finishes a task; then a turn. Nobody sleeps."""
    if world.flying:
        world.now += timedelta(seconds=30)
        for action in list(world.flying.values()):
            kind, failure, error = but or ("", None, "")
            if action.kind != kind:
                world.end(action, right_facts(world, action, outcome))
            elif failure is None:
                world.end(action, [])
            else:
                world.fail(action, failure, error)
    elif world.case.open_tasks:
        world.now += timedelta(minutes=20)
        task = world.case.open_tasks[0]
        holder = task.holder(world.now) or STAFF[0]
        done = any(hand_in(world, task, form, holder) for form in good_forms(world, task.opened))
        assert done or not world.case.tasks[task.opened.task].is_open, f"nobody can finish {task.opened.task}"
    world.turn()


# --- what may happen ---------------------------------------------------------------------------------------------------


def live(world: World, steps: Sequence[Step]) -> None:
    """Let all of it happen, one after the other, with a turn after each."""
    for name, seed in steps:
        EVENTS[name](world, random.Random(seed))
        world.turn()


def _wait(world: World, rng: random.Random) -> None:
    spans = (timedelta(minutes=3), timedelta(hours=2), timedelta(days=1), timedelta(days=4), timedelta(days=20))
    world.pass_time(world.now + rng.choice(spans))


def _wake(world: World, rng: random.Random) -> None:
    if world.plan.wake_at is not None:
        world.pass_time(world.plan.wake_at)


def _end_one(world: World, rng: random.Random) -> None:
    """An activity comes back: with what is right, half of it, something else, nothing, or a failure."""
    if not world.flying:
        return
    action = world.flying[rng.choice(sorted(world.flying))]
    world.now += timedelta(seconds=rng.choice((1, 20, 200)))
    right = right_facts(world, action, rng.choice(LIKELY))
    match rng.choice(
        ("right", "right", "right", "half", "late", "nothing", "wrong", "exhausted", "refused", "ambiguous")
    ):
        case "right":
            world.end(action, right)
        case "half":
            world.end(action, right[:1])
        case "late":
            early = [fact.model_copy(update={"occurred_at": world.now - timedelta(days=40)}) for fact in right]
            world.end(action, [*early, *early])
        case "nothing":
            world.end(action, [])
        case "wrong":
            world.end(action, [_claimed(world, rng)])
        case failure:
            world.fail(
                action,
                Failure(failure),
                rng.choice(("TEST", "breaker_open", "token:401", "policy:no_channel", "http:422")),
            )


def _all_well(world: World, rng: random.Random) -> None:
    """For a while everybody does their job."""
    for _ in range(rng.choice((1, 2, 5))):
        _go_well(world, rng.choice(LIKELY))


def _claimed(world: World, rng: random.Random) -> Fact:
    """Something that a system says, true or not."""
    track = rng.choice((*sorted(world.case.tracks), "1-ordering", "9-nobody"))
    known = world.case.tracks.get(track)
    attempt = rng.choice((known.allowed if known else 1, 1, 2, 7))
    drift = rng.choice((timedelta(), timedelta(), -timedelta(days=9), timedelta(days=3000), timedelta(minutes=-3)))
    head = world.head(track=track) | {"occurred_at": world.now + drift}
    about = {"attempt": attempt, "rail": rng.choice(("pas", "x12", "gateway", "portal", "fax", "r" * 190))}
    lines = rng.choice(((1,), (1, 2), (0,), (5,)))
    receipt = Receipt(kind="http_id", reference="H-1")
    match rng.randrange(15):
        case 12:
            ending = rng.choice(tuple(Ending))
            return RequestEnded(**head, **about, ending=ending, reasons=(Reason(code="9", text=SECRET),))
        case 13:
            state = rng.choice(("working", "credentials", "second_factor", "down"))
            payer = known.requirement.payer if known else "plan-of-nobody"
            return ChannelReported(**head, payer=payer, rail=rng.choice(("portal", "fax")), state=state)
        case 14:
            ask = InformationAsk(what=(Reason(code=rng.choice(("11506-3", "DG", "X9"))),))
            decision = answer_about(world, lines, alike(Outcome.PENDED), asks=(ask,))
            return DecisionReceived(**head, **about, via="inquiry", decision=decision)
        case 0 | 1 | 2:
            outcomes = tuple(Outcome)
            decision = answer_about(world, lines, lambda _: rng.choice(outcomes))
            return DecisionReceived(**head, **about, via="notification", decision=decision)
        case 3:
            asks = tuple(InformationAsk(what=(Reason(text=f"{n} {SECRET} ".ljust(998, "x")),)) for n in range(7))
            decision = answer_about(world, lines, alike(Outcome.PENDED), asks=asks)
            return DecisionReceived(**head, **about, via="inquiry", decision=decision)
        case 4:
            return AnswerNotUnderstood(**head, **about, why=f"A web page about {SECRET}. ".ljust(998, "y"))
        case 5:
            errors = tuple({"code": "Z" * 30, "text": SECRET} for _ in range(60))
            return RequestRejected(**head, **about, errors=errors)
        case 6:
            return StatusInquired(**head, **about, found=rng.choice((True, False)))
        case 7:
            return NotificationClaimed(
                **head, payer=rng.choice((world.case.order.primary.payer, *PAYERS)), why="No signature."
            )
        case 8:
            return RequestSubmitted(**head, **about, trace="T-1", receipt=receipt)
        case 9:
            return RequestWithdrawn(**head, **about, receipt=receipt)
        case 10:
            status = rng.choice(tuple(CoverageStatus))
            return CoverageVerified(**head, rank=rng.choice((1, 2)), status=status)
        case _:
            return ClockExtended(**head, until=world.now + timedelta(days=14), rule="payer/notice")


def _system(world: World, rng: random.Random) -> None:
    world.report(_claimed(world, rng))


def _late(world: World, rng: random.Random) -> None:
    """A rail on which the request was tried, and given up, answers after all; or the same is told again."""
    for track in world.case.tracks.values():
        for rail in sorted(track.attempt.tried):
            if not track.attempt.reached_payer or rng.random() < 0.3:
                continue
            outcome = rng.choice((Outcome.APPROVED, Outcome.PENDED, Outcome.DENIED, Outcome.CANCELLED))
            decision = answer_about(world, track.lines_required or (1,), alike(outcome))
            about = {"attempt": track.attempt.number, "rail": rail, "via": "notification"}
            world.report(DecisionReceived(**world.head(track=track.key), **about, decision=decision))


def _strange(world: World, rng: random.Random) -> None:
    """A kind, a version or a size that nobody here knows."""
    head = world.head(by="system:" + "s" * rng.choice((3, 150)))
    kind, body = rng.choice((("moon_phase", "full"), ("m" * 5000, "x"), ("note_added", "z" * 9000)))
    world.report(UnknownFact(**head, kind=kind, v=2, body=body))


def _long_note(world: World, rng: random.Random) -> None:
    world.ask(NoteAdded(**world.head(by=STAFF[0]), text="ü" * 4000))
    if rng.random() < 0.3:
        brought = document(rng.choice(("office_note", "imaging_report")), world.now.date())
        world.ask(DocumentAdded(**world.head(by=STAFF[0]), document=brought))


def _visit_moves(world: World, rng: random.Random) -> None:
    starts = world.now + timedelta(days=rng.choice((-30, -1, 0, 1, 9, 200)), hours=rng.randrange(12))
    status = rng.choice((*AppointmentStatus, AppointmentStatus.BOOKED))
    moved = Appointment(id=rng.choice(("APT-1", "A" * 200)), starts_at=starts, status=status)
    world.report(AppointmentChanged(**world.head(), appointment=moved))


def _repeat(world: World, rng: random.Random) -> None:
    """What was said before is said again: the same answer, and nothing changes."""
    fact = rng.choice(world.told)
    before = world.case
    answer = world.keeping.take([fact], world.now)
    if fact.source_id in before.sources:
        assert answer.repeated
        assert answer.n == before.sources[fact.source_id]
        assert world.case is before


def _person_works(world: World, rng: random.Random) -> None:
    tasks = world.case.open_tasks
    if not tasks:
        return
    task = rng.choice(tasks)
    world.now += timedelta(minutes=rng.choice((1, 30)))
    form = rng.choice(list(good_forms(world, task.opened)))
    if form["result"] == "decided":
        for line in form["lines"]:
            line["decision"] = rng.choice(("approved", "modified", "denied"))
            line["reasons"] = [{"text": "By the letter"}]
    if form["result"] == "option_chosen":
        form["option"] = rng.choice(("accept", "self_pay", "peer_to_peer", "appeal"))
    hand_in(world, task, form, rng.choice(STAFF))


def _person_learns(world: World, rng: random.Random) -> None:
    """Somebody learned something without a task: any of the forms that are taken then, about any track."""
    if not world.case.tracks:
        return
    track = world.case.tracks[rng.choice(sorted(world.case.tracks))]
    asked = TaskOpened(
        **world.head(by=STAFF[0], track=track.key),
        task="nobody's/1",
        task_kind=TaskKind.REVIEW,
        turn=Turn.STAFF,
        title="None.",
        due=world.now,
        rule="none",
        rail=(track.attempt.rail or "")[:40] or None,
    )
    form = rng.choice([form for form in good_forms(world, asked, OUTCOMES) if form["result"] in OUTCOMES])
    if form["result"] == "channel_trouble":
        form |= {"state": rng.choice(("working", "credentials", "second_factor", "down"))}
    try:
        facts = outcome(
            world.case, read_result(form), by=STAFF[0], now=world.now, source_id=world.source("said"), track=track.key
        )
    except WrongResult:
        return
    world.ask(*facts)


def _person_saves(world: World, rng: random.Random) -> None:
    """The payer's form is begun and saved for later, or somebody writes down a call."""
    head = world.head(by=STAFF[0])
    if not world.case.forms:
        world.ask(CallLogged(**head, with_whom=Turn.PAYER, asked="Is it there?", answered="Not yet."))
        return
    form = rng.choice(world.case.forms)
    response = document(RESPONSE, world.now.date(), world.source("half"))
    saved = {"form": form.ref, "questionnaire": form.questionnaire, "response": response, "context": form.context}
    world.ask(QuestionnaireAnswered(**head, track=form.track, **saved, complete=rng.random() < 0.3))


def _person_releases(world: World, rng: random.Random) -> None:
    held = [task for task in world.case.open_tasks if task.holder(world.now)]
    if held:
        task = rng.choice(held)
        supervisor = rng.random() < 0.5
        by = "person:lead" if supervisor else task.holder(world.now) or STAFF[0]
        source = world.source("release")
        world.ask(release(world.case, task.opened.task, by=by, now=world.now, source_id=source, supervisor=supervisor))


def _plan_fails(world: World, rng: random.Random) -> None:
    """A release is broken for an hour: no plan can be made, until it can."""
    if world.case.closed is None:
        world.keeping.plan_failed(rng.choice(("PlanError", "KeyError")), world.now)


def _person_claims(world: World, rng: random.Random) -> None:
    if world.case.open_tasks:
        task = rng.choice(world.case.open_tasks).opened.task
        world.ask(claim(world.case, task, by=rng.choice(STAFF), now=world.now, source_id=world.source("claim")))


def _person_says(world: World, rng: random.Random) -> None:
    """Somebody reports without a task, right or wrong; an approval without a number is refused."""
    if not world.case.tracks:
        return
    track = world.case.tracks[rng.choice(sorted(world.case.tracks))]
    head = world.head(by=rng.choice(STAFF), track=track.key)
    about = {"attempt": track.allowed}
    match rng.randrange(5):
        case 4:
            receipt = Receipt(kind="fax_report", reference="FAX-1")
            world.ask(InformationSent(**head, **about, receipt=receipt))
        case 0:
            said = LineDecision(line=1, decision=Outcome.APPROVED)
            decision = Decision(result=Result.DECIDED, lines=(said,))
            if 1 in track.lines_required:
                assert not world.ask(DecisionReceived(**head, **about, rail="phone", via="person", decision=decision))
        case 1:
            world.ask(
                OptionChosen(**head, **about, option=rng.choice(("accept", "appeal", "peer_to_peer", "self_pay")))
            )
        case 2:
            world.ask(NewAttemptOrdered(**head, attempt=track.allowed + 1, reason="Sent anew."))
        case _:
            needs = ({"line": 1, "authorization": rng.choice(("required", "not_required", "unknown")), "rule": "call"},)
            asker = rng.choice(("ordering", "facility"))
            insured = {"rank": rng.choice((1, 1, 2)), "payer": track.requirement.payer}
            found = {**head, "track": f"{insured['rank']}-{asker}"}
            world.report(RequirementDetermined(**found, **insured, lines=needs, who_asks=asker))


def _order_changes(world: World, rng: random.Random) -> None:
    held = world.case.order
    changes: dict[str, Any] = rng.choice(
        (
            {"urgency": "stat", "urgency_attestation": "Worse since yesterday."},
            {"diagnoses": ("M54.17",)},
            {"coverages": ({"rank": 1, "payer": rng.choice(PAYERS), "member_id": "MBR000001100"},)},
            {
                "coverages": (
                    {"rank": 2, "payer": "meridian-ppo", "member_id": "MBR000001100"},
                    {"rank": 3, "payer": rng.choice(PAYERS), "member_id": "MBR000002100"},
                )
            },
            {
                "lines": tuple(
                    {**line.model_dump(), "code": "93970", "category": "venous_doppler"} for line in held.lines
                )
            },
            {"lines": held.lines[:1]},
            {"facility": None},
            {"rendering": held.ordering.model_copy(update={"npi": "1999000031"})},
            {"patient": held.patient.model_copy(update={"may_be_messaged": False})},
        )
    )
    new = Order.model_validate({**held.model_dump(), **changes})
    world.ask(OrderChanged(**world.head(by=STAFF[0]), order=new))


def _cancel(world: World, rng: random.Random) -> None:
    world.ask(OrderCancelled(**world.head(by=STAFF[0]), reason="No longer wanted."))


def _retract(world: World, rng: random.Random) -> None:
    target = rng.choice(world.case.facts)
    fact = FactRetracted(
        **world.head(by=STAFF[0]), retracted=target.source_id, reason="Wrong patient.", signed_by=STAFF[1]
    )
    (world.ask if rng.random() < 0.7 else world.report)(fact)


EVENTS: dict[str, Callable[[World, random.Random], None]] = {
    "end": _end_one,
    "well": _all_well,
    "wake": _wake,
    "wait": _wait,
    "system": _system,
    "late": _late,
    "person works": _person_works,
    "person claims": _person_claims,
    "person says": _person_says,
    "person learns": _person_learns,
    "person saves": _person_saves,
    "person releases": _person_releases,
    "repeat": _repeat,
    "visit moves": _visit_moves,
    "order changes": _order_changes,
    "restart": lambda world, _rng: world.restart(),
    "strange": _strange,
    "long note": _long_note,
    "retract": _retract,
    "cancel": _cancel,
    "plan fails": _plan_fails,
}
