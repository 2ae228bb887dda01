"""Write the question of a CDS Hook: context and prefetch from what the practice knows of the order.

Deterministic: `hookInstance` and all ids are made from the case and the question's key, so the same question is the same bytes.
No `fhirServer` is named: the practice lets no payer read in its record; all that the payer may see is in the prefetch.
Sources: CDS Hooks 2.0 (`order-sign`, `order-dispatch`, `appointment-book`); Da Vinci CRD 2.2.1 and 2.0.1 "Hooks".
"""

import re
import uuid
from collections.abc import Mapping

from connectors.crd.resources import OrderResources
from connectors.crd.service import Service
from connectors.lenient import Json
from connectors.pas.identity import NAMESPACE
from connectors.pas.parties import PasPayer
from connectors.requester import Requester
from domain.actions import AskRequirement
from domain.base import Frozen

_QUERY = re.compile(r"^([A-Z][A-Za-z]+)([/?])")
VERSIONS = ("2.2", "2.1")
"""The versions of CRD that a question may ask to be answered by; services before 2.1 name none."""


class Asked(Frozen):
    """What a question asks about, by the ids that it uses: an answer must name them."""

    orders: Mapping[str, int]
    """The line of each ServiceRequest, by its id."""
    appointment: str | None
    coverage: str
    codes: Mapping[int, str]
    """The procedure code of each line."""


class HookRequest(Frozen):
    """A question, and what its answer must be about."""

    body: Json
    asked: Asked


def hook_request(action: AskRequirement, practice: Requester, payer: PasPayer, offered: Service) -> HookRequest:
    """Return the question that an action asks, with the prefetch that the service wants (CDS Hooks 2.0 "Prefetch")."""
    order = action.order
    known = OrderResources(order, action.rank, practice, payer, action.case_id)
    context: Json = {"userId": known.requester, "patientId": known.patient["id"]}
    appointment = None
    match action.hook:
        case "order-sign":
            context["draftOrders"] = _bundle("collection", known.requests)
        case "order-dispatch":
            references = [f"ServiceRequest/{one['id']}" for one in known.requests]
            # CRD 2.0.1, whose services name no version, knew the hook with one order.
            ordered: Json = {"dispatchedOrders": references} if offered.versions else {"order": references[0]}
            context = {"patientId": known.patient["id"], "performer": known.performer, **ordered}
        case "appointment-book":
            visit = known.appointment(order.appointment.starts_at if order.appointment else None)
            appointment = str(visit["id"])
            context["appointments"] = _bundle("collection", [visit])
    instance = uuid.uuid5(NAMESPACE, f"{action.case_id}\n{action.key}")
    body: Json = {
        "hook": action.hook,
        "hookInstance": str(instance),
        "context": context,
        "prefetch": {key: _fetched(known, template) for key, template in offered.prefetch.items()},
    }
    version = next((version for version in VERSIONS if version in offered.versions), None)
    if version is not None:
        body["extension"] = {"davinci-crd.requestedVersion": version}
    asked = Asked(
        orders={str(made["id"]): line.number for made, line in zip(known.requests, order.lines, strict=True)},
        appointment=appointment,
        coverage=str(known.coverage["id"]),
        codes={line.number: line.code for line in order.lines},
    )
    return HookRequest(body=body, asked=asked)


def _fetched(known: OrderResources, template: str) -> Json | None:
    """What a prefetch template asks for, as far as the practice has it; null otherwise (CDS Hooks 2.0)."""
    query = _QUERY.match(template)
    if query is None:
        return None
    resources = known.of_kind(query.group(1))
    if query.group(2) == "/":
        return resources[0] if resources else None
    return _bundle("searchset", resources)


def _bundle(kind: str, resources: list[Json]) -> Json:
    made: Json = {"resourceType": "Bundle", "type": kind}
    if kind == "searchset":
        made["total"] = len(resources)
    return made | ({"entry": [{"resource": one} for one in resources]} if resources else {})
