"""The codec server: opens sealed payloads for the Temporal Web UI and CLI. Its own role, every use audited.

Beyond loopback it does not exist unless `codec_endpoint_public` says so. There are two ways in. A token of the role codec
opens what its practice sealed, and nothing else. The embedded Web UI sends no token: on loopback its address may hold a
secret instead (`codec_path`), which only whoever has the keys can compute; it opens every practice's payloads, as that
machine's keys do, and seals nothing.
"""

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from temporalio.api.common.v1 import Payload, Payloads

from api.answers import problem_answers
from api.auth import authenticate, bearer, services_of
from api.bodies import read_json
from api.problems import Problem, not_found
from api.services import Services
from runtime.codec import VigilCodec, codec_path
from runtime.errors import PracticeMismatch, SealBroken, UnknownKey
from runtime.settings import Settings
from store.audit import AuditEntry
from store.tokens import Role

router = APIRouter(prefix="/codec", tags=["codec"])

_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
_ALLOWED_HEADERS = "content-type, x-namespace, authorization"
_NOBODY = "local-web-ui"

_JSON = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "Temporal's `Payloads`, as the Web UI and the CLI send them.",
                },
                "example": {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "e30="}]},
            }
        }
    }
}

_ANSWERS = {
    200: {
        "description": "The payloads, opened or sealed.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
    **problem_answers(400, 401, 403, 404, 413, 422, 503),
}


async def _here(request: Request) -> Services:
    """The services, where the codec may be spoken to at all. Raises `Problem`."""
    services = services_of(request)
    if not services.settings.codec_endpoint_public and not _is_local(request):
        raise Problem(404, "not_found", "There is nothing at this address.")
    return services


Here = Annotated[Services, Depends(_here)]


@router.options("/{rest:path}", include_in_schema=False)
async def preflight(request: Request, services: Here, rest: str) -> Response:
    """Answer a browser that asks whether the Web UI may call."""
    del rest
    return Response(status_code=204, headers=_cors(request, services.settings))


@router.post(
    "/decode", summary="Open payloads", openapi_extra=_JSON, responses=_ANSWERS, dependencies=[Depends(bearer)]
)
async def decode(request: Request, services: Here) -> Response:
    """Open the payloads that the token's practice sealed. Those of another practice are refused, and that is audited."""
    practice = await _codec_practice(request, "codec.decode")
    return await _opened(request, services, VigilCodec(services.keyring, practice_id=practice), practice)


@router.post(
    "/encode", summary="Seal payloads", openapi_extra=_JSON, responses=_ANSWERS, dependencies=[Depends(bearer)]
)
async def encode(request: Request, services: Here) -> Response:
    """Seal payloads for the token's practice, for the CLI."""
    practice = await _codec_practice(request, "codec.encode")
    sealed = await VigilCodec(services.keyring, practice_id=practice).encode(await _payloads(request))
    return _answer(request, services, Payloads(payloads=sealed))


@router.post("/{secret}/decode", include_in_schema=False)
async def decode_here(request: Request, services: Here, secret: str) -> Response:
    """Open payloads for this machine's own Web UI."""
    expected = codec_path(services.keyring).rpartition("/")[2]
    if not _is_local(request) or not hmac.compare_digest(secret.encode(), expected.encode()):
        raise Problem(404, "not_found", "There is nothing at this address.")
    return await _opened(request, services, VigilCodec(services.keyring), None)


async def _codec_practice(request: Request, what: str) -> str:
    caller = await authenticate(request)
    if not caller.may(Role.CODEC):
        await caller.audit(f"{what} refused")
        raise Problem(403, "forbidden", "This needs a token with the role codec.")
    await caller.audit(what)
    return caller.practice


async def _opened(request: Request, services: Services, codec: VigilCodec, practice: str | None) -> Response:
    payloads = await _payloads(request)
    if practice is None:
        said = {p.metadata.get("vigil-practice", b"").decode(errors="replace") for p in payloads}
        await _audit_local(request, services, said)
    try:
        found = await codec.decode(payloads)
    except (UnknownKey, SealBroken) as error:
        if practice is not None and isinstance(error, PracticeMismatch):
            await (await authenticate(request)).audit("codec.decode refused")
            raise not_found() from None
        raise Problem(422, "sealed", str(error)) from None
    return _answer(request, services, Payloads(payloads=found))


async def _payloads(request: Request) -> list[Payload]:
    said = read_json(await request.body())
    try:
        if not isinstance(said, dict):
            raise ParseError  # noqa: TRY301 - the library asks for an object without looking
        return list(ParseDict(said, Payloads(), ignore_unknown_fields=True).payloads)
    except ParseError:
        raise Problem(422, "not_payloads", "The body must be Temporal's `Payloads` as JSON.") from None


async def _audit_local(request: Request, services: Services, practices: Iterable[str]) -> None:
    for practice in sorted(set(practices) & set(services.practices)) or sorted(services.practices)[:1]:
        await services.audit.record(
            AuditEntry(
                at=services.clock(),
                practice=practice,
                who=_NOBODY,
                role=Role.CODEC.value,
                what="codec.decode",
                request_id=request.state.request_id,
            )
        )


def _answer(request: Request, services: Services, payloads: Payloads) -> Response:
    headers = _cors(request, services.settings)
    return Response(MessageToJson(payloads), media_type="application/json", headers=headers)


def _cors(request: Request, settings: Settings) -> Mapping[str, str]:
    """What lets a browser's page of our own Web UI read the answer; nothing for any other page."""
    origin = request.headers.get("origin")
    if origin not in {f"http://{host}:{settings.ui_port}" for host in ("127.0.0.1", "localhost")}:
        return {}
    return {
        "Access-Control-Allow-Origin": origin or "",
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }


def _is_local(request: Request) -> bool:
    """Whether the request comes from this machine and was meant for it: a page elsewhere may rebind its name to it."""
    client = request.client.host if request.client else ""
    try:
        is_loopback = ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
    return is_loopback and (request.url.hostname or "") in _LOOPBACK_NAMES
