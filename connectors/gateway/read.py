"""Read what the gateway answers: lenient about its shape, strict about what it may approve.

The HTTP status says how far the transport is, never what was decided: 202 is "not yet", 200 may carry validation messages.
What was decided is the status code by the channel's own map, of the procedure first, then of the whole; a code that is not
in the map is `unknown`. Source: Availity Service Reviews 2.0.0, definitions ServiceReview, ResultSet, ErrorResponse.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from connectors.codes import AUTHORIZES, INFORMATION_REQUIRED, OUTCOMES, REASONS
from connectors.gateway.words import ENDINGS, OBJECTS, PROCEDURE_FIELDS, REVIEW_FIELDS, TRACE_NOTE
from connectors.lenient import MAX_BYTES, Json, NotJson, day, objects, parse, raw, text, token, whole
from connectors.ours import Ours
from domain.decision import (
    AnswerError,
    Decision,
    Ending,
    InformationAsk,
    LineDecision,
    Number,
    NumberType,
    Outcome,
    Reason,
    Result,
    unreadable,
)

MAX_ANSWERS = 50
"""The most reviews that a result set holds."""
MAX_LINES = 99
MAX_ERRORS = 10
MAX_REASONS = 8
MAX_NOTES = 10
_TEXT = 500
_MOST_UNITS = 99_999
_WHOLE = re.compile(r"[0-9]{1,5}(\.0+)?")
_LARGEST = 10**20
_BLANK = b"\xef\xbb\xbf \t\r\n"
_OF_REVIEW = frozenset(
    {"id", "status", "statusCode", "procedures", "certificationNumber", "validationMessages", "payer"}
)
_OF_ERROR = frozenset({"userMessage", "developerMessage", "reasonCode", "errors"})


def read_answers(
    body: bytes,
    media_type: str | None,
    status: int,
    mine: Ours | None = None,
    *,
    inquiry: bool = False,
    statuses: Mapping[str, Outcome] = OUTCOMES,
) -> tuple[Decision, ...]:
    """Read every review in a body. None at all means that the gateway has no answer yet (202): ask again.

    `statuses` is the channel's map of status codes. An `inquiry` found nothing where a result set is empty, or where the
    gateway says in its own words that there is no such record.
    """
    if status == HTTPStatus.ACCEPTED:
        return ()
    try:
        # A list alone is what a search returns, without its envelope.
        bare = len(body) < MAX_BYTES and body.lstrip(_BLANK)[:1] == b"["
        found = parse(b'{"serviceReviews":' + body.lstrip(_BLANK) + b"}" if bare else body)
    except NotJson as error:
        kind = text(media_type, 60)
        return (unreadable(f"{error}{f' (sent as {kind})' if kind else ''}"),)
    if bare and len(found) > 1:
        return (unreadable("The answer is not JSON, or it breaks off."),)
    if "resourceType" in found:
        return (unreadable("It is FHIR, and no answer of a gateway."),)
    if status >= HTTPStatus.BAD_REQUEST:
        return (_refusal(found, status, inquiry=inquiry),)
    if isinstance(found.get("serviceReviews"), list):
        return _result_set(found, mine, statuses, inquiry=inquiry)
    if _OF_ERROR & found.keys():
        said = text(found.get("userMessage"), _TEXT) or text(found.get("developerMessage"), _TEXT)
        why = f"The gateway answers with an error in place of a decision (HTTP {status}){f': {said}' if said else '.'}"
        errors = _field_errors(found.get("errors")) or ((AnswerError(text=said),) if said else ())
        return (Decision(result=Result.UNREADABLE, errors=errors, notes=(why,)),)
    if _OF_REVIEW & found.keys():
        return (_decision(found, mine, statuses),)
    return (unreadable("It is neither a service review nor a list of them."),)


def _refusal(found: Json, status: int, *, inquiry: bool) -> Decision:
    said = text(found.get("userMessage"), _TEXT) or text(found.get("developerMessage"), _TEXT)
    if not _OF_ERROR & found.keys() or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        why = f"with an error: {said}" if said else "with an error that says nothing"
        return unreadable(f"The gateway answers {why} (HTTP {status}).")
    if inquiry and status == HTTPStatus.NOT_FOUND:
        return Decision(result=Result.NOT_FOUND, notes=("The gateway has no such record.",))
    errors = _field_errors(found.get("errors")) or (AnswerError(code=str(status), text=said),)
    return Decision(result=Result.REJECTED, errors=errors)


def _result_set(
    found: Json, mine: Ours | None, statuses: Mapping[str, Outcome], *, inquiry: bool
) -> tuple[Decision, ...]:
    reviews = [review for review in found["serviceReviews"] if isinstance(review, dict)]
    if len(reviews) > MAX_ANSWERS:
        return (unreadable(f"It holds {len(reviews)} reviews."),)
    read = [_decision(review, mine, statuses) for review in reviews]
    total = found.get("totalCount")
    if isinstance(total, int) and total > len(reviews):
        read.append(unreadable(f"It shows {len(reviews)} of {min(total, 10**6)} reviews."))
    if len(reviews) != len(found["serviceReviews"]):
        read.append(unreadable("It holds something that is no review."))
    if not read and not inquiry:
        return (unreadable("It is an empty list of reviews."),)
    return tuple(read) or (Decision(result=Result.NOT_FOUND, notes=("The gateway found no request.",)),)


def _decision(review: Json, mine: Ours | None, statuses: Mapping[str, Outcome]) -> Decision:
    lines = _Lines(review, mine, statuses)
    errors = _field_errors(review.get("validationMessages"))
    trace = _trace(review, mine)
    subscriber = review.get("subscriber")
    common: dict[str, Any] = {
        "trace": trace,
        "member_id": _token(subscriber.get("memberId")) if isinstance(subscriber, dict) else None,
        "errors": errors,
    }
    wrong: str | None = None
    if lines.too_many:
        wrong = f"It decides more than {MAX_LINES} procedures."
    elif errors and lines.says_something:
        wrong = "It decides, and yet it says that the request is not valid."
    elif not errors and not lines.all:
        wrong = "It says nothing about any line."
    if wrong is not None:
        notes = tuple(dict.fromkeys((wrong, *lines.notes)))[:MAX_NOTES]
        named = tuple(LineDecision(line=one.line, decision=Outcome.UNKNOWN, reasons=one.reasons) for one in lines.all)
        return Decision(result=Result.UNREADABLE, lines=named, numbers=_numbers(review, ()), notes=notes, **common)
    if errors:
        return Decision(result=Result.REJECTED, numbers=_numbers(review, ()), **common)
    return Decision(
        result=Result.DECIDED,
        lines=lines.all,
        numbers=_numbers(review, lines.all),
        asks=_asks(review, lines.all),
        ending=lines.ending,
        received=day(review.get("certificationIssueDate")) or day(review.get("updatedDate")),
        notes=tuple(dict.fromkeys(lines.notes))[:MAX_NOTES],
        **common,
    )


class _Lines:
    """What one review says of each line, and what a person should know about how it was read."""

    def __init__(self, review: Json, mine: Ours | None, statuses: Mapping[str, Outcome]) -> None:
        self.notes: list[str] = []
        self.statuses = statuses
        self.review = review
        self.ending = _ending(review)
        self.code, self.outcome = self._status(review)
        given = review.get("procedures")
        self.too_many = isinstance(given, list) and len(given) > MAX_LINES
        procedures = objects(given)[:MAX_LINES]
        self.all = tuple(self._read(procedures, mine))

    @property
    def says_something(self) -> bool:
        """Whether anything in it is a decision by a code that is known."""
        return self.ending is not None or any(line.decision is not Outcome.UNKNOWN for line in self.all)

    def _status(self, element: Json) -> tuple[str | None, Outcome | None]:
        """A status code, verbatim and by meaning; a status in words alone is unknown; neither where there is none."""
        given = element.get("statusCode")
        code = text(given, 30) or _token(given)
        words = text(element.get("status"), 30)
        if code is None:
            return words, None if words is None else Outcome.UNKNOWN
        outcome = self.statuses.get(raw(given) or code, Outcome.UNKNOWN)
        if (outcome in AUTHORIZES or outcome is Outcome.NOT_REQUIRED) and words and OBJECTS.search(words):
            self.notes.append("Its status in words says something else than its status code.")
            outcome = Outcome.UNKNOWN
        return code, outcome

    def _read(self, procedures: list[Json], mine: Ours | None) -> list[LineDecision]:
        if not procedures:
            numbers = sorted(mine.lines) if mine is not None else [0]
            return [line for number in numbers if (line := self._line(number, {})) is not None]
        places = _places(procedures, mine)
        found = [
            line
            for place, procedure in enumerate(procedures)
            if (line := self._line(places.get(place, 0), procedure)) is not None
        ]
        if any(line.line == 0 for line in found):
            self.notes.append("It speaks of a procedure that answers none of the lines asked for.")
        missing = sorted(set(mine.lines) - set(places.values())) if mine is not None else []
        if missing and found:
            self.notes.append(f"It does not speak of line {', '.join(map(str, missing))}.")
            found += [LineDecision(line=number, decision=Outcome.UNKNOWN) for number in missing]
        return sorted(found, key=lambda line: line.line or MAX_LINES + 1)

    def _line(self, number: int, procedure: Json) -> LineDecision | None:
        """The decision about one procedure; what it does not say itself, the whole says. None where neither does."""
        code, outcome = self._status(procedure)
        if outcome is None:
            code, outcome = self.code, self._inherited(procedure)
        if self.ending is not None:
            gone = self.ending is not Ending.CLOSED
            code, outcome = self.code, Outcome.CANCELLED if gone else Outcome.UNKNOWN
        if outcome is None:
            return None
        authorized = outcome in AUTHORIZES
        start, end = self._validity(procedure) if authorized or outcome is Outcome.NOT_REQUIRED else (None, None)
        own = _token(procedure.get("certificationNumber"))
        kind = NumberType.CERTIFICATION if authorized else NumberType.ADMINISTRATIVE
        reasons = _reasons(procedure) or _reasons(self.review)
        if outcome is Outcome.UNKNOWN:
            reasons += [Reason(text=said) for e in (procedure, self.review) if (said := text(e.get("status"), _TEXT))]
        return LineDecision(
            line=number,
            decision=outcome,
            code=code,
            numbers=(Number(type=kind, value=own),) if own else (),
            valid_from=start,
            valid_to=end,
            units=self._quantity(procedure) if authorized else None,
            procedure=token(procedure.get("code"), 20) if number == 0 else None,
            reasons=tuple(dict.fromkeys([*reasons, *self._remarks(procedure)]))[:MAX_REASONS],
        )

    def _inherited(self, procedure: Json) -> Outcome | None:
        """What the whole says of a procedure that says nothing: nothing sure where a field of either is not known."""
        permits = self.outcome in AUTHORIZES or self.outcome is Outcome.NOT_REQUIRED
        given = self.review.get("procedures", [])
        lost = not isinstance(given, list | dict) or (isinstance(given, list) and len(objects(given)) < len(given))
        strange = bool(procedure.keys() - PROCEDURE_FIELDS) or bool(self.review.keys() - REVIEW_FIELDS)
        if not permits or not (lost or strange):
            return self.outcome
        self.notes.append("It holds a field that Vigil does not know: what it says of the whole is no line's decision.")
        return Outcome.UNKNOWN

    def _validity(self, procedure: Json) -> tuple[Any, Any]:
        for element in (procedure, self.review):
            given = element.get("certificationEffectiveDate"), element.get("certificationExpirationDate")
            start, end = map(day, given)
            if (given[0] and start is None) or (given[1] and end is None):
                self.notes.append("A date of the answer cannot be read.")
            if start and end and end < start:
                self.notes.append("A validity that ends before it begins was left out.")
            elif start or end:
                return start, end
        return None, None

    def _quantity(self, procedure: Json) -> int | None:
        """The units of a procedure; those of the whole where it is the only one and names none."""
        given = procedure.get("quantity")
        if given is None and len(objects(self.review.get("procedures"))) <= 1:
            given = self.review.get("quantity")
        units = _units(given)
        if units is None and given not in (None, ""):
            self.notes.append("A quantity of the answer is no plain number of units; read it as it came.")
        return units

    def _remarks(self, procedure: Json) -> list[Reason]:
        """What the payer says of the procedure and of the whole, in its words."""
        notes = [*objects(procedure.get("notes"))[:MAX_REASONS], *objects(self.review.get("payerNotes"))[:MAX_REASONS]]
        return [Reason(text=said) for note in notes if (said := text(note.get("message"), _TEXT)) is not None]


def _places(procedures: list[Json], mine: Ours | None) -> dict[int, int]:
    """Which of our lines each procedure answers, by its place: the same code, in the same order. Others are left out."""
    if mine is None:
        return {place: place + 1 for place in range(len(procedures))}
    open_lines = dict(sorted(mine.lines.items()))
    found: dict[int, int] = {}
    for place, procedure in enumerate(procedures):
        code = token(procedure.get("code"), 20)
        number = next((number for number, asked in open_lines.items() if asked == code), None)
        if number is not None:
            del open_lines[number]
            found[place] = number
    return found


def _trace(review: Json, mine: Ours | None) -> str | None:
    """Our identifier where the review carries one: in a provider note, else by the record's id or the payer's echo."""
    said = [
        token(message[len(TRACE_NOTE) :], 120)
        for note in objects(review.get("providerNotes"))
        if (message := text(note.get("message"), 300)) is not None and message.startswith(TRACE_NOTE)
    ]
    noted = [trace for trace in said if trace is not None]
    if noted:
        return noted[-1]
    named = {_token(review.get("id")), *_strings(review.get("traceNumbers"))}
    return mine.trace if mine is not None and named & mine.names else None


def _ending(review: Json) -> Ending | None:
    for said in (review.get("statusCode"), review.get("status")):
        word = text(said, 30)
        if word is not None and word.upper() in ENDINGS:
            return ENDINGS[word.upper()]
    return None


def _numbers(review: Json, lines: tuple[LineDecision, ...]) -> tuple[Number, ...]:
    """The numbers of the whole. Its number certifies only where something is authorized and nothing is still open."""
    outcomes = [line.decision for line in lines]
    settled = any(o in AUTHORIZES for o in outcomes) and all(o.is_final for o in outcomes)
    kind = NumberType.CERTIFICATION if settled else NumberType.ADMINISTRATIVE
    given = [
        (kind, _token(review.get("certificationNumber"))),
        (NumberType.ADMINISTRATIVE, _token(review.get("referenceNumber"))),
        (NumberType.TRANSACTION, _token(review.get("id"))),
    ]
    return tuple(Number(type=type_, value=value) for type_, value in given if value is not None)


def _field_errors(found: Any) -> tuple[AnswerError, ...]:
    """FieldErrors that say something, each naming its field."""
    words = [found] if isinstance(found, str) else found[:MAX_ERRORS] if isinstance(found, list) else []
    errors = [AnswerError(text=said) for word in words if (said := text(word, _TEXT))]
    for error in objects(found):
        field, said, code = text(error.get("field"), 280), text(error.get("errorMessage"), _TEXT), error.get("code")
        place = error.get("index")
        named = f"{field}[{place}]" if field and isinstance(place, int) and 0 < place <= MAX_LINES else field
        if field or said or text(code, 30):
            errors.append(AnswerError(code=text(code, 30), text=said, where=named))
    return tuple(errors[:MAX_ERRORS])


def _reasons(element: Json) -> list[Reason]:
    given = element.get("statusReasons")
    words = [one for one in given[:MAX_REASONS] if isinstance(one, str)] if isinstance(given, list) else []
    found = [(one if one in REASONS else None, None if one in REASONS else one) for one in words]
    found += [(reason.get("code"), reason.get("value")) for reason in objects(given)[:MAX_REASONS]]
    return [
        Reason(code=code, text=text(said, _TEXT) or REASONS.get(code or ""))
        for one, said in found
        for code in (text(one, 30),)
        if code or text(said, _TEXT)
    ]


def _units(value: Any) -> int | None:
    """A whole number of units; the swagger makes it a string."""
    plain = value.strip() if isinstance(value, str) else value
    if isinstance(plain, str) and _WHOLE.fullmatch(plain):
        plain = int(plain.partition(".")[0])
    return whole(plain, 0, _MOST_UNITS)


def _asks(review: Json, lines: tuple[LineDecision, ...]) -> tuple[InformationAsk, ...]:
    """What the payer wants to see: of each pended line that says so, with its words and its trace number."""
    procedures = objects(review.get("procedures"))
    numbers = [number for element in (*procedures, review) for number in _strings(element.get("traceNumbers"))]
    wanting = [line for line in lines if line.decision is Outcome.PENDED and _wants(line)]
    control = numbers[0] if numbers else None
    if wanting and len(wanting) == len(lines) and len({line.reasons for line in wanting}) == 1:
        return (InformationAsk(what=wanting[0].reasons, control_number=control),)
    return tuple(
        InformationAsk(what=line.reasons, line=line.line or None, control_number=control) for line in wanting[:10]
    )


def _wants(line: LineDecision) -> bool:
    return any(reason.code == INFORMATION_REQUIRED for reason in line.reasons)


def _strings(values: Any) -> list[str]:
    return [value for given in values[:10] if (value := _token(given))] if isinstance(values, list) else []


def _token(value: Any) -> str | None:
    """A code or a number, which some write as a number of JSON."""
    plain = str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST else value
    return token(plain)
