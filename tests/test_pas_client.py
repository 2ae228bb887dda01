"""The PAS client: what may have happened, said for every failure; and trying again only where nothing can have happened."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from activities.patience import patiently
from connectors.errors import Busy, ConnectorError, OutcomeUnknown, Refused, Unreachable
from connectors.lenient import encode
from connectors.pas.client import PasClient
from connectors.pas.subscription import subscription
from connectors.raw import RawAnswer
from runtime.processes import free_port

BUNDLE = {"resourceType": "Bundle", "type": "collection"}
Handler = Callable[[httpx.Request], httpx.Response]


class Payer:
    """A payer that answers as it is told, and counts what it was sent."""

    def __init__(self, *answers: httpx.Response | Exception, token: httpx.Response | None = None) -> None:
        self.answers = list(answers)
        self.token = token
        self.tokens = 0
        self.seen: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            self.tokens += 1
            return self.token or httpx.Response(200, json={"access_token": f"t{self.tokens}", "expires_in": 300})
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, seconds: float = 5) -> PasClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        at = "http://payer.example"
        return PasClient(
            http, f"{at}/fhir/", f"{at}/token", "lakeside", lambda: "secret", "2.2.1", timedelta(seconds=seconds)
        )


def failed(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, content=b"{}")


async def error_of(payer: Payer, operation: str) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        await getattr(payer.client(), operation)(BUNDLE)
    return caught.value


@pytest.mark.parametrize(
    ("answer", "of_submit", "of_inquire"),
    [
        (httpx.ConnectError("x"), Unreachable, Unreachable),
        (httpx.ConnectTimeout("x"), Unreachable, Unreachable),
        (httpx.PoolTimeout("x"), Unreachable, Unreachable),
        (httpx.ReadTimeout("x"), OutcomeUnknown, Unreachable),
        (httpx.WriteError("x"), OutcomeUnknown, Unreachable),
        (httpx.RemoteProtocolError("x"), OutcomeUnknown, Unreachable),
        (failed(408), OutcomeUnknown, Unreachable),
        (failed(429), Busy, Busy),
        (failed(500), OutcomeUnknown, Unreachable),
        (failed(502), OutcomeUnknown, Unreachable),
        (failed(503), OutcomeUnknown, Unreachable),
        (failed(503, **{"retry-after": "3"}), OutcomeUnknown, Busy),
        (failed(401), Refused, Refused),
        (failed(403), Refused, Refused),
        (failed(302, location="http://elsewhere.example"), Refused, Refused),
    ],
)
async def test_a_failure_says_what_may_have_happened(
    answer: httpx.Response | Exception, of_submit: type[ConnectorError], of_inquire: type[ConnectorError]
) -> None:
    assert type(await error_of(Payer(answer), "submit")) is of_submit
    assert type(await error_of(Payer(answer), "inquire")) is of_inquire


async def test_a_busy_payer_names_the_time() -> None:
    busy = await error_of(Payer(failed(429, **{"retry-after": "7"})), "submit")
    assert isinstance(busy, Busy)
    assert busy.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (failed(401), Refused),
        (failed(400), Refused),
        (failed(500), Unreachable),
        (failed(429), Busy),
        (httpx.Response(200, text="<html>"), Unreachable),
        (httpx.Response(200, json={"access_token": ""}), Unreachable),
        (httpx.Response(200, json={"access_token": "two\nlines"}), Unreachable),
        (httpx.Response(200, json={"access_token": ["x"]}), Unreachable),
    ],
)
async def test_without_a_token_nothing_is_sent(token: httpx.Response, kind: type[ConnectorError]) -> None:
    payer = Payer(failed(200), token=token)
    assert type(await error_of(payer, "submit")) is kind
    assert payer.seen == []


async def test_a_token_is_kept_and_fetched_anew_once_when_it_is_refused() -> None:
    payer = Payer(failed(200), failed(401), failed(200))
    client = payer.client()
    for _ in range(2):
        assert (await client.submit(BUNDLE)).status == 200
    assert [request.headers["authorization"] for request in payer.seen] == ["Bearer t1", "Bearer t1", "Bearer t2"]
    await asyncio.gather(*(client.inquire(BUNDLE) for _ in range(5)))
    assert payer.tokens == 2


async def test_what_is_sent_is_the_encoded_bundle_as_fhir_json() -> None:
    payer = Payer(httpx.Response(422, content=b"<html>", headers={"content-type": "text/html", "x-request-id": "r-1"}))
    answer = await payer.client().submit(BUNDLE)
    assert answer == RawAnswer(status=422, body=b"<html>", media_type="text/html", http_id="r-1")
    (sent,) = payer.seen
    assert sent.url == "http://payer.example/fhir/Claim/$submit"
    assert sent.headers["content-type"] == "application/fhir+json"
    assert sent.content == encode(BUNDLE)


async def test_no_call_waits_longer_than_it_may() -> None:
    async def slow(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t"})
        await asyncio.sleep(30)
        return failed(200)

    http = httpx.AsyncClient(transport=httpx.MockTransport(slow))
    at = "http://payer.example"
    client = PasClient(http, at, f"{at}/token", "x", lambda: "y", "2.2.1", timedelta(seconds=20))
    begun = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="timeout"):
        await client.submit(BUNDLE, timedelta(seconds=0.2))
    with pytest.raises(Unreachable, match="timeout"):
        await client.inquire(BUNDLE, timedelta(seconds=0.2))
    assert time.monotonic() - begun < 5


async def test_a_payer_that_is_down_is_unreachable_on_a_real_socket() -> None:
    at = f"http://127.0.0.1:{free_port()}"
    async with httpx.AsyncClient(trust_env=False) as http:
        client = PasClient(http, at, f"{at}/token", "x", lambda: "y", "2.2.1", timedelta(seconds=2))
        with pytest.raises(Unreachable):
            await client.submit(BUNDLE)


async def test_a_subscription_is_made_at_a_real_endpoint_and_a_refused_one_is_told(sandbox_url: str) -> None:
    at = f"{sandbox_url}/payers/meridian-ppo"
    practice = f"t{free_port()}-subscriber"
    wanted = subscription(f"http://127.0.0.1:{free_port()}/callbacks", "1990000001", "org-identifier", "s3cret")
    async with httpx.AsyncClient(trust_env=False) as http:
        client = PasClient(
            http, f"{at}/fhir", f"{at}/oauth/token", practice, lambda: "y", "2.2.1", timedelta(seconds=5)
        )
        made = await client.subscribe(wanted)
        assert (made.status, json.loads(made.body)["resourceType"]) == (201, "Subscription")
        with pytest.raises(Refused, match="subscription:4"):
            await client.subscribe({**wanted, "criteria": "http://topic.example/of-our-own"})


class Calls:
    """Calls that fail with each error in turn and then succeed."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.made = 0
        self.left: list[float] = []

    async def __call__(self, within: timedelta) -> str:
        self.made += 1
        self.left.append(within.total_seconds())
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def patience(calls: Calls, seconds: float) -> str:
    return await patiently(calls, until=time.monotonic() + seconds)


async def test_only_what_surely_did_not_happen_is_tried_again() -> None:
    calls = Calls(Unreachable("x"), Busy("429", timedelta(seconds=0.1)))
    assert (await patience(calls, 10), calls.made) == ("done", 3)
    assert calls.left == sorted(calls.left, reverse=True)
    for error in (OutcomeUnknown("x"), Refused("x"), RuntimeError("x")):
        calls = Calls(error)
        with pytest.raises(type(error)):
            await patience(calls, 10)
        assert calls.made == 1


async def test_patience_ends() -> None:
    calls = Calls(*[Unreachable("x")] * 10)
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        await patience(calls, 1.5)
    assert (calls.made, time.monotonic() - begun < 1.5) == (2, True)
    with pytest.raises(Busy):
        await patience(Calls(Busy("429", timedelta(hours=1))), 10)
    with pytest.raises(Unreachable, match="patience_over"):
        await patience(Calls(), -1)


def test_a_message_is_encoded_without_waste_and_as_it_is() -> None:
    assert encode({"a": "é", "b": [1, {}]}) == '{"a":"é","b":[1,{}]}'.encode()
    assert json.loads(encode(BUNDLE)) == BUNDLE
