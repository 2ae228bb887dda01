"""The payers behind the clearinghouse as data: how it names them, what they take how, and their habits on the wire.

Another payer is one more row (and one in `payer_table.py`, which says how it numbers and decides).
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from sandbox.payer_table import ALL_PAYERS, PayerProfile
from sandbox.x12_parse import Delimiters

Mode = Literal["RealTime", "Batch"]
CLEARINGHOUSE = "NORTHBRIDGE"
BOTH: tuple[Mode, ...] = ("RealTime", "Batch")


@dataclass(frozen=True)
class X12Payer:
    """One payer on X12.

    `code`: NM109 of loop 2010A. `originator`: its own TRN03. `decides_at`: where HCR stands; at the `event`
    only as long as all lines agree. `dates`: DTP qualifiers, AAH for a period (472 at a line) or two for first and last
    day. `asks_by`: how it asks for documents.
    `requests`: modes in which it takes a 278 request; all else by both. `answer_after`: of a batch, on the practice's clock.
    `short_lower_names`: names come back in lower case, cut after ten characters.
    """

    id: str
    code: str
    originator: str
    decides_at: Literal["event", "line", "both"] = "both"
    dates: tuple[str, ...] = ("AAH",)
    asks_by: Literal["LOI", "PWK"] = "LOI"
    requests: tuple[Mode, ...] = BOTH
    answer_after: timedelta = timedelta(hours=4)
    delimiters: Delimiters = field(default=Delimiters("*", "^", ":", "~"))
    line_break: str = ""
    short_lower_names: bool = False

    @property
    def profile(self) -> PayerProfile:
        """What the desk must know of it."""
        return ALL_PAYERS[self.id]


X12_PAYERS: dict[str, X12Payer] = {
    row.code: row
    for row in (
        X12Payer(
            "harbor-hmo",
            "HARBR",
            "9000000101",
            decides_at="event",
            asks_by="PWK",
            requests=("RealTime",),
            delimiters=Delimiters("|", "^", ":", "~"),
        ),
        X12Payer(
            "bluestem-mco",
            "BLSTM",
            "9000000102",
            decides_at="line",
            dates=("007", "036"),
            requests=("Batch",),
            line_break="\r\n",
            short_lower_names=True,
        ),
        X12Payer("meridian-ppo", "MERID", "9000000103", dates=("007", "036")),
    )
}
