"""What every fact says, whatever happened."""

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from domain.base import Frozen, Instant, Key

MAX_FACT_BYTES = 8 * 1024
"""A fact is small; what is large is a reference."""
MAX_CASE_BYTES = 500 * 1024


Reference = Annotated[str, Field(max_length=20, description="The `ref` of the fact that this one is about.")]


class Fact(Frozen):
    """What every fact says: what happened, when, by whom, and under which id it was reported."""

    kind: str
    v: Literal[1] = 1
    n: int = Field(default=0, ge=0, description="Its place in the case, from 1; given when it is recorded.")
    recorded_at: Instant | None = Field(default=None, description="Given when it is recorded; never before another's.")
    occurred_at: Instant = Field(description="The world's time. Clocks start here.")
    by: Key = Field(description="`vigil`, `system:<name>` or `person:<id>`.")
    source_id: Key = Field(description="Unique in a case: reported twice, it happened once.")
    track: str | None = Field(default=None, max_length=80)

    @property
    def ref(self) -> str:
        """A short name for the fact, by which others speak of it. Unlike its place, it survives a restore."""
        return hashlib.sha256(self.source_id.encode()).hexdigest()[:12]
