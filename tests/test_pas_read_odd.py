"""Answers by PAS that are not as the guide has them: what still can be said of them, and what must not be."""

import json
from typing import Any

import pytest

from connectors.pas.read import read_answers
from connectors.pas.words import PAS, X12_ACTION
from domain.decision import Decision, NumberType, Outcome, Result
from tests.test_pas_read import adjudication, answer, brief, bundle, ext, item

Json = dict[str, Any]
A1, A3 = adjudication("A1", number="AUTH-1"), adjudication("A3", reasons=("0F",))
DENIES = A3["extension"][0]


def read(resource: Json, *, inquiry: bool = False) -> Decision:
    (decision,) = read_answers(json.dumps(resource).encode(), None, 200, inquiry=inquiry)
    return decision


MISPLACED = {
    "on the item": {"itemSequence": 1, "extension": [DENIES]},
    "in a category": {"itemSequence": 1, "adjudication": [{"category": {"extension": [DENIES]}}]},
    "in another extension": {
        "itemSequence": 1,
        "adjudication": [{"extension": [{"url": "urn:x", "extension": [DENIES]}]}],
    },
    "of a detail": {"itemSequence": 1, "detail": [{"detailSequence": 1, "adjudication": [A3]}]},
    "of a part of a detail": {"itemSequence": 1, "detail": [{"subDetail": [{"adjudication": [A3]}]}]},
}


@pytest.mark.parametrize("where", MISPLACED)
def test_what_the_whole_says_is_no_lines_decision_beside_another_in_a_wrong_place(where: str) -> None:
    decision = read(answer(MISPLACED[where], adjudication=[A1]))
    assert brief(decision) == [(1, "unknown", "A3")]
    assert not [n for n in decision.all_numbers if n.type is NumberType.CERTIFICATION]
    assert decision.notes


def test_a_line_is_not_approved_whose_parts_are_denied() -> None:
    mixed = item(1, "A1", number="AUTH-1") | {"detail": [{"adjudication": [A3]}]}
    assert brief(read(answer(mixed))) == [(1, "unknown", "A1/A3")]
    alike = item(1, "A1", number="AUTH-1") | {"detail": [{"adjudication": [A1]}]}
    assert brief(read(answer(alike))) == [(1, "approved", "A1")]


def test_a_denial_beside_the_answer_leaves_no_approval_to_inherit() -> None:
    assert brief(read(answer({"itemSequence": 1}, adjudication=[A1], extension=[DENIES]))) == [(1, "unknown", "A1/A3")]
    own = read(answer(item(1, "A1"), extension=[DENIES]))
    assert brief(own) == [(1, "approved", "A1")]
    assert own.notes


def test_a_line_that_is_named_without_a_decision_is_unknown_and_no_line_is_left_out() -> None:
    decision = read(answer(item(1, "A1", number="AUTH-1"), {"itemSequence": 2}))
    assert brief(decision) == [(1, "approved", "A1"), (2, "unknown", None)]
    silent = read(answer({"itemSequence": 1}, disposition="Approved.", preAuthRef="AUTH-1"))
    assert (silent.result, brief(silent), silent.numbers) == (Result.UNREADABLE, [(1, "unknown", None)], ())
    assert "Approved." in silent.notes[0]


def test_a_line_that_was_not_taken_up_does_not_have_the_decision_of_the_whole() -> None:
    wrong = {"itemSequence": 2, "code": {"coding": [{"code": "33"}]}}
    decision = read(answer({"itemSequence": 1}, {"itemSequence": 2}, adjudication=[A1], error=[wrong]))
    assert brief(decision) == [(1, "approved", "A1"), (2, "unknown", None)]
    assert decision.lines[1].reasons[0].code == "33"
    assert read(answer({"itemSequence": 2}, error=[wrong])).result is Result.REJECTED


def test_an_error_beside_a_decision_makes_it_a_persons_and_a_remark_does_not() -> None:
    for severity, result in (("error", Result.UNREADABLE), ("warning", Result.DECIDED)):
        beside = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "diagnostics": "Not kept."}]}
        decision = read(bundle(answer(item(1, "A1", number="AUTH-1")), beside))
        assert decision.result is result
        assert any("Not kept." in note for note in decision.notes)
        approved = [line for line in decision.lines if line.decision is Outcome.APPROVED]
        assert bool(approved) == (severity == "warning")


EDITIONS = ("https://hl7.org/fhir/us/davinci-pas/", "http://hl7.org/fhir/us/davinci-pas/STU2/")


@pytest.mark.parametrize("edition", EDITIONS)
def test_an_extension_is_known_by_every_edition_of_the_guide(edition: str) -> None:
    text = json.dumps(answer(item(1, "A3", reasons=("0F",), number="REF-9")))
    other = read(json.loads(text.replace(PAS, f"{edition}StructureDefinition/")))
    assert brief(other) == [(1, "denied", "A3")]
    assert other == read(json.loads(text))
    foreign = text.replace(PAS, "http://payer.example/StructureDefinition/")
    assert read(json.loads(foreign)).lines[0].decision is Outcome.UNKNOWN


def test_parts_of_a_decision_are_read_by_either_name_and_a_line_number_as_text() -> None:
    coded = {"coding": [{"system": X12_ACTION, "code": "A1"}]}
    parts = [
        {"url": "reviewActionCode", "valueCodeableConcept": coded},
        ext("number", valueIdentifier={"value": "AUTH-1"}),
    ]
    said = {"itemSequence": "1", "adjudication": [{"extension": [ext("reviewAction", extension=parts)]}]}
    line = read(answer(said)).lines[0]
    assert (line.line, line.decision) == (1, Outcome.APPROVED)
    assert [(n.type, n.value) for n in line.numbers] == [(NumberType.CERTIFICATION, "AUTH-1")]


def test_a_decision_in_words_alone_is_unknown_and_the_words_are_kept() -> None:
    coded = ext("reviewActionCode", valueCodeableConcept={"coding": [{"display": "Certified"}], "text": "Approved"})
    line = {"itemSequence": 1, "adjudication": [{"extension": [ext("reviewAction", extension=[coded])]}]}
    decision = read(answer(line))
    assert brief(decision) == [(1, "unknown", None)]
    assert [reason.text for reason in decision.lines[0].reasons] == ["Certified", "Approved"]
    assert decision.notes


def test_what_cannot_be_counted_or_dated_is_said() -> None:
    half = ext("itemAuthorizedDetail", extension=[{"url": "quantity", "valueQuantity": {"value": 2.5}}])
    month = ext("itemPreAuthPeriod", valuePeriod={"start": "2026-12", "end": "2027-02"})
    decision = read(answer(item(1, "A6", half, month)))
    assert (decision.lines[0].units, decision.lines[0].valid_to) == (None, None)
    assert len(decision.notes) == 2


def test_the_day_of_the_answer_is_the_day_of_its_decision_where_it_has_no_other() -> None:
    issued = ext("itemPreAuthIssueDate", valueDate="2026-11-19")
    assert str(read(answer(item(1, "A1", issued), created=None)).received) == "2026-11-19"


# --- what is asked for ---------------------------------------------------------------------------------------------

COMMUNICATION = {
    "resourceType": "CommunicationRequest",
    "identifier": [{"value": "ACN-1"}],
    "payload": [{"contentString": "11506-3", "extension": [ext("serviceLineNumber", valuePositiveInt=1)]}],
}


def task(kind: str, **given: Any) -> Json:
    return {
        "resourceType": "Task",
        "code": {"coding": [{"code": kind}]},
        "identifier": [{"value": "OTHER"}, {"type": {"coding": [{"code": "tracking-id"}]}, "value": "TRACK-1"}],
        "restriction": {"period": {"end": "2026-12-05"}},
        "input": [
            {
                "type": {"coding": [{"code": "purpose-of-use"}]},
                "valueCodeableConcept": {"coding": [{"code": "COVAUTH"}]},
            },
            given | {"extension": [ext("paLineNumber", valueInteger=1)]},
        ],
    }


def test_a_request_for_documents_that_only_stands_beside_a_pended_answer_is_read() -> None:
    (ask,) = read(bundle(answer(item(1, "A4")), COMMUNICATION)).asks
    assert (ask.what[0].code, ask.line, ask.control_number) == ("11506-3", 1, "ACN-1")
    assert read(bundle(answer(item(1, "A1")), COMMUNICATION)).asks == ()


def test_tasks_beside_a_pended_answer_ask_for_documents_or_a_form() -> None:
    needed = {"coding": [{"code": "attachments-needed"}]}
    documents = task("attachment-request-code", type=needed, valueCodeableConcept={"coding": [{"code": "18748-4"}]})
    (ask,) = read(bundle(answer(item(1, "A4")), documents)).asks
    assert ([r.code for r in ask.what], ask.line, ask.control_number) == (["18748-4"], 1, "TRACK-1")
    assert str(ask.due) == "2026-12-05"
    asked_by = {"coding": [{"code": "questionnaire-context"}]}
    form = task("attachment-request-questionnaire", type=asked_by, valueString="CTX-1")
    (ask,) = read(bundle(answer(item(1, "A4")), form)).asks
    assert (ask.what[0].code, ask.context) == ("102089-0", "CTX-1")
    other = task("something-else", type=needed, valueCodeableConcept={"coding": [{"code": "18748-4"}]})
    assert read(bundle(answer(item(1, "A4")), other)).asks == ()


def test_of_several_answers_no_one_is_asked_for_what_only_stands_beside_them() -> None:
    two = bundle(answer(item(1, "A4")), answer(item(1, "A4"), identifier=[{"value": "T-2"}]), COMMUNICATION)
    found = read_answers(json.dumps(two).encode(), None, 200)
    assert [decision.asks for decision in found] == [(), ()]


def test_a_notification_without_an_answer_says_so_and_where_the_answer_is() -> None:
    about: list[Json] = [{"name": "focus", "valueReference": {"reference": "ClaimResponse/CR-1"}}]
    for kind, parts in (("heartbeat", []), ("event-notification", about)):
        status = [{"name": "type", "valueCode": kind}, {"name": "notification-event", "part": parts}]
        decision = read(bundle({"resourceType": "Parameters", "parameter": status}))
        assert decision.result is Result.UNREADABLE
        assert kind in decision.notes[0]
        assert ("ClaimResponse/CR-1" in decision.notes[0]) == bool(parts)


def test_a_decision_about_no_line_decides_nothing() -> None:
    nameless = item(1, "A1", number="AUTH-1") | {"itemSequence": 0}
    assert read(answer(nameless)).result is Result.UNREADABLE


def test_reasons_in_the_base_resources_own_place_are_read() -> None:
    why = {"coding": [{"code": "0M"}]}
    (line,) = read(answer({"itemSequence": 1, "adjudication": [A3 | {"reason": why}]})).lines
    assert [(r.code, r.text) for r in line.reasons] == [("0F", "not medically necessary"), ("0M", "not covered")]
