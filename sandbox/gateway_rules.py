"""The payers behind the gateway: how it names them, and their own field rules as its Configurations API publishes them.

Shape: Availity Configurations 1.0.0. The rules themselves are invented; the two payers differ in them.
"""

from sandbox.records import Json

PAYER_CODES = {"HARBR": "harbor-hmo", "MERID": "meridian-ppo"}
KINDS = {"HS": "Outpatient Authorization", "AR": "Inpatient Authorization", "SC": "Referral"}

_MEMBER = {
    "type": "Object",
    "label": "Subscriber",
    "required": True,
    "elements": {
        "memberId": {
            "type": "Text",
            "label": "Member ID",
            "required": True,
            "minLength": 6,
            "maxLength": 20,
            "pattern": "^[A-Za-z0-9-]+$",
            "errorMessage": "Enter the member ID as it stands on the card.",
        }
    },
}
_PLACES = [{"id": code, "value": text} for code, text in (("11", "Office"), ("22", "Hospital"), ("24", "Surgery"))]

_HARBOR: Json = {
    "subscriber": _MEMBER,
    "serviceTypeCode": {
        "type": "Enumeration",
        "label": "Service Type",
        "required": True,
        "values": "/v1/service-types",
    },
    "placeOfServiceCode": {"type": "Enumeration", "label": "Place of Service", "required": True, "values": _PLACES},
    "diagnoses": {
        "type": "ObjectArray",
        "label": "Diagnosis",
        "required": True,
        "repeats": True,
        "maxRepeats": 6,
        "elements": {"code": {"type": "Text", "label": "Diagnosis Code", "required": True, "maxLength": 8}},
    },
    "procedures": {
        "type": "ObjectArray",
        "label": "Procedure",
        "requiredWhen": {"requestTypeCode": {"containedIn": ["HS", "AR"]}},
        "repeats": True,
        "maxRepeats": 5,
        "elements": {
            "code": {"type": "Text", "label": "Procedure Code", "required": True, "pattern": "^[0-9A-Z]{5}$"},
            "quantity": {"type": "Number", "label": "Quantity", "required": True, "maxLength": 3},
        },
    },
    "providers": {
        "type": "Section",
        "label": "Providers",
        "elements": {
            "renderingProviders": {
                "type": "ObjectArray",
                "label": "Provider",
                "required": True,
                "maxRepeats": 3,
                "elements": {
                    "specialtyCode": {
                        "type": "Text",
                        "label": "Specialty",
                        "requiredWhen": {"roleCode": {"equalTo": "DK"}},
                        "notRequiredWhen": {"requestTypeCode": {"equalTo": "SC"}},
                    }
                },
            }
        },
    },
    "notice": {"type": "Information", "label": "Urgent requests are decided within 72 hours."},
}
_MERIDIAN: Json = {
    "subscriber": _MEMBER,
    "requestingProvider": {
        "type": "Object",
        "label": "Requesting Provider",
        "required": True,
        "elements": {
            "contactName": {"type": "Text", "label": "Contact", "required": True, "maxLength": 60},
            "phone": {"type": "Text", "label": "Phone", "required": True, "pattern": "^[0-9]{10}$"},
        },
    },
    "diagnoses": {"type": "ObjectArray", "label": "Diagnosis", "required": True, "maxRepeats": 4, "elements": {}},
    "providerNotes": {
        "type": "ObjectArray",
        "label": "Note",
        "requiredWhen": {"serviceLevelCode": {"containedIn": ["U", "03"]}},
        "maxRepeats": 5,
        "elements": {"message": {"type": "Text", "label": "Note", "required": True, "maxLength": 264}},
    },
    "admissionTypeCode": {
        "type": "Text",
        "label": "Admission Type",
        "allowedWhen": {"requestTypeCode": {"equalTo": "AR"}},
    },
}
_COMBINED = {
    "patient": [
        ["patient.lastName", "patient.firstName", "patient.birthDate"],
        ["subscriber.memberId", "patient.birthDate"],
    ]
}
_ELEMENTS = {"HARBR": _HARBOR, "MERID": _MERIDIAN}


def configurations(payer: str | None, kind: str | None) -> list[Json]:
    """The rules of a payer for a type of request; without a payer all of them, abbreviated."""
    found: list[Json] = []
    for code in [payer] if payer else list(PAYER_CODES):
        if code not in PAYER_CODES:
            continue
        for subtype in [kind] if kind else list(KINDS):
            head = {
                "type": "service-reviews",
                "subtypeId": subtype,
                "subtypeValue": KINDS.get(subtype, ""),
                "payerId": code,
                "version": "1",
            }
            whole = {"elements": _ELEMENTS[code], "requiredFieldCombinations": _COMBINED}
            found.append({**head, **whole} if payer else head)
    return found


def validation_messages(payer: str, body: Json) -> list[Json]:
    """What the payer itself refuses of a request: it takes no more of anything than its rules say."""
    elements = dict(_ELEMENTS[payer])
    for section in [element for element in elements.values() if element["type"] == "Section"]:
        elements.update(section["elements"])
    found: list[Json] = []
    for name, element in elements.items():
        given = body.get(name)
        if isinstance(given, list) and len(given) > element.get("maxRepeats", 99):
            text = f"No more than {element['maxRepeats']} are accepted."
            found.append({"field": name, "code": "", "errorMessage": text, "index": element["maxRepeats"]})
        elif element.get("required") and not given:
            found.append({"field": name, "code": "", "errorMessage": "This field is required.", "index": 0})
    return found
