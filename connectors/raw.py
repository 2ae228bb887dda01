"""An answer as it came, before anybody has read it."""

from domain.base import Frozen


class RawAnswer(Frozen):
    """What a payer, a gateway or a clearinghouse sent, kept as evidence."""

    status: int
    body: bytes
    media_type: str | None = None
    http_id: str | None = None
    """The other side's id of the exchange, where it gives one: a receipt."""
