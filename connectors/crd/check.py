"""The check of a payer's CDS Hooks services: their discovery, which asks nothing about anybody."""

from connectors.crd.client import CrdClient
from connectors.offer import Offer


async def check(client: CrdClient) -> Offer:
    """Look which hooks the payer answers, and by which CRD.

    Raises:
        Unreachable, Busy: it cannot be looked at now.
        Refused: it does not let this practice in, or has no discovery.
    """
    offered = await client.services()
    hooks = ", ".join(dict.fromkeys(one.hook[:40] for one in offered))
    versions = ", ".join(dict.fromkeys(version[:20] for one in offered for version in one.versions))
    return Offer(
        says=(f"hooks {hooks}" if hooks else "no hooks", f"CRD {versions}" if versions else "no version of CRD named"),
        version=versions or None,
    )
