"""The examples do what their page says: each is about a patient whom the simulated chart of `vigil up` knows."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.seed_day import the_day
from domain.order import Order
from tests.house import ROOT

EXAMPLES = sorted((ROOT / "examples" / "orders").glob("*.json"))
DAY = the_day(datetime(2026, 11, 23, 15, tzinfo=UTC), "America/Chicago")


def patient_id(content: dict[str, Any]) -> str:
    """Whom an example is about, in Vigil's JSON or in a FHIR Bundle."""
    if content.get("resourceType") != "Bundle":
        return Order.model_validate(content).patient.id
    resources = [entry["resource"] for entry in content["entry"]]
    return next(str(one["id"]) for one in resources if one["resourceType"] == "Patient")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_chart_of_an_examples_patient_is_there_and_full(path: Path) -> None:
    charts = {planned.order.patient.id: planned.chart for planned in DAY}
    found = charts.get(patient_id(json.loads(path.read_text())), ())
    assert {"office_note", "imaging_report", "conservative_therapy"} <= set(found)


def test_an_examples_patient_is_the_one_of_the_chart() -> None:
    seeded = {planned.order.patient.id: planned.order.patient for planned in DAY}
    for path in EXAMPLES:
        content = json.loads(path.read_text())
        if "resourceType" not in content:
            patient = Order.model_validate(content).patient
            assert patient == seeded[patient.id], path.name


def test_every_example_has_its_line_on_the_page() -> None:
    page = (ROOT / "examples" / "orders" / "README.md").read_text()
    assert [path.name for path in EXAMPLES if f"`{path.name}`" not in page] == []
