"""The Subscription by which a payer tells a practice its answers: one for each organization, not for each request.

Source: PAS 2.2.1 `profile-subscription`; HL7 Subscriptions R5 Backport for R4.
"""

from connectors.pas.fhir import Json
from connectors.pas.parties import resource
from connectors.pas.words import BACKPORT, TOPIC


def subscription(endpoint: str, organization: str, filter_name: str, secret: str) -> Json:
    """Return the Subscription for a practice's answers: rest-hook, with the whole answer in each notification.

    `filter_name` is `org-identifier` or `orgIdentifier`, as the payer has it: the specification's text and its topic
    disagree. `secret` is what the payer sends back in `X-Webhook-Secret`, or signs with.
    """
    criteria = {"url": f"{BACKPORT}backport-filter-criteria", "valueString": f"{filter_name}={organization}"}
    content = {"url": f"{BACKPORT}backport-payload-content", "valueCode": "full-resource"}
    return resource(
        "Subscription",
        "profile-subscription",
        status="requested",
        reason="Answers to prior authorization requests of this organization.",
        criteria=TOPIC,
        _criteria={"extension": [criteria]},
        channel={
            "type": "rest-hook",
            "endpoint": endpoint,
            "payload": "application/fhir+json",
            "_payload": {"extension": [content]},
            "header": [f"X-Webhook-Secret: {secret}"],
        },
    )
