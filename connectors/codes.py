"""Code lists that several rails share, as data: the X12 codes behind PAS, the 278 and the gateways, and LOINC.

Sources: X12 code lists by their numbers; CMS; LOINC. X12's texts are not ours to copy: what stands beside a code is our
own word for it. Entries marked (confirm) come from general knowledge and are to be compared with the payer's companion
guide before they are relied on.
"""

from types import MappingProxyType

from domain.decision import Outcome
from domain.order import Category

OUTCOMES = MappingProxyType(
    {
        "A1": Outcome.APPROVED,
        "A2": Outcome.PARTLY_APPROVED,
        "A3": Outcome.DENIED,
        "A4": Outcome.PENDED,
        "A6": Outcome.MODIFIED,
        "C": Outcome.CANCELLED,
        "CT": Outcome.CONTACT_PAYER,
        "NA": Outcome.NOT_REQUIRED,
    }
)
"""X12 306 (HCR01) by meaning. Whatever is not here is `unknown`."""

AUTHORIZES = frozenset({Outcome.APPROVED, Outcome.PARTLY_APPROVED, Outcome.MODIFIED})
"""Outcomes by which something is authorized: their number is a certification number, and their dates a validity."""

INFORMATION_REQUIRED = "0U"
"""X12 886: the payer wants to see more."""
DUPLICATE = "0Q"
"""X12 886: the payer has the request already. It refuses the copy, and says nothing of the service."""
QUESTIONNAIRE = "102089-0"
"""LOINC: not a document but a DTR questionnaire is asked for; its context is the line's trace number (PAS 2.2.1)."""

NOT_FOUND = frozenset({"AA"})
"""X12 901: there is no such authorization (confirm). An inquiry may be answered with it."""
NOT_IDENTIFIED = frozenset({"64", "65", "66", "67", "68", "71", "72", "73", "74", "75", "76", "77", "78"})
"""X12 901: the payer does not know this patient or subscriber, so it can hold no request for them."""

SERVICE_TYPES = MappingProxyType(
    {
        Category.CONSULT: "3",
        Category.CT: "4",
        Category.BONE_SCAN: "4",
        Category.EMG: "73",
        Category.VENOUS_DOPPLER: "73",
        Category.OTHER: "1",
    }
)
"""X12 1365 (UM03): 1 medical care, 3 consultation, 4 imaging, 73 diagnostic medical (4 and 73: confirm)."""

UNIT_KINDS = MappingProxyType({"visit": "VS", "day": "DY"})
"""X12 673 (HSD01); every other kind is sent as units, FL (confirm)."""
UNITS = "FL"

ROLE_ORDERING, ROLE_RENDERING, ROLE_FACILITY = "DK", "SJ", "FA"
"""X12 98 (NM101) of the care team: ordering physician, service provider, facility (confirm)."""
ROLE_PAYER, ROLE_PROVIDER = "PR", "1P"

DOCUMENT_TYPES = MappingProxyType(
    {
        "order": "57133-1",
        "office_note": "11506-3",
        "imaging_report": "18748-4",
        "procedure_note": "28570-0",
    }
)
"""LOINC document types by our kinds: referral note, progress note, diagnostic imaging study, procedure note."""
DOCUMENT_TYPE = "34109-9"
"""LOINC: a note, of whatever kind."""

REPORT_TYPES = MappingProxyType({"order": "B3", "office_note": "09", "imaging_report": "DG"})
"""X12 755 (PWK01): physician order, progress report, diagnostic report."""
REPORT_TYPE = "PY"
"""X12 755: a physician's report."""

REASONS = MappingProxyType(
    {
        "09": "out of network",
        "9": "out of network",
        "0B": "an external reviewer decides",
        "0C": "access is restricted",
        "0D": "needs the primary care physician's authorization",
        "0F": "not medically necessary",
        "0G": "another level of care",
        "0H": "needs no certification",
        "0J": "an external reviewer is responsible",
        "0L": "over the plan's maximum",
        "0M": "not covered",
        "0N": "was not approved before",
        "0P": "what was asked for did not come",
        "0Q": "a duplicate of another request",
        "0R": "does not go with the diagnosis",
        "0T": "experimental",
        "0U": "wants to see more about the patient",
        "0V": "goes to medical review",
        "0W": "the review is under way",
        "12": "the patient is bound to another provider",
        "13": "authorized for another provider",
        "14": "against the plan's guidelines",
        "15": "outside of the plan's area",
        "16": "the wrong kind of facility",
        "17": "not in time",
        "19": "cosmetic",
        "44": "failed conservative treatment is not documented",
    }
)
"""X12 886 (HCR03), those that are met often."""
