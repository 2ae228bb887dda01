"""A request changed or taken back: a new Claim that names the one before, and says of every part what became of it.

Source: PAS 2.2.1 "Updating Authorization Requests" (spec-65 to -72), `profile-claim-update` (prof-4 to -10). The prior
Claim stands in the Bundle as it was sent, but not what that one took the place of.
"""

from collections.abc import Mapping, Sequence
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
_KIND = f"{PAS}extension-certificationType"
_OF_ITS_TIME = frozenset(
    f"{PAS}extension-{name}" for name in ("infoChanged", "authorizationNumber", "administrationReferenceNumber")
)
"""What is said of a part by one message and not by the next: how it differs, and under which number it is known."""


def revised(
    fresh: Json,
    before: Json,
    now: Sequence[str],
    then: Mapping[str, int],
    numbers: tuple[Number, ...],
    *,
    is_2_2: bool,
) -> tuple[Json, dict[str, int]]:
    """Return the Claim that takes the place of `before`, made from what is asked for now (`fresh`), and its documents.

    `now` names the documents of `fresh`, which stand first among its pieces of information; `then` gives the sequence of
    those of `before`, and what is returned that of all. Sequences are those of `before`; what is new gets new ones.
    Documents are never taken back: the payer has seen them.
    """
    said, places = _information(fresh.get("supportingInfo", []), before.get("supportingInfo", []), now, then)
    items = _items(fresh, before, {place: places[document] for place, document in enumerate(now, start=1)})
    return _update(fresh, REVISED, items, numbers, is_2_2=is_2_2) | {"supportingInfo": said}, places


def cancelled(prior: Json, numbers: tuple[Number, ...], *, is_2_2: bool) -> Json:
    """Return the Claim that takes all of `prior` back."""
    items = [_against(_gone(item), item) for item in map(_plain, prior["item"])]
    whole = _plain(prior)
    kept = [one for one in whole.get("extension", []) if one["url"] != _KIND]
    said = [_plain(one) for one in prior.get("supportingInfo", [])]
    return _update({**whole, "extension": kept}, CANCEL, items, numbers, is_2_2=is_2_2) | {"supportingInfo": said}


def related(claim: Json) -> list[Json]:
    """Return the word on the Claim that an update takes the place of, named by a Reference."""
    return [{"claim": claim, "relationship": concept(f"{HL7}ex-relatedclaimrelationship", "prior")}]


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


def _information(
    fresh: list[Json], before: list[Json], now: Sequence[str], then: Mapping[str, int]
) -> tuple[list[Json], dict[str, int]]:
    """The pieces of information of an update, and which sequence each document has in it."""
    made: list[Json] = []
    documents = frozenset(then.values())
    remarks = {_category(one): one for one in fresh[len(now) :]}
    for old in map(_plain, before):
        new = old if old["sequence"] in documents else remarks.pop(_category(old), None)
        if new is None:
            new = {**old, "modifierExtension": [_CANCELLED]}
        made.append(_against({**new, "sequence": old["sequence"]}, old))
    places = dict(then)
    for document, new in zip(now, fresh, strict=False):
        if document not in then:
            places[document] = len(made) + 1
            made.append(_against({**new, "sequence": len(made) + 1}, None))
    for new in remarks.values():
        made.append(_against({**new, "sequence": len(made) + 1}, None))
    return made, places


def _items(fresh: Json, before: Json, places: dict[int, int]) -> list[Json]:
    """The items of an update, by sequence: as they were, revised, added, or taken back, now or by an earlier update."""
    now = {item["sequence"]: item for item in fresh["item"]}
    then = {item["sequence"]: _plain(item) for item in before["item"]}
    same_ground = all(fresh.get(name) == before.get(name) for name in _SHARED)
    made: list[Json] = []
    for sequence in sorted(now | then):
        old = then.get(sequence)
        if sequence not in now:
            made.append(_against(_resting_on(fresh, _gone(then[sequence])), old))
            continue
        item = dict(now[sequence])
        if "informationSequence" in item:
            item["informationSequence"] = sorted(places[place] for place in item["informationSequence"])
        if old is None:
            made.append(_marked(item, "added"))
        elif same_ground and _asked(item) == _asked(old):
            # A document that is new belongs to the whole: it changes no item by itself.
            made.append(old)
        else:
            made.append(_marked(_certified(item, REVISED), "changed"))
    return made


def _asked(item: Json) -> Json:
    """What an item asks for, whatever supports it, and as whatever it is asked."""
    kept = [one for one in item["extension"] if one["url"] != _KIND]
    return {name: value for name, value in item.items() if name != "informationSequence"} | {"extension": kept}


def _gone(item: Json) -> Json:
    return {**_certified(item, CANCEL), "modifierExtension": [_CANCELLED]}


def _resting_on(claim: Json, item: Json) -> Json:
    """The item without pointers at diagnoses and providers that are not named any more."""
    made = dict(item)
    for name, of in (("diagnosisSequence", "diagnosis"), ("careTeamSequence", "careTeam")):
        there = {one["sequence"] for one in claim.get(of, [])}
        kept = [place for place in made.pop(name, []) if place in there]
        made |= {name: kept} if kept else {}
    return made


def _certified(item: Json, certification: str) -> Json:
    kept = [e for e in item["extension"] if e["url"] != _KIND]
    return {**item, "extension": [*kept, coded("certificationType", X12_CERTIFICATION, certification)]}


def _plain(element: Json) -> Json:
    """The element without what was said of it by the message that it stood in."""
    kept = [one for one in element.get("extension", []) if one["url"] not in _OF_ITS_TIME]
    plain = {**element, "extension": kept}
    return {name: value for name, value in plain.items() if name != "extension" or kept}


def _against(element: Json, old: Json | None) -> Json:
    """The element, marked by how it differs from what stood in its place."""
    if old is None:
        return _marked(element, "added")
    return element if element == old else _marked(element, "changed")


def _marked(element: Json, how: str) -> Json:
    return {**element, "extension": [*element.get("extension", []), extension("infoChanged", valueCode=how)]}


def _category(element: Json) -> Any:
    return element["category"]["coding"][0]["code"]
