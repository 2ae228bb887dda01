"""What is known: rules, coverage, documents."""

from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field

from domain.base import Frozen, Key
from domain.decision import AnswerError, Reason
from domain.facts.envelope import Fact, Reference
from domain.house import HouseRules
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import WhoAsks


class PolicyPinned(Fact):
    """The payer's rules that decide this order, as released at that moment."""

    kind: Literal["policy_pinned"] = "policy_pinned"
    payer: Key
    policy: PolicySlice


class HousePinned(Fact):
    """The house's rules, as released at that moment: what holds where no payer's rule speaks."""

    kind: Literal["house_pinned"] = "house_pinned"
    house: HouseRules


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


class LineInformation(Frozen):
    """What the payer's own rules say of one line (CRD coverage-information). Codes are verbatim; an unlisted one is kept."""

    line: int
    covered: str | None = Field(default=None, max_length=40)
    authorization: str | None = Field(default=None, max_length=40, description="`pa-needed`, verbatim.")
    documents: tuple[str, ...] = Field(default=(), max_length=10, description="`doc-needed`, verbatim.")
    purposes: tuple[str, ...] = Field(default=(), max_length=10, description="`doc-purpose`, verbatim.")
    information: tuple[str, ...] = Field(default=(), max_length=10, description="`info-needed`, verbatim.")
    satisfied_by: str | None = Field(
        default=None, max_length=80, description="An authorization that covers it already."
    )
    assertion: str | None = Field(default=None, max_length=120, description="`coverage-assertion-id`.")
    questionnaires: tuple[str, ...] = Field(default=(), max_length=10, description="Canonical URLs.")
    reasons: tuple[Reason, ...] = Field(default=(), max_length=10)
    details: tuple[str, ...] = Field(default=(), max_length=10, description="What else it says, in words.")
    contacts: tuple[str, ...] = Field(default=(), max_length=5, description="Whom to ask, as the payer names them.")
    asserted_on: date | None = None
    expires_on: date | None = Field(default=None, description="The last day on which the assertion holds.")


class CoverageInformationReceived(Fact):
    """The payer said, for this order, what it covers and what it needs (CRD)."""

    kind: Literal["coverage_information_received"] = "coverage_information_received"
    rank: int
    hook: Literal["order-sign", "order-dispatch", "appointment-book"]
    lines: tuple[LineInformation, ...] = Field(min_length=1)
    raw: DocumentRef | None = None


class QuestionnaireReceived(Fact):
    """A form of the payer (DTR) is there, with what could be filled in from the chart."""

    kind: Literal["questionnaire_received"] = "questionnaire_received"
    questionnaire: Key = Field(description="Its canonical URL.")
    form: DocumentRef = Field(description="The questionnaire package as it came.")
    context: str | None = Field(default=None, max_length=120)
    lines: tuple[int, ...] = ()
    adaptive: bool = Field(
        default=False, description="The payer asks one question after another: a person answers there."
    )


class QuestionnaireAnswered(Fact):
    """A person answered the payer's form; the response goes along with the request, or with what was asked for."""

    kind: Literal["questionnaire_answered"] = "questionnaire_answered"
    form: Reference = Field(default="", description="The `questionnaire_received` that it answers.")
    questionnaire: Key
    response: DocumentRef = Field(description="The QuestionnaireResponse.")
    context: str | None = Field(default=None, max_length=120)
    complete: bool = Field(description="False: saved for later.")


class DocumentsGathered(Fact):
    """The chart was searched."""

    kind: Literal["documents_gathered"] = "documents_gathered"
    searched: tuple[str, ...]
    documents: tuple[DocumentRef, ...] = ()


class DocumentAdded(Fact):
    """Somebody brought a document."""

    kind: Literal["document_added"] = "document_added"
    document: DocumentRef
