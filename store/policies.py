"""Payers' rules and the house's as PostgreSQL distributes them: by their content's address, and which one is in force.

Nothing is ever removed: a case that was decided by an older policy can still be explained by it.
"""

from datetime import datetime

import yaml

from domain.base import Frozen, Instant
from domain.house import HouseRules, parse_rules
from domain.policy import Policy, PolicyError
from store.database import Connection, Database


class Released(Frozen):
    """A policy document that was released for use."""

    digest: str
    payer: str
    text: str
    released_at: Instant
    released_by: str

    @property
    def policy(self) -> Policy | HouseRules:
        """The rules that the text says. Raises `PolicyError` where this release cannot read them."""
        return read_policy(self.text, name=self.payer)


def read_policy(text: str, *, name: str) -> Policy | HouseRules:
    """The rules that a YAML text says, a payer's or the house's; `name` is what it is called in messages.

    Raises `PolicyError`.
    """
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as wrong:
        raise PolicyError([f"{name}: the file is not YAML ({wrong}); correct it"]) from None
    return parse_rules(data, name=name)


async def release(db: Database, text: str, *, by: str, at: datetime) -> str:
    """Put a policy in force for its payer, and return its digest. What is in force already is not released again.

    Raises `PolicyError` for a text that is no policy, `StoreAway`.
    """
    policy = read_policy(text, name="policy")
    digest = policy.digest
    async with db.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", policy.payer)
        if await _in_force(connection, policy.payer) == digest:
            return digest
        await connection.execute(
            "INSERT INTO policies (digest, payer, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            digest,
            policy.payer,
            text,
        )
        await connection.execute(
            "INSERT INTO policy_releases (payer, digest, released_at, released_by) VALUES ($1, $2, $3, $4)",
            policy.payer,
            digest,
            at,
            by,
        )
    return digest


async def released(db: Database) -> list[Released]:
    """The policies in force, one a payer, by payer. Raises `StoreAway`."""
    async with db.connection() as connection:
        rows = await connection.fetch(
            """
            SELECT DISTINCT ON (r.payer) r.digest, r.payer, p.text, r.released_at, r.released_by
            FROM policy_releases r JOIN policies p USING (digest) ORDER BY r.payer, r.position DESC
            """
        )
    return [Released(**dict(row)) for row in rows]


async def by_digest(db: Database, digest: str) -> Released | None:
    """The latest release of a document, in force or not; None where it never was released. Raises `StoreAway`."""
    async with db.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT r.digest, r.payer, p.text, r.released_at, r.released_by
            FROM policy_releases r JOIN policies p USING (digest) WHERE r.digest = $1 ORDER BY r.position DESC LIMIT 1
            """,
            digest,
        )
    return Released(**dict(row)) if row is not None else None


async def _in_force(connection: Connection, payer: str) -> str | None:
    digest: str | None = await connection.fetchval(
        "SELECT digest FROM policy_releases WHERE payer = $1 ORDER BY position DESC LIMIT 1", payer
    )
    return digest
