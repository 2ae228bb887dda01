"""The forms of human work: what a person hands in when a task is done, or when the world told them something.

Each form is one value of `result`. What a form says is checked here as far as the form alone can tell; whether it fits
the task and the case is checked by `domain.work`.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from domain.base import Day, Frozen, Instant
from domain.decision import NumberType, Outcome, Reason
from domain.facts import Benefits, CoverageStatus, Receipt
from domain.order import AppointmentStatus, DocumentRef, Moment

Words = Annotated[str, Field(min_length=1, max_length=1000)]
Reference = Annotated[str, Field(min_length=1, max_length=80)]


class Form(Frozen):
    """What every form may say beside its own fields."""

    result: str
    note: str | None = Field(default=None, max_length=2000, description="Anything worth knowing.")
    evidence: tuple[DocumentRef, ...] = Field(
        default=(), max_length=10, description="Screenshots, fax reports, letters: references of kept documents."
    )
    occurred_at: Instant | None = Field(
        default=None, description="When it happened, where that was not just now: clocks start there."
    )


class Asked(Form):
    """A form that rests on somebody's word: it names the call's reference, or who said it, or shows evidence."""

    reference: Reference | None = Field(default=None, description="The call's or the answer's reference number.")
    representative: str | None = Field(default=None, max_length=100, description="Who said it at the payer.")

    @model_validator(mode="after")
    def _rests_on_something(self) -> Self:
        if not (self.reference or self.representative or self.evidence):
            msg = "give the reference, the representative's name or a document as evidence"
            raise ValueError(msg)
        return self


class CoverageConfirmed(Asked):
    """Somebody asked, and the insurance holds. One that does not hold is corrected in the order, not confirmed."""

    result: Literal["coverage_confirmed"] = "coverage_confirmed"
    status: Literal[CoverageStatus.ACTIVE] = CoverageStatus.ACTIVE
    plan_name: str | None = Field(default=None, max_length=200)
    active_from: Day | None = None
    active_to: Day | None = None
    benefits: Benefits = Benefits()


class LineNeeds(Frozen):
    """What the payer said that one line needs."""

    line: int = Field(ge=1, le=99)
    authorization: Literal["required", "not_required"]
    referral: Literal["required", "not_required"] = "not_required"


class RequirementFound(Asked):
    """The payer said what each line needs."""

    result: Literal["requirement_determined"] = "requirement_determined"
    lines: tuple[LineNeeds, ...] = Field(min_length=1, max_length=25)


class ReferralFound(Form):
    """The referral that the plan requires is there."""

    result: Literal["referral_obtained"] = "referral_obtained"
    number: Reference
    valid_from: Day | None = None
    valid_to: Day | None = None


class DocumentsAttached(Form):
    """What the payer wants to see, by reference."""

    result: Literal["documents_attached"] = "documents_attached"
    documents: tuple[DocumentRef, ...] = Field(min_length=1, max_length=10)


class QuestionnaireFilled(Form):
    """The payer's form is filled in completely: the response that the door of questionnaires has made and kept."""

    result: Literal["questionnaire_filled"] = "questionnaire_filled"
    documents: tuple[DocumentRef, ...] = Field(
        min_length=1, max_length=1, description="The QuestionnaireResponse, of the kind questionnaire_response."
    )


class SendWithout(Form):
    """The request goes out without what is missing, knowingly."""

    result: Literal["send_without"] = "send_without"
    reason: Words


class PayerNumber(Frozen):
    """A number that the payer gave, with what it is good for."""

    type: Literal[NumberType.CERTIFICATION, NumberType.ADMINISTRATIVE, NumberType.PROVISIONAL, NumberType.REFERRAL] = (
        NumberType.ADMINISTRATIVE
    )
    value: Reference


class Submitted(Form):
    """The payer has the request, with proof."""

    result: Literal["submitted"] = "submitted"
    rail: Literal["portal", "fax", "phone", "pas", "x12", "gateway", "direct"] | None = Field(
        default=None, description="How it went, where not as the task says."
    )
    receipt: Receipt = Field(
        description="A portal's reference number or screenshot, a fax machine's report, a call's reference number."
    )
    representative: str | None = Field(
        default=None, max_length=100, description="Who said at the payer that it is there; a call names them."
    )
    numbers: tuple[PayerNumber, ...] = Field(default=(), max_length=5)


class LineDecided(Frozen):
    """What the payer decided about one line."""

    line: int = Field(ge=1, le=99)
    decision: Literal[Outcome.APPROVED, Outcome.PARTLY_APPROVED, Outcome.MODIFIED, Outcome.DENIED, Outcome.NOT_REQUIRED]
    number: Reference | None = Field(default=None, description="The authorization number of an approval.")
    number_type: Literal[NumberType.CERTIFICATION, NumberType.PROVISIONAL] = NumberType.CERTIFICATION
    valid_from: Day | None = None
    valid_to: Day | None = None
    units: int | None = Field(default=None, ge=0, le=9999)
    procedure: str | None = Field(default=None, max_length=20, description="The code approved, if it differs.")
    reasons: tuple[Reason, ...] = Field(default=(), max_length=10)

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        if self.decision not in {Outcome.DENIED, Outcome.NOT_REQUIRED} and not self.number:
            msg = "an approval needs the payer's authorization number"
            raise ValueError(msg)
        if self.decision is Outcome.DENIED and not self.reasons:
            msg = "a denial needs the payer's reasons, in a code or in words"
            raise ValueError(msg)
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            msg = "valid_to is before valid_from"
            raise ValueError(msg)
        return self


class Decided(Asked):
    """The payer decided, as a person read or heard it."""

    result: Literal["decided"] = "decided"
    lines: tuple[LineDecided, ...] = Field(min_length=1, max_length=25)
    via: Literal["person", "letter"] = Field(default="person", description="Told to a person, or written in a letter.")

    @model_validator(mode="after")
    def _each_line_once(self) -> Self:
        if len({said.line for said in self.lines}) != len(self.lines):
            msg = "a line is decided twice"
            raise ValueError(msg)
        return self


class StillPending(Asked):
    """The payer has the request and is not done."""

    result: Literal["still_pending"] = "still_pending"


class InformationAsked(Asked):
    """The payer has the request and wants to see more before it decides."""

    result: Literal["information_asked"] = "information_asked"
    what: tuple[Words, ...] = Field(min_length=1, max_length=10)
    due: Day | None = Field(default=None, description="By when the payer wants it.")


class NotThere(Asked):
    """The payer says that it has no such request: it may be sent anew."""

    result: Literal["not_there"] = "not_there"


class Resend(Form):
    """A new attempt: the order was corrected, or the payer wants a new request."""

    result: Literal["resend"] = "resend"
    reason: Words


class Update(Form):
    """The payer has the request and is to have it changed, as the order reads now."""

    result: Literal["update"] = "update"
    reason: Words


class InformationGiven(Form):
    """What the payer asked to see was sent, with a receipt."""

    result: Literal["information_sent"] = "information_sent"
    receipt: Receipt
    documents: tuple[DocumentRef, ...] = Field(default=(), max_length=10)


class OptionPicked(Form):
    """How to go on after a denial, or after an approval that differs from what was asked."""

    result: Literal["option_chosen"] = "option_chosen"
    option: Literal["peer_to_peer", "reconsideration", "appeal", "accept", "self_pay"]
    reason: Words


class Told(Form):
    """The patient or the provider was told."""

    result: Literal["told"] = "told"
    channel: Literal["message", "call", "letter"]
    reference: Words = Field(description="Who was spoken to and when, or the letter's or message's number.")


class Filed(Form):
    """It is in the chart, and was read back there."""

    result: Literal["filed"] = "filed"
    reference: Words = Field(description="Where in the chart it is found.")


class ResponsibilityEntered(Form):
    """What the patient will owe was entered for check-in, in cents; 0 is an amount."""

    result: Literal["responsibility_entered"] = "responsibility_entered"
    total_cents: int = Field(ge=0)
    reference: Words


class VisitArranged(Form):
    """What became of the visit."""

    result: Literal["visit"] = "visit"
    appointment: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Its id in the schedule.")
    starts_at: Moment
    status: AppointmentStatus = AppointmentStatus.BOOKED


class Withdrawn(Asked):
    """The payer confirmed that the request is taken back."""

    result: Literal["withdrawn"] = "withdrawn"


class TimeExtended(Asked):
    """The payer gave itself more time, with notice."""

    result: Literal["time_extended"] = "time_extended"
    until: Moment


class ChannelTrouble(Form):
    """How a way to the payer is: it does not let us in, or it works again. Handed in instead of a result."""

    result: Literal["channel_trouble"] = "channel_trouble"
    state: Literal["credentials", "second_factor", "down", "working"]
    rail: Literal["portal", "fax", "phone"] | None = Field(
        default=None, description="Which way, where not the one that the task names."
    )


class Acknowledged(Form):
    """Seen and acted on; the note says how."""

    result: Literal["acknowledged"] = "acknowledged"
    note: Annotated[str, Field(min_length=1, max_length=2000)]


TaskResult = Annotated[
    CoverageConfirmed
    | RequirementFound
    | ReferralFound
    | DocumentsAttached
    | QuestionnaireFilled
    | SendWithout
    | Submitted
    | Decided
    | StillPending
    | InformationAsked
    | NotThere
    | Resend
    | Update
    | InformationGiven
    | OptionPicked
    | Told
    | Filed
    | ResponsibilityEntered
    | VisitArranged
    | Withdrawn
    | TimeExtended
    | ChannelTrouble
    | Acknowledged,
    Field(discriminator="result"),
]
"""Any form, chosen by `result`."""


class ResultName(StrEnum):
    """The names of the forms."""

    COVERAGE_CONFIRMED = "coverage_confirmed"
    REQUIREMENT_DETERMINED = "requirement_determined"
    REFERRAL_OBTAINED = "referral_obtained"
    DOCUMENTS_ATTACHED = "documents_attached"
    QUESTIONNAIRE_FILLED = "questionnaire_filled"
    SEND_WITHOUT = "send_without"
    SUBMITTED = "submitted"
    DECIDED = "decided"
    STILL_PENDING = "still_pending"
    INFORMATION_ASKED = "information_asked"
    NOT_THERE = "not_there"
    RESEND = "resend"
    UPDATE = "update"
    INFORMATION_SENT = "information_sent"
    OPTION_CHOSEN = "option_chosen"
    TOLD = "told"
    FILED = "filed"
    RESPONSIBILITY_ENTERED = "responsibility_entered"
    VISIT = "visit"
    WITHDRAWN = "withdrawn"
    TIME_EXTENDED = "time_extended"
    CHANNEL_TROUBLE = "channel_trouble"
    ACKNOWLEDGED = "acknowledged"


_MODELS: dict[ResultName, type[Form]] = {
    ResultName(cls.model_fields["result"].default): cls
    for cls in (
        CoverageConfirmed, RequirementFound, ReferralFound, DocumentsAttached, QuestionnaireFilled, SendWithout,
        Submitted, Decided, StillPending, InformationAsked, NotThere, Resend, Update, InformationGiven, OptionPicked, Told, Filed,
        ResponsibilityEntered, VisitArranged, Withdrawn, TimeExtended, ChannelTrouble, Acknowledged,
    )
}  # fmt: skip

_ANY: TypeAdapter[Form] = TypeAdapter(TaskResult)


def read_result(data: object) -> Form:
    """The form that parsed JSON says. Raises `pydantic.ValidationError`."""
    return _ANY.validate_python(data)


def form_schema(name: ResultName) -> dict[str, Any]:
    """The JSON schema of a form, for whoever draws it."""
    return _MODELS[name].model_json_schema()
