"""Trouble with a payer's portal, reported once and known to all cases of the practice: on PostgreSQL, by the real activities."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.access import AccessActivities
from activities.archive import Archive
from domain.actions import AskAccess
from domain.case import Case
from domain.facts import HEARD, ChannelReported
from domain.plan import plan
from domain.view import Publication, view
from runtime.keys import KeyRing
from store import alerts
from store.access import report
from store.database import Database
from store.migrate import migrate
from tests.builders import MONDAY, all_of_kind, known, order, with_facts
from tests.test_domain_rules_access import reported

KEYS = KeyRing.create()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    await migrate(postgres_url)
    held = Database(postgres_url)
    yield held
    await held.close()


def case_of(practice: str) -> Case:
    return known(order(payer="keystone-sf", code="95910", category="emg", practice=practice))


async def publish(database: Database, case: Case) -> None:
    shown = view(case, plan(case, MONDAY), MONDAY)
    publication = Publication(view=shown, facts=case.facts)
    await ActivityEnvironment().run(Archive(database, KEYS).publish, publication)


async def ask(database: Database, practice: str, state: str = "working", minutes: int = -1) -> list[ChannelReported]:
    """What a case hears that knows the portal in a state since so many minutes after Monday's beginning."""
    action = AskAccess(
        key=f"ask_access/{uuid.uuid4()}/1/1",
        practice=practice,
        case_id="case-2",
        now=MONDAY,
        payer_id="keystone-sf",
        rail="portal",
        known=state,
        since=MONDAY + timedelta(minutes=minutes),
    )
    facts = await ActivityEnvironment().run(AccessActivities(database).ask_access, action)
    return all_of_kind(facts, ChannelReported)


async def test_reported_once_it_is_known_to_all_cases_until_somebody_says_that_it_works(database: Database) -> None:
    practice = f"p-{uuid.uuid4().hex[:8]}"
    assert await ask(database, practice) == []
    broken = with_facts(case_of(practice), [reported("second_factor")], MONDAY)
    await publish(database, broken)
    await publish(database, broken)  # said twice, it happened once
    (heard,) = await ask(database, practice)
    assert (heard.state, heard.by, heard.occurred_at, heard.is_heard) == ("second_factor", HEARD, MONDAY, True)
    assert await ask(database, practice, "second_factor") == []
    assert await ask(database, f"{practice}-other") == []
    (alert,) = await alerts.open_alerts(database, practice)
    assert (alert.kind, alert.subject, alert.page) == ("access_lost", broken.id, "docs/runbook.md#access-lost")

    later = reported("working").model_copy(update={"occurred_at": MONDAY + timedelta(hours=1)})
    await publish(database, with_facts(broken, [later], later.occurred_at))
    (mended,) = await ask(database, practice, "second_factor", minutes=0)
    assert mended.state == "working"
    assert await alerts.open_alerts(database, practice) == ()


async def test_what_a_case_only_heard_is_no_report_of_its_own(database: Database) -> None:
    practice = f"p-{uuid.uuid4().hex[:8]}"
    told = reported("down").model_copy(update={"by": HEARD})
    await publish(database, with_facts(case_of(practice), [told], MONDAY))
    assert await ask(database, practice) == []
    assert await alerts.open_alerts(database, practice) == ()


async def test_an_older_report_that_comes_late_changes_nothing(database: Database) -> None:
    practice = f"p-{uuid.uuid4().hex[:8]}"
    works = reported("working").model_copy(update={"occurred_at": MONDAY + timedelta(hours=1)})
    for fact in (works, reported("credentials")):
        await report(database, practice, "case-1", fact)
    assert await alerts.open_alerts(database, practice) == ()
    assert [fact.state for fact in await ask(database, practice, "credentials")] == ["working"]


async def test_without_the_database_there_is_nothing_to_hear() -> None:
    assert await ask(Database("postgresql://nobody@127.0.0.1:9/none"), "p") == []
