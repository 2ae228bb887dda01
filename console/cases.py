"""`vigil order`, `vigil worklist`, `vigil case`: what staff and operators ask the API, and how it is shown."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

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
        lines.append(f"History: {links.get('temporal')}")
    return "\n".join(lines)


def worklist(api: Api, **filters: str | None) -> tuple[list[CaseView], Json]:
    """The open cases that fit, and the answer as it came."""
    owner = filters.get("owner")
    if owner is not None and ":" not in owner:
        filters["owner"] = f"person:{owner}"
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


def read_facts(answer: Json) -> Sequence[Fact]:
    """The facts in an answer of the API."""
    return _FACTS.validate_python(answer["items"])


def retract(api: Api, case_id: str, n: int, *, reason: str | None, signoff: str | None) -> str:
    """Sign that a fact is taken back: first with a reason, then, as another operator, with the first's `signoff`."""
    body = {"n": n, "reason": reason} if signoff is None else {"n": n, "signoff": signoff}
    answer: Json = api.post(f"/v1/cases/{case_id}/retract", body)
    if answer["state"] == "retracted":
        return f"Fact {n} ({answer['kind']}) is taken back."
    return (
        f"Fact {n} ({answer['kind']}) is to be taken back. Another operator signs, by {answer['expires_at']}, with:\n"
        f"  vigil case {case_id} retract {n} --signoff {answer['signoff']}"
    )


def _listed(item: Json) -> CaseView:
    try:
        return Listed.model_validate(item)
    except ValidationError:
        raise CommandFailed(
            "The API answers in a shape that this command does not know. Is it another release?"
        ) from None


def _plan(answer: Json) -> Json:
    # What a newer API says beside it is left aside.
    return {name: value for name, value in answer["plan"].items() if name in Plan.model_fields}
