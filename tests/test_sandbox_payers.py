"""The sandbox's payers, over real HTTP: scenarios, duplicates, inquiries, updates, cancels, faults."""

import copy
import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

Json = dict[str, Any]
PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
X12 = "https://codesystem.x12.org/005010/"
START = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)  # a Tuesday
NPI = "1234567893"


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def item(sequence: int, code: str = "95886", units: int = 4) -> Json:
    return {
        "extension": [
            {"url": f"{PAS}extension-serviceItemRequestType", "valueCodeableConcept": concept(f"{X12}1525", "HS")},
            {"url": f"{PAS}extension-certificationType", "valueCodeableConcept": concept(f"{X12}1322", "I")},
        ],
        "sequence": sequence,
        "diagnosisSequence": [1],
        "category": concept(f"{X12}1365", "3"),
        "productOrService": concept("http://www.ama-assn.org/go/cpt", code),
        "servicedDate": "2026-03-20",
        "quantity": {"value": units, "unit": "unit", "system": f"{X12}673", "code": "UN"},
        "locationCodeableConcept": concept(
            "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", "11"
        ),
    }


def request_bundle(suffix: str, *, lines: int = 1, number: str = "", member: str = "") -> Json:
    """A request Bundle that is right in all that the payers check; the member id ends in `suffix`."""
    number = number or uuid.uuid4().hex
    member = member or f"MBR{uuid.uuid4().int % 10**6:06d}{suffix}"
    names = ("Claim", "Patient", "Organization", "Insurer", "Coverage")
    urls = {name: f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{number}/{name}')}" for name in names}
    profiles = {name: {"profile": [f"{PAS}{name}"]} for name in ("profile-claim", "profile-pas-request-bundle")}
    claim = {
        "resourceType": "Claim",
        "meta": profiles["profile-claim"],
        "identifier": [{"system": "urn:trnorg:9012345678", "value": number}],
        "status": "active",
        "type": concept("http://terminology.hl7.org/CodeSystem/claim-type", "professional"),
        "use": "preauthorization",
        "patient": {"reference": urls["Patient"]},
        "created": "2026-03-03T15:00:00Z",
        "insurer": {"reference": urls["Insurer"]},
        "provider": {"reference": urls["Organization"]},
        "priority": concept("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
        "diagnosis": [
            {"sequence": 1, "diagnosisCodeableConcept": concept("http://hl7.org/fhir/sid/icd-10-cm", "G56.01")}
        ],
        "insurance": [{"sequence": 1, "focal": True, "coverage": {"reference": urls["Coverage"]}}],
        "item": [item(sequence, f"9588{5 + sequence}") for sequence in range(1, lines + 1)],
    }
    patient = {
        "resourceType": "Patient",
        "meta": {"profile": [f"{PAS}profile-beneficiary"]},
        "identifier": [
            {
                "type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MB"),
                "system": "urn:test",
                "value": member,
            }
        ],
        "name": [{"family": "Testperson", "given": ["Robin"]}],
        "gender": "female",
        "birthDate": "1970-02-03",
    }
    coverage = {
        "resourceType": "Coverage",
        "meta": {"profile": [f"{PAS}profile-coverage"]},
        "identifier": [
            {
                "type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MB"),
                "system": "urn:test",
                "value": member,
            }
        ],
        "status": "active",
        "subscriberId": member,
        "beneficiary": {"reference": urls["Patient"]},
        "relationship": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "self"},
                {"system": f"{X12}1069", "code": "18"},
            ]
        },
        "payor": [{"reference": urls["Insurer"]}],
    }
    organizations: dict[str, Json] = {
        name: {
            "resourceType": "Organization",
            "meta": {"profile": [f"{PAS}{profile}"]},
            "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": NPI}],
            "active": True,
            "type": [concept(f"{X12}98", kind)],
            "name": title,
            "address": [{"line": ["1 Test Street"], "city": "Testville", "state": "OH", "postalCode": "44101"}],
        }
        for name, profile, kind, title in (
            ("Organization", "profile-requestor", "X3", "Lakeside Orthopedics"),
            ("Insurer", "profile-insurer", "PR", "Test Payer"),
        )
    }
    resources: dict[str, Json] = {"Claim": claim, **organizations, "Patient": patient, "Coverage": coverage}
    return {
        "resourceType": "Bundle",
        "meta": profiles["profile-pas-request-bundle"],
        "identifier": {"system": "urn:test:bundle", "value": number},
        "type": "collection",
        "timestamp": "2026-03-03T15:00:00Z",
        "entry": [
            {"fullUrl": urls[name], "resource": {"id": urls[name][9:], **resource}}
            for name, resource in resources.items()
        ],
    }


def inquiry_of(bundle: Json) -> Json:
    inquiry = copy.deepcopy(bundle)
    number = uuid.uuid4().hex
    inquiry["identifier"]["value"] = number
    claim = inquiry["entry"][0]["resource"]
    claim["identifier"][0]["value"] = number
    claim["meta"] = {"profile": [f"{PAS}profile-claim-inquiry"]}
    return inquiry


class PayerClient:
    """A practice at a payer, with the clock that it tells."""

    def __init__(self, url: str, payer: str) -> None:
        self.practice = f"t{uuid.uuid4().hex[:12]}"
        self.base = f"/payers/{payer}"
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self.payer = payer
        self.now = START
        form = {"grant_type": "client_credentials", "client_id": self.practice, "client_secret": "any"}
        token = self.http.post(f"{self.base}/oauth/token", data=form).raise_for_status().json()
        self.http.headers["authorization"] = f"Bearer {token['access_token']}"

    def post(self, operation: str, body: Json, **headers: str) -> httpx.Response:
        sent = {"content-type": "application/fhir+json", "x-vigil-now": self.now.isoformat(), **headers}
        return self.http.post(f"{self.base}/fhir/{operation}", json=body, headers=sent)

    def submit(self, bundle: Json) -> httpx.Response:
        return self.post("Claim/$submit", bundle)

    def inquire(self, bundle: Json) -> Any:
        return self.post("Claim/$inquire", inquiry_of(bundle)).raise_for_status().json()

    def control(self, method: str, path: str, body: Json | None = None) -> Any:
        answer = self.http.request(method, f"/control/practices/{self.practice}/{path}", json=body).raise_for_status()
        return answer.json() if answer.content else None

    def advance(self, to: datetime) -> None:
        self.now = to
        self.control("POST", "clock", {"to": to.isoformat()})

    def effects(self) -> Any:
        return self.control("GET", "received")["effects"]


def claim_response(bundle: Json) -> Json:
    response: Json = bundle["entry"][0]["resource"]
    assert response["resourceType"] == "ClaimResponse"
    return response


def review(line: Json) -> dict[str, Any]:
    """Action, number and reasons of an item."""
    parts = line["adjudication"][0]["extension"][0]["extension"]
    found: dict[str, Any] = {"reasons": []}
    for part in parts:
        if part["url"].endswith("reviewActionCode"):
            found["action"] = part["valueCodeableConcept"]["coding"][0]["code"]
        elif part["url"] == "number":
            found["number"] = part["valueString"]
        else:
            found["reasons"].append(part["valueCodeableConcept"]["coding"][0]["code"])
    return found


def actions(bundle: Json) -> list[str]:
    return [review(line)["action"] for line in claim_response(bundle)["item"]]


@pytest.fixture
def meridian(sandbox_url: str) -> Iterator[PayerClient]:
    client = PayerClient(sandbox_url, "meridian-ppo")
    yield client
    client.http.close()


@pytest.fixture
def summit(sandbox_url: str) -> Iterator[PayerClient]:
    client = PayerClient(sandbox_url, "summit-ma")
    yield client
    client.http.close()


def test_an_approval_carries_number_period_and_units(meridian: PayerClient) -> None:
    sent = request_bundle("100")
    answer = meridian.submit(sent)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/fhir+json")
    bundle = answer.json()
    response = claim_response(bundle)
    assert response["outcome"] == "complete"
    assert response["request"]["reference"] == sent["entry"][0]["fullUrl"]
    assert bundle["identifier"] == sent["identifier"]
    decision = review(response["item"][0])
    assert decision["action"] == "A1"
    assert re.fullmatch("A2[0-9]{8}", decision["number"])
    extensions = {
        extension["url"].rpartition("extension-")[2]: extension for extension in response["item"][0]["extension"]
    }
    assert extensions["itemPreAuthPeriod"]["valuePeriod"] == {"start": "2026-03-20", "end": "2026-06-18"}
    quantity = extensions["itemAuthorizedDetail"]["extension"][1]["valueQuantity"]["value"]
    assert quantity == 4


@pytest.mark.parametrize(
    ("suffix", "expected", "reasons"),
    [
        ("110", ["A1", "A1"], []),
        ("200", ["A4", "A4"], ["0V"]),
        ("204", ["A4", "A4"], ["0U"]),
        ("300", ["A3", "A3"], ["0F"]),
        ("301", ["A3", "A3"], ["0T"]),
        ("400", ["A1", "A3"], []),
        ("401", ["A6", "A6"], []),
        ("402", ["A2", "A2"], []),
        ("600", ["ZZ", "ZZ"], []),
        ("900", ["NA", "NA"], []),
        ("901", ["CT", "CT"], []),
        ("555", ["A1", "A1"], []),
    ],
)
def test_the_member_id_chooses_the_decision(
    meridian: PayerClient, suffix: str, expected: list[str], reasons: list[str]
) -> None:
    bundle = meridian.submit(request_bundle(suffix, lines=2)).raise_for_status().json()
    assert actions(bundle) == expected
    assert review(claim_response(bundle)["item"][0])["reasons"] == reasons


def test_a_denial_says_why_and_who_reviewed(meridian: PayerClient) -> None:
    response = claim_response(meridian.submit(request_bundle("300")).json())
    assert response["processNote"][0]["text"]
    assert response["item"][0]["noteNumber"] == [1]
    assert response["extension"][0]["url"].endswith("extension-claimResponseReviewer")


def test_a_modification_adds_an_item_with_fewer_units(meridian: PayerClient) -> None:
    response = claim_response(meridian.submit(request_bundle("401")).json())
    (added,) = response["addItem"]
    assert added["itemSequence"] == [1]
    assert added["quantity"]["value"] == 2


def test_an_information_request_names_the_document_and_ends_with_it(meridian: PayerClient) -> None:
    sent = request_bundle("204")
    bundle = meridian.submit(sent).json()
    response = claim_response(bundle)
    asked = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "CommunicationRequest")
    assert response["communicationRequest"][0]["reference"].endswith(asked["id"])
    control_number = asked["identifier"][0]["value"]
    coverage = next(e["resource"] for e in sent["entry"] if e["resource"]["resourceType"] == "Coverage")
    npi = {"system": "http://hl7.org/fhir/sid/us-npi", "value": NPI}
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": {"data": "bm90ZQ=="}}],
    }
    parameters = [
        {"name": "TrackingId", "valueIdentifier": {"system": "urn:test", "value": control_number}},
        {"name": "AttachTo", "valueCode": "preauthorization"},
        {"name": "PayerId", "valueIdentifier": {"system": "urn:test", "value": "meridian"}},
        {"name": "OrganizationId", "valueIdentifier": npi},
        {"name": "ProviderId", "valueIdentifier": npi},
        {"name": "MemberId", "valueIdentifier": {"system": "urn:test", "value": coverage["subscriberId"]}},
        {"name": "Attachment", "part": [{"name": "Content", "resource": document}]},
    ]
    body = {"resourceType": "Parameters", "parameter": parameters}
    for broken in (parameters[1:], [*parameters, {"name": "Note", "valueString": "x"}], parameters[:-1]):
        refused = meridian.post("$submit-attachment", {**body, "parameter": broken})
        assert refused.status_code == 422
    assert meridian.post("$submit-attachment", body).status_code == 200
    assert review(response["item"][0])["reasons"] == ["0U"]
    meridian.advance(datetime(2026, 3, 5, 15, 1, tzinfo=UTC))
    (found,) = meridian.inquire(sent)["parameter"]
    assert actions(found["resource"]) == ["A1"]


def test_a_rejection_decides_nothing(meridian: PayerClient) -> None:
    sent = request_bundle("500")
    response = claim_response(meridian.submit(sent).json())
    assert "parameter" not in meridian.inquire(sent)
    assert response["outcome"] == "error"
    assert "item" not in response
    assert response["error"][0]["code"]["coding"][0]["system"] == f"{X12}901"


def test_a_pend_is_decided_after_three_business_days(meridian: PayerClient) -> None:
    sent = request_bundle("200")
    meridian.now = datetime(2026, 3, 5, 15, 0, tzinfo=UTC)  # a Thursday
    first = claim_response(meridian.submit(sent).json())
    assert first["outcome"] == "complete"
    assert first["item"][0]["extension"][-1]["valueString"].startswith("REF-")
    meridian.advance(datetime(2026, 3, 10, 14, 0, tzinfo=UTC))  # the Tuesday after, an hour too early
    assert actions(meridian.inquire(sent)["parameter"][0]["resource"]) == ["A4"]
    meridian.advance(datetime(2026, 3, 10, 15, 1, tzinfo=UTC))
    assert actions(meridian.inquire(sent)["parameter"][0]["resource"]) == ["A1"]


def test_the_older_version_has_its_own_shapes(summit: PayerClient) -> None:
    sent = request_bundle("200")
    bundle = summit.submit(sent).json()
    assert "identifier" not in bundle
    assert "request" not in claim_response(bundle)
    assert claim_response(bundle)["outcome"] == "queued"
    found = summit.inquire(sent)
    assert found["resourceType"] == "Bundle"
    assert actions(found) == ["A4"]
    unknown = summit.inquire(request_bundle("100"))
    assert claim_response(unknown)["error"][0]["code"]["coding"][0]["code"] == "AA"


def test_an_inquiry_finds_only_what_is_the_requestors(meridian: PayerClient) -> None:
    sent = request_bundle("100")
    meridian.submit(sent).raise_for_status()
    assert "parameter" not in meridian.inquire(request_bundle("100"))
    other = copy.deepcopy(sent)
    other["entry"][1]["resource"]["identifier"][0]["value"] = "1999999984"
    assert "parameter" not in meridian.inquire(other)


def test_an_inquiry_may_come_before_the_index(meridian: PayerClient) -> None:
    meridian.control("PATCH", "settings", {"index_lag_seconds": 600})
    sent = request_bundle("100")
    meridian.submit(sent).raise_for_status()
    assert "parameter" not in meridian.inquire(sent)
    meridian.advance(datetime(2026, 3, 3, 15, 11, tzinfo=UTC))
    assert len(meridian.inquire(sent)["parameter"]) == 1


def test_a_resend_gets_the_same_answer_and_is_counted(meridian: PayerClient) -> None:
    sent = request_bundle("100")
    first, second = meridian.submit(sent), meridian.submit(sent)
    assert first.json() == second.json()
    assert meridian.effects()["duplicate_submits"] == 1
    assert meridian.effects()["submits"][0]["effects"] == {"created": 1, "duplicate": 1}


def test_the_same_service_under_another_number_is_refused_as_a_duplicate(meridian: PayerClient) -> None:
    member = "MBR777000100"
    meridian.submit(request_bundle("", member=member)).raise_for_status()
    again = claim_response(meridian.submit(request_bundle("", member=member)).json())
    assert review(again["item"][0]) == {"action": "A3", "reasons": ["0Q"]}
    assert len(meridian.control("GET", "requests")["items"]) == 1


def test_the_same_number_with_other_content_is_refused(meridian: PayerClient) -> None:
    meridian.submit(request_bundle("100", number="N1")).raise_for_status()
    other = meridian.submit(request_bundle("100", number="N1", lines=2))
    assert other.status_code == 422


@pytest.mark.parametrize(("suffix", "expected"), [("200", ["C", "C"]), ("400", ["C", "A3"])])
def test_a_cancel_is_confirmed(meridian: PayerClient, suffix: str, expected: list[str]) -> None:
    sent = request_bundle(suffix, lines=2)
    meridian.submit(sent).raise_for_status()
    cancel = update_of(sent, f"{sent['identifier']['value']}.cancel")
    claim = cancel["entry"][0]["resource"]
    claim["extension"] = [
        {"url": f"{PAS}extension-certificationType", "valueCodeableConcept": concept(f"{X12}1322", "3")}
    ]
    kept = meridian.submit(cancel)
    assert kept.status_code == 422
    assert "cancels every item" in kept.text
    for name in ("item", "supportingInfo"):  # which a cancel of the whole need not repeat
        claim.pop(name, None)
    assert actions(meridian.submit(cancel).raise_for_status().json()) == expected
    meridian.advance(datetime(2026, 3, 20, tzinfo=UTC))
    assert actions(meridian.inquire(sent)["parameter"][0]["resource"]) == expected


def update_of(sent: Json, number: str) -> Json:
    """An update: a new Claim first that names the prior one, with a note, and the prior Claim too."""
    changed = copy.deepcopy(sent)
    prior = changed["entry"][0]
    fresh = copy.deepcopy(prior)
    fresh["fullUrl"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, number)}"
    claim = fresh["resource"]
    claim["id"] = fresh["fullUrl"][9:]
    claim["meta"] = {"profile": [f"{PAS}profile-claim-update"]}
    claim["identifier"][0]["value"] = number
    relationship = concept("http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship", "prior")
    claim["related"] = [{"claim": {"reference": prior["fullUrl"]}, "relationship": relationship}]
    category = concept("http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes", "freeFormMessage")
    added = {"url": f"{PAS}extension-infoChanged", "valueCode": "added"}
    claim["supportingInfo"] = [
        {"extension": [added], "sequence": 1, "category": category, "valueString": "The note was added."}
    ]
    changed["identifier"]["value"] = number
    changed["entry"] = [fresh, *changed["entry"][1:], prior]
    return changed


def test_an_update_brings_what_was_asked_for(meridian: PayerClient) -> None:
    sent = request_bundle("204")
    meridian.submit(sent).raise_for_status()
    update = update_of(sent, uuid.uuid4().hex)
    answer = meridian.submit(update)
    assert answer.status_code == 200, answer.text
    assert review(claim_response(answer.json())["item"][0])["reasons"] == ["0V"]
    meridian.advance(datetime(2026, 3, 5, 15, 1, tzinfo=UTC))
    (found,) = meridian.inquire(sent)["parameter"]
    assert actions(found["resource"]) == ["A1"]
    effects = meridian.effects()
    assert [row["effects"] for row in effects["submits"]] == [{"created": 1}, {"updated": 1}]


def test_a_denied_request_takes_no_update(meridian: PayerClient) -> None:
    sent = request_bundle("300")
    meridian.submit(sent).raise_for_status()
    assert meridian.submit(update_of(sent, uuid.uuid4().hex)).status_code == 422
    assert meridian.submit(update_of(request_bundle("100"), uuid.uuid4().hex)).status_code == 422


def test_nonsense_answers(meridian: PayerClient) -> None:
    inside = meridian.submit(request_bundle("601"))
    assert (inside.status_code, inside.json()["resourceType"]) == (200, "OperationOutcome")
    page = meridian.submit(request_bundle("602"))
    assert (page.status_code, page.headers["content-type"].split(";")[0]) == (200, "text/html")
    cut = meridian.submit(request_bundle("603"))
    assert cut.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        cut.json()
    sent = request_bundle("604")
    other = meridian.submit(sent).json()
    assert other["identifier"] != sent["identifier"]
    assert claim_response(other)["patient"]["reference"] != sent["entry"][3]["fullUrl"]


def test_a_lost_answer_has_had_its_effect(meridian: PayerClient) -> None:
    sent = request_bundle("700")
    with pytest.raises(httpx.RemoteProtocolError):
        meridian.submit(sent)
    assert actions(meridian.inquire(sent)["parameter"][0]["resource"]) == ["A1"]
    assert meridian.effects()["submits"][0]["effects"] == {"created": 1}


def test_a_slow_answer_comes(meridian: PayerClient) -> None:
    meridian.control("PATCH", "settings", {"slow_wall_seconds": 0.3})
    answer = meridian.submit(request_bundle("701"))
    assert answer.elapsed.total_seconds() >= 0.3
    assert actions(answer.json()) == ["A1"]


@pytest.mark.parametrize(
    ("suffix", "statuses"), [("702", [429, 429, 200]), ("703", [500, 500, 200]), ("704", [500] * 3)]
)
def test_transient_failures(meridian: PayerClient, suffix: str, statuses: list[int]) -> None:
    sent = request_bundle(suffix)
    answers = [meridian.submit(sent) for _ in range(3)]
    assert [answer.status_code for answer in answers] == statuses
    if suffix == "702":
        assert answers[0].headers["retry-after"] == "1"
    assert len(meridian.control("GET", "requests")["items"]) == (1 if statuses[-1] == 200 else 0)


def test_switched_faults_apply_as_often_as_they_say(meridian: PayerClient) -> None:
    meridian.control("POST", "faults", {"system": "payers", "route": r"POST .*\$submit", "fault": "lost", "times": 1})
    meridian.control("POST", "faults", {"system": "payers", "route": r"\$inquire", "fault": "429", "times": 2})
    sent = request_bundle("100")
    with pytest.raises(httpx.RemoteProtocolError):
        meridian.submit(sent)
    assert meridian.post("Claim/$inquire", inquiry_of(sent)).status_code == 429
    assert meridian.post("Claim/$inquire", inquiry_of(sent)).status_code == 429
    assert actions(meridian.inquire(sent)["parameter"][0]["resource"]) == ["A1"]
    assert meridian.control("GET", "faults")["items"] == []


def test_a_revoked_token_is_refused(meridian: PayerClient) -> None:
    meridian.control("POST", "tokens/revoke")
    assert meridian.submit(request_bundle("100")).status_code == 401


def test_metadata_names_the_version(meridian: PayerClient) -> None:
    statement = meridian.http.get("/payers/summit-ma/fhir/metadata").json()
    assert statement["implementationGuide"][0].endswith("|2.0.1")
