"""Read a service review strictly, and say as an `Asked` what it asks for: an independent reading of what was sent.

Strict beyond the swagger, which requires nothing: what a 278 needs must be there, codes must have their form, dates be
real, check digits right, and every field be one of the model, of its type. Source: Availity Service Reviews 2.0.0.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from sandbox.asked import Asked, AskedLine, Kind, Person, Urgency
from sandbox.pas_check import ICD10_CODE, luhn_npi
from sandbox.pas_words import dicts
from sandbox.records import Json

TRACE_NOTE = "Trace number "
ASSERTION_NOTE = "Coverage assertion "
COUNTED = frozenset({"VS", "DY"})
"""What is counted where it is no plain unit (X12 673)."""
LEVELS: dict[str, Urgency] = {"U": "urgent", "03": "stat", "E": "routine", "": "routine"}
MAX_NOTE = 264
MAX_DIAGNOSES = 12
MAX_PROCEDURES = 99
_ADDRESS = "addressLine1 addressLine2 city state stateCode zipCode"
_NAME = "lastName firstName middleName suffix"
_PROVIDER = (
    f"{_NAME} {_ADDRESS} npi taxId payerAssignedProviderId specialty specialtyCode contactName phone extension fax"
)
_PERIOD = "fromDate toDate quantity quantityType quantityTypeCode"
_MODIFIERS = " ".join(f"modifier{n} modifierCode{n}" for n in range(1, 5))
FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "": "id payer requestingProvider subscriber patient diagnoses procedures renderingProviders providerNotes "
        "requestType requestTypeCode serviceType serviceTypeCode placeOfService placeOfServiceCode serviceLevel "
        f"serviceLevelCode admissionType admissionTypeCode admissionSource admissionSourceCode {_PERIOD}",
        "payer": "id name contactName emailAddress extension fax phone url",
        "requestingProvider": f"{_PROVIDER} submitterId emailAddress url",
        "renderingProviders": f"{_PROVIDER} role roleCode emailAddress url",
        "subscriber": f"{_NAME} {_ADDRESS} memberId",
        "patient": f"{_NAME} {_ADDRESS} birthDate gender genderCode subscriberRelationship subscriberRelationshipCode "
        "condition conditionCode status statusCode",
        "diagnoses": "qualifier qualifierCode code value date",
        "procedures": f"qualifier qualifierCode code value description notes revenueCode {_MODIFIERS} {_PERIOD}",
        "providerNotes": "type typeCode message",
    }.items()
}
"""What a sender may say, by object; what the payer says (status, certification, payer's notes) is not its to say."""
_LISTS = frozenset({"diagnoses", "procedures", "renderingProviders", "providerNotes"})
_REQUIRED = (
    "payer.id", "requestingProvider.lastName", "requestingProvider.npi", "subscriber.memberId", "patient.lastName",
    "patient.firstName", "patient.birthDate", "patient.genderCode", "patient.subscriberRelationshipCode",
    "requestTypeCode", "serviceTypeCode", "placeOfServiceCode", "fromDate", "toDate",
)  # fmt: skip
_FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    name: (re.compile(pattern), said)
    for names, pattern, said in (
        ("requestTypeCode", r"HS|AR|SC", "must be HS, AR or SC"),
        ("placeOfServiceCode", r"\d{2}", "must be two digits"),
        ("serviceTypeCode", r"[0-9A-Z]{1,2}", "must be one or two signs"),
        ("serviceLevelCode", r"03|E|U", "must be 03, E or U"),
        ("genderCode", r"[FMU]", "must be F, M or U"),
        ("subscriberRelationshipCode", r"18|01|19|G8|20|21|34", "must be a relationship code"),
        ("roleCode", r"DK|SJ|FA|71|72|73|77|DD|DN|P3|QV", "must be a role code"),
        ("quantity", r"[1-9]\d{0,3}", "must be a whole number"),
        ("quantityTypeCode", r"UN|VS|DY|FL|HS|MN", "must be a quantity type code"),
        ("stateCode", r"[A-Z]{2}", "must be two letters"),
        ("zipCode", r"\d{5}(\d{4})?", "must be five or nine digits"),
        ("phone fax", r"\d{10}", "must be ten digits"),
        ("taxId", r"\d{9}", "must be nine digits"),
        ("memberId", r"[A-Za-z0-9-]{2,80}", "must be letters and digits"),
        ("modifierCode1 modifierCode2 modifierCode3 modifierCode4", r"[0-9A-Z]{2}", "must be two signs"),
        ("lastName contactName", r".{1,60}", "must be at most 60 characters"),
        ("firstName", r".{1,35}", "must be at most 35 characters"),
        ("specialtyCode", r"[0-9]{2}[0-9A-Z]{7}X", "must be a taxonomy code"),
        ("addressLine1 addressLine2", r".{1,55}", "must be at most 55 characters"),
    )
    for name in names.split()
}
_CODES = {"procedures": re.compile(r"[0-9A-Z]{5}"), "diagnoses": ICD10_CODE}
_QUALIFIERS = {"procedures": frozenset({"HC", "N4", "ZZ"}), "diagnoses": frozenset({"ABK", "ABF", "ABJ"})}


class Problems:
    """Everything that is wrong with a body, as FieldErrors."""

    def __init__(self) -> None:
        self.found: list[Json] = []

    def add(self, field: str, text: str, index: int = 0) -> None:
        """Note what is wrong with a field; `index` is the place in its array."""
        self.found.append({"field": field, "code": "", "errorMessage": text, "index": index})


def check(body: Json) -> list[Json]:
    """What is wrong with a service review that was sent; nothing where it may go to the payer."""
    problems = Problems()
    for path in _REQUIRED:
        value: Any = body
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if value in (None, ""):
            problems.add(path, "This field is required.")
    _check_object(problems, "", body)
    _check_whole(problems, body)
    return problems.found


def _check_object(problems: Problems, name: str, value: Json, index: int = 0) -> None:
    for field, given in value.items():
        path = f"{name}.{field}" if name else field
        if field not in FIELDS[name]:
            problems.add(path, "This field is not accepted.", index)
        elif field in _LISTS and not name:
            if not isinstance(given, list) or not given or len(dicts(given)) != len(given):
                problems.add(path, "This field must be a list of objects.", index)
            for place, entry in enumerate(dicts(given)):
                _check_object(problems, field, entry, place)
        elif field in FIELDS:
            if isinstance(given, dict):
                _check_object(problems, field, given)
            else:
                problems.add(path, "This field must be an object.", index)
        elif not isinstance(given, str) or not given or given != given.strip():
            problems.add(path, "This field must be a text that is not empty.", index)
        else:
            _check_text(problems, name, field, given, index)


def _check_text(problems: Problems, name: str, field: str, value: str, index: int) -> None:
    path = f"{name}.{field}" if name else field
    form = _FORMS.get(field)
    if form is not None and not form[0].fullmatch(value):
        problems.add(path, f"This field {form[1]}.", index)
    if (field.endswith("Date") or field == "date") and read_date(value) is None:
        problems.add(path, "This field must be a date such as 2026-01-31.", index)
    if field == "npi" and not luhn_npi(value):
        problems.add(path, "This NPI has a wrong check digit.", index)
    if field == "code" and not _CODES[name].fullmatch(value):
        problems.add(path, "This code has not the form of one.", index)
    if field == "qualifierCode" and value not in _QUALIFIERS[name]:
        problems.add(path, "This qualifier is not known.", index)
    if field == "message" and len(value) > MAX_NOTE:
        problems.add(path, f"This note is longer than {MAX_NOTE} characters.", index)


def _check_whole(problems: Problems, body: Json) -> None:
    diagnoses, procedures = dicts(body.get("diagnoses")), dicts(body.get("procedures"))
    if not diagnoses:
        problems.add("diagnoses", "This field is required.")
    if len(diagnoses) > MAX_DIAGNOSES:
        problems.add("diagnoses", f"No more than {MAX_DIAGNOSES} diagnoses are accepted.", MAX_DIAGNOSES)
    if [d.get("qualifierCode") for d in diagnoses].count("ABK") != 1 or diagnoses[0].get("qualifierCode") != "ABK":
        problems.add("diagnoses.qualifierCode", "The first diagnosis, and no other, must be the principal one.")
    if not procedures and body.get("requestTypeCode") != "SC":
        problems.add("procedures", "This field is required.")
    for place, (element, name) in enumerate([(body, ""), *((p, "procedures.") for p in procedures)]):
        start, end = read_date(element.get("fromDate")), read_date(element.get("toDate"))
        if start and end and end < start:
            problems.add(f"{name}toDate", "This date is before fromDate.", max(place - 1, 0))
    for place, procedure in enumerate(procedures):
        for field in ("code", "qualifierCode", "quantity", "quantityTypeCode", "fromDate"):
            if not procedure.get(field):
                problems.add(f"procedures.{field}", "This field is required.", place)


def read_date(value: object) -> date | None:
    """A day as it is written in full; None where it is none."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def read(body: Json, kind: Kind = "request", prior_numbers: tuple[str, ...] = ()) -> Asked:
    """What a service review that has passed `check` asks for. Lines are numbered by their place."""
    patient, subscriber = body["patient"], body["subscriber"]
    itself = patient["subscriberRelationshipCode"] == "18"
    person = Person(
        family=patient["lastName"],
        given=patient["firstName"],
        birth_date=read_date(patient["birthDate"]),
        sex=patient["genderCode"],
        relationship=patient["subscriberRelationshipCode"],
    )
    insured = person if itself else Person(subscriber.get("lastName", ""), subscriber.get("firstName", ""))
    providers = {entry.get("roleCode", ""): entry.get("npi", "") for entry in dicts(body.get("renderingProviders"))}
    notes = [str(note.get("message", "")) for note in dicts(body.get("providerNotes"))]
    traces = [note.removeprefix(TRACE_NOTE) for note in notes if note.startswith(TRACE_NOTE)]
    assertions = [note.removeprefix(ASSERTION_NOTE) for note in notes if note.startswith(ASSERTION_NOTE)]
    said = [note for note in notes if not note.startswith((TRACE_NOTE, ASSERTION_NOTE))]
    return Asked(
        kind=kind,
        trace=traces[0] if traces else "",
        payer=body["payer"]["id"],
        member_id=subscriber["memberId"],
        subscriber=insured,
        patient=None if itself else person,
        requester_npi=body["requestingProvider"]["npi"],
        requester_name=body["requestingProvider"]["lastName"],
        ordering_npi=providers.get("DK", ""),
        rendering_npi=providers.get("SJ", ""),
        facility_npi=providers.get("FA", ""),
        diagnoses=tuple(entry["code"].replace(".", "").upper() for entry in dicts(body["diagnoses"])),
        urgency=LEVELS[body.get("serviceLevelCode", "")],
        referral=body["requestTypeCode"] == "SC",
        lines=tuple(_line(place, entry, body) for place, entry in enumerate(dicts(body.get("procedures")), start=1)),
        prior_numbers=prior_numbers,
        message=" ".join(said),
        assertion=assertions[0] if assertions else "",
    )


def inquiry(query: Mapping[str, str], numbers: tuple[str, ...] = ()) -> Asked:
    """What a query asks about: whose requests, at which payer, by which of the payer's numbers."""
    person = Person(
        family=query["patient.lastName"],
        given=query.get("patient.firstName", ""),
        birth_date=read_date(query["patient.birthDate"]),
        relationship=query.get("patient.subscriberRelationshipCode", "18"),
    )
    return Asked(
        kind="inquiry",
        trace="",
        payer=query["payer.id"],
        member_id=query["subscriber.memberId"],
        subscriber=person,
        requester_npi=query["requestingProvider.npi"],
        referral=query.get("requestTypeCode") == "SC",
        prior_numbers=numbers,
    )


def _line(place: int, entry: Json, body: Json) -> AskedLine:
    start = read_date(entry.get("fromDate"))
    return AskedLine(
        sequence=place,
        code=entry["code"],
        modifiers=tuple(entry[f"modifierCode{n}"] for n in range(1, 5) if f"modifierCode{n}" in entry),
        units=float(entry.get("quantity", 1)),
        place_of_service=body["placeOfServiceCode"],
        date_from=start,
        date_to=read_date(entry.get("toDate")) or start,
        counted=kind if (kind := entry.get("quantityTypeCode", "")) in COUNTED else "",
    )
