"""What can go wrong with a system outside, said so that the caller knows whether trying again is safe.

No message carries health information: a code, a status, a field name.
"""

from datetime import timedelta


class ConnectorError(Exception):
    """Something outside did not do what was asked. `code` is short and safe to log."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unreachable(ConnectorError):
    """Nothing can have happened there, or asking again is harmless: try again."""


class Busy(Unreachable):
    """The other side asks for patience."""

    def __init__(self, code: str, retry_after: timedelta | None = None) -> None:
        super().__init__(code)
        self.retry_after = retry_after


class Refused(ConnectorError):
    """The other side said no and would again; or the practice was not granted this."""


class OutcomeUnknown(ConnectorError):
    """It may have happened there: search before anything else."""


class NotUnderstood(ConnectorError):
    """An answer came, and it is not in the shape that was agreed. `raw` is for a person."""

    def __init__(self, code: str, raw: bytes, media_type: str) -> None:
        super().__init__(code)
        self.raw = raw
        self.media_type = media_type
