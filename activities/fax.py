"""The fax rail: a packet by a fax service, where the payer's policy names one (`base_url`); else a person faxes.

Secrets are supplied as `<practice>.<via>`, by the name that the policy has for the fax service. Where the API can be reached
from outside (`public_url`), the service is asked to call back; its word only makes the case look.
"""

from typing import ClassVar, Literal

from activities.delivery import Addressed, Ask, DeliveryRail
from connectors.errors import Refused
from connectors.fax import FaxClient, e164
from domain.policy_rules import Channel, Rail
from runtime.practices import Practice


class FaxRail(DeliveryRail):
    """Requests by fax."""

    rail: ClassVar[Rail] = Rail.FAX
    receipt: ClassVar[Literal["fax_report", "acknowledgment"]] = "fax_report"

    def _addressed(self, action: Ask, practice: Practice, channel: Channel) -> Addressed:
        number = channel.receiver or action.policy.contacts.fax
        if number is None:
            raise Refused("policy:no_fax_number")
        to = e164(number)
        return Addressed(self.carrier(practice, channel), e164(channel.sender or practice.fax), to, f"fax to {to}")

    def carrier(self, practice: Practice, channel: Channel) -> FaxClient:
        """Return a practice's account at a channel's fax service. Raises `MissingSecret`."""
        settings, via = self._outside.settings, channel.via or "neutral"
        callback = f"{settings.public_url.rstrip('/')}/v1/webhooks/fax/{via}" if settings.public_url else None
        return FaxClient(
            self._outside.http(f"fax {via}"),
            settings.resolve_url(channel.base_url or ""),
            practice.id,
            settings.secret(f"{practice.id}.{via}"),
            via,
            callback,
        )
