"""Duty: let the payer's own rules speak first (CRD), and take of their word what is plain.

The payer's word on a line comes before ours, as far as it settles the question: an authorization is needed, or none is.
What it leaves open, what has expired by the day of the visit, and codes that nobody knows leave our own rules to decide,
and never say "not required". What only a person can settle (not covered, somebody else has to ask, a number that looks
like none of the payer's) makes the line unknown, which is a person's.
Source of the codes: Da Vinci CRD 2.2.1 and 2.0.1, `ext-coverage-information`.
"""

import re
from datetime import datetime

from domain.actions import AskRequirement
from domain.base import Stage, Turn
from domain.case import Case
from domain.decision import NumberType
from domain.facts import CoverageInformationReceived, LineInformation, LineRequirement, TaskKind
from domain.policy import PolicySlice
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, Waiting, allow, common
from domain.rules.hooks import OPEN_ENDED, Word, question, word, word_in_force
from domain.track import Track

BY_PAYER = "payer/"
"""How the rule of a line begins that the payer's own word decides."""
_RULE = 120
_SAYS = 500


def payer_says(case: Case, now: datetime) -> Asks:
    """Ask the payer's own rules when the order is signed, and again when the visit outlives their word."""
    policy = case.policies.get(case.order.primary.payer)
    if policy is None:
        return
    asked = question(case)
    if asked is not None:
        if asked.cause not in case.actions:
            yield AskRequirement(
                **common(case, now, f"{asked.cause}/1"),
                hook=asked.hook,
                order=case.order.model_copy(update={"appointment": case.appointment}),
                rank=case.order.primary.rank,
                policy=policy,
            )
        yield Waiting(Stage.REQUIREMENT, Turn.VIGIL, f"Vigil is asking {policy.name} what it covers and needs.")
        return
    for line in case.order.lines:
        said = word_in_force(case, line.number)
        if said is not None and _is_satisfied(policy, said.line):
            yield _confirm(case, now, policy, said)


def by_payer(case: Case, policy: PolicySlice, ours: LineRequirement) -> LineRequirement:
    """What a line needs once the payer's word is heard; `ours` is what our own rules say."""
    said = word_in_force(case, ours.line)
    if said is None:
        return ours
    line = said.line
    if line.covered == "not-covered":
        return _told(ours, "unknown", line)
    match line.authorization:
        case None | "conditional" | "indeterminate":
            return ours
        case "auth-needed":
            return _told(ours, "required", line)
        case "no-auth" if line.covered == "covered":
            return _told(ours, "not_required", line)
        case "no-auth" if line.covered in OPEN_ENDED:
            return ours
        case "satisfied":
            return _told(ours, "not_required" if _is_satisfied(policy, line) else "unknown", line)
        case "performpa":
            return _told(ours, "unknown" if _others_perform(case) else "required", line)
    return _told(ours, "unknown", line) if ours.authorization == "not_required" else ours


def evidence_of(case: Case, lines: tuple[int, ...]) -> CoverageInformationReceived | None:
    """The latest of the payer's answers that speak of lines, expired or not; None where it said nothing."""
    found = [said.fact for number in lines if (said := word(case, number))]
    return max(found, key=lambda fact: fact.n, default=None)


def assertion_of(case: Case, track: Track) -> str | None:
    """The payer's assertion (`coverage-assertion-id`) for the lines that a track asks for: it goes along with the request."""
    for number in track.lines_required:
        said = word_in_force(case, number)
        if said is not None and said.line.assertion is not None:
            return said.line.assertion
    return None


def in_words(case: Case, lines: tuple[int, ...]) -> tuple[str, ...]:
    """What the payer said about lines, for whoever has to ask on: codes as they came, as far as they look like codes."""
    return tuple(_sentence(number, said.line) for number in lines if (said := word(case, number)))


def _told(ours: LineRequirement, authorization: str, said: LineInformation) -> LineRequirement:
    why = [_plain(said.authorization or said.covered)]
    why += [_plain(reason.code) for reason in said.reasons if reason.code]
    named = f" {_plain(said.satisfied_by)}" if said.satisfied_by else ""
    assertion = f" ({_plain(said.assertion)})" if said.assertion else ""
    rule = f"{BY_PAYER}{', '.join(why)}{named}{assertion}"[:_RULE]
    return ours.model_copy(update={"authorization": authorization, "rule": rule})


def _is_satisfied(policy: PolicySlice, said: LineInformation) -> bool:
    """Whether the payer names an authorization that covers the line already, by a number that looks like its own."""
    number = said.satisfied_by or ""
    certain = said.authorization == "satisfied" and said.covered == "covered"
    return certain and policy.numbers.read(number) is NumberType.CERTIFICATION


def _others_perform(case: Case) -> bool:
    """Whether somebody else than who orders gives the service."""
    rendering = case.order.rendering
    return case.order.facility is not None or (rendering is not None and rendering.npi != case.order.ordering.npi)


def _confirm(case: Case, now: datetime, policy: PolicySlice, said: Word) -> Person:
    time = allow(case, now, policy, WorkKind.REVIEW)
    number = _plain(said.line.satisfied_by)
    return Person(
        key=f"confirm_number/{said.fact.ref}/{said.line.line}",
        kind=TaskKind.REVIEW,
        stage=Stage.REQUIREMENT,
        turn=Turn.STAFF,
        title=f"{policy.name} says that authorization {number} covers line {said.line.line} already. Confirm it.",
        checklist=(
            "Compare the number, its dates, the provider and the code with the authorization on file.",
            "Put the number on the appointment, so that it reaches the claim.",
            "Where it does not cover this visit: record what the payer requires.",
        ),
        time=time,
        cause=said.fact.ref,
        raw=said.fact.raw,
        again=None,
    )


def _sentence(number: int, said: LineInformation) -> str:
    parts = [
        f"covered {_plain(said.covered)}",
        f"authorization {_plain(said.authorization)}",
        *(f"documents {_plain(code)}" for code in said.documents),
        *(f"wants to know {_plain(code)}" for code in said.information),
        *(f"because {_plain(reason.code) if reason.code else reason.text}" for reason in said.reasons),
        *said.details,
        *(f"ask {contact}" for contact in said.contacts),
        *((f"authorization {_plain(said.satisfied_by)}",) if said.satisfied_by else ()),
        *((f"good until {said.expires_on}",) if said.expires_on else ()),
    ]
    return f"The payer's own rules on line {number}: {'; '.join(parts)}."[:_SAYS]


def _plain(said: str | None) -> str:
    """A code as far as it looks like one: what comes from outside may say anything."""
    return said if said and re.fullmatch(r"[A-Za-z0-9._/-]{1,64}", said) else "(see its answer)" if said else "not said"
