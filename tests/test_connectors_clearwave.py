"""The check-in drop: signed, left once, read back; and the PDF that is filed in charts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from activities.counterparts import Counterparts
from connectors.clearwave import Amount, Clearwave, Drop
from connectors.errors import OutcomeUnknown, Refused, Unreachable
from runtime.keys import KeyRing
from tests.vendor_world import World, world


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        yield made


def drop(cents: int = 4000) -> Drop:
    return Drop(
        patient_ref="p-1",
        visit_ref="v-1",
        visit_starts_at=datetime(2026, 3, 16, 5, tzinfo=UTC),
        as_of=datetime(2026, 3, 2, 16, tzinfo=UTC),
        amounts=(Amount(kind="copay", cents=cents), Amount(kind="coinsurance", cents=1234)),
    )


async def test_a_drop_is_left_once_and_read_back(here: World) -> None:
    clearwave = Counterparts(here.outside).check_in(here.practice)
    first = await clearwave.leave(drop())
    assert await clearwave.leave(drop()) == first
    assert await clearwave.leave(drop(4100)) != first
    puts = [one["status"] for one in await here.received("clearwave") if one["method"] == "PUT"]
    assert puts == [201, 200, 201]


async def test_a_lost_answer_is_made_good_by_doing_it_again(here: World) -> None:
    await here.fault("clearwave", "^PUT", "lost")
    clearwave = Counterparts(here.outside).check_in(here.practice)
    with pytest.raises(Unreachable):
        await clearwave.leave(drop())
    assert await clearwave.leave(drop())


async def test_a_wrong_secret_is_refused(here: World) -> None:
    http = here.outside.http("check_in")
    with pytest.raises(Refused) as refused:
        await Clearwave(http, here.practice.check_in.url, here.practice.id, "wrong").leave(drop())
    assert refused.value.code == "check_in.put:401"


async def test_an_old_signature_is_refused(here: World) -> None:
    http = here.outside.http("check_in")
    old = Clearwave(http, here.practice.check_in.url, here.practice.id, "sandbox-secret", clock=lambda: 1_700_000_000.0)
    with pytest.raises(Refused):
        await old.leave(drop())


async def _leave(read_back: httpx.Response) -> str:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(201, json={}) if request.method == "PUT" else read_back

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        return await Clearwave(http, "https://drop.example", "k", "s").leave(drop())


async def test_what_is_not_there_or_differs_is_no_proof() -> None:
    with pytest.raises(OutcomeUnknown):
        await _leave(httpx.Response(404))
    with pytest.raises(Refused, match="differs"):
        await _leave(httpx.Response(200, json={"content": {"format": "vigil.checkin-estimate/1"}}))
    with pytest.raises(Refused, match="differs"):
        await _leave(httpx.Response(200, json={}))


def test_the_signature_is_the_agreed_one() -> None:
    # Computed with: printf '1000.{}' | openssl dgst -sha256 -hmac secret
    clearwave = Clearwave(httpx.AsyncClient(), "https://drop.example", "k", "secret", clock=lambda: 1000.9)
    headers = clearwave._signed(b"{}")
    assert headers["X-Vigil-Timestamp"] == "1000"
    assert headers["X-Vigil-Signature"] == "sha256=026360fb6284f077f1148b1ae7c62679730497810a6a0321574de01e8b009e7a"


def test_an_empty_drop_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="amounts"):
        Drop(patient_ref="p", visit_ref="v", visit_starts_at=datetime.now(UTC), as_of=datetime.now(UTC), amounts=())
