"""The gateway `relay`: Availity's token, Service Reviews 2.0.0 and Configurations 1.0.0, in front of payers' 278.

Its quirks: 202 first and the answer on a later poll; validation messages inside a 200; 429 without headers; no idempotency
key, so the same again is another record and at the payer a duplicate; demo and live on one host, told apart by the scope and
by `X-Api-Mock-Response`. What the payer decides is `desk`'s.
"""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from sandbox import desk, gateway_read, gateway_rules, gateway_write, tokens
from sandbox.answers import LOST, TRUNCATED, Refused, note, read_form, spoil, world_of
from sandbox.asked import Asked
from sandbox.faults import HTML_PAGE
from sandbox.gateway_write import error
from sandbox.payer_table import ALL_PAYERS, PayerProfile
from sandbox.records import HeldReview, Json, Practice, Revision
from sandbox.world import World

router = APIRouter(prefix="/gateways/relay")
SYSTEM = "gateways/relay"
TOKEN_SECONDS = 300
PRODUCT = "healthcare-hipaa-transactions"
PLANS = {f"{PRODUCT}-demo": "demo", f"{PRODUCT}-standard": "standard"}
LIMIT = 50
FAILURES_BEFORE_SUCCESS = 2
RAIL = "gateway"
OWN = "relay"
"""Holds what the gateway has a record of and the payer has not: duplicates, and what never reached it."""
QUERY = frozenset(
    {"payer.id", "requestingProvider.npi", "requestingProvider.lastName", "subscriber.memberId", "patient.lastName"}
    | {"patient.firstName", "patient.birthDate", "patient.subscriberRelationshipCode", "requestTypeCode", "fromDate"}
    | {"toDate", "certificationNumber", "referenceNumber", "statusCode", "sessionId", "limit", "offset"}
)


class _Caller:
    """The practice that calls, by a token that is good for this gateway, and the headers of every answer to it."""

    def __init__(self, request: Request) -> None:
        self.world: World = world_of(request)
        token = tokens.valid(self.world, request.headers.get("authorization", ""), SYSTEM)
        if token is None:
            raise Refused(401, error(401, "The access token is missing or expired."))
        self.practice: Practice = self.world.practice(token.practice)
        self.now = self.world.now(self.practice)
        self.headers = {"X-Availity-Transaction-ID": f"tx-{self.world.next_number()}"}
        if token.site == "demo":
            self.headers["X-Api-Mock-Response"] = "true"

    def answer(self, body: Json | None, status: int = 200, **headers: str) -> Response:
        """An answer with the gateway's headers; underscores in names stand for hyphens."""
        named = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is None:
            return Response(status_code=status, headers=named)
        return JSONResponse(body, status, headers=named)

    def refuse(self, status: int, text: str, *errors: Json) -> NoReturn:
        """Refuse with the gateway's ErrorResponse."""
        refused = Refused(status, error(status, text, list(errors)))
        refused.headers = self.headers
        raise refused

    def accepted(self, request: Request, record: str, text: str, body: Json | None = None) -> Response:
        """202 with the place of a record."""
        base = str(request.base_url).rstrip("/")
        location = f"{base}/gateways/relay/v2/service-reviews/{record}"
        return self.answer(body, 202, Location=location, X_Status_Message=text)

    def held(self, record: str) -> HeldReview:
        """The practice's record of that id, or 404."""
        named = [held for held in self.practice.reviews if held.wire.get("record") == record]
        if not named or named[0].wire.get("voided") == "gone":
            self.refuse(404, "There is no such service review.")
        return named[0]

    def count(self, name: str) -> int:
        """How often something has happened before."""
        seen = self.practice.attempts.get(name, 0)
        self.practice.attempts[name] = seen + 1
        return seen


@router.post("/v1/token")
async def token(request: Request) -> Response:
    """OAuth 2.0 client credentials as a form; the scope names product and plan; the secret is any non-empty string."""
    form = await read_form(request)
    if form.get("grant_type") != "client_credentials":
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    if not form.get("client_id") or not form.get("client_secret"):
        return JSONResponse({"error": "invalid_client"}, 401)
    scopes = form.get("scope", "").split()
    plans = [PLANS[scope] for scope in scopes if scope in PLANS]
    if PRODUCT not in scopes or len(plans) != 1 or len(scopes) != len(plans) + 1:
        return JSONResponse({"error": "invalid_scope"}, 400)
    world = world_of(request)
    practice = world.practice(form["client_id"])
    value = tokens.issue(world, practice, SYSTEM, seconds=TOKEN_SECONDS, site=plans[0])
    answer = {"access_token": value, "token_type": "Bearer", "expires_in": TOKEN_SECONDS, "scope": form["scope"]}
    return JSONResponse(answer, headers={"cache-control": "no-store"})


@router.get("/v1/configurations")
async def configurations(request: Request) -> Response:
    """A payer's field rules for a type of request; without a payer the list of payers."""
    caller = _Caller(request)
    query = request.query_params
    if query.get("type") != "service-reviews":
        caller.refuse(400, "The type of configuration is not known.", _field("type", "This field is required."))
    found = gateway_rules.configurations(query.get("payerId"), query.get("subtypeId"))
    return caller.answer(_page("configurations", found, request))


@router.post("/v2/service-reviews")
async def create(request: Request) -> Response:
    """A new service review: 202 with its place. The same again is another one."""
    caller = _Caller(request)
    body, payer = await _checked(caller, request)
    if "id" in body:
        caller.refuse(400, "The request is not valid.", _field("id", "A new service review has no id."))
    asked = gateway_read.read(body)
    note(request, operation="submit", claim_identifier=asked.trace or "none")
    failed = _transient(caller, asked)
    if failed is not None:
        return failed
    held = _take(caller, payer, asked, body)
    note(request, effect=held.wire["effect"], record=held.wire["record"])
    if asked.scenario == "701":
        await asyncio.sleep(caller.practice.settings.slow_wall_seconds)
    elif asked.scenario == "700":
        spoil(request, LOST)
    return caller.accepted(request, held.wire["record"], "In Progress")


@router.put("/v2/service-reviews")
async def update(request: Request) -> Response:
    """The whole service review anew, in place of the one with its id."""
    caller = _Caller(request)
    body, payer = await _checked(caller, request)
    held = caller.held(str(body.get("id", "")))
    if held.payer != payer.id or all(line.action == "A3" for line in held.at(caller.now).lines):
        caller.refuse(
            400, "The service review cannot be updated.", _field("id", "This service review is not updatable.")
        )
    asked = gateway_read.read(body, "update", (held.administrative_number,))
    answered = desk.take(caller.world, caller.practice, payer, RAIL, asked)
    note(request, operation="submit", claim_identifier=asked.trace or "none", effect=answered.effect)
    if answered.errors:
        caller.refuse(
            400, "The service review cannot be updated.", _field("id", "This service review is not updatable.")
        )
    sent = {name: value for name, value in body.items() if name != "id"}
    held.wire |= {"sent": json.dumps(sent), "polls": "0"}
    return caller.accepted(request, held.wire["record"], "In Progress")


@router.delete("/v2/service-reviews/{record}")
async def void(record: str, request: Request) -> Response:
    """Void a service review: at once and without a trace (204) where nothing is certified, else on its way (202)."""
    caller = _Caller(request)
    held = caller.held(record)
    note(request, operation="cancel", record=record)
    payer = ALL_PAYERS.get(held.payer)
    if payer is None:
        caller.refuse(
            400, "The service review cannot be voided.", _field("id", "This service review is not deletable.")
        )
    certified = any(line.number for line in held.at(caller.now).lines)
    wanted = replace(held.asked, kind="cancel", prior_numbers=(held.administrative_number,))
    answered = desk.take(caller.world, caller.practice, payer, RAIL, wanted)
    if answered.errors:
        caller.refuse(
            400, "The service review cannot be voided.", _field("id", "This service review is not deletable.")
        )
    if not certified:
        held.wire["voided"] = "gone"
        return caller.answer(None, 204)
    held.wire["polls"] = "0"
    return caller.accepted(request, record, "Void In Progress")


@router.get("/v2/service-reviews/{record}")
async def read(record: str, request: Request) -> Response:
    """One service review: 202 until the payer has answered, then what it says now."""
    caller = _Caller(request)
    held = caller.held(record)
    note(request, operation="read", record=record)
    scenario = held.scenario
    waits = scenario == "820" and caller.now < held.received_at + timedelta(days=1)
    first = held.wire["polls"] == "0"
    held.wire["polls"] = "1"
    if first or waits:
        return caller.accepted(request, record, "In Progress")
    if scenario == "601":
        return caller.answer(error(500, "The payer could not be reached."))
    if scenario == "602":
        return HTMLResponse(HTML_PAGE, headers=caller.headers)
    review = _written(caller, held)
    if scenario in ("603", "604") and caller.count(f"{scenario} {record}") == 0:
        if scenario == "604":
            return caller.answer(gateway_write.another_patients(review))
        spoil(request, TRUNCATED)
    return caller.answer(review)


@router.get("/v2/service-reviews")
async def search(request: Request) -> Response:
    """An inquiry at the payer, by patient and requester: the first time 202, then what it finds. Pages of 50."""
    caller = _Caller(request)
    query = dict(request.query_params)
    note(request, operation="inquire")
    needed = ("payer.id", "requestingProvider.npi", "subscriber.memberId", "patient.lastName", "patient.birthDate")
    wrong = [_field(name, "This parameter is not known.") for name in sorted(query.keys() - QUERY)]
    wrong += [_field(name, "This parameter is required.") for name in needed if not query.get(name)]
    dates = [name for name in query if name.endswith("Date")]
    wrong += [_field(n, "This must be a date.") for n in dates if gateway_read.read_date(query[n]) is None]
    payer = _payer(query.get("payer.id", ""))
    if wrong or payer is None:
        caller.refuse(400, "The query is not valid.", *(wrong or [_field("payer.id", "This payer is not known.")]))
    if caller.count("search " + json.dumps(query, sort_keys=True)) == 0:
        return caller.answer(_page("serviceReviews", [], request), 202, X_Status_Message="In Progress")
    found = [review for review in _find(caller, payer, query) if _fits(review, query)]
    note(request, found=str(len(found)))
    return caller.answer(_page("serviceReviews", found, request))


async def _checked(caller: _Caller, request: Request) -> tuple[Json, PayerProfile]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        caller.refuse(400, "Content-Type must be application/json.")
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        caller.refuse(400, "The body is not a JSON object.")
    wrong = gateway_read.check(body)
    payer = _payer(body["payer"]["id"]) if not wrong else None
    if payer is None:
        caller.refuse(400, "The request is not valid.", *(wrong or [_field("payer.id", "This payer is not known.")]))
    return body, payer


def _transient(caller: _Caller, asked: Asked) -> Response | None:
    """The scenarios in which nothing is taken: 429 without a word when to come again, 500 without anything."""
    if asked.scenario == "704":
        return Response(status_code=500)
    if asked.scenario in ("702", "703") and caller.count(f"submit {asked.trace}") < FAILURES_BEFORE_SUCCESS:
        return Response(status_code=429 if asked.scenario == "702" else 500)
    return None


def _take(caller: _Caller, payer: PayerProfile, asked: Asked, body: Json) -> HeldReview:
    """Make a record, and let the payer take what its own rules let through."""
    messages = gateway_rules.validation_messages(asked.payer, body)
    effect = "refused"
    held: HeldReview | None = None
    lines = []
    if not messages and asked.scenario not in ("601", "602"):
        answered = desk.take(caller.world, caller.practice, payer, RAIL, asked)
        effect, lines = answered.effect, list(answered.lines)
        held = answered.held if effect == "created" else None
    if held is None:
        held = HeldReview(
            payer=OWN,
            rail=RAIL,
            asked=asked,
            scenario=asked.scenario,
            received_at=caller.now,
            administrative_number="",
            revisions=[Revision(at=caller.now, lines=lines)],
        )
        caller.practice.reviews.append(held)
    held.wire = {
        "record": f"SR{caller.world.next_number()}",
        "sent": json.dumps(body),
        "polls": "0",
        "effect": effect,
        "messages": json.dumps(messages),
    }
    return held


def _written(caller: _Caller, held: HeldReview) -> Json:
    """A record as it stands now."""
    sent, record = json.loads(held.wire["sent"]), held.wire["record"]
    messages = json.loads(held.wire["messages"])
    if messages:
        return {**sent, "id": record, "validationMessages": messages}
    answered = desk.answer(held, caller.now)
    return gateway_write.service_review(sent, record, answered, held.received_at, held.at(caller.now).at)


def _find(caller: _Caller, payer: PayerProfile, query: dict[str, str]) -> list[Json]:
    """What the payer finds, and the gateway's own records beside it. Both lag alike."""
    numbers = tuple(query[name] for name in ("certificationNumber", "referenceNumber") if query.get(name))
    wanted = gateway_read.inquiry(query, numbers)
    lag = timedelta(seconds=caller.practice.settings.index_lag_seconds)
    own = [
        held
        for held in caller.practice.reviews
        if (held.payer, held.asked.member_id) == (OWN, wanted.member_id)
        and (held.asked.payer, held.asked.requester_npi) == (wanted.payer, wanted.requester_npi)
        and held.received_at + lag <= caller.now
        and not numbers
    ]
    at_payer = desk.inquire(caller.world, caller.practice, payer, wanted)
    found: list[Json] = []
    for held in [*own, *(answered.held for answered in at_payer if answered.held is not None)]:
        if held.wire.get("voided") == "gone":
            continue
        if "record" not in held.wire:
            found.append(gateway_write.from_payer(desk.answer(held, caller.now)))
        elif held.wire["polls"] == "0":
            sent = json.loads(held.wire["sent"])
            found.append(gateway_write.in_progress(sent, held.wire["record"], held.received_at))
        else:
            found.append(_written(caller, held))
    return found


def _fits(review: Json, query: dict[str, str]) -> bool:
    """Whether a review is of the patient, the type and the days that are asked about, as far as it says so."""
    patient = review.get("patient", {})
    dates = [(d.get("fromDate"), d.get("toDate")) for d in [review, *review.get("procedures", [])]]
    start = min((first for first, _ in dates if first), default=None)
    end = max((last for _, last in dates if last), default=None)
    pairs = [
        (query.get("patient.lastName"), patient.get("lastName")),
        (query.get("patient.firstName"), patient.get("firstName")),
        (query.get("patient.birthDate"), patient.get("birthDate")),
        (query.get("requestTypeCode"), review.get("requestTypeCode")),
        (query.get("fromDate"), start),
        (query.get("toDate"), end),
        (query.get("statusCode"), review.get("statusCode")),
    ]
    return all(asked is None or said is None or asked.casefold() == said.casefold() for asked, said in pairs)


def _payer(code: str) -> PayerProfile | None:
    return ALL_PAYERS.get(gateway_rules.PAYER_CODES.get(code, ""))


def _field(name: str, text: str) -> Json:
    return {"field": name, "code": "", "errorMessage": text, "index": 0}


def _page(name: str, found: list[Json], request: Request) -> Json:
    """A ResultSet: at most 50 from an offset."""
    query = request.query_params
    offset, limit = (
        int(query.get(word, str(default))) if query.get(word, str(default)).isdigit() else default
        for word, default in (("offset", 0), ("limit", LIMIT))
    )
    limit = min(max(limit, 1), LIMIT)
    page = found[offset : offset + limit]
    return {
        name: page,
        "count": len(page),
        "totalCount": len(found),
        "offset": offset,
        "limit": limit,
        "links": {"self": {"href": str(request.url.replace(query=None))}},
    }
