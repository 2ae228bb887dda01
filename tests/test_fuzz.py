"""Mutated answers by the hundred, and bombs: every reader answers, soon, within its memory, and approves nothing new.

`make fuzz` does the same with hundreds of thousands (`tests.fuzz`).
"""

import gzip
import multiprocessing
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing.pool import Pool
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from connectors.x12.core import Connectivity, CoreClient, Message, PayloadType
from runtime.errors import AnswerTooLarge
from runtime.httpclient import client
from runtime.settings import Settings
from tests.fuzz import SECONDS, Offence, bounded, mutated, run, try_one
from tests.fuzz_answers import ASKED, RAILS, Granted, Rail
from tests.fuzz_bombs import HEAD, JSON_BOMBS, MB, TAIL, X12_BOMBS, go_off


@pytest.mark.parametrize("rail", RAILS)
def test_five_hundred_mutants_do_no_harm(rail: str) -> None:
    for number in range(500):
        body, most, status = mutated(RAILS[rail], 20261123, number)
        try_one(RAILS[rail], body, most, status)


@pytest.mark.parametrize("rail", RAILS)
def test_the_answers_to_begin_with_grant_and_deny(rail: str) -> None:
    seeds = RAILS[rail].seeds
    assert any(seed.granted.ahead for seed in seeds)
    assert any(not seed.granted.ahead and not seed.granted.authorized for seed in seeds)
    if rail not in {"benefits", "acknowledgments"}:
        assert RAILS[rail].mixed
        assert any(seed.granted.certified for seed in seeds)


def test_the_same_number_is_the_same_input() -> None:
    rail = RAILS["x12"]
    assert [mutated(rail, 1, n)[0] for n in range(20)] == [mutated(rail, 1, n)[0] for n in range(20)]
    assert mutated(rail, 1, 0)[0] != mutated(rail, 2, 0)[0]


def test_no_mutant_writes_a_code_that_approves() -> None:
    for rail in RAILS.values():
        most = max(len(rail.approving.findall(one.body)) for one in rail.seeds)
        assert all(len(rail.approving.findall(mutated(rail, 3, n)[0])) <= 2 * most for n in range(100))


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (lambda _body, _status: Granted(ahead=frozenset({1})), "a line may go ahead"),
        (lambda _body, _status: Granted(authorized=frozenset({3})), "a line is authorized"),
        (lambda _body, _status: Granted(certified=frozenset({3})), "a number certifies a line"),
        (lambda _body, _status: Granted(ahead=frozenset({0})), "a line of nobody's is granted"),
        (lambda _body, _status: Granted(whole=True), "a number certifies the whole"),
        (lambda _body, _status: 1 // 0, "it raises ZeroDivisionError"),
    ],
)
def test_a_reader_that_does_harm_is_found(read: Callable[[bytes, int], Granted], why: str) -> None:
    good = RAILS["x12"]
    bad = Rail("bad", read, good.answers, good.approving, good.protected, good.limiting)
    with pytest.raises(Offence, match=why):
        try_one(bad, b"", Granted(), 200)


def test_what_offends_is_saved_and_the_rest_is_counted(tmp_path: Path) -> None:
    said: list[str] = []
    assert run(["acknowledgments"], 1500, 1, tmp_path, said.append) == 0
    assert said[-1].startswith("acknowledgments: 1,500 of 1,500")
    assert list(tmp_path.iterdir()) == []


# --- what was found once ------------------------------------------------------------------------------------------


def seed(rail: str, name: str) -> bytes:
    return next(one.body for one in RAILS[rail].seeds if one.name == name)


def damaged(rail: str, name: str, this: bytes, that: bytes, after: bytes = b"") -> None:
    """A part of an answer (the first `after` something) that is damaged grants nothing that the whole answer did not."""
    body, granted = seed(rail, name), next(one.granted for one in RAILS[rail].seeds if one.name == name)
    at = body.index(this, body.index(after))
    try_one(RAILS[rail], body[:at] + that + body[at + len(this) :], granted, 200)


def test_an_x12_answer_without_levels_is_read() -> None:
    try_one(RAILS["x12"], HEAD.replace(b"BHT*0007*11*R*20260303*0910*18~", b"") + TAIL, Granted(), 200)


@pytest.mark.parametrize(
    ("name", "this", "that"),
    [
        ("278-answer-aaa-and-a1.edi", b"AAA*", b"AAB*"),
        ("278-answer-aaa-and-a1.edi", b"AAA*", b"AAA8"),
        ("meridian-ppo 400.0", b"HL*7", b"iL*7"),
        ("meridian-ppo 400.0", b"HL*7", b"HI*7"),
        ("meridian-ppo 400.0", b"HCR*A3", b"HXR*A3"),
        ("meridian-ppo 400.0", b"HCR*A3", b"HCR*"),
        ("meridian-ppo 400.0", b"HL*7", b"SE*1*0001~HL*7"),
        ("meridian-ppo 400.0", b"HCR*A3", b"BHT*0007*11*A3"),
    ],
)
def test_a_damaged_part_of_an_x12_answer_leaves_its_lines_undecided(name: str, this: bytes, that: bytes) -> None:
    damaged("x12", name, this, that)


@pytest.mark.parametrize(
    ("this", "that"),
    [
        (b'"item": [', b'"itme": ['),
        (b'"adjudication"', b'"adjudicatoin"'),
        (b'extension-reviewAction"', b'extension-reviewActoin"'),
        (b'"itemSequence": 3', b'"itemSequence": 7'),
        (b'"itemSequence": 3', b'"itemSequence": null'),
        (b'"code": "A3"', b'"code": "A0"'),
        (b'"adjudication": [', b'"adjudication": [0, '),
    ],
)
def test_a_damaged_part_of_a_pas_answer_leaves_its_lines_undecided(this: bytes, that: bytes) -> None:
    for rail in ("pas", "notifications"):
        name = next(one.name for one in RAILS[rail].mixed if "400.0 False whole" in one.name)
        # Line 3 is the one that is denied.
        damaged(rail, name, this, that, b"" if this.startswith(b'"item": ') else b'"itemSequence": 3')


@pytest.mark.parametrize(
    ("this", "that"),
    [(b'"value": "NOT-YOURS-1"', b'"value": 7'), (b'"identifier"', b'"idenfitier"'), (b"NOT-YOURS-1", b"")],
)
def test_an_answer_about_somebody_else_stays_so_when_its_name_is_damaged(this: bytes, that: bytes) -> None:
    # 2.0.1: the answer alone carries the name, and the traces of its items are ours.
    body = seed("pas", "summit-ma another")
    at = body.index(this, body.index(b'"ClaimResponse"'))
    try_one(RAILS["pas"], body[:at] + that + body[at + len(this) :], Granted(), 200)


@pytest.mark.parametrize(
    ("this", "that"),
    [
        (b'"procedures"', b'"proures"'),
        (b'"statusCode": "A3"', b'"statuscode": "A3"'),
        (b'"procedures": [', b'"procedures": [1, '),
    ],
)
def test_a_damaged_part_of_a_gateways_answer_leaves_its_lines_undecided(this: bytes, that: bytes) -> None:
    damaged("gateway", "400.0", this, that)


# --- bombs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bounded_process() -> Iterator[Pool]:
    """A process with little memory and an alarm, as the fuzzer's are."""
    with multiprocessing.get_context("spawn").Pool(1, bounded) as pool:
        yield pool


@pytest.mark.parametrize("bomb", [*JSON_BOMBS, *X12_BOMBS])
def test_a_bomb_goes_off_nowhere(bounded_process: Pool, bomb: str) -> None:
    assert bounded_process.apply(go_off, (bomb,), {"everywhere": False}) == []


class Parts(httpx.AsyncByteStream):
    """An answer as the network hands it over."""

    def __init__(self, whole: bytes) -> None:
        self.whole = whole

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.whole), 65_536):
            yield self.whole[at : at + 65_536]


def http_of(settings: Settings, whole: bytes, **headers: str) -> httpx.AsyncClient:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = httpx.MockTransport(lambda _: httpx.Response(200, headers=named, stream=Parts(whole)))
    return client(settings, transport=answer)


@pytest.mark.parametrize("codings", ["gzip, gzip", "gzip,deflate,gzip", "gzip, identity, gzip"])
async def test_an_answer_packed_in_itself_is_not_unpacked(settings: Settings, codings: str) -> None:
    packed = gzip.compress(gzip.compress(b"0" * 200 * MB))
    assert len(packed) < 10_000
    async with http_of(settings, packed, content_encoding=codings) as http:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge):
                await http.get("http://payer.example/")
            assert tracemalloc.get_traced_memory()[1] < 20 * MB
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_packed_answer_is_unpacked_to_the_limit_only(settings: Settings, coding: str) -> None:
    pack = gzip.compress if coding == "gzip" else zlib.compress
    async with http_of(settings, pack(b"0" * 300 * MB), content_encoding=coding) as http:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge):
                await http.get("http://payer.example/")
            # One piece from the network unpacks to some 67 MB at most, and is let go.
            assert tracemalloc.get_traced_memory()[1] < 150 * MB
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        b"--m\r\n\r\n\r\n" * 300_000,
        b"--m\r\n" + b"Content-Disposition: form-data; " * 250_000,
        b"--m\r\n" + b"Content-Disposition: form-data;\r\n" * 250_000 + b"\r\n\r\nx",
        b"--m\r\nContent-Disposition: form-data; name=Payload\r\n\r\n" + b"ISA*" * 2_000_000,
        b"--m\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n" * 100_000,
        b"--m" * 3_000_000,
    ],
    ids=["parts", "a header", "headers", "a payload", "parts in parts", "boundaries"],
)
async def test_a_bomb_of_many_parts_is_opened_or_handed_on(settings: Settings, body: bytes) -> None:
    http = http_of(settings, body, content_type="multipart/form-data; boundary=m")
    carrier = CoreClient(http, "http://carrier.test", Connectivity.MIME, "u", lambda: "s", "A", "B")
    asked = Message(payload_type=PayloadType.REQUEST, payload_id="11111111-1111", payload=b"ISA", at=ASKED.made_at)
    began = time.process_time()
    answer = await carrier.real_time(asked, writes=False)
    assert time.process_time() - began < SECONDS
    assert len(answer.body) <= len(body)
    try_one(RAILS["x12"], answer.body, Granted(), answer.status)
