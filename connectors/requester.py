"""Who asks: the practice as payers must know it, the same on every rail."""

from typing import Annotated

from pydantic import Field, StringConstraints

from domain.base import Frozen, Name
from domain.order import Address, Npi


class Requester(Frozen):
    """The practice that asks for an authorization."""

    name: Name
    npi: Npi
    tax_id: Annotated[str, StringConstraints(pattern=r"^\d{2}-?\d{7}$")]
    address: Address
    phone: Name
    contact: str | None = Field(default=None, max_length=200, description="Whom the payer may ask.")
    contact_phone: str | None = Field(default=None, max_length=30)

    @property
    def originator(self) -> str:
        """Who gave our trace numbers (X12 TRN03): 1 and the tax id."""
        return f"1{self.tax_id.replace('-', '')}"

    @property
    def trace_system(self) -> str:
        """The system of our identifiers in FHIR: `urn:trnorg:` and TRN03 (PAS, `Claim.identifier`)."""
        return f"urn:trnorg:{self.originator}"
