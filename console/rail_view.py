"""The ways to a payer on a terminal: a table, and under it what each says of itself and what is wrong."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.rail_check import Found, Proof, Way

_STYLES = {Proof.PROVEN: "green", Proof.ASSUMED: "yellow", Proof.OFF: "dim", Proof.DENIED: "bold red"}
_NARROW = 120
"""Below so many columns the address stands under the table."""


def rail_view(found: Found, width: int) -> RenderableType:
    """All ways to a payer, for a terminal of `width` columns."""
    head = Text(f"{found.name} ({found.payer}) · for {found.practice} · {found.at:%Y-%m-%d %H:%M} UTC", style="bold")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Channel", "Carrier", "Answers", "Credentials", "Can", "Breaker"):
        table.add_column(name)
    if width >= _NARROW:
        table.add_column("Address", overflow="fold")
    for way in found.channels:
        cells = [
            Text(f"{way.rail} {way.channel}"),
            Text(way.carrier or "-"),
            _answers(way),
            Text(way.credentials, style="bold red" if way.credentials in ("refused", "missing") else ""),
            _abilities(way),
            Text(way.breaker or "-"),
        ]
        table.add_row(*cells, *([Text(way.address or "-")] if width >= _NARROW else []))
    details = [line for way in found.channels for line in _details(way, with_address=width < _NARROW)]
    broken = [way.channel for way in found.channels if way.automatic and not way.ok]
    foot = (
        Text(f"Out of order: {', '.join(broken)}.", style="bold red")
        if broken
        else Text("Every automatic way works.")
        if any(way.automatic for way in found.channels)
        else Text("There is no automatic way: people ask this payer.")
    )
    key = Text(
        "proven: the other side says so · assumed: only the rules say so · off: not used · denied: it says otherwise"
    )
    key.stylize("dim")
    return Group(head, table, Text(""), *details, Text(""), key, foot)


def _answers(way: Way) -> Text:
    if way.reachable is None:
        return Text("by a person" if not way.automatic else "not tried", style="dim")
    return Text(f"yes, {way.milliseconds} ms") if way.reachable else Text("no", style="bold red")


def _abilities(way: Way) -> Text:
    said = Text()
    for proof in Proof:
        names = [name for name, held in way.abilities.items() if held is proof]
        if names:
            said.append("\n" if said else "")
            said.append(f"{proof}: {', '.join(names)}", style=_STYLES[proof])
    return said or Text("-")


def _details(way: Way, *, with_address: bool) -> list[RenderableType]:
    lines = [Text(way.address)] if with_address and way.address else []
    lines += [Text("; ".join(way.says))] if way.says else []
    lines += [Text(f"needs: {'; '.join(way.needs)}")] if way.needs else []
    lines += [Text(f"subscription: {way.subscription}")] if way.subscription else []
    lines += [Text(f"differs: {one}", style="yellow") for one in way.differs]
    lines += [Text(way.problem, style="bold red")] if way.problem else []
    if not lines:
        return []
    return [Text(f"{way.rail} {way.channel}", style="bold"), *(Padding(line, (0, 0, 0, 2)) for line in lines)]
