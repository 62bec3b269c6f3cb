#!/usr/bin/env python3
"""Passes a GitHub environment's variables to the next steps of a workflow.

Needs no role; runs in .github/workflows/infra.yml, which gives it VARIABLES and GITHUB_ENV.

Only names that the deployment reads are passed on, because any other, such as PATH, could change
what a later step runs. Each value is written between random delimiters, so that a value with line
breaks cannot set another variable.
"""

import argparse
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from command_line import Parser

PARAMETERS = Path(__file__).resolve().parents[1] / "infra" / "main.parameters.json"
SIGN_IN = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID"}
HOOKS = {"GRAPH_GRANTS", "ORGANIZERS"}


def names() -> set[str]:
    """Give the variables that the deployment reads: parameters, sign-in, and those of the hooks."""
    text = PARAMETERS.read_text(encoding="utf-8")
    return set(re.findall(r"\$\{(\w+)\}", text)) | SIGN_IN | HOOKS


def lines(variables: Mapping[str, str]) -> str:
    """Write variables as GitHub reads them from GITHUB_ENV.

    https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
    """
    written = []
    for name, value in variables.items():
        delimiter = f"end-{secrets.token_hex(16)}"
        written.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
    return "".join(written)


def _parser() -> argparse.ArgumentParser:
    return Parser(description=__doc__)


def main() -> int:
    """Run the command."""
    parser = _parser()
    parser.parse_args()
    if missing := {"VARIABLES", "GITHUB_ENV"} - os.environ.keys():
        parser.error(f"{', '.join(sorted(missing))} not set: a workflow sets them")
    given = {str(name): str(value) for name, value in json.loads(os.environ["VARIABLES"]).items()}
    taken = {name: value for name, value in given.items() if name in names() and value}
    with open(os.environ["GITHUB_ENV"], "a", encoding="utf-8") as file:  # noqa: PTH123 - GitHub's
        file.write(lines(taken))
    print(f"Taken: {', '.join(sorted(taken)) or 'none'}.")
    if others := sorted(given.keys() - names()):
        print(f"Not for the deployment, so not taken: {', '.join(others)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
