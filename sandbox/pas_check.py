"""Strictness about a PAS request: everything that is wrong with it, each with its place, as one OperationOutcome.

Source: Da Vinci PAS 2.2.1 `profile-pas-request-bundle`, `profile-claim`, `profile-claim-update`,
`profile-pas-inquiry-request-bundle`, and the specification's rules on fullUrls and closure. Texts carry no values.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from sandbox.clock import parse_instant
from sandbox.pas_words import (
    ICD10,
    IDENTIFIER_TYPES,
    NPI,
    PAS,
    BundleIndex,
    codings,
    dicts,
    extension,
    extension_code,
    first_code,
    identifier_key,
    reference_of,
    walk,
)
from sandbox.records import Json

SIZE_LIMIT = 5 * 1024 * 1024
MAX_DIAGNOSES = 12
NPI_LENGTH = 10
LUHN_BASE = 10
DATE = re.compile(r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")
ICD10_CODE = re.compile(r"^[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?$")
DATE_ELEMENTS = ("birthDate", "servicedDate", "valueDate", "timingDate", "occurrenceDate")


@dataclass
class Issues:
    """What was found wrong."""

    found: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, path: str, text: str, code: str = "invalid") -> None:
        self.found.append((code, text, path))

    def need(self, holds: object, path: str, text: str, code: str = "required") -> bool:
        """Note an issue unless `holds`."""
        if not holds:
            self.add(path, text, code)
        return bool(holds)

    def outcome(self) -> Json:
        """All of it as one OperationOutcome."""
        return {
            "resourceType": "OperationOutcome",
            "issue": [
                {"severity": "error", "code": code, "details": {"text": text}, "expression": [path]}
                for code, text, path in self.found
            ],
        }


def single_issue(code: str, text: str) -> Json:
    """An OperationOutcome of one error without a place."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": code, "details": {"text": text}}],
    }


def luhn_npi(npi: str) -> bool:
    """Whether a National Provider Identifier has ten digits and a right check digit (Luhn over 80840 + NPI)."""
    if len(npi) != NPI_LENGTH or not npi.isdigit():
        return False
    total = 0
    for index, digit in enumerate(reversed(f"80840{npi}")):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value >= LUHN_BASE else value
    return total % LUHN_BASE == 0


def member_id(index: BundleIndex, claim: Json, claim_url: str) -> str:
    """The member id of the focal coverage: `subscriberId`, else the identifier of type MB; empty when there is none."""
    focal = next((entry for entry in dicts(claim.get("insurance")) if entry.get("focal") is True), {})
    coverage = index.resource(reference_of(focal.get("coverage")), claim_url) or {}
    subscriber_id = coverage.get("subscriberId")
    if isinstance(subscriber_id, str) and subscriber_id:
        return subscriber_id
    patient = index.resource(reference_of(claim.get("patient")), claim_url) or {}
    for identifier in [*dicts(coverage.get("identifier")), *dicts(patient.get("identifier"))]:
        kinds = [(kind.get("system"), kind.get("code")) for kind in codings(identifier.get("type"))]
        if (IDENTIFIER_TYPES, "MB") in kinds and isinstance(identifier.get("value"), str):
            return str(identifier["value"])
    return ""


def requestor_npi(index: BundleIndex, claim: Json, claim_url: str) -> str:
    """The NPI of the requestor: of the organization, or of the role's practitioner or organization."""
    waiting = [reference_of(claim.get("provider"))]
    for _ in range(3):
        following: list[str] = []
        for reference in waiting:
            provider = index.resource(reference, claim_url) or {}
            for identifier in dicts(provider.get("identifier")):
                if identifier.get("system") == NPI:
                    return str(identifier.get("value", ""))
            following += [reference_of(provider.get(name)) for name in ("practitioner", "organization")]
        waiting = [reference for reference in following if reference]
    return ""


def is_cancel(claim: Json) -> bool:
    """Whether the whole request is cancelled: certification type 3 (X12 1322) on the Claim itself."""
    return extension_code(claim, "certificationType") == "3"


def check_bundle(bundle: Json, *, inquiry: bool, is_2_2: bool) -> Issues:
    """Everything that is wrong with a request or inquiry Bundle; `is_2_2` adds what only PAS 2.2.1 demands."""
    issues = Issues()
    issues.need(bundle.get("resourceType") == "Bundle", "Bundle", "The body is not a Bundle.", "structure")
    issues.need(bundle.get("type") == "collection", "Bundle.type", "Bundle.type must be collection.", "value")
    identifier = bundle.get("identifier")
    complete = isinstance(identifier, dict) and identifier.get("system") and identifier.get("value")
    issues.need(complete, "Bundle.identifier", "Bundle.identifier needs system and value.")
    _instant(issues, bundle.get("timestamp"), "Bundle.timestamp")
    index = BundleIndex(bundle)
    claims = _check_entries(issues, index)
    if issues.found or not claims:
        return issues
    url, claim = claims[0]
    _check_claim(issues, index, url, claim, inquiry=inquiry, is_2_2=is_2_2)
    _check_documents(issues, index, claim, is_2_2=is_2_2)
    _check_values(issues, bundle)
    updates = bool(dicts(claim.get("related"))) and is_2_2
    issues.need(
        len(claims) == (2 if updates else 1),
        "Bundle.entry",
        "A request has one Claim; an update of PAS 2.2.1 two, the new one first and the prior one after it.",
        "invariant",
    )
    return issues


def _check_entries(issues: Issues, index: BundleIndex) -> list[tuple[str, Json]]:
    claims: list[tuple[str, Json]] = []
    seen: set[str] = set()
    issues.need(index.entries, "Bundle.entry", "The Bundle has no entry.")
    for number, entry in enumerate(index.entries):
        place = f"Bundle.entry[{number}]"
        url, resource = entry.get("fullUrl"), entry.get("resource")
        if not issues.need(isinstance(url, str) and url, f"{place}.fullUrl", "Every entry needs a fullUrl."):
            continue
        issues.need(
            str(url) not in seen, f"{place}.fullUrl", "Each resource may stand in the Bundle once.", "duplicate"
        )
        absolute = str(url).startswith(("urn:uuid:", "https://", "http://"))
        issues.need(absolute, f"{place}.fullUrl", "fullUrl must be absolute or urn:uuid.", "value")
        seen.add(str(url))
        extra = sorted({"search", "request", "response"} & entry.keys())
        issues.need(not extra, place, "A collection entry has no search, request or response.", "structure")
        if not issues.need(
            isinstance(resource, dict) and isinstance(resource.get("resourceType"), str),
            f"{place}.resource",
            "Every entry needs a resource with a resourceType.",
        ):
            continue
        if resource is not None and resource["resourceType"] == "Claim":
            claims.append((str(url), resource))
        _check_closure(issues, index, str(url), resource, f"{place}.resource")
    first = index.entries[0].get("resource") if index.entries else None
    claim_first = isinstance(first, dict) and first.get("resourceType") == "Claim"
    issues.need(claim_first, "Bundle.entry[0]", "The first entry must be the Claim.", "invariant")
    return claims


def _check_closure(issues: Issues, index: BundleIndex, url: str, resource: Any, place: str) -> None:
    contained = {f"#{inner.get('id')}" for inner in dicts(resource.get("contained"))}
    for path, element in walk(resource, place):
        reference = element.get("reference")
        if isinstance(reference, str) and reference not in contained and index.entry(reference, url) is None:
            issues.add(f"{path}.reference", "The reference does not resolve inside the Bundle.", "not-found")


def _check_claim(issues: Issues, index: BundleIndex, url: str, claim: Json, *, inquiry: bool, is_2_2: bool) -> None:
    place = "Bundle.entry[0].resource"
    issues.need(claim.get("status") == "active", f"{place}.status", "Claim.status must be active.", "value")
    issues.need(claim.get("use") == "preauthorization", f"{place}.use", "Claim.use must be preauthorization.", "value")
    kind = first_code(claim.get("type"))
    known = kind in ("professional", "institutional", "oral")
    issues.need(known, f"{place}.type", "Claim.type must be professional, institutional or oral.", "value")
    identifiers = dicts(claim.get("identifier"))
    complete = identifiers and all(entry.get("system") and entry.get("value") for entry in identifiers)
    issues.need(complete, f"{place}.identifier", "Claim.identifier needs system and value.")
    if not DATE.match(str(claim.get("created", ""))):
        _instant(issues, claim.get("created"), f"{place}.created")
    issues.need(first_code(claim.get("priority")), f"{place}.priority", "Claim.priority is missing.")
    for name, types in (
        ("patient", ("Patient",)),
        ("insurer", ("Organization",)),
        ("provider", ("Organization", "PractitionerRole")),
    ):
        target = index.resource(reference_of(claim.get(name)), url) or {}
        text = f"Claim.{name} must refer to {' or '.join(types)} in the Bundle."
        issues.need(target.get("resourceType") in types, f"{place}.{name}", text)
    issues.need(requestor_npi(index, claim, url), f"{place}.provider", "The requestor has no NPI.")
    patient = index.resource(reference_of(claim.get("patient")), url) or {}
    named = any(name.get("family") for name in dicts(patient.get("name")))
    issues.need(named, f"{place}.patient", "The patient has no family name.")
    _check_insurance(issues, index, url, claim, place)
    items = dicts(claim.get("item"))
    issues.need(items or inquiry or is_cancel(claim), f"{place}.item", "A request needs at least one item.")
    _check_items(issues, claim, items, place, inquiry=inquiry)
    _check_related(issues, index, url, claim, f"{place}.related", is_2_2=is_2_2)


def _check_related(issues: Issues, index: BundleIndex, url: str, claim: Json, place: str, *, is_2_2: bool) -> None:
    """An update names one prior Claim: in PAS 2.2.1 one of its Bundle, in 2.0.1, which has one Claim in it, by identifier."""
    related = dicts(claim.get("related"))
    at_most = "An update or a cancel takes the place of exactly one Claim, and nothing else does."
    issues.need(len(related) == 1 or not (related or is_cancel(claim)), place, at_most, "invariant")
    for one in related:
        relationship = first_code(one.get("relationship"))
        issues.need(relationship == "prior", place, "related.relationship must be prior.", "value")
        named = one.get("claim")
        if is_2_2:
            prior = index.resource(reference_of(named), url) or {}
            there = prior.get("resourceType") == "Claim" and prior is not claim
            issues.need(there, place, "The prior Claim must stand in the Bundle.")
        else:
            identifier = named.get("identifier") if isinstance(named, dict) else None
            issues.need(
                identifier_key(identifier).strip("|"), place, "The prior Claim must be named by its identifier."
            )


def _check_insurance(issues: Issues, index: BundleIndex, url: str, claim: Json, place: str) -> None:
    insurances = dicts(claim.get("insurance"))
    focal = [entry for entry in insurances if entry.get("focal") is True]
    issues.need(len(focal) == 1, f"{place}.insurance", "Exactly one insurance must be focal.", "invariant")
    for number, entry in enumerate(insurances):
        at = f"{place}.insurance[{number}]"
        _positive(issues, entry.get("sequence"), f"{at}.sequence")
        coverage = index.resource(reference_of(entry.get("coverage")), url) or {}
        issues.need(
            coverage.get("resourceType") == "Coverage", f"{at}.coverage", "insurance.coverage must be a Coverage."
        )
        issues.need(coverage.get("status") == "active", f"{at}.coverage", "Coverage.status must be active.", "value")
        issues.need(reference_of(coverage.get("beneficiary")), f"{at}.coverage", "Coverage.beneficiary is missing.")
        issues.need(dicts(coverage.get("payor")), f"{at}.coverage", "Coverage.payor is missing.")
        issues.need(first_code(coverage.get("relationship")), f"{at}.coverage", "Coverage.relationship is missing.")
    issues.need(member_id(index, claim, url), f"{place}.insurance", "The coverage has no member id.")


def _check_items(issues: Issues, claim: Json, items: list[Json], place: str, *, inquiry: bool) -> None:
    diagnoses = _sequences(issues, dicts(claim.get("diagnosis")), f"{place}.diagnosis")
    team = _sequences(issues, dicts(claim.get("careTeam")), f"{place}.careTeam")
    supporting = _sequences(issues, dicts(claim.get("supportingInfo")), f"{place}.supportingInfo")
    _sequences(issues, items, f"{place}.item")
    issues.need(
        len(diagnoses) <= MAX_DIAGNOSES, f"{place}.diagnosis", "At most 12 diagnoses can be carried.", "too-long"
    )
    for number, item in enumerate(items):
        at = f"{place}.item[{number}]"
        service = [
            coding for coding in codings(item.get("productOrService")) if coding.get("system") and coding.get("code")
        ]
        issues.need(service, f"{at}.productOrService", "productOrService needs a coding with system and code.")
        if not inquiry:
            issues.need(first_code(item.get("category")), f"{at}.category", "item.category (X12 1365) is missing.")
            located = any(
                item.get(name) for name in ("locationCodeableConcept", "locationReference", "locationAddress")
            )
            issues.need(located, f"{at}.location[x]", "item.location[x] is missing.")
        for name in ("serviceItemRequestType", "certificationType"):
            text = f"The extension {name} is missing."
            issues.need(extension_code(item, name), f"{at}.extension({name})", text)
        quantity = item.get("quantity", {"value": 1})
        positive = isinstance(quantity, dict) and _is_number(quantity.get("value")) and quantity["value"] > 0
        issues.need(positive, f"{at}.quantity", "item.quantity.value must be a positive number.", "value")
        for name, known in (
            ("diagnosisSequence", diagnoses),
            ("careTeamSequence", team),
            ("informationSequence", supporting),
        ):
            wanted = item.get(name, [])
            fits = isinstance(wanted, list) and set(map(str, wanted)) <= set(map(str, known))
            issues.need(fits, f"{at}.{name}", f"item.{name} points at nothing.", "invariant")


def _check_documents(issues: Issues, index: BundleIndex, claim: Json, *, is_2_2: bool) -> None:
    """Supporting information has a category and something to say; documents travel inline, without a url."""
    for number, info in enumerate(dicts(claim.get("supportingInfo"))):
        at = f"Bundle.entry[0].resource.supportingInfo[{number}]"
        category = first_code(info.get("category"))
        issues.need(category, f"{at}.category", "supportingInfo.category is missing.")
        said = any(name.startswith(("value", "timing")) for name in info)
        issues.need(said, at, "supportingInfo needs a value or a timing.")
        if is_2_2 and category == "additionalInformation":
            document = extension(info, "documentInformation") or {}
            parts = [part.get("url") for part in dicts(document.get("extension"))]
            text = "additionalInformation needs documentInformation with reportTypeCode."
            issues.need("reportTypeCode" in parts, f"{at}.extension(documentInformation)", text)
    for number, entry in enumerate(index.entries):
        resource = entry["resource"]
        if resource["resourceType"] == "DocumentReference":
            for content in dicts(resource.get("content")):
                attachment = content.get("attachment") or {}
                inline = "data" in attachment and "url" not in attachment
                place = f"Bundle.entry[{number}].resource.content.attachment"
                issues.need(inline, place, "A document travels inline, in attachment.data, without a url.", "value")


def _check_values(issues: Issues, bundle: Json) -> None:
    """What holds wherever it stands: NPIs, ICD-10-CM codes, full dates, nothing empty, no modifier that is not known."""
    for path, element in walk(bundle, "Bundle"):
        for modifier in dicts(element.get("modifierExtension")):
            known = modifier.get("url") == f"{PAS}modifierextension-infoCancelled"
            issues.need(known, f"{path}.modifierExtension", "The modifier extension is not understood.", "extension")
        if element.get("system") == NPI and "value" in element:
            issues.need(luhn_npi(str(element["value"])), f"{path}.value", "The NPI's check digit is wrong.", "value")
        if element.get("system") == ICD10:
            fits = ICD10_CODE.match(str(element.get("code", "")))
            issues.need(fits, f"{path}.code", "Not an ICD-10-CM code; FHIR writes it with the dot.", "code-invalid")
        for name in DATE_ELEMENTS:
            if name in element:
                full = DATE.match(str(element[name]))
                issues.need(full, f"{path}.{name}", "The date must be a full YYYY-MM-DD.", "value")
        if path.endswith("servicedPeriod"):
            start, end = str(element.get("start", "")), str(element.get("end", element.get("start", "")))
            right = DATE.match(start) and DATE.match(end) and start <= end
            issues.need(right, path, "servicedPeriod needs full dates, the end not before the start.", "value")
        for name, value in element.items():
            issues.need(value not in ("", [], {}, None), f"{path}.{name}", "FHIR has no empty elements.", "structure")


def _sequences(issues: Issues, entries: list[Json], place: str) -> list[int]:
    """The sequence numbers of a list's entries, each positive and used once."""
    numbers: list[int] = []
    for number, entry in enumerate(entries):
        sequence = entry.get("sequence")
        if _positive(issues, sequence, f"{place}[{number}].sequence") and isinstance(sequence, int):
            issues.need(
                sequence not in numbers, f"{place}[{number}].sequence", "The sequence is used twice.", "duplicate"
            )
            numbers.append(sequence)
    return numbers


def _positive(issues: Issues, value: object, place: str) -> bool:
    fits = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return issues.need(fits, place, "A positive sequence number is needed.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _instant(issues: Issues, value: object, place: str) -> None:
    try:
        parse_instant(value if isinstance(value, str) else "")
    except ValueError:
        issues.add(place, "An instant with seconds and a time zone is needed.", "value")


def claim_key(claim: Json) -> str:
    """The Claim's first identifier (the trace number) as `system|value`."""
    identifiers = dicts(claim.get("identifier"))
    return identifier_key(identifiers[0]) if identifiers else ""
