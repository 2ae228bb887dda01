"""The request that an answer should be about, on every rail. An answer about somebody else decides nothing."""

from collections.abc import Mapping

from domain.base import Frozen, Key
from domain.decision import Decision


class Ours(Frozen):
    """The request that an answer should be about, as far as one can tell from an answer."""

    trace: Key
    names: frozenset[str]
    """Identifiers and references by which an answer may name the request."""
    member_id: Key
    lines: Mapping[int, str]
    """The procedure code of each line, by line number (the sequence of the item)."""
    taken_back: frozenset[int] = frozenset()
    """Lines that an update takes back: that they are cancelled is what was asked, and no news."""

    def answered_by(self, decision: Decision) -> bool:
        """Whether an answer is about this request: one of trace and member id says so, and the other does not object."""
        says = [decision.trace == self.trace] if decision.trace is not None else []
        says += [decision.member_id == self.member_id] if decision.member_id is not None else []
        return bool(says) and all(says)
