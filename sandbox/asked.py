"""What a payer was asked, in words that no rail owns: each rail's reader of the sandbox ends in an `Asked`.

It is an independent reading: what came by X12, by gateway JSON or by FHIR can be laid side by side with what was meant
to be sent. Codes are X12's own where all rails carry them (1069 relationship, 755 report type); an empty string, None
or an empty tuple means that the message did not say it.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

Kind = Literal["request", "update", "cancel", "inquiry", "attachment", "eligibility"]
Urgency = Literal["routine", "urgent", "stat"]
SELF = "18"
"""Relationship (X12 1069) of a subscriber who is the patient."""


@dataclass(frozen=True)
class Person:
    """A subscriber or a patient.

    `family`, `given`: as sent, without surrounding spaces; several given names are joined by one space.
    `birth_date`: None where the message does not say it.
    `sex`: `F`, `M` or `U` (X12 1068).
    `relationship`: X12 1069, to the subscriber; `18` for the subscriber.
    """

    family: str
    given: str = ""
    birth_date: date | None = None
    sex: str = ""
    relationship: str = SELF


@dataclass(frozen=True)
class AskedLine:
    """One service that is asked for.

    `sequence`: its place in the request, from 1, the same for the line over updates.
    `code`: CPT or HCPCS, upper case. `modifiers`: in their order, at most four.
    `units`: how many; 1 where the message does not say it. `counted`: of what, where not plain units (X12 673: VS, DY).
    `place_of_service`: two digits (CMS), the event's own where the line has none.
    `service_type`: X12 1365, where the line says it.
    `date_from`, `date_to`: first and last day of service; the same for a single day; None where no day is named.
    """

    sequence: int
    code: str
    modifiers: tuple[str, ...] = ()
    units: float = 1
    place_of_service: str = ""
    date_from: date | None = None
    date_to: date | None = None
    counted: str = ""
    service_type: str = ""


@dataclass(frozen=True)
class AskedDocument:
    """A document that is announced or inside.

    `control_number`: ties the document to the request (X12 PWK06). `report_type`: X12 755 (PWK01), or the LOINC code
    under which it is sent. `sha256`: of the content, lower-case hex, where the content is inside; else None.
    """

    control_number: str
    report_type: str = ""
    sha256: str | None = None


@dataclass(frozen=True)
class Asked:
    """A message to a payer as the payer understands it.

    `kind`: what is wanted. An `update` changes what was asked before (also an extension or a renewal).
    `trace`: the sender's identifier of the request (X12 TRN02), the same over retries.
    `originator`: who gave the trace (X12 TRN03), verbatim.
    `payer`: how the rail names the payer, verbatim.
    `requester_npi`, `requester_name`: who asks; the name of an organization, or `FAMILY, GIVEN` of a person.
    `member_id`: the subscriber's id, verbatim.
    `subscriber`: the insured person. `patient`: only where the patient is a dependent, else None.
    `ordering_npi`, `rendering_npi`, `facility_npi`: providers that the message names in that role.
    `diagnoses`: ICD-10-CM without the dot, upper case, the principal one first.
    `urgency`: as far as the rail can say: `stat` is an emergency (UM06 03), `urgent` UM06 U.
    `referral`: asks for a referral (UM01 SC), not for a review.
    `lines`: in the order of the message. `documents`: announced (PWK), inside, or attached.
    `prior_numbers`: the payer's numbers of what was asked before (REF BB and NT), in their order.
    `message`: why it cannot wait, or what else the sender says in words.
    `assertion`: the payer's own word that it rests on (CRD coverage-assertion-id).
    `service_types`: X12 1365 codes; only for eligibility.
    """

    kind: Kind
    trace: str
    payer: str
    member_id: str
    subscriber: Person
    originator: str = ""
    patient: Person | None = None
    requester_npi: str = ""
    requester_name: str = ""
    ordering_npi: str = ""
    rendering_npi: str = ""
    facility_npi: str = ""
    diagnoses: tuple[str, ...] = ()
    urgency: Urgency = "routine"
    referral: bool = False
    lines: tuple[AskedLine, ...] = ()
    documents: tuple[AskedDocument, ...] = ()
    prior_numbers: tuple[str, ...] = ()
    message: str = ""
    assertion: str = ""
    service_types: tuple[str, ...] = ()

    @property
    def scenario(self) -> str:
        """The last three digits of the member id: what the sandbox plays."""
        digits = "".join(letter for letter in self.member_id if letter.isdigit())
        return digits[-3:]

    @property
    def person(self) -> Person:
        """Who is treated."""
        return self.patient or self.subscriber

    @property
    def service_key(self) -> str:
        """Patient, services and dates as one string: two requests with the same are duplicates, by whatever rail."""
        services = sorted(f"{line.code}@{line.date_from or ''}" for line in self.lines) or list(self.diagnoses)
        return "|".join([self.member_id, *services])
