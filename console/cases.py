"""`vigil order`, `vigil worklist`, `vigil case`: what staff and operators ask the API, and how it is shown."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from console.client import Api, Json
from console.errors import CommandFailed
from console.files import is_fhir, read_json
from domain.case import Case, replay
from domain.facts import AnyFact, Fact
from domain.plan import Plan
from domain.view import CaseView
from domain.view import view as row_of

_CASE_ID = re.compile(r"case-[a-z2-7]{26}")
_FACTS: TypeAdapter[tuple[Fact, ...]] = TypeAdapter(tuple[AnyFact, ...])
_PAGE = "200"


class Listed(CaseView):
    """A case as the API lists it; what a newer API says beside it is left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def post_order(api: Api, file: str) -> Json:
    """Post an order from a file, in Vigil's JSON or as a FHIR Bundle; the answer says where it stands."""
    content = read_json(file)
    media_type = "application/fhir+json" if is_fhir(content) else "application/json"
    answer: Json = api.post("/v1/orders", content, media_type=media_type)
    return answer


def order_text(answer: Json) -> str:
    """Where a posted order stands, in sentences."""
    lines = [
        f"Case {answer.get('case_id')}",
        f"Turn: {answer.get('turn')} · stage {answer.get('stage')}",
        f"Why: {answer.get('why')}",
    ]
    clock = answer.get("binding")
    if isinstance(clock, dict):
        lines.append(f"Due: {clock.get('due')} - {clock.get('label')} ({clock.get('rule')})")
    links = answer.get("links")
    if isinstance(links, dict):
        lines += [f"{str(name).replace('_', ' ').capitalize()}: {url}" for name, url in links.items()]
    return "\n".join(lines)


def worklist(api: Api, **filters: str | None) -> tuple[list[CaseView], Json]:
    """The open cases that fit, and the answer as it came."""
    answer: Json = api.get("/v1/worklist", limit=_PAGE, **filters)
    return [_listed(item) for item in answer["items"]], answer


def find_case(api: Api, wanted: str) -> str:
    """The id of a case by its id, the beginning of it, or its order number.

    Raises:
        CommandFailed: none fits, or more than one.
    """
    if _CASE_ID.fullmatch(wanted):
        return wanted
    found: dict[str, str] = {}
    for path, query in (("/v1/cases", {"q": wanted}), ("/v1/worklist", {"limit": _PAGE})):
        for item in api.get(path, **query)["items"]:
            one = _listed(item)
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
    facts = read_facts(api.get(f"/v1/cases/{case_id}/facts"))
    if at is None:
        row = _listed(api.get(f"/v1/cases/{case_id}"))
        return replay(case_id, facts), row, datetime.now(UTC)
    known = [fact for fact in facts if (fact.recorded_at or fact.occurred_at) <= at]
    if not known:
        raise CommandFailed(f"Case {case_id} had not begun by {at:%Y-%m-%d %H:%M} UTC.")
    case = replay(case_id, known)
    planned = Plan.model_validate(_plan(api.get(f"/v1/cases/{case_id}/plan", at=at.isoformat())))
    return case, row_of(case, planned, at), at


def read_facts(answer: Any) -> Sequence[Fact]:
    """The facts in an answer of the API."""
    return _FACTS.validate_python(answer["items"] if isinstance(answer, dict) else answer)


def retract(api: Api, case_id: str, n: int, reason: str) -> Json:
    """Ask for a fact to be taken back, or sign what another person asked for."""
    answer: Json = api.post(f"/v1/cases/{case_id}/retract", {"n": n, "reason": reason})
    return answer


def _listed(item: Json) -> CaseView:
    try:
        return Listed.model_validate(item)
    except ValidationError:
        raise CommandFailed(
            "The API answers in a shape that this command does not know. Is it another release?"
        ) from None


def _plan(answer: Json) -> Json:
    plan: Json = answer.get("plan", answer)
    return {name: value for name, value in plan.items() if name in Plan.model_fields}


def retraction_text(answer: Json) -> str:
    """How a retraction stands, in a sentence."""
    if answer.get("status") == "waiting" or answer.get("second_by") is None:
        return "Noted. A second person must sign it, by the same command with a token of their own."
    return f"Fact {answer.get('n')} is taken back."
