"""Who is calling: a Bearer token says practice, person and role. What people read and write is audited before it is done."""

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.problems import Problem
from api.services import Services
from runtime.logs import get_logger
from store.audit import AuditEntry
from store.tokens import Principal, Role

_MAX_KEY = 200
log = get_logger(__name__)

bearer = HTTPBearer(auto_error=False, description="A token of `vigil token`, as `Authorization: Bearer vgl_…`.")
"""How a token is sent; declared for the OpenAPI document, read by `authenticate`."""

INCLUDES: dict[Role, frozenset[Role]] = {
    Role.INTAKE: frozenset({Role.INTAKE}),
    Role.STAFF: frozenset({Role.INTAKE, Role.STAFF}),
    Role.SUPERVISOR: frozenset({Role.INTAKE, Role.STAFF, Role.SUPERVISOR}),
    Role.OPERATOR: frozenset({Role.INTAKE, Role.STAFF, Role.SUPERVISOR, Role.OPERATOR}),
    Role.CODEC: frozenset({Role.CODEC}),
}
"""What each role may also do: a supervisor is staff too. The codec's role stands apart."""


@dataclass(frozen=True)
class Caller:
    """Who is calling, and about which request."""

    principal: Principal
    request_id: str
    services: Services
    key: str | None = None
    """The request's Idempotency-Key."""
    said: str = ""
    """The hash of what came with the key: used again for another request, a key names another one."""
    base_url: str = ""
    """How the caller reached us: links begin with it."""

    @property
    def practice(self) -> str:
        """The practice that the token belongs to: no other one exists for this caller."""
        return self.principal.practice

    @property
    def by(self) -> str:
        """The caller as facts name people."""
        return f"person:{self.principal.person}"

    def may(self, role: Role) -> bool:
        """Whether the caller may do what a role does."""
        return role in INCLUDES[self.principal.role]

    def source_id(self, what: str) -> str:
        """A source id for what this request reports: the same for the same Idempotency-Key, else a new one."""
        if self.key is None:
            return f"{what}:{uuid.uuid4().hex}"
        named = f"{self.practice}\n{self.principal.person}\n{what}\n{self.key}\n{self.said}"
        return f"{what}:{hashlib.sha256(named.encode()).hexdigest()[:32]}"

    async def audit(self, what: str, case_id: str | None = None) -> None:
        """Keep who did what. Raises `SpoolFull` where that is impossible: then nothing is done."""
        principal = self.principal
        await self.services.audit.record(
            AuditEntry(
                at=self.services.clock(),
                practice=principal.practice,
                who=principal.person,
                role=principal.role.value,
                what=what,
                case_id=case_id,
                request_id=self.request_id,
            )
        )


def services_of(request: Request) -> Services:
    """The services of the application that a request came to."""
    services: Services = request.app.state.services
    return services


async def authenticate(request: Request) -> Caller:
    """The caller of a request, looked up once.

    Raises:
        Problem: there is no token, or it is unknown, expired or revoked (401).
        StoreAway: PostgreSQL is away, and the token was not seen lately.
    """
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    principal = await services_of(request).tokens.look_up(secret.strip()) if scheme.lower() == "bearer" else None
    if principal is None:
        log.warning("a request without a valid token was refused")
        raise Problem(
            401,
            "unauthenticated",
            "Send a valid token as `Authorization: Bearer …`. Tokens expire; ask an operator for a new one.",
            headers={"WWW-Authenticate": 'Bearer realm="vigil"'},
        )
    caller = Caller(
        principal, request.state.request_id, services_of(request), _key(request), str(request.base_url).rstrip("/")
    )
    request.state.caller = caller
    return caller


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not (0 < len(key) <= _MAX_KEY) or not key.isprintable():
        detail = "An Idempotency-Key has 1 to 200 printable characters; a UUID serves well."
        raise Problem(422, "idempotency_key_invalid", detail)
    return key


def _needs(role: Role) -> Callable[..., Awaitable[Caller]]:
    async def caller(
        request: Request, _declared: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None
    ) -> Caller:
        found = await authenticate(request)
        if not found.may(role):
            await found.audit(f"{role.value} refused")
            raise Problem(403, "forbidden", f"This needs a token with the role {role.value}.")
        return found

    return caller


Intake = Annotated[Caller, Depends(_needs(Role.INTAKE))]
"""Whoever may send orders."""
Staff = Annotated[Caller, Depends(_needs(Role.STAFF))]
"""Whoever may read and work cases."""
Operator = Annotated[Caller, Depends(_needs(Role.OPERATOR))]
"""Whoever may correct the record."""
