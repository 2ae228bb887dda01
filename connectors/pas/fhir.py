"""FHIR JSON from outside: parsed strictly and within bounds, then looked at leniently. Nothing here raises on content.

Whatever has not the expected type counts as absent, so that a reader may ask for any element of any JSON.
"""

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any, NoReturn

from connectors.pas.words import PAS

Json = dict[str, Any]

MAX_BYTES = 10 * 1024 * 1024
"""The largest answer that is read. A PAS answer has some ten kilobytes."""
MAX_REPEATS = 400
"""The most repetitions of an element that are looked at."""

_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}(?=$|T)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class NotFhir(ValueError):
    """A body is no FHIR JSON object. The message says what it is instead, without its content."""


def parse(body: bytes) -> Json:
    """Return the JSON object of a body. A key given twice is refused: two readers might see two decisions.

    Raises:
        NotFhir: empty, too large, markup, not UTF-8, broken off, no JSON object, or nested too deeply.
    """
    if len(body) > MAX_BYTES:
        raise NotFhir(f"The answer is larger than {MAX_BYTES // 1024 // 1024} MB.")
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not start:
        raise NotFhir("The answer is empty.")
    if start == b"<":
        raise NotFhir("The answer is a web page or XML, not FHIR JSON.")
    try:
        found = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise NotFhir("The answer is not UTF-8 text.") from None
    except RecursionError:
        raise NotFhir("The answer is nested too deeply.") from None
    except NotFhir:
        raise
    except ValueError:
        raise NotFhir("The answer is not JSON, or it breaks off.") from None
    if not isinstance(found, dict):
        raise NotFhir("The answer is JSON, but no FHIR resource.")
    return found


def _object(pairs: list[tuple[str, Any]]) -> Json:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotFhir("The answer names an element twice.")
    return made


def _constant(_: str) -> NoReturn:
    raise NotFhir("The answer holds a number that JSON does not have.")


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
    """Return the day of a full FHIR date or dateTime as it is written; None for a partial or impossible one."""
    if not isinstance(value, str) or not _DATE.match(value):
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def period(value: Any) -> tuple[date | None, date | None]:
    """Return start and end of a Period; neither where the end is before the start."""
    if not isinstance(value, dict):
        return None, None
    start, end = day(value.get("start")), day(value.get("end"))
    return (None, None) if start and end and end < start else (start, end)


def codings(concept: Any) -> list[Json]:
    """Return the codings of a CodeableConcept."""
    return objects(concept.get("coding")) if isinstance(concept, dict) else []


def extensions(element: Any, name: str) -> list[Json]:
    """Return the PAS extensions `extension-<name>` of an element, whatever version is pinned to their canonical."""
    if not isinstance(element, dict):
        return []
    url = f"{PAS}extension-{name}"
    return [e for e in objects(element.get("extension")) if raw(e.get("url")).partition("|")[0] == url]


def parts(extension: Json, name: str) -> list[Json]:
    """Return the parts of a complex extension by their plain name."""
    return [part for part in objects(extension.get("extension")) if part.get("url") == name]


def reference(value: Any) -> str | None:
    """Return the literal reference of a Reference."""
    return token(value.get("reference"), 500) if isinstance(value, dict) else None


class Index:
    """The resources of a Bundle, found by reference as FHIR R4 resolves it: fullUrl, or type and id at its end."""

    def __init__(self, bundle: Json) -> None:
        self.resources: list[tuple[str, Json]] = []
        for entry in objects(bundle.get("entry")):
            resource = entry.get("resource")
            if isinstance(resource, dict):
                self.resources.append((raw(entry.get("fullUrl")), resource))

    def of_type(self, kind: str) -> Iterator[Json]:
        """Yield the resources of a type, in order."""
        return (resource for _, resource in self.resources if resource.get("resourceType") == kind)

    def find(self, wanted: str | None, within: Json) -> Json | None:
        """Return the resource that a reference in `within` points at, contained ones too; None where there is none."""
        if not wanted:
            return None
        if wanted.startswith("#"):
            return next((r for r in objects(within.get("contained")) if r.get("id") == wanted[1:]), None)
        plain = wanted.partition("/_history/")[0]
        for url, resource in self.resources:
            if url == plain:
                return resource
        kind_and_id = plain.rpartition("/")[0].rpartition("/")[2], plain.rpartition("/")[2]
        for url, resource in self.resources:
            if (resource.get("resourceType"), resource.get("id")) == kind_and_id or url.endswith(
                "/" + "/".join(kind_and_id)
            ):
                return resource
        return None
