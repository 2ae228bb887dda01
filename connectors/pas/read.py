"""Read a payer's answer: lenient about its shape, strict about what it may approve.

One reader for PAS 2.2.1 and 2.0.1 and for all that comes in their place: response Bundle, bare ClaimResponse, what an
inquiry returns, notifications, OperationOutcome, web pages, cut and foreign JSON. `outcome` and the HTTP status never
decide; they can only make an answer unreadable.
"""

import re
from datetime import date
from http import HTTPStatus
from typing import Literal

from connectors.codes import AUTHORIZES, NOT_FOUND
from connectors.lenient import Json, NotJson, day, objects, parse, text, token, whole
from connectors.ours import Ours
from connectors.pas.action import reasons_of
from connectors.pas.asks import read_asks
from connectors.pas.fhir import Index, codings, extensions, reference
from connectors.pas.lines import Lines, distinct, has_unknown, read_lines, strings
from connectors.pas.words import IDENTIFIER_TYPE
from connectors.rejections import rejection
from domain.base import Frozen
from domain.decision import (
    AnswerError,
    Decision,
    LineDecision,
    Number,
    NumberType,
    Outcome,
    Result,
    unreadable,
)

MAX_ANSWERS = 50
MAX_LINES = 99
MAX_ERRORS = 10
MAX_NOTES = 10
_DEPTH = 3
_UNDECIDED = frozenset({Outcome.PENDED, Outcome.CONTACT_PAYER, Outcome.UNKNOWN})


class Notification(Frozen):
    """What a payer's callback says. One that cannot be read has the type `unreadable`."""

    type: Literal["handshake", "heartbeat", "event-notification", "unreadable"]
    event_number: int | None = None
    """Of the latest event in it, or of a heartbeat the last one there was; a gap is made good by an inquiry."""
    decisions: tuple[Decision, ...] = ()
    """Empty where the payer sends ids only."""
    names: tuple[str, ...] = ()
    """Every name that its answers give to the request: identifiers first. One of them is our trace, if it is ours."""
    focus: str | None = None
    """What it is about where it sends ids only: the payer's reference, to be asked for."""
    subscription: str | None = None
    payer_organization: str | None = None

    @property
    def decision(self) -> Decision | None:
        """The one decision in it, or None where there is none or more than one."""
        return self.decisions[0] if len(self.decisions) == 1 else None

    @property
    def trace(self) -> str | None:
        """Our identifier of the request that it speaks of."""
        return self.decision.trace if self.decision is not None else None


def read_answer(body: bytes, media_type: str | None, status: int, ours: Ours | None = None) -> Decision:
    """Read one answer. Never raises on content, and never approves what the payer has not approved in so many words.

    `ours` names the request that was asked about: of several answers its own is taken, lines are matched to its lines.
    Without it, several answers in one are unreadable. `media_type` is only a hint: the body says what it is.
    """
    found = read_answers(body, media_type, status, ours)
    if ours is not None and len(found) > 1:
        about = [decision for decision in found if ours.answered_by(decision) and decision.trace == ours.trace]
        found = tuple(about[:1]) or (Decision(result=Result.NOT_FOUND, notes=("It speaks of other requests.",)),)
    if len(found) > 1:
        return unreadable(f"It speaks of {len(found)} requests; ask about one.")
    return found[0]


def read_answers(
    body: bytes, media_type: str | None, status: int, ours: Ours | None = None, *, inquiry: bool = False
) -> tuple[Decision, ...]:
    """Read every answer in a body, at least one. An `inquiry` found nothing where the payer returns nothing.

    A pended line of an inquiry's answer asks for nothing anew: PAS does not repeat information requests there.
    """
    try:
        resource = parse(body)
    except NotJson as error:
        kind = text(media_type, 60)
        return (unreadable(str(error) if kind is None else f"{error} (sent as {kind})"),)
    responses, outcomes, other = _responses(resource, Index({}), _DEPTH)
    if len(responses) > MAX_ANSWERS:
        return (unreadable(f"It holds {len(responses)} answers."),)
    if responses:
        found = tuple(
            _decision(response, index, bundle, ours, status, inquiry=inquiry) for response, index, bundle in responses
        )
        return tuple(_beside(decision, outcomes, alone=len(found) == 1) for decision in found)
    if outcomes:
        return (_outcome(outcomes, status),)
    empty = not objects(resource.get("parameter")) and not objects(resource.get("entry"))
    if empty and (other == "Parameters" or (inquiry and other == "Bundle")) and status < HTTPStatus.BAD_REQUEST:
        return (Decision(result=Result.NOT_FOUND, notes=("The payer found no request.",)),)
    return (unreadable(_not_an_answer(resource, other)),)


def _not_an_answer(resource: Json, other: str | None) -> str:
    inner = [entry for _, entry in Index(resource).resources]
    alone = bool(inner) and all(entry.get("resourceType") == "Parameters" for entry in inner)
    if alone and (notified := _notification(resource)).type != "unreadable":
        where = f" It is about {notified.focus}: ask for that." if notified.focus else ""
        return f"It is a notification ({notified.type}) that brings no answer with it.{where}"
    return f"It is not an answer to a request but {other or 'no FHIR resource'}."


def read_notification(body: bytes) -> Notification:
    """Read a callback: the notification Bundle of the Subscriptions backport, or the bare answer that some payers send."""
    try:
        resource = parse(body)
    except NotJson:
        return Notification(type="unreadable")
    return _notification(resource)


def _notification(resource: Json) -> Notification:
    index = Index(resource if resource.get("resourceType") == "Bundle" else {"entry": [{"resource": resource}]})
    status = next(index.of_type("Parameters"), None)
    parameters = objects(status.get("parameter")) if status is not None else []
    kind = next((p.get("valueCode") for p in parameters if p.get("name") == "type"), None)
    responses, _, _ = _responses(resource, Index({}), _DEPTH)
    decisions = tuple(
        _decision(response, inner, bundle, None, HTTPStatus.OK, inquiry=False)
        for response, inner, bundle in responses[:MAX_ANSWERS]
    )
    names = tuple(name for response, _, bundle in responses[:MAX_ANSWERS] for name in _names_of(response, bundle))
    if status is None:
        named: Literal["event-notification", "unreadable"] = "event-notification" if decisions else "unreadable"
        return Notification(type=named, decisions=decisions, names=names, payer_organization=_payer(responses))
    if kind not in ("handshake", "heartbeat", "event-notification"):
        return Notification(type="unreadable")
    events = [part for p in parameters if p.get("name") == "notification-event" for part in objects(p.get("part"))]
    numbers = [_number(part) for part in events if part.get("name") == "event-number"]
    numbers += [_number(p) for p in parameters if p.get("name") == "events-since-subscription-start"]
    known = [number for number in numbers if number is not None]
    subscribed = next((p.get("valueReference") for p in parameters if p.get("name") == "subscription"), None)
    focus = next((reference(part.get("valueReference")) for part in events if part.get("name") == "focus"), None)
    return Notification(
        type=kind,
        event_number=max(known, default=None),
        decisions=decisions if kind == "event-notification" else (),
        names=names,
        focus=focus,
        subscription=reference(subscribed),
        payer_organization=_payer(responses),
    )


def _number(part: Json) -> int | None:
    value = part.get("valueString", part.get("valueUnsignedInt", part.get("valueInteger")))
    plain = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value) else value
    return whole(plain, 0, 10**12)


Found = tuple[Json, Index, Json]


def _responses(resource: Json, index: Index, depth: int) -> tuple[list[Found], list[Json], str | None]:
    """The ClaimResponses in a resource with the Bundle around each, the OperationOutcomes, and what else it is."""
    kind = text(resource.get("resourceType"), 40)
    if kind == "ClaimResponse":
        return [(resource, index, {})], [], kind
    if kind == "OperationOutcome":
        return [], [resource], kind
    if depth == 0 or kind not in ("Bundle", "Parameters"):
        return [], [], kind
    inner: list[Json] = []
    around = index
    if kind == "Bundle":
        around = Index(resource)
        inner = [entry for _, entry in around.resources]
    else:
        inner = [p["resource"] for p in objects(resource.get("parameter")) if isinstance(p.get("resource"), dict)]
    found: list[Found] = []
    outcomes: list[Json] = []
    others: list[str] = []
    for entry in inner:
        responses, wrong, other = _responses(entry, around, depth - 1)
        found += [
            (r, i, resource if kind == "Bundle" and entry.get("resourceType") == "ClaimResponse" else b)
            for r, i, b in responses
        ]
        outcomes += wrong
        others += [other] if other is not None and not responses and not wrong else []
    return found, outcomes, kind if not others else f"{kind} of {others[0]}"


def _beside(decision: Decision, outcomes: list[Json], *, alone: bool) -> Decision:
    """An answer with what an OperationOutcome in the same message says: beside an error nothing decided is sure."""
    if not outcomes:
        return decision
    errors, remarks = _issues(outcomes)
    said = [
        f"Beside it the payer says: {words}" for words in [*(e.text or e.code or "an error" for e in errors), *remarks]
    ]
    if errors and alone and decision.result is Result.DECIDED:
        lines = tuple(LineDecision(line=one.line, decision=Outcome.UNKNOWN, code=one.code) for one in decision.lines)
        why = "It decides, and yet it says that something went wrong."
        return Decision(
            result=Result.UNREADABLE,
            lines=lines,
            errors=(*decision.errors, *errors)[:MAX_ERRORS],
            trace=decision.trace,
            member_id=decision.member_id,
            notes=_brief([why, *said, *decision.notes]),
        )
    return decision.model_copy(update={"notes": _brief([*decision.notes, *said])})


def _decision(response: Json, index: Index, bundle: Json, ours: Ours | None, status: int, *, inquiry: bool) -> Decision:
    wrong = _not_usable(response)
    lines = read_lines(response, ours)
    errors = _errors(response)
    trace, member = _trace(response, bundle, ours), _member(response, index)
    if ours is not None and trace == ours.trace:
        # Answers by different channels say more or less of the patient; about the same request they shall read the same.
        member = member or ours.member_id
    common = {"trace": trace, "member_id": member}
    if len(lines.all) > MAX_LINES:
        wrong = f"It decides {len(lines.all)} lines."
    if wrong is None and lines.decides and status >= HTTPStatus.BAD_REQUEST:
        wrong = f"It decides, and yet it was sent as an error (HTTP {status})."
    if wrong is None and not lines.decides and not errors:
        wrong = _silent(response)
    if wrong is not None:
        # Whatever it says of the lines that it names, nothing of it is to be relied on.
        named = [LineDecision(line=one.line, decision=Outcome.UNKNOWN, reasons=one.reasons) for one in lines.all]
        return Decision(
            result=Result.UNREADABLE,
            lines=tuple(named[:MAX_LINES]),
            errors=errors,
            notes=_brief([wrong, *lines.notes]),
            **common,
        )
    if not lines.decides:
        missing = all(error.code in NOT_FOUND for error in errors)
        return Decision(
            result=Result.NOT_FOUND if missing else Result.REJECTED,
            errors=errors,
            received=_given_on(response),
            notes=_brief(lines.notes),
            **common,
        )
    return Decision(
        result=Result.DECIDED,
        lines=lines.all,
        numbers=_numbers(response, lines),
        asks=read_asks(response, index, lines, inquiry=inquiry),
        errors=errors,
        received=_given_on(response),
        notes=_brief(lines.notes),
        **common,
    )


def _silent(response: Json) -> str:
    """Why an answer that decides nothing is for a person: with what it says in place of a decision."""
    queued = response.get("outcome") == "queued"
    said = [text(response.get("disposition"), 300)]
    said += [text(note.get("text"), 300) for note in objects(response.get("processNote"))[:2]]
    words = " ".join(one for one in said if one)
    where = "The payer has it, and" if queued else "It"
    return f"{where} says nothing about any line{f', but: {words}' if words else '.'}"


def _given_on(response: Json) -> date | None:
    """The day of the answer: of the resource, else the first on which the payer says that it decided a line."""
    issued = [
        on
        for item in objects(response.get("item"))
        for e in extensions(item, "itemPreAuthIssueDate")
        if (on := day(e.get("valueDate"))) is not None
    ]
    return day(response.get("created")) or min(issued, default=None)


def _brief(notes: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))[:MAX_NOTES]


def _not_usable(response: Json) -> str | None:
    """Why a ClaimResponse must not be relied on, whatever it decides; None where it may be."""
    if response.get("use") not in (None, "preauthorization"):
        return "It is not about a prior authorization but about another use of a claim."
    if response.get("status") not in (None, "active"):
        return "The payer marks it as cancelled, as a draft or as entered in error."
    if response.get("modifierExtension") or response.get("implicitRules"):
        return "It carries a modifier that Vigil does not know."
    return None


def _trace(response: Json, bundle: Json, ours: Ours | None) -> str | None:
    """Our identifier of the request where the answer is named after it; else the first name that it gives.

    The traces of its items only count where nothing else names the request: payers copy them from what they were sent.
    """
    names = _names_of(response, bundle)
    if ours is not None and any(name in ours.names for name in names):
        return ours.trace
    return next(iter(names), None)


def _names_of(response: Json, bundle: Json) -> list[str]:
    asked = response.get("request")
    named = [
        token(i.get("value"), 120) for i in [*objects(response.get("identifier")), *objects(bundle.get("identifier"))]
    ]
    if isinstance(asked, dict):
        named += [token(i.get("value"), 120) for i in objects(asked.get("identifier"))]
    named += [token(asked.get("reference"), 120)] if isinstance(asked, dict) else []
    if any(name is not None for name in named) or has_unknown(response) or _is_named(response) or _is_named(bundle):
        return list(dict.fromkeys(name for name in named if name is not None))
    items = [
        token(i.get("value"), 120)
        for item in objects(response.get("item"))
        for e in extensions(item, "itemTraceNumber")
        for i in objects(e.get("valueIdentifier"))
    ]
    return list(dict.fromkeys(name for name in items if name is not None))


def _is_named(element: Json) -> bool:
    """Whether it names the request, be it so that it cannot be read: then its items do not name it."""
    return bool(element.get("identifier") or element.get("request"))


def _member(response: Json, index: Index) -> str | None:
    """Whom the answer is about: the member id of the focal coverage, of any coverage in it, or of the patient."""
    focal = [i for i in objects(response.get("insurance")) if i.get("focal") is True]
    coverages = [index.find(reference(i.get("coverage")), response) for i in focal]
    for coverage in [*(c for c in coverages if c is not None), *index.of_type("Coverage")]:
        found = token(coverage.get("subscriberId")) or _member_identifier(coverage)
        if found is not None:
            return found
    named = response.get("patient")
    patient = index.find(reference(named), response)
    # A reference may name the patient by the member id itself.
    return _member_identifier(patient if patient is not None else {"identifier": _identifier(named)})


def _identifier(named: object) -> object:
    return named.get("identifier") if isinstance(named, dict) else None


def _member_identifier(resource: Json) -> str | None:
    for identifier in objects(resource.get("identifier")):
        kinds = [(c.get("system"), c.get("code")) for c in codings(identifier.get("type"))]
        if (IDENTIFIER_TYPE, "MB") in kinds and (value := token(identifier.get("value"))) is not None:
            return value
    return None


def _numbers(response: Json, lines: Lines) -> tuple[Number, ...]:
    """The numbers of the whole request. Certification only where something is authorized and nothing is still open."""
    outcomes = [line.decision for line in lines.all]
    settled = any(o in AUTHORIZES for o in outcomes) and not any(o in _UNDECIDED for o in outcomes)
    kind = NumberType.CERTIFICATION if settled else NumberType.ADMINISTRATIVE
    certified = {n.value for line in lines.all for n in line.numbers if n.type is NumberType.CERTIFICATION}
    of_event = kind if lines.event is not None and lines.event.outcome in AUTHORIZES else NumberType.ADMINISTRATIVE
    given = [Number(type=of_event, value=value) for value in (lines.event.numbers if lines.event else ())]
    for value in [*strings(response, "authorizationNumber"), token(response.get("preAuthRef"))]:
        if value is not None:
            # Beside numbers that the lines have, another one of the whole is an earlier or an outer authorization's.
            fits = kind if not certified or value in certified else NumberType.ADMINISTRATIVE
            given.append(Number(type=fits, value=value))
    given += [
        Number(type=NumberType.ADMINISTRATIVE, value=v) for v in strings(response, "administrationReferenceNumber")
    ]
    return distinct(given)


def _errors(response: Json) -> tuple[AnswerError, ...]:
    found: list[AnswerError] = []
    for error in objects(response.get("error"))[:MAX_ERRORS]:
        reasons = reasons_of(error.get("code"))
        paths = strings(error, "errorPath")
        paths += [
            said
            for e in extensions(error, "errorElement")
            for part in objects(e.get("extension"))
            if (said := text(part.get("valueString"), 100)) is not None
        ]
        line = whole(error.get("itemSequence"), 1, MAX_LINES)
        paths += [f"line {line}"] if line is not None else []
        follow = [
            r.code for e in extensions(error, "errorFollowupAction") for r in reasons_of(e.get("valueCodeableConcept"))
        ]
        found.append(
            rejection(
                reasons[0].code if reasons else None,
                text(", ".join(paths), 300),
                follow[0] if follow else None,
                reasons[0].text if reasons else None,
            )
        )
    return tuple(found)


def _outcome(outcomes: list[Json], status: int) -> Decision:
    """An OperationOutcome: with a 4xx a refusal of the message. With success it is nobody's to interpret: unreadable."""
    errors, remarks = _issues(outcomes)
    refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    if errors and refused:
        return Decision(result=Result.REJECTED, errors=errors)
    why = f"The payer answers with {'an error' if errors else 'a remark'} in place of a decision (HTTP {status})."
    return Decision(result=Result.UNREADABLE, errors=errors, notes=_brief([why, *remarks]))


def _issues(outcomes: list[Json]) -> tuple[tuple[AnswerError, ...], list[str]]:
    """What OperationOutcomes complain of, and what they only remark."""
    issues = [issue for outcome in outcomes for issue in objects(outcome.get("issue"))]
    grave = [issue for issue in issues if issue.get("severity") in ("error", "fatal")]
    errors = tuple(
        AnswerError(
            code=token(issue.get("code"), 30),
            text=_issue_text(issue),
            where=text(", ".join(said for e in _list(issue.get("expression"))[:3] if (said := text(e, 100))), 300),
        )
        for issue in grave[:MAX_ERRORS]
    )
    return errors, [said for issue in issues if issue not in grave and (said := _issue_text(issue))]


def _issue_text(issue: Json) -> str | None:
    details = issue.get("details")
    said = [r.text or r.code for r in reasons_of(details)] if isinstance(details, dict) else []
    plain = text(details.get("text"), 500) if isinstance(details, dict) else None
    return plain or next((s for s in said if s), None) or text(issue.get("diagnostics"), 500)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _payer(responses: list[Found]) -> str | None:
    """The identifier, else the name, of the insurer of the first answer."""
    for response, index, _ in responses[:1]:
        insurer = index.find(reference(response.get("insurer")), response)
        if insurer is not None:
            identifiers = [token(i.get("value")) for i in objects(insurer.get("identifier"))]
            return next((i for i in identifiers if i is not None), None) or text(insurer.get("name"), 200)
    return None


__all__ = ["Notification", "read_answer", "read_answers", "read_notification"]
