"""A fact that this release does not know."""

from typing import Any

from pydantic import ConfigDict

from domain.facts.envelope import Fact


class UnknownFact(Fact):
    """A fact of a kind or version that this release does not know, kept whole."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: str
    v: int = 1  # type: ignore[assignment]

    @property
    def body(self) -> dict[str, Any]:
        """All that it says beside the envelope."""
        return dict(self.model_extra or {})
