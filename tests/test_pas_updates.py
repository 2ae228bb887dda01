"""Updates, end to end: what is sent is taken by a strict payer, and understood there as what was meant."""

import copy
import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.pas.attachment import attachment_parameters, attachments
from connectors.pas.claim import Version
from connectors.pas.write import cancel_bundle, inquiry_bundle, submit_bundle, update_bundle
from domain.facts import AnswerNotUnderstood, DecisionReceived, RequestRejected, RequestSubmitted, StatusInquired
from domain.order import DocumentRef
from domain.request import Request
from sandbox.asked import Asked, AskedDocument, Person
from sandbox.pas_attach import check_attachment
from sandbox.pas_check import Issues, check_bundle
from sandbox.pas_read import read_attachment, read_bundle
from sandbox.pas_update import check_update, compare
from tests.pas_requests import (
    CONTENTS,
    FORM_REF,
    NOTE,
    NOTE_REF,
    PAYER,
    PRACTICE,
    changed_request,
    full_order,
    order,
    request,
)
from tests.rail_desk import kinds, outcomes
from tests.test_pas_payers import PAYERS, Desk, here
from tests.vendor_world import World

__all__ = ["here"]
Json = dict[str, Any]
VERSIONS: tuple[Version, ...] = ("2.2.1", "2.0.1")


def expected(asked: Request, kind: str) -> Json:
    """What a payer should understand of a request of `full_order`, by the names of `Asked`."""
    lines = (asked.order.line(number) for number in asked.lines)
    return {
        "kind": kind,
        "trace": asked.trace,
        "originator": "1990000001",
        "payer": PAYER.identifier,
        "requester_npi": PRACTICE.npi,
        "requester_name": PRACTICE.name,
        "member_id": "MER000100",
        "subscriber": Person("Testperson", "Alex", date(1945, 1, 2), "U"),
        "patient": Person("Testperson", "Robin", date(1970, 5, 17), "F", "19"),
        "ordering_npi": "1999000007",
        "rendering_npi": "1999000015",
        "facility_npi": "1999000023",
        "diagnoses": ("M5416", "G5601"),
        "urgency": "urgent",
        "referral": False,
        "lines": [
            (one.number, one.code, one.modifiers, one.units, "11", one.service_from, one.service_to or one.service_from)
            for one in lines
            if one is not None
        ],
    }


def understood(read: Asked) -> Json:
    """The same of what was read."""
    lines = [
        (one.sequence, one.code, one.modifiers, one.units, one.place_of_service, one.date_from, one.date_to)
        for one in read.lines
    ]
    named = expected(request(full_order()), "")
    return {name: getattr(read, name) for name in named} | {"lines": lines}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_payer_understands_a_request_as_it_is_meant(version: Version) -> None:
    asked = request(full_order())
    read = read_bundle(submit_bundle(asked, PRACTICE, PAYER, version, CONTENTS))
    assert understood(read) == expected(asked, "request")
    (document,) = read.documents
    assert document.sha256 == NOTE_REF.id
    if version == "2.2.1":
        assert document == AskedDocument(asked.control_number(NOTE_REF), "09", NOTE_REF.id)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_payer_understands_update_cancel_inquiry_and_documents(version: Version) -> None:
    changed = changed_request()
    update = read_bundle(update_bundle(changed, PRACTICE, PAYER, version, CONTENTS))
    assert understood(update) == expected(changed, "update")
    assert update.prior_numbers == ("PEND-1",)
    assert [document.report_type for document in update.documents] == (
        ["09", "PY"] if version == "2.2.1" else ["11506-3", ""]
    )
    asked = request(full_order())
    cancel = read_bundle(cancel_bundle(asked, PRACTICE, PAYER, version, changed.prior_numbers, CONTENTS))
    assert understood(cancel) == expected(asked, "cancel") | {"trace": f"{asked.trace}.cancel"}
    assert cancel.prior_numbers == ("PEND-1",)
    inquiry = read_bundle(inquiry_bundle(asked, PRACTICE, PAYER, version), inquiry=True)
    assert (inquiry.kind, inquiry.member_id, [line.code for line in inquiry.lines]) == (
        "inquiry",
        "MER000100",
        ["95910", "G0283"],
    )
    assert read_bundle(submit_bundle(request(referral=True), PRACTICE, PAYER, version)).referral
    (one,) = attachments(asked, (), (NOTE_REF,))
    parameters = attachment_parameters(asked, PRACTICE, PAYER, one, CONTENTS, changed.prior_numbers)
    assert check_attachment(parameters).found == []
    sent = read_attachment(parameters)
    assert (sent.trace, sent.member_id, sent.prior_numbers) == (asked.trace, "MER000100", ("PEND-1",))
    assert sent.documents == (AskedDocument(asked.trace, "11506-3", NOTE_REF.id),)


def test_a_payer_reads_the_guides_own_requests(shared: Any) -> None:
    folder = shared / "fixtures/pas/examples/ig-2.2.1"
    found = {
        file.stem: read_bundle(json.loads(file.read_text()), inquiry="Inquiry" in file.stem)
        for file in folder.glob("Bundle-*BundleExample.json")
        if "Response" not in file.stem
    }
    assert len(found) == 6
    update = found["Bundle-HomecareAuthorizationUpdateBundleExample"]
    assert (update.kind, [line.sequence for line in update.lines]) == ("update", [1, 3])
    referral = found["Bundle-ReferralAuthorizationBundleExample"]
    assert (referral.kind, referral.referral, referral.trace) == ("request", True, "111099")
    assert found["Bundle-PASClaimInquiryBundleExample"].kind == "inquiry"


def broken(change: Any) -> list[str]:
    bundle = copy.deepcopy(update_bundle(changed_request(), PRACTICE, PAYER, "2.2.1", CONTENTS))
    change(bundle["entry"][0]["resource"])
    return [text for _, text, _ in check_update(bundle).found]


def test_a_strict_payer_refuses_an_update_that_does_not_say_what_became_of_its_parts() -> None:
    assert broken(lambda claim: None) == []
    assert any("missing" in text for text in broken(lambda claim: claim["item"].pop(1)))
    assert any("missing" in text for text in broken(lambda claim: claim["supportingInfo"].pop(0)))
    assert any("as changed" in text for text in broken(lambda claim: claim["item"][0]["extension"].pop()))
    assert any("as added" in text for text in broken(lambda claim: claim["item"][2]["extension"].pop()))
    assert any("only a cancelled" in text for text in broken(lambda claim: claim["item"][1].pop("modifierExtension")))
    marked = {
        "url": "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-infoChanged",
        "valueCode": "changed",
    }
    unchanged = broken(lambda claim: claim["supportingInfo"][0]["extension"].append(marked))
    assert any("is not marked" in text for text in unchanged)
    renumbered = broken(lambda claim: claim["item"][0].update(sequence=9))
    assert any("missing" in text for text in renumbered)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_whatever_changes_a_strict_payer_takes_the_update_and_understands_it(data: st.DataObject) -> None:
    known = full_order() if data.draw(st.booleans()) else order()
    version = data.draw(st.sampled_from(VERSIONS))
    line = st.builds(
        lambda number, units, modifiers: known.lines[0].model_copy(
            update={"number": number, "units": units, "modifiers": modifiers}
        ),
        st.integers(1, 6),
        st.integers(1, 3),
        st.sampled_from([(), ("RT",), ("LT", "59")]),
    )
    lines = st.lists(line, min_size=1, max_size=4, unique_by=lambda one: one.number).map(tuple)
    documents = st.sampled_from([(), (NOTE_REF,), (FORM_REF,), (NOTE_REF, FORM_REF), (FORM_REF, NOTE_REF)])

    def drawn(**more: Any) -> Request:
        chosen = data.draw(lines)
        asked = known.model_copy(
            update={"lines": chosen, "diagnoses": data.draw(st.sampled_from([("M54.16",), ("G56.01", "M54.16")]))}
        )
        numbers = tuple(one.number for one in chosen)
        return request(asked, lines=numbers, documents=data.draw(documents), **more)

    prior = drawn()
    changed = drawn(prior=prior, attempt=2, trace="case-4f1b-1-ordering-2", referral=prior.referral)
    before = submit_bundle(prior, PRACTICE, PAYER, version, CONTENTS)
    bundle = update_bundle(changed, PRACTICE, PAYER, version, CONTENTS)
    assert check_bundle(bundle, inquiry=False, is_2_2=version == "2.2.1").found == []
    issues = Issues()
    compare(issues, bundle["entry"][0]["resource"], before["entry"][0]["resource"])
    assert issues.found == []
    read = read_bundle(bundle)
    wanted = sorted((one.number, one.units, one.modifiers) for one in changed.service_lines)
    assert [(one.sequence, one.units, one.modifiers) for one in read.lines] == wanted
    hashes = {document.sha256 for document in read.documents}
    assert ({NOTE_REF.id} & hashes) == ({NOTE_REF.id} if NOTE_REF in (*prior.documents, *changed.documents) else set())


def changes(desk: Desk, *numbers: Any, **more: Any) -> dict[str, Any]:
    """An update of a desk's request: line 3 is taken back, line 1 has more units."""
    prior = desk.request()
    first = prior.order.lines[0].model_copy(update={"units": 3})
    asked = prior.order.model_copy(update={"lines": (first, prior.order.lines[1])})
    values = {"order": asked, "lines": (1,), "prior": prior, "prior_numbers": numbers, "attempt": 2}
    return values | {"trace": f"{prior.trace}.2"} | more


@pytest.mark.parametrize("payer", PAYERS)
async def test_an_update_is_searched_for_then_sent_once_and_answered_line_by_line(here: World, payer: str) -> None:
    desk = Desk(here, "202", payer)
    _, pended = await desk.submit()
    assert isinstance(pended, DecisionReceived)
    numbers = pended.decision.all_numbers
    submitted, decided = await desk.submit(**changes(desk, *numbers))
    assert isinstance(submitted, RequestSubmitted)
    assert submitted.trace == f"{desk.request().trace}.2"
    assert outcomes(decided) == ["1:pended"]
    again = await desk.submit(**changes(desk, *numbers))
    assert kinds(again) == ["request_submitted", "decision_received"]
    assert [row["effects"] for row in (await desk.effects())["submits"]] == [{"created": 1}, {"updated": 1}]


async def test_a_lost_answer_to_an_update_is_found_by_its_own_trace(here: World) -> None:
    desk = Desk(here, "202")
    await desk.submit()
    await here.fault("payers", r"\$submit", "lost")
    with pytest.raises(Exception, match="RemoteProtocolError"):
        await desk.submit(**changes(desk))
    assert kinds(await desk.submit(**changes(desk))) == ["request_submitted", "decision_received"]
    assert (await desk.effects())["submits"][-1]["count"] == 1
    (asked,) = await desk.inquire()
    assert isinstance(asked, StatusInquired)
    assert not asked.found


async def test_a_payer_may_take_no_updates_and_takes_none_after_a_denial(here: World) -> None:
    desk = Desk(here, "420")
    await desk.submit()
    (rejected,) = await desk.submit(**changes(desk))
    assert isinstance(rejected, RequestRejected)
    assert (rejected.errors[0].code, rejected.errors[0].follow_up) == ("33", "N")
    denied = Desk(here, "300")
    await denied.submit(trace="case-denied")
    prior = denied.request(trace="case-denied")
    (refused,) = await denied.submit(**changes(denied, prior=prior, trace="case-denied.2"))
    assert isinstance(refused, RequestRejected)
    assert "send a new one" in (refused.errors[0].text or "")


async def test_an_update_brings_the_documents_of_both_and_answers_what_was_asked(here: World) -> None:
    desk = Desk(here, "204")
    await desk.submit()
    note = await here.outside.documents.put(here.practice.id, NOTE, "office_note", "text/plain")
    prior = desk.request()
    updated = {"prior": prior, "documents": (note,), "trace": f"{prior.trace}.2", "attempt": 2}
    _, decided = await desk.submit(**updated)
    assert outcomes(decided) == ["1:pended", "3:pended"]
    assert isinstance(decided, DecisionReceived)
    assert decided.decision.asks == ()
    gone = DocumentRef(id="0" * 64, kind="office_note", media_type="text/plain", size=1)
    with pytest.raises(Exception, match="document_missing"):
        await desk.submit(**{**updated, "prior": desk.request(documents=(gone,)), "trace": "case-other"})


async def test_an_updated_request_is_withdrawn_whole(here: World) -> None:
    desk = Desk(here, "202")
    await desk.submit()
    await desk.submit(**changes(desk))
    facts = await desk.withdraw(**changes(desk))
    assert not any(isinstance(fact, AnswerNotUnderstood) for fact in facts), facts
    assert kinds(facts) == ["request_withdrawn"]
