"""A payer's desk for every rail but PAS: takes what was asked, decides by the scenario, knows duplicates, finds again.

The scenario table is the one of `pas_decide`; here it is applied to an `Asked`. A rail's module reads its wire format into an
`Asked`, calls `take`, `attach` or `inquire`, and writes what they answer. Delays are business days on the practice's clock.
Actions are HCR01 (X12 306), reasons HCR03 (886), rejections AAA03 (901) with AAA04 (889).

What differs from PAS: the same trace again is not answered again but refused as a duplicate (A3, 0Q), unless it is an
update or a cancel with the same content.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sandbox import pas_decide
from sandbox.asked import Asked, AskedLine
from sandbox.payer_table import PayerProfile
from sandbox.records import HeldReview, Json, LineDecision, PayerError, Practice, Revision
from sandbox.world import World

Effect = Literal["created", "duplicate", "duplicate_service", "updated", "cancelled", "refused", "informed", "kept"]
EVENT = 0
"""The sequence of a decision about a request that has no lines (a referral): it speaks of the whole."""

REJECTIONS = {
    "501": PayerError(code="75", follow_up="C", path="subscriber"),
    "502": PayerError(code="42", follow_up="P", path="payer"),
}
"""Scenarios of the rails but PAS: the subscriber is not found; the payer cannot answer now."""


@dataclass(frozen=True)
class Answered:
    """What the desk answers at `at`.

    `lines` has one decision for each line asked for, `EVENT` where there is none; no line is `added`. `errors` means
    that nothing was decided; `lines` is empty then. `reference` is the administrative number (never billable) of a
    request that is under review, else empty. `asks_for` is the LOINC code of a document that is wanted,
    `control_number` what is to be named when it is sent.
    """

    effect: Effect
    at: datetime
    asked: Asked
    lines: tuple[LineDecision, ...] = ()
    errors: tuple[PayerError, ...] = ()
    reference: str = ""
    asks_for: str | None = None
    control_number: str = ""
    held: HeldReview | None = None


def decide(scenario: str, asked: Asked, number: str, now: datetime, payer: PayerProfile) -> list[Revision]:
    """All that will happen to a request, as far as it depends on the payer alone; `number` is what it would certify by."""
    if scenario in REJECTIONS:
        return [Revision(at=now, errors=[REJECTIONS[scenario]])]
    if scenario == "810":
        return [pas_decide.duplicate(_request(asked, number, now, payer))]
    return [_flat(revision) for revision in pas_decide.decide(scenario, _request(asked, number, now, payer))]


def answer(held: HeldReview, at: datetime, effect: Effect = "created") -> Answered:
    """What the payer says of a request that it holds, at that instant."""
    state = held.at(at)
    pended = any(line.action == "A4" for line in state.lines)
    return Answered(
        effect=effect,
        at=at,
        asked=held.asked,
        lines=tuple(state.lines),
        errors=tuple(state.errors),
        reference=held.administrative_number if pended else "",
        asks_for=state.asks_for,
        control_number=f"ACN-{held.administrative_number}" if state.asks_for else "",
        held=held,
    )


def take(world: World, practice: Practice, payer: PayerProfile, rail: str, asked: Asked) -> Answered:
    """Take a request, an update or a cancel."""
    now = world.now(practice)
    if asked.kind in ("update", "cancel"):
        return _change(world, practice, payer, asked, now)
    same = _by_trace(practice, payer, asked)
    if same is not None or on_file(practice, payer, asked, now):
        practice.duplicate_submits += 1
        if same is not None:
            same.duplicate_submits += 1
        refused = pas_decide.duplicate(_request(asked, "", now, payer))
        return Answered("duplicate" if same else "duplicate_service", now, asked, lines=tuple(refused.lines), held=same)
    count = world.next_number()
    held = HeldReview(
        payer=payer.id,
        rail=rail,
        asked=asked,
        scenario=asked.scenario,
        received_at=now,
        administrative_number=payer.reference_number(count),
        traces=[asked.trace],
        revisions=decide(asked.scenario, asked, payer.certification_number(count), now, payer),
    )
    practice.reviews.append(held)
    return answer(held, now)


def inquire(world: World, practice: Practice, payer: PayerProfile, asked: Asked) -> list[Answered]:
    """The present answers to what the inquiry describes: same member and requester, narrowed by numbers, trace or services.

    A rejected request is not found: the payer never took it in.
    """
    now = world.now(practice)
    lag = timedelta(seconds=practice.settings.index_lag_seconds)
    numbers = set(asked.prior_numbers)
    services = {line.code for line in asked.lines}
    mine = [
        held
        for held in practice.reviews
        if (held.payer, held.asked.member_id, held.asked.requester_npi)
        == (payer.id, asked.member_id, asked.requester_npi)
        and not held.at(now).errors
        and held.received_at + lag <= now
    ]
    if numbers:
        mine = [held for held in mine if numbers & given(held)]
    elif any(asked.trace in held.traces for held in mine):
        mine = [held for held in mine if asked.trace in held.traces]
    elif services:
        mine = [held for held in mine if services & {line.code for line in held.asked.lines}]
    return [answer(held, now) for held in mine]


def attach(world: World, practice: Practice, payer: PayerProfile, asked: Asked) -> Answered:
    """Take documents: `informed` when a pended request waits for them, else `kept` for one that is to come."""
    now = world.now(practice)
    names = {asked.trace, *asked.prior_numbers, *(document.control_number for document in asked.documents)} - {""}
    practice.attachments += [
        {"payer": payer.id, "tracking_id": document.control_number, "sha256": document.sha256}
        for document in asked.documents
    ]
    for held in practice.reviews:
        state = held.at(now)
        mine = held.payer == payer.id and held.asked.member_id == asked.member_id
        if mine and state.asks_for is not None and names & _waiting_for(held):
            _inform(world, payer, held, held.asked, now)
            return answer(held, now, "informed")
    return Answered("kept", now, asked)


def notices(held: HeldReview, after: datetime) -> list[tuple[datetime, datetime]]:
    """What the payer says later of its own accord: when, and as of which instant. Scenario 201 loses it, 800 repeats it."""
    due = [revision.at for revision in held.revisions if revision.notify and revision.at > after]
    if held.scenario == "201":
        return []
    if held.scenario == "800" and len(due) > 1:
        return [(due[-1], due[-1]), (due[-1], due[0]), (due[-1], due[-1])]
    return [(at, at) for at in due]


def given(held: HeldReview) -> set[str]:
    """Numbers by which the payer knows a request."""
    numbers = {line.number for revision in held.revisions for line in revision.lines if line.number is not None}
    return numbers | {held.administrative_number}


def on_file(practice: Practice, payer: PayerProfile, asked: Asked, now: datetime) -> bool:
    """Whether the payer has the same patient, service and date already, by any rail; rejected and cancelled do not count."""
    held = [
        *((review.payer, review.asked.service_key, review.at(now)) for review in practice.reviews),
        *((request.payer, request.service_key, request.at(now)) for request in practice.requests),
    ]
    return any((owner, key) == (payer.id, asked.service_key) and not _dead(state) for owner, key, state in held)


def _dead(state: Revision) -> bool:
    return bool(state.errors) or all(line.action == "C" for line in state.lines)


def _by_trace(practice: Practice, payer: PayerProfile, asked: Asked) -> HeldReview | None:
    return next((h for h in practice.reviews if h.payer == payer.id and asked.trace in h.traces), None)


def _change(world: World, practice: Practice, payer: PayerProfile, asked: Asked, now: datetime) -> Answered:
    held = _prior(practice, payer, asked)
    state = held.at(now) if held is not None else None
    if held is None or state is None or state.errors or all(line.action == "A3" for line in state.lines):
        error = PayerError(code="T5", follow_up="C", path="event")
        return Answered("refused", now, asked, errors=(error,))
    if asked.kind == "cancel":
        if not _dead(state):
            held.revisions = [*_until(held, now), pas_decide.cancelled(state, now)]
            return answer(held, now, "cancelled")
        return _again(practice, held, now)
    if asked == held.asked:
        return _again(practice, held, now)
    if state.asks_for is not None and asked.documents:
        _inform(world, payer, held, asked, now)
    else:
        number = payer.certification_number(world.next_number())
        held.revisions = [*_until(held, now), *decide(asked.scenario, asked, number, now, payer)]
    held.asked = asked
    held.traces.append(asked.trace)
    return answer(held, now, "updated")


def _again(practice: Practice, held: HeldReview, now: datetime) -> Answered:
    held.duplicate_submits += 1
    practice.duplicate_submits += 1
    return answer(held, now, "duplicate")


def _prior(practice: Practice, payer: PayerProfile, asked: Asked) -> HeldReview | None:
    """What an update or a cancel speaks of: by the payer's numbers, else by the trace; always the same member."""
    mine = [h for h in practice.reviews if (h.payer, h.asked.member_id) == (payer.id, asked.member_id)]
    numbers = set(asked.prior_numbers)
    if numbers:
        return next((held for held in reversed(mine) if numbers & given(held)), None)
    return next((held for held in mine if asked.trace in held.traces), None)


def _waiting_for(held: HeldReview) -> set[str]:
    announced = {document.control_number for document in held.asked.documents}
    return {held.administrative_number, f"ACN-{held.administrative_number}", *held.traces, *announced}


def _inform(world: World, payer: PayerProfile, held: HeldReview, asked: Asked, now: datetime) -> None:
    number = payer.certification_number(world.next_number())
    fresh = pas_decide.answer_information(_request(asked, number, now, payer))
    held.revisions = [*_until(held, now), *fresh]


def _until(held: HeldReview, now: datetime) -> list[Revision]:
    return [revision for revision in held.revisions if revision.at <= now]


def _request(asked: Asked, number: str, now: datetime, payer: PayerProfile) -> pas_decide.Request:
    """The request as the scenario table reads it: of an item its sequence, its first day and its units."""
    lines = asked.lines or (AskedLine(EVENT, ""),)
    items: list[Json] = [
        {
            "sequence": line.sequence,
            "quantity": {"value": line.units},
            **({"servicedDate": line.date_from.isoformat()} if line.date_from else {}),
        }
        for line in lines
    ]
    return pas_decide.Request({"item": items}, number, now, payer)


def _flat(revision: Revision) -> Revision:
    """What PAS says in an added item (the authorized amount of a modified line) is said of the line itself."""
    instead = {line.sequence: line for line in revision.lines if line.added}
    lines = [
        instead[line.sequence].model_copy(update={"action": line.action, "added": False})
        if line.sequence in instead
        else line
        for line in revision.lines
        if not line.added
    ]
    return revision.model_copy(update={"lines": lines})
