"""The commands about messages and the ways they go: `vigil read`, `vigil preview`, `vigil rail check`."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from console.terminal import AsJson, Width, ends_well, out, print_json
from domain.order import Category
from runtime.settings import load_settings


@ends_well
def read(
    file: Annotated[str, typer.Argument(help="What came, as it came; `-` reads standard input.")],
    rail: Annotated[str, typer.Option("--rail", help="pas, x12, gateway")] = "pas",
    status: Annotated[int | None, typer.Option(help="The HTTP status that it came with.", min=100, max=599)] = None,
    payer: Annotated[str | None, typer.Option(help="Of a gateway: whose status map is to be used.")] = None,
    category: Annotated[Category, typer.Option(help="Of a 271: what was ordered.")] = Category.CONSULT,
    *,
    inquiry: Annotated[bool, typer.Option("--inquiry", help="It answers an inquiry, not a request.")] = False,
) -> None:
    """Print as JSON what Vigil makes of a payer's answer. Nothing is recorded.

    One shape for every rail: for each line the decision, numbers by type, dates, units and reasons; what is asked for; or
    `rejected` with its errors, or `unreadable` with why. In X12 a 271 is read as `eligibility`, and TA1, 999 and 997 as
    `acknowledgment`. Ends well whenever it could be read, or was refused with a reason.
    """
    from console.answers import RAILS, Asked, rail_of, read_file, statuses_of

    asked = Asked(rail_of(rail, RAILS), status, inquiry=inquiry, category=category)
    if payer is not None:
        asked = replace(asked, statuses=statuses_of(load_settings(), payer))
    print_json(read_file(file, asked))


@ends_well
def preview(
    file: Annotated[str, typer.Argument(metavar="ORDER", help="An order, in Vigil's JSON or as a FHIR Bundle.")],
    rail: Annotated[str, typer.Option("--rail", help="pas, x12, gateway, fax, portal, phone, direct")] = "pas",
    message: Annotated[
        Literal["request", "update", "cancel", "inquiry", "attachment"], typer.Option(help="Which one.")
    ] = "request",
    payer: Annotated[str | None, typer.Option(help="Ask this payer in place of the order's.")] = None,
    prior: Annotated[str | None, typer.Option(help="Of an update: the order as it was sent.")] = None,
    document: Annotated[
        list[str] | None, typer.Option(help="A file, as imaging_report=ct.pdf; may be given several times.")
    ] = None,
    number: Annotated[
        list[str] | None, typer.Option(help="A number of the payer's, as certification=A1; may be given several times.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Of a packet: write the PDF there.")] = None,
    practice: Annotated[
        str | None, typer.Option(help="By default the order's, or the first of the practices file.")
    ] = None,
    source: Annotated[str, typer.Option(help="Of a FHIR Bundle: the system that it comes from.")] = "fhir",
    *,
    raw: Annotated[
        bool | None,
        typer.Option("--raw/--lines", help="X12 as it goes, or a line a segment; by default by the terminal."),
    ] = None,
) -> None:
    """Print the message that would be sent for an order, by the payer's rules. Nothing is sent.

    JSON for pas and gateway, X12 for x12, and for people's ways the packet: its text, or with --output the PDF. Documents
    are in a message where their contents are kept on this machine, or named with --document. Control numbers of X12 are ones.
    """
    from console.answers import rail_of
    from console.preview import Wanted, preview_file
    from console.printing import print_messages
    from domain.policy_rules import Rail

    wanted = Wanted(
        rail=rail_of(rail, tuple(Rail)),
        message=message,
        practice=practice,
        payer=payer,
        prior=prior,
        documents=tuple(document or ()),
        numbers=tuple(number or ()),
        source=source,
    )
    print_messages(preview_file(load_settings(), file, wanted, datetime.now(UTC)), output, raw=raw)


@ends_well
def rail_check(
    payer: Annotated[str, typer.Argument(metavar="PAYER|FILE")],
    practice: Annotated[str | None, typer.Option(help="By default the first of the practices file.")] = None,
    as_json: AsJson = False,
    width: Width = None,
) -> None:
    """Look at every way to a payer: whether it answers, lets the practice in, and can what the payer's rules say.

    Sends no health information and makes nothing anywhere. What is said of an ability: proven (the other side says so),
    assumed (only the rules say so), off (the rules do not use it), denied (the other side says otherwise). Ends with 1 where
    an automatic way fails.
    """
    from console.rail_check import check_payer
    from console.rail_view import rail_view

    found = asyncio.run(check_payer(load_settings(), payer, practice, datetime.now(UTC)))
    if as_json:
        print_json({**found.model_dump(mode="json"), "ok": found.ok})
    else:
        terminal = out(width)
        terminal.print(rail_view(found, terminal.width))
    if not found.ok:
        raise typer.Exit(1)
