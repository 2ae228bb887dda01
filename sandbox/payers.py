"""Payers over Da Vinci PAS: token, `Claim/$submit`, `Claim/$inquire`, `$submit-attachment`, `Subscription`, `metadata`.

4xx answers carry one OperationOutcome, 5xx none (PAS specification, "HTTP Responses").
"""

import asyncio
import json
from typing import NoReturn

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from sandbox import pas_desk, pas_response, tokens
from sandbox.answers import LOST, TRUNCATED, Refused, note, read_form, spoil, world_of
from sandbox.clock import format_instant
from sandbox.faults import HTML_PAGE
from sandbox.gate import basic_credentials
from sandbox.notifications import Notifier
from sandbox.pas_attach import check_attachment
from sandbox.pas_check import SIZE_LIMIT, Issues, check_bundle, single_issue
from sandbox.pas_profiles import check_profiles
from sandbox.pas_read import read_attachment
from sandbox.pas_update import check_update
from sandbox.pas_words import TOPIC, BundleIndex, dicts
from sandbox.payer_table import PAYERS, PayerProfile
from sandbox.records import Json, Practice

router = APIRouter(prefix="/payers/{payer_id}")
FHIR_JSON = "application/fhir+json"
TOKEN_SECONDS = 300
FAILURES_BEFORE_SUCCESS = 2
TRANSIENT = {"702": 429, "703": 500}


def fhir(body: Json, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A FHIR answer."""
    return JSONResponse(body, status, headers=headers, media_type=FHIR_JSON)


def _refuse(status: int, code: str, text: str) -> NoReturn:
    raise Refused(status, single_issue(code, text), media_type=FHIR_JSON)


def _payer(payer_id: str) -> PayerProfile:
    if payer_id not in PAYERS:
        _refuse(404, "not-found", "No payer of this id has an electronic endpoint here.")
    return PAYERS[payer_id]


def _caller(request: Request, payer: PayerProfile) -> Practice:
    world = world_of(request)
    token = tokens.valid(world, request.headers.get("authorization", ""), f"payers/{payer.id}")
    if token is None:
        _refuse(401, "login", "The access token is missing, expired or not of this payer.")
    return world.practice(token.practice)


async def _fhir_body(request: Request) -> Json:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != FHIR_JSON:
        _refuse(400, "not-supported", "Content-Type must be application/fhir+json.")
    raw = await request.body()
    if len(raw) > SIZE_LIMIT:
        _refuse(413, "too-long", "The request is larger than 5 MB.")
    try:
        body = json.loads(raw)
    except ValueError:
        _refuse(400, "structure", "The body is not JSON.")
    if not isinstance(body, dict):
        _refuse(400, "structure", "The body is not a FHIR resource.")
    return body


@router.post("/oauth/token")
async def token(payer_id: str, request: Request) -> Response:
    """OAuth 2.0 client credentials; the secret may be any non-empty string. RFC 6749 errors."""
    payer = _payer(payer_id)
    form = await read_form(request)
    scheme, _, basic = request.headers.get("authorization", "").partition(" ")
    user, password = basic_credentials(basic) if scheme.lower() == "basic" else ("", "")
    client = form.get("client_id", user)
    if form.get("grant_type") != "client_credentials":
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    if not client or not form.get("client_secret", password):
        return JSONResponse({"error": "invalid_client"}, 401)
    world = world_of(request)
    value = tokens.issue(world, world.practice(client), f"payers/{payer.id}", seconds=TOKEN_SECONDS)
    answer = {
        "access_token": value,
        "token_type": "Bearer",
        "expires_in": TOKEN_SECONDS,
        "scope": form.get("scope", ""),
    }
    return JSONResponse(answer, headers={"cache-control": "no-store"})


@router.get("/fhir/metadata")
async def metadata(payer_id: str) -> Response:
    """The CapabilityStatement: FHIR 4.0.1, the PAS version that is spoken, the two operations and Subscription."""
    payer = _payer(payer_id)
    operations = [
        {"name": name, "definition": f"http://hl7.org/fhir/us/davinci-pas/OperationDefinition/{definition}"}
        for name, definition in (("submit", "Claim-submit"), ("inquire", "Claim-inquiry"))
    ]
    interactions = [{"code": "create"}, {"code": "read"}, {"code": "search-type"}]
    return fhir(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2026-01-01",
            "kind": "instance",
            "implementation": {"description": payer.name},
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "implementationGuide": [
                f"http://hl7.org/fhir/us/davinci-pas/ImplementationGuide/hl7.fhir.us.davinci-pas|{payer.pas_version}"
            ],
            "rest": [
                {
                    "mode": "server",
                    "resource": [
                        {"type": "Claim", "operation": operations},
                        {"type": "Subscription", "interaction": interactions},
                    ],
                }
            ],
        }
    )


async def _checked(request: Request, payer: PayerProfile, *, inquiry: bool) -> pas_desk.Submission:
    bundle = await _fhir_body(request)
    issues = check_bundle(bundle, inquiry=inquiry, is_2_2=payer.is_2_2)
    if not issues.found:
        check_profiles(issues, BundleIndex(bundle), inquiry=inquiry, is_2_2=payer.is_2_2)
    if issues.found:
        _refuse_all(issues)
    submission = pas_desk.read_submission(bundle, inquiry=inquiry)
    if submission.asked.kind in ("update", "cancel") and payer.is_2_2:
        issues = check_update(bundle)
        if issues.found:
            _refuse_all(issues)
    note(
        request,
        claim_identifier=submission.key,
        bundle_identifier=submission.bundle_key,
        operation="inquire" if inquiry else "submit",
    )
    return submission


def _refuse_all(issues: Issues) -> NoReturn:
    structural = any(code == "structure" for code, _, _ in issues.found)
    raise Refused(400 if structural else 422, issues.outcome(), media_type=FHIR_JSON)


@router.post("/fhir/Claim/$submit")
async def submit(payer_id: str, request: Request) -> Response:
    """Take a PAS request Bundle and answer with a PAS response Bundle, as the member id's scenario says."""
    payer = _payer(payer_id)
    practice = _caller(request, payer)
    submission = await _checked(request, payer, inquiry=False)
    early = _without_effect(practice, submission)
    if early is not None:
        return early
    taken = pas_desk.submit(world_of(request), practice, payer, submission)
    note(request, effect=taken.effect)
    if taken.bundle is None:
        _refuse(422, "business-rule", taken.refusal)
    if taken.effect == "created":
        await _spoil(request, practice, submission.scenario)
    if submission.scenario == "604" and taken.effect == "created":
        return fhir(pas_response.for_another(taken.bundle))
    return fhir(taken.bundle)


def _without_effect(practice: Practice, submission: pas_desk.Submission) -> Response | None:
    """The scenarios in which the payer never gets as far as taking the request."""
    scenario = submission.scenario
    if scenario == "601":
        return fhir(single_issue("exception", "The request could not be processed."))
    if scenario == "602":
        return HTMLResponse(HTML_PAGE)
    if scenario == "704":
        return Response(status_code=500)
    if scenario in TRANSIENT:
        seen = practice.attempts.get(submission.key, 0)
        practice.attempts[submission.key] = seen + 1
        if seen < FAILURES_BEFORE_SUCCESS:
            limited = scenario == "702"
            return Response(status_code=TRANSIENT[scenario], headers={"retry-after": "1"} if limited else {})
    return None


async def _spoil(request: Request, practice: Practice, scenario: str) -> None:
    """The scenarios in which the request is taken, but the answer comes late, cut or not at all."""
    if scenario == "701":
        await asyncio.sleep(practice.settings.slow_wall_seconds)
    elif scenario == "700":
        spoil(request, LOST)
    elif scenario == "603":
        spoil(request, TRUNCATED)


@router.post("/fhir/Claim/$inquire")
async def inquire(payer_id: str, request: Request) -> Response:
    """The current state of what the inquiry describes: Parameters in 2.2.1, one Bundle in 2.0.1."""
    payer = _payer(payer_id)
    practice = _caller(request, payer)
    inquiry = await _checked(request, payer, inquiry=True)
    world = world_of(request)
    found = pas_desk.inquire(world, practice, payer, inquiry)
    note(request, found=str(len(found)))
    if payer.is_2_2:
        parameters: Json = {"resourceType": "Parameters"}
        if found:
            parameters["parameter"] = [{"name": "responseBundle", "resource": bundle} for bundle in found]
        return fhir(parameters)
    if not found:
        return fhir(pas_response.not_found_2_0(payer, inquiry.bundle, format_instant(world.now(practice))))
    return fhir(pas_response.merged(found))


@router.post("/fhir/$submit-attachment")
async def submit_attachment(payer_id: str, request: Request) -> Response:
    """CDex attachments for a pended request, by the payer's control number; 200 with a hint when nothing waits."""
    payer = _payer(payer_id)
    practice = _caller(request, payer)
    body = await _fhir_body(request)
    issues = check_attachment(body)
    if issues.found:
        _refuse_all(issues)
    asked = read_attachment(body)
    practice.attachments += [
        {"payer": payer.id, "tracking_id": asked.trace, "sha256": document.sha256} for document in asked.documents
    ]
    note(request, operation="submit-attachment", tracking_id=asked.trace)
    names = {asked.trace, *asked.prior_numbers}
    if any(pas_desk.inform(world_of(request), practice, payer, name, asked.member_id) for name in sorted(names)):
        return Response(status_code=200)
    held = single_issue("informational", "The attachment is kept for a request to come.")
    held["issue"][0]["severity"] = "information"
    return fhir(held)


@router.post("/fhir/Subscription")
async def subscribe(payer_id: str, request: Request) -> Response:
    """Create the practice's subscription; a handshake goes to its endpoint, and makes it `active` or `error`."""
    payer = _payer(payer_id)
    practice = _caller(request, payer)
    resource = await _fhir_body(request)
    channel = resource.get("channel")
    endpoint = channel.get("endpoint") if isinstance(channel, dict) else None
    issues = Issues()
    issues.need(resource.get("resourceType") == "Subscription", "Subscription", "Not a Subscription.", "structure")
    issues.need(resource.get("status") == "requested", "Subscription.status", "status must be requested.", "value")
    issues.need(resource.get("criteria") == TOPIC, "Subscription.criteria", "criteria must be the PAS topic.", "value")
    hook = isinstance(channel, dict) and channel.get("type") == "rest-hook"
    issues.need(hook, "Subscription.channel.type", "Only rest-hook is served.", "not-supported")
    http = isinstance(endpoint, str) and endpoint.startswith(("http://", "https://"))
    issues.need(http, "Subscription.channel.endpoint", "endpoint must be an HTTP URL.", "value")
    media_type = channel.get("payload") if isinstance(channel, dict) else None
    json_only = "payload must be application/fhir+json."
    issues.need(media_type == FHIR_JSON, "Subscription.channel.payload", json_only, "not-supported")
    said = (channel.get("_payload") or {}) if isinstance(channel, dict) else {}
    contents = [
        e.get("valueCode") for e in dicts(said.get("extension")) if str(e.get("url")).endswith("payload-content")
    ]
    served = (["full-resource"],) if payer.is_2_2 else (["full-resource"], ["id-only"])
    issues.need(contents in served, "Subscription.channel.payload.extension", "This content is not served.", "value")
    criteria = dicts((resource.get("_criteria") or {}).get("extension"))
    issues.need(
        criteria, "Subscription.criteria.extension(backport-filter-criteria)", "The organization must be named."
    )
    for criterion in criteria:
        named = str(criterion.get("valueString", "")).startswith(f"{payer.subscription_filter}=")
        text = f"The filter of this payer is named {payer.subscription_filter}."
        issues.need(named, "Subscription.criteria.extension(backport-filter-criteria)", text, "value")
    if issues.found:
        _refuse_all(issues)
    notifier = _notifier(request)
    subscription = notifier.add(practice, payer.id, str(endpoint), notifier.secret_of(resource), resource)
    note(request, operation="subscribe", subscription=subscription.id)
    base = str(request.base_url).rstrip("/")
    location = f"{base}/payers/{payer.id}/fhir/Subscription/{subscription.id}"
    return fhir(subscription.resource, 201, {"location": location})


def _notifier(request: Request) -> Notifier:
    notifier = request.app.state.notifier
    if not isinstance(notifier, Notifier):
        raise TypeError("the application has no notifier: make it with sandbox.app.create_app()")
    return notifier


@router.get("/fhir/Subscription")
async def subscriptions(payer_id: str, request: Request) -> Response:
    """The practice's subscriptions at this payer."""
    payer = _payer(payer_id)
    practice = _caller(request, payer)
    mine = [entry for entry in practice.subscriptions if entry.payer == payer.id]
    entries = [{"resource": {**entry.resource, "status": entry.status}} for entry in mine]
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
    if entries:
        bundle["entry"] = entries
    return fhir(bundle)


@router.get("/fhir/Subscription/{subscription_id}")
async def subscription(payer_id: str, subscription_id: str, request: Request) -> Response:
    """One of the practice's subscriptions."""
    payer = _payer(payer_id)
    practice = _caller(request, payer)
    for entry in practice.subscriptions:
        if entry.id == subscription_id and entry.payer == payer.id:
            return fhir({**entry.resource, "status": entry.status})
    _refuse(404, "not-found", "No such subscription.")


@router.delete("/fhir/Subscription/{subscription_id}")
async def unsubscribe(payer_id: str, subscription_id: str, request: Request) -> Response:
    """End a subscription."""
    payer = _payer(payer_id)
    practice = _caller(request, payer)
    practice.subscriptions = [entry for entry in practice.subscriptions if entry.id != subscription_id]
    return Response(status_code=204)
