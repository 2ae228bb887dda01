"""Asks about a coverage by a 270 in real time, where the payer's rules say so. It is a question: asked again, it harms nothing.

By which way is a matter of transport and decides nothing: it is taken from the rules in force, not from those that a case pinned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from uuid import uuid4

from activities.counterparts import marker
from activities.outside import Outside
from activities.pas import requester
from activities.x12_exchange import Carriers, Numbers, numbered, payer_of
from connectors.eligibility import Eligibility
from connectors.errors import Refused
from connectors.raw import RawAnswer
from connectors.x12.benefits import read_benefits
from connectors.x12.core import Message, PayloadType
from connectors.x12.eligibility import asked_of, eligibility_request
from domain.actions import VerifyCoverage
from domain.policy import Policy
from domain.policy_rules import Channel, Rail, in_effect
from runtime.practices import Practice
from store.control_numbers import Use


@dataclass(frozen=True)
class Way:
    """The payer's name, and its channel at the clearinghouse."""

    name: str
    channel: Channel


class X12Eligibility:
    """Asks payers behind a clearinghouse. `policy_of` gives the rules in force by payer."""

    def __init__(self, outside: Outside, numbers: Numbers, policy_of: Callable[[str], Policy | None]) -> None:
        self._numbers = numbers
        self._policy_of = policy_of
        self._carriers = Carriers(outside)

    def way(self, payer: str, today: date) -> Way | None:
        """Return how a payer is asked by X12, or None where its rules do not say so.

        Raises:
            Refused: they say so, and name no X12 channel.
        """
        policy = self._policy_of(payer)
        rules = in_effect(policy.eligibility, today) if policy is not None else ()
        if policy is None or not rules or max(rules, key=lambda rule: rule.effective.since).rail != "x12":
            return None
        channel = next((one for one in in_effect(policy.channels, today) if one.rail is Rail.X12), None)
        if channel is None or channel.base_url is None or channel.via is None:
            raise Refused("policy:no_x12_channel")
        return Way(policy.name, channel)

    async def ask(
        self, way: Way, action: VerifyCoverage, practice: Practice, on: date
    ) -> tuple[Eligibility, RawAnswer]:
        """Ask how the coverage stands on a day, and return what the answer says, and the answer.

        Raises:
            Unreachable, Busy: the payer could not be asked.
            Refused: the clearinghouse does not let the practice in, or does not take the question.
        """
        order, channel = action.order, way.channel
        trace = marker(action.case_id, action.key)
        use = Use(practice=practice.id, carrier=channel.via or "", kind="eligibility", trace=trace, sent_at=action.now)
        _, controls = await numbered(self._numbers, use)
        question = eligibility_request(
            order,
            action.rank,
            requester(practice),
            payer_of(way.name, channel),
            on=on,
            trace=trace,
            at=action.now,
            controls=controls,
        )
        client = self._carriers.client(practice, channel, channel.base_url or "")
        message = Message(
            payload_type=PayloadType.ELIGIBILITY, payload_id=str(uuid4()), payload=question, at=action.now
        )
        answer = await client.real_time(message, writes=False)
        asked = asked_of(order, action.rank, trace)
        return read_benefits(answer.body, order.lines[0].category, asked), answer
