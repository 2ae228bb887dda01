"""Which way a request takes to its payer: by the payer's order of channels, what each takes, how it is, and the urgency.

An attempt goes on to the next channel only where surely nothing was taken up on the one before, and never goes back.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.attempt import Attempt
from domain.calendars import Calendar, Span
from domain.case import Case
from domain.decision import Outcome
from domain.facts import TaskKind
from domain.order import Urgency
from domain.policy import PolicySlice
from domain.policy_rules import Ability, Channel, Rail
from domain.rules.access import troubled
from domain.rules.asking import Effort, EffortState, effort
from domain.track import Track

BREAKER_OPEN = "breaker_open"
"""The error of an action that was not sent because its channel is out of order for everybody."""
_CHANNELS_FAULT = re.compile(
    r"policy:.*|rail_unknown.*|practice_unknown|core:.*|not_granted:.*|token:.*|[a-z_.]+:40[134]|([A-Z][a-z]+)+"
)
"""Refusals that are not the request's: no such rail or way in, no credentials, a wrong setting or address."""


CARRIED = frozenset({Rail.FAX, Rail.DIRECT})
"""Rails on which a carrier delivers, and says only that."""


@dataclass(frozen=True)
class Way:
    """The way that a request takes now."""

    channel: Channel | None
    """None: no channel is left, so a person calls."""
    down_until: datetime | None = None
    """When the channel's maintenance is over, where it has to be waited for."""
    is_held: bool = False
    """Whether it does not let people in, and the case can wait until that is mended."""


def channel_of(policy: PolicySlice | None, rail: str | None) -> Channel | None:
    """The payer's channel of a rail, if it has one."""
    return next((channel for channel in policy.channels if channel.rail == rail), None) if policy else None


def automatic(policy: PolicySlice | None, rail: str | None, ability: Ability) -> Channel | None:
    """The channel of a rail where Vigil can do that by itself; None where a person has to."""
    channel = channel_of(policy, rail)
    return channel if channel is not None and channel.is_automatic and ability in channel.can else None


def looked_for_by(policy: PolicySlice | None, rail: str) -> Channel | None:
    """The channel by which Vigil can look whether a request arrived: it asks the payer, or who carried the paper."""
    channel = channel_of(policy, rail)
    carried = channel is not None and channel.is_automatic and channel.rail in CARRIED
    return channel if carried else automatic(policy, rail, Ability.INQUIRE)


def down_until(now: datetime, channel: Channel, policy: PolicySlice) -> datetime | None:
    """When the maintenance that a channel is in is over; None outside of it."""
    return channel.down_until(now, Calendar(time_zone=policy.time_zone).zone)


def rests_of(case: Case, channel: Channel) -> Sequence[Span] | None:
    """The rests between tries on a channel; None where the house's count."""
    return channel.rests.get(case.order.urgency) if channel.rests else None


def submit_cause(track: Track, attempt: int, rail: str) -> str:
    """The cause under which an attempt is sent on a rail."""
    return f"submit/{track.key}/{attempt}/{rail}"


def sending(case: Case, now: datetime, track: Track, attempt: Attempt, channel: Channel) -> Effort:
    """Where the tries at sending an attempt on a channel stand."""
    return effort(case, now, submit_cause(track, attempt.number, channel.rail), rests_of(case, channel))


def way(case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice) -> Way:
    """The channel that an attempt goes by now."""
    channels = candidates(track, attempt, policy)
    begun = [place for place, channel in enumerate(channels) if _is_begun(case, now, track, attempt, channel)]
    left = [one for one in channels[max(begun, default=0) :] if not _is_out(case, now, track, attempt, one)]
    if not left:
        return Way(None)
    down = {channel.id: down_until(now, channel, policy) for channel in left}
    if case.order.urgency is not Urgency.ROUTINE:
        waits = sending(case, now, track, attempt, left[0]).state is not EffortState.IN_FLIGHT
        first_open = next((channel for channel in left if down[channel.id] is None), None)
        if waits and first_open is not None:
            return Way(first_open)
    return Way(left[0], down[left[0].id], is_held=troubled(case, policy.payer, left[0].rail) is not None)


def candidates(track: Track, attempt: Attempt, policy: PolicySlice) -> list[Channel]:
    """The channels that an attempt may go by, the preferred first; an update goes by the channel that has the request."""
    if updates(track, attempt.number, policy):
        former = track.attempts[attempt.number - 1]
        return [channel for channel in policy.channels if channel.rail == former.rail]
    return [channel for channel in policy.channels if Ability.SUBMIT in channel.can]


def updates(track: Track, number: int, policy: PolicySlice | None) -> bool:
    """Whether an attempt is an update of the one before: ordered as one, and the payer takes one of what it has."""
    former = track.attempts.get(number - 1)
    return number in track.updates and former is not None and may_be_updated(former, policy)


def may_be_updated(attempt: Attempt, policy: PolicySlice | None) -> bool:
    """Whether the payer has a request that it denied nothing of, on a channel by which Vigil can change it."""
    denied = any(line.decision is Outcome.DENIED for line in attempt.lines.values())
    there = attempt.reached_payer and attempt.ended is None and not attempt.is_unfound
    return there and not denied and automatic(policy, attempt.rail, Ability.UPDATE) is not None


def refusals(
    case: Case, now: datetime, track: Track, attempt: Attempt, policy: PolicySlice
) -> Iterator[tuple[Channel, str]]:
    """The channels that let nobody in, each with the code that it said so by."""
    for channel in policy.channels:
        standing = sending(case, now, track, attempt, channel)
        if _is_refused_by_channel(standing) and standing.ended:
            yield channel, standing.ended.error or "refused"


def _is_refused_by_channel(standing: Effort) -> bool:
    error = standing.ended.error if standing.ended else None
    return standing.state is EffortState.REFUSED and bool(error) and is_channels_fault(error or "")


def is_channels_fault(code: str) -> bool:
    """Whether a refusal is the channel's, whatever the request says: an operator mends it, and the request goes another way."""
    return _CHANNELS_FAULT.fullmatch(code) is not None


def _is_begun(case: Case, now: datetime, track: Track, attempt: Attempt, channel: Channel) -> bool:
    """Whether Vigil has tried it, or somebody works on it or has."""
    if case.actions.get(submit_cause(track, attempt.number, channel.rail)):
        return True
    return any(
        task.opened.task_kind is TaskKind.SUBMIT_REQUEST
        and (task.opened.track, task.opened.attempt, task.opened.rail) == (track.key, attempt.number, channel.rail)
        and (task.completed is not None or task.holder(now) is not None)
        for task in case.tasks.values()
    )


def _is_out(case: Case, now: datetime, track: Track, attempt: Attempt, channel: Channel) -> bool:
    """Whether nothing can be taken up on it: out of reach for too long, or it lets nobody in."""
    hasty = case.order.urgency is not Urgency.ROUTINE
    if hasty and troubled(case, track.requirement.payer, channel.rail) is not None:
        return True
    standing = sending(case, now, track, attempt, channel)
    if standing.state is EffortState.GAVE_UP or _is_refused_by_channel(standing):
        return True
    broken = (
        standing.ended is not None and standing.ended.failure == "exhausted" and standing.ended.error == BREAKER_OPEN
    )
    return broken and standing.state is not EffortState.IN_FLIGHT and hasty


def shown_rail(rail: str) -> str:
    """A rail as far as it is one of ours: what comes from outside may say anything."""
    return rail if rail in set(Rail) else "see the case"
