"""`vigil …`: the command line. Each command is a few lines here; what it does is in `console/`."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from console.errors import CommandFailed
from console.rail_commands import preview, rail_check, read
from console.terminal import AsJson, Width, ends_well, out, print_json
from runtime.settings import Settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keeps watch over every referral and prior authorization of a medical practice.",
)
policy_app = typer.Typer(no_args_is_help=True, help="Payers' rules: check, put in force, explain.")
token_app = typer.Typer(no_args_is_help=True, help="Tokens of the API.")
keys_app = typer.Typer(no_args_is_help=True, help="Encryption keys (docs/keys.md).")
rail_app = typer.Typer(no_args_is_help=True, help="The ways to payers.")
app.add_typer(policy_app, name="policy")
app.add_typer(rail_app, name="rail")
app.add_typer(token_app, name="token")
app.add_typer(keys_app, name="keys")
app.command()(read)
app.command()(preview)
rail_app.command("check")(rail_check)

Url = Annotated[str | None, typer.Option("--url", help="The API; by default this machine's.")]
Token = Annotated[str | None, typer.Option("--token", help="By default the one in VIGIL_HOME.")]


def main() -> None:
    """Run the command line."""
    app()


@contextlib.contextmanager
def _api(url: str | None, token: str | None) -> Iterator[Any]:
    from console.client import Api

    with Api(load_settings(), url=url, token=token) as api:
        yield api


# --- processes -----------------------------------------------------------------------------------------------------


@app.command()
@ends_well
def up() -> None:
    """Everything on one machine: servers, sandbox, worker, API, and a practice's day. Ctrl-C stops it."""
    from console.up import run

    asyncio.run(run(load_settings(), out()))


@app.command()
@ends_well
def worker() -> None:
    """Run one worker in the foreground, until SIGTERM."""
    from worker import main as run

    raise typer.Exit(run())


@app.command()
@ends_well
def api() -> None:
    """Run the API in the foreground, until SIGTERM."""
    from api.__main__ import main as run

    raise typer.Exit(run())


@app.command()
@ends_well
def sandbox() -> None:
    """Run the simulated outside world in the foreground, where VIGIL_SANDBOX_URL says."""
    from console.children import sandbox_environment
    from console.machine import sandbox_of

    settings = load_settings()
    settings.ensure_home()
    managed = sandbox_of(settings)
    if managed is None:
        raise CommandFailed("VIGIL_SANDBOX_URL names another machine; run the sandbox there.")
    os.execve(managed.command[0], managed.command, sandbox_environment(settings))  # noqa: S606 - a program of ours


# --- cases ---------------------------------------------------------------------------------------------------------


@app.command()
@ends_well
def order(
    file: str,
    source: Annotated[str, typer.Option(help="Of a FHIR Bundle: the system that it comes from.")] = "fhir",
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Post an order (Vigil's JSON or a FHIR Bundle; `-` reads standard input) and say where it stands."""
    from console.cases import order_text, post_order
    from console.zones import zone_of_practice

    with _api(url, token) as api:
        answer = post_order(api, file, source)
    if as_json:
        print_json(answer)
        return
    typer.echo(order_text(answer, zone_of_practice(load_settings(), str(answer.get("practice")))))


@app.command()
@ends_well
def worklist(
    turn: Annotated[str | None, typer.Option(help="vigil, staff, provider, patient, payer, facility, operator")] = None,
    payer: str | None = None,
    owner: Annotated[str | None, typer.Option(help="Who holds its task.")] = None,
    urgency: Annotated[str | None, typer.Option(help="routine, urgent, stat")] = None,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
    width: Width = None,
) -> None:
    """Show the open cases by slack: what is due first comes first."""
    from console.cases import worklist as listed
    from console.words import one_of
    from console.worklist_view import worklist_view
    from console.zones import zone_of
    from domain.base import Turn
    from domain.order import Urgency

    one_of(Turn, "turn", turn)
    one_of(Urgency, "urgency", urgency)
    with _api(url, token) as api:
        items, answer = listed(api, turn=turn, payer=payer, owner=owner, urgency=urgency)
    if as_json:
        print_json(answer)
        return
    terminal = out(width)
    terminal.print(worklist_view(items, datetime.now(UTC), zone_of(load_settings(), items), terminal.width))


@app.command()
@ends_well
def case(
    case_id: Annotated[str, typer.Argument(help="A case's id, its beginning, or the order's number.")],
    action: Annotated[str | None, typer.Argument(help="retract")] = None,
    n: Annotated[int | None, typer.Argument(help="Which fact.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why the fact is taken back.")] = None,
    at: Annotated[str | None, typer.Option(help="As it was known then: 2026-03-02T14:00:00Z.")] = None,
    facts: Annotated[bool, typer.Option("--facts", help="Every fact, Vigil's own steps too.")] = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
    width: Width = None,
) -> None:
    """Show a case, now or at an instant; or take a fact of it back, which a second person signs."""
    from console.case_view import case_view
    from console.cases import case_at, find_case, retract

    with _api(url, token) as api:
        found = find_case(api, case_id)
        if action is not None:
            if action != "retract" or n is None or not reason:
                raise CommandFailed("Say which fact and why: vigil case ID retract N --reason TEXT", code=2)
            typer.echo(retract(api, found, n, reason))
            return
        folded, row, now = case_at(api, found, _instant(at))
    if as_json:
        said = {"view": row.model_dump(mode="json"), "facts": [one.model_dump(mode="json") for one in folded.facts]}
        print_json(said)
        return
    terminal = out(width)
    terminal.print(case_view(folded, row, now, terminal.width, every_fact=facts))


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CommandFailed(f"{text} is not an instant. Write it like 2026-03-02T14:00:00Z.", code=2) from None
    if found.tzinfo is None:
        raise CommandFailed(f"{text} has no UTC offset. Write it like 2026-03-02T14:00:00Z.", code=2)
    return found.astimezone(UTC)


# --- rules ---------------------------------------------------------------------------------------------------------


@policy_app.command("check")
@ends_well
def policy_check(paths: Annotated[list[Path] | None, typer.Argument()] = None) -> None:
    """Say what is wrong or doubtful about policy files (by default all of VIGIL_POLICIES_DIR). Errors end with 1."""
    from console.policies import check_files

    settings = load_settings()
    errors = 0
    for path, findings in check_files(settings, paths or [settings.policies_dir], datetime.now(UTC).date()):
        counted = f"{len(findings)} finding{'s' if len(findings) > 1 else ''}" if findings else "fine"
        typer.echo(f"{path}: {counted}")
        for finding in findings:
            typer.echo(f"  {finding.level}: {finding.where}: {finding.text}")
            errors += finding.level == "error"
    if errors:
        raise typer.Exit(1)


@policy_app.command("load")
@ends_well
def policy_load(
    paths: Annotated[list[Path] | None, typer.Argument()] = None,
    by: Annotated[str, typer.Option(help="Who releases them.")] = "operator",
) -> None:
    """Put policy files in force. Workers take them within half a minute; a case at its next turn."""
    from console.policies import load_files
    from console.upkeep import database

    settings = load_settings()

    async def load() -> list[tuple[str, str]]:
        async with database(settings) as opened:
            return await load_files(settings, opened, paths or [settings.policies_dir], by)

    for payer, digest in asyncio.run(load()):
        typer.echo(f"{payer}: edition {digest[:12]} is in force")


@policy_app.command("explain")
@ends_well
def policy_explain(
    policy: Annotated[str, typer.Argument(metavar="FILE|PAYER")],
    code: Annotated[str, typer.Argument(help="The procedure code.")],
    pos: Annotated[str, typer.Option(help="Place of service.")] = "11",
    diagnosis: Annotated[list[str] | None, typer.Option(help="ICD-10-CM; may be given several times.")] = None,
    age: Annotated[int | None, typer.Option(help="The patient's age in years.")] = None,
    state: Annotated[str | None, typer.Option(help="Where it is done, as IL.")] = None,
    on: Annotated[datetime | None, typer.Option(help="The day of service.", formats=["%Y-%m-%d"])] = None,
    as_json: AsJson = False,
) -> None:
    """Say which rule decides a code at a payer, with its source and its age."""
    from console.policies import explain, explanation, find_policy
    from domain.policy import LineKey

    found = find_policy(load_settings(), policy)
    day = on.date() if on else datetime.now(UTC).date()
    line = LineKey(1, code.upper(), None, pos, tuple(diagnosis or ()), age, state)
    decided = explain(found, line, day)
    if as_json:
        print_json(decided.model_dump(mode="json", by_alias=True))
    else:
        out().print(explanation(found, line, decided, day))


# --- upkeep --------------------------------------------------------------------------------------------------------


@app.command()
@ends_well
def migrate() -> None:
    """Bring the database's schema up to date. Safe to run again, and from several machines at once."""
    from runtime.embedded_postgres import database_url
    from store.migrate import migrate as bring_up_to_date

    asyncio.run(bring_up_to_date(database_url(load_settings())))
    typer.echo("The schema is up to date.")


@app.command()
@ends_well
def rebuild(practice: Annotated[str | None, typer.Option(help="Only this practice.")] = None) -> None:
    """Make the read model anew from the archive of facts."""
    from console.upkeep import rebuild as run

    done = asyncio.run(run(load_settings(), practice))
    typer.echo(f"{done.cases} cases rebuilt.")
    for one in done.failed:
        typer.echo(f"Not rebuilt: {one.case_id} of {one.practice} ({one.error}); it keeps its old row.", err=True)
    if done.failed:
        raise typer.Exit(1)


@token_app.command("issue")
@ends_well
def token_issue(
    practice: Annotated[str, typer.Option()],
    role: Annotated[str, typer.Option(help="intake, staff, supervisor, operator, codec")],
    person: Annotated[str, typer.Option(help="Who uses it.")],
    days: Annotated[int, typer.Option(min=1, max=3660)] = 90,
    label: str = "",
) -> None:
    """Issue a token and print it, this once."""
    from console.upkeep import issue_token
    from console.words import one_of
    from store.tokens import Role

    one_of(Role, "role", role)
    issuing = issue_token(load_settings(), practice=practice, role=Role(role), person=person, days=days, label=label)
    issued = asyncio.run(issuing)
    typer.echo(issued.secret)
    typer.echo(f"Valid until {issued.token.expires_at:%Y-%m-%d}; it is not shown again.", err=True)


@keys_app.command("rotate")
@ends_well
def keys_rotate() -> None:
    """Add a key and make it the active one. Then back the file up, and restart workers before the API."""
    from runtime.keys import rotate

    settings = load_settings()
    ring = rotate(settings)
    typer.echo(f"Active key: {ring.active}. Back up {settings.keys_path}, then restart every process.")


@keys_app.command("fingerprint")
@ends_well
def keys_fingerprint() -> None:
    """Show the ids of the keys and what VIGIL_HOME remembers of them. Nothing secret."""
    from console.upkeep import keys_fingerprint as listed
    from runtime.keys import load_keyring

    settings = load_settings()
    _require_keys(settings)
    ring = load_keyring(settings)
    for key_id, made, active in listed(ring):
        typer.echo(f"{'*' if active else ' '} {key_id}  {made}")
    typer.echo(ring.fingerprint(), nl=False)


@keys_app.command("codec-path")
@ends_well
def keys_codec_path() -> None:
    """Print where on the API a Temporal Web UI without a token finds the codec. A secret: it opens what is sealed."""
    from runtime.codec import codec_path
    from runtime.keys import load_keyring

    settings = load_settings()
    _require_keys(settings)
    typer.echo(codec_path(load_keyring(settings)))


def _require_keys(settings: Settings) -> None:
    if settings.keys is None and not settings.keys_path.exists():
        raise CommandFailed(f"There are no keys at {settings.keys_path} yet. `vigil up` makes them on its first start.")


if __name__ == "__main__":
    main()
