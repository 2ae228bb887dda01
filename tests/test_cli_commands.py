"""Commands that need no server: read, preview, policy, keys; and what they say when something is wrong."""

import asyncio
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from typer.testing import CliRunner

from activities.gate import CHANNEL_DOWN
from activities.subscriptions import NOT_KEPT
from activities.sweep import UNREADABLE
from activities.watch_alerts import (
    ARCHIVE_LAG,
    DATABASE_AWAY,
    ORDER_WITHOUT_CASE,
    OVERDUE,
    RESTORED,
    ROUND_MISSING,
    STUCK,
    UNRESTORABLE,
)
from cli import app
from console.cases import order_text
from console.errors import CommandFailed
from console.seed import Seed
from console.seed_chart import planting
from console.seed_day import the_day
from console.world import World
from domain.order import Category, Urgency
from runtime.metrics import REGISTRY
from runtime.practices import load_practices
from runtime.settings import Settings
from tests.builders import order

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIGIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VIGIL_KEYS_FILE", str(tmp_path / "keys"))
    return tmp_path / "home"


def vigil(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def written(tmp_path: Path, content: object, name: str = "file.json") -> str:
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def claim_response(action: str, **more: Any) -> dict[str, Any]:
    review: dict[str, Any] = {
        "url": "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewAction",
        "extension": [
            {
                "url": "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewActionCode",
                "valueCodeableConcept": {
                    "coding": [{"system": "https://codesystem.x12.org/005010/306", "code": action}]
                },
            },
            {"url": "number", "valueString": "A204418830"},
        ],
    }
    return {
        "resourceType": "ClaimResponse",
        "status": "active",
        "use": "preauthorization",
        "outcome": "complete",
        "item": [
            {
                "itemSequence": 1,
                "adjudication": [
                    {
                        "extension": [review],
                        "category": {
                            "coding": [
                                {"system": "http://terminology.hl7.org/CodeSystem/adjudication", "code": "submitted"}
                            ]
                        },
                    }
                ],
            }
        ],
        **more,
    }


@pytest.mark.parametrize(
    ("action", "decision", "numbers"),
    [
        ("A1", "approved", {"certification": ["A204418830"]}),
        ("A3", "denied", {"administrative": ["A204418830"]}),
        ("A4", "pended", {"administrative": ["A204418830"]}),
        ("ZZ", "unknown", {"administrative": ["A204418830"]}),
    ],
)
def test_read_says_decision_and_numbers_by_type(
    tmp_path: Path, action: str, decision: str, numbers: dict[str, list[str]]
) -> None:
    said = json.loads(vigil("read", written(tmp_path, claim_response(action)), "--rail", "pas"))
    assert said["result"] == "decided"
    (line,) = said["lines"]
    assert (line["line"], line["decision"], line["code"]) == (1, decision, action)
    assert line["numbers"] == numbers


def test_read_shows_a_rejection_with_its_errors(tmp_path: Path) -> None:
    wrong = {"severity": "error", "code": "required", "diagnostics": "Member id is missing."}
    body = {"resourceType": "OperationOutcome", "issue": [wrong]}
    said = json.loads(vigil("read", written(tmp_path, body)))
    assert said["result"] == "rejected"
    assert said["rejected"] == [{"code": "required", "text": "Member id is missing."}]
    # The same inside a 200 is nobody's to interpret.
    said = json.loads(vigil("read", written(tmp_path, body), "--status", "200"))
    assert (said["result"], said["errors"][0]["code"]) == ("unreadable", "required")


@pytest.mark.parametrize("body", ["<html>Service unavailable</html>", "", '{"resourceType": "ClaimResp', "[]"])
def test_read_refuses_nonsense_with_a_reason_and_ends_well(tmp_path: Path, body: str) -> None:
    said = json.loads(vigil("read", written(tmp_path, body)))
    assert (said["result"], said["lines"]) == ("unreadable", [])
    assert said["notes"]


def test_the_guides_own_examples_are_read(shared: Path) -> None:
    folder = shared / "fixtures" / "pas" / "examples" / "ig-2.2.1"
    wanted = {
        "Bundle-ReferralAuthorizationResponseBundleExample.json": ["approved"],
        "Bundle-ReferralPendingAuthorizationResponseBundleExample.json": ["pended"],
        "Bundle-RejectionResponseBundleExample.json": ["denied"],
    }
    for name, decisions in wanted.items():
        said = json.loads(vigil("read", str(folder / name)))
        assert [line["decision"] for line in said["lines"]] == decisions
    assert json.loads(vigil("read", str(folder / "Bundle-ErrorResponseBundleExample.json")))["rejected"]


def test_a_file_that_is_not_there_is_a_sentence() -> None:
    assert vigil("read", "/nowhere/answer.json", code=1).strip() == (
        "/nowhere/answer.json cannot be read: No such file or directory."
    )


def order_file(tmp_path: Path, **changes: Any) -> str:
    return written(tmp_path, json.loads(order(**changes).model_dump_json(exclude_none=True)), "order.json")


def test_preview_prints_the_whole_message_and_makes_no_keys(tmp_path: Path, fresh_home: Path) -> None:
    bundle = json.loads(vigil("preview", order_file(tmp_path), "--rail", "pas"))
    assert bundle["resourceType"] == "Bundle"
    claim = bundle["entry"][0]["resource"]
    assert claim["resourceType"] == "Claim"
    assert claim["use"] == "preauthorization"
    assert [item["productOrService"]["coding"][0]["code"] for item in claim["item"]] == ["72131"]
    assert not fresh_home.exists()
    assert not (tmp_path / "keys").exists()


def test_preview_takes_fhir_too(tmp_path: Path) -> None:
    (planned,) = [one for one in the_day(NOW, "America/Chicago") if one.order.number == "LKS-1032"]
    resources = planting([planned], NOW, "America/Chicago")["resources"]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in resources]}
    made = json.loads(vigil("preview", written(tmp_path, bundle)))
    claim = made["entry"][0]["resource"]
    assert claim["item"][0]["productOrService"]["coding"][0]["code"] == planned.order.lines[0].code


def test_preview_says_why_nothing_would_be_sent(tmp_path: Path) -> None:
    by_people = vigil("preview", order_file(tmp_path, payer="keystone-sf"), code=1)
    assert "not asked by PAS but by portal, fax" in by_people
    free = order_file(tmp_path, code="99243", category="consult")
    assert re.search(r"Nothing would be sent\..*not_required \(meridian-consult\)", vigil("preview", free, code=1))
    unknown = vigil("preview", order_file(tmp_path, payer="nobody"), code=1)
    assert "No policy of nobody" in unknown


def test_preview_names_missing_fields_and_no_values(tmp_path: Path) -> None:
    content = json.loads(order(family_name="Secretname").model_dump_json(exclude_none=True))
    del content["diagnoses"]
    content["ordering"]["npi"] = "1234567890"
    said = vigil("preview", written(tmp_path, content), code=1)
    assert "diagnoses: Field required" in said
    assert "ordering.npi" in said
    assert "Secretname" not in said


def test_the_released_policies_are_fine() -> None:
    said = vigil("policy", "check", str(ROOT / "policies"))
    assert said.count(".yaml: fine") == len(list((ROOT / "policies").glob("*.yaml")))


def test_a_wrong_policy_is_refused_with_where_and_what(tmp_path: Path) -> None:
    text = (
        (ROOT / "policies" / "meridian-ppo.yaml").read_text().replace("authorization: required", "authorization: maybe")
    )
    file = written(tmp_path, text, "wrong.yaml")
    said = vigil("policy", "check", file, code=1)
    assert "error: wrong.yaml" in said
    assert "requirements[0].authorization" in said
    assert "is not there" in vigil("policy", "check", str(tmp_path / "none.yaml"), code=1)


def test_explain_names_rule_source_and_age() -> None:
    said = vigil("policy", "explain", "meridian-ppo", "70450", "--pos", "23", "--on", "2026-11-23")
    assert re.search(r"Authorization\s+not required", said)
    assert re.search(r"Rule\s+meridian-ct-emergency", said)
    assert re.search(r"Verified\s+2026-10-15, 39 days ago", said)
    by_file = vigil("policy", "explain", str(ROOT / "policies" / "summit-ma.yaml"), "93970", "--diagnosis", "I82.4")
    assert "summit-doppler-suspected-thrombosis" in by_file
    as_json = json.loads(vigil("policy", "explain", "meridian-ppo", "00000", "--json"))
    assert (as_json["authorization"], as_json["rule"]) == ("unknown", "vigil/no-rule")
    assert "keystone-sf, meridian-ppo, summit-ma" in vigil("policy", "explain", "nobody", "72131", code=1)


def test_without_a_token_or_an_api_the_terminal_says_what_to_do() -> None:
    assert "Start Vigil with `vigil up`" in vigil("worklist", code=1)
    said = vigil("worklist", "--token", "vgl_staff_x", "--url", "http://127.0.0.1:9", code=1)
    assert said.startswith("The API cannot be reached at http://127.0.0.1:9 (ConnectError).")


def test_keys_are_rotated_and_listed_without_their_content(tmp_path: Path) -> None:
    assert "no keys" in vigil("keys", "fingerprint", code=1)
    assert "Active key: k" in vigil("keys", "rotate")
    listed = vigil("keys", "fingerprint")
    ring = json.loads((tmp_path / "keys").read_text())
    assert f"* {ring['active']}" in listed
    assert len(ring["keys"]) == 2
    assert all(key["key"] not in listed for key in ring["keys"])
    assert ring["root"] not in listed


def test_wrong_settings_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_API_PORT", "many")
    assert "VIGIL_API_PORT" in vigil("worklist", code=1)


def test_the_day_covers_the_job() -> None:
    day = the_day(NOW, "America/Chicago")
    orders = [one.order for one in day]
    assert sum(not one.only_in_ehr for one in day) >= 24
    assert any(one.only_in_ehr for one in day)
    assert {line.category for one in orders for line in one.lines} >= set(Category) - {Category.OTHER}
    assert {one.urgency for one in orders} == set(Urgency)
    payers = {one.primary.payer for one in orders}
    assert (
        {"meridian-ppo", "summit-ma", "keystone-sf"}
        <= payers
        <= {path.stem for path in (ROOT / "policies").glob("*.yaml")}
    )
    assert len({one.number for one in orders}) == len(day)
    visits = [one.appointment.starts_at for one in orders if one.appointment]
    assert all(NOW < visit < NOW + timedelta(days=40) for visit in visits)
    assert the_day(NOW, "America/Chicago") == day


def test_the_runbook_has_a_page_on_every_alert_and_names_real_metrics() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    pages = set(re.findall(r"^## ([a-z-]+)$", runbook, re.MULTILINE))
    kinds = {OVERDUE, STUCK, RESTORED, UNRESTORABLE, DATABASE_AWAY, ARCHIVE_LAG, ROUND_MISSING, ORDER_WITHOUT_CASE}
    kinds |= {UNREADABLE, NOT_KEPT, CHANNEL_DOWN}
    assert {kind.replace("_", "-") for kind in kinds} <= pages
    assert set(re.findall(r"\]\(#([a-z-]+)\)", runbook)) == pages
    known = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    known |= {family.name for family in REGISTRY.collect()}
    named = set(re.findall(r"\bvigil_[a-z_]+", runbook))
    assert named <= known | {f"{name}_total" for name in known}, named - known


async def test_planting_that_was_cut_off_is_done_again(sandbox_url: str, tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path / "home", keys_file=tmp_path / "keys", sandbox_url=sandbox_url, sandbox_apart=False
    )
    example = load_practices(ROOT / "examples" / "practices.yaml", settings.resolve_url)["lakeside"]
    practice = example.model_copy(update={"id": f"seed-{uuid.uuid4().hex[:8]}"})
    settings.ensure_home()
    seed = Seed(settings.home_path)
    async with httpx.AsyncClient(trust_env=False) as http:
        world = World(settings, http)
        day = seed.day(practice)
        # Killed between planting and noting it: what is there would be refused a second time.
        await world.plant(practice.id, planting(day, NOW, practice.time_zone))
        with pytest.raises(CommandFailed, match="422"):
            await world.plant(practice.id, planting(day, NOW, practice.time_zone))
        await seed.plant(world, practice)
        assert seed.planted
        await seed.plant(world, practice)
    await asyncio.sleep(0)
    assert Seed(settings.home_path).day(practice) == day


def test_a_word_that_no_list_has_is_refused_and_not_an_empty_worklist() -> None:
    assert "Use one of vigil, staff" in vigil("worklist", "--turn", "somebody", code=2)
    assert "Use one of routine, urgent, stat" in vigil("worklist", "--urgency", "nobody", code=2)


def test_a_posted_order_is_told_in_the_practices_own_time() -> None:
    clock = {"due": "2027-02-09T18:00:00Z", "label": "The service is due.", "rule": "order/service-date"}
    text = order_text({"case_id": "case-x", "order_number": "EXAMPLE-A", "binding": clock}, ZoneInfo("America/Chicago"))
    assert "Case case-x watches over order EXAMPLE-A." in text
    assert "Due: Tue 2027-02-09 12:00 CST - The service is due. (order/service-date)" in text
