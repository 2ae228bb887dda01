"""What the doors keep: tokens, audit, idempotency keys, signatures, cursors, callbacks, documents, policies."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from domain.order import DocumentRef
from domain.policy import Policy, PolicyError, policy_digest
from runtime.keys import KeyRing
from store import audit, cursors, documents, policies
from store.audit import AuditEntry
from store.database import Database
from store.errors import KeyReused, SignoffRefused, StoreFault
from store.idempotency import Idempotency, Remembered
from store.migrate import migrate
from store.signoffs import Signoffs
from store.tokens import Role, Tokens
from store.webhooks import SeenCallbacks

NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)
POLICIES = Path(__file__).resolve().parent.parent / "policies"


@pytest.fixture(scope="module")
async def db(postgres_url: str) -> AsyncIterator[Database]:
    await migrate(postgres_url)
    database = Database(postgres_url, application_name="vigil-test")
    yield database
    await database.close()


async def everything_in(db: Database, table: str) -> str:
    async with db.connection() as connection:
        return str([dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")])  # noqa: S608


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


async def test_a_token_says_who_is_calling_and_is_kept_as_a_hash_only(db: Database) -> None:
    tokens = Tokens(db, clock=Clock())
    issued = await tokens.issue("lakeside", Role.STAFF, "mia", expires_at=NOW + timedelta(days=1), label="Mia's laptop")

    assert issued.secret.startswith("vgl_staff_")
    assert len(issued.secret) == len("vgl_staff_") + 43
    principal = await tokens.look_up(issued.secret)
    assert principal is not None
    assert (principal.practice, principal.role, principal.person) == ("lakeside", Role.STAFF, "mia")
    assert principal.token_id == issued.token.id
    assert issued.secret not in repr(issued)
    assert issued.secret[10:] not in await everything_in(db, "tokens")
    assert await tokens.list("lakeside") == (issued.token,)
    assert await tokens.list("hillside") == ()


async def test_unknown_expired_and_revoked_tokens_open_nothing(db: Database) -> None:
    clock = Clock()
    tokens, elsewhere = Tokens(db, clock=clock), Tokens(db, clock=clock)
    issued = await tokens.issue("tokeners", Role.OPERATOR, "sam", expires_at=NOW + timedelta(hours=1))

    assert await tokens.look_up("vgl_operator_" + "A" * 43) is None
    assert await tokens.look_up("nonsense") is None
    assert await tokens.look_up("") is None
    assert await elsewhere.look_up(issued.secret) is not None

    assert not await tokens.revoke("lakeside", issued.token.id)
    assert await tokens.revoke("tokeners", issued.token.id)
    assert not await tokens.revoke("tokeners", issued.token.id)
    assert await tokens.look_up(issued.secret) is None
    clock.now += timedelta(seconds=31)
    assert await elsewhere.look_up(issued.secret) is None

    short = await tokens.issue("tokeners", Role.INTAKE, "ehr", expires_at=NOW + timedelta(hours=1))
    assert await tokens.look_up(short.secret) is not None
    clock.now = NOW + timedelta(hours=1)
    assert await tokens.look_up(short.secret) is None
    assert await tokens.look_up(short.secret) is None


async def test_the_audit_is_kept_once_and_by_practice(db: Database) -> None:
    entry = AuditEntry(at=NOW, practice="lakeside", who="mia", role="staff", what="case.read", case_id="case-1")
    later = entry.model_copy(update={"id": AuditEntry(**entry.model_dump(exclude={"id"})).id, "at": NOW + timedelta(1)})
    await audit.append(db, [entry])
    await audit.append(db, [entry, later])

    assert await audit.entries(db, "lakeside") == (later, entry)
    assert await audit.entries(db, "lakeside", case_id="case-2") == ()
    assert await audit.entries(db, "hillside") == ()


async def test_the_same_request_gets_the_same_answer(db: Database, keyring: KeyRing) -> None:
    kept = Idempotency(db, keyring)
    answer, until = Remembered(status=202, body=b'{"patient":"Zzyzxwell"}'), NOW + timedelta(days=1)
    assert await kept.recall("lakeside", "POST /v1/orders", "k", b"body", now=NOW) is None

    first = await kept.remember("lakeside", "POST /v1/orders", "k", b"body", answer, now=NOW, expires_at=until)
    second = await kept.remember(
        "lakeside", "POST /v1/orders", "k", b"body", Remembered(status=500, body=b""), now=NOW, expires_at=until
    )

    assert first == second == answer
    assert await kept.recall("lakeside", "POST /v1/orders", "k", b"body", now=NOW) == answer
    assert await kept.recall("hillside", "POST /v1/orders", "k", b"body", now=NOW) is None
    assert await kept.recall("lakeside", "POST /v1/cases/1/notes", "k", b"body", now=NOW) is None
    with pytest.raises(KeyReused):
        await kept.recall("lakeside", "POST /v1/orders", "k", b"another", now=NOW)
    assert "Zzyzxwell" not in await everything_in(db, "idempotency")

    assert await kept.recall("lakeside", "POST /v1/orders", "k", b"body", now=until) is None
    other = Remembered(status=200, body=b"")
    assert (
        await kept.remember(
            "lakeside", "POST /v1/orders", "k", b"another", other, now=until, expires_at=until + timedelta(days=1)
        )
        == other
    )
    assert await kept.forget_expired(until + timedelta(days=1)) == 1
    assert await kept.forget_expired(until + timedelta(days=1)) == 0


async def test_a_fact_is_taken_back_by_two_people(db: Database, keyring: KeyRing) -> None:
    signoffs, until = Signoffs(db, keyring), NOW + timedelta(days=1)
    first = await signoffs.propose(
        "lakeside", "case-1", 7, reason="Zzyzxwell's mix-up", by="mia", at=NOW, expires_at=until
    )
    again = await signoffs.propose("lakeside", "case-1", 7, reason="me too", by="sam", at=NOW, expires_at=until)

    assert again == first
    assert await signoffs.waiting("lakeside", now=NOW) == (first,)
    assert await signoffs.waiting("hillside", now=NOW) == ()
    assert await signoffs.waiting("lakeside", now=until) == ()
    assert "Zzyzxwell" not in await everything_in(db, "signoffs")
    with pytest.raises(SignoffRefused, match="another person"):
        await signoffs.sign("lakeside", first.id, by="mia", at=NOW)
    with pytest.raises(SignoffRefused, match="no first signature"):
        await signoffs.sign("hillside", first.id, by="sam", at=NOW)
    with pytest.raises(SignoffRefused, match="expired"):
        await signoffs.sign("lakeside", first.id, by="sam", at=until)

    done = await signoffs.sign("lakeside", first.id, by="sam", at=NOW)
    assert (done.reason, done.first_by, done.second_by, done.n) == ("Zzyzxwell's mix-up", "mia", "sam", 7)
    assert await signoffs.sign("lakeside", first.id, by="sam", at=NOW + timedelta(1)) == done
    with pytest.raises(SignoffRefused, match="Somebody else"):
        await signoffs.sign("lakeside", first.id, by="kim", at=NOW)
    assert await signoffs.waiting("lakeside", now=NOW) == ()


async def test_an_expired_signature_is_begun_anew(db: Database, keyring: KeyRing) -> None:
    signoffs, until = Signoffs(db, keyring), NOW + timedelta(days=1)
    old = await signoffs.propose("lakeside", "case-2", 3, reason="a", by="mia", at=NOW, expires_at=until)
    new = await signoffs.propose(
        "lakeside", "case-2", 3, reason="b", by="sam", at=until, expires_at=until + timedelta(1)
    )
    assert new.id != old.id
    assert await signoffs.waiting("lakeside", now=until, case_id="case-2") == (new,)


async def test_two_people_who_sign_at_once_are_one_signature(db: Database, keyring: KeyRing) -> None:
    signoffs = Signoffs(db, keyring)
    first = await signoffs.propose(
        "lakeside", "case-3", 1, reason="a", by="mia", at=NOW, expires_at=NOW + timedelta(days=1)
    )
    outcomes = await asyncio.gather(
        *(signoffs.sign("lakeside", first.id, by=who, at=NOW) for who in ("sam", "kim")), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Signoff", "SignoffRefused"]


async def test_a_cursor_moves_only_from_where_it_was_read(db: Database) -> None:
    assert await cursors.cursor_of(db, "lakeside", "orders") is None
    assert await cursors.move(db, "lakeside", "orders", since=None, to="page-1", at=NOW)
    assert not await cursors.move(db, "lakeside", "orders", since=None, to="page-9", at=NOW)
    assert await cursors.move(db, "lakeside", "orders", since="page-1", to="page-2", at=NOW)
    assert not await cursors.move(db, "lakeside", "orders", since="page-1", to="page-2b", at=NOW)
    assert await cursors.cursor_of(db, "lakeside", "orders") == "page-2"
    assert await cursors.cursor_of(db, "hillside", "orders") is None


async def test_a_callback_is_taken_once_by_whichever_process(db: Database) -> None:
    one, other = SeenCallbacks(db), SeenCallbacks(db)
    assert await one.first_time("meridian-ppo", "sig-1", at=NOW)
    assert not await one.first_time("meridian-ppo", "sig-1", at=NOW)
    assert not await other.first_time("meridian-ppo", "sig-1", at=NOW)
    assert await other.first_time("summit-ma", "sig-1", at=NOW)

    at_once = await asyncio.gather(
        *(who.first_time("meridian-ppo", f"sig-{n}", at=NOW) for n in range(2, 8) for who in (one, other))
    )
    assert sum(at_once) == 6

    await one.take_back("meridian-ppo", "sig-2")
    await other.take_back("meridian-ppo", "sig-2")
    assert await one.first_time("meridian-ppo", "sig-2", at=NOW)
    assert await one.forget_old(NOW + timedelta(minutes=11)) == 8


async def test_documents_belong_to_a_practice(db: Database) -> None:
    note = DocumentRef(id="ab" * 32, kind="office_note", media_type="application/pdf", size=9, dated=date(2026, 2, 1))
    await documents.note(db, "lakeside", "case-1", note)
    await documents.note(db, "lakeside", "case-1", note)
    await documents.note(db, "lakeside", "case-2", note)
    assert await documents.of_case(db, "lakeside", "case-1") == (note,)
    assert await documents.of_case(db, "hillside", "case-1") == ()
    assert await documents.find_document(db, "lakeside", note.id) == note
    assert await documents.find_document(db, "hillside", note.id) is None


def payers(text: str) -> Policy:
    """A payer's rules, as they are read."""
    policy = policies.read_policy(text, name="x")
    assert isinstance(policy, Policy)
    return policy


async def test_the_latest_release_of_a_payer_is_in_force(db: Database) -> None:
    text = (POLICIES / "meridian-ppo.yaml").read_text()
    changed = text + "\n# with a remark\n"
    digest = await policies.release(db, text, by="person:sam", at=NOW)
    assert digest == policy_digest(payers(text))
    assert await policies.release(db, text, by="person:kim", at=NOW + timedelta(1)) == digest

    [released] = await policies.released(db)
    assert (released.payer, released.digest, released.released_by) == ("meridian-ppo", digest, "person:sam")
    assert isinstance(released.policy, Policy)
    assert policy_digest(released.policy) == digest
    assert await policies.release(db, changed, by="person:kim", at=NOW) == digest, "a remark is no rule"

    summit = (POLICIES / "summit-ma.yaml").read_text()
    await policies.release(db, summit, by="person:sam", at=NOW)
    assert [r.payer for r in await policies.released(db)] == ["meridian-ppo", "summit-ma"]
    assert await policies.by_digest(db, digest) == released
    assert await policies.by_digest(db, "0" * 64) is None


async def test_an_older_policy_can_be_put_in_force_again(db: Database) -> None:
    text = (POLICIES / "keystone-sf.yaml").read_text()
    policy = payers(text)
    newer = text.replace(f"name: {policy.name}", f"name: {policy.name} II", 1)
    assert newer != text
    old = await policies.release(db, text, by="a", at=NOW)
    new = await policies.release(db, newer, by="b", at=NOW)
    assert old != new
    assert await policies.release(db, text, by="c", at=NOW) == old
    in_force = {r.payer: r for r in await policies.released(db)}
    assert (in_force["keystone-sf"].digest, in_force["keystone-sf"].released_by) == (old, "c")


@pytest.mark.parametrize("text", ["payer: [", "just words", "payer: x\n"])
async def test_what_is_no_policy_is_not_released(db: Database, text: str) -> None:
    before = await policies.released(db)
    with pytest.raises(PolicyError):
        await policies.release(db, text, by="a", at=NOW)
    assert await policies.released(db) == before


async def test_an_error_of_postgresql_says_nothing_of_the_row(db: Database) -> None:
    with pytest.raises(StoreFault) as refused:
        async with db.connection() as connection:
            await connection.execute(
                "INSERT INTO cursors (practice, sweep, value) VALUES ($1, $2, $3)", "lakeside", "x", "Zzyzxwell"
            )
    assert refused.value.sqlstate == "23502"
    assert "Zzyzxwell" not in str(refused.value)
    with pytest.raises(StoreFault) as mistaken:
        async with db.connection() as connection:
            await connection.fetch("SELECT $1::int", "Zzyzxwell")
    assert "Zzyzxwell" not in str(mistaken.value)
    assert mistaken.value.__suppress_context__
