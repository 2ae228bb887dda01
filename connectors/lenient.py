"""JSON: sent in one way; from outside parsed strictly and within bounds, then looked at leniently. Content raises nothing.

Whatever has not the expected type counts as absent, so that a reader may ask for any element of any JSON.
"""

import json
import re
from datetime import date
from typing import Any, NoReturn

Json = dict[str, Any]

MAX_BYTES = 10 * 1024 * 1024
"""The largest answer that is read. One has some ten kilobytes."""
MAX_REPEATS = 400
"""The most repetitions of an element that are looked at."""

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}(?=$|T)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class NotJson(ValueError):
    """A body is no JSON object. The message says what it is instead, without its content."""


def encode(message: Json) -> bytes:
    """Return the JSON text that is sent, always the same for the same message."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def parse(body: bytes) -> Json:
    """Return the JSON object of a body. A key given twice is refused: two readers might see two decisions.

    Raises:
        NotJson: empty, too large, markup, not UTF-8, broken off, no JSON object, or nested too deeply.
    """
    if len(body) > MAX_BYTES:
        raise NotJson(f"The answer is larger than {MAX_BYTES // 1024 // 1024} MB.")
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not start:
        raise NotJson("The answer is empty.")
    if start == b"<":
        raise NotJson("The answer is a web page or XML, not JSON.")
    try:
        found = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise NotJson("The answer is not UTF-8 text.") from None
    except RecursionError:
        raise NotJson("The answer is nested too deeply.") from None
    except NotJson:
        raise
    except ValueError:
        raise NotJson("The answer is not JSON, or it breaks off.") from None
    if not isinstance(found, dict):
        raise NotJson("The answer is JSON, but no object.")
    return found


def _object(pairs: list[tuple[str, Any]]) -> Json:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotJson("The answer names an element twice.")
    return made


def _constant(_: str) -> NoReturn:
    raise NotJson("The answer holds a number that JSON does not have.")


def objects(value: Any) -> list[Json]:
    """Return the objects of an array, at most `MAX_REPEATS`; a lone object counts as an array of one."""
    if isinstance(value, dict):
        return [value]
    return [entry for entry in value[:MAX_REPEATS] if isinstance(entry, dict)] if isinstance(value, list) else []


def text(value: Any, limit: int) -> str | None:
    """Return a string fit to be kept: printable, trimmed, cut to `limit` characters; None where nothing is left."""
    if not isinstance(value, str):
        return None
    clean = _CONTROL.sub(" ", value[: 4 * limit + 100].encode("utf-8", "replace").decode()).strip()
    if len(clean) > limit:
        clean = clean[: limit - 1] + "…"
    return clean or None


def raw(value: Any) -> str:
    """Return a string as it is; empty where the value is none."""
    return value if isinstance(value, str) else ""


def token(value: Any, limit: int = 80) -> str | None:
    """Return a string that is a code or a number; None where it is empty or longer than `limit`: cut, it would lie."""
    clean = text(value, limit + 1)
    return clean if clean is not None and len(clean) <= limit else None


def whole(value: Any, least: int, most: int) -> int | None:
    """Return a whole number within bounds; 2.0 is one, `true` is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        return None
    return int(value) if value == int(value) else None


def day(value: Any) -> date | None:
    """Return the day of a full ISO date, or of a date and time, as it is written; None for a partial or impossible one."""
    if not isinstance(value, str) or not _DATE.match(value):
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None
