"""The fax rail: a packet by a fax service, where the payer's policy names one (`base_url`); else a person faxes.

Secrets are supplied as `<practice>.<via>`, by the name that the policy has for the fax service.
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
        settings, via, to = self._outside.settings, channel.via or "neutral", e164(number)
        client = FaxClient(
            self._outside.http(f"fax {via}"),
            settings.resolve_url(channel.base_url or ""),
            practice.id,
            settings.secret(f"{practice.id}.{via}"),
            via,
        )
        return Addressed(client, e164(channel.sender or practice.fax), to, f"fax to {to}")
