"""How long sealing and opening a payload takes, as a ratio to the floor of the same run: zlib alone.

.venv/bin/python -m bench.codec
"""

import asyncio
import zlib
from collections.abc import Callable, Coroutine, Sequence
from functools import partial

from temporalio.api.common.v1 import Payload

from bench.plan import median_ms, pended_case
from domain.facts import write_fact
from runtime.codec import VigilCodec
from runtime.keys import KeyRing


def main() -> None:
    codec = VigilCodec(KeyRing.create(), practice_id="lakeside")
    facts = b"[" + b",".join(write_fact(fact) for fact in pended_case(400).facts) + b"]"
    print(f"{'KB':>7} {'deflate':>10} {'seal':>10} {'seal/zlib':>10} {'inflate':>10} {'open':>10} {'open/zlib':>10}")
    loop = asyncio.new_event_loop()

    def run(work: Callable[[Sequence[Payload]], Coroutine[None, None, list[Payload]]], some: Sequence[Payload]) -> None:
        loop.run_until_complete(work(some))

    for size in (1024, 8 * 1024, 100 * 1024):
        payload = Payload(metadata={"encoding": b"json/plain"}, data=facts[:size])
        plain = payload.SerializeToString()
        packed = zlib.compress(plain, level=1)
        sealed = loop.run_until_complete(codec.encode([payload]))
        deflate = median_ms(partial(zlib.compress, plain, level=1), 200)
        inflate = median_ms(partial(zlib.decompress, packed), 200)
        seal = median_ms(partial(run, codec.encode, [payload]), 200)
        unseal = median_ms(partial(run, codec.decode, sealed), 200)
        print(
            f"{len(facts[:size]) / 1024:>7.1f} {deflate:>8.3f}ms {seal:>8.3f}ms {seal / deflate:>10.1f}"
            f" {inflate:>8.3f}ms {unseal:>8.3f}ms {unseal / inflate:>10.1f}"
        )
    loop.close()


if __name__ == "__main__":
    main()
