"""What a payer's answer means, whatever the rail it came by. Codes stay verbatim beside their meaning."""

import hashlib
import re
from datetime import date
from enum import StrEnum

from pydantic import Field

from domain.base import Frozen, Sentence

_ROUND = str.maketrans("[]", "()")
_MARKUP = re.compile(r"[^\w .,:;'()&%+-]")
"""Whatever could be taken for markup or for a link's address."""


class Outcome(StrEnum):
    """What was decided about one line. X12 element 306 (HCR01) is its usual source; an unlisted code is `unknown`."""

    APPROVED = "approved"
    PARTLY_APPROVED = "partly_approved"
    MODIFIED = "modified"
    DENIED = "denied"
    PENDED = "pended"
    CANCELLED = "cancelled"
    CONTACT_PAYER = "contact_payer"
    NOT_REQUIRED = "not_required"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether the payer has said its last word on the line, for now."""
        return self not in {Outcome.PENDED, Outcome.CONTACT_PAYER, Outcome.UNKNOWN}

    @property
    def permits(self) -> bool:
        """Whether the visit may go ahead on it. Unknown never does; partial and modified are for a person to compare."""
        return self in {Outcome.APPROVED, Outcome.NOT_REQUIRED}


class NumberType(StrEnum):
    """What a payer's number is good for."""

    CERTIFICATION = "certification"
    """The authorization number: it goes on the claim."""
    ADMINISTRATIVE = "administrative"
    """The reference of a pend: never billable."""
    PROVISIONAL = "provisional"
    """Given by voice or for the time being, until it is written."""
    TRACE = "trace"
    """Our own, echoed."""
    TRANSACTION = "transaction"
    """The carrier's id of the exchange (a gateway's record, a fax): asks and proves, never billable."""
    REFERRAL = "referral"


class Number(Frozen):
    """A number with what it is good for."""

    type: NumberType
    value: str = Field(min_length=1, max_length=80)


class Reason(Frozen):
    """Why, as the payer codes and says it."""

    code: str | None = Field(default=None, max_length=30)
    system: str | None = Field(default=None, max_length=200)
    text: str | None = Field(default=None, max_length=1000)


class LineDecision(Frozen):
    """What was decided about one line of the request."""

    line: int = Field(description="The number of the service line that it speaks of; 0 where it is none of ours.")
    decision: Outcome
    code: str | None = Field(default=None, max_length=30, description="The payer's action code, verbatim.")
    numbers: tuple[Number, ...] = ()
    valid_from: date | None = None
    valid_to: date | None = None
    units: int | None = Field(default=None, description="Units authorized, where the payer says so.")
    procedure: str | None = Field(default=None, max_length=20, description="The code authorized, if it differs.")
    reasons: tuple[Reason, ...] = ()


class InformationAsk(Frozen):
    """Something that the payer wants to see before it decides."""

    what: tuple[Reason, ...] = Field(description="PWK01, LOINC or questionnaire codes, or the payer's words.")
    line: int | None = None
    control_number: str | None = Field(default=None, max_length=80, description="Echoed with what is sent.")
    context: str | None = Field(
        default=None, max_length=120, description="The context of the questionnaire that is to be filled."
    )
    due: date | None = None


def _plain(said: str, limit: int) -> str:
    """What comes from outside, fit to stand in a sentence of ours."""
    clean = " ".join(_MARKUP.sub(" ", said.translate(_ROUND)).split())
    return clean if len(clean) <= limit else f"{clean[: limit - 1]}…"


class AnswerError(Frozen):
    """Why a payer did not even take the request up (X12 AAA): nothing is decided."""

    code: str | None = Field(default=None, max_length=30)
    text: str | None = Field(
        default=None, max_length=1000, description="What is wrong: the payer's words, else ours for its code."
    )
    where: str | None = Field(default=None, max_length=300)
    follow_up: str | None = Field(default=None, max_length=30, description="AAA04, verbatim.")
    meaning: str | None = Field(
        default=None, max_length=200, description="What is wrong in our own words: quotes nobody."
    )
    remedy: str | None = Field(default=None, max_length=500, description="What to do about it: in our own words.")

    @property
    def sentence(self) -> str:
        """What is wrong, its code verbatim, and where, for a person: one line, without signs that mark text up."""
        said = _plain(self.text or "", 200).rstrip(".")
        code = _plain(self.code or "", 30)
        if said:
            what = f"{said} ({code})" if code else said
        else:
            what = f"code {code}, which Vigil does not know" if code else "without a reason"
        return f"{what}, at {where}" if (where := _plain(self.where or "", 200)) else what


class Result(StrEnum):
    """What kind of answer it is. Transport success is none of them."""

    DECIDED = "decided"
    """There is a decision, final or pended, for at least one line."""
    REJECTED = "rejected"
    """Nothing was decided: correct and resend."""
    NOT_FOUND = "not_found"
    """An inquiry that found nothing: indexing lag first."""
    UNREADABLE = "unreadable"
    """It could not be understood: a person sees the raw answer."""


class Ending(StrEnum):
    """How a payer ended a request without deciding it."""

    CLOSED = "closed"
    """For want of information, or of an answer."""
    VOIDED = "voided"
    """As if it had never been."""
    WITHDRAWN = "withdrawn"
    """By the payer's word somebody took it back."""


class Decision(Frozen):
    """A payer's answer as Vigil understands it."""

    result: Result
    lines: tuple[LineDecision, ...] = ()
    numbers: tuple[Number, ...] = Field(default=(), description="Those that speak of the whole request.")
    asks: tuple[InformationAsk, ...] = ()
    ending: Ending | None = Field(default=None, description="Set where the payer ended it without a decision.")
    errors: tuple[AnswerError, ...] = ()
    trace: str | None = Field(default=None, max_length=120, description="Our identifier of the request, echoed.")
    member_id: str | None = Field(default=None, max_length=80, description="Whom the answer is about, to be matched.")
    received: date | None = Field(default=None, description="The date that the payer gives the answer.")
    notes: tuple[Sentence, ...] = Field(default=(), description="What a person should know about how it was read.")

    @property
    def all_numbers(self) -> tuple[Number, ...]:
        """Every number in the answer, without repeats, in order."""
        return tuple(dict.fromkeys([*self.numbers, *(n for line in self.lines for n in line.numbers)]))


def unreadable(why: str) -> Decision:
    """An answer that nobody but a person can read."""
    return Decision(result=Result.UNREADABLE, notes=(why,))


def decision_source(track: str, attempt: int, decision: Decision) -> str:
    """The source id of a decision, made from what it says: told by two channels, it happened once."""
    said = decision.model_dump_json(exclude={"notes", "received", "trace", "member_id"})
    return f"decision:{track}:{attempt}:{hashlib.sha256(said.encode()).hexdigest()[:32]}"
