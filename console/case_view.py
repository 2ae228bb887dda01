"""One case on a terminal: where it stands, the five keys, clocks, tasks, numbers and what happened."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from console.five_keys import Compared, five_keys
from console.sentences import sentence
from console.words import (
    NUMBER_WORDS,
    URGENCY_STYLES,
    bar,
    moment_text,
    plain,
    short_moment,
    slack_style,
    slack_text,
)
from domain.case import Case
from domain.clocks import Clock, slack
from domain.facts import ActionBegun, ActionEnded, Fact, FactRetracted
from domain.view import CaseView, TaskView

WIDE_FROM = 100
_INDENT, _DEEPER = (0, 0, 0, 2), (0, 0, 0, 4)


def case_view(case: Case, view: CaseView, now: datetime, width: int, *, every_fact: bool = False) -> RenderableType:
    """A case at an instant, for a terminal of `width` columns; `every_fact` shows Vigil's own steps in the timeline."""
    return Group(*_parts(case, view, now, width, every_fact=every_fact))


def _parts(case: Case, view: CaseView, now: datetime, width: int, *, every_fact: bool) -> Iterator[RenderableType]:
    zone = ZoneInfo(case.time_zone)
    yield _header(view, now, zone)
    for key in sorted(case.tracks):
        track = case.tracks[key]
        yield Rule(
            Text(f"Track {key} · {track.requirement.payer} · request {track.allowed}"), align="left", style="dim"
        )
        rows = five_keys(case, track)
        yield _keys_table(rows) if width >= WIDE_FROM else _keys_blocks(rows)
    if view.clocks:
        yield _heading("Clocks")
        yield _clocks(view, now, zone, width)
    if view.tasks:
        yield _heading("Tasks")
        yield from (_task(task, now, zone) for task in view.tasks)
    if view.numbers:
        yield _heading("Numbers")
        yield from (Text(f"  {number.value}  ({NUMBER_WORDS[number.type]})") for number in view.numbers)
    yield _heading("What happened" + (f" (times in {case.time_zone})" if case.time_zone else ""))
    yield _timeline(case, zone, every_fact=every_fact)


def _header(view: CaseView, now: datetime, zone: ZoneInfo) -> Panel:
    left = view.binding.due - now if view.binding else None
    first = Text(f"{view.patient_family_name}, {view.patient_given_name}", style="bold")
    first.append(f"  born {view.patient_birth_date}  record {view.patient_id}", style="")
    second = Text(f"{', '.join(view.services)} · order {view.order_number} ({view.source}) · ")
    second.append(view.urgency, style=URGENCY_STYLES[view.urgency])
    third = Text("Turn: ")
    third.append(view.turn, style="bold")
    third.append(f" · stage {plain(view.stage)} · ")
    third.append("ready for the visit" if view.ready else "not ready", style="green" if view.ready else "yellow")
    lines = [first, second, third, Text(f"Why: {view.why}"), Text(f"Next: {view.next}")]
    if view.binding is not None:
        clock = Text("Slack: ")
        clock.append(slack_text(left), style=slack_style(left))
        clock.append(f" until {moment_text(view.binding.due, zone)} - {view.binding.label} ({view.binding.rule})")
        lines.append(clock)
    visit = moment_text(view.visit_at, zone) if view.visit_at else "not booked"
    lines.append(Text(f"Visit: {visit}"))
    return Panel(Group(*lines), title=Text(view.case_id), title_align="left", subtitle=Text(moment_text(now, zone)))


def _heading(text: str) -> Rule:
    return Rule(Text(text), align="left", style="dim")


def _keys_table(rows: tuple[Compared, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("Key", no_wrap=True)
    for name in ("Ordered", "Asked", "Approved", "Booked"):
        table.add_column(name, ratio=1)
    for row in rows:
        cells = (row.key, row.ordered, row.asked, row.approved, row.booked)
        table.add_row(
            *(Text(cell, style="bold red" if row.mismatch and place == 0 else "") for place, cell in enumerate(cells))
        )
        if row.mismatch:
            table.add_row("", Text(f"✗ {row.mismatch}", style="bold red"))
    return table


def _keys_blocks(rows: tuple[Compared, ...]) -> Group:
    lines: list[Text] = []
    for row in rows:
        lines.append(Text(row.key, style="bold"))
        said = (("ordered", row.ordered), ("asked", row.asked), ("approved", row.approved), ("booked", row.booked))
        lines += [Text(f"  {name:<9}{value}") for name, value in said]
        if row.mismatch:
            lines.append(Text(f"  ✗ {row.mismatch}", style="bold red"))
    return Group(*lines)


def _clocks(view: CaseView, now: datetime, zone: ZoneInfo, width: int) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for clock in view.clocks:
        left = slack(clock, now)
        binds = view.binding is not None and clock.key == view.binding.key
        used = bar(clock.started_at, clock.due, clock.paused_since or now, 16 if width >= WIDE_FROM else 6)
        what = Text(clock.label, style="bold" if binds else "")
        what.append(_clock_notes(clock), style="dim")
        table.add_row(
            Text(f"{'▸' if binds else ' '} {used}"),
            Text(slack_text(left), style=slack_style(left)),
            f"{clock.due.astimezone(zone):%Y-%m-%d %H:%M}",
            what,
        )
    return table


def _clock_notes(clock: Clock) -> str:
    paused = ", paused" if clock.paused_since else ""
    broken = ", a breach when it runs out" if clock.breach else ""
    return f" ({clock.rule}, waits for {clock.waiting_for}{paused}{broken})"


def _task(task: TaskView, now: datetime, zone: ZoneInfo) -> Group:
    left = task.due - now
    first = Text(task.title, style="bold")
    second = Text(f"for {task.turn}, due {short_moment(task.due, zone)} (")
    second.append(slack_text(left), style=slack_style(left))
    held = f", held by {task.held_by.removeprefix('person:')}" if task.held_by else ", held by nobody"
    until = f" until {short_moment(task.held_until, zone)}" if task.held_until else ""
    second.append(f"){held}{until}")
    steps = [Text(f"☐ {step}") for step in task.checklist]
    return Group(
        Padding(first, _INDENT), *(Padding(line, _DEEPER) for line in (second, *steps, Text(task.task, style="dim")))
    )


def _timeline(case: Case, zone: ZoneInfo, *, every_fact: bool) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    left_out = 0
    gone = {case.sources.get(fact.retracted): fact.n for fact in case.facts if isinstance(fact, FactRetracted)}
    for fact in case.facts:
        if not every_fact and _is_own_step(fact):
            left_out += 1
            continue
        who = "" if fact.by == "vigil" else f"  [{fact.by}]"
        told = Text(f"{sentence(fact, case.sources)}{who}", style="strike dim" if fact.n in gone else "")
        if fact.n in gone:
            told.append(f"  (taken back by {gone[fact.n]})", style="not strike")
        table.add_row(str(fact.n), short_moment(fact.occurred_at, zone), told)
    if left_out:
        table.add_row("", "", Text(f"{left_out} steps of Vigil's own are left out; --facts shows them.", style="dim"))
    return table


def _is_own_step(fact: Fact) -> bool:
    return isinstance(fact, ActionBegun) or (isinstance(fact, ActionEnded) and fact.failure is None)
