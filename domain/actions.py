"""What Vigil can do by itself. The plan asks for actions; the workflow schedules an activity by the action's kind.

An action carries all that its activity needs. Its key is made from its cause and attempt, never from the time.
"""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import Field

from domain.base import Frozen, Instant, Key
from domain.decision import InformationAsk, Number
from domain.order import Coverage, DocumentRef, Order
from domain.policy import PolicySlice
from domain.request import Request


class Action(Frozen):
    """What every action says: which, for whom, of which case, at which moment of the case's own time."""

    kind: str
    key: Key
    practice: Key
    case_id: Key
    now: Instant = Field(description="The case's time when the plan asked for it.")
    track: str | None = None

    single_shot: ClassVar[bool] = False
    """Tried once: after a failure nobody knows, the plan searches before it tries again."""
    patience: ClassVar[timedelta] = timedelta(minutes=5)
    """How long the activity may take with all its tries; at most ten minutes."""

    @property
    def payer(self) -> str | None:
        """The payer whose limits it counts against, if it goes to a payer."""
        return None

    @property
    def counterpart(self) -> str | None:
        """Who bears the load where it goes to a payer: `via-<carrier>`, or `payer-<payer>` where nobody is between."""
        return f"payer-{self.payer}" if self.payer else None

    @property
    def summary(self) -> str:
        """What a reader of the history sees."""
        return self.kind.replace("_", " ").capitalize()


class PinPolicy(Action):
    """Look up the payer's released rules and take the slice that decides this order."""

    kind: Literal["pin_policy"] = "pin_policy"
    payer_id: Key
    order: Order

    @property
    def summary(self) -> str:
        return f"Take the rules of {self.payer_id} that decide this order"


class VerifyCoverage(Action):
    """Ask whether the insurance holds and what it pays."""

    kind: Literal["verify_coverage"] = "verify_coverage"
    order: Order
    rank: int
    eligibility_payer: str | None = Field(default=None, description="The payer's id at the eligibility service.")

    @property
    def coverage(self) -> Coverage:
        """The coverage that is asked about."""
        return self.order.coverage(self.rank)

    @property
    def summary(self) -> str:
        return f"Ask {self.coverage.payer} whether coverage {self.rank} is active"


class GatherDocuments(Action):
    """Search the chart for what the payer wants to see."""

    kind: Literal["gather_documents"] = "gather_documents"
    patient_id: Key
    wanted: tuple[str, ...]

    @property
    def summary(self) -> str:
        return "Look in the chart for: " + ", ".join(self.wanted)


class _Asked(Action):
    """What goes to a payer by the rail of a request."""

    request: Request
    policy: PolicySlice

    @property
    def payer(self) -> str:
        return self.request.payer

    @property
    def counterpart(self) -> str:
        via = next((one.via for one in self.policy.channels if one.rail == self.request.rail), None)
        return f"via-{via}" if via else f"payer-{self.payer}"


class SubmitRequest(_Asked):
    """Search for the request at the payer, and create it once if it is not there."""

    kind: Literal["submit_request"] = "submit_request"
    single_shot: ClassVar[bool] = True
    patience: ClassVar[timedelta] = timedelta(seconds=150)

    @property
    def summary(self) -> str:
        return f"Submit request {self.request.attempt} to {self.payer} by {self.request.rail}"


class InquireStatus(_Asked):
    """Ask the payer how the request stands."""

    kind: Literal["inquire_status"] = "inquire_status"
    numbers: tuple[Number, ...] = ()
    why: str = Field(max_length=200)

    @property
    def summary(self) -> str:
        return f"Ask {self.payer} how request {self.request.attempt} stands: {self.why}"


class WithdrawRequest(_Asked):
    """Cancel the request at the payer."""

    kind: Literal["withdraw_request"] = "withdraw_request"
    numbers: tuple[Number, ...] = ()
    single_shot: ClassVar[bool] = True
    patience: ClassVar[timedelta] = timedelta(seconds=150)

    @property
    def summary(self) -> str:
        return f"Withdraw request {self.request.attempt} at {self.payer}"


class SendInformation(_Asked):
    """Send the payer what it asked to see, once, on the rail that it asked by."""

    kind: Literal["send_information"] = "send_information"
    asks: tuple[InformationAsk, ...] = Field(description="What the payer asks for; empty for what goes unasked.")
    documents: tuple[DocumentRef, ...] = Field(min_length=1)
    numbers: tuple[Number, ...] = ()
    single_shot: ClassVar[bool] = True
    patience: ClassVar[timedelta] = timedelta(seconds=150)

    @property
    def summary(self) -> str:
        return f"Send {self.payer} what it asked to see ({len(self.documents)})"


class AskRequirement(Action):
    """Ask the payer's own rules what it covers and needs for this order (CRD)."""

    kind: Literal["ask_requirement"] = "ask_requirement"
    hook: Literal["order-sign", "order-dispatch", "appointment-book"]
    order: Order
    rank: int
    policy: PolicySlice

    @property
    def payer(self) -> str:
        return self.policy.payer

    @property
    def summary(self) -> str:
        return f"Ask {self.payer} what it covers and needs ({self.hook})"


class FetchQuestionnaire(Action):
    """Fetch a payer's form with what the chart can fill in (DTR)."""

    kind: Literal["fetch_questionnaire"] = "fetch_questionnaire"
    order: Order
    rank: int
    policy: PolicySlice
    questionnaire: Key | None = Field(default=None, description="Its canonical URL, where the payer named it.")
    context: str | None = Field(default=None, max_length=120, description="The payer's context of it.")
    lines: tuple[int, ...] = ()

    @property
    def payer(self) -> str:
        return self.policy.payer

    @property
    def summary(self) -> str:
        return f"Fetch the form that {self.payer} wants filled in"


class PreparePacket(Action):
    """Make the PDF that a person sends: cover sheet, request form, order, documents, with page numbers."""

    kind: Literal["prepare_packet"] = "prepare_packet"
    request: Request
    policy: PolicySlice

    @property
    def summary(self) -> str:
        return f"Prepare the packet for {self.request.payer}"


class AskAccess(Action):
    """Ask what was reported last of a payer's way for people, in any of the practice's cases."""

    kind: Literal["ask_access"] = "ask_access"
    payer_id: Key
    rail: Key
    known: Key = Field(description="How it is known to be in this case.")
    since: Instant = Field(description="When that was reported; only what is later is news.")

    @property
    def summary(self) -> str:
        return f"Ask whether the {self.rail} of {self.payer_id} lets us in again"


class NotifyPatient(Action):
    """Tell the patient, once. The text names no health information; details wait behind a login."""

    kind: Literal["notify_patient"] = "notify_patient"
    message: Literal[
        "approved", "not_required", "delayed", "denied", "partly_approved", "not_obtained_before_visit", "cancelled"
    ]
    cause: str = Field(description="The `ref` of the fact that it is about.")
    order: Order

    @property
    def summary(self) -> str:
        return f"Tell the patient: {self.message.replace('_', ' ')}"


class NotifyProvider(Action):
    """Tell the ordering provider in the chart system, once."""

    kind: Literal["notify_provider"] = "notify_provider"
    message: Literal["denied", "partly_approved", "modified", "visit_at_risk"]
    cause: str = Field(description="The `ref` of the fact that it is about.")
    order: Order
    title: str = Field(max_length=200)
    lines: tuple[str, ...]

    @property
    def summary(self) -> str:
        return f"Tell the ordering provider: {self.message.replace('_', ' ')}"


class DocumentInChart(Action):
    """File an event of the case in the chart once, and read it back."""

    kind: Literal["document_in_chart"] = "document_in_chart"
    entry: Key
    cause: str = Field(description="The `ref` of the fact that it is about.")
    patient_id: Key
    title: str = Field(max_length=200)
    lines: tuple[str, ...] = Field(description="The text, a paragraph each.")

    @property
    def summary(self) -> str:
        return f"File in the chart: {self.entry.replace('_', ' ')}"


class PostResponsibility(Action):
    """Post what the patient will owe for check-in, and read it back. Cents."""

    kind: Literal["post_responsibility"] = "post_responsibility"
    cause: str = Field(description="The `ref` of the fact that it is about.")
    patient_id: Key
    visit_id: str | None
    visit_on: date
    copay_cents: int | None
    deductible_cents: int | None
    coinsurance_cents: int | None
    as_of: Instant

    @property
    def summary(self) -> str:
        return "Post the patient's responsibility for check-in"


class ReadAppointment(Action):
    """Look in the schedule whether the visit stands."""

    kind: Literal["read_appointment"] = "read_appointment"
    appointment_id: str | None
    patient_id: Key
    service_from: date

    @property
    def summary(self) -> str:
        return "Look in the schedule whether the visit stands"


KNOWN: tuple[type[Action], ...] = (
    PinPolicy, VerifyCoverage, GatherDocuments, SubmitRequest, InquireStatus, WithdrawRequest,
    SendInformation, AskRequirement, FetchQuestionnaire, PreparePacket, AskAccess, NotifyPatient,
    NotifyProvider, DocumentInChart, PostResponsibility, ReadAppointment,
)  # fmt: skip

if TYPE_CHECKING:
    AnyAction = Action
else:
    AnyAction = Annotated[Union[KNOWN], Field(discriminator="kind")]  # noqa: UP007 - built from the list above
"""Any action, chosen by its kind."""

__all__ = ["KNOWN", "Action", "AnyAction", *(cls.__name__ for cls in KNOWN)]  # noqa: PLE0604
