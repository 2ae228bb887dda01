"""Documents inside a message: a DocumentReference with its content, or the answered form as the resource that it is.

Sources: PAS 2.2.1 `profile-documentreference` (inline data, no url); CDex 2.1.0 `$submit-attachment`; DTR 2.0.1.
"""

import base64
from collections.abc import Callable

from connectors.codes import DOCUMENT_TYPE, DOCUMENT_TYPES, QUESTIONNAIRE, REPORT_TYPE, REPORT_TYPES
from connectors.errors import Refused
from connectors.lenient import Json, NotJson, objects, parse, raw
from connectors.pas.parties import concept, resource
from connectors.pas.words import LOINC, NOTE_CATEGORY, X12_REPORT
from domain.order import DocumentRef

QUESTIONNAIRE_RESPONSE = "questionnaire_response"
"""The kind of document that is a payer's form, answered."""
_FHIR_JSON = "application/fhir+json"
_DEEPEST = 60

Refer = Callable[[str], Json | None]
"""A Reference of ours to a type of resource (`Patient`, `Practitioner` …), or None where the message has none."""


def is_form(ref: DocumentRef) -> bool:
    """Whether a document is an answered form that travels as a resource."""
    return ref.kind == QUESTIONNAIRE_RESPONSE and ref.media_type.partition(";")[0].strip() == _FHIR_JSON


def document_type(ref: DocumentRef) -> Json:
    """Return the LOINC type of a document."""
    return concept(LOINC, QUESTIONNAIRE if is_form(ref) else DOCUMENT_TYPES.get(ref.kind, DOCUMENT_TYPE))


def report_type(ref: DocumentRef) -> Json:
    """Return the X12 report type (PWK01) of a document."""
    return concept(X12_REPORT, REPORT_TYPES.get(ref.kind, REPORT_TYPE))


def document_reference(ref: DocumentRef, content: bytes, subject: Json, profile: str | None) -> Json:
    """Return a document with its content inside."""
    dated = {"period": {"start": ref.dated.isoformat(), "end": ref.dated.isoformat()}} if ref.dated else None
    return resource(
        "DocumentReference",
        profile,
        status="current",
        type=document_type(ref),
        category=[concept(NOTE_CATEGORY, "clinical-note")],
        subject=subject,
        content=[{"attachment": {"contentType": ref.media_type, "data": base64.b64encode(content).decode()}}],
        context=dated,
    )


def form(content: bytes, refer: Refer) -> Json:
    """Return an answered form (QuestionnaireResponse, alone or in its Bundle) with references that hold in the message.

    What it refers to by the chart's own ids is named by `refer`; where that knows nothing, only the type is kept.

    Raises:
        Refused: the document is no QuestionnaireResponse.
    """
    try:
        found = parse(content)
    except NotJson:
        raise Refused("document:no_questionnaire_response") from None
    if found.get("resourceType") == "Bundle":
        inside = [entry.get("resource") for entry in objects(found.get("entry"))]
        found = next(
            (r for r in inside if isinstance(r, dict) and r.get("resourceType") == "QuestionnaireResponse"), {}
        )
    if found.get("resourceType") != "QuestionnaireResponse":
        raise Refused("document:no_questionnaire_response")
    kept = {f"#{raw(inner.get('id'))}" for inner in objects(found.get("contained"))}
    made = _named(found, refer, kept, _DEEPEST)
    if not isinstance(made, dict):
        raise Refused("document:no_questionnaire_response")
    return {name: value for name, value in made.items() if name != "id"}


def _named(value: object, refer: Refer, kept: set[str], depth: int) -> object:
    """The same JSON with its references as they hold here."""
    if depth == 0:
        raise Refused("document:nested_too_deeply")
    if isinstance(value, list):
        return [_named(one, refer, kept, depth - 1) for one in value]
    if not isinstance(value, dict):
        return value
    literal = value.get("reference")
    if isinstance(literal, str) and literal not in kept:
        kind = literal.partition("/_history/")[0].rpartition("/")[0].rpartition("/")[2] or "Resource"
        return refer(kind) or {"display": f"{kind[:60]} in the practice's record"}
    return {name: _named(one, refer, kept, depth - 1) for name, one in value.items()}
