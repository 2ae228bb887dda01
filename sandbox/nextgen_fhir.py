"""NextGen Enterprise FHIR R4: read and search only, as its CapabilityStatement says.

No Task, Appointment, Communication, Claim, Subscription or Binary. Search parameters that the server does not know are
refused. Pages are linked by an opaque `next`; the order of results is not by time.
"""

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox.answers import Refused
from sandbox.clock import parse_instant
from sandbox.nextgen import bearer
from sandbox.pas_check import single_issue
from sandbox.pas_words import codings, dicts, reference_of
from sandbox.records import Json, Practice

router = APIRouter(prefix="/nextgen/fhir/R4")
FHIR_JSON = "application/fhir+json"
DEFAULT_COUNT = 20
MAX_COUNT = 50
TYPES = (
    "ServiceRequest",
    "Patient",
    "Coverage",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
    "DocumentReference",
    "Condition",
    "Encounter",
    "RelatedPerson",
    "Procedure",
    "Observation",
    "DiagnosticReport",
)
OF_A_PATIENT = frozenset(TYPES) - {"Patient", "Practitioner", "PractitionerRole", "Organization", "Location"}
PAGING = {"_count", "_maxresults"}
COMPARISONS: dict[str, Callable[[datetime, datetime], bool]] = {
    "ge": lambda left, right: left >= right,
    "gt": lambda left, right: left > right,
    "le": lambda left, right: left <= right,
    "lt": lambda left, right: left < right,
    "eq": lambda left, right: left == right,
}


def _refusal(status: int, code: str, text: str) -> Refused:
    return Refused(status, single_issue(code, text), media_type=FHIR_JSON)


def _kind(resource_type: str) -> str:
    if resource_type not in TYPES:
        raise _refusal(404, "not-supported", "The server does not serve this resource type.")
    return resource_type


@router.get("/metadata")
async def metadata() -> Response:
    """What can be read and searched; nothing can be written."""
    resources = [
        {
            "type": kind,
            "interaction": [{"code": "read"}, {"code": "search-type"}],
            "searchParam": [{"name": name, "type": "token"} for name in sorted(_parameters(kind))],
        }
        for kind in TYPES
    ]
    body: Json = {"resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1"}
    body |= {"date": "2026-01-01", "format": ["json"], "rest": [{"mode": "server", "resource": resources}]}
    return JSONResponse(body, media_type=FHIR_JSON)


def _parameters(kind: str) -> set[str]:
    """The search parameters of a type."""
    names = {"_id", "_lastUpdated"}
    if kind in OF_A_PATIENT:
        names.add("patient")
    if kind in ("ServiceRequest", "DocumentReference", "Condition", "Procedure", "Observation", "DiagnosticReport"):
        names |= {"category", "code"}
    if kind == "ServiceRequest":
        names.add("authored")
    if kind in ("Patient", "Practitioner", "Organization"):
        names |= {"identifier", "name"}
    if kind == "Patient":
        names |= {"family", "given", "birthdate"}
    return names


@router.get("/{resource_type}/{resource_id}")
async def read(resource_type: str, resource_id: str, request: Request) -> Response:
    """One resource."""
    practice, _ = bearer(request)
    resource = practice.ehr.fhir.get(_kind(resource_type), {}).get(resource_id)
    if resource is None:
        raise _refusal(404, "not-found", "No such resource.")
    return JSONResponse(resource, media_type=FHIR_JSON)


@router.get("/{resource_type}")
async def search(resource_type: str, request: Request) -> Response:
    """A searchset Bundle, with a `next` link while there is more."""
    practice, _ = bearer(request)
    kind = _kind(resource_type)
    query, skip = _query(request)
    count = _count(query)
    unknown = sorted({name for name, _ in query} - _parameters(kind) - PAGING)
    if unknown:
        raise _refusal(400, "not-supported", f"The search parameter {unknown[0]} is not supported.")
    hits = _hits(practice, kind, query)
    base = f"{str(request.base_url).rstrip('/')}/nextgen/fhir/R4/{kind}"
    shown = hits[skip : skip + count]
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": len(hits)}
    bundle["link"] = [{"relation": "self", "url": str(request.url)}]
    if skip + count < len(hits):
        cursor = base64.urlsafe_b64encode(json.dumps([query, skip + count]).encode()).decode()
        bundle["link"].append({"relation": "next", "url": f"{base}?_getpages={cursor}"})
    if shown:
        bundle["entry"] = [
            {"fullUrl": f"{base}/{hit['id']}", "resource": hit, "search": {"mode": "match"}} for hit in shown
        ]
    return JSONResponse(bundle, media_type=FHIR_JSON)


def _query(request: Request) -> tuple[list[tuple[str, str]], int]:
    """The search's parameters and where its page begins; a `_getpages` cursor carries both."""
    cursor = request.query_params.get("_getpages")
    if cursor is None:
        return [(name, value) for name, value in request.query_params.multi_items()], 0
    try:
        query, skip = json.loads(base64.urlsafe_b64decode(cursor))
        return [(str(name), str(value)) for name, value in query], int(skip)
    except (ValueError, TypeError, binascii.Error):
        raise _refusal(400, "invalid", "The page cannot be found.") from None


def _count(query: list[tuple[str, str]]) -> int:
    wanted = next((value for name, value in query if name in PAGING), str(DEFAULT_COUNT))
    if not wanted.isdigit() or int(wanted) < 1:
        raise _refusal(400, "invalid", "_count must be a positive number.")
    return min(int(wanted), MAX_COUNT)


def _hits(practice: Practice, kind: str, query: list[tuple[str, str]]) -> list[Json]:
    resources = sorted(practice.ehr.fhir.get(kind, {}).values(), key=lambda resource: str(resource["id"]))
    wanted = [(name, value) for name, value in query if name not in PAGING]
    return [resource for resource in resources if all(_matches(resource, name, value) for name, value in wanted)]


def _matches(resource: Json, name: str, value: str) -> bool:
    if name == "_id":
        return resource["id"] in value.split(",")
    if name in ("_lastUpdated", "authored"):
        at = resource["meta"]["lastUpdated"] if name == "_lastUpdated" else resource.get("authoredOn")
        return _compares(at, value)
    if name == "patient":
        patient = resource.get("subject") or resource.get("beneficiary") or resource.get("patient")
        return reference_of(patient).rpartition("/")[2] == value.rpartition("/")[2]
    if name in ("category", "code"):
        concepts = resource.get("category" if name == "category" else "type" if "type" in resource else "code")
        return _token(concepts, value)
    if name == "identifier":
        system, _, code = value.rpartition("|")
        pairs = [(entry.get("system"), entry.get("value")) for entry in dicts(resource.get("identifier"))]
        return any(code == found and system in ("", of) for of, found in pairs)
    if name == "birthdate":
        return bool(resource.get("birthDate") == value)
    return _named(resource, name, value)


def _compares(at: Any, value: str) -> bool:
    prefix = value[:2] if value[:2] in COMPARISONS else "eq"
    text = value.removeprefix(prefix) if value[:2] in COMPARISONS else value
    try:
        limit = parse_instant(text if "T" in text else f"{text}T00:00:00Z")
    except ValueError:
        raise _refusal(400, "invalid", "The date of the search cannot be read.") from None
    return isinstance(at, str) and COMPARISONS[prefix](parse_instant(at if "T" in at else f"{at}T00:00:00Z"), limit)


def _token(concepts: Any, value: str) -> bool:
    system, _, code = value.rpartition("|")
    found = [
        coding for concept in (concepts if isinstance(concepts, list) else [concepts]) for coding in codings(concept)
    ]
    return any(coding.get("code") == code and system in ("", coding.get("system")) for coding in found)


def _named(resource: Json, name: str, value: str) -> bool:
    names = resource.get("name")
    if isinstance(names, str):
        return names.lower().startswith(value.lower())
    for entry in dicts(names):
        given = [str(part) for part in entry.get("given", [])]
        parts = {"family": [str(entry.get("family", ""))], "given": given}.get(
            name, [str(entry.get("family", "")), *given]
        )
        if any(part.lower().startswith(value.lower()) for part in parts):
            return True
    return False
