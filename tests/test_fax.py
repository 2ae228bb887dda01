"""The fax rail against the sandbox's fax service: sent once, delivered by its report, sent again only when surely failed."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from pypdf import PdfReader
from temporalio.exceptions import ApplicationError

from connectors.delivery import DeliveryState, Failing, Parcel
from connectors.errors import NotUnderstood, OutcomeUnknown, Refused, Unreachable
from connectors.fax import ERRORS, STATES, FaxClient, e164
from domain.actions import SubmitRequest
from domain.decision import NumberType
from domain.facts import InformationSent, NoteAdded, PacketPrepared, RequestRejected, RequestSubmitted, StatusInquired
from domain.policy_rules import Rail
from runtime.keys import KeyRing
from tests.paper_desk import PaperDesk, ending
from tests.vendor_world import World, world

GOOD, BUSY, BAD, BUSY_ONCE, NEVER, CUT = (f"800-555-{n}" for n in ("0109", "0001", "0004", "0005", "0006", "0007"))


@pytest.fixture
async def here(
    sandbox_url: str, keyring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(SubmitRequest, "patience", timedelta(seconds=8))
    async with world(sandbox_url, keyring, tmp_path) as made:
        yield made


async def desk(here: World, to: str = GOOD, seconds: int = 0) -> PaperDesk:
    found = PaperDesk(here, Rail.FAX, to)
    await found.at_once(seconds)
    found.documents = (await found.keep(b"A note."),)
    return found


async def test_a_delivered_fax_is_a_submission_with_its_report(here: World) -> None:
    at = await desk(here)
    prepared, submitted = await at.submit()
    assert isinstance(prepared, PacketPrepared)
    assert isinstance(submitted, RequestSubmitted)
    assert (submitted.rail, submitted.trace, submitted.receipt.kind) == ("fax", at.request().trace, "fax_report")
    assert "delivered, 3 pages, FAX 0109, 2026-03-02T16:0" in submitted.receipt.reference
    assert [number.type for number in submitted.numbers] == [NumberType.TRANSACTION]
    assert submitted.receipt.evidence is not None
    report = await here.outside.documents.get(here.practice.id, submitted.receipt.evidence.id)
    assert json.loads(report)["clientReference"] == at.request().trace
    cover = PdfReader(BytesIO(await here.outside.documents.get(here.practice.id, prepared.packet.id))).pages[0]
    assert "fax to +18005550109" in cover.extract_text()
    assert await at.sent() == [at.request().trace]


async def test_what_was_delivered_is_found_and_not_sent_again(here: World) -> None:
    at = await desk(here)
    _, first = await at.submit()
    _, again = await at.submit()
    assert first.receipt.reference == again.receipt.reference
    assert first.source_id == again.source_id
    assert len(await at.sent()) == 1
    asked, found = await at.inquire()
    assert (asked.found, found.source_id) == (True, first.source_id)
    assert found.receipt.reference == first.receipt.reference


async def test_an_answer_that_is_lost_does_not_send_twice(here: World) -> None:
    at = await desk(here)
    await here.fault("fax", "^POST", "lost")
    _, submitted = await at.submit()
    assert isinstance(submitted, RequestSubmitted)
    assert len(await at.sent()) == 1


async def test_an_answer_that_is_lost_and_not_found_is_unknown_and_nothing_is_repeated(here: World) -> None:
    at = await desk(here)
    await here.control.patch(f"/control/practices/{here.practice.id}/settings", json={"index_lag_seconds": 3600})
    await here.fault("fax", "^POST", "truncated")
    with pytest.raises(ApplicationError) as unknown:
        await at.submit()
    assert unknown.value.type == "Ambiguous"
    assert len(await at.sent()) == 1
    (asked,) = await at.inquire()
    assert asked.found is False
    await here.control.patch(f"/control/practices/{here.practice.id}/settings", json={"index_lag_seconds": 0})
    asked, submitted = await at.inquire()
    assert (asked.found, submitted.receipt.kind) == (True, "fax_report")


async def test_a_busy_line_is_tried_again_within_bounds_and_then_is_out_of_reach(here: World) -> None:
    at = await desk(here, BUSY)
    with pytest.raises(ApplicationError) as busy:
        await at.submit()
    assert ending(busy.value) == ("Exhausted", "fax:busy")
    assert await at.sent() == [at.request().trace] * 3


async def test_a_line_that_is_busy_once_takes_the_next_fax(here: World) -> None:
    at = await desk(here, BUSY_ONCE)
    _, submitted = await at.submit()
    assert submitted.receipt.kind == "fax_report"
    assert len(await at.sent()) == 2


async def test_a_fax_that_lost_a_page_has_not_arrived(here: World) -> None:
    at = await desk(here, CUT)
    with pytest.raises(ApplicationError) as cut:
        await at.submit()
    assert ending(cut.value) == ("Exhausted", "fax:incomplete")


async def test_a_wrong_number_is_somebodys_to_correct_and_not_tried_again(here: World) -> None:
    at = await desk(here, BAD)
    with pytest.raises(ApplicationError) as bad:
        await at.submit()
    assert ending(bad.value) == ("Refused", "fax:bad_number")
    assert len(await at.sent()) == 1
    asked, failed = await at.inquire()
    assert isinstance(failed, RequestRejected)
    assert (asked.found, failed.errors[0].code, failed.raw) == (False, "bad_number", asked.raw)


async def test_what_is_under_way_is_claimed_by_nobody_and_never_sent_again(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SubmitRequest, "patience", timedelta(seconds=6))
    at = await desk(here, NEVER)
    for _ in range(2):
        (prepared,) = await at.submit()
        assert isinstance(prepared, PacketPrepared)
    (asked,) = await at.inquire()
    assert isinstance(asked, StatusInquired)
    assert asked.found is False
    assert len(await at.sent()) == 1


@pytest.mark.parametrize("fault", ["500", "html", "429"])
async def test_polling_outlasts_a_service_that_stumbles(here: World, fault: str) -> None:
    at = await desk(here, seconds=1)
    await here.fault("fax", "^GET .*/faxes/", fault, times=2)
    _, submitted = await at.submit()
    assert isinstance(submitted, RequestSubmitted)
    assert len(await at.sent()) == 1


async def test_a_list_that_cannot_be_read_sends_nothing(here: World) -> None:
    at = await desk(here)
    await here.fault("fax", "^GET .*/faxes$", "html", times=99)
    with pytest.raises(ApplicationError) as garbled:
        await at.submit()
    assert garbled.value.type == "Exhausted"
    assert await at.sent() == []


async def test_a_cancellation_is_delivered_once_and_is_not_the_payers_word(here: World) -> None:
    at = await desk(here)
    (note,) = await at.withdraw()
    (again,) = await at.withdraw()
    assert isinstance(note, NoteAdded)
    assert "has not confirmed it yet" in note.text
    assert note.text == again.text
    assert await at.sent() == [f"{at.request().trace}.cancel"]


async def test_information_goes_with_the_payers_number_and_a_receipt(here: World) -> None:
    at = await desk(here)
    note, form = await at.keep(b"The operative note."), await at.keep(b"{}", "form_answers", "application/json")
    (sent,) = await at.send_information(note, form)
    assert isinstance(sent, InformationSent)
    assert (sent.receipt.kind, sent.documents) == ("fax_report", (note,))
    await at.send_information(note, form)
    (reference,) = await at.sent()
    assert reference.startswith(f"{at.request().trace}.info.")


async def test_the_service_is_asked_to_call_back_where_it_can(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    at = await desk(here)
    asked: list[str | None] = []
    send = FaxClient.send

    async def watched(self: FaxClient, parcel: Parcel) -> Any:
        asked.append(self._callback.get("callbackUrl"))
        return await send(self, parcel)

    monkeypatch.setattr(FaxClient, "send", watched)
    await at.submit()
    here.outside.settings = here.outside.settings.model_copy(update={"public_url": "http://127.0.0.1:9/"})
    at.policy = at.policy.model_copy(
        update={"channels": (at.policy.channels[0].model_copy(update={"receiver": BUSY_ONCE}),)}
    )
    await at.send_information(await at.keep(b"Another note."))
    assert asked == [None, *["http://127.0.0.1:9/v1/webhooks/fax/neutral"] * 2]


async def test_a_policy_without_a_number_or_a_service_is_refused(here: World) -> None:
    at = await desk(here)
    held = at.policy.channels[0]
    for changes, code in (({"base_url": None}, "policy:no_fax_channel"), ({"receiver": "12"}, "fax:number")):
        at.policy = at.policy.model_copy(update={"channels": (held.model_copy(update=changes),)})
        with pytest.raises(ApplicationError) as refused:
            await at.submit()
        assert ending(refused.value) == ("Refused", code)


# --- what vendors say ----------------------------------------------------------------------------------------------------


def client(answer: httpx.Response | Exception, vendor: str = "neutral") -> FaxClient:
    def reply(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    http = httpx.AsyncClient(transport=httpx.MockTransport(reply))
    return FaxClient(http, "https://fax.example/v1", "lakeside", SecretStr("x"), vendor)


def said(status: Any, **more: Any) -> dict[str, Any]:
    return {"vendorId": "fx1", "clientReference": "r", "status": status, **more}


@pytest.mark.parametrize(
    ("vendor", "status", "state"),
    [
        ("documo", "fax.v1.outbound.succeed", DeliveryState.DELIVERED),
        ("phaxio", False, DeliveryState.FAILED),
        ("srfax", "Sending Email", DeliveryState.WAITING),
        ("srfax", "Sent", DeliveryState.DELIVERED),
        ("efax", "PENDING RETRY", DeliveryState.WAITING),
        ("efax", "COMPLETED", DeliveryState.DELIVERED),
        ("efax", "CANCELED", DeliveryState.FAILED),
        ("neutral", "delivered", DeliveryState.DELIVERED),
        ("neutral", "success?", DeliveryState.UNKNOWN),
        ("nobody", "COMPLETED", DeliveryState.UNKNOWN),
        ("srfax", None, DeliveryState.UNKNOWN),
    ],
)
async def test_vendors_words_are_data_and_a_new_one_is_never_delivered(
    vendor: str, status: Any, state: DeliveryState
) -> None:
    found = await client(httpx.Response(200, json=said(status)), vendor).get("fx1")
    assert found.state is state


def test_every_word_of_the_vendors_documents_is_known(shared: Path) -> None:
    shapes = json.loads((shared / "fixtures" / "vendors" / "fax" / "vendor-shapes.json").read_text())
    assert {event for event in shapes["documo (mFax)"]["webhook_events"] if "outbound" in event} == set(
        STATES["documo"]
    )
    efax = shapes["efax corporate"]["status"].partition("transmission-detail (")[2].partition(")")[0]
    assert {word.strip().lower() for word in efax.split(",")} == set(STATES["efax"])
    srfax = shapes["srfax"]["status"].partition("SentStatus ")[2].partition(";")[0]
    assert {word.strip().lower() for word in srfax.split("|")} == set(STATES["srfax"])
    neutral = shapes["neutral"]
    assert {*neutral["event"]["status"].split("|"), neutral["accepted"]["status"]} <= set(STATES["neutral"])
    assert set(neutral["event"]["errorCode"].split("|")) <= set(ERRORS)


async def test_errors_say_whether_another_try_is_worth_it() -> None:
    for code, failing in (("No Answer", Failing.PASSING), ("bad_number", Failing.LASTING), ("new", Failing.PASSING)):
        found = await client(httpx.Response(200, json=said("failed", errorCode=code))).get("fx1")
        assert found.failing is failing


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"<html>", json.dumps({"items": [{}]}).encode(), json.dumps({"items": 3}).encode(),
     json.dumps({"items": [said("delivered", completedAt="soon")]}).encode(),
     json.dumps({"items": [said("delivered", completedAt="2026-03-02T16:00:00")]}).encode(),
     json.dumps({"items": [said("queued")] * 101}).encode()],
)  # fmt: skip
async def test_an_answer_in_another_shape_is_not_understood(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        await client(httpx.Response(200, content=body, headers={"content-type": "application/json"})).find("r")


async def test_a_list_that_answers_with_others_faxes_finds_nothing() -> None:
    other = {**said("delivered"), "clientReference": "another"}
    assert await client(httpx.Response(200, json={"items": [other]})).find("r") == ()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ReadTimeout("x"), OutcomeUnknown),
        (httpx.Response(500), OutcomeUnknown),
        (httpx.Response(401), Refused),
        (httpx.Response(202, text="?"), NotUnderstood),
    ],
)
async def test_what_went_wrong_with_sending_is_said_by_what_may_have_happened(
    answer: httpx.Response | Exception, error: type[Exception]
) -> None:
    parcel = Parcel(to="+15555550109", sender="+15555550100", reference="r", subject="s", pdf=b"%PDF", pages=1)
    with pytest.raises(error):
        await client(answer).send(parcel)


def test_numbers_become_e164() -> None:
    assert {e164(n) for n in ("800-555-0131", "+1 (800) 555-0131", "18005550131")} == {"+18005550131"}
    for wrong in ("555-0131", "", "28005550131"):
        with pytest.raises(Refused):
            e164(wrong)
