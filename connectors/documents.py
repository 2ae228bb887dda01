"""Documents and raw answers: sealed, under their content's address, in a folder or in an S3-compatible bucket.

A document's id is the SHA-256 of its content, and its place is `<practice>/<first two digits>/<id>`, so that keeping
it twice keeps it once. What is stored is sealed with the practice and the id in the associated data: a file moved to
another practice, or to another id, does not open. What documents are about is said by the facts that refer to them.
"""

import hashlib
import re
from datetime import date
from pathlib import Path
from typing import Protocol, Self

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import ValidationError

from connectors.errors import Refused, Unreachable
from domain.order import DocumentRef

MAX_BYTES = 25 * 1024 * 1024
"""The largest document that is kept."""

DOCUMENT_TYPES = frozenset(
    {
        "application/fhir+json",
        "application/json",
        "application/pdf",
        "application/xml",
        "image/jpeg",
        "image/png",
        "image/tiff",
        "text/plain",
        "text/xml",
    }
)
"""Media types that are kept as documents (IANA registry)."""

ANSWER_KIND = "payer_answer"
"""The kind of a raw answer of a system: kept whatever its type is, since a person may have to read it."""

UNKNOWN_TYPE = "application/octet-stream"
"""What a raw answer of any other type is kept as."""

ANSWER_TYPES = DOCUMENT_TYPES | {"application/edi-x12", "text/html", UNKNOWN_TYPE}
"""Media types that are given out again: documents' and raw answers'."""
_PRACTICE = re.compile(r"^[a-z0-9][a-z0-9-]{1,40}$")
_ID = re.compile(r"^[0-9a-f]{64}$")


class Sealer(Protocol):
    """Encrypts and authenticates (AES-256-GCM, keys by id); `aad` is authenticated, and opening needs the same."""

    def seal(self, data: bytes, aad: bytes) -> bytes:
        """Return the sealed data."""
        ...

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """Return what was sealed. Raises the sealer's own typed error when it cannot."""
        ...


class DocumentTooLarge(Refused):
    """A document is larger than `MAX_BYTES`."""

    def __str__(self) -> str:
        return f"{self.code}: a document may have {MAX_BYTES // 1024 // 1024} MB; split it, or scan it at 200 dpi."


class DocumentEmpty(Refused):
    """A document has no content."""

    def __str__(self) -> str:
        return f"{self.code}: the document has no content; choose the file again."


class DocumentTypeRefused(Refused):
    """A document is of a media type that is not kept."""

    def __str__(self) -> str:
        return f"{self.code}: send PDF, JPEG, PNG, TIFF, plain text, XML or JSON, with its media type."


class DocumentMissing(Refused):
    """There is no such document of this practice in the store."""

    def __str__(self) -> str:
        return f"{self.code}: restore it from the backup of the document store, or check `documents_url`."


class DocumentDamaged(Refused):
    """The stored content is not the one that its id names."""

    def __str__(self) -> str:
        return (
            f"{self.code}: the stored content is not what was kept; restore it from the backup of the document store."
        )


class StoreRefused(Refused):
    """The store does not let Vigil in."""

    def __str__(self) -> str:
        return f"{self.code}: check the credentials and permissions of `documents_url`."


class StoreUnreachable(Unreachable):
    """The store cannot be reached, or failed: try again."""

    def __str__(self) -> str:
        return f"{self.code}: check that the place that `documents_url` names is up and reachable."


class Documents:
    """The store of documents of all practices."""

    def __init__(self, store: ObjectStore, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    @classmethod
    def at(cls, url: str | None, folder: Path, sealer: Sealer) -> Self:
        """Open the store: an S3-compatible bucket by `url` (`s3://bucket/prefix`), or `folder`, made where missing.

        Credentials of a bucket come from the standard `AWS_*` variables, its endpoint too.
        """
        if url:
            return cls(from_url(url), sealer)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(LocalStore(prefix=folder, mkdir=True), sealer)

    async def put(
        self,
        practice: str,
        content: bytes,
        kind: str,
        media_type: str,
        dated: date | None = None,
        *,
        signed: bool = True,
    ) -> DocumentRef:
        """Keep a document and return its reference; the same content twice is kept once.

        `dated` is the day that the document speaks of; `signed` says whether a clinician signed it.

        Raises:
            DocumentEmpty, DocumentTooLarge, DocumentTypeRefused: it is not kept; the message says what to do.
            StoreRefused, StoreUnreachable: the store did not take it.
        """
        if not content:
            raise DocumentEmpty("document_empty")
        if len(content) > MAX_BYTES:
            raise DocumentTooLarge("document_too_large")
        try:
            ref = DocumentRef(
                id=hashlib.sha256(content).hexdigest(),
                kind=kind,
                media_type=_allowed_type(kind, media_type),
                size=len(content),
                dated=dated,
                signed=signed,
            )
        except ValidationError:
            raise DocumentTypeRefused("document_kind_invalid") from None
        path = _path(practice, ref.id)
        try:
            await obstore.head_async(self._store, path)
        except (FileNotFoundError, NotFoundError):
            await self._write(path, self._sealer.seal(content, _aad(practice, ref.id)))
        except BaseError as error:
            raise _failure(error) from None
        return ref

    async def get(self, practice: str, ref_id: str) -> bytes:
        """Return the content of a document of this practice.

        Raises:
            DocumentMissing: the practice has no such document.
            DocumentDamaged: the content is not the one that the id names.
            StoreRefused, StoreUnreachable: the store did not give it.
        """
        try:
            found = await obstore.get_async(self._store, _path(practice, ref_id))
            sealed = bytes(await found.bytes_async())
        except (FileNotFoundError, NotFoundError):
            raise DocumentMissing("document_missing") from None
        except BaseError as error:
            raise _failure(error) from None
        content = self._sealer.open(sealed, _aad(practice, ref_id))
        if hashlib.sha256(content).hexdigest() != ref_id:
            raise DocumentDamaged("document_damaged")
        return content

    async def _write(self, path: str, sealed: bytes) -> None:
        try:
            await obstore.put_async(self._store, path, sealed)
        except BaseError as error:
            raise _failure(error) from None


def plain_type(media_type: str) -> str:
    """A media type without its parameters, in lower case."""
    return media_type.partition(";")[0].strip().lower()


def _allowed_type(kind: str, media_type: str) -> str:
    plain = plain_type(media_type)
    if kind == ANSWER_KIND:
        return plain if plain in ANSWER_TYPES else UNKNOWN_TYPE
    if plain not in DOCUMENT_TYPES:
        raise DocumentTypeRefused("document_type_refused")
    return plain


def _path(practice: str, ref_id: str) -> str:
    # Both become part of a path: nothing but their own alphabet may pass.
    if not _PRACTICE.fullmatch(practice) or not _ID.fullmatch(ref_id):
        raise DocumentMissing("document_id_invalid")
    return f"{practice}/{ref_id[:2]}/{ref_id}"


def _aad(practice: str, ref_id: str) -> bytes:
    return f"document {practice} {ref_id}".encode()


def _failure(error: BaseError) -> Refused | Unreachable:
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return StoreRefused("document_store_refused")
    return StoreUnreachable("document_store_unreachable")
