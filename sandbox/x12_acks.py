"""TA1 and 999 (005010X231A1): what a clearinghouse says of an envelope and of a transaction set before any payer sees it."""

from itertools import groupby

from sandbox.x12_parse import Delimiters, Opened, Rejected, Segment
from sandbox.x12_payers import CLEARINGHOUSE
from sandbox.x12_write import Envelope, Row, interchange, serialize

GUIDE = "005010X231A1"
LOOP_LENGTH = 4
"""Of IK303: the letters of a loop's name do not fit (2010B is 2010); the position tells them apart."""
MARKS = Delimiters("*", "^", ":", "~")


def ta1(isa: Segment, code: str, envelope: Envelope) -> bytes:
    """The acknowledgement of an interchange: accepted for code 000, else rejected."""
    at, control = envelope.at, f"{envelope.control:09d}"
    verdict = "A" if code == "000" else "R"
    rows: list[Row] = [
        (
            *("ISA", "00", " " * 10, "00", " " * 10, "ZZ", f"{CLEARINGHOUSE:<15}", envelope.receiver_qualifier),
            *(
                f"{envelope.receiver:<15}",
                f"{at:%y%m%d}",
                f"{at:%H%M}",
                "^",
                "00501",
                control,
                "0",
                envelope.usage,
                ":",
            ),
        ),
        ("TA1", isa.get(13), isa.get(9), isa.get(10), verdict, code),
        ("IEA", "0", control),
    ]
    return serialize(rows, MARKS)


def accepted(opened: Opened, envelope: Envelope) -> bytes:
    """The 999 of a transaction set that was taken."""
    rows = [*_head(opened), ("IK5", "A"), ("AK9", "A", "1", "1", "1")]
    return interchange(rows, "FA", GUIDE, envelope, MARKS)


def rejected(opened: Opened, wrong: Rejected, envelope: Envelope) -> bytes:
    """The 999 of one that was not, with every place."""
    rows = _head(opened)
    for place, faults in groupby(
        wrong.faults, key=lambda fault: (fault.segment, fault.position, fault.loop, fault.code)
    ):
        segment, position, loop, code = place
        rows.append(("IK3", segment, str(position), loop[:LOOP_LENGTH], code))
        for fault in faults:
            if fault.element:
                at = f"{fault.element}:{fault.component}" if fault.component else str(fault.element)
                rows.append(("IK4", at, "", fault.element_code))
    codes = wrong.set_codes or (["5"] if wrong.faults else [])
    rows.append(("IK5", "R", *codes[:5]))
    rows.append(("AK9", "R", "1", "1", "0", *wrong.group_codes[:5]))
    return interchange(rows, "FA", GUIDE, envelope, MARKS)


def _head(opened: Opened) -> list[Row]:
    gs, st = opened.gs, opened.st
    return [
        ("ST", "999", "0001", GUIDE),
        ("AK1", gs.get(1), gs.get(6), gs.get(8)),
        ("AK2", st.get(1), st.get(2), st.get(3)),
    ]
