"""270 and 271: goldens, an independent reading of ours, every shared example by its meaning, and what mutation cannot do.

The golden files are our own messages, one segment a line; `python -m tests.test_x12_eligibility` writes them anew.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from x12sdk.io import X12ModelReader

from connectors import eligibility
from connectors.errors import Unreachable
from connectors.x12 import envelope
from connectors.x12.benefits import Asked, read_benefits
from connectors.x12.eligibility import asked_of, eligibility_request
from connectors.x12.envelope import Controls
from connectors.x12.parties import X12Payer
from domain.facts import CoverageStatus
from domain.order import Category, Order, Relationship
from tests.pas_requests import PRACTICE, full_order, order

GOLDEN = Path(__file__).resolve().parent / "golden" / "x12"
PAYER = X12Payer(name="Harbor HMO", payer_code="HARBOR1", sender="LAKESIDE", receiver="NORTHBRIDGE", usage="P")
AT = datetime(2026, 3, 2, 16, 0, tzinfo=UTC)
ACTIVE, UNCLEAR = CoverageStatus.ACTIVE, CoverageStatus.UNCLEAR
INACTIVE, NOT_FOUND = CoverageStatus.INACTIVE, CoverageStatus.NOT_FOUND


def ask(asked: Order, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "on": date(2026, 3, 20),
        "trace": "ELG-0001",
        "at": AT,
        "controls": Controls(interchange=41, group=41, transaction=41),
        **changes,
    }
    return eligibility_request(asked, 1, PRACTICE, PAYER, **values)


# --- writing ------------------------------------------------------------------------------------------------------

QUESTIONS: dict[str, Callable[[], bytes]] = {
    "270-subscriber": lambda: ask(order()),
    "270-dependent": lambda: ask(full_order()),
    "270-procedures": lambda: ask(order(), procedures=("95910", "G0283")),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_the_golden_one(name: str) -> None:
    made = QUESTIONS[name]().replace(b"~", b"~\n")
    assert made.decode() == (GOLDEN / f"{name}.edi").read_text()


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_independent_model_takes_our_question(name: str) -> None:
    with X12ModelReader(QUESTIONS[name]().decode()) as reader:
        (model,) = reader.models()
    said = model.model_dump(mode="json")
    subscriber = said["loop_2000a"][0]["loop_2000b"][0]["loop_2000c"][0]
    assert subscriber["loop_2100c"]["nm1_segment"]["identification_code"] == "MER000100"
    person = subscriber if name != "270-dependent" else subscriber["loop_2000d"][0]
    (trace,) = person["trn_segment"]
    assert (trace["reference_identification_1"], trace["originating_company_identifier"]) == ("ELG-0001", "1990000001")
    loop = person["loop_2100c" if name != "270-dependent" else "loop_2100d"]
    assert loop["dmg_segment"]["date_time_period"] == "1970-05-17"
    asked = [part["eq_segment"] for part in loop["loop_2110c" if name != "270-dependent" else "loop_2110d"]]
    assert all(one["service_type_code"] == ["73"] for one in asked)
    codes = ["95910", "G0283"] if name == "270-procedures" else [None]
    assert [one["medical_procedure_id"] and one["medical_procedure_id"][1] for one in asked] == codes


@pytest.mark.parametrize("relationship", list(Relationship))
def test_who_is_asked_about_is_the_patient_and_the_envelope_is_closed_right(relationship: Relationship) -> None:
    asked = full_order() if relationship is not Relationship.SELF else order()
    coverage = asked.coverages[0].model_copy(update={"relationship": relationship})
    (found,) = envelope.read(ask(asked.model_copy(update={"coverages": (coverage,)})))
    assert found.all_problems == ()
    assert (found.control, found.groups[0].control, found.transactions[0].control) == ("000000041", "41", "0041")
    (transaction,) = found.transactions
    traced = next(i for i, s in enumerate(transaction.segments) if s.id == "TRN")
    person = next(s for s in transaction.segments[traced:] if s.id == "NM1")
    assert (person.get(3), person.get(4)) == ("Testperson", "Robin")


# --- reading: every shared example --------------------------------------------------------------------------------


def who(member: str, family: str, given_name: str, born: date, **more: Any) -> Asked:
    return Asked(member_id=member, family_name=family, given_name=given_name, birth_date=born, **more)


JANE = who("MBR0001", "Doe", "Jane", date(1985, 5, 15))
BABY = who("MBR0002", "Doe", "Baby", date(2024, 1, 1), is_subscriber=False)
BABY_A = who("MBR0001", "Doe", "Baby", date(2024, 1, 1), is_subscriber=False)
JOHN = who("123456789", "Smith", "John", date(1963, 5, 19), trace="93175-012547")
MARY = who("123456789", "Smith", "Mary", date(1998, 10, 14), is_subscriber=False, trace="93175-012547")

MEANINGS: dict[str, tuple[Asked, CoverageStatus, list[tuple[str | None, str | None, str | None]]]] = {
    "cosyte/271-canonical.edi": (JANE, ACTIVE, []),
    "cosyte/271-dependent.edi": (BABY, UNCLEAR, []),  # a dental plan: nothing is said of what was ordered
    "cosyte/271-no-benefits-no-aaa.edi": (JANE, UNCLEAR, [("NO_BENEFITS", None, None)]),
    "cosyte/271-aaa-with-benefits.edi": (JANE, UNCLEAR, [("42", "2110C", "C")]),
    "cosyte/271-aaa-before-hierarchy.edi": (JANE, UNCLEAR, [("42", "header", "C"), ("43", "header", "C")]),
    "cosyte/271-aaa-information-source.edi": (JANE, UNCLEAR, [("42", "2100A", "C")]),
    "cosyte/271-aaa-information-receiver.edi": (JANE, UNCLEAR, [("79", "2100B", "C")]),
    "cosyte/271-aaa-only-loop.edi": (JANE, UNCLEAR, [("42", "2000C", "C")]),
    "cosyte/271-aaa-subscriber.edi": (JANE, NOT_FOUND, [("72", "2100C", "C")]),
    "cosyte/271-aaa-no-hierarchy-id.edi": (JANE, NOT_FOUND, [("72", "2100C", "C")]),
    "cosyte/271-aaa-repeated.edi": (JANE, NOT_FOUND, [("72", "2100C", "C"), ("72", "2100C", "R")]),
    "cosyte/271-aaa-malformed.edi": (
        JANE,
        NOT_FOUND,
        [(None, "2100C", "C"), ("72", "2100C", None), ("72", "2100C", "C")],
    ),
    "cosyte/271-aaa-two-subscribers.edi": (JANE, NOT_FOUND, [("72", "2100C", "C")]),
    "cosyte/271-aaa-dependent.edi": (BABY, NOT_FOUND, [("67", "2100D", "C")]),
    "cosyte/271-aaa-two-dependents.edi": (BABY_A, NOT_FOUND, [("72", "2100D", "C")]),
    "linuxforhealth/271-demo.edi": (JOHN, ACTIVE, []),
    "linuxforhealth/271-subscriber-health-benefit-check.edi": (JOHN, ACTIVE, []),
    "linuxforhealth/271-dependent-health-benefit-check.edi": (MARY, ACTIVE, []),
    "linuxforhealth/271-subscriber-health-benefit-check-error.edi": (JOHN, UNCLEAR, [("50", "2100B", "N")]),
    # SE01 counts four segments more than came: an EB 6 may be among them.
    "imsweb/271-4010.edi": (JOHN, UNCLEAR, [("BROKEN", None, None)]),
}


def example(shared: Path, name: str) -> bytes:
    return (shared / "fixtures" / "x12" / name).read_bytes()


@pytest.mark.parametrize("name", MEANINGS)
def test_every_example_has_its_meaning(shared: Path, name: str) -> None:
    asked, status, errors = MEANINGS[name]
    found = read_benefits(example(shared, name), Category.CONSULT, asked)
    assert found.status is status
    assert [(error.code, error.where, error.follow_up) for error in found.errors] == errors


def test_the_table_names_every_answer_there_is(shared: Path) -> None:
    folder = shared / "fixtures" / "x12"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.edi") if b"ST*271*" in path.read_bytes()}
    assert there == set(MEANINGS)


def test_benefits_are_read_as_from_the_gateway(shared: Path) -> None:
    found = read_benefits(example(shared, "cosyte/271-canonical.edi"), Category.CONSULT, JANE)
    assert (found.plan_name, found.active_from, found.active_to) == ("GOLD PPO", date(2026, 6, 1), None)
    assert (found.benefits.copay_cents, found.benefits.deductible_left_cents) == (25_00, 1000_00)
    found = read_benefits(example(shared, "linuxforhealth/271-demo.edi"), Category.CONSULT, JOHN)
    assert (found.plan_name, found.active_from) == ("GOLD 123 PLAN", date(2006, 1, 1))
    assert found.benefits.copay_cents == 10_00  # in the network, not the 30.00 out of it


def test_a_payer_that_cannot_answer_now_is_asked_again(shared: Path) -> None:
    found = read_benefits(example(shared, "cosyte/271-aaa-information-source.edi"), Category.CONSULT, JANE)
    with pytest.raises(Unreachable, match="aaa_42"):
        eligibility.raise_if_later(found)
    eligibility.raise_if_later(read_benefits(example(shared, "cosyte/271-aaa-subscriber.edi"), Category.CONSULT, JANE))


@pytest.mark.parametrize(
    "name",
    ["cosyte/271-canonical.edi", "linuxforhealth/271-subscriber-health-benefit-check.edi"],
)
def test_an_independent_model_reads_the_same_of_happy_answers(shared: Path, name: str) -> None:
    raw = example(shared, name)
    with X12ModelReader(raw.decode()) as reader:
        (model,) = reader.models()
    said = model.model_dump(mode="json")
    loop = said["loop_2000a"][0]["loop_2000b"][0]["loop_2000c"][0]["loop_2100c"]
    lines = [part["eb_segment"] for part in loop["loop_2110c"]]
    theirs = {str(line["eligibility_benefit_information"]) for line in lines}
    asked, status, _ = MEANINGS[name]
    assert status is ACTIVE
    assert "1" in theirs
    assert read_benefits(raw, Category.CONSULT, asked).plan_name in {
        line["plan_coverage_description"] for line in lines
    }


# --- reading: answers of our own making ----------------------------------------------------------------------------


def answer(*benefits: str, subscriber: str = "MER000100", trace: str = "ELG-0001", born: str = "19700517") -> bytes:
    """An answer to our question about a subscriber."""
    body = [
        "BHT*0022*11*ELG-0001*20260302*1601",
        "HL*1**20*1",
        "NM1*PR*2*HARBOR HMO*****PI*HARBOR1",
        "HL*2*1*21*1",
        "NM1*1P*2*LAKESIDE*****XX*1234567893",
        "HL*3*2*22*0",
        f"TRN*2*{trace}*1990000001",
        f"NM1*IL*1*TESTPERSON*ROBIN****MI*{subscriber}",
        f"DMG*D8*{born}*F",
        "DTP*346*D8*20260101",
        "DTP*347*D8*20261231",
        *benefits,
    ]
    isa = "ISA*00*          *00*          *ZZ*NORTHBRIDGE    *ZZ*LAKESIDE       *260302*1601*^*00501*000000009*0*P*:"
    head = [isa, "GS*HB*NORTHBRIDGE*LAKESIDE*20260302*1601*9*X*005010X279A1", "ST*271*0009*005010X279A1"]
    ends = [f"SE*{len(body) + 2}*0009", "GE*1*9", "IEA*1*000000009"]
    return "".join(f"{segment}~" for segment in (*head, *body, *ends)).encode()


OURS = asked_of(order(), 1, "ELG-0001")


def eb(code: str, kind: str = "", **more: str) -> str:
    """A benefit for the individual, by the places of its elements."""
    places = {"plan": 5, "period": 6, "amount": 7, "share": 8, "authorization": 11, "network": 12, "procedure": 13}
    elements = ["", code, "IND", kind, *[""] * 10]
    for name, value in more.items():
        elements[places[name]] = value
    return "*".join(["EB", *elements[1:]]).rstrip("*")


def test_everything_that_a_rich_answer_says() -> None:
    raw = answer(
        eb("1", "30", plan="HARBOR HMO SELECT"),
        eb("B", "73", period="27", amount="40", authorization="Y", network="Y"),
        eb("C", "30", period="23", amount="1500", network="Y"),
        eb("C", "30", period="29", amount="400", network="Y"),
        eb("A", "30", share=".2", network="Y"),
        eb("A", "30", share=".5", network="N"),
        eb("G", "30", period="29", amount="4100", network="Y"),
    )
    found = read_benefits(raw, Category.EMG, OURS)
    assert (found.status, found.plan_name) == (ACTIVE, "HARBOR HMO SELECT")
    assert (found.active_from, found.active_to) == (date(2026, 1, 1), date(2026, 12, 31))
    assert found.benefits.copay_cents == 40_00
    assert found.benefits.deductible_left_cents == 400_00
    assert found.benefits.coinsurance_basis_points == 2000
    assert found.benefits.out_of_pocket_left_cents == 4100_00
    assert found.authorization_indicator == "Y"


@pytest.mark.parametrize(
    ("benefits", "status"),
    [
        (("EB*6*IND*30",), INACTIVE),
        (("EB*1*IND*30", "EB*6*IND*73"), UNCLEAR),
        (("EB*1*IND*30", eb("6", procedure="HC:99999")), ACTIVE),  # another procedure than the one ordered
        (("EB*U*IND*30",), UNCLEAR),
        (("EB*1*IND*35",), UNCLEAR),
    ],
)
def test_active_is_only_what_is_said_of_what_was_ordered(benefits: tuple[str, ...], status: CoverageStatus) -> None:
    assert read_benefits(answer(*benefits), Category.EMG, OURS).status is status


def test_what_is_about_somebody_else_is_never_active() -> None:
    happy = "EB*1*IND*30"
    assert read_benefits(answer(happy), Category.EMG, OURS).status is ACTIVE
    # A payer may correct a member id, where trace and person are ours.
    assert read_benefits(answer(happy, subscriber="MER000100-01"), Category.EMG, OURS).status is ACTIVE
    for other in (
        answer(happy, subscriber="OTHER1", trace="ELG-0002"),
        answer(happy, subscriber="OTHER1", born="19500101"),
        answer(happy, trace="ELG-0002"),
        answer(happy, born="19500101"),
    ):
        found = read_benefits(other, Category.EMG, OURS)
        assert (found.status, found.errors[0].code) == (UNCLEAR, "NOT_OURS")


def test_of_several_patients_only_ours_counts() -> None:
    theirs = ["HL*4*2*22*0", "NM1*IL*1*ROE*JOHN****MI*MBR0003", "AAA*N**75*C", "EB*6*IND*30"]
    found = read_benefits(answer("EB*1*IND*30", *theirs), Category.EMG, OURS)
    assert (found.status, found.errors) == (ACTIVE, ())
    twice = ["HL*4*2*22*0", "NM1*IL*1*TESTPERSON*ROBIN****MI*MER000100", "EB*6*IND*30"]
    assert read_benefits(answer("EB*1*IND*30", *twice), Category.EMG, OURS).status is UNCLEAR
    assert read_benefits(answer("EB*1*IND*30", *theirs), Category.EMG).errors[0].code == "NOT_ONE"
    assert read_benefits(answer("EB*1*IND*30"), Category.EMG).status is ACTIVE


def test_what_cannot_be_read_is_unclear_and_says_why() -> None:
    whole = answer("EB*1*IND*30")
    refused = whole.replace(b"ST*271*0009*005010X279A1~", b"ST*999*0009*005010X231A1~").replace(
        b"BHT*0022*11*ELG-0001*20260302*1601~", b"AK1*HS*41~AK2*270*0041~IK5*R*5~AK9*R*1*1*0~"
    )
    for raw, code in (
        (b"<html>", "NOT_X12"),
        (b"", "NOT_X12"),
        (whole[: whole.index(b"SE*")], "BROKEN"),
        (whole.replace(b"EB*1", b"ZZ1*X~EB*1"), "BROKEN"),
        (whole.replace(b"ST*271", b"ST*277"), "NO_271"),
        (refused, "5"),
    ):
        found = read_benefits(raw, Category.EMG, OURS)
        assert (found.status, found.errors[0].code) == (UNCLEAR, code)


NOT_ACTIVE = tuple(name for name, (_, status, _) in MEANINGS.items() if status is not ACTIVE)
_SAYS_ACTIVE = re.compile(rb"EB[^A-Za-z0-9][1-5][^A-Za-z0-9]")


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_mutation_raises_or_makes_an_answer_active(shared: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NOT_ACTIVE))
    raw = example(shared, name)
    asked = MEANINGS[name][0]
    mutated = raw
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutated)))
        length = data.draw(st.integers(0, 40))
        mutated = mutated[:at] + data.draw(st.binary(max_size=4)) + mutated[at + length :]
    found = read_benefits(mutated, Category.CONSULT, asked)
    said_before = len(_SAYS_ACTIVE.findall(raw))
    assert found.status is not ACTIVE or len(_SAYS_ACTIVE.findall(mutated)) > said_before
    assert read_benefits(mutated, Category.CONSULT).status in set(CoverageStatus)


def test_a_segment_that_is_left_out_makes_no_answer_active(shared: Path) -> None:
    for name in NOT_ACTIVE:
        segments = example(shared, name).replace(b"\n", b"").split(b"~")
        for place in range(len(segments)):
            without = b"~".join([*segments[:place], *segments[place + 1 :]])
            assert read_benefits(without, Category.CONSULT, MEANINGS[name][0]).status is not ACTIVE, (name, place)


if __name__ == "__main__":
    for written, make in QUESTIONS.items():
        (GOLDEN / f"{written}.edi").write_bytes(make().replace(b"~", b"~\n"))
