"""What all activities depend on, and how what goes wrong outside is told to Temporal.

An activity is `async (Action) -> list[AnyFact]`. What it could not do becomes an `ApplicationError` whose type says
what the plan may do next: `Exhausted` (try again later), `Refused` (a person corrects something), `Ambiguous` (it may
have happened: search first). Its message is a code: no health information.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol, TypeVar

import httpx
from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from connectors.errors import Busy, ConnectorError, OutcomeUnknown, Refused, Unreachable
from domain.actions import Action
from domain.facts import AnyFact
from domain.order import DocumentRef
from runtime import httpclient
from runtime.errors import AnswerTooLarge, VigilRuntimeError
from runtime.practices import Practice
from runtime.settings import Settings

EXHAUSTED, REFUSED, AMBIGUOUS = "Exhausted", "Refused", "Ambiguous"
"""The types of `ApplicationError` that activities end with; `domain.facts.Failure` in the case."""
_HEARTBEAT_SECONDS = 3.0


class DocumentStore(Protocol):
    """Where documents and raw answers lie, sealed, by practice and content address."""

    async def put(
        self, practice: str, content: bytes, kind: str, media_type: str, dated: date | None = None
    ) -> DocumentRef:
        """Keep a document and return its reference; the same content twice is kept once."""
        ...

    async def get(self, practice: str, ref_id: str) -> bytes:
        """Return the content of a document of this practice."""
        ...


@dataclass
class Outside:
    """The dependencies of all activities: one object a worker, made once, closed when the worker has drained."""

    settings: Settings
    practices: Mapping[str, Practice]
    documents: DocumentStore
    make_http: Callable[..., httpx.AsyncClient] = httpclient.client
    """Makes a client for an outside system; see `runtime.httpclient.client`."""
    _clients: dict[str, httpx.AsyncClient] = field(default_factory=dict, repr=False)

    def practice(self, practice_id: str) -> Practice:
        """Return the practice of that id. Raises `Refused` where this worker does not serve it."""
        practice = self.practices.get(practice_id)
        if practice is None:
            raise Refused("practice_unknown")
        return practice

    def http(self, name: str, **options: Any) -> httpx.AsyncClient:
        """Return the one client by that name, made with `options` of `runtime.httpclient.client` on first use."""
        if name not in self._clients:
            self._clients[name] = self.make_http(self.settings, **options)
        return self._clients[name]

    async def aclose(self) -> None:
        """Close every client. The worker calls it when no activity runs any more."""
        while self._clients:
            await self._clients.popitem()[1].aclose()


S = TypeVar("S")
A = TypeVar("A", bound=Action)
Work = Callable[[S, A], Awaitable[list[AnyFact]]]


def guarded(work: Work[S, A]) -> Work[S, A]:
    """Make an activity's method send the case's time, tell Temporal that it is alive, and end with an `ApplicationError`.

    Stands below `@activity.defn`. A wrong setting counts as refused; a fault of our own as ambiguous where the action
    is tried once only, since the effect may have happened before it, and as refused elsewhere.
    """

    @functools.wraps(work)
    async def guard(self: S, action: A) -> list[AnyFact]:
        try:
            with httpclient.case_now(action.now):
                async with _alive():
                    return await work(self, action)
        except ConnectorError as error:
            raise told(error) from None
        except AnswerTooLarge:
            raise _ended("answer_too_large", AMBIGUOUS if action.single_shot else REFUSED) from None
        except VigilRuntimeError as error:
            # Its sentence names a setting and what to do about it; it is for the operator's log.
            activity.logger.error("%s: %s", type(error).__name__, error)
            raise _ended(type(error).__name__, REFUSED) from None
        except ApplicationError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: nothing unforeseen may pass with its text
            # The text of an unforeseen error may quote a patient: only its type and place go on.
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_qualname}:{place.tb_lineno}" if place is not None else "?"
            what = type(error).__name__
            if isinstance(error, ValidationError):
                what += f" of {error.title}"
            activity.logger.error("unforeseen %s in %s, at %s", what, action.kind, where)
            raise _ended(f"{what} at {where}", AMBIGUOUS if action.single_shot else REFUSED) from None

    return guard


@asynccontextmanager
async def _alive() -> AsyncIterator[None]:
    """Send heartbeats while in the block, so that a killed worker's work is soon another's."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


def told(error: ConnectorError) -> ApplicationError:
    """Say a connector's error to Temporal: its code, by a type that the plan knows."""
    match error:
        case Busy():
            return ApplicationError(error.code, type=EXHAUSTED, next_retry_delay=error.retry_after)
        case Unreachable():
            return ApplicationError(error.code, type=EXHAUSTED)
        case OutcomeUnknown():
            return _ended(error.code, AMBIGUOUS)
        case _:
            return _ended(error.code, REFUSED)


def _ended(code: str, kind: str) -> ApplicationError:
    return ApplicationError(code, type=kind, non_retryable=True)
