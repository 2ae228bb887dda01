"""The rules that a policy is made of: what one entry in a list of `policies/*.yaml` may say, and its vocabularies.

Every rule says where it was read (`source`), when that was last verified and from when until when it is in effect. How
they make a payer's policy and which one decides is `domain/policy.py`. Field by field: `docs/policies.md`.
"""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from domain.base import Frozen, Key, Name
from domain.calendars import Ends, Kind, LocalTime, Span, weekly_until
from domain.channel_health import BreakerRule, Maintenance
from domain.decision import Outcome
from domain.order import Urgency
from domain.portal import PortalField
from domain.x12_terms import PARTY, X12Terms

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


class Rail(StrEnum):
    """How a request travels."""

    PAS = "pas"
    X12 = "x12"
    GATEWAY = "gateway"
    PORTAL = "portal"
    FAX = "fax"
    DIRECT = "direct"
    PHONE = "phone"


class Ability(StrEnum):
    """What a payer takes on a channel. What is not listed goes another way, or by a person."""

    SUBMIT = "submit"
    UPDATE = "update"
    INQUIRE = "inquire"
    CANCEL = "cancel"
    ATTACH = "attach"


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


class WorkKind(StrEnum):
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


_R = TypeVar("_R", bound=Rule)


def in_effect(rules: Sequence[_R], on: date) -> tuple[_R, ...]:
    """Return the rules that hold on a day."""
    return tuple(rule for rule in rules if rule.effective.covers(on))


class ByUrgency(Frozen):
    """A span for each urgency; written as one where it is the same for all."""

    routine: Span
    urgent: Span
    stat: Span

    @model_validator(mode="before")
    @classmethod
    def _from_one(cls, value: Any) -> Any:
        return dict.fromkeys(Urgency, value) if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _to_one(self, handler: SerializerFunctionWrapHandler) -> Any:
        return str(self.routine) if self.routine == self.urgent == self.stat else handler(self)

    def of(self, urgency: Urgency) -> Span:
        """The span of an urgency."""
        span: Span = getattr(self, urgency.value)
        return span


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
    concurrency: int | None = Field(
        default=None, ge=1, le=1000, description="Requests under way at once at the carrier, by all workers together."
    )
    breaker: BreakerRule | None = None
    answer_timeout: int = Field(default=60, ge=1, le=540)
    notification: bool = False
    subscription_filter: Literal["org-identifier", "orgIdentifier"] | None = None
    packet: tuple[Word, ...] = ()
    portal_fields: tuple[PortalField, ...] = Field(default=(), max_length=40, description="What a person types where.")
    can: tuple[Ability, ...] = Field(
        default=(Ability.SUBMIT, Ability.INQUIRE, Ability.CANCEL), description="What the payer takes on this channel."
    )
    via: Key | None = Field(
        default=None, description="The clearinghouse or gateway that carries it, by our name for it."
    )
    payer_code: Key | None = Field(default=None, description="How the carrier names the payer.")
    sender: Key | None = Field(
        default=None, description="Whom the carrier knows us as (X12 ISA06, our Direct address)."
    )
    receiver: Key | None = Field(default=None, description="To whom it is addressed (X12 ISA08, a Direct address).")
    mode: Literal["real_time", "batch"] = "real_time"
    x12: X12Terms = X12Terms()
    status_map: dict[str, Outcome] = Field(
        default={}, description="A gateway's status codes by meaning; one that is not here is unknown."
    )
    attachments_url: str | None = Field(default=None, max_length=300)
    crd_url: str | None = Field(default=None, max_length=300)
    dtr_url: str | None = Field(default=None, max_length=300)
    search_after: tuple[Span, ...] = Field(
        default=(), max_length=5, description="When to look for a request whose answer was lost; then a person calls."
    )
    rests: dict[Urgency, tuple[Span, ...]] = Field(
        default={},
        description="Rests between tries while it is out of reach; after the last the next channel is taken.",
    )
    answer_polls: tuple[Span, ...] = Field(
        default=(), max_length=10, description="Looks after a submission that brought only a receipt."
    )
    maintenance: tuple[Maintenance, ...] = Field(default=(), max_length=7)

    @property
    def is_automatic(self) -> bool:
        """Whether Vigil works it by itself; else people do, with the same contract."""
        return self.rail in _ELECTRONIC or (self.rail in {Rail.FAX, Rail.DIRECT} and self.base_url is not None)

    def down_until(self, now: datetime, zone: ZoneInfo) -> datetime | None:
        """When the maintenance that `now` lies in is over (UTC); None outside of it."""
        return weekly_until(now, [one.window for one in self.maintenance], zone)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed: dict[Rail, tuple[str, ...]] = {
            Rail.PAS: ("version", "base_url", "token_url"),
            Rail.X12: ("via", "base_url", "payer_code", "sender", "receiver"),
            Rail.GATEWAY: ("via", "base_url", "token_url", "payer_code", "status_map"),
            Rail.FAX: ("via",) if self.base_url else (),
            Rail.DIRECT: ("via", "base_url", "sender", "receiver"),
        }
        missing = [field for field in needed.get(self.rail, ()) if not getattr(self, field)]
        if self.rail is Rail.PAS and self.notification and self.subscription_filter is None:
            missing.append("subscription_filter")
        if missing:
            msg = f"a channel by {self.rail} needs {', '.join(missing)}; add it"
            raise ValueError(msg)
        parties = (self.sender, self.receiver, self.x12.group_sender, self.x12.group_receiver)
        if self.rail is Rail.X12 and any(said and not PARTY.fullmatch(said) for said in parties):
            msg = "sender and receiver of X12 have 2 to 15 letters, digits or the signs . & / -; correct them"
            raise ValueError(msg)
        return self


_ELECTRONIC = frozenset({Rail.PAS, Rail.X12, Rail.GATEWAY})


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


def diagnosis_begins(diagnosis: str, prefix: str) -> bool:
    """Compare ICD-10-CM codes with and without their point, which systems leave out as they like."""
    return diagnosis.replace(".", "").startswith(prefix.replace(".", ""))


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

    @property
    def needs(self) -> tuple[Need, Need, WhoAsks]:
        """What rulings must agree in so that it does not matter which of them is used."""
        return self.authorization, self.referral, self.who_asks


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

    task: WorkKind
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


class EligibilityRule(Rule):
    """When coverage is verified again beside the opening of the case."""

    before_visit: Span
    calendar: Key
    month_start: bool = True
    rail: Literal["gateway_json", "x12"] = Field(
        default="gateway_json",
        description="How it is asked: by the eligibility gateway, or by a 270 on the X12 channel.",
    )
