"""What operators see through the doors: alerts, readiness, what waits in the spool; and a client that never connected."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.intake import order_received
from runtime.cases import facts_of, open_case, running_cases, status_of, tell_case
from runtime.codec import data_converter
from runtime.keys import KeyRing
from runtime.processes import free_port
from runtime.temporal import connect
from store import alerts, rounds
from store.alerts import Alert
from store.audit import AuditTrail, entries
from store.rounds import Round
from store.tokens import Role
from tests.api_doors import Doors, client_of, open_doors
from tests.house import House

RUNBOOK = Path(__file__).resolve().parent.parent / "docs" / "runbook.md"


@pytest.fixture
async def doors(house: House) -> AsyncIterator[Doors]:
    async with open_doors(house) as found:
        yield found


def an_alert(practice: str | None, key: str, **changes: object) -> Alert:
    given = {"kind": "round_missing", "sentence": "No sweep has ended.", "remedy": "Look at the EHR's credentials."}
    return Alert.model_validate({"key": key, "practice": practice, **given, **changes})


# --- alerts ------------------------------------------------------------------------------------------------------------


async def test_an_operator_sees_the_practices_and_the_installations_alerts_and_others_do_not(doors: Doors) -> None:
    mine, db, now = doors.desk.practice.id, doors.services.database, datetime.now(UTC)
    given = [
        an_alert(mine, "round_missing/sweep"),
        an_alert(None, f"stuck/{mine}"),
        an_alert("elsewhere", f"theirs/{mine}"),
        an_alert(mine, "patient", patience=timedelta(hours=1)),
    ]
    await alerts.keep(db, given, now)
    for role in (Role.INTAKE, Role.STAFF, Role.SUPERVISOR, Role.CODEC):
        token = await doors.token(role)
        assert (await doors.get("/v1/alerts", token=token)).status_code == 403
        refused = await doors.post("/v1/alerts/round_missing/sweep/acknowledge", token=token)
        assert refused.status_code == 403
    operator = await doors.token(Role.OPERATOR, "maud")
    answer = await doors.get("/v1/alerts", token=operator)
    assert answer.status_code == 200, answer.text
    items = {item["key"]: item for item in answer.json()["items"]}
    assert set(items) == {"round_missing/sweep", f"stuck/{mine}"}
    assert answer.json()["more"] is False
    shown = items["round_missing/sweep"]
    page, _, anchor = shown["runbook"].partition("#")
    assert page == "docs/runbook.md"
    assert f"\n## {anchor}\n" in RUNBOOK.read_text()
    assert (shown["practice"], items[f"stuck/{mine}"]["practice"]) == (mine, None)
    assert shown["acknowledged_by"] is None
    await alerts.clear(db, [f"stuck/{mine}"], now)
    assert {"alerts.read", "operator refused"} <= {entry.what for entry in await entries(db, mine)}


async def test_an_alert_is_acknowledged_once_and_a_lasting_one_is_over_with_that(doors: Doors) -> None:
    mine, db, now = doors.desk.practice.id, doors.services.database, datetime.now(UTC)
    await alerts.keep(
        db, [an_alert(mine, "round_missing/sweep"), an_alert(mine, "restored/case-a/9", lasting=True)], now
    )
    maud, otto = await doors.token(Role.OPERATOR, "maud"), await doors.token(Role.OPERATOR, "otto")
    first = await doors.post("/v1/alerts/round_missing/sweep/acknowledge", token=maud)
    assert (first.status_code, first.json()["acknowledged_by"]) == (200, "person:maud")
    late = await doors.post("/v1/alerts/round_missing/sweep/acknowledge", token=otto)
    assert (late.status_code, late.json()["acknowledged_by"]) == (200, "person:maud")

    where, headers = "/v1/alerts/restored/case-a/9/acknowledge", {"Idempotency-Key": "seen-1"}
    over = await doors.post(where, token=otto, headers=headers)
    assert over.status_code == 200
    again = await doors.post(where, token=otto, headers=headers)
    assert (again.json(), again.headers["idempotent-replayed"]) == (over.json(), "true")
    gone = await doors.post(where, token=otto)
    assert (gone.status_code, gone.json()["code"]) == (404, "alert_unknown")
    left = (await doors.get("/v1/alerts", token=otto)).json()["items"]
    assert [item["key"] for item in left if item["practice"] == mine] == ["round_missing/sweep"]


async def test_an_alert_of_another_practice_cannot_be_acknowledged(doors: Doors) -> None:
    db, theirs = doors.services.database, f"theirs/{doors.desk.practice.id}"
    await alerts.keep(db, [an_alert("elsewhere", theirs)], datetime.now(UTC))
    answer = await doors.post(f"/v1/alerts/{theirs}/acknowledge", token=await doors.token(Role.OPERATOR))
    assert answer.status_code == 404
    [held] = [one for one in await alerts.open_alerts(db, "elsewhere") if one.key == theirs]
    assert held.acknowledged_by is None


# --- readiness and metrics ---------------------------------------------------------------------------------------------


async def test_it_is_not_ready_when_the_watchman_fell_silent_but_a_new_installation_is(doors: Doors) -> None:
    fresh = await doors.http.get("/readyz")
    assert (fresh.status_code, fresh.json()["status"]) == (200, "ready")
    assert fresh.json()["watchman_ended_at"] is None

    ended = datetime.now(UTC)
    await rounds.note(doors.services.database, Round(name=rounds.WATCHMAN, ended_at=ended))
    watched = await doors.http.get("/readyz")
    assert (watched.status_code, watched.json()["status"]) == (200, "ready")
    assert datetime.fromisoformat(watched.json()["watchman_ended_at"]) == ended

    later = replace(doors.services, clock=lambda: ended + timedelta(minutes=15, seconds=1))
    async with client_of(later) as http:
        silent = await http.get("/readyz")
    assert (silent.status_code, silent.json()["status"]) == (503, "unwatched")
    page, _, anchor = silent.json()["reason"].rstrip(".").rpartition(" ")[2].partition("#")
    assert page == "docs/runbook.md"
    assert f"\n## {anchor}\n" in RUNBOOK.read_text()
    with doors.without_postgresql() as away:
        degraded = await away.http.get("/readyz")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")


async def test_what_waits_in_the_spool_is_counted(doors: Doors) -> None:
    async def waiting(one: Doors) -> float:
        lines = (await one.http.get("/metrics")).text.splitlines()
        return float(next(line for line in lines if line.startswith("vigil_spool_entries ")).split()[1])

    token = await doors.token()
    await doors.get("/v1/worklist", token=token)
    before = await waiting(doors)
    with doors.without_postgresql() as away:
        for _ in range(3):
            assert (await away.get("/v1/worklist", token=token)).status_code == 503
        assert await waiting(away) == before + 3
    drained = await AuditTrail(doors.services.database, away.services.spool).drain()
    assert drained.entries == before + 3
    assert await waiting(away) == 0


# --- a client that never connected -------------------------------------------------------------------------------------


async def test_a_lazy_client_opens_and_asks_as_any_other(doors: Doors, keyring: KeyRing) -> None:
    services, practice, now = doors.services, doors.desk.practice, datetime.now(UTC)
    fact = order_received(await doors.desk.order("202"), time_zone=practice.time_zone, by="system:test", now=now)
    target = services.client.service_client.config.target_host

    async def lazy() -> Client:
        return await Client.connect(target, data_converter=data_converter(keyring), lazy=True)

    standing = await open_case(await lazy(), services.settings, keyring, fact)
    case_id = standing.view.case_id
    assert await status_of(await lazy(), practice.id, case_id) is not None
    assert await tell_case(await lazy(), practice.id, case_id, [fact])
    assert (await facts_of(await lazy(), practice.id, case_id) or ())[0].kind == "order_received"
    assert [one async for one in running_cases(await lazy())]


async def test_a_lazy_client_says_in_one_way_that_temporal_is_away(doors: Doors, keyring: KeyRing) -> None:
    services, practice, now = doors.services, doors.desk.practice, datetime.now(UTC)
    fact = order_received(await doors.desk.order("202"), time_zone=practice.time_zone, by="system:test", now=now)
    nowhere = services.settings.model_copy(update={"temporal_port": free_port()})
    client, case_id = await connect(nowhere, keyring, lazy=True), f"case-{'a' * 26}"
    for attempt in (
        open_case(client, nowhere, keyring, fact),
        tell_case(client, practice.id, case_id, [fact]),
        facts_of(client, practice.id, case_id),
        status_of(client, practice.id, case_id),
        anext(running_cases(client)),
    ):
        with pytest.raises(RPCError) as away:
            await attempt
        assert away.value.status is RPCStatusCode.UNAVAILABLE
