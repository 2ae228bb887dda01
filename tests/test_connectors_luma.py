"""Luma: a message goes out once, only where it may, and its texts say nothing about health."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from activities.counterparts import Counterparts
from connectors.errors import NotUnderstood, OutcomeUnknown, Refused, Unreachable
from connectors.luma import Luma, LumaAccess
from connectors.luma_texts import LANGUAGES, text_for
from connectors.tokens import TokenCache
from domain.actions import NotifyPatient
from runtime.keys import KeyRing
from tests.vendor_world import World, world

MESSAGES = NotifyPatient.model_fields["message"].annotation.__args__  # type: ignore[union-attr]
TEXT = "Lakeside Orthopedics: please log in."


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        await made.plant_patient()
        yield made


@pytest.fixture
def luma(here: World) -> Luma:
    made = Counterparts(here.outside).luma(here.practice)
    made._pause = 0.01
    return made


async def settle(here: World) -> None:
    await here.post("clock", {"hours": 1})


async def test_a_message_is_sent_once_under_our_key(here: World, luma: Luma) -> None:
    patient = await luma.patient_id(here.patient_id)
    first = await luma.tell(patient, "vigil-1", TEXT, "en")
    assert (first.status, first.failed) == ("sent", False)
    await settle(here)
    second = await luma.tell(patient, "vigil-1", TEXT, "en")
    assert (second.id, second.status) == (first.id, "delivered")
    assert await here.count("luma", "POST", "/messages") == 1
    assert (await luma.tell(patient, "vigil-2", TEXT, "en")).id != first.id


async def test_what_is_sent_is_secure_and_names_our_key(here: World, luma: Luma) -> None:
    sent = await luma.tell(await luma.patient_id(here.patient_id), "vigil-1", TEXT, "es")
    answer = await luma._call("GET", f"messages/{sent.id}", "test")
    body = answer.json()
    assert body["secure"] is True
    assert body["key"] == "chatRequest"
    assert body["language"] == "es"
    assert body["externalId"] == {"source": "none", "value": "vigil-1"}


async def test_a_send_whose_answer_is_lost_is_found_and_not_repeated(here: World, luma: Luma) -> None:
    await here.fault("luma", "^POST .*/messages", "lost")
    sent = await luma.tell(await luma.patient_id(here.patient_id), "vigil-1", TEXT, "en")
    assert sent.status == "sent"
    page = await luma._call("GET", "messages", "test", params={"type": "outbound"})
    assert len(page.json()["response"]) == 1


async def test_a_send_that_failed_there_is_unknown(here: World, luma: Luma) -> None:
    await here.fault("luma", "^POST .*/messages", "500")
    with pytest.raises(OutcomeUnknown):
        await luma.tell(await luma.patient_id(here.patient_id), "vigil-1", TEXT, "en")


async def test_who_must_not_be_contacted_is_not(here: World, luma: Luma) -> None:
    await here.plant_patient(doNotContact=True)
    with pytest.raises(Refused) as refused:
        await luma.tell(await luma.patient_id(here.patient_id), "vigil-1", TEXT, "en")
    assert refused.value.code == "do_not_contact"
    assert await here.count("luma", "POST", "/messages") == 0


async def test_who_has_no_contact_in_use_is_not_sent_to(here: World, luma: Luma) -> None:
    await here.plant_patient(contact=[{"type": "sms", "value": "+1", "active": True, "archived": True}])
    with pytest.raises(Refused, match="do_not_contact"):
        await luma.tell(await luma.patient_id(here.patient_id), "vigil-1", TEXT, "en")


async def test_an_opt_out_after_the_send_is_seen(here: World, luma: Luma) -> None:
    patient = await luma.patient_id(here.patient_id)
    await luma.tell(patient, "vigil-1", TEXT, "en")
    await here.plant_patient(doNotContact=True)
    await settle(here)
    skipped = await luma.tell(patient, "vigil-1", TEXT, "en")
    assert (skipped.failed, skipped.status, skipped.reason) == (True, "skipped", "do-not-contact")


async def test_a_patient_whom_luma_does_not_know_is_told_apart(luma: Luma) -> None:
    with pytest.raises(Refused, match="patient_unknown"):
        await luma.patient_id("nobody")


async def test_two_patients_of_one_id_are_nobody(here: World, luma: Luma) -> None:
    external = {"source": "hl7", "value": here.patient_id}
    await here.post("orders", {"luma_patients": [{"_id": "0123456789abcdef01234567", "externalId": external}]})
    with pytest.raises(Refused, match="patient_ambiguous"):
        await luma.patient_id(here.patient_id)


async def test_a_revoked_token_is_replaced(here: World, luma: Luma) -> None:
    await luma.patient_id(here.patient_id)
    await here.post("tokens/revoke", None)
    assert await luma.patient_id(here.patient_id)
    assert await here.count("luma", "POST", "/token") == 2


async def test_failures_of_a_read_may_be_tried_again(here: World, luma: Luma) -> None:
    await here.fault("luma", "^GET .*/patients", "500")
    with pytest.raises(Unreachable):
        await luma.patient_id(here.patient_id)


async def test_a_filter_that_luma_ignores_does_not_mislead() -> None:
    # Whether externalId can be asked for is not published: then everything comes back, over pages.
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/token"):
            return httpx.Response(200, json={"access_token": "t", "token_type": "Bearer", "expires_in": 60})
        page = int(request.url.params["page"])
        items = [{"_id": f"{page}-{n}", "status": "sent", "externalId": {"value": f"k{page}-{n}"}} for n in range(500)]
        return httpx.Response(200, json={"response": items if page < 3 else items[:7], "page": page, "size": 500})

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        luma = Luma(http, LumaAccess("https://luma.example", "c", "s"), TokenCache())
        found = await luma.message("p", "k3-6")
        assert found is not None
        assert found.id == "3-6"
        assert await luma.message("p", "k3-8") is None


async def test_a_status_that_nobody_knows_is_not_a_success() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/token"):
            return httpx.Response(200, json={"access_token": "t", "token_type": "Bearer", "expires_in": 60})
        items = [{"_id": "1", "status": "teleported", "externalId": {"value": "k"}}]
        return httpx.Response(200, json={"response": items, "page": 1, "size": 1})

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        with pytest.raises(NotUnderstood):
            await Luma(http, LumaAccess("https://luma.example", "c", "s"), TokenCache()).message("p", "k")


@pytest.mark.parametrize("language", [*LANGUAGES, "fr"])
@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_has_a_text_without_health_information(message: str, language: str) -> None:
    text, chosen = text_for(message, language, practice="Lakeside Orthopedics", phone="+12175550100")
    assert text.startswith("Lakeside Orthopedics: ")
    assert "+12175550100" in text
    assert chosen == (language if language in LANGUAGES else "en")
    assert "{" not in text
    assert len(text) <= 300
    for word in ("emg", "scan", "ct ", "doppler", "diagnos", "procedure", "procedimiento", "surgery", "cirug"):
        assert word not in text.lower()


def test_the_texts_differ_by_message() -> None:
    for language in LANGUAGES:
        assert len({text_for(one, language, practice="P", phone="1")[0] for one in MESSAGES}) == len(MESSAGES)
