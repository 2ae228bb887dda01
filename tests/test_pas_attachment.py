"""Documents after the request: `$submit-attachment`, asked for and unasked, and what a payer may answer to it."""

import base64
import json
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from connectors.errors import Refused
from connectors.lenient import NotJson
from connectors.pas.attachment import Attachment, attachment_parameters, attachments, is_held
from connectors.raw import RawAnswer
from domain.decision import InformationAsk, Number, NumberType, Reason
from domain.facts import DecisionReceived, Fact, InformationSent
from domain.order import DocumentRef
from tests.pas_requests import CONTENTS, FORM_REF, NOTE, NOTE_REF, PAYER, PRACTICE, request
from tests.rail_desk import outcomes
from tests.test_pas_payers import PAYERS, Desk, here
from tests.vendor_world import NOW, World

__all__ = ["here"]
Json = dict[str, Any]
ASK_NOTE = InformationAsk(what=(Reason(code="11506-3"),), line=1, control_number="ACN-1")
ASK_FORM = InformationAsk(what=(Reason(code="102089-0"),), context="case-4f1b-1-ordering-1.3", line=3)


def named(parameters: Json, name: str) -> list[Json]:
    return [one for one in parameters["parameter"] if one["name"] == name]


def test_each_document_goes_with_what_was_asked_for_and_only_the_last_message_is_final() -> None:
    sent = attachments(request(), (ASK_FORM, ASK_NOTE), (NOTE_REF, FORM_REF))
    assert [(one.tracking, one.documents, one.final) for one in sent] == [
        ("case-4f1b-1-ordering-1.3", (FORM_REF,), False),
        ("ACN-1", (NOTE_REF,), True),
    ]
    (unasked,) = attachments(request(), (), (NOTE_REF,))
    assert (unasked.tracking, unasked.asked, unasked.final) == (request().trace, None, True)
    (only,) = attachments(request(), (ASK_FORM, ASK_NOTE), (NOTE_REF,))
    assert (only.tracking, only.final) == ("ACN-1", True)
    other = InformationAsk(what=(Reason(text="More, please."),), control_number="ACN-2")
    assert [one.tracking for one in attachments(request(), (other, ASK_NOTE), (NOTE_REF,))] == ["ACN-1"]


def test_the_message_names_everybody_and_holds_the_document() -> None:
    (one,) = attachments(request(), (ASK_NOTE,), (NOTE_REF,))
    numbers = (Number(type=NumberType.ADMINISTRATIVE, value="PEND-1"), Number(type=NumberType.TRACE, value="x"))
    sent = attachment_parameters(request(), PRACTICE, PAYER, one, CONTENTS, numbers)
    assert [p["name"] for p in sent["parameter"]] == [
        "TrackingId", "AdminRefNumber", "AttachTo", "PayerId", "OrganizationId", "ProviderId", "MemberId",
        "ServiceDate", "Attachment", "Final",
    ]  # fmt: skip
    assert named(sent, "TrackingId")[0]["valueIdentifier"]["value"] == "ACN-1"
    assert named(sent, "AdminRefNumber")[0]["valueIdentifier"]["value"] == "PEND-1"
    assert named(sent, "MemberId")[0]["valueIdentifier"]["value"] == "MER000100"
    line, code, content = named(sent, "Attachment")[0]["part"]
    assert line["valueString"] == "1"
    assert code["valueCodeableConcept"]["coding"][0]["code"] == "11506-3"
    attached = content["resource"]["content"][0]["attachment"]
    assert (base64.b64decode(attached["data"]), "url" in attached) == (NOTE, False)
    assert content["resource"]["subject"]["identifier"]["value"] == "MER000100"


def test_a_form_travels_as_what_it_is_with_references_that_hold() -> None:
    (one,) = attachments(request(), (ASK_FORM,), (FORM_REF,))
    sent = attachment_parameters(request(), PRACTICE, PAYER, one, CONTENTS)
    bundle = named(sent, "Attachment")[0]["part"][-1]["resource"]
    (entry,) = bundle["entry"]
    form = entry["resource"]
    assert (bundle["resourceType"], form["resourceType"]) == ("Bundle", "QuestionnaireResponse")
    assert form["subject"]["identifier"]["value"] == "MER000100"
    assert form["author"]["identifier"]["value"] == "1999000007"
    assert form["source"] == {"display": "Device in the practice's record"}
    assert form["item"][0]["answer"] == [{"valueString": "Eight weeks."}]


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b'{"resourceType":"Patient"}', b'{"resourceType":"Bundle"}', b"[" * 5000]
)
def test_a_form_that_is_none_is_not_sent(content: bytes) -> None:
    one = Attachment(tracking="T", asked=None, documents=(FORM_REF,), final=True)
    with pytest.raises(Refused, match="no_questionnaire_response"):
        attachment_parameters(request(), PRACTICE, PAYER, one, {FORM_REF.id: content})
    with pytest.raises(Refused, match="document_missing"):
        attachment_parameters(request(), PRACTICE, PAYER, one, {})


def outcome(severity: str, code: str = "informational") -> bytes:
    return json.dumps({"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}).encode()


def test_what_a_payer_answers_is_taken_held_refused_or_not_understood() -> None:
    assert not is_held(RawAnswer(status=200, body=b""))
    assert not is_held(RawAnswer(status=204, body=b" "))
    assert is_held(RawAnswer(status=200, body=outcome("information")))
    assert not is_held(RawAnswer(status=200, body=outcome("success")))
    for body in (b"<html>", outcome("error"), b'{"resourceType":"Parameters"}', b"{"):
        with pytest.raises(NotJson):
            is_held(RawAnswer(status=200, body=body))
    with pytest.raises(Refused, match=r"^attachment_too_large$"):
        is_held(RawAnswer(status=413, body=b""))
    with pytest.raises(Refused, match=r"^attachment:422:required$"):
        is_held(RawAnswer(status=422, body=outcome("error", "required")))
    with pytest.raises(Refused, match=r"^attachment:400$"):
        is_held(RawAnswer(status=400, body=outcome("error", "Robin Testperson")))


async def asked(desk: Desk) -> DecisionReceived:
    _, decided = await desk.submit()
    assert isinstance(decided, DecisionReceived)
    return decided


async def note(here: World) -> DocumentRef:
    return await here.outside.documents.put(here.practice.id, NOTE, "office_note", "text/plain")


def receipts(facts: list[Fact]) -> list[str]:
    return [fact.receipt.reference for fact in facts if isinstance(fact, InformationSent)]


@pytest.mark.parametrize("payer", PAYERS)
async def test_what_a_payer_asks_for_is_sent_and_ends_its_asking(here: World, payer: str) -> None:
    desk = Desk(here, "204", payer)
    decided = await asked(desk)
    documents = (await note(here),)
    (sent,) = await desk.send(decided.decision.asks[:1], documents, decided.decision.all_numbers)
    assert isinstance(sent, InformationSent)
    assert sent.documents == documents
    assert sent.receipt.reference == decided.decision.asks[0].control_number
    desk.now = NOW.replace(month=NOW.month + 1)
    _, answered = await desk.inquire(*decided.decision.all_numbers)
    assert outcomes(answered) == ["1:approved", "3:approved"]


async def test_what_nobody_waits_for_is_held_and_a_withdrawn_token_is_fetched_anew(here: World) -> None:
    desk = Desk(here, "202")
    await asked(desk)
    await here.post("tokens/revoke", {})
    assert receipts(await desk.send((), (await note(here),))) == [f"held: {desk.request().trace}"]


async def test_a_lost_answer_to_documents_is_ambiguous(here: World) -> None:
    desk = Desk(here, "204")
    decided = await asked(desk)
    await here.fault("payers", r"submit-attachment", "lost")
    with pytest.raises(ApplicationError) as lost:
        await desk.send(decided.decision.asks, (await note(here),))
    assert lost.value.type == "Ambiguous"
