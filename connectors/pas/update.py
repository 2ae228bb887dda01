"""A request changed or taken back: a new Claim that names the one before, and says of every part what became of it.

Source: PAS 2.2.1 "Updating Authorization Requests" (spec-65 to -72), `profile-claim-update` (prof-4 to -10). The prior
Claim stands in the Bundle as it was sent, but not what that one took the place of.
"""

from collections.abc import Sequence
from typing import Any

from connectors.lenient import Json
from connectors.pas.claim import CANCEL, REVISED
from connectors.pas.elements import coded, extension, numbered
from connectors.pas.parties import concept
from connectors.pas.words import HL7, PAS, X12_CERTIFICATION
from domain.decision import Number

_CANCELLED: Json = {"url": f"{PAS}modifierextension-infoCancelled", "valueBoolean": True}
_SHARED = ("priority", "careTeam", "diagnosis")
"""What all items rest on: where it differs, they all differ."""


class Documents:
    """The documents of a Claim and of the one before it, by id; they stand first among the pieces of information."""

    def __init__(self, now: Sequence[str], then: Sequence[str]) -> None:
        self.now = {document: place for place, document in enumerate(now, start=1)}
        self.then = {document: place for place, document in enumerate(then, start=1)}


def revised(fresh: Json, before: Json, documents: Documents, numbers: tuple[Number, ...], *, is_2_2: bool) -> Json:
    """Return the Claim that takes the place of `before`, made from what is asked for now (`fresh`).

    Sequences are those of `before`; what is new gets new ones. Documents are never taken back: the payer has seen them.
    """
    said, places = _information(fresh.get("supportingInfo", []), before.get("supportingInfo", []), documents)
    items = _items(fresh, before, places)
    return _update(fresh, REVISED, items, numbers, is_2_2=is_2_2) | {"supportingInfo": said}


def cancelled(prior: Json, numbers: tuple[Number, ...], *, is_2_2: bool) -> Json:
    """Return the Claim that takes all of `prior` back."""
    return _update(prior, CANCEL, [_gone(item) for item in prior["item"]], numbers, is_2_2=is_2_2)


def related(prior_url: str) -> list[Json]:
    """Return the reference to the Claim that an update takes the place of."""
    return [{"claim": {"reference": prior_url}, "relationship": concept(f"{HL7}ex-relatedclaimrelationship", "prior")}]


def _update(claim: Json, certification: str, items: list[Json], numbers: tuple[Number, ...], *, is_2_2: bool) -> Json:
    """In 2.0.1 the payer's numbers stand on the items, in 2.2.1 on the Claim."""
    named = numbered(numbers)
    return {
        **claim,
        "meta": {"profile": [f"{PAS}profile-claim-update"]},
        "extension": [
            *claim.get("extension", []),
            coded("certificationType", X12_CERTIFICATION, certification),
            *(named if is_2_2 else []),
        ],
        "item": items if is_2_2 else [{**item, "extension": [*item["extension"], *named]} for item in items],
    }


def _information(fresh: list[Json], before: list[Json], documents: Documents) -> tuple[list[Json], dict[int, int]]:
    """The pieces of information of an update, and which sequence each fresh document has in it."""
    made = before[: len(documents.then)]
    remarks = {_category(one): one for one in fresh[len(documents.now) :]}
    for old in before[len(documents.then) :]:
        new = remarks.pop(_category(old), None)
        if new is None:
            made.append({**_marked(old, "changed"), "modifierExtension": [_CANCELLED]})
        else:
            new = {**new, "sequence": old["sequence"]}
            made.append(old if new == old else _marked(new, "changed"))
    places: dict[int, int] = {}
    for document, place in documents.now.items():
        if document in documents.then:
            places[place] = documents.then[document]
        else:
            places[place] = len(made) + 1
            made.append(_marked({**fresh[place - 1], "sequence": len(made) + 1}, "added"))
    for new in remarks.values():
        made.append(_marked({**new, "sequence": len(made) + 1}, "added"))
    return made, places


def _items(fresh: Json, before: Json, places: dict[int, int]) -> list[Json]:
    """The items of an update, by sequence: as they were, revised, added, or taken back."""
    now = {item["sequence"]: item for item in fresh["item"]}
    then = {item["sequence"]: item for item in before["item"]}
    same_ground = all(fresh.get(name) == before.get(name) for name in _SHARED)
    made: list[Json] = []
    for sequence in sorted(now | then):
        if sequence not in now:
            made.append(_resting_on(fresh, _gone(then[sequence])))
            continue
        item = dict(now[sequence])
        if "informationSequence" in item:
            item["informationSequence"] = sorted(places[place] for place in item["informationSequence"])
        if sequence not in then:
            made.append(_marked(item, "added"))
        elif same_ground and _asked(item) == _asked(then[sequence]):
            # A document that is new belongs to the whole: it changes no item by itself.
            made.append(then[sequence])
        else:
            made.append(_marked(_certified(item, REVISED), "changed"))
    return made


def _asked(item: Json) -> Json:
    """What an item asks for, whatever supports it."""
    return {name: value for name, value in item.items() if name != "informationSequence"}


def _gone(item: Json) -> Json:
    return {**_marked(_certified(item, CANCEL), "changed"), "modifierExtension": [_CANCELLED]}


def _resting_on(claim: Json, item: Json) -> Json:
    """The item without pointers at diagnoses and providers that are not named any more."""
    made = dict(item)
    for name, of in (("diagnosisSequence", "diagnosis"), ("careTeamSequence", "careTeam")):
        there = {one["sequence"] for one in claim.get(of, [])}
        kept = [place for place in made.pop(name, []) if place in there]
        made |= {name: kept} if kept else {}
    return made


def _certified(item: Json, certification: str) -> Json:
    kept = [e for e in item["extension"] if not e["url"].endswith("extension-certificationType")]
    return {**item, "extension": [*kept, coded("certificationType", X12_CERTIFICATION, certification)]}


def _marked(element: Json, how: str) -> Json:
    return {**element, "extension": [*element.get("extension", []), extension("infoChanged", valueCode=how)]}


def _category(element: Json) -> Any:
    return element["category"]["coding"][0]["code"]
