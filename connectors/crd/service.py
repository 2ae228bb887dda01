"""What a payer's CDS service offers: which hook it answers, what it wants to have fetched before, which CRD it speaks.

Source: CDS Hooks 2.0 "Discovery"; Da Vinci CRD 2.2.1, `davinci-crd.version`.
"""

import re
from collections.abc import Mapping

from connectors.lenient import Json, objects, raw
from domain.base import Frozen

_MOST_TEMPLATES = 40
_ID = re.compile(r"^[A-Za-z0-9._~-]{1,120}$")
_COMMON: Mapping[str, str] = {
    "patient": "Patient/{{context.patientId}}",
    "coverage": "Coverage?patient={{context.patientId}}&status=active",
    "serviceRequests": "ServiceRequest?",
    "practitioners": "Practitioner?",
    "practitionerRoles": "PractitionerRole?",
    "organizations": "Organization?",
    "locations": "Location?",
}
"""What is sent to a service that does not say what it wants: the keys of CRD 2.2.1's example services."""


class Service(Frozen):
    """One service of a payer."""

    id: str
    hook: str
    prefetch: Mapping[str, str] = _COMMON
    """Templates by key. Which resources they ask for is read off their beginning; they are not evaluated."""
    versions: tuple[str, ...] = ()


def services(body: Json) -> tuple[Service, ...]:
    """Return the services of a discovery's answer that can be called; what is not one is left out."""
    found = []
    for given in objects(body.get("services")):
        if not _ID.match(raw(given.get("id"))) or not raw(given.get("hook")):
            continue
        templates = given.get("prefetch")
        wanted = (
            {key[:100]: value for key, value in list(templates.items())[:_MOST_TEMPLATES] if isinstance(value, str)}
            if isinstance(templates, dict)
            else {}
        )
        extension = given.get("extension")
        said = extension.get("davinci-crd.version") if isinstance(extension, dict) else None
        versions = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        found.append(
            Service(
                id=given["id"],
                hook=given["hook"],
                prefetch=wanted or _COMMON,
                versions=tuple(version for version in versions[:10] if isinstance(version, str)),
            )
        )
    return tuple(found)
