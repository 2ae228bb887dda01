"""How a channel is, as rules: when it is down for maintenance, and when it counts as out of order."""

from enum import StrEnum

from pydantic import ConfigDict, Field

from domain.base import Frozen
from domain.calendars import LocalTime, Span, Weekly


class Weekday(StrEnum):
    """The days of the week, Monday first."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class Maintenance(Frozen):
    """When a channel is down every week, in the payer's local time; it may reach into the next day."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    days: tuple[Weekday, ...] = Field(min_length=1)
    since: LocalTime = Field(alias="from")
    until: LocalTime

    @property
    def window(self) -> Weekly:
        """The window as calendars count it."""
        return Weekly(frozenset(list(Weekday).index(day) for day in self.days), self.since, self.until)


class BreakerRule(Frozen):
    """When a channel counts as out of order: so many failures in a row; and how long until one request tries it again."""

    failures: int = Field(ge=1, le=100)
    open_for: Span
