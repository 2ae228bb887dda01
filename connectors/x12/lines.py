"""What an answer says about each line of a request: what the service levels state, under what the event states.

The line wins: its own action stands over the event's. A line without one has the event's, unless it was rejected or
holds what nobody knows. Lines are matched by our trace number, else by procedure code, else by order; what matches none
is line 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.codes import AUTHORIZES, INFORMATION_REQUIRED, QUESTIONNAIRE
from connectors.ours import Ours
from connectors.review import Action
from connectors.x12.hl import Level, Levels
from connectors.x12.identity import line_trace
from connectors.x12.statement import MAX_REASONS, Asked, Statement, read_statement
from connectors.x12.values import Span, text
from connectors.x12.words import EFFECTIVE, EVENT_DATE, EXPIRES, REJECTION_SYSTEM, SERVICE, SERVICE_DATE
from domain.decision import AnswerError, InformationAsk, LineDecision, Number, Outcome, Reason

MAX_ASKS = 10
_MAX_NUMBERS = 6
_NOTHING = Action(Outcome.UNKNOWN)
_NO_DAYS: Span = (None, None)


@dataclass
class Lines:
    """The lines of one event, what is asked for, and what a person should know about how they were read."""

    event: Statement
    found: dict[int, LineDecision] = field(default_factory=dict)
    extra: list[LineDecision] = field(default_factory=list)
    asks: list[InformationAsk] = field(default_factory=list)
    errors: list[AnswerError] = field(default_factory=list)
    """Rejections of single lines."""
    traces: list[str] = field(default_factory=list)
    """Trace numbers that the lines echo."""
    decides: bool = False
    """Whether anything in it is a decision or a remark in place of one."""
    silent: tuple[LineDecision, ...] = ()
    """The lines that it names, where it says of none of them what was decided."""
    contradicts: bool = False
    """Whether it decides one line twice, and differently, or numbers two levels alike."""
    notes: list[str] = field(default_factory=list)

    @property
    def all(self) -> tuple[LineDecision, ...]:
        """Ours by number, then those that are none of ours."""
        return (*(self.found[number] for number in sorted(self.found)), *self.extra)


def read_lines(event: Level, levels: Levels, mine: Ours | None, *, inquiry: bool) -> Lines:
    """Read the decisions of one event. Without `mine` the lines are numbered in their order."""
    stated = read_statement(event)
    services = [read_statement(level) for level in levels.under(event) if level.code == SERVICE]
    lines = Lines(stated, notes=list(stated.notes))
    lines.errors = [error for service in services for error in service.rejections]
    lines.traces = [name for service in services for name in (*service.echoes, *service.references)]
    lines.decides = any(one.action or one.remarks for one in (stated, *services))
    numbers = _numbers_of(services, mine)
    if not lines.decides:
        lines.silent = tuple(LineDecision(line=number, decision=Outcome.UNKNOWN) for number in numbers)
        return lines
    whole = stated.action or (_NOTHING if stated.remarks else None)
    # A quantity of the event is a line's only where there is just one.
    only = len(services) == 1 and (mine is None or len(mine.lines) == 1)
    if stated.units is not None and not only and any(service.units is None for service in services):
        lines.notes.append(f"A quantity ({stated.units}) is given for the whole, and for no line.")
    for number, service in zip(numbers, services, strict=True):
        lines.notes += service.notes
        action = _action_of(service, whole, lines.notes)
        _add(lines, _line(number, action, service, lines, mine, stated.units if only else None))
        _ask(lines, service, number or None, action.outcome)
    if stated.action is not None and any(s.action and s.action.code != stated.action.code for s in services):
        lines.notes.append(
            f"The whole is decided as {stated.action.code}, and lines otherwise: compare with the answer."
        )
    if whole is not None:
        lines.contradicts = lines.contradicts or any(p.code == "HL_DUPLICATE" for p in levels.problems)
        _add_unnamed(lines, whole, services, mine)
    if any(line.decision is Outcome.PENDED for line in lines.all):
        _ask(lines, stated, None, Outcome.PENDED)
    if not inquiry:
        _ask_by_reason(lines)
    lines.asks = lines.asks[:MAX_ASKS]
    return lines


def distinct(numbers: Sequence[Number]) -> tuple[Number, ...]:
    """Return the numbers without repeated values; the first says what a value is good for. At most six."""
    first: dict[str, Number] = {}
    for number in numbers:
        first.setdefault(number.value, number)
    return tuple(first.values())[:_MAX_NUMBERS]


def typed(action: Action) -> list[Number]:
    """Return the numbers of an action with what they are good for."""
    return [Number(type=action.number_type, value=value) for value in action.numbers]


def _action_of(service: Statement, whole: Action | None, notes: list[str]) -> Action:
    if service.rejections:
        # Nothing was decided about it, whatever the event says: neither approved nor denied.
        notes.append("A line was not taken up: nothing is decided about it.")
        reasons = tuple(Reason(code=e.code, system=REJECTION_SYSTEM, text=e.text) for e in service.rejections)
        return Action(Outcome.UNKNOWN, service.action.code if service.action else None, reasons=reasons[:MAX_REASONS])
    if service.is_strange:
        notes.append("A line holds a segment that Vigil does not know: perhaps a rejection, or another decision.")
        return Action(Outcome.UNKNOWN, service.action.code if service.action else None)
    if service.action is not None:
        return service.action
    if whole is None and service.remarks:
        return _NOTHING
    if whole is None:
        notes.append("The answer names a line without saying what was decided.")
        return _NOTHING
    return whole


def _numbers_of(services: Sequence[Statement], mine: Ours | None) -> list[int]:
    """The number of our line that each service speaks of; 0 where it is none."""
    if mine is None:
        return list(range(1, len(services) + 1))
    by_trace = {name: n for n in mine.lines for t in (line_trace(mine.trace, n),) for name in (t, t.upper())}
    numbers = [
        next((by_trace[name] for name in (*service.echoes, *service.references) if name in by_trace), 0)
        for service in services
    ]
    open_lines = [number for number in mine.lines if number not in numbers]
    for place, service in enumerate(services):
        if numbers[place] == 0 and service.procedure is not None:
            fits = next((n for n in open_lines if mine.lines[n] == service.procedure), 0)
            numbers[place] = fits
            open_lines = [n for n in open_lines if n != fits]
    left = [place for place, number in enumerate(numbers) if number == 0]
    nameless = all(services[place].procedure is None and not services[place].echoes for place in left)
    if nameless and len(left) == len(open_lines):
        for place, number in zip(left, open_lines, strict=True):
            numbers[place] = number
    return numbers


def _line(
    number: int, action: Action, service: Statement, lines: Lines, mine: Ours | None, shared: int | None
) -> LineDecision:
    authorized = action.outcome in AUTHORIZES
    begin, end = _validity(service, lines.event)
    permits = authorized or action.outcome is Outcome.NOT_REQUIRED
    asked = mine.lines.get(number) if mine is not None else None
    if any(value not in action.numbers for value in service.previous):
        lines.notes.append("A line also names an earlier authorization; its number is kept as a reference.")
    return LineDecision(
        line=number,
        decision=action.outcome,
        code=action.code,
        numbers=distinct([*typed(action), *service.references_as_numbers(action.numbers)]),
        valid_from=begin if permits else None,
        valid_to=end if permits else None,
        units=(service.units if service.units is not None else shared) if authorized else None,
        procedure=service.procedure if authorized and service.procedure != asked else None,
        reasons=_reasons(action, service.remarks, lines.event.remarks),
    )


def _add(lines: Lines, line: LineDecision) -> None:
    if line.line == 0:
        lines.extra.append(line)
        return
    before = lines.found.setdefault(line.line, line)
    if before is line:
        return
    if before.code == line.code and before.decision is line.decision:
        lines.notes.append(f"The answer decides line {line.line} twice; the first counts.")
        return
    lines.notes.append(f"The answer decides line {line.line} twice, and differently.")
    lines.contradicts = True
    code = text("/".join(dict.fromkeys(c for c in (before.code, line.code) if c)), 30)
    reasons = tuple(dict.fromkeys((*before.reasons, *line.reasons)))[:MAX_REASONS]
    lines.found[line.line] = LineDecision(line=line.line, decision=Outcome.UNKNOWN, code=code, reasons=reasons)


def _add_unnamed(lines: Lines, whole: Action, services: Sequence[Statement], mine: Ours | None) -> None:
    """Lines that the answer does not name have the event's decision, unless another decision may be meant for them."""
    doubtful = any(line.decision is not whole.outcome for line in lines.extra) or lines.contradicts
    # A level that is damaged at its head gives what it holds to the one before it.
    doubtful = doubtful or any(one.is_strange for one in (lines.event, *services))
    doubtful = doubtful or any(len(one.echoes) > 1 for one in services)
    unnamed = [number for number in mine.lines if number not in lines.found] if mine is not None else []
    if mine is None and not services:
        unnamed = [0]
    if unnamed and doubtful:
        lines.notes.append("A decision of the answer fits no line: those that it does not name are not decided.")
        whole = Action(Outcome.UNKNOWN, whole.code, reasons=whole.reasons)
    begin, end = _validity(lines.event, lines.event)
    permits = whole.outcome in AUTHORIZES or whole.outcome is Outcome.NOT_REQUIRED
    # A quantity of the event is a line's only where there is just one.
    alone = not services and len(unnamed) == 1 and whole.outcome in AUTHORIZES
    for number in unnamed:
        _add(
            lines,
            LineDecision(
                line=number,
                decision=whole.outcome,
                code=whole.code,
                numbers=distinct(typed(whole)),
                valid_from=begin if permits else None,
                valid_to=end if permits else None,
                units=lines.event.units if alone else None,
                reasons=_reasons(whole, lines.event.remarks, ()),
            ),
        )


def _reasons(action: Action, *remarks: tuple[str, ...]) -> tuple[Reason, ...]:
    said = [Reason(text=remark) for some in remarks for remark in some]
    return tuple(dict.fromkeys((*action.reasons, *said)))[:MAX_REASONS]


def _validity(service: Statement, event: Statement) -> Span:
    """Certification dates (007, 036, AAH) of the line, then of the event.

    The days of the service (472) only say when it is to be given. Where the payer names no other date at all, they are
    taken for the validity (confirm: the companion guide says whether the payer means them so).
    """
    for stated in (service, event):
        for found in (stated.period(), stated.dates.get(EVENT_DATE, _NO_DAYS)):
            if any(found):
                return found
    if any(kind in stated.dates for stated in (service, event) for kind in (EFFECTIVE, EXPIRES, EVENT_DATE)):
        return _NO_DAYS
    return service.dates.get(SERVICE_DATE) or event.dates.get(SERVICE_DATE) or _NO_DAYS


def _ask(lines: Lines, stated: Statement, line: int | None, outcome: Outcome) -> None:
    """What a level of a pended request wants to see, by the number under which it is to be sent."""
    if outcome is not Outcome.PENDED:
        return
    known = [*stated.references, *lines.event.references, *stated.administrative, *lines.event.administrative]
    together: dict[str | None, list[Asked]] = {}
    for asked in stated.asked:
        together.setdefault(asked.control_number or next(iter(known), None), []).append(asked)
    for control, some in together.items():
        what = tuple(dict.fromkeys(asked.what for asked in some))
        form = any(reason.code == QUESTIONNAIRE for reason in what)
        context = (stated.context() or lines.event.context()) if form else None
        lines.asks.append(InformationAsk(what=what, line=line, control_number=control, context=context))


def _ask_by_reason(lines: Lines) -> None:
    """Where the payer wants more and does not say what, its reason says at least that."""
    asked = {ask.line for ask in lines.asks}
    for line in lines.all:
        wanting = tuple(reason for reason in line.reasons if reason.code == INFORMATION_REQUIRED)
        if line.decision is Outcome.PENDED and wanting and not asked & {None, line.line}:
            lines.asks.append(InformationAsk(what=wanting, line=line.line or None))
