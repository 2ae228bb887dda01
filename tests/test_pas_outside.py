"""How activities tell Temporal what went wrong: a type that the plan knows, a code, and nothing about a patient."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.outside import Outside, guarded
from activities.payers import Payers
from connectors.documents import Documents
from connectors.errors import Busy, NotUnderstood, OutcomeUnknown, Refused, Unreachable
from domain.actions import Action, InquireStatus, SubmitRequest
from domain.facts import AnyFact
from domain.order import Order
from runtime.errors import AnswerTooLarge, MissingSecret
from runtime.keys import KeyRing
from runtime.processes import free_port
from runtime.settings import Settings
from tests.pas_requests import request
from tests.test_pas_payers import SLICES
from tests.vendor_world import NOW, World, world

SECRET = "Testperson"


def submission() -> SubmitRequest:
    return SubmitRequest(
        key="cause/1", practice="lakeside", case_id="case-1", now=NOW, request=request(), policy=SLICES["meridian-ppo"]
    )


def inquiry() -> InquireStatus:
    return InquireStatus(
        **{n: getattr(submission(), n) for n in ("key", "practice", "case_id", "now", "request", "policy")}, why="x"
    )


class Works:
    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work

    @activity.defn(name="works")
    @guarded
    async def works(self, action: Action) -> list[AnyFact]:
        self._work()
        return []


async def ended(work: Callable[[], object], action: Action | None = None) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await ActivityEnvironment().run(Works(work).works, action or submission())
    return caught.value


def raising(error: Exception) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "kind", "final"),
    [
        (Unreachable("code"), "Exhausted", False),
        (Busy("code", timedelta(seconds=9)), "Exhausted", False),
        (Refused("code"), "Refused", True),
        (OutcomeUnknown("code"), "Ambiguous", True),
        (NotUnderstood("code", b"raw", "text/html"), "Refused", True),
    ],
)
async def test_a_connectors_error_keeps_its_code_and_says_what_may_be_done(
    error: Exception, kind: str, final: bool
) -> None:
    told = await ended(raising(error))
    assert (told.type, told.message, told.non_retryable) == (kind, "code", final)
    assert told.next_retry_delay == (timedelta(seconds=9) if isinstance(error, Busy) else None)


async def test_a_wrong_setting_is_refused_and_an_answer_without_end_may_have_had_its_effect() -> None:
    missing = await ended(raising(MissingSecret("x", "VIGIL_SECRET__X", "secrets.json")))
    assert (missing.type, missing.message) == ("Refused", "MissingSecret")
    assert (await ended(raising(AnswerTooLarge(10)))).type == "Ambiguous"
    assert (await ended(raising(AnswerTooLarge(10)), inquiry())).type == "Refused"


async def test_an_unforeseen_error_shows_its_place_and_never_its_text(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> object:
        nothing: dict[str, object] = {}
        return nothing[SECRET]

    def invalid() -> object:
        return Order.model_validate({"number": SECRET})

    with caplog.at_level(logging.DEBUG):
        once = await ended(broken)
        again = await ended(broken, inquiry())
        wrong = await ended(invalid)
    assert (once.type, again.type) == ("Ambiguous", "Refused")
    assert once.message.startswith("KeyError at ")
    assert "broken" in once.message
    assert wrong.message.startswith("ValidationError of Order at ")
    assert SECRET not in caplog.text + once.message + wrong.message
    assert once.__cause__ is None


async def test_what_works_returns_its_facts_and_keeps_its_types() -> None:
    assert await ActivityEnvironment().run(Works(lambda: None).works, submission()) == []
    definition = activity._Definition.must_from_callable(Payers.submit_request)
    assert definition.name == "submit_request"
    assert definition.arg_types == [SubmitRequest]


async def test_a_practice_that_is_not_served_is_refused(tmp_path: Path, keyring: KeyRing) -> None:
    settings = Settings(home=tmp_path / "home", keys_file=tmp_path / "keys")
    outside = Outside(settings, {}, Documents.at(None, tmp_path / "documents", keyring))
    with pytest.raises(ApplicationError, match="practice_unknown"):
        await ActivityEnvironment().run(Payers(outside).submit_request, submission())


async def test_clients_are_made_once_and_closed_together(tmp_path: Path, keyring: KeyRing) -> None:
    settings = Settings(home=tmp_path / "home", keys_file=tmp_path / "keys")
    outside = Outside(settings, {}, Documents.at(None, tmp_path / "documents", keyring))
    first = outside.http("payer")
    assert outside.http("payer") is first
    await outside.aclose()
    assert first.is_closed
    assert isinstance(outside.http("payer"), httpx.AsyncClient)
    await outside.aclose()


async def test_a_payer_that_is_down_ends_as_exhausted_when_patience_is_over(
    sandbox_url: str, keyring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SubmitRequest, "patience", timedelta(seconds=37))
    async with world(sandbox_url, keyring, tmp_path) as here:
        outside = silent(here)
        action = submission().model_copy(update={"practice": here.practice.id, "request": request(documents=())})
        with pytest.raises(ApplicationError) as over:
            await ActivityEnvironment().run(Payers(outside).submit_request, action)
        assert (over.value.type, over.value.message) == ("Exhausted", "ConnectError")
        await outside.aclose()


def silent(here: World) -> Outside:
    """The same outside with a payer where nobody listens."""
    secrets = {f"{here.practice.id}.meridian-ppo": SecretStr("any")}
    settings = here.outside.settings.model_copy(
        update={"sandbox_url": f"http://127.0.0.1:{free_port()}", "secrets_by_name": secrets}
    )
    return Outside(settings, here.outside.practices, here.outside.documents)
