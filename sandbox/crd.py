"""Payers' own rules by CDS Hooks (Da Vinci CRD): discovery, and the hooks `order-sign`, `order-dispatch`, `appointment-book`.

Strict on what it is sent: hook, hookInstance, context, prefetch and the patient behind them; 400 with one sentence else. What
it answers is what the last three digits of the member id say from 910 to 919, and for others only that it is covered.
"""

import asyncio
import uuid
from typing import NoReturn

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from sandbox import tokens
from sandbox.answers import Refused, note, read_json, world_of
from sandbox.faults import HTML_PAGE
from sandbox.pas_words import dicts
from sandbox.payer_table import PAYERS, PayerProfile
from sandbox.records import Json, Practice

router = APIRouter(prefix="/payers/{payer_id}/cds-services")

URL = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
REASONS = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/temp"
HOOKS = {
    "order-sign": ("draftOrders", "userId", "patientId"),
    "order-dispatch": ("dispatchedOrders", "patientId", "performer"),
    "appointment-book": ("appointments", "userId", "patientId"),
}
PREFETCH = {
    "patient": "Patient/{{context.patientId}}",
    "coverage": "Coverage?patient={{context.patientId}}&status=active",
    "serviceRequests": "ServiceRequest?_id={{context.draftOrders.entry.resource.ofType(ServiceRequest).id}}",
    "practitionerRoles": "PractitionerRole?_id={{context.draftOrders.entry.resource.requester.resolve().id}}",
    "practitioners": "Practitioner?_id={{%practitionerRoles.entry.resource.practitioner.resolve().id}}",
    "organizations": "Organization?_id={{%practitionerRoles.entry.resource.organization.resolve().id}}",
    "locations": "Location?_id={{context.draftOrders.entry.resource.locationReference.resolve().id}}",
}


@router.get("")
async def discovery(payer_id: str, request: Request) -> Response:
    """The services of a payer; one that speaks PAS 2.2.1 names its versions of CRD, an older one does not."""
    payer, _ = _caller(payer_id, request)
    services = []
    for hook in HOOKS:
        service: Json = {
            "hook": hook,
            "id": f"{hook}-crd",
            "title": f"{payer.name} coverage requirements",
            "description": f"Coverage requirements at {hook}",
            "prefetch": PREFETCH,
        }
        if payer.is_2_2:
            service["extension"] = {"davinci-crd.version": ["2.1", "2.2"]}
        services.append(service)
    return JSONResponse({"services": services})


@router.post("/{service_id}")
async def ask(payer_id: str, service_id: str, request: Request) -> Response:
    """Answer a hook: coverage-information on each order by system actions, and cards beside it."""
    payer, practice = _caller(payer_id, request)
    hook = service_id.removesuffix("-crd")
    if hook not in HOOKS or service_id != f"{hook}-crd":
        _refuse("There is no such service.", 404)
    body = await _body(request)
    orders, targets, coverage = _checked(body, hook, payer)
    member = str(coverage.get("subscriberId", ""))
    scenario = "".join(letter for letter in member if letter.isdigit())[-3:]
    note(request, operation=hook, hook_instance=str(body["hookInstance"]))
    if scenario == "914":
        await asyncio.sleep(practice.settings.slow_wall_seconds)
    if scenario == "916":
        return HTMLResponse(HTML_PAGE)
    cards = [_card(payer)] if scenario in ("915", "917") else []
    if scenario == "917":
        return JSONResponse({"cards": cards, "systemActions": []})
    today = world_of(request).now(practice).date()
    actions = []
    for target in targets:
        about = orders if target["resourceType"] == "Appointment" else [target]
        said = [_said(payer, scenario, hook, order, str(coverage.get("id")), today.isoformat()) for order in about]
        actions.append({"type": "update", "resource": {**target, "extension": said}})
    return JSONResponse({"cards": cards, "systemActions": actions})


def _said(payer: PayerProfile, scenario: str, hook: str, order: Json, coverage: str, today: str) -> Json:
    parts: list[Json] = [{"url": "coverage", "valueReference": {"reference": f"Coverage/{coverage}"}}]
    assertion = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{payer.id} {coverage} {order.get('id')} {hook}"))

    def part(name: str, **value: object) -> None:
        parts.append({"url": name, **value})

    match scenario:
        case "910":
            part("covered", valueCode="covered")
            part("pa-needed", valueCode="no-auth")
            part("reason", valueCodeableConcept={"coding": [{"system": REASONS, "code": "gold-card"}]})
        case "911" | "919":
            part("covered", valueCode="covered")
            part("pa-needed", valueCode="auth-needed")
            part("doc-needed", valueCode="clinical")
            part("doc-purpose", valueCode="withpa")
            part("questionnaire", valueCanonical=f"https://{payer.id}.example/Questionnaire/imaging|1.0")
        case "912":
            part("covered", valueCode="covered")
            part("pa-needed", valueCode="satisfied")
            part("satisfied-pa-id", valueString=payer.certification_number(4418830))
        case "913":
            part("covered", valueCode="conditional")
            part("pa-needed", valueCode="payer-decides-later")
        case "915":
            part("covered", valueCode="conditional")
            part("pa-needed", valueCode="conditional" if hook == "order-sign" else "auth-needed")
            part("info-needed", valueCode="performer")
        case "918":
            part("covered", valueCode="covered")
            part("pa-needed", valueCode="auth-needed")
        case _:  # covered, and nothing said of authorizations: the payer's released rules decide
            part("covered", valueCode="covered")
    part("billingCode", valueCoding={"system": "http://www.ama-assn.org/go/cpt", "code": _code(order)})
    part("date", valueDate=today)
    part("coverage-assertion-id", valueString=assertion)
    contact = {"system": "phone", "value": "800-555-0110"}
    if payer.is_2_2:
        part("contact", valueContactDetail={"name": "Provider services", "telecom": [contact]})
    else:
        part("contact", valueContactPoint=contact)
    return {"url": URL, "extension": parts}


def _card(payer: PayerProfile) -> Json:
    return {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, payer.id)),
        "summary": "Ask early in the month: reviews take longer at its end.",
        "indicator": "info",
        "source": {"label": payer.name},
    }


def _checked(body: Json, hook: str, payer: PayerProfile) -> tuple[list[Json], list[Json], Json]:
    """The ServiceRequests, the resources that the answer speaks of, and the coverage; 400 for what a guide forbids."""
    if body.get("hook") != hook:
        _refuse(f"hook must be {hook}.")
    try:
        uuid.UUID(str(body.get("hookInstance")))
    except ValueError:
        _refuse("hookInstance must be a UUID.")
    context = body.get("context")
    if not isinstance(context, dict):
        _refuse("context is missing.")
    wanted = HOOKS[hook]
    if hook == "order-dispatch" and not payer.is_2_2:
        wanted = ("order", "patientId", "performer")
    missing = [name for name in wanted if not context.get(name)]
    if missing:
        _refuse(f"context needs {', '.join(missing)}.")
    prefetch = body.get("prefetch")
    if not isinstance(prefetch, dict) or set(prefetch) - set(PREFETCH):
        _refuse("prefetch must have keys of the service's own templates.")
    if "fhirServer" not in body and set(prefetch) != set(PREFETCH):
        _refuse("Without a fhirServer every prefetch key must be there, null where nothing is known.")
    patient = prefetch.get("patient")
    if not isinstance(patient, dict) or patient.get("resourceType") != "Patient":
        _refuse("prefetch.patient must be a Patient.")
    if patient.get("id") != context["patientId"] or not patient.get("birthDate"):
        _refuse("prefetch.patient must be the patient of the context, with a birthDate.")
    coverages = _entries(prefetch.get("coverage"), "Coverage")
    if len(coverages) != 1 or not coverages[0].get("subscriberId") or not coverages[0].get("payor"):
        _refuse("prefetch.coverage must hold one Coverage with subscriberId and payor.", 422)
    orders = _entries(prefetch.get("serviceRequests"), "ServiceRequest")
    targets = _targets(context, hook, orders)
    for order in orders:
        if order.get("intent") != "original-order" or not _code(order) or not order.get("requester"):
            _refuse("Each ServiceRequest needs intent original-order, a billing code and a requester.", 422)
        subject = order.get("subject")
        if not isinstance(subject, dict) or subject.get("reference") != f"Patient/{context['patientId']}":
            _refuse("Each ServiceRequest must be for the patient of the context.", 422)
    return orders, targets, coverages[0]


def _targets(context: Json, hook: str, orders: list[Json]) -> list[Json]:
    known = {str(order.get("id")): order for order in orders}
    match hook:
        case "order-sign":
            targets = _entries(context["draftOrders"], "ServiceRequest")
        case "appointment-book":
            targets = _entries(context["appointments"], "Appointment")
        case _:
            named = context.get("dispatchedOrders") or [context.get("order")]
            targets = [known[ref] for one in named if (ref := str(one).rpartition("/")[2]) in known]
    if not targets or not orders:
        _refuse("The context names no order that the prefetch holds.")
    return targets


def _entries(bundle: object, kind: str) -> list[Json]:
    entries = dicts(bundle.get("entry")) if isinstance(bundle, dict) else []
    resources = [entry.get("resource") for entry in entries]
    return [one for one in resources if isinstance(one, dict) and one.get("resourceType") == kind and one.get("id")]


def _code(order: Json) -> str:
    code = order.get("code")
    given = dicts(code.get("coding")) if isinstance(code, dict) else []
    return next((str(one["code"]) for one in given if one.get("code")), "")


def _caller(payer_id: str, request: Request) -> tuple[PayerProfile, Practice]:
    if payer_id not in PAYERS:
        _refuse("No payer of this id has an electronic endpoint here.", 404)
    world = world_of(request)
    token = tokens.valid(world, request.headers.get("authorization", ""), f"payers/{payer_id}")
    if token is None:
        _refuse("The access token is missing, expired or not of this payer.", 401)
    return PAYERS[payer_id], world.practice(token.practice)


async def _body(request: Request) -> Json:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        _refuse("Content-Type must be application/json.")
    try:
        body = await read_json(request)
    except ValueError:
        _refuse("The body is not JSON.")
    if not isinstance(body, dict):
        _refuse("The body is not an object.")
    return body


def _refuse(message: str, status: int = 400) -> NoReturn:
    raise Refused(status, {"message": message})
