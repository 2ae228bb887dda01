"""The rails that stories run on, as data; and a payer that reads paper and answers the telephone, for those without a wire."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from domain.facts import TaskKind, TaskOpened
from domain.policy import Policy
from domain.policy_rules import Channel, Rail
from domain.results import ResultName
from domain.work import forms_of
from tests.builders import policy
from tests.driver import Driver

BUSINESS_DAYS = timedelta(days=4)
"""At least the three business days that a pend lasts, wherever a weekend lies."""


@dataclass(frozen=True)
class Way:
    """One rail to one payer, which has no other."""

    name: str
    payer: str
    rail: Rail
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def policy(self) -> Policy:
        """The payer's released rules with this channel only."""
        return only(policy(self.payer), self.rail, **self.changes)

    @property
    def is_wired(self) -> bool:
        """Whether the payer itself is simulated; else `Book` plays it."""
        return self.rail in {Rail.PAS, Rail.X12, Rail.GATEWAY}


def only(found: Policy, *rails: Rail, **changes: Any) -> Policy:
    """The rules with the channels of these rails only, in that order, changed so."""
    ways = [channel for rail in rails for channel in found.channels if channel.rail is rail]
    assert ways, f"{found.payer} has no channel by {rails}"
    return found.model_copy(update={"channels": tuple(changed(channel, **changes) for channel in ways)})


def changed(channel: Channel, **changes: Any) -> Channel:
    """The channel with some words changed, checked as one in a file is."""
    return Channel.model_validate({**channel.model_dump(by_alias=True), **changes})


WAYS = (
    Way("pas-2.2.1", "meridian-ppo", Rail.PAS),
    Way("pas-2.0.1", "summit-ma", Rail.PAS),
    Way("x12-real-time", "harbor-hmo", Rail.X12),
    Way("x12-batch", "bluestem-mco", Rail.X12),
    Way("gateway", "harbor-hmo", Rail.GATEWAY),
    Way("fax", "bluestem-mco", Rail.FAX),
    Way("people", "keystone-sf", Rail.PORTAL),
)


@dataclass
class Kept:
    """A request on paper."""

    taken_at: datetime
    informed_at: datetime | None = None
    withdrawn: bool = False


class Book:
    """What a payer without a wire has on its desk; it decides by the sandbox's scenarios, and tells whoever calls."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.scenario = driver.case.order.primary.member_id[-3:]
        self.requests: dict[str, Kept] = {}
        self.taken = 0
        """How often anything was handed to it."""

    def take(self, trace: str) -> str:
        """Take a request, and return the payer's reference of it: never billable."""
        self.taken += 1
        self.requests.setdefault(trace, Kept(self.driver.now))
        (numbers,) = self.driver.policy.numbers
        return numbers.pend_reference_examples[0]

    @property
    def in_force(self) -> list[Kept]:
        return [kept for kept in self.requests.values() if not kept.withdrawn]

    def says(self) -> dict[str, Any]:
        """What it answers to the question how the one request stands, as a person records it."""
        (kept,) = self.in_force
        call = {"reference": "CALL-77120", "representative": "Dana"}
        since = self.driver.now - (kept.informed_at or kept.taken_at)
        if self.scenario == "204" and kept.informed_at is None:
            return {"result": "information_asked", "what": ["The office note"], **call}
        if self.scenario in {"200", "204"} and since < BUSINESS_DAYS:
            return {"result": "still_pending", **call}
        return {"result": "decided", "lines": [self._line(n) for n in self.driver.track.lines_required], **call}

    def _line(self, number: int) -> dict[str, Any]:
        outcome = {"300": "denied", "401": "modified", "402": "partly_approved"}.get(self.scenario, "approved")
        if outcome == "denied" or (self.scenario == "400" and number > 1):
            return {"line": number, "decision": "denied", "reasons": [{"code": "0F", "text": "Not shown."}]}
        asked = next(line for line in self.driver.case.order.lines if line.number == number)
        (numbers,) = self.driver.policy.numbers
        return {
            "line": number,
            "decision": outcome,
            "number": numbers.certification_examples[0],
            "valid_from": self.driver.now.date().isoformat(),
            "valid_to": (self.driver.now + timedelta(days=60)).date().isoformat(),
            "units": asked.units if outcome == "approved" else max(1, asked.units // 2),
        }


class Clerk:
    """Somebody at the practice who does the work that has to be done to get on; the rest is left to the story."""

    def __init__(self, book: Book | None) -> None:
        self.book = book
        self.does: dict[TaskKind, Callable[[Driver, TaskOpened], dict[str, Any]]] = {}
        """What the story has them hand in."""

    async def __call__(self, driver: Driver, task: TaskOpened) -> dict[str, Any] | None:
        if task.task_kind in self.does:
            return self.does[task.task_kind](driver, task)
        book = self.book
        match task.task_kind:
            case TaskKind.SUBMIT_REQUEST if book is not None:
                reference = book.take(_trace(task))
                numbers = [{"type": "administrative", "value": reference}]
                return {
                    "result": "submitted",
                    "receipt": {"kind": "reference_number", "reference": reference},
                    "numbers": numbers,
                }
            case TaskKind.CHECK_STATUS if book is not None:
                return book.says()
            case TaskKind.REVIEW if book is not None and task.task.startswith("withdraw/"):
                for kept in book.requests.values():
                    kept.withdrawn = True
                return {"result": "withdrawn", "reference": "CALL-77121"}
            case TaskKind.ESCALATION:
                return {"result": "acknowledged", "note": "Seen."}
        return None


async def information(driver: Driver, task: TaskOpened, book: Book | None) -> dict[str, Any]:
    """What a person does about an ask: attaches the note where Vigil can send it, else sends it by hand."""
    documents = driver.block.parts.outside.documents
    text = f"A newer office note of {driver.case.order.number}."
    note = await documents.put(driver.office.practice.id, text.encode(), "office_note", "text/plain", driver.now.date())
    if ResultName.DOCUMENTS_ATTACHED in forms_of(task):
        return {"result": "documents_attached", "documents": [note.model_dump(mode="json")]}
    for kept in book.requests.values() if book else ():
        kept.informed_at = driver.now
    return {
        "result": "information_sent",
        "receipt": {"kind": "fax_report", "reference": "FAX-20881"},
        "documents": [note.model_dump(mode="json")],
    }


def _trace(task: TaskOpened) -> str:
    """Our trace number, as the task tells people to put it on the request."""
    step = next(step for step in task.checklist if step.startswith("Put our trace number on it: "))
    return step.rpartition(" ")[2]
