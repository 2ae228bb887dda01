"""`vigil up` for real, in a home of its own on free ports: a day is seeded, an order posted and found, and all comes back.

The slowest test of the command line: two starts of every server.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from console.seed_day import DAY, Planned, the_day
from runtime.processes import free_port
from runtime.settings import SIMULATED

ROOT = Path(__file__).resolve().parent.parent
READY = "Ctrl-C stops what was started"
"""The last that it says."""
START_SECONDS = 120.0
STOP_SECONDS = 20.0


def free_ports(count: int) -> int:
    """The first of so many ports in a row that were free a moment ago, below those that connections are given."""
    first = 20000 + os.getpid() % 500 * 20
    while True:
        with contextlib.ExitStack() as probes:
            try:
                for port in range(first, first + count):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                first += count
                continue
            return first


class Vigil:
    """One installation: its environment, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.home, self.keys = folder / "home", folder / "keys"
        self.api = f"http://127.0.0.1:{free_port()}"
        passed = {name: value for name, value in os.environ.items() if not name.startswith(("VIGIL_", "TEMPORAL_"))}
        self.environment = passed | {
            "PYTHONPATH": str(ROOT),
            "VIGIL_HOME": str(self.home),
            "VIGIL_KEYS_FILE": str(self.keys),
            "VIGIL_API_PORT": self.api.rpartition(":")[2],
            "VIGIL_UI_PORT": str(free_port()),
            "VIGIL_TEMPORAL_PORT": str(free_port()),
            "VIGIL_WORKER_PORT": str(free_port()),
            # One order of the day is being faxed, which takes minutes: it is cut off, and looked for after the restart.
            "VIGIL_DRAIN_SECONDS": "5",
            "VIGIL_SANDBOX_URL": f"http://127.0.0.1:{free_ports(len(SIMULATED))}",
        }

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command as at a terminal, and return what it prints."""
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "cli", *arguments],
            env=self.environment,
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def up(self) -> Iterator[str]:
        """`vigil up` while in the block, until it is ready; the value is what it printed by then."""
        log = self.home.parent / f"up-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up"],
                env=self.environment,
                cwd=self.home.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until(lambda: READY in log.read_text() or process.poll() is not None, START_SECONDS)
            assert process.poll() is None, log.read_text()
            assert READY in log.read_text(), log.read_text()
            yield log.read_text()
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS) == 0, log.read_text()
            assert time.monotonic() - started < STOP_SECONDS
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(STOP_SECONDS * 2)

    def processes(self) -> list[str]:
        """Command lines of whatever still runs for this home."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                folder = str((entry / "cwd").readlink())
            except OSError:
                continue
            if str(self.home) in command or folder.startswith(str(self.home)):
                found.append(command)
        return found


def _wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return
        time.sleep(0.1)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to see what still runs")
@pytest.mark.timeout(300)
def test_up_seeds_a_day_keeps_it_over_a_restart_and_leaves_nothing_behind(tmp_path: Path) -> None:
    vigil = Vigil(tmp_path)
    with vigil.up() as said:
        _addresses_and_token_are_told(vigil, said)
        own = _an_order_is_posted_and_seen(vigil)
        day = the_day(
            datetime.fromisoformat(json.loads((vigil.home / "seed.json").read_text())["at"]), "America/Chicago"
        )
        _the_day_is_there(vigil, day)
        _health_information_is_sealed(vigil, day)
        before = vigil.run("case", "OWN-1", "--facts", "--width", "120")
        assert "Ownpatient" in before
    assert vigil.processes() == []

    with vigil.up() as said:
        assert "A day of" not in said, "a day is seeded once"
        after = vigil.run("case", own, "--facts", "--width", "120")
        assert _facts(before) <= _facts(after)
        assert len(_listed(vigil)) >= sum(not row.only_in_ehr for row in DAY) - 5
    assert vigil.processes() == []


def _addresses_and_token_are_told(vigil: Vigil, said: str) -> None:
    token = (vigil.home / "token").read_text().strip()
    assert token in said
    assert (vigil.home / "token").stat().st_mode & 0o777 == 0o600
    assert vigil.home.stat().st_mode & 0o777 == 0o700
    for address in (vigil.api, f"127.0.0.1:{vigil.environment['VIGIL_UI_PORT']}", "vigil worklist", "vigil case LKS-"):
        assert address in said
    assert httpx.get(f"{vigil.api}/healthz", timeout=5, trust_env=False).is_success


def _an_order_is_posted_and_seen(vigil: Vigil) -> str:
    planned = the_day(datetime.now(UTC), "America/Chicago")[0]
    order = json.loads(planned.order.model_dump_json(exclude_none=True)) | {"number": "OWN-1"}
    order["patient"] |= {"id": "0d3c8a52-36a5-4a08-9d39-5d9b5ad0a001", "family_name": "Ownpatient"}
    case_id = str(json.loads(vigil.run("order", "-", "--json", stdin=json.dumps(order)))["case_id"])
    _wait_until(lambda: "OWN-1" in _numbers(vigil), 15)
    assert "Ownpatient" in vigil.run("worklist", "--width", "200")
    return case_id


def _listed(vigil: Vigil) -> list[dict[str, object]]:
    headers = {"Authorization": f"Bearer {(vigil.home / 'token').read_text().strip()}"}
    answer = httpx.get(f"{vigil.api}/v1/worklist?limit=200", headers=headers, timeout=10, trust_env=False)
    found: list[dict[str, object]] = answer.raise_for_status().json()["items"]
    return found


def _the_day_is_there(vigil: Vigil, day: tuple[Planned, ...]) -> None:
    posted = {one.order.number for one in day if not one.only_in_ehr}
    _wait_until(lambda: posted <= _numbers(vigil), 20)
    assert posted <= _numbers(vigil)


def _numbers(vigil: Vigil) -> set[str]:
    return {str(item["order_number"]) for item in _listed(vigil)}


def _health_information_is_sealed(vigil: Vigil, day: tuple[Planned, ...]) -> None:
    """Nothing of a seeded patient is in the metrics, or in the clear in the home but for PostgreSQL and the sandbox."""
    words: set[str] = {"Ownpatient"}
    for planned in day:
        patient, coverage = planned.order.patient, planned.order.primary
        words |= {patient.family_name, patient.given_name, patient.birth_date.isoformat(), coverage.member_id}
        words |= set(planned.order.diagnoses)
    pattern = re.compile(b"|".join(re.escape(word.encode()) for word in sorted(words)))
    looked_at = 0
    for path in vigil.home.rglob("*"):
        if (
            path.is_file()
            and "postgres" not in path.relative_to(vigil.home).parts[0]
            and not path.name.startswith("sandbox")
        ):
            looked_at += 1
            found = pattern.search(path.read_bytes())
            assert found is None, f"{path} holds {found[0]!r}" if found else ""
    assert looked_at > 5
    for served in (f"{vigil.api}/metrics", f"http://127.0.0.1:{vigil.environment['VIGIL_WORKER_PORT']}/metrics"):
        measured = httpx.get(served, timeout=5, trust_env=False)
        assert measured.is_success
        assert b"vigil_" in measured.content
        assert pattern.search(measured.content) is None, served
    assert (vigil.home / "temporal" / "temporal.db").stat().st_size > 0


def _facts(text: str) -> set[str]:
    return {line.split("  ")[0].strip() for line in text.splitlines() if re.match(r"\s*\d+ ", line)}
