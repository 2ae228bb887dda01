"""A payer's form as a plain page: labels, groups, hints and errors that belong to their fields; no script, nothing from outside.

Fields are named by their place in the form (`2.0`, rows as `3~1.0`), so that a form's own linkIds never become names. What comes
from the payer is escaped wherever it stands.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import parse_qs

from domain.order import DocumentRef
from domain.questionnaire import Answers, Form, Item, ItemType
from domain.questionnaire_check import AnswerProblem, values_of

MAX_FIELDS = 5000
MAX_ROWS = 50
_LONGEST_NUMBER = 20
_ROW = re.compile(r"~(\d{1,4})\.")
_FEW = 6
_NUMBERS = {ItemType.INTEGER: "1", ItemType.DECIMAL: "any"}
_INPUTS = {ItemType.DATE: "date", ItemType.TIME: "time", ItemType.URL: "url"}
_HINTS = {
    ItemType.DATE_TIME: "A day, or a moment with its offset, such as 2026-11-30T09:15:00-06:00.",
    ItemType.QUANTITY: "A number, a space and its unit.",
    ItemType.ATTACHMENT: "One of the case's documents. Bring it to the case first.",
}
_STYLE = """
body{font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
fieldset{border:1px solid #767676;border-radius:.3rem;margin:1rem 0;padding:.5rem 1rem 1rem}
.item{margin:1rem 0}label,legend{font-weight:600}.hint{color:#4a4a4a;display:block}
input[type=text],input[type=number],input[type=date],input[type=time],input[type=url],select,textarea{font:inherit;width:100%;
box-sizing:border-box;padding:.3rem;border:1px solid #595959;border-radius:.2rem}
.choice label{font-weight:400;display:block}.error{color:#9b0000;display:block;font-weight:600}
[role=alert]{border:2px solid #9b0000;padding:.5rem 1rem}[role=status]{border:2px solid #0a5c2b;padding:.5rem 1rem}
button{font:inherit;padding:.5rem 1.2rem;margin-right:1rem}:focus{outline:3px solid #1a5fb4;outline-offset:2px}
"""


def page(
    form: Form,
    answers: Answers,
    *,
    action: str,
    status: str,
    is_open: bool,
    documents: Sequence[DocumentRef] = (),
    problems: Sequence[AnswerProblem] = (),
    saved: bool = False,
) -> str:
    """The page of a form. `action` is where it is posted to; `status` says in a sentence how it stands."""
    writer = _Writer(documents, problems)
    inside = "".join(writer.items(form.items, answers, "", "", {item.link_id: item for item in form.walk()}))
    title = escape(form.title)
    notes = "".join(f"<li>{escape(note)}</li>" for note in form.notes)
    buttons = (
        '<p><button type="submit" name="action" value="save">Save for later</button>'
        '<button type="submit" name="action" value="submit">Submit</button></p>'
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{'Not taken yet: ' if problems else ''}{title}</title>"
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body><main>'
        f"<h1>{title}</h1>{_summary(form, problems, writer)}"
        + ('<p role="status">Saved.</p>' if saved else "")
        + f"<p>{escape(status)} Fields marked * are needed before it can be submitted.</p>"
        + (f"<p>To be known of this form:</p><ul>{notes}</ul>" if notes else "")
        + f'<form method="post" action="{escape(action, quote=True)}" accept-charset="utf-8">'
        + ("" if is_open else "<fieldset disabled><legend>It can no longer be changed.</legend>")
        + inside
        + (buttons if is_open else "</fieldset>")
        + "</form></main></body></html>"
    )


def posted(form: Form, body: bytes) -> tuple[dict[str, Any], bool]:
    """The answers of a posted page, and whether it is to be submitted. Raises `ValueError` where it is no such form."""
    fields = parse_qs(body.decode("utf-8"), keep_blank_values=False, max_num_fields=MAX_FIELDS)
    rows: dict[str, set[int]] = {}
    for name in fields:
        for row in _ROW.finditer(name):
            rows.setdefault(name[: row.start()], set()).add(int(row.group(1)))
    return _given(form.items, fields, rows, ""), fields.get("action") == ["submit"]


def _given(
    items: Sequence[Item], fields: Mapping[str, list[str]], rows: Mapping[str, set[int]], prefix: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, item in enumerate(items):
        name = f"{prefix}{place}"
        if item.has_rows:
            given = [_given(item.items, fields, rows, f"{name}~{row}.") for row in sorted(rows.get(name, ()))]
            filled = [row for row in given if row]
            found |= {item.link_id: filled} if filled else {}
            continue
        if item.type.is_question:
            values = [_value(item, one.strip()) for one in fields.get(name, []) if one.strip()]
            found |= {item.link_id: values} if values else {}
        found |= _given(item.items, fields, rows, f"{name}.")
    return found


def _value(item: Item, text: str) -> Any:
    """What was typed, in the item's type; what is not of it stays as it is, and is named as wrong."""
    try:
        match item.type:
            case ItemType.BOOLEAN:
                return {"true": True, "false": False}.get(text, text)
            case ItemType.INTEGER:
                return int(text) if len(text) <= _LONGEST_NUMBER else text
            case ItemType.DECIMAL:
                number = float(text) if len(text) <= _LONGEST_NUMBER else math.inf
                return number if math.isfinite(number) else text
    except ValueError:
        return text
    return text


def _summary(form: Form, problems: Sequence[AnswerProblem], writer: "_Writer") -> str:
    """What keeps the answers from being taken, by the words of the questions; it has the focus first."""
    if not problems:
        return ""
    asked = {item.link_id: f"{item.prefix} {item.text}".strip() for item in form.walk()}
    lines = "".join(
        f'<li><a href="#{writer.anchor(problem)}">{escape(asked.get(problem.link_id) or problem.path)}</a>: '
        f"{escape(problem.text)}</li>"
        for problem in problems
    )
    return f'<div role="alert" tabindex="-1" autofocus><h2>This was not taken yet</h2><ul>{lines}</ul></div>'


class _Writer:
    def __init__(self, documents: Sequence[DocumentRef], problems: Sequence[AnswerProblem]) -> None:
        self._documents = documents
        self._wrong: dict[str, list[str]] = {}
        self._order = {problem.path: n for n, problem in enumerate(problems)}
        for problem in problems:
            self._wrong.setdefault(problem.path, []).append(problem.text)

    def anchor(self, problem: AnswerProblem) -> str:
        return f"wrong-{self._order[problem.path]}"

    def items(
        self, items: Sequence[Item], answers: Answers, name: str, path: str, known: Mapping[str, Item]
    ) -> Iterator[str]:
        for place, item in enumerate(items):
            yield self._item(item, answers, f"{name}{place}", f"{path}{item.link_id}", path, known)

    def _item(self, item: Item, answers: Answers, name: str, path: str, around: str, known: Mapping[str, Item]) -> str:
        if item.hidden:
            return ""
        label = escape(f"{item.prefix} {item.text}".strip() or item.link_id)
        only = self._only(item, known)
        if item.type is ItemType.DISPLAY:
            return f"<p>{label}</p>"
        if item.has_rows:
            rows = [row for row in values_of(answers, item.link_id) if isinstance(row, Mapping)]
            shown = [*rows, {}][:MAX_ROWS] if not item.read_only else rows
            inside = "".join(
                f"<fieldset><legend>{label}: {row + 1}{'' if row < len(rows) else ' (new)'}</legend>"
                + "".join(self.items(item.items, inner, f"{name}~{row}.", f"{path}[{row}]/", known))
                + "</fieldset>"
                for row, inner in enumerate(shown)
            )
            return f'<div class="item">{only}{self._errors(path, f"e-{name}")}{inside}</div>'
        inside = "".join(self.items(item.items, answers, f"{name}.", around, known))
        if item.type is ItemType.GROUP:
            return f"<fieldset><legend>{label}</legend>{only}{self._errors(path, f'e-{name}')}{inside}</fieldset>"
        return f'<div class="item">{self._question(item, answers, name, path, label, only)}{inside}</div>'

    def _question(self, item: Item, answers: Answers, name: str, path: str, label: str, only: str) -> str:
        values = [
            str(value).lower() if isinstance(value, bool) else str(value) for value in values_of(answers, item.link_id)
        ]
        error_id, hint_id = f"e-{name}", f"h-{name}"
        error = self._errors(path, error_id)
        hint = f'<span class="hint" id="{hint_id}">{escape(_HINTS[item.type])}</span>' if item.type in _HINTS else ""
        described = " ".join(part for part in (hint_id if hint else "", error_id if error else "") if part)
        more = f' aria-describedby="{described}"' if described else ""
        more += ' aria-invalid="true"' if error else ""
        more += " disabled" if item.read_only else ""
        star = " *" if item.required and not item.read_only else ""
        choices = self._choices(item)
        many = item.repeats or len(choices) <= _FEW
        if choices and many and item.type is not ItemType.ATTACHMENT:
            kind = "checkbox" if item.repeats else "radio"
            boxes = "".join(
                f'<label><input type="{kind}" name="{name}" value="{escape(key, quote=True)}"'
                f"{' checked' if key in values else ''}{more}> {escape(text)}</label>"
                for key, text in choices
            )
            if kind == "radio" and (not item.required or item.type is ItemType.OPEN_CHOICE):
                # A radio button cannot be taken back otherwise.
                checked = "" if set(values) & {key for key, _ in choices} else " checked"
                none = "None of these" if item.type is ItemType.OPEN_CHOICE else "No answer"
                boxes += f'<label><input type="radio" name="{name}" value=""{checked}{more}> {none}</label>'
            words = self._words(item, values, name, more) if item.type is ItemType.OPEN_CHOICE else ""
            return (
                f'<fieldset class="choice"><legend>{label}{star}</legend>{only}{hint}{error}{boxes}{words}</fieldset>'
            )
        more += ' aria-required="true"' if star else ""
        if choices:
            options = "".join(
                f'<option value="{escape(key, quote=True)}"{" selected" if key in values else ""}>{escape(text)}</option>'
                for key, text in choices
            )
            several = " multiple" if item.repeats else ""
            field = f'<select id="f-{name}" name="{name}"{several}{more}><option value=""></option>{options}</select>'
            field += self._words(item, values, name, more) if item.type is ItemType.OPEN_CHOICE else ""
        else:
            shown = [*values, ""] if item.repeats and not item.read_only else (values or [""])[:1]
            field = "".join(self._field(item, value, name, more, n) for n, value in enumerate(shown))
        return f'{only}<label for="f-{name}">{label}{star}</label>{hint}{error}{field}'

    def _field(self, item: Item, value: str, name: str, more: str, place: int) -> str:
        head = f'id="f-{name}" ' if place == 0 else f'aria-label="{escape(item.text[:200], quote=True)} {place + 1}" '
        head += f'name="{name}"{more}'
        if item.type is ItemType.TEXT:
            return f'<textarea {head} rows="4">{escape(value)}</textarea>'
        shown = escape(value, quote=True)
        if item.type in _NUMBERS:
            return f'<input type="number" step="{_NUMBERS[item.type]}" {head} value="{shown}">'
        return f'<input type="{_INPUTS.get(item.type, "text")}" {head} value="{shown}">'

    def _words(self, item: Item, values: Sequence[str], name: str, more: str) -> str:
        keys = {option.key for option in item.options}
        own = next((value for value in values if value not in keys), "")
        shown = escape(own, quote=True)
        return f'<label>Or in words: <input type="text" name="{name}" value="{shown}"{more}></label>'

    def _choices(self, item: Item) -> list[tuple[str, str]]:
        if item.type is ItemType.BOOLEAN:
            return [("true", "Yes"), ("false", "No")]
        if item.type is ItemType.ATTACHMENT:
            return [(ref.id, f"{ref.kind.replace('_', ' ')}, {ref.dated or 'no date'}") for ref in self._documents]
        return [(option.key, option.label) for option in item.options] if item.type.is_choice else []

    def _errors(self, path: str, error_id: str) -> str:
        texts = self._wrong.get(path)
        if not texts:
            return ""
        anchor = f'<span id="wrong-{self._order[path]}"></span>'
        return f'{anchor}<span class="error" id="{error_id}">{escape(" ".join(texts))}</span>'

    def _only(self, item: Item, known: Mapping[str, Item]) -> str:
        """When the item counts, in words: the page has no script that could hide it."""
        if not item.conditions:
            return ""
        parts = []
        for condition in item.conditions:
            asked = known.get(condition.question)
            named = asked.text or condition.question if asked else condition.question
            labels = {option.key: option.label for option in asked.options} if asked else {}
            wanted = labels.get(str(condition.answer), str(condition.answer))
            if condition.operator == "exists":
                parts.append(f"“{named}” is {'answered' if condition.answer is True else 'not answered'}")
            else:
                yes_no = {"True": "yes", "False": "no"}.get(wanted, wanted)
                parts.append(f"“{named}” {condition.operator} {yes_no}")
        joined = (" or " if item.any_condition else " and ").join(parts)
        return f'<span class="hint">Only if {escape(joined)}.</span>'
