"""What every model of the domain shares: frozen, strict, with aware instants."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError


class Frozen(BaseModel):
    """A value: never changed, and refused when it says more than the model knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


_WRITTEN = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _as_written(kind: str) -> Callable[[object], object]:
    """Refuse a number, also as text: it would be taken for seconds since 1970, which nobody means."""

    def check(value: object) -> object:
        if isinstance(value, int | float) or (isinstance(value, str) and not _WRITTEN.match(value)):
            raise PydanticCustomError(kind, "write the year, the month and the day, as in 2026-12-01")
        return value

    return check


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        msg = "an instant needs a UTC offset, as in 2026-03-02T14:00:00Z"
        raise ValueError(msg)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        msg = "an instant lies between the years 1 and 9999 in UTC"
        raise ValueError(msg) from None


Instant = Annotated[datetime, BeforeValidator(_as_written("datetime_parsing")), AfterValidator(_in_utc)]
"""A moment, kept in UTC. Local time is a matter of display and of calendars."""

Day = Annotated[date, BeforeValidator(_as_written("date_parsing"))]
"""A calendar day, as people and systems write it."""

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
