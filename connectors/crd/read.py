"""Read a CDS service's answer: the coverage-information on our orders, and what the cards say beside it.

Reads CRD 2.2.1 and 2.0.1 alike and never raises on content. Codes are kept verbatim; what contradicts itself becomes a code
that nobody knows; what names another order, coverage or procedure says nothing about ours.
Sources: Da Vinci CRD 2.2.1 and 2.0.1, `ext-coverage-information`; CDS Hooks 2.0 "CDS Service Response".
"""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from pydantic import Field

from connectors.crd.write import Asked
from connectors.lenient import Json, NotJson, day, objects, parse, raw, text, token
from connectors.pas.action import reasons_of
from connectors.pas.fhir import codings, parts, reference
from domain.base import Frozen
from domain.decision import Reason
from domain.facts import LineInformation

URL = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
_CODE, _TEXT, _URL = 40, 200, 300
_MOST = 10
_MOST_INFORMATION = 100
_MOST_NOTES = 10


class CoverageInformation(Frozen):
    """One assertion of a payer about an order, whole. Codes are verbatim."""

    coverage: str | None = None
    covered: str | None = None
    authorization: str | None = Field(default=None, description="`pa-needed`")
    documents: tuple[str, ...] = Field(default=(), description="`doc-needed`")
    purposes: tuple[str, ...] = Field(default=(), description="`doc-purpose`")
    information: tuple[str, ...] = Field(default=(), description="`info-needed`")
    billing_codes: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    details: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    questionnaires: tuple[str, ...] = ()
    responses: tuple[str, ...] = ()
    asserted_on: date | None = None
    assertion: str | None = Field(default=None, description="`coverage-assertion-id`")
    satisfied_by: str | None = Field(default=None, description="`satisfied-pa-id`")
    contacts: tuple[str, ...] = ()
    expires_on: date | None = None


class Answer(Frozen):
    """What a payer answered: the word on each of our lines, and notes for a person."""

    lines: tuple[LineInformation, ...] = ()
    notes: tuple[str, ...] = ()


def read_hook(body: bytes, asked: Asked) -> Answer | None:
    """Return what an answer says about the orders that were asked about; None where it is no answer of a CDS service."""
    try:
        found = parse(body)
    except NotJson:
        return None
    if not any(isinstance(found.get(name), list) for name in ("cards", "systemActions")):
        return None
    said: dict[int, list[CoverageInformation]] = {number: [] for number in asked.codes}
    notes: list[str] = []
    for resource in updated(found):
        about = _lines_of(resource, asked)
        if not about:
            if resource.get("extension"):
                notes.append("The payer also speaks of an order that is none of ours.")
            continue
        for one in information(resource):
            if one.coverage is not None and one.coverage.rpartition("/")[2] != asked.coverage:
                notes.append("The payer also speaks of another coverage.")
                continue
            for number in about:
                if not one.billing_codes or asked.codes[number] in one.billing_codes:
                    said[number].append(one)
    notes += cards(found)
    lines = tuple(line_information(number, said[number]) for number in sorted(said) if said[number])
    return Answer(lines=lines, notes=tuple(dict.fromkeys(notes))[:_MOST_NOTES])


def updated(body: Json) -> Iterator[Json]:
    """Yield the resources that an answer updates: by system actions, or by the suggestions of cards (older services)."""
    actions = objects(body.get("systemActions"))
    for card in objects(body.get("cards")):
        for suggestion in objects(card.get("suggestions")):
            actions += [action for action in objects(suggestion.get("actions")) if action.get("type") == "update"]
    for action in actions[:_MOST_INFORMATION]:
        resource = action.get("resource")
        if isinstance(resource, dict) and action.get("type") in ("update", None):
            yield resource


def information(resource: Json) -> tuple[CoverageInformation, ...]:
    """Return every coverage-information of an order, whatever version is pinned to the extension's URL."""
    mine = [e for e in objects(resource.get("extension")) if raw(e.get("url")).partition("|")[0] == URL]
    return tuple(_information(extension) for extension in mine[:_MOST_INFORMATION])


def cards(body: Json) -> list[str]:
    """Return what the cards say, for a person to read: summary and detail, with their links' labels."""
    found = []
    for card in objects(body.get("cards")):
        said = [text(card.get("summary"), _TEXT), text(card.get("detail"), 2 * _TEXT)]
        said += [text(link.get("label"), _TEXT) for link in objects(card.get("links"))[:3]]
        if words := ". ".join(part for part in said if part):
            found.append(words)
    return found


def line_information(number: int, said: Iterable[CoverageInformation]) -> LineInformation:
    """Return the word on one line out of all assertions about it. What they contradict each other in becomes unknown."""
    found = list(said)
    first = found[0]
    ends = [one.expires_on for one in found if one.expires_on is not None]
    return LineInformation(
        line=number,
        covered=_joined(one.covered for one in found),
        authorization=_joined(one.authorization for one in found),
        documents=_merged(one.documents for one in found),
        purposes=_merged(one.purposes for one in found),
        information=_merged(one.information for one in found),
        satisfied_by=first.satisfied_by if len({one.satisfied_by for one in found}) == 1 else None,
        assertion=next((one.assertion for one in found if one.assertion), None),
        questionnaires=_merged(one.questionnaires for one in found),
        reasons=tuple(dict.fromkeys(reason for one in found for reason in one.reasons))[:_MOST],
        details=_merged(one.details for one in found),
        contacts=_merged((one.contacts for one in found), 5),
        asserted_on=first.asserted_on,
        expires_on=min(ends, default=None),
    )


def _lines_of(resource: Json, asked: Asked) -> tuple[int, ...]:
    """The lines that an updated resource is about: ours by its id; the visit's are all."""
    kind, known_as = raw(resource.get("resourceType")), raw(resource.get("id"))
    if kind == "Appointment":
        return tuple(sorted(asked.codes)) if asked.appointment is not None and known_as == asked.appointment else ()
    return (asked.orders[known_as],) if known_as in asked.orders else ()


def _information(extension: Json) -> CoverageInformation:
    def codes(name: str) -> tuple[str, ...]:
        given = (_code(part) for part in parts(extension, name))
        return tuple(dict.fromkeys(code for code in given if code))[:_MOST]

    def strings(name: str, limit: int) -> tuple[str, ...]:
        given = (_string(part, limit) for part in parts(extension, name))
        return tuple(dict.fromkeys(value for value in given if value))[:_MOST]

    def only(values: tuple[str, ...]) -> str | None:
        return text("/".join(values), _CODE)

    return CoverageInformation(
        coverage=next(
            (r for part in parts(extension, "coverage") if (r := reference(part.get("valueReference")))), None
        ),
        covered=only(codes("covered")),
        authorization=only(codes("pa-needed")),
        documents=codes("doc-needed"),
        purposes=codes("doc-purpose"),
        information=codes("info-needed"),
        billing_codes=codes("billingCode"),
        reasons=tuple(r for p in parts(extension, "reason") for r in reasons_of(p.get("valueCodeableConcept")))[:_MOST],
        details=tuple(d for part in parts(extension, "detail") if (d := _detail(part)))[:_MOST],
        dependencies=strings("dependency", _URL),
        questionnaires=strings("questionnaire", _TEXT),
        responses=strings("response", _URL),
        asserted_on=_day(extension, "date"),
        assertion=next(iter(strings("coverage-assertion-id", 120)), None),
        satisfied_by=next(iter(strings("satisfied-pa-id", 80)), None),
        contacts=tuple(c for part in parts(extension, "contact") for c in _contacts(part))[:5],
        expires_on=_day(extension, "expiry-date"),
    )


def _code(part: Json) -> str | None:
    """A code verbatim, in whichever type it comes; one that is too long is marked as cut."""
    plain = raw(part.get("valueCode")) or raw(part.get("valueString"))
    coded = codings(part.get("valueCodeableConcept")) + objects(part.get("valueCoding"))
    return text(plain or next((c.get("code") for c in coded if raw(c.get("code"))), None), _CODE)


def _string(part: Json, limit: int) -> str | None:
    """A value that must not be cut, in whichever type it comes."""
    plain = next(
        (v for name in ("valueCanonical", "valueString", "valueUri", "valueUrl") if (v := part.get(name))), None
    )
    identifier = part.get("valueIdentifier")
    if plain is None and isinstance(identifier, dict):
        plain = identifier.get("value")
    return token(plain, limit) or reference(part.get("valueReference"))


def _day(extension: Json, name: str) -> date | None:
    found = (day(p.get("valueDate")) or day(p.get("valueDateTime")) for p in parts(extension, name))
    return next((on for on in found if on), None)


def _detail(part: Json) -> str | None:
    """A detail in words: what it is about, its value, and under which condition."""
    said: list[str | None] = []
    for name in ("category", "code"):
        said += [_code(one) for one in parts(part, name)]
    for one in parts(part, "value"):
        quantity, span = one.get("valueQuantity"), one.get("valuePeriod")
        if isinstance(quantity, dict):
            said.append(f"{_plain(quantity.get('value'))} {_plain(quantity.get('unit') or quantity.get('code'))}")
        elif isinstance(span, dict):
            said.append(f"{_plain(span.get('start'))} to {_plain(span.get('end'))}")
        elif isinstance(one.get("valueBoolean"), bool):
            said.append("yes" if one["valueBoolean"] else "no")
        else:
            said.append(text(one.get("valueString"), _TEXT))
    said += [text(one.get("valueString"), _TEXT) for one in parts(part, "qualification")]
    return text(" ".join(word for word in said if word), _TEXT)


def _plain(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value)[:20] if number else text(value, 20) or "?"


def _contacts(part: Json) -> Iterator[str]:
    """A contact's name and ways to reach it: a ContactPoint in CRD 2.0.1, a ContactDetail in 2.2.1."""
    detail = part.get("valueContactDetail")
    points = objects(detail.get("telecom")) if isinstance(detail, dict) else []
    name = text(detail.get("name"), 100) if isinstance(detail, dict) else None
    for point in points + objects(part.get("valueContactPoint")):
        value = text(point.get("value"), 120)
        if value is not None:
            yield f"{name}: {value}" if name else value
    if name and not points:
        yield name


def _joined(codes: Iterable[str | None]) -> str | None:
    """One code, or all that were said: together they are one that nobody knows."""
    return text("/".join(dict.fromkeys(code for code in codes if code)), _CODE)


def _merged(values: Iterable[tuple[str, ...]], most: int = _MOST) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for some in values for value in some))[:most]
