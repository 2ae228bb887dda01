"""Whether the elements of a placed segment are what the guides allow: presence, length, codes, dates, identifiers.

Codes are IK403 of the 999: 1 missing, 2 conditionally missing, 3 too many elements, 4 too short, 5 too long, 6 invalid
character, 7 invalid code, 8 invalid date, 9 invalid time, I12 pattern. Nothing of what was sent is repeated.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from sandbox.pas_check import luhn_npi
from sandbox.x12_grammar import ELEMENTS, Placed
from sandbox.x12_parse import Fault, Segment

MISSING, CONDITIONAL, TOO_MANY, TOO_SHORT, TOO_LONG, CHARACTER, CODE, DATE, TIME, PATTERN = (
    *("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    "I12",
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ICD10 = re.compile(r"[A-Z]\d[0-9A-Z][0-9A-Z]{0,4}")
ICD9 = re.compile(r"(\d{3}|V\d\d|E\d{3})\d{0,2}")
PROCEDURE = re.compile(r"[0-9A-Z]\d{3}[0-9A-Z]")
NUMBER = re.compile(r"\d{1,15}(\.\d{1,4})?")
ICD10_BEGINS = "20151001"
REPORT_TYPES = _words(
    "03 04 05 06 07 08 09 10 11 13 15 21 48 55 59 77 A3 A4 AM AS AT B2 B3 BR BS BT CB CK D2 DA DB DG DJ DS FM HC HR I5 IR "
    "LA M1 NN OB OC OD OE OX P4 P5 P6 P7 PE PN PO PQ PY PZ QC QR RB RR RT RX SG V5 XP"
)
SERVICE_TYPES = re.compile(r"[1-9]\d?|[A-Z][A-Z0-9]")
TRANSMISSIONS = _words("AA BM EL EM FT FX VO")
RELATIONS = _words("01 04 05 07 09 10 15 17 18 19 20 21 22 23 24 29 32 33 34 36 39 40 41 43 53 G8")
NEED_CONTROL_NUMBER = TRANSMISSIONS - {"AA"}


@dataclass(frozen=True)
class Element:
    """What one element must be. `codes` empty: any text of that length."""

    at: int
    required: bool = False
    least: int = 1
    most: int = 80
    codes: frozenset[str] = frozenset()
    pattern: str = ""


def _need(at: int, least: int = 1, most: int = 80, codes: str = "", pattern: str = "") -> Element:
    return Element(at, True, least, most, frozenset(codes.split()), pattern)


def _may(at: int, least: int = 1, most: int = 80, codes: str = "", pattern: str = "") -> Element:
    return Element(at, False, least, most, frozenset(codes.split()), pattern)


SEGMENTS: dict[str, tuple[int, tuple[Element, ...]]] = {
    "BHT": (6, (_need(1), _need(2), _need(3, 1, 50), _need(4, 8, 8), _need(5, 4, 8), _may(6, codes="RU"))),
    "HL": (4, (_need(1, most=12), _may(2, most=12), _need(3, most=2), _need(4, codes="0 1"))),
    "NM1": (
        12,
        (
            _need(1),
            _need(2, codes="1 2"),
            _may(3, most=60),
            _may(4, most=35),
            _may(5, most=25),
            _may(7, most=10),
            _may(9, 2, 80),
        ),
    ),
    "REF": (4, (_need(1, 2, 3), _need(2, 1, 50))),
    "N3": (2, (_need(1, most=55), _may(2, most=55))),
    "N4": (7, (_need(1, 2, 30), _may(2, 2, 2, pattern="[A-Z]{2}"), _may(3, 3, 15, pattern=r"\d{5}(\d{4})?"))),
    "PER": (9, (_need(1), _may(2, most=60), _may(3, codes="EM FX TE UR"), _may(5, codes="EM EX FX TE UR"))),
    "PRV": (
        6,
        (
            _need(1, codes="AD AS AT BI CO CV H HH LA OP OR OT P1 P2 PC PE PT R RF SB SK SU"),
            _may(2, codes="PXC"),
            _may(3, 10, 10, pattern=r"[0-9]{2}[0-9A-Z]{7}X"),
        ),
    ),
    "DMG": (11, (_need(1), _need(2, 8, 8), _may(3, codes="F M U"))),
    "INS": (17, (_need(1), _need(2, 2, 2, pattern=r"[0-9A-Z]{2}"))),
    "TRN": (4, (_need(1), _need(2, 1, 50), _may(3, 10, 10), _may(4, most=50))),
    "UM": (
        10,
        (
            _need(1),
            _may(2, codes="1 2 3 4 I N R S"),
            _may(3, pattern=SERVICE_TYPES.pattern),
            _may(6, codes="03 E U"),
            _may(9, codes="I M N O P Y"),
            _may(10, most=2),
        ),
    ),
    "DTP": (3, (_need(1), _need(2, codes="D8 RD8"), _need(3, 8, 17))),
    "HSD": (
        8,
        (
            _may(1, codes="DY FL HS MN VS"),
            _may(2, 1, 15, pattern=NUMBER.pattern),
            _may(3, codes="DA MO Q1 WK"),
            _may(4, 1, 6, pattern=NUMBER.pattern),
            _may(5, most=2),
            _may(6, most=3),
        ),
    ),
    "PWK": (
        9,
        (
            _need(1, codes=" ".join(sorted(REPORT_TYPES))),
            _need(2, codes=" ".join(sorted(TRANSMISSIONS))),
            _may(5, codes="AC"),
            _may(6, 2, 80),
            _may(7, most=80),
        ),
    ),
    "MSG": (3, (_need(1, most=264),)),
    "HI": (12, (_need(1),)),
    "SV1": (
        21,
        (
            _need(1),
            _may(2, most=18, pattern=NUMBER.pattern),
            _may(3, codes="F2 MJ UN"),
            _may(4, most=15, pattern=NUMBER.pattern),
        ),
    ),
    "SV2": (
        10,
        (_may(1, 4, 4), _may(2), _may(3, most=18), _may(4, codes="DA F2 UN"), _may(5, most=15, pattern=NUMBER.pattern)),
    ),
    "SV3": (11, (_need(1), _may(2, most=18), _may(6, most=15, pattern=NUMBER.pattern))),
    "CRC": (7, (_need(1), _need(2, codes="N Y"), _need(3, 2, 3))),
    "EQ": (5, ()),
    "BGN": (9, (_need(1), _need(2, 1, 50), _need(3, 8, 8))),
    "LX": (1, (_need(1, most=6, pattern=r"[1-9]\d{0,5}"),)),
    "BDS": (2, (_need(1, codes="ASC B64"), _need(2, most=15, pattern=r"\d+"))),
    "BIN": (1, (_need(1, most=15, pattern=r"\d+"),)),
}
IDENTIFIED = {"X3": "24 34 46 PI XV XX", "1P": "24 34 46 XX", "FA": "24 34 46 XX", "IL": "MI II", "QC": "MI II"}
PROVIDER_IDS = _words("24 34 46 XX MI PI XV FI SV PP II")


@dataclass
class Checks:
    """Faults of one segment."""

    placed: Placed
    day: str
    found: list[Fault] = field(default_factory=list)

    @property
    def segment(self) -> Segment:
        return self.placed.segment

    def add(self, element: int, code: str, component: int = 0) -> None:
        here = self.placed
        self.found.append(Fault(here.segment.id, here.position, here.loop, ELEMENTS, element, component, code))


def faults_of(placed: Placed, day: str) -> list[Fault]:
    """What is wrong in one segment; `day` is BHT04, by which it is known which diagnosis codes are in use."""
    checks = Checks(placed, day)
    _table(checks)
    if not checks.found:
        special = SPECIAL.get(placed.segment.id)
        if special is not None:
            special(checks)
    return checks.found


def _table(checks: Checks) -> None:
    segment = checks.segment
    most, elements = SEGMENTS.get(segment.id, (99, ()))
    if len(segment.elements) > most:
        checks.add(most + 1, TOO_MANY)
    for place, value in enumerate(segment.elements, 1):
        if not value.isascii() or not value.isprintable() or value != value.strip(" "):
            checks.add(place, CHARACTER)
    if segment.elements and segment.elements[-1] == "" and segment.data is None:
        checks.add(len(segment.elements), MISSING)
    for element in elements:
        value = segment.get(element.at)
        if not value.strip():
            if element.required or value:
                checks.add(element.at, MISSING)
        elif element.codes and value not in element.codes:
            checks.add(element.at, CODE)
        elif not element.codes and len(value) < element.least:
            checks.add(element.at, TOO_SHORT)
        elif not element.codes and len(value) > element.most:
            checks.add(element.at, TOO_LONG)
        elif element.pattern and not re.fullmatch(element.pattern, value):
            checks.add(element.at, PATTERN)


def read_date(text: str) -> date | None:
    """A CCYYMMDD date; None when it is none."""
    if not re.fullmatch(r"\d{8}", text):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a calendar day, no instant
    except ValueError:
        return None


def read_period(style: str, text: str) -> tuple[date, date] | None:
    """First and last day of a D8 or RD8 value; None when it is none, or ends before it begins."""
    first, dash, last = text.partition("-")
    if (style == "RD8") != bool(dash):
        return None
    days = (read_date(first), read_date(last or first))
    if days[0] is None or days[1] is None or days[1] < days[0]:
        return None
    return days[0], days[1]


def _day(place: int) -> Callable[[Checks], None]:
    def check(checks: Checks) -> None:
        if read_date(checks.segment.get(place)) is None:
            checks.add(place, DATE)

    return check


def _bht(checks: Checks) -> None:
    if read_date(checks.segment.get(4)) is None:
        checks.add(4, DATE)
    if not re.fullmatch(r"([01]\d|2[0-3])[0-5]\d([0-5]\d(\d\d)?)?", checks.segment.get(5)):
        checks.add(5, TIME)


def _nm1(checks: Checks) -> None:
    segment = checks.segment
    kind, scheme, value = segment.get(1), segment.get(8), segment.get(9)
    strict = kind in IDENTIFIED and checks.placed.loop.startswith("2010")
    allowed = frozenset(IDENTIFIED[kind].split()) if strict else PROVIDER_IDS
    if kind in ("X3", "1P", "IL", "PR") and not value:
        checks.add(9, MISSING)
    elif bool(scheme) != bool(value):
        checks.add(9 if scheme else 8, CONDITIONAL)
    elif scheme and scheme not in allowed:
        checks.add(8, CODE)
    elif scheme == "XX" and not luhn_npi(value):
        checks.add(9, PATTERN)
    if kind in ("IL", "QC") and segment.get(2) != "1":
        checks.add(2, CODE)
    if segment.get(2) == "2" and segment.get(4):
        checks.add(4, CODE)
    if kind == "QC" and not segment.get(3):
        checks.add(3, MISSING)


def _dtp(checks: Checks) -> None:
    if read_period(checks.segment.get(2), checks.segment.get(3)) is None:
        checks.add(3, DATE)


def _trn(checks: Checks) -> None:
    # TRN03 is ten characters: 1 and the tax id, 3 and a DUNS number, or 9 and what the parties agreed.
    originator = checks.segment.get(3)
    required = checks.placed.loop in ("2000E", "2000F")
    if required and not originator:
        checks.add(3, MISSING)
    elif originator and (originator[0] not in "139" or (originator[0] == "1" and not originator.isdigit())):
        checks.add(3, PATTERN)


def _um(checks: Checks) -> None:
    segment = checks.segment
    if checks.placed.loop == "2000E" and not segment.get(2):
        checks.add(2, MISSING)
    if checks.placed.loop == "2000E" and not segment.get(3) and segment.get(1) != "AR":
        checks.add(3, MISSING)
    if segment.get(4):
        if segment.part(4, 2) not in ("A", "B"):
            checks.add(4, CODE, 2)
        if not re.fullmatch(r"\d{2}", segment.part(4, 1)):
            checks.add(4, PATTERN, 1)


def _hi(checks: Checks) -> None:
    segment, seen = checks.segment, set()
    for place in range(1, len(segment.elements) + 1):
        kind, code = segment.part(place, 1), segment.part(place, 2)
        modern = kind in ("ABK", "ABF", "ABJ", "APR")
        old = kind in ("BK", "BF", "BJ", "PR") and checks.day < ICD10_BEGINS
        if not (modern or old or kind == "DR"):
            checks.add(place, CODE, 1)
        elif not code:
            checks.add(place, MISSING, 2)
        elif (modern and not ICD10.fullmatch(code)) or (old and not ICD9.fullmatch(code)):
            checks.add(place, PATTERN, 2)
        elif kind in ("ABK", "BK") and kind in seen:
            checks.add(place, CODE, 1)
        if segment.part(place, 3) or segment.part(place, 4):
            if segment.part(place, 3) != "D8":
                checks.add(place, CODE, 3)
            elif read_date(segment.part(place, 4)) is None:
                checks.add(place, DATE, 4)
        seen.add(kind)


def _procedure(place: int, kinds: str) -> Callable[[Checks], None]:
    def check(checks: Checks) -> None:
        segment = checks.segment
        if segment.id == "SV2" and not segment.get(1) and not segment.get(2):
            checks.add(1, CONDITIONAL)
        if not segment.get(place):
            return
        if segment.part(place, 1) not in kinds.split():
            checks.add(place, CODE, 1)
        if not segment.part(place, 2):
            checks.add(place, MISSING, 2)
        elif not PROCEDURE.fullmatch(segment.part(place, 2)):
            checks.add(place, PATTERN, 2)
        for component in range(3, 7):
            modifier = segment.part(place, component)
            if modifier and not re.fullmatch(r"[0-9A-Z]{2}", modifier):
                checks.add(place, PATTERN, component)
        amount = {"SV1": 4, "SV2": 5, "SV3": 6}[segment.id]
        if segment.get(amount) and float(segment.get(amount)) <= 0:
            checks.add(amount, PATTERN)
        if segment.id != "SV3" and bool(segment.get(amount)) != bool(segment.get(amount - 1)):
            checks.add(amount if segment.get(amount - 1) else amount - 1, CONDITIONAL)

    return check


def _per(checks: Checks) -> None:
    segment = checks.segment
    for place in (3, 5, 7):
        kind, number = segment.get(place), segment.get(place + 1)
        if bool(kind) != bool(number):
            checks.add(place + 1 if kind else place, CONDITIONAL)
        elif kind in ("TE", "FX") and not re.fullmatch(r"\d{10}", number):
            checks.add(place + 1, PATTERN)


def _prv(checks: Checks) -> None:
    if bool(checks.segment.get(2)) != bool(checks.segment.get(3)):
        checks.add(3 if checks.segment.get(2) else 2, CONDITIONAL)


def _ref(checks: Checks) -> None:
    if checks.segment.get(1) == "EI" and not re.fullmatch(r"\d{9}", checks.segment.get(2)):
        checks.add(2, PATTERN)


def _ins(checks: Checks) -> None:
    insured = checks.placed.loop in ("2010C", "2100C")
    if checks.segment.get(1) != ("Y" if insured else "N"):
        checks.add(1, CODE)
    if checks.segment.get(2) not in RELATIONS or (checks.segment.get(2) == "18") != insured:
        checks.add(2, CODE)


def _hsd(checks: Checks) -> None:
    segment = checks.segment
    if bool(segment.get(1)) != bool(segment.get(2)):
        checks.add(2 if segment.get(1) else 1, CONDITIONAL)


def _pwk(checks: Checks) -> None:
    segment = checks.segment
    if segment.get(2) in NEED_CONTROL_NUMBER and not segment.get(6):
        checks.add(6, CONDITIONAL)
    elif bool(segment.get(5)) != bool(segment.get(6)):
        checks.add(6 if segment.get(5) else 5, CONDITIONAL)


def _eq(checks: Checks) -> None:
    segment = checks.segment
    if not segment.get(1) and not segment.get(2):
        checks.add(1, CONDITIONAL)
    if segment.get(1) and not all(SERVICE_TYPES.fullmatch(code) for code in segment.repeats(1)):
        checks.add(1, CODE)


def _binary(checks: Checks) -> None:
    if not checks.segment.data:
        checks.add(2 if checks.segment.id == "BIN" else 3, MISSING)


SPECIAL: dict[str, Callable[[Checks], None]] = {
    "BHT": _bht,
    "BGN": _day(3),
    "NM1": _nm1,
    "DMG": _day(2),
    "DTP": _dtp,
    "TRN": _trn,
    "UM": _um,
    "HI": _hi,
    "SV1": _procedure(1, "HC N4 WK"),
    "SV2": _procedure(2, "HC ID WK ZZ"),
    "SV3": _procedure(1, "AD"),
    "HSD": _hsd,
    "INS": _ins,
    "PER": _per,
    "PRV": _prv,
    "REF": _ref,
    "PWK": _pwk,
    "EQ": _eq,
    "BIN": _binary,
    "BDS": _binary,
}


def across(placed: list[Placed]) -> Iterator[Fault]:
    """What only several segments together show."""
    events = [entry for entry in placed if entry.segment.id == "HL" and entry.segment.get(3) == "EV"]
    levels = [entry for entry in placed if entry.segment.id == "HL" and entry.segment.get(3) in ("22", "23", "EV")]
    reviewed = any(entry.segment.id == "HL" and entry.loop == "2000A" for entry in placed) and any(
        entry.loop == "2010A" for entry in placed
    )
    if reviewed and not events:
        last = placed[-1]
        yield Fault("HL", last.position + 1, "2000E", "3")
    if len(events) > 1:
        yield Fault("HL", events[1].position, "2000E", "4")
    for level in levels[:1]:
        if level.segment.get(3) == "EV":
            yield Fault("HL", level.position, "2000C", "3")
    for first, second in itertools.zip_longest(placed, placed[1:]):
        if first.segment.id == "N3" and (second is None or second.segment.id != "N4"):
            yield Fault("N4", first.position + 1, first.loop, "3")
    for entry in placed:
        if entry.segment.id == "HL" and entry.segment.get(3) == "SS":
            turn = entry.inside("2000F")
            inside = [other.segment.id for other in placed if other.inside("2000F") == turn]
            services = [name for name in inside if name in ("SV1", "SV2", "SV3")]
            if len(services) != 1:
                yield Fault("SV1", entry.position + 1, "2000F", "3" if not services else "5")
