"""Reading payers' answers: the guide's own examples, what real payers do beside it, and nothing that ever approves."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.codes import OUTCOMES
from connectors.ours import Ours
from connectors.pas.identity import full_url
from connectors.pas.read import read_answer, read_answers, read_notification
from connectors.pas.words import ACTION_SYSTEMS, PAS, X12_ACTION, X12_REASON
from domain.decision import Decision, NumberType, Outcome, Result

Json = dict[str, Any]
CERT, ADMIN = NumberType.CERTIFICATION, NumberType.ADMINISTRATIVE
OURS = Ours(
    trace="T-1",
    names=frozenset({"T-1", "T-1.1", full_url("T-1", "claim")}),
    member_id="M100",
    lines={1: "95910", 3: "72131"},
)


def ext(name: str, **value: object) -> Json:
    return {"url": f"{PAS}extension-{name}", **value}


def adjudication(code: str | None, *, number: str | None = None, reasons: tuple[str, ...] = (), **more: Any) -> Json:
    parts: list[Json] = [{"url": "number", "valueString": number}] if number else []
    parts += [
        {"url": "reasonCode", "valueCodeableConcept": {"coding": [{"system": X12_REASON, "code": r}]}} for r in reasons
    ]
    if code is not None:
        coding = {"system": more.pop("system", X12_ACTION), "code": code}
        parts.append(ext("reviewActionCode", valueCodeableConcept={"coding": [coding]}))
    return {"extension": [ext("reviewAction", extension=parts)], **more}


def item(sequence: int, code: str | None, *extensions: Json, **more: Any) -> Json:
    made: Json = {"itemSequence": sequence, "adjudication": [adjudication(code, **more)]}
    return made | ({"extension": list(extensions)} if extensions else {})


def answer(*items: Json, **more: Any) -> Json:
    return {
        "resourceType": "ClaimResponse",
        "status": "active",
        "use": "preauthorization",
        "outcome": "complete",
        "identifier": [{"system": "urn:trnorg:1", "value": "T-1"}],
        "created": "2026-03-02T15:00:00Z",
        "item": list(items),
    } | more


def bundle(*resources: Json) -> Json:
    entries = [{"fullUrl": f"urn:uuid:{n}", "resource": r} for n, r in enumerate(resources)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def read(resource: Json, ours: Ours | None = OURS, status: int = 200) -> Decision:
    return read_answer(json.dumps(resource).encode(), "application/fhir+json", status, ours)


def brief(decision: Decision) -> list[tuple[int, str, str | None]]:
    return [(line.line, line.decision.value, line.code) for line in decision.lines]


# What the guide's examples say, read by eye. ErrorResponseBundleExample of 2.0.1 holds an A1 in spite of its name.
EXAMPLES: dict[str, tuple[str, list[tuple[int, str]], list[tuple[str, str]]]] = {
    "ig-2.2.1/Bundle-ErrorResponseBundleExample": ("rejected", [], []),
    "ig-2.2.1/Bundle-PASClaimInquiryResponseBundleExample": (
        "decided",
        [(1, "approved")],
        [("certification", "AUTH0001")],
    ),
    "ig-2.2.1/Bundle-PASSubscriptionNotification": ("decided", [(1, "approved")], [("certification", "AUTH0001")]),
    "ig-2.2.1/Bundle-ReferralAuthorizationResponseBundleExample": (
        "decided",
        [(1, "approved")],
        [("certification", "AUTH0001")],
    ),
    "ig-2.2.1/Bundle-ReferralPendingAuthorizationResponseBundleExample": (
        "decided",
        [(1, "pended")],
        [("administrative", "PEND0001")],
    ),
    "ig-2.2.1/Bundle-RejectionResponseBundleExample": ("decided", [(1, "denied")], []),
    "ig-2.2.1/ClaimResponse-PractitionerRequestorAdditionalContentResponseExample": (
        "decided",
        [(1, "approved"), (0, "approved")],
        [("certification", "AUTH0001")],
    ),
    "ig-2.2.1/OperationOutcome-InvalidRequestResponse": ("unreadable", [], []),
    "ig-2.2.1/Parameters-PASClaimInquiryOperationResponseExample": (
        "decided",
        [(1, "approved")],
        [("certification", "AUTH0001")],
    ),
    "ig-2.2.1/Parameters-SubscriptionNotificationParameters": ("unreadable", [], []),
    "ig-2.0.1/Bundle-ErrorResponseBundleExample": ("decided", [(1, "approved")], [("certification", "AUTH0001")]),
    "ig-2.0.1/Bundle-PASClaimInquiryResponseBundleExample": (
        "decided",
        [(1, "approved")],
        [("certification", "AUTH0001")],
    ),
    "ig-2.0.1/Bundle-ReferralAuthorizationResponseBundleExample": (
        "decided",
        [(1, "approved")],
        [("certification", "AUTH0001")],
    ),
}


def test_every_example_of_the_guide_is_read_as_it_says(shared: Path) -> None:
    folder = shared / "fixtures/pas/examples"
    seen = set()
    for file in sorted(folder.glob("ig-*/*.json")):
        name = f"{file.parent.name}/{file.stem}"
        decision = read_answer(file.read_bytes(), None, 200)
        result, lines, numbers = EXAMPLES.get(name, ("unreadable", [], []))
        assert decision.result == result, name
        assert [(line.line, line.decision) for line in decision.lines] == lines, name
        assert [(n.type, n.value) for n in decision.all_numbers] == numbers, name
        if lines:
            assert decision.trace == "111099", name
        seen.add(name)
    assert set(EXAMPLES) <= seen


def test_the_details_of_the_guides_approval_and_error_are_read(shared: Path) -> None:
    folder = shared / "fixtures/pas/examples/ig-2.2.1"
    approved = read_answer((folder / "Bundle-ReferralAuthorizationResponseBundleExample.json").read_bytes(), None, 200)
    line = approved.lines[0]
    assert (str(line.valid_from), str(line.valid_to), line.units) == ("2005-05-02", "2005-06-02", 1)
    assert str(approved.received) == "2005-05-02"
    wrong = read_answer((folder / "Bundle-ErrorResponseBundleExample.json").read_bytes(), None, 200)
    assert [(e.code, e.follow_up) for e in wrong.errors] == [("04", None), ("T4", "C")]
    assert "2010A-NM103" in (wrong.errors[1].where or "")
    outcome = (folder / "OperationOutcome-InvalidRequestResponse.json").read_bytes()
    assert read_answer(outcome, None, 400).result is Result.REJECTED
    inquired = read_answer((folder / "Parameters-PASClaimInquiryOperationResponseExample.json").read_bytes(), None, 200)
    assert inquired.member_id == "1122334455"


def test_the_guides_notification_names_event_trace_and_payer(shared: Path) -> None:
    file = shared / "fixtures/pas/examples/ig-2.2.1/Bundle-PASSubscriptionNotification.json"
    said = read_notification(file.read_bytes())
    assert (said.type, said.event_number, said.trace) == ("event-notification", 2, "111099")
    assert said.payer_organization == "1234567893"
    assert said.names[0] == "111099"
    assert (said.focus or "").endswith("ReferralAuthorizationResponseBundleExample")
    assert said.decision is not None
    assert said.decision.lines[0].decision is Outcome.APPROVED


@pytest.mark.parametrize(("code", "outcome"), sorted(OUTCOMES.items()))
def test_every_action_code_keeps_its_meaning_and_its_letters(code: str, outcome: Outcome) -> None:
    line = read(answer(item(1, code, number="N1"), item(3, code, number="N1"))).lines[0]
    assert (line.decision, line.code) == (outcome, code)
    authorizes = outcome in {Outcome.APPROVED, Outcome.PARTLY_APPROVED, Outcome.MODIFIED}
    assert [n.type for n in line.numbers] == [CERT if authorizes else ADMIN]


@pytest.mark.parametrize("code", ["ZZ", "a1", " A1", "A1 ", "A11", "", "A1\u0000"])
def test_a_code_that_is_not_in_the_list_is_unknown_and_kept(code: str) -> None:
    line = read(answer(item(1, code))).lines[0]
    assert line.decision is Outcome.UNKNOWN
    assert (line.code or "") == code.replace("\u0000", "").strip()


def test_an_approval_in_another_code_system_approves_nothing() -> None:
    line = read(answer(item(1, "A1", system="http://payer.example/actions"))).lines[0]
    assert (line.decision, line.code) == (Outcome.UNKNOWN, "A1")


def test_two_decisions_for_one_line_that_differ_are_unknown() -> None:
    torn = item(1, "A1", number="N1")
    torn["adjudication"].append(adjudication("A3"))
    assert brief(read(answer(torn))) == [(1, "unknown", "A1/A3")]
    assert brief(read(answer(item(1, "A1"), item(1, "A3")))) == [(1, "unknown", "A1/A3")]


def test_a_modifier_that_is_not_known_makes_the_line_unknown_and_the_answer_unreadable() -> None:
    modified = item(1, "A1")
    modified["modifierExtension"] = [{"url": "http://payer.example/not", "valueBoolean": True}]
    assert read(answer(modified)).lines[0].decision is Outcome.UNKNOWN
    whole = answer(item(1, "A1"), modifierExtension=[{"url": "http://payer.example/not", "valueBoolean": True}])
    assert read(whole).result is Result.UNREADABLE


@pytest.mark.parametrize("change", [{"use": "predetermination"}, {"use": "claim"}, {"status": "entered-in-error"}])
def test_an_answer_that_is_no_authorization_or_was_taken_back_is_unreadable(change: Json) -> None:
    assert read(answer(item(1, "A1")) | change).result is Result.UNREADABLE


def test_the_outcome_and_the_http_status_decide_nothing() -> None:
    assert brief(read(answer(item(1, "A4"), outcome="complete"))) == [(1, "pended", "A4")]
    assert brief(read(answer(item(1, "A1"), outcome="queued"))) == [(1, "approved", "A1")]
    assert read(answer(outcome="complete")).result is Result.UNREADABLE
    assert read(answer(outcome="queued")).result is Result.UNREADABLE
    assert read(answer(item(1, "A1")), status=422).result is Result.UNREADABLE


def test_lines_are_decided_one_by_one_and_those_of_others_are_told_apart() -> None:
    decision = read(answer(item(3, "A1", number="N3"), item(1, "A3", reasons=("0F",)), item(7, "A1", number="N7")))
    assert brief(decision) == [(1, "denied", "A3"), (3, "approved", "A1"), (0, "approved", "A1")]
    assert [r.code for r in decision.lines[0].reasons] == ["0F"]


def test_a_line_that_an_update_takes_back_is_no_news_when_cancelled_and_news_when_not() -> None:
    updated = OURS.model_copy(update={"lines": {1: "95910"}, "taken_back": frozenset({3})})
    assert brief(read(answer(item(1, "A1"), item(3, "C")), updated)) == [(1, "approved", "A1")]
    assert brief(read(answer(item(1, "A1"), item(3, "A1")), updated)) == [(1, "approved", "A1"), (0, "approved", "A1")]


def test_the_decision_of_the_whole_holds_for_lines_that_have_none_of_their_own() -> None:
    whole = answer(item(1, "A3"), adjudication=[adjudication("A1", number="N1")])
    assert brief(read(whole)) == [(1, "denied", "A3"), (3, "approved", "A1")]
    silent: Json = {"itemSequence": 1, "adjudication": [{"category": {}}]}
    assert brief(read(answer(silent, adjudication=[adjudication("A4")]))) == [(1, "pended", "A4"), (3, "pended", "A4")]
    assert brief(read(answer(adjudication=[adjudication("A4")]), ours=None)) == [(0, "pended", "A4")]


def test_numbers_are_typed_by_what_was_decided() -> None:
    pended = answer(item(1, "A4", ext("administrationReferenceNumber", valueString="PEND1"), number="N9"))
    decision = read(pended | {"preAuthRef": "REF9"})
    assert {(n.type, n.value) for n in decision.all_numbers} == {(ADMIN, "N9"), (ADMIN, "PEND1"), (ADMIN, "REF9")}
    only_reference = read(answer(item(1, "A1"), item(3, "A1"), preAuthRef="REF9"))
    assert [(n.type, n.value) for n in only_reference.numbers] == [(CERT, "REF9")]
    still_open = read(answer(item(1, "A1"), item(3, "A4"), preAuthRef="REF9"))
    assert [(n.type, n.value) for n in still_open.numbers] == [(ADMIN, "REF9")]
    earlier = read(answer(item(1, "A1", ext("authorizationNumber", valueString="OLD"), number="NEW")))
    assert [(n.type, n.value) for n in earlier.lines[0].numbers] == [(CERT, "NEW"), (ADMIN, "OLD")]
    instead = read(answer(item(1, "A1", ext("authorizationNumber", valueString="ONLY"))))
    assert [(n.type, n.value) for n in instead.lines[0].numbers] == [(CERT, "ONLY")]
    denied = read(answer(item(1, "A3", ext("authorizationNumber", valueString="X1"))))
    assert [n.type for n in denied.lines[0].numbers] == [ADMIN]


def test_validity_is_the_lines_own_before_the_answers_and_only_of_what_is_authorized() -> None:
    own = ext("itemPreAuthPeriod", valuePeriod={"start": "2026-03-02", "end": "2026-05-31T23:59:59Z"})
    decision = read(answer(item(1, "A1", own), item(3, "A1"), preAuthPeriod={"start": "2026-03-05"}))
    assert [(str(line.valid_from), str(line.valid_to)) for line in decision.lines] == [
        ("2026-03-02", "2026-05-31"),
        ("2026-03-05", "None"),
    ]
    backwards = ext("itemPreAuthPeriod", valuePeriod={"start": "2026-03-02", "end": "2026-03-01"})
    assert read(answer(item(1, "A1", backwards))).lines[0].valid_from is None
    assert read(answer(item(1, "A3", own))).lines[0].valid_to is None


def added(code: str | None, *sequences: int, units: float = 1, service: str = "95910", number: str = "N2") -> Json:
    return {
        "itemSequence": list(sequences),
        "productOrService": {"coding": [{"code": service}]},
        "quantity": {"value": units},
        "servicedPeriod": {"start": "2026-03-02", "end": "2026-04-30"},
        "adjudication": [adjudication(code, number=number)] if code else [],
    }


def test_a_modified_line_says_what_was_authorized_in_its_place() -> None:
    decision = read(answer(item(1, "A6"), addItem=[added("A6", 1, units=1.0, service="95909")]))
    line = decision.lines[0]
    assert (line.decision, line.units, line.procedure) == (Outcome.MODIFIED, 1, "95909")
    assert [(n.type, n.value) for n in line.numbers] == [(CERT, "N2")]
    assert str(line.valid_to) == "2026-04-30"
    same = read(answer(item(1, "A6", number="N1"), addItem=[added("A1", 1)])).lines[0]
    assert (same.decision, same.procedure) == (Outcome.MODIFIED, None)


def test_a_denied_line_with_something_else_in_its_place_is_modified() -> None:
    decision = read(answer(item(1, "A3", reasons=("0F",)), addItem=[added("A1", 1, service="95908")]))
    assert brief(decision) == [(1, "modified", "A3")]
    assert decision.lines[0].numbers[0].type is CERT
    assert decision.notes


def test_what_the_payer_adds_unasked_is_none_of_our_lines() -> None:
    decision = read(answer(item(1, "A1", number="N1"), addItem=[added("A1", 9), added("A1")]))
    assert brief(decision) == [(1, "approved", "A1"), (0, "approved", "A1"), (0, "approved", "A1")]
    assert brief(read(answer(addItem=[added("A1", 3)]))) == [(3, "modified", "A1")]
    assert brief(read(answer(item(1, "A3"), addItem=[added("A3", 1)])))[0] == (1, "denied", "A3")


def test_notes_go_to_the_lines_that_name_them_and_general_ones_to_all() -> None:
    noted = item(1, "A3", reasons=("0F",)) | {"noteNumber": [2]}
    decision = read(
        answer(noted, item(3, "A1"), processNote=[{"number": 1, "text": "To all."}, {"number": 2, "text": "To one."}])
    )
    said = {line.line: [r.text for r in line.reasons if not r.code] for line in decision.lines}
    assert said == {1: ["To one.", "To all."], 3: ["To all."]}


def test_an_error_beside_decided_lines_is_kept_and_alone_it_rejects() -> None:
    error = {"code": {"coding": [{"code": "15"}]}, "extension": [ext("errorPath", valueString="Claim.item")]}
    both = read(answer(item(1, "A1"), error=[error]))
    assert (both.result, both.errors[0].code) == (Result.DECIDED, "15")
    alone = read(answer(error=[error], outcome="complete"))
    assert (alone.result, alone.errors[0].where) == (Result.REJECTED, "Claim.item")
    unknown = read(answer(error=[{"code": {"coding": [{"code": "AA"}]}}], outcome="error"))
    assert unknown.result is Result.NOT_FOUND


def ask(*payloads: Json, **more: Any) -> Json:
    return {"resourceType": "CommunicationRequest", "id": "c", "status": "active", "payload": list(payloads)} | more


def test_information_that_the_payer_wants_is_read_with_its_number_and_line() -> None:
    wanted = ask(
        {"contentString": "34109-9"},
        category=[{"coding": [{"system": "https://codesystem.x12.org/005010/755", "code": "PN"}]}],
        identifier=[{"value": "ACN-1"}],
        extension=[ext("serviceLineNumber", valuePositiveInt=3)],
        occurrencePeriod={"end": "2026-03-20"},
    )
    pended = answer(item(1, "A4"), item(3, "A4", reasons=("0U",)), communicationRequest=[{"reference": "urn:uuid:1"}])
    decision = read(bundle(pended, wanted))
    (only,) = decision.asks
    assert [r.code for r in only.what] == ["PN", "34109-9"]
    assert (only.control_number, only.line, str(only.due)) == ("ACN-1", 3, "2026-03-20")


def test_a_questionnaire_is_tied_to_the_trace_of_its_line() -> None:
    wanted = ask({"contentString": "102089-0", "extension": [ext("serviceLineNumber", valuePositiveInt=1)]})
    traced = item(1, "A4", ext("itemTraceNumber", valueIdentifier={"value": "T-1.1"}), reasons=("0U",))
    decision = read(bundle(answer(traced, communicationRequest=[{"reference": "CommunicationRequest/c"}]), wanted))
    (only,) = decision.asks
    assert (only.context, only.line, only.control_number) == ("T-1.1", 1, None)
    assert "questionnaire" in (only.what[0].text or "")


def test_a_form_and_documents_are_asked_for_apart_and_a_kind_of_report_may_stand_alone() -> None:
    both = ask(
        {"contentString": "102089-0"},
        {"contentString": "11506-3"},
        category=[{"coding": [{"system": "https://codesystem.x12.org/005010/755", "code": "09"}]}],
        identifier=[{"value": "ACN-1"}],
        extension=[ext("serviceLineNumber", valuePositiveInt=3)],
    )
    report = ask(category=[{"coding": [{"system": "https://codesystem.x12.org/005010/755", "code": "DG"}]}], id="d")
    traced = item(3, "A4", ext("itemTraceNumber", valueIdentifier={"value": "T-1.3"}))
    asked = [{"reference": "urn:uuid:1"}, {"reference": "urn:uuid:2"}]
    asks = read(bundle(answer(traced, communicationRequest=asked), both, report)).asks
    assert [([r.code for r in one.what], one.context, one.control_number) for one in asks] == [
        (["102089-0"], "T-1.3", "ACN-1"),
        (["09", "11506-3"], None, "ACN-1"),
        (["DG"], None, None),
    ]


def test_the_guides_request_for_documents_is_read(shared: Path) -> None:
    file = shared / "fixtures/pas/examples/ig-2.2.1/CommunicationRequest-CommunicationRequestExample.json"
    asked = json.loads(file.read_text())
    pended = answer(
        item(1, "A4"), communicationRequest=[{"reference": "CommunicationRequest/CommunicationRequestExample"}]
    )
    (only,) = read(bundle(pended, asked)).asks
    assert [reason.code for reason in only.what] == ["15", "18776-5", "18804-5"]
    assert (only.line, only.control_number) == (1, "12345678901")


def test_a_pend_for_information_without_saying_which_is_an_ask_all_the_same_but_not_in_an_inquiry() -> None:
    pended = answer(item(1, "A4", reasons=("0U",)))
    assert [(a.line, a.what[0].code) for a in read(pended).asks] == [(1, "0U")]
    (inquired,) = read_answers(json.dumps(pended).encode(), None, 200, OURS, inquiry=True)
    assert inquired.asks == ()
    dangling = read(answer(item(1, "A4"), communicationRequest=[{"reference": "CommunicationRequest/gone"}]))
    assert len(dangling.asks) == 1


def test_an_inquiry_finds_nothing_one_or_ours_among_several() -> None:
    empty = {"resourceType": "Parameters"}
    assert read(empty).result is Result.NOT_FOUND
    other = answer(item(1, "A1"), identifier=[{"value": "T-2"}])
    several = {
        "resourceType": "Parameters",
        "parameter": [{"resource": bundle(a)} for a in (other, answer(item(1, "A3")))],
    }
    assert brief(read(several)) == [(1, "denied", "A3")]
    assert read(several, ours=None).result is Result.UNREADABLE
    merged = bundle(other, answer(item(1, "A3")))
    assert brief(read(merged)) == [(1, "denied", "A3")]
    only_other = {"resourceType": "Parameters", "parameter": [{"resource": bundle(other)}, {"resource": bundle(other)}]}
    assert read(only_other).result is Result.NOT_FOUND


def test_an_answer_is_ours_by_any_name_that_we_gave_it() -> None:
    named = answer(item(1, "A1"), identifier=[{"value": "PAYER-7"}])
    assert read(named).trace == "PAYER-7"
    assert not OURS.answered_by(read(named))
    assert read(named | {"request": {"reference": full_url("T-1", "claim")}}).trace == "T-1"
    assert read(bundle(named) | {"identifier": {"value": "T-1"}}).trace == "T-1"
    copied = item(1, "A1", ext("itemTraceNumber", valueIdentifier={"value": "T-1.1"}))
    assert read(answer(copied, identifier=[{"value": "PAYER-7"}])).trace == "PAYER-7"
    assert read(answer(copied, identifier=[])).trace == "T-1"
    patient = {
        "resourceType": "Patient",
        "identifier": [
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
                "value": "M999",
            }
        ],
    }
    foreign = read(bundle(answer(item(1, "A1"), patient={"reference": "urn:uuid:1"}), patient))
    assert foreign.member_id == "M999"
    assert not OURS.answered_by(foreign)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\xef\xbb\xbf<html/>", "web page"),
        (b'{"resourceType": "ClaimResponse", "item": [', "breaks off"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"[1, 2]", "no object"),
        (b"null", "no object"),
        (b"NaN", "number"),
        (b'{"resourceType": "ClaimResponse", "a": 1, "a": 2}', "twice"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b'{"resourceType": "Patient"}', "Patient"),
        (b'{"resourceType": 7}', "no FHIR resource"),
        (b'{"resourceType": "Bundle", "entry": []}', "Bundle"),
        (b'{"x": "' + b"a" * (10 * 1024 * 1024) + b'"}', "larger than"),
    ],
)
def test_what_is_no_answer_is_unreadable_with_the_reason(body: bytes, said: str) -> None:
    decision = read_answer(body, "text/html", 200, OURS)
    assert decision.result is Result.UNREADABLE
    assert said in decision.notes[0]
    assert read_notification(body).decisions == ()


def test_a_refusal_of_the_message_rejects_only_with_a_4xx() -> None:
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": "error", "code": "invalid", "details": {"text": "No."}, "expression": ["Claim.item"]},
            {"severity": "information", "code": "informational"},
        ],
    }
    rejected = read(outcome, status=422)
    assert (rejected.result, [(e.text, e.where) for e in rejected.errors]) == (Result.REJECTED, [("No.", "Claim.item")])
    assert read(outcome, status=200).result is Result.UNREADABLE
    assert read(outcome, status=200).errors == rejected.errors
    assert read({"resourceType": "OperationOutcome", "issue": []}, status=400).result is Result.UNREADABLE


def notice(kind: str, *resources: Json, number: object = "4") -> Json:
    event = {"name": "notification-event", "part": [{"name": "event-number", "valueString": number}]}
    status = {"resourceType": "Parameters", "parameter": [{"name": "type", "valueCode": kind}, event]}
    return bundle(status, *resources) | {"type": "history"}


def test_callbacks_of_every_kind() -> None:
    def told(resource: Json) -> Any:
        return read_notification(json.dumps(resource).encode())

    assert told(notice("handshake")).type == "handshake"
    assert told(notice("heartbeat")).decisions == ()
    full = told(notice("event-notification", bundle(answer(item(1, "A1")))))
    assert (full.event_number, full.trace, brief(full.decision)) == (4, "T-1", [(1, "approved", "A1")])
    ids_only = told(notice("event-notification"))
    assert (ids_only.type, ids_only.decision) == ("event-notification", None)
    bare = told(answer(item(1, "A4")))
    assert (bare.type, bare.event_number, brief(bare.decision)) == ("event-notification", None, [(1, "pended", "A4")])
    two = told(notice("event-notification", bundle(answer(item(1, "A1"))), bundle(answer(item(1, "A3")))))
    assert (two.decision, len(two.decisions)) == (None, 2)
    assert told(notice("surprise")).type == "unreadable"
    assert told(notice("handshake", number={"x": 1})).event_number is None
    assert told({"resourceType": "Patient"}).type == "unreadable"


def test_a_decision_is_json_for_people() -> None:
    text = read(answer(item(1, "A1", number="N1"))).model_dump(mode="json", exclude_none=True)
    assert text["lines"][0] == {
        "line": 1,
        "decision": "approved",
        "code": "A1",
        "numbers": [{"type": "certification", "value": "N1"}],
        "reasons": [],
    }


# --- mutations: whatever is broken in an answer, it never approves more than it did --------------------------------

SEEDS: list[Json] = [
    bundle(answer(item(1, code, number="N1", reasons=("0F",)), item(3, "A4"), adjudication=[adjudication("A4")]))
    for code in ("A1", "A3", "A4", "ZZ")
]
SEEDS.append(bundle(answer(item(1, "A6"), addItem=[added("A3", 1)], error=[{"code": {"coding": [{"code": "15"}]}}])))
SEEDS.append({"resourceType": "Parameters", "parameter": [{"resource": bundle(answer(item(1, "A3")))}]})
SEEDS.append(notice("event-notification", bundle(answer(item(1, "A4"), item(3, "CT")))))
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**400, 1e308, "", "x", "A9", "\ud800", "a" * 5000, [], {}, [[]], [None], {"coding": 5}]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path, *(p for key, part in inner for p in places(part, (*path, key)))] if path or inner else [path]


def change(document: Any, path: tuple[Any, ...], new: Callable[[Any], Any]) -> Any:
    if not path:
        return new(document)
    document[path[0]] = change(document[path[0]], path[1:], new)
    return document


def approvals(decision: Decision) -> set[int]:
    return {line.line for line in decision.lines if line.decision.permits}


def put(new: object) -> Callable[[Any], Any]:
    return lambda _: copy.deepcopy(new)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_broken_answers_never_crash_and_never_approve(data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS))
    mutant = copy.deepcopy(seed)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(mutant)))
        kind = data.draw(st.sampled_from(["junk", "repeat", "wrap"]))
        junk = data.draw(JUNK)
        mutations: dict[str, Callable[[Any], Any]] = {
            "junk": put(junk),
            "repeat": lambda old: [copy.deepcopy(old), old],
            "wrap": lambda old: {"resource": old},
        }
        mutant = change(mutant, path, mutations[kind])
    raw = json.dumps(mutant).encode()
    cut = data.draw(st.integers(0, len(raw)) | st.just(len(raw)))
    for body in (raw, raw[:cut]):
        for ours in (OURS, None):
            decision = read_answer(body, "application/fhir+json", 200, ours)
            before = read(seed, ours)
            assert approvals(decision) <= approvals(before)
            assert decision.model_dump_json()
            for line in decision.lines:
                assert line.decision is not Outcome.PENDED or all(n.type is not CERT for n in line.numbers)
        assert read_notification(body).model_dump_json()


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["resourceType", "item", "entry", "resource", "extension", "url", "adjudication", "parameter"]
                ),
                inner,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_read_without_an_approval(value: Any) -> None:
    decision = read_answer(json.dumps({"resourceType": "ClaimResponse", "item": value}).encode(), None, 200)
    assert not approvals(decision)


def test_the_spellings_of_the_action_system_include_the_guides() -> None:
    assert X12_ACTION in ACTION_SYSTEMS
