"""Mutated answers through every reader: `make fuzz`. No exception, no hang, no approval that the original did not have.

`python -m tests.fuzz --each 200000 --seed 1 --save DIR [RAIL …]` works on all processors; the input of a number is made
from the seed, the rail and the number alone, so it can be made again. What offends is saved under the SHA-256 of its bytes.

Mutations: bytes (flips, inserts, cuts, copies); truncation; concatenation with another answer; in JSON the tree (delete,
duplicate, swap, retype, nest deeply, gigantic values); in X12 segments and elements (delete, duplicate, swap, empty,
gigantic), delimiters, counts. Excluded by construction, because such a mutant is itself an approval or moves one:

- A code that approves, and what names our request or one of its lines (in a notification: any line), never occurs
  more often than it did (`Rail.protected`); what would, is drawn anew. A mutant of two answers may grant what either
  grants.
- Where an answer approves and also denies, pends, rejects, approves otherwise or is somebody else's (`Seed.mixed`), parts
  that hold either are not taken away, copied or moved: "all but line 3" without the part on line 3 says "all". Their
  bytes and single values are damaged like all others, and then must not approve what they did not. Nor is their count
  of segments mended: it is what tells that something is missing.

A certification number is granted where the original authorized the line (its value may be damaged unseen). Only what
answers our request grants anything (`Ours.answered_by`), as in the product.
"""

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from tests.fuzz_answers import RAILS, Granted, Rail, Seed

SECONDS = 5.0
"""The longest that a reader may take for one input, of the processor: others may be using it too."""
MEMORY = 1_500_000_000
"""Bytes that a process of the fuzzer may have in all."""
CHUNK = 1000
STATUSES = (200, 200, 200, 200, 201, 202, 400, 404, 422, 500)
_DELIMITERS = b"*~:^|>!\n\r +"
_ODD = (
    b"",
    b"\x00",
    b"\xff",
    b"\xc3\x28",
    b"\xef\xbb\xbf",
    b"0",
    b"-1",
    b"1e999",
    b"9" * 400,
    b"~",
    b"*",
    b'"',
    b"\\u0000",
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2.5, 10**40, -(10**40), 1e308, "", " ", "\x00", "\ud800", "x" * 3000, "A3", "ZZ"),
    *([], {}, [None], [[]], {"": ""}, {"coding": []}, "2026-02-30", "9999-12-31", "0000-00-00", "http://x.example/#"),
)
Tree = Any


class Offence(Exception):
    """What a reader did that it must not do."""


def mutated(rail: Rail, seed: int, number: int) -> tuple[bytes, Granted, int]:
    """The input of a number: its bytes, what it may grant at most, and the HTTP status that it comes with."""
    rng = random.Random(f"{rail.name} {seed} {number}")
    while True:
        begin = rng.choice(rail.mixed if rail.mixed and rng.random() < 0.4 else rail.seeds)
        body, most = _mutate(rail, begin, rng)
        if not _writes(rail, body, most[0]):
            status = rng.choice(STATUSES)
            return body, most[1], status


def _writes(rail: Rail, body: bytes, originals: bytes) -> bool:
    """Whether a mutant holds a protected word more often than what it was made from."""
    before, after = _protected(rail, originals), Counter(rail.protected.findall(body))
    return any(count > before[word] for word, count in after.items())


@lru_cache(maxsize=10_000)
def _protected(rail: Rail, text: bytes) -> Counter[bytes]:
    return Counter(rail.protected.findall(text))


def _mutate(rail: Rail, seed: Seed, rng: random.Random) -> tuple[bytes, tuple[bytes, Granted]]:
    kind = rng.random()
    if kind < 0.05:
        return seed.body[: rng.randrange(len(seed.body))], (seed.body, seed.granted)
    if kind < 0.12:
        other = rng.choice(rail.seeds)
        both = Granted(
            seed.granted.ahead | other.granted.ahead,
            seed.granted.authorized | other.granted.authorized,
            seed.granted.certified | other.granted.certified,
            seed.granted.whole or other.granted.whole,
        )
        return seed.body + rng.choice((b"", b"\n", b"\x00")) + other.body, (seed.body + b" " + other.body, both)
    body = seed.body
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        body = (
            _bytes(body, rng, mixed=seed.mixed) if rng.random() < 0.5 else _structure(rail, body, rng, mixed=seed.mixed)
        )
    return body, (seed.body, seed.granted)


def _bytes(body: bytes, rng: random.Random, *, mixed: bool) -> bytes:
    at = rng.randrange(len(body) + 1)
    end = min(len(body), at + rng.choice((0, 1, 1, 1, 2, 3, 8)))
    match rng.randrange(4):
        case 0:
            return body[:at] + bytes(rng.randrange(256) for _ in range(end - at)) + body[end:]
        case 1:
            return body[:at] + rng.choice(_ODD) + body[end:]
        case 2:
            return body[:at] + body[end:]
        case _:
            start = rng.randrange(len(body) + 1)
            # Where it is mixed no word of another segment takes the place of one that decides.
            return body[:at] + body[start : start + (1 if mixed else rng.choice((1, 2, 5, 40)))] + body[end:]


def _structure(rail: Rail, body: bytes, rng: random.Random, *, mixed: bool) -> bytes:
    if not rail.is_json:
        return _segments(rail, body, rng, mixed=mixed)
    try:
        return _tree(rail, json.loads(body), rng, mixed=mixed)
    except (ValueError, RecursionError):
        return body  # it is no JSON any more, or too deep for one more edit


# --- JSON -----------------------------------------------------------------------------------------------------------


def _tree(rail: Rail, tree: Tree, rng: random.Random, *, mixed: bool) -> bytes:
    places = [
        (holder, key)
        for holder in _holders(tree)
        for key in (holder if isinstance(holder, dict) else range(len(holder)))
    ]
    if not places:
        return json.dumps(tree).encode()
    holder, key = rng.choice(places)
    value = holder[key]
    whole = mixed and isinstance(value, dict | list) and _holds(rail, value)
    deep = rng.randrange(2, 2000)
    match rng.randrange(6):
        case 0 if not whole:
            del holder[key]
        case 1 if not whole:
            name = rng.choice(("id", "extension", "item", "x")) if isinstance(holder, dict) else None
            _put(holder, name, value)
        case 2:
            other, place = rng.choice(places)
            if (
                not whole
                and not (mixed and (_holds(rail, {place: other[place]}) or _holds(rail, {key: value})))
                and not _inside(value, other)
                and not _inside(other[place], holder)
            ):
                holder[key], other[place] = other[place], value
        case 3 if not whole:
            holder[key] = rng.choice((str(value)[:50], [value], {"value": value}, rng.choice(_VALUES)))
        case 4 if not whole:
            holder[key] = "\x01deep\x01"
            text = json.dumps(tree).encode()
            opened = rng.choice(((b"[", b"]"), (b'{"a":', b"}")))
            return text.replace(
                b'"\\u0001deep\\u0001"', opened[0] * deep + json.dumps(value).encode() + opened[1] * deep
            )
        case _:
            if not isinstance(value, dict | list):
                holder[key] = rng.choice(_VALUES)
    return json.dumps(tree, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")


def _put(holder: Tree, name: str | None, value: Tree) -> None:
    if name is None:
        holder.append(value)
    else:
        holder[name] = value


def _holders(tree: Tree) -> list[Tree]:
    found, waiting = [], [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list):
            found.append(one)
            waiting += list(one.values()) if isinstance(one, dict) else one
    return found


def _inside(value: Tree, wanted: Tree) -> bool:
    return any(one is wanted for one in _holders(value))


def _holds(rail: Rail, value: Tree) -> bool:
    text = json.dumps(value).encode()
    return bool(rail.protected.search(text) or rail.limiting.search(text))


# --- X12 ------------------------------------------------------------------------------------------------------------


def _segments(rail: Rail, body: bytes, rng: random.Random, *, mixed: bool) -> bytes:
    if not body.startswith(b"ISA") or len(body) < 107:
        return body
    mark, end = body[3:4], body[105:106]
    segments = body.split(end)
    at, other = rng.randrange(len(segments)), rng.randrange(len(segments))
    fixed = mixed and any(_decides(rail, segments[place]) for place in (at, other))
    match rng.randrange(8):
        case 0 if not fixed:
            del segments[at]
            segments = segments if mixed else _counted(segments, mark)
        case 1 if not fixed:
            segments.insert(other, segments[at])
            segments = segments if mixed else _counted(segments, mark)
        case 2 if not fixed:
            segments[at], segments[other] = segments[other], segments[at]
        case 3:
            places = [place for place, one in enumerate(segments) if one.strip()[:2] in (b"SE", b"GE", b"IE")]
            place = rng.choice(places) if places else at
            segments[place] = re.sub(rb"\d+", str(rng.choice((0, 1, 2, 10**12, 99))).encode(), segments[place], count=1)
        case 4:
            sign = bytes([rng.choice(_DELIMITERS)])
            return body.replace(rng.choice((mark, end, body[104:105])), sign, rng.choice((1, 5, -1)))
        case _:
            segments[at] = _element(segments[at], segments[other], mark, rng, mixed=mixed)
    return end.join(segments)


def _element(one: bytes, other: bytes, mark: bytes, rng: random.Random, *, mixed: bool) -> bytes:
    elements = one.split(mark)
    # In a mixed answer another known id would take a decision away.
    place = rng.randrange(1 if mixed and len(elements) > 1 else 0, len(elements))
    from_there = rng.choice(other.split(mark))
    values = (b"", b" ", b"9" * 500, b"x" * 5000, b"0", b"-5", b"1.5", b"\xc3\xa9", b"a^b:c", b"20261399", from_there)
    elements[place] = rng.choice(values)
    if rng.random() < 0.1:
        elements += [b"x"] * rng.choice((1, 20, 2000))
    return mark.join(elements)


def _decides(rail: Rail, one: bytes) -> bool:
    text = one.strip()
    return bool(rail.protected.search(text) or rail.limiting.search(text)) or text[:2] in (
        b"HL",
        b"SV",
        b"IK",
        b"AK",
        b"EB",
    )


def _counted(segments: list[bytes], mark: bytes) -> list[bytes]:
    """With a segment count that fits again, so that what is missing is not seen by that alone."""
    start = next((place for place, one in enumerate(segments) if one.strip().startswith(b"ST" + mark)), None)
    stop = next((place for place, one in enumerate(segments) if one.strip().startswith(b"SE" + mark)), None)
    if start is None or stop is None or stop < start:
        return segments
    count = str(stop - start + 1).encode()
    made = list(segments)
    made[stop] = re.sub(rb"(SE.)\d*", rb"\g<1>" + count, made[stop], count=1)
    return made


# --- running --------------------------------------------------------------------------------------------------------


def try_one(rail: Rail, body: bytes, most: Granted, status: int) -> None:
    """Read one input. Raises `Offence` with what it did wrong, in words that hold nothing of it."""
    began = time.process_time()
    try:
        granted = rail.read(body, status)
    except AssertionError:
        raise Offence("its decision cannot be kept") from None
    except Exception as error:
        raise Offence(f"it raises {type(error).__name__}") from error
    taken = time.process_time() - began
    if taken > SECONDS:
        raise Offence(f"it takes {taken:.1f} seconds")
    beyond = granted.beyond(most)
    if beyond:
        raise Offence(", ".join(beyond))


class TooLong(BaseException):
    """The time for one input is over. No reader may catch it."""


def _alarm(*_: object) -> NoReturn:
    raise TooLong


def bounded() -> None:
    """Once in each process: its memory, and the alarm for one input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _alarm)


def _chunk(task: tuple[str, int, int, int]) -> list[tuple[int, str, bytes]]:
    """Offences among the inputs from `start` up to `stop`."""
    name, seed, start, stop = task
    rail = RAILS[name]
    found: list[tuple[int, str, bytes]] = []
    for number in range(start, stop):
        body, most, status = mutated(rail, seed, number)
        signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
        try:
            try_one(rail, body, most, status)
        except Offence as offence:
            found.append((number, str(offence), body))
        except TooLong:
            found.append((number, "it does not come to an end", body))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return found


def run(names: list[str], each: int, seed: int, save: Path, say: Callable[[str], None]) -> int:
    """Put `each` inputs through the reader of every rail; return how many offend."""
    tasks = [(n, seed, start, min(start + CHUNK, each)) for n in names for start in range(0, each, CHUNK)]
    done, offences, began = Counter[str](), 0, time.monotonic()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), bounded) as pool:
        for (name, _, start, stop), found in zip(tasks, pool.imap(_chunk, tasks), strict=True):
            done[name] += stop - start
            for number, why, body in found:
                digest = hashlib.sha256(body).hexdigest()
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{name}-{digest[:16]}").write_bytes(body)
                say(f"{name} {seed} {number}: {why}; saved as {name}-{digest[:16]} (SHA-256 {digest})")
            offences += len(found)
            if done[name] % (20 * CHUNK) == 0 or done[name] == each:
                rate = sum(done.values()) / (time.monotonic() - began)
                say(f"{name}: {done[name]:,} of {each:,}; {rate:,.0f} a second")
    return offences


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Mutated answers through every reader.")
    parser.add_argument("rails", nargs="*", metavar="RAIL", help=f"of {', '.join(RAILS)}; all where none is named")
    parser.add_argument("--each", type=int, default=200_000, help="inputs for each rail")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", type=Path, default=Path(".vigil") / "fuzz", help="folder for what offends")
    given = parser.parse_args()
    unknown = sorted(set(given.rails) - set(RAILS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")

    harm = 0

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    if not given.rails:
        bombs = importlib.import_module("tests.fuzz_bombs")  # it builds on this module
        with multiprocessing.get_context("spawn").Pool(1, bounded) as pool:
            for name in (*bombs.JSON_BOMBS, *bombs.X12_BOMBS):
                wrong = pool.apply(bombs.go_off, (name,))
                say(f"bomb, {name}: {', '.join(wrong) or 'nothing'}")
                harm += bool(wrong)
    offences = run(given.rails or list(RAILS), given.each, given.seed, given.save, say)
    say(f"{offences} of {given.each * len(given.rails or RAILS):,} inputs offend.")
    return 1 if offences or harm else 0


if __name__ == "__main__":
    sys.exit(main())
