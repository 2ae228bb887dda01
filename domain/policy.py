"""A payer's rules as data: the shape of `policies/*.yaml`, the slice that decides one order, and the check of a file.

Pure: whoever reads the file parses its YAML and brings the mapping. Every rule says where it was read (`source`), when
that was last verified and from when until when it is in effect. Field by field: `docs/policies.md`.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)

from domain.base import Frozen, Key, Name, Sentence
from domain.calendars import Calendar, Ends, Kind, LocalTime, Span, TimeZone, Unit
from domain.decision import NumberType
from domain.order import Urgency

SLICE_LIMIT = 7680
"""The most bytes of JSON that a slice may have: with its envelope it is a fact of the case, which has at most 8 KB."""

_HOLIDAYS_BEHIND, _HOLIDAYS_AHEAD = timedelta(days=31), timedelta(days=400)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,40}$")]
Phone = Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 ()-]{6,20}$")]
Place = Annotated[str, StringConstraints(pattern=r"^[0-9]{2}$")]
State = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


def _ascends(span: str) -> str:
    first, _, last = span.partition("-")
    if last and last < first:
        msg = f"the range {span} ends before it begins; turn it round"
        raise ValueError(msg)
    return span


Codes = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{5}(-[A-Z0-9]{5})?$"), AfterValidator(_ascends)]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as wrong:
        msg = f"it is not a regular expression ({wrong}); correct it"
        raise ValueError(msg) from wrong
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


class PolicyError(ValueError):
    """A policy cannot be used. `problems` are sentences, each naming the file, the field and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Rail(StrEnum):
    """How a request travels."""

    PAS = "pas"
    X12 = "x12"
    GATEWAY = "gateway"
    PORTAL = "portal"
    FAX = "fax"
    PHONE = "phone"


class Need(StrEnum):
    """Whether something must be obtained. Unknown is a person's question, never a no."""

    REQUIRED = "required"
    NOT_REQUIRED = "not_required"
    UNKNOWN = "unknown"


class WhoAsks(StrEnum):
    """Who must ask the payer."""

    ORDERING = "ordering"
    RENDERING = "rendering"
    FACILITY = "facility"


class InformationEffect(StrEnum):
    """What a payer's request for information does to its decision clock."""

    NONE = "none"
    EXTEND = "extend"
    TOLL = "toll"
    RESTART = "restart"


class Breach(StrEnum):
    """What follows when a payer lets its decision clock run out."""

    ESCALATE = "escalate"
    ADVERSE_APPEALABLE = "adverse_appealable"
    DEEMED_EXHAUSTED = "deemed_exhausted"
    DEEMED_APPROVED = "deemed_approved"


class AppealKind(StrEnum):
    """What may be done about a denial."""

    PEER_TO_PEER = "peer_to_peer"
    RECONSIDERATION = "reconsideration"
    APPEAL = "appeal"
    EXTERNAL_REVIEW = "external_review"
    NEW_REQUEST = "new_request"


class TaskKind(StrEnum):
    """What people are asked to do, by which their time is set."""

    SUBMISSION = "submission"
    CALL = "call"
    REVIEW = "review"
    DOCUMENTS = "documents"
    LETTER = "letter"


class LineOfBusiness(StrEnum):
    """What kind of plan it is, which decides by which law clocks and appeals run."""

    COMMERCIAL = "commercial"
    MEDICARE_ADVANTAGE = "medicare_advantage"
    SELF_FUNDED = "self_funded"
    MEDICAID_MANAGED_CARE = "medicaid_managed_care"
    TRADITIONAL_MEDICARE = "traditional_medicare"
    OTHER = "other"


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


class _Dated(Frozen):
    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


class Effective(_Dated):
    """From which day until which day, both included, a rule holds."""

    since: date = Field(alias="from")
    until: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until and self.until < self.since:
            msg = "until is before from; correct one of them"
            raise ValueError(msg)
        return self

    def covers(self, on: date) -> bool:
        """Whether it holds on a day."""
        return self.since <= on and (self.until is None or on <= self.until)


class Evidence(Frozen):
    """Where a rule was read and when that was last verified."""

    source: Annotated[str, StringConstraints(min_length=8, max_length=300)] = Field(description="A citation or a URL.")
    verified_on: date
    effective: Effective


class Rule(Evidence):
    """What every rule carries. `id` is unique in its file, and clocks and tasks name it."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,59}$")]


class ByUrgency(Frozen):
    """A span for each urgency."""

    routine: Span
    urgent: Span
    stat: Span


class Identifiers(Frozen):
    """How others call this payer."""

    eligibility_payer_id: Key
    pas_organization: Key | None = None


class Contacts(Rule):
    """Whom to call, where to write."""

    provider_services: Phone
    fax: Phone | None = None
    portal: Name | None = Field(default=None, description="The portal's name, as staff know it.")
    peer_to_peer: Phone | None = None
    hours: Name = Field(description="When somebody answers, in words.")


class CalendarSpec(Frozen):
    """A calendar of the payer; zone and extra holidays are the payer's."""

    kind: Kind
    cut_off: LocalTime | None = None
    opens: LocalTime | None = None
    closes: LocalTime | None = None
    ends: Ends = Ends.END_OF_DAY


class Channel(Rule):
    """One way to ask; the first in the list is preferred.

    `rate` is requests a second for all workers together; `answer_timeout` is in seconds.
    """

    rail: Rail
    urgencies: tuple[Urgency, ...] = Field(min_length=1)
    version: str | None = None
    base_url: str | None = Field(default=None, max_length=300)
    token_url: str | None = Field(default=None, max_length=300)
    rate: float = Field(default=1.0, gt=0, le=100)
    answer_timeout: int = Field(default=60, ge=1, le=540)
    notification: bool = False
    subscription_filter: Literal["org-identifier", "orgIdentifier"] | None = None
    packet: tuple[Word, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed: dict[Rail, tuple[str, ...]] = {
            Rail.PAS: ("version", "base_url", "token_url"),
            Rail.GATEWAY: ("base_url",),
        }
        missing = [field for field in needed.get(self.rail, ()) if getattr(self, field) is None]
        if self.rail is Rail.PAS and self.notification and self.subscription_filter is None:
            missing.append("subscription_filter")
        if missing:
            msg = f"a channel by {self.rail} needs {', '.join(missing)}; add it"
            raise ValueError(msg)
        return self


class CategoryCodes(Frozen):
    """The codes that this payer's rules mean by a category."""

    label: Name
    codes: tuple[Codes, ...] = Field(min_length=1)


class Ages(_Dated):
    """Whole years, both included."""

    since: int = Field(default=0, ge=0, le=150, alias="from")
    until: int = Field(default=150, ge=0, le=150)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until < self.since:
            msg = "until is less than from; correct one of them"
            raise ValueError(msg)
        return self


class Match(Frozen):
    """Which lines a requirement speaks of: all that is given must hold."""

    codes: tuple[Codes, ...] = ()
    categories: tuple[Word, ...] = ()
    place_of_service: tuple[Place, ...] = ()
    diagnoses: tuple[str, ...] = Field(default=(), description="ICD-10-CM prefixes; one that fits is enough.")
    ages: Ages | None = None
    states: tuple[State, ...] = ()
    network: Literal["in", "out"] | None = None

    @property
    def narrowness(self) -> int:
        """How many criteria beside the code it has."""
        return sum(map(bool, (self.place_of_service, self.diagnoses, self.ages, self.states, self.network)))


class DocumentNeed(Frozen):
    """A document that must go along, not older than `within` where that is given."""

    kind: Word
    within: Span | None = None


class Ruling(Frozen):
    """What a requirement says."""

    authorization: Need
    referral: Need = Need.NOT_REQUIRED
    who_asks: WhoAsks = WhoAsks.ORDERING
    documents: tuple[DocumentNeed, ...] = ()
    validity: Span | None = Field(default=None, description="How long an approval usually holds; the answer governs.")
    recheck: Span | None = Field(default=None, description='When a "not required" goes stale.')


class Requirement(Rule, Ruling):
    """Whether lines of a kind need an authorization or a referral, who asks and with which documents."""

    match: Match


class DecisionClock(Rule):
    """By when the payer must decide. `extension` is the most that it may take more."""

    urgency: Urgency
    span: Span
    calendar: Key
    starts_from: Literal["receipt"] = "receipt"
    breach: Breach = Breach.ESCALATE
    information_request: InformationEffect = InformationEffect.NONE
    information_window: Span | None = Field(default=None, description="How long the provider has to answer it.")
    extension: Span | None = None


class Cadence(Rule):
    """When to ask again about a pending request, and when its silence is escalated."""

    urgency: Urgency
    first: Span
    every: Span
    max_silence: Span
    calendar: Key


class Receipt(Rule):
    """By when a rail must prove that the request arrived, and what proves it."""

    rail: Rail
    within: Span
    calendar: Key
    proof: Word


class TaskRule(Rule):
    """How much time people have for a task; after `lease_minutes` a claimed one falls back."""

    task: TaskKind
    due: ByUrgency
    calendar: Key
    lease_minutes: int = Field(ge=5, le=480)


class VisitRule(Rule):
    """From when upcoming visits are watched, and until when the patient is told that an authorization is missing."""

    watch_from: Span
    notify_patient: Span
    calendar: Key


class PatientMessages(Rule):
    """What patients are told about, and the hours in which they are left alone (local time)."""

    events: tuple[Word, ...] = Field(min_length=1)
    quiet_from: LocalTime
    quiet_until: LocalTime


class AppealOption(Rule):
    """What may be done about a denial, how long, how often (`counts`), and by when it is decided."""

    kind: AppealKind
    urgencies: tuple[Urgency, ...] = tuple(Urgency)
    window: Span
    anchor: Literal["notice", "decision"]
    calendar: Key
    decided_within: Span | None = None
    channel: Rail
    phone: Phone | None = None
    counts: int = Field(default=1, ge=1, le=9)


class ProvisionalRule(Rule):
    """How long a number given by voice, or for the time being, may stand before it must be written."""

    confirm_within: Span
    calendar: Key


class EligibilityRule(Rule):
    """When coverage is verified again beside the opening of the case."""

    before_visit: Span
    calendar: Key
    month_start: bool = True


class NumberFormats(Rule):
    """Which numbers are certification numbers and which only a pend's reference. The examples are tried on loading."""

    certification: Pattern | None = None
    pend_reference: Pattern | None = None
    certification_examples: tuple[str, ...] = ()
    pend_reference_examples: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _examples_read_right(self) -> Self:
        wanted = {
            **dict.fromkeys(self.certification_examples, NumberType.CERTIFICATION),
            **dict.fromkeys(self.pend_reference_examples, NumberType.ADMINISTRATIVE),
        }
        for example, kind in wanted.items():
            if self.read(example) is not kind:
                msg = f"the example {example} is not read as {kind}; correct the patterns or the example"
                raise ValueError(msg)
        return self

    def read(self, number: str) -> NumberType | None:
        """Say what a number looks like; None where it fits no format and a person must confirm it.

        One that fits both is a pend's reference (`administrative`): unknown is never approved.
        """
        if self.pend_reference and re.fullmatch(self.pend_reference, number.strip()):
            return NumberType.ADMINISTRATIVE
        if self.certification and re.fullmatch(self.certification, number.strip()):
            return NumberType.CERTIFICATION
        return None


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
            rivals = [other.id for other in possible if _ruling(other) != _ruling(rule)]
            if rivals:
                return _undecided(
                    line, f"{rule.id} matches, but so might {', '.join(rivals)}, which asks what the line lacks."
                )
            said = {field: getattr(rule, field) for field in Ruling.model_fields}
            return LineRequirement(
                lines=(line.number,),
                rule=rule.id,
                why=f"{rule.id} matches.",
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
            or any(_begins(code, prefix) for code in line.diagnoses for prefix in match.diagnoses),
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

Needs = tuple[Need, Need, WhoAsks]


def _within(code: str, span: str) -> bool:
    first, _, last = span.partition("-")
    return first <= code <= (last or first)


def _begins(diagnosis: str, prefix: str) -> bool:
    """Compare ICD-10-CM codes with and without their point, which systems leave out as they like."""
    return diagnosis.replace(".", "").startswith(prefix.replace(".", ""))


def _one_of(wanted: tuple[str, ...], given: str | None) -> bool | None:
    return True if not wanted else given in wanted if given else None


def _ruling(rule: Ruling) -> Needs:
    return rule.authorization, rule.referral, rule.who_asks


class LineRequirement(Ruling):
    """What decides lines of the order, by which rule. Without a rule both needs are unknown: a person is asked."""

    lines: tuple[int, ...]
    rule: Key
    why: Sentence
    source: str | None = None
    verified_on: date | None = None
    effective: Effective | None = None


def _undecided(line: LineKey, why: str) -> LineRequirement:
    return LineRequirement(
        lines=(line.number,), rule="vigil/no-rule", why=why, authorization=Need.UNKNOWN, referral=Need.UNKNOWN
    )


def _pack(value: Any, shared: list[dict[str, Any]]) -> Any:
    if isinstance(value, list | tuple):
        return [_pack(item, shared) for item in value]
    if not isinstance(value, Mapping):
        return value
    packed = {field: _pack(item, shared) for field, item in value.items() if item is not None}
    if packed.keys() >= Evidence.model_fields.keys():
        evidence = {field: packed.pop(field) for field in Evidence.model_fields}
        if evidence not in shared:
            shared.append(evidence)
        packed["evidence"] = shared.index(evidence)
    return packed


def _unpack(value: Any, shared: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_unpack(item, shared) for item in value]
    if not isinstance(value, Mapping):
        return value
    place = value.get("evidence")
    known = isinstance(place, int) and isinstance(shared, list) and 0 <= place < len(shared)
    rest = {field: _unpack(item, shared) for field, item in value.items() if field != "evidence" or not known}
    return {**rest, **shared[place]} if known else rest


class PolicySlice(_Payer):
    """What of a policy decides one order, pinned in the case: below 8 KB of JSON.

    Dumped, it states evidence that rules share once (`evidence`, which they name by place) and leaves out what is null.
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
        packed: dict[str, Any] = _pack(handler(self), shared)
        return {**packed, "evidence": shared}

    @model_validator(mode="before")
    @classmethod
    def _unpacked(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "evidence" not in data:
            return data
        return _unpack({field: value for field, value in data.items() if field != "evidence"}, data["evidence"])

    def requirement(self, line: int) -> LineRequirement | None:
        """Return what was found for a line, or None for a line that the slice was not made for."""
        return next((found for found in self.requirements if line in found.lines), None)

    def task(self, kind: TaskKind) -> TaskRule | None:
        """Return how much time people have for a kind of task."""
        return next((rule for rule in self.tasks if rule.task is kind), None)

    def receipt(self, rail: Rail) -> Receipt | None:
        """Return by when a rail must prove receipt."""
        return next((rule for rule in self.receipts if rule.rail is rail), None)


_R = TypeVar("_R", bound=Rule)


def _current(rules: Sequence[_R], on: date) -> tuple[_R, ...]:
    return tuple(rule for rule in rules if rule.effective.covers(on))


def _one(policy: Policy, section: str, rules: Sequence[_R], on: date, about: str = "") -> _R:
    found = _current(rules, on)
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
    channels = tuple(channel for channel in _current(policy.channels, on) if haste in channel.urgencies)
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
            rule for rule in _current(policy.receipts, on) if rule.rail in {channel.rail for channel in channels}
        ),
        tasks=_current(policy.tasks, on),
        visit=_one(policy, "visits", policy.visits, on),
        patient_messages=_one(policy, "patient_messages", policy.patient_messages, on),
        appeals=tuple(option for option in _current(policy.appeals, on) if haste in option.urgencies),
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


def policy_digest(policy: Policy) -> str:
    """Return a policy's content address."""
    return policy.digest


_REMEDIES = {
    "extra_forbidden": "is not a field here; correct its name or remove it",
    "missing": "is missing; add it",
    "string_type": "must be text; put it in quotes",
}


def parse_policy(data: object, *, name: str) -> Policy:
    """Read a policy from parsed YAML; `name` is what the file is called in messages.

    Raises `PolicyError` with one sentence for each thing that is wrong.
    """
    if not isinstance(data, Mapping):
        raise PolicyError([f"{name}: the file must be one mapping of fields; see docs/policies.md"])
    try:
        return Policy.model_validate(data)
    except ValidationError as wrong:
        problems = []
        for error in wrong.errors(include_url=False, include_input=False):
            where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
            said = error["msg"].removeprefix("Value error, ")
            problems.append(f"{name}: {where or 'the file'}: {_REMEDIES.get(error['type'], said)}.")
        raise PolicyError(problems) from wrong


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
        policy = parse_policy(data, name=name)
    except PolicyError as wrong:
        return [Finding(level="error", where=name, text=problem) for problem in wrong.problems]
    return [*_stale(policy, now), *_addresses(policy, placeholders), *_gaps(policy, now), *_contradictions(policy)]


def _stale(policy: Policy, now: date) -> Iterator[Finding]:
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
        for field in ("base_url", "token_url"):
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
        case Receipt():
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
    slots |= {(section, ""): [] for section in _SINGLE} | {("tasks", task): [] for task in TaskKind}
    for section, rule in policy.rules():
        if section not in {"contacts", "channels", "requirements", "appeals"}:
            slots.setdefault((section, _slot(rule)), []).append(rule)
    for (section, slot), rules in slots.items():
        where = f"{section}.{slot}" if slot else section
        if not _current(rules, now):
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
        if not any(haste in channel.urgencies for channel in _current(policy.channels, now)):
            yield Finding(
                level="error", where="channels", text=f"none in effect on {now} takes {haste} orders; add one."
            )


def _contradictions(policy: Policy) -> Iterator[Finding]:
    for place, one in enumerate(policy.requirements):
        for other in policy.requirements[place + 1 :]:
            if not _overlap(policy, one, other):
                continue
            if _ruling(one) != _ruling(other):
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
            or any(_begins(x, y) or _begins(y, x) for x in a.diagnoses for y in b.diagnoses)
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
