"""What people reported last of a payer's ways for people: its portal, its fax, its phone."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.execute(
        """
        CREATE TABLE channel_reports (
            practice text NOT NULL,
            payer text NOT NULL,
            rail text NOT NULL,
            state text NOT NULL,
            reported_at timestamptz NOT NULL,
            PRIMARY KEY (practice, payer, rail)
        )
        """
    )
