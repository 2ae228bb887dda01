"""The check of a file of rules, a payer's or the house's, before it is put in force: what is wrong with it, and what is doubtful.

Beyond what reading it refuses: rules that nobody verified for long, addresses that lead nowhere, days on which no rule or
two are in effect, and requirements that contradict one another.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

from domain.base import Frozen
from domain.house import HouseRules, parse_rules
from domain.order import Urgency
from domain.policy import Policy, PolicyError
from domain.policy_rules import (
    Ages,
    Cadence,
    Channel,
    DecisionClock,
    Match,
    Receipt,
    Requirement,
    Rule,
    TaskRule,
    WorkKind,
    diagnosis_begins,
    in_effect,
)

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Finding(Frozen):
    """What the check of a policy found. An error keeps it from being loaded, a warning does not."""

    level: Literal["error", "warning"]
    where: str
    text: str


def check_policy(
    data: object, now: date, *, name: str = "policy", placeholders: frozenset[str] = frozenset({"sandbox"})
) -> list[Finding]:
    """Say all that is wrong or doubtful about a policy file on a day. Its URLs may begin with `{placeholder}`."""
    try:
        policy = parse_rules(data, name=name)
    except PolicyError as wrong:
        return [Finding(level="error", where=name, text=problem) for problem in wrong.problems]
    if isinstance(policy, HouseRules):
        return [*_stale(policy, now), *_not_in_effect(policy, now)]
    return [*_stale(policy, now), *_addresses(policy, placeholders), *_gaps(policy, now), *_contradictions(policy)]


def _not_in_effect(house: HouseRules, now: date) -> Iterator[Finding]:
    for section, rule in house.rules():
        if not rule.effective.covers(now):
            text = f"not in effect on {now}; the house has one rule of a kind: correct it."
            yield Finding(level="error", where=f"{section}.{rule.id}", text=text)


def _stale(policy: Policy | HouseRules, now: date) -> Iterator[Finding]:
    for section, rule in policy.rules():
        where = f"{section}.{rule.id}"
        if rule.verified_on > now:
            yield Finding(level="error", where=where, text=f"verified_on {rule.verified_on} is to come; correct it.")
        elif (now - rule.verified_on).days > policy.verify_every.amount:
            text = (
                f"last verified on {rule.verified_on}, more than {policy.verify_every} ago; verify it with its source."
            )
            yield Finding(level="warning", where=where, text=text)


def _addresses(policy: Policy, placeholders: frozenset[str]) -> Iterator[Finding]:
    for channel in policy.channels:
        for field in ("base_url", "token_url", "attachments_url", "crd_url", "dtr_url"):
            url = getattr(channel, field)
            if url is None:
                continue
            where = f"channels.{channel.id}.{field}"
            unknown = sorted(set(_PLACEHOLDER.findall(url)) - placeholders)
            if unknown:
                text = f"unknown placeholder {', '.join(unknown)}; use {', '.join(sorted(placeholders))}."
                yield Finding(level="error", where=where, text=text)
            elif not re.match(r"\{|https://[^/]", url):
                yield Finding(level="error", where=where, text="must begin with https:// or a placeholder.")


def _slot(rule: Rule) -> str:
    match rule:
        case DecisionClock() | Cadence():
            return rule.urgency
        case Receipt() | Channel():
            return rule.rail
        case TaskRule():
            return rule.task
        case _:
            return ""


_SINGLE = ("visits", "patient_messages", "provisional", "eligibility", "numbers")


def _gaps(policy: Policy, now: date) -> Iterator[Finding]:
    slots: dict[tuple[str, str], list[Rule]] = {
        (section, haste): [] for section in ("decision_clocks", "follow_up") for haste in Urgency
    }
    slots |= {(section, ""): [] for section in _SINGLE} | {("tasks", task): [] for task in WorkKind}
    for section, rule in policy.rules():
        if section not in {"contacts", "requirements", "appeals"}:
            slots.setdefault((section, _slot(rule)), []).append(rule)
    for (section, slot), rules in slots.items():
        where = f"{section}.{slot}" if slot else section
        if section != "channels" and not in_effect(
            rules, now
        ):  # a way that is not used yet, or any more, leaves no gap
            yield Finding(level="error", where=where, text=f"no rule is in effect on {now}; add one that is.")
        ordered = sorted(rules, key=lambda rule: rule.effective.since)
        for earlier, later in pairwise(ordered):
            until = earlier.effective.until
            if until is None or until >= later.effective.since:
                text = f"{earlier.id} and {later.id} are in effect at once; end one before {later.effective.since}."
                yield Finding(level="error", where=where, text=text)
            elif until + timedelta(days=1) < later.effective.since:
                text = f"nothing is in effect between {until} ({earlier.id}) and {later.effective.since} ({later.id})."
                yield Finding(level="warning", where=where, text=text)
    for haste in Urgency:
        if not any(haste in channel.urgencies for channel in in_effect(policy.channels, now)):
            yield Finding(
                level="error", where="channels", text=f"none in effect on {now} takes {haste} orders; add one."
            )


def _contradictions(policy: Policy) -> Iterator[Finding]:
    for place, one in enumerate(policy.requirements):
        for other in policy.requirements[place + 1 :]:
            if not _overlap(policy, one, other):
                continue
            if one.needs != other.needs:
                text = f"{one.id} and {other.id} match the same lines as narrowly and say different things; narrow one."
                yield Finding(level="error", where=f"requirements.{other.id}", text=text)
            else:
                text = f"{one.id} and {other.id} match the same lines; only the first is ever used there."
                yield Finding(level="warning", where=f"requirements.{other.id}", text=text)


def _overlap(policy: Policy, one: Requirement, other: Requirement) -> bool:
    """Whether two rules of the same narrowness may speak of one line on one day."""
    a, b = one.match, other.match
    ages_a, ages_b = a.ages or Ages(), b.ages or Ages()
    return (
        a.narrowness == b.narrowness
        and _same_codes(policy, a, b)
        and _meet(a.place_of_service, b.place_of_service)
        and _meet(a.states, b.states)
        and (a.network is None or b.network is None or a.network == b.network)
        and (
            not a.diagnoses
            or not b.diagnoses
            or any(diagnosis_begins(x, y) or diagnosis_begins(y, x) for x in a.diagnoses for y in b.diagnoses)
        )
        and ages_a.since <= ages_b.until
        and ages_b.since <= ages_a.until
        and one.effective.since <= (other.effective.until or date.max)
        and other.effective.since <= (one.effective.until or date.max)
    )


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return not one or not other or bool(set(one) & set(other))


def _same_codes(policy: Policy, one: Match, other: Match) -> bool:
    """Whether both may name a code as exactly: exact codes meet exact ones, ranges ranges, categories categories."""

    def spans(match: Match, *, exact: bool) -> list[str]:
        return [span for span in match.codes if ("-" not in span) == exact]

    def categories(match: Match) -> list[str]:
        return [span for name in match.categories for span in policy.categories[name].codes]

    if not (one.codes or one.categories or other.codes or other.categories):
        return True
    levels = (
        (spans(one, exact=True), spans(other, exact=True)),
        (spans(one, exact=False), spans(other, exact=False)),
        (categories(one), categories(other)),
    )
    return any(
        x.partition("-")[0] <= (y.partition("-")[2] or y) and y.partition("-")[0] <= (x.partition("-")[2] or x)
        for xs, ys in levels
        for x in xs
        for y in ys
    )
