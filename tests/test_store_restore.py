"""Temporal, or PostgreSQL, restored from an older copy: the archive and the case bring each other up to date.

The case here is the domain's own, driven as its workflow drives it: it publishes what is not confirmed, takes
`confirmed` as it is told, and records what it is told that it lost.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.case import Case, record, replay
from domain.facts import Fact
from domain.view import Publication, Published
from runtime.keys import KeyRing
from store import cases, worklist
from store.database import Database
from store.migrate import migrate
from tests.test_store_cases import NOW, a_case, a_note, an_order, publication, recorded

PRACTICE = "lakeside"


@pytest.fixture(scope="module")
async def db(postgres_url: str) -> AsyncIterator[Database]:
    await migrate(postgres_url)
    database = Database(postgres_url, application_name="vigil-test")
    yield database
    await database.close()


@dataclass(frozen=True)
class Running:
    """A case as its workflow holds it. Frozen, so that a copy of it is a copy of Temporal."""

    case: Case
    confirmed: int = 0

    def said(self, *facts: Fact) -> "Running":
        return replace(self, case=recorded(self.case, *facts))

    def publication(self) -> Publication:
        return publication(self.case, self.confirmed)

    def told(self, published: Published) -> "Running":
        case = self.case
        for fact in published.missing:
            case, _ = record(case, fact, NOW + timedelta(days=1, minutes=case.n))
        return Running(case, published.confirmed)

    @property
    def in_step(self) -> bool:
        return self.confirmed == self.case.n


async def settled(db: Database, keyring: KeyRing, running: Running, *, rounds: int) -> Running:
    """Publish until there is nothing more to say; fails when that takes more rounds."""
    for _ in range(rounds):
        published = await cases.publish(db, keyring, running.publication())
        running = running.told(published)
        if running.in_step and not published.missing:
            return running
    pytest.fail(f"after {rounds} publications the archive is at {running.confirmed} of {running.case.n}")


def notes(first: int, last: int, mark: str = "") -> list[Fact]:
    return [a_note(f"s{n}{mark}", f"Note {n}{mark}") for n in range(first, last + 1)]


def sources(facts: tuple[Fact, ...]) -> list[str]:
    return [fact.source_id for fact in facts]


async def test_a_case_that_lost_facts_gets_them_back_beside_what_it_recorded_anew(
    db: Database, keyring: KeyRing
) -> None:
    old = await settled(db, keyring, Running(a_case("restored")).said(*notes(2, 19)), rounds=1)
    newest = await settled(db, keyring, old.said(*notes(20, 30)), rounds=1)
    assert old.confirmed == 19

    back = old.said(*notes(20, 21, "'"))
    published = await cases.publish(db, keyring, back.publication())

    assert sources(published.missing) == [f"s{n}" for n in range(20, 31)]
    assert published.missing == newest.case.facts[19:]
    whole = await settled(db, keyring, back.told(published), rounds=1)
    archived = await cases.facts(db, keyring, PRACTICE, "restored")
    assert sources(archived) == [*sources(old.case.facts), "s20'", "s21'", *(f"s{n}" for n in range(20, 31))]
    assert replay("restored", archived) == whole.case
    assert [fact.n for fact in archived] == list(range(1, 33))
    row = await cases.case_row(db, PRACTICE, "restored")
    assert row is not None
    assert row.n == 32


async def test_a_case_that_recorded_nothing_since_takes_back_the_same_places(db: Database, keyring: KeyRing) -> None:
    old = await settled(db, keyring, Running(a_case("quiet")).said(*notes(2, 5)), rounds=1)
    newest = await settled(db, keyring, old.said(*notes(6, 9)), rounds=1)

    published = await cases.publish(db, keyring, old.publication())

    assert published.missing == newest.case.facts[5:]
    whole = await settled(db, keyring, old.told(published), rounds=1)
    assert sources(whole.case.facts) == sources(newest.case.facts)


async def test_the_row_waits_until_the_restored_case_knows_everything_again(db: Database, keyring: KeyRing) -> None:
    old = await settled(db, keyring, Running(a_case("row", order=an_order("rowers"))).said(*notes(2, 3)), rounds=1)
    await settled(db, keyring, old.said(*notes(4, 9)), rounds=1)
    back = old.said(*notes(4, 4, "'"))

    unsure = await cases.publish(db, keyring, back.publication())
    row = await cases.case_row(db, "rowers", "row")
    assert row is not None
    assert (unsure.confirmed, row.n) == (0, 9)

    whole = await settled(db, keyring, back.told(unsure), rounds=1)
    row = await cases.case_row(db, "rowers", "row")
    assert row is not None
    assert row.n == whole.case.n == 10


async def test_an_archive_restored_from_an_older_copy_is_told_everything_again(db: Database, keyring: KeyRing) -> None:
    running = await settled(db, keyring, Running(a_case("pg", order=an_order("pgers"))).said(*notes(2, 9)), rounds=1)
    async with db.transaction() as connection:
        # As an older copy of PostgreSQL has it: the last facts were never there.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("DELETE FROM fact_places WHERE practice = 'pgers' AND n > 6")
        await connection.execute(
            "DELETE FROM facts WHERE practice = 'pgers' "
            "AND source NOT IN (SELECT source FROM fact_places WHERE practice = 'pgers')"
        )
    assert len(await cases.facts(db, keyring, "pgers", "pg")) == 6

    running = running.said(*notes(10, 11))
    published = await cases.publish(db, keyring, running.publication())
    assert published.confirmed == 0
    running = await settled(db, keyring, running.told(published), rounds=1)

    assert replay("pg", await cases.facts(db, keyring, "pgers", "pg")) == running.case


async def test_a_fact_said_again_with_other_words_keeps_the_first(db: Database, keyring: KeyRing) -> None:
    old = await settled(db, keyring, Running(a_case("words")), rounds=1)
    await settled(db, keyring, old.said(a_note("call", "first")), rounds=1)

    again = await settled(db, keyring, old.said(a_note("call", "second")), rounds=2)

    assert again.case.n == 2
    kept = (await cases.facts(db, keyring, PRACTICE, "words"))[1]
    assert kept.model_dump()["text"] == "first"


async def test_a_lag_is_seen_while_facts_wait_to_be_taken_back(db: Database, keyring: KeyRing) -> None:
    old = Running(a_case("lag", order=an_order("laggers"))).said(*notes(2, 3))
    await settled(db, keyring, old.said(*notes(4, 6)), rounds=1)
    back = replace(old.said(*notes(4, 4, "'")), confirmed=0)
    published = await cases.publish(db, keyring, back.publication())
    assert (await worklist.archive_lag(db, "laggers", NOW)).out_of_step == 1
    await settled(db, keyring, back.told(published), rounds=1)
    assert (await worklist.archive_lag(db, "laggers", NOW)).out_of_step == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["record", "publish", "lose the answer", "copy", "hold back", "deliver late"]), st.just(0)
        ),
        st.tuples(st.just("restore"), st.integers(0, 5)),
    ),
    min_size=4,
    max_size=24,
)
_serial = iter(range(1_000_000))


async def lived(
    db: Database, keyring: KeyRing, steps: list[tuple[str, int]], *, any_copy: bool
) -> tuple[Running, set[str], tuple[Fact, ...]]:
    """A case that goes through the steps and then settles; what was ever published; what the archive has."""
    case_id = f"lived-{next(_serial)}"
    running = Running(a_case(case_id))
    copies, held, spoken = [running], list[Publication](), set[str]()
    for n, (step, which) in enumerate(steps):
        match step:
            case "record":
                running = running.said(a_note(f"f{n}", f"Fact {n}"))
            case "copy":
                copies.append(running)
            case "restore":
                chosen = which % len(copies)
                running = copies[chosen]
                copies = copies if any_copy else copies[: chosen + 1]
            case "hold back":
                held.append(running.publication())
            case "deliver late" if held:
                late = held.pop(0)
                spoken |= set(sources(late.facts))
                await cases.publish(db, keyring, late)
            case "publish" | "lose the answer":
                spoken |= set(sources(running.case.facts[running.confirmed :]))
                published = await cases.publish(db, keyring, running.publication())
                running = running.told(published) if step == "publish" else running
    running = await settled(db, keyring, running, rounds=4)
    spoken |= set(sources(running.case.facts))
    return running, spoken, await cases.facts(db, keyring, PRACTICE, case_id)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_restored_nothing_is_lost_or_doubled(
    db: Database, keyring: KeyRing, steps: list[tuple[str, int]]
) -> None:
    running, spoken, archived = await lived(db, keyring, steps, any_copy=True)
    assert sorted(sources(archived)) == sorted(spoken)
    assert sorted(sources(running.case.facts)) == sorted(spoken)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_archive_replays_to_the_case_that_lives(
    db: Database, keyring: KeyRing, steps: list[tuple[str, int]]
) -> None:
    running, _, archived = await lived(db, keyring, steps, any_copy=False)
    assert replay(running.case.id, archived) == running.case
