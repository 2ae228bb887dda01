"""`python -m sandbox --port N [--host 127.0.0.1] [--state FILE]`: start the simulated world as one process."""

import argparse
from pathlib import Path

import uvicorn

from sandbox.app import create_app


def main() -> None:
    """Read the arguments and serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state", type=Path, default=None, help="a JSON file that remembers across restarts")
    arguments = parser.parse_args()
    uvicorn.run(
        create_app(arguments.state),
        host=arguments.host,
        port=arguments.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    main()
