"""What a draft order lacks, who can fill it in, and that the same order is the same fact."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.intake import Filler, Missing, missing, order_received, order_source, problems
from domain.order import Order
from tests.builders import MONDAY, order


def draft(**changes: Any) -> dict[str, Any]:
    return {**order().model_dump(mode="json"), **changes}


def test_an_order_lacks_nothing() -> None:
    assert missing(draft()) == ()


def test_an_empty_draft_names_every_field_with_who_can_fill_it() -> None:
    who = {one.field: one.who for one in missing({})}
    assert who == {
        "practice": Filler.SENDER,
        "source": Filler.SENDER,
        "number": Filler.SENDER,
        "ordered_at": Filler.ORDERING_PROVIDER,
        "patient": Filler.FRONT_DESK,
        "coverages": Filler.FRONT_DESK,
        "ordering": Filler.ORDERING_PROVIDER,
        "diagnoses": Filler.ORDERING_PROVIDER,
        "lines": Filler.ORDERING_PROVIDER,
    }


@pytest.mark.parametrize(
    ("changes", "field", "who"),
    [
        ({"coverages": [{"rank": 1, "payer": "meridian-ppo"}]}, "coverages[0].member_id", Filler.FRONT_DESK),
        ({"coverages": [{"rank": 1, "payer": "Meridian!", "member_id": "M1"}]}, "coverages[0].payer", Filler.BILLING),
        ({"ordering": {"npi": "1234567890", "family_name": "H", "given_name": "I"}}, "ordering.npi", Filler.BILLING),
        ({"diagnoses": []}, "diagnoses", Filler.ORDERING_PROVIDER),
        ({"diagnoses": ["back pain"]}, "diagnoses[0]", Filler.ORDERING_PROVIDER),
        ({"urgency": "urgent"}, "urgency_attestation", Filler.ORDERING_PROVIDER),
        ({"facility": {"npi": "1999000049"}}, "facility.name", Filler.REFERRING_OFFICE),
        (
            {"coverages": [{"rank": 1, "payer": "meridian-ppo", "member_id": "M1", "relationship": "child"}]},
            "coverages[0].subscriber_family_name",
            Filler.FRONT_DESK,
        ),
        ({"favourite_colour": "blue"}, "favourite_colour", Filler.SENDER),
        ({"ordered_at": "2026-11-30T09:00:00"}, "ordered_at", Filler.ORDERING_PROVIDER),
    ],
)
def test_a_problem_names_the_field_and_who_can_fill_it(changes: dict[str, Any], field: str, who: Filler) -> None:
    assert (field, who) in {(one.field, one.who) for one in missing(draft(**changes))}


def test_no_problem_quotes_a_value() -> None:
    broken = draft(
        patient={"id": "P", "family_name": "Quillfeather" * 30, "given_name": "", "birth_date": "31.02.1961"},
        coverages=[{"rank": "Quillfeather", "payer": "QUILL", "member_id": "Q 1"}],
        diagnoses=["Quillfeather"],
    )
    with pytest.raises(ValidationError) as raised:
        Order.model_validate(broken)
    found = problems(raised.value)
    assert len(found) >= 6
    assert "uill" not in "".join(one.why for one in found)


def test_a_field_can_be_pointed_at() -> None:
    one = Missing(field="coverages[0].member_id", why="This is missing.", who=Filler.FRONT_DESK)
    assert one.pointer == "/coverages/0/member_id"


def test_the_same_order_is_the_same_fact_whenever_it_comes() -> None:
    first = order_received(order(), time_zone="America/Chicago", by="system:nextgen", now=MONDAY)
    again = order_received(
        Order.model_validate_json(order().model_dump_json()),
        time_zone="America/Chicago",
        by="person:ines",
        now=MONDAY + timedelta(days=3),
    )
    assert first.source_id == again.source_id
    assert first.source_id != order_source(order(code="72132"))
    assert first.source_id.startswith("order:")


def test_a_diagnosis_may_begin_with_any_letter() -> None:
    assert Order.model_validate(order().model_dump() | {"diagnoses": ("u071",)}).diagnoses == ("U07.1",)
