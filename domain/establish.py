"""From a form that a person filled in to the facts that it establishes. Whether the form may be handed in: `domain.work`."""

from collections.abc import Callable, Sequence

from domain.decision import Decision, InformationAsk, LineDecision, Number, NumberType, Outcome, Reason, Result
from domain.desk import Desk, WrongResult
from domain.facts import (
    AppointmentChanged,
    ChannelReported,
    ChartDocumented,
    ClockExtended,
    CoverageVerified,
    DecisionReceived,
    DocumentAdded,
    Fact,
    InformationSent,
    LineRequirement,
    NewAttemptOrdered,
    OptionChosen,
    PatientNotified,
    ProviderNotified,
    QuestionnaireAnswered,
    Receipt,
    ReferralObtained,
    RequestSubmitted,
    RequestWithdrawn,
    RequirementDetermined,
    ResponsibilityPosted,
    StatusInquired,
    TaskKind,
    TaskOpened,
)
from domain.order import Appointment, DocumentRef
from domain.policy_rules import WhoAsks
from domain.proof import lacking, receipt_of
from domain.results import (
    Acknowledged,
    Asked,
    ChannelTrouble,
    CoverageConfirmed,
    Decided,
    DocumentsAttached,
    Filed,
    Form,
    InformationAsked,
    InformationGiven,
    NotThere,
    OptionPicked,
    QuestionnaireFilled,
    ReferralFound,
    RequirementFound,
    Resend,
    ResponsibilityEntered,
    SendWithout,
    StillPending,
    Submitted,
    TimeExtended,
    Told,
    Update,
    VisitArranged,
    Withdrawn,
)
from domain.rules.channels import may_be_updated
from domain.rules.documents import missing_documents
from domain.rules.questionnaire import RESPONSE
from domain.rules.submission import trace_of

_ALWAYS = {"accept", "self_pay"}
_SENDING = {TaskKind.SUBMIT_REQUEST, TaskKind.CORRECT_REQUEST}


def establish(desk: Desk, form: Form) -> tuple[Fact, ...]:
    """The facts that a form establishes, without numbers yet. Raises `WrongResult`."""
    return _BY_FORM[type(form)](desk, form)


def _coverage(desk: Desk, form: CoverageConfirmed) -> tuple[Fact, ...]:
    told = desk.subject()
    rank = int(told) if told.isdigit() else desk.case.order.primary.rank
    return (
        CoverageVerified(
            **desk.head,
            rank=rank,
            status=form.status,
            plan_name=form.plan_name,
            active_from=form.active_from,
            active_to=form.active_to,
            benefits=form.benefits,
            raw=_first(form.evidence),
        ),
    )


def _requirement(desk: Desk, form: RequirementFound) -> tuple[Fact, ...]:
    case = desk.case
    if case.tracks:
        track = desk.track
        key, before = track.key, track.requirement
        rank, payer, who = before.rank, before.payer, before.who_asks
        lines = {line.line: line for line in before.lines}
    else:
        rank, payer, who = case.order.primary.rank, case.order.primary.payer, WhoAsks.ORDERING
        key = f"{rank}-{who}"
        lines = {
            line.number: LineRequirement(line=line.number, authorization="unknown", rule="nobody yet")
            for line in case.order.lines
        }
    for said in form.lines:
        held = lines.get(said.line)
        if held is None:
            msg = f"Line {said.line} is not in question here; these lines are: {', '.join(map(str, sorted(lines)))}."
            raise WrongResult(msg, ("lines",))
        lines[said.line] = held.model_copy(
            update={"authorization": said.authorization, "referral": said.referral, "rule": _who_said(form)}
        )
    silent = [number for number, line in sorted(lines.items()) if "unknown" in (line.authorization, line.referral)]
    if silent:
        msg = f"Say also what line {', '.join(map(str, silent))} needs."
        raise WrongResult(msg, ("lines",))
    return (
        RequirementDetermined(
            **desk.head,
            track=key,
            rank=rank,
            payer=payer,
            lines=tuple(lines[number] for number in sorted(lines)),
            who_asks=who,
            evidence=_first(form.evidence),
        ),
    )


def _referral(desk: Desk, form: ReferralFound) -> tuple[Fact, ...]:
    number = Number(type=NumberType.REFERRAL, value=form.number)
    return (
        ReferralObtained(
            **desk.head, track=desk.track.key, number=number, valid_from=form.valid_from, valid_to=form.valid_to
        ),
    )


def _documents(desk: Desk, form: DocumentsAttached) -> tuple[Fact, ...]:
    return tuple(DocumentAdded(**desk.head, document=document) for document in form.documents)


def _questionnaire(desk: Desk, form: QuestionnaireFilled) -> tuple[Fact, ...]:
    opened, response = _task_of(desk), form.documents[0]
    received = next((found for found in desk.case.forms if found.ref == opened.cause), None)
    if received is None:
        raise WrongResult("The form itself is not here; attach what you filled in as documents.", ("result",))
    if response.kind != RESPONSE:
        raise WrongResult(f"The response is a document of the kind {RESPONSE}.", ("documents",))
    return (
        QuestionnaireAnswered(
            **desk.head,
            track=opened.track,
            form=received.ref,
            questionnaire=received.questionnaire,
            response=response,
            context=received.context,
            complete=True,
        ),
    )


def _submitted(desk: Desk, form: Submitted) -> tuple[Fact, ...]:
    numbers = tuple(Number(type=number.type, value=number.value) for number in form.numbers)
    rail = form.rail or desk.rail
    sends = desk.opened is not None and desk.opened.task_kind in _SENDING
    # Who only asked whether it is there has the payer's word for it, whichever way it went.
    missing = lacking(form, rail) if sends or form.rail else None
    if missing is not None:
        raise WrongResult(missing, ("receipt",))
    return (_request(desk, receipt_of(form), rail, numbers),)


def _decided(desk: Desk, form: Decided) -> tuple[Fact, ...]:
    track = desk.track
    strange = sorted({said.line for said in form.lines} - set(track.lines_required))
    if strange:
        asked = ", ".join(map(str, track.lines_required)) or "none"
        msg = f"Line {', '.join(map(str, strange))} was not asked for; these were: {asked}."
        raise WrongResult(msg, ("lines",))
    lines = tuple(
        LineDecision(
            line=said.line,
            decision=said.decision,
            numbers=(Number(type=said.number_type, value=said.number),) if said.number else (),
            valid_from=said.valid_from,
            valid_to=said.valid_to,
            units=said.units,
            procedure=said.procedure,
            reasons=said.reasons,
        )
        for said in form.lines
    )
    return (*_arrived(desk, form), _answer(desk, form, lines, via=form.via))


def _still_pending(desk: Desk, form: StillPending) -> tuple[Fact, ...]:
    attempt = desk.attempt
    held = {decided.decision for decided in attempt.lines.values()}
    if attempt.reached_payer and held <= {Outcome.PENDED}:
        return (
            StatusInquired(
                **desk.head,
                track=desk.track.key,
                attempt=attempt.number,
                rail=desk.rail,
                found=True,
                raw=_first(form.evidence),
            ),
        )
    return (*_arrived(desk, form), _answer(desk, form, _pending_lines(desk)))


def _information_asked(desk: Desk, form: InformationAsked) -> tuple[Fact, ...]:
    ask = InformationAsk(
        what=tuple(Reason(text=what) for what in form.what), control_number=form.reference, due=form.due
    )
    return (*_arrived(desk, form), _answer(desk, form, _pending_lines(desk), asks=(ask,)))


def _not_there(desk: Desk, form: NotThere) -> tuple[Fact, ...]:
    return (_new_attempt(desk, f"The payer says that it has no such request ({_who_said(form)})."),)


def _resend(desk: Desk, form: Resend) -> tuple[Fact, ...]:
    return (_new_attempt(desk, form.reason),)


def _update(desk: Desk, form: Update) -> tuple[Fact, ...]:
    track = desk.track
    if not may_be_updated(track.attempt, desk.case.policies.get(track.requirement.payer)):
        raise WrongResult("The payer does not take a change of this request; order it sent anew instead.", ("result",))
    return (_new_attempt(desk, form.reason).model_copy(update={"update": True}),)


def _information_given(desk: Desk, form: InformationGiven) -> tuple[Fact, ...]:
    return (
        InformationSent(
            **desk.head,
            track=desk.track.key,
            attempt=desk.attempt.number,
            receipt=form.receipt,
            documents=form.documents,
        ),
    )


def _option(desk: Desk, form: OptionPicked) -> tuple[Fact, ...]:
    policy = desk.case.policies.get(desk.track.requirement.payer)
    offered = {option.kind.value for option in policy.appeals} | _ALWAYS if policy else None
    if offered is not None and form.option not in offered:
        msg = f"{policy.name if policy else 'The payer'} does not offer this; choose one of: {', '.join(sorted(offered))}."
        raise WrongResult(msg, ("option",))
    return (
        OptionChosen(
            **desk.head,
            track=desk.track.key,
            attempt=desk.attempt.number,
            option=form.option,
            reason=form.reason,
        ),
    )


def _told(desk: Desk, form: Told) -> tuple[Fact, ...]:
    opened = _task_of(desk)
    receipt = Receipt(kind="reference_number", reference=form.reference[:200])
    if opened.task_kind is TaskKind.TELL_PROVIDER:
        return (
            ProviderNotified(
                **desk.head, track=opened.track, message=_provider_message(desk), cause=opened.cause, receipt=receipt
            ),
        )
    return (
        PatientNotified(**desk.head, message=desk.subject(), cause=opened.cause, channel=form.channel, receipt=receipt),
    )


def _provider_message(desk: Desk) -> str:
    outcomes = desk.track.outcomes
    return "denied" if Outcome.DENIED in outcomes else "changed"


def _filed(desk: Desk, form: Filed) -> tuple[Fact, ...]:
    receipt = Receipt(kind="read_back", reference=form.reference[:200])
    return (ChartDocumented(**desk.head, entry=desk.subject(), cause=_task_of(desk).cause, receipt=receipt),)


def _responsibility(desk: Desk, form: ResponsibilityEntered) -> tuple[Fact, ...]:
    return (
        ResponsibilityPosted(
            **desk.head,
            cause=_task_of(desk).cause,
            total_cents=form.total_cents,
            receipt=Receipt(kind="read_back", reference=form.reference[:200]),
        ),
    )


def _visit(desk: Desk, form: VisitArranged) -> tuple[Fact, ...]:
    appointment = Appointment(id=form.appointment, starts_at=form.starts_at, status=form.status)
    return (AppointmentChanged(**desk.head, appointment=appointment),)


def _withdrawn(desk: Desk, form: Withdrawn) -> tuple[Fact, ...]:
    return (
        RequestWithdrawn(
            **desk.head,
            track=desk.track.key,
            attempt=desk.attempt.number,
            rail=desk.rail,
            receipt=Receipt(kind="reference_number", reference=_who_said(form), evidence=_first(form.evidence)),
        ),
    )


def _extended(desk: Desk, form: TimeExtended) -> tuple[Fact, ...]:
    policy = desk.case.policies.get(desk.track.requirement.payer)
    rule = policy.decision_clock.id if policy else "payer/notice"
    return (
        ClockExtended(**desk.head, track=desk.track.key, until=form.until, rule=rule, notice=_first(form.evidence)),
    )


def _trouble(desk: Desk, form: ChannelTrouble) -> tuple[Fact, ...]:
    payer, rail = desk.track.requirement.payer, form.rail or desk.rail
    known = desk.case.channels.get(f"{payer}/{rail}")
    if form.state == (known.state if known else "working"):
        raise WrongResult("That is how it is known to be already; say what changed.", ("state",))
    return (ChannelReported(**desk.head, track=desk.track.key, payer=payer, rail=rail, state=form.state),)


def _nothing_more(desk: Desk, form: Form) -> tuple[Fact, ...]:
    gathering = desk.opened is not None and desk.opened.task_kind is TaskKind.GATHER_DOCUMENTS
    if isinstance(form, SendWithout) and gathering and not missing_documents(desk.case, desk.track):
        raise WrongResult("Nothing is missing any more; the request goes out by itself.", ("result",))
    return ()


def _arrived(desk: Desk, form: Asked) -> tuple[RequestSubmitted, ...]:
    """Whoever heard the payer speak of the request has the proof that it is there."""
    if desk.attempt.reached_payer:
        return ()
    receipt = Receipt(kind="reference_number", reference=_who_said(form), evidence=_first(form.evidence))
    return (_request(desk, receipt, desk.rail, ()),)


def _request(desk: Desk, receipt: Receipt, rail: str, numbers: tuple[Number, ...]) -> RequestSubmitted:
    return RequestSubmitted(
        **desk.head,
        track=desk.track.key,
        attempt=desk.attempt.number,
        rail=rail,
        trace=trace_of(desk.case, desk.track, desk.attempt.number),
        receipt=receipt,
        numbers=numbers,
    )


def _answer(
    desk: Desk,
    form: Asked,
    lines: tuple[LineDecision, ...],
    *,
    via: str = "person",
    asks: tuple[InformationAsk, ...] = (),
) -> DecisionReceived:
    return DecisionReceived(
        **desk.head,
        track=desk.track.key,
        attempt=desk.attempt.number,
        rail=desk.rail,
        via="letter" if via == "letter" else "person",
        decision=Decision(result=Result.DECIDED, lines=lines, asks=asks),
        raw=_first(form.evidence),
    )


def _pending_lines(desk: Desk) -> tuple[LineDecision, ...]:
    held = desk.attempt.lines
    return tuple(
        LineDecision(line=number, decision=Outcome.PENDED)
        for number in desk.track.lines_required
        if number not in held or not held[number].decision.is_final
    )


def _new_attempt(desk: Desk, reason: str) -> NewAttemptOrdered:
    return NewAttemptOrdered(
        **desk.head, track=desk.track.key, attempt=desk.track.attempt.number + 1, reason=reason[:1000]
    )


def _who_said(form: Asked) -> str:
    """Whose word it is, short enough for every field that keeps it."""
    said = " ".join(filter(None, (form.representative, form.reference)))
    return f"payer: {said}"[:120] if said else "payer: see the evidence"


def _task_of(desk: Desk) -> TaskOpened:
    if desk.opened is None:
        raise WrongResult("This belongs to a task.", ("result",))
    return desk.opened


def _first(documents: Sequence[DocumentRef]) -> DocumentRef | None:
    return documents[0] if documents else None


_BY_FORM: dict[type[Form], Callable[..., tuple[Fact, ...]]] = {
    CoverageConfirmed: _coverage,
    RequirementFound: _requirement,
    ReferralFound: _referral,
    DocumentsAttached: _documents,
    QuestionnaireFilled: _questionnaire,
    SendWithout: _nothing_more,
    Submitted: _submitted,
    Decided: _decided,
    StillPending: _still_pending,
    InformationAsked: _information_asked,
    NotThere: _not_there,
    Resend: _resend,
    Update: _update,
    InformationGiven: _information_given,
    OptionPicked: _option,
    Told: _told,
    Filed: _filed,
    ResponsibilityEntered: _responsibility,
    VisitArranged: _visit,
    Withdrawn: _withdrawn,
    TimeExtended: _extended,
    ChannelTrouble: _trouble,
    Acknowledged: _nothing_more,
}
