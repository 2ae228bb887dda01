"""Reading cases and working their tasks, through the door: one wins, results establish facts, two sign a correction."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.sentences import sentence
from domain.case import replay
from domain.facts import read_fact
from store.audit import AuditTrail, entries
from store.tokens import Role
from tests.api_doors import Doors, as_json, open_doors
from tests.house import House

PORTAL = {"payer": "keystone-sf"}
SENT = {"result": "submitted", "receipt": {"kind": "reference_number", "reference": "KREF208817"}}


@pytest.fixture
async def doors(house: House) -> AsyncIterator[Doors]:
    async with open_doors(house) as found:
        yield found


async def test_of_two_claims_at_once_one_wins_and_the_result_moves_the_case_on(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    people = [await doors.token(person=person) for person in ("ines", "otto")]
    claims = await asyncio.gather(*(doors.post(f"{path}/tasks/{task}/claim", token=token) for token in people))
    assert sorted(answer.status_code for answer in claims) == [200, 409]
    won = people[[answer.status_code for answer in claims].index(200)]
    lost = next(token for token in people if token != won)
    assert next(a for a in claims if a.status_code == 409).json()["code"] == "task_held"

    refused = await doors.post(f"{path}/tasks/{task}/complete", SENT, token=lost)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_holder")
    done = await doors.post(f"{path}/tasks/{task}/complete", SENT, token=won)
    assert done.status_code == 200, done.text
    assert done.json()["case"]["turn"] == "payer"
    kinds = await doors.kinds(path)
    assert kinds.index("request_submitted") < kinds.index("task_completed")
    late = await doors.post(f"{path}/tasks/{task}/complete", SENT, token=won)
    assert (late.status_code, late.json()["code"]) == (409, "task_done")


async def test_a_pending_reference_entered_as_an_approval_is_refused_and_changes_nothing(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    await doors.post(f"{path}/tasks/{task}/claim")
    before = await doors.kinds(path)
    decided = {
        "result": "decided",
        "reference": "CALL-1",
        "lines": [{"line": 1, "decision": "approved", "number": "KREF208817"}],
    }
    answer = await doors.post(f"{path}/tasks/{task}/complete", decided)
    assert (answer.status_code, answer.json()["code"]) == (422, "number_is_pending")
    assert await doors.kinds(path) == before


async def test_a_result_that_the_task_does_not_take_is_refused_naming_what_it_takes(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    form = (await doors.get(f"{path}/tasks/{task}/form")).json()
    assert [one["name"] for one in form["forms"]] == ["submitted", "decided", "channel_trouble"]
    assert form["open"] is True
    wrong = await doors.post(f"{path}/tasks/{task}/complete", {"result": "acknowledged", "note": "Seen."})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_result")
    broken = await doors.post(f"{path}/tasks/{task}/complete", {"result": "submitted"})
    assert (broken.status_code, broken.json()["code"]) == (422, "fields_invalid")
    none = await doors.post(f"{path}/tasks/submit_request/none/9/claim")
    assert (none.status_code, none.json()["code"]) == (404, "task_unknown")


async def test_a_supervisor_gives_back_what_somebody_else_holds(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    await doors.post(f"{path}/tasks/{task}/claim", token=await doors.token(person="ines"))
    other = await doors.post(f"{path}/tasks/{task}/release", token=await doors.token(person="otto"))
    assert (other.status_code, other.json()["code"]) == (409, "not_holder")
    given = await doors.post(f"{path}/tasks/{task}/release", token=await doors.token(Role.SUPERVISOR, "maud"))
    assert given.status_code == 200
    assert given.json()["case"]["owner"] is None
    facts = (await doors.get(f"{path}/facts")).json()["items"]
    released = next(fact for fact in facts if fact["kind"] == "task_released")
    assert (released["by"], released["taken_back"]) == ("person:maud", True)
    assert "note_added" not in {fact["kind"] for fact in facts}


async def test_who_holds_a_task_gives_it_back_also_a_supervisor_and_nobody_twice(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    for role, person in ((Role.STAFF, "ines"), (Role.SUPERVISOR, "maud")):
        token = await doors.token(role, person)
        await doors.post(f"{path}/tasks/{task}/claim", token=token)
        assert (await doors.post(f"{path}/tasks/{task}/release", token=token)).status_code == 200
        twice = await doors.post(f"{path}/tasks/{task}/release", token=token)
        assert (twice.status_code, twice.json()["code"]) == (409, "not_holder")
    facts = (await doors.get(f"{path}/facts")).json()["items"]
    assert [fact["taken_back"] for fact in facts if fact["kind"] == "task_released"] == [False, False]


async def test_a_result_is_handed_in_once_by_its_key_also_while_postgresql_is_away(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    token = await doors.token()
    await doors.post(f"{path}/tasks/{task}/claim", token=token)
    headers = {"Idempotency-Key": "done-1"}
    await doors.get(path, token=token)
    with doors.without_postgresql() as away:
        answers = [
            await away.post(f"{path}/tasks/{task}/complete", SENT, headers=headers, token=token) for _ in range(2)
        ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["repeated"] for answer in answers] == [False, True]
    assert (await doors.kinds(path)).count("task_completed") == 1


async def test_what_was_learned_without_a_task_is_recorded_with_calls_and_notes(doors: Doors) -> None:
    path, _ = await doors.opened("202")
    call = {"with_whom": "payer", "representative": "Dana", "reference": "C-9", "asked": "Status?", "answered": "Soon."}
    assert (await doors.post(f"{path}/calls", call)).status_code == 200
    assert (await doors.post(f"{path}/notes", {"text": "Told the surgeon's office."})).status_code == 200
    told = {
        "result": {
            "result": "decided",
            "representative": "Dana",
            "lines": [{"line": 1, "decision": "approved", "number": "A204418830", "valid_to": "2027-12-31"}],
        }
    }
    answer = await doors.post(f"{path}/outcome", told)
    assert answer.status_code == 200, answer.text
    assert answer.json()["case"]["ready"] is True
    wrong = await doors.post(f"{path}/outcome", {"result": {"result": "told", "channel": "call", "reference": "x"}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_result")


async def test_documents_come_in_and_go_out_by_the_case_that_names_them(doors: Doors) -> None:
    path, _ = await doors.opened("100", documents=())
    row = await doors.quiet(path)
    assert row["stage"] == "documents"
    for kind in ("office_note", "imaging_report", "conservative_therapy"):
        answer = await doors.call(
            "POST",
            f"{path}/documents",
            params={"kind": kind, "dated": datetime.now(UTC).date().isoformat()},
            content=f"synthetic {kind}".encode(),
            headers={"Content-Type": "text/plain"},
        )
        assert answer.status_code == 201, answer.text
        document = answer.json()["document"]
    row = await doors.quiet(path)
    assert row["ready"] is True
    back = await doors.get(f"{path}/documents/{document['id']}")
    assert back.content == b"synthetic conservative_therapy"
    assert back.headers["content-disposition"].startswith("attachment")
    assert back.headers["x-content-type-options"] == "nosniff"
    assert (await doors.get(f"{path}/documents/{'0' * 64}")).status_code == 404
    bad = await doors.call(
        "POST", f"{path}/documents", params={"kind": "note"}, content=b"MZ", headers={"Content-Type": "application/exe"}
    )
    assert bad.status_code == 415


async def test_evidence_that_is_not_kept_is_no_evidence(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    await doors.post(f"{path}/tasks/{task}/claim")
    ghost = {"id": "0" * 64, "kind": "evidence", "media_type": "image/png", "size": 3}
    answer = await doors.post(f"{path}/tasks/{task}/complete", {**SENT, "evidence": [ghost]})
    assert (answer.status_code, answer.json()["code"]) == (422, "document_unknown")
    kept = await doors.call(
        "POST",
        f"{path}/documents",
        params={"kind": "evidence", "attach": "false"},
        content=b"png",
        headers={"Content-Type": "image/png"},
    )
    done = await doors.post(f"{path}/tasks/{task}/complete", {**SENT, "evidence": [kept.json()["document"]]})
    assert done.status_code == 200, done.text
    assert "document_added" not in await doors.kinds(path)


async def test_a_document_is_brought_once_by_its_key(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    token = await doors.token()
    answers = [
        await doors.call(
            "POST",
            f"{path}/documents?kind=office_note",
            content=b"synthetic",
            headers={"Content-Type": "text/plain", "Idempotency-Key": "document-1"},
            token=token,
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert (await doors.kinds(path)).count("document_added") == 1


async def test_the_worklist_is_sorted_by_slack_and_filtered(doors: Doors) -> None:
    portal, _ = await doors.opened(**PORTAL)
    pended, ordered = await doors.opened("202")
    items = (await doors.get("/v1/worklist")).json()["items"]
    assert {f"/v1/cases/{item['case_id']}" for item in items} == {portal, pended}
    due = [item["binding"]["due"] for item in items]
    assert due == sorted(due)
    staff = (await doors.get("/v1/worklist", params={"turn": "staff"})).json()["items"]
    assert [f"/v1/cases/{item['case_id']}" for item in staff] == [portal]
    one = (await doors.get("/v1/worklist", params={"limit": 1})).json()
    rest = (await doors.get("/v1/worklist", params={"limit": 1, "cursor": one["next"]})).json()
    assert {one["items"][0]["case_id"], rest["items"][0]["case_id"]} == {item["case_id"] for item in items}
    assert (await doors.get("/v1/worklist", params={"cursor": "x"})).status_code == 422
    found = (await doors.get("/v1/cases", params={"q": ordered.number})).json()["items"]
    assert [f"/v1/cases/{item['case_id']}" for item in found] == [pended]


async def test_a_plan_can_be_asked_for_at_any_instant(doors: Doors) -> None:
    path, _ = await doors.opened("202")
    now = (await doors.get(f"{path}/plan")).json()
    assert now["plan"]["turn"] == "payer"
    facts = (await doors.get(f"{path}/facts")).json()["items"]
    early = facts[0]["recorded_at"]
    then = (await doors.get(f"{path}/plan", params={"at": early})).json()
    assert then["n"] < now["n"]
    assert then["plan"]["stage"] == "requirement"
    later = datetime.now(UTC) + timedelta(days=40)
    ahead = (await doors.get(f"{path}/plan", params={"at": later.isoformat()})).json()
    assert any(fact["kind"] == "clock_breached" for fact in ahead["plan"]["conclusions"])
    before = await doors.get(f"{path}/plan", params={"at": "2020-01-01T00:00:00Z"})
    assert before.status_code == 404
    assert (await doors.get(f"{path}/plan", params={"at": "yesterday"})).status_code == 422


async def test_a_fact_is_taken_back_by_two_operators_only(doors: Doors) -> None:
    path, _ = await doors.opened("100")
    facts = (await doors.get(f"{path}/facts")).json()["items"]
    n = next(fact["n"] for fact in facts if fact["kind"] == "decision_received")
    body = {"n": n, "reason": "It was another patient's."}
    staff = await doors.post(f"{path}/retract", body)
    assert staff.status_code == 403
    first = await doors.token(Role.OPERATOR, "maud")
    step = next(fact["n"] for fact in facts if fact["kind"] == "action_ended")
    vain = await doors.post(f"{path}/retract", {**body, "n": step}, token=first)
    assert (vain.status_code, vain.json()["code"]) == (409, "not_reported"), "the first to sign hears it"
    for again in (None, "true"):
        waiting = await doors.post(f"{path}/retract", body, token=first, headers={"Idempotency-Key": "taken-back"})
        assert (waiting.status_code, waiting.json()["status"]) == (202, "waiting")
        assert waiting.headers.get("idempotent-replayed") == again
    assert (await doors.post(f"{path}/retract", body, token=first)).status_code == 202
    second = await doors.post(f"{path}/retract", body, token=await doors.token(Role.OPERATOR, "otto"))
    assert second.status_code == 200, second.text
    assert second.json()["second_by"] == "person:otto"
    assert (await doors.get(path)).json()["ready"] is False
    retracted = (await doors.get(f"{path}/facts")).json()["items"]
    assert [fact["kind"] for fact in retracted].count("decision_received") == 1
    fact = next(fact for fact in retracted if fact["kind"] == "fact_retracted")
    assert (fact["by"], fact["signed_by"]) == ("person:maud", "person:otto")
    case = replay(path.rpartition("/")[2], [read_fact(json.dumps(one)) for one in retracted])
    taken_back = next(one for one in retracted if one["n"] == n)
    assert (fact["retracted"], case.sources[fact["retracted"]]) == (taken_back["source_id"], n)
    assert f"Fact {n} taken back: It was another patient's." in sentence(case.facts[fact["n"] - 1], case.sources)
    none = await doors.post(f"{path}/retract", {"n": 999, "reason": "No."}, token=first)
    assert (none.status_code, none.json()["code"]) == (404, "fact_unknown")


async def test_every_report_honours_its_idempotency_key(doors: Doors) -> None:
    path, ordered = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    token = await doors.token(Role.SUPERVISOR)
    decided = {
        "result": {
            "result": "decided",
            "representative": "Dana",
            "lines": [{"line": 1, "decision": "approved", "number": "K4418830-01", "valid_to": "2027-12-31"}],
        }
    }
    reports: list[tuple[str, Any, str]] = [
        ("notes", {"text": "Told the surgeon's office."}, "note_added"),
        ("calls", {"with_whom": "payer", "asked": "Status?", "answered": "Soon."}, "call_logged"),
        (f"tasks/{task}/claim", None, "task_claimed"),
        (f"tasks/{task}/release", None, "task_released"),
        (f"tasks/{task}/claim", None, "task_claimed"),
        (f"tasks/{task}/complete", SENT, "task_completed"),
        ("outcome", decided, "decision_received"),
        ("order", {**as_json(ordered), "diagnoses": ["M54.17"]}, "order_changed"),
        ("cancel", {"reason": "Not wanted."}, "order_cancelled"),
    ]
    for place, (where, body, kind) in enumerate(reports):
        headers = {"Idempotency-Key": f"key-{place}"}
        counted = (await doors.kinds(path)).count(kind)
        answers = [await doors.post(f"{path}/{where}", body, headers=headers, token=token) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200], (where, answers[0].text)
        assert answers[1].headers["idempotent-replayed"] == "true", where
        assert answers[1].json() == answers[0].json(), where
        other = await doors.post(f"{path}/{where}?other=1", body, headers=headers, token=token)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused"), where
        assert (await doors.kinds(path)).count(kind) == counted + 1, where


async def test_while_postgresql_is_away_work_is_taken_and_reads_are_refused(doors: Doors) -> None:
    path, _ = await doors.opened(**PORTAL)
    task = await doors.task(path, "submit_request")
    token, unseen = await doors.token(), await doors.token(person="otto")
    await doors.get(path, token=token)
    with doors.without_postgresql() as away:
        for read in (path, f"{path}/facts", "/v1/worklist", "/v1/cases?q=x"):
            answer = await away.get(read, token=token)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert (await away.get(path, token=unseen)).status_code == 503

        fresh = await doors.desk.order("202")
        assert (await away.post("/v1/orders", as_json(fresh), token=token)).status_code == 202
        assert (await away.post("/v1/orders", as_json(fresh), token=token)).status_code == 200
        assert (await away.post(f"{path}/tasks/{task}/claim", token=token)).status_code == 200
        assert (await away.post(f"{path}/tasks/{task}/complete", SENT, token=token)).status_code == 200
        assert (await away.post(f"{path}/notes", {"text": "By the light of a candle."}, token=token)).status_code == 200
        assert (await away.get("/readyz", token=token)).json()["status"] == "degraded"

    services = doors.services
    caught_up = AuditTrail(services.database, away.services.spool)
    await caught_up.drain()
    kept = await entries(services.database, doors.desk.practice.id, case_id=path.rpartition("/")[2])
    assert {"task.claim", "task.complete", "note.add", "case.read"} <= {entry.what for entry in kept}
