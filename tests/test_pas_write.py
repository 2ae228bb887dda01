"""What we send: the same bytes for the same request, as the profiles want it, with everything that the practice knows.

The golden files are our own Bundles, to be read by people; `python -m tests.test_pas_write` writes them anew.
"""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.pas.identity import full_url
from connectors.pas.subscription import subscription
from connectors.pas.words import PAS, X12_CERTIFICATION, X12_LEVEL, X12_REQUEST
from connectors.pas.write import Message, Version, cancel_bundle, encode, inquiry_bundle, preview, submit_bundle
from domain.decision import Number, NumberType
from sandbox.pas_check import check_bundle
from tests.pas_requests import NOTE, NOTE_REF, PAYER, PRACTICE, full_order, order, request

Json = dict[str, Any]
GOLDEN = Path(__file__).resolve().parent / "golden" / "pas"
CONTENTS = {NOTE_REF.id: NOTE}
VERSIONS: tuple[Version, ...] = ("2.2.1", "2.0.1")
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
        "cancel": cancel_bundle(asked, PRACTICE, PAYER, version, NUMBERS, CONTENTS),
    }


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
    assert "supportingInfo" not in claim
    assert code(claim["priority"])[1] == "normal"
    assert "subscriber" not in entry(bundle, "Coverage")


def test_a_referral_is_asked_for_as_specialty_care() -> None:
    claim = entry(submit_bundle(request(referral=True), PRACTICE, PAYER, "2.2.1"), "Claim")
    assert {code(extension(item, "serviceItemRequestType"))[1] for item in claim["item"]} == {"SC"}


def test_only_the_lines_and_documents_of_the_request_are_sent() -> None:
    bundle = submit_bundle(request(lines=(3,)), PRACTICE, PAYER, "2.2.1", {"f" * 64: b"another"})
    claim = entry(bundle, "Claim")
    assert [item["sequence"] for item in claim["item"]] == [3]
    assert "supportingInfo" not in claim
    assert b"95910" not in encode(bundle)


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


@pytest.mark.parametrize("message", ["submit", "inquiry", "cancel"])
def test_a_preview_is_what_would_be_sent(message: Message) -> None:
    made: dict[str, Callable[[], Json]] = {
        "submit": lambda: submit_bundle(request(), PRACTICE, PAYER, "2.2.1", CONTENTS),
        "inquiry": lambda: inquiry_bundle(request(), PRACTICE, PAYER, "2.2.1"),
        "cancel": lambda: cancel_bundle(request(), PRACTICE, PAYER, "2.2.1", (), CONTENTS),
    }
    assert preview(request(), PRACTICE, PAYER, "2.2.1", message, CONTENTS) == made[message]()


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
    for _version in VERSIONS:
        for _name, _bundle in bundles(_version).items():
            (GOLDEN / f"{_name}-{_version}.json").write_text(json.dumps(_bundle, indent=2, ensure_ascii=False) + "\n")
