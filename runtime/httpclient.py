"""The one way to make an HTTP client for an outside system: timeouts, limits, the size of answers, and the case's time.

Connectors take a client from here (or one over a test transport). Nothing about a request or answer is logged but its
kind.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from ssl import SSLContext, SSLError, create_default_context
from typing import Any

import httpx
from typing_extensions import override

from runtime.errors import AnswerTooLarge, SettingsError
from runtime.settings import Settings, require_private

MAX_ANSWER_BYTES = 10 * 1024 * 1024
NOW_HEADER = "X-Vigil-Now"
_CONNECT_SECONDS, _READ_SECONDS, _POOL_SECONDS = 5.0, 60.0, 10.0

_case_now: ContextVar[datetime | None] = ContextVar("vigil_case_now", default=None)


@contextmanager
def case_now(now: datetime) -> Iterator[None]:
    """Send `now`, the case's time (timezone-aware), with requests made in the block, where the settings ask for it."""
    if now.tzinfo is None:
        raise ValueError("The case's time must have a time zone.")
    token = _case_now.set(now)
    try:
        yield
    finally:
        _case_now.reset(token)


def client(
    settings: Settings,
    *,
    base_url: str = "",
    headers: Mapping[str, str] | None = None,
    verify: SSLContext | bool = True,
    read_seconds: float = _READ_SECONDS,
    max_bytes: int = MAX_ANSWER_BYTES,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """Return a client; close it, or use it in `async with`.

    `base_url` may hold placeholders. `read_seconds` is the longest silence of the other side. `transport` replaces the
    network in tests; the limits hold over it too. Redirects are not followed.

    Raises:
        UnknownPlaceholder: of `base_url`.
        AnswerTooLarge: (on a request) the answer, decompressed, is larger than `max_bytes`, or is packed in itself.
    """
    network = transport or httpx.AsyncHTTPTransport(
        verify=verify, limits=httpx.Limits(max_connections=50, max_keepalive_connections=10, keepalive_expiry=30)
    )
    return httpx.AsyncClient(
        base_url=settings.resolve_url(base_url),
        headers={"User-Agent": f"vigil/{settings.build_id}", **(headers or {})},
        timeout=httpx.Timeout(connect=_CONNECT_SECONDS, read=read_seconds, write=_READ_SECONDS, pool=_POOL_SECONDS),
        transport=_LimitedTransport(network, max_bytes=max_bytes, send_case_time=settings.send_case_time),
    )


def tls(settings: Settings, name: str) -> SSLContext | bool:
    """Return what `verify` needs to call `name`: True, or a context with our certificate where the settings have one.

    Raises:
        SettingsError: its files cannot be read, do not fit together, or others may read the key.
    """
    held = settings.client_certificate(name)
    if held is None:
        return True
    context = create_default_context()
    try:
        require_private(held.key)
        # The password is only asked for where the key has one.
        context.load_cert_chain(
            held.certificate, held.key, password=lambda: settings.secret(f"{name}.client_key").get_secret_value()
        )
    except (OSError, SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError(
            f"The client certificate for {name} cannot be used ({reason}): {held.certificate}, {held.key}."
        ) from None
    return context


class _LimitedTransport(httpx.AsyncBaseTransport):
    """Adds the case's time to requests and a limit to answers, around another transport."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, max_bytes: int, send_case_time: bool) -> None:
        self._inner = inner
        self._max_bytes = max_bytes
        self._send_case_time = send_case_time

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        now = _case_now.get()
        if self._send_case_time and now is not None:
            request.headers[NOW_HEADER] = now.astimezone(UTC).isoformat().replace("+00:00", "Z")
        answer = await self._inner.handle_async_request(request)
        if len(answer.headers.get_list("content-encoding", split_commas=True)) > 1:
            # Packed in itself, a thousand times a thousand bytes come out of one before they can be counted.
            await answer.aclose()
            raise AnswerTooLarge(self._max_bytes)
        return _LimitedResponse(
            answer.status_code,
            headers=answer.headers,
            stream=answer.stream,
            extensions=answer.extensions,
            max_bytes=self._max_bytes,
        )

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


class _LimitedResponse(httpx.Response):
    """Stops reading after `max_bytes`, counted after decompression: a small answer may unpack to a huge one."""

    def __init__(
        self,
        status_code: int,
        *,
        headers: httpx.Headers,
        stream: httpx.SyncByteStream | httpx.AsyncByteStream,
        extensions: dict[str, Any],
        max_bytes: int,
    ) -> None:
        super().__init__(status_code, headers=headers, stream=stream, extensions=extensions)
        self._max_bytes = max_bytes

    @override
    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in super().aiter_bytes(chunk_size):
            read += len(chunk)
            if read > self._max_bytes:
                raise AnswerTooLarge(self._max_bytes)
            yield chunk
