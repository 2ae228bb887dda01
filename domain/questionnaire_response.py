"""The QuestionnaireResponse of a payer's form: made from answers, read back into them, and begun with what is known.

What is filled in before a person looks at it is, in this order: the payer's own draft, the form's initial values, and what
the order says where an item names that by its `definition` or by a code. No CQL and no FHIRPath is run.
Sources: FHIR R4 QuestionnaireResponse; Da Vinci DTR 2.0.1 `dtr-questionnaireresponse` (context, intended use, origin of answers).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from domain.order import Order
from domain.questionnaire import Answers, Form, Item, ItemType, Json, Scalar, plain_value
from domain.questionnaire_check import in_play, values_of

DTR = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
CRD_CODES = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/temp"
Status = Literal["in-progress", "completed"]

CODES: Mapping[str, str] = MappingProxyType(
    {
        "http://loinc.org|45394-4": "Patient.name.family",
        "http://loinc.org|45392-8": "Patient.name.given",
        "http://loinc.org|21112-8": "Patient.birthDate",
        "http://loinc.org|45397-7": "Coverage.subscriberId",
    }
)
"""What an item asks for by its code (LOINC; to be confirmed with each payer's forms)."""


def build_response(
    form: Form,
    answers: Answers,
    *,
    status: Status,
    authored: datetime,
    prefilled: Answers | None = None,
    attachments: Mapping[str, Json] | None = None,
    identifier: str | None = None,
) -> Json:
    """The response to a form. Answers of items that do not count are left out; check them by `validate` first.

    `authored` is in UTC; `prefilled` is what was filled in beforehand, by which each answer's origin is told; `attachments` are
    FHIR Attachments by the ids of documents. References name types only: whoever sends it puts the message's own in place.
    """
    maker = _Maker(prefilled or {}, attachments or {})
    made: Json = {
        "resourceType": "QuestionnaireResponse",
        "meta": {"profile": [f"{DTR}dtr-questionnaireresponse"]},
        "extension": [
            {"url": f"{DTR}qr-context", "valueReference": {"reference": "Coverage/coverage"}},
            {"url": f"{DTR}qr-context", "valueReference": {"reference": "ServiceRequest/order"}},
            {
                "url": f"{DTR}intendedUse",
                "valueCodeableConcept": {"coding": [{"system": CRD_CODES, "code": "withpa"}]},
            },
        ],
        "questionnaire": form.canonical,
        "status": status,
        "subject": {"reference": "Patient/patient"},
        "authored": authored.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if identifier is not None:
        made["identifier"] = {"value": identifier}
    items = maker.items(form.items, in_play(form, answers), prefilled or {})
    return made | ({"item": items} if items else {})


def answers_of(form: Form, response: Json) -> dict[str, Any]:
    """The answers in a response, as far as they are to this form; what is none is left out."""
    return _read(form.items, response.get("item"))


def prefill(form: Form, order: Order, rank: int, draft: Json | None = None) -> dict[str, Any]:
    """What can be filled in before a person looks at it: by the payer's draft, by the form, by the order."""
    found = answers_of(form, draft) if draft is not None else {}
    known = known_of(order, rank)
    for item in _single(form.items):
        if item.link_id in found:
            continue
        if item.initial:
            found[item.link_id] = list(item.initial)
        elif (value := _known(item, known)) is not None:
            found[item.link_id] = [value]
    return found


def known_of(order: Order, rank: int) -> dict[str, str]:
    """What an order says, by the path of the FHIR element that says it."""
    patient, coverage, ordering = order.patient, order.coverage(rank), order.ordering
    line = order.lines[0]
    found = {
        "Patient.name.family": patient.family_name,
        "Patient.name.given": patient.given_name,
        "Patient.birthDate": patient.birth_date.isoformat(),
        "Patient.gender": patient.sex.value,
        "Patient.telecom.value": patient.phone,
        "Coverage.subscriberId": coverage.member_id,
        "Practitioner.identifier.value": ordering.npi,
        "Practitioner.name.family": ordering.family_name,
        "Practitioner.name.given": ordering.given_name,
        "ServiceRequest.code": line.code,
        "ServiceRequest.occurrence[x]": line.service_from.isoformat(),
        "Condition.code": order.diagnoses[0],
    }
    return {path: value for path, value in found.items() if value}


def _known(item: Item, known: Mapping[str, str]) -> Scalar | None:
    """What is known of an item, where it names it and can hold it."""
    paths = [item.definition.partition("#")[2]] if item.definition else []
    paths += [CODES[code] for code in item.codes if code in CODES]
    value = next((known[path] for path in paths if path in known), None)
    if value is None:
        return None
    if item.options:
        return next((option.key for option in item.options if option.key.rpartition("|")[2] == value), None)
    texts = {ItemType.STRING, ItemType.TEXT, ItemType.OPEN_CHOICE}
    if item.type is ItemType.DATE:
        return value if len(value) == len("2026-11-30") and value[4] == "-" else None
    return value if item.type in texts and (item.max_length is None or len(value) <= item.max_length) else None


def _single(items: Sequence[Item]) -> Iterator[Item]:
    """The questions outside of groups that repeat: which row something known is about, a person says."""
    for item in items:
        if item.type.is_question:
            yield item
        if not item.has_rows:
            yield from _single(item.items)


def _read(items: Sequence[Item], given: Any) -> dict[str, Any]:
    by_link: dict[str, list[Json]] = {}
    for one in given if isinstance(given, list) else []:
        if isinstance(one, dict) and isinstance(one.get("linkId"), str):
            by_link.setdefault(one["linkId"], []).append(one)
    found: dict[str, Any] = {}
    for item in items:
        entries = by_link.get(item.link_id, [])
        if item.has_rows:
            rows = [row for entry in entries if (row := _read(item.items, entry.get("item")))]
            found |= {item.link_id: rows} if rows else {}
            continue
        answered = [one for entry in entries for one in entry.get("answer") or () if isinstance(one, dict)]
        if item.type.is_question:
            values = [_value(item, one) for one in answered]
            kept = [value for value in values if value is not None]
            found |= {item.link_id: kept} if kept else {}
        inner = [child for entry in (*entries, *answered) for child in entry.get("item") or ()]
        found |= _read(item.items, inner)
    return found


def _value(item: Item, answer: Json) -> Scalar | None:
    value = plain_value({name: inner for name, inner in answer.items() if name.startswith("value")})
    in_words = item.type.is_choice and not item.options and isinstance(value, str)
    return str(value).removeprefix("|") if in_words else value


class _Maker:
    def __init__(self, prefilled: Answers, attachments: Mapping[str, Json]) -> None:
        self._prefilled, self._attachments = prefilled, attachments

    def items(self, items: Sequence[Item], answers: Answers, before: Answers) -> list[Json]:
        made: list[Json] = []
        for item in items:
            head: Json = {"linkId": item.link_id} | ({"text": item.text} if item.text else {})
            values = values_of(answers, item.link_id)
            if item.has_rows:
                for row in values:
                    inner = self.items(item.items, row, {})
                    made += [head | {"item": inner}] if inner else []
            elif item.type is ItemType.GROUP:
                inner = self.items(item.items, answers, before)
                made += [head | {"item": inner}] if inner else []
            elif item.type.is_question and values:
                was = values_of(before, item.link_id)
                given = [self._answer(item, value, was) for value in values]
                inner = self.items(item.items, answers, before)
                if inner:
                    given[0] |= {"item": inner}
                made.append(head | {"answer": given})
        return made

    def _answer(self, item: Item, value: Any, was: tuple[Any, ...]) -> Json:
        source = "auto" if value in was else "override" if was else "manual"
        origin = {"url": f"{DTR}information-origin", "extension": [{"url": "source", "valueCode": source}]}
        return {"extension": [origin], **self._typed(item, value)}

    def _typed(self, item: Item, value: Any) -> Json:
        """The answer's value[x]."""
        chosen = next((option for option in item.options if option.key == value), None)
        if item.type.is_choice and chosen is not None:
            return dict(chosen.value)
        match item.type:
            case ItemType.BOOLEAN:
                return {"valueBoolean": value}
            case ItemType.INTEGER:
                return {"valueInteger": value}
            case ItemType.DECIMAL:
                return {"valueDecimal": value}
            case ItemType.DATE:
                return {"valueDate": value}
            case ItemType.DATE_TIME:
                return {"valueDateTime": value}
            case ItemType.TIME:
                return {"valueTime": value if value.count(":") > 1 else f"{value}:00"}
            case ItemType.URL:
                return {"valueUri": value}
            case ItemType.CHOICE:
                return {"valueCoding": {"display": value}}
            case ItemType.QUANTITY:
                return {"valueQuantity": _quantity(item, str(value))}
            case ItemType.ATTACHMENT:
                return {"valueAttachment": {"title": value, **self._attachments.get(value, {})}}
            case ItemType.REFERENCE:
                return {"valueReference": {"display": value}}
        return {"valueString": value}


def _quantity(item: Item, value: str) -> Json:
    number, _, said = value.partition(" ")
    unit = next((one for one in item.units if one.key == said or (not said and len(item.units) == 1)), None)
    made: Json = {"value": float(number) if "." in number else int(number)}
    if unit is not None:
        coding = unit.value.get("valueCoding", {})
        return made | {"unit": unit.label} | {k: coding[k] for k in ("system", "code") if k in coding}
    return made | ({"unit": said} if said else {})
