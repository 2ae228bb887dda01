"""X12 messages written by hand, and a practice that sends them to the sandbox's clearinghouse."""

import base64
import hashlib
import itertools
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx

START = datetime(2026, 3, 3, 15, 0, tzinfo=UTC)  # a Tuesday
NPI, OTHER_NPI = "1234567893", "1982000006"
REQUEST, INQUIRY, ELIGIBILITY = (
    "X12_278_Request_005010X217E1_2",
    "X12_278_Request_005010X215E1",
    "X12_270_Request_005010X279A1",
)
ATTACHMENTS = {"005010X211": "X12_275_Request_005010X211", "006020X316": "X12_275_Request_006020X316"}
PICKUP = "X12_005010_Request_Batch_Results_278"
_controls = itertools.count(1)

Rows = list[str]


def envelope(
    rows: Rows, guide: str, group: str, *, control: int = 0, sender: str = "LAKESIDE", wants_ta1: str = "0"
) -> str:
    """`rows` between ST and SE with everything around them."""
    control = control or next(_controls)
    set_id = {"HI": "278", "HS": "270", "PI": "275"}[group]
    isa = f"ISA*00*{'':10}*00*{'':10}*ZZ*{sender:<15}*ZZ*{'NORTHBRIDGE':<15}*260303*1500*^*00501*{control:09d}*{wants_ta1}*T*:~"
    inner = [f"ST*{set_id}*0001*{guide}", *rows, f"SE*{len(rows) + 2}*0001"]
    return (
        isa
        + f"GS*{group}*{sender}*NORTHBRIDGE*20260303*1500*{control}*X*{guide}~"
        + "".join(f"{row}~" for row in inner)
        + f"GE*1*{control}~IEA*1*{control:09d}~"
    )


def review_rows(
    suffix: str = "100",
    *,
    payer: str = "HARBR",
    trace: str = "",
    member: str = "",
    lines: tuple[tuple[str, int], ...] = (("95886", 4),),
    event: str = "UM*HS*I*73*11:B",
    extra: tuple[str, ...] = (),
    date: str = "20260320",
    purpose: str = "13",
    born: str = "DMG*D8*19700203*F",
) -> Rows:
    """A 278 request from BHT on; the member id ends in `suffix`. `extra` follows UM."""
    trace = trace or f"T{uuid.uuid4().hex[:20]}"
    member = member or f"MBR{uuid.uuid4().int % 10**6:06d}{suffix}"
    rows = [
        f"BHT*0007*{purpose}*{trace}*20260303*1500",
        "HL*1**20*1",
        f"NM1*X3*2*TEST PAYER*****PI*{payer}",
        "HL*2*1*21*1",
        f"NM1*1P*2*LAKESIDE ORTHOPEDICS*****XX*{NPI}",
        "REF*EI*900000001",
        "PER*IC*ANNA*TE*2165550101",
        "HL*3*2*22*1",
        f"NM1*IL*1*TESTPERSON*ROBIN****MI*{member}",
        *([born] if born else []),
        f"HL*4*3*EV*{1 if lines else 0}",
        f"TRN*1*{trace}*1900000001",
        event,
        *extra,
        "HI*ABK:G5601*ABF:M5412",
        f"NM1*DK*1*DOE*DANA****XX*{OTHER_NPI}",
    ]
    for place, (code, units) in enumerate(lines, 1):
        rows += [
            f"HL*{4 + place}*4*SS*0",
            f"TRN*1*{trace}-{place}*1900000001",
            f"DTP*472*D8*{date}",
            f"SV1*HC:{code}*0*UN*{units}",
        ]
    return rows


def request(suffix: str = "100", *, control: int = 0, **parts: Any) -> str:
    """A whole 278 request."""
    return envelope(review_rows(suffix, **parts), "005010X217", "HI", control=control)


def inquiry(member: str, *, payer: str = "HARBR", extra: tuple[str, ...] = (), trace: str = "") -> str:
    """A whole 278 inquiry about a member's requests."""
    rows = review_rows(payer=payer, member=member, trace=trace, extra=extra, purpose="28", lines=())
    return envelope(rows, "005010X215", "HI")


def attachment(member: str, number: str, content: bytes, guide: str = "006020X316", payer: str = "HARBR") -> bytes:
    """A whole 275 with one document."""
    rows = [
        f"BGN*11*A{number}*20260304",
        f"NM1*PR*2*TEST PAYER*****PI*{payer}",
        f"NM1*1P*2*LAKESIDE ORTHOPEDICS*****XX*{NPI}",
        f"NM1*QC*1*TESTPERSON*ROBIN****MI*{member}",
        "LX*1",
        f"TRN*2*{number}",
        "CAT*09*TX",
        "@",
    ]
    encoded = base64.b64encode(content) if guide == "006020X316" else content
    head = f"BDS*B64*{len(encoded)}*" if guide == "006020X316" else f"BIN*{len(encoded)}*"
    before, after = envelope(rows, guide, "PI").split("@")
    return before.encode() + head.encode() + encoded + after.encode()


def eligibility(suffix: str = "100", *, payer: str = "HARBR") -> str:
    """A whole 270."""
    rows = [
        "BHT*0022*13*ELG1*20260303*1500",
        "HL*1**20*1",
        f"NM1*PR*2*TEST PAYER*****PI*{payer}",
        "HL*2*1*21*1",
        f"NM1*1P*2*LAKESIDE ORTHOPEDICS*****XX*{NPI}",
        "HL*3*2*22*0",
        "TRN*1*ELGTRACE1*1900000001",
        f"NM1*IL*1*TESTPERSON*ROBIN****MI*MBR000{suffix}",
        "DMG*D8*19700203*F",
        "DTP*291*D8*20260303",
        "EQ*30^73",
    ]
    return envelope(rows, "005010X279A1", "HS")


def of_a_file(payload: bytes) -> dict[str, str]:
    """Length and checksum, as CORE wants them with a batch."""
    return {"PayloadLength": str(len(payload)), "CheckSum": hashlib.sha1(payload, usedforsecurity=False).hexdigest()}


class Segments(list[list[str]]):
    """An answer, split by the delimiters that its ISA declares."""

    def __init__(self, payload: bytes) -> None:
        text = payload.decode()
        self.text = text
        mark, end = text[3:4], text[105:106]
        super().__init__(part.split(mark) for part in text.replace("\r\n", "").split(end or "~") if part)

    def all(self, *start: str) -> list[list[str]]:
        return [segment for segment in self if segment[: len(start)] == list(start)]

    def one(self, *start: str) -> list[str]:
        (found,) = self.all(*start)
        return found

    def actions(self) -> list[str]:
        return [segment[1] for segment in self.all("HCR")]


class Clearinghouse:
    """A practice at the clearinghouse, with the clock that it tells."""

    def __init__(self, url: str) -> None:
        self.practice = f"x{uuid.uuid4().hex[:12]}"
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=30, auth=(self.practice, "any"))
        self.now = START

    def fields(self, payload_type: str, mode: str, payload_id: str, version: str = "4.0.0") -> dict[str, str]:
        return {
            "PayloadType": payload_type,
            "ProcessingMode": mode,
            "PayloadID": payload_id or str(uuid.uuid4()),
            "TimeStamp": "2026-03-03T15:00:00Z",
            "SenderID": "LAKESIDE",
            "ReceiverID": "NORTHBRIDGE",
            "CORERuleVersion": version,
        }

    def post(self, path: str, body: dict[str, str]) -> httpx.Response:
        headers = {"x-vigil-now": self.now.isoformat()}
        return self.http.post(f"/clearinghouses/northbridge/core/rest/{path}", json=body, headers=headers)

    def send(self, payload: str | bytes, payload_type: str = REQUEST) -> httpx.Response:
        raw = payload.encode() if isinstance(payload, str) else payload
        fields = self.fields(payload_type, "RealTime", "")
        return self.post("realtime", {**fields, "Payload": base64.b64encode(raw).decode()})

    def ask(self, payload: str | bytes, payload_type: str = REQUEST) -> Segments:
        answer = self.send(payload, payload_type)
        body = answer.json()
        assert (answer.status_code, body["ErrorCode"]) == (200, "Success"), body
        return Segments(base64.b64decode(body["Payload"]))

    def submit(self, payload: str | bytes, payload_type: str = REQUEST, payload_id: str = "") -> str:
        raw = payload.encode() if isinstance(payload, str) else payload
        fields = self.fields(payload_type, "Batch", payload_id) | of_a_file(raw)
        answer = self.post("batch/submit", {**fields, "Payload": base64.b64encode(raw).decode()})
        assert (answer.status_code, answer.json()["ErrorCode"]) == (202, "Success"), answer.text
        return fields["PayloadID"]

    def pick_up(self, payload_id: str = "") -> Segments:
        answer = self.post("batch/pickup", {**self.fields(PICKUP, "Batch", payload_id), "Payload": ""}).json()
        assert answer["ErrorCode"] == "Success"
        return Segments(base64.b64decode(answer["Payload"]))

    def control(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, f"/control/practices/{self.practice}/{path}", json=body).raise_for_status()
        return answer.json() if answer.content else None
