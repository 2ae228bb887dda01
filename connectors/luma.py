"""Luma Health: tell a patient something, once, where and how the patient wants to be told.

Source: Luma's OpenAPI 2.0.0. Luma publishes no webhook, no idempotency key and no filter on a message's `externalId`: we
put our key there, ask for it in case the filter exists, and compare it ourselves. Every message is secure: Luma sends a
notice with a login link, and the text waits behind the login.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from connectors.errors import NotUnderstood, Refused
from connectors.exchange import create_once, read_object, require_success, send
from connectors.tokens import Token, TokenCache

_MAX_PAGES = 20
_PAGE = 500
_SENT = frozenset({"sent", "pending"})
_RECEIVED = frozenset({"delivered", "opened"})
_FAILED = frozenset({"undelivered", "skipped"})


@dataclass(frozen=True)
class LumaAccess:
    """How one practice's Luma is reached."""

    base_url: str
    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Message:
    """A message that Luma has. `status` is one of Luma's: sent, pending, delivered, opened, undelivered, skipped."""

    id: str
    status: str
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the patient will not get it."""
        return self.status in _FAILED

    @property
    def is_final(self) -> bool:
        """Whether nothing more will become of it."""
        return self.status not in _SENT


class Luma:
    """The messaging of one practice."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        access: LumaAccess,
        tokens: TokenCache,
        *,
        polls: int = 2,
        pause_seconds: float = 0.5,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._access = access
        self._tokens = tokens
        self._token_name = f"luma {access.base_url} {access.client_id}"
        self._polls, self._pause, self._sleep = polls, pause_seconds, sleep

    async def patient_id(self, external_id: str) -> str:
        """Return Luma's id of the patient whom the record system calls `external_id`.

        Raises:
            Refused: Luma has no such patient (`patient_unknown`), or more than one (`patient_ambiguous`).
        """
        query = {"externalId.value": external_id, "patientGlobalSearch": external_id}
        found = [
            str(item["_id"])
            async for item in self._items("patients", query)
            if _external(item) == external_id and item.get("_id") and not item.get("deleted")
        ]
        if len(found) != 1:
            raise Refused("patient_ambiguous" if found else "patient_unknown")
        return found[0]

    async def may_contact(self, patient_id: str) -> bool:
        """Ask Luma, right before a message, whether there is any way in which the patient may be told."""
        path = f"patients/{quote(patient_id, safe='')}/contact-preferences"
        body = read_object(await self._call("GET", path, "luma.preferences"), "luma.preferences")
        contacts = body.get("validContacts")
        if not isinstance(contacts, list):
            raise NotUnderstood("luma.preferences:no_contacts", b"", "application/json")
        return bool(contacts)

    async def tell(self, patient_id: str, key: str, text: str, language: str) -> Message:
        """Send a message once, under our own key, and return what has become of it after a moment.

        Raises:
            Refused: the patient must not be told by message now (`do_not_contact`).
            OutcomeUnknown: it may have been sent, and is not found.
        """
        known = await self.message(patient_id, key)
        if known is None:
            if not await self.may_contact(patient_id):
                raise Refused("do_not_contact")
            known = await create_once(
                lambda: self.message(patient_id, key), lambda: self._send(patient_id, key, text, language)
            )
        for _ in range(self._polls):
            if known.is_final:
                break
            await self._sleep(self._pause)
            path = f"messages/{quote(known.id, safe='')}"
            known = _message(read_object(await self._call("GET", path, "luma.message"), "luma.message"))
        return known

    async def message(self, patient_id: str, key: str) -> Message | None:
        """Return the message that we sent under that key, or None."""
        query = {"patient": patient_id, "type": "outbound", "externalId.value": key}
        async for item in self._items("messages", query):
            if _external(item) == key:
                return _message(item)
        return None

    async def _send(self, patient_id: str, key: str, text: str, language: str) -> None:
        body = {
            "patient": patient_id,
            "recipient": patient_id,
            "recipientType": "patient",
            "type": "outbound",
            "ref": "chat",
            "channel": "chat",
            "secure": True,
            "visibility": "public",
            "automated": True,
            "text": text,
            "language": language,
            "externalId": {"source": "none", "value": key},
        }
        await self._call("POST", "messages", "luma.send", writes=True, json=body)

    async def _items(self, path: str, query: dict[str, str]) -> Any:
        for page in range(1, _MAX_PAGES + 1):
            params = {**query, "page": str(page), "limit": str(_PAGE)}
            answer = await self._call("GET", path, f"luma.{path}", params=params)
            body = read_object(answer, f"luma.{path}")
            items = body.get("response")
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise NotUnderstood(f"luma.{path}:no_list", answer.content, "application/json")
            for item in items:
                yield item
            if len(items) < _PAGE:
                return
        raise Refused(f"luma.{path}:too_many")

    async def _call(self, method: str, path: str, what: str, *, writes: bool = False, **request: Any) -> httpx.Response:
        for last in (False, True):
            token = await self._tokens.get(self._token_name, self._fetch_token)
            headers = {"Authorization": f"Bearer {token}"}
            url = f"{self._access.base_url}/{path}"
            answer = await send(self._http, method, url, writes=writes, headers=headers, **request)
            if last or answer.status_code != HTTPStatus.UNAUTHORIZED:
                break
            self._tokens.drop(self._token_name, token)
        require_success(answer, what)
        return answer

    async def _fetch_token(self) -> Token:
        body = {
            "client_id": self._access.client_id,
            "client_secret": self._access.secret,
            "grant_type": "client_credentials",
        }
        answer = await send(self._http, "POST", f"{self._access.base_url}/auth/token", json=body)
        require_success(answer, "luma.token")
        given = read_object(answer, "luma.token")
        value, seconds = given.get("access_token"), given.get("expires_in")
        if not isinstance(value, str) or not value or not isinstance(seconds, int | float):
            raise NotUnderstood("luma.token:no_token", b"", "application/json")
        return Token(value, float(seconds))


def _external(item: dict[str, Any]) -> str | None:
    external = item.get("externalId")
    return str(external.get("value")) if isinstance(external, dict) else None


def _message(item: dict[str, Any]) -> Message:
    status = str(item.get("status"))
    if not item.get("_id") or status not in _SENT | _RECEIVED | _FAILED:
        raise NotUnderstood("luma.message:unknown_status", b"", "application/json")
    outside = item.get("externalStatus")
    reason = item.get("skippedStatusReason") or (outside.get("code") if isinstance(outside, dict) else None)
    return Message(id=str(item["_id"]), status=status, reason=str(reason)[:60] if reason else None)
