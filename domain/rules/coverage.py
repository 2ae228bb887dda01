"""Duty: verify the patient's insurance, at the opening and again before the visit."""

from datetime import datetime

from domain.actions import VerifyCoverage
from domain.base import Stage, Turn
from domain.calendars import shift, subtract
from domain.case import Case
from domain.facts import CoverageStatus, CoverageVerified, TaskKind
from domain.order import Coverage
from domain.policy import PolicySlice
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Look, Person, Waiting, allow, awaits_rules, common, effort, pursue, steps_of

_WHY = {
    CoverageStatus.INACTIVE: "The payer says that the insurance is not active.",
    CoverageStatus.NOT_FOUND: "The payer does not find the member.",
    CoverageStatus.UNCLEAR: "The payer's answer does not say whether the insurance is active.",
}


def coverage(case: Case, now: datetime) -> Asks:
    """Ask about every coverage once its payer's rules are known; only the first one can hold the case up."""
    for insured in sorted(case.order.coverages, key=lambda c: c.rank):
        policy = case.policies.get(insured.payer)
        if awaits_rules(case, now, insured.payer):
            continue
        verified = case.coverages.get(insured.rank)
        if verified is None:
            yield from _ask(case, now, insured, policy, case.asking_fact.ref)
        elif insured.rank == case.order.primary.rank and verified.status is not CoverageStatus.ACTIVE:
            yield _person(case, now, policy, _WHY[verified.status], f"{insured.rank}/{verified.ref}", verified)
        else:
            yield from _again_before_visit(case, now, insured, policy, verified)


def _ask(case: Case, now: datetime, insured: Coverage, policy: PolicySlice | None, when: str) -> Asks:
    cause = f"verify_coverage/{insured.rank}/{when}"
    yield from pursue(
        case,
        now,
        cause,
        lambda key: VerifyCoverage(
            **common(case, now, key),
            order=case.order,
            rank=insured.rank,
            eligibility_payer=policy.identifiers.eligibility_payer_id if policy else None,
        ),
    )
    if insured.rank != case.order.primary.rank or insured.rank in case.coverages:
        return
    if effort(case, now, cause).failed:
        yield _person(case, now, policy, "Vigil could not verify the insurance.", f"{insured.rank}/{when}", None)
    else:
        yield Waiting(Stage.COVERAGE, Turn.VIGIL, "Vigil is asking the payer whether the insurance is active.")


def _again_before_visit(
    case: Case, now: datetime, insured: Coverage, policy: PolicySlice | None, verified: CoverageVerified
) -> Asks:
    if policy is None or case.appointment is None or now >= case.appointment.starts_at:
        return
    rule = policy.eligibility
    calendar = policy.calendar(rule.calendar)
    again = subtract(case.appointment.starts_at, rule.before_visit, calendar)
    if verified.occurred_at >= again or shift(verified.occurred_at, rule.before_visit, calendar) >= again:
        return
    if now < again:
        yield Look(again)
    else:
        yield from _ask(case, now, insured, policy, f"visit-{again:%Y%m%d}")


def _person(
    case: Case, now: datetime, policy: PolicySlice | None, why: str, key: str, verified: CoverageVerified | None
) -> Person:
    time = allow(case, now, policy, WorkKind.CALL)
    return Person(
        key=f"fix_coverage/{key}",
        kind=TaskKind.FIX_COVERAGE,
        stage=Stage.COVERAGE,
        turn=Turn.STAFF,
        title=f"{why} Find out which insurance the patient has now.",
        checklist=(
            *steps_of(verified.errors if verified else ()),
            "Compare the card on file with the member number in the order.",
            "Call the payer's provider services, or the patient.",
            "Record what you learned, or correct the order's coverage.",
        ),
        time=time,
        cause=verified.ref if verified else "",
        raw=verified.raw if verified else None,
    )
