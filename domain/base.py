"""What every model of the domain shares: frozen, strict, with aware instants."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


class Frozen(BaseModel):
    """A value: never changed, and refused when it says more than the model knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        msg = "an instant needs a UTC offset, as in 2026-03-02T14:00:00Z"
        raise ValueError(msg)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        msg = "an instant lies between the years 1 and 9999 in UTC"
        raise ValueError(msg) from None


Instant = Annotated[datetime, AfterValidator(_in_utc)]
"""A moment, kept in UTC. Local time is a matter of display and of calendars."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Sentence = Annotated[str, StringConstraints(max_length=1000)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Turn(StrEnum):
    """Whose turn it is: exactly one at any time."""

    VIGIL = "vigil"
    STAFF = "staff"
    PROVIDER = "provider"
    PATIENT = "patient"
    PAYER = "payer"
    FACILITY = "facility"
    OPERATOR = "operator"
    NOBODY = "nobody"
    """Only of a closed case."""


class Stage(StrEnum):
    """How far a case has come. The order of the members is the order of the job."""

    COVERAGE = "coverage"
    REQUIREMENT = "requirement"
    DOCUMENTS = "documents"
    SUBMISSION = "submission"
    DECISION = "decision"
    DENIED = "denied"
    INFORMING = "informing"
    WATCHING = "watching"
    CLOSED = "closed"

    @property
    def position(self) -> int:
        """The place in the job, from 0."""
        return list(Stage).index(self)
