"""Every simulated system is a process of its own: one that dies takes no other along, and comes back with its memory."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from runtime.processes import free_port

ROOT = Path(__file__).resolve().parent.parent


def _answer(url: str, seconds: float = 20.0) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return httpx.get(url, timeout=2, trust_env=False)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_a_system_that_dies_takes_no_other_along_and_comes_back(tmp_path: Path) -> None:
    luma, payers = free_port(), free_port()
    world = subprocess.Popen(  # noqa: S603 - a program of ours
        [
            *(sys.executable, "-m", "sandbox", "--apart", f"luma={luma},payers={payers}"),
            *("--state", str(tmp_path / "sandbox.json")),
        ],
        cwd=ROOT,
    )
    try:
        assert _answer(f"http://127.0.0.1:{luma}/healthz").is_success
        assert _answer(f"http://127.0.0.1:{payers}/healthz").is_success
        assert httpx.get(f"http://127.0.0.1:{luma}/payers/meridian-ppo/fhir/metadata").status_code == 404
        before = _children(world.pid)
        settings = f"http://127.0.0.1:{payers}/control/practices/lakeside/settings"
        assert httpx.patch(settings, json={"slow_wall_seconds": 0.5}).is_success
        for child in before:
            if _listens(child, payers):
                os.kill(child, signal.SIGKILL)
        assert httpx.get(f"http://127.0.0.1:{luma}/healthz").is_success
        time.sleep(0.2)
        assert _answer(settings).json()["slow_wall_seconds"] == 0.5
        assert _children(world.pid) != before
    finally:
        world.terminate()
        assert world.wait(10) == 0


def _listens(pid: int, port: int) -> bool:
    """Whether a process holds the listening socket of a port (Linux)."""
    wanted = f":{port:04X} "
    held = [
        line.split() for line in Path("/proc/net/tcp").read_text().splitlines() if wanted in line and " 0A " in line
    ]
    inodes = {f"socket:[{fields[9]}]" for fields in held}
    return any(str(link.readlink()) in inodes for link in Path(f"/proc/{pid}/fd").iterdir())
