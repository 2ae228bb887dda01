"""FHIR R4 resources as they come: found by any kind of reference, and read by small questions that never fail.

Only what an order needs. A field that is missing, or is not of the shape that R4 says, reads as None: who asks decides
whether that matters.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

Resource = Mapping[str, Any]

NPI = "http://hl7.org/fhir/sid/us-npi"
_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[^/]+)?$")


class Resources:
    """Resources of one answer or Bundle, found by id, full URL or as contained ones."""

    def __init__(self, given: Resource | Sequence[Resource]) -> None:
        """Take a Bundle, one resource, or a list of resources."""
        self._by_key: dict[str, Resource] = {}
        self._all: list[Resource] = []
        for url, resource in _entries(given):
            named = [url, f"{resource.get('resourceType')}/{resource.get('id')}" if resource.get("id") else ""]
            keys = [key for key in named if key]
            if any(self._by_key.get(key) == resource for key in keys):
                continue  # sent twice, it is there once
            self._all.append(resource)
            for key in keys:
                self._by_key.setdefault(key, resource)

    def of_type(self, kind: str) -> list[Resource]:
        """All resources of a type, in their order."""
        return [resource for resource in self._all if resource.get("resourceType") == kind]

    def find(self, reference: object, within: Resource) -> Resource | None:
        """The resource that a Reference of `within` points at, where it is here."""
        url = text(at(reference, "reference")) or ""
        if url.startswith("#"):
            return next((one for one in dicts(within.get("contained")) if one.get("id") == url[1:]), None)
        return self._by_key.get(url) or self._by_key.get(local_reference(url) or "")


def _entries(given: Resource | Sequence[Resource]) -> Iterator[tuple[str, Resource]]:
    if not isinstance(given, Mapping):
        yield from (("", resource) for resource in given if isinstance(resource, Mapping))
    elif given.get("resourceType") == "Bundle":
        for entry in dicts(given.get("entry")):
            if isinstance(entry.get("resource"), Mapping):
                yield text(entry.get("fullUrl")) or "", entry["resource"]
    else:
        yield "", given


def local_reference(reference: str) -> str | None:
    """`Type/id` of a relative or absolute reference; None for any other kind (`#…`, `urn:…`)."""
    found = _REFERENCE.search(reference)
    return f"{found[1]}/{found[2]}" if found else None


def at(value: object, *path: str | int) -> Any:
    """What lies at a path of names and positions; None where there is nothing."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and len(value) > step else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def dicts(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def items(value: object) -> list[Any]:
    """The items of a list; none where it is no list."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """A text that says something, trimmed."""
    return value.strip() or None if isinstance(value, str) else None


def codes(concepts: object, *systems: str) -> list[str]:
    """The codes of one CodeableConcept or a list of them, in the named systems; of any system where none is named."""
    listed = concepts if isinstance(concepts, list) else [concepts]
    return [
        code
        for concept in listed
        for coding in dicts(at(concept, "coding"))
        if (code := text(coding.get("code"))) and (not systems or coding.get("system") in systems)
    ]


def identifier(resource: Resource | None, *, system: str | None = None, type_code: str | None = None) -> str | None:
    """The value of the identifier of a system or of a type (HL7 v2-0203)."""
    for one in dicts(at(resource, "identifier")):
        if system is not None and one.get("system") != system:
            continue
        if type_code is not None and type_code not in codes(one.get("type")):
            continue
        if value := text(one.get("value")):
            return value
    return None


def family_and_given(resource: Resource | None) -> tuple[str | None, str | None]:
    """The official name, or else the first one."""
    names = dicts(at(resource, "name"))
    chosen = next((name for name in names if name.get("use") == "official"), names[0] if names else {})
    given = [part for one in items(chosen.get("given")) if (part := text(one))]
    return text(chosen.get("family")), " ".join(given) or None


def telecom(resource: Resource | None, system: str) -> str | None:
    """The first number of a kind (`phone`, `fax`) that is in use; a mobile one first."""
    points = [one for one in dicts(at(resource, "telecom")) if one.get("system") == system and one.get("use") != "old"]
    points.sort(key=lambda one: one.get("use") != "mobile")
    return next((value[:30] for one in points if (value := text(one.get("value")))), None)


def postal_address(value: object) -> dict[str, str] | None:
    """A whole address in the United States (of one Address, or the first of a list), or None."""
    one = value[0] if isinstance(value, list) and value else value
    lines = [part for line in items(at(one, "line")) if (part := text(line))]
    found = {
        "line": ", ".join(lines),
        "city": text(at(one, "city")) or "",
        "state": (text(at(one, "state")) or "").upper(),
        "postal_code": _zip(text(at(one, "postalCode")) or ""),
    }
    usable = all(found.values()) and re.fullmatch(r"[A-Z]{2}", found["state"])
    return found if usable else None


def _zip(value: str) -> str:
    digits = re.sub(r"[^0-9]", "", value)
    if len(digits) == 9:  # noqa: PLR2004 - ZIP+4
        return f"{digits[:5]}-{digits[5:]}"
    return digits if len(digits) == 5 else ""  # noqa: PLR2004 - ZIP


def day(value: object) -> date | None:
    """The calendar day of a FHIR date or dateTime, as it is written."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def moment(value: object) -> datetime | None:
    """The instant of a FHIR dateTime. A bare day reads as noon UTC: the same day everywhere in the United States."""
    written = text(value)
    if written is None:
        return None
    try:
        found = datetime.fromisoformat(written if "T" in written else f"{written}T12:00:00+00:00")
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
