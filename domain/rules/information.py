"""Duty: send what the payer asks to see: what the case has, by the rail that it asked on; else a person finds and sends it."""

from collections.abc import Iterator
from datetime import datetime

from domain.actions import SendInformation
from domain.attempt import Attempt
from domain.base import Stage, Turn
from domain.case import Case
from domain.decision import InformationAsk
from domain.facts import DecisionReceived, DocumentAdded, TaskKind
from domain.order import DocumentRef
from domain.policy import PolicySlice
from domain.policy_rules import Ability, Rail, WorkKind
from domain.rules.asking import Asks, Look, Person, Waiting, allow, common, effort, pursue
from domain.rules.channels import automatic, down_until, rests_of
from domain.rules.questionnaire import RESPONSE
from domain.rules.submission import as_sent
from domain.track import Track

ATTACH = "attach_information"
"""The first word of the task's key where Vigil can send what a person hands in."""


DOCUMENTS_APART = frozenset({Rail.X12})
"""Rails whose request only names its documents; they travel in a message of their own (278 PWK and 275)."""


def open_ask(attempt: Attempt) -> DecisionReceived | None:
    """The latest answer that asks for information, unless it was sent since."""
    asking = next((a for a in reversed(attempt.answers) if a.decision.asks), None)
    if asking is None or any(sent.n > asking.n for sent in attempt.sent):
        return None
    return asking


def send_information(
    case: Case, now: datetime, track: Track, policy: PolicySlice | None, asking: DecisionReceived
) -> Asks:
    """Send the documents that fit, once; what is missing, refused or in doubt is a person's."""
    attempt = track.attempt
    channel = automatic(policy, attempt.rail, Ability.ATTACH)
    times, brought = _brought(case, asking)
    if policy is not None and channel is not None and (documents := brought or _fitting(case, track, asking)):
        cause = f"send_information/{track.key}/{asking.ref}/{times}"
        if not effort(case, now, cause, rests_of(case, channel)).failed:
            yield Waiting(Stage.DECISION, Turn.VIGIL, f"Vigil is sending {policy.name} what it asked to see.")
            until = down_until(now, channel, policy)
            if until is not None:
                yield Look(until)
                return
            yield from pursue(
                case,
                now,
                cause,
                lambda key: SendInformation(
                    **common(case, now, key),
                    track=track.key,
                    request=as_sent(case, track, attempt, channel.rail, now),
                    policy=policy,
                    asks=asking.decision.asks,
                    documents=documents,
                    numbers=attempt.numbers_by(channel.rail),
                ),
                rests_of(case, channel),
            )
            return
    yield _by_person(case, now, track, policy, asking, word=ATTACH if channel else "send_information")


def send_along(case: Case, now: datetime, track: Track, policy: PolicySlice) -> Asks:
    """Send what the request named and could not carry, once, while the payer still decides; in doubt a person does."""
    attempt = track.attempt
    channel = automatic(policy, attempt.rail, Ability.ATTACH)
    if channel is None or channel.rail not in DOCUMENTS_APART:
        return
    request = as_sent(case, track, attempt, channel.rail, now)
    sent = {ref.id for given in attempt.sent for ref in given.documents}
    documents = tuple(ref for ref in request.documents if ref.id not in sent)
    if not documents:
        return
    cause = f"send_along/{track.key}/{attempt.number}"
    if not effort(case, now, cause, rests_of(case, channel)).failed:
        yield from pursue(
            case,
            now,
            cause,
            lambda key: SendInformation(
                **common(case, now, key),
                track=track.key,
                request=request,
                policy=policy,
                asks=(),
                documents=documents,
                numbers=attempt.numbers_by(channel.rail),
            ),
            rests_of(case, channel),
        )
        return
    yield Person(
        key=f"send_along/{track.key}/{attempt.number}",
        kind=TaskKind.SEND_INFORMATION,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"The documents of the request did not surely get to {policy.name}. Send them, and record the receipt.",
        checklist=tuple(f"Put on the {ref.kind.replace('_', ' ')}: {request.control_number(ref)}" for ref in documents)[
            :20
        ],
        time=allow(case, now, policy, WorkKind.DOCUMENTS),
        track=track.key,
        attempt=attempt.number,
        rail=channel.rail,
        again=None,
    )


def _brought(case: Case, asking: DecisionReceived) -> tuple[int, tuple[DocumentRef, ...]]:
    """How often people handed something in for this ask, and what it was the last time."""
    handed = [
        task.completed
        for task in case.tasks.values()
        if task.opened.task_kind is TaskKind.SEND_INFORMATION
        and task.opened.cause == asking.ref
        and task.completed is not None
        and task.completed.result == "documents_attached"
    ]
    last = max(handed, key=lambda done: done.n).source_id.rpartition("#")[0] if handed else None
    return len(handed), tuple(
        fact.document
        for fact in case.facts
        if isinstance(fact, DocumentAdded) and fact.source_id.rpartition("#")[0] == last
    )


def _fitting(case: Case, track: Track, asking: DecisionReceived) -> tuple[DocumentRef, ...]:
    """The documents of the case that answer all that is asked, and that the payer does not have yet; else none."""
    attempt = track.attempt
    there = {ref.id for ref in _sent_along(case, track, attempt)}
    found: dict[str, DocumentRef] = {}
    for ask in asking.decision.asks:
        kinds = {kind for kind in _kinds(case, ask) if kind is not None}
        fresh = [
            ref for _, ref in sorted(case.documents.items()) if ref.kind in kinds and ref.signed and ref.id not in there
        ]
        if not ask.what or None in set(_kinds(case, ask)) or kinds - {ref.kind for ref in fresh}:
            return ()
        found |= {ref.id: ref for ref in fresh}
    return tuple(found.values())


def _kinds(case: Case, ask: InformationAsk) -> Iterator[str | None]:
    """The kinds of documents that an ask names by its codes; None for each that nobody can place."""
    for reason in ask.what:
        yield RESPONSE if ask.context else case.house.documents.kind_of(reason.code) if reason.code else None


def _sent_along(case: Case, track: Track, attempt: Attempt) -> tuple[DocumentRef, ...]:
    """What the payer has of us already: it went with the request, or afterwards."""
    request = as_sent(case, track, attempt, attempt.rail or "", case.opened_at)
    proof = attempt.arrivals.get(attempt.rail or "")
    late = {fact.document.id for fact in case.facts if isinstance(fact, DocumentAdded) and proof and fact.n > proof.n}
    carried = request.documents if request.rail not in DOCUMENTS_APART else ()
    return (
        *(ref for ref in carried if ref.id not in late),
        *(ref for sent in attempt.sent for ref in sent.documents),
    )


def _by_person(
    case: Case, now: datetime, track: Track, policy: PolicySlice | None, asking: DecisionReceived, word: str
) -> Person:
    what = [reason.text or reason.code or "?" for ask in asking.decision.asks for reason in ask.what]
    numbers = [ask.control_number for ask in asking.decision.asks if ask.control_number]
    return Person(
        key=f"{word}/{track.key}/{asking.ref}",
        kind=TaskKind.SEND_INFORMATION,
        stage=Stage.DECISION,
        turn=Turn.STAFF,
        title=f"{policy.name if policy else 'The payer'} wants to see more before it decides. Send it and record the receipt.",
        checklist=(
            *(("Attach it here and Vigil sends it, or send it yourself.",) if word == ATTACH else ()),
            *(f"It asks for: {w}" for w in what),
            *(f"Put on it: {number}" for number in numbers),
        )[:20],
        time=allow(case, now, policy, WorkKind.DOCUMENTS),
        track=track.key,
        attempt=track.attempt.number,
        rail=asking.rail,
        cause=asking.ref,
        raw=asking.raw,
    )
