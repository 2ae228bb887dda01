"""Answers by 278 that we wrote, for the tests: golden files of ours, a line for each segment.

`python -m tests.x12_answers` writes them anew.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.ours import Ours
from connectors.x12.answer import read_answers
from connectors.x12.envelope import Controls, Route, build
from connectors.x12.identity import cancel_trace, inquiry_trace, line_trace, ours
from connectors.x12.segments import Segment, segment
from domain.decision import Decision, LineDecision, Number, NumberType, Outcome
from tests.pas_requests import request

GOLDEN = Path(__file__).resolve().parent / "golden" / "x12"
REQUEST = request()
MINE = ours(REQUEST)
TRACE = REQUEST.trace
BACK = Route(sender="NORTHBRIDGE", receiver="LAKESIDE")
A1 = ("HCR", "A1", "AUTH-1")
CERTIFIED = Number(type=NumberType.CERTIFICATION, value="AUTH-1")
QUESTIONNAIRE = "102089-0"
ORDER = ("TRN", "AAA", "UM", "HCR", "REF", "DTP", "HI", "SV1", "HSD", "PWK", "MSG")
"""Of the segments of a level in the base standard."""

Line = list[tuple[Any, ...]]


def event_of(*own: tuple[Any, ...], trace: str | None = TRACE) -> Line:
    echoed = [("TRN", "2", trace, "1990000001")] if trace else []
    return sorted([*echoed, ("UM", "HS", "I", "73", ("11", "B")), *own], key=lambda one: ORDER.index(one[0]))


def line_of(
    *own: tuple[Any, ...], number: int | None = None, code: str | None = None, units: int | None = None
) -> Line:
    echoed = [("TRN", "2", line_trace(TRACE, number), "1990000001")] if number else []
    service = [("SV1", ("HC", code), None, "UN" if units else None, units)] if code else []
    return sorted([*echoed, *service, *own], key=lambda one: ORDER.index(one[0]))


def body(
    *events: tuple[Line, list[Line]],
    above: dict[str, list[tuple[Any, ...]]] | None = None,
    reference: str = TRACE,
    member: str = "MER000100",
    purpose: str = "11",
) -> list[Segment]:
    """The body of an answer: what each level says, and the events with their lines."""
    said = above or {}
    levels: list[tuple[Any, ...]] = [
        ("BHT", "0007", purpose, reference, "20260303", "0910", "18"),
        ("HL", 1, None, "20", 1),
        ("NM1", "X3", "2", "Harbor HMO", None, None, None, None, "PI", "HARBOR1"),
        *said.get("20", []),
        ("HL", 2, 1, "21", 1),
        ("NM1", "1P", "2", "Lakeside Orthopedics", None, None, None, None, "XX", "1234567893"),
        *said.get("21", []),
        ("HL", 3, 2, "22", 1 if events else 0),
        ("NM1", "IL", "1", "Testperson", "Robin", None, None, None, "MI", member),
        *said.get("22", []),
    ]
    count = 3
    for own, lines in events:
        count += 1
        place = count
        levels += [("HL", place, 3, "EV", 1 if lines else 0), *own]
        for one in lines:
            count += 1
            levels += [("HL", count, place, "SS", 0), *one]
    return [segment(*one) for one in levels]


def closed(*bodies: list[Segment], guide: str = "005010X217") -> bytes:
    at = datetime(2026, 3, 3, 9, 10, tzinfo=UTC)
    return build(BACK, Controls(interchange=61, group=61), at, "278", guide, bodies)


def answer(*events: tuple[Line, list[Line]], **changes: Any) -> bytes:
    return closed(body(*events, **changes))


EFFECTIVE = (("DTP", "007", "D8", "20260303"), ("DTP", "036", "D8", "20260531"), ("DTP", "102", "D8", "20260303"))
LINES = [line_of(number=1, code="95910", units=2), line_of(number=3, code="G0283", units=6)]


def answers() -> dict[str, bytes]:
    """The answers that we wrote, by what they are about."""
    return {
        "a1": answer((event_of(A1, *EFFECTIVE), LINES)),
        "a1-without-lines": answer((event_of(A1, ("DTP", "AAH", "RD8", "20260303-20260503"), ("HSD", "VS", 6)), [])),
        "a2-lines": answer(
            (
                event_of(("HCR", "A2")),
                [
                    line_of(A1, ("DTP", "472", "RD8", "20260320-20260401"), number=1, code="95910", units=2),
                    line_of(("HCR", "A3", None, "0F"), ("MSG", "Ask for a peer-to-peer."), number=3, code="G0283"),
                ],
            )
        ),
        "a3": answer((event_of(("HCR", "A3", "REF-9", [("0F",), ("14",)])), LINES)),
        "a4-pwk": answer(
            (
                event_of(
                    ("HCR", "A4", None, "0U"),
                    ("REF", "NT", "PEND-7"),
                    ("PWK", "09", "EL", None, None, "AC", "ACN-7"),
                    ("PWK", "DG", "EL"),
                ),
                [line_of(("PWK", "B3", "EL", None, None, "AC", "ACN-8"), number=3, code="G0283")],
            )
        ),
        "a4-questionnaire": answer(
            (
                event_of(("HCR", "A4", None, "0U")),
                [
                    line_of(
                        ("TRN", "1", "CONTEXT-5", "9123456789"),
                        ("HCR", "A4", None, "0U"),
                        ("HI", ("LOI", QUESTIONNAIRE)),
                        number=1,
                        code="95910",
                    )
                ],
            )
        ),
        "a4-loinc": answer(
            (
                event_of(
                    ("TRN", "1", "THEIRS-1", "9123456789"),
                    ("HCR", "A4"),
                    ("HI", ("LOI", "11506-3"), ("LOI", "18748-4")),
                ),
                [],
            )
        ),
        "a6": answer(
            (
                event_of(("HCR", "A6", "AUTH-1")),
                [
                    line_of(("HCR", "A6", "AUTH-1"), *EFFECTIVE, number=1, code="95910", units=1),
                    line_of(("HCR", "A6", "AUTH-2"), ("HSD", "VS", 4), number=3, code="97014"),
                ],
            )
        ),
        "ct": answer((event_of(("HCR", "CT"), ("MSG", "Call 555-0123 with the plan of care.")), [])),
        "msg-only": answer((event_of(("MSG", "See the portal.")), LINES)),
        "na": answer((event_of(("HCR", "NA", None, "0H")), LINES)),
        "c": answer((event_of(("HCR", "C", "REF-9"), trace=cancel_trace(TRACE)), [])),
        "c-closed": answer((event_of(("HCR", "C", None, "0P")), LINES)),
        "duplicate": answer((event_of(("HCR", "A3", None, "0Q"), ("REF", "BB", "AUTH-0")), [])),
        "unknown": answer((event_of(("HCR", "A9", "AUTH-1")), LINES)),
        "aaa-payer": answer(above={"20": [("AAA", "Y", None, "42", "P")]}),
        "aaa-requester": answer(above={"21": [("AAA", "N", None, "51", "C")]}),
        "aaa-subscriber": answer(above={"22": [("AAA", "N", None, "75", "C")]}),
        "aaa-event": answer((event_of(("AAA", "N", None, "57", "C")), [])),
        "aaa-line": answer(
            (event_of(), [line_of(("AAA", "N", None, "15", "R"), number=1, code="95910"), line_of(A1, number=3)])
        ),
        "aaa-not-found": answer((event_of(("AAA", "N", None, "AA", "N"), trace=inquiry_trace(TRACE)), [])),
        "aaa-and-a1": answer((event_of(A1), LINES), above={"22": [("AAA", "N", None, "72", "C")]}),
        "inquiry": closed(
            body(
                (
                    event_of(A1, ("REF", "BB", "AUTH-1"), ("REF", "NT", "PEND-7"), *EFFECTIVE, trace=None),
                    [line_of(code="95910", units=2), line_of(code="G0283", units=6)],
                ),
                (event_of(("HCR", "A4"), ("REF", "NT", "PEND-8"), trace=None), []),
                reference=inquiry_trace(TRACE),
            ),
            guide="005010X215",
        ),
    }


ALL = answers()


def golden(name: str) -> bytes:
    return (GOLDEN / f"278-answer-{name}.edi").read_bytes()


def read_all(raw: bytes, mine: Ours | None = MINE, *, status: int = 200, inquiry: bool = False) -> tuple[Decision, ...]:
    return read_answers(raw, "application/edi-x12", status, mine, inquiry=inquiry)


def read(name: str, mine: Ours | None = MINE) -> Decision:
    (decision,) = read_all(golden(name), mine)
    return decision


def line(decision: Decision, number: int) -> LineDecision:
    (found,) = (one for one in decision.lines if one.line == number)
    return found


def outcomes(decision: Decision) -> dict[int, Outcome]:
    return {one.line: one.decision for one in decision.lines}


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, raw in ALL.items():
        (GOLDEN / f"278-answer-{name}.edi").write_bytes(raw.replace(b"~", b"~\n"))
