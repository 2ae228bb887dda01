"""How much a case may hold: what is reported stops in time, so that Vigil itself can always bring the case to its end."""

from domain.case import Case
from domain.facts import MAX_CASE_BYTES, MAX_FACT_BYTES, Fact, write_fact

_OWN = 64 * 1024
"""What is left of a full case to what Vigil itself records."""
_NOTICES = 32 * 1024
"""How much of that goes to a word in the place of each report that is not kept."""


def too_large(case: Case, fact: Fact) -> str | None:
    """Why a fact cannot be kept, as a sentence, or None."""
    size = len(write_fact(fact))
    if size > MAX_FACT_BYTES:
        return f"This is {size} bytes; a fact may have {MAX_FACT_BYTES}. Attach what is long as a document."
    if case.size + size > MAX_CASE_BYTES - _OWN:
        return f"The case is full: it may have {MAX_CASE_BYTES} bytes. Attach what is long as a document."
    return None


def is_full(case: Case) -> bool:
    """Whether the next report may not be kept any more."""
    return case.size + MAX_FACT_BYTES > MAX_CASE_BYTES - _OWN


def has_room_for_notice(case: Case) -> bool:
    """Whether a full case still takes a word in the place of a report."""
    return case.size + MAX_FACT_BYTES < MAX_CASE_BYTES - _OWN + _NOTICES
