"""Duty: find out what the payer requires, by its own word or its released rules; what these do not say, a person finds out."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from domain.actions import PinPolicy
from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import LineRequirement, RequirementDetermined, TaskKind
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import WhoAsks, WorkKind
from domain.rules.asking import Asks, Person, Waiting, allow, awaits_rules, common, pin_cause, pursue
from domain.rules.hooks import question
from domain.rules.payer_says import BY_PAYER, by_payer, evidence_of, in_words
from domain.track import Track


def requirement(case: Case, now: datetime) -> Asks:
    """Pin the payer's rules, conclude what each line needs, and ask a person where the rules are silent."""
    payer, rank = case.order.primary.payer, case.order.primary.rank
    policy = case.policies.get(payer)
    if policy is not None:
        yield from _other_payers(case, now)
        if question(case) is not None:
            return  # the payer's own rules speak first: `payer_says`
        yield from _conclude(case, now, policy, rank)
        for key in sorted(case.tracks):
            yield from _ask_what_is_unknown(case, now, case.tracks[key], policy)
        return
    if awaits_rules(case, now, payer):
        pin = pin_cause(case, payer)
        yield from pursue(
            case, now, pin, lambda key: PinPolicy(**common(case, now, key), payer_id=payer, order=case.order)
        )
        yield Waiting(Stage.REQUIREMENT, Turn.VIGIL, "Vigil is taking the payer's rules that decide this order.")
        return
    yield from _conclude_nothing(case, now, payer, rank)
    for key in sorted(case.tracks):
        yield from _ask_what_is_unknown(case, now, case.tracks[key], None)


def _conclude_nothing(case: Case, now: datetime, payer: str, rank: int) -> Asks:
    """Without rules nobody knows what the lines need, until a person has asked."""
    since = case.redirected.n if case.redirected else 0
    track = f"{rank}-{WhoAsks.ORDERING}"
    source = f"requirement/{track}/{case.asking_fact.ref}/none"
    if source not in case.sources and not any(held.requirement.n > since for held in case.tracks.values()):
        yield _determined(now, source, track, rank, payer, [_unknown(line.number) for line in case.order.lines])


def _unknown(line: int) -> LineRequirement:
    return LineRequirement(line=line, authorization="unknown", rule="vigil/no-rule")


def _determined(
    now: datetime,
    source: str,
    track: str,
    rank: int,
    payer: str,
    lines: Sequence[LineRequirement],
    evidence: DocumentRef | None = None,
) -> RequirementDetermined:
    return RequirementDetermined(
        occurred_at=now,
        by="vigil",
        source_id=source,
        track=track,
        rank=rank,
        payer=payer,
        lines=tuple(lines),
        who_asks=WhoAsks(track.partition("-")[2]),
        evidence=evidence,
    )


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
            by_asker[WhoAsks.ORDERING].append(by_payer(case, policy, _unknown(line.number)))
            continue
        ours = LineRequirement(
            line=line.number,
            authorization=found.authorization.value,
            referral=found.referral.value,
            rule=found.rule,
            documents=tuple(need.kind for need in found.documents),
        )
        by_asker[found.who_asks].append(by_payer(case, policy, ours))
    for asker in sorted(by_asker):
        track, lines = f"{rank}-{asker}", by_asker[asker]
        said = evidence_of(case, tuple(line.line for line in lines))
        evidence = said.raw if said else None
        source = f"requirement/{track}/{case.asking_fact.ref}/{policy.digest[:16]}"
        held = case.tracks.get(track)
        if source not in case.sources:
            yield _determined(now, source, track, rank, policy.payer, lines, evidence)
        elif held is not None and (now_said := _said_since(case, held, lines)):
            yield _determined(now, f"{source}/{held.requirement.ref}", track, rank, policy.payer, now_said, evidence)


def _said_since(case: Case, held: Track, lines: Sequence[LineRequirement]) -> list[LineRequirement]:
    """The lines of a track as the payer's later word, or the end of an earlier one, leaves them; none where nothing changed."""
    wanted = {line.line: line for line in lines}
    by_person = held.requirement.by != "vigil"
    found = []
    for line in held.requirement.lines:
        said, want = evidence_of(case, (line.line,)), wanted.get(line.line)
        if want is None:
            found.append(line)
            continue
        if by_person:  # stands until the payer settles it anew
            settles = want.rule.startswith(BY_PAYER) and want.authorization != "unknown"
            moves = settles and said is not None and said.n > held.requirement.n
        else:  # the payer's word came, ended or was taken back
            moves = said is not None or line.rule.startswith(BY_PAYER)
        change = {"authorization": want.authorization, "rule": want.rule}
        found.append(line.model_copy(update=change) if moves else line)
    return found if found != list(held.requirement.lines) else []


def _ask_what_is_unknown(case: Case, now: datetime, track: Track, policy: PolicySlice | None) -> Asks:
    lines = track.requirement.lines
    if any("unknown" in (line.authorization, line.referral) for line in lines):
        payer = track.requirement.payer
        told = in_words(case, tuple(line.line for line in lines if line.authorization == "unknown"))
        why = (
            f"What {payer} answered leaves open what this order needs."
            if told
            else f"The rules of {payer} do not say what this order needs."
            if policy
            else f"No rules are released for {payer}."
        )
        yield _person(case, now, policy, why, track, told)
    elif any(line.referral == "required" for line in lines) and track.referral is None:
        asking = policy.name if policy else track.requirement.payer
        time = allow(case, now, policy, WorkKind.CALL)
        yield Person(
            key=f"obtain_referral/{track.key}/{track.requirement.ref}",
            kind=TaskKind.OBTAIN_REFERRAL,
            stage=Stage.REQUIREMENT,
            turn=Turn.STAFF,
            title=f"{asking} wants a referral from the primary care provider. Ask the PCP's office for it.",
            checklist=("Call or fax the PCP's office.", "Record the referral's number, its dates and its visits."),
            time=replace(time, rule=next(line.rule for line in lines if line.referral == "required")),
            track=track.key,
            cause=track.requirement.ref,
        )


def _person(
    case: Case, now: datetime, policy: PolicySlice | None, why: str, track: Track, told: tuple[str, ...]
) -> Person:
    time = allow(case, now, policy, WorkKind.CALL)
    return Person(
        key=f"determine_requirement/{track.key}/{track.requirement.ref}",
        kind=TaskKind.DETERMINE_REQUIREMENT,
        stage=Stage.REQUIREMENT,
        turn=Turn.STAFF,
        title=f"{why} Ask the payer whether an authorization or a referral is required, and record the answer.",
        checklist=(
            *told,
            "Ask for each code with its diagnosis, place of service and the rendering provider's NPI.",
            "Write down the representative's name and the call's reference number.",
        ),
        time=time,
        track=track.key,
        cause=track.requirement.ref,
        raw=track.requirement.evidence,
    )
