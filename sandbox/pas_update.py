"""Strictness about what a message says of an earlier one: updates (PAS 2.2.1, spec-65 to -72, prof-4 to -10).

Whatever was asked for stays in the update under its sequence; what is marked as changed differs, and what differs is marked.
"""

from sandbox.pas_check import Issues, is_cancel
from sandbox.pas_words import PAS, BundleIndex, dicts, extension, extension_code, reference_of
from sandbox.records import Json

_GROUND = ("diagnosis", "careTeam", "priority")
_OF_ITS_TIME = frozenset(
    f"{PAS}extension-{name}" for name in ("infoChanged", "authorizationNumber", "administrationReferenceNumber")
)


def check_update(bundle: Json) -> Issues:
    """Everything that is wrong with how an update or a cancel (PAS 2.2.1) relates to the prior Claim in its Bundle."""
    issues = Issues()
    index = BundleIndex(bundle)
    url = str(index.entries[0]["fullUrl"])
    claim: Json = index.entries[0]["resource"]
    prior = index.resource(reference_of(dicts(claim.get("related"))[0].get("claim")), url) or {}
    compare(issues, claim, prior)
    return issues


def compare(issues: Issues, claim: Json, prior: Json) -> None:
    """Note what is wrong with a Claim that takes the place of `prior`. A cancel of the whole needs no parts."""
    place = "Bundle.entry[0].resource"
    own = [entry.get("value") for entry in dicts(claim.get("identifier"))]
    theirs = [entry.get("value") for entry in dicts(prior.get("identifier"))]
    issues.need(
        not set(own) & set(theirs), f"{place}.identifier", "An update has an identifier of its own.", "duplicate"
    )
    same_ground = all(claim.get(name) == prior.get(name) for name in _GROUND)
    for name in ("item", "supportingInfo"):
        if claim.get(name) or not is_cancel(claim):
            _check_parts(issues, claim, prior, name, f"{place}.{name}", same_ground=same_ground)
    if is_cancel(claim):
        gone = all(map(_cancelled, dicts(claim.get("item"))))
        issues.need(gone, f"{place}.item", "A cancel of the whole cancels every item that it has.", "invariant")


def same(one: Json, other: Json) -> bool:
    """Whether two Claims are the same but for how they name the one that they take the place of."""
    return {**one, "related": None} == {**other, "related": None}


def _check_parts(issues: Issues, claim: Json, prior: Json, name: str, place: str, *, same_ground: bool) -> None:
    then = {part.get("sequence"): part for part in dicts(prior.get(name))}
    now = {part.get("sequence"): part for part in dicts(claim.get(name))}
    for sequence in sorted(set(then) - set(now), key=str):
        issues.add(
            place, f"Sequence {sequence} of the prior Claim is missing; what is not wanted is cancelled.", "required"
        )
    for sequence, part in now.items():
        at = f"{place}[sequence={sequence}]"
        how = (extension(part, "infoChanged") or {}).get("valueCode")
        before = then.get(sequence)
        gone = _cancelled(part)
        if name == "item":
            text = "A cancelled item has certificationType 3, and only a cancelled one."
            issues.need((extension_code(part, "certificationType") == "3") == gone, at, text, "invariant")
        if before is None:
            issues.need(how == "added", at, "What is new is marked as added.")
        elif _content(part) != _content(before):
            issues.need(how == "changed", at, "What differs from the prior Claim is marked as changed.")
        else:
            told = how is None or (how == "changed" and not same_ground)
            issues.need(told, at, "What is as it was is not marked.", "invariant")


def _cancelled(part: Json) -> bool:
    marks = [m for m in dicts(part.get("modifierExtension")) if m.get("url") == f"{PAS}modifierextension-infoCancelled"]
    return any(mark.get("valueBoolean") is True for mark in marks)


def _content(part: Json) -> Json:
    """What a part says, but for how it differs and for the payer's own numbers, which stand on it in PAS 2.0.1."""
    kept = [e for e in dicts(part.get("extension")) if e.get("url") not in _OF_ITS_TIME]
    return {**part, "extension": sorted(kept, key=lambda e: str(e.get("url")))}
