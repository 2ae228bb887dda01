"""People's work."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from domain.base import Instant, Key, Sentence, Turn
from domain.facts.envelope import Fact, Reference
from domain.order import DocumentRef


class TaskKind(StrEnum):
    """The kinds of human work; each has a form that its result must fit."""

    FIX_COVERAGE = "fix_coverage"
    DETERMINE_REQUIREMENT = "determine_requirement"
    OBTAIN_REFERRAL = "obtain_referral"
    GATHER_DOCUMENTS = "gather_documents"
    FILL_QUESTIONNAIRE = "fill_questionnaire"
    SUBMIT_REQUEST = "submit_request"
    CORRECT_REQUEST = "correct_request"
    FIND_REQUEST = "find_request"
    CHECK_STATUS = "check_status"
    READ_ANSWER = "read_answer"
    SEND_INFORMATION = "send_information"
    CHOOSE_AFTER_DENIAL = "choose_after_denial"
    COMPARE_APPROVAL = "compare_approval"
    TELL_PATIENT = "tell_patient"
    TELL_PROVIDER = "tell_provider"
    DOCUMENT_IN_CHART = "document_in_chart"
    COLLECT_RESPONSIBILITY = "collect_responsibility"
    VISIT_AT_RISK = "visit_at_risk"
    ESCALATION = "escalation"
    OPERATOR = "operator"
    REVIEW = "review"


class TaskOpened(Fact):
    """A person has something to do: what, by when, how, and what to hand in."""

    kind: Literal["task_opened"] = "task_opened"
    task: Key
    task_kind: TaskKind
    turn: Turn = Field(description="Whose work it is.")
    title: Sentence
    checklist: tuple[Sentence, ...] = Field(default=(), max_length=20)
    due: Instant
    rule: str = Field(max_length=120)
    lease_minutes: int = Field(default=60, ge=1, description="How long a claim holds without a result.")
    attempt: int | None = None
    rail: str | None = Field(default=None, max_length=40)
    cause: Reference = Field(default="", description="The fact that made it necessary; empty where time did.")
    raw: DocumentRef | None = Field(default=None, description="What the person should look at.")


class TaskClaimed(Fact):
    """Somebody took the task; until the lease ends nobody else can."""

    kind: Literal["task_claimed"] = "task_claimed"
    task: Key
    until: Instant


class TaskReleased(Fact):
    """Somebody gave the task back, or took it back from whoever held it."""

    kind: Literal["task_released"] = "task_released"
    task: Key
    taken_back: bool = Field(default=False, description="A supervisor (`by`) took it back from its holder.")


class TaskCompleted(Fact):
    """The work is done. What it established is in the facts that were recorded with it."""

    kind: Literal["task_completed"] = "task_completed"
    task: Key
    result: Key = Field(description="Which of the possible results it was.")
    note: str | None = Field(default=None, max_length=2000)
    evidence: tuple[DocumentRef, ...] = Field(default=(), max_length=10)


class TaskWithdrawn(Fact):
    """The task is no longer needed."""

    kind: Literal["task_withdrawn"] = "task_withdrawn"
    task: Key
    why: Sentence
