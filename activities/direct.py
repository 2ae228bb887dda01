"""The Direct rail: a packet as a Direct message, from the practice's address (`sender`) to the payer's (`receiver`).

Secrets are supplied as `<practice>.<via>`, by the name that the policy has for the HISP.
"""

from typing import ClassVar, Literal

from activities.delivery import Addressed, Ask, DeliveryRail
from connectors.direct import DirectClient
from connectors.errors import Refused
from domain.policy_rules import Channel, Rail
from runtime.practices import Practice


class DirectRail(DeliveryRail):
    """Requests by Direct."""

    rail: ClassVar[Rail] = Rail.DIRECT
    receipt: ClassVar[Literal["fax_report", "acknowledgment"]] = "acknowledgment"

    def _addressed(self, action: Ask, practice: Practice, channel: Channel) -> Addressed:
        if channel.sender is None or channel.receiver is None:
            raise Refused(f"policy:no_direct_address:{action.policy.payer}")
        carrier = self.carrier(practice, channel)
        return Addressed(carrier, channel.sender, channel.receiver, f"Direct message to {channel.receiver}")

    def carrier(self, practice: Practice, channel: Channel) -> DirectClient:
        """Return a practice's account at a channel's HISP. Raises `MissingSecret`."""
        settings, via = self._outside.settings, channel.via or "hisp"
        return DirectClient(
            self._outside.http(f"direct {via}"),
            settings.resolve_url(channel.base_url or ""),
            practice.id,
            settings.secret(f"{practice.id}.{via}"),
        )
