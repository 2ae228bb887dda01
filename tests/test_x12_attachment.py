"""The 275 in both guides: goldens, what ties it to the request, and any bytes going and coming back.

The golden files are our own messages; `python -m tests.test_x12_attachment` writes them anew.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import Refused
from connectors.x12 import envelope
from connectors.x12.attachment import Guide, attachments_275, read_attachments
from connectors.x12.envelope import Controls
from connectors.x12.parties import X12Payer
from connectors.x12.request import request_278
from connectors.x12.segments import MAX_BYTES, NotX12
from domain.decision import InformationAsk, Number, NumberType, Reason
from domain.order import DocumentRef
from tests.pas_requests import NOTE, NOTE_REF, PRACTICE, order, request

GOLDEN = Path(__file__).resolve().parent / "golden" / "x12"
GUIDES: tuple[Guide, ...] = ("005010X211", "006020X316")
PAYER = X12Payer(name="Harbor HMO", payer_code="HARBOR1", sender="LAKESIDE", receiver="NORTHBRIDGE", usage="P")
AWKWARD = b"%PDF-1.4 ~ * : ^ \x00\xff\r\n SE*1*0001~IEA*1*000000041~ISA*00 %%EOF"
AWKWARD_REF = DocumentRef(
    id=hashlib.sha256(AWKWARD).hexdigest(), kind="imaging_report", media_type="application/pdf", size=len(AWKWARD)
)
ASKS = (
    InformationAsk(what=(Reason(code="11506-3"),), control_number="PAYER-ASK-1"),
    InformationAsk(what=(Reason(code="DG"),), control_number="PAYER-ASK-2"),
)
NUMBERS = (Number(type=NumberType.ADMINISTRATIVE, value="REF-77"), Number(type=NumberType.TRACE, value="OURS"))
REQUEST = request(order(), documents=(NOTE_REF, AWKWARD_REF))


def attach(guide: Guide, asks: tuple[InformationAsk, ...] = (), **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "documents": (NOTE_REF, AWKWARD_REF),
        "contents": {NOTE_REF.id: NOTE, AWKWARD_REF.id: AWKWARD},
        "at": datetime(2026, 3, 4, 16, 0, tzinfo=UTC),
        "controls": Controls(interchange=51, group=51, transaction=51),
        "numbers": NUMBERS,
        **changes,
    }
    return attachments_275(REQUEST, PRACTICE, PAYER, asks, guide=guide, **values)


MESSAGES: dict[str, Callable[[], bytes]] = {
    "275-x211-unsolicited": lambda: attach("005010X211", documents=(NOTE_REF,)),
    "275-x211-solicited": lambda: attach("005010X211", ASKS, documents=(NOTE_REF,)),
    "275-x316-unsolicited": lambda: attach("006020X316"),
    "275-x316-solicited": lambda: attach("006020X316", ASKS),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_the_golden_one(name: str) -> None:
    assert MESSAGES[name]().replace(b"~", b"~\n") == (GOLDEN / f"{name}.edi").read_bytes()


@pytest.mark.parametrize("guide", GUIDES)
def test_unasked_it_carries_the_numbers_that_the_request_named(guide: Guide) -> None:
    named = {one.get(6): one.get(1) for one in request_278(REQUEST, PRACTICE, PAYER) if one.id == "PWK"}
    found = read_attachments(attach(guide))
    assert {one.control_number: one.report_type for one in found} == named
    assert [one.solicited for one in found] == [False, False]
    assert [one.content for one in found] == [NOTE, AWKWARD]
    assert {one.member_id for one in found} == {REQUEST.coverage.member_id}


@pytest.mark.parametrize("guide", GUIDES)
def test_asked_for_it_carries_the_payers_number_of_what_it_answers(guide: Guide) -> None:
    raw = attach(guide, ASKS)
    found = read_attachments(raw)
    assert [(one.control_number, one.solicited) for one in found] == [("PAYER-ASK-1", True), ("PAYER-ASK-2", True)]
    (interchange,) = envelope.read(raw)
    (transaction,) = interchange.transactions
    assert interchange.all_problems == ()
    assert (interchange.groups[0].function, transaction.guide) == ("PI", guide)
    assert transaction.segments[0].get(1) == "11"
    assert {one.get(2) for one in transaction.segments if one.is_("REF", "NT")} == {"REF-77"}


def test_what_answers_no_ask_goes_with_the_first_and_without_a_number_with_our_trace() -> None:
    (first, second) = read_attachments(attach("006020X316", ASKS[:1]))
    assert (first.control_number, second.control_number) == ("PAYER-ASK-1", "PAYER-ASK-1")
    (one, _) = read_attachments(attach("006020X316", (InformationAsk(what=(Reason(text="Send the note."),)),)))
    assert (one.control_number, one.solicited) == (REQUEST.trace, False)
    context = InformationAsk(what=(Reason(code="102089-0"),), context="CTX-1")
    assert read_attachments(attach("006020X316", (context,)))[0].control_number == "CTX-1"


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=400), guide=st.sampled_from(GUIDES))
def test_any_bytes_come_back_as_they_went(content: bytes, guide: Guide) -> None:
    ref = NOTE_REF.model_copy(update={"id": hashlib.sha256(content).hexdigest(), "dated": date(2026, 3, 1)})
    (found,) = read_attachments(attach(guide, documents=(ref,), contents={ref.id: content}))
    assert found.content == content


@pytest.mark.parametrize("guide", GUIDES)
def test_a_document_that_was_cut_off_is_refused_and_never_returned_short(guide: Guide) -> None:
    raw = attach(guide)
    for place in range(200, len(raw) - 1):
        try:
            found = read_attachments(raw[:place])
        except (Refused, NotX12):
            continue
        assert [one.content for one in found] in ([], [NOTE], [NOTE, AWKWARD]), place


def test_what_is_missing_or_too_large_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(Refused, match="document_missing"):
        attach("006020X316", contents={NOTE_REF.id: NOTE})
    with pytest.raises(Refused, match="attachment_too_large"):
        attach("005010X211", contents={NOTE_REF.id: NOTE, AWKWARD_REF.id: b"x" * MAX_BYTES})
    with pytest.raises(Refused, match="not_base64"):
        read_attachments(attach("006020X316").replace(b"*Q29uc2Vy", b"*Q29uc2V!"))


if __name__ == "__main__":
    for written, make in MESSAGES.items():
        (GOLDEN / f"{written}.edi").write_bytes(make().replace(b"~", b"~\n"))
