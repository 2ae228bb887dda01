"""The five keys of an authorization side by side: what was ordered, asked, approved and booked, and where they differ.

The keys are procedure with units, site, rendering provider, dates and plan: a claim is denied where one of them is not
what was authorized.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, tzinfo
from zoneinfo import ZoneInfo

from domain.case import Case, replay
from domain.decision import LineDecision
from domain.facts import Fact
from domain.order import AppointmentStatus, Order, ServiceLine
from domain.track import Track

UNSAID = "-"
"""Where nothing was said: no mismatch, and no proof either."""


@dataclass(frozen=True)
class Compared:
    """One key of one line; `mismatch` says in words what does not fit."""

    key: str
    ordered: str
    asked: str
    approved: str
    booked: str
    mismatch: str | None = None


def five_keys(case: Case, track: Track) -> tuple[Compared, ...]:
    """The keys of a track, procedures line by line."""
    asked = _asked(case, track)
    rows = [_procedure(case.order, asked, track, number) for number in _lines(track)]
    rows += [
        _site(case.order, asked),
        _rendering(case.order, asked),
        _dates(case, asked, track),
        _plan(case, asked, track),
    ]
    return tuple(rows)


def _lines(track: Track) -> tuple[int, ...]:
    return tuple(line.line for line in track.requirement.lines)


def _asked(case: Case, track: Track) -> Order | None:
    """The order as it read when the request went out; None where none has."""
    attempt = track.attempt
    first: Fact | None = attempt.submitted or (attempt.answers[0] if attempt.answers else None)
    return replay(case.id, case.facts[: first.n]).order if first else None


def _procedure(order: Order, asked: Order | None, track: Track, number: int) -> Compared:
    ordered, requested = order.line(number), asked.line(number) if asked else None
    decided = track.decision(number)
    wanted = number in track.lines_required
    said = _line_text(ordered)
    sent = _line_text(requested) if wanted and asked else UNSAID
    granted = _granted(decided, requested) if wanted else "not required"
    wrong = None
    if sent not in (said, UNSAID):
        wrong = "the order changed after it was asked"
    elif decided is not None and ordered is not None and decided.decision.is_final:
        if decided.procedure and decided.procedure != ordered.code:
            wrong = "another procedure was approved"
        elif decided.decision.permits and decided.units is not None and decided.units < ordered.units:
            wrong = "fewer units were approved"
        elif not decided.decision.permits:
            wrong = f"it was {decided.decision.value.replace('_', ' ')}"
    return Compared(f"{number}. procedure x units", said, sent, granted, UNSAID, wrong)


def _line_text(line: ServiceLine | None) -> str:
    return f"{'-'.join((line.code, *line.modifiers))} x {line.units}" if line else "none"


def _granted(decided: LineDecision | None, requested: ServiceLine | None) -> str:
    if decided is None:
        return UNSAID
    code = decided.procedure or (requested.code if requested else "")
    units = f" x {decided.units}" if decided.units is not None else ""
    return f"{code}{units} {decided.decision.value.replace('_', ' ')}".strip()


def _site(order: Order, asked: Order | None) -> Compared:
    def text(one: Order) -> str:
        places = "/".join(sorted({line.place_of_service for line in one.lines}))
        return f"POS {places}{', ' + one.facility.name if one.facility else ''}"

    return _unchanged("site", order, asked, text)


def _rendering(order: Order, asked: Order | None) -> Compared:
    def text(one: Order) -> str:
        person = one.rendering or one.ordering
        return f"{person.npi} {person.family_name}"

    return _unchanged("rendering", order, asked, text)


def _unchanged(key: str, order: Order, asked: Order | None, text: Callable[[Order], str]) -> Compared:
    said, sent = text(order), text(asked) if asked else UNSAID
    wrong = "the order changed after it was asked" if sent not in (said, UNSAID) else None
    return Compared(key, said, sent, UNSAID, UNSAID, wrong)


def _dates(case: Case, asked: Order | None, track: Track) -> Compared:
    zone: tzinfo = ZoneInfo(case.time_zone)
    said, sent = _span(case.order), _span(asked) if asked else UNSAID
    decisions = [d for number in track.lines_required if (d := track.decision(number))]
    begins = max((d.valid_from for d in decisions if d.valid_from), default=None)
    ends = min((d.valid_to for d in decisions if d.valid_to), default=None)
    granted = f"{begins or '…'} to {ends or '…'}" if begins or ends else UNSAID
    visit = case.appointment
    booked, day, wrong = UNSAID, None, None
    if visit is not None:
        local = visit.starts_at.astimezone(zone)
        day = local.date() if visit.status is AppointmentStatus.BOOKED else None
        booked = f"{local:%Y-%m-%d %H:%M}" + ("" if day else f" {visit.status.value.replace('_', ' ')}")
    if day is not None and _outside(day, begins, ends):
        wrong = "the visit lies outside the approved dates"
    elif sent not in (said, UNSAID):
        wrong = "the order changed after it was asked"
    return Compared("dates", said, sent, granted, booked, wrong)


def _outside(day: date, begins: date | None, ends: date | None) -> bool:
    return (begins is not None and day < begins) or (ends is not None and day > ends)


def _span(order: Order) -> str:
    begins = min(line.service_from for line in order.lines)
    ends = max(line.service_to or line.service_from for line in order.lines)
    return f"{begins}" if begins == ends else f"{begins} to {ends}"


def _plan(case: Case, asked: Order | None, track: Track) -> Compared:
    rank = track.requirement.rank
    held = next((c for c in case.order.coverages if c.rank == rank), None)
    sent = next((c for c in asked.coverages if c.rank == rank), None) if asked else None
    answer = track.attempt.last_answer
    member = answer.decision.member_id if answer else None
    verified = case.coverages.get(rank)
    said = f"{held.payer} {held.member_id}" if held else "none"
    requested = f"{sent.payer} {sent.member_id}" if sent else UNSAID
    wrong = None
    if requested not in (said, UNSAID):
        wrong = "the insurance changed after it was asked"
    elif member is not None and held is not None and member != held.member_id:
        wrong = "the answer names another member"
    elif verified is not None and verified.status != "active":
        wrong = f"the coverage is {verified.status.value.replace('_', ' ')}"
    return Compared(
        "plan",
        said,
        requested,
        member or UNSAID,
        f"coverage {verified.status.value.replace('_', ' ')}" if verified else UNSAID,
        wrong,
    )
