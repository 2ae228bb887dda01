"""Canonicals, code systems and code lists that PAS uses, as data with their sources.

Sources: HL7 Da Vinci PAS 2.2.1 and 2.0.1 (packages `hl7.fhir.us.davinci-pas`), HL7 Terminology; X12 code lists by their
URLs. X12's texts are not ours to copy: what stands beside a code is our own word for it. Entries marked (confirm) come
from general knowledge and are to be compared with the payer's companion guide before they are relied on.
"""

from types import MappingProxyType

from domain.decision import Outcome
from domain.order import Category, Relationship

# Canonicals (PAS 2.2.1; 2.0.1 has the same, without `profile-documentreference` and `extension-documentInformation`).
PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
TOPIC = "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic"
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"

# Code systems.
PAS_CODES = "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes"
X12 = "https://codesystem.x12.org/005010/"
X12_ACTION = f"{X12}306"
"""HCR01: the decision."""
ACTION_SYSTEMS = frozenset({X12_ACTION, "http://codesystem.x12.org/005010/306", "https://codesystem.x12.org/306"})
"""The spellings of it that are read."""
X12_REASON = "https://codesystem.x12.org/external/886"
"""HCR03."""
X12_REQUEST = f"{X12}1525"
X12_CERTIFICATION = f"{X12}1322"
X12_LEVEL = f"{X12}1338"
X12_SERVICE_TYPE = f"{X12}1365"
X12_RELATION = f"{X12}1069"
X12_ENTITY = f"{X12}98"
X12_REPORT = f"{X12}755"
X12_TRANSMISSION = f"{X12}756"
X12_QUANTITY = f"{X12}673"
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
NPI = "http://hl7.org/fhir/sid/us-npi"
EIN = "http://terminology.hl7.org/NamingSystem/USEIN"
"""Tax id: the system that the PAS organization profiles fix."""
TAXONOMY = "http://nucc.org/provider-taxonomy"
PLACE = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
PAYER_ID_TYPE = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBIdentifierType"
HL7 = "http://terminology.hl7.org/CodeSystem/"
IDENTIFIER_TYPE = f"{HL7}v2-0203"
NOTE_CATEGORY = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"

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
QUESTIONNAIRE = "102089-0"
"""LOINC: not a document but a DTR questionnaire is asked for; its context is the line's trace number (PAS 2.2.1)."""

NOT_FOUND = frozenset({"AA"})
"""X12 901: there is no such authorization (confirm). An inquiry may be answered with it."""
NOT_IDENTIFIED = frozenset({"64", "65", "66", "67", "68", "71", "72", "73", "74", "75", "76", "77", "78"})
"""X12 901: the payer does not know this patient or subscriber, so it can hold no request for them."""

RELATIONS = MappingProxyType(
    {
        Relationship.SELF: ("self", "18"),
        Relationship.SPOUSE: ("spouse", "01"),
        Relationship.CHILD: ("child", "19"),
        Relationship.OTHER: ("other", "G8"),
    }
)
"""The patient's relation to the subscriber: HL7 subscriber-relationship and X12 1069."""

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
