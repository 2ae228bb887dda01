"""Answers that are made to do harm by their size, their depth or what they say of their own length."""

import signal
import time
from collections.abc import Callable

from connectors.errors import Refused
from connectors.x12.attachment import read_attachments
from connectors.x12.segments import NotX12
from tests.fuzz import SECONDS, Offence, TooLong, try_one
from tests.fuzz_answers import RAILS, Granted

MB = 1_000_000
ISA = b"ISA*00*          *00*          *ZZ*NORTHBRIDGE    *ZZ*LAKESIDE       *260303*0910*^*00501*000000061*0*T*:~"
HEAD = ISA + b"GS*HI*A*B*20260303*0910*61*X*005010X217~ST*278*0001*005010X217~BHT*0007*11*R*20260303*0910*18~"
TAIL = b"SE*4*0001~GE*1*61~IEA*1*000000061~"


def x12_of(inner: bytes) -> bytes:
    return HEAD + inner + TAIL


def repeated(piece: bytes, size: int = 9 * MB) -> bytes:
    return piece * (size // len(piece))


def levels(count: int) -> bytes:
    return b"".join(b"HL*%d*%d*SS*1~" % (n, n + 1) for n in range(2, count))


JSON_BOMBS: dict[str, Callable[[], bytes]] = {
    "one text of 9 MB": lambda: b'{"resourceType":"ClaimResponse","disposition":"' + b"x" * 9 * MB + b'"}',
    "11 MB": lambda: b'{"resourceType":"ClaimResponse","x":"' + b"x" * 11 * MB + b'"}',
    "100,000 lists deep": lambda: b'{"item":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 objects deep": lambda: b'{"item":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "100,000 opened": lambda: b"[" * 100_000,
    "900 deep": lambda: (
        b'{"resourceType":"Bundle","entry":' + b'[{"resource":{"entry":' * 440 + b"1" + b"}}]" * 440 + b"}"
    ),
    "a number of a million digits": lambda: (
        b'{"resourceType":"ClaimResponse","item":[{"itemSequence":' + b"9" * MB + b"}]}"
    ),
    "a number of 4,000 digits": lambda: (
        b'{"resourceType":"ClaimResponse","item":[{"itemSequence":' + b"9" * 4000 + b"}]}"
    ),
    "a huge exponent": lambda: b'{"resourceType":"ClaimResponse","item":[{"itemSequence":1e999999999}]}',
    "a million items": lambda: b'{"resourceType":"ClaimResponse","item":[' + b"{}," * MB + b"{}]}",
    "a million procedures": lambda: b'{"id":"1","procedures":[' + b"{}," * MB + b"{}]}",
    "a million reviews": lambda: b'{"serviceReviews":[' + b"{}," * MB + b"{}]}",
    "100,000 answers": lambda: (
        b'{"resourceType":"Bundle","entry":[' + b'{"resource":{"resourceType":"ClaimResponse"}},' * 100_000 + b"{}]}"
    ),
    "100,000 parameters": lambda: b'{"resourceType":"Parameters","parameter":[' + b'{"name":"x"},' * 100_000 + b"{}]}",
    "a million keys": lambda: b"{" + b",".join(b'"k%d":0' % n for n in range(MB // 2)) + b"}",
    "entities": lambda: b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>',
    "9 MB of blanks": lambda: b" " * 9 * MB,
    "escapes": lambda: b'{"resourceType":"' + b"\\ud800" * MB + b'"}',
}
X12_BOMBS: dict[str, Callable[[], bytes]] = {
    "a million segments": lambda: x12_of(b"N3*A~" * MB),
    "two million blank segments": lambda: x12_of(b"~" * 2 * MB),
    "11 MB": lambda: x12_of(repeated(b"MSG*X~", 11 * MB)),
    "one segment of 9 MB": lambda: x12_of(b"MSG*" + b"x" * 9 * MB + b"~"),
    "a million elements": lambda: x12_of(b"MSG" + b"*x" * MB + b"~"),
    "a million repetitions": lambda: x12_of(b"HCR*A4**" + b"0U^" * MB + b"~"),
    "a million components": lambda: x12_of(b"SV1*" + b"HC:" * MB + b"~"),
    "many wide segments": lambda: x12_of(repeated(b"HI" + b"*ABK:M5416" * 300 + b"~")),
    "49,000 levels in a row": lambda: x12_of(levels(49_000)),
    "49,000 levels in a circle": lambda: x12_of(
        b"".join(b"HL*%d*%d*SS*1~" % (n, n % 49_000 + 1) for n in range(1, 49_000))
    ),
    "49,000 events": lambda: x12_of(
        b"HL*1**20*1~HL*2*1*21*1~HL*3*2*22*1~" + b"".join(b"HL*%d*3*EV*0~" % n for n in range(4, 49_000))
    ),
    "24,000 decided lines": lambda: x12_of(
        b"HL*1**20*1~HL*2*1*21*1~HL*3*2*22*1~HL*4*3*EV*1~"
        + b"".join(b"HL*%d*4*SS*0~HCR*A3~" % n for n in range(5, 24_000))
    ),
    "20,000 transactions": lambda: ISA + b"GS*HI*A*B*20260303*0910*61*X*005010X217~" + b"ST*278*1~SE*2*1~" * 20_000,
    "40,000 groups": lambda: ISA + b"GS*HI~" * 40_000,
    "40,000 interchanges": lambda: ISA * 40_000,
    "a BIN that says it is larger": lambda: x12_of(b"BIN*999999999*" + b"x" * MB + b"~"),
    "a BIN that says it is smaller": lambda: x12_of(b"BIN*3*" + b"x" * MB + b"~"),
    "a BIN of no length": lambda: x12_of(b"BIN**" + b"x" * MB + b"~"),
    "a BIN of a length of a million digits": lambda: x12_of(b"BIN*" + b"9" * MB + b"*x~"),
    "a negative BIN": lambda: x12_of(b"BIN*-5*xxxxx~"),
    "40,000 BINs": lambda: x12_of(b"BIN*1*x~" * 40_000),
    "40,000 BINs without end": lambda: x12_of(b"BIN*1" * 40_000),
    "a count of a million digits": lambda: HEAD + b"SE*" + b"9" * MB + b"*0001~GE*1*61~IEA*1*000000061~",
    "a delimiter everywhere": lambda: ISA + b"*" * 9 * MB,
    "40,000 acknowledged": lambda: (
        ISA
        + b"GS*FA*A*B*20260303*0910*61*X*005010X231A1~ST*999*0001~AK1*HI*1~"
        + b"AK2*278*1~IK5*R~" * 20_000
        + b"AK9*R*1*1*0~SE*9*0001~GE*1*61~IEA*1*000000061~"
    ),
    "20,000 benefits": lambda: (
        ISA
        + b"GS*HB*A*B*20260303*0910*61*X*005010X279A1~ST*271*0001~HL*3**22*0~NM1*IL*1*X*Y****MI*MER000100~"
        + b"EB*C*IND*30***29*%d~" % 7 * 40_000
        + b"SE*40004*0001~GE*1*61~IEA*1*000000061~"
    ),
}


def go_off(name: str, *, everywhere: bool = True) -> list[str]:
    """What readers do wrong with a bomb; for a process that `fuzz.bounded` has bounded.

    Not `everywhere`: of X12, whose readers share all that lies below them, only where it is meant to go off.
    """
    is_json = name in JSON_BOMBS
    body = (JSON_BOMBS if is_json else X12_BOMBS)[name]()
    meant = {"40,000 acknowledged": "acknowledgments", "20,000 benefits": "benefits"}.get(name, "x12")
    wrong: list[str] = []
    for rail in RAILS.values():
        if rail.is_json is not is_json or not (everywhere or is_json or rail.name == meant):
            continue
        signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
        try:
            try_one(rail, body, Granted(), 200)
        except Offence as offence:
            wrong.append(f"{rail.name}: {offence}")
        except TooLong:
            wrong.append(f"{rail.name}: it does not come to an end")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return wrong if is_json else wrong + _attachments(body)


def _attachments(body: bytes) -> list[str]:
    began = time.process_time()
    try:
        larger = sum(len(one.content) for one in read_attachments(body)) > len(body)
    except (Refused, NotX12):
        larger = False
    slow = time.process_time() - began > SECONDS
    return ["attachments: larger than they came"] * larger + ["attachments: too slow"] * slow
