"""Publishing: what a case hands to the archive of facts and to the read model."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from domain.view import Publication, Published
from store import cases
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
        """Archive the facts and write the row; safe to repeat.

        Raises `ApplicationError` of type `StoreAway` (try again, for ever), or `StoreFault` or `PublicationBroken`
        (somebody must look; try again too, for the cause may be mended).
        """
        try:
            return await cases.publish(self._db, self._sealer, publication)
        except StoreError as error:
            raise ApplicationError(str(error), type=type(error).__name__) from None
