"""Leaves what the patient will owe where check-in finds it."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from temporalio import activity

from activities.counterparts import Counterparts
from activities.outside import Outside, guarded
from connectors.clearwave import Amount, AmountKind, Drop
from connectors.errors import Refused
from domain.actions import PostResponsibility
from domain.facts import AnyFact, Receipt, ResponsibilityPosted


class CheckInActivities:
    """Activities on check-in."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._counterparts = Counterparts(outside)

    @activity.defn(name="post_responsibility")
    @guarded
    async def post_responsibility(self, action: PostResponsibility) -> list[AnyFact]:
        """Leave the known amounts and read them back. Refused where none is known: unknown is never posted as nothing."""
        practice = self._outside.practice(action.practice)
        known: tuple[tuple[AmountKind, int | None], ...] = (
            ("copay", action.copay_cents),
            ("deductible", action.deductible_cents),
            ("coinsurance", action.coinsurance_cents),
        )
        amounts = [Amount(kind=kind, cents=cents) for kind, cents in known if cents is not None]
        if not amounts:
            raise Refused("no_amount_known")
        starts_at = datetime.combine(action.visit_on, time(), ZoneInfo(practice.time_zone)).astimezone(UTC)
        drop = Drop(
            patient_ref=action.patient_id,
            visit_ref=action.visit_id or f"{action.visit_on}",
            visit_starts_at=starts_at,
            as_of=action.as_of,
            amounts=tuple(amounts),
        )
        drop_id = await self._counterparts.check_in(practice).leave(drop)
        return [
            ResponsibilityPosted(
                occurred_at=action.now,
                by="system:clearwave",
                source_id=f"{action.key}/posted",
                cause=action.cause,
                total_cents=sum(amount.cents for amount in amounts),
                receipt=Receipt(kind="read_back", reference=drop_id),
            )
        ]
