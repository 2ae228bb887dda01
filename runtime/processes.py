"""Child processes that Vigil runs on one machine: started in a group of their own, found again, stopped, never doubled.

A terminal's Ctrl-C reaches the whole foreground group; a server in its own group lives until we stop it, in our order.
"""

import asyncio
import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from runtime.errors import AlreadyRunning, ServerNotStarted

_POLL_SECONDS = 0.05


class HomeLock:
    """Makes sure that one process at a time keeps a server of this home. Let go by the system when the process dies."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            AlreadyRunning: another process holds it.
        """
        file = self._path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise AlreadyRunning(
                f"{self._what} of {self._path.parent} is already kept by another process (`vigil up`?). "
                "Use that one, stop it first, or set VIGIL_HOME to another folder."
            ) from None
        self._file = file

    def release(self) -> None:
        """Let the lock go."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Child:
    """One server process: started by us, or left over from an earlier start of ours and found by its pid file."""

    def __init__(self, name: str, pid_file: Path) -> None:
        self._name = name
        self._pid_file = pid_file
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id, or None when not running."""
        return self._pid

    def adopt(self, marker: str, *, cwd: Path) -> bool:
        """Take over a process left by an earlier start, if the pid file names one that is ours.

        Numbers of processes are used again, so its command line must hold `marker` and its folder be `cwd` (where the
        system tells).
        """
        try:
            pid = int(json.loads(self._pid_file.read_text())["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if marker not in _command_line(pid) or _folder_of(pid) not in (None, cwd.resolve()):
            return False
        self._pid = pid
        return True

    def start(
        self,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path,
        user: int | None = None,
    ) -> None:
        """Start the process in a group of its own, with its output appended to `log`. `user`: to run as, when root.

        It gets a bare environment: ours may hold the keys and secrets.
        """
        with log.open("ab") as output:
            log.chmod(0o600)
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program of ours
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                extra_groups=None if user is None else [],
                env=clean_environment(cwd),
            )
        self._pid = self._process.pid
        self._pid_file.write_text(json.dumps({"pid": self._pid}))

    def require_alive(self, log: Path) -> None:
        """Raise `ServerNotStarted` if the process has ended; the message names its log."""
        if not self.alive():
            raise ServerNotStarted(f"{self._name} ended while it started. Its log says why: {log}")

    def alive(self) -> bool:
        """Tell whether the process runs."""
        if self._process is not None:
            return self._process.poll() is None
        return self._pid is not None and _exists(self._pid)

    async def stop(self, first: signal.Signals, *, patience_seconds: float) -> None:
        """Ask with the signal `first`; after `patience_seconds` kill the group. Returns when it is gone."""
        if self._pid is None:
            return
        if self.alive():
            os.kill(self._pid, first)
            if not await self._gone(patience_seconds):
                os.killpg(self._pid, signal.SIGKILL)
                await self._gone(patience_seconds)
        if self._process is not None:
            self._process.wait()
        self._process = self._pid = None
        self._pid_file.unlink(missing_ok=True)

    async def _gone(self, seconds: float) -> bool:
        for _ in range(int(seconds / _POLL_SECONDS) + 1):
            if not self.alive():
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False


def clean_environment(home: Path) -> dict[str, str]:
    """Return the environment of a server: nothing of ours, which may hold keys and secrets."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LANG": "C", "TZ": "UTC"}


def require_free(port: int, setting: str, what: str) -> None:
    """Raise `ServerNotStarted`, naming port and setting, if something listens on a port of 127.0.0.1 already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ServerNotStarted(
                f"{what} cannot listen on 127.0.0.1:{port}: the port is taken. "
                f"Stop what uses it, or set {setting} to another port."
            ) from None


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _folder_of(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None


def _is_zombie(pid: int) -> bool:
    # Ended, and nobody has asked for its result: so it stays in a container whose first process does not.
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == "Z"


def _command_line(pid: int) -> str:
    if not _exists(pid):
        return ""
    listed = Path(f"/proc/{pid}/cmdline")
    if listed.exists():
        return listed.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    command = ["/bin/ps", "-p", str(pid), "-o", "command="]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a number of ours
    return shown.stdout
