"""`vigil order`, `vigil worklist`, `vigil case`: what staff and operators ask the API, and how it is shown."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from console.client import Api, Json
from console.errors import CommandFailed
from console.files import is_fhir, read_json
from console.words import plain
from domain.case import Case, replay
from domain.facts import AnyFact
from domain.plan import Plan
from domain.view import CaseView
from domain.view import view as row_of

_CASE_ID = re.compile(r"case-[a-z2-7]{26}")
_PAGE = "200"


class _Answer(BaseModel):
    """An answer of the API, as far as this release knows it; what a newer one says beside it is left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Listed(CaseView):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Page(_Answer):
    items: tuple[_Listed, ...]


class _Facts(_Answer):
    items: tuple[AnyFact, ...]


class _Planned(_Answer):
    plan: Json


class _Retraction(_Answer):
    status: Literal["waiting", "retracted"]
    kind: str
    expires_at: datetime


_A = TypeVar("_A", bound=BaseModel)


def post_order(api: Api, file: str, source: str) -> Json:
    """Post an order from a file, in Vigil's JSON or as a FHIR Bundle; the answer says where it stands.

    `source` is the system that a Bundle comes from; Vigil's JSON names its own.
    """
    content = read_json(file)
    if is_fhir(content):
        answer: Json = api.post("/v1/orders", content, media_type="application/fhir+json", source=source)
    else:
        answer = api.post("/v1/orders", content)
    return answer


def order_text(answer: Json, zone: tzinfo) -> str:
    """Where a posted order stands, in sentences; times in `zone`."""
    lines = [
        f"Case {answer.get('case_id')} watches over order {answer.get('order_number')}.",
        f"Turn: {answer.get('turn')} · stage {answer.get('stage')}",
        f"Why: {answer.get('why')}",
    ]
    clock = answer.get("binding")
    if isinstance(clock, dict):
        due = datetime.fromisoformat(str(clock.get("due"))).astimezone(zone)
        lines.append(f"Due: {due:%a %Y-%m-%d %H:%M %Z} - {clock.get('label')} ({clock.get('rule')})")
    links = answer.get("links")
    if isinstance(links, dict):
        lines.append(f"History: {links.get('temporal')}")
    return "\n".join(lines)


def worklist(api: Api, **filters: str | None) -> tuple[list[CaseView], Json]:
    """The open cases that fit, and the answer as it came."""
    owner = filters.get("owner")
    if owner is not None and ":" not in owner:
        filters["owner"] = f"person:{owner}"
    answer: Json = api.get("/v1/worklist", limit=_PAGE, **filters)
    return list(_read(_Page, answer).items), answer


def find_case(api: Api, wanted: str) -> str:
    """The id of a case by its id, the beginning of it, or its order number.

    Raises:
        CommandFailed: none fits, or more than one.
    """
    if _CASE_ID.fullmatch(wanted):
        return wanted
    found: dict[str, str] = {}
    for path, query in (("/v1/cases", {"q": wanted}), ("/v1/worklist", {"limit": _PAGE})):
        for one in _read(_Page, api.get(path, **query)).items:
            if one.case_id.startswith(wanted) or one.order_number == wanted:
                found[one.case_id] = one.order_number
    if len(found) == 1:
        return next(iter(found))
    if not found:
        raise CommandFailed(f"No case fits {wanted}. Give a case's id, its beginning, or an order's number.")
    raise CommandFailed(f"Several cases fit {wanted}:\n" + "\n".join(f"  {one}" for one in sorted(found)))


def case_at(api: Api, case_id: str, at: datetime | None) -> tuple[Case, CaseView, datetime]:
    """A case with all its facts and its row: as it is now, or as it was known and planned at an instant.

    Raises:
        CommandFailed: there is no such case, or it had not begun by then.
    """
    facts = _read(_Facts, api.get(f"/v1/cases/{case_id}/facts")).items
    if at is None:
        row = _read(_Listed, api.get(f"/v1/cases/{case_id}"))
        return replay(case_id, facts), row, datetime.now(UTC)
    known = [fact for fact in facts if (fact.recorded_at or fact.occurred_at) <= at]
    if not known:
        raise CommandFailed(f"Case {case_id} had not begun by {at:%Y-%m-%d %H:%M} UTC.")
    case = replay(case_id, known)
    said = _read(_Planned, api.get(f"/v1/cases/{case_id}/plan", at=at.isoformat())).plan
    planned = _read(Plan, {name: value for name, value in said.items() if name in Plan.model_fields})
    return case, row_of(case, planned, at), at


def retract(api: Api, case_id: str, n: int, reason: str) -> str:
    """Sign that a fact is taken back; it is when a second operator signs the same. The answer says how it stands."""
    answer = _read(_Retraction, api.post(f"/v1/cases/{case_id}/retract", {"n": n, "reason": reason}))
    if answer.status == "retracted":
        return f"Fact {n} ({plain(answer.kind)}) is taken back."
    return (
        f"Fact {n} ({plain(answer.kind)}) is to be taken back. By {answer.expires_at:%Y-%m-%d %H:%M} UTC another operator "
        "must sign it: the same command with a token of their own."
    )


def _read(shape: type[_A], answer: object) -> _A:
    try:
        return shape.model_validate(answer)
    except ValidationError:
        # `from None`: the cause quotes values.
        raise CommandFailed(
            "The API answers in a shape that this command does not know. Is it another release?"
        ) from None
