"""The log lets nothing through that may be health information, whoever writes it."""

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import structlog
import temporalio.activity
import temporalio.workflow
from pydantic import BaseModel
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from runtime.detectors import suspicion
from runtime.errors import SettingsError
from runtime.logs import REFUSED, bound, configure, get_logger
from runtime.metrics import LOG_FIELDS_REFUSED, exposition
from runtime.settings import Settings

MARKER = "Zebediah Quillfeather"
CASE = f"case-{'a2' * 13}"


class Log:
    """What was logged, as text and as the objects of its lines."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]


@pytest.fixture
def log(settings: Settings) -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = Log()
    configure(settings, stream=written.stream)
    yield written
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    temporalio.activity.logger.activity_info_on_message = True
    temporalio.workflow.logger.workflow_info_on_message = True


def refused() -> float:
    return next(s.value for m in LOG_FIELDS_REFUSED.collect() for s in m.samples if s.name.endswith("_total"))


class Patient(BaseModel):
    name: str


def test_codes_ids_and_numbers_pass_with_what_is_bound(log: Log) -> None:
    before = refused()
    with bound(practice="lakeside", case_id=CASE):
        get_logger("vigil.test").info("Request submitted", payer="meridian-ppo", attempt=2, duration_ms=12.5)

    assert log.last == {
        "event": "Request submitted",
        "practice": "lakeside",
        "case_id": CASE,
        "payer": "meridian-ppo",
        "attempt": 2,
        "duration_ms": 12.5,
        "level": "info",
        "logger": "vigil.test",
        "timestamp": log.last["timestamp"],
    }
    assert refused() == before


@pytest.mark.parametrize(
    "field",
    [
        "name", "patient", "member", "member_id", "dob", "birth_date", "diagnosis", "address", "phone", "email", "ssn",
        "note", "text", "body", "payload", "answer", "subscriber", "mrn", "anything_else",
    ],
)  # fmt: skip
def test_fields_that_are_not_listed_are_refused_whatever_they_hold(log: Log, field: str) -> None:
    before = refused()
    get_logger("t").warning("Looked up", **{field: "x"})

    assert log.last[field] == REFUSED
    assert refused() == before + 1


@pytest.mark.parametrize(
    "value",
    [
        MARKER, "Zebediah\nQuillfeather", "W123456789", "XQL-00412345", "123-45-6789", "1958-03-09", "03/09/1958",
        "M54.16", "m54.16", "M5416", "S83.241A", "dob_1958-03-09", "dx_M54.16_1", "member_XQL00412_x",
        "1958-03-09T00:00:00Z", "1958/3/9", "9MAR1958", "1234567890123456", "555-0142",
        "217-555-0100", "+12175550100", "z@example.org", "12345678", "x" * 500,
        {"name": MARKER}, [MARKER], Patient(name=MARKER), date(1958, 3, 9), b"bytes", ValueError(MARKER), object(),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_listed_field_refuses_what_looks_like_a_person(log: Log, value: object) -> None:
    get_logger("t").info("Looked up", reason=value, kind=value)

    assert log.last["reason"] == log.last["kind"] == REFUSED
    assert MARKER not in log.text


@pytest.mark.parametrize("value", ["19580309", "W123456789", date(1958, 3, 9), Patient(name="x"), datetime(1958, 3, 9)])  # noqa: DTZ001
def test_a_number_field_takes_no_text_and_no_date(log: Log, value: object) -> None:
    get_logger("t").info("Counted", count=value)
    assert log.last["count"] == REFUSED


def test_times_of_machines_pass(log: Log) -> None:
    get_logger("t").info("Counted", seconds=timedelta(minutes=1), started=datetime(2026, 7, 1, 8, tzinfo=UTC))
    assert (log.last["seconds"], log.last["started"]) == (60.0, "2026-07-01T08:00:00+00:00")


@pytest.mark.parametrize(
    "name", ["exception", "_note", "_", "stack", "stack_info", "positional_args", "timestamp", "logger"]
)
def test_no_field_of_the_loggers_own_carries_a_callers_text(log: Log, name: str) -> None:
    get_logger("t").info("Looked up", **{name: f"{MARKER} 1958-03-09"})
    assert log.last["event"] == "Looked up"
    assert MARKER not in log.text


@pytest.mark.parametrize("text", ["Mar 9, 1958", "9 March 1958", "(217)555-0142", "born 1958 03 09"])
def test_an_event_of_another_library_shows_no_date_and_no_phone(log: Log, text: str) -> None:
    logging.getLogger("lib").warning(text)
    assert log.last["event"] == REFUSED


def test_a_field_name_cannot_carry_anything(log: Log) -> None:
    get_logger("t").info("Looked up", **{MARKER: 1})
    assert MARKER not in log.text
    assert log.last["field"] == REFUSED


def test_an_event_that_was_put_together_is_refused_when_it_shows(log: Log) -> None:
    get_logger("t").info("Patient born 1958-03-09 not found")
    assert log.last["event"] == REFUSED


def test_exceptions_show_type_and_place_but_no_text_and_no_locals(log: Log) -> None:
    def fails() -> None:
        patient = MARKER
        raise ValueError(patient)

    try:
        fails()
    except ValueError:
        get_logger("t").exception("Failed")

    [entry] = log.last["exception"]
    assert entry["type"] == "builtins.ValueError"
    assert any(
        frame.startswith("tests/test_runtime_logs.py:") and frame.endswith(" fails") for frame in entry["frames"]
    )
    assert "message" not in entry
    assert MARKER not in log.text


def test_errors_of_ours_show_their_text_and_their_causes_only_their_type(log: Log) -> None:
    try:
        try:
            raise KeyError(MARKER)  # noqa: TRY301
        except KeyError as cause:
            raise SettingsError("Set VIGIL_HOSTS__SUMMIT to a base URL.") from cause
    except SettingsError:
        get_logger("t").exception("Failed")

    first, second = log.last["exception"]
    assert first["message"] == "Set VIGIL_HOSTS__SUMMIT to a base URL."
    assert second["type"] == "builtins.KeyError"
    assert MARKER not in log.text


def test_the_standard_library_goes_through_the_same_chain(log: Log) -> None:
    logger = logging.getLogger("some.library")
    logger.warning("took %d ms for %s at %s", 12, "meridian-ppo", MARKER)
    assert log.last["event"] == f"took 12 ms for meridian-ppo at {REFUSED}"

    logger.warning("found %(who)s", {"who": MARKER})
    assert log.last["event"] == f"found {REFUSED}"

    logger.warning(f"could not parse '{MARKER}' (name={MARKER.split(maxsplit=1)[0]})")  # noqa: G004
    logger.warning("counted %d of %s", Decimal(5), MARKER)
    assert log.last["event"] == f"counted {REFUSED}"
    logger.warning("first line\n%s", MARKER)
    logger.warning("with extra", extra={"patient": MARKER})
    assert MARKER not in log.text
    assert "Zebediah" not in log.text
    assert all(line["logger"] == "some.library" for line in log.lines)


def test_a_request_line_of_uvicorn_loses_its_query(log: Log) -> None:
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:4711", "GET", "/v1/cases?q=Zebediah", "1.1", 200
    )
    assert log.last["event"] == '127.0.0.1:4711 - "GET /v1/cases HTTP/1.1" 200'
    assert "Zebediah" not in log.text


def test_warnings_are_logged_without_their_text(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn(MARKER, UserWarning, stacklevel=1)
    assert MARKER not in log.text
    assert log.last["logger"] == "py.warnings"


async def test_a_task_that_nobody_awaited_does_not_tell(log: Log) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": ValueError(MARKER), "patient": MARKER}
    )
    assert log.last["event"] == "Task exception was never retrieved"
    assert log.last["exception"][0]["type"] == "builtins.ValueError"
    assert MARKER not in log.text


@activity.defn
async def fail_with_a_name() -> None:
    temporalio.activity.logger.info("Asking for %s", MARKER)
    raise ApplicationError(f"no coverage for {MARKER}", MARKER, non_retryable=True)


async def test_temporals_own_lines_about_a_failed_activity_do_not_tell(
    log: Log, temporal_env: WorkflowEnvironment
) -> None:
    client = temporal_env.client
    async with Worker(client, task_queue="logs", activities=[fail_with_a_name]):
        handle = await client.start_activity(
            fail_with_a_name, id="fails", task_queue="logs", schedule_to_close_timeout=timedelta(seconds=20)
        )
        with pytest.raises(Exception, match="failed"):
            await handle.result()

    [line] = [line for line in log.lines if line["event"] == "Completing activity as failed"]
    assert line["logger"] == "temporalio.activity"
    assert line["activity_type"] == "fail_with_a_name"
    assert line["exception"][0]["type"] == "temporalio.exceptions.ApplicationError"
    assert any(frame.endswith("fail_with_a_name") for frame in line["exception"][0]["frames"])
    assert MARKER not in log.text


def test_the_counter_is_exposed(log: Log) -> None:
    get_logger("t").info("Looked up", patient=MARKER)
    assert b"vigil_log_fields_refused_total" in exposition()


@pytest.mark.parametrize(
    "harmless",
    [
        CASE, "3f148452-db3d-4353-a635-149878191bbc", "k20261123-0a1b2c3d", "2026-07-01T08:00:00.123Z",
        "127.0.0.1:8080", "meridian-ppo", "submit_request", "/v1/cases", "lakeside",
    ],
)  # fmt: skip
def test_ids_of_ours_are_not_suspected(harmless: str) -> None:
    assert suspicion(harmless) is None
