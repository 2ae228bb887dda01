"""The segment layer and the envelopes: any delimiters, any bytes, binary data by its length, nothing lost."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.x12.envelope import Controls, Route, build, read
from connectors.x12.hl import read_levels
from connectors.x12.segments import (
    MAX_PARTS,
    STANDARD,
    Delimiters,
    NotX12,
    Segment,
    Unwritable,
    encode,
    parse,
    plain,
    segment,
    written,
)
from connectors.x12.words import PARENTS

AT = datetime(2026, 3, 2, 15, 4, tzinfo=UTC)
ROUTE = Route(sender="LAKESIDE", receiver="NORTHBRIDGE")
CONTROLS = Controls(interchange=7, group=8, transaction=9)
SIGNS = "ABCXYZabcxyz0189 !\"&'()*+,-./:;?=%@[]_{}\\|<>~#$^`"
delimiters = st.permutations(list("*:^~|>!\\@{}\n\x1d\x1e\x1f;")).map(lambda d: Delimiters(d[0], d[1], d[2], d[3]))


def message(*body: Segment, with_: Delimiters = STANDARD) -> bytes:
    return build(ROUTE, CONTROLS, AT, "278", "005010X217", [body], with_)


def body_of(raw: bytes) -> tuple[Segment, ...]:
    return read(raw)[0].transactions[0].segments


@st.composite
def bodies(draw: st.DrawFn) -> tuple[Delimiters, list[Segment]]:
    used = draw(delimiters)
    allowed = [sign for sign in SIGNS if sign not in used.all]
    # Blanks around data are no data; an element is trimmed by its writer.
    data = st.text(st.sampled_from(allowed), min_size=1, max_size=8).map(lambda said: said.strip() or "X")
    component = st.lists(data, min_size=1, max_size=3).map(tuple)
    value = st.one_of(data, component, st.lists(component, min_size=1, max_size=3))
    ids = st.sampled_from(["REF", "NM1", "HI", "MSG", "ZZ9", "N3"])
    plain_segment = st.builds(lambda i, v: segment(i, *v), ids, st.lists(value, min_size=1, max_size=6))
    binary = st.builds(lambda data: segment("BIN", len(data), None, binary=data), st.binary(max_size=60))
    sized = st.builds(lambda data: segment("BDS", "B64", len(data), None, binary=data), st.binary(max_size=60))
    return used, draw(st.lists(st.one_of(plain_segment, binary, sized), min_size=1, max_size=6))


@given(bodies())
def test_what_is_written_is_read_again_with_any_delimiters(made: tuple[Delimiters, list[Segment]]) -> None:
    used, body = made
    (interchange,) = read(message(*body, with_=used))
    assert interchange.transactions[0].segments == tuple(body)
    assert interchange.delimiters == used
    assert interchange.all_problems == ()
    again = encode(interchange.transactions[0].segments, used)
    assert again == encode(body, used)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    header = message(segment("HL", 1, None, "20", 0))[:106]
    for body in (raw, header + raw):
        with suppress(NotX12):
            assert read(body)


@given(st.data())
def test_a_damaged_message_is_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(message(segment("BIN", 5, None, binary=b"~*~*~"), segment("NM1", "IL", "1", "TESTPERSON")))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    with suppress(NotX12):
        assert read(bytes(raw[:cut]))


def test_the_envelope_is_closed_and_its_header_has_its_widths() -> None:
    raw = build(ROUTE, CONTROLS, AT, "278", "005010X217", [[segment("BHT", "0007")], [segment("BHT", "0007")]])
    assert raw.split(b"~") == [
        b"ISA*00*          *00*          *ZZ*LAKESIDE       *ZZ*NORTHBRIDGE    *260302*1504*^*00501*000000007*0*T*:",
        b"GS*HI*LAKESIDE*NORTHBRIDGE*20260302*1504*8*X*005010X217",
        b"ST*278*0009*005010X217",
        b"BHT*0007",
        b"SE*3*0009",
        b"ST*278*0010*005010X217",
        b"BHT*0007",
        b"SE*3*0010",
        b"GE*2*8",
        b"IEA*1*000000007",
        b"",
    ]
    assert raw.index(b"~") == 105


def test_line_breaks_marks_and_blanks_between_segments_are_no_data() -> None:
    raw = message(segment("REF", "EI", "990000001"))
    for odd in (
        b"\xef\xbb\xbf" + raw,
        b"\n " + raw.replace(b"~", b"~\r\n"),
        raw.replace(b"~", b"~  \n") + b"\x1a\x00",
        raw.replace(b"~", b"\r\n"),
        raw.replace(b"~", b"\n"),
    ):
        (interchange,) = read(odd)
        assert interchange.transactions[0].segments == (segment("REF", "EI", "990000001"),)
        assert interchange.all_problems == ()


def test_a_header_that_is_not_padded_is_read_by_its_separators() -> None:
    raw = message(segment("REF", "EI", "1")).replace(b"LAKESIDE       ", b"LAKESIDE").replace(b" " * 10, b"")
    (interchange,) = read(raw)
    assert (interchange.sender, interchange.control, interchange.usage) == ("LAKESIDE", "000000007", "T")
    assert interchange.transactions[0].segments[0].get(2) == "1"


def test_several_interchanges_each_declare_their_delimiters() -> None:
    other = Delimiters("|", ">", "!", "\\")
    raw = message(segment("HI", ("ABK", "M5416"))) + b"\r\n" + message(segment("HI", ("ABK", "G5601")), with_=other)
    first, second = read(raw)
    assert first.transactions[0].segments[0].get(1, 2) == "M5416"
    assert second.transactions[0].segments[0].get(1, 2) == "G5601"
    assert second.transactions[0].segments[0].raw == b"HI|ABK>G5601"


def test_before_00402_nothing_repeats() -> None:
    raw = message(segment("REF", "EI", "A^B"), with_=Delimiters(repetition=None))
    assert raw[82:83] == b"U"
    assert body_of(raw)[0].repetitions(2) == (("A^B",),)


def test_binary_data_is_framed_by_its_length_and_not_by_delimiters() -> None:
    data = b"%PDF~SE*1*0009~IEA*1*1~\xff\x00\n"
    found = body_of(message(segment("BIN", len(data), None, binary=data), segment("REF", "EI", "1")))
    assert found[0].binary == data
    assert found[0].raw == b"BIN*%d*" % len(data) + data
    assert found[1] == segment("REF", "EI", "1")


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [(b"999", "cut off"), (b"3", "longer than it says"), (b"x", "does not say how long")],
)
def test_binary_data_of_another_length_than_declared_is_a_problem(declared: bytes, sentence: str) -> None:
    raw = message(segment("BIN", 6, None, binary=b"abcdef"), segment("REF", "EI", "1"))
    (interchange,) = read(raw.replace(b"BIN*6*", b"BIN*" + declared + b"*"))
    assert any(problem.code == "BINARY_LENGTH" and sentence in problem.sentence for problem in interchange.problems)


def test_a_binary_segment_without_its_data_takes_nothing_from_the_next() -> None:
    raw = message(segment("REF", "EI", "1"), segment("REF", "12", "2")).replace(b"REF*EI*1", b"BDS*B64")
    assert [(one.id, one.binary) for one in body_of(raw)] == [("BDS", None), ("REF", None)]


def test_segments_that_nobody_knows_are_kept_as_they_came() -> None:
    raw = message(segment("REF", "EI", "1")).replace(b"REF*EI*1", b"ZQX*a*b^c:d**e")
    (found,) = body_of(raw)
    assert found.raw == b"ZQX*a*b^c:d**e"
    assert (found.get(2, 2, 2), found.text(2), found.get(4), found.get(9)) == ("d", "b^c:d", "e", "")


def test_text_is_utf8_or_one_character_a_byte() -> None:
    raw = message(segment("NM1", "IL", "1", "MUELLER"))
    assert body_of(raw.replace(b"MUELLER", "Müller".encode()))[0].get(3) == "Müller"
    assert body_of(raw.replace(b"MUELLER", "Müller".encode("latin-1")))[0].get(3) == "Müller"


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ((b"SE*3*", b"SE*2*"), "SE_COUNT"),
        ((b"SE*3*", b"SE*4*"), "SE_LOST"),
        ((b"SE*3*0009", b"SE*3*0008"), "SE_CONTROL"),
        ((b"SE*3*0009~", b""), "SE_MISSING"),
        ((b"GE*1*8", b"GE*2*8"), "GE_COUNT"),
        ((b"GE*1*8", b"GE*1*7"), "GE_CONTROL"),
        ((b"GE*1*8~", b""), "GE_MISSING"),
        ((b"IEA*1*000000007", b"IEA*0*000000007"), "IEA_COUNT"),
        ((b"IEA*1*000000007", b"IEA*1*000000001"), "IEA_CONTROL"),
        ((b"IEA*1*000000007~", b""), "IEA_MISSING"),
        ((b"IEA*1*000000007~", b"IEA*1*000000007"), "CUT_OFF"),
        ((b"GS*", b"NTE*"), "ST_WITHOUT_GS"),
        ((b"GE*", b"NTE*ADD~GE*"), "STRAY_SEGMENT"),
        ((b"REF*", b"rEF*"), "SEGMENT_ID"),
    ],
)
def test_what_is_wrong_with_an_envelope_is_listed(damage: tuple[bytes, bytes], code: str) -> None:
    raw = message(segment("REF", "EI", "1"))
    assert damage[0] in raw
    (interchange,) = read(raw.replace(*damage))
    assert code in {problem.code for problem in interchange.all_problems}
    assert len(interchange.transactions) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  \r\n",
        b"<html><body>Maintenance</body></html>",
        b'{"a": 1}',
        b"ISA",
        b"ISA*00*",
        b"GS*HI*A*B~",
        message(segment("REF", "EI", "1"))[:105],
        message(segment("REF", "EI", "1")).replace(b"*T*:~", b"*T***"),
        message(segment("REF", "EI", "1")).replace(b"*T*:~", b"*T*AB"),
        message(segment("REF", *["X"] * (MAX_PARTS + 2))),
        message() + b"N3*A~" * 50_001,
        message() + (b"N3" + b"*A" * 999 + b"~") * 600,
        message(segment("REF", "EI", "1")).ljust(10_000_001),
    ],
)
def test_what_is_no_x12_or_too_much_of_it_is_refused(raw: bytes) -> None:
    with pytest.raises(NotX12):
        read(raw)


def test_data_with_a_delimiter_is_refused_and_names_no_data() -> None:
    for bad in ("A*B", "A:B", "A^B", "A~B", "A\nB", "Ä"):
        with pytest.raises(Unwritable) as refused:
            encode([segment("NM1", "IL", "1", bad)])
        assert "NM103" in str(refused.value)
        assert bad not in str(refused.value)
    with pytest.raises(Unwritable):
        encode([segment("nm1", "IL")])
    with pytest.raises(Unwritable):
        encode([segment("HI", [("A", "B"), ("C",)])], Delimiters(repetition=None))
    for wrong in (segment("BIN", 4, None, binary=b"abc"), segment("REF", 3, None, binary=b"abc")):
        with pytest.raises(Unwritable):
            encode([wrong])


@given(st.text(max_size=60), st.sampled_from(["basic", "extended"]))
def test_names_are_made_fit_in_one_way(said: str, charset: str) -> None:
    made = plain(said, "basic" if charset == "basic" else "extended", 40)
    assert len(made) <= 40
    assert written(made, "basic" if charset == "basic" else "extended")
    assert made == plain(made, "basic" if charset == "basic" else "extended")
    encode([segment("NM1", "IL", "1", made)])


def test_names_keep_what_x12_can_write() -> None:
    assert plain("Núñez-O'Brien, Zoë") == "Nunez-O'Brien, Zoe"
    assert plain("a*b~c^d:e\tf") == "a b c d e f"
    assert plain("Müller", "basic") == "MULLER"
    assert plain("李") == ""
    assert plain("O´Brien") == "O'Brien"  # noqa: RUF001 - as people type it


@pytest.mark.parametrize(
    ("said", "extended", "basic"),
    [
        ("50 µg, then 5 μL", "50 mcg, then 5 mcL", "50 MCG, THEN 5 MCL"),
        ("2½ weeks", "2 1/2 weeks", "2 1/2 WEEKS"),
        ("10⁵ of it on 3 m²", "10 5 of it on 3 m2", "10 5 OF IT ON 3 M2"),
        ("≥ 9, ≤12, ±2, ≠4", "at least 9, at most 12, +/-2, not 4", "AT LEAST 9, AT MOST 12, +/-2, NOT 4"),
        ("<3 and >40% at 38°C", "<3 and >40% at 38 deg C", "UNDER 3 AND OVER 40 PERCENT AT 38 DEG C"),
    ],
)
def test_a_number_stays_the_number_that_it_was(said: str, extended: str, basic: str) -> None:
    assert plain(said) == extended
    assert plain(said, "basic") == basic


def test_delimiters_that_cannot_delimit_are_refused() -> None:
    for wrong in (("A", ":", "^", "~"), ("*", "*", "^", "~"), ("**", ":", "^", "~"), (" ", ":", "^", "~")):
        with pytest.raises(ValueError, match="delimiters"):
            Delimiters(*wrong)


def hl(*levels: tuple[str, str, str, str]) -> list[Segment]:
    return [segment("HL", *level) for level in levels]


SOUND = (("1", "", "20", "1"), ("2", "1", "21", "1"), ("3", "2", "22", "1"), ("4", "3", "EV", "0"))


def test_levels_stand_where_they_belong() -> None:
    levels = read_levels([segment("BHT", "0007"), *hl(*SOUND), segment("HCR", "A1")], PARENTS)
    assert levels.problems == ()
    event = levels.all[3]
    assert [level.code for level in levels.above(event)] == ["22", "21", "20"]
    assert [one.id for one in event.segments] == ["HCR"]
    assert levels.under(levels.all[0]) == (levels.all[1],)


@pytest.mark.parametrize(
    ("levels", "code", "sound"),
    [
        ([*SOUND[:3], ("4", "9", "EV", "0")], "HL_DANGLING", False),
        ([*SOUND[:3], ("4", "5", "SS", "0"), ("5", "3", "EV", "1")], "HL_DANGLING", False),
        ([*SOUND[:2], ("3", "4", "22", "1"), ("4", "3", "EV", "1")], "HL_CYCLE", False),
        ([*SOUND[:3], ("3", "2", "22", "1"), ("4", "3", "EV", "0")], "HL_AMBIGUOUS", False),
        ([*SOUND[:3], ("4", "2", "EV", "0")], "HL_WRONG_PARENT", False),
        ([*SOUND[:3], ("4", "3", "19", "0")], "HL_UNKNOWN_LEVEL", False),
        ([*SOUND[:3], ("4", "", "EV", "0")], "HL_WRONG_PARENT", False),
        ([*SOUND[:3], ("4", "3", "EV", "1")], "HL_CHILDREN", True),
        ([*SOUND[:3], ("4", "3", "EV", "0"), ("4", "3", "EV", "0")], "HL_DUPLICATE", True),
        ([*SOUND[:3], ("", "3", "EV", "0")], "HL_NO_ID", True),
    ],
)
def test_levels_that_do_not_hang_together_are_found(
    levels: list[tuple[str, str, str, str]], code: str, sound: bool
) -> None:
    found = read_levels(hl(*levels), PARENTS)
    assert code in {problem.code for problem in found.problems}
    assert found.is_sound is sound


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("admission-request-for-review", ["SE_COUNT"]),
        ("admission-response-to-request-for-review", []),
        ("referral-request-for-review", []),
        ("referral-response-to-request-for-review", []),
    ],
)
def test_the_published_278s_hang_together(shared: Path, name: str, problems: list[str]) -> None:
    (interchange,) = read((shared / "fixtures" / "x12" / "tr3" / f"278-x217-{name}.edi").read_bytes())
    (transaction,) = interchange.transactions
    assert (interchange.groups[0].function, transaction.set_id, transaction.guide) == ("HI", "278", "005010X217")
    assert [problem.code for problem in interchange.all_problems] == problems
    levels = read_levels(transaction.segments, PARENTS)
    assert levels.problems == ()
    assert [level.code for level in levels.all][:4] == ["20", "21", "22", "EV"]


def test_every_shared_message_is_read_by_its_delimiters(shared: Path) -> None:
    files = sorted((shared / "fixtures" / "x12").glob("*/*.edi"))
    assert len(files) > 30
    for file in files:
        interchanges = read(file.read_bytes())
        assert all(i.transactions or i.acknowledgments for i in interchanges)
        codes = {problem.code for i in interchanges for problem in i.all_problems}
        assert codes <= {"SE_COUNT", "SE_LOST", "SE_CONTROL", "IEA_CONTROL"}, file.name


def test_hl_in_the_shared_270s(shared: Path) -> None:
    parents = {code: PARENTS[code] for code in ("20", "21", "22", "23")}

    def codes(name: str) -> set[str]:
        raw = (shared / "fixtures" / "x12" / "cosyte" / f"270-{name}.edi").read_bytes()
        segments = read(raw)[0].transactions[0].segments
        return {problem.code for problem in read_levels(segments, parents).problems}

    assert codes("canonical") == set()
    assert "HL_DANGLING" in codes("dangling-parent")
    assert "HL_DUPLICATE" in codes("duplicate-hl-id")
    assert "HL_CYCLE" in codes("hl-cycle")


def test_ten_megabytes_are_read_in_bounded_time() -> None:
    long = message() + b"N3*" + b"A" * 9_900_000 + b"~"
    assert len(parse(long).segments) == 7
    empty = message() + b"~ " * 4_900_000
    assert len(parse(empty).segments) == 6
