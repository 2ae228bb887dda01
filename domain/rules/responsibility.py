"""Duty: enter what the patient will owe for check-in, from the benefits that the payer stated; else a person asks."""

from datetime import datetime

from domain.actions import PostResponsibility
from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import CoverageStatus, TaskKind
from domain.policy import TaskKind as TaskRuleKind
from domain.rules.asking import Asks, Person, Waiting, allow, common, effort, pursue


def responsibility(case: Case, now: datetime) -> Asks:
    """Post the copay of the first coverage once it is verified; an unknown amount is never posted as nothing."""
    verified = case.coverages.get(case.order.primary.rank)
    if verified is None or verified.status is not CoverageStatus.ACTIVE or not case.tracks:
        return
    posted = case.responsibility
    copay = verified.benefits.copay_cents
    if posted is not None and (posted.cause == verified.ref or (copay is not None and posted.copay_cents == copay)):
        return
    cause = f"post_responsibility/{verified.ref}"
    visit = case.appointment
    if copay is not None and not effort(case, now, cause).failed:
        yield from pursue(
            case,
            now,
            cause,
            lambda key: PostResponsibility(
                **common(case, now, key),
                cause=verified.ref,
                patient_id=case.order.patient.id,
                visit_id=visit.id if visit else None,
                visit_on=visit.starts_at.date() if visit else min(line.service_from for line in case.order.lines),
                copay_cents=copay,
                estimate_cents=None,
                as_of=verified.occurred_at,
            ),
        )
        yield Waiting(Stage.INFORMING, Turn.VIGIL, "Vigil is posting the patient's responsibility for check-in.")
        return
    time = allow(case, now, case.policies.get(case.order.primary.payer), TaskRuleKind.CALL)
    yield Person(
        key=f"collect_responsibility/{verified.ref}",
        kind=TaskKind.COLLECT_RESPONSIBILITY,
        stage=Stage.INFORMING,
        turn=Turn.STAFF,
        title="Find out what the patient will owe and enter it for check-in; the payer did not say, or it was not taken.",
        due=time.due,
        rule=time.rule,
        lease_minutes=time.lease_minutes,
        cause=verified.ref,
    )
