"""One builder for test data: orders, policies and cases. All people in it are invented."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from activities.rules import line_keys
from domain.actions import Action, PreparePacket
from domain.case import Case, begin, record
from domain.decision import Decision, LineDecision, Number, NumberType, Outcome, Result, decision_source
from domain.facts import (
    Benefits,
    CoverageStatus,
    CoverageVerified,
    DecisionReceived,
    DocumentsGathered,
    Fact,
    Failure,
    HousePinned,
    OrderReceived,
    PacketPrepared,
    PolicyPinned,
    Receipt,
    RequestSubmitted,
    TaskCompleted,
    TaskOpened,
)
from domain.house import HOUSE, HouseRules, parse_house
from domain.keeping import Keeping
from domain.order import DocumentRef, Order
from domain.plan import Plan, settle
from domain.policy import Policy, PolicySlice, parse_policy, slice_policy

ROOT = Path(__file__).resolve().parent.parent
MONDAY = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
"""A Monday morning in Chicago."""
VISIT = datetime(2026, 12, 21, 16, 0, tzinfo=UTC)
CASE_ID = "case-aaaaaaaaaaaaaaaaaaaaaaaaaa"

Kind = TypeVar("Kind")


def of_kind(things: Iterable[object], kind: type[Kind]) -> list[Kind]:
    """The facts, or the actions, of a kind, in their order."""
    return [thing for thing in things if isinstance(thing, kind)]


def all_of_kind(things: Sequence[object], kind: type[Kind]) -> list[Kind]:
    """The facts, or the actions, which are all of a kind."""
    found = of_kind(things, kind)
    assert len(found) == len(things), things
    return found


@cache
def policy(payer: str) -> Policy:
    path = ROOT / "policies" / f"{payer}.yaml"
    return parse_policy(yaml.safe_load(path.read_text()), name=path.name)


def policies() -> tuple[Policy | HouseRules, ...]:
    """All that is released: the payers' rules, and the house's."""
    payers = [path.stem for path in sorted((ROOT / "policies").glob("*.yaml")) if path.stem != HOUSE]
    return (*(policy(payer) for payer in payers), house())


@cache
def house() -> HouseRules:
    path = ROOT / "policies" / "house.yaml"
    return parse_house(yaml.safe_load(path.read_text()), name=path.name)


def document(kind: str, dated: date | None = date(2026, 11, 20), content: str = "") -> DocumentRef:
    text = content or kind
    return DocumentRef(
        id=hashlib.sha256(text.encode()).hexdigest(), kind=kind, media_type="text/plain", size=len(text), dated=dated
    )


ALL_DOCUMENTS = ("office_note", "imaging_report", "conservative_therapy")


def order(
    scenario: str = "100",
    *,
    payer: str = "meridian-ppo",
    practice: str = "lakeside",
    number: str = "ORD-1001",
    code: str = "72131",
    category: str = "ct",
    urgency: str = "routine",
    visit: datetime | None = VISIT,
    documents: Iterable[str] = ALL_DOCUMENTS,
    patient: str = "P-1001",
    family_name: str = "Quillfeather",
    lines: int = 1,
    now: datetime = MONDAY,
    **changes: Any,
) -> Order:
    """An order whose fate the sandbox reads from the last three digits of the member id."""
    service_day = (visit or now + timedelta(days=21)).date()
    facts: dict[str, Any] = {
        "practice": practice,
        "source": "nextgen",
        "number": number,
        "ordered_at": now,
        "urgency": urgency,
        "urgency_attestation": None if urgency == "routine" else "Progressive weakness since yesterday.",
        "patient": {
            "id": patient,
            "family_name": family_name,
            "given_name": "Ottoline",
            "birth_date": "1961-04-17",
            "sex": "female",
            "phone": "+12175550147",
            "address": {"line": "7 Lantern Row", "city": "Springfield", "state": "IL", "postal_code": "62701"},
        },
        "coverages": [{"rank": 1, "payer": payer, "member_id": f"MBR{abs(hash_of(number)) % 10**6:06d}{scenario}"}],
        "ordering": {"npi": "1999000023", "family_name": "Hartwell", "given_name": "Imogen", "fax": "+12175550109"},
        "facility": {
            "npi": "1999000049",
            "name": "Prairie Imaging Center",
            "address": {"line": "9 Meridian Way", "city": "Springfield", "state": "IL", "postal_code": "62701"},
        },
        "diagnoses": ["M54.16", "M51.26"],
        "lines": [
            {
                "number": n,
                "code": code,
                "category": category,
                "label": category.replace("_", " "),
                "units": n,
                "place_of_service": "22",
                "allowed_cents": 90000,
                "service_from": service_day.isoformat(),
            }
            for n in range(1, lines + 1)
        ],
        "appointment": {"id": f"APT-{number}", "starts_at": visit} if visit else None,
        "documents": [document(kind, (now - timedelta(days=10)).date(), f"{number} {kind}") for kind in documents],
    }
    return Order.model_validate({**facts, **changes})


def hash_of(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


def received(ordered: Order, now: datetime = MONDAY) -> OrderReceived:
    digest = hashlib.sha256(ordered.model_dump_json().encode()).hexdigest()
    return OrderReceived(
        occurred_at=now, by="system:test", source_id=f"order:{digest}", order=ordered, time_zone="America/Chicago"
    )


def case_of(ordered: Order, now: datetime = MONDAY) -> Case:
    return begin(CASE_ID, received(ordered, now), now)


def cut(ordered: Order) -> PolicySlice:
    first = min(line.service_from for line in ordered.lines)
    found = policy(ordered.primary.payer)
    return slice_policy(found, on=first, urgency=ordered.urgency, lines=line_keys(ordered))


def said(kind: type[Fact], source_id: str, now: datetime = MONDAY, by: str = "system:test", **what: Any) -> Fact:
    return kind(occurred_at=now, by=by, source_id=source_id, **what)


def with_facts(case: Case, facts: Iterable[Fact], now: datetime) -> Case:
    for fact in facts:
        case, _ = record(case, fact, now)
    return case


def pinned(ordered: Order, now: datetime = MONDAY) -> Fact:
    return said(PolicyPinned, "pinned", now, payer=ordered.primary.payer, policy=cut(ordered))


def housed(now: datetime = MONDAY) -> Fact:
    return said(HousePinned, "housed", now, house=house())


def covered(now: datetime = MONDAY, status: CoverageStatus = CoverageStatus.ACTIVE) -> Fact:
    return said(
        CoverageVerified, "covered", now, rank=1, status=status, plan_name="Gold", benefits=Benefits(copay_cents=4000)
    )


def gathered(kinds: Iterable[str] = ALL_DOCUMENTS, now: datetime = MONDAY) -> Fact:
    found = tuple(document(kind) for kind in kinds)
    return said(DocumentsGathered, "gathered", now, searched=tuple(kinds), documents=found)


def submitted(now: datetime = MONDAY, track: str = "1-ordering", attempt: int = 1) -> Fact:
    trace = f"{CASE_ID}-{track}-{attempt}"
    receipt = Receipt(kind="trace_number", reference=trace)
    return said(
        RequestSubmitted,
        f"submitted-{attempt}",
        now,
        track=track,
        attempt=attempt,
        rail="pas",
        trace=trace,
        receipt=receipt,
    )


def answered(
    *outcomes: Outcome | str,
    now: datetime = MONDAY,
    track: str = "1-ordering",
    attempt: int = 1,
    via: str = "submit",
    number: str = "A204418830",
    by: str = "system:pas",
    valid_days: int = 60,
    **more: Any,
) -> Fact:
    lines = tuple(
        LineDecision(
            line=n,
            decision=Outcome(outcome),
            code="A1",
            numbers=(
                Number(
                    type=NumberType.ADMINISTRATIVE if outcome == "pended" else NumberType.CERTIFICATION,
                    value="REF-20881734" if outcome == "pended" else number,
                ),
            ),
            valid_from=now.date(),
            valid_to=now.date() + timedelta(days=valid_days),
        )
        for n, outcome in enumerate(outcomes, start=1)
    )
    decision = Decision(result=Result.DECIDED, lines=lines, **more)
    return said(
        DecisionReceived,
        decision_source(track, attempt, decision),
        now,
        by=by,
        track=track,
        attempt=attempt,
        rail="pas",
        via=via,
        decision=decision,
    )


# --- a case looked at ---------------------------------------------------------------------------------------------------


def at(case: Case, now: datetime) -> tuple[Case, Plan]:
    """The case with all that follows at an instant, and the plan. The packets that people send are prepared on the way."""
    while True:
        case, settled = settle(case, now)
        packets = [packed(action) for action in settled.plan.actions if isinstance(action, PreparePacket)]
        if not packets:
            return case, settled.plan
        case = with_facts(case, packets, now)


def packed(action: PreparePacket) -> PacketPrepared:
    """The packet that an action prepares."""
    return PacketPrepared(
        occurred_at=action.now,
        by="vigil",
        source_id=f"{action.key}/packet",
        track=action.track,
        attempt=action.request.attempt,
        packet=document("packet", action.now.date(), action.key),
        pages=7,
    )


def known(ordered: Order, *more: Fact, now: datetime = MONDAY) -> Case:
    """A case whose rules and insurance are known, and what happened since."""
    case, _ = at(with_facts(case_of(ordered, now), [housed(now), pinned(ordered, now), covered(now)], now), now)
    return with_facts(case, more, now)


def work(case: Case) -> list[str]:
    """The kinds of the open tasks, in the order in which they were opened."""
    return [task.opened.task_kind.value for task in case.open_tasks]


def task(case: Case, kind: str) -> TaskOpened:
    """The open task of a kind."""
    return next(task.opened for task in case.open_tasks if task.opened.task_kind == kind)


def done(opened: TaskOpened, now: datetime, result: str = "done") -> TaskCompleted:
    return TaskCompleted(
        occurred_at=now,
        by="person:ines",
        source_id=f"done:{opened.task}",
        track=opened.track,
        task=opened.task,
        result=result,
    )


def doing(plan: Plan) -> list[str]:
    """The kinds of what Vigil begins now."""
    return [action.kind for action in plan.actions]


class Hands:
    """A case whose actions end as told, for examples that take time."""

    def __init__(self, case: Case, now: datetime = MONDAY) -> None:
        self.keeping = Keeping(case)
        self.now = now
        self.begun: list[Action] = []

    @property
    def case(self) -> Case:
        return self.keeping.case

    def turn(self, now: datetime | None = None) -> Plan:
        """Take a turn at an instant; what is due is begun. Packets are there at once."""
        self.now = now or self.now
        while True:
            _, settled = settle(self.case, self.now)
            self.begun = list(self.keeping.take_turn(settled, self.now))
            packets = of_kind(self.begun, PreparePacket)
            if not packets:
                return settled.plan
            for action in packets:
                self.keeping.end(action, [packed(action)], self.now)

    def end(self, kind: str, *facts: Fact) -> None:
        """The action of a kind that was just begun ends with facts."""
        self.keeping.end(self._of(kind), facts, self.now)

    def fail(self, kind: str, failure: Failure, error: str = "TEST") -> None:
        self.keeping.fail(self._of(kind), failure, error, self.now)

    def _of(self, kind: str) -> Action:
        return next(action for action in self.begun if action.kind == kind)
