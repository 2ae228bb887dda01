"""Duty: nothing unknown is lost: facts that this release does not know, and orders that changed under a request."""

import re
from datetime import datetime

from domain.base import Stage, Turn
from domain.case import Case
from domain.facts import TaskKind
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, allow


def stewardship(case: Case, now: datetime) -> Asks:
    """A person looks at what Vigil cannot place."""
    allowed = allow(case, now, case.policies.get(case.order.primary.payer), WorkKind.REVIEW)
    for fact in case.unknown:
        yield Person(
            key=f"review_unknown/{fact.ref}",
            kind=TaskKind.REVIEW,
            stage=Stage.REQUIREMENT,
            turn=Turn.OPERATOR,
            title=f"This release does not know facts of the kind {_named(fact.kind)}. See what it says and act on it.",
            time=allowed,
            cause=fact.ref,
            again=None,
        )
    for key in sorted(case.tracks):
        track = case.tracks[key]
        if track.changed and track.attempt.reached_payer and track.attempt.ended is None:
            yield Person(
                key=f"review_change/{key}/{track.changed}",
                kind=TaskKind.REVIEW,
                stage=Stage.DECISION,
                turn=Turn.STAFF,
                title="The order changed after the payer was asked. Compare, and have the request changed or sent anew.",
                time=allowed,
                track=key,
                cause=track.changed,
            )


def _named(kind: str) -> str:
    """A kind as far as it is a plain word: what comes from outside may say anything."""
    return kind if re.fullmatch(r"[a-z_]{1,60}", kind) else "(see the fact)"
