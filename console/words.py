"""How times, slack and codes read on a terminal."""

from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from console.errors import CommandFailed
from domain.decision import NumberType
from domain.order import Urgency

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_PARTS = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min"))
_SOON = timedelta(hours=4)

NUMBER_WORDS = {
    NumberType.CERTIFICATION: "authorization number",
    NumberType.ADMINISTRATIVE: "pending reference, not billable",
    NumberType.PROVISIONAL: "provisional, to be confirmed in writing",
    NumberType.TRACE: "our trace",
    NumberType.TRANSACTION: "the carrier's own id, not billable",
    NumberType.REFERRAL: "referral number",
}
"""What a payer's number is good for, in words."""

URGENCY_STYLES = {Urgency.ROUTINE: "", Urgency.URGENT: "yellow", Urgency.STAT: "bold red"}


def span_text(span: timedelta) -> str:
    """A length of time in its two largest parts: `2 d 4 h`, `35 min`; below a minute `0 min`. Without a sign."""
    seconds = abs(int(span.total_seconds()))
    parts: list[str] = []
    for size, name in _PARTS:
        amount, seconds = divmod(seconds, size)
        if amount or parts:
            parts.append(f"{amount} {name}" if amount else "")
    return " ".join(part for part in parts[:2] if part) or "0 min"


def slack_text(slack: timedelta | None) -> str:
    """How much time is left, with a minus sign when it is overdue; a dash where no clock runs."""
    if slack is None:
        return "-"
    return f"-{span_text(slack)}" if slack < timedelta(0) else span_text(slack)


def slack_style(slack: timedelta | None) -> str:
    """Red when overdue, yellow when little is left."""
    if slack is None:
        return "dim"
    return "bold red" if slack < timedelta(0) else "yellow" if slack < _SOON else ""


def moment_text(moment: datetime, zone: tzinfo) -> str:
    """A moment in local time, to the minute, with the weekday."""
    return moment.astimezone(zone).strftime("%a %Y-%m-%d %H:%M")


def short_moment(moment: datetime, zone: tzinfo) -> str:
    """A moment in local time without the year."""
    return moment.astimezone(zone).strftime("%m-%d %H:%M")


def bar(started: datetime, due: datetime, now: datetime, width: int = 16) -> str:
    """How much of a clock's time is used, as a bar; full when it has run out."""
    whole = max((due - started).total_seconds(), 1.0)
    used = min(max((now - started).total_seconds() / whole, 0.0), 1.0)
    filled = round(used * width)
    return "█" * filled + "░" * (width - filled)


def plain(code: str) -> str:
    """A code as words: `read_answer` is `read answer`."""
    return code.replace("_", " ")


def one_of(words: type[StrEnum], what: str, said: str | None) -> None:
    """Refuse a word that a list does not have; None is not asked about. Raises `CommandFailed`."""
    if said is not None and said not in set(words):
        raise CommandFailed(f"There is no {what} {said}. Use one of {', '.join(words)}.", code=2)
