"""The check of a payer's DTR service: its CapabilityStatement, which says whether it gives out forms."""

from datetime import timedelta

from connectors.dtr.package import FHIR_JSON
from connectors.oauth import Access
from connectors.offer import Offer
from connectors.pas.capability import PATH, read_statement

_DTR = "davinci-dtr"
_PACKAGE = "questionnaire-package"


async def check(access: Access, base_url: str, within: timedelta) -> Offer:
    """Look whether the payer says that it gives out forms.

    Raises:
        Unreachable, Busy: it cannot be looked at now.
        Refused: it does not let this practice in, or has no statement.
        NotUnderstood: what came is no statement.
    """
    said = read_statement(await access.ask("GET", f"{base_url.rstrip('/')}/{PATH}", FHIR_JSON, None, within))
    version = said.version_of(_DTR)
    named = any(_PACKAGE in name.lower() for name in said.operations)
    package = f"operation ${_PACKAGE}" if named else f"${_PACKAGE} is not named in its statement"
    return Offer(says=(f"DTR {version}" if version else "no version of DTR named", package), version=version)
