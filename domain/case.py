"""The case: what the facts come to. A fold, extended by one fact at a time; nothing here decides what to do."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from domain.attempt import DIFFERING, Attempt, empty, with_key
from domain.base import Frozen
from domain.decision import Number, Outcome
from domain.facts import (
    ActionBegun,
    ActionEnded,
    AppointmentChanged,
    CallLogged,
    CaseClosed,
    ChannelReported,
    ChartDocumented,
    ClockBreached,
    CoverageInformationReceived,
    CoverageStatus,
    CoverageVerified,
    DocumentAdded,
    DocumentsGathered,
    Fact,
    FactRetracted,
    Failure,
    HousePinned,
    NoteAdded,
    NotificationClaimed,
    OrderCancelled,
    OrderChanged,
    OrderReceived,
    PacketPrepared,
    PatientNotified,
    PlanFailed,
    PolicyMissing,
    PolicyPinned,
    ProviderNotified,
    QuestionnaireAnswered,
    QuestionnaireReceived,
    RequirementDetermined,
    ResponsibilityPosted,
    TaskClaimed,
    TaskCompleted,
    TaskOpened,
    TaskReleased,
    TaskWithdrawn,
    UnknownFact,
    write_fact,
)
from domain.house import UNPINNED, HouseRules
from domain.order import Appointment, AppointmentStatus, DocumentRef, Order
from domain.policy import PolicySlice
from domain.track import Task, Track, Try, changed_task, changed_track, with_requirement

_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)


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
    sources: Mapping[str, int] = field(default_factory=empty)
    """The place of every reported fact, by its source id: what was said twice gets the first answer."""
    coverages: Mapping[int, CoverageVerified] = field(default_factory=empty)
    policies: Mapping[str, PolicySlice] = field(default_factory=empty)
    without_policy: frozenset[str] = frozenset()
    house: HouseRules = UNPINNED
    tracks: Mapping[str, Track] = field(default_factory=empty)
    payer_said: tuple[CoverageInformationReceived, ...] = ()
    """What the payer's own rules said (CRD), of this order and of former ones."""
    forms: tuple[QuestionnaireReceived, ...] = ()
    filled: tuple[QuestionnaireAnswered, ...] = ()
    documents: Mapping[str, DocumentRef] = field(default_factory=empty)
    searched: frozenset[str] = frozenset()
    tasks: Mapping[str, Task] = field(default_factory=empty)
    actions: Mapping[str, tuple[Try, ...]] = field(default_factory=empty)
    """What Vigil tried, by its cause."""
    appointment: Appointment | None = None
    patient_notices: tuple[PatientNotified, ...] = ()
    provider_notices: tuple[ProviderNotified, ...] = ()
    chart: tuple[ChartDocumented, ...] = ()
    responsibility: ResponsibilityPosted | None = None
    claims: tuple[NotificationClaimed, ...] = ()
    packets: tuple[PacketPrepared, ...] = ()
    channels: Mapping[str, ChannelReported] = field(default_factory=empty)
    """Since when a payer's channel is as it was last reported, by `<payer>/<rail>`."""
    breached: Mapping[str, ClockBreached] = field(default_factory=empty)
    notes: tuple[NoteAdded | CallLogged, ...] = ()
    unknown: tuple[UnknownFact, ...] = ()
    changed: OrderChanged | None = None
    """The latest change of the order, if there was one."""
    redirected: OrderChanged | None = None
    """The latest change of what the order asks for, of whom or for whom."""
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
    def asking_fact(self) -> Fact:
        """The fact since which the order asks for what it asks for now: smaller changes leave it."""
        return self.redirected or self.facts[0]

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
        """Whether every track that is needed is ready, the insurance holds, and the visit is within what was approved."""
        insured = self.coverages.get(self.order.primary.rank)
        covered = {line.line for track in self.tracks.values() for line in track.requirement.lines}
        return (
            insured is not None
            and insured.status is CoverageStatus.ACTIVE
            and all(line.number in covered for line in self.order.lines)
            and all(track.is_ready and not self.out_of_dates(track) for track in self.tracks.values())
        )

    def out_of_dates(self, track: Track) -> tuple[int, ...]:
        """Lines of a track whose approval does not hold on the day of the booked visit."""
        visit = self.appointment
        if visit is None or visit.status is not AppointmentStatus.BOOKED:
            return ()
        day = visit.starts_at.astimezone(ZoneInfo(self.time_zone)).date()
        found = ((number, track.decision(number)) for number in track.lines_required)
        return tuple(
            number
            for number, d in found
            if d is not None
            and (d.decision is Outcome.APPROVED or d.decision in DIFFERING)
            and ((d.valid_from and day < d.valid_from) or (d.valid_to and day > d.valid_to))
        )


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
    recorded = max(now, last) if last else now
    # What is recorded has happened: a wrong clock outside must not start one of ours in the future.
    happened = max(min(fact.occurred_at, recorded), _EARLIEST)
    fact = fact.model_copy(update={"n": case.n + 1, "recorded_at": recorded, "occurred_at": happened})
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


def cause_of(action_key: str) -> str:
    """The cause in an action's key, which is `<cause>/<try>`."""
    return action_key.rpartition("/")[0]


def _extend(case: Case, fact: Fact) -> Case:
    kept = replace(
        case,
        facts=(*case.facts, fact),
        size=case.size + len(write_fact(fact)),
        sources=with_key(case.sources, fact.source_id, fact.n),
    )
    if case.closed:
        return kept
    return _without(kept) if isinstance(fact, FactRetracted) else _apply(kept, fact)


def may_be_retracted(fact: Fact) -> bool:
    """Whether a fact can be taken back: what somebody reported can, not the order, nor what Vigil itself did."""
    return fact.n > 1 and fact.by != "vigil"


def _without(case: Case) -> Case:
    """The case folded anew, leaving out what was retracted; the list of facts keeps everything.

    A retraction may itself be taken back. The source id of a retracted fact stays known: reported again it stays out.
    """
    gone: set[str] = set()
    for fact in reversed(case.facts):
        if isinstance(fact, FactRetracted) and fact.source_id not in gone:
            place = case.sources.get(fact.retracted, fact.n)
            if place < fact.n and may_be_retracted(case.facts[place - 1]):
                gone.add(fact.retracted)
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
                policies=with_key(case.policies, fact.payer, fact.policy),
                without_policy=case.without_policy - {fact.payer},
            )
        case HousePinned():
            return replace(case, house=fact.house)
        case PolicyMissing():
            return replace(case, without_policy=case.without_policy | {fact.payer})
        case CoverageVerified():
            return replace(case, coverages=with_key(case.coverages, fact.rank, fact))
        case DocumentsGathered():
            found = {document.id: document for document in fact.documents}
            return replace(
                case,
                documents=MappingProxyType({**case.documents, **found}),
                searched=case.searched | frozenset(fact.searched),
            )
        case CoverageInformationReceived():
            return replace(case, payer_said=(*case.payer_said, fact))
        case QuestionnaireReceived():
            return replace(case, forms=(*case.forms, fact))
        case QuestionnaireAnswered():
            response = {fact.response.id: fact.response} if fact.complete else {}
            together = MappingProxyType({**case.documents, **response})
            return replace(case, filled=(*case.filled, fact), documents=together)
        case DocumentAdded():
            return replace(case, documents=with_key(case.documents, fact.document.id, fact.document))
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
        case PacketPrepared():
            return replace(case, packets=(*case.packets, fact))
        case ChannelReported():
            way = f"{fact.payer}/{fact.rail}"
            held = case.channels.get(way)
            same = held is not None and held.state == fact.state
            # What is heard from elsewhere may be older than what somebody said here.
            late = held is not None and fact.is_heard and fact.occurred_at < held.occurred_at
            return case if same or late else replace(case, channels=with_key(case.channels, way, fact))
        case ClockBreached():
            return replace(case, breached=with_key(case.breached, fact.clock, fact))
        case PlanFailed():
            return replace(case, plan_failure=fact)
        case UnknownFact():
            return replace(case, unknown=(*case.unknown, fact))
        case ActionBegun():
            return _begin_action(case, fact)
        case ActionEnded():
            return _end_action(case, fact)
        case TaskOpened():
            return replace(case, tasks=with_key(case.tasks, fact.task, Task(fact)))
        case TaskClaimed() | TaskReleased() | TaskCompleted() | TaskWithdrawn():
            return _change_task(case, fact)
        case RequirementDetermined():
            insured = frozenset(coverage.rank for coverage in case.order.coverages)
            return replace(case, tracks=with_requirement(case.tracks, fact, insured))
    return _change_track(case, fact)


def _what_is_asked(order: Order) -> tuple[object, ...]:
    """What of an order decides the payer's rules and answer."""
    patient = order.patient
    return (
        order.coverages, order.lines, order.diagnoses, order.ordering, order.rendering, order.facility,
        patient.family_name, patient.given_name, patient.birth_date,
    )  # fmt: skip


def _reorder(case: Case, fact: OrderChanged) -> Case:
    """A changed order: what depended on what changed is asked for anew; requests and answers are kept."""
    old, new = case.order, fact.order
    before = {coverage.rank: coverage for coverage in old.coverages}
    same = {c.rank for c in new.coverages if before.get(c.rank) == c}
    matters = _what_is_asked(old) != _what_is_asked(new)
    pressing = old.urgency != new.urgency
    tracks = {
        key: replace(track, changed=fact.ref) if _was_asked(case, track) else track
        for key, track in case.tracks.items()
    }
    return replace(
        case,
        order=new,
        changed=fact,
        redirected=fact if matters else case.redirected,
        appointment=new.appointment or case.appointment,
        documents=MappingProxyType({**case.documents, **{document.id: document for document in new.documents}}),
        coverages=MappingProxyType({rank: v for rank, v in case.coverages.items() if rank in same}),
        policies=empty() if matters or pressing else case.policies,
        without_policy=frozenset() if matters else case.without_policy,
        tracks=MappingProxyType(tracks) if matters or pressing else case.tracks,
    )


def _was_asked(case: Case, track: Track) -> bool:
    """Whether the payer has the request of the attempt that counts, or may have it."""
    prefix = f"submit/{track.key}/{track.attempt.number}/"
    tries = [t for cause in sorted(case.actions) if cause.startswith(prefix) for t in case.actions[cause]]
    return track.attempt.reached_payer or any(
        t.ended is None or t.ended.failure in {None, Failure.AMBIGUOUS} for t in tries
    )


def _end_action(case: Case, fact: ActionEnded) -> Case:
    cause = cause_of(fact.action)
    tries = tuple(
        replace(t, ended=fact) if t.begun.action == fact.action and t.ended is None else t
        for t in case.actions.get(cause, ())
    )
    return replace(case, actions=with_key(case.actions, cause, tries))


def _begin_action(case: Case, fact: ActionBegun) -> Case:
    cause = cause_of(fact.action)
    case = replace(case, actions=with_key(case.actions, cause, (*case.actions.get(cause, ()), Try(fact))))
    track = case.tracks.get(fact.track or "")
    sending = re.fullmatch(r"submit/.+/([1-9][0-9]*)/([^/]+)", cause)
    if track is None or sending is None:
        return case
    attempt = track.attempts.get(int(sending[1])) or Attempt(int(sending[1]))
    attempt = replace(attempt, tried=attempt.tried | {sending[2]})
    track = replace(track, attempts=with_key(track.attempts, attempt.number, attempt))
    return replace(case, tracks=with_key(case.tracks, track.key, track))


def _change_task(case: Case, fact: TaskClaimed | TaskReleased | TaskCompleted | TaskWithdrawn) -> Case:
    task = case.tasks.get(fact.task)
    if task is None or not task.is_open:
        return case
    task = changed_task(task, fact)
    case = replace(case, tasks=with_key(case.tasks, fact.task, task))
    track = case.tracks.get(task.opened.track or "")
    if track and task.completed and track.changed and task.opened.cause == track.changed:
        case = replace(case, tracks=with_key(case.tracks, track.key, replace(track, changed="")))
    return case


def _change_track(case: Case, fact: Fact) -> Case:
    track = case.tracks.get(fact.track or "")
    if track is None:
        return case
    return replace(case, tracks=with_key(case.tracks, track.key, changed_track(track, fact)))
