"""What a person types where in a payer's portal: screens and fields as data, filled from the request by our own words."""

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from domain.base import Frozen
from domain.order import ServiceLine
from domain.request import Request

Said = Callable[[Request], str | None]
SaidOfLine = Callable[[ServiceLine], str | None]

_STEP = 400
"""How long a step may become before what follows is a step of its own."""

_REQUEST: dict[str, Said] = {
    "trace": lambda r: r.trace,
    "kind": lambda r: "referral" if r.referral else "authorization",
    "urgency": lambda r: r.order.urgency.value,
    "urgency_attestation": lambda r: r.order.urgency_attestation,
    "order_number": lambda r: r.order.number,
    "member_id": lambda r: r.coverage.member_id,
    "group_number": lambda r: r.coverage.group_number,
    "plan_name": lambda r: r.coverage.plan_name,
    "relationship": lambda r: r.coverage.relationship.value,
    "subscriber.family_name": lambda r: r.coverage.subscriber_family_name,
    "subscriber.given_name": lambda r: r.coverage.subscriber_given_name,
    "subscriber.birth_date": lambda r: _day(r.coverage.subscriber_birth_date),
    "patient.family_name": lambda r: r.order.patient.family_name,
    "patient.given_name": lambda r: r.order.patient.given_name,
    "patient.birth_date": lambda r: _day(r.order.patient.birth_date),
    "patient.sex": lambda r: r.order.patient.sex.value,
    "patient.phone": lambda r: r.order.patient.phone,
    "ordering.npi": lambda r: r.order.ordering.npi,
    "ordering.name": lambda r: f"{r.order.ordering.family_name}, {r.order.ordering.given_name}",
    "rendering.npi": lambda r: r.order.rendering.npi if r.order.rendering else None,
    "rendering.name": lambda r: (
        f"{r.order.rendering.family_name}, {r.order.rendering.given_name}" if r.order.rendering else None
    ),
    "facility.npi": lambda r: r.order.facility.npi if r.order.facility else None,
    "facility.name": lambda r: r.order.facility.name if r.order.facility else None,
    "diagnoses": lambda r: ", ".join(r.order.diagnoses),
    "diagnoses.principal": lambda r: r.order.diagnoses[0],
}
_LINE: dict[str, SaidOfLine] = {
    "lines.code": lambda line: line.code,
    "lines.modifiers": lambda line: " ".join(line.modifiers) or None,
    "lines.units": lambda line: str(line.units),
    "lines.unit_kind": lambda line: line.unit_kind.replace("_", " "),
    "lines.place_of_service": lambda line: line.place_of_service,
    "lines.service_from": lambda line: _day(line.service_from),
    "lines.service_to": lambda line: _day(line.service_to or line.service_from),
    "lines.label": lambda line: line.label or None,
}
PATHS = frozenset({*_REQUEST, *_LINE})
"""The words that a field may be filled from; those of `lines` stand once for each line."""


def _known(path: str) -> str:
    if path not in PATHS:
        msg = f"{path} is none of our words; use one of {', '.join(sorted(PATHS))}"
        raise ValueError(msg)
    return path


class PortalField(Frozen):
    """A field on a portal's screen, and our word for what goes into it."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    screen: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    field: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    filled_from: Annotated[str, AfterValidator(_known)] = Field(alias="from")


def what_to_type(fields: Sequence[PortalField], request: Request) -> Iterator[str]:
    """Steps for each screen, in the order of the fields: what is typed where. What the order does not say is left out."""
    for screen in dict.fromkeys(field.screen for field in fields):
        here = [field for field in fields if field.screen == screen]
        typed = [f"{f.field} = {said}" for f in here if f.filled_from in _REQUEST and (said := _said(f, request))]
        for line in request.service_lines:
            of_line = [f"{f.field} = {said}" for f in here if f.filled_from in _LINE and (said := _of(f, line))]
            typed += [f"line {line.number}: {', '.join(of_line)}"] if of_line else []
        step = ""
        for entry in typed:
            if step and len(step) + len(entry) > _STEP:
                yield step
                step = ""
            step = f"{step}; {entry}" if step else f"{screen}: {entry}"
        if step:
            yield step


def _said(field: PortalField, request: Request) -> str | None:
    return _REQUEST[field.filled_from](request)


def _of(field: PortalField, line: ServiceLine) -> str | None:
    return _LINE[field.filled_from](line)


def _day(day: object) -> str | None:
    return str(day) if day else None
