"""X12 as a payer reads it: a 278 request or inquiry, a 275 or a 270 becomes an `Asked`, or a reject with its place.

An independent reading: whatever stands in the message is taken at its word, nothing is guessed. Everything that
`x12_guides` and `x12_values` demand is checked first.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, replace

from sandbox.asked import SELF, Asked, AskedDocument, AskedLine, Kind, Person, Urgency
from sandbox.x12_grammar import Placed, place
from sandbox.x12_guides import GUIDES, Guide
from sandbox.x12_parse import Fault, Opened, Rejected, Segment, open_interchange
from sandbox.x12_values import across, faults_of, read_date, read_period

FUNCTIONS = {"HI", "HS", "PI"}
LONGEST_PARTY = 15
TIME = re.compile(r"([01]\d|2[0-3])[0-5]\d([0-5]\d(\d\d)?)?")
URGENCIES: dict[str, Urgency] = {"U": "urgent", "03": "stat"}
CERTIFICATIONS: dict[str, Kind] = {"I": "request", "3": "cancel"}
COUNTED = frozenset({"VS", "DY"})
"""What is counted where it is no plain unit (X12 673)."""
DIAGNOSES = ("ABK", "ABJ", "APR", "ABF", "BK", "BJ", "PR", "BF")
"""In the order in which a diagnosis counts: principal, admitting, reason, other."""


@dataclass(frozen=True)
class Message:
    """A message that was accepted: what was asked, and what an answer must repeat.

    `reference`: BHT03 or BGN02. `line_traces`: TRN02 of each line, empty where it has none. `category`, `certification`,
    `service_type`: UM01 to UM03 of the event. `withdrawn`: lines that an update takes back (UM02 3).
    """

    opened: Opened
    asked: Asked
    reference: str
    line_traces: tuple[str, ...]
    category: str
    certification: str
    service_type: str
    withdrawn: tuple[AskedLine, ...] = ()

    @property
    def guide(self) -> str:
        """The implementation guide, by GS08."""
        return self.opened.guide

    @property
    def acknowledge(self) -> bool:
        """Whether the sender wants a TA1."""
        return self.opened.isa.get(14) == "1"


def read(body: bytes) -> Message:
    """Read one interchange. Raises TA1Rejected, or Rejected with every place that is wrong."""
    opened = open_interchange(body)
    guide = _guide(opened)
    placed, faults = place(opened.segments[1:-1], guide)
    day = next((entry.segment.get(4) for entry in placed if entry.segment.id == "BHT"), "")
    for entry in placed:
        faults += faults_of(entry, day)
        if entry.segment.id == "BHT" and guide.purpose and entry.segment.get(2) not in guide.purpose:
            faults.append(Fault("BHT", entry.position, "", "8", 2, 0, "7"))
    if not faults:
        faults += across(placed)
    if not faults:
        faults += _content(placed)
    if faults:
        raise Rejected(sorted(faults, key=lambda fault: (fault.position, fault.element)), ["5"], [], opened)
    return _message(opened, placed)


def _guide(opened: Opened) -> Guide:
    """The guide that the group names. Raises Rejected where group, set and guide do not fit together."""
    gs, st = opened.gs, opened.st
    guide = GUIDES.get(gs.get(8))
    if gs.get(1) not in FUNCTIONS:
        raise Rejected(group_codes=["1"], opened=opened)
    if guide is None or gs.get(1) != guide.group or gs.get(7) != "X":
        raise Rejected(group_codes=["2"], opened=opened)
    names = all(2 <= len(gs.get(place).strip()) <= LONGEST_PARTY for place in (2, 3))  # noqa: PLR2004 - GS02 has two to fifteen
    if not names or read_date(gs.get(4)) is None or not TIME.fullmatch(gs.get(5)):
        raise Rejected(group_codes=["26"], opened=opened)
    if st.get(1) != guide.set_id:
        raise Rejected(set_codes=["6"], opened=opened)
    if st.get(3) != gs.get(8):
        raise Rejected([Fault("ST", 1, "", "8", 3, 0, "I6")], ["5"], [], opened)
    return guide


def _content(placed: list[Placed]) -> list[Fault]:
    """A BDS in Base64 must be Base64."""
    faults = []
    for entry in placed:
        if entry.segment.id == "BDS" and entry.segment.get(1) == "B64":
            try:
                base64.b64decode(entry.segment.data or b"", validate=True)
            except binascii.Error:
                faults.append(Fault("BDS", entry.position, entry.loop, "8", 3, 0, "6"))
    return faults


class _Found:
    """The segments of an accepted transaction set, found by loop."""

    def __init__(self, placed: list[Placed]) -> None:
        self.placed = placed

    def all(self, name: str, *loops: str, first: str = "", line: int = 0) -> list[Segment]:
        """Segments of that id in those loops; `first` is element 1; `line` is a turn of loop 2000F."""
        return [
            entry.segment
            for entry in self.placed
            if entry.segment.id == name
            and (not loops or entry.loop in loops)
            and (not first or entry.segment.get(1) == first)
            and entry.inside("2000F") == line
        ]

    def one(self, name: str, *loops: str, first: str = "", line: int = 0) -> Segment:
        """The first of them, or an empty segment."""
        return next(iter(self.all(name, *loops, first=first, line=line)), Segment(name, ()))


def _message(opened: Opened, placed: list[Placed]) -> Message:
    found = _Found(placed)
    if opened.st.get(1) == "275":
        asked, reference = _attachment(found), found.one("BGN").get(2)
    elif opened.st.get(1) == "270":
        asked, reference = _eligibility(found), found.one("BHT").get(3)
    else:
        asked, reference = _review(opened, found), found.one("BHT").get(3)
    um = found.one("UM", "2000E")
    gone = _withdrawn(found, asked) if asked.kind == "update" else frozenset()
    traces = tuple(
        found.one("TRN", "2000F", line=line.sequence).get(2) for line in asked.lines if line.sequence not in gone
    )
    kept = [line for line in asked.lines if line.sequence not in gone]
    withdrawn = tuple(line for line in asked.lines if line.sequence in gone)
    asked = replace(asked, lines=tuple(replace(line, sequence=place) for place, line in enumerate(kept, start=1)))
    return Message(opened, asked, reference, traces, um.get(1), um.get(2), um.get(3), withdrawn)


def _withdrawn(found: _Found, asked: Asked) -> frozenset[int]:
    """The places of the lines that an update does not want any more."""
    return frozenset(n for n in range(1, len(asked.lines) + 1) if found.one("UM", "2000F", line=n).get(2) == "3")


def _person(found: _Found, loop: str, name: Segment, relationship: str) -> Person:
    demographics = found.one("DMG", loop)
    return Person(
        family=name.get(3).strip(),
        given=" ".join(part for part in (name.get(4).strip(), name.get(5).strip()) if part),
        birth_date=read_date(demographics.get(2)),
        sex=demographics.get(3),
        relationship=relationship,
    )


def _npi(*candidates: Segment) -> str:
    return next((segment.get(9) for segment in candidates if segment.get(8) == "XX"), "")


def _name(name: Segment) -> str:
    return ", ".join(part.strip() for part in (name.get(3), name.get(4)) if part.strip())


def _kind(opened: Opened, um: Segment, bht: Segment) -> Kind:
    if opened.guide == "005010X215":
        return "inquiry"
    if bht.get(2) == "01":
        return "cancel"
    return CERTIFICATIONS.get(um.get(2), "update")


def _review(opened: Opened, found: _Found) -> Asked:
    um, trace = found.one("UM", "2000E"), found.one("TRN", "2000E")
    subscriber, dependent, requester = found.one("NM1", "2010C"), found.one("NM1", "2010D"), found.one("NM1", "2010B")
    patient = None
    if dependent.elements:
        patient = _person(found, "2010D", dependent, found.one("INS", "2010D").get(2))
    providers = {kind: _npi(*found.all("NM1", "2010EA", first=kind)) for kind in ("DK", "SJ", "FA")}
    lines = tuple(
        _line(found, turn, um) for turn in range(1, len([e for e in found.placed if e.segment.get(3) == "SS"]) + 1)
    )
    for turn in range(1, len(lines) + 1):
        for kind, npi in providers.items():
            providers[kind] = npi or _npi(*found.all("NM1", "2010F", first=kind, line=turn))
    return Asked(
        kind=_kind(opened, um, found.one("BHT")),
        trace=trace.get(2),
        originator=trace.get(3),
        payer=found.one("NM1", "2010A").get(9),
        requester_npi=_npi(requester),
        requester_name=_name(requester),
        member_id=subscriber.get(9),
        subscriber=_person(found, "2010C", subscriber, SELF),
        patient=patient,
        ordering_npi=providers["DK"],
        rendering_npi=providers["SJ"],
        facility_npi=providers["FA"],
        diagnoses=_diagnoses(found.one("HI", "2000E")),
        urgency=URGENCIES.get(um.get(6), "routine"),
        referral=um.get(1) == "SC",
        lines=lines,
        documents=_announced(found, len(lines)),
        prior_numbers=tuple(dict.fromkeys(r.get(2) for turn in range(len(lines) + 1) for r in _priors(found, turn))),
        message=found.one("MSG", "2000E").get(1),
    )


def _priors(found: _Found, turn: int) -> list[Segment]:
    return found.all("REF", "2000F" if turn else "2000E", line=turn)


def _announced(found: _Found, lines: int) -> tuple[AskedDocument, ...]:
    segments = found.all("PWK", "2000E")
    for turn in range(1, lines + 1):
        segments += found.all("PWK", "2000F", line=turn)
    return tuple(AskedDocument(pwk.get(6), pwk.get(1)) for pwk in segments)


def _diagnoses(hi: Segment) -> tuple[str, ...]:
    """Those of an HI segment, the principal one first."""
    pairs = [(hi.part(place, 1), hi.part(place, 2)) for place in range(1, len(hi.elements) + 1)]
    known = [pair for pair in pairs if pair[0] in DIAGNOSES]
    ranked = sorted(known, key=lambda pair: pair[0] not in ("ABK", "BK"))
    return tuple(code for _, code in ranked)


def _line(found: _Found, turn: int, event: Segment) -> AskedLine:
    service, place, amount = Segment("SV1", ()), 1, 4
    for name, at, quantity in (("SV1", 1, 4), ("SV2", 2, 5), ("SV3", 1, 6)):
        candidate = found.one(name, "2000F", line=turn)
        if candidate.elements:
            service, place, amount = candidate, at, quantity
    own, dates = found.one("UM", "2000F", line=turn), found.one("DTP", "2000F", line=turn)
    period = read_period(dates.get(2), dates.get(3)) if dates.elements else None
    counted = found.one("HSD", "2000F", line=turn).get(1)
    units = service.get(amount) or found.one("HSD", "2000F", line=turn).get(2) or "1"
    return AskedLine(
        sequence=turn,
        code=service.part(place, 2) or service.get(1),
        modifiers=tuple(part for part in (service.part(place, at) for at in range(3, 7)) if part),
        units=float(units),
        place_of_service=_place_of(own) or _place_of(event),
        date_from=period[0] if period else None,
        date_to=period[1] if period else None,
        counted=counted if counted in COUNTED else "",
        service_type=own.get(3),
    )


def _place_of(um: Segment) -> str:
    return um.part(4, 1) if um.part(4, 2) == "B" else ""


def _attachment(found: _Found) -> Asked:
    """A 275. What its TRN and REF qualifiers mean in X316 is to be confirmed: TRN02 is read as the control number."""
    names = found.all("NM1")
    parties = {name.get(1): name for name in names}
    empty = Segment("NM1", ())
    insured, patient = parties.get("IL", empty), parties.get("QC", empty)
    requester = parties.get("1P", parties.get("FA", parties.get("41", empty)))
    who = insured if insured.elements else patient
    documents: list[AskedDocument] = []
    number, kind = "", ""
    for entry in found.placed:
        segment = entry.segment
        if segment.id == "LX":
            number, kind = "", ""
        elif segment.id == "TRN":
            number = number or segment.get(2)
        elif segment.id == "CAT":
            kind = segment.get(1)
        elif segment.id in ("BIN", "BDS"):
            content = segment.data or b""
            if segment.get(1) == "B64":
                content = base64.b64decode(content, validate=True)
            documents.append(AskedDocument(number, kind, hashlib.sha256(content).hexdigest()))
    return Asked(
        kind="attachment",
        trace=found.one("BGN").get(2),
        payer=parties.get("PR", parties.get("X3", empty)).get(9),
        requester_npi=_npi(requester),
        requester_name=_name(requester),
        member_id=who.get(9),
        subscriber=_person(found, "1000", who, SELF),
        documents=tuple(documents),
        prior_numbers=tuple(
            dict.fromkeys(ref.get(2) for ref in found.all("REF", "2000") if ref.get(1) in ("BB", "NT"))
        ),
    )


def _eligibility(found: _Found) -> Asked:
    subscriber, dependent, requester = found.one("NM1", "2100C"), found.one("NM1", "2100D"), found.one("NM1", "2100B")
    trace = found.one("TRN", "2000D", "2000C")
    patient = None
    if dependent.elements:
        patient = _person(found, "2100D", dependent, found.one("INS", "2100D").get(2))
    return Asked(
        kind="eligibility",
        trace=trace.get(2),
        originator=trace.get(3),
        payer=found.one("NM1", "2100A").get(9),
        requester_npi=_npi(requester),
        requester_name=_name(requester),
        member_id=subscriber.get(9),
        subscriber=_person(found, "2100C", subscriber, SELF),
        patient=patient,
        service_types=tuple(code for eq in found.all("EQ") if eq.get(1) for code in eq.repeats(1)),
    )
