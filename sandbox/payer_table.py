"""The payers as data: which Da Vinci PAS version each speaks, how it numbers, and how long an approval is good.

A payer id that is not in the table is answered with 404; another payer is one more row. `keystone-sf` has no row on
purpose: it is worked by portal and fax.
"""

from dataclasses import dataclass

from sandbox.records import NotificationContent


@dataclass(frozen=True)
class PayerProfile:
    """One payer's PAS endpoint. `validity_days` are calendar days from the first day of service."""

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


PAYERS: dict[str, PayerProfile] = {
    row.id: row
    for row in (
        PayerProfile("meridian-ppo", "Meridian PPO", "2.2.1", "MPA", "full-resource"),
        PayerProfile("summit-ma", "Summit Medicare Advantage", "2.0.1", "SMA", "id-only", "orgIdentifier", 60),
    )
}
