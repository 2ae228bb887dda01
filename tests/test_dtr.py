"""DTR: the form is asked for as the guide wants, its package is read, and it is kept for a person."""

import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.dtr import PACKAGE, DtrActivities
from connectors.dtr.package import package_request, read_kept, read_packages
from domain.facts import QuestionnaireReceived, read_fact, write_fact
from domain.questionnaire import NotAForm
from domain.questionnaire_response import prefill
from runtime.keys import KeyRing
from tests.builders import all_of_kind
from tests.rules_world import PAYER, PRACTICE, fetch, ordered, rendering
from tests.vendor_world import World, world

IMAGING = "https://meridian-ppo.example/Questionnaire/imaging|1.0"


def example(shared: Path, name: str) -> dict[str, Any]:
    with tarfile.open(shared / "fixtures" / "pas" / "packages" / "davinci_dtr_2.0.1.tgz") as package:
        file = package.extractfile(f"package/example/{name}.json")
        assert file is not None
        read: dict[str, Any] = json.load(io.TextIOWrapper(file, "utf-8"))
        return read


def test_a_form_is_asked_for_with_coverage_orders_and_what_they_refer_to() -> None:
    action = fetch(ordered(lines=2, rendering=rendering()), questionnaire=IMAGING, context="A-1", lines=(2,))
    parameters = package_request(action, PRACTICE, PAYER)["parameter"]
    by_name: dict[str, list[Any]] = {}
    for one in parameters:
        by_name.setdefault(one["name"], []).append(one)
    assert len(by_name["coverage"]) == 1
    (asked,) = [one["resource"] for one in by_name["order"]]
    assert asked["quantityQuantity"]["value"] == 2
    assert by_name["questionnaire"] == [{"name": "questionnaire", "valueCanonical": IMAGING}]
    assert by_name["context"] == [{"name": "context", "valueString": "A-1"}]
    held = {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in parameters if "resource" in one}
    named = [asked["subject"], asked["requester"], asked["performer"][0], asked["insurance"][0]]
    assert {one["reference"] for one in named} <= held


@pytest.mark.parametrize("name", ["PackageBundle", "return"])
def test_a_package_is_read_under_each_of_its_names(name: str) -> None:
    form = {"resourceType": "Questionnaire", "url": "https://p.example/q", "version": "2", "item": [_item()]}
    values = {"resourceType": "ValueSet", "url": "https://p.example/v"}
    draft = {"resourceType": "QuestionnaireResponse", "status": "in-progress", "item": []}
    over = {"resourceType": "QuestionnaireResponse", "status": "completed"}
    inside = [{"resourceType": "Library"}, form, over, draft, values]
    bundle = {"resourceType": "Bundle", "entry": [{"resource": one} for one in inside]}
    body = json.dumps({"resourceType": "Parameters", "parameter": [{"name": name, "resource": bundle}]}).encode()
    packages = read_packages(body)
    assert packages is not None
    (package,) = packages
    assert (package.url, package.draft, set(package.value_sets)) == (
        "https://p.example/q|2",
        draft,
        {"https://p.example/v"},
    )
    assert read_kept(package.content).questionnaire == form
    alone = read_packages(json.dumps(bundle).encode(), "https://p.example/other")
    assert alone is not None
    assert len(alone) == 1


def _item() -> dict[str, Any]:
    return {"linkId": "1", "type": "string"}


def test_of_several_forms_the_one_that_is_wanted_is_taken() -> None:
    bundles = [
        {
            "resourceType": "Bundle",
            "entry": [{"resource": {"resourceType": "Questionnaire", "url": url, "item": [_item()]}}],
        }
        for url in ("https://p.example/a", "https://p.example/b")
    ]
    parameters = [{"name": "PackageBundle", "resource": one} for one in bundles]
    body = json.dumps({"resourceType": "Parameters", "parameter": parameters}).encode()
    found = read_packages(body, "https://p.example/b|3")
    assert found is not None
    assert [one.url for one in found] == ["https://p.example/b"]
    assert [one.url for one in read_packages(body) or ()] == ["https://p.example/a", "https://p.example/b"]
    assert read_packages(body, "https://p.example/c") == ()


@pytest.mark.parametrize("body", [b"", b"<a/>", b"[]", b'{"resourceType":"OperationOutcome"}', b"{"])
def test_what_is_no_package_is_none(body: bytes) -> None:
    assert read_packages(body) is None
    with pytest.raises(NotAForm):
        read_kept(body)


def test_the_example_packages_are_read(shared: Path) -> None:
    answer = json.dumps(example(shared, "Parameters-QuestionnairePackageOutputParamsExample")).encode()
    ((package,),) = [read_packages(answer) or ()]
    assert package.url.startswith("http://hl7.org/fhir/us/davinci-dtr/Questionnaire/home-o2-std-questionnaire")
    assert not package.adaptive
    assert {item.link_id for item in package.form().walk() if item.required} == {"1.1", "1.2", "1.gender"}
    simple = json.dumps(example(shared, "Bundle-DTRQuestionnairePackageOperationResultSimple")).encode()
    ((adaptive,),) = [read_packages(simple) or ()]
    assert adaptive.adaptive


# --- against the sandbox ------------------------------------------------------------------------------------------------


@pytest.fixture
async def here(sandbox_url: str, keyring: KeyRing, tmp_path: Path) -> AsyncIterator[World]:
    async with world(sandbox_url, keyring, tmp_path) as made:
        made.outside.settings.secrets_by_name[f"{made.practice.id}.meridian-ppo"] = SecretStr("any")
        yield made


async def fetched(here: World, scenario: str, **more: Any) -> list[QuestionnaireReceived]:
    action = fetch(ordered(scenario), here.practice.id, **more)
    facts = await ActivityEnvironment().run(DtrActivities(here.outside).fetch_questionnaire, action)
    assert all(read_fact(write_fact(fact)) == fact for fact in facts)
    return all_of_kind(facts, QuestionnaireReceived)


async def test_a_form_is_fetched_kept_and_begun_with_what_is_known(here: World) -> None:
    (fact,) = await fetched(here, "911", questionnaire=IMAGING, context="A-1", lines=(1,))
    assert (fact.questionnaire, fact.context, fact.lines, fact.adaptive) == (IMAGING, "A-1", (1,), False)
    assert (fact.form.kind, fact.track) == (PACKAGE, "1-ordering")
    package = read_kept(await here.outside.documents.get(here.practice.id, fact.form.id))
    form = package.form()
    assert [option.label for item in form.walk() for option in item.options] == ["Left", "Right", "Both"]
    assert prefill(form, ordered(), 1, package.draft) == {
        "1.1": ["Quillfeather"],
        "1.2": ["1961-04-17"],
        "2.4": [False],
    }
    assert form.notes == ()


async def test_a_payer_may_have_a_form_although_it_named_none(here: World) -> None:
    assert len(await fetched(here, "911", context="A-1")) == 1
    assert await fetched(here, "918") == []


async def test_an_adaptive_form_is_said_to_be_one(here: World) -> None:
    (fact,) = await fetched(here, "919", questionnaire=IMAGING)
    assert fact.adaptive


@pytest.mark.parametrize(
    ("fault", "failure"),
    [("html", ("Refused", "questionnaire_package:not_understood")), ("500", ("Exhausted", "500"))],
)
async def test_trouble_at_the_payer_is_told(here: World, fault: str, failure: tuple[str, str]) -> None:
    await here.fault("payers", "questionnaire-package", fault, times=9)
    with pytest.raises(ApplicationError) as failed:
        await fetched(here, "911")
    assert (failed.value.type, failed.value.message) == failure


async def test_a_form_that_the_payer_does_not_have_is_refused(here: World) -> None:
    with pytest.raises(ApplicationError) as failed:
        await fetched(here, "911", questionnaire="https://meridian-ppo.example/Questionnaire/none")
    assert (failed.value.type, failed.value.message) == ("Refused", "questionnaire_package:404")
