"""The processes that `vigil up` runs beside the servers: sandbox, worker, API. Watched, restarted, stopped in order.

Each runs in a process group of its own, so a Ctrl-C in the terminal reaches only `vigil up`, which stops them in its
order. One that an earlier `vigil up` left behind (it was killed) is stopped first: its code may be an older one.
"""

import asyncio
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from console.client import api_url
from console.errors import CommandFailed
from console.home import ROOT
from runtime.processes import Child, clean_environment
from runtime.settings import Settings

_POLL_SECONDS = 0.05
_READY_SECONDS = 60.0
_KILL_SECONDS = 5.0
_ALIVE_SECONDS = 3.0
"""A process without a health page counts as ready when it has run this long."""
_STEADY_SECONDS = 30.0
"""A process that ran this long has started well: what ends it later is a new trouble."""
_BACKOFF = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Pauses before a process is started again; after the last one it is given up."""


@dataclass
class Managed:
    """One process of ours. `health` are the URLs that all answer 2xx when it is ready; `patience` is for its stop, seconds."""

    name: str
    command: tuple[str, ...]
    home: Path
    health: tuple[str, ...]
    environment: Mapping[str, str]
    patience: float = 10.0
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _started: float = 0.0

    @property
    def title(self) -> str:
        """Its name for people."""
        return "API" if self.name == "api" else self.name.capitalize()

    @property
    def started(self) -> bool:
        """Whether it was started and not stopped by us since."""
        return self._process is not None

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.home / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.home / f"{self.name}.pid"

    async def stop_leftover(self) -> None:
        """Stop the process that an earlier start left behind, if there is one."""
        leftover = Child(self.name, self._pid_file)
        if leftover.adopt(" ".join(self.command[1:3]), cwd=self.home):
            await leftover.stop(signal.SIGTERM, patience_seconds=self.patience)

    def start(self) -> None:
        """Start the process; its output is appended to its log."""
        with self.log.open("ab") as output:
            self.log.chmod(0o600)
            self._process = subprocess.Popen(  # noqa: S603 - programs of ours
                self.command,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=dict(self.environment),
            )
        self._started = time.monotonic()
        self._pid_file.write_text(json.dumps({"pid": self._process.pid}))

    async def ready(self, http: httpx.AsyncClient) -> None:
        """Wait until it answers.

        Raises:
            CommandFailed: it ended, or does not answer in a minute; names its log.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if self.exit_code is not None:
                raise CommandFailed(f"{self._subject} ended while it started. {self._why()}")
            if await self._answers(http):
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise CommandFailed(f"{self._subject} does not get ready at {', '.join(self.health)}. {self._why()}")

    async def _answers(self, http: httpx.AsyncClient) -> bool:
        if not self.health:
            return time.monotonic() - self._started > _ALIVE_SECONDS
        try:
            answers = await asyncio.gather(*(http.get(url, timeout=2) for url in self.health))
        except httpx.TransportError:
            return False
        return all(answer.is_success for answer in answers)

    @property
    def exit_code(self) -> int | None:
        """How it ended, or None while it runs."""
        return None if self._process is None else self._process.poll()

    async def watch(self, http: httpx.AsyncClient, say: Callable[[str], None]) -> None:
        """Start it again whenever it ends, with growing pauses, for ever.

        Raises:
            CommandFailed: it keeps ending right after its start.
        """
        failures = 0
        while True:
            if self._process is not None:
                await _gone(self._process, math.inf)
            failures = 0 if time.monotonic() - self._started > _STEADY_SECONDS else failures
            if failures == len(_BACKOFF):
                raise CommandFailed(f"{self._subject} keeps ending right after its start. {self._why()}")
            pause = _BACKOFF[failures]
            failures += 1
            say(
                f"{self._subject} ended ({_ended(self.exit_code)}); it is started again in {pause:.0f} s. Log: {self.log}"
            )
            await asyncio.sleep(pause)
            self.start()
            try:
                await self.ready(http)
            except CommandFailed as error:
                say(str(error))
                continue
            say(f"{self._subject} is back.")

    async def stop(self) -> None:
        """Ask it to end; after its patience kill it with all that it started. Returns when it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            if not await _gone(process, self.patience):
                os.killpg(process.pid, signal.SIGKILL)
                await _gone(process, _KILL_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    @property
    def _subject(self) -> str:
        return f"The {'API' if self.name == 'api' else self.name}"

    def _why(self) -> str:
        """The last line that it wrote, where that is a sentence of ours, and its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        last = lines[-1] if lines and not lines[-1].lstrip().startswith(("{", "Traceback", "File ")) else ""
        return f"{last + ' ' if last else ''}Its log: {self.log}"


def product_environment(settings: Settings) -> dict[str, str]:
    """The environment of worker and API: ours, with folders that do not depend on where a process runs.

    Temporal's own variables are left out: on one machine the server is the embedded one.
    """
    passed = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return passed | {
        "PYTHONPATH": str(ROOT),
        "VIGIL_HOME": str(settings.home_path),
        "VIGIL_KEYS_FILE": str(settings.keys_path),
        "VIGIL_POLICIES_DIR": str(settings.policies_dir.expanduser().absolute()),
        "VIGIL_PUBLIC_URL": settings.public_url or api_url(settings),
        "VIGIL_PRACTICES_FILE": str(settings.practices_path.expanduser().absolute()),
    }


def sandbox_environment(settings: Settings) -> dict[str, str]:
    """The environment of the simulated outside world: nothing of ours, which may hold keys and secrets."""
    return clean_environment(settings.home_path) | {"PYTHONPATH": str(ROOT)}


async def _gone(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _ended(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
