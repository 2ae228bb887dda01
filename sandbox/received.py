"""What was sent, counted, so that a test can say "exactly once"."""

from collections import Counter
from datetime import datetime

from sandbox.records import HeldReview, Json, Practice, PriorRequest


def effects(practice: Practice) -> Json:
    """Counts by what each system did: a repeated effect shows as a count above one."""
    return {
        "submits": _submits(practice),
        "duplicate_submits": practice.duplicate_submits,
        "inquiries": _operations(practice, "inquire"),
        "attachments": practice.attachments,
        "messages": [
            {"id": item["_id"], "external_id": (item.get("externalId") or {}).get("value"), "secure": item["secure"]}
            for item in practice.messaging.messages.values()
            if item["type"] == "outbound"
        ],
        "documents": [
            {"id": item["id"], "person": item["personId"], "description": item["description"]}
            for item in practice.ehr.documents.values()
        ],
        "tasks": [{"id": item["id"], "subject": item["subject"]} for item in practice.ehr.tasks.values()],
        "drops": [{"id": drop_id, "sha256": item["digest"]} for drop_id, item in practice.drops.items()],
        "faxes": [{"id": item["id"], "reference": item["clientReference"]} for item in practice.faxes.values()],
        "direct": [{"id": item["id"], "reference": item["clientReference"]} for item in practice.direct.values()],
    }


def _operations(practice: Practice, operation: str) -> int:
    return sum(1 for entry in practice.received if entry.ids.get("operation") == operation)


def _submits(practice: Practice) -> list[Json]:
    """One row for each Claim.identifier (elsewhere: trace) that was submitted: how often, and what the payer made of each."""
    counts: Counter[tuple[str, str]] = Counter()
    outcomes: dict[tuple[str, str], Counter[str]] = {}
    for entry in practice.received:
        if entry.ids.get("operation") == "submit":
            key = (entry.ids.get("payer", entry.path.split("/")[2]), entry.ids["claim_identifier"])
            counts[key] += 1
            outcomes.setdefault(key, Counter())[entry.ids.get("effect", "none")] += 1
    return [
        {"payer": payer, "claim_identifier": identifier, "count": count, "effects": dict(outcomes[payer, identifier])}
        for (payer, identifier), count in counts.items()
    ]


def request_state(held: PriorRequest, now: datetime) -> Json:
    """A held request: its identifiers, its number, and the actions in force."""
    state = held.at(now)
    return {
        "payer": held.payer,
        "claim_identifier": held.claim_identifier,
        "bundle_identifier": held.bundle_identifier,
        "scenario": held.scenario,
        "received_at": held.received_at.isoformat(),
        "administrative_number": held.administrative_number,
        "duplicate_submits": held.duplicate_submits,
        "actions": {str(line.sequence): line.action for line in state.lines if not line.added},
        "numbers": sorted({line.number for line in state.lines if line.number is not None}),
        "rejected": bool(state.errors),
        "next_change_at": min((r.at.isoformat() for r in held.revisions if r.at > now), default=None),
    }


def review_state(held: HeldReview, now: datetime) -> Json:
    """The same of a request that came by another rail; its identifier is the trace."""
    state = held.at(now)
    return {
        "payer": held.payer,
        "rail": held.rail,
        "claim_identifier": held.asked.trace,
        "kind": held.asked.kind,
        "scenario": held.scenario,
        "received_at": held.received_at.isoformat(),
        "administrative_number": held.administrative_number,
        "duplicate_submits": held.duplicate_submits,
        "actions": {str(line.sequence): line.action for line in state.lines},
        "numbers": sorted({line.number for line in state.lines if line.number is not None}),
        "rejected": bool(state.errors),
        "next_change_at": min((r.at.isoformat() for r in held.revisions if r.at > now), default=None),
    }
