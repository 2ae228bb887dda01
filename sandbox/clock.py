"""Instants and business days as the sandbox counts them. All instants are timezone-aware and in UTC."""

from datetime import UTC, date, datetime, timedelta

SATURDAY = 5


def wall_now() -> datetime:
    """The machine's time in UTC."""
    return datetime.now(UTC)


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant. Raises ValueError when it is no instant or names no zone."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone, for example 2026-03-02T15:00:00Z")
    return instant.astimezone(UTC)


def format_instant(instant: datetime) -> str:
    """FHIR `instant` with seconds and a Z."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_millis(instant: datetime) -> str:
    """ISO 8601 with milliseconds and a Z, as Luma writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def is_business_day(day: date) -> bool:
    """Monday to Friday; the sandbox's payers know no holidays."""
    return day.weekday() < SATURDAY


def add_business_days(start: datetime, days: int) -> datetime:
    """The same time of day, `days` Mondays-to-Fridays later (UTC days)."""
    due = start
    while days > 0:
        due += timedelta(days=1)
        if is_business_day(due.date()):
            days -= 1
    return due
