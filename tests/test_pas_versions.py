"""An update of an update, and so on: every version keeps what all before it had, and shows the one before as it was sent."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.pas.claim import Version
from connectors.pas.identity import ours
from connectors.pas.write import cancel_bundle, submit_bundle, update_bundle
from domain.decision import Number, NumberType
from domain.facts import DecisionReceived
from domain.request import Request
from sandbox.pas_check import check_bundle
from sandbox.pas_read import is_cancelled, read_bundle
from sandbox.pas_update import check_update, compare, same
from sandbox.pas_words import extension
from tests.any_request import Made, changes, updates
from tests.pas_requests import CONTENTS, FORM_REF, NOTE_REF, PAYER, PRACTICE, changed_request
from tests.rail_desk import outcomes
from tests.test_pas_payers import PAYERS, Desk, here
from tests.vendor_world import World

__all__ = ["here"]
Json = dict[str, Any]
VERSIONS: tuple[Version, ...] = ("2.2.1", "2.0.1")


def as_sent(made: Made, version: Version) -> Json:
    write = submit_bundle if made.request.prior is None else update_bundle
    return write(made.request, PRACTICE, PAYER, version, made.contents)


def claims(bundle: Json) -> list[Json]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Claim"]


def traces(claim: Json) -> dict[int, str]:
    found = {item["sequence"]: extension(item, "itemTraceNumber") for item in claim["item"]}
    return {sequence: one["valueIdentifier"]["value"] for sequence, one in found.items() if one is not None}


def wrong(bundle: Json, before: Json, version: Version) -> list[tuple[str, str, str]]:
    """What a strict payer finds wrong with a change of what it was sent before."""
    issues = check_bundle(bundle, inquiry=False, is_2_2=version == "2.2.1")
    compare(issues, claims(bundle)[0], before)
    return issues.found


def as_it_was(bundle: Json, before: Json, version: Version) -> Json | None:
    """The prior Claim of a Bundle, as it was sent. PAS 2.0.1 has one Claim in a Bundle: there it is only named."""
    claim, *prior = claims(bundle)
    if version == "2.0.1":
        assert (prior, related(claim)) == ([], {"identifier": before["identifier"][0]})
        return None
    assert same(prior[0], before)
    assert check_update(bundle).found == []
    return prior[0]


def related(claim: Json) -> Json:
    (one,) = claim["related"]
    named: Json = one["claim"]
    return named


@given(updates().flatmap(changes).flatmap(lambda made: st.just(made) | changes(made)), st.sampled_from(VERSIONS))
@settings(max_examples=25, deadline=None)
def test_each_version_keeps_all_that_was_sent_before(made: Made, version: Version) -> None:
    versions = [Made(one, made.contents) for one in reversed(made.request.versions)]
    sent = [as_sent(one, version) for one in versions]
    for earlier, later, asked in zip(sent, sent[1:], versions[1:], strict=False):
        claim, before = claims(later)[0], claims(earlier)[0]
        assert wrong(later, before, version) == []
        prior = as_it_was(later, before, version)
        if "related" in before and prior is not None:
            # Of what the prior one took the place of the Bundle holds the name alone.
            assert related(prior) == {"identifier": claims(earlier)[1]["identifier"][0]}
        kept = {entry["fullUrl"]: entry["resource"] for entry in earlier["entry"]}
        again = {entry["fullUrl"]: entry["resource"] for entry in later["entry"]}
        alike = [url for url in set(kept) & set(again) if kept[url]["resourceType"] != "Claim"]
        assert all(kept[url] == again[url] for url in alike)
        assert traces(before).items() <= traces(claim).items()
        wanted = {line.number for line in asked.request.service_lines}
        assert {line.sequence for line in read_bundle(later).lines} == wanted
        gone = {item["sequence"] for item in claim["item"] if is_cancelled(item)}
        assert gone == ours(asked.request).taken_back


@given(updates(), st.sampled_from(VERSIONS))
@settings(max_examples=15, deadline=None)
def test_an_update_is_taken_back_as_it_was_sent(made: Made, version: Version) -> None:
    number = Number(type=NumberType.ADMINISTRATIVE, value="PEND-9")
    bundle = cancel_bundle(made.request, PRACTICE, PAYER, version, (number,), made.contents)
    before = claims(as_sent(made, version))[0]
    assert wrong(bundle, before, version) == []
    as_it_was(bundle, before, version)
    cancel = claims(bundle)[0]
    assert all(is_cancelled(item) for item in cancel["item"])
    assert read_bundle(bundle).prior_numbers == ("PEND-9",)
    urls = [one["url"] for one in cancel["extension"]]
    assert len(urls) == len(set(urls))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_cancelled_two_versions_ago_stays_and_comes_back_under_its_sequence(version: Version) -> None:
    second = changed_request()
    third = changed(second, lines=(1,), documents=(FORM_REF,))
    claim = claims(update_bundle(third, PRACTICE, PAYER, version, CONTENTS))[0]
    how = {item["sequence"]: (extension(item, "infoChanged") or {}).get("valueCode") for item in claim["item"]}
    assert how == {1: None, 3: None, 5: "changed"}
    assert [item["sequence"] for item in claim["item"] if is_cancelled(item)] == [3, 5]
    kinds = [one["category"]["coding"][0]["code"] for one in claim["supportingInfo"]]
    documents = ("additionalInformation", "patientEvent", "freeFormMessage", "additionalInformation")
    assert tuple(kinds) == documents
    assert not any(extension(one, "infoChanged") for one in claim["supportingInfo"])
    fourth = changed(third, lines=(1, 3), documents=(NOTE_REF,))
    prior = claim
    claim = claims(update_bundle(fourth, PRACTICE, PAYER, version, CONTENTS))[0]
    how = {item["sequence"]: (extension(item, "infoChanged") or {}).get("valueCode") for item in claim["item"]}
    assert how == {1: None, 3: "changed", 5: None}
    assert [item["sequence"] for item in claim["item"] if is_cancelled(item)] == [5]
    assert traces(claim)[3] == traces(prior)[3] == "case-4f1b-1-ordering-1.3"
    assert ours(fourth).taken_back == {5}


def changed(prior: Request, **values: Any) -> Request:
    more = {"attempt": prior.attempt + 1, "trace": f"{prior.trace}-{prior.attempt + 1}", "prior": prior}
    return prior.model_copy(update=more | values)


@pytest.mark.parametrize("payer", PAYERS)
async def test_a_payer_takes_an_update_of_an_update_and_answers_every_line(here: World, payer: str) -> None:
    desk = Desk(here, "202", payer)
    await desk.submit()
    first = desk.request()
    second = changed(first, lines=(1,))
    _, decided = await desk.submit(**dict(second))
    assert outcomes(decided) == ["1:pended"]
    third = changed(second, lines=(1, 3))
    _, decided = await desk.submit(**dict(third))
    assert outcomes(decided) == ["1:pended", "3:pended"]
    fourth = changed(changed(third, lines=(3,)), lines=(3,), documents=())
    _, decided = await desk.submit(**dict(fourth.prior or fourth))
    assert isinstance(decided, DecisionReceived)
    assert outcomes(decided) == ["3:pended"]
    _, decided = await desk.submit(**dict(fourth))
    assert outcomes(decided) == ["3:pended"]


async def test_the_sandbox_refuses_an_update_that_knows_no_earlier_version(here: World) -> None:
    desk = Desk(here, "202")
    await desk.submit()
    second = changed(desk.request(), lines=(1,))
    await desk.submit(**dict(second))
    forgetful = changed(second.model_copy(update={"prior": None}), lines=(1,))
    (fact,) = await desk.submit(**dict(forgetful))
    assert fact.kind == "request_rejected"
    assert "not as it was sent" in json.dumps(fact.model_dump(mode="json"))


def test_the_prior_of_a_prior_is_in_no_bundle() -> None:
    second = changed_request()
    third = changed(second, documents=(NOTE_REF, FORM_REF))
    bundle = update_bundle(third, PRACTICE, PAYER, "2.2.1", CONTENTS)
    assert len(claims(bundle)) == 2
    broken = copy.deepcopy(bundle)
    claims(broken)[1]["related"] = [{"claim": {"reference": "urn:uuid:00000000-0000-4000-8000-000000000000"}}]
    assert check_bundle(broken, inquiry=False, is_2_2=True).found
