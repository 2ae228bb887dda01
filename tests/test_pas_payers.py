"""The payer activities against the sandbox's payers over HTTP: every answer that a payer may give, and every silence."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError

from domain.decision import NumberType, Outcome
from domain.facts import (
    AnswerNotUnderstood,
    DecisionReceived,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    StatusInquired,
)
from domain.order import DocumentRef
from domain.policy import LineKey, PolicySlice, parse_policy, slice_policy
from runtime.keys import KeyRing
from tests.pas_requests import NOTE
from tests.rail_desk import RailDesk, kinds, outcomes
from tests.vendor_world import NOW, World, world

POLICIES = Path(__file__).resolve().parent.parent / "policies"
PAYERS = ("meridian-ppo", "summit-ma")


def policy(payer: str) -> PolicySlice:
    parsed = parse_policy(yaml.safe_load((POLICIES / f"{payer}.yaml").read_text()), name=payer)
    key = LineKey(
        number=1, code="95910", category="emg", place_of_service="11", diagnoses=(), patient_age=55, state="IL"
    )
    return slice_policy(parsed, on=date(2026, 3, 2), urgency="routine", lines=[key])


SLICES = {payer: policy(payer) for payer in PAYERS}


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        for payer in PAYERS:
            made.outside.settings.secrets_by_name[f"{made.practice.id}.{payer}"] = SecretStr("any")
        yield made
        await made.outside.aclose()


class Desk(RailDesk):
    """A request at a payer by PAS."""

    def __init__(self, here: World, scenario: str, payer: str = "meridian-ppo") -> None:
        super().__init__(here, scenario, SLICES[payer], "pas")


@pytest.mark.parametrize("payer", PAYERS)
@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("100", ["1:approved", "3:approved"]),
        ("110", ["1:approved", "3:approved"]),
        ("200", ["1:pended", "3:pended"]),
        ("300", ["1:denied", "3:denied"]),
        ("400", ["1:approved", "3:denied"]),
        ("401", ["1:modified", "3:modified"]),
        ("402", ["1:partly_approved", "3:partly_approved"]),
        ("600", ["1:unknown", "3:unknown"]),
        ("900", ["1:not_required", "3:not_required"]),
        ("901", ["1:contact_payer", "3:contact_payer"]),
    ],
)
async def test_what_a_payer_decides_becomes_a_receipt_and_a_decision(
    here: World, payer: str, scenario: str, expected: list[str]
) -> None:
    desk = Desk(here, scenario, payer)
    submitted, decided = await desk.submit()
    assert isinstance(submitted, RequestSubmitted)
    assert (submitted.receipt.kind, submitted.receipt.reference) == ("trace_number", desk.request().trace)
    assert outcomes(decided) == expected
    assert isinstance(decided, DecisionReceived)
    assert decided.via == "submit"
    assert desk.request().trace.encode() in await desk.raw(decided)
    assert await desk.submits() == [1]


async def test_an_approval_carries_its_number_validity_and_units(here: World) -> None:
    _, decided = await Desk(here, "100").submit()
    assert isinstance(decided, DecisionReceived)
    line = decided.decision.lines[0]
    assert [n.type for n in line.numbers] == [NumberType.CERTIFICATION]
    assert (str(line.valid_from), line.units, line.procedure) == ("2026-03-20", 2, None)
    assert line.valid_to is not None


async def test_a_modified_approval_says_how_many_units(here: World) -> None:
    _, decided = await Desk(here, "401").submit()
    assert isinstance(decided, DecisionReceived)
    assert [(line.decision, line.units) for line in decided.decision.lines] == [
        (Outcome.MODIFIED, 1),
        (Outcome.MODIFIED, 3),
    ]


async def test_a_pend_gives_an_administrative_number_and_may_ask_for_information(here: World) -> None:
    submitted, decided = await Desk(here, "204").submit()
    assert isinstance(submitted, RequestSubmitted)
    assert isinstance(decided, DecisionReceived)
    assert {n.type for n in decided.decision.all_numbers} == {NumberType.ADMINISTRATIVE}
    assert submitted.numbers == decided.decision.all_numbers
    (ask, *_) = decided.decision.asks
    assert "34109-9" in {reason.code for reason in ask.what}
    assert ask.control_number is not None


async def test_a_denial_says_why(here: World) -> None:
    _, decided = await Desk(here, "300").submit()
    assert isinstance(decided, DecisionReceived)
    reasons = decided.decision.lines[0].reasons
    assert reasons[0].code == "0F"
    assert any("conservative" in (reason.text or "") for reason in reasons)


@pytest.mark.parametrize("payer", PAYERS)
async def test_a_rejection_is_no_denial_and_the_next_attempt_goes_out(here: World, payer: str) -> None:
    desk = Desk(here, "500", payer)
    (rejected,) = await desk.submit()
    assert isinstance(rejected, RequestRejected)
    assert (rejected.errors[0].code, rejected.errors[0].follow_up) == ("15", "C")
    (again,) = await desk.submit(attempt=2, trace="case-second")
    assert isinstance(again, RequestRejected)
    assert await desk.submits() == [1, 1]


async def test_a_message_that_the_payer_refuses_is_rejected_with_its_reasons(here: World) -> None:
    desk = Desk(here, "100")
    first, _ = await desk.submit()
    assert isinstance(first, RequestSubmitted)
    bad = desk.request().order.model_copy(update={"diagnoses": tuple(["M54.16"] * 13)})
    facts = await desk.submit(order=bad, trace="case-other")
    assert kinds(facts) == ["request_rejected"]
    assert isinstance(facts[0], RequestRejected)
    assert "12 diagnoses" in (facts[0].errors[0].text or "")


@pytest.mark.parametrize(("scenario", "said"), [("601", "error"), ("602", "web page"), ("604", "another")])
@pytest.mark.parametrize("payer", PAYERS)
async def test_an_answer_that_decides_nothing_for_us_is_a_persons(
    here: World, payer: str, scenario: str, said: str
) -> None:
    desk = Desk(here, scenario, payer)
    (fact,) = await desk.submit()
    assert isinstance(fact, AnswerNotUnderstood)
    assert said in fact.why
    assert await desk.raw(fact)


@pytest.mark.parametrize("payer", PAYERS)
async def test_a_cut_answer_is_kept_and_the_request_is_found_instead_of_sent_again(here: World, payer: str) -> None:
    desk = Desk(here, "603", payer)
    (fact,) = await desk.submit()
    assert isinstance(fact, AnswerNotUnderstood)
    facts = await desk.submit()
    assert kinds(facts) == ["request_submitted", "decision_received"]
    assert await desk.submits() == [1]


@pytest.mark.parametrize("payer", PAYERS)
async def test_a_lost_answer_is_ambiguous_and_searching_finds_the_request(here: World, payer: str) -> None:
    desk = Desk(here, "700", payer)
    with pytest.raises(ApplicationError) as lost:
        await desk.submit()
    assert (lost.value.type, lost.value.non_retryable) == ("Ambiguous", True)
    inquired, decided = await desk.inquire()
    assert isinstance(inquired, StatusInquired)
    assert inquired.found
    assert isinstance(decided, DecisionReceived)
    assert (decided.via, outcomes(decided)) == ("inquiry", ["1:approved", "3:approved"])
    facts = await desk.submit()
    assert kinds(facts) == ["request_submitted", "decision_received"]
    assert await desk.submits() == [1]


async def test_what_two_channels_say_has_one_source_id(here: World) -> None:
    desk = Desk(here, "100")
    _, first = await desk.submit()
    _, second = await desk.inquire()
    assert first.source_id == second.source_id


async def test_a_busy_payer_is_asked_again_after_the_time_it_names(here: World) -> None:
    desk = Desk(here, "702")
    facts = await desk.submit()
    assert kinds(facts) == ["request_submitted", "decision_received"]
    (row,) = (await desk.effects())["submits"]
    assert row["effects"] == {"none": 2, "created": 1}


async def test_a_failing_payer_is_never_sent_the_same_blindly(here: World) -> None:
    desk = Desk(here, "703")
    for _ in range(2):
        with pytest.raises(ApplicationError) as failed:
            await desk.submit()
        assert (failed.value.type, failed.value.message) == ("Ambiguous", "500")
    facts = await desk.submit()
    assert kinds(facts) == ["request_submitted", "decision_received"]
    assert (await desk.effects())["inquiries"] == 3


@pytest.mark.parametrize("payer", PAYERS)
async def test_an_inquiry_follows_a_pend_to_its_decision(here: World, payer: str) -> None:
    desk = Desk(here, "200", payer)
    _, pended = await desk.submit()
    assert isinstance(pended, DecisionReceived)
    numbers = pended.decision.all_numbers
    still = await desk.inquire(*numbers)
    assert outcomes(still[1]) == ["1:pended", "3:pended"]
    desk.now = NOW + timedelta(days=4)
    inquired, decided = await desk.inquire(*numbers)
    assert isinstance(inquired, StatusInquired)
    assert outcomes(decided) == ["1:approved", "3:approved"]


@pytest.mark.parametrize("payer", PAYERS)
async def test_an_inquiry_that_finds_nothing_says_so(here: World, payer: str) -> None:
    (fact,) = await Desk(here, "100", payer).inquire()
    assert isinstance(fact, StatusInquired)
    assert not fact.found


async def test_an_inquiry_that_cannot_be_read_says_so_and_before_a_submission_stops_it(here: World) -> None:
    desk = Desk(here, "100")
    await here.fault("payers", r"\$inquire", "html", times=2)
    inquired, unread = await desk.inquire()
    assert isinstance(inquired, StatusInquired)
    assert not inquired.found
    assert isinstance(unread, AnswerNotUnderstood)
    (stopped,) = await desk.submit()
    assert isinstance(stopped, AnswerNotUnderstood)
    assert "nothing was sent" in stopped.why
    assert await desk.submits() == []


async def test_another_request_of_the_same_patient_is_not_taken_for_ours(here: World) -> None:
    desk = Desk(here, "202")
    await desk.submit()
    facts = await desk.submit(trace="case-of-another-order", lines=(3,))
    assert kinds(facts) == ["request_submitted", "decision_received"]
    assert len(await desk.submits()) == 2


@pytest.mark.parametrize("payer", PAYERS)
async def test_a_request_is_withdrawn_once_and_with_a_receipt(here: World, payer: str) -> None:
    desk = Desk(here, "202", payer)
    _, pended = await desk.submit()
    assert isinstance(pended, DecisionReceived)
    for _ in range(2):
        (fact,) = await desk.withdraw(*pended.decision.all_numbers)
        assert isinstance(fact, RequestWithdrawn)
        assert fact.receipt.reference == desk.request().trace
    assert sum(await desk.submits()) == 2


async def test_a_cancel_that_the_payer_does_not_confirm_is_a_persons(here: World) -> None:
    desk = Desk(here, "300")
    await desk.submit()
    (fact,) = await desk.withdraw()
    assert isinstance(fact, AnswerNotUnderstood)
    assert "cannot be changed" in fact.why


async def test_documents_go_along_and_a_missing_one_stops_before_anything_is_sent(here: World) -> None:
    desk = Desk(here, "100")
    ref = await here.outside.documents.put(here.practice.id, NOTE, "office_note", "text/plain")
    facts = await desk.submit(documents=(ref,))
    assert kinds(facts) == ["request_submitted", "decision_received"]
    gone = DocumentRef(id="0" * 64, kind="office_note", media_type="text/plain", size=1)
    with pytest.raises(ApplicationError) as refused:
        await desk.submit(documents=(gone,), trace="case-other")
    assert (refused.value.type, refused.value.message) == ("Refused", "document_missing")
    assert len(await desk.submits()) == 1


async def test_without_secret_channel_or_rail_it_is_refused(here: World) -> None:
    desk = Desk(here, "100")
    for changes, said in (({"rail": "x12"}, "rail_unknown:x12"), ({}, "MissingSecret")):
        here.outside.settings.secrets_by_name.clear()
        with pytest.raises(ApplicationError) as refused:
            await desk.submit(**changes)
        assert (refused.value.type, refused.value.message) == ("Refused", said)


async def test_a_withdrawn_token_is_fetched_anew(here: World) -> None:
    desk = Desk(here, "202")
    await desk.submit()
    await here.post("tokens/revoke", {})
    assert kinds(await desk.inquire()) == ["status_inquired", "decision_received"]
