"""The control numbers of X12 interchanges: the last one given, and what each was used for."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE control_sequences (
        practice text NOT NULL,
        carrier text NOT NULL,
        last integer NOT NULL CHECK (last BETWEEN 1 AND 899999999),
        PRIMARY KEY (practice, carrier)
    )
    """,
    # No health information: a trace is a keyed hash. The same number comes again only when a sequence has gone round.
    """
    CREATE TABLE control_numbers (
        practice text NOT NULL,
        carrier text NOT NULL,
        number integer NOT NULL CHECK (number BETWEEN 1 AND 999999999),
        kind text NOT NULL,
        trace text NOT NULL,
        sent_at timestamptz NOT NULL,
        PRIMARY KEY (practice, carrier, number, sent_at)
    )
    """,
    "CREATE INDEX control_numbers_by_trace ON control_numbers (practice, carrier, trace, sent_at)",
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
