"""Code lists that only X12 messages use, as data.

Sources: published 278 examples; X12 code lists by their element numbers. X12's texts are not ours to copy: what stands
beside a code is our own word for it. Entries marked (confirm) come from general knowledge and are to be compared with the
implementation guide or the payer's companion guide before they are relied on.
"""

from types import MappingProxyType

from connectors.codes import ROLE_FACILITY, ROLE_ORDERING, ROLE_PROVIDER, ROLE_RENDERING
from domain.decision import Ending
from domain.order import Relationship, Sex, Urgency

REQUEST_GUIDE = "005010X217"
"""Health care services review: request and response."""
INQUIRY_GUIDE = "005010X215"
"""Health care services review: inquiry and response."""
NOTIFICATION_GUIDE = "X216"
"""Notifications decide nothing, also where their answer is made like a decision."""
OLDER_GUIDES = "004010"
"""Reviews before 2012: their lines stand under providers, and not under an event."""

STRUCTURE = "0007"
"""X12 1005 (BHT01)."""
PURPOSE_REQUEST, PURPOSE_INQUIRY = "13", "28"
"""X12 353 (BHT02). A cancel of ours is a request by UM02, not by BHT02 01 (confirm)."""
PURPOSES_OF_REQUESTS = frozenset({"01", "13", "28", "36"})
"""BHT02 of what is asked; an answer has 11, or another that its writer likes."""
PURPOSE_ANSWER = "11"
MORE_TO_FOLLOW = "19"
"""X12 640 (BHT06): the payer will say more."""

PAYER, REQUESTER, SUBSCRIBER, DEPENDENT, EVENT, SERVICE = "20", "21", "22", "23", "EV", "SS"
"""X12 735 (HL03)."""
PARENTS = MappingProxyType(
    {
        PAYER: frozenset({""}),
        REQUESTER: frozenset({PAYER}),
        SUBSCRIBER: frozenset({REQUESTER}),
        DEPENDENT: frozenset({SUBSCRIBER}),
        EVENT: frozenset({SUBSCRIBER, DEPENDENT}),
        SERVICE: frozenset({EVENT}),
    }
)
"""Under which levels a level of a 278 may stand; the empty one is none."""
LOOPS = MappingProxyType({PAYER: "A", REQUESTER: "B", SUBSCRIBER: "C", DEPENDENT: "D", EVENT: "E", SERVICE: "F"})
"""The letter of a level's loops: 2000A, 2010A and so on."""
PLACES = MappingProxyType(
    {
        PAYER: "payer",
        REQUESTER: "requester",
        SUBSCRIBER: "subscriber",
        DEPENDENT: "patient",
        EVENT: "event",
        SERVICE: "service line",
    }
)
"""A level in our words."""
WHO = MappingProxyType(
    {
        "X3": "payer",
        "PR": "payer",
        ROLE_PROVIDER: "practice",
        "IL": "subscriber",
        "QC": "patient",
        ROLE_ORDERING: "ordering provider",
        ROLE_RENDERING: "rendering provider",
        ROLE_FACILITY: "facility",
    }
)
"""X12 98 (NM101) in our words."""
ELEMENTS = MappingProxyType(
    {
        ("BHT", 3): "trace number",
        ("TRN", 2): "trace number",
        ("NM1", 3): "name",
        ("NM1", 4): "given name",
        ("NM1", 9): "id",
        ("N3", 1): "address line",
        ("N3", 2): "address line",
        ("N4", 1): "city",
        ("N4", 2): "state",
        ("N4", 3): "postal code",
        ("PER", 2): "contact's name",
        ("PER", 4): "contact's phone",
        ("PRV", 3): "specialty",
        ("DMG", 2): "date of birth",
        ("DMG", 3): "sex",
        ("INS", 2): "relationship to the subscriber",
        ("DTP", 3): "date",
        ("REF", 2): "reference number",
        ("PWK", 6): "document's control number",
        ("PWK", 7): "document's description",
        ("MSG", 1): "message to the payer",
        ("SV1", 1): "procedure",
        ("SV2", 2): "procedure",
        ("SV1", 4): "units",
        ("SV2", 5): "units",
        ("HSD", 2): "units",
        **{("HI", position): "diagnosis" for position in range(1, 13)},
    }
)
"""What an element of a 278 holds, in the order's words."""
HOLDS = MappingProxyType(
    {
        "NM1": "name and id",
        "N3": "address",
        "N4": "city, state and postal code",
        "PER": "contact",
        "PRV": "specialty",
        "DMG": "date of birth and sex",
        "INS": "relationship to the subscriber",
        "HI": "diagnoses",
        "DTP": "dates",
        "SV1": "procedure and units",
        "SV2": "procedure and units",
        "HSD": "units",
        "PWK": "documents",
        "MSG": "message to the payer",
        "REF": "reference number",
        "UM": "kind of review",
    }
)
"""What a segment of a 278 holds, in the order's words."""

REVIEW, REFERRAL = "HS", "SC"
"""X12 1525 (UM01): health services review, specialty care."""
INITIAL, REVISED, CANCEL = "I", "S", "3"
"""X12 1322 (UM02)."""
LEVELS = MappingProxyType({Urgency.URGENT: "U", Urgency.STAT: "03"})
"""X12 1338 (UM06): urgent, emergency."""
PLACE_OF_SERVICE = "B"
"""X12 1332 (UM04-2): the code before it is a place of service."""
RELEASED = "Y"
"""X12 1363 (UM09): the patient's release of information is on file."""
RELATIONS = MappingProxyType(
    {Relationship.SELF: "18", Relationship.SPOUSE: "01", Relationship.CHILD: "19", Relationship.OTHER: "G8"}
)
"""X12 1069 (INS02)."""
SEXES = MappingProxyType({Sex.FEMALE: "F", Sex.MALE: "M", Sex.OTHER: "U", Sex.UNKNOWN: "U"})
"""X12 1068 (DMG03)."""
PROVIDER_CODES = MappingProxyType({"DK": "OR", "SJ": "PE"})
"""X12 1221 (PRV01) by role: ordering, performing."""

COUNTED = frozenset({"", "UN", "VS", "DA", "DY", "FL", "HS"})
"""X12 355 (SV1-03, SV2-04) and 673 (HSD01): by which a quantity is a number of units, visits, days or hours."""
SERVICE_DATE, EVENT_DATE, ISSUED, EFFECTIVE, EXPIRES = "472", "AAH", "102", "007", "036"
"""X12 374 (DTP01)."""
PREVIOUS, REFERRAL_NUMBER = frozenset({"BB", "G1"}), "9F"
"""X12 128 (REF01) of an authorization and of a referral that came before (G1 and 9F: confirm)."""
PAYERS = frozenset({"X3", "PR"})
"""X12 98 (NM101) of whoever reviews."""
SETS = MappingProxyType(
    {
        "270": "question about coverage",
        "275": "documents",
        "276": "question about a claim",
        "277": "status of a claim",
        "824": "complaint about a message",
        "834": "enrollment",
        "835": "payment",
        "837": "claim",
        "997": "acknowledgment",
        "999": "acknowledgment",
    }
)
"""Transaction sets that come in place of an answer."""

REASON_SYSTEM = "https://codesystem.x12.org/external/886"
REPORT_SYSTEM = "https://codesystem.x12.org/005010/755"
REJECTION_SYSTEM = "https://codesystem.x12.org/005010/901"
LOINC_SYSTEM = "http://loinc.org"
LOINC_ASKED = "LOI"
"""X12 1270 (HI-1): a LOINC code says what the payer wants to see."""

REPORTS = MappingProxyType(
    {
        "03": "why it goes beyond the guidelines",
        "06": "first assessment",
        "08": "plan of treatment",
        "09": "progress report",
        "AS": "admission summary",
        "B3": "physician's order",
        "DG": "diagnostic report",
        "DS": "discharge summary",
        "OB": "operative report",
        "PY": "physician's report",
    }
)
"""X12 755 (PWK01); OB: confirm."""
ENDINGS = MappingProxyType({"0P": Ending.CLOSED})
"""By X12 886: why a payer that cancels everything ended it without a decision (confirm)."""

SEGMENTS = frozenset(
    {
        "TRN",
        "AAA",
        "UM",
        "HCR",
        "REF",
        "DTP",
        "HI",
        "SV1",
        "SV2",
        "SV3",
        "TOO",
        "HSD",
        "CRC",
        "CL1",
        "CR1",
        "CR2",
        "CR5",
        "CR6",
        "PWK",
        "MSG",
        "NM1",
        "N2",
        "N3",
        "N4",
        "PER",
        "PRV",
        "DMG",
        "INS",
        "CR7",
        "CR8",
        "LX",
    }
)
"""Segments that a level of a 278 may hold beside its HL (CR7, CR8, LX: base standard, confirm).

Beside another one no decision is inherited.
"""
LENGTHS = MappingProxyType(
    {
        ("BHT", 3): 50,
        ("TRN", 2): 50,
        ("NM1", 3): 60,
        ("NM1", 4): 35,
        ("NM1", 9): 80,
        ("N3", 1): 55,
        ("N3", 2): 55,
        ("N4", 1): 30,
        ("N4", 3): 15,
        ("PER", 2): 60,
        ("PER", 4): 256,
        ("REF", 2): 50,
        ("PWK", 6): 80,
        ("PWK", 7): 80,
        ("MSG", 1): 264,
        ("SV1", 4): 15,
        ("HSD", 2): 15,
    }
)
"""The longest that an element may be (X12 data element dictionary, 005010; HSD02 and SV1-04: confirm)."""
