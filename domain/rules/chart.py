"""Duty: document every event of the authorization in the patient's chart, once, read back."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from domain.actions import DocumentInChart
from domain.base import Stage, Turn
from domain.case import Case
from domain.decision import LineDecision, Outcome
from domain.facts import DecisionReceived, TaskKind
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, Waiting, allow, common, effort, pursue
from domain.track import Track


@dataclass(frozen=True)
class _Entry:
    name: str
    cause: str
    title: str
    lines: tuple[str, ...]


def chart(case: Case, now: datetime) -> Asks:
    """File what was submitted and pended, decided, or found not to be required; a person files what Vigil may not."""
    for entry in _entries(case):
        if any(done.cause == entry.cause and done.entry == entry.name for done in case.chart):
            continue
        cause = f"document_in_chart/{entry.name}/{entry.cause}"
        if not effort(case, now, cause).failed:
            yield from pursue(
                case,
                now,
                cause,
                lambda key, entry=entry: DocumentInChart(  # type: ignore[misc]
                    **common(case, now, key),
                    entry=entry.name,
                    cause=entry.cause,
                    patient_id=case.order.patient.id,
                    title=entry.title,
                    lines=entry.lines,
                ),
            )
            yield Waiting(Stage.INFORMING, Turn.VIGIL, "Vigil is filing what happened in the chart.")
            continue
        time = allow(case, now, case.policies.get(case.order.primary.payer), WorkKind.REVIEW)
        yield Person(
            key=f"document_in_chart/{entry.name}/{entry.cause}",
            kind=TaskKind.DOCUMENT_IN_CHART,
            stage=Stage.INFORMING,
            turn=Turn.STAFF,
            title=f"File in the chart, as Vigil may not: {entry.title}",
            checklist=entry.lines[:20],
            time=time,
            cause=entry.cause,
        )


def _entries(case: Case) -> Iterator[_Entry]:
    for key in sorted(case.tracks):
        track = case.tracks[key]
        if not track.lines_required:
            if track.requirement.lines and not any(line.authorization == "unknown" for line in track.requirement.lines):
                yield _not_required(case, track)
            continue
        for number in sorted(track.attempts):
            attempt = track.attempts[number]
            decided = False
            for answer in attempt.answers:
                pended = {line.decision for line in answer.decision.lines} == {Outcome.PENDED}
                if not (pended and decided):  # a pend that comes late says nothing new
                    yield _answered(case, track, answer)
                decided = decided or not pended


def _not_required(case: Case, track: Track) -> _Entry:
    rules = sorted({line.rule for line in track.requirement.lines})
    return _Entry(
        "not_required",
        track.requirement.ref,
        "No authorization is required",
        (f"Order {case.order.number}, payer {track.requirement.payer}.", f"By the rules: {', '.join(rules)}."),
    )


def _answered(case: Case, track: Track, answer: DecisionReceived) -> _Entry:
    outcomes = {line.decision for line in answer.decision.lines}
    name = "pended" if outcomes == {Outcome.PENDED} else "decision"
    head = f"Order {case.order.number}, payer {track.requirement.payer}, request {answer.attempt} by {answer.rail}."
    numbers = ", ".join(f"{n.value} ({n.type.value})" for n in answer.decision.all_numbers) or "none"
    return _Entry(
        name,
        answer.ref,
        "The payer has the request and is reviewing it" if name == "pended" else "The payer decided on the request",
        (head, *(_line(line) for line in answer.decision.lines), f"Numbers: {numbers}."),
    )


def _line(line: LineDecision) -> str:
    dates = f", {line.valid_from or '?'} to {line.valid_to}" if line.valid_to else ""
    units = f", {line.units} units" if line.units is not None else ""
    reasons = "; ".join(" ".join(filter(None, (r.code, r.text))) for r in line.reasons)
    return (
        f"Line {line.line}: {line.decision.value.replace('_', ' ')}{dates}{units}{'. ' + reasons if reasons else ''}."
    )
