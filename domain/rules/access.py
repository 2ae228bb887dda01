"""Duty: when a payer's portal, phone or fax does not let the practice in, say so, see that it is restored, and go round it.

What a person reported holds until another reports that it works, in this case or in any other of the practice: a case
whose request waits for it asks again and again. An urgent case takes the payer's next way at once; a routine one waits for the
access (`domain.rules.channels` chooses). The supervisor's task is in the case where it was reported, with its own time; where
it was only heard of, there is one when that time is over.
"""

from datetime import datetime

from domain.actions import AskAccess
from domain.base import Stage, Turn
from domain.case import Case
from domain.clocks import ClockKind, start
from domain.facts import ChannelReported, TaskKind
from domain.policy import PolicySlice
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Look, Person, Waiting, allow, common, later, thinned
from domain.track import Track

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
    asking = {track.requirement.payer for track in case.tracks.values() if not _has_it(track)}
    for report in sorted(case.channels.values(), key=lambda report: report.n):
        if report.state == "working" or report.payer not in payers:
            continue
        policy = case.policies.get(report.payer)
        if report.payer in asking:
            yield from _ask(case, now, report)
        since = report.recorded_at or report.occurred_at
        time = allow(case, since, policy, WorkKind.REVIEW)
        if report.is_heard and now < time.due:
            why = no_way_in(policy, report)
            why = (
                f"{why[:1].upper()}{why[1:]}. A supervisor restores it: the task is in the case where it was reported."
            )
            yield Waiting(Stage.SUBMISSION, Turn.STAFF, why)
            yield start(
                key=f"access/{report.rail}/{report.ref}",
                kind=ClockKind.HOLD,
                label="By then the access should be restored; else it is this case's own task.",
                at=since,
                due=time.due,
                rule=time.rule,
                waiting_for=Turn.STAFF,
                track=report.track,
            )
            continue
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


def _has_it(track: Track) -> bool:
    return track.is_ready or not track.lines_required or track.attempt.reached_payer


def _ask(case: Case, now: datetime, report: ChannelReported) -> Asks:
    """Ask what is known of it elsewhere, at the rests of the house; the last one again and again."""
    rests = case.house.rests.of(case.order.urgency)
    prefix = f"ask_access/{report.rail}/{report.ref}/"
    asked = [tries[-1] for cause, tries in case.actions.items() if cause.startswith(prefix)]
    if not rests or any(one.ended is None for one in asked):  # none before the house's rules are known
        return
    since = report.recorded_at or report.occurred_at
    last = max((one.ended.recorded_at or one.ended.occurred_at for one in asked if one.ended), default=since)
    due = thinned(case, later(case, last, rests[min(len(asked), len(rests) - 1)]), last, since)
    if now < due:
        yield Look(due)
        return
    yield AskAccess(
        **common(case, now, f"{prefix}{len(asked) + 1}/1"),
        track=report.track,
        payer_id=report.payer,
        rail=report.rail,
        known=report.state,
        since=report.occurred_at,
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
