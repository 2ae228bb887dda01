"""Elements of a Claim, each from one thing that the practice knows."""

from datetime import UTC, date, datetime
from typing import Any

from connectors.codes import UNIT_KINDS, UNITS
from connectors.lenient import Json
from connectors.pas.parties import concept
from connectors.pas.words import CPT, HCPCS, PAS, PAS_CODES, X12_ENTITY, X12_QUANTITY
from domain.decision import Number, NumberType
from domain.order import ServiceLine

_NUMBERS = {
    NumberType.REFERRAL: "authorizationNumber",
    NumberType.CERTIFICATION: "authorizationNumber",
    NumberType.ADMINISTRATIVE: "administrationReferenceNumber",
}
"""Where a payer gave a referral's and a certification's number, the latter names the request."""


def instant(moment: datetime) -> str:
    """Return a FHIR instant in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def extension(name: str, **value: Any) -> Json:
    """Return a PAS extension."""
    return {"url": f"{PAS}extension-{name}", **value}


def coded(name: str, system: str, code: str) -> Json:
    """Return a PAS extension that is one code."""
    return extension(name, valueCodeableConcept=concept(system, code))


def numbered(numbers: tuple[Number, ...]) -> list[Json]:
    """Return the payer's numbers by their extensions, the latest of each kind: each may stand once."""
    latest = {_NUMBERS[kind]: number.value for kind in _NUMBERS for number in numbers if number.type is kind}
    return [extension(name, valueString=value) for name, value in latest.items()]


def member(provider: Json, role: str) -> Json:
    """Return a member of the care team of the whole claim, without its sequence."""
    return {
        "extension": [extension("careTeamClaimScope", valueBoolean=True)],
        "sequence": 0,
        "provider": provider,
        "role": concept(X12_ENTITY, role),
    }


def information(kind: str, **value: Any) -> Json:
    """Return a piece of supporting information, without its sequence."""
    return {"sequence": 0, "category": concept(PAS_CODES, kind), **value}


def service(line: ServiceLine) -> Json:
    """Return the procedure of a line."""
    return concept(CPT if line.code_system == "cpt" else HCPCS, line.code)


def modifiers(line: ServiceLine) -> list[Json]:
    """Return the modifiers of a line."""
    return [concept(CPT if modifier.isdigit() else HCPCS, modifier) for modifier in line.modifiers]


def timed(name: str, start: date, end: date | None) -> Json:
    """Return a day or a period, as the element `<name>Date` or `<name>Period`."""
    if end is None or end == start:
        return {f"{name}Date": start.isoformat()}
    return {f"{name}Period": {"start": start.isoformat(), "end": end.isoformat()}}


def quantity(line: ServiceLine) -> Json:
    """Return the units of a line (X12 673)."""
    return {
        "value": line.units,
        "unit": line.unit_kind.replace("_", " "),
        "system": X12_QUANTITY,
        "code": UNIT_KINDS.get(line.unit_kind, UNITS),
    }
