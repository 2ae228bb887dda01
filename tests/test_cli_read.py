"""`vigil read` of files that are no answer by the rail named: each says what it is and what to do with it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from tests.x12_answers import ALL

FHIR = b'{"resourceType": "ClaimResponse", "status": "active"}'
REVIEW = b'{"statusCode": "A1", "procedures": []}'


def read(tmp_path: Path, content: bytes, rail: str, code: int = 0) -> Any:
    path = tmp_path / "answer.json"
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["read", str(path), "--rail", rail], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("content", "rail", "said"),
    [
        (ALL["a1"], "pas", "--rail x12"),
        (ALL["a1"], "gateway", "--rail x12"),
        (FHIR, "x12", "--rail pas"),
        (FHIR, "gateway", "--rail pas"),
        (REVIEW, "pas", "--rail gateway"),
        (b"[" + REVIEW + b"]", "x12", "--rail gateway"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + ALL["a1"], "x12", "take that out"),
        (b'<Bundle xmlns="http://hl7.org/fhir"/>', "pas", "JSON"),
        (FHIR.decode().encode("utf-16"), "pas", "UTF-16"),
        (b"%PDF-1.7\n\xff\xff", "pas", "PDF"),
        (b"\x1f\x8b\x08\x00", "x12", "gzip"),
    ],
)
def test_a_file_that_is_something_else_is_unreadable_with_a_hint(
    tmp_path: Path, content: bytes, rail: str, said: str
) -> None:
    found = read(tmp_path, content, rail)
    assert (found["result"], found["lines"]) == ("unreadable", [])
    assert said in found["notes"][-1]


@pytest.mark.parametrize("rail", ["pas", "x12", "gateway"])
@pytest.mark.parametrize("content", [b"", b" \n", b"\x00\x01\xfe", b"<html></html>", b"{}", b"[]]", b"null"])
def test_nonsense_is_unreadable_with_its_reason_by_every_rail(tmp_path: Path, content: bytes, rail: str) -> None:
    found = read(tmp_path, content, rail)
    assert found["result"] == "unreadable"
    assert found["notes"]


def test_what_is_read_well_has_no_hint(tmp_path: Path) -> None:
    assert not any("--rail" in note for note in read(tmp_path, ALL["a1"], "x12")["notes"])


def test_a_folder_and_a_missing_file_are_said_to_be_so(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "directory"), (tmp_path / "none.json", "No such file")):
        result = CliRunner().invoke(app, ["read", str(path)], catch_exceptions=False)
        assert result.exit_code == 1
        assert said in result.output
