"""Answers by 278 that are broken, damaged, foreign or too much: nothing raises, and nothing is approved by them."""

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.codes import OUTCOMES
from connectors.x12.segments import segment
from domain.decision import NumberType, Outcome, Result
from tests.x12_answers import (
    A1,
    ALL,
    LINES,
    MINE,
    Line,
    answer,
    body,
    closed,
    event_of,
    line_of,
    outcomes,
    read_all,
)

BROKEN: dict[str, tuple[bytes, bytes]] = {
    "cut off": (b"SE*", b"XE*"),
    "counts other": (b"SE*", b"SE*9"),
    "hang together": (b"HL*4*3*EV", b"HL*4*7*EV"),
    "request or an inquiry": (b"BHT*0007*11", b"BHT*0007*13"),
    "notification": (b"005010X217", b"005010X216"),
    "no event": (b"HL*2*1*21*1~", b"HCR*A3~HL*2*1*21*1~"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_what_cannot_be_relied_on_decides_nothing(why: str) -> None:
    raw = ALL["a1"]
    assert BROKEN[why][0] in raw
    (decision,) = read_all(raw.replace(*BROKEN[why]))
    assert (decision.result, decision.lines) == (Result.UNREADABLE, ())
    assert why in decision.notes[0]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "It is empty."),
        (b"<html><body>Down for maintenance</body></html>", "ISA"),
        (b'{"resourceType": "ClaimResponse"}', "ISA"),
        (b"\xff\xfe\x00", "ISA"),
        (b"ISA*00*cut", "not complete"),
        (closed(body()).replace(b"ST*278*", b"ST*999*"), "999"),
        (answer(), "says nothing about any request"),
        (answer((event_of(), LINES)), "says nothing about any line"),
    ],
)
def test_what_is_no_answer_is_unreadable(raw: bytes, said: str) -> None:
    (decision,) = read_all(raw)
    assert decision.result is Result.UNREADABLE
    assert said in decision.notes[0]


def test_an_error_of_http_makes_a_decision_unreadable_and_leaves_a_rejection() -> None:
    assert read_all(ALL["a1"], status=500)[0].result is Result.UNREADABLE
    assert read_all(ALL["aaa-event"], status=400)[0].result is Result.REJECTED


def test_too_much_is_unreadable() -> None:
    many = [body((event_of(A1), [])) for _ in range(51)]
    assert read_all(closed(*many))[0].result is Result.UNREADABLE
    events = [(event_of(A1), list[Line]())] * 51
    assert read_all(answer(*events))[0].result is Result.UNREADABLE
    lines = [line_of(A1, code="99999")] * 100
    assert read_all(answer((event_of(), lines)))[0].result is Result.UNREADABLE


@pytest.mark.timeout(30)
@pytest.mark.parametrize("parent", [lambda n: 99999, lambda n: n + 1, lambda n: n - 1])
def test_tens_of_thousands_of_levels_are_refused_in_seconds(parent: Callable[[int], int]) -> None:
    start, end = ALL["a1"].split(b"HL*4")[0], b"SE*99*0001~GE*1*61~IEA*1*000000061~"
    levels = b"".join(b"HL*%d*%d*EV*1~HCR*A1~" % (n, parent(n)) for n in range(4, 24_000))
    (decision,) = read_all(start + levels + end)
    assert (decision.result, decision.lines) == (Result.UNREADABLE, ())


def test_notes_and_errors_say_nothing_of_the_patient() -> None:
    for raw in ALL.values():
        for decision in read_all(raw):
            said = " ".join([*decision.notes, *(e.model_dump_json() for e in decision.errors)])
            assert "Testperson" not in said
            assert "MER000100" not in said


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_damaged_answers_never_raise(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(list(ALL.values()))))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                raw[at] = data.draw(st.integers(0, 255))
            case 1:
                del raw[at : at + data.draw(st.integers(1, 40))]
            case _:
                raw[at:at] = data.draw(st.binary(max_size=20))
        if not raw:
            break
    found = read_all(bytes(raw), data.draw(st.sampled_from([MINE, None])), inquiry=data.draw(st.booleans()))
    assert found


unknown_codes = st.one_of(
    st.from_regex(r"[A-Z0-9]{0,3}", fullmatch=True), st.from_regex(r"[ -)+-9;-\]_-}]{1,6}", fullmatch=True)
).filter(lambda code: code.strip() not in OUTCOMES)


@given(unknown_codes, st.sampled_from(sorted(ALL)))
def test_nothing_is_approved_once_its_code_is_unknown(code: str, name: str) -> None:
    raw = ALL[name]
    for known in OUTCOMES:
        raw = raw.replace(f"HCR*{known}*".encode(), f"HCR*{code}*".encode())
        raw = raw.replace(f"HCR*{known}~".encode(), f"HCR*{code}~".encode())
    for decision in read_all(raw):
        assert not any(one.decision.permits for one in decision.lines)
        assert all(number.type is not NumberType.CERTIFICATION for number in decision.all_numbers)


@given(st.data())
def test_no_damaged_byte_approves_what_was_not_approved(data: st.DataObject) -> None:
    """One byte that is another: no answer that approved nothing comes to approve, but by a code that says so."""
    name = data.draw(st.sampled_from(["a3", "a4-pwk", "ct", "msg-only", "unknown", "aaa-event", "aaa-subscriber"]))
    raw = bytearray(ALL[name])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    if any(f"HCR*{code}".encode() in bytes(raw) for code in ("A1", "NA")):
        return
    for decision in read_all(bytes(raw)):
        assert not any(one.decision.permits for one in decision.lines)


# --- as payers also write it ---------------------------------------------------------------------------------------


def test_plain_text_behind_the_end_changes_nothing_and_a_segment_there_does() -> None:
    (clean,) = read_all(ALL["a1"])
    for tail in (b"\nEND OF FILE\n", b"\r\n--boundary--", b"~\nThank you~"):
        (decision,) = read_all(ALL["a1"] + tail)
        assert decision.model_copy(update={"notes": ()}) == clean.model_copy(update={"notes": ()})
        assert any("behind" in note for note in decision.notes)
    for torn in (b"HCR*A3**0F~", b"h?R*A3~", b"HCR~"):
        assert read_all(ALL["a1"] + torn)[0].result is Result.UNREADABLE


def test_a_line_that_is_named_without_a_decision_is_unknown() -> None:
    (decision,) = read_all(answer((event_of(), [line_of(A1, number=1), line_of(number=3)])))
    assert outcomes(decision) == {1: Outcome.APPROVED, 3: Outcome.UNKNOWN}
    (silent,) = read_all(answer((event_of(), LINES)))
    assert outcomes(silent) == {1: Outcome.UNKNOWN, 3: Outcome.UNKNOWN}


def test_two_decisions_that_differ_leave_their_numbers_as_references() -> None:
    (decision,) = read_all(answer((event_of(("HCR", "A4", "PEND-7"), ("HCR", "A1", "AUTH-1")), [])), None)
    assert [(n.type, n.value) for n in decision.lines[0].numbers] == [
        (NumberType.ADMINISTRATIVE, "PEND-7"),
        (NumberType.ADMINISTRATIVE, "AUTH-1"),
    ]


def test_other_numbers_of_the_payers_are_kept_and_none_is_billable() -> None:
    (decision,) = read_all(answer((event_of(("HCR", "A1"), ("REF", "G1", "OLD-1"), ("REF", "9F", "REF-1")), LINES)))
    assert [(n.type, n.value) for n in decision.numbers] == [
        (NumberType.ADMINISTRATIVE, "OLD-1"),
        (NumberType.REFERRAL, "REF-1"),
    ]


@pytest.mark.parametrize(
    ("kind", "said", "last"),
    [
        ("RD8", "20260303 - 20260531", date(2026, 5, 31)),
        ("DT", "202605311200", date(2026, 5, 31)),
        ("DT", "2026053112", None),
        ("RD8", "20260531 - 20260303", None),
    ],
)
def test_dates_are_read_as_payers_write_them(kind: str, said: str, last: date | None) -> None:
    (decision,) = read_all(answer((event_of(A1, ("DTP", "AAH", kind, said)), LINES)))
    assert decision.lines[0].valid_to == last
    assert bool(decision.notes) == (last is None)


def test_months_are_no_units() -> None:
    quantities = {basis: read_all(answer((event_of(A1, ("HSD", basis, 2)), [])), None)[0] for basis in ("VS", "MN")}
    assert {basis: found.lines[0].units for basis, found in quantities.items()} == {"VS": 2, "MN": None}


def test_whom_to_call_at_the_payers_is_said_and_the_providers_own_contact_is_not() -> None:
    contact = ("PER", "IC", "REVIEW DESK", "TE", "8005550110", "EX", "12")
    for code in ("CT", "A1"):
        own = [*event_of(("HCR", code)), ("NM1", "SJ", "1", "SMITH"), ("PER", "IC", "CLINIC", "TE", "8005550111")]
        (decision,) = read_all(answer((own, []), above={"20": [contact]}))
        said = [note for note in decision.notes if "call" in note]
        assert said == (["Whom to call at the payer's: REVIEW DESK, TE 8005550110, EX 12."] if code == "CT" else [])


def test_what_is_no_review_is_named_and_an_older_edition_too() -> None:
    assert "(documents)" in read_all(closed(body()).replace(b"ST*278*", b"ST*275*"))[0].notes[0]
    older = ALL["a1"].replace(b"005010X217", b"004010X094A1").replace(b"*EV*", b"*19*")
    assert "004010" in read_all(older)[0].notes[0]


def test_another_patient_who_is_rejected_in_the_same_transaction_is_an_answer_of_its_own() -> None:
    other: Line = [("HL", 9, 2, "22", 0), ("NM1", "IL", "1", "Elsewhere", None, None, None, None, "MI", "MER000999")]
    segments = [*body((event_of(A1), LINES)), *(segment(*one) for one in [*other, ("AAA", "N", None, "72", "C")])]
    decided, rejected = read_all(closed(segments))
    assert (decided.result, rejected.result) == (Result.DECIDED, Result.REJECTED)
    assert (rejected.member_id, rejected.trace, rejected.errors[0].code) == ("MER000999", None, "72")
    assert read_all(closed([*segments[:-1]]))[1:] == ()


def test_the_quantity_of_the_event_is_that_of_its_only_line_and_said_where_there_are_more() -> None:
    bare = [line_of(code="95910"), line_of(code="G0283")]
    (one,) = read_all(answer((event_of(A1, ("HSD", "VS", 6)), bare[:1])), None)
    assert (one.lines[0].units, one.notes) == (6, ())
    (two,) = read_all(answer((event_of(A1, ("HSD", "VS", 6)), bare)), None)
    assert ([line.units for line in two.lines], len(two.notes)) == ([None, None], 1)
