"""Duty: nothing unknown is lost: facts that this release does not know, and orders that changed under a request."""

from datetime import datetime

from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import TaskKind
from domain.policy import TaskKind as TaskRuleKind
from domain.rules.asking import Asks, Person, allow


def stewardship(case: Case, now: datetime) -> Asks:
    """A person looks at what Vigil cannot place."""
    allowed = allow(case, now, case.policies.get(case.order.primary.payer), TaskRuleKind.REVIEW)
    for fact in case.unknown:
        yield Person(
            key=f"review_unknown/{fact.ref}",
            kind=TaskKind.REVIEW,
            stage=Stage.REQUIREMENT,
            turn=Turn.OPERATOR,
            title=f"This release does not know facts of the kind {fact.kind}. See what it says and act on it.",
            due=allowed.due,
            rule=allowed.rule,
            cause=fact.ref,
        )
    changed = case.changed
    if changed is None:
        return
    for key in sorted(case.tracks):
        since = case.tracks[key].attempt.since
        if since is not None and (changed.recorded_at or changed.occurred_at) > since:
            yield Person(
                key=f"review_change/{key}/{changed.ref}",
                kind=TaskKind.REVIEW,
                stage=Stage.DECISION,
                turn=Turn.STAFF,
                title="The order changed after the payer was asked. Compare, and amend the request or order it sent anew.",
                due=allowed.due,
                rule=allowed.rule,
                lease_minutes=allowed.lease_minutes,
                track=key,
                cause=changed.ref,
            )
