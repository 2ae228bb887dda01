"""What an answer says about each line: its action, numbers, dates, units and reasons.

Source: PAS 2.2.1 and 2.0.1, `profile-claimresponse`; X12 306 and 886. Only an action that the payer names in X12's own
code system can approve anything; what contradicts itself, or carries a modifier that is not known, is `unknown`.
"""

from dataclasses import dataclass, field
from typing import Any

from connectors.codes import AUTHORIZES, OUTCOMES
from connectors.lenient import Json, day, objects, raw, text, token, whole
from connectors.ours import Ours
from connectors.pas.fhir import codings, extensions, parts, period
from connectors.pas.words import ACTION_SYSTEMS
from connectors.review import Action
from domain.decision import LineDecision, Number, NumberType, Outcome, Reason

MAX_REASONS = 8
_TEXT = 500
_LAST_SEQUENCE = 9999
_RESPONSE = (
    "resourceType id meta implicitRules language text contained extension modifierExtension identifier status type "
    "subType use patient created insurer requestor request outcome disposition preAuthRef preAuthPeriod payeeType item "
    "addItem adjudication total payment fundsReserve formCode form processNote communicationRequest insurance error"
)
_OF_RESPONSE = frozenset(_RESPONSE.split())
_OF_ITEM = frozenset(
    "id extension modifierExtension itemSequence noteNumber adjudication detail".split()  # noqa: SIM905 - read at a glance
)
_OF_ADJUDICATION = frozenset(
    "id extension modifierExtension category reason amount value".split()  # noqa: SIM905 - read at a glance
)
"""Elements of FHIR R4's ClaimResponse. Beside another one no decision is inherited from the whole."""


@dataclass
class Lines:
    """The lines of one ClaimResponse, and what a person should know about how they were read."""

    found: dict[int, LineDecision] = field(default_factory=dict)
    extra: list[LineDecision] = field(default_factory=list)
    event: Action | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def all(self) -> tuple[LineDecision, ...]:
        """Ours by number, then those that are none of ours."""
        return (*(self.found[number] for number in sorted(self.found)), *self.extra)


def read_lines(response: Json, ours: Ours | None) -> Lines:
    """Read the decisions of a ClaimResponse. Without `ours` the lines are numbered as the answer numbers them."""
    lines = Lines()
    lines.event = read_action(response, lines.notes)
    actions: dict[int, Action] = {}
    elements: dict[int, Json] = {}
    doubtful = has_unknown(response) or not _is_list_of_objects(response.get("item", []))
    for item in objects(response.get("item")):
        sequence = whole(item.get("itemSequence"), 1, _LAST_SEQUENCE)
        own = read_action(item, lines.notes)
        if own is None and _is_strange(item):
            own = _undecided(lines)
        if sequence is None or (ours is not None and sequence not in ours.lines):
            doubtful = doubtful or (own is not None and own != lines.event)
        if sequence is None:
            lines.notes.append("An item without a sequence number was left out.")
            continue
        action = own or lines.event
        if action is None:
            lines.notes.append(f"The answer names line {sequence} without saying what was decided.")
        elif sequence in actions and actions[sequence].code != action.code:
            lines.notes.append(f"The answer decides line {sequence} twice, and differently.")
            actions[sequence] = Action(Outcome.UNKNOWN, _both(actions[sequence].code, action.code))
        else:
            actions[sequence], elements[sequence] = action, item
    if lines.event is not None:
        of_all = _undecided(lines) if doubtful and lines.event.permits else lines.event
        unnamed = sorted(set(ours.lines) - set(elements)) if ours is not None else [] if actions else [0]
        for number in unnamed:
            actions.setdefault(number, of_all)
    remarks = _Remarks(response)
    for sequence, action in actions.items():
        if ours is not None and sequence in ours.taken_back and action.outcome is Outcome.CANCELLED:
            continue
        element = elements.get(sequence, {})
        decided = _line(sequence, action, element, response, ours, lines.notes)
        decided = _with_reasons(decided, remarks.about(element))
        if sequence == 0 or (ours is not None and sequence not in ours.lines):
            lines.extra.append(decided.model_copy(update={"line": 0}))
        else:
            lines.found[sequence] = decided
    _add_items(lines, response, ours)
    return lines


def _undecided(lines: Lines) -> Action:
    """What is known of a line where a decision may stand that cannot be read: not even that the whole's is its own."""
    lines.notes.append("The answer holds what Vigil does not know: what it says of the whole is no line's decision.")
    return Action(Outcome.UNKNOWN, lines.event.code if lines.event is not None else None)


def has_unknown(response: Json) -> bool:
    """Whether a ClaimResponse holds an element that FHIR does not have: a damaged one, and nobody knows which."""
    return bool(_unknown(response, _OF_RESPONSE))


def _unknown(element: Json, known: frozenset[str]) -> set[str]:
    return {name for name in element if name not in known and not name.startswith("_")}


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and all(isinstance(one, dict) for one in value))


def _is_strange(item: Json) -> bool:
    """Whether an item without a decision may hold one that is damaged, or made in another way."""
    given = item.get("adjudication", [])
    if _unknown(item, _OF_ITEM) or not _is_list_of_objects(given):
        return True
    return any(_unknown(one, _OF_ADJUDICATION) or "extension" in one for one in objects(given))


def read_action(element: Json, notes: list[str]) -> Action | None:
    """Return the review action in an element's adjudications, or None where there is none."""
    found: list[Action] = []
    for adjudication in objects(element.get("adjudication")):
        for extension in extensions(adjudication, "reviewAction"):
            action = _action(extension)
            if adjudication.get("modifierExtension") or element.get("modifierExtension"):
                notes.append("A decision carries a modifier that Vigil does not know.")
                action = Action(Outcome.UNKNOWN, action.code, reasons=action.reasons)
            found.append(action)
    if not found:
        return None
    first = found[0]
    if any(action.code != first.code or action.outcome is not first.outcome for action in found[1:]):
        notes.append("The answer gives one line several decisions that differ.")
        code: str | None = None
        for action in found:
            code = _both(code, action.code)
        return Action(Outcome.UNKNOWN, code, reasons=tuple(r for action in found for r in action.reasons)[:MAX_REASONS])
    return Action(
        first.outcome,
        first.code,
        tuple(dict.fromkeys(number for action in found for number in action.numbers)),
        tuple(dict.fromkeys(reason for action in found for reason in action.reasons))[:MAX_REASONS],
    )


def _action(extension: Json) -> Action:
    concepts = [e.get("valueCodeableConcept") for e in extensions(extension, "reviewActionCode")]
    given = [coding for concept in concepts for coding in codings(concept)]
    codes = {raw(coding.get("code")) for coding in given if raw(coding.get("system")) in ACTION_SYSTEMS}
    numbers = [token(part.get("valueString")) for part in parts(extension, "number")]
    reasons = [r for part in parts(extension, "reasonCode") for r in reasons_of(part.get("valueCodeableConcept"))]
    if len(codes) == 1:
        code = codes.pop()
        outcome = OUTCOMES.get(code, Outcome.UNKNOWN)
    else:
        code = "/".join(sorted({raw(coding.get("code")) for coding in given}))
        outcome = Outcome.UNKNOWN
    return Action(outcome, text(code, 30), tuple(n for n in numbers if n), tuple(reasons[:MAX_REASONS]))


def _both(first: str | None, second: str | None) -> str | None:
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


def _line(
    number: int, action: Action, element: Json, response: Json, ours: Ours | None, notes: list[str]
) -> LineDecision:
    authorized = action.outcome in AUTHORIZES
    given = [Number(type=action.number_type, value=value) for value in action.numbers]
    for value in strings(element, "authorizationNumber"):
        if given and value not in action.numbers:
            # The profile calls it the previous authorization number; only where no other is given, payers mean this one.
            notes.append(f"Line {number} also names an earlier authorization; its number is kept as a reference.")
        kind = NumberType.ADMINISTRATIVE if given else action.number_type
        given.append(Number(type=kind, value=value))
    given += [
        Number(type=NumberType.ADMINISTRATIVE, value=value)
        for value in strings(element, "administrationReferenceNumber")
    ]
    start, end = _validity(element, response) if authorized or action.outcome is Outcome.NOT_REQUIRED else (None, None)
    units, procedure = _detail(element) if authorized else (None, None)
    if ours is not None and procedure == ours.lines.get(number):
        procedure = None
    return LineDecision(
        line=number,
        decision=action.outcome,
        code=action.code,
        numbers=distinct(given),
        valid_from=start,
        valid_to=end,
        units=units,
        procedure=procedure,
        reasons=action.reasons,
    )


def strings(element: Json, name: str) -> list[str]:
    """Return the strings of a PAS extension."""
    return [value for e in extensions(element, name) if (value := token(e.get("valueString"))) is not None]


def distinct(numbers: list[Number]) -> tuple[Number, ...]:
    """Return the numbers without repeated values; the first says what a value is good for. At most six."""
    return tuple({number.value: number for number in reversed(numbers)}[value] for value in _values(numbers))[:6]


def _values(numbers: list[Number]) -> list[str]:
    return list(dict.fromkeys(number.value for number in numbers))


def _validity(element: Json, response: Json) -> tuple[Any, Any]:
    candidates = [
        *(e.get("valuePeriod") for e in extensions(element, "itemPreAuthPeriod")),
        response.get("preAuthPeriod"),
        *(e.get("valuePeriod") for e in extensions(element, "itemAuthorizedDate")),
    ]
    for candidate in candidates:
        found = period(candidate)
        if any(found):
            return found
    for e in extensions(element, "itemAuthorizedDate"):
        if (on := day(e.get("valueDate"))) is not None:
            return on, on
    return None, None


def _detail(element: Json) -> tuple[int | None, str | None]:
    units, procedure = None, None
    for detail in extensions(element, "itemAuthorizedDetail"):
        for part in parts(detail, "quantity"):
            units = units or _units(part.get("valueQuantity"))
        for part in parts(detail, "productOrServiceCode"):
            procedure = procedure or _code(part.get("valueCodeableConcept"))
    return units, procedure


def _units(quantity: Any) -> int | None:
    return whole(quantity.get("value"), 0, 99999) if isinstance(quantity, dict) else None


def _code(concept: Any) -> str | None:
    return next((code for coding in codings(concept) if (code := token(coding.get("code"), 20))), None)


class _Remarks:
    """The payer's process notes: those that items refer to by number, and those that speak of all."""

    def __init__(self, response: Json) -> None:
        self._said: dict[int, str] = {}
        for note in objects(response.get("processNote")):
            said = text(note.get("text"), _TEXT)
            if said is not None:
                number = whole(note.get("number"), 1, _LAST_SEQUENCE)
                self._said.setdefault(number if number is not None else -1 - len(self._said), said)
        referred = {n for item in objects(response.get("item")) for n in self._numbers(item)}
        self._general = [said for number, said in self._said.items() if number not in referred]

    def about(self, element: Json) -> list[str]:
        """Return what is said about an item."""
        return [self._said[n] for n in self._numbers(element) if n in self._said] + self._general

    @staticmethod
    def _numbers(element: Json) -> list[int]:
        named = element.get("noteNumber")
        numbers = [whole(n, 1, _LAST_SEQUENCE) for n in (named if isinstance(named, list) else [named])]
        return [n for n in numbers if n is not None]


def _with_reasons(line: LineDecision, said: list[str]) -> LineDecision:
    reasons = dict.fromkeys([*line.reasons, *(Reason(text=remark) for remark in said)])
    return line.model_copy(update={"reasons": tuple(reasons)[:MAX_REASONS]})


def _add_items(lines: Lines, response: Json, ours: Ours | None) -> None:
    """What was authorized in place of a line, or beside the request (PAS 2.2.1, modified approvals)."""
    known = set(lines.found) | (set(ours.lines) if ours is not None else set())
    replaced: set[int] = set()
    for added in objects(response.get("addItem")):
        action = read_action(added, lines.notes)
        start, end = _validity(added, response)
        if start is None and end is None:
            on = day(added.get("servicedDate"))
            start, end = (on, on) if on else period(added.get("servicedPeriod"))
        given = [Number(type=action.number_type, value=value) for value in action.numbers] if action else []
        made = LineDecision(
            line=0,
            decision=action.outcome if action else Outcome.UNKNOWN,
            code=action.code if action else None,
            numbers=distinct(given),
            valid_from=start,
            valid_to=end,
            units=_units(added.get("quantity")),
            procedure=_code(added.get("productOrService")),
            reasons=action.reasons if action else (),
        )
        sequences = added.get("itemSequence")
        named = {whole(n, 1, _LAST_SEQUENCE) for n in (sequences if isinstance(sequences, list) else [sequences])}
        targets = sorted(number for number in named if number is not None and number in known - replaced)
        taken = [number for number in targets if _replace(lines, number, made, ours)]
        replaced |= set(taken)
        if not taken:
            lines.notes.append("The payer added a service that answers none of the lines asked for.")
            lines.extra.append(made)


def _replace(lines: Lines, number: int, made: LineDecision, ours: Ours | None) -> bool:
    """Let an added item say what was authorized instead of a line. False where it does not speak of that."""
    line = lines.found.get(number)
    authorizes = made.decision in AUTHORIZES
    if line is None:
        instead = Outcome.MODIFIED if authorizes else made.decision
        lines.found[number] = made.model_copy(update={"line": number, "decision": instead})
        return True
    detailed = line.decision in {Outcome.MODIFIED, Outcome.PARTLY_APPROVED} and (authorizes or made.code is None)
    if not detailed and not (line.decision is Outcome.DENIED and authorizes):
        return False
    if line.decision is Outcome.DENIED:
        lines.notes.append(f"Line {number} was denied as asked, and something else was authorized in its place.")
    procedure = made.procedure if ours is None or made.procedure != ours.lines.get(number) else None
    earlier = [n for n in line.numbers if line.decision in AUTHORIZES]
    kept = [n for n in line.numbers if n not in earlier]
    lines.found[number] = line.model_copy(
        update={
            "decision": Outcome.MODIFIED if line.decision is Outcome.DENIED else line.decision,
            "numbers": distinct([*earlier, *made.numbers, *kept]),
            "valid_from": made.valid_from or line.valid_from,
            "valid_to": made.valid_to or line.valid_to,
            "units": made.units if made.units is not None else line.units,
            "procedure": procedure or line.procedure,
            "reasons": tuple(dict.fromkeys([*line.reasons, *made.reasons]))[:MAX_REASONS],
        }
    )
    return True
