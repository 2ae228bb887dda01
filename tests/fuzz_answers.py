"""What the fuzzer begins with: for each rail its readers, and answers that they read right.

Answers are golden files of ours and what the sandbox's writers say by every scenario, at every moment of it. An approval
is counted by line: that the line may go ahead, that something is authorized, that a number certifies it.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from connectors.codes import AUTHORIZES
from connectors.gateway.read import read_answers as read_gateway
from connectors.gateway.write import ours as gateway_ours
from connectors.gateway.write import service_review
from connectors.ours import Ours
from connectors.pas.claim import Version
from connectors.pas.identity import ours as pas_ours
from connectors.pas.parties import PasPayer
from connectors.pas.read import read_answers as read_pas
from connectors.pas.read import read_notification
from connectors.pas.write import submit_bundle
from connectors.x12.acknowledgment import read_acknowledgments
from connectors.x12.answer import read_answers as read_x12
from connectors.x12.benefits import Asked as AskedAbout
from connectors.x12.benefits import read_benefits
from connectors.x12.eligibility import eligibility_request
from connectors.x12.envelope import Controls
from connectors.x12.identity import line_trace
from connectors.x12.identity import ours as x12_ours
from connectors.x12.parties import X12Payer
from connectors.x12.request import interchange, request_278
from domain.decision import Decision, Number, NumberType, Result
from domain.facts import CoverageStatus
from domain.order import Category
from sandbox import gateway_write, pas_decide, pas_desk, pas_response, x12_acks, x12_eligibility, x12_read, x12_write
from sandbox.desk import Answered, decide
from sandbox.notifications import notification_bundle
from sandbox.payer_table import ALL_PAYERS
from sandbox.records import PayerSubscription
from sandbox.x12_parse import Rejected
from sandbox.x12_payers import X12_PAYERS
from tests.pas_requests import CONTENTS, PRACTICE, full_order, order, request

Json = dict[str, Any]
GOLDEN = Path(__file__).resolve().parent / "golden"
NOW = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)
SCENARIOS = "100 110 200 202 203 204 300 301 400 401 402 500 501 502 600 605 810 900 901".split()  # noqa: SIM905 - read at a glance
SENDER = {"sender": "LAKESIDE", "receiver": "NORTHBRIDGE"}
ENVELOPE = x12_write.Envelope("LAKESIDE", "ZZ", "LAKESIDE", 9, NOW)
ASKED = request(full_order())
MINE = pas_ours(ASKED)


@dataclass(frozen=True)
class Granted:
    """What an answer grants, by line; line 0 is none of ours."""

    ahead: frozenset[int] = frozenset()
    """May go ahead on it (`Outcome.permits`)."""
    authorized: frozenset[int] = frozenset()
    certified: frozenset[int] = frozenset()
    """Has a number that goes on the claim."""
    whole: bool = False
    """The whole has a number that goes on the claim."""

    def beyond(self, original: "Granted") -> list[str]:
        """What this grants that the original did not, named by its kind."""
        anything = original.authorized | original.ahead
        found = [] if self.ahead - {0} <= original.ahead else ["a line may go ahead"]
        found += [] if self.authorized - {0} <= original.authorized else ["a line is authorized"]
        found += [] if self.certified - {0} <= original.authorized else ["a number certifies a line"]
        found += ["a line of nobody's is granted"] if 0 in self.ahead | self.authorized and not anything else []
        return found + (["a number certifies the whole"] if self.whole and not anything else [])


@dataclass(frozen=True)
class Seed:
    """An answer to begin with. `mixed`: it holds an approval, and another, or something that limits or contradicts it.

    That it is about somebody else contradicts it too.
    """

    name: str
    body: bytes
    granted: Granted
    mixed: bool


@dataclass(frozen=True)
class Rail:
    """A rail's reader under test; `approving` are the codes that approve."""

    name: str
    read: Callable[[bytes, int], Granted]
    answers: Callable[[], Iterator[tuple[str, bytes]]]
    approving: re.Pattern[bytes]
    protected: re.Pattern[bytes]
    """Codes that approve, and what names a request and its lines: no mutation writes more of them than there were."""
    limiting: re.Pattern[bytes]
    """What denies, pends, rejects or ends: in a mixed answer what holds it is not taken away."""
    is_json: bool = False

    @property
    def seeds(self) -> tuple[Seed, ...]:
        """The answers with what they grant."""
        return _seeds(self)

    @property
    def mixed(self) -> tuple[Seed, ...]:
        """Those that approve and limit at once: the hardest to read."""
        return _mixed(self)


@cache
def _mixed(rail: Rail) -> tuple[Seed, ...]:
    return tuple(seed for seed in rail.seeds if seed.mixed)


@cache
def _seeds(rail: Rail) -> tuple[Seed, ...]:
    found: dict[bytes, Seed] = {}
    for name, body in rail.answers():
        granted = rail.read(body, 200)
        codes = set(rail.approving.findall(body))
        mixed = len(codes) > 1 or (bool(codes) and bool(rail.limiting.search(body)))
        found.setdefault(body, Seed(name, body, granted, mixed))
    return tuple(found.values())


def granted_by(ours: Iterable[Decision], everything: Iterable[Decision]) -> Granted:
    """What decisions about our request grant. Raises `AssertionError` where anything that was read cannot be kept."""
    ahead, authorized, certified, whole = set[int](), set[int](), set[int](), False
    for decision in everything:
        assert decision.lines or decision.result is not Result.DECIDED
        assert Decision.model_validate_json(decision.model_dump_json()) == decision
    for decision in ours:
        for line in decision.lines:
            ahead |= {line.line} if line.decision.permits else set()
            authorized |= {line.line} if line.decision in AUTHORIZES else set()
            certified |= {line.line} if _certifies(line.numbers) else set()
        whole = whole or _certifies(decision.numbers)
    return Granted(frozenset(ahead), frozenset(authorized), frozenset(certified), whole)


def _certifies(numbers: Iterable[Number]) -> bool:
    return any(number.type is NumberType.CERTIFICATION for number in numbers)


Reader = Callable[..., tuple[Decision, ...]]


def _decisions(reader: Reader, mine: Ours) -> Callable[[bytes, int], Granted]:
    def read(body: bytes, status: int) -> Granted:
        said = reader(body, "text/plain", status, mine, inquiry=len(body) % 2 == 1)
        return granted_by([decision for decision in said if mine.answered_by(decision)], said)

    return read


def _notified(body: bytes, _status: int) -> Granted:
    note = read_notification(body)
    assert type(note).model_validate_json(note.model_dump_json()) == note
    return granted_by(note.decisions, note.decisions)


def _benefits(body: bytes, _status: int) -> Granted:
    patient, coverage = ASKED.order.patient, ASKED.coverage
    about = AskedAbout(
        trace="ELIG-1",
        member_id=coverage.member_id,
        family_name=patient.family_name,
        given_name=patient.given_name,
        birth_date=patient.birth_date,
        is_subscriber=False,
    )
    active = read_benefits(body, Category.EMG, about).status is CoverageStatus.ACTIVE
    return Granted(ahead=frozenset({1} if active else ()))


def _acknowledged(body: bytes, _status: int) -> Granted:
    taken = any(one.accepted for one in read_acknowledgments(body))
    return Granted(ahead=frozenset({1} if taken else ()))


# --- answers ------------------------------------------------------------------------------------------------------


def _golden(folder: str, beginning: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted((GOLDEN / folder).glob(f"{beginning}*")):
        yield path.name, path.read_bytes()


def _by_scenario(base: Any, payer: Any) -> Iterator[tuple[str, Answered]]:
    """What the desk says of a request, by scenario and moment."""
    for scenario in SCENARIOS:
        for place, revision in enumerate(decide(scenario, base, "AUTH-77", NOW, payer)):
            answered = Answered(
                "created",
                revision.at,
                base,
                lines=tuple(revision.lines),
                errors=tuple(revision.errors),
                reference="PEND-77",
                asks_for=revision.asks_for,
                control_number="ACN-77",
            )
            yield f"{scenario}.{place}", answered


def _x12() -> Iterator[tuple[str, bytes]]:
    yield from _golden("x12", "278-answer-")
    for payer in X12_PAYERS.values():
        to = X12Payer(name="Payer", payer_code=payer.code, **SENDER)
        sent = interchange([request_278(ASKED, PRACTICE, to)], to, Controls(interchange=1, group=1), ASKED.made_at)
        message = x12_read.read(sent)
        reply = x12_write.Reply(message.category, message.certification, message.service_type, message.line_traces)
        for name, answered in _by_scenario(message.asked, payer.profile):
            rows = x12_write.response([(answered, reply)], message.asked, payer, message.guide, "REF-1", NOW)
            body = x12_write.interchange(rows, "HI", message.guide, ENVELOPE, payer.delimiters, payer.line_break)
            yield f"{payer.id} {name}", body


def _pas() -> Iterator[tuple[str, bytes]]:
    yield from ((name, json.dumps(body).encode()) for name, body in _bundles())


def _bundles() -> Iterator[tuple[str, Json]]:
    for payer, version in (("meridian-ppo", "2.2.1"), ("summit-ma", "2.0.1")):
        profile, known = ALL_PAYERS[payer], PasPayer(id=payer, name=payer, identifier=payer)
        spoken: Version = "2.2.1" if version == "2.2.1" else "2.0.1"
        bundle = json.loads(json.dumps(submit_bundle(ASKED, PRACTICE, known, spoken, CONTENTS)))
        submission = pas_desk.read_submission(bundle, inquiry=False)
        for scenario in SCENARIOS:
            asked = pas_decide.Request(submission.claim, "AUTH-77", NOW, profile)
            if scenario in ("501", "502", "810"):
                continue
            for place, revision in enumerate(pas_decide.decide(scenario, asked)):
                held = pas_desk._new(submission, profile, "77", NOW, [revision])
                for inquiry in (False, True):
                    made = pas_response.response_bundle(held, revision, profile, inquiry=inquiry)
                    yield f"{payer} {scenario}.{place} {inquiry}", made
                    yield f"{payer} {scenario}.{place} {inquiry} whole", _decided_as_a_whole(made)
                if scenario == "100":
                    yield f"{payer} another", pas_response.for_another(made)


def _decided_as_a_whole(bundle: Json) -> Json:
    """The same with what is said of its first item said of the whole, as some payers do beside the items."""
    made: Json = json.loads(json.dumps(bundle))
    answer = made["entry"][0]["resource"]
    for item in answer.get("item", [])[:1]:
        answer["adjudication"] = item["adjudication"]
    return made


def _gateway() -> Iterator[tuple[str, bytes]]:
    sent = service_review(ASKED, PRACTICE, "HARBR")
    base = x12_read.read(
        interchange([request_278(ASKED, PRACTICE, to)], to, Controls(interchange=1, group=1), ASKED.made_at)
        if (to := X12Payer(name="Payer", payer_code="HARBR", **SENDER))
        else b""
    ).asked
    for name, answered in _by_scenario(base, ALL_PAYERS["harbor-hmo"]):
        review = gateway_write.service_review(sent, "SR-1", answered, NOW, answered.at)
        yield name, json.dumps(review).encode()
        told = [] if answered.errors else [gateway_write.from_payer(answered)]
        listed = [review, *told, gateway_write.in_progress(sent, "SR-2", NOW)]
        yield (
            f"{name} listed",
            json.dumps({"totalCount": len(listed), "count": len(listed), "serviceReviews": listed}).encode(),
        )
        yield f"{name} another", json.dumps(gateway_write.another_patients(review)).encode()
    yield "error", json.dumps(gateway_write.error(400, "No.", [{"field": "payer.id", "errorMessage": "No."}])).encode()


def _notifications() -> Iterator[tuple[str, bytes]]:
    held = PayerSubscription(id="7", payer="meridian-ppo", endpoint="", secret="", status="active", resource={})
    for name, answer in _bundles():
        made = notification_bundle(held, "event-notification", 3, "2026-03-03T15:00:00Z", answer)
        yield name, json.dumps(made).encode()
        yield f"{name} bare", json.dumps(answer["entry"][0]["resource"]).encode()
    for kind in ("handshake", "heartbeat"):
        yield kind, json.dumps(notification_bundle(held, kind, 0, "2026-03-03T15:00:00Z")).encode()


def _eligibility() -> Iterator[tuple[str, bytes]]:
    payer = X12_PAYERS["HARBR"]
    to = X12Payer(name="Payer", payer_code="HARBR", **SENDER)
    for who in (ASKED.order, order()):
        sent = eligibility_request(
            who, 1, PRACTICE, to, on=NOW.date(), trace="ELIG-1", at=NOW, controls=Controls(interchange=2, group=2)
        )
        asked = x12_read.read(sent).asked
        for scenario in ("100", "000", "001", "002"):
            rows = x12_eligibility.answer(_member(asked, scenario), payer, "REF-1", NOW)
            told = [tuple(e.replace(f"MER000{scenario}", "MER000100") for e in row) for row in rows]
            yield scenario, x12_write.interchange(told, "HB", x12_eligibility.GUIDE, ENVELOPE, payer.delimiters)
        rows = x12_eligibility.unknown_payer(asked, "REF-1", NOW)
        yield "unknown payer", x12_write.interchange(rows, "HB", x12_eligibility.GUIDE, ENVELOPE, payer.delimiters)


def _member(asked: Any, scenario: str) -> Any:
    return replace(asked, member_id=f"MER000{scenario}")


def _acknowledgments() -> Iterator[tuple[str, bytes]]:
    to = X12Payer(name="Payer", payer_code="HARBR", **SENDER)
    sent = interchange([request_278(ASKED, PRACTICE, to)], to, Controls(interchange=1, group=1), ASKED.made_at)
    message = x12_read.read(sent)
    yield "accepted", x12_acks.accepted(message.opened, ENVELOPE)
    yield "ta1 accepted", x12_acks.ta1(message.opened.isa, "000", ENVELOPE)
    yield "ta1 rejected", x12_acks.ta1(message.opened.isa, "025", ENVELOPE)
    for place, (wrong, instead) in enumerate(
        ((b"*D8*2026", b"*D8*2O26"), (b"HI*ABK:", b"HI*AXX:"), (b"UM*HS", b"UM*H"))
    ):
        try:
            x12_read.read(sent.replace(wrong, instead))
        except Rejected as rejected:
            yield f"rejected {place}", x12_acks.rejected(message.opened, rejected, ENVELOPE)


_CODES = rb"A1|A2|A6|NA"
_NAMES = b"|".join(re.escape(name.encode()) for name in sorted({*MINE.names, *MINE.lines.values(), MINE.member_id}))
_LINES = b"|".join(re.escape(line_trace(MINE.trace, number).encode()) for number in MINE.lines)
_WORDS = rb"(?<![0-9A-Za-z])(?:" + b"|".join((_CODES, _LINES, _NAMES)) + rb")(?![0-9A-Za-z])"
_JSON_WORDS = _WORDS + rb'|"(?:itemSequence|sequence)": ?\[?(?:1|3)(?:\.0|e0|E0)?\b'
_OTHERS = rb"NOT-YOURS-1|STRANGER0001|X00000999100|somebody-elses"
_LIMITS = rb'"(?:A3|A4|C|CT|ZZ|X9)"|"error"|validationMessages": ?\[\{|modifierExtension|' + _OTHERS
_X12_LIMITS = rb"(?:HCR[*|](?!A1|A2|A6|NA))|AAA"
_CODES_ = rb"(?<![0-9A-Za-z])(?:" + _CODES + rb")(?![0-9A-Za-z])"
_ACTIVE = re.compile(rb"EB[^0-9A-Za-z][1-5](?![0-9])")
_ANY_LINE = _WORDS + rb'|"(?:itemSequence|sequence)": ?[^,}\]]*'
"""Without a request to compare with, a notification approves whatever line it names."""
_TAKEN = re.compile(rb"\b[AEP]\b")
RAILS = {
    rail.name: rail
    for rail in (
        Rail(
            "pas",
            _decisions(read_pas, MINE),
            _pas,
            re.compile(_CODES_),
            re.compile(_JSON_WORDS),
            re.compile(_LIMITS),
            is_json=True,
        ),
        Rail(
            "x12",
            _decisions(read_x12, x12_ours(ASKED)),
            _x12,
            re.compile(_CODES_),
            re.compile(_WORDS),
            re.compile(_X12_LIMITS),
        ),
        Rail("benefits", _benefits, _eligibility, _ACTIVE, _ACTIVE, re.compile(rb"AAA|EB.[678]")),
        Rail("acknowledgments", _acknowledged, _acknowledgments, _TAKEN, _TAKEN, re.compile(rb"\bR\b")),
        Rail(
            "gateway",
            _decisions(read_gateway, gateway_ours(ASKED, ("SR-1",))),
            _gateway,
            re.compile(_CODES_),
            re.compile(_JSON_WORDS),
            re.compile(_LIMITS),
            is_json=True,
        ),
        Rail(
            "notifications",
            _notified,
            _notifications,
            re.compile(_CODES_),
            re.compile(_ANY_LINE),
            re.compile(_LIMITS),
            is_json=True,
        ),
    )
}
"""Every reader of answers, by name."""
