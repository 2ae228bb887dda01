"""Codes and words of the gateway's JSON, as data with their sources.

Sources: Availity Service Reviews 2.0.0 and Configurations 1.0.0 (their swaggers), Availity's API guide; X12 code lists by
their numbers. The swagger gives codes no lists: entries marked (confirm) are to be compared with the gateway's portal.
"""

import re
from types import MappingProxyType

from domain.decision import Ending
from domain.order import Relationship, Sex, Urgency

SCOPE = "healthcare-hipaa-transactions healthcare-hipaa-transactions-standard"
"""Product and plan of live transactions: the scope, not the host, decides that they are live."""
DEMO_SCOPE = "healthcare-hipaa-transactions healthcare-hipaa-transactions-demo"
"""Product and plan of canned answers."""
MOCK_HEADER = "X-Api-Mock-Response"
"""`true` on every canned answer."""
TRANSACTION_HEADER = "X-Availity-Transaction-ID"

REVIEW, REFERRAL = "HS", "SC"
"""X12 1525 (UM01): health services review, specialty care review (a referral)."""
LEVELS = MappingProxyType({Urgency.URGENT: "U", Urgency.STAT: "03"})
"""X12 1338 (UM06): urgent, emergency."""

PRINCIPAL, FURTHER = "ABK", "ABF"
"""X12 1270: the principal diagnosis in ICD-10-CM, and every other."""
PROCEDURE = "HC"
"""X12 235: CPT and HCPCS."""
QUANTITY_TYPES = MappingProxyType({"visit": "VS", "day": "DY"})
"""X12 673; every other kind is sent as units (confirm)."""
UNITS = "UN"

GENDERS = MappingProxyType({Sex.FEMALE: "F", Sex.MALE: "M", Sex.OTHER: "U", Sex.UNKNOWN: "U"})
"""X12 1068."""
RELATIONSHIPS = MappingProxyType(
    {Relationship.SELF: "18", Relationship.SPOUSE: "01", Relationship.CHILD: "19", Relationship.OTHER: "G8"}
)
"""X12 1069."""

TRACE_NOTE = "Trace number "
"""Begins the provider note that carries our trace: no field of the swagger is the submitter's own."""
ASSERTION_NOTE = "Coverage assertion "
MAX_NOTE = 264
"""Characters of a note (X12 MSG01)."""

ENDINGS = MappingProxyType(
    {
        "VO": Ending.VOIDED,
        "VOID": Ending.VOIDED,
        "VOIDED": Ending.VOIDED,
        "CLOSED": Ending.CLOSED,
        "WITHDRAWN": Ending.WITHDRAWN,
    }
)
"""Status codes and texts, in capitals, by which a request has ended without a decision (confirm). They never approve."""
OBJECTS = re.compile(
    r"\b(?:not (?:certified|approved|authorized)|non-?certified|den(?:y|ied|ial)|pend(?:ed|ing)?|reject(?:ed|ion)|"
    r"cancel(?:l?ed)?|void(?:ed)?|withdrawn|in (?:progress|review))\b",
    re.IGNORECASE,
)
"""Status texts that an approval by its code cannot have (confirm): by both together nothing is sure."""

_REVIEW = (
    "additionalServiceTypes admissionSource admissionSourceCode admissionType admissionTypeCode "
    "beginningSubluxationLevel beginningSubluxationLevelCode certificationEffectiveDate "
    "certificationExpirationDate certificationIssueDate certificationNumber chiropracticTreatmentCount "
    "controlNumber createdDate customerId deletable diagnoses endingSubluxationLevel endingSubluxationLevelCode "
    "expirationDate fromDate homeHealthCertificationPeriodEndDate homeHealthCertificationPeriodStartDate "
    "homeHealthStartDate id nursingHomeResidentialStatus nursingHomeResidentialStatusCode oxygenDailyUseCount "
    "oxygenDeliverySystemType oxygenDeliverySystemTypeCode oxygenEquipmentType oxygenEquipmentTypeCode "
    "oxygenFlowRate oxygenOrderText oxygenUsePeriodHourCount patient payer payerNotes placeOfService "
    "placeOfServiceCode procedures providerNotes quantity quantityType quantityTypeCode referenceNumber "
    "renderingProviders requestType requestTypeCode requestingProvider serviceLevel serviceLevelCode serviceType "
    "serviceTypeCode shortFormIndicator spinalCondition spinalConditionCode spinalConditionDescription status "
    "statusCode statusReasons subscriber supplementalInformation toDate traceNumbers transportDistance "
    "transportLocations transportPurpose transportType transportTypeCode updatable updatableFields updatedDate "
    "userId validationMessages "
)
REVIEW_FIELDS = frozenset(_REVIEW.split())
_PROCEDURE = (
    "certificationEffectiveDate certificationExpirationDate certificationIssueDate certificationNumber code "
    "description fromDate modifier1 modifier2 modifier3 modifier4 modifierCode1 modifierCode2 modifierCode3 "
    "modifierCode4 notes qualifier qualifierCode quantity quantityType quantityTypeCode revenueCode revenueValue "
    "status statusCode statusReasons toDate traceNumbers value "
)
PROCEDURE_FIELDS = frozenset(_PROCEDURE.split())
"""The fields of the model. Beside another one no decision is inherited from the whole: it may be a damaged one's."""
