"""How `python dev.py test schemathesis` reads the report of schemathesis."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.connector.schemathesis import verdict

CLOSING = "========== 2 warnings in 60.06s =========="
CLEAN = {"generated": 9, "with_failures": 0, "errored": 0, "without_checks": 2}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The path of the report, which does not exist yet."""
    return tmp_path / "report.json"


def done(code: int = 0) -> CompletedProcess[str]:
    """Make a finished run."""
    return CompletedProcess(["schemathesis"], code, f"how it went\n{CLOSING}\n", "")


def test_a_clean_run_is_one_line(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the report's numbers. A request without a check does not count as passed."""
    report.write_text(json.dumps({"test_cases": CLEAN}))

    assert verdict(done(), report) == 0
    assert capsys.readouterr().out == "schemathesis: 7 passed, 0 failed\n"


@pytest.mark.parametrize(
    ("cases", "code", "said"),
    [
        ({"with_failures": 2, "errored": 1}, 1, "4 passed, 3 failed"),
        ({"with_failures": 1}, 0, "6 passed, 1 failed"),
        ({}, 1, "7 passed, 0 failed"),
        ({"generated": 2}, 0, "0 passed, 0 failed"),
    ],
    ids=["failures", "failures that it exits with 0 for", "another fault", "nothing was checked"],
)
def test_a_failed_run_is_printed_in_full(
    report: Path, capsys: pytest.CaptureFixture[str], cases: dict[str, int], code: int, said: str
) -> None:
    """All its output, and the numbers at the end."""
    report.write_text(json.dumps({"test_cases": CLEAN | cases}))

    assert verdict(done(code), report) == 1

    output = capsys.readouterr().out
    assert output.startswith("how it went\n")
    assert output.endswith(f"\nschemathesis: {said}\n")


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"test_cases": {"generated": 9}}'])
def test_without_a_readable_report_the_run_fails(
    report: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    """With each exit code: a report may be missing or of another format."""
    if text is not None:
        report.write_text(text)

    assert verdict(done(), report) == 1
    assert "its report cannot be read" in capsys.readouterr().out.splitlines()[-1]
