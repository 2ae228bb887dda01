"""Whether answers fit a payer's form: which items count, and what is wrong with which, each with what to do about it.

Sources: FHIR R4 Questionnaire (`enableWhen`, `required`, `repeats`, `maxLength`, `readOnly`) and the extensions that
`domain.questionnaire` reads.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from domain.base import Frozen
from domain.questionnaire import Answers, Condition, Form, Item, ItemType, Scalar

_ROUNDS = 20
_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
_AMOUNT = re.compile(r"(-?\d{1,15}(?:\.\d{1,10})?)(?: (\S.{0,58}))?")
_DOCUMENT = re.compile(r"[0-9a-f]{64}")


class AnswerProblem(Frozen):
    """What is wrong with one item, and what to do about it; never a value."""

    link_id: str
    path: str
    """Where it is: linkIds with the row of each group that repeats, as in `3[1]/3.2`."""
    text: str


class Place(Frozen):
    """An item that counts, with its answers, wherever it stands."""

    item: Item
    path: str
    values: tuple[Any, ...] = ()


def places(form: Form, answers: Answers) -> tuple[Place, ...]:
    """The items that count with these answers, in order; what does not count has no say in what does."""
    known: Answers = answers
    for _ in range(_ROUNDS):
        found = tuple(_places(form.items, answers, "", (known,)))
        kept = in_play(form, answers, found)
        if kept == known:
            break
        known = kept
    return found


def in_play(form: Form, answers: Answers, found: Sequence[Place] | None = None) -> Answers:
    """The answers without those of items that do not count."""
    paths = {place.path for place in (found if found is not None else places(form, answers))}
    return _kept(form.items, answers, "", paths)


def validate(form: Form, answers: Answers, *, complete: bool = True) -> tuple[AnswerProblem, ...]:
    """What is wrong with answers. What is only saved for later (`complete` false) may lack answers, but not hold wrong ones."""
    problems = list(_strange(form.items, answers, ""))
    for place in places(form, answers):
        problems += [
            AnswerProblem(link_id=place.item.link_id, path=place.path, text=text)
            for text in _wrong(place, complete=complete)
        ]
    return tuple(problems)


def values_of(answers: Answers, link_id: str) -> tuple[Any, ...]:
    """The answers to an item in one scope: a lone one counts as a list; what is empty is no answer."""
    given = answers.get(link_id)
    listed = given if isinstance(given, list | tuple) else [given]
    return tuple(one for one in listed if one is not None and one not in ("", {}))


def _places(items: Sequence[Item], answers: Answers, prefix: str, scopes: tuple[Answers, ...]) -> Iterator[Place]:
    for item in items:
        if not _counts(item, scopes):
            continue
        path = f"{prefix}{item.link_id}"
        values = values_of(answers, item.link_id) if item.type.is_question or item.has_rows else ()
        yield Place(item=item, path=path, values=values)
        if not item.has_rows:
            yield from _places(item.items, answers, prefix, scopes)
            continue
        for row, inner in enumerate(values):
            if isinstance(inner, Mapping):
                yield from _places(item.items, inner, f"{path}[{row}]/", (inner, *scopes))


def _kept(items: Sequence[Item], answers: Answers, prefix: str, paths: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        path = f"{prefix}{item.link_id}"
        if path not in paths:
            continue
        values = values_of(answers, item.link_id)
        if item.has_rows:
            rows = [
                _kept(item.items, row, f"{path}[{n}]/", paths)
                for n, row in enumerate(values)
                if isinstance(row, Mapping)
            ]
            found |= {item.link_id: rows} if rows else {}
            continue
        if item.type.is_question and values:
            found[item.link_id] = list(values)
        found |= _kept(item.items, answers, prefix, paths)
    return found


def _counts(item: Item, scopes: tuple[Answers, ...]) -> bool:
    if not item.conditions:
        return True
    met = [_holds(condition, scopes) for condition in item.conditions]
    return any(met) if item.any_condition else all(met)


def _holds(condition: Condition, scopes: tuple[Answers, ...]) -> bool:
    values: tuple[Any, ...] = ()
    for scope in scopes:  # the row that the item stands in first, then what is around it
        if values := values_of(scope, condition.question):
            break
    if condition.operator == "exists":
        return bool(values) == (condition.answer is True)
    return any(_compare(value, condition.operator, condition.answer) for value in values)


def _compare(value: Any, operator: str, wanted: Scalar) -> bool:
    if operator in {"=", "!="}:
        return _same(value, wanted) == (operator == "=")
    a, b = _ordered(value), _ordered(wanted)
    if a is None or b is None or type(a) is not type(b):
        return False
    return {"<": _below(a, b), ">": _below(b, a), "<=": not _below(b, a), ">=": not _below(a, b)}[operator]


def _same(value: Any, wanted: Scalar) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    a, b = _ordered(value), _ordered(wanted)
    if isinstance(a, float) and isinstance(b, float):
        return a == b
    one, other = str(value), str(wanted)
    # A code whose system one side leaves out is the same code.
    bare = one.partition("|")[2] == other.partition("|")[2] if one.startswith("|") or other.startswith("|") else False
    return one == other or (bare and "|" in one and "|" in other)


def _ordered(value: Any) -> float | str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    amount = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if amount is not None:
        return float(amount.group(1))
    return value if isinstance(value, str) else None


def _strange(items: Sequence[Item], answers: Answers, prefix: str) -> Iterator[AnswerProblem]:
    """Answers to what the form does not ask there, and rows that are none."""
    here = {item.link_id: item for item in _of_one_row(items)}
    for name in answers:
        if name not in here:
            yield AnswerProblem(
                link_id=name[:255], path=f"{prefix}{name}"[:600], text="The form has no such item here."
            )
    for item in here.values():
        for row, inner in enumerate(values_of(answers, item.link_id) if item.has_rows else ()):
            path = f"{prefix}{item.link_id}[{row}]"
            if isinstance(inner, Mapping):
                yield from _strange(item.items, inner, f"{path}/")
            else:
                yield AnswerProblem(link_id=item.link_id, path=path, text="Give each row as answers by linkId.")


def _of_one_row(items: Sequence[Item]) -> Iterator[Item]:
    """The items whose answers stand side by side: not those in the rows of a group that repeats."""
    for item in items:
        yield item
        if not item.has_rows:
            yield from _of_one_row(item.items)


def _wrong(place: Place, *, complete: bool) -> Iterator[str]:
    item, values = place.item, place.values
    if not item.type.is_question and not item.has_rows:
        return
    least = max(item.min_occurs or 0, 1 if item.required else 0)
    if complete and not (item.read_only or item.hidden) and len(values) < least:
        yield "An answer is needed." if least == 1 else f"At least {least} answers are needed."
    most = item.max_occurs if item.repeats else 1
    if most is not None and len(values) > most:
        yield f"At most {most} answers may be given." if most > 1 else "One answer only may be given."
    if item.type.is_question:
        for text in dict.fromkeys(text for value in values if (text := _misfit(item, value))):
            yield text


def _misfit(item: Item, value: Any) -> str | None:
    """What is wrong with one answer, or None."""
    match item.type:
        case ItemType.BOOLEAN:
            return None if isinstance(value, bool) else "Answer yes or no."
        case ItemType.INTEGER:
            whole = isinstance(value, int) and not isinstance(value, bool)
            return _range(item, value) if whole else "Give a whole number."
        case ItemType.DECIMAL:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                return "Give a number."
            return _decimals(item, value) or _range(item, value)
        case ItemType.QUANTITY:
            return _quantity(item, value)
        case ItemType.DATE | ItemType.DATE_TIME | ItemType.TIME:
            return _moment(item, value)
        case ItemType.CHOICE if item.options:
            return None if isinstance(value, str) and value in _keys(item) else "Choose one of the options."
    if not isinstance(value, str) or not value.strip():
        return "Give an answer in words."
    if item.type is ItemType.ATTACHMENT and not _DOCUMENT.fullmatch(value):
        return "Bring the document to the case first, and name it by its id."
    if item.type is ItemType.URL and not re.match(r"https?://[^\s/]", value):
        return "Give an address that begins with https://."
    if item.max_length is not None and len(value) > item.max_length and value not in _keys(item):
        return f"At most {item.max_length} characters may be given."
    if item.min_length is not None and len(value) < item.min_length:
        return f"At least {item.min_length} characters are needed."
    return None


def _keys(item: Item) -> set[str]:
    return {option.key for option in item.options}


def _decimals(item: Item, value: float) -> str | None:
    if item.max_decimals is None or round(value, item.max_decimals) == value:
        return None
    return f"At most {item.max_decimals} decimal places may be given."


def _range(item: Item, value: float | str) -> str | None:
    if _below(value, item.min_value):
        return f"It may not be below {item.min_value}."
    if _below(item.max_value, value):
        return f"It may not be above {item.max_value}."
    return None


def _below(one: Scalar | None, other: Scalar | None) -> bool:
    """Whether one is less, of two numbers or two texts (days and times); what cannot be compared is not."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one < other
    return isinstance(one, str) and isinstance(other, str) and one < other


def _quantity(item: Item, value: Any) -> str | None:
    amount = _AMOUNT.fullmatch(str(value)) if not isinstance(value, bool) else None
    if amount is None:
        return "Give a number, and its unit after a space."
    units = {unit.key for unit in item.units}
    if units and amount.group(2) is not None and amount.group(2) not in units:
        return f"Use one of the units {', '.join(sorted(units))}."
    if len(units) > 1 and amount.group(2) is None:
        return f"Name the unit after the number: {', '.join(sorted(units))}."
    return _decimals(item, float(amount.group(1))) or _range(item, float(amount.group(1)))


def _moment(item: Item, value: Any) -> str | None:
    if not isinstance(value, str):
        return "Give it as text, such as 2026-11-30."
    try:
        if item.type is ItemType.TIME:
            time.fromisoformat(value)
            return _range(item, value)
        if item.type is ItemType.DATE or _DATE.fullmatch(value):
            if not _DATE.fullmatch(value):
                return "Give a day such as 2026-11-30."
            date.fromisoformat(value + "-01-01"[len(value) - 4 :] if len(value) < 10 else value)  # noqa: PLR2004 - a day
            return _range(item, value)
        if datetime.fromisoformat(value).tzinfo is None:
            return "Give the moment with its offset, such as 2026-11-30T09:15:00-06:00."
    except ValueError:
        return "Give a day such as 2026-11-30, a time such as 09:15, or a moment such as 2026-11-30T09:15:00-06:00."
    return None
