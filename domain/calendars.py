"""Calendars: which days count, in which time zone, and where a span of time ends. Not for clocks: see `domain.clocks`.

How a span is counted, everywhere in Vigil:

* *seconds*, *minutes* and *hours* are elapsed time, exact through weekends, holidays and changes of daylight saving time.
* *days* are local days. On a calendar of kind `business_days` only open days count; on one of kind `hours` a day is
  24 hours.
* *business days* are open days: Monday to Friday without the holidays of the United States' federal government (by the
  `holidays` library, observed days included) and without the payer's own dates.
* The day of the start is day 0. A start on a closed day counts as the end of the open day before it.
* A calendar with a cut-off takes what comes after it, or on a closed day, as received on the next open day. This is for
  spans in days, never for hours.
* Spans in days end at 23:59:59 local time of the last day (`end_of_day`, the default) or at the local time of the start
  (`same_time`).
* A local time that the change to daylight saving skips becomes the instant of the change; a start in the hour that is
  repeated in autumn counts as the end of that hour. So a later start never has an earlier end.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import holidays
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    model_serializer,
    model_validator,
)

from domain.base import Frozen

_LAST_SECOND = time(23, 59, 59)
_LAST_TICK = time(23, 59, 59, 999_999)
_SATURDAY = 5
_WEEK = 7
_SPAN = re.compile(r"(?P<amount>\d{1,4}) (?P<unit>second|minute|hour|day|business day)s?")


class Unit(StrEnum):
    """What a span is counted in."""

    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    BUSINESS_DAYS = "business_days"


class Kind(StrEnum):
    """Which days a calendar counts when a rule says just "days"."""

    CALENDAR_DAYS = "calendar_days"
    BUSINESS_DAYS = "business_days"
    HOURS = "hours"


class Ends(StrEnum):
    """When on its last day a span in days is over."""

    END_OF_DAY = "end_of_day"
    SAME_TIME = "same_time"


class Span(Frozen):
    """An amount of time as rules state it: "30 minutes", "72 hours", "7 days", "3 business days". Kept as that text."""

    amount: int = Field(ge=1, le=9999)
    unit: Unit

    @model_validator(mode="wrap")
    @classmethod
    def _from_text(cls, value: Any, handler: ModelWrapValidatorHandler["Span"]) -> "Span":
        if isinstance(value, str):
            found = _SPAN.fullmatch(value.strip().replace("_", " "))
            if found is None:
                msg = 'a span is an amount and a unit, as in "72 hours", "7 days" or "3 business days"'
                raise ValueError(msg)
            value = {"amount": int(found["amount"]), "unit": found["unit"].replace(" ", "_") + "s"}
        return handler(value)

    @model_serializer
    def _to_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        words = self.unit.value.replace("_", " ")
        return f"{self.amount} {words.removesuffix('s') if self.amount == 1 else words}"

    @classmethod
    def parse(cls, text: str) -> "Span":
        """Read a span from a rule's words.

        Raises `pydantic.ValidationError` (a `ValueError`) where the text is no span of at least one unit.
        """
        return cls.model_validate(text)


def _quoted(value: Any) -> Any:
    if isinstance(value, int | float):
        msg = 'write a time of day in quotes, as in "17:00": YAML reads it as a number otherwise'
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns a ValueError into a named field's error
    return value


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as unknown:
        msg = f'"{value}" is not an IANA time zone; write one such as "America/New_York"'
        raise ValueError(msg) from unknown
    return value


LocalTime = Annotated[time, BeforeValidator(_quoted)]
"""A time of day on a calendar's own clock."""

TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""The IANA name of a time zone."""


class Calendar(Frozen):
    """Which days and hours count for one payer or practice."""

    kind: Kind = Kind.CALENDAR_DAYS
    time_zone: TimeZone
    extra_holidays: tuple[date, ...] = Field(default=(), description="Closed days beside the federal holidays.")
    cut_off: LocalTime | None = Field(default=None, description="What comes later counts from the next open day.")
    opens: LocalTime = time(8, 0)
    closes: LocalTime = time(17, 0)
    ends: Ends = Ends.END_OF_DAY

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> "Calendar":
        if self.opens >= self.closes:
            msg = "opens must be earlier than closes"
            raise ValueError(msg)
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone itself."""
        return ZoneInfo(self.time_zone)

    def is_open(self, day: date) -> bool:
        """Whether the local day is a business day."""
        return day.weekday() < _SATURDAY and day not in _federal_holidays(day.year) and day not in self.extra_holidays

    def local_date(self, instant: datetime) -> date:
        """Return the local day at an instant."""
        return instant.astimezone(self.zone).date()


@lru_cache(maxsize=128)
def _federal_holidays(year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("US", years=year))


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    local = instant.astimezone(zone)
    wall = local.replace(tzinfo=None)
    if local.fold:
        full_hour = wall.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return min(full_hour, datetime.combine(wall.date(), _LAST_TICK))
    return wall


def _instant(day: date, at: time, zone: ZoneInfo, *, last: bool = False) -> datetime:
    """Turn local time into UTC. Time zones change on the full hour, so a skipped time is cut back to it."""
    wall = datetime.combine(day, at)
    instant = wall.replace(tzinfo=zone, fold=int(last)).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != wall:
        return wall.replace(minute=0, second=0, microsecond=0, tzinfo=zone, fold=0).astimezone(UTC)
    return instant


def _end(day: date, at: time, calendar: Calendar) -> datetime:
    if calendar.ends is Ends.END_OF_DAY:
        return _instant(day, _LAST_SECOND, calendar.zone, last=True)
    return _instant(day, at, calendar.zone)


def _step(day: date, calendar: Calendar, direction: int) -> date:
    """Find the nearest open day strictly before (-1) or after (+1) a day."""
    day += timedelta(days=direction)
    while not calendar.is_open(day):
        day += timedelta(days=direction)
    return day


def elapsed(span: Span, calendar: Calendar) -> timedelta | None:
    """How much exact time a span is on a calendar, or None where it is counted in local days."""
    match span.unit:
        case Unit.SECONDS:
            return timedelta(seconds=span.amount)
        case Unit.MINUTES:
            return timedelta(minutes=span.amount)
        case Unit.HOURS:
            return timedelta(hours=span.amount)
        case Unit.DAYS if calendar.kind is Kind.HOURS:
            return timedelta(days=span.amount)
        case _:
            return None


def counts_open_days(span: Span, calendar: Calendar) -> bool:
    """Whether only business days count towards a span on a calendar."""
    return span.unit is Unit.BUSINESS_DAYS or (span.unit is Unit.DAYS and calendar.kind is Kind.BUSINESS_DAYS)


def _forward(wall: datetime, span: Span, calendar: Calendar) -> datetime:
    day, at = wall.date(), wall.time()
    if not counts_open_days(span, calendar):
        return _end(day + timedelta(days=span.amount), at, calendar)
    if not calendar.is_open(day):
        day, at = _step(day, calendar, -1), _LAST_SECOND
    for _ in range(span.amount):
        day = _step(day, calendar, +1)
    return _end(day, at, calendar)


def add(start: datetime, span: Span, calendar: Calendar) -> datetime:
    """Return when a span is over that starts with something received (UTC in, UTC out).

    The calendar's cut-off applies.
    """
    exact = elapsed(span, calendar)
    if exact is not None:
        return start.astimezone(UTC) + exact
    wall = _wall(start, calendar.zone)
    if calendar.cut_off and (not calendar.is_open(wall.date()) or wall.time() > calendar.cut_off):
        wall = datetime.combine(_step(wall.date(), calendar, +1), time(0, 0))
    return _forward(wall, span, calendar)


def shift(moment: datetime, span: Span, calendar: Calendar) -> datetime:
    """Move a moment, such as a due date, later by a span (UTC in, UTC out). Nothing is received: no cut-off applies."""
    exact = elapsed(span, calendar)
    if exact is not None:
        return moment.astimezone(UTC) + exact
    return _forward(_wall(moment, calendar.zone), span, calendar)


def subtract(end: datetime, span: Span, calendar: Calendar) -> datetime:
    """Return the last moment a span before something, as in "3 business days before the visit" (UTC in, UTC out).

    An end on a closed day counts as the beginning of the next open day: the business day before a Saturday is Friday.
    """
    exact = elapsed(span, calendar)
    if exact is not None:
        return end.astimezone(UTC) - exact
    wall = _wall(end, calendar.zone)
    day, at = wall.date(), wall.time()
    if not counts_open_days(span, calendar):
        return _end(day - timedelta(days=span.amount), at, calendar)
    if not calendar.is_open(day):
        day, at = _step(day, calendar, +1), time(0, 0)
    for _ in range(span.amount):
        day = _step(day, calendar, -1)
    return _end(day, at, calendar)


def business_days_between(start: datetime, end: datetime, calendar: Calendar) -> int:
    """How many open days follow the local day of `start`, up to and with that of `end`; negative if it is earlier."""
    first, last = calendar.local_date(start), calendar.local_date(end)
    if last < first:
        return -business_days_between(end, start, calendar)
    return sum(calendar.is_open(first + timedelta(days=n)) for n in range(1, (last - first).days + 1))


def next_open(instant: datetime, calendar: Calendar) -> datetime:
    """Return the instant itself if somebody is there, else when they open next (UTC).

    A calendar of kind `hours` never closes.
    """
    wall = instant.astimezone(calendar.zone).replace(tzinfo=None)
    day = wall.date()
    if calendar.kind is Kind.HOURS or (calendar.is_open(day) and calendar.opens <= wall.time() < calendar.closes):
        return instant.astimezone(UTC)
    if not calendar.is_open(day) or wall.time() >= calendar.closes:
        day = _step(day, calendar, +1)
    return _instant(day, calendar.opens, calendar.zone)


@dataclass(frozen=True)
class Weekly:
    """Hours that come back every week, in local time: on days counted from Monday, 0; they may reach into the next day."""

    days: frozenset[int]
    begins: time
    ends: time


def weekly_until(now: datetime, windows: Iterable[Weekly], zone: ZoneInfo) -> datetime | None:
    """When the weekly hours that `now` lies in are over (UTC), windows that follow one another included; else None."""
    until = now
    for _ in range(_WEEK):
        ends = max((end for window in windows if (end := _ends_of(until, window, zone)) is not None), default=until)
        if ends <= until:
            break
        until = ends
    return until if until > now else None


def _ends_of(now: datetime, window: Weekly, zone: ZoneInfo) -> datetime | None:
    today = now.astimezone(zone).date()
    for day in (today, today - timedelta(days=1)):
        last = day if window.begins < window.ends else day + timedelta(days=1)
        begins, ends = _instant(day, window.begins, zone), _instant(last, window.ends, zone)
        if day.weekday() in window.days and begins <= now < ends:
            return ends
    return None


def quiet_until(now: datetime, begins: time, ends: time, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours that `now` lies in are over (UTC); None outside them. They may span midnight."""
    local = now.astimezone(zone)
    at = local.time().replace(tzinfo=None)
    quiet = begins <= at < ends if begins <= ends else at >= begins or at < ends
    if not quiet:
        return None
    day = local.date() if at < ends else local.date() + timedelta(days=1)
    return datetime.combine(day, ends, zone).astimezone(UTC)
