"""What the payer's own rules said of the order as it reads now (CRD), and which question to them is open.

A question is asked once: an answer or a failure ends it, and nothing is decided before. The rule that asks, and what
follows from the answer, is `payer_says.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal
from zoneinfo import ZoneInfo

from domain.case import Case
from domain.facts import CoverageInformationReceived, LineInformation
from domain.order import AppointmentStatus

Hook = Literal["order-sign", "order-dispatch", "appointment-book"]

OPEN_ENDED = frozenset({"conditional", "indeterminate"})
"""Codes of `covered`, `pa-needed` and `doc-needed` by which the payer leaves it open (CRD 2.2.1; 2.0.1 has the first)."""


@dataclass(frozen=True)
class Question:
    """A hook to call, under the cause of its action."""

    hook: Hook
    cause: str


@dataclass(frozen=True)
class Word:
    """The payer's latest word about a line, and the fact that it came with."""

    line: LineInformation
    fact: CoverageInformationReceived

    def holds_on(self, day: date) -> bool:
        """Whether the assertion is still good on a day; one without an end is."""
        return self.line.expires_on is None or day <= self.line.expires_on


def question(case: Case) -> Question | None:
    """The question to the payer's own rules that has no end yet, where the primary payer takes questions."""
    policy = case.policies.get(case.order.primary.payer)
    if policy is None or not any(channel.crd_url for channel in policy.channels):
        return None
    for asked in _questions(case):
        tries = case.actions.get(asked.cause, ())
        if not tries or tries[-1].ended is None:
            return asked
    return None


def word(case: Case, line: int) -> Word | None:
    """The payer's latest word about a line of the order as it reads now, expired or not."""
    for fact in reversed(case.payer_said):
        if not fact.source_id.startswith(f"{_cause(case, fact.hook)}/"):
            continue  # it speaks of the order as it was
        for said in fact.lines:
            if said.line == line:
                return Word(said, fact)
    return None


def word_in_force(case: Case, line: int) -> Word | None:
    """The payer's latest word about a line, where it holds on the day of the visit."""
    found = word(case, line)
    return found if found is not None and found.holds_on(visit_day(case, line)) else None


def visit_day(case: Case, line: int) -> date:
    """The day on which a line is to be given: of the booked visit, else the last one that the order names for it."""
    visit = case.appointment
    if visit is not None and visit.status is AppointmentStatus.BOOKED:
        return visit.starts_at.astimezone(ZoneInfo(case.time_zone)).date()
    ordered = case.order.line(line) or case.order.lines[0]
    return ordered.service_to or ordered.service_from


def _questions(case: Case) -> Iterator[Question]:
    """The order is signed; then, where the payer made its word depend on them, whoever performs it and the visit."""
    yield Question("order-sign", _cause(case, "order-sign"))
    words = [(line.number, found) for line in case.order.lines if (found := word(case, line.number))]
    missing = {need for _, found in words if _is_open(found) for need in found.line.information}
    if missing & {"performer", "location"} and (case.order.rendering or case.order.facility):
        yield Question("order-dispatch", _cause(case, "order-dispatch"))
    visit = case.appointment
    if visit is not None and visit.status is AppointmentStatus.BOOKED:
        expired = any(not found.holds_on(visit_day(case, line)) for line, found in words)
        if expired or missing & {"timeframe", "contract-window"}:
            cause = f"{_cause(case, 'appointment-book')}/{visit.starts_at:%Y%m%d%H%M}"
            yield Question("appointment-book", cause)


def _is_open(found: Word) -> bool:
    return bool(OPEN_ENDED & {found.line.covered, found.line.authorization, *found.line.documents})


def _cause(case: Case, hook: Hook) -> str:
    return f"ask_requirement/{case.order.primary.rank}/{hook}/{case.asking_fact.ref}"
