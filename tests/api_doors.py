"""The doors in-process, upon a house that runs: the real Temporal server, PostgreSQL, the sandbox, and the worker's code."""

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import SecretStr

from api.app import create_app
from api.services import Services
from domain.order import Order
from store.database import Database
from store.tokens import Role
from tests.house import Desk, House

SECRET = "synthetic-webhook-secret"
PAYERS = ("meridian-ppo", "summit-ma", "keystone-sf")


@dataclass
class Doors:
    """The API as one practice's people see it."""

    house: House
    desk: Desk
    services: Services
    http: httpx.AsyncClient

    @contextmanager
    def without_postgresql(self) -> "Iterator[Doors]":
        """The same doors in another process, as it were, from which PostgreSQL cannot be reached."""
        held = self.services
        nowhere = Database("postgresql://127.0.0.1:1/none", connect_seconds=0.2)
        away = Services.of(held.settings, held.keyring, held.practices, held.client, nowhere)
        away.tokens._remembered.update(held.tokens._remembered)
        yield replace(self, services=away, http=client_of(away))
        away.spool.close()

    async def token(self, role: Role = Role.STAFF, person: str = "ines", practice: str | None = None) -> str:
        until = datetime.now(UTC) + timedelta(hours=1)
        issued = await self.services.tokens.issue(practice or self.desk.practice.id, role, person, expires_at=until)
        return issued.secret

    async def call(self, method: str, path: str, *, token: str | None = None, **what: Any) -> httpx.Response:
        headers = {**what.pop("headers", {}), "Authorization": f"Bearer {token or await self.token()}"}
        return await self.http.request(method, path, headers=headers, **what)

    async def post(self, path: str, body: Any = None, **what: Any) -> httpx.Response:
        return await self.call("POST", path, json=body, **what)

    async def get(self, path: str, **what: Any) -> httpx.Response:
        return await self.call("GET", path, **what)

    async def opened(self, scenario: str = "100", **what: Any) -> tuple[str, Order]:
        """A case opened through the door, with nothing in flight; its path, and the order."""
        ordered = await self.desk.order(scenario, **what)
        answer = await self.post("/v1/orders", as_json(ordered))
        assert answer.status_code == 202, answer.text
        path = answer.headers["location"]
        await self.quiet(path)
        return path, ordered

    async def quiet(self, path: str) -> dict[str, Any]:
        """Wait until the case has nothing in flight; its row then."""
        from tests.house import Live

        await Live(self.desk, self.desk.client.get_workflow_handle(path.rpartition("/")[2])).quiet()
        row: dict[str, Any] = (await self.get(path)).json()
        return row

    async def kinds(self, path: str) -> list[str]:
        return [fact["kind"] for fact in (await self.get(f"{path}/facts")).json()["items"]]

    async def task(self, path: str, kind: str) -> str:
        case = (await self.get(path)).json()
        return next(str(task["task"]) for task in case["tasks"] if task["kind"] == kind)

    async def notify(
        self, payer: str, body: bytes, *, secret: str = SECRET, at: float | None = None, **headers: str
    ) -> httpx.Response:
        """POST a payer's callback, signed."""
        stamp = str(int(at if at is not None else time.time()))
        mac = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        signed = {"X-Vigil-Timestamp": stamp, "X-Vigil-Signature": f"sha256={mac}", **headers}
        return await self.http.post(
            f"/v1/webhooks/payers/{payer}",
            content=body,
            headers={"Content-Type": "application/fhir+json", **signed},
        )


def as_json(ordered: Order) -> dict[str, Any]:
    return ordered.model_dump(mode="json", exclude_none=True)


def decision_of(trace: str, member_id: str, *, outcome: str = "A1", number: str = "A204418830") -> bytes:
    """A payer's notification of a decision, as the bare response that some payers send."""
    review = {
        "url": "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewAction",
        "extension": [
            {"url": "number", "valueString": number},
            {
                "url": "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewActionCode",
                "valueCodeableConcept": {
                    "coding": [{"system": "https://codesystem.x12.org/005010/306", "code": outcome}]
                },
            },
        ],
    }
    response = {
        "resourceType": "ClaimResponse",
        "id": str(uuid.uuid4()),
        "identifier": [{"value": trace}],
        "status": "active",
        "use": "preauthorization",
        "outcome": "complete",
        "created": "2026-12-01",
        "preAuthRef": number,
        "patient": {"reference": "urn:uuid:0b1c9a52-6a43-4a3e-8a61-6282a31dadd1"},
        "request": {"identifier": {"value": trace}},
        "item": [{"itemSequence": 1, "adjudication": [{"extension": [review], "category": {"text": "submitted"}}]}],
    }
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}
    patient = {"resourceType": "Patient", "identifier": [{"type": kind, "value": member_id}]}
    entries = [
        {"resource": response},
        {"fullUrl": "urn:uuid:0b1c9a52-6a43-4a3e-8a61-6282a31dadd1", "resource": patient},
    ]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


@asynccontextmanager
async def open_doors(house: House) -> AsyncIterator[Doors]:
    """The doors of a new practice, with time standing still for its cases unless a test moves it."""
    house.settings.secrets_by_name.update({f"{payer}.webhook": SecretStr(SECRET) for payer in PAYERS})
    async with house.desk() as desk:
        services = Services.of(
            house.settings, house.keyring, house.parts.outside.practices, house.env.client, house.parts.database
        )
        with house.env.with_time_skipping_disabled():
            async with client_of(services) as http:
                yield Doors(house, desk, services, http)


def client_of(services: Services) -> httpx.AsyncClient:
    """A client of the doors in-process, from this machine."""
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
