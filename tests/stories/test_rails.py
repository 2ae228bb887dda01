"""The same stories on every rail: whatever way a request takes, the case, its numbers, its turns and the payer's books agree."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from domain.actions import SubmitRequest
from domain.base import Turn
from domain.decision import NumberType, Outcome
from domain.facts import (
    InformationSent,
    OrderCancelled,
    OrderChanged,
    RequestSubmitted,
    RequestWithdrawn,
    StatusInquired,
    TaskKind,
)
from domain.policy_rules import Ability, Rail
from runtime.keys import KeyRing
from tests.driver import Block, Driver, block
from tests.rails import WAYS, Book, Clerk, Way, information

ACTIONS = {
    "A1": Outcome.APPROVED,
    "A2": Outcome.PARTLY_APPROVED,
    "A3": Outcome.DENIED,
    "A4": Outcome.PENDED,
    "A6": Outcome.MODIFIED,
    "C": Outcome.CANCELLED,
    "ZZ": Outcome.UNKNOWN,
}
NEVER_BILLABLE = {NumberType.ADMINISTRATIVE, NumberType.TRACE, NumberType.TRANSACTION}
PROOF = {
    Rail.PAS: {"trace_number"},
    Rail.X12: {"trace_number", "acknowledgment", "http_id"},
    Rail.GATEWAY: {"http_id"},
    Rail.FAX: {"fax_report"},
    Rail.PORTAL: {"reference_number"},
}


@pytest.fixture(scope="module")
async def shared(
    postgres_url: str, sandbox_url: str, keyring: KeyRing, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Block]:
    async with block(postgres_url, sandbox_url, keyring, tmp_path_factory.mktemp("rails")) as made:
        yield made


class Tale:
    """One case at the payer of one rail, and what the payer has of it."""

    def __init__(self, way: Way, driver: Driver) -> None:
        self.way, self.driver = way, driver
        self.book = None if way.is_wired else Book(driver)
        self.clerk = Clerk(self.book)
        driver.clerk = self.clerk

    # --- getting on -------------------------------------------------------------------------------------------------

    async def until(self, done: Callable[[], bool]) -> None:
        await self.driver.until(lambda: self._faxes_are_read() and done())

    async def until_there(self) -> None:
        """Until the payer has the request, with proof."""
        await self.until(lambda: self.is_there and not self.driver.flying)

    async def until_task(self, kind: TaskKind) -> None:
        await self.until(lambda: self.driver.task(kind) is not None)

    def _faxes_are_read(self) -> bool:
        """What a fax machine took lies on the payer's desk: its trace stands on the cover."""
        if self.book is not None and self.way.rail is Rail.FAX:
            for fact in self.driver.told(RequestSubmitted):
                if fact.trace not in self.book.requests:
                    self.book.take(fact.trace)
            for kept in self.book.in_force if self.driver.told(InformationSent) else ():
                kept.informed_at = kept.informed_at or self.driver.now
        return True

    # --- what has to be so ------------------------------------------------------------------------------------------

    @property
    def is_there(self) -> bool:
        return bool(self.driver.case.tracks) and self.driver.track.attempt.reached_payer

    @property
    def outcomes(self) -> list[str | None]:
        return [outcome.value if outcome else None for outcome in self.driver.track.outcomes]

    @property
    def attaches(self) -> bool:
        """Whether the payer takes documents on this rail."""
        (channel,) = self.driver.policy.channels
        return Ability.ATTACH in channel.can

    def certified(self, *lines: int) -> None:
        """These lines have an authorization number each, and no others; no reference of a pend is taken for one."""
        for number in self.driver.track.lines_required:
            decided = self.driver.track.decision(number)
            types = {n.type for n in decided.numbers} if decided else set()
            assert (NumberType.CERTIFICATION in types) == (number in lines), (number, types)

    def proven(self) -> None:
        """It counts as submitted by a proof of the rail's own kind, under our trace."""
        arrival, submitted = self.driver.track.attempt.arrival, self.driver.track.attempt.submitted
        if isinstance(arrival, StatusInquired):  # an answer was lost, and a search has found the request
            assert arrival.found
            assert arrival.raw is not None
            return
        assert submitted is not None
        assert (submitted.rail, submitted.trace) == (self.way.rail, self.traces[-1])
        assert submitted.receipt.kind in PROOF[self.way.rail]
        assert submitted.receipt.reference

    @property
    def traces(self) -> list[str]:
        """Our identifiers of the attempts that were allowed."""
        track = self.driver.track
        return [f"{self.driver.case.id}-{track.key}-{n}" for n in range(1, track.allowed + 1)]

    async def sent(self) -> Counter[str]:
        """How often each of our traces was sent for the first time or again, as the other side counted."""
        effects = await self.driver.office.effects()
        if self.way.is_wired:
            counted = {row["claim_identifier"].rpartition("|")[2]: row["count"] for row in effects["submits"]}
            return Counter({trace: count for trace, count in counted.items() if trace in self.traces})
        if self.way.rail is Rail.FAX:
            return Counter(row["reference"] for row in effects["faxes"] if row["reference"] in self.traces)
        assert self.book is not None
        return (
            Counter(dict.fromkeys(self.book.requests, 1)) if self.book.taken == len(self.book.requests) else Counter()
        )

    async def accepted(self) -> list[dict[str, Any]]:
        """The requests that the payer has, neither rejected nor taken back: the actions in force of each."""
        if self.book is not None:
            return [{"actions": {}} for _ in self.book.in_force]
        held = [one for one in await self.driver.office.requests() if one["payer"] == self.way.payer]
        return [one for one in held if not one["rejected"] and set(one["actions"].values()) != {"C"}]

    async def once(self) -> None:
        """The payer has one request of it, sent once, and says of each line what the case says."""
        held = await self.accepted()
        assert len(held) == 1, held
        assert (await self.sent())[self.traces[-1]] == 1
        if self.way.is_wired:
            said = [ACTIONS[held[0]["actions"][str(n)]] for n in self.driver.track.lines_required]
            assert said == list(self.driver.track.outcomes)

    def not_approved(self) -> None:
        """Nothing says that the visit may go ahead, to nobody."""
        assert not self.driver.case.is_ready
        assert not {notice.message for notice in self.driver.case.patient_notices} & {"approved", "not_required"}
        self.certified()


async def approve(tale: Tale) -> None:
    await tale.until(lambda: tale.driver.case.is_ready)
    assert tale.outcomes == ["approved"]
    tale.certified(1)
    tale.proven()
    await tale.once()
    assert tale.driver.turn is Turn.VIGIL
    assert [notice.message for notice in tale.driver.case.patient_notices] == ["approved"]


async def pend(tale: Tale) -> None:
    await tale.until_there()
    tale.not_approved()
    tale.proven()
    assert tale.driver.turn is Turn.PAYER
    await tale.until(lambda: tale.driver.now > tale.driver.case.opened_at + timedelta(hours=20))
    assert tale.outcomes in (["pended"], [None])
    assert {number.type for number in tale.driver.case.numbers} <= NEVER_BILLABLE
    await approve(tale)


async def ask(tale: Tale) -> None:
    wanted, by_itself = TaskKind.SEND_INFORMATION, tale.way.name == "x12-real-time"
    if by_itself:  # a 278 only names its documents, so the case has what the payer has not seen yet
        assert tale.driver.task(wanted) is None
    else:
        await tale.until_task(wanted)
        tale.not_approved()
        assert tale.driver.turn is Turn.STAFF
        task = tale.driver.task(wanted)
        assert task is not None
        await tale.driver.hand_in(task, **await information(tale.driver, task, tale.book))
    await tale.until(lambda: bool(tale.driver.told(InformationSent)))
    told = tale.driver.told(InformationSent)
    assert all(sent.receipt.reference for sent in told)
    documents = [ref.id for sent in told for ref in sent.documents]
    assert len(documents) == len(set(documents)), "nothing is sent twice"
    tale.not_approved()
    assert tale.driver.turn is Turn.PAYER
    if tale.way.is_wired and not tale.attaches:  # documents went by hand, and so comes the answer
        (numbers,) = tale.driver.policy.numbers
        number = numbers.certification_examples[0]
        letter = {"number": number, "valid_to": "2027-03-01", "line": 1, "decision": "approved"}
        await tale.driver.hears(result="decided", via="letter", reference="LETTER-1", lines=[letter])
    await tale.until(lambda: tale.driver.case.is_ready)
    assert tale.outcomes == ["approved"]
    tale.certified(1)
    assert len(await tale.accepted()) == 1
    attached = (await tale.driver.office.effects())["attachments"]
    assert len(attached) == (len(documents) if by_itself else tale.way.is_wired and tale.attaches)


async def deny(tale: Tale) -> None:
    await tale.until_task(TaskKind.CHOOSE_AFTER_DENIAL)
    tale.not_approved()
    assert tale.outcomes == ["denied"]
    decided = tale.driver.track.decision(1)
    assert decided is not None
    assert "0F" in {reason.code for reason in decided.reasons}
    assert tale.driver.turn is Turn.PROVIDER
    await tale.once()


async def partial(tale: Tale) -> None:
    await _differs(tale, "partly_approved")


async def modify(tale: Tale) -> None:
    await _differs(tale, "modified")
    decided = tale.driver.track.decision(2)
    assert decided is not None
    assert decided.units == 1, "half of what was asked"


async def _differs(tale: Tale, outcome: str) -> None:
    await tale.until_task(TaskKind.COMPARE_APPROVAL)
    assert not tale.driver.case.is_ready
    assert tale.driver.case.patient_notices == ()
    assert tale.outcomes == [outcome] * 2
    tale.certified(1, 2)
    assert tale.driver.turn is Turn.STAFF
    await tale.once()
    task = tale.driver.task(TaskKind.COMPARE_APPROVAL)
    assert task is not None
    await tale.driver.hand_in(task, result="option_chosen", option="accept", reason="It is enough.")
    assert tale.driver.case.is_ready


async def split(tale: Tale) -> None:
    await tale.until_task(TaskKind.CHOOSE_AFTER_DENIAL)
    assert tale.outcomes == ["approved", "denied"]
    assert not tale.driver.case.is_ready
    tale.certified(1)
    assert tale.driver.turn is Turn.PROVIDER
    await tale.once()


async def cancel(tale: Tale) -> None:
    await tale.until_there()
    if tale.way.is_wired:  # by wire a payer takes back only what it has given a number
        await tale.until(lambda: tale.driver.track.attempt.last_answer is not None)
    driver = tale.driver
    cancelled = OrderCancelled(occurred_at=driver.now, by="person:ines", source_id="cancel", reason="No longer wanted.")
    driver.ask([cancelled])
    await driver.settle()
    await tale.until(lambda: driver.case.closed is not None)
    assert driver.case.closed is not None
    assert driver.case.closed.reason == "cancelled"
    (withdrawn,) = driver.told(RequestWithdrawn)
    assert withdrawn.receipt.reference
    assert await tale.accepted() == []
    assert (await tale.sent())[tale.traces[0]] == 1
    assert driver.case.patient_notices == ()


async def duplicate(tale: Tale) -> None:
    """A worker died after it sent, and another does it again."""
    await approve(tale)
    (sent,) = tale.driver.done(SubmitRequest)
    again = await tale.driver.carry_out(sent)
    assert isinstance(again, list), again
    await tale.driver.report(*again)
    assert tale.driver.case.is_ready
    assert tale.outcomes == ["approved"]
    await tale.once()


async def reject(tale: Tale) -> None:
    await tale.until_task(TaskKind.CORRECT_REQUEST)
    tale.not_approved()
    assert tale.outcomes == [None]
    assert tale.driver.turn is Turn.STAFF
    assert await tale.accepted() == []
    driver, order = tale.driver, tale.driver.case.order
    right = order.primary.model_copy(update={"member_id": order.primary.member_id[:-3] + "100"})
    fact = OrderChanged(
        occurred_at=driver.now,
        by="person:ines",
        source_id="corrected",
        order=order.model_copy(update={"coverages": (right,)}),
    )
    driver.ask([fact])
    await tale.until_task(TaskKind.CORRECT_REQUEST)
    task = driver.task(TaskKind.CORRECT_REQUEST)
    assert task is not None
    await driver.hand_in(task, result="resend", reason="The member number was mistyped.")
    await approve(tale)
    assert await tale.sent() == dict.fromkeys(tale.traces, 1)
    assert len(tale.traces) == 2


async def nonsense(tale: Tale) -> None:
    await _for_a_person(tale)


async def unknown(tale: Tale) -> None:
    await _for_a_person(tale)


async def _for_a_person(tale: Tale) -> None:
    await tale.until_task(TaskKind.READ_ANSWER)
    tale.not_approved()
    task = tale.driver.task(TaskKind.READ_ANSWER)
    assert task is not None
    assert task.raw is not None, "nobody can see the raw answer"
    assert await tale.driver.block.parts.outside.documents.get(tale.driver.office.practice.id, task.raw.id)
    assert tale.driver.turn is Turn.STAFF
    await tale.driver.forward(timedelta(days=3))
    tale.not_approved()
    assert max((await tale.sent()).values(), default=0) <= 1


async def lost(tale: Tale) -> None:
    if tale.way.rail is Rail.FAX:
        await tale.driver.office.fault("fax", "^POST", "lost")
    await approve(tale)


STORIES: dict[str, tuple[str, int, Callable[[Tale], Awaitable[None]]]] = {
    "approve": ("100", 1, approve),
    "pend": ("200", 1, pend),
    "ask": ("204", 1, ask),
    "deny": ("300", 1, deny),
    "partial": ("402", 2, partial),
    "split": ("400", 2, split),
    "modify": ("401", 2, modify),
    "cancel": ("200", 1, cancel),
    "duplicate": ("100", 1, duplicate),
    "reject": ("500", 1, reject),
    "nonsense": ("602", 1, nonsense),
    "unknown": ("600", 1, unknown),
    "lost": ("700", 1, lost),
}
"""Each story with the scenario of the payer, and how many lines are asked for."""

_TYPED = "a person reads what the portal says, and Vigil takes only what they record"
_PAPER = "the fax service carries and decides nothing; what the payer writes, a person reads"
NOT_THERE: dict[tuple[str, str], str] = {
    ("people", "duplicate"): "what a person does is done by nobody again: the task is done",
    ("people", "reject"): "a portal does not take what it does not like: it is corrected before there is a receipt",
    ("people", "nonsense"): _TYPED,
    ("people", "unknown"): _TYPED,
    ("people", "lost"): "a person sees whether the portal confirmed, and records nothing else",
    ("fax", "reject"): _PAPER,
    ("fax", "nonsense"): _PAPER,
    ("fax", "unknown"): _PAPER,
}
"""What makes no sense on a rail, and why."""


@pytest.mark.parametrize(
    ("way", "story"),
    [
        pytest.param(way, story, id=f"{way.name}-{story}")
        for way, story in product(WAYS, STORIES)
        if (way.name, story) not in NOT_THERE
    ],
)
async def test_a_story_ends_the_same_on_every_rail(shared: Block, way: Way, story: str) -> None:
    scenario, lines, play = STORIES[story]
    await play(Tale(way, await shared.open(way.policy, scenario, lines=lines)))


def test_what_is_left_out_is_left_out_of_a_story_that_there_is() -> None:
    names = {way.name for way in WAYS}
    assert all(way in names and story in STORIES and why for (way, story), why in NOT_THERE.items())
