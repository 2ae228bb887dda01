"""Values of elements as types: text fit to be kept, codes, days, spans of days and whole numbers. None raises."""

import re
from datetime import date, datetime

from connectors.x12.segments import Segment

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DAY = re.compile(r"[0-9]{8}")
_INSTANT = re.compile(r"[0-9]{12}|[0-9]{14}")
_WHOLE = re.compile(r"[0-9]{1,5}(\.0+)?")
Span = tuple[date | None, date | None]


def text(said: str, limit: int) -> str | None:
    """Return what was said, printable and cut to `limit` characters; None where nothing is left."""
    clean = _CONTROL.sub(" ", said).strip()
    return clean if 0 < len(clean) <= limit else (f"{clean[: limit - 1]}…" if clean else None)


def token(said: str, limit: int = 80) -> str | None:
    """Return a code or a number; None where it is empty or longer than `limit`: cut, it would lie."""
    clean = _CONTROL.sub(" ", said).strip()
    return clean if 0 < len(clean) <= limit else None


def day(said: str) -> date | None:
    """Return a day that is written CCYYMMDD; None for everything else."""
    if not _DAY.fullmatch(said):
        return None
    try:
        return datetime.strptime(said, "%Y%m%d").date()  # noqa: DTZ007 - a calendar day has no zone
    except ValueError:
        return None


def span(dtp: Segment) -> Span | None:
    """Return the days of a DTP: one twice, or first and last; None where they cannot be read or are in disorder.

    A date with a time (DT) is its day. Blanks around the dash of a range are met, and mean nothing.
    """
    if dtp.get(2) in {"D8", "DT"}:
        one = day(dtp.get(3)[:8] if dtp.get(2) == "DT" and _INSTANT.fullmatch(dtp.get(3)) else dtp.get(3))
        return (one, one) if one is not None else None
    first, _, last = dtp.get(3).partition("-")
    begin, end = day(first.strip()), day(last.strip())
    return (begin, end) if dtp.get(2) == "RD8" and begin and end and begin <= end else None


def whole(said: str) -> int | None:
    """Return a whole number up to 99,999; `2.0` is one, `2.5` is none."""
    return int(said.partition(".")[0]) if _WHOLE.fullmatch(said) else None
