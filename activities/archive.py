"""Publishing: what a case hands to the archive of facts and to the read model."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain.facts import ChannelReported
from domain.view import Publication, Published
from store import cases
from store.access import report
from store.database import Database
from store.errors import StoreError
from store.sealing import Sealer


class Archive:
    """The activity by which a case publishes. While PostgreSQL is away it fails and is tried again."""

    def __init__(self, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    @activity.defn(name="publish")
    async def publish(self, publication: Publication) -> Published:
        """Archive the facts and write the row, and note for all cases what was reported of a way; safe to repeat.

        Raises `ApplicationError` of type `StoreAway` (try again, for ever), or `StoreFault` or `PublicationBroken`
        (somebody must look; try again too, for the cause may be mended).
        """
        try:
            for fact in publication.facts:
                if isinstance(fact, ChannelReported) and not fact.is_heard:
                    await report(self._db, publication.view.practice, publication.view.case_id, fact)
            return await cases.publish(self._db, self._sealer, publication)
        except StoreError as error:
            raise ApplicationError(str(error), type=type(error).__name__) from None
