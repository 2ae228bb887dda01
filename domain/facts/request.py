"""The request to the payer, and its answers."""

from datetime import date
from typing import Literal

from pydantic import Field

from domain.base import Frozen, Key, Sentence
from domain.decision import AnswerError, Decision, Ending, Number, Reason
from domain.facts.envelope import Fact
from domain.order import DocumentRef


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


class RequestEnded(Fact):
    """The payer ended the request without deciding it: closed, voided, or withdrawn by its own word."""

    kind: Literal["request_ended"] = "request_ended"
    attempt: int = Field(ge=1)
    rail: Key
    ending: Ending
    reasons: tuple[Reason, ...] = Field(default=(), max_length=10)
    raw: DocumentRef | None = None


class PacketPrepared(Fact):
    """What a person, or a fax machine, sends: cover sheet, form, order and documents as one PDF."""

    kind: Literal["packet_prepared"] = "packet_prepared"
    attempt: int = Field(ge=1)
    packet: DocumentRef
    pages: int = Field(ge=1)


HEARD = "system:access"
"""Who tells a case what was reported in another one."""


class ChannelReported(Fact):
    """A person said how a channel is: it works again, or credentials, a second factor or the system itself fail.

    Said in this case, or in another of the practice (`by` is `HEARD` then).
    """

    kind: Literal["channel_reported"] = "channel_reported"
    payer: Key
    rail: Key
    state: Literal["working", "credentials", "second_factor", "down"]

    @property
    def is_heard(self) -> bool:
        """Whether it was reported in another case."""
        return self.by == HEARD


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
    update: bool = Field(
        default=False, description="It changes the request that the payer has, which is not taken back."
    )


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
