"""A spool on disk for what PostgreSQL must get once it is back: sealed, flushed before it counts, bounded.

Each process appends to a segment of its own, held by a file lock. A segment is drained when its process hands it over
or is gone. Draining gives every entry at least once; the sink makes it once, by an id in the entry.
"""

import asyncio
import base64
import binascii
import errno
import fcntl
import os
import secrets
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from store.errors import SpoolFull
from store.sealing import Sealer, binding

_NEW, _OPEN, _READY, _BROKEN = ".new", ".open", ".ready", ".broken"
_BATCH = 500

Sink = Callable[[Sequence[bytes]], Awaitable[None]]
"""Stores entries durably, each once however often it is given; raises where it cannot."""


@dataclass(frozen=True)
class Drained:
    """What draining did. `broken` counts segments set aside because a line could not be read: an operator looks."""

    entries: int
    broken: int


class Spool:
    """A folder (0700) of segments (0600), one line an entry. `name` ties them to what they are for.

    `max_bytes` bounds the whole folder, whoever writes to it.
    """

    def __init__(self, folder: Path, sealer: Sealer, *, name: str, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._folder = folder
        self._sealer = sealer
        self._aad = binding("spool", name)
        self._max_bytes = max_bytes
        self._segment: BinaryIO | None = None
        self._path: Path | None = None
        self._lock = threading.Lock()
        self._draining = asyncio.Lock()
        self._counted: dict[str, tuple[int, int]] = {}
        self._counting = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)

    async def put(self, entry: bytes) -> None:
        """Keep an entry; it is on disk when this returns.

        Raises:
            SpoolFull: the folder holds as much as it may, or the disk refused; the entry is not kept.
        """
        line = base64.b64encode(self._sealer.seal(entry, self._aad)) + b"\n"
        try:
            await asyncio.to_thread(self._append, line)
        except OSError as error:
            raise SpoolFull(
                f"The disk keeps no spool ({error.strerror}). Make room, and bring PostgreSQL back."
            ) from None

    async def drain(self, sink: Sink) -> Drained:
        """Hand every entry to the sink, oldest segment first, and forget what it took.

        An error of the sink is raised; what it did not take stays for the next time.
        """
        entries = broken = 0
        async with self._draining:
            for path in await asyncio.to_thread(self._hand_over):
                lines, whole = await asyncio.to_thread(self._read, path)
                for start in range(0, len(lines), _BATCH):
                    await sink(lines[start : start + _BATCH])
                entries += len(lines)
                broken += not whole
                await asyncio.to_thread(self._finish, path, whole=whole)
        return Drained(entries, broken)

    def waiting(self) -> int:
        """How many bytes wait to be drained, from every process."""
        return sum(_size(path) for path in self._folder.iterdir() if path.suffix in {_OPEN, _READY})

    async def entries(self) -> int:
        """How many entries wait to be drained, from every process. Costs what was added since it was last asked."""
        return await asyncio.to_thread(self._count)

    def close(self) -> None:
        """Let others drain what this process has put."""
        with self._lock:
            self._release()

    def _count(self) -> int:
        with self._counting:
            counted: dict[str, tuple[int, int]] = {}
            for path in self._folder.iterdir():
                # Its name stays when it is handed over; only the suffix changes.
                if path.suffix in {_OPEN, _READY}:
                    with suppress(FileNotFoundError):  # drained meanwhile
                        counted[path.stem] = _lines(path, *self._counted.get(path.stem, (0, 0)))
            self._counted = counted
            return sum(lines for _, lines in counted.values())

    def _append(self, line: bytes) -> None:
        with self._lock:
            if sum(_size(path) for path in self._folder.iterdir()) + len(line) > self._max_bytes:
                raise SpoolFull(
                    f"The spool holds {self._max_bytes} bytes, which is all that it may. Bring PostgreSQL back."
                )
            segment = self._segment or self._begin()
            end = segment.tell()
            try:
                _write_whole(segment, line)
                os.fsync(segment.fileno())
            except OSError:
                # Half a line must not spoil the next one.
                segment.seek(end)
                segment.truncate()
                raise

    def _begin(self) -> BinaryIO:
        new = self._folder / f"{secrets.token_hex(8)}{_NEW}"
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        segment = os.fdopen(descriptor, "wb", buffering=0)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Only now may others see it: one that is open and not locked is taken for a dead process's.
        path = new.rename(new.with_suffix(_OPEN))
        self._sync_folder()
        self._segment, self._path = segment, path
        return segment

    def _release(self) -> None:
        if self._segment is None or self._path is None:
            return
        self._path.rename(self._path.with_suffix(_READY))
        self._segment.close()
        self._segment = self._path = None
        self._sync_folder()

    def _hand_over(self) -> list[Path]:
        with self._lock:
            self._release()
        for path in self._folder.glob(f"*{_OPEN}"):
            # Whoever began it holds its lock for as long as it lives. Another drainer may be first.
            with suppress(BlockingIOError, FileNotFoundError), path.open("rb") as segment:
                fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.rename(path.with_suffix(_READY))
        ready = [(path, path.stat().st_mtime_ns) for path in self._folder.glob(f"*{_READY}") if path.exists()]
        return [path for path, _ in sorted(ready, key=lambda found: (found[1], found[0].name))]

    def _read(self, path: Path) -> tuple[list[bytes], bool]:
        """The entries of a segment, and whether every whole line could be read.

        A last line without its end was never acknowledged: whoever wrote it died, and was not told that it is kept.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # another process drained it meanwhile
            return [], True
        entries, whole = list[bytes](), True
        for line in content.split(b"\n")[:-1]:
            try:
                sealed = base64.b64decode(line, validate=True)
            except binascii.Error:
                whole = False
                continue
            entries.append(self._sealer.open(sealed, self._aad))
        return entries, whole

    def _finish(self, path: Path, *, whole: bool) -> None:
        with suppress(FileNotFoundError):
            if whole:
                path.unlink()
            else:
                path.rename(path.with_suffix(_BROKEN))
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_whole(segment: BinaryIO, line: bytes) -> None:
    if segment.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lines(path: Path, size: int, lines: int) -> tuple[int, int]:
    """How far a segment's whole lines reach now, in bytes, and how many they are, from what they were."""
    with path.open("rb") as segment:
        if segment.seek(0, os.SEEK_END) < size:
            size = lines = 0
        segment.seek(size)
        added = segment.read()
    return size + added.rfind(b"\n") + 1, lines + added.count(b"\n")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
