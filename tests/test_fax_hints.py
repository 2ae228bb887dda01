"""Callbacks of fax services: in any shape, twice and out of order, signed or not, they only make the case look."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api import fax_hints
from api.problems import Problem, install
from api.webhook_facts import Claims
from domain.case import Case, record
from domain.facts import Fact, NotificationClaimed, PolicyPinned
from domain.policy_rules import Rail
from runtime.errors import MissingSecret
from tests.builders import CASE_ID, MONDAY, known, order, said
from tests.paper_desk import slice_by

TRACE = f"{CASE_ID}-1-ordering-1"
SECRET = "synthetic-fax-secret"


@dataclass
class Reached:
    """One case that is told things, as the doors reach it."""

    case_: Case
    told: list[Fact] = field(default_factory=list)
    away: bool = False

    async def owner(self, case_id: str) -> str | None:
        return self.case_.practice if case_id == self.case_.id else None

    async def case(self, practice: str, case_id: str) -> Case:
        if self.away:
            raise Problem(503, "away", "Temporal is away.")
        return self.case_

    async def notice(self, practice: str, case_id: str, facts: list[Fact]) -> bool:
        for fact in facts:
            self.case_, answer = record(self.case_, fact, MONDAY)
            self.told += [] if answer.repeated else [fact]
        return True


class Secrets:
    def secret(self, name: str) -> SecretStr:
        if name != "neutral.webhook":
            raise MissingSecret(name, "X", "Y")
        return SecretStr(SECRET)


class Clock:
    now = MONDAY

    def __call__(self) -> Any:
        return self.now


@dataclass
class Doors:
    cases: Reached
    settings: Secrets = field(default_factory=Secrets)
    claims: Claims = field(default_factory=Claims)
    clock: Clock = field(default_factory=Clock)


@pytest.fixture
def doors() -> Doors:
    by_fax = slice_by(Rail.FAX, "8005550109")
    ordered = order(payer="keystone-sf", code="95910", category="emg")
    pinned = said(PolicyPinned, "pinned-fax", MONDAY, payer="keystone-sf", policy=by_fax)
    return Doors(Reached(known(ordered, pinned)))


@pytest.fixture
async def http(doors: Doors) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.state.services = doors
    app.include_router(fax_hints.router)
    install(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        yield client


def event(status: str = "delivered", reference: str = TRACE) -> bytes:
    return json.dumps({"vendorId": "fx1", "clientReference": reference, "status": status}).encode()


SHAPES = {
    "neutral": event(),
    "phaxio": (
        b'--x\r\nContent-Disposition: form-data; name="fax"\r\n\r\n{"tags":{"ref":"' + TRACE.encode() + b'"}}\r\n--x--'
    ),
    "srfax": b"FaxDetailsID=1&SentStatus=Sent&sAccountCode=" + TRACE.encode() + b"&Pages=4",
    "cancellation": event(reference=f"{TRACE}.cancel"),
    "information": event(reference=f"{TRACE}.info.0123456789ab"),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_callback_in_any_shape_makes_the_case_look(http: httpx.AsyncClient, doors: Doors, shape: str) -> None:
    answer = await http.post("/v1/webhooks/fax/neutral", content=SHAPES[shape])
    assert (answer.status_code, answer.content) == (202, b"")
    (claim,) = doors.cases.told
    assert isinstance(claim, NotificationClaimed)
    assert claim.payer == "keystone-sf"


async def test_twice_and_out_of_order_it_is_one_look(http: httpx.AsyncClient, doors: Doors) -> None:
    for status in ("failed", "delivered", "sending", "delivered", "queued"):
        assert (await http.post("/v1/webhooks/fax/neutral", content=event(status))).status_code == 202
    assert len(doors.cases.told) == 1
    track = doors.cases.case_.tracks["1-ordering"]
    assert not track.attempt.reached_payer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff" * 100,
        event(reference="nothing-of-ours"),
        event(reference="case-" + "b" * 26 + "-1-ordering-1"),
        event(reference=f"{CASE_ID}-9-nowhere-1"),
        event(reference=f"{CASE_ID}-1-ordering-0"),
        b"case-" * 200_000,
    ],
)
async def test_what_names_no_request_of_ours_changes_nothing(
    http: httpx.AsyncClient, doors: Doors, body: bytes
) -> None:
    answer = await http.post("/v1/webhooks/fax/neutral", content=body)
    assert (answer.status_code, answer.content) == (202, b"")
    assert doors.cases.told == []


async def test_another_service_has_nothing_to_say_of_it(http: httpx.AsyncClient, doors: Doors) -> None:
    await http.post("/v1/webhooks/fax/another", content=event())
    assert doors.cases.told == []
    assert (await http.post("/v1/webhooks/fax/Not%20A%20Name", content=event())).status_code == 422


async def test_while_temporal_is_away_a_callback_is_heard_all_the_same(http: httpx.AsyncClient, doors: Doors) -> None:
    doors.cases.away = True
    assert (await http.post("/v1/webhooks/fax/neutral", content=event())).status_code == 202


def signed(body: bytes, at: int) -> dict[str, str]:
    mac = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Vigil-Timestamp": str(at), "X-Vigil-Signature": f"sha256={mac}"}


async def test_unsigned_hints_are_looked_into_within_bounds_and_signed_ones_always(
    http: httpx.AsyncClient, doors: Doors
) -> None:
    for _ in range(30):
        await http.post("/v1/webhooks/fax/neutral", content=event(reference=f"{CASE_ID}-9-nowhere-1"))
    await http.post("/v1/webhooks/fax/neutral", content=event())
    assert doors.cases.told == []
    now, body = int(MONDAY.timestamp()), event()
    refused = [{**signed(body, now), "X-Vigil-Signature": "sha256=" + "0" * 64}, signed(body, now - 301)]
    refused += [signed(body, now + 301), {**signed(body, now), "X-Vigil-Timestamp": "soon"}]
    for headers in refused:
        await http.post("/v1/webhooks/fax/neutral", content=body, headers=headers)
    assert doors.cases.told == []
    await http.post("/v1/webhooks/fax/neutral", content=body, headers=signed(body, now))
    assert len(doors.cases.told) == 1
    doors.clock.now = MONDAY + timedelta(minutes=11)
    await http.post("/v1/webhooks/fax/neutral", content=body)
    assert len(doors.cases.told) == 2
