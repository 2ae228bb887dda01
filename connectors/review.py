"""What a payer's review did about a line or the whole, as PAS and the 278 both say it (X12 HCR)."""

from dataclasses import dataclass

from connectors.codes import AUTHORIZES
from domain.decision import NumberType, Outcome, Reason


@dataclass(frozen=True)
class Action:
    """A review action: what was decided, verbatim and by meaning."""

    outcome: Outcome
    code: str | None = None
    numbers: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()

    @property
    def number_type(self) -> NumberType:
        """What its number is good for: a certification only of what is authorized."""
        return NumberType.CERTIFICATION if self.outcome in AUTHORIZES else NumberType.ADMINISTRATIVE

    @property
    def permits(self) -> bool:
        """Whether by it anything may be done."""
        return self.outcome in AUTHORIZES or self.outcome is Outcome.NOT_REQUIRED
