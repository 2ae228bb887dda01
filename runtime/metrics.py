"""Every metric of Vigil, in one Prometheus registry. Labels are codes and ids of configuration, never of patients.

The Temporal SDK has metrics of its own (polling, latencies, failing workflow tasks), served on a port of their own.
"""

import logging
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from runtime.settings import Settings

REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_NETWORK = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

LOG_FIELDS_REFUSED = Counter(
    "vigil_log_fields_refused", "Fields and texts kept out of the log as possible health information", registry=REGISTRY
)

HTTP_REQUESTS = Counter(
    "vigil_http_requests", "Requests answered by the API", ["method", "route", "status"], registry=REGISTRY
)
HTTP_SECONDS = Histogram(
    "vigil_http_request_seconds", "Time to answer a request", ["method", "route"], buckets=_FAST, registry=REGISTRY
)
WEBHOOKS = Counter(
    "vigil_webhooks", "Callbacks received, by what became of them", ["payer", "outcome"], registry=REGISTRY
)
SPOOL_ENTRIES = Gauge("vigil_spool_entries", "Audit entries that wait for the database", registry=REGISTRY)
DATABASE_UP = Gauge("vigil_database_up", "1 while PostgreSQL answers", registry=REGISTRY)

ACTIONS = Counter("vigil_actions", "Actions carried out, by kind and outcome", ["kind", "outcome"], registry=REGISTRY)
ACTION_SECONDS = Histogram(
    "vigil_action_seconds", "Time that an action took", ["kind"], buckets=_NETWORK, registry=REGISTRY
)
PLAN_SECONDS = Histogram("vigil_plan_seconds", "Time to plan a case once", buckets=_FAST, registry=REGISTRY)
PLAN_FAILURES = Counter("vigil_plan_failures", "Plans that failed and became an operator's task", registry=REGISTRY)
OUTSIDE_REQUESTS = Counter(
    "vigil_outside_requests",
    "Requests to outside systems",
    ["system", "operation", "outcome"],
    registry=REGISTRY,
)
OUTSIDE_SECONDS = Histogram(
    "vigil_outside_request_seconds",
    "Time that an outside system took",
    ["system", "operation"],
    buckets=_NETWORK,
    registry=REGISTRY,
)

CASES_OPEN = Gauge("vigil_cases_open", "Open cases, by whose turn it is", ["practice", "turn"], registry=REGISTRY)
CASES_OVERDUE = Gauge("vigil_cases_overdue", "Open cases past the time they wanted to wake", registry=REGISTRY)
CASES_STUCK = Gauge("vigil_cases_stuck", "Open cases whose workflow task keeps failing", registry=REGISTRY)
ORDERS_WITHOUT_CASE = Gauge(
    "vigil_orders_without_case", "Orders of the EHR that no case watches", ["practice"], registry=REGISTRY
)
ARCHIVE_LAG_SECONDS = Gauge("vigil_archive_lag_seconds", "Age of the oldest fact not yet archived", registry=REGISTRY)
ALERTS = Gauge("vigil_alerts", "What the watchman's last round found, by kind", ["kind"], registry=REGISTRY)
CASES_RESTORED = Counter(
    "vigil_cases_restored", "Cases that Temporal had lost and that were started anew", registry=REGISTRY
)
WATCHMAN_LAST_RUN = Gauge(
    "vigil_watchman_last_run_timestamp_seconds", "When the watchman last ended", registry=REGISTRY
)


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format (`CONTENT_TYPE`)."""
    return generate_latest(REGISTRY)


def temporal_runtime(settings: Settings) -> Runtime:
    """Return this process's Temporal runtime: its metrics on `sdk_metrics_port`, its core's log lines in our log."""
    return _runtime(settings.sdk_metrics_port)


@cache
def _runtime(port: int | None) -> Runtime:
    # One a process: a runtime owns a thread pool and the metrics port.
    forwarding = LogForwardingConfig(
        logger=logging.getLogger("temporalio.core"),
        append_target_to_name=False,
        prepend_target_on_message=False,
        append_log_fields_to_message=False,
    )
    return Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(
                filter=TelemetryFilter(core_level="WARN", other_level="ERROR"), forwarding=forwarding
            ),
            metrics=None
            if port is None
            else PrometheusConfig(bind_address=f"127.0.0.1:{port}", durations_as_seconds=True),
        )
    )
