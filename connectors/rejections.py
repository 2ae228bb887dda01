"""Why a payer does not take a request up, by X12 901 (AAA03), and what it says of sending it again, by X12 889 (AAA04).

The same codes stand in a 278, a 271 and a PAS answer. X12's texts are not ours to copy: what stands beside a code is our own
word for it, and what to do about it is our advice. A code that is not here keeps standing alone. Sources: published
examples; the advice and all entries that those do not show are to be confirmed with the payer's companion guide.
"""

from types import MappingProxyType

from domain.decision import AnswerError

REJECTIONS = MappingProxyType(
    {
        "04": "more than the number allowed",
        "15": "something that is required is missing",
        "33": "something in it is wrong",
        "35": "out of network",
        "41": "the sender is not allowed to ask",
        "42": "the payer cannot answer now",
        "43": "the provider is not identified",
        "44": "the provider's name is missing or wrong",
        "45": "the provider's specialty is missing or wrong",
        "46": "the provider's phone is missing or wrong",
        "47": "the provider's state is missing or wrong",
        "49": "the provider is not the primary care physician",
        "50": "the provider may not ask for referrals",
        "51": "the payer does not have the provider on file",
        "52": "the provider was not enrolled at the date of service",
        "56": "the date is wrong",
        "57": "the date of service is missing or wrong",
        "58": "the date of birth is missing or wrong",
        "60": "born after the date of service",
        "61": "died before the date of service",
        "62": "the date of service is out of range",
        "64": "the patient's id is missing or wrong",
        "65": "the patient's name is missing or wrong",
        "66": "the patient's sex is missing or wrong",
        "67": "the payer does not find the patient",
        "68": "the patient's id is there twice",
        "71": "the patient's birth date is another",
        "72": "the subscriber's id is missing or wrong",
        "73": "the subscriber's name is missing or wrong",
        "74": "the subscriber's sex is missing or wrong",
        "75": "the payer does not find the subscriber",
        "76": "the subscriber's id is there twice",
        "77": "the payer finds the subscriber, not the patient",
        "78": "the subscriber is not in the group",
        "79": "a participant is not identified",
        "80": "no answer came; the exchange was ended",
        "95": "the patient is not eligible",
        "97": "the provider's address is missing or wrong",
        "AA": "there is no such authorization",
        "T4": "the payer's name or id is missing",
        "T5": "details of the certification are missing",
    }
)
"""X12 901 (AAA03)."""

_PERSON = "Compare member number, names, birth date and sex with the insurance card, and correct the order."
_PROVIDER = "Compare the provider's NPI, name and specialty with the payer's directory, and correct the order."
_NETWORK = "Ask the ordering provider for somebody whom the plan takes, or get what the plan wants first."
_DATES = "Correct the dates in the order."
_LATER = "Nothing has to be corrected: order it sent anew later."
_REMEDIES = MappingProxyType(
    {
        "04": "Correct the units in the order, or send the rest as an order of its own.",
        "41": "An operator has the practice enrolled for this exchange; until then ask by another way.",
        "79": "See where it stands, and correct the number of that party.",
        "T4": "Nothing in the order is at fault: an operator compares the payer's name and id in its channel.",
        **dict.fromkeys(("42", "80"), _LATER),
        **dict.fromkeys(("43", "44", "45", "46", "47", "51", "52", "97"), _PROVIDER),
        **dict.fromkeys(("35", "49", "50"), _NETWORK),
        **dict.fromkeys(("56", "57", "60", "61", "62"), _DATES),
        **dict.fromkeys(
            ("58", "64", "65", "66", "67", "68", "71", "72", "73", "74", "75", "76", "77", "78", "95"), _PERSON
        ),
    }
)
"""What a person does about a code of X12 901."""
_AGAIN = MappingProxyType(
    {
        "C": "",
        "N": "The payer does not take it again: do not send it anew, call.",
        "P": "The same may be sent again as it is.",
        "R": "It may be sent again.",
        "S": "Do not send it anew: the payer asks somebody else about it (confirm by a call).",
        "W": "Send it again after 30 days, not before.",
        "X": "Send it again after 10 days, not before.",
        "Y": "Do not send it anew: the payer keeps it and answers soon.",
    }
)
"""X12 889 (AAA04), what it adds to the remedy; S, W and X: confirm."""
_ONLY_THAT = frozenset({"N", "P", "S", "Y"})
"""Where nothing is to be corrected, whatever the reason's own remedy."""
_STRANGE = "Vigil does not know what the payer says of sending it again: ask before you do."


def rejection(code: str | None, where: str | None, follow_up: str | None, said: str | None = None) -> AnswerError:
    """Return a rejection with its meaning and remedy where the codes are known. What the payer `said` itself goes first."""
    again = _AGAIN.get(follow_up, _STRANGE) if follow_up else ""
    remedy = again if follow_up in _ONLY_THAT else " ".join(filter(None, (_REMEDIES.get(code or ""), again)))
    return AnswerError(
        code=code,
        text=said or REJECTIONS.get(code or ""),
        meaning=REJECTIONS.get(code or ""),
        where=where,
        follow_up=follow_up,
        remedy=remedy or None,
    )
