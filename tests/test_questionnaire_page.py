"""The page of a payer's form for those who fill it in by keyboard, and for those who change their mind."""

import re
from typing import Any
from urllib.parse import urlencode

from api.questionnaire_page import page, posted
from domain.questionnaire import Form, read_form
from domain.questionnaire_check import validate


def form() -> Form:
    options = [{"valueCoding": {"system": "http://p.example/s", "code": code}} for code in ("heat", "cold")]
    return read_form(
        {
            "resourceType": "Questionnaire",
            "url": "http://p.example/Questionnaire/q",
            "status": "active",
            "title": "Therapy",
            "item": [
                {"linkId": "1", "type": "boolean", "text": "Was surgery done?"},
                {
                    "linkId": "2",
                    "type": "open-choice",
                    "text": "Which therapy?",
                    "required": True,
                    "answerOption": options,
                },
                {"linkId": "3", "type": "choice", "text": "Side", "required": True, "answerOption": options},
                {"linkId": "4", "type": "string", "prefix": "4.", "text": "Who <did> it?", "required": True},
            ],
        }
    )


def shown(answers: dict[str, Any], **more: Any) -> str:
    return page(form(), answers, action="/x", status="New.", is_open=True, **more)


def test_a_choice_can_be_taken_back_for_words_or_for_nothing() -> None:
    text = shown({"1": [True], "2": ["http://p.example/s|heat"]})
    nothing = re.findall(r'<input type="radio" name="(\d)" value=""( checked)?[^>]*>', text)
    assert nothing == [("0", ""), ("1", "")]  # not where an answer is needed, and words are none
    answers, _ = posted(form(), urlencode([("0", ""), ("1", ""), ("1", "ice"), ("3", "Ines")]).encode())
    assert answers == {"2": ["ice"], "4": ["Ines"]}
    assert [problem.link_id for problem in validate(form(), answers)] == ["3"]
    again = shown(answers)
    assert re.findall(r'name="(\d)" value="" checked', again) == ["0", "1"]


def test_what_is_wrong_is_said_first_in_the_questions_own_words() -> None:
    text = shown({}, problems=validate(form(), {}))
    assert "<title>Not taken yet: Therapy</title>" in text
    (summary,) = re.findall(r'<div role="alert" tabindex="-1" autofocus>.*?</div>', text)
    assert re.findall(r">([^<]+)</a>", summary) == ["Which therapy?", "Side", "4. Who &lt;did&gt; it?"]
    assert 'aria-required="true"' in text
    assert "autofocus" not in shown({})
