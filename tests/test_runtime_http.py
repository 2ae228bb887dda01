"""The HTTP client: its limits, the case's time, and silence about what it carries."""

import gzip
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from typing_extensions import override

from runtime.errors import AnswerTooLarge, UnknownPlaceholder
from runtime.httpclient import NOW_HEADER, case_now, client
from runtime.settings import Settings

AT = datetime(2026, 7, 1, 9, 30, tzinfo=timezone(timedelta(hours=-5)))


def echo(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"now": request.headers.get(NOW_HEADER), "url": str(request.url)})


async def test_the_cases_time_is_sent_in_utc_where_the_settings_ask_for_it(settings: Settings) -> None:
    async with client(settings, base_url="{sandbox}/payers", transport=httpx.MockTransport(echo)) as http:
        with case_now(AT):
            inside = (await http.get("/meridian-ppo")).json()
        outside = (await http.get("/meridian-ppo")).json()

    assert inside == {"now": "2026-07-01T14:30:00Z", "url": "http://127.0.0.1:8090/payers/meridian-ppo"}
    assert outside["now"] is None


async def test_the_cases_time_is_not_sent_to_the_real_world(settings: Settings) -> None:
    production = settings.model_copy(update={"send_case_time": False})
    async with client(production, transport=httpx.MockTransport(echo)) as http:
        with case_now(AT):
            assert (await http.get("https://pas.example/")).json()["now"] is None


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"), case_now(AT.replace(tzinfo=None)):
        pass


def test_an_unknown_host_is_refused_before_anything_is_sent(settings: Settings) -> None:
    with pytest.raises(UnknownPlaceholder):
        client(settings, base_url="{nowhere}/x")


class Endless(httpx.AsyncByteStream):
    """An answer that does not end, and counts how much of it was read."""

    def __init__(self) -> None:
        self.chunks = 0

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.chunks += 1
            yield b"x" * 1000


async def test_an_endless_answer_is_read_to_the_limit_only(settings: Settings) -> None:
    endless = Endless()
    answer = httpx.MockTransport(lambda _: httpx.Response(200, stream=endless))
    async with client(settings, transport=answer, max_bytes=10_000) as http:
        with pytest.raises(AnswerTooLarge, match="10000 bytes"):
            await http.get("http://payer.example/")
    assert endless.chunks == 11


async def test_a_small_answer_that_unpacks_to_a_huge_one_is_refused(settings: Settings) -> None:
    packed = gzip.compress(b"0" * 20_000_000)
    assert len(packed) < 100_000

    class Packed(httpx.AsyncByteStream):
        @override
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield packed

    answer = httpx.MockTransport(lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Packed()))
    async with client(settings, transport=answer) as http:
        with pytest.raises(AnswerTooLarge):
            await http.get("http://payer.example/")


async def test_an_answer_at_the_limit_is_read_whole(settings: Settings) -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=b"x" * 10_000))
    async with client(settings, transport=answer, max_bytes=10_000) as http:
        assert len((await http.get("http://payer.example/")).content) == 10_000


async def test_redirects_are_not_followed(settings: Settings) -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(302, headers={"location": "http://elsewhere.example/"}))
    async with client(settings, transport=answer) as http:
        assert (await http.get("http://payer.example/")).status_code == 302
