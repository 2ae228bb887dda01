"""A practice of its own in the sandbox for each test, reached the way the worker reaches it."""

import asyncio
import base64
import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
from obstore.store import MemoryStore
from pydantic import SecretStr

from activities.outside import Outside
from connectors.documents import Documents
from domain.order import (
    Address,
    Category,
    Coverage,
    Facility,
    Order,
    Patient,
    Provider,
    ServiceLine,
)
from runtime.keys import KeyRing
from runtime.practices import Capability, Practice, load_practices
from runtime.settings import Settings

EXAMPLES = Path(__file__).resolve().parent.parent / "examples" / "practices.yaml"
NOW = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
"""Monday, 10:00 in Chicago: nobody's quiet hours."""
CASE = "case-abcdefghijklmnopqrstuvwxyz"
NPI_SYSTEM = "http://hl7.org/fhir/sid/us-npi"
_numbers = itertools.count(1)


class World:
    """One practice in the sandbox, with what an activity needs to reach it."""

    def __init__(self, url: str, practice: Practice, outside: Outside, control: httpx.AsyncClient) -> None:
        self.url, self.practice, self.outside, self.control = url, practice, outside, control
        self.patient_id = str(uuid.uuid4())

    def with_capabilities(self, **capabilities: str) -> None:
        """Replace what NextGen grants; dots are written as two underscores."""
        granted = {name.replace("__", "."): Capability(value) for name, value in capabilities.items()}
        self.replace(ehr=self.practice.ehr.model_copy(update={"capabilities": granted}))

    def replace(self, **changes: object) -> None:
        self.practice = self.practice.model_copy(update=changes)
        self.outside.practices = {self.practice.id: self.practice}

    async def post(self, path: str, body: object) -> Any:
        answer = await self.control.post(f"/control/practices/{self.practice.id}/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def put(self, path: str, body: object) -> None:
        answer = await self.control.put(f"/control/practices/{self.practice.id}/{path}", json=body)
        assert answer.is_success, answer.text

    async def received(self, system: str) -> list[dict[str, Any]]:
        answer = await self.control.get(f"/control/practices/{self.practice.id}/received", params={"system": system})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def count(self, system: str, method: str, ending: str) -> int:
        """How many requests of a kind reached the system and were taken."""
        return sum(
            1
            for one in await self.received(system)
            if one["method"] == method and one["path"].endswith(ending) and one["status"] < 300
        )

    async def fault(self, system: str, route: str, fault: str, times: int = 1, **more: object) -> None:
        await self.post("faults", {"system": system, "route": route, "fault": fault, "times": times, **more})

    async def plant_patient(self, **luma: object) -> None:
        """The patient in NextGen and Luma; `luma` changes what Luma knows."""
        planting: dict[str, Any] = {"resources": [fhir_patient(self.patient_id)]}
        if luma:
            external = {"source": "nextgen", "value": self.patient_id}
            planting["luma_patients"] = [{"externalId": external, **luma}]
        await self.post("orders", planting)

    def order(self, **changes: object) -> Order:
        return order(self.practice.id, self.patient_id).model_copy(update=changes)


@asynccontextmanager
async def world(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    """A new practice whose systems are the sandbox's."""
    name = f"t{next(_numbers)}-{uuid.uuid4().hex[:8]}"
    settings = Settings(
        home=tmp_path / "home",
        keys_file=tmp_path / "keys",
        sandbox_url=sandbox_url,
        sandbox_apart=False,
        send_case_time=True,
        secrets_by_name={
            f"{name}.ehr": SecretStr("any"),
            f"{name}.messaging": SecretStr("any"),
            f"{name}.check_in": SecretStr("sandbox-secret"),
            f"{name}.eligibility": SecretStr(name),
        },
    )
    example = load_practices(EXAMPLES, settings.resolve_url)["lakeside"]
    practice = example.model_copy(
        update={
            "id": name,
            "ehr": example.ehr.model_copy(update={"client_id": name}),
            "messaging": example.messaging.model_copy(update={"client_id": name}),
            "check_in": example.check_in.model_copy(update={"key_id": name}),
            "eligibility": example.eligibility.model_copy(update={"key": f"{name}.eligibility"}),
        }
    )
    outside = Outside(settings=settings, practices={name: practice}, documents=Documents(MemoryStore(), keyring))
    async with httpx.AsyncClient(base_url=sandbox_url, timeout=10) as control:
        yield World(sandbox_url, practice, outside, control)
    await outside.aclose()
    # Sockets close on the next turn of the loop; an unclosed one would be a warning, which is an error here.
    await asyncio.sleep(0)


def order(practice: str, patient_id: str, member_id: str = "MBR0000100") -> Order:
    return Order(
        practice=practice,
        source="nextgen",
        number="ORD-1",
        ordered_at=NOW,
        patient=Patient(
            id=patient_id, family_name="Sample", given_name="Alex", birth_date=date(1980, 5, 17), phone="+12175550199"
        ),
        coverages=(Coverage(rank=1, payer="meridian-ppo", member_id=member_id),),
        ordering=Provider(npi="1999999984", family_name="Ordering", given_name="Pat"),
        facility=Facility(
            npi="1234567893",
            name="Lakeside Orthopedics",
            address=Address(line="100 Example Shore Drive", city="Springfield", state="IL", postal_code="62701"),
        ),
        diagnoses=("M54.16",),
        lines=(ServiceLine(number=1, code="99203", category=Category.CONSULT, service_from=date(2026, 3, 16)),),
    )


def fhir_patient(patient_id: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": patient_id,
        "name": [{"use": "official", "family": "Sample", "given": ["Alex"]}],
        "birthDate": "1980-05-17",
        "gender": "female",
        "telecom": [{"system": "phone", "value": "+12175550199", "use": "mobile"}],
        "communication": [{"language": {"coding": [{"code": "es-US"}]}, "preferred": True}],
        "address": [{"line": ["1 Sample St"], "city": "Springfield", "state": "IL", "postalCode": "627010001"}],
    }


def fhir_order(patient_id: str, number: str, **changes: object) -> list[dict[str, Any]]:
    """A ServiceRequest with all that an order needs; `changes` are of the ServiceRequest."""
    practitioner, organization, condition = f"prac-{number}", f"org-{number}", f"cond-{number}"
    request: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "id": f"sr-{number}",
        "identifier": [{"type": {"coding": [{"code": "PLAC"}]}, "value": number}],
        "status": "active",
        "intent": "order",
        "priority": "routine",
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "95886"}], "text": "EMG, two limbs"},
        "subject": {"reference": f"Patient/{patient_id}"},
        "requester": {"reference": f"Practitioner/{practitioner}"},
        "locationReference": [{"reference": f"Location/loc-{number}"}],
        "authoredOn": "2026-03-02T09:30:00-06:00",
        "occurrenceDateTime": "2026-03-16",
        "quantityQuantity": {"value": 2},
        "reasonReference": [{"reference": f"Condition/{condition}"}],
        **changes,
    }
    return [
        request,
        {
            "resourceType": "Practitioner",
            "id": practitioner,
            "identifier": [{"system": NPI_SYSTEM, "value": "1999999984"}],
            "name": [{"family": "Ordering", "given": ["Pat"]}],
        },
        {
            "resourceType": "Organization",
            "id": organization,
            "name": "Meridian PPO",
            "identifier": [{"system": "urn:example:payer", "value": "MERID"}],
        },
        {
            "resourceType": "Coverage",
            "id": f"cov-{number}",
            "status": "active",
            "subscriberId": "MBR0000100",
            "beneficiary": {"reference": f"Patient/{patient_id}"},
            "relationship": {"coding": [{"code": "self"}]},
            "payor": [{"reference": f"Organization/{organization}", "display": "Meridian PPO"}],
            "class": [{"type": {"coding": [{"code": "group"}]}, "value": "VGL-1000"}],
        },
        {
            "resourceType": "Location",
            "id": f"loc-{number}",
            "name": "Lakeside EMG Room",
            "identifier": [{"system": NPI_SYSTEM, "value": "1234567893"}],
            "address": {"line": ["100 Example Shore Dr"], "city": "Springfield", "state": "IL", "postalCode": "62701"},
        },
        {
            "resourceType": "Condition",
            "id": condition,
            "subject": {"reference": f"Patient/{patient_id}"},
            "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "G56.01"}]},
        },
    ]


def fhir_document(patient_id: str, name: str, loinc: str, dated: str, **changes: object) -> dict[str, Any]:
    data = base64.b64encode(f"Synthetic {name} of {dated}".encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": f"doc-{name}-{dated}",
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "date": f"{dated}T12:00:00Z",
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
        **changes,
    }
