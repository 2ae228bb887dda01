"""Duty: have the documents that the payer wants to see before it is asked: found in the chart, or asked of a person."""

from datetime import date, datetime

from domain.actions import GatherDocuments
from domain.base import Stage, Turn
from domain.calendars import add
from domain.case import Case
from domain.facts import TaskKind
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import DocumentNeed, WorkKind
from domain.rules.asking import Asks, Person, Waiting, allow, awaits_rules, common, effort, pursue
from domain.rules.questionnaire import RESPONSE, waits_for_form
from domain.track import Track


def documents(case: Case, now: datetime) -> Asks:
    """Search the chart once for what is wanted; what is missing then is a person's task."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        missing = _missing(case, track)
        if not missing or track.attempt.reached_payer or awaits_rules(case, now, track.requirement.payer):
            continue
        policy = case.policies.get(track.requirement.payer)
        wanted = tuple(kind for kind in missing if kind not in case.searched)
        cause = f"gather_documents/{key}/{track.requirement.ref}"
        if wanted and not effort(case, now, cause).failed:
            yield from pursue(
                case,
                now,
                cause,
                lambda action, wanted=wanted: GatherDocuments(  # type: ignore[misc]
                    **common(case, now, action), patient_id=case.order.patient.id, wanted=wanted
                ),
            )
            yield Waiting(Stage.DOCUMENTS, Turn.VIGIL, "Vigil is looking in the chart for what the payer wants to see.")
        else:
            time = allow(case, now, policy, WorkKind.DOCUMENTS)
            yield Person(
                key=f"gather_documents/{key}/{track.requirement.ref}",
                kind=TaskKind.GATHER_DOCUMENTS,
                stage=Stage.DOCUMENTS,
                turn=Turn.PROVIDER,
                title="The payer wants to see, and the chart does not have: " + ", ".join(_words(missing)) + ".",
                checklist=(
                    "Ask the ordering provider's team for it; a note must be signed.",
                    "Attach it, or complete the task to send the request without it.",
                ),
                time=time,
                track=key,
                cause=track.requirement.ref,
            )


def missing_documents(case: Case, track: Track) -> tuple[str, ...]:
    """Kinds that the payer wants with the request, that are not there fresh and signed, and that nobody waived.

    The payer's forms are among them: `questionnaire.py` has them filled in.
    """
    return (*_missing(case, track), *((RESPONSE,) if waits_for_form(case, track) else ()))


def _missing(case: Case, track: Track) -> tuple[str, ...]:
    if not track.lines_required:
        return ()
    waived = any(
        task.opened.task_kind is TaskKind.GATHER_DOCUMENTS
        and task.opened.track == track.key
        and task.completed is not None
        and task.completed.result == "send_without"
        for task in case.tasks.values()
    )
    if waived:
        return ()
    policy = case.policies.get(track.requirement.payer)
    wanted = {kind for line in track.requirement.lines if line.authorization == "required" for kind in line.documents}
    needs = _needs(policy, track) if policy else {}
    present = {
        document.kind
        for document in case.documents.values()
        if _serves(case, policy, needs.get(document.kind), document)
    }
    return tuple(sorted(wanted - present - {"order"}))


def _needs(policy: PolicySlice, track: Track) -> dict[str, DocumentNeed]:
    required = [found for line in track.lines_required if (found := policy.requirement(line))]
    return {need.kind: need for found in required for need in found.documents}


def _serves(case: Case, policy: PolicySlice | None, need: DocumentNeed | None, document: DocumentRef) -> bool:
    if not document.signed:
        return False
    if need is None or need.within is None or policy is None:
        return True
    if document.dated is None or document.dated.year >= _STRANGE:
        return False
    calendar = policy.calendar(next(iter(policy.calendars)))
    latest = calendar.local_date(add(_noon(document.dated), need.within, calendar))
    return calendar.local_date(case.order.ordered_at) <= latest


_STRANGE = 9000
"""From this year on a date is a sign for something else (9999-12-31), and calendars end."""


def _noon(day: date) -> datetime:
    return datetime.fromisoformat(f"{day.isoformat()}T16:00:00+00:00")


def _words(kinds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(kind.replace("_", " ") for kind in kinds)
