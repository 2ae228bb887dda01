"""The X12 rail against the sandbox's clearinghouse over HTTP: in real time and in batches, every answer and every silence."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError

from activities.payers import Payers
from activities.x12 import X12Rail
from domain.decision import InformationAsk, Number, NumberType, Outcome
from domain.facts import (
    AnswerNotUnderstood,
    DecisionReceived,
    Fact,
    InformationSent,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    StatusInquired,
)
from domain.order import Urgency
from domain.policy import LineKey, PolicySlice, parse_policy, slice_policy
from domain.policy_rules import Ability, Channel
from runtime.keys import KeyRing
from store.control_numbers import ControlNumbers, Use
from store.database import Database
from store.migrate import migrate
from tests.pas_requests import NOTE
from tests.rail_desk import RailDesk, kinds, outcomes
from tests.vendor_world import NOW, World, world

POLICIES = Path(__file__).resolve().parent.parent / "policies"
ALL = (Ability.SUBMIT, Ability.UPDATE, Ability.INQUIRE, Ability.CANCEL, Ability.ATTACH)
HARBOR, BLUESTEM = "harbor-hmo", "bluestem-mco"
CODES = {HARBOR: "HARBR", BLUESTEM: "BLSTM"}


def channel(payer: str, **changes: Any) -> Channel:
    """The way to a payer behind the clearinghouse: in real time by REST, or in batches by MIME."""
    batch = payer == BLUESTEM
    values: dict[str, Any] = {
        "id": f"{payer}-x12",
        "source": "Agreement with the clearinghouse (synthetic)",
        "verified_on": date(2026, 1, 2),
        "effective": {"from": date(2026, 1, 1)},
        "rail": "x12",
        "urgencies": tuple(Urgency),
        "version": "2.2.0" if batch else "4.0.0",
        "base_url": "{sandbox}/clearinghouses/northbridge/core/" + ("mime" if batch else "rest"),
        "via": "northbridge",
        "payer_code": CODES[payer],
        "sender": "LAKESIDE",
        "receiver": "NORTHBRIDGE",
        "mode": "batch" if batch else "real_time",
        "can": ALL,
        "answer_timeout": 20,
    }
    return Channel.model_validate(values | changes)


def policy(payer: str, **changes: Any) -> PolicySlice:
    parsed = parse_policy(yaml.safe_load((POLICIES / "meridian-ppo.yaml").read_text()), name="meridian-ppo")
    key = LineKey(
        number=1, code="95910", category="emg", place_of_service="11", diagnoses=(), patient_age=55, state="IL"
    )
    cut = slice_policy(parsed, on=date(2026, 3, 2), urgency="routine", lines=[key])
    name = payer.replace("-", " ").title()
    return cut.model_copy(update={"payer": payer, "name": name, "channels": (channel(payer, **changes),)})


@pytest.fixture(scope="module")
async def numbers(postgres_url: str) -> AsyncIterator[ControlNumbers]:
    await migrate(postgres_url)
    db = Database(postgres_url)
    yield ControlNumbers(db)
    await db.close()


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        made.outside.settings.secrets_by_name[f"{made.practice.id}.northbridge"] = SecretStr("any")
        yield made


class Desk(RailDesk):
    """A request at a payer behind the clearinghouse."""

    def __init__(
        self, here: World, numbers: ControlNumbers, scenario: str, payer: str = HARBOR, **channel_changes: Any
    ) -> None:
        rail = X12Rail(here.outside, numbers, looks=(0.0,))
        payers = Payers(here.outside, rails={"x12": rail})
        super().__init__(here, scenario, policy(payer, **channel_changes), "x12", payers)

    async def send_note(self, *asks: InformationAsk, numbers: tuple[Number, ...] = ()) -> list[Fact]:
        """Send the office note for what was asked."""
        ref = await self.here.outside.documents.put(self.here.practice.id, NOTE, "office_note", "text/plain")
        return await self.send(asks, (ref,), numbers)


# --- in real time -------------------------------------------------------------------------------------------------


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
    here: World, numbers: ControlNumbers, scenario: str, expected: list[str]
) -> None:
    desk = Desk(here, numbers, scenario)
    submitted, decided = await desk.submit()
    assert isinstance(submitted, RequestSubmitted)
    assert (submitted.receipt.kind, submitted.receipt.reference) == ("trace_number", desk.request().trace)
    assert outcomes(decided) == expected
    assert isinstance(decided, DecisionReceived)
    assert decided.via == "submit"
    assert (await desk.raw(decided)).startswith(b"ISA|")
    assert await desk.submits() == [1]


async def test_a_rejection_by_the_payer_decides_nothing(here: World, numbers: ControlNumbers) -> None:
    (rejected,) = await Desk(here, numbers, "500").submit()
    assert isinstance(rejected, RequestRejected)
    assert (rejected.errors[0].code, rejected.errors[0].follow_up) == ("15", "C")


@pytest.mark.parametrize(("scenario", "codes"), [("820", ["I12", "8", "5", "999 R"]), ("821", ["006", "TA1 R"])])
@pytest.mark.parametrize("payer", [HARBOR, BLUESTEM])
async def test_an_envelope_that_is_not_taken_in_is_a_rejection_with_its_places(
    here: World, numbers: ControlNumbers, payer: str, scenario: str, codes: list[str]
) -> None:
    desk = Desk(here, numbers, scenario, payer)
    (rejected,) = await desk.submit()
    assert isinstance(rejected, RequestRejected)
    assert [error.code for error in rejected.errors] == codes
    assert await desk.raw(rejected)


async def test_what_our_own_check_finds_is_never_sent(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "100")
    old = desk.request().order.patient.model_copy(update={"birth_date": date(1840, 1, 1)})
    facts = await desk.submit(order=desk.request().order.model_copy(update={"patient": old}))
    assert kinds(facts) == ["request_rejected"]
    assert isinstance(facts[0], RequestRejected)
    assert facts[0].errors[0].code == "not_sent"
    assert await desk.submits() == []


@pytest.mark.parametrize(("scenario", "said"), [("602", "ISA"), ("604", "another")])
async def test_an_answer_that_decides_nothing_for_us_is_a_persons(
    here: World, numbers: ControlNumbers, scenario: str, said: str
) -> None:
    desk = Desk(here, numbers, scenario)
    (fact,) = await desk.submit()
    assert isinstance(fact, AnswerNotUnderstood)
    assert said in fact.why
    assert await desk.raw(fact)


async def test_a_refusal_of_the_envelope_is_refused(here: World, numbers: ControlNumbers) -> None:
    with pytest.raises(ApplicationError) as refused:
        await Desk(here, numbers, "601").submit()
    assert (refused.value.type, refused.value.message) == ("Refused", "core:Sender")


async def test_a_cut_answer_is_kept_and_the_request_is_found_instead_of_sent_again(
    here: World, numbers: ControlNumbers
) -> None:
    desk = Desk(here, numbers, "603")
    (fact,) = await desk.submit()
    assert isinstance(fact, AnswerNotUnderstood)
    assert kinds(await desk.submit()) == ["request_submitted", "decision_received"]
    assert await desk.submits() == [1]


async def test_a_lost_answer_is_ambiguous_and_searching_finds_the_request(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "700")
    with pytest.raises(ApplicationError) as lost:
        await desk.submit()
    assert (lost.value.type, lost.value.non_retryable) == ("Ambiguous", True)
    inquired, decided = await desk.inquire()
    assert isinstance(inquired, StatusInquired)
    assert inquired.found
    assert isinstance(decided, DecisionReceived)
    assert (decided.via, outcomes(decided)) == ("inquiry", ["1:approved", "3:approved"])
    assert kinds(await desk.submit()) == ["request_submitted", "decision_received"]
    assert await desk.submits() == [1]


@pytest.mark.parametrize("scenario", ["702", "822"])
async def test_a_busy_clearinghouse_is_asked_again(here: World, numbers: ControlNumbers, scenario: str) -> None:
    desk = Desk(here, numbers, scenario)
    assert kinds(await desk.submit()) == ["request_submitted", "decision_received"]


async def test_a_failing_clearinghouse_is_never_sent_the_same_blindly(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "703")
    for _ in range(2):
        with pytest.raises(ApplicationError) as failed:
            await desk.submit()
        assert (failed.value.type, failed.value.message) == ("Ambiguous", "500")
    assert kinds(await desk.submit()) == ["request_submitted", "decision_received"]


async def test_an_inquiry_follows_a_pend_to_its_decision(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "200")
    _, pended = await desk.submit()
    assert isinstance(pended, DecisionReceived)
    held = pended.decision.all_numbers
    assert {number.type for number in held} <= {NumberType.ADMINISTRATIVE, NumberType.TRANSACTION}
    assert outcomes((await desk.inquire(*held))[1]) == ["1:pended", "3:pended"]
    desk.now = NOW + timedelta(days=4)
    inquired, decided = await desk.inquire(*held)
    assert isinstance(inquired, StatusInquired)
    assert outcomes(decided) == ["1:approved", "3:approved"]
    assert isinstance(decided, DecisionReceived)
    line = decided.decision.lines[0]
    assert [number.type for number in line.numbers] == [NumberType.CERTIFICATION]
    assert line.valid_from is not None
    assert line.valid_to is not None


async def test_an_inquiry_that_finds_nothing_says_so(here: World, numbers: ControlNumbers) -> None:
    (fact,) = await Desk(here, numbers, "100").inquire()
    assert isinstance(fact, StatusInquired)
    assert not fact.found


async def test_a_payer_without_inquiries_is_not_asked(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "100", can=(Ability.SUBMIT,))
    assert kinds(await desk.submit()) == ["request_submitted", "decision_received"]
    with pytest.raises(ApplicationError) as refused:
        await desk.inquire()
    assert (refused.value.type, refused.value.message) == ("Refused", "x12:inquiry_not_offered")
    assert (await desk.effects())["inquiries"] == 0


async def test_another_request_of_the_same_patient_is_not_taken_for_ours(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "202")
    await desk.submit()
    facts = await desk.submit(trace="case-of-another-order", lines=(3,))
    assert kinds(facts) == ["request_submitted", "decision_received"]
    assert len(await desk.submits()) == 2


async def test_a_changed_request_goes_as_a_revision_of_the_one_it_takes_the_place_of(
    here: World, numbers: ControlNumbers
) -> None:
    desk = Desk(here, numbers, "202")
    _, pended = await desk.submit()
    assert isinstance(pended, DecisionReceived)
    first = desk.request()
    fewer = {"attempt": 2, "trace": f"{first.trace}b", "lines": (1,), "prior": first}
    facts = await desk.submit(**fewer, prior_numbers=pended.decision.all_numbers)
    assert kinds(facts) == ["request_submitted", "decision_received"]
    ids = [one["ids"] for one in await here.received("clearinghouses")]
    assert [one["effect"] for one in ids if one["operation"] == "submit"] == ["created", "updated"]
    assert kinds(await desk.submit(**fewer, prior_numbers=pended.decision.all_numbers)) == kinds(facts)
    assert sum(await desk.submits()) == 2


async def test_a_request_is_withdrawn_once_and_with_a_receipt(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "202")
    _, pended = await desk.submit()
    assert isinstance(pended, DecisionReceived)
    for _ in range(2):
        (fact,) = await desk.withdraw(*pended.decision.all_numbers)
        assert isinstance(fact, RequestWithdrawn)
        assert fact.receipt.reference == desk.request().trace
    assert sum(await desk.submits()) == 2


async def test_a_cancel_names_the_request_by_a_number_that_the_case_has_not_heard_of(
    here: World, numbers: ControlNumbers
) -> None:
    desk = Desk(here, numbers, "202", BLUESTEM)
    assert kinds(await desk.submit()) == ["request_submitted"]
    with pytest.raises(ApplicationError, match="cancel_not_confirmed"):
        await desk.withdraw()
    assert [row["effects"] for row in (await desk.effects())["submits"]] == [{"created": 1}, {"cancelled": 1}]
    desk.now = NOW + timedelta(hours=5)
    assert kinds(await desk.withdraw()) == ["request_withdrawn"]


async def test_a_cancel_that_the_payer_does_not_confirm_is_a_persons(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "300")
    await desk.submit()
    (fact,) = await desk.withdraw()
    assert isinstance(fact, AnswerNotUnderstood)


@pytest.mark.parametrize("version", ["4.0.0", "4.0.0 005010X211"])
async def test_what_the_payer_asks_for_is_sent_and_the_request_goes_on(
    here: World, numbers: ControlNumbers, version: str
) -> None:
    desk = Desk(here, numbers, "204", version=version)
    _, pended = await desk.submit()
    assert isinstance(pended, DecisionReceived)
    (ask, *_) = pended.decision.asks
    assert ask.control_number is not None
    (sent,) = await desk.send_note(ask, numbers=pended.decision.all_numbers)
    assert isinstance(sent, InformationSent)
    assert sent.receipt.kind == "acknowledgment"
    assert sent.receipt.reference.startswith("999 ")
    desk.now = NOW + timedelta(days=4)
    assert outcomes((await desk.inquire(*pended.decision.all_numbers))[1]) == ["1:approved", "3:approved"]


async def test_documents_that_nobody_asked_for_go_under_the_number_that_the_request_named(
    here: World, numbers: ControlNumbers
) -> None:
    desk = Desk(here, numbers, "200")
    await desk.submit()
    (sent,) = await desk.send_note()
    assert isinstance(sent, InformationSent)
    assert sent.receipt.kind == "acknowledgment"
    ids = [one["ids"] for one in await here.received("clearinghouses")]
    assert [one["effect"] for one in ids if one["operation"] == "submit-attachment"] == ["kept"]


async def test_documents_that_the_payer_does_not_take_are_refused(here: World, numbers: ControlNumbers) -> None:
    with pytest.raises(ApplicationError) as refused:
        await Desk(here, numbers, "204", can=(Ability.SUBMIT, Ability.INQUIRE)).send_note()
    assert (refused.value.type, refused.value.message) == ("Refused", "x12:attachments_unavailable")


# --- in batches ---------------------------------------------------------------------------------------------------


async def test_a_batch_is_a_receipt_first_and_a_decision_when_it_is_picked_up(
    here: World, numbers: ControlNumbers
) -> None:
    desk = Desk(here, numbers, "100", BLUESTEM)
    (submitted,) = await desk.submit()
    assert isinstance(submitted, RequestSubmitted)
    assert submitted.receipt.kind == "acknowledgment"
    assert submitted.receipt.reference.startswith("999 ")
    desk.now = NOW + timedelta(hours=5)
    inquired, decided = await desk.inquire()
    assert isinstance(inquired, StatusInquired)
    assert outcomes(decided) == ["1:approved", "3:approved"]
    assert isinstance(decided, DecisionReceived)
    assert {n.type for line in decided.decision.lines for n in line.numbers} == {NumberType.CERTIFICATION}
    assert await desk.submits() == [1]


async def test_without_inquiries_the_mailbox_is_the_search(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "100", BLUESTEM, can=(Ability.SUBMIT,))
    (nothing,) = await desk.inquire()
    assert isinstance(nothing, StatusInquired)
    assert not nothing.found
    assert kinds(await desk.submit()) == ["request_submitted"]
    (waiting,) = await desk.inquire()
    assert isinstance(waiting, StatusInquired)
    assert waiting.found
    # A second try finds what is there, and sends nothing.
    assert kinds(await desk.submit()) == ["request_submitted"]
    desk.now = NOW + timedelta(hours=5)
    assert kinds(await desk.submit()) == ["request_submitted", "decision_received"]
    assert await desk.submits() == [1]


async def test_a_lost_batch_answer_is_found_in_the_mailbox(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "700", BLUESTEM, can=(Ability.SUBMIT,))
    with pytest.raises(ApplicationError) as lost:
        await desk.submit()
    assert lost.value.type == "Ambiguous"
    assert kinds(await desk.submit()) == ["request_submitted"]
    assert await desk.submits() == [1]


class Planting(ControlNumbers):
    """Plants a fault when the message gets its number: after the search, before the mailbox is opened again."""

    here: World

    async def next(self, use: Use) -> int:
        await self.here.fault("clearinghouses", "batch/pickup", "500")
        return await super().next(use)


async def test_a_mailbox_that_stays_shut_after_a_batch_was_handed_over_leaves_the_receipt(
    here: World, numbers: ControlNumbers
) -> None:
    planting = Planting(numbers._db)
    planting.here = here
    url = "{sandbox}/clearinghouses/northbridge/core/rest"
    desk = Desk(here, planting, "100", BLUESTEM, can=(Ability.SUBMIT,), version="4.0.0", base_url=url)
    (submitted,) = await desk.submit()
    assert isinstance(submitted, RequestSubmitted)
    assert submitted.receipt.kind == "http_id"
    # The same id again, and nothing is made twice.
    assert kinds(await desk.submit()) == ["request_submitted"]
    assert await desk.submits() == [1]


async def test_without_postgresql_a_request_is_sent_and_nobody_elses_acknowledgment_is_taken_for_its_own(
    here: World, numbers: ControlNumbers
) -> None:
    away = ControlNumbers(Database("postgresql://postgres@127.0.0.1:1/vigil"))
    assert kinds(await Desk(here, away, "100").submit()) == ["request_submitted", "decision_received"]
    other = Desk(here, numbers, "202", BLUESTEM, can=(Ability.SUBMIT,))
    assert kinds(await other.submit(trace="case-another")) == ["request_submitted"]
    desk = Desk(here, away, "100", BLUESTEM, can=(Ability.SUBMIT,))
    assert kinds(await desk.submit()) == ["request_submitted"]
    with pytest.raises(ApplicationError) as later:
        await desk.inquire()
    assert (later.value.type, later.value.message) == ("Exhausted", "x12:control_numbers_away")
    desk.now = NOW + timedelta(hours=5)
    assert kinds(await desk.inquire()) == ["status_inquired", "decision_received"]


async def test_a_broken_batch_answer_is_kept_beside_the_receipt(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "603", BLUESTEM)
    assert kinds(await desk.submit()) == ["request_submitted"]
    desk.now = NOW + timedelta(hours=5)
    # The file is broken off; asked directly, the payer says what it decided.
    assert kinds(await desk.inquire()) == ["status_inquired", "decision_received"]
    alone = Desk(here, numbers, "603", BLUESTEM, can=(Ability.SUBMIT,))
    alone.now = desk.now
    assert kinds(await alone.inquire()) == ["status_inquired", "answer_not_understood"]


async def test_what_the_payer_pushes_later_lies_in_the_mailbox(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "203", BLUESTEM, can=(Ability.SUBMIT,))
    await desk.submit()
    desk.now = NOW + timedelta(hours=5)
    assert outcomes((await desk.inquire())[1]) == ["1:pended", "3:pended"]
    desk.now = NOW + timedelta(days=5)
    facts = await desk.inquire()
    assert kinds(facts) == ["status_inquired", "decision_received", "decision_received"]
    assert outcomes(facts[-1]) == ["1:denied", "3:denied"]


async def test_a_cancel_in_a_batch_is_confirmed_when_it_is_picked_up(here: World, numbers: ControlNumbers) -> None:
    desk = Desk(here, numbers, "202", BLUESTEM, can=(Ability.SUBMIT, Ability.CANCEL))
    await desk.submit()
    desk.now = NOW + timedelta(hours=5)
    _, pended = await desk.inquire()
    assert isinstance(pended, DecisionReceived)
    for _ in range(2):
        with pytest.raises(ApplicationError) as unsure:
            await desk.withdraw(*pended.decision.all_numbers)
        assert (unsure.value.type, unsure.value.message) == ("Ambiguous", "x12:cancel_not_confirmed")
    desk.now = NOW + timedelta(hours=10)
    (fact,) = await desk.withdraw(*pended.decision.all_numbers)
    assert isinstance(fact, RequestWithdrawn)
    assert sum(await desk.submits()) == 2


async def test_documents_in_a_batch_have_the_acknowledgment_as_their_receipt(
    here: World, numbers: ControlNumbers
) -> None:
    desk = Desk(here, numbers, "204", BLUESTEM)
    await desk.submit()
    desk.now = NOW + timedelta(hours=5)
    _, pended = await desk.inquire()
    assert isinstance(pended, DecisionReceived)
    assert pended.decision.lines[0].decision is Outcome.PENDED
    (sent,) = await desk.send_note(*pended.decision.asks, numbers=pended.decision.all_numbers)
    assert isinstance(sent, InformationSent)
    assert sent.receipt.kind == "acknowledgment"


async def test_documents_in_a_batch_that_were_handed_over_before_are_found_and_not_sent_again(
    here: World, numbers: ControlNumbers
) -> None:
    desk = Desk(here, numbers, "202", BLUESTEM)
    await desk.submit()
    await here.fault("clearinghouses", "core/mime", "lost")
    ask = InformationAsk(what=(), control_number="ACN-7")
    with pytest.raises(ApplicationError) as lost:
        await desk.send_note(ask)
    assert lost.value.type == "Ambiguous"
    for _ in range(2):
        (sent,) = await desk.send_note(ask)
        assert isinstance(sent, InformationSent)
        assert sent.receipt.kind == "acknowledgment"
    assert len((await desk.effects())["attachments"]) == 1
