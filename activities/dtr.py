"""Fetches a payer's forms (DTR) and keeps their packages, for a person to fill in."""

from datetime import timedelta

from temporalio import activity

from activities.crd import access_of, payer_of
from activities.outside import Outside, guarded
from activities.pas import requester
from connectors.dtr.package import FHIR_JSON, Package, fetch_package, package_request, read_packages
from connectors.errors import Refused
from connectors.oauth import Access
from domain.actions import FetchQuestionnaire
from domain.facts import AnyFact, QuestionnaireReceived
from domain.questionnaire import NotAForm

PACKAGE = "questionnaire_package"
"""The kind of document that a form's package is kept as."""
ANSWER_WITHIN = timedelta(seconds=30)


class DtrActivities:
    """Activities that ask a payer's DTR service."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._accesses: dict[tuple[str, ...], Access] = {}

    @activity.defn(name="fetch_questionnaire")
    @guarded
    async def fetch_questionnaire(self, action: FetchQuestionnaire) -> list[AnyFact]:
        """Fetch the forms that are wanted. None is an answer too, where the payer named no form."""
        channel = next((one for one in action.policy.channels if one.dtr_url), None)
        if channel is None or channel.dtr_url is None:
            raise Refused("policy:no_dtr_url")
        practice, settings = self._outside.practice(action.practice), self._outside.settings
        key = (action.practice, action.policy.payer, channel.token_url or "")
        if key not in self._accesses:
            self._accesses[key] = access_of(self._outside, action.practice, action.policy.payer, channel)
        parameters = package_request(action, requester(practice), payer_of(action.policy))
        url = settings.resolve_url(channel.dtr_url)
        answer = await fetch_package(self._accesses[key], url, parameters, ANSWER_WITHIN)
        packages = read_packages(answer.body, action.questionnaire)
        if packages is None:
            raise Refused("questionnaire_package:not_understood")
        if not packages and action.questionnaire is not None:
            raise Refused("questionnaire_package:form_missing")
        return [await self._received(action, place, package) for place, package in enumerate(packages)]

    async def _received(self, action: FetchQuestionnaire, place: int, package: Package) -> QuestionnaireReceived:
        if not package.adaptive:
            try:
                package.form()
            except NotAForm:
                raise Refused("questionnaire_package:form_not_understood") from None
        kept = await self._outside.documents.put(action.practice, package.content, PACKAGE, FHIR_JSON)
        return QuestionnaireReceived(
            occurred_at=action.now,
            by=f"system:dtr:{action.policy.payer}",
            source_id=f"{action.key}/form/{place}",
            track=action.track,
            questionnaire=package.url,
            form=kept,
            context=action.context,
            lines=action.lines,
            adaptive=package.adaptive,
        )
