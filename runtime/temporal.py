"""The Temporal client, what every worker is started with, and the search attributes.

Search attributes are not sealed: they carry codes and times only, never health information.
"""

from datetime import timedelta
from typing import Final, TypedDict

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import PollerBehavior, PollerBehaviorAutoscaling

from runtime.codec import data_converter
from runtime.keys import KeyRing
from runtime.settings import Settings

_KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
_DATETIME = IndexedValueType.INDEXED_VALUE_TYPE_DATETIME

SEARCH_ATTRIBUTES: Final[dict[str, IndexedValueType.ValueType]] = {
    "VigilPractice": _KEYWORD,
    "VigilPayer": _KEYWORD,
    "VigilStage": _KEYWORD,
    "VigilTurn": _KEYWORD,
    "VigilUrgency": _KEYWORD,
    "VigilNextDeadline": _DATETIME,
}
"""Name and type of each search attribute of a case. The case workflow uses the same names."""

_COMMAND_LINE_TYPES = {_KEYWORD: "Keyword", _DATETIME: "Datetime"}


async def connect(
    settings: Settings, keyring: KeyRing, *, lazy: bool = False, runtime: Runtime | None = None
) -> Client:
    """Connect to Temporal as the `TEMPORAL_*` settings say, or to the embedded server; everything sent is sealed.

    `lazy`: connect with the first call instead of now, so that a process starts while Temporal is away. `runtime`: see
    `runtime.metrics.temporal_runtime`.

    Raises:
        RuntimeError: (from the SDK) the server cannot be reached.
    """
    return await Client.connect(
        **settings.temporal_connect(), data_converter=data_converter(keyring), lazy=lazy, runtime=runtime
    )


class WorkerOptions(TypedDict):
    """Options of `temporalio.worker.Worker` that every worker of Vigil takes."""

    graceful_shutdown_timeout: timedelta
    workflow_task_poller_behavior: PollerBehavior
    activity_task_poller_behavior: PollerBehavior


def worker_options(settings: Settings) -> WorkerOptions:
    """Return the options for `Worker(client, …, **worker_options(settings))`: pollers that scale, and time to drain."""
    return WorkerOptions(
        graceful_shutdown_timeout=timedelta(seconds=settings.drain_seconds),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    )


def search_attribute_arguments() -> list[str]:
    """Return the arguments that register the search attributes with `temporal server start-dev`."""
    return [
        argument
        for name, kind in SEARCH_ATTRIBUTES.items()
        for argument in ("--search-attribute", f"{name}={_COMMAND_LINE_TYPES[kind]}")
    ]


async def ensure_search_attributes(client: Client) -> list[str]:
    """Register the search attributes that the server lacks, and return their names. Safe to call again and at once.

    On Temporal Cloud, where this call is not allowed, register them with `tcld` or in its console.

    Raises:
        RPCError: the server refused; or it has one of the names with another type (INVALID_ARGUMENT).
    """
    held = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=client.namespace))
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in held.custom_attributes}
    if missing:
        request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        try:
            await client.operator_service.add_search_attributes(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:  # another process was faster
                raise
    return sorted(missing)
