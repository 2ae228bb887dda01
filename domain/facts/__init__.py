"""Everything that can happen to a case, in the past tense. A fact is never changed, only followed by another.

Each fact names its `kind` and the version `v` of its shape. A kind or a version that this release does not know is
kept whole as an `UnknownFact` and becomes a person's task.
"""

from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Discriminator, Field, Tag, TypeAdapter

from domain.facts.envelope import MAX_CASE_BYTES, MAX_FACT_BYTES, Fact, Reference
from domain.facts.knowledge import (
    Benefits,
    CoverageInformationReceived,
    CoverageStatus,
    CoverageVerified,
    DocumentAdded,
    DocumentsGathered,
    HousePinned,
    LineInformation,
    LineRequirement,
    PolicyMissing,
    PolicyPinned,
    QuestionnaireAnswered,
    QuestionnaireReceived,
    RequirementDetermined,
)
from domain.facts.order import (
    AppointmentChanged,
    CallLogged,
    CaseClosed,
    FactRetracted,
    NoteAdded,
    OrderCancelled,
    OrderChanged,
    OrderReceived,
)
from domain.facts.own import ActionBegun, ActionEnded, ClockBreached, ClockExtended, Failure, PlanFailed
from domain.facts.request import (
    HEARD,
    AnswerNotUnderstood,
    ChannelReported,
    DecisionReceived,
    InformationSent,
    NewAttemptOrdered,
    NotificationClaimed,
    OptionChosen,
    PacketPrepared,
    Receipt,
    ReferralObtained,
    RequestEnded,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    StatusInquired,
)
from domain.facts.telling import ChartDocumented, PatientNotified, ProviderNotified, ResponsibilityPosted
from domain.facts.unknown import UnknownFact
from domain.facts.work import TaskClaimed, TaskCompleted, TaskKind, TaskOpened, TaskReleased, TaskWithdrawn

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
    HousePinned,
    CoverageVerified,
    RequirementDetermined,
    CoverageInformationReceived,
    QuestionnaireReceived,
    QuestionnaireAnswered,
    DocumentsGathered,
    DocumentAdded,
    RequestSubmitted,
    RequestRejected,
    DecisionReceived,
    StatusInquired,
    AnswerNotUnderstood,
    NotificationClaimed,
    RequestWithdrawn,
    RequestEnded,
    PacketPrepared,
    ChannelReported,
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
    _NOT_KNOWN = {"not": {"properties": {"kind": {"enum": sorted(_BY_KIND)}, "v": {"const": 1}}}}
    """What tells a fact of an unknown kind from all others, for readers of the JSON schema."""
    _UNKNOWN = Annotated[UnknownFact, Tag("unknown"), Field(json_schema_extra=_NOT_KNOWN)]
    AnyFact = Annotated[
        Union[(*(Annotated[cls, Tag(kind)] for kind, cls in _BY_KIND.items()), _UNKNOWN)], Discriminator(_tag)
    ]
"""Any fact, chosen by its kind and version."""

_ONE: TypeAdapter[Fact] = TypeAdapter(AnyFact)


def read_fact(data: bytes | str) -> Fact:
    """The fact that a JSON text says. Unknown kinds are kept. Raises `pydantic.ValidationError` on a broken one."""
    return _ONE.validate_json(data)


def write_fact(fact: Fact) -> bytes:
    """The JSON text of a fact, without what it does not say."""
    return _ONE.dump_json(fact, exclude_none=not isinstance(fact, UnknownFact))


__all__ = [
    "HEARD",
    "KNOWN",
    "MAX_CASE_BYTES",
    "MAX_FACT_BYTES",
    "ActionBegun",
    "ActionEnded",
    "AnswerNotUnderstood",
    "AnyFact",
    "AppointmentChanged",
    "Benefits",
    "CallLogged",
    "CaseClosed",
    "ChannelReported",
    "ChartDocumented",
    "ClockBreached",
    "ClockExtended",
    "CoverageInformationReceived",
    "CoverageStatus",
    "CoverageVerified",
    "DecisionReceived",
    "DocumentAdded",
    "DocumentsGathered",
    "Fact",
    "FactRetracted",
    "Failure",
    "HousePinned",
    "InformationSent",
    "LineInformation",
    "LineRequirement",
    "NewAttemptOrdered",
    "NoteAdded",
    "NotificationClaimed",
    "OptionChosen",
    "OrderCancelled",
    "OrderChanged",
    "OrderReceived",
    "PacketPrepared",
    "PatientNotified",
    "PlanFailed",
    "PolicyMissing",
    "PolicyPinned",
    "ProviderNotified",
    "QuestionnaireAnswered",
    "QuestionnaireReceived",
    "Receipt",
    "Reference",
    "ReferralObtained",
    "RequestEnded",
    "RequestRejected",
    "RequestSubmitted",
    "RequestWithdrawn",
    "RequirementDetermined",
    "ResponsibilityPosted",
    "StatusInquired",
    "TaskClaimed",
    "TaskCompleted",
    "TaskKind",
    "TaskOpened",
    "TaskReleased",
    "TaskWithdrawn",
    "UnknownFact",
    "read_fact",
    "write_fact",
]
