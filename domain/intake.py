"""What an order lacks, said so that somebody can fill it in; and the first fact of a case."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from domain.base import Frozen, Sentence
from domain.facts import OrderReceived
from domain.order import Order


class Filler(StrEnum):
    """Who can fill in a field of an order."""

    FRONT_DESK = "front_desk"
    ORDERING_PROVIDER = "ordering_provider"
    BILLING = "billing"
    REFERRING_OFFICE = "referring_office"
    SENDER = "sender"
    """Whoever keeps the system that sent the order: the field is the machine's, not a person's."""


class Missing(Frozen):
    """A field of an order that is missing or cannot be used."""

    field: str = Field(max_length=200, description="As in `coverages[0].member_id`.")
    why: Sentence = Field(description="What is wrong, without the value.")
    who: Filler

    @property
    def pointer(self) -> str:
        """The field as a JSON pointer (RFC 6901), as in `/coverages/0/member_id`."""
        return pointer_of(self.field)


_WHO: tuple[tuple[str, Filler], ...] = (
    (r"practice|source|number|documents.*", Filler.SENDER),
    (r"coverages\[\d+\]\.(payer|group_number|plan_name)", Filler.BILLING),
    (r"coverages.*", Filler.FRONT_DESK),
    (r"(ordering|rendering)\.(npi|taxonomy)", Filler.BILLING),
    (r"patient.*|appointment.*", Filler.FRONT_DESK),
    (r"facility.*|rendering.*", Filler.REFERRING_OFFICE),
    (r"lines\[\d+\]\.(code_system|place_of_service|modifiers.*|unit_kind|number)", Filler.BILLING),
    (r"lines.*|diagnoses.*|ordering.*|ordered_at|urgency.*", Filler.ORDERING_PROVIDER),
)
"""Who fills in what; the first pattern that fits the whole field counts."""

_WHOLE: tuple[tuple[str, str], ...] = (
    ("urgency_attestation", "urgency_attestation"),
    ("same rank", "coverages"),
    ("same number", "lines"),
    ("the subscriber", "subscriber_family_name"),
    ("service_to", "service_to"),
)
"""Which field a sentence about several of them is for, by a word in it."""

_REMEDIES = {
    "missing": "This is missing.",
    "extra_forbidden": "There is no such field; check its spelling.",
    "too_short": "At least one is needed.",
    "too_long": "There are too many.",
    "string_too_short": "This is empty.",
    "string_too_long": "This is too long.",
    "string_type": "This must be text.",
    "int_type": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "int_from_float": "This must be a whole number.",
    "list_type": "This must be a list.",
    "tuple_type": "This must be a list.",
    "model_type": "This must be an object.",
    "model_attributes_type": "This must be an object.",
    "date_type": "This must be a date, as 2026-12-01.",
    "date_parsing": "This must be a date, as 2026-12-01.",
    "date_from_datetime_parsing": "This must be a date, as 2026-12-01.",
    "date_from_datetime_inexact": "This must be a date, as 2026-12-01.",
    "datetime_type": "This must be an instant with its offset, as 2026-12-01T09:30:00-06:00.",
    "datetime_parsing": "This must be an instant with its offset, as 2026-12-01T09:30:00-06:00.",
    "datetime_from_date_parsing": "This must be an instant with its offset, as 2026-12-01T09:30:00-06:00.",
    "greater_than_equal": "This number is too small.",
    "less_than_equal": "This number is too large.",
    "string_unicode": "This is not whole Unicode text; type it anew.",
    "union_tag_not_found": "This lacks the name of its form.",
    "union_tag_invalid": "There is no form of this name.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
}
"""A sentence for each kind of error that speaks of a value; pydantic's own may quote it."""

_FORMS = {
    "member_id": "A member number has letters, digits and dashes only.",
    "payer": "Name the payer by its id, as meridian-ppo.",
    "code": "A procedure code has five letters or digits, as 72131.",
    "postal_code": "A postal code looks like 62701 or 62701-1234.",
    "state": "A state is two capital letters, as IL.",
    "place_of_service": "A place of service is two digits, as 11.",
    "id": "This id is not of the expected form.",
}


def problems(error: ValidationError) -> tuple[Missing, ...]:
    """What a draft order lacks, from pydantic's word, a problem a field, without any value of it."""
    found: dict[str, Missing] = {}
    for field, why in wrong(error.errors(include_url=False, include_context=False, include_input=False)):
        found.setdefault(field, Missing(field=field, why=why, who=who_fills(field)))
    return tuple(found.values())


def wrong(errors: Sequence[ErrorDetails]) -> Iterator[tuple[str, str]]:
    """Each field that pydantic finds wrong, with a sentence for whoever sent it, without any value."""
    for one in errors:
        kind, loc = one["type"], one["loc"]
        if kind == "too_short" and any(other["loc"][: len(loc)] == loc != other["loc"] for other in errors):
            continue  # it is short of the entries that are wrong themselves
        field = _field(loc)
        yield _named(field, one["msg"]) if kind == "value_error" else field, _sentence(kind, loc, one["msg"])


def pointer_of(field: str) -> str:
    """A field as a JSON pointer."""
    return "/" + re.sub(r"\[(\d+)\]", r"/\1", field).replace(".", "/") if field else ""


def missing(draft: object) -> tuple[Missing, ...]:
    """What a draft order (parsed JSON) lacks; empty where it is an order."""
    try:
        Order.model_validate(draft)
    except ValidationError as error:
        return problems(error)
    return ()


def who_fills(field: str) -> Filler:
    """Who can fill in a field of an order."""
    return next((who for pattern, who in _WHO if re.fullmatch(pattern, field)), Filler.SENDER)


def order_received(order: Order, *, time_zone: str, by: str, now: datetime) -> OrderReceived:
    """The fact that a case begins with. The same order has the same source id, whoever sends it and whenever.

    `time_zone` is the practice's, `by` is `system:<name>` or `person:<id>`, `now` the moment of receipt (UTC): clocks
    start there.
    """
    return OrderReceived(occurred_at=now, by=by, source_id=order_source(order), order=order, time_zone=time_zone)


def order_source(order: Order) -> str:
    """The source id of an order: a hash of all that it says."""
    canonical = json.dumps(order.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"order:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _field(loc: Iterable[int | str]) -> str:
    field = ""
    for part in loc:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    return field[:200]


def _named(field: str, sentence: str) -> str:
    """The field that a sentence about a whole object is for."""
    name = next((name for word, name in _WHOLE if word in sentence), None)
    if name is None or field.endswith(name):
        return field
    return f"{field}.{name}" if field else name


def _sentence(kind: str, loc: Sequence[int | str], message: str) -> str:
    if kind == "value_error":
        # Our own validators' words: written to be shown, without the value.
        sentence = message.removeprefix("Value error, ")
        return f"{sentence[:1].upper()}{sentence[1:]}."
    name = next((part for part in reversed(loc) if isinstance(part, str)), "")
    if kind in {"enum", "literal_error"}:
        # They name what may be said, and not what was.
        return message.replace("Input should be", "This must be") + "."
    if kind == "string_pattern_mismatch":
        return _FORMS.get(name, "This is not of the expected form.")
    return _REMEDIES.get(kind, "This cannot be used; see its description in the API's documentation.")
