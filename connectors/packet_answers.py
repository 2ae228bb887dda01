"""A filled-in form of the payer (FHIR R4 QuestionnaireResponse, as DTR makes it) as lines that can be printed."""

import json
from collections.abc import Iterator
from typing import Any

_DEEPEST = 20
_MOST_LINES = 2000


def answers_of(content: bytes) -> tuple[str, ...] | None:
    """The questions with their answers, a line each; None where it is no form, or too large to print."""
    try:
        form = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(form, dict) or form.get("resourceType") != "QuestionnaireResponse":
        return None
    lines: list[str] = [f"Form: {form.get('questionnaire', '-')}", f"Answered: {form.get('authored', '-')}", ""]
    for line in _lines(form, 0):
        if len(lines) >= _MOST_LINES:
            return None
        lines.append(line)
    return tuple(lines)


def _lines(part: dict[str, Any], depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        yield "(more is in the form itself)"
        return
    for item in _dicts(part.get("item")):
        answers = _dicts(item.get("answer"))
        said = "; ".join(filter(None, (_said(answer) for answer in answers)))
        question = str(item.get("text") or item.get("linkId") or "?")
        yield "  " * depth + (f"{question}: {said or '-'}" if answers else question)
        for nested in (*answers, item):
            yield from _lines(nested, depth + 1)


def _said(answer: dict[str, Any]) -> str:
    """One answer in words, whatever its type (`value[x]`)."""
    value = next((value for key, value in answer.items() if key.startswith("value")), None)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        coded = value.get("display") or value.get("code")
        measured = " ".join(str(value[key]) for key in ("value", "unit") if key in value)
        return str(coded or measured or value.get("reference") or value.get("title") or "see the form itself")
    return "" if value is None else str(value)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
