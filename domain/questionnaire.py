"""A payer's form as a small typed model, made from a FHIR Questionnaire, and the QuestionnaireResponse made from its answers.

Pure: whoever fetched the JSON brings it. Nothing of it is run: no CQL, no FHIRPath, no regular expression of a payer's. What is
kept is what a person needs to fill it in: items, which of them count (enableWhen), what they may hold, what is filled in
already. Answers are plain JSON by `linkId`; those of a group that repeats are a list of such objects. What they may be is checked
by `domain.questionnaire_check`, the response is made and read by `domain.questionnaire_response`.
Sources: FHIR R4 Questionnaire, QuestionnaireResponse and their extensions; SDC 3.0 (adaptive forms); Da Vinci DTR 2.0.1, 2.1.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from domain.base import Frozen

Json = dict[str, Any]
Scalar = bool | int | float | str
Answers = Mapping[str, Any]
"""By linkId: a list of scalars for a question (a choice by its option's key); for a group that repeats, a list of `Answers`.
Groups that do not repeat are no level of their own."""

EXT = "http://hl7.org/fhir/StructureDefinition/"
SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/"
MAX_ITEMS, MAX_DEPTH, MAX_OPTIONS = 1000, 20, 500


class ItemType(StrEnum):
    """The types of items (FHIR R4 item-type). What is not listed is shown as text."""

    GROUP = "group"
    DISPLAY = "display"
    BOOLEAN = "boolean"
    DECIMAL = "decimal"
    INTEGER = "integer"
    DATE = "date"
    DATE_TIME = "dateTime"
    TIME = "time"
    STRING = "string"
    TEXT = "text"
    URL = "url"
    CHOICE = "choice"
    OPEN_CHOICE = "open-choice"
    QUANTITY = "quantity"
    ATTACHMENT = "attachment"
    REFERENCE = "reference"

    @property
    def is_question(self) -> bool:
        """Whether it takes answers."""
        return self not in {ItemType.GROUP, ItemType.DISPLAY}

    @property
    def is_choice(self) -> bool:
        """Whether its answers are options."""
        return self in {ItemType.CHOICE, ItemType.OPEN_CHOICE}


class Option(Frozen):
    """One answer that may be chosen, by its key."""

    key: str
    label: str
    value: Json = Field(description="The value[x] of the answer, as FHIR has it.")
    chosen: bool = False


class Condition(Frozen):
    """An item counts only where another answer is so (enableWhen)."""

    question: str
    operator: str
    answer: Scalar = Field(description="A choice by its option's key.")


class Item(Frozen):
    """One item of a form."""

    link_id: str
    type: ItemType
    text: str = ""
    prefix: str = ""
    required: bool = False
    repeats: bool = False
    read_only: bool = False
    hidden: bool = False
    conditions: tuple[Condition, ...] = ()
    any_condition: bool = Field(default=True, description="One is enough; else all must hold.")
    options: tuple[Option, ...] = ()
    units: tuple[Option, ...] = ()
    max_length: int | None = None
    min_length: int | None = None
    min_value: Scalar | None = None
    max_value: Scalar | None = None
    max_decimals: int | None = None
    min_occurs: int | None = None
    max_occurs: int | None = None
    max_bytes: int | None = None
    media_types: tuple[str, ...] = ()
    codes: tuple[str, ...] = Field(default=(), description="What it asks for, as `system|code`.")
    definition: str | None = None
    initial: tuple[Scalar, ...] = ()
    items: tuple["Item", ...] = ()

    @property
    def has_rows(self) -> bool:
        """Whether it is a group whose answers stand in rows of their own."""
        return self.type is ItemType.GROUP and self.repeats


class Form(Frozen):
    """A form to be filled in."""

    url: str
    version: str | None = None
    title: str
    items: tuple[Item, ...]
    adaptive: bool = False
    notes: tuple[str, ...] = Field(default=(), description="What of the form a person should know is not applied here.")

    @property
    def canonical(self) -> str:
        """Its canonical URL with its version."""
        return f"{self.url}|{self.version}" if self.version and "|" not in self.url else self.url

    def walk(self) -> Iterator[Item]:
        """Every item, in order."""
        yield from walk(self.items)


class NotAForm(ValueError):
    """The JSON is no Questionnaire that can be filled in; the sentence says why, without its content."""


def walk(items: tuple[Item, ...]) -> Iterator[Item]:
    """Items with those inside them, in order."""
    for item in items:
        yield item
        yield from walk(item.items)


def read_form(questionnaire: Json, value_sets: Mapping[str, Json] | None = None) -> Form:
    """The form that a Questionnaire is, with the value sets of its package by canonical URL. Raises `NotAForm`."""
    if questionnaire.get("resourceType") != "Questionnaire":
        raise NotAForm("This is no Questionnaire.")
    url = (
        _text(questionnaire.get("url"), 200) or f"urn:questionnaire:{_text(questionnaire.get('id'), 100) or 'unnamed'}"
    )
    reader = _Reader(questionnaire, value_sets or {})
    items = tuple(reader.items(questionnaire.get("item"), 0))
    links = [item.link_id for item in walk(items)]
    if len(set(links)) != len(links):
        raise NotAForm("Two items of the form have the same linkId.")
    adaptive = is_adaptive(questionnaire)
    if not items and not adaptive:
        raise NotAForm("The form has no items.")
    return Form(
        url=url,
        version=_text(questionnaire.get("version"), 60),
        title=_text(questionnaire.get("title") or questionnaire.get("name"), 200) or "The payer's form",
        items=items,
        adaptive=adaptive,
        notes=tuple(dict.fromkeys(reader.notes))[:20],
    )


def is_adaptive(questionnaire: Json) -> bool:
    """Whether the payer asks one question after another (SDC adaptive form), instead of handing over all of them."""
    meta = questionnaire.get("meta")
    profiles = meta.get("profile") if isinstance(meta, dict) else None
    named = any(isinstance(one, str) and "questionnaire-adapt" in one for one in profiles or ())
    return named or any(True for _ in _extensions(questionnaire, f"{SDC}sdc-questionnaire-questionnaireAdaptive"))


def option_key(value: Json) -> str:
    """The key of an option's value[x]: `system|code` of a coding, else the value as text."""
    coding = value.get("valueCoding")
    if isinstance(coding, dict):
        return f"{coding.get('system') or ''}|{coding.get('code') or coding.get('display') or ''}"
    return str(next((v for k, v in value.items() if k.startswith("value")), ""))


class _Reader:
    """Reads items; what cannot be applied is noted for a person."""

    def __init__(self, questionnaire: Json, value_sets: Mapping[str, Json]) -> None:
        contained = _objects(questionnaire.get("contained"))
        self._sets = {**value_sets, **{f"#{one.get('id')}": one for one in contained if one.get("id")}}
        self._seen = 0
        self.notes: list[str] = []

    def items(self, given: Any, depth: int) -> Iterator[Item]:
        if depth > MAX_DEPTH:
            raise NotAForm("The form is nested too deeply.")
        for one in _objects(given):
            self._seen += 1
            if self._seen > MAX_ITEMS:
                raise NotAForm(f"The form has more than {MAX_ITEMS} items.")
            yield self._item(one, depth)

    def _item(self, given: Json, depth: int) -> Item:
        link_id = _text(given.get("linkId"), 255)
        if link_id is None:
            raise NotAForm("An item of the form has no linkId.")
        kind = self._kind(given, link_id)
        options = self._options(given, link_id) if kind.is_choice else ()
        if _extended(given, "regex") is not None:
            self.notes.append(f"The pattern of item {link_id} is not applied.")
        if any(one.get("url", "").endswith("Expression") for one in _objects(given.get("extension"))):
            self.notes.append(f"What item {link_id} would compute is not computed: fill it in.")
        return Item(
            link_id=link_id,
            type=kind,
            text=_text(given.get("text"), 4000) or "",
            prefix=_text(given.get("prefix"), 40) or "",
            required=given.get("required") is True,
            repeats=given.get("repeats") is True,
            read_only=given.get("readOnly") is True,
            hidden=next(
                (e.get("valueBoolean") is True for e in _extensions(given, f"{EXT}questionnaire-hidden")), False
            ),
            conditions=tuple(self._conditions(given, link_id)),
            any_condition=given.get("enableBehavior") != "all",
            options=options,
            units=tuple(
                _unit(e) for e in _extensions(given, f"{EXT}questionnaire-unitOption", f"{EXT}questionnaire-unit")
            ),
            max_length=_whole(given.get("maxLength")),
            min_length=_whole(_extended(given, "minLength")),
            min_value=_scalar(_extended(given, "minValue")),
            max_value=_scalar(_extended(given, "maxValue")),
            max_decimals=_whole(_extended(given, "maxDecimalPlaces")),
            min_occurs=_whole(_extended(given, "questionnaire-minOccurs")),
            max_occurs=_whole(_extended(given, "questionnaire-maxOccurs")),
            max_bytes=_bytes(_extended(given, "maxSize")),
            media_types=tuple(
                code for e in _extensions(given, f"{EXT}mimeType") if (code := _text(e.get("valueCode"), 100))
            ),
            codes=tuple(f"{c.get('system') or ''}|{c.get('code') or ''}" for c in _objects(given.get("code")))[:10],
            definition=_text(given.get("definition"), 300),
            initial=tuple(_initial(given, options)),
            items=tuple(self.items(given.get("item"), depth + 1)),
        )

    def _kind(self, given: Json, link_id: str) -> ItemType:
        try:
            return ItemType(str(given.get("type")))
        except ValueError:
            self.notes.append(f"The type of item {link_id} is not known; it is asked for as text.")
            return ItemType.TEXT

    def _conditions(self, given: Json, link_id: str) -> Iterator[Condition]:
        for one in _objects(given.get("enableWhen")):
            question, operator = _text(one.get("question"), 255), _text(one.get("operator"), 10)
            answer = {name: value for name, value in one.items() if name.startswith("answer")}
            if question is None or operator not in OPERATORS or len(answer) != 1:
                self.notes.append(f"A condition of item {link_id} cannot be read; the item is always asked.")
                continue
            ((name, value),) = answer.items()
            as_value = {"value" + name.removeprefix("answer"): value}
            plain = _scalar(_quantity(value)) if name == "answerQuantity" else _scalar(value)
            yield Condition(
                question=question,
                operator=operator,
                answer=option_key(as_value) if name == "answerCoding" or plain is None else plain,
            )

    def _options(self, given: Json, link_id: str) -> tuple[Option, ...]:
        found = [_option(one) for one in _objects(given.get("answerOption"))[:MAX_OPTIONS]]
        canonical = _text(given.get("answerValueSet"), 300)
        if canonical is not None:
            held = self._sets.get(canonical) or self._sets.get(canonical.partition("|")[0])
            found += [_option({"valueCoding": coding}) for coding in _codings(held or {})][:MAX_OPTIONS]
            if not found:
                self.notes.append(f"The options of item {link_id} did not come along; answer it in words.")
        return tuple({option.key: option for option in found}.values())


OPERATORS = frozenset({"exists", "=", "!=", ">", "<", ">=", "<="})
"""FHIR R4 questionnaire-enable-operator."""


def _option(given: Json) -> Option:
    value = {name: inner for name, inner in given.items() if name.startswith("value")}
    coding = value.get("valueCoding")
    label = (coding.get("display") or coding.get("code")) if isinstance(coding, dict) else option_key(value)
    key = option_key(value)
    return Option(key=key, label=str(label or key)[:300], value=value, chosen=given.get("initialSelected") is True)


def _unit(extension: Json) -> Option:
    coding = extension.get("valueCoding")
    coding = coding if isinstance(coding, dict) else {}
    code = str(coding.get("code") or coding.get("display") or "")
    return Option(key=code, label=str(coding.get("display") or code)[:60], value={"valueCoding": coding})


def _codings(value_set: Json) -> list[Json]:
    """The codes of a value set: its expansion, else what it lists by itself."""
    expansion, compose = value_set.get("expansion"), value_set.get("compose")
    listed: list[Json] = []
    if isinstance(expansion, dict):
        waiting = _objects(expansion.get("contains"))
        while waiting and len(listed) < MAX_OPTIONS:
            one = waiting.pop(0)
            listed.append(one)
            waiting = _objects(one.get("contains")) + waiting
    elif isinstance(compose, dict):
        for include in _objects(compose.get("include")):
            listed += [{"system": include.get("system"), **one} for one in _objects(include.get("concept"))]
    return [{k: one[k] for k in ("system", "code", "display") if k in one} for one in listed if one.get("code")]


def _initial(given: Json, options: tuple[Option, ...]) -> Iterator[Scalar]:
    chosen = [option.key for option in options if option.chosen]
    yield from chosen
    for one in _objects(given.get("initial")) if not chosen else []:
        value = {name: inner for name, inner in one.items() if name.startswith("value")}
        if (plain := plain_value(value)) is not None:
            yield plain


def plain_value(value: Json) -> Scalar | None:
    """An answer's value[x] as plain JSON: a coding by its key, a quantity as `number` or `number unit`."""
    if len(value) != 1:
        return None
    ((name, inner),) = value.items()
    match name:
        case "valueCoding":
            return option_key(value) if isinstance(inner, dict) else None
        case "valueQuantity":
            return _quantity(inner)
        case "valueReference":
            return _text(inner.get("reference"), 300) if isinstance(inner, dict) else None
        case "valueAttachment":
            return _text(inner.get("title"), 300) if isinstance(inner, dict) else None
    return _scalar(inner)


def _quantity(value: Any) -> Scalar | None:
    if not isinstance(value, dict) or not isinstance(value.get("value"), int | float):
        return None
    unit = _text(value.get("code") or value.get("unit"), 60)
    return f"{value['value']} {unit}" if unit else value["value"]


def _extended(given: Json, name: str) -> Any:
    for e in _extensions(given, f"{EXT}{name}"):
        for key, value in e.items():
            if key.startswith("value"):
                return value
    return None


def _extensions(element: Json, *urls: str) -> Iterator[Json]:
    return (e for e in _objects(element.get("extension")) if e.get("url") in urls)


def _objects(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _text(value: Any, limit: int) -> str | None:
    return value.strip()[:limit] or None if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _bytes(value: Any) -> int | None:
    """`maxSize` is in megabytes (FHIR extension)."""
    return int(value * 1024 * 1024) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _scalar(value: Any) -> Scalar | None:
    return value if isinstance(value, bool | int | float | str) else None
