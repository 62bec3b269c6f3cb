#!/usr/bin/env python3
r"""Prints the deployment's parameters for Azure CLI, filled from variables as azd does.

Needs no role.

    python scripts/deployment_parameters.py > parameters.json
    az deployment sub what-if --location westeurope --template-file infra/main.bicep \
      --parameters @parameters.json

Each variable that infra/main.parameters.json names is read from the environment. If one is not set
or empty, its parameter is left out and has its default.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from command_line import Parser

INFRA = Path(__file__).resolve().parents[1] / "infra"


class ValueInvalid(Exception):
    """A variable's value does not fit its parameter. The text names the variable, not the value."""


def parameters(environment: Mapping[str, str]) -> dict[str, Any]:
    """Fill main.parameters.json.

    Raises:
        ValueInvalid: A number, boolean, list or object is not written as JSON.
    """
    document = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))
    bicep = (INFRA / "main.bicep").read_text(encoding="utf-8")
    types = dict(re.findall(r"^param (\w+) (\w+)", bicep, re.MULTILINE))
    filled = {}
    for name, entry in document["parameters"].items():
        variable = entry["value"].removeprefix("${").removesuffix("}")
        if value := environment.get(variable):
            filled[name] = {"value": _read(value, types[name], variable)}
    return {**document, "parameters": filled}


def _read(value: str, kind: str, variable: str) -> object:
    if kind == "string":
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueInvalid(f"{variable} has to be JSON for a parameter of type {kind}.") from None


def _parser() -> argparse.ArgumentParser:
    return Parser(description=__doc__)


def main() -> int:
    """Run the command."""
    _parser().parse_args()
    try:
        print(json.dumps(parameters(os.environ), indent=2))
    except ValueInvalid as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
