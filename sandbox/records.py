"""What the sandbox remembers, as pydantic models: one `Practice` holds everything that its counterparts know about it.

Wire objects whose shape belongs to somebody else (FHIR, NextGen, Luma) are kept as the JSON that was sent or planted.
"""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from sandbox.asked import Asked

Json = dict[str, Any]
FaultKind = Literal[
    "slow", "429", "500", "503", "lost", "html", "truncated", "duplicate_callback", "lost_callback", "reorder"
]
NotificationContent = Literal["full-resource", "id-only", "claim-response"]


class FaultRule(BaseModel):
    """A switched fault: applies to the next `times` requests of `system` whose "METHOD /path" matches `route`.

    With `until` it applies to all of them instead, until the practice's clock has reached that instant.
    """

    system: str = "*"
    route: str = ""
    fault: FaultKind
    times: int = Field(default=1, ge=1, le=10_000)
    seconds: float = Field(default=20.0, ge=0, le=120)
    retry_after: int = Field(default=1, ge=0, le=600)
    until: AwareDatetime | None = None


class Received(BaseModel):
    """One request that reached a system. `ids` name what it was about; never names, dates of birth or diagnoses."""

    n: int
    system: str
    method: str
    path: str
    at: datetime
    status: int
    fault: str | None = None
    ids: dict[str, str] = Field(default_factory=dict)


class LineDecision(BaseModel):
    """What the payer says about one item. `action` is HCR01 (X12 306), `reasons` are HCR03 (X12 886)."""

    sequence: int
    action: str
    reasons: list[str] = Field(default_factory=list)
    number: str | None = None
    note: str | None = None
    quantity: float | None = None
    start: date | None = None
    end: date | None = None
    added: bool = False


class PayerError(BaseModel):
    """An AAA rejection: nothing was decided. `code` is X12 901, `follow_up` X12 889."""

    code: str
    follow_up: str
    path: str


class Revision(BaseModel):
    """The state of a request from `at` on. The payer's answer is always the last revision that has come."""

    at: datetime
    lines: list[LineDecision] = Field(default_factory=list)
    errors: list[PayerError] = Field(default_factory=list)
    asks_for: str | None = None
    notify: bool = False


class PriorRequest(BaseModel):
    """A prior-authorization request that a payer holds."""

    payer: str
    claim_identifier: str
    bundle_identifier: str
    digest: str
    member_id: str
    requestor_npi: str
    scenario: str
    service_key: str
    received_at: datetime
    administrative_number: str
    bundle: Json
    revisions: list[Revision]
    versions: list[str] = Field(default_factory=list)
    duplicate_submits: int = 0

    def at(self, now: datetime) -> Revision:
        """The revision in force at `now`."""
        return [revision for revision in self.revisions if revision.at <= now or revision is self.revisions[0]][-1]


class HeldReview(BaseModel):
    """A request that a payer holds by a rail other than PAS, as it was understood last.

    `traces` are those of the request and of its updates. `wire` is what that rail keeps.
    """

    payer: str
    rail: str
    asked: Asked
    scenario: str
    received_at: datetime
    administrative_number: str
    revisions: list[Revision]
    duplicate_submits: int = 0
    traces: list[str] = Field(default_factory=list)
    wire: dict[str, str] = Field(default_factory=dict)

    def at(self, now: datetime) -> Revision:
        """The revision in force at `now`."""
        return [revision for revision in self.revisions if revision.at <= now or revision is self.revisions[0]][-1]


class Mail(BaseModel):
    """What a clearinghouse has for a practice to pick up from `due` on: ready-made X12, or a request's state as of then.

    `payload_id` is the submission that it belongs to, `reference` the request's administrative number, `taken_by` the
    pickup that got it out of the open mailbox.
    """

    payload_id: str
    due: datetime
    x12: str = ""
    payer_code: str = ""
    reference: str = ""
    as_of: datetime | None = None
    taken_by: str = ""


class Clearinghouse(BaseModel):
    """What a clearinghouse knows of a practice. `controls` are ISA06 and ISA13 of what was opened, `batches` digests."""

    controls: list[str] = Field(default_factory=list)
    batches: dict[str, str] = Field(default_factory=dict)
    mail: list[Mail] = Field(default_factory=list)


class PayerSubscription(BaseModel):
    """A practice's subscription at a payer, with the endpoint and the shared secret of its channel."""

    id: str
    payer: str
    endpoint: str
    secret: str
    status: Literal["requested", "active", "error", "off"]
    resource: Json
    events: int = 0
    heartbeat_seconds: int | None = None
    sent_at: datetime | None = None


class Notification(BaseModel):
    """A notification that is due at `due` on the practice's clock, and what became of it."""

    id: str
    payer: str
    claim_identifier: str
    due: datetime
    as_of: datetime
    state: Literal["due", "delivered", "lost", "failed"] = "due"
    event_number: int | None = None
    attempts: int = 0
    statuses: list[int] = Field(default_factory=list)


class Ehr(BaseModel):
    """What NextGen holds for the practice: REST objects by id, and FHIR resources by type and id."""

    persons: dict[str, Json] = Field(default_factory=dict)
    insurances: dict[str, list[Json]] = Field(default_factory=dict)
    appointments: dict[str, Json] = Field(default_factory=dict)
    documents: dict[str, Json] = Field(default_factory=dict)
    tasks: dict[str, Json] = Field(default_factory=dict)
    locked_encounters: list[str] = Field(default_factory=list)
    denied_routes: list[str] = Field(default_factory=list)
    fhir: dict[str, dict[str, Json]] = Field(default_factory=dict)


class Messaging(BaseModel):
    """What Luma holds: patients and messages by their 24-hex ids."""

    patients: dict[str, Json] = Field(default_factory=dict)
    messages: dict[str, Json] = Field(default_factory=dict)


class PracticeSettings(BaseModel):
    """Switches that last until changed or reset; times are in seconds of the practice's clock unless said otherwise."""

    slow_wall_seconds: float = Field(default=20.0, ge=0, le=120)
    index_lag_seconds: int = Field(default=0, ge=0)
    delivery_lag_seconds: int = Field(default=60, ge=0)
    notification_content: dict[str, NotificationContent] = Field(default_factory=dict)
    heartbeats: bool = True
    fax_seconds: int = Field(default=120, ge=0)
    direct_seconds: int = Field(default=90, ge=0)
    clearwave_secret: str = Field(default="sandbox-secret", min_length=1)


class Practice(BaseModel):
    """Everything that the simulated world knows about one practice."""

    id: str
    clock_offset: float | None = None
    token_generation: int = 0
    settings: PracticeSettings = Field(default_factory=PracticeSettings)
    faults: list[FaultRule] = Field(default_factory=list)
    received: list[Received] = Field(default_factory=list)
    attempts: dict[str, int] = Field(default_factory=dict)
    duplicate_submits: int = 0
    requests: list[PriorRequest] = Field(default_factory=list)
    reviews: list[HeldReview] = Field(default_factory=list)
    clearinghouse: Clearinghouse = Field(default_factory=Clearinghouse)
    attachments: list[Json] = Field(default_factory=list)
    subscriptions: list[PayerSubscription] = Field(default_factory=list)
    notifications: list[Notification] = Field(default_factory=list)
    ehr: Ehr = Field(default_factory=Ehr)
    messaging: Messaging = Field(default_factory=Messaging)
    drops: dict[str, Json] = Field(default_factory=dict)
    faxes: dict[str, Json] = Field(default_factory=dict)
    direct: dict[str, Json] = Field(default_factory=dict)
