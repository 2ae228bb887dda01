"""The sheets that the practice itself writes for a packet: the cover, which says nothing of a patient, and the request form.

The form holds what a payer's own form asks for (X12 278 and PAS ask the same): patient, coverage, subscriber, providers
with NPI, diagnoses, services, urgency.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints

from connectors.paper import Grid, Rows, Words, sheet_pdf
from connectors.requester import Requester
from domain.base import Frozen, Name
from domain.calendars import TimeZone
from domain.decision import NumberType
from domain.order import Address, Coverage, Facility, Provider, Relationship, ServiceLine, Urgency
from domain.request import Request

CONFIDENTIALITY = (
    "CONFIDENTIAL. The pages that follow contain health information that is protected by federal and state law and is "
    "meant only for the addressee. If you received them in error, do not read, copy or pass them on: tell the sender at "
    "once by telephone and destroy them."
)


class Purpose(StrEnum):
    """Why a packet is sent."""

    REQUEST = "request"
    INFORMATION = "information"
    CANCELLATION = "cancellation"


_TITLES = {
    Purpose.REQUEST: "Request for prior authorization",
    Purpose.INFORMATION: "Additional information for a request",
    Purpose.CANCELLATION: "Cancellation of a request",
}
_URGENCY = {
    Urgency.ROUTINE: "Standard",
    Urgency.URGENT: "Expedited",
    Urgency.STAT: "Expedited, immediate (STAT)",
}


class Cover(Frozen):
    """What stands on the first sheet beside what the request says."""

    payer: Name
    way: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description='How it goes there, as in "fax to +1…" or "portal …".'
    )
    fax: str | None = Field(default=None, max_length=40, description="The practice's own fax, for the answer.")
    time_zone: TimeZone = Field(description="The practice's, by which the day is told.")
    purpose: Purpose = Purpose.REQUEST
    notes: tuple[Annotated[str, StringConstraints(max_length=300)], ...] = Field(
        default=(), max_length=20, description="What the payer must see first, such as its control number."
    )

    @property
    def title(self) -> str:
        """What the packet is, for its first line."""
        return _TITLES[self.purpose]


def cover_sheet(
    cover: Cover,
    requester: Requester,
    request: Request,
    pages: int,
    contents: Sequence[tuple[str, str]],
    left_out: Sequence[tuple[str, str]],
) -> bytes:
    """The cover as PDF: from whom, to whom, our trace number, how many pages, what is in it and what is not."""
    day = request.made_at.astimezone(ZoneInfo(cover.time_zone))
    blocks: list[Rows | Grid | Words] = [
        Rows("To", [("Payer", cover.payer), ("By way of", cover.way)]),
        Rows(
            "From",
            [
                ("Practice", requester.name),
                ("NPI, tax id", f"{requester.npi}, {requester.tax_id}"),
                ("Address", _address(requester.address)),
                ("Telephone, fax", ", ".join(filter(None, (requester.phone, cover.fax)))),
                ("Contact", " ".join(filter(None, (requester.contact, requester.contact_phone))) or "-"),
            ],
        ),
        Rows(
            "This message",
            [
                ("Date", f"{day:%B} {day.day}, {day.year}"),
                ("Our trace number", request.trace),
                ("Pages with this one", str(pages)),
                ("Urgency", _URGENCY[request.order.urgency]),
                *(("Please note", note) for note in cover.notes),
            ],
        ),
        Rows("In this packet", contents),
    ]
    if left_out:
        blocks.append(Rows("Not in this packet; ask us for it", left_out))
    blocks.append(Words("Confidentiality", [CONFIDENTIALITY]))
    return sheet_pdf(cover.title, blocks)


def request_form(cover: Cover, requester: Requester, request: Request) -> bytes:
    """The request form as PDF."""
    order, coverage = request.order, request.coverage
    patient = order.patient
    blocks: list[Rows | Grid | Words] = [
        Rows(
            "Request",
            [
                ("What is asked", _asked(cover, request)),
                ("Our trace number", request.trace),
                *((_NUMBERS[number.type], number.value) for number in request.prior_numbers if number.type in _NUMBERS),
                ("Urgency", _URGENCY[order.urgency]),
                *([("Why it cannot wait", order.urgency_attestation)] if order.urgency_attestation else []),
                ("Order", f"{order.number}, of {order.ordered_at:%Y-%m-%d}"),
            ],
        ),
        Rows(
            "Patient",
            [
                ("Name", f"{patient.family_name}, {patient.given_name}"),
                ("Born, sex", f"{patient.birth_date:%Y-%m-%d}, {patient.sex.value}"),
                *([("Address", _address(patient.address))] if patient.address else []),
                *([("Telephone", patient.phone)] if patient.phone else []),
            ],
        ),
        Rows("Coverage", _coverage(cover, coverage)),
        Rows("Requesting practice", [(requester.name, f"NPI {requester.npi}, tax id {requester.tax_id}")]),
        Rows(
            "Providers",
            [
                ("Ordering", _provider(order.ordering)),
                *([("Rendering", _provider(order.rendering))] if order.rendering else []),
                *([("Place of service", _facility(order.facility))] if order.facility else []),
            ],
        ),
        Rows(
            "Diagnoses (ICD-10-CM)",
            [("Principal" if place == 0 else "Further", code) for place, code in enumerate(order.diagnoses)],
        ),
        Grid(
            "Services",
            ("Line", "Code", "Modifiers", "Quantity", "Dates", "Place", "Service"),
            [_line(line) for line in request.service_lines],
            (0.07, 0.16, 0.12, 0.15, 0.19, 0.08, 0.23),
        ),
    ]
    return sheet_pdf(f"{cover.title}: form", blocks)


_NUMBERS = {
    NumberType.CERTIFICATION: "Authorization number",
    NumberType.ADMINISTRATIVE: "Your reference",
    NumberType.PROVISIONAL: "Provisional number",
    NumberType.REFERRAL: "Referral number",
}


def _asked(cover: Cover, request: Request) -> str:
    what = "a referral" if request.referral else "prior authorization"
    if cover.purpose is Purpose.CANCELLATION:
        return f"Cancel our request for {what}"
    if cover.purpose is Purpose.INFORMATION:
        return f"Take the attached to our request for {what}"
    return f"Change our earlier request for {what}: it now reads as below" if request.prior else f"Grant {what}"


def _coverage(cover: Cover, coverage: Coverage) -> list[tuple[str, str]]:
    rows = [("Payer", cover.payer), ("Member number", coverage.member_id)]
    rows += [("Group number", coverage.group_number)] if coverage.group_number else []
    rows += [("Plan", coverage.plan_name)] if coverage.plan_name else []
    rows.append(("Patient is", "the subscriber" if coverage.relationship is Relationship.SELF else _related(coverage)))
    return rows


def _related(coverage: Coverage) -> str:
    name = f"{coverage.subscriber_family_name}, {coverage.subscriber_given_name}"
    return f"{coverage.relationship.value} of the subscriber: {name}, born {coverage.subscriber_birth_date}"


def _provider(provider: Provider) -> str:
    parts = [f"{provider.family_name}, {provider.given_name}", f"NPI {provider.npi}"]
    parts += [f"taxonomy {provider.taxonomy}"] if provider.taxonomy else []
    parts += [f"telephone {provider.phone}"] if provider.phone else []
    parts += [f"fax {provider.fax}"] if provider.fax else []
    return "; ".join(parts)


def _facility(facility: Facility) -> str:
    return f"{facility.name}; NPI {facility.npi}; {_address(facility.address)}"


def _address(address: Address) -> str:
    return f"{address.line}, {address.city}, {address.state} {address.postal_code}"


def _line(line: ServiceLine) -> tuple[str, ...]:
    dates = f"{line.service_from}" + (f" to {line.service_to}" if line.service_to else "")
    return (
        str(line.number),
        f"{line.code} ({line.code_system.upper()})",
        " ".join(line.modifiers) or "-",
        f"{line.units} {line.unit_kind.replace('_', ' ')}",
        dates,
        line.place_of_service,
        line.label or "-",
    )
