"""What PostgreSQL and the doors show of a case: one row with its tasks and clocks. Derived, never the truth."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from pydantic import Field

from domain.base import Frozen, Instant, Key, Sentence, Stage, Turn
from domain.case import Case
from domain.clocks import Clock
from domain.decision import LineDecision, Number
from domain.facts import AnyFact, TaskKind
from domain.order import DocumentRef, Urgency
from domain.plan import Plan


class TaskView(Frozen):
    """A task that somebody still has to do."""

    task: Key
    kind: TaskKind
    turn: Turn
    title: Sentence
    checklist: tuple[Sentence, ...] = ()
    due: Instant
    opened_at: Instant
    held_by: str | None = None
    held_until: Instant | None = None
    track: str | None = None
    attempt: int | None = None
    rail: str | None = None
    raw: DocumentRef | None = None


class CaseView(Frozen):
    """Where a case stands."""

    case_id: Key
    practice: Key
    source: Key
    order_number: Key
    n: int = Field(description="The place of the latest fact in it.")
    urgency: Urgency
    stage: Stage
    turn: Turn
    owner: str | None = Field(default=None, description="Who holds its most pressing task, if somebody does.")
    why: Sentence
    next: Sentence
    binding: Clock | None = None
    wake_at: Instant | None = None
    ready: bool = Field(description="Whether the visit may go ahead.")
    payer: Key
    member_id: Key
    patient_id: Key
    patient_family_name: str
    patient_given_name: str
    patient_birth_date: date
    services: tuple[str, ...]
    visit_at: Instant | None = None
    opened_at: Instant
    closed_at: Instant | None = None
    numbers: tuple[Number, ...] = ()
    decisions: tuple[LineDecision, ...] = ()
    tasks: tuple[TaskView, ...] = ()
    clocks: tuple[Clock, ...] = ()


class Publication(Frozen):
    """What a case hands to the archive and the read model: the facts since the last confirmation, and its row."""

    view: CaseView
    facts: tuple[AnyFact, ...]


class Published(Frozen):
    """What the archive answers."""

    confirmed: int = Field(description="Every fact up to this place is in the archive.")
    missing: tuple[AnyFact, ...] = Field(
        default=(), description="Facts that the archive has and the case has lost, after a restore from a copy."
    )


def view(case: Case, plan: Plan, now: datetime) -> CaseView:
    """The row of a case."""
    tasks = [
        TaskView(
            task=task.opened.task,
            kind=task.opened.task_kind,
            turn=task.opened.turn,
            title=task.opened.title,
            checklist=task.opened.checklist,
            due=task.opened.due,
            opened_at=task.opened.occurred_at,
            held_by=task.holder(now),
            held_until=task.claim.until if task.claim and task.holder(now) else None,
            track=task.opened.track,
            attempt=task.opened.attempt,
            rail=task.opened.rail,
            raw=task.opened.raw,
        )
        for task in sorted(case.open_tasks, key=lambda task: (task.opened.due, task.opened.n))
    ]
    order, patient = case.order, case.order.patient
    return CaseView(
        case_id=case.id,
        practice=order.practice,
        source=order.source,
        order_number=order.number,
        n=case.n,
        urgency=order.urgency,
        stage=plan.stage,
        turn=plan.turn,
        owner=next((task.held_by for task in tasks if task.held_by), None),
        why=plan.why,
        next=plan.next,
        binding=plan.binding_clock,
        wake_at=plan.wake_at,
        ready=case.is_ready,
        payer=order.primary.payer,
        member_id=order.primary.member_id,
        patient_id=patient.id,
        patient_family_name=patient.family_name,
        patient_given_name=patient.given_name,
        patient_birth_date=patient.birth_date,
        services=tuple(line.label or line.code for line in order.lines),
        visit_at=case.appointment.starts_at if case.appointment else None,
        opened_at=case.opened_at,
        closed_at=case.closed.recorded_at if case.closed else None,
        numbers=case.numbers,
        decisions=tuple(
            decision
            for key in sorted(case.tracks)
            for line in case.tracks[key].lines_required
            if (decision := case.tracks[key].decision(line)) is not None
        ),
        tasks=tuple(tasks),
        clocks=plan.clocks,
    )


def details(case: Case, plan: Plan) -> str:
    """What the Temporal Web UI shows beside a history, as Markdown: where the case stands, in the practice's time."""
    zone = ZoneInfo(case.time_zone)
    clocks = [f"- {c.due.astimezone(zone):%Y-%m-%d %H:%M %Z}: {c.label} ({c.rule})" for c in plan.clocks]
    lines = [
        f"**Stage:** {plan.stage.value}  ",
        f"**Turn:** {plan.turn.value}  ",
        f"**Why:** {plan.why}  ",
        f"**Next:** {plan.next}",
        "",
        "**Clocks**",
        "",
        *(clocks or ["- none"]),
    ]
    return "\n".join(lines)
