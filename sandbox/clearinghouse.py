"""The clearinghouse `northbridge`: X12 by CAQH CORE, in real time and in batches, with payers behind it.

What it cannot open is a TA1, what does not fit its guide a 999 with the place; only what is accepted reaches a payer's desk.
"""

import asyncio
import hashlib

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from sandbox.answers import LOST, Refused, note, practice_of, spoil, world_of
from sandbox.clearinghouse_core import (
    MIME,
    REST,
    CoreAnswer,
    CoreEnvelope,
    CoreError,
    read_mime,
    read_rest,
    require_whole,
    written,
)
from sandbox.clearinghouse_work import Job, Outgoing, pick_up, work
from sandbox.faults import HTML_PAGE
from sandbox.gate import basic_credentials
from sandbox.records import Practice
from sandbox.x12_parse import Rejected, TA1Rejected
from sandbox.x12_payers import X12_PAYERS
from sandbox.x12_read import Message, read

router = APIRouter(prefix="/clearinghouses/northbridge")
GUIDE_OF = {
    "X12_278_Request_005010X217E1_2": "005010X217",
    "X12_278_Request_005010X215": "005010X215",
    "X12_278_Request_005010X215E1": "005010X215",
    "X12_270_Request_005010X279A1": "005010X279A1",
    "X12_275_Request_005010X211": "005010X211",
    "X12_275_Request_006020X316": "006020X316",
}
PICKUP = "X12_005010_Request_Batch_Results_"
RESULTS, NO_RESULTS = "X12_005010_Response_Batch_Results_278", "X12_005010_Response_NoBatchResultsFile"
RECEIPT = "X12_BatchReceiptConfirmation"
CORE_ERROR = "CoreEnvelopeError"
OPERATIONS = {"inquiry": "inquire", "attachment": "submit-attachment", "eligibility": "eligibility"}
FAILURES_BEFORE_SUCCESS = 2
TRANSIENT = {"702": 429, "703": 500}


def _practice(request: Request) -> Practice:
    practice = practice_of(request)
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if practice is None or scheme.lower() != "basic" or not basic_credentials(value)[1]:
        refused = Refused(401, {"message": "HTTP Basic: the practice as user, and any secret."})
        refused.headers["www-authenticate"] = 'Basic realm="northbridge"'
        raise refused
    return practice


def _named(request: Request, envelope: CoreEnvelope) -> Practice:
    """The practice that a multipart envelope names. Raises CoreError."""
    practice = practice_of(request)
    if practice is None:
        raise CoreError("UnAuthorized", envelope)
    return practice


@router.post("/core/rest/realtime")
async def real_time(request: Request) -> Response:
    """One message, one answer."""
    return await _rest(request, "RealTime", picks_up=False)


@router.post("/core/rest/batch/submit")
async def submit(request: Request) -> Response:
    """Take a file; what comes of it is picked up by the same PayloadID."""
    return await _rest(request, "Batch", picks_up=False)


@router.post("/core/rest/batch/pickup")
async def pickup(request: Request) -> Response:
    """What is there of a submission, or of everything not picked up yet when the PayloadID is not of one."""
    return await _rest(request, "Batch", picks_up=True)


async def _rest(request: Request, mode: str, *, picks_up: bool) -> Response:
    practice = _practice(request)
    try:
        envelope = read_rest(await request.body())
        _fits(envelope, mode, picks_up=picks_up)
        return await _answer(request, practice, envelope)
    except CoreError as wrong:
        return written(CoreAnswer(CORE_ERROR, code=wrong.code, status=wrong.status), wrong.envelope, REST)


def _fits(envelope: CoreEnvelope, mode: str, *, picks_up: bool) -> None:
    """Raise CoreError for an envelope that was sent to another one's address."""
    if envelope.mode != mode:
        raise CoreError("ProcessingModeIllegal", envelope)
    if envelope.payload_type.startswith(PICKUP) != picks_up:
        raise CoreError("PayloadTypeIllegal", envelope)


@router.post("/core/mime")
async def mime(request: Request) -> Response:
    """The same by multipart/form-data; ProcessingMode and PayloadType say what is wanted, UserName by whom."""
    try:
        envelope = read_mime(await request.body(), request.headers.get("content-type", ""))
        return await _answer(request, _named(request, envelope), envelope)
    except CoreError as wrong:
        return written(CoreAnswer(CORE_ERROR, code=wrong.code, status=wrong.status), wrong.envelope, MIME)


async def _answer(request: Request, practice: Practice, envelope: CoreEnvelope) -> Response:
    world = world_of(request)
    if envelope.payload_type.startswith(PICKUP):
        note(request, operation="pickup", payload_id=envelope.payload_id)
        found = pick_up(world, practice, envelope.payload_id)
        return written(CoreAnswer(RESULTS if found else NO_RESULTS, found), envelope, envelope.version)
    if envelope.payload_type not in GUIDE_OF:
        raise CoreError("PayloadTypeIllegal", envelope)
    batch = envelope.mode == "Batch"
    if batch:
        require_whole(envelope)
    digest = hashlib.sha256(envelope.payload).hexdigest()
    if batch and envelope.payload_id in practice.clearinghouse.batches:
        if practice.clearinghouse.batches[envelope.payload_id] != digest:
            raise CoreError("PayloadIDIllegal", envelope)
        practice.duplicate_submits += 1
        note(request, operation="resubmit", payload_id=envelope.payload_id)
        return written(CoreAnswer(RECEIPT, status=202), envelope, envelope.version)
    job = Job(world, practice, envelope.payload_id, batch=batch)
    try:
        message = read(envelope.payload)
        job.admit(message.opened.isa)
    except TA1Rejected as wrong:
        note(request, operation="rejected", code=wrong.code)
        if wrong.isa is None or not wrong.isa.get(13):
            raise CoreError("Sender", envelope, 200) from None
        return _written(job, envelope, job.ta1(wrong.isa, wrong.code), digest)
    except Rejected as wrong:
        note(request, operation="rejected", code="999")
        return _written(job, envelope, job.refused(wrong), digest)
    if message.guide != GUIDE_OF[envelope.payload_type]:
        raise CoreError("PayloadTypeIllegal", envelope)
    return await _accepted(request, job, envelope, message, digest)


async def _accepted(request: Request, job: Job, envelope: CoreEnvelope, message: Message, digest: str) -> Response:
    """A message that fits its guide: the scenarios of the transport, then the payer."""
    asked, practice = message.asked, job.practice
    payer = X12_PAYERS.get(asked.payer)
    operation = OPERATIONS.get(asked.kind, "submit")
    named = payer.id if payer is not None else "unknown"
    note(request, operation=operation, claim_identifier=asked.trace, payer=named, payload_id=envelope.payload_id)
    if operation == "submit" and payer is not None and envelope.mode not in payer.requests:
        raise CoreError("ProcessingModeIllegal", envelope)
    if operation == "submit":
        early = _without_effect(practice, envelope, asked.scenario, asked.trace)
        if early is not None:
            return early
        if asked.scenario == "821":
            return _written(job, envelope, job.ta1(message.opened.isa, "006"), digest)
        if asked.scenario == "820":
            return _written(job, envelope, job.refused_member(message), digest)
    job.seen(message.opened.isa)
    outgoing, effect = work(job, message, payer)
    note(request, effect=effect)
    if effect == "created":
        if asked.scenario == "701":
            await asyncio.sleep(practice.settings.slow_wall_seconds)
        elif asked.scenario == "700":
            spoil(request, LOST)
    return _written(job, envelope, outgoing, digest)


def _without_effect(practice: Practice, envelope: CoreEnvelope, scenario: str, trace: str) -> Response | None:
    """The scenarios in which the clearinghouse never gets as far as taking the request."""
    if scenario == "601":
        raise CoreError("Sender", envelope, 200)
    if scenario == "602":
        return HTMLResponse(HTML_PAGE)
    if scenario == "704":
        return Response(status_code=500)
    if scenario == "823":
        return Response(status_code=403)
    if scenario in TRANSIENT or scenario == "822":
        seen = practice.attempts.get(trace, 0)
        practice.attempts[trace] = seen + 1
        if seen < FAILURES_BEFORE_SUCCESS:
            if scenario == "822":
                raise CoreError("Receiver", envelope, 200)
            headers = {"retry-after": "1"} if scenario == "702" else {}
            return Response(status_code=TRANSIENT[scenario], headers=headers)
    return None


def _written(job: Job, envelope: CoreEnvelope, outgoing: Outgoing, digest: str) -> Response:
    """In real time the answer itself; of a batch the receipt, and the answer into the mailbox."""
    if not job.batch:
        return written(
            CoreAnswer(outgoing.payload_type, outgoing.answer or outgoing.receipt), envelope, envelope.version
        )
    job.practice.clearinghouse.batches[envelope.payload_id] = digest
    job.post(outgoing)
    return written(CoreAnswer(RECEIPT, status=202), envelope, envelope.version)
