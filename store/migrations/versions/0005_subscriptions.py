"""By which subscriptions payers notify practices, and how far each was heard."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE subscriptions (
        practice text NOT NULL,
        payer text NOT NULL,
        reference text,
        last_event bigint NOT NULL DEFAULT 0,
        heard_at timestamptz,
        beats boolean NOT NULL DEFAULT false,
        missed_at timestamptz,
        next_look timestamptz NOT NULL,
        PRIMARY KEY (practice, payer)
    )
    """,
    "CREATE INDEX subscriptions_by_reference ON subscriptions (payer, reference)",
)


def upgrade() -> None:
    """Make the table."""
    for statement in _STATEMENTS:
        op.execute(statement)
