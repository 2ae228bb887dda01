"""`vigil read`: what Vigil makes of what a payer or carrier sent, as JSON, with no case and no effect.

One shape and one vocabulary for every rail. `kind` says what it is: a `decision`, or in X12 also an `eligibility` answer (271)
or an `acknowledgment` (TA1, 999, 997). `result` says what it comes to: `decided`, `rejected`, `not_found`, `unreadable`; of a
coverage `verified`; of a message `acknowledged`; of a gateway that has no answer yet `waiting`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from connectors.codes import OUTCOMES
from connectors.eligibility import Eligibility
from connectors.gateway.read import read_answers as read_gateway
from connectors.pas.read import read_answers as read_pas
from connectors.x12 import envelope
from connectors.x12.acknowledgment import Acceptance, Acknowledgment, read_acknowledgments
from connectors.x12.answer import read_answers as read_x12
from connectors.x12.benefits import read_benefits
from connectors.x12.segments import NotX12
from console.errors import CommandFailed
from console.files import TooLarge, read_bytes
from console.looks_like import hint
from console.policies import find_policy
from domain.decision import Decision, LineDecision, Number, Outcome, Result, unreadable
from domain.facts import CoverageStatus
from domain.order import Category
from domain.policy_rules import Rail
from runtime.settings import Settings

Json = dict[str, Any]

RAILS = (Rail.PAS, Rail.X12, Rail.GATEWAY)
"""The rails that answers come by."""
_OF_OURS = frozenset({"NOT_X12", "NOT_ONE", "NO_271", "NOT_OURS", "BROKEN", "NO_BENEFITS"})
"""Why a 271 says nothing, in codes of our own; every other one is the payer's (AAA03)."""
_VERIFIED = frozenset({CoverageStatus.ACTIVE, CoverageStatus.INACTIVE})
_ACKNOWLEDGED = frozenset({Acceptance.ACCEPTED, Acceptance.WITH_ERRORS, Acceptance.PARTLY})


@dataclass(frozen=True)
class Asked:
    """How an answer is to be read.

    `status` is of HTTP; where it is None it counts as 200, and an error in place of an answer as sent with 400.
    `category` is of what was ordered, by which the benefits of a 271 are chosen; `statuses` is a payer's map of a gateway's
    codes, without it X12's meanings.
    """

    rail: Rail
    status: int | None = None
    inquiry: bool = False
    category: Category = Category.CONSULT
    statuses: Mapping[str, Outcome] = field(default_factory=lambda: OUTCOMES)


def rail_of(name: str, rails: tuple[Rail, ...]) -> Rail:
    """The rail of that name. Raises `CommandFailed` with exit code 2 where it is none of them."""
    found = next((rail for rail in rails if rail == name), None)
    if found is None:
        raise CommandFailed(f"There is no rail {name} here. Use one of {', '.join(rails)}.", code=2)
    return found


def statuses_of(settings: Settings, payer: str) -> Mapping[str, Outcome]:
    """The status map of a payer's gateway channel. Raises `CommandFailed` where it has none."""
    policy = find_policy(settings, payer)
    channel = next((one for one in policy.channels if one.rail is Rail.GATEWAY), None)
    if channel is None:
        raise CommandFailed(f"{policy.name} has no gateway channel, and so no status map.")
    return channel.status_map


def read_file(file: str, asked: Asked) -> Json:
    """Read what is in a file (`-` is standard input). Nonsense, and what is too large, is `unreadable` with why.

    Raises:
        CommandFailed: the file cannot be opened.
    """
    try:
        body = read_bytes(file)
    except TooLarge as error:
        return _answer(unreadable(str(error)))
    match asked.rail:
        case Rail.X12:
            found = _x12(body, asked)
        case Rail.GATEWAY:
            found = _gateway(body, asked)
        case _:
            found = [_answer(one) for one in _pas(body, asked)]
    if all(one["result"] == Result.UNREADABLE for one in found) and (said := hint(body, asked.rail)):
        found[0]["notes"].append(said)
    if len(found) == 1:
        return found[0]
    # Several in one, as an inquiry or a mailbox may bring: each by itself, and none speaks for another.
    return {"kind": "several", "result": "several", "answers": found}


def _pas(body: bytes, asked: Asked) -> tuple[Decision, ...]:
    found = read_pas(body, None, asked.status or HTTPStatus.OK, inquiry=asked.inquiry)
    if asked.status is None and _says_only_errors(found):
        return read_pas(body, None, HTTPStatus.BAD_REQUEST, inquiry=asked.inquiry)
    return found


def _gateway(body: bytes, asked: Asked) -> list[Json]:
    if asked.status == HTTPStatus.ACCEPTED:
        waiting = _answer(Decision(result=Result.DECIDED, notes=("The gateway has no answer yet (202): ask again.",)))
        return [{**waiting, "result": "waiting"}]
    # A list of reviews only ever answers a search.
    found = read_gateway(body, None, asked.status or HTTPStatus.OK, inquiry=True, statuses=asked.statuses)
    if asked.status is None and _says_only_errors(found):
        refused = read_gateway(body, None, HTTPStatus.BAD_REQUEST, inquiry=True, statuses=asked.statuses)
        if all(one.result is Result.REJECTED for one in refused):
            found = refused
    return [_answer(one) for one in found]


def _says_only_errors(found: tuple[Decision, ...]) -> bool:
    return all(one.result is Result.UNREADABLE and one.errors and not one.lines for one in found)


def _x12(body: bytes, asked: Asked) -> list[Json]:
    """Everything in an interchange by what it is: acknowledgments first, then coverages and decisions."""
    try:
        interchanges = envelope.read(body)
    except NotX12:
        interchanges = ()
    sets = {one.set_id for interchange in interchanges for one in interchange.transactions}
    found = [_acknowledgment(one) for one in read_acknowledgments(body)]
    if "271" in sets:
        found.append(_eligibility(read_benefits(body, asked.category)))
    if "278" in sets or not found:
        status = asked.status or HTTPStatus.OK
        found += [_answer(one) for one in read_x12(body, None, status, inquiry=asked.inquiry)]
    return found


def _answer(decision: Decision) -> Json:
    said = {
        **_head("decision", decision.result.value),
        "lines": [_line(line) for line in decision.lines],
        "numbers": _by_type(decision.numbers),
        "asks": [ask.model_dump(mode="json", exclude_none=True) for ask in decision.asks],
        "ending": decision.ending.value if decision.ending else None,
        "trace": decision.trace,
        "member_id": decision.member_id,
        "received": decision.received.isoformat() if decision.received else None,
        "notes": list(decision.notes),
    }
    errors = [error.model_dump(mode="json", exclude_none=True) for error in decision.errors]
    return said | _errors(errors, rejected=decision.result is Result.REJECTED)


def _eligibility(found: Eligibility) -> Json:
    rejected = bool(found.errors) and not any(error.code in _OF_OURS for error in found.errors)
    if found.status in _VERIFIED:
        result = "verified"
    elif found.status is CoverageStatus.NOT_FOUND:
        result = Result.NOT_FOUND.value
    else:
        result = (Result.REJECTED if rejected else Result.UNREADABLE).value
    said = {**_head("eligibility", result), "coverage": found.model_dump(mode="json", exclude={"errors"})}
    if result == Result.UNREADABLE:
        texts = [error.text for error in found.errors if error.text]
        said["notes"] = texts or ["Whether the plan is active is not said clearly."]
    errors = [error.model_dump(mode="json", exclude_none=True) for error in found.errors]
    return said | _errors(errors, rejected=result == Result.REJECTED)


def _acknowledgment(found: Acknowledgment) -> Json:
    rejected = found.acceptance is Acceptance.REJECTED
    result = "acknowledged" if found.acceptance in _ACKNOWLEDGED else "unreadable"
    said = {
        **_head("acknowledgment", Result.REJECTED.value if rejected else result),
        "acknowledgment": found.model_dump(mode="json", exclude_none=True),
    }
    if rejected:
        said["notes"] = ["The message was not taken in: it is at fault itself, and nothing was decided."]
    elif found.acceptance in _ACKNOWLEDGED:
        said["notes"] = ["The message was taken in; nothing is decided by that."]
    else:
        said["notes"] = ["It neither accepts nor rejects the message in a way that can be relied on."]
    errors = [error.model_dump(mode="json", exclude_none=True) for error in found.answer_errors] if rejected else []
    return said | _errors(errors, rejected=rejected)


def _head(kind: str, result: str) -> Json:
    return {"kind": kind, "result": result, "lines": [], "numbers": {}, "asks": [], "notes": []}


def _errors(errors: list[Json], *, rejected: bool) -> Json:
    if rejected:
        return {"rejected": errors}
    return {"errors": errors} if errors else {}


def _line(line: LineDecision) -> Json:
    return {
        "line": line.line,
        "decision": line.decision.value,
        "code": line.code,
        "numbers": _by_type(line.numbers),
        "valid_from": line.valid_from.isoformat() if line.valid_from else None,
        "valid_to": line.valid_to.isoformat() if line.valid_to else None,
        "units": line.units,
        "procedure": line.procedure,
        "reasons": [reason.model_dump(mode="json", exclude_none=True) for reason in line.reasons],
    }


def _by_type(numbers: tuple[Number, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number in numbers:
        found.setdefault(number.type.value, []).append(number.value)
    return found
