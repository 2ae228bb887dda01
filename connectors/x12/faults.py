"""What a 999, a 997 or a TA1 complains of, in words: what is wrong, where, and what to do about it.

X12's texts are not ours to copy: what stands beside a code is our own word for it. A code that is not here keeps standing
alone. Sources: the shared public examples; X12 lists by their numbers, of which what no example shows is to be confirmed.
"""

import re
from types import MappingProxyType
from typing import Literal

from connectors.x12.words import ELEMENTS, HOLDS, LOOPS, PLACES
from domain.base import Frozen
from domain.decision import AnswerError

_INTERCHANGE = MappingProxyType(
    {
        "001": "the control number at its end differs from that at its beginning",
        "002": "the standard is not supported",
        "003": "the version of the envelope is not supported",
        "004": "the sign that ends a segment is wrong",
        "005": "the qualifier of the sender's id is wrong",
        "006": "the sender's id is wrong",
        "007": "the qualifier of the receiver's id is wrong",
        "008": "the receiver's id is wrong",
        "009": "the receiver's id is not known there",
        "010": "the qualifier of the authorization is wrong",
        "011": "the authorization is wrong",
        "012": "the qualifier of the security information is wrong",
        "013": "the security information is wrong",
        "014": "the date of the envelope is wrong",
        "015": "the time of the envelope is wrong",
        "016": "the standard's id, or the sign that repeats, is wrong",
        "017": "the version's id is wrong",
        "018": "the control number is wrong",
        "019": "the wish for an acknowledgment is wrong",
        "020": "the mark for test or production is wrong",
        "021": "it counts other groups than it holds",
        "022": "its structure is wrong",
        "023": "it ends too early",
        "024": "what it holds is wrong",
        "025": "its control number was there already",
        "026": "the sign between elements is wrong",
        "027": "the sign between components is wrong",
    }
)
"""X12 I18 (TA105)."""
_GROUP = MappingProxyType(
    {
        "1": "the kind of message is not supported",
        "2": "the version of the message is not supported",
        "3": "the end of the group is missing",
        "4": "the control number at the group's end differs from that at its beginning",
        "5": "the group counts other messages than it holds",
        "6": "the group's control number is wrong",
        "19": "the group's control number was there already",
    }
)
"""X12 716 (AK905 and on)."""
_TRANSACTION = MappingProxyType(
    {
        "1": "the kind of message is not supported",
        "2": "the end of the message is missing",
        "3": "the control number at the message's end differs from that at its beginning",
        "4": "the message counts other segments than it holds",
        "5": "segments of the message are at fault",
        "6": "the kind of message is missing or wrong",
        "7": "the message's control number is missing or wrong",
        "23": "the message's control number was there already",
        "I5": "segments of the message are at fault",
        "I6": "the guide of the message is not supported",
    }
)
"""X12 618, 718 (IK502, AK502 and on)."""
_SEGMENT = MappingProxyType(
    {
        "1": "an unknown segment",
        "2": "an unexpected segment",
        "3": "a required segment is missing",
        "4": "the loop is repeated too often",
        "5": "the segment is repeated too often",
        "6": "a segment that this message does not have",
        "7": "the segment stands in the wrong place",
        "8": "something in the segment is at fault",
        "I4": "a segment that the guide does not use",
        "I6": "a segment is missing that what else is there makes necessary",
        "I7": "the loop is repeated too seldom",
        "I8": "the segment is repeated too seldom",
        "I9": "a segment that what else is there forbids",
    }
)
"""X12 620, 720 (IK304, AK304)."""
_ELEMENT = MappingProxyType(
    {
        "1": "it is missing",
        "2": "it is missing, and what else is there makes it necessary",
        "3": "there are too many elements",
        "4": "it is too short",
        "5": "it is too long",
        "6": "it holds a character that is not allowed",
        "7": "its code is not in the list",
        "8": "it is no date",
        "9": "it is no time",
        "10": "what else is there forbids it",
        "12": "it is repeated too often",
        "13": "it has too many parts",
        "I6": "its code is none that the guide uses",
        "I9": "it is missing, and what else is there makes it necessary",
        "I10": "the guide does not use it",
        "I11": "it is repeated too seldom",
        "I12": "it does not have the form that is wanted",
        "I13": "what else is there forbids it",
    }
)
"""X12 621, 723 (IK403, AK403)."""

Level = Literal["interchange", "group", "transaction", "segment", "element"]
_MEANINGS = {
    "interchange": _INTERCHANGE,
    "group": _GROUP,
    "transaction": _TRANSACTION,
    "segment": _SEGMENT,
    "element": _ELEMENT,
}
_FINEST = ("element", "segment", "transaction", "group", "interchange")
_LOOP = re.compile(r"2[01][01]0([A-F])[A-F]?")
"""A loop of a 278 or a 270, by the letter of its level."""
_ENVELOPE = "Nothing in the order is at fault: an operator looks at the payer's channel and at the raw answer."
_BUILT = "If nothing in the order explains it, an operator looks at the message: Vigil may have built it wrong."


class Fault(Frozen):
    """One complaint: where, and its code, verbatim."""

    level: Level
    code: str
    segment: str | None = None
    """The id of the segment."""
    position: int | None = None
    """Of the segment, counted from ST as 1."""
    loop: str | None = None
    element: str | None = None
    """Place in the segment, with component and repetition: `1`, `1-2`, `1-2-3`."""
    reference: str | None = None
    """The data element's number in X12's dictionary."""

    @property
    def place(self) -> str | None:
        """Where it is, for a person: first what it is in the order's words, then the place in the message."""
        named = " of the ".join(filter(None, (self.holds, self.whose)))
        said = [
            named,
            f"loop {self.loop}" if self.loop else None,
            f"segment {self.segment}" if self.segment else None,
            f"element {self.element}" if self.element else None,
            f"the {self.position}. of the message" if self.position else None,
        ]
        return ", ".join(part for part in said if part) or None

    @property
    def holds(self) -> str | None:
        """What stands there, in the order's words."""
        first = (self.element or "").partition("-")[0]
        exact = ELEMENTS.get((self.segment or "", int(first))) if first.isascii() and first.isdigit() else None
        return exact or HOLDS.get(self.segment or "")

    @property
    def whose(self) -> str | None:
        """Whose or of what it is: the level of its loop."""
        letter = _LOOP.fullmatch(self.loop or "")
        by_letter = {one: PLACES[code] for code, one in LOOPS.items()}
        return by_letter.get(letter[1]) if letter else None

    @property
    def answer_error(self) -> AnswerError:
        """The complaint as any rail says it."""
        said = _MEANINGS[self.level].get(self.code)
        named = " of the ".join(filter(None, (self.holds, self.whose)))
        return AnswerError(
            code=self.code or None,
            text=said,
            where=self.place,
            meaning=f"{named}: {said}" if said and named else said,
            remedy=self._remedy,
        )

    @property
    def _remedy(self) -> str:
        if self.level in {"interchange", "group"} or (self.level == "transaction" and self.code not in {"5", "I5"}):
            return _ENVELOPE
        if self.holds is None:
            return _BUILT
        whose = f" of the {self.whose}" if self.whose else ""
        return f"Compare the {self.holds}{whose} in the order with what the payer wants, and correct it. {_BUILT}"


def finest_first(faults: tuple[Fault, ...]) -> list[Fault]:
    """Return the complaints with those first that say most exactly where it is; else in their order."""
    return sorted(faults, key=lambda fault: _FINEST.index(fault.level))
