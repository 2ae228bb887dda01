"""Seals what Temporal stores: a `PayloadCodec` that compresses and encrypts (AES-256-GCM), and the data converter of all.

Inputs, results, updates, signals, queries, memos, summaries, details and the texts and traces of failures are
payloads, and leave the process sealed. What stays readable beside them: the workflow id (a keyed hash), names of
types and task queues, search attributes, times, and in each payload's metadata the key id, the practice's id and the
workflow id it was made for.

What it protects. Whoever reads Temporal's database learns no health information. Whoever can write to it can neither
alter a payload nor move it: key id, practice and workflow id are authenticated (associated data), so a payload put
into another practice's case, or another case of the same practice, is refused with `PracticeMismatch` when it is
decoded there. It does not hide sizes, times or how many steps a case took, and it does not stop an old payload of a
case from being put back into that case.

Whose a payload is. Workflow ids say nothing, so the practice comes from, in this order: the codec itself
(`for_practice(client, "lakeside")`), the surrounding `with practice("lakeside"):`, and what the case's own payloads
said when they were decoded (a worker always decodes a case's input before it encodes anything for it). If they
disagree, the payload is refused. A case's payload is never sealed without a practice; workflows that are not cases
(the schedules') may have none. A child workflow of a case is named `<case id>-…`; other workflows speak to a case by an
activity that uses `for_practice`.
"""

import base64
import dataclasses
import re
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self

from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
    SerializationContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)
from typing_extensions import override

from runtime.errors import PracticeMismatch, PracticeUnknown, SealBroken
from runtime.keys import KeyRing, lengthed

ENCODING = b"binary/vigil-aes256gcm"
CASE_PREFIX = "case-"
_CASE_ID_LENGTH = 31
_SECRET_CHARACTERS = 32
_MOST_BYTES = 64 * 1024 * 1024
_STARTED_AT = re.compile(r"-\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$")
_KEY, _PRACTICE, _WORKFLOW = "vigil-key", "vigil-practice", "vigil-workflow"
# Far more than a worker caches (1,000): a case in the cache must not be forgotten here.
_REMEMBERED_CASES = 50_000

_current_practice: ContextVar[str | None] = ContextVar("vigil_practice", default=None)


@contextmanager
def practice(practice_id: str) -> Iterator[None]:
    """Seal as, and open only for, this practice while in the block (also in tasks started in it)."""
    token = _current_practice.set(practice_id)
    try:
        yield
    finally:
        _current_practice.reset(token)


class _Owners:
    """Which practice a workflow belongs to, as its own authenticated payloads said; the oldest are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()

    def get(self, workflow_id: str | None) -> str | None:
        return None if workflow_id is None else self._known.get(_family(workflow_id))

    def learn(self, workflow_id: str | None, owner: str) -> None:
        if workflow_id is None or not owner:
            return
        family = _family(workflow_id)
        self._known[family] = owner
        self._known.move_to_end(family)
        while len(self._known) > _REMEMBERED_CASES:
            self._known.popitem(last=False)


class VigilCodec(PayloadCodec, WithSerializationContext):
    """Seals and opens payloads; see the module's text for what it protects."""

    def __init__(
        self,
        keyring: KeyRing,
        *,
        practice_id: str | None = None,
        workflow_id: str | None = None,
        owners: _Owners | None = None,
    ) -> None:
        """`practice_id`: the only practice that this codec seals for and opens; None for whichever the context says.

        The SDK sets `workflow_id` by `with_context`; copies share what is known of `owners`.
        """
        self._keyring = keyring
        self._practice = practice_id
        self._workflow_id = workflow_id
        self._owners = _Owners() if owners is None else owners

    @override
    def with_context(self, context: SerializationContext) -> Self:
        workflow_id = (
            context.workflow_id
            if isinstance(context, WorkflowSerializationContext | ActivitySerializationContext)
            else None
        )
        return self._copy(practice_id=self._practice, workflow_id=workflow_id)

    def for_practice(self, practice_id: str) -> Self:
        """Return a codec that seals for this practice and opens nothing of another one."""
        return self._copy(practice_id=practice_id, workflow_id=self._workflow_id)

    @override
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Seal payloads.

        Raises:
            PracticeUnknown: a case's payload, and nothing says whose.
            PracticeMismatch: the context says another practice than the case's own.
        """
        return [self._seal(payload) for payload in payloads]

    @override
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open payloads; those that no codec of ours sealed pass as they are (the server's own, the Web UI's).

        Raises:
            UnknownKey: the ring lacks the key; it is named.
            SealBroken: altered, or its metadata is not the one it was sealed with.
            PracticeMismatch: it belongs to another practice or case.
        """
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        owner = self._expected_practice()
        if owner is None and self._workflow_id is not None and self._workflow_id.startswith(CASE_PREFIX):
            raise PracticeUnknown(
                "A case's payload is to be sealed, and nothing says which practice it belongs to. "
                "Use `runtime.codec.for_practice(client, practice)` or `with runtime.codec.practice(practice):`."
            )
        owner, workflow_id, key_id = owner or "", self._workflow_id or "", self._keyring.active
        data = zlib.compress(payload.SerializeToString(), level=1)
        sealed = self._keyring.seal(data, _associated(key_id, owner, workflow_id))
        metadata = {"encoding": ENCODING, _KEY: key_id.encode(), _PRACTICE: owner.encode()}
        if workflow_id:
            metadata[_WORKFLOW] = workflow_id.encode()
        return Payload(metadata=metadata, data=sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id, owner, workflow_id = (
            payload.metadata.get(name, b"").decode(errors="replace") for name in (_KEY, _PRACTICE, _WORKFLOW)
        )
        data = self._keyring.open(payload.data, _associated(key_id, owner, workflow_id))
        # Only now is the metadata known to be true.
        expected = self._expected_practice()
        if expected is not None and owner not in ("", expected):
            raise PracticeMismatch(
                "A payload belongs to another practice than the case it was found in. It was not used."
            )
        if not _same_workflow(made_for=workflow_id, found_in=self._workflow_id):
            raise PracticeMismatch("A payload was made for another case than the one it was found in. It was not used.")
        self._owners.learn(self._workflow_id, owner)
        return Payload.FromString(_inflated(data))

    def _expected_practice(self) -> str | None:
        said = {
            p for p in (self._practice, _current_practice.get(), self._owners.get(self._workflow_id)) if p is not None
        }
        if len(said) > 1:
            raise PracticeMismatch("The case belongs to another practice than the one that this request is made for.")
        return next(iter(said), None)

    def _copy(self, *, practice_id: str | None, workflow_id: str | None) -> Self:
        return type(self)(self._keyring, practice_id=practice_id, workflow_id=workflow_id, owners=self._owners)


def data_converter(keyring: KeyRing, *, practice_id: str | None = None) -> DataConverter:
    """Return the converter of every client and worker: pydantic models, sealed payloads, sealed failures."""
    return DataConverter(
        payload_converter_class=PydanticPayloadConverter,
        payload_codec=VigilCodec(keyring, practice_id=practice_id),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def for_practice(client: Client, practice_id: str) -> Client:
    """Return a client over the same connection that seals for one practice and opens nothing of another one."""
    config = client.config()
    converter = config["data_converter"]
    codec = converter.payload_codec
    if not isinstance(codec, VigilCodec):
        raise PracticeUnknown("This client does not seal payloads. Connect with `runtime.temporal.connect`.")
    config["data_converter"] = dataclasses.replace(converter, payload_codec=codec.for_practice(practice_id))
    return Client(**config)


def _inflated(data: bytes) -> bytes:
    # Facts compress to a fifth. What was sealed is our own, yet a bound costs nothing.
    inflater = zlib.decompressobj()
    content = inflater.decompress(data, _MOST_BYTES)
    if inflater.unconsumed_tail:
        raise SealBroken("A sealed payload is larger than any that Vigil makes. It was not used.")
    return content


def codec_path(keyring: KeyRing) -> str:
    """The path of the codec server for a Web UI that sends no token: append it to the API's address.

    It holds a secret that only whoever has the keys can compute.
    """
    secret = base64.b32encode(keyring.derive("codec path")).decode().lower()[:_SECRET_CHARACTERS]
    return f"/codec/{secret}"


def _family(workflow_id: str) -> str:
    # A child workflow of a case is named `<case id>-…`, and belongs to the practice of the case.
    return workflow_id[:_CASE_ID_LENGTH] if workflow_id.startswith(CASE_PREFIX) else workflow_id


def _associated(key_id: str, owner: str, workflow_id: str) -> bytes:
    return b"temporal payload" + b"".join(lengthed(part.encode()) for part in (key_id, owner, workflow_id))


def _same_workflow(*, made_for: str, found_in: str | None) -> bool:
    if not made_for or found_in is None:
        return True  # one side has no workflow: the codec server, an asynchronous completion
    # A schedule seals its input for the id that it was configured with. The server appends the time of each start, and
    # hands the result of the last start to the next one.
    return found_in == made_for or (
        not made_for.startswith(CASE_PREFIX) and _STARTED_AT.sub("", found_in) == _STARTED_AT.sub("", made_for)
    )
