"""`python -m sandbox --port N`: the simulated world in one process; `--apart payers=N,luma=M,…`: one process for each system."""

import argparse
import multiprocessing
import signal
import threading
from multiprocessing.process import BaseProcess
from pathlib import Path

import uvicorn

from sandbox.app import SYSTEMS, create_app

_RESTART_SECONDS = 1.0


def main() -> None:
    """Read the arguments and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--apart", default="", help="system=port, comma between; every system a process of its own")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state", type=Path, default=None, help="a JSON file that remembers across restarts")
    arguments = parser.parse_args()
    if arguments.apart:
        _apart(
            {name: int(port) for name, _, port in (one.partition("=") for one in arguments.apart.split(","))},
            arguments.host,
            arguments.state,
        )
    else:
        _serve(tuple(SYSTEMS), arguments.host, arguments.port, arguments.state)


def _serve(systems: tuple[str, ...], host: str, port: int, state: Path | None) -> None:
    uvicorn.run(
        create_app(state, systems),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )


def _apart(ports: dict[str, int], host: str, state: Path | None) -> None:
    """Run each system in a process of its own, start again what ends, and end them all with this one."""
    forking, over = multiprocessing.get_context("fork"), threading.Event()

    def start(system: str) -> BaseProcess:
        kept = state.with_name(f"{state.stem}-{system}{state.suffix}") if state else None
        process = forking.Process(target=_serve, args=((system,), host, ports[system], kept), name=system)
        process.start()
        return process

    running = {system: start(system) for system in ports}
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    while not over.wait(_RESTART_SECONDS):
        for system, process in running.items():
            if process.exitcode is not None:
                running[system] = start(system)
    for process in running.values():
        process.terminate()
    for process in running.values():
        process.join()


if __name__ == "__main__":
    main()
