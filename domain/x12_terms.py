"""What a clearinghouse wants in the envelopes of X12: data of a channel, by the elements' numbers."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from domain.base import Frozen, Key

PARTY = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .&/-]{0,13}[A-Za-z0-9.]")
"""ISA06, ISA08, GS02, GS03: 2 to 15 characters."""
Qualifier = Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{2}$")]


class X12Terms(Frozen):
    """How a clearinghouse wants the envelopes of X12, where it is not the usual way."""

    code_qualifier: Literal["PI", "XV", "46", "24"] = Field(
        default="PI", description="Of the payer's code (NM108): payer id, national plan id, transmitter id, tax id."
    )
    sender_qualifier: Qualifier = Field(
        default="ZZ", description="Of the sender (ISA05): ZZ agreed, 30 tax id, 01 DUNS."
    )
    receiver_qualifier: Qualifier = Field(default="ZZ", description="Of the receiver (ISA07).")
    group_sender: Key | None = Field(default=None, description="GS02, where it is not the sender.")
    group_receiver: Key | None = Field(default=None, description="GS03, where it is not the receiver.")
    usage: Literal["P", "T"] = Field(
        default="P", description="ISA15: production, or T while the practice is certified."
    )
    acknowledge: bool = Field(default=False, description="Ask for a TA1 (ISA14).")
    charset: Literal["basic", "extended"] = Field(default="extended", description="Basic: capitals and fewer signs.")
