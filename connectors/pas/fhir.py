"""FHIR resources from outside, looked at leniently: what has not the expected type counts as absent."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from connectors.lenient import Json, day, objects, raw, token
from connectors.pas.words import PAS

_EXTENSION = re.compile(r"https?://hl7\.org/fhir/us/davinci-pas/(?:[\w.-]{1,20}/)?StructureDefinition/extension-")
"""Canonicals of the guide's extensions up to their name, as its editions and their readers write them."""


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
    """Return the PAS extensions `extension-<name>` of an element."""
    return [e for e in objects(element.get("extension")) if is_extension(e, name)] if isinstance(element, dict) else []


def is_extension(extension: Json, name: str) -> bool:
    """Whether it is the PAS extension `extension-<name>`, of whatever edition of the guide: its canonical may say which."""
    url = raw(extension.get("url")).partition("|")[0]
    return url == f"{PAS}extension-{name}" or (url.endswith(name) and bool(_EXTENSION.fullmatch(url[: -len(name)])))


def parts(extension: Json, name: str) -> list[Json]:
    """Return the parts of a complex extension by their plain name, which some write like an extension of its own."""
    found = objects(extension.get("extension"))
    return [part for part in found if part.get("url") == name or is_extension(part, name)]


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
