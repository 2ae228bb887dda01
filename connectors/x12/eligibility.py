"""Write a 270 (005010X279A1): whether a coverage holds on a day, and what it pays for what was ordered.

Sent in real time, one patient a message; it changes nothing at the payer and may be asked again.
Source: X12 270 as in public examples; service types as `connectors.eligibility` asks for them.
"""

from datetime import UTC, date, datetime
from types import MappingProxyType

from connectors.eligibility import service_types
from connectors.requester import Requester
from connectors.x12.benefits import Asked
from connectors.x12.envelope import Controls, build
from connectors.x12.parties import Pen, X12Payer, day
from connectors.x12.segments import Segment, segment
from domain.order import Coverage, Order, Relationship, Sex

GUIDE = "005010X279A1"
_SEXES = MappingProxyType({Sex.FEMALE: "F", Sex.MALE: "M"})
"""DMG03; what the record does not say as one of these is left out."""
_RELATIONS = MappingProxyType({Relationship.SPOUSE: "01", Relationship.CHILD: "19", Relationship.OTHER: "34"})
"""INS02 of a dependent: 34 is another adult (confirm); the 270 has fewer words for it than the 278."""
_FAMILY, _GIVEN = 60, 35


def eligibility_request(
    order: Order,
    rank: int,
    practice: Requester,
    payer: X12Payer,
    *,
    on: date,
    trace: str,
    at: datetime,
    controls: Controls,
    procedures: tuple[str, ...] = (),
) -> bytes:
    """Return the interchange that asks about one coverage of an order's patient.

    Args:
        order: who is asked about, and what was ordered: its first line's category is asked for.
        rank: of the coverage.
        practice: who asks.
        payer: who is asked.
        on: the day for which is asked.
        trace: our number of the question (TRN02), echoed in the answer; at most 50 characters.
        at: when it is asked.
        controls: control numbers.
        procedures: codes to ask about beside the kind of service, where the payer answers by code.

    Raises:
        Unwritable: a name or number cannot be written.
    """
    coverage, patient = order.coverage(rank), order.patient
    is_subscriber = coverage.relationship is Relationship.SELF
    moment, pen = at.astimezone(UTC), Pen(payer.charset)
    number = segment("TRN", 1, pen.key(trace), practice.originator)
    kind = service_types(order.lines[0].category)[0]
    about = [
        segment("DTP", "291", "D8", day(on)),
        *([segment("EQ", kind, ("HC", code)) for code in procedures] or [segment("EQ", kind)]),
    ]
    born = segment("DMG", "D8", day(patient.birth_date), _SEXES.get(patient.sex))
    body = [
        segment("BHT", "0022", "13", pen.key(trace), f"{moment:%Y%m%d}", f"{moment:%H%M}"),
        segment("HL", 1, None, "20", 1),
        segment(
            "NM1", "PR", 2, pen.words(payer.name, _FAMILY), *[None] * 4, payer.code_qualifier, pen.key(payer.payer_code)
        ),
        segment("HL", 2, 1, "21", 1),
        segment("NM1", "1P", 2, pen.words(practice.name, _FAMILY), *[None] * 4, "XX", practice.npi),
        segment("HL", 3, 2, "22", 0 if is_subscriber else 1),
    ]
    if is_subscriber:
        insured = _person(pen, "IL", patient.family_name, patient.given_name, coverage.member_id)
        body += [number, insured, born, *about]
    else:
        body += [
            *_subscriber(pen, coverage),
            segment("HL", 4, 3, "23", 0),
            number,
            _person(pen, "03", patient.family_name, patient.given_name),
            born,
            segment("INS", "N", _RELATIONS[coverage.relationship]),
            *about,
        ]
    return build(payer.route, controls, at, "270", GUIDE, [body])


def asked_of(order: Order, rank: int, trace: str) -> Asked:
    """Return whom the answer must be about."""
    coverage = order.coverage(rank)
    return Asked(
        trace=trace,
        member_id=coverage.member_id,
        family_name=order.patient.family_name,
        given_name=order.patient.given_name,
        birth_date=order.patient.birth_date,
        is_subscriber=coverage.relationship is Relationship.SELF,
        procedures=tuple(line.code for line in order.lines),
    )


def _subscriber(pen: Pen, coverage: Coverage) -> list[Segment]:
    born = coverage.subscriber_birth_date
    name = _person(
        pen, "IL", coverage.subscriber_family_name or "", coverage.subscriber_given_name or "", coverage.member_id
    )
    return [name, *([segment("DMG", "D8", day(born))] if born else [])]


def _person(pen: Pen, role: str, family: str, given: str, member_id: str | None = None) -> Segment:
    known = (None, None, None, "MI", pen.key(member_id)) if member_id else ()
    return segment("NM1", role, 1, pen.words(family, _FAMILY), pen.words(given, _GIVEN), *known)
