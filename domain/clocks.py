"""Clocks: what is due when, who is waited for, and which rule said so. Pure: the moment is always an argument.

A clock is started by the world's time of a fact (`occurred_at`) and never changed, only followed by another one that
remembers what happened to it (`history`). How days are counted is `domain.calendars`' business; a clock names its
calendar, and whoever moves the clock brings that calendar, which is part of the case's pinned policy.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from domain.base import Frozen, Instant, Key, Sentence, Turn
from domain.calendars import (
    Calendar,
    Span,
    Unit,
    add,
    business_days_between,
    counts_open_days,
    elapsed,
    shift,
)


class ClockError(ValueError):
    """A clock was asked for something that it cannot do; the text says what to do instead."""


class ClockKind(StrEnum):
    """What a clock measures."""

    PAYER_DECISION = "payer_decision"
    INFORMATION_REQUEST = "information_request"
    FOLLOW_UP = "follow_up"
    SILENCE = "silence"
    RECEIPT = "receipt"
    ACKNOWLEDGMENT = "acknowledgment"
    TASK_DUE = "task_due"
    LEASE = "lease"
    ELIGIBILITY = "eligibility"
    VISIT = "visit"
    VISIT_CUT_OFF = "visit_cut_off"
    VALIDITY = "validity"
    P2P_WINDOW = "p2p_window"
    APPEAL_WINDOW = "appeal_window"
    HOLD = "hold"
    RETRY = "retry"


class Effect(StrEnum):
    """What happened to a clock."""

    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    EXTENDED = "extended"
    RESTARTED = "restarted"


class ClockEffect(Frozen):
    """One thing that happened to a clock, when (UTC), by which rule, and when the clock was due after it."""

    effect: Effect
    at: Instant
    due: Instant
    rule: Key


class Clock(Frozen):
    """Something is due. `rule` is the id of the policy's rule that set it, or `vigil/<name>` for one of Vigil's own."""

    key: Key
    kind: ClockKind
    label: Sentence
    """What is due, for a person to read; without the patient's name."""
    started_at: Instant
    due: Instant
    rule: Key
    waiting_for: Turn
    span: Span | None = None
    """The period that it runs, or None where it runs to a moment given from outside, such as a visit."""
    calendar: Key | None = None
    """The name of its calendar in the policy."""
    track: Key | None = None
    breach: bool = False
    """Whether to let it run out breaks an obligation (evidence is kept, somebody told), not merely wakes the case."""
    paused_since: Instant | None = None
    history: tuple[ClockEffect, ...] = ()


def _followed(
    clock: Clock, effect: Effect, at: datetime, due: datetime, rule: str, **changed: datetime | None
) -> Clock:
    happened = ClockEffect(effect=effect, at=at, due=due, rule=rule)
    return clock.model_copy(update={**changed, "due": happened.due, "history": (*clock.history, happened)})


def start(
    *,
    key: str,
    kind: ClockKind,
    label: str,
    at: datetime,
    due: Span | datetime,
    rule: str,
    waiting_for: Turn,
    calendar: Calendar | None = None,
    calendar_name: str | None = None,
    track: str | None = None,
    breach: bool = False,
) -> Clock:
    """Start a clock at the world's time `at` that runs for a span on a calendar, or to a given moment.

    Raises `ClockError` where a span has no calendar to be counted on.
    """
    if isinstance(due, Span):
        if calendar is None:
            raise ClockError(f"clock {key}: give the calendar on which {due} are counted")
        span, until = due, add(at, due, calendar)
    else:
        span, until = None, due
    clock = Clock(
        key=key,
        kind=kind,
        label=label,
        started_at=at,
        due=until,
        rule=rule,
        waiting_for=waiting_for,
        span=span,
        calendar=calendar_name,
        track=track,
        breach=breach,
    )
    return _followed(clock, Effect.STARTED, at, until, rule)


def pause(clock: Clock, at: datetime, *, rule: str) -> Clock:
    """Stop a clock. One that stands already keeps its first moment; none is paused before it started."""
    if clock.paused_since is not None:
        return clock
    since = max(at, clock.started_at).astimezone(UTC)
    return _followed(clock, Effect.PAUSED, since, clock.due, rule, paused_since=since)


def resume(clock: Clock, at: datetime, calendar: Calendar, *, rule: str) -> Clock:
    """Let a paused clock run on, due later by the time that it stood (its toll). A running clock stays as it is.

    Clocks counted in days are tolled in whole local days, those in business days in open days, all others in exact
    time. A clock that was overdue before it was paused stays overdue: a pause heals no breach.
    """
    since = clock.paused_since
    if since is None:
        return clock
    at = max(at, since)
    due = clock.due if since > clock.due else _tolled(clock, since, at, calendar)
    return _followed(clock, Effect.RESUMED, at, due, rule, paused_since=None)


def _tolled(clock: Clock, since: datetime, at: datetime, calendar: Calendar) -> datetime:
    if clock.span is None or elapsed(clock.span, calendar) is not None:
        return clock.due + (at - since)
    if counts_open_days(clock.span, calendar):
        days, unit = business_days_between(since, at, calendar), Unit.BUSINESS_DAYS
    else:
        days, unit = (calendar.local_date(at) - calendar.local_date(since)).days, Unit.DAYS
    return shift(clock.due, Span(amount=days, unit=unit), calendar) if days else clock.due


def extend(clock: Clock, by: Span | datetime, calendar: Calendar, *, at: datetime, rule: str) -> Clock:
    """Give a clock more time: a span after its due moment, or until a moment. It is never due earlier than before."""
    until = shift(clock.due, by, calendar) if isinstance(by, Span) else by
    return _followed(clock, Effect.EXTENDED, at, max(clock.due, until), rule)


def restart(clock: Clock, at: datetime, calendar: Calendar, *, rule: str) -> Clock:
    """Begin the whole period anew at `at`, running, whatever paused or extended it before.

    Raises `ClockError` for a clock that runs to a given moment: there is no period to begin; extend it instead.
    """
    if clock.span is None:
        raise ClockError(
            f"clock {clock.key} runs to a given moment, not for a period: extend it to the new moment instead"
        )
    at = max(at, clock.started_at).astimezone(UTC)
    due = add(at, clock.span, calendar)
    return _followed(clock, Effect.RESTARTED, at, due, rule, started_at=at, paused_since=None)


def slack(clock: Clock, now: datetime) -> timedelta:
    """How much time is left, negative when overdue. It stands still while the clock is paused."""
    return clock.due - (clock.paused_since or now)


def is_due(clock: Clock, now: datetime) -> bool:
    """Whether a running clock has run out."""
    return clock.paused_since is None and now >= clock.due


def breached(clock: Clock, now: datetime) -> bool:
    """Whether an obligation is broken: the clock may be breached, runs, and its last moment has passed."""
    return clock.breach and clock.paused_since is None and now > clock.due


def binding(clocks: Iterable[Clock], now: datetime) -> Clock | None:
    """Return the running clock with the least slack, ties by key; None where none runs."""
    running = (clock for clock in clocks if clock.paused_since is None)
    return min(running, key=lambda clock: (slack(clock, now), clock.key), default=None)
