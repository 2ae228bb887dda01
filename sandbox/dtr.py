"""Payers' forms by `Questionnaire/$questionnaire-package` (Da Vinci DTR).

Strict on what it is sent: Parameters with one Coverage that has a member id, an order or a context, references that resolve.
It knows one form, `imaging`, by its canonical URL; by a member id that ends in 911 also without one, and in 919 an adaptive one.
"""

import json

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox import tokens
from sandbox.answers import Refused, note, world_of
from sandbox.pas_check import SIZE_LIMIT, Issues, single_issue
from sandbox.pas_words import dicts
from sandbox.payer_table import PAYERS
from sandbox.records import Json

router = APIRouter(prefix="/payers/{payer_id}/fhir/Questionnaire")
FHIR_JSON = "application/fhir+json"
STRUCTURE = "http://hl7.org/fhir/StructureDefinition/"
DTR = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
ADAPTIVE = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-questionnaireAdaptive"
WITHOUT_NAME = ("911",)
"""Members for whose orders there is a form although none was named."""


@router.post("/$questionnaire-package")
async def questionnaire_package(payer_id: str, request: Request) -> Response:
    """The package of the form that is wanted, none where there is none, or 4xx with an OperationOutcome."""
    if payer_id not in PAYERS:
        raise Refused(404, single_issue("not-found", "No payer of this id."), media_type=FHIR_JSON)
    world = world_of(request)
    if tokens.valid(world, request.headers.get("authorization", ""), f"payers/{payer_id}") is None:
        raise Refused(401, single_issue("login", "The access token is missing or expired."), media_type=FHIR_JSON)
    parameters = dicts((await _body(request)).get("parameter"))
    issues = Issues()
    coverages = [one["resource"] for one in parameters if one.get("name") == "coverage" and one.get("resource")]
    orders = [one["resource"] for one in parameters if one.get("name") == "order" and one.get("resource")]
    context = next((str(one.get("valueString", "")) for one in parameters if one.get("name") == "context"), "")
    canonicals = [str(one.get("valueCanonical", "")) for one in parameters if one.get("name") == "questionnaire"]
    issues.need(len(coverages) == 1, "Parameters.coverage", "One coverage is needed.", "required")
    issues.need(bool(orders or context), "Parameters.order", "An order or a context is needed.", "required")
    known = {"coverage", "order", "referenced", "questionnaire", "context", "changedsince"}
    strange = {str(one.get("name")) for one in parameters} - known
    issues.need(not strange, "Parameters.parameter.name", "There is a parameter that the operation lacks.", "structure")
    held = {
        f"{one['resource'].get('resourceType')}/{one['resource'].get('id')}" for one in parameters if "resource" in one
    }
    for order in orders:
        subject = order.get("subject")
        named = subject.get("reference") if isinstance(subject, dict) else None
        issues.need(
            named in held, "Parameters.order.subject", "The subject is not among what is referenced.", "required"
        )
    member = str(coverages[0].get("subscriberId", "")) if coverages else ""
    issues.need(bool(member), "Parameters.coverage.subscriberId", "A member id is needed.", "required")
    if issues.found:
        raise Refused(422, issues.outcome(), media_type=FHIR_JSON)
    scenario = "".join(letter for letter in member if letter.isdigit())[-3:]
    note(request, operation="questionnaire-package", context=context)
    ours = f"https://{payer_id}.example/Questionnaire/imaging"
    wanted = [name for name in canonicals if name.partition("|")[0] == ours]
    answer: Json = {"resourceType": "Parameters"}
    if scenario == "919":
        answer["parameter"] = [{"name": "PackageBundle", "resource": _bundle([_adaptive(ours)])}]
    elif wanted or (not canonicals and scenario in WITHOUT_NAME):
        answer["parameter"] = [
            {"name": "PackageBundle", "resource": _bundle([_form(ours), _sides(ours), _draft(ours)])}
        ]
    elif canonicals:
        raise Refused(404, single_issue("not-found", "There is no such questionnaire."), media_type=FHIR_JSON)
    return JSONResponse(answer, media_type=FHIR_JSON)


async def _body(request: Request) -> Json:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != FHIR_JSON:
        raise Refused(
            400, single_issue("not-supported", "Content-Type must be application/fhir+json."), media_type=FHIR_JSON
        )
    raw = await request.body()
    try:
        body = json.loads(raw) if len(raw) <= SIZE_LIMIT else None
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        raise Refused(400, single_issue("structure", "The body is no Parameters."), media_type=FHIR_JSON)
    return body


def _bundle(resources: list[Json]) -> Json:
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [f"{DTR}DTR-QPackageBundle"]},
        "type": "collection",
        "entry": [
            {"fullUrl": f"https://payer.example/{one['resourceType']}/{one['id']}", "resource": one}
            for one in resources
        ],
    }


def _item(link: str, kind: str, text: str, **more: object) -> Json:
    return {"linkId": link, "type": kind, "text": text, **more}


def _form(url: str) -> Json:
    patient = f"{STRUCTURE}Patient#Patient"
    limits = [
        {"url": f"{STRUCTURE}minValue", "valueInteger": 0},
        {"url": f"{STRUCTURE}maxValue", "valueInteger": 520},
    ]
    short = [{"question": "2.1", "operator": "<", "answerInteger": 6}]
    about_patient = [
        _item("1.1", "string", "Family name", required=True, definition=f"{patient}.name.family"),
        _item("1.2", "date", "Birth date", required=True, definition=f"{patient}.birthDate"),
    ]
    clinical = [
        _item("2.1", "integer", "Weeks of conservative therapy", required=True, extension=limits),
        _item("2.2", "text", "Why was there less than six weeks?", required=True, enableWhen=short),
        _item("2.3", "choice", "Side", required=True, answerValueSet=f"{url}/sides"),
        _item("2.4", "boolean", "Is there a red flag?"),
    ]
    earlier = [_item("3.1", "string", "Modality", required=True), _item("3.2", "date", "Date")]
    return {
        "resourceType": "Questionnaire",
        "id": "imaging",
        "meta": {"profile": [f"{DTR}dtr-std-questionnaire"]},
        "url": url,
        "version": "1.0",
        "title": "Advanced imaging (synthetic)",
        "status": "active",
        "item": [
            _item("1", "group", "Patient", item=about_patient),
            _item("2", "group", "Clinical information", item=clinical),
            _item("3", "group", "Earlier imaging", repeats=True, item=earlier),
        ],
    }


def _sides(url: str) -> Json:
    codes = [
        {"system": f"{url}/side", "code": code, "display": code.capitalize()} for code in ("left", "right", "both")
    ]
    return {
        "resourceType": "ValueSet",
        "id": "sides",
        "url": f"{url}/sides",
        "status": "active",
        "expansion": {"timestamp": "2026-01-01T00:00:00Z", "contains": codes},
    }


def _draft(url: str) -> Json:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "draft",
        "questionnaire": f"{url}|1.0",
        "status": "in-progress",
        "item": [{"linkId": "2", "item": [{"linkId": "2.4", "answer": [{"valueBoolean": False}]}]}],
    }


def _adaptive(url: str) -> Json:
    return {
        "resourceType": "Questionnaire",
        "id": "adaptive",
        "meta": {"profile": [f"{DTR}dtr-questionnaire-adapt-search"]},
        "extension": [{"url": ADAPTIVE, "valueUrl": url}],
        "url": f"{url}-adaptive",
        "status": "active",
    }
