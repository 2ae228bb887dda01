"""How long each rail's answers take to read, as a ratio to the floor of the same run: what any reader has to do first.

The floor is `json.loads` of the same bytes, or for X12 their `bytes.split` at the segment's end. A typical answer is the one
of middle length among those that the fuzzer begins with; the long one is its like, of nearly 10 MB, with what it repeats
repeated.

.venv/bin/python -m bench.readers
"""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.plan import median_ms
from tests.fuzz_answers import RAILS, Rail

LONG = 9_900_000
"""Bytes: just below what every reader takes at all."""
REMARK = b"Nothing more to say. " * 12
"""As long as an MSG may be, so that ten megabytes are fewer segments than are refused unread."""


def typical(rail: Rail) -> bytes:
    """The answer of middle length."""
    bodies = sorted((seed.body for seed in rail.seeds), key=len)
    return bodies[len(bodies) // 2]


def long(rail: Rail) -> bytes:
    """An answer with as many repetitions as it may have bytes."""
    body = max((seed.body for seed in rail.seeds), key=len)
    return _long_json(json.loads(body)) if rail.is_json else _long_x12(body)


def _long_json(found: dict[str, Any]) -> bytes:
    longest = max((value for value in found.values() if isinstance(value, list)), key=lambda v: len(json.dumps(v)))
    longest += longest * ((LONG - len(json.dumps(found))) // (len(json.dumps(longest)) + 2))
    return json.dumps(found).encode()


def _long_x12(body: bytes) -> bytes:
    """With remarks in front of the end of the first transaction, which counts them."""
    end = body[105:106]
    element = body[3:4]
    said = element.join((b"MSG", REMARK)) + end
    times = (LONG - len(body)) // len(said)
    trailer = re.search(rb"SE" + re.escape(element) + rb"(\d+)", body)
    if trailer is None:
        msg = "the answer has no SE"
        raise ValueError(msg)
    counted = b"SE" + element + str(int(trailer[1]) + times).encode()
    return body[: trailer.start()] + said * times + counted + body[trailer.end() :]


def floor(rail: Rail, body: bytes) -> Callable[[], object]:
    """The least that reading takes."""
    return partial(json.loads, body) if rail.is_json else partial(body.split, body[105:106])


def main() -> None:
    print(f"{'reader':<16} {'KB':>7} {'floor':>10} {'read':>10} {'read/floor':>10}")
    for rail in RAILS.values():
        for body, runs in ((typical(rail), 30), (long(rail), 3)):
            least = median_ms(floor(rail, body), runs)
            took = median_ms(partial(rail.read, body, 200), runs)
            print(
                f"{rail.name:<16} {len(body) / 1024:>7.1f} {least:>8.3f}ms {took:>8.3f}ms {took / least:>10.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
