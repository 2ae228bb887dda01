"""Story B, told by the payer: the sandbox calls our webhook over real HTTP, signed; the case takes it at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import uvicorn
from pydantic import SecretStr

from api.app import create_app
from api.services import Services
from domain.decision import Outcome
from domain.facts import DecisionReceived
from runtime.processes import free_port
from tests.house import Desk, House

SECRET = "synthetic-webhook-secret"


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _open_webhook(house: House) -> AsyncIterator[str]:
    """The real API on a real port of loopback; the address of its webhooks."""
    house.settings.secrets_by_name.update({f"{p.payer}.webhook": SecretStr(SECRET) for p in house.parts.shelf.policies})
    services = Services.of(
        house.settings, house.keyring, house.parts.outside.practices, house.env.client, house.parts.database
    )
    port = free_port()
    server = _Server(uvicorn.Config(create_app(services), host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}/v1/webhooks/payers"
    server.should_exit = True
    await serving
    services.spool.close()


@pytest.mark.parametrize(
    ("scenario", "payer"), [("200", "meridian-ppo"), ("800", "meridian-ppo"), ("200", "summit-ma")]
)
async def test_a_notification_approves_the_case_once_however_often_it_comes(
    house: House, desk: Desk, scenario: str, payer: str
) -> None:
    async with _open_webhook(house) as url:
        await desk.post("subscriptions", {"payer": payer, "endpoint": f"{url}/{payer}", "secret": SECRET})
        await desk.control.patch(
            f"/control/practices/{desk.practice.id}/settings",
            json={"notification_content": {"summit-ma": "claim-response"}},  # what 2.0.1 servers may send
        )
        case = await desk.open(await desk.order(scenario, payer=payer))
        assert not (await case.case()).is_ready

        await desk.post("clock", {"days": 7})
        async with asyncio.timeout(20):
            while not (found := await case.quiet()).is_ready:  # noqa: ASYNC110 - what comes, comes over HTTP
                await asyncio.sleep(0.05)

    told = [fact for fact in found.facts if isinstance(fact, DecisionReceived) and fact.via == "notification"]
    assert [line.decision for fact in told for line in fact.decision.lines].count(Outcome.APPROVED) == 1
    assert {notice.message for notice in found.patient_notices} == {"approved"}
    assert {filed.entry for filed in found.chart} == {"pended", "decision"}
