"""The Direct rail against the sandbox's HISP: the notification of delivery is the receipt, and silence is never a failure."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError

from connectors.delivery import DeliveryState, Parcel
from connectors.direct import CODES, DirectClient
from connectors.errors import NotUnderstood, OutcomeUnknown, Refused
from domain.actions import SubmitRequest
from domain.facts import InformationSent, PacketPrepared, RequestSubmitted
from domain.policy_rules import Rail
from runtime.keys import KeyRing
from tests.paper_desk import INTAKE, OURS, PaperDesk, ending
from tests.vendor_world import World, world


@pytest.fixture
async def here(
    sandbox_url: str, keyring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(SubmitRequest, "patience", timedelta(seconds=8))
    async with world(sandbox_url, keyring, tmp_path) as made:
        yield made


async def desk(here: World, to: str = INTAKE, seconds: int = 0) -> PaperDesk:
    found = PaperDesk(here, Rail.DIRECT, to)
    await found.at_once(seconds)
    return found


async def test_a_dispatched_message_is_a_submission_with_its_notification(here: World) -> None:
    at = await desk(here)
    prepared, submitted = await at.submit()
    assert isinstance(prepared, PacketPrepared)
    assert isinstance(submitted, RequestSubmitted)
    assert (submitted.rail, submitted.receipt.kind) == ("direct", "acknowledgment")
    assert f"dispatched, {INTAKE}" in submitted.receipt.reference
    await at.submit()
    assert await at.sent() == [at.request().trace]


async def test_a_message_that_was_only_processed_is_under_way(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SubmitRequest, "patience", timedelta(seconds=6))
    at = await desk(here, "undispatched@direct.payer.example")
    (prepared,) = await at.submit()
    assert isinstance(prepared, PacketPrepared)


@pytest.mark.parametrize("kind", ["silent", "undispatched"])
async def test_silence_is_never_a_reason_to_send_again(here: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SubmitRequest, "patience", timedelta(seconds=6))
    at = await desk(here, f"{kind}@direct.payer.example")
    await at.submit()
    await here.post("clock", {"hours": 2})
    with pytest.raises(ApplicationError) as unknown:
        await at.submit()
    assert unknown.value.type == "Ambiguous"
    assert unknown.value.message.startswith("direct:5.4.7")
    (asked,) = await at.inquire()
    assert asked.found is False
    assert len(await at.sent()) == 1


@pytest.mark.parametrize(("kind", "code"), [("nocert", "5.7.31"), ("untrusted", "5.7.11")])
async def test_without_trust_somebody_has_to_correct_it(here: World, kind: str, code: str) -> None:
    at = await desk(here, f"{kind}@direct.payer.example")
    with pytest.raises(ApplicationError) as refused:
        await at.submit()
    assert ending(refused.value) == ("Refused", f"direct:{code}")
    assert len(await at.sent()) == 1


async def test_what_surely_was_not_delivered_is_sent_again(here: World) -> None:
    at = await desk(here, "undelivered-once@direct.payer.example")
    _, submitted = await at.submit()
    assert submitted.receipt.kind == "acknowledgment"
    assert len(await at.sent()) == 2


async def test_information_travels_by_direct_too(here: World) -> None:
    at = await desk(here)
    note = await at.keep(b"The operative note.")
    (sent,) = await at.send_information(note)
    assert isinstance(sent, InformationSent)
    assert (sent.receipt.kind, sent.documents) == ("acknowledgment", (note,))


async def test_a_message_of_more_than_20_mb_is_not_sent() -> None:
    def unexpected(_: httpx.Request) -> httpx.Response:
        pytest.fail("something was sent")

    hisp = DirectClient(
        httpx.AsyncClient(transport=httpx.MockTransport(unexpected)), "https://hisp.example", "u", SecretStr("s")
    )
    parcel = Parcel(to=INTAKE, sender=OURS, reference="r", subject="s", pdf=b"x" * 16 * 1024 * 1024, pages=1)
    with pytest.raises(Refused, match="too_large"):
        await hisp.send(parcel)
    with pytest.raises(Refused, match="address"):
        await hisp.send(parcel.model_copy(update={"to": "nobody"}))


def test_every_code_of_the_reference_implementation_is_known(shared: Path) -> None:
    listed = json.loads((shared / "fixtures" / "vendors" / "direct360x" / "status-map.json").read_text())
    assert set(listed["direct_delivery"]["timeouts (Direct reference impl DSN codes)"]) == set(CODES)
    assert {CODES[code][0] for code in ("5.4.71", "5.4.72")} == {DeliveryState.UNKNOWN}


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"items": [7]}', b'{"items": [{"status": "dispatched"}]}'])
async def test_an_answer_in_another_shape_is_not_understood(body: bytes) -> None:
    answer = httpx.Response(200, content=body, headers={"content-type": "application/json"})
    http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer))
    hisp = DirectClient(http, "https://hisp.example", "u", SecretStr("s"))
    with pytest.raises((NotUnderstood, OutcomeUnknown)):
        await hisp.find("r")
