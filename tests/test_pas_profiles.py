"""Our Bundles against the PAS 2.2.1 profiles, by an independent validator (fhircraft; some 40 s: it builds models first)."""

import json
import re
import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent / "golden" / "pas"
FALSE_ALARMS = (
    re.compile(r"Coverage .*profile-coverage .*Slice 'PASCoverageX12Code'"),
    re.compile(r"ServiceRequest .*profile-servicerequest .*non-allowed type 'Quantity'"),
)
"""Of the validator, known from the guide's own examples: both fail there too."""


def test_our_messages_conform_to_the_profiles_and_a_broken_one_does_not(shared: Path, tmp_path: Path) -> None:
    broken = json.loads((GOLDEN / "submit-2.2.1.json").read_text())
    del broken["entry"][0]["resource"]["item"][0]["category"]
    (tmp_path / "broken.json").write_text(json.dumps(broken))
    files = [*sorted(GOLDEN.glob("*-2.2.1.json")), tmp_path / "broken.json"]
    assert len(files) == 8
    run = subprocess.run(  # noqa: S603 - our own interpreter on the fixtures' script
        [sys.executable, str(shared / "fixtures/pas/validate.py"), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = run.stdout.splitlines()
    failed = [line for line in lines if not line.startswith("OK")]
    real = [line for line in failed if not any(alarm.search(line) for alarm in FALSE_ALARMS)]
    assert [line for line in real if not line.startswith("FAIL    broken.json")] == []
    assert any("#entry[0] Claim" in line and "category" in line for line in real), run.stderr[-2000:]
    assert {line.split()[1].split("#")[0] for line in lines if line.startswith("OK")} == {file.name for file in files}
