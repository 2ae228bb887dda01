"""The simulated payers number as the payers of our policies do: a number that a person copies is read for what it is."""

import pytest

from domain.decision import NumberType
from sandbox.payer_table import ALL_PAYERS
from tests.builders import policy


@pytest.mark.parametrize("payer", ALL_PAYERS)
def test_every_number_of_a_payer_fits_the_form_that_its_policy_declares(payer: str) -> None:
    (formats,) = policy(payer).numbers
    for count in (1, 42, 999_999):
        certified, pended = ALL_PAYERS[payer].certification_number(count), ALL_PAYERS[payer].reference_number(count)
        assert formats.read(certified) is NumberType.CERTIFICATION, certified
        assert formats.read(pended) is NumberType.ADMINISTRATIVE, pended
