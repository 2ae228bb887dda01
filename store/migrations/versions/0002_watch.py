"""What watches over the cases: alerts for operators, and the rounds that were made."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = (
    # The practice is empty where an alert or a round is about the installation as a whole.
    """
    CREATE TABLE alerts (
        practice text NOT NULL DEFAULT '',
        key text NOT NULL,
        kind text NOT NULL,
        subject text,
        sentence text NOT NULL,
        remedy text NOT NULL,
        page text NOT NULL,
        patience interval NOT NULL,
        lasting boolean NOT NULL,
        opened_at timestamptz NOT NULL,
        last_seen_at timestamptz NOT NULL,
        acknowledged_by text,
        acknowledged_at timestamptz,
        cleared_at timestamptz,
        PRIMARY KEY (practice, key)
    )
    """,
    "CREATE INDEX alerts_open ON alerts (kind, practice) WHERE cleared_at IS NULL",
    """
    CREATE TABLE rounds (
        practice text NOT NULL DEFAULT '',
        name text NOT NULL,
        ended_at timestamptz NOT NULL,
        looked_at integer NOT NULL,
        found integer NOT NULL,
        workflow_id text,
        run_id text,
        PRIMARY KEY (practice, name)
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
