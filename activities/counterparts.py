"""From a practice's configuration to the clients of its systems: NextGen, Luma, check-in, eligibility.

Secrets are supplied by name: `<practice>.ehr`, `<practice>.messaging`, `<practice>.check_in`, and for eligibility the
name that the practice's configuration gives.
"""

import hashlib

from activities.outside import Outside
from connectors.clearwave import Clearwave
from connectors.eligibility import EligibilityClient
from connectors.luma import Luma, LumaAccess
from connectors.nextgen import NextGen, NextGenAccess, NextGenSession
from connectors.nextgen_fhir import NextGenFhir
from connectors.tokens import TokenCache
from runtime.practices import Practice

_EHR_BYTES = 40 * 1024 * 1024
_ELIGIBILITY_SECONDS = 70.0


class Counterparts:
    """Makes clients for one practice's systems. Tokens are kept for as long as this object lives."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._tokens = TokenCache()

    def nextgen(self, practice: Practice) -> NextGen:
        """The practice's record. Raises `MissingSecret` where its secret is not supplied."""
        return NextGen(self._session(practice))

    def nextgen_fhir(self, practice: Practice) -> NextGenFhir:
        """The FHIR side of the practice's record."""
        return NextGenFhir(self._session(practice), self._url(practice.ehr.fhir_url))

    def luma(self, practice: Practice) -> Luma:
        """The practice's messaging."""
        access = LumaAccess(
            base_url=self._url(practice.messaging.base_url),
            client_id=practice.messaging.client_id,
            secret=self._secret(f"{practice.id}.messaging"),
        )
        return Luma(self._outside.http("messaging"), access, self._tokens)

    def check_in(self, practice: Practice) -> Clearwave:
        """The practice's check-in drop."""
        secret = self._secret(f"{practice.id}.check_in")
        url = self._url(practice.check_in.url)
        return Clearwave(self._outside.http("check_in"), url, practice.check_in.key_id, secret)

    def eligibility(self, practice: Practice) -> EligibilityClient:
        """The practice's eligibility clearinghouse."""
        http = self._outside.http("eligibility", read_seconds=_ELIGIBILITY_SECONDS)
        return EligibilityClient(http, self._url(practice.eligibility.url), self._secret(practice.eligibility.key))

    def _session(self, practice: Practice) -> NextGenSession:
        ehr = practice.ehr
        access = NextGenAccess(
            base_url=self._url(ehr.base_url),
            token_url=self._url(ehr.token_url),
            site_id=ehr.site_id,
            enterprise_id=ehr.enterprise_id,
            practice_id=ehr.practice_id,
            client_id=ehr.client_id,
            secret=self._secret(f"{practice.id}.ehr"),
            time_zone=practice.time_zone,
            capabilities={name: capability.value for name, capability in ehr.capabilities.items()},
        )
        return NextGenSession(self._outside.http("ehr", max_bytes=_EHR_BYTES), access, self._tokens)

    def _url(self, url: str) -> str:
        return self._outside.settings.resolve_url(url)

    def _secret(self, name: str) -> str:
        return self._outside.settings.secret(name).get_secret_value()


def marker(case_id: str, *what: str | int) -> str:
    """Our key for one effect of a case, the same for every try, by which it is found again. It says nothing by itself."""
    return "vigil-" + hashlib.sha256("\n".join([case_id, *map(str, what)]).encode()).hexdigest()[:20]
