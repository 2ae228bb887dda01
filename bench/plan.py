"""How long a turn takes, as a ratio to the floor: reading the same facts from JSON in the same run.

.venv/bin/python -m bench.plan
"""

import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from pydantic import TypeAdapter

from domain.case import Case, replay
from domain.facts import AnyFact, Fact, NoteAdded, write_fact
from domain.plan import settle
from tests.builders import (
    CASE_ID,
    MONDAY,
    answered,
    case_of,
    covered,
    gathered,
    order,
    pinned,
    said,
    submitted,
    with_facts,
)

FACTS = TypeAdapter(list[AnyFact])


def pended_case(notes: int) -> Case:
    """A case that waits for its payer, with as many notes."""
    ordered = order("200")
    case = with_facts(case_of(ordered), [pinned(ordered), covered(), gathered()], MONDAY)
    case, _ = settle(case, MONDAY)
    case = with_facts(case, [submitted(), answered("pended")], MONDAY)
    many: list[Fact] = [said(NoteAdded, f"note-{n}", by="person:ada", text="Called, on hold.") for n in range(notes)]
    return with_facts(case, many, MONDAY)


def turn_of(facts: tuple[Fact, ...], now: datetime) -> object:
    """One turn, from the facts as they are kept."""
    return settle(replay(CASE_ID, facts), now)


def median_ms(work: Callable[[], object], runs: int = 30) -> float:
    """The median of several runs, in milliseconds."""
    took = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took)


def main() -> None:
    print(f"{'facts':>6} {'read JSON':>10} {'fold':>10} {'turn':>10} {'fold/read':>10} {'turn/read':>10}")
    later = MONDAY + timedelta(days=2)
    for notes in (0, 100, 400, 1000):
        case = pended_case(notes)
        text = b"[" + b",".join(write_fact(fact) for fact in case.facts) + b"]"
        read = median_ms(partial(FACTS.validate_json, text))
        fold = median_ms(partial(replay, CASE_ID, case.facts), 10)
        turn = median_ms(partial(turn_of, case.facts, later), 10)
        print(f"{case.n:>6} {read:>8.2f}ms {fold:>8.2f}ms {turn:>8.2f}ms {fold / read:>10.1f} {turn / read:>10.1f}")


if __name__ == "__main__":
    main()
