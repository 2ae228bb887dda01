"""How a slice of a policy is kept small: evidence that rules share stands once, and what is null or usual is left out."""

from collections.abc import Mapping
from typing import Any

from domain.base import Frozen
from domain.policy_rules import Evidence


def pack(value: Any, shared: list[dict[str, Any]]) -> Any:
    """A dumped value without nulls, its evidence put into `shared` and named by place."""
    if isinstance(value, list | tuple):
        return [pack(item, shared) for item in value]
    if not isinstance(value, Mapping):
        return value
    packed = {field: pack(item, shared) for field, item in value.items() if item is not None}
    if packed.keys() >= Evidence.model_fields.keys():
        evidence = {field: packed.pop(field) for field in Evidence.model_fields}
        if evidence not in shared:
            shared.append(evidence)
        packed["evidence"] = shared.index(evidence)
    return packed


def unpack(value: Any, shared: Any) -> Any:
    """A packed value as it was dumped. What is not packed right is left to validation."""
    if isinstance(value, list | tuple):
        return [unpack(item, shared) for item in value]
    if not isinstance(value, Mapping):
        return value
    place = value.get("evidence")
    known = isinstance(place, int) and isinstance(shared, list) and 0 <= place < len(shared)
    rest = {field: unpack(item, shared) for field, item in value.items() if field != "evidence" or not known}
    return {**rest, **shared[place]} if known else rest


def unusual(rule: Frozen, said: dict[str, Any]) -> dict[str, Any]:
    """What a rule says beside its defaults. Pinned slices lack those, so that a default must never change."""
    fields = type(rule).model_fields
    return {
        name: item for name, item in said.items() if name not in fields or getattr(rule, name) != fields[name].default
    }
