"""The compose file, as far as that goes without an engine: it names what exists, pins what it runs, publishes on loopback."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import Settings
from runtime.temporal import SEARCH_ATTRIBUTES

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(found, dict)
    return found


def test_every_image_is_pinned_or_built_here(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        image = service["image"]
        assert "build" in service or re.search(r":\d+\.\d+", image), f"{name} runs {image}"


def test_every_variable_is_a_setting(compose: dict[str, Any]) -> None:
    known = {f"VIGIL_{field.upper()}" for field in Settings.model_fields}
    for service in compose["services"].values():
        given = {name for name in service.get("environment", {}) if name.startswith("VIGIL_")}
        assert given <= known, given - known


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_dependencies_name_services_and_have_the_condition_that_can_hold(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[needed]


def test_commands_are_commands_of_vigil(compose: dict[str, Any]) -> None:
    helped = subprocess.run([ROOT / ".venv/bin/vigil", "--help"], capture_output=True, text=True, check=True)  # noqa: S603
    for name, service in compose["services"].items():
        if "build" in service:
            assert re.search(rf"\b{service['command'][0]}\b", helped.stdout), name


def test_scripts_are_shell_that_parses() -> None:
    scripts = sorted((ROOT / "deploy").glob("*.sh"))
    assert scripts
    for script in scripts:
        subprocess.run(["/bin/sh", "-n", script], check=True)  # noqa: S603


def test_the_server_is_told_to_be_fair() -> None:
    told = yaml.safe_load((ROOT / "deploy" / "dynamicconfig.yaml").read_text())
    assert told["matching.enableFairness"] == [{"value": True}]
    assert SEARCH_ATTRIBUTES  # registered by the workers at start
