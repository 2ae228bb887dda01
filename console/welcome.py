"""What `vigil up` prints when everything runs: addresses, the token, and what to try."""

from rich.console import Console
from rich.text import Text

from console.client import api_url
from console.home import TOKEN_FILE
from runtime.settings import Settings


def welcome(console: Console, settings: Settings, token: str, case_id: str, seconds: float) -> None:
    """Print it. `case_id` is a case to look at."""
    api = api_url(settings)
    ui = f"http://127.0.0.1:{settings.ui_port}"
    rows = (
        ("API", f"{api}/v1"),
        ("OpenAPI", f"{api}/v1/openapi.json"),
        ("Temporal Web UI", f"{ui}/namespaces/default/workflows"),
        ("Temporal", f"127.0.0.1:{settings.temporal_port}"),
        ("Sandbox", settings.sandbox_url),
        ("Token", f"{token}  (also in {settings.home_path / TOKEN_FILE})"),
    )
    tries = (
        "vigil worklist",
        f"vigil case {case_id}",
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
