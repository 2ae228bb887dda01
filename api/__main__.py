"""`python -m api`: serve the doors by the settings."""

import asyncio
import sys

from api.serve import serve
from runtime.errors import VigilRuntimeError
from runtime.logs import configure
from runtime.settings import load_settings


def main() -> int:
    """Serve; the answer is the exit code."""
    try:
        settings = load_settings()
        configure(settings)
        asyncio.run(serve(settings))
    except VigilRuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
