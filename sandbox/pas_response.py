"""The payer's answers as FHIR: response Bundles of PAS 2.2.1 and 2.0.1, inquiries, communication requests.

An answer is a pure function of the held request, one revision and the payer, so that a resend gets the same answer.
Resources that the answer refers to are the sender's own, handed back.
"""

import hashlib
import uuid

from sandbox.clock import format_instant
from sandbox.pas_words import ADJUDICATION, PAS, REASONS, X12, BundleIndex, dicts, reference_of, walk
from sandbox.payer_table import PayerProfile
from sandbox.records import Json, LineDecision, PriorRequest, Revision

ACTION_NAMES = {
    "A1": "Certified in total",
    "A2": "Certified - partial",
    "A3": "Not Certified",
    "A4": "Pending",
    "A6": "Modified",
    "C": "Cancelled",
    "CT": "Contact payer",
    "NA": "No Action Required",
}
PENDED = "A4"
DENIED = "A3"


def stable_id(*parts: str) -> str:
    """A UUID that depends on the parts alone."""
    return str(uuid.UUID(hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]))


def extension(name: str, **value: object) -> Json:
    """A PAS extension with one value."""
    return {"url": f"{PAS}extension-{name}", **value}


def response_bundle(held: PriorRequest, revision: Revision, payer: PayerProfile, *, inquiry: bool = False) -> Json:
    """The PAS response Bundle for one request as of `revision`."""
    index = BundleIndex(held.bundle)
    claim_url = str(index.entries[0]["fullUrl"])
    claim: Json = index.entries[0]["resource"]
    answer_id = stable_id(held.payer, held.claim_identifier, format_instant(revision.at), "ClaimResponse")
    answer = claim_response(held, revision, payer, inquiry=inquiry)
    answer["id"] = answer_id
    entries: list[Json] = [{"fullUrl": f"urn:uuid:{answer_id}", "resource": answer}]
    if revision.asks_for is not None:
        request = communication_request(held, revision.asks_for)
        entries.append({"fullUrl": f"urn:uuid:{request['id']}", "resource": request})
        answer["communicationRequest"] = [{"reference": f"urn:uuid:{request['id']}"}]
    wanted = [reference_of(claim.get(name)) for name in ("patient", "insurer", "provider")]
    if inquiry:
        wanted += [reference_of(entry.get("coverage")) for entry in dicts(claim.get("insurance"))]
    entries += closure(index, claim_url, wanted)
    profile = "profile-pas-inquiry-response-bundle" if inquiry else "profile-pas-response-bundle"
    bundle: Json = {
        "resourceType": "Bundle",
        "id": stable_id(answer_id, "Bundle"),
        "meta": {"profile": [f"{PAS}{profile}"]},
        "type": "collection",
        "timestamp": format_instant(revision.at),
        "entry": entries,
    }
    if payer.is_2_2:
        bundle["identifier"] = held.bundle["identifier"]
    return bundle


def withdrawn(claim: Json) -> list[int]:
    """The sequences of the items that an update takes back."""
    return [item["sequence"] for item in dicts(claim.get("item")) if dicts(item.get("modifierExtension"))]


def wanted(claim: Json) -> Json:
    """The Claim with the items that are still wanted."""
    gone = withdrawn(claim)
    return {**claim, "item": [item for item in dicts(claim.get("item")) if item.get("sequence") not in gone]}


def closure(index: BundleIndex, base_url: str, references: list[str]) -> list[Json]:
    """The entries behind the references and all that those refer to, each once, with absolute references."""
    taken: dict[str, Json] = {}
    waiting = [(base_url, reference) for reference in references]
    while waiting:
        base, reference = waiting.pop(0)
        entry = index.entry(reference, base)
        if entry is None or entry["fullUrl"] in taken:
            continue
        url = str(entry["fullUrl"])
        taken[url] = {"fullUrl": url, "resource": entry["resource"]}
        for _, element in walk(entry["resource"], ""):
            if isinstance(element.get("reference"), str):
                waiting.append((url, element["reference"]))
    return list(taken.values())


def absolute(index: BundleIndex, base_url: str, reference: str) -> str:
    """The fullUrl that a reference in the request stands for; the answer's own entry has another base."""
    entry = index.entry(reference, base_url)
    return str(entry["fullUrl"]) if entry is not None else reference


def claim_response(held: PriorRequest, revision: Revision, payer: PayerProfile, *, inquiry: bool) -> Json:
    """The ClaimResponse of one revision, without id."""
    index = BundleIndex(held.bundle)
    url = str(index.entries[0]["fullUrl"])
    claim: Json = index.entries[0]["resource"]
    pended = any(line.action == PENDED for line in revision.lines)
    profile = "profile-claiminquiryresponse" if inquiry else "profile-claimresponse"
    answer: Json = {
        "resourceType": "ClaimResponse",
        "id": "",
        "meta": {"profile": [f"{PAS}{profile}"]},
        "identifier": claim["identifier"][:1],
        "status": "active",
        "type": claim["type"],
        "use": "preauthorization",
        "patient": {"reference": absolute(index, url, reference_of(claim["patient"]))},
        "created": format_instant(revision.at),
        "insurer": {"reference": absolute(index, url, reference_of(claim["insurer"]))},
        "requestor": {"reference": absolute(index, url, reference_of(claim["provider"]))},
        "outcome": _outcome(payer, pended=pended, rejected=bool(revision.errors)),
    }
    if payer.is_2_2:
        answer["request"] = {"reference": url}
    denied = any(line.action == DENIED for line in revision.lines)
    if denied and payer.is_2_2 and not inquiry:
        reviewed = {"url": "wasHumanReviewedFlag", "valueBoolean": True}
        answer["extension"] = [{"url": f"{PAS}extension-claimResponseReviewer", "extension": [reviewed]}]
    notes = list(dict.fromkeys(line.note for line in revision.lines if line.note is not None))
    items = [_item(line, held, revision, notes) for line in revision.lines if not line.added]
    added = [_added(line, claim) for line in revision.lines if line.added]
    if items:
        answer["item"] = items
    if added:
        answer["addItem"] = added
    if notes:
        answer["processNote"] = [
            {"number": number, "type": "display", "text": text} for number, text in enumerate(notes, start=1)
        ]
    if revision.errors:
        answer["error"] = [_error(error.code, error.follow_up, error.path, payer) for error in revision.errors]
    if inquiry:
        answer["insurance"] = [
            {
                "sequence": entry["sequence"],
                "focal": entry["focal"],
                "coverage": {"reference": absolute(index, url, reference_of(entry["coverage"]))},
            }
            for entry in dicts(claim.get("insurance"))
        ]
    return answer


def _outcome(payer: PayerProfile, *, pended: bool, rejected: bool) -> str:
    if rejected:
        return "error"
    return "queued" if pended and not payer.is_2_2 else "complete"


def _item(line: LineDecision, held: PriorRequest, revision: Revision, notes: list[str]) -> Json:
    extensions: list[Json] = []
    asked = _claim_item(held.bundle["entry"][0]["resource"], line.sequence)
    if isinstance(asked.get("servicedPeriod"), dict):
        extensions.append(extension("itemRequestedServiceDate", valuePeriod=asked["servicedPeriod"]))
    elif "servicedDate" in asked:
        extensions.append(extension("itemRequestedServiceDate", valueDate=asked["servicedDate"]))
    trace_url = f"{PAS}extension-itemTraceNumber"
    extensions += [trace for trace in dicts(asked.get("extension")) if trace.get("url") == trace_url]
    if line.action == PENDED:
        extensions.append(extension("administrationReferenceNumber", valueString=held.administrative_number))
    if line.start is not None and line.end is not None and line.action != "A6":
        extensions.append(extension("itemPreAuthIssueDate", valueDate=revision.at.date().isoformat()))
        period = {"start": line.start.isoformat(), "end": line.end.isoformat()}
        extensions.append(extension("itemPreAuthPeriod", valuePeriod=period))
        extensions.append(_authorized(line, asked))
    item: Json = {"itemSequence": line.sequence, "adjudication": [_adjudication(line)]}
    if extensions:
        item["extension"] = extensions
    if line.note is not None:
        item["noteNumber"] = [notes.index(line.note) + 1]
    return item


def _authorized(line: LineDecision, asked: Json) -> Json:
    parts: list[Json] = [{"url": "productOrServiceCode", "valueCodeableConcept": asked["productOrService"]}]
    if line.quantity is not None:
        parts.append({"url": "quantity", "valueQuantity": {"value": _plain(line.quantity)}})
    return {"url": f"{PAS}extension-itemAuthorizedDetail", "extension": parts}


def _added(line: LineDecision, claim: Json) -> Json:
    asked = _claim_item(claim, line.sequence)
    added: Json = {
        "itemSequence": [line.sequence],
        "productOrService": asked["productOrService"],
        "adjudication": [_adjudication(line)],
    }
    if line.start is not None and line.end is not None:
        period = {"start": line.start.isoformat(), "end": line.end.isoformat()}
        added["extension"] = [extension("itemPreAuthPeriod", valuePeriod=period)]
        added["servicedPeriod"] = period
    if line.quantity is not None:
        added["quantity"] = {"value": _plain(line.quantity)}
    return added


def _adjudication(line: LineDecision) -> Json:
    parts: list[Json] = []
    if line.number is not None:
        parts.append({"url": "number", "valueString": line.number})
    parts += [
        {"url": "reasonCode", "valueCodeableConcept": {"coding": [{"system": REASONS, "code": reason}]}}
        for reason in line.reasons
    ]
    action: Json = {"system": f"{X12}306", "code": line.action}
    if line.action in ACTION_NAMES:
        action["display"] = ACTION_NAMES[line.action]
    parts.append(extension("reviewActionCode", valueCodeableConcept={"coding": [action]}))
    return {
        "extension": [{"url": f"{PAS}extension-reviewAction", "extension": parts}],
        "category": {"coding": [{"system": ADJUDICATION, "code": "submitted"}]},
    }


def _error(code: str, follow_up: str, path: str, payer: PayerProfile) -> Json:
    extensions: list[Json] = []
    if payer.is_2_2:
        extensions.append(extension("errorPath", valueString=path))
    follow = {"coding": [{"system": f"{X12}889", "code": follow_up}]}
    extensions.append(extension("errorFollowupAction", valueCodeableConcept=follow))
    return {"extension": extensions, "code": {"coding": [{"system": f"{X12}901", "code": code}]}}


def communication_request(held: PriorRequest, loinc: str) -> Json:
    """The payer's wish for a document: LOINC code, PWK01 category, and the attachment control number as identifier."""
    claim: Json = held.bundle["entry"][0]["resource"]
    first = dicts(claim.get("item"))[0]
    return {
        "resourceType": "CommunicationRequest",
        "id": stable_id(held.payer, held.claim_identifier, "CommunicationRequest"),
        "meta": {"profile": [f"{PAS}profile-communicationrequest"]},
        "extension": [extension("serviceLineNumber", valuePositiveInt=first["sequence"])],
        "identifier": [
            {"system": f"urn:sandbox:{held.payer}:attachment", "value": f"ACN-{held.administrative_number}"}
        ],
        "status": "active",
        "category": [{"coding": [{"system": f"{X12}755", "code": "PN"}]}],
        "payload": [{"contentString": loinc}],
    }


def not_found_2_0(payer: PayerProfile, inquiry: Json, created: str) -> Json:
    """How the 2.0.1 payer says that it has no such request: an AAA rejection inside the inquiry's answer Bundle."""
    index = BundleIndex(inquiry)
    url = str(index.entries[0]["fullUrl"])
    claim: Json = index.entries[0]["resource"]
    answer_id = stable_id(payer.id, str(inquiry["identifier"]["value"]), "not-found")
    names = ("patient", "insurer", "provider")
    targets = {name: absolute(index, url, reference_of(claim[name])) for name in names}
    answer: Json = {
        "resourceType": "ClaimResponse",
        "id": answer_id,
        "meta": {"profile": [f"{PAS}profile-claiminquiryresponse"]},
        "identifier": claim["identifier"][:1],
        "status": "active",
        "type": claim["type"],
        "use": "preauthorization",
        "patient": {"reference": targets["patient"]},
        "created": created,
        "insurer": {"reference": targets["insurer"]},
        "requestor": {"reference": targets["provider"]},
        "outcome": "error",
        "error": [_error("AA", "C", "Bundle", payer)],
    }
    return {
        "resourceType": "Bundle",
        "id": stable_id(answer_id, "Bundle"),
        "meta": {"profile": [f"{PAS}profile-pas-inquiry-response-bundle"]},
        "type": "collection",
        "timestamp": created,
        "entry": [
            {"fullUrl": f"urn:uuid:{answer_id}", "resource": answer},
            *closure(index, url, [reference_of(claim[name]) for name in names]),
        ],
    }


def merged(bundles: list[Json]) -> Json:
    """One inquiry-response Bundle of several (PAS 2.0.1 answers with one): ClaimResponses first, each entry once."""
    entries: dict[str, Json] = {}
    for bundle in bundles:
        for entry in bundle["entry"]:
            entries.setdefault(entry["fullUrl"], entry)
    ordered = sorted(entries.values(), key=lambda entry: entry["resource"]["resourceType"] != "ClaimResponse")
    return {**bundles[0], "entry": ordered}


def for_another(bundle: Json) -> Json:
    """The same answer, but about a patient and a request that nobody asked about (scenario 604)."""
    answer = bundle["entry"][0]["resource"]
    stranger = {
        "resourceType": "Patient",
        "id": stable_id("stranger"),
        "meta": {"profile": [f"{PAS}profile-beneficiary"]},
        "identifier": [{"system": "urn:sandbox:member", "value": "X00000999100"}],
        "name": [{"family": "Otherperson", "given": ["Quinn"]}],
        "gender": "unknown",
    }
    other_number = {"system": "urn:sandbox:other-sender", "value": "NOT-YOURS-1"}
    replaced = {
        **answer,
        "identifier": [other_number],
        "patient": {"reference": f"urn:uuid:{stranger['id']}"},
    }
    if "request" in answer:
        replaced["request"] = {"reference": f"urn:uuid:{stable_id('another claim')}"}
    kept = [entry for entry in bundle["entry"][1:] if entry["resource"]["resourceType"] not in ("Patient", "Coverage")]
    entries = [
        {**bundle["entry"][0], "resource": replaced},
        {"fullUrl": f"urn:uuid:{stranger['id']}", "resource": stranger},
    ]
    changed = {**bundle, "entry": [*entries, *kept]}
    if "identifier" in bundle:
        changed["identifier"] = other_number
    return changed


def _claim_item(claim: Json, sequence: int) -> Json:
    return next((item for item in dicts(claim.get("item")) if item.get("sequence") == sequence), {})


def _plain(number: float) -> int | float:
    return int(number) if number == int(number) else number
