"""The gate: every request to a simulated system passes here, before and after the system itself.

It limits the body, recognizes the practice by its credentials, moves the practice's clock by `X-Vigil-Now`, applies
switched faults, logs what was received, saves the state after a write, and then sends, loses or cuts the answer.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import faults, tokens
from sandbox.answers import IDS, LOST, OUTCOME, TRUNCATED
from sandbox.clearinghouse_core import user_of
from sandbox.clock import parse_instant
from sandbox.records import Practice, Received
from sandbox.world import World

SYSTEMS = ("payers", "clearinghouses", "gateways", "stedi", "nextgen", "luma", "clearwave", "fax", "direct")
BODY_LIMIT = 24 * 1024 * 1024
NOW_HEADER = "x-vigil-now"


@dataclass
class Answer:
    """An answer before it is sent."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})

    async def send_cut(self, send: Send, keep: int) -> None:
        """Promise the whole body, send `keep` bytes of it, and let the server close the connection."""
        headers = [(name, value) for name, value in self.headers if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(self.body) + 1).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        if keep:
            await send({"type": "http.response.body", "body": self.body[:keep], "more_body": True})

    async def send_truncated(self, send: Send) -> None:
        """A complete HTTP answer whose document breaks off in the middle."""
        body = self.body[: len(self.body) // 2]
        headers = [(name, value) for name, value in self.headers if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await Answer(self.status, headers, body).send(send)


class Gate:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, world: World, clock_moved: Callable[[], None]) -> None:
        self.app = app
        self.world = world
        self.clock_moved = clock_moved

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        system = scope["path"].split("/")[1] if scope["type"] == "http" else ""
        if system not in SYSTEMS:
            await self.app(scope, receive, self._saved_before(send) if scope.get("method", "GET") != "GET" else send)
            return
        await self._pass(system, scope, receive, send)

    async def _pass(self, system: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:
            await _plain(413, "The body is larger than 24 MB.").send(send)
            return
        headers = Headers(scope=scope)
        try:
            practice = self._practice(system, headers, body)
            told = parse_instant(headers[NOW_HEADER]) if NOW_HEADER in headers else None
            if practice is not None and told is not None and self.world.see(practice, told):
                self.clock_moved()
        except ValueError as problem:
            await _plain(400, f"The caller's identity or X-Vigil-Now cannot be read: {problem}").send(send)
            return
        if practice is None:
            answer = await self._ask(scope, body)
            await answer.send(send)
            return
        scope["sandbox.practice"] = practice.id
        rule = faults.take(practice, system, scope["method"], scope["path"], self.world.now(practice))
        early = None
        if rule is not None:
            if rule.fault == "slow":
                await asyncio.sleep(rule.seconds)
            early = faults.early_answer(rule)
        if early is None:
            answer = await self._ask(scope, body)
        else:
            status, extra, text = early
            answer = Answer(status, _raw({**extra, "content-length": str(len(text))}), text)
        self._log(practice, system, scope, answer.status, rule.fault if rule is not None else None)
        if scope["method"] != "GET":
            self.world.save()
        outcome = rule.fault if rule is not None and rule.fault in (LOST, TRUNCATED) else scope.get(OUTCOME)
        if outcome == LOST:
            await answer.send_cut(send, 0)
        elif outcome == TRUNCATED:
            await answer.send_truncated(send)
        else:
            await answer.send(send)

    def _saved_before(self, send: Send) -> Send:
        """What is answered is remembered, whatever happens to this process after the answer."""

        async def saved(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.world.save()
            await send(message)

        return saved

    async def _ask(self, scope: Scope, body: bytes) -> Answer:
        """Let the application answer, whole."""
        answer = Answer()
        pending = [body]

        async def receive() -> Message:
            if pending:
                return {"type": "http.request", "body": pending.pop(), "more_body": False}
            await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def capture(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message.get("headers", []))
            else:
                answer.body += message.get("body", b"")

        await self.app(scope, receive, capture)
        return answer

    def _log(self, practice: Practice, system: str, scope: Scope, status: int, fault: str | None) -> None:
        practice.received.append(
            Received(
                n=len(practice.received) + 1,
                system=system,
                method=scope["method"],
                path=scope["path"],
                at=self.world.now(practice),
                status=status,
                fault=fault or scope.get(OUTCOME),
                ids=scope.get(IDS, {}),
            )
        )

    def _practice(self, system: str, headers: Headers, body: bytes) -> Practice | None:
        """Who is calling, by the credentials of that system; None when there are none that name a practice."""
        authorization = headers.get("authorization", "")
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            token = tokens.read(self.world, value)
            return self.world.practice(token.practice) if token is not None else None
        if system == "clearwave":
            name = headers.get("x-vigil-key-id", "").partition(":")[0]
        elif system == "stedi":
            name = authorization.partition(":")[0]
        elif scheme.lower() == "basic":
            name = _basic_user(value)
        elif system == "clearinghouses":
            name = user_of(headers.get("content-type", ""), body)
        else:
            name = _client_id(headers.get("content-type", ""), body)
        return self.world.practice(name) if name else None


def basic_credentials(value: str) -> tuple[str, str]:
    """User and password of HTTP Basic; two empty strings when it cannot be read."""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _basic_user(value: str) -> str:
    return basic_credentials(value)[0]


def _client_id(content_type: str, body: bytes) -> str:
    """The `client_id` of a token request, form or JSON; empty when there is none."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode("utf-8", "replace"))).get("client_id", "")
    if content_type.startswith("application/json"):
        try:
            document = json.loads(body)
        except ValueError:
            return ""
        client_id = document.get("client_id", "") if isinstance(document, dict) else ""
        return client_id if isinstance(client_id, str) else ""
    return ""


async def _read(receive: Callable[[], Awaitable[Message]]) -> bytes | None:
    """The whole body, or None when it is over the limit."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > BODY_LIMIT:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _plain(status: int, message: str) -> Answer:
    body = json.dumps({"message": message}).encode()
    return Answer(status, _raw({"content-type": "application/json", "content-length": str(len(body))}), body)
