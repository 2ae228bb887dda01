"""A payer's forms by `Questionnaire/$questionnaire-package`: ask for them, and read the package that comes.

A package Bundle has a Questionnaire, the Libraries (CQL) behind it, ValueSets, and perhaps a QuestionnaireResponse that the
payer has begun. The Libraries are kept with it and never run.
Sources: Da Vinci DTR 2.0.1 and 2.1, OperationDefinition `questionnaire-package`, profiles `dtr-qpackage-*`, `DTR-QPackageBundle`.
"""

import json
from collections.abc import Iterator
from datetime import timedelta

from pydantic import Field

from connectors.crd.resources import OrderResources
from connectors.errors import Refused
from connectors.lenient import Json, NotJson, encode, objects, parse, raw
from connectors.oauth import Access
from connectors.pas.parties import PasPayer
from connectors.raw import RawAnswer
from connectors.requester import Requester
from domain.actions import FetchQuestionnaire
from domain.base import Frozen
from domain.questionnaire import Form, NotAForm, is_adaptive, read_form

FHIR_JSON = "application/fhir+json"
PATH = "Questionnaire/$questionnaire-package"
_MOST_FORMS = 10
_BUNDLES = frozenset({"PackageBundle", "return", "packagebundle"})
"""How the parameter is named: in the profile, in the OperationDefinition, in DTR 2.1."""


class Package(Frozen):
    """One form of a payer with what belongs to it."""

    questionnaire: Json
    value_sets: dict[str, Json] = Field(default_factory=dict)
    draft: Json | None = None
    content: bytes
    """The package Bundle as it is kept."""

    @property
    def url(self) -> str:
        """The form's canonical URL, with its version."""
        url, version = raw(self.questionnaire.get("url")), raw(self.questionnaire.get("version"))
        named = url or f"urn:questionnaire:{raw(self.questionnaire.get('id')) or 'unnamed'}"
        return (f"{named}|{version}" if version and "|" not in named else named)[:200]

    @property
    def adaptive(self) -> bool:
        """Whether the payer asks one question after another."""
        return is_adaptive(self.questionnaire)

    def form(self) -> Form:
        """The form to be filled in. Raises `NotAForm`."""
        return read_form(self.questionnaire, self.value_sets)


def package_request(action: FetchQuestionnaire, practice: Requester, payer: PasPayer) -> Json:
    """Return the Parameters that ask for a form: coverage, orders with what they refer to, canonical and context."""
    known = OrderResources(action.order, action.rank, practice, payer, action.case_id)
    numbers = [line.number for line in action.order.lines]
    asked = [one for number, one in zip(numbers, known.requests, strict=True) if number in (action.lines or numbers)]
    around = [known.patient, known.practice, known.payer, *known.practitioners, *known.roles, *known.locations]
    parameters: list[Json] = [{"name": "coverage", "resource": known.coverage}]
    parameters += [{"name": "order", "resource": one} for one in asked]
    parameters += [{"name": "referenced", "resource": one} for one in around]
    if action.questionnaire is not None:
        parameters.append({"name": "questionnaire", "valueCanonical": action.questionnaire})
    if action.context is not None:
        parameters.append({"name": "context", "valueString": action.context})
    return {"resourceType": "Parameters", "parameter": parameters}


async def fetch_package(access: Access, base_url: str, parameters: Json, within: timedelta) -> RawAnswer:
    """Ask the payer's DTR service.

    Raises:
        Busy, Unreachable: no answer in time; asking again is harmless.
        Refused: the payer does not let the practice in, or cannot use the question (any 4xx).
    """
    answer = await access.ask("POST", f"{base_url.rstrip('/')}/{PATH}", FHIR_JSON, encode(parameters), within)
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - success
        raise Refused(f"questionnaire_package:{answer.status}")
    return answer


def read_packages(body: bytes, wanted: str | None = None) -> tuple[Package, ...] | None:
    """Return the forms of an answer, of a canonical URL where one was wanted; None where it is no answer of DTR.

    Where the wanted one is not among them by its URL, a single form is taken for it.
    """
    try:
        found = parse(body)
    except NotJson:
        return None
    if found.get("resourceType") not in ("Parameters", "Bundle"):
        return None
    packages = tuple(package for bundle in _bundles(found) if (package := _package(bundle)) is not None)
    if wanted is None or len(packages) == 1:
        return packages[:_MOST_FORMS]
    bare = wanted.partition("|")[0]
    return tuple(package for package in packages if package.url.partition("|")[0] == bare)[:_MOST_FORMS]


def read_kept(content: bytes) -> Package:
    """Return the package that was kept. Raises `NotAForm` where it is none."""
    found = read_packages(content)
    if not found:
        raise NotAForm("The package that was kept holds no form.")
    return found[0]


def _bundles(found: Json) -> Iterator[Json]:
    if found.get("resourceType") == "Bundle":
        yield found
        return
    for parameter in objects(found.get("parameter")):
        bundle = parameter.get("resource")
        if raw(parameter.get("name")) in _BUNDLES and isinstance(bundle, dict):
            yield bundle


def _package(bundle: Json) -> Package | None:
    resources = [one for entry in objects(bundle.get("entry")) if isinstance(one := entry.get("resource"), dict)]
    by_kind: dict[str, list[Json]] = {}
    for one in resources:
        by_kind.setdefault(raw(one.get("resourceType")), []).append(one)
    questionnaires = by_kind.get("Questionnaire", [])
    if not questionnaires:
        return None
    drafts = [one for one in by_kind.get("QuestionnaireResponse", []) if one.get("status") == "in-progress"]
    sets = {raw(one.get("url")): one for one in by_kind.get("ValueSet", []) if raw(one.get("url"))}
    return Package(
        questionnaire=questionnaires[0],
        value_sets=sets,
        draft=drafts[0] if drafts else None,
        content=json.dumps(bundle, separators=(",", ":"), ensure_ascii=False).encode(),
    )
