"""Telephone numbers of the United States, as payers' messages want them: ten digits."""

import re

_LENGTH = 10
_EXTENSION = re.compile(r"(?i)(x|ext|extension|#|,|;)[ .:]*[0-9]")
"""What begins an extension, which no message has a place for."""


def ten_digits(said: str | None) -> str | None:
    """Return a number without country code, signs and extension; None where there are not ten digits."""
    number = said or ""
    extension = _EXTENSION.search(number)
    digits = re.sub(r"[^0-9]", "", number[: extension.start()] if extension else number)
    if len(digits) == _LENGTH + 1 and digits.startswith("1"):
        digits = digits[1:]
    return digits if len(digits) == _LENGTH else None
