"""What a clearinghouse wants in the envelope is a channel's data, and stands in every message: 278, 275 and 270."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from activities.x12_exchange import payer_of
from connectors.x12.attachment import attachments_275
from connectors.x12.eligibility import eligibility_request
from connectors.x12.envelope import Controls, read
from connectors.x12.request import interchange, request_278
from domain.policy import PolicySlice
from tests.pas_requests import PRACTICE, order, request
from tests.test_x12_rail import HARBOR, channel, policy

AT = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
CONTROLS = Controls(interchange=41, group=41)
TERMS = {
    "code_qualifier": "46",
    "sender_qualifier": "30",
    "receiver_qualifier": "01",
    "group_sender": "LAKESIDE-ORTHO",
    "group_receiver": "NB278",
    "usage": "T",
    "acknowledge": True,
    "charset": "basic",
}


def messages(**terms: Any) -> list[bytes]:
    payer = payer_of("Harbor HMO", channel(HARBOR, x12=terms))
    asked = request()
    return [
        interchange([request_278(asked, PRACTICE, payer)], payer, CONTROLS, AT),
        attachments_275(asked, PRACTICE, payer, (), (), {}, guide="006020X316", at=AT, controls=CONTROLS),
        eligibility_request(order(), 1, PRACTICE, payer, on=AT.date(), trace="case-1", at=AT, controls=CONTROLS),
    ]


def test_the_envelope_is_as_the_channel_says() -> None:
    for raw in messages(**TERMS):
        (found,) = read(raw)
        (group,) = found.groups
        assert [found.isa.get(place) for place in (5, 6, 7, 8, 14, 15)] == [
            "30",
            "LAKESIDE",
            "01",
            "NORTHBRIDGE",
            "1",
            "T",
        ]
        assert (group.gs.get(2), group.gs.get(3)) == ("LAKESIDE-ORTHO", "NB278")
        (payer,) = [one for one in found.transactions[0].segments if one.id == "NM1" and one.get(1) in {"X3", "PR"}]
        assert (payer.get(3), payer.get(8)) == ("HARBOR HMO", "46")
        assert raw == raw.upper()


def test_the_usual_is_production_and_agreed_names() -> None:
    for raw in messages():
        (found,) = read(raw)
        assert [found.isa.get(place) for place in (5, 7, 14, 15)] == ["ZZ", "ZZ", "0", "P"]
        assert [found.groups[0].gs.get(place) for place in (2, 3)] == ["LAKESIDE", "NORTHBRIDGE"]


def test_a_pinned_slice_holds_what_is_not_the_usual_and_nothing_else() -> None:
    usual, other = policy(HARBOR), policy(HARBOR, x12={"usage": "T"})
    assert "x12" not in usual.model_dump(mode="json")["channels"][0]
    for one in (usual, other):
        assert PolicySlice.model_validate_json(one.model_dump_json()).channels == one.channels


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "A SENDER WITH TOO MANY"},
        {"receiver": "N*B"},
        {"x12": {"group_sender": "A"}},
        {"x12": {"usage": "X"}},
    ],
)
def test_what_no_envelope_can_hold_is_said_when_the_rules_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        channel(HARBOR, **changes)
