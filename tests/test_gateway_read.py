"""Reading what the gateway answers: the shared examples, what gateways do beside them, and nothing that ever approves."""

import copy
import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.codes import AUTHORIZES, OUTCOMES
from connectors.gateway.read import read_answers
from connectors.ours import Ours
from domain.decision import Decision, Ending, Number, NumberType, Outcome, Result

Json = dict[str, Any]
CERT, ADMIN, CARRIER = NumberType.CERTIFICATION, NumberType.ADMINISTRATIVE, NumberType.TRANSACTION
OURS = Ours(trace="T-1", names=frozenset({"T-1", "SR1"}), member_id="M100", lines={1: "95910", 3: "72131"})
PERMITS = AUTHORIZES | {Outcome.NOT_REQUIRED}


def procedure(code: str, status: str | None = None, **more: Any) -> Json:
    return {"code": code, "qualifierCode": "HC", **({"statusCode": status} if status else {}), **more}


def review(*procedures: Json, **more: Any) -> Json:
    return {
        "id": "SR1",
        "subscriber": {"memberId": "M100"},
        "providerNotes": [{"message": "Trace number T-1"}],
        "procedures": list(procedures) or [procedure("95910"), procedure("72131")],
    } | more


def read(body: Any, status: int = 200, ours: Ours | None = OURS, **more: Any) -> Decision:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    (decision,) = read_answers(raw, "application/json", status, ours, **more)
    return decision


def outcomes(decision: Decision) -> dict[int, str]:
    return {line.line: line.decision.value for line in decision.lines}


@pytest.mark.parametrize(("code", "meaning"), sorted(OUTCOMES.items()))
def test_the_status_of_the_whole_is_said_of_every_procedure_that_says_nothing_itself(code: str, meaning: str) -> None:
    decision = read(review(statusCode=code))
    assert decision.result is Result.DECIDED
    assert outcomes(decision) == {1: meaning, 3: meaning}
    assert {line.code for line in decision.lines} == {code}


def test_the_procedure_wins_over_the_whole() -> None:
    decision = read(review(procedure("95910", "A1"), procedure("72131", "A3"), statusCode="A4"))
    assert outcomes(decision) == {1: "approved", 3: "denied"}


def test_a_code_that_is_not_in_the_map_is_unknown_and_kept_with_its_words() -> None:
    decision = read(review(statusCode="ZZ", status="Under way", certificationNumber="AUTH1"))
    assert outcomes(decision) == {1: "unknown", 3: "unknown"}
    assert decision.lines[0].code == "ZZ"
    assert decision.lines[0].reasons[0].text == "Under way"
    assert {number.type for number in decision.all_numbers} == {ADMIN, CARRIER}


def test_the_map_is_the_channels_own() -> None:
    body = review(procedure("95910", "4"), procedure("72131", "A1"))
    mapped = read(body, statuses={"4": Outcome.APPROVED})
    assert outcomes(mapped) == {1: "approved", 3: "unknown"}


@pytest.mark.parametrize("code", ["A1 ", "a1", "A1\n", "A1/A3", "approved", "A\u00001"])
def test_a_code_that_only_looks_like_an_approval_is_unknown(code: str) -> None:
    assert outcomes(read(review(statusCode=code))) == {1: "unknown", 3: "unknown"}


def test_a_status_in_words_alone_is_no_approval() -> None:
    decision = read(review(status="Approved"))
    assert outcomes(decision) == {1: "unknown", 3: "unknown"}
    assert decision.lines[0].code == "Approved"


def test_numbers_are_good_for_what_was_decided() -> None:
    approved = read(
        review(
            procedure("95910", "A1", certificationNumber="AUTH1"),
            procedure("72131", "A3", certificationNumber="AUTH1"),
            certificationNumber="AUTH1",
            referenceNumber="REF1",
        )
    )
    assert approved.numbers == (
        Number(type=CERT, value="AUTH1"),
        Number(type=ADMIN, value="REF1"),
        Number(type=CARRIER, value="SR1"),
    )
    assert [number.type for line in approved.lines for number in line.numbers] == [CERT, ADMIN]
    pended = read(review(statusCode="A4", certificationNumber="AUTH1", referenceNumber="REF1"))
    assert {number.type for number in pended.all_numbers} == {ADMIN, CARRIER}
    partly_open = read(review(procedure("95910", "A1"), procedure("72131", "A4"), certificationNumber="AUTH1"))
    assert {number.type for number in partly_open.numbers} == {ADMIN, CARRIER}


def test_validity_and_quantity_belong_to_what_is_authorized() -> None:
    dates = {"certificationEffectiveDate": "2026-03-20", "certificationExpirationDate": "2026-06-18"}
    decision = read(
        review(
            procedure("95910", "A1", quantity="2", **dates),
            procedure("72131", "A6", quantity="3.5"),
            certificationEffectiveDate="2026-04-01",
            certificationExpirationDate="2026-05-01",
            certificationIssueDate="2026-03-19",
        )
    )
    first, second = decision.lines
    assert (str(first.valid_from), str(first.valid_to), first.units) == ("2026-03-20", "2026-06-18", 2)
    assert (str(second.valid_from), str(second.valid_to), second.units) == ("2026-04-01", "2026-05-01", None)
    assert str(decision.received) == "2026-03-19"
    denied = read(review(procedure("95910", "A3", quantity="2", **dates), procedure("72131", "A3")))
    assert (denied.lines[0].valid_from, denied.lines[0].units) == (None, None)
    turned = {"certificationEffectiveDate": "2026-06-20", "certificationExpirationDate": "2026-03-18"}
    wrong = read(review(procedure("95910", "A1", **turned), procedure("72131", "A1")))
    assert wrong.lines[0].valid_to is None
    assert wrong.notes


def test_reasons_and_notes_are_kept() -> None:
    decision = read(
        review(
            procedure("95910", "A3", statusReasons=[{"code": "0F", "value": "Not shown"}], notes=[{"message": "One"}]),
            procedure("72131", "A1"),
            payerNotes=[{"typeCode": "X", "message": "Call us."}],
        )
    )
    assert [(r.code, r.text) for r in decision.lines[0].reasons] == [
        ("0F", "Not shown"),
        (None, "One"),
        (None, "Call us."),
    ]


def test_a_pend_that_wants_to_see_more_asks() -> None:
    reasons = [{"code": "0U", "value": "More is needed"}]
    whole = read(review(statusCode="A4", statusReasons=reasons, traceNumbers=["ACN-1"]))
    (ask,) = whole.asks
    assert (ask.line, ask.control_number, ask.what[0].code) == (None, "ACN-1", "0U")
    one = read(review(procedure("95910", "A4", statusReasons=reasons), procedure("72131", "A1")))
    assert [ask.line for ask in one.asks] == [1]
    assert read(review(statusCode="A3", statusReasons=reasons)).asks == ()


def test_validation_messages_in_a_200_are_a_rejection_that_names_the_field() -> None:
    messages = [{"field": "subscriber.memberId", "code": "72", "errorMessage": "Not valid.", "index": 0}, {"field": ""}]
    decision = read(review(validationMessages=messages))
    assert decision.result is Result.REJECTED
    (error,) = decision.errors
    assert (error.where, error.code, error.text) == ("subscriber.memberId", "72", "Not valid.")
    contradicts = read(review(statusCode="A1", validationMessages=messages))
    assert contradicts.result is Result.UNREADABLE
    assert set(outcomes(contradicts).values()) == {"unknown"}


@pytest.mark.parametrize(
    ("said", "ending", "outcome"),
    [
        ({"statusCode": "VO"}, Ending.VOIDED, "cancelled"),
        ({"status": "Voided"}, Ending.VOIDED, "cancelled"),
        ({"status": "Withdrawn"}, Ending.WITHDRAWN, "cancelled"),
        ({"status": "closed"}, Ending.CLOSED, "unknown"),
    ],
)
def test_what_has_ended_is_no_longer_approved(said: Json, ending: Ending, outcome: str) -> None:
    decision = read(review(procedure("95910", "A1"), procedure("72131", "A1"), certificationNumber="AUTH1", **said))
    assert decision.ending is ending
    assert outcomes(decision) == {1: outcome, 3: outcome}
    assert CERT not in {number.type for number in decision.all_numbers}


def test_procedures_are_matched_to_our_lines_by_code_in_their_order() -> None:
    twice = OURS.model_copy(update={"lines": {1: "95910", 2: "95910", 3: "72131"}})
    body = review(procedure("72131", "A3"), procedure("95910", "A1"), procedure("95910", "A4"))
    assert outcomes(read(body, ours=twice)) == {1: "approved", 2: "pended", 3: "denied"}
    foreign = read(review(procedure("95910", "A1"), procedure("99999", "A1"), statusCode="A1"))
    assert outcomes(foreign) == {1: "approved", 3: "unknown", 0: "approved"}
    assert foreign.notes
    assert outcomes(read({**review(statusCode="A1"), "procedures": []})) == {1: "approved", 3: "approved"}


def test_whose_answer_it_is() -> None:
    assert read(review(statusCode="A1")).trace == "T-1"
    noteless = {**review(statusCode="A1"), "providerNotes": []}
    assert read(noteless).trace == "T-1"
    assert read({**noteless, "id": "SR2"}).trace is None
    assert read({**noteless, "id": "SR2", "traceNumbers": ["X", "T-1"]}).trace == "T-1"
    others = read(review(statusCode="A1", providerNotes=[{"message": "Trace number T-2"}]))
    assert others.trace == "T-2"
    assert not OURS.answered_by(others)
    assert not OURS.answered_by(read(review(statusCode="A1", subscriber={"memberId": "M999"})))


def test_not_yet_is_no_answer_at_all() -> None:
    for body in (b"", b"{}", json.dumps(review(statusCode="A1")).encode()):
        assert read_answers(body, "application/json", 202, OURS) == ()


def test_a_result_set_holds_many_one_or_none() -> None:
    def found(*reviews: Any, **more: Any) -> bytes:
        return json.dumps({"serviceReviews": list(reviews), "count": len(reviews), **more}).encode()

    two = read_answers(found(review(statusCode="A1"), review(statusCode="A4", id="SR2")), None, 200, OURS, inquiry=True)
    assert [decision.lines[0].decision for decision in two] == [Outcome.APPROVED, Outcome.PENDED]
    assert read(found(), inquiry=True).result is Result.NOT_FOUND
    assert read(found()).result is Result.UNREADABLE
    cut = read_answers(found(review(statusCode="A1"), totalCount=3), None, 200, OURS, inquiry=True)
    assert [decision.result for decision in cut] == [Result.DECIDED, Result.UNREADABLE]
    assert read(found(*[review(statusCode="A1")] * 51), inquiry=True).result is Result.UNREADABLE
    odd = read_answers(found(7), None, 200, OURS, inquiry=True)
    assert [decision.result for decision in odd] == [Result.UNREADABLE]


def test_no_such_record_is_only_what_the_gateway_says_itself() -> None:
    said = {"userMessage": "None.", "statusCode": 404, "errors": []}
    assert read(said, 404, inquiry=True).result is Result.NOT_FOUND
    assert read(b"<html>not here</html>", 404, inquiry=True).result is Result.UNREADABLE
    assert read({}, 404, inquiry=True).result is Result.UNREADABLE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>approved</html>",
        json.dumps(review(statusCode="A1")).encode()[:-20],
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"statusCode":"A1","statusCode":"A3"}',
        b'{"statusCode":NaN}',
        b"\xff\xfe",
        b" " * (11 * 1024 * 1024),
        b"[]",
        b"{}",
        b'{"userMessage":"No.","errors":[]}',
        json.dumps(review()).encode(),
        json.dumps(review(*[procedure("95910", "A1")] * 100)).encode(),
    ],
    ids=range(14),
)
def test_what_cannot_be_read_is_a_persons(body: bytes) -> None:
    assert read(body).result is Result.UNREADABLE


def test_an_error_with_a_success_is_a_persons_and_one_with_a_failure_a_rejection(shared: Path) -> None:
    example = (shared / "fixtures/vendors/availity/examples/error-400.json").read_bytes()
    rejected = read(example, 400)
    assert rejected.result is Result.REJECTED
    assert (rejected.errors[0].where, rejected.errors[0].text) == ("serviceType", "This field is required.")
    assert read(example, 200).result is Result.UNREADABLE
    assert read(example, 500).result is Result.UNREADABLE


def test_the_shape_of_an_answer_is_read_and_its_placeholders_approve_nothing(shared: Path) -> None:
    shape = json.loads(
        (shared / "fixtures/vendors/availity/examples/service-review.get.response-200.shape.json").read_text()
    )
    (decision,) = read_answers(json.dumps(shape).encode(), "application/json", 200)
    assert decision.result is Result.DECIDED
    assert [line.decision for line in decision.lines] == [Outcome.UNKNOWN]
    assert {number.type for number in decision.all_numbers} == {ADMIN, CARRIER}
    shape["statusCode"] = "A1"
    approved = read(shape, ours=OURS.model_copy(update={"lines": {1: "72148"}, "names": frozenset({"<id>"})}))
    (line,) = approved.lines
    assert (line.line, line.decision) == (1, Outcome.APPROVED)
    assert (str(line.valid_from), str(line.valid_to)) == ("2026-01-06", "2026-04-06")
    assert Number(type=CERT, value="AUTH0001") in line.numbers
    assert str(approved.received) == "2026-01-06"
    assert approved.trace == OURS.trace


def test_other_gateways_answers_are_nobodys_approval(shared: Path) -> None:
    for example in sorted((shared / "fixtures/vendors/optum/examples").glob("*.json")):
        for decision in read_answers(example.read_bytes(), "application/json", 200, OURS):
            assert not any(line.decision in PERMITS for line in decision.lines), example.name


BASES = (
    review(statusCode="A4"),
    review(procedure("95910", "A3"), procedure("72131", "A4"), statusCode="A3", referenceNumber="R"),
    review(validationMessages=[{"field": "x", "errorMessage": "y"}]),
    review(statusCode="VO", status="Void"),
    {"serviceReviews": [review(statusCode="CT"), review(statusCode="ZZ")], "totalCount": 2},
)
"""Answers in which nothing is approved."""
SPICE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1e308, "", "A", "a1", "A1 ", " ", "\x00", [], {}, [[]], "x" * 5000, "2026-13-40"]
)
ODD = SPICE | st.text(max_size=12).filter(lambda word: word.strip() not in {"A1", "A2", "A6", "NA"})


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, child in inner for place in places(child, (*at, key)))]


def changed(base: Json, at: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Json:
    made = copy.deepcopy(base)
    holder: Any = made
    for key in at[:-1]:
        holder = holder[key]
    change(holder, at[-1])
    return made


def put(odd: Any) -> Callable[[Any, Any], None]:
    return lambda holder, key: operator.setitem(holder, key, odd)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_mutation_of_an_answer_that_approves_nothing_approves(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(BASES))
    mutated = base
    for _ in range(data.draw(st.integers(1, 3))):
        candidates = [place for place in places(mutated) if place]
        if not candidates:
            break
        at = data.draw(st.sampled_from(candidates))
        odd = data.draw(ODD)
        mutated = changed(mutated, at, put(odd) if data.draw(st.booleans()) else operator.delitem)
    body = json.dumps(mutated).encode()
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(body)))
        body = body[:cut] + data.draw(st.binary(max_size=5)) + body[cut + data.draw(st.integers(0, 5)) :]
    status = data.draw(st.sampled_from([200, 200, 200, 201, 202, 204, 400, 404, 500]))
    for ours in (OURS, None):
        for decision in read_answers(body, "application/json", status, ours, inquiry=data.draw(st.booleans())):
            approved = [line for line in decision.lines if line.decision in PERMITS]
            assert all((line.code or "").encode() in body for line in approved)
            assert not approved or any(f'"{code}"'.encode() in body for code in ("A1", "A2", "A6", "NA"))
            Decision.model_validate_json(decision.model_dump_json())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([200, 202, 204, 302, 400, 404, 500, 999]))
def test_no_bytes_make_the_reader_fail(body: bytes, status: int) -> None:
    for decision in read_answers(body, None, status, OURS, inquiry=True):
        assert not decision.lines


# --- as gateways also write it -------------------------------------------------------------------------------------


def alone(**more: Any) -> Json:
    return review(procedure("95910"), **{"statusCode": "A1", "certificationNumber": "AUTH-1"} | more)


@pytest.mark.parametrize("words", ["Not Certified", "DENIED", "Pending", "Non-Certified", "in review", "Cancelled"])
def test_an_approval_by_code_that_its_words_deny_is_unknown(words: str) -> None:
    decision = read(alone(status=words), ours=None)
    assert outcomes(decision) == {1: "unknown"}
    assert CERT not in {number.type for number in decision.all_numbers}
    assert decision.notes
    assert outcomes(read(alone(status="Certified in total"), ours=None)) == {1: "approved"}
    assert outcomes(read(alone(statusCode="NA", status="Not required"), ours=None)) == {1: "not_required"}


@pytest.mark.parametrize("said", ["Member not found", ["Member not found"]])
def test_a_validation_message_in_plain_words_is_one_and_leaves_no_number_to_bill(said: Any) -> None:
    decision = read(alone(validationMessages=said), ours=None)
    assert decision.result is Result.UNREADABLE
    assert [error.text for error in decision.errors] == ["Member not found"]
    assert CERT not in {number.type for number in decision.numbers}
    assert read(review(validationMessages=said), ours=None).result is Result.REJECTED


def test_a_list_of_reviews_without_its_envelope_is_a_list_and_nothing_else() -> None:
    bare = json.dumps([alone()]).encode()
    assert outcomes(read(bare, ours=None)) == {1: "approved"}
    assert read(b"[]", inquiry=True).result is Result.NOT_FOUND
    assert read(b"[]").result is Result.UNREADABLE
    for broken in (bare[:-1], bare + b',"x":1', b"[1]", b"[" * 100_000):
        assert read(broken, inquiry=True).result is Result.UNREADABLE


def test_numbers_of_json_are_numbers_of_the_payer_too() -> None:
    decision = read(alone(id=77, certificationNumber=12345), ours=None)
    assert [(n.type, n.value) for n in decision.numbers] == [(CERT, "12345"), (CARRIER, "77")]
    assert read(alone(certificationNumber=True), ours=None).numbers == (Number(type=CARRIER, value="SR1"),)


@pytest.mark.parametrize(("given", "units"), [(2, 2), (2.0, 2), ("2.0", 2), (" 3 ", 3), ("2.5", None), (-1, None)])
def test_a_quantity_is_whole_or_said_to_be_none(given: Any, units: int | None) -> None:
    decision = read(review(procedure("95910", quantity=given), statusCode="A6"), ours=None)
    assert decision.lines[0].units == units
    assert bool(decision.notes) == (units is None)


def test_the_quantity_of_the_whole_is_that_of_its_only_procedure() -> None:
    assert read(alone(quantity="4"), ours=None).lines[0].units == 4
    two = read(review(statusCode="A6", quantity="4"), ours=None)
    assert [line.units for line in two.lines] == [None, None]


def test_a_date_that_cannot_be_read_is_said() -> None:
    decision = read(alone(certificationEffectiveDate="12/01/2026"), ours=None)
    assert (decision.lines[0].valid_from, bool(decision.notes)) == (None, True)


def test_reasons_in_plain_words_are_kept_and_codes_have_their_meaning() -> None:
    (line,) = read(alone(statusCode="A3", statusReasons=["0F", "See the letter"]), ours=None).lines
    assert [(r.code, bool(r.text)) for r in line.reasons] == [("0F", True), (None, True)]


def test_what_the_gateway_says_of_its_error_is_passed_on_and_fhir_is_none_of_its_answers() -> None:
    assert "Try later" in read({"userMessage": "Try later"}, 503).notes[0]
    assert "FHIR" in read({"resourceType": "ClaimResponse", "status": "active"}).notes[0]
    assert "empty" in read(b"").notes[0]
