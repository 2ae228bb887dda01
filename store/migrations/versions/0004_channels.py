"""What workers share about the ways to payers: channels out of order, and requests under way at a carrier."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = (
    """
    CREATE TABLE channel_health (
        practice text NOT NULL,
        payer text NOT NULL,
        rail text NOT NULL,
        failures integer NOT NULL,
        open_until timestamptz,
        probed_until timestamptz,
        error text NOT NULL,
        PRIMARY KEY (practice, payer, rail)
    )
    """,
    """
    CREATE TABLE carrier_slots (
        carrier text NOT NULL,
        holder text NOT NULL,
        taken_until timestamptz NOT NULL,
        PRIMARY KEY (carrier, holder)
    )
    """,
)


def upgrade() -> None:
    """Make the tables."""
    for statement in _STATEMENTS:
        op.execute(statement)
