"""The case: what the facts come to. A fold, extended by one fact at a time; nothing here decides what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TypeVar

from domain.base import Frozen
from domain.decision import LineDecision, Number, Outcome, Result
from domain.facts import (
    MAX_CASE_BYTES,
    MAX_FACT_BYTES,
    ActionBegun,
    ActionEnded,
    AnswerNotUnderstood,
    AppointmentChanged,
    CallLogged,
    CaseClosed,
    ChartDocumented,
    ClockBreached,
    ClockExtended,
    CoverageVerified,
    DecisionReceived,
    DocumentAdded,
    DocumentsGathered,
    Fact,
    FactRetracted,
    InformationSent,
    NewAttemptOrdered,
    NoteAdded,
    NotificationClaimed,
    OptionChosen,
    OrderCancelled,
    OrderChanged,
    OrderReceived,
    PatientNotified,
    PlanFailed,
    PolicyMissing,
    PolicyPinned,
    ProviderNotified,
    ReferralObtained,
    RequestRejected,
    RequestSubmitted,
    RequestWithdrawn,
    RequirementDetermined,
    ResponsibilityPosted,
    StatusInquired,
    TaskClaimed,
    TaskCompleted,
    TaskOpened,
    TaskReleased,
    TaskWithdrawn,
    UnknownFact,
    write_fact,
)
from domain.order import Appointment, DocumentRef, Order
from domain.policy import PolicySlice

K = TypeVar("K")
V = TypeVar("V")


def _with(mapping: Mapping[K, V], key: K, value: V) -> Mapping[K, V]:
    return MappingProxyType({**mapping, key: value})


def _empty() -> Mapping[K, V]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Task:
    """A person's work, as it stands."""

    opened: TaskOpened
    claim: TaskClaimed | None = None
    completed: TaskCompleted | None = None
    withdrawn: TaskWithdrawn | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody still has to do it."""
        return self.completed is None and self.withdrawn is None

    def holder(self, now: datetime) -> str | None:
        """Who holds the task at that moment, or None: never claimed, released, or the lease is over."""
        return self.claim.by if self.is_open and self.claim and now < self.claim.until else None


@dataclass(frozen=True)
class Try:
    """One go at an action."""

    begun: ActionBegun
    ended: ActionEnded | None = None


@dataclass(frozen=True)
class Attempt:
    """One request of a track to its payer, with all that came back. Attempts are numbered from 1."""

    number: int
    submitted: RequestSubmitted | None = None
    rejected: RequestRejected | None = None
    withdrawn: RequestWithdrawn | None = None
    not_understood: tuple[AnswerNotUnderstood, ...] = ()
    answers: tuple[DecisionReceived, ...] = ()
    inquiries: tuple[StatusInquired, ...] = ()
    sent: tuple[InformationSent, ...] = ()
    option: OptionChosen | None = None
    lines: Mapping[int, LineDecision] = field(default_factory=_empty)
    """The decision in force for each line."""

    @property
    def reached_payer(self) -> bool:
        """Whether the payer is known to have it."""
        return self.submitted is not None or bool(self.answers)

    @property
    def since(self) -> datetime | None:
        """When the payer got it: its clock starts here."""
        first = self.submitted or (self.answers[0] if self.answers else None)
        return first.occurred_at if first else None

    @property
    def contradicted(self) -> tuple[int, ...]:
        """Lines on which the payer said two different last words, with nobody having asked it to think again."""
        said: dict[int, Outcome] = {}
        torn: set[int] = set()
        for answer in self.answers:
            for line in answer.decision.lines:
                if answer.via == "person":
                    torn.discard(line.line)
                elif line.decision.is_final and said.get(line.line, line.decision) is not line.decision:
                    torn.add(line.line)
                if line.decision.is_final:
                    said[line.line] = line.decision
        return () if self.option else tuple(sorted(torn))

    @property
    def last_answer(self) -> DecisionReceived | None:
        """The latest decision, pended ones too."""
        return self.answers[-1] if self.answers else None

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Every number that the payer gave, without repeats, in order."""
        given = list(self.submitted.numbers) if self.submitted else []
        given += [n for answer in self.answers for n in answer.decision.all_numbers]
        return tuple(dict.fromkeys(given))


@dataclass(frozen=True)
class Track:
    """Payer x coverage rank x who must ask x lines: what has to be ready before the visit."""

    key: str
    requirement: RequirementDetermined
    attempts: Mapping[int, Attempt] = field(default_factory=_empty)
    allowed: int = 1
    """The highest attempt that may be sent."""
    referral: ReferralObtained | None = None
    extended_until: datetime | None = None

    @property
    def attempt(self) -> Attempt:
        """The attempt that counts now."""
        return self.attempts.get(self.allowed) or Attempt(self.allowed)

    @property
    def lines_required(self) -> tuple[int, ...]:
        """The numbers of the lines that need an authorization."""
        return tuple(line.line for line in self.requirement.lines if line.authorization == "required")

    def decision(self, line: int) -> LineDecision | None:
        """The decision in force for a line, if there is one."""
        return self.attempt.lines.get(line)

    @property
    def outcomes(self) -> tuple[Outcome | None, ...]:
        """The outcome of each line that needs one, in order; None where nothing was said."""
        return tuple(d.decision if (d := self.decision(line)) else None for line in self.lines_required)

    @property
    def is_ready(self) -> bool:
        """Whether the visit may go ahead as far as this track goes. Unknown is never ready."""
        if any("unknown" in (line.authorization, line.referral) for line in self.requirement.lines):
            return False
        if any(line.referral == "required" for line in self.requirement.lines) and self.referral is None:
            return False
        if self.attempt.contradicted:
            return False
        accepted = self.attempt.option is not None and self.attempt.option.option == "accept"
        fine = {Outcome.PARTLY_APPROVED, Outcome.MODIFIED} if accepted else set[Outcome]()
        return all(o is not None and (o.permits or o in fine) for o in self.outcomes)


@dataclass(frozen=True)
class Case:
    """One order, everything known about it, and who knows it from whom."""

    id: str
    order: Order
    time_zone: str = "America/New_York"
    """The practice's, by which its days are counted."""
    facts: tuple[Fact, ...] = ()
    size: int = 0
    """Bytes of all facts as JSON."""
    sources: Mapping[str, int] = field(default_factory=_empty)
    """The place of every reported fact, by its source id: what was said twice gets the first answer."""
    coverages: Mapping[int, CoverageVerified] = field(default_factory=_empty)
    policies: Mapping[str, PolicySlice] = field(default_factory=_empty)
    without_policy: frozenset[str] = frozenset()
    tracks: Mapping[str, Track] = field(default_factory=_empty)
    documents: Mapping[str, DocumentRef] = field(default_factory=_empty)
    searched: frozenset[str] = frozenset()
    tasks: Mapping[str, Task] = field(default_factory=_empty)
    actions: Mapping[str, tuple[Try, ...]] = field(default_factory=_empty)
    """What Vigil tried, by its cause."""
    appointment: Appointment | None = None
    patient_notices: tuple[PatientNotified, ...] = ()
    provider_notices: tuple[ProviderNotified, ...] = ()
    chart: tuple[ChartDocumented, ...] = ()
    responsibility: ResponsibilityPosted | None = None
    claims: tuple[NotificationClaimed, ...] = ()
    breached: Mapping[str, ClockBreached] = field(default_factory=_empty)
    notes: tuple[NoteAdded | CallLogged, ...] = ()
    unknown: tuple[UnknownFact, ...] = ()
    changed: OrderChanged | None = None
    """The latest change of the order, if there was one."""
    plan_failure: PlanFailed | None = None
    cancelled: OrderCancelled | None = None
    closed: CaseClosed | None = None

    @property
    def practice(self) -> str:
        """The practice whose case it is."""
        return self.order.practice

    @property
    def n(self) -> int:
        """The place of the latest fact."""
        return len(self.facts)

    @property
    def opened_at(self) -> datetime:
        """When the order was recorded."""
        return self.facts[0].recorded_at or self.facts[0].occurred_at

    @property
    def order_fact(self) -> Fact:
        """The fact that the order in force comes from."""
        return self.changed or self.facts[0]

    @property
    def numbers(self) -> tuple[Number, ...]:
        """Every number of every track, without repeats, in order."""
        found = [n for key in sorted(self.tracks) for a in self.tracks[key].attempts.values() for n in a.numbers]
        found += [track.referral.number for track in self.tracks.values() if track.referral]
        return tuple(dict.fromkeys(found))

    @property
    def in_flight(self) -> tuple[ActionBegun, ...]:
        """Actions that were begun and have not ended, in the order in which they began."""
        flying = [t.begun for tries in self.actions.values() for t in tries if t.ended is None]
        return tuple(sorted(flying, key=lambda begun: begun.n))

    @property
    def open_tasks(self) -> tuple[Task, ...]:
        """Tasks that somebody still has to do, in the order in which they were opened."""
        return tuple(sorted((t for t in self.tasks.values() if t.is_open), key=lambda task: task.opened.n))

    @property
    def is_ready(self) -> bool:
        """Whether every track that is needed is ready."""
        return bool(self.tracks) and all(track.is_ready for track in self.tracks.values())


class Answer(Frozen):
    """What somebody who reported a fact is told; told again when they report it again."""

    n: int
    repeated: bool = False


def begin(case_id: str, received: OrderReceived, now: datetime) -> Case:
    """A case from its first fact. `now` is the time of recording, in UTC."""
    return record(Case(id=case_id, order=received.order), received, now)[0]


def record(case: Case, fact: Fact, now: datetime) -> tuple[Case, Answer]:
    """The case with one more fact, and the answer to whoever reported it.

    A source id that the case knows changes nothing and gets the first answer again. A closed case keeps what comes
    late, and stays closed.
    """
    if fact.source_id in case.sources:
        return case, Answer(n=case.sources[fact.source_id], repeated=True)
    last = case.facts[-1].recorded_at if case.facts else None
    fact = fact.model_copy(update={"n": case.n + 1, "recorded_at": max(now, last) if last else now})
    return _extend(case, fact), Answer(n=fact.n)


def replay(case_id: str, facts: Iterable[Fact]) -> Case:
    """The case that recorded facts come to. Raises `ValueError` where the first is not the order."""
    facts = tuple(facts)
    first = facts[0] if facts else None
    if not isinstance(first, OrderReceived):
        msg = "a case begins with order_received"
        raise ValueError(msg)  # noqa: TRY004 - it is the list that is wrong
    case = Case(id=case_id, order=first.order)
    for fact in facts:
        case = _extend(case, fact)
    return case


def too_large(case: Case, fact: Fact) -> str | None:
    """Why a fact cannot be kept, as a sentence, or None."""
    size = len(write_fact(fact))
    if size > MAX_FACT_BYTES:
        return f"This is {size} bytes; a fact may have {MAX_FACT_BYTES}. Attach what is long as a document."
    if case.size + size > MAX_CASE_BYTES:
        return f"The case would have more than {MAX_CASE_BYTES} bytes. Attach what is long as a document."
    return None


def cause_of(action_key: str) -> str:
    """The cause in an action's key, which is `<cause>/<try>`."""
    return action_key.rpartition("/")[0]


def _extend(case: Case, fact: Fact) -> Case:
    kept = replace(
        case,
        facts=(*case.facts, fact),
        size=case.size + len(write_fact(fact)),
        sources=_with(case.sources, fact.source_id, fact.n),
    )
    if isinstance(fact, FactRetracted):
        return _without(kept)
    return kept if case.closed else _apply(kept, fact)


def _without(case: Case) -> Case:
    """The case folded anew, leaving out what was retracted; the list of facts keeps everything."""
    gone = {fact.retracted for fact in case.facts if isinstance(fact, FactRetracted)}
    first = case.facts[0]
    assert isinstance(first, OrderReceived)  # noqa: S101 - replay and begin see to it
    folded = Case(id=case.id, order=first.order)
    for fact in case.facts:
        folded = replace(folded, facts=(*folded.facts, fact))
        if fact.source_id not in gone and not folded.closed:
            folded = _apply(folded, fact)
    return replace(folded, size=case.size, sources=case.sources)


def _apply(case: Case, fact: Fact) -> Case:
    match fact:
        case OrderReceived():
            documents = {document.id: document for document in fact.order.documents}
            return replace(
                case,
                order=fact.order,
                time_zone=fact.time_zone,
                appointment=fact.order.appointment,
                documents=MappingProxyType({**case.documents, **documents}),
            )
        case OrderChanged():
            return _reorder(case, fact)
        case OrderCancelled():
            return replace(case, cancelled=fact)
        case AppointmentChanged():
            return replace(case, appointment=fact.appointment)
        case NoteAdded() | CallLogged():
            return replace(case, notes=(*case.notes, fact))
        case CaseClosed():
            return replace(case, closed=fact)
        case PolicyPinned():
            return replace(
                case,
                policies=_with(case.policies, fact.payer, fact.policy),
                without_policy=case.without_policy - {fact.payer},
            )
        case PolicyMissing():
            return replace(case, without_policy=case.without_policy | {fact.payer})
        case CoverageVerified():
            return replace(case, coverages=_with(case.coverages, fact.rank, fact))
        case DocumentsGathered():
            found = {document.id: document for document in fact.documents}
            return replace(
                case,
                documents=MappingProxyType({**case.documents, **found}),
                searched=case.searched | frozenset(fact.searched),
            )
        case DocumentAdded():
            return replace(case, documents=_with(case.documents, fact.document.id, fact.document))
        case PatientNotified():
            return replace(case, patient_notices=(*case.patient_notices, fact))
        case ProviderNotified():
            return replace(case, provider_notices=(*case.provider_notices, fact))
        case ChartDocumented():
            return replace(case, chart=(*case.chart, fact))
        case ResponsibilityPosted():
            return replace(case, responsibility=fact)
        case NotificationClaimed():
            return replace(case, claims=(*case.claims, fact))
        case ClockBreached():
            return replace(case, breached=_with(case.breached, fact.clock, fact))
        case PlanFailed():
            return replace(case, plan_failure=fact)
        case UnknownFact():
            return replace(case, unknown=(*case.unknown, fact))
        case ActionBegun():
            cause = cause_of(fact.action)
            return replace(case, actions=_with(case.actions, cause, (*case.actions.get(cause, ()), Try(fact))))
        case ActionEnded():
            return _end_action(case, fact)
        case TaskOpened():
            return replace(case, tasks=_with(case.tasks, fact.task, Task(fact)))
        case TaskClaimed() | TaskReleased() | TaskCompleted() | TaskWithdrawn():
            return _change_task(case, fact)
        case RequirementDetermined():
            key = fact.track or f"{fact.rank}-{fact.who_asks}"
            old = case.tracks.get(key)
            track = replace(old, requirement=fact) if old else Track(key, fact)
            return replace(case, tracks=_with(case.tracks, key, track))
    return _change_track(case, fact)


def _reorder(case: Case, fact: OrderChanged) -> Case:
    """A changed order: what depended on what changed is asked for anew; requests and answers are kept."""
    old, new = case.order, fact.order
    before = {coverage.rank: coverage for coverage in old.coverages}
    same = {c.rank for c in new.coverages if before.get(c.rank) == c}
    decisive = old.coverages != new.coverages or old.lines != new.lines or old.diagnoses != new.diagnoses
    return replace(
        case,
        order=new,
        changed=fact,
        appointment=new.appointment or case.appointment,
        coverages=MappingProxyType({rank: v for rank, v in case.coverages.items() if rank in same}),
        policies=_empty() if decisive or old.urgency != new.urgency else case.policies,
        without_policy=frozenset() if decisive else case.without_policy,
    )


def _end_action(case: Case, fact: ActionEnded) -> Case:
    cause = cause_of(fact.action)
    tries = tuple(
        replace(t, ended=fact) if t.begun.action == fact.action and t.ended is None else t
        for t in case.actions.get(cause, ())
    )
    return replace(case, actions=_with(case.actions, cause, tries))


def _change_task(case: Case, fact: TaskClaimed | TaskReleased | TaskCompleted | TaskWithdrawn) -> Case:
    task = case.tasks.get(fact.task)
    if task is None or not task.is_open:
        return case
    match fact:
        case TaskClaimed():
            task = replace(task, claim=fact)
        case TaskReleased():
            task = replace(task, claim=None)
        case TaskCompleted():
            task = replace(task, completed=fact)
        case TaskWithdrawn():
            task = replace(task, withdrawn=fact)
    return replace(case, tasks=_with(case.tasks, fact.task, task))


def _change_track(case: Case, fact: Fact) -> Case:
    track = case.tracks.get(fact.track or "")
    if track is None:
        return case
    match fact:
        case NewAttemptOrdered():
            track = replace(track, allowed=max(track.allowed, fact.attempt))
        case ReferralObtained():
            track = replace(track, referral=fact)
        case ClockExtended():
            track = replace(track, extended_until=fact.until)
        case (
            RequestSubmitted()
            | RequestRejected()
            | RequestWithdrawn()
            | AnswerNotUnderstood()
            | DecisionReceived()
            | StatusInquired()
            | InformationSent()
            | OptionChosen()
        ):
            attempt = track.attempts.get(fact.attempt) or Attempt(fact.attempt)
            track = replace(track, attempts=_with(track.attempts, fact.attempt, _change_attempt(attempt, fact)))
    return replace(case, tracks=_with(case.tracks, track.key, track))


def _change_attempt(attempt: Attempt, fact: Fact) -> Attempt:
    match fact:
        case RequestSubmitted():
            return replace(attempt, submitted=attempt.submitted or fact)
        case RequestRejected():
            return replace(attempt, rejected=fact)
        case RequestWithdrawn():
            return replace(attempt, withdrawn=fact)
        case AnswerNotUnderstood():
            return replace(attempt, not_understood=(*attempt.not_understood, fact))
        case StatusInquired():
            return replace(attempt, inquiries=(*attempt.inquiries, fact))
        case InformationSent():
            return replace(attempt, sent=(*attempt.sent, fact))
        case OptionChosen():
            return replace(attempt, option=fact)
        case DecisionReceived() if fact.decision.result is Result.DECIDED:
            return replace(
                attempt,
                answers=(*attempt.answers, fact),
                lines=MappingProxyType(_in_force(attempt.lines, fact)),
            )
    return attempt


def _in_force(lines: Mapping[int, LineDecision], fact: DecisionReceived) -> dict[int, LineDecision]:
    """The decisions in force after an answer: a late `pended` never displaces a final word, nor does `unknown`."""
    merged = dict(lines)
    for said in fact.decision.lines:
        held = merged.get(said.line)
        if held is None or not held.decision.is_final or said.decision.is_final:
            merged[said.line] = said
    return merged


def age(case: Case, now: datetime) -> timedelta:
    """How long the case has been open."""
    return now - case.opened_at
