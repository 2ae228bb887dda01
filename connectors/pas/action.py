"""The review action about an element of an answer: where it belongs, and where a payer may have put it else.

Source: PAS 2.2.1 and 2.0.1, extension `reviewAction`; X12 306 and 886. Only an action that stands in an adjudication, and
that the payer names in X12's own code system, can approve anything. One that stands elsewhere is seen, and decides nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from connectors.codes import OUTCOMES, REASONS
from connectors.lenient import Json, objects, raw, text, token
from connectors.pas.fhir import codings, extensions, is_extension, parts
from connectors.pas.words import ACTION_SYSTEMS
from connectors.review import Action
from domain.decision import Outcome, Reason

MAX_REASONS = 8
_TEXT = 500
_MODIFIER = "A decision carries a modifier that Vigil does not know."
_DIFFER = "The answer gives one line several decisions that differ."
_PARTS_DIFFER = "A part of a line is decided in another way than the line."
_MISPLACED = "A decision stands where none belongs: it is not relied on."
_UNKNOWN_CODE = "A decision is not given by a code of X12's own list that Vigil knows."


def read_action(element: Json, notes: list[str]) -> Action | None:
    """Return the review action in an element's own adjudications, or None where there is none."""
    found: list[Action] = []
    for adjudication in objects(element.get("adjudication")):
        for extension in extensions(adjudication, "reviewAction"):
            action = _action(extension)
            if adjudication.get("modifierExtension") or element.get("modifierExtension"):
                notes.append(_MODIFIER)
                action = Action(Outcome.UNKNOWN, action.code, action.numbers, action.reasons)
            elif action.outcome is Outcome.UNKNOWN:
                notes.append(_UNKNOWN_CODE)
            found.append(action)
    if found:
        # The base resource's own place for reasons, which some fill in place of the guide's.
        more = [reason for one in objects(element.get("adjudication")) for reason in _reasons(one.get("reason"))]
        found[0] = replace(found[0], reasons=tuple(dict.fromkeys((*found[0].reasons, *more)))[:MAX_REASONS])
    if any((action.code, action.outcome) != (found[0].code, found[0].outcome) for action in found[1:]):
        notes.append(_DIFFER)
    return together(found)


def together(found: list[Action]) -> Action | None:
    """Return what several actions about one thing say: unknown where they differ; None where there is none."""
    if not found:
        return None
    first = found[0]
    alike = all((action.code, action.outcome) == (first.code, first.outcome) for action in found)
    code = first.code
    for action in found[1:]:
        code = code if alike else both(code, action.code)
    return Action(
        first.outcome if alike else Outcome.UNKNOWN,
        code,
        tuple(dict.fromkeys(number for action in found for number in action.numbers)),
        tuple(dict.fromkeys(reason for action in found for reason in action.reasons))[:MAX_REASONS],
    )


def action_of_item(item: Json, notes: list[str]) -> Action | None:
    """Return the review action of an item: unknown where one of its parts, or a place where none belongs, says another."""
    own = read_action(item, notes)
    inner = [action for part in _details(item) if (action := read_action(part, notes)) is not None]
    if any(own is None or action.code != own.code for action in inner):
        notes.append(_PARTS_DIFFER)
        return _doubted([*([own] if own else []), *inner])
    lost = [action for element in (item, *_details(item)) for action in misplaced(element, "adjudication", "detail")]
    if lost:
        notes.append(_MISPLACED)
        return _doubted([*([own] if own else []), *lost])
    return own


def action_of_whole(response: Json, notes: list[str]) -> Action | None:
    """Return the review action of the whole response; unknown where one stands where none belongs."""
    own = read_action(response, notes)
    lost = misplaced(response, "adjudication", "item", "addItem", "contained")
    if not lost:
        return own
    notes.append(_MISPLACED)
    return _doubted([*([own] if own else []), *lost])


def misplaced(element: Json, *elsewhere: str) -> list[Action]:
    """Return the actions in an element that stand outside of `elsewhere`, or within an adjudication in a wrong place."""
    looked: list[Any] = [value for name, value in element.items() if name not in elsewhere]
    for adjudication in objects(element.get("adjudication")):
        looked += [value for name, value in adjudication.items() if name != "extension"]
        proper = extensions(adjudication, "reviewAction")
        looked += [one for one in objects(adjudication.get("extension")) if one not in proper]
    found: list[Action] = []
    while looked:
        value = looked.pop()
        if isinstance(value, list):
            looked += value
        elif isinstance(value, dict):
            if is_extension(value, "reviewAction") or is_extension(value, "reviewActionCode"):
                found.append(_action(value))
            else:
                looked += value.values()
    return found


def both(first: str | None, second: str | None) -> str | None:
    """Return two codes as one, or the one there is."""
    return text("/".join(dict.fromkeys(code for code in (first, second) if code)), 30)


def reasons_of(concept: Any) -> list[Reason]:
    """Return the codings of a CodeableConcept as reasons, or its text where it has none."""
    found = [
        Reason(code=code, system=text(c.get("system"), 200), text=text(c.get("display"), _TEXT))
        for c in codings(concept)
        if (code := text(c.get("code"), 30)) is not None
    ]
    said = text(concept.get("text"), _TEXT) if isinstance(concept, dict) else None
    return found or ([Reason(text=said)] if said else [])


def _details(item: Json) -> Iterator[Json]:
    for detail in objects(item.get("detail")):
        yield detail
        yield from objects(detail.get("subDetail"))


def _doubted(found: list[Action]) -> Action:
    said = together(found)
    code, reasons = (said.code, said.reasons) if said is not None else (None, ())
    return Action(Outcome.UNKNOWN, code, reasons=reasons)


def _action(extension: Json) -> Action:
    named = extensions(extension, "reviewActionCode") or parts(extension, "reviewActionCode")
    own = [extension] if is_extension(extension, "reviewActionCode") else []
    concepts = [e.get("valueCodeableConcept") for e in (*named, *own)]
    given = [coding for concept in concepts for coding in codings(concept)]
    codes = {raw(coding.get("code")) for coding in given if raw(coding.get("system")) in ACTION_SYSTEMS}
    numbers = [token(part.get("valueString")) or _identifier(part) for part in parts(extension, "number")]
    reasons = [r for part in parts(extension, "reasonCode") for r in _reasons(part.get("valueCodeableConcept"))]
    if len(codes) == 1:
        code = codes.pop()
        outcome = OUTCOMES.get(code, Outcome.UNKNOWN)
    else:
        code = "/".join(sorted({raw(coding.get("code")) for coding in given}))
        outcome = Outcome.UNKNOWN
    if outcome is Outcome.UNKNOWN:
        # What it is called is for a person; it decides nothing.
        said = [text(coding.get("display"), _TEXT) for coding in given]
        said += [text(concept.get("text"), _TEXT) for concept in concepts if isinstance(concept, dict)]
        reasons += [Reason(text=words) for words in dict.fromkeys(said) if words]
    return Action(outcome, text(code, 30), tuple(n for n in numbers if n), tuple(reasons[:MAX_REASONS]))


def _reasons(concept: Any) -> list[Reason]:
    """Why something was decided: with our word for a code that the payer leaves without one."""
    return [
        reason if reason.text else reason.model_copy(update={"text": REASONS.get(reason.code or "")})
        for reason in reasons_of(concept)
    ]


def _identifier(part: Json) -> str | None:
    identifier = part.get("valueIdentifier")
    return token(identifier.get("value")) if isinstance(identifier, dict) else None
