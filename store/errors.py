"""What can go wrong in the store. Every message is a sentence that says what to do and carries no data of a row."""


class StoreError(Exception):
    """Base of the errors that `store` raises on purpose."""


class StoreAway(StoreError):
    """PostgreSQL cannot be reached, or does not answer in time. Try again later; nothing is known to be lost."""


class StoreFault(StoreError):
    """PostgreSQL refused what it was asked. Trying again will not help until the cause is gone.

    Its own text is left out on purpose: it quotes values of the row. `sqlstate` and `constraint` name what went wrong.
    """

    def __init__(self, sqlstate: str, constraint: str | None = None) -> None:
        self.sqlstate = sqlstate
        self.constraint = constraint
        about = f" at {constraint}" if constraint else ""
        super().__init__(
            f"PostgreSQL refused (SQLSTATE {sqlstate}{about}). See whether the migrations were applied, then report it."
        )


class SchemaUnknown(StoreError):
    """The database was migrated by a newer release than this one."""


class KeyReused(StoreError):
    """An idempotency key came again with another request."""


class SignoffRefused(StoreError):
    """A second signature cannot be taken; the sentence says why."""


class SpoolFull(StoreError):
    """The spool holds as much as it may, or the disk takes no more: PostgreSQL was away for too long."""


class PublicationBroken(StoreError):
    """What a case hands over does not fit together: its facts are not the last ones up to its `n`, each said once."""


class CursorInvalid(StoreError):
    """A page was asked for with a cursor that no earlier page gave."""
