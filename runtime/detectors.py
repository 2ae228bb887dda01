"""What a text that must not carry health information looks like when it does.

A second net behind the log's allow-list of fields. It knows shapes (dates, numbers, codes), not names: no pattern
finds a name in a sentence, which is why texts written by people or systems are never logged at all.
"""

import re

_HARMLESS = re.compile(
    r"""
    \b(?:
        [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # UUID: run ids, request ids
      | case-[a-z2-7]{26}                                             # our case ids
      | k\d{8}-[0-9a-f]{8}                                            # our key ids
      | [0-9a-f]{16,64}                                               # digests
      | \d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)   # an instant, not a birth date
      | \d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?               # an address of a machine
    )(?![\w-])
    """,
    re.VERBOSE,
)

_SUSPECT = {
    "a date": re.compile(r"\b(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])\b|\b(?:19|20)\d{6}\b"),
    "a written date": re.compile(r"\b\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d\d\b"),
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.\w"),
    "a social security number": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "a phone number": re.compile(r"(?:\+1[ .-]?)?\(?\b\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b|\+\d{10,15}\b"),
    "a long number": re.compile(r"\d{8,}"),
    "a member number": re.compile(r"\b[A-Z]{1,5}-?\d{5,}[A-Z0-9]*\b"),
    "a diagnosis code": re.compile(r"\b[A-Z]\d[0-9AB]\.[0-9A-Z]{1,4}\b"),
}


def suspicion(text: str) -> str | None:
    """Return what a text seems to hold that must not be logged, or None."""
    rest = _HARMLESS.sub("#", text)
    return next((what for what, pattern in _SUSPECT.items() if pattern.search(rest)), None)
