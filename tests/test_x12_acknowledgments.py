"""999, 997 and TA1: the shared examples by a table, what pyx12 writes read by us, and what is cut off or unknown."""

import io
import logging
import tempfile
from pathlib import Path

import pytest
import pyx12.params
import pyx12.x12n_document
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.x12.acknowledgment import Acceptance, Acknowledgment, read_acknowledgments

FILES: dict[str, tuple[str, str, Acceptance, tuple[str | None, str | None, str | None], list[str]]] = {
    "cosyte/999-accept.edi": ("999", "A", Acceptance.ACCEPTED, (None, "1", "0001"), []),
    "cosyte/999-accept-with-errors.edi": ("999", "E", Acceptance.WITH_ERRORS, (None, "2", "0002"), ["8", "7"]),
    "cosyte/999-reject-control-number-mismatch.edi": ("999", "R", Acceptance.REJECTED, (None, "3", "0003"), ["3"]),
    "cosyte/ta1-accept.edi": ("TA1", "A", Acceptance.ACCEPTED, ("000000019", None, None), []),
    "cosyte/ta1-accept-with-errors.edi": ("TA1", "E", Acceptance.WITH_ERRORS, ("000000019", None, None), ["016"]),
    "cosyte/ta1-reject-control-mismatch.edi": ("TA1", "R", Acceptance.REJECTED, ("000000019", None, None), ["001"]),
    "imsweb/999-accepted.edi": ("999", "A", Acceptance.ACCEPTED, (None, "17456", "0001"), []),
    "imsweb/999-rejected.edi": ("999", "R", Acceptance.REJECTED, (None, "28", "0028"), ["5", "1"]),
}
"""File: kind, code, meaning, control numbers (interchange, group, transaction), codes of the faults."""

REJECTED = (
    "ISA*00*          *00*          *ZZ*RECEIVER       *ZZ*SENDER         *260601*1200*^*00501*000000001*0*P*:~"
    "GS*FA*RECEIVER*SENDER*20260601*1200*1*X*005010X231A1~ST*999*0001*005010X231A1~"
    "AK1*HI*77*005010X217~AK2*278*0001*005010X217~"
    "IK3*NM1*9*2010C*8~IK4*9:1*67*1*SECRET-MEMBER~IK5*R*5~AK9*R*1*1*0~"
    "SE*8*0001~GE*1*1~IEA*1*000000001~"
)


def one(text: str | bytes) -> Acknowledgment:
    (found,) = read_acknowledgments(text.encode() if isinstance(text, str) else text)
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_example_has_its_meaning(shared: Path, name: str) -> None:
    kind, code, acceptance, numbers, faults = FILES[name]
    found = one((shared / "fixtures" / "x12" / name).read_bytes())
    assert (found.kind, found.code, found.acceptance) == (kind, code, acceptance)
    assert (found.interchange, found.group, found.transaction) == numbers
    assert [fault.code for fault in found.faults] == faults
    assert found.accepted is (acceptance is not Acceptance.REJECTED)


def test_the_table_names_every_acknowledgment_there_is(shared: Path) -> None:
    folder = shared / "fixtures" / "x12"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.edi") if b"~ST*999" in _flat(path)}
    there |= {str(path.relative_to(folder)) for path in folder.rglob("*.edi") if b"~TA1*" in _flat(path)}
    assert there == set(FILES)


def _flat(path: Path) -> bytes:
    return path.read_bytes().replace(b"\n", b"")


def test_a_fault_says_where_and_keeps_no_data() -> None:
    found = one(REJECTED)
    assert [fault.place for fault in found.faults] == [
        None,
        "name and id of the subscriber, loop 2010C, segment NM1, the 9. of the message",
        "id of the subscriber, loop 2010C, segment NM1, element 9-1, the 9. of the message",
    ]
    assert (found.function, found.faults[2].reference) == ("HI", "67")
    assert "SECRET" not in found.model_dump_json()
    assert [error.code for error in found.answer_errors] == ["1", "8", "5", "999 R"]
    element, *_, whole = found.answer_errors
    assert element.sentence.startswith("it is missing (1), at id of the subscriber, loop 2010C")
    assert element.meaning == "id of the subscriber: it is missing"
    assert element.remedy is not None
    assert element.remedy.startswith("Compare the id of the subscriber in the order")
    assert whole.sentence == "the message was not taken in at the door, and nothing is decided (999 R)"


def test_what_is_at_fault_outside_of_the_order_is_an_operators_and_what_is_unknown_says_so() -> None:
    text = REJECTED.replace("IK5*R*5", "IK5*R*23").replace("IK4*9:1*67*1*", "IK4*9:1*67*Q7*")
    unknown, _, number, whole = one(text).answer_errors
    assert unknown.sentence.startswith("code Q7, which Vigil does not know, at id of the subscriber")
    assert (number.sentence, number.remedy) == (
        "the message's control number was there already (23)",
        "Nothing in the order is at fault: an operator looks at the payer's channel and at the raw answer.",
    )
    assert whole.code == "999 R"


@pytest.mark.parametrize("code", ["006", "025"])
def test_a_ta1_says_what_of_the_envelope_is_wrong(code: str) -> None:
    isa, iea = REJECTED[: REJECTED.index("GS*")], "IEA*0*000000001~"
    first, _ = one(f"{isa}TA1*000000077*260601*1200*R*{code}~{iea}").answer_errors
    assert (first.code, bool(first.text)) == (code, True)
    assert "operator" in (first.remedy or "")


def test_it_is_of_the_message_whose_numbers_it_names() -> None:
    assert not one(REJECTED).is_of(77)  # the transaction has another number
    ours = one(REJECTED.replace("AK2*278*0001", "AK2*278*0077"))
    assert ours.is_of(77)
    assert not ours.is_of(7)
    assert not Acknowledgment(kind="999", acceptance=Acceptance.ACCEPTED, code="A").is_of(77)


@pytest.mark.parametrize(
    ("ik5", "ak9", "meaning"),
    [
        ("A", "A", Acceptance.ACCEPTED),
        ("A", "P", Acceptance.ACCEPTED),
        ("E", "E", Acceptance.WITH_ERRORS),
        ("R", "P", Acceptance.REJECTED),
        ("A", "R", Acceptance.REJECTED),
        ("M", "A", Acceptance.REJECTED),
        ("X", "X", Acceptance.REJECTED),
        ("Z", "A", Acceptance.UNKNOWN),
        ("A", "", Acceptance.UNKNOWN),
        ("", "P", Acceptance.UNKNOWN),
    ],
)
def test_what_transaction_and_group_say_together(ik5: str, ak9: str, meaning: Acceptance) -> None:
    text = REJECTED.replace("IK5*R*5", f"IK5*{ik5}").replace("AK9*R*", f"AK9*{ak9}*")
    assert one(text).acceptance is meaning


def test_a_group_that_names_no_transaction_speaks_for_all_of_them() -> None:
    start, end = REJECTED.index("AK2"), REJECTED.index("AK9")
    for code, meaning in (("R", Acceptance.REJECTED), ("A", Acceptance.ACCEPTED), ("P", Acceptance.PARTLY)):
        found = one(REJECTED[:start] + REJECTED[end:].replace("AK9*R", f"AK9*{code}"))
        assert (found.acceptance, found.transaction) == (meaning, None)
        assert found.accepted is (code == "A")


def test_what_is_broken_off_is_not_taken_for_accepted() -> None:
    accepted = REJECTED.replace("IK5*R*5", "IK5*A").replace("AK9*R", "AK9*A")
    assert one(accepted).accepted
    cut = accepted[: accepted.index("SE*")]
    assert one(cut).acceptance is Acceptance.UNKNOWN
    assert one(REJECTED[: REJECTED.index("SE*")]).acceptance is Acceptance.REJECTED
    assert read_acknowledgments(b"<html>") == ()


# --- pyx12 writes, we read ----------------------------------------------------------------------------------------

ENROLMENT = (
    "BGN*00*12456*19980520*1200****2",
    "N1*P5**FI*999888777",
    "N1*IN*ABC INSURER*FI*654456654",
    "INS*Y*18*021*28*A***FT",
    "REF*0F*123456789",
    "NM1*IL*1*DOE*JOHN*P***34*123456789",
)


def written_by_pyx12(text: str) -> bytes:
    """The acknowledgment that pyx12 writes for a message."""
    out = io.StringIO()
    logging.disable(logging.CRITICAL)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".edi") as file:
            file.write(text)
            file.flush()
            pyx12.x12n_document.x12n_document(
                param=pyx12.params.params(), src_file=file.name, fd_997=out, fd_html=None, fd_xmldoc=None, map_path=None
            )
    finally:
        logging.disable(logging.NOTSET)
    return out.getvalue().encode()


def enrolment(*segments: str, number: int = 17) -> str:
    isa = "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *260601*1200*^*00501*"
    inner = [f"ST*834*{number:04}*005010X220A1", *segments, f"SE*{len(segments) + 2}*{number:04}"]
    ends = [f"GE*1*{number}", f"IEA*1*{number:09}"]
    head = [f"{isa}{number:09}*0*P*:", f"GS*BE*SENDER*RECEIVER*20260601*1200*{number}*X*005010X220A1"]
    return "".join(f"{segment}~\n" for segment in (*head, *inner, *ends))


def test_a_999_that_pyx12_writes_is_read_as_it_was_meant() -> None:
    broken = (*ENROLMENT[:3], "INS*Y*18*021*28*A***ZZ", *ENROLMENT[4:])
    found = one(written_by_pyx12(enrolment(*broken)))
    assert (found.kind, found.acceptance, found.function) == ("999", Acceptance.REJECTED, "BE")
    assert found.is_of(17)
    element = next(fault for fault in found.faults if fault.level == "element")
    assert (element.segment, element.element, element.reference, element.code) == ("INS", "8", "584", "7")


def test_a_997_that_pyx12_writes_is_read_too(shared: Path) -> None:
    old = (shared / "fixtures" / "x12" / "imsweb" / "270-4010.edi").read_text()
    found = one(written_by_pyx12(old))
    assert (found.kind, found.acceptance, found.function) == ("997", Acceptance.REJECTED, "HS")
    assert (found.group, found.transaction) == ("14420", "000121")
    assert {fault.code for fault in found.faults if fault.level == "transaction"} == {"3", "4", "5"}


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(REJECTED) - 1), byte=st.binary(min_size=0, max_size=3), length=st.integers(0, 60))
def test_no_mutation_makes_it_fail_or_a_rejection_of_ours_accepted(at: int, byte: bytes, length: int) -> None:
    raw = REJECTED.encode()
    mutated = raw[:at] + byte + raw[at + length :]
    codes = (b"IK5*A", b"IK5*E", b"AK9*A", b"AK9*E", b"AK9*P")
    for found in read_acknowledgments(mutated):
        assert not found.accepted or any(code in mutated for code in codes)
