"""Asks whether an insurance holds and what it pays. The raw answer is kept."""

from datetime import date
from zoneinfo import ZoneInfo

from temporalio import activity

from activities.counterparts import Counterparts
from activities.outside import Outside, guarded
from activities.x12_eligibility import X12Eligibility
from connectors import eligibility
from connectors.documents import ANSWER_KIND
from connectors.errors import NotUnderstood
from domain.actions import VerifyCoverage
from domain.decision import AnswerError
from domain.facts import AnyFact, CoverageStatus, CoverageVerified
from runtime.practices import Practice


class CoverageActivities:
    """Activities that ask whether a coverage holds: the eligibility gateway, or by X12 where the payer's rules say so."""

    def __init__(self, outside: Outside, x12: X12Eligibility | None = None) -> None:
        self._outside = outside
        self._counterparts = Counterparts(outside)
        self._x12 = x12

    @activity.defn(name="verify_coverage")
    @guarded
    async def verify_coverage(self, action: VerifyCoverage) -> list[AnyFact]:
        """Ask about one coverage. An answer that nobody but a person can read is unclear, with the answer beside it."""
        practice = self._outside.practice(action.practice)
        today = action.now.astimezone(ZoneInfo(practice.time_zone)).date()
        way = self._x12.way(action.coverage.payer, today) if self._x12 is not None else None
        if self._x12 is not None and way is not None:
            on = eligibility.asked_day(_first_day(action), today)
            answer, carried = await self._x12.ask(way, action, practice, on)
            eligibility.raise_if_later(answer)
            raw, media_type = carried.body, carried.media_type or "application/octet-stream"
        else:
            answer, raw, media_type = await self._by_gateway(action, practice, today)
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

    async def _by_gateway(
        self, action: VerifyCoverage, practice: Practice, today: date
    ) -> tuple[eligibility.Eligibility, bytes, str]:
        """What the eligibility gateway says, with its answer and that answer's media type."""
        category = action.order.lines[0].category
        question = eligibility.ask(
            action.eligibility_payer or action.coverage.payer,
            eligibility.Identity(npi=practice.npi, name=practice.name),
            patient=action.order.patient,
            coverage=action.coverage,
            category=category,
            service_on=_first_day(action),
            today=today,
        )
        try:
            raw = await self._counterparts.eligibility(practice).check(question)
            return eligibility.read(raw, category), raw, "application/json"
        except NotUnderstood as error:
            wrong = AnswerError(
                code=error.code, text="The answer is not in the agreed form: read it and ask the payer."
            )
            unclear = eligibility.Eligibility(status=CoverageStatus.UNCLEAR, errors=(wrong,))
            return unclear, error.raw, error.media_type


def _first_day(action: VerifyCoverage) -> date:
    return min(line.service_from for line in action.order.lines)
