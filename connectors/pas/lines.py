"""What an answer says about each line: its action, numbers, dates, units and reasons.

Source: PAS 2.2.1 and 2.0.1, `profile-claimresponse`; X12 306 and 886. A line without an action of its own has the whole's,
unless it was not taken up; what contradicts itself, carries a modifier that is not known, or is not said at all, is
`unknown`.
"""

from dataclasses import dataclass, field
from typing import Any

from connectors.codes import AUTHORIZES
from connectors.lenient import Json, day, objects, text, token, whole
from connectors.ours import Ours
from connectors.pas.action import MAX_REASONS, action_of_item, action_of_whole, both, reasons_of
from connectors.pas.fhir import codings, extensions, parts, period
from connectors.review import Action
from domain.decision import LineDecision, Number, NumberType, Outcome, Reason

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
    decides: bool = False
    """Whether anything in it is a decision, be it one that is not known."""
    silent: set[int] = field(default_factory=set)
    """Lines that it names without saying what was decided."""
    notes: list[str] = field(default_factory=list)

    @property
    def all(self) -> tuple[LineDecision, ...]:
        """Ours by number, then those that are none of ours."""
        return (*(self.found[number] for number in sorted(self.found)), *self.extra)


def read_lines(response: Json, ours: Ours | None) -> Lines:
    """Read the decisions of a ClaimResponse. Without `ours` the lines are numbered as the answer numbers them."""
    lines = Lines()
    lines.event = action_of_whole(response, lines.notes)
    lines.decides = lines.event is not None or bool(objects(response.get("addItem")))
    refused = _refused(response)
    actions: dict[int, Action] = {}
    elements: dict[int, Json] = {}
    doubtful = has_unknown(response) or not _is_list_of_objects(response.get("item", []))
    for item in objects(response.get("item")):
        sequence = _sequence(item.get("itemSequence"))
        own = action_of_item(item, lines.notes)
        if own is None and _is_strange(item):
            own = _undecided(lines)
        lines.decides = lines.decides or own is not None
        if sequence is None or (ours is not None and sequence not in ours.lines):
            doubtful = doubtful or (own is not None and own != lines.event)
        if sequence is None:
            lines.notes.append("An item without a sequence number was left out.")
            continue
        if sequence in refused:
            lines.notes.append(f"The payer did not take line {sequence} up.")
        action = own or (Action(Outcome.UNKNOWN, reasons=refused[sequence]) if sequence in refused else lines.event)
        if action is None:
            lines.notes.append(f"The answer names line {sequence} without saying what was decided.")
            lines.silent.add(sequence)
            action = Action(Outcome.UNKNOWN)
        if sequence in actions and actions[sequence].code != action.code:
            lines.notes.append(f"The answer decides line {sequence} twice, and differently.")
            actions[sequence] = Action(Outcome.UNKNOWN, both(actions[sequence].code, action.code))
        else:
            actions[sequence], elements[sequence] = action, item
    if lines.event is not None:
        if any(action.code != lines.event.code for action in actions.values()):
            lines.notes.append(
                f"The whole is decided as {lines.event.code}, and lines otherwise: compare with the answer."
            )
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
    lines.decides = lines.decides and bool(lines.all)
    return lines


def _refused(response: Json) -> dict[int, tuple[Reason, ...]]:
    """Why single lines were not taken up, by their number: nothing was decided about them, whatever the whole says."""
    found: dict[int, tuple[Reason, ...]] = {}
    for error in objects(response.get("error")):
        sequence = _sequence(error.get("itemSequence"))
        if sequence is not None:
            found[sequence] = (*found.get(sequence, ()), *reasons_of(error.get("code")))[:MAX_REASONS]
    return found


def _sequence(value: Any) -> int | None:
    """The number of a line. Some write it as a text."""
    plain = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 5 else value  # noqa: PLR2004 - `_LAST_SEQUENCE` has four digits
    return whole(plain, 1, _LAST_SEQUENCE)


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
    start, end = (
        _validity(element, response, notes) if authorized or action.outcome is Outcome.NOT_REQUIRED else (None, None)
    )
    units, procedure = _detail(element, notes) if authorized else (None, None)
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


def _validity(element: Json, response: Json, notes: list[str]) -> tuple[Any, Any]:
    candidates = [
        *(e.get("valuePeriod") for e in extensions(element, "itemPreAuthPeriod")),
        response.get("preAuthPeriod"),
        *(e.get("valuePeriod") for e in extensions(element, "itemAuthorizedDate")),
    ]
    for candidate in candidates:
        found = period(candidate)
        if any(found):
            return found
        if candidate is not None:
            notes.append("A validity of the answer cannot be read, or ends before it begins.")
    for e in extensions(element, "itemAuthorizedDate"):
        if (on := day(e.get("valueDate"))) is not None:
            return on, on
    return None, None


def _detail(element: Json, notes: list[str]) -> tuple[int | None, str | None]:
    units, procedure = None, None
    for detail in extensions(element, "itemAuthorizedDetail"):
        for part in parts(detail, "quantity"):
            units = units if units is not None else _units(part.get("valueQuantity"), notes)
        for part in parts(detail, "productOrServiceCode"):
            procedure = procedure or _code(part.get("valueCodeableConcept"))
    return units, procedure


def _units(quantity: Any, notes: list[str]) -> int | None:
    if not isinstance(quantity, dict):
        return None
    units = whole(quantity.get("value"), 0, 99999)
    if units is None:
        notes.append("A quantity of the answer is no plain number of units; read it as it came.")
    return units


def _code(concept: Any) -> str | None:
    return next((code for coding in codings(concept) if (code := token(coding.get("code"), 20))), None)


class _Remarks:
    """What the payer remarks: process notes that items refer to by number, and what speaks of all."""

    def __init__(self, response: Json) -> None:
        self._said: dict[int, str] = {}
        for note in objects(response.get("processNote")):
            said = text(note.get("text"), _TEXT)
            if said is not None:
                number = whole(note.get("number"), 1, _LAST_SEQUENCE)
                self._said.setdefault(number if number is not None else -1 - len(self._said), said)
        referred = {n for item in objects(response.get("item")) for n in self._numbers(item)}
        disposition = text(response.get("disposition"), _TEXT)
        self._general = [said for number, said in self._said.items() if number not in referred]
        self._general += [disposition] if disposition is not None else []

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
        action = action_of_item(added, lines.notes)
        start, end = _validity(added, response, lines.notes)
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
            units=_units(added.get("quantity"), lines.notes),
            procedure=_code(added.get("productOrService")),
            reasons=action.reasons if action else (),
        )
        sequences = added.get("itemSequence")
        named = {_sequence(n) for n in (sequences if isinstance(sequences, list) else [sequences])}
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
    if line is None or number in lines.silent:
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
