"""A payer's form as a person fills it in: what counts, what fits, what the response says, what is known beforehand."""

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.questionnaire import Form, ItemType, NotAForm, is_adaptive, read_form
from domain.questionnaire_check import places, validate
from domain.questionnaire_response import answers_of, build_response, prefill
from tests.builders import order

WHEN = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)
YES_NO = [
    {"valueCoding": {"system": "urn:a", "code": "y", "display": "Yes"}},
    {"valueCoding": {"system": "urn:a", "code": "n", "display": "No"}},
]


def form(*items: dict[str, Any], **more: Any) -> Form:
    return read_form({"resourceType": "Questionnaire", "url": "https://p.example/q", "item": list(items), **more})


def item(link: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    return {"linkId": link, "type": kind, "text": f"Item {link}", **more}


def extension(name: str, **value: Any) -> dict[str, Any]:
    return {"url": f"http://hl7.org/fhir/StructureDefinition/{name}", **value}


def wrong(found: Form, answers: dict[str, Any], **more: Any) -> dict[str, str]:
    return {problem.path: problem.text for problem in validate(found, answers, **more)}


def made(found: Form, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return build_response(found, answers, **{"status": "completed", "authored": WHEN, **more})


def values(response: dict[str, Any]) -> dict[str, Any]:
    """Every answer's value by its linkId."""
    found: dict[str, Any] = {}

    def walk(items: list[dict[str, Any]]) -> None:
        for one in items:
            for answer in one.get("answer", ()):
                found.setdefault(one["linkId"], []).append(
                    next(value for name, value in answer.items() if name.startswith("value"))
                )
                walk(answer.get("item", []))
            walk(one.get("item", []))

    walk(response.get("item", []))
    return found


# --- what an item may hold ----------------------------------------------------------------------------------------------

FITTING = [
    ("boolean", True, "valueBoolean", True),
    ("integer", 3, "valueInteger", 3),
    ("decimal", 2.5, "valueDecimal", 2.5),
    ("date", "2026-11", "valueDate", "2026-11"),
    ("dateTime", "2026-11-30T09:15:00-06:00", "valueDateTime", "2026-11-30T09:15:00-06:00"),
    ("time", "09:15", "valueTime", "09:15:00"),
    ("string", "left leg", "valueString", "left leg"),
    ("text", "since May", "valueString", "since May"),
    ("url", "https://p.example/x", "valueUri", "https://p.example/x"),
    ("quantity", "5 mg", "valueQuantity", {"value": 5, "unit": "mg"}),
    ("attachment", "a" * 64, "valueAttachment", {"title": "a" * 64}),
    ("open-choice", "in words", "valueString", "in words"),
    ("choice", "no options came", "valueCoding", {"display": "no options came"}),
]


@pytest.mark.parametrize(("kind", "value", "name", "said"), FITTING, ids=[one[0] for one in FITTING])
def test_each_type_of_item_is_answered_in_its_own_type(kind: str, value: Any, name: str, said: Any) -> None:
    found = form(item("1", kind, required=True))
    assert wrong(found, {"1": [value]}) == {}
    response = made(found, {"1": [value]})
    answer = response["item"][0]["answer"][0]
    assert answer[name] == said
    read = {"time": "09:15:00"}.get(kind, value)
    assert answers_of(found, response) == {"1": [read]}


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("boolean", "yes", "Answer yes or no."),
        ("integer", 2.5, "Give a whole number."),
        ("integer", True, "Give a whole number."),
        ("decimal", "2.5", "Give a number."),
        ("date", "30.11.2026", "Give a day such as 2026-11-30."),
        ("date", "2026-02-30", "Give a day such as 2026-11-30, a time such as 09:15, or a moment such as"),
        ("dateTime", "2026-11-30T09:15:00", "Give the moment with its offset"),
        ("string", 5, "Give an answer in words."),
        ("string", "  ", "Give an answer in words."),
        ("url", "javascript:x", "Give an address that begins with https://."),
        ("quantity", "much", "Give a number, and its unit after a space."),
        ("attachment", "file.pdf", "Bring the document to the case first"),
    ],
)
def test_an_answer_of_another_type_is_named_with_what_to_do(kind: str, value: Any, text: str) -> None:
    (found,) = validate(form(item("1", kind)), {"1": [value]})
    assert found.link_id == "1"
    assert found.text.startswith(text)


def test_limits_of_length_value_places_and_number() -> None:
    found = form(
        item("len", maxLength=3, extension=[extension("minLength", valueInteger=2)]),
        item(
            "num", "decimal", extension=[extension("minValue", valueDecimal=1), extension("maxValue", valueDecimal=9)]
        ),
        item("dec", "decimal", extension=[extension("maxDecimalPlaces", valueInteger=1)]),
        item("day", "date", extension=[extension("maxValue", valueDate="2026-11-30")]),
        item("many", repeats=True, extension=[extension("questionnaire-maxOccurs", valueInteger=2)]),
        item("few", repeats=True, required=True, extension=[extension("questionnaire-minOccurs", valueInteger=2)]),
    )
    bad = {"len": ["abcd"], "num": [10], "dec": [1.25], "day": ["2026-12-01"], "many": ["a", "b", "c"], "few": ["a"]}
    assert wrong(found, bad) == {
        "len": "At most 3 characters may be given.",
        "num": "It may not be above 9.",
        "dec": "At most 1 decimal places may be given.",
        "day": "It may not be above 2026-11-30.",
        "many": "At most 2 answers may be given.",
        "few": "At least 2 answers are needed.",
    }
    good = {"len": ["abc"], "num": [9], "dec": [1.2], "day": ["2026-11-30"], "many": ["a", "b"], "few": ["a", "b"]}
    assert wrong(found, good) == {}
    assert wrong(found, {**good, "len": ["a"], "num": [0]}) == {
        "len": "At least 2 characters are needed.",
        "num": "It may not be below 1.",
    }


def test_what_is_required_may_be_saved_without_and_not_submitted() -> None:
    found = form(item("1", required=True), item("2", "choice", answerOption=YES_NO))
    assert wrong(found, {}) == {"1": "An answer is needed."}
    assert wrong(found, {}, complete=False) == {}
    assert wrong(found, {"2": ["maybe"]}, complete=False) == {"2": "Choose one of the options."}
    assert wrong(found, {"1": ["a", "b"]}) == {"1": "One answer only may be given."}
    assert wrong(found, {"1": ["a"], "9": ["x"]}) == {"9": "The form has no such item here."}


def test_a_choice_is_answered_by_its_option_and_an_open_one_in_words_too() -> None:
    options = [*YES_NO, {"valueString": "sometimes"}, {"valueInteger": 4}]
    found = form(item("1", "choice", answerOption=options), item("2", "open-choice", answerOption=YES_NO, repeats=True))
    assert [option.key for option in found.items[0].options] == ["urn:a|y", "urn:a|n", "sometimes", "4"]
    answers = {"1": ["4"], "2": ["urn:a|n", "on stairs"]}
    assert wrong(found, answers) == {}
    response = made(found, answers)
    assert values(response) == {"1": [4], "2": [YES_NO[1]["valueCoding"], "on stairs"]}


@pytest.mark.parametrize(
    "value_set",
    [
        {"expansion": {"contains": [{"system": "urn:s", "code": "a", "contains": [{"system": "urn:s", "code": "b"}]}]}},
        {"compose": {"include": [{"system": "urn:s", "concept": [{"code": "a"}, {"code": "b"}]}]}},
    ],
)
def test_the_options_of_a_value_set_come_with_the_package(value_set: dict[str, Any]) -> None:
    asked = {"resourceType": "Questionnaire", "item": [item("1", "choice", answerValueSet="https://p.example/vs|1")]}
    found = read_form(asked, {"https://p.example/vs": value_set})
    assert [option.key for option in found.items[0].options] == ["urn:s|a", "urn:s|b"]
    inside = {**asked, "contained": [{"resourceType": "ValueSet", "id": "v", **value_set}]}
    inside["item"] = [item("1", "choice", answerValueSet="#v")]
    assert len(read_form(inside).items[0].options) == 2
    missing = read_form(asked)
    assert missing.notes == ("The options of item 1 did not come along; answer it in words.",)


# --- what counts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "answer", "value", "counts"),
    [
        ("exists", {"answerBoolean": True}, None, False),
        ("exists", {"answerBoolean": False}, None, True),
        ("exists", {"answerBoolean": True}, 1, True),
        ("=", {"answerInteger": 3}, 3, True),
        ("=", {"answerInteger": 3}, None, False),
        ("!=", {"answerInteger": 3}, 4, True),
        ("!=", {"answerInteger": 3}, None, False),
        (">", {"answerDecimal": 3.5}, 4, True),
        ("<=", {"answerInteger": 3}, 4, False),
        (">=", {"answerInteger": 4}, 4, True),
        ("<", {"answerInteger": 4}, 4, False),
    ],
)
def test_an_item_counts_by_another_answer(operator: str, answer: dict[str, Any], value: Any, *, counts: bool) -> None:
    condition = {"question": "1", "operator": operator, **answer}
    found = form(item("1", "decimal"), item("2", required=True, enableWhen=[condition]))
    answers = {"1": [value]} if value is not None else {}
    assert ("2" in {place.path for place in places(found, answers)}) is counts
    assert ("2" in wrong(found, answers)) is counts


def test_codes_days_and_yes_are_compared_as_what_they_are() -> None:
    when = [
        {"question": "c", "operator": "=", "answerCoding": {"system": "urn:a", "code": "y"}},
        {"question": "d", "operator": ">", "answerDate": "2026-01-01"},
        {"question": "b", "operator": "=", "answerBoolean": True},
    ]
    base = (item("c", "choice", answerOption=YES_NO), item("d", "date"), item("b", "boolean"))
    every = form(*base, item("x", required=True, enableWhen=when, enableBehavior="all"))
    some = form(*base, item("x", required=True, enableWhen=when, enableBehavior="any"))
    answers = {"c": ["urn:a|y"], "d": ["2026-05-01"], "b": [True]}
    assert set(wrong(every, answers)) == {"x"}
    assert wrong(every, {**answers, "b": [False]}) == {}
    assert set(wrong(some, {**answers, "b": [False]})) == {"x"}
    assert wrong(some, {}) == {}


def test_an_answer_that_does_not_count_has_no_say_and_is_not_sent() -> None:
    found = form(
        item("1", "boolean"),
        item("2", "boolean", enableWhen=[{"question": "1", "operator": "=", "answerBoolean": True}]),
        item("3", required=True, enableWhen=[{"question": "2", "operator": "=", "answerBoolean": True}]),
    )
    answers = {"1": [False], "2": [True], "3": ["left over"]}
    assert [place.path for place in places(found, answers)] == ["1"]
    assert values(made(found, answers)) == {"1": [False]}
    assert set(wrong(found, {"1": [True], "2": [True]})) == {"3"}


def test_conditions_that_go_round_in_circles_come_to_an_end() -> None:
    found = form(
        item("1", enableWhen=[{"question": "2", "operator": "exists", "answerBoolean": False}]),
        item("2", enableWhen=[{"question": "1", "operator": "exists", "answerBoolean": False}]),
    )
    assert validate(found, {"1": ["a"], "2": ["b"]}) == ()


def test_a_group_that_repeats_has_rows_and_each_decides_for_itself() -> None:
    group = item(
        "3",
        "group",
        repeats=True,
        item=[
            item("3.1", "boolean", required=True),
            item("3.2", required=True, enableWhen=[{"question": "3.1", "operator": "=", "answerBoolean": True}]),
        ],
    )
    found = form(group)
    answers = {"3": [{"3.1": [False]}, {"3.1": [True]}, {}, {"3.1": [True], "3.2": ["x"]}]}
    assert wrong(found, answers) == {"3[1]/3.2": "An answer is needed."}
    response = made(found, {"3": [{"3.1": [False], "3.2": ["dropped"]}, {"3.1": [True], "3.2": ["x"]}]})
    assert [len(row["item"]) for row in response["item"]] == [1, 2]
    assert answers_of(found, response) == {"3": [{"3.1": [False]}, {"3.1": [True], "3.2": ["x"]}]}
    assert wrong(found, {"3": ["x"]}) == {"3[0]": "Give each row as answers by linkId."}
    assert wrong(found, {"3.2": ["x"]}) == {"3.2": "The form has no such item here."}
    assert wrong(form(item("1", "group", item=[item("2")])), {}) == {}


def test_what_nobody_can_answer_holds_nothing_up() -> None:
    hidden = {**item("1", required=True), "extension": [extension("questionnaire-hidden", valueBoolean=True)]}
    assert wrong(form(hidden, item("2", required=True, readOnly=True)), {}) == {}


# --- the response -------------------------------------------------------------------------------------------------------


def test_the_response_says_what_was_filled_in_beforehand_and_what_a_person_changed() -> None:
    found = form(item("1"), item("2"), item("3", "group", item=[item("4")]), version="2")
    response = made(
        found, {"1": ["a"], "2": ["b"], "4": ["c"]}, prefilled={"1": ["a"], "2": ["x"]}, status="in-progress"
    )
    origin = {
        one["linkId"]: one["answer"][0]["extension"][0]["extension"][0]["valueCode"]
        for one in (*response["item"][:2], *response["item"][2]["item"])
    }
    assert origin == {"1": "auto", "2": "override", "4": "manual"}
    assert (response["status"], response["questionnaire"]) == ("in-progress", "https://p.example/q|2")
    assert response["authored"] == "2026-11-30T15:00:00Z"


def test_a_quantity_takes_the_unit_that_the_form_offers() -> None:
    unit = {"system": "http://unitsofmeasure.org", "code": "mg", "display": "milligram"}
    found = form(item("1", "quantity", extension=[extension("questionnaire-unitOption", valueCoding=unit)]))
    assert wrong(found, {"1": ["5 kg"]}) == {"1": "Use one of the units mg."}
    (answer,) = values(made(found, {"1": ["5.5"]}))["1"]
    assert answer == {"value": 5.5, "unit": "milligram", "system": unit["system"], "code": "mg"}


def test_an_attachment_carries_what_is_known_of_the_document() -> None:
    found = form(item("1", "attachment", extension=[extension("maxSize", valueDecimal=1)]))
    assert found.items[0].max_bytes == 1024 * 1024
    content = {"contentType": "application/pdf", "data": "JVBERg=="}
    response = made(found, {"1": ["b" * 64]}, attachments={"b" * 64: content})
    assert response["item"][0]["answer"][0]["valueAttachment"] == {"title": "b" * 64, **content}


def test_what_is_known_is_filled_in_before_a_person_looks() -> None:
    coded = {"code": [{"system": "http://loinc.org", "code": "21112-8"}]}
    patient = "http://hl7.org/fhir/StructureDefinition/Patient#Patient"
    gender = [
        {"valueCoding": {"system": "http://hl7.org/fhir/administrative-gender", "code": c}} for c in ("female", "male")
    ]
    found = form(
        item("family", definition=f"{patient}.name.family"),
        item("born", "date", **coded),
        item("sex", "choice", answerOption=gender, definition=f"{patient}.gender"),
        item("short", maxLength=2, definition=f"{patient}.name.family"),
        item("chosen", "choice", answerOption=[YES_NO[0], {**YES_NO[1], "initialSelected": True}]),
        item("start", "integer", initial=[{"valueInteger": 7}]),
        item("rows", "group", repeats=True, item=[item("in", definition=f"{patient}.name.family")]),
        item("own"),
    )
    known = prefill(found, order(), 1)
    assert known == {
        "family": ["Quillfeather"],
        "born": ["1961-04-17"],
        "sex": ["http://hl7.org/fhir/administrative-gender|female"],
        "chosen": ["urn:a|n"],
        "start": [7],
    }
    draft = made(found, {"family": ["Other"], "own": ["from the payer"]}, status="in-progress")
    assert prefill(found, order(), 1, draft) == {**known, "family": ["Other"], "own": ["from the payer"]}


# --- what comes from outside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"resourceType": "Patient"},
        {"resourceType": "Questionnaire"},
        {"resourceType": "Questionnaire", "item": [{"type": "string"}]},
        {"resourceType": "Questionnaire", "item": [item("1"), item("1")]},
        {"resourceType": "Questionnaire", "item": [item(str(n)) for n in range(1001)]},
    ],
)
def test_what_is_no_form_is_refused_with_a_sentence(given: dict[str, Any]) -> None:
    with pytest.raises(NotAForm):
        read_form(given)


def test_a_form_nested_without_end_is_refused() -> None:
    deep = item("0", "group")
    for n in range(1, 40):
        deep = item(str(n), "group", item=[deep])
    with pytest.raises(NotAForm, match="nested"):
        form(deep)


def test_what_is_not_applied_is_said() -> None:
    expression = {
        "url": "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-initialExpression",
        "valueExpression": {"language": "text/cql", "expression": "x"},
    }
    found = form(
        item("1", extension=[expression]),
        item("2", extension=[extension("regex", valueString="(a+)+$")]),
        item("3", "question"),
        item("4", enableWhen=[{"question": "1", "operator": "like", "answerString": "x"}]),
    )
    assert len(found.notes) == 4
    assert found.items[2].type is ItemType.TEXT


scalars = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.none(), st.just({}), st.just([]))
kinds = st.sampled_from([*ItemType, "mystery"])


@given(st.lists(st.tuples(kinds, st.booleans(), st.booleans(), st.lists(scalars, max_size=3)), min_size=1, max_size=6))
def test_no_answer_makes_it_fail_and_what_fits_can_be_sent(asked: list[Any]) -> None:
    found = form(
        *(
            item(str(n), str(kind), required=need, repeats=many, answerOption=YES_NO if many else [])
            for n, (kind, need, many, _) in enumerate(asked)
        )
    )
    answers = {str(n): given for n, (*_, given) in enumerate(asked)}
    if not validate(found, answers):
        response = made(found, answers)
        json.dumps(response, allow_nan=False)
        assert validate(found, answers_of(found, response)) == ()


# --- the examples of DTR ------------------------------------------------------------------------------------------------


def dtr_example(shared: Path, name: str) -> dict[str, Any]:
    with tarfile.open(shared / "fixtures" / "pas" / "packages" / "davinci_dtr_2.0.1.tgz") as package:
        file = package.extractfile(f"package/example/{name}.json")
        assert file is not None
        read: dict[str, Any] = json.load(io.TextIOWrapper(file, "utf-8"))
        return read


def test_the_example_form_of_dtr_is_read(shared: Path) -> None:
    found = read_form(dtr_example(shared, "Questionnaire-home-o2-std-questionnaire"))
    by_link = {one.link_id: one for one in found.walk()}
    assert {link for link, one in by_link.items() if one.required} == {"1.1", "1.2", "1.gender"}
    assert by_link["1.5"].max_decimals is not None
    assert by_link["1.6"].type is ItemType.ATTACHMENT
    assert by_link["2.1"].read_only
    assert set(wrong(found, {})) == {"1.1", "1.2", "1.gender"}


def test_the_example_response_of_dtr_is_read(shared: Path) -> None:
    response = dtr_example(shared, "QuestionnaireResponse-home-o2-questionnaireresponse")
    found = form(item("1", "group", item=[item("1.1"), item("1.2"), item("1.4", "date")]))
    assert answers_of(found, response) == {"1.1": ["Quinton"], "1.2": ["Vlad"], "1.4": ["1956-12-01"]}


def test_an_adaptive_form_is_known_as_one(shared: Path) -> None:
    assert is_adaptive(dtr_example(shared, "Questionnaire-AdaptiveSearchExample"))
    package = dtr_example(shared, "Bundle-DTRQuestionnairePackageOperationResultSimple")
    assert read_form(package["entry"][0]["resource"]).adaptive
    assert not is_adaptive(dtr_example(shared, "Questionnaire-home-o2-std-questionnaire"))
