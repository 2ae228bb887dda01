"""What we send: the same bytes for the same request, as the profiles want it, with everything that the practice knows.

The golden files are our own Bundles, to be read by people; `python -m tests.test_pas_write` writes them anew.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import Refused
from connectors.lenient import encode
from connectors.pas.attachment import attachment_parameters, attachments
from connectors.pas.claim import Version
from connectors.pas.identity import full_url
from connectors.pas.subscription import subscription
from connectors.pas.words import PAS, X12_CERTIFICATION, X12_LEVEL, X12_REQUEST
from connectors.pas.write import cancel_bundle, inquiry_bundle, submit_bundle, update_bundle
from domain.decision import InformationAsk, Number, NumberType, Reason
from domain.order import Urgency
from sandbox.pas_check import check_bundle
from tests.pas_requests import (
    CONTENTS,
    FORM_REF,
    NOTE,
    NOTE_REF,
    PAYER,
    PRACTICE,
    changed_request,
    full_order,
    order,
    request,
)

Json = dict[str, Any]
GOLDEN = Path(__file__).resolve().parent / "golden" / "pas"
VERSIONS: tuple[Version, ...] = ("2.2.1", "2.0.1")
_ADDRESSED = PAYER.model_copy(update={"sender": "LAKESIDE01", "receiver": "MERIDIAN01"})
NUMBERS = (
    Number(type=NumberType.ADMINISTRATIVE, value="PEND-1"),
    Number(type=NumberType.ADMINISTRATIVE, value="PEND-2"),
    Number(type=NumberType.CERTIFICATION, value="AUTH-1"),
    Number(type=NumberType.TRACE, value="OURS"),
)


def bundles(version: Version) -> dict[str, Json]:
    """One Bundle of every kind, of the order in which everything is known."""
    asked = request(full_order())
    return {
        "submit": submit_bundle(asked, PRACTICE, PAYER, version, CONTENTS),
        "referral": submit_bundle(request(referral=True), PRACTICE, PAYER, version),
        "inquiry": inquiry_bundle(asked, PRACTICE, PAYER, version),
        "inquiry-by-number": inquiry_bundle(asked, PRACTICE, PAYER, version, NUMBERS),
        "update": update_bundle(changed_request(), PRACTICE, PAYER, version, CONTENTS),
        "asserted": submit_bundle(request(assertion="CRD-77"), PRACTICE, _ADDRESSED, version, CONTENTS),
        "cancel": cancel_bundle(asked, PRACTICE, PAYER, version, NUMBERS, CONTENTS),
    }


def attachment() -> Json:
    """What the payer asked to see, sent."""
    asked = InformationAsk(what=(Reason(code="11506-3"),), line=1, control_number="ACN-1")
    (one,) = attachments(request(full_order()), (asked,), (NOTE_REF, FORM_REF))
    return attachment_parameters(request(full_order()), PRACTICE, PAYER, one, CONTENTS, NUMBERS)


def test_the_documents_sent_afterwards_are_the_golden_ones() -> None:
    assert attachment() == json.loads((GOLDEN / "attachment.json").read_text())


ALL = [(name, version) for version in VERSIONS for name in bundles(version)]


def entry(bundle: Json, kind: str) -> Json:
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)


def extension(element: Json, name: str) -> Any:
    found = [e for e in element.get("extension", []) if e["url"] == f"{PAS}extension-{name}"]
    return next((value for e in found for key, value in e.items() if key != "url"), None)


def code(concept: Json) -> tuple[str, str]:
    return concept["coding"][0]["system"], concept["coding"][0]["code"]


@pytest.mark.parametrize(("name", "version"), ALL)
def test_our_messages_are_the_golden_ones(name: str, version: Version) -> None:
    assert bundles(version)[name] == json.loads((GOLDEN / f"{name}-{version}.json").read_text())


@pytest.mark.parametrize(("name", "version"), ALL)
def test_a_strict_payer_takes_every_message(name: str, version: Version) -> None:
    found = check_bundle(bundles(version)[name], inquiry="inquiry" in name, is_2_2=version == "2.2.1").found
    assert found == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_request_is_the_same_bytes_and_another_attempt_shares_no_id(version: Version) -> None:
    first = encode(submit_bundle(request(full_order()), PRACTICE, PAYER, version, CONTENTS))
    again = encode(submit_bundle(request(full_order()), PRACTICE, PAYER, version, dict(CONTENTS)))
    assert first == again
    other = submit_bundle(request(full_order(), attempt=2, trace="case-4f1b-1-ordering-2"), PRACTICE, PAYER, version)
    mine = {e["fullUrl"] for e in json.loads(first)["entry"]}
    assert mine.isdisjoint({e["fullUrl"] for e in other["entry"]})


def test_the_time_of_the_message_is_the_requests_in_utc() -> None:
    east = datetime(2026, 3, 2, 10, 0, tzinfo=UTC) + timedelta(milliseconds=7)
    bundle = submit_bundle(request(made_at=east), PRACTICE, PAYER, "2.2.1")
    assert bundle["timestamp"] == entry(bundle, "Claim")["created"] == "2026-03-02T10:00:00Z"


def test_everything_that_the_practice_knows_goes_along() -> None:
    bundle = submit_bundle(request(full_order()), PRACTICE, PAYER, "2.2.1", CONTENTS)
    claim = bundle["entry"][0]["resource"]
    assert claim["identifier"] == [{"system": "urn:trnorg:1990000001", "value": "case-4f1b-1-ordering-1"}]
    assert code(claim["priority"])[1] == "stat"
    assert code(extension(claim, "levelOfServiceCode")) == (X12_LEVEL, "U")
    assert [code(d["diagnosisCodeableConcept"])[1] for d in claim["diagnosis"]] == ["M54.16", "G56.01"]
    assert [code(member["role"])[1] for member in claim["careTeam"]] == ["DK", "SJ", "FA"]
    assert claim["supportingInfo"][-1]["valueString"] == "Progressive weakness of the right hand."
    first, second = claim["item"]
    assert (first["sequence"], second["sequence"]) == (1, 3)
    assert code(extension(first, "serviceItemRequestType")) == (X12_REQUEST, "HS")
    assert code(extension(first, "certificationType")) == (X12_CERTIFICATION, "I")
    assert extension(first, "itemTraceNumber")["value"] == "case-4f1b-1-ordering-1.1"
    assert extension(first, "requestedService")["reference"] == full_url("case-4f1b-1-ordering-1", "service 1")
    assert [code(m) for m in first["modifier"]] == [
        ("http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "RT"),
        ("http://www.ama-assn.org/go/cpt", "59"),
    ]
    assert code(first["productOrService"]) == ("http://www.ama-assn.org/go/cpt", "95910")
    assert code(second["productOrService"])[0].endswith("HCPCSReleaseCodeSets")
    assert (first["servicedDate"], second["servicedPeriod"]["end"]) == ("2026-03-20", "2026-04-20")
    assert (second["quantity"]["value"], second["quantity"]["code"]) == (6, "VS")
    assert code(first["locationCodeableConcept"])[1] == "11"
    assert first["informationSequence"] == [1]
    document = entry(bundle, "DocumentReference")
    assert base64.b64decode(document["content"][0]["attachment"]["data"]) == NOTE
    coverage = entry(bundle, "Coverage")
    assert [c["code"] for c in coverage["relationship"]["coding"]] == ["child", "19"]
    subscriber = next(e["resource"] for e in bundle["entry"] if e["fullUrl"] == coverage["subscriber"]["reference"])
    assert (subscriber["name"][0]["given"], subscriber["birthDate"]) == (["Alex"], "1945-01-02")
    patient = entry(bundle, "Patient")
    assert patient["address"][0]["postalCode"] == "62704-1234"
    assert patient["communication"][0]["language"]["coding"][0]["code"] == "es"
    assert {i["value"] for i in entry(bundle, "Organization")["identifier"]} == {"1345678902"}


def test_a_routine_request_of_the_subscriber_says_no_more_than_that() -> None:
    bundle = submit_bundle(request(order(documents=()), documents=()), PRACTICE, PAYER, "2.2.1")
    claim = entry(bundle, "Claim")
    assert "extension" not in claim
    assert [code(one["category"])[1] for one in claim["supportingInfo"]] == ["patientEvent"]
    assert code(claim["priority"])[1] == "normal"
    assert "subscriber" not in entry(bundle, "Coverage")


def test_a_referral_is_asked_for_as_specialty_care() -> None:
    claim = entry(submit_bundle(request(referral=True), PRACTICE, PAYER, "2.2.1"), "Claim")
    assert {code(extension(item, "serviceItemRequestType"))[1] for item in claim["item"]} == {"SC"}


def test_only_the_lines_and_documents_of_the_request_are_sent() -> None:
    bundle = submit_bundle(request(lines=(3,), documents=()), PRACTICE, PAYER, "2.2.1", {"f" * 64: b"another"})
    claim = entry(bundle, "Claim")
    assert [item["sequence"] for item in claim["item"]] == [3]
    assert "DocumentReference" not in {e["resource"]["resourceType"] for e in bundle["entry"]}
    assert b"95910" not in encode(bundle)
    with pytest.raises(Refused, match="document_missing"):
        submit_bundle(request(), PRACTICE, PAYER, "2.2.1", {})


def marks(claim: Json, name: str) -> dict[int, tuple[Any, bool]]:
    """What became of each piece of a Claim: its mark, and whether it was taken back."""
    return {one["sequence"]: (extension(one, "infoChanged"), "modifierExtension" in one) for one in claim[name]}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_update_says_of_every_part_what_became_of_it(version: Version) -> None:
    bundle = update_bundle(changed_request(), PRACTICE, PAYER, version, CONTENTS)
    update, *prior = (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Claim")
    assert bundle["entry"][0]["resource"] is update
    sent = submit_bundle(request(full_order()), PRACTICE, PAYER, version, CONTENTS)
    named = update["related"][0]["claim"]
    if version == "2.2.1":
        assert prior == [sent["entry"][0]["resource"]]
        assert named == {"reference": sent["entry"][0]["fullUrl"]}
    else:  # whose Bundle has one Claim
        assert prior == []
        assert named == {"identifier": sent["entry"][0]["resource"]["identifier"][0]}
    assert update["identifier"][0]["value"] == bundle["identifier"]["value"] == "case-4f1b-1-ordering-2"
    assert marks(update, "item") == {1: ("changed", False), 3: ("changed", True), 5: ("added", False)}
    assert marks(update, "supportingInfo") == {
        1: (None, False),
        2: ("changed", False),
        3: (None, False),
        4: ("added", False),
    }
    certified = [code(extension(item, "certificationType"))[1] for item in update["item"]]
    assert certified == ["S", "3", "I"]
    traces = [extension(item, "itemTraceNumber")["value"].rpartition("-")[2] for item in update["item"]]
    assert traces == ["1.1", "1.3", "2.5"]
    named = update if version == "2.2.1" else update["item"][0]
    assert extension(named, "administrationReferenceNumber") == "PEND-1"


def test_an_update_shares_what_is_the_same_and_brings_each_resource_once() -> None:
    bundle = update_bundle(changed_request(), PRACTICE, PAYER, "2.2.1", CONTENTS)
    urls = [e["fullUrl"] for e in bundle["entry"]]
    assert len(urls) == len(set(urls))
    kinds = [e["resource"]["resourceType"] for e in bundle["entry"]]
    assert (kinds.count("Patient"), kinds.count("Coverage"), kinds.count("DocumentReference")) == (2, 1, 1)
    sent = submit_bundle(request(full_order()), PRACTICE, PAYER, "2.2.1", CONTENTS)
    assert {e["fullUrl"] for e in sent["entry"]} <= set(urls)


def test_what_did_not_change_is_not_marked_and_what_all_rest_on_marks_all() -> None:
    prior = request(full_order())
    later = {"trace": "case-4f1b-1-ordering-2", "attempt": 2, "prior": prior}
    same = update_bundle(prior.model_copy(update=later), PRACTICE, PAYER, "2.2.1", CONTENTS)["entry"][0]["resource"]
    assert set(marks(same, "item").values()) == set(marks(same, "supportingInfo").values()) == {(None, False)}
    known = prior.order.model_copy(update={"diagnoses": ("M54.17",)})
    other = update_bundle(prior.model_copy(update={**later, "order": known}), PRACTICE, PAYER, "2.2.1", CONTENTS)[
        "entry"
    ][0]["resource"]
    assert set(marks(other, "item").values()) == {("changed", False)}
    calm = prior.order.model_copy(update={"urgency": Urgency.ROUTINE, "urgency_attestation": None})
    slow = update_bundle(
        prior.model_copy(update={**later, "order": calm, "documents": ()}), PRACTICE, PAYER, "2.2.1", CONTENTS
    )["entry"][0]["resource"]
    assert marks(slow, "supportingInfo") == {1: (None, False), 2: (None, False), 3: ("changed", True)}
    with pytest.raises(ValueError, match="takes the place of"):
        update_bundle(prior, PRACTICE, PAYER, "2.2.1", CONTENTS)


def test_an_answered_form_goes_inline_as_what_it_is() -> None:
    bundle = submit_bundle(request(documents=(FORM_REF,)), PRACTICE, PAYER, "2.2.1", CONTENTS)
    form = entry(bundle, "QuestionnaireResponse")
    urls = {e["fullUrl"]: e["resource"]["resourceType"] for e in bundle["entry"]}
    assert urls[form["subject"]["reference"]] == "Patient"
    assert urls[form["author"]["reference"]] == "PractitionerRole"
    said = entry(bundle, "Claim")["supportingInfo"][0]
    assert urls[said["valueReference"]["reference"]] == "QuestionnaireResponse"


def test_the_payers_own_word_and_its_address_go_along_where_they_are_known() -> None:
    bundle = submit_bundle(request(assertion="CRD-77"), PRACTICE, _ADDRESSED, "2.2.1", CONTENTS)
    (information,) = entry(bundle, "ServiceRequest")["extension"]
    assert information["extension"][-1] == {"url": "coverage-assertion-id", "valueString": "CRD-77"}
    parts = entry(bundle, "Claim")["extension"][0]["extension"]
    assert [part["valueString"] for part in parts] == ["LAKESIDE01", "MERIDIAN01"] * 2
    older = submit_bundle(request(), PRACTICE, _ADDRESSED, "2.0.1", CONTENTS)
    assert b"TransmissionIdentifiers" not in encode(older)


def test_the_older_version_knows_no_document_information() -> None:
    newer, older = (submit_bundle(request(), PRACTICE, PAYER, version, CONTENTS) for version in VERSIONS)
    assert b"documentInformation" in encode(newer)
    assert b"documentInformation" not in encode(older)
    assert b"profile-documentreference" not in encode(older)


def test_a_cancel_names_the_request_cancels_every_line_and_carries_what_was_sent() -> None:
    sent = submit_bundle(request(full_order()), PRACTICE, PAYER, "2.2.1", CONTENTS)
    bundle = cancel_bundle(request(full_order()), PRACTICE, PAYER, "2.2.1", NUMBERS, CONTENTS)
    update, prior = (e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Claim")
    assert bundle["entry"][0]["resource"] is update
    assert prior == sent["entry"][0]["resource"]
    assert update["related"][0]["claim"]["reference"] == sent["entry"][0]["fullUrl"]
    assert update["status"] == "active"
    assert code(extension(update, "certificationType"))[1] == "3"
    assert extension(update, "administrationReferenceNumber") == "PEND-2"
    assert extension(update, "authorizationNumber") == "AUTH-1"
    for item in update["item"]:
        assert code(extension(item, "certificationType"))[1] == "3"
        assert item["modifierExtension"][0]["valueBoolean"] is True
    assert bundle["identifier"]["value"] != sent["identifier"]["value"]


def test_an_inquiry_has_its_own_identifier_and_goes_by_number_where_there_is_one() -> None:
    by_service = entry(inquiry_bundle(request(), PRACTICE, PAYER, "2.2.1"), "Claim")
    by_number = entry(inquiry_bundle(request(), PRACTICE, PAYER, "2.2.1", NUMBERS), "Claim")
    assert [code(item["productOrService"])[1] for item in by_service["item"]] == ["95910", "G0283"]
    assert "item" not in by_number
    assert extension(by_number, "authorizationNumber") == "AUTH-1"
    assert len({c["identifier"][0]["value"] for c in (by_service, by_number)} | {request().trace}) == 3
    older = entry(inquiry_bundle(request(), PRACTICE, PAYER, "2.0.1", NUMBERS), "Claim")
    assert code(older["item"][0]["productOrService"])[1] == "not-applicable"
    assert extension(older["item"][0], "authorizationNumber") == "AUTH-1"


def test_a_payers_id_is_called_an_npi_only_where_it_can_be_one() -> None:
    def systems(identifier: str) -> set[str]:
        payer = PAYER.model_copy(update={"identifier": identifier})
        claim = entry(submit_bundle(request(), PRACTICE, payer, "2.2.1"), "Organization")
        return {i["system"] for i in claim["identifier"]}

    assert {len(systems(identifier)) for identifier in ("1345678903", "SUMMA")} == {1}
    assert "http://hl7.org/fhir/sid/us-npi" in systems("1345678902")


def test_a_subscription_filters_by_the_name_that_the_payer_uses() -> None:
    made = subscription("https://vigil.example/callbacks/pas", "1990000001", "orgIdentifier", "s3cret")
    assert made["_criteria"]["extension"][0]["valueString"] == "orgIdentifier=1990000001"
    assert made["channel"]["_payload"]["extension"][0]["valueCode"] == "full-resource"
    assert made["channel"]["header"] == ["X-Webhook-Secret: s3cret"]


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / "attachment.json").write_text(json.dumps(attachment(), indent=2, ensure_ascii=False) + "\n")
    for _version in VERSIONS:
        for _name, _bundle in bundles(_version).items():
            (GOLDEN / f"{_name}-{_version}.json").write_text(json.dumps(_bundle, indent=2, ensure_ascii=False) + "\n")
