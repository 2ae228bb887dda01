"""Strictness about what the PAS profiles fix: code systems and codes, what each resource must have, and who may be referred to.

Source: Da Vinci PAS 2.2.1 and 2.0.1, the profiles of the request; X12 code lists by their URLs, with the codes that a
request may carry (1322, 1525, 1338). Checked of the first Claim and of everything in its Bundle. Texts carry no values.
"""

import base64
import binascii
import re

from sandbox.pas_check import Issues
from sandbox.pas_words import (
    ICD10,
    NPI,
    PAS,
    X12,
    BundleIndex,
    codings,
    dicts,
    extension,
    reference_of,
    walk,
)
from sandbox.records import Json

HL7 = "http://terminology.hl7.org/CodeSystem/"
PAS_CODES = "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes"
_URN = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
_MAX_TEAM = 14
_MAX_IDENTIFIERS = 2

_EXTENSIONS: dict[str, tuple[str, frozenset[str] | None]] = {
    "certificationType": (f"{X12}1322", frozenset(["I", "R", "S", "1", "2", "3", "4", "N"])),
    "serviceItemRequestType": (f"{X12}1525", frozenset(["AR", "HS", "IN", "SC"])),
    "levelOfServiceCode": (f"{X12}1338", frozenset(["03", "E", "U"])),
}
_CLAIM: dict[str, tuple[str, ...]] = {
    "type": (f"{HL7}claim-type",),
    "priority": (f"{HL7}processpriority",),
}
_CATEGORIES = frozenset(
    ["patientEvent", "admissionDates", "dischargeDates", "additionalInformation", "freeFormMessage"]
)
_SERVICES = (
    "http://www.ama-assn.org/go/cpt",
    "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "http://hl7.org/fhir/sid/ndc",
    "http://snomed.info/sct",
    "http://www.nlm.nih.gov/research/umls/rxnorm",
    f"{X12}1365",
    f"{HL7}data-absent-reason",
)
_NEEDED: dict[str, tuple[str, ...]] = {
    "Patient": ("identifier", "name", "gender"),
    "Coverage": ("status", "beneficiary", "payor"),
    "Organization": ("active", "name"),
    "Practitioner": ("identifier", "name"),
    "PractitionerRole": ("practitioner",),
    "ServiceRequest": ("status", "intent", "subject", "code"),
    "DocumentReference": ("status", "type", "category", "subject", "content"),
    "QuestionnaireResponse": ("questionnaire", "status"),
}
_TARGETS: dict[tuple[str, str], tuple[str, ...]] = {
    ("Coverage", "beneficiary"): ("Patient",),
    ("Coverage", "subscriber"): ("Patient",),
    ("PractitionerRole", "practitioner"): ("Practitioner",),
    ("PractitionerRole", "organization"): ("Organization",),
    ("ServiceRequest", "subject"): ("Patient",),
    ("DocumentReference", "subject"): ("Patient",),
}
_ONCE = frozenset(
    f"{PAS}extension-{name}"
    for name in (
        *_EXTENSIONS,
        "authorizationNumber",
        "administrationReferenceNumber",
        "requestedService",
        "infoChanged",
        "documentInformation",
        "careTeamClaimScope",
        "TransmissionIdentifiers",
    )
)
_KNOWN = _ONCE | {
    f"{PAS}extension-{name}"
    for name in (
        "itemTraceNumber",
        "conditionCode",
        "homeHealthCareInformation",
        "diagnosisRecordedDate",
        "productOrServiceCodeEnd",
        "epsdtIndicator",
        "nursingHomeResidentialStatus",
        "nursingHomeLevelOfCare",
        "revenueUnitRateLimit",
        "serviceCodeEnd",
        "serviceLineNumber",
        "identifierJurisdiction",
        "identifierSubDepartment",
        "militaryStatus",
        "patientStatus",
        "communicatedDiagnosis",
        "contentModifier",
        "itemCertificationEffectiveDate",
        "itemCertificationExpirationDate",
        "itemCertificationIssueDate",
        "reviewActionCode",
    )
}


def check_profiles(issues: Issues, index: BundleIndex, *, inquiry: bool, is_2_2: bool) -> None:
    """Note what is wrong with a Bundle that has passed the checks of its structure."""
    url = str(index.entries[0]["fullUrl"])
    claim: Json = index.entries[0]["resource"]
    place = "Bundle.entry[0].resource"
    for name, systems in _CLAIM.items():
        _coded(issues, claim.get(name), systems, f"{place}.{name}")
    _check_people(issues, index, url, claim, place)
    _check_team(issues, index, url, claim, place)
    for number, item in enumerate(dicts(claim.get("item"))):
        _check_item(issues, index, url, item, f"{place}.item[{number}]", inquiry=inquiry)
    for number, entry in enumerate(dicts(claim.get("diagnosis"))):
        _coded(issues, entry.get("diagnosisCodeableConcept"), (ICD10,), f"{place}.diagnosis[{number}]")
    for number, entry in enumerate(dicts(claim.get("supportingInfo"))):
        at = f"{place}.supportingInfo[{number}].category"
        _coded(issues, entry.get("category"), (PAS_CODES,), at, _CATEGORIES)
    _check_profile_of(issues, claim, place, inquiry=inquiry)
    for number, entry in enumerate(index.entries):
        at = f"Bundle.entry[{number}]"
        if str(entry["fullUrl"]).startswith("urn:"):
            issues.need(_URN.match(str(entry["fullUrl"])), f"{at}.fullUrl", "A urn:uuid needs a UUID.", "value")
        _check_resource(issues, index, str(entry["fullUrl"]), entry["resource"], f"{at}.resource", is_2_2=is_2_2)
    _check_references(issues, index)


def _check_profile_of(issues: Issues, claim: Json, place: str, *, inquiry: bool) -> None:
    named = [str(one) for one in (claim.get("meta") or {}).get("profile", [])]
    kind = "profile-claim-inquiry" if inquiry else "profile-claim-update" if claim.get("related") else "profile-claim"
    fits = not named or any(one.partition("|")[0] == f"{PAS}{kind}" for one in named)
    issues.need(fits, f"{place}.meta.profile", f"This Claim must be of {kind}.", "value")
    if kind == "profile-claim":
        parts = [*dicts(claim.get("item")), *dicts(claim.get("supportingInfo"))]
        marked = any(extension(part, "infoChanged") or part.get("modifierExtension") for part in parts)
        issues.need(not marked, f"{place}.item", "Only an update says what became of its parts.", "invariant")


def _check_people(issues: Issues, index: BundleIndex, url: str, claim: Json, place: str) -> None:
    """The patient has an identifier, the coverage is the patient's and paid by the insurer, a dependent has a subscriber."""
    patient = index.resource(reference_of(claim.get("patient")), url) or {}
    insurer = index.resource(reference_of(claim.get("insurer")), url) or {}
    _coded(issues, next(iter(dicts(insurer.get("type"))), None), (f"{X12}98",), f"{place}.insurer", frozenset({"PR"}))
    whole = all(one.get("system") and one.get("value") for one in dicts(patient.get("identifier")))
    issues.need(whole, f"{place}.patient", "The patient's identifier needs system and value.")
    for entry in dicts(claim.get("insurance")):
        at = f"{place}.insurance.coverage"
        held = index.entry(reference_of(entry.get("coverage")), url) or {}
        coverage: Json = held.get("resource") or {}
        base = str(held.get("fullUrl", url))
        beneficiary = index.resource(reference_of(coverage.get("beneficiary")), base)
        issues.need(beneficiary is patient, at, "The coverage's beneficiary must be the patient.", "invariant")
        payors = [index.resource(reference_of(one), base) for one in dicts(coverage.get("payor"))]
        issues.need(any(one is insurer for one in payors), at, "The coverage's payor must be the insurer.", "invariant")
        relation = [c.get("code") for c in codings(coverage.get("relationship")) if c.get("system") == f"{X12}1069"]
        issues.need(len(relation) <= 1, at, "relationship has at most one code of X12 1069.")
        own = relation in ([], ["18"]) or coverage.get("subscriber")
        issues.need(own, at, "The coverage of a dependent needs its subscriber.")


def _check_team(issues: Issues, index: BundleIndex, url: str, claim: Json, place: str) -> None:
    team = dicts(claim.get("careTeam"))
    issues.need(len(team) <= _MAX_TEAM, f"{place}.careTeam", "At most 14 members can be carried.", "too-long")
    for number, member in enumerate(team):
        at = f"{place}.careTeam[{number}]"
        scope = extension(member, "careTeamClaimScope") or {}
        issues.need(isinstance(scope.get("valueBoolean"), bool), at, "careTeamClaimScope is missing.")
        if "role" in member:
            _coded(issues, member["role"], (f"{X12}98",), f"{at}.role")
        provider = index.resource(reference_of(member.get("provider")), url) or {}
        fits = provider.get("resourceType") in ("Organization", "PractitionerRole", "Practitioner")
        issues.need(fits, f"{at}.provider", "A provider is an Organization or a PractitionerRole.", "value")


def _check_item(issues: Issues, index: BundleIndex, url: str, item: Json, place: str, *, inquiry: bool) -> None:
    if not inquiry:
        _coded(issues, item.get("category"), (f"{X12}1365",), f"{place}.category")
    _coded(issues, item.get("productOrService"), _SERVICES, f"{place}.productOrService")
    quantity = item.get("quantity")
    if isinstance(quantity, dict):
        said = quantity.get("unit") or quantity.get("code")
        issues.need(said, f"{place}.quantity", "A quantity needs a unit or a code.")
        right = "code" not in quantity or quantity.get("system") == f"{X12}673"
        issues.need(right, f"{place}.quantity", "The code of a quantity is one of X12 673.", "code-invalid")
    twice = "servicedDate" in item and "servicedPeriod" in item
    issues.need(not twice, place, "serviced[x] may be there once.", "structure")
    for one in dicts(item.get("extension")):
        if one.get("url") == f"{PAS}extension-itemTraceNumber":
            trace = one.get("valueIdentifier") or {}
            issues.need(trace.get("system") and trace.get("value"), place, "itemTraceNumber needs system and value.")
    wanted = extension(item, "requestedService")
    if wanted is not None:
        order = index.resource(reference_of(wanted.get("valueReference")), url) or {}
        kinds = ("ServiceRequest", "DeviceRequest", "MedicationRequest", "NutritionOrder")
        issues.need(order.get("resourceType") in kinds, place, "requestedService refers to an order.", "value")
    how = extension(item, "infoChanged")
    issues.need(how is None or how.get("valueCode") in ("added", "changed"), place, "infoChanged is no such code.")


def _check_resource(issues: Issues, index: BundleIndex, url: str, made: Json, place: str, *, is_2_2: bool) -> None:
    kind = str(made["resourceType"])
    identity = made.get("id") is None or url.rpartition(":" if url.startswith("urn:") else "/")[2] == made["id"]
    issues.need(identity, f"{place}.id", "The id is not that of the fullUrl.", "invariant")
    for name in _NEEDED.get(kind, ()):
        issues.need(made.get(name), f"{place}.{name}", f"{kind}.{name} is missing.")
    for (of, name), targets in _TARGETS.items():
        if of == kind and reference_of(made.get(name)):
            target = index.resource(reference_of(made[name]), url) or {}
            text = f"{kind}.{name} must refer to a {targets[0]}."
            issues.need(target.get("resourceType") in targets, f"{place}.{name}", text, "value")
    for identifier in dicts(made.get("identifier")):
        issues.need(identifier.get("value"), f"{place}.identifier", "An identifier needs a value.")
    if kind == "Claim":
        few = len(dicts(made.get("identifier"))) <= _MAX_IDENTIFIERS
        issues.need(few, f"{place}.identifier", "At most two identifiers.", "too-long")
    if kind == "ServiceRequest":
        issues.need(made.get("intent") == "order", f"{place}.intent", "ServiceRequest.intent must be order.", "value")
    if kind == "Practitioner":
        npis = [one for one in dicts(made.get("identifier")) if one.get("system") == NPI]
        issues.need(npis, f"{place}.identifier", "The practitioner has no NPI.")
    if kind == "DocumentReference":
        _check_document(issues, made, place, is_2_2=is_2_2)
    for path, element in walk(made, place):
        _check_extensions(issues, element, path)


def _check_document(issues: Issues, made: Json, place: str, *, is_2_2: bool) -> None:
    for content in dicts(made.get("content")):
        attachment = content.get("attachment") or {}
        at = f"{place}.content.attachment"
        issues.need(attachment.get("contentType") or not is_2_2, at, "An attachment needs its contentType.")
        issues.need(is_base64(attachment.get("data")), at, "attachment.data must be base64.", "value")


def is_base64(data: object) -> bool:
    """Whether a value is base64Binary."""
    try:
        base64.b64decode(data if isinstance(data, str) else "*", validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _check_extensions(issues: Issues, element: Json, place: str) -> None:
    """Extensions of PAS are known, at most once where they may be there once, and with codes of their lists."""
    seen: set[str] = set()
    for one in dicts(element.get("extension")):
        url = str(one.get("url", ""))
        if not url.startswith(PAS):
            continue
        issues.need(url in _KNOWN, f"{place}.extension", "PAS has no such extension here.", "extension")
        issues.need(url not in seen or url not in _ONCE, f"{place}.extension", "The extension may be there once.")
        seen.add(url)
        listed = _EXTENSIONS.get(url.removeprefix(f"{PAS}extension-"))
        if listed is not None:
            _coded(issues, one.get("valueCodeableConcept"), listed[:1], f"{place}.extension", listed[1])
        if url == f"{PAS}extension-documentInformation":
            names = [str(part.get("url")) for part in dicts(one.get("extension"))]
            issues.need(
                len(names) == len(set(names)), f"{place}.extension", "A part of documentInformation is there twice."
            )


def _check_references(issues: Issues, index: BundleIndex) -> None:
    """Everything in the Bundle is referred to, from the Claims on."""
    reached: set[int] = set()
    waiting = [entry for entry in index.entries if entry["resource"]["resourceType"] == "Claim"]
    while waiting:
        entry = waiting.pop()
        if id(entry) in reached:
            continue
        reached.add(id(entry))
        for _, element in walk(entry["resource"], ""):
            reference = element.get("reference")
            target = index.entry(reference, str(entry["fullUrl"])) if isinstance(reference, str) else None
            waiting += [target] if target is not None else []
    for number, entry in enumerate(index.entries):
        text = "Nothing in the Bundle refers to this resource."
        issues.need(id(entry) in reached, f"Bundle.entry[{number}]", text, "invariant")


def _coded(
    issues: Issues, concept: object, systems: tuple[str, ...], place: str, codes: frozenset[str] | None = None
) -> None:
    """A CodeableConcept has a code of one of the systems, and of the list where there is one."""
    given = [c for c in codings(concept) if c.get("system") in systems and c.get("code")]
    if issues.need(given, place, "A code of the system that the profile fixes is needed.", "code-invalid"):
        listed = codes is None or any(c["code"] in codes for c in given)
        issues.need(listed, place, "The code is not of the list that the profile binds.", "code-invalid")
