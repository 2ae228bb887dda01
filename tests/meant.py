"""What a payer must understand of a request, computed from the request alone, and what a rail cannot carry of it.

`LEFT_OUT` says for each rail which fields it changes or leaves out, and why; everything else arrives as it is.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from domain.decision import Number, NumberType
from domain.order import Relationship, ServiceLine
from domain.request import Request
from sandbox.asked import Asked, AskedDocument, AskedLine, Kind, Person
from tests.any_request import FOLDED, FORM
from tests.pas_requests import PRACTICE

SEXES = {"female": "F", "male": "M"}
RELATIONS = {"self": "18", "spouse": "01", "child": "19", "other": "G8"}
SERVICES = {"consult": "3", "ct": "4", "bone_scan": "4", "emg": "73", "venous_doppler": "73", "other": "1"}
COUNTED = {"visit": "VS", "day": "DY"}
REPORTS = {"order": "B3", "office_note": "09", "imaging_report": "DG"}
LOINC = {"order": "57133-1", "office_note": "11506-3", "imaging_report": "18748-4", "procedure_note": "28570-0"}
LOINC |= {FORM: "102089-0"}
"""What payers must find, by our words: X12 1068, 1069, 1365, 673, 755 and LOINC."""


# --- what a message must say ---------------------------------------------------------------------------------------


def meant(request: Request, kind: Kind, *, numbers: tuple[Number, ...] = ()) -> Asked:
    """What a payer should understand, computed from the request alone."""
    order, coverage = request.order, request.coverage
    itself = coverage.relationship is Relationship.SELF
    patient = Person(
        order.patient.family_name,
        order.patient.given_name,
        order.patient.birth_date,
        SEXES.get(order.patient.sex.value, "U"),
        RELATIONS[coverage.relationship.value],
    )
    insured = Person(
        coverage.subscriber_family_name or "", coverage.subscriber_given_name or "", coverage.subscriber_birth_date
    )
    return Asked(
        kind=kind,
        trace=request.trace,
        originator=f"1{PRACTICE.tax_id.replace('-', '')}",
        payer="HARBR",
        requester_npi=PRACTICE.npi,
        requester_name=PRACTICE.name,
        member_id=coverage.member_id,
        subscriber=patient if itself else insured,
        patient=None if itself else patient,
        ordering_npi=order.ordering.npi,
        rendering_npi=order.rendering.npi if order.rendering else "",
        facility_npi=order.facility.npi if order.facility else "",
        diagnoses=tuple(code.replace(".", "") for code in order.diagnoses),
        urgency=order.urgency.value,
        referral=request.referral,
        lines=tuple(line_of(line) for line in order.lines if line.number in request.lines),
        documents=tuple(AskedDocument(request.control_number(ref), ref.kind, ref.id) for ref in request.documents),
        prior_numbers=tuple(dict.fromkeys(n.value for n in latest((*request.prior_numbers, *numbers)))),
        message=order.urgency_attestation or "",
        assertion=request.assertion or "",
    )


def line_of(line: ServiceLine) -> AskedLine:
    return AskedLine(
        sequence=line.number,
        code=line.code,
        modifiers=line.modifiers,
        units=line.units,
        place_of_service=line.place_of_service,
        date_from=line.service_from,
        date_to=line.service_to or line.service_from,
        counted=COUNTED.get(line.unit_kind, ""),
        service_type=SERVICES[line.category.value],
    )


def latest(numbers: tuple[Number, ...]) -> list[Number]:
    """What names a request at a payer: its certification, else its referral; then its reference. The latest of each."""
    by_type = {number.type: number for number in numbers}
    first = by_type.get(NumberType.CERTIFICATION) or by_type.get(NumberType.REFERRAL)
    return [one for one in (first, by_type.get(NumberType.ADMINISTRATIVE)) if one is not None]


# --- what a rail cannot carry, and why -----------------------------------------------------------------------------

Change = Callable[[Asked], Asked]


def lines(change: Callable[[int, AskedLine], AskedLine]) -> Change:
    return lambda a: replace(a, lines=tuple(change(place, line) for place, line in enumerate(a.lines, start=1)))


def people(change: Callable[[Person], Person]) -> Change:
    return lambda a: replace(a, subscriber=change(a.subscriber), patient=change(a.patient) if a.patient else None)


def insured(**unsaid: Any) -> Change:
    return lambda a: a if a.patient is None else replace(a, subscriber=replace(a.subscriber, **unsaid))


def without(**unsaid: Any) -> Change:
    return lambda a: replace(a, **unsaid)


def named_once(asked: Asked) -> Asked:
    same = asked.rendering_npi == asked.ordering_npi
    return replace(asked, rendering_npi="") if same else asked


def plain(text: str, most: int | None = None) -> str:
    bare = "".join(FOLDED.get(sign, sign) for sign in unicodedata.normalize("NFC", text))
    return " ".join(bare.replace("^", " ").split())[:most].rstrip()


def in_x12(asked: Asked) -> Asked:
    changed = people(lambda p: replace(p, family=plain(p.family, 60), given=plain(p.given, 35)))(asked)
    return replace(changed, message=plain(asked.message, 264))


def short_trace(asked: Asked) -> Asked:
    digest = hashlib.sha256(asked.trace.encode()).hexdigest()[:20]
    return asked if len(asked.trace) <= 50 else replace(asked, trace=f"{asked.trace[:29]}-{digest}")


def by(codes: Mapping[str, str], other: str, *, inside: bool = True) -> Change:
    def change(asked: Asked) -> Asked:
        found = (replace(d, report_type=codes.get(d.report_type, other)) for d in asked.documents)
        return replace(asked, documents=tuple(d if inside else replace(d, sha256=None) for d in found))

    return change


def content_as_json(asked: Asked) -> Asked:
    """A form travels as the resource that it is: its bytes are not kept, what it says is (`test_pas_attachment`)."""
    forms = {d.control_number for d in asked.documents if d.report_type == FORM}
    hidden = (replace(d, sha256=None) if d.control_number in forms else d for d in asked.documents)
    return replace(asked, documents=tuple(hidden))


BY_PLACE = lines(lambda place, line: replace(line, sequence=place))
NOT_IN_A_MESSAGE_ABOUT_IT = {
    "message": (without(message=""), "why it cannot wait was said when it was asked"),
    "assertion": (without(assertion=""), "what it rests on was said when it was asked"),
    "documents": (without(documents=()), "documents were sent when it was asked"),
}
PAS = {
    "subscriber.sex": (insured(sex="U"), "the practice does not know it, and FHIR wants one: unknown"),
    "rendering_npi": (named_once, "who orders and renders stands in the care team once"),
    "documents.sha256 of a form": (content_as_json, "a form travels as a resource, not as bytes"),
}
X12 = {
    "names, message": (in_x12, "ASCII, 60 and 35 characters of a name, 264 of a message: folded and cut in one way"),
    "trace": (short_trace, "50 characters: longer ones are cut and end in their digest"),
    "lines.sequence": (BY_PLACE, "service levels have no number; ours is in the line's trace number, compared below"),
    "subscriber.sex": (insured(sex=""), "the practice does not know it"),
    "assertion": (without(assertion=""), "no segment of X217 is for it"),
    "documents": (by(REPORTS, "PY", inside=False), "a 278 announces (PWK), the 275 carries"),
}
GATEWAY = {
    "originator": (without(originator=""), "no field"),
    "lines.sequence": (BY_PLACE, "procedures have no number: they go by their place"),
    "lines.place_of_service": (
        lambda a: lines(lambda _, line: replace(line, place_of_service=a.lines[0].place_of_service))(a),
        "one place for the whole: the first line's",
    ),
    "lines.service_type": (lines(lambda _, line: replace(line, service_type="")), "one for the whole, as the place"),
    "subscriber.birth_date, sex": (insured(birth_date=None, sex=""), "no field of the subscriber's"),
    "names": (
        people(lambda p: replace(p, family=p.family[:60].rstrip(), given=p.given[:35].rstrip())),
        "as long as in the 278 that the gateway makes of it",
    ),
    "rendering_npi": (named_once, "who orders and renders is named once"),
    "documents": (without(documents=()), "no field; attachments are closed to new customers"),
    "prior_numbers": (without(prior_numbers=()), "an update goes to the gateway's own record"),
    "message": (lambda a: replace(a, message=" ".join(a.message.split())), "notes of 264 characters, broken at blanks"),
}
INQUIRY = {
    **NOT_IN_A_MESSAGE_ABOUT_IT,
    "urgency": (without(urgency="routine"), "an inquiry is in no hurry"),
}
LEFT_OUT: Mapping[str, Mapping[str, tuple[Change, str]]] = MappingProxyType(
    {
        "pas 2.2.1": {**PAS, "documents.report_type": (by(REPORTS, "PY"), "PWK01 names it")},
        "pas 2.0.1": {
            **PAS,
            "documents.report_type": (by({**LOINC, FORM: ""}, "34109-9"), "only the document itself says what it is"),
            "documents.control_number": (
                lambda a: replace(a, documents=tuple(replace(d, control_number="") for d in a.documents)),
                "2.0.1 has no extension for it",
            ),
        },
        "pas inquiry": {
            **PAS,
            **INQUIRY,
            "trace": (without(trace=""), "an inquiry has an identifier of its own"),
            "providers": (
                without(ordering_npi="", rendering_npi="", facility_npi="", diagnoses=(), referral=False),
                "a query by example would miss what was changed since",
            ),
            "lines": (lines(lambda _, line: AskedLine(line.sequence, line.code)), "as the providers"),
        },
        "x12": X12,
        "x12 cancel": {**X12, **NOT_IN_A_MESSAGE_ABOUT_IT},
        "x12 inquiry": {
            **X12,
            **INQUIRY,
            "diagnoses": (lambda a: replace(a, diagnoses=a.diagnoses[:1]), "X215 carries the principal one"),
            "lines.units, counted, service_type": (
                lines(lambda _, line: replace(line, units=1, counted="", service_type="")),
                "asked for by code and dates",
            ),
        },
        "gateway": GATEWAY,
    }
)


def carried(asked: Asked, rail: str) -> Asked:
    """What is left of it on a rail."""
    for change, _ in LEFT_OUT[rail].values():
        asked = change(asked)
    return asked
