"""Whether an insurance holds and what it pays: a real-time check (X12 270/271) in Stedi's JSON shape.

Source of the shape: Stedi's OpenAPI, version 2024-04-01. Source of the codes: X12 271 EB01 (benefit), EB03 (service
type, code list 1365), EB06 (time period), EB11 (authorization indicator), EB12 (network), AAA03 (reject reason). It
has no idempotency key, and repeating it costs no more than a check: it counts as a reading request.

What the plan pays is read strictly: in the plan's network, for the kind of service that was ordered or for the plan as
a whole, for the individual. Two different answers to the same question are no answer.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any

import httpx

from connectors.errors import NotUnderstood, Refused, Unreachable
from connectors.exchange import read_object, send
from domain.base import Frozen
from domain.decision import AnswerError
from domain.facts import Benefits, CoverageStatus
from domain.order import Category, Coverage, Patient, Relationship

PATH = "/2024-04-01/change/medicalnetwork/eligibility/v3"

_PLAN = "30"
_SERVICE_TYPES: dict[Category, tuple[str, ...]] = {
    # Best first; the first is asked for. 98 is a professional's office visit, 73 diagnostic medical, 62 MRI and CT,
    # 4 diagnostic imaging, BY a sick visit.
    Category.CONSULT: ("98", "BY"),
    Category.EMG: ("73", "98"),
    Category.VENOUS_DOPPLER: ("73", "4"),
    Category.CT: ("62", "4"),
    Category.BONE_SCAN: ("4", "73"),
    Category.OTHER: ("98",),
}
_ACTIVE = frozenset("12345")
_INACTIVE = frozenset("678")
_NOT_FOUND = frozenset({"67", "72", "73", "75"})
_TRY_AGAIN = frozenset({"42", "80"})
_IN_NETWORK = {"Y": 0, "W": 1, None: 1, "U": 1}
_LEVELS = {"IND": 0, None: 1}
_REMAINING = "29"
_WHOLE = Decimal(1)


class Identity(Frozen):
    """Who asks: the practice, as payers know it."""

    npi: str
    name: str


class Eligibility(Frozen):
    """What the payer said."""

    status: CoverageStatus
    plan_name: str | None = None
    active_from: date | None = None
    active_to: date | None = None
    benefits: Benefits = Benefits()
    authorization_indicator: str | None = None
    errors: tuple[AnswerError, ...] = ()


class EligibilityClient:
    """Asks one clearinghouse for one practice. `key` is its API key."""

    def __init__(self, http: httpx.AsyncClient, url: str, key: str) -> None:
        self._http = http
        self._url = url.rstrip("/") + PATH
        self._key = key

    async def check(self, question: dict[str, Any]) -> bytes:
        """Send a question that `ask` made and return the raw answer, to be kept and read.

        Raises:
            Unreachable, Busy: try again.
            Refused: the key is not accepted, or the route does not exist: configuration.
        """
        answer = await send(
            self._http, "POST", self._url, json=question, headers={"Authorization": self._key}, timeout=70
        )
        # A 400 carries the payer's rejection in the same shape as a 200.
        if not answer.is_success and answer.status_code != HTTPStatus.BAD_REQUEST:
            raise Refused(f"eligibility:{answer.status_code}")
        read_object(answer, "eligibility")
        return answer.content


def ask(
    payer: str,
    who: Identity,
    *,
    patient: Patient,
    coverage: Coverage,
    category: Category,
    service_on: date,
    today: date,
) -> dict[str, Any]:
    """Return the question about one coverage of a patient, as of the day of service where payers answer for that day.

    `payer` is the payer's id at the clearinghouse; `today` is the practice's own date.
    """
    person = {
        "firstName": patient.given_name,
        "lastName": patient.family_name,
        "dateOfBirth": f"{patient.birth_date:%Y%m%d}",
    }
    question: dict[str, Any] = {
        "tradingPartnerServiceId": payer,
        "provider": {"npi": who.npi, "organizationName": who.name},
        "encounter": {
            "serviceTypeCodes": [service_types(category)[0]],
            "dateOfService": f"{asked_day(service_on, today):%Y%m%d}",
        },
    }
    if coverage.relationship is Relationship.SELF:
        question["subscriber"] = {"memberId": coverage.member_id, **person}
    else:
        # The coverage's model makes sure that a dependent's subscriber is named.
        birth = coverage.subscriber_birth_date
        question["subscriber"] = {
            "memberId": coverage.member_id,
            "firstName": coverage.subscriber_given_name,
            "lastName": coverage.subscriber_family_name,
            "dateOfBirth": f"{birth:%Y%m%d}" if birth else None,
        }
        question["dependents"] = [person]
    return question


def read(raw: bytes, category: Category) -> Eligibility:
    """Read an answer that `check` brought.

    Raises:
        Unreachable: the payer's system could not answer (AAA 42, 80): try again.
        NotUnderstood: it is not in the agreed shape.
    """
    body = json.loads(raw)
    errors = _errors(body)
    found = rejected(errors) if errors else meaning(body, category)
    if found is None:
        raise NotUnderstood("eligibility:no_benefits", raw, "application/json")
    raise_if_later(found)
    return found


def raise_if_later(found: Eligibility) -> None:
    """Pass on what the payer answered. Raises `Unreachable` where it said that it cannot answer now (AAA 42, 80)."""
    later = {error.code for error in found.errors} & _TRY_AGAIN
    if later:
        raise Unreachable(f"eligibility:aaa_{min(later, key=str)}")


def rejected(errors: tuple[AnswerError, ...]) -> Eligibility:
    """Return what AAA rejections say, whatever else stands beside them: never that the coverage is active."""
    found = CoverageStatus.NOT_FOUND if {error.code for error in errors} & _NOT_FOUND else CoverageStatus.UNCLEAR
    return Eligibility(status=found, errors=errors)


def meaning(body: dict[str, Any], category: Category) -> Eligibility | None:
    """Return what benefits in Stedi's shape say; a 271 is read into that shape too. None where they are none."""
    lines = body.get("benefitsInformation")
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        return None
    dates = body.get("planDateInformation")
    begin, end = _period(dates if isinstance(dates, dict) else {})
    wanted = (*service_types(category), _PLAN)
    return Eligibility(
        status=_status(lines, wanted),
        plan_name=_plan_name(body, lines),
        active_from=begin,
        active_to=end,
        benefits=Benefits(
            copay_cents=_best(lines, "B", wanted, field="benefitAmount", read_value=_cents),
            deductible_left_cents=_best(
                lines, "C", wanted, field="benefitAmount", read_value=_cents, period=_REMAINING
            ),
            coinsurance_basis_points=_best(lines, "A", wanted, field="benefitPercent", read_value=_basis_points),
            out_of_pocket_left_cents=_best(
                lines, "G", wanted, field="benefitAmount", read_value=_cents, period=_REMAINING
            ),
        ),
        authorization_indicator=_indicator(lines, wanted),
    )


def service_types(category: Category) -> tuple[str, ...]:
    """Return the service types (X12 1365) of what was ordered, best first; the first is asked for."""
    return _SERVICE_TYPES[category]


def asked_day(service_on: date, today: date) -> date:
    """Return the day that an answer is asked for: the day of service, or today where payers would not answer for it."""
    # CAQH CORE obliges payers to answer for dates until the end of the current month; a later one may be rejected.
    this_month = (service_on.year, service_on.month) == (today.year, today.month)
    return service_on if this_month and service_on >= today else today


def _errors(body: dict[str, Any]) -> tuple[AnswerError, ...]:
    """The AAA rejections, wherever they stand; each once."""
    found: dict[tuple[Any, Any], AnswerError] = {}
    parties = [body.get(name) for name in ("payer", "provider", "subscriber")]
    dependents = body.get("dependents")
    parties += dependents if isinstance(dependents, list) else []
    lists = [body.get("errors"), *(party.get("aaaErrors") for party in parties if isinstance(party, dict))]
    for error in (error for errors in lists if isinstance(errors, list) for error in errors):
        if isinstance(error, dict):
            code, place = _text(error.get("code"), 30), _text(error.get("location"), 300)
            found.setdefault(
                (code, place), AnswerError(code=code, text=_text(error.get("description"), 1000), where=place)
            )
    return tuple(found.values())


def _status(lines: Sequence[dict[str, Any]], wanted: Iterable[str]) -> CoverageStatus:
    """What is said of the plan and of the service that was ordered; nothing, or both at once, is unclear."""
    relevant = [line for line in lines if not _types(line) or set(_types(line)) & set(wanted)]
    codes = {str(line.get("code")) for line in relevant}
    active, inactive = bool(codes & _ACTIVE), bool(codes & _INACTIVE)
    if active == inactive:
        return CoverageStatus.UNCLEAR
    return CoverageStatus.ACTIVE if active else CoverageStatus.INACTIVE


def _best(
    lines: Sequence[dict[str, Any]],
    code: str,
    wanted: Sequence[str],
    *,
    field: str,
    read_value: Callable[[Any], int | None],
    period: str | None = None,
) -> int | None:
    """The one value that the closest lines agree on; None where there is none or they differ."""
    ranked: dict[tuple[int, int, int, int], set[int]] = {}
    for line in lines:
        rank = _rank(line, wanted)
        if line.get("code") != code or rank is None or (period and line.get("timeQualifierCode") != period):
            continue
        value = read_value(line.get(field))
        if value is not None:
            ranked.setdefault(rank, set()).add(value)
    closest = ranked[min(ranked)] if ranked else set()
    return closest.pop() if len(closest) == 1 else None


def _rank(line: dict[str, Any], wanted: Sequence[str]) -> tuple[int, int, int, int] | None:
    """How close a line is to what was ordered, smaller is closer; None where it speaks of something else."""
    network = _IN_NETWORK.get(_text(line.get("inPlanNetworkIndicatorCode"), 5))
    level = _LEVELS.get(_text(line.get("coverageLevelCode"), 5))
    places = [place for place, code in enumerate(wanted) if code in _types(line)]
    if network is None or level is None or not places:
        return None
    notes = line.get("additionalInformation")
    listed = notes if isinstance(notes, list) else []
    said = " ".join(str(note.get("description")) for note in listed if isinstance(note, dict))
    return places[0], network, level, 0 if "SPECIALIST" in said.upper() else 1


def _indicator(lines: Sequence[dict[str, Any]], wanted: Sequence[str]) -> str | None:
    """EB11 of the closest lines that carry one; Y before U before N, since it is only a hint to ask."""
    ranked: dict[int, set[str]] = {}
    for line in lines:
        rank = _rank(line, wanted)
        said = _text(line.get("authOrCertIndicator"), 5)
        if rank is not None and said in {"Y", "N", "U"}:
            ranked.setdefault(rank[0], set()).add(said)
    return max(ranked[min(ranked)], key="NUY".index) if ranked else None


def _types(line: dict[str, Any]) -> list[str]:
    codes = line.get("serviceTypeCodes")
    return [str(code) for code in codes] if isinstance(codes, list) else []


def _plan_name(body: dict[str, Any], lines: Sequence[dict[str, Any]]) -> str | None:
    named = [line.get("planCoverage") for line in lines if str(line.get("code")) in _ACTIVE]
    status = body.get("planStatus")
    named += [part.get("planDetails") for part in status if isinstance(part, dict)] if isinstance(status, list) else []
    return next((_text(name, 200) for name in named if isinstance(name, str) and name.strip()), None)


def _period(dates: dict[str, Any]) -> tuple[date | None, date | None]:
    """From when until when the plan runs; a payer says it in one of several fields, or as one range."""
    begin = next((day for name in ("planBegin", "eligibilityBegin") if (day := _day(dates.get(name)))), None)
    end = next((day for name in ("planEnd", "eligibilityEnd") if (day := _day(dates.get(name)))), None)
    for name in ("plan", "eligibility"):
        first, _, last = str(dates.get(name) or "").partition("-")
        begin, end = begin or _day(first), end or _day(last)
    return begin, end


def _day(value: object) -> date | None:
    try:
        return datetime.strptime(str(value), "%Y%m%d").date()  # noqa: DTZ007 - a calendar day has no zone
    except ValueError:
        return None


_MOST = Decimal(10_000_000)
"""Nobody's benefit; a larger number is a mistake, and unknown."""


def _decimal(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number <= _MOST else None


def _cents(value: object) -> int | None:
    """Dollars as a decimal text, in cents."""
    dollars = _decimal(value)
    return None if dollars is None else int((dollars * 100).quantize(_WHOLE, ROUND_HALF_UP))


def _basis_points(value: object) -> int | None:
    """The patient's share as a decimal fraction (EB08: 0.2 is 20 %), in basis points; above 1 nobody knows the unit."""
    share = _decimal(value)
    return None if share is None or share > 1 else int((share * 10000).quantize(_WHOLE, ROUND_HALF_UP))


def _text(value: object, limit: int) -> str | None:
    return str(value)[:limit] if value is not None else None
