"""Who takes part in a request, as FHIR resources of the PAS profiles: patient, coverage, payer, practice, providers.

Sources: PAS 2.2.1 `profile-beneficiary`, `-subscriber`, `-coverage`, `-insurer`, `-requestor`, `-organization`,
`-practitioner`, `-practitionerrole`. Elements that the practice does not know are left out, never made up.
"""

import re
import uuid

from pydantic import Field

from connectors.codes import ROLE_PAYER, ROLE_PROVIDER
from connectors.lenient import Json
from connectors.pas.identity import NAMESPACE
from connectors.pas.words import (
    EIN,
    HL7,
    IDENTIFIER_TYPE,
    NPI,
    PAS,
    PAYER_ID_TYPE,
    RELATIONS,
    TAXONOMY,
    X12_ENTITY,
    X12_RELATION,
)
from connectors.requester import Requester
from domain.base import Frozen, Key, Name
from domain.order import Address, Coverage, Facility, Patient, Provider, luhn_valid


class PasPayer(Frozen):
    """The payer as it calls itself in PAS."""

    id: Key
    name: Name
    identifier: Key = Field(description="The organization's identifier, an NPI or the payer's own id.")
    sender: Key | None = Field(default=None, description="Whom it knows us as (X12 ISA06, GS02), where it says.")
    receiver: Key | None = Field(default=None, description="How it is addressed itself (X12 ISA08, GS03).")

    @property
    def member_system(self) -> str:
        """The system of its member ids: PAS wants one, and payers publish none, so it is an opaque one of our own."""
        return f"urn:uuid:{uuid.uuid5(NAMESPACE, f'members of {self.id}')}"

    @property
    def id_system(self) -> str:
        """The system of payer ids, opaque for the same reason."""
        return f"urn:uuid:{uuid.uuid5(NAMESPACE, 'payer ids')}"

    @property
    def number_system(self) -> str:
        """The system of the numbers that it gives (control and reference numbers), opaque for the same reason."""
        return f"urn:uuid:{uuid.uuid5(NAMESPACE, f'numbers of {self.id}')}"


def concept(system: str, code: str) -> Json:
    """Return a CodeableConcept of one code."""
    return {"coding": [{"system": system, "code": code}]}


def resource(kind: str, profile: str | None, **elements: object) -> Json:
    """Return a resource that claims a PAS profile, without elements that are None or empty."""
    made: Json = {"resourceType": kind}
    if profile is not None:
        made["meta"] = {"profile": [f"{PAS}{profile}"]}
    return made | {name: value for name, value in elements.items() if value not in (None, [], {}, "")}


def member(payer: PasPayer, coverage: Coverage) -> Json:
    """Return the member id as an identifier."""
    return {"type": concept(IDENTIFIER_TYPE, "MB"), "system": payer.member_system, "value": coverage.member_id}


def payer_identifier(payer: PasPayer) -> Json:
    """Return the payer's identifier: its NPI where it is one, else its own id."""
    return _payer_identifiers(payer)[0]


def _payer_identifiers(payer: PasPayer) -> list[Json]:
    own = {"type": concept(PAYER_ID_TYPE, "payerid"), "system": payer.id_system, "value": payer.identifier}
    if re.fullmatch(r"[0-9]{10}", payer.identifier) and luhn_valid(payer.identifier):
        return [{"system": NPI, "value": payer.identifier}, own]
    return [own]


def _phone(number: str | None, system: str = "phone") -> list[Json]:
    return [{"system": system, "value": number, "use": "work"}] if number else []


def _address(address: Address) -> Json:
    return {
        "line": [address.line],
        "city": address.city,
        "state": address.state,
        "postalCode": address.postal_code,
        "country": "US",
    }


def patient(person: Patient, coverage: Coverage, payer: PasPayer) -> Json:
    """Return the beneficiary."""
    return resource(
        "Patient",
        "profile-beneficiary",
        identifier=[member(payer, coverage)],
        name=[{"family": person.family_name, "given": [person.given_name]}],
        telecom=[{"system": "phone", "value": person.phone}] if person.phone else None,
        gender=person.sex.value,
        birthDate=person.birth_date.isoformat(),
        address=[_address(person.address)] if person.address else None,
        communication=[{"language": concept("urn:ietf:bcp:47", person.language)}],
    )


def subscriber(coverage: Coverage, payer: PasPayer) -> Json:
    """Return the subscriber, where that is not the patient. Of the sex the practice knows nothing."""
    return resource(
        "Patient",
        "profile-subscriber",
        identifier=[member(payer, coverage)],
        name=[{"family": coverage.subscriber_family_name, "given": [coverage.subscriber_given_name]}],
        gender="unknown",
        birthDate=coverage.subscriber_birth_date.isoformat() if coverage.subscriber_birth_date else None,
    )


def coverage_of(coverage: Coverage, payer: PasPayer, urls: dict[str, str]) -> Json:
    """Return the coverage; `urls` name `patient`, `payer` and, where there is one, `subscriber`."""
    relation, x12 = RELATIONS[coverage.relationship]
    classes: list[Json] = []
    if coverage.group_number:
        classes.append({"type": concept(f"{HL7}coverage-class", "group"), "value": coverage.group_number})
    if coverage.plan_name:
        classes.append({"type": concept(f"{HL7}coverage-class", "plan"), "value": coverage.plan_name})
    return resource(
        "Coverage",
        "profile-coverage",
        identifier=[member(payer, coverage)],
        status="active",
        subscriber={"reference": urls["subscriber"]} if "subscriber" in urls else None,
        subscriberId=coverage.member_id,
        beneficiary={"reference": urls["patient"]},
        relationship={
            "coding": [
                {"system": f"{HL7}subscriber-relationship", "code": relation},
                {"system": X12_RELATION, "code": x12},
            ]
        },
        payor=[{"reference": urls["payer"]}],
        **{"class": classes},
    )


def insurer(payer: PasPayer) -> Json:
    """Return the payer's organization."""
    return resource(
        "Organization",
        "profile-insurer",
        identifier=_payer_identifiers(payer),
        active=True,
        type=[concept(X12_ENTITY, ROLE_PAYER)],
        name=payer.name,
    )


def requestor(practice: Requester) -> Json:
    """Return the practice, which asks."""
    contact = {"name": {"text": practice.contact}, "telecom": _phone(practice.contact_phone)}
    return resource(
        "Organization",
        "profile-requestor",
        identifier=[{"system": NPI, "value": practice.npi}, {"system": EIN, "value": practice.tax_id}],
        active=True,
        type=[concept(X12_ENTITY, ROLE_PROVIDER)],
        name=practice.name,
        telecom=_phone(practice.phone),
        address=[_address(practice.address)],
        contact=[{name: value for name, value in contact.items() if value}] if practice.contact else None,
    )


def facility(place: Facility) -> Json:
    """Return the facility where the service is given."""
    return resource(
        "Organization",
        "profile-organization",
        identifier=[{"system": NPI, "value": place.npi}],
        active=True,
        name=place.name,
        telecom=[*_phone(place.phone), *_phone(place.fax, "fax")],
        address=[_address(place.address)],
    )


def practitioner(person: Provider, practice: Requester | None) -> Json:
    """Return a clinician; of one who belongs to the practice its address and telephone are known."""
    phone = person.phone or (practice.phone if practice is not None else None)
    return resource(
        "Practitioner",
        "profile-practitioner",
        identifier=[{"system": NPI, "value": person.npi}],
        name=[{"family": person.family_name, "given": [person.given_name]}],
        telecom=[*_phone(phone), *_phone(person.fax, "fax")],
        address=[_address(practice.address)] if practice is not None else None,
    )


def role(person: Provider, practice: Requester, urls: dict[str, str]) -> Json:
    """Return a clinician's role; `urls` name the `practitioner` and, for one of the practice, the `organization`."""
    return resource(
        "PractitionerRole",
        "profile-practitionerrole",
        practitioner={"reference": urls["practitioner"]},
        organization={"reference": urls["organization"]} if "organization" in urls else None,
        specialty=[concept(TAXONOMY, person.taxonomy)] if person.taxonomy else None,
        telecom=[*_phone(person.phone or practice.phone), *_phone(person.fax, "fax")],
    )
