"""Write what a payer says as a service review: what was sent, with what was decided beside it.

Shape: Availity Service Reviews 2.0.0, definition ServiceReview. Status codes are X12 306 actions, which the swagger does not
say; the texts beside them are ours.
"""

from datetime import datetime, timedelta

from sandbox.asked import AskedLine
from sandbox.desk import EVENT, Answered
from sandbox.records import Json, LineDecision, PayerError

STATUSES = {
    "A1": "Approved",
    "A2": "Partially approved",
    "A3": "Denied",
    "A4": "Pended",
    "A6": "Modified",
    "C": "Cancelled",
    "CT": "Contact payer",
    "NA": "No authorization required",
}
KEPT_DAYS = 30
"""How long the gateway keeps a record after the last answer."""
_CERTIFIES = frozenset({"A1", "A2", "A6"})


def service_review(sent: Json, record: str, answered: Answered, created: datetime, at: datetime) -> Json:
    """The record as it stands when the payer has answered."""
    body = {
        **sent,
        "id": record,
        "createdDate": _instant(created),
        "updatedDate": _instant(at),
        "expirationDate": _instant(at + timedelta(days=KEPT_DAYS)),
        "controlNumber": f"{int(created.timestamp()):09d}"[-9:],
    }
    if answered.errors:
        return {**body, "validationMessages": [_refusal(error) for error in answered.errors]}
    lines = {line.sequence: line for line in answered.lines}
    procedures = [
        {**procedure, **_decided(lines[place])} if place in lines else procedure
        for place, procedure in enumerate(body.get("procedures", []), start=1)
    ]
    whole = _whole(answered)
    changeable = any(line.action != "A3" for line in answered.lines)
    body |= {**whole, "updatable": changeable, "deletable": changeable, "validationMessages": []}
    if "certificationNumber" in whole:
        body["certificationIssueDate"] = at.date().isoformat()
    return {**body, "procedures": procedures} if procedures else body


def in_progress(sent: Json, record: str, created: datetime) -> Json:
    """The record while the payer has not answered."""
    return {**sent, "id": record, "status": "In Progress", "createdDate": _instant(created)}


def from_payer(answered: Answered) -> Json:
    """What an inquiry finds at the payer and the gateway has no record of: nothing that the payer did not say."""
    asked = answered.asked
    person = asked.person
    lines = {line.sequence: line for line in answered.lines}
    body: Json = {
        "payer": {"id": asked.payer},
        "subscriber": {"memberId": asked.member_id},
        "patient": {"lastName": person.family, "firstName": person.given},
        "procedures": [
            {**_procedure(line), **(_decided(lines[line.sequence]) if line.sequence in lines else {})}
            for line in asked.lines
        ],
    }
    return {**body, **_whole(answered), "traceNumbers": [asked.trace]}


def another_patients(review: Json) -> Json:
    """The answer that belongs to somebody else: another member, another request."""
    stranger = {"memberId": "STRANGER0001", "lastName": "Otherperson", "firstName": "Kim"}
    note = {"message": "Trace number somebody-elses"}
    return {**review, "id": "0", "subscriber": stranger, "providerNotes": [note]}


def error(status: int, text: str, errors: list[Json] | None = None) -> Json:
    """The gateway's ErrorResponse."""
    return {
        "userMessage": text,
        "developerMessage": "See errors." if errors else text,
        "reasonCode": 0,
        "statusCode": status,
        "errors": errors or [],
    }


def _whole(answered: Answered) -> Json:
    """What is said of the whole: the action that all lines share, else "in part", with the first line's reasons."""
    actions = {line.action for line in answered.lines}
    certified = [line for line in answered.lines if line.action in _CERTIFIES]
    code = actions.pop() if len(actions) == 1 else "A2" if certified else "A4"
    whole: Json = {"statusCode": code, "status": STATUSES.get(code, "Unknown to this service")}
    if len(certified) == len(answered.lines) or any(line.sequence == EVENT for line in certified):
        whole |= _certification(certified[0])
    if answered.reference:
        whole["referenceNumber"] = answered.reference
    reasons = _reasons(answered.lines[0])
    if reasons and len({tuple(line.reasons) for line in answered.lines}) == 1:
        whole["statusReasons"] = reasons
    notes = [line.note for line in answered.lines if line.note]
    if answered.asks_for:
        notes.append(f"Send a document of type LOINC {answered.asks_for}, and name {answered.control_number}.")
        whole["traceNumbers"] = [answered.control_number]
    if notes:
        whole["payerNotes"] = [{"type": "Message", "message": note} for note in dict.fromkeys(notes)]
    return whole


def _decided(line: LineDecision) -> Json:
    said: Json = {"statusCode": line.action, "status": STATUSES.get(line.action, "Unknown to this service")}
    if line.reasons:
        said["statusReasons"] = _reasons(line)
    if line.action in _CERTIFIES:
        said |= _certification(line)
        if line.quantity is not None:
            said["quantity"] = str(int(line.quantity))
    return said


def _certification(line: LineDecision) -> Json:
    said: Json = {"certificationNumber": line.number} if line.number else {}
    if line.start is not None:
        said["certificationEffectiveDate"] = line.start.isoformat()
    if line.end is not None:
        said["certificationExpirationDate"] = line.end.isoformat()
    return said


def _reasons(line: LineDecision) -> list[Json]:
    return [{"code": code, "value": f"Reason {code}"} for code in line.reasons]


def _refusal(error: PayerError) -> Json:
    text = f"The payer did not take the request (AAA {error.code}). Correct and resend."
    return {"field": error.path.rpartition(".")[2], "code": error.code, "errorMessage": text, "index": 0}


def _procedure(line: AskedLine) -> Json:
    dates = {"fromDate": line.date_from, "toDate": line.date_to}
    return {
        "qualifierCode": "HC",
        "code": line.code,
        "quantity": str(int(line.units)),
        **{name: day.isoformat() for name, day in dates.items() if day is not None},
    }


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
