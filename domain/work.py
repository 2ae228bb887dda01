"""Human work has the contract of an API: which forms a task takes, and what becomes of a form that is handed in.

`FORMS` says what each kind of task takes. `complete` turns a form into facts with `TaskCompleted` last, `outcome` does so
without a task, for what somebody simply learned. A form that would leave the task's need where it was is not taken:
work that is done stays done.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.base import Frozen
from domain.case import Case, record
from domain.desk import Desk, WrongResult
from domain.establish import establish
from domain.facts import Fact, TaskClaimed, TaskCompleted, TaskKind, TaskOpened, TaskReleased
from domain.plan import PlanError, settle
from domain.results import Form, ResultName, form_schema
from domain.rules.access import RESTORE
from domain.rules.information import ATTACH
from domain.track import Task

_R = ResultName
_ANSWERS = (_R.DECIDED, _R.STILL_PENDING, _R.INFORMATION_ASKED, _R.NOT_THERE, _R.RESEND)
_SENT = (_R.SUBMITTED, _R.DECIDED)

FORMS: dict[TaskKind, tuple[ResultName, ...]] = {
    TaskKind.FIX_COVERAGE: (_R.COVERAGE_CONFIRMED,),
    TaskKind.DETERMINE_REQUIREMENT: (_R.REQUIREMENT_DETERMINED,),
    TaskKind.OBTAIN_REFERRAL: (_R.REFERRAL_OBTAINED,),
    TaskKind.GATHER_DOCUMENTS: (_R.DOCUMENTS_ATTACHED, _R.SEND_WITHOUT),
    TaskKind.FILL_QUESTIONNAIRE: (_R.QUESTIONNAIRE_FILLED, _R.DOCUMENTS_ATTACHED, _R.SEND_WITHOUT),
    TaskKind.SUBMIT_REQUEST: (*_SENT, _R.CHANNEL_TROUBLE),
    TaskKind.CORRECT_REQUEST: (_R.RESEND, *_SENT),
    TaskKind.FIND_REQUEST: (*_SENT, _R.NOT_THERE),
    TaskKind.CHECK_STATUS: (*_ANSWERS, _R.TIME_EXTENDED, _R.CHANNEL_TROUBLE),
    TaskKind.READ_ANSWER: (*_ANSWERS, _R.SUBMITTED, _R.ACKNOWLEDGED),
    TaskKind.SEND_INFORMATION: (_R.INFORMATION_SENT, _R.DECIDED, _R.CHANNEL_TROUBLE),
    TaskKind.CHOOSE_AFTER_DENIAL: (_R.OPTION_CHOSEN, _R.DECIDED, _R.RESEND),
    TaskKind.COMPARE_APPROVAL: (_R.OPTION_CHOSEN, _R.DECIDED, _R.RESEND),
    TaskKind.TELL_PATIENT: (_R.TOLD,),
    TaskKind.TELL_PROVIDER: (_R.TOLD,),
    TaskKind.DOCUMENT_IN_CHART: (_R.FILED,),
    TaskKind.COLLECT_RESPONSIBILITY: (_R.RESPONSIBILITY_ENTERED,),
    TaskKind.VISIT_AT_RISK: (_R.VISIT, _R.ACKNOWLEDGED),
    TaskKind.ESCALATION: (_R.ACKNOWLEDGED,),
    TaskKind.OPERATOR: (_R.ACKNOWLEDGED,),
    TaskKind.REVIEW: (_R.ACKNOWLEDGED,),
}
"""The forms that each kind of task takes. Some differ by the first word of their key: ask `forms_of`."""

_BY_KEY: dict[str, tuple[ResultName, ...]] = {
    "review_change": (_R.ACKNOWLEDGED, _R.RESEND, _R.UPDATE),
    "review_lines": (_R.RESEND, _R.UPDATE, _R.DECIDED),
    "review_visit": (_R.VISIT,),
    "unneeded": (_R.WITHDRAWN, _R.ACKNOWLEDGED),
    "withdraw": (_R.WITHDRAWN,),
    "request_ended": (_R.RESEND, _R.INFORMATION_SENT, _R.DECIDED),
    ATTACH: (_R.INFORMATION_SENT, _R.DOCUMENTS_ATTACHED, _R.DECIDED, _R.CHANNEL_TROUBLE),
    RESTORE: (_R.CHANNEL_TROUBLE,),
    "pursue": (_R.DECIDED, _R.OPTION_CHOSEN, _R.RESEND),
}

OUTCOMES: tuple[ResultName, ...] = (
    _R.COVERAGE_CONFIRMED,
    _R.REQUIREMENT_DETERMINED,
    _R.REFERRAL_OBTAINED,
    _R.SUBMITTED,
    _R.DECIDED,
    _R.STILL_PENDING,
    _R.INFORMATION_ASKED,
    _R.INFORMATION_SENT,
    _R.OPTION_CHOSEN,
    _R.TIME_EXTENDED,
    _R.VISIT,
    _R.CHANNEL_TROUBLE,
)
"""The forms that somebody may hand in without a task."""

AHEAD = timedelta(minutes=5)
"""How far the clocks of two machines may be apart."""


class NoSuchTask(WrongResult):
    """The case has no such task."""

    def __init__(self) -> None:
        super().__init__("The case has no such task.", ("task",))


class TaskForm(Frozen):
    """One form that a task takes, with the JSON schema by which it can be drawn."""

    name: ResultName
    form: dict[str, Any]


def forms_of(task: TaskOpened) -> tuple[ResultName, ...]:
    """The forms that a task takes."""
    return _BY_KEY.get(task.task.partition("/")[0], FORMS[task.task_kind])


def schemas_of(task: TaskOpened) -> tuple[TaskForm, ...]:
    """The forms that a task takes, with their JSON schemas."""
    return tuple(TaskForm(name=name, form=form_schema(name)) for name in forms_of(task))


def claim(case: Case, task: str, *, by: str, now: datetime, source_id: str) -> TaskClaimed:
    """The claim of a task for as long as its lease. Raises `NoSuchTask`."""
    lease = timedelta(minutes=task_of(case, task).opened.lease_minutes)
    return TaskClaimed(occurred_at=now, by=by, source_id=source_id, task=task, until=now + lease)


def release(case: Case, task: str, *, by: str, now: datetime, source_id: str, supervisor: bool = False) -> TaskReleased:
    """A task given back by its holder, or taken back by a supervisor from whoever else holds it. Raises `NoSuchTask`."""
    holder = task_of(case, task).holder(now)
    taken_back = supervisor and holder is not None and holder != by
    return TaskReleased(occurred_at=now, by=by, source_id=source_id, task=task, taken_back=taken_back)


def complete(case: Case, task: str, form: Form, *, by: str, now: datetime, source_id: str) -> tuple[Fact, ...]:
    """What finished work established, with the task's completion last; source ids are `<source_id>#<place>`.

    Trouble with the way to the payer finishes no work: the task is given back instead.

    `by` is `person:<id>`, `now` the case's time (UTC). Whether that person holds the task is for `domain.refusal`.

    Raises:
        NoSuchTask: the case has none of that key.
        WrongResult: the task does not take the form, the case contradicts it, or the same work would be needed again.
    """
    work = task_of(case, task)
    taken = forms_of(work.opened)
    name = ResultName(form.result)
    if name not in taken:
        msg = f"This task does not take the result {name}. It takes: {', '.join(taken)}."
        raise WrongResult(msg, ("result",))
    _in_the_past(form, now)
    desk = Desk(case, work.opened, work.opened.track, by, form.occurred_at or now, source_id)
    if name is _R.CHANNEL_TROUBLE and not task.startswith(f"{RESTORE}/"):
        given_back = TaskReleased(occurred_at=now, by=by, source_id=source_id, track=work.opened.track, task=task)
        return _numbered((*establish(desk, form), given_back), source_id)
    done = TaskCompleted(
        occurred_at=now,
        by=by,
        source_id=source_id,
        track=work.opened.track,
        task=task,
        result=name,
        note=form.note,
        evidence=form.evidence,
    )
    facts = _numbered((*establish(desk, form), done), source_id)
    if work.is_open:
        _moves_on(case, work.opened, facts, now)
    return facts


def outcome(
    case: Case, form: Form, *, by: str, now: datetime, source_id: str, track: str | None = None
) -> tuple[Fact, ...]:
    """What somebody learned without a task, about a track (the only one, unless named). Raises `WrongResult`."""
    if ResultName(form.result) not in OUTCOMES:
        msg = f"{form.result} belongs to a task. Without one this is taken: {', '.join(OUTCOMES)}."
        raise WrongResult(msg, ("result",))
    _in_the_past(form, now)
    return _numbered(establish(Desk(case, None, track, by, form.occurred_at or now, source_id), form), source_id)


def task_of(case: Case, task: str) -> Task:
    """A task of the case, open or not. Raises `NoSuchTask`."""
    found = case.tasks.get(task)
    if found is None:
        raise NoSuchTask
    return found


def _in_the_past(form: Form, now: datetime) -> None:
    if form.occurred_at is not None and form.occurred_at > now + AHEAD:
        raise WrongResult("occurred_at lies in the future; give the moment when it happened.", ("occurred_at",))


def _numbered(facts: Sequence[Fact], source_id: str) -> tuple[Fact, ...]:
    return tuple(fact.model_copy(update={"source_id": f"{source_id}#{i}"}) for i, fact in enumerate(facts))


def _moves_on(case: Case, opened: TaskOpened, facts: Sequence[Fact], now: datetime) -> None:
    """Refuse what would only open the same task anew."""
    after = case
    for fact in facts:
        after, _ = record(after, fact, now)
    try:
        after, _ = settle(after, now)
    except PlanError:
        return  # that is the case's own trouble; the plan raises an operator's task for it
    again = next((t.opened for t in after.open_tasks if t.opened.n > case.n and _same_work(t.opened, opened)), None)
    if again is not None:
        msg = f"With this result the same work would be needed again at once: {again.title}"
        raise WrongResult(msg[:1000], ("result",))


def _same_work(one: TaskOpened, other: TaskOpened) -> bool:
    if one.task_kind is not other.task_kind or (one.track, one.attempt) != (other.track, other.attempt):
        return False
    again = _without_count(one.task) == _without_count(other.task)
    # What a review asks stands in its title: the same visit may need another look for another reason.
    return one.title == other.title or (again and one.task_kind is not TaskKind.REVIEW)


def _without_count(key: str) -> str:
    return re.sub(r"~\d+$", "", key)


__all__ = [
    "AHEAD", "FORMS", "OUTCOMES", "NoSuchTask", "TaskForm", "WrongResult", "claim", "complete", "forms_of", "outcome",
    "release", "schemas_of", "task_of",
]  # fmt: skip
