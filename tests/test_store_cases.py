"""Publishing a case, and reading it back: the archive, the row, the worklist, the search, and whose they are."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from domain.base import Stage, Turn
from domain.case import Case, begin, record, replay
from domain.clocks import ClockKind, start
from domain.decision import Number, NumberType
from domain.facts import (
    CaseClosed,
    CoverageStatus,
    CoverageVerified,
    Fact,
    NoteAdded,
    OrderChanged,
    OrderReceived,
    Receipt,
    RequestSubmitted,
    RequirementDetermined,
    TaskOpened,
    UnknownFact,
    read_fact,
)
from domain.order import Order, Urgency
from domain.plan import Plan
from domain.view import CaseView, Publication, view
from runtime.errors import SealBroken, UnknownKey
from runtime.keys import KeyRing
from store import cases, worklist
from store.database import Database
from store.errors import CursorInvalid, PublicationBroken, StoreFault
from store.facts import source_of
from store.migrate import migrate

NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)
MARKER = "Zzyzxwell"


def an_order(practice: str = "lakeside", number: str = "ORD-1", **changed: Any) -> Order:
    patient = {
        "id": "P-77",
        "family_name": MARKER,
        "given_name": "Ana",
        "birth_date": date(1980, 2, 29),
        **changed.pop("patient", {}),
    }
    return Order.model_validate(
        {
            "practice": practice,
            "source": "nextgen",
            "number": number,
            "ordered_at": NOW,
            "patient": patient,
            "coverages": [{"rank": 1, "payer": "meridian-ppo", "member_id": "MPP100200"}],
            "ordering": {"npi": "1234567893", "family_name": "Okafor", "given_name": "Ngozi"},
            "diagnoses": ["M54.16"],
            "lines": [{"number": 1, "code": "95886", "service_from": date(2026, 3, 20)}],
            **changed,
        }
    )


def a_note(source_id: str, text: str = "They called back.") -> NoteAdded:
    return NoteAdded(occurred_at=NOW, by="person:mia", source_id=source_id, text=text)


def a_case(case_id: str = "case-1", *facts: Fact, order: Order | None = None) -> Case:
    received = OrderReceived(occurred_at=NOW, by="system:nextgen", source_id="order", order=order or an_order())
    return recorded(begin(case_id, received, NOW), *facts)


def recorded(case: Case, *facts: Fact) -> Case:
    for fact in facts:
        case, _ = record(case, fact, NOW + timedelta(minutes=case.n))
    return case


def row_of(
    case: Case, *, due: datetime | None = None, wake_at: datetime | None = None, turn: Turn = Turn.PAYER
) -> CaseView:
    """The row by a plan of the test's own; the real plan is another's test."""
    clock = start(
        key="decision",
        kind=ClockKind.PAYER_DECISION,
        label="The payer decides",
        at=NOW,
        due=due or NOW + timedelta(days=3),
        rule="meridian-ppo/decision",
        waiting_for=Turn.PAYER,
    )
    plan = Plan(
        stage=Stage.DECISION,
        turn=turn,
        why="The payer has the request.",
        next="Ask again on Thursday.",
        clocks=(clock,),
        binding="decision",
        wake_at=None if case.closed else wake_at or NOW + timedelta(days=1),
    )
    return view(case, plan, NOW)


def publication(case: Case, confirmed: int = 0, **row: Any) -> Publication:
    return Publication(view=row_of(case, **row), facts=case.facts[confirmed:])


@pytest.fixture(scope="module")
async def db(postgres_url: str) -> AsyncIterator[Database]:
    await migrate(postgres_url)
    database = Database(postgres_url, application_name="vigil-test")
    yield database
    await database.close()


async def rows(db: Database, query: str, *arguments: object) -> list[asyncpg.Record]:
    async with db.connection() as connection:
        return await connection.fetch(query, *arguments)


async def test_a_case_is_read_back_as_it_was_published(db: Database, keyring: KeyRing) -> None:
    case = a_case(
        "case-back",
        RequirementDetermined.model_validate(
            {
                "occurred_at": NOW,
                "by": "vigil",
                "source_id": "requirement",
                "track": "1-ordering",
                "rank": 1,
                "payer": "meridian-ppo",
                "lines": [{"line": 1, "authorization": "required", "rule": "emg"}],
            }
        ),
        RequestSubmitted(
            occurred_at=NOW,
            by="vigil",
            source_id="submitted",
            track="1-ordering",
            attempt=1,
            rail="pas",
            trace="t-1",
            receipt=Receipt(kind="http_id", reference="abc"),
            numbers=(Number(type=NumberType.ADMINISTRATIVE, value="PEND-9"),),
        ),
        TaskOpened.model_validate(
            {
                "occurred_at": NOW,
                "by": "vigil",
                "source_id": "task",
                "task": "call",
                "task_kind": "check_status",
                "turn": "staff",
                "title": "Call them",
                "due": NOW + timedelta(hours=4),
                "rule": "x",
            }
        ),
        read_fact(b'{"kind":"moon_phase","v":7,"occurred_at":"2026-03-02T14:00:00Z","by":"x","source_id":"u","a":[1]}'),
    )
    assert isinstance(case.facts[-1], UnknownFact)

    published = await cases.publish(db, keyring, publication(case))

    assert (published.confirmed, published.missing) == (5, ())
    assert await cases.case_row(db, "lakeside", "case-back") == row_of(case)
    assert await cases.facts(db, keyring, "lakeside", "case-back") == case.facts
    assert replay("case-back", await cases.facts(db, keyring, "lakeside", "case-back")) == case
    assert await cases.order_of(db, keyring, "lakeside", "case-back") == case.order
    for table, count in (("tasks", 1), ("clocks", 1), ("numbers", 1), ("facts", 5), ("fact_places", 5)):
        found = await rows(db, f"SELECT FROM {table} WHERE practice = 'lakeside' AND case_id = 'case-back'")
        assert len(found) == count, table


async def test_publishing_twice_changes_nothing(db: Database, keyring: KeyRing) -> None:
    case = a_case("case-twice", a_note("a"), a_note("b"))
    said = publication(case)
    first = await cases.publish(db, keyring, said)
    before = await rows(db, "SELECT source, sealed, position FROM facts WHERE case_id = 'case-twice' ORDER BY position")

    assert await cases.publish(db, keyring, said) == first
    assert (
        await rows(db, "SELECT source, sealed, position FROM facts WHERE case_id = 'case-twice' ORDER BY position")
        == before
    )


async def test_only_what_is_new_is_sent_and_the_latest_row_wins(db: Database, keyring: KeyRing) -> None:
    early = a_case("case-late", a_note("a"))
    late = recorded(early, a_note("b"))
    await cases.publish(db, keyring, publication(early))
    assert (await cases.publish(db, keyring, publication(late, 2, turn=Turn.STAFF))).confirmed == 3

    # What was under way longer arrives last, and must not win.
    await cases.publish(db, keyring, publication(early, turn=Turn.VIGIL))

    kept = await cases.case_row(db, "lakeside", "case-late")
    assert kept is not None
    assert (kept.n, kept.turn) == (3, Turn.STAFF)
    assert await cases.facts(db, keyring, "lakeside", "case-late") == late.facts
    # The same n with another plan is a later one too.
    await cases.publish(db, keyring, publication(late, 3, turn=Turn.PAYER))
    kept = await cases.case_row(db, "lakeside", "case-late")
    assert kept is not None
    assert kept.turn is Turn.PAYER


async def test_a_publication_with_gaps_is_refused(db: Database, keyring: KeyRing) -> None:
    case = a_case("case-gap", a_note("a"), a_note("b"))
    broken = Publication(view=row_of(case), facts=(case.facts[0], case.facts[2]))
    with pytest.raises(PublicationBroken):
        await cases.publish(db, keyring, broken)
    assert await cases.case_row(db, "lakeside", "case-gap") is None
    assert await cases.facts(db, keyring, "lakeside", "case-gap") == ()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE facts SET sealed = 'x' WHERE case_id = 'case-kept'",
        "DELETE FROM facts WHERE case_id = 'case-kept'",
        "TRUNCATE facts CASCADE",
        "UPDATE audit SET who = 'nobody'",
        "DELETE FROM policies",
        "DELETE FROM policy_releases",
    ],
)
async def test_what_is_archived_is_never_changed(db: Database, keyring: KeyRing, statement: str) -> None:
    case = a_case("case-kept", a_note("a"))
    await cases.publish(db, keyring, publication(case))
    with pytest.raises(StoreFault) as refused:
        async with db.connection() as connection:
            await connection.execute(statement)
    assert refused.value.sqlstate == "23001"
    assert await cases.facts(db, keyring, "lakeside", "case-kept") == case.facts


async def test_the_archive_shows_nothing_to_who_has_no_keys(db: Database, keyring: KeyRing) -> None:
    case = a_case("case-sealed", a_note("secret", f"{MARKER} is pregnant"))
    await cases.publish(db, keyring, publication(case))

    kept = await rows(db, "SELECT * FROM facts WHERE case_id = 'case-sealed'")
    assert len(kept) == 2
    for row in kept:
        content = b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
        assert MARKER.encode() not in content
        assert b"pregnant" not in content
        assert b"secret" not in content
    with pytest.raises(UnknownKey):
        await cases.facts(db, KeyRing.create(), "lakeside", "case-sealed")


async def test_a_sealed_fact_moved_to_another_case_does_not_open(db: Database, keyring: KeyRing) -> None:
    case = a_case("case-from", a_note("a"))
    await cases.publish(db, keyring, publication(case))
    async with db.connection() as connection:
        await connection.execute(
            "INSERT INTO facts (practice, case_id, source, sealed) SELECT practice, 'case-to', source, sealed FROM facts "
            "WHERE case_id = 'case-from'"
        )
    with pytest.raises(SealBroken):
        await cases.facts(db, keyring, "lakeside", "case-to")


async def test_another_practice_finds_nothing(db: Database, keyring: KeyRing) -> None:
    order = an_order("hillside", "H-1", patient={"family_name": "Isolde"})
    case = a_case("case-hill", a_note("a"), order=order)
    await cases.publish(db, keyring, publication(case, wake_at=NOW - timedelta(hours=1)))

    for practice, found in (("hillside", 1), ("lakeside", 0)):
        assert bool(await cases.case_row(db, practice, "case-hill")) == found
        assert bool(await cases.facts(db, keyring, practice, "case-hill")) == found
        assert bool(await cases.order_of(db, keyring, practice, "case-hill")) == found
        assert len(await worklist.find(db, practice, "Isolde")) == found
        assert len([i for i in (await worklist.worklist(db, practice)).items if i.case_id == "case-hill"]) == found
        asleep = await worklist.sleepers(db, practice, NOW, grace=timedelta(minutes=5))
        assert ("case-hill" in [s.case_id for s in asleep]) == found
        assert ("case-hill" in await worklist.open_case_ids(db, practice)) == found


async def test_the_same_case_id_in_two_practices_stays_two_cases(db: Database, keyring: KeyRing) -> None:
    one = a_case("case-same", a_note("a"), order=an_order("eastside", "E-1"))
    other = a_case("case-same", a_note("b"), order=an_order("westside", "W-1"))
    await cases.publish(db, keyring, publication(one))
    await cases.publish(db, keyring, publication(other))
    assert await cases.facts(db, keyring, "eastside", "case-same") == one.facts
    assert await cases.facts(db, keyring, "westside", "case-same") == other.facts


async def test_the_worklist_is_sorted_by_slack_and_stat_goes_first(db: Database, keyring: KeyRing) -> None:
    urgent = {"urgency": "stat", "urgency_attestation": "Cord compression"}
    for case_id, hours, order in (
        ("w-3", 30, an_order("slack", "3")),
        ("w-1", 2, an_order("slack", "1")),
        ("w-2b", 9, an_order("slack", "2b")),
        ("w-2a", 9, an_order("slack", "2a", **urgent)),
        ("w-closed", 1, an_order("slack", "0")),
    ):
        case = a_case(case_id, order=order)
        if case_id == "w-closed":
            case = recorded(case, CaseClosed(occurred_at=NOW, by="vigil", source_id="end", reason="visit_over"))
        await cases.publish(db, keyring, publication(case, due=NOW + timedelta(hours=hours), turn=Turn.STAFF))

    everything = await worklist.worklist(db, "slack")
    assert [item.case_id for item in everything.items] == ["w-1", "w-2a", "w-2b", "w-3"]
    assert everything.next is None

    paged, cursor = list[str](), None
    for _ in range(5):
        page = await worklist.worklist(db, "slack", limit=1, cursor=cursor)
        paged += [item.case_id for item in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert paged == ["w-1", "w-2a", "w-2b", "w-3"]

    assert [i.case_id for i in (await worklist.worklist(db, "slack", urgency=Urgency.STAT)).items] == ["w-2a"]
    assert (await worklist.worklist(db, "slack", turn=Turn.PAYER)).items == ()
    assert len((await worklist.worklist(db, "slack", turn=Turn.STAFF, payer="meridian-ppo")).items) == 4
    assert (await worklist.worklist(db, "slack", owner="person:mia")).items == ()
    with pytest.raises(CursorInvalid):
        await worklist.worklist(db, "slack", cursor="bm9uc2Vuc2U")


async def test_a_case_without_a_clock_stands_last(db: Database, keyring: KeyRing) -> None:
    for case_id, binding in (("n-1", None), ("n-2", None), ("n-0", "decision")):
        case = a_case(case_id, order=an_order("clockless", case_id))
        row = row_of(case).model_copy(update={} if binding else {"binding": None})
        await cases.publish(db, keyring, Publication(view=row, facts=case.facts))
    first = await worklist.worklist(db, "clockless", limit=2)
    rest = await worklist.worklist(db, "clockless", limit=2, cursor=first.next)
    assert [i.case_id for i in (*first.items, *rest.items)] == ["n-0", "n-1", "n-2"]


@pytest.mark.parametrize(
    "q",
    [
        "nunez",
        "NÚÑEZ josé",
        "jose  nun",
        "1975-07-04",
        "7/4/1975, nunez",
        "spx99887",
        "ord 42",
        "ORD 42",
        "p-find",
        "cert-5",
        "case-find",
    ],
)
async def test_a_case_is_found_by_what_people_know(db: Database, keyring: KeyRing, q: str) -> None:
    order = an_order(
        "finders",
        "Ord 42",
        patient={"id": "P-Find", "family_name": "Núñez", "given_name": "José", "birth_date": date(1975, 7, 4)},
        coverages=[{"rank": 1, "payer": "meridian-ppo", "member_id": "SPX99887"}],
    )
    case = a_case("case-find", order=order)
    row = row_of(case).model_copy(update={"numbers": (Number(type=NumberType.CERTIFICATION, value="CERT-5"),)})
    await cases.publish(db, keyring, Publication(view=row, facts=case.facts))
    await cases.publish(db, keyring, publication(a_case("case-other", order=an_order("finders", "O-2"))))

    assert [found.case_id for found in await worklist.find(db, "finders", q)] == ["case-find"]
    assert await worklist.find(db, "finders", q + " nobody") == ()


@pytest.mark.parametrize("q", ["", "  ", "%", "_", "\x00", "2/30/1980", "\u0301"])
async def test_a_search_for_nothing_finds_nothing(db: Database, keyring: KeyRing, q: str) -> None:
    await cases.publish(db, keyring, publication(a_case("case-void", order=an_order("voiders", "V"))))
    assert await worklist.find(db, "voiders", q) == ()


async def test_a_character_that_postgresql_cannot_keep_stops_no_case(db: Database, keyring: KeyRing) -> None:
    case = a_case("case-nul", a_note("s\x00", "t\x00t"), order=an_order("nul"))
    assert (await cases.publish(db, keyring, publication(case))).confirmed == 2
    assert await cases.facts(db, keyring, "nul", "case-nul") == case.facts
    assert [found.case_id for found in await worklist.find(db, "nul", f"{MARKER[:4]}\x00{MARKER[4:]}")] == ["case-nul"]


async def test_the_watchman_sees_who_overslept_and_how_far_the_rows_are_behind(db: Database, keyring: KeyRing) -> None:
    for case_id, minutes in (("s-1", -40), ("s-2", -3), ("s-3", 60)):
        case = a_case(case_id, order=an_order("sleepy", case_id))
        await cases.publish(db, keyring, publication(case, wake_at=NOW + timedelta(minutes=minutes)))

    assert [s.case_id for s in await worklist.sleepers(db, "sleepy", NOW, grace=timedelta(minutes=5))] == ["s-1"]
    lag = await worklist.archive_lag(db, "sleepy", NOW)
    assert lag == worklist.ArchiveLag(open_cases=3, overdue=2, longest=timedelta(minutes=40), out_of_step=0)
    empty = await worklist.archive_lag(db, "nobody", NOW)
    assert empty == worklist.ArchiveLag(open_cases=0, overdue=0, longest=timedelta(0), out_of_step=0)


async def test_the_rows_are_made_anew_from_the_archive(db: Database, keyring: KeyRing) -> None:
    changed = an_order("builders", "B-1", patient={"family_name": "Renamed"})
    good = a_case(
        "b-1",
        OrderChanged(occurred_at=NOW, by="system:nextgen", source_id="change", order=changed),
        CoverageVerified(occurred_at=NOW, by="vigil", source_id="cov", rank=1, status=CoverageStatus.ACTIVE),
        order=an_order("builders", "B-1"),
    )
    bad = a_case("b-2", order=an_order("builders", "B-2"))
    for case in (good, bad):
        await cases.publish(db, keyring, publication(case))
    expected = await cases.case_row(db, "builders", "b-1")
    await rows(db, "DELETE FROM cases WHERE practice = 'builders' AND case_id = 'b-1'")
    assert await cases.case_row(db, "builders", "b-1") is None

    def fold(case_id: str, facts: Sequence[Fact]) -> CaseView:
        if case_id == "b-2":
            raise ValueError(MARKER)
        return row_of(replay(case_id, facts))

    done = await cases.rebuild(db, keyring, fold, practice="builders")

    assert done == cases.Rebuilt(1, (cases.Unfolded("builders", "b-2", "ValueError"),))
    assert await cases.case_row(db, "builders", "b-1") == expected
    assert [f.case_id for f in await worklist.find(db, "builders", "renamed")] == ["b-1"]
    assert await cases.case_row(db, "builders", "b-2") == row_of(bad)


def test_source_ids_of_any_text_have_a_place() -> None:
    assert source_of(a_note("a")) != source_of(a_note("b"))
    assert len(source_of(a_note("é\x00"))) == 32
