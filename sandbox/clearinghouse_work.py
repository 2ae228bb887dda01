"""What the clearinghouse does with a message: acknowledges it, takes it to the payer's desk, keeps answers for pickup."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sandbox import desk, x12_acks, x12_eligibility
from sandbox.asked import Asked
from sandbox.desk import Answered
from sandbox.records import HeldReview, Mail, PayerError, Practice
from sandbox.world import World
from sandbox.x12_parse import Fault, Rejected, Segment, TA1Rejected
from sandbox.x12_payers import CLEARINGHOUSE, X12_PAYERS, X12Payer
from sandbox.x12_read import Message
from sandbox.x12_write import Envelope, Reply, interchange, response

TYPES = {
    "005010X217": "X12_278_Response_005010X217E1_2",
    "005010X215": "X12_278_Response_005010X215",
    "005010X279A1": "X12_271_Response_005010X279A1",
}
ACKNOWLEDGED, INTERCHANGE = "X12_999_Response_005010X231A1", "X12_TA1_Response_005010X231A1"
OTHER_PERSON = "MBR000000000604"


@dataclass(frozen=True)
class Outgoing:
    """What goes back: an acknowledgement, and the answer, which of a batch is ready `after` a while."""

    payload_type: str
    receipt: bytes = b""
    answer: bytes = b""
    after: timedelta = timedelta(0)


@dataclass
class Job:
    """One submission of one practice."""

    world: World
    practice: Practice
    payload_id: str
    batch: bool

    @property
    def now(self) -> datetime:
        """The practice's time."""
        return self.world.now(self.practice)

    def envelope(self, isa: Segment, group_receiver: str) -> Envelope:
        """The envelope of an answer to whom sent this."""
        number = self.world.next_number()
        return Envelope(isa.get(6).strip(), isa.get(5), group_receiver, number, self.now, isa.get(15))

    def admit(self, isa: Segment) -> None:
        """Raise TA1Rejected for a receiver that is not known here, or a control number that was used."""
        if isa.get(8).strip().upper() not in (CLEARINGHOUSE, *X12_PAYERS):
            raise TA1Rejected("009", isa)
        if _control(isa) in self.practice.clearinghouse.controls:
            raise TA1Rejected("025", isa)

    def seen(self, isa: Segment) -> None:
        """Keep the control number as used."""
        self.practice.clearinghouse.controls.append(_control(isa))

    def ta1(self, isa: Segment, code: str) -> Outgoing:
        """The rejection of an interchange."""
        return Outgoing(INTERCHANGE, receipt=x12_acks.ta1(isa, code, self.envelope(isa, "")))

    def refused(self, wrong: Rejected) -> Outgoing:
        """The rejection of a transaction set; its control number is used up. A reused one is a TA1 all the same."""
        opened = wrong.opened
        if opened is None:
            raise TypeError("a rejected transaction set has an envelope")
        try:
            self.admit(opened.isa)
        except TA1Rejected as worse:
            return self.ta1(opened.isa, worse.code)
        self.seen(opened.isa)
        envelope = self.envelope(opened.isa, opened.gs.get(2))
        return Outgoing(ACKNOWLEDGED, receipt=x12_acks.rejected(opened, wrong, envelope))

    def refused_member(self, message: Message) -> Outgoing:
        """Scenario 820: a 999 at the member id."""
        opened = message.opened
        position = next(n for n, s in enumerate(opened.segments, 1) if s.id == "NM1" and s.get(1) == "IL")
        fault = Fault("NM1", position, "2010C", "8", 9, 0, "I12")
        return self.refused(Rejected([fault], ["5"], [], opened))

    def accepted(self, message: Message) -> bytes:
        """The 999 of what was taken, after a TA1 where one is wanted."""
        opened = message.opened
        first = b""
        if message.acknowledge:
            first = x12_acks.ta1(opened.isa, "000", self.envelope(opened.isa, ""))
        return first + x12_acks.accepted(opened, self.envelope(opened.isa, opened.gs.get(2)))

    def post(self, outgoing: Outgoing) -> None:
        """Put a batch's acknowledgement and answer into the mailbox."""
        mail, now = self.practice.clearinghouse.mail, self.now
        for content, due in ((outgoing.receipt, now), (outgoing.answer, now + outgoing.after)):
            if content:
                mail.append(Mail(payload_id=self.payload_id, due=due, x12=content.decode()))


def work(job: Job, message: Message, payer: X12Payer | None) -> tuple[Outgoing, str]:
    """Take an accepted message to its payer: what goes back, and what came of it."""
    asked, receipt = message.asked, job.accepted(message)
    envelope = job.envelope(message.opened.isa, message.opened.gs.get(2))
    if asked.kind == "attachment":
        effect = _attach(job, payer, asked)
        return Outgoing(ACKNOWLEDGED, receipt=receipt), effect
    if asked.kind == "eligibility":
        at = job.now
        rows = (
            x12_eligibility.answer(asked, payer, message.reference, at)
            if payer is not None
            else x12_eligibility.unknown_payer(asked, message.reference, at)
        )
        marks, line = (payer or _STANDARD).delimiters, (payer or _STANDARD).line_break
        text = interchange(rows, "HB", message.guide, envelope, marks, line)
        return Outgoing(TYPES[message.guide], receipt, text, (payer or _STANDARD).answer_after), "answered"
    events, effect = _review(job, message, payer)
    writer = payer or _STANDARD
    shown = asked
    if asked.scenario == "604" and effect == "created":
        shown, events = _another(asked), [(replace(a, asked=_another(a.asked)), r) for a, r in events]
    rows = response(events, shown, writer, message.guide, message.reference, job.now)
    text = interchange(rows, "HI", message.guide, envelope, writer.delimiters, writer.line_break)
    if asked.scenario == "603" and effect == "created":
        text = text[: len(text) // 2]
    return Outgoing(TYPES[message.guide], receipt, text, writer.answer_after), effect


_STANDARD = next(iter(X12_PAYERS.values()))


def _review(job: Job, message: Message, payer: X12Payer | None) -> tuple[list[tuple[Answered, Reply]], str]:
    """A 278: to the desk, unless the payer is not known or what CORE demands (a birth date) is missing."""
    asked = message.asked
    mine = Reply(message.category, message.certification, message.service_type, message.line_traces)
    wrong = None
    if payer is None:
        wrong = PayerError(code="79", follow_up="C", path="payer")
    elif asked.kind != "inquiry" and not asked.referral and asked.urgency == "routine" and not asked.person.birth_date:
        wrong = PayerError(code="58", follow_up="C", path="subscriber")
    if wrong is not None or payer is None:
        return [(Answered("refused", job.now, asked, errors=(wrong,) if wrong else ()), mine)], "refused"
    if asked.kind == "inquiry":
        found = desk.inquire(job.world, job.practice, payer.profile, asked)
        return [(_echoed(answer, asked), _reply_of(answer.held)) for answer in found], "inquired"
    answer = desk.take(job.world, job.practice, payer.profile, "x12", asked)
    if answer.held is not None and answer.effect in ("created", "updated", "cancelled"):
        _remember(job, answer.held, message)
        announce(job.practice, answer.held, payer, job.now)
    if not mine.line_traces:
        mine = replace(mine, line_traces=_reply_of(answer.held).line_traces)
    return [(_echoed(answer, asked), mine)], answer.effect


def _echoed(answer: Answered, asked: Asked) -> Answered:
    """The same with the trace of the message that is answered: a cancel and an inquiry have one of their own."""
    return replace(answer, asked=replace(answer.asked, trace=asked.trace, originator=asked.originator))


def _remember(job: Job, held: HeldReview, message: Message) -> None:
    opened = message.opened
    if message.asked.kind != "cancel":
        held.wire |= {
            "category": message.category,
            "service_type": message.service_type,
            "line_traces": "\n".join(message.line_traces),
        }
    held.wire |= {
        "payload_id": job.payload_id,
        "reference": message.reference,
        "sender": opened.isa.get(6).strip(),
        "qualifier": opened.isa.get(5),
        "group": opened.gs.get(2),
        "usage": opened.isa.get(15),
    }


def _reply_of(held: HeldReview | None) -> Reply:
    wire = held.wire if held is not None else {}
    traces = tuple(wire.get("line_traces", "").split("\n")) if wire.get("line_traces") else ()
    return Reply(category=wire.get("category", "HS"), service_type=wire.get("service_type", "1"), line_traces=traces)


def announce(practice: Practice, held: HeldReview, payer: X12Payer, now: datetime) -> None:
    """Plan what the payer will say of its own accord; what was planned of this request before is dropped."""
    house = practice.clearinghouse
    reference = held.administrative_number
    house.mail = [mail for mail in house.mail if mail.reference != reference or mail.due <= now]
    house.mail += [
        Mail(
            payload_id=held.wire.get("payload_id", ""),
            due=due,
            payer_code=payer.code,
            reference=reference,
            as_of=as_of,
        )
        for due, as_of in desk.notices(held, now)
    ]


def _attach(job: Job, payer: X12Payer | None, asked: Asked) -> str:
    """A 275: to the request that waits for it, if there is one."""
    if payer is None:
        return "refused"
    answer = desk.attach(job.world, job.practice, payer.profile, asked)
    if answer.held is not None and answer.held.rail == "x12":
        announce(job.practice, answer.held, payer, job.now)
    return answer.effect


def pick_up(world: World, practice: Practice, payload_id: str) -> bytes:
    """What is ready of a submission, every time all of it; or, by another id, all that nobody has picked up yet."""
    now, house = world.now(practice), practice.clearinghouse
    known = any(mail.payload_id == payload_id for mail in house.mail) or payload_id in house.batches
    ready = sorted((mail for mail in house.mail if mail.due <= now), key=lambda mail: mail.due)
    if known:
        ready = [mail for mail in ready if mail.payload_id == payload_id]
    else:
        ready = [mail for mail in ready if mail.taken_by in ("", payload_id)]
    content = b""
    for mail in ready:
        mail.taken_by = mail.taken_by or payload_id
        content += mail.x12.encode() if mail.x12 else _notice(world, practice, mail)
    return content


def _notice(world: World, practice: Practice, mail: Mail) -> bytes:
    """An unsolicited 278 response: the state of a request as of then."""
    payer = X12_PAYERS[mail.payer_code]
    held = next((h for h in practice.reviews if h.administrative_number == mail.reference), None)
    if held is None or mail.as_of is None:
        return b""
    wire = held.wire
    envelope = Envelope(
        wire["sender"], wire["qualifier"], wire["group"], world.next_number(), mail.due, wire.get("usage", "T")
    )
    answer = desk.answer(held, mail.as_of)
    rows = response([(answer, _reply_of(held))], held.asked, payer, "005010X217", wire["reference"], mail.due)
    return interchange(rows, "HI", "005010X217", envelope, payer.delimiters, payer.line_break)


def _another(asked: Asked) -> Asked:
    """The same about somebody else."""
    person = replace(asked.subscriber, family="Other", given="Person")
    return replace(asked, member_id=OTHER_PERSON, trace=f"{asked.trace}-OTHER", subscriber=person, patient=None)


def _control(isa: Segment) -> str:
    return f"{isa.get(6).strip()}:{isa.get(13)}"
