"""A telephone number in a message is the one that was meant, or none."""

import pytest

from connectors.phones import ten_digits


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("+1 (217) 555-0110", "2175550110"),
        ("217.555.0110", "2175550110"),
        ("217-555-0110 x12", "2175550110"),
        ("217-555-0110 ext. 4", "2175550110"),
        ("1-217-555-0110, 99", "2175550110"),
        ("555-0110", None),
        ("217-555-01105", None),
        ("ask at the desk", None),
        (None, None),
    ],
)
def test_ten_digits(said: str | None, digits: str | None) -> None:
    assert ten_digits(said) == digits
