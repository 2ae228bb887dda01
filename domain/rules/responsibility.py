"""Duty: enter what the patient will owe for check-in, from the benefits that the payer stated; else a person asks."""

from dataclasses import dataclass
from datetime import datetime

from domain.actions import PostResponsibility
from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import Benefits, CoverageStatus, TaskKind
from domain.order import Order
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, Waiting, allow, common, effort, pursue


@dataclass(frozen=True)
class Estimate:
    """What the patient will owe, in cents; None is unknown, never nothing."""

    copay_cents: int | None = None
    deductible_cents: int | None = None
    coinsurance_cents: int | None = None

    @property
    def total_cents(self) -> int | None:
        """All that is known, together; None where nothing is."""
        known = [c for c in (self.copay_cents, self.deductible_cents, self.coinsurance_cents) if c is not None]
        return sum(known) if known else None


def estimate(benefits: Benefits, order: Order) -> Estimate:
    """A copay stands for itself. Else the rest of the deductible and the coinsurance on what the contract allows.

    Never more than what is left until the out-of-pocket maximum; halves of a cent are rounded up.
    """
    if benefits.copay_cents is not None:
        return Estimate(copay_cents=benefits.copay_cents)
    allowed = [line.allowed_cents for line in order.lines]
    left, share = benefits.deductible_left_cents, benefits.coinsurance_basis_points
    if left is None or share is None or any(cents is None for cents in allowed):
        return Estimate()
    total = sum(cents for cents in allowed if cents is not None)
    most = benefits.out_of_pocket_left_cents if benefits.out_of_pocket_left_cents is not None else total
    deductible = min(total, left, most)
    coinsurance = min(((total - deductible) * share + 5000) // 10000, most - deductible)
    return Estimate(deductible_cents=deductible, coinsurance_cents=coinsurance)


def responsibility(case: Case, now: datetime) -> Asks:
    """Post what the first coverage leaves to the patient once it is verified; an unknown amount is never posted as nothing."""
    verified = case.coverages.get(case.order.primary.rank)
    if verified is None or verified.status is not CoverageStatus.ACTIVE or not case.tracks:
        return
    posted = case.responsibility
    owed = estimate(verified.benefits, case.order)
    total = owed.total_cents
    if posted is not None and (posted.cause == verified.ref or (total is not None and posted.total_cents == total)):
        return
    cause = f"post_responsibility/{verified.ref}"
    visit = case.appointment
    if total is not None and not effort(case, now, cause).failed:
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
                copay_cents=owed.copay_cents,
                deductible_cents=owed.deductible_cents,
                coinsurance_cents=owed.coinsurance_cents,
                as_of=verified.occurred_at,
            ),
        )
        yield Waiting(Stage.INFORMING, Turn.VIGIL, "Vigil is posting the patient's responsibility for check-in.")
        return
    time = allow(case, now, case.policies.get(case.order.primary.payer), WorkKind.CALL)
    yield Person(
        key=f"collect_responsibility/{verified.ref}",
        kind=TaskKind.COLLECT_RESPONSIBILITY,
        stage=Stage.INFORMING,
        turn=Turn.STAFF,
        title="Find out what the patient will owe and enter it for check-in; the payer did not say, or it was not taken.",
        time=time,
        cause=verified.ref,
    )
