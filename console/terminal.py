"""What all commands of the terminal share: how they end, how they print, and the options that many have."""

import functools
import json
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console

from console.errors import CommandFailed
from runtime.errors import VigilRuntimeError

P = ParamSpec("P")
R = TypeVar("R")

AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]
Width = Annotated[int | None, typer.Option("--width", help="Columns; by default the terminal's.", min=40, max=400)]


def ends_well(command: Callable[P, R]) -> Callable[P, R]:
    """Show what went wrong as a sentence, and end with its exit code."""

    @functools.wraps(command)
    def guard(*args: P.args, **kwargs: P.kwargs) -> R:
        from store.errors import StoreError

        try:
            return command(*args, **kwargs)
        except CommandFailed as error:
            _fail(str(error), error.code)
        except (VigilRuntimeError, StoreError) as error:
            _fail(str(error), 1)

    return guard


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


def out(width: int | None = None) -> Console:
    """The terminal, of so many columns."""
    return Console(width=width, highlight=False)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
