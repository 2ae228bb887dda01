"""The check of a payer behind a clearinghouse: a 270 about nobody, in real time, marked as a test (ISA15 T).

CAQH CORE offers nothing that is less: a pickup may hand over what waits for others, and an envelope without a payload is an
error. The person in it does not exist, and a question about eligibility changes nothing. What a payer takes by 278 is not
proven by it.
"""

from datetime import UTC, datetime
from uuid import uuid4

from connectors.errors import NotUnderstood, Refused
from connectors.offer import Offer
from connectors.raw import RawAnswer
from connectors.requester import Requester
from connectors.x12 import envelope
from connectors.x12.acknowledgment import read_acknowledgments
from connectors.x12.core import CoreClient, Message, PayloadType
from connectors.x12.eligibility import GUIDE
from connectors.x12.envelope import Controls, build
from connectors.x12.parties import Pen, X12Payer, day
from connectors.x12.segments import NotX12, segment

_NOBODY = ("CHECK", "CONNECTIVITY", "NOBODY")
"""Family name, given name and member id of a person who does not exist."""
_BORN = "19000101"
_NAME = 60
_PLAN = "30"
_TRACE = "CONNECTIVITY"


async def check(client: CoreClient, practice: Requester, payer: X12Payer, controls: Controls, at: datetime) -> Offer:
    """Ask about nobody, and say what answered: the payer (271), the clearinghouse (TA1, 999), or neither.

    Raises:
        Unreachable, Busy: it cannot be looked at now.
        Refused: the clearinghouse does not let this practice in.
        NotUnderstood: what came is no answer in X12.
    """
    question = Message(
        payload_type=PayloadType.ELIGIBILITY,
        payload_id=str(uuid4()),
        payload=question_about_nobody(practice, payer, controls, at),
        at=at,
    )
    try:
        answer = await client.real_time(question, writes=False)
    except Refused as refused:
        said = refused.code.removeprefix("core:")
        if not said.isalpha():
            raise
        return Offer(says=(f"the clearinghouse takes no eligibility in real time ({said})",))
    return Offer(says=(_said(answer),))


def question_about_nobody(practice: Requester, payer: X12Payer, controls: Controls, at: datetime) -> bytes:
    """Return the interchange: a 270 about a person who does not exist."""
    moment, pen = at.astimezone(UTC), Pen(payer.charset)
    family, given, member = _NOBODY
    body = [
        segment("BHT", "0022", "13", _TRACE, f"{moment:%Y%m%d}", f"{moment:%H%M}"),
        segment("HL", 1, None, "20", 1),
        segment(
            "NM1", "PR", 2, pen.words(payer.name, _NAME), *[None] * 4, payer.code_qualifier, pen.key(payer.payer_code)
        ),
        segment("HL", 2, 1, "21", 1),
        segment("NM1", "1P", 2, pen.words(practice.name, _NAME), *[None] * 4, "XX", practice.npi),
        segment("HL", 3, 2, "22", 0),
        segment("TRN", 1, _TRACE, practice.originator),
        segment("NM1", "IL", 1, family, given, None, None, None, "MI", member),
        segment("DMG", "D8", _BORN),
        segment("DTP", "291", "D8", day(moment.date())),
        segment("EQ", _PLAN),
    ]
    return build(payer.route.model_copy(update={"usage": "T"}), controls, at, "270", GUIDE, [body])


def _said(answer: RawAnswer) -> str:
    try:
        sets = {one.set_id for interchange in envelope.read(answer.body) for one in interchange.transactions}
    except NotX12:
        media_type = answer.media_type or "application/octet-stream"
        raise NotUnderstood("core:no_x12", answer.body, media_type) from None
    if "271" in sets:
        return "the payer answers eligibility in real time (271)"
    refused = next((one for one in read_acknowledgments(answer.body) if not one.accepted), None)
    if refused is not None:
        codes = " ".join([refused.code, *(fault.code for fault in refused.faults[:3])])
        return f"the clearinghouse answers, and does not take a test in ({refused.kind} {codes})"
    return "the clearinghouse answers; the payer did not"
