"""The first schema: cases with what hangs on them, the archive of facts, and what doors and sweeps keep.

Every table of a practice has the practice first in its key, so that no row can be reached by an id alone.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    # The read model. `view` is the whole row as JSON text; the columns are what is searched and sorted by.
    """
    CREATE TABLE cases (
        practice text NOT NULL,
        case_id text NOT NULL,
        n integer NOT NULL,
        source text NOT NULL,
        order_number text NOT NULL,
        urgency text NOT NULL,
        urgency_rank smallint NOT NULL,
        stage text NOT NULL,
        turn text NOT NULL,
        owner text,
        payer text NOT NULL,
        member_id text NOT NULL,
        patient_id text NOT NULL,
        family_name text NOT NULL,
        given_name text NOT NULL,
        folded_name text NOT NULL,
        birth_date date NOT NULL,
        due timestamptz NOT NULL,
        wake_at timestamptz,
        visit_at timestamptz,
        opened_at timestamptz NOT NULL,
        closed_at timestamptz,
        view text NOT NULL,
        published_at timestamptz NOT NULL,
        PRIMARY KEY (practice, case_id)
    )
    """,
    "CREATE INDEX cases_by_slack ON cases (practice, due, urgency_rank, case_id) WHERE closed_at IS NULL",
    "CREATE INDEX cases_by_wake ON cases (practice, wake_at) WHERE closed_at IS NULL",
    """
    CREATE TABLE tasks (
        practice text NOT NULL,
        case_id text NOT NULL,
        task text NOT NULL,
        kind text NOT NULL,
        turn text NOT NULL,
        due timestamptz NOT NULL,
        opened_at timestamptz NOT NULL,
        held_by text,
        held_until timestamptz,
        PRIMARY KEY (practice, case_id, task),
        FOREIGN KEY (practice, case_id) REFERENCES cases ON DELETE CASCADE
    )
    """,
    "CREATE INDEX tasks_by_due ON tasks (practice, due)",
    """
    CREATE TABLE clocks (
        practice text NOT NULL,
        case_id text NOT NULL,
        clock text NOT NULL,
        kind text NOT NULL,
        due timestamptz NOT NULL,
        rule text NOT NULL,
        waiting_for text NOT NULL,
        breach boolean NOT NULL,
        paused_since timestamptz,
        PRIMARY KEY (practice, case_id, clock),
        FOREIGN KEY (practice, case_id) REFERENCES cases ON DELETE CASCADE
    )
    """,
    "CREATE INDEX clocks_by_due ON clocks (practice, due)",
    """
    CREATE TABLE numbers (
        practice text NOT NULL,
        case_id text NOT NULL,
        type text NOT NULL,
        value text NOT NULL,
        PRIMARY KEY (practice, case_id, type, value),
        FOREIGN KEY (practice, case_id) REFERENCES cases ON DELETE CASCADE
    )
    """,
    "CREATE INDEX numbers_by_value ON numbers (practice, lower(value))",
    # The archive: one row a fact, found by the SHA-256 of its source id, sealed, never changed.
    """
    CREATE TABLE facts (
        practice text NOT NULL,
        case_id text NOT NULL,
        source bytea NOT NULL,
        position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        sealed bytea NOT NULL,
        archived_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (practice, case_id, source)
    )
    """,
    # Where each fact stands in its case. This may change, after a restore of the case from an older copy.
    """
    CREATE TABLE fact_places (
        practice text NOT NULL,
        case_id text NOT NULL,
        n integer NOT NULL CHECK (n > 0),
        source bytea NOT NULL,
        recorded_at timestamptz,
        PRIMARY KEY (practice, case_id, n),
        UNIQUE (practice, case_id, source),
        FOREIGN KEY (practice, case_id, source) REFERENCES facts
    )
    """,
    # Payers' rules are nobody's patient data and belong to every practice.
    """
    CREATE TABLE policies (
        digest text PRIMARY KEY,
        payer text NOT NULL,
        text text NOT NULL
    )
    """,
    """
    CREATE TABLE policy_releases (
        position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        payer text NOT NULL,
        digest text NOT NULL REFERENCES policies,
        released_at timestamptz NOT NULL,
        released_by text NOT NULL
    )
    """,
    "CREATE INDEX policy_releases_by_payer ON policy_releases (payer, position DESC)",
    """
    CREATE TABLE audit (
        practice text NOT NULL,
        id uuid NOT NULL,
        position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        at timestamptz NOT NULL,
        who text NOT NULL,
        role text NOT NULL,
        what text NOT NULL,
        case_id text,
        request_id text,
        PRIMARY KEY (practice, id)
    )
    """,
    "CREATE INDEX audit_by_case ON audit (practice, case_id, at)",
    "CREATE INDEX audit_by_time ON audit (practice, at)",
    """
    CREATE TABLE tokens (
        practice text NOT NULL,
        id uuid NOT NULL,
        hash bytea NOT NULL UNIQUE,
        role text NOT NULL CHECK (role IN ('intake', 'staff', 'supervisor', 'operator', 'codec')),
        person text NOT NULL,
        label text NOT NULL,
        issued_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        PRIMARY KEY (practice, id)
    )
    """,
    """
    CREATE TABLE idempotency (
        practice text NOT NULL,
        key text NOT NULL,
        operation text NOT NULL,
        request_hash bytea NOT NULL,
        status smallint NOT NULL,
        sealed bytea NOT NULL,
        at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        PRIMARY KEY (practice, operation, key)
    )
    """,
    "CREATE INDEX idempotency_by_expiry ON idempotency (expires_at)",
    """
    CREATE TABLE documents (
        practice text NOT NULL,
        case_id text NOT NULL,
        id text NOT NULL,
        kind text NOT NULL,
        media_type text NOT NULL,
        size bigint NOT NULL,
        dated date,
        signed boolean NOT NULL,
        added_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (practice, case_id, id)
    )
    """,
    "CREATE INDEX documents_by_id ON documents (practice, id)",
    """
    CREATE TABLE signoffs (
        practice text NOT NULL,
        id uuid NOT NULL,
        case_id text NOT NULL,
        n integer NOT NULL,
        sealed_reason bytea NOT NULL,
        first_by text NOT NULL,
        first_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        second_by text,
        second_at timestamptz,
        PRIMARY KEY (practice, id),
        CHECK (second_by <> first_by)
    )
    """,
    "CREATE UNIQUE INDEX signoffs_waiting ON signoffs (practice, case_id, n) WHERE second_by IS NULL",
    """
    CREATE TABLE cursors (
        practice text NOT NULL,
        sweep text NOT NULL,
        value text NOT NULL,
        moved_at timestamptz NOT NULL,
        PRIMARY KEY (practice, sweep)
    )
    """,
    # A payer's callback is not a practice's until it is verified.
    """
    CREATE TABLE webhook_seen (
        payer text NOT NULL,
        mark bytea NOT NULL,
        at timestamptz NOT NULL,
        PRIMARY KEY (payer, mark)
    )
    """,
    "CREATE INDEX webhook_seen_by_time ON webhook_seen (at)",
)

_APPEND_ONLY = ("facts", "audit", "policies", "policy_releases")


def upgrade() -> None:
    """Make the schema."""
    for statement in _TABLES:
        op.execute(statement)
    op.execute("""
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION '% is append-only: nothing in it is changed or removed', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END
        $$
    """)
    for table in _APPEND_ONLY:
        op.execute(f"""
            CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
        """)
