"""What a case hears of the ways to its payer that people use: what somebody reported in another case of the practice."""

from datetime import datetime

from temporalio import activity

from activities.outside import guarded
from domain.actions import Action, AskAccess
from domain.facts import HEARD, AnyFact, ChannelReported
from runtime.logs import get_logger
from store.access import last_report
from store.database import Database
from store.errors import StoreAway

log = get_logger(__name__)


class AccessActivities:
    """Asks the state that all cases of a practice share. While PostgreSQL is away there is nothing to hear."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="ask_access")
    @guarded
    async def ask_access(self, action: AskAccess) -> list[AnyFact]:
        """Tell what was reported of a way since the case knows how it is, where that is something else."""
        heard = await self.heard(action, action.payer_id, action.rail, action.since)
        return [] if heard is None or heard.state == action.known else [heard]

    async def heard(
        self, action: Action, payer: str, rail: str, since: datetime | None = None
    ) -> ChannelReported | None:
        """The last report of a way, as a fact of another case; None where there is none, or none after `since`."""
        try:
            known = await last_report(self._database, action.practice, payer, rail)
        except StoreAway:
            log.warning("what is known of a payer's channel cannot be asked now", payer=payer, rail=rail)
            return None
        if known is None or (since is not None and known.reported_at <= since):
            return None
        return ChannelReported(
            occurred_at=known.reported_at,
            by=HEARD,
            source_id=f"{action.key}:access",
            track=action.track,
            payer=payer,
            rail=rail,
            state=known.state,
        )
