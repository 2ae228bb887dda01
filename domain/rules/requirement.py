"""Duty: find out what the payer requires, by its released rules; what they do not say, a person finds out."""

from collections import defaultdict
from datetime import datetime

from domain.actions import PinPolicy
from domain.base import Stage, Turn
from domain.case import Case, Track
from domain.facts import LineRequirement, RequirementDetermined, TaskKind
from domain.policy import PolicySlice, WhoAsks
from domain.policy import TaskKind as TaskRuleKind
from domain.rules.asking import Asks, Person, Waiting, allow, awaits_rules, common, pin_cause, pursue


def requirement(case: Case, now: datetime) -> Asks:
    """Pin the payer's rules, conclude what each line needs, and ask a person where the rules are silent."""
    payer, rank = case.order.primary.payer, case.order.primary.rank
    policy = case.policies.get(payer)
    if policy is not None:
        yield from _conclude(case, now, policy, rank)
        for key in sorted(case.tracks):
            yield from _ask_what_is_unknown(case, now, case.tracks[key], policy)
        yield from _other_payers(case, now)
        return
    cause = pin_cause(case, payer)
    if not awaits_rules(case, now, payer):
        since = case.redirected.n if case.redirected else 0
        if not any(track.requirement.n > since for track in case.tracks.values()):
            why = f"No rules are released for {payer}."
            yield _person(case, now, None, why, f"{rank}/{case.asking_fact.ref}", None)
        for key in sorted(case.tracks):
            yield from _ask_what_is_unknown(case, now, case.tracks[key], None)
        return
    yield from pursue(
        case, now, cause, lambda key: PinPolicy(**common(case, now, key), payer_id=payer, order=case.order)
    )
    yield Waiting(Stage.REQUIREMENT, Turn.VIGIL, "Vigil is taking the payer's rules that decide this order.")


def _other_payers(case: Case, now: datetime) -> Asks:
    """The rules of payers that pay after the first: how to ask them about the insurance stands there."""
    for payer in sorted({insured.payer for insured in case.order.coverages} - {case.order.primary.payer}):
        if awaits_rules(case, now, payer):
            yield from pursue(
                case,
                now,
                pin_cause(case, payer),
                lambda key, payer=payer: PinPolicy(  # type: ignore[misc]
                    **common(case, now, key), payer_id=payer, order=case.order
                ),
            )


def _conclude(case: Case, now: datetime, policy: PolicySlice, rank: int) -> Asks:
    by_asker: dict[WhoAsks, list[LineRequirement]] = defaultdict(list)
    for line in case.order.lines:
        found = policy.requirement(line.number)
        if found is None:
            silent = LineRequirement(line=line.number, authorization="unknown", rule="vigil/no-rule")
            by_asker[WhoAsks.ORDERING].append(silent)
            continue
        by_asker[found.who_asks].append(
            LineRequirement(
                line=line.number,
                authorization=found.authorization.value,
                referral=found.referral.value,
                rule=found.rule,
                documents=tuple(need.kind for need in found.documents),
            )
        )
    for asker in sorted(by_asker):
        track = f"{rank}-{asker}"
        source = f"requirement/{track}/{case.asking_fact.ref}/{policy.digest[:16]}"
        if source not in case.sources:
            yield RequirementDetermined(
                occurred_at=now,
                by="vigil",
                source_id=source,
                track=track,
                rank=rank,
                payer=policy.payer,
                lines=tuple(by_asker[asker]),
                who_asks=asker,
            )


def _ask_what_is_unknown(case: Case, now: datetime, track: Track, policy: PolicySlice | None) -> Asks:
    lines = track.requirement.lines
    if any("unknown" in (line.authorization, line.referral) for line in lines):
        why = f"The rules of {track.requirement.payer} do not say what this order needs."
        yield _person(case, now, policy, why, f"{track.key}/{track.requirement.ref}", track)
    elif any(line.referral == "required" for line in lines) and track.referral is None:
        time = allow(case, now, policy, TaskRuleKind.CALL)
        yield Person(
            key=f"obtain_referral/{track.key}/{track.requirement.ref}",
            kind=TaskKind.OBTAIN_REFERRAL,
            stage=Stage.REQUIREMENT,
            turn=Turn.STAFF,
            title=f"{track.requirement.payer} wants a referral from the primary care provider. Ask the PCP's office for it.",
            checklist=("Call or fax the PCP's office.", "Record the referral's number, its dates and its visits."),
            due=time.due,
            rule=next(line.rule for line in lines if line.referral == "required"),
            lease_minutes=time.lease_minutes,
            track=track.key,
            cause=track.requirement.ref,
        )


def _person(case: Case, now: datetime, policy: PolicySlice | None, why: str, key: str, track: Track | None) -> Person:
    time = allow(case, now, policy, TaskRuleKind.CALL)
    return Person(
        key=f"determine_requirement/{key}",
        kind=TaskKind.DETERMINE_REQUIREMENT,
        stage=Stage.REQUIREMENT,
        turn=Turn.STAFF,
        title=f"{why} Ask the payer whether an authorization or a referral is required, and record the answer.",
        checklist=(
            "Ask for each code with its diagnosis, place of service and the rendering provider's NPI.",
            "Write down the representative's name and the call's reference number.",
        ),
        due=time.due,
        rule=time.rule,
        lease_minutes=time.lease_minutes,
        track=track.key if track else None,
        cause=track.requirement.ref if track else "",
    )
