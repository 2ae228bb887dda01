"""Facts as sentences, for the timeline of a case. For people of the practice: they may name what payers and people said."""

from collections.abc import Mapping
from types import MappingProxyType

from console.words import NUMBER_WORDS, plain
from domain.decision import Decision, Number, Result
from domain.facts import (
    ActionBegun,
    ActionEnded,
    AnswerNotUnderstood,
    AppointmentChanged,
    CallLogged,
    CaseClosed,
    ChannelReported,
    ChartDocumented,
    ClockBreached,
    ClockExtended,
    CoverageInformationReceived,
    CoverageVerified,
    DecisionReceived,
    DocumentAdded,
    DocumentsGathered,
    Fact,
    FactRetracted,
    HousePinned,
    InformationSent,
    NewAttemptOrdered,
    NoteAdded,
    NotificationClaimed,
    OptionChosen,
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
    ReferralObtained,
    RequestEnded,
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
)
from domain.order import Order


def sentence(fact: Fact, places: Mapping[str, int] = MappingProxyType({})) -> str:
    """What happened, in a sentence. A kind that this release does not know is named as such.

    `places` says where each fact of the case stands, by source id (`Case.sources`): a retraction names the fact by it.
    """
    return (
        _early(fact, places)
        or _request(fact)
        or _work(fact)
        or f"{plain(fact.kind).capitalize()} (not known to this release)."
    )


def _early(fact: Fact, places: Mapping[str, int]) -> str | None:
    match fact:
        case OrderReceived():
            return f"Order received: {_services(fact.order)}."
        case OrderChanged():
            return f"Order changed: {_services(fact.order)}."
        case OrderCancelled():
            return f"Order cancelled: {fact.reason}"
        case AppointmentChanged():
            visit = fact.appointment
            return f"Visit {plain(visit.status)}: {visit.starts_at:%Y-%m-%d %H:%M} UTC."
        case NoteAdded():
            return f"Note: {fact.text}"
        case CallLogged():
            who = f" ({fact.representative})" if fact.representative else ""
            reference = f" Reference {fact.reference}." if fact.reference else ""
            return f"Call with {plain(fact.with_whom)}{who}: {fact.asked} - {fact.answered}{reference}"
        case CaseClosed():
            return f"Case closed: {plain(fact.reason)}."
        case FactRetracted():
            which = f"Fact {places[fact.retracted]}" if fact.retracted in places else "An earlier fact"
            return f"{which} taken back: {fact.reason.rstrip('.')}. Signed by {fact.signed_by}."
        case PolicyPinned():
            return f"Rules of {fact.policy.name} pinned (edition {fact.policy.digest[:12]})."
        case HousePinned():
            return f"The house's rules pinned (edition {fact.house.digest[:12]})."
        case PolicyMissing():
            return f"No rules are released for {fact.payer}."
        case CoverageVerified():
            plan = f", {fact.plan_name}" if fact.plan_name else ""
            wrong = f" The payer says: {'; '.join(error.sentence for error in fact.errors)}." if fact.errors else ""
            return f"Coverage {fact.rank} is {plain(fact.status)}{plan}.{wrong}"
        case RequirementDetermined():
            lines = "; ".join(
                f"line {line.line}: authorization {plain(line.authorization)}"
                + (f", referral {plain(line.referral)}" if line.referral != "not_required" else "")
                + f" ({line.rule})"
                for line in fact.lines
            )
            return f"Requirement of {fact.payer}: {lines}."
        case CoverageInformationReceived():
            needs = "; ".join(
                f"line {line.line}: {line.covered or 'cover not said'}, {line.authorization or 'authorization not said'}"
                for line in fact.lines
            )
            return f"The payer's own word ({fact.hook}): {needs}."
        case QuestionnaireReceived():
            return f"The payer's form is here: {fact.questionnaire}."
        case QuestionnaireAnswered():
            return f"The payer's form was {'filled in' if fact.complete else 'saved for later'}: {fact.questionnaire}."
        case DocumentsGathered():
            found = ", ".join(plain(document.kind) for document in fact.documents) or "nothing"
            return f"Chart searched for {', '.join(map(plain, fact.searched))}: found {found}."
        case DocumentAdded():
            return f"Document added: {plain(fact.document.kind)}."
    return None


def _request(fact: Fact) -> str | None:
    match fact:
        case RequestSubmitted():
            receipt = f"{plain(fact.receipt.kind)} {fact.receipt.reference}"
            return f"Request {fact.attempt} submitted by {fact.rail}; receipt: {receipt}.{_numbers(fact.numbers)}"
        case RequestRejected():
            wrong = "; ".join(error.sentence for error in fact.errors) or "no reason given"
            return f"Request {fact.attempt} rejected, nothing decided: {wrong}."
        case DecisionReceived():
            return f"Answer to request {fact.attempt} by {plain(fact.via)}: {decision_text(fact.decision)}"
        case StatusInquired():
            return f"Asked how request {fact.attempt} stands: {'nothing new' if fact.found else 'not found'}."
        case AnswerNotUnderstood():
            return f"An answer to request {fact.attempt} was not understood: {fact.why}"
        case NotificationClaimed():
            return f"Word came in the name of {fact.payer} that only makes Vigil ask: {fact.why}"
        case RequestWithdrawn():
            return f"Request {fact.attempt} withdrawn."
        case RequestEnded():
            why = "; ".join(" ".join(filter(None, (r.code, r.text))) for r in fact.reasons)
            return f"The payer ended request {fact.attempt} without a decision: {plain(fact.ending)}{f' ({why})' if why else ''}."
        case NewAttemptOrdered():
            return f"Request {fact.attempt} may be sent: {fact.reason}"
        case InformationSent():
            return f"Information sent for request {fact.attempt}; receipt {fact.receipt.reference}."
        case ReferralObtained():
            return f"Referral obtained: {fact.number.value}."
        case OptionChosen():
            return f"Chosen for request {fact.attempt}: {plain(fact.option)}.{' ' + fact.reason if fact.reason else ''}"
        case PatientNotified():
            return f"Patient told ({plain(fact.message)}) by {fact.channel}; receipt {fact.receipt.reference}."
        case ProviderNotified():
            return f"Ordering provider told ({plain(fact.message)}); receipt {fact.receipt.reference}."
        case ChartDocumented():
            return f"Filed in the chart and read back: {plain(fact.entry)}."
        case ResponsibilityPosted():
            return f"Patient's responsibility posted for check-in: ${fact.total_cents / 100:,.2f}."
    return None


def _work(fact: Fact) -> str | None:
    match fact:
        case PacketPrepared():
            return f"Packet of request {fact.attempt} prepared: {fact.pages} pages."
        case ChannelReported():
            return f"The {fact.rail} of {fact.payer} was reported: {plain(fact.state)}."
        case TaskOpened():
            return f"Task for {plain(fact.turn)}: {fact.title}"
        case TaskClaimed():
            return f"Task {fact.task} claimed until {fact.until:%H:%M} UTC."
        case TaskReleased():
            return f"Task {fact.task} {'taken back from its holder' if fact.taken_back else 'given back'}."
        case TaskCompleted():
            return f"Task {fact.task} done: {plain(fact.result)}.{' ' + fact.note if fact.note else ''}"
        case TaskWithdrawn():
            return f"Task {fact.task} withdrawn: {fact.why}"
        case ActionBegun():
            return f"Began: {plain(fact.action_kind)}."
        case ActionEnded():
            outcome = "done" if fact.failure is None else f"{fact.failure} ({fact.error or 'no code'})"
            return f"Ended: {plain(fact.action.partition('/')[0])}, {outcome}."
        case ClockBreached():
            return f"Deadline passed: {plain(fact.clock_kind)}, due {fact.due:%Y-%m-%d %H:%M} UTC ({fact.rule})."
        case ClockExtended():
            return f"More time for the payer, until {fact.until:%Y-%m-%d %H:%M} UTC."
        case PlanFailed():
            return f"The rules could not be applied ({fact.error})."
    return None


def decision_text(decision: Decision) -> str:
    """A payer's answer in a sentence."""
    if decision.result is not Result.DECIDED:
        said = "; ".join(error.sentence for error in decision.errors)
        return f"{plain(decision.result)}{': ' + said if said else ''}."
    lines: list[str] = []
    for line in decision.lines:
        units = f", {line.units} units" if line.units is not None else ""
        until = f", until {line.valid_to}" if line.valid_to else ""
        reasons = "; ".join(" ".join(filter(None, (r.code, r.text))).rstrip(".") for r in line.reasons)
        lines.append(f"line {line.line} {plain(line.decision)}{units}{until}{' - ' + reasons if reasons else ''}")
    asks = (
        f" Asks for: {'; '.join(r.text or r.code or '?' for ask in decision.asks for r in ask.what)}."
        if decision.asks
        else ""
    )
    return f"{'; '.join(lines) or 'no line'}.{_numbers(decision.all_numbers)}{asks}"


def _services(order: Order) -> str:
    return ", ".join(f"{line.label or plain(line.category)} {line.code} x {line.units}" for line in order.lines)


def _numbers(numbers: tuple[Number, ...]) -> str:
    return "".join(f" {NUMBER_WORDS[number.type].capitalize()}: {number.value}." for number in numbers)
