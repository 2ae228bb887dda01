"""What the guides demand, as data: which loops and segments, in which order, how often, and with which qualifiers.

Sources: the public parts of 005010X217 (278 request), X215 (inquiry), X279A1 (270) and of the 275 (X211, X316), as far as
they are known without the licensed guides; what was not confirmed is marked (confirm) in docs/sandbox.md.
"""

from dataclasses import dataclass

MANY = 99


@dataclass(frozen=True)
class Rule:
    """A segment at its place. `codes` are those that its qualifier, element `at`, may have; empty where any may."""

    id: str
    codes: frozenset[str] = frozenset()
    required: bool = False
    most: int = 1
    at: int = 1

    def fits(self, name: str, value: str) -> bool:
        return name == self.id and (not self.codes or value in self.codes)


@dataclass(frozen=True)
class Loop:
    """A loop: the segment that opens it, then what may follow in this order."""

    name: str
    head: Rule
    body: tuple["Rule | Loop", ...] = ()


@dataclass(frozen=True)
class Guide:
    """One transaction set by one implementation guide."""

    set_id: str
    group: str
    purpose: frozenset[str]
    body: tuple[Rule | Loop, ...]


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _rule(name: str, codes: str = "", *, required: bool = False, most: int = 1, at: int = 1) -> Rule:
    return Rule(name, _codes(codes), required, most, at)


def _hl(level: str, *, required: bool = True, most: int = 1) -> Rule:
    return Rule("HL", frozenset({level}), required, most, at=3)


PROVIDER_REFS = "1G 1J CT EI N5 N7 SY ZH 0B G5"
PERSON_REFS = "1L 1W 6P EJ F6 HJ IG N6 NQ SY"
ADDRESS = (_rule("N3"), _rule("N4"))
PERSON = (_rule("REF", PERSON_REFS, most=9), *ADDRESS, _rule("DMG", "D8"), _rule("INS", "Y N"))
PROVIDER = (_rule("REF", PROVIDER_REFS, most=8), *ADDRESS, _rule("PER", "IC"), _rule("PRV"))
PROVIDERS = "71 72 73 77 AAJ DD DK DN FA G3 P3 QB QV SJ"
LINE_PROVIDERS = "1T 72 73 77 AAJ DD DK DN FA G3 P3 QB QV SJ"
EVENT_DATES = "439 484 ABC 431 AAH 435 096"
CONDITIONS = "07 08 09 11 75 76 77"

SERVICE = Loop(
    "2000F",
    _hl("SS", required=False, most=MANY),
    (
        _rule("TRN", "1", most=2),
        _rule("UM", "AR HS SC IN"),
        _rule("REF", "BB NT", most=2),
        _rule("DTP", "472"),
        _rule("SV1"),
        _rule("SV2"),
        _rule("SV3"),
        _rule("TOO", "JP", most=32),
        _rule("HSD"),
        _rule("PWK", most=10),
        _rule("MSG"),
        Loop("2010F", _rule("NM1", LINE_PROVIDERS, most=12), PROVIDER),
    ),
)


def _event(*, required: bool) -> Loop:
    return Loop(
        "2000E",
        _hl("EV", required=required),
        (
            _rule("TRN", "1", required=True, most=2),
            _rule("UM", "AR HS SC IN", required=True),
            _rule("REF", "BB NT", most=2),
            _rule("DTP", EVENT_DATES, most=7),
            _rule("HI"),
            _rule("HSD"),
            _rule("CRC", CONDITIONS, most=7),
            *(_rule(name) for name in ("CL1", "CR1", "CR2", "CR5", "CR6")),
            _rule("PWK", most=10),
            _rule("MSG"),
            Loop("2010EA", _rule("NM1", PROVIDERS, most=14), PROVIDER),
            Loop("2010EB", _rule("NM1", "45 FS ND PW R3", most=5), ADDRESS),
            Loop("2010EC", _rule("NM1", "CA"), (*ADDRESS, _rule("PER", "IC"))),
            SERVICE,
        ),
    )


DEPENDENT = Loop(
    "2000D",
    _hl("23", required=False),
    (Loop("2010D", _rule("NM1", "QC", required=True), PERSON), _event(required=True)),
)
REVIEW: tuple[Rule | Loop, ...] = (
    _rule("BHT", "0007", required=True),
    Loop(
        "2000A",
        _hl("20"),
        (
            Loop("2010A", _rule("NM1", "X3", required=True)),
            Loop(
                "2000B",
                _hl("21"),
                (
                    Loop("2010B", _rule("NM1", "1P FA", required=True), PROVIDER),
                    Loop(
                        "2000C",
                        _hl("22"),
                        (Loop("2010C", _rule("NM1", "IL", required=True), PERSON), DEPENDENT, _event(required=False)),
                    ),
                ),
            ),
        ),
    ),
)


ELIGIBLE = (
    _rule("REF", PERSON_REFS + " 18 IG SY", most=9),
    *ADDRESS,
    _rule("PRV"),
    _rule("DMG", "D8"),
    _rule("INS", "Y N"),
    _rule("HI"),
    _rule("DTP", "291 102", most=2),
)
ASKED_OF = Loop(
    "2110", _rule("EQ", most=MANY), (_rule("AMT", "R PB"), _rule("III"), _rule("REF", "9F G1"), _rule("DTP", "291"))
)

ELIGIBILITY: tuple[Rule | Loop, ...] = (
    _rule("BHT", "0022", required=True),
    Loop(
        "2000A",
        _hl("20"),
        (
            Loop("2100A", _rule("NM1", "2B 36 GP P5 PR", required=True)),
            Loop(
                "2000B",
                _hl("21"),
                (
                    Loop(
                        "2100B",
                        _rule("NM1", "1P 2B 36 80 FA GP P5 PR", required=True),
                        (_rule("REF", most=9), *ADDRESS, _rule("PRV")),
                    ),
                    Loop(
                        "2000C",
                        _hl("22"),
                        (
                            _rule("TRN", "1", most=2),
                            Loop("2100C", _rule("NM1", "IL", required=True), ELIGIBLE),
                            ASKED_OF,
                            Loop(
                                "2000D",
                                _hl("23", required=False),
                                (
                                    _rule("TRN", "1", most=2),
                                    Loop("2100D", _rule("NM1", "03", required=True), ELIGIBLE),
                                    ASKED_OF,
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
)


def _attachment(content: str) -> tuple[Rule | Loop, ...]:
    party = (
        _rule("REF", most=9),
        *ADDRESS,
        _rule("PER"),
        _rule("PRV"),
        _rule("DMG", "D8"),
        _rule("DTP", most=3),
    )
    return (
        _rule("BGN", "02 11", required=True),
        Loop("1000", _rule("NM1", "PR X3 40 41 1P FA IL QC", required=True, most=MANY), party),
        Loop(
            "2000",
            _rule("LX", required=True, most=MANY),
            (
                _rule("TRN", "1 2", required=True, most=2),
                _rule("STC", most=9),
                _rule("REF", most=9),
                _rule("DTP", most=9),
                Loop(
                    "2100",
                    _rule("CAT", required=True, most=MANY),
                    (_rule("OOI"), _rule("DTP", most=3), _rule("EFI"), _rule(content, required=True)),
                ),
            ),
        ),
    )


GUIDES: dict[str, Guide] = {
    "005010X217": Guide("278", "HI", _codes("13 01 36"), REVIEW),
    "005010X215": Guide("278", "HI", _codes("28"), REVIEW),
    "005010X279A1": Guide("270", "HS", _codes("13"), ELIGIBILITY),
    "005010X211": Guide("275", "PI", frozenset(), _attachment("BIN")),
    "006020X316": Guide("275", "PI", frozenset(), _attachment("BDS")),
}
