"""What everybody outside says and hands in when they mean well: the facts that each action brings, the forms of people.

What differs from time to time (a payer's own rules, a chart that lacks something, a search that finds nothing) follows from
how much has happened in that world, so that a story can be lived again.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from activities.rules import line_keys
from domain.actions import Action
from domain.decision import Decision, InformationAsk, LineDecision, Number, NumberType, Outcome, Reason, Result
from domain.facts import (
    HEARD,
    AppointmentChanged,
    ChannelReported,
    ChartDocumented,
    CoverageInformationReceived,
    CoverageStatus,
    CoverageVerified,
    DecisionReceived,
    DocumentsGathered,
    Fact,
    HousePinned,
    InformationSent,
    LineInformation,
    PatientNotified,
    PolicyMissing,
    PolicyPinned,
    ProviderNotified,
    QuestionnaireReceived,
    Receipt,
    RequestSubmitted,
    RequestWithdrawn,
    ResponsibilityPosted,
    StatusInquired,
    TaskOpened,
)
from domain.order import Appointment, AppointmentStatus, Order
from domain.policy import Policy, PolicyError, PolicySlice, slice_policy
from domain.rules.questionnaire import FORM_ASKED, RESPONSE
from domain.work import forms_of
from tests.builders import document, house, packed, policies

if TYPE_CHECKING:
    from tests.world import World

SECRET = "Quillfeather 1961-04-17 M54.16"
"""What a careless payer writes into its free text, and what may stand in no title, key or clock."""


@cache
def _cut(payer: str, on: date, urgency: str, lines: tuple[Any, ...]) -> PolicySlice | None:
    found = next((one for one in policies() if isinstance(one, Policy) and one.payer == payer), None)
    try:
        return slice_policy(found, on=on, urgency=urgency, lines=lines) if found else None
    except PolicyError:
        return None


def right_facts(world: "World", action: Action, outcome: Outcome = Outcome.APPROVED) -> list[Fact]:
    """The facts that an activity brings when all goes well."""

    def head(what: str) -> dict[str, Any]:
        return world.head(what=f"{action.key}/{what}"[:150], track=action.track)

    rng = random.Random(world.count)
    receipt = Receipt(kind="read_back", reference="R-1")
    given: Any = action
    match action.kind:
        case "pin_policy":
            asked: Order = given.order
            first = min(line.service_from for line in asked.lines)
            found = _cut(given.payer_id, first, asked.urgency.value, line_keys(asked))
            if found is None:
                return [
                    HousePinned(**head("house"), house=house()),
                    PolicyMissing(**head("none"), payer=given.payer_id),
                ]
            return [
                HousePinned(**head("house"), house=house()),
                PolicyPinned(**head("pinned"), payer=given.payer_id, policy=found),
            ]
        case "verify_coverage":
            benefits = {"copay_cents": 4000}
            status = CoverageStatus.ACTIVE
            return [CoverageVerified(**head("covered"), rank=given.rank, status=status, benefits=benefits)]
        case "gather_documents":
            lacking = rng.choice(given.wanted) if rng.random() < 0.2 else None
            documents = tuple(document(kind, world.now.date()) for kind in given.wanted if kind != lacking)
            return [DocumentsGathered(**head("found"), searched=given.wanted, documents=documents)]
        case "ask_requirement":
            lines = tuple(_word(rng, line.number, world.now.date()) for line in given.order.lines)
            return [CoverageInformationReceived(**head("said"), rank=given.rank, hook=given.hook, lines=lines)]
        case "ask_access":
            if rng.random() < 0.6:
                return []
            state = rng.choice(("working", "down"))
            heard = head("heard") | {"by": HEARD}
            return [ChannelReported(**heard, payer=given.payer_id, rail=given.rail, state=state)]
        case "fetch_questionnaire":
            canonical = given.questionnaire or "https://payer.example/forms/any"
            return [
                QuestionnaireReceived(
                    **head(f"form/{place}"),
                    questionnaire=canonical,
                    form=document("questionnaire", world.now.date(), f"{action.key} {place}"),
                    context=given.context,
                    lines=given.lines,
                    adaptive=rng.random() < 0.2,
                )
                for place in range(rng.choice((0, 1, 1, 1, 2)))
            ]
        case "submit_request" | "inquire_status":
            request = given.request
            about = {"attempt": request.attempt, "rail": request.rail}
            if action.kind == "inquire_status" and outcome is Outcome.PENDED and rng.random() < 0.3:
                return [StatusInquired(**head("asked"), **about, found=rng.random() < 0.3)]
            asks = (_ask(rng),) if outcome is Outcome.PENDED and rng.random() < 0.4 else ()
            answer = answer_about(world, request.lines, alike(outcome), asks=asks)
            received = DecisionReceived(**head("answer"), **about, via="submit", decision=answer)
            if action.kind == "inquire_status":
                return [StatusInquired(**head("asked"), **about, found=True), received]
            proof = Receipt(kind="trace_number", reference=request.trace)
            return [RequestSubmitted(**head("sent"), **about, trace=request.trace, receipt=proof), received]
        case "withdraw_request":
            return [
                RequestWithdrawn(
                    **head("gone"), attempt=given.request.attempt, rail=given.request.rail, receipt=receipt
                )
            ]
        case "prepare_packet":
            return [packed(given)]
        case "send_information":
            proof = Receipt(kind="http_id", reference="H-2")
            return [
                InformationSent(**head("sent"), attempt=given.request.attempt, receipt=proof, documents=given.documents)
            ]
        case "notify_patient":
            return [
                PatientNotified(
                    **head("told"), message=given.message, cause=given.cause, channel="message", receipt=receipt
                )
            ]
        case "notify_provider":
            return [ProviderNotified(**head("told"), message=given.message, cause=given.cause, receipt=receipt)]
        case "document_in_chart":
            return [ChartDocumented(**head("filed"), entry=given.entry, cause=given.cause, receipt=receipt)]
        case "post_responsibility":
            return [ResponsibilityPosted(**head("posted"), cause=given.cause, total_cents=4000, receipt=receipt)]
        case "read_appointment":
            held = world.case.appointment
            if held is None:
                held = Appointment(id="APT-NEW", starts_at=world.now + timedelta(days=2))
            kept = held.starts_at < world.now
            status_now = AppointmentStatus.KEPT if kept else held.status
            return [AppointmentChanged(**head("visit"), appointment=held.model_copy(update={"status": status_now}))]
    msg = f"the world does not know {action.kind}"
    raise AssertionError(msg)


def _ask(rng: random.Random) -> InformationAsk:
    """What a payer wants to see: a note, or its form filled in."""
    if rng.random() < 0.4:
        return InformationAsk(what=(Reason(code=FORM_ASKED),), context=rng.choice((None, "ctx-7")))
    return InformationAsk(what=(Reason(code="11506-3", text="The note"),), control_number=rng.choice((None, "ACN-1")))


def _word(rng: random.Random, line: int, today: date) -> LineInformation:
    """What a payer's own rules say of a line, as CRD has it; now and then a code that nobody knows."""
    form = "https://payer.example/forms/lumbar"
    return LineInformation(
        line=line,
        covered=rng.choice(("covered", "covered", "covered", "conditional", "not-covered", None)),
        authorization=rng.choice(
            ("auth-needed", "auth-needed", "no-auth", "satisfied", "performpa", "conditional", None, SECRET)
        ),
        documents=rng.choice(((), (), ("clinical",), ("no-doc",), ("conditional",))),
        purposes=rng.choice(((), ("withpa",), ("withclaim",))),
        information=rng.choice(((), (), ("performer",), ("timeframe",), (SECRET,))),
        satisfied_by=rng.choice((None, "A204418830", "REF-20881734", SECRET)),
        assertion=rng.choice((None, "assertion-1")),
        questionnaires=rng.choice(((), (), (form,))),
        reasons=rng.choice(((), (Reason(code="gold-card"),), (Reason(text=SECRET),))),
        details=rng.choice(((), (SECRET,))),
        expires_on=rng.choice((None, None, today + timedelta(days=10))),
    )


def alike(outcome: Outcome) -> Callable[[int], Outcome]:
    """The same outcome for every line."""
    return lambda _: outcome


def answer_about(world: "World", lines: Sequence[int], outcome: Callable[[int], Outcome], **more: Any) -> Decision:
    """An answer about some lines; approvals with a number and dates that reach far."""
    good = {Outcome.APPROVED, Outcome.MODIFIED, Outcome.PARTLY_APPROVED}

    def line(number: int) -> LineDecision:
        said = outcome(number)
        kind = NumberType.CERTIFICATION if said in good else NumberType.ADMINISTRATIVE
        return LineDecision(
            line=number,
            decision=said,
            code="A1",
            numbers=(Number(type=kind, value=f"A{204418830 + world.count:09d}"),) if said in good else (),
            valid_from=world.now.date() - timedelta(days=2),
            valid_to=date(9999, 12, 31) if said is Outcome.APPROVED else world.now.date() + timedelta(days=90),
            reasons=(Reason(code="0F", text=f"Not shown to be necessary for {SECRET}"),),
        )

    return Decision(result=Result.DECIDED, lines=tuple(line(number) for number in lines), **more)


def good_forms(world: "World", opened: TaskOpened, takes: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """What a person who knows the job hands in, best first."""
    case = world.case
    track = case.tracks.get(opened.track or "")
    lines = track.lines_required if track else ()
    number = f"K{4418830 + world.count:07d}-01" if case.order.primary.payer == "keystone-sf" else "A204418831"
    far = (world.now + timedelta(days=400)).date().isoformat()
    visit = case.appointment
    starts = visit.starts_at if visit and visit.starts_at < world.now else world.now - timedelta(minutes=1)
    asked = [line.line for line in track.requirement.lines] if track else [line.number for line in case.order.lines]
    forms: dict[str, dict[str, Any]] = {
        "coverage_confirmed": {"benefits": {"copay_cents": 2500}, "reference": "CALL-1"},
        "requirement_determined": {
            "lines": [{"line": n, "authorization": "required"} for n in asked],
            "representative": "Dana",
        },
        "referral_obtained": {"number": "RF-100"},
        "submitted": {
            "receipt": {
                "kind": "fax_report" if opened.rail == "fax" else "reference_number",
                "reference": "KREF208817",
            },
            "representative": "Dana",
        },
        "decided": {
            "lines": [{"line": n, "decision": "approved", "number": number, "valid_to": far} for n in lines],
            "reference": "CALL-2",
        },
        "information_sent": {"receipt": {"kind": "fax_report", "reference": "FAX-1"}},
        "option_chosen": {"option": "accept", "reason": "The provider agrees."},
        "told": {"channel": "call", "reference": "Spoke with the patient"},
        "filed": {"reference": "Chart note 17"},
        "responsibility_entered": {"total_cents": 4000, "reference": "Screen 3"},
        "visit": {"appointment": "APT-10", "starts_at": starts.isoformat(), "status": "kept"},
        "withdrawn": {"reference": "CALL-5"},
        "acknowledged": {"note": "Seen, and the payer was called."},
        "update": {"reason": "The order reads differently."},
        "resend": {"reason": "The payer wants a new request."},
        "documents_attached": {
            "documents": [
                document(kind, world.now.date()).model_dump(mode="json")
                for kind in ("office_note", "imaging_report", "conservative_therapy")
            ]
        },
        "questionnaire_filled": {
            "documents": [document(RESPONSE, world.now.date(), opened.task).model_dump(mode="json")]
        },
        "send_without": {"reason": "The payer agreed."},
        "still_pending": {"reference": "CALL-3"},
        "information_asked": {"what": ["The operative note"], "reference": "CALL-4"},
        "not_there": {"representative": "Dana"},
        "channel_trouble": {"state": "working", "rail": opened.rail if opened.rail in {"portal", "fax"} else "phone"},
        "time_extended": {"until": (world.now + timedelta(days=14)).isoformat(), "reference": "LETTER-1"},
    }
    taken = set(takes) or {name.value for name in forms_of(opened)}
    for name, form in forms.items():
        if name in taken and form.get("lines") != []:
            yield {"result": name, **form}
