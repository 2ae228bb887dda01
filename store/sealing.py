"""What the store needs of whoever holds the keys."""

import json
from typing import Protocol


class Sealer(Protocol):
    """Encrypts and authenticates; `aad` is authenticated, not kept, and opening needs the same."""

    def seal(self, data: bytes, aad: bytes, /) -> bytes:
        """Return the sealed data."""
        ...

    def open(self, sealed: bytes, aad: bytes, /) -> bytes:
        """Return what was sealed. Raises the sealer's own typed error when it cannot."""
        ...


def binding(*parts: str) -> bytes:
    """The associated data that ties sealed data to its place. Joined so that no two lists of parts read the same."""
    return json.dumps(parts).encode()
