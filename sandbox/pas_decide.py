"""What a payer decides: the scenario (last three digits of the member id) becomes a list of revisions in time.

Decision delays are business days on the practice's clock. Actions are HCR01 (X12 306), reasons HCR03 (X12 886).
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta

from sandbox.clock import add_business_days
from sandbox.pas_words import dicts, first_code
from sandbox.payer_table import PayerProfile
from sandbox.records import Json, LineDecision, PayerError, Revision

DECISION_DAYS = 3
INTERIM_DAYS = 1
MANY_UNITS_VALIDITY_DAYS = 180
LOINC_CLINICAL_NOTE = "34109-9"


class Request:
    """What the decision depends on: the items, the number to give, the day, and the payer."""

    def __init__(self, claim: Json, number: str, now: datetime, payer: PayerProfile) -> None:
        self.items = dicts(claim.get("item"))
        self.number = number
        self.now = now
        self.payer = payer

    def certified(self, item: Json, action: str = "A1", *, at: datetime, days: int | None = None) -> LineDecision:
        """The item approved as asked, valid from its first day of service, else from the decision."""
        start = service_start(item) or at.date()
        last = max(start, at.date()) + timedelta(days=days or self.payer.validity_days)
        return LineDecision(
            sequence=item["sequence"], action=action, number=self.number, quantity=quantity(item), start=start, end=last
        )

    def lines(self, action: str, reasons: list[str] | None = None, text: str | None = None) -> list[LineDecision]:
        """Every item with the same action and no number."""
        return [
            LineDecision(sequence=item["sequence"], action=action, reasons=reasons or [], note=text)
            for item in self.items
        ]

    def approved(self, at: datetime, days: int | None = None) -> list[LineDecision]:
        """Every item certified in total."""
        return [self.certified(item, at=at, days=days) for item in self.items]


def service_start(item: Json) -> date | None:
    """The first requested day of service, when one is named."""
    period = item.get("servicedPeriod")
    text = item.get("servicedDate") or (period.get("start") if isinstance(period, dict) else None)
    return date.fromisoformat(text) if isinstance(text, str) else None


def quantity(item: Json) -> float:
    """The requested units; one when the item names none."""
    asked = item.get("quantity")
    value = asked.get("value", 1) if isinstance(asked, dict) else 1
    return float(value)


def service_key(member: str, claim: Json) -> str:
    """Patient, services and dates as one string: two requests with the same are duplicates."""
    lines = sorted(
        f"{first_code(item.get('productOrService'))}@{service_start(item) or ''}" for item in dicts(claim.get("item"))
    )
    return "|".join([member, *lines])


def decide(scenario: str, request: Request) -> list[Revision]:
    """All that will happen to a request, as far as it depends on the payer alone."""
    rule = RULES.get(scenario, _approve)
    return rule(request)


def answer_information(request: Request) -> list[Revision]:
    """After the information that was asked for has come: under review, then approved two business days later."""
    due = add_business_days(request.now, 2)
    return [
        Revision(at=request.now, lines=request.lines("A4", ["0V"])),
        Revision(at=due, lines=request.approved(due), notify=True),
    ]


def cancelled(state: Revision, now: datetime) -> Revision:
    """The confirmation of a cancel; a line that was denied stays denied."""
    lines = [line for line in state.lines if not line.added]
    cancel = [line if line.action == "A3" else LineDecision(sequence=line.sequence, action="C") for line in lines]
    return Revision(at=now, lines=cancel)


def duplicate(request: Request) -> Revision:
    """The answer to a request that the payer has already, under another number."""
    text = "A request for this patient, service and date is on file."
    return Revision(at=request.now, lines=request.lines("A3", ["0Q"], text))


def no_updates(request: Request) -> Revision:
    """The answer of a payer that takes no updates: nothing is decided, and a new request is wanted (spec-64)."""
    return Revision(at=request.now, errors=[PayerError(code="33", follow_up="N", path="Claim.related")])


def _approve(request: Request) -> list[Revision]:
    return [Revision(at=request.now, lines=request.approved(request.now))]


def _approve_for_long(request: Request) -> list[Revision]:
    return [Revision(at=request.now, lines=request.approved(request.now, MANY_UNITS_VALIDITY_DAYS))]


def _pend(request: Request) -> list[Revision]:
    return [Revision(at=request.now, lines=request.lines("A4", ["0V"]))]


def _pend_then_approve(request: Request) -> list[Revision]:
    due = add_business_days(request.now, DECISION_DAYS)
    return [*_pend(request), Revision(at=due, lines=request.approved(due), notify=True)]


def _pend_then_deny(request: Request) -> list[Revision]:
    due = add_business_days(request.now, DECISION_DAYS)
    text = "The submitted records do not show that conservative treatment was tried."
    return [*_pend(request), Revision(at=due, lines=request.lines("A3", ["0F"], text), notify=True)]


def _ask_for_information(request: Request) -> list[Revision]:
    return [Revision(at=request.now, lines=request.lines("A4", ["0U"]), asks_for=LOINC_CLINICAL_NOTE)]


def _two_notices(request: Request) -> list[Revision]:
    interim = add_business_days(request.now, INTERIM_DAYS)
    due = add_business_days(request.now, DECISION_DAYS)
    return [
        *_pend(request),
        Revision(at=interim, lines=request.lines("A4", ["0W"]), notify=True),
        Revision(at=due, lines=request.approved(due), notify=True),
    ]


def _deny(reason: str, text: str) -> Callable[[Request], list[Revision]]:
    return lambda request: [Revision(at=request.now, lines=request.lines("A3", [reason], text))]


def _flat(action: str, text: str | None = None) -> Callable[[Request], list[Revision]]:
    return lambda request: [Revision(at=request.now, lines=request.lines(action, text=text))]


def _first_only(request: Request) -> list[Revision]:
    first, *others = request.items
    text = "The first line covers what the plan considers necessary."
    denied = [LineDecision(sequence=item["sequence"], action="A3", reasons=["0F"], note=text) for item in others]
    return [Revision(at=request.now, lines=[request.certified(first, at=request.now), *denied])]


def _modify(request: Request) -> list[Revision]:
    lines: list[LineDecision] = []
    for item in request.items:
        asked = LineDecision(sequence=item["sequence"], action="A6", number=request.number)
        lines += [asked, _less(request, item).model_copy(update={"added": True})]
    return [Revision(at=request.now, lines=lines)]


def _certify_part(request: Request) -> list[Revision]:
    lines = [_less(request, item).model_copy(update={"action": "A2"}) for item in request.items]
    return [Revision(at=request.now, lines=lines)]


def _less(request: Request, item: Json) -> LineDecision:
    """Half of the units, rounded down; one unit keeps its unit and gets half of the validity instead."""
    line = request.certified(item, at=request.now)
    asked = quantity(item)
    if asked > 1:
        return line.model_copy(update={"quantity": float(max(1, int(asked // 2)))})
    return request.certified(item, at=request.now, days=request.payer.validity_days // 2)


def _reject(request: Request) -> list[Revision]:
    error = PayerError(code="15", follow_up="C", path="Bundle.entry[0].resource.supportingInfo")
    return [Revision(at=request.now, errors=[error])]


RULES: dict[str, Callable[[Request], list[Revision]]] = {
    "110": _approve_for_long,
    "200": _pend_then_approve,
    "201": _pend_then_approve,
    "202": _pend,
    "203": _pend_then_deny,
    "204": _ask_for_information,
    "300": _deny("0F", "The submitted records do not show that conservative treatment was tried."),
    "301": _deny("0T", "The service is considered experimental for the submitted diagnosis."),
    "400": _first_only,
    "401": _modify,
    "402": _certify_part,
    "420": _pend,
    "500": _reject,
    "600": _flat("ZZ"),
    "604": _pend,
    "800": _two_notices,
    "900": _flat("NA", "No authorization is required for this service."),
    "810": lambda request: [duplicate(request)],
    "901": _flat("CT", "Please call utilization management."),
}
