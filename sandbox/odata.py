"""The part of OData v3 of NextGen's callers: `$filter` of comparisons joined by `and`, `$orderby`."""

import re
from collections.abc import Callable
from datetime import datetime

from sandbox.records import Json

COMPARISON = re.compile(
    r"^(?P<field>\w+)\s+(?P<op>eq|ne|gt|ge|lt|le)\s+"
    r"(?:(?:date[tT]ime|guid)?'(?P<text>[^']*)'|(?P<word>true|false|null|-?\d+(?:\.\d+)?))$"
)
CONTAINS = re.compile(r"^substringof\('(?P<text>[^']*)'\s*,\s*(?P<field>\w+)\)$")
OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}


def matches(item: Json, expression: str) -> bool:
    """Whether an item passes a `$filter`. Raises ValueError when the expression cannot be read."""
    return all(_holds(item, part.strip()) for part in re.split(r"\s+and\s+", expression.strip()))


def fields(expression: str) -> set[str]:
    """The fields that a `$filter` names. Raises ValueError when the expression cannot be read."""
    return {_parse(part.strip())[0] for part in re.split(r"\s+and\s+", expression.strip())} if expression else set()


def ordered(items: list[Json], expression: str) -> list[Json]:
    """Items in the order of `$orderby`."""
    for part in reversed([part.strip() for part in expression.split(",") if part.strip()]):
        name, _, direction = part.partition(" ")
        items = sorted(items, key=_field_key(name), reverse=direction.strip() == "desc")
    return items


def _field_key(name: str) -> Callable[[Json], str]:
    return lambda item: _comparable(item.get(name))


def _parse(part: str) -> tuple[str, str, str]:
    contains = CONTAINS.match(part)
    if contains:
        return contains["field"], "substringof", contains["text"]
    comparison = COMPARISON.match(part)
    if comparison is None:
        raise ValueError("the $filter cannot be read")
    text = comparison["text"] if comparison["text"] is not None else comparison["word"]
    return comparison["field"], comparison["op"], text


def _holds(item: Json, part: str) -> bool:
    field, operator, text = _parse(part)
    value = item.get(field)
    if operator == "substringof":
        return text.lower() in str(value or "").lower()
    return OPERATORS[operator](_comparable(value), _comparable(text))


def _comparable(value: object) -> str:
    """Values as text that sorts: instants to the second, numbers padded, booleans and null as OData spells them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return f"{float(text):020.6f}"
    if re.match(r"^\d{4}-\d{2}-\d{2}", text):
        return datetime.fromisoformat(text).replace(tzinfo=None, microsecond=0).isoformat()
    return text.lower()
