"""Write the 278 inquiry (005010X215), which asks how a request stands.

Where we hold numbers of the payer it is asked by them, else by member, principal diagnosis, providers, services and
dates: an inquiry carries one diagnosis. It has a trace number of its own, so that its echo is not taken for our request.
"""

from connectors.codes import SERVICE_TYPES
from connectors.requester import Requester
from connectors.x12 import words
from connectors.x12.identity import inquiry_trace
from connectors.x12.parties import Pen, X12Payer, day
from connectors.x12.request import category, head, last_level, patient_levels, place, providers, references, served
from connectors.x12.segments import Segment, segment
from domain.decision import Number
from domain.request import Request


def inquiry_278(
    request: Request, requester: Requester, payer: X12Payer, numbers: tuple[Number, ...] = ()
) -> list[Segment]:
    """Return the body of a transaction that asks how a request stands, by the payer's numbers where there are any."""
    pen = Pen(payer.charset)
    lines = request.service_lines
    trace = pen.key(inquiry_trace(request.trace))
    made = [head(words.PURPOSE_INQUIRY, trace, request.made_at), *patient_levels(request, requester, payer, pen)]
    above = last_level(made)
    named = references(numbers, pen)
    first = min(line.service_from for line in lines)
    last = max(line.service_to or line.service_from for line in lines)
    made += [
        segment("HL", above + 1, above, words.EVENT, 0 if named else 1),
        segment("TRN", 1, trace, requester.originator),
        segment("UM", category(request), words.INITIAL, SERVICE_TYPES[lines[0].category], place(lines[0])),
        *named,
        segment("DTP", words.EVENT_DATE, "RD8", f"{day(first)}-{day(last)}"),
        segment("HI", ("ABK", request.order.diagnoses[0].replace(".", ""))),
        *providers(request, pen),
    ]
    if named:
        return made
    for count, line in enumerate(lines, start=above + 2):
        made += [
            segment("HL", count, above + 1, words.SERVICE, 0),
            segment("UM", category(request), None, None, place(line)),
            served(line),
            segment("SV1", ("HC", line.code, *line.modifiers)),
        ]
    return made
