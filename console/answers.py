"""`vigil read`: what Vigil makes of a payer's answer, as JSON, with no case and no effect."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

from connectors.pas.read import read_answers
from console.errors import CommandFailed
from console.files import read_bytes
from domain.decision import Decision, LineDecision, Number, Result

Json = dict[str, Any]

RAILS_TO_COME = ("x12", "gateway")
_MEDIA = {".json": "application/fhir+json", ".html": "text/html", ".xml": "application/xml"}


def require_pas(rail: str) -> None:
    """Refuse every rail but PAS. Raises `CommandFailed` with exit code 2."""
    if rail in RAILS_TO_COME:
        raise CommandFailed(f"The rail {rail} is not available in this release. Use --rail pas.", code=2)
    if rail != "pas":
        raise CommandFailed(f"There is no rail {rail}. Use --rail pas.", code=2)


def read_file(file: str, rail: str, status: int | None = None) -> Json:
    """Read a payer's answer from a file (`-` is standard input) as if it had come with that HTTP status.

    Where no status is given it counts as 200, and an error in place of an answer as sent with 400, as PAS has it.

    Raises:
        CommandFailed: the file cannot be opened, or the rail is none.
    """
    require_pas(rail)
    body = read_bytes(file)
    media_type = _MEDIA.get(Path(file).suffix.lower())
    found = read_answers(body, media_type, status or HTTPStatus.OK)
    if status is None and all(one.result is Result.UNREADABLE and one.errors and not one.lines for one in found):
        found = read_answers(body, media_type, HTTPStatus.BAD_REQUEST)
    if len(found) == 1:
        return _answer(found[0])
    # Several requests in one answer, as an inquiry may bring: each by itself, and none speaks for another.
    return {"result": "several", "answers": [_answer(one) for one in found]}


def _answer(decision: Decision) -> Json:
    said: Json = {
        "result": decision.result.value,
        "lines": [_line(line) for line in decision.lines],
        "numbers": _by_type(decision.numbers),
        "asks": [ask.model_dump(mode="json", exclude_none=True) for ask in decision.asks],
        "trace": decision.trace,
        "member_id": decision.member_id,
        "received": decision.received.isoformat() if decision.received else None,
        "notes": list(decision.notes),
    }
    errors = [error.model_dump(mode="json", exclude_none=True) for error in decision.errors]
    if decision.result is Result.REJECTED:
        said["rejected"] = errors
    elif errors:
        said["errors"] = errors
    return said


def _line(line: LineDecision) -> Json:
    return {
        "line": line.line,
        "decision": line.decision.value,
        "code": line.code,
        "numbers": _by_type(line.numbers),
        "valid_from": line.valid_from.isoformat() if line.valid_from else None,
        "valid_to": line.valid_to.isoformat() if line.valid_to else None,
        "units": line.units,
        "procedure": line.procedure,
        "reasons": [reason.model_dump(mode="json", exclude_none=True) for reason in line.reasons],
    }


def _by_type(numbers: tuple[Number, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number in numbers:
        found.setdefault(number.type.value, []).append(number.value)
    return found
