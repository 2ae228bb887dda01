"""Asks whether an insurance holds and what it pays. The raw answer is kept."""

from zoneinfo import ZoneInfo

from temporalio import activity

from activities.counterparts import Counterparts
from activities.outside import Outside, guarded
from connectors import eligibility
from connectors.documents import ANSWER_KIND
from connectors.errors import NotUnderstood
from domain.actions import VerifyCoverage
from domain.decision import AnswerError
from domain.facts import AnyFact, CoverageStatus, CoverageVerified


class CoverageActivities:
    """Activities that ask the eligibility clearinghouse."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._counterparts = Counterparts(outside)

    @activity.defn(name="verify_coverage")
    @guarded
    async def verify_coverage(self, action: VerifyCoverage) -> list[AnyFact]:
        """Ask about one coverage. An answer that nobody but a person can read is unclear, with the answer beside it."""
        practice = self._outside.practice(action.practice)
        order = action.order
        category = order.lines[0].category
        question = eligibility.ask(
            action.eligibility_payer or action.coverage.payer,
            eligibility.Identity(npi=practice.npi, name=practice.name),
            patient=order.patient,
            coverage=action.coverage,
            category=category,
            service_on=min(line.service_from for line in order.lines),
            today=action.now.astimezone(ZoneInfo(practice.time_zone)).date(),
        )
        try:
            raw, media_type = await self._counterparts.eligibility(practice).check(question), "application/json"
            answer = eligibility.read(raw, category)
        except NotUnderstood as error:
            raw, media_type = error.raw, error.media_type
            wrong = AnswerError(
                code=error.code, text="The answer is not in the agreed form: read it and ask the payer."
            )
            answer = eligibility.Eligibility(status=CoverageStatus.UNCLEAR, errors=(wrong,))
        kept = await self._outside.documents.put(practice.id, raw, ANSWER_KIND, media_type) if raw else None
        return [
            CoverageVerified(
                occurred_at=action.now,
                by="system:eligibility",
                source_id=f"{action.key}/verified",
                rank=action.rank,
                status=answer.status,
                plan_name=answer.plan_name,
                active_from=answer.active_from,
                active_to=answer.active_to,
                benefits=answer.benefits,
                authorization_indicator=answer.authorization_indicator,
                errors=answer.errors,
                raw=kept,
            )
        ]
