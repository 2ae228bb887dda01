"""From a callback's words to facts: which request it speaks of, and what it says of it."""

import hashlib
import re
from collections import deque
from datetime import datetime, timedelta
from typing import NamedTuple, TypedDict

from connectors.pas.identity import ours
from connectors.pas.read import read_answers
from domain.case import Case
from domain.decision import Decision, Result, decision_source
from domain.facts import (
    MAX_FACT_BYTES,
    AnswerNotUnderstood,
    DecisionReceived,
    Fact,
    NotificationClaimed,
    RequestRejected,
    write_fact,
)
from domain.order import DocumentRef
from domain.policy_rules import Rail
from domain.rules.channels import submit_cause
from domain.rules.submission import request_of

_TRACE = re.compile(r"^(case-[a-z2-7]{26})-([a-z0-9-]{1,60})-([1-9][0-9]{0,3})(\.cancel)?$")

_CLAIM_EVERY = timedelta(minutes=10)
"""At most one claim in this time reaches a case: it is part of the claim's source id."""


class Event(NamedTuple):
    """The request that a callback speaks of, by our trace of it."""

    case_id: str
    track: str
    attempt: int

    @property
    def trace(self) -> str:
        """Our identifier of the request."""
        return f"{self.case_id}-{self.track}-{self.attempt}"


class Claims:
    """How many unverified callbacks were looked into lately, by all senders together; the rest is only heard."""

    def __init__(self, *, most: int = 20, within: timedelta = timedelta(seconds=10)) -> None:
        self._most, self._within = most, within
        self._at: deque[datetime] = deque()

    def allow(self, now: datetime) -> bool:
        """Whether one more may be looked into; it then counts."""
        while self._at and self._at[0] <= now - self._within:
            self._at.popleft()
        if len(self._at) >= self._most:
            return False
        self._at.append(now)
        return True


def event_of(trace: str | None) -> Event | None:
    """What a trace of ours names, or None where it is none of ours."""
    match = _TRACE.match(trace or "")
    return Event(match[1], match[2], int(match[3])) if match else None


def claimed(payer: str, now: datetime) -> NotificationClaimed:
    """Somebody claims that a payer has news. The same fact for all claims of ten minutes, whoever makes them."""
    window = int(now.timestamp() // _CLAIM_EVERY.total_seconds())
    return NotificationClaimed(
        occurred_at=now,
        by="system:webhook",
        source_id=f"claimed:{payer}:{window}",
        payer=payer,
        why="A callback could not be verified.",
    )


def moment(case: Case, now: datetime) -> datetime:
    """When something is told to a case: never before the case's own time."""
    last = case.facts[-1].recorded_at
    return max(now, last) if last else now


def facts_of(case: Case, event: Event, body: bytes, *, raw: DocumentRef | None, now: datetime) -> list[Fact]:
    """What a verified callback says of one request of the case, read as an answer to that very request.

    Only PAS calls back with an answer: after a fail-over it is news of the copy there, not of the one that went elsewhere.

    Where trace and member do not both fit, or more than one answer claims to be it, nothing is believed: it is a claim.
    """
    track = case.tracks[event.track]
    if submit_cause(track, event.attempt, Rail.PAS) not in case.actions:
        # We never set out to send it: an answer to it would decide a request that is yet to be made.
        return [claimed(track.requirement.payer, now)]
    mine = ours(request_of(case, track, event.attempt, Rail.PAS, now))
    found = [
        decision
        for decision in read_answers(body, None, 200, mine)
        if decision.trace == mine.trace and mine.answered_by(decision)
    ]
    if len(found) != 1:
        return [claimed(track.requirement.payer, now)]
    about = _About(
        occurred_at=now,
        by=f"system:pas:{track.requirement.payer}",
        source_id=decision_source(event.track, event.attempt, found[0]),
        track=event.track,
        attempt=event.attempt,
        rail=Rail.PAS,
        raw=raw,
    )
    return [_fact(found[0], about, body)]


class _About(TypedDict):
    """What every fact of a callback says."""

    occurred_at: datetime
    by: str
    source_id: str
    track: str
    attempt: int
    rail: str
    raw: DocumentRef | None


def _fact(decision: Decision, about: _About, body: bytes) -> Fact:
    if decision.result is Result.DECIDED:
        fact = DecisionReceived(**about, via="notification", decision=decision)
        if len(write_fact(fact)) <= MAX_FACT_BYTES:
            return fact
        why = "The answer is too long to be taken in; read it as it came."
    elif decision.result is Result.REJECTED:
        return RequestRejected(**about, errors=decision.errors)
    else:
        why = " ".join(decision.notes)[:900] or "A notification decides nothing."
    mark = hashlib.sha256(body).hexdigest()[:32]
    return AnswerNotUnderstood(**{**about, "source_id": f"unread:{mark}"}, why=why)
