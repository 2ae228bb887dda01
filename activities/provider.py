"""Tells the ordering provider, by a task in NextGen's inbox."""

from temporalio import activity

from activities.counterparts import Counterparts, marker
from activities.outside import Outside, guarded
from domain.actions import NotifyProvider
from domain.facts import AnyFact, ProviderNotified, Receipt

_INBOX = "me"
"""NextGen's name for the account that Vigil signs in as: the practice delegates its inbox to the providers' teams."""


class ProviderActivities:
    """Activities that tell providers."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._counterparts = Counterparts(outside)

    @activity.defn(name="notify_provider")
    @guarded
    async def notify_provider(self, action: NotifyProvider) -> list[AnyFact]:
        """Put one task into the inbox and read it back. Where tasks are not granted, it is refused and a person tells."""
        nextgen = self._counterparts.nextgen(self._outside.practice(action.practice))
        ordering = action.order.ordering
        details = "\n".join((f"For {ordering.given_name} {ordering.family_name}, NPI {ordering.npi}.", *action.lines))
        key = marker(action.case_id, "provider", action.message, action.cause)
        task = await nextgen.give_task(_INBOX, key, action.title, details, action.order.patient.id)
        return [
            ProviderNotified(
                occurred_at=action.now,
                by="system:nextgen",
                source_id=f"{action.key}/notified",
                message=action.message,
                cause=action.cause,
                receipt=Receipt(kind="read_back", reference=task),
            )
        ]
