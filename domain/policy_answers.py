"""The rules about a payer's answers: what may be done about a denial, how long a number stands, and how numbers look."""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from domain.base import Key
from domain.calendars import Span
from domain.decision import NumberType
from domain.order import Urgency
from domain.policy_rules import Phone, Rail, Rule


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as wrong:
        msg = f"it is not a regular expression ({wrong}); correct it"
        raise ValueError(msg) from wrong
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]


class AppealKind(StrEnum):
    """What may be done about a denial."""

    PEER_TO_PEER = "peer_to_peer"
    RECONSIDERATION = "reconsideration"
    APPEAL = "appeal"
    EXTERNAL_REVIEW = "external_review"
    NEW_REQUEST = "new_request"


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
