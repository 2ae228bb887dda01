"""What a text that must not carry health information looks like when it does.

A second net behind the log's allow-list of fields. It knows shapes (dates, numbers, codes), not names: no pattern
finds a name in a sentence, which is why texts written by people or systems are never logged at all.
"""

import re

_HARMLESS = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:
        [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # UUID: run ids, request ids
      | case-[a-z2-7]{26}                                             # our case ids
      | k\d{8}-[0-9a-f]{8}                                            # our key ids
      | (?=[0-9]*[a-f])[0-9a-f]{16,64}                                # digests; digits alone are a person's number
      | \d{4}-\d\d-\d\dT(?!00:00)\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)   # an instant, no day
      | \d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?               # an address of a machine
    )(?![\w-])
    """,
    re.VERBOSE,
)

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
# Words end where neither a letter nor a digit stands: an underscore (which `\b` takes for a letter) hides nothing.
_SUSPECT = {
    "a date": re.compile(r"(?<!\d)(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])(?!\d)"),
    "a written date": re.compile(
        rf"(?<!\d)\d{{1,2}}[-/.]\d{{1,2}}[-/.](?:19|20)?\d\d(?!\d)"
        rf"|{_MONTH}[ .-]*\d{{1,2}},? *(?:19|20)\d\d|(?<!\d)\d{{1,2}}[ .-]*{_MONTH}[ .,-]*(?:19|20)?\d\d",
        re.IGNORECASE,
    ),
    "an e-mail address": re.compile(r"[\w.+-]+@[\w-]+\.\w"),
    "a social security number": re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"),
    "a phone number": re.compile(r"(?<!\d)\d{3}(?:\) ?|[ .-])\d{3}[ .-]\d{4}(?!\d)|(?<![\d-])\d{3}-\d{4}(?![\d-])"),
    "a long number": re.compile(r"\d{8,}"),
    "a member number": re.compile(r"(?<![A-Za-z0-9])[A-Z]{1,5}-?\d{5,}[A-Z0-9]*(?![A-Za-z0-9])"),
    "a diagnosis code": re.compile(
        r"(?<![A-Za-z0-9])(?:[A-Z]\d[0-9AB]\d[0-9A-Z]{0,3}|[A-Za-z]\d[0-9ABab]\.[0-9A-Za-z]{1,4})(?![A-Za-z0-9])"
    ),
}


def suspicion(text: str) -> str | None:
    """Return what a text seems to hold that must not be logged, or None."""
    rest = _HARMLESS.sub("#", text)
    return next((what for what, pattern in _SUSPECT.items() if pattern.search(rest)), None)
