"""Everything that can happen to a case, in the past tense. A fact is never changed, only followed by another.

Each fact names its `kind` and the version `v` of its shape. A kind or a version that this release does not know is
kept whole as an `UnknownFact` and becomes a person's task.
"""

import hashlib
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter

from domain.base import Frozen, Instant, Key, Name, Sentence, Turn
from domain.calendars import TimeZone
from domain.decision import AnswerError, Decision, Number
from domain.order import Appointment, DocumentRef, Order
from domain.policy import PolicySlice
from domain.policy_rules import WhoAsks

MAX_FACT_BYTES = 8 * 1024
"""A fact is small; what is large is a reference."""
MAX_CASE_BYTES = 500 * 1024


Reference = Annotated[str, Field(max_length=20, description="The `ref` of the fact that this one is about.")]


class Fact(Frozen):
    """What every fact says: what happened, when, by whom, and under which id it was reported."""

    kind: str
    v: Literal[1] = 1
    n: int = Field(default=0, ge=0, description="Its place in the case, from 1; given when it is recorded.")
    recorded_at: Instant | None = Field(default=None, description="Given when it is recorded; never before another's.")
    occurred_at: Instant = Field(description="The world's time. Clocks start here.")
    by: Key = Field(description="`vigil`, `system:<name>` or `person:<id>`.")
    source_id: Key = Field(description="Unique in a case: reported twice, it happened once.")
    track: str | None = Field(default=None, max_length=80)

    @property
    def ref(self) -> str:
        """A short name for the fact, by which others speak of it. Unlike its place, it survives a restore."""
        return hashlib.sha256(self.source_id.encode()).hexdigest()[:12]


# --- the order and its life ---------------------------------------------------------------------------------------


class OrderReceived(Fact):
    """The practice ordered a service: the case begins."""

    kind: Literal["order_received"] = "order_received"
    order: Order
    time_zone: TimeZone = Field(
        default="America/New_York", description="The practice's, by which its days are counted."
    )


class OrderChanged(Fact):
    """The order reads differently from now on."""

    kind: Literal["order_changed"] = "order_changed"
    order: Order


class OrderCancelled(Fact):
    """The service is no longer wanted."""

    kind: Literal["order_cancelled"] = "order_cancelled"
    reason: Sentence


class AppointmentChanged(Fact):
    """The visit was booked, moved, cancelled, missed or kept."""

    kind: Literal["appointment_changed"] = "appointment_changed"
    appointment: Appointment


class NoteAdded(Fact):
    """Somebody wrote something down."""

    kind: Literal["note_added"] = "note_added"
    text: Annotated[str, Field(min_length=1, max_length=4000)]


class CallLogged(Fact):
    """Somebody spoke with somebody."""

    kind: Literal["call_logged"] = "call_logged"
    with_whom: Turn
    representative: str | None = Field(default=None, max_length=100)
    reference: str | None = Field(default=None, max_length=80)
    asked: Sentence
    answered: Annotated[str, Field(max_length=4000)]


class CaseClosed(Fact):
    """Nothing is left to watch."""

    kind: Literal["case_closed"] = "case_closed"
    reason: Literal["visit_over", "cancelled", "not_needed", "withdrawn"]


class FactRetracted(Fact):
    """A person took an earlier fact back; a second one signed it. The fold leaves the retracted fact out."""

    kind: Literal["fact_retracted"] = "fact_retracted"
    retracted: Key = Field(description="The source id of the fact that is taken back.")
    reason: Sentence
    signed_by: Key


# --- what is known: rules, coverage, documents -------------------------------------------------------------------


class PolicyPinned(Fact):
    """The payer's rules that decide this order, as released at that moment."""

    kind: Literal["policy_pinned"] = "policy_pinned"
    payer: Key
    policy: PolicySlice


class PolicyMissing(Fact):
    """No rules are released for the payer."""

    kind: Literal["policy_missing"] = "policy_missing"
    payer: Key


class CoverageStatus(StrEnum):
    """Whether the insurance holds."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    NOT_FOUND = "not_found"
    UNCLEAR = "unclear"


class Benefits(Frozen):
    """What the plan pays, as far as the payer said. Money in cents; None is unknown, never zero."""

    copay_cents: int | None = Field(default=None, ge=0)
    deductible_left_cents: int | None = Field(default=None, ge=0)
    coinsurance_basis_points: int | None = Field(default=None, ge=0, le=10000, description="2000 is 20 %.")
    out_of_pocket_left_cents: int | None = Field(default=None, ge=0)


class CoverageVerified(Fact):
    """The payer, or a person who asked it, said whether the insurance holds."""

    kind: Literal["coverage_verified"] = "coverage_verified"
    rank: int
    status: CoverageStatus
    plan_name: str | None = Field(default=None, max_length=200)
    active_from: date | None = None
    active_to: date | None = None
    benefits: Benefits = Benefits()
    authorization_indicator: str | None = Field(
        default=None, max_length=5, description="EB11, service-type level: never overrides a rule at code level."
    )
    errors: tuple[AnswerError, ...] = ()
    raw: DocumentRef | None = None


class LineRequirement(Frozen):
    """What one line needs, by which rule."""

    line: int
    authorization: Literal["required", "not_required", "unknown"]
    referral: Literal["required", "not_required", "unknown"] = "not_required"
    rule: str = Field(max_length=120, description="The rule of the pinned policy, or who said so.")
    documents: tuple[str, ...] = Field(default=(), max_length=20, description="Kinds that the payer wants to see.")


class RequirementDetermined(Fact):
    """What the payer requires before the visit. It opens the track."""

    kind: Literal["requirement_determined"] = "requirement_determined"
    rank: int
    payer: Key
    lines: tuple[LineRequirement, ...] = Field(min_length=1)
    who_asks: WhoAsks = WhoAsks.ORDERING
    evidence: DocumentRef | None = None


class DocumentsGathered(Fact):
    """The chart was searched."""

    kind: Literal["documents_gathered"] = "documents_gathered"
    searched: tuple[str, ...]
    documents: tuple[DocumentRef, ...] = ()


class DocumentAdded(Fact):
    """Somebody brought a document."""

    kind: Literal["document_added"] = "document_added"
    document: DocumentRef


# --- the request and its answers ----------------------------------------------------------------------------------


class Receipt(Frozen):
    """Proof that something arrived."""

    kind: Literal[
        "trace_number", "http_id", "acknowledgment", "fax_report", "screenshot", "reference_number", "read_back"
    ]
    reference: str = Field(min_length=1, max_length=200)
    evidence: DocumentRef | None = None


class RequestSubmitted(Fact):
    """The payer has the request, with a receipt."""

    kind: Literal["request_submitted"] = "request_submitted"
    attempt: int = Field(ge=1)
    rail: Key
    trace: Key = Field(description="Our identifier of the request.")
    receipt: Receipt
    numbers: tuple[Number, ...] = ()


class RequestRejected(Fact):
    """The payer refused to take the request up: nothing is decided; correct and resend."""

    kind: Literal["request_rejected"] = "request_rejected"
    attempt: int = Field(ge=1)
    rail: Key
    errors: tuple[AnswerError, ...]
    raw: DocumentRef | None = None


class DecisionReceived(Fact):
    """The payer answered with a decision, final or pended."""

    kind: Literal["decision_received"] = "decision_received"
    attempt: int = Field(ge=1)
    rail: Key
    via: Literal["submit", "inquiry", "notification", "person", "letter"]
    decision: Decision
    raw: DocumentRef | None = None


class StatusInquired(Fact):
    """We asked how the request stands, and there was nothing new, or nothing found."""

    kind: Literal["status_inquired"] = "status_inquired"
    attempt: int = Field(ge=1)
    rail: Key
    found: bool
    raw: DocumentRef | None = None


class AnswerNotUnderstood(Fact):
    """Something came from the payer that is not a decision to Vigil. A person reads it."""

    kind: Literal["answer_not_understood"] = "answer_not_understood"
    attempt: int = Field(ge=1)
    rail: Key
    why: Sentence
    raw: DocumentRef | None = None


class NotificationClaimed(Fact):
    """A callback came that could not be verified or matched: it only causes an inquiry."""

    kind: Literal["notification_claimed"] = "notification_claimed"
    payer: Key
    why: Sentence


class RequestWithdrawn(Fact):
    """The payer confirmed that the request is cancelled."""

    kind: Literal["request_withdrawn"] = "request_withdrawn"
    attempt: int = Field(ge=1)
    rail: Key
    receipt: Receipt


class NewAttemptOrdered(Fact):
    """A person decided to send anew: corrected, never arrived by the payer's word, or after a denial."""

    kind: Literal["new_attempt_ordered"] = "new_attempt_ordered"
    attempt: int = Field(ge=2, description="The attempt that may be sent now.")
    reason: Sentence


class InformationSent(Fact):
    """What the payer asked to see was sent, with a receipt."""

    kind: Literal["information_sent"] = "information_sent"
    attempt: int = Field(ge=1)
    receipt: Receipt
    documents: tuple[DocumentRef, ...] = ()


class ReferralObtained(Fact):
    """The referral that the plan requires is there."""

    kind: Literal["referral_obtained"] = "referral_obtained"
    number: Number
    valid_from: date | None = None
    valid_to: date | None = None


class OptionChosen(Fact):
    """A person chose how to go on after a denial, or after an approval that differs from what was asked."""

    kind: Literal["option_chosen"] = "option_chosen"
    attempt: int = Field(ge=1)
    option: Literal["peer_to_peer", "reconsideration", "appeal", "accept", "self_pay"]
    reason: str | None = Field(default=None, max_length=1000)


# --- telling people, and writing down ------------------------------------------------------------------------------


class PatientNotified(Fact):
    """The patient was told, and there is proof."""

    kind: Literal["patient_notified"] = "patient_notified"
    message: Key
    cause: Reference
    channel: Literal["message", "call", "letter"]
    receipt: Receipt


class ProviderNotified(Fact):
    """The ordering provider was told, and there is proof."""

    kind: Literal["provider_notified"] = "provider_notified"
    message: Key
    cause: Reference
    receipt: Receipt


class ChartDocumented(Fact):
    """An event of the case is in the chart, read back from it."""

    kind: Literal["chart_documented"] = "chart_documented"
    entry: Key
    cause: Reference
    receipt: Receipt


class ResponsibilityPosted(Fact):
    """What the patient will owe at check-in is there, read back. Cents."""

    kind: Literal["responsibility_posted"] = "responsibility_posted"
    cause: Reference
    total_cents: int = Field(ge=0)
    receipt: Receipt


# --- people's work -------------------------------------------------------------------------------------------------


class TaskKind(StrEnum):
    """The kinds of human work; each has a form that its result must fit."""

    FIX_COVERAGE = "fix_coverage"
    DETERMINE_REQUIREMENT = "determine_requirement"
    OBTAIN_REFERRAL = "obtain_referral"
    GATHER_DOCUMENTS = "gather_documents"
    SUBMIT_REQUEST = "submit_request"
    CORRECT_REQUEST = "correct_request"
    FIND_REQUEST = "find_request"
    CHECK_STATUS = "check_status"
    READ_ANSWER = "read_answer"
    SEND_INFORMATION = "send_information"
    CHOOSE_AFTER_DENIAL = "choose_after_denial"
    COMPARE_APPROVAL = "compare_approval"
    TELL_PATIENT = "tell_patient"
    TELL_PROVIDER = "tell_provider"
    DOCUMENT_IN_CHART = "document_in_chart"
    COLLECT_RESPONSIBILITY = "collect_responsibility"
    VISIT_AT_RISK = "visit_at_risk"
    ESCALATION = "escalation"
    OPERATOR = "operator"
    REVIEW = "review"


class TaskOpened(Fact):
    """A person has something to do: what, by when, how, and what to hand in."""

    kind: Literal["task_opened"] = "task_opened"
    task: Key
    task_kind: TaskKind
    turn: Turn = Field(description="Whose work it is.")
    title: Sentence
    checklist: tuple[Sentence, ...] = Field(default=(), max_length=20)
    due: Instant
    rule: str = Field(max_length=120)
    lease_minutes: int = Field(default=60, ge=1, description="How long a claim holds without a result.")
    attempt: int | None = None
    rail: str | None = Field(default=None, max_length=40)
    cause: Reference = Field(default="", description="The fact that made it necessary; empty where time did.")
    raw: DocumentRef | None = Field(default=None, description="What the person should look at.")


class TaskClaimed(Fact):
    """Somebody took the task; until the lease ends nobody else can."""

    kind: Literal["task_claimed"] = "task_claimed"
    task: Key
    until: Instant


class TaskReleased(Fact):
    """Somebody gave the task back, or took it back from whoever held it."""

    kind: Literal["task_released"] = "task_released"
    task: Key
    taken_back: bool = Field(default=False, description="A supervisor (`by`) took it back from its holder.")


class TaskCompleted(Fact):
    """The work is done. What it established is in the facts that were recorded with it."""

    kind: Literal["task_completed"] = "task_completed"
    task: Key
    result: Key = Field(description="Which of the possible results it was.")
    note: str | None = Field(default=None, max_length=2000)
    evidence: tuple[DocumentRef, ...] = Field(default=(), max_length=10)


class TaskWithdrawn(Fact):
    """The task is no longer needed."""

    kind: Literal["task_withdrawn"] = "task_withdrawn"
    task: Key
    why: Sentence


# --- what Vigil itself does and notices ----------------------------------------------------------------------------


class ActionBegun(Fact):
    """Vigil set out to do something: the intent, written before it is tried."""

    kind: Literal["action_begun"] = "action_begun"
    action: Key
    action_kind: Key


class Failure(StrEnum):
    """Why an action did not succeed."""

    EXHAUSTED = "exhausted"
    """It could not be reached or was busy for as long as the activity tried: try again later."""
    REFUSED = "refused"
    """The other side said no and would again."""
    AMBIGUOUS = "ambiguous"
    """It may have happened: search before anything else."""


class ActionEnded(Fact):
    """The action is no longer in flight. What it established is in the facts that came with it."""

    kind: Literal["action_ended"] = "action_ended"
    action: Key
    failure: Failure | None = None
    error: str | None = Field(default=None, max_length=300, description="A code or type, without health information.")


class ClockBreached(Fact):
    """A deadline passed. Kept as evidence."""

    kind: Literal["clock_breached"] = "clock_breached"
    clock: Key
    clock_kind: Key
    due: Instant
    rule: str = Field(max_length=120)


class ClockExtended(Fact):
    """The payer gave itself more time, with notice."""

    kind: Literal["clock_extended"] = "clock_extended"
    until: Instant
    rule: str = Field(max_length=120)
    notice: DocumentRef | None = None


class PlanFailed(Fact):
    """The rules could not be applied to this case: an operator's task, until they can."""

    kind: Literal["plan_failed"] = "plan_failed"
    error: Name


class UnknownFact(Fact):
    """A fact of a kind or version that this release does not know, kept whole."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: str
    v: int = 1  # type: ignore[assignment]

    @property
    def body(self) -> dict[str, Any]:
        """All that it says beside the envelope."""
        return dict(self.model_extra or {})


KNOWN: tuple[type[Fact], ...] = (
    OrderReceived,
    OrderChanged,
    OrderCancelled,
    AppointmentChanged,
    NoteAdded,
    CallLogged,
    CaseClosed,
    FactRetracted,
    PolicyPinned,
    PolicyMissing,
    CoverageVerified,
    RequirementDetermined,
    DocumentsGathered,
    DocumentAdded,
    RequestSubmitted,
    RequestRejected,
    DecisionReceived,
    StatusInquired,
    AnswerNotUnderstood,
    NotificationClaimed,
    RequestWithdrawn,
    NewAttemptOrdered,
    InformationSent,
    ReferralObtained,
    OptionChosen,
    PatientNotified,
    ProviderNotified,
    ChartDocumented,
    ResponsibilityPosted,
    TaskOpened,
    TaskClaimed,
    TaskReleased,
    TaskCompleted,
    TaskWithdrawn,
    ActionBegun,
    ActionEnded,
    ClockBreached,
    ClockExtended,
    PlanFailed,
)

_BY_KIND: dict[str, type[Fact]] = {str(cls.model_fields["kind"].default): cls for cls in KNOWN}


def _tag(value: object) -> str:
    kind, version = (
        (value.get("kind"), value.get("v", 1))
        if isinstance(value, dict)
        else (getattr(value, "kind", None), getattr(value, "v", 1))
    )
    return str(kind) if kind in _BY_KIND and version == 1 and not isinstance(value, UnknownFact) else "unknown"


if TYPE_CHECKING:
    AnyFact = Fact
else:
    AnyFact = Annotated[
        Union[(*(Annotated[cls, Tag(kind)] for kind, cls in _BY_KIND.items()), Annotated[UnknownFact, Tag("unknown")])],
        Discriminator(_tag),
    ]
"""Any fact, chosen by its kind and version."""

_ONE: TypeAdapter[Fact] = TypeAdapter(AnyFact)


def read_fact(data: bytes | str) -> Fact:
    """The fact that a JSON text says. Unknown kinds are kept. Raises `pydantic.ValidationError` on a broken one."""
    return _ONE.validate_json(data)


def write_fact(fact: Fact) -> bytes:
    """The JSON text of a fact, without what it does not say."""
    return _ONE.dump_json(fact, exclude_none=not isinstance(fact, UnknownFact))
