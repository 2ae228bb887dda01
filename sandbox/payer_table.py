"""The payers as data: which Da Vinci PAS version each speaks, how it numbers, and how long an approval is good.

A payer that speaks no PAS has an empty version, and its PAS endpoints answer 404; another payer is one more row.
`keystone-sf` has no row on purpose: it is worked by portal and fax.
"""

from dataclasses import dataclass

from sandbox.records import NotificationContent


@dataclass(frozen=True)
class PayerProfile:
    """One payer. `pas_version` is empty where it has no PAS endpoint.

    `validity_days` are calendar days from the first day of service.
    """

    id: str
    name: str
    pas_version: str
    number_prefix: str
    notification_content: NotificationContent
    subscription_filter: str = "org-identifier"
    validity_days: int = 90

    @property
    def is_2_2(self) -> bool:
        """Whether answers have the shapes of PAS 2.2.1 rather than of 2.0.1."""
        return self.pas_version == "2.2.1"


ALL_PAYERS: dict[str, PayerProfile] = {
    row.id: row
    for row in (
        PayerProfile("meridian-ppo", "Meridian PPO", "2.2.1", "MPA", "full-resource"),
        PayerProfile("cedar-ppo", "Cedar PPO", "2.2.1", "CPA", "full-resource"),
        PayerProfile("summit-ma", "Summit Medicare Advantage", "2.0.1", "SMA", "id-only", "orgIdentifier", 60),
        PayerProfile("harbor-hmo", "Harbor HMO", "", "HHA", "id-only"),
        PayerProfile("bluestem-mco", "Bluestem Community Plan", "", "BCA", "id-only", validity_days=60),
    )
}
"""Every payer that reviews electronically, by whatever rail."""

PAYERS: dict[str, PayerProfile] = {row.id: row for row in ALL_PAYERS.values() if row.pas_version}
"""Those with a PAS endpoint."""
