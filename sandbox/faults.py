"""Faults by switch: which rule applies to a request, and what an answer looks like when it does.

`slow` waits and goes on; `429`, `500`, `503` and `html` answer in place of the system, so nothing happens there; `lost` and
`truncated` let the effect happen and spoil the answer. `duplicate_callback`, `lost_callback` and `reorder` belong to
notifications and are taken when one is delivered.
"""

import json
import re
from datetime import datetime

from sandbox.records import FaultKind, FaultRule, Practice

CALLBACK_FAULTS: frozenset[FaultKind] = frozenset({"duplicate_callback", "lost_callback", "reorder"})
HTML_PAGE = (
    b"<!DOCTYPE html><html><head><title>Service notice</title></head>"
    b"<body><h1>We will be back soon</h1><p>The service is being maintained.</p></body></html>"
)


def take(practice: Practice, system: str, method: str, path: str, now: datetime) -> FaultRule | None:
    """The first rule that applies to this request; it is used up by one, or at `until` on the practice's clock."""
    practice.faults = [rule for rule in practice.faults if rule.until is None or now < rule.until]
    for rule in practice.faults:
        if rule.fault in CALLBACK_FAULTS or rule.system not in ("*", system):
            continue
        if re.search(rule.route, f"{method} {path}"):
            return _use(practice, rule)
    return None


def take_callback(practice: Practice, whose: str, fault: FaultKind, system: str = "payers") -> bool:
    """Whether a notification fault is switched on for this payer, or other sender; it is used up by one."""
    for rule in practice.faults:
        if rule.fault == fault and rule.system in ("*", system) and re.search(rule.route, f"NOTIFY /{system}/{whose}"):
            _use(practice, rule)
            return True
    return False


def _use(practice: Practice, rule: FaultRule) -> FaultRule:
    rule.times -= 1 if rule.until is None else 0
    if rule.times <= 0:
        practice.faults.remove(rule)
    return rule


def early_answer(rule: FaultRule) -> tuple[int, dict[str, str], bytes] | None:
    """Status, headers and body that stand in for the system; None when the request goes through."""
    if rule.fault == "429":
        body = json.dumps({"message": "Too many requests."}).encode()
        return 429, {"content-type": "application/json", "retry-after": str(rule.retry_after)}, body
    if rule.fault == "503":
        body = json.dumps({"message": "The service is not available."}).encode()
        return 503, {"content-type": "application/json"}, body
    if rule.fault == "500":
        return 500, {"content-type": "application/json"}, json.dumps({"message": "An error has occurred."}).encode()
    if rule.fault == "html":
        return 200, {"content-type": "text/html; charset=utf-8"}, HTML_PAGE
    return None
