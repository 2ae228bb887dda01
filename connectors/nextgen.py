"""NextGen Enterprise REST: who we are there, sessions, paging, and the parts of the record that a case needs.

Sources: route names and read shapes as third parties recorded them (API version 6.0.0.x); where a body is our
assumption, the method says so, and `docs/connectors.md` lists them for the check with the practice's portal.

Quirks that are handled here and nowhere else: a session id that comes as a response header and may expire on its own;
collections that are pages or bare arrays; a `nextPageLink` that points at an internal host; empty bodies after a
create; times without an offset. What the practice's app was not granted is refused before anything is sent.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from zoneinfo import ZoneInfo

import httpx

from connectors.errors import NotUnderstood, Refused
from connectors.exchange import create_once, read_json, read_object, require_success, send
from connectors.tokens import Token, TokenCache
from domain.order import Appointment, AppointmentStatus

_MAX_PAGES = 40
_TOKEN_SECONDS = 3600.0
_SESSION_SECONDS = 12 * 3600.0
_LOCKED = re.compile(r"^The encounter '[^']*' is locked")
_CONTENT_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True)
class NextGenAccess:
    """How one practice's NextGen is reached, and what its app was granted (`granted`, `assumed` or `off`)."""

    base_url: str
    token_url: str
    site_id: str
    enterprise_id: str
    practice_id: str
    client_id: str
    secret: str = field(repr=False)
    time_zone: str
    capabilities: Mapping[str, str]

    def require(self, capability: str) -> None:
        """Pass when the practice's app may do it, or might. Raises `Refused` (`not_granted:…`) when it is off."""
        if self.capabilities.get(capability, "off") == "off":
            raise Refused(f"not_granted:{capability}")


@dataclass(frozen=True)
class ChartDocument:
    """A document of a chart, as the record shows it."""

    id: str
    description: str


@dataclass(frozen=True)
class Visit:
    """An appointment as the schedule has it; `modified` differs with every change that was made to it."""

    appointment: Appointment
    modified: str


class NextGenSession:
    """Token and session of one practice: fetched when needed, again once when they are refused."""

    def __init__(self, http: httpx.AsyncClient, access: NextGenAccess, tokens: TokenCache) -> None:
        self._http = http
        self._tokens = tokens
        self.access = access
        name = f"{access.token_url} {access.site_id} {access.client_id}"
        self._token_name, self._session_name = f"nextgen {name}", f"nextgen-session {name} {access.practice_id}"

    async def call(
        self, method: str, path: str, what: str, *, writes: bool = False, params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None, session: bool = True,
    ) -> httpx.Response:  # fmt: skip
        """Send one request, `path` relative to the REST base or a whole URL, and return its 2xx answer.

        A refused token or session is fetched anew once: nothing happened there. `session` is False for FHIR.

        Raises:
            Unreachable, Busy, OutcomeUnknown: as `send` says.
            Refused: `<what>:locked` for a locked encounter, else `<what>:<status>`.
        """
        url = path if path.startswith(("http://", "https://")) else f"{self.access.base_url}/{path.lstrip('/')}"
        for last in (False, True):
            token = await self._tokens.get(self._token_name, self._fetch_token)
            headers = {"Authorization": f"Bearer {token}", "Accept": "application/fhir+json"}
            session_id = ""
            if session:
                try:
                    session_id = await self._session(token)
                except Refused:
                    if last:
                        raise
                    continue
                headers |= {"Accept": "application/json", "X-NG-SessionId": session_id}
            answer = await send(
                self._http, method, url, writes=writes, headers=headers, params=dict(params or {}) or None, json=body
            )
            if last or not _credentials_refused(answer):
                break
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                self._tokens.drop(self._token_name, token)
            self._tokens.drop(self._session_name, session_id)
        if answer.status_code == HTTPStatus.BAD_REQUEST and _LOCKED.match(_message(answer)):
            raise Refused(f"{what}:locked")
        require_success(answer, what)
        return answer

    async def _fetch_token(self) -> Token:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.access.client_id,
            "client_secret": self.access.secret,
            "site_id": self.access.site_id,
        }
        answer = await send(self._http, "POST", self.access.token_url, data=form)
        require_success(answer, "nextgen.token")
        body = read_object(answer, "nextgen.token")
        value, seconds = body.get("access_token"), body.get("expires_in", _TOKEN_SECONDS)
        if not isinstance(value, str) or not value or not isinstance(seconds, int | float):
            raise NotUnderstood("nextgen.token:no_token", b"", "application/json")
        return Token(value, float(seconds))

    async def _session(self, token: str) -> str:
        async def fetch() -> Token:
            answer = await send(
                self._http,
                "PUT",
                f"{self.access.base_url}/users/me/login-defaults",
                headers={"Authorization": f"Bearer {token}"},
                json={"enterpriseId": self.access.enterprise_id, "practiceId": self.access.practice_id},
            )
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                self._tokens.drop(self._token_name, token)
            require_success(answer, "nextgen.session")
            value = answer.headers.get("x-ng-sessionid", "")
            if not value:
                raise NotUnderstood("nextgen.session:no_session", answer.content, "application/json")
            return Token(value, _SESSION_SECONDS)

        return await self._tokens.get(self._session_name, fetch)


class NextGen:
    """The record of one practice."""

    def __init__(self, session: NextGenSession) -> None:
        self._session = session
        self._access = session.access
        self._zone = ZoneInfo(session.access.time_zone)

    async def items(self, path: str, what: str, params: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """Return all items of a collection, over at most forty pages.

        Raises:
            NotUnderstood: it is neither a page nor a bare array of objects.
            Refused: there are more pages (`…:too_many`).
        """
        found: list[dict[str, Any]] = []
        query = dict(params or {})
        for _ in range(_MAX_PAGES):
            answer = await self._session.call("GET", path, what, params=query)
            body = read_json(answer, what) if answer.content else []
            page = body if isinstance(body, list) else _either(body, "items", "Items")
            if not isinstance(page, list) or not all(isinstance(item, dict) for item in page):
                raise NotUnderstood(f"{what}:not_a_collection", answer.content, "application/json")
            found += page
            link = None if isinstance(body, list) else _either(body, "nextPageLink", "NextPageLink")
            if not link:
                return found
            path, query = next_page(str(link))
        raise Refused(f"{what}:too_many")

    async def appointments(self, since: date, until: date) -> list[dict[str, Any]]:
        """Return the appointments of a range of days, both included. Without a filter NextGen shows seven days."""
        self._access.require("appointments.read")
        wanted = (
            f"appointmentDate ge datetime'{since}T00:00:00' and "
            f"appointmentDate lt datetime'{until + timedelta(days=1)}T00:00:00'"
        )
        return await self.items("appointments", "appointments.read", {"$filter": wanted})

    async def visits(self, person_id: str) -> list[Visit]:
        """Return all appointments of a person, in full, earliest first. Deleted ones are left out."""
        self._access.require("appointments.read")
        listed = await self.items(f"persons/{_in_path(person_id)}/appointments", "appointments.read")
        ids = [str(item["appointmentId"]) for item in listed if item.get("appointmentId") and not item.get("isDeleted")]
        found = [visit for one in ids if (visit := await self.visit(one)) is not None]
        return sorted(dict.fromkeys(found), key=lambda visit: visit.appointment.starts_at)

    async def visit(self, appointment_id: str) -> Visit | None:
        """Return an appointment, the one it was moved to where it was moved; None where there is none any more.

        Raises:
            NotUnderstood: date or time cannot be read.
        """
        self._access.require("appointments.read")
        for _ in range(10):
            try:
                answer = await self._session.call(
                    "GET", f"appointments/{_in_path(appointment_id)}", "appointments.read"
                )
            except Refused as refused:
                if refused.code == "appointments.read:404":
                    return None
                raise
            body = read_object(answer, "appointments.read")
            moved_to = body.get("rescheduledAppointmentId")
            if not body.get("isRescheduled") or not moved_to:
                return None if body.get("isDeleted") else self._visit(body, answer.content)
            appointment_id = str(moved_to)
        raise NotUnderstood("appointments.read:moved_in_a_circle", b"", "application/json")

    async def document(self, person_id: str, marker: str) -> ChartDocument | None:
        """Return the chart's document whose description holds our marker, or None."""
        self._access.require("documents.read")
        wanted = {"$filter": f"substringof('{marker}', description)"}
        for item in await self.items(f"persons/{_in_path(person_id)}/chart/documents", "documents.read", wanted):
            description = str(item.get("description") or "")
            if marker in description and item.get("id"):
                return ChartDocument(str(item["id"]), description)
        return None

    async def document_content(self, person_id: str, document_id: str) -> bytes:
        """Return the bytes of a chart's document."""
        self._access.require("documents.read")
        path = f"persons/{_in_path(person_id)}/chart/documents/{_in_path(document_id)}/pdf"
        return (await self._session.call("GET", path, "documents.read")).content

    async def file_document(self, person_id: str, marker: str, title: str, content: bytes) -> ChartDocument:
        """File a PDF in the chart once, and read it back. `marker` is in its description, so that it is found again.

        The body of the create is our assumption.

        Raises:
            Refused: not granted, the encounter is locked, or NextGen refuses it.
            OutcomeUnknown: it may have been filed, and is not found.
        """
        self._access.require("documents.write")
        if len(content) > _CONTENT_LIMIT:
            raise Refused("documents.write:too_large")
        body = {
            "description": f"{title} [{marker}]",
            "contentType": "application/pdf",
            "content": base64.b64encode(content).decode(),
        }

        async def create() -> None:
            path = f"persons/{_in_path(person_id)}/chart/documents"
            await self._session.call("POST", path, "documents.write", writes=True, body=body)

        return await create_once(lambda: self.document(person_id, marker), create)

    async def task(self, user_id: str, marker: str) -> str | None:
        """Return the id of the user's task whose details hold our marker, or None. Item fields are our assumption."""
        self._access.require("tasks.write")
        wanted = {"$filter": f"substringof('{marker}', details)"}
        for item in await self.items(f"users/{_in_path(user_id)}/tasks", "tasks.read", wanted):
            if marker in str(item.get("details") or "") and item.get("id"):
                return str(item["id"])
        return None

    async def give_task(self, user_id: str, marker: str, subject: str, details: str, person_id: str) -> str:
        """Put a task of high priority into a user's inbox once, read it back and return its id.

        The body of the create is our assumption.

        Raises:
            Refused: not granted, or NextGen refuses it.
            OutcomeUnknown: it may be there, and is not found.
        """
        self._access.require("tasks.write")
        body = {
            "subject": subject,
            "details": f"{details}\n[{marker}]",
            "personId": person_id,
            "priorityId": 1,
        }

        async def create() -> None:
            await self._session.call("POST", f"users/{_in_path(user_id)}/tasks", "tasks.write", writes=True, body=body)

        return await create_once(lambda: self.task(user_id, marker), create)

    async def complete_task(self, user_id: str, task_id: str) -> None:
        """Mark a task done; doing so twice changes nothing. The body is our assumption."""
        self._access.require("tasks.write")
        path = f"users/{_in_path(user_id)}/tasks/{_in_path(task_id)}"
        await self._session.call("PATCH", path, "tasks.write", body={"isCompleted": True})

    def _visit(self, body: Mapping[str, Any], raw: bytes) -> Visit:
        day, begin = str(body.get("appointmentDate") or "")[:10], str(body.get("beginTime") or "0000")
        try:
            local = datetime.strptime(f"{day} {begin}", "%Y-%m-%d %H%M").replace(tzinfo=self._zone)
        except ValueError:
            raise NotUnderstood("appointments.read:no_time", raw, "application/json") from None
        appointment = Appointment(id=str(body.get("id")), starts_at=local.astimezone(UTC), status=_status(body))
        return Visit(appointment, str(body.get("modifyTimestamp") or ""))


def next_page(link: str) -> tuple[str, dict[str, str]]:
    """Return path and query of a `nextPageLink`: what follows `/api/`. Its host is internal and is never called."""
    parts = urlsplit(link)
    _, _, path = parts.path.rpartition("/api/")
    return path, dict(parse_qsl(parts.query))


def _in_path(value: str) -> str:
    """An id as one part of a path, whatever it holds."""
    return quote(value, safe="").replace(".", "%2E")


def _status(body: Mapping[str, Any]) -> AppointmentStatus:
    if body.get("isCancelled"):
        return AppointmentStatus.CANCELLED
    if body.get("isKept"):
        return AppointmentStatus.KEPT
    missed = re.sub(r"[^A-Z]", "", str(body.get("workflowStatus") or "").upper()) == "NOSHOW"
    return AppointmentStatus.NO_SHOW if missed else AppointmentStatus.BOOKED


def _credentials_refused(answer: httpx.Response) -> bool:
    """Whether token or session may be the reason: 401, a 403 (often empty), or an error that names the session."""
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return True
    return answer.status_code == HTTPStatus.BAD_REQUEST and "session" in _message(answer).lower()


def _message(answer: httpx.Response) -> str:
    """What an error says; never passed on, since it may name a patient's data."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    return str(body.get("message") or "") if isinstance(body, dict) else ""


def _either(body: object, *names: str) -> Any:
    if not isinstance(body, dict):
        return None
    return next((body[name] for name in names if name in body), None)
