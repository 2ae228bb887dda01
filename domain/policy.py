"""A payer's policy: all rules of `policies/*.yaml`, which of them decides a line, and the slice that decides one order.

Pure: whoever reads the file parses its YAML and brings the mapping. The single rules are `domain/policy_rules.py`, the
check of a file before it is put in force is `domain/policy_check.py`. Field by field: `docs/policies.md`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)

from domain.base import Frozen, Key, Name, Sentence
from domain.calendars import Calendar, Span, TimeZone, Unit
from domain.order import Urgency
from domain.packing import pack, unpack, unusual
from domain.policy_answers import AppealOption, NumberFormats, ProvisionalRule
from domain.policy_rules import (
    ByUrgency,
    Cadence,
    CalendarSpec,
    CategoryCodes,
    Channel,
    Contacts,
    DecisionClock,
    Effective,
    EligibilityRule,
    Evidence,
    Identifiers,
    LineOfBusiness,
    Match,
    Need,
    PatientMessages,
    Rail,
    Receipt,
    Requirement,
    Rule,
    Ruling,
    TaskRule,
    VisitRule,
    Word,
    WorkKind,
    diagnosis_begins,
    in_effect,
)

SLICE_LIMIT = 7680
"""The most bytes of JSON that a slice may have: with its envelope it is a fact of the case, which has at most 8 KB."""

_HOLIDAYS_BEHIND, _HOLIDAYS_AHEAD = timedelta(days=31), timedelta(days=400)


_REMEDIES = {
    "extra_forbidden": "is not a field here; correct its name or remove it",
    "missing": "is missing; add it",
    "string_type": "must be text; put it in quotes",
}


class PolicyError(ValueError):
    """A policy cannot be used. `problems` are sentences, each naming the file, the field and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, wrong: ValidationError, name: str) -> "PolicyError":
        """Say what a file's validation found, a sentence each; `name` is what the file is called."""
        problems = []
        for error in wrong.errors(include_url=False, include_input=False):
            where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
            said = error["msg"].removeprefix("Value error, ")
            problems.append(f"{name}: {where or 'the file'}: {_REMEDIES.get(error['type'], said)}.")
        return cls(problems)


class LineKey(NamedTuple):
    """What of a service line decides which rule speaks of it. None or empty: not known."""

    number: int
    code: str
    category: str | None
    place_of_service: str
    diagnoses: tuple[str, ...]
    patient_age: int | None
    state: str | None
    network: str | None = None


class _Payer(Frozen):
    payer: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,59}$")]
    name: Name
    line_of_business: LineOfBusiness
    time_zone: TimeZone
    holidays: tuple[date, ...] = Field(default=(), description="Closed days beside the federal holidays.")
    identifiers: Identifiers
    contacts: Contacts
    calendars: dict[Word, CalendarSpec] = Field(min_length=1)

    def calendar(self, name: str) -> Calendar:
        """Return a calendar that rules name, with the payer's time zone and closed days.

        Raises `PolicyError` where the payer has none of that name.
        """
        spec = self.calendars.get(name)
        if spec is None:
            raise PolicyError(
                [f"{self.payer}: calendars has no {name}; add it or name one of {', '.join(self.calendars)}"]
            )
        given = spec.model_dump(exclude_none=True)
        return Calendar(time_zone=self.time_zone, extra_holidays=self.holidays, **given)


class Policy(_Payer):
    """All rules of one payer. Lists may hold a rule and its successor: the one in effect on the day counts."""

    schema_version: Literal[1]
    verify_every: Span = Field(description='Days after which a rule must be verified again, as in "180 days".')
    sources: dict[Word, Evidence] = Field(default={}, description="Evidence that several rules share by YAML anchors.")
    categories: dict[Word, CategoryCodes]
    channels: tuple[Channel, ...] = Field(min_length=1)
    requirements: tuple[Requirement, ...]
    decision_clocks: tuple[DecisionClock, ...]
    follow_up: tuple[Cadence, ...]
    receipts: tuple[Receipt, ...]
    tasks: tuple[TaskRule, ...]
    visits: tuple[VisitRule, ...]
    patient_messages: tuple[PatientMessages, ...]
    appeals: tuple[AppealOption, ...]
    provisional: tuple[ProvisionalRule, ...]
    eligibility: tuple[EligibilityRule, ...]
    numbers: tuple[NumberFormats, ...]

    @model_validator(mode="after")
    def _names_hold_together(self) -> Self:
        if self.verify_every.unit is not Unit.DAYS:
            msg = 'verify_every must be in days, as in "180 days"'
            raise ValueError(msg)
        seen: set[str] = set()
        for section, rule in self.rules():
            if rule.id in seen:
                msg = f"{section}: the id {rule.id} is used twice; give each rule an id of its own"
                raise ValueError(msg)
            seen.add(rule.id)
            calendar = getattr(rule, "calendar", None)
            if calendar is not None and calendar not in self.calendars:
                msg = f"{section}: {rule.id} names the calendar {calendar}, which calendars lacks; add it there"
                raise ValueError(msg)
        for requirement in self.requirements:
            for category in requirement.match.categories:
                if category not in self.categories:
                    msg = (
                        f"requirements: {requirement.id} names the category {category}, which categories lacks; add it"
                    )
                    raise ValueError(msg)
        for channel in self.channels:
            missing = [name for name in ("search_after", "rests") if not getattr(channel, name)]
            if channel.is_automatic and missing:
                msg = f"channels: {channel.id} is worked by Vigil itself and needs {', '.join(missing)}; add it"
                raise ValueError(msg)
        for name in self.calendars:
            self.calendar(name)
        return self

    @cached_property
    def digest(self) -> str:
        """The policy's content address: SHA-256, in hexadecimal, over its canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Every rule with the name of its section."""
        yield "contacts", self.contacts
        for section in SECTIONS:
            for rule in getattr(self, section):
                yield section, rule

    def categories_of(self, code: str) -> tuple[str, ...]:
        """Return the categories that this payer's rules mean a code by."""
        return tuple(
            name for name, group in self.categories.items() if any(_within(code, span) for span in group.codes)
        )

    def requirement_for(self, line: LineKey, on: date) -> "LineRequirement":
        """Find the rule that decides a line.

        The narrowest matching rule wins: an exact code before a range, a range before a category, a category before
        none; then the one with more other criteria; then the first in the file. Where a narrower rule might match, if
        only what it asks of the line were known, and says otherwise, the answer is `unknown`.
        """
        ranked: list[tuple[int, int, int, bool | None, Requirement]] = []
        for place, rule in enumerate(self.requirements):
            level, matched = self._matches(rule.match, line)
            if matched is not False and rule.effective.covers(on):
                ranked.append((-level, -rule.match.narrowness, place, matched, rule))
        possible: list[Requirement] = []
        for *_, matched, rule in sorted(ranked, key=lambda entry: entry[:3]):
            if not matched:
                possible.append(rule)
                continue
            rivals = [other.id for other in possible if other.needs != rule.needs]
            if rivals:
                return _undecided(
                    line, f"{rule.id} matches, but so might {', '.join(rivals)}, which asks what the line lacks."
                )
            said = {field: getattr(rule, field) for field in Ruling.model_fields}
            return LineRequirement(
                lines=(line.number,),
                rule=rule.id,
                source=rule.source,
                verified_on=rule.verified_on,
                effective=rule.effective,
                **said,
            )
        if possible:
            names = ", ".join(rule.id for rule in possible)
            return _undecided(line, f"{names} might match, but asks what the line lacks.")
        return _undecided(line, f"No rule of {self.payer} in effect on {on} speaks of the code.")

    def _matches(self, match: Match, line: LineKey) -> tuple[int, bool | None]:
        """Say how exactly a rule names the line's code, and whether all criteria hold; None where that is not known."""
        level, by_code = self._names_code(match, line)
        verdicts = (
            by_code,
            _one_of(match.place_of_service, line.place_of_service),
            _one_of(match.states, line.state),
            _one_of((match.network,) if match.network else (), line.network),
            None
            if match.ages and line.patient_age is None
            else not match.ages or match.ages.since <= (line.patient_age or 0) <= match.ages.until,
            None
            if match.diagnoses and not line.diagnoses
            else not match.diagnoses
            or any(diagnosis_begins(code, prefix) for code in line.diagnoses for prefix in match.diagnoses),
        )
        return level, False if False in verdicts else None if None in verdicts else True

    def _names_code(self, match: Match, line: LineKey) -> tuple[int, bool | None]:
        if line.code in match.codes:
            return 3, True
        if any(_within(line.code, span) for span in match.codes):
            return 2, True
        known = self.categories_of(line.code)
        if set(known) & set(match.categories):
            return 1, True
        if not known and line.category in match.categories:
            return 1, None
        return 0, not match.codes and not match.categories


SECTIONS = tuple(
    name
    for name in Policy.model_fields
    if name not in {*_Payer.model_fields, "schema_version", "verify_every", "sources", "categories"}
)
"""The lists of rules of a policy."""


def _within(code: str, span: str) -> bool:
    first, _, last = span.partition("-")
    return first <= code <= (last or first)


def _one_of(wanted: tuple[str, ...], given: str | None) -> bool | None:
    return True if not wanted else given in wanted if given else None


class LineRequirement(Ruling):
    """What decides lines of the order, by which rule. Without a rule both needs are unknown: a person is asked."""

    lines: tuple[int, ...]
    rule: Key
    why: Sentence | None = Field(default=None, description="Why no rule decides it.")
    source: str | None = None
    verified_on: date | None = None
    effective: Effective | None = None


def _undecided(line: LineKey, why: str) -> LineRequirement:
    return LineRequirement(
        lines=(line.number,), rule="vigil/no-rule", why=why, authorization=Need.UNKNOWN, referral=Need.UNKNOWN
    )


class PolicySlice(_Payer):
    """What of a policy decides one order, pinned in the case: below 8 KB of JSON.

    Dumped, it states evidence that rules share once (`evidence`, which they name by place), and leaves out what is null and
    what channels, requirements and appeals say as usual.
    """

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    effective_on: date
    urgency: Urgency
    channels: tuple[Channel, ...]
    requirements: tuple[LineRequirement, ...]
    decision_clock: DecisionClock
    follow_up: Cadence
    receipts: tuple[Receipt, ...]
    tasks: tuple[TaskRule, ...]
    visit: VisitRule
    patient_messages: PatientMessages
    appeals: tuple[AppealOption, ...]
    provisional: ProvisionalRule
    eligibility: EligibilityRule
    numbers: NumberFormats

    @model_serializer(mode="wrap")
    def _packed(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shared: list[dict[str, Any]] = []
        whole: dict[str, Any] = handler(self)
        for section in ("channels", "requirements", "appeals"):
            whole[section] = list(map(unusual, getattr(self, section), whole[section]))
        packed: dict[str, Any] = pack(whole, shared)
        return {**packed, "evidence": shared}

    @model_validator(mode="before")
    @classmethod
    def _unpacked(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "evidence" not in data:
            return data
        return unpack({field: value for field, value in data.items() if field != "evidence"}, data["evidence"])

    def requirement(self, line: int) -> LineRequirement | None:
        """Return what was found for a line, or None for a line that the slice was not made for."""
        return next((found for found in self.requirements if line in found.lines), None)

    def task(self, kind: WorkKind) -> TaskRule | None:
        """Return how much time people have for a kind of task."""
        return next((rule for rule in self.tasks if rule.task is kind), None)

    def receipt(self, rail: Rail) -> Receipt | None:
        """Return by when a rail must prove receipt."""
        return next((rule for rule in self.receipts if rule.rail is rail), None)


_R = TypeVar("_R", bound=Rule)


def _one(policy: Policy, section: str, rules: Sequence[_R], on: date, about: str = "") -> _R:
    found = in_effect(rules, on)
    if not found:
        raise PolicyError([f"{policy.payer}: {section} has no rule in effect on {on}{about}; add one that is"])
    return max(found, key=lambda rule: rule.effective.since)


def slice_policy(policy: Policy, *, on: date, urgency: str, lines: Sequence[LineKey]) -> PolicySlice:
    """Cut out what decides an order's lines on a day (of service or receipt, as the caller has it).

    Raises `PolicyError` where the urgency is none, where nothing is in effect that a case cannot do without, or where
    the slice is larger than `SLICE_LIMIT`.
    """
    if urgency not in set(Urgency):
        raise PolicyError([f"{policy.payer}: {urgency} is no urgency; use one of {', '.join(Urgency)}"])
    haste, about = Urgency(urgency), f" for {urgency} orders"
    grouped: dict[LineRequirement, tuple[int, ...]] = {}
    for line in lines:
        found = policy.requirement_for(line, on)
        alike = found.model_copy(update={"lines": ()})
        grouped[alike] = (*grouped.get(alike, ()), *found.lines)
    channels = tuple(
        channel.model_copy(
            update={"urgencies": (haste,), "rests": {h: spans for h, spans in channel.rests.items() if h is haste}}
        )
        for channel in in_effect(policy.channels, on)
        if haste in channel.urgencies
    )
    if not channels:
        raise PolicyError([f"{policy.payer}: channels has none in effect on {on}{about}; add one that is"])
    clocks = [rule for rule in policy.decision_clocks if rule.urgency is haste]
    cadences = [rule for rule in policy.follow_up if rule.urgency is haste]
    cut = PolicySlice(
        **{field: getattr(policy, field) for field in _Payer.model_fields if field != "holidays"},
        holidays=tuple(day for day in policy.holidays if on - _HOLIDAYS_BEHIND <= day <= on + _HOLIDAYS_AHEAD),
        digest=policy.digest,
        effective_on=on,
        urgency=haste,
        channels=channels,
        requirements=tuple(found.model_copy(update={"lines": numbers}) for found, numbers in grouped.items()),
        decision_clock=_one(policy, "decision_clocks", clocks, on, about),
        follow_up=_one(policy, "follow_up", cadences, on, about),
        receipts=tuple(
            rule for rule in in_effect(policy.receipts, on) if rule.rail in {channel.rail for channel in channels}
        ),
        tasks=tuple(_hasty(rule, haste) for rule in in_effect(policy.tasks, on)),
        visit=_one(policy, "visits", policy.visits, on),
        patient_messages=_one(policy, "patient_messages", policy.patient_messages, on),
        appeals=tuple(
            option.model_copy(update={"urgencies": (haste,)})
            for option in in_effect(policy.appeals, on)
            if haste in option.urgencies
        ),
        provisional=_one(policy, "provisional", policy.provisional, on),
        eligibility=_one(policy, "eligibility", policy.eligibility, on),
        numbers=_one(policy, "numbers", policy.numbers, on),
    )
    size = len(cut.model_dump_json().encode())
    if size > SLICE_LIMIT:
        raise PolicyError(
            [f"{policy.payer}: the slice has {size} bytes, more than {SLICE_LIMIT}; shorten texts and packets"]
        )
    return cut


def _hasty(rule: TaskRule, haste: Urgency) -> TaskRule:
    """A task's rule as an order of an urgency has it."""
    due = rule.due.of(haste)
    return rule.model_copy(update={"due": ByUrgency(routine=due, urgent=due, stat=due)})


def policy_digest(policy: Policy) -> str:
    """Return a policy's content address."""
    return policy.digest


def parse_policy(data: object, *, name: str) -> Policy:
    """Read a policy from parsed YAML; `name` is what the file is called in messages.

    Raises `PolicyError` with one sentence for each thing that is wrong.
    """
    if not isinstance(data, Mapping):
        raise PolicyError([f"{name}: the file must be one mapping of fields; see docs/policies.md"])
    try:
        return Policy.model_validate(data)
    except ValidationError as wrong:
        raise PolicyError.of(wrong, name) from wrong
