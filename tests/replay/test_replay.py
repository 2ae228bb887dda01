"""Cases that run must outlive a change of the code: histories of ours, sealed with a test key, replay clean.

After a deliberate change of the interpreter under `workflow.patched`, record new ones beside the old ones with
`pytest tests/replay --write-histories`; never delete one while cases of its time may be open.
"""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

import domain.plan
from domain.case import Case
from domain.rules.asking import Ask, Look
from runtime.codec import data_converter
from runtime.keys import KeyRing
from tests.house import House, Live
from workflows.authorization import AuthorizationWorkflow

HISTORIES = Path(__file__).parent / "histories"
RECORDED = sorted(HISTORIES.glob("*.json"))


async def _replay(path: Path, keyring: KeyRing) -> None:
    recorded = json.loads(path.read_text())
    history = WorkflowHistory.from_json(recorded["id"], recorded["history"])
    replayer = Replayer(workflows=[AuthorizationWorkflow], data_converter=data_converter(keyring))
    await replayer.replay_workflow(history)


def test_there_are_histories() -> None:
    assert {path.stem for path in RECORDED} >= {"approved", "pended", "portal", "denied"}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_a_recorded_case_replays(path: Path, keyring: KeyRing) -> None:
    await _replay(path, keyring)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_a_recorded_case_replays_after_the_rules_changed(
    path: Path, keyring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another(_case: Case, now: datetime) -> Iterator[Ask]:
        yield Look(now)

    monkeypatch.setattr(domain.plan, "RULES", (another,))
    await _replay(path, keyring)


async def test_a_case_that_is_asked_all_the_time_replays(house: House, keyring: KeyRing) -> None:
    async def ask(case: Live) -> None:
        for _ in range(60):
            await case.facts()
            await asyncio.sleep(0.003)

    async with house.desk() as desk:
        cases = [await desk.open(await desk.order("100"), wait=False) for _ in range(4)]
        await asyncio.gather(*(ask(case) for case in cases for _ in range(3)))
        for case in cases:
            await case.quiet()
            replayer = Replayer(
                workflows=[AuthorizationWorkflow], data_converter=data_converter(keyring, practice_id=desk.practice.id)
            )
            await replayer.replay_workflow(await case.handle.fetch_history())


def test_histories_are_sealed() -> None:
    for path in RECORDED:
        text = path.read_text()
        for secret in ("Quillfeather", "Ottoline", "1961-04-17", "M54.16"):
            assert secret not in text, path


async def test_write_histories(house: House, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--write-histories"):
        pytest.skip("histories are recorded on demand: pytest tests/replay --write-histories")
    for name, scenario, payer, days in (
        ("approved", "100", "meridian-ppo", 30),
        ("pended", "201", "meridian-ppo", 6),
        ("portal", "100", "keystone-sf", 3),
        ("denied", "300", "summit-ma", 2),
        ("clearinghouse", "200", "harbor-hmo", 6),
        ("form", "911", "cedar-ppo", 2),
        ("fax", "100", "bluestem-mco", 2),
    ):
        if (HISTORIES / f"{name}.json").exists():
            continue  # what was recorded by an earlier release is what has to replay
        async with house.desk() as desk:
            case = await desk.open(await desk.order(scenario, payer=payer))
            for _ in range(days):
                await case.forward(days=1)
            history = await case.handle.fetch_history()
            recorded = {"id": case.id, "history": json.loads(history.to_json())}
            (HISTORIES / f"{name}.json").write_text(json.dumps(recorded, separators=(",", ":")))
