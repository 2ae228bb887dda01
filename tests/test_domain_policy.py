"""Policies: the payers' files are sound, lines find their rules, slices are small, the check finds what is wrong."""

import copy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from domain import clocks
from domain.base import Turn
from domain.calendars import Span
from domain.decision import NumberType
from domain.house import HouseRules, parse_house
from domain.order import Urgency
from domain.policy import (
    SLICE_LIMIT,
    LineKey,
    LineRequirement,
    Policy,
    PolicyError,
    PolicySlice,
    parse_policy,
    policy_digest,
    slice_policy,
)
from domain.policy_answers import AppealKind
from domain.policy_check import check_policy
from domain.policy_rules import Breach, InformationEffect, Need, Rail, WhoAsks, WorkKind

FOLDER = Path(__file__).parent.parent / "policies"
PAYERS = ("meridian-ppo", "summit-ma", "keystone-sf", "harbor-hmo", "bluestem-mco")
NOW = date(2026, 11, 23)
DATA = {payer: yaml.safe_load((FOLDER / f"{payer}.yaml").read_text()) for payer in PAYERS}
POLICIES = {payer: parse_policy(DATA[payer], name=f"{payer}.yaml") for payer in PAYERS}
JOB = ("95886", "95910", "93970", "93971", "72131", "70450", "74177", "78306", "78315", "99243", "99204")


def line(code: str, place: str = "22", *, number: int = 1, **more: Any) -> LineKey:
    known: dict[str, Any] = {"category": None, "diagnoses": ("M54.50",), "patient_age": 52, "state": "NY"}
    return LineKey(number, code, place_of_service=place, **{**known, **more})


def cut(payer: str, *lines: LineKey, urgency: str = "routine", on: date = NOW) -> PolicySlice:
    return slice_policy(POLICIES[payer], on=on, urgency=urgency, lines=lines)


def decided(payer: str, asked: LineKey) -> LineRequirement:
    found = cut(payer, asked).requirement(asked.number)
    assert found is not None
    return found


def changed(payer: str, **fields: Any) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(DATA[payer])
    return data | fields


def texts(data: object, now: date = NOW) -> list[str]:
    return [f"{finding.level} {finding.where}: {finding.text}" for finding in check_policy(data, now, name="p.yaml")]


@pytest.mark.parametrize("payer", PAYERS)
def test_the_payers_files_are_named_by_payer_and_have_nothing_wrong(payer: str) -> None:
    assert POLICIES[payer].payer == payer
    assert check_policy(DATA[payer], NOW, name=f"{payer}.yaml") == []


@pytest.mark.parametrize("payer", PAYERS)
@pytest.mark.parametrize("code", JOB)
def test_every_service_of_the_job_finds_a_rule_with_its_source(payer: str, code: str) -> None:
    found = decided(payer, line(code))
    assert found.authorization is not Need.UNKNOWN
    assert found.source
    assert found.verified_on
    if found.authorization is Need.REQUIRED:
        assert [document.kind for document in found.documents]
        assert found.validity
    else:
        assert found.recheck, "a not required goes stale"


def test_a_doppler_needs_nothing_as_an_outpatient_at_meridian_and_the_evidence_is_kept() -> None:
    found = decided("meridian-ppo", line("93970", "22"))
    assert (found.authorization, found.rule) == (Need.NOT_REQUIRED, "meridian-doppler-outpatient")
    assert found.source
    assert found.recheck == Span.parse("30 days")
    inpatient = decided("meridian-ppo", line("93970", "21"))
    assert (inpatient.authorization, inpatient.who_asks) == (Need.REQUIRED, WhoAsks.FACILITY)


def test_a_consult_at_summit_needs_a_referral_and_no_authorization() -> None:
    found = decided("summit-ma", line("99243", "11"))
    assert (found.authorization, found.referral) == (Need.NOT_REQUIRED, Need.REQUIRED)


def test_an_exact_code_with_its_diagnosis_wins_over_the_category() -> None:
    assert decided("summit-ma", line("93971", diagnoses=("I82.401",))).authorization is Need.NOT_REQUIRED
    assert decided("summit-ma", line("93971", diagnoses=("I82401",))).authorization is Need.NOT_REQUIRED
    assert decided("summit-ma", line("93971", diagnoses=("M79.661",))).authorization is Need.REQUIRED


def test_a_range_wins_over_the_category_and_among_ranges_the_one_that_asks_more() -> None:
    assert decided("meridian-ppo", line("70450", "22")).rule == "meridian-ct-head"
    assert decided("meridian-ppo", line("70450", "23")).rule == "meridian-ct-emergency"
    assert decided("meridian-ppo", line("74177", "23")).rule == "meridian-ct"


def test_an_age_decides_only_when_it_matches() -> None:
    assert decided("keystone-sf", line("72131", patient_age=12)).rule == "keystone-ct-minor"
    assert decided("keystone-sf", line("72131", patient_age=18)).rule == "keystone-ct"


def test_what_is_not_known_never_becomes_not_required() -> None:
    placeless = decided("meridian-ppo", line("93970", ""))
    assert (placeless.authorization, placeless.referral) == (Need.UNKNOWN, Need.UNKNOWN)
    assert "meridian-doppler-outpatient" in (placeless.why or "")
    undiagnosed = decided("summit-ma", line("93971", diagnoses=()))
    assert undiagnosed.authorization is Need.UNKNOWN
    # The narrower rule that might match says the same: nothing depends on what is not known.
    assert decided("keystone-sf", line("72131", patient_age=None)).authorization is Need.REQUIRED


def test_a_code_that_no_rule_speaks_of_is_a_persons_question_whatever_the_practice_calls_it() -> None:
    assert decided("meridian-ppo", line("27447")).rule == "vigil/no-rule"
    called = decided("meridian-ppo", line("27447", category="venous_doppler"))
    assert called.authorization is Need.UNKNOWN
    assert "meridian-doppler" in (called.why or "")
    miscalled = decided("meridian-ppo", line("95886", category="venous_doppler"))
    assert miscalled.rule == "meridian-emg"


@given(
    payer=st.sampled_from(PAYERS),
    code=st.sampled_from((*JOB, "27447", "G0283", "99999")),
    category=st.none() | st.sampled_from(["emg", "ct", "consult", "other"]),
    place=st.sampled_from(["", "11", "21", "22", "23"]),
    diagnoses=st.lists(st.sampled_from(["M54.50", "I82.401", "R60.0", "C79.51"]), max_size=2).map(tuple),
    age=st.none() | st.integers(0, 100),
    state=st.none() | st.sampled_from(["NY", "TX"]),
    on=st.dates(date(2020, 1, 1), date(2030, 1, 1)),
)
def test_every_line_gets_an_answer_and_less_knowledge_never_makes_required_not_required(
    *,
    payer: str,
    code: str,
    category: str | None,
    place: str,
    diagnoses: tuple[str, ...],
    age: int | None,
    state: str | None,
    on: date,
) -> None:
    policy = POLICIES[payer]
    full = policy.requirement_for(LineKey(1, code, category, place, diagnoses, age, state), on)
    assert full.rule
    assert (full.source is None) == (full.rule == "vigil/no-rule")
    bare = policy.requirement_for(LineKey(1, code, category, "", (), None, None), on)
    assert bare.authorization in {full.authorization, Need.UNKNOWN}


def test_the_decision_clocks_differ_by_payer_and_urgency() -> None:
    clock = {(p, u): cut(p, urgency=u).decision_clock for p in PAYERS for u in Urgency}
    assert str(clock["meridian-ppo", Urgency.ROUTINE].span) == "15 days"
    assert clock["meridian-ppo", Urgency.ROUTINE].information_request is InformationEffect.TOLL
    assert str(clock["summit-ma", Urgency.ROUTINE].span) == "7 days"
    assert clock["summit-ma", Urgency.ROUTINE].information_request is InformationEffect.NONE
    assert clock["keystone-sf", Urgency.ROUTINE].breach is Breach.DEEMED_EXHAUSTED
    assert {str(clock[p, Urgency.URGENT].span) for p in PAYERS} == {"72 hours"}


def test_a_clock_starts_from_a_slice_on_the_payers_calendar() -> None:
    summit = cut("summit-ma", line("72131"))
    rule = summit.decision_clock
    running = clocks.start(
        key="decision/1",
        kind=clocks.ClockKind.PAYER_DECISION,
        label="Summit must decide.",
        at=datetime(2026, 11, 24, 3, 0, tzinfo=UTC),
        due=rule.span,
        rule=rule.id,
        waiting_for=Turn.PAYER,
        calendar=summit.calendar(rule.calendar),
        calendar_name=rule.calendar,
        breach=True,
    )
    # Received on Monday evening in Chicago: seven days end with the next Monday there.
    assert running.due == datetime(2026, 12, 1, 5, 59, 59, tzinfo=UTC)
    with pytest.raises(PolicyError, match="no lunar"):
        summit.calendar("lunar")


def test_channels_come_in_order_and_by_urgency() -> None:
    assert [c.rail for c in cut("meridian-ppo").channels] == [Rail.PAS, Rail.X12, Rail.GATEWAY, Rail.PORTAL]
    assert [c.rail for c in cut("keystone-sf").channels] == [Rail.PORTAL, Rail.FAX]
    assert [c.rail for c in cut("keystone-sf", urgency="stat").channels] == [Rail.PHONE]
    versions = {p: (cut(p).channels[0].version, cut(p).channels[0].subscription_filter) for p in PAYERS[:2]}
    assert versions == {"meridian-ppo": ("2.2.1", "org-identifier"), "summit-ma": ("2.0.1", "orgIdentifier")}
    assert cut("meridian-ppo").channels[0].base_url == "{sandbox}/payers/meridian-ppo/fhir"


def test_appeal_options_by_urgency_and_payer() -> None:
    kinds = {p: [o.kind for o in cut(p).appeals] for p in PAYERS}
    assert AppealKind.PEER_TO_PEER not in kinds["summit-ma"]
    assert AppealKind.PEER_TO_PEER in kinds["meridian-ppo"]
    urgent = [o for o in cut("keystone-sf", urgency="urgent").appeals if o.kind is AppealKind.APPEAL]
    assert [str(o.decided_within) for o in urgent] == ["72 hours"]


@pytest.mark.parametrize(
    ("payer", "certified", "pended"),
    [
        ("meridian-ppo", "A204418830", "REF-20881734"),
        ("summit-ma", " SM40028817 ", "SMP4002881"),
        ("keystone-sf", "K4418830-01", "KREF208817"),
    ],
)
def test_a_pending_reference_is_told_from_a_certification_number(payer: str, certified: str, pended: str) -> None:
    numbers = cut(payer).numbers
    assert numbers.read(certified) is NumberType.CERTIFICATION
    assert numbers.read(pended) is NumberType.ADMINISTRATIVE
    assert numbers.read("approved, per Dana") is None


@pytest.mark.parametrize("payer", PAYERS)
@pytest.mark.parametrize("urgency", Urgency)
def test_a_slice_of_many_lines_is_small_says_what_it_was_cut_from_and_survives_storage(
    payer: str, urgency: Urgency
) -> None:
    lines = [line(code, number=n) for n, code in enumerate((*JOB, "27447"), start=1)]
    made = cut(payer, *lines, urgency=urgency)
    stored = made.model_dump_json()
    assert len(stored.encode()) <= SLICE_LIMIT
    assert PolicySlice.model_validate_json(stored) == made
    assert PolicySlice.model_validate(made.model_dump()) == made
    assert made.digest == policy_digest(POLICIES[payer])
    assert made.effective_on == NOW
    assert sorted(n for found in made.requirements for n in found.lines) == [key.number for key in lines]
    assert {rule.task for rule in made.tasks} == set(WorkKind)
    assert all(made.receipt(channel.rail) for channel in made.channels)
    assert made.task(WorkKind.CALL)
    assert made.requirement(99) is None


def test_a_slice_that_no_fact_could_hold_is_refused() -> None:
    data = changed("meridian-ppo")
    data["requirements"][3]["documents"] = [{"kind": f"document_{n}_{'x' * 25}"} for n in range(60)]
    policy = parse_policy(data, name="p.yaml")
    with pytest.raises(PolicyError, match="shorten"):
        slice_policy(policy, on=NOW, urgency="routine", lines=[line("72131")])


def test_a_slice_needs_a_known_urgency_and_rules_in_effect() -> None:
    with pytest.raises(PolicyError, match="use one of routine, urgent, stat"):
        cut("meridian-ppo", urgency="whenever")
    with pytest.raises(PolicyError, match="in effect on 2020-01-01"):
        cut("meridian-ppo", on=date(2020, 1, 1))


def test_the_digest_is_of_the_content_not_of_the_layout() -> None:
    policy = POLICIES["summit-ma"]
    again = parse_policy(dict(reversed(DATA["summit-ma"].items())), name="again")
    assert policy_digest(again) == policy.digest
    assert policy_digest(Policy.model_validate_json(policy.model_dump_json())) == policy.digest
    renamed = parse_policy(changed("summit-ma", name="Summit"), name="renamed")
    assert renamed.digest != policy.digest


def test_a_rule_and_its_successor_take_turns() -> None:
    data = changed("summit-ma")
    old = data["decision_clocks"][0]
    new = copy.deepcopy(old) | {"id": "summit-decision-2027", "span": "5 days", "effective": {"from": date(2027, 1, 1)}}
    data["decision_clocks"].append(new)
    assert any("in effect at once" in text for text in texts(data))
    old["effective"] = {"from": date(2026, 1, 1), "until": date(2026, 12, 31)}
    assert texts(data) == []
    policy = parse_policy(data, name="p.yaml")
    spans = [
        str(slice_policy(policy, on=on, urgency="routine", lines=[]).decision_clock.span)
        for on in (date(2026, 12, 31), date(2027, 1, 1))
    ]
    assert spans == ["7 days", "5 days"]
    new["effective"] = {"from": date(2027, 2, 1)}
    assert any(text.startswith("warning decision_clocks.routine: nothing is in effect") for text in texts(data))


def test_two_channels_of_one_rail_take_turns_but_are_never_in_effect_at_once() -> None:
    data = changed("meridian-ppo")
    first = data["channels"][0]
    data["channels"].append({**first, "id": "meridian-pas-next"})
    assert any("meridian-pas-next are in effect at once" in text for text in texts(data))
    first["effective"] = {**first["effective"], "until": date(2026, 12, 31)}
    data["channels"][-1]["effective"] = {"from": date(2027, 1, 1)}
    assert texts(data) == []


@pytest.mark.parametrize("missing", ["source", "verified_on", "effective", "id"])
def test_every_rule_says_where_it_was_read(missing: str) -> None:
    for section in ("channels", "requirements", "appeals", "tasks"):
        data = changed("keystone-sf")
        del data[section][0][missing]
        assert texts(data) == [f"error p.yaml: p.yaml: {section}[0].{missing}: is missing; add it."]


def test_problems_are_sentences_that_name_file_field_and_remedy() -> None:
    data = changed("keystone-sf", colour="green", schema_version=7)
    data["requirements"][0]["match"] = {"codes": [95886]}
    data["follow_up"][0]["first"] = "soon"
    with pytest.raises(PolicyError) as raised:
        parse_policy(data, name="keystone-sf.yaml")
    problems = "\n".join(raised.value.problems)
    assert "keystone-sf.yaml: colour: is not a field here; correct its name or remove it." in problems
    assert "keystone-sf.yaml: requirements[0].match.codes[0]: must be text; put it in quotes." in problems
    assert 'keystone-sf.yaml: follow_up[0].first: a span is an amount and a unit, as in "72 hours"' in problems
    assert "schema_version" in problems
    with pytest.raises(PolicyError, match="one mapping"):
        parse_policy(["a list"], name="p.yaml")


@pytest.mark.parametrize(
    ("section", "fields", "problem"),
    [
        ("decision_clocks", {"calendar": "lunar"}, "names the calendar lunar"),
        ("decision_clocks", {"id": "keystone-fax"}, "is used twice"),
        ("requirements", {"match": {"categories": ["mri"]}}, "names the category mri"),
        ("channels", {"rail": "pas"}, "needs version, base_url, token_url"),
        ("numbers", {"pend_reference": "K?[A-Z0-9-]+"}, "is not read as certification"),
        ("numbers", {"certification": "(["}, "is not a regular expression"),
        ("requirements", {"match": {"codes": ["95913-95905"]}}, "ends before it begins"),
        ("requirements", {"match": {"codes": ["95886"], "ages": {"from": 65, "until": 17}}}, "until is less than from"),
        ("requirements", {"effective": {"from": "2026-05-01", "until": "2026-04-01"}}, "until is before from"),
    ],
)
def test_what_does_not_hold_together_is_refused(section: str, fields: dict[str, Any], problem: str) -> None:
    data = changed("keystone-sf")
    data[section][0] |= fields
    with pytest.raises(PolicyError, match=problem):
        parse_policy(data, name="p.yaml")


def test_the_check_finds_stale_rules_and_dates_to_come() -> None:
    stale = texts(DATA["keystone-sf"], date(2027, 3, 1))
    assert any(
        "warning requirements.keystone-emg: last verified on 2026-10-05, more than 120 days ago" in t for t in stale
    )
    early = texts(DATA["keystone-sf"], date(2026, 9, 1))
    assert any(text.startswith("error") and "is to come" in text for text in early)


def test_the_check_finds_unknown_placeholders_and_plain_http() -> None:
    data = changed("meridian-ppo")
    data["channels"][0]["base_url"] = "{nowhere}/fhir"
    data["channels"][0]["token_url"] = "http://payer.example/token"
    assert texts(data) == [
        "error channels.meridian-pas.base_url: unknown placeholder nowhere; use sandbox.",
        "error channels.meridian-pas.token_url: must begin with https:// or a placeholder.",
    ]


def test_the_check_finds_rules_that_contradict_or_repeat_one_another() -> None:
    data = changed("keystone-sf")
    other = copy.deepcopy(data["requirements"][0]) | {"id": "keystone-emg-again"}
    data["requirements"].append(other)
    assert [text.partition(":")[0] for text in texts(data)] == ["warning requirements.keystone-emg-again"]
    other["authorization"] = "not_required"
    assert [text.partition(":")[0] for text in texts(data)] == ["error requirements.keystone-emg-again"]
    other["match"] = {"codes": ["95886"]}
    assert texts(data) == [], "an exact code is narrower than a category: an exception, no contradiction"


def test_the_check_finds_what_no_case_could_do_without() -> None:
    data = changed("keystone-sf", visits=[])
    data["follow_up"] = data["follow_up"][:2]
    data["channels"] = data["channels"][:2]
    assert texts(data) == [
        "error follow_up.stat: no rule is in effect on 2026-11-23; add one that is.",
        "error visits: no rule is in effect on 2026-11-23; add one that is.",
        "error channels: none in effect on 2026-11-23 takes stat orders; add one.",
    ]


def test_the_example_of_the_documentation_is_sound() -> None:
    page = (FOLDER.parent / "docs" / "policies.md").read_text()
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("\n```")[0])
    assert texts(example) == []


# --- the house's rules -------------------------------------------------------------------------------------------------


HOUSE = yaml.safe_load((FOLDER / "house.yaml").read_text())


def test_the_houses_rules_are_sound_and_a_fact_can_hold_them() -> None:
    assert check_policy(HOUSE, NOW, name="house.yaml") == []
    rules = parse_house(HOUSE, name="house.yaml")
    stored = rules.model_dump_json()
    assert len(stored.encode()) <= SLICE_LIMIT
    assert HouseRules.model_validate_json(stored) == rules
    assert HouseRules.model_validate_json(stored).digest == rules.digest
    assert rules.documents.kind_of("11506-3") == "office_note"
    assert rules.documents.kind_of("00000-0") is None


def test_what_is_wrong_or_stale_in_the_houses_rules_is_said() -> None:
    wrong = {**HOUSE, "claims": {**HOUSE["claims"], "rest": "soon"}}
    (finding,) = check_policy(wrong, NOW, name="house.yaml")
    assert finding.level == "error"
    assert "claims.rest" in finding.text
    later = check_policy(HOUSE, date(2028, 1, 1), name="house.yaml")
    assert {finding.level for finding in later} == {"warning"}
    early = check_policy(HOUSE, date(2025, 1, 1), name="house.yaml")
    assert "error" in {finding.level for finding in early}


def test_a_channel_that_vigil_works_says_when_to_search_and_to_rest() -> None:
    for missing in ("search_after", "rests"):
        channels = [{k: v for k, v in c.items() if k != missing} for c in DATA["meridian-ppo"]["channels"]]
        with pytest.raises(PolicyError, match=f"meridian-pas is worked by Vigil itself and needs {missing}"):
            parse_policy({**DATA["meridian-ppo"], "channels": channels}, name="x")


def test_a_slice_has_of_each_channel_what_its_urgency_needs() -> None:
    pas = cut("meridian-ppo", line("72131"), urgency="stat").channels[0]
    assert list(pas.rests) == [Urgency.STAT]
    assert pas.urgencies == (Urgency.STAT,)
