"""The 271 (005010X279A1): the same benefits and rejections, by the same digits of the member id, as eligibility in JSON."""

from datetime import datetime

from sandbox.asked import Asked, Person
from sandbox.x12_payers import X12Payer
from sandbox.x12_write import Row

GUIDE = "005010X279A1"
REJECTIONS = {"001": ("75", "C", "2100C"), "002": ("42", "P", "2100A")}
SPECIALIST_VISIT = "98"
HEALTH_PLAN = "30"


def unknown_payer(asked: Asked, reference: str, at: datetime) -> list[Row]:
    """The answer to a question for a payer that is not behind this clearinghouse."""
    return [
        *_head(reference, at),
        ("HL", "1", "", "20", "0"),
        ("NM1", "PR", "2", "UNKNOWN", "", "", "", "", "PI", asked.payer),
        ("AAA", "N", "", "79", "C"),
    ]


def answer(asked: Asked, payer: X12Payer, reference: str, at: datetime) -> list[Row]:
    """The transaction set from ST on."""
    code, follow_up, loop = REJECTIONS.get(asked.scenario, ("", "", ""))
    aaa: Row = ("AAA", "N", "", code, follow_up)
    name: Row = ("NM1", "PR", "2", payer.profile.name, "", "", "", "", "PI", payer.code)
    if loop == "2100A":
        return [*_head(reference, at), ("HL", "1", "", "20", "0"), name, aaa]
    rows: list[Row] = [
        *_head(reference, at),
        ("HL", "1", "", "20", "1"),
        name,
        ("HL", "2", "1", "21", "1"),
        (
            "NM1",
            "1P",
            "2",
            asked.requester_name,
            "",
            "",
            "",
            "",
            "XX" if asked.requester_npi else "",
            asked.requester_npi,
        ),
    ]
    trace: Row = ("TRN", "2", asked.trace, asked.originator)
    subscriber = asked.subscriber
    rows.append(("HL", "3", "2", "22", "1" if asked.patient else "0"))
    if asked.patient is None and asked.trace:
        rows.append(trace)
    rows.append(("NM1", "IL", "1", subscriber.family, subscriber.given, "", "", "", "MI", asked.member_id))
    if asked.patient is not None:
        rows.append(("HL", "4", "3", "23", "0"))
        rows += [trace] if asked.trace else []
        rows.append(("NM1", "03", "1", asked.patient.family, asked.patient.given))
    if loop:
        return [*rows, aaa]
    rows += _birth(asked.person)
    if asked.patient is not None:
        rows.append(("INS", "N", asked.patient.relationship or "G8"))
    rows.append(("DTP", "291", "RD8", f"{at.year}0101-{at.year}1231"))
    return rows + _benefits(asked)


def _head(reference: str, at: datetime) -> list[Row]:
    return [("ST", "271", "0001", GUIDE), ("BHT", "0022", "11", reference, f"{at:%Y%m%d}", f"{at:%H%M}")]


def _birth(person: Person) -> list[Row]:
    return [("DMG", "D8", f"{person.birth_date:%Y%m%d}", person.sex)] if person.birth_date is not None else []


def _benefits(asked: Asked) -> list[Row]:
    if asked.scenario == "000":
        return [("EB", "6", "", HEALTH_PLAN)]
    others = [code for code in asked.service_types if code != HEALTH_PLAN]
    rows: list[Row] = [("EB", "1", "", HEALTH_PLAN, "", "SYNTHETIC PLAN"), *(("EB", "1", "", code) for code in others)]
    rows.append(_amount("B", "IND", SPECIALIST_VISIT, "27", "40"))
    for code, individual, family in (("C", ("1500", "400"), ("3000", "1900")), ("G", ("6000", "4100"), ("", ""))):
        for level, (whole, left) in (("IND", individual), ("FAM", family)):
            if whole:
                rows += [_amount(code, level, HEALTH_PLAN, "23", whole), _amount(code, level, HEALTH_PLAN, "29", left)]
    rows.append(_share(HEALTH_PLAN, ".2", "", "Y"))
    rows += [_share(code, ".2", "Y", "Y") for code in others]
    rows.append(_share(HEALTH_PLAN, ".5", "", "N"))
    return rows


def _amount(code: str, level: str, service: str, period: str, dollars: str) -> Row:
    return ("EB", code, level, service, "", "", period, dollars, "", "", "", "", "Y")


def _share(service: str, part: str, authorization: str, network: str) -> Row:
    return ("EB", "A", "IND", service, "", "", "", "", part, "", "", authorization, network)
