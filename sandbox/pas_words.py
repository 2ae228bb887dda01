"""Names that Da Vinci PAS uses on the wire: canonicals, code systems, and reading them out of a resource.

Source: HL7 Da Vinci PAS 2.2.1 and 2.0.1 (STU2), X12 external code systems by their URLs only.
"""

from collections.abc import Iterator
from typing import Any

from sandbox.records import Json

PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
TOPIC = "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic"
NPI = "http://hl7.org/fhir/sid/us-npi"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
X12 = "https://codesystem.x12.org/005010/"
REASONS = "https://codesystem.x12.org/external/886"
ADJUDICATION = "http://terminology.hl7.org/CodeSystem/adjudication"
IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


def extension(resource: Json, name: str) -> Json | None:
    """The PAS extension `extension-<name>` of an element, or None."""
    for candidate in dicts(resource.get("extension")):
        if candidate.get("url") == f"{PAS}extension-{name}":
            return candidate
    return None


def extension_code(resource: Json, name: str) -> str:
    """The first code of a CodeableConcept extension; empty when it is absent."""
    found = extension(resource, name)
    return first_code(found.get("valueCodeableConcept")) if found is not None else ""


def extension_text(resource: Json, name: str) -> str:
    """The string of an extension; empty when it is absent."""
    found = extension(resource, name)
    value = found.get("valueString") if found is not None else ""
    return value if isinstance(value, str) else ""


def dicts(value: Any) -> list[Json]:
    """The objects of a JSON array; empty when it is none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def codings(concept: Any) -> list[Json]:
    """The codings of a CodeableConcept."""
    return dicts(concept.get("coding")) if isinstance(concept, dict) else []


def first_code(concept: Any) -> str:
    """The first code of a CodeableConcept; empty when there is none."""
    for coding in codings(concept):
        code = coding.get("code")
        if isinstance(code, str):
            return code
    return ""


def reference_of(value: Any) -> str:
    """The literal reference of a Reference; empty when there is none."""
    reference = value.get("reference") if isinstance(value, dict) else None
    return reference if isinstance(reference, str) else ""


def identifier_key(identifier: Any) -> str:
    """`system|value` of an Identifier."""
    return f"{identifier.get('system', '')}|{identifier.get('value', '')}" if isinstance(identifier, dict) else ""


def walk(value: Any, path: str) -> Iterator[tuple[str, Json]]:
    """Every object inside a JSON value with its FHIRPath-like place."""
    if isinstance(value, dict):
        yield path, value
        for name, inner in value.items():
            yield from walk(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from walk(inner, f"{path}[{index}]")


class BundleIndex:
    """The entries of a Bundle, found by reference as FHIR R4 resolves them inside a Bundle."""

    def __init__(self, bundle: Json) -> None:
        """Index the entries by fullUrl; later entries never replace earlier ones."""
        self.entries = dicts(bundle.get("entry"))
        self.by_url: dict[str, Json] = {}
        for entry in self.entries:
            self.by_url.setdefault(str(entry.get("fullUrl", "")), entry)

    def entry(self, reference: str, base_url: str) -> Json | None:
        """The entry that `reference`, standing in the resource at `base_url`, points at; None when there is none.

        A relative reference resolves against the server root of a RESTful fullUrl; from a `urn:uuid:` it does not.
        """
        if reference in self.by_url:
            return self.by_url[reference]
        if "://" in reference or reference.startswith("urn:") or "://" not in base_url:
            return None
        root = base_url.rsplit("/", 2)[0]
        return self.by_url.get(f"{root}/{reference.split('/_history/', maxsplit=1)[0]}")

    def resource(self, reference: str, base_url: str) -> Json | None:
        """The resource of that entry."""
        found = self.entry(reference, base_url)
        resource = found.get("resource") if found is not None else None
        return resource if isinstance(resource, dict) else None
