"""The check of a payer behind a gateway: the token, and the field rules that the gateway publishes for the payer.

Nothing else of the API can be asked without a patient. Source: Availity Configurations 1.0.0.
"""

from http import HTTPStatus

from connectors.errors import Refused
from connectors.gateway.client import GatewayClient
from connectors.gateway.configurations import read_configuration
from connectors.gateway.words import REFERRAL, REVIEW
from connectors.offer import Offer
from domain.policy_rules import Ability

_KINDS = {REVIEW: "reviews", REFERRAL: "referrals"}


async def check(client: GatewayClient, payer_code: str) -> Offer:
    """Look whether the gateway has the payer's rules for reviews and referrals. Documents are not taken by it.

    Raises:
        Unreachable, Busy: it cannot be looked at now.
        Refused: it does not let this practice in, or does not answer the question.
    """
    known: list[str] = []
    for kind, word in _KINDS.items():
        answer = await client.configuration(payer_code, kind)
        if answer.status != HTTPStatus.OK:
            raise Refused(f"configurations:{answer.status}")
        if read_configuration(answer) is not None:
            known.append(f"{word} ({kind})")
    says = f"field rules of {payer_code} for {', '.join(known)}" if known else f"no field rules of {payer_code}"
    offers = frozenset({Ability.SUBMIT}) if known else frozenset()
    return Offer(says=(says,), offers=offers, lacks=frozenset({Ability.ATTACH}))
