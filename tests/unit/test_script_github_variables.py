"""Passing a GitHub environment's variables to the steps of a workflow."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from scripts.github_variables import HOOKS, SIGN_IN, lines, names

SCRIPT = Path(__file__).parents[2] / "scripts" / "github_variables.py"


def read(text: str) -> dict[str, str]:
    """Read GITHUB_ENV as GitHub's runner does: NAME=VALUE, or NAME<<DELIMITER, lines, DELIMITER."""
    variables = {}
    waiting = text.splitlines()
    while waiting:
        name, sign, rest = re.split(r"(<<|=)", waiting.pop(0), maxsplit=1)
        if sign == "=":
            variables[name] = rest
            continue
        end = waiting.index(rest)
        variables[name] = "\n".join(waiting[:end])
        waiting = waiting[end + 1 :]
    return variables


def test_values_are_passed_on_unchanged() -> None:
    """Also JSON over several lines."""
    variables = {"AZURE_LOCATION": "westeurope", "WEBHOOK_SOURCES": '{\n  "a": {}\n}'}

    assert read(lines(variables)) == variables


def test_a_value_with_line_breaks_sets_no_other_variable() -> None:
    """Who may edit variables must not decide what the steps run."""
    value = "westeurope\nPYTHONSTARTUP=/tmp/x\nend-\nPATH<<end-\n/tmp\nend-"

    assert read(lines({"AZURE_LOCATION": value})) == {"AZURE_LOCATION": value}


def test_no_delimiter_is_used_twice() -> None:
    """It must not be known before."""
    delimiters = re.findall(r"<<(.+)", lines({"A": "1", "B": "2"}) + lines({"A": "1"}))

    assert len(set(delimiters)) == 3
    assert all(len(delimiter) > 30 for delimiter in delimiters)


def test_the_names_are_those_that_the_deployment_reads() -> None:
    """Parameters, sign-in and hooks, and nothing that changes how programs run."""
    assert {"AZURE_ENV_NAME", "WEBHOOK_SOURCES", *SIGN_IN, *HOOKS} <= names()
    assert not {"PATH", "PYTHONPATH", "LD_PRELOAD", "GITHUB_TOKEN"} & names()


def test_other_names_and_empty_values_are_left_out(tmp_path: Path) -> None:
    """The log shows only the names."""
    file = tmp_path / "env"
    file.write_text("BEFORE=1\n", encoding="utf-8")
    given = {"AZURE_ENV_NAME": "clinic", "PATH": "/evil", "ALERT_EMAIL": ""}

    done = subprocess.run(  # noqa: S603 - our own
        [sys.executable, SCRIPT],
        env={"VARIABLES": json.dumps(given), "GITHUB_ENV": str(file), "PATH": os.environ["PATH"]},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert read(file.read_text(encoding="utf-8")) == {"BEFORE": "1", "AZURE_ENV_NAME": "clinic"}
    assert "not taken: PATH." in done.stdout
    assert "/evil" not in done.stdout
