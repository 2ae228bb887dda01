"""What `vigil up` prints when everything runs: addresses, the token, and what to try."""

import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from console.client import api_url
from console.home import TOKEN_FILE
from runtime.settings import Settings


def welcome(console: Console, settings: Settings, token: str, case: str | None, seconds: float) -> None:
    """Print it. `case` is the order number of a case to look at, where the day was seeded."""
    api = api_url(settings)
    ui = f"http://127.0.0.1:{settings.ui_port}"
    rows = (
        ("API", f"{api}/v1"),
        ("OpenAPI", f"{api}/v1/openapi.json"),
        ("Temporal Web UI", f"{ui}/namespaces/default/workflows"),
        ("Temporal", f"127.0.0.1:{settings.temporal_port}"),
        ("Sandbox", settings.sandbox_url),
        ("Token", token),
        ("", f"(also in {settings.home_path / TOKEN_FILE})"),
    )
    vigil = elsewhere(settings) + command_as_typed()
    tries = (
        f"{vigil} worklist",
        f"{vigil} case {case}" if case else f"{vigil} policy check",
        f'curl -H "Authorization: Bearer $(cat {settings.home_path / TOKEN_FILE})" {api}/v1/worklist',
    )
    console.print()
    console.print(Text(f"Vigil is up after {seconds:.0f} s. All people in it are invented.", style="bold"))
    for name, value in rows:
        console.print(Text(f"  {name:<16}{value}"), soft_wrap=True)
    console.print(Text("Try, in another terminal:"))
    for command in tries:
        console.print(Text(f"  {command}", style="cyan"), soft_wrap=True)
    console.print(Text("Ctrl-C stops what was started; started again, it goes on where it was.", style="dim"))


def command_as_typed() -> str:
    """How a person in this folder runs the command that is running: by name where the shell finds it, else by its path."""
    running, found = Path(sys.argv[0]).absolute(), shutil.which("vigil")
    if running.name != "vigil" or (found is not None and running.exists() and Path(found).samefile(running)):
        return "vigil"
    here = Path.cwd()
    return str(running.relative_to(here) if running.is_relative_to(here) else running)


def elsewhere(settings: Settings) -> str:
    """What another terminal must be told to find this Vigil, before a command: nothing where all is by default."""
    told = {"home": ("VIGIL_HOME", settings.home_path), "api_port": ("VIGIL_API_PORT", settings.api_port)}
    return "".join(f"{name}={value} " for field, (name, value) in told.items() if field in settings.model_fields_set)
