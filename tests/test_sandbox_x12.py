"""The sandbox's clearinghouse and the payers behind it: how it reads, how strict it is, and what it answers by scenario."""

import base64
import hashlib
import io
import logging
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pyx12.params
import pyx12.x12n_document
from x12sdk.io import X12ModelReader

from sandbox.asked import AskedDocument, AskedLine, Person
from sandbox.x12_parse import Rejected, TA1Rejected
from sandbox.x12_read import read
from tests.sandbox_x12 import (
    ATTACHMENTS,
    ELIGIBILITY,
    INQUIRY,
    NPI,
    OTHER_NPI,
    PICKUP,
    Clearinghouse,
    Segments,
    attachment,
    eligibility,
    envelope,
    inquiry,
    of_a_file,
    request,
    review_rows,
)


@pytest.fixture
def house(sandbox_url: str) -> Iterator[Clearinghouse]:
    client = Clearinghouse(sandbox_url)
    yield client
    client.http.close()


# --- reading ------------------------------------------------------------------------------------------------------


def test_a_request_is_read_whole() -> None:
    rows = review_rows(
        "100",
        member="MBR000100",
        trace="TRACE1",
        event="UM*HS*S*73*22:B**U",
        extra=("REF*BB*AUTH1", "REF*NT*ADM1"),
        lines=(("95886", 4), ("73721:RT:59", 1)),
    )
    rows.insert(rows.index("HL*5*4*SS*0") - 1, "PWK*09*EL***AC*CTRL1")
    asked = read(envelope(rows, "005010X217", "HI").encode()).asked
    assert asked.kind == "update"
    assert (asked.trace, asked.originator, asked.payer, asked.member_id) == (
        "TRACE1",
        "1900000001",
        "HARBR",
        "MBR000100",
    )
    assert (asked.requester_npi, asked.requester_name, asked.ordering_npi) == (NPI, "LAKESIDE ORTHOPEDICS", OTHER_NPI)
    assert asked.subscriber == Person("TESTPERSON", "ROBIN", date(1970, 2, 3), "F", "18")
    assert (asked.diagnoses, asked.urgency, asked.referral) == (("G5601", "M5412"), "urgent", False)
    assert asked.lines == (
        AskedLine(1, "95886", (), 4, "22", date(2026, 3, 20), date(2026, 3, 20)),
        AskedLine(2, "73721", ("RT", "59"), 1, "22", date(2026, 3, 20), date(2026, 3, 20)),
    )
    assert asked.documents == (AskedDocument("CTRL1", "09"),)
    assert asked.prior_numbers == ("AUTH1", "ADM1")


def test_a_dependent_a_cancel_and_a_referral_are_told_apart() -> None:
    rows = review_rows(event="UM*SC*3*3*11:B**03", lines=())
    at = rows.index("HL*4*3*EV*0")
    rows[at : at + 1] = ["HL*4*3*23*1", "NM1*QC*1*TESTPERSON*KIM", "DMG*D8*20150405*M", "INS*N*19", "HL*5*4*EV*0"]
    asked = read(envelope(rows, "005010X217", "HI").encode()).asked
    assert (asked.kind, asked.referral, asked.urgency, asked.lines) == ("cancel", True, "stat", ())
    assert asked.patient == Person("TESTPERSON", "KIM", date(2015, 4, 5), "M", "19")
    assert asked.person is asked.patient


def test_other_delimiters_and_line_breaks_are_read_alike() -> None:
    text = request(trace="T1", member="M100", control=7)
    other = text.translate(str.maketrans("*:~^", "|>\n!"))
    assert read(other.encode()).asked == read(text.encode()).asked == read(text.replace("~", "~\r\n").encode()).asked


def test_binary_data_may_hold_any_delimiter() -> None:
    content = b"page one~IEA*1*000000001~\r\n\xff\x00*:"
    for guide in ATTACHMENTS:
        asked = read(attachment("MBR000204", "ACN-1", content, guide)).asked
        assert (asked.kind, asked.member_id) == ("attachment", "MBR000204")
        assert asked.documents == (AskedDocument("ACN-1", "09", hashlib.sha256(content).hexdigest()),)


def test_the_published_examples_are_read(shared: Path) -> None:
    folder = shared / "fixtures" / "x12" / "tr3"
    referral = read((folder / "278-x217-referral-request-for-review.edi").read_bytes()).asked
    assert (referral.trace, referral.referral, referral.diagnoses) == ("111099", True, ("41090",))
    admission = (folder / "278-x217-admission-request-for-review.edi").read_bytes()
    with pytest.raises(Rejected) as miscounted:  # its SE01 says 25, there are 26
        read(admission)
    assert miscounted.value.set_codes == ["4"]
    asked = read(admission.replace(b"SE*25*", b"SE*26*")).asked
    assert (asked.kind, asked.lines[0].code, asked.lines[0].date_from) == ("request", "33510", date(2005, 5, 16))
    for name in ("referral", "admission"):
        with pytest.raises(Rejected) as response:
            read(
                (folder / f"278-x217-{name}-response-to-request-for-review.edi")
                .read_bytes()
                .replace(b"SE*26", b"SE*27")
            )
        assert response.value.set_codes in (["4"], ["5"])


# --- strictness ---------------------------------------------------------------------------------------------------

Break = Callable[[str], str]


def swap(old: str, new: str) -> Break:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, 1)

    return change


def cut(row: str) -> Break:
    """Without a segment, but with a right count."""
    return lambda text: recount(swap(f"{row}~", "")(text))


def put(row: str, before: str) -> Break:
    return lambda text: recount(swap(f"{before}", f"{row}~{before}")(text))


def recount(text: str) -> str:
    segments = text.split("~")
    start = next(n for n, s in enumerate(segments) if s.startswith("ST*"))
    end = next(n for n, s in enumerate(segments) if s.startswith("SE*"))
    segments[end] = f"SE*{end - start + 1}*0001"
    return "~".join(segments)


TA1_BREAKS: dict[str, tuple[Break, str]] = {
    "control numbers differ": (swap("IEA*1*000000005", "IEA*1*000000006"), "001"),
    "version": (swap("*00501*", "*00401*"), "017"),
    "sender": (swap("LAKESIDE       ", " " * 15), "006"),
    "sender qualifier": (swap("*ZZ*LAKESIDE", "*XX*LAKESIDE"), "005"),
    "usage": (swap("*0*T*:", "*0*X*:"), "020"),
    "date": (swap("*260303*1500*^", "*261303*1500*^"), "014"),
    "groups": (swap("IEA*1*", "IEA*2*"), "021"),
    "no end": (lambda text: text[: text.index("IEA")], "023"),
    "control number": (lambda text: text.replace("000000005", "00000000A"), "018"),
    "control number of nought": (lambda text: text.replace("000000005", "000000000"), "018"),
    "two sets": (swap("GE*1*", "ST*278*0002*005010X217~SE*2*0002~GE*1*"), "024"),
}


@pytest.mark.parametrize("what", TA1_BREAKS)
def test_an_interchange_that_cannot_be_opened_is_a_ta1(what: str) -> None:
    change, code = TA1_BREAKS[what]
    with pytest.raises(TA1Rejected) as rejected:
        read(change(request(control=5)).encode())
    assert rejected.value.code == code


GROUP_BREAKS: dict[str, tuple[Break, list[str], list[str]]] = {
    "group control": (swap("GE*1*5", "GE*1*6"), ["4"], []),
    "group control with noughts": (
        lambda text: text.replace("*1500*5*X", "*1500*05*X").replace("GE*1*5", "GE*1*05"),
        ["6"],
        [],
    ),
    "group sender": (swap("GS*HI*LAKESIDE*", "GS*HI*LAKESIDE-ORTHOPEDICS*"), ["26"], []),
    "group time": (swap("*20260303*1500*5*X", "*20260303*2500*5*X"), ["26"], []),
    "set count": (swap("GE*1*5", "GE*2*5"), ["5"], []),
    "segment count": (swap("SE*2", "SE*1"), [], ["4"]),
    "set control": (lambda text: text.replace("*0001~GE", "*0002~GE"), [], ["3"]),
    "no SE": (lambda text: text[: text.index("SE*2")] + text[text.index("GE*1") :], [], ["2"]),
    "function": (swap("GS*HI", "GS*HC"), ["1"], []),
    "guide of the group": (swap("*X*005010X217", "*X*005010X222A1"), ["2"], []),
    "set": (swap("ST*278", "ST*837"), [], ["6"]),
    "guide of the set": (swap("ST*278*0001*005010X217", "ST*278*0001*005010X216"), [], ["5"]),
}


@pytest.mark.parametrize("what", GROUP_BREAKS)
def test_what_does_not_hold_together_is_a_999(what: str) -> None:
    change, group, transaction = GROUP_BREAKS[what]
    with pytest.raises(Rejected) as rejected:
        read(change(request(control=5)).encode())
    assert (rejected.value.group_codes, rejected.value.set_codes) == (group, transaction)


# One thing wrong, and where it is said: segment, loop, IK304, element, component, IK403.
BREAKS: dict[str, tuple[Break, tuple[str, str, str, int, int, str]]] = {
    "BHT01": (swap("BHT*0007", "BHT*0078"), ("BHT", "", "8", 1, 0, "7")),
    "BHT02": (swap("BHT*0007*13", "BHT*0007*11"), ("BHT", "", "8", 2, 0, "7")),
    "BHT04": (swap("*20260303*1500~HL", "*20260231*1500~HL"), ("BHT", "", "8", 4, 0, "8")),
    "no BHT": (lambda t: recount(t[: t.index("BHT")] + t[t.index("HL*1") :]), ("BHT", "", "3", 0, 0, "")),
    "HL01": (swap("HL*3*2*22", "HL*7*2*22"), ("HL", "2000C", "8", 1, 0, "7")),
    "HL02": (swap("HL*4*3*EV", "HL*4*2*EV"), ("HL", "2000E", "8", 2, 0, "7")),
    "HL03": (swap("HL*2*1*21", "HL*2*1*22"), ("HL", "2000B", "3", 0, 0, "")),
    "HL04": (swap("HL*4*3*EV*1", "HL*4*3*EV*0"), ("HL", "2000E", "8", 4, 0, "7")),
    "payer": (swap("NM1*X3", "NM1*PR"), ("NM1", "2010A", "8", 1, 0, "7")),
    "payer id": (swap("*****PI*HARBR", ""), ("NM1", "2010A", "8", 9, 0, "1")),
    "no requester": (cut(f"NM1*1P*2*LAKESIDE ORTHOPEDICS*****XX*{NPI}"), ("NM1", "2010B", "3", 0, 0, "")),
    "NPI": (swap(NPI, "1234567890"), ("NM1", "2010B", "8", 9, 0, "I12")),
    "ordering NPI": (swap(OTHER_NPI, "1982000007"), ("NM1", "2010EA", "8", 9, 0, "I12")),
    "member id": (swap("****MI*MBR000100", ""), ("NM1", "2010C", "8", 9, 0, "1")),
    "member id scheme": (swap("****MI*", "****XX*"), ("NM1", "2010C", "8", 8, 0, "7")),
    "birth date": (swap("D8*19700203", "D8*19700231"), ("DMG", "2010C", "8", 2, 0, "8")),
    "sex": (swap("19700203*F", "19700203*X"), ("DMG", "2010C", "8", 3, 0, "7")),
    "no TRN": (cut("TRN*1*TRACE1*1900000001"), ("TRN", "2000E", "3", 0, 0, "")),
    "TRN01": (swap("TRN*1*TRACE1*", "TRN*2*TRACE1*"), ("TRN", "2000E", "8", 1, 0, "7")),
    "TRN03": (swap("TRACE1*1900000001", "TRACE1*19000001"), ("TRN", "2000E", "8", 3, 0, "4")),
    "no UM": (cut("UM*HS*I*73*11:B"), ("UM", "2000E", "3", 0, 0, "")),
    "UM01": (swap("UM*HS", "UM*XX"), ("UM", "2000E", "8", 1, 0, "7")),
    "UM02": (swap("UM*HS*I", "UM*HS*5"), ("UM", "2000E", "8", 2, 0, "7")),
    "UM04": (swap("*11:B", "*11:C"), ("UM", "2000E", "8", 4, 2, "7")),
    "ICD-10 with a dot": (swap("ABK:G5601", "ABK:G56.01"), ("HI", "2000E", "8", 1, 2, "I12")),
    "HI qualifier": (swap("ABF:M5412", "BF:M5412"), ("HI", "2000E", "8", 2, 1, "7")),
    "HI for answers": (swap("ABF:M5412", "LOI:341099"), ("HI", "2000E", "8", 2, 1, "7")),
    "two principal": (swap("ABF:M5412", "ABK:M5412"), ("HI", "2000E", "8", 2, 1, "7")),
    "no service": (cut("SV1*HC:95886*0*UN*4"), ("SV1", "2000F", "3", 0, 0, "")),
    "SV1 scheme": (swap("SV1*HC:", "SV1*XX:"), ("SV1", "2000F", "8", 1, 1, "7")),
    "procedure": (swap("HC:95886", "HC:9588"), ("SV1", "2000F", "8", 1, 2, "I12")),
    "modifier": (swap("HC:95886", "HC:95886:R"), ("SV1", "2000F", "8", 1, 3, "I12")),
    "units": (swap("UN*4", "UN*FOUR"), ("SV1", "2000F", "8", 4, 0, "I12")),
    "no units": (swap("UN*4", "UN*0"), ("SV1", "2000F", "8", 4, 0, "I12")),
    "unit kind": (swap("UN*4", "XX*4"), ("SV1", "2000F", "8", 3, 0, "7")),
    "service date": (swap("472*D8*20260320", "472*D8*20260340"), ("DTP", "2000F", "8", 3, 0, "8")),
    "period": (swap("472*D8*20260320", "472*RD8*20260320-20260301"), ("DTP", "2000F", "8", 3, 0, "8")),
    "date qualifier": (swap("DTP*472", "DTP*999"), ("DTP", "2000F", "8", 1, 0, "7")),
    "out of order": (put("DTP*472*D8*20260321", "HL*5"), ("DTP", "2010EA", "2", 0, 0, "")),
    "HSD before HI": (put("HSD*VS*4", "HI*ABK"), ("HI", "2000E", "7", 0, 0, "")),
    "unknown segment": (put("ZZZ*1", "HI*ABK"), ("ZZZ", "2000E", "1", 0, 0, "")),
    "a decision": (put("HCR*A1*X", "HI*ABK"), ("HCR", "2000E", "1", 0, 0, "")),
    "two UM": (put("UM*HS*I*73*11:B", "HI*ABK"), ("UM", "2000E", "5", 0, 0, "")),
    "two events": (put("HL*5*3*EV*0~TRN*1*X1*1900000001~UM*HS*I*1", "SE*"), ("HL", "2000F", "4", 0, 0, "")),
    "control number": (put("PWK*09*EL***AC", "NM1*DK"), ("PWK", "2000E", "8", 6, 0, "2")),
    "report type": (put("PWK*ZZ*EL***AC*X12", "NM1*DK"), ("PWK", "2000E", "8", 1, 0, "7")),
    "too many elements": (swap("HI*ABK:G5601", "HI*ABK:G5601" + "*ABF:M5412" * 12), ("HI", "2000E", "8", 13, 0, "3")),
    "trailing separator": (swap("*ABF:M5412", "*ABF:M5412*"), ("HI", "2000E", "8", 3, 0, "1")),
    "BHT03": (swap("*13*TRACE1*", "*13**"), ("BHT", "", "8", 3, 0, "1")),
    "tax id": (swap("REF*EI*900000001", "REF*EI*90-0000001"), ("REF", "2010B", "8", 2, 0, "I12")),
    "phone with signs": (swap("TE*2165550101", "TE*216-555-0101"), ("PER", "2010B", "8", 4, 0, "I12")),
    "no phone": (swap("*TE*2165550101", "*TE"), ("PER", "2010B", "8", 4, 0, "2")),
    "no city": (put("N3*1 MAIN ST", "PER*IC"), ("N4", "2010B", "3", 0, 0, "")),
    "state": (put("N3*1 MAIN ST~N4*TOWN*oh*44101", "PER*IC"), ("N4", "2010B", "8", 2, 0, "I12")),
    "postal code": (put("N3*1 MAIN ST~N4*TOWN*OH*44101-1", "PER*IC"), ("N4", "2010B", "8", 3, 0, "I12")),
    "taxonomy": (put("PRV*AT*PXC*1234567890", "HL*3"), ("PRV", "2010B", "8", 3, 0, "I12")),
    "no taxonomy": (put("PRV*AT*PXC", "HL*3"), ("PRV", "2010B", "8", 3, 0, "2")),
    "who is insured": (put("INS*N*19", "HL*4"), ("INS", "2010C", "8", 1, 0, "7")),
    "blank at the end": (swap("TESTPERSON*", "TESTPERSON *"), ("NM1", "2010C", "8", 3, 0, "6")),
    "originator": (swap("TRACE1*1900000001", "TRACE1*1ABCDEFGHI"), ("TRN", "2000E", "8", 3, 0, "I12")),
    "description": (put("PWK*09*EL***AC*X12*" + "A" * 81, "NM1*DK"), ("PWK", "2000E", "8", 7, 0, "5")),
    "character": (swap("TESTPERSON", "T\u00c9STPERSON"), ("NM1", "2010C", "8", 3, 0, "6")),
}


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_wrong_is_said_with_its_place(what: str) -> None:
    change, place = BREAKS[what]
    with pytest.raises(Rejected) as rejected:
        read(change(request(trace="TRACE1", member="MBR000100")).encode())
    found = [(f.segment, f.loop, f.code, f.element, f.component, f.element_code) for f in rejected.value.faults]
    assert place in found, found


def test_a_999_says_the_place_on_the_wire(house: Clearinghouse) -> None:
    answer = house.ask(request().replace(NPI, "1234567890"))
    assert answer.one("GS")[1] == "FA"
    assert answer.one("AK2")[1:] == ["278", "0001", "005010X217"]
    assert answer.one("IK3") == ["IK3", "NM1", "6", "2010", "8"]
    assert answer.one("IK4") == ["IK4", "9", "", "I12"]
    assert answer.one("IK5") == ["IK5", "R", "5"]
    assert answer.one("AK9") == ["AK9", "R", "1", "1", "0"]
    assert "1234567890" not in answer.text
    assert house.control("GET", "requests")["items"] == []


def test_a_control_number_is_not_used_twice(house: Clearinghouse) -> None:
    assert house.ask(request(control=77)).actions() == ["A1"]
    assert house.ask(request(control=77)).one("TA1") == ["TA1", "000000077", "260303", "1500", "R", "025"]
    assert house.ask(request(control=78).replace("NORTHBRIDGE    ", "SOMEWHERE      ")).one("TA1")[5] == "009"
    assert house.ask(request(control=78)).actions() == ["A1"]


# --- the envelope -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("PayloadType", "X12_837", "PayloadTypeIllegal"),
        ("PayloadType", INQUIRY, "PayloadTypeIllegal"),
        ("PayloadType", "", "PayloadTypeRequired"),
        ("ProcessingMode", "Batch", "ProcessingModeIllegal"),
        ("PayloadID", "7", "PayloadIDIllegal"),
        ("TimeStamp", "today", "TimeStampIllegal"),
        ("SenderID", "", "SenderIDRequired"),
        ("CORERuleVersion", "2.2.0", "VersionMismatch"),
        ("Payload", "%%%", "Sender"),
    ],
)
def test_an_envelope_is_checked(house: Clearinghouse, field: str, value: str, code: str) -> None:
    fields = house.fields("X12_278_Request_005010X217E1_2", "RealTime", "")
    body = {**fields, "Payload": base64.b64encode(request().encode()).decode(), field: value}
    answer = house.post("realtime", body)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (400, code)


def test_who_is_not_known_is_not_let_in(house: Clearinghouse) -> None:
    house.http.auth = httpx.Auth()
    assert house.send(request()).status_code == 401


def test_mime_carries_the_same(house: Clearinghouse) -> None:
    house.http.auth = httpx.Auth()
    login = {"UserName": house.practice, "Password": "any"}
    fields = house.fields("X12_278_Request_005010X217E1_2", "RealTime", "", "2.2.0") | login
    files = {name: (None, value.encode()) for name, value in fields.items()}
    files["Payload"] = (None, request().encode())
    url = "/clearinghouses/northbridge/core/mime"
    answer = house.http.post(url, files=files, headers={"x-vigil-now": house.now.isoformat()})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("multipart/form-data")
    parts = answer.content.split(b"\r\n\r\n")
    assert b"Success" in answer.content
    assert Segments(parts[-1].rpartition(b"\r\n--")[0]).actions() == ["A1"]
    for changes, code in (
        ({"ProcessingMode": b""}, b"ProcessingModeRequired"),
        ({"Password": b""}, b"PasswordRequired"),
    ):
        wrong = house.http.post(url, files=files | {name: (None, value) for name, value in changes.items()})
        assert (wrong.status_code, code in wrong.content) == (400, True)
    # HTTP Basic is no part of this shape: the envelope names who asks.
    del files["UserName"]
    wrong = house.http.post(url, files=files, auth=(house.practice, "any"))
    assert b"UserNameRequired" in wrong.content


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"CheckSum": ""}, "CheckSumRequired"),
        ({"CheckSum": "0" * 40}, "ChecksumMismatched"),
        ({"PayloadLength": ""}, "PayloadLengthRequired"),
        ({"PayloadLength": "7"}, "PayloadLengthIllegal"),
    ],
)
def test_a_file_comes_with_its_length_and_checksum(house: Clearinghouse, changes: dict[str, str], code: str) -> None:
    raw = request(payer="BLSTM").encode()
    fields = house.fields("X12_278_Request_005010X217E1_2", "Batch", "") | of_a_file(raw)
    answer = house.post("batch/submit", {**fields, "Payload": base64.b64encode(raw).decode(), **changes})
    assert (answer.status_code, answer.json()["ErrorCode"]) == (400, code)


# --- payers -------------------------------------------------------------------------------------------------------


def test_an_approval_of_the_hmo_stands_at_the_event(house: Clearinghouse) -> None:
    answer = house.ask(request(trace="T-HARBOR", lines=(("95886", 4), ("95910", 1))))
    assert answer.text[3] == "|"
    assert answer.one("BHT")[1:4] == ["0007", "11", "T-HARBOR"]
    assert answer.all("TRN", "2")[0][2] == "T-HARBOR"
    hcr = answer.one("HCR")
    assert hcr[1] == "A1"
    assert hcr[2].startswith("HHA")
    assert answer.all("DTP") == [["DTP", "AAH", "RD8", "20260320-20260618"]]
    assert [segment[4] for segment in answer.all("SV1")] == ["4", "1"]
    assert answer.one("SE")[1] == str(answer.index(answer.one("SE")) - answer.index(answer.one("ST")) + 1)


@pytest.mark.parametrize(
    ("digits", "actions", "reasons"),
    [
        ("100", ["A1"], [""]),
        ("200", ["A4"], ["0V"]),
        ("202", ["A4"], ["0V"]),
        ("204", ["A4"], ["0U"]),
        ("300", ["A3"], ["0F"]),
        ("301", ["A3"], ["0T"]),
        ("401", ["A6"], [""]),
        ("402", ["A2"], [""]),
        ("600", ["ZZ"], [""]),
        ("810", ["A3"], ["0Q"]),
        ("900", ["NA"], [""]),
        ("901", ["CT"], [""]),
    ],
)
def test_scenarios(house: Clearinghouse, digits: str, actions: list[str], reasons: list[str]) -> None:
    answer = house.ask(request(digits))
    assert answer.actions() == actions
    assert [(segment + [""] * 3)[3] for segment in answer.all("HCR")] == reasons


def test_a_split_decision_is_told_by_line(house: Clearinghouse) -> None:
    answer = house.ask(request("400", lines=(("95886", 2), ("95910", 1))))
    assert answer.actions() == ["A1", "A3"]
    both = house.ask(request("400", payer="MERID", lines=(("95886", 2), ("95910", 1))))
    assert both.actions() == ["A2", "A1", "A3"]


def test_less_is_granted_than_was_asked(house: Clearinghouse) -> None:
    answer = house.ask(request("401"))
    assert answer.one("HSD") == ["HSD", "FL", "2"]
    assert answer.one("SV1")[4] == "2"


@pytest.mark.parametrize(("digits", "code", "follow_up"), [("500", "15", "C"), ("501", "75", "C"), ("502", "42", "P")])
def test_a_rejection_decides_nothing(house: Clearinghouse, digits: str, code: str, follow_up: str) -> None:
    member = f"MBR77{digits}"
    answer = house.ask(request(digits, member=member))
    assert answer.one("AAA") == ["AAA", "N", "", code, follow_up]
    assert answer.actions() == []
    assert house.ask(inquiry(member), INQUIRY).one("AAA")[3] == "AA"


def test_what_core_demands_and_an_unknown_payer(house: Clearinghouse) -> None:
    assert house.ask(request(born="")).one("AAA")[3] == "58"
    assert house.ask(request(born="", event="UM*HS*I*73*11:B**U")).actions() == ["A1"]
    assert house.ask(request(payer="NOBODY")).one("AAA")[3] == "79"


def test_a_second_create_is_a_duplicate(house: Clearinghouse) -> None:
    assert house.ask(request(trace="ONCE", member="MBR1100")).actions() == ["A1"]
    for again in (request(trace="ONCE", member="MBR1100", date="20260401"), request(trace="OTHER", member="MBR1100")):
        answer = house.ask(again)
        assert answer.one("HCR") == ["HCR", "A3", "", "0Q"]
    (held,) = house.control("GET", "requests")["items"]
    assert held["claim_identifier"] == "ONCE"
    assert house.control("GET", "received")["effects"]["duplicate_submits"] == 2


def test_documents_that_are_asked_for_bring_the_decision(house: Clearinghouse) -> None:
    member = "MBR5204"
    answer = house.ask(request("204", member=member))
    number = answer.one("PWK")[6]
    assert answer.one("TRN", "1")[2] == number
    assert answer.one("REF", "NT")[2].startswith("HHAP")
    receipt = house.ask(attachment(member, number, b"note ~ with delimiters"), ATTACHMENTS["006020X316"])
    assert receipt.one("AK9")[1] == "A"
    house.now += timedelta(days=2, hours=1)
    decided = house.ask(inquiry(member), INQUIRY)
    assert decided.one("ST")[3] == "005010X215"
    assert decided.actions() == ["A1"]


def test_an_update_and_a_cancel_find_the_request_by_its_number(house: Clearinghouse) -> None:
    member = "MBR6100"
    number = house.ask(request(member=member, trace="FIRST")).one("HCR")[2]
    change: dict[str, Any] = {"event": "UM*HS*S*73*11:B", "extra": (f"REF*BB*{number}",), "trace": "FIRST"}
    updated = house.ask(request(member=member, lines=(("95886", 6),), **change))
    assert (updated.actions(), updated.one("SV1")[4]) == (["A1"], "6")
    again = house.ask(request(member=member, lines=(("95886", 6),), **change))
    assert again.one("HCR") == updated.one("HCR")
    cancel: dict[str, Any] = {"event": "UM*HS*3*73*11:B", "extra": (f"REF*BB*{number}",), "trace": "FIRST.cancel"}
    cancelled = house.ask(request(member=member, **cancel))
    assert cancelled.actions() == ["C"]
    assert cancelled.all("TRN", "2")[0][2] == "FIRST.cancel"
    unknown = house.ask(request(member="MBR6999", event="UM*HS*3*73*11:B", extra=("REF*BB*NO",)))
    assert unknown.one("AAA")[3] == "T5"


def test_an_inquiry_is_narrowed_by_number_and_not_answered_to_others(house: Clearinghouse) -> None:
    member = "MBR8100"
    first = house.ask(request(member=member)).one("HCR")[2]
    house.ask(request(member=member, date="20260401"))
    assert len(house.ask(inquiry(member), INQUIRY).actions()) == 2
    assert house.ask(inquiry(member, extra=(f"REF*BB*{first}",)), INQUIRY).one("HCR")[2] == first
    stranger = inquiry(member).replace(NPI, OTHER_NPI)
    assert house.ask(stranger, INQUIRY).one("AAA")[3] == "AA"


def test_answers_can_be_wrong(house: Clearinghouse) -> None:
    assert house.send(request("601")).json()["ErrorCode"] == "Sender"
    assert house.send(request("602")).headers["content-type"].startswith("text/html")
    broken = house.ask(request("603"))
    assert broken.all("IEA") == []
    other = house.ask(request("604", trace="MINE"))
    assert other.one("NM1", "IL")[9] == "MBR000000000604"
    assert other.all("TRN", "2")[0][2] != "MINE"
    with pytest.raises(httpx.RemoteProtocolError):
        house.send(request("700", member="MBR9700", trace="LOST"))
    assert house.ask(inquiry("MBR9700"), INQUIRY).actions() == ["A1"]
    assert house.ask(request("820")).one("IK3")[1:] == ["NM1", "10", "2010", "8"]
    assert house.ask(request("821")).one("TA1")[4:] == ["R", "006"]


@pytest.mark.parametrize(("digits", "status"), [("702", 429), ("703", 500), ("822", 200)])
def test_trouble_passes(house: Clearinghouse, digits: str, status: int) -> None:
    member = f"MBR1{digits}"
    for _ in range(2):
        answer = house.send(request(digits, member=member, trace="TRY"))
        assert answer.status_code == status
        assert status != 200 or answer.json()["ErrorCode"] == "Receiver"
    assert house.ask(request(digits, member=member, trace="TRY")).actions() == ["A1"]


# --- batches ------------------------------------------------------------------------------------------------------


def test_a_batch_is_acknowledged_at_once_and_answered_later(house: Clearinghouse) -> None:
    refused = house.send(request(payer="BLSTM"))
    assert refused.json()["ErrorCode"] == "ProcessingModeIllegal"
    number = house.submit(request(payer="BLSTM", trace="BATCH"))
    first = house.pick_up(number)
    assert (first.one("AK9")[1], first.actions()) == ("A", [])
    house.now += timedelta(hours=5)
    later = house.pick_up(number)
    assert (later.one("AK9")[1], later.actions()) == ("A", ["A1"])
    assert house.pick_up(number) == later
    assert "~\r\n" in later.text
    assert later.one("NM1", "IL")[3:5] == ["testperson", "robin"]
    assert later.one("NM1", "1P")[3] == "lakeside o".strip()
    assert later.all("DTP", "007") == [["DTP", "007", "D8", "20260320"]]
    assert later.all("DTP", "036") == [["DTP", "036", "D8", "20260519"]]


def test_a_batch_that_is_sent_again_happens_once(house: Clearinghouse) -> None:
    payload, number = request(payer="BLSTM"), str(uuid.uuid4())
    for _ in range(2):
        house.submit(payload, payload_id=number)
    assert len(house.control("GET", "requests")["items"]) == 1
    raw = request(payer="BLSTM").encode()
    fields = house.fields("X12_278_Request_005010X217E1_2", "Batch", number) | of_a_file(raw)
    other = house.post("batch/submit", {**fields, "Payload": base64.b64encode(raw).decode()})
    assert other.json()["ErrorCode"] == "PayloadIDIllegal"


def test_a_batch_that_is_refused_says_so_at_pickup(house: Clearinghouse) -> None:
    assert house.pick_up(house.submit(request(payer="BLSTM").replace(NPI, "1234567890"))).one("IK5")[1] == "R"
    assert house.pick_up(house.submit(request("821", payer="BLSTM"))).one("TA1")[4] == "R"
    text = envelope(review_rows(payer="BLSTM"), "005010X217", "HI", wants_ta1="1")
    answer = house.pick_up(house.submit(text))
    assert [segment[0] for segment in answer if segment[0] in ("TA1", "AK9")] == ["TA1", "AK9"]


def test_what_the_payer_says_later_waits_in_the_mailbox(house: Clearinghouse) -> None:
    number = house.submit(request("203", payer="BLSTM", member="MBR4203"))
    lost = house.submit(request("201", payer="BLSTM", member="MBR4201"))
    house.now += timedelta(days=4)
    told = house.pick_up(number)
    assert told.actions() == ["A4", "A3"]
    assert house.pick_up(lost).actions() == ["A4"]
    assert house.ask(inquiry("MBR4201", payer="BLSTM"), INQUIRY).actions() == ["A1"]


def test_an_update_under_another_trace_takes_the_place_of_what_was_to_come(house: Clearinghouse) -> None:
    asked = house.ask(request("200", member="MBR2200", trace="T-1"))
    number = asked.one("REF", "NT")[2]
    change: dict[str, Any] = {"event": "UM*HS*S*73*11:B", "extra": (f"REF*NT*{number}",), "trace": "T-2"}
    assert house.ask(request("200", member="MBR2200", lines=(("95886", 2),), **change)).actions() == ["A4"]
    assert house.ask(request("200", member="MBR2200", trace="T-1", date="20260501")).one("HCR")[3] == "0Q"
    house.now += timedelta(days=4)
    told = house.pick_up()
    assert (told.actions(), told.one("TRN", "2", "T-2")[3], told.one("SV1")[4]) == (["A1"], "1900000001", "2")


def test_a_late_word_about_a_real_time_request_is_in_the_open_mailbox(house: Clearinghouse) -> None:
    pended = house.ask(request("800", member="MBR3800", trace="LATE"))
    assert pended.actions() == ["A4"]
    assert house.pick_up() == []
    house.now += timedelta(days=4)
    mine = str(uuid.uuid4())
    told = house.pick_up(mine)
    assert told.actions() == ["A1", "A4", "A1"]
    assert {segment[2] for segment in told.all("TRN", "2")} == {"LATE", "LATE-1"}
    assert house.pick_up(mine).actions() == ["A1", "A4", "A1"]
    assert house.pick_up() == []


# --- eligibility --------------------------------------------------------------------------------------------------


def test_eligibility_by_x12(house: Clearinghouse) -> None:
    active = house.ask(eligibility(), ELIGIBILITY)
    assert active.one("GS")[1] == "HB"
    assert ["EB", "1", "", "30", "", "SYNTHETIC PLAN"] in active
    assert ["EB", "B", "IND", "98", "", "", "27", "40", "", "", "", "", "Y"] in active
    assert house.ask(eligibility("000"), ELIGIBILITY).one("EB") == ["EB", "6", "", "30"]
    assert house.ask(eligibility("001"), ELIGIBILITY).one("AAA")[3:] == ["75", "C"]
    assert house.ask(eligibility("002"), ELIGIBILITY).one("AAA")[3:] == ["42", "P"]
    assert house.ask(eligibility(payer="NOBODY"), ELIGIBILITY).one("AAA")[3] == "79"


# --- others check what the sandbox writes -------------------------------------------------------------------------


def valid_by_pyx12(x12: bytes) -> bool:
    logging.disable(logging.CRITICAL)
    try:
        with tempfile.NamedTemporaryFile(suffix=".edi") as file:
            file.write(x12)
            file.flush()
            return bool(
                pyx12.x12n_document.x12n_document(
                    param=pyx12.params.params(),
                    src_file=file.name,
                    fd_997=io.StringIO(),
                    fd_html=None,
                    fd_xmldoc=None,
                    map_path=None,
                )
            )
    finally:
        logging.disable(logging.NOTSET)


def test_the_999_is_right_by_pyx12(house: Clearinghouse) -> None:
    accepted = house.pick_up(house.submit(request(payer="BLSTM"))).text
    rejected = house.ask(request().replace(NPI, "1234567890").replace("ABK:G5601", "ABK:G56.01")).text
    assert valid_by_pyx12(accepted.encode())
    assert valid_by_pyx12(rejected.encode())
    assert not valid_by_pyx12(rejected.replace("IK5*R", "IK5*Q").encode())


def test_the_271_is_right_by_x12sdk(house: Clearinghouse) -> None:
    text = house.ask(eligibility(payer="MERID"), ELIGIBILITY).text
    with X12ModelReader(text) as reader:
        (model,) = reader.models()
    assert model.x12(use_new_lines=False).replace("*0.", "*.") in text


# --- faults -------------------------------------------------------------------------------------------------------


def test_the_clearinghouse_can_be_down_for_a_day(house: Clearinghouse) -> None:
    until = house.now + timedelta(days=1)
    fault = {"system": "clearinghouses", "fault": "503", "until": until.isoformat()}
    assert house.ask(request()).actions() == ["A1"]
    house.control("POST", "faults", fault)
    for _ in range(3):
        assert house.send(request()).status_code == 503
    house.now = until + timedelta(minutes=1)
    assert house.ask(request()).actions() == ["A1"]
    assert house.control("GET", "faults")["items"] == []


def test_the_pickup_type_belongs_to_the_pickup(house: Clearinghouse) -> None:
    fields = house.fields(PICKUP, "Batch", "")
    assert house.post("batch/submit", {**fields, "Payload": ""}).json()["ErrorCode"] == "PayloadTypeIllegal"
