"""The application: every door put together, with its description."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api import (
    alerts,
    cases,
    codec,
    corrections,
    documents,
    fax_hints,
    health,
    orders,
    questionnaires,
    tasks,
    webhooks,
)
from api.answers import CHANGES
from api.guards import Bounds, Observed
from api.problems import ProblemDetails, install
from api.services import Services
from domain.order import Order

DESCRIPTION = """\
Vigil keeps watch over every referral and prior authorization of a practice, from the order until the last visit.

**Tokens** belong to a practice and a role: *intake* sends orders; *staff* reads and works cases; a *supervisor* also gives
back what others hold; an *operator* also corrects the record and sees alerts; *codec* opens payloads for the Temporal Web
UI, and no more. A case of another practice is not told apart from none (404), and that it was asked for is audited.

**Idempotency-Key** is taken on every POST: the same key and body get the first answer again, another body gets 422.

**Problems** are RFC 9457 (`application/problem+json`): `code` for programs, `detail` for people, `errors` by field.

**While PostgreSQL is away** orders, callbacks and people's reports are taken; reads are answered with 503.
"""
TAGS = [
    {"name": "orders", "description": "Intake: an order becomes a watched case, once."},
    {"name": "cases", "description": "Where cases stand, what happened in them, and what people learned."},
    {"name": "tasks", "description": "People's work: claim, hand in a structured result, give back."},
    {"name": "documents", "description": "Documents of a case, sealed at rest."},
    {"name": "questionnaires", "description": "Payers' forms: read, save, submit."},
    {"name": "corrections", "description": "Taking a fact back, by two operators."},
    {"name": "alerts", "description": "What operators should look at outside of cases."},
    {"name": "webhooks", "description": "Callbacks of payers, fax services and HISPs."},
    {"name": "codec", "description": "Opens sealed payloads for the Temporal Web UI and CLI."},
    {"name": "health", "description": "Liveness, readiness, metrics."},
]


def create_app(services: Services) -> FastAPI:
    """The application upon services that the caller opens and closes."""
    app = FastAPI(
        title="Vigil",
        version="1",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    app.state.services = services
    for door in (
        orders,
        cases,
        tasks,
        documents,
        questionnaires,
        corrections,
        alerts,
        webhooks,
        fax_hints,
        codec,
        health,
    ):
        app.include_router(door.router)
    install(app)
    # The last one added is the first one passed.
    app.add_middleware(Bounds)
    app.add_middleware(Observed)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the schemas that doors read by themselves and the header that every POST takes."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, tags=TAGS, routes=app.routes
        )
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        for name, body in _SCHEMAS["$defs"].items():
            schemas.setdefault(name, body)
        for path, operations in schema["paths"].items():
            if "post" in operations and path.startswith("/v1/") and "/webhooks/" not in path:
                operations["post"].setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                operations["post"]["responses"] |= {str(status): text for status, text in CHANGES.items()}
        app.openapi_schema = schema
    return app.openapi_schema


_, _SCHEMAS = models_json_schema(
    [(Order, "validation"), (ProblemDetails, "serialization")], ref_template="#/components/schemas/{model}"
)
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names this request: sent again with the same body it happens once, and gets its first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "example": "0190b7f6-5f0e-7c3a-9c51-2f7b8a1d4e21",
}
