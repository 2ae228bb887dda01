"""How strict the sandbox's payers are about what they are sent: each thing that is wrong is said with its place."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.test_sandbox_payers import Json, PayerClient, concept, request_bundle


@pytest.fixture
def meridian(sandbox_url: str) -> Iterator[PayerClient]:
    client = PayerClient(sandbox_url, "meridian-ppo")
    yield client
    client.http.close()


def _without(bundle: Json, name: str) -> None:
    del bundle["entry"][0]["resource"][name]


BREAKS: dict[str, tuple[Any, int, str]] = {
    "collection": (lambda b: b.update(type="batch"), 422, "Bundle.type"),
    "identifier": (lambda b: b.pop("identifier"), 422, "Bundle.identifier"),
    "timestamp": (lambda b: b.update(timestamp="2026-03-03"), 422, "Bundle.timestamp"),
    "claim first": (lambda b: b["entry"].reverse(), 422, "Bundle.entry[0]"),
    "fullUrl": (lambda b: b["entry"][1].pop("fullUrl"), 422, "Bundle.entry[1].fullUrl"),
    "closure": (lambda b: b["entry"].pop(3), 422, "patient.reference"),
    "empty element": (lambda b: b["entry"][3]["resource"].update(telecom=[]), 400, "telecom"),
    "npi": (
        lambda b: b["entry"][1]["resource"]["identifier"][0].update(value="1234567890"),
        422,
        "identifier[0].value",
    ),
    "icd-10": (
        lambda b: b["entry"][0]["resource"]["diagnosis"][0]["diagnosisCodeableConcept"]["coding"][0].update(
            code="G5601"
        ),
        422,
        "diagnosis[0]",
    ),
    "birth date": (lambda b: b["entry"][3]["resource"].update(birthDate="1970"), 422, "birthDate"),
    "item dates": (lambda b: b["entry"][0]["resource"]["item"][0].update(servicedDate="2026-03"), 422, "servicedDate"),
    "member id": (
        lambda b: (
            b["entry"][4]["resource"].pop("subscriberId"),
            [e["resource"].pop("identifier") for e in b["entry"][3:]],
        ),
        422,
        "insurance",
    ),
    "certification type": (lambda b: b["entry"][0]["resource"]["item"][0]["extension"].pop(), 422, "certificationType"),
    "request type": (lambda b: b["entry"][0]["resource"]["item"][0]["extension"].pop(0), 422, "serviceItemRequestType"),
    "place": (lambda b: b["entry"][0]["resource"]["item"][0].pop("locationCodeableConcept"), 422, "location[x]"),
    "modifier": (
        lambda b: b["entry"][0]["resource"]["item"][0].update(
            modifierExtension=[{"url": "urn:x", "valueBoolean": True}]
        ),
        422,
        "modifierExtension",
    ),
    "silent information": (
        lambda b: b["entry"][0]["resource"].update(supportingInfo=[{"sequence": 1, "category": concept("urn:x", "y")}]),
        422,
        "supportingInfo[0]",
    ),
    "category": (lambda b: b["entry"][0]["resource"]["item"][0].pop("category"), 422, "category"),
    "diagnosis pointer": (lambda b: _without(b, "diagnosis"), 422, "diagnosisSequence"),
    **{
        name: (lambda b, name=name: _without(b, name), 422, name)
        for name in ("status", "type", "use", "identifier", "created", "priority", "insurance", "insurer", "provider")
    },
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_wrong_is_said_with_its_place(meridian: PayerClient, what: str) -> None:
    spoil, status, place = BREAKS[what]
    bundle = request_bundle("100")
    spoil(bundle)
    answer = meridian.submit(bundle)
    assert answer.status_code == status, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert any(place in issue["expression"][0] for issue in outcome["issue"]), outcome
    assert meridian.control("GET", "requests")["items"] == []


def test_the_envelope_is_checked_too(meridian: PayerClient) -> None:
    bundle = request_bundle("100")
    assert meridian.post("Claim/$submit", bundle, **{"content-type": "application/json"}).status_code == 400
    assert meridian.post("Claim/$submit", bundle, authorization="Bearer nonsense").status_code == 401
    large = copy.deepcopy(bundle)
    large["entry"][3]["resource"]["name"][0]["text"] = "x" * (5 * 1024 * 1024)
    assert meridian.submit(large).status_code == 413
    assert meridian.http.post("/payers/keystone-sf/oauth/token").status_code == 404
