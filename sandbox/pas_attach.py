"""`$submit-attachment` at the payer's door: what is wrong with its Parameters, as strictly as CDex 2.1.0 has it."""

from sandbox.pas_check import DATE, Issues, luhn_npi
from sandbox.pas_profiles import is_base64
from sandbox.pas_words import NPI, codings, dicts
from sandbox.records import Json

_ONCE = ("TrackingId", "AttachTo", "PayerId", "OrganizationId", "ProviderId", "MemberId")
_AT_MOST_ONCE = ("AdminRefNumber", "ServiceDate", "Final")
_IDENTIFIERS = ("TrackingId", "AdminRefNumber", "PayerId", "OrganizationId", "ProviderId", "MemberId")


def check_attachment(body: Json) -> Issues:
    """Everything that is wrong with the Parameters of `$submit-attachment`."""
    issues = Issues()
    if not issues.need(
        body.get("resourceType") == "Parameters", "Parameters", "The body is no Parameters.", "structure"
    ):
        return issues
    given: dict[str, list[Json]] = {}
    for entry in dicts(body.get("parameter")):
        given.setdefault(str(entry.get("name")), []).append(entry)
    known = {*_ONCE, *_AT_MOST_ONCE, "Attachment"}
    for name in sorted(set(given) - known):
        issues.add("Parameters.parameter", f"The parameter {name[:40]} is not known.", "not-supported")
    for name in _ONCE:
        issues.need(len(given.get(name, [])) == 1, f"Parameters.{name}", f"{name} must be there once.")
    for name in _AT_MOST_ONCE:
        issues.need(len(given.get(name, [])) <= 1, f"Parameters.{name}", f"{name} may be there once.", "invariant")
    for name in _IDENTIFIERS:
        for entry in given.get(name, []):
            identifier = entry.get("valueIdentifier")
            told: Json = identifier if isinstance(identifier, dict) else {}
            whole = told.get("system") and told.get("value")
            if issues.need(whole, f"Parameters.{name}", f"{name} needs system and value.") and told["system"] == NPI:
                issues.need(luhn_npi(str(told["value"])), f"Parameters.{name}", "Wrong NPI.", "value")
    to = [entry.get("valueCode") for entry in given.get("AttachTo", [])]
    issues.need(to == ["preauthorization"], "Parameters.AttachTo", "AttachTo must be preauthorization.", "value")
    for entry in given.get("ServiceDate", []):
        when = entry.get("valueDate") or entry.get("valueDateTime") or (entry.get("valuePeriod") or {}).get("start")
        issues.need(DATE.match(str(when)[:10]), "Parameters.ServiceDate", "ServiceDate must be a full date.", "value")
    for entry in given.get("Final", []):
        issues.need(isinstance(entry.get("valueBoolean"), bool), "Parameters.Final", "Final is true or false.", "value")
    issues.need(given.get("Attachment"), "Parameters.Attachment", "There must be an Attachment.")
    for number, entry in enumerate(given.get("Attachment", [])):
        _check_one(issues, dicts(entry.get("part")), f"Parameters.Attachment[{number}]")
    return issues


def _check_one(issues: Issues, parts: list[Json], place: str) -> None:
    content = [part.get("resource") for part in parts if part.get("name") == "Content"]
    if not issues.need(len(content) == 1 and isinstance(content[0], dict), place, "An Attachment has one Content."):
        return
    for part in parts:
        name = part.get("name")
        if name == "LineItem":
            issues.need(str(part.get("valueString", "")).isdigit(), place, "LineItem is a line's number.", "value")
        elif name == "Code":
            coded = [c for c in codings(part.get("valueCodeableConcept")) if c.get("system") and c.get("code")]
            issues.need(coded, place, "Code needs a coding with system and code.")
        elif name != "Content":
            issues.add(place, "The part is not known.", "not-supported")
    resource: Json = content[0] or {}
    kind = resource.get("resourceType")
    if kind == "DocumentReference":
        issues.need(resource.get("status"), place, "A DocumentReference needs a status.")
        for one in dicts(resource.get("content")) or [{}]:
            attached = one.get("attachment") or {}
            inline = is_base64(attached.get("data")) and "url" not in attached
            issues.need(inline, place, "A document travels inline, in attachment.data, without a url.", "value")
    elif kind == "Bundle":
        inside = [(entry.get("resource") or {}).get("resourceType") for entry in dicts(resource.get("entry"))]
        issues.need("QuestionnaireResponse" in inside, place, "The Bundle holds no QuestionnaireResponse.")
    else:
        issues.need(kind in ("QuestionnaireResponse", "Binary"), place, "This Content is not taken.", "not-supported")
