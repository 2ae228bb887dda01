"""`docs/rails.md` is held to the code: every field has its row, and every place that a cell names is really written or read.

What is written is found by changing one field of a request and comparing the messages; what is read, by taking one
place out of an answer and comparing the decisions.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from connectors import packet_sheets
from connectors.gateway import write as gateway
from connectors.gateway.read import read_answers as read_gateway
from connectors.packet import make_packet
from connectors.packet_sheets import Cover
from connectors.paper import Grid, Rows, sheet_pdf
from connectors.pas import write as pas
from connectors.pas.claim import Version
from connectors.pas.identity import ours
from connectors.pas.read import read_answers as read_pas
from connectors.x12.answer import read_answers as read_x12
from connectors.x12.attachment import attachments_275
from connectors.x12.envelope import Controls
from connectors.x12.inquiry import inquiry_278
from connectors.x12.parties import X12Payer
from connectors.x12.request import request_278
from connectors.x12.segments import Segment, parse
from domain.decision import Decision, Number, NumberType
from domain.order import Appointment, Category, Relationship, Sex, Urgency
from domain.portal import PATHS, PortalField, what_to_type
from domain.request import Request
from domain.results import ResultName, form_schema
from tests.pas_requests import CONTENTS, PAYER, PRACTICE, full_order, request
from tests.x12_answers import GOLDEN, MINE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "rails.md"
ASKED, ANSWERED = "What is asked", "What is answered"
RAILS = ("PAS", "X12", "Gateway", "People")
Row = tuple[str, str, str]
"""Section, model, field."""


# --- the page ---------------------------------------------------------------------------------------------------------


def rows() -> dict[Row, dict[str, str]]:
    """The cells of every row of the matrix, by rail."""
    found: dict[Row, dict[str, str]] = {}
    section = model = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            section = line[3:].strip()
        if line.startswith("### "):
            model = line[4:].strip()
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if section in {ASKED, ANSWERED} and len(cells) == 5 and cells[0].startswith("`"):
            row = section, model, cells[0].strip("`")
            assert row not in found, f"{row} stands twice"
            found[row] = dict(zip(RAILS, cells[1:], strict=True))
    return found


def named(cell: str) -> list[str]:
    """The places that a cell names."""
    return re.findall(r"`([^`]+)`", cell)


def of_version(cell: str, version: str) -> str:
    """What a cell says of one version of PAS."""
    both, differs, older = cell.partition("2.0.1:")
    return older if differs and version == "2.0.1" else both


def models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and all that its fields are made of."""
    waiting, seen = [root], {root}
    while waiting:
        one = waiting.pop()
        yield one
        fresh = [part for field in one.model_fields.values() for part in parts(field.annotation) if part not in seen]
        seen.update(fresh)
        waiting += dict.fromkeys(fresh)


def parts(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [part for inner in get_args(annotation) for part in parts(inner)]


MODELS = {(ASKED, m.__name__): m for m in models(Request)} | {(ANSWERED, m.__name__): m for m in models(Decision)}
FIELDS: set[Row] = {(*where, field) for where, model in MODELS.items() for field in model.model_fields}
MATRIX = rows()


def test_every_field_has_a_row_and_every_row_a_field() -> None:
    assert FIELDS - set(MATRIX) == set()
    assert set(MATRIX) - FIELDS == set()


def test_every_cell_names_a_place_or_says_why_there_is_none() -> None:
    for (section, model, field), cells in MATRIX.items():
        for rail, cell in cells.items():
            start = cell.partition(":")[0]
            of_models = bool(parts(MODELS[section, model].model_fields[field].annotation))
            fine = named(cell) or (start in {"not carried", "made here"} and cell != start) or cell.startswith("see ")
            assert fine, (model, field, rail, cell)
            assert of_models or not cell.startswith("see "), (model, field, "has no rows of its own")


# --- what is written ----------------------------------------------------------------------------------------------------

Places = Counter[tuple[str, str]]
"""Places with what stands there."""
X12 = X12Payer(name="Harbor HMO", payer_code="HARBR", sender="LAKESIDE", receiver="NORTHBRIDGE")
COVER = Cover(payer="Harbor HMO", way="fax to +18005550141", time_zone="America/Chicago")
LEVELS = {"20": "A", "21": "B", "22": "C", "23": "D", "EV": "E", "SS": "F"}
COMPOSITE = {("SV1", 1), ("HI", 1), ("HI", 2), ("UM", 4)}
UNNAMED = {"reference", "id", "fullUrl", "meta", "resourceType"}
"""Elements of FHIR that hold a message together and say nothing of a request."""


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """The values in JSON with their paths; extensions go by the last word of their URL."""
    if isinstance(value, list):
        for one in value:
            yield from leaves(one, at)
    elif not isinstance(value, dict):
        yield at, str(value)
    else:
        for name, inner in value.items():
            if name in {"extension", "modifierExtension"}:
                for one in inner:
                    url = one["url"].rpartition("/")[2].rpartition("xtension-")[2]
                    yield from leaves({k: v for k, v in one.items() if k != "url"}, f"{at}.{url}")
            elif name not in UNNAMED:
                yield from leaves(inner, f"{at}.{name}" if at else name)


def of_pas(asked: Request, version: Version) -> Places:
    found: Places = Counter()
    submit = pas.submit_bundle if asked.prior is None else pas.update_bundle
    for made in (
        submit(asked, PRACTICE, PAYER, version, CONTENTS),
        pas.inquiry_bundle(asked, PRACTICE, PAYER, version),
        pas.cancel_bundle(asked, PRACTICE, PAYER, version, contents=CONTENTS),
    ):
        resources = [entry["resource"] for entry in made["entry"]]
        for resource in [{"resourceType": "Bundle", "timestamp": made["timestamp"]}, *resources]:
            found.update(leaves(resource, resource["resourceType"]))
    return found


def of_segments(body: list[Segment], head: str = "") -> Iterator[tuple[str, str]]:
    """The elements of a 278 with their loops, or of another set under its number."""
    loop, level = head, ""
    for one in body:
        if one.id == "HL":
            level = LEVELS[one.get(3)]
            loop = f"2000{level}"
            continue
        loop = f"2010{level}" if one.id == "NM1" and level else loop
        for place, element in enumerate(one.elements, start=1):
            for number, component in enumerate(itertools.chain(*element), start=1):
                part = f"-{number}" if (one.id, place) in COMPOSITE else ""
                if component:
                    yield f"{loop} {one.id}{place:02d}{part}".strip(), component


def of_x12(asked: Request) -> Places:
    found: Places = Counter()
    for body in (
        request_278(asked, PRACTICE, X12),
        request_278(asked, PRACTICE, X12, "cancel", asked.prior_numbers),
        inquiry_278(asked, PRACTICE, X12),
    ):
        found.update(of_segments(body))
    sent = attachments_275(
        asked, PRACTICE, X12, (), asked.documents, CONTENTS, guide="006020X316", at=asked.made_at,
        controls=Controls(interchange=1, group=1), numbers=asked.prior_numbers,
    )  # fmt: skip
    closing = {"ISA", "GS", "ST", "SE", "GE", "IEA"}
    found.update(of_segments([one for one in parse(sent).segments if one.id not in closing], "275"))
    return found


def of_gateway(asked: Request) -> Places:
    record = next((n.value for n in asked.prior_numbers if n.type is NumberType.TRANSACTION), None)
    body = gateway.service_review(asked, PRACTICE, "HARBR", record)
    found: Places = Counter(leaves({name: value for name, value in body.items() if name != "id"}))
    if record:
        found["id", record] += 1
    for numbers in ((), asked.prior_numbers[:1], asked.prior_numbers[1:2]):
        query = gateway.search_query(asked, PRACTICE, "HARBR", numbers)
        found.update((f"?{name}", value) for name, value in query.items())
    return found


def of_people(asked: Request) -> Places:
    """The rows of the form and the cover, and what a person types, by our own words for a portal's fields."""
    found: Places = Counter()

    def seen(title: str, blocks: list[Any]) -> bytes:
        for block in blocks:
            if isinstance(block, Rows):
                found.update((f"{block.heading}: {label}", said) for label, said in block.rows)
            if isinstance(block, Grid):
                cells = [zip(block.head, row, strict=True) for row in block.rows]
                found.update((f"{block.heading}: {label}", said) for row in cells for label, said in row)
        return sheet_pdf(title, blocks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packet_sheets, "sheet_pdf", seen)
        make_packet(COVER, PRACTICE, asked, CONTENTS)
    for path in PATHS:
        steps = what_to_type([PortalField.model_validate({"screen": "S", "field": "F", "from": path})], asked)
        found.update((path, step) for step in steps)
    return found


WRITERS: dict[str, Callable[[Request], Places]] = {
    "PAS": lambda asked: of_pas(asked, "2.2.1"),
    "PAS 2.0.1": lambda asked: of_pas(asked, "2.0.1"),
    "X12": of_x12,
    "Gateway": of_gateway,
    "People": of_people,
}

_DAY, _MOMENT = date(2026, 5, 1), datetime(2026, 6, 1, 1, 1, tzinfo=UTC)
_PERSON = {"family_name": "Otherman", "given_name": "Kim"}
_PHONES = {"phone": "+12175550150", "fax": "+12175550151"}
OTHER: dict[str, dict[str, Any]] = {
    "Request": {
        "payer": "other", "rail": "fax", "track": "2-other", "attempt": 3, "trace": "case-other", "made_at": _MOMENT,
        "rank": 2, "lines": (1, 3), "referral": True, "documents": (), "assertion": "OTHER", "prior": None,
        "prior_numbers": (),
    },
    "Number": {"type": NumberType.PROVISIONAL, "value": "CERT-9"},
    "Order": {
        "practice": "hillcrest", "source": "other", "number": "O-2", "ordered_at": _MOMENT, "urgency": Urgency.STAT,
        "urgency_attestation": "Other words.", "rendering": None, "facility": None, "diagnoses": ("R20.2", "M79.7"),
        "appointment": Appointment(id="A-1", starts_at=_MOMENT), "documents": (),
    },
    "Patient": {
        "id": "P-2", **_PERSON, "birth_date": _DAY, "sex": Sex.MALE, "language": "de", "phone": "+12175550150",
        "address": None, "may_be_messaged": False,
    },
    "Coverage": {
        "rank": 3, "payer": "other", "member_id": "OTHER1", "group_number": "G-2", "plan_name": "Other",
        "relationship": Relationship.SPOUSE, "subscriber_family_name": "Otherman", "subscriber_given_name": "Kim",
        "subscriber_birth_date": _DAY,
    },
    "Provider": {"npi": "1999000031", **_PERSON, "taxonomy": "208100000X", **_PHONES},
    "Facility": {"npi": "1999000031", "name": "Elsewhere", **_PHONES},
    "Address": {"line": "9 Other Way", "city": "Elsewhere", "state": "CO", "postal_code": "80202"},
    "Appointment": {"id": "A-2", "starts_at": _MOMENT, "status": "kept"},
    "ServiceLine": {
        "number": 7, "code": "95886", "code_system": "hcpcs", "category": Category.CT, "label": "other",
        "modifiers": ("LT",), "units": 9, "unit_kind": "day", "place_of_service": "22",
        "service_from": date(2026, 3, 21), "service_to": date(2026, 4, 22), "allowed_cents": 5,
    },
    "DocumentRef": {
        "id": "0" * 64, "kind": "imaging_report", "media_type": "text/html", "size": 7, "dated": _DAY, "signed": False,
    },
}  # fmt: skip
"""Another value of every field that has no rows of its own."""
WHERE: dict[str, tuple[tuple[str | int, ...], ...]] = {
    "Request": ((),),
    "Number": (("prior_numbers", 0),),
    "Order": (("order",),),
    "Patient": (("order", "patient"),),
    "Coverage": (("order", "coverages", 0),),
    "Provider": (("order", "ordering"), ("order", "rendering")),
    "Facility": (("order", "facility"),),
    "Address": (("order", "patient", "address"), ("order", "facility", "address")),
    "Appointment": (("order", "appointment"),),
    "ServiceLine": (("order", "lines", 0),),
    "DocumentRef": (("documents", 0),),
}


def base(*, dependent: bool, update: bool) -> Request:
    """A request in which everything is said, with one line."""
    order = full_order()
    coverage = order.primary
    if not dependent:
        alone = dict.fromkeys(("subscriber_family_name", "subscriber_given_name", "subscriber_birth_date"))
        coverage = coverage.model_copy(update={"relationship": Relationship.SELF, **alone})
    assert order.rendering
    assert order.facility
    said = {
        "coverages": (coverage, coverage.model_copy(update={"rank": 2})),
        "lines": (order.lines[0].model_copy(update={"label": "words", "service_to": date(2026, 4, 20)}),),
        "rendering": order.rendering.model_copy(update={"taxonomy": "2084N0400X", "phone": "+12175550140"}),
        "facility": order.facility.model_copy(update={"fax": "+12175550131"}),
        "appointment": Appointment(id="A-0", starts_at=datetime(2026, 3, 20, 15, tzinfo=UTC)),
    }
    asked = request(order.model_copy(update=said), assertion="ASSERTED-1")
    if not update:
        return asked
    given = (("certification", "CERT-1"), ("administrative", "PEND-1"), ("transaction", "SR-1"))
    numbers = tuple(Number(type=NumberType(kind), value=value) for kind, value in given)
    again = {"trace": "case-4f1b-1-ordering-2", "attempt": 2, "prior": asked, "prior_numbers": numbers}
    return asked.model_copy(update=again)


def put(model: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """The same with another value at a place."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(model, tuple):
        return tuple(put(one, rest, value) if place == first else one for place, one in enumerate(model))
    assert isinstance(first, str)
    return model.model_copy(update={first: put(getattr(model, first), rest, value)})


def changed(asked: Request, path: tuple[str | int, ...], field: str, value: Any) -> Request:
    fresh: Request = put(asked, (*path, field), value)
    line = fresh.order.lines[0]
    if field == "lines" and not path:
        return put(fresh, ("order", "lines"), (line, line.model_copy(update={"number": 3})))  # type: ignore[no-any-return]
    fresh = put(fresh, ("lines",), (line.number,))
    return put(fresh, ("rank",), value) if field == "rank" else fresh


@pytest.fixture(scope="module")
def written() -> dict[tuple[str, str, str], set[str]]:
    """At which places of the messages something changes with a field: by rail, model and field."""
    contents = {**CONTENTS, "0" * 64: b"another document"}
    found: dict[tuple[str, str, str], set[str]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CONTENTS, "0" * 64, contents["0" * 64])
        for rail, places in WRITERS.items():
            for dependent, update in itertools.product((True, False), (True, False)):
                asked = base(dependent=dependent, update=update)
                before = places(asked)
                for model, others in OTHER.items():
                    for path, (field, value) in itertools.product(WHERE[model], others.items()):
                        of_update = model == "Number" or field.startswith("prior")
                        if of_update != update or (field.startswith("subscriber_") and not dependent):
                            continue
                        after = places(changed(asked, path, field, value))
                        moved = {place for place, _ in (before - after) + (after - before)}
                        found.setdefault((rail, model, field), set()).update(moved)
    return found


def test_what_a_cell_names_is_what_a_field_changes(written: dict[tuple[str, str, str], set[str]]) -> None:
    wrong: list[str] = []
    for (rail, model, field), places in written.items():
        column, _, version = rail.partition(" ")
        cell = MATRIX[ASKED, model, field][column]
        if cell.startswith("see "):
            continue
        said = named(of_version(cell, version))
        empty = [one for one in said if not any(covers(one, place) for place in places)]
        more = [place for place in sorted(places) if not any(covers(one, place) for one in said)]
        wrong += [f"{rail} {model}.{field}: {one} does not change" for one in empty]
        wrong += [f"{rail} {model}.{field}: {place} changes and is not named" for place in more]
    assert wrong == []


def covers(name: str, place: str) -> bool:
    """Whether a name in a cell stands for a place: itself, or what is inside."""
    return re.match(rf"{re.escape(name)}(?![a-z])", place) is not None


def test_every_field_without_rows_of_its_own_was_changed() -> None:
    probed = {(ASKED, model, field) for model, others in OTHER.items() for field in others}
    left = {row for row in FIELDS - probed if row[0] == ASKED}
    assert all(all(cell.startswith("see ") for cell in MATRIX[row].values()) for row in left), left


# --- what is read -------------------------------------------------------------------------------------------------------

_X12 = "https://codesystem.x12.org"


def ext(name: str, **value: Any) -> dict[str, Any]:
    return {"url": f"http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-{name}", **value}


def reviewed(code: str, *reasons: str, number: str | None = None) -> list[dict[str, Any]]:
    action = ext("reviewActionCode", valueCodeableConcept={"coding": [{"system": f"{_X12}/005010/306", "code": code}]})
    parts = [action] + ([{"url": "number", "valueString": number}] if number else [])
    for reason in reasons:
        coding = {"system": f"{_X12}/external/886", "code": reason, "display": "why"}
        parts.append({"url": "reasonCode", "valueCodeableConcept": {"coding": [coding]}})
    return [{"extension": [ext("reviewAction", extension=parts)]}]


def claim_response(*items: Any, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ClaimResponse", "status": "active", "use": "preauthorization", "outcome": "complete",
        "identifier": [{"system": "urn:trnorg:1", "value": request().trace}], "created": "2026-03-02T15:00:00Z",
        "patient": {"reference": "Patient/1"}, "item": list(items), **more,
    }  # fmt: skip


def bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    member = {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}}
    patient = {"resourceType": "Patient", "id": "1", "identifier": [{**member, "value": "MER000100"}]}
    entries = [{"fullUrl": f"http://payer.example/{r['resourceType']}/1", "resource": r} for r in (*resources, patient)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


PERIOD = {"start": "2026-03-20", "end": "2026-06-20"}
ITEM_TRACE = ext("itemTraceNumber", valueIdentifier={"value": "T.1"})
PAS_ANSWERS = [
    bundle(
        claim_response(
            {
                "itemSequence": 1, "noteNumber": [1], "adjudication": reviewed("A6", number="AUTH-1"),
                "extension": [
                    ext("itemPreAuthPeriod", valuePeriod=PERIOD),
                    ext("administrationReferenceNumber", valueString="REF-1"),
                    ext(
                        "itemAuthorizedDetail",
                        extension=[
                            {"url": "quantity", "valueQuantity": {"value": 1}},
                            {"url": "productOrServiceCode", "valueCodeableConcept": {"coding": [{"code": "95909"}]}},
                        ],
                    ),
                ],
            },
            {"itemSequence": 3, "adjudication": reviewed("A3", "0F")},
            processNote=[{"number": 1, "text": "Fewer than asked."}],
            preAuthRef="AUTH-0",
        )
    ),
    bundle(
        claim_response(
            {"itemSequence": 1, "adjudication": reviewed("A4", "0U"), "extension": [ITEM_TRACE]},
            communicationRequest=[{"reference": "CommunicationRequest/1"}],
        ),
        {
            "resourceType": "CommunicationRequest", "id": "1", "identifier": [{"value": "ACN-1"}],
            "category": [{"coding": [{"system": f"{_X12}/005010/755", "code": "09"}]}],
            "occurrencePeriod": {"end": "2026-03-09"},
            "payload": [
                {"extension": [ext("serviceLineNumber", valuePositiveInt=1)], "contentString": "102089-0"},
                {"contentString": "11506-3"},
            ],
        },
    ),
    bundle(claim_response({"itemSequence": 1, "adjudication": reviewed("A1", number="AUTH-2")}, identifier=[])),
    bundle(
        claim_response(
            outcome="error",
            error=[
                {
                    "code": {"coding": [{"system": f"{_X12}/005010/901", "code": "72", "display": "member"}]},
                    "itemSequence": 1,
                    "extension": [
                        ext("errorFollowupAction", valueCodeableConcept={"coding": [{"code": "C"}]}),
                    ],
                }
            ],
        )
    ),
]  # fmt: skip
_REVIEW = {
    "id": "SR1",
    "subscriber": {"memberId": "MER000100"},
    "providerNotes": [{"message": f"Trace number {request().trace}"}],
}
_CODES = [{"code": "95910"}, {"code": "G0283"}]
_VALID = {"certificationEffectiveDate": "2026-03-20", "certificationExpirationDate": "2026-06-20"}
GATEWAY_ANSWERS: list[dict[str, Any]] = [
    _REVIEW
    | {
        "procedures": [
            {**_CODES[0], "statusCode": "A6", "quantity": "1", "certificationNumber": "AUTH-1", **_VALID},
            {
                **_CODES[1], "statusCode": "A3", "statusReasons": [{"code": "0F", "value": "why"}],
                "notes": [{"message": "Not needed."}],
            },
            {"code": "97014", "statusCode": "A1"},
        ],
        "referenceNumber": "REF-1",
        "certificationIssueDate": "2026-03-05",
    },
    _REVIEW
    | {
        "statusCode": "A4", "traceNumbers": ["ACN-1"],
        "procedures": [{**_CODES[0], "statusCode": "A4", "statusReasons": [{"code": "0U"}]}, {**_CODES[1], "statusCode": "A1"}],
    },
    {**_REVIEW, "id": "SR9", "statusCode": "VO", "procedures": _CODES},
    _REVIEW | {"validationMessages": [{"field": "subscriber.memberId", "code": "72", "errorMessage": "unknown"}]},
]  # fmt: skip
X12_ANSWERS = [path.read_text() for path in sorted(GOLDEN.glob("278-answer-*.edi"))]


def pruned(value: Any, name: str, at: str = "") -> Any:
    """The JSON without all that a name covers."""
    if isinstance(value, list):
        return [kept for one in value if (kept := pruned(one, name, at)) is not None]
    if at and covers(name, at):
        return None
    if not isinstance(value, dict):
        return value
    if value.get("resourceType") == "Bundle":
        return {**value, "entry": pruned(value["entry"], name)}
    at = str(value.get("resourceType", at))
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if key == "extension":
            urls = [one["url"].rpartition("/")[2].rpartition("xtension-")[2] for one in inner]
            kept = [pruned(one, name, f"{at}.{url}") for one, url in zip(inner, urls, strict=True)]
            found[key] = [one for one in kept if one is not None]
        else:
            place = key if key in {"resource", "fullUrl", "url"} and not at else f"{at}.{key}".strip(".")
            left = inner if key in {"url", "resourceType"} else pruned(inner, name, "" if key == "resource" else place)
            found |= {} if left is None else {key: left}
    return found


def without(text: str, name: str) -> str:
    """The 278 without what a name covers: a segment, an element or a component, in a loop where the name gives one."""
    loop, level, made = "", "", []
    wanted, _, place = name.rpartition(" ")
    cut = re.fullmatch(r"([A-Z][A-Z0-9]{1,2}?)(?:(\d\d)(?:-(\d))?)?", place)
    assert cut, name
    for segment in text.split("~\n"):
        elements = segment.split("*")
        if elements[0] == "HL":
            level = LEVELS[elements[3]]
            loop = f"2000{level}"
        loop = f"2010{level}" if elements[0] == "NM1" and level else loop
        if elements[0] == cut[1] and loop.startswith(wanted):
            if cut[2] is None:
                continue
            if int(cut[2]) < len(elements):
                pieces = elements[int(cut[2])].split(":")
                pieces[int(cut[3] or 1) - 1 :] = [""] if not cut[3] else ["", *pieces[int(cut[3]) :]]
                elements[int(cut[2])] = ":".join(pieces)
        made.append("*".join(elements))
    count = sum(1 for one in made if one) - 4
    return re.sub(r"SE\*\d+", f"SE*{count}", "~\n".join(made))


Said = Counter[tuple[str, str, str]]
Reader = Callable[[Any], tuple[Decision, ...]]
GATEWAY_OURS = gateway.ours(request(), ("SR1",))
READERS: dict[str, tuple[list[Any], Reader, Callable[[Any, str], Any]]] = {
    "PAS": (PAS_ANSWERS, lambda one: read_pas(json.dumps(one).encode(), None, 200, ours(request())), pruned),
    "X12": (X12_ANSWERS, lambda one: read_x12(one.encode(), None, 200, MINE), without),
    "Gateway": (
        GATEWAY_ANSWERS, lambda one: read_gateway(json.dumps(one).encode(), None, 200, GATEWAY_OURS), pruned
    ),
}  # fmt: skip


def said(value: Any) -> Iterator[tuple[str, str, str]]:
    """What stands in the fields of a decision and of all that is in it."""
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, BaseModel):
            for field in type(one).model_fields:
                inner = getattr(one, field)
                if inner not in (None, ()):
                    yield type(one).__name__, field, repr(inner)
                yield from said(inner)


@pytest.mark.parametrize("rail", READERS)
def test_a_field_is_read_where_its_cell_says_and_nowhere_where_it_says_so(rail: str) -> None:
    answers, read, cut = READERS[rail]
    before = [Counter(said(read(one))) for one in answers]
    filled = {(model, field) for one in before for model, field, _ in one}
    wrong: list[str] = []
    for (section, model, field), cells in MATRIX.items():
        cell = cells[rail]
        if section != ANSWERED or cell.startswith(("see ", "made here")):
            continue
        if cell.startswith("not carried"):
            wrong += [f"{model}.{field} is read"] * ((model, field) in filled)
            continue
        for name in named(cell):
            after = [Counter(said(read(cut(one, name)))) for one in answers]
            moved = {place[:2] for one, two in zip(before, after, strict=True) for place in (one - two) + (two - one)}
            wrong += [f"{model}.{field}: {name} is not read"] * ((model, field) not in moved)
    assert wrong == []


def test_what_people_record_is_a_field_of_a_form() -> None:
    for (section, model, field), cells in MATRIX.items():
        for name in named(cells["People"]) if section == ANSWERED else ():
            form, *path = name.split(".")
            schema = form_schema(ResultName(form))
            found = schema
            for part in path:
                inside = found["properties"][part]
                options = [inside, inside.get("items", {}), *inside.get("anyOf", [])]
                target = next((one["$ref"].rpartition("/")[2] for one in options if "$ref" in one), None)
                found = schema["$defs"][target] if target else inside
            assert path, (model, field, name)
