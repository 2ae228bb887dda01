"""The API from the terminal: address and token by the settings, answers as data, refusals as sentences."""

import json
import uuid
from types import TracebackType
from typing import Any, Self

import httpx

from console.errors import CommandFailed
from console.home import saved_token
from runtime.settings import Settings

Json = dict[str, Any]
_SECONDS = 30.0
_PROBLEM = "application/problem+json"


def api_url(settings: Settings) -> str:
    """Where the API of this machine listens."""
    host = "127.0.0.1" if settings.api_host in {"0.0.0.0", "::"} else settings.api_host
    return f"http://{host}:{settings.api_port}"


class Api:
    """A caller of `/v1` with one token. Use it in `with`."""

    def __init__(self, settings: Settings, *, url: str | None = None, token: str | None = None) -> None:
        """`url` and `token` win over the settings' address and the token in the home.

        Raises:
            CommandFailed: there is no token.
        """
        saved = saved_token(settings)
        held = token or (saved.get_secret_value() if saved else None)
        if held is None:
            raise CommandFailed(
                f"There is no token in {settings.home_path}. Start Vigil with `vigil up`, or give --token "
                "(an operator makes one: vigil token issue)."
            )
        self._url = url or api_url(settings)
        self._http = httpx.Client(
            base_url=self._url, headers={"Authorization": f"Bearer {held}"}, timeout=_SECONDS, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str | None) -> Any:
        """Read. Raises `CommandFailed` where the API refuses or cannot be reached."""
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Json, *, media_type: str = "application/json", **query: str) -> Any:
        """Write, under an idempotency key of its own. Raises `CommandFailed`."""
        headers = {"Content-Type": media_type, "Idempotency-Key": str(uuid.uuid4())}
        return self._call("POST", path, content=json.dumps(body), headers=headers, params=query)

    def _call(self, method: str, path: str, **what: Any) -> Any:
        try:
            answer = self._http.request(method, path, **what)
        except httpx.TransportError as error:
            raise CommandFailed(
                f"The API cannot be reached at {self._url} ({type(error).__name__}). Start it with `vigil up`, "
                "or give --url."
            ) from None
        if answer.is_success:
            return answer.json() if answer.content else None
        raise CommandFailed(problem_text(answer))


def problem_text(answer: httpx.Response) -> str:
    """An RFC 9457 problem as sentences; of any other refusal only its status."""
    if not answer.headers.get("content-type", "").startswith(_PROBLEM):
        return f"The API answered with status {answer.status_code}."
    problem = answer.json()
    lines = [f"{problem.get('title', 'Refused')} ({answer.status_code})."]
    if problem.get("detail"):
        lines.append(str(problem["detail"]))
    lines += [_wrong(one) for one in problem.get("errors") or []]
    return "\n".join(lines)


def _wrong(one: Json) -> str:
    who = f" ({str(one['who']).replace('_', ' ')})" if one.get("who") else ""
    return f"  {one.get('field')}: {one.get('detail')}{who}"
