"""What `python dev.py test schemathesis` makes of what schemathesis reports."""

import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.connector.schemathesis import verdict

CLOSING = "========== 2 warnings in 60.06s =========="
CLEAN = {"generated": 9, "with_failures": 0, "errored": 0, "without_checks": 2}


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Where schemathesis writes its report; nothing is there yet."""
    return tmp_path / "report.json"


def done(code: int = 0) -> CompletedProcess[str]:
    """Make a run that has ended."""
    return CompletedProcess(["schemathesis"], code, f"how it went\n{CLOSING}\n", "")


def test_a_clean_run_is_one_line(report: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the report's figures; a request that nothing was checked on has not passed."""
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
def test_what_is_not_well_is_told_in_full(
    report: Path, capsys: pytest.CaptureFixture[str], cases: dict[str, int], code: int, said: str
) -> None:
    """All that it said, and the figures at the end."""
    report.write_text(json.dumps({"test_cases": CLEAN | cases}))

    assert verdict(done(code), report) == 1

    output = capsys.readouterr().out
    assert output.startswith("how it went\n")
    assert output.endswith(f"\nschemathesis: {said}\n")


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"test_cases": {"generated": 9}}'])
def test_without_figures_nothing_has_passed(
    report: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    """However it exits: a report that is missing or means something else is a fault."""
    if text is not None:
        report.write_text(text)

    assert verdict(done(), report) == 1
    assert "its report cannot be read" in capsys.readouterr().out.splitlines()[-1]
