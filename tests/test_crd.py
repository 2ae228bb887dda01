"""CRD: the question is what the guides want, the answer is read with the right meaning, and silence holds nothing up."""

import copy
import json
import random
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.crd import CrdActivities
from connectors.crd.read import CoverageInformation, information, line_information, read_hook, updated
from connectors.crd.service import Service, services
from connectors.crd.write import Asked, hook_request
from domain.actions import AskRequirement
from domain.decision import Reason
from domain.facts import CoverageInformationReceived, Fact, NoteAdded, read_fact, write_fact
from domain.order import Relationship
from runtime.keys import KeyRing
from tests.rules_world import PAYER, PRACTICE, ask, ordered, rendering, visit
from tests.vendor_world import World, world

HOOKS = ("order-sign", "order-dispatch", "appointment-book")
OFFERED = Service(id="s", hook="order-sign", versions=("2.1", "2.2"))
ASKED = Asked(orders={"o1": 1, "o2": 2}, appointment="visit", coverage="cov", codes={1: "72131", 2: "70450"})
URL = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"


# --- the question -------------------------------------------------------------------------------------------------------


def test_the_same_question_is_the_same_bytes_and_another_is_another() -> None:
    first = hook_request(ask(ordered()), PRACTICE, PAYER, OFFERED).body
    again = hook_request(ask(ordered()), PRACTICE, PAYER, OFFERED).body
    other = hook_request(ask(ordered(), "appointment-book"), PRACTICE, PAYER, OFFERED).body
    assert first == again
    assert first["hookInstance"] != other["hookInstance"]
    assert "fhirServer" not in first


def test_the_prefetch_answers_the_services_own_templates_and_nothing_else() -> None:
    wanted = {
        "who": "Patient/{{context.patientId}}",
        "insurance": "Coverage?patient={{context.patientId}}",
        "people": "Practitioner?_id={{x}}",
        "stay": "Encounter/{{context.encounterId}}",
        "devices": "Device?_id={{x}}",
        "odd": "{{anything}}",
    }
    offered = Service(id="s", hook="order-sign", prefetch=wanted)
    made = ordered(rendering=rendering())
    body = hook_request(ask(made), PRACTICE, PAYER, offered).body
    found = body["prefetch"]
    assert set(found) == set(wanted)
    assert found["who"]["birthDate"] == "1961-04-17"
    assert found["insurance"]["entry"][0]["resource"]["subscriberId"] == made.primary.member_id
    assert [entry["resource"]["identifier"][0]["value"] for entry in found["people"]["entry"]] == [
        "1999000023",
        "1999000031",
    ]
    assert (found["stay"], found["odd"]) == (None, None)
    assert found["devices"] == {"resourceType": "Bundle", "type": "searchset", "total": 0}
    assert "extension" not in body


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_names_orders_that_its_prefetch_holds(hook: str) -> None:
    made = ordered(lines=2, rendering=rendering(), appointment=visit())
    question = hook_request(ask(made, hook), PRACTICE, PAYER, OFFERED.model_copy(update={"hook": hook}))
    context, prefetch = question.body["context"], question.body["prefetch"]
    held = {entry["resource"]["id"] for entry in prefetch["serviceRequests"]["entry"]}
    assert held == set(question.asked.orders)
    assert sorted(question.asked.orders.values()) == [1, 2]
    assert context["patientId"] == prefetch["patient"]["id"]
    match hook:
        case "order-sign":
            named = {entry["resource"]["id"] for entry in context["draftOrders"]["entry"]}
        case "order-dispatch":
            named = {one.rpartition("/")[2] for one in context["dispatchedOrders"]}
            assert context["performer"].startswith("PractitionerRole/")
        case _:
            (booked,) = [entry["resource"] for entry in context["appointments"]["entry"]]
            named = {one["reference"].rpartition("/")[2] for one in booked["basedOn"]}
            assert booked["start"] == "2026-03-16T16:00:00Z"
            assert question.asked.appointment == booked["id"]
    assert named == held
    assert question.body["extension"] == {"davinci-crd.requestedVersion": "2.2"}


def test_an_older_service_is_asked_as_it_knows_the_hook() -> None:
    offered = Service(id="s", hook="order-dispatch")
    body = hook_request(ask(ordered(), "order-dispatch"), PRACTICE, PAYER, offered).body
    assert body["context"]["order"].startswith("ServiceRequest/")
    assert "dispatchedOrders" not in body["context"]


def test_a_subscriber_who_is_not_the_patient_is_inside_the_coverage() -> None:
    held = ordered().primary.model_copy(
        update={
            "relationship": Relationship.SPOUSE,
            "subscriber_family_name": "Quillfeather",
            "subscriber_given_name": "Bram",
            "subscriber_birth_date": date(1959, 2, 3),
        }
    )
    body = hook_request(ask(ordered(coverages=(held,))), PRACTICE, PAYER, OFFERED).body
    (coverage,) = [entry["resource"] for entry in body["prefetch"]["coverage"]["entry"]]
    (subscriber,) = coverage["contained"]
    assert coverage["subscriber"] == {"reference": f"#{subscriber['id']}"}


# --- the answer ---------------------------------------------------------------------------------------------------------


def part(url: str, **value: Any) -> dict[str, Any]:
    return {"url": url, **value}


def said(*parts: dict[str, Any], url: str = URL) -> dict[str, Any]:
    return {"url": url, "extension": list(parts)}


def answer(*actions: dict[str, Any], cards: list[Any] | None = None) -> bytes:
    return json.dumps({"cards": cards or [], "systemActions": list(actions)}).encode()


def update(order: str, *extensions: dict[str, Any], kind: str = "ServiceRequest") -> dict[str, Any]:
    return {"type": "update", "resource": {"resourceType": kind, "id": order, "extension": list(extensions)}}


COVERED = part("covered", valueCode="covered")
MINE = part("coverage", valueReference={"reference": "https://x.example/fhir/Coverage/cov"})


def test_an_assertion_is_read_whole_in_the_spelling_of_2_2() -> None:
    whole = said(
        MINE,
        COVERED,
        part("pa-needed", valueCode="satisfied"),
        part("doc-needed", valueCode="clinical"),
        part("doc-needed", valueCode="patient"),
        part("doc-purpose", valueCode="withpa"),
        part("info-needed", valueCode="timeframe"),
        part("billingCode", valueCoding={"system": "http://www.ama-assn.org/go/cpt", "code": "72131"}),
        part("reason", valueCodeableConcept={"coding": [{"system": "s", "code": "gold-card"}]}),
        part("detail", extension=[
            part("category", valueCode="cat-limitation"), part("code", valueCodeableConcept={"coding": [{"code": "copay"}]}),
            part("value", valueQuantity={"value": 10, "code": "%"}), part("qualification", valueString="at least $15"),
        ]),
        part("dependency", valueReference={"reference": "ServiceRequest/2"}),
        part("questionnaire", valueCanonical="https://p.example/q|1"),
        part("date", valueDate="2026-03-02"),
        part("coverage-assertion-id", valueString="A-1"),
        part("satisfied-pa-id", valueString="Q8U119"),
        part("contact", valueContactDetail={"name": "Desk", "telecom": [{"system": "phone", "value": "800-555-0110"}]}),
        part("expiry-date", valueDate="2026-06-01"),
    )  # fmt: skip
    (found,) = information({"extension": [whole]})
    assert found == CoverageInformation(
        coverage="https://x.example/fhir/Coverage/cov",
        covered="covered",
        authorization="satisfied",
        documents=("clinical", "patient"),
        purposes=("withpa",),
        information=("timeframe",),
        billing_codes=("72131",),
        reasons=(Reason(code="gold-card", system="s"),),
        details=("cat-limitation copay 10 % at least $15",),
        dependencies=("ServiceRequest/2",),
        questionnaires=("https://p.example/q|1",),
        asserted_on=date(2026, 3, 2),
        assertion="A-1",
        satisfied_by="Q8U119",
        contacts=("Desk: 800-555-0110",),
        expires_on=date(2026, 6, 1),
    )


def test_the_spelling_of_2_0_1_is_read_too() -> None:
    older = said(
        COVERED,
        part("doc-needed", valueCode="both"),
        part("contact", valueContactPoint={"system": "phone", "value": "800-555-0110"}),
        part("response", valueReference={"reference": "QuestionnaireResponse/1"}),
        part("date", valueDate="2026-03-02"),
        url=f"{URL}|2.0.1",
    )
    (found,) = information({"extension": [older]})
    assert (found.documents, found.contacts, found.responses) == (
        ("both",),
        ("800-555-0110",),
        ("QuestionnaireResponse/1",),
    )


def test_an_answer_speaks_of_our_orders_our_coverage_and_our_codes_only() -> None:
    needed = part("pa-needed", valueCode="no-auth")
    theirs = part("coverage", valueReference={"reference": "Coverage/other"})
    other_code = part("billingCode", valueCoding={"code": "99999"})
    mine_code = part("billingCode", valueCoding={"code": "70450"})
    body = answer(
        update("o1", said(theirs, COVERED, needed)),
        update("o2", said(MINE, COVERED, needed, other_code), said(MINE, COVERED, needed, mine_code)),
        update("else", said(MINE, COVERED, needed)),
    )
    found = read_hook(body, ASKED)
    assert found is not None
    assert [(line.line, line.authorization) for line in found.lines] == [(2, "no-auth")]
    assert found.notes == (
        "The payer also speaks of another coverage.",
        "The payer also speaks of an order that is none of ours.",
    )


def test_assertions_that_contradict_each_other_become_a_code_that_nobody_knows() -> None:
    yes = said(COVERED, part("pa-needed", valueCode="no-auth"), part("expiry-date", valueDate="2026-05-01"))
    no = said(COVERED, part("pa-needed", valueCode="auth-needed"), part("expiry-date", valueDate="2026-04-01"))
    found = read_hook(answer(update("o1", yes, no)), ASKED)
    assert found is not None
    (line,) = found.lines
    assert (line.authorization, line.expires_on) == ("no-auth/auth-needed", date(2026, 4, 1))


def test_the_visit_speaks_for_every_line() -> None:
    body = answer(update("visit", said(COVERED, part("pa-needed", valueCode="auth-needed")), kind="Appointment"))
    found = read_hook(body, ASKED)
    assert found is not None
    assert [line.line for line in found.lines] == [1, 2]


def test_cards_without_coverage_information_are_notes_and_those_with_it_are_read() -> None:
    card = {"summary": "Replace the order", "detail": "It is cheaper.", "links": [{"label": "Guideline"}]}
    inside = {"summary": "Known", "suggestions": [{"actions": [update("o1", said(COVERED))]}]}
    found = read_hook(answer(cards=[card, inside]), ASKED)
    assert found is not None
    assert found.notes == ("Replace the order. It is cheaper.. Guideline", "Known")
    assert [line.covered for line in found.lines] == ["covered"]


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"[]", b"{}", b'{"cards":', b'{"resourceType":"Bundle"}'])
def test_what_is_no_answer_is_none(body: bytes) -> None:
    assert read_hook(body, ASKED) is None


def test_no_mutation_makes_it_fail_or_says_more_than_the_original() -> None:
    original = answer(update("o1", said(MINE, COVERED, part("pa-needed", valueCode="auth-needed"))))
    chance = random.Random(11)
    junk: list[Any] = [None, True, 0, -1, 1e300, "", "x" * 5000, [], {}, [[]], {"a": {}}, "no-authx"]

    def mutate(value: Any) -> Any:
        if chance.random() < 0.12:
            return copy.deepcopy(chance.choice(junk))
        if isinstance(value, dict):
            return {name: mutate(inner) for name, inner in value.items()}
        return [mutate(one) for one in value] if isinstance(value, list) else value

    for _ in range(1500):
        body = json.dumps(mutate(json.loads(original))).encode()
        found = read_hook(body, ASKED)
        for line in found.lines if found else ():
            assert line.authorization != "no-auth"
    for _ in range(500):
        cut = chance.randrange(len(original))
        read_hook(original[:cut] + bytes([chance.randrange(256)]) + original[cut + 1 :], ASKED)


# --- the shared examples ------------------------------------------------------------------------------------------------


def example(shared: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((shared / "fixtures" / "pas" / "examples" / "crd" / name).read_text())
    return read


EXAMPLES = {
    "CRDServiceResponse.json": ("covered", "satisfied", "12345ABC", "Q8U119"),
    "CRDServiceResponse3.json": ("covered", "no-auth", "example-assertion-id-123", None),
    "inferno/crd_authorization_hook_response.json": ("covered", "satisfied", "12345ABC", "Q8U119"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_answers_are_read_with_their_meaning(shared: Path, name: str) -> None:
    resources = list(updated(example(shared, name)))
    (found,) = [one for resource in resources for one in information(resource)]
    assert (found.covered, found.authorization, found.assertion, found.satisfied_by) == EXAMPLES[name]


def test_the_whole_example_of_2_2_is_read(shared: Path) -> None:
    ((found,),) = [information(resource) for resource in updated(example(shared, "CRDServiceResponse.json"))]
    assert found.billing_codes == ("77065", "77066", "77067")
    assert (found.documents, found.information) == (("conditional",), ("OTH",))
    assert [reason.code for reason in found.reasons] == ["auth-out-network", None]
    assert found.details == ("cat-limitation out-network-copay 10 % Copay minimum is $15",)
    assert found.contacts == ("http://some-payer/xyz-sub-org/get-help-here.html",)
    assert found.asserted_on == date(2019, 2, 15)
    assert line_information(1, [found]).satisfied_by == "Q8U119"


@pytest.mark.parametrize("what", ["conditional", "covered"])
def test_the_examples_of_inferno_are_read(shared: Path, what: str) -> None:
    action = example(shared, f"inferno/coverage_info_system_action_{what}.json")
    asked = Asked(
        orders={action["resource"]["id"]: 1}, appointment=None, coverage="coverageexample", codes={1: "E0250"}
    )
    found = read_hook(answer(action), asked)
    assert found is not None
    (line,) = found.lines
    assert line.covered == what
    assert line.authorization == (None if what == "conditional" else "no-auth")
    assert line.information == (("performer",) if what == "conditional" else ())
    assert line.purposes == (("withorder",) if what == "conditional" else ())


def test_examples_with_cards_only_say_nothing_of_coverage(shared: Path) -> None:
    found = read_hook(json.dumps(example(shared, "CRDServiceResponse2.json")).encode(), ASKED)
    assert found is not None
    assert found.lines == ()
    assert "Liver testing recommended" in " ".join(found.notes)


def test_the_example_services_are_discovered_and_can_be_asked(shared: Path) -> None:
    offered = {service.hook: service for service in services(example(shared, "CRDServices.json"))}
    assert set(HOOKS) <= set(offered)
    assert offered["order-sign"].versions[-1] == "2.2"
    for hook in HOOKS:
        made = ordered(rendering=rendering(), appointment=visit())
        body = hook_request(ask(made, hook), PRACTICE, PAYER, offered[hook]).body
        assert set(body["prefetch"]) == set(offered[hook].prefetch)
        assert body["prefetch"]["patient"]["resourceType"] == "Patient"


# --- against the sandbox ------------------------------------------------------------------------------------------------


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        for payer in ("meridian-ppo", "summit-ma"):
            made.outside.settings.secrets_by_name[f"{made.practice.id}.{payer}"] = SecretStr("any")
        yield made


def asking(here: World, scenario: str, hook: str = "order-sign", payer: str = "meridian-ppo") -> AskRequirement:
    made = ordered(scenario, payer=payer, rendering=rendering(), appointment=visit())
    return ask(made, hook, here.practice.id)


async def asked(here: World, scenario: str, hook: str = "order-sign", payer: str = "meridian-ppo") -> list[Fact]:
    work = CrdActivities(here.outside).ask_requirement
    facts = await ActivityEnvironment().run(work, asking(here, scenario, hook, payer))
    assert all(read_fact(write_fact(fact)) == fact for fact in facts)
    return list(facts)


WORDS = {
    "100": ("covered", None),
    "910": ("covered", "no-auth"),
    "911": ("covered", "auth-needed"),
    "912": ("covered", "satisfied"),
    "913": ("conditional", "payer-decides-later"),
    "918": ("covered", "auth-needed"),
}


@pytest.mark.parametrize("payer", ["meridian-ppo", "summit-ma"])
@pytest.mark.parametrize("hook", HOOKS)
async def test_a_payers_word_is_heard(here: World, hook: str, payer: str) -> None:
    for scenario, word in WORDS.items():
        (fact,) = await asked(here, scenario, hook, payer)
        assert isinstance(fact, CoverageInformationReceived)
        (line,) = fact.lines
        assert (fact.hook, line.covered, line.authorization) == (hook, *word)
        assert line.assertion
        assert line.contacts
        assert fact.raw is not None
        assert b"systemActions" in await here.outside.documents.get(here.practice.id, fact.raw.id)
        assert [reason.code for reason in line.reasons] == (["gold-card"] if scenario == "910" else [])
        form = f"https://{payer}.example/Questionnaire/imaging|1.0"
        assert line.questionnaires == ((form,) if scenario == "911" else ())


async def test_what_the_cards_say_is_a_note_for_a_person(here: World) -> None:
    fact, note = await asked(here, "915")
    assert isinstance(fact, CoverageInformationReceived)
    assert fact.lines[0].information == ("performer",)
    assert isinstance(note, NoteAdded)
    assert "Ask early in the month" in note.text
    (only,) = await asked(here, "917")
    assert isinstance(only, NoteAdded)


async def failing(here: World, scenario: str) -> tuple[str | None, str, bool]:
    with pytest.raises(ApplicationError) as failed:
        await asked(here, scenario)
    return failed.value.type, failed.value.message, failed.value.non_retryable


async def test_a_payer_that_is_too_slow_is_not_waited_for(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/control/practices/{here.practice.id}/settings"
    assert (await here.control.patch(path, json={"slow_wall_seconds": 2})).is_success
    monkeypatch.setattr("activities.crd.PATIENCE", timedelta(seconds=0.8))
    assert await failing(here, "914") == ("Exhausted", "timeout", True)


async def test_a_web_page_is_no_answer(here: World) -> None:
    assert await failing(here, "916") == ("Refused", "hook:not_understood", True)


async def test_a_token_that_is_not_taken_any_more_is_fetched_anew(here: World) -> None:
    activities = CrdActivities(here.outside)
    env = ActivityEnvironment()
    await env.run(activities.ask_requirement, asking(here, "910"))
    await here.post("tokens/revoke", {})
    (fact,) = await env.run(activities.ask_requirement, asking(here, "910"))
    assert isinstance(fact, CoverageInformationReceived)


async def test_trouble_at_the_payer_is_told_once_and_for_all(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.crd.PATIENCE", timedelta(seconds=0.5))
    await here.fault("payers", "cds-services", "500", times=20)
    assert await failing(here, "910") == ("Exhausted", "500", True)


async def test_the_payer_is_strict_with_what_it_is_sent(here: World) -> None:
    no_member = ordered("910")
    broken = ask(no_member, "order-sign", here.practice.id)
    token = await here.control.post(
        "/payers/meridian-ppo/oauth/token",
        data={"grant_type": "client_credentials", "client_id": here.practice.id, "client_secret": "x"},
    )
    headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
    url = "/payers/meridian-ppo/cds-services"
    listed = services((await here.control.get(url, headers=headers)).json())
    offered = next(one for one in listed if one.hook == "order-sign")
    good = hook_request(broken, PRACTICE, PAYER, offered).body
    assert (await here.control.post(f"{url}/{offered.id}", json=good, headers=headers)).status_code == 200
    changes: tuple[dict[str, Any], ...] = (
        {"hook": "order-select"},
        {"hookInstance": "1"},
        {"context": {}},
        {"context": {**good["context"], "patientId": "other"}},
        {"prefetch": {}},
        {"prefetch": {**good["prefetch"], "patient": None}},
        {"prefetch": {**good["prefetch"], "coverage": None}},
        {"prefetch": {**good["prefetch"], "more": None}},
    )
    for change in changes:
        refused = await here.control.post(f"{url}/{offered.id}", json={**good, **change}, headers=headers)
        assert refused.status_code in (400, 422), change
    assert (await here.control.get(url)).status_code == 401
