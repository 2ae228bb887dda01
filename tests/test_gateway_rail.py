"""The gateway rail against the sandbox's gateway over HTTP: every answer that a payer may give through it, and every silence."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from connectors.gateway.words import SCOPE
from domain.actions import SendInformation
from domain.decision import Number, NumberType, Outcome
from domain.facts import (
    AnswerNotUnderstood,
    DecisionReceived,
    Fact,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    StatusInquired,
)
from domain.order import Provider
from domain.policy import PolicySlice
from domain.policy_rules import Channel
from runtime.keys import KeyRing
from tests.pas_requests import NOTE_REF, ORDERING
from tests.rail_desk import RailDesk, kinds, outcomes
from tests.test_pas_payers import SLICES
from tests.vendor_world import NOW, World, world

CODES = {"harbor-hmo": "HARBR", "meridian-ppo": "MERID"}
X12_ACTIONS = {
    "A1": Outcome.APPROVED,
    "A2": Outcome.PARTLY_APPROVED,
    "A3": Outcome.DENIED,
    "A4": Outcome.PENDED,
    "A6": Outcome.MODIFIED,
    "C": Outcome.CANCELLED,
    "CT": Outcome.CONTACT_PAYER,
    "NA": Outcome.NOT_REQUIRED,
}


def slice_of(payer: str, **changes: Any) -> PolicySlice:
    """A payer's rules with a gateway channel as its only one."""
    base = SLICES["meridian-ppo"]
    channel = {
        **{name: getattr(base.channels[0], name) for name in ("source", "verified_on", "effective", "urgencies")},
        "id": f"{payer}-relay",
        "rail": "gateway",
        "via": "relay",
        "payer_code": CODES[payer],
        "base_url": "{sandbox}/gateways/relay",
        "token_url": "{sandbox}/gateways/relay/v1/token",
        "answer_timeout": 10,
        "status_map": X12_ACTIONS,
        **changes,
    }
    return base.model_copy(update={"payer": payer, "channels": (Channel.model_validate(channel),)})


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        made.outside.settings.secrets_by_name[f"{made.practice.id}.relay"] = SecretStr("any")
        yield made


class Desk(RailDesk):
    """A request at a payer behind the gateway."""

    def __init__(self, here: World, scenario: str, payer: str = "harbor-hmo", **channel: Any) -> None:
        super().__init__(here, scenario, slice_of(payer, **channel), "gateway")

    async def sent(self, method: str, ending: str) -> int:
        """How many requests of a kind reached the gateway."""
        received = await self.here.received("gateways")
        return sum(1 for one in received if one["method"] == method and one["path"].endswith(ending))


def held(facts: list[Fact]) -> tuple[Number, ...]:
    """The gateway's record, as the case keeps it."""
    submitted = facts[0]
    assert isinstance(submitted, RequestSubmitted)
    return submitted.numbers


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("100", ["1:approved", "3:approved"]),
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
    here: World, scenario: str, expected: list[str]
) -> None:
    desk = Desk(here, scenario)
    submitted, decided = await desk.submit()
    assert isinstance(submitted, RequestSubmitted)
    (number,) = submitted.numbers
    assert number.type is NumberType.TRANSACTION
    assert (submitted.receipt.kind, submitted.receipt.reference) == ("http_id", number.value)
    assert outcomes(decided) == expected
    assert isinstance(decided, DecisionReceived)
    assert decided.via == "submit"
    assert await desk.submits() == [1]


async def test_an_approval_carries_its_number_validity_and_units(here: World) -> None:
    _, decided = await Desk(here, "100", "meridian-ppo").submit()
    assert isinstance(decided, DecisionReceived)
    first, second = decided.decision.lines
    assert [n.type for n in first.numbers] == [NumberType.CERTIFICATION]
    assert (str(first.valid_from), first.units, second.units) == ("2026-03-20", 2, 6)
    assert first.valid_to is not None


async def test_a_modified_approval_says_how_many_units(here: World) -> None:
    _, decided = await Desk(here, "401").submit()
    assert isinstance(decided, DecisionReceived)
    assert [(line.decision, line.units) for line in decided.decision.lines] == [
        (Outcome.MODIFIED, 1),
        (Outcome.MODIFIED, 3),
    ]


async def test_a_pend_gives_an_administrative_number_and_may_ask_for_information(here: World) -> None:
    _, decided = await Desk(here, "204").submit()
    assert isinstance(decided, DecisionReceived)
    types = {number.type for number in decided.decision.all_numbers}
    assert types == {NumberType.ADMINISTRATIVE, NumberType.TRANSACTION}
    (ask,) = decided.decision.asks
    assert ask.what[0].code == "0U"
    assert any("34109-9" in (reason.text or "") for reason in ask.what)
    assert (ask.control_number or "").startswith("ACN-")


async def test_a_rejection_in_a_200_is_no_denial_and_the_next_attempt_goes_out(here: World) -> None:
    desk = Desk(here, "500")
    (rejected,) = await desk.submit()
    assert isinstance(rejected, RequestRejected)
    assert (rejected.errors[0].code, rejected.errors[0].where) == ("15", "supportingInfo")
    (again,) = await desk.submit(attempt=2, trace="case-second")
    assert isinstance(again, RequestRejected)
    assert await desk.submits() == [1, 1]


@pytest.mark.parametrize(("payer", "most"), [("harbor-hmo", 6), ("meridian-ppo", 4)])
async def test_what_does_not_fit_the_payers_own_rules_is_not_sent(here: World, payer: str, most: int) -> None:
    desk = Desk(here, "100", payer)
    bad = desk.request().order.model_copy(update={"diagnoses": ("M54.16",) * (most + 1)})
    for _ in range(2):
        (rejected,) = await desk.submit(order=bad)
        assert isinstance(rejected, RequestRejected)
        (error,) = rejected.errors
        assert (error.code, error.where) == ("REPEATS", "diagnoses")
        assert str(most) in (error.text or "")
        assert rejected.raw is not None
    assert await desk.submits() == []
    assert await desk.sent("GET", "/v1/configurations") == 1


async def test_the_payers_rules_differ(here: World) -> None:
    without_specialty = Provider(npi=ORDERING.npi, family_name="Okafor", given_name="Ada")
    for payer, expected in (("harbor-hmo", "request_rejected"), ("meridian-ppo", "request_submitted")):
        desk = Desk(here, "100", payer)
        asked = desk.request().order.model_copy(update={"ordering": without_specialty})
        first, *_ = await desk.submit(order=asked, trace=f"case-{payer}")
        assert first.kind == expected
        if isinstance(first, RequestRejected):
            assert first.errors[0].where == "renderingProviders[0].specialtyCode"


async def test_what_the_gateway_refuses_is_rejected_with_its_field(here: World) -> None:
    desk = Desk(here, "100", "meridian-ppo")
    member = desk.request().order.coverages[0].model_copy(update={"member_id": "A" * 21})
    (rejected,) = await desk.submit(order=desk.request().order.model_copy(update={"coverages": (member,)}))
    assert isinstance(rejected, RequestRejected)
    assert rejected.errors[0].where == "subscriber.memberId"
    assert "AAA" not in str(rejected.errors)


async def test_a_name_longer_than_a_278_has_room_for_is_cut(here: World) -> None:
    desk = Desk(here, "100", "meridian-ppo")
    long_name = desk.request().order.patient.model_copy(update={"family_name": "N" * 61})
    order = desk.request().order.model_copy(update={"patient": long_name})
    assert kinds(await desk.submit(order=order)) == ["request_submitted", "decision_received"]


@pytest.mark.parametrize(("scenario", "said"), [("601", "error"), ("602", "web page"), ("604", "another")])
async def test_an_answer_that_decides_nothing_for_us_is_a_persons_and_the_receipt_stands(
    here: World, scenario: str, said: str
) -> None:
    submitted, fact = await Desk(here, scenario).submit()
    assert isinstance(submitted, RequestSubmitted)
    assert isinstance(fact, AnswerNotUnderstood)
    assert said in fact.why


async def test_a_cut_answer_is_kept_and_read_again(here: World) -> None:
    desk = Desk(here, "603")
    facts = await desk.submit()
    assert kinds(facts) == ["request_submitted", "answer_not_understood"]
    inquired, decided = await desk.inquire(*held(facts))
    assert isinstance(inquired, StatusInquired)
    assert outcomes(decided) == ["1:approved", "3:approved"]


async def test_a_lost_answer_is_ambiguous_and_searching_finds_the_request(here: World) -> None:
    desk = Desk(here, "700")
    with pytest.raises(ApplicationError) as lost:
        await desk.submit()
    assert (lost.value.type, lost.value.non_retryable) == ("Ambiguous", True)
    inquired, *_ = await desk.inquire()
    assert isinstance(inquired, StatusInquired)
    assert inquired.found
    submitted, decided = await desk.submit()
    assert isinstance(submitted, RequestSubmitted)
    assert isinstance(decided, DecisionReceived)
    assert (decided.via, outcomes(decided)) == ("inquiry", ["1:approved", "3:approved"])
    assert await desk.submits() == [1]


async def test_a_timeout_of_the_creation_is_ambiguous(here: World) -> None:
    desk = Desk(here, "701", answer_timeout=1)
    await here.control.patch(f"/control/practices/{here.practice.id}/settings", json={"slow_wall_seconds": 1.5})
    with pytest.raises(ApplicationError) as late:
        await desk.submit()
    assert (late.value.type, late.value.message) == ("Ambiguous", "timeout")


async def test_a_busy_gateway_that_names_no_time_is_asked_again_after_our_own_pause(here: World) -> None:
    desk = Desk(here, "702")
    facts = await desk.submit()
    assert kinds(facts) == ["request_submitted", "decision_received"]
    (row,) = (await desk.effects())["submits"]
    assert row["effects"] == {"none": 2, "created": 1}


async def test_a_failing_gateway_is_never_sent_the_same_blindly(here: World) -> None:
    desk = Desk(here, "703")
    for _ in range(2):
        with pytest.raises(ApplicationError) as failed:
            await desk.submit()
        assert (failed.value.type, failed.value.message) == ("Ambiguous", "500")
    assert kinds(await desk.submit()) == ["request_submitted", "decision_received"]


async def test_a_payer_that_takes_a_day_leaves_a_receipt_and_is_asked_again(here: World) -> None:
    desk = Desk(here, "820", answer_timeout=1)
    facts = await desk.submit()
    assert kinds(facts) == ["request_submitted"]
    (still,) = await desk.inquire(*held(facts))
    assert isinstance(still, StatusInquired)
    assert still.found
    desk.now = NOW + timedelta(days=2)
    _, decided = await desk.inquire(*held(facts))
    assert outcomes(decided) == ["1:approved", "3:approved"]


async def test_an_inquiry_follows_a_pend_to_its_decision(here: World) -> None:
    desk = Desk(here, "203")
    facts = await desk.submit()
    _, still = await desk.inquire(*held(facts))
    assert still.source_id == facts[1].source_id
    desk.now = NOW + timedelta(days=4)
    _, decided = await desk.inquire(*held(facts))
    assert outcomes(decided) == ["1:denied", "3:denied"]


async def test_a_record_that_the_gateway_no_longer_keeps_is_searched_for(here: World) -> None:
    desk = Desk(here, "200")
    _, pended = await desk.submit()
    assert isinstance(pended, DecisionReceived)
    reference = [n for n in pended.decision.all_numbers if n.type is NumberType.ADMINISTRATIVE]
    for numbers in ((), tuple(reference)):
        gone = Number(type=NumberType.TRANSACTION, value="SR1")
        inquired, decided = await desk.inquire(*numbers, gone)
        assert isinstance(inquired, StatusInquired)
        assert inquired.found
        assert outcomes(decided) == ["1:pended", "3:pended"]


async def test_an_inquiry_that_finds_nothing_says_so_and_one_that_cannot_be_read_stops_a_submission(
    here: World,
) -> None:
    desk = Desk(here, "100")
    (fact,) = await desk.inquire()
    assert isinstance(fact, StatusInquired)
    assert not fact.found
    await here.fault("gateways", r"GET /gateways/relay/v2/service-reviews$", "html", times=2)
    inquired, unread = await desk.inquire()
    assert isinstance(inquired, StatusInquired)
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


async def test_a_second_request_for_the_same_is_the_payers_duplicate(here: World) -> None:
    desk = Desk(here, "200")
    await desk.submit()
    _, refused = await desk.submit(attempt=2, trace="case-second")
    assert isinstance(refused, AnswerNotUnderstood), "a refused copy denies nothing of the service"
    assert "has this request already" in refused.why
    assert refused.raw is not None


@pytest.mark.parametrize("scenario", ["100", "202"])
async def test_a_request_is_withdrawn_once_and_with_a_receipt(here: World, scenario: str) -> None:
    desk = Desk(here, scenario)
    facts = await desk.submit()
    (fact,) = await desk.withdraw(*held(facts))
    assert isinstance(fact, RequestWithdrawn)
    assert fact.receipt.reference in {held(facts)[0].value, desk.request().trace}
    assert await desk.sent("DELETE", held(facts)[0].value) == 1


async def test_what_was_voided_already_is_not_voided_again(here: World) -> None:
    desk = Desk(here, "100")
    facts = await desk.submit()
    for _ in range(2):
        (fact,) = await desk.withdraw(*held(facts))
        assert isinstance(fact, RequestWithdrawn)
    assert await desk.sent("DELETE", held(facts)[0].value) == 1


async def test_a_request_without_a_known_record_is_searched_for_and_withdrawn(here: World) -> None:
    desk = Desk(here, "202")
    await desk.submit()
    (fact,) = await desk.withdraw()
    assert isinstance(fact, RequestWithdrawn)


async def test_a_withdrawal_that_the_gateway_does_not_confirm_is_a_persons(here: World) -> None:
    for scenario in ("300", "400"):
        desk = Desk(here, scenario)
        facts = await desk.submit(trace=f"case-{scenario}")
        (fact,) = await desk.withdraw(*held(facts), trace=f"case-{scenario}")
        assert isinstance(fact, AnswerNotUnderstood)
    (fact,) = await Desk(here, "100").withdraw()
    assert isinstance(fact, AnswerNotUnderstood)
    assert "does not find" in fact.why


async def test_a_changed_request_is_an_update_of_the_same_record(here: World) -> None:
    desk = Desk(here, "200")
    facts = await desk.submit()
    prior = desk.request()
    later = tuple(
        line.model_copy(update={"service_from": date(2026, 4, 2), "service_to": None}) for line in prior.order.lines
    )
    changed = {
        "trace": "case-second",
        "attempt": 2,
        "order": prior.order.model_copy(update={"lines": later}),
        "prior": prior,
        "prior_numbers": held(facts),
    }
    updated = await desk.submit(**changed)
    assert kinds(updated) == ["request_submitted", "decision_received"]
    assert held(updated) == held(facts)
    assert await desk.sent("PUT", "/v2/service-reviews") == 1
    again = await desk.submit(**changed)
    assert held(again) == held(facts)
    assert await desk.sent("PUT", "/v2/service-reviews") == 1
    found = await desk.submit(**{**changed, "prior_numbers": (), "prior": prior, "trace": "case-third", "attempt": 3})
    assert kinds(found) == ["answer_not_understood"]


async def test_documents_go_another_way(here: World) -> None:
    desk = Desk(here, "204")
    action = SendInformation(**desk._common(), request=desk.request(), asks=(), documents=(NOTE_REF,))
    with pytest.raises(ApplicationError) as refused:
        await ActivityEnvironment().run(desk.payers.send_information, action)
    assert (refused.value.type, refused.value.message) == ("Refused", "gateway:attachments_unavailable")


async def test_a_token_that_ends_while_it_is_held_is_renewed_once(here: World) -> None:
    desk = Desk(here, "100")
    facts = await desk.submit()
    await here.post("tokens/revoke", {})
    _, decided = await desk.inquire(*held(facts))
    assert outcomes(decided) == ["1:approved", "3:approved"]
    assert await desk.sent("POST", "/v1/token") == 2


async def test_outside_production_an_answer_that_is_not_canned_is_refused(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.gateway.client.DEMO_SCOPE", SCOPE)
    desk = Desk(here, "100")
    with pytest.raises(ApplicationError) as refused:
        await desk.submit()
    assert (refused.value.type, refused.value.message) == ("Refused", "gateway:not_a_mock_answer")
    assert await desk.submits() == []
