"""The payers as data: which Da Vinci PAS version each speaks, how it numbers, and how long an approval is good.

A payer's authorization numbers and the references of its pends have forms of their own, so that nobody takes one for the
other. No rail here gives a provisional number: payers give those by voice.

A payer that speaks no PAS has an empty version, and its PAS endpoints answer 404; another payer is one more row.
`keystone-sf` has no row on purpose: it is worked by portal and fax.
"""

from dataclasses import dataclass

from sandbox.records import NotificationContent


@dataclass(frozen=True)
class PayerProfile:
    """One payer. `pas_version` is empty where it has no PAS endpoint.

    `certification` and `reference` are the forms of its authorization numbers and of the references of what is pended.
    `validity_days` are calendar days from the first day of service.
    """

    id: str
    name: str
    pas_version: str
    certification: str
    reference: str
    notification_content: NotificationContent
    subscription_filter: str = "org-identifier"
    signs: bool = True
    """Whether it signs its notifications; else it sends the channel's header along, and no more."""
    validity_days: int = 90

    def certification_number(self, count: int) -> str:
        """An authorization number."""
        return self.certification.format(count)

    def reference_number(self, count: int) -> str:
        """The reference of a request that is held, never an authorization."""
        return self.reference.format(count)

    @property
    def is_2_2(self) -> bool:
        """Whether answers have the shapes of PAS 2.2.1 rather than of 2.0.1."""
        return self.pas_version == "2.2.1"


ALL_PAYERS: dict[str, PayerProfile] = {
    row.id: row
    for row in (
        PayerProfile("meridian-ppo", "Meridian PPO", "2.2.1", "A2{:08}", "REF-2{:07}", "full-resource"),
        PayerProfile("cedar-ppo", "Cedar PPO", "2.2.1", "A4{:08}", "PND4{:07}", "full-resource"),
        PayerProfile(
            id="summit-ma",
            name="Summit Medicare Advantage",
            pas_version="2.0.1",
            certification="SM{:08}",
            reference="SMP{:07}",
            notification_content="id-only",
            subscription_filter="orgIdentifier",
            signs=False,
            validity_days=60,
        ),
        PayerProfile("harbor-hmo", "Harbor HMO", "", "HHA{:07}", "HHAP{:06}", "id-only"),
        PayerProfile(
            "bluestem-mco", "Bluestem Community Plan", "", "BCA{:07}", "BCAP{:06}", "id-only", validity_days=60
        ),
    )
}
"""Every payer that reviews electronically, by whatever rail."""

PAYERS: dict[str, PayerProfile] = {row.id: row for row in ALL_PAYERS.values() if row.pas_version}
"""Those with a PAS endpoint."""
