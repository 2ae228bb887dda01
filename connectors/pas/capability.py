"""What a FHIR server says of itself (`metadata`), and the check of a payer's PAS endpoint by it.

Source: FHIR R4 CapabilityStatement; PAS 2.2.1 and 2.0.1, the operations `Claim/$submit` and `Claim/$inquire`; CDex 2.1.0,
`$submit-attachment`. It is read with the practice's token, so that the credentials are proven too.
"""

from http import HTTPStatus

from connectors.errors import NotUnderstood, Refused
from connectors.lenient import Json, NotJson, objects, parse, raw, text
from connectors.offer import Offer
from connectors.pas.client import PasClient
from connectors.raw import RawAnswer
from domain.base import Frozen
from domain.policy_rules import Ability

PATH = "metadata"
_PAS = "davinci-pas"
_ABILITIES = {
    Ability.SUBMIT: ("Claim/submit", "Claim/Claim-submit"),
    Ability.INQUIRE: ("Claim/inquire", "Claim/inquiry", "Claim/Claim-inquiry"),
    Ability.ATTACH: ("/submit-attachment",),
}
"""How servers call the operations: by name, and by the last word of their definition."""
_MOST = 40


class Statement(Frozen):
    """What a CapabilityStatement says, as far as it concerns us."""

    fhir_version: str | None
    software: str | None
    guides: tuple[str, ...]
    """Canonicals of implementation guides, with their versions where it names them."""
    operations: frozenset[str]
    """`Claim/submit`; those of the server as a whole without a type, and of any type without it too."""
    has_claims: bool
    """Whether it lists operations on Claim at all."""

    def version_of(self, guide: str) -> str | None:
        """The version of a guide that it names, or None."""
        named = next((one for one in self.guides if guide in one and "|" in one), None)
        return named.rpartition("|")[2][:20] if named else None


def read_statement(answer: RawAnswer) -> Statement:
    """Read an answer to `metadata`.

    Raises:
        Refused: another status than 200.
        NotUnderstood: no CapabilityStatement.
    """
    media_type = answer.media_type or "application/octet-stream"
    if answer.status != HTTPStatus.OK:
        raise Refused(f"{PATH}:{answer.status}")
    try:
        found = parse(answer.body)
    except NotJson:
        raise NotUnderstood(f"{PATH}:not_fhir", answer.body, media_type) from None
    if found.get("resourceType") != "CapabilityStatement":
        raise NotUnderstood(f"{PATH}:no_capability_statement", answer.body, media_type)
    operations: set[str] = set()
    for rest in objects(found.get("rest")):
        operations |= _named("", rest)
        for resource in objects(rest.get("resource")):
            operations |= _named(raw(resource.get("type")), resource) | _named("", resource)
    software = found.get("software")
    return Statement(
        fhir_version=text(found.get("fhirVersion"), 20),
        software=text(software.get("name"), 80) if isinstance(software, dict) else None,
        guides=_strings(found.get("implementationGuide")) + _strings(found.get("instantiates")),
        operations=frozenset(operations),
        has_claims=any(name.startswith("Claim/") for name in operations),
    )


async def check(client: PasClient) -> Offer:
    """Look at a payer's PAS endpoint. Updates and cancels go by `$submit`; no statement tells of them.

    Raises:
        Unreachable, Busy: it cannot be looked at now.
        Refused: it does not let this practice in, or has no statement.
        NotUnderstood: what came is no statement.
    """
    said = read_statement(await client.read(PATH))
    offers = {ability for ability, names in _ABILITIES.items() if said.operations & set(names)}
    # An attachment may be taken by another server; that this one does not name it says nothing.
    lacks = {Ability.SUBMIT, Ability.INQUIRE} - offers if said.has_claims else set()
    version = said.version_of(_PAS)
    sentences = [
        f"FHIR {said.fhir_version}" if said.fhir_version else "",
        f"PAS {version}" if version else "no version of PAS named",
        said.software or "",
        "operations " + ", ".join(f"${name.rpartition('/')[2]}" for name in sorted(said.operations) if name[0] != "/")
        if said.has_claims
        else "no operations on Claim named",
    ]
    return Offer(
        says=tuple(one for one in sentences if one), version=version, offers=frozenset(offers), lacks=frozenset(lacks)
    )


def _named(kind: str, holder: Json) -> set[str]:
    found: set[str] = set()
    for operation in objects(holder.get("operation"))[:_MOST]:
        definition = raw(operation.get("definition")).partition("|")[0].rpartition("/")[2]
        for name in (raw(operation.get("name")).lstrip("$"), definition):
            if name:
                found.add(f"{kind}/{name}"[:80])
    return found


def _strings(values: object) -> tuple[str, ...]:
    given = values if isinstance(values, list) else []
    return tuple(one for value in given[:_MOST] if (one := text(value, 200)))
