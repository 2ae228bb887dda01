"""What an operator does at the machine itself: rebuild the read model, issue tokens, look after keys."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from console.errors import CommandFailed
from domain.case import replay
from domain.facts import Fact
from domain.plan import settle
from domain.view import CaseView
from domain.view import view as row_of
from runtime.embedded_postgres import database_url
from runtime.keys import KeyRing, load_keyring
from runtime.practices import load_practices
from runtime.settings import Settings
from store import cases
from store.audit import AuditEntry, append
from store.database import Database
from store.tokens import Issued, Role, Tokens


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The installation's database. Raises `ServerNotStarted` where there is none yet."""
    opened = Database(database_url(settings), application_name="vigil-cli", max_connections=2)
    try:
        yield opened
    finally:
        await opened.close()


def fold(case_id: str, facts: Sequence[Fact]) -> CaseView:
    """The row of a case from its facts, as it stands when its latest fact was recorded.

    Deterministic: not by today's clock, since what follows from time alone is the workflow's to conclude.
    """
    case = replay(case_id, facts)
    at = case.facts[-1].recorded_at or case.facts[-1].occurred_at
    settled_case, settled = settle(case, at)
    # What is concluded here and not yet recorded by the workflow must not be taken for recorded: `n` stays the archive's.
    return row_of(settled_case, settled.plan, at).model_copy(update={"n": case.n})


async def rebuild(settings: Settings, practice: str | None) -> cases.Rebuilt:
    """Make the read model anew from the archive.

    Raises:
        CommandFailed: there is no such practice.
        StoreAway: PostgreSQL cannot be reached.
    """
    if practice is not None:
        _require_practice(settings, practice)
    async with database(settings) as opened:
        return await cases.rebuild(opened, load_keyring(settings), fold, practice=practice)


async def issue_token(
    settings: Settings, *, practice: str, role: Role, person: str, days: int, label: str = ""
) -> Issued:
    """Issue a token to a person of a practice, and write that into the audit trail.

    Raises:
        CommandFailed: there is no such practice.
        StoreAway: PostgreSQL cannot be reached.
    """
    _require_practice(settings, practice)
    now = datetime.now(UTC)
    async with database(settings) as opened:
        issued = await Tokens(opened).issue(practice, role, person, expires_at=now + timedelta(days=days), label=label)
        entry = AuditEntry(
            at=now, practice=practice, who="operator at the machine", role="operator", what="token.issue"
        )
        await append(opened, [entry])
    return issued


def keys_fingerprint(keyring: KeyRing) -> list[tuple[str, str, bool]]:
    """Each key's id, when it was made, and whether it is the active one. Nothing secret."""
    return [
        (key_id, keyring.created[key_id].isoformat() if key_id in keyring.created else "", key_id == keyring.active)
        for key_id in keyring.keys
    ]


def _require_practice(settings: Settings, practice: str) -> None:
    known = load_practices(settings.practices_path, settings.resolve_url)
    if practice not in known:
        raise CommandFailed(f"There is no practice {practice}. {settings.practices_path} has: {', '.join(known)}.")
