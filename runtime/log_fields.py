"""The fields that may be logged. Ask, before adding one, whether it could ever say something about a person."""

from typing import Final

# fmt: off
CODES: Final = frozenset((
    "action", "activity_id", "activity_type", "actor_role", "address_family", "attempt_kind", "build_id",
    "carrier", "case_id", "cause", "channel", "check", "check_name", "code", "component", "content_type", "database",
    "direction", "error_code", "error_type", "event_kind", "fact", "file_kind", "host", "http_method",
    "http_version", "key_id", "kind", "level", "listener", "logger", "method", "mode", "namespace", "operation",
    "outcome", "owner_role", "path", "payer", "phase", "policy", "policy_version", "practice", "process",
    "profile", "query_name", "rail", "reason", "release", "request_id", "role", "route", "rule", "run_id",
    "sandbox_fault", "schedule_id", "scope", "server", "setting", "severity", "signal", "source", "stage",
    "status", "step", "system", "task_id", "task_kind", "task_queue", "template", "track", "transport", "turn",
    "type", "unit", "update_id", "update_name", "urgency", "url_host", "version", "worker", "workflow_id",
    "workflow_type",
))
"""Fields that hold a code or an id: one word of letters, digits and `_ . : / -`, at most 128 signs."""

NUMBERS: Final = frozenset((
    "attempt", "attempts", "bytes", "cases", "count", "duration_ms", "elapsed_ms", "events", "facts", "failed",
    "history_length", "http_status", "lag_seconds", "limit", "line", "n", "orders", "pages", "pid", "port",
    "queued", "retries", "retry_after_seconds", "rows", "seconds", "size", "skipped", "started", "stopped",
    "total",
))
"""Fields that hold a number, a flag, a time span or an instant of a machine's clock."""
# fmt: on

FIELDS: Final = CODES | NUMBERS
"""Every field that may be logged."""
