"""Canonicals, code systems and code lists that PAS uses, as data with their sources.

Sources: HL7 Da Vinci PAS 2.2.1 and 2.0.1 (packages `hl7.fhir.us.davinci-pas`), HL7 Terminology; X12 code lists by their
URLs. X12's texts are not ours to copy: what stands beside a code is our own word for it. Entries marked (confirm) come
from general knowledge and are to be compared with the payer's companion guide before they are relied on.
"""

from types import MappingProxyType

from domain.order import Relationship

# Canonicals (PAS 2.2.1; 2.0.1 has the same, without `profile-documentreference` and `extension-documentInformation`).
PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
TOPIC = "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic"
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"

COVERAGE_INFORMATION = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
"""CRD: what the payer's own rules said of an order."""
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

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

RELATIONS = MappingProxyType(
    {
        Relationship.SELF: ("self", "18"),
        Relationship.SPOUSE: ("spouse", "01"),
        Relationship.CHILD: ("child", "19"),
        Relationship.OTHER: ("other", "G8"),
    }
)
"""The patient's relation to the subscriber: HL7 subscriber-relationship and X12 1069."""
