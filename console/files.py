"""Files that are named on the command line: an order, a payer's answer."""

import json
import sys
from pathlib import Path
from typing import Any

from console.errors import CommandFailed

_LIMIT = 10 * 1024 * 1024


class TooLarge(CommandFailed):
    """A file is larger than 10 MB."""


def read_bytes(file: str) -> bytes:
    """The content of a file, or of standard input for `-`.

    Raises:
        CommandFailed: there is no such file, or it cannot be read.
        TooLarge: it is larger than 10 MB.
    """
    try:
        if file == "-":
            content = sys.stdin.buffer.read(_LIMIT + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(_LIMIT + 1)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror or type(error).__name__}.") from None
    if len(content) > _LIMIT:
        raise TooLarge(f"{file} is larger than 10 MB.")
    return content


def read_json(file: str) -> dict[str, Any]:
    """A file's JSON object. Raises `CommandFailed` where it is none."""
    try:
        found = json.loads(read_bytes(file))
    except (ValueError, RecursionError):
        raise CommandFailed(f"{file} is not JSON.") from None
    if not isinstance(found, dict):
        raise CommandFailed(f"{file} is not a JSON object.")
    return found


def is_fhir(content: dict[str, Any]) -> bool:
    """Whether an order comes as FHIR, not in Vigil's own JSON."""
    return "resourceType" in content
