"""`vigil read`, `vigil preview` and `vigil rail check` for every rail, through the command line."""

import asyncio
import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pypdf import PdfReader
from typer.testing import CliRunner, Result

from cli import app
from connectors.x12 import envelope
from connectors.x12.attachment import read_attachments
from store import channels, subscriptions
from store.database import Database
from store.migrate import migrate
from tests.builders import order
from tests.x12_answers import ALL

ROOT = Path(__file__).resolve().parent.parent
ALL_URGENCIES = ["routine", "urgent", "stat"]
SECRETS = ("meridian-ppo", "northbridge", "relay", "neutral", "hisp")


def policy_file(folder: Path, **changes: dict[str, Any]) -> Path:
    """Meridian with a channel on every rail; `changes` are of a channel, by its rail."""
    policy = yaml.safe_load((ROOT / "policies" / "meridian-ppo.yaml").read_text())
    pas, *others = policy["channels"]
    people = [one for one in others if one["rail"] in ("portal", "phone")]
    kept = ("source", "verified_on", "effective", "search_after", "rests")
    common = {name: pas[name] for name in kept if name in pas} | {"urgencies": ALL_URGENCIES}
    every = ["submit", "update", "inquire", "cancel", "attach"]
    payers = "{sandbox}/payers/meridian-ppo"
    ways: dict[str, dict[str, Any]] = {
        "pas": pas | {"crd_url": f"{payers}/cds-services", "dtr_url": f"{payers}/fhir"},
        "x12": {
            "base_url": "{sandbox}/clearinghouses/northbridge/core/rest",
            "via": "northbridge",
            "payer_code": "MERID",
            "sender": "LAKESIDE",
            "receiver": "NORTHBRIDGE",
            "can": every,
            "version": "4.0.0",
            "breaker": {"failures": 3, "open_for": "10 minutes"},
        },
        "gateway": {
            "base_url": "{sandbox}/gateways/relay",
            "token_url": "{sandbox}/gateways/relay/v1/token",
            "via": "relay",
            "payer_code": "MERID",
            "can": ["submit", "inquire"],
            "status_map": {"A1": "approved", "QQ": "denied"},
        },
        "fax": {"via": "neutral", "base_url": "{sandbox}/fax/v1", "receiver": "800-555-0111"},
        "direct": {
            "via": "hisp",
            "base_url": "{sandbox}/direct/v1",
            "sender": "desk@direct.lakeside.example",
            "receiver": "um@direct.meridian.example",
        },
    }
    policy["channels"] = [
        {**common, "id": f"test-{rail}", "rail": rail, **way, **changes.get(rail, {})} for rail, way in ways.items()
    ] + people
    folder.mkdir(exist_ok=True)
    path = folder / "meridian-ppo.yaml"
    path.write_text(yaml.safe_dump(policy))
    return path


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with the example practices, a payer on every rail, and nothing started."""
    policy_file(tmp_path / "policies")
    monkeypatch.setenv("VIGIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VIGIL_KEYS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("VIGIL_POLICIES_DIR", str(tmp_path / "policies"))
    monkeypatch.setenv("VIGIL_PRACTICES_FILE", str(ROOT / "examples" / "practices.yaml"))
    return tmp_path


def run(*arguments: str, code: int = 0, given: bytes | None = None) -> Result:
    result = CliRunner().invoke(app, list(arguments), input=given, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


def said(*arguments: str, given: bytes | None = None) -> Any:
    return json.loads(run(*arguments, given=given).stdout)


# --- read ---------------------------------------------------------------------------------------------------------

SHAPE = {"kind", "result", "lines", "numbers", "asks", "notes"}


def read(content: bytes, rail: str, *more: str) -> Any:
    found = said("read", "-", "--rail", rail, *more, given=content)
    assert found.keys() >= SHAPE or found["result"] == "several"
    return found


def test_x12_answers_are_said_line_by_line() -> None:
    found = read(ALL["a1"], "x12")
    assert (found["kind"], found["result"]) == ("decision", "decided")
    assert [line["decision"] for line in found["lines"]] == ["approved", "approved"]
    assert found["lines"][0]["valid_from"] == "2026-03-03"
    assert found["lines"][0]["units"] == 2
    assert "certification" in found["lines"][0]["numbers"]


MEANINGS = {
    "a3": ["denied", "denied"],
    "a4-pwk": ["pended"],
    "a6": ["modified", "modified"],
    "ct": ["contact_payer"],
    "na": ["not_required", "not_required"],
    "c": ["cancelled"],
    "duplicate": ["denied"],
    "unknown": ["unknown", "unknown"],
    "aaa-line": ["unknown", "approved"],
    "aaa-subscriber": "rejected",
    "aaa-not-found": "not_found",
    "aaa-and-a1": "unreadable",
    "inquiry": "several",
}


@pytest.mark.parametrize("name", MEANINGS)
def test_every_rail_has_the_same_words(name: str) -> None:
    found = read(ALL[name], "x12", *(["--inquiry"] if name == "inquiry" else []))
    if isinstance(MEANINGS[name], list):
        assert [line["decision"] for line in found["lines"]] == MEANINGS[name]
    else:
        assert found["result"] == MEANINGS[name]
        assert bool(found.get("rejected")) == (name == "aaa-subscriber")


def test_what_is_asked_for_is_said() -> None:
    asks = read(ALL["a4-pwk"], "x12")["asks"]
    assert len(asks) == 3
    assert all(ask["what"] for ask in asks)


def test_the_shared_x12_examples_are_known_by_what_they_are(shared: Path) -> None:
    folder = shared / "fixtures" / "x12"
    wanted = {
        "tr3/278-x217-referral-response-to-request-for-review.edi": ("decision", "decided"),
        "tr3/278-x217-admission-response-to-request-for-review.edi": ("decision", "decided"),
        "tr3/278-x217-referral-request-for-review.edi": ("decision", "unreadable"),
        "tr3/278-x217-admission-request-for-review.edi": ("decision", "unreadable"),
        "cosyte/271-canonical.edi": ("eligibility", "verified"),
        "cosyte/271-aaa-subscriber.edi": ("eligibility", "not_found"),
        "cosyte/271-aaa-information-source.edi": ("eligibility", "rejected"),
        "cosyte/271-aaa-two-subscribers.edi": ("eligibility", "unreadable"),
        "cosyte/270-canonical.edi": ("decision", "unreadable"),
        "cosyte/999-accept.edi": ("acknowledgment", "acknowledged"),
        "cosyte/999-accept-with-errors.edi": ("acknowledgment", "acknowledged"),
        "cosyte/ta1-accept.edi": ("acknowledgment", "acknowledged"),
        "cosyte/ta1-reject-control-mismatch.edi": ("acknowledgment", "rejected"),
        "imsweb/999-rejected.edi": ("acknowledgment", "rejected"),
    }
    for name, (kind, result) in wanted.items():
        found = said("read", str(folder / name), "--rail", "x12")
        assert (name, found["kind"], found["result"]) == (name, kind, result)
        assert (result == "rejected") == bool(found.get("rejected"))
        assert result != "unreadable" or found["notes"]
    for path in sorted(folder.glob("*/*.edi")):
        assert said("read", str(path), "--rail", "x12").keys() >= SHAPE
    active = said("read", str(folder / "cosyte" / "271-canonical.edi"), "--rail", "x12")
    assert active["coverage"]["status"] == "active"
    faults = said("read", str(folder / "imsweb" / "999-rejected.edi"), "--rail", "x12")["acknowledgment"]["faults"]
    assert [fault["position"] for fault in faults if "position" in fault] == [17]


def test_what_comes_together_is_said_one_by_one() -> None:
    ta1 = b"TA1*000000007*260303*1500*A*000~"
    both = ALL["a1"].replace(b"IEA*1*", ta1 + b"IEA*1*")
    found = read(both, "x12")
    assert found["result"] == "several"
    assert [one["kind"] for one in found["answers"]] == ["acknowledgment", "decision"]


def review(**changes: Any) -> bytes:
    made = {"id": "SR1", "statusCode": "A1", "certificationNumber": "AUTH1", "procedures": [{"code": "72148"}]}
    return json.dumps(made | changes).encode()


def test_gateway_answers_are_said_by_x12_or_by_the_payers_own_map() -> None:
    found = read(review(), "gateway")
    assert [line["decision"] for line in found["lines"]] == ["approved"]
    assert found["numbers"] == {"certification": ["AUTH1"], "transaction": ["SR1"]}
    own = review(statusCode="QQ")
    assert read(own, "gateway")["lines"][0]["decision"] == "unknown"
    assert read(own, "gateway", "--payer", "meridian-ppo")["lines"][0]["decision"] == "denied"
    assert read(b"", "gateway", "--status", "202")["result"] == "waiting"
    voided = read(review(statusCode="VOID"), "gateway")
    assert (voided["ending"], voided["lines"][0]["decision"]) == ("voided", "cancelled")
    wrong = review(statusCode=None, validationMessages=[{"field": "payer.id", "errorMessage": "No such payer."}])
    assert read(wrong, "gateway")["rejected"] == [{"text": "No such payer.", "where": "payer.id"}]


def test_the_gateways_shared_examples_are_read(shared: Path) -> None:
    folder = shared / "fixtures" / "vendors" / "availity" / "examples"
    refused = said("read", str(folder / "error-400.json"), "--rail", "gateway")
    assert refused["rejected"] == [{"text": "This field is required.", "where": "serviceType"}]
    shape = said("read", str(folder / "service-review.get.response-200.shape.json"), "--rail", "gateway")
    assert [line["decision"] for line in shape["lines"]] == ["unknown"]
    for path in folder.glob("*.json"):
        assert said("read", str(path), "--rail", "gateway").keys() >= SHAPE


@pytest.mark.parametrize("rail", ["pas", "x12", "gateway"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Service unavailable</html>",
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"\x00\xff" * 1000,
        b"ISA*00*",
        b"null",
    ],
    ids=["empty", "html", "deep-list", "deep-object", "binary", "cut", "null"],
)
def test_nonsense_is_unreadable_with_why_on_every_rail(rail: str, content: bytes) -> None:
    found = read(content, rail)
    assert (found["kind"], found["result"], found["lines"]) == ("decision", "unreadable", [])
    assert found["notes"]


def test_what_is_too_large_is_unreadable_too(tmp_path: Path) -> None:
    path = tmp_path / "large.edi"
    with path.open("wb") as opened:
        opened.truncate(11 * 1024 * 1024)
    found = said("read", str(path), "--rail", "x12")
    assert found["result"] == "unreadable"
    assert "larger than 10 MB" in found["notes"][0]


def test_another_rail_is_a_sentence() -> None:
    assert "Use one of pas, x12, gateway" in run("read", "-", "--rail", "fax", code=2, given=b"").stderr
    assert "no gateway channel" in run(
        "read", "-", "--rail", "gateway", "--payer", str(ROOT / "policies" / "keystone-sf.yaml"), code=1, given=b""
    ).stderr  # fmt: skip


# --- preview ------------------------------------------------------------------------------------------------------


def order_file(tmp_path: Path, name: str = "order.json", **changes: Any) -> str:
    content = json.loads(order(**changes).model_dump_json(exclude_none=True))
    content["number"] = "PREVIEW-1"
    path = tmp_path / name
    path.write_text(json.dumps(content))
    return str(path)


def x12(tmp_path: Path, *more: str, **changes: Any) -> envelope.Transaction:
    result = run("preview", order_file(tmp_path, **changes), "--rail", "x12", *more)
    (interchange,) = envelope.read(result.stdout_bytes)
    assert interchange.all_problems == ()
    assert (interchange.control, interchange.groups[0].control) == ("000000001", "1")
    assert "placeholders" in result.stderr
    return interchange.transactions[0]


def test_x12_is_shown_as_it_goes(tmp_path: Path) -> None:
    asked = x12(tmp_path)
    assert (asked.set_id, asked.guide) == ("278", "005010X217")
    assert [one.get(2) for one in asked.segments if one.id == "UM"][:1] == ["I"]
    assert x12(tmp_path, "--message", "inquiry").guide == "005010X215"
    cancel = x12(tmp_path, "--message", "cancel", "--number", "certification=A204418830")
    assert {one.get(2) for one in cancel.segments if one.id == "UM"} == {"3"}
    assert [one.get(2) for one in cancel.segments if one.is_("REF", "BB")] == ["A204418830"]


def test_x12_for_a_person_has_a_line_for_each_segment(tmp_path: Path) -> None:
    lines = run("preview", order_file(tmp_path), "--rail", "x12", "--lines").stdout.splitlines()
    assert lines[0].startswith("ISA*")
    assert lines[-1] == "IEA*1*000000001~"
    assert all(line.endswith("~") and line.count("~") == 1 for line in lines)
    assert "\n" not in run("preview", order_file(tmp_path), "--rail", "x12").stdout


def test_a_document_goes_along_as_it_is(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_bytes(b"Findings ~ and * and \n more")
    given = ["--message", "attachment", "--document", f"imaging_report={note}"]
    made = run("preview", order_file(tmp_path), "--rail", "x12", *given).stdout_bytes
    (attached,) = read_attachments(made)
    assert (attached.content, attached.solicited) == (note.read_bytes(), False)
    assert "BDS*(36 bytes)~" in run("preview", order_file(tmp_path), "--rail", "x12", "--lines", *given).stdout
    parameters = said("preview", order_file(tmp_path), "--rail", "pas", *given)
    assert parameters["resourceType"] == "Parameters"
    refused = run("preview", order_file(tmp_path), "--rail", "gateway", *given, code=1).stderr
    assert "the gateway takes no documents" in refused
    bare = run("preview", order_file(tmp_path), "--rail", "x12", "--message", "attachment", code=1).stderr
    assert "--document" in bare


@pytest.mark.parametrize("rail", ["pas", "x12", "gateway"])
def test_an_update_says_what_has_changed_since_the_prior_order(tmp_path: Path, rail: str) -> None:
    changed = json.loads(Path(order_file(tmp_path, "before.json")).read_text())
    changed["lines"][0]["units"] += 2
    now = tmp_path / "now.json"
    now.write_text(json.dumps(changed))
    update = ["preview", str(now), "--rail", rail, "--message", "update"]
    assert "--prior FILE" in run(*update, code=2).stderr
    same = run("preview", str(now), "--rail", rail, "--message", "update", "--prior", str(now), code=1).stderr
    assert "ask for the same" in same
    made = run(*update, "--prior", str(tmp_path / "before.json"), "--number", "transaction=SR1").stdout
    if rail == "x12":
        (interchange,) = envelope.read(made.encode())
        asked = interchange.transactions[0].segments
        assert {one.get(2) for one in asked if one.id == "UM"} == {"S"}
        assert [one.get(4) for one in asked if one.id == "SV1"] == ["3"]
    elif rail == "gateway":
        review = json.loads(made)
        assert (review["id"], review["procedures"][0]["quantity"]) == ("SR1", "3")
    else:
        claims = [one["resource"] for one in json.loads(made)["entry"] if one["resource"]["resourceType"] == "Claim"]
        assert len(claims) == 2
        assert claims[0]["related"]


def test_gateway_messages_are_what_is_called(tmp_path: Path) -> None:
    file = order_file(tmp_path)
    review = said("preview", file, "--rail", "gateway")
    assert review["payer"] == {"id": "MERID"}
    assert [one["code"] for one in review["procedures"]] == ["72131"]
    query = said("preview", file, "--rail", "gateway", "--message", "inquiry")
    assert query["subscriber.memberId"] == review["subscriber"]["memberId"]
    named = ["--number", "transaction=SR1"]
    gone = said("preview", file, "--rail", "gateway", "--message", "cancel", *named)
    assert gone == {"method": "DELETE", "record": "SR1"}


@pytest.mark.parametrize(
    ("rail", "urgency", "way"),
    [
        ("fax", "routine", "fax to 800-555-0111"),
        ("direct", "routine", "um@direct.meridian.example"),
        ("portal", "routine", "portal Meridian Connect"),
        ("phone", "urgent", "telephone 800-555-0110"),
    ],
)
def test_on_paper_the_packet_is_shown_or_written(tmp_path: Path, rail: str, urgency: str, way: str) -> None:
    attested = {"urgency_attestation": "Symptoms are getting worse by the day."} if urgency == "urgent" else {}
    file = order_file(tmp_path, urgency=urgency, **attested)
    shown = run("preview", file, "--rail", rail).stdout
    assert way in shown
    assert "72131" in shown
    target = tmp_path / "packet.pdf"
    assert f"Written to {target}" in run("preview", file, "--rail", rail, "--output", str(target)).stdout
    pages = PdfReader(BytesIO(target.read_bytes())).pages
    assert "Request for prior authorization" in pages[0].extract_text()
    cancel = run("preview", file, "--rail", rail, "--message", "cancel").stdout
    assert "Cancellation of a request" in cancel
    assert "is asked by telephone" in run("preview", file, "--rail", rail, "--message", "inquiry", code=1).stderr


def test_a_packet_holds_the_documents_that_are_named(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("Straight leg raise positive on the left.")
    shown = run("preview", order_file(tmp_path), "--rail", "fax", "--document", str(note)).stdout
    assert "Straight leg raise positive" in shown


def test_only_a_packet_is_written_to_a_file(tmp_path: Path) -> None:
    refused = run("preview", order_file(tmp_path), "--rail", "x12", "--output", str(tmp_path / "x"), code=2).stderr
    assert "Only a packet" in refused


def test_a_payer_without_the_rail_says_which_it_has_and_another_may_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = yaml.safe_load((ROOT / "policies" / "keystone-sf.yaml").read_text())
    (tmp_path / "policies" / "keystone-sf.yaml").write_text(yaml.safe_dump(other))
    file = order_file(tmp_path, payer="keystone-sf")
    assert "not asked by X12 but by portal, fax" in run("preview", file, "--rail", "x12", code=1).stderr
    asked = run("preview", file, "--rail", "x12", "--payer", "meridian-ppo").stdout
    assert "*PI*MERID~" in asked
    stat = run("preview", order_file(tmp_path), "--rail", "phone", code=1).stderr
    assert "takes no routine orders by phone, but by pas, x12, gateway" in stat


def test_a_message_that_would_be_refused_is_not_shown(tmp_path: Path) -> None:
    file = order_file(tmp_path, family_name="張")
    refused = run("preview", file, "--rail", "x12", code=1)
    assert "Nothing would be sent" in refused.stderr
    assert refused.stdout == ""


def test_a_preview_sends_nothing(tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_SANDBOX_URL", sandbox_url)

    def no_network(*_: object, **__: object) -> None:
        pytest.fail("a preview went out")

    monkeypatch.setattr(httpx.AsyncClient, "request", no_network)
    monkeypatch.setattr(httpx.Client, "request", no_network)
    for rail in ("pas", "x12", "gateway", "fax", "direct", "portal"):
        run("preview", order_file(tmp_path), "--rail", rail)


# --- rail check ---------------------------------------------------------------------------------------------------


@pytest.fixture
def practice(machine: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A practice of the test's own at the running sandbox, with all its secrets."""
    name = f"check-{uuid.uuid4().hex[:8]}"
    practices = yaml.safe_load((ROOT / "examples" / "practices.yaml").read_text())["practices"]
    (machine / "practices.yaml").write_text(yaml.safe_dump({"practices": [practices[0] | {"id": name}]}))
    monkeypatch.setenv("VIGIL_PRACTICES_FILE", str(machine / "practices.yaml"))
    monkeypatch.setenv("VIGIL_SANDBOX_URL", sandbox_url)
    monkeypatch.setenv("VIGIL_SANDBOX_APART", "false")
    monkeypatch.setenv("VIGIL_SEND_CASE_TIME", "true")
    write_secrets(machine, {f"{name}.{other}": "any" for other in SECRETS})
    return name


def write_secrets(machine: Path, secrets: dict[str, str]) -> None:
    home = machine / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    path = home / "secrets.json"
    path.write_text(json.dumps(secrets))
    path.chmod(0o600)


def checked(code: int = 0) -> dict[str, dict[str, Any]]:
    found = json.loads(run("rail", "check", "meridian-ppo", "--json", code=code).stdout)
    assert found["ok"] is (code == 0)
    return {way["rail"]: way for way in found["channels"]}


def test_every_way_is_looked_at_and_what_is_found_is_held_against_the_rules(practice: str, sandbox_url: str) -> None:
    ways = checked()
    assert list(ways) == ["pas", "crd", "dtr", "x12", "gateway", "fax", "direct", "portal", "phone"]
    automatic = [way for way in ways.values() if way["automatic"]]
    assert all(way["reachable"] and way["credentials"] == "accepted" for way in automatic)
    assert all(way["milliseconds"] >= 0 and way["address"].startswith(sandbox_url) for way in automatic)
    assert {way["problem"] for way in ways.values()} == {None}
    proven = {name: [a for a, proof in way["abilities"].items() if proof == "proven"] for name, way in ways.items()}
    assert proven["pas"] == ["submit", "inquire"]
    assert proven["gateway"] == ["submit"]
    assert proven["x12"] == proven["fax"] == []
    assert ways["gateway"]["abilities"]["attach"] == "off"
    assert "PAS 2.2.1" in ways["pas"]["says"]
    assert ways["x12"]["says"] == ["the payer answers eligibility in real time (271)"]
    assert "order-sign" in ways["crd"]["says"][0]
    assert ways["x12"]["breaker"] == "not known: PostgreSQL is away"
    assert ways["portal"]["needs"]
    assert ways["phone"]["address"] == "800-555-0110"


def test_a_look_says_nothing_of_a_patient_and_makes_nothing(practice: str, sandbox_url: str) -> None:
    checked()
    with httpx.Client(base_url=f"{sandbox_url}/control/practices/{practice}", trust_env=False) as sandbox:
        entries = sandbox.get("/received").json()["items"]
        held = sandbox.get("/requests").json()["items"]
    assert {entry["system"] for entry in entries} == {"payers", "clearinghouses", "gateways", "fax", "direct"}
    posts = {entry["path"] for entry in entries if entry["method"] != "GET"}
    assert all(re.search(r"/(token|realtime)$", path) for path in posts), posts
    assert held == []


def test_what_the_rules_and_the_other_side_say_differently_is_named(practice: str, machine: Path) -> None:
    policy_file(machine / "policies", pas={"version": "2.0.1"}, gateway={"can": ["submit", "attach"]})
    ways = checked()
    assert ways["pas"]["differs"] == ["version: the rules say 2.0.1, the other side 2.2.1"]
    assert ways["gateway"]["abilities"]["attach"] == "denied"
    assert ways["gateway"]["differs"]
    shown = run("rail", "check", "meridian-ppo", "--width", "100").stdout
    assert "differs: version" in shown
    assert "Every automatic way works." in shown


def test_an_automatic_way_that_fails_ends_with_1(practice: str, machine: Path) -> None:
    policy_file(
        machine / "policies",
        x12={"base_url": "http://127.0.0.1:9/core/rest"},
        gateway={"base_url": "{sandbox}/gateways/nowhere"},
    )
    write_secrets(machine, {f"{practice}.{other}": "any" for other in SECRETS if other != "hisp"})
    ways = checked(code=1)
    assert (ways["x12"]["reachable"], ways["x12"]["credentials"]) == (False, "unknown")
    assert "out of reach" in ways["x12"]["problem"]
    assert (ways["gateway"]["reachable"], ways["gateway"]["problem"] is None) == (True, False)
    assert ways["direct"]["credentials"] == "missing"
    assert "HISP" in ways["direct"]["problem"].upper()
    assert ways["pas"]["problem"] is None
    shown = run("rail", "check", "meridian-ppo", "--width", "160", code=1).stdout
    assert "Out of order: test-x12, test-gateway, test-direct." in shown


def test_credentials_that_are_not_taken_are_said(practice: str, machine: Path) -> None:
    write_secrets(machine, {f"{practice}.{other}": "" if other in ("relay", "neutral") else "any" for other in SECRETS})
    ways = checked(code=1)
    for name in ("gateway", "fax"):
        assert (ways[name]["reachable"], ways[name]["credentials"]) == (True, "refused")
        assert "does not let the practice in" in ways[name]["problem"]


def test_people_alone_need_nothing_of_ours(practice: str, machine: Path) -> None:
    text = (ROOT / "policies" / "keystone-sf.yaml").read_text()
    (machine / "policies" / "keystone-sf.yaml").write_text(text)
    found = json.loads(run("rail", "check", "keystone-sf", "--json").stdout)
    assert found["ok"]
    assert not any(way["automatic"] for way in found["channels"])
    assert "has no policy of nobody" in run("rail", "check", "nobody", code=1).stderr


async def test_breakers_and_subscriptions_are_shown_as_postgresql_has_them(
    practice: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(postgres_url)
    monkeypatch.setenv("VIGIL_DATABASE_URL", postgres_url)
    before = await asyncio.to_thread(checked)
    assert (before["x12"]["breaker"], before["gateway"]["breaker"]) == ("closed", "none")
    assert before["pas"]["subscription"].startswith("none: VIGIL_PUBLIC_URL")
    now = datetime.now(UTC)
    db = Database(postgres_url)
    rests = timedelta(minutes=10)
    await channels.failed(db, practice, "meridian-ppo", "x12", error="timeout", now=now, after=1, open_for=rests)
    held = await subscriptions.take(db, practice, "meridian-ppo", now)
    assert held is not None
    await subscriptions.keep(db, held, "Subscription/gone", now, timedelta(hours=1))
    await db.close()
    after = await asyncio.to_thread(checked)
    assert re.fullmatch(r"open until .* UTC \(1 failures, timeout\)", after["x12"]["breaker"])
    assert (
        after["x12"]["problem"] is None
    )  # a look goes past the breaker: it is how an operator sees that it works again
    assert after["pas"]["subscription"].startswith("gone at the payer")
