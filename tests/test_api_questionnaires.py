"""A payer's form from end to end: the payer names it, Vigil fetches it, a person fills it in, the request takes it along."""

import base64
import html
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from api.questionnaire_page import page, posted
from domain.questionnaire import Form, read_form
from domain.questionnaire_check import validate
from store.tokens import Role
from tests.api_doors import Doors, open_doors
from tests.house import House

CEDAR = {"payer": "cedar-ppo"}
SIDE = "https://cedar-ppo.example/Questionnaire/imaging/side"
GOOD: dict[str, Any] = {"1.1": ["Quillfeather"], "1.2": ["1961-04-17"], "2.1": [8], "2.3": [f"{SIDE}|left"]}


@pytest.fixture
async def doors(house: House) -> AsyncIterator[Doors]:
    async with open_doors(house) as opened:
        yield opened


async def wanted(doors: Doors) -> tuple[str, str]:
    """A case whose payer wants a form: the path of the case, and of the form."""
    path, _ = await doors.opened("911", **CEDAR)
    items = (await doors.get(f"{path}/facts")).json()["items"]
    tasks = [fact for fact in items if fact["kind"] == "task_opened" and fact["task_kind"] == "fill_questionnaire"]
    assert len(tasks) == 1, [fact["kind"] for fact in items]
    return path, f"{path}/questionnaires/{tasks[0]['cause']}"


# --- from end to end ----------------------------------------------------------------------------------------------------


async def test_a_form_is_filled_in_and_goes_along_with_the_request(doors: Doors) -> None:
    path, form = await wanted(doors)
    assert "request_submitted" not in await doors.kinds(path)
    shown = (await doors.get(form)).json()
    assert (shown["status"], shown["form"]["title"]) == ("new", "Advanced imaging (synthetic)")
    assert shown["answers"] == {"1.1": ["Quillfeather"], "1.2": ["1961-04-17"], "2.4": [False]}
    assert {one["field"] for one in shown["lacking"]} == {"2.1", "2.3"}
    assert shown["counts"] == ["1", "1.1", "1.2", "2", "2.1", "2.3", "2.4", "3"]

    saved = await doors.post(f"{form}/answers", {"answers": {"1.1": ["Quill"], "2.1": [3]}})
    assert saved.status_code == 200, saved.text
    again = (await doors.get(form)).json()
    assert (again["status"], again["answers"]) == ("saved", {"1.1": ["Quill"], "2.1": [3]})
    assert "2.2" in again["counts"]
    await doors.quiet(path)
    assert "request_submitted" not in await doors.kinds(path)

    short = await doors.post(f"{form}/answers", {"answers": {**GOOD, "2.1": [3], "2.3": ["up"]}, "complete": True})
    assert (short.status_code, short.json()["code"]) == (422, "answers_invalid")
    assert {(one["field"], one["pointer"]) for one in short.json()["errors"]} == {
        ("2.2", "/answers/2.2"),
        ("2.3", "/answers/2.3"),
    }
    done = await doors.post(f"{form}/answers", {"answers": GOOD, "complete": True})
    assert done.status_code == 200, done.text
    await doors.quiet(path)
    items = (await doors.get(f"{path}/facts")).json()["items"]
    kinds = [fact["kind"] for fact in items]
    assert "request_submitted" in kinds
    answered = [fact for fact in items if fact["kind"] == "questionnaire_answered"]
    assert [fact["complete"] for fact in answered] == [False, True]
    claimed = next(fact for fact in items if fact["kind"] == "task_claimed")
    assert claimed["by"] == "person:ines"

    response = json.loads((await doors.get(f"{path}/documents/{answered[1]['response']['id']}")).content)
    assert (response["resourceType"], response["status"]) == ("QuestionnaireResponse", "completed")
    assert response["questionnaire"] == "https://cedar-ppo.example/Questionnaire/imaging|1.0"
    (side,) = [item for item in response["item"][1]["item"] if item["linkId"] == "2.3"]
    assert side["answer"][0]["valueCoding"] == {"system": SIDE, "code": "left", "display": "Left"}
    assert kinds.index("questionnaire_answered") < kinds.index("request_submitted") < kinds.index("decision_received")
    late = await doors.post(f"{form}/answers", {"answers": GOOD, "complete": True})
    assert (late.status_code, late.json()["code"]) == (409, "form_done")
    assert (await doors.get(form)).json()["status"] == "complete"


async def test_an_order_that_a_gold_card_covers_needs_nothing(doors: Doors) -> None:
    path, _ = await doors.opened("910", **CEDAR)
    items = (await doors.get(f"{path}/facts")).json()["items"]
    (found,) = [fact for fact in items if fact["kind"] == "requirement_determined"]
    assert found["lines"][0]["authorization"] == "not_required"
    assert found["lines"][0]["rule"].startswith("payer/no-auth, gold-card (")
    assert found["evidence"]["kind"] == "payer_answer"
    assert "request_submitted" not in [fact["kind"] for fact in items]


async def test_what_somebody_else_holds_is_theirs(doors: Doors) -> None:
    path, form = await wanted(doors)
    task = await doors.task(path, "fill_questionnaire")
    other = await doors.token(person="bo")
    assert (await doors.post(f"{path}/tasks/{task}/claim", token=other)).status_code == 200
    refused = await doors.post(f"{form}/answers", {"answers": GOOD, "complete": True})
    assert (refused.status_code, refused.json()["code"]) == (409, "task_held")
    assert (await doors.post(f"{form}/answers", {"answers": GOOD, "complete": True}, token=other)).status_code == 200


async def test_said_twice_with_one_key_it_happened_once(doors: Doors) -> None:
    path, form = await wanted(doors)
    body, headers = {"answers": GOOD, "complete": True}, {"Idempotency-Key": "form-1"}
    first = await doors.post(f"{form}/answers", body, headers=headers)
    again = await doors.post(f"{form}/answers", body, headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert (await doors.kinds(path)).count("questionnaire_answered") == 1


async def test_the_task_takes_a_response_or_goes_without(doors: Doors) -> None:
    path, _ = await wanted(doors)
    task = await doors.task(path, "fill_questionnaire")
    forms = (await doors.get(f"{path}/tasks/{task}/form")).json()["forms"]
    assert [one["name"] for one in forms] == ["questionnaire_filled", "documents_attached", "send_without"]
    await doors.post(f"{path}/tasks/{task}/claim")
    sent = await doors.post(f"{path}/tasks/{task}/complete", {"result": "send_without", "reason": "By phone"})
    assert sent.status_code == 200, sent.text
    await doors.quiet(path)
    assert "request_submitted" in await doors.kinds(path)


async def test_what_is_no_answer_is_refused_by_its_item(doors: Doors) -> None:
    _, form = await wanted(doors)
    for body, code in (
        ({"answers": []}, "fields_invalid"),
        ({"more": 1}, "fields_invalid"),
        ({"answers": {"9": ["x"]}}, "answers_invalid"),
        ({"answers": {"2.1": ["many"]}}, "answers_invalid"),
        ({"answers": {"3": ["row"]}}, "answers_invalid"),
    ):
        refused = await doors.post(f"{form}/answers", body)
        assert (refused.status_code, refused.json()["code"]) == (422, code)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["errors"]


async def test_who_may_not_sees_nothing(doors: Doors) -> None:
    path, form = await wanted(doors)
    assert (await doors.get(f"{path}/questionnaires/nothing")).status_code == 404
    assert (await doors.get(form, token=await doors.token(Role.INTAKE))).status_code == 403
    assert (await doors.http.get(form)).status_code == 401
    assert (await doors.get(form, token=await doors.token(practice="elsewhere"))).status_code == 404


# --- the page -----------------------------------------------------------------------------------------------------------


def basic(token: str, **more: str) -> dict[str, str]:
    credentials = base64.b64encode(f"ines:{token}".encode()).decode()
    return {"Authorization": f"Basic {credentials}", "Accept": "text/html", **more}


async def test_a_person_fills_in_the_page_in_a_browser(doors: Doors) -> None:
    path, form = await wanted(doors)
    asked = await doors.http.get(form, headers={"Accept": "text/html"})
    assert (asked.status_code, asked.headers["www-authenticate"]) == (401, 'Basic realm="vigil", charset="UTF-8"')
    token = await doors.token()
    shown = await doors.http.get(form, headers=basic(token))
    assert shown.status_code == 200
    assert shown.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert 'value="Quillfeather"' in shown.text
    named = fields(shown.text)
    weeks, why, left = (
        named["Weeks of conservative therapy"],
        named["Why was there less than six weeks?"],
        named["Left"],
    )
    own = basic(token, Origin="http://127.0.0.1:8080")
    same = {"data": {"0.0": "Quillfeather", "0.1": "1961-04-17", weeks: "3", left: f"{SIDE}|left", "2~0.0": "MRI"}}

    wrong = await doors.http.post(f"{form}/answers", headers=own, data={**same["data"], "action": "submit"})
    assert wrong.status_code == 422
    assert f'aria-describedby="e-{why}"' in wrong.text
    assert "An answer is needed." in wrong.text
    assert 'value="MRI"' in wrong.text
    saved = await doors.http.post(f"{form}/answers", headers=own, data={**same["data"], "action": "save"})
    assert saved.status_code == 303
    shown = await doors.http.get(saved.headers["location"], headers=basic(token))
    assert '<p role="status">Saved.</p>' in shown.text
    assert 'value="3"' in shown.text
    body = {**same["data"], why: "Red flags", "action": "submit"}
    done = await doors.http.post(f"{form}/answers", headers=own, data=body)
    assert done.status_code == 303, done.text
    await doors.quiet(path)
    assert "request_submitted" in await doors.kinds(path)
    over = await doors.http.get(form, headers=basic(token))
    assert "It can no longer be changed." in over.text
    assert '<button type="submit"' not in over.text


async def test_another_site_cannot_post_in_a_persons_name(doors: Doors) -> None:
    _, form = await wanted(doors)
    token = await doors.token()
    for more in ({}, {"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        refused = await doors.http.post(f"{form}/answers", headers=basic(token, **more), data={"action": "save"})
        assert (refused.status_code, refused.json()["code"]) == (403, "other_site")
    assert (await doors.http.get(form, headers=basic("wrong"))).status_code == 401


def fields(text: str) -> dict[str, str]:
    """The name of each field by its label."""
    found = {
        html.unescape(label).removesuffix(" *"): name
        for name, label in re.findall(r'<label for="f-([^"]+)">([^<]+)', text)
    }
    found |= {
        html.unescape(label).strip(): name
        for name, label in re.findall(r'<input type="(?:radio|checkbox)" name="([^"]+)"[^>]*> ([^<]+)</label>', text)
    }
    return found


def every_type() -> Form:
    options = [{"valueCoding": {"system": "s", "code": str(n), "display": f"Option {n}"}} for n in range(9)]
    kinds = (
        "boolean",
        "decimal",
        "integer",
        "date",
        "dateTime",
        "time",
        "string",
        "text",
        "url",
        "quantity",
        "attachment",
    )
    items: list[dict[str, Any]] = [{"linkId": kind, "type": kind, "text": kind.upper()} for kind in kinds]
    items += [
        {"linkId": "few", "type": "choice", "text": "Few", "answerOption": options[:3]},
        {"linkId": "many", "type": "choice", "text": "Many", "answerOption": options},
        {"linkId": "several", "type": "choice", "text": "Several", "repeats": True, "answerOption": options[:3]},
        {"linkId": "open", "type": "open-choice", "text": "Open", "answerOption": options[:3]},
        {"linkId": "note", "type": "display", "text": "<b>Read this</b> & that"},
        {"linkId": "rows", "type": "group", "text": "Rows", "repeats": True,
         "item": [{"linkId": "in", "type": "string", "text": "In"}]},
        {"linkId": "strings", "type": "string", "text": "Strings", "repeats": True},
        {"linkId": "only", "type": "string", "text": "Only", "enableWhen": [
            {"question": "few", "operator": "=", "answerCoding": {"system": "s", "code": "1"}}]},
        {"linkId": '"><script>alert(1)</script>', "type": "string", "text": "Odd", "required": True},
    ]  # fmt: skip
    return read_form({"resourceType": "Questionnaire", "title": "<i>Form</i>", "item": items})


ANSWERS: dict[str, Any] = {
    "boolean": [True],
    "decimal": [2.5],
    "integer": [3],
    "date": ["2026-11-30"],
    "dateTime": ["2026-11-30T09:15:00-06:00"],
    "time": ["09:15"],
    "string": ['say "a" & <b>'],
    "text": ["two\r\nlines"],
    "url": ["https://x.example/"],
    "quantity": ["5 mg"],
    "few": ["s|1"],
    "many": ["s|7"],
    "several": ["s|0", "s|2"],
    "open": ["in words"],
    "rows": [{"in": ["one"]}, {"in": ["two"]}],
    "strings": ["a", "b"],
    "only": ["yes"],
}


def test_what_the_page_shows_comes_back_as_it_was() -> None:
    form = every_type()
    text = page(form, ANSWERS, action="/x", status="New.", is_open=True)
    assert "<script>" not in text
    assert "<i>" not in text
    assert "Only if “Few” = Option 1." in text
    data: list[tuple[str, str]] = []
    for tag in re.findall(r"<input [^>]+>", text):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and (('type="radio"' not in tag and 'type="checkbox"' not in tag) or " checked" in tag):
            data.append((name.group(1), html.unescape(value.group(1)) if value else ""))
    for name, inside in re.findall(r'<select id="f-([^"]+)".*?>(.*?)</select>', text):
        data += [(name, html.unescape(one)) for one in re.findall(r'value="([^"]*)" selected', inside)]
    for name, inside in re.findall(r'<textarea [^>]*name="([^"]+)"[^>]*>(.*?)</textarea>', text, re.DOTALL):
        data.append((name, html.unescape(inside)))
    answers, submit = posted(form, urlencode([*data, ("action", "submit")]).encode())
    assert submit
    assert answers == ANSWERS


def test_errors_stand_with_their_fields_and_in_a_summary() -> None:
    form = every_type()
    problems = validate(form, {"integer": ["x"]})
    text = page(form, {"integer": ["x"]}, action="/x", status="New.", is_open=True, problems=problems)
    assert 'role="alert"' in text
    for anchor in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{anchor}"' in text
    described = {one for many in re.findall(r'aria-describedby="([^"]+)"', text) for one in many.split()}
    assert all(f'id="{one}"' in text for one in described)
    labelled = re.findall(r'<label for="([^"]+)"', text)
    assert all(text.count(f'id="{one}"') == 1 for one in labelled)


def test_what_is_no_posted_page_is_refused() -> None:
    form = every_type()
    with pytest.raises(ValueError, match="utf-8"):
        posted(form, b"\xff\xfe")
    with pytest.raises(ValueError, match="fields"):
        posted(form, b"&".join(b"a=1" for _ in range(6000)))
    assert posted(form, b"") == ({}, False)


def test_the_folder_of_policies_has_a_payer_that_answers_by_its_own_rules() -> None:
    text = (Path(__file__).resolve().parent.parent / "policies" / "cedar-ppo.yaml").read_text()
    assert "crd_url" in text
    assert "dtr_url" in text
