"""The document store: content-addressed, sealed, one practice's only."""

import hashlib
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from obstore.store import LocalStore, MemoryStore

from connectors.documents import (
    MAX_BYTES,
    DocumentDamaged,
    DocumentEmpty,
    DocumentMissing,
    Documents,
    DocumentTooLarge,
    DocumentTypeRefused,
    StoreRefused,
    StoreUnreachable,
)
from runtime.errors import SealBroken
from runtime.keys import KeyRing

NOTE = b"Synthetic office note. Assessment: example only."


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return KeyRing.create()


async def test_what_is_put_comes_back_and_lies_sealed_under_its_address(tmp_path: Path, ring: KeyRing) -> None:
    documents = Documents.at(None, tmp_path / "documents", ring)
    ref = await documents.put("lakeside", NOTE, "office_note", "text/plain; charset=utf-8", date(2026, 3, 2))
    assert ref.id == hashlib.sha256(NOTE).hexdigest()
    assert (ref.kind, ref.media_type, ref.size, ref.dated, ref.signed) == (
        "office_note",
        "text/plain",
        len(NOTE),
        date(2026, 3, 2),
        True,
    )
    assert await documents.get("lakeside", ref.id) == NOTE
    stored = (tmp_path / "documents" / "lakeside" / ref.id[:2] / ref.id).read_bytes()
    assert NOTE not in stored
    assert b"Synthetic" not in stored


async def test_the_same_content_twice_is_kept_once(ring: KeyRing) -> None:
    store = MemoryStore()
    documents = Documents(store, ring)
    first = await documents.put("lakeside", NOTE, "office_note", "text/plain")
    sealed = bytes(store.get(f"lakeside/{first.id[:2]}/{first.id}").bytes())
    second = await documents.put("lakeside", NOTE, "office_note", "text/plain")
    assert first == second
    assert bytes(store.get(f"lakeside/{first.id[:2]}/{first.id}").bytes()) == sealed


async def test_a_practice_cannot_open_what_was_moved_to_it(ring: KeyRing) -> None:
    store = MemoryStore()
    documents = Documents(store, ring)
    ref = await documents.put("lakeside", NOTE, "office_note", "text/plain")
    with pytest.raises(DocumentMissing):
        await documents.get("hillcrest", ref.id)
    store.put(f"hillcrest/{ref.id[:2]}/{ref.id}", bytes(store.get(f"lakeside/{ref.id[:2]}/{ref.id}").bytes()))
    with pytest.raises(SealBroken):
        await documents.get("hillcrest", ref.id)


async def test_altered_content_is_noticed(ring: KeyRing) -> None:
    store = MemoryStore()
    documents = Documents(store, ring)
    ref = await documents.put("lakeside", NOTE, "office_note", "text/plain")
    path = f"lakeside/{ref.id[:2]}/{ref.id}"
    sealed = bytearray(bytes(store.get(path).bytes()))
    sealed[-1] ^= 1
    store.put(path, bytes(sealed))
    with pytest.raises(SealBroken):
        await documents.get("lakeside", ref.id)
    store.put(path, ring.seal(b"something else", f"document lakeside {ref.id}".encode()))
    with pytest.raises(DocumentDamaged, match="backup"):
        await documents.get("lakeside", ref.id)


async def test_a_rotated_key_still_opens(ring: KeyRing) -> None:
    store = MemoryStore()
    ref = await Documents(store, ring).put("lakeside", NOTE, "office_note", "text/plain")
    assert await Documents(store, ring.rotated()).get("lakeside", ref.id) == NOTE


async def test_what_cannot_be_kept_says_what_to_do(ring: KeyRing) -> None:
    documents = Documents(MemoryStore(), ring)
    with pytest.raises(DocumentTypeRefused, match="PDF"):
        await documents.put("lakeside", NOTE, "office_note", "text/html")
    with pytest.raises(DocumentTypeRefused):
        await documents.put("lakeside", NOTE, "Not A Kind", "text/plain")
    with pytest.raises(DocumentTooLarge, match="25 MB"):
        await documents.put("lakeside", bytes(MAX_BYTES + 1), "office_note", "application/pdf")
    with pytest.raises(DocumentEmpty):
        await documents.put("lakeside", b"", "office_note", "application/pdf")


async def test_a_raw_answer_is_kept_whatever_it_is(ring: KeyRing) -> None:
    documents = Documents(MemoryStore(), ring)
    page = await documents.put("lakeside", b"<html></html>", "payer_answer", "text/html; charset=utf-8")
    odd = await documents.put("lakeside", b"\x00\x01", "payer_answer", "application/x-unheard-of")
    assert (page.media_type, odd.media_type) == ("text/html", "application/octet-stream")


@pytest.mark.parametrize("ref_id", ["../../etc/passwd", "A" * 64, "0" * 63])
async def test_an_id_that_is_none_is_not_looked_up(ring: KeyRing, ref_id: str) -> None:
    with pytest.raises(DocumentMissing):
        await Documents(MemoryStore(), ring).get("lakeside", ref_id)


async def test_a_practice_that_is_a_path_is_refused(ring: KeyRing) -> None:
    with pytest.raises(DocumentMissing):
        await Documents(MemoryStore(), ring).put("../lakeside", NOTE, "office_note", "text/plain")


async def test_a_store_that_fails_is_told_apart_from_a_missing_document(tmp_path: Path, ring: KeyRing) -> None:
    # A file where a folder has to be: what a store on a broken disk answers.
    (tmp_path / "lakeside").write_text("in the way")
    documents = Documents(LocalStore(prefix=tmp_path), ring)
    with pytest.raises((StoreUnreachable, StoreRefused)):
        await documents.put("lakeside", NOTE, "office_note", "text/plain")


class _Bucket(BaseHTTPRequestHandler):
    """The few calls of S3 that a store of documents needs; keeps what it is given by path."""

    kept: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self) -> None:
        self.kept[self.path] = self.rfile.read(int(self.headers["content-length"]))
        self._answer(200, b"")

    def do_GET(self) -> None:
        content = self.kept.get(self.path)
        self._answer(200 if content is not None else 404, content or b"")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        for name, value in {
            "content-length": str(len(content)),
            "etag": '"1"',
            "last-modified": "Mon, 02 Mar 2026 16:00:00 GMT",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def test_an_s3_compatible_bucket_serves_by_its_url_and_the_standard_variables(
    tmp_path: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Bucket) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for name, value in {
            "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "synthetic",
            "AWS_SECRET_ACCESS_KEY": "synthetic",
        }.items():
            monkeypatch.setenv(name, value)
        try:
            documents = Documents.at("s3://bucket/prefix", tmp_path / "unused", ring)
            ref = await documents.put("lakeside", NOTE, "office_note", "text/plain")
            assert await documents.get("lakeside", ref.id) == NOTE
            with pytest.raises(DocumentMissing):
                await documents.get("hillcrest", ref.id)
        finally:
            server.shutdown()
            thread.join()
    assert list(_Bucket.kept) == [f"/bucket/prefix/lakeside/{ref.id[:2]}/{ref.id}"]
    assert NOTE not in next(iter(_Bucket.kept.values()))
    assert not (tmp_path / "unused").exists()
