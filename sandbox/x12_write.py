"""X12 as a payer writes it: the 278 responses of X217 and X215, and the envelope around anything.

Built from an `Answered` alone, so that a request that came by another rail can be answered too. Segment order
inside 2000E and 2000F is HL TRN AAA UM HCR REF DTP HI SV1 HSD PWK MSG NM1 (public base standard).
"""

from dataclasses import dataclass
from datetime import date, datetime

from sandbox.asked import Asked, AskedLine, Person
from sandbox.desk import Answered
from sandbox.records import LineDecision, PayerError
from sandbox.x12_parse import Delimiters
from sandbox.x12_payers import CLEARINGHOUSE, X12Payer

Row = tuple[str, ...]
NAME_LENGTH = 10
REPORT_OF_LOINC = {"34109-9": "09"}
"""PWK01 of what the scenario table names by LOINC: a clinical note is a progress report."""
PLACES = {"payer": "2000A", "subscriber": "2010C"}
"""Where an AAA stands, by the place that the desk names; all else at the event."""
GRANTS = ("A1", "A2", "A6")


@dataclass(frozen=True)
class Envelope:
    """Who gets an answer, and its numbers: `receiver` is the practice's ISA06, `group_receiver` its GS02."""

    receiver: str
    receiver_qualifier: str
    group_receiver: str
    control: int
    at: datetime
    usage: str = "T"


@dataclass(frozen=True)
class Reply:
    """What a 278 response must repeat of a request: UM01 to UM03, and TRN02 of each line."""

    category: str = "HS"
    certification: str = "I"
    service_type: str = "1"
    line_traces: tuple[str, ...] = ()


def interchange(
    rows: list[Row], function: str, guide: str, envelope: Envelope, marks: Delimiters, line: str = ""
) -> bytes:
    """`rows` from ST on, without the SE, in an envelope of their own."""
    control, at = f"{envelope.control:09d}", envelope.at
    isa: Row = ("ISA", "00", " " * 10, "00", " " * 10, "ZZ", f"{CLEARINGHOUSE:<15}", envelope.receiver_qualifier)
    isa += (f"{envelope.receiver:<15}", f"{at:%y%m%d}", f"{at:%H%M}", marks.repetition, "00501", control, "0")
    isa += (envelope.usage, marks.component)
    group = str(envelope.control)
    gs = ("GS", function, CLEARINGHOUSE, envelope.group_receiver, f"{at:%Y%m%d}", f"{at:%H%M}", group, "X", guide)
    se = ("SE", str(len(rows) + 1), rows[0][2])
    everything = [isa, gs, *rows, se, ("GE", "1", group), ("IEA", "1", control)]
    return serialize(everything, marks, line)


def serialize(rows: list[Row], marks: Delimiters, line: str = "") -> bytes:
    """Segments with their delimiters; trailing empty elements are cut."""
    text = ""
    for row in rows:
        full = list(row)
        while full[-1] == "" and len(full) > 1:
            full.pop()
        text += marks.element.join(full) + marks.terminator + line
    return text.encode()


def response(
    events: list[tuple[Answered, Reply]], asked: Asked, payer: X12Payer, guide: str, reference: str, at: datetime
) -> list[Row]:
    """The transaction set of a 278 response, from ST on; `events` is empty for an inquiry that found nothing."""
    rows: list[Row] = [
        ("ST", "278", "0001", guide),
        ("BHT", "0007", "11", reference, f"{at:%Y%m%d}", f"{at:%H%M}", "18"),
    ]
    errors = [error for answer, _ in events for error in answer.errors]
    levels = _Levels(rows)
    umo = levels.add("", "20", child=True)
    rows += _aaa(errors, "2000A")
    rows.append(("NM1", "X3", "2", _text(payer.profile.name), "", "", "", "", "PI", payer.code))
    requester = levels.add(umo, "21", child=True)
    scheme = "XX" if asked.requester_npi else ""
    rows.append(("NM1", "1P", "2", _name(payer, asked.requester_name), "", "", "", "", scheme, asked.requester_npi))
    subscriber = levels.add(requester, "22", child=True)
    rows.append(("NM1", "IL", "1", *_names(payer, asked.subscriber), "", "", "", "MI", asked.member_id))
    rows += _aaa(errors, "2010C")
    if not _aaa(errors, "2010C"):
        rows += _birth(asked.subscriber)
    parent = subscriber
    if asked.patient is not None:
        parent = levels.add(subscriber, "23", child=True)
        rows.append(("NM1", "QC", "1", *_names(payer, asked.patient)))
        rows += [*_birth(asked.patient), ("INS", "N", asked.patient.relationship)]
    if not events:
        levels.add(parent, "EV", child=False)
        rows += [_echo(asked), ("AAA", "N", "", "AA", "C"), _um(Reply())]
    for answer, reply in events:
        _event(rows, levels, parent, answer, payer, reply)
    return rows


class _Levels:
    """Counts HL."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.count = 0

    def add(self, parent: str, kind: str, *, child: bool) -> str:
        self.count += 1
        self.rows.append(("HL", str(self.count), parent, kind, "1" if child else "0"))
        return str(self.count)


def _event(rows: list[Row], levels: _Levels, parent: str, answer: Answered, payer: X12Payer, reply: Reply) -> None:
    asked = answer.asked
    lined = bool(asked.lines) and not answer.errors
    whole = _whole(answer)
    agreed = whole if lined and len({_said(line) for line in answer.lines}) == 1 else None
    at_event = not lined or payer.decides_at == "both" or (payer.decides_at == "event" and agreed is not None)
    event = levels.add(parent, "EV", child=lined)
    rows.append(_echo(asked))
    if answer.control_number:
        rows.append(("TRN", "1", answer.control_number, payer.originator))
    rows += [*_aaa(answer.errors, "2000E"), _um(reply)]
    if whole is not None and at_event:
        rows.append(_hcr(whole, payer))
    if answer.reference:
        rows.append(("REF", "NT", answer.reference))
    if whole is not None and at_event:
        rows += _dates(agreed or whole, payer)
    if answer.asks_for and payer.asks_by == "LOI":
        rows.append(("HI", f"LOI{payer.delimiters.component}{answer.asks_for}"))
    elif asked.diagnoses:
        kinds = ("ABK", *("ABF" for _ in asked.diagnoses[1:]))
        mark = payer.delimiters.component
        rows.append(("HI", *(f"{kind}{mark}{code}" for kind, code in zip(kinds, asked.diagnoses, strict=True))))
    if answer.asks_for and payer.asks_by == "PWK":
        kind = REPORT_OF_LOINC.get(answer.asks_for, "77")
        rows.append(("PWK", kind, "EL", "", "", "AC", answer.control_number))
    if whole is not None and whole.note and at_event:
        rows.append(("MSG", _text(whole.note)))
    if lined:
        decided = {line.sequence: line for line in answer.lines}
        for place, line in enumerate(asked.lines):
            levels.add(event, "SS", child=False)
            trace = reply.line_traces[place] if place < len(reply.line_traces) else ""
            own = payer.decides_at != "event" or agreed is None
            _service(rows, line, decided.get(line.sequence), trace, payer, own=own)


def _service(
    rows: list[Row], line: AskedLine, decided: LineDecision | None, trace: str, payer: X12Payer, *, own: bool
) -> None:
    if trace:
        rows.append(("TRN", "2", trace, "9000000000"))
    if decided is not None and own:
        rows.append(_hcr(decided, payer))
    dates = _dates(decided, payer, "472") if decided is not None and own else []
    if own and line.date_from is not None and not any(row[1] == "472" for row in dates):
        rows.append(("DTP", "472", *_period(line.date_from, line.date_to or line.date_from)))
    rows += dates
    units = decided.quantity if decided is not None and decided.quantity is not None else line.units
    mark = payer.delimiters.component
    rows.append(("SV1", mark.join(("HC", line.code, *line.modifiers)), "", "UN", f"{units:g}"))
    if decided is not None and decided.quantity is not None:
        rows.append(("HSD", "FL", f"{decided.quantity:g}"))
    if decided is not None and own and decided.note:
        rows.append(("MSG", _text(decided.note)))


def _said(line: LineDecision) -> tuple[object, ...]:
    return line.action, tuple(line.reasons), line.number, line.start, line.end


def _whole(answer: Answered) -> LineDecision | None:
    """What is said of the whole event: what all lines say, else partial when something is granted, else the first."""
    if not answer.lines:
        return None
    first = answer.lines[0]
    if len({line.action for line in answer.lines}) == 1:
        return first
    granted = next((line for line in answer.lines if line.action in GRANTS), None)
    if granted is None:
        return first
    return granted.model_copy(update={"action": "A2", "reasons": [], "note": None})


def _hcr(line: LineDecision, payer: X12Payer) -> Row:
    return ("HCR", line.action, line.number or "", payer.delimiters.repetition.join(line.reasons))


def _dates(line: LineDecision, payer: X12Payer, period: str = "AAH") -> list[Row]:
    """The certified days; `period` is the qualifier of a payer that names them as one."""
    if line.start is None or line.end is None:
        return []
    if len(payer.dates) == 1:
        return [("DTP", period, *_period(line.start, line.end))]
    return [
        ("DTP", qualifier, *_period(day, day))
        for qualifier, day in zip(payer.dates, (line.start, line.end), strict=True)
    ]


def _period(first: date, last: date) -> Row:
    if first == last:
        return ("D8", f"{first:%Y%m%d}")
    return ("RD8", f"{first:%Y%m%d}-{last:%Y%m%d}")


def _aaa(errors: list[PayerError] | tuple[PayerError, ...], loop: str) -> list[Row]:
    return [("AAA", "N", "", e.code, e.follow_up) for e in errors if PLACES.get(e.path, "2000E") == loop]


def _echo(asked: Asked) -> Row:
    return ("TRN", "2", asked.trace, asked.originator)


def _um(reply: Reply) -> Row:
    return ("UM", reply.category, reply.certification, reply.service_type)


def _birth(person: Person) -> list[Row]:
    return [("DMG", "D8", f"{person.birth_date:%Y%m%d}", person.sex)] if person.birth_date is not None else []


def _names(payer: X12Payer, person: Person) -> tuple[str, str]:
    return _name(payer, person.family), _name(payer, person.given)


def _name(payer: X12Payer, name: str) -> str:
    plain = _text(name)
    return plain[:NAME_LENGTH].strip().lower() if payer.short_lower_names else plain


def _text(text: str) -> str:
    """Text without any character that could be a delimiter."""
    return "".join(letter for letter in text if letter.isalnum() or letter in " ,.-'&/()")[:264]
