"""The house's rules: what the practice and Vigil hold to where no payer's rule speaks. Data, like payers': `policies/house.yaml`.

A case pins them with its payers' rules. One that has none yet, or was opened before there were any, is planned by
`UNPINNED`, which says as little as a plan needs.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cached_property
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from domain.base import Frozen, Name
from domain.calendars import Span
from domain.order import Urgency
from domain.policy import SLICE_LIMIT, Policy, PolicyError, parse_policy
from domain.policy_rules import ByUrgency, Effective, Evidence, Rule, Word

HOUSE = "house"
"""What stands in place of a payer's id."""


class Rests(Rule):
    """How long Vigil rests between its tries at something out of reach; after the last a person is asked."""

    routine: tuple[Span, ...] = Field(max_length=10)
    urgent: tuple[Span, ...] = Field(max_length=10)
    stat: tuple[Span, ...] = Field(max_length=10)

    def of(self, urgency: Urgency) -> tuple[Span, ...]:
        """The rests of an urgency."""
        rests: tuple[Span, ...] = getattr(self, urgency.value)
        return rests


class FollowUp(Rule):
    """How often to ask a payer whose rules nobody has written down, and after which silence somebody is told."""

    every: ByUrgency
    max_silence: ByUrgency
    thins: int = Field(
        default=20,
        ge=2,
        le=1000,
        description="After a long wait the next look comes only when this part of it has passed again: 20 is a twentieth. "
        "So what lies for months does not fill its case.",
    )


class TaskTime(Rule):
    """How much time people have for a task where no payer's rule says so."""

    due: ByUrgency
    lease_minutes: int = Field(ge=5, le=480)


class VisitWatch(Rule):
    """How the visit is watched where no payer's rule says so, and looked for afterwards."""

    notify_patient: Span = Field(description="How long before it the patient hears that the authorization is missing.")
    first_chance: Span = Field(description="What an order has at least before anybody is alarmed about its visit.")
    look_again: Span = Field(description="How long after its start a visit is looked for as kept, and how often again.")
    looks: int = Field(ge=1, le=10, description="How often Vigil looks; then a person says.")
    ask_again: Span = Field(
        description="When a visit that somebody looked into and did not settle is asked about again."
    )


class ClaimRest(Rule):
    """At most one inquiry in this time because of callbacks that could not be verified."""

    rest: Span


class EscalationRule(Rule):
    """Whom an unmet obligation goes to, one after the other, and when who acted is asked again."""

    rungs: tuple[Name, ...] = Field(min_length=1, max_length=5)
    remind: Span


class DocumentCodes(Rule):
    """By which codes payers ask to see our kinds of documents (LOINC, X12 755)."""

    kinds: dict[Word, tuple[Word | Name, ...]]

    def kind_of(self, code: str) -> str | None:
        """The kind of document that a code asks for; None where nobody has said."""
        return next((kind for kind, codes in self.kinds.items() if code in codes), None)


class HouseRules(Frozen):
    """All rules of the house."""

    schema_version: Literal[1]
    payer: Literal["house"]
    verify_every: Span
    sources: dict[Word, Evidence] = Field(default={}, description="Evidence that rules share; not kept.")
    rests: Rests
    follow_up: FollowUp
    tasks: TaskTime
    visits: VisitWatch
    claims: ClaimRest
    escalation: EscalationRule
    documents: DocumentCodes

    @model_validator(mode="after")
    def _fits_a_case(self) -> Self:
        size = len(self.model_dump_json().encode())
        if size > SLICE_LIMIT:
            msg = f"the rules have {size} bytes, more than {SLICE_LIMIT}; shorten texts"
            raise ValueError(msg)
        return self

    @cached_property
    def digest(self) -> str:
        """The rules' content address: SHA-256, in hexadecimal, over their canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def rules(self) -> Iterator[tuple[str, Rule]]:
        """Every rule with the name of its section."""
        for name in HouseRules.model_fields:
            if isinstance(rule := getattr(self, name), Rule):
                yield name, rule


def parse_house(data: object, *, name: str) -> HouseRules:
    """Read the house's rules from parsed YAML; `name` is what the file is called in messages. Raises `PolicyError`."""
    if not isinstance(data, Mapping):
        raise PolicyError([f"{name}: the file must be one mapping of fields; see docs/policies.md"])
    try:
        return HouseRules.model_validate(data).model_copy(update={"sources": {}})
    except ValidationError as wrong:
        raise PolicyError.of(wrong, name) from wrong


def parse_rules(data: object, *, name: str) -> Policy | HouseRules:
    """Read a payer's policy or the house's rules, whichever the parsed YAML is. Raises `PolicyError`."""
    if isinstance(data, Mapping) and data.get("payer") == HOUSE:
        return parse_house(data, name=name)
    return parse_policy(data, name=name)


def _same(span: str) -> ByUrgency:
    return ByUrgency(routine=Span.parse(span), urgent=Span.parse(span), stat=Span.parse(span))


def _unpinned() -> HouseRules:
    said = {
        "source": "Vigil, for cases without rules of the house",
        "verified_on": date(2026, 1, 1),
        "effective": Effective.model_validate({"from": date(2026, 1, 1)}),
    }
    hour, day, week = Span.parse("1 hour"), Span.parse("1 day"), Span.parse("7 days")
    return HouseRules(
        schema_version=1,
        payer=HOUSE,
        verify_every=Span.parse("365 days"),
        rests=Rests(id="unpinned-rests", routine=(hour, hour), urgent=(hour,), stat=(), **said),
        follow_up=FollowUp(id="unpinned-follow-up", every=_same("1 day"), max_silence=_same("5 days"), **said),
        tasks=TaskTime(id="unpinned-tasks", due=_same("4 hours"), lease_minutes=60, **said),
        visits=VisitWatch(
            id="unpinned-visits",
            notify_patient=Span.parse("2 days"),
            first_chance=hour,
            look_again=day,
            looks=1,
            ask_again=week,
            **said,
        ),
        claims=ClaimRest(id="unpinned-claims", rest=hour, **said),
        escalation=EscalationRule(id="unpinned-escalation", rungs=("the lead",), remind=week, **said),
        documents=DocumentCodes(id="unpinned-documents", kinds={}, **said),
    )


UNPINNED = _unpinned()
"""By what a case without pinned rules of the house is planned."""
