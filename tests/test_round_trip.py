"""Whatever the domain asks, every rail carries: written by the product, read back by the sandbox, and the same.

What a message must say, and what a rail cannot carry of it and why, is said by `tests.meant`; the sandbox's readers know
nothing of how ours is made. Packets are read by pypdf.
"""

import hashlib
import json
import unicodedata
from dataclasses import replace
from datetime import date
from io import BytesIO
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from pypdf import PdfReader

from connectors.gateway import write as gateway_write
from connectors.lenient import encode
from connectors.packet import make_packet
from connectors.packet_sheets import Cover
from connectors.pas.attachment import attachment_parameters, attachments
from connectors.pas.claim import Version
from connectors.pas.parties import PasPayer
from connectors.pas.write import cancel_bundle, inquiry_bundle, submit_bundle, update_bundle
from connectors.x12.attachment import Guide, attachments_275
from connectors.x12.checks import check
from connectors.x12.envelope import Controls
from connectors.x12.inquiry import inquiry_278
from connectors.x12.parties import X12Payer
from connectors.x12.request import interchange, request_278
from domain.decision import InformationAsk, Number, NumberType, Reason
from domain.request import Request
from sandbox import gateway_read, pas_read, x12_read
from sandbox.asked import Asked, AskedDocument, Person
from sandbox.pas_attach import check_attachment
from sandbox.pas_check import check_bundle
from sandbox.pas_update import check_update
from tests.any_request import FOLDED, FORM, NUMBERS, Made, requests, updates
from tests.meant import LEFT_OUT, LOINC, REPORTS, by, carried, latest, meant, short_trace
from tests.pas_requests import PRACTICE

PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
HEALTHY = [HealthCheck.too_slow, HealthCheck.data_too_large]
FEW = settings(max_examples=20, deadline=None, phases=PHASES, report_multiple_bugs=False, suppress_health_check=HEALTHY)
PAS_PAYER = PasPayer(id="harbor-hmo", name="Harbor HMO", identifier="HARBR")
X12_PAYER = X12Payer(name="Harbor HMO", payer_code="HARBR", sender="LAKESIDE", receiver="NORTHBRIDGE")
CONTROLS = Controls(interchange=7, group=7)
VERSIONS: tuple[Version, ...] = ("2.2.1", "2.0.1")


# --- PAS -----------------------------------------------------------------------------------------------------------


def by_pas(message: dict[str, Any], version: Version, *, inquiry: bool = False) -> Asked:
    """The Bundle as the payer gets it, checked as strictly as the sandbox does."""
    bundle = json.loads(encode(message))
    issues = check_bundle(bundle, inquiry=inquiry, is_2_2=version == "2.2.1")
    assert not issues.found
    if len([e for e in bundle["entry"] if e["resource"]["resourceType"] == "Claim"]) > 1:
        assert not check_update(bundle).found
    read = pas_read.read_bundle(bundle, inquiry=inquiry)
    forms = {"QuestionnaireResponse"}
    inside = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] in forms]
    hidden = {hashlib.sha256(json.dumps(one, sort_keys=True).encode()).hexdigest() for one in inside}
    kept = (replace(d, sha256=None) if d.sha256 in hidden else d for d in read.documents)
    return replace(read, documents=tuple(kept))


@FEW
@given(requests())
def test_a_request_by_pas(made: Made) -> None:
    for version in VERSIONS:
        bundle = submit_bundle(made.request, PRACTICE, PAS_PAYER, version, made.contents)
        assert by_pas(bundle, version) == carried(meant(made.request, "request"), f"pas {version}")


@FEW
@given(updates())
def test_an_update_by_pas(made: Made) -> None:
    for version in VERSIONS:
        bundle = update_bundle(made.request, PRACTICE, PAS_PAYER, version, made.contents)
        read, wanted = by_pas(bundle, version), carried(meant(made.request, "update"), f"pas {version}")
        assert replace(read, lines=(), documents=()) == replace(wanted, lines=(), documents=())
        assert sorted(read.lines, key=lambda line: line.sequence) == sorted(
            wanted.lines, key=lambda line: line.sequence
        )
        # What the payer has seen already goes under the number that it went under.
        prior = made.request.prior
        assert prior is not None
        before = carried(meant(prior, "request"), f"pas {version}").documents
        sent = {ref.id for ref in prior.documents}
        new = [d for d, ref in zip(wanted.documents, made.request.documents, strict=True) if ref.id not in sent]
        assert sorted(read.documents, key=repr) == sorted([*before, *new], key=repr)


@FEW
@given(requests(), NUMBERS)
def test_a_cancel_and_an_inquiry_by_pas(made: Made, numbers: tuple[Number, ...]) -> None:
    for version in VERSIONS:
        bundle = cancel_bundle(made.request, PRACTICE, PAS_PAYER, version, numbers, made.contents)
        wanted = carried(meant(made.request, "cancel", numbers=numbers), f"pas {version}")
        assert by_pas(bundle, version) == replace(wanted, trace=f"{made.request.trace}.cancel")
        asked = inquiry_bundle(made.request, PRACTICE, PAS_PAYER, version, numbers)
        read = by_pas(asked, version, inquiry=True)
        wanted = carried(meant(made.request, "inquiry", numbers=numbers), "pas inquiry")
        if latest(numbers):  # by the payer's numbers alone
            read, wanted = replace(read, lines=()), replace(wanted, lines=())
        assert read.trace != made.request.trace
        assert replace(read, trace="", referral=False) == wanted


@FEW
@given(requests(), NUMBERS)
def test_documents_by_pas(made: Made, numbers: tuple[Number, ...]) -> None:
    request = made.request
    asks = (
        InformationAsk(what=(Reason(code="11506-3"),), control_number="ACN-1"),
        InformationAsk(what=(Reason(code="102089-0"),), context="ACN-2"),
    )
    for known in ((), asks):
        found: list[AskedDocument] = []
        for one in attachments(request, known, request.documents) if request.documents else []:
            parameters = json.loads(
                encode(attachment_parameters(request, PRACTICE, PAS_PAYER, one, made.contents, numbers))
            )
            assert not check_attachment(parameters).found
            read = pas_read.read_attachment(parameters)
            administrative = [n.value for n in numbers if n.type is NumberType.ADMINISTRATIVE][-1:]
            assert (read.payer, read.member_id, read.requester_npi, read.ordering_npi, list(read.prior_numbers)) == (
                "HARBR",
                request.coverage.member_id,
                PRACTICE.npi,
                request.order.ordering.npi,
                administrative,
            )
            found += read.documents
        expected = []
        for ref in request.documents:
            number = ("ACN-2" if ref.kind == FORM else "ACN-1") if known else request.trace
            digest = None if ref.kind == FORM else ref.id
            expected.append(AskedDocument(number, LOINC.get(ref.kind, "34109-9"), digest))
        forms = {FORM: LOINC[FORM]}[FORM]
        found = [replace(d, sha256=None) if d.report_type == forms else d for d in found]
        assert sorted(found, key=repr) == sorted(expected, key=repr)


# --- X12 -----------------------------------------------------------------------------------------------------------


def by_x12(body: list[Any], request: Request, guide: Any = "005010X217") -> x12_read.Message:
    """The interchange as the clearinghouse gets it; our own checks find nothing to complain of either."""
    findings = [
        f
        for f in check(body, date(2026, 8, 1))
        if not f.problem.startswith(("It is before the patient", "It is years"))
    ]
    assert not findings
    return x12_read.read(interchange([body], X12_PAYER, CONTROLS, request.made_at, guide))


def short(trace: str) -> str:
    return short_trace(Asked("request", trace, "", "", Person(""))).trace


@FEW
@given(requests(), NUMBERS)
def test_a_request_a_cancel_and_an_inquiry_by_x12(made: Made, numbers: tuple[Number, ...]) -> None:
    request, trace = made.request, made.request.trace
    message = by_x12(request_278(request, PRACTICE, X12_PAYER), request)
    assert message.asked == carried(meant(request, "request"), "x12")
    numbered = [line.number for line in request.order.lines if line.number in request.lines]
    assert message.line_traces == tuple(short(f"{trace}.{number}") for number in numbered)

    message = by_x12(request_278(request, PRACTICE, X12_PAYER, "cancel", numbers), request)
    wanted = replace(meant(request, "cancel", numbers=numbers), trace=f"{trace}.cancel")
    assert message.asked == carried(wanted, "x12 cancel")
    assert message.line_traces == tuple(short(f"{trace}.{number}") for number in numbered)

    message = by_x12(inquiry_278(request, PRACTICE, X12_PAYER, numbers), request, "005010X215")
    wanted = carried(replace(meant(request, "inquiry", numbers=numbers), trace=f"{trace}.inquiry"), "x12 inquiry")
    assert message.asked == (replace(wanted, lines=()) if latest(numbers) else wanted)


@FEW
@given(updates())
def test_an_update_by_x12(made: Made) -> None:
    request, prior = made.request, made.request.prior
    assert prior is not None
    message = by_x12(request_278(request, PRACTICE, X12_PAYER), request)
    assert message.asked == carried(meant(request, "update"), "x12")
    gone = [line for line in prior.order.lines if line.number in prior.lines and line.number not in request.lines]
    assert [(line.code, line.units) for line in message.withdrawn] == [(line.code, line.units) for line in gone]


@FEW
@given(requests())
def test_documents_by_x12(made: Made) -> None:
    request = made.request
    if not request.documents:
        return
    asks = (InformationAsk(what=(Reason(code="09"),), control_number="ACN-1"),)
    numbers = (Number(type=NumberType.ADMINISTRATIVE, value="PEND-1"),)
    guides: tuple[Guide, ...] = ("005010X211", "006020X316")
    for guide in guides:
        for known in ((), asks):
            body = attachments_275(
                request,
                PRACTICE,
                X12_PAYER,
                known,
                request.documents,
                made.contents,
                guide=guide,
                at=request.made_at,
                controls=CONTROLS,
                numbers=numbers,
            )
            read = x12_read.read(body).asked
            wanted = carried(meant(request, "attachment"), "x12")
            announced = by(REPORTS, "PY")(meant(request, "attachment")).documents
            assert read.documents == tuple(replace(d, control_number="ACN-1") if known else d for d in announced)
            assert (read.trace, read.payer, read.member_id, read.requester_npi) == (
                wanted.trace,
                "HARBR",
                wanted.member_id,
                PRACTICE.npi,
            )
            assert (read.subscriber.family, read.subscriber.given) == (wanted.person.family, wanted.person.given)
            assert read.prior_numbers == ("PEND-1",)


def test_names_are_folded_in_one_way_and_nothing_is_lost() -> None:
    from connectors.x12.segments import plain as folded

    for sign, spelled in FOLDED.items():
        assert folded(f"A{sign}B") == f"A{spelled}B"
    assert folded("Søndergård-Łukasiewicz O’Neill", "basic") == "SONDERGARD-LUKASIEWICZ O'NEILL"  # noqa: RUF001 - as typed
    assert folded("a*b:c~d^e") == "a b c d e"


# --- the gateway ---------------------------------------------------------------------------------------------------


@FEW
@given(requests(), updates(), NUMBERS)
def test_a_request_an_update_and_an_inquiry_by_the_gateway(
    first: Made, changed: Made, numbers: tuple[Number, ...]
) -> None:
    body = json.loads(encode(gateway_write.service_review(first.request, PRACTICE, "HARBR")))
    assert gateway_read.check(body) == []
    assert gateway_read.read(body) == carried(meant(first.request, "request"), "gateway")

    body = json.loads(encode(gateway_write.service_review(changed.request, PRACTICE, "HARBR", "SR-1")))
    assert gateway_read.check({name: value for name, value in body.items() if name != "id"}) == []
    assert gateway_read.read(body, "update") == carried(meant(changed.request, "update"), "gateway")
    assert body["id"] == "SR-1"

    request = first.request
    query = gateway_write.search_query(request, PRACTICE, "HARBR", numbers)
    asked, wanted = gateway_read.inquiry(query), carried(meant(request, "inquiry"), "gateway")
    person = replace(wanted.person, sex="")
    assert (asked.payer, asked.member_id, asked.requester_npi, asked.referral) == (
        wanted.payer,
        wanted.member_id,
        wanted.requester_npi,
        wanted.referral,
    )
    assert asked.person == person
    by_type = {number.type: number.value for number in numbers}
    certified, pended = by_type.get(NumberType.CERTIFICATION), by_type.get(NumberType.ADMINISTRATIVE)
    assert query.get("certificationNumber") == certified
    assert query.get("referenceNumber") == (pended if certified is None else None)
    dated = certified is None and pended is None
    assert (query.get("fromDate") is not None) == dated


# --- people --------------------------------------------------------------------------------------------------------


@settings(FEW, max_examples=6)
@given(requests(), updates())
def test_a_packet_names_what_a_person_needs(first: Made, changed: Made) -> None:
    cover = Cover(payer="Harbor HMO", way="fax to +12175550120", time_zone="America/Chicago")
    for made in (first, changed):
        request, order = made.request, made.request.order
        pages = PdfReader(BytesIO(make_packet(cover, PRACTICE, request, made.contents).content)).pages
        text = _bare("".join(page.extract_text() for page in pages))
        asked = meant(request, "request")
        people_ = [order.ordering, *([order.rendering] if order.rendering else [])]
        wanted = [request.trace, asked.member_id, asked.requester_npi, asked.requester_name, *order.diagnoses]
        wanted += [name for person in people_ for name in (person.family_name, person.given_name, person.npi)]
        wanted += [asked.person.family, asked.person.given, str(asked.person.birth_date), asked.facility_npi]
        wanted += [asked.subscriber.family, asked.subscriber.given, str(asked.subscriber.birth_date)]
        wanted += [
            n.value for n in request.prior_numbers if n.type in {NumberType.CERTIFICATION, NumberType.ADMINISTRATIVE}
        ]
        wanted += [asked.message, order.facility.name if order.facility else ""]
        for line in request.service_lines:
            kind = line.unit_kind.replace("_", " ")
            wanted += [line.code, f"{line.units} {kind}", str(line.service_from), *line.modifiers]
            wanted += [str(line.service_to)] if line.service_to else []
        missing = [said for said in wanted if _bare(said) not in text]
        assert missing == []


def _bare(text: str) -> str:
    """Without blanks, line breaks and accents: a sheet breaks lines where it must, and its typefaces have no ễ."""
    bare = "".join(FOLDED.get(sign, sign) for sign in unicodedata.normalize("NFC", text))
    return "".join(bare.split())


@pytest.mark.parametrize("rail", sorted(LEFT_OUT))
def test_what_is_left_out_has_a_reason(rail: str) -> None:
    assert all(reason for _, reason in LEFT_OUT[rail].values())
