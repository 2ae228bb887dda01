"""Requests that the PAS tests share: synthetic people, two lines numbered 1 and 3."""

import hashlib
import json
from datetime import UTC, date, datetime
from typing import Any

from connectors.pas.parties import PasPayer
from connectors.requester import Requester
from domain.decision import Number, NumberType
from domain.order import (
    Address,
    Category,
    Coverage,
    DocumentRef,
    Facility,
    Order,
    Patient,
    Provider,
    Relationship,
    ServiceLine,
    Sex,
    Urgency,
)
from domain.request import Request

NOTE = b"Conservative treatment for eight weeks without relief. (synthetic)"
NOTE_REF = DocumentRef(
    id=hashlib.sha256(NOTE).hexdigest(),
    kind="office_note",
    media_type="text/plain",
    size=len(NOTE),
    dated=date(2026, 2, 20),
)
FORM = json.dumps(
    {
        "resourceType": "QuestionnaireResponse",
        "id": "of-the-chart",
        "questionnaire": "http://payer.example/Questionnaire/emg",
        "status": "completed",
        "authored": "2026-03-02T14:30:00Z",
        "subject": {"reference": "Patient/P-1"},
        "author": {"reference": "https://chart.example/fhir/Practitioner/7"},
        "source": {"reference": "Device/9"},
        "item": [{"linkId": "1", "answer": [{"valueString": "Eight weeks."}]}],
    }
).encode()
FORM_REF = DocumentRef(
    id=hashlib.sha256(FORM).hexdigest(),
    kind="questionnaire_response",
    media_type="application/fhir+json",
    size=len(FORM),
)
CONTENTS = {NOTE_REF.id: NOTE, FORM_REF.id: FORM}
PRACTICE = Requester(
    name="Lakeside Orthopedics",
    npi="1234567893",
    tax_id="99-0000001",
    address=Address(line="100 Example Shore Drive", city="Springfield", state="IL", postal_code="62701"),
    phone="+12175550100",
    contact="Authorization Desk",
    contact_phone="+12175550102",
)
PAYER = PasPayer(id="meridian-ppo", name="Meridian PPO", identifier="1345678902")
ORDERING = Provider(
    npi="1999000007", family_name="Okafor", given_name="Ada", taxonomy="207X00000X", phone="+12175550110"
)


def order(**changes: Any) -> Order:
    """An order of two lines for a member of the payer."""
    coverage = {
        "rank": 1,
        "payer": "meridian-ppo",
        "member_id": "MER000100",
        "group_number": "GRP-7",
        "plan_name": "Meridian Choice",
    }
    coverage |= changes.pop("coverage", {})
    values: dict[str, Any] = {
        "practice": "lakeside",
        "source": "nextgen",
        "number": "ORD-1",
        "ordered_at": datetime(2026, 3, 2, 14, 0, tzinfo=UTC),
        "patient": Patient(
            id="P-1",
            family_name="Testperson",
            given_name="Robin",
            birth_date=date(1970, 5, 17),
            sex=Sex.FEMALE,
            language="es",
            phone="+12175550199",
            address=Address(line="7 Example Lane", city="Springfield", state="IL", postal_code="62704-1234"),
        ),
        "coverages": (Coverage.model_validate(coverage),),
        "ordering": ORDERING,
        "diagnoses": ("M54.16", "G56.01"),
        "lines": (
            ServiceLine(
                number=1,
                code="95910",
                category=Category.EMG,
                modifiers=("RT", "59"),
                units=2,
                service_from=date(2026, 3, 20),
            ),
            ServiceLine(
                number=3,
                code="G0283",
                code_system="hcpcs",
                units=6,
                unit_kind="visit",
                service_from=date(2026, 3, 20),
                service_to=date(2026, 4, 20),
            ),
        ),
        "documents": (NOTE_REF,),
    }
    return Order.model_validate(values | changes)


def full_order(**changes: Any) -> Order:
    """An order in which everything that may be known is known: urgent, by a dependent, elsewhere, by somebody else."""
    return order(
        urgency=Urgency.URGENT,
        urgency_attestation="Progressive weakness of the right hand.",
        rendering=Provider(npi="1999000015", family_name="Lindqvist", given_name="Bo", fax="+12175550120"),
        facility=Facility(
            npi="1999000023",
            name="Example Imaging Center",
            address=Address(line="5 Example Plaza", city="Springfield", state="IL", postal_code="62702"),
            phone="+12175550130",
        ),
        coverage={
            "relationship": Relationship.CHILD,
            "subscriber_family_name": "Testperson",
            "subscriber_given_name": "Alex",
            "subscriber_birth_date": date(1945, 1, 2),
        },
        **changes,
    )


def changed_request(**changes: Any) -> Request:
    """An update: line 1 with more units, line 3 gone, line 5 new, the form added, another day."""
    asked = full_order()
    first, gone = asked.lines
    added = ServiceLine(number=5, code="95886", category=Category.EMG, service_from=date(2026, 3, 20))
    prior = request(asked)
    values: dict[str, Any] = {
        "attempt": 2,
        "trace": "case-4f1b-1-ordering-2",
        "made_at": datetime(2026, 3, 4, 15, 0, tzinfo=UTC),
        "lines": (1, 5),
        "documents": (NOTE_REF, FORM_REF),
        "prior": prior,
        "prior_numbers": (Number(type=NumberType.ADMINISTRATIVE, value="PEND-1"),),
    }
    fresh = asked.model_copy(update={"lines": (first.model_copy(update={"units": 4}), gone, added)})
    return request(fresh, **(values | changes))


def request(asked: Order | None = None, **changes: Any) -> Request:
    """The request for all lines of an order."""
    asked = asked or order()
    values: dict[str, Any] = {
        "payer": asked.primary.payer,
        "rail": "pas",
        "track": "1-ordering",
        "attempt": 1,
        "trace": "case-4f1b-1-ordering-1",
        "made_at": datetime(2026, 3, 2, 15, 0, tzinfo=UTC),
        "order": asked,
        "rank": 1,
        "lines": tuple(line.number for line in asked.lines),
        "documents": asked.documents,
    }
    return Request.model_validate(values | changes)
