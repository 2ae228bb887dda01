"""NextGen Enterprise REST: token, session, paging and master data, with the quirks that third parties recorded.

Quirks kept: empty 401, 403 and 404 bodies, empty bodies after a create, and a `nextPageLink` that
points at a host which nobody can reach.
"""

import hashlib
import hmac
import re
import uuid
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox import odata, tokens
from sandbox.answers import Refused, json_object, read_form, world_of
from sandbox.records import Json, Practice

router = APIRouter(prefix="/nextgen")
API = "/nge-api/api"
API_VERSION = "6.0.0.767"
TOKEN_SECONDS = 3600
PAGE = 25
CANCEL_REASONS = ("Patient request", "Provider unavailable", "Authorization not obtained")
TASK_CATEGORIES = ("Medical Records", "ePA", "Referral", "To Do")
PRIORITIES = ("High", "Normal", "Low")


@router.post("/nge-oauth/token")
async def token(request: Request) -> Response:
    """OAuth 2.0 client credentials, form-encoded, with `site_id`; one hour, no refresh token."""
    form = await read_form(request)
    if form.get("grant_type") != "client_credentials":
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    if not form.get("site_id"):
        return JSONResponse({"error": "invalid_request", "error_description": "site_id is missing"}, 400)
    if not form.get("client_id") or not form.get("client_secret"):
        return JSONResponse({"error": "invalid_client"}, 401)
    world = world_of(request)
    practice = world.practice(form["client_id"])
    value = tokens.issue(world, practice, "nextgen", seconds=TOKEN_SECONDS, site=form["site_id"])
    return JSONResponse({"access_token": value, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})


def bearer(request: Request) -> tuple[Practice, str]:
    """The practice and site of a valid token; 401 with an empty body without."""
    world = world_of(request)
    found = tokens.valid(world, request.headers.get("authorization", ""), "nextgen")
    if found is None:
        raise Refused(401, None)
    return world.practice(found.practice), found.site


def caller(request: Request) -> Practice:
    """The practice of a valid token and session whose app has the route; 403 with an empty body otherwise."""
    practice, site = bearer(request)
    if not hmac.compare_digest(request.headers.get("x-ng-sessionid", ""), _session(request, practice, site)):
        raise Refused(403, None)
    route = f"{request.method} {request.url.path.removeprefix(f'/nextgen{API}')}"
    if any(re.search(pattern, route) for pattern in practice.ehr.denied_routes):
        raise Refused(403, None)
    return practice


def _session(request: Request, practice: Practice, site: str) -> str:
    mac = hmac.new(world_of(request).token_key, f"{practice.id}\n{site}\nsession".encode(), hashlib.sha256)
    return mac.hexdigest()


@router.put(f"{API}/users/me/login-defaults")
async def login_defaults(request: Request) -> Response:
    """Choose enterprise and practice; the session id comes back as a response header."""
    practice, site = bearer(request)
    body = await body_of(request)
    if not body.get("enterpriseId") or not body.get("practiceId"):
        raise bad("enterpriseId and practiceId are required.")
    headers = {"x-ng-sessionid": _session(request, practice, site), "api-version": API_VERSION}
    answer = {"id": 14, "enterpriseId": body["enterpriseId"], "practiceId": body["practiceId"], "timeZone": None}
    return JSONResponse(answer, headers=headers)


@router.get(f"{API}/core/version")
async def version() -> Json:
    """A readiness probe."""
    return {"version": API_VERSION, "isDbConnectionSuccess": True}


def bad(message: str) -> Refused:
    """A 400 in NextGen's shape."""
    return Refused(400, {"message": message})


async def body_of(request: Request) -> Json:
    """The body as an object, or NextGen's words for its absence."""
    return await json_object(request, bad("Argument model cannot be null.\r\nParameter name: model"))


def guid(value: Any) -> str:
    """The value as a GUID, or NextGen's 400."""
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise bad(f"The value '{value}' is not valid for Guid.") from None


def found(items: dict[str, Json], key: str) -> Json:
    """The item of that id; 404 with an empty body when there is none."""
    if key not in items:
        raise Refused(404, None)
    return items[key]


def paged(request: Request, items: list[Json]) -> Response:
    """One page of at most 25, after `$filter` and `$orderby`, with the internal-host `nextPageLink`."""
    query = dict(request.query_params)
    try:
        if "$filter" in query:
            items = [item for item in items if odata.matches(item, query["$filter"])]
        items = odata.ordered(items, query.get("$orderby", ""))
        skip, top = int(query.get("$skip", "0")), min(PAGE, int(query.get("$top", str(PAGE))))
    except ValueError:
        raise bad("The query specified in the URI is not valid.") from None
    more = "$top" not in query and skip + top < len(items)
    link = None
    if more:
        path = request.url.path.removeprefix(f"/nextgen{API}")
        following = urlencode({**query, "$skip": str(skip + top)}, safe="$'()")
        link = f"http://127.0.0.1:889/SITE.DbName/NextGen.Api.Edge/{API_VERSION}/api{path}?{following}"
    counted = query.get("$count") == "true" or query.get("$inlinecount") == "allpages"
    body = {"items": items[skip : skip + top], "nextPageLink": link, "count": len(items) if counted else None}
    return JSONResponse(body, headers={"api-version": API_VERSION, "x-request-id": str(uuid.uuid4())})


def links(**targets: str) -> list[Json]:
    """Hypermedia links; hrefs are relative and sometimes lack the leading slash, as recorded."""
    return [{"href": href, "method": "GET", "rel": rel.replace("_", "-")} for rel, href in targets.items()]


def stamp(request: Request, practice: Practice) -> str:
    """The practice's time as NextGen writes it: without a zone, milliseconds."""
    return world_of(request).now(practice).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]


@router.get(f"{API}/master/tasks/priorities")
async def priorities(request: Request) -> list[Json]:
    """A bare array, unlike its neighbours."""
    caller(request)
    return [{"id": number, "name": name} for number, name in enumerate(PRIORITIES, start=1)]


@router.get(f"{API}/master/tasks/categories")
async def categories(request: Request) -> Response:
    """Task categories, paged."""
    caller(request)
    return paged(request, [_named(name, "task-category") for name in TASK_CATEGORIES])


@router.get(f"{API}/master/list-items")
async def list_items(request: Request) -> Response:
    """Cancel and reschedule reasons (`type` as_cancel_reason, as_resched_reason), paged."""
    caller(request)
    kinds = ("as_cancel_reason", "as_resched_reason")
    return paged(request, [{**_named(name, kind), "type": kind} for kind in kinds for name in CANCEL_REASONS])


def _named(name: str, kind: str) -> Json:
    return {"id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}:{name}")), "name": name, "isDeleted": False}


def refuse_locked(practice: Practice, encounter_id: Any) -> None:
    """NextGen's business rule: a locked encounter takes no change."""
    if encounter_id in practice.ehr.locked_encounters:
        raise bad(f"The encounter '{encounter_id}' is locked.")
