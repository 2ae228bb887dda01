#!/bin/sh
# Makes Temporal's two databases and brings their schemas up to date; safe to run again.
set -eu
schema=/etc/temporal/schema/postgresql/v12
tool() {
  temporal-sql-tool --plugin postgres12 --ep postgresql -p 5432 -u "$POSTGRES_USER" --pw "$POSTGRES_PASSWORD" "$@"
}
for pair in temporal:temporal temporal_visibility:visibility; do
  database=${pair%%:*}
  tool --db "$database" create
  # "already exists" is fine: the update below says what is missing.
  tool --db "$database" setup-schema -v 0.0 || true
  tool --db "$database" update-schema -d "$schema/${pair##*:}/versioned"
done
