"""What a payer wants to see before it decides: CommunicationRequests of an answer, and Tasks that stand beside it.

Source: PAS 2.2.1 and 2.0.1, `profile-communicationrequest` and `profile-task`; CDex `cdex-task-attachment-request`.
"""

import re

from connectors.codes import INFORMATION_REQUIRED, QUESTIONNAIRE
from connectors.lenient import Json, day, objects, raw, text, token, whole
from connectors.pas.action import reasons_of
from connectors.pas.fhir import Index, codings, extensions, reference
from connectors.pas.lines import Lines
from connectors.pas.words import LOINC
from domain.decision import InformationAsk, Outcome, Reason

MAX_ASKS = 10
_LAST_LINE = 99
_LOINC = re.compile(r"^\d{1,7}-\d$")
_FORM = "A questionnaire (DTR) is to be filled in."
_REQUESTS = frozenset({"attachment-request-code", "attachment-request-questionnaire"})
"""Task.code by which a payer asks (PASTempCodes, and cdex-temp before)."""
_NEEDED = "attachments-needed"
"""Task.input.type of a document that is asked for."""
_TRACKING = "tracking-id"
"""The type of the identifier under which documents are to be sent (CDex)."""


def read_asks(response: Json, index: Index, lines: Lines, *, inquiry: bool) -> tuple[InformationAsk, ...]:
    """Return what an answer asks for. An `inquiry` repeats no requests: a reason alone asks for nothing then."""
    traces = {
        sequence: value
        for item in objects(response.get("item"))
        if (sequence := whole(item.get("itemSequence"), 1, _LAST_LINE)) is not None
        for e in extensions(item, "itemTraceNumber")
        for i in objects(e.get("valueIdentifier"))
        if (value := token(i.get("value"))) is not None
    }
    found: list[InformationAsk] = []
    for wanted in objects(response.get("communicationRequest"))[:MAX_ASKS]:
        request = index.find(reference(wanted), response)
        if request is None:
            lines.notes.append("The payer asks for information, and what it asks for is not in the answer.")
            found.append(InformationAsk(what=(Reason(text="The answer does not say what; ask the payer."),)))
        elif request.get("resourceType") == "CommunicationRequest":
            found += _asked_for(request, traces)
    if not found and any(line.decision is Outcome.PENDED for line in lines.all):
        found += _beside(index, traces)
    if not inquiry:
        asked = {ask.line for ask in found}
        for line in lines.all:
            wanting = tuple(r for r in line.reasons if r.code == INFORMATION_REQUIRED)
            if line.decision is Outcome.PENDED and wanting and not asked & {None, line.line}:
                found.append(InformationAsk(what=wanting, line=line.line or None))
    return tuple(found[:MAX_ASKS])


def _beside(index: Index, traces: dict[int, str]) -> list[InformationAsk]:
    """What stands beside a pended answer that names no requests: whose they are is sure where it is the only answer."""
    if sum(1 for _ in index.of_type("ClaimResponse")) != 1:
        return []
    found = [ask for request in index.of_type("CommunicationRequest") for ask in _asked_for(request, traces)]
    return found + [ask for task in index.of_type("Task") for ask in _asked_by_task(task, traces)]


def _asked_by_task(task: Json, traces: dict[int, str]) -> list[InformationAsk]:
    """What a Task asks for: documents by their codes, or a form by its context."""
    kind = next((code for c in codings(task.get("code")) if (code := raw(c.get("code"))) in _REQUESTS), None)
    if kind is None:
        return []
    what: list[Reason] = []
    line: int | None = None
    context: str | None = None
    for given in objects(task.get("input")):
        line = line or _line(given)
        context = context or token(given.get("valueString"), 120)
        if any(c.get("code") == _NEEDED for c in codings(given.get("type"))):
            what += reasons_of(given.get("valueCodeableConcept"))
    identifiers = objects(task.get("identifier"))
    tracking = [i for i in identifiers if any(c.get("code") == _TRACKING for c in codings(i.get("type")))]
    control = next((v for i in [*tracking, *identifiers] if (v := token(i.get("value")))), None)
    restriction = task.get("restriction")
    period = restriction.get("period") if isinstance(restriction, dict) else None
    form = kind != "attachment-request-code"
    if form:
        what = [Reason(code=QUESTIONNAIRE, system=LOINC, text=_FORM), *what]
        context = context or (traces.get(line) if line is not None else next(iter(traces.values()), None))
    return [
        InformationAsk(
            what=tuple(dict.fromkeys(what))[:MAX_ASKS] or (Reason(text="The payer does not say what."),),
            line=line,
            control_number=control,
            context=context if form else None,
            due=day(period.get("end")) if isinstance(period, dict) else None,
        )
    ]


def _line(element: Json) -> int | None:
    """The line that an element names: `serviceLineNumber` in 2.2.1, `paLineNumber` before."""
    for name in ("serviceLineNumber", "paLineNumber"):
        for e in extensions(element, name):
            number = whole(e.get("valuePositiveInt", e.get("valueInteger")), 1, _LAST_LINE)
            if number is not None:
                return number
    return None


def _asked_for(request: Json, traces: dict[int, str]) -> list[InformationAsk]:
    """What one CommunicationRequest asks for: documents, and apart from them a form (PAS answers the kinds apart)."""
    payloads = objects(request.get("payload"))
    what = [reason for category in objects(request.get("category")) for reason in reasons_of(category)]
    line: int | None = None
    for element in [request, *payloads]:
        line = line or _line(element)
    for payload in payloads:
        said = text(payload.get("contentString"), 500)
        if said is not None and _LOINC.match(said):
            label = _FORM if said == QUESTIONNAIRE else None
            what.append(Reason(code=said, system=LOINC, text=label))
        elif said is not None:
            what.append(Reason(text=said))
        what += reasons_of(payload.get("contentCodeableConcept"))
        what += [r for e in extensions(payload, "contentModifier") for r in reasons_of(e.get("valueCodeableConcept"))]
    control = next((v for i in objects(request.get("identifier")) if (v := token(i.get("value")))), None)
    times = request.get("occurrencePeriod")
    due = day(times.get("end") if isinstance(times, dict) else request.get("occurrenceDateTime"))
    form = [reason for reason in what if reason.code == QUESTIONNAIRE]
    documents = tuple(dict.fromkeys(reason for reason in what if reason.code != QUESTIONNAIRE))[:MAX_ASKS]
    found: list[InformationAsk] = []
    # A category beside a form only says of what kind the form is.
    if form and all(reason.system != LOINC for reason in documents):
        form, documents = [*form, *documents], ()
    if form:
        context = traces.get(line) if line is not None else next(iter(traces.values()), None)
        found.append(
            InformationAsk(
                what=tuple(dict.fromkeys(form))[:MAX_ASKS], line=line, control_number=control, context=context, due=due
            )
        )
    if documents or not form:
        told = documents or (Reason(text="The payer does not say what."),)
        found.append(InformationAsk(what=told, line=line, control_number=control, due=due))
    return found
