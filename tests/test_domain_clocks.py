"""Calendars and clocks: examples of the job's deadlines, and laws that hold for every start, span and calendar."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import clocks
from domain.base import Turn
from domain.calendars import (
    Calendar,
    Ends,
    Kind,
    Span,
    Unit,
    Weekly,
    add,
    business_days_between,
    counts_open_days,
    next_open,
    shift,
    subtract,
    weekly_until,
)
from domain.clocks import Clock, ClockError, ClockKind, Effect

NEW_YORK = "America/New_York"
EVERY_DAY = Calendar(time_zone=NEW_YORK)
OFFICE = Calendar(kind=Kind.BUSINESS_DAYS, time_zone=NEW_YORK, extra_holidays=(date(2026, 11, 27),))
CUT_OFF = OFFICE.model_copy(update={"cut_off": time(17, 0)})
SAME_TIME = EVERY_DAY.model_copy(update={"ends": Ends.SAME_TIME})
HOURS = Calendar(kind=Kind.HOURS, time_zone=NEW_YORK)

ZONES = (NEW_YORK, "America/Los_Angeles", "America/Phoenix", "Pacific/Honolulu", "Australia/Lord_Howe")

instants = st.datetimes(datetime(2024, 1, 1), datetime(2029, 12, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
# The hours around changes of daylight saving time are rare among all instants, and where errors live.
changes = st.builds(
    lambda change, minutes: change + timedelta(minutes=minutes),
    st.sampled_from(
        [
            datetime(2026, 3, 8, 7, tzinfo=UTC),
            datetime(2026, 11, 1, 6, tzinfo=UTC),
            datetime(2026, 4, 4, 15, tzinfo=UTC),
            datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
        ]
    ),
    st.integers(-3 * 24 * 60, 3 * 24 * 60),
)
moments = instants | changes
spans = st.builds(Span, amount=st.integers(1, 40), unit=st.sampled_from(Unit))
day_spans = st.builds(Span, amount=st.integers(1, 40), unit=st.sampled_from([Unit.DAYS, Unit.BUSINESS_DAYS]))
calendars = st.builds(
    Calendar,
    kind=st.sampled_from(Kind),
    time_zone=st.sampled_from(ZONES),
    extra_holidays=st.lists(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=4).map(tuple),
    cut_off=st.none() | st.times(time(8), time(20)),
    ends=st.sampled_from(Ends),
)


def local(text: str, zone: str = NEW_YORK) -> datetime:
    """A local time as UTC, from "2026-03-02 14:00"."""
    return datetime.fromisoformat(text).replace(tzinfo=Calendar(time_zone=zone).zone).astimezone(UTC)


def clock(due: Span | datetime, at: datetime, calendar: Calendar = EVERY_DAY, *, key: str = "decision") -> Clock:
    return clocks.start(
        key=key,
        kind=ClockKind.PAYER_DECISION,
        label="The payer's decision is due.",
        at=at,
        due=due,
        rule="decision-routine",
        waiting_for=Turn.PAYER,
        calendar=calendar,
        calendar_name="decisions",
        breach=True,
    )


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("72 hours", 72, Unit.HOURS),
        ("1 day", 1, Unit.DAYS),
        ("3 business days", 3, Unit.BUSINESS_DAYS),
        ("30 minutes", 30, Unit.MINUTES),
        ("5 business_days", 5, Unit.BUSINESS_DAYS),
    ],
)
def test_spans_are_read_from_the_words_of_rules_and_kept_as_such(text: str, amount: int, unit: Unit) -> None:
    span = Span.parse(text)
    assert (span.amount, span.unit) == (amount, unit)
    assert Span.parse(str(span)) == span
    assert Span.model_validate_json(span.model_dump_json()) == span


@pytest.mark.parametrize("text", ["", "0 days", "three days", "3 fortnights", "-1 hours", "7", "1.5 days"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Span.parse(text)


def test_a_calendar_refuses_unknown_zones_unquoted_times_and_closing_before_opening() -> None:
    with pytest.raises(ValidationError, match="IANA"):
        Calendar(time_zone="Eastern")
    with pytest.raises(ValidationError, match="quotes"):
        Calendar.model_validate({"time_zone": NEW_YORK, "cut_off": 1020})
    with pytest.raises(ValidationError, match="earlier than closes"):
        Calendar(time_zone=NEW_YORK, opens=time(17), closes=time(8))


@pytest.mark.parametrize(
    ("start", "span", "calendar", "end"),
    [
        # Seven calendar days after a Monday end with the next Monday, in local time, whatever the UTC date.
        ("2026-03-02 14:00", "7 days", EVERY_DAY, "2026-03-09 23:59:59"),
        ("2026-03-02 23:30", "7 days", EVERY_DAY, "2026-03-09 23:59:59"),
        ("2026-03-02 14:00", "7 days", SAME_TIME, "2026-03-09 14:00"),
        # 72 hours are exact, over the night in which an hour is lost.
        ("2026-03-06 14:00", "72 hours", EVERY_DAY, "2026-03-09 15:00"),
        ("2026-03-06 14:00", "3 days", HOURS, "2026-03-09 15:00"),
        # Thanksgiving and the payer's own Friday are closed.
        ("2026-11-25 10:00", "1 business day", OFFICE, "2026-11-30 23:59:59"),
        ("2026-11-25 10:00", "2 days", OFFICE, "2026-12-01 23:59:59"),
        # Received on a Saturday: Monday is the first day, or the day of receipt where there is a cut-off.
        ("2026-03-07 10:00", "1 business day", OFFICE, "2026-03-09 23:59:59"),
        ("2026-03-07 10:00", "1 business day", CUT_OFF, "2026-03-10 23:59:59"),
        ("2026-03-06 17:00", "1 business day", CUT_OFF, "2026-03-09 23:59:59"),
        ("2026-03-06 17:01", "1 business day", CUT_OFF, "2026-03-10 23:59:59"),
        # The cut-off is none of the hours' business.
        ("2026-03-06 17:01", "4 hours", CUT_OFF, "2026-03-06 21:01"),
        # 02:30 does not exist on 8 March: the end is the change itself.
        ("2026-03-07 02:30", "1 day", SAME_TIME, "2026-03-08 03:00"),
        # New Year's Day 2028 is a Saturday: Friday the 31st of December is closed instead.
        ("2027-12-30 12:00", "1 business day", OFFICE, "2028-01-03 23:59:59"),
    ],
)
def test_ends_of_spans(start: str, span: str, calendar: Calendar, end: str) -> None:
    assert add(local(start), Span.parse(span), calendar) == local(end)


def test_three_business_days_before_a_visit() -> None:
    three = Span.parse("3 business days")
    assert subtract(local("2026-03-05 10:00"), three, OFFICE) == local("2026-03-02 23:59:59")
    assert subtract(local("2026-12-01 10:00"), three, OFFICE) == local("2026-11-24 23:59:59")
    # A visit on Saturday: Friday is the business day before it.
    assert subtract(local("2026-03-07 10:00"), Span.parse("1 business day"), OFFICE) == local("2026-03-06 23:59:59")
    assert subtract(local("2026-03-09 15:00"), Span.parse("72 hours"), OFFICE) == local("2026-03-06 14:00")


@pytest.mark.parametrize(
    ("instant", "opening"),
    [
        ("2026-03-02 10:00", "2026-03-02 10:00"),
        ("2026-03-02 06:00", "2026-03-02 08:00"),
        ("2026-03-02 17:00", "2026-03-03 08:00"),
        ("2026-03-06 18:00", "2026-03-09 08:00"),
        ("2026-11-26 10:00", "2026-11-30 08:00"),
    ],
)
def test_a_moment_is_rolled_into_business_hours(instant: str, opening: str) -> None:
    assert next_open(local(instant), OFFICE) == local(opening)
    assert next_open(local(instant), HOURS) == local(instant)


@given(moments, moments, spans, calendars)
def test_a_later_start_never_ends_earlier(one: datetime, other: datetime, span: Span, calendar: Calendar) -> None:
    first, second = sorted((one, other))
    assert add(first, span, calendar) <= add(second, span, calendar)
    assert shift(first, span, calendar) <= shift(second, span, calendar)
    assert subtract(first, span, calendar) <= subtract(second, span, calendar)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        (NEW_YORK, datetime(2026, 3, 8, 7, tzinfo=UTC)),
        (NEW_YORK, datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
        ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),
        ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("ends", Ends)
def test_a_later_start_never_ends_earlier_through_a_change_of_time(zone: str, change: datetime, ends: Ends) -> None:
    calendar = Calendar(time_zone=zone, ends=ends)
    day = Span.parse("1 day")
    for base in (change - timedelta(days=1), change, change + timedelta(days=1)):
        starts = [base + timedelta(minutes=5 * step) for step in range(-36, 37)]
        for turn in (add, shift, subtract):
            turned = [turn(start, day, calendar) for start in starts]
            assert turned == sorted(turned)


@given(moments, st.integers(1, 39), st.sampled_from(Unit), calendars)
def test_more_time_never_ends_earlier(start: datetime, amount: int, unit: Unit, calendar: Calendar) -> None:
    less, more = Span(amount=amount, unit=unit), Span(amount=amount + 1, unit=unit)
    assert start < add(start, less, calendar) < add(start, more, calendar)
    assert start > subtract(start, less, calendar) > subtract(start, more, calendar)


@given(moments, spans, calendars)
def test_days_never_end_on_a_closed_day_where_only_open_days_count(
    start: datetime, span: Span, calendar: Calendar
) -> None:
    if counts_open_days(span, calendar):
        assert calendar.is_open(calendar.local_date(add(start, span, calendar)))
        assert calendar.is_open(calendar.local_date(subtract(start, span, calendar)))


@given(moments, spans, calendars)
def test_subtract_undoes_shift(start: datetime, span: Span, calendar: Calendar) -> None:
    back = subtract(shift(start, span, calendar), span, calendar)
    if span.unit in {Unit.MINUTES, Unit.HOURS}:
        assert back == start
    elif not counts_open_days(span, calendar) or calendar.is_open(calendar.local_date(start)):
        assert calendar.local_date(back) == calendar.local_date(start)


@given(moments, st.integers(1, 40), calendars)
def test_business_days_between_counts_what_shift_added(start: datetime, days: int, calendar: Calendar) -> None:
    end = shift(start, Span(amount=days, unit=Unit.BUSINESS_DAYS), calendar)
    assert business_days_between(start, end, calendar) == days
    assert business_days_between(end, start, calendar) == -days


@given(moments, moments, calendars)
def test_opening_hours_are_open_later_or_now_and_in_order(one: datetime, other: datetime, calendar: Calendar) -> None:
    first, second = sorted((one, other))
    opening = next_open(first, calendar)
    assert first <= opening <= next_open(second, calendar)
    assert next_open(opening, calendar) == opening
    if calendar.kind is not Kind.HOURS:
        wall = opening.astimezone(calendar.zone)
        assert calendar.is_open(wall.date())
        assert calendar.opens <= wall.time() < calendar.closes


def test_a_clock_says_what_is_due_by_which_rule_and_what_happened_to_it() -> None:
    at = local("2026-03-02 14:00")
    running = clock(Span.parse("15 days"), at)
    assert running.due == local("2026-03-17 23:59:59")
    paused = clocks.pause(running, local("2026-03-05 09:00"), rule="information-tolls")
    assert clocks.pause(paused, local("2026-03-06 09:00"), rule="information-tolls") == paused
    resumed = clocks.resume(paused, local("2026-03-09 16:00"), EVERY_DAY, rule="information-tolls")
    assert resumed.due == local("2026-03-21 23:59:59")
    extended = clocks.extend(resumed, Span.parse("15 days"), EVERY_DAY, at=local("2026-03-20 09:00"), rule="extension")
    assert extended.due == local("2026-04-05 23:59:59")
    again = clocks.restart(extended, local("2026-03-23 09:00"), EVERY_DAY, rule="restart")
    assert (again.started_at, again.due) == (local("2026-03-23 09:00"), local("2026-04-07 23:59:59"))
    assert [(e.effect, e.rule) for e in again.history] == [
        (Effect.STARTED, "decision-routine"),
        (Effect.PAUSED, "information-tolls"),
        (Effect.RESUMED, "information-tolls"),
        (Effect.EXTENDED, "extension"),
        (Effect.RESTARTED, "restart"),
    ]
    assert again.history[-1].due == again.due
    assert Clock.model_validate_json(again.model_dump_json()) == again


def test_slack_stands_still_while_paused_and_a_paused_clock_is_neither_due_nor_breached() -> None:
    running = clock(Span.parse("72 hours"), local("2026-03-02 14:00"))
    late = local("2026-03-05 14:01")
    assert clocks.is_due(running, running.due)
    assert not clocks.breached(running, running.due)
    assert clocks.breached(running, late)
    paused = clocks.pause(running, local("2026-03-03 14:00"), rule="toll")
    assert clocks.slack(paused, late) == timedelta(hours=48)
    assert not clocks.is_due(paused, late)
    assert not clocks.breached(paused, late)
    assert clocks.binding([paused], late) is None


def test_a_pause_after_the_end_heals_no_breach() -> None:
    running = clock(Span.parse("72 hours"), local("2026-03-02 14:00"))
    paused = clocks.pause(running, local("2026-03-06 14:00"), rule="toll")
    resumed = clocks.resume(paused, local("2026-03-10 14:00"), EVERY_DAY, rule="toll")
    assert resumed.due == running.due
    assert clocks.breached(resumed, local("2026-03-10 14:00"))


def test_a_clock_to_a_given_moment_is_tolled_exactly_and_cannot_be_restarted() -> None:
    visit = clock(local("2026-03-12 09:00"), local("2026-03-02 14:00"))
    paused = clocks.pause(visit, local("2026-03-03 09:00"), rule="hold")
    assert clocks.resume(paused, local("2026-03-03 12:00"), EVERY_DAY, rule="hold").due == local("2026-03-12 12:00")
    with pytest.raises(ClockError, match="extend it"):
        clocks.restart(visit, local("2026-03-03 12:00"), EVERY_DAY, rule="restart")


def test_a_span_needs_a_calendar_to_be_counted_on() -> None:
    with pytest.raises(ClockError, match="calendar"):
        clocks.start(
            key="lease",
            kind=ClockKind.LEASE,
            label="The task falls back.",
            at=local("2026-03-02 14:00"),
            due=Span.parse("30 minutes"),
            rule="vigil/lease",
            waiting_for=Turn.STAFF,
        )


def test_the_least_slack_binds_and_the_key_breaks_ties() -> None:
    now = local("2026-03-02 14:00")
    soon, later = now + timedelta(hours=1), now + timedelta(hours=2)
    made = [clock(later, now, key="c"), clock(soon, now, key="b"), clock(soon, now, key="a")]
    bound = clocks.binding(made, now)
    assert bound is not None
    assert bound.key == "a"
    assert clocks.binding(reversed(made), now) == bound
    assert clocks.binding([], now) is None


@settings(deadline=None)
@given(
    moments,
    spans,
    calendars,
    st.timedeltas(timedelta(0), timedelta(days=30)),
    st.timedeltas(timedelta(0), timedelta(days=30)),
)
def test_the_toll_is_the_paused_time_in_what_the_clock_counts(
    start: datetime, span: Span, calendar: Calendar, before: timedelta, stood: timedelta
) -> None:
    running = clock(span, start, calendar)
    paused = clocks.pause(running, start + before, rule="toll")
    back = start + before + stood
    resumed = clocks.resume(paused, back, calendar, rule="toll")
    assert resumed.paused_since is None
    assert resumed.due >= running.due
    if start + before > running.due:
        assert resumed.due == running.due
    elif counts_open_days(span, calendar):
        stood_days = business_days_between(start + before, back, calendar)
        assert business_days_between(running.due, resumed.due, calendar) == stood_days
    elif span.unit is Unit.DAYS and calendar.kind is not Kind.HOURS:
        stood_days = (calendar.local_date(back) - calendar.local_date(start + before)).days
        assert (calendar.local_date(resumed.due) - calendar.local_date(running.due)).days == stood_days
    else:
        assert resumed.due - running.due == stood


@given(moments, spans, calendars, spans | moments, st.booleans())
def test_an_extension_is_never_due_earlier(
    start: datetime, span: Span, calendar: Calendar, by: Span | datetime, stands: bool
) -> None:
    running = clock(span, start, calendar)
    if stands:
        running = clocks.pause(running, start, rule="toll")
    extended = clocks.extend(running, by, calendar, at=start, rule="extension")
    assert extended.due >= running.due
    assert extended.paused_since == running.paused_since
    if isinstance(by, Span):
        assert extended.due > running.due


@given(moments, spans, calendars, st.timedeltas(timedelta(days=-5), timedelta(days=30)))
def test_effects_out_of_order_never_shorten_a_clock(
    start: datetime, span: Span, calendar: Calendar, when: timedelta
) -> None:
    running = clock(span, start, calendar)
    paused = clocks.pause(running, start + when, rule="toll")
    assert paused.paused_since is not None
    assert paused.paused_since >= running.started_at
    early = clocks.resume(paused, start - timedelta(days=9), calendar, rule="toll")
    assert early.due == running.due
    assert clocks.resume(early, start + when, calendar, rule="toll") == early
    assert clocks.restart(running, start + when, calendar, rule="restart").due >= running.due


# --- hours that come back every week ------------------------------------------------------------------------------------

IN_NEW_YORK = ZoneInfo(NEW_YORK)
SATURDAY, SUNDAY = 5, 6


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=IN_NEW_YORK)


def test_weekly_hours_hold_on_their_days_and_may_reach_into_the_next() -> None:
    night = Weekly(frozenset({SATURDAY}), time(22), time(2))
    assert weekly_until(_at("2026-11-28T23:00"), [night], IN_NEW_YORK) == _at("2026-11-29T02:00")
    assert weekly_until(_at("2026-11-29T01:59"), [night], IN_NEW_YORK) == _at("2026-11-29T02:00")
    assert weekly_until(_at("2026-11-29T02:00"), [night], IN_NEW_YORK) is None
    assert weekly_until(_at("2026-11-28T01:00"), [night], IN_NEW_YORK) is None


def test_weekly_hours_that_follow_one_another_end_together() -> None:
    windows = [Weekly(frozenset({SATURDAY}), time(22), time(2)), Weekly(frozenset({SUNDAY}), time(1), time(5))]
    assert weekly_until(_at("2026-11-28T23:00"), windows, IN_NEW_YORK) == _at("2026-11-29T05:00")
