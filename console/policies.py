"""`vigil policy`: check a payer's file, put files in force, and say which rule decides."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import yaml
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.errors import CommandFailed
from domain.house import HouseRules, parse_rules
from domain.policy import LineKey, LineRequirement, Policy, PolicyError
from domain.policy_check import Finding, check_policy
from domain.policy_rules import DocumentNeed
from runtime.settings import Settings
from store.database import Database
from store.policies import release


def policy_paths(given: Iterable[Path]) -> list[Path]:
    """The policy files that paths name: files themselves, and every `*.yaml` of folders.

    Raises:
        CommandFailed: a path is not there, or a folder has none.
    """
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = sorted(path.glob("*.yaml"))
            if not inside:
                raise CommandFailed(f"{path} has no *.yaml file.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise CommandFailed(f"{path} is not there.")
    return found


def policies_in(folder: Path) -> dict[str, Policy]:
    """The policies of a folder by payer. Raises `CommandFailed` where one cannot be used."""
    found = [read_rules_file(path) for path in policy_paths([folder])]
    return {policy.payer: policy for policy in found if isinstance(policy, Policy)}


def read_rules_file(path: Path) -> Policy | HouseRules:
    """A payer's policy, or the house's rules. Raises `CommandFailed` with every problem that keeps it from being used."""
    try:
        return parse_rules(_yaml(path), name=path.name)
    except PolicyError as error:
        raise CommandFailed(str(error)) from None


def read_policy_file(path: Path) -> Policy:
    """One payer's policy. Raises `CommandFailed` where it cannot be used, or is the house's rules."""
    found = read_rules_file(path)
    if not isinstance(found, Policy):
        raise CommandFailed(f"{path} has the house's rules, not a payer's.")
    return found


def check_files(settings: Settings, paths: Iterable[Path], on: date) -> list[tuple[Path, list[Finding]]]:
    """What is wrong or doubtful about each file on a day."""
    placeholders = frozenset({"sandbox", *settings.hosts})
    return [
        (path, check_policy(_yaml(path), on, name=path.name, placeholders=placeholders)) for path in policy_paths(paths)
    ]


async def load_files(settings: Settings, database: Database, paths: Iterable[Path], by: str) -> list[tuple[str, str]]:
    """Put files in force, all or none where one has an error; the answer is payer and digest of each.

    Raises:
        CommandFailed: a file has errors.
        StoreAway: PostgreSQL cannot be reached.
    """
    now = datetime.now(UTC)
    checked = check_files(settings, paths, now.date())
    errors = [
        f"{path}: {finding.where}: {finding.text}"
        for path, findings in checked
        for finding in findings
        if finding.level == "error"
    ]
    if errors:
        raise CommandFailed("Nothing was put in force. Correct first:\n" + "\n".join(errors))
    return [
        (read_rules_file(path).payer, await release(database, path.read_text(), by=by, at=now)) for path, _ in checked
    ]


def find_policy(settings: Settings, payer_or_file: str) -> Policy:
    """A policy by its file, or by its payer in the policies folder. Raises `CommandFailed`."""
    path = Path(payer_or_file)
    if path.suffix in {".yaml", ".yml"}:
        return read_policy_file(path)
    known = policies_in(settings.policies_dir)
    if payer_or_file not in known:
        raise CommandFailed(f"{settings.policies_dir} has no policy of {payer_or_file}. It has: {', '.join(known)}.")
    return known[payer_or_file]


def explain(policy: Policy, line: LineKey, on: date) -> LineRequirement:
    """Which rule decides a line on a day."""
    return policy.requirement_for(line, on)


def explanation(policy: Policy, line: LineKey, found: LineRequirement, on: date) -> RenderableType:
    """The rule that decides, what it says, and where it was read."""
    categories = ", ".join(policy.categories_of(line.code)) or "no category"
    head = Text(f"{policy.name} · {line.code} ({categories}) · place of service {line.place_of_service} · on {on}")
    head.stylize("bold")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    said: list[tuple[str, str]] = [
        ("Authorization", found.authorization.replace("_", " ")),
        ("Referral", found.referral.replace("_", " ")),
        ("Who asks", found.who_asks.value),
        ("Documents", ", ".join(_document(need) for need in found.documents) or "none"),
        ("Approval holds", str(found.validity) if found.validity else "as the answer says"),
        ("Rule", found.rule if found.source else f"{found.rule} - {found.why}"),
    ]
    if found.recheck:
        said.append(("Check again after", str(found.recheck)))
    if found.source:
        said.append(("Source", found.source))
    if found.verified_on:
        age = (on - found.verified_on).days
        stale = age > policy.verify_every.amount
        told = f"{found.verified_on}, {age} days ago" if age >= 0 else f"{found.verified_on}"
        said.append(("Verified", told + (f"; older than {policy.verify_every}: verify it again" if stale else "")))
    if found.effective:
        said.append(
            (
                "In effect",
                f"from {found.effective.since}" + (f" until {found.effective.until}" if found.effective.until else ""),
            )
        )
    for name, value in said:
        table.add_row(name, Text(value))
    return Group(head, table)


def _document(need: DocumentNeed) -> str:
    return f"{need.kind.replace('_', ' ')}" + (f" of the last {need.within}" if need.within else "")


def _yaml(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise CommandFailed(f"{path}{f', line {mark.line + 1}' if mark else ''}: not valid YAML. Correct it.") from None
