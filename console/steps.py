"""Progress of a start: one line a step, with its seconds; a step that fails says what, and where to look."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class Steps:
    """Prints a line when a step has ended. Steps may run side by side."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time a step; when it ends well it is told, and when it does not."""
        began = time.monotonic()
        try:
            yield
        except Exception:
            self._tell("✗", "bold red", what, time.monotonic() - began)
            raise
        self._tell("✓", "green", what, time.monotonic() - began)

    def say(self, sentence: str, style: str = "") -> None:
        """Print a sentence."""
        self._console.print(Text(sentence, style=style), soft_wrap=True)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def _tell(self, sign: str, style: str, what: str, seconds: float) -> None:
        line = Text(f"{sign} ", style=style)
        line.append(f"{what:<58}", style="default")
        line.append(f"{seconds:6.1f} s", style="dim")
        self._console.print(line, soft_wrap=True)
