"""The CAQH CORE client against the sandbox's clearinghouse over HTTP, in both shapes, and over a transport that fails."""

import asyncio
import base64
import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import Busy, ConnectorError, OutcomeUnknown, Refused, Unreachable
from connectors.x12.acknowledgment import read_acknowledgments
from connectors.x12.answer import read_answers
from connectors.x12.core import Connectivity, CoreClient, Message, PayloadType, _opened
from connectors.x12.envelope import Controls
from connectors.x12.identity import ours
from connectors.x12.parties import X12Payer
from connectors.x12.request import interchange, request_278
from domain.decision import Outcome
from domain.request import Request
from tests.pas_requests import PRACTICE, order, request

AT = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
BOTH = tuple(Connectivity)
_controls = iter(range(1, 10_000))


def payer(code: str) -> X12Payer:
    return X12Payer(name="A payer", payer_code=code, sender="LAKESIDE", receiver="NORTHBRIDGE", usage="P")


def asked(scenario: str, name: str) -> Request:
    about = order(coverage={"member_id": f"MEM000{scenario}"}, documents=())
    return request(about, documents=(), trace=f"case-{name}-1")


def message(scenario: str, name: str, code: str = "MERID") -> Message:
    number = next(_controls)
    body = request_278(asked(scenario, name), PRACTICE, payer(code))
    raw = interchange([body], payer(code), Controls(interchange=number, group=number, transaction=number), AT)
    return Message(payload_type=PayloadType.REQUEST, payload_id=str(uuid.uuid4()), payload=raw, at=AT)


class Carrier:
    """One practice of its own at the sandbox's clearinghouse."""

    def __init__(self, http: httpx.AsyncClient, sandbox_url: str) -> None:
        self.http, self.url = http, f"{sandbox_url}/clearinghouses/northbridge/core"
        self.practice = f"t-{uuid.uuid4().hex[:8]}"

    def client(self, version: Connectivity, **changes: Any) -> CoreClient:
        values: dict[str, Any] = {
            "http": self.http,
            "base_url": f"{self.url}/{'rest' if version is Connectivity.REST else 'mime'}",
            "connectivity": version,
            "user": self.practice,
            "secret": lambda: "any",
            "sender": "LAKESIDE",
            "receiver": "NORTHBRIDGE",
            **changes,
        }
        return CoreClient(**values)


@pytest.fixture
async def carrier(sandbox_url: str) -> AsyncIterator[Carrier]:
    async with httpx.AsyncClient(headers={"X-Vigil-Now": AT.isoformat()}) as http:
        yield Carrier(http, sandbox_url)
    await asyncio.sleep(0)


# --- against the clearinghouse ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", BOTH)
async def test_a_question_in_real_time_brings_its_answer(carrier: Carrier, version: Connectivity) -> None:
    answer = await carrier.client(version).real_time(message("100", carrier.practice), writes=True)
    assert (answer.status, answer.media_type) == (200, "application/edi-x12")
    assert answer.http_id is not None
    (decision,) = read_answers(answer.body, answer.media_type, answer.status, ours(asked("100", carrier.practice)))
    assert {line.decision for line in decision.lines} == {Outcome.APPROVED}


@pytest.mark.parametrize("version", BOTH)
async def test_a_batch_is_handed_over_and_picked_up_by_its_id(carrier: Carrier, version: Connectivity) -> None:
    client, sent = carrier.client(version), message("100", carrier.practice, "BLSTM")
    taken = await client.submit_batch(sent)
    assert (taken.status, taken.body, taken.http_id) == (202, b"", sent.payload_id)
    # The same again is taken once.
    assert (await client.submit_batch(sent)).http_id == sent.payload_id
    first = await client.pick_up(sent.payload_id, AT)
    (acknowledged,) = read_acknowledgments(first.body)
    assert acknowledged.accepted
    carrier.http.headers["X-Vigil-Now"] = (AT + timedelta(hours=5)).isoformat()
    later = await client.pick_up(sent.payload_id, AT)
    assert len(read_answers(later.body, later.media_type, later.status)) == 1


@pytest.mark.parametrize("version", BOTH)
async def test_nothing_there_is_an_empty_answer(carrier: Carrier, version: Connectivity) -> None:
    assert (await carrier.client(version).pick_up(str(uuid.uuid4()), AT)).body == b""


@pytest.mark.parametrize("version", BOTH)
async def test_who_is_not_known_is_refused(carrier: Carrier, version: Connectivity) -> None:
    client = carrier.client(version, secret=lambda: "")
    said = "core:401" if version is Connectivity.REST else "core:PasswordRequired"
    with pytest.raises(Refused, match=said):
        await client.real_time(message("100", carrier.practice), writes=True)


@pytest.mark.parametrize(
    ("scenario", "error", "code"),
    [
        ("601", Refused, "core:Sender"),
        ("822", Unreachable, "core:Receiver"),
        ("702", Busy, "429"),
        ("703", OutcomeUnknown, "500"),
        ("700", OutcomeUnknown, "RemoteProtocolError"),
    ],
)
@pytest.mark.parametrize("version", BOTH)
async def test_what_goes_wrong_says_what_may_have_happened(
    carrier: Carrier, version: Connectivity, scenario: str, error: type[ConnectorError], code: str
) -> None:
    with pytest.raises(error) as wrong:
        await carrier.client(version).real_time(message(scenario, carrier.practice), writes=True)
    assert wrong.value.code == code


async def test_a_message_at_the_wrong_address_or_of_the_wrong_version_is_refused(carrier: Carrier) -> None:
    rest = carrier.client(Connectivity.REST)
    with pytest.raises(Refused, match="core:ProcessingModeIllegal"):
        await rest.submit_batch(message("100", carrier.practice, "HARBR"))
    crossed = carrier.client(Connectivity.MIME, base_url=f"{carrier.url}/rest/realtime")
    with pytest.raises(Refused, match="core:401"):
        await crossed.real_time(message("100", carrier.practice), writes=True)


async def test_a_page_in_place_of_an_envelope_is_handed_on_as_it_came(carrier: Carrier) -> None:
    answer = await carrier.client(Connectivity.REST).real_time(message("602", carrier.practice), writes=True)
    assert b"<html" in answer.body.lower()
    assert "html" in (answer.media_type or "")


@pytest.mark.parametrize(("writes", "error"), [(True, OutcomeUnknown), (False, Busy)])
async def test_an_answer_that_does_not_come_in_time(
    carrier: Carrier, writes: bool, error: type[ConnectorError]
) -> None:
    client = carrier.client(Connectivity.REST, answer_timeout=timedelta(seconds=0.5))
    with pytest.raises(error) as late:
        await client.real_time(message("701", carrier.practice), writes=writes)
    if isinstance(late.value, Busy):
        # CORE: what was not answered is asked again at the earliest 90 seconds after it was sent.
        assert late.value.retry_after is not None
        assert timedelta(seconds=85) < late.value.retry_after <= timedelta(seconds=90)


async def test_without_a_connection_nothing_happened(carrier: Carrier) -> None:
    client = carrier.client(Connectivity.REST, base_url="http://127.0.0.1:1/core/rest")
    with pytest.raises(Unreachable, match="ConnectError"):
        await client.real_time(message("100", carrier.practice), writes=True)


# --- envelopes of any kind ----------------------------------------------------------------------------------------


def over(handler: Callable[[httpx.Request], httpx.Response], **changes: Any) -> CoreClient:
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    version = changes.pop("version", Connectivity.REST)
    return CoreClient(http, "http://carrier.test/core", version, "lakeside", lambda: "s", "A", "B", **changes)


SENT = Message(payload_type=PayloadType.REQUEST, payload_id=str(uuid.uuid4()), payload=b"ISA", at=AT)


async def test_what_is_sent_is_the_envelope_of_the_rule() -> None:
    seen: list[httpx.Request] = []

    def answer(asked: httpx.Request) -> httpx.Response:
        seen.append(asked)
        return httpx.Response(200, json={"ErrorCode": "Success", "Payload": ""})

    await over(answer).real_time(SENT, writes=True)
    (sent,) = seen
    assert str(sent.url) == "http://carrier.test/core/realtime"
    assert base64.b64decode(sent.headers["authorization"].split()[1]) == b"lakeside:s"
    assert sent.content == (
        b'{"PayloadType":"X12_278_Request_005010X217E1_2","ProcessingMode":"RealTime","PayloadID":"'
        + SENT.payload_id.encode()
        + b'","TimeStamp":"2026-03-02T16:00:00Z","SenderID":"A","ReceiverID":"B","CORERuleVersion":"4.0.0",'
        b'"Payload":"SVNB"}'
    )


async def test_a_file_goes_with_its_length_and_checksum_and_by_mime_who_sends_it_is_in_the_envelope() -> None:
    seen: list[httpx.Request] = []

    def answer(asked: httpx.Request) -> httpx.Response:
        seen.append(asked)
        return httpx.Response(200, json={"ErrorCode": "Success", "Payload": ""})

    for version in BOTH:
        await over(answer, version=version).submit_batch(SENT)
    by_rest, by_mime = seen
    digest = "52ed4c0e368a0a00727dc535486a79efe92ff917"
    assert {name: json.loads(by_rest.content)[name] for name in ("PayloadLength", "CheckSum")} == {
        "PayloadLength": "3",
        "CheckSum": digest,
    }
    assert "authorization" not in by_mime.headers
    parts = dict(re.findall(rb'name="(\w+)"\r\n(?:Content-Type: [^\r]*\r\n)?\r\n([^\r]*)\r\n', by_mime.content))
    assert (parts[b"UserName"], parts[b"Password"]) == (b"lakeside", b"s")
    assert (parts[b"PayloadLength"], parts[b"CheckSum"], parts[b"Payload"]) == (b"3", digest.encode(), b"ISA")


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (httpx.Response(200, json={"ErrorCode": "Receiver"}), Unreachable, "core:Receiver"),
        (httpx.Response(200, json={"ErrorCode": "ChecksumMismatched"}), Unreachable, "core:ChecksumMismatched"),
        (httpx.Response(200, content=b" "), OutcomeUnknown, "core:no_envelope"),
        (
            httpx.Response(200, json={"ErrorCode": "Success", "Payload": "SVNB", "CheckSum": "00"}),
            OutcomeUnknown,
            "core:checksum",
        ),
        (httpx.Response(400, json={"ErrorCode": "PayloadIDRequired"}), Refused, "core:PayloadIDRequired"),
        (httpx.Response(200, json={"ErrorCode": "Mary Smith 1970"}), Refused, "core:unknown_code"),
        (httpx.Response(400, json={"ErrorCode": "Success"}), Refused, "core:400"),
        (httpx.Response(404, text="no"), Refused, "core:404"),
        (httpx.Response(302, headers={"location": "/"}), Refused, "core:302"),
        (httpx.Response(503, headers={"retry-after": "1"}), OutcomeUnknown, "503"),
        (httpx.Response(502), OutcomeUnknown, "502"),
    ],
)
async def test_every_refusal_has_its_type_and_no_words_of_the_other_side(
    answer: httpx.Response, error: type[ConnectorError], code: str
) -> None:
    with pytest.raises(error) as wrong:
        await over(lambda _: answer).real_time(SENT, writes=True)
    assert wrong.value.code == code


def answering(page: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: page


async def test_what_is_no_envelope_does_not_say_that_a_mailbox_is_empty() -> None:
    for page in (httpx.Response(200, text="<html>Soon back.</html>"), httpx.Response(200)):
        with pytest.raises(Unreachable, match="core:no_envelope"):
            await over(answering(page)).pick_up(SENT.payload_id, AT)


@pytest.mark.parametrize("payload", ["not base64!", 7, ["a"]])
async def test_a_payload_that_cannot_be_opened_is_handed_on_whole(payload: object) -> None:
    body = {"ErrorCode": "Success", "Payload": payload}
    answer = await over(lambda _: httpx.Response(200, json=body)).real_time(SENT, writes=True)
    assert b"ErrorCode" in answer.body


async def test_binary_payloads_pass_a_multipart_answer_unchanged() -> None:
    payload = b"ISA\r\n\x00\xff--x\r\n\r\nbinary\r\n"
    body = b"--m1\r\nContent-Disposition: form-data; name=ErrorCode\r\n\r\nSuccess\r\n"
    body += b'--m1\r\nContent-Disposition: form-data; name="Payload"; filename="p"\r\n'
    body += b"Content-Type: application/octet-stream\r\n\r\n" + payload + b"\r\n--m1--\r\n"
    headers = {"content-type": 'multipart/form-data; boundary="m1"'}
    client = over(lambda _: httpx.Response(200, content=body, headers=headers), version=Connectivity.MIME)
    assert (await client.real_time(SENT, writes=True)).body == payload


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=300), kind=st.sampled_from(["multipart/form-data; boundary=m", "application/json", "x"]))
def test_any_answer_is_opened_handed_on_or_a_typed_error(body: bytes, kind: str) -> None:
    whole = b"--m\r\nContent-Disposition: form-data; name=Payload\r\n\r\n" + body
    try:
        found = _opened(httpx.Response(200, content=whole, headers={"content-type": kind}), writes=True)
    except ConnectorError:
        return
    assert found.status == 200
