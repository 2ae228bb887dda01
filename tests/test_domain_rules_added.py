"""The example of `docs/rules.md` works as it stands there: one file and one line."""

import re
from pathlib import Path
from typing import Any

from domain.calendars import subtract
from domain.plan import settle
from domain.rules import RULES
from tests.builders import MONDAY, ROOT, VISIT, answered, cut, done, known, order, submitted, task, with_facts, work


def rule_of_the_page() -> Any:
    page = (ROOT / "docs" / "rules.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(code, str(Path("docs/rules.md")), "exec"), names)  # noqa: S102 - our own page
    return names["interpreter"]


def test_the_rule_of_the_page_asks_once_when_the_visit_is_to_be_watched() -> None:
    rules = (*RULES, rule_of_the_page())
    patient = {**order().patient.model_dump(), "language": "es"}
    ordered = type(order()).model_validate({**order().model_dump(), "patient": patient})
    case = known(ordered, submitted(), answered("approved"))
    early, settled = settle(case, MONDAY, rules)
    assert "review" not in work(early)
    assert settled.plan.wake_at is not None
    rules_of = cut(ordered)
    before = subtract(VISIT, rules_of.visit.watch_from, rules_of.calendar(rules_of.visit.calendar))
    assert before > MONDAY
    asked, _ = settle(case, before, rules)
    assert task(asked, "review").title == "Book an interpreter for the visit."
    booked, _ = settle(with_facts(asked, [done(task(asked, "review"), before)], before), before, rules)
    assert "review" not in work(booked)


def test_the_table_of_the_page_names_everything_a_rule_can_ask_for() -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    assert all(f"`{name}`" in page for name in ("Person", "Waiting", "Look", "Close", "domain.clocks.start"))
