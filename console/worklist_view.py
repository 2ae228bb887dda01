"""The worklist on a terminal: a table where there is room for one, else two lines a case."""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.words import URGENCY_STYLES, plain, short_moment, slack_style, slack_text
from domain.base import Turn
from domain.view import CaseView

TABLE_FROM = 150
"""The least number of columns for the table."""

_INDENT = (0, 0, 0, 12)
_TURN_STYLES = {
    Turn.VIGIL: "dim",
    Turn.PAYER: "cyan",
    Turn.STAFF: "bold",
    Turn.PROVIDER: "magenta",
    Turn.OPERATOR: "red",
}


def slack_of(view: CaseView, now: datetime) -> timedelta | None:
    """How much time is left on the case's binding clock; None where none runs."""
    return view.binding.due - now if view.binding else None


def by_slack(items: Sequence[CaseView], now: datetime) -> list[CaseView]:
    """The cases with the least time left first, those without a clock last."""
    return sorted(items, key=lambda view: (slack_of(view, now) or timedelta.max, view.case_id))


def worklist_view(items: Sequence[CaseView], now: datetime, zone: tzinfo, width: int) -> RenderableType:
    """The cases by slack, for a terminal of `width` columns; times in `zone`."""
    if not items:
        return Text("No open case fits.")
    listed = by_slack(items, now)
    body = _table(listed, now, zone) if width >= TABLE_FROM else _blocks(listed, now, zone)
    late = sum(1 for view in listed if (slack_of(view, now) or timedelta(0)) < timedelta(0))
    turns = {turn: sum(1 for view in listed if view.turn is turn) for turn in Turn}
    counted = ", ".join(f"{count} {turn}" for turn, count in turns.items() if count)
    foot = Text(f"{len(listed)} cases ({counted})", style="dim")
    if late:
        foot.append(f", {late} overdue", style="bold red")
    return Group(body, foot)


def _table(listed: Sequence[CaseView], now: datetime, zone: tzinfo) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for name, justify in (("Slack", "right"), ("Urgency", "left"), ("Turn", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("Patient", no_wrap=True, max_width=20, overflow="ellipsis")
    table.add_column("Payer", no_wrap=True)
    table.add_column("Service", no_wrap=True, max_width=18, overflow="ellipsis")
    table.add_column("Stage", no_wrap=True)
    table.add_column("Why", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("Due", no_wrap=True)
    table.add_column("Held by", no_wrap=True, max_width=14, overflow="ellipsis")
    table.add_column("Order", no_wrap=True, style="dim")
    for view in listed:
        slack = slack_of(view, now)
        table.add_row(
            Text(slack_text(slack), style=slack_style(slack)),
            Text(view.urgency, style=URGENCY_STYLES[view.urgency]),
            Text(view.turn, style=_TURN_STYLES.get(view.turn, "")),
            Text(f"{view.patient_family_name}, {view.patient_given_name}"),
            Text(view.payer),
            Text(", ".join(view.services)),
            Text(view.stage),
            Text(view.why),
            Text(short_moment(view.binding.due, zone) if view.binding else "-"),
            Text(_holder(view)),
            Text(view.order_number),
        )
    return table


def _blocks(listed: Sequence[CaseView], now: datetime, zone: tzinfo) -> Group:
    lines: list[RenderableType] = []
    for view in listed:
        slack = slack_of(view, now)
        first = Text()
        first.append(f"{slack_text(slack):>10}", style=slack_style(slack))
        first.append(f"  {view.urgency}", style=URGENCY_STYLES[view.urgency])
        first.append(f"  {view.turn}", style=_TURN_STYLES.get(view.turn, ""))
        first.append(f"  {view.patient_family_name}, {view.patient_given_name}", style="bold")
        due = f"due {short_moment(view.binding.due, zone)}" if view.binding else "no clock"
        held = f" · held by {_holder(view)}" if _holder(view) else ""
        second = f"{', '.join(view.services)} · {view.payer} · {plain(view.stage)} · {due}{held} · {view.order_number}"
        lines += [first, Padding(Text(second), _INDENT), Padding(Text(view.why, style="dim"), _INDENT)]
    return Group(*lines)


def _holder(view: CaseView) -> str:
    return (view.owner or "").removeprefix("person:")
