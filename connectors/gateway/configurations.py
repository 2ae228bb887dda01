"""A payer's own field rules, as the gateway publishes them, and what of a request does not fit them, before it is sent.

Source: Availity Configurations 1.0.0 (`type=service-reviews`), definitions Configuration, Element, FieldCondition. The swagger
does not say how a condition names its field: the element's own object is looked at first, then the whole (confirm). What
cannot be judged (a list behind a link, a pattern that is no regular expression of Python's or could run without end) is not,
nor are `objectTypes`, which say what kinds of entries a list may have (confirm: the swagger shows no example).
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from connectors.gateway.client import GatewayAnswer
from connectors.lenient import Json, NotJson, objects, parse, raw, text
from domain.decision import AnswerError

MAX_PROBLEMS = 10
_DAY_SECONDS = 86400.0
_MOST_KEPT = 200
_DEPTH = 6
_MAX_VALUE = 300
_LONGEST_PATTERN = 300
_NESTED_REPEAT = re.compile(r"[+*}][^()]*\)+[+*{]|\([^)]*\|[^)]*\)+[+*{]")
_REPEAT = re.compile(r"[+*]|\{\d*,\d*\}")
_MOST_REPEATS = 3
"""Repeats of repeats and of alternatives, or many in a row: such patterns may take longer than anybody waits."""
_NO_FIELDS = frozenset({"Unsupported", "Information"})


class Configuration:
    """The rules of one payer for one type of request. `answer` is where they were read."""

    def __init__(self, rules: Json, answer: GatewayAnswer) -> None:
        self._rules = rules
        self.answer = answer

    def problems(self, body: Json) -> tuple[AnswerError, ...]:
        """Return what of a service review does not fit, each with its field and what to do; at most ten. No values."""
        check = _Check(body)
        check.elements(_mapping(self._rules.get("elements")), body, "", _DEPTH)
        check.combinations(_mapping(self._rules.get("requiredFieldCombinations")))
        return tuple(dict.fromkeys(check.found))[:MAX_PROBLEMS]


def read_configuration(answer: GatewayAnswer) -> Configuration | None:
    """Return the rules in an answer; None where the gateway has none for this payer or nothing that can be read.

    Of several the first that is whole is taken: the gateway abbreviates where it finds many.
    """
    if answer.status != HTTPStatus.OK:
        return None
    try:
        found = parse(answer.body)
    except NotJson:
        return None
    whole = [rules for rules in objects(found.get("configurations")) if _mapping(rules.get("elements"))]
    return Configuration(whole[0], answer) if whole else None


class ConfigurationCache:
    """Keeps each payer's rules for a day, by the machine's own clock. Make one and keep it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], tuple[Configuration | None, float]] = {}

    async def get(self, name: tuple[str, ...], fetch: Callable[[], Awaitable[GatewayAnswer]]) -> Configuration | None:
        """Return the kept rules of that name, or fetch them. `fetch` raises its own errors."""
        kept = self._kept.get(name)
        if kept is None or kept[1] <= time.monotonic():
            answer = await fetch()
            kept = read_configuration(answer), time.monotonic() + _DAY_SECONDS
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            if kept[0] is not None or answer.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
                self._kept[name] = kept
        return kept[0]


class _Check:
    """One service review under examination. Fields are named by their path, as in `procedures[2].code`."""

    def __init__(self, body: Json) -> None:
        self.body = body
        self.found: list[AnswerError] = []

    def elements(self, elements: Mapping[str, Any], holder: Json, at: str, depth: int) -> None:
        """Look at every element of an object."""
        for name, element in elements.items():
            if (
                isinstance(element, dict)
                and raw(element.get("type")) not in _NO_FIELDS
                and len(self.found) < MAX_PROBLEMS
            ):
                self._element(str(name), element, holder, at, depth)

    def combinations(self, rules: Mapping[str, Any]) -> None:
        """Every rule wants all fields of one of its lists."""
        for lists in rules.values():
            wanted = [fields for fields in lists if isinstance(fields, list)] if isinstance(lists, list) else []
            if wanted and not any(all(self._given(self.body, str(f)) for f in fields) for fields in wanted):
                ways = "; or ".join(" and ".join(str(field) for field in fields) for fields in wanted)
                self._add("COMBINED", ways, "The payer wants all of these together. Complete one of the lists.")

    def _element(self, name: str, element: Json, holder: Json, at: str, depth: int) -> None:
        if element.get("type") == "Section":
            # A section only groups on the screen: its fields are fields of the same object.
            if depth:
                self.elements(_mapping(element.get("elements")), holder, at, depth - 1)
            return
        holder, name, at = _inside(holder, name, at)
        field = f"{at}{name}"
        value = holder.get(name)
        label = text(element.get("label"), 60) or name
        if value in (None, "", [], {}):
            if self._required(element, holder):
                self._add("REQUIRED", field, f"The payer requires {label}. Complete it.")
        elif not self._allowed(element, holder):
            self._add("NOTALLOWED", field, f"The payer does not take {label} in this request. Leave it out.")
        elif isinstance(value, list):
            self._repeated(element, value, field, label, depth)
        elif isinstance(value, dict):
            if depth:
                self.elements(_mapping(element.get("elements")), value, f"{field}.", depth - 1)
        else:
            self._value(element, holder, str(value), field, label)

    def _repeated(self, element: Json, values: list[Any], field: str, label: str, depth: int) -> None:
        least, most = _number(element.get("minRepeats")), _number(element.get("maxRepeats"))
        if most is not None and len(values) > most:
            self._add("REPEATS", field, f"The payer takes {most} of {label} at the most. Split the request.")
        if least is not None and len(values) < least:
            self._add("REPEATS", field, f"The payer wants {least} of {label} at least. Complete them.")
        for place, value in enumerate(values):
            if isinstance(value, dict) and depth:
                self.elements(_mapping(element.get("elements")), value, f"{field}[{place}].", depth - 1)

    def _value(self, element: Json, holder: Json, value: str, field: str, label: str) -> None:
        least = _number(element.get("minLength"))
        lengths = [most for said in self._said(element, holder, "maxLength") if (most := _number(said)) is not None]
        if lengths and len(value) > min(lengths):
            self._add("LENGTH", field, f"The payer takes {min(lengths)} characters of {label} at the most. Shorten it.")
        if least is not None and len(value) < least:
            self._add("LENGTH", field, f"The payer wants {least} characters of {label} at least. Complete it.")
        if not all(_fits(pattern, value[:_MAX_VALUE]) for pattern in self._said(element, holder, "pattern")):
            said = text(element.get("errorMessage"), 200) or f"The payer takes {label} in another form."
            self._add("PATTERN", field, f"{said} Correct it.")
        for allowed in map(_values, self._said(element, holder, "values")):
            if allowed and value not in allowed:
                shown = ", ".join(sorted(allowed)[:20])
                self._add("VALUE", field, f"The payer takes only certain values of {label} ({shown}). Choose one.")
        first, last = text(element.get("min"), 40), text(element.get("max"), 40)
        if element.get("type") == "Date" and ((first and value < first[:10]) or (last and value > last[:10])):
            self._add("DATE", field, f"The payer takes {label} within other dates. Correct it.")

    def _said(self, element: Json, holder: Json, name: str) -> list[Any]:
        """What an element says outright, as `pattern`, and what it says where a condition holds, as `patternWhen`."""
        found = [element.get(name)]
        for path, conditions in _mapping(element.get(f"{name}When")).items():
            value = self._plain(holder, str(path))
            for condition in conditions if isinstance(conditions, list) else [conditions]:
                # Its own pattern is what is said, and no part of the condition.
                when = {part: said for part, said in _mapping(condition).items() if part != "pattern"}
                if _holds(when, value):
                    found.append(_mapping(condition).get(name))
        return found

    def _required(self, element: Json, holder: Json) -> bool:
        if self._any(element.get("notRequiredWhen"), holder) or not self._allowed(element, holder):
            return False
        return element.get("required") is True or self._any(element.get("requiredWhen"), holder)

    def _allowed(self, element: Json, holder: Json) -> bool:
        only = _mapping(element.get("allowedWhen"))
        if self._any(element.get("notAllowedWhen"), holder) or (only and not self._any(only, holder)):
            return False
        return element.get("allowed") is not False

    def _any(self, conditions: Any, holder: Json) -> bool:
        return any(
            isinstance(condition, dict) and _holds(condition, self._plain(holder, str(name)))
            for name, condition in _mapping(conditions).items()
        )

    def _plain(self, holder: Json, path: str) -> str:
        for place in (holder, self.body):
            value = _at(place, path)
            if value is not None and not isinstance(value, dict | list):
                return str(value)
        return ""

    def _given(self, holder: Json, path: str) -> bool:
        return _at(holder, path) not in (None, "", [], {})

    def _add(self, code: str, field: str, remedy: str) -> None:
        self.found.append(AnswerError(code=code, where=field[:300], text=remedy))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _inside(holder: Json, name: str, at: str) -> tuple[Json, str, str]:
    """Go along a dotted name: some configurations name a field of an object in one word."""
    *steps, last = name.split(".")
    for step in steps:
        holder, at = dict(_mapping(holder.get(step))), f"{at}{step}."
    return holder, last, at


def _at(holder: Any, path: str) -> Any:
    """What stands at a dotted path; of a list its first entry."""
    for step in path.split("."):
        first = holder[0] if isinstance(holder, list) and holder else holder
        holder = first.get(step) if isinstance(first, dict) else None
    return holder


def _holds(condition: Json, value: str) -> bool:
    """Whether a field's value meets a condition: everything in it that can be judged, and at least one such."""
    judged: list[bool] = []
    if isinstance(condition.get("equalTo"), str):
        judged.append(value == condition["equalTo"])
    if isinstance(condition.get("containedIn"), list):
        judged.append(value in condition["containedIn"])
    compared: dict[str, Callable[[str, str], bool]] = {
        "greaterEqual": lambda a, b: a >= b,
        "greaterThan": lambda a, b: a > b,
        "lessEqual": lambda a, b: a <= b,
        "lessThan": lambda a, b: a < b,
    }
    for name, holds in compared.items():
        if isinstance(condition.get(name), str):
            judged.append(bool(value) and holds(*_alike(value, condition[name])))
    if isinstance(condition.get("pattern"), str):
        judged.append(bool(value) and _fits(condition["pattern"], value))
    return bool(judged) and all(judged)


def _alike(first: str, second: str) -> tuple[str, str]:
    """Two numbers so that they compare as numbers; dates and words compare as they are."""
    if first.isdigit() and second.isdigit():
        width = max(len(first), len(second))
        return first.zfill(width), second.zfill(width)
    return first, second


def _fits(pattern: Any, value: str) -> bool:
    """Whether a value has a form. A pattern that cannot be judged fits."""
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN:
        return True
    if _NESTED_REPEAT.search(pattern) or len(_REPEAT.findall(pattern)) > _MOST_REPEATS:
        return True
    try:
        return re.search(pattern, value) is not None
    except (re.error, OverflowError, RecursionError):
        return True


def _values(values: Any) -> frozenset[str]:
    """The values of a list, plain or as objects with an `id` or `code`; none where it is a link."""
    given = values if isinstance(values, list) else []
    named = [value.get("id", value.get("code")) if isinstance(value, dict) else value for value in given]
    return frozenset(str(value) for value in named if isinstance(value, str | int))
