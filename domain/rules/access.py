"""Duty: when a payer's portal, phone or fax does not let the practice in, say so, see that it is restored, and go round it.

What a person reported holds until another reports that it works. An urgent case takes the payer's next way at once; a
routine one waits for the access, which is a supervisor's task with its own time (`domain.rules.channels` chooses).
"""

from datetime import datetime

from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import ChannelReported, TaskKind
from domain.policy import PolicySlice
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, allow

RESTORE = "restore_access"
"""The first word of the task's key."""

_WHY = {
    "credentials": "it does not take our user name and password",
    "second_factor": "we do not have its second factor",
    "down": "it is down",
}


def access(case: Case, now: datetime) -> Asks:
    """For each channel of a payer that is still needed and does not let us in: a supervisor restores it."""
    payers = {track.requirement.payer for track in case.tracks.values() if not track.is_ready}
    for report in sorted(case.channels.values(), key=lambda report: report.n):
        if report.state == "working" or report.payer not in payers:
            continue
        policy = case.policies.get(report.payer)
        yield Person(
            key=f"{RESTORE}/{report.rail}/{report.ref}",
            kind=TaskKind.REVIEW,
            stage=Stage.SUBMISSION,
            turn=Turn.STAFF,
            title=f"For the supervisor: {no_way_in(policy, report)}. Restore the access and report that it works.",
            checklist=(
                "Sign in yourself; renew the password or the second factor where that is what fails.",
                "Where the system is down, ask the payer until when.",
                "Report it as working, or what else is wrong with it.",
            ),
            time=allow(case, now, policy, WorkKind.REVIEW),
            track=report.track,
            rail=report.rail,
            cause=report.ref,
        )


def troubled(case: Case, payer: str, rail: str) -> ChannelReported | None:
    """The report that a channel does not let us in; None where nobody says so."""
    report = case.channels.get(channel_key(payer, rail))
    return report if report is not None and report.state != "working" else None


def no_way_in(policy: PolicySlice | None, report: ChannelReported) -> str:
    """Why a channel cannot be used, as a clause: "the portal of … does not let us in: …"."""
    name = policy.name if policy else report.payer
    return f"the {report.rail} of {name} does not let us in: {_WHY.get(report.state, report.state)}"


def channel_key(payer: str, rail: str) -> str:
    """Under which key a case keeps what was reported of a channel."""
    return f"{payer}/{rail}"
